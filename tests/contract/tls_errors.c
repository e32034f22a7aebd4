/* backends: epoll sim */
/* What is said when a handshake fails: contract X6, X7, E19 to E21, X45. */
#include "tests/contract/tls_pair.h"
#include <openssl/x509_vfy.h>

/* ---- peers that do not speak it ---- */

static void check_server_gets(const void *bytes, size_t len, const char *sentence)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    pair_begin(&c);
    int fd = raw_connect(&c.s);
    raw_send(&c.s, fd, bytes, len);
    CHECK_STR(pair_problem(&c), sentence);
    CHECK_INT(c.s.problems.code, EDDY_ETLS);
    raw_close(&c.s, fd);
    tls_stage_close(&c);
}

#define NOT_TLS "TLS handshake: the peer is not speaking TLS"

static void X6_E19_a_client_that_speaks_something_else(void)
{
    check_server_gets("GET / HTTP/1.1\r\n\r\n", 18, NOT_TLS);
    check_server_gets("CONNECT www.test:443 HTTP/1.1\r\n\r\n", 33, NOT_TLS);
    check_server_gets("EHLO mail.test\r\n", 16, NOT_TLS);
    check_server_gets("\0\0\0\0\0\0\0\0\0\0\0\0", 12, NOT_TLS);
    check_server_gets("\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00\x00", 12, NOT_TLS);
}

static void check_client_gets(const void *bytes, size_t len, int code, const char *sentence)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    REQUIRE(actor_connect(&c.s.client) == 0);
    int fd = raw_accept(&c.s, listener);
    raw_send(&c.s, fd, bytes, len);
    UNTIL(&c.s, c.s.client.done);
    CHECK_INT(c.s.client.status, code);
    CHECK_STR(c.s.client.error.text, sentence);
    raw_close(&c.s, fd);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

static void X6_a_server_that_speaks_something_else(void)
{
    check_client_gets("220 mail.test ESMTP\r\n", 21, EDDY_ETLS, NOT_TLS);
    check_client_gets("HTTP/1.1 400 Bad Request\r\n\r\n", 28, EDDY_ETLS, NOT_TLS);
}

/* An alert in plain text, as OpenSSL takes them before the keys are agreed on. */
static void X6_an_alert_is_put_into_words(void)
{
    check_client_gets("\x15\x03\x03\x00\x02\x02\x28", 7, EDDY_ETLS,
                      "TLS handshake: the peer sent alert: handshake failure");
    check_client_gets("\x15\x03\x03\x00\x02\x02\x70", 7, EDDY_ETLS,
                      "TLS handshake: the peer sent alert: unrecognized name");
    check_client_gets("\x15\x03\x03\x00\x02\x02\x78", 7, EDDY_ETLS,
                      "TLS handshake: the peer sent alert: no application protocol");
    check_client_gets("\x15\x03\x03\x00\x02\x02\x74", 7, EDDY_ETLS,
                      "TLS handshake: the peer sent alert: certificate required");
    check_client_gets("\x15\x03\x03\x00\x02\x02\x00", 7, EDDY_ETLS,
                      "TLS handshake: the peer sent alert: close notify");
}

static void X7_close_notify_in_answer_to_a_hello(void)
{
    check_client_gets("\x15\x03\x03\x00\x02\x01\x00", 7, -ECONNRESET,
                      "TLS handshake: the peer has closed the connection");
}

/* ---- nothing in common ---- */

static void check_neither(const struct eddy_tls_opts *server, const struct eddy_tls_opts *client,
                          const char *at_server, const char *at_client)
{
    struct tls_stage c;
    pair_init(&c, server, client);
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS);
    CHECK_STR(pair_problem(&c), at_server);
    CHECK_STR(c.s.client.error.text, at_client);
    CHECK(c.s.client.error.detail != 0);
    CHECK(strstr(c.s.client.error.text, "error:") == NULL);
    tls_stage_close(&c);
}

static void X6_nothing_in_common(void)
{
    need_www();
    check_neither(WWW(.min_version = EDDY_TLS_1_3), TRUSTING(.max_version = EDDY_TLS_1_2),
                  "TLS handshake: no version in common",
                  "TLS handshake: the peer sent alert: protocol version");
    check_neither(WWW(.suites = "TLS_AES_128_GCM_SHA256", .min_version = EDDY_TLS_1_3),
                  TRUSTING(.suites = "TLS_AES_256_GCM_SHA384", .min_version = EDDY_TLS_1_3),
                  "TLS handshake: no cipher in common",
                  "TLS handshake: the peer sent alert: handshake failure");
    check_neither(WWW(.groups = "P-384", .min_version = EDDY_TLS_1_3),
                  TRUSTING(.groups = "P-256", .min_version = EDDY_TLS_1_3),
                  "TLS handshake: no group for the key exchange in common",
                  "TLS handshake: the peer sent alert: handshake failure");
}

/* ---- names that somebody else has made up ---- */

static void X6_hostile_names_are_escaped_and_the_sentence_stays_whole(void)
{
    struct tls_stage c;
    char name[2048] = "", label[70];
    need_www();
    for (int i = 0; i < 20; i++) {
        snprintf(label, sizeof label, "%s%c%060d.test", i ? ", " : "", 'a' + i, i);
        strcat(name, label);
    }
    struct cert *evil = cert_new(CERT(.cn = "a'\n\x1b[31mb", .names = name, .issuer = authority));
    struct cert *odd = cert_new(CERT(.cn = "a'\n\x1b[31mb"));
    pair_init(&c, EDDY_TLS_SERVER(CERT_PEM(evil)), TRUSTING());
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS_CERT);
    const char *text = c.s.client.error.text;
    CHECK(strlen(text) < EDDY_ERROR_TEXT);
    CHECK(strstr(text, "certificate is not valid for 'www.test' (valid for: a0") != NULL);
    CHECK_STR(text + strlen(text) - 4, "...)");
    pair_problem(&c);
    tls_stage_close(&c);

    pair_init(&c, EDDY_TLS_SERVER(CERT_PEM(odd)), TRUSTING());
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS_CERT);
    for (const char *p = c.s.client.error.text; *p; p++)
        CHECK(*p >= ' ' && *p <= '~');
    pair_problem(&c);
    tls_stage_close(&c);
    cert_free(evil);
    cert_free(odd);
}

/* ---- entries of somebody else in the queue ---- */

static void litter(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
}

/* A record comes in two pieces: of the first OpenSSL says that it wants more, which nothing but the
 * queue tells from a failure. */
static void X45_what_was_in_the_queue_is_of_nobody_else(void)
{
    struct tls_stage c;
    struct wire w;
    char record[200];
    size_t n;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    tls_stage_open_wire(&c, &w, 0);
    CHECK_INT(SSL_write_ex(w.ssl, "0123456789", 10, &n), 1);
    int len = BIO_read(SSL_get_wbio(w.ssl), record, sizeof record);
    REQUIRE(len > 20);
    raw_send(&c.s, w.fd, record, 20);
    litter();
    stage_settle(&c.s);
    CHECK_INT(c.s.peer.count[ON_LOST], 0);
    litter();
    raw_send(&c.s, w.fd, record + 20, (size_t)len - 20);
    UNTIL(&c.s, c.s.peer.received == 10);
    litter();
    CHECK_INT(eddy_transport_write(c.s.peer.t, "0123456789", 10), 0);
    CHECK_INT(wire_read(&w, record, 10), 10);
    ERR_clear_error();
    wire_end(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(X6_E19_a_client_that_speaks_something_else),
    CASE(X6_a_server_that_speaks_something_else),
    CASE(X6_an_alert_is_put_into_words),
    CASE(X7_close_notify_in_answer_to_a_hello),
    CASE(X6_nothing_in_common),
    CASE(X6_hostile_names_are_escaped_and_the_sentence_stays_whole),
    CASE(X45_what_was_in_the_queue_is_of_nobody_else),
    TEST_END,
};
