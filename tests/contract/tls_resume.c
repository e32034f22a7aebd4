/* backends: epoll sim */
/* timeout: 120 */
/* labels: threads */
/* Resumption, on both sides: contract X15. */
#include "tests/contract/tls_pair.h"
#include "transports/tls/session.h"
#include "transports/tls/tls.h"
#include <pthread.h>

/* A pair that connects again and again, one connection after the other. */
struct repeat {
    struct tls_stage c;
    struct actor guests[STAGE_CAST / 2 - 2], clients[STAGE_CAST / 2 - 2];
    unsigned used;
};

static void repeat_init(struct repeat *r, const struct eddy_tls_opts *server,
                        const struct eddy_tls_opts *client)
{
    memset(r, 0, sizeof *r);
    pair_init(&r->c, server, client);
    r->c.s.guest_count = 0;
    for (unsigned i = 0; i < STAGE_CAST / 2 - 2; i++) {
        stage_add(&r->c.s, &r->guests[i], true);
        stage_add(&r->c.s, &r->clients[i], false);
    }
}

static void greet(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, "x", 1), 0);
}

/* The connection, made, and with the tickets that come behind it. */
static struct actor *repeat_open(struct repeat *r)
{
    struct actor *client = &r->clients[r->used], *guest = &r->guests[r->used];
    guest->on[ON_MADE] = greet;
    r->used++;
    if (!r->c.s.server)
        pair_begin(&r->c);
    CHECK_INT(pair_connect(&r->c, client), 0);
    UNTIL(&r->c.s, client->received == 1);
    return client;
}

static bool is_resumed(struct repeat *r, struct actor *client)
{
    bool resumed = info_of(client).resumed;
    CHECK(info_of(&r->guests[client - r->clients]).resumed == resumed);
    CHECK(info_of(client).verified);
    CHECK_STR(info_of(&r->guests[client - r->clients]).server_hostname,
              r->c.s.connection_opts.server_hostname);
    return resumed;
}

/* Whether the next connection resumes. */
static bool resumes(struct repeat *r)
{
    struct actor *client = repeat_open(r);
    bool resumed = is_resumed(r, client);
    eddy_transport_close(client->t);
    UNTIL_LOST(&r->c.s, client);
    return resumed;
}

static void check_resumes(const struct eddy_tls_opts *server, const struct eddy_tls_opts *client)
{
    static struct repeat r;
    repeat_init(&r, server, client);
    CHECK(!resumes(&r));
    for (int i = 0; i < 6; i++)
        CHECK(resumes(&r)); /* each leaves something for the next */
    tls_stage_close(&r.c);
}

static int no_tickets(void *user, SSL_CTX *ctx)
{
    (void)user;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return 0;
}

static void X15_tickets_of_TLS_1_3_are_used(void)
{
    need_www();
    check_resumes(WWW(), TRUSTING());
}

static void X15_tickets_of_TLS_1_2_are_used(void)
{
    need_www();
    check_resumes(WWW(.max_version = EDDY_TLS_1_2), TRUSTING());
}

static void X15_session_ids_of_TLS_1_2_are_used(void)
{
    need_www();
    check_resumes(WWW(.max_version = EDDY_TLS_1_2, .configure = no_tickets), TRUSTING());
}

static void X15_with_clients_that_have_certificates(void)
{
    need_www();
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++)
        check_resumes(WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
                      TRUSTING(CERT_PEM(www), .max_version = version));
}

/* Two connections at once must not show the same ticket (RFC 8446 C.4). */
static void X15_a_ticket_of_TLS_1_3_is_used_once(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    struct actor *first = repeat_open(&r); /* it leaves two */
    struct actor *a = &r.clients[1], *b = &r.clients[2], *c = &r.clients[3];
    REQUIRE(actor_connect(a) == 0);
    REQUIRE(actor_connect(b) == 0);
    REQUIRE(actor_connect(c) == 0);
    UNTIL(&r.c.s, a->done && b->done && c->done);
    CHECK_INT(info_of(a).resumed + info_of(b).resumed + info_of(c).resumed, 2);
    CHECK(!info_of(first).resumed);
    tls_stage_close(&r.c);
}

static void X15_a_ticket_of_TLS_1_3_outlives_a_connection_that_was_aborted(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    for (int i = 0; i < 3; i++) {
        struct actor *client = repeat_open(&r);
        CHECK(is_resumed(&r, client) == (i > 0));
        eddy_transport_abort(client->t, NULL);
        UNTIL_LOST(&r.c.s, client);
    }
    tls_stage_close(&r.c);
}

static void X15_no_resumption_where_it_is_off(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(.no_resumption = true), TRUSTING());
    CHECK(!resumes(&r) && !resumes(&r));
    tls_stage_close(&r.c);
    repeat_init(&r, WWW(), TRUSTING(.no_resumption = true));
    CHECK(!resumes(&r) && !resumes(&r));
    tls_stage_close(&r.c);
}

/* ---- whose session it is ---- */

static void X15_a_session_is_for_the_name_it_was_made_for(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    CHECK(!resumes(&r));
    r.c.s.connection_opts.server_hostname = "a.wild.test";
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

static void X13_X15_a_dot_at_the_end_makes_no_other_name(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    CHECK(!resumes(&r));
    r.c.s.connection_opts.server_hostname = "www.test.";
    CHECK(info_of(repeat_open(&r)).resumed);
    tls_stage_close(&r.c);
}

static void X15_what_was_not_verified_is_not_resumed_as_if_it_was(void)
{
    static struct repeat r;
    need_www();
    test_expect_log("is not verified to be for that name");
    repeat_init(&r, WWW(), TRUSTING());
    r.c.s.connection_opts.no_name_check = true;
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    r.c.s.connection_opts.no_name_check = false;
    CHECK(!resumes(&r));
    tls_stage_close(&r.c);
}

static const char *const first[] = {"first", NULL}, *const second[] = {"second", NULL};
static const char *const either[] = {"first", "second", NULL};

/* The server takes it for the one that it was when the session was made. */
static void X15_a_session_is_for_the_certificate_and_the_protocols_that_the_client_had(void)
{
    static struct repeat r;
    need_www();
    struct cert *other = cert_new(CERT(.cn = "other", .issuer = authority));
    repeat_init(&r,
                WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE, .alpn = either),
                TRUSTING(CERT_PEM(www), .alpn = first));
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client, TRUSTING(CERT_PEM(other), .alpn = first), NULL), 0);
    CHECK(!resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client, TRUSTING(CERT_PEM(other), .alpn = second), NULL), 0);
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
    cert_free(other);
}

/* ---- reloading ---- */

static void X15_sessions_survive_a_reload_under_the_same_trust(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    CHECK(!resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client, NULL, NULL), 0);
    CHECK_INT(eddy_tls_reload(r.c.server, NULL, NULL), 0);
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

static void X15_sessions_do_not_survive_another_trust(void)
{
    static struct repeat r;
    char both[8192];
    need_www();
    snprintf(both, sizeof both, "%s%s", cert_pem(authority), cert_pem(the_authority));
    repeat_init(&r, WWW(), TRUSTING());
    CHECK(!resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client,
                              EDDY_TLS_CLIENT(.ca_pem = both, .ca_pem_len = strlen(both)), NULL),
              0);
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

/* A client that was verified by a trust that is no more has to be verified again. */
static void X15_a_servers_sessions_do_not_survive_another_trust(void)
{
    static struct repeat r;
    char both[8192];
    need_www();
    snprintf(both, sizeof both, "%s%s", cert_pem(authority), cert_pem(the_authority));
    repeat_init(&r, WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
                TRUSTING(CERT_PEM(www)));
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.server,
                              WWW(.ca_pem = both, .ca_pem_len = strlen(both),
                                  .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
                              NULL),
              0);
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

/* A folder may have changed since, and nobody sees it: clients are verified again. */
static void X15_a_servers_sessions_do_not_survive_a_reload_of_a_folder(void)
{
    static struct repeat r;
    need_www();
    repeat_init(
        &r,
        WWW(CERT_TRUST(authority), .ca_dir = certs_folder(), .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
        TRUSTING(CERT_PEM(www)));
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.server, NULL, NULL), 0);
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
    certs_remove_folder();
}

static void X15_what_a_connection_of_before_gets_is_of_the_trust_of_before(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING(.ca_dir = certs_folder()));
    pair_begin(&r.c);
    r.guests[0].on[ON_MADE] = NULL;
    r.used++;
    CHECK_INT(pair_connect(&r.c, &r.clients[0]), 0);
    CHECK_INT(eddy_tls_reload(r.c.client, NULL, NULL), 0);
    UNTIL(&r.c.s, r.guests[0].count[ON_MADE] == 1);
    greet(&r.guests[0]);
    UNTIL(&r.c.s, r.clients[0].received == 1); /* and the tickets, under the old context */
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
    certs_remove_folder();
}

static void X15_nothing_is_resumed_once_it_is_off(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client, TRUSTING(.no_resumption = true), NULL), 0);
    CHECK(!resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.client, TRUSTING(), NULL), 0);
    CHECK(!resumes(&r)); /* there is nothing left */
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

/* ---- how long ---- */

/* As www, but for a minute only. */
static X509 *short_lived(void)
{
    X509 *x = X509_dup(cert_x509(www));
    REQUIRE(x && X509_gmtime_adj(X509_getm_notAfter(x), 60));
    REQUIRE(X509_sign(x, cert_pkey(authority), EVP_sha256()) > 0);
    return x;
}

static int show_short_lived(void *user, SSL_CTX *ctx)
{
    X509 *x = short_lived();
    int ok = SSL_CTX_use_certificate(ctx, x) && SSL_CTX_use_PrivateKey(ctx, cert_pkey(www));
    (void)user;
    X509_free(x);
    return ok ? 0 : -EINVAL;
}

static long left_at_server(struct repeat *r, const struct actor *client)
{
    return SSL_SESSION_get_timeout(SSL_get_session(eddy_tls_ssl(r->guests[client - r->clients].t)));
}

static void check_limited(const struct eddy_tls_opts *server, int version)
{
    static struct repeat r;
    repeat_init(&r, server, TRUSTING(.configure = show_short_lived, .max_version = version));
    for (int i = 0; i < 3; i++) { /* what is resumed is renewed, and for no longer */
        struct actor *client = repeat_open(&r);
        CHECK(is_resumed(&r, client) == (i > 0));
        CHECK(left_at_server(&r, client) <= 60);
        CHECK(SSL_SESSION_get_ticket_lifetime_hint(SSL_get_session(eddy_tls_ssl(client->t))) <= 60);
        eddy_transport_close(client->t);
        UNTIL_LOST(&r.c.s, client);
    }
    tls_stage_close(&r.c);
}

#define ASKING(...) WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE, __VA_ARGS__)

static void no_early_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static void X15_no_session_outlives_the_clients_certificate(void)
{
    need_www();
    check_limited(ASKING(.min_version = 0), EDDY_TLS_1_3);
    check_limited(ASKING(.max_early_data = 100, .early_data_received = no_early_data),
                  EDDY_TLS_1_3);
    check_limited(ASKING(.min_version = 0), EDDY_TLS_1_2);
    check_limited(ASKING(.configure = no_tickets), EDDY_TLS_1_2);
}

static int refuse(void *user, SSL_CTX *ctx)
{
    (void)user, (void)ctx;
    return -EPERM;
}

/* ---- keys of tickets ---- */

static void X15_a_ticket_survives_one_rotation_and_not_two(void)
{
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++) {
        static struct repeat r;
        need_www();
        repeat_init(&r, WWW(.max_version = version), TRUSTING());
        CHECK(!resumes(&r));
        CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
        CHECK(resumes(&r));
        CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
        /* It has a new one; of TLS 1.2 OpenSSL's clients do not tell of such. */
        CHECK(resumes(&r) == (version == EDDY_TLS_1_3));
        CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
        CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
        CHECK(!resumes(&r));
        CHECK_INT(eddy_tls_rotate_tickets(r.c.client), -EINVAL);
        CHECK_INT(eddy_tls_rotate_tickets(NULL), -EINVAL);
        tls_stage_close(&r.c);
    }
}

static time_t later; /* than now, which does not go on */
static time_t shifted(time_t *ret)
{
    static time_t now;
    (void)ret;
    if (now == 0)
        now = time(NULL);
    return now + later;
}

/* One rotation is one, also where another is due. */
static void X15_a_ticket_survives_a_late_rotation(void)
{
    static struct repeat r;
    need_www();
    later = 0;
    repeat_init(&r, WWW(.session_lifetime = EDDY_SEC(3600)), TRUSTING());
    tls_tickets_set_clock(r.c.server, shifted);
    CHECK(!resumes(&r));
    later = 1900;
    CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
    CHECK(resumes(&r));
    later = 1900 + 3700; /* that was too long ago */
    CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
    CHECK(!resumes(&r));
    tls_stage_close(&r.c);
}

/* The client keeps them; the keys alone are older. */
static void X15_keys_of_tickets_rotate_by_half_of_their_time(void)
{
    static struct repeat r;
    need_www();
    later = 0;
    repeat_init(&r, WWW(.session_lifetime = EDDY_SEC(3600)), TRUSTING());
    tls_tickets_set_clock(r.c.server, shifted);
    CHECK(!resumes(&r));
    later = 1000;
    CHECK(resumes(&r));
    later = 1900; /* the previous one, now */
    CHECK(resumes(&r));
    later = 5600; /* both are too old */
    CHECK(!resumes(&r));
    later = 0; /* the clock was put back */
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

static void X11_X15_a_reload_that_fails_changes_nothing(void)
{
    static struct repeat r;
    need_www();
    later = 0;
    repeat_init(&r, WWW(.session_lifetime = EDDY_SEC(3600)), TRUSTING());
    tls_tickets_set_clock(r.c.server, shifted);
    CHECK(!resumes(&r));
    CHECK_INT(eddy_tls_reload(r.c.server, WWW(.session_lifetime = EDDY_SEC(1), .configure = refuse),
                              NULL),
              -EPERM);
    CHECK_INT(eddy_tls_reload(r.c.client, TRUSTING(.configure = refuse), NULL), -EPERM);
    later = 1000;
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

/* The application data of an SSL are the application's. */
static void X15_application_data_are_not_ours(void)
{
    static struct tls_layer theirs; /* whoever takes them for his own is seen by this */
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    struct actor *client = repeat_open(&r);
    UNTIL(&r.c.s, r.guests[0].count[ON_MADE] == 1);
    theirs.state = TLS_WRAPPED;
    theirs.tokens = 5;
    SSL_set_app_data(eddy_tls_ssl(r.guests[0].t), &theirs);
    CHECK_INT(eddy_tls_update_keys(client->t, false), 0);
    CHECK_INT(eddy_transport_write(client->t, "x", 1), 0);
    UNTIL(&r.c.s, r.guests[0].received == 1);
    CHECK_INT(theirs.tokens, 5);
    tls_stage_close(&r.c);
}

static void X15_a_client_forgets_sessions_in_time(void)
{
    static struct repeat r;
    need_www();
    later = 0;
    repeat_init(&r, WWW(), TRUSTING(.session_lifetime = EDDY_SEC(60)));
    tls_session_set_clock(r.c.client, shifted);
    CHECK(!resumes(&r));
    later = 59;
    CHECK(resumes(&r));
    later = 59 + 60;
    CHECK(!resumes(&r));
    tls_stage_close(&r.c);
}

static void X15_a_client_forgets_sessions_when_the_server_does(void)
{
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++) {
        static struct repeat r;
        need_www();
        later = 0;
        repeat_init(&r, WWW(.session_lifetime = EDDY_SEC(60)), TRUSTING(.max_version = version));
        tls_session_set_clock(r.c.client, shifted);
        CHECK(!resumes(&r));
        later = 59;
        CHECK(resumes(&r));
        later = 59 + 60;
        CHECK(!resumes(&r));
        tls_stage_close(&r.c);
    }
}

static void X15_a_client_forgets_sessions_of_a_certificate_that_has_expired(void)
{
    static struct repeat r;
    need_www();
    later = 0;
    repeat_init(&r, EDDY_TLS_SERVER(.configure = show_short_lived), TRUSTING());
    tls_session_set_clock(r.c.client, shifted);
    CHECK(!resumes(&r));
    CHECK(resumes(&r));
    later = 1000;
    CHECK(!resumes(&r));
    tls_stage_close(&r.c);
}

static void X15_a_client_keeps_so_many_and_no_more(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(.max_version = EDDY_TLS_1_2), TRUSTING(.session_cache = 2));
    CHECK(!resumes(&r)); /* www.test */
    r.c.s.connection_opts.server_hostname = "a.wild.test";
    CHECK(!resumes(&r));
    r.c.s.connection_opts.server_hostname = "www.test";
    CHECK(resumes(&r)); /* used more recently than a.wild.test now */
    r.c.s.connection_opts.server_hostname = "b.wild.test";
    CHECK(!resumes(&r)); /* in the place of a.wild.test's */
    r.c.s.connection_opts.server_hostname = "www.test";
    CHECK(resumes(&r));
    r.c.s.connection_opts.server_hostname = "a.wild.test";
    CHECK(!resumes(&r));
    tls_stage_close(&r.c);
}

/* What each connection is given from here on. */
static void set_tickets(struct eddy_tls *server, size_t n)
{
    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    CHECK_INT(SSL_CTX_set_num_tickets(ctx, n), 1);
    SSL_CTX_free(ctx);
}

static void X15_a_client_keeps_eight_tickets_of_TLS_1_3_for_each_name(void)
{
    static struct repeat r;
    int resumed = 0;
    need_www();
    repeat_init(&r, WWW(), TRUSTING());
    set_tickets(r.c.server, 20);
    CHECK(!resumes(&r));
    set_tickets(r.c.server, 0);
    for (int i = 0; i < 12; i++)
        resumed += resumes(&r);
    CHECK_INT(resumed, 8);
    tls_stage_close(&r.c);
}

/* Else what the server has forgotten would take the place of others. */
static void X15_a_client_keeps_one_session_of_TLS_1_2_for_each_name(void)
{
    static struct repeat r;
    need_www();
    repeat_init(&r, WWW(.max_version = EDDY_TLS_1_2), TRUSTING(.session_cache = 2));
    CHECK(!resumes(&r)); /* www.test */
    CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
    CHECK_INT(eddy_tls_rotate_tickets(r.c.server), 0);
    r.c.s.connection_opts.server_hostname = "a.wild.test";
    CHECK(!resumes(&r));
    r.c.s.connection_opts.server_hostname = "www.test";
    CHECK(!resumes(&r)); /* in the place of its first */
    r.c.s.connection_opts.server_hostname = "a.wild.test";
    CHECK(resumes(&r));
    r.c.s.connection_opts.server_hostname = "www.test";
    CHECK(resumes(&r));
    tls_stage_close(&r.c);
}

/* More than the cache has buckets for, about: those that share one do not get in each other's way.
 */
#define NAMES 80

static bool resumes_at(struct tls_stage *c, const char *host)
{
    struct actor a;
    stage_add(&c->s, &a, false);
    c->s.connection_opts.server_hostname = host;
    CHECK_INT(pair_connect(c, &a), 0);
    bool resumed = info_of(&a).resumed;
    eddy_transport_close(a.t);
    UNTIL_LOST(&c->s, &a);
    eddy_future_unref(a.future);
    c->s.cast_count--;
    return resumed;
}

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}
static const struct eddy_protocol_class cls = {
    EDDY_STATELESS_PROTOCOL_CLASS("quiet"),
    .data_received = ignore_data,
};

static void X15_sessions_of_many_names_stand_side_by_side(void)
{
    struct tls_stage c;
    char host[32];
    int resumed = 0;
    need_www();
    pair_init(&c, WWW(.max_version = EDDY_TLS_1_2), TRUSTING());
    c.s.server_class = &cls;
    c.s.server_opts.arg = NULL;
    pair_begin(&c);
    for (int i = 0; i < 2 * NAMES; i++) {
        snprintf(host, sizeof host, "n%d.wild.test", i % NAMES);
        resumed += resumes_at(&c, host);
        CHECK(i >= NAMES || resumed == 0);
    }
    CHECK_INT(resumed, NAMES);
    tls_stage_close(&c);
}

/* ---- threads ---- */

/* Both contexts at work in several loops at once, while keys rotate. */
#define THREADS 4
#define ROUNDS 5
static struct eddy_tls *shared_server, *shared_client;

static void *connect_in_thread(void *user)
{
    int *failures = user;
    for (int i = 0; i < ROUNDS; i++) {
        struct eddy_loop *loop = NULL;
        struct eddy_server *server = NULL;
        struct eddy_protocol p;
        struct eddy_future *f = NULL;
        eddy_protocol_init(&p, &cls);
        bool ok =
            eddy_loop_new(NULL, &loop) == 0 &&
            eddy_create_server(loop, &cls, EDDY_SERVER(.host = "127.0.0.1", .tls = shared_server),
                               &server) == 0 &&
            eddy_create_connection(loop, &p,
                                   EDDY_CONNECTION(.host = "127.0.0.1",
                                                   .port = eddy_server_port(server),
                                                   .tls = shared_client),
                                   &f) == 0 &&
            eddy_loop_run_until_complete(loop, f, NULL) == 0;
        *failures += !ok;
        eddy_tls_rotate_tickets(shared_server);
        if (p.transport)
            eddy_transport_close(p.transport);
        eddy_server_close(server);
        for (int j = 0; j < 500 && eddy_protocol_is_attached(&p); j++)
            eddy_loop_run_once(loop, EDDY_MSEC(10));
        for (int j = 0; j < 500 && eddy_server_connections(server); j++)
            eddy_loop_run_once(loop, EDDY_MSEC(10));
        eddy_future_unref(f);
        eddy_server_unref(server);
        eddy_loop_close(loop);
        eddy_loop_unref(loop);
    }
    return NULL;
}

static void X11_X15_contexts_are_shared_by_threads(void)
{
    pthread_t threads[THREADS];
    int failures[THREADS] = {0};
    if (test_is_sim())
        return;
    need_www();
    shared_server = context(WWW());
    shared_client = context(TRUSTING());
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, connect_in_thread, &failures[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(failures[i], 0);
    }
    eddy_tls_unref(shared_server);
    eddy_tls_unref(shared_client);
}

const struct test_case test_cases[] = {
    CASE(X15_tickets_of_TLS_1_3_are_used),
    CASE(X15_tickets_of_TLS_1_2_are_used),
    CASE(X15_session_ids_of_TLS_1_2_are_used),
    CASE(X15_with_clients_that_have_certificates),
    CASE(X15_a_ticket_of_TLS_1_3_is_used_once),
    CASE(X15_a_ticket_of_TLS_1_3_outlives_a_connection_that_was_aborted),
    CASE(X15_no_resumption_where_it_is_off),
    CASE(X15_a_session_is_for_the_name_it_was_made_for),
    CASE(X13_X15_a_dot_at_the_end_makes_no_other_name),
    CASE(X15_what_was_not_verified_is_not_resumed_as_if_it_was),
    CASE(X15_a_session_is_for_the_certificate_and_the_protocols_that_the_client_had),
    CASE(X15_sessions_survive_a_reload_under_the_same_trust),
    CASE(X15_sessions_do_not_survive_another_trust),
    CASE(X15_a_servers_sessions_do_not_survive_another_trust),
    CASE(X15_a_servers_sessions_do_not_survive_a_reload_of_a_folder),
    CASE(X15_what_a_connection_of_before_gets_is_of_the_trust_of_before),
    CASE(X15_nothing_is_resumed_once_it_is_off),
    CASE(X15_no_session_outlives_the_clients_certificate),
    CASE(X15_a_ticket_survives_one_rotation_and_not_two),
    CASE(X15_a_ticket_survives_a_late_rotation),
    CASE(X15_keys_of_tickets_rotate_by_half_of_their_time),
    CASE(X11_X15_a_reload_that_fails_changes_nothing),
    CASE(X15_application_data_are_not_ours),
    CASE(X15_a_client_forgets_sessions_in_time),
    CASE(X15_a_client_forgets_sessions_when_the_server_does),
    CASE(X15_a_client_forgets_sessions_of_a_certificate_that_has_expired),
    CASE(X15_a_client_keeps_so_many_and_no_more),
    CASE(X15_a_client_keeps_eight_tickets_of_TLS_1_3_for_each_name),
    CASE(X15_a_client_keeps_one_session_of_TLS_1_2_for_each_name),
    CASE(X15_sessions_of_many_names_stand_side_by_side),
    CASE(X11_X15_contexts_are_shared_by_threads),
    TEST_END,
};
