/* OpenSSL's queue of errors in words: contract X6, X45. */
#include "tests/support/test.h"
#include "transports/tls/tls.h"
#include "transports/tls/words.h"
#include <string.h>

/* What is said of the queue as it is; it is empty after that. */
static void check(int code, int detail, const char *text)
{
    struct eddy_error e = {.code = 1};
    CHECK_INT(tls_report(NULL, "TLS test", &e), code);
    CHECK_INT(e.code, code);
    CHECK_INT(e.detail, detail);
    CHECK_STR(e.text, text);
    CHECK_INT(ERR_peek_error(), 0);
}

static void X6_the_first_entry_is_the_cause(void)
{
    ERR_clear_error();
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    ERR_raise(ERR_LIB_SSL, ERR_R_INTERNAL_ERROR);
    check(EDDY_ETLS, SSL_R_NO_SHARED_CIPHER, "TLS test: no cipher in common");
}

/* TLS 1.2: the cipher fails first, and the record is why. */
static void X6_a_damaged_record_is_said_last(void)
{
    ERR_raise(ERR_LIB_PROV, 1);
    ERR_raise(ERR_LIB_SSL, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    check(EDDY_ETLS, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
          "TLS test: a record was damaged or forged");
}

/* OpenSSL 3.2 and later: one more is behind it, which says nothing. */
static void X6_that_the_record_layer_has_failed_is_no_cause(void)
{
    enum { RECORD_LAYER_FAILURE = 313 };
    ERR_raise(ERR_LIB_PROV, 1);
    ERR_raise(ERR_LIB_SSL, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    ERR_raise(ERR_LIB_SSL, RECORD_LAYER_FAILURE);
    check(EDDY_ETLS, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
          "TLS test: a record was damaged or forged");
    ERR_raise(ERR_LIB_PROV, ERR_R_MALLOC_FAILURE);
    ERR_raise(ERR_LIB_SSL, RECORD_LAYER_FAILURE);
    check(-ENOMEM, 0, "TLS test: no memory");
}

static void check_verification(SSL *ssl, long result, int code)
{
    struct eddy_error e;
    SSL_set_verify_result(ssl, result);
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    CHECK_INT(tls_report(ssl, "TLS test", &e), code);
    CHECK_INT(e.code, code);
}

static void X6_what_cannot_be_verified_by_our_fault_is_no_bad_certificate(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    REQUIRE(ssl != NULL);
    check_verification(ssl, X509_V_ERR_CERT_HAS_EXPIRED, EDDY_ETLS_CERT);
    check_verification(ssl, X509_V_ERR_OUT_OF_MEM, -ENOMEM);
    check_verification(ssl, X509_V_ERR_UNSPECIFIED, EDDY_ETLS);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void X6_alerts_are_the_peers(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED);
    check(EDDY_ETLS, 1116, "TLS test: the peer sent alert: certificate required");
    ERR_raise(ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA);
    check(EDDY_ETLS, 1048, "TLS test: the peer sent alert: unknown CA");
}

static void X6_other_reasons_are_in_openssls_words(void)
{
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL); /* the words come with it */
    ERR_raise_data(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE, "more\n%s", "'of it'");
    check(EDDY_ETLS, SSL_R_BAD_SIGNATURE, "TLS test: bad signature (more\\x0a\\x27of it\\x27)");
    ERR_raise(ERR_LIB_SYS, ENOENT);
    check(EDDY_ETLS, ENOENT, "TLS test: No such file or directory");
}

static void X6_an_empty_queue_is_no_error_0(void)
{
    ERR_clear_error();
    check(EDDY_ETLS, 0, "TLS test: OpenSSL gives no reason");
    ERR_raise(ERR_LIB_USER, 4711); /* nobody has words for it */
    struct eddy_error e;
    tls_report(NULL, "TLS test", &e);
    CHECK(strstr(e.text, "4711") == NULL && strstr(e.text, "error:") == NULL);
}

static void X6_no_memory_wherever_it_is_said(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
    ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
    ERR_raise(ERR_LIB_SSL, ERR_R_EVP_LIB);
    check(-ENOMEM, 0, "TLS test: no memory");
}

static void X6_without_anybody_to_tell(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
    CHECK_INT(tls_report(NULL, "TLS test", NULL), EDDY_ETLS);
    CHECK_INT(ERR_peek_error(), 0);
}

static void X6_words_are_cut_where_the_room_ends(void)
{
    char buf[8];
    struct words w;
    words_begin(&w, buf, sizeof buf);
    words_put(&w, "abc");
    words_quote(&w, "d\0e", 3, 20);
    words_put(&w, "more");
    CHECK_STR(buf, "abcd\\x0");
    words_begin(&w, buf, sizeof buf);
    words_quote(&w, "abcdefgh", 8, 6);
    CHECK_STR(buf, "abc...");
}

const struct test_case test_cases[] = {
    TEST(X6_the_first_entry_is_the_cause),
    TEST(X6_alerts_are_the_peers),
    TEST(X6_other_reasons_are_in_openssls_words),
    TEST(X6_an_empty_queue_is_no_error_0),
    TEST(X6_no_memory_wherever_it_is_said),
    TEST(X6_without_anybody_to_tell),
    TEST(X6_words_are_cut_where_the_room_ends),
    TEST(X6_a_damaged_record_is_said_last),
    TEST(X6_that_the_record_layer_has_failed_is_no_cause),
    TEST(X6_what_cannot_be_verified_by_our_fault_is_no_bad_certificate),
    TEST_END,
};
