/* What can be asked of an encrypted connection. */
#include "transports/tls/tls.h"

#include "framework/base/alloc.h"
#include "transports/tls/names.h"
#include "transports/tls/words.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Past the handshake, or in what may come after it: an error there leaves OpenSSL where it was. */
static bool is_agreed(const struct tls_layer *l)
{
    if (!l->ssl)
        return false;
    switch (SSL_get_state(l->ssl)) {
    case TLS_ST_OK:
    case TLS_ST_CR_SESSION_TICKET:
    case TLS_ST_SW_SESSION_TICKET:
    case TLS_ST_CR_KEY_UPDATE:
    case TLS_ST_CW_KEY_UPDATE:
    case TLS_ST_SR_KEY_UPDATE:
    case TLS_ST_SW_KEY_UPDATE:
        return l->state > TLS_HANDSHAKE;
    default:
        return l->early;
    }
}

/* 0: *ret is one of which something can be said. */
static int layer_for(const struct eddy_transport *t, struct tls_layer **ret)
{
    if (!t)
        return -EINVAL;
    if (!tls_is(t) || !is_agreed(tls_layer_of(t)))
        return EDDY_ENOT_SUPPORTED;
    *ret = tls_layer_of(t);
    return 0;
}

static void tell_cipher(SSL *ssl, struct eddy_tls_info *ret)
{
    const SSL_CIPHER *c = SSL_get_current_cipher(ssl);
    long group = SSL_get_negotiated_group(ssl);

    ret->version = SSL_get_version(ssl);
    ret->cipher = SSL_CIPHER_get_name(c);
    ret->secret_bits = SSL_CIPHER_get_bits(c, NULL);
    ret->group = group > 0 ? SSL_group_to_name(ssl, (int)group) : NULL;
}

static void tell_peer(SSL *ssl, struct eddy_tls_info *ret)
{
    ret->has_peer_cert = SSL_get0_peer_certificate(ssl) != NULL;
    ret->verify_result = ret->has_peer_cert ? (int)SSL_get_verify_result(ssl) : X509_V_OK;
    ret->verified = ret->has_peer_cert && ret->verify_result == X509_V_OK &&
                    (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER);
}

int eddy_tls_info(const struct eddy_transport *t, struct eddy_tls_info *ret)
{
    struct tls_layer *l;
    int rc = ret ? layer_for(t, &l) : -EINVAL;

    if (rc < 0)
        return rc;
    *ret = (struct eddy_tls_info){.server_side = l->server_side};
    tell_cipher(l->ssl, ret);
    tell_peer(l->ssl, ret);
    ret->alpn = tls_alpn_selected(l->ssl);
    ret->server_hostname = SSL_get_servername(l->ssl, TLSEXT_NAMETYPE_host_name);
    ret->resumed = SSL_session_reused(l->ssl);
    ret->early_data = SSL_get_early_data_status(l->ssl) == SSL_EARLY_DATA_ACCEPTED;
    return 0;
}

struct eddy_tls *eddy_tls_of(const struct eddy_transport *t)
{
    return t && tls_is(t) ? tls_layer_of(t)->tls : NULL;
}

struct ssl_st *eddy_tls_ssl(const struct eddy_transport *t)
{
    return t && tls_is(t) ? tls_layer_of(t)->ssl : NULL;
}

/* ---- certificates ---- */

/* Those that came with it do not have it among them on a server. */
static X509 *cert_at(const struct tls_layer *l, unsigned i)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(l->ssl);

    if (i == 0)
        return SSL_get0_peer_certificate(l->ssl);
    if (l->server_side)
        i--;
    return chain && i < (unsigned)sk_X509_num(chain) ? sk_X509_value(chain, (int)i) : NULL;
}

/* What goes into a struct eddy_tls_cert. */
struct parts {
    BIO *subject, *issuer;
    char *serial;
    unsigned char *der;
    int der_len;
    size_t names, names_len;
};

static bool measure_name(void *user, const char *name, size_t len)
{
    struct parts *p = user;

    (void)name;
    p->names++;
    p->names_len += 4 * len + 1; /* at its longest, see words_quote */
    return true;
}

static char *serial_of(const X509 *x)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;

    BN_free(n);
    return hex;
}

static void parts_free(struct parts *p)
{
    BIO_free(p->subject);
    BIO_free(p->issuer);
    OPENSSL_free(p->serial);
    OPENSSL_free(p->der);
}

static int parts_of(const X509 *x, struct parts *p)
{
    *p = (struct parts){.der = NULL};
    p->subject = words_name(X509_get_subject_name(x));
    p->issuer = words_name(X509_get_issuer_name(x));
    p->serial = serial_of(x);
    p->der_len = i2d_X509(x, &p->der);
    if (p->subject && p->issuer && p->serial && p->der_len > 0 &&
        words_each_name(x, measure_name, p) == 0)
        return 0;
    parts_free(p);
    return -ENOMEM;
}

/* The pieces are laid out behind the struct: pointers first, then texts. */
struct layout {
    struct eddy_tls_cert c;
    const char **name;
    char *at;
};

static const char *lay_text(struct layout *a, const char *text, size_t len)
{
    char *copy = memcpy(a->at, text, len);

    copy[len] = '\0';
    a->at += len + 1;
    return copy;
}

static const char *lay_bio(struct layout *a, BIO *b)
{
    char *text;
    long len = BIO_get_mem_data(b, &text);

    return lay_text(a, text, (size_t)len - 1);
}

static bool lay_name(void *user, const char *name, size_t len)
{
    struct layout *a = user;
    struct words w;

    words_begin(&w, a->at, 4 * len + 1);
    words_quote(&w, name, len, 4 * len);
    *a->name++ = a->at;
    a->at = w.at + 1;
    return true;
}

static time_t time_of(const ASN1_TIME *t)
{
    struct tm tm;

    return ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static size_t size_of(const struct parts *p, size_t subject, size_t issuer)
{
    return sizeof(struct layout) + (p->names + 1) * sizeof(char *) + subject + issuer +
           strlen(p->serial) + 1 + p->names_len + (size_t)p->der_len;
}

static struct eddy_tls_cert *put_together(const X509 *x, const struct parts *p)
{
    size_t subject = (size_t)BIO_pending(p->subject), issuer = (size_t)BIO_pending(p->issuer);
    struct layout *a = eddy_zalloc(size_of(p, subject, issuer));

    if (!a)
        return NULL;
    a->name = (const char **)(a + 1);
    a->c.names = a->name;
    a->at = (char *)(a->name + p->names + 1);
    a->c.subject = lay_bio(a, p->subject);
    a->c.issuer = lay_bio(a, p->issuer);
    a->c.serial = lay_text(a, p->serial, strlen(p->serial));
    words_each_name(x, lay_name, a); /* what is missing now leaves the list shorter */
    a->c.der = memcpy(a->at, p->der, (size_t)p->der_len);
    a->c.der_len = (size_t)p->der_len;
    a->c.not_before = time_of(X509_get0_notBefore(x));
    a->c.not_after = time_of(X509_get0_notAfter(x));
    return &a->c;
}

static int describe(const X509 *x, struct eddy_tls_cert **ret)
{
    struct parts p;
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct eddy_tls_cert *c = NULL;

    if (X509_digest(x, EVP_sha256(), digest, NULL) != 1 || parts_of(x, &p) < 0)
        return -ENOMEM;
    c = put_together(x, &p);
    parts_free(&p);
    if (!c)
        return -ENOMEM;
    memcpy(c->sha256, digest, sizeof c->sha256);
    *ret = c;
    return 0;
}

int eddy_tls_peer_cert(const struct eddy_transport *t, unsigned i, struct eddy_tls_cert **ret)
{
    struct tls_layer *l;
    int rc = ret ? layer_for(t, &l) : -EINVAL;

    if (rc < 0)
        return rc;
    ERR_clear_error();
    X509 *x = cert_at(l, i);
    rc = x ? describe(x, ret) : -ENOENT;
    ERR_clear_error();
    return rc;
}

void eddy_tls_cert_free(struct eddy_tls_cert *c)
{
    eddy_free(c);
}

/* ---- keys ---- */

int eddy_tls_update_keys(struct eddy_transport *t, bool both)
{
    int type = both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
    struct tls_layer *l;
    int rc = layer_for(t, &l);

    if (rc < 0)
        return rc;
    if (eddy_transport_is_closing(t) || l->tx_closed || l->state == TLS_DOWN)
        return EDDY_ECLOSED;
    if (l->state != TLS_WRAPPED || SSL_version(l->ssl) < TLS1_3_VERSION)
        return EDDY_ENOT_SUPPORTED;
    ERR_clear_error();
    tls_enter(l);
    rc = SSL_key_update(l->ssl, type) == 1 && SSL_do_handshake(l->ssl) == 1;
    tls_leave(l);
    return rc ? 0 : tls_report(l->ssl, "TLS key update", NULL);
}
