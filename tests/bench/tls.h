/*
 * TLS for the benchmarks: one certificate for all servers, and how each party's OpenSSL is set up.
 * The client decides what is spoken, so it is the same with all of them: TLS 1.3, AES-256-GCM,
 * X25519, ECDSA on P-256.
 */
#ifndef TESTS_BENCH_TLS_H
#define TESTS_BENCH_TLS_H

#include "tests/bench/bench.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define PEM_MAX 4096

static char tls_cert_pem[PEM_MAX], tls_key_pem[PEM_MAX];
static X509 *tls_cert;
static EVP_PKEY *tls_key;

static inline _Noreturn void die_tls(const char *what)
{
    fprintf(stderr, "%s:\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static inline void tls_pem_of(BIO *b, char *ret)
{
    int n = BIO_read(b, ret, PEM_MAX - 1);

    if (n <= 0 || n == PEM_MAX - 1)
        die_tls("PEM");
    ret[n] = '\0';
    BIO_free(b);
}

/* Self-signed, for "localhost"; before the first server is started. */
static inline void tls_make_certificate(void)
{
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
    X509_NAME *name;

    tls_key = EVP_EC_gen("P-256");
    tls_cert = X509_new();
    if (!tls_key || !tls_cert || !cert_pem || !key_pem)
        die_tls("certificate");
    X509_set_version(tls_cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(tls_cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(tls_cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(tls_cert), 30 * 86400L);
    X509_set_pubkey(tls_cert, tls_key);
    name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_subject_name(tls_cert, name);
    X509_set_issuer_name(tls_cert, name);
    X509_NAME_free(name);
    if (!X509_sign(tls_cert, tls_key, EVP_sha256()) || !PEM_write_bio_X509(cert_pem, tls_cert) ||
        !PEM_write_bio_PrivateKey(key_pem, tls_key, NULL, NULL, 0, NULL, NULL))
        die_tls("certificate");
    tls_pem_of(cert_pem, tls_cert_pem);
    tls_pem_of(key_pem, tls_key_pem);
}

/* Of the servers that Eddy is compared with. */
static inline SSL_CTX *tls_server_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx || SSL_CTX_use_certificate(ctx, tls_cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, tls_key) != 1)
        die_tls("server");
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

static inline SSL_CTX *tls_client_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
        die_tls("client");
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* a session serves many times */
    return ctx;
}

/* Eddy's part: the default context with that certificate. backlog: 0 is Eddy's default. */
static inline void serve_eddy_tls(int listener, const struct eddy_protocol_class *cls, int backlog)
{
    struct eddy_tls *tls;
    struct eddy_error e = {.code = 0};

    if (eddy_tls_new(EDDY_TLS_SERVER(.cert_pem = tls_cert_pem, .cert_pem_len = strlen(tls_cert_pem),
                                     .key_pem = tls_key_pem, .key_pem_len = strlen(tls_key_pem),
                                     .error = &e),
                     &tls) < 0) {
        fprintf(stderr, "eddy_tls_new: %s\n", e.text);
        exit(1);
    }
    eddy_serve(cls, EDDY_SERVER(.use_sock = true, .sock = listener, .backlog = backlog, .tls = tls,
                                .drain_timeout = EDDY_MSEC(1)));
    eddy_tls_unref(tls);
}

#endif
