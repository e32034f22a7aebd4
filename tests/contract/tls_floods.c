/* backends: epoll sim sim-late */
/*
 * Peers who want to cost us more than they pay: floods of key updates, tickets, empty records and
 * alerts, handshakes that are begun and not finished, or slowly, or too large, and readers that do
 * not read. Each is ended or bounded, and a connection beside it goes on.
 */
#include "tests/contract/tls_calls.h"
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>

#define KEY_UPDATES 20000
#define HALF_OPEN 2000
#define MANY 4096 /* more of anything than anybody needs */

/* What a flood may make us keep at any time, beyond what there was. */
#define MEMORY (512 * 1024)

/* ---- the stage: a connection of ours that must go on, and a guest for the attacker ---- */

struct siege {
    struct tls_stage c; /* first */
    struct actor victim;
    struct wire wire;
};

static void siege_init(struct siege *g, const struct eddy_tls_opts *server)
{
    tls_stage_init_opts(&g->c, server, NULL);
    stage_add(&g->c.s, &g->victim, true);
    stage_keyed(&g->c.s);
}

static void siege_begin(struct siege *g)
{
    stage_open(&g->c.s);
    eddy_loop_set_debug(g->c.s.loop, true); /* failed handshakes are problems */
    eddy_loop_set_slow_callback(g->c.s.loop, EDDY_FOREVER);
    test_reset_peak_bytes();
}

/* With an attacker whose handshake is done. */
static void siege_open(struct siege *g, int version)
{
    siege_begin(g);
    wire_client(&g->wire, &g->c.s, raw_connect(&g->c.s), version);
    CHECK_INT(wire_handshake(&g->wire), 1);
    UNTIL(&g->c.s, g->victim.count[ON_MADE] == 1);
    test_reset_peak_bytes();
}

static void check_others(struct siege *g)
{
    struct actor *to = &g->c.s.peer;
    size_t before = to->received;

    CHECK_INT(actor_write(&g->c.s.client, 1000), 0);
    UNTIL(&g->c.s, to->received == before + 1000);
}

static void check_memory(long before)
{
    if (test_peak_bytes() > before + MEMORY)
        FAIL("%ld bytes more than before at one time", test_peak_bytes() - before);
}

/* The server has ended the attacker's connection, and says why. */
static void check_ended(struct siege *g, const char *why)
{
    UNTIL_LOST(&g->c.s, &g->victim);
    CHECK_INT(g->victim.code, EDDY_ETLS);
    if (!strstr(g->victim.error.text, why))
        FAIL("\"%s\" does not speak of \"%s\"", g->victim.error.text, why);
}

static void siege_close(struct siege *g)
{
    check_others(g);
    if (g->wire.ssl)
        wire_end(&g->wire);
    tls_stage_close(&g->c);
}

/* As much as the socket takes. False: the other side has had enough, or takes nothing more. */
static bool pour(struct stage *s, int fd, const void *data, size_t len)
{
    int idle = 0;

    while (len > 0 && idle < 50) {
        ssize_t n = s->sys->cls->send(s->sys, fd, data, len);

        if (n < 0 && n != -EAGAIN)
            return false;
        if (n > 0) {
            data = (const char *)data + n;
            len -= (size_t)n;
        }
        idle = n > 0 ? 0 : idle + 1;
        eddy_loop_run_once(s->loop, idle > 0 ? EDDY_MSEC(1) : 0);
    }
    return len == 0;
}

/* What OpenSSL has written, as pour. */
static bool pour_wire(struct wire *w)
{
    char buf[16384];
    int n;

    while ((n = BIO_read(SSL_get_wbio(w->ssl), buf, sizeof buf)) > 0) {
        if (!pour(w->s, w->fd, buf, (size_t)n))
            return false;
    }
    return true;
}

/* ---- records that OpenSSL would not write: TLS 1.3, AES-256-GCM ---- */

struct forge {
    unsigned char key[32], iv[12];
    uint64_t seq;
};

static char secret_line[256];

static void remember_secret(const SSL *ssl, const char *line)
{
    (void)ssl;
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
        snprintf(secret_line, sizeof secret_line, "%s", line);
}

/* RFC 8446 7.1, without a context. */
static void expand_label(const unsigned char secret[48], const char *label, unsigned char *ret,
                         size_t len)
{
    unsigned char info[64] = {0, (unsigned char)len, (unsigned char)(6 + strlen(label))};
    size_t label_len = strlen(label);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    char digest[] = "SHA384";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_len);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, 48),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 10 + label_len),
        OSSL_PARAM_construct_end(),
    };
    REQUIRE(EVP_KDF_derive(ctx, ret, len, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* From the client's secret, as the key log has it. */
static void forge_init(struct forge *f)
{
    unsigned char secret[48];
    const char *hex = strrchr(secret_line, ' ') + 1;

    REQUIRE(strlen(hex) == 2 * sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++) {
        unsigned byte = 0;
        CHECK_INT(sscanf(hex + 2 * i, "%2x", &byte), 1);
        secret[i] = (unsigned char)byte;
    }
    expand_label(secret, "key", f->key, sizeof f->key);
    expand_label(secret, "iv", f->iv, sizeof f->iv);
    f->seq = 0;
}

/* A record of this type around `data`; its length. */
static size_t forge_record(struct forge *f, int type, const void *data, size_t len,
                           unsigned char *ret)
{
    unsigned char inner[64], nonce[12];
    size_t body = len + 1 + 16;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;

    memcpy(inner, data, len);
    inner[len] = (unsigned char)type;
    memcpy(ret, (unsigned char[]){23, 3, 3, (unsigned char)(body >> 8), (unsigned char)body}, 5);
    memcpy(nonce, f->iv, sizeof nonce);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] ^= (unsigned char)(f->seq >> (56 - 8 * i));
    f->seq++;
    REQUIRE(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, f->key, nonce) == 1 &&
            EVP_EncryptUpdate(c, NULL, &n, ret, 5) == 1 &&
            EVP_EncryptUpdate(c, ret + 5, &n, inner, (int)(len + 1)) == 1 &&
            EVP_EncryptFinal_ex(c, ret + 5 + n, &n) == 1 &&
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, ret + 5 + len + 1) == 1);
    EVP_CIPHER_CTX_free(c);
    return 5 + body;
}

/* The attacker sends so many of them at once. */
static void siege_forge(struct siege *g, int type, const void *data, size_t len, int count)
{
    static unsigned char out[MANY * 64];
    struct forge f;
    size_t n = 0;

    siege_begin(g);
    wire_client(&g->wire, &g->c.s, raw_connect(&g->c.s), 0);
    SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(g->wire.ssl), remember_secret);
    CHECK_INT(SSL_set_ciphersuites(g->wire.ssl, "TLS_AES_256_GCM_SHA384"), 1);
    CHECK_INT(wire_handshake(&g->wire), 1);
    UNTIL(&g->c.s, g->victim.count[ON_MADE] == 1);
    forge_init(&f);
    test_reset_peak_bytes();
    for (int i = 0; i < count; i++)
        n += forge_record(&f, type, data, len, out + n);
    pour(&g->c.s, g->wire.fd, out, n);
}

/* ---- after the handshake ---- */

static void flood_with_key_updates(int kind)
{
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_open(&g, 0);
    long before = test_live_bytes();
    for (int i = 0; i < KEY_UPDATES && g.victim.count[ON_LOST] == 0; i++) {
        CHECK_INT(SSL_key_update(g.wire.ssl, kind), 1);
        CHECK_INT(SSL_do_handshake(g.wire.ssl), 1);
        if (i % 500 == 499)
            pour_wire(&g.wire);
    }
    check_ended(&g, "floods us");
    check_memory(before);
    siege_close(&g);
}

static void X17_a_flood_of_key_updates_ends_the_connection(void)
{
    flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
}

static void X17_a_flood_of_key_updates_to_be_answered_ends_the_connection(void)
{
    flood_with_key_updates(SSL_KEY_UPDATE_REQUESTED);
}

/* As many as anybody needs are fine. */
static void X17_fifty_key_updates_are_no_flood(void)
{
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_open(&g, 0);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(SSL_key_update(g.wire.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        CHECK_INT(SSL_do_handshake(g.wire.ssl), 1);
    }
    wire_write(&g.wire, "still here", 10);
    UNTIL(&g.c.s, g.victim.received == 10);
    wire_write(&g.wire, "still here", 10); /* what has had enough notices with the next arrival */
    UNTIL(&g.c.s, g.victim.received == 20);
    siege_close(&g);
}

static void X26_a_flood_of_empty_records_ends_the_connection(void)
{
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_forge(&g, SSL3_RT_APPLICATION_DATA, "", 0, MANY);
    check_ended(&g, "TLS");
    CHECK_INT(g.victim.received, 0);
    siege_close(&g);
}

/* What the forger makes is what the server takes, and the limit is on records in a row. */
static void X26_a_few_empty_records_are_no_flood(void)
{
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_forge(&g, SSL3_RT_APPLICATION_DATA, "", 0, 20);
    stage_settle(&g.c.s);
    CHECK_INT(g.victim.count[ON_LOST], 0);
    siege_close(&g);
}

static void X26_a_flood_of_warnings_ends_the_connection(void)
{
    static const unsigned char user_canceled[] = {1, 90};
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_forge(&g, SSL3_RT_ALERT, user_canceled, sizeof user_canceled, MANY);
    check_ended(&g, "TLS");
    siege_close(&g);
}

/* A byte in each record is a use of TLS, if a bad one: it is slow, and that is all. A turn has room
 * for few of them. */
static void X19_R16_many_records_of_one_byte_are_delivered(void)
{
    struct siege g = {0};
    size_t most = 0;
    siege_init(&g, NULL);
    siege_forge(&g, SSL3_RT_APPLICATION_DATA, "x", 1, MANY);
    for (eddy_nsec end = stage_patience(&g.c.s); g.victim.received < MANY;) {
        size_t before = g.victim.received;
        REQUIRE(stage_step(&g.c.s, end));
        most = g.victim.received - before > most ? g.victim.received - before : most;
    }
    CHECK(most > 0 && most <= (size_t)2 * 256); /* as it arrives, and behind that */
    check_memory(test_live_bytes());
    siege_close(&g);
}

static void X15_a_flood_of_tickets_ends_the_connection(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    tls_stage_open_server(&c, &w, 0);
    for (int i = 0; i < MANY / 4 && c.s.client.count[ON_LOST] == 0; i++) {
        if (SSL_new_session_ticket(w.ssl) != 1 || SSL_write(w.ssl, "x", 1) != 1)
            break;
        if (i % 16 == 15)
            pour_wire(&w);
    }
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_INT(c.s.client.code, EDDY_ETLS);
    CHECK(strstr(c.s.client.error.text, "floods us") != NULL);
    wire_end(&w);
    tls_stage_close(&c);
}

static void X17_renegotiation_is_refused_and_harmless(void)
{
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_open(&g, TLS1_2_VERSION);
    SSL_renegotiate(g.wire.ssl);
    CHECK(wire_handshake(&g.wire) != 1); /* the client takes the refusal for the end */
    CHECK_INT(g.victim.count[ON_LOST], 0);
    siege_close(&g);
}

/* ---- who does not read ---- */

static void T22_a_client_that_never_reads_is_bounded(void)
{
    static char piece[16384];
    struct siege g = {0};
    siege_init(&g, NULL);
    g.victim.on[ON_DATA] = do_echo;
    g.victim.on[ON_PAUSE] = do_pause;
    g.victim.on[ON_RESUME] = do_resume;
    g.victim.in_key = g.victim.out_key = 0;
    siege_open(&g, 0);
    long before = test_live_bytes();
    int sent = 0;
    do {
        CHECK_INT(SSL_write(g.wire.ssl, piece, sizeof piece), sizeof piece);
    } while (++sent < MANY && pour_wire(&g.wire));
    CHECK(sent < MANY); /* 64 MiB */
    CHECK_INT(g.victim.count[ON_PAUSE], 1);
    if (test_peak_bytes() > before + 2 * 1024 * 1024)
        FAIL("%ld bytes were kept for it", test_peak_bytes() - before);
    siege_close(&g);
}

/* ---- before the handshake is done ---- */

/* Bytes of a client's first message. */
static size_t hello(char *buf, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    int n;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    n = BIO_read(SSL_get_wbio(ssl), buf, (int)size);
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    REQUIRE(n > 0);
    return (size_t)n;
}

static void check_problem(struct siege *g, const char *why)
{
    struct test_problems *p = &g->c.s.problems;

    UNTIL(&g->c.s, p->count == g->c.s.expected_problems + 1);
    g->c.s.expected_problems++;
    if (!strstr(p->text, why))
        FAIL("\"%s\" does not speak of \"%s\"", p->text, why);
}

/* In real time by a server of its own: the connection beside it may take as long as it has to. */
static void X5_a_silent_client_is_thrown_out(void)
{
    struct eddy_server *impatient;
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_begin(&g);
    g.c.s.server_opts.handshake_timeout = has_virtual_time() ? 0 : EDDY_MSEC(20);
    REQUIRE(stage_create_server(&g.c.s, &impatient) == 0);
    g.c.s.port = stage_port(impatient);
    eddy_nsec begin = eddy_loop_time(g.c.s.loop);
    int fd = raw_connect(&g.c.s);
    check_problem(&g, "taking longer");
    CHECK_INT(eddy_server_connections(impatient), 0);
    if (has_virtual_time())
        CHECK(eddy_loop_time(g.c.s.loop) - begin < EDDY_SEC(61));
    raw_close(&g.c.s, fd);
    eddy_server_close(impatient);
    eddy_server_unref(impatient);
    siege_close(&g);
}

/* Each byte is progress, but the time is for the whole handshake. */
static void X5_a_byte_a_second_does_not_prolong_the_handshake(void)
{
    struct siege g = {0};
    char buf[1024];
    size_t len = hello(buf, sizeof buf), sent = 0;

    if (!has_virtual_time())
        return;
    siege_init(&g, NULL);
    siege_begin(&g);
    int fd = raw_connect(&g.c.s);
    UNTIL(&g.c.s, eddy_server_connections(g.c.s.server) == 2);
    for (; sent < len && eddy_server_connections(g.c.s.server) == 2; sent++) {
        CHECK_INT(raw_send(&g.c.s, fd, buf + sent, 1), 0);
        stage_run_for(&g.c.s, EDDY_SEC(1));
    }
    CHECK(sent >= 58 && sent <= 62);
    check_problem(&g, "taking longer");
    raw_close(&g.c.s, fd);
    siege_close(&g);
}

static void S29_half_open_handshakes_are_bounded_and_the_rest_waits(void)
{
    static int fds[HALF_OPEN];
    struct siege g = {0};
    char buf[1024];
    size_t len = hello(buf, sizeof buf);
    int n = has_virtual_time() ? HALF_OPEN : 200;
    unsigned max = has_virtual_time() ? 1024 : 64, most = 0;

    siege_init(&g, NULL);
    g.c.s.server_opts.backlog = HALF_OPEN;
    g.c.s.server_opts.max_handshakes = has_virtual_time() ? 0 : max;
    siege_begin(&g);
    for (int i = 0; i < n; i++) {
        fds[i] = raw_connecting(&g.c.s);
        g.c.s.sys->cls->send(g.c.s.sys, fds[i], buf, len);
        eddy_loop_run_once(g.c.s.loop, 0);
        unsigned now = eddy_server_connections(g.c.s.server);
        most = now > most ? now : most;
    }
    UNTIL(&g.c.s, eddy_server_connections(g.c.s.server) == max + 1);
    stage_settle(&g.c.s);
    CHECK_INT(eddy_server_connections(g.c.s.server), max + 1);
    CHECK(most <= max + 1);
    check_others(&g);
    /* none of them goes on, and those who came later have their time too */
    for (int i = 0; i < n; i++)
        raw_close(&g.c.s, fds[i]);
    UNTIL(&g.c.s, eddy_server_connections(g.c.s.server) == 1);
    g.c.s.expected_problems = g.c.s.problems.count;
    siege_close(&g);
}

/* A hello that says it is 128 KiB long, in proper records. */
static void X6_more_than_16_KiB_before_the_handshake_is_done_ends_it(void)
{
    static unsigned char out[40000];
    struct siege g = {0};
    siege_init(&g, NULL);
    siege_begin(&g);
    long before = test_live_bytes();
    int fd = raw_connect(&g.c.s);
    for (size_t at = 0; at + 1029 <= sizeof out; at += 1029)
        memcpy(out + at, (unsigned char[]){22, 3, 1, 4, 0}, 5);
    memcpy(out + 5, (unsigned char[]){1, 1, 255, 0, 3, 3}, 6);
    pour(&g.c.s, fd, out, sizeof out / 1029 * 1029);
    check_problem(&g, "too much");
    check_memory(before);
    raw_close(&g.c.s, fd);
    siege_close(&g);
}

/* The same, in so many records, each of `size` bytes. */
static void send_hello(struct siege *g, int fd, size_t size, int records)
{
    static unsigned char out[MANY * 64];

    for (int i = 0; i < records; i++)
        memcpy(out + (size_t)i * size,
               (unsigned char[]){22, 3, 1, (unsigned char)((size - 5) >> 8),
                                 (unsigned char)(size - 5)},
               5);
    REQUIRE((size_t)records * size <= sizeof out);
    pour(&g->c.s, fd, out, (size_t)records * size);
    stage_settle(&g->c.s);
}

/* `limit` bytes are taken, and not many more. */
static void check_limit(const struct eddy_tls_opts *server, size_t size, size_t limit)
{
    static const unsigned char begin[] = {22, 3, 1, 0, 6, 1, 1, 255, 0, 3, 3};
    struct siege g = {0};
    siege_init(&g, server);
    siege_begin(&g);
    int fd = raw_connect(&g.c.s);
    pour(&g.c.s, fd, begin, sizeof begin);
    send_hello(&g, fd, size, (int)((limit - sizeof begin) / size));
    CHECK_INT(g.c.s.problems.count, g.c.s.expected_problems);
    send_hello(&g, fd, size, 1);
    check_problem(&g, "too much");
    raw_close(&g.c.s, fd);
    siege_close(&g);
}

static void X6_16_KiB_before_the_handshake_is_done_are_fine(void)
{
    check_limit(NULL, 1029, 16384);
}

static void X6_who_may_show_certificates_may_send_more(void)
{
    need_certs();
    struct eddy_tls *other = NULL;
    REQUIRE(eddy_tls_new(EDDY_TLS_SERVER(CERT_PEM(the_cert)), &other) == 0);
    const struct eddy_tls_name names[] = {{"example.org", other}, {NULL, NULL}};
    /* OpenSSL takes no message of that size: headers make up for it */
    check_limit(EDDY_TLS_SERVER(CERT_TRUST(the_authority), .clients = EDDY_TLS_CLIENTS_MAY_HAVE), 7,
                16384 + 131072);
    check_limit(EDDY_TLS_SERVER(.names = names), 7, 16384 + 131072);
    eddy_tls_unref(other);
}

/* More than 100 KiB of certificates. */
static void add_certificates(SSL *ssl)
{
    for (int i = 0; i < 400; i++)
        REQUIRE(SSL_add1_chain_cert(ssl, cert_x509(the_authority)) == 1);
}

static void X6_a_huge_chain_of_a_client_ends_the_handshake(void)
{
    struct siege g = {0};
    need_certs();
    siege_init(&g,
               EDDY_TLS_SERVER(CERT_TRUST(the_authority), .clients = EDDY_TLS_CLIENTS_MAY_HAVE));
    siege_begin(&g);
    long before = test_live_bytes();
    wire_client(&g.wire, &g.c.s, raw_connect(&g.c.s), 0);
    REQUIRE(SSL_use_certificate(g.wire.ssl, cert_x509(the_cert)) == 1 &&
            SSL_use_PrivateKey(g.wire.ssl, cert_pkey(the_cert)) == 1);
    add_certificates(g.wire.ssl);
    wire_handshake(&g.wire); /* the client's side of it is done before the server has seen them */
    check_problem(&g, "TLS handshake");
    check_memory(before);
    CHECK_INT(g.victim.count[ON_MADE], 0);
    siege_close(&g);
}

static void X6_a_huge_chain_of_a_server_ends_the_handshake(void)
{
    struct tls_stage c;
    struct wire w;
    tls_stage_init(&c);
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    REQUIRE(actor_connect(&c.s.client) == 0);
    wire_server(&w, &c.s, raw_accept(&c.s, listener), 0);
    add_certificates(w.ssl);
    CHECK(wire_handshake(&w) != 1);
    UNTIL(&c.s, c.s.client.done);
    CHECK_INT(c.s.client.status, EDDY_ETLS);
    wire_end(&w);
    raw_close(&c.s, listener);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(X17_a_flood_of_key_updates_ends_the_connection),
    CASE(X17_a_flood_of_key_updates_to_be_answered_ends_the_connection),
    CASE(X17_fifty_key_updates_are_no_flood),
    CASE(X26_a_flood_of_empty_records_ends_the_connection),
    CASE(X26_a_few_empty_records_are_no_flood),
    CASE(X26_a_flood_of_warnings_ends_the_connection),
    CASE(X19_R16_many_records_of_one_byte_are_delivered),
    CASE(X15_a_flood_of_tickets_ends_the_connection),
    CASE(X17_renegotiation_is_refused_and_harmless),
    CASE(T22_a_client_that_never_reads_is_bounded),
    CASE(X5_a_silent_client_is_thrown_out),
    CASE(X5_a_byte_a_second_does_not_prolong_the_handshake),
    CASE(S29_half_open_handshakes_are_bounded_and_the_rest_waits),
    CASE(X6_more_than_16_KiB_before_the_handshake_is_done_ends_it),
    CASE(X6_16_KiB_before_the_handshake_is_done_are_fine),
    CASE(X6_who_may_show_certificates_may_send_more),
    CASE(X6_a_huge_chain_of_a_client_ends_the_handshake),
    CASE(X6_a_huge_chain_of_a_server_ends_the_handshake),
    {NULL, NULL},
};
