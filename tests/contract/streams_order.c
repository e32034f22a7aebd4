/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* The order of a stream's callbacks: contract R.1, R.2, R.4 and the worked traces E1 to E12. */
#include "tests/support/stream.h"
#include <stdio.h>
#include <string.h>

static void until_both_lost(struct stage *s)
{
    UNTIL(s, s->client.count[ON_LOST] + s->client.count[ON_FAILED] == 1 &&
                 s->peer.count[ON_LOST] == 1 && s->client.done);
}

static void write_one_and_close(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, "1", 1), 0);
    eddy_transport_close(a->t);
}

static void E1_R1_write_one_and_close(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    write_one_and_close(&s.client);
    until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    CHECK_TRACE(s.peer.trace, "CM DR(1) ER CL(0)");
    stage_close(&s);
}

static void E2_R8_R13_close_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_close;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    until_both_lost(&s);
    CHECK_INT(s.client.status, 0);
    CHECK_INT(trace_count(&s.client.trace, "DR"), 0);
    CHECK_INT(trace_count(&s.client.trace, "CL(0)"), 1);
    CHECK_TRACE(s.peer.trace, "CM ER CL(0)");
    stage_close(&s);
}

/* Over TLS an abort in connection_made takes the handshake's last bytes with it, so that the peer
 * is not made; nested, the test's own upgrade is done before that. */
static void until_aborted(struct stage *s)
{
    if (!road_is_tls() || road_is_nested()) {
        until_both_lost(s);
        CHECK_TRACE(s->peer.trace, road_end_of_abort("CM ER CL(0)", "CM CL(ETLS)"));
        return;
    }
    UNTIL(s, s->client.count[ON_LOST] == 1 && s->client.done);
    UNTIL(s, eddy_server_connections(s->server) == 0);
    CHECK_TRACE(s->peer.trace, "");
}

static void E2_R8_R13_abort_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_abort;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    until_aborted(&s);
    CHECK_INT(s.client.status, 0);
    CHECK_INT(trace_count(&s.client.trace, "CL(0)"), 1);
    stage_close(&s);
}

static void R13_close_in_connection_made_of_an_accepted_connection(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_close;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    CHECK_TRACE(s.client.trace, "CM RET ER CL(0)");
    stage_close(&s);
}

static void R14_abort_with_a_reason_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_abort_eproto;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    until_aborted(&s);
    CHECK_INT(s.client.status, 0);
    CHECK_INT(s.client.code, -EPROTO);
    CHECK_STR(s.client.error.text, "the case says so");
    CHECK_INT(s.client.count[ON_DATA], 0);
    stage_close(&s);
}

static void R13_nothing_is_delivered_after_close_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_close;
    stage_begin(&s);
    int fd = raw_connect(&s);
    CHECK_INT(raw_send(&s, fd, "hello", 5), 0);
    raw_close(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void E4_R17_G19_abort_in_data_received(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = do_abort_eproto;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "1", 1), 0);
    until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(1) CL(EPROTO)");
    CHECK_TRACE(s.client.trace, road_end_of_abort("CM RET ER CL(0)", "CM RET CL(ETLS)"));
    stage_close(&s);
}

static void write_two_and_close(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, "22", 2), 0);
    eddy_transport_close(a->t);
}

static void E5_T38_answer_after_the_peer_ended_its_side(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.keep_open = true;
    s.peer.on[ON_EOF] = write_two_and_close;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "0123456789", 10), 0);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(10) ER CL(0)");
    CHECK_TRACE(s.client.trace, "CM RET DR(2) ER CL(0)");
    stage_close(&s);
}

static void E6_R32_close_with_unsent_bytes_sends_them_all(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    size_t len = actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    stage_settle(&s);
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_transport_resume_reading(s.peer.t);
    until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW CL(0)");
    CHECK_TRACE(s.peer.trace, "CM DR* ER CL(0)");
    CHECK_INT(s.peer.received, len);
    stage_close(&s);
}

static void E7_R26_T35_peer_aborts_while_bytes_are_unsent(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_abort(s.peer.t, NULL);
    until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(ECONNRESET)");
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void close_abort_close_write(struct stage *s)
{
    struct eddy_transport *t = s->client.t;
    eddy_transport_close(t);
    eddy_transport_abort(t, EDDY_ERROR(-EPROTO, "too late"));
    eddy_transport_close(t);
    for (int i = 0; i < 8; i++)
        CHECK_INT(eddy_transport_write(t, "x", 1), EDDY_ECLOSED);
}

static void E8_T15_R28_close_abort_close_and_eight_writes(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    test_expect_log("write");
    stage_inside(&s, close_abort_close_write);
    until_both_lost(&s);
    CHECK_TRACE(s.client.trace, road_waits_for_peer() ? "CM RET CL(EPROTO)" : "CM RET CL(0)");
    CHECK_TRACE(s.peer.trace, road_end_of_abort("CM ER CL(0)", "CM CL(ETLS)"));
    stage_close(&s);
}

static void switch_to_user(struct actor *a)
{
    CHECK_INT(actor_switch(a, a->user, &actor_class), 0);
}

static void E9_R36_switch_in_data_received(void)
{
    struct stage s;
    struct actor next;
    stage_init(&s);
    stage_add(&s, &next, false);
    s.peer.on[ON_DATA] = switch_to_user;
    s.peer.user = &next;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "1", 1), 0);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    CHECK_INT(eddy_transport_write(s.client.t, "22", 2), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, next.count[ON_LOST] == 1 && s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(1)");
    CHECK_TRACE(next.trace, "DR(2) ER CL(0)");
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void E10_R32_T24_pause_writing_inside_write(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, EDDY_DEFAULT, 0), 0);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 0);
    CHECK_INT(high, 0);
    CHECK_INT(s.client.count[ON_PAUSE], 0);
    actor_fill(&s.client);
    CHECK_TRACE(s.client.trace, "CM RET PW"); /* and no iteration has run since */
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, EDDY_DEFAULT, 64u << 20), 0);
    CHECK_TRACE(s.client.trace, "CM RET PW");
    eddy_transport_abort(s.client.t, NULL);
    eddy_transport_resume_reading(s.peer.t);
    until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(0)");
    stage_close(&s);
}

static void E11_R22_pause_and_resume_after_eof_received(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.keep_open = true;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "0123456789", 10), 0);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    for (int i = 0; i < 3; i++) {
        eddy_transport_pause_reading(s.peer.t);
        stage_settle(&s);
        eddy_transport_resume_reading(s.peer.t);
        stage_settle(&s);
    }
    CHECK(!eddy_transport_is_reading(s.peer.t));
    eddy_transport_close(s.peer.t);
    until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(10) ER CL(0)");
    CHECK_TRACE(s.client.trace, "CM RET ER CL(0)");
    stage_close(&s);
}

/* All that three actors do, in one trace. */
static struct test_trace together;

static void note(struct actor *a, const char *what)
{
    struct stage *s = a->stage;
    for (unsigned i = 0; i < s->guest_count; i++) {
        if (s->guests[i] == a)
            test_trace(&together, "%s%u", what, i + 1);
    }
}

static void note_made(struct actor *a)
{
    note(a, "CM");
}

static void note_data(struct actor *a)
{
    note(a, "DR");
}

/* Connected and with their bytes in the kernel before the loop first looks. */
static void E12_S26_three_clients_at_once(void)
{
    struct stage s;
    struct actor second, third;
    int fd[3];
    stage_init(&s);
    stage_add(&s, &second, true);
    stage_add(&s, &third, true);
    trace_clear(&together);
    for (unsigned i = 0; i < 3; i++) {
        s.guests[i]->on[ON_MADE] = note_made;
        s.guests[i]->on[ON_DATA] = note_data;
    }
    s.server_opts.not_serving = true;
    stage_begin(&s);
    CHECK_INT(eddy_server_start_serving(s.server), 0);
    for (int i = 0; i < 3; i++)
        fd[i] = raw_connecting(&s);
    for (int i = 0; i < 3; i++)
        CHECK_INT(raw_send(&s, fd[i], "ab", 2), 0);
    UNTIL(&s, s.peer.received == 2 && second.received == 2 && third.received == 2);
    CHECK_INT(trace_count(&together, "CM"), 3);
    CHECK(strncmp(trace_text(&together), "CM1 ", 4) == 0);
    CHECK(strstr(trace_text(&together), "CM2") < strstr(trace_text(&together), "CM3"));
    CHECK_TRACE(s.peer.trace, "CM DR(2)");
    CHECK_TRACE(second.trace, "CM DR(2)");
    CHECK_TRACE(third.trace, "CM DR(2)");
    for (int i = 0; i < 3; i++)
        raw_close(&s, fd[i]);
    stage_close(&s);
}

static void R2_buffered_order(void)
{
    struct stage s;
    stage_init(&s);
    s.server_class = &actor_buffered_class;
    stage_keyed(&s);
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 100000), 0);
    eddy_transport_close(s.client.t);
    until_both_lost(&s);
    CHECK_INT(s.peer.received, 100000);
    CHECK_INT(s.peer.count[ON_DATA], 0);
    CHECK_INT(s.peer.count[ON_EOF], 1);
    CHECK(s.peer.count[ON_BUFFER_UPDATED] >= 100000 / 4096);
    CHECK(s.peer.count[ON_GET_BUFFER] >= s.peer.count[ON_BUFFER_UPDATED]);
    stage_close(&s);
}

static void R7_S1_refused_connection_gives_connect_failed(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    stage_refuse(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_INT(s.client.count[ON_FAILED], 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.count[ON_FAILED], 1);
    CHECK_INT(s.client.count[ON_MADE], 0);
    CHECK_INT(s.client.count[ON_LOST], 0);
    CHECK_INT(s.client.code, -ECONNREFUSED);
    CHECK_INT(s.client.status, -ECONNREFUSED);
    CHECK(strstr(s.client.error.text, road_is_unix() ? "unix:/" : "127.0.0.1:") != NULL);
    CHECK(s.client.error.op != NULL);
    stage_close(&s);
}

static void R7_refusal_without_a_future(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    stage_refuse(&s);
    eddy_protocol_init(&s.client.own.base, &actor_class);
    s.client.state = ACTOR_CONNECTING;
    s.client.p = &s.client.own.base;
    s.client.attachments = 1;
    CHECK_INT(stage_create_connection(&s, s.client.p, &s.connection_opts, NULL), 0);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(ECONNREFUSED)");
    stage_close(&s);
}

static void R7_failing_call_makes_no_callback(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.host = "";
    s.client.detached = true; /* any callback fails */
    CHECK_INT(actor_connect(&s.client), -EINVAL);
    CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    CHECK(s.client.future == NULL);
    stage_settle(&s);
    s.client.detached = false;
    stage_close(&s);
}

static void R9_nothing_comes_after_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, EDDY_MSEC(5)), 0);
    CHECK_INT(eddy_transport_set_write_timeout(s.client.t, EDDY_MSEC(5)), 0);
    CHECK_INT(eddy_transport_set_linger(s.client.t, EDDY_MSEC(5)), 0);
    write_one_and_close(&s.client);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.peer.count[ON_FINI] == 1);
    char before[64];
    snprintf(before, sizeof before, "%s", trace_text(&s.client.trace));
    stage_run_for(&s, EDDY_MSEC(30));
    CHECK_STR(trace_text(&s.client.trace), before);
    stage_close(&s);
}

static void R10_connection_made_comes_from_the_loop_before_the_future(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_TRACE(s.client.trace, "");
    CHECK_TRACE(s.peer.trace, "");
    CHECK(s.client.own.base.transport == NULL);
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static void write_a(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, "a", 1), 0);
}

static void R11_write_in_connection_made_goes_first(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = write_a;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "b", 1), 0);
    UNTIL(&s, s.peer.received == 2);
    CHECK(memcmp(s.peer.head, "ab", 2) == 0);
    stage_close(&s);
}

static void write_a_and_eof(struct actor *a)
{
    write_a(a);
    do_write_eof(a);
}

static void R11_write_eof_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = write_a_and_eof;
    s.peer.keep_open = true;
    stage_open(&s);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(1) ER");
    CHECK_INT(eddy_transport_write(s.peer.t, "b", 1), 0);
    UNTIL(&s, s.client.received == 1);
    stage_close(&s);
}

static void set_limits(struct actor *a)
{
    CHECK_INT(eddy_transport_set_write_buffer_limits(a->t, 10, 20), 0);
}

static void R11_limits_set_in_connection_made(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    s.client.on[ON_MADE] = set_limits;
    stage_open(&s);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 10);
    CHECK_INT(high, 20);
    stage_close(&s);
}

static void R11_switch_in_connection_made(void)
{
    struct stage s;
    struct actor next;
    stage_init(&s);
    stage_add(&s, &next, false);
    s.peer.on[ON_MADE] = switch_to_user;
    s.peer.user = &next;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "1", 1), 0);
    UNTIL(&s, next.received == 1);
    CHECK_TRACE(s.peer.trace, "CM");
    CHECK_TRACE(next.trace, "DR(1)");
    stage_close(&s);
}

static void R12_T27_pause_reading_in_connection_made_delivers_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    CHECK(!eddy_transport_is_reading(s.peer.t));
    CHECK_INT(eddy_transport_write(s.client.t, "12345", 5), 0);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM");
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == 5);
    stage_close(&s);
}

/* Two rounds of filling the pipe and emptying it. */
static void R6_pause_and_resume_writing_alternate(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    stage_open(&s);
    size_t len = 0;
    for (int i = 1; i <= 2; i++) {
        eddy_transport_pause_reading(s.peer.t);
        len += actor_fill(&s.client);
        CHECK_INT(s.client.count[ON_PAUSE], i);
        CHECK_INT(s.client.count[ON_RESUME], i - 1);
        eddy_transport_resume_reading(s.peer.t);
        UNTIL(&s, s.client.count[ON_RESUME] == i);
    }
    UNTIL(&s, s.peer.received == len);
    CHECK_TRACE(s.client.trace, "CM RET PW RW PW RW");
    stage_close(&s);
}

static void R6_connection_lost_may_come_while_paused(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(0)");
    stage_close(&s);
}

static void try_everything(struct actor *a)
{
    struct eddy_addr name;
    CHECK_INT(eddy_transport_write(a->t, "x", 1), EDDY_ECLOSED);
    eddy_transport_close(a->t);
    eddy_transport_abort(a->t, EDDY_ERROR(-EPROTO, "too late"));
    eddy_transport_pause_reading(a->t);
    eddy_transport_resume_reading(a->t);
    eddy_transport_flush(a->t);
    CHECK_INT(eddy_transport_write_eof(a->t), 0);
    CHECK(eddy_transport_is_closing(a->t));
    CHECK(!eddy_transport_is_reading(a->t));
    CHECK_INT(eddy_transport_get_write_buffer_size(a->t), 0);
    CHECK_INT(eddy_transport_peername(a->t, &name), 0);
    CHECK_INT(eddy_transport_sockname(a->t, &name), 0);
}

static void R29_T14_calls_inside_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_LOST] = try_everything;
    stage_open(&s);
    eddy_transport_close(s.client.t);
    until_both_lost(&s);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static int open_in_lost;

static void count_descriptors(struct actor *a)
{
    open_in_lost = stage_descriptors(a->stage);
}

static void R30_descriptor_is_closed_after_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_LOST] = count_descriptors;
    s.peer.on[ON_MADE] = do_pause; /* so that its descriptor stays */
    stage_open(&s);
    CHECK(eddy_transport_fd(s.client.t) >= 0);
    int before = stage_descriptors(&s);
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_INT(open_in_lost, before);
    UNTIL(&s, stage_descriptors(&s) == before - 1);
    stage_close(&s);
}

static unsigned connections_in_lost;
static bool closed_in_lost;
static struct eddy_future *all_gone;

static void look_at_server(struct actor *a)
{
    connections_in_lost = eddy_server_connections(a->stage->server);
    closed_in_lost = eddy_future_is_done(all_gone);
}

static void R31_S34_server_counts_until_after_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_LOST] = look_at_server;
    stage_open(&s);
    CHECK_INT(eddy_server_connections(s.server), 1);
    eddy_server_close(s.server);
    CHECK_INT(eddy_server_wait_closed(s.server, &all_gone), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, eddy_future_is_done(all_gone));
    CHECK_INT(s.peer.count[ON_LOST], 1);
    CHECK_INT(connections_in_lost, 1);
    CHECK(!closed_in_lost);
    CHECK_INT(eddy_server_connections(s.server), 0);
    eddy_future_unref(all_gone);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(E1_R1_write_one_and_close),
    CASE(E2_R8_R13_close_in_connection_made),
    CASE(E2_R8_R13_abort_in_connection_made),
    CASE(R13_close_in_connection_made_of_an_accepted_connection),
    CASE(R14_abort_with_a_reason_in_connection_made),
    CASE(R13_nothing_is_delivered_after_close_in_connection_made),
    CASE(E4_R17_G19_abort_in_data_received),
    CASE(E5_T38_answer_after_the_peer_ended_its_side),
    CASE(E6_R32_close_with_unsent_bytes_sends_them_all),
    CASE(E7_R26_T35_peer_aborts_while_bytes_are_unsent),
    CASE(E8_T15_R28_close_abort_close_and_eight_writes),
    CASE(E9_R36_switch_in_data_received),
    CASE(E10_R32_T24_pause_writing_inside_write),
    CASE(E11_R22_pause_and_resume_after_eof_received),
    CASE(E12_S26_three_clients_at_once),
    CASE(R2_buffered_order),
    CASE(R7_S1_refused_connection_gives_connect_failed),
    CASE(R7_refusal_without_a_future),
    CASE(R7_failing_call_makes_no_callback),
    CASE(R9_nothing_comes_after_connection_lost),
    CASE(R10_connection_made_comes_from_the_loop_before_the_future),
    CASE(R11_write_in_connection_made_goes_first),
    CASE(R11_write_eof_in_connection_made),
    CASE(R11_limits_set_in_connection_made),
    CASE(R11_switch_in_connection_made),
    CASE(R12_T27_pause_reading_in_connection_made_delivers_nothing),
    CASE(R6_pause_and_resume_writing_alternate),
    CASE(R6_connection_lost_may_come_while_paused),
    CASE(R29_T14_calls_inside_connection_lost),
    CASE(R30_descriptor_is_closed_after_connection_lost),
    CASE(R31_S34_server_counts_until_after_connection_lost),
    {NULL, NULL},
};
