/*
 * Resumption as clients have it: sessions are kept by whom they are with, and under which rules
 * that one was verified. Of TLS 1.3 a server sends several, each to be used once; that of TLS 1.2
 * is used again and again. Of too many, the least recently used one goes.
 */
#include "transports/tls/tls.h"

#include "framework/base/alloc.h"
#include "framework/base/list.h"
#include "transports/tls/session.h"
#include <string.h>

#define BUCKETS 256
#define DEFAULT_MOST 1024
/* Of one key: as many connections may be made at once without a full handshake. */
#define PER_KEY 8
#define DEFAULT_LIFETIME ((time_t)12 * 3600)

/* Whatever a session depends on, one behind the other. */
#define KEY_MAX 1024
struct key {
    uint32_t hash;
    size_t len;
    unsigned char bytes[KEY_MAX];
};

struct entry {
    struct eddy_link link; /* of the cache's, the least recently used first */
    struct entry *next;    /* in its bucket, the older ones behind */
    SSL_SESSION *session;
    time_t until;
    uint32_t hash;
    size_t len;
    unsigned char key[];
};

struct cache {
    pthread_mutex_t mutex;
    tls_clock_fn *clock;
    time_t lifetime;
    unsigned count, most;
    struct eddy_link entries;
    struct entry *buckets[BUCKETS];
};

/* ---- keys ---- */

static bool add(struct key *k, const void *data, size_t len)
{
    if (len > sizeof k->bytes - k->len)
        return false;
    if (len > 0)
        memcpy(k->bytes + k->len, data, len);
    k->len += len;
    return true;
}

/* The certificate that we have shown, or may show: the server takes us for its owner. */
static bool add_own_certificate(struct key *k, const SSL *ssl)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    const X509 *own = SSL_get_certificate(ssl);

    return (!own || X509_digest(own, EVP_sha256(), digest, NULL)) && add(k, digest, 32);
}

/* False: nothing is resumed. */
static bool key_of(const struct tls_layer *l, struct key *k)
{
    const SSL_CTX *ctx = SSL_get_SSL_CTX(l->ssl);
    const unsigned char checked = !l->no_name_check;
    size_t alpn_len;
    const unsigned char *alpn = tls_ctx_alpn(ctx, &alpn_len);

    k->len = 0;
    if (!l->session_key || !add(k, tls_ctx_trust(ctx), 32) || !add(k, &checked, 1) ||
        !add_own_certificate(k, l->ssl) || !add(k, l->session_key, strlen(l->session_key) + 1) ||
        !add(k, alpn, alpn_len))
        return false;
    k->hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < k->len; i++)
        k->hash = (k->hash ^ k->bytes[i]) * 16777619u;
    return true;
}

/* ---- the cache, locked ---- */

static bool is_of(const struct entry *e, const struct key *k)
{
    return e->hash == k->hash && e->len == k->len && memcmp(e->key, k->bytes, k->len) == 0;
}

static void drop(struct cache *c, struct entry **at)
{
    struct entry *e = *at;

    *at = e->next;
    eddy_link_remove(&e->link);
    SSL_SESSION_free(e->session);
    eddy_free(e);
    c->count--;
}

static void drop_oldest(struct cache *c)
{
    struct entry *e = EDDY_CONTAINER_OF(c->entries.next, struct entry, link);
    struct entry **at = &c->buckets[e->hash % BUCKETS];

    while (*at != e)
        at = &(*at)->next;
    drop(c, at);
}

static void clear(struct cache *c)
{
    while (c->count > 0)
        drop_oldest(c);
}

/* All of a key's but the newest `keep`. */
static void thin_out(struct cache *c, const struct key *k, int keep)
{
    struct entry **at = &c->buckets[k->hash % BUCKETS];

    while (*at) {
        if (is_of(*at, k) && keep-- <= 0)
            drop(c, at);
        else
            at = &(*at)->next;
    }
}

static bool is_single_use(const SSL_SESSION *s)
{
    return SSL_SESSION_get_protocol_version(s) >= TLS1_3_VERSION;
}

static time_t until(const struct cache *c, const SSL_SESSION *s)
{
    unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(s); /* 0: it has not said */
    time_t span = hint > 0 && (time_t)hint < c->lifetime ? (time_t)hint : c->lifetime;

    return c->clock(NULL) + span;
}

/* The session is the cache's, if that is true. */
static bool put(struct cache *c, const struct key *k, SSL_SESSION *s)
{
    struct entry *e = eddy_alloc(sizeof *e + k->len);

    if (!e)
        return false;
    e->session = s;
    e->until = until(c, s);
    e->hash = k->hash;
    e->len = k->len;
    memcpy(e->key, k->bytes, k->len);
    thin_out(c, k, is_single_use(s) ? PER_KEY - 1 : 0);
    if (c->count == c->most)
        drop_oldest(c);
    e->next = c->buckets[k->hash % BUCKETS];
    c->buckets[k->hash % BUCKETS] = e;
    eddy_list_append(&c->entries, &e->link);
    c->count++;
    return true;
}

/* Of a server whose certificate has expired since, we would not hear of it. */
static bool is_good(const struct cache *c, const struct entry *e)
{
    const X509 *peer = SSL_SESSION_get0_peer(e->session);
    time_t now = c->clock(NULL);

    return now < e->until && SSL_SESSION_is_resumable(e->session) &&
           (!peer || X509_cmp_time(X509_get0_notAfter(peer), &now) > 0);
}

/* The newest, with a reference. */
static SSL_SESSION *take(struct cache *c, const struct key *k)
{
    struct entry **at = &c->buckets[k->hash % BUCKETS];
    SSL_SESSION *s = NULL;

    while (*at && !s) {
        struct entry *e = *at;

        if (!is_of(e, k)) {
            at = &e->next;
            continue;
        }
        if (is_good(c, e) && SSL_SESSION_up_ref(e->session))
            s = e->session;
        if (!s || is_single_use(s)) {
            drop(c, at);
        } else {
            eddy_link_remove(&e->link);
            eddy_list_append(&c->entries, &e->link);
        }
    }
    return s;
}

/* ---- what OpenSSL and the others call ---- */

void tls_session_offer(struct tls_layer *l)
{
    struct cache *c = l->tls->sessions;
    SSL_SESSION *s = NULL;
    struct key k;

    if (!l->opts->no_resumption && key_of(l, &k)) {
        pthread_mutex_lock(&c->mutex);
        s = take(c, &k);
        pthread_mutex_unlock(&c->mutex);
    }
    if (s && !SSL_set_session(l->ssl, s))
        ERR_clear_error(); /* it goes without */
    SSL_SESSION_free(s);
}

/* Where a connection ends without close_notify, OpenSSL calls its last session bad. That is for TLS
 * 1.2; a ticket of TLS 1.3 has keys of its own. */
static SSL_SESSION *to_be_kept(SSL_SESSION *s)
{
    if (is_single_use(s))
        return SSL_SESSION_dup(s);
    return SSL_SESSION_up_ref(s) ? s : NULL;
}

/* 0: OpenSSL keeps its reference. */
static int keep(SSL *ssl, SSL_SESSION *s)
{
    struct tls_layer *l = tls_of(ssl);
    struct cache *c = l ? l->tls->sessions : NULL;
    SSL_SESSION *ours = NULL;
    struct key k;

    if (c && SSL_SESSION_is_resumable(s) && key_of(l, &k))
        ours = to_be_kept(s);
    if (!ours)
        return 0;
    pthread_mutex_lock(&c->mutex);
    bool kept = put(c, &k, ours);
    pthread_mutex_unlock(&c->mutex);
    if (!kept)
        SSL_SESSION_free(ours);
    return 0;
}

int tls_session_new(struct eddy_tls *tls)
{
    struct cache *c = eddy_zalloc(sizeof *c);

    if (!c)
        return -ENOMEM;
    pthread_mutex_init(&c->mutex, NULL);
    eddy_list_init(&c->entries);
    c->clock = time;
    tls->sessions = c;
    return 0;
}

void tls_session_use(struct eddy_tls *tls, const struct eddy_tls_opts *o)
{
    struct cache *c = tls->sessions;

    pthread_mutex_lock(&c->mutex);
    c->lifetime = tls_session_lifetime(o);
    c->most = o->session_cache ? o->session_cache : DEFAULT_MOST;
    while (c->count > (o->no_resumption ? 0 : c->most))
        drop_oldest(c);
    pthread_mutex_unlock(&c->mutex);
}

/* ---- a server ---- */

/* Who shows a session is not verified again: it is good no longer than the client's certificate.
 * Called before each ticket is sealed: 1, it may be. */
static int limit(SSL *ssl, void *arg)
{
    SSL_SESSION *s = SSL_get_session(ssl);
    const X509 *peer = s ? SSL_SESSION_get0_peer(s) : NULL;
    struct tm tm;

    (void)arg;
    if (!peer || !ASN1_TIME_to_tm(X509_get0_notAfter(peer), &tm))
        return 1;
    long left = (long)(timegm(&tm) - time(NULL));
    if (left < SSL_SESSION_get_timeout(s))
        SSL_SESSION_set_timeout(s, left > 0 ? left : 0);
    return 1;
}

/* One that is kept here, and not in a ticket. 0: OpenSSL keeps its reference. */
static int limit_kept(SSL *ssl, SSL_SESSION *s)
{
    (void)s;
    limit(ssl, NULL);
    return 0;
}

time_t tls_session_lifetime(const struct eddy_tls_opts *o)
{
    eddy_nsec span = o->session_lifetime;

    return span == 0 ? DEFAULT_LIFETIME : span < EDDY_SEC(1) ? 1 : (time_t)(span / EDDY_SEC(1));
}

/* A server keeps sessions of TLS 1.2 by their ids, and those that allow early data, which must not
 * be resumed twice. */
int tls_session_init(struct eddy_tls *tls, SSL_CTX *ctx)
{
    const struct eddy_tls_opts *o = tls_ctx_opts(ctx);

    (void)tls;
    if (o->no_resumption)
        return 0;
    SSL_CTX_set_timeout(ctx, (long)tls_session_lifetime(o));
    if (!o->server) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep);
        return 0;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_new_cb(ctx, limit_kept);
    SSL_CTX_set_max_early_data(ctx, o->max_early_data);
    SSL_CTX_set_recv_max_early_data(ctx, o->max_early_data);
    SSL_CTX_sess_set_cache_size(ctx, o->session_cache ? o->session_cache : DEFAULT_MOST);
    return SSL_CTX_set_session_ticket_cb(ctx, limit, NULL, NULL) ? 0 : EDDY_ETLS;
}

void tls_session_free(struct eddy_tls *tls)
{
    struct cache *c = tls->sessions;

    if (!c)
        return;
    clear(c);
    pthread_mutex_destroy(&c->mutex);
    eddy_free(c);
    tls->sessions = NULL;
}

void tls_session_set_clock(struct eddy_tls *tls, tls_clock_fn *clock)
{
    ((struct cache *)tls->sessions)->clock = clock;
}
