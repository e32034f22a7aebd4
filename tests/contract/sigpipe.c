/* SIGPIPE is set once per process: each case has a child of its own, and the parent makes no loop.
 */
#include "tests/support/test.h"
#include <signal.h>
#include <unistd.h>

static void (*disposition(void))(int)
{
    struct sigaction sa;
    REQUIRE(sigaction(SIGPIPE, NULL, &sa) == 0);
    return sa.sa_handler;
}

static void handler(int signum)
{
    (void)signum;
}

static void make_loop(const struct eddy_loop_opts *opts)
{
    struct eddy_loop *loop = NULL;
    REQUIRE(eddy_loop_new(opts, &loop) == 0);
    test_loop_free(loop);
}

static void with_default(void *user)
{
    (void)user;
    signal(SIGPIPE, SIG_DFL);
    make_loop(NULL);
    CHECK(disposition() == SIG_IGN);
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    close(fds[0]);
    CHECK_INT(write(fds[1], "x", 1), -1);
    CHECK_INT(errno, EPIPE);
    close(fds[1]);
}

static void G26_the_first_loop_ignores_sigpipe(void)
{
    test_in_child(with_default, NULL);
}

static void with_handler(void *user)
{
    (void)user;
    signal(SIGPIPE, handler);
    make_loop(NULL);
    CHECK(disposition() == handler);
}

static void G26_a_handler_for_sigpipe_is_left_alone(void)
{
    test_in_child(with_handler, NULL);
}

static void with_keep(void *user)
{
    (void)user;
    signal(SIGPIPE, SIG_DFL);
    make_loop(EDDY_LOOP(.keep_sigpipe = true));
    CHECK(disposition() == SIG_DFL);
}

static void G26_keep_sigpipe_leaves_it_alone(void)
{
    test_in_child(with_keep, NULL);
}

static void with_second_loop(void *user)
{
    (void)user;
    make_loop(NULL);
    signal(SIGPIPE, SIG_DFL); /* the application's wish, after the first loop */
    make_loop(NULL);
    CHECK(disposition() == SIG_DFL);
}

static void G26_only_the_first_loop_touches_sigpipe(void)
{
    test_in_child(with_second_loop, NULL);
}

const struct test_case test_cases[] = {
    TEST(G26_the_first_loop_ignores_sigpipe),
    TEST(G26_a_handler_for_sigpipe_is_left_alone),
    TEST(G26_keep_sigpipe_leaves_it_alone),
    TEST(G26_only_the_first_loop_touches_sigpipe),
    TEST_END,
};
