/*
 * The load over TLS: as client.h, connections that each send a batch, wait for all of it to come
 * back, and send the next; and connections that come, shake hands, get one echo, and go.
 */
#ifndef TESTS_BENCH_TLS_CLIENT_H
#define TESTS_BENCH_TLS_CLIENT_H

#include "tests/bench/client.h"
#include "tests/bench/tls.h"

#include <sys/ioctl.h>

struct tls_conn {
    int fd;
    SSL *ssl;
    size_t got; /* of the batch on its way */
    bool greeted, closed;
};

struct tls_client {
    int ep, n;
    size_t batch;
    long left; /* batches that may still be sent */
    SSL_CTX *ctx;
    struct tls_conn *conns;
};

static inline void tls_conn_open(struct tls_client *c, struct tls_conn *conn, int port,
                                 SSL_SESSION *resume)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = conn};
    int on = 1;

    *conn = (struct tls_conn){.fd = client_connect(port, 0), .ssl = SSL_new(c->ctx)};
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1 ||
        (resume && SSL_set_session(conn->ssl, resume) != 1))
        die_tls("client");
    SSL_set_connect_state(conn->ssl);
    if (ioctl(conn->fd, FIONBIO, &on) < 0 || epoll_ctl(c->ep, EPOLL_CTL_ADD, conn->fd, &e) < 0)
        die("client");
}

static inline void tls_conn_close(struct tls_conn *conn)
{
    SSL_free(conn->ssl);
    close(conn->fd);
}

/* Waits for something, at most 10 seconds. */
static inline int tls_client_wait(const struct tls_client *c, struct epoll_event ev[256])
{
    int n = epoll_wait(c->ep, ev, 256, 10000);

    if (n == 0) {
        fprintf(stderr, "nothing has come for 10 seconds\n");
        exit(1);
    }
    return n;
}

/* A batch that is answered before the next one is sent never fills the socket. */
static inline void tls_conn_send(const struct tls_client *c, struct tls_conn *conn)
{
    size_t n;

    conn->got = 0;
    for (size_t off = 0; off < c->batch; off += n) {
        if (SSL_write_ex(conn->ssl, client_sent + off, c->batch - off, &n) != 1)
            die_tls("SSL_write_ex");
    }
}

/* What has come of the batch. False: nothing more for now. */
static inline bool tls_conn_receive(const struct tls_client *c, struct tls_conn *conn)
{
    size_t n;

    if (SSL_read_ex(conn->ssl, client_buffer, sizeof client_buffer, &n) != 1) {
        int why = SSL_get_error(conn->ssl, 0);

        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN)
            die_tls("SSL_read_ex");
        conn->closed = why == SSL_ERROR_ZERO_RETURN;
        return false;
    }
    if (conn->got + n > c->batch || memcmp(client_buffer, client_sent + conn->got, n) != 0) {
        fprintf(stderr, "the reply is not what was sent\n");
        exit(1);
    }
    conn->got += n;
    return true;
}

/* ---- echoes ---- */

static inline bool tls_client_next(struct tls_client *c, struct tls_conn *conn)
{
    if (c->left == 0)
        return false;
    c->left--;
    tls_conn_send(c, conn);
    return true;
}

/* Exactly `batches` of them; when it returns, all replies have come. */
static inline void tls_client_run(struct tls_client *c, long batches)
{
    long waiting = 0;

    c->left = batches;
    for (int i = 0; i < c->n; i++)
        waiting += tls_client_next(c, &c->conns[i]);
    while (waiting > 0) {
        struct epoll_event ev[256];
        int n = tls_client_wait(c, ev);

        for (int i = 0; i < n; i++) {
            struct tls_conn *conn = ev[i].data.ptr;

            while (conn->got < c->batch && tls_conn_receive(c, conn)) {
            }
            if (conn->got == c->batch && !tls_client_next(c, conn))
                waiting -= conn->got == c->batch;
            if (conn->closed)
                die("the server has closed");
        }
    }
}

static inline void tls_client_init(struct tls_client *c, int n, size_t batch)
{
    *c = (struct tls_client){
        .ep = epoll_create1(EPOLL_CLOEXEC), .n = n, .batch = batch, .ctx = tls_client_context()};
    c->conns = calloc((size_t)n, sizeof *c->conns);
    if (c->ep < 0 || !c->conns)
        die("client");
    for (size_t i = 0; i < sizeof client_sent; i++)
        client_sent[i] = (char)(i * 7 + i / 251);
}

/* Connections that have shaken hands. */
static inline void tls_client_open(struct tls_client *c, int port, int n, size_t batch)
{
    tls_client_init(c, n, batch);
    for (int i = 0; i < n; i++) {
        int off = 0, on = 1;

        tls_conn_open(c, &c->conns[i], port, NULL);
        ioctl(c->conns[i].fd, FIONBIO, &off);
        if (SSL_do_handshake(c->conns[i].ssl) != 1)
            die_tls("handshake");
        ioctl(c->conns[i].fd, FIONBIO, &on);
    }
}

static inline void tls_client_free(struct tls_client *c)
{
    SSL_CTX_free(c->ctx);
    close(c->ep);
    free(c->conns);
}

static inline void tls_client_close(struct tls_client *c)
{
    for (int i = 0; i < c->n; i++)
        tls_conn_close(&c->conns[i]);
    tls_client_free(c);
}

/* ---- handshakes ---- */

/* A session of the server's, to be resumed: tickets come with the first reply. */
static inline SSL_SESSION *tls_session_of(int port)
{
    struct tls_client c;
    SSL_SESSION *s;

    tls_client_open(&c, port, 1, 64);
    tls_client_run(&c, 1);
    s = SSL_get1_session(c.conns[0].ssl);
    if (!SSL_SESSION_is_resumable(s))
        die("the server gives out no tickets");
    SSL_shutdown(c.conns[0].ssl); /* or the session would count as broken */
    tls_client_close(&c);
    return s;
}

/* One step of a connection's life. True: it is over. */
static inline bool tls_greet(const struct tls_client *c, struct tls_conn *conn, bool resume)
{
    if (!SSL_is_init_finished(conn->ssl)) {
        int rc = SSL_do_handshake(conn->ssl);

        if (rc != 1 && SSL_get_error(conn->ssl, rc) == SSL_ERROR_WANT_READ)
            return false;
        if (rc != 1)
            die_tls("handshake");
        if (!SSL_session_reused(conn->ssl) == resume) {
            fprintf(stderr, "the session was %sresumed\n", resume ? "not " : "");
            exit(1);
        }
    }
    if (!conn->greeted) {
        tls_conn_send(c, conn);
        conn->greeted = true;
    }
    while (conn->got < c->batch && tls_conn_receive(c, conn)) {
    }
    if (conn->got < c->batch)
        return false;
    if (!(SSL_get_shutdown(conn->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(conn->ssl);
    while (!conn->closed && tls_conn_receive(c, conn)) {
    }
    return conn->closed;
}

/* So many connections, c->n at a time: handshake, one batch, close_notify from both. */
static inline void tls_client_greet(struct tls_client *c, int port, long count, SSL_SESSION *resume)
{
    long waiting = 0;

    for (; waiting < c->n && waiting < count; waiting++) {
        tls_conn_open(c, &c->conns[waiting], port, resume);
        tls_greet(c, &c->conns[waiting], resume != NULL);
    }
    count -= waiting;
    while (waiting > 0) {
        struct epoll_event ev[256];
        int n = tls_client_wait(c, ev);

        for (int i = 0; i < n; i++) {
            struct tls_conn *conn = ev[i].data.ptr;

            if (!tls_greet(c, conn, resume != NULL))
                continue;
            tls_conn_close(conn);
            if (count-- > 0) {
                tls_conn_open(c, conn, port, resume);
                tls_greet(c, conn, resume != NULL);
            } else {
                waiting--;
            }
        }
    }
}

#endif
