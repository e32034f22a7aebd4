#include "tests/support/certs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY (24L * 3600)
#define PASSPHRASE "sesame"

struct cert {
    X509 *x509;
    EVP_PKEY *key;
    char *pem, *chain, *key_pem, *old_key, *encrypted_key, *all;
};

#define MUST(condition) must((condition), #condition, __LINE__)

static void must(bool held, const char *what, int line)
{
    if (held)
        return;
    fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
    ERR_print_errors_fp(stderr);
    abort();
}

/* ---- text ---- */

/* What was written into b, which is freed. */
static char *take_text(BIO *b)
{
    char *data;
    size_t len = (size_t)BIO_get_mem_data(b, &data);
    char *text = malloc(len + 1);

    MUST(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    BIO_free(b);
    return text;
}

static BIO *new_text(void)
{
    BIO *b = BIO_new(BIO_s_mem());

    MUST(b != NULL);
    return b;
}

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *text = malloc(size);

    MUST(text != NULL);
    snprintf(text, size, "%s%s", a, b);
    return text;
}

/* ---- keys ---- */

static EVP_PKEY *new_key(enum cert_kind kind)
{
    EVP_PKEY *key = kind == CERT_P256 ? EVP_EC_gen("P-256")
                                      : EVP_RSA_gen(kind == CERT_RSA_1024 ? 1024u : 2048u);

    MUST(key != NULL);
    return key;
}

static void write_keys(struct cert *c)
{
    BIO *b = new_text();

    MUST(PEM_write_bio_PKCS8PrivateKey(b, c->key, NULL, NULL, 0, NULL, NULL));
    c->key_pem = take_text(b);
    b = new_text();
    MUST(PEM_write_bio_PrivateKey_traditional(b, c->key, NULL, NULL, 0, NULL, NULL));
    c->old_key = take_text(b);
}

/* ---- certificates ---- */

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(e != NULL && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static bool is_address(const char *name)
{
    unsigned char ip[16];

    return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* "a, b" as OpenSSL's configuration has it: "DNS:a,IP:b"; the first of them into `first`. */
static void add_names(X509 *x, const char *names, char *first, size_t size)
{
    char value[2048] = "", name[512];

    while (*(names += strspn(names, ", "))) {
        size_t len = strcspn(names, ", "), end = strlen(value);

        MUST(len < sizeof name);
        memcpy(name, names, len);
        name[len] = '\0';
        if (!*first)
            snprintf(first, size, "%s", name);
        snprintf(value + end, sizeof value - end, "%s%s:%s", end > 0 ? "," : "",
                 is_address(name) ? "IP" : "DNS", name);
        names += len;
    }
    add_extension(x, x, NID_subject_alt_name, value);
}

static void set_subject(X509 *x, const char *cn)
{
    X509_NAME *n = X509_NAME_new();

    MUST(n &&
         X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0));
    MUST(X509_set_subject_name(x, n));
    X509_NAME_free(n);
}

static void set_validity(X509 *x, const struct cert_opts *o)
{
    long begin = o->not_yet_valid ? DAY : o->expired ? -3 * DAY : -DAY;
    long end = o->expired ? -DAY : 30 * DAY;

    MUST(X509_gmtime_adj(X509_getm_notBefore(x), begin) != NULL);
    MUST(X509_gmtime_adj(X509_getm_notAfter(x), end) != NULL);
}

static void add_usage(X509 *x, X509 *issuer, const struct cert_opts *o)
{
    add_extension(x, issuer, NID_basic_constraints, o->ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(x, issuer, NID_subject_key_identifier, "hash");
    add_extension(x, issuer, NID_authority_key_identifier, "keyid");
    if (o->ca)
        add_extension(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
    else
        add_extension(x, issuer, NID_ext_key_usage,
                      o->client   ? "clientAuth"
                      : o->server ? "serverAuth"
                                  : "serverAuth,clientAuth");
    if (o->must_staple)
        add_extension(x, issuer, NID_tlsfeature, "status_request");
}

static void sign(X509 *x, const struct cert *issuer, EVP_PKEY *own_key, const struct cert_opts *o)
{
    EVP_PKEY *other = o->wrong_signature ? new_key(CERT_P256) : NULL;
    EVP_PKEY *key = other ? other : issuer ? issuer->key : own_key;

    MUST(X509_sign(x, key, o->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    EVP_PKEY_free(other);
}

static void make_certificate(struct cert *c, const struct cert_opts *o)
{
    static long serial = 1000;
    X509 *x = c->x509 = X509_new();
    char first[512] = "";

    MUST(x && X509_set_version(x, X509_VERSION_3));
    MUST(ASN1_INTEGER_set(X509_get_serialNumber(x), o->serial ? o->serial : ++serial));
    set_validity(x, o);
    MUST(X509_set_pubkey(x, c->key));
    if (o->names)
        add_names(x, o->names, first, sizeof first);
    set_subject(x, o->cn ? o->cn : first);
    X509 *issuer = o->issuer ? o->issuer->x509 : x;
    MUST(X509_set_issuer_name(x, X509_get_subject_name(issuer)));
    add_usage(x, issuer, o);
    sign(x, o->issuer, c->key, o);
}

struct cert *cert_new(const struct cert_opts *o)
{
    struct cert *c = calloc(1, sizeof *c);
    BIO *b = new_text();

    MUST(c != NULL);
    c->key = new_key(o->kind);
    make_certificate(c, o);
    MUST(PEM_write_bio_X509(b, c->x509));
    c->pem = take_text(b);
    write_keys(c);
    bool has_more = o->issuer && X509_self_signed(o->issuer->x509, 0) != 1;
    c->chain = join(c->pem, has_more ? o->issuer->chain : "");
    c->all = join(c->chain, c->key_pem);
    ERR_clear_error();
    return c;
}

void cert_free(struct cert *c)
{
    if (!c)
        return;
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    free(c->pem);
    free(c->chain);
    free(c->key_pem);
    free(c->old_key);
    free(c->encrypted_key);
    free(c->all);
    free(c);
}

const char *cert_pem(const struct cert *c)
{
    return c->pem;
}

const char *cert_chain(const struct cert *c)
{
    return c->chain;
}

const char *cert_key(const struct cert *c)
{
    return c->key_pem;
}

const char *cert_old_key(const struct cert *c)
{
    return c->old_key;
}

/* Made when it is asked for, as it takes a while. */
const char *cert_encrypted_key(const struct cert *c)
{
    struct cert *mine = (struct cert *)(uintptr_t)c;

    if (!c->encrypted_key) {
        BIO *b = new_text();

        MUST(PEM_write_bio_PKCS8PrivateKey(b, c->key, EVP_aes_128_cbc(), PASSPHRASE,
                                           sizeof PASSPHRASE - 1, NULL, NULL));
        mine->encrypted_key = take_text(b);
    }
    return c->encrypted_key;
}

const char *cert_all(const struct cert *c)
{
    return c->all;
}

struct x509_st *cert_x509(const struct cert *c)
{
    return c->x509;
}

struct evp_pkey_st *cert_pkey(const struct cert *c)
{
    return c->key;
}

/* ---- what was revoked ---- */

static void add_revoked(X509_CRL *crl, X509 *x)
{
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, -DAY);

    MUST(r && when && X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(x)));
    MUST(X509_REVOKED_set_revocationDate(r, when) && X509_CRL_add0_revoked(crl, r));
    ASN1_TIME_free(when);
}

char *cert_crl(const struct cert *ca, const struct cert *revoked)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *begin = X509_gmtime_adj(NULL, -DAY), *end = X509_gmtime_adj(NULL, 30 * DAY);
    BIO *b = new_text();

    MUST(crl && begin && end && X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509)));
    MUST(X509_CRL_set1_lastUpdate(crl, begin) && X509_CRL_set1_nextUpdate(crl, end));
    if (revoked)
        add_revoked(crl, revoked->x509);
    MUST(X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    MUST(PEM_write_bio_X509_CRL(b, crl));
    ASN1_TIME_free(begin);
    ASN1_TIME_free(end);
    X509_CRL_free(crl);
    return take_text(b);
}

void *cert_ocsp(const struct cert *c, const struct cert *issuer, enum cert_status status,
                long begin, size_t *ret_len)
{
    static const int statuses[] = {
        [CERT_GOOD] = V_OCSP_CERTSTATUS_GOOD,
        [CERT_REVOKED] = V_OCSP_CERTSTATUS_REVOKED,
        [CERT_UNKNOWN] = V_OCSP_CERTSTATUS_UNKNOWN,
    };
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, c->x509, issuer->x509);
    ASN1_TIME *since = X509_gmtime_adj(NULL, begin), *until = X509_gmtime_adj(NULL, begin + DAY);

    MUST(basic && id && since && until);
    MUST(OCSP_basic_add1_status(basic, id, statuses[status], 0,
                                status == CERT_REVOKED ? since : NULL, since, until) != NULL);
    MUST(OCSP_basic_sign(basic, issuer->x509, issuer->key, EVP_sha256(), NULL, 0));
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(r, &der);
    MUST(len > 0);
    void *copy = malloc((size_t)len);
    MUST(copy != NULL);
    memcpy(copy, der, (size_t)len);
    *ret_len = (size_t)len;
    OPENSSL_free(der);
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(since);
    ASN1_TIME_free(until);
    return copy;
}

/* ---- files ---- */

#define PATHS 64

static char folder[64];

const char *certs_folder(void)
{
    if (!*folder) {
        snprintf(folder, sizeof folder, "/tmp/eddy-certs-XXXXXX");
        MUST(mkdtemp(folder) != NULL);
    }
    return folder;
}

const char *certs_path(const char *name)
{
    static char paths[PATHS][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, PATH_MAX, "%s/%s", certs_folder(), name);
    return path;
}

const char *certs_write(const char *name, const void *data, size_t len)
{
    const char *path = certs_path(name);
    char half[PATH_MAX];

    snprintf(half, sizeof half, "%s/.%s", certs_folder(), name);
    int fd = open(half, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, len) == (ssize_t)len && close(fd) == 0);
    MUST(rename(half, path) == 0);
    return path;
}

const char *certs_write_text(const char *name, const char *text)
{
    return certs_write(name, text, strlen(text));
}

void certs_remove_folder(void)
{
    struct dirent *e;

    if (!*folder)
        return;
    DIR *d = opendir(folder);
    MUST(d != NULL);
    while ((e = readdir(d)) != NULL) {
        char path[PATH_MAX];

        snprintf(path, sizeof path, "%s/%.255s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            MUST(remove(path) == 0);
    }
    closedir(d);
    MUST(rmdir(folder) == 0);
    *folder = '\0';
}
