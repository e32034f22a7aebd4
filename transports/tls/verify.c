/* Whom a client means to talk to: the name that it asks for and verifies, and why it was not it. */
#include "transports/tls/tls.h"

#include "transports/tls/words.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Of RFC 1035. */
#define NAME_MAX_LEN 253
#define LABEL_MAX_LEN 63

/* ---- names ---- */

static bool is_address(const char *name)
{
    uint8_t raw[16];

    return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

/* "fe80::1%eth0": the scope is for the kernel alone, no certificate has one. */
static void cut_scope(char *name)
{
    char *percent = strchr(name, '%');

    if (!percent)
        return;
    *percent = '\0';
    if (!is_address(name) || !strchr(name, ':'))
        *percent = '%';
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* NULL: it is one. */
static const char *what_is_wrong(const char *name)
{
    size_t label = 0;

    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            return "not in ASCII: names of other letters have a form with xn--";
        if (!is_name_character(*c))
            return "a character that no name has";
        if (*c != '.')
            label++;
        else if (label == 0)
            return c == name ? "a dot at the beginning" : "two dots in a row";
        else
            label = 0;
        if (label > LABEL_MAX_LEN)
            return "too long between two dots";
    }
    return label == 0 ? "two dots in a row" : NULL;
}

int tls_name_check(const char *host, char *buf, const char **why)
{
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    *why = len == 0 ? "empty" : len > NAME_MAX_LEN ? "too long" : NULL;
    if (*why)
        return -EINVAL;
    memcpy(buf, host, len);
    buf[len] = '\0';
    cut_scope(buf);
    if (!is_address(buf))
        *why = what_is_wrong(buf);
    return *why ? -EINVAL : 0;
}

/* Where there is no name to verify nothing would be. */
static int set_verified_name(struct tls_layer *l, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(l->ssl);
    const struct eddy_tls_opts *o = l->opts;

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (l->no_name_check || o->insecure_no_verification)
        return 0;
    if (!name)
        return -EINVAL;
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) ? 0 : -ENOMEM;
    return X509_VERIFY_PARAM_set1_host(param, name, 0) ? 0 : -ENOMEM;
}

int tls_name_set(struct tls_layer *l)
{
    char buf[TLS_NAME];
    const char *why, *name = NULL;

    if (l->name && tls_name_check(l->name, buf, &why) == 0)
        name = buf;
    if (name && !is_address(name) && !SSL_set_tlsext_host_name(l->ssl, buf))
        return -ENOMEM;
    return set_verified_name(l, name);
}

/* ---- why not ---- */

#define NAME_ROOM 60
#define HOLDER_ROOM 48

/* The names of a certificate, as many as there is room for. */
struct list {
    struct words *w;
    int n;
};

static bool add_name(void *user, const char *name, size_t len)
{
    struct list *list = user;
    size_t left = (size_t)(list->w->end - list->w->at);
    bool fits = len + sizeof ", , ...)" <= left;

    words_put(list->w, list->n++ ? ", " : "");
    if (fits)
        words_quote(list->w, name, len, NAME_ROOM);
    else
        words_put(list->w, "...");
    return fits;
}

static void explain_name(struct words *w, SSL *ssl, const X509 *x)
{
    struct tls_layer *l = tls_of(ssl);
    struct list list = {.w = w};

    words_put(w, "certificate is not valid for '");
    if (l && l->name)
        words_quote(w, l->name, strlen(l->name), NAME_ROOM);
    words_put(w, "' (valid for: ");
    if (!x || words_each_name(x, add_name, &list) < 0 || list.n == 0)
        words_put(w, "no name");
    words_put(w, ")");
}

/* The first of the chain that is not valid today: what OpenSSL has complained of. */
static const X509 *untimely(STACK_OF(X509) * chain, int sign)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *x = sk_X509_value(chain, i);
        int cmp = X509_cmp_current_time(sign < 0 ? X509_get0_notAfter(x) : X509_get0_notBefore(x));

        if (cmp != 0 && (cmp < 0) == (sign < 0))
            return x;
    }
    return sk_X509_value(chain, 0);
}

static void explain_time(struct words *w, STACK_OF(X509) * chain, int sign)
{
    const X509 *x = untimely(chain, sign);

    words_put(w, sign < 0 ? "certificate has expired: " : "certificate is not yet valid: ");
    words_put_name(w, X509_get_subject_name(x), HOLDER_ROOM);
    words_put(w, sign < 0 ? " on " : " before ");
    words_put_time(w, sign < 0 ? X509_get0_notAfter(x) : X509_get0_notBefore(x));
}

/* The last one that there is leads to nobody we know. */
static void explain_issuer(struct words *w, const X509 *x, const char *text)
{
    words_printf(w, "%s: ", text);
    words_put_name(w, X509_get_subject_name(x), HOLDER_ROOM);
    if (X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0)
        return;
    words_put(w, " is issued by ");
    words_put_name(w, X509_get_issuer_name(x), HOLDER_ROOM);
}

static void explain(struct words *w, SSL *ssl, int code, STACK_OF(X509) * chain)
{
    const char *text = X509_verify_cert_error_string(code);
    const X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);

    switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        explain_name(w, ssl, sk_X509_value(chain, 0));
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        explain_time(w, chain, -1);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        explain_time(w, chain, 1);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        explain_issuer(w, last, text);
        break;
    default:
        words_printf(w, "%s: in the chain of ", text);
        words_put_name(w, X509_get_subject_name(sk_X509_value(chain, 0)), HOLDER_ROOM);
    }
}

void tls_verify_explain(SSL *ssl, char *buf, size_t size)
{
    int code = (int)SSL_get_verify_result(ssl);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    struct words w;

    words_begin(&w, buf, size);
    if (chain && sk_X509_num(chain) > 0)
        explain(&w, ssl, code, chain);
    else
        words_put(&w, X509_verify_cert_error_string(code));
}
