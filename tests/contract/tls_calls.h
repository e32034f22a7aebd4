/*
 * What the tests of TLS connections share: a stage whose server and client speak TLS, and a wire,
 * which is the other end without Eddy: OpenSSL over memory, and a raw socket that may misbehave.
 */
#ifndef TESTS_CONTRACT_TLS_CALLS_H
#define TESTS_CONTRACT_TLS_CALLS_H

#include "tests/support/certs.h"
#include "tests/support/stream.h"
#include <eddy/tls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

/* ---- contexts ---- */

struct tls_stage {
    struct stage s;                   /* first */
    struct eddy_tls *server, *client; /* what both sides use */
};

/* For "localhost" and 127.0.0.1, made once for all cases. */
static struct cert *the_authority, *the_cert;

static inline void need_certs(void)
{
    if (the_cert)
        return;
    the_authority = cert_new(CERT(.cn = "authority", .ca = true));
    the_cert = cert_new(CERT(.names = "localhost, 127.0.0.1", .issuer = the_authority));
}

/* The stage with TLS on both sides; server and client: options of the contexts but for certificate
 * and trust, NULL: none. */
static inline void tls_stage_init_opts(struct tls_stage *c, const struct eddy_tls_opts *server,
                                       const struct eddy_tls_opts *client)
{
    struct eddy_tls_opts s = server ? *server : *EDDY_TLS_SERVER(.min_version = 0);
    struct eddy_tls_opts t = client ? *client : *EDDY_TLS_CLIENT(.min_version = 0);
    stage_init(&c->s);
    need_certs();
    s.cert_pem = cert_chain(the_cert);
    s.cert_pem_len = strlen(s.cert_pem);
    s.key_pem = cert_key(the_cert);
    s.key_pem_len = strlen(s.key_pem);
    t.ca_pem = cert_pem(the_authority);
    t.ca_pem_len = strlen(t.ca_pem);
    REQUIRE(eddy_tls_new(&s, &c->server) == 0);
    REQUIRE(eddy_tls_new(&t, &c->client) == 0);
    c->s.server_opts.tls = c->server;
    c->s.connection_opts.tls = c->client;
}

static inline void tls_stage_init(struct tls_stage *c)
{
    tls_stage_init_opts(c, NULL, NULL);
}

/* No newer than `version` on both sides. */
static inline void tls_stage_init_version(struct tls_stage *c, int version)
{
    tls_stage_init_opts(c, EDDY_TLS_SERVER(.max_version = version),
                        EDDY_TLS_CLIENT(.max_version = version));
}

/* Plain on both sides, until a case says otherwise. */
static inline void tls_stage_init_plain(struct tls_stage *c)
{
    tls_stage_init(c);
    c->s.server_opts.tls = NULL;
    c->s.connection_opts.tls = NULL;
}

static inline void tls_stage_close(struct tls_stage *c)
{
    stage_close(&c->s);
    eddy_tls_unref(c->server);
    eddy_tls_unref(c->client);
}

/* ---- the wire ---- */

struct wire {
    struct stage *s;
    int fd;
    SSL *ssl;
    bool ended; /* the socket: an end of stream, or `error` */
    int error;
};

/* What has come goes in. */
static inline void wire_receive(struct wire *w)
{
    char buf[16384];
    while (!w->ended) {
        ssize_t got = w->s->sys->cls->recv(w->s->sys, w->fd, buf, sizeof buf);
        if (got == -EAGAIN)
            return;
        if (got > 0) {
            BIO_write(SSL_get_rbio(w->ssl), buf, (int)got);
        } else {
            w->ended = true;
            w->error = (int)got;
        }
    }
}

/* What OpenSSL has written goes out, too. */
static inline void wire_move(struct wire *w)
{
    char buf[16384];
    int n;
    while ((n = BIO_read(SSL_get_wbio(w->ssl), buf, sizeof buf)) > 0)
        raw_send(w->s, w->fd, buf, (size_t)n);
    wire_receive(w);
}

static inline void wire_begin(struct wire *w, struct stage *s, int fd, SSL_CTX *ctx, bool server)
{
    memset(w, 0, sizeof *w);
    w->s = s;
    w->fd = fd;
    w->ssl = SSL_new(ctx);
    REQUIRE(w->ssl != NULL);
    SSL_CTX_free(ctx); /* w->ssl has it */
    SSL_set_bio(w->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_accept_state(w->ssl);
    else
        SSL_set_connect_state(w->ssl);
}

/* A client that believes everything. max: the version, 0: the newest. */
static inline void wire_client(struct wire *w, struct stage *s, int fd, int max)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    REQUIRE(ctx != NULL);
    SSL_CTX_set_max_proto_version(ctx, max);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    wire_begin(w, s, fd, ctx, false);
}

static inline void wire_server(struct wire *w, struct stage *s, int fd, int max)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    REQUIRE(ctx != NULL);
    SSL_CTX_set_max_proto_version(ctx, max);
    REQUIRE(SSL_CTX_use_certificate(ctx, cert_x509(the_cert)) == 1 &&
            SSL_CTX_use_PrivateKey(ctx, cert_pkey(the_cert)) == 1);
    wire_begin(w, s, fd, ctx, true);
}

/* Whether it makes sense to ask OpenSSL once more. The loop runs if there is nothing new. */
static inline bool wire_go_on(struct wire *w, int rc, eddy_nsec patience)
{
    int why = SSL_get_error(w->ssl, rc);
    wire_move(w);
    if (why != SSL_ERROR_WANT_READ)
        return false;
    if (BIO_pending(SSL_get_rbio(w->ssl)) > 0)
        return true;
    return !w->ended && stage_step(w->s, patience);
}

/* 1, or what OpenSSL calls a failure. */
static inline int wire_handshake(struct wire *w)
{
    eddy_nsec patience = stage_patience(w->s);
    int rc;
    do {
        ERR_clear_error();
        rc = SSL_do_handshake(w->ssl);
    } while (wire_go_on(w, rc, patience));
    return rc;
}

/* The same, with bytes directly behind its last message: they may come in one segment. */
static inline int wire_handshake_and_write(struct wire *w, const void *data, size_t len)
{
    eddy_nsec patience = stage_patience(w->s);
    size_t n;
    int rc;
    do {
        ERR_clear_error();
        rc = SSL_do_handshake(w->ssl);
        if (rc == 1)
            CHECK_INT(SSL_write_ex(w->ssl, data, len, &n), 1);
    } while (wire_go_on(w, rc, patience));
    return rc;
}

static inline void wire_write(struct wire *w, const void *data, size_t len)
{
    eddy_nsec patience = stage_patience(w->s);
    size_t n;
    int rc;
    do {
        ERR_clear_error();
        rc = SSL_write_ex(w->ssl, data, len, &n);
    } while (wire_go_on(w, rc, patience));
    CHECK_INT(rc, 1);
}

/* Bytes of the stream `key` from `offset` on. */
static inline void wire_stream(struct wire *w, size_t len, size_t offset, uint64_t key)
{
    uint8_t piece[16384];
    for (size_t n; len > 0; len -= n, offset += n) {
        n = len < sizeof piece ? len : sizeof piece;
        stream_bytes(piece, n, offset, key);
        wire_write(w, piece, n);
    }
}

/* So many bytes: the count, fewer if the connection ends before. */
static inline size_t wire_read(struct wire *w, void *buf, size_t len)
{
    eddy_nsec patience = stage_patience(w->s);
    size_t got = 0, n;
    int rc;
    do {
        ERR_clear_error();
        rc = SSL_read_ex(w->ssl, (char *)buf + got, len - got, &n);
        if (rc == 1)
            got += n;
    } while (got < len && (rc == 1 || wire_go_on(w, rc, patience)));
    return got;
}

/* Reads to the end, whatever that is: SSL_ERROR_ZERO_RETURN is the peer's close_notify. */
static inline int wire_drain(struct wire *w, uint64_t key, size_t *ret_len)
{
    static uint8_t piece[16384];
    eddy_nsec patience = stage_patience(w->s);
    size_t n;
    int rc, why;
    for (*ret_len = 0;;) {
        ERR_clear_error();
        rc = SSL_read_ex(w->ssl, piece, sizeof piece, &n);
        why = SSL_get_error(w->ssl, rc);
        if (rc == 1) {
            if (key)
                CHECK(stream_matches(piece, n, *ret_len, key));
            *ret_len += n;
        } else if (!wire_go_on(w, rc, patience)) {
            return why;
        }
    }
}

static inline void wire_close_notify(struct wire *w)
{
    ERR_clear_error();
    SSL_shutdown(w->ssl);
    wire_move(w);
}

/* Without a word to the other side; the socket too. */
static inline void wire_end(struct wire *w)
{
    SSL_free(w->ssl);
    w->ssl = NULL;
    if (w->fd >= 0)
        raw_close(w->s, w->fd);
    w->fd = -1;
}

/* The stage's server, and a wire in the client's place, up to the peer's connection_made. */
static inline void tls_stage_open_wire(struct tls_stage *c, struct wire *w, int max)
{
    stage_begin(&c->s);
    wire_client(w, &c->s, raw_connect(&c->s), max);
    CHECK_INT(wire_handshake(w), 1);
    UNTIL(&c->s, c->s.peer.count[ON_MADE] == 1);
}

/* The client with a wire in the server's place, until the client is connected. */
static inline void tls_stage_open_server(struct tls_stage *c, struct wire *w, int max)
{
    stage_begin(&c->s);
    int listener = raw_listen(&c->s, 5, &c->s.connection_opts.port);
    REQUIRE(actor_connect(&c->s.client) == 0);
    wire_server(w, &c->s, raw_accept(&c->s, listener), max);
    CHECK_INT(wire_handshake(w), 1);
    UNTIL(&c->s, c->s.client.done);
    raw_close(&c->s, listener);
}

/* Until a connection is lost, and everything that goes with it. */
#define UNTIL_LOST(s, a) UNTIL((s), (a)->count[ON_LOST] == 1 && (a)->p == NULL)

/* Time passes by the virtual clock alone. */
static inline bool has_virtual_time(void)
{
    return test_is_sim();
}

#endif
