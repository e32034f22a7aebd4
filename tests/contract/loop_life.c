/* The loop's life: making, running, stopping, closing, freeing. */
/* backends: select poll epoll io_uring sim sim-late */
#include "tests/support/nodes.h"
#include "tests/support/script.h"
#include "tests/support/test.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

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

/* ---- a new loop ---- */

static void L1_new_loop_is_idle_and_open(void)
{
    unsetenv("EDDY_DEBUG");
    begin();
    CHECK(!eddy_loop_is_running(loop));
    CHECK(!eddy_loop_is_closed(loop));
    CHECK(!eddy_loop_get_debug(loop));
    CHECK(eddy_loop_get_problem_handler(loop) == NULL);
    CHECK(eddy_get_running_loop() == NULL);
    CHECK(eddy_loop_user(loop) == NULL);
    if (test_backend() && !test_is_sim())
        CHECK_STR(eddy_loop_backend_name(loop), test_backend());
    end();
}

static void L1_user_pointer_is_kept(void)
{
    int mine;
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.user = &mine), &loop) == 0);
    CHECK(eddy_loop_user(loop) == &mine);
    end();
}

static void G10_each_reference_keeps_the_loop(void)
{
    begin();
    CHECK(eddy_loop_ref(loop) == loop);
    eddy_loop_ref(loop);
    eddy_loop_unref(loop);
    eddy_loop_unref(loop);
    CHECK(!eddy_loop_is_closed(loop));
    eddy_loop_unref(NULL);
    end();
}

/* ---- runs ---- */

static void L2_run_forever_runs_until_stop(void)
{
    begin();
    struct test_handle b = TEST_HANDLE(&trace, "b", .then = test_handle_stop, .user = loop);
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_handle a = TEST_HANDLE(&trace, "a");
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    eddy_loop_call_soon(loop, &a.node);
    t.then = test_timer_stop;
    t.user = loop;
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a t");
    eddy_loop_call_soon(loop, &b.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a t b");
    end();
}

static void check_state_in_run(struct test_handle *h)
{
    CHECK(eddy_loop_is_running(loop));
    CHECK(eddy_get_running_loop() == loop);
    eddy_loop_stop(h->user);
}

static void check_state_after_run(void)
{
    CHECK(!eddy_loop_is_running(loop));
    CHECK(eddy_get_running_loop() == NULL);
}

static void L4_run_forever_sets_and_undoes_running(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = check_state_in_run, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h");
    check_state_after_run();
    end();
}

static void L4_run_once_sets_and_undoes_running(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = check_state_in_run, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(1)), 0);
    CHECK_TRACE(trace, "h");
    check_state_after_run();
    end();
}

static void L4_run_until_complete_sets_and_undoes_running(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = check_state_in_run, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), EDDY_ENOT_COMPLETED);
    CHECK_TRACE(trace, "h");
    check_state_after_run();
    eddy_future_unref(f);
    end();
}

static void L3_runs_on_a_closed_loop_are_refused(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_run_once(loop, 0), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), EDDY_ELOOP_CLOSED);
    check_state_after_run();
    eddy_future_unref(f);
    end();
}

static void run_again(struct test_handle *h)
{
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_run_once(loop, 0), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_run_until_complete(loop, h->user, NULL), EDDY_ELOOP_RUNNING);
    CHECK(eddy_loop_is_running(loop));
    CHECK(eddy_get_running_loop() == loop);
}

static void L3_G23_nested_run_is_refused_and_changes_nothing(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = run_again, .user = f);
    struct test_handle b = TEST_HANDLE(&trace, "b", .then = test_handle_stop, .user = loop);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a b");
    check_state_after_run();
    CHECK(!eddy_future_is_done(f));
    eddy_future_unref(f);
    end();
}

static void run_other(struct test_handle *h)
{
    struct eddy_loop *other = h->user;
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(other, &f) == 0);
    CHECK_INT(eddy_loop_run_forever(other), EDDY_EOTHER_LOOP);
    CHECK_INT(eddy_loop_run_once(other, 0), EDDY_EOTHER_LOOP);
    CHECK_INT(eddy_loop_run_until_complete(other, f, NULL), EDDY_EOTHER_LOOP);
    CHECK(!eddy_loop_is_running(other));
    CHECK(eddy_get_running_loop() == loop);
    eddy_future_unref(f);
    eddy_loop_stop(loop);
}

static void L3_another_loop_in_the_same_thread_is_refused(void)
{
    begin();
    struct eddy_loop *other = NULL;
    REQUIRE(test_loop_new(&other) == 0);
    struct test_handle theirs = TEST_HANDLE(&trace, "theirs");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = run_other, .user = other);
    eddy_loop_call_soon(other, &theirs.node);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h");
    test_run_steps(other, 1);
    CHECK_TRACE(trace, "h theirs");
    test_loop_free(other);
    end();
}

/* ---- stop ---- */

static void schedule_user(struct test_handle *h)
{
    eddy_loop_call_soon(loop, h->user);
}

static void E31_L5_stop_lets_the_iteration_finish(void)
{
    begin();
    struct test_handle c = TEST_HANDLE(&trace, "c");
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = schedule_user, .user = &c.node);
    struct test_handle stop = TEST_HANDLE(&trace, "stop", .then = test_handle_stop, .user = loop);
    struct test_handle b = TEST_HANDLE(&trace, "b");
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &stop.node);
    eddy_loop_call_soon(loop, &b.node);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a stop b t");
    CHECK(eddy_handle_is_pending(&c.node));
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a stop b t c");
    end();
}

static void E32_L6_stop_before_run_gives_one_iteration(void)
{
    begin();
    struct test_handle again = TEST_HANDLE(&trace, "again");
    struct test_handle x = TEST_HANDLE(&trace, "x", .then = schedule_user, .user = &again.node);
    struct test_timer far = TEST_TIMER(&trace, "far");
    eddy_loop_stop(loop);
    eddy_loop_call_soon(loop, &x.node);
    eddy_loop_call_later(loop, &far.node, EDDY_SEC(3600));
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK(eddy_loop_time(loop) - before < EDDY_SEC(3000));
    CHECK_TRACE(trace, "x");
    eddy_handle_cancel(&again.node);
    eddy_timer_cancel(&far.node);
    end();
}

static void L6_stop_flag_is_clear_after_the_run(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(2));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "t");
    end();
}

static void L7_repeated_stops_equal_one(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    for (int i = 0; i < 5; i++)
        eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "");
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(2));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "t");
    end();
}

static void L7_stop_on_a_closed_loop_is_harmless(void)
{
    begin();
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_stop(loop);
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ELOOP_CLOSED);
    end();
}

/* ---- run_until_complete ---- */

static void set_result_of_user(struct test_handle *h)
{
    static int value = 42;
    CHECK_INT(eddy_future_set_result(h->user, &value, NULL), 0);
}

static void L8_run_until_complete_returns_the_value(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = set_result_of_user, .user = f);
    eddy_loop_call_soon(loop, &h.node);
    void *value = NULL;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    REQUIRE(value != NULL);
    CHECK_INT(*(int *)value, 42);
    eddy_future_unref(f);
    end();
}

static void fail_user(struct test_handle *h)
{
    CHECK_INT(eddy_future_set_error(h->user, EDDY_ERROR(-EPROTO, "as told")), 0);
}

static void L8_G1_run_until_complete_returns_the_error(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = fail_user, .user = f);
    eddy_loop_call_soon(loop, &h.node);
    void *value = &trace;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), -EPROTO);
    CHECK(value == &trace);
    eddy_future_unref(f);
    end();
}

static void cancel_user(struct test_handle *h)
{
    CHECK(eddy_future_cancel(h->user, NULL));
}

static void L8_run_until_complete_returns_cancelled(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = cancel_user, .user = f);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -ECANCELED);
    eddy_future_unref(f);
    end();
}

static void G4_L9_run_until_complete_refuses_what_is_no_future_of_its_own(void)
{
    begin();
    struct eddy_loop *other = NULL;
    struct eddy_future *f = NULL;
    struct test_handle h = TEST_HANDLE(&trace, "h");
    REQUIRE(test_loop_new(&other) == 0);
    REQUIRE(eddy_future_new(other, &f) == 0);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -EINVAL);
    CHECK_INT(eddy_loop_run_until_complete(loop, NULL, NULL), -EINVAL);
    CHECK_TRACE(trace, "");
    eddy_handle_cancel(&h.node);
    eddy_future_unref(f);
    test_loop_free(other);
    end();
}

static void L10_stop_first_leaves_the_future_pending(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle stop = TEST_HANDLE(&trace, "stop", .then = test_handle_stop, .user = loop);
    struct test_handle set = TEST_HANDLE(&trace, "set", .then = set_result_of_user, .user = f);
    eddy_loop_call_soon(loop, &stop.node);
    void *value = &trace;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), EDDY_ENOT_COMPLETED);
    CHECK(value == &trace);
    CHECK(!eddy_future_is_done(f));
    eddy_loop_call_soon(loop, &set.node);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    CHECK(value != &trace);
    CHECK_TRACE(trace, "stop set");
    eddy_future_unref(f);
    end();
}

static void L12_a_run_left_early_leaves_no_hook_behind(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle stop = TEST_HANDLE(&trace, "stop", .then = test_handle_stop, .user = loop);
    struct test_handle set = TEST_HANDLE(&trace, "set", .then = set_result_of_user, .user = f);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_soon(loop, &stop.node);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), EDDY_ENOT_COMPLETED);
    eddy_loop_call_soon(loop, &set.node);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(5));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "stop set t");
    eddy_future_unref(f);
    end();
}

static void L11_a_completed_future_still_gets_an_iteration(void)
{
    begin();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_future_set_result(f, NULL, NULL), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_TRACE(trace, "h");
    eddy_future_unref(f);
    end();
}

static void G20_stop_from_any_callback_ends_the_run(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    struct test_post p = TEST_POST(&trace, "p", .then = test_post_stop, .user = loop);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "t p");
    end();
}

/* ---- close ---- */

static void close_it(struct test_handle *h)
{
    CHECK_INT(eddy_loop_close(loop), EDDY_ELOOP_RUNNING);
    CHECK(!eddy_loop_is_closed(loop));
    eddy_loop_stop(h->user);
}

static void L14_G23_close_of_a_running_loop_is_refused(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = close_it, .user = loop);
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(3600));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK(eddy_timer_is_pending(&t.node));
    CHECK_TRACE(trace, "h");
    end();
    CHECK(!eddy_timer_is_pending(&t.node));
}

static void L14_second_close_does_nothing(void)
{
    begin();
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(eddy_loop_is_closed(loop));
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(eddy_loop_is_closed(loop));
    end();
}

static void L15_G13_close_unlinks_nodes_for_use_elsewhere(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(1));
    REQUIRE(eddy_loop_add_signal(loop, &s.node, SIGUSR1) == 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "");
    CHECK(!eddy_handle_is_pending(&h.node));
    CHECK(!eddy_timer_is_pending(&t.node));
    end();

    begin();
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "h s(USR1) t");
    end();
}

static void L15_close_runs_queued_posts_with_an_error(void)
{
    begin();
    struct test_post a = TEST_POST(&trace, "a"), b = TEST_POST(&trace, "b");
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &a.node), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &b.node), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "a(ELOOP_CLOSED) b(ELOOP_CLOSED)");
    end();
}

static void post_user(struct test_handle *h)
{
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, h->user), 0);
    eddy_loop_stop(loop);
}

/* Posts from the loop's own thread are queued among the handles, yet are still posts. */
static void L15_L30_posts_of_the_loops_thread_are_run_at_close(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = post_user, .user = &p.node);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "h p(ELOOP_CLOSED)");
    end();

    begin();
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "p");
    end();
}

static void try_everything_when_closed(struct test_post *p)
{
    struct eddy_future *f = NULL;
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    CHECK(eddy_loop_is_closed(loop));
    CHECK_INT(eddy_loop_close(loop), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_run_once(loop, 0), EDDY_ELOOP_CLOSED);
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_at(loop, &t.node, 0);
    CHECK(!eddy_handle_is_pending(&h.node));
    CHECK(!eddy_timer_is_pending(&t.node));
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->node), EDDY_ELOOP_CLOSED);
    if (CHECK_INT(eddy_future_new(loop, &f), 0))
        eddy_future_unref(f);
}

/* What a reconnecting client meets: refused where there is a result, silent where there is none. */
static void L16_callbacks_of_close_find_the_loop_closed(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p", .then = try_everything_when_closed);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "p(ELOOP_CLOSED)");
    end();
}

static void L17_a_closed_loop_refuses(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    int fds[2];
    test_socketpair(fds);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), EDDY_ENOT_REGISTERED);
    eddy_watch_remove(&w.node);
    eddy_signal_remove(&s.node);
    CHECK_TRACE(trace, "");
    close(fds[0]);
    close(fds[1]);
    end();
}

static void L17_scheduling_on_a_closed_loop_is_reported(void)
{
    struct test_problems problems = {0};
    trace_clear(&trace);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &problems),
                               &loop) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(problems.count, 1);
    CHECK_INT(problems.code, EDDY_ELOOP_CLOSED);
    CHECK(problems.loop == loop);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(problems.count, 2);
    eddy_loop_call_at(loop, &t.node, 0);
    CHECK_INT(problems.count, 3);
    CHECK(!eddy_handle_is_pending(&h.node));
    CHECK(!eddy_timer_is_pending(&t.node));
    end();
    CHECK_TRACE(trace, "");
}

static void L17_a_closed_loop_still_answers(void)
{
    begin();
    struct eddy_future *f = NULL;
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(eddy_loop_is_closed(loop));
    CHECK(!eddy_loop_is_running(loop));
    CHECK(!eddy_loop_get_debug(loop));
    eddy_nsec time = eddy_loop_time(loop);
    CHECK(eddy_loop_time(loop) >= time);
    CHECK(eddy_loop_backend_name(loop) != NULL);
    if (CHECK_INT(eddy_future_new(loop, &f), 0)) {
        CHECK(eddy_future_loop(f) == loop);
        eddy_future_unref(f);
    }
    end();
}

/* ---- the last reference ---- */

/* The sim's loop is freed by its pair, so these make theirs themselves. */
static bool new_plain_loop(void)
{
    trace_clear(&trace);
    loop = NULL;
    if (test_is_sim())
        return false;
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &loop) == 0);
    return true;
}

static void L18_the_last_reference_closes_with_a_warning(void)
{
    if (!new_plain_loop())
        return;
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_post p = TEST_POST(&trace, "p");
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    test_expect_log("unclosed event loop");
    eddy_loop_unref(loop);
    CHECK_TRACE(trace, "p(ELOOP_CLOSED)");
    CHECK(!eddy_handle_is_pending(&h.node));
    CHECK(!eddy_timer_is_pending(&t.node));
    CHECK_INT(test_count_log("unclosed event loop"), 1);
}

static void take_reference(struct test_post *p)
{
    eddy_loop_ref(p->user);
}

static void L18_G10_a_reference_taken_while_it_is_closed_counts(void)
{
    if (!new_plain_loop())
        return;
    struct test_post p = TEST_POST(&trace, "p", .then = take_reference, .user = loop);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    test_expect_log("unclosed event loop");
    eddy_loop_unref(loop);
    CHECK_TRACE(trace, "p(ELOOP_CLOSED)");
    CHECK(eddy_loop_is_closed(loop));
    eddy_loop_unref(loop);
}

static void drop_reference(struct test_handle *h)
{
    eddy_loop_unref(h->user);
}

static void L18_G12_the_run_keeps_the_loop_alive(void)
{
    if (!new_plain_loop())
        return;
    struct test_handle drop = TEST_HANDLE(&trace, "drop", .then = drop_reference, .user = loop);
    struct test_handle after = TEST_HANDLE(&trace, "after");
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_soon(loop, &drop.node);
    eddy_loop_call_soon(loop, &after.node);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(2));
    test_expect_log("unclosed event loop");
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "drop after t");
    CHECK(eddy_get_running_loop() == NULL);
}

static void L18_G12_run_until_complete_survives_the_last_reference(void)
{
    if (!new_plain_loop())
        return;
    struct eddy_future *f = NULL;
    REQUIRE(eddy_future_new(loop, &f) == 0);
    struct test_handle drop = TEST_HANDLE(&trace, "drop", .then = drop_reference, .user = loop);
    struct test_handle stop = TEST_HANDLE(&trace, "stop", .then = test_handle_stop, .user = loop);
    eddy_loop_call_soon(loop, &drop.node);
    eddy_loop_call_soon(loop, &stop.node);
    test_expect_log("unclosed event loop");
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), EDDY_ENOT_COMPLETED);
    eddy_future_unref(f);
    CHECK_TRACE(trace, "drop stop");
}

/* ---- embedding ---- */

static void L21_run_once_waits_no_longer_than_told(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(3600));
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(3)), 0);
    eddy_nsec took = eddy_loop_time(loop) - before;
    CHECK(took >= EDDY_MSEC(3));
    CHECK(took < EDDY_SEC(3000));
    CHECK_INT(eddy_loop_run_once(loop, -5), 0);
    CHECK_TRACE(trace, "");
    end();
}

static void L26_timeout_tells_how_long_the_loop_may_sleep(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    CHECK(eddy_loop_timeout(loop) == EDDY_FOREVER);
    eddy_loop_call_later(loop, &t.node, EDDY_SEC(100));
    eddy_nsec left = eddy_loop_timeout(loop);
    CHECK(left > EDDY_SEC(50) && left <= EDDY_SEC(100));
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_timeout(loop), 0);
    eddy_handle_cancel(&h.node);
    eddy_timer_cancel(&t.node);
    CHECK(eddy_loop_timeout(loop) == EDDY_FOREVER);
    end();
}

static void G28_descriptors_are_closed_on_exec(void)
{
    bool before[256];
    for (int fd = 0; fd < 256; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    begin();
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !before[fd])
            CHECK(flags & FD_CLOEXEC);
    }
    end();
}

static void G5_loop_new_without_memory(void)
{
    long before = test_live_allocations();
    long n = 0;
    do {
        n++;
        loop = NULL;
        test_fail_allocation(n);
        int err = test_loop_new(&loop);
        if (!test_allocation_failed()) {
            test_fail_allocation(0);
            CHECK_INT(err, 0);
            test_loop_free(loop);
            break;
        }
        CHECK_INT(err, -ENOMEM);
        CHECK(loop == NULL);
        CHECK_INT(test_live_allocations(), before);
    } while (n < 100);
    CHECK(n > 1);
    CHECK(n < 100);
}

static void fail_this_wait(struct test_script *script)
{
    script->fail_wait = -EIO;
}

static void L15_close_ends_all_though_waits_fail(void)
{
    struct test_script script;
    struct test_watch w = TEST_WATCH(&trace, "w");
    trace_clear(&trace);
    REQUIRE(test_script_loop(&script, &loop) == 0);
    script.on_wait = fail_this_wait;
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, 5, EDDY_READ), 0);
    CHECK_INT(eddy_loop_run_forever(loop), -EIO);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    loop = NULL;
    CHECK_TRACE(trace, "");
}

const struct test_case test_cases[] = {
    TEST(L1_new_loop_is_idle_and_open),
    TEST(L1_user_pointer_is_kept),
    TEST(G10_each_reference_keeps_the_loop),
    TEST(L2_run_forever_runs_until_stop),
    TEST(L4_run_forever_sets_and_undoes_running),
    TEST(L4_run_once_sets_and_undoes_running),
    TEST(L4_run_until_complete_sets_and_undoes_running),
    TEST(L3_runs_on_a_closed_loop_are_refused),
    TEST(L3_G23_nested_run_is_refused_and_changes_nothing),
    TEST(L3_another_loop_in_the_same_thread_is_refused),
    TEST(E31_L5_stop_lets_the_iteration_finish),
    TEST(E32_L6_stop_before_run_gives_one_iteration),
    TEST(L6_stop_flag_is_clear_after_the_run),
    TEST(L7_repeated_stops_equal_one),
    TEST(L7_stop_on_a_closed_loop_is_harmless),
    TEST(L8_run_until_complete_returns_the_value),
    TEST(L8_G1_run_until_complete_returns_the_error),
    TEST(L8_run_until_complete_returns_cancelled),
    TEST(G4_L9_run_until_complete_refuses_what_is_no_future_of_its_own),
    TEST(L10_stop_first_leaves_the_future_pending),
    TEST(L12_a_run_left_early_leaves_no_hook_behind),
    TEST(L11_a_completed_future_still_gets_an_iteration),
    TEST(G20_stop_from_any_callback_ends_the_run),
    TEST(L14_G23_close_of_a_running_loop_is_refused),
    TEST(L14_second_close_does_nothing),
    TEST(L15_G13_close_unlinks_nodes_for_use_elsewhere),
    TEST(L15_close_runs_queued_posts_with_an_error),
    TEST(L15_L30_posts_of_the_loops_thread_are_run_at_close),
    TEST(L16_callbacks_of_close_find_the_loop_closed),
    TEST(L17_a_closed_loop_refuses),
    TEST(L17_scheduling_on_a_closed_loop_is_reported),
    TEST(L17_a_closed_loop_still_answers),
    TEST(L18_the_last_reference_closes_with_a_warning),
    TEST(L18_G10_a_reference_taken_while_it_is_closed_counts),
    TEST(L18_G12_the_run_keeps_the_loop_alive),
    TEST(L18_G12_run_until_complete_survives_the_last_reference),
    TEST(L21_run_once_waits_no_longer_than_told),
    TEST(L26_timeout_tells_how_long_the_loop_may_sleep),
    TEST(G28_descriptors_are_closed_on_exec),
    TEST(G5_loop_new_without_memory),
    TEST(L15_close_ends_all_though_waits_fail),
    TEST_END,
};
