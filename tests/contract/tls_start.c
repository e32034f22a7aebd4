/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* start_tls: contract S51, S52, X10, X25, X38 to X44, E22. */
#include "tests/contract/tls_calls.h"
#include <eddy/line.h>
#include <eddy/sendfile.h>
#include <eddy/sim.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- both sides of an upgrade ---- */

struct upgrade {
    struct tls_stage c; /* first */
    struct eddy_future *client, *server;
    struct eddy_done client_done, server_done;
};

static void upgrade_init(struct upgrade *u)
{
    memset(u, 0, sizeof *u);
    tls_stage_init_plain(&u->c);
}

static struct upgrade *upgrade_of(struct actor *a)
{
    return (struct upgrade *)(void *)a->stage;
}

/* The actor's transport is another one from now on. */
static int start(struct actor *a, const struct eddy_start_tls_opts *opts, struct eddy_future **ret)
{
    int rc = eddy_start_tls(a->t, opts, ret);
    if (rc == 0) {
        CHECK(a->p->transport != a->t);
        CHECK(eddy_transport_protocol(a->p->transport) == a->p);
        CHECK(eddy_transport_protocol(a->t) != a->p);
        a->t = a->p->transport;
    }
    return rc;
}

static void client_done(struct eddy_done *d, struct eddy_future *f)
{
    struct upgrade *u = EDDY_CONTAINER_OF(d, struct upgrade, client_done);
    if (eddy_future_result(f, NULL) == 0)
        test_trace(&u->c.s.client.trace, "TLS");
}

static void server_done(struct eddy_done *d, struct eddy_future *f)
{
    struct upgrade *u = EDDY_CONTAINER_OF(d, struct upgrade, server_done);
    if (eddy_future_result(f, NULL) == 0)
        test_trace(&u->c.s.peer.trace, "TLS");
}

static void start_client_for(struct actor *a, eddy_nsec timeout)
{
    struct upgrade *u = upgrade_of(a);
    CHECK_INT(start(a,
                    EDDY_START_TLS(.tls = u->c.client, .server_hostname = "localhost",
                                   .handshake_timeout = timeout),
                    &u->client),
              0);
    u->client_done.fn = client_done;
    CHECK_INT(eddy_future_add_done_callback(u->client, &u->client_done), 0);
}

static void start_client(struct actor *a)
{
    start_client_for(a, 0);
}

static void start_server(struct actor *a)
{
    struct upgrade *u = upgrade_of(a);
    CHECK_INT(start(a, EDDY_START_TLS(.tls = u->c.server, .server_side = true), &u->server), 0);
    u->server_done.fn = server_done;
    CHECK_INT(eddy_future_add_done_callback(u->server, &u->server_done), 0);
}

static void upgrade_close(struct upgrade *u)
{
    eddy_future_unref(u->client);
    eddy_future_unref(u->server);
    tls_stage_close(&u->c);
}

/* Connected, and one plain byte each way. */
static void upgrade_open(struct upgrade *u)
{
    stage_keyed(&u->c.s);
    stage_open(&u->c.s);
    CHECK_INT(actor_write(&u->c.s.client, 1), 0);
    CHECK_INT(actor_write(&u->c.s.peer, 1), 0);
    UNTIL(&u->c.s, u->c.s.client.received == 1 && u->c.s.peer.received == 1);
}

static void upgrade_both(struct upgrade *u)
{
    start_server(&u->c.s.peer);
    start_client(&u->c.s.client);
    UNTIL(&u->c.s, eddy_future_is_done(u->client) && eddy_future_is_done(u->server));
    CHECK_INT(eddy_future_result(u->client, NULL), 0);
    CHECK_INT(eddy_future_result(u->server, NULL), 0);
    stage_settle(&u->c.s);
}

static void check_bytes_flow(struct upgrade *u, size_t len)
{
    struct stage *s = &u->c.s;
    CHECK_INT(actor_write(&s->client, len), 0);
    CHECK_INT(actor_write(&s->peer, len), 0);
    UNTIL(s, s->peer.received == s->client.sent && s->client.received == s->peer.sent);
}

static void E22_X38_X44_both_sides_after_a_plain_exchange(void)
{
    struct upgrade u;
    struct eddy_tls_info info;
    upgrade_init(&u);
    upgrade_open(&u);
    CHECK_INT(eddy_tls_info(u.c.s.client.t, &info), EDDY_ENOT_SUPPORTED);
    upgrade_both(&u);
    CHECK_INT(eddy_tls_info(u.c.s.client.t, &info), 0);
    CHECK_STR(info.server_hostname, "localhost");
    CHECK_INT(eddy_server_connections(u.c.s.server), 1);
    check_bytes_flow(&u, 100);
    eddy_transport_close(u.c.s.client.t);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK_TRACE(u.c.s.client.trace, "CM RET DR(1) TLS DR+ CL(0)");
    CHECK_TRACE(u.c.s.peer.trace, "CM DR(1) TLS DR+ ER CL(0)");
    UNTIL(&u.c.s, eddy_server_connections(u.c.s.server) == 0);
    upgrade_close(&u);
}

static void upgrade_with(const struct eddy_protocol_class *cls)
{
    struct upgrade u;
    upgrade_init(&u);
    u.c.s.client_class = u.c.s.server_class = cls;
    upgrade_open(&u);
    upgrade_both(&u);
    check_bytes_flow(&u, 300000);
    CHECK_INT(u.c.s.client.count[ON_MADE], 1);
    CHECK_INT(u.c.s.peer.count[ON_MADE], 1);
    upgrade_close(&u);
}

static void X3_X44_much_data_afterwards(void)
{
    upgrade_with(&actor_class);
}

static void X3_X44_much_data_afterwards_with_buffered_protocols(void)
{
    upgrade_with(&actor_buffered_class);
}

static void S51_S34_the_connection_is_its_servers_until_connection_lost(void)
{
    struct upgrade u;
    struct eddy_future *f = NULL;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    CHECK_INT(eddy_server_wait_closed(u.c.s.server, &f), 0);
    eddy_server_close(u.c.s.server);
    CHECK_INT(eddy_server_connections(u.c.s.server), 1);
    check_bytes_flow(&u, 10);
    eddy_server_close_clients(u.c.s.server);
    UNTIL(&u.c.s, eddy_future_is_done(f));
    CHECK_INT(u.c.s.peer.count[ON_LOST], 1);
    CHECK_INT(u.c.s.peer.code, 0);
    eddy_future_unref(f);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_INT(u.c.s.client.count[ON_EOF], 1);
    upgrade_close(&u);
}

static void S37_S51_abort_clients_during_the_upgrade_and_after(void)
{
    for (int i = 0; i < 2; i++) {
        struct upgrade u;
        upgrade_init(&u);
        upgrade_open(&u);
        if (i == 0)
            start_server(&u.c.s.peer);
        else
            upgrade_both(&u);
        eddy_server_abort_clients(u.c.s.server, EDDY_ERROR(-EPROTO, "enough"));
        UNTIL(&u.c.s, eddy_server_connections(u.c.s.server) == 0);
        CHECK_INT(u.c.s.peer.code, -EPROTO);
        CHECK(eddy_future_is_done(u.server));
        upgrade_close(&u);
    }
}

static void S53_S51_drain_during_the_upgrade(void)
{
    struct upgrade u;
    struct eddy_future *f = NULL;
    upgrade_init(&u);
    upgrade_open(&u);
    start_server(&u.c.s.peer);
    u.c.s.peer.on[ON_SHUTDOWN] = do_close;
    CHECK_INT(eddy_server_drain(u.c.s.server, EDDY_SEC(60), &f), 0);
    UNTIL(&u.c.s, eddy_future_is_done(f));
    CHECK_TRACE(u.c.s.peer.trace, "CM DR(1) SR CL(ECONNABORTED)");
    eddy_future_unref(f);
    upgrade_close(&u);
}

static void start_when_asked(struct actor *a)
{
    CHECK_INT(start(a, EDDY_START_TLS(.tls = upgrade_of(a)->c.server, .server_side = true), NULL),
              0);
}

/* Each is asked once, although its place among the server's connections is another one's then. */
static void S53_S51_started_in_shutdown_requested(void)
{
    static struct actor other, its_peer;
    struct upgrade u;
    struct eddy_future *f = NULL;
    upgrade_init(&u);
    stage_add(&u.c.s, &other, false);
    stage_add(&u.c.s, &its_peer, true);
    stage_open(&u.c.s);
    REQUIRE(actor_connect(&other) == 0);
    UNTIL(&u.c.s, other.done && its_peer.count[ON_MADE] == 1);
    u.c.s.peer.on[ON_SHUTDOWN] = its_peer.on[ON_SHUTDOWN] = start_when_asked;
    CHECK_INT(eddy_server_drain(u.c.s.server, EDDY_MSEC(30), &f), 0);
    UNTIL(&u.c.s, eddy_future_is_done(f));
    CHECK_TRACE(u.c.s.peer.trace, "CM SR CL(ETIMEDOUT)");
    CHECK_TRACE(its_peer.trace, "CM SR CL(ETIMEDOUT)");
    eddy_future_unref(f);
    upgrade_close(&u);
}

/* Idle is who sends no plaintext; nobody looks at the transport below for that. */
static void T5_S51_the_idle_time_out_is_the_upper_transports_alone(void)
{
    struct upgrade u;
    eddy_nsec span = has_virtual_time() ? EDDY_SEC(10) : EDDY_MSEC(40);
    upgrade_init(&u);
    upgrade_open(&u);
    CHECK_INT(eddy_transport_set_idle_timeout(u.c.s.peer.t, span), 0);
    start_server(&u.c.s.peer);
    CHECK_INT(eddy_transport_set_idle_timeout(u.c.s.peer.t, EDDY_OFF), 0);
    start_client(&u.c.s.client);
    UNTIL(&u.c.s, eddy_future_is_done(u.client) && eddy_future_is_done(u.server));
    stage_run_for(&u.c.s, 3 * span);
    REQUIRE(u.c.s.peer.count[ON_LOST] == 0);
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

/* ---- arguments ---- */

static void check_refused(struct actor *a, int code, const struct eddy_start_tls_opts *opts)
{
    struct eddy_start_tls_opts all = *opts;
    struct eddy_error error = {.code = 0};
    struct eddy_future *f = NULL;
    struct eddy_transport *t = a->t;
    all.error = &error;
    CHECK_INT(eddy_start_tls(a->t, &all, &f), code);
    CHECK(f == NULL && a->p->transport == t && eddy_transport_protocol(t) == a->p);
    CHECK_INT(error.code, code);
    CHECK(strstr(error.text, "start_tls: ") == error.text);
}

static void S51_X44_G3_bad_arguments_change_nothing(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    struct actor *a = &u.c.s.client;
    struct eddy_tls *client = u.c.client, *server = u.c.server;
    check_refused(a, -EINVAL, EDDY_START_TLS(.server_side = true));
    check_refused(a, -EINVAL, EDDY_START_TLS(.tls = client, .server_side = true));
    check_refused(a, -EINVAL, EDDY_START_TLS(.tls = server, .server_hostname = "localhost"));
    check_refused(a, -EINVAL, EDDY_START_TLS(.tls = client));
    check_refused(a, -EINVAL, EDDY_START_TLS(.tls = client, .server_hostname = ""));
    check_refused(a, -EINVAL,
                  EDDY_START_TLS(.tls = server, .server_side = true, .server_hostname = "a"));
    check_refused(
        a, -EINVAL,
        EDDY_START_TLS(.tls = client, .server_hostname = "localhost", .handshake_timeout = -1));
    check_refused(
        a, -EINVAL,
        EDDY_START_TLS(.tls = client, .server_hostname = "localhost", .shutdown_timeout = -1));
    CHECK_INT(eddy_start_tls(a->t, NULL, NULL), -EINVAL);
    CHECK_INT(
        eddy_start_tls(NULL, EDDY_START_TLS(.tls = client, .server_hostname = "localhost"), NULL),
        -EINVAL);
    check_bytes_flow(&u, 1000);
    eddy_transport_close(a->t);
    check_refused(a, -EINVAL, EDDY_START_TLS(.tls = client, .server_hostname = "localhost"));
    upgrade_close(&u);
}

static void G8_an_unknown_tail_of_options(void)
{
    struct upgrade u;
    struct {
        struct eddy_start_tls_opts opts;
        long more;
    } larger = {.opts = *EDDY_START_TLS(.server_hostname = "localhost"), .more = 1};
    upgrade_init(&u);
    upgrade_open(&u);
    larger.opts.tls = u.c.client;
    larger.opts.abi_size = sizeof larger;
    CHECK_INT(eddy_start_tls(u.c.s.client.t, &larger.opts, NULL), -E2BIG);
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

static void keep(struct actor *a)
{
    a->keep_open = true;
}

static void S51_not_when_a_direction_has_ended(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    keep(&u.c.s.peer);
    CHECK_INT(eddy_transport_write_eof(u.c.s.client.t), 0);
    UNTIL(&u.c.s, u.c.s.peer.count[ON_EOF] == 1);
    check_refused(&u.c.s.client, EDDY_EINVALID_STATE,
                  EDDY_START_TLS(.tls = u.c.client, .server_hostname = "localhost"));
    check_refused(&u.c.s.peer, EDDY_EINVALID_STATE,
                  EDDY_START_TLS(.tls = u.c.server, .server_side = true));
    upgrade_close(&u);
}

static void S51_not_twice_at_the_same_time(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    start_client(&u.c.s.client);
    check_refused(&u.c.s.client, EDDY_EINVALID_STATE,
                  EDDY_START_TLS(.tls = u.c.client, .server_hostname = "localhost"));
    start_server(&u.c.s.peer);
    UNTIL(&u.c.s, eddy_future_is_done(u.client) && eddy_future_is_done(u.server));
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

static void ignore(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static const struct eddy_protocol_class deaf_class = {EDDY_STATELESS_PROTOCOL_CLASS("deaf"),
                                                      .data_received = ignore};

/* Whoever has kept it would send in plain text what was meant to be encrypted. */
static void S51_the_old_transport_takes_nothing_any_more(void)
{
    struct upgrade u;
    struct iovec piece = {(void *)(uintptr_t) "plain", 5};
    struct eddy_protocol deaf;
    eddy_protocol_init(&deaf, &deaf_class);
    upgrade_init(&u);
    upgrade_open(&u);
    for (int i = 0; i < 2; i++) {
        struct actor *a = i == 0 ? &u.c.s.client : &u.c.s.peer;
        struct eddy_transport *old = a->t;
        if (i == 0)
            start_client(a);
        else
            start_server(a);
        CHECK_INT(eddy_transport_write(old, "plain", 5), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_transport_writev(old, &piece, 1), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_transport_write_owned(old, "plain", 5, NULL, NULL), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_transport_write_eof(old), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_transport_set_protocol(old, &deaf), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_transport_sendfile(old, STDIN_FILENO, NULL, NULL), EDDY_EINVALID_STATE);
        CHECK_INT(eddy_start_tls(old, EDDY_START_TLS(.tls = u.c.server, .server_side = true), NULL),
                  EDDY_EINVALID_STATE);
    }
    UNTIL(&u.c.s, eddy_future_is_done(u.client) && eddy_future_is_done(u.server));
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

/* ---- what is written around the call ---- */

static void write_start_write(struct actor *a)
{
    CHECK_INT(actor_write(a, 1000), 0);
    start_server(a);
    CHECK_INT(actor_write(a, 2000), 0);
}

/* The client upgrades behind the plain bytes of the server. */
static void start_behind_plain(struct actor *a)
{
    if (a->received == 1001)
        start_client(a);
}

static void X42_X10_plain_bytes_first_and_what_is_written_meanwhile_behind(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    u.c.s.peer.on[ON_DATA] = write_start_write;
    u.c.s.client.on[ON_DATA] = start_behind_plain;
    CHECK_INT(actor_write(&u.c.s.client, 1), 0);
    UNTIL(&u.c.s, u.c.s.client.received == 3001);
    CHECK_INT(trace_count(&u.c.s.client.trace, "DR("), trace_count(&u.c.s.client.trace, "DR"));
    CHECK_INT(eddy_future_result(u.client, NULL), 0);
    u.c.s.client.on[ON_DATA] = u.c.s.peer.on[ON_DATA] = NULL;
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

/* On the wire: the plain bytes, then the ClientHello, and nothing of what was written after. */
static void X42_X10_the_order_on_the_wire(void)
{
    struct upgrade u;
    static uint8_t got[100000];
    upgrade_init(&u);
    u.c.s.client.out_key = 1;
    stage_begin(&u.c.s);
    int listener = raw_listen(&u.c.s, 5, &u.c.s.connection_opts.port);
    CHECK_INT(actor_connect(&u.c.s.client), 0);
    int fd = raw_accept(&u.c.s, listener);
    UNTIL(&u.c.s, u.c.s.client.done);
    CHECK_INT(actor_write(&u.c.s.client, 50000), 0);
    start_client(&u.c.s.client);
    CHECK_INT(actor_write(&u.c.s.client, 2000), 0);
    CHECK_INT(raw_recv(&u.c.s, fd, got, 50005), 50005);
    CHECK(stream_matches(got, 50000, 0, 1));
    CHECK_INT(got[50000], 22);
    size_t hello = (size_t)(got[50003] << 8 | got[50004]);
    CHECK_INT(raw_recv(&u.c.s, fd, got, hello), hello);
    CHECK_INT(got[0], 1);
    stage_settle(&u.c.s);
    CHECK_INT(raw_unread(&u.c.s, fd), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(u.c.s.client.t), 2000);
    raw_close(&u.c.s, fd);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_INT(u.c.s.client.code, -ECONNRESET);
    raw_close(&u.c.s, listener);
    upgrade_close(&u);
}

static void X10_close_does_not_wait_for_a_handshake(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    start_client(&u.c.s.client);
    CHECK_INT(actor_write(&u.c.s.client, 2000), 0);
    eddy_transport_close(u.c.s.client.t);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_TRACE(u.c.s.client.trace, "CM RET DR(1) CL(ECONNABORTED)");
    upgrade_close(&u);
}

/* More plain text than the kernel takes, and the handshake is given up: by a close, or cancelled.
 */
static void X42_T5_plain_bytes_are_sent_although_the_handshake_is_given_up(void)
{
    for (int i = 0; i < 2; i++) {
        struct upgrade u;
        upgrade_init(&u);
        upgrade_open(&u);
        do_pause(&u.c.s.client);
        CHECK(actor_fill(&u.c.s.peer) > 0);
        start_server(&u.c.s.peer);
        if (i == 0)
            do_close(&u.c.s.peer);
        else
            eddy_future_cancel(u.server, NULL);
        UNTIL(&u.c.s, u.c.s.peer.count[ON_LOST] == 1);
        CHECK_INT(u.c.s.peer.code, i == 0 ? -ECONNABORTED : -ECANCELED);
        do_resume(&u.c.s.client);
        UNTIL_LOST(&u.c.s, &u.c.s.client);
        CHECK_INT(u.c.s.client.received, u.c.s.peer.sent);
        CHECK_INT(u.c.s.client.code, 0);
        upgrade_close(&u);
    }
}

/* ---- paused meanwhile ---- */

static void X39_R12_reading_that_is_paused_stays_paused(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    do_pause(&u.c.s.client);
    upgrade_both(&u);
    CHECK(!eddy_transport_is_reading(u.c.s.client.t));
    CHECK_INT(actor_write(&u.c.s.peer, 1000), 0);
    stage_settle(&u.c.s);
    CHECK_INT(u.c.s.client.received, 1);
    do_resume(&u.c.s.client);
    CHECK_INT(u.c.s.client.received, 1);
    UNTIL(&u.c.s, u.c.s.client.received == 1001);
    upgrade_close(&u);
}

static void X39_paused_and_resumed_during_the_handshake(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    start_server(&u.c.s.peer);
    start_client(&u.c.s.client);
    do_pause(&u.c.s.client);
    do_resume(&u.c.s.client);
    do_pause(&u.c.s.peer);
    UNTIL(&u.c.s, eddy_future_is_done(u.client) && eddy_future_is_done(u.server));
    CHECK_INT(actor_write(&u.c.s.client, 500), 0);
    CHECK_INT(actor_write(&u.c.s.peer, 500), 0);
    UNTIL(&u.c.s, u.c.s.client.received == 501);
    CHECK_INT(u.c.s.peer.received, 1);
    do_resume(&u.c.s.peer);
    UNTIL(&u.c.s, u.c.s.peer.received == 501);
    upgrade_close(&u);
}

/* ---- bytes that came early ---- */

static size_t own_part; /* how many of what comes are plain */

/* The plain text is consumed; what is behind it is the client's first ciphertext. */
static void give_back_and_start(struct actor *a)
{
    size_t rest = a->received - own_part;
    CHECK_INT(eddy_transport_unread(a->t, a->data + a->len - rest, rest), 0);
    a->received = own_part;
    a->on[ON_DATA] = NULL;
    start_server(a);
}

/* Once all that is plain has come. */
static void start_behind_own_part(struct actor *a)
{
    if (a->received >= own_part)
        give_back_and_start(a);
}

static void start_and_give_back(struct actor *a)
{
    size_t rest = a->received - own_part;
    struct eddy_transport *t = a->t;
    a->received = own_part;
    a->on[ON_DATA] = NULL;
    start_server(a);
    CHECK_INT(eddy_transport_unread(t, a->data + a->len - rest, rest), 0);
}

/* A raw client sends plain text, and its hello in the same segment. */
static void early(void (*on_data)(struct actor *a))
{
    struct upgrade u;
    struct wire w;
    char segment[4096] = "STARTTLS\r\n";
    upgrade_init(&u);
    u.c.s.peer.on[ON_DATA] = on_data;
    int fd = stage_open_raw(&u.c.s);
    wire_client(&w, &u.c.s, fd, 0);
    SSL_do_handshake(w.ssl);
    own_part = 10;
    int n = BIO_read(SSL_get_wbio(w.ssl), segment + own_part, 4000);
    CHECK_INT(raw_send(&u.c.s, fd, segment, own_part + (size_t)n), 0);
    CHECK_INT(wire_handshake_and_write(&w, "hello", 5), 1);
    UNTIL(&u.c.s, u.c.s.peer.received == 15);
    CHECK(memcmp(u.c.s.peer.head + 10, "hello", 5) == 0);
    CHECK_INT(eddy_future_result(u.server, NULL), 0);
    wire_end(&w);
    upgrade_close(&u);
}

static void X40_a_servers_early_ciphertext_is_given_back(void)
{
    early(give_back_and_start);
}

static void X40_also_after_the_call_in_the_same_callback(void)
{
    early(start_and_give_back);
}

/* Much was refused by the kernel when TLS begins: the pause remains, and ends once. */
static void X25_X40_writing_that_is_paused_stays_paused(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    do_pause(&u.c.s.peer);
    actor_fill(&u.c.s.client);
    CHECK(u.c.s.client.paused);
    own_part = u.c.s.client.sent;
    u.c.s.peer.on[ON_DATA] = start_behind_own_part;
    u.c.s.peer.in_key = 0; /* ciphertext may come with it */
    start_client(&u.c.s.client);
    CHECK(eddy_transport_is_writing_paused(u.c.s.client.t));
    CHECK_INT(u.c.s.client.count[ON_RESUME], 0);
    CHECK_INT(actor_write(&u.c.s.client, 1000), 0);
    do_resume(&u.c.s.peer);
    UNTIL(&u.c.s, u.server != NULL);
    u.c.s.peer.in_key = 1;
    UNTIL(&u.c.s, u.c.s.peer.received == own_part + 1000);
    UNTIL(&u.c.s, u.c.s.client.count[ON_RESUME] == 1);
    CHECK_INT(u.c.s.client.count[ON_PAUSE], 1);
    CHECK(!eddy_transport_is_writing_paused(u.c.s.client.t));
    u.c.s.peer.t = u.c.s.peer.p->transport;
    check_bytes_flow(&u, 100000);
    upgrade_close(&u);
}

static void give_back_and_start_client(struct actor *a)
{
    CHECK_INT(eddy_transport_unread(a->t, a->data + 1, a->len - 1), 0);
    check_refused(a, EDDY_EINVALID_STATE,
                  EDDY_START_TLS(.tls = upgrade_of(a)->c.client, .server_hostname = "localhost"));
    a->on[ON_DATA] = NULL;
    a->received = 1;
}

static void X41_a_client_with_bytes_given_back_is_refused(void)
{
    struct upgrade u;
    upgrade_init(&u);
    u.c.s.peer.out_key = u.c.s.client.in_key = 1;
    u.c.s.client.on[ON_DATA] = give_back_and_start_client;
    stage_open(&u.c.s);
    CHECK_INT(actor_write(&u.c.s.peer, 10), 0);
    UNTIL(&u.c.s, u.c.s.client.received == 10); /* they come again, in plain text as they were */
    upgrade_close(&u);
}

static void start_client_and_give_back(struct actor *a)
{
    struct eddy_transport *t = a->t;
    a->on[ON_DATA] = NULL;
    start_client(a);
    CHECK_INT(eddy_transport_unread(t, a->data + 1, a->len - 1), 0);
}

static void X41_bytes_given_back_after_the_call_fail_it(void)
{
    struct upgrade u;
    upgrade_init(&u);
    u.c.s.client.on[ON_DATA] = start_client_and_give_back;
    stage_open(&u.c.s);
    CHECK_INT(eddy_transport_write(u.c.s.peer.t, "SINJECTED", 9), 0);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_TRACE(u.c.s.client.trace, "CM RET DR(9) CL(EINVALID_STATE)");
    upgrade_close(&u);
}

/* ---- lines: what stands behind the last plain one (CVE-2011-0411) ---- */

struct talker {
    struct eddy_line line;
    struct upgrade *u;
    bool server_side, started;
    int code;
    struct eddy_future *f;
    struct test_trace trace;
};

static void talker_line(struct eddy_line *l, const char *line, size_t len)
{
    struct talker *k = EDDY_CONTAINER_OF(l, struct talker, line);
    test_trace(&k->trace, "L(%.*s)", (int)len, line);
    if (k->started)
        return;
    k->started = true;
    CHECK_INT(eddy_start_tls(l->base.transport,
                             EDDY_START_TLS(.tls = k->server_side ? k->u->c.server : k->u->c.client,
                                            .server_side = k->server_side,
                                            .server_hostname = k->server_side ? NULL : "localhost"),
                             &k->f),
              0);
}

static void talker_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct talker *k = EDDY_CONTAINER_OF(l, struct talker, line);
    k->code = err ? err->code : 0;
    test_trace(&k->trace, "CL");
}

static const struct eddy_line_class talker_class = {
    EDDY_LINE_CLASS(struct talker, line),
    .line_received = talker_line,
    .connection_lost = talker_lost,
};

/* To a line protocol, as either side: `text` in one segment, behind which the peer ends. What the
 * future says is what connection_lost has said, so that nobody has to `look` at it. */
static void inject(bool server_side, const char *text, int code, bool look)
{
    struct upgrade u;
    static struct talker k;
    uint8_t rest[4096];
    memset(&k, 0, sizeof k);
    upgrade_init(&u);
    k.u = &u;
    k.server_side = server_side;
    stage_begin(&u.c.s);
    int listener = raw_listen(&u.c.s, 5, &u.c.s.port);
    eddy_line_init(&k.line, &talker_class);
    CHECK_INT(eddy_create_connection(u.c.s.loop, &k.line.base,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = u.c.s.port),
                                     NULL),
              0);
    int fd = raw_accept(&u.c.s, listener);
    CHECK_INT(raw_send(&u.c.s, fd, text, strlen(text)), 0);
    raw_recv(&u.c.s, fd, rest, sizeof rest);
    raw_close(&u.c.s, fd);
    UNTIL(&u.c.s, !eddy_protocol_is_attached(&k.line.base));
    CHECK_TRACE(k.trace, "L(go) CL");
    CHECK_INT(k.code, code);
    if (look)
        CHECK_INT(eddy_future_result(k.f, NULL), code);
    eddy_future_unref(k.f);
    raw_close(&u.c.s, listener);
    upgrade_close(&u);
}

static void X41_lines_behind_the_last_plain_one_never_come_at_a_client(void)
{
    inject(false, "go\r\n250 I am from before\r\n", EDDY_EINVALID_STATE, true);
    inject(false, "go\r\nx", EDDY_EINVALID_STATE, false);
}

static void X40_lines_behind_the_last_plain_one_never_come_at_a_server(void)
{
    inject(true, "go\r\nRCPT TO:<somebody>\r\n", EDDY_ETLS, true);
}

/* ---- failures ---- */

static void S52_X5_a_silent_peer(void)
{
    struct upgrade u;
    eddy_nsec span = has_virtual_time() ? EDDY_SEC(7) : EDDY_MSEC(40);
    upgrade_init(&u);
    upgrade_open(&u);
    u.c.s.peer.in_key = 0;
    eddy_nsec begin = eddy_loop_time(u.c.s.loop);
    start_client_for(&u.c.s.client, span);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK(eddy_loop_time(u.c.s.loop) - begin >= span);
    CHECK_TRACE(u.c.s.client.trace, "CM RET DR(1) CL(ECONNABORTED)");
    CHECK(strstr(u.c.s.client.error.text, "SSL handshake is taking longer than") != NULL);
    upgrade_close(&u);
}

static void S52_X6_a_peer_that_answers_in_plain_text(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    u.c.s.peer.on[ON_DATA] = do_echo;
    u.c.s.peer.in_key = 0;
    start_client(&u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_INT(u.c.s.client.code, EDDY_ETLS);
    CHECK_INT(eddy_future_result(u.client, NULL), EDDY_ETLS);
    UNTIL(&u.c.s, u.c.s.peer.p == NULL);
    upgrade_close(&u);
}

static void S52_X7_a_peer_that_closes(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    u.c.s.peer.on[ON_DATA] = do_close;
    u.c.s.peer.in_key = 0;
    start_client(&u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_TRACE(u.c.s.client.trace, "CM RET DR(1) CL(ECONNRESET)");
    upgrade_close(&u);
}

static void S52_E18_a_server_that_is_not_who_we_mean(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    start_server(&u.c.s.peer);
    CHECK_INT(start(&u.c.s.client,
                    EDDY_START_TLS(.tls = u.c.client, .server_hostname = "other.example.org"),
                    &u.client),
              0);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK_INT(u.c.s.client.code, EDDY_ETLS_CERT);
    CHECK_INT(eddy_future_result(u.client, NULL), EDDY_ETLS_CERT);
    /* The server is told: the alert comes before the end. */
    CHECK_INT(u.c.s.peer.code, EDDY_ETLS);
    CHECK(strstr(u.c.s.peer.error.text, "alert") != NULL);
    CHECK_INT(eddy_future_result(u.server, NULL), EDDY_ETLS);
    CHECK_INT(u.c.s.client.count[ON_DATA], 1);
    UNTIL(&u.c.s, eddy_server_connections(u.c.s.server) == 0);
    upgrade_close(&u);
}

static void S52_S13_the_future_is_cancelled(void)
{
    for (int i = 0; i < 3; i++) {
        struct upgrade u;
        upgrade_init(&u);
        upgrade_open(&u);
        u.c.s.peer.in_key = 0;
        start_client(&u.c.s.client);
        for (int n = 0; n < i; n++)
            test_run_steps(u.c.s.loop, 2);
        CHECK(!eddy_future_is_done(u.client));
        eddy_future_cancel(u.client, NULL);
        UNTIL_LOST(&u.c.s, &u.c.s.client);
        CHECK_TRACE(u.c.s.client.trace, "CM RET DR(1) CL(ECANCELED)");
        UNTIL_LOST(&u.c.s, &u.c.s.peer);
        upgrade_close(&u);
    }
}

/* Done: then it is too late. */
static void S52_cancelled_when_it_is_done(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    CHECK(!eddy_future_cancel(u.client, NULL));
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

static void X8_abort_and_detach_at_each_step(void)
{
    for (int i = 0; i < 8; i++) {
        struct upgrade u;
        upgrade_init(&u);
        upgrade_open(&u);
        start_server(&u.c.s.peer);
        start_client(&u.c.s.client);
        test_run_steps(u.c.s.loop, i / 2);
        struct actor *a = i % 4 < 2 ? &u.c.s.client : &u.c.s.peer;
        struct eddy_future *f = i % 4 < 2 ? u.client : u.server;
        bool done = eddy_future_is_done(f);
        if (i % 2)
            actor_detach(a);
        else
            do_abort(a);
        CHECK(eddy_future_is_done(f));
        if (!done)
            CHECK_INT(eddy_future_result(f, NULL), -ECONNABORTED);
        UNTIL(&u.c.s, i % 2 || a->count[ON_LOST] == 1);
        upgrade_close(&u);
    }
}

static void start_and(struct actor *a, void (*what)(struct actor *a))
{
    a->on[ON_DATA] = NULL;
    start_client(a);
    what(a);
}

static void start_and_close(struct actor *a)
{
    start_and(a, do_close);
}

static void start_and_abort(struct actor *a)
{
    start_and(a, do_abort_eproto);
}

static void start_and_detach(struct actor *a)
{
    start_and(a, actor_detach);
}

static void X8_G12_ended_in_the_same_callback(void)
{
    static void (*const ways[])(struct actor * a) = {start_and_close, start_and_abort,
                                                     start_and_detach};
    static const int codes[] = {-ECONNABORTED, -EPROTO, 0};
    for (int i = 0; i < 3; i++) {
        struct upgrade u;
        upgrade_init(&u);
        u.c.s.client.on[ON_DATA] = ways[i];
        stage_open(&u.c.s);
        CHECK_INT(eddy_transport_write(u.c.s.peer.t, "go", 2), 0);
        UNTIL(&u.c.s, u.c.s.client.p == NULL);
        CHECK_INT(u.c.s.client.code, codes[i]);
        CHECK(eddy_future_is_done(u.client));
        UNTIL_LOST(&u.c.s, &u.c.s.peer);
        upgrade_close(&u);
    }
}

static void start_in_made(struct actor *a)
{
    if (a == &a->stage->client)
        start_client(a);
    else
        start_server(a);
}

static void S51_X4_in_connection_made(void)
{
    struct upgrade u;
    upgrade_init(&u);
    stage_keyed(&u.c.s);
    u.c.s.client.on[ON_MADE] = u.c.s.peer.on[ON_MADE] = start_in_made;
    stage_open(&u.c.s);
    u.c.s.client.t = u.c.s.client.p->transport;
    u.c.s.peer.t = u.c.s.peer.p->transport;
    check_bytes_flow(&u, 1000);
    upgrade_close(&u);
}

static void L16_the_loop_is_closed_during_the_upgrade_and_after(void)
{
    for (int i = 0; i < 2; i++) {
        struct upgrade u;
        test_expect_log("still open when its loop closes");
        upgrade_init(&u);
        upgrade_open(&u);
        if (i == 0) {
            start_client(&u.c.s.client);
            start_server(&u.c.s.peer);
        } else {
            upgrade_both(&u);
        }
        CHECK_INT(eddy_loop_close(u.c.s.loop), 0);
        CHECK_INT(u.c.s.client.code, EDDY_ELOOP_CLOSED);
        CHECK_INT(u.c.s.peer.code, EDDY_ELOOP_CLOSED);
        CHECK_INT(u.c.s.client.count[ON_LOST], 1);
        CHECK_INT(u.c.s.peer.count[ON_FINI], 1);
        CHECK_INT(eddy_future_result(u.client, NULL), i ? 0 : EDDY_ELOOP_CLOSED);
        eddy_future_unref(u.client);
        eddy_future_unref(u.server);
        eddy_server_unref(u.c.s.server);
        test_loop_free(u.c.s.loop);
        eddy_tls_unref(u.c.server);
        eddy_tls_unref(u.c.client);
    }
}

/* ---- TLS in TLS ---- */

static void upgrade_again(struct upgrade *u)
{
    eddy_future_unref(u->client);
    eddy_future_unref(u->server);
    upgrade_both(u);
}

static void X43_X2_three_deep(void)
{
    struct upgrade u;
    struct eddy_addr a;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    for (int i = 0; i < 2; i++) {
        check_bytes_flow(&u, 1000);
        upgrade_again(&u);
    }
    check_bytes_flow(&u, 1000000);
    CHECK_INT(eddy_transport_peername(u.c.s.client.t, &a), 0);
    CHECK_INT(eddy_addr_port(&a), u.c.s.port);
    CHECK(eddy_transport_fd(u.c.s.client.t) >= 0);
    eddy_transport_close(u.c.s.client.t);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK_INT(u.c.s.client.code, 0);
    CHECK_INT(u.c.s.peer.code, 0);
    CHECK_INT(u.c.s.peer.count[ON_EOF], 1);
    UNTIL(&u.c.s, eddy_server_connections(u.c.s.server) == 0);
    upgrade_close(&u);
}

static void X43_an_error_below_reaches_the_innermost_protocol_once(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    upgrade_again(&u);
    int fd = eddy_transport_fd(u.c.s.client.t);
    if (test_is_sim())
        CHECK_INT(eddy_sim_reset(test_sim(u.c.s.loop), fd, 0), 0);
    else
        CHECK_INT(u.c.s.sys->cls->shutdown(u.c.s.sys, fd, SHUT_RDWR), 0);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK(u.c.s.client.code == EDDY_ETLS || u.c.s.client.code == -ECONNRESET ||
          u.c.s.client.code == -EPIPE);
    CHECK(u.c.s.peer.code == EDDY_ETLS || u.c.s.peer.code == -ECONNRESET);
    upgrade_close(&u);
}

static void X43_abort_and_the_futures_of_a_failed_inner_handshake(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    eddy_future_unref(u.client);
    u.c.s.peer.in_key = 0;
    start_client(&u.c.s.client);
    test_run_steps(u.c.s.loop, 1);
    do_abort_eproto(&u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    CHECK_INT(u.c.s.client.code, -EPROTO);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK_INT(eddy_server_connections(u.c.s.server) <= 1, 1);
    UNTIL(&u.c.s, eddy_server_connections(u.c.s.server) == 0);
    upgrade_close(&u);
}

static void X43_X21_flow_control_through_both(void)
{
    struct upgrade u;
    upgrade_init(&u);
    upgrade_open(&u);
    upgrade_both(&u);
    upgrade_again(&u);
    do_pause(&u.c.s.peer);
    size_t before = u.c.s.client.sent, n = 0;
    for (eddy_nsec end = stage_patience(&u.c.s);
         !u.c.s.client.paused && stage_step(&u.c.s, end) && n < (64u << 20); n += 65536)
        CHECK_INT(actor_write(&u.c.s.client, 65536), 0);
    CHECK(u.c.s.client.paused);
    CHECK_INT(u.c.s.peer.received, before);
    do_resume(&u.c.s.peer);
    UNTIL(&u.c.s, u.c.s.peer.received == u.c.s.client.sent);
    UNTIL(&u.c.s, !u.c.s.client.paused);
    upgrade_close(&u);
}

/* A connection that create_connection and a server have made with TLS is upgraded once more. */
static void X43_over_connections_that_were_made_with_TLS(void)
{
    struct upgrade u;
    memset(&u, 0, sizeof u);
    tls_stage_init(&u.c);
    upgrade_open(&u);
    upgrade_both(&u);
    check_bytes_flow(&u, 100000);
    eddy_transport_close(u.c.s.peer.t);
    UNTIL_LOST(&u.c.s, &u.c.s.client);
    UNTIL_LOST(&u.c.s, &u.c.s.peer);
    CHECK_INT(u.c.s.client.code, 0);
    CHECK_INT(u.c.s.peer.code, 0);
    upgrade_close(&u);
}

const struct test_case test_cases[] = {
    CASE(E22_X38_X44_both_sides_after_a_plain_exchange),
    CASE(X3_X44_much_data_afterwards),
    CASE(X3_X44_much_data_afterwards_with_buffered_protocols),
    CASE(S51_S34_the_connection_is_its_servers_until_connection_lost),
    CASE(S37_S51_abort_clients_during_the_upgrade_and_after),
    CASE(S53_S51_drain_during_the_upgrade),
    CASE(S53_S51_started_in_shutdown_requested),
    CASE(T5_S51_the_idle_time_out_is_the_upper_transports_alone),
    CASE(S51_X44_G3_bad_arguments_change_nothing),
    CASE(G8_an_unknown_tail_of_options),
    CASE(S51_not_when_a_direction_has_ended),
    CASE(S51_not_twice_at_the_same_time),
    CASE(S51_the_old_transport_takes_nothing_any_more),
    CASE(X42_X10_plain_bytes_first_and_what_is_written_meanwhile_behind),
    CASE(X42_X10_the_order_on_the_wire),
    CASE(X10_close_does_not_wait_for_a_handshake),
    CASE(X42_T5_plain_bytes_are_sent_although_the_handshake_is_given_up),
    CASE(X39_R12_reading_that_is_paused_stays_paused),
    CASE(X39_paused_and_resumed_during_the_handshake),
    CASE(X25_X40_writing_that_is_paused_stays_paused),
    CASE(X40_a_servers_early_ciphertext_is_given_back),
    CASE(X40_also_after_the_call_in_the_same_callback),
    CASE(X41_a_client_with_bytes_given_back_is_refused),
    CASE(X41_bytes_given_back_after_the_call_fail_it),
    CASE(X41_lines_behind_the_last_plain_one_never_come_at_a_client),
    CASE(X40_lines_behind_the_last_plain_one_never_come_at_a_server),
    CASE(S52_X5_a_silent_peer),
    CASE(S52_X6_a_peer_that_answers_in_plain_text),
    CASE(S52_X7_a_peer_that_closes),
    CASE(S52_E18_a_server_that_is_not_who_we_mean),
    CASE(S52_S13_the_future_is_cancelled),
    CASE(S52_cancelled_when_it_is_done),
    CASE(X8_abort_and_detach_at_each_step),
    CASE(X8_G12_ended_in_the_same_callback),
    CASE(S51_X4_in_connection_made),
    CASE(L16_the_loop_is_closed_during_the_upgrade_and_after),
    CASE(X43_X2_three_deep),
    CASE(X43_an_error_below_reaches_the_innermost_protocol_once),
    CASE(X43_abort_and_the_futures_of_a_failed_inner_handshake),
    CASE(X43_X21_flow_control_through_both),
    CASE(X43_over_connections_that_were_made_with_TLS),
    TEST_END,
};
