/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* timeout: 120 */
/* Idle and write-stall time-outs, linger: contract T57, T5. What would take long is shown on the
 * virtual clock alone. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <string.h>

/* Time that a case may spend: little on a real clock. */
static eddy_nsec span(void)
{
    return test_is_sim() ? EDDY_SEC(30) : EDDY_MSEC(60);
}

static eddy_nsec made_at, lost_at;

static void note_beginning(struct actor *a)
{
    made_at = eddy_loop_time(a->stage->loop);
}

static void note_time(struct actor *a)
{
    lost_at = eddy_loop_time(a->stage->loop);
}

/* Never early; on the virtual clock also not later than the network's own delays. */
static void check_lost_at(eddy_nsec expected)
{
    CHECK(lost_at >= expected);
    if (test_is_sim())
        CHECK(lost_at - expected < EDDY_MSEC(500));
}

static void T57_nothing_received_for_so_long(void)
{
    struct stage s;
    stage_init(&s);
    s.connection_opts.idle_timeout = span();
    s.client.on[ON_MADE] = note_beginning;
    s.client.on[ON_LOST] = note_time;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    CHECK(s.client.error.text[0] != '\0');
    if (test_is_sim())
        check_lost_at(made_at + span());
    stage_close(&s);
}

static void T57_idle_timeout_of_accepted_connections(void)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.idle_timeout = span();
    stage_open(&s);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, road_end_of_abort("CM RET ER CL(0)", "CM RET CL(ETLS)"));
    stage_close(&s);
}

static void T57_bytes_received_put_it_off(void)
{
    struct stage s;
    if (!test_is_sim())
        return; /* a busy machine may stand still between two bytes */
    stage_init(&s);
    s.peer.on[ON_LOST] = note_time;
    stage_open(&s);
    CHECK_INT(eddy_transport_set_idle_timeout(s.peer.t, EDDY_SEC(10)), 0);
    for (int i = 0; i < 10; i++) {
        stage_run_for(&s, EDDY_SEC(7));
        CHECK_INT(s.peer.count[ON_LOST], 0);
        CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    }
    eddy_nsec last = eddy_loop_time(s.loop);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, 10);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    check_lost_at(last + EDDY_SEC(10));
    stage_close(&s);
}

static void T57_sending_does_not_put_it_off(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.client.on[ON_LOST] = note_time;
    stage_open(&s);
    eddy_nsec begin = eddy_loop_time(s.loop);
    CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, EDDY_SEC(10)), 0);
    for (int i = 0; i < 3; i++) {
        stage_run_for(&s, EDDY_SEC(3));
        CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    }
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    check_lost_at(begin + EDDY_SEC(10));
    stage_close(&s);
}

static void T57_while_we_do_not_read_the_peer_is_not_idle(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.peer.on[ON_LOST] = note_time;
    stage_open(&s);
    CHECK_INT(eddy_transport_set_idle_timeout(s.peer.t, EDDY_SEC(10)), 0);
    eddy_transport_pause_reading(s.peer.t);
    stage_run_for(&s, EDDY_SEC(60));
    CHECK_INT(s.peer.count[ON_LOST], 0);
    eddy_nsec resumed = eddy_loop_time(s.loop);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    check_lost_at(resumed + EDDY_SEC(10));
    stage_close(&s);
}

static void T57_idle_timeout_can_be_taken_back(void)
{
    struct stage s;
    stage_init(&s);
    s.connection_opts.idle_timeout = EDDY_MSEC(40);
    s.client.on[ON_MADE] = NULL;
    stage_open(&s);
    if (s.client.t) {
        CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, 0), 0);
        stage_run_for(&s, EDDY_MSEC(100));
        CHECK_INT(s.client.count[ON_LOST], 0);
        CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, EDDY_MSEC(5)), 0);
        CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, EDDY_OFF), 0);
        stage_run_for(&s, EDDY_MSEC(30));
        CHECK_INT(s.client.count[ON_LOST], 0);
    }
    stage_close(&s);
}

static void T57_idle_timeout_is_off_by_default(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_open(&s);
    stage_run_for(&s, EDDY_SEC(100000));
    CHECK_TRACE(s.client.trace, "CM RET");
    CHECK_TRACE(s.peer.trace, "CM");
    stage_close(&s);
}

static void T57_bytes_wait_and_the_peer_takes_none(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    s.connection_opts.write_timeout = span();
    s.client.on[ON_LOST] = note_time;
    stage_open(&s);
    eddy_nsec begin = eddy_loop_time(s.loop);
    actor_fill(&s.client);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    check_lost_at(begin + span());
    stage_close(&s);
}

static void T57_no_write_stall_while_the_peer_takes_bytes(void)
{
    struct stage s;
    uint8_t piece[16384];
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.server_opts.write_timeout = EDDY_SEC(10);
    int fd = stage_open_raw(&s);
    CHECK_INT(actor_write(&s.peer, 3 << 20), 0);
    for (int i = 0; i < 20; i++) { /* far longer than the time-out, in all */
        CHECK_INT(raw_recv(&s, fd, piece, sizeof piece), sizeof piece);
        CHECK_INT(raw_recv(&s, fd, piece, sizeof piece), sizeof piece);
        CHECK_INT(raw_recv(&s, fd, piece, sizeof piece), sizeof piece);
        CHECK_INT(raw_recv(&s, fd, piece, sizeof piece), sizeof piece);
        stage_run_for(&s, EDDY_SEC(6));
    }
    CHECK_INT(s.peer.count[ON_LOST], 0);
    CHECK(eddy_transport_get_write_buffer_size(s.peer.t) > 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    raw_close(&s, fd);
    stage_close(&s);
}

/* A kernel has room again when a good part of its megabytes is gone: a slow peer takes its time. */
static void T57_a_slow_peer_is_no_stall_though_there_is_no_room(void)
{
    static uint8_t piece[16384];
    struct stage s;
    if (test_is_sim())
        return;
    stage_init(&s);
    s.server_opts.write_timeout = EDDY_MSEC(400);
    int fd = stage_open_raw(&s);
    CHECK_INT(actor_write(&s.peer, 16 << 20), 0);
    for (int i = 0; i < 50; i++) { /* far longer than the time-out, in all */
        CHECK_INT(raw_recv(&s, fd, piece, sizeof piece), sizeof piece);
        stage_run_for(&s, EDDY_MSEC(20));
    }
    CHECK_INT(s.peer.count[ON_LOST], 0);
    CHECK(eddy_transport_get_write_buffer_size(s.peer.t) > 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T57_no_write_stall_when_nothing_waits(void)
{
    struct stage s;
    stage_init(&s);
    s.connection_opts.write_timeout = EDDY_MSEC(10);
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.peer.received == 1);
    stage_run_for(&s, EDDY_MSEC(50));
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static void T5_a_closing_transport_stalls_for_60_seconds_at_most(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    s.client.on[ON_LOST] = note_time;
    stage_open(&s);
    actor_fill(&s.client);
    stage_run_for(&s, EDDY_SEC(1000)); /* none while open */
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    check_lost_at(begin + EDDY_SEC(road_is_tls() ? 30 : 60)); /* X30 */
    stage_close(&s);
}

static void T5_write_timeout_of_a_closing_transport_may_be_shorter(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    CHECK_INT(eddy_transport_set_write_timeout(s.client.t, EDDY_MSEC(50)), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    stage_close(&s);
}

static void T5_write_timeout_off_waits_for_ever(void)
{
    struct stage s;
    if (!test_is_sim() || road_is_tls()) /* whose time for closing is limited (X30) */
        return;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    s.connection_opts.write_timeout = EDDY_OFF;
    stage_open(&s);
    size_t len = actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    stage_run_for(&s, EDDY_SEC(10000));
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1 && s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, 0);
    CHECK_INT(s.peer.received, len);
    stage_close(&s);
}

/* ---- linger ---- */

/* A transport that has closed with input unread, whose peer neither ends nor reads on. */
static void open_lingering(struct stage *s, int *ret_fd)
{
    stage_init(s);
    s->peer.on[ON_MADE] = do_pause;
    s->peer.on[ON_LOST] = note_time;
    *ret_fd = stage_open_raw(s);
    CHECK_INT(raw_send(s, *ret_fd, "requests", 8), 0);
    UNTIL(s, raw_unread(s, eddy_transport_fd(s->peer.t)) == 8);
}

/* Keeps its kernel busy with input that nobody reads. */
static void pester(struct stage *s, int fd, eddy_nsec until)
{
    while (eddy_loop_time(s->loop) < until && s->peer.count[ON_LOST] == 0) {
        s->sys->cls->send(s->sys, fd, "more", 4);
        stage_run_for(s, EDDY_MSEC(1));
    }
}

static void T5_linger_is_over_after_two_seconds(void)
{
    struct stage s;
    int fd;
    if (!test_is_sim())
        return;
    open_lingering(&s, &fd);
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    CHECK_INT(eddy_sim_freeze(test_sim(s.loop), fd, true), 0); /* acknowledges nothing */
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    check_lost_at(begin + EDDY_SEC(2));
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_linger_can_be_set(void)
{
    struct stage s;
    int fd;
    if (!test_is_sim())
        return;
    open_lingering(&s, &fd);
    CHECK_INT(eddy_transport_set_linger(s.peer.t, EDDY_SEC(7)), 0);
    CHECK_INT(eddy_sim_freeze(test_sim(s.loop), fd, true), 0);
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    check_lost_at(begin + EDDY_SEC(7));
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_without_linger_it_ends_at_once(void)
{
    struct stage s;
    int fd;
    open_lingering(&s, &fd);
    CHECK_INT(eddy_transport_set_linger(s.peer.t, EDDY_OFF), 0);
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    CHECK(lost_at - begin < EDDY_MSEC(1900));
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_no_linger_when_all_is_acknowledged_and_nothing_unread(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_LOST] = note_time;
    int fd = stage_open_raw(&s);
    char got[5];
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    CHECK_INT(raw_recv(&s, fd, got, 5), 5);
    stage_settle(&s);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    CHECK(lost_at - begin < EDDY_MSEC(1900));
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_linger_ends_although_the_peer_sends_for_ever(void)
{
    struct stage s;
    int fd;
    open_lingering(&s, &fd);
    CHECK_INT(eddy_transport_set_linger(s.peer.t, EDDY_MSEC(200)), 0);
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    eddy_transport_close(s.peer.t);
    pester(&s, fd, eddy_loop_time(s.loop) + EDDY_SEC(20));
    CHECK_INT(s.peer.count[ON_LOST], 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_linger_ends_with_the_peer(void)
{
    struct stage s;
    int fd;
    open_lingering(&s, &fd);
    CHECK_INT(eddy_transport_set_linger(s.peer.t, EDDY_SEC(1000)), 0);
    CHECK_INT(eddy_transport_write(s.peer.t, "reply", 5), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    eddy_transport_close(s.peer.t);
    stage_settle(&s);
    raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    CHECK(lost_at - begin < EDDY_SEC(100));
    raw_close(&s, fd);
    stage_close(&s);
}

static void T57_a_negative_span_is_refused(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.idle_timeout = -5;
    CHECK_INT(actor_connect(&s.client), -EINVAL);
    s.connection_opts.idle_timeout = 0;
    s.connection_opts.timeout = -5;
    CHECK_INT(actor_connect(&s.client), -EINVAL);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(T57_nothing_received_for_so_long),
    CASE(T57_idle_timeout_of_accepted_connections),
    CASE(T57_bytes_received_put_it_off),
    CASE(T57_sending_does_not_put_it_off),
    CASE(T57_while_we_do_not_read_the_peer_is_not_idle),
    CASE(T57_idle_timeout_can_be_taken_back),
    CASE(T57_idle_timeout_is_off_by_default),
    CASE(T57_bytes_wait_and_the_peer_takes_none),
    CASE(T57_no_write_stall_while_the_peer_takes_bytes),
    CASE(T57_a_slow_peer_is_no_stall_though_there_is_no_room),
    CASE(T57_no_write_stall_when_nothing_waits),
    CASE(T5_a_closing_transport_stalls_for_60_seconds_at_most),
    CASE(T5_write_timeout_of_a_closing_transport_may_be_shorter),
    CASE(T5_write_timeout_off_waits_for_ever),
    CASE(T5_linger_is_over_after_two_seconds),
    CASE(T5_linger_can_be_set),
    CASE(T5_without_linger_it_ends_at_once),
    CASE(T5_no_linger_when_all_is_acknowledged_and_nothing_unread),
    CASE(T5_linger_ends_although_the_peer_sends_for_ever),
    CASE(T5_linger_ends_with_the_peer),
    CASE(T57_a_negative_span_is_refused),
    {NULL, NULL},
};
