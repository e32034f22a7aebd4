/* Executors and fork: a child has none of the threads, and must not wait for them. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/executor_case.h"
#include <sys/wait.h>
#include <unistd.h>

static struct task running, waiting, finished;
static struct item called;
static struct eddy_future *future;

/* One thread at the gate, one job and one call behind it, and one post that the loop has not
 * taken. */
static void begin_work(void)
{
    begin(1);
    future = NULL;
    finished = TASK(.trace = &trace, .name = "finished");
    running = TASK(.trace = &trace, .name = "running", .gate = &gate);
    waiting = TASK(.trace = &trace, .name = "waiting");
    called = (struct item){0};
    REQUIRE(eddy_loop_start_job(loop, executor, &finished.job) == 0);
    REQUIRE(eddy_loop_start_job(loop, executor, &running.job) == 0);
    REQUIRE(eddy_loop_start_job(loop, executor, &waiting.job) == 0);
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, &called, destroy_item, &future) == 0);
    wait_for(&gate.inside, 1);
}

static void check_parent_goes_on(void)
{
    gate_open(&gate, 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, NULL), 0);
    CHECK_TRACE(trace, "finished(0) running(0) waiting(0)");
}

static void let_go(void)
{
    eddy_future_unref(future);
    CHECK_INT(called.destroyed, 1);
    end();
}

/* The thread sanitizer can have no threads in a child of a process that had some; the address
 * sanitizer only if no thread was just then beginning, with the lock of its allocator held. */
static void in_child_with_threads(void (*fn)(void *user), void *user, bool midst)
{
#if defined(__SANITIZE_THREAD__)
    const bool possible = false;
#elif defined(__SANITIZE_ADDRESS__)
    const bool possible = !midst;
#else
    const bool possible = true;
#endif
    (void)midst;
    if (possible)
        test_in_child(fn, user);
}

static void go_on(void *user)
{
    (void)user;
    struct task mine = TASK(.trace = &trace, .name = "mine");
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK(!eddy_job_cancel(&finished.job));
    CHECK_INT(eddy_loop_start_job(loop, executor, &mine.job), 0);
    test_run_until(loop, task_is_done, &mine);
    CHECK_TRACE(trace, "finished(0) running(ECANCELED) waiting(ECANCELED) mine(0)");
    CHECK(eddy_future_is_cancelled(future));
    CHECK_INT(waiting.runs, 0);
    let_go();
}

static void L72_L73_a_child_gets_threads_of_its_own_and_loses_what_was_under_way(void)
{
    begin_work();
    in_child_with_threads(go_on, NULL, false);
    check_parent_goes_on();
    let_go();
}

static void just_close(void *user)
{
    (void)user;
    CHECK(!eddy_job_cancel(&waiting.job)); /* it is the parent's */
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(running.status, EDDY_ELOOP_CLOSED);
    CHECK_INT(waiting.status, EDDY_ELOOP_CLOSED);
    CHECK_INT(finished.status, EDDY_ELOOP_CLOSED);
    CHECK_INT(running.dones, 1);
    CHECK_INT(eddy_future_result(future, NULL), EDDY_ELOOP_CLOSED);
    let_go();
}

static void L72_L75_a_child_may_close_the_loop_at_once(void)
{
    begin_work();
    test_in_child(just_close, NULL);
    check_parent_goes_on();
    let_go();
}

static void wait_for_the_end(void *user)
{
    struct eddy_future *f = user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    let_go();
}

static void L72_L77_a_child_does_not_wait_for_the_parents_threads(void)
{
    begin_work();
    struct eddy_future *f = NULL;
    REQUIRE(eddy_executor_shutdown(executor, loop, EDDY_FOREVER, &f) == 0);
    test_in_child(wait_for_the_end, f);
    CHECK(!eddy_future_is_done(f));
    check_parent_goes_on();
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    let_go();
}

static void use_executor_alone(void *user)
{
    (void)user;
    struct eddy_loop *mine = NULL;
    struct task t = TASK(.trace = &trace, .name = "t");
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine) == 0);
    CHECK_INT(eddy_loop_start_job(mine, executor, &t.job), 0);
    test_run_until(mine, task_is_done, &t);
    CHECK_TRACE(trace, "t(0)");
    CHECK_INT(eddy_loop_close(mine), 0);
    eddy_loop_unref(mine);
}

static void L72_L73_a_childs_own_loop_may_use_the_executor(void)
{
    begin_work();
    in_child_with_threads(use_executor_alone, NULL, false);
    check_parent_goes_on();
    let_go();
}

/* ---- threads at work while the process forks ---- */

static void go_on_in_the_midst(void *user)
{
    struct task *tasks = user;
    struct task mine = TASK(.name = "mine");
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_INT(eddy_loop_start_job(loop, executor, &mine.job), 0);
    test_run_until(loop, task_is_done, &mine);
    for (int i = 0; i < 30; i++) {
        CHECK_INT(tasks[i].dones, 1);
        CHECK(tasks[i].status == 0 || tasks[i].status == -ECANCELED);
    }
    test_loop_free(loop);
}

static void L72_a_fork_at_any_moment(void)
{
    static struct task tasks[30];
    long live = test_live_allocations();
    for (int round = 0; round < 20; round++) {
        loop = NULL;
        executor = NULL;
        REQUIRE(test_loop_new(&loop) == 0);
        REQUIRE(eddy_executor_new(EDDY_EXECUTOR(.max_threads = 3), &executor) == 0);
        for (int i = 0; i < 30; i++) {
            tasks[i] = TASK(.name = "t");
            REQUIRE(eddy_loop_start_job(loop, executor, &tasks[i].job) == 0);
        }
        in_child_with_threads(go_on_in_the_midst, tasks, true);
        for (int i = 0; i < 30; i++) {
            test_run_until(loop, task_is_done, &tasks[i]);
            CHECK_INT(tasks[i].status, 0);
        }
        eddy_executor_unref(executor);
        test_loop_free(loop);
        wait_for_allocations(live);
    }
}

/* ---- a fork inside a job ---- */

static void fork_inside(struct eddy_job *j)
{
    struct task *t = EDDY_CONTAINER_OF(j, struct task, job);
    pid_t pid = fork();
    if (pid == 0)
        return; /* which it should not */
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK_INT(status, 0);
    atomic_fetch_add(&t->runs, 1);
}

static void L72_a_child_forked_inside_a_job_does_not_post_for_the_parent(void)
{
    struct task t = TASK(.name = "t");
    long live = test_live_allocations();
    t.job.fn = fork_inside;
    loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    REQUIRE(eddy_loop_start_job(loop, NULL, &t.job) == 0);
    test_run_until(loop, task_is_done, &t);
    CHECK_INT(t.runs, 1);
    CHECK_INT(t.dones, 1);
    test_loop_free(loop);
    wait_for_allocations(live);
}

const struct test_case test_cases[] = {
    TEST(L72_L75_a_child_may_close_the_loop_at_once),
    TEST(L72_L77_a_child_does_not_wait_for_the_parents_threads),
    TEST(L72_a_child_forked_inside_a_job_does_not_post_for_the_parent),
    TEST(L72_L73_a_child_gets_threads_of_its_own_and_loses_what_was_under_way),
    TEST(L72_L73_a_childs_own_loop_may_use_the_executor),
    TEST(L72_a_fork_at_any_moment),
    TEST_END,
};
