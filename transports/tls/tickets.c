/*
 * The keys of a server's tickets. A ticket holds the session, so whoever gets the key reads what
 * was recorded: keys are never written anywhere, live for half of the tickets' time, and one more
 * half for those that are still around.
 */
#include "transports/tls/tls.h"

#include "framework/base/alloc.h"
#include "transports/tls/session.h"
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

#define NAME 16
#define IV 16

struct ticket_key {
    unsigned char name[NAME];
    unsigned char cipher[32]; /* AES-256-CBC */
    unsigned char mac[32];    /* HMAC-SHA256 */
};

struct tickets {
    pthread_mutex_t mutex;
    tls_clock_fn *clock;
    time_t half;  /* of their time */
    time_t since; /* when the current key was made */
    bool has_previous;
    struct ticket_key current, previous;
};

/* ---- rotation, locked ---- */

static int rotate(struct tickets *t, bool keep)
{
    struct ticket_key fresh;

    if (RAND_bytes((unsigned char *)&fresh, sizeof fresh) != 1)
        return EDDY_ETLS;
    t->previous = t->current;
    if (!keep)
        OPENSSL_cleanse(&t->previous, sizeof t->previous);
    t->has_previous = keep;
    t->current = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    t->since = t->clock(NULL);
    return 0;
}

/* Nobody rotates them but those who come. Without random bytes they stay, for now. */
static void refresh(struct tickets *t)
{
    time_t now = t->clock(NULL);

    if (now < t->since) /* it was put back */
        t->since = now;
    else if (now - t->since >= t->half && rotate(t, now - t->since < 2 * t->half) < 0)
        ERR_clear_error();
}

/* ---- a ticket ---- */

static int use_key(const struct ticket_key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    unsigned char mac_key[sizeof k->mac];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    memcpy(mac_key, k->mac, sizeof mac_key);
    int ok = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, encrypt) &&
             EVP_MAC_CTX_set_params(mac, params);
    OPENSSL_cleanse(mac_key, sizeof mac_key);
    return ok ? 1 : -1;
}

static int seal(struct tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, IV) != 1)
        return -1;
    memcpy(name, t->current.name, NAME);
    return use_key(&t->current, iv, cipher, mac, 1);
}

/* 0: it is of no key of ours; 1: good; 2: good, and a new one is due. */
static int open_ticket(struct tickets *t, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    if (memcmp(name, t->current.name, NAME) == 0)
        return use_key(&t->current, iv, cipher, mac, 0);
    if (!t->has_previous || memcmp(name, t->previous.name, NAME) != 0)
        return 0;
    return use_key(&t->previous, iv, cipher, mac, 0) == 1 ? 2 : -1;
}

/* OpenSSL asks the SSL_CTX that the connection began with: tickets are not of the name's context.
 */
static int ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_layer *l = tls_of(ssl);
    struct tickets *t = l ? l->tls->tickets : NULL;
    int rc;

    if (!t)
        return 0;
    pthread_mutex_lock(&t->mutex);
    refresh(t);
    rc = encrypt ? seal(t, name, iv, cipher, mac) : open_ticket(t, name, iv, cipher, mac);
    pthread_mutex_unlock(&t->mutex);
    if (!encrypt && rc == 1 && SSL_version(ssl) >= TLS1_3_VERSION)
        rc = 2; /* it is used up now, and without this OpenSSL gives out no other */
    return rc;
}

/* ---- life ---- */

int tls_tickets_new(struct eddy_tls *tls)
{
    struct tickets *t = eddy_zalloc(sizeof *t);

    if (!t)
        return -ENOMEM;
    t->clock = time;
    int rc = rotate(t, false);
    if (rc < 0) {
        eddy_free(t);
        return rc;
    }
    pthread_mutex_init(&t->mutex, NULL);
    tls->tickets = t;
    return 0;
}

int tls_tickets_init(struct eddy_tls *tls, SSL_CTX *ctx)
{
    const struct eddy_tls_opts *o = tls_ctx_opts(ctx);

    (void)tls;
    if (!o->server || o->no_resumption)
        return 0;
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket) ? 0 : EDDY_ETLS;
}

void tls_tickets_use(struct eddy_tls *tls, const struct eddy_tls_opts *o)
{
    struct tickets *t = tls->tickets;
    time_t lifetime = tls_session_lifetime(o);

    pthread_mutex_lock(&t->mutex);
    t->half = lifetime > 1 ? lifetime / 2 : 1;
    pthread_mutex_unlock(&t->mutex);
}

void tls_tickets_free(struct eddy_tls *tls)
{
    struct tickets *t = tls->tickets;

    if (!t)
        return;
    pthread_mutex_destroy(&t->mutex);
    OPENSSL_cleanse(t, sizeof *t);
    eddy_free(t);
    tls->tickets = NULL;
}

int eddy_tls_rotate_tickets(struct eddy_tls *tls)
{
    struct tickets *t;
    int rc;

    if (!tls || !tls->server)
        return -EINVAL;
    t = tls->tickets;
    ERR_clear_error();
    pthread_mutex_lock(&t->mutex);
    rc = rotate(t, t->clock(NULL) - t->since < 2 * t->half);
    pthread_mutex_unlock(&t->mutex);
    ERR_clear_error();
    return rc;
}

void tls_tickets_set_clock(struct eddy_tls *tls, tls_clock_fn *clock)
{
    struct tickets *t = tls->tickets;

    t->clock = clock;
    t->since = clock(NULL);
}
