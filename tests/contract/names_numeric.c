/* Questions that nobody needs to be asked for: numeric addresses, no host at all, and what is made
 * of every answer: types, protocols and ports. */
/* backends: sim epoll */
#include "tests/contract/names.h"

static struct eddy_loop *loop;
static struct script script;

static void begin(void)
{
    script = (struct script){.at_once = true};
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &script_class, .user = &script)),
                &loop) == 0);
}

static void end(void)
{
    test_loop_free(loop);
}

/* What is answered, and whether the resolver was asked for it. */
static const char *answer(bool asks, struct asked a)
{
    int before = script.started;
    ask_and_wait(loop, &a);
    const char *text = spell(&a);
    forget(&a);
    CHECK_INT(script.started - before, asks);
    return text;
}

#define HERE(...) answer(false, (struct asked)ASKED(__VA_ARGS__))
#define ASKING(...) answer(true, (struct asked)ASKED(__VA_ARGS__))
#define STREAM .type = SOCK_STREAM

static void L79_numeric_addresses_are_answered_without_the_resolver(void)
{
    begin();
    CHECK_STR(HERE(.host = "192.0.2.7", .port = 80, STREAM), "192.0.2.7:80/s6");
    CHECK_STR(HERE(.host = "2001:db8::1", .port = 80, STREAM), "[2001:db8::1]:80/s6");
    CHECK_STR(HERE(.host = "::ffff:192.0.2.7", STREAM), "[::ffff:192.0.2.7]:0/s6");
    CHECK_STR(HERE(.host = "192.0.2.7", .service = "80", .port = 1, STREAM), "192.0.2.7:80/s6");
    CHECK_STR(HERE(.host = "192.0.2.7", .service = "", .port = 1, STREAM), "192.0.2.7:0/s6");
    CHECK_STR(HERE(.host = "192.0.2.7", .service = "0065535", STREAM), "192.0.2.7:65535/s6");
    CHECK_STR(HERE(.host = "192.0.2.7", STREAM, .flags = AI_CANONNAME), "192.0.2.7:0/s6 192.0.2.7");
    CHECK_STR(HERE(.host = "192.0.2.7", STREAM, .flags = AI_NUMERICHOST | AI_NUMERICSERV),
              "192.0.2.7:0/s6");
    CHECK_INT(script.opened, 0);
    end();
}

/* Else a resolver would ask name servers for them, and the system's would not. */
static void L79_L83_abbreviated_addresses_are_numeric_too(void)
{
    begin();
    CHECK_STR(HERE(.host = "127.1", STREAM), "127.0.0.1:0/s6");
    CHECK_STR(HERE(.host = "0x7f000001", STREAM), "127.0.0.1:0/s6");
    CHECK_STR(HERE(.host = "2130706433", STREAM), "127.0.0.1:0/s6");
    CHECK_STR(HERE(.host = "127.1", STREAM, .family = AF_INET6), "EDNS(NONAME)");
    CHECK_STR(ASKING(.host = "127.1 x", STREAM), "192.0.2.1:0/s6");
    CHECK_STR(ASKING(.host = "256.0.0.1", STREAM), "192.0.2.1:0/s6");
    end();
}

static void L79_scope_ids_are_numeric_too(void)
{
    begin();
    CHECK_STR(HERE(.host = "fe80::1%1", .port = 80, STREAM), "[fe80::1%1]:80/s6");
    CHECK_STR(HERE(.host = "fe80::1%lo", .port = 80, STREAM), "[fe80::1%1]:80/s6");
    end();
}

static void L79_what_else_there_is_goes_to_the_resolver(void)
{
    begin();
    CHECK_STR(ASKING(.host = "example.org", .port = 80, STREAM), "192.0.2.1:80/s6");
    CHECK_STR(ASKING(.host = "example.org", .service = "80", STREAM), "192.0.2.1:80/s6");
    CHECK_STR(ASKING(.host = "127.0.0.1", .service = "http", STREAM), "192.0.2.1:9/s6");
    CHECK_STR(ASKING(.service = "http", .port = 7, STREAM), "192.0.2.1:9/s6");
    CHECK_STR(ASKING(.service = "80x", STREAM), "192.0.2.1:9/s6");
    CHECK_STR(ASKING(.service = "-1", STREAM), "192.0.2.1:9/s6");
    CHECK_STR(ASKING(.service = " 80", STREAM), "192.0.2.1:9/s6");
    end();
}

static void L80_without_a_host_it_is_loopback_or_everything(void)
{
    begin();
    CHECK_STR(HERE(.port = 80, STREAM), "[::1]:80/s6 127.0.0.1:80/s6");
    CHECK_STR(HERE(.port = 80, STREAM, .family = AF_INET), "127.0.0.1:80/s6");
    CHECK_STR(HERE(.port = 80, STREAM, .family = AF_INET6), "[::1]:80/s6");
    CHECK_STR(HERE(.port = 80, STREAM, .flags = AI_PASSIVE), "[::]:80/s6 0.0.0.0:80/s6");
    CHECK_STR(HERE(STREAM, .family = AF_INET, .flags = AI_PASSIVE), "0.0.0.0:0/s6");
    CHECK_STR(HERE(STREAM, .family = AF_INET, .flags = AI_NUMERICHOST), "127.0.0.1:0/s6");
    CHECK_STR(HERE(.host = "192.0.2.7", STREAM, .flags = AI_PASSIVE), "192.0.2.7:0/s6");
    end();
}

static void L79_what_cannot_be_is_refused_without_the_resolver(void)
{
    begin();
    CHECK_STR(HERE(.host = "example.org", .flags = AI_NUMERICHOST), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "127.0.0.1", .service = "http", .flags = AI_NUMERICSERV),
              "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "example.org", .service = "http", .flags = AI_NUMERICHOST),
              "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "127.0.0.1", .family = AF_INET6), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "::1", .family = AF_INET), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "::1", .family = AF_INET, .service = "http"), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "fe80::1%no-such-interface"), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "1::2::3"), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = ""), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "", .service = "http"), "EDNS(NONAME)");
    CHECK_STR(HERE(.host = "example.org", .service = "65536"), "EDNS(SERVICE)");
    CHECK_STR(HERE(.host = "example.org", .service = "99999999999999999999"), "EDNS(SERVICE)");
    CHECK_STR(HERE(.host = "example.org", STREAM, .protocol = IPPROTO_UDP), "EDNS(SOCKTYPE)");
    CHECK_STR(HERE(.host = "::1", .type = SOCK_DGRAM, .protocol = IPPROTO_TCP), "EDNS(SOCKTYPE)");
    CHECK_INT(script.opened, 0);
    end();
}

static void L78_types_and_protocols_are_as_getaddrinfo_has_them(void)
{
    begin();
#define HOST .host = "192.0.2.7", .port = 5
    CHECK_STR(HERE(HOST), "192.0.2.7:5/s6 192.0.2.7:5/d17 192.0.2.7:5/r0");
    CHECK_STR(HERE(HOST, .type = SOCK_DGRAM), "192.0.2.7:5/d17");
    CHECK_STR(HERE(HOST, .type = SOCK_RAW), "192.0.2.7:5/r0");
    CHECK_STR(HERE(HOST, .type = SOCK_RAW, .protocol = IPPROTO_ICMP), "192.0.2.7:5/r1");
    CHECK_STR(HERE(HOST, .protocol = IPPROTO_TCP), "192.0.2.7:5/s6");
    CHECK_STR(HERE(HOST, .protocol = IPPROTO_UDP), "192.0.2.7:5/d17");
    CHECK_STR(HERE(HOST, .protocol = IPPROTO_ICMP), "192.0.2.7:5/r1");
    CHECK_STR(HERE(HOST, STREAM, .protocol = IPPROTO_TCP), "192.0.2.7:5/s6");
    CHECK_STR(HERE(HOST, STREAM, .protocol = 262), "192.0.2.7:5/s262"); /* multipath TCP */
    CHECK_STR(HERE(HOST, .type = SOCK_SEQPACKET), "192.0.2.7:5/?0");
    CHECK_STR(ASKING(.host = "example.org", .port = 5),
              "192.0.2.1:5/s6 192.0.2.1:5/d17 192.0.2.1:5/r0");
    CHECK_STR(ASKING(.host = "example.org", STREAM, .protocol = 262), "192.0.2.1:0/s262");
    end();
}

static void L81_numbers_are_enough_for_who_asks_for_numbers(void)
{
    const int numbers = NI_NUMERICHOST | NI_NUMERICSERV;
    begin();
    for (int needed = 0; needed < 2; needed++) {
        struct asked a = ASKED(.kind = EDDY_QUERY_NAMES, .addr = addr("2001:db8::1", 80),
                               .flags = numbers | (needed ? NI_NAMEREQD : 0));
        ask_and_wait(loop, &a);
        const struct eddy_names *names = a.answer;
        CHECK_INT(script.started, needed);
        CHECK_STR(names->host, needed ? "host.example" : "2001:db8::1");
        CHECK_STR(names->service, needed ? "service" : "80");
        forget(&a);
    }
    end();
}

static void L81_an_address_that_is_cut_short_is_none(void)
{
    struct asked a = ASKED(.kind = EDDY_QUERY_NAMES, .addr = addr("2001:db8::1", 80));
    begin();
    a.q.addr.len = sizeof a.q.addr.u.in;
    CHECK_INT(eddy_query_start(loop, &a.q, NULL), -EINVAL);
    a.q.addr.len = 0;
    CHECK_INT(eddy_query_start(loop, &a.q, NULL), -EINVAL);
    end();
}

/* Whatever a name server says. */
static void L78_nobody_needs_more_than_256_addresses(void)
{
    static struct eddy_addr many[300];
    struct asked a = ASKED(.host = "many.example", .port = 1, STREAM);
    begin();
    for (int i = 0; i < 300; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%d.%d", i / 256, i % 256);
        many[i] = addr(text, 0);
    }
    script.at_once = false;
    ask(loop, &a);
    eddy_query_give_addresses(script_take(&script), many, 300, NULL, EDDY_SEC(60));
    for (int cached = 0; cached < 2; cached++) {
        if (cached)
            ask(loop, &a);
        test_run_until(loop, test_is_true, &a.done);
        const struct eddy_addresses *as = a.answer;
        CHECK_INT(as->count, 256);
        CHECK_INT(eddy_addr_port(&as->list[255].addr), 1);
        forget(&a);
    }
    CHECK_INT(script.started, 1);
    end();
}

static void G2_the_cause_is_told_of_the_longest_name(void)
{
    char name[250];
    struct asked a = ASKED(.host = name);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    begin();
    script.at_once = false;
    ask(loop, &a);
    eddy_query_fail(script_take(&script), EDDY_EDNS, EAI_NONAME, "the cause of it");
    test_run_until(loop, test_is_true, &a.done);
    CHECK(strstr(a.text, "the cause of it") != NULL);
    end();
}

const struct test_case test_cases[] = {
    TEST(L79_numeric_addresses_are_answered_without_the_resolver),
    TEST(L79_L83_abbreviated_addresses_are_numeric_too),
    TEST(L79_scope_ids_are_numeric_too),
    TEST(L79_what_else_there_is_goes_to_the_resolver),
    TEST(L80_without_a_host_it_is_loopback_or_everything),
    TEST(L79_what_cannot_be_is_refused_without_the_resolver),
    TEST(L78_types_and_protocols_are_as_getaddrinfo_has_them),
    TEST(L81_numbers_are_enough_for_who_asks_for_numbers),
    TEST(L81_an_address_that_is_cut_short_is_none),
    TEST(L78_nobody_needs_more_than_256_addresses),
    TEST(G2_the_cause_is_told_of_the_longest_name),
    TEST_END,
};
