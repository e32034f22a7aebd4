/* The roads over TLS: contexts, and TLS in TLS. */
#include "tests/support/road.h"
#include "tests/support/stream.h"
#include <stdlib.h>
#include <string.h>

static const char road_key_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEID21vmS6yXDtA4f3/LDmIJpZjNkVh+iBOTsX2ty6IcPH\n"
    "-----END PRIVATE KEY-----\n";

static const char road_cert_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBLDCB36ADAgECAgEBMAUGAytlcDAXMRUwEwYDVQQDDAxFZGR5J3MgdGVzdHMw\n"
    "IBcNMDAwMTAxMDAwMDAwWhgPMjE5OTEyMzEyMzU5NTlaMBcxFTATBgNVBAMMDEVk\n"
    "ZHkncyB0ZXN0czAqMAUGAytlcAMhAI3p95MX5cRlbhp1AOIKzWB1RaCtcxso5KZG\n"
    "+tDOj48io04wTDAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwDwYDVR0TAQH/\n"
    "BAUwAwEB/zAdBgNVHQ4EFgQUw3nzR7Btbso2oB5hbyJd6dQ1w2UwBQYDK2VwA0EA\n"
    "TfmpOoblO2ZR8hBTbuDIA+FpFSWHK/V7s1FzssqmmY1X/8uNggMUAmNOI+l1YBFJ\n"
    "Umq5gjnaZE1R+g1cRdVhBQ==\n"
    "-----END CERTIFICATE-----\n";

struct eddy_tls *road_context_with(const struct eddy_tls_opts *given)
{
    struct eddy_tls_opts o = *given;
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls = NULL;
    o.error = &e;
    if (o.server) {
        o.cert_pem = road_cert_pem;
        o.cert_pem_len = sizeof road_cert_pem - 1;
        o.key_pem = road_key_pem;
        o.key_pem_len = sizeof road_key_pem - 1;
    } else {
        o.ca_pem = road_cert_pem;
        o.ca_pem_len = sizeof road_cert_pem - 1;
    }
    if (eddy_tls_new(&o, &tls) < 0)
        FAIL("no context: %s", e.text);
    REQUIRE(tls != NULL);
    return tls;
}

struct eddy_tls *road_context(bool server)
{
    return road_context_with(server ? EDDY_TLS_SERVER(.no_resumption = true)
                                    : EDDY_TLS_CLIENT(.no_resumption = true));
}

/* ---- TLS in TLS ----
 *
 * A protocol has a class of ours in front of its own one, from the call until it is upgraded. */

struct guise {
    struct eddy_protocol_class cls; /* the real one but for what has to do with the upgrade */
    const struct eddy_protocol_class *real;
    size_t low, high;
    bool server;
};

/* A protocol on its way. */
struct upgrade {
    struct eddy_protocol *p;
    struct guise *guise;
    struct eddy_future *promised; /* to whom has asked; NULL: nobody */
    struct eddy_future *inner;    /* of start_tls */
    struct eddy_done done;
    struct upgrade *next;
};

static struct upgrade *upgrades;

static struct guise *guise_of(const struct eddy_protocol *p)
{
    return (struct guise *)(uintptr_t)p->cls; /* its first member */
}

static struct upgrade *find(const struct eddy_protocol *p)
{
    struct upgrade *u = upgrades;
    while (u && u->p != p)
        u = u->next;
    return u;
}

/* What a protocol that was detached has left behind goes as well. */
static void forget(struct upgrade *u)
{
    struct upgrade **at = &upgrades;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    if (u->inner) {
        eddy_future_remove_done_callback(&u->done);
        eddy_future_error(u->inner); /* was heard of */
        eddy_future_unref(u->inner);
    }
    if (u->promised) {
        eddy_future_on_cancel(u->promised, NULL, NULL);
        eddy_future_unref(u->promised);
    }
    free(u);
}

static struct upgrade *begin(struct eddy_protocol *p, struct guise *g)
{
    struct upgrade *u = find(p);
    if (u)
        forget(u);
    u = calloc(1, sizeof *u);
    u->p = p;
    u->guise = g;
    u->next = upgrades;
    upgrades = u;
    return u;
}

/* The protocol is itself again; the future that it owes, with a reference. */
static struct eddy_future *end(struct upgrade *u)
{
    struct eddy_future *f = u->promised ? eddy_future_ref(u->promised) : NULL;
    u->p->cls = u->guise->real;
    forget(u);
    return f;
}

static void fail(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct guise *g = guise_of(p);
    struct upgrade *u = find(p);
    const struct eddy_protocol_class *real = g->real;
    struct eddy_future *f = u ? end(u) : NULL;
    const struct eddy_error aborted = {.code = -ECANCELED, .text = "aborted"};
    p->cls = real;
    if (!err)
        err = &aborted;
    if (!g->server && real->connect_failed)
        real->connect_failed(p, err);
    if (f && !eddy_future_is_done(f))
        eddy_future_set_error(f, err);
    eddy_future_unref(f);
}

static void upgraded(struct eddy_done *d, struct eddy_future *inner)
{
    struct upgrade *u = EDDY_CONTAINER_OF(d, struct upgrade, done);
    struct eddy_protocol *p = u->p;
    struct guise *g = u->guise;
    if (eddy_future_result(inner, NULL) < 0)
        return; /* connection_lost follows */
    struct eddy_future *f = end(u);
    if (g->low || g->high)
        CHECK_INT(eddy_transport_set_write_buffer_limits(p->transport,
                                                         g->low ? g->low : EDDY_DEFAULT,
                                                         g->high ? g->high : EDDY_DEFAULT),
                  0);
    if (g->real->connection_made)
        g->real->connection_made(p, p->transport);
    if (f)
        CHECK_INT(eddy_future_set_result_unless_cancelled(f, NULL, NULL), 0);
    eddy_future_unref(f);
}

static void outer_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct guise *g = guise_of(p);
    struct upgrade *u = g->server ? begin(p, g) : find(p);
    struct eddy_tls *tls = road_context(g->server);
    struct eddy_error e = {.code = 0};
    int err = eddy_start_tls(t,
                             EDDY_START_TLS(.tls = tls, .server_side = g->server,
                                            .server_hostname = g->server ? NULL : "127.0.0.1",
                                            .error = &e),
                             &u->inner);
    eddy_tls_unref(tls);
    if (err < 0) {
        FAIL("start_tls: %s", e.text);
        eddy_transport_abort(t, &e);
        return;
    }
    u->done.fn = upgraded;
    CHECK_INT(eddy_future_add_done_callback(u->inner, &u->done), 0);
}

static void abort_outer(struct eddy_protocol *p)
{
    eddy_protocol_abort(p, NULL);
}

/* What is known of it stays: a class of the same address may have changed. */
static struct guise *disguise(const struct eddy_protocol_class *cls, bool server)
{
    static struct guise guises[64];
    struct guise *g = guises;
    while (g->real && (g->real != cls || g->server != server))
        g++;
    REQUIRE(g < guises + 63);
    *g = (struct guise){.cls = *cls, .real = cls, .server = server};
    g->cls.connection_made = outer_made;
    g->cls.connection_lost = g->cls.connect_failed = fail;
    g->cls.shutdown_requested = abort_outer;
    return g;
}

static void cancelled(struct eddy_future *f, void *user)
{
    struct upgrade *u = user;
    eddy_protocol_abort(u->p, eddy_future_error(f));
}

static int connect_twice(struct stage *s, struct eddy_protocol *p,
                         const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    struct guise *g = disguise(p->cls, false);
    struct eddy_future *f = NULL;
    if (ret && eddy_future_new(s->loop, &f) < 0)
        f = NULL; /* a closed loop: the call says so */
    p->cls = &g->cls;
    int err = eddy_create_connection(s->loop, p, o, NULL);
    if (err < 0) {
        p->cls = g->real;
        eddy_future_unref(f);
        return err;
    }
    g->low = o->write_low;
    g->high = o->write_high;
    struct upgrade *u = begin(p, g);
    u->promised = f;
    eddy_future_on_cancel(f, cancelled, u);
    if (ret)
        *ret = eddy_future_ref(f);
    return 0;
}

/* ---- servers and clients ---- */

int road_create_server(struct stage *s, const struct eddy_protocol_class *cls,
                       const struct eddy_server_opts *o, struct eddy_server **ret)
{
    struct eddy_server_opts with = *o;
    with.tls = o->tls ? eddy_tls_ref(o->tls) : road_context(true);
    if (road_is_nested()) {
        struct guise *g = disguise(cls, true);
        g->low = o->write_low;
        g->high = o->write_high;
        cls = &g->cls;
    }
    int err = eddy_create_server(s->loop, cls, &with, ret);
    eddy_tls_unref(with.tls);
    return err;
}

int road_create_connection(struct stage *s, struct eddy_protocol *p,
                           const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    struct eddy_connection_opts with = *o;
    with.tls = o->tls ? eddy_tls_ref(o->tls) : road_context(false);
    if (!with.server_hostname && !with.host)
        with.server_hostname = "127.0.0.1";
    int err = road_is_nested() ? connect_twice(s, p, &with, ret)
                               : eddy_create_connection(s->loop, p, &with, ret);
    eddy_tls_unref(with.tls);
    return err;
}
