/* Functions in the threads of an executor, and the futures of their outcome. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/executor_case.h"
#include <signal.h>
#include <stdio.h>

static struct eddy_future *call(struct item *item)
{
    struct eddy_future *f = NULL;
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, item, destroy_item, &f) == 0);
    return f;
}

/* ---- outcomes ---- */

static void L73_the_value_is_the_argument_with_what_fn_left_in_it(void)
{
    begin(0);
    struct item item = {0};
    void *value = NULL;
    struct eddy_future *f = call(&item);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, &value), 0);
    CHECK(value == &item);
    CHECK_INT(item.answer, 42);
    CHECK(!pthread_equal(item.ran_in, pthread_self()));
    CHECK_INT(item.destroyed, 0);
    eddy_future_unref(f);
    CHECK_INT(item.destroyed, 1);
    CHECK_INT(item.runs, 1);
    end();
}

static void L73_an_error_of_fn_is_the_futures(void)
{
    begin(0);
    struct item item = {.result = -EPROTO, .text = "no such thing"};
    struct eddy_future *f = call(&item);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -EPROTO);
    CHECK_STR(eddy_future_error(f)->text, "no such thing");
    CHECK_STR(eddy_future_error(f)->op, "use");
    CHECK_INT(item.destroyed, 1);
    CHECK(pthread_equal(item.destroyed_in, pthread_self()));
    eddy_future_unref(f);
    CHECK_INT(item.destroyed, 1);
    end();
}

static void L73_a_bare_code_is_an_error_too(void)
{
    begin(0);
    struct item item = {.result = -EIO};
    struct eddy_future *f = call(&item);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -EIO);
    CHECK_INT(eddy_future_error(f)->code, -EIO);
    eddy_future_unref(f);
    end();
}

static void L73_the_default_executor_is_made_when_it_is_needed(void)
{
    begin(0);
    struct item item = {0};
    struct eddy_future *f = NULL;
    REQUIRE(eddy_run_in_executor(loop, NULL, use_item, &item, NULL, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_INT(item.runs, 1);
    eddy_future_unref(f);
    CHECK_INT(item.destroyed, 0);
    end();
}

static bool is_destroyed(void *user)
{
    return atomic_load(&((struct item *)user)->destroyed) > 0;
}

static void L73_nobody_need_wait(void)
{
    begin(0);
    struct item item = {0};
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, &item, destroy_item, NULL) == 0);
    test_run_until(loop, is_destroyed, &item);
    CHECK(pthread_equal(item.destroyed_in, pthread_self()));
    CHECK_INT(item.runs, 1);
    end();
}

static void L73_L44_an_error_that_nobody_waits_for_is_reported(void)
{
    begin(0);
    struct test_problems problems = {0};
    struct item item = {.result = -EPROTO, .text = "no such thing"};
    eddy_loop_set_problem_handler(loop, test_on_problem, &problems);
    REQUIRE(eddy_run_in_executor(loop, executor, use_item, &item, destroy_item, NULL) == 0);
    test_run_until(loop, is_destroyed, &item);
    CHECK_INT(problems.count, 1);
    CHECK_INT(problems.code, -EPROTO);
    CHECK_STR(problems.text, "no such thing");
    end();
}

static void L73_a_future_completed_by_somebody_else_leaves_the_argument_to_be_destroyed(void)
{
    begin(0);
    struct item item = {.gate = &gate};
    int mine = 1;
    void *value = NULL;
    struct eddy_future *f = call(&item);
    CHECK_INT(eddy_future_set_result(f, &mine, NULL), 0);
    gate_open(&gate, 1);
    test_run_until(loop, is_destroyed, &item);
    CHECK_INT(eddy_future_result(f, &value), 0);
    CHECK(value == &mine);
    eddy_future_unref(f);
    CHECK_INT(item.destroyed, 1);
    end();
}

static void G4_L17_a_refused_call_leaves_the_argument_with_the_caller(void)
{
    begin(0);
    struct item item = {0};
    struct eddy_future *f = NULL;
    CHECK_INT(eddy_run_in_executor(NULL, executor, use_item, &item, destroy_item, &f), -EINVAL);
    CHECK_INT(eddy_run_in_executor(loop, executor, NULL, &item, destroy_item, &f), -EINVAL);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_run_in_executor(loop, executor, use_item, &item, destroy_item, &f),
              EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_run_in_executor(loop, NULL, use_item, &item, destroy_item, NULL),
              EDDY_ELOOP_CLOSED);
    CHECK(f == NULL);
    CHECK_INT(item.destroyed, 0);
    end();
}

/* ---- threads ---- */

static void open_gate(struct test_timer *t)
{
    CHECK_INT(atomic_load(&gate.inside), 1);
    gate_open(t->user, 1);
}

static void L73_the_loop_goes_on_meanwhile(void)
{
    begin(0);
    struct item item = {.gate = &gate};
    struct test_timer t = TEST_TIMER(&trace, "t", .then = open_gate, .user = &gate);
    struct eddy_future *f = call(&item);
    wait_for(&gate.inside, 1);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    CHECK_TRACE(trace, "t");
    eddy_future_unref(f);
    end();
}

enum { MANY = 40 };

/* n calls that have to be let out. */
static void call_many(struct item *items, struct eddy_future **futures, int n)
{
    for (int i = 0; i < n; i++) {
        items[i] = (struct item){.gate = &gate};
        futures[i] = call(&items[i]);
    }
}

static void await_many(struct eddy_future **futures, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK_INT(eddy_loop_run_until_complete(loop, futures[i], NULL), 0);
        eddy_future_unref(futures[i]);
    }
}

static void L73_calls_run_at_the_same_time(void)
{
    struct item items[8];
    struct eddy_future *futures[8];
    begin(8);
    call_many(items, futures, 8);
    wait_for(&gate.inside, 8);
    gate_open(&gate, 8);
    await_many(futures, 8);
    end();
}

static void L73_no_more_threads_than_allowed(void)
{
    struct item items[8];
    struct eddy_future *futures[8];
    begin(2);
    call_many(items, futures, 8);
    wait_for(&gate.inside, 2);
    gate_open(&gate, 8);
    await_many(futures, 8);
    CHECK_INT(gate.most, 2);
    CHECK_INT(gate.passed, 8);
    end();
}

static int default_threads(void)
{
    cpu_set_t set;
    REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
    return CPU_COUNT(&set) < 28 ? CPU_COUNT(&set) + 4 : 32;
}

static void L73_four_threads_more_than_CPUs_by_default(void)
{
    struct item items[MANY];
    struct eddy_future *futures[MANY];
    int n = default_threads();
    begin(0);
    call_many(items, futures, MANY);
    wait_for(&gate.inside, n);
    gate_open(&gate, MANY);
    await_many(futures, MANY);
    CHECK_INT(gate.most, n);
    end();
}

static void L73_an_idle_thread_is_taken_before_one_is_started(void)
{
    begin(8);
    struct item first = {0};
    struct eddy_future *f = call(&first);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    for (int i = 0; i < 20; i++) {
        struct item item = {0};
        f = call(&item);
        CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
        CHECK(pthread_equal(item.ran_in, first.ran_in));
        eddy_future_unref(f);
    }
    end();
}

struct look {
    char name[16];
    sigset_t blocked;
};

static int look_around(void *arg, struct eddy_error *error)
{
    struct look *look = arg;
    (void)error;
    pthread_getname_np(pthread_self(), look->name, sizeof look->name);
    pthread_sigmask(SIG_SETMASK, NULL, &look->blocked);
    return 0;
}

static struct look look_into(struct eddy_executor *x)
{
    struct look look = {0};
    struct eddy_future *f = NULL;
    REQUIRE(eddy_run_in_executor(loop, x, look_around, &look, NULL, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    return look;
}

static void check_thread_name(const char *executors_name, const char *expected)
{
    struct eddy_executor *x = NULL;
    REQUIRE(eddy_executor_new(EDDY_EXECUTOR(.name = executors_name), &x) == 0);
    CHECK_STR(look_into(x).name, expected);
    eddy_executor_unref(x);
}

static void L73_threads_can_be_told_by_their_names(void)
{
    begin(0);
    CHECK_STR(look_into(NULL).name, "eddy-0");
    check_thread_name("crunch", "crunch-0");
    check_thread_name("a-name-longer-than-any", "a-name-longer-0");
    check_thread_name("", "-0");
    end();
}

static void L65_signals_are_not_for_the_threads_of_executors(void)
{
    begin(0);
    sigset_t term, mask;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    struct look look = look_into(executor);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_INT(sigismember(&look.blocked, SIGTERM), 1);
    CHECK_INT(sigismember(&look.blocked, SIGCHLD), 1);
    CHECK_INT(sigismember(&look.blocked, SIGUSR1), 1);
    CHECK_INT(sigismember(&look.blocked, SIGSEGV), 0);
    CHECK_INT(sigismember(&mask, SIGTERM), 0);
    end();
}

/* ---- cancelling ---- */

static void L74_a_call_that_is_cancelled_in_time_never_runs(void)
{
    begin(1);
    struct item first = {.gate = &gate}, second = {0};
    struct eddy_future *f = call(&first), *g = call(&second);
    wait_for(&gate.inside, 1);
    CHECK(eddy_future_cancel(g, NULL));
    CHECK_INT(second.destroyed, 1);
    CHECK(pthread_equal(second.destroyed_in, pthread_self()));
    gate_open(&gate, 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, g, NULL), -ECANCELED);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    eddy_future_unref(g);
    look_into(executor); /* the same thread, after all that waited */
    CHECK_INT(second.runs, 0);
    CHECK_INT(second.destroyed, 1);
    end();
}

static void L74_what_a_cancelled_call_brings_is_discarded(void)
{
    begin(1);
    struct item item = {.gate = &gate};
    struct eddy_future *f = call(&item);
    wait_for(&gate.inside, 1);
    CHECK(eddy_future_cancel(f, "too late"));
    CHECK_INT(item.destroyed, 0); /* it is in use */
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -ECANCELED);
    eddy_future_unref(f);
    gate_open(&gate, 1);
    test_run_until(loop, is_destroyed, &item);
    CHECK(pthread_equal(item.destroyed_in, pthread_self()));
    CHECK_INT(item.runs, 1);
    end();
}

static void L74_F10_the_error_of_a_cancelled_call_is_nobodys_business(void)
{
    begin(1);
    struct item item = {.gate = &gate, .result = -EIO};
    struct eddy_future *f = call(&item);
    wait_for(&gate.inside, 1);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    gate_open(&gate, 1);
    test_run_until(loop, is_destroyed, &item);
    end();
}

static void L74_a_call_that_has_run_is_cancelled_before_the_loop_hears_of_it(void)
{
    begin(1);
    struct item item = {0};
    struct eddy_future *f = call(&item);
    wait_for(&item.runs, 1);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    test_run_until(loop, is_destroyed, &item);
    CHECK_INT(item.destroyed, 1);
    end();
}

/* ---- executors ---- */

static void G8_options_are_checked(void)
{
    struct eddy_executor *x = NULL;
    struct {
        struct eddy_executor_opts opts;
        int later;
    } long_opts = {.opts.abi_size = sizeof long_opts, .later = 1};
    CHECK_INT(eddy_executor_new(NULL, NULL), -EINVAL);
    CHECK_INT(eddy_executor_new(&(struct eddy_executor_opts){.abi_size = 8}, &x), -EINVAL);
    CHECK_INT(eddy_executor_new(&long_opts.opts, &x), -E2BIG);
    CHECK(x == NULL);
    CHECK(eddy_executor_ref(NULL) == NULL);
    eddy_executor_unref(NULL);
    CHECK_INT(eddy_executor_new(NULL, &x), 0);
    eddy_executor_unref(x);
}

static void *drop_reference(void *arg)
{
    eddy_executor_unref(arg);
    return NULL;
}

static void G10_G25_references_may_be_dropped_in_any_thread(void)
{
    enum { N = 4 };
    pthread_t threads[N];
    for (int round = 0; round < 20; round++) {
        begin(2);
        struct item item = {.gate = &gate};
        struct eddy_future *f = call(&item);
        for (int i = 0; i < N; i++)
            REQUIRE(pthread_create(&threads[i], NULL, drop_reference,
                                   eddy_executor_ref(executor)) == 0);
        for (int i = 0; i < N; i++)
            pthread_join(threads[i], NULL);
        gate_open(&gate, 1);
        CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
        eddy_future_unref(f);
        end();
    }
}

static void G10_what_was_given_to_an_executor_keeps_it(void)
{
    begin(1);
    struct item first = {.gate = &gate}, second = {0};
    struct eddy_future *f = call(&first), *g = call(&second);
    eddy_executor_unref(executor);
    executor = NULL;
    gate_open(&gate, 1);
    CHECK_INT(eddy_loop_run_until_complete(loop, g, NULL), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
    eddy_future_unref(f);
    eddy_future_unref(g);
    end();
}

/* ---- many loops, one executor ---- */

enum { EACH = 300 };

struct client {
    pthread_t thread;
    int calls, results, cancelled;
};

/* Every third is cancelled, when it waits, runs or has run. */
static void use_executor(struct client *c, struct eddy_loop *mine)
{
    static struct item items[4][EACH];
    static atomic_int next;
    struct eddy_future *futures[EACH];
    struct item *own = items[atomic_fetch_add(&next, 1) % 4];
    for (int i = 0; i < EACH; i++) {
        own[i] = (struct item){0};
        futures[i] = NULL;
        int rc = eddy_run_in_executor(mine, executor, use_item, &own[i], destroy_item, &futures[i]);
        CHECK_INT(rc, 0);
        if (i % 3 == 2)
            c->cancelled += eddy_future_cancel(futures[i - 1], NULL);
        if (i % 50 == 49)
            CHECK_INT(eddy_loop_run_once(mine, 0), 0);
    }
    for (int i = 0; i < EACH; i++) {
        c->results += eddy_loop_run_until_complete(mine, futures[i], NULL) == 0;
        eddy_future_unref(futures[i]);
    }
    /* The cancelled ones that ran come behind. */
    for (int i = 0; i < EACH; i++)
        test_run_until(mine, is_destroyed, &own[i]);
    for (int i = 0; i < EACH; i++) {
        CHECK_INT(own[i].destroyed, 1);
        CHECK(own[i].runs <= 1);
        CHECK(pthread_equal(own[i].destroyed_in, pthread_self()));
    }
}

static void *be_client(void *arg)
{
    struct client *c = arg;
    struct eddy_loop *mine = NULL;
    if (!CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine), 0))
        return NULL;
    use_executor(c, mine);
    CHECK_INT(c->results + c->cancelled, EACH);
    CHECK_INT(eddy_loop_close(mine), 0);
    eddy_loop_unref(mine);
    return NULL;
}

static void L73_L74_G25_an_executor_serves_the_loops_of_many_threads(void)
{
    enum { N = 4 };
    struct client clients[N] = {{0}};
    begin(3);
    for (int i = 0; i < N; i++)
        REQUIRE(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]) == 0);
    for (int i = 0; i < N; i++)
        pthread_join(clients[i].thread, NULL);
    end();
}

const struct test_case test_cases[] = {
    TEST(L73_the_value_is_the_argument_with_what_fn_left_in_it),
    TEST(L73_an_error_of_fn_is_the_futures),
    TEST(L73_a_bare_code_is_an_error_too),
    TEST(L73_the_default_executor_is_made_when_it_is_needed),
    TEST(L73_nobody_need_wait),
    TEST(L73_L44_an_error_that_nobody_waits_for_is_reported),
    TEST(L73_a_future_completed_by_somebody_else_leaves_the_argument_to_be_destroyed),
    TEST(G4_L17_a_refused_call_leaves_the_argument_with_the_caller),
    TEST(L73_the_loop_goes_on_meanwhile),
    TEST(L73_calls_run_at_the_same_time),
    TEST(L73_no_more_threads_than_allowed),
    TEST(L73_four_threads_more_than_CPUs_by_default),
    TEST(L73_an_idle_thread_is_taken_before_one_is_started),
    TEST(L73_threads_can_be_told_by_their_names),
    TEST(L65_signals_are_not_for_the_threads_of_executors),
    TEST(L74_a_call_that_is_cancelled_in_time_never_runs),
    TEST(L74_what_a_cancelled_call_brings_is_discarded),
    TEST(L74_F10_the_error_of_a_cancelled_call_is_nobodys_business),
    TEST(L74_a_call_that_has_run_is_cancelled_before_the_loop_hears_of_it),
    TEST(G8_options_are_checked),
    TEST(G10_G25_references_may_be_dropped_in_any_thread),
    TEST(G10_what_was_given_to_an_executor_keeps_it),
    TEST(L73_L74_G25_an_executor_serves_the_loops_of_many_threads),
    TEST_END,
};
