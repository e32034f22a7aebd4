/* labels: threads */
/*
 * TLS contexts: what they are made of, what cannot be made and how it is said, and the rules that
 * hold by default. Contract X11, G3, G4, G5, G8.
 */
#include "tests/contract/tls_contexts.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system's own configuration of OpenSSL, which is read once, and could not be weaker. */
static __attribute__((constructor)) void weaken_system(void)
{
    static const char text[] =
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
        "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n"
        "Options = UnsafeLegacyRenegotiation,UnsafeLegacyServerConnect,ClientRenegotiation,"
        "AllowNoDHEKEX,Compression,-AntiReplay,-ExtendedMasterSecret\n";
    char path[64];
    int fd = memfd_create("openssl.cnf", 0);

    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    setenv("OPENSSL_CONF", path, 1);
}

#define SESAME "sesame"

static int sesame(void *user, char *buf, size_t size)
{
    CHECK(size >= 1024);
    memcpy(buf, SESAME, strlen(SESAME));
    if (user)
        ++*(int *)user;
    return (int)strlen(SESAME);
}

/* ---- certificates and keys ---- */

static void check_works(const struct eddy_tls_opts *opts)
{
    struct eddy_tls *server = context(opts), *client = CLIENT(.min_version = 0);

    CHECK(shake(server, client, "www.test"));
    CHECK(!shake(server, client, "ftp.test"));
    CHECK(shows(server, www));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void X11_certificate_and_key_from_two_files(void)
{
    need_certs();
    check_works(EDDY_TLS_SERVER(.cert_file = certs_write_text("cert.pem", cert_chain(www)),
                                .key_file = certs_write_text("key.pem", cert_key(www))));
    certs_remove_folder();
}

static void X11_certificate_and_key_from_one_file(void)
{
    need_certs();
    check_works(EDDY_TLS_SERVER(.cert_file = certs_write_text("all.pem", cert_all(www))));
    certs_remove_folder();
}

static void X11_certificate_and_key_from_memory(void)
{
    need_certs();
    check_works(EDDY_TLS_SERVER(CERT_PEM(www)));
    check_works(EDDY_TLS_SERVER(.cert_pem = cert_all(www), .cert_pem_len = strlen(cert_all(www))));
}

static void X11_a_key_before_its_certificate_and_in_the_old_form(void)
{
    static const char parameters[] = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                                     "-----END EC PARAMETERS-----\n";
    char text[8192];

    need_certs();
    int len = snprintf(text, sizeof text, "%s%s%s", parameters, cert_old_key(www), cert_chain(www));
    REQUIRE(len > 0 && (size_t)len < sizeof text);
    check_works(EDDY_TLS_SERVER(.cert_pem = text, .cert_pem_len = (size_t)len));
}

/* The client knows the root alone: it needs what lies between. */
static void X11_the_chain_is_sent(void)
{
    need_certs();
    struct eddy_tls *client = CLIENT(.min_version = 0);
    struct eddy_tls *bare =
        context(EDDY_TLS_SERVER(.cert_pem = cert_pem(www), .cert_pem_len = strlen(cert_pem(www)),
                                .key_pem = cert_key(www), .key_pem_len = strlen(cert_key(www))));
    CHECK(!shake(bare, client, "www.test"));
    eddy_tls_unref(bare);
    eddy_tls_unref(client);
}

static void X11_an_encrypted_key_with_its_passphrase(void)
{
    int asked = 0;

    need_certs();
    check_works(EDDY_TLS_SERVER(.cert_pem = cert_chain(www),
                                .cert_pem_len = strlen(cert_chain(www)),
                                .key_pem = cert_encrypted_key(www),
                                .key_pem_len = strlen(cert_encrypted_key(www)),
                                .passphrase = sesame, .user = &asked));
    CHECK_INT(asked, 1);
}

static void X11_a_client_has_a_certificate_too(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    struct eddy_tls *with = CLIENT(CERT_PEM(client_cert)), *without = CLIENT(.min_version = 0);
    CHECK(shake(server, with, "www.test"));
    CHECK(!shake(server, without, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(with);
    eddy_tls_unref(without);
}

/* One's own certificate that has expired is no error: clients say so, and eddy_tls_expires. */
static void X11_an_expired_certificate_is_taken_and_shows_by_its_date(void)
{
    time_t when = 0, now = time(NULL);

    need_certs();
    struct cert *old = cert_new(CERT(.names = "www.test", .issuer = authority, .expired = true));
    struct eddy_tls *server = context(EDDY_TLS_SERVER(CERT_PEM(old)));
    struct eddy_tls *client = CLIENT(.min_version = 0), *good = SERVER(.min_version = 0);
    CHECK_INT(eddy_tls_expires(server, &when), 0);
    CHECK(when < now && when > now - 2 * 24 * 3600);
    CHECK_INT(eddy_tls_expires(good, &when), 0);
    CHECK(when > now + 29 * 24 * 3600 && when < now + 31 * 24 * 3600);
    CHECK(!shake(server, client, "www.test"));
    CHECK_INT(eddy_tls_expires(client, &when), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_expires(NULL, &when), -EINVAL);
    CHECK_INT(eddy_tls_expires(server, NULL), -EINVAL);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    eddy_tls_unref(good);
    cert_free(old);
}

static void X11_our_certificate_in_pem(void)
{
    char buf[4096];

    need_certs();
    size_t len = strlen(cert_pem(www));
    struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    CHECK_INT(eddy_tls_cert_pem(server, buf, sizeof buf), 0);
    CHECK_STR(buf, cert_pem(www));
    CHECK_INT(eddy_tls_cert_pem(server, buf, len + 1), 0);
    memset(buf, 'x', sizeof buf);
    CHECK_INT(eddy_tls_cert_pem(server, buf, len), -EMSGSIZE);
    CHECK(buf[0] == 'x');
    CHECK_INT(eddy_tls_cert_pem(server, buf, 0), -EMSGSIZE);
    CHECK_INT(eddy_tls_cert_pem(client, buf, sizeof buf), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_cert_pem(NULL, buf, sizeof buf), -EINVAL);
    CHECK_INT(eddy_tls_cert_pem(server, NULL, 0), -EINVAL);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

/* ---- thrown away ---- */

static void X11_a_throw_away_certificate_is_good_for_its_names(void)
{
    char pem[4096], again[4096];
    time_t when = 0, now = time(NULL);
    struct eddy_tls *server =
        context(EDDY_TLS_SERVER(.throw_away = "localhost, 127.0.0.1,::1,*.dev.test"));

    CHECK_INT(eddy_tls_cert_pem(server, pem, sizeof pem), 0);
    struct eddy_tls *client = context(EDDY_TLS_CLIENT(.ca_pem = pem, .ca_pem_len = strlen(pem)));
    CHECK(shake(server, client, "localhost"));
    CHECK(shake(server, client, "a.dev.test"));
    CHECK(!shake(server, client, "www.test"));
    CHECK_INT(eddy_tls_expires(server, &when), 0);
    CHECK(when > now + 29 * 24 * 3600 && when < now + 31 * 24 * 3600);

    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    X509 *x = SSL_CTX_get0_certificate(ctx);
    CHECK_INT(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    CHECK_INT(X509_check_ip_asc(x, "::1", 0), 1);
    CHECK_INT(X509_check_ip_asc(x, "127.0.0.2", 0), 0);
    SSL_CTX_free(ctx);

    struct eddy_tls *stranger = CLIENT(.min_version = 0);
    CHECK(!shake(server, stranger, "localhost"));
    struct eddy_tls *second = context(EDDY_TLS_SERVER(.throw_away = "localhost"));
    CHECK_INT(eddy_tls_cert_pem(second, again, sizeof again), 0);
    CHECK(strcmp(pem, again) != 0);
    CHECK(!shake(second, client, "localhost"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    eddy_tls_unref(stranger);
    eddy_tls_unref(second);
}

static void X11_a_throw_away_certificate_needs_names(void)
{
    char name[300];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = ""), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = " , "), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = name), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = "a b"), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = "a,,b"), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = "a,"), -EINVAL, "no list of names");
    CHECK_FAILS(EDDY_TLS_SERVER(.throw_away = "a,b\n"), -EINVAL, "no list of names");
}

/* ---- files that are not what they should be ---- */

static const char garbage[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

static void X11_what_is_wrong_with_a_certificate_is_said_with_its_file(void)
{
    need_certs();
    const char *key = certs_write_text("key.pem", cert_key(www));
    const char *cert = certs_path("cert.pem");
    const struct eddy_tls_opts *o = EDDY_TLS_SERVER(.cert_file = cert, .key_file = key);
    CHECK_FAILS(o, -ENOENT, cert);
    CHECK_FAILS(o, -ENOENT, "No such file");
    certs_write_text("cert.pem", "");
    CHECK_FAILS(o, EDDY_ETLS, "cert.pem is empty");
    certs_write_text("cert.pem", "hello\n");
    CHECK_FAILS(o, EDDY_ETLS, "there is none in ");
    certs_write("cert.pem", "\x30\x82\x01\x00", 4);
    CHECK_FAILS(o, EDDY_ETLS, "there is none in ");
    certs_write_text("cert.pem", garbage);
    CHECK_FAILS(o, EDDY_ETLS, "is broken");
    CHECK_FAILS(o, EDDY_ETLS, cert);
    certs_write("cert.pem", cert_pem(www), strlen(cert_pem(www)) / 2);
    CHECK_FAILS(o, EDDY_ETLS, "is broken");
    char both[8192];
    snprintf(both, sizeof both, "%s%s", cert_pem(www), garbage);
    certs_write_text("cert.pem", both);
    CHECK_FAILS(o, EDDY_ETLS, "is broken");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = certs_folder(), .key_file = key), -EISDIR,
                "directory");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_pem = garbage, .cert_pem_len = sizeof garbage - 1), EDDY_ETLS,
                ".cert_pem");
    certs_remove_folder();
}

static void X11_what_is_wrong_with_a_key_is_said_with_its_file(void)
{
    need_certs();
    const char *cert = certs_write_text("cert.pem", cert_chain(www));
    const char *key = certs_path("key.pem");
    const struct eddy_tls_opts *o = EDDY_TLS_SERVER(.cert_file = cert, .key_file = key);
    CHECK_FAILS(o, -ENOENT, key);
    certs_write_text("key.pem", "");
    CHECK_FAILS(o, EDDY_ETLS, "key.pem is empty");
    certs_write_text("key.pem", cert_pem(www));
    CHECK_FAILS(o, EDDY_ETLS, "there is none, or a broken one, in ");
    CHECK_FAILS(o, EDDY_ETLS, key);
    certs_write_text("key.pem", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    CHECK_FAILS(o, EDDY_ETLS, "there is none, or a broken one, in ");
    certs_write_text("key.pem", cert_key(client_cert));
    CHECK_FAILS(o, EDDY_ETLS, "key.pem does not fit the certificate of ");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = cert), EDDY_ETLS,
                "there is none, or a broken one, in ");
    certs_remove_folder();
}

static void X11_a_key_of_another_kind_does_not_fit(void)
{
    need_certs();
    struct cert *rsa =
        cert_new(CERT(.names = "www.test", .issuer = authority, .kind = CERT_RSA_2048));
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_pem = cert_pem(www), .cert_pem_len = strlen(cert_pem(www)),
                                .key_pem = cert_key(rsa), .key_pem_len = strlen(cert_key(rsa))),
                EDDY_ETLS, "does not fit");
    struct eddy_tls *server = context(EDDY_TLS_SERVER(CERT_PEM(rsa)));
    struct eddy_tls *client = CLIENT(.min_version = 0);
    CHECK(shake(server, client, "www.test"));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    cert_free(rsa);
}

static void X11_a_key_that_is_too_short_is_refused(void)
{
    need_certs();
    struct cert *weak =
        cert_new(CERT(.names = "www.test", .issuer = authority, .kind = CERT_RSA_1024));
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(weak)), EDDY_ETLS, "key too small");
    cert_free(weak);
}

static int give_up(void *user, char *buf, size_t size)
{
    (void)user, (void)buf, (void)size;
    return -1;
}

static int too_much(void *user, char *buf, size_t size)
{
    (void)user;
    memset(buf, 'x', size);
    return (int)size + 1;
}

static int wrong(void *user, char *buf, size_t size)
{
    (void)user, (void)size;
    memcpy(buf, "open!", 5);
    return 5;
}

static int nothing(void *user, char *buf, size_t size)
{
    (void)user, (void)buf, (void)size;
    return 0;
}

static void X11_what_is_wrong_with_a_passphrase_is_said(void)
{
    need_certs();
    struct eddy_tls_opts o =
        *EDDY_TLS_SERVER(.cert_pem = cert_chain(www), .cert_pem_len = strlen(cert_chain(www)),
                         .key_pem = cert_encrypted_key(www),
                         .key_pem_len = strlen(cert_encrypted_key(www)));
    CHECK_FAILS(&o, EDDY_ETLS, "there is no .passphrase"); /* and nobody is asked on a terminal */
    o.passphrase = give_up;
    CHECK_FAILS(&o, EDDY_ETLS, ".passphrase has given up");
    o.passphrase = too_much;
    CHECK_FAILS(&o, EDDY_ETLS, ".passphrase has given up");
    o.passphrase = wrong;
    CHECK_FAILS(&o, EDDY_ETLS, "the passphrase is wrong");
    o.passphrase = nothing;
    CHECK_FAILS(&o, EDDY_ETLS, "the passphrase is wrong");
}

static char *seen_buf;

static int remember(void *user, char *buf, size_t size)
{
    seen_buf = buf;
    return sesame(user, buf, size);
}

/* What was in the buffer is looked for on the stack that it was on. */
static __attribute__((noinline, no_sanitize("address"))) bool is_wiped(void)
{
    const volatile char *p = seen_buf;

    for (size_t i = 0; i < strlen(SESAME); i++)
        if (p[i] != SESAME[i])
            return true;
    return false;
}

static void X11_the_passphrase_is_wiped(void)
{
    need_certs();
    struct eddy_tls *server = NULL;
    int rc = eddy_tls_new(
        EDDY_TLS_SERVER(.cert_pem = cert_chain(www), .cert_pem_len = strlen(cert_chain(www)),
                        .key_pem = cert_encrypted_key(www),
                        .key_pem_len = strlen(cert_encrypted_key(www)), .passphrase = remember),
        &server);
    bool wiped = is_wiped();
    CHECK_INT(rc, 0);
    CHECK(wiped);
    eddy_tls_unref(server);
}

static void X11_files_that_are_too_large_are_refused(void)
{
    need_certs();
    const char *path = certs_write_text("cert.pem", cert_chain(www));
    REQUIRE(truncate(path, 17l << 20) == 0);
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = path), -EFBIG, path);
    certs_remove_folder();
}

static void read_without_rights(void *path)
{
    if (geteuid() == 0 && (setegid(65534) < 0 || seteuid(65534) < 0))
        _exit(0);
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = path), -EACCES, "denied");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = path), -EACCES, path);
}

static void X11_files_that_may_not_be_read_are_named(void)
{
    char path[4096];

    need_certs();
    snprintf(path, sizeof path, "%s", certs_write_text("cert.pem", cert_all(www)));
    REQUIRE(chmod(path, 0) == 0);
    test_in_child(read_without_rights, path);
    certs_remove_folder();
}

/* ---- options ---- */

static const struct eddy_tls_name no_context[] = {{.name = "a.test"}, {.name = NULL}};
static const char *const empty_alpn[] = {NULL};
static const char *const empty_name[] = {"h2", "", NULL};

static void early(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static void G4_X11_options_that_contradict_each_other_are_refused(void)
{
    need_certs();
    CHECK_FAILS(EDDY_TLS_SERVER(.min_version = 0), -EINVAL, "a server needs a certificate");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .cert_file = "x"), -EINVAL, "one of them");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .key_file = "x"), -EINVAL, "one of them");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .throw_away = "x"), -EINVAL, "one of them");
    CHECK_FAILS(EDDY_TLS_CLIENT(.key_file = "x"), -EINVAL, "a key, but no certificate");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_pem = "x"), -EINVAL, ".cert_pem");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_pem_len = 1), -EINVAL, ".cert_pem");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_pem = "x", .cert_pem_len = SIZE_MAX), -EINVAL, ".cert_pem");
    CHECK_FAILS(EDDY_TLS_SERVER(.cert_file = "x", .key_pem_len = 1), -EINVAL, ".key_pem");
    CHECK_FAILS(EDDY_TLS_CLIENT(.ca_pem = "x"), -EINVAL, ".ca_pem");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .clients = EDDY_TLS_CLIENTS_MUST_HAVE), -EINVAL,
                "cannot be verified");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .clients = EDDY_TLS_CLIENTS_MAY_HAVE), -EINVAL,
                "cannot be verified");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), CERT_TRUST(authority)), -EINVAL, "not asked for");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .crl_file = "x"), -EINVAL, "not asked for");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .clients = 3), -EINVAL, ".clients: no such value");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .insecure_no_verification = true), -EINVAL,
                "not of a server");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .require_ocsp = true), -EINVAL, "not of a server");
    CHECK_FAILS(EDDY_TLS_CLIENT(.insecure_no_verification = true, .ca_file = "x"), -EINVAL,
                "whom to trust");
    CHECK_FAILS(EDDY_TLS_CLIENT(.insecure_no_verification = true, .system_trust = true), -EINVAL,
                "whom to trust");
    CHECK_FAILS(EDDY_TLS_CLIENT(.insecure_no_verification = true, .require_ocsp = true), -EINVAL,
                "whom to trust");
    CHECK_FAILS(EDDY_TLS_CLIENT(.clients = EDDY_TLS_CLIENTS_MAY_HAVE), -EINVAL, "not of a client");
    CHECK_FAILS(EDDY_TLS_CLIENT(.strict_names = true), -EINVAL, "not of a client");
    CHECK_FAILS(EDDY_TLS_CLIENT(.ocsp_file = "x"), -EINVAL, "not of a client");
    CHECK_FAILS(EDDY_TLS_CLIENT(.early_data_received = early), -EINVAL, "not of a client");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .strict_names = true), -EINVAL, "neither .names");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .names = no_context), -EINVAL, "without a context");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .no_resumption = true, .session_cache = 1), -EINVAL,
                ".no_resumption");
}

static void G4_X11_values_out_of_range_are_refused(void)
{
    char name[257];

    need_certs();
    CHECK_FAILS(EDDY_TLS_CLIENT(.min_version = 0x0302), -EINVAL, ".min_version");
    CHECK_FAILS(EDDY_TLS_CLIENT(.max_version = 0x0305), -EINVAL, ".max_version");
    CHECK_FAILS(EDDY_TLS_CLIENT(.min_version = EDDY_TLS_1_3, .max_version = EDDY_TLS_1_2), -EINVAL,
                "above");
    CHECK_FAILS(EDDY_TLS_CLIENT(.session_lifetime = -1), -EINVAL, ".session_lifetime");
    CHECK_FAILS(EDDY_TLS_CLIENT(.session_lifetime = EDDY_SEC(604801)), -EINVAL,
                ".session_lifetime");
    CHECK_FAILS(
        EDDY_TLS_SERVER(CERT_PEM(www), .max_early_data = 16385, .early_data_received = early),
        -EINVAL, "16384");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .max_early_data = 1), -EINVAL, "both or none");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .early_data_received = early), -EINVAL,
                "both or none");
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .max_early_data = 1, .early_data_received = early,
                                .max_version = EDDY_TLS_1_2),
                -EINVAL, "TLS 1.2");
    memset(name, 'a', 256);
    name[256] = '\0';
    const char *const too_long[] = {name, NULL};
    CHECK_FAILS(EDDY_TLS_CLIENT(.alpn = too_long), -EINVAL, ".alpn");
    CHECK_FAILS(EDDY_TLS_CLIENT(.alpn = empty_alpn), -EINVAL, ".alpn");
    CHECK_FAILS(EDDY_TLS_CLIENT(.alpn = empty_name), -EINVAL, ".alpn");
    const char *many[400];
    name[255] = '\0';
    for (int i = 0; i < 399; i++)
        many[i] = name;
    many[256] = NULL;
    CHECK_FAILS(EDDY_TLS_CLIENT(.alpn = many), -EINVAL, "too long");
    many[255] = NULL;
    eddy_tls_unref(CLIENT(.alpn = many));
}

static void G4_X11_names_must_be_names(void)
{
    static const char *const bad[] = {"",         ".",     ".a.test", "a..test", "*",
                                      "*.",       "a.*",   "**.a",    "a test",  "a\n",
                                      "\xc3\xa4", "*.*.a", "*..a",    NULL};
    static const char *const good[] = {"a", "a.test", "A.Test.", "*.a.test", "_x.test", NULL};

    need_certs();
    struct eddy_tls *other = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    for (size_t i = 0; bad[i]; i++) {
        const struct eddy_tls_name list[] = {{.name = bad[i], .tls = other}, {.name = NULL}};
        CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .names = list), -EINVAL, "a name must be");
    }
    for (size_t i = 0; good[i]; i++) {
        const struct eddy_tls_name list[] = {{.name = good[i], .tls = other}, {.name = NULL}};
        eddy_tls_unref(SERVER(.names = list));
    }
    const struct eddy_tls_name wrong_side[] = {{.name = "a", .tls = client}, {.name = NULL}};
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .names = wrong_side), -EINVAL, "a client's");
    const struct eddy_tls_name twice[] = {{"a.test", other}, {"A.TEST.", other}, {NULL, NULL}};
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .names = twice), -EINVAL, "there twice");
    eddy_tls_unref(other);
    eddy_tls_unref(client);
}

static void G8_options_of_another_size(void)
{
    struct {
        struct eddy_tls_opts opts;
        char more[16];
    } later = {.opts = *EDDY_TLS_CLIENT(.insecure_no_verification = true)};
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls = NULL;

    later.opts.error = &e;
    later.opts.abi_size = sizeof later;
    CHECK_INT(eddy_tls_new(&later.opts, &tls), 0);
    eddy_tls_unref(tls);
    tls = NULL;
    later.more[3] = 1;
    CHECK_INT(eddy_tls_new(&later.opts, &tls), -E2BIG);
    CHECK_INT(e.code, -E2BIG);
    later.opts.abi_size = sizeof later.opts;
    later.opts.reserved[7] = &e;
    CHECK_INT(eddy_tls_new(&later.opts, &tls), -E2BIG);
    later.opts.abi_size = sizeof later.opts - 1;
    CHECK_INT(eddy_tls_new(&later.opts, &tls), -EINVAL);
    later.opts.abi_size = 0;
    CHECK_INT(eddy_tls_new(&later.opts, &tls), -EINVAL);
    CHECK_INT(eddy_tls_new(NULL, &tls), -EINVAL);
    CHECK_INT(eddy_tls_new(EDDY_TLS_CLIENT(.min_version = 0), NULL), -EINVAL);
    CHECK(tls == NULL);
}

/* ---- the rules ---- */

static void X12_versions_are_1_2_and_1_3(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(.min_version = 0),
                    *newest = SERVER(.min_version = EDDY_TLS_1_3);
    struct eddy_tls *older = CLIENT(.max_version = EDDY_TLS_1_2);
    struct pair p;

    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    CHECK_INT(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    CHECK_INT(SSL_CTX_get_max_proto_version(ctx), 0);
    SSL_CTX_free(ctx);
    CHECK(shake(server, older, "www.test"));
    CHECK(!shake(newest, older, "www.test"));

    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    pair_begin(&p, eddy_tls_ssl_ctx(server), old, NULL);
    pair_shake(&p);
    CHECK(!p.done);
    pair_end(&p);
    eddy_tls_unref(server);
    eddy_tls_unref(newest);
    eddy_tls_unref(older);
}

/* A client of OpenSSL's own, which offers this alone. */
static bool accepts(struct eddy_tls *server, const char *ciphers, const char *groups)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct pair p;

    SSL_CTX_set_security_level(ctx, 0);
    if (ciphers) {
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        REQUIRE(SSL_CTX_set_cipher_list(ctx, ciphers) == 1);
    }
    if (groups)
        REQUIRE(SSL_CTX_set1_groups_list(ctx, (char *)(uintptr_t)groups) == 1);
    pair_begin(&p, eddy_tls_ssl_ctx(server), ctx, NULL);
    pair_shake(&p);
    pair_end(&p);
    return p.done;
}

static void X12_ciphers_have_forward_secrecy_and_aead(void)
{
    need_certs();
    struct cert *rsa =
        cert_new(CERT(.names = "www.test", .issuer = authority, .kind = CERT_RSA_2048));
    struct eddy_tls *server = SERVER(.min_version = 0),
                    *old = context(EDDY_TLS_SERVER(CERT_PEM(rsa)));
    CHECK(accepts(server, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL));
    CHECK(accepts(server, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL));
    CHECK(accepts(old, "ECDHE-RSA-AES256-GCM-SHA384", NULL));
    CHECK(!accepts(server, "ECDHE-ECDSA-AES128-SHA256", NULL)); /* CBC */
    CHECK(!accepts(server, "ECDHE-ECDSA-AES128-CCM8", NULL));
    CHECK(!accepts(old, "AES256-GCM-SHA384", NULL)); /* the key exchange is RSA's */
    CHECK(!accepts(old, "DHE-RSA-AES256-GCM-SHA384", NULL));
    CHECK(!accepts(old, "ECDHE-RSA-AES128-SHA", NULL));
    eddy_tls_unref(server);
    eddy_tls_unref(old);
    cert_free(rsa);
}

static void X12_groups_are_three(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(.min_version = 0);
    struct eddy_tls *narrow = SERVER(.groups = "P-384");
    CHECK(accepts(server, NULL, "X25519"));
    CHECK(accepts(server, NULL, "P-256"));
    CHECK(accepts(server, NULL, "P-384"));
    CHECK(!accepts(server, NULL, "P-521"));
    CHECK(!accepts(server, NULL, "ffdhe2048"));
    CHECK(!accepts(narrow, NULL, "X25519"));
    CHECK(accepts(narrow, NULL, "P-384"));
    eddy_tls_unref(server);
    eddy_tls_unref(narrow);
}

/* With an OpenSSL that has them, as 3.5 does, and would offer them first. */
static void X12_post_quantum_groups_by_hand_only(void)
{
    static char group[] = "X25519MLKEM768";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool has = SSL_CTX_set1_groups_list(ctx, group) == 1;

    SSL_CTX_free(ctx);
    ERR_clear_error();
    if (!has)
        return;
    need_certs();
    struct eddy_tls *usual = SERVER(.min_version = 0);
    struct eddy_tls *both = SERVER(.groups = "X25519MLKEM768:X25519");
    CHECK(!accepts(usual, NULL, group));
    CHECK(accepts(both, NULL, group));
    CHECK(accepts(both, NULL, "X25519"));
    eddy_tls_unref(usual);
    eddy_tls_unref(both);
}

static void X12_ciphers_and_groups_by_hand(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256",
                                     .suites = "TLS_CHACHA20_POLY1305_SHA256");
    struct eddy_tls *client = CLIENT(.suites = "TLS_AES_128_GCM_SHA256");
    CHECK(accepts(server, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL));
    CHECK(!accepts(server, "ECDHE-ECDSA-AES256-GCM-SHA384", NULL));
    CHECK(accepts(server, NULL, NULL));
    CHECK(!shake(server, client,
                 "www.test")); /* both would have 1.2, but TLS 1.3 is agreed on first */
    CHECK_FAILS(EDDY_TLS_CLIENT(CERT_TRUST(authority), .ciphers = "NONSENSE"), EDDY_ETLS,
                "NONSENSE");
    CHECK_FAILS(EDDY_TLS_CLIENT(CERT_TRUST(authority), .suites = "NONSENSE"), EDDY_ETLS,
                "NONSENSE");
    CHECK_FAILS(EDDY_TLS_CLIENT(CERT_TRUST(authority), .groups = "NONSENSE"), EDDY_ETLS,
                "NONSENSE");
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void X11_X47_the_systems_configuration_was_read(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    CHECK_INT(SSL_CTX_get_min_proto_version(ctx), TLS1_VERSION);
    CHECK_INT(SSL_CTX_get_security_level(ctx), 0);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_LEGACY_SERVER_CONNECT);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_ALLOW_NO_DHE_KEX);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_NO_ANTI_REPLAY);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_NO_EXTENDED_MASTER_SECRET);
    SSL_CTX_free(ctx);
}

static void X11_X47_modes(void)
{
    const uint64_t set = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
    const uint64_t unset = SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                           SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_ALLOW_NO_DHE_KEX |
                           SSL_OP_NO_ANTI_REPLAY | SSL_OP_NO_EXTENDED_MASTER_SECRET;
    const long modes = SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN;

    need_certs();
    struct eddy_tls *both[] = {SERVER(.min_version = 0), CLIENT(.min_version = 0)};
    for (int i = 0; i < 2; i++) {
        SSL_CTX *ctx = eddy_tls_ssl_ctx(both[i]);
        CHECK((SSL_CTX_get_options(ctx) & set) == set);
        CHECK((SSL_CTX_get_options(ctx) & unset) == 0);
        CHECK((SSL_CTX_get_mode(ctx) & modes) == modes);
        CHECK(SSL_CTX_get_read_ahead(ctx) == 1);
        CHECK(SSL_CTX_get_security_level(ctx) >= 2);
        SSL_CTX_free(ctx);
        eddy_tls_unref(both[i]);
    }
}

static void X11_sessions_belong_to_their_context(void)
{
    unsigned char ids[2][32];
    struct pair p;

    need_certs();
    for (int i = 0; i < 2; i++) {
        struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
        pair_begin(&p, eddy_tls_ssl_ctx(server), eddy_tls_ssl_ctx(client), "www.test");
        pair_shake(&p);
        unsigned len = 0;
        const unsigned char *id = SSL_SESSION_get0_id_context(SSL_get_session(p.server), &len);
        CHECK_INT(len, 32);
        if (len == 32)
            memcpy(ids[i], id, 32);
        pair_end(&p);
        eddy_tls_unref(server);
        eddy_tls_unref(client);
    }
    CHECK(memcmp(ids[0], ids[1], 32) != 0);
}

static void X15_no_resumption_is_no_resumption(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(.no_resumption = true);
    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    CHECK(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET);
    CHECK_INT(SSL_CTX_get_num_tickets(ctx), 0);
    CHECK_INT(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
    SSL_CTX_free(ctx);
    eddy_tls_unref(server);
}

static const char *const h2[] = {"h2", "http/1.1", NULL};

static void X14_a_client_offers_its_protocols(void)
{
    static const char *const http[] = {"http/1.1", NULL};
    const unsigned char *chosen;
    unsigned len;
    struct pair p;

    need_certs();
    struct eddy_tls *server = SERVER(.alpn = http), *client = CLIENT(.alpn = h2);
    pair_begin(&p, eddy_tls_ssl_ctx(server), eddy_tls_ssl_ctx(client), "www.test");
    pair_shake(&p);
    CHECK(p.done);
    SSL_get0_alpn_selected(p.client, &chosen, &len);
    CHECK(len == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    pair_end(&p);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

/* ---- copies ---- */

/* Everything that was pointed to is overwritten; a reload reads the copies. */
static void G7_X11_what_options_point_to_is_copied(void)
{
    char pem[8192], key[2048], trust[4096], alpn_name[] = "h2", name[] = "A.Test.",
                                            groups[] = "P-256";
    const char *alpn[] = {alpn_name, NULL};

    need_certs();
    struct eddy_tls *other = SERVER(.min_version = 0);
    struct eddy_tls_name names[] = {{.name = name, .tls = other}, {.name = NULL}};
    struct eddy_tls_opts o =
        *EDDY_TLS_SERVER(.cert_pem = pem, .cert_pem_len = strlen(cert_chain(www)), .key_pem = key,
                         .key_pem_len = strlen(cert_key(www)), .ca_pem = trust,
                         .ca_pem_len = strlen(cert_pem(authority)),
                         .clients = EDDY_TLS_CLIENTS_MAY_HAVE, .alpn = alpn, .names = names,
                         .groups = groups);
    memcpy(pem, cert_chain(www), o.cert_pem_len);
    memcpy(key, cert_key(www), o.key_pem_len);
    memcpy(trust, cert_pem(authority), o.ca_pem_len);
    struct eddy_tls *server = context(&o), *client = CLIENT(.alpn = h2);
    memset(pem, 'x', sizeof pem);
    memset(key, 'x', sizeof key);
    memset(trust, 'x', sizeof trust);
    memset(alpn_name, 'x', sizeof alpn_name - 1);
    memset(name, 'x', sizeof name - 1);
    memset(groups, 'x', sizeof groups - 1);
    memset(alpn, 0, sizeof alpn);
    eddy_tls_unref(other);
    memset(names, 0, sizeof names);
    memset(&o, 0xff, sizeof o);
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK(shake(server, client, "www.test"));
    CHECK(shows(server, www));
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

static void G10_contexts_are_counted(void)
{
    need_certs();
    struct eddy_tls *server = SERVER(.min_version = 0), *client = CLIENT(.min_version = 0);
    CHECK(eddy_tls_ref(server) == server);
    eddy_tls_unref(server);
    CHECK(shake(server, client, "www.test"));
    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    eddy_tls_unref(server);
    CHECK(SSL_CTX_get0_certificate(ctx) != NULL);
    SSL_CTX_free(ctx);
    eddy_tls_unref(client);
    eddy_tls_unref(NULL);
    CHECK(eddy_tls_ref(NULL) == NULL);
    CHECK(eddy_tls_ssl_ctx(NULL) == NULL);
}

/* ---- the key log ---- */

static size_t read_text(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

    close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static int count(const char *text, const char *word)
{
    int n = 0;

    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        n++;
    return n;
}

static void X11_secrets_are_logged_where_one_asks_for_it(void)
{
    static char text[65536];
    struct stat st;

    need_certs();
    const char *path = certs_path("keys.log");
    mode_t mask = umask(0);
    struct eddy_tls *server = SERVER(.min_version = 0);
    struct eddy_tls *client = CLIENT(.keylog_file = path);
    umask(mask);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(shake(server, client, "www.test"));
    read_text(path, text, sizeof text);
    CHECK_INT(count(text, "CLIENT_TRAFFIC_SECRET_0 "), 1);
    eddy_tls_unref(client);
    client = CLIENT(.keylog_file = path, .max_version = EDDY_TLS_1_2);
    CHECK(shake(server, client, "www.test"));
    size_t len = read_text(path, text, sizeof text);
    CHECK_INT(count(text, "CLIENT_TRAFFIC_SECRET_0 "), 1); /* appended */
    CHECK_INT(count(text, "CLIENT_RANDOM "), 1);
    CHECK(len > 0 && text[len - 1] == '\n');
    eddy_tls_unref(client);
    eddy_tls_unref(server);
    CHECK_FAILS(EDDY_TLS_CLIENT(CERT_TRUST(authority), .keylog_file = certs_folder()), -EISDIR,
                certs_folder());
    CHECK_FAILS(EDDY_TLS_CLIENT(CERT_TRUST(authority), .keylog_file = certs_path("no/where")),
                -ENOENT, ".keylog_file");
    certs_remove_folder();
}

struct logging {
    pthread_t thread;
    struct eddy_tls *server, *client;
};

enum { LOGGERS = 4, SHAKES = 25 };

static void *log_secrets(void *user)
{
    struct logging *l = user;

    for (int i = 0; i < SHAKES; i++)
        CHECK(shake(l->server, l->client, "www.test"));
    return NULL;
}

static void X11_threads_log_whole_lines(void)
{
    static char text[LOGGERS * SHAKES * 2048];
    struct logging l[LOGGERS];

    need_certs();
    const char *path = certs_path("keys.log");
    struct eddy_tls *server = SERVER(.keylog_file = path), *client = CLIENT(.keylog_file = path);
    for (int i = 0; i < LOGGERS; i++) {
        l[i].server = server;
        l[i].client = client;
        REQUIRE(pthread_create(&l[i].thread, NULL, log_secrets, &l[i]) == 0);
    }
    for (int i = 0; i < LOGGERS; i++)
        pthread_join(l[i].thread, NULL);
    read_text(path, text, sizeof text);
    int lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        char label[64], random[80], secret[160], more;

        *end = '\0';
        int n =
            sscanf(line, "%63[A-Z_0-9] %79[0-9a-f] %159[0-9a-f]%c", label, random, secret, &more);
        CHECK(n == 3 && strlen(random) == 64 && strlen(secret) >= 64);
    }
    CHECK_INT(lines, LOGGERS * SHAKES * 2 * 5);
    eddy_tls_unref(server);
    eddy_tls_unref(client);
    certs_remove_folder();
}

/* ---- experts ---- */

struct expert {
    int calls, answer;
    SSL_CTX *ctx;
};

static int configure(void *user, struct ssl_ctx_st *ctx)
{
    struct expert *x = user;

    x->calls++;
    x->ctx = ctx;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    return x->answer;
}

static void X11_experts_configure_the_rest(void)
{
    struct expert x = {.answer = 0};
    struct eddy_error e;

    need_certs();
    struct eddy_tls *server = SERVER(.configure = configure, .user = &x);
    struct eddy_tls *client = CLIENT(.min_version = EDDY_TLS_1_3);
    CHECK_INT(x.calls, 1);
    SSL_CTX *ctx = eddy_tls_ssl_ctx(server);
    CHECK(ctx == x.ctx);
    SSL_CTX_free(ctx);
    CHECK(!shake(server, client, "www.test")); /* what is set there comes last */
    CHECK_INT(eddy_tls_reload(server, NULL, NULL), 0);
    CHECK_INT(x.calls, 2);
    x.answer = -EPERM;
    CHECK_INT(eddy_tls_reload(server, NULL, &e), -EPERM);
    CHECK(strstr(e.text, ".configure") != NULL);
    CHECK_FAILS(EDDY_TLS_SERVER(CERT_PEM(www), .configure = configure, .user = &x), -EPERM,
                ".configure");
    eddy_tls_unref(server);
    eddy_tls_unref(client);
}

/* ---- no memory ---- */

static void G5_X11_each_allocation_fails_once(void)
{
    static const char *const list[] = {"a", "b", NULL};
    struct eddy_error e;
    long n;

    need_certs();
    const char *cert = certs_write_text("all.pem", cert_all(www));
    struct eddy_tls *other = SERVER(.min_version = 0);
    const struct eddy_tls_name names[] = {{.name = "a.test", .tls = other}, {.name = NULL}};
    for (n = 1; n < 100; n++) {
        struct eddy_tls *tls = NULL;

        test_fail_allocation(n);
        int rc = eddy_tls_new(EDDY_TLS_SERVER(.cert_file = cert, .names = names, .alpn = list,
                                              .keylog_file = certs_path("log"), .error = &e),
                              &tls);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        if (!failed) {
            CHECK_INT(rc, 0);
            eddy_tls_unref(tls);
            break;
        }
        CHECK_INT(rc, -ENOMEM);
        CHECK_INT(e.code, -ENOMEM);
        CHECK(tls == NULL);
    }
    CHECK(n > 4 && n < 100);
    eddy_tls_unref(other);
    certs_remove_folder();
}

const struct test_case test_cases[] = {
    TEST(X11_certificate_and_key_from_two_files),
    TEST(X11_certificate_and_key_from_one_file),
    TEST(X11_certificate_and_key_from_memory),
    TEST(X11_a_key_before_its_certificate_and_in_the_old_form),
    TEST(X11_the_chain_is_sent),
    TEST(X11_an_encrypted_key_with_its_passphrase),
    TEST(X11_a_client_has_a_certificate_too),
    TEST(X11_an_expired_certificate_is_taken_and_shows_by_its_date),
    TEST(X11_our_certificate_in_pem),
    TEST(X11_a_throw_away_certificate_is_good_for_its_names),
    TEST(X11_a_throw_away_certificate_needs_names),
    TEST(X11_what_is_wrong_with_a_certificate_is_said_with_its_file),
    TEST(X11_what_is_wrong_with_a_key_is_said_with_its_file),
    TEST(X11_a_key_of_another_kind_does_not_fit),
    TEST(X11_a_key_that_is_too_short_is_refused),
    TEST(X11_what_is_wrong_with_a_passphrase_is_said),
    TEST(X11_the_passphrase_is_wiped),
    TEST(X11_files_that_are_too_large_are_refused),
    TEST(X11_files_that_may_not_be_read_are_named),
    TEST(G4_X11_options_that_contradict_each_other_are_refused),
    TEST(G4_X11_values_out_of_range_are_refused),
    TEST(G4_X11_names_must_be_names),
    TEST(G8_options_of_another_size),
    TEST(X12_versions_are_1_2_and_1_3),
    TEST(X12_ciphers_have_forward_secrecy_and_aead),
    TEST(X12_groups_are_three),
    TEST(X12_post_quantum_groups_by_hand_only),
    TEST(X12_ciphers_and_groups_by_hand),
    TEST(X11_X47_the_systems_configuration_was_read),
    TEST(X11_X47_modes),
    TEST(X11_sessions_belong_to_their_context),
    TEST(X15_no_resumption_is_no_resumption),
    TEST(X14_a_client_offers_its_protocols),
    TEST(G7_X11_what_options_point_to_is_copied),
    TEST(G10_contexts_are_counted),
    TEST(X11_secrets_are_logged_where_one_asks_for_it),
    TEST(X11_threads_log_whole_lines),
    TEST(X11_experts_configure_the_rest),
    TEST(G5_X11_each_allocation_fails_once),
    TEST_END,
};
