/* backends: epoll sim */
/* The names in a client's hello: which context serves it, and which protocol. Contract X14. */
#include "tests/contract/tls_pair.h"

static struct cert *blog, *wild, *shop;

static void need_names(void)
{
    need_www();
    if (blog)
        return;
    blog = cert_new(CERT(.cn = "blog", .names = "blog.test", .issuer = authority));
    wild = cert_new(CERT(.cn = "wild", .names = "*.wild.test", .issuer = authority));
    shop = cert_new(CERT(.cn = "shop", .names = "shop.test", .issuer = authority));
}

/* ---- contexts by name ---- */

/* Who has answered: the common name of the certificate, or the code. */
static const char *who(struct tls_stage *c, const char *host)
{
    static char subject[64];
    struct actor a;
    struct eddy_tls_cert *cert;
    c->s.connection_opts.server_hostname = host;
    c->s.connection_opts.no_name_check = true;
    test_expect_log("not verified to be for that name");
    stage_add(&c->s, &a, false);
    int status = pair_connect(c, &a);
    if (status == 0) {
        CHECK_INT(eddy_tls_peer_cert(a.t, 0, &cert), 0);
        snprintf(subject, sizeof subject, "%s", cert->subject);
        eddy_tls_cert_free(cert);
        eddy_transport_abort(a.t, NULL);
        UNTIL_LOST(&c->s, &a);
    } else {
        snprintf(subject, sizeof subject, "%.60s", a.error.text);
        UNTIL(&c->s, a.p == NULL);
    }
    eddy_future_unref(a.future);
    a.future = NULL;
    c->s.cast_count--;
    return subject;
}

/* A server that takes any number of clients, and does nothing with them. */
static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}
static const struct eddy_protocol_class quiet_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("quiet"),
    .data_received = ignore_data,
};

static struct eddy_tls *of_select, *of_client;
static int asked;
static char asked_for[256];
static struct eddy_tls *choose(void *user, const char *name)
{
    asked++;
    snprintf(asked_for, sizeof asked_for, "%s", name);
    CHECK_STR(user, "me");
    ERR_raise(ERR_LIB_USER, 1); /* of whatever it has asked OpenSSL: nobody's business */
    return strcmp(name, "shop.test") == 0     ? of_select
           : strcmp(name, "client.test") == 0 ? of_client
                                              : NULL;
}

static void open_names(struct tls_stage *c, bool strict)
{
    need_names();
    struct eddy_tls *a = context(EDDY_TLS_SERVER(CERT_PEM(blog)));
    struct eddy_tls *b = context(EDDY_TLS_SERVER(CERT_PEM(wild)));
    of_select = context(EDDY_TLS_SERVER(CERT_PEM(shop)));
    const struct eddy_tls_name names[] = {{"Blog.test.", a}, {"*.wild.test", b}, {NULL, NULL}};
    pair_init(c, WWW(.names = names, .select = choose, .user = "me", .strict_names = strict),
              TRUSTING(.no_resumption = true));
    eddy_tls_unref(a);
    eddy_tls_unref(b);
    c->s.server_class = &quiet_class;
    c->s.server_opts.arg = NULL;
    pair_begin(c);
}

static void X14_the_name_that_is_asked_for_chooses_the_context(void)
{
    struct tls_stage c;
    open_names(&c, false);
    CHECK_STR(who(&c, "blog.test"), "CN=blog");
    CHECK_STR(who(&c, "BLOG.TEST."), "CN=blog");
    CHECK_STR(who(&c, "a.wild.test"), "CN=wild");
    CHECK_STR(who(&c, "wild.test"), "CN=www");
    CHECK_STR(who(&c, "a.b.wild.test"), "CN=www");
    CHECK_STR(who(&c, "shop.test"), "CN=shop");
    CHECK_STR(who(&c, "other.test"), "CN=www");
    CHECK_STR(who(&c, "127.0.0.1"), "CN=www");
    of_client = c.client; /* serves nobody */
    CHECK_STR(who(&c, "client.test"), "CN=www");
    of_client = NULL;
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

static void X14_strict_names_leave_the_others_out(void)
{
    const char *refusal = "TLS handshake: the peer sent alert: unrecognized name";
    const char *reason = "TLS handshake: the client asks for a name of nobody here";
    struct tls_stage c;
    open_names(&c, true);
    CHECK_STR(who(&c, "blog.test"), "CN=blog");
    CHECK_STR(who(&c, "other.test"), refusal);
    CHECK_STR(pair_problem(&c), reason);
    CHECK_STR(who(&c, "127.0.0.1"), refusal);
    CHECK_STR(pair_problem(&c), reason);
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

/* In no order; by turns blog's, a wildcard, and shop's. */
static void X14_many_names(void)
{
    enum { MANY_NAMES = 3000 };
    static struct eddy_tls_name names[MANY_NAMES + 1];
    static char text[MANY_NAMES][24];
    struct tls_stage c;
    need_names();
    struct cert *certs[] = {blog, wild, shop};
    struct eddy_tls *of[3];
    for (int i = 0; i < 3; i++)
        of[i] = context(EDDY_TLS_SERVER(CERT_PEM(certs[i])));
    for (int i = 0; i < MANY_NAMES; i++) {
        int n = i * 7 % MANY_NAMES; /* each once */
        snprintf(text[i], sizeof text[i], n % 3 == 1 ? "*.n%d.test" : "n%d.test", n);
        names[i] = (struct eddy_tls_name){text[i], of[n % 3]};
    }
    pair_init(&c, WWW(.names = names), TRUSTING());
    c.s.server_class = &quiet_class;
    c.s.server_opts.arg = NULL;
    pair_begin(&c);
    CHECK_STR(who(&c, "n0.test"), "CN=blog");
    CHECK_STR(who(&c, "n1.test"), "CN=www");
    CHECK_STR(who(&c, "a.n1.test"), "CN=wild");
    CHECK_STR(who(&c, "a.b.n1.test"), "CN=www");
    CHECK_STR(who(&c, "N1500.Test"), "CN=blog");
    CHECK_STR(who(&c, "x.n2998.test"), "CN=wild");
    CHECK_STR(who(&c, "n2999.test"), "CN=shop");
    CHECK_STR(who(&c, "n3000.test"), "CN=www");
    tls_stage_close(&c);
    for (int i = 0; i < 3; i++)
        eddy_tls_unref(of[i]);
}

/* ---- what goes with the context ---- */

static void X14_client_rules_and_trust_are_those_of_the_name(void)
{
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++) {
        struct tls_stage c;
        need_names();
        struct eddy_tls *strict = context(EDDY_TLS_SERVER(CERT_PEM(blog), CERT_TRUST(authority),
                                                          .clients = EDDY_TLS_CLIENTS_MUST_HAVE));
        const struct eddy_tls_name names[] = {{"blog.test", strict}, {NULL, NULL}};
        pair_init(&c, WWW(.names = names), TRUSTING(.max_version = version));
        c.s.connection_opts.server_hostname = "blog.test";
        pair_begin(&c);
        CHECK_INT(pair_connect(&c, &c.s.client), version == EDDY_TLS_1_3 ? 0 : EDDY_ETLS);
        CHECK_STR(pair_problem(&c), "TLS handshake: the client has shown no certificate");
        CHECK_INT(c.s.peer.count[ON_MADE], 0);
        tls_stage_close(&c);
        eddy_tls_unref(strict);
    }
}

static void X14_versions_are_those_of_the_name(void)
{
    struct tls_stage c;
    need_names();
    struct eddy_tls *strict = context(EDDY_TLS_SERVER(CERT_PEM(blog), .min_version = EDDY_TLS_1_3));
    const struct eddy_tls_name names[] = {{"blog.test", strict}, {NULL, NULL}};
    pair_init(&c, WWW(.names = names), TRUSTING(.max_version = EDDY_TLS_1_2));
    c.s.connection_opts.server_hostname = "blog.test";
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS);
    CHECK_STR(pair_problem(&c), "TLS handshake: no version in common");
    tls_stage_close(&c);
    eddy_tls_unref(strict);
}

/* A connection to a server with `server` that has `name` for www.test; the client's code. */
static int connect_to_name(struct tls_stage *c, const struct eddy_tls_opts *server,
                           const struct eddy_tls_opts *name, const struct eddy_tls_opts *client)
{
    struct eddy_tls *tls = context(name);
    const struct eddy_tls_name names[] = {{"www.test", tls}, {NULL, NULL}};
    struct eddy_tls_opts o = *server;
    o.names = names;
    pair_init(c, &o, client);
    eddy_tls_unref(tls);
    pair_begin(c);
    return pair_connect(c, &c->s.client);
}

static void X14_revocation_lists_are_those_of_the_name(void)
{
    need_names();
    char *list = cert_crl(authority, blog);
    const char *path = certs_write_text("list.pem", list);
    const struct eddy_tls_opts *with =
        WWW(CERT_TRUST(authority), .crl_file = path, .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    const struct eddy_tls_opts *without =
        WWW(CERT_TRUST(authority), .clients = EDDY_TLS_CLIENTS_MUST_HAVE);
    const struct eddy_tls_opts *client = TRUSTING(CERT_PEM(blog), .max_version = EDDY_TLS_1_2);
    struct tls_stage c;
    CHECK_INT(connect_to_name(&c, without, with, client), EDDY_ETLS);
    CHECK(strstr(pair_problem(&c), "certificate revoked") != NULL);
    tls_stage_close(&c);
    CHECK_INT(connect_to_name(&c, with, without, client), 0);
    tls_stage_close(&c);
    certs_remove_folder();
    free(list);
}

static void X14_suites_groups_and_the_newest_version_are_those_of_the_name(void)
{
    struct tls_stage c;
    need_www();
    CHECK_INT(connect_to_name(&c, WWW(.min_version = 0),
                              WWW(.suites = "TLS_AES_128_GCM_SHA256", .groups = "P-384"),
                              TRUSTING()),
              0);
    CHECK_STR(info_of(&c.s.client).cipher, "TLS_AES_128_GCM_SHA256");
    CHECK_INT(SSL_get_negotiated_group(eddy_tls_ssl(c.s.client.t)), NID_secp384r1);
    tls_stage_close(&c);
    CHECK_INT(connect_to_name(&c, WWW(.groups = "P-384"), WWW(.min_version = 0), TRUSTING()), 0);
    CHECK_STR(info_of(&c.s.client).group, "x25519"); /* the usual ones are rules, too */
    tls_stage_close(&c);
    CHECK_INT(
        connect_to_name(&c, WWW(.min_version = 0), WWW(.max_version = EDDY_TLS_1_2), TRUSTING()),
        0);
    CHECK_STR(info_of(&c.s.client).version, "TLSv1.2");
    tls_stage_close(&c);
}

#define OPTION_OF_NAME SSL_OP_NO_ENCRYPT_THEN_MAC
#define OPTION_OF_SERVER SSL_OP_TLSEXT_PADDING

static int configure_name(void *user, SSL_CTX *ctx)
{
    (void)user;
    SSL_CTX_set_options(ctx, OPTION_OF_NAME);
    SSL_CTX_set_verify_depth(ctx, 3);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK);
    return 0;
}

static int configure_server(void *user, SSL_CTX *ctx)
{
    (void)user;
    SSL_CTX_set_options(ctx, OPTION_OF_SERVER);
    SSL_CTX_set_verify_depth(ctx, 7);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

static void X14_what_experts_configure_is_that_of_the_name(void)
{
    struct tls_stage c;
    need_www();
    CHECK_INT(connect_to_name(&c, WWW(.configure = configure_server),
                              WWW(.configure = configure_name), TRUSTING()),
              0);
    UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
    SSL *ssl = eddy_tls_ssl(c.s.peer.t);
    unsigned long flags = X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl));
    CHECK((SSL_get_options(ssl) & (OPTION_OF_NAME | OPTION_OF_SERVER)) == OPTION_OF_NAME);
    CHECK_INT(SSL_get_verify_depth(ssl), 3);
    CHECK((flags & (X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)) == X509_V_FLAG_CRL_CHECK);
    tls_stage_close(&c);
}

/* The second connection to a name. */
static bool is_resumed(bool server, bool name, int version)
{
    struct tls_stage c;
    struct actor again, guest;
    struct eddy_tls *tls = context(WWW(.no_resumption = !name));
    const struct eddy_tls_name names[] = {{"www.test", tls}, {NULL, NULL}};
    pair_init(&c, WWW(.no_resumption = !server, .names = names), TRUSTING(.max_version = version));
    eddy_tls_unref(tls);
    stage_add(&c.s, &again, false);
    stage_add(&c.s, &guest, true);
    pair_open(&c);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0); /* behind the tickets */
    UNTIL(&c.s, c.s.client.received == 1);
    CHECK_INT(pair_connect(&c, &again), 0);
    UNTIL(&c.s, guest.count[ON_MADE] == 1);
    bool resumed = info_of(&again).resumed;
    tls_stage_close(&c);
    return resumed;
}

static void X14_X15_resumption_is_that_of_the_server(void)
{
    need_www();
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++)
        for (int i = 0; i < 4; i++)
            CHECK_INT(is_resumed(i & 1, i & 2, version), i & 1);
}

/* A session that one name has given out, where no certificate is asked for, opens no other's door:
 * the client keeps it by name, so a name is moved here from one context to another. */
static void X14_X15_no_session_is_resumed_across_contexts(void)
{
    for (int version = EDDY_TLS_1_2; version <= EDDY_TLS_1_3; version++) {
        struct tls_stage c;
        struct actor again, guest;
        need_names();
        struct eddy_tls *strict = context(EDDY_TLS_SERVER(CERT_PEM(www), CERT_TRUST(authority),
                                                          .clients = EDDY_TLS_CLIENTS_MUST_HAVE));
        const struct eddy_tls_name names[] = {{"www.test", strict}, {NULL, NULL}};
        pair_init(&c, WWW(), TRUSTING(.max_version = version));
        stage_add(&c.s, &again, false);
        stage_add(&c.s, &guest, true);
        c.s.peer.on[ON_MADE] = do_echo;
        pair_open(&c);
        CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0);
        UNTIL(&c.s, c.s.client.received == 1); /* and the tickets before it */
        CHECK_INT(eddy_tls_reload(c.server, WWW(.names = names), NULL), 0);
        CHECK_INT(pair_connect(&c, &again), version == EDDY_TLS_1_3 ? 0 : EDDY_ETLS);
        CHECK_STR(pair_problem(&c), "TLS handshake: the client has shown no certificate");
        tls_stage_close(&c);
        eddy_tls_unref(strict);
    }
}

/* ---- protocols ---- */

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_alpn(const char *const *server, const char *const *client, const char *expected)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(.alpn = server), TRUSTING(.alpn = client));
    pair_open(&c);
    const char *at_client = info_of(&c.s.client).alpn, *at_server = info_of(&c.s.peer).alpn;
    if (expected) {
        CHECK_STR(at_client, expected);
        CHECK_STR(at_server, expected);
    } else {
        CHECK(!at_client && !at_server);
    }
    tls_stage_close(&c);
}

static void X14_the_server_prefers_among_what_the_client_has(void)
{
    check_alpn(LIST("h2", "http/1.1"), LIST("http/1.1", "h2"), "h2");
    check_alpn(LIST("h2", "http/1.1"), LIST("x", "http/1.1"), "http/1.1");
    check_alpn(LIST("h2", "http/1.1"), LIST("h3", "http/1.1"), "http/1.1");
    check_alpn(LIST("h2"), NULL, NULL);
    check_alpn(NULL, LIST("h2"), NULL);
    check_alpn(LIST("h"), LIST("h2", "h"), "h");
}

static void X14_no_protocol_in_common_is_the_end(void)
{
    struct tls_stage c;
    need_www();
    pair_init(&c, WWW(.alpn = LIST("h2")), TRUSTING(.alpn = LIST("imap")));
    pair_begin(&c);
    CHECK_INT(pair_connect(&c, &c.s.client), EDDY_ETLS);
    CHECK_STR(pair_problem(&c), "TLS handshake: no application protocol (ALPN) in common");
    CHECK_STR(c.s.client.error.text, "TLS handshake: the peer sent alert: no application protocol");
    tls_stage_close(&c);
}

/* ---- hellos that nobody of ours sends ---- */

static void X14_a_broken_name_is_the_end(void)
{
    struct tls_stage c;
    struct wire w;
    need_names();
    struct eddy_tls *a = context(EDDY_TLS_SERVER(CERT_PEM(blog)));
    const struct eddy_tls_name names[] = {{"blog.test", a}, {NULL, NULL}};
    pair_init(&c, WWW(.names = names), TRUSTING());
    pair_begin(&c);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    char name[255];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK(
        SSL_set_tlsext_host_name(w.ssl, (char *)(uintptr_t)name)); /* long, but a name: no one's */
    CHECK_INT(wire_handshake(&w), 1);
    UNTIL(&c.s, c.s.peer.count[ON_MADE] == 1);
    CHECK_STR(info_of(&c.s.peer).server_hostname, name);
    wire_end(&w);
    UNTIL_LOST(&c.s, &c.s.peer);
    tls_stage_close(&c);
    eddy_tls_unref(a);
}

static void ask_for(const char *name, bool has_names)
{
    struct tls_stage c;
    struct wire w;
    open_names(&c, false);
    if (!has_names)
        CHECK_INT(eddy_tls_reload(c.server, WWW(), NULL), 0);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    SSL_set_tlsext_host_name(w.ssl, (char *)(uintptr_t)name);
    asked = 0;
    CHECK_INT(wire_handshake(&w), -1);
    CHECK_STR(pair_problem(&c), "TLS handshake: the client's SNI is broken");
    CHECK_INT(asked, 0);
    wire_end(&w);
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

static void X14_what_is_no_host_is_no_name(void)
{
    static const char *const bad[] = {"../../a", "\x1b[2J", "a\r\nHost: b", "\xc3\xa4.test",
                                      "a b",     "..",      "...",          "a..b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask_for(bad[i], false);
        ask_for(bad[i], true);
    }
}

/* A hello as short as can be, with this for its SNI, and letters behind that for whoever reads on.
 */
static size_t make_hello(uint8_t *ret, const void *sni, size_t len)
{
    static const uint8_t suites[] = {0, 2, 0xc0, 0x2b, 1, 0};
    const uint8_t lengths[] = {(uint8_t)((len + 8) >> 8), (uint8_t)(len + 8), 0, 0,
                               (uint8_t)(len >> 8),       (uint8_t)len};
    uint8_t *at = ret + 9;
    *at++ = 3;
    *at++ = 3;
    memset(at, 7, 32);
    at[32] = 0; /* no session */
    at += 33;
    at = (uint8_t *)memcpy(at, suites, sizeof suites) + sizeof suites;
    at = (uint8_t *)memcpy(at, lengths, sizeof lengths) + sizeof lengths;
    at = (uint8_t *)memcpy(at, sni, len) + len;
    at = (uint8_t *)memcpy(at, "aa\0\0", 4) + 4;
    size_t n = (size_t)(at - ret) - 5;
    memcpy(ret, (uint8_t[]){22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n, 1, 0}, 7);
    ret[7] = (uint8_t)((n - 4) >> 8);
    ret[8] = (uint8_t)(n - 4);
    return n + 5;
}

/* What the server says to that: "" if it has looked for a context. */
static const char *answer(struct tls_stage *c, const void *sni, size_t len)
{
    static uint8_t hello[8192];
    uint8_t alert[7] = {0};
    int fd = raw_connect(&c->s);
    asked = 0;
    CHECK_INT(raw_send(&c->s, fd, hello, make_hello(hello, sni, len)), 0);
    const char *problem = pair_problem(c);
    CHECK_INT(raw_recv(&c->s, fd, alert, sizeof alert), sizeof alert);
    raw_close(&c->s, fd);
    if (asked)
        return "";
    CHECK(alert[0] == SSL3_RT_ALERT && alert[6] == SSL_AD_DECODE_ERROR);
    return problem;
}

#define SNI(bytes) bytes, sizeof bytes - 1

static void X14_an_SNI_whose_lengths_are_wrong_is_broken(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {SNI("")},
        {SNI("\0")},
        {SNI("\0\0")},
        {SNI("\0\1\0")},
        {SNI("\0\2\0\0")},
        {SNI("\0\3\0\0\0")},
        {SNI("\0\13\0\0\11shop.test")},    /* the list is longer ... */
        {SNI("\0\15\0\0\11shop.test")},    /* ... or shorter */
        {SNI("\377\377\0\0\11shop.test")}, /* ... by much */
        {SNI("\0\14\0\0\10shop.test")},    /* the name is longer ... */
        {SNI("\0\14\0\0\12shop.test")},    /* ... or shorter */
        {SNI("\0\14\0\377\377shop.test")}, /* ... by much */
        {SNI("\0\14\1\0\11shop.test")},    /* of another type */
        {SNI("\0\15\0\0\12shop.test\0")},
        {SNI("\0\16\0\0\13shop.test\0a")},
        {SNI("\0\30\0\0\11shop.test\0\0\11blog.test")},
    };
    struct tls_stage c;
    open_names(&c, false);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_STR(answer(&c, bad[i].bytes, bad[i].len),
                  "TLS handshake: the client's SNI is broken");
    CHECK_STR(answer(&c, SNI("\0\14\0\0\11shop.test")), "");
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

/* As only raw hellos have it. */
static void X14_an_SNI_with_a_dot_at_either_end(void)
{
    struct tls_stage c;
    open_names(&c, false);
    CHECK_STR(answer(&c, SNI("\0\15\0\0\12shop.test.")), "");
    CHECK_STR(asked_for, "shop.test");
    CHECK_STR(answer(&c, SNI("\0\15\0\0\12.wild.test")), ""); /* no label for the wildcard */
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

static void X14_an_SNI_that_is_longer_than_names_are_is_broken(void)
{
    static uint8_t sni[5 + 4096];
    struct tls_stage c;
    open_names(&c, false);
    memset(sni + 5, 'a', sizeof sni - 5);
    for (size_t len = 255; len <= 4096; len += len < 257 ? 1 : 3839) {
        memcpy(sni, (uint8_t[]){(uint8_t)((len + 3) >> 8), (uint8_t)(len + 3), 0}, 3);
        memcpy(sni + 3, (uint8_t[]){(uint8_t)(len >> 8), (uint8_t)len}, 2);
        CHECK_STR(answer(&c, sni, len + 5),
                  len == 255 ? "" : "TLS handshake: the client's SNI is broken");
    }
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

/* What the second hello asks for; there is one, as the server has no group of the first's key. */
static const char *second_name;
static void change_name(int sent, int version, int type, const void *buf, size_t len, SSL *ssl,
                        void *arg)
{
    (void)version, (void)len, (void)arg;
    if (!sent && type == SSL3_RT_HANDSHAKE && *(const uint8_t *)buf == SSL3_MT_SERVER_HELLO)
        SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)second_name);
}

static void say_hello_twice(const char *first, const char *second, bool is_good)
{
    struct tls_stage c;
    struct wire w;
    open_names(&c, false);
    wire_client(&w, &c.s, raw_connect(&c.s), 0);
    REQUIRE(SSL_set1_groups_list(w.ssl, "P-521:P-256") == 1);
    SSL_set_tlsext_host_name(w.ssl, (char *)(uintptr_t)first);
    second_name = second;
    SSL_set_msg_callback(w.ssl, change_name);
    CHECK_INT(wire_handshake(&w), is_good ? 1 : -1);
    if (!is_good)
        CHECK_STR(pair_problem(&c), "TLS handshake: the client's second hello asks for another "
                                    "name than the first");
    wire_end(&w);
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

static void X14_a_second_hello_must_ask_for_the_name_of_the_first(void)
{
    say_hello_twice("blog.test", "blog.test", true);
    say_hello_twice(NULL, NULL, true);
    say_hello_twice("blog.test", "a.wild.test", false);
    say_hello_twice("blog.test", NULL, false);
    say_hello_twice(NULL, "blog.test", false);
    say_hello_twice("other.test", "blog.test", false);
}

const struct test_case test_cases[] = {
    CASE(X14_the_name_that_is_asked_for_chooses_the_context),
    CASE(X14_strict_names_leave_the_others_out),
    CASE(X14_many_names),
    CASE(X14_client_rules_and_trust_are_those_of_the_name),
    CASE(X14_versions_are_those_of_the_name),
    CASE(X14_revocation_lists_are_those_of_the_name),
    CASE(X14_suites_groups_and_the_newest_version_are_those_of_the_name),
    CASE(X14_what_experts_configure_is_that_of_the_name),
    CASE(X14_X15_resumption_is_that_of_the_server),
    CASE(X14_X15_no_session_is_resumed_across_contexts),
    CASE(X14_the_server_prefers_among_what_the_client_has),
    CASE(X14_no_protocol_in_common_is_the_end),
    CASE(X14_a_broken_name_is_the_end),
    CASE(X14_what_is_no_host_is_no_name),
    CASE(X14_an_SNI_whose_lengths_are_wrong_is_broken),
    CASE(X14_an_SNI_with_a_dot_at_either_end),
    CASE(X14_an_SNI_that_is_longer_than_names_are_is_broken),
    CASE(X14_a_second_hello_must_ask_for_the_name_of_the_first),
    TEST_END,
};
