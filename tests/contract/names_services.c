/* Where services are served: by SRV records, in the order of RFC 2782. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"

#define SERVICE "_sip._udp.test"

static struct asker *ask_services(struct asker *a, const char *name)
{
    *a = (struct asker){.query = {.kind = EDDY_QUERY_SERVICES, .host = name}};
    start(a);
    return a;
}

/* "a.test:5060 b.test:5061" */
static const char *services_of(const struct asker *a)
{
    static char text[2048];
    const struct eddy_services *ss = a->answer;
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; ss && i < ss->count && len < sizeof text - 300; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s:%d", i ? " " : "",
                                ss->list[i].target, ss->list[i].port);
    return text;
}

static void check_services(const char *name, const char *expected)
{
    struct asker a;
    wait_for(ask_services(&a, name));
    CHECK_STR(a.why, "");
    CHECK_STR(services_of(&a), expected);
    forget(&a);
}

static void check_none(const char *name, int detail)
{
    struct asker a;
    wait_for(ask_services(&a, name));
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, detail);
    CHECK(strstr(a.why, name) != NULL);
    forget(&a);
}

static void L78_services_come_by_priority(void)
{
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "30 0 3 c.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "10 0 1 a.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "65535 0 4 d.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "20 0 2 b.test");
    check_services(SERVICE, "a.test:1 b.test:2 c.test:3 d.test:4");
    end();
}

static void L78_a_service_has_all_its_numbers(void)
{
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "65535 65534 65533 a.test");
    struct asker a;
    wait_for(ask_services(&a, SERVICE));
    const struct eddy_services *ss = a.answer;
    REQUIRE(ss != NULL);
    CHECK_INT(ss->count, 1);
    CHECK_INT(ss->list[0].priority, 65535);
    CHECK_INT(ss->list[0].weight, 65534);
    CHECK_INT(ss->list[0].port, 65533);
    CHECK_STR(ss->list[0].target, "a.test");
    forget(&a);
    end();
}

#define DRAWS 400

/* Three in four for the one, on average: so far off is it once in many billions of runs. */
static void L78_equals_are_drawn_by_weight(void)
{
    int first = 0, last = 0;
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 10 2 light.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 0 3 none.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 30 1 heavy.test");
    for (int i = 0; i < DRAWS; i++) {
        struct asker a;
        wait_for(ask_services(&a, SERVICE));
        const struct eddy_services *ss = a.answer;
        REQUIRE(ss != NULL && ss->count == 3);
        first += ss->list[0].port == 1;
        last += ss->list[2].port == 3;
        forget(&a);
    }
    CHECK(first > DRAWS / 2 && first < DRAWS * 9 / 10);
    CHECK(last > DRAWS * 3 / 4); /* without weight: seldom before the others */
    end();
}

static void L78_without_weights_each_comes_first_at_times(void)
{
    int first[3] = {0};
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 5 0 a.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 5 1 b.test");
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 5 2 c.test");
    for (int i = 0; i < DRAWS; i++) {
        struct asker a;
        wait_for(ask_services(&a, SERVICE));
        const struct eddy_services *ss = a.answer;
        REQUIRE(ss != NULL && ss->count == 3);
        first[ss->list[0].port % 3]++;
        forget(&a);
    }
    for (int i = 0; i < 3; i++)
        CHECK(first[i] > DRAWS / 6);
    end();
}

static void L78_a_service_that_is_decidedly_not_there(void)
{
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "0 0 0 .");
    check_services(SERVICE, ".:0");
    end();
}

static void L78_no_such_service(void)
{
    begin();
    check_none(SERVICE, EAI_NONAME);
    dns_add(&dns, SERVICE, DNS_A, 60, "192.0.2.1");
    check_none(SERVICE, EAI_NONAME);
    end();
}

static void L78_a_server_that_does_not_tell(void)
{
    begin_with(EDDY_RESOLVER(.tries = 1, .try_timeout = EDDY_MSEC(20)));
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 2 3 a.test");
    dns_behave(&dns, DNS_MANNER(NULL, .rcode = DNS_SERVFAIL));
    check_none(SERVICE, EAI_AGAIN);
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    check_none(SERVICE, EAI_AGAIN);
    dns_behave_well(&dns);
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_CUT, .bytes = 50));
    check_none(SERVICE, EAI_AGAIN);
    end();
}

static void L78_a_service_by_another_name(void)
{
    begin();
    dns_add(&dns, SERVICE, DNS_CNAME, 60, "_real._udp.test");
    dns_add(&dns, "_real._udp.test", DNS_SRV, 60, "1 2 3 a.test");
    check_services(SERVICE, "a.test:3");
    end();
}

static void L78_a_hundred_servers_of_a_service(void)
{
    begin();
    for (int i = 0; i < 100; i++) {
        char value[64];
        snprintf(value, sizeof value, "%d 0 %d n%d.test", i, i, i);
        dns_add(&dns, SERVICE, DNS_SRV, 60, value);
    }
    struct asker a;
    wait_for(ask_services(&a, SERVICE));
    const struct eddy_services *ss = a.answer;
    REQUIRE(ss != NULL);
    CHECK_INT(ss->count, 100);
    for (int i = 0; i < 100; i++)
        CHECK_INT(ss->list[i].port, i);
    CHECK_INT(dns.by_tcp, 1);
    forget(&a);
    end();
}

static void L82_services_cancelled_and_left_behind(void)
{
    begin();
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_HOLD));
    struct asker a, b;
    ask_services(&a, SERVICE);
    ask_services(&b, "_other._tcp.test");
    wait_until_held(2);
    eddy_query_cancel(&a.query);
    dns_release(&dns);
    wait_for(&b);
    CHECK_INT(b.detail, EAI_NONAME);
    CHECK_INT(a.calls, 0);
    forget(&b);
    ask_services(&b, SERVICE);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(b.code, EDDY_ELOOP_CLOSED);
    forget(&b);
    end();
}

static void L78_a_future_has_the_services(void)
{
    begin();
    dns_add(&dns, SERVICE, DNS_SRV, 60, "1 2 3 a.test");
    struct eddy_future *f;
    void *value = NULL;
    REQUIRE(eddy_getservices(loop, SERVICE, 0, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    if (CHECK(value != NULL))
        CHECK_STR(((struct eddy_services *)value)->list[0].target, "a.test");
    eddy_future_unref(f);
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_services_come_by_priority),
    TEST(L78_a_service_has_all_its_numbers),
    TEST(L78_equals_are_drawn_by_weight),
    TEST(L78_without_weights_each_comes_first_at_times),
    TEST(L78_a_service_that_is_decidedly_not_there),
    TEST(L78_no_such_service),
    TEST(L78_a_server_that_does_not_tell),
    TEST(L78_a_service_by_another_name),
    TEST(L78_a_hundred_servers_of_a_service),
    TEST(L82_services_cancelled_and_left_behind),
    TEST(L78_a_future_has_the_services),
    TEST_END,
};
