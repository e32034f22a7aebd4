/* Many look-ups, at once and one after the other. */
/* backends: select poll epoll io_uring */
/* timeout: 120 */
/* labels: slow */
#include "tests/contract/names_dns.h"
#include <malloc.h>
#include <stdlib.h>

#define AT_ONCE 1000
#define IN_TURN 10000
#define GIVEN_UP 10000
#define A_FEW 1500 /* that nobody waits for any more may still be around */
#define FAR_TOO_MANY 20000
#define MANY 8192  /* for one channel */
#define MOST 16384 /* the same, if there is no other to be had */

static void begin_many(void)
{
    begin_with(EDDY_RESOLVER(.tries = 20, .try_timeout = EDDY_MSEC(500), .no_cache = true));
    dns_add(&dns, "*.many.test", DNS_A, 60, "10.0.0.0");
    dns_add(&dns, "*.many.test", DNS_AAAA, 60, "fe80::1:0");
}

struct one {
    struct asker asker;
    char name[32];
};

static struct test_count answers;

static void count_answer(struct asker *a)
{
    (void)a;
    answers.value++;
}

static void ask_number(struct one *one, int i, int family)
{
    snprintf(one->name, sizeof one->name, "n%d.many.test", i);
    ask(&one->asker, one->name, family)->then = count_answer;
}

/* The right answer to the right question. */
static bool is_right(const struct one *one, int i)
{
    char expected[32];
    snprintf(expected, sizeof expected, "10.0.%d.%d", i / 256, i % 256);
    return strncmp(addresses_of(&one->asker), expected, strlen(expected)) == 0;
}

/* What their sockets cannot hold is lost and asked again. */
static void L78_a_thousand_look_ups_at_once(void)
{
    static struct one many[AT_ONCE];
    begin_many();
    for (int i = 0; i < AT_ONCE; i++)
        ask_number(&many[i], i, AF_UNSPEC);
    answers = (struct test_count){.wanted = AT_ONCE};
    CHECK(test_run_until(loop, test_is_counted, &answers));
    for (int i = 0; i < AT_ONCE; i++) {
        CHECK_STR(many[i].asker.why, "");
        CHECK_INT(many[i].asker.calls, 1);
        CHECK_INT(count_of(&many[i].asker), 2);
        CHECK(is_right(&many[i], i));
        forget(&many[i].asker);
    }
    end();
}

static void L82_a_thousand_look_ups_cancelled(void)
{
    static struct one many[AT_ONCE];
    begin_many();
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    answers = (struct test_count){.wanted = 1};
    for (int i = 0; i < AT_ONCE; i++)
        ask_number(&many[i], i, AF_UNSPEC);
    test_run_steps(loop, 3);
    for (int i = 0; i < AT_ONCE; i++)
        forget(&many[i].asker);
    test_run_steps(loop, 3);
    CHECK_INT(answers.value, 0);
    dns_behave_well(&dns);
    ask_number(&many[7], 7, AF_INET);
    CHECK(test_run_until(loop, test_is_counted, &answers));
    CHECK(is_right(&many[7], 7));
    forget(&many[7].asker);
    end();
}

/* What is allocated in the whole process, that of c-ares included; 0 where that is not told. */
static long allocated(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    return (long)mallinfo2().uordblks;
#else
    return 0;
#endif
}

static bool look_up_some(int n)
{
    static struct one one;
    for (int i = 0; i < n; i++) {
        ask_number(&one, i, AF_INET);
        wait_for(&one.asker);
        bool right = is_right(&one, i);
        forget(&one.asker);
        if (!right)
            return false;
    }
    return true;
}

static void L78_ten_thousand_look_ups_leave_nothing_behind(void)
{
    begin_many();
    CHECK(look_up_some(200));
    test_run_steps(loop, 3);
    int descriptors = test_open_descriptors();
    long bytes = test_live_bytes(), all = allocated();
    CHECK(look_up_some(IN_TURN));
    test_run_steps(loop, 3);
    CHECK_INT(test_open_descriptors(), descriptors);
    CHECK_INT(test_live_bytes(), bytes);
    CHECK(allocated() - all < IN_TURN); /* not a byte for each */
    end();
}

/* Those that time out are given up by c-ares much later, if nobody tells it. */
static void L82_a_thousand_that_time_out_leave_nothing_behind(void)
{
    static struct one many[AT_ONCE];
    begin_many();
    CHECK(look_up_some(200));
    test_run_steps(loop, 3);
    int descriptors = test_open_descriptors();
    long bytes = test_live_bytes(), all = allocated();
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    answers = (struct test_count){.wanted = AT_ONCE};
    for (int i = 0; i < AT_ONCE; i++) {
        snprintf(many[i].name, sizeof many[i].name, "n%d.many.test", i);
        many[i].asker = (struct asker){
            .query = {.host = many[i].name, .family = AF_INET, .timeout = EDDY_MSEC(1 + i % 10)},
            .then = count_answer};
        start(&many[i].asker);
    }
    CHECK(test_run_until(loop, test_is_counted, &answers));
    for (int i = 0; i < AT_ONCE; i++)
        CHECK_INT(many[i].asker.code, -ETIMEDOUT);
    test_run_steps(loop, 3);
    CHECK_INT(test_open_descriptors(), descriptors);
    CHECK_INT(test_live_bytes(), bytes);
    CHECK(allocated() - all < 100 * AT_ONCE);
    end();
}

/* ---- those that pile up ---- */

static void begin_silent(void)
{
    begin_many();
    CHECK(look_up_some(200));
    test_run_steps(loop, 3);
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
}

static void ask_and_give_up(int n, bool run)
{
    static struct one one;
    for (int i = 0; i < n; i++) {
        ask_number(&one, i, AF_INET);
        forget(&one.asker);
        if (run && i % 100 == 0)
            test_run_steps(loop, 1);
    }
}

static void check_nothing_has_piled_up(long live, long all)
{
    CHECK(test_live_allocations() - live < A_FEW);
    CHECK(allocated() - all < 4000L * A_FEW);
}

/* c-ares forgets a question only if it forgets all. */
static void L82_those_who_gave_up_leave_nothing_behind_while_another_waits(void)
{
    static struct one waiting;
    begin_silent();
    long live = test_live_allocations(), all = allocated();
    answers = (struct test_count){.wanted = 1};
    ask_number(&waiting, 7, AF_INET);
    ask_and_give_up(GIVEN_UP, true);
    check_nothing_has_piled_up(live, all);
    CHECK_INT(answers.value, 0);
    dns_behave_well(&dns);
    CHECK(test_run_until(loop, test_is_counted, &answers));
    CHECK(is_right(&waiting, 7));
    forget(&waiting.asker);
    test_run_steps(loop, 3);
    CHECK(look_up_some(1));
    end();
}

static void L82_those_who_gave_up_leave_nothing_behind_while_the_loop_stands(void)
{
    static struct one waiting;
    begin_silent();
    long live = test_live_allocations(), all = allocated();
    ask_number(&waiting, 7, AF_INET);
    ask_and_give_up(GIVEN_UP / 2, false);
    forget(&waiting.asker);
    ask_and_give_up(GIVEN_UP / 2, false);
    check_nothing_has_piled_up(live, all);
    dns_behave_well(&dns);
    CHECK(look_up_some(1));
    end();
}

/* The numbers of questions are not enough for so many from one port. */
static void L82_more_at_once_than_there_are_numbers_for(void)
{
    struct one *many = calloc(FAR_TOO_MANY, sizeof *many);
    REQUIRE(many != NULL);
    begin_silent();
    int descriptors = test_open_descriptors();
    for (int i = 0; i < FAR_TOO_MANY; i++)
        ask_number(&many[i], i, AF_INET);
    CHECK(test_open_descriptors() >= descriptors + FAR_TOO_MANY / MANY);
    for (int i = 0; i < FAR_TOO_MANY; i++)
        forget(&many[i].asker);
    test_run_steps(loop, 3);
    CHECK(test_open_descriptors() <= descriptors);
    dns_behave_well(&dns);
    CHECK(look_up_some(1));
    end();
    free(many);
}

/* One by one, the memory for another channel never being there. */
static void L82_what_cannot_be_asked_any_more_fails(void)
{
    struct one *many = calloc(MOST, sizeof *many), more;
    struct eddy_query last = {.host = "last.many.test", .done = asker_done};
    struct eddy_error error = {.code = 0};
    REQUIRE(many != NULL);
    begin_silent();
    for (int i = 0; i < MOST; i++) {
        test_fail_allocation(i < MANY ? 0 : 1);
        ask_number(&many[i], i, AF_INET);
    }
    CHECK(test_allocation_failed());
    test_fail_allocation(1);
    CHECK_INT(eddy_query_start(loop, &last, &error), -ENOBUFS);
    CHECK_INT(error.code, -ENOBUFS);
    test_fail_allocation(0);
    dns_behave_well(&dns);
    ask_number(&more, 7, AF_INET); /* there is memory again */
    wait_for(&more.asker);
    CHECK(is_right(&more, 7));
    forget(&more.asker);
    for (int i = 0; i < MOST; i++)
        forget(&many[i].asker);
    end();
    free(many);
}

const struct test_case test_cases[] = {
    TEST(L78_a_thousand_look_ups_at_once),
    TEST(L82_a_thousand_look_ups_cancelled),
    TEST(L78_ten_thousand_look_ups_leave_nothing_behind),
    TEST(L82_a_thousand_that_time_out_leave_nothing_behind),
    TEST(L82_those_who_gave_up_leave_nothing_behind_while_another_waits),
    TEST(L82_those_who_gave_up_leave_nothing_behind_while_the_loop_stands),
    TEST(L82_more_at_once_than_there_are_numbers_for),
    TEST(L82_what_cannot_be_asked_any_more_fails),
    TEST_END,
};
