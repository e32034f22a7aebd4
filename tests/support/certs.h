/*
 * Certificates for tests, made in memory: authorities, certificates signed by them, revocation
 * lists, OCSP responses. What cannot be made ends the program: that is no test's subject.
 *
 *     struct cert *ca = cert_new(CERT(.cn = "CA", .ca = true));
 *     struct cert *www = cert_new(CERT(.names = "www.test, 127.0.0.1", .issuer = ca));
 *     eddy_tls_new(EDDY_TLS_SERVER(CERT_PEM(www)), &server);
 *     eddy_tls_new(EDDY_TLS_CLIENT(.ca_pem = cert_pem(ca), .ca_pem_len = strlen(cert_pem(ca))),
 * ...);
 */
#ifndef TESTS_SUPPORT_CERTS_H
#define TESTS_SUPPORT_CERTS_H

#include <eddy/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct cert;
struct x509_st; /* OpenSSL's X509 and EVP_PKEY */
struct evp_pkey_st;

enum cert_kind {
    CERT_P256,     /* the key; fast to make */
    CERT_RSA_2048, /* slow */
    CERT_RSA_1024, /* too short */
};

struct cert_opts {
    const char *cn;            /* NULL: the first of .names */
    const char *names;         /* DNS names and addresses, with commas between; NULL: none */
    const struct cert *issuer; /* NULL: signed by itself */
    bool ca;                   /* may sign others */
    bool client, server;       /* for these alone; else for both sides */
    bool expired;              /* since yesterday */
    bool not_yet_valid;        /* from tomorrow on */
    bool sha1;                 /* signed with it */
    bool wrong_signature;      /* by another key than the issuer's, of the same name */
    bool must_staple;
    long serial; /* 0: one that no other has */
    enum cert_kind kind;
};

#define CERT(...) (&(const struct cert_opts){__VA_ARGS__})

struct cert *cert_new(const struct cert_opts *opts);
/* NULL is fine. Before those that it has signed, or after: that is the same. */
void cert_free(struct cert *c);

/* All of these live as long as the certificate. */
const char *cert_pem(const struct cert *c); /* itself */
/* Itself, then its issuers but the one that has signed itself, as servers have it. */
const char *cert_chain(const struct cert *c);
const char *cert_key(const struct cert *c);
/* The same, in the old form of its kind: "BEGIN EC PRIVATE KEY", or RSA. */
const char *cert_old_key(const struct cert *c);
/* The key under the passphrase "sesame". */
const char *cert_encrypted_key(const struct cert *c);
/* The chain, then the key: all in one. */
const char *cert_all(const struct cert *c);
struct x509_st *cert_x509(const struct cert *c);
struct evp_pkey_st *cert_pkey(const struct cert *c);

/* For options of contexts. */
#define CERT_PEM(c)                                                                           \
    .cert_pem = cert_chain(c), .cert_pem_len = strlen(cert_chain(c)), .key_pem = cert_key(c), \
    .key_pem_len = strlen(cert_key(c))
#define CERT_TRUST(c) .ca_pem = cert_pem(c), .ca_pem_len = strlen(cert_pem(c))

/* A list of ca's that has revoked `revoked` (NULL: nobody), in PEM. The caller frees it by free().
 */
char *cert_crl(const struct cert *ca, const struct cert *revoked);

enum cert_status { CERT_GOOD, CERT_REVOKED, CERT_UNKNOWN };
/* An OCSP response about c, signed by `issuer`, valid for a day from `begin` seconds from now on
 * (0, or negative: it may be over). In DER; free() it. */
void *cert_ocsp(const struct cert *c, const struct cert *issuer, enum cert_status status,
                long begin, size_t *ret_len);

/* A temporary folder for a case, which is removed with all of its files by certs_remove_folder. */
const char *certs_folder(void);
/* The file `name` there, made or replaced at once: no reader sees half of it. The path is good
 * until the folder is removed, or 64 others were named. */
const char *certs_write(const char *name, const void *data, size_t len);
const char *certs_write_text(const char *name, const char *text);
const char *certs_path(const char *name);
void certs_remove_folder(void);

#endif
