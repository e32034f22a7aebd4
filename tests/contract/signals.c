/* Signals. In a program of their own: dispositions are the process's. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void (*disposition(int signum))(int)
{
    struct sigaction sa;
    REQUIRE(sigaction(signum, NULL, &sa) == 0);
    return sa.sa_handler;
}

static int flags(int signum)
{
    struct sigaction sa;
    REQUIRE(sigaction(signum, NULL, &sa) == 0);
    return sa.sa_flags;
}

/* ---- arrival ---- */

static void L65_a_signal_runs_on_the_loop(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    raise(SIGUSR1);
    CHECK_TRACE(trace, "");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1)");
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "s(USR1)");
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1) s(USR1)");
    end();
}

static void L65_L24_signals_run_with_the_batch(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    struct test_timer t = TEST_TIMER(&trace, "t");
    struct test_handle h = TEST_HANDLE(&trace, "h");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    eddy_loop_call_later(loop, &t.node, 0);
    eddy_loop_call_soon(loop, &h.node);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h s(USR1) t");
    end();
}

static void *kill_process(void *arg)
{
    (void)arg;
    kill(getpid(), SIGUSR1);
    return NULL;
}

static void *kill_itself(void *arg)
{
    (void)arg;
    pthread_kill(pthread_self(), SIGUSR1);
    return NULL;
}

static void wait_for_signals(void *(*sender)(void *))
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s", .then = test_signal_stop, .user = loop);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, sender, NULL) == 0);
        CHECK_INT(eddy_loop_run_forever(loop), 0);
        pthread_join(thread, NULL);
    }
    CHECK(trace_count(&trace, "s(USR1)") >= 50);
    end();
}

static void L65_a_signal_ends_the_wait(void)
{
    wait_for_signals(kill_process);
}

/* There the signal interrupts no wait: the handler has to wake the loop. */
static void L65_a_signal_delivered_to_another_thread_ends_the_wait(void)
{
    wait_for_signals(kill_itself);
}

static void count_signal(int signum)
{
    (void)signum;
}

/* A handler that is not ours interrupts the wait: nobody hears of it. */
static void G27_an_interrupted_wait_is_no_error(void)
{
    begin();
    struct sigaction sa = {.sa_handler = count_signal}, old;
    sigemptyset(&sa.sa_mask);
    REQUIRE(sigaction(SIGUSR1, &sa, &old) == 0); /* without SA_RESTART */
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(20));
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, kill_process, NULL) == 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    pthread_join(thread, NULL);
    CHECK_TRACE(trace, "t");
    sigaction(SIGUSR1, &old, NULL);
    end();
}

static void L67_several_nodes_are_called_in_order_of_adding(void)
{
    begin();
    struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b"),
                       c = TEST_SIGNAL(&trace, "c");
    CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &c.node, SIGUSR2), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(USR1) a(USR1)");
    raise(SIGUSR2);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(USR1) a(USR1) c(USR2)");
    end();
}

static void L67_arrivals_may_merge_but_none_is_lost(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    for (int i = 0; i < 5; i++)
        raise(SIGUSR1);
    test_run_steps(loop, 3);
    int count = trace_count(&trace, "s(USR1)");
    CHECK(count >= 1 && count <= 5);
    end();
}

static void raise_once(struct test_signal *s)
{
    s->then = NULL;
    raise(SIGUSR1);
}

static void L67_an_arrival_during_the_callback_is_called_for(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s", .then = raise_once);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1)");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1) s(USR1)");
    end();
}

static void L67_several_loops_share_a_signal(void)
{
    begin();
    struct eddy_loop *other = NULL;
    REQUIRE(test_loop_new(&other) == 0);
    struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b");
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(other, &b.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(other, 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(USR1) a(USR1)");
    test_loop_free(other);
    CHECK(disposition(SIGUSR1) != SIG_DFL);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(USR1) a(USR1) a(USR1)");
    end();
    CHECK(disposition(SIGUSR1) == SIG_DFL);
}

/* ---- refusals ---- */

static void L66_unknown_signals_are_refused(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    static const int unknown[] = {0, -1, 65, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        CHECK_INT(eddy_loop_add_signal(loop, &s.node, unknown[i]), -EINVAL);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    end();
}

static void L66_reserved_signals_are_refused(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
#ifdef __GLIBC__
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, 32), -EINVAL); /* the threads library's */
#endif
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), -EALREADY);
    end();
}

static void L66_uncatchable_signals_are_not_supported(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGKILL), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGSTOP), EDDY_ENOT_SUPPORTED);
    end();
}

static void G4_bad_nodes_are_refused(void)
{
    begin();
    struct eddy_signal none = {0};
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &none, SIGUSR1), -EINVAL);
    CHECK_INT(eddy_loop_add_signal(loop, NULL, SIGUSR1), -EINVAL);
    CHECK(disposition(SIGUSR1) == SIG_DFL);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR2), -EALREADY);
    CHECK(disposition(SIGUSR2) == SIG_DFL);
    end();
}

static void G5_add_signal_without_memory(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    long n = 0;
    for (;;) {
        test_fail_allocation(++n);
        int err = eddy_loop_add_signal(loop, &s.node, SIGUSR1);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        if (!failed) {
            CHECK_INT(err, 0);
            break;
        }
        CHECK_INT(err, -ENOMEM);
        CHECK(disposition(SIGUSR1) == SIG_DFL);
        REQUIRE(n < 20);
    }
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1)");
    end();
}

/* ---- dispositions ---- */

static void L68_the_disposition_found_is_restored(void)
{
    struct sigaction sa = {.sa_handler = count_signal, .sa_flags = SA_NODEFER}, old;
    sigemptyset(&sa.sa_mask);
    REQUIRE(sigaction(SIGUSR1, &sa, &old) == 0);
    begin();
    struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b");
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK(disposition(SIGUSR1) != count_signal);
    CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR1), 0);
    eddy_signal_remove(&a.node);
    CHECK(disposition(SIGUSR1) != count_signal);
    eddy_signal_remove(&b.node);
    CHECK(disposition(SIGUSR1) == count_signal);
    CHECK(flags(SIGUSR1) & SA_NODEFER);
    end();
    sigaction(SIGUSR1, &old, NULL);
}

static void L68_L15_close_restores_the_disposition(void)
{
    begin();
    struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b");
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR2), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(disposition(SIGUSR1) == SIG_DFL);
    CHECK(disposition(SIGUSR2) == SIG_DFL);
    eddy_signal_remove(&a.node);
    end();
}

static void L68_remove_is_idempotent_and_final(void)
{
    begin();
    struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b");
    eddy_signal_remove(&a.node);
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR1), 0);
    raise(SIGUSR1);
    eddy_signal_remove(&a.node);
    eddy_signal_remove(&a.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "b(USR1)");
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(USR1) b(USR1) a(USR1)");
    end();
}

static void remove_user(struct test_signal *s)
{
    eddy_signal_remove(s->user);
}

static void G14_a_signal_removed_in_its_own_batch_is_not_called(void)
{
    begin();
    struct test_signal b = TEST_SIGNAL(&trace, "b");
    struct test_signal a = TEST_SIGNAL(&trace, "a", .then = remove_user, .user = &b.node);
    CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
    CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a(USR1)");
    end();
}

static void remove_and_free(struct test_signal *s)
{
    eddy_signal_remove(&s->node);
    free(s);
}

static void G14_a_signal_node_may_free_itself(void)
{
    begin();
    struct test_signal *s = malloc(sizeof *s);
    REQUIRE(s != NULL);
    *s = (struct test_signal)TEST_SIGNAL(&trace, "s", .then = remove_and_free);
    CHECK_INT(eddy_loop_add_signal(loop, &s->node, SIGUSR1), 0);
    raise(SIGUSR1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "s(USR1)");
    CHECK(disposition(SIGUSR1) == SIG_DFL);
    end();
}

static void L69_handlers_restart_system_calls(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    CHECK(flags(SIGUSR1) & SA_RESTART);
    end();
}

/* Signals that come thick and fast while nodes come and go: nothing is touched after its end. */
static atomic_bool bombing;

static void *bomb(void *arg)
{
    (void)arg;
    while (atomic_load(&bombing)) {
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void L68_nodes_come_and_go_under_fire(void)
{
    signal(SIGUSR1, SIG_IGN);
    atomic_store(&bombing, true);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, bomb, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        begin();
        struct test_signal a = TEST_SIGNAL(&trace, "a"), b = TEST_SIGNAL(&trace, "b");
        CHECK_INT(eddy_loop_add_signal(loop, &a.node, SIGUSR1), 0);
        CHECK_INT(eddy_loop_add_signal(loop, &b.node, SIGUSR1), 0);
        test_run_steps(loop, 2);
        eddy_signal_remove(&a.node);
        test_run_steps(loop, 1);
        if (i % 2)
            eddy_signal_remove(&b.node);
        end();
    }
    atomic_store(&bombing, false);
    pthread_join(thread, NULL);
    CHECK(disposition(SIGUSR1) == SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
}

const struct test_case test_cases[] = {
    TEST(L65_a_signal_runs_on_the_loop),
    TEST(L65_L24_signals_run_with_the_batch),
    TEST(L65_a_signal_ends_the_wait),
    TEST(L65_a_signal_delivered_to_another_thread_ends_the_wait),
    TEST(G27_an_interrupted_wait_is_no_error),
    TEST(L67_several_nodes_are_called_in_order_of_adding),
    TEST(L67_arrivals_may_merge_but_none_is_lost),
    TEST(L67_an_arrival_during_the_callback_is_called_for),
    TEST(L67_several_loops_share_a_signal),
    TEST(L66_unknown_signals_are_refused),
    TEST(L66_reserved_signals_are_refused),
    TEST(L66_uncatchable_signals_are_not_supported),
    TEST(G4_bad_nodes_are_refused),
    TEST(G5_add_signal_without_memory),
    TEST(L68_the_disposition_found_is_restored),
    TEST(L68_L15_close_restores_the_disposition),
    TEST(L68_remove_is_idempotent_and_final),
    TEST(G14_a_signal_removed_in_its_own_batch_is_not_called),
    TEST(G14_a_signal_node_may_free_itself),
    TEST(L69_handlers_restart_system_calls),
    TEST(L68_nodes_come_and_go_under_fire),
    TEST_END,
};
