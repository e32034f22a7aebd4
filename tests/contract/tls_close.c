/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* The end of TLS connections: contract X6, X27 to X37, T13 to T15, T18, T19, E13 to E17. */
#include "tests/contract/tls_calls.h"
#include <eddy/sim.h>
#include <unistd.h>

static void both_lost(struct stage *s)
{
    UNTIL_LOST(s, &s->client);
    UNTIL_LOST(s, &s->peer);
}

/* ---- the traces ---- */

static void E13_X27_connect_write_close(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    eddy_transport_close(c.s.client.t);
    CHECK(eddy_transport_is_closing(c.s.client.t));
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(0)");
    CHECK_TRACE(c.s.peer.trace, "CM DR(100) ER CL(0)");
    tls_stage_close(&c);
}

static void E14_X35_abort_after_connect(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    do_abort(&c.s.client);
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(0)");
    CHECK(c.s.peer.code == -ECONNRESET || c.s.peer.code == EDDY_ETLS);
    CHECK_INT(c.s.peer.count[ON_EOF], 0);
    tls_stage_close(&c);
}

static void X35_R14_abort_with_a_reason(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    do_abort_eproto(&c.s.client);
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(EPROTO)");
    CHECK_STR(c.s.client.error.text, "the case says so");
    tls_stage_close(&c);
}

static void E15_X33_truncation_is_an_error_and_the_data_comes_before(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.peer.in_key = 1;
    c.s.peer.keep_open = true;
    tls_stage_open_wire(&c, &w, 0);
    wire_stream(&w, 50000, 0, 1);
    raw_shutdown(&c.s, w.fd);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 50000);
    CHECK_INT(c.s.peer.count[ON_EOF], 0);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    CHECK(strstr(c.s.peer.error.text, "truncated") != NULL);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X33_truncation_inside_a_record(void)
{
    struct tls_stage c;
    struct wire w;
    char record[200];
    size_t n;
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    CHECK_INT(SSL_write_ex(w.ssl, "hello, world", 12, &n), 1);
    int len = BIO_read(SSL_get_wbio(w.ssl), record, sizeof record);
    CHECK_INT(raw_send(&c.s, w.fd, record, (size_t)len - 1), 0);
    raw_shutdown(&c.s, w.fd);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 0);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X33_truncation_of_a_clients_connection_TLS_1_2_too(void)
{
    static const int versions[] = {EDDY_TLS_1_2, EDDY_TLS_1_3};
    for (size_t i = 0; i < 2; i++) {
        struct tls_stage c;
        struct wire w;
        tls_stage_init(&c);
        c.s.client.in_key = 1;
        tls_stage_open_server(&c, &w, versions[i]);
        wire_stream(&w, 1000, 0, 1);
        raw_shutdown(&c.s, w.fd);
        UNTIL_LOST(&c.s, &c.s.client);
        CHECK_INT(c.s.client.received, 1000);
        CHECK_INT(c.s.client.code, EDDY_ETLS);
        wire_end(&w);
        tls_stage_close(&c);
    }
}

static void tls_stage_init_truncation(struct tls_stage *c)
{
    tls_stage_init_opts(c, EDDY_TLS_SERVER(.allow_truncation = true),
                        EDDY_TLS_CLIENT(.allow_truncation = true));
}

static void X33_allow_truncation(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init_truncation(&c);
    c.s.peer.in_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    wire_stream(&w, 50000, 0, 1);
    raw_shutdown(&c.s, w.fd);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 50000);
    CHECK_TRACE(c.s.peer.trace, "CM DR+ ER CL(0)");
    wire_end(&w);
    tls_stage_close(&c);
}

static void pause_once(struct actor *a)
{
    a->on[ON_DATA] = a->on[ON_BUFFER_UPDATED] = NULL;
    do_pause(a);
}

/* Data, and what ends them, held while the reader is paused: nothing gets lost. window: 0, or of a
 * buffered protocol. */
static void paused_at_the_end(bool truncation, bool notify, size_t window)
{
    static uint8_t area[4096];
    struct tls_stage c;
    struct wire w;
    if (truncation)
        tls_stage_init_truncation(&c);
    else
        tls_stage_init(&c);
    c.s.peer.in_key = 1;
    c.s.peer.on[ON_DATA] = c.s.peer.on[ON_BUFFER_UPDATED] = NULL;
    if (window) {
        c.s.server_class = &actor_buffered_class;
        c.s.peer.window = area;
        c.s.peer.window_size = window;
        c.s.peer.on[ON_BUFFER_UPDATED] = do_pause;
    } else {
        c.s.peer.on[ON_DATA] = pause_once;
    }
    tls_stage_open_wire(&c, &w, 0);
    wire_stream(&w, 60000, 0, 1);
    if (notify)
        wire_close_notify(&w);
    raw_shutdown(&c.s, w.fd);
    UNTIL(&c.s, c.s.peer.received > 0);
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.count[ON_EOF] + c.s.peer.count[ON_LOST], 0);
    CHECK(c.s.peer.received < 60000);
    for (eddy_nsec end = stage_patience(&c.s); !c.s.peer.count[ON_LOST] && stage_step(&c.s, end);)
        do_resume(&c.s.peer);
    CHECK_INT(c.s.peer.received, 60000);
    CHECK_INT(c.s.peer.code, truncation || notify ? 0 : EDDY_ETLS);
    CHECK_INT(c.s.peer.count[ON_EOF], truncation || notify);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X34_paused_when_the_peer_closes(void)
{
    paused_at_the_end(false, true, 0);
}

static void X34_X33_paused_when_the_stream_is_cut(void)
{
    paused_at_the_end(false, false, 0);
    paused_at_the_end(true, false, 0);
}

static void X34_X19_buffered_and_paused_at_each_piece(void)
{
    paused_at_the_end(false, true, 1000);
    paused_at_the_end(false, false, 1000);
    paused_at_the_end(true, false, 1000);
}

/* All of it is inside OpenSSL when the end comes, and has to come out in pieces. */
static void X33_X34_an_end_behind_what_is_decrypted_already(void)
{
    static uint8_t area[1000];
    struct tls_stage c;
    struct wire w;
    tls_stage_init_truncation(&c);
    c.s.peer.in_key = 1;
    c.s.server_class = &actor_buffered_class;
    c.s.peer.window = area;
    c.s.peer.window_size = sizeof area;
    c.s.peer.on[ON_BUFFER_UPDATED] = pause_once;
    tls_stage_open_wire(&c, &w, 0);
    wire_stream(&w, 10000, 0, 1);
    UNTIL(&c.s, c.s.peer.received > 0);
    raw_shutdown(&c.s, w.fd);
    stage_settle(&c.s);
    do_resume(&c.s.peer);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 10000);
    CHECK_INT(c.s.peer.code, 0);
    wire_end(&w);
    tls_stage_close(&c);
}

static void E16_R13_close_inside_connection_made(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.client.on[ON_MADE] = do_close;
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.done);
    both_lost(&c.s);
    CHECK_INT(c.s.client.status, 0);
    CHECK_INT(c.s.client.code, 0);
    CHECK_TRACE(c.s.peer.trace, "CM ER CL(0)");
    tls_stage_close(&c);
}

static void R13_close_inside_a_servers_connection_made(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = do_close;
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.done);
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET ER CL(0)");
    CHECK_TRACE(c.s.peer.trace, "CM CL(0)");
    tls_stage_close(&c);
}

static void check_eof_received_true_under_TLS_1_2(bool debug)
{
    struct tls_stage c;
    if (debug)
        test_expect_log("eof_received");
    tls_stage_init_version(&c, EDDY_TLS_1_2);
    stage_keyed(&c.s);
    c.s.peer.keep_open = true;
    stage_open(&c.s);
    eddy_loop_set_debug(c.s.loop, debug);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    eddy_transport_close(c.s.client.t);
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(0)");
    CHECK_TRACE(c.s.peer.trace, "CM DR(100) ER CL(0)");
    CHECK_INT(test_count_log("eof_received"), debug);
    tls_stage_close(&c);
}

static void E17_X32_eof_received_true_is_ignored_under_TLS_1_2(void)
{
    check_eof_received_true_under_TLS_1_2(false);
}

static void E17_X32_which_is_said_in_debug_mode(void)
{
    check_eof_received_true_under_TLS_1_2(true);
}

static struct actor other, its_peer;

static void write_to_other_and_abort(struct eddy_handle *h)
{
    (void)h;
    CHECK_INT(actor_write(&other, 10), 0);
    do_abort(&other);
}

/* The handle runs before what abort has to do later, which takes the other one along. */
static void have_other_aborted(struct actor *a)
{
    static struct eddy_handle h = {.fn = write_to_other_and_abort};
    eddy_loop_call_soon(a->stage->loop, &h);
    do_abort(a);
}

/* What was written in this iteration is still to be sent when the transport has ended. */
static void X35_T10_aborted_behind_a_write_in_one_batch(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_add(&c.s, &other, false);
    stage_add(&c.s, &its_peer, true);
    c.s.client.on[ON_DATA] = have_other_aborted;
    stage_open(&c.s);
    REQUIRE(actor_connect(&other) == 0);
    UNTIL(&c.s, other.done && its_peer.count[ON_MADE] == 1);
    CHECK_INT(actor_write(&c.s.peer, 10), 0);
    both_lost(&c.s);
    UNTIL_LOST(&c.s, &other);
    UNTIL_LOST(&c.s, &its_peer);
    CHECK_TRACE(other.trace, "CM RET CL(0)");
    tls_stage_close(&c);
}

/* ---- half-close ---- */

static void answer_and_close(struct actor *a)
{
    CHECK_INT(actor_write(a, 300000), 0);
    eddy_transport_close(a->t);
}

static void X32_T18_T19_a_half_close_under_TLS_1_3(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    c.s.peer.keep_open = true;
    c.s.peer.on[ON_EOF] = answer_and_close;
    stage_open(&c.s);
    CHECK(eddy_transport_can_write_eof(c.s.client.t));
    CHECK_INT(actor_write(&c.s.client, 200000), 0);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), EDDY_EINVALID_STATE);
    both_lost(&c.s);
    CHECK_INT(c.s.peer.received, 200000);
    CHECK_INT(c.s.client.received, 300000);
    CHECK_TRACE(c.s.peer.trace, "CM DR+ ER CL(0)");
    CHECK_TRACE(c.s.client.trace, "CM RET DR+ ER CL(0)");
    tls_stage_close(&c);
}

static void T19_T18_none_under_TLS_1_2(void)
{
    struct tls_stage c;
    tls_stage_init_version(&c, EDDY_TLS_1_2);
    stage_keyed(&c.s);
    stage_open(&c.s);
    CHECK(!eddy_transport_can_write_eof(c.s.client.t));
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), EDDY_ENOT_SUPPORTED);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    UNTIL(&c.s, c.s.peer.received == 100);
    tls_stage_close(&c);
}

static void X32_our_queue_goes_out_when_the_peer_has_closed(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    size_t n = test_is_sim() ? 300000 : 8u << 20;
    CHECK_INT(actor_write(&c.s.peer, n), 0);
    stage_settle(&c.s);
    wire_close_notify(&w);
    CHECK_INT(wire_drain(&w, 1, &got), SSL_ERROR_ZERO_RETURN);
    CHECK_INT(got, n);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, 0);
    wire_end(&w);
    tls_stage_close(&c);
}

static void reply_and_close(struct actor *a)
{
    a->on[ON_BUFFER_UPDATED] = NULL;
    CHECK_INT(actor_write(a, 5), 0);
    do_close(a);
}

static void give_half_back_and_pause(struct actor *a)
{
    size_t rest = a->len / 2;
    a->on[ON_BUFFER_UPDATED] = NULL;
    CHECK_INT(eddy_transport_unread(a->t, a->data + a->len - rest, rest), 0);
    a->received -= rest;
    do_pause(a);
}

/* The last bytes and the cut behind them are met at the same time: the reader was paused until
 * then. What it does with the bytes still counts. */
static void meet_a_cut(struct tls_stage *c, struct wire *w, void (*then)(struct actor *a))
{
    static uint8_t area[1000];
    tls_stage_init(c);
    c->s.peer.in_key = c->s.peer.out_key = 1;
    c->s.server_class = &actor_buffered_class;
    c->s.peer.window = area;
    c->s.peer.window_size = 2;
    c->s.peer.on[ON_BUFFER_UPDATED] = do_pause;
    tls_stage_open_wire(c, w, 0);
    wire_stream(w, 12, 0, 1);
    UNTIL(&c->s, c->s.peer.received == 2);
    raw_shutdown(&c->s, w->fd);
    stage_settle(&c->s);
    c->s.peer.window_size = sizeof area;
    c->s.peer.on[ON_BUFFER_UPDATED] = then;
    do_resume(&c->s.peer);
}

static void X33_T5_a_reply_to_the_last_bytes_before_a_cut(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    meet_a_cut(&c, &w, reply_and_close);
    CHECK_INT(wire_drain(&w, 1, &got), SSL_ERROR_ZERO_RETURN);
    CHECK_INT(got, 5);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 12);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X33_X34_bytes_given_back_before_a_cut(void)
{
    struct tls_stage c;
    struct wire w;
    meet_a_cut(&c, &w, give_half_back_and_pause);
    UNTIL(&c.s, c.s.peer.received == 7);
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.count[ON_LOST], 0);
    do_resume(&c.s.peer);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 12);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    CHECK(strstr(c.s.peer.error.text, "truncated") != NULL);
    wire_end(&w);
    tls_stage_close(&c);
}

/* ---- a local close ---- */

static void X27_X31_all_that_was_written_then_close_notify(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got, n = test_is_sim() ? 500000 : 8u << 20;
    tls_stage_init(&c);
    c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    CHECK_INT(actor_write(&c.s.peer, n), 0);
    eddy_transport_close(c.s.peer.t);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "late", 4), EDDY_ECLOSED);
    CHECK_INT(wire_drain(&w, 1, &got), SSL_ERROR_ZERO_RETURN);
    CHECK_INT(got, n);
    CHECK_INT(c.s.peer.count[ON_LOST], 0); /* ours is waited for */
    CHECK(!w.ended);
    wire_close_notify(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_TRACE(c.s.peer.trace, "CM PW* RW* CL(0)");
    UNTIL(&c.s, (wire_receive(&w), w.ended));
    CHECK_INT(w.error, 0);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X27_an_end_of_stream_does_as_well(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    eddy_transport_close(c.s.peer.t);
    CHECK_INT(wire_drain(&w, 0, &got), SSL_ERROR_ZERO_RETURN);
    raw_shutdown(&c.s, w.fd);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_TRACE(c.s.peer.trace, "CM CL(0)");
    wire_end(&w);
    tls_stage_close(&c);
}

static void X28_late_data_is_thrown_away(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    eddy_transport_close(c.s.peer.t);
    wire_stream(&w, 500000, 0, 1);
    CHECK_INT(wire_drain(&w, 0, &got), SSL_ERROR_ZERO_RETURN);
    wire_stream(&w, 100000, 0, 1);
    wire_close_notify(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_TRACE(c.s.peer.trace, "CM CL(0)");
    wire_end(&w);
    tls_stage_close(&c);
}

/* Two that have each other's kernels filled and close both: contract T5, X28. */
static void X28_T5_both_close_with_much_unsent(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    do_pause(&c.s.client);
    do_pause(&c.s.peer);
    size_t n = test_is_sim() ? 600000 : 8u << 20;
    CHECK_INT(actor_write(&c.s.client, n), 0);
    CHECK_INT(actor_write(&c.s.peer, n), 0);
    stage_settle(&c.s);
    eddy_transport_close(c.s.client.t);
    eddy_transport_close(c.s.peer.t);
    both_lost(&c.s);
    CHECK_INT(c.s.client.code, 0);
    CHECK_INT(c.s.peer.code, 0);
    tls_stage_close(&c);
}

static void close_in_data(struct actor *a)
{
    do_close(a);
}

static void X28_X48_closed_in_the_middle_of_many_records(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    c.s.peer.on[ON_DATA] = close_in_data;
    tls_stage_open_wire(&c, &w, 0);
    wire_stream(&w, 100000, 0, 1);
    CHECK_INT(wire_drain(&w, 0, &got), SSL_ERROR_ZERO_RETURN);
    wire_close_notify(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.count[ON_DATA], 1);
    CHECK_INT(c.s.peer.code, 0);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X48_R17_aborted_in_the_middle_of_many_records(void)
{
    static const struct eddy_protocol_class *const classes[] = {&actor_class,
                                                                &actor_buffered_class};
    for (size_t i = 0; i < 2; i++) {
        struct tls_stage c;
        struct wire w;
        tls_stage_init(&c);
        c.s.server_class = classes[i];
        c.s.peer.on[i ? ON_BUFFER_UPDATED : ON_DATA] = do_abort_eproto;
        tls_stage_open_wire(&c, &w, 0);
        wire_stream(&w, 100000, 0, 1);
        UNTIL_LOST(&c.s, &c.s.peer);
        CHECK_INT(c.s.peer.count[i ? ON_BUFFER_UPDATED : ON_DATA], 1);
        CHECK_INT(c.s.peer.code, -EPROTO);
        wire_end(&w);
        tls_stage_close(&c);
    }
}

static void X27_T27_closed_while_reading_is_paused(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    do_pause(&c.s.client);
    CHECK_INT(actor_write(&c.s.peer, 100000), 0);
    stage_settle(&c.s);
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    eddy_transport_close(c.s.client.t);
    both_lost(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(0)");
    CHECK_INT(c.s.peer.received, 1000);
    CHECK_INT(c.s.peer.code, 0);
    tls_stage_close(&c);
}

static void X32_X37_both_close_at_once(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    eddy_transport_close(c.s.client.t);
    eddy_transport_close(c.s.peer.t);
    both_lost(&c.s);
    CHECK_INT(c.s.client.code, 0);
    CHECK_INT(c.s.peer.code, 0);
    tls_stage_close(&c);
}

static void T15_X18_writes_after_close_are_dropped_and_warned_of_once(void)
{
    struct tls_stage c;
    test_expect_log("writing to a closing transport");
    tls_stage_init(&c);
    stage_open(&c.s);
    eddy_transport_close(c.s.client.t);
    for (int i = 0; i < 8; i++)
        CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), EDDY_ECLOSED);
    CHECK_INT(test_count_log("writing to a closing transport"), 1);
    both_lost(&c.s);
    CHECK_TRACE(c.s.peer.trace, "CM ER CL(0)");
    tls_stage_close(&c);
}

static void close_abort_close(struct actor *a)
{
    do_close(a);
    do_abort_eproto(a);
    do_close(a);
    do_abort(a);
}

static void X37_R28_close_and_abort_in_one_callback(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.peer.on[ON_DATA] = close_abort_close;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 10), 0);
    both_lost(&c.s);
    CHECK_TRACE(c.s.peer.trace, "CM DR(10) CL(EPROTO)");
    tls_stage_close(&c);
}

/* ---- the time that it may take ---- */

static void shutdown_time_out(bool fills, eddy_nsec timeout, eddy_nsec expected)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.server_opts.shutdown_timeout = timeout;
    c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    if (fills)
        CHECK(actor_fill(&c.s.peer) > 0);
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    eddy_transport_close(c.s.peer.t);
    UNTIL_LOST(&c.s, &c.s.peer);
    eddy_nsec took = eddy_loop_time(c.s.loop) - begin;
    CHECK(took >= expected);
    CHECK(!has_virtual_time() || took < expected + EDDY_MSEC(100));
    CHECK_INT(c.s.peer.code, -ETIMEDOUT);
    CHECK_STR(c.s.peer.error.text, "SSL shutdown timed out");
    CHECK_INT(c.s.peer.count[ON_LOST], 1);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X30_a_peer_that_does_not_answer_close_notify(void)
{
    shutdown_time_out(false, EDDY_MSEC(40), EDDY_MSEC(40));
    if (has_virtual_time())
        shutdown_time_out(false, 0, EDDY_SEC(30));
}

static void X30_a_peer_that_does_not_read(void)
{
    shutdown_time_out(true, EDDY_MSEC(40), EDDY_MSEC(40));
    if (has_virtual_time())
        shutdown_time_out(true, 0, EDDY_SEC(30));
}

/* By the end of the peer, with a stalled queue: the timer is never set twice. */
static void X30_the_timer_ends_with_the_connection(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    eddy_transport_close(c.s.client.t);
    both_lost(&c.s);
    stage_settle(&c.s);
    if (has_virtual_time())
        stage_run_for(&c.s, EDDY_SEC(100));
    CHECK(stage_is_quiet(&c.s));
    CHECK_INT(c.s.client.count[ON_LOST], 1);
    tls_stage_close(&c);
}

/* ---- errors ---- */

static void X36_a_reset_at_any_time(void)
{
    for (int i = 0; i < 3; i++) {
        struct tls_stage c;
        struct wire w;
        tls_stage_init(&c);
        tls_stage_open_wire(&c, &w, 0);
        if (i == 1)
            CHECK_INT(actor_write(&c.s.peer, 200000), 0);
        if (i == 2)
            eddy_transport_close(c.s.peer.t);
        stage_settle(&c.s);
        raw_reset(&c.s, w.fd);
        w.fd = -1;
        UNTIL_LOST(&c.s, &c.s.peer);
        CHECK(c.s.peer.code == -ECONNRESET || (i == 2 && c.s.peer.code == 0));
        CHECK_INT(c.s.peer.count[ON_EOF], 0);
        wire_end(&w);
        tls_stage_close(&c);
    }
}

static void X26_X6_a_broken_record_is_fatal_and_answered_by_an_alert(void)
{
    struct tls_stage c;
    struct wire w;
    char record[200];
    size_t n, got;
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    wire_write(&w, "good", 4);
    UNTIL(&c.s, c.s.peer.received == 4);
    CHECK_INT(SSL_write_ex(w.ssl, "hello, world", 12, &n), 1);
    int len = BIO_read(SSL_get_wbio(w.ssl), record, sizeof record);
    record[len - 1] ^= 1;
    CHECK_INT(raw_send(&c.s, w.fd, record, (size_t)len), 0);
    CHECK_INT(wire_drain(&w, 0, &got), SSL_ERROR_SSL);
    CHECK_INT(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    CHECK_INT(c.s.peer.received, 4);
    wire_end(&w);
    tls_stage_close(&c);
}

/* Both in one segment. The reply to the good one finds OpenSSL failed, which is not told. */
static void check_broken_record_behind_one(int version)
{
    struct tls_stage c;
    struct wire w;
    char records[200];
    size_t n;
    tls_stage_init(&c);
    c.s.peer.on[ON_DATA] = do_echo;
    tls_stage_open_wire(&c, &w, version);
    CHECK_INT(SSL_write_ex(w.ssl, "good", 4, &n), 1);
    CHECK_INT(SSL_write_ex(w.ssl, "hello, world", 12, &n), 1);
    int len = BIO_read(SSL_get_wbio(w.ssl), records, sizeof records);
    records[len - 1] ^= 1;
    CHECK_INT(raw_send(&c.s, w.fd, records, (size_t)len), 0);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 4);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    CHECK_STR(c.s.peer.error.text, "TLS: a record was damaged or forged");
    wire_end(&w);
    tls_stage_close(&c);
}

static void X26_T34_a_broken_record_behind_one_that_is_answered(void)
{
    check_broken_record_behind_one(TLS1_3_VERSION);
    check_broken_record_behind_one(TLS1_2_VERSION);
}

static void X45_errors_of_one_connection_are_not_told_to_another(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    /* Whoever uses OpenSSL in this thread may leave errors behind. */
    for (int i = 0; i < 5; i++)
        ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    CHECK_INT(actor_write(&c.s.peer, 1000), 0);
    UNTIL(&c.s, c.s.client.received == 1000 && c.s.peer.received == 1000);
    for (int i = 0; i < 5; i++)
        ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
    wire_client(&w, &c.s, raw_connect(&c.s), 0); /* a second one, which fails */
    CHECK_INT(raw_send(&c.s, w.fd, "nonsense", 8), 0);
    stage_settle(&c.s);
    wire_end(&w);
    eddy_transport_close(c.s.client.t);
    both_lost(&c.s);
    CHECK_INT(c.s.client.code, 0);
    CHECK_INT(c.s.peer.code, 0);
    ERR_clear_error();
    tls_stage_close(&c);
}

/* ---- TLS 1.3: a certificate of ours that is refused after our handshake ---- */

static void X6_a_client_without_a_certificate_hears_of_it_at_its_first_read(void)
{
    struct tls_stage c;
    need_certs();
    tls_stage_init(&c);
    eddy_tls_unref(c.server);
    REQUIRE(eddy_tls_new(EDDY_TLS_SERVER(CERT_PEM(the_cert), CERT_TRUST(the_authority),
                                         .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
                         &c.server) == 0);
    c.s.server_opts.tls = c.server;
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.done);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_TRACE(c.s.client.trace, "CM RET CL+");
    CHECK_INT(c.s.client.code, EDDY_ETLS);
    CHECK(strstr(c.s.client.error.text, "certificate required") != NULL);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    CHECK_INT(c.s.peer.count[ON_INIT], 0);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(E13_X27_connect_write_close),
    CASE(E14_X35_abort_after_connect),
    CASE(X35_R14_abort_with_a_reason),
    CASE(E15_X33_truncation_is_an_error_and_the_data_comes_before),
    CASE(X33_truncation_inside_a_record),
    CASE(X33_truncation_of_a_clients_connection_TLS_1_2_too),
    CASE(X33_allow_truncation),
    CASE(X34_paused_when_the_peer_closes),
    CASE(X34_X33_paused_when_the_stream_is_cut),
    CASE(X34_X19_buffered_and_paused_at_each_piece),
    CASE(X33_X34_an_end_behind_what_is_decrypted_already),
    CASE(X33_T5_a_reply_to_the_last_bytes_before_a_cut),
    CASE(X33_X34_bytes_given_back_before_a_cut),
    CASE(E16_R13_close_inside_connection_made),
    CASE(R13_close_inside_a_servers_connection_made),
    CASE(E17_X32_eof_received_true_is_ignored_under_TLS_1_2),
    CASE(E17_X32_which_is_said_in_debug_mode),
    CASE(X35_T10_aborted_behind_a_write_in_one_batch),
    CASE(X32_T18_T19_a_half_close_under_TLS_1_3),
    CASE(T19_T18_none_under_TLS_1_2),
    CASE(X32_our_queue_goes_out_when_the_peer_has_closed),
    CASE(X27_X31_all_that_was_written_then_close_notify),
    CASE(X27_an_end_of_stream_does_as_well),
    CASE(X28_late_data_is_thrown_away),
    CASE(X28_T5_both_close_with_much_unsent),
    CASE(X28_X48_closed_in_the_middle_of_many_records),
    CASE(X48_R17_aborted_in_the_middle_of_many_records),
    CASE(X27_T27_closed_while_reading_is_paused),
    CASE(X32_X37_both_close_at_once),
    CASE(T15_X18_writes_after_close_are_dropped_and_warned_of_once),
    CASE(X37_R28_close_and_abort_in_one_callback),
    CASE(X30_a_peer_that_does_not_answer_close_notify),
    CASE(X30_a_peer_that_does_not_read),
    CASE(X30_the_timer_ends_with_the_connection),
    CASE(X36_a_reset_at_any_time),
    CASE(X26_X6_a_broken_record_is_fatal_and_answered_by_an_alert),
    CASE(X26_T34_a_broken_record_behind_one_that_is_answered),
    CASE(X45_errors_of_one_connection_are_not_told_to_another),
    CASE(X6_a_client_without_a_certificate_hears_of_it_at_its_first_read),
    TEST_END,
};
