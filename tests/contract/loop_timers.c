/* Timers: their order, moving and cancelling them, their memory. */
/* backends: select poll epoll io_uring sim sim-late */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <stdlib.h>

static struct test_trace trace;
static struct eddy_loop *loop;

static void begin(void)
{
    trace_clear(&trace);
    loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    loop = NULL;
}

static bool trace_is_long_enough(void *tokens)
{
    return trace_count(&trace, "") >= *(int *)tokens;
}

static void run_until_tokens(int n)
{
    test_run_until(loop, trace_is_long_enough, &n);
}

/* ---- order and time ---- */

static void L43_G9_time_is_monotonic_nanoseconds(void)
{
    begin();
    eddy_nsec last = eddy_loop_time(loop);
    CHECK(last >= 0);
    for (int i = 0; i < 1000; i++) {
        eddy_nsec now = eddy_loop_time(loop);
        CHECK(now >= last);
        last = now;
    }
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(2)), 0);
    CHECK(eddy_loop_time(loop) - last >= EDDY_MSEC(2));
    CHECK(eddy_loop_time(loop) - last < EDDY_SEC(60));
    end();
}

static void L34_timers_run_in_order_of_due_time(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c");
    eddy_nsec now = eddy_loop_time(loop);
    eddy_loop_call_at(loop, &c.node, now + EDDY_MSEC(9));
    eddy_loop_call_at(loop, &a.node, now + EDDY_MSEC(3));
    eddy_loop_call_at(loop, &b.node, now + EDDY_MSEC(6));
    run_until_tokens(3);
    CHECK_TRACE(trace, "a b c");
    end();
}

static void L35_equal_times_run_in_order_of_starting(void)
{
    begin();
    enum { N = 26 };
    static const char names[N][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                     "j", "k", "l", "m", "n", "o", "p", "q", "r",
                                     "s", "t", "u", "v", "w", "x", "y", "z"};
    struct test_timer timers[N];
    eddy_nsec when = eddy_loop_time(loop) + EDDY_MSEC(2);
    for (int i = 0; i < N; i++) {
        timers[i] = (struct test_timer)TEST_TIMER(&trace, names[i]);
        eddy_loop_call_at(loop, &timers[i].node, when);
    }
    run_until_tokens(N);
    CHECK_TRACE(trace, "a b c d e f g h i j k l m n o p q r s t u v w x y z");
    end();
}

static void L34_a_time_in_the_past_is_due_in_the_next_iteration(void)
{
    begin();
    struct test_timer b = TEST_TIMER(&trace, "b"), a = TEST_TIMER(&trace, "a");
    eddy_nsec now = eddy_loop_time(loop);
    eddy_loop_call_at(loop, &b.node, now - EDDY_MSEC(1));
    eddy_loop_call_at(loop, &a.node, now - EDDY_SEC(1));
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b");
    end();
}

static void check_not_early(struct test_timer *t)
{
    CHECK(eddy_loop_time(loop) >= eddy_timer_when(&t->node));
}

static void L36_L33_a_timer_is_never_early(void)
{
    begin();
    enum { N = 40 };
    struct test_timer timers[N];
    for (int i = 0; i < N; i++) {
        eddy_nsec delay = EDDY_USEC(i * 137) + i;
        timers[i] = (struct test_timer)TEST_TIMER(&trace, "t", .then = check_not_early);
        eddy_nsec before = eddy_loop_time(loop);
        eddy_loop_call_later(loop, &timers[i].node, delay);
        eddy_nsec after = eddy_loop_time(loop);
        CHECK(eddy_timer_when(&timers[i].node) >= before + delay);
        CHECK(eddy_timer_when(&timers[i].node) <= after + delay);
    }
    run_until_tokens(N);
    end();
}

static void L40_a_timer_tells_its_due_time_before_and_after(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b");
    eddy_nsec when = eddy_loop_time(loop) + EDDY_MSEC(1);
    eddy_loop_call_at(loop, &a.node, when);
    eddy_loop_call_at(loop, &b.node, when + 5);
    CHECK_INT(eddy_timer_when(&a.node), when);
    eddy_timer_cancel(&b.node);
    CHECK_INT(eddy_timer_when(&b.node), when + 5);
    run_until_tokens(1);
    CHECK_TRACE(trace, "a");
    CHECK_INT(eddy_timer_when(&a.node), when);
    end();
}

/* ---- moving and cancelling ---- */

static void G13_a_pending_timer_moves_when_started_again(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c");
    eddy_nsec now = eddy_loop_time(loop);
    eddy_loop_call_at(loop, &a.node, now + EDDY_MSEC(1));
    eddy_loop_call_at(loop, &b.node, now + EDDY_MSEC(2));
    eddy_loop_call_at(loop, &c.node, now + EDDY_SEC(3600));
    eddy_loop_call_at(loop, &a.node, now + EDDY_MSEC(3));
    eddy_loop_call_at(loop, &c.node, now);
    CHECK_INT(eddy_timer_when(&a.node), now + EDDY_MSEC(3));
    run_until_tokens(3);
    CHECK_TRACE(trace, "c b a");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "c b a");
    end();
}

static void L35_a_moved_timer_queues_behind_its_equals(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c");
    eddy_nsec when = eddy_loop_time(loop) + EDDY_MSEC(2);
    eddy_loop_call_at(loop, &a.node, when - EDDY_MSEC(1));
    eddy_loop_call_at(loop, &b.node, when);
    eddy_loop_call_at(loop, &a.node, when);
    eddy_loop_call_at(loop, &c.node, when);
    run_until_tokens(3);
    CHECK_TRACE(trace, "b a c");
    end();
}

static void L39_cancelling_timers_is_idempotent_and_final(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b");
    eddy_timer_cancel(&a.node);
    CHECK(!eddy_timer_is_pending(&a.node));
    eddy_loop_call_later(loop, &a.node, 0);
    eddy_loop_call_later(loop, &b.node, 0);
    CHECK(eddy_timer_is_pending(&a.node));
    eddy_timer_cancel(&a.node);
    eddy_timer_cancel(&a.node);
    CHECK(!eddy_timer_is_pending(&a.node));
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "b");
    eddy_loop_call_later(loop, &a.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b a");
    eddy_timer_cancel(&a.node);
    end();
}

static void cancel_user(struct test_timer *t)
{
    CHECK(!eddy_timer_is_pending(&t->node));
    eddy_timer_cancel(t->user);
}

static void L39_G14_a_timer_cancelled_in_its_own_batch_does_not_run(void)
{
    begin();
    struct test_timer b = TEST_TIMER(&trace, "b"), c = TEST_TIMER(&trace, "c");
    struct test_timer a = TEST_TIMER(&trace, "a", .then = cancel_user, .user = &b.node);
    eddy_nsec now = eddy_loop_time(loop);
    eddy_loop_call_at(loop, &a.node, now);
    eddy_loop_call_at(loop, &b.node, now);
    eddy_loop_call_at(loop, &c.node, now);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a c");
    end();
}

static void cancel_user_timer(struct test_handle *h)
{
    eddy_timer_cancel(h->user);
}

static void L39_a_due_timer_cancelled_by_a_handle_does_not_run(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = cancel_user_timer, .user = &t.node);
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "h");
    end();
}

static void cancel_itself_and_free(struct test_timer *t)
{
    eddy_timer_cancel(&t->node);
    free(t);
}

static void restart_cancel_and_free(struct test_timer *t)
{
    eddy_loop_call_later(loop, &t->node, 0);
    cancel_itself_and_free(t);
}

static void start_new_timer(eddy_nsec when, void (*then)(struct test_timer *t))
{
    struct test_timer *t = malloc(sizeof *t);
    REQUIRE(t != NULL);
    *t = (struct test_timer)TEST_TIMER(&trace, "t", .then = then);
    eddy_loop_call_at(loop, &t->node, when);
}

static void G14_a_timer_may_free_itself(void)
{
    begin();
    struct test_timer last = TEST_TIMER(&trace, "last");
    eddy_nsec now = eddy_loop_time(loop);
    start_new_timer(now, cancel_itself_and_free);
    start_new_timer(now, restart_cancel_and_free);
    eddy_loop_call_at(loop, &last.node, now);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "t t last");
    end();
}

static void cancel_and_free_user(struct test_timer *t)
{
    struct test_timer *other = t->user;
    eddy_timer_cancel(&other->node);
    free(other);
}

static void G14_a_cancelled_timer_of_the_batch_may_be_freed(void)
{
    begin();
    struct test_timer *b = malloc(sizeof *b);
    REQUIRE(b != NULL);
    *b = (struct test_timer)TEST_TIMER(&trace, "b");
    struct test_timer a = TEST_TIMER(&trace, "a", .then = cancel_and_free_user, .user = b);
    eddy_nsec now = eddy_loop_time(loop);
    eddy_loop_call_at(loop, &a.node, now);
    eddy_loop_call_at(loop, &b->node, now);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a");
    end();
}

static void G13_a_timer_may_go_to_another_loop(void)
{
    begin();
    struct eddy_loop *other = NULL;
    REQUIRE(test_loop_new(&other) == 0);
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_later(other, &t.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "");
    test_run_steps(other, 1);
    CHECK_TRACE(trace, "t");
    test_loop_free(other);
    eddy_loop_call_later(loop, &t.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "t t");
    end();
}

/* ---- many ---- */

static void ten_thousand_cancelled_timers_keep_no_memory(void)
{
    begin();
    enum { N = 10000 };
    static struct eddy_timer timers[N];
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    long before = test_live_bytes();
    for (int i = 0; i < N; i++) {
        timers[i] = (struct eddy_timer){.fn = test_timer_fn};
        eddy_loop_call_later(loop, &timers[i], EDDY_SEC(60) + i);
    }
    for (int i = 0; i < N; i++)
        eddy_timer_cancel(&timers[(i * 7919) % N]);
    CHECK(test_live_bytes() - before < 16 * 1024);
    run_until_tokens(1);
    for (int round = 0; round < N; round++) {
        eddy_loop_call_later(loop, &timers[0], EDDY_SEC(60));
        eddy_timer_cancel(&timers[0]);
    }
    CHECK(test_live_bytes() - before < 16 * 1024);
    CHECK_TRACE(trace, "t");
    end();
}

struct ordered {
    struct eddy_timer timer;
    int *count;
    eddy_nsec *last;
};

static void check_order(struct eddy_timer *timer)
{
    struct ordered *o = EDDY_CONTAINER_OF(timer, struct ordered, timer);
    if (eddy_timer_when(timer) < *o->last)
        FAIL("a timer for %lld ran after one for %lld", (long long)eddy_timer_when(timer),
             (long long)*o->last);
    *o->last = eddy_timer_when(timer);
    ++*o->count;
}

/* Started, moved and cancelled in no order, from a fixed seed. */
static void L34_many_timers_run_in_order(void)
{
    begin();
    enum { N = 3000 };
    static struct ordered timers[N];
    unsigned seed = 12345;
    int count = 0, expected = 0;
    eddy_nsec last = 0, now = eddy_loop_time(loop);
    for (int i = 0; i < N; i++) {
        timers[i] = (struct ordered){.timer = {.fn = check_order}, .count = &count, .last = &last};
        seed = seed * 1103515245 + 12345;
        eddy_loop_call_at(loop, &timers[i].timer, now + (seed >> 8) % EDDY_MSEC(15));
    }
    for (int i = 0; i < N; i++) {
        seed = seed * 1103515245 + 12345;
        struct eddy_timer *t = &timers[(seed >> 8) % N].timer;
        if (seed & 0x10000)
            eddy_timer_cancel(t);
        else
            eddy_loop_call_at(loop, t, now + (seed >> 7) % EDDY_MSEC(15));
    }
    for (int i = 0; i < N; i++)
        expected += eddy_timer_is_pending(&timers[i].timer);
    CHECK(expected > N / 4);
    struct test_timer end_of_all = TEST_TIMER(&trace, "end");
    eddy_loop_call_at(loop, &end_of_all.node, now + EDDY_MSEC(16));
    run_until_tokens(1);
    CHECK_INT(count, expected);
    end();
}

/* ---- without memory ---- */

static void G5_timers_run_in_order_when_the_heap_has_no_memory(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c"), d = TEST_TIMER(&trace, "d");
    eddy_nsec now = eddy_loop_time(loop);
    /* The first timer of a loop needs the heap's memory; the next ones try again. */
    test_fail_allocation(1);
    eddy_loop_call_at(loop, &c.node, now + EDDY_MSEC(2));
    CHECK(test_allocation_failed());
    CHECK(eddy_timer_is_pending(&c.node));
    CHECK_INT(eddy_timer_when(&c.node), now + EDDY_MSEC(2));
    test_fail_allocation(1);
    eddy_loop_call_at(loop, &a.node, now + EDDY_MSEC(1));
    CHECK(test_allocation_failed());
    eddy_loop_call_at(loop, &b.node, now + EDDY_MSEC(1));
    test_fail_allocation(1);
    eddy_loop_call_at(loop, &d.node, now + EDDY_MSEC(3));
    test_fail_allocation(0);
    run_until_tokens(4);
    CHECK_TRACE(trace, "a b c d");
    end();
}

static void G5_L39_a_timer_without_memory_can_be_cancelled_and_moved(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b");
    test_fail_allocation(1);
    eddy_loop_call_later(loop, &a.node, 0);
    test_fail_allocation(1);
    eddy_loop_call_later(loop, &b.node, EDDY_SEC(3600));
    CHECK(test_allocation_failed());
    eddy_timer_cancel(&a.node);
    CHECK(!eddy_timer_is_pending(&a.node));
    test_fail_allocation(1);
    eddy_loop_call_later(loop, &b.node, 0);
    test_fail_allocation(0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "b");
    end();
}

static void G5_L15_close_unlinks_timers_that_had_no_memory(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a");
    test_fail_allocation(1);
    eddy_loop_call_later(loop, &a.node, 0);
    CHECK(test_allocation_failed());
    end();
    CHECK(!eddy_timer_is_pending(&a.node));
    CHECK_TRACE(trace, "");
}

const struct test_case test_cases[] = {
    TEST(L43_G9_time_is_monotonic_nanoseconds),
    TEST(L34_timers_run_in_order_of_due_time),
    TEST(L35_equal_times_run_in_order_of_starting),
    TEST(L34_a_time_in_the_past_is_due_in_the_next_iteration),
    TEST(L36_L33_a_timer_is_never_early),
    TEST(L40_a_timer_tells_its_due_time_before_and_after),
    TEST(G13_a_pending_timer_moves_when_started_again),
    TEST(L35_a_moved_timer_queues_behind_its_equals),
    TEST(L39_cancelling_timers_is_idempotent_and_final),
    TEST(L39_G14_a_timer_cancelled_in_its_own_batch_does_not_run),
    TEST(L39_a_due_timer_cancelled_by_a_handle_does_not_run),
    TEST(G14_a_timer_may_free_itself),
    TEST(G14_a_cancelled_timer_of_the_batch_may_be_freed),
    TEST(G13_a_timer_may_go_to_another_loop),
    TEST(ten_thousand_cancelled_timers_keep_no_memory),
    TEST(L34_many_timers_run_in_order),
    TEST(G5_timers_run_in_order_when_the_heap_has_no_memory),
    TEST(G5_L39_a_timer_without_memory_can_be_cancelled_and_moved),
    TEST(G5_L15_close_unlinks_timers_that_had_no_memory),
    TEST_END,
};
