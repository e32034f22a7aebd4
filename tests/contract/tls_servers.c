/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* Servers with TLS: who is counted and when, limits, the ways to close. Contract S17, S29, S30, S34
 * to S37, S39, S53, X5 to X9, X12, X16, E19, G12, G15, G18. */
#include "tests/contract/tls_calls.h"
#include <eddy/sim.h>
#include <unistd.h>

/* ---- arguments ---- */

static void check_refused(struct tls_stage *c, const struct eddy_server_opts *opts)
{
    struct eddy_server_opts all = *opts;
    struct eddy_error error = {.code = 0};
    struct eddy_server *server = NULL;
    all.error = &error;
    CHECK_INT(eddy_create_server(c->s.loop, &actor_class, &all, &server), -EINVAL);
    CHECK(server == NULL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(strstr(error.text, "create_server: ") == error.text);
}

static void S17_X5_X30_options_of_tls_without_tls_and_bad_times_are_refused(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_begin(&c.s);
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .handshake_timeout = 1));
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .shutdown_timeout = 1));
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .tls = c.server, .handshake_timeout = -1));
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .tls = c.server, .shutdown_timeout = -1));
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .tls = c.client));
    check_refused(&c, EDDY_SERVER(.host = "127.0.0.1", .max_handshakes = 1));
    tls_stage_close(&c);
}

/* ---- peers without manners ---- */

/* No instance is made, nobody hears of it, and it is counted out. */
static void check_nobody(struct tls_stage *c)
{
    UNTIL(&c->s, eddy_server_connections(c->s.server) == 0);
    CHECK_INT(c->s.peer.count[ON_INIT], 0);
    CHECK_INT(c->s.problems.count, 0);
}

/* And the next one is served. */
static void check_next(struct tls_stage *c)
{
    REQUIRE(actor_connect(&c->s.client) == 0);
    UNTIL(&c->s, c->s.client.done && c->s.peer.count[ON_MADE] == 1);
    CHECK_INT(c->s.client.status, 0);
    tls_stage_close(c);
}

static void E19_X6_X9_plain_text(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.connection_opts.tls = NULL;
    c.s.client.out_key = 1;
    stage_begin(&c.s);
    CHECK_INT(actor_connect(&c.s.client), 0);
    UNTIL(&c.s, c.s.client.count[ON_MADE] == 1);
    CHECK_INT(eddy_transport_write(c.s.client.t, "GET / HTTP/1.1\r\n\r\n", 18), 0);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_TRACE(c.s.client.trace, "CM RET DR* ER CL(0)");
    check_nobody(&c);
    CHECK_INT(test_count_log("server: refused 127.0.0.1:"), 1);
    CHECK_INT(test_count_log("the peer is not speaking TLS"), 1);
    tls_stage_close(&c);
}

static void X6_X9_garbage_is_answered_by_an_alert(void)
{
    struct tls_stage c;
    uint8_t got[100];
    tls_stage_init(&c);
    stage_begin(&c.s);
    int fd = raw_connect(&c.s);
    CHECK_INT(raw_send(&c.s, fd, "\x16\x03\x01\x00\x05\xff\x00\x00\x01\x00", 10), 0);
    size_t n = raw_recv(&c.s, fd, got, sizeof got); /* to the end of the stream */
    CHECK_INT(n, 7);
    CHECK_INT(got[0], 21);
    raw_close(&c.s, fd);
    check_nobody(&c);
    check_next(&c);
}

/* A client's first message, and how much of it is sent. */
static int half_a_hello(struct tls_stage *c, size_t percent)
{
    struct wire w;
    char hello[4096];
    int fd = raw_connect(&c->s);
    wire_client(&w, &c->s, fd, 0);
    SSL_do_handshake(w.ssl);
    int n = BIO_read(SSL_get_wbio(w.ssl), hello, sizeof hello);
    CHECK_INT(raw_send(&c->s, fd, hello, (size_t)n * percent / 100), 0);
    SSL_free(w.ssl);
    stage_settle(&c->s);
    UNTIL(&c->s, eddy_server_connections(c->s.server) > 0);
    return fd;
}

static const size_t percents[] = {0, 50, 100};

static void X7_X9_clients_that_close_or_reset_at_each_step(void)
{
    for (size_t i = 0; i < 6; i++) {
        struct tls_stage c;
        tls_stage_init(&c);
        stage_begin(&c.s);
        int fd = half_a_hello(&c, percents[i / 2]);
        if (i % 2)
            raw_reset(&c.s, fd);
        else
            raw_close(&c.s, fd);
        check_nobody(&c);
        check_next(&c);
    }
}

static void X7_S29_in_debug_mode_it_is_reported(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.expected_problems = 1;
    stage_begin(&c.s);
    eddy_loop_set_debug(c.s.loop, true);
    raw_close(&c.s, half_a_hello(&c, 50));
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    CHECK_INT(c.s.problems.count, 1);
    CHECK_STR(c.s.problems.message, "Error on transport creation for incoming connection");
    CHECK_INT(c.s.problems.code, -ECONNRESET);
    CHECK(c.s.problems.server == c.s.server);
    check_next(&c);
}

static void X5_X9_a_silent_client_is_given_up(void)
{
    for (size_t i = 0; i < 3; i++) {
        struct tls_stage c;
        size_t got;
        tls_stage_init(&c);
        c.s.server_opts.handshake_timeout = has_virtual_time() ? EDDY_SEC(20) : EDDY_MSEC(40);
        stage_begin(&c.s);
        int fd = half_a_hello(&c, percents[i]);
        eddy_nsec begin = eddy_loop_time(c.s.loop);
        CHECK_INT(raw_drain(&c.s, fd, 0, &got), 0);
        CHECK(!has_virtual_time() || eddy_loop_time(c.s.loop) - begin < EDDY_SEC(21));
        raw_close(&c.s, fd);
        check_nobody(&c);
        if (has_virtual_time()) {
            check_next(&c);
        } else {
            tls_stage_close(&c);
        }
    }
}

/* ---- init refuses ---- */

static void G18_S29_an_init_that_refuses_a_client_after_its_handshake(void)
{
    struct tls_stage c;
    struct wire w;
    size_t got;
    tls_stage_init(&c);
    c.s.peer.init_result = -EACCES;
    stage_begin(&c.s);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    CHECK_INT(wire_handshake(&w), 1);
    wire_drain(&w, 0, &got);
    CHECK(w.ended);
    CHECK_INT(c.s.peer.count[ON_INIT], 1);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    wire_end(&w);
    tls_stage_close(&c);
}

/* ---- limits ---- */

static void X9_beyond_max_handshakes_clients_wait(void)
{
    struct tls_stage c;
    struct actor more[3];
    int idle[2];
    tls_stage_init(&c);
    c.s.server_opts.max_handshakes = 2;
    for (int i = 0; i < 3; i++)
        stage_add(&c.s, &more[i], true);
    stage_begin(&c.s);
    for (int i = 0; i < 2; i++)
        idle[i] = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 2);
    CHECK_INT(actor_connect(&c.s.client), 0);
    stage_settle(&c.s);
    CHECK_INT(eddy_server_connections(c.s.server), 2);
    CHECK(!c.s.client.done);
    /* One gives up: the next one is taken. */
    raw_close(&c.s, idle[0]);
    UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
    CHECK_INT(c.s.client.status, 0);
    CHECK_INT(eddy_server_connections(c.s.server), 2);
    /* Connections that are made do not count. */
    struct wire w;
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    CHECK_INT(wire_handshake(&w), 1);
    UNTIL(&c.s, more[0].count[ON_MADE] == 1);
    wire_end(&w);
    raw_close(&c.s, idle[1]);
    tls_stage_close(&c);
}

static void S53_X9_handshakes_count_for_max_connections(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.server_opts.max_connections = 1;
    stage_begin(&c.s);
    int fd = half_a_hello(&c, 100);
    CHECK_INT(actor_connect(&c.s.client), 0);
    stage_settle(&c.s);
    CHECK_INT(eddy_server_connections(c.s.server), 1);
    CHECK(!c.s.client.done);
    raw_close(&c.s, fd);
    UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
    tls_stage_close(&c);
}

/* What looks like the begin of a long hello, from more clients at once than get a turn. Who has to
 * wait is not kept in memory with all that it has sent. */
static void X9_X47_much_before_the_first_step_is_not_kept(void)
{
    enum { MANY = 40, LEN = 40000 };
    static uint8_t hello[LEN] = {22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc};
    struct tls_stage c;
    int fds[MANY];
    tls_stage_init(&c);
    stage_begin(&c.s);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == MANY);
    long before = test_live_bytes();
    test_reset_peak_bytes();
    for (int i = 0; i < MANY; i++)
        raw_send(&c.s, fds[i], hello, sizeof hello);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    CHECK(test_is_sim() || test_peak_bytes() - before < MANY * 20000); /* it counts its own */
    for (int i = 0; i < MANY; i++)
        raw_close(&c.s, fds[i]);
    check_nobody(&c);
    tls_stage_close(&c);
}

/* ---- closing ---- */

static struct eddy_future *wait_for(struct tls_stage *c)
{
    struct eddy_future *f = NULL;
    REQUIRE(eddy_server_wait_closed(c->s.server, &f) == 0);
    return f;
}

static void check_completed(struct tls_stage *c, struct eddy_future *f)
{
    UNTIL(&c->s, eddy_future_is_done(f));
    CHECK_INT(eddy_future_result(f, NULL), 0);
    CHECK_INT(eddy_server_connections(c->s.server), 0);
    eddy_future_unref(f);
}

static void S30_X8_a_closing_server_gives_up_handshakes_silently(void)
{
    for (size_t i = 0; i < 3; i++) {
        struct tls_stage c;
        size_t got;
        tls_stage_init(&c);
        stage_begin(&c.s);
        int fd = half_a_hello(&c, percents[i]);
        struct eddy_future *f = wait_for(&c);
        eddy_nsec begin = eddy_loop_time(c.s.loop);
        eddy_server_close(c.s.server);
        CHECK(!eddy_future_is_done(f));
        check_completed(&c, f);
        CHECK(eddy_loop_time(c.s.loop) - begin < EDDY_SEC(5)); /* not the handshake's time-out */
        int rc = raw_drain(&c.s, fd, 0, &got);
        CHECK(rc == 0 || rc == -ECONNRESET);
        raw_close(&c.s, fd);
        CHECK_INT(c.s.peer.count[ON_INIT], 0);
        tls_stage_close(&c);
    }
}

static void S30_S33_connections_that_are_made_stay(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 2);
    struct eddy_future *f = wait_for(&c);
    eddy_server_close(c.s.server);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 1);
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    UNTIL(&c.s, c.s.peer.received == 1000);
    eddy_transport_close(c.s.client.t);
    check_completed(&c, f);
    CHECK_INT(c.s.peer.count[ON_LOST], 1); /* R31: it was told before */
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

static void S34_R31_a_connection_counts_until_its_connection_lost(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    CHECK_INT(eddy_server_connections(c.s.server), 1);
    struct eddy_future *f = wait_for(&c);
    eddy_server_close(c.s.server);
    eddy_transport_close(c.s.peer.t);
    CHECK_INT(eddy_server_connections(c.s.server), 1);
    check_completed(&c, f);
    CHECK_TRACE(c.s.peer.trace, "CM CL(0)");
    tls_stage_close(&c);
}

static void S37_close_clients(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int fd = half_a_hello(&c, 0);
    (void)fd;
    CHECK_INT(actor_write(&c.s.peer, 100000), 0);
    eddy_server_close_clients(c.s.server);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_INT(c.s.client.received, 100000);
    CHECK_INT(c.s.client.code, 0);
    CHECK_INT(c.s.peer.code, 0);
    CHECK_INT(c.s.client.count[ON_EOF], 1);
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

static void S37_abort_clients(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    int fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 2);
    eddy_server_abort_clients(c.s.server, EDDY_ERROR(-EPROTO, "enough"));
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    CHECK_TRACE(c.s.peer.trace, "CM CL(EPROTO)");
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK(c.s.client.code == -ECONNRESET || c.s.client.code == EDDY_ETLS);
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

static void S53_drain_asks_connections_and_ends_handshakes(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 2);
    c.s.peer.on[ON_SHUTDOWN] = do_close;
    CHECK_INT(actor_write(&c.s.peer, 50000), 0);
    CHECK_INT(eddy_server_drain(c.s.server, EDDY_SEC(60), &f), 0);
    check_completed(&c, f);
    CHECK_TRACE(c.s.peer.trace, "CM SR CL(0)");
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_INT(c.s.client.received, 50000);
    CHECK_INT(c.s.client.code, 0);
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

static void S53_drain_has_an_end(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_open(&c.s);
    CHECK_INT(eddy_server_drain(c.s.server, EDDY_MSEC(30), &f), 0);
    check_completed(&c, f);
    CHECK_TRACE(c.s.peer.trace, "CM SR CL(ETIMEDOUT)");
    tls_stage_close(&c);
}

/* The connection is lost by an error of TLS's; below, much is still to be sent to a peer that does
 * not read. Its server still has it, and ends it. */
static void S53_S37_X36_what_an_error_leaves_below_is_the_servers(void)
{
    for (int i = 0; i < 2; i++) {
        struct tls_stage c;
        struct wire w;
        struct eddy_future *f = NULL;
        tls_stage_init(&c);
        tls_stage_open_wire(&c, &w, 0);
        CHECK(actor_fill(&c.s.peer) > 0);
        CHECK_INT(raw_send(&c.s, w.fd, "\x17\x03\x03\x00\x14 this is no record ", 25), 0);
        UNTIL(&c.s, c.s.peer.count[ON_LOST] == 1);
        CHECK_INT(c.s.peer.code, EDDY_ETLS);
        CHECK_INT(eddy_server_connections(c.s.server), 1);
        eddy_nsec begin = eddy_loop_time(c.s.loop);
        if (i == 0)
            CHECK_INT(eddy_server_drain(c.s.server, EDDY_MSEC(30), &f), 0);
        else
            eddy_server_abort_clients(c.s.server, NULL);
        UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
        CHECK(eddy_loop_time(c.s.loop) - begin < EDDY_SEC(5));
        if (f)
            check_completed(&c, f);
        wire_end(&w);
        tls_stage_close(&c);
    }
}

static void close_the_server(struct actor *a)
{
    eddy_server_close(a->stage->server);
}

static void S39_the_server_is_closed_inside_a_callback(void)
{
    static const enum slot slots[] = {ON_INIT, ON_MADE, ON_DATA, ON_LOST, ON_FINI};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct tls_stage c;
        struct wire w;
        tls_stage_init(&c);
        c.s.peer.on[slots[i]] = close_the_server;
        stage_begin(&c.s);
        wire_client(&w, &c.s, raw_connect(&c.s), 0);
        CHECK_INT(wire_handshake_and_write(&w, "hello", 5), 1);
        UNTIL(&c.s,
              c.s.peer.count[ON_DATA] == 1 || w.ended || eddy_server_connections(c.s.server) == 0);
        wire_close_notify(&w);
        UNTIL(&c.s, c.s.peer.p == NULL && eddy_server_connections(c.s.server) == 0);
        CHECK_INT(c.s.peer.count[ON_MADE], 1);
        CHECK_INT(c.s.peer.code, 0);
        wire_end(&w);
        tls_stage_close(&c);
    }
}

static void S39_a_server_dropped_with_a_handshake_under_way(void)
{
    struct tls_stage c;
    size_t got;
    tls_stage_init(&c);
    stage_begin(&c.s);
    int fd = half_a_hello(&c, 100);
    eddy_server_close(c.s.server);
    eddy_server_unref(c.s.server);
    c.s.server = NULL;
    raw_drain(&c.s, fd, 0, &got);
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

static void L16_the_loop_is_closed_with_handshakes_and_connections_open(void)
{
    struct tls_stage c;
    test_expect_log("still open when its loop closes");
    tls_stage_init(&c);
    stage_open(&c.s);
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = raw_connect(&c.s);
        if (i > 0)
            CHECK_INT(raw_send(&c.s, fds[i], "\x16\x03\x01\x02", 4), 0);
    }
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 4);
    for (size_t i = 0; i < 3; i++)
        raw_close(&c.s, fds[i]);
    test_loop_free(c.s.loop);
    CHECK_INT(c.s.peer.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(c.s.client.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(c.s.peer.count[ON_FINI], 1);
    eddy_server_unref(c.s.server);
    eddy_tls_unref(c.server);
    eddy_tls_unref(c.client);
}

/* ---- instances ---- */

static void hold(struct actor *a)
{
    eddy_protocol_hold(a->p);
}

static void G15_G12_a_held_instance_outlives_its_connection(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = hold;
    stage_open(&c.s);
    eddy_transport_close(c.s.client.t);
    UNTIL_LOST(&c.s, &c.s.client);
    UNTIL(&c.s, c.s.peer.count[ON_LOST] == 1 && eddy_server_connections(c.s.server) == 0);
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.count[ON_FINI], 0);
    CHECK(c.s.peer.p->transport == NULL);
    eddy_protocol_release(c.s.peer.p);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1);
    tls_stage_close(&c);
}

static void G15_a_detached_instance_closes_its_connection(void)
{
    struct tls_stage c;
    tls_stage_init(&c);
    stage_open(&c.s);
    actor_detach(&c.s.peer);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_TRACE(c.s.client.trace, "CM RET ER CL(0)");
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    tls_stage_close(&c);
}

static void G15_detached_in_each_callback(void)
{
    static const enum slot slots[] = {ON_MADE, ON_DATA, ON_EOF, ON_LOST};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct tls_stage c;
        struct wire w;
        size_t got;
        tls_stage_init(&c);
        c.s.peer.on[slots[i]] = actor_detach;
        stage_begin(&c.s);
        wire_client(&w, &c.s, raw_connect(&c.s), 0);
        CHECK_INT(wire_handshake_and_write(&w, "hello", 5), 1);
        wire_close_notify(&w);
        wire_drain(&w, 0, &got);
        wire_end(&w);
        UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
        CHECK_INT(c.s.peer.count[slots[i]], 1);
        tls_stage_close(&c);
    }
}

static void switch_to_other(struct actor *a)
{
    CHECK_INT(actor_switch(a, a->user, &actor_buffered_class), 0);
}

static void R36_R38_another_protocol_takes_over(void)
{
    struct tls_stage c;
    struct actor other;
    tls_stage_init(&c);
    stage_add(&c.s, &other, false);
    other.in_key = 1;
    c.s.client.out_key = 1;
    c.s.peer.on[ON_DATA] = switch_to_other;
    c.s.peer.user = &other;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 10), 0);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1);
    other.received = 10;
    CHECK_INT(actor_write(&c.s.client, 20), 0);
    UNTIL(&c.s, other.received == 30);
    eddy_transport_close(c.s.client.t);
    UNTIL(&c.s, other.count[ON_LOST] == 1);
    CHECK_TRACE(c.s.peer.trace, "CM DR(10)");
    CHECK_INT(other.code, 0);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0);
    tls_stage_close(&c);
}

/* ---- many at once: more steps than an iteration has room for ---- */

static void X4_many_clients_at_once(void)
{
    enum { MANY = 14 };
    struct tls_stage c;
    static struct actor clients[MANY], peers[MANY];
    int made = 0;
    tls_stage_init(&c);
    c.s.guest_count = 0; /* the stage's own two do not play */
    for (int i = 0; i < MANY; i++) {
        stage_add(&c.s, &clients[i], false);
        stage_add(&c.s, &peers[i], true);
        clients[i].out_key = peers[i].in_key = 1;
    }
    stage_begin(&c.s);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(actor_connect(&clients[i]), 0);
    for (eddy_nsec end = stage_patience(&c.s); made < 2 * MANY && stage_step(&c.s, end);) {
        made = 0;
        for (int i = 0; i < MANY; i++)
            made += clients[i].done + peers[i].count[ON_MADE];
    }
    CHECK_INT(made, 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(actor_write(&clients[i], 20000), 0);
        eddy_transport_close(clients[i].t);
    }
    for (int i = 0; i < MANY; i++) {
        UNTIL(&c.s, peers[i].count[ON_LOST] == 1);
        CHECK_INT(peers[i].received, 20000);
        CHECK_INT(peers[i].code, 0);
    }
    tls_stage_close(&c);
}

/* ---- unix sockets ---- */

static void S40_S41_X2_T39_over_a_unix_socket(void)
{
    struct tls_stage c;
    char folder[] = "/tmp/eddy-tls-XXXXXX", path[64];
    struct eddy_peercred cred;
    struct eddy_server *server = NULL;
    struct eddy_error error = {.code = 0};
    tls_stage_init(&c);
    stage_keyed(&c.s);
    if (test_is_sim()) { /* has none */
        stage_begin(&c.s);
        tls_stage_close(&c);
        return;
    }
    stage_begin(&c.s);
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
    CHECK_INT(eddy_create_unix_server(c.s.loop, &actor_class,
                                      EDDY_UNIX_SERVER(.path = path, .tls = c.server, .arg = &c.s),
                                      &server),
              0);
    eddy_protocol_init(&c.s.client.own.base, &actor_class);
    CHECK_INT(eddy_create_unix_connection(
                  c.s.loop, &c.s.client.own.base,
                  EDDY_UNIX_CONNECTION(.path = path, .tls = c.client, .error = &error), NULL),
              -EINVAL);
    CHECK(strstr(error.text, "server_hostname") != NULL);
    CHECK_INT(eddy_create_unix_connection(
                  c.s.loop, &c.s.client.own.base,
                  EDDY_UNIX_CONNECTION(.path = path, .tls = c.client, .max_fds = 1,
                                       .server_hostname = "localhost", .error = &error),
                  NULL),
              -EINVAL);
    CHECK(strstr(error.text, "max_fds") != NULL);
    CHECK_INT(eddy_create_unix_connection(
                  c.s.loop, &c.s.client.own.base,
                  EDDY_UNIX_CONNECTION(.path = path, .server_hostname = "localhost"), NULL),
              -EINVAL);
    CHECK_INT(eddy_create_unix_connection(c.s.loop, &c.s.client.own.base,
                                          EDDY_UNIX_CONNECTION(.path = path, .tls = c.client,
                                                               .server_hostname = "localhost"),
                                          &c.s.client.future),
              0);
    actor_begin(&c.s.client, true);
    UNTIL(&c.s, c.s.client.done && c.s.peer.count[ON_MADE] == 1);
    CHECK_INT(eddy_transport_peercred(c.s.peer.t, &cred), 0);
    CHECK_INT(cred.uid, getuid());
    CHECK_INT(actor_write(&c.s.client, 300000), 0);
    CHECK_INT(actor_write(&c.s.peer, 300000), 0);
    UNTIL(&c.s, c.s.peer.received == 300000 && c.s.client.received == 300000);
    eddy_transport_close(c.s.peer.t);
    UNTIL_LOST(&c.s, &c.s.client);
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.client.code, 0);
    eddy_server_close(server);
    UNTIL(&c.s, eddy_server_connections(server) == 0);
    eddy_server_unref(server);
    CHECK_INT(rmdir(folder), 0);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(S17_X5_X30_options_of_tls_without_tls_and_bad_times_are_refused),
    CASE(E19_X6_X9_plain_text),
    CASE(X6_X9_garbage_is_answered_by_an_alert),
    CASE(X7_X9_clients_that_close_or_reset_at_each_step),
    CASE(X7_S29_in_debug_mode_it_is_reported),
    CASE(X5_X9_a_silent_client_is_given_up),
    CASE(G18_S29_an_init_that_refuses_a_client_after_its_handshake),
    CASE(X9_beyond_max_handshakes_clients_wait),
    CASE(S53_X9_handshakes_count_for_max_connections),
    CASE(X9_X47_much_before_the_first_step_is_not_kept),
    CASE(S30_X8_a_closing_server_gives_up_handshakes_silently),
    CASE(S30_S33_connections_that_are_made_stay),
    CASE(S34_R31_a_connection_counts_until_its_connection_lost),
    CASE(S37_close_clients),
    CASE(S37_abort_clients),
    CASE(S53_drain_asks_connections_and_ends_handshakes),
    CASE(S53_drain_has_an_end),
    CASE(S53_S37_X36_what_an_error_leaves_below_is_the_servers),
    CASE(S39_the_server_is_closed_inside_a_callback),
    CASE(S39_a_server_dropped_with_a_handshake_under_way),
    CASE(L16_the_loop_is_closed_with_handshakes_and_connections_open),
    CASE(G15_G12_a_held_instance_outlives_its_connection),
    CASE(G15_a_detached_instance_closes_its_connection),
    CASE(G15_detached_in_each_callback),
    CASE(R36_R38_another_protocol_takes_over),
    CASE(X4_many_clients_at_once),
    CASE(S40_S41_X2_T39_over_a_unix_socket),
    TEST_END,
};
