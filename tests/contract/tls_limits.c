/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* Flow control, limits and time-outs through TLS: contract X17 to X25, X47, T20 to T28, T56. */
#include "tests/contract/tls_calls.h"
#include <eddy/sim.h>
#include <unistd.h>

/* ---- marks ---- */

static void X23_T25_the_default_marks(void)
{
    struct tls_stage c;
    size_t low, high;
    tls_stage_init(&c);
    stage_open(&c.s);
    eddy_transport_get_write_buffer_limits(c.s.client.t, &low, &high);
    CHECK_INT(low, 128 * 1024);
    CHECK_INT(high, 512 * 1024);
    eddy_transport_get_write_buffer_limits(c.s.peer.t, &low, &high);
    CHECK_INT(low, 128 * 1024);
    CHECK_INT(high, 512 * 1024);
    tls_stage_close(&c);
}

static void X23_T22_marks_of_the_options_and_of_the_call(void)
{
    struct tls_stage c;
    size_t low, high;
    tls_stage_init(&c);
    c.s.connection_opts.write_high = 100000;
    c.s.server_opts.write_low = 1000;
    stage_open(&c.s);
    eddy_transport_get_write_buffer_limits(c.s.client.t, &low, &high);
    CHECK_INT(low, 25000);
    CHECK_INT(high, 100000);
    eddy_transport_get_write_buffer_limits(c.s.peer.t, &low, &high);
    CHECK_INT(low, 1000);
    CHECK_INT(high, 4000);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, EDDY_DEFAULT, 40), 0);
    eddy_transport_get_write_buffer_limits(c.s.client.t, &low, &high);
    CHECK_INT(low, 10);
    CHECK_INT(high, 40);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, 50, 40), -EINVAL);
    tls_stage_close(&c);
}

/* With both given as default. */
static void X23_T22_the_defaults_again(void)
{
    struct tls_stage c;
    size_t low, high;
    tls_stage_init(&c);
    stage_open(&c.s);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, 1, 2), 0);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, EDDY_DEFAULT, EDDY_DEFAULT), 0);
    eddy_transport_get_write_buffer_limits(c.s.client.t, &low, &high);
    CHECK_INT(low, 128 * 1024);
    CHECK_INT(high, 512 * 1024);
    tls_stage_close(&c);
}

/* The client writes, and the peer's wire does not read. */
static void fill(struct tls_stage *c, struct wire *w)
{
    c->s.peer.out_key = 1;
    tls_stage_open_wire(c, w, 0);
    CHECK(actor_fill(&c->s.peer) > 0);
    CHECK(c->s.peer.paused);
}

static void X23_T23_pause_writing_above_the_high_mark_and_not_before(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    fill(&c, &w);
    size_t waits = eddy_transport_get_write_buffer_size(c.s.peer.t);
    CHECK(waits > 512 * 1024);
    CHECK(waits <= 512 * 1024 + 2 * 16384 + 1000); /* a write, and what encryption adds */
    eddy_transport_close(c.s.peer.t);
    CHECK_INT(wire_drain(&w, 1, &got), SSL_ERROR_ZERO_RETURN);
    CHECK_INT(got, c.s.peer.sent);
    wire_end(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.count[ON_RESUME], 1);
    tls_stage_close(&c);
}

static size_t size_at_resume;

static void note_size(struct actor *a)
{
    size_at_resume = eddy_transport_get_write_buffer_size(a->t);
}

static void X23_T23_resume_writing_at_the_low_mark(void)
{
    struct tls_stage c;
    struct wire w;
    uint8_t piece[1000];
    tls_stage_init(&c);
    c.s.peer.on[ON_RESUME] = note_size;
    fill(&c, &w);
    for (size_t at = 0; at < c.s.peer.sent; at += sizeof piece) {
        size_t n = c.s.peer.sent - at < sizeof piece ? c.s.peer.sent - at : sizeof piece;
        CHECK_INT(wire_read(&w, piece, n), n);
    }
    UNTIL(&c.s, c.s.peer.count[ON_RESUME] == 1);
    CHECK(size_at_resume <= 128 * 1024);
    CHECK_INT(eddy_transport_get_write_buffer_size(c.s.peer.t), 0);
    wire_end(&w);
    tls_stage_close(&c);
}

/* Ciphertext that waits below is counted too: with a high mark of 0 that alone pauses. */
static void X23_T20_ciphertext_that_waits_is_counted(void)
{
    struct tls_stage c;
    struct wire w;
    size_t total;
    tls_stage_init(&c);
    c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.peer.t, 0, 0), 0);
    for (total = 0; !c.s.peer.paused && total < (64u << 20); total += 4096)
        CHECK_INT(actor_write(&c.s.peer, 4096), 0);
    CHECK(c.s.peer.paused);
    size_t waits = eddy_transport_get_write_buffer_size(c.s.peer.t);
    CHECK(waits > 0);
    CHECK(waits < 3 * 4096);
    wire_end(&w);
    tls_stage_close(&c);
}

static void write_more(struct actor *a)
{
    CHECK_INT(actor_write(a, 100000), 0);
}

static void X47_R34_writing_inside_resume_writing(void)
{
    struct tls_stage c;
    struct wire w;
    uint8_t piece[16384];
    int fills = 0;
    tls_stage_init(&c);
    c.s.peer.on[ON_RESUME] = write_more;
    fill(&c, &w);
    for (size_t at = 0, n; at < c.s.peer.sent; at += n) {
        n = c.s.peer.sent - at < sizeof piece ? c.s.peer.sent - at : sizeof piece;
        CHECK_INT(wire_read(&w, piece, n), n);
        CHECK(stream_matches(piece, n, at, 1));
        if (!c.s.peer.paused && fills < 3) {
            actor_fill(&c.s.peer);
            fills++;
        }
    }
    CHECK_INT(c.s.peer.count[ON_PAUSE], 4);
    UNTIL(&c.s, c.s.peer.count[ON_RESUME] == 4);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X18_T56_more_than_write_max_loses_the_connection(void)
{
    struct tls_stage c;
    struct wire w;
    int rc = 0;
    tls_stage_init(&c);
    c.s.server_opts.write_max = 1u << 20;
    c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    for (int i = 0; rc == 0 && i < 10000; i++)
        rc = actor_write(&c.s.peer, 16384);
    CHECK_INT(rc, -ENOBUFS);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, -ENOBUFS);
    wire_end(&w);
    tls_stage_close(&c);
}

/* By itself more than the default: the handshake comes behind it. */
static void X18_T56_what_was_allowed_before_start_tls_is(void)
{
    static const char data[1 << 20];
    struct tls_stage c;
    tls_stage_init_plain(&c);
    c.s.connection_opts.write_max = (size_t)80 << 20;
    stage_open(&c.s);
    do_pause(&c.s.peer);
    while (eddy_transport_get_write_buffer_size(c.s.client.t) <= (size_t)64 << 20)
        CHECK_INT(eddy_transport_write(c.s.client.t, data, sizeof data), 0);
    CHECK_INT(eddy_start_tls(c.s.client.t,
                             EDDY_START_TLS(.tls = c.client, .server_hostname = "localhost"), NULL),
              0);
    c.s.client.t = c.s.client.p->transport;
    stage_settle(&c.s);
    CHECK_INT(c.s.client.count[ON_LOST], 0);
    eddy_transport_abort(c.s.client.t, NULL);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_INT(c.s.client.code, 0);
    tls_stage_close(&c);
}

static void T10_X18_small_writes_share_a_record(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    c.s.client.out_key = c.s.peer.out_key = 1;
    tls_stage_open_wire(&c, &w, 0);
    c.s.peer.on[ON_DATA] = write_more;
    wire_write(&w, "go", 2);
    uint8_t piece[100000];
    got = wire_read(&w, piece, sizeof piece);
    CHECK_INT(got, sizeof piece);
    CHECK(stream_matches(piece, got, 0, 1));
    wire_end(&w);
    tls_stage_close(&c);
}

static void sixteen_writes(struct actor *a)
{
    for (int i = 0; i < 16; i++)
        CHECK_INT(actor_write(a, 64), 0);
}

/* 16 replies, one record: 1024 bytes and its 22 around them. */
static void T10_X18_sixteen_replies_are_one_record(void)
{
    struct tls_stage c;
    struct wire w;
    uint8_t head[5];
    tls_stage_init(&c);
    c.s.peer.out_key = 1;
    c.s.peer.on[ON_DATA] = sixteen_writes;
    tls_stage_open_wire(&c, &w, 0);
    stage_settle(&c.s);
    wire_move(&w);
    SSL_read(w.ssl, head, sizeof head); /* the tickets */
    wire_write(&w, "go", 2);
    CHECK_INT(BIO_pending(SSL_get_rbio(w.ssl)), 0);
    CHECK_INT(raw_recv(&c.s, w.fd, head, sizeof head), sizeof head);
    CHECK_INT(head[0], 23);
    CHECK_INT(head[3] << 8 | head[4], 1024 + 17);
    wire_end(&w);
    tls_stage_close(&c);
}

static void T10_X20_flush_sends_at_once(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 10), 0);
    eddy_transport_flush(c.s.client.t);
    CHECK_INT(eddy_transport_get_write_buffer_size(c.s.client.t), 0);
    UNTIL(&c.s, c.s.peer.received == 10);
    tls_stage_close(&c);
}

static int releases;

static void release(void *user)
{
    (void)user;
    releases++;
}

static void G7_X18_owned_bytes_are_released_once(void)
{
    static uint8_t bytes[300000];
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    stream_bytes(bytes, sizeof bytes, 0, 1);
    releases = 0;
    CHECK_INT(eddy_transport_write_owned(c.s.client.t, bytes, sizeof bytes, release, NULL), 0);
    UNTIL(&c.s, c.s.peer.received == sizeof bytes);
    CHECK_INT(releases, 1);
    do_pause(&c.s.peer);
    for (int i = 0; i < 40; i++)
        CHECK_INT(eddy_transport_write_owned(c.s.client.t, bytes, sizeof bytes, release, NULL), 0);
    do_abort(&c.s.client);
    UNTIL_LOST(&c.s, &c.s.client);
    stage_settle(&c.s);
    CHECK_INT(releases, 41);
    tls_stage_close(&c);
}

/* What the first release function does, in the middle of a large write. */
static struct {
    struct actor *a;
    size_t len; /* of what it writes; 0: write_eof */
    bool done;
} at_release;

static void write_at_release(void *user)
{
    (void)user;
    if (at_release.done)
        return;
    at_release.done = true;
    if (at_release.len == 0)
        CHECK_INT(eddy_transport_write_eof(at_release.a->t), 0);
    else
        CHECK_INT(actor_write(at_release.a, at_release.len), 0);
}

/* More pieces than go out at once, and behind them more than is kept for later. */
static void write_pieces(struct actor *a)
{
    enum { PIECES = 80, PIECE = 10, LARGE = 20000 };
    static uint8_t bytes[PIECES * PIECE + LARGE];
    stream_bytes(bytes, sizeof bytes, 0, 1);
    a->sent = sizeof bytes;
    for (size_t i = 0; i < PIECES; i++)
        CHECK_INT(eddy_transport_write_owned(a->t, bytes + i * PIECE, PIECE, write_at_release, a),
                  0);
    CHECK_INT(eddy_transport_write(a->t, bytes + PIECES * PIECE, LARGE), 0);
}

static void G7_T12_T18_writing_inside_a_release_function(void)
{
    static const size_t lens[] = {1, 16000, 0};
    for (size_t i = 0; i < 3; i++) {
        struct tls_stage c;
        tls_stage_init(&c);
        stage_keyed(&c.s);
        at_release.a = &c.s.client;
        at_release.len = lens[i];
        at_release.done = false;
        c.s.client.on[ON_MADE] = write_pieces;
        stage_open(&c.s);
        UNTIL(&c.s, at_release.done && c.s.peer.received == 20800 + lens[i]);
        if (lens[i] == 0)
            UNTIL(&c.s, c.s.peer.count[ON_EOF] == 1);
        else
            CHECK_INT(actor_write(&c.s.client, 10), 0);
        UNTIL(&c.s, c.s.peer.received == c.s.client.sent);
        CHECK_INT(eddy_transport_get_write_buffer_size(c.s.client.t), 0);
        tls_stage_close(&c);
    }
}

/* ---- reading ---- */

static void X21_X22_T28_a_pause_slows_the_peer_down(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    do_pause(&c.s.peer);
    CHECK(!eddy_transport_is_reading(c.s.peer.t));
    actor_fill(&c.s.client);
    CHECK(c.s.client.paused);
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.received, 0);
    CHECK(c.s.client.paused);
    do_resume(&c.s.peer);
    CHECK(eddy_transport_is_reading(c.s.peer.t));
    CHECK_INT(c.s.peer.received, 0); /* from the loop */
    UNTIL(&c.s, c.s.peer.received == c.s.client.sent);
    CHECK_INT(c.s.client.count[ON_RESUME], 1);
    eddy_transport_close(c.s.peer.t);
    CHECK(!eddy_transport_is_reading(c.s.peer.t));
    tls_stage_close(&c);
}

static void resume_and_pause(struct actor *a)
{
    do_pause(a);
    do_resume(a);
    do_pause(a);
}

static void X21_paused_and_resumed_at_each_piece(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    c.s.peer.on[ON_DATA] = resume_and_pause;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 1000000), 0);
    for (eddy_nsec end = stage_patience(&c.s);
         c.s.peer.received < 1000000 && stage_step(&c.s, end);) {
        int before = c.s.peer.count[ON_DATA];
        do_resume(&c.s.peer);
        CHECK_INT(c.s.peer.count[ON_DATA], before);
    }
    CHECK_INT(c.s.peer.received, 1000000);
    tls_stage_close(&c);
}

/* Resumed and paused again before the loop runs: nothing comes. */
static void X21_T27_paused_again_before_anything_is_delivered(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    do_pause(&c.s.peer);
    wire_stream(&w, 100000, 0, 1);
    stage_settle(&c.s);
    do_resume(&c.s.peer);
    do_pause(&c.s.peer);
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.received, 0);
    do_resume(&c.s.peer);
    UNTIL(&c.s, c.s.peer.received == 100000);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X19_R20_a_window_smaller_than_a_record(void)
{
    static const size_t sizes[] = {1, 7, 1000, 16384, 20000};
    static uint8_t window[20000];
    for (size_t i = 0; i < 5; i++) {
        struct tls_stage c;
        size_t len = sizes[i] < 100 ? 2000 : 200000;
        tls_stage_init(&c);
        stage_keyed(&c.s);
        c.s.server_class = &actor_buffered_class;
        c.s.peer.window = window;
        c.s.peer.window_size = sizes[i];
        stage_open(&c.s);
        CHECK_INT(actor_write(&c.s.client, len), 0);
        UNTIL(&c.s, c.s.peer.received == len);
        eddy_transport_close(c.s.client.t);
        UNTIL_LOST(&c.s, &c.s.peer);
        CHECK_INT(c.s.peer.code, 0);
        tls_stage_close(&c);
    }
}

static void R18_X19_an_empty_window_is_fatal(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.expected_problems = 1;
    c.s.server_class = &actor_buffered_class;
    c.s.peer.empty_window = true;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 10), 0);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, -EINVAL);
    tls_stage_close(&c);
}

static void take_two(struct actor *a)
{
    if (a->len > 2) {
        CHECK_INT(eddy_transport_unread(a->t, a->data + 2, a->len - 2), 0);
        a->received -= a->len - 2;
    }
}

static void R40_bytes_given_back_come_again(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    c.s.peer.on[ON_DATA] = take_two;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 101), 0);
    CHECK_INT(eddy_loop_run_once(c.s.loop, 0), 0);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    eddy_transport_close(c.s.client.t);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.received, 201);
    CHECK_INT(c.s.peer.code, 0);
    tls_stage_close(&c);
}

/* One connection with much to read does not keep another one waiting: contract R16. */
static void R16_X19_a_busy_connection_yields(void)
{
    struct tls_stage c;
    struct actor other, its_peer;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_add(&c.s, &other, false);
    stage_add(&c.s, &its_peer, true);
    stage_open(&c.s);
    REQUIRE(actor_connect(&other) == 0);
    UNTIL(&c.s, other.done && its_peer.count[ON_MADE] == 1);
    do_pause(&c.s.peer);
    actor_fill(&c.s.client);
    stage_settle(&c.s);
    do_resume(&c.s.peer);
    size_t before = c.s.peer.received, most = 0;
    for (eddy_nsec end = stage_patience(&c.s);
         c.s.peer.received < c.s.client.sent && stage_step(&c.s, end);) {
        if (c.s.peer.received - before > most)
            most = c.s.peer.received - before;
        before = c.s.peer.received;
    }
    CHECK_INT(c.s.peer.received, c.s.client.sent);
    CHECK(most > 0);
    CHECK(most <= 128 * 1024 + 2 * 16384);
    tls_stage_close(&c);
}

/* ---- key updates ---- */

static void update_keys(struct tls_stage *c, struct wire *w, size_t piece, int times)
{
    uint8_t got[20000];
    size_t sent = 0;
    for (int i = 0; i < times; i++) {
        CHECK_INT(
            SSL_key_update(w->ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
            1);
        wire_stream(w, piece, sent, 1);
        sent += piece;
        UNTIL(&c->s, c->s.peer.received == sent);
        CHECK_INT(eddy_tls_update_keys(c->s.peer.t, i % 3 == 0), 0);
        CHECK_INT(actor_write(&c->s.peer, piece), 0);
        CHECK_INT(wire_read(w, got, piece), piece);
        CHECK(stream_matches(got, piece, c->s.peer.sent - piece, 2));
    }
}

static void X17_X20_key_updates_in_both_directions_lose_nothing(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.peer.in_key = 1;
    c.s.peer.out_key = 2;
    tls_stage_open_wire(&c, &w, 0);
    update_keys(&c, &w, 20000, 20);
    wire_end(&w);
    tls_stage_close(&c);
}

/* The peer asks for ours, and nobody writes: it goes out all the same. */
static void X20_an_update_that_is_asked_for_goes_out_although_nothing_is_written(void)
{
    struct tls_stage c;
    struct wire w;
    uint8_t head[5], got[5];
    tls_stage_init(&c);
    tls_stage_open_wire(&c, &w, 0);
    stage_settle(&c.s);
    wire_move(&w);
    SSL_read(w.ssl, got, sizeof got); /* the tickets */
    CHECK_INT(SSL_key_update(w.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    SSL_do_handshake(w.ssl);
    char out[200];
    int n = BIO_read(SSL_get_wbio(w.ssl), out, sizeof out);
    CHECK_INT(raw_send(&c.s, w.fd, out, (size_t)n), 0);
    CHECK_INT(raw_recv(&c.s, w.fd, head, sizeof head), sizeof head);
    CHECK_INT(head[0], 23);
    CHECK_INT(head[3] << 8 | head[4], 5 + 17); /* a message of 5 bytes, as key updates are */
    wire_end(&w);
    tls_stage_close(&c);
}

static void X17_both_sides_update_during_a_transfer(void)
{
    struct tls_stage c;
    size_t len = test_is_sim() ? 2000000 : 8u << 20;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(actor_write(&c.s.client, len / 20), 0);
        CHECK_INT(actor_write(&c.s.peer, len / 20), 0);
        CHECK_INT(eddy_tls_update_keys(c.s.client.t, true), 0);
        CHECK_INT(eddy_tls_update_keys(c.s.peer.t, i % 2), 0);
        CHECK_INT(eddy_loop_run_once(c.s.loop, 0), 0);
    }
    len = len / 20 * 20;
    UNTIL(&c.s, c.s.client.received == len && c.s.peer.received == len);
    tls_stage_close(&c);
}

static void X17_renegotiation_is_refused_and_the_data_goes_on(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.peer.in_key = 1;
    tls_stage_open_wire(&c, &w, EDDY_TLS_1_2);
    wire_stream(&w, 1000, 0, 1);
    SSL_renegotiate(w.ssl);
    SSL_do_handshake(w.ssl);
    wire_move(&w);
    UNTIL(&c.s, c.s.peer.received == 1000);
    stage_settle(&c.s);
    CHECK(SSL_num_renegotiations(w.ssl) <= 1); /* it has asked */
    wire_end(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    tls_stage_close(&c);
}

/* ---- time-outs ---- */

static void T5_X3_an_idle_time_out_counts_plaintext(void)
{
    struct tls_stage c;
    struct wire w;
    eddy_nsec span = has_virtual_time() ? EDDY_SEC(10) : EDDY_MSEC(40);
    tls_stage_init(&c);
    c.s.server_opts.idle_timeout = span;
    tls_stage_open_wire(&c, &w, 0);
    if (has_virtual_time()) {
        for (int i = 0; i < 5; i++) {
            stage_run_for(&c.s, EDDY_SEC(7));
            wire_write(&w, "x", 1);
            UNTIL(&c.s, c.s.peer.received == (size_t)i + 1);
        }
    }
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, -ETIMEDOUT);
    CHECK(!has_virtual_time() || eddy_loop_time(c.s.loop) - begin >= EDDY_SEC(10) - EDDY_MSEC(1));
    wire_end(&w);
    tls_stage_close(&c);
}

static void T5_X25_a_peer_that_takes_nothing(void)
{
    struct tls_stage c;
    struct wire w;
    eddy_nsec span = has_virtual_time() ? EDDY_SEC(10) : EDDY_MSEC(40);
    tls_stage_init(&c);
    c.s.server_opts.write_timeout = span;
    fill(&c, &w);
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, -ETIMEDOUT);
    CHECK(!has_virtual_time() || eddy_loop_time(c.s.loop) - begin < EDDY_SEC(12));
    wire_end(&w);
    tls_stage_close(&c);
}

static void T5_X25_the_same_set_by_the_call(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    fill(&c, &w);
    CHECK_INT(eddy_transport_set_write_timeout(c.s.peer.t,
                                               has_virtual_time() ? EDDY_SEC(3) : EDDY_MSEC(40)),
              0);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, -ETIMEDOUT);
    wire_end(&w);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(X23_T25_the_default_marks),
    CASE(X23_T22_marks_of_the_options_and_of_the_call),
    CASE(X23_T22_the_defaults_again),
    CASE(X23_T23_pause_writing_above_the_high_mark_and_not_before),
    CASE(X23_T23_resume_writing_at_the_low_mark),
    CASE(X23_T20_ciphertext_that_waits_is_counted),
    CASE(X47_R34_writing_inside_resume_writing),
    CASE(X18_T56_more_than_write_max_loses_the_connection),
    CASE(X18_T56_what_was_allowed_before_start_tls_is),
    CASE(T10_X18_small_writes_share_a_record),
    CASE(T10_X18_sixteen_replies_are_one_record),
    CASE(T10_X20_flush_sends_at_once),
    CASE(G7_X18_owned_bytes_are_released_once),
    CASE(G7_T12_T18_writing_inside_a_release_function),
    CASE(X21_X22_T28_a_pause_slows_the_peer_down),
    CASE(X21_paused_and_resumed_at_each_piece),
    CASE(X21_T27_paused_again_before_anything_is_delivered),
    CASE(X19_R20_a_window_smaller_than_a_record),
    CASE(R18_X19_an_empty_window_is_fatal),
    CASE(R40_bytes_given_back_come_again),
    CASE(R16_X19_a_busy_connection_yields),
    CASE(X17_X20_key_updates_in_both_directions_lose_nothing),
    CASE(X20_an_update_that_is_asked_for_goes_out_although_nothing_is_written),
    CASE(X17_both_sides_update_during_a_transfer),
    CASE(X17_renegotiation_is_refused_and_the_data_goes_on),
    CASE(T5_X3_an_idle_time_out_counts_plaintext),
    CASE(T5_X25_a_peer_that_takes_nothing),
    CASE(T5_X25_the_same_set_by_the_call),
    TEST_END,
};
