/* Jobs, the nodes below calls in an executor: who has them when, and what the loop's end does. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/executor_case.h"
#include <stdlib.h>

static void start(struct task *t)
{
    REQUIRE(eddy_loop_start_job(loop, executor, &t->job) == 0);
}

/* ---- in order ---- */

static void L73_done_comes_from_the_loop_on_its_thread(void)
{
    begin(1);
    struct task a = TASK(.trace = &trace, .name = "a");
    start(&a);
    wait_for(&a.runs, 1);
    CHECK(eddy_job_is_pending(&a.job));
    CHECK_INT(a.dones, 0);
    test_run_until(loop, task_is_done, &a);
    CHECK(!eddy_job_is_pending(&a.job));
    CHECK(pthread_equal(a.done_in, pthread_self()));
    CHECK_TRACE(trace, "a(0)");
    end();
}

static void L73_jobs_begin_in_the_order_of_their_start(void)
{
    begin(1);
    struct task tasks[5];
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++) {
        tasks[i] = TASK(.trace = &trace, .name = names[i]);
        start(&tasks[i]);
    }
    test_run_until(loop, task_is_done, &tasks[4]);
    CHECK_TRACE(trace, "a(0) b(0) c(0) d(0) e(0)");
    end();
}

static void L73_starting_a_job_allocates_nothing(void)
{
    begin(1);
    struct task a = TASK(.trace = &trace, .name = "a");
    long before = test_allocations();
    start(&a);
    test_run_until(loop, task_is_done, &a);
    CHECK_INT(test_allocations(), before);
    end();
}

static void G4_L17_what_cannot_be_started(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate), no_fn = TASK(.runs = 0), no_done = TASK(.runs = 0);
    no_fn.job.fn = NULL;
    no_done.job.done = NULL;
    CHECK_INT(eddy_loop_start_job(NULL, executor, &a.job), -EINVAL);
    CHECK_INT(eddy_loop_start_job(loop, executor, NULL), -EINVAL);
    CHECK_INT(eddy_loop_start_job(loop, executor, &no_fn.job), -EINVAL);
    CHECK_INT(eddy_loop_start_job(loop, executor, &no_done.job), -EINVAL);
    CHECK(!eddy_job_cancel(NULL));
    start(&a);
    CHECK_INT(eddy_loop_start_job(loop, executor, &a.job), -EALREADY);
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &a);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_loop_start_job(loop, executor, &a.job), EDDY_ELOOP_CLOSED);
    CHECK(!eddy_job_is_pending(&a.job));
    end();
}

static void start_twice_more(struct task *t)
{
    if (t->runs < 3)
        start(t);
}

static void G13_a_job_may_be_started_again_from_its_own_done(void)
{
    begin(1);
    struct task a = TASK(.trace = &trace, .name = "a", .then = start_twice_more);
    start(&a);
    while (a.dones < 3 && CHECK_INT(eddy_loop_run_once(loop, TEST_DEADLINE), 0))
        ;
    CHECK_TRACE(trace, "a(0) a(0) a(0)");
    CHECK_INT(a.runs, 3);
    end();
}

static void free_task(struct eddy_job *j, int status)
{
    struct task *t = EDDY_CONTAINER_OF(j, struct task, job);
    CHECK_INT(status, 0);
    *(bool *)t->user = true;
    free(t);
}

static void G14_a_job_may_be_freed_in_its_done(void)
{
    begin(1);
    bool freed = false;
    struct task *t = malloc(sizeof *t);
    REQUIRE(t != NULL);
    *t = TASK(.user = &freed);
    t->job.done = free_task;
    start(t);
    test_run_until(loop, test_is_true, &freed);
    end();
}

static void drop_executor(struct task *t)
{
    (void)t;
    eddy_executor_unref(executor);
    executor = NULL;
}

static void G12_the_executor_may_be_dropped_in_done(void)
{
    begin(1);
    struct task a = TASK(.then = drop_executor);
    start(&a);
    test_run_until(loop, task_is_done, &a);
    end();
}

/* ---- cancelling ---- */

static void L74_G14_a_job_that_waits_is_the_users_again_when_cancelled(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate, .trace = &trace, .name = "a");
    struct task b = TASK(.trace = &trace, .name = "b");
    struct task c = TASK(.trace = &trace, .name = "c");
    start(&a);
    start(&b);
    start(&c);
    wait_for(&gate.inside, 1);
    CHECK(eddy_job_cancel(&b.job));
    CHECK(!eddy_job_is_pending(&b.job));
    CHECK(!eddy_job_cancel(&b.job));
    memset(&b, 0x5a, sizeof b);
    b = TASK(.trace = &trace, .name = "B");
    start(&b);
    gate_open(&gate, 1);
    test_run_until(loop, task_is_done, &b);
    CHECK_TRACE(trace, "a(0) c(0) B(0)");
    end();
}

static void L74_a_job_that_runs_or_has_run_is_not_cancelled(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate, .trace = &trace, .name = "a");
    start(&a);
    wait_for(&gate.inside, 1);
    CHECK(!eddy_job_cancel(&a.job));
    gate_open(&gate, 1);
    wait_for(&a.runs, 1);
    CHECK(!eddy_job_cancel(&a.job));
    CHECK(eddy_job_is_pending(&a.job));
    test_run_until(loop, task_is_done, &a);
    CHECK(!eddy_job_cancel(&a.job));
    CHECK_TRACE(trace, "a(0)");
    end();
}

static pthread_t ran_in;

static void note_thread(struct eddy_job *j)
{
    ran_in = pthread_self();
    task_fn(j);
}

static pthread_t run_one(void)
{
    struct task t = TASK(.gate = NULL);
    t.job.fn = note_thread;
    start(&t);
    test_run_until(loop, task_is_done, &t);
    return ran_in;
}

/* If it did, threads would be started for it. */
static void L73_L74_a_cancelled_job_does_not_count_as_waiting(void)
{
    begin(8);
    pthread_t only = run_one();
    for (int cancelled = 0; cancelled < 3;) {
        struct task t = TASK(.gate = NULL);
        start(&t);
        if (eddy_job_cancel(&t.job)) /* before the thread has woken up */
            cancelled++;
        else
            test_run_until(loop, task_is_done, &t);
    }
    for (int i = 0; i < 50; i++)
        CHECK(pthread_equal(run_one(), only));
    end();
}

/* ---- the loop's end ---- */

static void L75_L15_jobs_that_wait_are_done_inside_close(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate), b = TASK(.trace = &trace, .name = "b");
    start(&a);
    start(&b);
    wait_for(&gate.inside, 1);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "b(ELOOP_CLOSED)");
    CHECK(pthread_equal(b.done_in, pthread_self()));
    CHECK_INT(a.dones, 0);
    gate_open(&gate, 1);
    wait_for(&a.dones, 1);
    CHECK_INT(b.runs, 0);
    end();
}

static void L75_a_job_that_runs_at_the_loops_end_is_done_in_its_thread(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate);
    start(&a);
    wait_for(&gate.inside, 1);
    test_loop_free(loop);
    loop = NULL;
    CHECK_INT(a.dones, 0);
    gate_open(&gate, 1);
    wait_for(&a.dones, 1);
    CHECK_INT(a.status, EDDY_ELOOP_CLOSED);
    CHECK_INT(a.runs, 1);
    CHECK(!pthread_equal(a.done_in, pthread_self()));
    CHECK(!eddy_job_is_pending(&a.job));
    end();
}

static void L75_L30_a_job_that_has_run_is_done_inside_close(void)
{
    begin(1);
    struct task a = TASK(.trace = &trace, .name = "a"), b = TASK(.gate = &gate);
    start(&a);
    start(&b);
    wait_for(&gate.inside, 1); /* so a's post has been made */
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "a(ELOOP_CLOSED)");
    CHECK_INT(a.runs, 1);
    gate_open(&gate, 1);
    wait_for(&b.dones, 1);
    end();
}

static void L75_the_thread_goes_on_with_jobs_of_other_loops(void)
{
    begin(1);
    struct task a = TASK(.gate = &gate), b = TASK(.trace = &trace, .name = "b");
    struct eddy_loop *other = NULL;
    REQUIRE(test_loop_new(&other) == 0);
    start(&a);
    REQUIRE(eddy_loop_start_job(other, executor, &b.job) == 0);
    wait_for(&gate.inside, 1);
    CHECK_INT(eddy_loop_close(loop), 0);
    gate_open(&gate, 1);
    test_run_until(other, task_is_done, &b);
    CHECK_TRACE(trace, "b(0)");
    CHECK_INT(a.dones, 1);
    test_loop_free(other);
    end();
}

static void L18_a_job_does_not_keep_a_forgotten_loop(void)
{
    begin(1);
    test_expect_log("unclosed event loop");
    struct eddy_loop *forgotten = NULL;
    struct task a = TASK(.gate = &gate), b = TASK(.trace = &trace, .name = "b");
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &forgotten) == 0);
    REQUIRE(eddy_loop_start_job(forgotten, NULL, &a.job) == 0);
    REQUIRE(eddy_loop_start_job(forgotten, executor, &b.job) == 0);
    wait_for(&gate.inside, 1);
    eddy_loop_unref(forgotten);
    gate_open(&gate, 1);
    wait_for(&a.dones, 1);
    CHECK_INT(a.status, EDDY_ELOOP_CLOSED);
    wait_for(&b.dones, 1);
    end();
}

static void L75_L15_a_call_ends_with_its_loop(void)
{
    begin(1);
    struct item first = {.gate = &gate}, second = {0};
    struct eddy_future *f = NULL, *g = NULL;
    REQUIRE(eddy_run_in_executor(loop, NULL, use_item, &first, destroy_item, &f) == 0);
    wait_for(&gate.inside, 1);
    REQUIRE(eddy_loop_set_default_executor(loop, executor) == 0);
    REQUIRE(eddy_run_in_executor(loop, NULL, use_item, &second, destroy_item, &g) == 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(first.destroyed, 0); /* it is in use */
    CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_future_result(g, NULL), EDDY_ELOOP_CLOSED);
    CHECK(!eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    eddy_future_unref(g);
    gate_open(&gate, 1);
    wait_for(&first.destroyed, 1);
    wait_for(&second.destroyed, 1);
    CHECK(!pthread_equal(first.destroyed_in, pthread_self()));
    end();
}

static void L75_futures_of_a_closed_loop_make_no_noise(void)
{
    begin(1);
    struct item item = {.gate = &gate}, cancelled = {0};
    struct eddy_future *f = NULL, *g = NULL;
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, &item, destroy_item, &f) == 0);
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, &cancelled, destroy_item, &g) == 0);
    wait_for(&gate.inside, 1);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(cancelled.destroyed, 1);
    eddy_future_unref(f); /* main looks at the log */
    eddy_future_unref(g);
    gate_open(&gate, 1);
    wait_for(&item.destroyed, 1);
    end();
}

/* ---- close against threads that finish ---- */

enum { RACE = 40 };

static void check_race(struct task *tasks)
{
    for (int i = 0; i < RACE; i++)
        wait_for(&tasks[i].dones, 1);
    for (int i = 0; i < RACE; i++) {
        if (tasks[i].status != EDDY_ELOOP_CLOSED)
            CHECK_INT(tasks[i].status, 0);
        CHECK(tasks[i].status < 0 || tasks[i].runs == 1);
    }
}

static void L32_L75_each_job_that_races_with_close_is_done_once(void)
{
    static struct task tasks[RACE];
    for (int round = 0; round < 60; round++) {
        begin(3);
        for (int i = 0; i < RACE; i++) {
            tasks[i] = TASK(.runs = 0);
            start(&tasks[i]);
        }
        for (int i = 0; i < round % 4; i++)
            CHECK_INT(eddy_loop_run_once(loop, 0), 0);
        CHECK_INT(eddy_loop_close(loop), 0);
        check_race(tasks);
        end();
        for (int i = 0; i < RACE; i++)
            CHECK_INT(tasks[i].dones, 1);
    }
}

const struct test_case test_cases[] = {
    TEST(L73_done_comes_from_the_loop_on_its_thread),
    TEST(L73_jobs_begin_in_the_order_of_their_start),
    TEST(L73_starting_a_job_allocates_nothing),
    TEST(G4_L17_what_cannot_be_started),
    TEST(G13_a_job_may_be_started_again_from_its_own_done),
    TEST(G14_a_job_may_be_freed_in_its_done),
    TEST(G12_the_executor_may_be_dropped_in_done),
    TEST(L74_G14_a_job_that_waits_is_the_users_again_when_cancelled),
    TEST(L74_a_job_that_runs_or_has_run_is_not_cancelled),
    TEST(L73_L74_a_cancelled_job_does_not_count_as_waiting),
    TEST(L75_L15_jobs_that_wait_are_done_inside_close),
    TEST(L75_a_job_that_runs_at_the_loops_end_is_done_in_its_thread),
    TEST(L75_L30_a_job_that_has_run_is_done_inside_close),
    TEST(L75_the_thread_goes_on_with_jobs_of_other_loops),
    TEST(L18_a_job_does_not_keep_a_forgotten_loop),
    TEST(L75_L15_a_call_ends_with_its_loop),
    TEST(L75_futures_of_a_closed_loop_make_no_noise),
    TEST(L32_L75_each_job_that_races_with_close_is_done_once),
    TEST_END,
};
