/* A key and a certificate made on the spot, for trying things out: signed by itself. */
#include "transports/tls/context.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#define DAYS 30
#define NAME_SIZE 256

/* ---- the names it is for ---- */

/* An address, or else a name. */
static GENERAL_NAME *make_name(const char *name)
{
    unsigned char ip[16];
    int len = inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_STRING *s = ASN1_STRING_type_new(len > 0 ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (g && s && ASN1_STRING_set(s, len > 0 ? (const void *)ip : name, len > 0 ? len : -1)) {
        GENERAL_NAME_set0_value(g, len > 0 ? GEN_IPADD : GEN_DNS, s);
        return g;
    }
    ASN1_STRING_free(s);
    GENERAL_NAME_free(g);
    return NULL;
}

static bool add_name(GENERAL_NAMES *names, const char *name)
{
    GENERAL_NAME *g = make_name(name);

    if (g && sk_GENERAL_NAME_push(names, g) > 0)
        return true;
    GENERAL_NAME_free(g);
    return false;
}

/* The next of "a, b, c" into buf; false: there is none, or it is too long, or has spaces. */
static bool next_name(const char **list, char *buf, size_t size)
{
    const char *begin = *list + strspn(*list, " ");
    size_t len = strcspn(begin, ",");

    *list = begin + len;
    if (len == 0 || len >= size)
        return false;
    memcpy(buf, begin, len);
    buf[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (buf[i] <= ' ' || buf[i] > '~')
            return false;
    return true;
}

/* 1; 0: there was an error; -1: the list is not one. */
static int set_names(X509 *x, const char *list)
{
    char name[NAME_SIZE];
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int ok = names != NULL;

    for (bool more = true; ok == 1 && more; more = *list && *list++ == ',')
        ok = next_name(&list, name, sizeof name) ? add_name(names, name) : -1;
    if (ok == 1)
        ok = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return ok;
}

/* ---- the rest of it ---- */

static bool set_subject(X509 *x)
{
    X509_NAME *n = X509_NAME_new();
    bool ok = n &&
              X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC,
                                         (const unsigned char *)"Eddy throw-away", -1, -1, 0) &&
              X509_set_subject_name(x, n) && X509_set_issuer_name(x, n);

    X509_NAME_free(n);
    return ok;
}

/* Browsers remember a certificate by issuer and number: another one is another number. */
static bool set_serial(X509 *x)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    uint64_t random;
    bool ok = number && RAND_bytes((unsigned char *)&random, sizeof random) == 1 &&
              ASN1_INTEGER_set_uint64(number, random >> 1 | 1) && X509_set_serialNumber(x, number);

    ASN1_INTEGER_free(number);
    return ok;
}

static bool set_validity(X509 *x)
{
    return X509_gmtime_adj(X509_getm_notBefore(x), -3600) && /* clocks differ */
           X509_gmtime_adj(X509_getm_notAfter(x), DAYS * 24L * 3600);
}

/* As set_names. */
static int make(X509 *x, EVP_PKEY *key, const char *names)
{
    int ok = X509_set_version(x, X509_VERSION_3) && set_serial(x) && set_subject(x) &&
             set_validity(x) && X509_set_pubkey(x, key);

    if (ok == 1)
        ok = set_names(x, names);
    if (ok == 1)
        ok = X509_sign(x, key, EVP_sha256()) > 0;
    return ok;
}

int tls_use_throw_away(struct tls_making *m)
{
    int rc = 0;

    if (!m->o->throw_away)
        return 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    int ok = key && x ? make(x, key, m->o->throw_away) : 0;
    if (ok < 0)
        rc = eddy_error_set(m->e, -EINVAL, "new tls",
                            "TLS context: .throw_away: \"%.80s\" is no list of names",
                            m->o->throw_away);
    else if (!ok || !SSL_CTX_use_certificate(m->ctx, x) || !SSL_CTX_use_PrivateKey(m->ctx, key))
        rc = tls_making_fails(m, ".throw_away");
    X509_free(x);
    EVP_PKEY_free(key);
    return rc;
}
