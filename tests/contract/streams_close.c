/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* timeout: 120 */
/* Ending: contract R.4, T4 to T6, T31, T34, L16. */
#include "tests/support/stream.h"
#include <stdlib.h>
#include <string.h>

static void until_both_lost(struct stage *s)
{
    UNTIL(s, s->client.count[ON_LOST] == 1 && s->peer.count[ON_LOST] == 1);
}

static int lost_in_call;

static void end_twice(struct stage *s)
{
    eddy_transport_close(s->client.t);
    eddy_transport_abort(s->client.t, NULL);
    lost_in_call = s->client.count[ON_LOST];
}

static void R25_G22_connection_lost_is_never_inside_a_call(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    lost_in_call = 99;
    stage_inside(&s, end_twice);
    CHECK_INT(lost_in_call, 0);
    eddy_transport_abort(s.peer.t, NULL);
    CHECK_INT(s.peer.count[ON_LOST], 0);
    until_both_lost(&s);
    stage_close(&s);
}

static void R26_close_and_orderly_end_are_clean(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_transport_close(s.client.t);
    until_both_lost(&s);
    CHECK_INT(s.client.code, 0);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void R26_abort_gives_its_reason(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    do_abort_eproto(&s.client);
    until_both_lost(&s);
    CHECK_INT(s.client.code, -EPROTO);
    CHECK_STR(s.client.error.text, "the case says so");
    stage_close(&s);
}

static void R26_a_reason_that_is_no_error_is_a_clean_end(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_transport_abort(s.client.t, EDDY_ERROR(0, "no error"));
    eddy_transport_abort(s.peer.t, EDDY_ERROR(5, "neither"));
    until_both_lost(&s);
    CHECK_INT(s.client.code, 0);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void R27_close_with_bytes_that_cannot_be_sent(void)
{
    struct stage s;
    stage_init(&s);
    int fd = stage_open_raw(&s);
    actor_fill(&s.peer);
    eddy_transport_close(s.peer.t);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_LOST], 0);
    raw_reset(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK(s.peer.code == -ECONNRESET || s.peer.code == -EPIPE);
    stage_close(&s);
}

static void abort_while_flushing(const struct eddy_error *why, int code)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    stage_settle(&s);
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_transport_abort(s.client.t, why);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, code);
    stage_close(&s);
}

static void R28_abort_while_flushing(void)
{
    abort_while_flushing(NULL, 0);
}

static void R28_abort_with_a_reason_while_flushing(void)
{
    abort_while_flushing(EDDY_ERROR(-EPROTO, "no patience"), -EPROTO);
}

static void R28_T34_the_first_reason_wins(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_transport_abort(s.client.t, EDDY_ERROR(-EPROTO, "first"));
    eddy_transport_abort(s.client.t, EDDY_ERROR(-EIO, "second"));
    eddy_transport_abort(s.peer.t, NULL);
    eddy_transport_abort(s.peer.t, EDDY_ERROR(-EIO, "second"));
    until_both_lost(&s);
    CHECK_INT(s.client.code, -EPROTO);
    CHECK_STR(s.client.error.text, "first");
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void R28_abort_after_connection_lost_was_scheduled(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_transport_close(s.client.t); /* nothing was ever sent or received */
    eddy_transport_abort(s.client.t, EDDY_ERROR(-EIO, "second"));
    until_both_lost(&s);
    CHECK_INT(s.client.code, road_waits_for_peer() ? -EIO : 0);
    stage_close(&s);
}

static void T34_abort_after_a_fatal_error_changes_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.connection_opts.write_max = 1;
    stage_open(&s);
    eddy_transport_pause_reading(s.peer.t);
    while (!eddy_transport_is_closing(s.client.t))
        eddy_transport_write(s.client.t, s.client.buffer, sizeof s.client.buffer);
    eddy_transport_abort(s.client.t, EDDY_ERROR(-EPROTO, "second"));
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -ENOBUFS);
    stage_close(&s);
}

static void T4_is_closing(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    CHECK(!eddy_transport_is_closing(s.client.t));
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    CHECK(!eddy_transport_is_closing(s.client.t));
    eddy_transport_close(s.client.t);
    CHECK(eddy_transport_is_closing(s.client.t));
    CHECK(!eddy_transport_is_closing(s.peer.t));
    eddy_transport_abort(s.peer.t, NULL);
    CHECK(eddy_transport_is_closing(s.peer.t));
    stage_close(&s);
}

static bool closing_in_eof, closing_after_eof;

static void look_in_eof(struct actor *a)
{
    closing_in_eof = eddy_transport_is_closing(a->t);
}

static void T4_is_closing_by_the_end_of_stream(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_EOF] = look_in_eof;
    s.peer.on[ON_LOST] = look_in_eof;
    stage_open(&s);
    closing_in_eof = true;
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    closing_after_eof = s.peer.count[ON_LOST] || eddy_transport_is_closing(s.peer.t);
    CHECK(closing_after_eof);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK(closing_in_eof);
    stage_close(&s);
}

static void T5_close_ends_delivery_and_a_second_one_does_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    stage_open(&s);
    actor_fill(&s.peer); /* so that the peer has not ended when the client has */
    CHECK_INT(actor_write(&s.client, 10), 0);
    UNTIL(&s, s.peer.received == 10);
    eddy_transport_resume_reading(s.client.t);
    eddy_transport_close(s.client.t);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

/* Neither reads any more, and both have more to say than the two kernels hold. */
static void T5_two_peers_that_both_close_with_unsent_bytes(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    stage_open(&s);
    actor_fill(&s.client);
    actor_fill(&s.peer);
    CHECK(eddy_transport_get_write_buffer_size(s.client.t) > 0);
    CHECK(eddy_transport_get_write_buffer_size(s.peer.t) > 0);
    eddy_transport_close(s.client.t);
    eddy_transport_close(s.peer.t);
    eddy_nsec begin = eddy_loop_time(s.loop);
    until_both_lost(&s);
    CHECK(eddy_loop_time(s.loop) - begin < EDDY_SEC(20)); /* not by the write-stall time-out */
    CHECK_TRACE(s.client.trace, "CM RET PW RW CL(0)");
    CHECK_TRACE(s.peer.trace, "CM PW RW CL(0)");
    stage_close(&s);
}

/* ---- a reply that must not be destroyed by a reset ---- */

static void reply_and_close(struct actor *a)
{
    CHECK_INT(actor_write(a, 100000), 0);
    eddy_transport_close(a->t);
}

/* The client goes on sending, reads late, and still gets the reply to its last byte. */
static void T5_reply_arrives_although_the_client_keeps_sending(void)
{
    struct stage s;
    static uint8_t request[30000];
    size_t got;
    stage_init(&s);
    s.peer.out_key = 1;
    s.peer.on[ON_DATA] = reply_and_close;
    stage_begin(&s);
    int fd = raw_connect(&s);
    for (int i = 0; i < 30; i++) {
        s.sys->cls->send(s.sys, fd, request, sizeof request);
        CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
    }
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    int end = raw_drain(&s, fd, 1, &got);
    /* What comes to a unix socket when nothing waits any more is met by its end. */
    CHECK(end == 0 || (end == -ECONNRESET && road_is_unix()));
    CHECK_INT(got, 100000);
    raw_close(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR+ CL(0)");
    stage_close(&s);
}

/* Bytes that came before close, unread by a paused protocol. */
static void T5_reply_arrives_although_input_was_never_read(void)
{
    struct stage s;
    size_t got;
    stage_init(&s);
    s.peer.out_key = 1;
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "requests", 8), 0);
    UNTIL(&s, raw_unread(&s, eddy_transport_fd(s.peer.t)) == 8);
    CHECK_INT(actor_write(&s.peer, 1000), 0);
    eddy_transport_close(s.peer.t);
    stage_settle(&s);
    CHECK_INT(raw_drain(&s, fd, 1, &got), 0);
    CHECK_INT(got, 1000);
    raw_close(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void T5_reply_arrives_with_a_client_that_reads_slowly(void)
{
    struct stage s;
    uint8_t piece[1000];
    size_t got = 0;
    stage_init(&s);
    s.peer.out_key = 1;
    int fd = stage_open_raw(&s);
    size_t len = actor_fill(&s.peer);
    eddy_transport_close(s.peer.t);
    while (got < len) {
        size_t n = len - got < sizeof piece ? len - got : sizeof piece;
        if (!CHECK_INT(raw_recv(&s, fd, piece, n), n))
            break;
        CHECK(stream_matches(piece, n, got, 1));
        got += n;
    }
    CHECK_INT(raw_recv(&s, fd, piece, 1), 0);
    raw_close(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void T6_abort_drops_the_buffer(void)
{
    struct stage s;
    size_t got;
    stage_init(&s);
    s.peer.out_key = 1;
    int fd = stage_open_raw(&s);
    size_t len = actor_fill(&s.peer);
    eddy_transport_abort(s.peer.t, NULL);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.peer.t), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    raw_drain(&s, fd, 1, &got);
    CHECK(got < len);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T1_T2_names_answer_until_connection_lost_returns(void)
{
    struct stage s;
    struct eddy_addr a, b;
    char text[200];
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_transport_sockname(s.client.t, &a), 0);
    CHECK_INT(eddy_transport_peername(s.peer.t, &b), 0);
    CHECK(eddy_addr_equal(&a, &b));
    CHECK_INT(eddy_transport_peername(s.client.t, &a), 0);
    CHECK_INT(eddy_transport_sockname(s.peer.t, &b), 0);
    CHECK(eddy_addr_equal(&a, &b));
    CHECK_INT(eddy_addr_port(&a), road_is_unix() ? -1 : s.port);
    CHECK_STR(eddy_transport_kind(s.client.t), road_name());
    CHECK(eddy_transport_loop(s.client.t) == s.loop);
    CHECK(strstr(eddy_transport_describe(s.client.t, text, sizeof text),
                 road_is_unix() ? "unnamed -> unix:/" : "127.0.0.1:") != NULL);
    eddy_transport_close(s.client.t);
    CHECK_INT(eddy_transport_peername(s.client.t, &a), 0);
    CHECK(eddy_addr_equal(&a, &b));
    stage_close(&s);
}

static void T31_a_reset_is_not_reported_as_a_problem(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    for (int i = 0; i < 3; i++) {
        int fd = raw_connect(&s);
        s.guest_next = 0;
        UNTIL(&s, s.peer.count[ON_MADE] == i + 1);
        raw_reset(&s, fd);
        UNTIL(&s, s.peer.count[ON_FINI] == i + 1);
    }
    CHECK_INT(s.problems.count, 0);
    stage_close(&s);
}

/* ---- loop close ---- */

static int schedule_result;
static struct eddy_handle never;

static void must_not_run(struct eddy_handle *h)
{
    (void)h;
    FAIL("a handle ran on a closed loop");
}

static void use_the_closed_loop(struct actor *a)
{
    struct eddy_server *server = NULL;
    struct eddy_loop *loop = a->stage->loop;
    struct eddy_protocol other;
    memset(&other, 0, sizeof other);
    eddy_protocol_init(&other, &actor_class);
    schedule_result = stage_create_connection(a->stage, &other, &a->stage->connection_opts, NULL);
    CHECK_INT(eddy_create_server(loop, &actor_class, &a->stage->server_opts, &server),
              EDDY_ELOOP_CLOSED);
    never.fn = must_not_run;
    eddy_loop_call_soon(loop, &never);
    CHECK(!eddy_handle_is_pending(&never));
    CHECK(eddy_loop_is_closed(loop));
    CHECK_INT(eddy_transport_write(a->t, "x", 1), EDDY_ECLOSED);
}

static void L16_G17_loop_close_ends_connections_with_a_warning(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.client.on[ON_LOST] = use_the_closed_loop;
    s.server_opts.site = "where the server was opened";
    s.connection_opts.site = "where the client was opened";
    stage_open(&s);
    s.connection_opts.port = s.port;
    schedule_result = 0;
    test_expect_log("where the server was opened");
    test_expect_log("where the client was opened");
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_INT(schedule_result, EDDY_ELOOP_CLOSED);
    CHECK_TRACE(s.client.trace, "CM RET CL(ELOOP_CLOSED)");
    CHECK_TRACE(s.peer.trace, "CM CL(ELOOP_CLOSED)");
    CHECK_INT(s.client.count[ON_FINI], 1);
    CHECK_INT(s.peer.count[ON_FINI], 1);
    CHECK_INT(s.problems.count, 0);
    eddy_server_unref(s.server);
    test_loop_free(s.loop);
}

static void L16_R7_loop_close_fails_pending_creations(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    eddy_future_remove_done_callback(&s.client.done_node);
    test_expect_log("stage.c");
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_TRACE(s.client.trace, "CF(ELOOP_CLOSED)");
    CHECK_INT(s.client.count[ON_FINI], 1);
    CHECK_INT(eddy_future_result(s.client.future, NULL), EDDY_ELOOP_CLOSED);
    eddy_future_unref(s.client.future);
    CHECK_INT(s.peer.count[ON_MADE], s.peer.count[ON_LOST]);
    eddy_server_unref(s.server);
    test_loop_free(s.loop);
}

static void L16_loop_close_with_half_finished_connections(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    eddy_transport_abort(s.peer.t, EDDY_ERROR(-EPROTO, "first"));
    test_expect_log("stage.c");
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_INT(s.client.count[ON_LOST], 1);
    CHECK_INT(s.peer.count[ON_LOST], 1);
    CHECK_INT(s.client.count[ON_FINI], 1);
    CHECK_INT(s.peer.count[ON_FINI], 1);
    CHECK_INT(s.peer.code, -EPROTO);
    eddy_server_unref(s.server);
    test_loop_free(s.loop);
}

const struct test_case test_cases[] = {
    CASE(R25_G22_connection_lost_is_never_inside_a_call),
    CASE(R26_close_and_orderly_end_are_clean),
    CASE(R26_abort_gives_its_reason),
    CASE(R26_a_reason_that_is_no_error_is_a_clean_end),
    CASE(R27_close_with_bytes_that_cannot_be_sent),
    CASE(R28_abort_while_flushing),
    CASE(R28_abort_with_a_reason_while_flushing),
    CASE(R28_T34_the_first_reason_wins),
    CASE(R28_abort_after_connection_lost_was_scheduled),
    CASE(T34_abort_after_a_fatal_error_changes_nothing),
    CASE(T4_is_closing),
    CASE(T4_is_closing_by_the_end_of_stream),
    CASE(T5_close_ends_delivery_and_a_second_one_does_nothing),
    CASE(T5_two_peers_that_both_close_with_unsent_bytes),
    CASE(T5_reply_arrives_although_the_client_keeps_sending),
    CASE(T5_reply_arrives_although_input_was_never_read),
    CASE(T5_reply_arrives_with_a_client_that_reads_slowly),
    CASE(T6_abort_drops_the_buffer),
    CASE(T1_T2_names_answer_until_connection_lost_returns),
    CASE(T31_a_reset_is_not_reported_as_a_problem),
    CASE(L16_G17_loop_close_ends_connections_with_a_warning),
    CASE(L16_R7_loop_close_fails_pending_creations),
    CASE(L16_loop_close_with_half_finished_connections),
    {NULL, NULL},
};
