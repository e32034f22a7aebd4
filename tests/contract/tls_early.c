/* backends: epoll sim */
/* Early data: what a client sends before the handshake is done, and who may see it. Contract X15.
 */
#include "tests/contract/tls_pair.h"

/* What a server's early_data_received has got. */
static struct {
    int calls;
    char data[32768];
    size_t len;
    bool made; /* connection_made had been called */
    struct eddy_transport *t;
    bool answer;
    void (*then)(struct eddy_transport *t);
} early;

static void receive(struct eddy_protocol *p, const void *data, size_t len)
{
    early.calls++;
    early.made = p->transport != NULL;
    early.t = p->transport;
    if (CHECK(early.len + len <= sizeof early.data))
        memcpy(early.data + early.len, data, len);
    early.len += len;
    if (early.answer)
        CHECK_INT(eddy_transport_write(p->transport, "early", 5), 0);
    if (early.then)
        early.then(p->transport);
}

#define EARLY(...) WWW(.max_early_data = 16384, .early_data_received = receive, __VA_ARGS__)

static struct actor second, second_guest;

/* A first connection has left permission. */
static void open_first(struct tls_stage *c, const struct eddy_tls_opts *server,
                       const struct eddy_tls_opts *client)
{
    memset(&early, 0, sizeof early);
    pair_init(c, server, client);
    stage_add(&c->s, &second, false);
    stage_add(&c->s, &second_guest, true);
    pair_open(c);
    CHECK_INT(eddy_transport_write(c->s.peer.t, "x", 1), 0);
    UNTIL(&c->s, c->s.client.received == 1);
}

/* The next one, with early data. */
static int connect_early(struct tls_stage *c, const void *data, size_t len)
{
    c->s.connection_opts.early_data = data;
    c->s.connection_opts.early_data_len = len;
    return pair_connect(c, &second);
}

static void X15_early_data_come_before_the_handshake_is_done_and_by_their_own_callback(void)
{
    struct tls_stage c;
    need_www();
    open_first(&c, EARLY(), TRUSTING());
    CHECK(!info_of(&c.s.client).early_data);
    early.answer = true;
    CHECK_INT(connect_early(&c, "GET /", 5), 0);
    UNTIL(&c.s, second.received == 5);
    CHECK(info_of(&second).early_data && info_of(&second).resumed);
    CHECK(memcmp(second.head, "early", 5) == 0);
    CHECK_INT(early.calls, 1);
    CHECK(early.made);
    CHECK(early.len == 5 && memcmp(early.data, "GET /", 5) == 0);
    CHECK_INT(second_guest.count[ON_DATA], 0);
    CHECK_INT(eddy_transport_write(second.t, "more", 4), 0);
    UNTIL(&c.s, second_guest.received == 4);
    CHECK(info_of(&second_guest).early_data);
    tls_stage_close(&c);
}

static void X15_as_much_as_is_allowed(void)
{
    static uint8_t data[16384];
    struct tls_stage c;
    need_www();
    open_first(&c, EARLY(), TRUSTING());
    stream_bytes(data, sizeof data, 0, 7);
    CHECK_INT(connect_early(&c, data, sizeof data), 0);
    UNTIL(&c.s, second_guest.count[ON_MADE] == 1 && early.len == sizeof data);
    CHECK(stream_matches(early.data, early.len, 0, 7));
    CHECK(info_of(&second).early_data);
    CHECK_INT(eddy_transport_write(second.t, "more", 4), 0); /* it was not too much */
    UNTIL(&c.s, second_guest.received == 4);
    tls_stage_close(&c);
}

/* What is not allowed is not sent; the connection is made all the same. */
static void check_not_sent(const struct eddy_tls_opts *server, const void *data, size_t len)
{
    struct tls_stage c;
    open_first(&c, server, TRUSTING());
    CHECK_INT(connect_early(&c, data, len), 0);
    UNTIL(&c.s, second_guest.count[ON_MADE] == 1);
    CHECK(info_of(&second).resumed && !info_of(&second).early_data);
    CHECK_INT(early.calls, 0);
    CHECK_INT(eddy_transport_write(second.t, "again", 5), 0);
    UNTIL(&c.s, second_guest.received == 5);
    tls_stage_close(&c);
}

static void X15_early_data_are_off_unless_asked_for(void)
{
    need_www();
    check_not_sent(WWW(), "GET /", 5);
}

static void X15_more_than_is_allowed_is_not_sent(void)
{
    need_www();
    check_not_sent(WWW(.max_early_data = 4, .early_data_received = receive), "GET /", 5);
}

static void X14_X15_a_name_that_takes_no_early_data_gets_none(void)
{
    need_www();
    struct eddy_tls *other = context(WWW());
    const struct eddy_tls_name names[] = {{"www.test", other}, {NULL, NULL}};
    check_not_sent(EARLY(.names = names), "GET /", 5);
    eddy_tls_unref(other);
}

/* The client has its permission from before. */
static void X14_X15_more_than_the_name_takes_by_now_is_refused(void)
{
    struct tls_stage c;
    need_www();
    struct eddy_tls *other = context(EARLY());
    const struct eddy_tls_name names[] = {{"www.test", other}, {NULL, NULL}};
    open_first(&c, EARLY(.names = names), TRUSTING());
    CHECK_INT(
        eddy_tls_reload(other, WWW(.max_early_data = 4, .early_data_received = receive), NULL), 0);
    connect_early(&c, "GET /", 5);
    CHECK_STR(pair_problem(&c), "TLS handshake: too much early data");
    CHECK_INT(early.calls, 0);
    tls_stage_close(&c);
    eddy_tls_unref(other);
}

static void X15_without_a_session_nothing_is_sent_early(void)
{
    struct tls_stage c;
    memset(&early, 0, sizeof early);
    need_www();
    pair_init(&c, EARLY(), TRUSTING());
    c.s.connection_opts.early_data = "GET /";
    c.s.connection_opts.early_data_len = 5;
    pair_open(&c);
    CHECK(!info_of(&c.s.client).early_data);
    CHECK_INT(early.calls, 0);
    tls_stage_close(&c);
}

/* The server has forgotten: what was sent early is thrown away, and has to be sent again. */
static void X15_early_data_that_are_rejected_are_not_delivered(void)
{
    struct tls_stage c;
    need_www();
    open_first(&c, EARLY(), TRUSTING());
    CHECK_INT(eddy_tls_reload(c.server, NULL, NULL), 0); /* and with it the sessions' memory */
    CHECK_INT(connect_early(&c, "GET /", 5), 0);
    UNTIL(&c.s, second_guest.count[ON_MADE] == 1);
    CHECK(!info_of(&second).early_data);
    CHECK_INT(early.calls, 0);
    CHECK_INT(eddy_transport_write(second.t, "again", 5), 0);
    UNTIL(&c.s, second_guest.received == 5);
    CHECK(memcmp(second_guest.head, "again", 5) == 0);
    tls_stage_close(&c);
}

static void X15_closing_inside_early_data_received(void)
{
    struct tls_stage c;
    need_www();
    open_first(&c, EARLY(), TRUSTING());
    early.then = eddy_transport_close;
    int status = connect_early(&c, "GET /", 5);
    UNTIL_LOST(&c.s, &second_guest);
    UNTIL(&c.s, second.p == NULL);
    CHECK(status <= 0);
    CHECK_INT(early.calls, 1);
    tls_stage_close(&c);
}

static struct eddy_server *drained;

static void drain(struct eddy_transport *t)
{
    (void)t;
    CHECK_INT(eddy_server_drain(drained, EDDY_SEC(5), NULL), 0);
}

/* It waits for the handshake, and is clean. */
static void X15_T5_what_is_written_before_a_close_inside_early_data_received_arrives(void)
{
    for (int i = 0; i < 2; i++) {
        struct tls_stage c;
        need_www();
        open_first(&c, EARLY(), TRUSTING());
        drained = c.s.server;
        second_guest.on[ON_SHUTDOWN] = do_close;
        early.answer = true;
        early.then = i == 0 ? eddy_transport_close : drain;
        CHECK_INT(connect_early(&c, "GET /", 5), 0);
        UNTIL_LOST(&c.s, &second);
        UNTIL_LOST(&c.s, &second_guest);
        CHECK_INT(second.received, 5);
        CHECK_INT(second.code, 0);
        CHECK_INT(second_guest.code, 0);
        tls_stage_close(&c);
    }
}

/* ---- replay ---- */

/* The first flight of a client with early data, recorded; and what becomes of it, sent twice. */
static SSL_SESSION *session;

static int keep(SSL *ssl, SSL_SESSION *s)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

static void X15_what_was_recorded_and_is_sent_again_is_not_delivered(void)
{
    struct tls_stage c;
    struct wire w;
    char flight[8192], buf[1];
    int len = 0, n;
    size_t written;
    memset(&early, 0, sizeof early);
    need_www();
    pair_init(&c, EARLY(), TRUSTING());
    stage_add(&c.s, &second_guest, true);
    stage_add(&c.s, &second, true);
    stage_begin(&c.s);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    REQUIRE(ctx != NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep);
    SSL_CTX_up_ref(ctx);
    wire_begin(&w, &c.s, raw_connect(&c.s), ctx, false);
    CHECK_INT(wire_handshake(&w), 1);
    UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0);
    CHECK_INT(wire_read(&w, buf, 1), 1);
    wire_close_notify(&w); /* without it the session is bad, on both sides */
    UNTIL_LOST(&c.s, &c.s.peer);
    wire_end(&w);
    REQUIRE(session != NULL);
    CHECK(SSL_SESSION_get_max_early_data(session) == 16384);

    wire_begin(&w, &c.s, -1, ctx, false);
    SSL_set_session(w.ssl, session);
    CHECK_INT(SSL_write_early_data(w.ssl, "GET /", 5, &written), 1);
    while ((n = BIO_read(SSL_get_wbio(w.ssl), flight + len, (int)sizeof flight - len)) > 0)
        len += n;
    wire_end(&w);
    for (int i = 0; i < 2; i++) {
        int fd = raw_connect(&c.s);
        raw_send(&c.s, fd, flight, (size_t)len);
        for (int j = 0; j < 50; j++)
            eddy_loop_run_once(c.s.loop, EDDY_MSEC(1));
        CHECK_INT(early.calls, 1);
        raw_close(&c.s, fd);
    }
    SSL_SESSION_free(session);
    session = NULL;
    tls_stage_close(&c);
}

#define SECRET "the secret that must not stay"

static long leftovers, looked_at;

static void look(const void *ptr, size_t size)
{
    looked_at++;
    leftovers += memmem(ptr, size, SECRET, sizeof SECRET - 1) != NULL;
}

/* The copies of a client's, sent or not. */
static void what_was_to_be_sent_early_is_wiped(void)
{
    for (int i = 0; i < 2; i++) {
        struct tls_stage c;
        need_www();
        open_first(&c, i == 0 ? EARLY() : WWW(), TRUSTING());
        leftovers = looked_at = 0;
        test_freeing = look;
        CHECK_INT(connect_early(&c, SECRET, sizeof SECRET - 1), 0);
        UNTIL(&c.s, second_guest.count[ON_MADE] == 1);
        CHECK_INT(early.calls, i == 0);
        tls_stage_close(&c);
        test_freeing = NULL;
        CHECK(looked_at > 0);
        CHECK_INT(leftovers, 0);
    }
}

const struct test_case test_cases[] = {
    CASE(X15_early_data_come_before_the_handshake_is_done_and_by_their_own_callback),
    CASE(X15_as_much_as_is_allowed),
    CASE(X15_early_data_are_off_unless_asked_for),
    CASE(X15_more_than_is_allowed_is_not_sent),
    CASE(X14_X15_a_name_that_takes_no_early_data_gets_none),
    CASE(X14_X15_more_than_the_name_takes_by_now_is_refused),
    CASE(X15_without_a_session_nothing_is_sent_early),
    CASE(X15_early_data_that_are_rejected_are_not_delivered),
    CASE(X15_closing_inside_early_data_received),
    CASE(X15_T5_what_is_written_before_a_close_inside_early_data_received_arrives),
    CASE(X15_what_was_recorded_and_is_sent_again_is_not_delivered),
    CASE(what_was_to_be_sent_early_is_wiped),
    TEST_END,
};
