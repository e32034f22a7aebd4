/*
 * What a server makes of the names in a client's hello: the context for the host (SNI), and the
 * protocol (ALPN). The context is chosen before OpenSSL looks at the rest of the hello, so that all
 * of its rules hold, and no session of another one's is resumed.
 */
#include "transports/tls/names.h"

#include "transports/tls/tls.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* ---- the context ---- */

static const struct eddy_error broken = {
    .code = EDDY_ETLS, .detail = SSL_R_BAD_EXTENSION, .text = "the client's SNI is broken"};

/* Nothing that means something in a path, a header or on a terminal. Addresses are not to be asked
 * for, but some do. */
static bool is_host(const char *name)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-_.:");

    return name[good] == '\0' && !strstr(name, "..");
}

/* As RFC 6066 has it: a list of names, of which there is one of a kind only. False: it is none. */
static bool name_of_hello(SSL *ssl, char *buf, size_t *ret_len)
{
    const unsigned char *p;
    size_t len;

    *ret_len = 0;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len))
        return true;
    if (len < 5 || (size_t)(p[0] << 8 | p[1]) != len - 2 || p[2] != TLSEXT_NAMETYPE_host_name)
        return false;
    size_t n = (size_t)(p[3] << 8 | p[4]);
    if (n == 0 || n != len - 5 || n >= TLS_NAME || memchr(p + 5, '\0', n))
        return false;
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)(p[5 + i] >= 'A' && p[5 + i] <= 'Z' ? p[5 + i] + ('a' - 'A') : p[5 + i]);
    buf[n] = '\0';
    bool good = is_host(buf);
    if (buf[n - 1] == '.')
        buf[--n] = '\0';
    *ret_len = n;
    return good;
}

/* "*.example.org" is for one label more, and no less. */
static struct eddy_tls *find_wildcard(const struct eddy_tls_opts *o, const char *name)
{
    const char *parent = strchr(name, '.');
    char wildcard[TLS_NAME + 1];

    if (!parent || parent == name)
        return NULL;
    snprintf(wildcard, sizeof wildcard, "*%s", parent);
    return tls_find_name(o, wildcard);
}

static struct eddy_tls *choose(const struct eddy_tls_opts *o, const char *name)
{
    struct eddy_tls *tls = tls_find_name(o, name);

    if (!tls)
        tls = find_wildcard(o, name);
    if (!tls && o->select) {
        ERR_set_mark();
        tls = o->select(o->user, name);
        ERR_pop_to_mark(); /* what is there behind OpenSSL's back fails the handshake */
    }
    return tls && tls->server ? tls : NULL;
}

/* Tickets are sealed by the server's context: whether there are any is its affair. */
#define OF_SERVER SSL_OP_NO_TICKET

/* SSL_set_SSL_CTX takes the certificates, the trust, what is asked at callbacks, and to whom the
 * sessions belong; the rest was copied when the SSL was made. */
static void use_rules(SSL *ssl, SSL_CTX *ctx)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    const unsigned long lists = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    uint32_t early = tls_ctx_opts(ctx)->max_early_data;

    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
    X509_VERIFY_PARAM_clear_flags(param, lists);
    X509_VERIFY_PARAM_set_flags(param,
                                X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ctx)) & lists);
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~(SSL_CTX_get_options(ctx) | OF_SERVER));
    SSL_set_options(ssl, SSL_CTX_get_options(ctx) & ~OF_SERVER);
    SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(ctx));
    SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(ctx));
    if (SSL_get_max_early_data(ssl) > early)
        SSL_set_max_early_data(ssl, early);
    if (SSL_get_recv_max_early_data(ssl) > early)
        SSL_set_recv_max_early_data(ssl, early);
}

/* The groups were copied as well. A context that is not ours (.configure) has none to tell. */
static bool use_groups(SSL *ssl, const char *groups)
{
    return !groups || SSL_set1_groups_list(ssl, (char *)(uintptr_t)groups);
}

static bool use(SSL *ssl, struct eddy_tls *tls)
{
    SSL_CTX *ctx = tls_context_take(tls);
    bool ok = SSL_set_SSL_CTX(ssl, ctx) == ctx && use_groups(ssl, tls_ctx_opts(ctx)->groups);

    if (ok)
        use_rules(ssl, ctx);
    SSL_CTX_free(ctx);
    return ok;
}

static void refuse(SSL *ssl, int *alert, int how, const struct eddy_error *why)
{
    struct tls_layer *l = tls_of(ssl);

    if (l)
        l->verify_error = why;
    *alert = how;
}

static int hello(SSL *ssl, int *alert, void *arg)
{
    static const struct eddy_error unknown = {.code = EDDY_ETLS,
                                              .detail = SSL_R_TLSV1_UNRECOGNIZED_NAME,
                                              .text = "the client asks for a name of nobody here"};
    const struct eddy_tls_opts *o = tls_ctx_opts(SSL_get_SSL_CTX(ssl));
    const struct tls_layer *l = tls_of(ssl);
    char name[TLS_NAME];
    size_t len;

    (void)arg;
    *alert = SSL_AD_INTERNAL_ERROR;
    if (l && l->has_hello)
        return SSL_CLIENT_HELLO_SUCCESS; /* chosen: acknowledge() sees to it that it is the same */
    if (!name_of_hello(ssl, name, &len)) {
        refuse(ssl, alert, SSL_AD_DECODE_ERROR, &broken);
        return SSL_CLIENT_HELLO_ERROR;
    }
    struct eddy_tls *tls = len > 0 ? choose(o, name) : NULL;
    if (!tls && o->strict_names) {
        refuse(ssl, alert, SSL_AD_UNRECOGNIZED_NAME, &unknown);
        return SSL_CLIENT_HELLO_ERROR;
    }
    return !tls || use(ssl, tls) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* A client that is asked for another key says hello twice, and OpenSSL takes the second one's name,
 * which must be the first one's (RFC 8446 4.1.2): by that the context was chosen. */
static bool is_name_of_first(struct tls_layer *l, const char *name)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (!EVP_Digest(name, name ? strlen(name) + 1 : 0, digest, NULL, EVP_sha256(), NULL))
        return false;
    if (!l->has_hello)
        memcpy(l->hello_name, digest, sizeof l->hello_name);
    l->has_hello = true;
    return memcmp(l->hello_name, digest, sizeof l->hello_name) == 0;
}

/* Of each hello. It is there too so that OpenSSL keeps the name with the session, to be had by
 * SSL_get_servername. */
static int acknowledge(SSL *ssl, int *alert, void *arg)
{
    static const struct eddy_error differs = {
        .code = EDDY_ETLS,
        .detail = SSL_R_BAD_EXTENSION,
        .text = "the client's second hello asks for another name than the first"};
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_layer *l = tls_of(ssl);

    (void)arg;
    if (name && !is_host(name)) {
        refuse(ssl, alert, SSL_AD_DECODE_ERROR, &broken);
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (l && !is_name_of_first(l, name)) {
        refuse(ssl, alert, SSL_AD_ILLEGAL_PARAMETER, &differs);
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* ---- the protocol ---- */

/* `name` begins with its length, and so does each of the list. */
static bool is_among(const unsigned char *name, const unsigned char *list, size_t len)
{
    while (len > 0 && *list < len) {
        size_t n = 1u + *list;

        if (*list == *name && memcmp(list, name, n) == 0)
            return true;
        list += n;
        len -= n;
    }
    return false;
}

/* The first of ours that is among the client's (RFC 7301 3.2). */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned inlen, void *arg)
{
    size_t len;
    const unsigned char *ours = tls_ctx_alpn(SSL_get_SSL_CTX(ssl), &len), *end = ours + len;

    (void)arg;
    if (len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    while (ours < end && !is_among(ours, in, inlen))
        ours += 1 + *ours;
    if (ours == end)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = ours + 1;
    *outlen = *ours;
    return SSL_TLSEXT_ERR_OK;
}

/* It is one of our own list, which has it ended by NUL. */
const char *tls_alpn_selected(const SSL *ssl)
{
    const char *const *list = tls_ctx_opts(SSL_get_SSL_CTX(ssl))->alpn;
    const unsigned char *data;
    unsigned len;

    SSL_get0_alpn_selected(ssl, &data, &len);
    for (; data && list && *list; list++)
        if (strlen(*list) == len && memcmp(*list, data, len) == 0)
            return *list;
    return NULL;
}

int tls_names_init(struct eddy_tls *tls, SSL_CTX *ctx)
{
    const struct eddy_tls_opts *o = tls_ctx_opts(ctx);

    (void)tls;
    if (!o->server)
        return 0;
    if (o->names || o->select)
        SSL_CTX_set_client_hello_cb(ctx, hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, acknowledge);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    return 0;
}
