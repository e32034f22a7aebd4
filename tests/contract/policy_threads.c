/* The policy of the process and the current loop of each thread. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <eddy/backend.h>
#include <eddy/policy.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8

static void in_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    pthread_join(thread, NULL);
}

/* As many threads at once, let go together; each gets its own number. */
struct race {
    pthread_barrier_t gate;
    void (*fn)(int number);
};

struct racer {
    struct race *race;
    int number;
};

static void *run_racer(void *arg)
{
    struct racer *racer = arg;
    pthread_barrier_wait(&racer->race->gate);
    racer->race->fn(racer->number);
    return NULL;
}

static void race(void (*fn)(int number))
{
    struct race race = {.fn = fn};
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    REQUIRE(pthread_barrier_init(&race.gate, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){&race, i};
        REQUIRE(pthread_create(&threads[i], NULL, run_racer, &racers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race.gate);
}

static void check_no_loop(void)
{
    struct eddy_loop *loop = NULL;
    CHECK_INT(eddy_get_event_loop(&loop), EDDY_ENO_LOOP);
    CHECK(loop == NULL);
}

static struct eddy_loop *new_loop(void)
{
    struct eddy_loop *loop = NULL;
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &loop), 0);
    return loop;
}

/* ---- one policy, many threads ---- */

static struct eddy_policy *first_seen[THREADS];

/* A whole life of a loop, in a thread that does not know of the others. */
static void use_a_loop(int number)
{
    struct eddy_loop *loop = NULL, *got = NULL;
    struct test_trace trace = {0};
    first_seen[number] = eddy_get_event_loop_policy();
    check_no_loop();
    CHECK_INT(eddy_new_event_loop(&loop), 0);
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK_INT(eddy_get_event_loop(&got), 0);
    CHECK(got == loop);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_later(loop, &t.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "t");
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
}

static void use_first(void *user)
{
    (void)user;
    race(use_a_loop);
    for (int i = 0; i < THREADS; i++)
        CHECK(first_seen[i] != NULL && first_seen[i] == first_seen[0]);
    CHECK_INT(test_live_allocations(), 0);
}

/* In children, where the policy has not been used yet. */
static void P1_P7_the_first_use_of_the_policy_by_many_threads(void)
{
    for (int i = 0; i < 5; i++)
        test_in_child(use_first, NULL);
}

static struct eddy_backend_policy backend_policy;

static void install_and_use(int number)
{
    struct eddy_loop *loop = NULL;
    for (int i = 0; i < 20; i++) {
        bool mine = (i + number) % 2;
        CHECK_INT(eddy_set_event_loop_policy(mine ? &backend_policy.base : NULL), 0);
        CHECK(eddy_get_event_loop_policy() != NULL);
        check_no_loop();
        CHECK_INT(eddy_new_event_loop(&loop), 0);
        CHECK_INT(eddy_loop_close(loop), 0);
        eddy_loop_unref(loop);
    }
}

static void P1_G25_policies_may_be_changed_while_others_use_them(void)
{
    REQUIRE(eddy_backend_policy_init(&backend_policy, test_backend(), NULL) == 0);
    race(install_and_use);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
}

/* ---- one current loop per thread ---- */

static void *see_no_loop(void *arg)
{
    (void)arg;
    check_no_loop();
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
    return NULL;
}

static void P6_P7_other_threads_have_none_and_none_is_made(void)
{
    struct eddy_loop *loop = new_loop(), *got = NULL;
    CHECK_INT(eddy_set_event_loop(loop), 0);
    in_thread(see_no_loop, NULL);
    CHECK_INT(eddy_get_event_loop(&got), 0);
    CHECK(got == loop);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    in_thread(see_no_loop, NULL);
    test_loop_free(loop);
}

static struct eddy_policy fresh;

static void *set_none(void *arg)
{
    (void)arg;
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    return NULL;
}

/* Only a call in the main thread itself ends P5 there. */
static void P5_P7_what_another_thread_sets_does_not_count_here(void)
{
    static const struct eddy_policy_class cls = {EDDY_POLICY_CLASS("fresh")};
    struct eddy_loop *loop = NULL;
    fresh = (struct eddy_policy){.cls = &cls};
    CHECK_INT(eddy_set_event_loop_policy(&fresh), 0);
    in_thread(set_none, NULL);
    CHECK_INT(eddy_get_event_loop(&loop), 0);
    REQUIRE(loop != NULL);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
}

static void *see_the_same(void *arg)
{
    struct eddy_loop *got = NULL;
    CHECK_INT(eddy_set_event_loop(arg), 0);
    CHECK_INT(eddy_get_event_loop(&got), 0);
    CHECK(got == arg);
    return NULL;
}

/* ---- the end of a thread ---- */

static void *leave_a_closed_loop(void *arg)
{
    (void)arg;
    struct eddy_loop *loop = new_loop();
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    return NULL;
}

/* main sees what is not given back; here the case itself looks. */
static void P8_a_thread_that_ends_lets_its_loop_go(void)
{
    long live = test_live_allocations();
    in_thread(leave_a_closed_loop, NULL);
    CHECK_INT(test_live_allocations(), live);
}

static void P8_a_thread_that_ends_does_not_close_what_others_hold(void)
{
    struct eddy_loop *loop = new_loop();
    in_thread(see_the_same, loop);
    CHECK(!eddy_loop_is_closed(loop));
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    test_loop_free(loop);
}

static void *leave_two_policies(void *arg)
{
    static const struct eddy_policy_class cls = {EDDY_POLICY_CLASS("second")};
    static struct eddy_policy second;
    second = (struct eddy_policy){.cls = &cls};
    leave_a_closed_loop(arg);
    CHECK_INT(eddy_set_event_loop_policy(&second), 0);
    leave_a_closed_loop(arg);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
    return NULL;
}

static void P7_P8_a_thread_that_ends_lets_the_loops_of_all_policies_go(void)
{
    long live = test_live_allocations();
    in_thread(leave_two_policies, NULL);
    CHECK_INT(test_live_allocations(), live);
}

static void *leave_an_open_loop(void *arg)
{
    (void)arg;
    struct eddy_loop *loop = new_loop();
    CHECK_INT(eddy_set_event_loop(loop), 0);
    eddy_loop_unref(loop);
    return NULL;
}

static void P8_L18_a_thread_that_ends_without_closing_its_loop(void)
{
    test_expect_log("unclosed event loop");
    in_thread(leave_an_open_loop, NULL);
}

struct late_post {
    struct eddy_post post;
    int called;
};

static void set_one_more(struct eddy_post *p, int status)
{
    CHECK_INT(status, EDDY_ELOOP_CLOSED);
    EDDY_CONTAINER_OF(p, struct late_post, post)->called++;
    check_no_loop();
    leave_a_closed_loop(NULL);
}

static void *leave_a_post(void *arg)
{
    struct late_post *p = arg;
    struct eddy_loop *loop = new_loop();
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p->post), 0);
    eddy_loop_unref(loop);
    return NULL;
}

/* The loop goes in the thread's last moments, its callbacks set another one, and that goes too. */
static void P8_a_loop_that_is_set_while_the_thread_ends(void)
{
    struct late_post p = {.post.fn = set_one_more};
    test_expect_log("unclosed event loop");
    in_thread(leave_a_post, &p);
    CHECK_INT(p.called, 1);
}

/* ---- the running loop ---- */

static void *see_no_running_loop(void *arg)
{
    struct eddy_loop *got = NULL;
    CHECK(eddy_get_running_loop() == NULL);
    CHECK_INT(eddy_get_event_loop(&got), EDDY_ENO_LOOP);
    (void)arg;
    return NULL;
}

static void look_from_a_thread(struct test_handle *h)
{
    CHECK(eddy_get_running_loop() == h->user);
    in_thread(see_no_running_loop, NULL);
    eddy_loop_stop(h->user);
}

static void P9_P4_the_running_loop_is_that_of_its_thread_alone(void)
{
    struct test_trace trace = {0};
    struct eddy_loop *loop = new_loop();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = look_from_a_thread, .user = loop);
    CHECK(eddy_get_running_loop() == NULL);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK(eddy_get_running_loop() == NULL);
    CHECK_TRACE(trace, "h");
    test_loop_free(loop);
}

const struct test_case test_cases[] = {
    TEST(P1_P7_the_first_use_of_the_policy_by_many_threads),
    TEST(P1_G25_policies_may_be_changed_while_others_use_them),
    TEST(P6_P7_other_threads_have_none_and_none_is_made),
    TEST(P5_P7_what_another_thread_sets_does_not_count_here),
    TEST(P8_a_thread_that_ends_lets_its_loop_go),
    TEST(P8_a_thread_that_ends_does_not_close_what_others_hold),
    TEST(P7_P8_a_thread_that_ends_lets_the_loops_of_all_policies_go),
    TEST(P8_L18_a_thread_that_ends_without_closing_its_loop),
    TEST(P8_a_loop_that_is_set_while_the_thread_ends),
    TEST(P9_P4_the_running_loop_is_that_of_its_thread_alone),
    TEST_END,
};
