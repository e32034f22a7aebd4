/* The options of a context: what contradicts itself, and the copy that a context keeps. */
#include "transports/tls/context.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PEM_MAX (16u << 20)
#define ALPN_MAX 255
#define ALPN_LIST_MAX 65535
#define NAME_MAX_LENGTH 253
#define LIFETIME_MAX EDDY_SEC(7 * 24 * 3600)

/* TLS 1.2: forward secrecy and AEAD only, and those of TLS 1.3. */
#define CIPHERS                                                  \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:" \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define SUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define GROUPS "X25519:P-256:P-384"

/* ---- the check: each returns why not, or NULL ---- */

static bool is_given(const void *data, size_t len)
{
    return data || len > 0;
}

static const char *object_to_pem(const void *data, size_t len, const char *why)
{
    return is_given(data, len) && (!data || len == 0 || len > PEM_MAX) ? why : NULL;
}

static const char *object_to_credentials(const struct eddy_tls_opts *o)
{
    bool cert = o->cert_file || o->cert_pem;
    const char *why =
        object_to_pem(o->cert_pem, o->cert_pem_len, ".cert_pem: nothing, or too much");

    if (!why)
        why = object_to_pem(o->key_pem, o->key_pem_len, ".key_pem: nothing, or too much");
    if (why)
        return why;
    if (o->cert_file && o->cert_pem)
        return ".cert_file and .cert_pem: one of them";
    if (o->key_file && o->key_pem)
        return ".key_file and .key_pem: one of them";
    if ((o->key_file || o->key_pem) && !cert)
        return "a key, but no certificate";
    if (o->throw_away && cert)
        return ".throw_away and a certificate: one of them";
    if (o->server && !cert && !o->throw_away && !o->strict_names && !o->configure)
        return "a server needs a certificate";
    return NULL;
}

static const char *object_to_trust(const struct eddy_tls_opts *o)
{
    bool trust = o->ca_file || o->ca_dir || o->ca_pem || o->system_trust;

    if (object_to_pem(o->ca_pem, o->ca_pem_len, ""))
        return ".ca_pem: nothing, or too much";
    if ((unsigned)o->clients > EDDY_TLS_CLIENTS_MUST_HAVE)
        return ".clients: no such value";
    if (o->insecure_no_verification && (trust || o->crl_file || o->require_ocsp))
        return ".insecure_no_verification, but also whom to trust";
    if (!o->server)
        return NULL;
    if (o->clients != EDDY_TLS_CLIENTS_ANY && !trust)
        return ".clients: they cannot be verified without .ca_file or the like";
    if (o->clients == EDDY_TLS_CLIENTS_ANY && (trust || o->crl_file))
        return "whom to trust, but .clients are not asked for a certificate";
    return NULL;
}

static const char *object_to_side(const struct eddy_tls_opts *o)
{
    if (o->server)
        return o->insecure_no_verification
                   ? ".insecure_no_verification: not of a server, see .clients"
               : o->require_ocsp ? ".require_ocsp: not of a server"
                                 : NULL;
    return o->clients != EDDY_TLS_CLIENTS_ANY ? ".clients: not of a client"
           : o->names || o->select || o->strict_names
               ? ".names, .select, .strict_names: not of a client"
           : o->ocsp_file ? ".ocsp_file: not of a client"
           : o->max_early_data || o->early_data_received
               ? ".max_early_data, .early_data_received: not of a client"
               : NULL;
}

static bool is_version(int v)
{
    return v == 0 || v == EDDY_TLS_1_2 || v == EDDY_TLS_1_3;
}

static const char *object_to_versions(const struct eddy_tls_opts *o)
{
    if (!is_version(o->min_version) || !is_version(o->max_version))
        return ".min_version, .max_version: 0, EDDY_TLS_1_2 or EDDY_TLS_1_3";
    if (o->max_version && o->min_version > o->max_version)
        return ".min_version is above .max_version";
    return NULL;
}

static const char *object_to_resumption(const struct eddy_tls_opts *o)
{
    if (o->session_lifetime < 0 || o->session_lifetime > LIFETIME_MAX)
        return ".session_lifetime: negative, or more than 7 days";
    if (o->no_resumption && (o->session_lifetime || o->session_cache))
        return ".no_resumption, but also how to resume";
    if (o->no_resumption && o->max_early_data)
        return ".no_resumption, but .max_early_data: they come with resumption alone";
    if (o->max_early_data > TLS_RECORD)
        return ".max_early_data: more than 16384";
    if (!o->max_early_data != !o->early_data_received)
        return ".max_early_data and .early_data_received: both or none";
    if (o->max_early_data && o->max_version == EDDY_TLS_1_2)
        return ".max_early_data: not of TLS 1.2";
    return NULL;
}

static const char *object_to_alpn(const struct eddy_tls_opts *o)
{
    size_t sum = 0;

    for (size_t i = 0; o->alpn && o->alpn[i]; i++) {
        size_t len = strlen(o->alpn[i]);

        if (len == 0 || len > ALPN_MAX)
            return ".alpn: a name that is empty, or longer than 255 bytes";
        sum += 1 + len;
    }
    if (o->alpn && sum == 0)
        return ".alpn: an empty list";
    return sum > ALPN_LIST_MAX ? ".alpn: the list is too long" : NULL;
}

/* "a.b", "*.a.b", "a.b." */
static bool is_name(const char *name)
{
    size_t len = 0, label = 0;

    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (; name[len]; len++) {
        if (name[len] == '.' ? label == 0 : name[len] <= ' ' || name[len] > '~' || name[len] == '*')
            return false;
        label = name[len] == '.' ? 0 : label + 1;
    }
    return len > 0 && len <= NAME_MAX_LENGTH && name[0] != '.';
}

static const char *object_to_names(const struct eddy_tls_opts *o)
{
    if (o->strict_names && !o->names && !o->select)
        return ".strict_names, but neither .names nor .select";
    for (size_t i = 0; o->names && o->names[i].name; i++) {
        if (!is_name(o->names[i].name))
            return ".names: a name must be as \"example.org\" or \"*.example.org\"";
        if (!o->names[i].tls)
            return ".names: a name without a context";
        if (!o->names[i].tls->server)
            return ".names: a client's context";
    }
    return NULL;
}

static int check_reserved(const struct eddy_tls_opts *o)
{
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i])
            return -E2BIG;
    return 0;
}

int tls_opts_check(const struct eddy_tls_opts *o, struct eddy_error *e)
{
    static const char *(*const objections[])(const struct eddy_tls_opts *o) = {
        object_to_side,       object_to_credentials, object_to_trust, object_to_versions,
        object_to_resumption, object_to_alpn,        object_to_names,
    };
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);

    if (rc == 0)
        rc = check_reserved(o);
    if (rc < 0)
        return eddy_error_set(e, rc, "new tls",
                              "TLS context: options of another version, or not by EDDY_TLS_SERVER "
                              "or EDDY_TLS_CLIENT");
    for (size_t i = 0; i < sizeof objections / sizeof *objections; i++) {
        const char *why = objections[i](o);

        if (why)
            return eddy_error_set(e, -EINVAL, "new tls", "TLS context: %s", why);
    }
    return 0;
}

/* ---- the copy, in two passes: the first one counts ---- */

struct room {
    char *at; /* NULL: counts only */
    size_t used;
};

static void *put(struct room *r, const void *data, size_t len)
{
    size_t offset = r->used;

    if (!data)
        return NULL;
    r->used += (len + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
    return r->at ? memcpy(r->at + offset, data, len) : NULL;
}

static char *put_string(struct room *r, const char *s)
{
    return put(r, s, s ? strlen(s) + 1 : 0);
}

static const char *const *put_alpn(struct room *r, const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    const char **copy = put(r, list, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        char *s = put_string(r, list[i]);
        if (copy)
            copy[i] = s;
    }
    return copy;
}

static const unsigned char *put_alpn_wire(struct room *r, const char *const *list, size_t *ret_len)
{
    const unsigned char *begin = NULL;
    size_t sum = 0;

    for (size_t i = 0; list && list[i]; i++)
        sum += 1 + strlen(list[i]);
    *ret_len = sum;
    char *wire = r->at && sum > 0 ? r->at + r->used : NULL;
    r->used += (sum + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
    begin = (unsigned char *)wire;
    for (size_t i = 0; wire && list[i]; i++) {
        size_t len = strlen(list[i]);

        *wire++ = (char)(unsigned char)len;
        wire = (char *)memcpy(wire, list[i], len) + len;
    }
    return begin;
}

static void make_plain(char *name)
{
    size_t len = strlen(name);

    if (name[len - 1] == '.')
        name[len - 1] = '\0';
    for (; *name; name++)
        if (*name >= 'A' && *name <= 'Z')
            *name = (char)(*name - 'A' + 'a');
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct eddy_tls_name *)a)->name, ((const struct eddy_tls_name *)b)->name);
}

/* Sorted, as there may be thousands. */
static const struct eddy_tls_name *put_names(struct room *r, const struct eddy_tls_name *list,
                                             size_t *ret_count)
{
    size_t n = 0;

    while (list && list[n].name)
        n++;
    *ret_count = n;
    struct eddy_tls_name *copy = put(r, list, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        char *name = put_string(r, list[i].name);
        if (!copy)
            continue;
        make_plain(name);
        copy[i].name = name;
        eddy_tls_ref(copy[i].tls);
    }
    if (copy)
        qsort(copy, n, sizeof *copy, compare_names);
    return copy;
}

static void put_all(struct room *r, struct tls_block *b, const struct eddy_tls_opts *o)
{
    b->o = *o;
    b->o.abi_size = sizeof b->o;
    b->o.error = NULL;
    b->o.cert_file = put_string(r, o->cert_file);
    b->o.key_file = put_string(r, o->key_file);
    b->o.cert_pem = put(r, o->cert_pem, o->cert_pem_len);
    b->o.key_pem = put(r, o->key_pem, o->key_pem_len);
    b->o.throw_away = put_string(r, o->throw_away);
    b->o.ca_file = put_string(r, o->ca_file);
    b->o.ca_dir = put_string(r, o->ca_dir);
    b->o.ca_pem = put(r, o->ca_pem, o->ca_pem_len);
    b->o.crl_file = put_string(r, o->crl_file);
    b->o.alpn = put_alpn(r, o->alpn);
    b->alpn = put_alpn_wire(r, o->alpn, &b->alpn_len);
    b->o.ciphers = put_string(r, o->ciphers ? o->ciphers : CIPHERS);
    b->o.suites = put_string(r, o->suites ? o->suites : SUITES);
    b->o.groups = put_string(r, o->groups ? o->groups : GROUPS);
    b->o.names = put_names(r, o->names, &b->name_count);
    b->o.ocsp_file = put_string(r, o->ocsp_file);
    b->o.keylog_file = put_string(r, o->keylog_file);
}

struct tls_block *tls_block_new(const struct eddy_tls_opts *o)
{
    struct tls_block counted;
    struct room r = {.at = NULL};

    put_all(&r, &counted, o);
    size_t size = sizeof counted + r.used;
    struct tls_block *b = eddy_zalloc(size);
    if (!b)
        return NULL;
    r = (struct room){.at = (char *)(b + 1)};
    put_all(&r, b, o);
    b->size = size;
    atomic_init(&b->refs, 1);
    return b;
}

int tls_block_check(const struct tls_block *b, struct eddy_error *e)
{
    for (size_t i = 1; i < b->name_count; i++)
        if (compare_names(&b->o.names[i - 1], &b->o.names[i]) == 0)
            return eddy_error_set(e, -EINVAL, "new tls",
                                  "TLS context: .names: a name that is there twice");
    return 0;
}

struct eddy_tls *tls_find_name(const struct eddy_tls_opts *o, const char *name)
{
    const struct tls_block *b = (const struct tls_block *)o;
    const struct eddy_tls_name wanted = {.name = name}, *found = NULL;

    if (b->name_count > 0)
        found = bsearch(&wanted, o->names, b->name_count, sizeof wanted, compare_names);
    return found ? found->tls : NULL;
}

struct tls_block *tls_block_ref(struct tls_block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void tls_block_unref(struct tls_block *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; b->o.names && b->o.names[i].name; i++)
        eddy_tls_unref(b->o.names[i].tls);
    OPENSSL_cleanse(b, b->size); /* a key may be in it */
    eddy_free(b);
}
