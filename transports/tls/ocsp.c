/*
 * OCSP responses, as they come with a handshake (RFC 6066 8). A server sends what it has, as long
 * as that is fresh: one that is not would be taken for an attempt. A client that requires one takes
 * nothing less than a fresh one that is signed and says "good".
 */
#include "transports/tls/tls.h"

#include "framework/base/alloc.h"
#include <openssl/ocsp.h>
#include <string.h>

/* Clocks differ. */
#define LEEWAY (5 * 60)
/* How long one is fresh that does not say. */
#define FRESH (7L * 24 * 3600)

/* ---- a server ---- */

struct staple {
    time_t until; /* 0: it does not say */
    size_t len;
    unsigned char der[];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int place = -1; /* OpenSSL's number for it in an SSL_CTX; set once */

static void free_staple(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number,
                        void *arg)
{
    (void)parent, (void)data, (void)index, (void)number, (void)arg;
    eddy_free(ptr);
}

static void find_place(void)
{
    place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_staple);
}

static int send_staple(SSL *ssl, void *arg)
{
    const struct staple *s = arg;
    unsigned char *copy;

    if (s->until && time(NULL) >= s->until)
        return SSL_TLSEXT_ERR_NOACK;
    copy = OPENSSL_memdup(s->der, s->len);
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->len); /* OpenSSL frees it */
    return SSL_TLSEXT_ERR_OK;
}

/* False: it is none, or tells of a failure. */
static bool read_until(const struct tls_text *text, time_t *ret)
{
    const unsigned char *p = (const unsigned char *)text->data;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)text->len);
    OCSP_BASICRESP *basic = NULL;
    ASN1_GENERALIZEDTIME *next = NULL;
    struct tm tm;

    if (r && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(r);
    bool ok = basic && OCSP_resp_count(basic) > 0;
    if (ok)
        OCSP_single_get0_status(OCSP_resp_get0(basic, 0), NULL, NULL, NULL, &next);
    *ret = next && ASN1_TIME_to_tm(next, &tm) ? timegm(&tm) : 0;
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(r);
    return ok;
}

static int use_staple(SSL_CTX *ctx, const struct tls_text *text, struct eddy_error *e)
{
    time_t until;

    if (!read_until(text, &until)) {
        ERR_clear_error();
        return eddy_error_set(e, EDDY_ETLS, "new tls",
                              "TLS context: OCSP: %.100s is no successful response in DER",
                              text->name);
    }
    struct staple *s = eddy_alloc(sizeof *s + text->len);
    pthread_once(&once, find_place);
    if (!s || place < 0 || !SSL_CTX_set_ex_data(ctx, place, s)) {
        eddy_free(s);
        return eddy_error_set(e, -ENOMEM, "new tls", "TLS context: no memory");
    }
    s->until = until;
    s->len = text->len;
    memcpy(s->der, text->data, text->len);
    SSL_CTX_set_tlsext_status_cb(ctx, send_staple);
    SSL_CTX_set_tlsext_status_arg(ctx, s);
    return 0;
}

/* ---- a client ---- */

enum refusal { ABSENT, BROKEN, UNSIGNED, OF_ANOTHER, STALE, REVOKED, UNKNOWN };

#define REFUSAL(why, sentence)                              \
    {                                                       \
        .code = EDDY_ETLS_CERT, .detail = X509_V_ERR_##why, \
        .text = "certificate verify failed: " sentence      \
    }

static const struct eddy_error refusals[] = {
    [ABSENT] = REFUSAL(OCSP_VERIFY_NEEDED, "no OCSP response has come with it"),
    [BROKEN] = REFUSAL(OCSP_VERIFY_FAILED, "the OCSP response is broken"),
    [UNSIGNED] =
        REFUSAL(OCSP_VERIFY_FAILED, "the OCSP response is not signed by whom it should be"),
    [OF_ANOTHER] = REFUSAL(OCSP_CERT_UNKNOWN, "the OCSP response is about another certificate"),
    [STALE] = REFUSAL(OCSP_VERIFY_FAILED, "the OCSP response is not of today"),
    [REVOKED] = REFUSAL(CERT_REVOKED, "the OCSP response says: revoked"),
    [UNKNOWN] = REFUSAL(OCSP_CERT_UNKNOWN, "the OCSP response says: unknown"),
};

static OCSP_BASICRESP *parse(const unsigned char *der, long len)
{
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &der, len);
    OCSP_BASICRESP *basic = NULL;

    if (r && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(r);
    OCSP_RESPONSE_free(r);
    return basic;
}

/* Whether it is about this certificate: by the digest that the responder has chosen. */
static bool is_about(OCSP_SINGLERESP *single, const X509 *x, const X509 *issuer)
{
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single), *ours;
    ASN1_OBJECT *digest;

    if (!OCSP_id_get0_info(NULL, &digest, NULL, NULL, id))
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(digest);
    ours = md ? OCSP_cert_to_id(md, x, issuer) : NULL;
    bool is = ours && OCSP_id_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return is;
}

/* NULL: it is good. */
static const struct eddy_error *judge_single(OCSP_SINGLERESP *single)
{
    ASN1_GENERALIZEDTIME *from, *to;
    int status = OCSP_single_get0_status(single, NULL, NULL, &from, &to);

    if (!OCSP_check_validity(from, to, LEEWAY, to ? -1 : FRESH))
        return &refusals[STALE];
    if (status == V_OCSP_CERTSTATUS_REVOKED)
        return &refusals[REVOKED];
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return &refusals[UNKNOWN];
    return NULL;
}

static const struct eddy_error *judge(SSL *ssl, OCSP_BASICRESP *basic)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int n = chain ? sk_X509_num(chain) : 0;

    if (n == 0 ||
        OCSP_basic_verify(basic, chain, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), 0) <= 0)
        return &refusals[UNSIGNED];
    const X509 *x = sk_X509_value(chain, 0), *issuer = sk_X509_value(chain, n > 1 ? 1 : 0);
    for (int i = 0; i < OCSP_resp_count(basic); i++)
        if (is_about(OCSP_resp_get0(basic, i), x, issuer))
            return judge_single(OCSP_resp_get0(basic, i));
    return &refusals[OF_ANOTHER];
}

/* 1: the handshake goes on. Who resumes was verified then. */
static int check_staple(SSL *ssl, void *arg)
{
    struct tls_layer *l = tls_of(ssl);
    const struct eddy_error *why;
    const unsigned char *der;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);

    (void)arg;
    if (SSL_session_reused(ssl))
        return 1;
    if (!der || len <= 0) {
        why = &refusals[ABSENT];
    } else {
        OCSP_BASICRESP *basic = parse(der, len);

        why = basic ? judge(ssl, basic) : &refusals[BROKEN];
        OCSP_BASICRESP_free(basic);
        ERR_clear_error();
    }
    if (l)
        l->verify_error = why;
    return why == NULL;
}

int tls_ocsp_init(struct eddy_tls *tls, SSL_CTX *ctx, struct eddy_error *e)
{
    const struct eddy_tls_opts *o = tls_ctx_opts(ctx);
    struct tls_text text;
    int rc;

    (void)tls;
    if (!o->server && o->require_ocsp) {
        SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
        SSL_CTX_set_tlsext_status_cb(ctx, check_staple);
    }
    if (!o->server || !o->ocsp_file)
        return 0;
    rc = tls_read_file(o->ocsp_file, "OCSP", e, &text);
    if (rc < 0)
        return rc;
    rc = use_staple(ctx, &text, e);
    tls_text_free(&text);
    return rc;
}
