/* Answers that are waited for while the loop stands still. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/names_dns.h"

static struct dns_thread server;

static void script(struct dns *d)
{
    dns_add(d, "www.test", DNS_A, 0, "192.0.2.1");
    dns_add(d, "slow.test", DNS_A, 0, "192.0.2.2");
    dns_add(d, "long.test", DNS_A, 0, "192.0.2.3");
    dns_add(d, "_x._tcp.test", DNS_SRV, 0, "1 2 3 www.test");
    dns_behave(d, DNS_MANNER("slow.test", .delay = EDDY_MSEC(30)));
    dns_behave(d, DNS_MANNER("long.test", .how = DNS_TRUNCATE));
    dns_behave(d, DNS_MANNER("silent.test", .how = DNS_SILENCE));
}

static void begin_thread(const struct eddy_resolver_opts *opts)
{
    struct eddy_resolver_opts o = *opts;
    if (!have_cares())
        test_end_case();
    REQUIRE(dns_thread_start(&server, script) == 0);
    o.name = "c-ares";
    o.resolv_conf = "/dev/null";
    o.servers = server.dns.servers;
    loop = NULL;
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = &o), &loop) == 0);
}

static void end_thread(void)
{
    test_loop_free(loop);
    dns_thread_stop(&server);
}

static void never(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    (void)q, (void)answer, (void)error;
    FAIL("done was called");
}

/* The answer is the asker's, and what was wrong. */
static int ask_now(struct asker *a, const char *host, eddy_nsec timeout)
{
    struct eddy_error error = {.code = 0};
    *a = (struct asker){.query = {.done = never,
                                  .host = host,
                                  .family = AF_INET,
                                  .type = SOCK_STREAM,
                                  .timeout = timeout}};
    int rc = eddy_query_now(loop, &a->query, &error, &a->answer);
    CHECK_INT(rc, error.code);
    CHECK(!eddy_query_is_pending(&a->query));
    a->detail = error.detail;
    return rc;
}

static void L78_an_answer_may_be_waited_for(void)
{
    begin_thread(EDDY_RESOLVER(.try_timeout = EDDY_SEC(5)));
    struct asker a;
    CHECK_INT(ask_now(&a, "www.test", 0), 0);
    CHECK_ADDRESSES(&a, "192.0.2.1");
    forget(&a);
    CHECK_INT(ask_now(&a, "slow.test", 0), 0);
    CHECK_ADDRESSES(&a, "192.0.2.2");
    forget(&a);
    CHECK_INT(ask_now(&a, "long.test", EDDY_OFF), 0);
    CHECK_ADDRESSES(&a, "192.0.2.3");
    forget(&a);
    CHECK_INT(ask_now(&a, "nobody.test", 0), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_NONAME);
    end_thread();
}

static void L78_waiting_ends_by_the_deadline(void)
{
    begin_thread(EDDY_RESOLVER(.try_timeout = EDDY_SEC(30)));
    struct asker a;
    eddy_nsec begun = eddy_loop_time(loop);
    CHECK_INT(ask_now(&a, "silent.test", EDDY_MSEC(30)), -ETIMEDOUT);
    CHECK(eddy_loop_time(loop) - begun >= EDDY_MSEC(30));
    test_run_steps(loop, 3);
    CHECK_INT(ask_now(&a, "www.test", 0), 0);
    CHECK_ADDRESSES(&a, "192.0.2.1");
    forget(&a);
    end_thread();
}

static void L78_waiting_ends_when_the_resolver_gives_up(void)
{
    begin_thread(EDDY_RESOLVER(.tries = 2, .try_timeout = EDDY_MSEC(10)));
    struct asker a;
    CHECK_INT(ask_now(&a, "silent.test", EDDY_OFF), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_AGAIN);
    end_thread();
}

/* What comes meanwhile for others waits for the loop. */
static void L78_others_are_answered_by_the_loop(void)
{
    begin_thread(EDDY_RESOLVER(.try_timeout = EDDY_SEC(5)));
    struct asker other, a;
    ask(&other, "www.test", AF_INET);
    CHECK_INT(ask_now(&a, "slow.test", 0), 0);
    CHECK_ADDRESSES(&a, "192.0.2.2");
    CHECK_INT(other.calls, 0);
    wait_for(&other);
    CHECK_ADDRESSES(&other, "192.0.2.1");
    forget(&a);
    forget(&other);
    end_thread();
}

static void L78_services_may_be_waited_for(void)
{
    begin_thread(EDDY_RESOLVER(.try_timeout = EDDY_SEC(5)));
    struct eddy_query q = {.done = never, .kind = EDDY_QUERY_SERVICES, .host = "_x._tcp.test"};
    void *answer = NULL;
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), 0);
    if (CHECK(answer != NULL))
        CHECK_INT(((struct eddy_services *)answer)->list[0].port, 3);
    eddy_answer_free(answer);
    end_thread();
}

const struct test_case test_cases[] = {
    TEST(L78_an_answer_may_be_waited_for),
    TEST(L78_waiting_ends_by_the_deadline),
    TEST(L78_waiting_ends_when_the_resolver_gives_up),
    TEST(L78_others_are_answered_by_the_loop),
    TEST(L78_services_may_be_waited_for),
    TEST_END,
};
