/* Executors without memory and without threads: contract G3, G5, L73. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/executor_case.h"

/* ---- memory ---- */

static void G5_no_memory_for_an_executor(void)
{
    struct eddy_error err = {0};
    struct eddy_executor *x = NULL;
    test_fail_allocation(1);
    CHECK_INT(eddy_executor_new(EDDY_EXECUTOR(.error = &err), &x), -ENOMEM);
    test_fail_allocation(0);
    CHECK_INT(err.code, -ENOMEM);
    CHECK(x == NULL);
}

/* Returns whether the nth allocation was needed. */
static bool call_with_failure(struct eddy_executor *x, long n, bool with_future)
{
    struct item item = {0};
    struct eddy_future *f = NULL;
    long live = test_live_allocations();
    test_fail_allocation(n);
    int rc = eddy_run_in_executor(loop, x, use_item, &item, destroy_item, with_future ? &f : NULL);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    if (failed) {
        CHECK_INT(rc, -ENOMEM);
        CHECK(f == NULL);
        CHECK_INT(item.destroyed, 0);
        CHECK_INT(test_live_allocations(), live);
        return true;
    }
    CHECK_INT(rc, 0);
    if (f) {
        CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
        eddy_future_unref(f);
    }
    while (!item.destroyed && CHECK_INT(eddy_loop_run_once(loop, TEST_DEADLINE), 0))
        ;
    CHECK_INT(item.destroyed, 1);
    CHECK_INT(item.runs, 1);
    return false;
}

static void G3_G5_L73_each_allocation_of_a_call_fails_once(void)
{
    begin(2);
    long n = 1;
    while (call_with_failure(NULL, n, true) && n < 20) /* the last one makes the executor */
        n++;
    CHECK_INT(n, 4);
    for (n = 1; call_with_failure(executor, n, true) && n < 20; n++)
        ;
    CHECK_INT(n, 3);
    for (n = 1; call_with_failure(executor, n, false) && n < 20; n++)
        ;
    CHECK_INT(n, 2);
    end();
}

/* Likewise. What has failed must not have shut anything. */
static bool shut_down_with_failure(long n)
{
    struct item item = {0};
    struct eddy_future *f = NULL;
    test_fail_allocation(n);
    int rc = eddy_loop_shutdown_default_executor(loop, EDDY_FOREVER, &f);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    if (!failed) {
        CHECK_INT(rc, 0);
        CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
        eddy_future_unref(f);
        return false;
    }
    CHECK_INT(rc, -ENOMEM);
    CHECK(f == NULL);
    CHECK_INT(eddy_run_in_executor(loop, NULL, use_item, &item, NULL, &f), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    return true;
}

static void G3_L77_a_shutdown_that_fails_has_shut_nothing(void)
{
    begin(2);
    REQUIRE(eddy_loop_set_default_executor(loop, executor) == 0);
    long n = 1;
    while (shut_down_with_failure(n) && n < 20)
        n++;
    CHECK_INT(n, 3);
    end();
    begin(2);
    CHECK(shut_down_with_failure(1)); /* of an executor that was not made yet */
    end();
}

/* ---- threads ---- */

/* Nobody gets a stack of this size, and a thread that asks for no other is refused. */
static void allow_threads(bool allowed)
{
    static pthread_attr_t usual;
    pthread_attr_t huge;
    if (allowed) {
        REQUIRE(pthread_setattr_default_np(&usual) == 0);
        pthread_attr_destroy(&usual);
        return;
    }
    REQUIRE(pthread_getattr_default_np(&usual) == 0);
    REQUIRE(pthread_getattr_default_np(&huge) == 0);
    REQUIRE(pthread_attr_setstacksize(&huge, (size_t)1 << 50) == 0);
    REQUIRE(pthread_setattr_default_np(&huge) == 0);
    pthread_attr_destroy(&huge);
}

static void G3_L73_without_any_thread_the_call_is_refused(void)
{
    begin(2);
    struct item item = {0};
    struct eddy_future *f = NULL;
    struct task t = TASK(.gate = NULL);
    long live = test_live_allocations();
    allow_threads(false);
    CHECK_INT(eddy_run_in_executor(loop, executor, use_item, &item, destroy_item, &f), -EAGAIN);
    CHECK_INT(eddy_loop_start_job(loop, executor, &t.job), -EAGAIN);
    allow_threads(true);
    CHECK(f == NULL);
    CHECK_INT(item.destroyed, 0);
    CHECK(!eddy_job_is_pending(&t.job));
    CHECK_INT(test_live_allocations(), live);
    CHECK_INT(eddy_loop_start_job(loop, executor, &t.job), 0);
    test_run_until(loop, task_is_done, &t);
    CHECK_INT(t.status, 0);
    end();
}

static void L73_one_thread_does_the_work_of_those_that_could_not_be_started(void)
{
    begin(2);
    struct task a = TASK(.gate = &gate), b = TASK(.gate = &gate);
    CHECK_INT(eddy_loop_start_job(loop, executor, &a.job), 0);
    wait_for(&gate.inside, 1);
    allow_threads(false);
    CHECK_INT(eddy_loop_start_job(loop, executor, &b.job), 0);
    allow_threads(true);
    gate_open(&gate, 2);
    test_run_until(loop, task_is_done, &a);
    test_run_until(loop, task_is_done, &b);
    CHECK_INT(gate.most, 1);
    end();
}

const struct test_case test_cases[] = {
    TEST(G5_no_memory_for_an_executor),
    TEST(G3_G5_L73_each_allocation_of_a_call_fails_once),
    TEST(G3_L77_a_shutdown_that_fails_has_shut_nothing),
    TEST(G3_L73_without_any_thread_the_call_is_refused),
    TEST(L73_one_thread_does_the_work_of_those_that_could_not_be_started),
    TEST_END,
};
