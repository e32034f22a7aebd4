/* Answers are given again within their time to live, and no longer. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"

static void check_asked(const char *name, int times)
{
    CHECK_INT(dns_count(&dns, name, DNS_A), times);
}

static void L78_an_answer_is_given_again_within_its_time(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "www.test", DNS_A, 3600, "192.0.2.1");
    for (int i = 0; i < 5; i++)
        CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1 192.0.2.1");
    check_asked("www.test", 1);
    CHECK_LOOKUP("WWW.test", AF_INET, "192.0.2.1 192.0.2.1");
    check_asked("www.test", 1);
    end();
}

static void L78_an_answer_from_memory_does_not_come_inside_the_call(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    struct asker a;
    ask(&a, "www.test", AF_INET);
    CHECK_INT(a.calls, 0);
    CHECK(eddy_query_is_pending(&a.query));
    test_run_steps(loop, 1);
    CHECK_INT(a.calls, 1);
    forget(&a);
    ask(&a, "www.test", AF_INET);
    eddy_query_cancel(&a.query);
    test_run_steps(loop, 3);
    CHECK_INT(a.calls, 0);
    end();
}

static void L78_an_answer_without_time_to_live_is_not_given_again(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 0, "192.0.2.1");
    for (int i = 0; i < 3; i++)
        CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    check_asked("www.test", 3);
    end();
}

/* Of the records of an answer the shortest time counts. */
static void L78_the_shortest_time_to_live_counts(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "www.test", DNS_A, 0, "192.0.2.1");
    dns_add(&dns, "both.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "both.test", DNS_AAAA, 0, "fe80::1");
    for (int i = 0; i < 3; i++) {
        CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1 192.0.2.1");
        struct asker a;
        wait_for(ask(&a, "both.test", AF_UNSPEC));
        CHECK_INT(count_of(&a), 2);
        forget(&a);
    }
    check_asked("www.test", 3);
    check_asked("both.test", 3);
    end();
}

static void L78_the_time_to_live_of_a_chain_counts(void)
{
    begin();
    dns_add(&dns, "alias.test", DNS_CNAME, 0, "www.test");
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("alias.test", AF_INET, "192.0.2.1");
    CHECK_LOOKUP("alias.test", AF_INET, "192.0.2.1");
    check_asked("alias.test", 2);
    end();
}

static bool is_past(void *when)
{
    return eddy_loop_time(loop) >= *(eddy_nsec *)when;
}

static void do_nothing(struct eddy_timer *t)
{
    (void)t;
}

/* The one that needs real time. */
static void L78_an_answer_is_asked_for_anew_after_its_time(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 1, "192.0.2.1");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    eddy_nsec when = eddy_loop_time(loop) + EDDY_SEC(1);
    struct eddy_timer t = {.fn = do_nothing};
    dns_remove(&dns, "www.test");
    dns_add(&dns, "www.test", DNS_A, 1, "192.0.2.2");
    eddy_loop_call_at(loop, &t, when);
    CHECK(test_run_until(loop, is_past, &when));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    check_asked("www.test", 2);
    eddy_timer_cancel(&t);
    end();
}

static void L78_nothing_is_kept_if_not_wanted(void)
{
    begin_with(EDDY_RESOLVER(.no_cache = true));
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    for (int i = 0; i < 3; i++)
        CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    check_asked("www.test", 3);
    end();
}

static void L78_what_failed_is_not_kept(void)
{
    begin();
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_NONAME);
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    end();
}

static void L78_questions_that_differ_are_kept_apart(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "www.test", DNS_AAAA, 60, "2001:db8::1");
    dns_add(&dns, "other.test", DNS_A, 60, "192.0.2.2");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    CHECK_LOOKUP("www.test", AF_INET6, "2001:db8::1");
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    CHECK_LOOKUP("www.test", AF_INET6, "2001:db8::1");
    CHECK_INT(dns.asked, 3);
    end();
}

static void L78_the_port_is_that_of_each_question(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    for (int port = 80; port < 83; port++) {
        struct asker a = {
            .query = {.host = "www.test", .family = AF_INET, .type = SOCK_STREAM, .port = port}};
        start(&a);
        wait_for(&a);
        REQUIRE(count_of(&a) == 1);
        CHECK_INT(eddy_addr_port(&((struct eddy_addresses *)a.answer)->list[0].addr), port);
        forget(&a);
    }
    check_asked("www.test", 1);
    end();
}

static void L78_the_canonical_name_is_given_again_as_well(void)
{
    begin();
    dns_add(&dns, "alias.test", DNS_CNAME, 60, "www.test");
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    for (int i = 0; i < 3; i++) {
        struct asker a = {.query = {.host = "alias.test",
                                    .family = AF_INET,
                                    .type = SOCK_STREAM,
                                    .flags = AI_CANONNAME}};
        start(&a);
        wait_for(&a);
        CHECK_ADDRESSES(&a, "192.0.2.1");
        if (CHECK(a.answer != NULL))
            CHECK_STR(((struct eddy_addresses *)a.answer)->canonical_name, "www.test");
        forget(&a);
    }
    check_asked("alias.test", 1);
    end();
}

static void look_up_number(int i)
{
    char name[32], address[32];
    snprintf(name, sizeof name, "n%d.many.test", i);
    snprintf(address, sizeof address, "10.0.0.%d", i);
    CHECK_LOOKUP(name, AF_INET, address);
}

/* The least recently asked for goes. */
static void L78_no_more_answers_are_kept_than_was_said(void)
{
    begin_with(EDDY_RESOLVER(.cache = 4));
    dns_add(&dns, "*.many.test", DNS_A, 60, "10.0.0.0");
    for (int i = 0; i < 4; i++)
        look_up_number(i);
    long live = test_live_bytes();
    look_up_number(0);
    check_asked("*.many.test", 4);
    for (int i = 4; i < 100; i++)
        look_up_number(i);
    check_asked("*.many.test", 100);
    CHECK(test_live_bytes() <= live + 64);
    for (int i = 96; i < 100; i++)
        look_up_number(i);
    check_asked("*.many.test", 100);
    look_up_number(0);
    check_asked("*.many.test", 101);
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_an_answer_is_given_again_within_its_time),
    TEST(L78_an_answer_from_memory_does_not_come_inside_the_call),
    TEST(L78_an_answer_without_time_to_live_is_not_given_again),
    TEST(L78_the_shortest_time_to_live_counts),
    TEST(L78_the_time_to_live_of_a_chain_counts),
    TEST(L78_an_answer_is_asked_for_anew_after_its_time),
    TEST(L78_nothing_is_kept_if_not_wanted),
    TEST(L78_what_failed_is_not_kept),
    TEST(L78_questions_that_differ_are_kept_apart),
    TEST(L78_the_port_is_that_of_each_question),
    TEST(L78_the_canonical_name_is_given_again_as_well),
    TEST(L78_no_more_answers_are_kept_than_was_said),
    TEST_END,
};
