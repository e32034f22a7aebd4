/* backends: epoll */
/* labels: threads */
/* timeout: 180 */
/*
 * TLS contexts that are reloaded: what is there now is for the next connections, the last good one
 * stays if the new one is broken. Contract X11.
 */
#include "tests/contract/tls_contexts.h"

#include "tests/support/stream.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

static struct cert *next;

static void need_next(void)
{
    need_certs();
    if (!next)
        next = cert_new(CERT(.names = "www.test, 127.0.0.1", .issuer = authority));
}

static void write_cert(const struct cert *c)
{
    certs_write_text("cert.pem", cert_all(c));
}

static struct eddy_tls *server_of_file(void)
{
    write_cert(www);
    return context(EDDY_TLS_SERVER(.cert_file = certs_path("cert.pem")));
}

/* ---- what changes, and what does not ---- */

static void X11_a_reload_reads_the_files_anew(void)
{
    need_next();
    struct eddy_tls *server = server_of_file();
    write_cert(next);
    CHECK(shows(server, www));
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK(shows(server, next));
    eddy_tls_unref(server);
    certs_remove_folder();
}

static void X11_a_reload_takes_other_options(void)
{
    need_next();
    struct eddy_tls *server = SERVER(.min_version = 0);
    struct eddy_tls *older = CLIENT(.max_version = EDDY_TLS_1_2);
    CHECK_INT(
        eddy_tls_reload(server, EDDY_TLS_SERVER(CERT_PEM(next), .min_version = EDDY_TLS_1_3), NULL),
        0);
    CHECK(shows(server, next));
    CHECK(!shake(server, older, "www.test"));
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0); /* the same again: the last ones */
    CHECK(shows(server, next));
    CHECK(!shake(server, older, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(older);
}

static void X11_a_client_reloads_its_trust(void)
{
    need_next();
    struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    CHECK_INT(eddy_tls_reload(client, EDDY_TLS_CLIENT(CERT_TRUST(other_authority)), NULL), 0);
    CHECK(!shake(server, client, "www.test"));
    CHECK_INT(eddy_tls_reload(client, EDDY_TLS_CLIENT(CERT_TRUST(authority)), NULL), 0);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void X11_the_last_good_one_stays_if_the_new_one_is_broken(void)
{
    struct eddy_error e = {.code = 0};

    need_next();
    struct eddy_tls *server = server_of_file();
    SSL_CTX *before = eddy_tls_ssl_ctx(server);
    certs_write_text("cert.pem", cert_pem(next)); /* without its key */
    CHECK_INT(eddy_tls_reload(server, NULL, &e), EDDY_ETLS);
    CHECK_INT(e.code, EDDY_ETLS);
    CHECK(strstr(e.text, "cert.pem") != NULL);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), EDDY_ETLS);
    certs_remove_folder();
    CHECK_INT(eddy_tls_reload(server, NULL, &e), -ENOENT);
    CHECK_INT(eddy_tls_reload(server, EDDY_TLS_SERVER(.cert_file = "/"), &e), -EISDIR);
    CHECK(shows(server, www));
    SSL_CTX *after = eddy_tls_ssl_ctx(server);
    CHECK(before == after);
    SSL_CTX_free(before);
    SSL_CTX_free(after);
    write_cert(next); /* the options are the old ones, too */
    CHECK_INT(eddy_tls_reload(server, NULL, &e), -ENOENT);
    eddy_tls_unref(server);
    certs_remove_folder();
}

static void X11_a_reload_keeps_the_side(void)
{
    struct eddy_error e = {.code = 0};

    need_next();
    struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    CHECK_INT(eddy_tls_reload(server, EDDY_TLS_CLIENT(CERT_TRUST(authority)), &e), -EINVAL);
    CHECK(strstr(e.text, "a client's cannot become a server's") != NULL);
    CHECK_INT(eddy_tls_reload(client, EDDY_TLS_SERVER(CERT_PEM(www)), &e), -EINVAL);
    CHECK_INT(eddy_tls_reload(server, EDDY_TLS_SERVER(.min_version = 0), &e), -EINVAL);
    CHECK(strstr(e.text, "needs a certificate") != NULL);
    CHECK_INT(eddy_tls_reload(NULL, NULL, &e), -EINVAL);
    CHECK_INT(e.code, -EINVAL);
    CHECK_INT(eddy_tls_reload(NULL, NULL, NULL), -EINVAL);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

/* They would keep each other alive. */
static void X11_a_context_is_not_among_its_own_names(void)
{
    struct eddy_error e = {.code = 0};

    need_next();
    struct eddy_tls *server = SERVER(.min_version = 0);
    const struct eddy_tls_name names[] = {{.name = "a", .tls = server}, {.name = NULL}};
    CHECK_INT(eddy_tls_reload(server, EDDY_TLS_SERVER(CERT_PEM(www), .names = names), &e), -EINVAL);
    CHECK(strstr(e.text, ".names") != NULL);
    eddy_tls_unref(server);
}

static void X11_names_make_no_circle(void)
{
    struct eddy_error e = {.code = 0};

    need_next();
    struct eddy_tls *a = SERVER(.min_version = 0);
    const struct eddy_tls_name to_a[] = {{.name = "a", .tls = a}, {.name = NULL}};
    struct eddy_tls *b = SERVER(.names = to_a);
    const struct eddy_tls_name to_b[] = {{.name = "b", .tls = b}, {.name = NULL}};
    struct eddy_tls *c = SERVER(.names = to_b);
    const struct eddy_tls_name to_c[] = {{.name = "c", .tls = c}, {.name = NULL}};
    CHECK_INT(eddy_tls_reload(a, EDDY_TLS_SERVER(CERT_PEM(www), .names = to_c, .error = &e), NULL),
              -EINVAL);
    CHECK(strstr(e.text, ".names") != NULL);
    CHECK_INT(eddy_tls_reload(c, EDDY_TLS_SERVER(CERT_PEM(www), .names = to_a), NULL), 0);
    eddy_tls_unref(a);
    eddy_tls_unref(b);
    eddy_tls_unref(c);
}

static void X11_names_that_are_reloaded_are_those_of_the_next_connection(void)
{
    need_next();
    struct eddy_tls *named = context(EDDY_TLS_SERVER(CERT_PEM(www)));
    const struct eddy_tls_name names[] = {{.name = "www.test", .tls = named}, {.name = NULL}};
    struct eddy_tls *server = context(EDDY_TLS_SERVER(.throw_away = "localhost", .names = names));
    struct eddy_tls *client = CLIENT(.min_version = 0);
    CHECK(shake(server, client, "www.test"));
    CHECK_INT(eddy_tls_reload(named, EDDY_TLS_SERVER(.throw_away = "www.test"), NULL), 0);
    CHECK(!shake(server, client, "www.test"));
    CHECK_INT(eddy_tls_reload(named, EDDY_TLS_SERVER(CERT_PEM(next)), NULL), 0);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(named);
    CHECK_INT(eddy_tls_reload(server, EDDY_TLS_SERVER(.throw_away = "localhost"), NULL), 0);
    CHECK(!shake(server, client, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void X11_a_reload_makes_another_throw_away_certificate(void)
{
    char before[4096], after[4096];
    struct eddy_tls *server = context(EDDY_TLS_SERVER(.throw_away = "localhost"));

    CHECK_INT(eddy_tls_cert_pem(server, before, sizeof before), 0);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK_INT(eddy_tls_cert_pem(server, after, sizeof after), 0);
    CHECK(strcmp(before, after) != 0);
    eddy_tls_unref(server);
}

static void G5_X11_a_reload_without_memory_changes_nothing(void)
{
    struct eddy_error e;
    long n;

    need_next();
    struct eddy_tls *server = server_of_file();
    write_cert(next);
    for (n = 1; n < 100; n++) {
        e.code = 0;
        test_fail_allocation(n);
        int rc = n % 2 ? eddy_tls_reload(server, NULL, &e)
                       : eddy_tls_reload(server, EDDY_TLS_SERVER(CERT_PEM(next)), &e);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        if (!failed)
            break;
        CHECK_INT(rc, -ENOMEM);
        CHECK_INT(e.code, -ENOMEM);
        CHECK(shows(server, www));
    }
    CHECK(n > 1 && n < 100);
    CHECK(shows(server, next));
    eddy_tls_unref(server);
    certs_remove_folder();
}

/* ---- connections ---- */

static bool peer_is(struct eddy_transport *t, const struct cert *c)
{
    const X509 *x = SSL_get0_peer_certificate(eddy_tls_ssl(t));

    return x && X509_cmp(x, cert_x509(c)) == 0;
}

static void X11_present_connections_keep_what_they_have(void)
{
    struct actor second, guest;
    struct stage s;

    need_next();
    stage_init(&s);
    struct eddy_tls *server = server_of_file(), *client = CLIENT(.no_resumption = true);
    s.server_opts.tls = server;
    s.connection_opts.tls = client;
    stage_keyed(&s);
    stage_open(&s);
    write_cert(next);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    certs_write_text("cert.pem", "");
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), EDDY_ETLS);
    stage_add(&s, &second, false);
    stage_add(&s, &guest, true);
    CHECK_INT(actor_connect(&second), 0);
    UNTIL(&s, second.done && guest.count[ON_MADE] == 1);
    CHECK(peer_is(s.client.t, www));
    CHECK(peer_is(second.t, next));
    CHECK_INT(actor_write(&s.client, 100000), 0);
    CHECK_INT(actor_write(&s.peer, 100000), 0);
    UNTIL(&s, s.client.received == 100000 && s.peer.received == 100000);
    stage_close(&s);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    certs_remove_folder();
}

/* ---- resumption ---- */

struct meeting {
    struct actor guest, host;
};

/* One more connection, to its end: whether it resumes the session of one before. */
static bool meet(struct stage *s, struct meeting *m)
{
    struct eddy_tls_info info = {.resumed = false};

    stage_add(s, &m->guest, false);
    stage_add(s, &m->host, true);
    CHECK_INT(actor_connect(&m->guest), 0);
    UNTIL(s, m->guest.done && m->host.count[ON_MADE] == 1);
    if (!CHECK_INT(m->guest.status, 0))
        return false;
    CHECK_INT(eddy_tls_info(m->guest.t, &info), 0);
    actor_write(&m->host, 1); /* behind the tickets */
    UNTIL(s, m->guest.received == 1);
    eddy_transport_close(m->guest.t);
    UNTIL(s, m->guest.count[ON_LOST] == 1 && m->host.count[ON_LOST] == 1);
    return info.resumed;
}

static void begin_meetings(struct stage *s, struct eddy_tls *server, struct eddy_tls *client)
{
    stage_init(s);
    s->server_opts.tls = server;
    s->connection_opts.tls = client;
    stage_open(s);
    actor_write(&s->peer, 1);
    UNTIL(s, s->client.received == 1);
}

static void check_tickets(int version)
{
    struct meeting m[3];
    struct stage s;

    need_next();
    struct eddy_tls *server = server_of_file(), *client = CLIENT(.max_version = version);
    begin_meetings(&s, server, client);
    CHECK(meet(&s, &m[0]));
    write_cert(next);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK(meet(&s, &m[1]));
    CHECK_INT(eddy_tls_reload(client, NULL, NULL), 0);
    CHECK(meet(&s, &m[2]));
    stage_close(&s);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    certs_remove_folder();
}

static void X11_X15_tickets_outlive_a_reload(void)
{
    check_tickets(EDDY_TLS_1_3);
    check_tickets(EDDY_TLS_1_2);
}

/* Who was verified by authorities that are not trusted any more is verified again. */
static void X11_X15_tickets_of_clients_do_not_outlive_other_authorities(void)
{
    struct meeting m[3];
    struct stage s;

    need_next();
    struct eddy_tls_opts o =
        *EDDY_TLS_SERVER(CERT_PEM(www), .ca_file = certs_write_text("ca.pem", cert_pem(authority)),
                         .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    struct eddy_tls *server = context(&o), *client = CLIENT(CERT_PEM(client_cert));
    begin_meetings(&s, server, client);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK(meet(&s, &m[0]));
    char both[8192];
    snprintf(both, sizeof both, "%s%s", cert_pem(authority), cert_pem(other_authority));
    certs_write_text("ca.pem", both);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK(!meet(&s, &m[1]));
    CHECK(meet(&s, &m[2]));
    stage_close(&s);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    certs_remove_folder();
}

/* ---- many, beside each other ---- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { RELOADS = 1000 };
#else
enum { RELOADS = 10000 };
#endif
enum { VISITORS = 2 };

struct crowd {
    struct eddy_tls *server;
    struct eddy_tls *clients[2]; /* who resumes, and who does not */
    struct eddy_loop *loop;
    int port;
    sem_t turns; /* that the loop may take: one for each reload */
    atomic_bool over;
    int here, made, failed, resumed, full, of_next;
    char why[EDDY_ERROR_TEXT];
};

struct visitor {
    struct eddy_protocol base;
    struct crowd *crowd;
    struct eddy_tls *tls;
};

static void visit(struct visitor *v);

static void visitor_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct crowd *c = EDDY_CONTAINER_OF(p, struct visitor, base)->crowd;
    struct eddy_tls_info info;

    c->made++;
    if (!CHECK_INT(eddy_tls_info(t, &info), 0))
        return;
    c->resumed += info.resumed;
    c->full += !info.resumed;
    c->of_next += !info.resumed && peer_is(t, next);
}

/* The server's byte comes behind its tickets. */
static void visitor_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)data, (void)len;
    eddy_transport_close(p->transport);
}

static void visitor_failed(struct eddy_protocol *p, const struct eddy_error *why)
{
    struct crowd *c = EDDY_CONTAINER_OF(p, struct visitor, base)->crowd;

    c->failed++;
    strcpy(c->why, why->text);
}

static void visitor_lost(struct eddy_protocol *p, const struct eddy_error *why)
{
    if (why)
        visitor_failed(p, why);
}

static void visitor_fini(struct eddy_protocol *p)
{
    struct visitor *v = EDDY_CONTAINER_OF(p, struct visitor, base);

    v->crowd->here--;
    visit(v);
}

static const struct eddy_protocol_class visitor_class = {
    EDDY_PROTOCOL_CLASS(struct visitor, base),
    .connection_made = visitor_made,
    .data_received = visitor_data,
    .connect_failed = visitor_failed,
    .connection_lost = visitor_lost,
    .fini = visitor_fini,
};

static void visit(struct visitor *v)
{
    struct crowd *c = v->crowd;

    if (atomic_load(&c->over))
        return;
    c->here++;
    CHECK_INT(eddy_create_connection(
                  c->loop, &v->base,
                  EDDY_CONNECTION(.host = "127.0.0.1", .port = c->port, .tls = v->tls), NULL),
              0);
}

static int hosts;

static void greet(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p;
    hosts++;
    eddy_transport_write(t, "!", 1);
}

static void ignore(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static void leave(struct eddy_protocol *p, const struct eddy_error *why)
{
    (void)p, (void)why;
    hosts--;
}

static const struct eddy_protocol_class host_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("host"),
    .connection_made = greet,
    .data_received = ignore,
    .connection_lost = leave,
};

/* Good ones of two kinds, and now and then a broken one. */
static int reload_server(struct crowd *c, int i)
{
    struct eddy_error e;

    if (i % 100 == 99)
        return eddy_tls_reload(c->server, EDDY_TLS_SERVER(.cert_file = "/nowhere"), &e) == -ENOENT
                   ? 0
                   : -EPROTO;
    if (i % 2)
        return eddy_tls_reload(c->server, NULL, &e);
    return eddy_tls_reload(c->server, EDDY_TLS_SERVER(CERT_PEM(i / 2 % 2 ? next : www)), &e);
}

static void *reload_again_and_again(void *user)
{
    struct crowd *c = user;
    struct eddy_error e;

    for (int i = 0; i < RELOADS; i++) {
        sem_post(&c->turns);
        if (!CHECK_INT(reload_server(c, i), 0))
            break;
        if (i % 16 == 0 && !CHECK_INT(eddy_tls_reload(c->clients[i / 16 % 2], NULL, &e), 0))
            break;
    }
    atomic_store(&c->over, true);
    sem_post(&c->turns);
    return NULL;
}

/* A handshake takes several turns, so that there are reloads in the middle of each. */
static void take_turns(struct crowd *c)
{
    while (!atomic_load(&c->over)) {
        while (sem_wait(&c->turns) < 0) { /* EINTR */
        }
        CHECK_INT(eddy_loop_run_once(c->loop, 0), 0);
    }
    while (c->here > 0 || hosts > 0)
        CHECK_INT(eddy_loop_run_once(c->loop, EDDY_MSEC(50)), 0);
}

static void X11_ten_thousand_reloads_fail_no_handshake(void)
{
    struct visitor visitors[VISITORS];
    struct crowd c = {.made = 0};
    struct eddy_server *server = NULL;
    struct eddy_addr addr;
    pthread_t thread;

    need_next();
    REQUIRE(test_loop_new(&c.loop) == 0 && sem_init(&c.turns, 0, 0) == 0);
    c.server = SERVER(.min_version = 0);
    c.clients[0] = CLIENT(.min_version = 0);
    c.clients[1] = CLIENT(.no_resumption = true);
    REQUIRE(eddy_create_server(c.loop, &host_class,
                               EDDY_SERVER(.host = "127.0.0.1", .tls = c.server), &server) == 0);
    REQUIRE(eddy_server_sockname(server, 0, &addr) == 0);
    c.port = eddy_addr_port(&addr);
    for (int i = 0; i < VISITORS; i++) {
        eddy_protocol_init(&visitors[i].base, &visitor_class);
        visitors[i].crowd = &c;
        visitors[i].tls = c.clients[i % 2];
        visit(&visitors[i]);
    }
    REQUIRE(pthread_create(&thread, NULL, reload_again_and_again, &c) == 0);
    take_turns(&c);
    pthread_join(thread, NULL);
    sem_destroy(&c.turns);
    if (!CHECK_INT(c.failed, 0))
        FAIL("%s", c.why);
    CHECK(c.made > VISITORS);
    CHECK(c.resumed > 0);
    CHECK(c.of_next > 0 && c.of_next < c.full);
    eddy_server_close(server);
    eddy_server_unref(server);
    test_loop_free(c.loop);
    eddy_tls_unref(c.server);
    eddy_tls_unref(c.clients[0]);
    eddy_tls_unref(c.clients[1]);
}

/* Threads that reload the same one do not get into each other's way. */
struct rival {
    pthread_t thread;
    struct eddy_tls *server;
    const struct cert *cert;
};

static void *reload_as_rival(void *user)
{
    struct rival *r = user;

    for (int i = 0; i < 100; i++) {
        CHECK_INT(
            eddy_tls_reload(r->server, i % 2 ? NULL : EDDY_TLS_SERVER(CERT_PEM(r->cert)), NULL), 0);
        CHECK_INT(eddy_tls_rotate_tickets(r->server), 0);
    }
    return NULL;
}

static void X11_several_threads_reload(void)
{
    struct rival rivals[4];

    need_next();
    struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    for (int i = 0; i < 4; i++) {
        rivals[i].server = server;
        rivals[i].cert = i % 2 ? www : next;
        REQUIRE(pthread_create(&rivals[i].thread, NULL, reload_as_rival, &rivals[i]) == 0);
    }
    for (int i = 0; i < 100; i++)
        CHECK(shake(server, client, "www.test"));
    for (int i = 0; i < 4; i++)
        pthread_join(rivals[i].thread, NULL);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

const struct test_case test_cases[] = {
    TEST(X11_a_reload_reads_the_files_anew),
    TEST(X11_a_reload_takes_other_options),
    TEST(X11_a_client_reloads_its_trust),
    TEST(X11_the_last_good_one_stays_if_the_new_one_is_broken),
    TEST(X11_a_reload_keeps_the_side),
    TEST(X11_a_context_is_not_among_its_own_names),
    TEST(X11_names_make_no_circle),
    TEST(X11_names_that_are_reloaded_are_those_of_the_next_connection),
    TEST(X11_a_reload_makes_another_throw_away_certificate),
    TEST(G5_X11_a_reload_without_memory_changes_nothing),
    TEST(X11_present_connections_keep_what_they_have),
    TEST(X11_X15_tickets_outlive_a_reload),
    TEST(X11_X15_tickets_of_clients_do_not_outlive_other_authorities),
    TEST(X11_ten_thousand_reloads_fail_no_handshake),
    TEST(X11_several_threads_reload),
    TEST_END,
};
