/* backends: epoll sim */
/* timeout: 120 */
/* What is verified, and what is refused from the beginning: contract X11 to X13, and each rule that
 * holds without having been asked for. */
#include "tests/contract/tls_pair.h"
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILED "TLS handshake: certificate verify failed: "

/* A handshake under these contexts; `host`: NULL for www.test. */
static void check_accepted(const struct eddy_tls_opts *server, const struct eddy_tls_opts *client,
                           const char *host)
{
    struct tls_stage c;
    pair_init(&c, server, client);
    if (host)
        c.s.connection_opts.server_hostname = host;
    pair_open(&c);
    CHECK(info_of(&c.s.client).verified);
    tls_stage_close(&c);
}

/* The client refuses, with this detail and this sentence, of which `host` is part; and the server
 * hears of it by an alert. */
static void check_refused(const struct eddy_tls_opts *server, const struct eddy_tls_opts *client,
                          const char *host, int detail, const char *sentence)
{
    struct tls_stage c;
    pair_init(&c, server, client);
    if (host)
        c.s.connection_opts.server_hostname = host;
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS_CERT);
    CHECK_INT(c.s.client.error.detail, detail);
    begins(c.s.client.error.text, sentence);
    CHECK_INT(c.s.client.count[ON_MADE], 0);
    CHECK(strstr(pair_problem(&c), "the peer sent alert: ") != NULL);
    CHECK_INT(c.s.problems.code, EDDY_ETLS);
    CHECK_INT(c.s.peer.count[ON_MADE], 0);
    tls_stage_close(&c);
}

/* ---- names ---- */

static void X13_chain_and_name_are_verified(void)
{
    need_www();
    check_accepted(WWW(), TRUSTING(), NULL);
    check_accepted(WWW(), TRUSTING(), "WWW.TEST.");
}

static void X13_E18_a_certificate_for_others_is_refused_and_whom_it_is_for_said(void)
{
    need_www();
    check_refused(WWW(), TRUSTING(), "mail.test", X509_V_ERR_HOSTNAME_MISMATCH,
                  FAILED "certificate is not valid for 'mail.test' (valid for: www.test, "
                         "*.wild.test, 127.0.0.1)");
}

static void X13_a_wildcard_is_for_one_label(void)
{
    const int detail = X509_V_ERR_HOSTNAME_MISMATCH;
    need_www();
    check_accepted(WWW(), TRUSTING(), "a.wild.test");
    check_refused(WWW(), TRUSTING(), "wild.test", detail, FAILED);
    check_refused(WWW(), TRUSTING(), "a.b.wild.test", detail, FAILED);
}

static void X13_a_wildcard_is_not_for_a_part_of_a_label(void)
{
    need_www();
    struct cert *part = cert_new(CERT(.names = "w*.part.test", .issuer = authority));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(part)), TRUSTING(), "www.part.test",
                  X509_V_ERR_HOSTNAME_MISMATCH,
                  FAILED "certificate is not valid for 'www.part.test' (valid for: w*.part.test)");
    cert_free(part);
}

static void X13_the_common_name_is_no_name(void)
{
    need_www();
    struct cert *old = cert_new(CERT(.cn = "www.test", .issuer = authority));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(old)), TRUSTING(), NULL, X509_V_ERR_HOSTNAME_MISMATCH,
                  FAILED "certificate is not valid for 'www.test' (valid for: no name)");
    cert_free(old);
}

static void X13_addresses_are_verified_as_such_and_not_asked_for(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    c.s.connection_opts.server_hostname = NULL; /* .host: 127.0.0.1 */
    pair_open(&c);
    CHECK(info_of(&c.s.client).verified);
    CHECK(info_of(&c.s.peer).server_hostname == NULL);
    tls_stage_close(&c);

    check_refused(WWW(), TRUSTING(), "127.0.0.2", X509_V_ERR_IP_ADDRESS_MISMATCH,
                  FAILED "certificate is not valid for '127.0.0.2' (valid for: ");
    struct cert *six = cert_new(CERT(.names = "::1, fe80::1", .issuer = authority));
    check_accepted(EDDY_TLS_SERVER(CERT_PEM(six)), TRUSTING(), "::1");
    check_accepted(EDDY_TLS_SERVER(CERT_PEM(six)), TRUSTING(), "fe80::1%lo");
    check_refused(EDDY_TLS_SERVER(CERT_PEM(six)), TRUSTING(), "::2", X509_V_ERR_IP_ADDRESS_MISMATCH,
                  FAILED "certificate is not valid for '::2' (valid for: ::1, fe80::1)");
    cert_free(six);
}

static void X13_no_name_check_leaves_the_chain_to_be_verified_and_is_logged(void)
{
    struct tls_stage c;
    need_www();
    test_expect_log("is not verified to be for that name");
    pair_init(&c, WWW(), TRUSTING());
    c.s.connection_opts.server_hostname = "mail.test";
    c.s.connection_opts.no_name_check = true;
    pair_open(&c);
    CHECK(info_of(&c.s.client).verified);
    tls_stage_close(&c);

    struct cert *stranger = cert_new(CERT(.names = "mail.test"));
    pair_init(&c, EDDY_TLS_SERVER(CERT_PEM(stranger)), TRUSTING());
    c.s.connection_opts.no_name_check = true;
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS_CERT);
    pair_problem(&c);
    tls_stage_close(&c);
    cert_free(stranger);
}

static void X11_without_verification_everything_is_taken_and_a_warning_logged(void)
{
    struct tls_stage c;
    need_www();
    test_expect_log("insecure: the certificate of www.test is not verified");
    struct cert *stranger = cert_new(CERT(.names = "mail.test", .expired = true));
    pair_init(&c, EDDY_TLS_SERVER(CERT_PEM(stranger)),
              EDDY_TLS_CLIENT(.insecure_no_verification = true));
    pair_open(&c);
    struct eddy_tls_info info = info_of(&c.s.client);
    CHECK(info.has_peer_cert && !info.verified);
    CHECK(info.verify_result != X509_V_OK);
    tls_stage_close(&c);
    cert_free(stranger);
}

/* ---- chains ---- */

static void X13_an_expired_certificate_is_refused(void)
{
    need_www();
    struct cert *old = cert_new(CERT(.names = "www.test", .issuer = authority, .expired = true));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(old)), TRUSTING(), NULL, X509_V_ERR_CERT_HAS_EXPIRED,
                  FAILED "certificate has expired: 'CN=www.test' on 20");
    cert_free(old);
}

static void X13_a_certificate_of_tomorrow_is_refused(void)
{
    need_www();
    struct cert *young =
        cert_new(CERT(.names = "www.test", .issuer = authority, .not_yet_valid = true));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(young)), TRUSTING(), NULL, X509_V_ERR_CERT_NOT_YET_VALID,
                  FAILED "certificate is not yet valid: 'CN=www.test' before 20");
    cert_free(young);
}

static void X13_one_that_has_signed_itself_is_refused(void)
{
    need_www();
    struct cert *own = cert_new(CERT(.names = "www.test"));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(own)), TRUSTING(), NULL,
                  X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
                  FAILED "self-signed certificate: 'CN=www.test'");
    cert_free(own);
}

static void X13_an_authority_that_is_not_trusted_is_named(void)
{
    need_www();
    check_refused(WWW(), EDDY_TLS_CLIENT(CERT_TRUST(the_authority)), NULL,
                  X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                  FAILED "unable to get local issuer certificate: 'CN=www' is issued by "
                         "'CN=Authority'");
}

static void X13_an_intermediate_certificate_must_be_sent(void)
{
    need_www();
    struct cert *middle = cert_new(CERT(.cn = "Middle", .ca = true, .issuer = authority));
    struct cert *leaf = cert_new(CERT(.names = "www.test", .issuer = middle));
    check_accepted(EDDY_TLS_SERVER(CERT_PEM(leaf)), TRUSTING(), NULL);
    check_refused(EDDY_TLS_SERVER(.cert_pem = cert_pem(leaf),
                                  .cert_pem_len = strlen(cert_pem(leaf)), .key_pem = cert_key(leaf),
                                  .key_pem_len = strlen(cert_key(leaf))),
                  TRUSTING(), NULL, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                  FAILED "unable to get local issuer certificate: 'CN=www.test' is issued by "
                         "'CN=Middle'");
    cert_free(leaf);
    cert_free(middle);
}

static void X13_an_expired_intermediate_certificate_is_the_one_that_is_named(void)
{
    need_www();
    struct cert *middle =
        cert_new(CERT(.cn = "Middle", .ca = true, .issuer = authority, .expired = true));
    struct cert *leaf = cert_new(CERT(.names = "www.test", .issuer = middle));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(leaf)), TRUSTING(), NULL, X509_V_ERR_CERT_HAS_EXPIRED,
                  FAILED "certificate has expired: 'CN=Middle' on 20");
    cert_free(leaf);
    cert_free(middle);
}

static void X13_who_is_no_authority_cannot_sign(void)
{
    need_www();
    struct cert *leaf = cert_new(CERT(.names = "mail.test", .issuer = www));
    check_refused(EDDY_TLS_SERVER(.cert_pem = cert_chain(leaf),
                                  .cert_pem_len = strlen(cert_chain(leaf)),
                                  .key_pem = cert_key(leaf), .key_pem_len = strlen(cert_key(leaf))),
                  TRUSTING(), "mail.test", X509_V_ERR_INVALID_CA,
                  FAILED "invalid CA certificate: in the chain of 'CN=mail.test'");
    cert_free(leaf);
}

static void X13_a_forged_signature_is_refused(void)
{
    need_www();
    struct cert *forged =
        cert_new(CERT(.names = "www.test", .issuer = authority, .wrong_signature = true));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(forged)), TRUSTING(), NULL,
                  X509_V_ERR_CERT_SIGNATURE_FAILURE,
                  FAILED "certificate signature failure: in the chain of 'CN=www.test'");
    cert_free(forged);
}

static void X13_a_certificate_for_clients_is_none_for_servers(void)
{
    need_www();
    struct cert *client = cert_new(CERT(.names = "www.test", .issuer = authority, .client = true));
    check_refused(EDDY_TLS_SERVER(CERT_PEM(client)), TRUSTING(), NULL, X509_V_ERR_INVALID_PURPOSE,
                  FAILED);
    cert_free(client);
}

static void X11_a_revoked_certificate_is_refused(void)
{
    need_www();
    struct cert *lost = cert_new(CERT(.names = "www.test", .issuer = authority));
    char *list = cert_crl(authority, lost);
    const char *file = certs_write_text("list.pem", list);
    check_refused(EDDY_TLS_SERVER(CERT_PEM(lost)), TRUSTING(.crl_file = file), NULL,
                  X509_V_ERR_CERT_REVOKED,
                  FAILED "certificate revoked: in the chain of 'CN=www.test'");
    check_accepted(WWW(), TRUSTING(.crl_file = file), NULL);
    free(list);
    cert_free(lost);
    certs_remove_folder();
}

static void X11_with_revocation_lists_each_issuer_must_have_one(void)
{
    need_www();
    struct cert *middle = cert_new(CERT(.cn = "Middle", .ca = true, .issuer = authority));
    struct cert *leaf = cert_new(CERT(.names = "www.test", .issuer = middle));
    char *list = cert_crl(authority, NULL);
    const char *file = certs_write_text("list.pem", list);
    check_refused(EDDY_TLS_SERVER(CERT_PEM(leaf)), TRUSTING(.crl_file = file), NULL,
                  X509_V_ERR_UNABLE_TO_GET_CRL, FAILED "unable to get certificate CRL: ");
    free(list);
    cert_free(leaf);
    cert_free(middle);
    certs_remove_folder();
}

/* A server that has such a certificate, which ours would not. */
static void check_weak(const struct cert *weak, int detail, const char *sentence)
{
    struct tls_stage c;
    struct wire w;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    REQUIRE(ctx != NULL);
    SSL_CTX_set_security_level(ctx, 0);
    REQUIRE(SSL_CTX_use_certificate(ctx, cert_x509(weak)) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(ctx, cert_pkey(weak)) == 1);
    pair_init(&c, WWW(), TRUSTING());
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    REQUIRE(actor_connect(&c.s.client) == 0);
    wire_begin(&w, &c.s, raw_accept(&c.s, listener), ctx, true);
    wire_handshake(&w);
    UNTIL(&c.s, c.s.client.done);
    CHECK_INT(c.s.client.status, EDDY_ETLS_CERT);
    CHECK_INT(c.s.client.error.detail, detail);
    begins(c.s.client.error.text, sentence);
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

static void X11_a_short_key_is_refused(void)
{
    need_www();
    struct cert *weak =
        cert_new(CERT(.names = "www.test", .issuer = authority, .kind = CERT_RSA_1024));
    check_weak(weak, X509_V_ERR_EE_KEY_TOO_SMALL,
               FAILED "EE certificate key too weak: in the chain of 'CN=www.test'");
    cert_free(weak);
}

static void X11_a_signature_by_sha1_is_refused(void)
{
    need_www();
    struct cert *weak = cert_new(CERT(.names = "www.test", .issuer = authority, .sha1 = true));
    check_weak(weak, X509_V_ERR_CA_MD_TOO_WEAK,
               FAILED "CA signature digest algorithm too weak: in the chain of 'CN=www.test'");
    cert_free(weak);
}

/* ---- clients' certificates ---- */

static void X11_a_client_without_a_certificate_is_refused_where_it_must_have_one(void)
{
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++) {
        struct tls_stage c;
        need_www();
        pair_init(&c, WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
                  TRUSTING(.max_version = version));
        pair_begin(&c);
        int status = pair_connect(&c, &c.s.client);
        CHECK_STR(pair_problem(&c), "TLS handshake: the client has shown no certificate");
        CHECK_INT(c.s.problems.code, EDDY_ETLS);
        if (version == EDDY_TLS_1_3) { /* the alert comes when it believes to be connected */
            CHECK_INT(status, 0);
            UNTIL_LOST(&c.s, &c.s.client);
            CHECK_STR(c.s.client.error.text, "TLS: the peer sent alert: certificate required");
        } else {
            CHECK_INT(status, EDDY_ETLS);
            CHECK_STR(c.s.client.error.text,
                      "TLS handshake: the peer sent alert: handshake failure");
        }
        CHECK_INT(c.s.peer.count[ON_MADE], 0);
        tls_stage_close(&c);
    }
}

static void check_client(const struct cert *client, enum eddy_tls_clients rule,
                         const char *sentence)
{
    struct tls_stage c;
    struct eddy_tls_opts o = *TRUSTING();
    if (client) {
        o.cert_pem = cert_chain(client);
        o.cert_pem_len = strlen(cert_chain(client));
        o.key_pem = cert_key(client);
        o.key_pem_len = strlen(cert_key(client));
    }
    pair_init(&c, WWW(CERT_TRUST(authority), .clients = rule), &o);
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), 0);
    if (sentence) {
        begins(pair_problem(&c), sentence);
        CHECK_INT(c.s.problems.code, EDDY_ETLS_CERT);
        UNTIL_LOST(&c.s, &c.s.client);
        begins(c.s.client.error.text, "TLS: the peer sent alert: ");
    } else {
        UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
        CHECK(info_of(&c.s.peer).verified == (client != NULL));
        CHECK(info_of(&c.s.peer).has_peer_cert == (client != NULL));
    }
    tls_stage_close(&c);
}

static void X11_clients_certificates_are_verified(void)
{
    need_www();
    struct cert *client = cert_new(CERT(.cn = "client", .issuer = authority, .client = true));
    struct cert *stranger = cert_new(CERT(.cn = "stranger", .issuer = the_authority));
    check_client(client, EDDY_TLS_CLIENTS_MUST_HAVE, NULL);
    check_client(client, EDDY_TLS_CLIENTS_MAY_HAVE, NULL);
    check_client(NULL, EDDY_TLS_CLIENTS_MAY_HAVE, NULL);
    check_client(stranger, EDDY_TLS_CLIENTS_MAY_HAVE,
                 FAILED "unable to get local issuer certificate: 'CN=stranger' is issued by "
                        "'CN=authority'");
    cert_free(client);
    cert_free(stranger);
}

/* ---- versions, ciphers, groups ---- */

/* A client as others have them meets our server. */
static void check_server_refuses(void (*prepare)(SSL_CTX *ctx), const char *sentence)
{
    struct tls_stage c;
    struct wire w;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    REQUIRE(ctx != NULL);
    need_www();
    SSL_CTX_set_security_level(ctx, 0);
    prepare(ctx);
    pair_init(&c, WWW(), TRUSTING());
    pair_begin(&c);
    wire_begin(&w, &c.s, raw_connect(&c.s), ctx, false);
    CHECK(wire_handshake(&w) != 1);
    CHECK_STR(pair_problem(&c), sentence);
    CHECK_INT(c.s.problems.code, EDDY_ETLS);
    wire_end(&w);
    tls_stage_close(&c);
}

static void speak_old(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
}

static void X12_servers_speak_TLS_1_2_or_newer(void)
{
    check_server_refuses(speak_old, "TLS handshake: no version in common");
}

static void X12_clients_speak_TLS_1_2_or_newer(void)
{
    struct tls_stage c;
    struct wire w;
    need_www();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    REQUIRE(ctx != NULL);
    SSL_CTX_set_security_level(ctx, 0);
    speak_old(ctx);
    SSL_CTX_use_certificate(ctx, cert_x509(www));
    SSL_CTX_use_PrivateKey(ctx, cert_pkey(www));
    pair_init(&c, WWW(), TRUSTING());
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    REQUIRE(actor_connect(&c.s.client) == 0);
    wire_begin(&w, &c.s, raw_accept(&c.s, listener), ctx, true);
    CHECK(wire_handshake(&w) != 1);
    UNTIL(&c.s, c.s.client.done);
    CHECK_INT(c.s.client.status, EDDY_ETLS);
    CHECK_STR(c.s.client.error.text, "TLS handshake: the peer sent alert: protocol version");
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

static void offer_cbc(SSL_CTX *ctx)
{
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA");
}

static void offer_no_forward_secrecy(SSL_CTX *ctx)
{
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, "AES128-GCM-SHA256:AES128-SHA");
}

static void offer_ccm8(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_CCM_8_SHA256");
}

static void X12_only_ECDHE_with_AEAD(void)
{
    check_server_refuses(offer_cbc, "TLS handshake: no cipher in common");
    check_server_refuses(offer_no_forward_secrecy, "TLS handshake: no cipher in common");
    check_server_refuses(offer_ccm8, "TLS handshake: no cipher in common");
}

static void offer_p521(SSL_CTX *ctx)
{
    SSL_CTX_set1_groups_list(ctx, "P-521");
}

static void X12_only_groups_that_are_known_to_be_good(void)
{
    check_server_refuses(offer_p521, "TLS handshake: no group for the key exchange in common");
}

static void X17_renegotiation_is_refused_and_compression_off(void)
{
    struct tls_stage c;
    struct wire w;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    c.s.peer.on[ON_DATA] = do_echo;
    stage_begin(&c.s);
    wire_client(&w, &c.s, raw_connect(&c.s), TLS1_2_VERSION);
    CHECK_INT(wire_handshake(&w), 1);
    UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
    CHECK(SSL_get_options(eddy_tls_ssl(c.s.peer.t)) & SSL_OP_NO_COMPRESSION);
    CHECK(SSL_get_options(eddy_tls_ssl(c.s.peer.t)) & SSL_OP_NO_RENEGOTIATION);
    CHECK(SSL_get_current_compression(w.ssl) == NULL);
    CHECK_INT(SSL_renegotiate(w.ssl), 1);
    CHECK(wire_handshake(&w) != 1); /* it takes the answer, a warning, for the end */
    CHECK_INT(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    CHECK_INT(c.s.peer.count[ON_LOST], 0);
    wire_end(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    tls_stage_close(&c);
}

static void X11_secrets_are_logged_by_an_explicit_path_alone(void)
{
    need_www();
    const char *file = certs_path("secrets");
    setenv("SSLKEYLOGFILE", file, 1);
    check_accepted(WWW(), TRUSTING(), NULL);
    unsetenv("SSLKEYLOGFILE");
    CHECK(access(file, F_OK) < 0);
    check_accepted(WWW(), TRUSTING(.keylog_file = file), NULL);
    CHECK(access(file, F_OK) == 0);
    certs_remove_folder();
}

const struct test_case test_cases[] = {
    CASE(X13_chain_and_name_are_verified),
    CASE(X13_E18_a_certificate_for_others_is_refused_and_whom_it_is_for_said),
    CASE(X13_a_wildcard_is_for_one_label),
    CASE(X13_a_wildcard_is_not_for_a_part_of_a_label),
    CASE(X13_the_common_name_is_no_name),
    CASE(X13_addresses_are_verified_as_such_and_not_asked_for),
    CASE(X13_no_name_check_leaves_the_chain_to_be_verified_and_is_logged),
    CASE(X11_without_verification_everything_is_taken_and_a_warning_logged),
    CASE(X13_an_expired_certificate_is_refused),
    CASE(X13_a_certificate_of_tomorrow_is_refused),
    CASE(X13_one_that_has_signed_itself_is_refused),
    CASE(X13_an_authority_that_is_not_trusted_is_named),
    CASE(X13_an_intermediate_certificate_must_be_sent),
    CASE(X13_an_expired_intermediate_certificate_is_the_one_that_is_named),
    CASE(X13_who_is_no_authority_cannot_sign),
    CASE(X13_a_forged_signature_is_refused),
    CASE(X13_a_certificate_for_clients_is_none_for_servers),
    CASE(X11_a_revoked_certificate_is_refused),
    CASE(X11_with_revocation_lists_each_issuer_must_have_one),
    CASE(X11_a_short_key_is_refused),
    CASE(X11_a_signature_by_sha1_is_refused),
    CASE(X11_a_client_without_a_certificate_is_refused_where_it_must_have_one),
    CASE(X11_clients_certificates_are_verified),
    CASE(X12_servers_speak_TLS_1_2_or_newer),
    CASE(X12_clients_speak_TLS_1_2_or_newer),
    CASE(X12_only_ECDHE_with_AEAD),
    CASE(X12_only_groups_that_are_known_to_be_good),
    CASE(X17_renegotiation_is_refused_and_compression_off),
    CASE(X11_secrets_are_logged_by_an_explicit_path_alone),
    TEST_END,
};
