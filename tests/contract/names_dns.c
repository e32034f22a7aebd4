/* Names that a name server knows: addresses of both families, chains, names of addresses. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"
#include <unistd.h>

/* ---- addresses ---- */

/* What is not reachable from here comes last, so which comes first depends on the machine. */
static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(9)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool can = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return can;
}

static void L78_addresses_of_both_families_are_in_the_order_of_RFC_6724(void)
{
    begin();
    dns_add(&dns, "both.test", DNS_A, 60, "127.0.0.1");
    dns_add(&dns, "both.test", DNS_AAAA, 60, "::1");
    CHECK_LOOKUP("both.test", AF_UNSPEC, has_ipv6() ? "::1 127.0.0.1" : "127.0.0.1 ::1");
    CHECK_INT(dns_count(&dns, "both.test", DNS_A), 1);
    CHECK_INT(dns_count(&dns, "both.test", DNS_AAAA), 1);
    end();
}

static void L78_what_cannot_be_reached_comes_last(void)
{
    begin();
    dns_add(&dns, "far.test", DNS_AAAA, 60, "fe80::1");
    dns_add(&dns, "far.test", DNS_A, 60, "127.0.0.1");
    CHECK_LOOKUP("far.test", AF_UNSPEC, "127.0.0.1 fe80::1");
    end();
}

static void L78_one_family_is_asked_for_alone(void)
{
    begin();
    dns_add(&dns, "both.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "both.test", DNS_AAAA, 60, "2001:db8::1");
    CHECK_LOOKUP("both.test", AF_INET, "192.0.2.1");
    CHECK_INT(dns_count(&dns, "both.test", DNS_AAAA), 0);
    CHECK_LOOKUP("both.test", AF_INET6, "2001:db8::1");
    CHECK_INT(dns_count(&dns, "both.test", DNS_A), 1);
    end();
}

static void L78_a_name_without_addresses_of_a_family(void)
{
    begin();
    dns_add(&dns, "four.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("four.test", AF_UNSPEC, "192.0.2.1");
    CHECK_LOOKUP("four.test", AF_INET, "192.0.2.1");
    CHECK_NO_LOOKUP("four.test", AF_INET6, EDDY_EDNS, EAI_NONAME);
    end();
}

static void L78_no_such_name(void)
{
    begin();
    struct asker a;
    wait_for(ask(&a, "nobody.test", AF_UNSPEC));
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, EAI_NONAME);
    CHECK(strstr(a.why, "nobody.test") != NULL);
    forget(&a);
    end();
}

static void L78_localhost_is_asked_of_nobody(void)
{
    begin();
    CHECK_LOOKUP("localhost", AF_INET, "127.0.0.1");
    CHECK_INT(dns.asked, 0);
    end();
}

static void L78_names_are_the_same_in_capitals(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("WWW.Test", AF_INET, "192.0.2.1");
    end();
}

static void L78_a_trailing_dot_is_no_part_of_the_name(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("www.test.", AF_INET, "192.0.2.1");
    end();
}

static void L78_every_type_of_socket_has_an_entry_with_the_port(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    struct asker a = {.query = {.host = "www.test", .family = AF_INET, .port = 4711}};
    start(&a);
    wait_for(&a);
    REQUIRE(count_of(&a) == 3);
    const struct eddy_addresses *as = a.answer;
    const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(as->list[i].type, types[i]);
        CHECK_INT(eddy_addr_port(&as->list[i].addr), 4711);
    }
    CHECK(as->canonical_name == NULL);
    forget(&a);
    end();
}

static void L78_a_service_has_its_port(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    struct asker a = {.query = {
                          .host = "www.test",
                          .service = "http",
                          .family = AF_INET,
                          .type = SOCK_STREAM,
                      }};
    start(&a);
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.1");
    REQUIRE(count_of(&a) == 1);
    CHECK_INT(eddy_addr_port(&((struct eddy_addresses *)a.answer)->list[0].addr), 80);
    forget(&a);
    end();
}

static void L78_no_such_service(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    struct asker a = {
        .query = {.host = "www.test", .service = "no-such-service", .type = SOCK_STREAM}};
    start(&a);
    wait_for(&a);
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, EAI_SERVICE);
    forget(&a);
    end();
}

/* ---- the slow, the many ---- */

static void L78_a_slow_answer_for_one_family_is_waited_for(void)
{
    begin();
    dns_add(&dns, "slow.test", DNS_A, 60, "127.0.0.1");
    dns_add(&dns, "slow.test", DNS_AAAA, 60, "fe80::1");
    dns_behave(&dns, DNS_MANNER("slow.test", DNS_AAAA, .how = DNS_HOLD));
    struct asker a;
    ask(&a, "slow.test", AF_UNSPEC);
    wait_until_held(1);
    wait_until_asked(2);
    test_run_steps(loop, 5);
    CHECK_INT(a.calls, 0);
    dns_release(&dns);
    wait_for(&a);
    CHECK_ADDRESSES(&a, "127.0.0.1 fe80::1");
    forget(&a);
    end();
}

static void L78_one_family_refused_leaves_the_other(void)
{
    begin();
    dns_add(&dns, "half.test", DNS_A, 60, "192.0.2.1");
    dns_behave(&dns, DNS_MANNER("half.test", DNS_AAAA, .rcode = DNS_SERVFAIL));
    CHECK_LOOKUP("half.test", AF_UNSPEC, "192.0.2.1");
    end();
}

#define MANY 200

/* More than a datagram holds: they come by TCP. */
static void L78_two_hundred_addresses(void)
{
    begin();
    for (int i = 0; i < MANY; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.1.%d", i);
        dns_add(&dns, "many.test", DNS_A, 60, address);
    }
    struct asker a;
    wait_for(ask(&a, "many.test", AF_INET));
    REQUIRE(count_of(&a) == MANY);
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY; i++) {
        const struct eddy_addr *addr = &((struct eddy_addresses *)a.answer)->list[i].addr;
        seen[ntohl(addr->u.in.sin_addr.s_addr) & 0xff] = true;
    }
    for (int i = 0; i < MANY; i++)
        CHECK(seen[i]);
    CHECK_INT(dns.by_tcp, 1);
    forget(&a);
    end();
}

static void L78_a_truncated_answer_is_asked_for_by_TCP(void)
{
    begin();
    dns_add(&dns, "long.test", DNS_A, 60, "192.0.2.1");
    dns_behave(&dns, DNS_MANNER("long.test", .how = DNS_TRUNCATE));
    CHECK_LOOKUP("long.test", AF_INET, "192.0.2.1");
    CHECK_INT(dns.asked, 2);
    CHECK_INT(dns.by_tcp, 1);
    end();
}

/* ---- other names ---- */

static void check_canonical(const char *host, const char *address, const char *name)
{
    struct asker a = {
        .query = {.host = host, .family = AF_INET, .type = SOCK_STREAM, .flags = AI_CANONNAME}};
    start(&a);
    wait_for(&a);
    CHECK_ADDRESSES(&a, address);
    if (CHECK(a.answer != NULL))
        CHECK_STR(((struct eddy_addresses *)a.answer)->canonical_name, name);
    forget(&a);
}

static void L78_a_chain_of_names_ends_at_the_canonical_one(void)
{
    begin();
    dns_add(&dns, "a.test", DNS_CNAME, 60, "b.test");
    dns_add(&dns, "b.test", DNS_CNAME, 60, "c.test");
    dns_add(&dns, "c.test", DNS_CNAME, 60, "d.test");
    dns_add(&dns, "d.test", DNS_A, 60, "192.0.2.4");
    CHECK_LOOKUP("a.test", AF_INET, "192.0.2.4");
    check_canonical("a.test", "192.0.2.4", "d.test");
    check_canonical("d.test", "192.0.2.4", "d.test");
    end();
}

static void L78_a_chain_that_leads_nowhere(void)
{
    begin();
    dns_add(&dns, "a.test", DNS_CNAME, 60, "gone.test");
    CHECK_NO_LOOKUP("a.test", AF_UNSPEC, EDDY_EDNS, EAI_NONAME);
    end();
}

static void L78_a_chain_that_bites_its_tail(void)
{
    begin();
    dns_add(&dns, "a.test", DNS_CNAME, 60, "b.test");
    dns_add(&dns, "b.test", DNS_CNAME, 60, "a.test");
    CHECK_NO_LOOKUP("a.test", AF_UNSPEC, EDDY_EDNS, EAI_NONAME);
    end();
}

/* ---- names of addresses ---- */

static struct asker *ask_name(struct asker *a, const char *address, int port, int flags)
{
    *a = (struct asker){.query = {.kind = EDDY_QUERY_NAMES, .flags = flags}};
    REQUIRE(eddy_addr_parse(address, port, &a->query.addr) == 0);
    start(a);
    return a;
}

static void check_name(const char *address, int port, int flags, const char *host,
                       const char *service)
{
    struct asker a;
    wait_for(ask_name(&a, address, port, flags));
    const struct eddy_names *names = a.answer;
    CHECK_STR(a.why, "");
    if (names) {
        CHECK_STR(names->host, host);
        CHECK_STR(names->service, service);
    }
    forget(&a);
}

static void add_name(const char *address, const char *name)
{
    char text[80];
    dns_add(&dns, dns_reverse(address, text), DNS_PTR, 60, name);
}

static void L81_an_address_has_its_name_and_a_port_its_service(void)
{
    begin();
    add_name("192.0.2.1", "one.test");
    add_name("2001:db8::2", "two.test");
    check_name("192.0.2.1", 80, 0, "one.test", "http");
    check_name("2001:db8::2", 443, 0, "two.test", "https");
    check_name("192.0.2.1", 80, NI_NUMERICSERV, "one.test", "80");
    end();
}

static void L81_numbers_alone_are_asked_of_nobody(void)
{
    begin();
    add_name("192.0.2.1", "one.test");
    check_name("192.0.2.1", 80, NI_NUMERICHOST | NI_NUMERICSERV, "192.0.2.1", "80");
    check_name("2001:db8::1", 80, NI_NUMERICHOST, "2001:db8::1", "http");
    CHECK_INT(dns.asked, 0);
    end();
}

static void L81_an_address_without_a_name_is_given_in_numbers(void)
{
    begin();
    check_name("192.0.2.9", 80, NI_NUMERICSERV, "192.0.2.9", "80");
    CHECK(dns.asked > 0);
    end();
}

static void L81_a_name_may_be_required(void)
{
    begin();
    struct asker a;
    wait_for(ask_name(&a, "192.0.2.9", 80, NI_NAMEREQD));
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, EAI_NONAME);
    CHECK(strstr(a.why, "192.0.2.9") != NULL);
    forget(&a);
    end();
}

static void L81_the_longest_name(void)
{
    static const char label[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0";
    char name[256];
    begin();
    snprintf(name, sizeof name, "%s.%s.%s.test", label, label, label);
    add_name("192.0.2.1", name);
    check_name("192.0.2.1", 80, NI_NUMERICSERV, name, "80");
    end();
}

/* ---- futures ---- */

static void L78_a_future_has_the_addresses(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    struct eddy_future *f;
    REQUIRE(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "www.test", .port = 80, .family = AF_INET),
                             &f) == 0);
    void *value = NULL;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    const struct eddy_addresses *as = value;
    if (CHECK(as != NULL))
        CHECK_INT(eddy_addr_port(&as->list[0].addr), 80);
    eddy_future_unref(f);
    end();
}

static void L81_a_future_has_the_names(void)
{
    begin();
    add_name("192.0.2.1", "one.test");
    struct eddy_addr addr;
    struct eddy_future *f;
    REQUIRE(eddy_addr_parse("192.0.2.1", 80, &addr) == 0);
    REQUIRE(eddy_getnameinfo(loop, &addr, 0, 0, &f) == 0);
    void *value = NULL;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    if (CHECK(value != NULL))
        CHECK_STR(((struct eddy_names *)value)->host, "one.test");
    eddy_future_unref(f);
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_addresses_of_both_families_are_in_the_order_of_RFC_6724),
    TEST(L78_what_cannot_be_reached_comes_last),
    TEST(L78_one_family_is_asked_for_alone),
    TEST(L78_a_name_without_addresses_of_a_family),
    TEST(L78_no_such_name),
    TEST(L78_localhost_is_asked_of_nobody),
    TEST(L78_names_are_the_same_in_capitals),
    TEST(L78_a_trailing_dot_is_no_part_of_the_name),
    TEST(L78_every_type_of_socket_has_an_entry_with_the_port),
    TEST(L78_a_service_has_its_port),
    TEST(L78_no_such_service),
    TEST(L78_a_slow_answer_for_one_family_is_waited_for),
    TEST(L78_one_family_refused_leaves_the_other),
    TEST(L78_two_hundred_addresses),
    TEST(L78_a_truncated_answer_is_asked_for_by_TCP),
    TEST(L78_a_chain_of_names_ends_at_the_canonical_one),
    TEST(L78_a_chain_that_leads_nowhere),
    TEST(L78_a_chain_that_bites_its_tail),
    TEST(L81_an_address_has_its_name_and_a_port_its_service),
    TEST(L81_numbers_alone_are_asked_of_nobody),
    TEST(L81_an_address_without_a_name_is_given_in_numbers),
    TEST(L81_a_name_may_be_required),
    TEST(L81_the_longest_name),
    TEST(L78_a_future_has_the_addresses),
    TEST(L81_a_future_has_the_names),
    TEST_END,
};
