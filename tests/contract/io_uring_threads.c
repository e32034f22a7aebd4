/* backends: epoll io_uring */
/* labels: threads */
/* timeout: 120 */
/*
 * A loop belongs to the thread that runs it, and that may be another one each time: what one thread
 * has under way goes on in the next, whether the first has ended or lives on.
 */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

static struct stage s;
static size_t wanted;

/* Echoes until the client has so many bytes. */
static bool enough(void *user)
{
    (void)user;
    return s.client.received >= wanted;
}

static void converse(size_t more)
{
    wanted = s.client.received + more;
    while (s.client.sent < wanted)
        CHECK_INT(actor_write(&s.client, 1 + s.client.sent % 3000), 0);
    wanted = s.client.sent;
    CHECK(test_run_until(s.loop, enough, NULL));
}

static void *converse_there(void *arg)
{
    converse(*(size_t *)arg);
    return NULL;
}

static void in_another_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    pthread_join(thread, NULL);
}

static void begin(void)
{
    stage_init(&s);
    s.client.out_key = s.client.in_key = 1;
    s.peer.on[ON_DATA] = do_echo;
}

static void P35_L4_a_loop_made_here_runs_there_and_here_again(void)
{
    size_t small = 100, large = 300000;
    begin();
    stage_open(&s);
    for (int i = 0; i < 5; i++) {
        in_another_thread(converse_there, i % 2 ? &small : &large);
        converse(i % 2 ? large : small);
    }
    stage_close(&s);
}

static void *open_there(void *arg)
{
    (void)arg;
    stage_open(&s);
    converse(1000);
    return NULL;
}

static void P35_L4_a_loop_made_by_a_thread_that_has_ended(void)
{
    begin();
    in_another_thread(open_there, NULL);
    converse(100);
    converse(300000);
    stage_close(&s);
}

static void *close_there(void *arg)
{
    (void)arg;
    stage_close(&s);
    return NULL;
}

static void P35_L15_a_loop_closes_in_another_thread(void)
{
    begin();
    stage_open(&s);
    converse(300000);
    CHECK(actor_fill(&s.client) > 0);
    test_run_steps(s.loop, 1);
    in_another_thread(close_there, NULL);
}

static void *do_nothing(void *arg)
{
    (void)arg;
    return NULL;
}

/* Made, and at once run by another: the wake-up is the first thing under way. */
static void *wait_for_a_post(void *arg)
{
    CHECK_INT(eddy_loop_run_forever(arg), 0);
    return NULL;
}

static void L30_L4_a_post_wakes_the_loop_in_its_new_thread(void)
{
    struct eddy_loop *loop = NULL;
    for (int i = 0; i < 20; i++) {
        struct test_trace trace = {.len = 0};
        pthread_t thread;
        REQUIRE(test_loop_new(&loop) == 0);
        if (i % 2)
            test_run_steps(loop, 2);
        struct test_post p = TEST_POST(&trace, "p", .then = test_post_stop, .user = loop);
        REQUIRE(pthread_create(&thread, NULL, wait_for_a_post, loop) == 0);
        if (i % 4 < 2) /* it sleeps by then, or not */
            in_another_thread(do_nothing, NULL);
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
        pthread_join(thread, NULL);
        CHECK_TRACE(trace, "p");
        test_loop_free(loop);
    }
}

/* The thread that made the loop never enters the kernel while the other one waits for its first
 * wake-up: nothing may depend on it. */
static atomic_bool awake;

static void say_awake(struct test_post *p)
{
    atomic_store(&awake, true);
    eddy_loop_stop(p->user);
}

static void *post_there(void *arg)
{
    struct test_post *p = arg;
    CHECK_INT(eddy_loop_call_soon_threadsafe(p->user, &p->node), 0);
    return NULL;
}

static void L30_the_thread_that_made_the_loop_is_not_needed(void)
{
    struct eddy_loop *loop = NULL;
    struct test_trace trace = {.len = 0};
    pthread_t runner, poster;
    REQUIRE(test_loop_new(&loop) == 0);
    struct test_post p = TEST_POST(&trace, "p", .then = say_awake, .user = loop);
    atomic_store(&awake, false);
    REQUIRE(pthread_create(&runner, NULL, wait_for_a_post, loop) == 0);
    REQUIRE(pthread_create(&poster, NULL, post_there, &p) == 0);
    while (!atomic_load(&awake)) { /* busy, on purpose */
    }
    pthread_join(poster, NULL);
    pthread_join(runner, NULL);
    test_loop_free(loop);
}

/* ---- what is under way when the thread ends ---- */

enum { BURST = 40000 };

static int raw;

static void *pause_with_a_burst(void *arg)
{
    static uint8_t bytes[BURST];
    (void)arg;
    stream_bytes(bytes, BURST, 0, 1);
    CHECK_INT(raw_send(&s, raw, bytes, BURST), 0);
    UNTIL(&s, s.peer.count[ON_DATA] >= 1);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_DATA], 1);
    return NULL;
}

static void P32_L4_bytes_held_by_a_thread_that_has_ended(void)
{
    static uint8_t bytes[BURST];
    struct actor other;
    stage_init(&s);
    stage_add(&s, &other, true);
    other.in_key = 1;
    other.on[ON_DATA] = do_pause; /* it, too, keeps buffers */
    s.peer.in_key = 1;
    s.peer.on[ON_DATA] = do_pause;
    stage_begin(&s);
    raw = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    stage_settle(&s);
    int second = raw_connect(&s);
    UNTIL(&s, other.count[ON_MADE] == 1);
    in_another_thread(pause_with_a_burst, NULL);
    stream_bytes(bytes, BURST, 0, 1);
    CHECK_INT(raw_send(&s, second, bytes, BURST), 0);
    UNTIL(&s, other.count[ON_DATA] == 1);
    stage_settle(&s);
    s.peer.on[ON_DATA] = other.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    eddy_transport_resume_reading(other.t);
    UNTIL(&s, s.peer.received == BURST && other.received == BURST);
    raw_close(&s, second);
    raw_close(&s, raw);
    stage_close(&s);
}

/* Bytes come when nobody runs the loop, for operations of a thread that has ended or has not. */
struct between {
    const uint8_t *bytes;
    size_t len;
};

static int watched[2];

static void ignore(struct eddy_watch *w, unsigned events)
{
    (void)w, (void)events;
}

/* That a watch is removed has the kernel receive them: nobody has looked at them when this ends. */
static void *step_and_send(void *arg)
{
    struct between *b = arg;
    struct eddy_watch watch = {.fn = ignore};
    CHECK_INT(eddy_loop_add_watch(s.loop, &watch, watched[0], EDDY_READ), 0);
    stage_settle(&s);
    CHECK_INT(send(raw, b->bytes, b->len, MSG_NOSIGNAL), b->len);
    eddy_watch_remove(&watch);
    return NULL;
}

static void P28_L4_bytes_that_come_between_two_threads(void)
{
    stage_init(&s);
    s.peer.in_key = 1;
    s.peer.on[ON_DATA] = NULL;
    stage_begin(&s);
    raw = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    size_t sent = 0;
    test_socketpair(watched);
    for (int i = 0; i < 40; i++) {
        uint8_t bytes[5000];
        size_t len = 1 + (size_t)i * 977 % sizeof bytes;
        struct between b = {bytes, len};
        stream_bytes(bytes, len, sent, 1);
        if (i % 2)
            step_and_send(&b);
        else
            in_another_thread(step_and_send, &b);
        sent += len;
        if (i % 4 < 2) {
            UNTIL(&s, s.peer.received == sent);
        }
    }
    UNTIL(&s, s.peer.received == sent);
    close(watched[0]);
    close(watched[1]);
    raw_shutdown(&s, raw);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, raw);
    stage_close(&s);
}

/* More is ready at once than fits into a queue of completions, and bytes come behind it all. */
enum { MANY = 4200 };

static bool may_open(rlim_t descriptors)
{
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < descriptors)
        return false;
    if (limit.rlim_cur < descriptors)
        limit.rlim_cur = descriptors;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void watch_many(struct eddy_watch *watches)
{
    for (int i = 0; i < MANY; i++) {
        int fd = fcntl(watched[0], F_DUPFD_CLOEXEC, 0);
        watches[i] = (struct eddy_watch){.fn = ignore};
        CHECK_INT(eddy_loop_add_watch(s.loop, &watches[i], fd, EDDY_WRITE), 0);
    }
}

static void *close_many(void *arg)
{
    struct eddy_watch *watches = arg;
    for (int i = 0; i < MANY; i++) {
        int fd = watches[i].fd_;
        eddy_watch_remove(&watches[i]);
        close(fd);
    }
    stage_settle(&s);
    return NULL;
}

static void P28_L4_more_completions_than_fit_before_the_thread_changes(void)
{
    static struct eddy_watch watches[MANY];
    uint8_t bytes[100];
    if (!may_open(MANY + 100))
        return;
    stage_init(&s);
    s.peer.in_key = 1;
    stage_begin(&s);
    raw = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    eddy_transport_pause_reading(s.peer.t);
    stage_settle(&s);
    test_socketpair(watched);
    stream_bytes(bytes, sizeof bytes, 0, 1);
    CHECK_INT(send(raw, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    eddy_transport_resume_reading(s.peer.t); /* the first wish is told to the kernel last */
    watch_many(watches);
    test_run_steps(s.loop, 1);
    in_another_thread(close_many, watches);
    UNTIL(&s, s.peer.received == sizeof bytes);
    close(watched[0]);
    close(watched[1]);
    raw_close(&s, raw);
    stage_close(&s);
}

static void *fill_there(void *arg)
{
    (void)arg;
    CHECK(actor_fill(&s.peer) > 0);
    stage_settle(&s);
    return NULL;
}

static void P33_L4_a_queue_left_by_a_thread_that_has_ended(void)
{
    size_t received = 0;
    stage_init(&s);
    s.peer.out_key = 1;
    stage_begin(&s);
    raw = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    in_another_thread(fill_there, NULL);
    eddy_transport_close(s.peer.t);
    CHECK_INT(raw_drain(&s, raw, 1, &received), 0);
    CHECK_INT(received, s.peer.sent);
    raw_close(&s, raw);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

/* A connection closed by one thread with operations of another: its peer hears of it. */
static void *abort_there(void *arg)
{
    (void)arg;
    eddy_transport_abort(s.peer.t, NULL);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    return NULL;
}

static void P34_L4_a_connection_of_one_thread_is_aborted_by_another(void)
{
    for (int i = 0; i < 5; i++) {
        size_t received = 0;
        stage_init(&s);
        stage_begin(&s);
        raw = raw_connect(&s);
        UNTIL(&s, s.peer.count[ON_MADE] == 1);
        stage_settle(&s);
        in_another_thread(abort_there, NULL);
        CHECK_INT(raw_drain(&s, raw, 0, &received), 0);
        raw_close(&s, raw);
        stage_close(&s);
    }
}

/* ---- a thread that cannot have a ring of its own ---- */

static struct actor third;

static void *run_without_descriptors(void *arg)
{
    struct rlimit limit;
    (void)arg;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 3;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(eddy_loop_run_once(s.loop, EDDY_MSEC(20)), -EMFILE);
    CHECK_INT(eddy_loop_run_once(s.loop, EDDY_MSEC(20)), -EMFILE);
    eddy_transport_pause_reading(s.peer.t);
    eddy_transport_abort(third.t, NULL); /* with bytes held */
    limit.rlim_cur = before;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return NULL;
}

static void move_without_descriptors(void *user)
{
    (void)user;
    static uint8_t bytes[BURST];
    begin();
    stage_open(&s);
    stage_add(&s, &third, true);
    third.on[ON_DATA] = do_pause;
    raw = raw_connect(&s);
    UNTIL(&s, third.count[ON_MADE] == 1);
    stage_settle(&s);
    CHECK_INT(raw_send(&s, raw, bytes, BURST), 0);
    UNTIL(&s, third.count[ON_DATA] == 1);
    converse(1000);
    in_another_thread(run_without_descriptors, NULL);
    eddy_transport_resume_reading(s.peer.t);
    converse(1000);
    in_another_thread(run_without_descriptors, NULL);
    test_expect_log("still open when its loop closes");
    eddy_server_unref(s.server);
    CHECK_INT(eddy_loop_close(s.loop), 0);
    eddy_loop_unref(s.loop);
    CHECK_INT(test_live_allocations(), 0);
}

static void G3_L4_a_thread_without_descriptors_fails_and_may_try_again(void)
{
    if (test_backend() && strcmp(test_backend(), "io_uring") == 0) /* the others need none */
        test_in_child(move_without_descriptors, NULL);
}

const struct test_case test_cases[] = {
    CASE(P35_L4_a_loop_made_here_runs_there_and_here_again),
    CASE(P35_L4_a_loop_made_by_a_thread_that_has_ended),
    CASE(P35_L15_a_loop_closes_in_another_thread),
    CASE(L30_L4_a_post_wakes_the_loop_in_its_new_thread),
    CASE(L30_the_thread_that_made_the_loop_is_not_needed),
    CASE(P32_L4_bytes_held_by_a_thread_that_has_ended),
    CASE(P28_L4_bytes_that_come_between_two_threads),
    CASE(P28_L4_more_completions_than_fit_before_the_thread_changes),
    CASE(P33_L4_a_queue_left_by_a_thread_that_has_ended),
    CASE(P34_L4_a_connection_of_one_thread_is_aborted_by_another),
    CASE(G3_L4_a_thread_without_descriptors_fails_and_may_try_again),
    TEST_END,
};
