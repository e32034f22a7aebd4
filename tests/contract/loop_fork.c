/* Loops and fork. */
/* backends: select poll epoll io_uring */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include "tests/support/test.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct test_trace trace;
static struct eddy_loop *loop;
static int fds[2];
static struct test_watch watch;

static void begin(void)
{
    trace_clear(&trace);
    loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    test_socketpair(fds);
    watch = (struct test_watch)TEST_WATCH(&trace, "w");
    REQUIRE(eddy_loop_add_watch(loop, &watch.node, fds[0], EDDY_READ) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    close(fds[0]);
    close(fds[1]);
}

/* The parent's loop still has its registrations and its wake-up. */
static void check_parent_works(void)
{
    trace_clear(&trace);
    struct test_post p = TEST_POST(&trace, "p");
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(write(fds[1], "x", 1), 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "p w(R)");
}

/* What a child does in the end with what it has inherited: nothing may be left. */
static void free_inherited(void)
{
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    close(fds[0]);
    close(fds[1]);
    CHECK_INT(test_live_allocations(), 0);
}

static void refuse_to_run(void *user)
{
    (void)user;
    struct eddy_future *f = NULL;
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_loop_run_once(loop, 0), EDDY_EINVALID_STATE);
    REQUIRE(eddy_future_new(loop, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), EDDY_EINVALID_STATE);
    eddy_future_unref(f);
    CHECK(!eddy_loop_is_running(loop));
    CHECK(eddy_get_running_loop() == NULL);
    free_inherited();
}

static void L72_an_inherited_loop_does_not_run(void)
{
    begin();
    test_in_child(refuse_to_run, NULL);
    check_parent_works();
    end();
}

static void run_a_new_loop(void *user)
{
    (void)user;
    struct eddy_loop *mine = NULL;
    trace_clear(&trace);
    CHECK(eddy_get_running_loop() == NULL);
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine) == 0);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = mine);
    struct test_post p = TEST_POST(&trace, "p");
    eddy_loop_call_later(mine, &t.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_call_soon_threadsafe(mine, &p.node), 0);
    CHECK_INT(eddy_loop_run_forever(mine), 0);
    CHECK_TRACE(trace, "p t");
    CHECK_INT(eddy_loop_close(mine), 0);
    eddy_loop_unref(mine);
}

static void L72_the_child_may_run_a_loop_of_its_own(void)
{
    begin();
    test_in_child(run_a_new_loop, NULL);
    check_parent_works();
    end();
}

static void fork_and_check(struct test_handle *h)
{
    CHECK(eddy_get_running_loop() == loop);
    test_in_child(run_a_new_loop, NULL);
    CHECK(eddy_get_running_loop() == loop);
    eddy_loop_stop(h->user);
}

static void L72_a_fork_from_inside_a_callback(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = fork_and_check, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    check_parent_works();
    end();
}

static void change_and_wake(void *user)
{
    struct test_post p = TEST_POST(&trace, "p");
    eddy_watch_remove(&watch.node);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    eddy_loop_stop(loop);
    free_inherited();
    (void)user;
}

/* Before eddy_loop_forked: neither the selector nor the wake-up is the child's. */
static void L72_what_a_child_changes_is_not_the_parents(void)
{
    begin();
    test_in_child(change_and_wake, NULL);
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(5));
    check_parent_works();
    end();
}

static pid_t forked_child;
static int child_status;

static void fork_and_return(void)
{
    forked_child = fork();
    REQUIRE(forked_child >= 0);
    if (forked_child > 0)
        CHECK_INT(waitpid(forked_child, &child_status, 0), forked_child);
}

static void fork_in_handle(struct test_handle *h)
{
    (void)h;
    fork_and_return();
}

/* The rest of the iteration is the parent's; what was queued stays queued in both. */
static void L72_a_child_that_returns_from_the_callback_leaves_the_iteration(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = fork_in_handle);
    struct test_handle after = TEST_HANDLE(&trace, "after");
    struct test_timer t = TEST_TIMER(&trace, "t");
    CHECK_INT(write(fds[1], "x", 1), 1);
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_soon(loop, &after.node);
    eddy_loop_call_later(loop, &t.node, 0);
    int rc = eddy_loop_run_once(loop, 0);
    if (forked_child == 0) {
        bool good = rc == EDDY_EINVALID_STATE && strcmp(trace_text(&trace), "h") == 0;
        eddy_watch_remove(&watch.node);
        good = good && eddy_loop_forked(loop) == 0 && eddy_loop_run_once(loop, 0) == 0 &&
               strcmp(trace_text(&trace), "h after t") == 0;
        _exit(!good);
    }
    CHECK_INT(rc, 0);
    CHECK_INT(child_status, 0);
    CHECK_TRACE(trace, "h after w(R) t");
    end();
}

static void write_and_fork(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, "abc", 3), 0);
    fork_and_return();
}

/* Bytes that wait to be sent are the parent's, and those that wait to be read. */
static void L72_a_child_that_returns_from_the_callback_sends_and_reads_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = write_and_fork;
    stage_open(&s);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
        for (int step = 0; step < 100 && s.peer.count[ON_DATA] <= i; step++) {
            eddy_loop_run_once(s.loop, EDDY_MSEC(5));
            if (forked_child == 0)
                _exit(0);
        }
        forked_child = -1;
    }
    UNTIL(&s, s.client.received == 6);
    stage_settle(&s);
    CHECK_INT(s.client.received, 6);
    CHECK_INT(s.peer.received, 2);
    stage_close(&s);
}

/* Without a word to the loop: its descriptors go, the parent's registrations stay. */
static void close_inherited(void *user)
{
    (void)user;
    struct eddy_loop *mine = loop;
    CHECK_INT(eddy_loop_close(mine), 0);
    CHECK(eddy_loop_is_closed(mine));
    CHECK_INT(eddy_loop_run_once(mine, 0), EDDY_ELOOP_CLOSED);
    free_inherited();
}

static void L72_closing_an_inherited_loop_leaves_the_parents_alone(void)
{
    begin();
    test_in_child(close_inherited, NULL);
    check_parent_works();
    end();
}

static void free_and_count(void *user)
{
    free_inherited();
    CHECK_INT(test_open_descriptors(), *(int *)user);
}

static void L72_an_inherited_loop_can_be_freed(void)
{
    int before = test_open_descriptors();
    begin();
    test_in_child(free_and_count, &before);
    check_parent_works();
    end();
}

/* ---- going on with an inherited loop ---- */

static void go_on(void *user)
{
    (void)user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_INT(eddy_loop_forked(loop), 0);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    struct test_post p = TEST_POST(&trace, "p");
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "p t");
    /* Watches go on as well. */
    trace_clear(&trace);
    CHECK_INT(write(fds[1], "x", 1), 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(R)");
    char c;
    CHECK_INT(read(fds[0], &c, 1), 1);
    CHECK_INT(eddy_watch_modify(&watch.node, EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(R) w(W)");
    eddy_watch_remove(&watch.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(R) w(W)");
    free_inherited();
}

static void L72_a_child_may_go_on_with_an_inherited_loop(void)
{
    begin();
    test_in_child(go_on, NULL);
    check_parent_works();
    end();
}

static void L72_forked_does_nothing_in_the_parent(void)
{
    begin();
    CHECK_INT(eddy_loop_forked(loop), 0);
    check_parent_works();
    end();
}

static void run_pending(void *user)
{
    CHECK_INT(eddy_loop_forked(loop), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "h p t");
    free_inherited();
    (void)user;
}

static void L72_what_was_queued_runs_in_both(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_post p = TEST_POST(&trace, "p");
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    test_in_child(run_pending, NULL);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "h p t");
    end();
}

static void fork_twice(void *user)
{
    CHECK_INT(eddy_loop_forked(loop), 0);
    test_in_child(refuse_to_run, NULL);
    test_in_child(go_on, NULL);
    free_inherited();
    (void)user;
}

static void L72_a_grandchild_is_told_apart(void)
{
    begin();
    test_in_child(fork_twice, NULL);
    check_parent_works();
    end();
}

/* The child's wake-up is its own: what it posts to itself does not wake the parent. */
static void L72_the_childs_wake_ups_do_not_reach_the_parent(void)
{
    begin();
    test_in_child(go_on, NULL);
    char c;
    while (read(fds[0], &c, 1) == 1)
        ;
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(5));
    end();
}

/* ---- signals ---- */

static void raise_in_child(void *user)
{
    struct sigaction sa;
    CHECK_INT(sigaction(SIGUSR1, NULL, &sa), 0);
    CHECK(sa.sa_handler == SIG_IGN); /* as it was before the parent's loop */
    raise(SIGUSR1);
    free_inherited();
    (void)user;
}

static void L72_signals_of_the_child_are_not_the_parents(void)
{
    signal(SIGUSR1, SIG_IGN);
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    test_in_child(raise_in_child, NULL);
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(3)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(3));
    CHECK_TRACE(trace, "");
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "s"), 1);
    end();
    signal(SIGUSR1, SIG_DFL);
}

static void handle_signals_in_child(void *user)
{
    struct eddy_loop *mine = NULL;
    struct test_signal s = TEST_SIGNAL(&trace, "mine");
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine) == 0);
    CHECK_INT(eddy_loop_add_signal(mine, &s.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(mine, 1);
    CHECK_INT(trace_count(&trace, "mine"), 1);
    CHECK_INT(trace_count(&trace, ""), 1);
    CHECK_INT(eddy_loop_close(mine), 0);
    eddy_loop_unref(mine);
    eddy_signal_remove(user); /* the inherited node */
    free_inherited();
}

static void L72_the_child_may_handle_signals_anew(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    test_in_child(handle_signals_in_child, &s.node);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "s"), 1);
    end();
}

static void go_on_with_signals(void *user)
{
    struct test_signal more = TEST_SIGNAL(&trace, "more");
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &more.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "inherited"), 1);
    CHECK_INT(trace_count(&trace, "more"), 1);
    eddy_signal_remove(user);
    free_inherited();
}

static void L72_an_inherited_loop_goes_on_with_its_signals(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "inherited");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    test_in_child(go_on_with_signals, &s.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "");
    end();
}

const struct test_case test_cases[] = {
    TEST(L72_an_inherited_loop_does_not_run),
    TEST(L72_the_child_may_run_a_loop_of_its_own),
    TEST(L72_a_fork_from_inside_a_callback),
    TEST(L72_what_a_child_changes_is_not_the_parents),
    TEST(L72_a_child_that_returns_from_the_callback_leaves_the_iteration),
    TEST(L72_a_child_that_returns_from_the_callback_sends_and_reads_nothing),
    TEST(L72_closing_an_inherited_loop_leaves_the_parents_alone),
    TEST(L72_an_inherited_loop_can_be_freed),
    TEST(L72_a_child_may_go_on_with_an_inherited_loop),
    TEST(L72_forked_does_nothing_in_the_parent),
    TEST(L72_what_was_queued_runs_in_both),
    TEST(L72_a_grandchild_is_told_apart),
    TEST(L72_the_childs_wake_ups_do_not_reach_the_parent),
    TEST(L72_signals_of_the_child_are_not_the_parents),
    TEST(L72_the_child_may_handle_signals_anew),
    TEST(L72_an_inherited_loop_goes_on_with_its_signals),
    TEST_END,
};
