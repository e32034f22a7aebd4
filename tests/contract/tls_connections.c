/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* Clients with TLS: arguments, the handshake and all its ends. Contract S1 to S4, S13, S14, S50, X2
 * to X9, X12, X13, X16, E18, E20, E21. */
#include "tests/contract/tls_calls.h"
#include <eddy/sim.h>
#include <unistd.h>

/* ---- arguments ---- */

static void check_refused(struct tls_stage *c, const struct eddy_connection_opts *opts)
{
    struct eddy_connection_opts all = *opts;
    struct eddy_error error = {.code = 0};
    struct eddy_future *f = NULL;
    struct eddy_protocol p;
    eddy_protocol_init(&p, &actor_class);
    all.error = &error;
    CHECK_INT(eddy_create_connection(c->s.loop, &p, &all, &f), -EINVAL);
    CHECK(f == NULL && !eddy_protocol_is_attached(&p));
    CHECK_INT(error.code, -EINVAL);
    CHECK(strstr(error.text, "create_connection: ") == error.text);
}

#define TO(...) EDDY_CONNECTION(.host = "127.0.0.1", .port = 9, __VA_ARGS__)

static void S2_X5_X30_options_of_tls_without_tls_and_bad_times_are_refused(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    check_refused(&c, TO(.server_hostname = "localhost"));
    check_refused(&c, TO(.no_name_check = true));
    check_refused(&c, TO(.handshake_timeout = 1));
    check_refused(&c, TO(.shutdown_timeout = 1));
    check_refused(&c, TO(.early_data = "a", .early_data_len = 1));
    check_refused(&c, TO(.tls = c.client, .handshake_timeout = -1));
    check_refused(&c, TO(.tls = c.client, .shutdown_timeout = -1));
    check_refused(&c, TO(.tls = c.client, .shutdown_timeout = EDDY_OFF));
    check_refused(&c, TO(.use_tls = true, .handshake_timeout = -1));
    check_refused(&c, TO(.tls = c.client, .early_data = "a"));
    check_refused(&c, TO(.tls = c.client, .early_data_len = 1));
    check_refused(&c, TO(.tls = c.client, .early_data = "a", .early_data_len = 16385));
    tls_stage_close(&c);
}

static void S2_S3_X13_a_name_to_verify_is_needed(void)
{
    struct tls_stage c;
    int pair[2];
    tls_stage_init(&c);
    stage_begin(&c.s);
    test_socketpair(pair);
    check_refused(&c, EDDY_CONNECTION(.sock = pair[0], .use_sock = true, .tls = c.client));
    check_refused(&c, TO(.tls = c.client, .server_hostname = ""));
    check_refused(&c, TO(.tls = c.client, .server_hostname = "", .no_name_check = true));
    check_refused(&c, TO(.tls = c.client, .server_hostname = ".example.org"));
    check_refused(&c, TO(.tls = c.client, .server_hostname = "ex\xc3\xa4mple.org"));
    CHECK_INT(close(pair[0]), 0); /* still ours */
    CHECK_INT(close(pair[1]), 0);
    tls_stage_close(&c);
}

static void S2_X11_a_context_for_the_other_side_is_refused(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    check_refused(&c, TO(.tls = c.server));
    tls_stage_close(&c);
}

/* ---- it works ---- */

static void exchange(const struct eddy_protocol_class *cls)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    c.s.client_class = c.s.server_class = cls;
    stage_open(&c.s);
    CHECK_TRACE(c.s.client.trace, "CM RET GB*");
    CHECK_TRACE(c.s.peer.trace, "CM GB*");
    CHECK_STR(eddy_transport_kind(c.s.client.t), "tls");
    for (size_t len = 1; len < 200000; len = len * 3 + 1) {
        CHECK_INT(actor_write(&c.s.client, len), 0);
        CHECK_INT(actor_write(&c.s.peer, len), 0);
        UNTIL(&c.s, c.s.peer.received == c.s.client.sent && c.s.client.received == c.s.peer.sent);
    }
    eddy_transport_close(c.s.client.t);
    UNTIL_LOST(&c.s, &c.s.client);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.client.code, 0);
    CHECK_INT(c.s.peer.code, 0);
    tls_stage_close(&c);
}

static void X2_X3_streams_of_bytes_both_ways(void)
{
    exchange(&actor_class);
}

static void X3_X19_streams_of_bytes_both_ways_with_buffered_protocols(void)
{
    exchange(&actor_buffered_class);
}

static void X2_X4_the_same_with_TLS_1_2(void)
{
    struct tls_stage c;
    struct eddy_tls_info info;
    tls_stage_init_version(&c, EDDY_TLS_1_2);
    stage_keyed(&c.s);
    stage_open(&c.s);
    CHECK_INT(eddy_tls_info(c.s.client.t, &info), 0);
    CHECK_STR(info.version, "TLSv1.2");
    CHECK_INT(actor_write(&c.s.client, 100000), 0);
    UNTIL(&c.s, c.s.peer.received == 100000);
    tls_stage_close(&c);
}

static void ask_in_done(struct actor *a)
{
    struct eddy_tls_info info;
    CHECK_INT(a->received, 0);
    CHECK_INT(eddy_tls_info(a->t, &info), 0);
}

/* TLS 1.2: the server is the last to speak, and goes on at once. */
static void X4_data_behind_the_handshake_comes_after_the_future(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.client.on_done = ask_in_done;
    c.s.client.in_key = 1;
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    uint8_t bytes[5000];
    stream_bytes(bytes, sizeof bytes, 0, 1);
    CHECK_INT(actor_connect(&c.s.client), 0);
    wire_server(&w, &c.s, raw_accept(&c.s, listener), EDDY_TLS_1_2);
    CHECK_INT(wire_handshake_and_write(&w, bytes, sizeof bytes), 1);
    UNTIL(&c.s, c.s.client.received == sizeof bytes);
    CHECK_TRACE(c.s.client.trace, "CM RET DR+");
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

/* A handle posted in connection_made comes first. */
static struct eddy_handle later;
static bool later_ran;

static void run_later(struct eddy_handle *h)
{
    (void)h;
    later_ran = true;
}

static void post_later(struct actor *a)
{
    later = (struct eddy_handle){.fn = run_later};
    later_ran = false;
    eddy_loop_call_soon(a->stage->loop, &later);
}

static void check_later_ran(struct actor *a)
{
    (void)a;
    CHECK(later_ran);
}

/* TLS 1.3: the client is. */
static void X4_data_behind_a_clients_handshake_comes_an_iteration_later(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = post_later;
    c.s.peer.on[ON_DATA] = check_later_ran;
    stage_begin(&c.s);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    CHECK_INT(wire_handshake_and_write(&w, "hello", 5), 1);
    UNTIL(&c.s, c.s.peer.received == 5);
    CHECK_TRACE(c.s.peer.trace, "CM DR(5)");
    wire_end(&w);
    tls_stage_close(&c);
}

static void pause_in_made(struct actor *a)
{
    do_pause(a);
}

static void X4_R12_T27_pause_in_connection_made_delivers_nothing(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = pause_in_made;
    stage_begin(&c.s);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    CHECK_INT(wire_handshake_and_write(&w, "hello", 5), 1);
    UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
    stage_settle(&c.s);
    CHECK_TRACE(c.s.peer.trace, "CM");
    do_resume(&c.s.peer);
    CHECK_TRACE(c.s.peer.trace, "CM"); /* from the loop */
    UNTIL(&c.s, c.s.peer.received == 5);
    wire_end(&w);
    tls_stage_close(&c);
}

static void write_in_made(struct actor *a)
{
    CHECK_INT(actor_write(a, 70000), 0);
}

static void X18_R11_bytes_written_in_connection_made_are_sent(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    c.s.client.on[ON_MADE] = write_in_made;
    c.s.peer.on[ON_MADE] = write_in_made;
    stage_open(&c.s);
    UNTIL(&c.s, c.s.client.received == 70000 && c.s.peer.received == 70000);
    tls_stage_close(&c);
}

/* S14, in debug mode. */
static void S14_success_is_logged_in_debug_mode(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    eddy_loop_set_debug(c.s.loop, true);
    REQUIRE(actor_connect(&c.s.client) == 0);
    UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
    CHECK_INT(test_count_log("connected to 127.0.0.1"), 1);
    tls_stage_close(&c);
}

/* A socket that is connected already. */
static void S4_X13_over_a_socket_that_is_given(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_begin(&c.s);
    c.s.connection_opts = *EDDY_CONNECTION(.sock = raw_connect(&c.s), .use_sock = true,
                                           .tls = c.client, .server_hostname = "localhost");
    REQUIRE(actor_connect(&c.s.client) == 0);
    UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    UNTIL(&c.s, c.s.peer.received == 1000);
    tls_stage_close(&c);
}

/* ---- the server side of a socket that somebody has accepted ---- */

static void S50_X9_a_socket_accepted_elsewhere(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.client.in_key = 1;
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.port);
    int fd = raw_connect(&c.s);
    int sock = raw_accept(&c.s, listener);
    eddy_protocol_init(&c.s.client.own.base, &actor_class);
    CHECK_INT(eddy_connect_accepted_socket(c.s.loop, &c.s.client.own.base, sock,
                                           EDDY_CONNECTION(.tls = c.server), &c.s.client.future),
              0);
    actor_begin(&c.s.client, true);
    wire_client(&w, &c.s, fd, 0);
    CHECK_INT(wire_handshake(&w), 1);
    wire_stream(&w, 1000, 0, 1);
    UNTIL(&c.s, c.s.client.received == 1000);
    CHECK_TRACE(c.s.client.trace, "CM RET DR+");
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

static void S50_S17_its_arguments(void)
{
    struct tls_stage c;
    struct eddy_protocol p;
    int pair[2];
    tls_stage_init(&c);
    stage_begin(&c.s);
    test_socketpair(pair);
    static const struct eddy_connection_opts *bad[6];
    bad[0] = EDDY_CONNECTION(.tls = c.client);
    bad[1] = EDDY_CONNECTION(.use_tls = true);
    bad[2] = EDDY_CONNECTION(.tls = c.server, .server_hostname = "localhost");
    bad[3] = EDDY_CONNECTION(.tls = c.server, .no_name_check = true);
    bad[4] = EDDY_CONNECTION(.tls = c.server, .handshake_timeout = -1);
    bad[5] = EDDY_CONNECTION(.handshake_timeout = 1);
    for (size_t i = 0; i < 6; i++) {
        eddy_protocol_init(&p, &actor_class);
        CHECK_INT(eddy_connect_accepted_socket(c.s.loop, &p, pair[0], bad[i], NULL), -EINVAL);
    }
    CHECK_INT(close(pair[0]), 0);
    CHECK_INT(close(pair[1]), 0);
    tls_stage_close(&c);
}

/* ---- servers that do not answer well ---- */

struct far {
    struct tls_stage c;
    int listener, fd;
    uint8_t hello[5]; /* the first bytes of the client's */
};

/* The client has connected to a raw socket, which has got its first message. */
static void far_begin(struct far *f)
{
    stage_begin(&f->c.s);
    f->listener = raw_listen(&f->c.s, 5, &f->c.s.connection_opts.port);
    CHECK_INT(actor_connect(&f->c.s.client), 0);
    f->fd = raw_accept(&f->c.s, f->listener);
    CHECK_INT(raw_recv(&f->c.s, f->fd, f->hello, sizeof f->hello), sizeof f->hello);
    CHECK_INT(f->hello[0], 22); /* a handshake message */
}

/* Connect_failed, the future, and nothing else. */
static void far_end(struct far *f, int code)
{
    UNTIL(&f->c.s, f->c.s.client.done && f->c.s.client.p == NULL);
    CHECK_INT(f->c.s.client.code, code);
    CHECK_INT(f->c.s.client.status, code);
    CHECK_INT(f->c.s.client.count[ON_MADE] + f->c.s.client.count[ON_LOST], 0);
    CHECK_INT(f->c.s.client.count[ON_FAILED], 1);
    if (f->fd >= 0)
        raw_close(&f->c.s, f->fd);
    raw_close(&f->c.s, f->listener);
    tls_stage_close(&f->c);
}

static void E21_X7_a_server_that_closes(void)
{
    struct far f;
    uint8_t rest[8192];
    tls_stage_init(&f.c);
    far_begin(&f);
    stage_settle(&f.c.s);
    f.c.s.sys->cls->recv(f.c.s.sys, f.fd, rest, sizeof rest); /* what is unread would reset it */
    raw_close(&f.c.s, f.fd);
    f.fd = -1;
    UNTIL(&f.c.s, f.c.s.client.done);
    CHECK(strstr(f.c.s.client.error.text, "handshake") != NULL);
    far_end(&f, -ECONNRESET);
}

static void X7_a_server_that_resets(void)
{
    struct far f;
    tls_stage_init(&f.c);
    far_begin(&f);
    raw_reset(&f.c.s, f.fd);
    f.fd = -1;
    far_end(&f, -ECONNRESET);
}

/* The server's first messages, up to the n-th byte, or all but the last -n. */
static void answer(struct far *f, long n)
{
    struct wire w;
    char flight[8192];
    eddy_nsec patience = stage_patience(&f->c.s);
    wire_server(&w, &f->c.s, f->fd, 0);
    BIO_write(SSL_get_rbio(w.ssl), f->hello, sizeof f->hello);
    do {
        wire_receive(&w);
        SSL_do_handshake(w.ssl);
    } while (BIO_pending(SSL_get_wbio(w.ssl)) == 0 && stage_step(&f->c.s, patience));
    int len = BIO_read(SSL_get_wbio(w.ssl), flight, sizeof flight);
    CHECK(len > 200);
    CHECK_INT(raw_send(&f->c.s, f->fd, flight, (size_t)(n < 0 ? len + n : n)), 0);
    SSL_free(w.ssl);
    stage_settle(&f->c.s);
    CHECK(!f->c.s.client.done);
}

/* How far a handshake has come: nothing was answered; a part of a record; all but the last byte. */
static const long steps[] = {0, 20, -1};

#define EACH_STEP(step) for (size_t step = 0; step < 3; step++)

static void far_begin_step(struct far *f, size_t step)
{
    tls_stage_init(&f->c);
    far_begin(f);
    answer(f, steps[step]);
}

static void X7_an_end_of_stream_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        raw_shutdown(&f.c.s, f.fd);
        UNTIL(&f.c.s, f.c.s.client.done);
        CHECK(strstr(f.c.s.client.error.text, "the peer has closed the connection") != NULL);
        far_end(&f, -ECONNRESET);
    }
}

static void X7_a_reset_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        raw_reset(&f.c.s, f.fd);
        f.fd = -1;
        far_end(&f, -ECONNRESET);
    }
}

/* Whether the last record that came is an alert, and the stream has ended behind it: contract X6.
 */
static void check_alert_then_end(struct far *f)
{
    static uint8_t got[65536];
    size_t n = raw_recv(&f->c.s, f->fd, got, sizeof got), at = sizeof f->hello;
    size_t next = (size_t)(f->hello[3] << 8 | f->hello[4]);
    int type = f->hello[0];
    for (at = next; at + 5 <= n; at += 5 + (size_t)(got[at + 3] << 8 | got[at + 4]))
        type = got[at];
    CHECK_INT(at, n);
    CHECK_INT(type, 21);
}

static void garbage(const char *text, size_t len)
{
    struct far f;
    tls_stage_init(&f.c);
    far_begin(&f);
    CHECK_INT(raw_send(&f.c.s, f.fd, text, len), 0);
    check_alert_then_end(&f);
    far_end(&f, EDDY_ETLS);
}

static void X6_a_server_that_speaks_plain_text(void)
{
    struct far f;
    static const char text[] = "220 mail.example.org ESMTP\r\n";
    tls_stage_init(&f.c);
    far_begin(&f);
    CHECK_INT(raw_send(&f.c.s, f.fd, text, strlen(text)), 0);
    UNTIL(&f.c.s, f.c.s.client.done);
    CHECK(strstr(f.c.s.client.error.text, "not speaking TLS") != NULL);
    far_end(&f, EDDY_ETLS);
}

static void X6_a_server_that_sends_garbage_gets_an_alert(void)
{
    garbage("\x16\x03\x03\x00\x04garb", 9);
    garbage("\x17\x03\x03\x00\x04garb", 9);
}

static void X6_garbage_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        CHECK_INT(raw_send(&f.c.s, f.fd, "\x17\x03\x03\x00\x05noise\x00\x00\x00\x00\x00\x00", 16),
                  0);
        if (i == 1) /* it is inside of a record */
            raw_shutdown(&f.c.s, f.fd);
        far_end(&f, i == 1 ? -ECONNRESET : EDDY_ETLS);
    }
}

/* ---- time-outs ---- */

static void E20_X5_a_silent_server_is_given_up(void)
{
    struct tls_stage c;
    char text[100];
    tls_stage_init_plain(&c);
    c.s.connection_opts.tls = c.client;
    c.s.connection_opts.handshake_timeout = has_virtual_time() ? EDDY_MSEC(300) : EDDY_MSEC(40);
    stage_begin(&c.s);
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    REQUIRE(actor_connect(&c.s.client) == 0);
    UNTIL(&c.s, c.s.client.done && c.s.client.p == NULL);
    eddy_nsec took = eddy_loop_time(c.s.loop) - begin;
    CHECK(took >= c.s.connection_opts.handshake_timeout);
    CHECK(!has_virtual_time() || took < EDDY_MSEC(320));
    UNTIL(&c.s, c.s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(c.s.client.trace, "CF(ECONNABORTED) RET(ECONNABORTED)");
    CHECK_TRACE(c.s.peer.trace, "CM DR+ ER CL(0)");
    snprintf(text, sizeof text,
             "SSL handshake is taking longer than %s seconds: aborting the connection",
             has_virtual_time() ? "0.3" : "0.04");
    CHECK_STR(c.s.client.error.text, text);
    tls_stage_close(&c);
}

static void X5_a_minute_by_default_at_each_step(void)
{
    struct far f;
    if (!has_virtual_time())
        return;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        stage_run_for(&f.c.s, EDDY_SEC(59));
        CHECK(!f.c.s.client.done);
        stage_run_for(&f.c.s, EDDY_SEC(2));
        CHECK(f.c.s.client.done);
        CHECK(strstr(f.c.s.client.error.text, "longer than 60 seconds") != NULL);
        far_end(&f, -ECONNABORTED);
    }
}

/* One deadline over everything, the handshake too. */
static void S1_X5_the_deadline_of_connecting_holds_for_the_handshake(void)
{
    struct far f;
    EACH_STEP(i)
    {
        tls_stage_init(&f.c);
        f.c.s.connection_opts.timeout = has_virtual_time() ? EDDY_SEC(5) : EDDY_MSEC(150);
        far_begin(&f);
        if (has_virtual_time())
            answer(&f, steps[i]);
        UNTIL(&f.c.s, f.c.s.client.done);
        CHECK(strstr(f.c.s.client.error.text, "no TLS handshake within") != NULL);
        far_end(&f, -ETIMEDOUT);
    }
}

/* The timers of a handshake that is done do not ring. */
static void X5_S1_time_outs_end_with_the_handshake(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.connection_opts.timeout = EDDY_SEC(5);
    c.s.connection_opts.handshake_timeout = EDDY_SEC(6);
    c.s.server_opts.handshake_timeout = EDDY_SEC(7);
    stage_open(&c.s);
    if (has_virtual_time())
        stage_run_for(&c.s, EDDY_SEC(3600));
    CHECK(stage_is_quiet(&c.s));
    CHECK_TRACE(c.s.client.trace, "CM RET");
    CHECK_TRACE(c.s.peer.trace, "CM");
    tls_stage_close(&c);
}

/* ---- several addresses ---- */

/* The second address wins, and its handshake lasts longer than connecting to the first one. */
static void S9_S10_attempts_that_come_later_do_not_disturb_the_handshake(void)
{
    struct tls_stage c;
    struct wire w;
    struct eddy_addr to[2];
    if (!has_virtual_time())
        return;
    tls_stage_init(&c);
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.port);
    CHECK_INT(eddy_addr_parse("127.0.0.2", c.s.port, &to[0]), 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", c.s.port, &to[1]), 0);
    CHECK_INT(eddy_sim_add_name(test_sim(c.s.loop), "two.example.org", to, 2, 0), 0);
    CHECK_INT(eddy_sim_set_host_delay(test_sim(c.s.loop), &to[0], EDDY_SEC(10)), 0);
    c.s.connection_opts.host = "two.example.org";
    c.s.connection_opts.server_hostname = "localhost";
    CHECK_INT(actor_connect(&c.s.client), 0);
    int fd = raw_accept(&c.s, listener);
    stage_run_for(&c.s, EDDY_SEC(1));
    CHECK_INT(stage_descriptors(&c.s) - c.s.descriptors, 4); /* two listeners, two ends */
    stage_run_for(&c.s, EDDY_SEC(15));
    wire_server(&w, &c.s, fd, 0);
    CHECK_INT(wire_handshake(&w), 1);
    UNTIL(&c.s, c.s.client.done);
    CHECK_TRACE(c.s.client.trace, "CM RET");
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

/* ---- giving up ---- */

static void S13_X8_the_future_is_cancelled_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        eddy_future_cancel(f.c.s.client.future, NULL);
        far_end(&f, -ECANCELED);
    }
}

static void S13_X8_cancelled_before_it_has_connected(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    eddy_future_cancel(c.s.client.future, NULL);
    UNTIL(&c.s, c.s.client.done && c.s.client.p == NULL);
    CHECK_TRACE(c.s.client.trace, "CF(ECANCELED) RET(ECANCELED)");
    tls_stage_close(&c);
}

static void X8_R7_the_protocol_is_aborted_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        eddy_protocol_abort(f.c.s.client.p, EDDY_ERROR(-EPROTO, "the case says so"));
        far_end(&f, -EPROTO);
    }
}

static void X8_G15_the_protocol_is_detached_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        far_begin_step(&f, i);
        actor_detach(&f.c.s.client);
        UNTIL(&f.c.s, f.c.s.client.done);
        CHECK_INT(f.c.s.client.status, -ECANCELED);
        raw_close(&f.c.s, f.fd);
        raw_close(&f.c.s, f.listener);
        tls_stage_close(&f.c);
    }
}

/* The socket goes at once, and not only with the loop. */
static void S13_X8_nothing_is_left_open_by_giving_up(void)
{
    struct far f;
    uint8_t rest[100];
    far_begin_step(&f, 2);
    eddy_future_cancel(f.c.s.client.future, NULL);
    raw_recv(&f.c.s, f.fd, rest, sizeof rest);
    raw_shutdown(&f.c.s, f.fd);
    UNTIL(&f.c.s, stage_descriptors(&f.c.s) == f.c.s.descriptors + 3);
    far_end(&f, -ECANCELED);
}

/* ---- the end of the loop ---- */

static void L16_X8_the_loop_is_closed_at_each_step(void)
{
    struct far f;
    EACH_STEP(i)
    {
        test_expect_log("still open when its loop closes");
        far_begin_step(&f, i);
        raw_close(&f.c.s, f.fd);
        raw_close(&f.c.s, f.listener);
        CHECK_INT(eddy_loop_close(f.c.s.loop), 0);
        CHECK_INT(eddy_future_result(f.c.s.client.future, NULL), EDDY_ELOOP_CLOSED);
        eddy_future_unref(f.c.s.client.future);
        CHECK_INT(f.c.s.client.count[ON_FAILED], 1);
        CHECK_INT(f.c.s.client.count[ON_FINI], 1);
        CHECK_INT(f.c.s.client.code, EDDY_ELOOP_CLOSED);
        eddy_server_unref(f.c.s.server);
        test_loop_free(f.c.s.loop);
        eddy_tls_unref(f.c.server);
        eddy_tls_unref(f.c.client);
    }
}

static void L16_X36_the_loop_is_closed_with_connections_open(void)
{
    struct tls_stage c;
    test_expect_log("still open when its loop closes");
    tls_stage_init(&c);
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 100000), 0);
    test_loop_free(c.s.loop);
    CHECK_TRACE(c.s.client.trace, "CM RET CL(ELOOP_CLOSED)");
    CHECK_INT(c.s.peer.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(c.s.peer.count[ON_FINI], 1);
    eddy_server_unref(c.s.server);
    eddy_tls_unref(c.server);
    eddy_tls_unref(c.client);
}

/* ---- trust; more in tls_verify.c ---- */

static void not_trusted(struct eddy_tls *client)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    c.s.connection_opts.tls = client;
    c.s.connection_opts.use_tls = true;
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    CHECK_INT(actor_connect(&c.s.client), 0);
    wire_server(&w, &c.s, raw_accept(&c.s, listener), 0);
    CHECK_INT(wire_handshake(&w), -1);
    /* The server is told why, before the end of stream. */
    CHECK_INT(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_UNKNOWN_CA);
    UNTIL(&c.s, c.s.client.done && c.s.client.p == NULL);
    CHECK_INT(c.s.client.code, EDDY_ETLS_CERT);
    CHECK_INT(c.s.client.status, EDDY_ETLS_CERT);
    CHECK_INT(c.s.client.count[ON_MADE], 0);
    CHECK(strstr(c.s.client.error.text, "certificate verify failed") != NULL);
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

static void E18_X6_a_certificate_of_somebody_unknown(void)
{
    struct cert *other = cert_new(CERT(.cn = "somebody else", .ca = true));
    struct eddy_tls *client;
    REQUIRE(eddy_tls_new(EDDY_TLS_CLIENT(CERT_TRUST(other)), &client) == 0);
    not_trusted(client);
    eddy_tls_unref(client);
    cert_free(other);
}

static void X12_the_default_context_verifies(void)
{
    not_trusted(NULL);
}

static void E18_S29_the_server_of_such_a_client_makes_no_instance(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.connection_opts.tls = NULL;
    c.s.connection_opts.use_tls = true;
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.done && c.s.client.p == NULL);
    CHECK_INT(c.s.client.code, EDDY_ETLS_CERT);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    CHECK_INT(c.s.peer.count[ON_INIT], 0);
    tls_stage_close(&c);
}

static void X13_S3_the_host_is_verified(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.connection_opts.server_hostname = "other.example.org";
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.done && c.s.client.p == NULL);
    CHECK_INT(c.s.client.code, EDDY_ETLS_CERT);
    CHECK(strstr(c.s.client.error.text, "other.example.org") != NULL);
    tls_stage_close(&c);
}

static void X13_no_name_check_is_logged(void)
{
    struct tls_stage c;
    test_expect_log("name");
    tls_stage_init(&c);
    c.s.connection_opts.server_hostname = "other.example.org";
    c.s.connection_opts.no_name_check = true;
    stage_open(&c.s);
    tls_stage_close(&c);
}

/* ---- what can be asked ---- */

static void ask_after_loss(struct actor *a)
{
    struct eddy_addr addr;
    struct eddy_tls_info info;
    CHECK_INT(eddy_tls_info(a->t, &info), 0);
    CHECK_INT(eddy_transport_peername(a->t, &addr), 0);
    CHECK(eddy_tls_of(a->t) != NULL);
}

static void X16_R29_answers_until_connection_lost_returns(void)
{
    struct tls_stage c;
    struct eddy_addr mine, theirs;
    struct eddy_tls_info info;
    tls_stage_init(&c);
    c.s.connection_opts.server_hostname = "localhost";
    c.s.client.on[ON_LOST] = c.s.peer.on[ON_LOST] = ask_after_loss;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_peername(c.s.client.t, &theirs), 0);
    CHECK_INT(eddy_addr_port(&theirs), c.s.port);
    CHECK_INT(eddy_transport_sockname(c.s.client.t, &mine), 0);
    CHECK_INT(eddy_transport_peername(c.s.peer.t, &theirs), 0);
    CHECK(eddy_addr_equal(&mine, &theirs));
    CHECK(eddy_transport_fd(c.s.client.t) >= 0);
    CHECK(eddy_tls_of(c.s.client.t) == c.client);
    CHECK(eddy_tls_of(c.s.peer.t) == c.server);
    CHECK_INT(eddy_tls_info(c.s.peer.t, &info), 0);
    CHECK(info.server_side);
    CHECK_STR(info.server_hostname, "localhost");
    eddy_transport_close(c.s.client.t);
    CHECK_INT(eddy_tls_info(c.s.client.t, &info), 0);
    CHECK(info.verified);
    UNTIL_LOST(&c.s, &c.s.client);
    UNTIL_LOST(&c.s, &c.s.peer);
    tls_stage_close(&c);
}

static void X11_G10_a_context_lives_as_long_as_its_connections(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    eddy_tls_unref(c.client);
    c.client = NULL;
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    UNTIL(&c.s, c.s.peer.received == 1000);
    tls_stage_close(&c);
}

/* A hundred connections, and nothing is left of any. */
static void D5_connections_come_and_go(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    long live = 0;
    int descriptors = 0;
    for (int i = 0; i < 100; i++) {
        c.s.guest_next = 0;
        c.s.client.count[ON_MADE] = c.s.client.count[ON_LOST] = 0;
        c.s.peer.count[ON_MADE] = c.s.peer.count[ON_LOST] = 0;
        trace_clear(&c.s.client.trace);
        trace_clear(&c.s.peer.trace);
        CHECK_INT(actor_connect(&c.s.client), 0);
        UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
        eddy_transport_close(i % 2 ? c.s.client.t : c.s.peer.t);
        UNTIL_LOST(&c.s, &c.s.client);
        UNTIL_LOST(&c.s, &c.s.peer);
        stage_settle(&c.s);
        UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
        if (i == 50) {
            live = test_live_allocations();
            descriptors = stage_descriptors(&c.s);
        }
    }
    UNTIL(&c.s, stage_descriptors(&c.s) == descriptors);
    CHECK(test_live_allocations() <= live + 2);
    c.s.client.count[ON_MADE] = c.s.client.count[ON_LOST] = 0;
    c.s.client.attachments = c.s.client.count[ON_FINI];
    c.s.peer.attachments = c.s.peer.count[ON_FINI];
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(S2_X5_X30_options_of_tls_without_tls_and_bad_times_are_refused),
    CASE(S2_S3_X13_a_name_to_verify_is_needed),
    CASE(S2_X11_a_context_for_the_other_side_is_refused),
    CASE(X2_X3_streams_of_bytes_both_ways),
    CASE(X3_X19_streams_of_bytes_both_ways_with_buffered_protocols),
    CASE(X2_X4_the_same_with_TLS_1_2),
    CASE(X4_data_behind_the_handshake_comes_after_the_future),
    CASE(X4_data_behind_a_clients_handshake_comes_an_iteration_later),
    CASE(X4_R12_T27_pause_in_connection_made_delivers_nothing),
    CASE(X18_R11_bytes_written_in_connection_made_are_sent),
    CASE(S14_success_is_logged_in_debug_mode),
    CASE(S4_X13_over_a_socket_that_is_given),
    CASE(S50_X9_a_socket_accepted_elsewhere),
    CASE(S50_S17_its_arguments),
    CASE(E21_X7_a_server_that_closes),
    CASE(X7_a_server_that_resets),
    CASE(X7_an_end_of_stream_at_each_step),
    CASE(X7_a_reset_at_each_step),
    CASE(X6_a_server_that_speaks_plain_text),
    CASE(X6_a_server_that_sends_garbage_gets_an_alert),
    CASE(X6_garbage_at_each_step),
    CASE(E20_X5_a_silent_server_is_given_up),
    CASE(X5_a_minute_by_default_at_each_step),
    CASE(S1_X5_the_deadline_of_connecting_holds_for_the_handshake),
    CASE(X5_S1_time_outs_end_with_the_handshake),
    CASE(S9_S10_attempts_that_come_later_do_not_disturb_the_handshake),
    CASE(S13_X8_the_future_is_cancelled_at_each_step),
    CASE(S13_X8_cancelled_before_it_has_connected),
    CASE(X8_R7_the_protocol_is_aborted_at_each_step),
    CASE(X8_G15_the_protocol_is_detached_at_each_step),
    CASE(S13_X8_nothing_is_left_open_by_giving_up),
    CASE(L16_X8_the_loop_is_closed_at_each_step),
    CASE(L16_X36_the_loop_is_closed_with_connections_open),
    CASE(E18_X6_a_certificate_of_somebody_unknown),
    CASE(X12_the_default_context_verifies),
    CASE(E18_S29_the_server_of_such_a_client_makes_no_instance),
    CASE(X13_S3_the_host_is_verified),
    CASE(X13_no_name_check_is_logged),
    CASE(X16_R29_answers_until_connection_lost_returns),
    CASE(X11_G10_a_context_lives_as_long_as_its_connections),
    CASE(D5_connections_come_and_go),
    TEST_END,
};
