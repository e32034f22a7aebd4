/*
 * Contexts. One is a number of references and the SSL_CTX of today, which is never changed once it
 * is in use: a reload makes another, and puts it into the place of the first. What belongs to an
 * SSL_CTX hangs on it, and goes with the last connection that has it.
 */
#include "transports/tls/context.h"

#include "framework/base/alloc.h"
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE 65536

/* ---- what hangs on an SSL_CTX ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int place = -1; /* OpenSSL's number for it; set once */
static int place_of_layer = -1;

static void free_made(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number,
                      void *arg)
{
    struct tls_made *made = ptr;

    (void)parent, (void)data, (void)index, (void)number, (void)arg;
    if (!made)
        return;
    if (made->keylog >= 0)
        close(made->keylog);
    tls_block_unref(made->block);
    eddy_free(made);
}

static void find_place(void)
{
    place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_made);
    place_of_layer = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* An expert may bring in one that is not ours, by a callback of his own: it has nothing special. */
static const struct tls_made *made_of(const SSL_CTX *ctx)
{
    static struct tls_block defaults = {.o = {.abi_size = sizeof(struct eddy_tls_opts)}};
    static const struct tls_made foreign = {.block = &defaults, .keylog = -1};
    const struct tls_made *made = SSL_CTX_get_ex_data(ctx, place);

    return made ? made : &foreign;
}

const struct eddy_tls_opts *tls_ctx_opts(const SSL_CTX *ctx)
{
    return &made_of(ctx)->block->o;
}

const unsigned char *tls_ctx_alpn(const SSL_CTX *ctx, size_t *ret_len)
{
    const struct tls_block *b = made_of(ctx)->block;

    *ret_len = b->alpn_len;
    return b->alpn;
}

const uint8_t *tls_ctx_trust(const SSL_CTX *ctx)
{
    return made_of(ctx)->trust;
}

int tls_ctx_keylog(const SSL_CTX *ctx)
{
    return made_of(ctx)->keylog;
}

bool tls_bind(SSL *ssl, struct tls_layer *l)
{
    return SSL_set_ex_data(ssl, place_of_layer, l);
}

struct tls_layer *tls_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, place_of_layer);
}

/* ---- making one ---- */

/* OpenSSL's decoders say nothing of it: to them what they had no memory to look at is unsupported.
 * But whoever asks finds that there is none. */
static bool is_memory_short(void)
{
    void *probe = OPENSSL_malloc(PROBE);

    OPENSSL_free(probe);
    return !probe;
}

int tls_making_fails(struct tls_making *m, const char *fmt, ...)
{
    unsigned long code = ERR_peek_error();
    const char *why = ERR_reason_error_string(code);
    char text[EDDY_ERROR_TEXT];
    va_list args;

    bool no_memory = is_memory_short();
    if (tls_was_short_of_memory() || no_memory)
        return eddy_error_set(m->e, -ENOMEM, "new tls", "TLS context: no memory");
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    eddy_error_set(m->e, EDDY_ETLS, "new tls", "TLS context: %s%s%s", text, why ? ": " : "",
                   why ? why : "");
    m->e->detail = code ? ERR_GET_REASON(code) : 0;
    return EDDY_ETLS;
}

static int hang(SSL_CTX *ctx, struct tls_block *b, struct tls_made **ret)
{
    struct tls_made *made = eddy_zalloc(sizeof *made);

    if (!made)
        return -ENOMEM;
    made->keylog = -1;
    if (!SSL_CTX_set_ex_data(ctx, place, made)) {
        eddy_free(made);
        return -ENOMEM;
    }
    made->block = tls_block_ref(b);
    *ret = made;
    return 0;
}

/* Servers' sessions are good where they were made, and as long as what their clients were verified
 * by is the same. */
static int use_identity(struct tls_making *m, const struct eddy_tls *tls)
{
    unsigned char id[32];

    if (!m->o->server)
        return 0;
    if (EVP_DigestInit_ex(m->trust, EVP_sha256(), NULL) &&
        EVP_DigestUpdate(m->trust, tls->id, sizeof tls->id) &&
        EVP_DigestUpdate(m->trust, m->made->trust, sizeof m->made->trust) &&
        EVP_DigestFinal_ex(m->trust, id, NULL) &&
        SSL_CTX_set_session_id_context(m->ctx, id, sizeof id))
        return 0;
    return tls_making_fails(m, "session id context");
}

/* What other files add. */
static int use_hooks(struct tls_making *m, struct eddy_tls *tls)
{
    static int (*const hooks[])(struct eddy_tls * tls, SSL_CTX * ctx) = {
        tls_names_init,
        tls_tickets_init,
        tls_session_init,
    };

    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (hooks[i](tls, m->ctx) < 0)
            return tls_making_fails(m, "cannot be made");
    }
    tls_flood_init(m->ctx);
    return tls_ocsp_init(tls, m->ctx, m->e);
}

static int use_configure(struct tls_making *m)
{
    if (!m->o->configure)
        return 0;
    int rc = m->o->configure(m->o->user, m->ctx);
    ERR_clear_error();
    return rc >= 0 ? 0
                   : eddy_error_set(m->e, rc, "new tls", "TLS context: .configure has failed: %s",
                                    eddy_strerror(rc));
}

static int use_all(struct tls_making *m, struct eddy_tls *tls)
{
    static int (*const parts[])(struct tls_making * m) = {
        tls_use_rules, tls_use_credentials, tls_use_throw_away, tls_use_trust, tls_use_keylog,
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof *parts; i++)
        rc = parts[i](m);
    if (rc == 0)
        rc = use_identity(m, tls);
    if (rc == 0)
        rc = use_hooks(m, tls);
    return rc == 0 ? use_configure(m) : rc;
}

static int build(struct eddy_tls *tls, struct tls_block *b, struct eddy_error *e, SSL_CTX **ret)
{
    struct tls_making m = {.o = &b->o, .e = e};

    ERR_clear_error();
    m.ctx = SSL_CTX_new(b->o.server ? TLS_server_method() : TLS_client_method());
    m.trust = EVP_MD_CTX_new();
    int rc = m.ctx && m.trust && EVP_DigestInit_ex(m.trust, EVP_sha256(), NULL) ? 0 : -ENOMEM;
    if (rc == 0)
        rc = hang(m.ctx, b, &m.made);
    if (rc < 0)
        eddy_error_set(e, rc, "new tls", "TLS context: no memory");
    else if ((rc = tls_block_check(b, e)) == 0)
        rc = use_all(&m, tls);
    ERR_clear_error();
    EVP_MD_CTX_free(m.trust);
    if (rc < 0)
        SSL_CTX_free(m.ctx);
    else
        *ret = m.ctx;
    return rc;
}

/* ---- life ---- */

static void free_tls(struct eddy_tls *tls)
{
    SSL_CTX_free(tls->ctx);
    tls_tickets_free(tls);
    tls_session_free(tls);
    BIO_meth_free(tls->bio);
    pthread_mutex_destroy(&tls->building);
    pthread_mutex_destroy(&tls->mutex);
    eddy_free(tls);
}

static struct eddy_tls *new_tls(bool server)
{
    struct eddy_tls *tls = eddy_zalloc(sizeof *tls);

    if (!tls)
        return NULL;
    atomic_init(&tls->refs, 1);
    pthread_mutex_init(&tls->building, NULL);
    pthread_mutex_init(&tls->mutex, NULL);
    tls->server = server;
    tls->bio = tls_bio_method();
    pthread_once(&once, find_place);
    if (tls->bio && place >= 0 && place_of_layer >= 0 && RAND_bytes(tls->id, sizeof tls->id) == 1 &&
        (server ? tls_tickets_new(tls) : tls_session_new(tls)) == 0)
        return tls;
    ERR_clear_error();
    free_tls(tls);
    return NULL;
}

/* From here on nothing fails. The old one is returned. */
static SSL_CTX *exchange(struct eddy_tls *tls, SSL_CTX *ctx)
{
    const struct eddy_tls_opts *o = tls_ctx_opts(ctx);

    if (tls->server)
        tls_tickets_use(tls, o);
    else
        tls_session_use(tls, o);
    pthread_mutex_lock(&tls->mutex);
    SSL_CTX *old = tls->ctx;
    tls->ctx = ctx;
    pthread_mutex_unlock(&tls->mutex);
    return old;
}

int eddy_tls_new(const struct eddy_tls_opts *opts, struct eddy_tls **ret)
{
    struct eddy_error own;
    SSL_CTX *ctx = NULL;

    if (!opts || !ret || opts->abi_size < sizeof *opts)
        return -EINVAL;
    struct eddy_error *e = opts->error ? opts->error : &own;
    int rc = tls_opts_check(opts, e);
    if (rc < 0)
        return rc;
    struct tls_block *b = tls_block_new(opts);
    struct eddy_tls *tls = b ? new_tls(opts->server) : NULL;
    if (!tls)
        rc = eddy_error_set(e, -ENOMEM, "new tls", "TLS context: no memory");
    else
        rc = build(tls, b, e, &ctx);
    tls_block_unref(b);
    if (rc < 0) {
        eddy_tls_unref(tls);
        return rc;
    }
    exchange(tls, ctx);
    *ret = tls;
    return 0;
}

struct eddy_tls *eddy_tls_ref(struct eddy_tls *tls)
{
    if (tls)
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void eddy_tls_unref(struct eddy_tls *tls)
{
    if (tls && atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) == 1)
        free_tls(tls);
}

/* ---- reloading ---- */

/* Whether `from` keeps tls alive by its names, or is it. */
static bool leads_to(struct eddy_tls *from, const struct eddy_tls *tls)
{
    SSL_CTX *ctx = tls_context_take(from);
    const struct eddy_tls_name *names = tls_ctx_opts(ctx)->names;
    bool does = from == tls;

    for (; !does && names && names->name; names++)
        does = leads_to(names->tls, tls);
    SSL_CTX_free(ctx);
    return does;
}

static int check_reload(const struct eddy_tls *tls, const struct eddy_tls_opts *o,
                        struct eddy_error *e)
{
    int rc = tls_opts_check(o, e);

    if (rc < 0)
        return rc;
    if (o->server != tls->server)
        return eddy_error_set(e, -EINVAL, "reload tls",
                              "TLS context: a client's cannot become a server's, nor the reverse");
    return 0;
}

/* In a circle they would keep each other alive. Of two that name each other at the same time one
 * finds the other done. */
static int exchange_alone(struct eddy_tls *tls, const struct eddy_tls_opts *o, struct eddy_error *e,
                          SSL_CTX **ctx)
{
    static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
    bool circle = false;

    pthread_mutex_lock(&alone);
    for (size_t i = 0; !circle && o && o->names && o->names[i].name; i++)
        circle = leads_to(o->names[i].tls, tls);
    if (!circle)
        *ctx = exchange(tls, *ctx);
    pthread_mutex_unlock(&alone);
    return circle ? eddy_error_set(e, -EINVAL, "reload tls",
                                   "TLS context: .names: itself, or one that has it by name")
                  : 0;
}

/* With a reference. NULL: no memory. */
static struct tls_block *block_for(struct eddy_tls *tls, const struct eddy_tls_opts *opts)
{
    return opts ? tls_block_new(opts) : tls_block_ref(made_of(tls->ctx)->block);
}

int eddy_tls_reload(struct eddy_tls *tls, const struct eddy_tls_opts *opts,
                    struct eddy_error *error)
{
    struct eddy_error own, *e = error ? error : opts && opts->error ? opts->error : &own;
    SSL_CTX *ctx = NULL;

    if (!tls)
        return eddy_error_set(e, -EINVAL, "reload tls", "TLS context: NULL");
    int rc = opts ? check_reload(tls, opts, e) : 0;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&tls->building); /* only under it is tls->ctx exchanged */
    struct tls_block *b = block_for(tls, opts);
    if (!b)
        rc = eddy_error_set(e, -ENOMEM, "reload tls", "TLS context: no memory");
    else
        rc = build(tls, b, e, &ctx);
    if (rc == 0)
        rc = exchange_alone(tls, opts, e, &ctx);
    pthread_mutex_unlock(&tls->building);
    tls_block_unref(b);
    SSL_CTX_free(ctx);
    return rc;
}

/* ---- what is in it ---- */

SSL_CTX *tls_context_take(struct eddy_tls *tls)
{
    pthread_mutex_lock(&tls->mutex);
    SSL_CTX *ctx = tls->ctx;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->mutex);
    return ctx;
}

BIO_METHOD *tls_context_bio(const struct eddy_tls *tls)
{
    return tls->bio;
}

struct ssl_ctx_st *eddy_tls_ssl_ctx(struct eddy_tls *tls)
{
    return tls ? tls_context_take(tls) : NULL;
}

static int expiry_of(const X509 *x, time_t *ret)
{
    struct tm tm;

    if (!x)
        return EDDY_ENOT_SUPPORTED;
    if (!ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm))
        return EDDY_ETLS;
    *ret = timegm(&tm);
    return 0;
}

int eddy_tls_expires(struct eddy_tls *tls, time_t *ret)
{
    if (!tls || !ret)
        return -EINVAL;
    SSL_CTX *ctx = tls_context_take(tls);
    int rc = expiry_of(SSL_CTX_get0_certificate(ctx), ret);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

static int write_pem(X509 *x, char *buf, size_t size)
{
    BIO *b = BIO_new(BIO_s_mem());
    int rc = b && PEM_write_bio_X509(b, x) ? 0 : -ENOMEM;
    char *data = NULL;

    if (rc == 0) {
        size_t len = (size_t)BIO_get_mem_data(b, &data);
        if (len < size) {
            memcpy(buf, data, len);
            buf[len] = '\0';
        } else {
            rc = -EMSGSIZE;
        }
    }
    BIO_free(b);
    ERR_clear_error();
    return rc;
}

int eddy_tls_cert_pem(struct eddy_tls *tls, char *buf, size_t size)
{
    if (!tls || !buf)
        return -EINVAL;
    SSL_CTX *ctx = tls_context_take(tls);
    X509 *x = SSL_CTX_get0_certificate(ctx);
    int rc = x ? write_pem(x, buf, size) : EDDY_ENOT_SUPPORTED;
    SSL_CTX_free(ctx);
    return rc;
}
