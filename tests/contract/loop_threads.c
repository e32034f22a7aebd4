/* What may be called from other threads: posts, stop, references. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

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

static pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    return thread;
}

/* ---- waking a loop that waits ---- */

static void *stop_it(void *arg)
{
    eddy_loop_stop(arg);
    return NULL;
}

static void L19_L30_stop_from_another_thread_ends_a_run(void)
{
    begin();
    for (int i = 0; i < 50; i++) {
        pthread_t thread = start_thread(stop_it, loop);
        CHECK_INT(eddy_loop_run_forever(loop), 0);
        pthread_join(thread, NULL);
    }
    end();
}

static void *post_it(void *arg)
{
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, arg), 0);
    return NULL;
}

static void L30_a_post_wakes_a_loop_that_waits(void)
{
    begin();
    struct test_post p = TEST_POST(&trace, "p", .then = test_post_stop, .user = loop);
    for (int i = 0; i < 50; i++) {
        pthread_t thread = start_thread(post_it, &p.node);
        CHECK_INT(eddy_loop_run_forever(loop), 0);
        pthread_join(thread, NULL);
    }
    CHECK_INT(trace_count(&trace, "p"), 50);
    end();
}

/* Each post is answered by the next one only: a wake-up that gets lost hangs the test. */
struct ping {
    struct eddy_post post;
    struct eddy_loop *loop;
    atomic_int answered;
    int wanted;
};

static void answer(struct eddy_post *p, int status)
{
    struct ping *ping = EDDY_CONTAINER_OF(p, struct ping, post);
    CHECK_INT(status, 0);
    int n = atomic_fetch_add(&ping->answered, 1) + 1;
    if (n == ping->wanted)
        eddy_loop_stop(ping->loop);
}

static void *ping_thread(void *arg)
{
    struct ping *ping = arg;
    for (int i = 0; i < ping->wanted; i++) {
        CHECK_INT(eddy_loop_call_soon_threadsafe(ping->loop, &ping->post), 0);
        while (atomic_load(&ping->answered) <= i)
            sched_yield();
    }
    return NULL;
}

static void L30_G13_no_wake_up_gets_lost(void)
{
    begin();
    struct ping ping = {.post = {.fn = answer}, .loop = loop, .wanted = 2000};
    pthread_t thread = start_thread(ping_thread, &ping);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    pthread_join(thread, NULL);
    CHECK_INT(ping.answered, ping.wanted);
    end();
}

/* ---- order and number ---- */

enum { PRODUCERS = 4, EACH = 2000 };

struct producer;

struct numbered {
    struct eddy_post post;
    struct producer *producer;
    int number;
};

struct producer {
    struct numbered posts[EACH];
    int seen;
    int *all_seen;
};

static void check_number(struct eddy_post *p, int status)
{
    struct numbered *n = EDDY_CONTAINER_OF(p, struct numbered, post);
    CHECK_INT(status, 0);
    if (n->number != n->producer->seen)
        FAIL("post %d came when %d was due", n->number, n->producer->seen);
    n->producer->seen++;
    if (++*n->producer->all_seen == PRODUCERS * EACH)
        eddy_loop_stop(loop);
}

static void *produce(void *arg)
{
    struct producer *producer = arg;
    for (int i = 0; i < EACH; i++)
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &producer->posts[i].post), 0);
    return NULL;
}

static void L30_posts_of_many_threads_keep_their_order(void)
{
    begin();
    static struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    int all_seen = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i].seen = 0;
        producers[i].all_seen = &all_seen;
        for (int j = 0; j < EACH; j++)
            producers[i].posts[j] = (struct numbered){
                .post = {.fn = check_number}, .producer = &producers[i], .number = j};
        threads[i] = start_thread(produce, &producers[i]);
    }
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(all_seen, PRODUCERS * EACH);
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_INT(all_seen, PRODUCERS * EACH);
    end();
}

static void post_after_another_thread(struct test_handle *h)
{
    struct test_post *mine = h->user;
    pthread_join(start_thread(post_it, mine->user), NULL);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &mine->node), 0);
}

static void L31_a_post_of_the_loops_thread_queues_behind_those_before_it(void)
{
    begin();
    struct test_post theirs = TEST_POST(&trace, "theirs");
    struct test_post mine = TEST_POST(&trace, "mine", .user = &theirs.node);
    struct test_handle h =
        TEST_HANDLE(&trace, "h", .then = post_after_another_thread, .user = &mine);
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "h theirs mine");
    end();
}

/* ---- close against posts ---- */

struct racer {
    struct eddy_post post;
    atomic_int *calls;
};

static void count_call(struct eddy_post *p, int status)
{
    struct racer *r = EDDY_CONTAINER_OF(p, struct racer, post);
    CHECK_INT(status, EDDY_ELOOP_CLOSED);
    atomic_fetch_add(r->calls, 1);
}

enum { RACE_POSTS = 200 };

struct race {
    struct racer posts[RACE_POSTS];
    struct eddy_loop *loop;
    atomic_bool started;
    atomic_int calls;
    int taken;
};

static void *race_with_close(void *arg)
{
    struct race *race = arg;
    atomic_store(&race->started, true);
    for (int i = 0; i < RACE_POSTS; i++) {
        int err = eddy_loop_call_soon_threadsafe(race->loop, &race->posts[i].post);
        if (err == 0)
            race->taken++;
        else
            CHECK_INT(err, EDDY_ELOOP_CLOSED);
    }
    eddy_loop_unref(race->loop);
    return NULL;
}

static void L32_a_post_that_races_with_close_is_run_or_refused(void)
{
    static struct race race;
    for (int round = 0; round < 100; round++) {
        begin();
        race.loop = eddy_loop_ref(loop);
        race.taken = 0;
        atomic_store(&race.started, false);
        atomic_store(&race.calls, 0);
        for (int i = 0; i < RACE_POSTS; i++)
            race.posts[i] = (struct racer){.post = {.fn = count_call}, .calls = &race.calls};
        pthread_t thread = start_thread(race_with_close, &race);
        while (!atomic_load(&race.started))
            sched_yield();
        CHECK_INT(eddy_loop_close(loop), 0);
        pthread_join(thread, NULL);
        CHECK_INT(atomic_load(&race.calls), race.taken);
        end();
    }
}

static void *drop_reference(void *arg)
{
    eddy_loop_unref(arg);
    return NULL;
}

static void G10_references_may_be_dropped_in_any_thread(void)
{
    enum { N = 4 };
    pthread_t threads[N];
    for (int round = 0; round < 20; round++) {
        REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &loop) == 0);
        for (int i = 0; i < N; i++)
            eddy_loop_ref(loop);
        CHECK_INT(eddy_loop_close(loop), 0);
        for (int i = 0; i < N; i++)
            threads[i] = start_thread(drop_reference, loop);
        eddy_loop_unref(loop);
        for (int i = 0; i < N; i++)
            pthread_join(threads[i], NULL);
    }
    loop = NULL;
}

static void L18_the_last_reference_may_be_dropped_in_another_thread(void)
{
    begin();
    struct eddy_loop *mine = NULL;
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine) == 0);
    test_expect_log("unclosed event loop");
    pthread_join(start_thread(drop_reference, mine), NULL);
    end();
}

/* ---- loops of several threads ---- */

static void *run_mine(void *arg)
{
    (void)arg;
    struct eddy_loop *mine = NULL;
    struct test_trace own = {0};
    CHECK(eddy_get_running_loop() == NULL);
    if (!CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = test_backend()), &mine), 0))
        return NULL;
    struct test_timer t = TEST_TIMER(&own, "t", .then = test_timer_stop, .user = mine);
    eddy_loop_call_later(mine, &t.node, EDDY_MSEC(2));
    CHECK_INT(eddy_loop_run_forever(mine), 0);
    CHECK_TRACE(own, "t");
    CHECK_INT(eddy_loop_close(mine), 0);
    eddy_loop_unref(mine);
    return NULL;
}

static void L4_each_thread_runs_a_loop_of_its_own(void)
{
    enum { N = 4 };
    pthread_t threads[N];
    for (int i = 0; i < N; i++)
        threads[i] = start_thread(run_mine, NULL);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
}

static void *run_foreign(void *arg)
{
    (void)arg;
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_run_once(loop, 0), EDDY_ELOOP_RUNNING);
    CHECK(eddy_get_running_loop() == NULL);
    CHECK(eddy_loop_is_running(loop));
    return NULL;
}

static void run_in_thread(struct test_handle *h)
{
    pthread_join(start_thread(run_foreign, NULL), NULL);
    CHECK(eddy_get_running_loop() == loop);
    eddy_loop_stop(h->user);
}

static void L3_a_loop_that_runs_in_another_thread_is_refused(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = run_in_thread, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h");
    end();
}

static void *run_until_stopped(void *arg)
{
    CHECK_INT(eddy_loop_run_forever(arg), 0);
    return NULL;
}

static void L4_a_loop_may_move_between_threads(void)
{
    begin();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = test_handle_stop, .user = loop);
    for (int i = 0; i < 5; i++) {
        eddy_loop_call_soon(loop, &h.node);
        pthread_join(start_thread(run_until_stopped, loop), NULL);
        eddy_loop_call_soon(loop, &h.node);
        CHECK_INT(eddy_loop_run_forever(loop), 0);
    }
    CHECK_INT(trace_count(&trace, "h"), 10);
    end();
}

/* ---- cancelling from elsewhere ---- */

struct cancellation {
    struct eddy_post post;
    struct eddy_timer *target;
};

static void cancel_target(struct eddy_post *p, int status)
{
    CHECK_INT(status, 0);
    eddy_timer_cancel(EDDY_CONTAINER_OF(p, struct cancellation, post)->target);
    test_trace(&trace, "cancelled");
}

static void *post_cancellation(void *arg)
{
    struct cancellation *c = arg;
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &c->post), 0);
    return NULL;
}

static void B1_G25_a_timer_cancelled_from_another_thread_does_not_run(void)
{
    begin();
    struct test_timer target = TEST_TIMER(&trace, "target");
    struct test_timer last = TEST_TIMER(&trace, "last", .then = test_timer_stop, .user = loop);
    struct cancellation c = {.post = {.fn = cancel_target}, .target = &target.node};
    eddy_loop_call_later(loop, &target.node, 0);
    eddy_loop_call_later(loop, &last.node, EDDY_MSEC(1));
    pthread_join(start_thread(post_cancellation, &c), NULL);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "cancelled last");
    end();
}

const struct test_case test_cases[] = {
    TEST(L19_L30_stop_from_another_thread_ends_a_run),
    TEST(L30_a_post_wakes_a_loop_that_waits),
    TEST(L30_G13_no_wake_up_gets_lost),
    TEST(L30_posts_of_many_threads_keep_their_order),
    TEST(L31_a_post_of_the_loops_thread_queues_behind_those_before_it),
    TEST(L32_a_post_that_races_with_close_is_run_or_refused),
    TEST(G10_references_may_be_dropped_in_any_thread),
    TEST(L18_the_last_reference_may_be_dropped_in_another_thread),
    TEST(L4_each_thread_runs_a_loop_of_its_own),
    TEST(L3_a_loop_that_runs_in_another_thread_is_refused),
    TEST(L4_a_loop_may_move_between_threads),
    TEST(B1_G25_a_timer_cancelled_from_another_thread_does_not_run),
    TEST_END,
};
