/* How a context is made: of options, which are copied, one SSL_CTX after another. */
#ifndef EDDY_TRANSPORTS_TLS_CONTEXT_H
#define EDDY_TRANSPORTS_TLS_CONTEXT_H

#include "transports/tls/tls.h"
#include <openssl/evp.h>

/* ---- options.c ---- */

/* Options and all that they point to, as one piece of memory; counted, as each SSL_CTX that was
 * made of them has them. */
struct tls_block {
    struct eddy_tls_opts o; /* first */
    atomic_uint refs;
    size_t size;
    const unsigned char *alpn;
    size_t alpn_len;
    size_t name_count;
};

/* -EINVAL, -E2BIG: with the reason in *e, if that is not NULL. */
int tls_opts_check(const struct eddy_tls_opts *o, struct eddy_error *e);
/* Of checked ones. NULL: no memory. */
struct tls_block *tls_block_new(const struct eddy_tls_opts *o);
/* What shows in the copy only. -EINVAL: with the reason in *e. */
int tls_block_check(const struct tls_block *b, struct eddy_error *e);
struct tls_block *tls_block_ref(struct tls_block *b);
/* The last one wipes it. NULL is fine. */
void tls_block_unref(struct tls_block *b);

/* ---- an SSL_CTX that is being made ---- */

/* What hangs on an SSL_CTX. */
struct tls_made {
    struct tls_block *block;
    int keylog; /* -1: none */
    uint8_t trust[32];
};

struct tls_making {
    SSL_CTX *ctx;
    const struct eddy_tls_opts *o;
    struct tls_made *made;
    EVP_MD_CTX *trust;    /* becomes made->trust */
    struct eddy_error *e; /* never NULL */
};

/* Each does its part, or says why not. */
int tls_use_rules(struct tls_making *m);       /* rules.c: versions, ciphers, modes */
int tls_use_credentials(struct tls_making *m); /* credentials.c: certificate and key */
int tls_use_throw_away(struct tls_making *m);  /* throw_away.c */
int tls_use_trust(struct tls_making *m);       /* trust.c: whom we trust, whom we ask */
int tls_use_keylog(struct tls_making *m);      /* keylog.c */
/* Where the lines of such an SSL_CTX go. */
int tls_ctx_keylog(const SSL_CTX *ctx);

/* The options' file, or else their bytes; `member` is what the latter are called. */
int tls_get_text(struct tls_making *m, const char *what, const char *file, const void *pem,
                 size_t len, const char *member, struct tls_text *ret);
/* Over its bytes; it must outlive the BIO. NULL: no memory, which is said. */
BIO *tls_text_bio(struct tls_making *m, const struct tls_text *t);
/* Whether what was read until here was the last of its kind: else it was broken. */
bool tls_at_end_of_pem(void);

/* Fails with EDDY_ETLS and a sentence, to which OpenSSL's reason is added, if it has one; or with
 * -ENOMEM, if that is the reason. OpenSSL's queue is emptied. */
int tls_making_fails(struct tls_making *m, const char *fmt, ...) EDDY_PRINTF(2, 3);

/* What OpenSSL is to ask for passphrases, so that it never asks the terminal; user is NULL: there
 * are none. */
int tls_no_passphrase(char *buf, int size, int writing, void *user);

#endif
