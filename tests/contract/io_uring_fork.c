/* backends: io_uring */
/*
 * A process forks with operations in flight, bytes held and queues that nobody takes (contract
 * L72): the ring, its buffers and what is in them stay the parent's; the child opens a ring of its
 * own, or only closes.
 */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include "tests/unit/seccomp.h"
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BURST = 40000 };

static struct stage s;
static struct actor others[3];
static int raw;

static void begin(void)
{
    stage_init(&s);
    s.peer.in_key = 1;
    s.peer.out_key = 2;
    stage_begin(&s);
    raw = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    stage_settle(&s);
}

static void send_burst(void)
{
    static uint8_t bytes[BURST];
    stream_bytes(bytes, BURST, 0, 1);
    CHECK_INT(raw_send(&s, raw, bytes, BURST), 0);
}

static void end(void)
{
    raw_close(&s, raw);
    stage_close(&s);
}

/* What is inherited goes; the parent's connections and registrations do not notice. */
static void close_inherited(void)
{
    test_expect_log("still open when its loop closes");
    eddy_server_unref(s.server);
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_INT(s.peer.count[ON_LOST], 1);
    eddy_loop_unref(s.loop);
    CHECK_INT(test_live_allocations(), 0);
}

/* ---- bytes that are held ---- */

static size_t held_before;

static void go_on_without(void *user)
{
    (void)user;
    s.peer.on[ON_DATA] = NULL;
    s.peer.in_key = 0; /* what it gets, if anything, is what the kernel had yet */
    size_t before = s.peer.received;
    CHECK_INT(eddy_loop_forked(s.loop), 0);
    eddy_transport_resume_reading(s.peer.t);
    stage_settle(&s);
    CHECK(s.peer.received - before <= BURST - before - held_before);
    close_inherited();
}

static void close_without(void *user)
{
    (void)user;
    close_inherited();
}

/* Before it has said that it is another process. */
static void abort_without(void *user)
{
    (void)user;
    eddy_transport_abort(s.peer.t, NULL);
    eddy_transport_abort(others[0].t, NULL);
    close_inherited();
}

/* More bytes for the parent come into the buffers that are free, all of them, and into no other. */
static void L72_P32_a_child_that_aborts_gives_back_no_buffer_of_the_parents(void)
{
    static uint8_t bytes[BURST];
    int raws[3];
    begin();
    stream_bytes(bytes, BURST, 0, 1);
    for (int i = 0; i < 3; i++) {
        stage_add(&s, &others[i], true);
        others[i].in_key = 1;
        others[i].on[ON_DATA] = do_pause; /* they keep them */
        raws[i] = raw_connect(&s);
        UNTIL(&s, others[i].count[ON_MADE] == 1);
    }
    s.peer.on[ON_DATA] = do_pause;
    stage_settle(&s);
    send_burst();
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    stage_settle(&s);
    test_in_child(abort_without, NULL);
    for (int i = 0; i < 3; i++) /* all in one iteration, before any is given back */
        CHECK_INT(raw_send(&s, raws[i], bytes, BURST), 0);
    for (int i = 0; i < 3; i++)
        UNTIL(&s, others[i].count[ON_DATA] == 1);
    stage_settle(&s);
    s.peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == BURST);
    for (int i = 0; i < 3; i++) {
        others[i].on[ON_DATA] = NULL;
        eddy_transport_resume_reading(others[i].t);
        UNTIL(&s, others[i].received == BURST);
        raw_close(&s, raws[i]);
    }
    end();
}

static void fork_with_bytes_held(void (*child)(void *user))
{
    begin();
    s.peer.on[ON_DATA] = do_pause;
    send_burst();
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    stage_settle(&s);
    /* The child must find nothing in the kernel, which both could take. */
    held_before = BURST - s.peer.received - (size_t)raw_unread(&s, eddy_transport_fd(s.peer.t));
    CHECK(held_before > 0);
    test_in_child(child, NULL);
    s.peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received >= held_before);
    if (child == close_without) {
        UNTIL(&s, s.peer.received == BURST);
    } else {
        s.peer.in_key = 0; /* the child may have taken some of the rest */
    }
    end();
}

static void L72_P32_held_bytes_stay_the_parents(void)
{
    fork_with_bytes_held(go_on_without);
}

static void L72_P32_a_child_closes_with_bytes_held(void)
{
    fork_with_bytes_held(close_without);
}

/* ---- sends ---- */

static void write_first(struct stage *stage)
{
    CHECK_INT(actor_write(&stage->peer, 1000), 0);
}

static void fill(struct stage *stage)
{
    CHECK(actor_fill(&stage->peer) > 0);
}

static void L72_P35_a_child_closes_with_a_queue_that_nobody_takes(void)
{
    size_t received = 0;
    begin();
    stage_inside(&s, fill);
    test_in_child(close_without, NULL);
    eddy_transport_close(s.peer.t);
    CHECK_INT(raw_drain(&s, raw, 2, &received), 0);
    CHECK_INT(received, s.peer.sent);
    end();
}

static void L72_P33_what_was_written_before_a_fork_is_sent_once(void)
{
    uint8_t bytes[1000];
    begin();
    stage_inside(&s, write_first);
    test_in_child(close_without, NULL);
    CHECK_INT(raw_recv(&s, raw, bytes, sizeof bytes), sizeof bytes);
    CHECK(stream_matches(bytes, sizeof bytes, 0, 2));
    stage_settle(&s);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.peer.t), 0);
    CHECK_INT(recv(raw, bytes, 1, 0), -1); /* not sent twice */
    end();
}

/* ---- forks inside callbacks ---- */

static pid_t child;
static int child_result;

/* In the child the callback returns, and the run ends with an error. */
static void fork_here(void)
{
    child = fork();
    REQUIRE(child >= 0);
}

/* The child runs to its end here; the parent learns how. */
static void after_run(int rc, void (*in_child)(void))
{
    if (child == 0) {
        unsigned before = CU_get_number_of_failures();
        CHECK_INT(rc, EDDY_EINVALID_STATE);
        in_child();
        _exit(CU_get_number_of_failures() != before);
    }
    CHECK_INT(rc, 0);
    CHECK_INT(waitpid(child, &child_result, 0), child);
    CHECK_INT(child_result, 0);
}

static void forked_and_closed(void)
{
    CHECK_INT(eddy_loop_forked(s.loop), 0);
    test_run_steps(s.loop, 3);
    close_inherited();
}

static bool has_forked;

static void fork_once(struct actor *a)
{
    (void)a;
    if (!has_forked) {
        has_forked = true;
        fork_here();
    }
}

/* Completions for others, behind the one whose callback forks, are the parent's. */
static void fork_among_many(enum slot slot, void (*in_child)(void))
{
    int raws[3];
    has_forked = false;
    child = -1;
    begin();
    for (int i = 0; i < 3; i++) {
        stage_add(&s, &others[i], true);
        others[i].on[slot] = fork_once;
        raws[i] = raw_connect(&s);
        UNTIL(&s, others[i].count[ON_MADE] == 1);
    }
    s.peer.on[slot] = fork_once;
    stage_settle(&s);
    send_burst();
    for (int i = 0; i < 3; i++)
        CHECK_INT(raw_send(&s, raws[i], "hello", 5), 0);
    if (slot == ON_EOF) {
        for (int i = 0; i < 3; i++)
            raw_shutdown(&s, raws[i]);
    }
    while (!has_forked) {
        int rc = eddy_loop_run_once(s.loop, EDDY_SEC(1));
        if (has_forked)
            after_run(rc, in_child);
        else
            CHECK_INT(rc, 0);
    }
    UNTIL(&s, s.peer.received == BURST);
    for (int i = 0; i < 3; i++) {
        UNTIL(&s, others[i].received == 5);
        raw_close(&s, raws[i]);
    }
    end();
}

static void L72_P32_a_callback_that_receives_forks(void)
{
    fork_among_many(ON_DATA, forked_and_closed);
    fork_among_many(ON_DATA, close_inherited);
}

static void L72_a_callback_at_the_end_of_a_stream_forks(void)
{
    fork_among_many(ON_EOF, forked_and_closed);
    fork_among_many(ON_EOF, close_inherited);
}

/* ... and there is more in this dispatch that the child must not finish: connections that have just
 * been closed, with and without operations that had to come back first. */
static struct test_watch watches[8];
static int pairs[8][2];
static struct test_trace watch_trace;

static void remove_all_but(const struct test_watch *one)
{
    for (int i = 0; i < 8; i++) {
        if (&watches[i] != one)
            eddy_watch_remove(&watches[i].node);
    }
}

static void remove_others_and_fork(struct test_watch *w)
{
    if (has_forked)
        return;
    remove_all_but(w);
    eddy_transport_abort(others[0].t, NULL);
    has_forked = true;
    fork_here();
}

/* ... or that were removed before the run, and whose operations report in it. */
static void fork_while_watches_go(bool before, void (*in_child)(void))
{
    has_forked = false;
    child = -1;
    begin();
    trace_clear(&watch_trace);
    stage_add(&s, &others[0], true);
    int second = raw_connect(&s);
    UNTIL(&s, others[0].count[ON_MADE] == 1);
    for (int i = 0; i < 8; i++) {
        test_socketpair(pairs[i]);
        watches[i] =
            (struct test_watch)TEST_WATCH(&watch_trace, "w", .then = remove_others_and_fork);
        CHECK_INT(eddy_loop_add_watch(s.loop, &watches[i].node, pairs[i][0], EDDY_READ), 0);
    }
    stage_settle(&s);
    if (before)
        remove_all_but(&watches[7]);
    for (int i = 0; i < 8; i++)
        CHECK_INT(write(pairs[i][1], "x", 1), 1);
    int rc = eddy_loop_run_once(s.loop, EDDY_SEC(1));
    REQUIRE(has_forked);
    after_run(rc, in_child);
    for (int i = 0; i < 8; i++) {
        eddy_watch_remove(&watches[i].node);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    raw_close(&s, second);
    end();
}

static void L72_a_watch_removes_others_and_forks(void)
{
    fork_while_watches_go(false, forked_and_closed);
    fork_while_watches_go(false, close_inherited);
}

static void L72_watches_that_have_just_gone_are_gone_in_the_child(void)
{
    fork_while_watches_go(true, forked_and_closed);
    fork_while_watches_go(true, close_inherited);
}

/* Connections that close in the very dispatch in which a later callback forks. */
static void fork_when_the_rest_has_gone(void (*in_child)(void))
{
    int raws[3];
    has_forked = false;
    child = -1;
    begin();
    for (int i = 0; i < 3; i++) {
        stage_add(&s, &others[i], true);
        raws[i] = raw_connect(&s);
        UNTIL(&s, others[i].count[ON_MADE] == 1);
    }
    stage_settle(&s);
    for (int i = 0; i < 3; i++)
        eddy_transport_abort(others[i].t, NULL);
    s.peer.on[ON_DATA] = fork_once;
    /* One iteration for connection_lost and the request to end the operations; in the next these
     * report, in the same look at the completions as the bytes. */
    test_run_steps(s.loop, 1);
    CHECK_INT(raw_send(&s, raw, "hello", 5), 0);
    s.peer.in_key = 0;
    while (!has_forked) {
        int rc = eddy_loop_run_once(s.loop, EDDY_SEC(1));
        if (has_forked)
            after_run(rc, in_child);
    }
    for (int i = 0; i < 3; i++) {
        UNTIL(&s, others[i].count[ON_FINI] == 1);
        raw_close(&s, raws[i]);
    }
    end();
}

static void L72_connections_that_have_just_gone_are_gone_in_the_child(void)
{
    fork_when_the_rest_has_gone(forked_and_closed);
    fork_when_the_rest_has_gone(close_inherited);
}

/* ---- a child that cannot have a ring ---- */

static void find_rings_forbidden(void *user)
{
    (void)user;
    if (!forbid_system_call(__NR_io_uring_setup, EPERM))
        return;
    int descriptors = test_open_descriptors();
    CHECK(eddy_loop_forked(s.loop) < 0);
    CHECK_INT(eddy_loop_run_once(s.loop, 0), EDDY_EINVALID_STATE);
    CHECK(eddy_loop_forked(s.loop) < 0);
    eddy_loop_timeout(s.loop);
    eddy_transport_abort(s.peer.t, NULL);
    close_inherited();
    CHECK(test_open_descriptors() <= descriptors);
}

static void L72_G3_a_child_that_gets_no_ring_can_close(void)
{
    begin();
    s.peer.on[ON_DATA] = do_pause;
    send_burst();
    stage_settle(&s);
    stage_inside(&s, write_first);
    test_in_child(find_rings_forbidden, NULL);
    s.peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == BURST);
    end();
}

static void find_no_descriptor_left(void *user)
{
    struct rlimit limit;
    (void)user;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(eddy_loop_forked(s.loop), -EMFILE);
    CHECK_INT(eddy_loop_run_once(s.loop, 0), EDDY_EINVALID_STATE);
    limit.rlim_cur = 1024;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(eddy_loop_forked(s.loop), 0); /* it may be tried again */
    test_run_steps(s.loop, 3);
    close_inherited();
}

static void close_with_no_descriptor_left(void *user)
{
    struct rlimit limit;
    (void)user;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(eddy_loop_forked(s.loop), -EMFILE);
    eddy_transport_abort(s.peer.t, NULL);
    close_inherited();
}

static void L72_G3_a_child_without_descriptors_can_close(void)
{
    begin();
    s.peer.on[ON_DATA] = do_pause;
    send_burst();
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    test_in_child(close_with_no_descriptor_left, NULL);
    s.peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == BURST);
    end();
}

static void L72_G3_a_child_tries_again_when_there_are_descriptors(void)
{
    begin();
    test_in_child(find_no_descriptor_left, NULL);
    stage_inside(&s, write_first);
    uint8_t bytes[1000];
    CHECK_INT(raw_recv(&s, raw, bytes, sizeof bytes), sizeof bytes);
    end();
}

const struct test_case test_cases[] = {
    CASE(L72_P32_held_bytes_stay_the_parents),
    CASE(L72_P32_a_child_closes_with_bytes_held),
    CASE(L72_P32_a_child_that_aborts_gives_back_no_buffer_of_the_parents),
    CASE(L72_P35_a_child_closes_with_a_queue_that_nobody_takes),
    CASE(L72_P33_what_was_written_before_a_fork_is_sent_once),
    CASE(L72_P32_a_callback_that_receives_forks),
    CASE(L72_a_callback_at_the_end_of_a_stream_forks),
    CASE(L72_a_watch_removes_others_and_forks),
    CASE(L72_watches_that_have_just_gone_are_gone_in_the_child),
    CASE(L72_connections_that_have_just_gone_are_gone_in_the_child),
    CASE(L72_G3_a_child_that_gets_no_ring_can_close),
    CASE(L72_G3_a_child_without_descriptors_can_close),
    CASE(L72_G3_a_child_tries_again_when_there_are_descriptors),
    TEST_END,
};
