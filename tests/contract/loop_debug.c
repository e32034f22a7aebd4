/* Problems, and what debug mode adds. */
/* backends: select poll epoll io_uring sim sim-late */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include "tests/support/test.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct test_trace trace;
static struct eddy_loop *loop;
static struct test_problems problems;

/* A loop in debug mode whose problems are recorded. */
static void begin(void)
{
    trace_clear(&trace);
    problems = (struct test_problems){0};
    loop = NULL;
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.debug = true, .on_problem = test_on_problem, .user = &problems),
                &loop) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    loop = NULL;
}

/* "loop_debug.c:123", as sites end. */
static const char *site(int line)
{
    static char text[64];
    snprintf(text, sizeof text, "loop_debug.c:%d", line);
    return text;
}

/* ---- the problem handler ---- */

static void other_handler(struct eddy_loop *l, const struct eddy_problem *problem, void *user)
{
    (void)l;
    (void)problem;
    ++*(int *)user;
}

static void make_problem(void)
{
    eddy_loop_call_soon(loop, &(struct eddy_handle){.fn = NULL});
}

static void L45_the_problem_handler_can_be_changed(void)
{
    begin();
    int count = 0;
    CHECK(eddy_loop_get_problem_handler(loop) == test_on_problem);
    make_problem();
    CHECK_INT(problems.count, 1);
    eddy_loop_set_problem_handler(loop, other_handler, &count);
    CHECK(eddy_loop_get_problem_handler(loop) == other_handler);
    make_problem();
    CHECK_INT(problems.count, 1);
    CHECK_INT(count, 1);
    end();
}

static void L45_L47_without_a_handler_problems_are_logged(void)
{
    begin();
    eddy_loop_set_problem_handler(loop, NULL, NULL);
    CHECK(eddy_loop_get_problem_handler(loop) == NULL);
    test_expect_log("call_soon");
    make_problem();
    CHECK_INT(problems.count, 0);
    CHECK_INT(test_count_log("call_soon"), 1);
    end();
}

static void L44_L46_a_problem_says_what_and_where(void)
{
    begin();
    make_problem();
    CHECK_INT(problems.count, 1);
    CHECK(problems.loop == loop);
    CHECK(problems.message[0] != '\0');
    CHECK(strstr(problems.site, "loop_debug.c:") != NULL);
    CHECK(problems.transport == NULL);
    CHECK(problems.protocol == NULL);
    CHECK(problems.server == NULL);
    CHECK(problems.future == NULL);
    CHECK_INT(problems.fd, -1);
    end();
}

/* ---- switching ---- */

static void L49_debug_mode_can_be_switched_at_any_time(void)
{
    begin();
    CHECK(eddy_loop_get_debug(loop));
    eddy_loop_set_debug(loop, false);
    CHECK(!eddy_loop_get_debug(loop));
    eddy_loop_set_debug(loop, true);
    CHECK(eddy_loop_get_debug(loop));
    end();
}

/* ---- the wrong thread ---- */

struct attempt {
    struct test_handle handle;
    struct test_timer timer;
    void *(*thread)(void *attempt);
};

static void *schedule_all(void *arg)
{
    struct attempt *a = arg;
    eddy_loop_call_soon(loop, &a->handle.node);
    eddy_loop_call_later(loop, &a->timer.node, 0);
    eddy_loop_call_at(loop, &a->timer.node, 0);
    return NULL;
}

static void try_in_thread(struct test_handle *h)
{
    struct attempt *a = h->user;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, a->thread, a) == 0);
    pthread_join(thread, NULL);
}

static void L50_scheduling_from_another_thread_is_reported(void)
{
    begin();
    struct attempt a = {.handle = TEST_HANDLE(&trace, "wrong"),
                        .timer = TEST_TIMER(&trace, "wrong"),
                        .thread = schedule_all};
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = try_in_thread, .user = &a);
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "h");
    CHECK_INT(problems.count, 3);
    CHECK_INT(problems.code, EDDY_ETHREAD);
    CHECK(strstr(problems.site, "loop_debug.c:") != NULL);
    CHECK(!eddy_handle_is_pending(&a.handle.node));
    CHECK(!eddy_timer_is_pending(&a.timer.node));
    end();
}

static void L50_a_loop_that_does_not_run_takes_handles_from_any_thread(void)
{
    begin();
    struct attempt a = {.handle = TEST_HANDLE(&trace, "a"), .timer = TEST_TIMER(&trace, "t")};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, schedule_all, &a) == 0);
    pthread_join(thread, NULL);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a t");
    CHECK_INT(problems.count, 0);
    end();
}

static void *post_and_stop(void *arg)
{
    struct attempt *a = arg;
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, a->timer.user), 0);
    eddy_loop_stop(loop);
    return NULL;
}

static void L50_G25_what_is_for_any_thread_is_not_reported(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p");
    struct attempt a = {.thread = post_and_stop, .timer = {.user = &p.node}};
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = try_in_thread, .user = &a);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h p");
    CHECK_INT(problems.count, 0);
    end();
}

/* ---- slow callbacks ---- */

/* Every callback takes at least no time at all. */
static void all_are_slow(void)
{
    eddy_loop_set_slow_callback(loop, 0);
}

static void L51_L52_a_slow_handle_is_named_by_where_it_was_started(void)
{
    begin();
    all_are_slow();
    struct test_handle h = TEST_HANDLE(&trace, "h");
    test_expect_log("slow callback");
    eddy_loop_call_soon(loop, &h.node);
    const char *where = site(__LINE__ - 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h");
    CHECK_INT(test_count_log("slow callback"), 1);
    CHECK_INT(test_count_log(where), 1);
    end();
}

static void L51_L52_a_slow_timer_is_named_by_where_it_was_started(void)
{
    begin();
    all_are_slow();
    struct test_timer t = TEST_TIMER(&trace, "t");
    test_expect_log("slow callback");
    eddy_loop_call_later(loop, &t.node, 0);
    const char *where = site(__LINE__ - 1);
    test_run_steps(loop, 1);
    CHECK_INT(test_count_log(where), 1);
    eddy_loop_call_at(loop, &t.node, 0);
    where = site(__LINE__ - 1);
    test_run_steps(loop, 1);
    CHECK_INT(test_count_log(where), 1);
    CHECK_TRACE(trace, "t t");
    end();
}

static void L51_L52_a_slow_watch_is_named_by_where_it_was_added(void)
{
    if (test_is_sim())
        return;
    begin();
    all_are_slow();
    int fds[2];
    test_socketpair(fds);
    struct test_watch w = TEST_WATCH(&trace, "w");
    test_expect_log("slow callback");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    const char *where = site(__LINE__ - 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    CHECK_INT(test_count_log(where), 1);
    eddy_watch_remove(&w.node);
    close(fds[0]);
    close(fds[1]);
    end();
}

static void L51_quick_callbacks_are_not_reported(void)
{
    begin();
    eddy_loop_set_slow_callback(loop, EDDY_SEC(1000));
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_timer t = TEST_TIMER(&trace, "t");
    eddy_loop_call_soon(loop, &h.node);
    eddy_loop_call_later(loop, &t.node, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h t");
    CHECK_INT(test_count_log("slow callback"), 0);
    end();
}

static void L51_slow_callbacks_are_not_timed_outside_debug_mode(void)
{
    begin();
    all_are_slow();
    eddy_loop_set_debug(loop, false);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "h");
    CHECK_INT(test_count_log("slow callback"), 0);
    end();
}

static void switch_debug(struct test_handle *h)
{
    eddy_loop_set_debug(loop, !eddy_loop_get_debug(loop));
    (void)h;
}

/* Switched on within a callback, that one has no beginning to be timed from. */
static void L49_L51_switching_inside_a_callback_is_safe(void)
{
    begin();
    eddy_loop_set_debug(loop, false);
    eddy_loop_set_slow_callback(loop, EDDY_SEC(1000));
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = switch_debug);
    for (int i = 0; i < 3; i++) {
        eddy_loop_call_soon(loop, &h.node);
        test_run_steps(loop, 1);
    }
    CHECK(eddy_loop_get_debug(loop));
    CHECK_INT(test_count_log("slow callback"), 0);
    end();
}

static void L51_the_limit_is_an_option(void)
{
    trace_clear(&trace);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.debug = true, .slow_callback = 1), &loop) == 0);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    eddy_loop_call_soon(loop, &h.node);
    if (test_is_sim()) {
        test_run_steps(loop, 1); /* time stands still: not even a nanosecond */
        CHECK_INT(test_count_log("slow callback"), 0);
    } else {
        test_expect_log("slow callback");
        test_run_steps(loop, 1);
        CHECK_INT(test_count_log("slow callback"), 1);
    }
    end();
}

static struct stage *closing_stage;
static int written;

static void write_to_client(struct actor *a)
{
    struct stage *s = closing_stage;
    (void)a;
    written = eddy_transport_write(s->client.t, "x", 1);
}

/* As they may without debug mode: it is no other thread that calls. */
static void L16_L50_transports_may_be_used_while_the_loop_closes(void)
{
    struct stage s;
    struct actor second;
    stage_init(&s);
    stage_add(&s, &second, false);
    second.on[ON_FAILED] = write_to_client;
    stage_open(&s);
    closing_stage = &s;
    eddy_loop_set_debug(s.loop, true);
    CHECK_INT(actor_connect(&second), 0);
    eddy_future_unref(s.client.future);
    eddy_future_unref(second.future);
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    test_expect_log("still open");
    written = 1;
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_INT(second.count[ON_FAILED], 1);
    CHECK_INT(written, 0);
    CHECK(s.problems.code != EDDY_ETHREAD);
    test_loop_free(s.loop);
}

const struct test_case test_cases[] = {
    TEST(L45_the_problem_handler_can_be_changed),
    TEST(L45_L47_without_a_handler_problems_are_logged),
    TEST(L44_L46_a_problem_says_what_and_where),
    TEST(L49_debug_mode_can_be_switched_at_any_time),
    TEST(L50_scheduling_from_another_thread_is_reported),
    TEST(L50_a_loop_that_does_not_run_takes_handles_from_any_thread),
    TEST(L50_G25_what_is_for_any_thread_is_not_reported),
    TEST(L51_L52_a_slow_handle_is_named_by_where_it_was_started),
    TEST(L51_L52_a_slow_timer_is_named_by_where_it_was_started),
    TEST(L51_L52_a_slow_watch_is_named_by_where_it_was_added),
    TEST(L51_quick_callbacks_are_not_reported),
    TEST(L51_slow_callbacks_are_not_timed_outside_debug_mode),
    TEST(L49_L51_switching_inside_a_callback_is_safe),
    TEST(L51_the_limit_is_an_option),
    TEST(L16_L50_transports_may_be_used_while_the_loop_closes),
    TEST_END,
};
