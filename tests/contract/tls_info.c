/* backends: epoll sim */
/* What can be asked of an encrypted connection, and its keys: contract X14, X16, X17, X20. */
#include "tests/contract/tls_pair.h"
#include <openssl/x509_vfy.h>

static void X16_what_was_agreed_on_is_told(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    pair_open(&c);
    struct eddy_tls_info a = info_of(&c.s.client), b = info_of(&c.s.peer);
    CHECK_STR(a.version, "TLSv1.3");
    CHECK_STR(b.version, "TLSv1.3");
    CHECK_STR(a.cipher, b.cipher);
    CHECK_STR(a.cipher, "TLS_AES_256_GCM_SHA384");
    CHECK_INT(a.secret_bits, 256);
    CHECK_STR(a.group, b.group);
    CHECK(a.group && strcasecmp(a.group, "x25519") == 0);
    CHECK_STR(a.server_hostname, "www.test");
    CHECK_STR(b.server_hostname, "www.test");
    CHECK(!a.server_side && b.server_side);
    CHECK(!a.resumed && !a.early_data && !a.alpn);
    CHECK(a.has_peer_cert && a.verified && a.verify_result == X509_V_OK);
    CHECK(!b.has_peer_cert && !b.verified && b.verify_result == X509_V_OK);
    CHECK(eddy_tls_of(c.s.client.t) == c.client && eddy_tls_of(c.s.peer.t) == c.server);
    CHECK(eddy_tls_ssl(c.s.client.t) != NULL);
    tls_stage_close(&c);
}

static void ask_in_lost(struct actor *a)
{
    struct eddy_tls_info info;
    struct eddy_tls_cert *cert = NULL;
    CHECK_INT(eddy_tls_info(a->t, &info), 0);
    CHECK_STR(info.version, "TLSv1.3");
    CHECK_INT(eddy_tls_peer_cert(a->t, 0, &cert), a == &a->stage->client ? 0 : -ENOENT);
    eddy_tls_cert_free(cert);
    CHECK(eddy_tls_of(a->t) != NULL);
    CHECK_INT(eddy_tls_update_keys(a->t, true), EDDY_ECLOSED);
}

static void X16_after_the_end_it_is_still_told(void)
{
    void (*const ends[])(struct actor * a) = {do_close, do_abort};
    for (int i = 0; i < 2; i++) {
        struct tls_stage c;
        need_www();
        pair_init(&c, WWW(), TRUSTING());
        c.s.client.on[ON_LOST] = c.s.peer.on[ON_LOST] = ask_in_lost;
        pair_open(&c);
        ends[i](&c.s.client);
        UNTIL_LOST(&c.s, &c.s.client);
        UNTIL_LOST(&c.s, &c.s.peer);
        tls_stage_close(&c);
    }
}

static void X16_of_others_nothing_is_told(void)
{
    struct stage s;
    struct eddy_tls_info info;
    struct eddy_tls_cert *cert;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_tls_info(s.client.t, &info), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_peer_cert(s.client.t, 0, &cert), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_update_keys(s.client.t, false), EDDY_ENOT_SUPPORTED);
    CHECK(eddy_tls_of(s.client.t) == NULL && eddy_tls_ssl(s.client.t) == NULL);
    CHECK_INT(eddy_tls_info(NULL, &info), -EINVAL);
    CHECK_INT(eddy_tls_info(s.client.t, NULL), -EINVAL);
    CHECK_INT(eddy_tls_peer_cert(NULL, 0, &cert), -EINVAL);
    CHECK_INT(eddy_tls_peer_cert(s.client.t, 0, NULL), -EINVAL);
    CHECK_INT(eddy_tls_update_keys(NULL, false), -EINVAL);
    CHECK(eddy_tls_of(NULL) == NULL && eddy_tls_ssl(NULL) == NULL);
    eddy_tls_cert_free(NULL);
    stage_close(&s);
}

static void X16_certificates_are_told_in_words(void)
{
    struct tls_stage c;
    struct eddy_tls_cert *cert, *above;
    need_www();
    struct cert *middle = cert_new(CERT(.cn = "Middle", .ca = true, .issuer = authority));
    struct cert *leaf = cert_new(CERT(.cn = "leaf", .names = "www.test, ::1, 10.0.0.1",
                                      .issuer = middle, .serial = 0xabcdef));
    pair_init(&c, EDDY_TLS_SERVER(CERT_PEM(leaf)), TRUSTING());
    pair_open(&c);
    REQUIRE(eddy_tls_peer_cert(c.s.client.t, 0, &cert) == 0);
    CHECK_STR(cert->subject, "CN=leaf");
    CHECK_STR(cert->issuer, "CN=Middle");
    CHECK_STR(cert->serial, "ABCDEF");
    CHECK_STR(cert->names[0], "www.test");
    CHECK_STR(cert->names[1], "::1");
    CHECK_STR(cert->names[2], "10.0.0.1");
    CHECK(cert->names[3] == NULL);
    CHECK(cert->not_before < time(NULL) && cert->not_after > time(NULL));
    const unsigned char *der = cert->der;
    X509 *x = d2i_X509(NULL, &der, (long)cert->der_len);
    CHECK(x && X509_cmp(x, cert_x509(leaf)) == 0);
    X509_free(x);
    unsigned char digest[32];
    CHECK(X509_digest(cert_x509(leaf), EVP_sha256(), digest, NULL));
    CHECK(memcmp(digest, cert->sha256, 32) == 0);
    CHECK_INT(eddy_tls_peer_cert(c.s.client.t, 1, &above), 0);
    CHECK_STR(above->subject, "CN=Middle");
    CHECK(above->names[0] == NULL);
    eddy_tls_cert_free(above);
    CHECK_INT(eddy_tls_peer_cert(c.s.client.t, 2, &above), -ENOENT);
    CHECK_INT(eddy_tls_peer_cert(c.s.peer.t, 0, &above), -ENOENT);
    test_fail_allocation(1);
    CHECK_INT(eddy_tls_peer_cert(c.s.client.t, 0, &above), -ENOMEM);
    eddy_tls_cert_free(cert);
    tls_stage_close(&c);
    cert_free(leaf);
    cert_free(middle);
}

static void X16_a_server_has_its_clients_chain_as_well(void)
{
    struct tls_stage c;
    struct eddy_tls_cert *cert;
    need_www();
    struct cert *middle = cert_new(CERT(.cn = "Middle", .ca = true, .issuer = authority));
    struct cert *client = cert_new(CERT(.cn = "me", .issuer = middle, .client = true));
    pair_init(&c, WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE),
              TRUSTING(CERT_PEM(client)));
    pair_open(&c);
    CHECK_INT(eddy_tls_peer_cert(c.s.peer.t, 0, &cert), 0);
    CHECK_STR(cert->subject, "CN=me");
    eddy_tls_cert_free(cert);
    CHECK_INT(eddy_tls_peer_cert(c.s.peer.t, 1, &cert), 0);
    CHECK_STR(cert->subject, "CN=Middle");
    eddy_tls_cert_free(cert);
    CHECK_INT(eddy_tls_peer_cert(c.s.peer.t, 2, &cert), -ENOENT);
    tls_stage_close(&c);
    cert_free(client);
    cert_free(middle);
}

/* ---- keys ---- */

static void X17_keys_are_updated_in_both_directions(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    stage_keyed(&c.s);
    pair_open(&c);
    for (int i = 0; i < 30; i++) {
        struct actor *a = i % 2 ? &c.s.client : &c.s.peer, *b = i % 2 ? &c.s.peer : &c.s.client;
        CHECK_INT(actor_write(a, 20000), 0);
        CHECK_INT(actor_write(b, 1), 0);
        CHECK_INT(eddy_tls_update_keys(a->t, i % 3 == 0), 0);
        CHECK_INT(actor_write(a, 1), 0);
        CHECK_INT(actor_write(b, 20000), 0);
        UNTIL(&c.s, c.s.peer.received == c.s.client.sent && c.s.client.received == c.s.peer.sent);
    }
    tls_stage_close(&c);
}

static void X17_TLS_1_2_has_no_key_updates(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING(.max_version = EDDY_TLS_1_2));
    pair_open(&c);
    CHECK_INT(eddy_tls_update_keys(c.s.client.t, true), EDDY_ENOT_SUPPORTED);
    CHECK_STR(info_of(&c.s.client).version, "TLSv1.2");
    tls_stage_close(&c);
}

/* ---- floods ---- */

static void X17_a_flood_of_key_updates_is_the_end_of_the_one_who_sends_it(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    pair_open(&c);
    for (int i = 0; i < 2000 && !eddy_transport_is_closing(c.s.client.t); i++) {
        CHECK_INT(eddy_tls_update_keys(c.s.client.t, false), 0);
        if (i % 100 == 99)
            eddy_loop_run_once(c.s.loop, 0);
    }
    UNTIL_LOST(&c.s, &c.s.peer);
    CHECK_INT(c.s.peer.code, EDDY_ETLS);
    CHECK_STR(c.s.peer.error.text, "TLS: the peer floods us with messages");
    tls_stage_close(&c);
}

static void X17_key_updates_now_and_then_are_no_flood(void)
{
    struct tls_stage c;
    if (!has_virtual_time())
        return;
    need_www();
    pair_init(&c, WWW(), TRUSTING());
    pair_open(&c);
    for (int i = 0; i < 400; i++) {
        CHECK_INT(eddy_tls_update_keys(c.s.client.t, false), 0);
        stage_run_for(&c.s, EDDY_MSEC(12));
    }
    CHECK_INT(c.s.peer.count[ON_LOST], 0);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(X16_what_was_agreed_on_is_told),
    CASE(X16_after_the_end_it_is_still_told),
    CASE(X16_of_others_nothing_is_told),
    CASE(X16_certificates_are_told_in_words),
    CASE(X16_a_server_has_its_clients_chain_as_well),
    CASE(X17_keys_are_updated_in_both_directions),
    CASE(X17_TLS_1_2_has_no_key_updates),
    CASE(X17_a_flood_of_key_updates_is_the_end_of_the_one_who_sends_it),
    CASE(X17_key_updates_now_and_then_are_no_flood),
    TEST_END,
};
