/* The order of things within an iteration and between iterations. */
/* backends: select poll epoll io_uring sim sim-late */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
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

/* ---- call_soon ---- */

static void L29_handles_run_in_order_once_each(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a"), b = TEST_HANDLE(&trace, "b"),
                       c = TEST_HANDLE(&trace, "c");
    eddy_loop_call_soon(loop, &b.node);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &c.node);
    CHECK_TRACE(trace, "");
    CHECK(eddy_handle_is_pending(&a.node));
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b a c");
    CHECK(!eddy_handle_is_pending(&a.node));
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "b a c");
    end();
}

static void G13_a_pending_handle_keeps_its_place(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a"), b = TEST_HANDLE(&trace, "b");
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    eddy_loop_call_soon(loop, &a.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a b");
    end();
}

static void schedule_user(struct test_handle *h)
{
    eddy_loop_call_soon(loop, h->user);
    CHECK(eddy_handle_is_pending(h->user));
}

static void L23_what_a_handle_schedules_runs_in_the_next_iteration(void)
{
    begin();
    struct test_handle c = TEST_HANDLE(&trace, "c"), b = TEST_HANDLE(&trace, "b");
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = schedule_user, .user = &c.node);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b c");
    end();
}

static void schedule_itself(struct test_handle *h)
{
    CHECK(!eddy_handle_is_pending(&h->node));
    eddy_loop_call_soon(loop, &h->node);
}

static void G13_a_handle_may_schedule_itself(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = schedule_itself);
    eddy_loop_call_soon(loop, &a.node);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "a a a");
    CHECK(eddy_handle_is_pending(&a.node));
    eddy_handle_cancel(&a.node);
    end();
}

static void L27_a_handle_that_reschedules_itself_starves_no_timer(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = schedule_itself);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a+ t");
    eddy_handle_cancel(&a.node);
    end();
}

static void cancel_user(struct test_handle *h)
{
    eddy_handle_cancel(h->user);
    CHECK(!eddy_handle_is_pending(h->user));
}

static void L28_G14_a_handle_cancelled_in_its_own_batch_is_skipped(void)
{
    begin();
    struct test_handle b = TEST_HANDLE(&trace, "b"), c = TEST_HANDLE(&trace, "c");
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = cancel_user, .user = &b.node);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    eddy_loop_call_soon(loop, &c.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a c");
    end();
}

static void L39_cancelling_handles_is_idempotent(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a");
    eddy_handle_cancel(&a.node);
    CHECK(!eddy_handle_is_pending(&a.node));
    eddy_loop_call_soon(loop, &a.node);
    eddy_handle_cancel(&a.node);
    eddy_handle_cancel(&a.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    eddy_loop_call_soon(loop, &a.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    eddy_handle_cancel(&a.node);
    end();
}

static void free_container(struct test_handle *h)
{
    free(h);
}

static struct test_handle *new_handle(const char *name, void (*then)(struct test_handle *h))
{
    struct test_handle *h = malloc(sizeof *h);
    REQUIRE(h != NULL);
    *h = (struct test_handle)TEST_HANDLE(&trace, name, .then = then);
    return h;
}

static void G14_a_handle_may_free_itself(void)
{
    begin();
    struct test_handle b = TEST_HANDLE(&trace, "b");
    eddy_loop_call_soon(loop, &new_handle("a", free_container)->node);
    eddy_loop_call_soon(loop, &b.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a b");
    end();
}

static void cancel_and_free_user(struct test_handle *h)
{
    struct test_handle *other = h->user;
    eddy_handle_cancel(&other->node);
    free(other);
}

static void G14_a_cancelled_handle_of_the_batch_may_be_freed(void)
{
    begin();
    struct test_handle *b = new_handle("b", NULL);
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = cancel_and_free_user, .user = b);
    struct test_handle c = TEST_HANDLE(&trace, "c");
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b->node);
    eddy_loop_call_soon(loop, &c.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a c");
    end();
}

/* A handle of the running batch goes to the end of the next one when it is cancelled and started.
 */
static void restart_user(struct test_handle *h)
{
    eddy_handle_cancel(h->user);
    eddy_loop_call_soon(loop, h->user);
}

static void L23_L39_a_handle_restarted_within_its_batch_waits_for_the_next(void)
{
    begin();
    struct test_handle b = TEST_HANDLE(&trace, "b"), c = TEST_HANDLE(&trace, "c");
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = restart_user, .user = &b.node);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    eddy_loop_call_soon(loop, &c.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a c");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a c b");
    end();
}

/* ---- phases ---- */

static void E33_L33_L24_timers_run_after_what_is_ready(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t"), n = TEST_TIMER(&trace, "n");
    struct test_handle s = TEST_HANDLE(&trace, "s");
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_soon(loop, &s.node);
    eddy_loop_call_later(loop, &n.node, -5);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s t n");
    end();
}

static void start_timer_of_user(struct test_handle *h)
{
    eddy_loop_call_later(loop, h->user, 0);
}

static void L23_a_timer_started_by_a_handle_runs_in_the_next_iteration(void)
{
    begin();
    struct test_timer t = TEST_TIMER(&trace, "t"), u = TEST_TIMER(&trace, "u");
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = start_timer_of_user, .user = &t.node);
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_later(loop, &u.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a u");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a u t");
    end();
}

static void schedule_user_of_timer(struct test_timer *t)
{
    eddy_loop_call_soon(loop, t->user);
}

static void L23_a_handle_started_by_a_timer_runs_in_the_next_iteration(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t", .then = schedule_user_of_timer, .user = &h.node);
    struct test_timer u = TEST_TIMER(&trace, "u");
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_later(loop, &u.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "t u");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "t u h");
    end();
}

static void L22_posts_run_with_the_batch_of_their_wait(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_post p = TEST_POST(&trace, "p"), q = TEST_POST(&trace, "q");
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &q.node), 0);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "p") + trace_count(&trace, "q") + trace_count(&trace, "h"), 3);
    CHECK_TRACE(trace, "h p q t");
    end();
}

static void post_and_schedule(struct test_handle *h)
{
    struct test_post *p = h->user;
    struct test_handle *after = p->user;
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->node), 0);
    eddy_loop_call_soon(loop, &after->node);
}

static void L31_a_post_from_the_loops_thread_is_like_call_soon(void)
{
    begin();
    struct test_handle z = TEST_HANDLE(&trace, "z");
    struct test_post p = TEST_POST(&trace, "p", .user = &z);
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = post_and_schedule, .user = &p);
    struct test_handle b = TEST_HANDLE(&trace, "b");
    eddy_loop_call_soon(loop, &a.node);
    eddy_loop_call_soon(loop, &b.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b p z");
    end();
}

/* ---- I/O against the rest; real descriptors, which the simulator cannot watch ---- */

static void L24_batch_before_io_before_timers(void)
{
    if (test_is_sim())
        return;
    begin();
    int fds[2];
    test_socketpair(fds);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_watch w = TEST_WATCH(&trace, "w");
    eddy_loop_call_later(loop, &t.node, 0);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h w(W) t");
    eddy_watch_remove(&w.node);
    close(fds[0]);
    close(fds[1]);
    end();
}

static void schedule_user_of_watch(struct test_watch *w)
{
    eddy_loop_call_soon(loop, w->user);
    eddy_watch_remove(&w->node);
}

static void L23_a_handle_started_by_io_runs_in_the_next_iteration(void)
{
    if (test_is_sim())
        return;
    begin();
    int fds[2];
    test_socketpair(fds);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_watch w = TEST_WATCH(&trace, "w", .then = schedule_user_of_watch, .user = &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) t");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) t h");
    close(fds[0]);
    close(fds[1]);
    end();
}

static void L27_a_handle_that_reschedules_itself_starves_no_io(void)
{
    if (test_is_sim())
        return;
    begin();
    int fds[2];
    test_socketpair(fds);
    struct test_handle a = TEST_HANDLE(&trace, "a", .then = schedule_itself);
    struct test_watch w = TEST_WATCH(&trace, "w", .then = test_watch_stop, .user = loop);
    eddy_loop_call_soon(loop, &a.node);
    REQUIRE(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE) == 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "a+ w(W)");
    eddy_handle_cancel(&a.node);
    eddy_watch_remove(&w.node);
    close(fds[0]);
    close(fds[1]);
    end();
}

/* ---- misuse ---- */

static void G4_nodes_without_a_function_are_reported_and_not_taken(void)
{
    struct test_problems problems = {0};
    struct eddy_handle h = {0};
    struct eddy_timer t = {0};
    struct eddy_post p = {0};
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &problems),
                               &loop) == 0);
    eddy_loop_call_soon(loop, &h);
    CHECK_INT(problems.count, 1);
    CHECK(!eddy_handle_is_pending(&h));
    eddy_loop_call_later(loop, &t, 0);
    CHECK_INT(problems.count, 2);
    eddy_loop_call_at(loop, &t, 0);
    CHECK_INT(problems.count, 3);
    CHECK(!eddy_timer_is_pending(&t));
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p), -EINVAL);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, NULL), -EINVAL);
    CHECK_INT(problems.count, 3);
    test_run_steps(loop, 1);
    end();
}

static void L30_a_pending_post_is_refused(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), -EALREADY);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "p");
    end();
}

static void post_again(struct test_post *p)
{
    if (trace_count(&trace, "p") < 3)
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->node), 0);
}

static void G13_a_post_may_be_made_again_from_its_callback(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p", .then = post_again);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "p");
    test_run_steps(loop, 5);
    CHECK_TRACE(trace, "p p p");
    end();
}

static void free_post(struct test_post *p)
{
    free(p);
}

static void G14_a_post_may_free_itself(void)
{
    begin();
    for (int i = 0; i < 2; i++) {
        struct test_post *p = malloc(sizeof *p);
        REQUIRE(p != NULL);
        *p = (struct test_post)TEST_POST(&trace, "p", .then = free_post);
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->node), 0);
        if (i == 0)
            test_run_steps(loop, 1);
    }
    end(); /* the second one is freed from close */
    CHECK_TRACE(trace, "p p(ELOOP_CLOSED)");
}

static void L29_scheduling_allocates_nothing(void)
{
    begin();
    struct test_handle a = TEST_HANDLE(&trace, "a");
    struct test_post p = TEST_POST(&trace, "p");
    test_run_steps(loop, 1);
    long before = test_allocations();
    for (int i = 0; i < 3; i++) {
        eddy_loop_call_soon(loop, &a.node);
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
        test_run_steps(loop, 1);
    }
    CHECK_INT(test_allocations(), before);
    CHECK_TRACE(trace, "a p a p a p");
    end();
}

const struct test_case test_cases[] = {
    TEST(L29_handles_run_in_order_once_each),
    TEST(G13_a_pending_handle_keeps_its_place),
    TEST(L23_what_a_handle_schedules_runs_in_the_next_iteration),
    TEST(G13_a_handle_may_schedule_itself),
    TEST(L27_a_handle_that_reschedules_itself_starves_no_timer),
    TEST(L28_G14_a_handle_cancelled_in_its_own_batch_is_skipped),
    TEST(L39_cancelling_handles_is_idempotent),
    TEST(G14_a_handle_may_free_itself),
    TEST(G14_a_cancelled_handle_of_the_batch_may_be_freed),
    TEST(L23_L39_a_handle_restarted_within_its_batch_waits_for_the_next),
    TEST(E33_L33_L24_timers_run_after_what_is_ready),
    TEST(L23_a_timer_started_by_a_handle_runs_in_the_next_iteration),
    TEST(L23_a_handle_started_by_a_timer_runs_in_the_next_iteration),
    TEST(L22_posts_run_with_the_batch_of_their_wait),
    TEST(L31_a_post_from_the_loops_thread_is_like_call_soon),
    TEST(L24_batch_before_io_before_timers),
    TEST(L23_a_handle_started_by_io_runs_in_the_next_iteration),
    TEST(L27_a_handle_that_reschedules_itself_starves_no_io),
    TEST(G4_nodes_without_a_function_are_reported_and_not_taken),
    TEST(L30_a_pending_post_is_refused),
    TEST(G13_a_post_may_be_made_again_from_its_callback),
    TEST(G14_a_post_may_free_itself),
    TEST(L29_scheduling_allocates_nothing),
    TEST_END,
};
