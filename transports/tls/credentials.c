/* Certificates and keys, from files or from memory. */
#include "transports/tls/context.h"

#include "framework/base/alloc.h"
#include <fcntl.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)
#define FIRST_SIZE 8192

/* ---- files: keys are among them, so nothing of them is left in memory ---- */

void tls_text_free(struct tls_text *t)
{
    if (t->size > 0) {
        OPENSSL_cleanse(t->data, t->size);
        eddy_free(t->data);
    }
    *t = (struct tls_text){.data = NULL};
}

static int make_room(struct tls_text *t)
{
    size_t size = t->size > 0 ? 2 * t->size : FIRST_SIZE;
    char *more = size <= FILE_MAX ? eddy_alloc(size) : NULL;

    if (!more)
        return size > FILE_MAX ? -EFBIG : -ENOMEM;
    if (t->len > 0)
        memcpy(more, t->data, t->len);
    struct tls_text old = *t;
    t->data = more;
    t->size = size;
    tls_text_free(&old);
    return 0;
}

static int read_all(int fd, struct tls_text *t)
{
    ssize_t n = 1;
    int rc = 0;

    while (rc == 0 && n != 0) {
        if (t->len == t->size && (rc = make_room(t)) < 0)
            return rc;
        n = read(fd, t->data + t->len, t->size - t->len);
        if (n > 0)
            t->len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            rc = -errno;
    }
    return rc;
}

static int open_file(const char *path)
{
    int fd;

    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : -errno;
}

int tls_read_file(const char *path, const char *what, struct eddy_error *e, struct tls_text *ret)
{
    struct tls_text t = {.name = path};
    int fd = open_file(path);
    int rc = fd >= 0 ? read_all(fd, &t) : fd;

    if (fd >= 0)
        close(fd);
    if (rc == 0 && t.len > 0) {
        *ret = t;
        return 0;
    }
    tls_text_free(&t);
    if (rc == 0)
        return eddy_error_set(e, EDDY_ETLS, "new tls", "TLS context: %s: %.100s is empty", what,
                              path);
    return eddy_error_set(e, rc, "new tls", "TLS context: %s: cannot read %.100s: %s", what, path,
                          eddy_strerror(rc));
}

int tls_get_text(struct tls_making *m, const char *what, const char *file, const void *pem,
                 size_t len, const char *member, struct tls_text *ret)
{
    if (file)
        return tls_read_file(file, what, m->e, ret);
    *ret = (struct tls_text){.data = (char *)(uintptr_t)pem, .len = len, .name = member};
    return 0;
}

BIO *tls_text_bio(struct tls_making *m, const struct tls_text *t)
{
    BIO *b = BIO_new_mem_buf(t->data, (int)t->len);

    if (!b)
        eddy_error_set(m->e, -ENOMEM, "new tls", "TLS context: no memory");
    ERR_clear_error();
    return b;
}

bool tls_at_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

    if (at_end)
        ERR_clear_error();
    return at_end;
}

/* ---- passphrases ---- */

int tls_no_passphrase(char *buf, int size, int writing, void *user)
{
    (void)buf, (void)size, (void)writing, (void)user;
    return -1;
}

struct asking {
    const struct eddy_tls_opts *o;
    bool asked, refused;
};

static int ask_passphrase(char *buf, int size, int writing, void *user)
{
    struct asking *a = user;
    char own[PEM_BUFSIZE];
    int len;

    (void)writing;
    a->asked = true;
    a->refused = true;
    if (!a->o->passphrase)
        return -1;
    len = a->o->passphrase(a->o->user, own, sizeof own);
    if (len >= 0 && len <= size && (size_t)len <= sizeof own) {
        memcpy(buf, own, (size_t)len);
        a->refused = false;
    }
    OPENSSL_cleanse(own, sizeof own);
    return a->refused ? -1 : len;
}

/* ---- the certificate, and those above it ---- */

static STACK_OF(X509) * read_chain(struct tls_making *m, BIO *b, const char *name)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *x = NULL;

    while (chain && (x = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL)) != NULL) {
        if (!sk_X509_push(chain, x))
            break;
    }
    if (chain && !x && tls_at_end_of_pem())
        return chain;
    tls_making_fails(m, "certificate: one in %.100s is broken", name);
    X509_free(x);
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

static int use_chain(struct tls_making *m, STACK_OF(X509) * chain, const char *name)
{
    X509 *x = sk_X509_shift(chain);

    if (!x)
        return tls_making_fails(m, "certificate: there is none in %.100s", name);
    int ok = SSL_CTX_use_certificate(m->ctx, x);
    X509_free(x);
    if (!ok)
        return tls_making_fails(m, "certificate: %.100s cannot be used", name);
    if (!SSL_CTX_set1_chain(m->ctx, chain))
        return tls_making_fails(m, "certificate: the chain in %.100s cannot be used", name);
    return 0;
}

static int use_certificate(struct tls_making *m, const struct tls_text *t)
{
    BIO *b = tls_text_bio(m, t);

    if (!b)
        return -ENOMEM;
    STACK_OF(X509) *chain = read_chain(m, b, t->name);
    int rc = chain ? use_chain(m, chain, t->name) : m->e->code;
    sk_X509_pop_free(chain, X509_free);
    BIO_free(b);
    return rc;
}

/* ---- the key ---- */

static int explain_key(struct tls_making *m, const struct asking *a, const char *name)
{
    const char *why = !a->asked           ? "there is none, or a broken one, in"
                      : !a->o->passphrase ? "it is encrypted, and there is no .passphrase, in"
                      : a->refused        ? "it is encrypted, and .passphrase has given up, in"
                                          : "the passphrase is wrong, or it is broken, in";

    return tls_making_fails(m, "key: %s %.100s", why, name);
}

static int use_key(struct tls_making *m, const struct tls_text *t, const char *cert_name)
{
    struct asking a = {.o = m->o};
    BIO *b = tls_text_bio(m, t);
    int rc = 0;

    if (!b)
        return -ENOMEM;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, ask_passphrase, &a);
    BIO_free(b);
    if (!key)
        return explain_key(m, &a, t->name);
    ERR_clear_error();
    if (!X509_check_private_key(SSL_CTX_get0_certificate(m->ctx), key))
        rc = tls_making_fails(m, "key: %.80s does not fit the certificate of %.80s", t->name,
                              cert_name);
    else if (!SSL_CTX_use_PrivateKey(m->ctx, key))
        rc = tls_making_fails(m, "key: %.100s cannot be used", t->name);
    EVP_PKEY_free(key);
    return rc;
}

/* NULL for the key: it is where the certificate is. */
int tls_use_credentials(struct tls_making *m)
{
    const struct eddy_tls_opts *o = m->o;
    bool own_key = o->key_file || o->key_pem;
    struct tls_text cert, key = {.data = NULL};

    if (!o->cert_file && !o->cert_pem)
        return 0;
    int rc = tls_get_text(m, "certificate", o->cert_file, o->cert_pem, o->cert_pem_len, ".cert_pem",
                          &cert);
    if (rc < 0)
        return rc;
    rc = use_certificate(m, &cert);
    if (rc == 0 && own_key)
        rc = tls_get_text(m, "key", o->key_file, o->key_pem, o->key_pem_len, ".key_pem", &key);
    if (rc == 0)
        rc = use_key(m, own_key ? &key : &cert, cert.name);
    tls_text_free(&key);
    tls_text_free(&cert);
    return rc;
}
