/* backends: io_uring */
/* timeout: 120 */
/*
 * What else runs over io_uring: watches, the loop inside another one, and more operations and
 * completions in one iteration than the queues have room for.
 */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

static struct test_trace trace;
static struct eddy_loop *loop;
static int fds[2];

static void begin(void)
{
    trace_clear(&trace);
    loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    test_socketpair(fds);
}

static void end(void)
{
    test_loop_free(loop);
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* ---- watches ---- */

static bool peer_sees_the_end(void)
{
    char byte;
    return recv(fds[1], &byte, 1, MSG_DONTWAIT) == 0;
}

/* An operation in flight would keep the descriptor's file open. */
static void L57_L62_a_watch_is_removed_and_its_descriptor_closed_at_once(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    test_run_steps(loop, 3);
    eddy_watch_remove(&w.node);
    close(fds[0]);
    fds[0] = -1;
    CHECK(peer_sees_the_end());
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "");
    end();
}

static void remove_and_close(struct test_handle *h)
{
    eddy_watch_remove(h->user);
    close(fds[0]);
    fds[0] = -1;
    CHECK(peer_sees_the_end());
}

static void L58_L62_the_same_from_a_callback(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = remove_and_close, .user = &w.node);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ | EDDY_WRITE), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(W) w(W)");
    eddy_loop_call_soon(loop, &h.node);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(W) w(W) h");
    end();
}

static void remove_own_and_close(struct test_watch *w)
{
    eddy_watch_remove(&w->node);
    close(fds[0]);
    fds[0] = -1;
    CHECK(peer_sees_the_end());
}

static void L57_L62_the_same_from_its_own_callback(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w", .then = remove_own_and_close);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(W)");
    end();
}

/* One operation for reading is under way each time that the events change. */
static void L55_L56_events_are_changed_under_way(void)
{
    char byte;
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ | EDDY_WRITE), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(W) w(W)");
    CHECK_INT(write(fds[1], "x", 1), 1);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) w(W) w(RW)");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(W) w(W) w(RW) w(R) w(R)");
    CHECK_INT(read(fds[0], &byte, 1), 1);
    trace_clear(&trace);
    test_run_steps(loop, 2);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_WRITE), 0);
    CHECK_INT(write(fds[1], "x", 1), 1); /* nobody asks for it any more */
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(W)+");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), 0);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_WRITE), 0);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), 0);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(W)+ w(R)+");
    eddy_watch_remove(&w.node);
    end();
}

/* The number is another file's at once, and watched again. */
static void L62_a_number_that_is_used_again_has_no_memories(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    for (int i = 0; i < 50; i++) {
        int number = fds[0];
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
        if (i % 2)
            test_run_steps(loop, 1);
        CHECK_INT(write(fds[1], "x", 1), 1); /* the old one becomes ready, and is gone */
        eddy_watch_remove(&w.node);
        close(fds[0]);
        close(fds[1]);
        test_socketpair(fds);
        CHECK_INT(fds[0], number);
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
        test_run_steps(loop, 2);
        CHECK_TRACE(trace, "");
        eddy_watch_remove(&w.node);
    }
    end();
}

/* As on select and poll: it is always ready. */
static void L59_a_regular_file_is_taken_and_always_ready(void)
{
    begin();
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct test_watch w = TEST_WATCH(&trace, "w");
    REQUIRE(file >= 0);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, file, EDDY_READ), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(R) w(R)");
    eddy_watch_remove(&w.node);
    close(file);
    end();
}

/* ---- the loop inside another one ---- */

struct outer {
    int (*sleep)(struct outer *o, int fd, int ms);
    int epoll;
};

static int sleep_by_poll(struct outer *o, int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)o;
    return poll(&p, 1, ms);
}

static int sleep_by_epoll(struct outer *o, int fd, int ms)
{
    struct epoll_event e;
    int n;
    (void)fd;
    do {
        n = epoll_wait(o->epoll, &e, 1, ms);
    } while (n < 0 && errno == EINTR);
    return n;
}

static void outer_turn(struct outer *o, struct eddy_loop *inner)
{
    eddy_nsec timeout = eddy_loop_timeout(inner);
    if (timeout > 0) {
        int ms = timeout < EDDY_SEC(2) ? (int)(timeout / EDDY_MSEC(1)) + 1 : 2000;
        int n = o->sleep(o, eddy_loop_fileno(inner), ms);
        if (timeout > EDDY_SEC(2))
            CHECK_INT(n, 1); /* else it has slept, with something to do */
    }
    CHECK_INT(eddy_loop_run_once(inner, 0), 0);
}

static void pass_on(struct actor *a)
{
    if (a->stage->client.received < 1000000)
        do_echo(a);
}

/* Messages of all sizes go to and fro, and nothing but the descriptor wakes us. */
static void converse_inside(struct outer *o)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_DATA] = s.peer.on[ON_DATA] = pass_on;
    stage_open(&s);
    if (o->epoll >= 0) {
        struct epoll_event e = {.events = EPOLLIN};
        CHECK_INT(epoll_ctl(o->epoll, EPOLL_CTL_ADD, eddy_loop_fileno(s.loop), &e), 0);
    }
    for (size_t len = 1; len <= 20000; len = len * 3 + 1)
        CHECK_INT(actor_write(&s.client, len), 0);
    for (int i = 0; i < 100000 && s.client.received < 1000000; i++)
        outer_turn(o, s.loop);
    CHECK(s.client.received >= 1000000);
    /* Nothing goes on any more: it sleeps. */
    s.client.on[ON_DATA] = s.peer.on[ON_DATA] = NULL;
    for (int i = 0; i < 20; i++) {
        o->sleep(o, eddy_loop_fileno(s.loop), 1);
        CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
    }
    CHECK_INT(o->sleep(o, eddy_loop_fileno(s.loop), 20), 0);
    CHECK(eddy_loop_timeout(s.loop) == EDDY_FOREVER);
    stage_close(&s);
}

static void L21_in_a_poll_of_ones_own(void)
{
    struct outer o = {sleep_by_poll, -1};
    converse_inside(&o);
}

static void L21_in_an_epoll_of_ones_own(void)
{
    struct outer o = {sleep_by_epoll, epoll_create1(EPOLL_CLOEXEC)};
    REQUIRE(o.epoll >= 0);
    converse_inside(&o);
    close(o.epoll);
}

/* ---- more than fits ---- */

enum {
    WATCHES = 4500, /* more than the 4,096 completions there is room for */
    CROWD = 1100,   /* more than the 512 operations, and the 1,024 sends of one iteration */
    SPARE = 100,
    SKIPPED = 77,
};

static void need_descriptors(rlim_t wanted)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        printf("skipped: the limit of open descriptors is below %d\n", (int)wanted);
        exit(SKIPPED);
    }
}

static struct many {
    struct eddy_watch watch;
    int fd, calls;
} many[WATCHES];

static void count_call(struct eddy_watch *w, unsigned events)
{
    if (events != EDDY_READ)
        FAIL("a watch is called for %u", events);
    EDDY_CONTAINER_OF(w, struct many, watch)->calls++;
}

static int fewest_calls(void)
{
    int fewest = many[0].calls;
    for (int i = 1; i < WATCHES; i++)
        fewest = many[i].calls < fewest ? many[i].calls : fewest;
    return fewest;
}

static int most_calls(void)
{
    int most = 0;
    for (int i = 0; i < WATCHES; i++)
        most = many[i].calls > most ? many[i].calls : most;
    return most;
}

/* One eventfd by many names. */
static int watch_many(struct eddy_loop *on)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(event >= 0);
    for (int i = 0; i < WATCHES; i++) {
        many[i] = (struct many){.watch.fn = count_call, .fd = fcntl(event, F_DUPFD_CLOEXEC, 0)};
        REQUIRE(many[i].fd >= 0);
        CHECK_INT(eddy_loop_add_watch(on, &many[i].watch, many[i].fd, EDDY_READ), 0);
    }
    return event;
}

static void unwatch_many(int event)
{
    for (int i = 0; i < WATCHES; i++) {
        eddy_watch_remove(&many[i].watch);
        close(many[i].fd);
    }
    close(event);
}

static void L55_more_completions_than_fit_into_the_queue(void)
{
    uint64_t one = 1;
    int steps;
    need_descriptors(WATCHES + SPARE);
    begin();
    int event = watch_many(loop);
    test_run_steps(loop, 3);
    CHECK_INT(most_calls(), 0);
    CHECK_INT(write(event, &one, sizeof one), sizeof one);
    for (steps = 0; steps < 2000 && fewest_calls() < 20; steps++)
        test_run_steps(loop, 1);
    CHECK(fewest_calls() >= 20);
    CHECK(most_calls() <= steps);
    CHECK_INT(read(event, &one, sizeof one), sizeof one);
    test_run_steps(loop, 5); /* what was under way */
    int most = most_calls();
    test_run_steps(loop, 5);
    CHECK_INT(most_calls(), most);
    unwatch_many(event);
    end();
}

/* All of them are ready all the time, and connections go on: what they send is heard of. One run,
 * since the end of each would look at the queue once more. */
static int echoes_before;

static void echo_until_enough(struct actor *a)
{
    if (echoes_before == 0 && fewest_calls() >= 50)
        echoes_before = a->count[ON_DATA];
    if (echoes_before > 0 && a->count[ON_DATA] >= echoes_before + 50)
        eddy_loop_stop(a->stage->loop);
    do_echo(a);
}

static void P28_L27_connections_go_on_when_completions_do_not_fit(void)
{
    struct stage s;
    uint64_t one = 1;
    struct test_timer timer = TEST_TIMER(&trace, "too late", .then = test_timer_stop);
    need_descriptors(WATCHES + SPARE);
    trace_clear(&trace);
    echoes_before = 0;
    stage_init(&s);
    s.client.on[ON_DATA] = echo_until_enough;
    s.peer.on[ON_DATA] = do_echo;
    stage_open(&s);
    int event = watch_many(s.loop);
    CHECK_INT(write(event, &one, sizeof one), sizeof one);
    CHECK_INT(actor_write(&s.client, 100), 0);
    timer.user = s.loop;
    eddy_loop_call_later(s.loop, &timer.node, EDDY_SEC(20));
    CHECK_INT(eddy_loop_run_forever(s.loop), 0);
    CHECK_TRACE(trace, "");
    eddy_timer_cancel(&timer.node);
    unwatch_many(event);
    stage_close(&s);
}

/* ---- a crowd ---- */

struct member {
    struct eddy_protocol base;
    int number;
};

static struct crowd {
    struct stage s;
    struct member *members[CROWD];
    int raws[CROWD];
    int made, resumed;
} crowd;

static int member_init(struct eddy_protocol *p, void *arg)
{
    struct member *m = EDDY_PROTOCOL_SELF(p, struct member, base);
    (void)arg;
    m->number = crowd.made++;
    crowd.members[m->number] = m;
    return 0;
}

static void member_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static const struct eddy_protocol_class member_class = {
    EDDY_PROTOCOL_CLASS(struct member, base),
    .init = member_init,
    .data_received = member_data,
};

static void crowd_begin(void)
{
    need_descriptors(CROWD * 2 + SPARE);
    memset(&crowd, 0, sizeof crowd);
    stage_init(&crowd.s);
    crowd.s.server_class = &member_class;
    stage_begin(&crowd.s);
    for (int i = 0; i < CROWD; i++) {
        crowd.raws[i] = raw_connect(&crowd.s);
        UNTIL(&crowd.s, crowd.made == i + 1);
    }
}

static void crowd_end(void)
{
    for (int i = 0; i < CROWD; i++)
        raw_close(&crowd.s, crowd.raws[i]);
    UNTIL(&crowd.s, eddy_server_connections(crowd.s.server) == 0);
    stage_close(&crowd.s);
}

static void check_all_got(const char *expected, size_t len)
{
    char text[400];
    for (int i = 0; i < CROWD; i++) {
        CHECK_INT(raw_recv(&crowd.s, crowd.raws[i], text, len), len);
        CHECK(memcmp(text, expected, len) == 0);
    }
}

static char lent[] = "piece";

/* Several pieces each, so that they are sent as messages. */
static void write_to_all(struct stage *s)
{
    (void)s;
    for (int i = 0; i < CROWD; i++) {
        struct eddy_transport *t = crowd.members[i]->base.transport;
        CHECK_INT(eddy_transport_write(t, "one ", 4), 0);
        CHECK_INT(eddy_transport_write_owned(t, lent, 5, NULL, NULL), 0);
        CHECK_INT(eddy_transport_write(t, " more", 5), 0);
    }
}

static void P33_more_connections_write_than_operations_fit(void)
{
    crowd_begin();
    for (int i = 0; i < 3; i++) {
        stage_inside(&crowd.s, write_to_all);
        check_all_got("one piece more", 14);
    }
    crowd_end();
}

static void write_one_piece(struct stage *s)
{
    (void)s;
    for (int i = 0; i < CROWD; i++)
        CHECK_INT(eddy_transport_write(crowd.members[i]->base.transport, "hello", 5), 0);
}

/* ... in the last callback of a run, after which nobody runs the loop. */
static void T10_P33_all_of_it_is_sent_when_the_run_ends(void)
{
    crowd_begin();
    stage_inside(&crowd.s, write_one_piece);
    for (int i = 0; i < CROWD; i++) {
        struct pollfd p = {.fd = crowd.raws[i], .events = POLLIN};
        char text[5];
        if (!CHECK_INT(poll(&p, 1, 5000), 1))
            break;
        CHECK_INT(recv(crowd.raws[i], text, 5, 0), 5);
        CHECK(memcmp(text, "hello", 5) == 0);
    }
    crowd_end();
}

static void pause_all(struct stage *s)
{
    (void)s;
    for (int i = 0; i < CROWD; i++)
        eddy_transport_pause_reading(crowd.members[i]->base.transport);
}

static void resume_all(struct stage *s)
{
    (void)s;
    for (int i = 0; i < CROWD; i++)
        eddy_transport_resume_reading(crowd.members[i]->base.transport);
}

static void P32_P33_all_pause_resume_and_speak_at_once(void)
{
    crowd_begin();
    for (int round = 0; round < 5; round++) {
        stage_inside(&crowd.s, pause_all);
        for (int i = 0; i < CROWD; i++)
            CHECK_INT(raw_send(&crowd.s, crowd.raws[i], "question", 8), 0);
        test_run_steps(crowd.s.loop, round);
        stage_inside(&crowd.s, resume_all);
        check_all_got("question", 8);
    }
    crowd_end();
}

static void abort_all(struct stage *s)
{
    (void)s;
    for (int i = 0; i < CROWD; i++)
        eddy_transport_abort(crowd.members[i]->base.transport, NULL);
}

static void P34_all_write_and_are_aborted_at_once(void)
{
    crowd_begin();
    stage_inside(&crowd.s, write_one_piece);
    stage_inside(&crowd.s, abort_all);
    UNTIL(&crowd.s, eddy_server_connections(crowd.s.server) == 0);
    for (int i = 0; i < CROWD; i++) {
        size_t len = 0;
        CHECK_INT(raw_drain(&crowd.s, crowd.raws[i], 0, &len), 0);
        CHECK_INT(len, 5);
    }
    crowd_end();
}

const struct test_case test_cases[] = {
    CASE(L57_L62_a_watch_is_removed_and_its_descriptor_closed_at_once),
    CASE(L58_L62_the_same_from_a_callback),
    CASE(L57_L62_the_same_from_its_own_callback),
    CASE(L55_L56_events_are_changed_under_way),
    CASE(L62_a_number_that_is_used_again_has_no_memories),
    CASE(L59_a_regular_file_is_taken_and_always_ready),
    CASE(L21_in_a_poll_of_ones_own),
    CASE(L21_in_an_epoll_of_ones_own),
    CASE(L55_more_completions_than_fit_into_the_queue),
    CASE(P28_L27_connections_go_on_when_completions_do_not_fit),
    CASE(P33_more_connections_write_than_operations_fit),
    CASE(T10_P33_all_of_it_is_sent_when_the_run_ends),
    CASE(P32_P33_all_pause_resume_and_speak_at_once),
    CASE(P34_all_write_and_are_aborted_at_once),
    TEST_END,
};
