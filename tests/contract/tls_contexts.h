/* What the tests of TLS contexts share: handshakes of two contexts over memory, without Eddy's
 * transports. */
#ifndef TESTS_CONTRACT_TLS_CONTEXTS_H
#define TESTS_CONTRACT_TLS_CONTEXTS_H

#include "tests/support/certs.h"
#include "tests/support/test.h"
#include <eddy/tls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- certificates, made once ---- */

static struct cert *authority, *other_authority, *middle, *www, *client_cert;

static inline void free_certs(void)
{
    cert_free(authority);
    cert_free(other_authority);
    cert_free(middle);
    cert_free(www);
    cert_free(client_cert);
}

static inline void need_certs(void)
{
    if (authority)
        return;
    atexit(free_certs);
    authority = cert_new(CERT(.cn = "authority", .ca = true));
    other_authority = cert_new(CERT(.cn = "other authority", .ca = true));
    middle = cert_new(CERT(.cn = "middle", .ca = true, .issuer = authority));
    www = cert_new(CERT(.names = "www.test, 127.0.0.1", .issuer = middle));
    client_cert = cert_new(CERT(.cn = "somebody", .client = true, .issuer = authority));
}

/* ---- contexts ---- */

static inline struct eddy_tls *context(const struct eddy_tls_opts *opts)
{
    struct eddy_tls *tls = NULL;
    int rc = eddy_tls_new(opts, &tls);

    if (rc < 0 && opts->error)
        FAIL("%s", opts->error->text);
    REQUIRE(rc == 0 && tls);
    return tls;
}

#define SERVER(...) context(EDDY_TLS_SERVER(CERT_PEM(www), __VA_ARGS__))
#define CLIENT(...) context(EDDY_TLS_CLIENT(CERT_TRUST(authority), __VA_ARGS__))

/* ---- handshakes ---- */

struct pair {
    SSL *server, *client;
    bool done; /* both sides */
    long verify_result;
};

/* Calls f on one side, and moves what it writes to the other. */
static inline int pair_step(SSL *from, SSL *to, int (*f)(SSL *))
{
    char buf[16384];
    int rc, n;

    ERR_clear_error();
    rc = f(from);
    while ((n = BIO_read(SSL_get_wbio(from), buf, sizeof buf)) > 0)
        BIO_write(SSL_get_rbio(to), buf, n);
    return rc;
}

static inline SSL *pair_side(SSL_CTX *ctx, bool server)
{
    SSL *ssl = SSL_new(ctx);

    REQUIRE(ssl != NULL);
    SSL_CTX_free(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

static inline int pair_read(SSL *ssl)
{
    char c;

    return SSL_read(ssl, &c, 1);
}

/* Both SSL_CTXs are taken. host: NULL: none is asked for. */
static inline void pair_begin(struct pair *p, SSL_CTX *server, SSL_CTX *client, const char *host)
{
    p->server = pair_side(server, true);
    p->client = pair_side(client, false);
    if (host) {
        SSL_set_tlsext_host_name(p->client, (char *)(uintptr_t)host);
        SSL_set1_host(p->client, host);
    }
}

static inline void pair_shake(struct pair *p)
{
    int s = 0, c = 0;

    for (int i = 0; i < 8 && (s != 1 || c != 1); i++) {
        c = pair_step(p->client, p->server, SSL_do_handshake);
        s = pair_step(p->server, p->client, SSL_do_handshake);
    }
    pair_step(p->client, p->server, pair_read); /* an alert that came late, tickets */
    p->done = s == 1 && c == 1;
    p->verify_result = SSL_get_verify_result(p->client);
    ERR_clear_error();
}

static inline void pair_end(struct pair *p)
{
    SSL_free(p->server);
    SSL_free(p->client);
}

/* Whether a handshake succeeds. */
static inline bool shake(struct eddy_tls *server, struct eddy_tls *client, const char *host)
{
    struct pair p;

    pair_begin(&p, eddy_tls_ssl_ctx(server), eddy_tls_ssl_ctx(client), host);
    pair_shake(&p);
    pair_end(&p);
    return p.done;
}

/* Whether the certificate that a server shows is c. */
static inline bool shows(struct eddy_tls *server, const struct cert *c)
{
    struct eddy_tls *client = context(EDDY_TLS_CLIENT(.insecure_no_verification = true));
    struct pair p;

    pair_begin(&p, eddy_tls_ssl_ctx(server), eddy_tls_ssl_ctx(client), NULL);
    pair_shake(&p);
    const X509 *x = SSL_get0_peer_certificate(p.client);
    bool same = x && X509_cmp(x, cert_x509(c)) == 0;
    pair_end(&p);
    eddy_tls_unref(client);
    return same;
}

/* ---- what cannot be made ---- */

static inline void check_fails(const struct eddy_tls_opts *opts, int code, const char *fragment,
                               const char *file, int line)
{
    struct eddy_error e = {.code = 0};
    struct eddy_tls_opts o = *opts;
    struct eddy_tls *tls = NULL;

    o.error = &e;
    test_check_int(eddy_tls_new(&o, &tls), code, "the code", file, line);
    test_check_int(e.code, code, "the error's code", file, line);
    if (!strstr(e.text, fragment))
        test_fail(file, line, "\"%s\" is not in \"%s\"", fragment, e.text);
    test_check(tls == NULL, "nothing is returned", file, line);
    test_check(ERR_peek_error() == 0, "OpenSSL's queue is empty", file, line);
    o.error = NULL;
    test_check_int(eddy_tls_new(&o, &tls), code, "the code without .error", file, line);
    eddy_tls_unref(tls);
}

#define CHECK_FAILS(opts, code, fragment) check_fails(opts, code, fragment, __FILE__, __LINE__)

#endif
