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

static struct eddy_tls *of_select;
static struct eddy_tls *choose(void *user, const char *name)
{
    CHECK_STR(user, "me");
    ERR_raise(ERR_LIB_USER, 1); /* of whatever it has asked OpenSSL: nobody's business */
    return strcmp(name, "shop.test") == 0 ? of_select : NULL;
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
    CHECK_INT(wire_handshake(&w), -1);
    CHECK_STR(pair_problem(&c), "TLS handshake: the client's SNI is broken");
    wire_end(&w);
    tls_stage_close(&c);
    eddy_tls_unref(of_select);
}

static void X14_what_is_no_host_is_no_name(void)
{
    static const char *const bad[] = {"../../a", "\x1b[2J", "a\r\nHost: b", "\xc3\xa4.test", "a b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask_for(bad[i], false);
        ask_for(bad[i], true);
    }
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
    CASE(X14_client_rules_and_trust_are_those_of_the_name),
    CASE(X14_versions_are_those_of_the_name),
    CASE(X14_X15_no_session_is_resumed_across_contexts),
    CASE(X14_the_server_prefers_among_what_the_client_has),
    CASE(X14_no_protocol_in_common_is_the_end),
    CASE(X14_a_broken_name_is_the_end),
    CASE(X14_what_is_no_host_is_no_name),
    CASE(X14_a_second_hello_must_ask_for_the_name_of_the_first),
    TEST_END,
};
