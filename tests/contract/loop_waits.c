/* How long the loop sleeps, and what it makes of readiness: by a scripted selector and clock. */
#include "tests/support/nodes.h"
#include "tests/support/script.h"
#include "tests/support/test.h"
#include <stdlib.h>
#include <unistd.h>

static struct test_trace trace;
static struct test_script script;
static struct eddy_loop *loop;
static int fds[2];

static void begin(void)
{
    trace_clear(&trace);
    loop = NULL;
    REQUIRE(test_script_loop(&script, &loop) == 0);
    test_socketpair(fds);
}

static void end(void)
{
    test_loop_free(loop);
    CHECK_INT(script.closes, 1);
    close(fds[0]);
    close(fds[1]);
}

/* ---- the time-out ---- */

static void L19_L26_an_idle_loop_waits_without_end(void)
{
    begin();
    CHECK_INT(eddy_loop_run_forever(loop), 0); /* the script stops it then */
    CHECK_INT(script.waits, 1);
    CHECK(script.timeouts[0] == EDDY_FOREVER);
    end();
}

static void L26_nothing_sleeps_while_a_handle_is_ready(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(5));
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(script.timeouts[0], 0);
    CHECK_INT(script.timeouts[1], EDDY_SEC(5));
    CHECK_TRACE(trace, "h t");
    end();
}

static void L6_L26_nothing_sleeps_when_stop_was_called(void)
{
    begin();
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(script.waits, 1);
    CHECK_INT(script.timeouts[0], 0);
    end();
}

static void L26_nothing_sleeps_while_a_post_is_queued(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(script.timeouts[0], 0);
    CHECK_TRACE(trace, "p");
    end();
}

static void L26_L37_the_wait_ends_with_the_nearest_timer(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b");
    eddy_loop_call_later(loop, &a.node, EDDY_MSEC(500) + 7);
    eddy_loop_call_later(loop, &b.node, EDDY_MSEC(200) + 1);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "b a");
    CHECK_INT(script.waits, 3);
    CHECK_INT(script.timeouts[0], EDDY_MSEC(200) + 1);
    CHECK_INT(script.timeouts[1], EDDY_MSEC(300) + 6);
    CHECK(script.timeouts[2] == EDDY_FOREVER);
    end();
}

static void L26_no_wait_is_longer_than_a_day(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(60 * 60 * 60));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(script.timeouts[0], EDDY_SEC(24 * 60 * 60));
    CHECK_INT(script.timeouts[1], EDDY_SEC(24 * 60 * 60));
    CHECK_INT(script.timeouts[2], EDDY_SEC(12 * 60 * 60));
    CHECK_TRACE(trace, "t");
    end();
}

static void L38_a_timer_set_for_ever_does_not_end_the_wait(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t"), u = TEST_TIMER(&trace, "u");
    eddy_loop_call_later(loop, &t.node, EDDY_FOREVER);
    eddy_loop_call_at(loop, &u.node, EDDY_FOREVER);
    CHECK(eddy_timer_when(&t.node) == EDDY_FOREVER);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK(script.timeouts[0] == EDDY_FOREVER);
    CHECK_TRACE(trace, "");
    eddy_timer_cancel(&t.node);
    CHECK(!eddy_timer_is_pending(&t.node));
    end();
    CHECK(!eddy_timer_is_pending(&u.node));
}

static void L26_a_timer_of_the_past_is_due_at_once(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c");
    eddy_loop_call_at(loop, &a.node, 0);
    eddy_loop_call_at(loop, &b.node, INT64_MIN);
    eddy_loop_call_later(loop, &c.node, INT64_MIN);
    CHECK_INT(eddy_loop_timeout(loop), 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(script.timeouts[0], 0);
    CHECK_TRACE(trace, "b a c");
    end();
}

static void L33_a_delay_past_the_end_of_time_is_for_ever(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_FOREVER - 1);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "");
    CHECK(script.timeouts[0] > 0);
    end();
}

static void L36_a_wait_that_ends_early_runs_no_timer(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(10));
    script.wake_late = -1;
    CHECK_INT(eddy_loop_run_once(loop, EDDY_FOREVER), 0);
    CHECK_TRACE(trace, "");
    script.wake_late = 0;
    CHECK_INT(eddy_loop_run_once(loop, EDDY_FOREVER), 0);
    CHECK_INT(script.timeouts[1], 1);
    CHECK_TRACE(trace, "t");
    end();
}

static void L34_a_late_wait_runs_all_due_timers_in_order(void)
{
    begin();
    struct test_timer a = TEST_TIMER(&trace, "a"), b = TEST_TIMER(&trace, "b"),
                      c = TEST_TIMER(&trace, "c"), d = TEST_TIMER(&trace, "d");
    eddy_loop_call_later(loop, &c.node, EDDY_MSEC(30));
    eddy_loop_call_later(loop, &a.node, EDDY_MSEC(10));
    eddy_loop_call_later(loop, &d.node, EDDY_MSEC(50));
    eddy_loop_call_later(loop, &b.node, EDDY_MSEC(20));
    script.wake_late = EDDY_MSEC(25);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_FOREVER), 0);
    CHECK_TRACE(trace, "a b c");
    end();
}

/* ---- the clock within an iteration ---- */

static void take_a_second(struct test_handle *h)
{
    (void)h;
    script.now += EDDY_SEC(1);
}

static void L23_the_cut_is_fixed_before_the_batch(void)
{
    begin();
    struct test_timer due = TEST_TIMER(&trace, "due"), later = TEST_TIMER(&trace, "later");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = take_a_second);
    eddy_loop_call_later(loop, &due.node, 0);
    eddy_loop_call_later(loop, &later.node, EDDY_MSEC(500));
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "h due");
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "h due later");
    end();
}

static void block_and_set(struct test_handle *h)
{
    script.now += EDDY_SEC(1);
    eddy_loop_call_later(loop, h->user, EDDY_MSEC(100));
}

static void L36_L33_a_timer_set_after_a_long_callback_is_not_early(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = block_and_set, .user = &t.node);
    eddy_nsec start = script.now;
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h t");
    CHECK_INT(eddy_timer_when(&t.node), start + EDDY_MSEC(1100));
    CHECK_INT(script.now, start + EDDY_MSEC(1100));
    end();
}

struct stamp {
    struct test_timer timer;
    eddy_nsec ran;
};

static void stamp_and_block(struct test_timer *t)
{
    EDDY_CONTAINER_OF(t, struct stamp, timer)->ran = script.now;
    script.now += EDDY_MSEC(200);
}

static void B3_a_blocking_callback_delays_the_timers_behind_it(void)
{
    begin();
    struct stamp a = {.timer = TEST_TIMER(&trace, "a", .then = stamp_and_block)};
    struct stamp b = {.timer = TEST_TIMER(&trace, "b", .then = stamp_and_block)};
    eddy_nsec start = script.now;
    eddy_loop_call_later(loop, &a.timer.node, EDDY_MSEC(100));
    eddy_loop_call_later(loop, &b.timer.node, EDDY_MSEC(200));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a b");
    CHECK_INT(a.ran, start + EDDY_MSEC(100));
    CHECK_INT(b.ran, start + EDDY_MSEC(300));
    end();
}

static void restart_at_once(struct test_timer *t)
{
    if (trace_count(&trace, "t") < 4)
        eddy_loop_call_later(loop, &t->node, 0);
}

static void L23_G13_a_timer_that_restarts_itself_runs_once_per_iteration(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t", .then = restart_at_once);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "t");
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "t t t t");
    CHECK_INT(script.waits, 5);
    end();
}

/* ---- readiness ---- */

static void L24_io_comes_in_the_selectors_order(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a"), b = TEST_WATCH(&trace, "b");
    REQUIRE(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ) == 0);
    REQUIRE(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_READ) == 0);
    test_script_ready(&script, fds[1], EDDY_READ);
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "b(R) a(R)");
    end();
}

static void remove_user(struct test_watch *w)
{
    eddy_watch_remove(w->user);
}

static void L58_G14_a_watch_removed_in_its_own_batch_is_not_called(void)
{
    begin();
    struct test_watch b = TEST_WATCH(&trace, "b");
    struct test_watch a = TEST_WATCH(&trace, "a", .then = remove_user, .user = &b.node);
    REQUIRE(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ) == 0);
    REQUIRE(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_READ) == 0);
    test_script_ready(&script, fds[0], EDDY_READ);
    test_script_ready(&script, fds[1], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "a(R)");
    end();
}

static void remove_other_by_handle(struct test_handle *h)
{
    eddy_watch_remove(h->user);
}

static void L58_a_watch_removed_by_the_batch_before_io_is_not_called(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_handle h =
        TEST_HANDLE(&trace, "h", .then = remove_other_by_handle, .user = &w.node);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ) == 0);
    eddy_loop_call_soon(loop, &h.node);
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "h");
    end();
}

struct reuse {
    struct test_watch *old, *replacement;
    int fd;
};

/* The descriptor's number is given to something new while an event for the old one is queued. */
static void reuse_number(struct test_watch *w)
{
    struct reuse *r = w->user;
    eddy_watch_remove(&r->old->node);
    int other = dup(fds[0]);
    CHECK_INT(dup2(other, r->fd), r->fd);
    close(other);
    CHECK_INT(eddy_loop_add_watch(loop, &r->replacement->node, r->fd, EDDY_READ), 0);
}

static void L62_a_reused_number_gets_no_stale_event(void)
{
    begin();
    struct test_watch b = TEST_WATCH(&trace, "b"), c = TEST_WATCH(&trace, "c");
    struct reuse r = {&b, &c, fds[1]};
    struct test_watch a = TEST_WATCH(&trace, "a", .then = reuse_number, .user = &r);
    REQUIRE(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ) == 0);
    REQUIRE(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_READ) == 0);
    test_script_ready(&script, fds[0], EDDY_READ);
    test_script_ready(&script, fds[1], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "a(R)");
    a.then = NULL;
    test_script_ready(&script, fds[1], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "a(R) c(R)");
    end();
}

/* An event that a selector tells after the removal, for a cookie that is gone. */
static void L62_a_late_event_of_a_removed_watch_is_dropped(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a"), b = TEST_WATCH(&trace, "b");
    REQUIRE(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ) == 0);
    uint64_t old = script.fds[fds[0]].cookie;
    eddy_watch_remove(&a.node);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    REQUIRE(eddy_loop_add_watch(loop, &b.node, fds[0], EDDY_READ) == 0);
    uint64_t current = script.fds[fds[0]].cookie;
    CHECK(old != current);
    script.fds[fds[0]].cookie = old;
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "");
    script.fds[fds[0]].cookie = current;
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "b(R)");
    end();
}

static void L25_a_watch_for_both_directions_is_called_once(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ | EDDY_WRITE) == 0);
    test_script_ready(&script, fds[0], EDDY_READ | EDDY_WRITE);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "w(RW)");
    test_script_ready(&script, fds[0], EDDY_WRITE);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "w(RW) w(W)");
    end();
}

static void L25_of_two_watches_the_reader_comes_first(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w"), r = TEST_WATCH(&trace, "r");
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    REQUIRE(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ) == 0);
    test_script_ready(&script, fds[0], EDDY_READ | EDDY_WRITE);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "r(R) w(W)");
    end();
}

static void L58_the_reader_may_remove_the_writer_of_its_descriptor(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_watch r = TEST_WATCH(&trace, "r", .then = remove_user, .user = &w.node);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    REQUIRE(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ) == 0);
    test_script_ready(&script, fds[0], EDDY_READ | EDDY_WRITE);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "r(R)");
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_READ);
    end();
}

/* ---- what the selector is told ---- */

static void L56_interest_nobody_has_is_removed(void)
{
    begin();
    struct test_watch r = TEST_WATCH(&trace, "r"), w = TEST_WATCH(&trace, "w");
    REQUIRE(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ) == 0);
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_READ);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_READ | EDDY_WRITE);
    eddy_watch_remove(&r.node);
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_WRITE);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), 0);
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_READ);
    eddy_watch_remove(&w.node);
    CHECK_INT(test_script_interest(&script, fds[0]), 0);
    end();
}

static void L59_a_refused_descriptor_leaves_nothing_registered(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a"), b = TEST_WATCH(&trace, "b");
    script.fail_set = -EPERM;
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ), -EPERM);
    CHECK_INT(test_script_interest(&script, fds[0]), 0);
    CHECK_INT(eddy_watch_modify(&a.node, EDDY_READ), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[0], EDDY_READ), 0);
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "b(R)");
    end();
}

static void G3_a_refused_second_direction_leaves_the_first(void)
{
    begin();
    struct test_watch r = TEST_WATCH(&trace, "r"), w = TEST_WATCH(&trace, "w");
    REQUIRE(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ) == 0);
    script.fail_set = -ENOSPC;
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), -ENOSPC);
    script.fail_set = -ENOSPC;
    CHECK_INT(eddy_watch_modify(&r.node, EDDY_READ | EDDY_WRITE), -ENOSPC);
    CHECK_INT(test_script_interest(&script, fds[0]), EDDY_READ);
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_TRACE(trace, "r(R)");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    end();
}

static void post_from_wait(struct test_script *s)
{
    struct test_post *p = s->user;
    s->on_wait = NULL;
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->node), 0);
}

/* What arrives during the wait belongs to this iteration's batch, before I/O and timers. */
static void L22_posts_are_taken_after_the_wait(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_timer t = TEST_TIMER(&trace, "t");
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ) == 0);
    eddy_loop_call_later(loop, &t.node, 0);
    script.on_wait = post_from_wait;
    script.user = &p;
    test_script_ready(&script, fds[0], EDDY_READ);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_FOREVER), 0);
    CHECK_TRACE(trace, "p w(R) t");
    end();
}

const struct test_case test_cases[] = {
    TEST(L19_L26_an_idle_loop_waits_without_end),
    TEST(L26_nothing_sleeps_while_a_handle_is_ready),
    TEST(L6_L26_nothing_sleeps_when_stop_was_called),
    TEST(L26_nothing_sleeps_while_a_post_is_queued),
    TEST(L26_L37_the_wait_ends_with_the_nearest_timer),
    TEST(L26_no_wait_is_longer_than_a_day),
    TEST(L38_a_timer_set_for_ever_does_not_end_the_wait),
    TEST(L26_a_timer_of_the_past_is_due_at_once),
    TEST(L33_a_delay_past_the_end_of_time_is_for_ever),
    TEST(L36_a_wait_that_ends_early_runs_no_timer),
    TEST(L34_a_late_wait_runs_all_due_timers_in_order),
    TEST(L23_the_cut_is_fixed_before_the_batch),
    TEST(L36_L33_a_timer_set_after_a_long_callback_is_not_early),
    TEST(B3_a_blocking_callback_delays_the_timers_behind_it),
    TEST(L23_G13_a_timer_that_restarts_itself_runs_once_per_iteration),
    TEST(L24_io_comes_in_the_selectors_order),
    TEST(L58_G14_a_watch_removed_in_its_own_batch_is_not_called),
    TEST(L58_a_watch_removed_by_the_batch_before_io_is_not_called),
    TEST(L62_a_reused_number_gets_no_stale_event),
    TEST(L62_a_late_event_of_a_removed_watch_is_dropped),
    TEST(L25_a_watch_for_both_directions_is_called_once),
    TEST(L25_of_two_watches_the_reader_comes_first),
    TEST(L58_the_reader_may_remove_the_writer_of_its_descriptor),
    TEST(L56_interest_nobody_has_is_removed),
    TEST(L59_a_refused_descriptor_leaves_nothing_registered),
    TEST(G3_a_refused_second_direction_leaves_the_first),
    TEST(L22_posts_are_taken_after_the_wait),
    TEST_END,
};
