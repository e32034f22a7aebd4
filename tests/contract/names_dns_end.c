/* Look-ups that end early: cancelled at every stage, or left behind by their loop. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"
#include <stdlib.h>

/* Nothing ends by itself in these. */
static void begin_www(void)
{
    begin_with(EDDY_RESOLVER(.try_timeout = EDDY_SEC(30)));
    dns_add(&dns, "www.test", DNS_A, 0, "192.0.2.1");
    dns_add(&dns, "other.test", DNS_A, 0, "192.0.2.2");
}

static void hold(void)
{
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_HOLD));
}

static void release(void)
{
    dns_behave_well(&dns);
    dns_release(&dns);
}

static void check_goes_on(void)
{
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
}

/* ---- cancel ---- */

static void L82_cancel_before_anybody_was_asked(void)
{
    begin_www();
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    CHECK(eddy_query_is_pending(&a.query));
    eddy_query_cancel(&a.query);
    CHECK(!eddy_query_is_pending(&a.query));
    eddy_query_cancel(&a.query);
    test_run_steps(loop, 5);
    check_goes_on();
    CHECK_INT(a.calls, 0);
    end();
}

static void L82_cancel_while_the_server_thinks(void)
{
    begin_www();
    hold();
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    wait_until_held(2);
    eddy_query_cancel(&a.query);
    release(); /* nobody wants to know any more */
    check_goes_on();
    CHECK_INT(a.calls, 0);
    end();
}

static void L82_cancel_when_half_of_the_answer_has_come(void)
{
    begin_www();
    dns_behave(&dns, DNS_MANNER("www.test", DNS_AAAA, .how = DNS_HOLD));
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    wait_until_asked(2);
    test_run_steps(loop, 5);
    eddy_query_cancel(&a.query);
    release();
    check_goes_on();
    CHECK_INT(a.calls, 0);
    end();
}

static void L82_cancel_while_TCP_is_at_work(void)
{
    begin_www();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_HOLD));
    struct asker a;
    ask(&a, "www.test", AF_INET);
    wait_until_held(1);
    eddy_query_cancel(&a.query);
    release();
    check_goes_on();
    CHECK_INT(a.calls, 0);
    end();
}

/* Runs in the last step of each iteration, where an answer that has come in this one waits. */
struct watcher {
    struct eddy_timer timer;
    struct asker *asker;
    bool seen;
};

static void cancel_when_answered(struct eddy_timer *t)
{
    struct watcher *w = EDDY_CONTAINER_OF(t, struct watcher, timer);
    if (eddy_handle_is_pending(&w->asker->query.handle_)) {
        w->seen = true;
        eddy_query_cancel(&w->asker->query);
    } else {
        eddy_loop_call_later(loop, t, 0);
    }
}

static void L82_cancel_between_the_answer_and_done(void)
{
    begin_www();
    struct asker a;
    struct watcher w = {.timer = {.fn = cancel_when_answered}, .asker = &a};
    ask(&a, "www.test", AF_INET);
    eddy_loop_call_later(loop, &w.timer, 0);
    CHECK(test_run_until(loop, test_is_true, &w.seen));
    check_goes_on();
    CHECK_INT(a.calls, 0);
    end();
}

static void cancel_user(struct asker *a)
{
    eddy_query_cancel(&((struct asker *)a->user)->query);
}

/* Both answers come in one datagram's time; whichever is done first ends the other. */
static void L82_cancel_inside_the_done_of_another(void)
{
    begin_www();
    hold();
    struct asker a, b;
    ask(&a, "www.test", AF_INET);
    ask(&b, "other.test", AF_INET);
    a.then = b.then = cancel_user;
    a.user = &b;
    b.user = &a;
    wait_until_held(2);
    release();
    check_goes_on();
    test_run_steps(loop, 5);
    CHECK_INT(a.calls + b.calls, 1);
    forget(&a);
    forget(&b);
    end();
}

static void cancel_self(struct asker *a)
{
    CHECK(!eddy_query_is_pending(&a->query));
    eddy_query_cancel(&a->query);
}

static void L82_cancel_inside_its_own_done(void)
{
    begin_www();
    struct asker a;
    ask(&a, "www.test", AF_INET)->then = cancel_self;
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.1");
    forget(&a);
    end();
}

static void ask_again(struct asker *a)
{
    if (a->calls < 3)
        start(a);
}

static bool is_answered_thrice(void *asker)
{
    return ((struct asker *)asker)->calls == 3;
}

static void L82_a_query_may_be_started_again_inside_its_done(void)
{
    begin_www();
    struct asker a;
    ask(&a, "www.test", AF_INET)->then = ask_again;
    CHECK(test_run_until(loop, is_answered_thrice, &a));
    CHECK_ADDRESSES(&a, "192.0.2.1");
    forget(&a);
    end();
}

static void free_self(struct asker *a)
{
    bool *freed = a->user;
    eddy_answer_free(a->answer);
    free(a);
    *freed = true;
}

static void L82_a_query_may_be_freed_inside_its_done(void)
{
    bool freed = false;
    begin_www();
    struct asker *a = malloc(sizeof *a);
    REQUIRE(a != NULL);
    ask(a, "www.test", AF_INET);
    a->then = free_self;
    a->user = &freed;
    CHECK(test_run_until(loop, test_is_true, &freed));
    end();
}

/* The memory may go at once: this is for the address sanitizer. */
static void L82_a_cancelled_query_may_be_freed(void)
{
    begin_www();
    hold();
    struct asker *a = malloc(sizeof *a);
    char *name = strdup("www.test");
    REQUIRE(a != NULL && name != NULL);
    ask(a, name, AF_UNSPEC);
    wait_until_held(2);
    eddy_query_cancel(&a->query);
    free(a);
    free(name);
    release();
    check_goes_on();
    end();
}

/* The answer to the first question comes first, and is not for the second. */
static void L82_a_cancelled_query_may_be_asked_again(void)
{
    begin_www();
    hold();
    struct asker a;
    ask(&a, "www.test", AF_INET);
    wait_until_held(1);
    eddy_query_cancel(&a.query);
    a.query.host = "other.test";
    start(&a);
    wait_until_held(2);
    release();
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.2");
    forget(&a);
    end();
}

static bool are_descriptors(void *count)
{
    return test_open_descriptors() <= *(int *)count;
}

#define MANY 50

/* What nobody waits for does not pile up, whatever the server does. */
static void L82_cancelled_look_ups_leave_nothing_behind(void)
{
    static struct asker askers[MANY];
    begin_www();
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    test_run_steps(loop, 3);
    int descriptors = test_open_descriptors();
    long live = test_live_allocations();
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    for (int i = 0; i < MANY; i++)
        ask(&askers[i], "www.test", AF_UNSPEC);
    wait_until_asked(1 + 2 * MANY);
    for (int i = 0; i < MANY; i++)
        eddy_query_cancel(&askers[i].query);
    CHECK(test_run_until(loop, are_descriptors, &descriptors));
    test_run_steps(loop, 3);
    CHECK_INT(test_live_allocations(), live);
    end();
}

/* One of many is still wanted. */
static void L82_cancelled_look_ups_do_not_disturb_the_others(void)
{
    static struct asker askers[MANY];
    begin_www();
    hold();
    for (int i = 0; i < MANY; i++)
        ask(&askers[i], "www.test", AF_INET);
    wait_until_held(MANY);
    for (int i = 0; i < MANY; i++)
        if (i != MANY / 2)
            eddy_query_cancel(&askers[i].query);
    test_run_steps(loop, 3);
    release();
    wait_for(&askers[MANY / 2]);
    CHECK_ADDRESSES(&askers[MANY / 2], "192.0.2.1");
    for (int i = 0; i < MANY; i++)
        CHECK_INT(askers[i].calls, i == MANY / 2);
    forget(&askers[MANY / 2]);
    end();
}

static void L82_cancel_of_a_future(void)
{
    begin_www();
    hold();
    struct eddy_future *f;
    REQUIRE(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "www.test", .family = AF_INET), &f) == 0);
    wait_until_held(1);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    release();
    check_goes_on();
    end();
}

/* ---- the loop closes ---- */

static void L82_a_loop_that_closes_with_look_ups_in_flight(void)
{
    static struct asker askers[3];
    begin_www();
    hold();
    ask(&askers[0], "www.test", AF_UNSPEC);
    ask(&askers[1], "other.test", AF_INET);
    wait_until_held(3);
    ask(&askers[2], "www.test", AF_INET6);
    CHECK_INT(eddy_loop_close(loop), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(askers[i].calls, 1);
        CHECK_INT(askers[i].code, EDDY_ELOOP_CLOSED);
        CHECK(!eddy_query_is_pending(&askers[i].query));
        forget(&askers[i]);
    }
    end();
}

static void ask_in_vain(struct asker *a)
{
    CHECK_INT(eddy_query_start(loop, &a->query, NULL), EDDY_ELOOP_CLOSED);
}

static void L82_a_closing_loop_takes_no_more_questions(void)
{
    begin_www();
    hold();
    struct asker a, b;
    ask(&a, "www.test", AF_INET)->then = ask_in_vain;
    ask(&b, "other.test", AF_INET)->then = cancel_user;
    b.user = &a;
    wait_until_held(2);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(a.calls, 1);
    CHECK_INT(b.calls, 1);
    end();
}

static void close_when_answered(struct eddy_timer *t)
{
    struct watcher *w = EDDY_CONTAINER_OF(t, struct watcher, timer);
    w->seen = eddy_handle_is_pending(&w->asker->query.handle_);
    if (w->seen)
        eddy_loop_stop(loop);
    else
        eddy_loop_call_later(loop, t, 0);
}

static void L82_a_loop_that_closes_between_the_answer_and_done(void)
{
    begin_www();
    struct asker a;
    struct watcher w = {.timer = {.fn = close_when_answered}, .asker = &a};
    ask(&a, "www.test", AF_INET);
    eddy_loop_call_later(loop, &w.timer, 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK(w.seen);
    CHECK_INT(a.calls, 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(a.calls, 1);
    CHECK_INT(a.code, EDDY_ELOOP_CLOSED);
    forget(&a);
    end();
}

static void L82_a_loop_that_closes_after_a_cancel(void)
{
    begin_www();
    hold();
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    wait_until_held(2);
    eddy_query_cancel(&a.query);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(a.calls, 0);
    end();
}

static void L82_a_loop_that_closes_with_a_TCP_connection(void)
{
    begin_www();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_HOLD));
    struct asker a;
    ask(&a, "www.test", AF_INET);
    wait_until_held(1);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(a.code, EDDY_ELOOP_CLOSED);
    forget(&a);
    end();
}

static void L82_a_future_in_flight_when_the_loop_closes(void)
{
    begin_www();
    hold();
    struct eddy_future *f;
    REQUIRE(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "www.test", .family = AF_INET), &f) == 0);
    wait_until_held(1);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
    eddy_future_unref(f);
    end();
}

const struct test_case test_cases[] = {
    TEST(L82_cancel_before_anybody_was_asked),
    TEST(L82_cancel_while_the_server_thinks),
    TEST(L82_cancel_when_half_of_the_answer_has_come),
    TEST(L82_cancel_while_TCP_is_at_work),
    TEST(L82_cancel_between_the_answer_and_done),
    TEST(L82_cancel_inside_the_done_of_another),
    TEST(L82_cancel_inside_its_own_done),
    TEST(L82_a_query_may_be_started_again_inside_its_done),
    TEST(L82_a_query_may_be_freed_inside_its_done),
    TEST(L82_a_cancelled_query_may_be_freed),
    TEST(L82_a_cancelled_query_may_be_asked_again),
    TEST(L82_cancelled_look_ups_leave_nothing_behind),
    TEST(L82_cancelled_look_ups_do_not_disturb_the_others),
    TEST(L82_cancel_of_a_future),
    TEST(L82_a_loop_that_closes_with_look_ups_in_flight),
    TEST(L82_a_closing_loop_takes_no_more_questions),
    TEST(L82_a_loop_that_closes_between_the_answer_and_done),
    TEST(L82_a_loop_that_closes_after_a_cancel),
    TEST(L82_a_loop_that_closes_with_a_TCP_connection),
    TEST(L82_a_future_in_flight_when_the_loop_closes),
    TEST_END,
};
