/* backends: select poll epoll io_uring */
/*
 * Bytes through pipes: writing (contract T10 to T20), flow control (T21 to T25), pausing (T26 to
 * T29), bytes given back (R40), buffered protocols (R2, R18 to R20), switching (R36 to R39),
 * time-outs (T57).
 */
#include "tests/contract/pipes.h"
#include <string.h>

/* ---- writing ---- */

static void write_three_times(struct stage *s)
{
    for (int i = 0; i < 3; i++)
        CHECK_INT(eddy_transport_write(s->client.t, "abc", 3), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s->client.t), 9);
}

static void T10_writes_of_one_callback_leave_together(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "now", 3), 0); /* outside a run: at once */
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0);
    UNTIL(&s, s.peer.received == 3);
    stage_inside(&s, write_three_times);
    UNTIL(&s, s.peer.received == 12);
    CHECK_TRACE(s.peer.trace, "CM RET DR(3) DR(9)");
    stage_close(&s);
}

static void flush_halfway(struct stage *s)
{
    CHECK_INT(eddy_transport_write(s->client.t, "first", 5), 0);
    eddy_transport_flush(s->client.t);
    CHECK_INT(eddy_transport_get_write_buffer_size(s->client.t), 0);
    CHECK_INT(raw_unread(s, eddy_transport_fd(s->peer.t)), 5);
    CHECK_INT(eddy_transport_write(s->client.t, "second", 6), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s->client.t), 6);
}

static void T10_flush_sends_what_was_collected(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    stage_inside(&s, flush_halfway);
    UNTIL(&s, s.peer.received == 11);
    CHECK(memcmp(s.peer.head, "firstsecond", 11) == 0);
    stage_close(&s);
}

static void T11_T17_nothing_and_pieces(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    struct iovec pieces[100];
    char letters[100];
    for (int i = 0; i < 100; i++) {
        letters[i] = (char)('a' + i % 26);
        pieces[i] = (struct iovec){&letters[i], 1};
    }
    CHECK_INT(eddy_transport_write(s.client.t, "", 0), 0);
    CHECK_INT(eddy_transport_writev(s.client.t, NULL, 0), 0);
    CHECK_INT(eddy_transport_writev(s.client.t, pieces, 100), 0);
    CHECK_INT(eddy_transport_writev(s.client.t, pieces, -1), -EINVAL);
    CHECK_INT(eddy_transport_printf(s.client.t, "%d-%s", 42, "x"), 0);
    UNTIL(&s, s.peer.received == 104);
    CHECK(memcmp(s.peer.head, letters, 100) == 0);
    CHECK(memcmp(s.peer.head + 100, "42-x", 4) == 0);
    stage_close(&s);
}

/* Many queued blocks go out by writev in one call, and in order. */
static void T12_partial_writes_keep_the_tail(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    int fd = pipes_open_writer(&s);
    size_t sent = actor_fill(&s.client), at = 0;
    CHECK(sent > 0 && eddy_transport_get_write_buffer_size(s.client.t) < sent); /* T20 */
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(actor_write(&s.client, 77), 0);
        sent += 77;
    }
    UNTIL(&s, pipes_take(fd, s.client.out_key, &at) >= 0 && at == sent);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    close(fd);
    stage_close(&s);
}

static void T14_T15_writes_after_close_are_dropped(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    test_expect_log("writing to a closing transport");
    for (int i = 0; i < 8; i++)
        CHECK_INT(eddy_transport_write(s.client.t, "x", 1), EDDY_ECLOSED);
    CHECK_INT(test_count_log("writing to a closing transport"), 1);
    close(fd);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(eddy_transport_write(s.client.own.base.transport, "x", 1), EDDY_ECLOSED);
    stage_close(&s);
}

static void T4_T13_write_eof_is_close(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    CHECK(eddy_transport_is_closing(s.client.t));
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    pipes_until_both_lost(&s);
    stage_close(&s);
}

static void count_release(void *user)
{
    ++*(int *)user;
}

static void G7_owned_bytes_are_released_once(void)
{
    static char bytes[300000];
    struct stage s;
    int released[5] = {0};
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    struct eddy_transport *t = s.client.t;
    CHECK_INT(eddy_transport_write_owned(t, bytes, 10, count_release, &released[0]), 0);
    CHECK_INT(released[0], 1);
    CHECK_INT(eddy_transport_write_owned(t, bytes, sizeof bytes, count_release, &released[1]), 0);
    CHECK_INT(eddy_transport_write_owned(t, bytes, 100, count_release, &released[2]), 0);
    CHECK_INT(released[1] + released[2], 0);
    size_t at = 0;
    UNTIL(&s, pipes_take(fd, 0, &at) >= 0 && at == sizeof bytes + 110);
    CHECK_INT(released[1], 1);
    CHECK_INT(released[2], 1);
    CHECK_INT(eddy_transport_write_owned(t, bytes, sizeof bytes, count_release, &released[3]), 0);
    eddy_transport_abort(t, NULL);
    CHECK_INT(eddy_transport_write_owned(t, bytes, 1, count_release, &released[4]), EDDY_ECLOSED);
    UNTIL(&s, s.client.count[ON_LOST] == 1 && released[3] == 1);
    CHECK_INT(released[4], 1);
    close(fd);
    stage_close(&s);
    for (int i = 0; i < 5; i++)
        CHECK_INT(released[i], 1);
}

static void G5_more_than_write_max_ends_the_pipe(void)
{
    struct stage s;
    stage_init(&s);
    pipes_begin(&s);
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect_opts(&s.client, eddy_connect_write_pipe,
                               EDDY_PIPE(.fd = fds[1], .write_max = 1000), true) == 0);
    UNTIL(&s, s.client.done);
    while (eddy_transport_get_write_buffer_size(s.client.t) <= 1000)
        CHECK_INT(actor_write(&s.client, 2000), 0);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), -ENOBUFS);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ENOBUFS);
    close(fds[0]);
    stage_close(&s);
}

/* ---- flow control ---- */

static void T21_T25_the_limits_of_a_pipe(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    pipes_begin(&s);
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    REQUIRE(pipes_connect_opts(&s.client, eddy_connect_write_pipe,
                               EDDY_PIPE(.fd = fds[1], .write_high = 4000), true) == 0);
    UNTIL(&s, s.client.done && s.peer.done);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 1000);
    CHECK_INT(high, 4000);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 5, 4), -EINVAL);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, EDDY_DEFAULT, EDDY_DEFAULT), 0);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 16 * 1024);
    CHECK_INT(high, 64 * 1024);
    stage_close(&s);
}

static void T23_R32_pause_above_high_and_resume_at_low(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    size_t at = 0;
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 1000, 2000), 0);
    while (eddy_transport_get_write_buffer_size(s.client.t) == 0)
        CHECK_INT(actor_write(&s.client, 1), 0); /* until the kernel is full: 1 byte waits */
    CHECK_INT(actor_write(&s.client, 1999), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 2000);
    CHECK_INT(s.client.count[ON_PAUSE], 0); /* equal is not enough */
    CHECK_INT(actor_write(&s.client, 1), 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1); /* inside the call: the queue was refused already */
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 10000, 20000), 0);
    test_run_steps(s.loop, 3);
    CHECK_INT(s.client.count[ON_RESUME], 0); /* T24: not until the next step */
    UNTIL(&s, pipes_take(fd, 0, &at) >= 0 && s.client.count[ON_RESUME] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    close(fd);
    stage_close(&s);
}

static void write_more(struct actor *a)
{
    if (a->count[ON_RESUME] < 5)
        actor_fill(a);
    else
        eddy_transport_close(a->t);
}

static void R6_R34_writing_in_resume_writing_pauses_again(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.client.on[ON_RESUME] = write_more;
    pipes_open(&s);
    actor_fill(&s.client);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW PW RW PW RW PW RW PW RW CL(0)");
    CHECK_INT(s.peer.received, s.client.sent);
    stage_close(&s);
}

/* ---- pausing ---- */

static void T26_T27_T28_nothing_is_read_while_paused(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_reader(&s);
    CHECK(eddy_transport_is_reading(s.peer.t));
    eddy_transport_pause_reading(s.peer.t);
    eddy_transport_pause_reading(s.peer.t);
    CHECK(!eddy_transport_is_reading(s.peer.t));
    pipes_put(fd, "hello", 5);
    CHECK(stage_is_quiet(&s));
    CHECK_INT(s.peer.received, 0);
    CHECK_INT(raw_unread(&s, eddy_transport_fd(s.peer.t)), 5);
    eddy_transport_resume_reading(s.peer.t);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == 5);
    close(fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(5) ER CL(0)");
    stage_close(&s);
}

static void R12_T27_a_pause_in_connection_made_and_at_the_end_of_file(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    int fd = pipes_open_reader(&s);
    pipes_put(fd, "x", 1);
    close(fd);
    CHECK(stage_is_quiet(&s)); /* not even the hang-up wakes anybody */
    CHECK_TRACE(s.peer.trace, "CM RET");
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(1) ER CL(0)");
    stage_close(&s);
}

static void T27_a_pause_in_data_received_holds(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = do_pause;
    int fd = pipes_open_reader(&s);
    pipes_put(fd, "one", 3);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    pipes_put(fd, "two", 3);
    close(fd);
    test_run_steps(s.loop, 5);
    CHECK_TRACE(s.peer.trace, "CM RET DR(3)");
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_DATA] == 2);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(3) DR(3) ER CL(0)");
    stage_close(&s);
}

/* ---- bytes given back, buffers, switches ---- */

static void give_back_all_but_one(struct actor *a)
{
    if (a->count[ON_DATA] <= 3) {
        CHECK_INT(eddy_transport_unread(a->t, a->data + 1, a->len - 1), 0);
        a->received -= a->len - 1;
    }
}

static void R40_bytes_given_back_come_again_before_the_end_of_file(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.in_key = 7;
    s.peer.on[ON_DATA] = give_back_all_but_one;
    int fd = pipes_open_reader(&s);
    uint8_t bytes[5];
    stream_bytes(bytes, sizeof bytes, 0, 7);
    pipes_put(fd, bytes, sizeof bytes);
    close(fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(5) DR(4) DR(3) DR(2) ER CL(0)");
    stage_close(&s);
}

static void R2_R18_R20_a_buffered_protocol(void)
{
    struct stage s;
    uint8_t window[10];
    stage_init(&s);
    s.client_class = &actor_buffered_class;
    s.peer.in_key = 7;
    s.peer.window = window;
    s.peer.window_size = sizeof window;
    int fd = pipes_open_reader(&s);
    uint8_t bytes[25];
    stream_bytes(bytes, sizeof bytes, 0, 7);
    pipes_put(fd, bytes, sizeof bytes);
    close(fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET GB BU(10) GB BU(10) GB BU(5) GB ER CL(0)");
    stage_close(&s);
}

static void R18_an_empty_buffer_is_fatal(void)
{
    struct stage s;
    stage_init(&s);
    s.client_class = &actor_buffered_class;
    s.peer.empty_window = true;
    s.expected_problems = 1;
    int fd = pipes_open_reader(&s);
    pipes_put(fd, "x", 1);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -EINVAL);
    close(fd);
    stage_close(&s);
}

static struct actor next;

static void switch_to_next(struct actor *a)
{
    CHECK_INT(actor_switch(a, &next, &actor_buffered_class), 0);
}

static void R36_R37_R38_set_protocol_in_data_received(void)
{
    struct stage s;
    stage_init(&s);
    stage_add(&s, &next, false);
    s.peer.on[ON_DATA] = switch_to_next;
    int fd = pipes_open_reader(&s);
    pipes_put(fd, "a", 1);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    pipes_put(fd, "bc", 2);
    close(fd);
    UNTIL(&s, next.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(1)");
    CHECK_TRACE(next.trace, "GB BU(2) GB ER CL(0)");
    stage_close(&s);
}

static void R39_a_protocol_installed_while_paused_gets_resume_writing(void)
{
    struct stage s;
    stage_init(&s);
    stage_add(&s, &next, false);
    int fd = pipes_open_writer(&s);
    size_t at = 0;
    actor_fill(&s.client);
    CHECK_INT(actor_switch(&s.client, &next, &actor_class), 0);
    CHECK(eddy_transport_is_writing_paused(next.t));
    UNTIL(&s, pipes_take(fd, 0, &at) >= 0 && eddy_transport_get_write_buffer_size(next.t) == 0);
    close(fd);
    UNTIL(&s, next.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW");
    CHECK_TRACE(next.trace, "RW CL(0)");
    stage_close(&s);
}

static void G15_hold_delays_fini(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    eddy_protocol_hold(s.peer.p);
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.peer.count[ON_FINI], 0);
    eddy_protocol_release(s.peer.p);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_close(&s);
}

/* ---- time-outs ---- */

static void T57_nothing_received_for_too_long(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_reader(&s);
    CHECK_INT(eddy_transport_set_idle_timeout(s.peer.t, EDDY_MSEC(30)), 0);
    pipes_put(fd, "x", 1);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(1) CL(ETIMEDOUT)");
    close(fd);
    stage_close(&s);
}

static void T57_a_reader_that_takes_nothing(void)
{
    for (int closing = 0; closing < 2; closing++) {
        struct stage s;
        stage_init(&s);
        int fd = pipes_open_writer(&s);
        CHECK_INT(eddy_transport_set_write_timeout(s.client.t, EDDY_MSEC(30)), 0);
        actor_fill(&s.client);
        if (closing)
            eddy_transport_close(s.client.t);
        UNTIL(&s, s.client.count[ON_LOST] == 1);
        CHECK_TRACE(s.client.trace, "CM RET PW CL(ETIMEDOUT)");
        close(fd);
        stage_close(&s);
    }
}

static void T57_time_outs_as_options(void)
{
    struct stage s;
    stage_init(&s);
    pipes_begin(&s);
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect_opts(&s.peer, eddy_connect_read_pipe,
                               EDDY_PIPE(.fd = fds[0], .idle_timeout = EDDY_MSEC(20)), true) == 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET CL(ETIMEDOUT)");
    close(fds[1]);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(T10_writes_of_one_callback_leave_together),
    CASE(T10_flush_sends_what_was_collected),
    CASE(T11_T17_nothing_and_pieces),
    CASE(T12_partial_writes_keep_the_tail),
    CASE(T14_T15_writes_after_close_are_dropped),
    CASE(T4_T13_write_eof_is_close),
    CASE(G7_owned_bytes_are_released_once),
    CASE(G5_more_than_write_max_ends_the_pipe),
    CASE(T21_T25_the_limits_of_a_pipe),
    CASE(T23_R32_pause_above_high_and_resume_at_low),
    CASE(R6_R34_writing_in_resume_writing_pauses_again),
    CASE(T26_T27_T28_nothing_is_read_while_paused),
    CASE(R12_T27_a_pause_in_connection_made_and_at_the_end_of_file),
    CASE(T27_a_pause_in_data_received_holds),
    CASE(R40_bytes_given_back_come_again_before_the_end_of_file),
    CASE(R2_R18_R20_a_buffered_protocol),
    CASE(R18_an_empty_buffer_is_fatal),
    CASE(R36_R37_R38_set_protocol_in_data_received),
    CASE(R39_a_protocol_installed_while_paused_gets_resume_writing),
    CASE(G15_hold_delays_fini),
    CASE(T57_nothing_received_for_too_long),
    CASE(T57_a_reader_that_takes_nothing),
    CASE(T57_time_outs_as_options),
    {NULL, NULL},
};
