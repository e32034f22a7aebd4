/* backends: epoll sim */
/* OCSP responses that come with the handshake: contract X11, X13. */
#include "tests/contract/tls_pair.h"
#include <openssl/ocsp.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>

#define FAILED "TLS handshake: certificate verify failed: "
#define HOUR 3600L

struct response {
    char *data;
    size_t len;
};

/* A file with a response about `about`. */
static const char *staple(const struct cert *about, const struct cert *issuer,
                          enum cert_status status, long begin)
{
    size_t len;
    void *der = cert_ocsp(about, issuer, status, begin, &len);
    const char *file = certs_write("ocsp.der", der, len);
    free(der);
    return file;
}

/* NULL: what has come is good. */
static void check(const struct eddy_tls_opts *server, int detail, const char *sentence)
{
    struct tls_stage c;
    pair_init(&c, server, TRUSTING(.require_ocsp = true));
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), sentence ? EDDY_ETLS_CERT : 0);
    if (sentence) {
        CHECK_INT(c.s.client.error.detail, detail);
        CHECK_STR(c.s.client.error.text, sentence);
        CHECK_STR(pair_problem(&c),
                  "TLS handshake: the peer sent alert: bad certificate status response");
    } else {
        CHECK(info_of(&c.s.client).verified);
    }
    tls_stage_close(&c);
    certs_remove_folder();
}

static void X13_a_good_response_is_taken(void)
{
    need_www();
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++)
        check(WWW(.max_version = version, .ocsp_file = staple(www, authority, CERT_GOOD, 0)), 0,
              NULL);
}

static void X13_no_response_is_a_failure(void)
{
    need_www();
    check(WWW(), X509_V_ERR_OCSP_VERIFY_NEEDED, FAILED "no OCSP response has come with it");
}

static void X13_a_revoked_or_unknown_certificate_is_refused(void)
{
    need_www();
    check(WWW(.ocsp_file = staple(www, authority, CERT_REVOKED, 0)), X509_V_ERR_CERT_REVOKED,
          FAILED "the OCSP response says: revoked");
    check(WWW(.ocsp_file = staple(www, authority, CERT_UNKNOWN, 0)), X509_V_ERR_OCSP_CERT_UNKNOWN,
          FAILED "the OCSP response says: unknown");
}

static void X13_a_response_that_others_have_signed_is_refused(void)
{
    need_www();
    check(WWW(.ocsp_file = staple(www, the_authority, CERT_GOOD, 0)), X509_V_ERR_OCSP_VERIFY_FAILED,
          FAILED "the OCSP response is not signed by whom it should be");
}

static void X13_a_response_about_another_certificate_is_refused(void)
{
    need_www();
    struct cert *other = cert_new(CERT(.names = "other.test", .issuer = authority));
    check(WWW(.ocsp_file = staple(other, authority, CERT_GOOD, 0)), X509_V_ERR_OCSP_CERT_UNKNOWN,
          FAILED "the OCSP response is about another certificate");
    cert_free(other);
}

/* Ours does not send one that is over, but others may. */
static int send_old(SSL *ssl, void *arg)
{
    unsigned char *copy =
        OPENSSL_memdup(((struct response *)arg)->data, ((struct response *)arg)->len);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)((struct response *)arg)->len);
    return SSL_TLSEXT_ERR_OK;
}

static int use_old(void *user, SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_status_cb(ctx, send_old);
    SSL_CTX_set_tlsext_status_arg(ctx, user);
    return 0;
}

static void check_old(long begin)
{
    struct response text = {.len = 0};
    text.data = cert_ocsp(www, authority, CERT_GOOD, begin, &text.len);
    check(WWW(.configure = use_old, .user = &text), X509_V_ERR_OCSP_VERIFY_FAILED,
          FAILED "the OCSP response is not of today");
    free(text.data);
}

static void X13_a_response_of_another_day_is_refused(void)
{
    need_www();
    check_old(-30 * HOUR);
    check_old(2 * HOUR);
}

/* The answer of `begin` seconds from now, that does not say until when it is good. */
static struct response endless(long begin)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, cert_x509(www), cert_x509(authority));
    ASN1_TIME *since = X509_gmtime_adj(NULL, begin);
    REQUIRE(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, since, NULL));
    REQUIRE(
        OCSP_basic_sign(basic, cert_x509(authority), cert_pkey(authority), EVP_sha256(), NULL, 0));
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(r, &der);
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(since);
    return (struct response){.data = (char *)der, .len = (size_t)len};
}

static void X13_a_response_without_an_end_is_good_for_a_week(void)
{
    need_www();
    struct response text = endless(-6 * 24 * HOUR);
    check(WWW(.configure = use_old, .user = &text), 0, NULL);
    OPENSSL_free(text.data);
    text = endless(-8 * 24 * HOUR);
    check(WWW(.configure = use_old, .user = &text), X509_V_ERR_OCSP_VERIFY_FAILED,
          FAILED "the OCSP response is not of today");
    OPENSSL_free(text.data);
}

static void X11_a_server_does_not_send_one_that_is_over(void)
{
    need_www();
    check(WWW(.ocsp_file = staple(www, authority, CERT_GOOD, -30 * HOUR)),
          X509_V_ERR_OCSP_VERIFY_NEEDED, FAILED "no OCSP response has come with it");
}

static void X11_a_file_that_is_no_response_is_refused(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls;
    need_www();
    struct eddy_tls_opts o = *WWW(.ocsp_file = certs_write_text("ocsp.der", "nothing of it"));
    o.error = &e;
    CHECK_INT(eddy_tls_new(&o, &tls), EDDY_ETLS);
    CHECK(strstr(e.text, "ocsp.der is no successful response in DER") != NULL);
    certs_remove_folder();
}

static void X11_a_reload_reads_the_response_anew(void)
{
    struct tls_stage c;
    struct actor second, guest;
    need_www();
    pair_init(&c, WWW(.ocsp_file = staple(www, authority, CERT_REVOKED, 0)),
              TRUSTING(.require_ocsp = true));
    stage_add(&c.s, &second, false);
    stage_add(&c.s, &guest, true);
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS_CERT);
    pair_problem(&c);
    staple(www, authority, CERT_GOOD, 0);
    CHECK_INT(eddy_tls_reload(c.server, NULL, NULL), 0);
    CHECK_INT(pair_connect(&c, &second), 0);
    tls_stage_close(&c);
    certs_remove_folder();
}

/* Then no certificate is shown: it was, with a response. */
static void X13_X15_who_resumes_needs_no_response_again(void)
{
    struct tls_stage c;
    struct actor second, guest;
    need_www();
    pair_init(&c, WWW(.ocsp_file = staple(www, authority, CERT_GOOD, 0)),
              TRUSTING(.require_ocsp = true));
    stage_add(&c.s, &second, false);
    stage_add(&c.s, &guest, true);
    pair_open(&c);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0);
    UNTIL(&c.s, c.s.client.received == 1);
    CHECK_INT(pair_connect(&c, &second), 0);
    CHECK(info_of(&second).resumed);
    tls_stage_close(&c);
    certs_remove_folder();
}

const struct test_case test_cases[] = {
    CASE(X13_a_good_response_is_taken),
    CASE(X13_no_response_is_a_failure),
    CASE(X13_a_revoked_or_unknown_certificate_is_refused),
    CASE(X13_a_response_that_others_have_signed_is_refused),
    CASE(X13_a_response_about_another_certificate_is_refused),
    CASE(X13_a_response_of_another_day_is_refused),
    CASE(X13_a_response_without_an_end_is_good_for_a_week),
    CASE(X11_a_server_does_not_send_one_that_is_over),
    CASE(X11_a_file_that_is_no_response_is_refused),
    CASE(X11_a_reload_reads_the_response_anew),
    CASE(X13_X15_who_resumes_needs_no_response_again),
    TEST_END,
};
