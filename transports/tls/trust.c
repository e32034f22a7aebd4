/* Whom a context trusts, what was revoked, and what is asked of the peer. */
#include "transports/tls/context.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

/* Names of authorities that a server sends with its request. Beyond that it sends none: a client
 * then shows what it has. */
#define CA_NAMES_MAX 32768

/* ---- the digest ---- */

/* With its length, so that the end of one is not the beginning of the next. */
static int note(struct tls_making *m, const void *data, size_t len)
{
    uint64_t n = len;

    if (EVP_DigestUpdate(m->trust, &n, sizeof n) &&
        (len == 0 || EVP_DigestUpdate(m->trust, data, len)))
        return 0;
    return tls_making_fails(m, "digest");
}

static int note_string(struct tls_making *m, const char *s)
{
    return note(m, s, s ? strlen(s) : 0);
}

/* Whether what is trusted stands where we do not see it change: a reload may be because of that. A
 * server that asks for no certificate has none of these. */
static bool is_out_of_sight(const struct eddy_tls_opts *o)
{
    return o->ca_dir || o->system_trust || o->configure ||
           (!o->server && !o->ca_file && !o->ca_pem);
}

/* It is like no other. */
static int note_random(struct tls_making *m)
{
    unsigned char random[32];

    return RAND_bytes(random, sizeof random) == 1 ? note(m, random, sizeof random)
                                                  : tls_making_fails(m, "digest");
}

static int note_rules(struct tls_making *m)
{
    const struct eddy_tls_opts *o = m->o;
    const unsigned char rules[] = {
        o->server,       (unsigned char)o->clients, o->insecure_no_verification,
        o->system_trust, o->require_ocsp,
    };
    int rc = note(m, rules, sizeof rules);

    if (rc == 0)
        rc = note_string(m, o->ca_dir);
    return rc == 0 && is_out_of_sight(o) ? note_random(m) : rc;
}

/* ---- certificates ---- */

static int add_authority(struct tls_making *m, X509 *x, const char *name)
{
    if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(m->ctx), x))
        return tls_making_fails(m, "authority: one in %.100s cannot be used", name);
    if (m->o->server && !SSL_CTX_add_client_CA(m->ctx, x))
        return tls_making_fails(m, "authority: one in %.100s cannot be used", name);
    return 0;
}

static int add_authorities(struct tls_making *m, BIO *b, const char *name)
{
    X509 *x = NULL;
    int n = 0, rc = 0;

    while (rc == 0 && (x = PEM_read_bio_X509_AUX(b, NULL, tls_no_passphrase, NULL)) != NULL) {
        rc = add_authority(m, x, name);
        X509_free(x);
        n++;
    }
    if (rc < 0)
        return rc;
    if (!tls_at_end_of_pem())
        return tls_making_fails(m, "authority: one in %.100s is broken", name);
    return n > 0 ? 0 : tls_making_fails(m, "authority: there is none in %.100s", name);
}

static int use_text(struct tls_making *m, const struct tls_text *t,
                    int (*add)(struct tls_making *m, BIO *b, const char *name))
{
    BIO *b = tls_text_bio(m, t);
    int rc = b ? note(m, t->data, t->len) : -ENOMEM;

    if (rc == 0)
        rc = add(m, b, t->name);
    BIO_free(b);
    return rc;
}

static int use_file(struct tls_making *m, const char *what, const char *path,
                    int (*add)(struct tls_making *m, BIO *b, const char *name))
{
    struct tls_text t;

    if (!path)
        return note(m, NULL, 0);
    int rc = tls_read_file(path, what, m->e, &t);
    if (rc < 0)
        return rc;
    rc = use_text(m, &t, add);
    tls_text_free(&t);
    return rc;
}

static int use_pem(struct tls_making *m)
{
    const struct tls_text t = {
        .data = (char *)(uintptr_t)m->o->ca_pem, .len = m->o->ca_pem_len, .name = ".ca_pem"};

    return t.data ? use_text(m, &t, add_authorities) : note(m, NULL, 0);
}

/* OpenSSL looks into it only when it verifies: that it is there must be seen here. */
static int use_dir(struct tls_making *m)
{
    const char *dir = m->o->ca_dir;
    struct stat st;
    int rc;

    if (!dir)
        return 0;
    rc = stat(dir, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    if (rc < 0)
        return eddy_error_set(m->e, rc, "new tls", "TLS context: .ca_dir %.100s: %s", dir,
                              eddy_strerror(rc));
    if (!X509_STORE_load_path(SSL_CTX_get_cert_store(m->ctx), dir))
        return tls_making_fails(m, ".ca_dir %.100s", dir);
    return 0;
}

static int use_system(struct tls_making *m)
{
    const struct eddy_tls_opts *o = m->o;
    bool by_default =
        !o->server && !o->insecure_no_verification && !o->ca_file && !o->ca_dir && !o->ca_pem;

    if (!o->system_trust && !by_default)
        return 0;
    int ok = SSL_CTX_set_default_verify_paths(m->ctx);
    ERR_clear_error(); /* of files that are not there, which it says nothing of otherwise */
    return ok ? 0 : tls_making_fails(m, ".system_trust");
}

/* ---- what was revoked ---- */

static int add_lists(struct tls_making *m, BIO *b, const char *name)
{
    X509_STORE *store = SSL_CTX_get_cert_store(m->ctx);
    X509_CRL *crl = NULL;
    int n = 0, ok = 1;

    while (ok && (crl = PEM_read_bio_X509_CRL(b, NULL, tls_no_passphrase, NULL)) != NULL) {
        ok = X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
        n++;
    }
    if (!ok)
        return tls_making_fails(m, "revocation list: one in %.100s cannot be used", name);
    if (!tls_at_end_of_pem())
        return tls_making_fails(m, "revocation list: one in %.100s is broken", name);
    if (n == 0)
        return tls_making_fails(m, "revocation list: there is none in %.100s", name);
    if (!X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
        return tls_making_fails(m, ".crl_file");
    return 0;
}

/* ---- what is asked of the peer ---- */

static void use_mode(struct tls_making *m)
{
    static const int of_clients[] = {
        [EDDY_TLS_CLIENTS_ANY] = SSL_VERIFY_NONE,
        [EDDY_TLS_CLIENTS_MAY_HAVE] = SSL_VERIFY_PEER,
        [EDDY_TLS_CLIENTS_MUST_HAVE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    int mode = m->o->insecure_no_verification ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;

    SSL_CTX_set_verify(m->ctx, m->o->server ? of_clients[m->o->clients] : mode, NULL);
}

static void limit_names(struct tls_making *m)
{
    const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(m->ctx);
    size_t sum = 0;

    for (int i = 0; i < sk_X509_NAME_num(names); i++) {
        int len = i2d_X509_NAME(sk_X509_NAME_value(names, i), NULL);
        sum += len > 0 ? (size_t)len + 2 : 0;
    }
    if (sum > CA_NAMES_MAX)
        SSL_CTX_set_client_CA_list(m->ctx, NULL);
}

int tls_use_trust(struct tls_making *m)
{
    int rc = note_rules(m);

    if (rc == 0)
        rc = use_file(m, "authority", m->o->ca_file, add_authorities);
    if (rc == 0)
        rc = use_pem(m);
    if (rc == 0)
        rc = use_dir(m);
    if (rc == 0)
        rc = use_system(m);
    if (rc == 0)
        rc = use_file(m, "revocation list", m->o->crl_file, add_lists);
    if (rc == 0 && !EVP_DigestFinal_ex(m->trust, m->made->trust, NULL))
        rc = tls_making_fails(m, "digest");
    limit_names(m);
    use_mode(m);
    return rc;
}
