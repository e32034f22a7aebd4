/* Whom a TLS context trusts: authorities, folders, the system, revocation lists; what a server asks
 * of its clients; the context of clients that have none. Contract X11, X12. */
#include "tests/contract/tls_contexts.h"

#include "transports/tls/layer.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- authorities ---- */

static void check_trusts(const struct eddy_tls_opts *opts, bool expected)
{
    struct eddy_tls *server = SERVER(.min_version = 0), *client = context(opts);

    CHECK_INT(shake(server, client, "www.test"), expected);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void X11_authorities_from_memory(void)
{
    need_certs();
    check_trusts(EDDY_TLS_CLIENT(CERT_TRUST(authority)), true);
    check_trusts(EDDY_TLS_CLIENT(CERT_TRUST(other_authority)), false);
}

static void X11_authorities_from_a_file(void)
{
    char both[8192];

    need_certs();
    snprintf(both, sizeof both, "%s\nwords between are skipped\n%s", cert_pem(other_authority),
             cert_pem(authority));
    check_trusts(EDDY_TLS_CLIENT(.ca_file = certs_write_text("ca.pem", both)), true);
    check_trusts(EDDY_TLS_CLIENT(.ca_file = certs_write_text("ca.pem", cert_pem(other_authority))),
                 false);
    check_trusts(EDDY_TLS_CLIENT(.ca_file = certs_path("ca.pem"), CERT_TRUST(authority)), true);
    certs_remove_folder();
}

static void write_hashed(const struct cert *ca)
{
    char name[32];
    int ok = 0;
    unsigned long hash = X509_NAME_hash_ex(X509_get_subject_name(cert_x509(ca)), NULL, NULL, &ok);

    REQUIRE(ok == 1);
    snprintf(name, sizeof name, "%08lx.0", hash);
    certs_write_text(name, cert_pem(ca));
}

static void X11_authorities_from_a_folder(void)
{
    need_certs();
    write_hashed(other_authority);
    check_trusts(EDDY_TLS_CLIENT(.ca_dir = certs_folder()), false);
    write_hashed(authority);
    check_trusts(EDDY_TLS_CLIENT(.ca_dir = certs_folder()), true);
    certs_remove_folder();
}

static void X11_what_is_wrong_with_authorities_is_said(void)
{
    static const char garbage[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    need_certs();
    const char *path = certs_path("ca.pem");
    const struct eddy_tls_opts *o = EDDY_TLS_CLIENT(.ca_file = path);
    CHECK_FAILS(o, -ENOENT, path);
    certs_write_text("ca.pem", "");
    CHECK_FAILS(o, EDDY_ETLS, "ca.pem is empty");
    certs_write_text("ca.pem", "hello");
    CHECK_FAILS(o, EDDY_ETLS, "authority: there is none in ");
    certs_write_text("ca.pem", cert_key(www));
    CHECK_FAILS(o, EDDY_ETLS, "authority: there is none in ");
    certs_write_text("ca.pem", garbage);
    CHECK_FAILS(o, EDDY_ETLS, "is broken");
    CHECK_FAILS(EDDY_TLS_CLIENT(.ca_pem = garbage, .ca_pem_len = sizeof garbage - 1), EDDY_ETLS,
                ".ca_pem");
    CHECK_FAILS(EDDY_TLS_CLIENT(.ca_dir = certs_path("nowhere")), -ENOENT, "nowhere");
    CHECK_FAILS(EDDY_TLS_CLIENT(.ca_dir = path), -ENOTDIR, path);
    certs_remove_folder();
}

/* ---- the system ---- */

/* OpenSSL's own variables, which name another system's store. */
static void pretend_system(const struct cert *ca)
{
    setenv("SSL_CERT_FILE", certs_write_text("system.pem", ca ? cert_pem(ca) : ""), 1);
    setenv("SSL_CERT_DIR", certs_path("none"), 1);
}

static void forget_system(void)
{
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    certs_remove_folder();
}

static void X12_clients_trust_the_system_by_default(void)
{
    need_certs();
    pretend_system(authority);
    check_trusts(EDDY_TLS_CLIENT(.min_version = 0), true);
    check_trusts(EDDY_TLS_CLIENT(CERT_TRUST(other_authority)), false); /* those alone */
    check_trusts(EDDY_TLS_CLIENT(CERT_TRUST(other_authority), .system_trust = true), true);
    pretend_system(other_authority);
    check_trusts(EDDY_TLS_CLIENT(.min_version = 0), false);
    check_trusts(EDDY_TLS_CLIENT(CERT_TRUST(authority), .system_trust = true), true);
    pretend_system(NULL);
    check_trusts(EDDY_TLS_CLIENT(.min_version = 0), false);
    forget_system();
}

static void X12_the_loop_has_a_context_for_clients_that_have_none(void)
{
    struct eddy_tls *first = NULL, *second = NULL;
    struct eddy_loop *loop;

    need_certs();
    pretend_system(authority);
    REQUIRE(test_loop_new(&loop) == 0);
    struct eddy_tls *server = SERVER(.min_version = 0);
    CHECK_INT(tls_default(loop, NULL, &first), 0);
    CHECK(shake(server, first, "www.test"));
    CHECK(!shake(server, first, "ftp.test"));
    CHECK_INT(tls_default(loop, NULL, &second), 0);
    CHECK(first == second);
    eddy_tls_unref(second);
    test_loop_free(loop);
    CHECK(shake(server, first, "www.test")); /* with a reference of its own */
    eddy_tls_unref(first);
    eddy_tls_unref(server);
    forget_system();
}

/* Something else of the loop's, which came before it or after. */
struct other {
    struct eddy_resource resource;
    bool closed;
};

static void other_closing(struct eddy_resource *r)
{
    EDDY_CONTAINER_OF(r, struct other, resource)->closed = true;
}

static void X12_it_is_found_beside_whatever_else_the_loop_has(void)
{
    struct other before = {.resource.loop_closing = other_closing}, after = before;
    struct eddy_tls *tls[3] = {NULL};
    struct eddy_loop *loop;

    pretend_system(NULL);
    REQUIRE(test_loop_new(&loop) == 0);
    eddy_list_append(&loop->resources, &before.resource.link);
    CHECK_INT(tls_default(loop, NULL, &tls[0]), 0);
    eddy_list_append(&loop->resources, &after.resource.link);
    CHECK_INT(tls_default(loop, NULL, &tls[1]), 0);
    eddy_link_remove(&before.resource.link);
    CHECK_INT(tls_default(loop, NULL, &tls[2]), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(tls[i] == tls[0]);
        eddy_tls_unref(tls[i]);
    }
    test_loop_free(loop);
    CHECK(!before.closed);
    CHECK(after.closed);
    forget_system();
}

static void G5_X12_no_memory_for_it_is_an_error(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls = NULL;
    struct eddy_loop *loop;
    long n = 1;

    pretend_system(NULL);
    REQUIRE(test_loop_new(&loop) == 0);
    for (bool failed = true; failed && n < 50; n++) {
        test_fail_allocation(n);
        int rc = tls_default(loop, &e, &tls);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(rc, failed ? -ENOMEM : 0);
        CHECK(!failed || (tls == NULL && e.code == -ENOMEM));
    }
    CHECK(n > 3 && n < 50);
    eddy_tls_unref(tls);
    test_loop_free(loop);
    forget_system();
}

/* ---- what was revoked ---- */

static struct eddy_tls *client_with_lists(const char *a, const char *b)
{
    char text[16384];

    snprintf(text, sizeof text, "%s%s", a, b);
    return CLIENT(.crl_file = certs_write_text("crl.pem", text));
}

static void X11_what_was_revoked_is_refused(void)
{
    need_certs();
    char *nobody = cert_crl(authority, NULL), *nobody_below = cert_crl(middle, NULL);
    char *www_is_out = cert_crl(middle, www), *middle_is_out = cert_crl(authority, middle);
    struct eddy_tls *server = SERVER(.min_version = 0), *client;

    client = client_with_lists(nobody, nobody_below);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(client);
    client = client_with_lists(nobody, www_is_out);
    CHECK(!shake(server, client, "www.test"));
    eddy_tls_unref(client);
    client = client_with_lists(middle_is_out, nobody_below); /* above it */
    CHECK(!shake(server, client, "www.test"));
    eddy_tls_unref(client);
    client = client_with_lists(nobody, ""); /* of one of the issuers there is none */
    CHECK(!shake(server, client, "www.test"));
    eddy_tls_unref(client);
    eddy_tls_unref(server);
    free(nobody);
    free(nobody_below);
    free(www_is_out);
    free(middle_is_out);
    certs_remove_folder();
}

static void X11_what_is_wrong_with_a_list_is_said(void)
{
    need_certs();
    const char *path = certs_path("crl.pem");
    const struct eddy_tls_opts *o = EDDY_TLS_CLIENT(CERT_TRUST(authority), .crl_file = path);
    CHECK_FAILS(o, -ENOENT, path);
    certs_write_text("crl.pem", "");
    CHECK_FAILS(o, EDDY_ETLS, "crl.pem is empty");
    certs_write_text("crl.pem", cert_pem(authority));
    CHECK_FAILS(o, EDDY_ETLS, "revocation list: there is none in ");
    certs_write_text("crl.pem", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
    CHECK_FAILS(o, EDDY_ETLS, "is broken");
    certs_remove_folder();
}

/* ---- what a server asks of its clients ---- */

static void X11_clients_that_may_have_a_certificate(void)
{
    need_certs();
    struct cert *forged =
        cert_new(CERT(.cn = "somebody", .client = true, .issuer = other_authority));
    struct eddy_tls *server = SERVER(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MAY_HAVE);
    struct eddy_tls *without = CLIENT(.min_version = 0), *with = CLIENT(CERT_PEM(client_cert));
    struct eddy_tls *bad = CLIENT(CERT_PEM(forged));
    CHECK(shake(server, without, "www.test"));
    CHECK(shake(server, with, "www.test"));
    CHECK(!shake(server, bad, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(without);
    eddy_tls_unref(with);
    eddy_tls_unref(bad);
    cert_free(forged);
}

static void X11_clients_that_must_have_one_for_clients(void)
{
    need_certs();
    struct cert *for_servers =
        cert_new(CERT(.names = "x.test", .server = true, .issuer = authority));
    struct eddy_tls *server = SERVER(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    struct eddy_tls *without = CLIENT(.min_version = 0), *with = CLIENT(CERT_PEM(client_cert));
    struct eddy_tls *wrong = CLIENT(CERT_PEM(for_servers));
    CHECK(!shake(server, without, "www.test"));
    CHECK(shake(server, with, "www.test"));
    CHECK(!shake(server, wrong, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(without);
    eddy_tls_unref(with);
    eddy_tls_unref(wrong);
    cert_free(for_servers);
}

static void X11_clients_revoked_are_refused(void)
{
    need_certs();
    char *list = cert_crl(authority, client_cert);
    struct eddy_tls *server = SERVER(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE,
                                     .crl_file = certs_write_text("crl.pem", list));
    struct eddy_tls *with = CLIENT(CERT_PEM(client_cert));
    CHECK(!shake(server, with, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(with);
    free(list);
    certs_remove_folder();
}

/* How many authorities a server names when it asks for a certificate. */
static int names_sent(struct eddy_tls *server)
{
    struct eddy_tls *client = CLIENT(CERT_PEM(client_cert));
    struct pair p;

    pair_begin(&p, eddy_tls_ssl_ctx(server), eddy_tls_ssl_ctx(client), "www.test");
    pair_shake(&p);
    CHECK(p.done);
    int n = sk_X509_NAME_num(SSL_get0_peer_CA_list(p.client));
    pair_end(&p);
    eddy_tls_unref(client);
    return n;
}

static void X11_a_server_names_the_authorities_that_it_trusts(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(
        CERT_TRUST(authority), .ca_file = certs_write_text("ca.pem", cert_pem(other_authority)),
        .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    CHECK_INT(names_sent(server), 2);
    eddy_tls_unref(server);
    certs_remove_folder();
}

/* A list that no client would take. */
static void X11_too_many_authorities_are_not_named(void)
{
    enum { MANY = 700 };
    static char text[MANY * 1200];
    char cn[64];

    need_certs();
    size_t len = (size_t)snprintf(text, sizeof text, "%s", cert_pem(authority));
    for (int i = 0; i < MANY; i++) {
        snprintf(cn, sizeof cn, "authority %d of far too many, which are of no use", i);
        struct cert *ca = cert_new(CERT(.cn = cn, .ca = true));
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", cert_pem(ca));
        cert_free(ca);
    }
    struct eddy_tls *server =
        SERVER(.ca_file = certs_write("ca.pem", text, len), .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    CHECK(names_sent(server) <= 0);
    eddy_tls_unref(server);
    certs_remove_folder();
}

const struct test_case test_cases[] = {
    TEST(X11_authorities_from_memory),
    TEST(X11_authorities_from_a_file),
    TEST(X11_authorities_from_a_folder),
    TEST(X11_what_is_wrong_with_authorities_is_said),
    TEST(X12_clients_trust_the_system_by_default),
    TEST(X12_the_loop_has_a_context_for_clients_that_have_none),
    TEST(X12_it_is_found_beside_whatever_else_the_loop_has),
    TEST(G5_X12_no_memory_for_it_is_an_error),
    TEST(X11_what_was_revoked_is_refused),
    TEST(X11_what_is_wrong_with_a_list_is_said),
    TEST(X11_clients_that_may_have_a_certificate),
    TEST(X11_clients_that_must_have_one_for_clients),
    TEST(X11_clients_revoked_are_refused),
    TEST(X11_a_server_names_the_authorities_that_it_trusts),
    TEST(X11_too_many_authorities_are_not_named),
    TEST_END,
};
