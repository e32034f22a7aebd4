/* OpenSSL's queue of errors, as one sentence that says what is wrong. */
#include "transports/tls/tls.h"

#include "transports/tls/words.h"
#include <errno.h>
#include <string.h>

#define OP "tls"
#define DATA_MAX 60

/* Since OpenSSL 3.2, which may be met by what was built with an older one. */
#ifndef SSL_R_RECORD_LAYER_FAILURE
#define SSL_R_RECORD_LAYER_FAILURE 313
#endif

/* Reasons whose own words say little to whoever has not written OpenSSL. */
static const struct {
    int reason;
    const char *text;
} sentences[] = {
    {SSL_R_UNSUPPORTED_PROTOCOL, "no version in common"},
    {SSL_R_WRONG_SSL_VERSION, "no version in common"},
    {SSL_R_VERSION_TOO_LOW, "no version in common"},
    {SSL_R_VERSION_TOO_HIGH, "no version in common"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, "no version is allowed"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher in common"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "no group for the key exchange in common"},
    {SSL_R_NO_SHARED_GROUPS, "no group for the key exchange in common"},
    {SSL_R_NO_SUITABLE_GROUPS, "no group for the key exchange in common"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no kind of signature in common"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no kind of signature in common"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no application protocol (ALPN) in common"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client has shown no certificate"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record was damaged or forged"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, "the peer has ended the connection"},
    {SSL_R_NO_RENEGOTIATION, "the peer wants to renegotiate"},
    {SSL_R_RECORD_TOO_SMALL, "the peer floods us with empty records"},
    {SSL_R_TOO_MANY_WARN_ALERTS, "the peer floods us with alerts"},
};

/* What a record looks like that is none: another protocol's first bytes. */
static const int no_tls[] = {
    SSL_R_HTTP_REQUEST,           SSL_R_HTTPS_PROXY_REQUEST,       SSL_R_WRONG_VERSION_NUMBER,
    SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_DATA_LENGTH_TOO_LONG,      SSL_R_RECORD_LENGTH_MISMATCH,
    SSL_R_UNKNOWN_PROTOCOL,       SSL_R_ENCRYPTED_LENGTH_TOO_LONG, SSL_R_BAD_RECORD_TYPE,
};

static bool is_no_tls(const SSL *ssl, int reason)
{
    if (!ssl || SSL_is_init_finished(ssl))
        return false;
    for (size_t i = 0; i < sizeof no_tls / sizeof *no_tls; i++)
        if (no_tls[i] == reason)
            return true;
    return false;
}

static const char *sentence(const SSL *ssl, int reason)
{
    if (is_no_tls(ssl, reason))
        return "the peer is not speaking TLS";
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
        if (sentences[i].reason == reason)
            return sentences[i].text;
    return NULL;
}

/* OpenSSL's own words, for what they are worth. */
static void put_reason(struct words *w, unsigned long e, const char *data)
{
    const char *text =
        ERR_SYSTEM_ERROR(e) ? eddy_strerror(-ERR_GET_REASON(e)) : ERR_reason_error_string(e);

    if (!text)
        text = ERR_lib_error_string(e);
    words_put(w, text ? text : "OpenSSL gives no reason");
    if (data && *data) {
        words_put(w, " (");
        words_quote(w, data, strlen(data), DATA_MAX);
        words_put(w, ")");
    }
}

/* What OpenSSL 3.0 does not know by name. */
static const char *alert_text(int alert)
{
    switch (alert) {
    case SSL_AD_MISSING_EXTENSION:
        return "missing extension";
    case SSL_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return "no application protocol";
    case SSL_AD_INAPPROPRIATE_FALLBACK:
        return "inappropriate fallback";
    default:
        return SSL_alert_desc_string_long(alert);
    }
}

static void put_cause(struct words *w, const SSL *ssl, unsigned long e, const char *data)
{
    int reason = ERR_GET_REASON(e);
    bool is_ssl = ERR_GET_LIB(e) == ERR_LIB_SSL;
    const char *text = is_ssl ? sentence(ssl, reason) : NULL;

    if (text)
        words_put(w, text);
    else if (is_ssl && reason >= SSL_AD_REASON_OFFSET)
        words_printf(w, "the peer sent alert: %s", alert_text(reason - SSL_AD_REASON_OFFSET));
    else
        put_reason(w, e, data);
}

/* These are said last: what was found on the way, as a bad signature, is older, and says less. */
static bool is_last(int reason)
{
    unsigned long e = ERR_peek_last_error();

    return ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == reason;
}

/* TLS 1.2: the cipher complains first, and the record layer says behind it what that means. */
static void drop_words_of_ciphers(void)
{
    unsigned long e;

    if (!is_last(SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC) && !is_last(SSL_R_RECORD_LAYER_FAILURE))
        return;
    while (ERR_GET_LIB(e = ERR_peek_error()) != ERR_LIB_SSL &&
           ERR_GET_REASON(e) != ERR_R_MALLOC_FAILURE)
        ERR_get_error();
}

/* What has kept us from looking at the certificate is no fault of its. */
static int code_of_verification(long result)
{
    return result == X509_V_ERR_OUT_OF_MEM    ? -ENOMEM
           : result == X509_V_ERR_UNSPECIFIED ? EDDY_ETLS
                                              : EDDY_ETLS_CERT;
}

/* Any of the errors may say so, and then it is behind the others. */
bool tls_was_short_of_memory(void)
{
    bool short_of_it = false;
    unsigned long e;

    while ((e = ERR_get_error()) != 0)
        if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
            short_of_it = true;
    return short_of_it;
}

/* Ours: a callback of OpenSSL's had a reason of its own to say no. */
static const struct eddy_error *own_error(const SSL *ssl)
{
    const struct tls_layer *l = ssl ? tls_of(ssl) : NULL;

    return l ? l->verify_error : NULL;
}

int tls_report(SSL *ssl, const char *doing, struct eddy_error *ret)
{
    const char *data = NULL;
    int flags = 0, code = EDDY_ETLS;
    const struct eddy_error *own = own_error(ssl);
    char cause[EDDY_ERROR_TEXT];
    struct words w;

    drop_words_of_ciphers();
    unsigned long e = ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);
    int detail = ERR_GET_REASON(e);
    words_begin(&w, cause, sizeof cause - strlen(doing) - strlen(": "));
    if (own) {
        code = own->code;
        detail = own->detail;
        words_put(&w, own->text);
    } else if (ssl && is_last(SSL_R_CERTIFICATE_VERIFY_FAILED)) {
        detail = (int)SSL_get_verify_result(ssl);
        code = code_of_verification(detail);
        words_put(&w, "certificate verify failed: ");
        tls_verify_explain(ssl, w.at, (size_t)(w.end - w.at));
    } else {
        put_cause(&w, ssl, e, flags & ERR_TXT_STRING ? data : NULL);
    }
    if (tls_was_short_of_memory() || code == -ENOMEM)
        return eddy_error_set(ret, -ENOMEM, OP, "%s: no memory", doing);
    eddy_error_set(ret, code, OP, "%s: %s", doing, cause);
    if (ret)
        ret->detail = detail;
    return code;
}
