/* Current loops and fork. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <eddy/policy.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static struct eddy_loop *loop;

static void begin(void)
{
    REQUIRE(test_loop_new(&loop) == 0);
    REQUIRE(eddy_set_event_loop(loop) == 0);
}

static struct eddy_loop *current(void)
{
    struct eddy_loop *got = NULL;
    int err = eddy_get_event_loop(&got);
    CHECK(err == 0 || (err == EDDY_ENO_LOOP && got == NULL));
    return got;
}

static void end(void)
{
    CHECK(current() == loop);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    test_loop_free(loop);
}

static void run_and_close(struct eddy_loop *mine)
{
    struct test_trace trace = {0};
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = mine);
    eddy_loop_call_later(mine, &t.node, 0);
    CHECK_INT(eddy_loop_run_forever(mine), 0);
    CHECK_TRACE(trace, "t");
    CHECK_INT(eddy_loop_close(mine), 0);
}

/* Nothing of the parent's, nor of the child's, may be left in the end. */
static void let_all_go(void)
{
    CHECK_INT(eddy_loop_close(loop), 0); /* still good, for those who know it */
    eddy_loop_unref(loop);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK(current() == NULL);
    CHECK_INT(test_live_allocations(), 0);
}

static void get_the_first_one(void *user)
{
    (void)user;
    struct eddy_loop *mine = current();
    REQUIRE(mine != NULL);
    run_and_close(mine);
}

/* The first case, so that nothing but set_event_loop can have made the library notice forks. */
static void L72_P5_a_fork_before_there_was_any_loop(void)
{
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK(current() == NULL);
    test_in_child(get_the_first_one, NULL);
}

static void get_one_of_its_own(void *user)
{
    (void)user;
    CHECK(eddy_get_running_loop() == NULL);
    struct eddy_loop *mine = current();
    REQUIRE(mine != NULL);
    CHECK(mine != loop);
    CHECK(current() == mine);
    run_and_close(mine);
    let_all_go();
}

static void L72_P9_P5_a_child_gets_a_loop_of_its_own(void)
{
    begin();
    test_in_child(get_one_of_its_own, NULL);
    end();
}

/* The run below holds a reference as well, which a child that ends in the callback never drops. */
static void get_one_inside_a_callback(void *user)
{
    (void)user;
    CHECK(eddy_get_running_loop() == NULL);
    struct eddy_loop *mine = current();
    REQUIRE(mine != NULL);
    CHECK(mine != loop);
    run_and_close(mine);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
}

static void fork_inside(struct test_handle *h)
{
    test_in_child(get_one_inside_a_callback, NULL);
    CHECK(eddy_get_running_loop() == h->user);
    eddy_loop_stop(h->user);
}

static void L72_P9_a_child_that_is_forked_in_a_callback(void)
{
    struct test_trace trace = {0};
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = fork_inside, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h");
    end();
}

static void set_its_own(void *user)
{
    struct eddy_loop *mine = NULL;
    (void)user;
    REQUIRE(eddy_new_event_loop(&mine) == 0);
    CHECK_INT(eddy_set_event_loop(mine), 0);
    CHECK(current() == mine);
    run_and_close(mine);
    eddy_loop_unref(mine);
    let_all_go();
}

static void L72_P8_a_child_that_sets_a_loop_lets_the_parents_go(void)
{
    begin();
    test_in_child(set_its_own, NULL);
    end();
}

static void goes_on_with_the_parents(void *user)
{
    (void)user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK(current() == loop);
    run_and_close(loop);
    let_all_go();
}

static void L72_a_child_may_make_the_parents_loop_its_own(void)
{
    begin();
    test_in_child(goes_on_with_the_parents, NULL);
    end();
}

static void fork_again(void *user)
{
    (void)user;
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK(current() == NULL);
    test_in_child(get_one_of_its_own, NULL);
}

/* set_event_loop was called here, but that was another process. */
static void L72_P5_what_was_set_before_the_fork_does_not_count(void)
{
    begin();
    test_in_child(fork_again, NULL);
    end();
}

static void *fork_in_thread(void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        unsigned before = CU_get_number_of_failures();
        struct eddy_loop *mine = current();
        CHECK(mine != NULL && mine != loop);
        if (mine)
            run_and_close(mine);
        _exit(CU_get_number_of_failures() != before);
    }
    *(pid_t *)arg = pid;
    return NULL;
}

/* It is the main thread of its process, whichever it was of the parent's. */
static void L72_P5_a_child_of_another_thread(void)
{
    pthread_t thread;
    pid_t pid = -1;
    int status = -1;
    begin();
    REQUIRE(pthread_create(&thread, NULL, fork_in_thread, &pid) == 0);
    pthread_join(thread, NULL);
    REQUIRE(pid > 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    end();
}

const struct test_case test_cases[] = {
    TEST(L72_P5_a_fork_before_there_was_any_loop),
    TEST(L72_P9_P5_a_child_gets_a_loop_of_its_own),
    TEST(L72_P9_a_child_that_is_forked_in_a_callback),
    TEST(L72_P8_a_child_that_sets_a_loop_lets_the_parents_go),
    TEST(L72_a_child_may_make_the_parents_loop_its_own),
    TEST(L72_P5_what_was_set_before_the_fork_does_not_count),
    TEST(L72_P5_a_child_of_another_thread),
    TEST_END,
};
