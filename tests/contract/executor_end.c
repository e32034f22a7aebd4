/* The end of executors: shutdown, the default executor, the loop's close. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/executor_case.h"

/* The executor is the loop's default one. */
static void begin_default(unsigned max_threads)
{
    begin_with(EDDY_EXECUTOR(.max_threads = max_threads, .name = "mine"));
    REQUIRE(eddy_loop_set_default_executor(loop, executor) == 0);
}

static void start(struct task *t)
{
    REQUIRE(eddy_loop_start_job(loop, NULL, &t->job) == 0);
}

static struct eddy_future *shut_down(eddy_nsec timeout)
{
    struct eddy_future *f = NULL;
    REQUIRE(eddy_loop_shutdown_default_executor(loop, timeout, &f) == 0);
    return f;
}

static void check_shut(void)
{
    struct task t = TASK(.name = "refused");
    struct item item = {0};
    struct eddy_future *f = NULL;
    CHECK_INT(eddy_loop_start_job(loop, NULL, &t.job), EDDY_EEXECUTOR_SHUTDOWN);
    CHECK_INT(eddy_run_in_executor(loop, NULL, use_item, &item, destroy_item, &f),
              EDDY_EEXECUTOR_SHUTDOWN);
    CHECK(f == NULL);
    CHECK_INT(item.destroyed, 0);
    CHECK(!eddy_job_is_pending(&t.job));
}

/* ---- shutdown ---- */

static void L77_shutdown_lets_what_was_started_run(void)
{
    begin_default(1);
    struct task a = TASK(.gate = &gate, .trace = &trace, .name = "a");
    struct task b = TASK(.trace = &trace, .name = "b");
    start(&a);
    start(&b);
    wait_for(&gate.inside, 1);
    struct eddy_future *f = shut_down(EDDY_FOREVER);
    check_shut();
    test_run_steps(loop, 3);
    CHECK(!eddy_future_is_done(f));
    gate_open(&gate, 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_TRACE(trace, "a(0) b(0)");
    check_shut();
    eddy_future_unref(f);
    end();
}

/* What a thread does after everything else: its thread-specific values are destroyed. */
static pthread_key_t last_words;
static atomic_int begun, said;

static void say(void *value)
{
    const struct task *t = value;
    atomic_fetch_add(&begun, 1);
    for (int i = 0; i < (t->gate ? 100 : 20000); i++)
        sched_yield();
    atomic_fetch_add(&said, 1);
}

static void leave_last_words(struct eddy_job *j)
{
    pthread_setspecific(last_words, EDDY_CONTAINER_OF(j, struct task, job));
    task_fn(j);
}

/* The first one to leave takes longest. */
static void L77_shutdown_completes_when_all_threads_have_ended(void)
{
    enum { N = 4 };
    struct task tasks[N];
    atomic_store(&begun, 0);
    atomic_store(&said, 0);
    REQUIRE(pthread_key_create(&last_words, say) == 0);
    begin_default(N);
    for (int i = N - 1; i >= 0; i--) {
        tasks[i] = TASK(.gate = i > 0 ? &gate : NULL);
        tasks[i].job.fn = leave_last_words;
        start(&tasks[i]);
    }
    wait_for(&gate.inside, N - 1);
    struct eddy_future *f = shut_down(EDDY_FOREVER);
    wait_for(&begun, 1);
    gate_open(&gate, N - 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_INT(said, N);
    eddy_future_unref(f);
    end();
    pthread_key_delete(last_words);
}

static void L77_shutdown_of_idle_threads(void)
{
    begin_default(2);
    struct task a = TASK(.gate = &gate), b = TASK(.gate = &gate);
    start(&a);
    start(&b);
    gate_open(&gate, 2);
    test_run_until(loop, task_is_done, &a);
    test_run_until(loop, task_is_done, &b);
    struct eddy_future *f = shut_down(EDDY_FOREVER);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    end();
}

static void L77_shutdown_of_an_executor_never_used(void)
{
    begin_default(2);
    struct eddy_future *f = shut_down(EDDY_FOREVER);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    check_shut();
    eddy_future_unref(f);
    end();
}

static void L77_shutdown_of_a_default_executor_that_was_never_made(void)
{
    begin_default(1);
    struct eddy_loop *other = NULL;
    struct eddy_future *f = NULL;
    struct item item = {0};
    REQUIRE(test_loop_new(&other) == 0);
    CHECK_INT(eddy_loop_shutdown_default_executor(other, EDDY_FOREVER, &f), 0);
    CHECK_INT(eddy_loop_run_until_complete(other, f, NULL), 0);
    CHECK_INT(eddy_run_in_executor(other, NULL, use_item, &item, NULL, NULL),
              EDDY_EEXECUTOR_SHUTDOWN);
    CHECK_INT(eddy_loop_set_default_executor(other, executor), EDDY_EEXECUTOR_SHUTDOWN);
    eddy_future_unref(f);
    test_loop_free(other);
    end();
}

static void L77_shutdown_may_be_asked_for_again(void)
{
    begin_default(1);
    struct task a = TASK(.gate = &gate);
    start(&a);
    struct eddy_future *f = shut_down(EDDY_FOREVER), *g = shut_down(EDDY_FOREVER);
    test_run_steps(loop, 2);
    CHECK(!eddy_future_is_done(f) && !eddy_future_is_done(g));
    gate_open(&gate, 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, g, NULL), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    f = shut_down(EDDY_FOREVER);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    eddy_future_unref(g);
    end();
}

static void L77_shutdown_of_an_executor_by_itself(void)
{
    begin_default(1);
    struct eddy_executor *x = NULL;
    struct eddy_future *f = NULL;
    struct task a = TASK(.gate = &gate), b = TASK(.gate = NULL);
    REQUIRE(eddy_executor_new(NULL, &x) == 0);
    REQUIRE(eddy_loop_start_job(loop, x, &a.job) == 0);
    gate_open(&gate, 1);
    REQUIRE(eddy_executor_shutdown(x, loop, EDDY_FOREVER, &f) == 0);
    CHECK_INT(eddy_loop_start_job(loop, x, &b.job), EDDY_EEXECUTOR_SHUTDOWN);
    start(&b); /* the default one has nothing to do with it */
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    test_run_until(loop, task_is_done, &b);
    eddy_future_unref(f);
    eddy_executor_unref(x);
    end();
}

static void L77_a_time_out_is_logged_and_ends_the_wait_only(void)
{
    begin_default(1);
    test_expect_log("have not ended within 0.002 seconds");
    struct task a = TASK(.gate = &gate, .trace = &trace, .name = "a");
    start(&a);
    wait_for(&gate.inside, 1);
    struct eddy_future *f = shut_down(EDDY_MSEC(2));
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_INT(a.runs, 0);
    CHECK_INT(test_count_log("have not ended"), 1);
    eddy_future_unref(f);
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    CHECK_TRACE(trace, "a(0)");
    end();
}

static void L77_no_time_at_all(void)
{
    begin_default(1);
    test_expect_log("have not ended within 0 seconds");
    struct task a = TASK(.gate = &gate);
    start(&a);
    wait_for(&gate.inside, 1);
    struct eddy_future *f = shut_down(-1);
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    end();
}

static void L77_threads_that_end_in_time_are_no_reason_to_warn(void)
{
    begin_default(1);
    struct task a = TASK(.name = "a");
    start(&a);
    struct eddy_future *f = shut_down(TEST_DEADLINE);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_INT(test_count_log("have not ended"), 0);
    eddy_future_unref(f);
    test_run_steps(loop, 1);
    CHECK_INT(eddy_loop_timeout(loop), EDDY_FOREVER);
    end();
}

static void L77_F4_the_wait_may_be_cancelled(void)
{
    begin_default(1);
    struct task a = TASK(.gate = &gate);
    start(&a);
    wait_for(&gate.inside, 1);
    struct eddy_future *f = shut_down(TEST_DEADLINE);
    CHECK(eddy_future_cancel(f, NULL));
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -ECANCELED);
    eddy_future_unref(f);
    test_run_steps(loop, 1);
    CHECK_INT(eddy_loop_timeout(loop), EDDY_FOREVER);
    check_shut();
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    end();
}

/* The word of the end is on its way already. */
static void L77_F4_the_wait_may_be_cancelled_at_its_end(void)
{
    begin_default(1);
    struct eddy_future *f = shut_down(EDDY_FOREVER);
    CHECK(eddy_future_cancel(f, NULL));
    test_run_steps(loop, 2);
    CHECK(eddy_future_is_cancelled(f));
    eddy_future_unref(f);
    end();
}

static void L77_nobody_need_wait(void)
{
    begin_default(1);
    struct task a = TASK(.gate = &gate);
    start(&a);
    CHECK_INT(eddy_loop_shutdown_default_executor(loop, EDDY_FOREVER, NULL), 0);
    check_shut();
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    end();
}

static void G4_L17_shutdown_refused(void)
{
    begin_default(1);
    struct eddy_future *f = NULL;
    CHECK_INT(eddy_executor_shutdown(NULL, loop, 0, &f), -EINVAL);
    CHECK_INT(eddy_executor_shutdown(executor, NULL, 0, &f), -EINVAL);
    CHECK_INT(eddy_loop_shutdown_default_executor(NULL, 0, &f), -EINVAL);
    CHECK_INT(eddy_loop_set_default_executor(NULL, executor), -EINVAL);
    CHECK_INT(eddy_loop_set_default_executor(loop, NULL), -EINVAL);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_executor_shutdown(executor, loop, 0, &f), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_shutdown_default_executor(loop, 0, &f), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_set_default_executor(loop, executor), EDDY_ELOOP_CLOSED);
    CHECK(f == NULL);
    end();
}

/* ---- the default executor ---- */

static int store_name(void *arg, struct eddy_error *error)
{
    (void)error;
    pthread_getname_np(pthread_self(), arg, 16);
    return 0;
}

static void check_default_name(const char *expected)
{
    char name[16] = "";
    struct eddy_future *f = NULL;
    REQUIRE(eddy_run_in_executor(loop, NULL, store_name, name, NULL, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_STR(name, expected);
    eddy_future_unref(f);
}

static void L73_the_default_executor_may_be_replaced(void)
{
    begin_default(1);
    struct eddy_executor *other = NULL;
    struct task a = TASK(.gate = &gate);
    check_default_name("mine-0");
    start(&a);
    REQUIRE(eddy_executor_new(EDDY_EXECUTOR(.name = "other"), &other) == 0);
    CHECK_INT(eddy_loop_set_default_executor(loop, other), 0);
    eddy_executor_unref(other);
    eddy_executor_unref(executor);
    executor = NULL; /* a keeps it */
    check_default_name("other-0");
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    CHECK_INT(a.status, 0);
    end();
}

/* ---- the loop's end ---- */

static void L15_close_lets_the_default_executor_end_without_waiting(void)
{
    begin_default(1);
    struct eddy_loop *other = NULL;
    struct task a = TASK(.gate = &gate);
    REQUIRE(test_loop_new(&other) == 0);
    REQUIRE(eddy_loop_start_job(other, NULL, &a.job) == 0);
    wait_for(&gate.inside, 1);
    test_loop_free(other);
    CHECK_INT(a.dones, 0);
    gate_open(&gate, 1);
    wait_for(&a.dones, 1);
    end(); /* its thread frees it */
}

static void L15_G10_an_executor_that_was_set_goes_on_for_its_owner(void)
{
    begin_default(1);
    struct eddy_loop *other = NULL;
    struct task a = TASK(.name = "a"), b = TASK(.name = "b");
    start(&a);
    test_run_until(loop, task_is_done, &a);
    CHECK_INT(eddy_loop_close(loop), 0);
    REQUIRE(test_loop_new(&other) == 0);
    REQUIRE(eddy_loop_start_job(other, executor, &b.job) == 0);
    test_run_until(other, task_is_done, &b);
    CHECK_INT(b.status, 0);
    test_loop_free(other);
    end();
}

static void L15_L77_close_while_shutdown_waits(void)
{
    begin_default(1);
    struct task a = TASK(.gate = &gate);
    start(&a);
    wait_for(&gate.inside, 1);
    struct eddy_future *f = shut_down(TEST_DEADLINE), *g = shut_down(EDDY_FOREVER);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
    eddy_future_unref(f);
    eddy_future_unref(g);
    gate_open(&gate, 1);
    wait_for(&a.dones, 1);
    end();
}

static void L15_L77_close_when_the_threads_have_ended_unheard(void)
{
    for (int i = 0; i < 50; i++) {
        begin_default(1);
        struct task a = TASK(.gate = NULL);
        start(&a);
        struct eddy_future *f = shut_down(EDDY_FOREVER);
        wait_for(&a.runs, 1);
        CHECK_INT(eddy_loop_close(loop), 0);
        CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
        eddy_future_unref(f);
        wait_for(&a.dones, 1);
        end();
    }
}

const struct test_case test_cases[] = {
    TEST(L77_shutdown_lets_what_was_started_run),
    TEST(L77_shutdown_completes_when_all_threads_have_ended),
    TEST(L77_shutdown_of_idle_threads),
    TEST(L77_shutdown_of_an_executor_never_used),
    TEST(L77_shutdown_of_a_default_executor_that_was_never_made),
    TEST(L77_shutdown_may_be_asked_for_again),
    TEST(L77_shutdown_of_an_executor_by_itself),
    TEST(L77_a_time_out_is_logged_and_ends_the_wait_only),
    TEST(L77_no_time_at_all),
    TEST(L77_threads_that_end_in_time_are_no_reason_to_warn),
    TEST(L77_F4_the_wait_may_be_cancelled),
    TEST(L77_F4_the_wait_may_be_cancelled_at_its_end),
    TEST(L77_nobody_need_wait),
    TEST(G4_L17_shutdown_refused),
    TEST(L73_the_default_executor_may_be_replaced),
    TEST(L15_close_lets_the_default_executor_end_without_waiting),
    TEST(L15_G10_an_executor_that_was_set_goes_on_for_its_owner),
    TEST(L15_L77_close_while_shutdown_waits),
    TEST(L15_L77_close_when_the_threads_have_ended_unheard),
    TEST_END,
};
