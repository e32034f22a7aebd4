/*
 * What TLS servers are compared with: epoll and OpenSSL without any library between, in the two
 * ways there are. With a socket BIO OpenSSL makes the system calls; with a BIO of our own it reads
 * from what one recv has brought, and all that it writes in answer is sent at once.
 */
#ifndef TESTS_BENCH_TLS_BARE_H
#define TESTS_BENCH_TLS_BARE_H

#include "tests/bench/tls.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define BARE_TLS_BUFFER 65536

struct bare_tls {
    int ep;
    size_t piece; /* bytes of a reply; 0: all in one */
    SSL_CTX *ctx;
    BIO_METHOD *bio; /* NULL: socket BIOs */
    char *in;        /* the window, of the connection whose turn it is */
    size_t in_len;
    bool ended; /* behind the window is the end of the stream */
    size_t out_len;
    char buffer[BARE_TLS_BUFFER], plain[BARE_TLS_BUFFER];
    char out[4 * BARE_TLS_BUFFER]; /* records of one byte are answered by such */
};

struct bare_tls_connection {
    int fd;
    bool out; /* epoll waits for room */
    SSL *ssl;
    char *rest; /* not written yet: plaintext, or with a BIO of our own what the socket gets */
    size_t off, len;
};

static inline void bare_tls_drop(struct bare_tls_connection *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    free(c->rest);
    free(c);
}

static inline void bare_tls_interest(struct bare_tls *b, struct bare_tls_connection *c, bool out)
{
    struct epoll_event e = {.events = out ? EPOLLOUT : EPOLLIN, .data.ptr = c};

    if (c->out == out)
        return;
    c->out = out;
    epoll_ctl(b->ep, EPOLL_CTL_MOD, c->fd, &e);
}

static inline void bare_tls_keep(struct bare_tls_connection *c, const char *data, size_t len)
{
    c->off = 0;
    c->len = len;
    c->rest = malloc(len);
    if (!c->rest)
        die("malloc");
    memcpy(c->rest, data, len);
}

/* ---- with socket BIOs ---- */

/* False: it is dropped. */
static inline bool bare_tls_blocked(struct bare_tls *b, struct bare_tls_connection *c, int rc)
{
    int e = SSL_get_error(c->ssl, rc);

    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        bare_tls_interest(b, c, e == SSL_ERROR_WANT_WRITE);
        return true;
    }
    if (e == SSL_ERROR_ZERO_RETURN)
        SSL_shutdown(c->ssl);
    ERR_clear_error();
    bare_tls_drop(c);
    return false;
}

/* What waits to be written. True: all of it is. */
static inline bool bare_tls_write_rest(struct bare_tls *b, struct bare_tls_connection *c)
{
    while (c->rest) {
        int n = SSL_write(c->ssl, c->rest + c->off, (int)(c->len - c->off));

        if (n <= 0) {
            bare_tls_blocked(b, c, n);
            return false;
        }
        c->off += (size_t)n;
        if (c->off == c->len) {
            free(c->rest);
            c->rest = NULL;
        }
    }
    bare_tls_interest(b, c, false);
    return true;
}

/* False: enough for now. */
static inline bool bare_tls_reply(struct bare_tls *b, struct bare_tls_connection *c, size_t len)
{
    size_t want, off;
    int n;

    for (off = 0; off < len; off += (size_t)n) {
        want = b->piece && b->piece < len - off ? b->piece : len - off;
        n = SSL_write(c->ssl, b->plain + off, (int)want);
        if (n <= 0) {
            if (bare_tls_blocked(b, c, n))
                bare_tls_keep(c, b->plain + off, len - off);
            return false;
        }
    }
    return true;
}

/* Reads until OpenSSL has nothing more inside, as epoll does not see what it has taken. */
static inline void bare_tls_event(struct bare_tls *b, struct bare_tls_connection *c)
{
    if ((c->rest || c->out) && !bare_tls_write_rest(b, c))
        return;
    do {
        int n = SSL_read(c->ssl, b->plain, sizeof b->plain); /* the handshake too */

        if (n <= 0) {
            bare_tls_blocked(b, c, n);
            return;
        }
        if (!bare_tls_reply(b, c, (size_t)n))
            return;
    } while (SSL_has_pending(c->ssl));
}

/* ---- with BIOs of our own ---- */

static inline int bare_bio_read(BIO *bio, char *buf, size_t len, size_t *ret)
{
    struct bare_tls *b = BIO_get_data(bio);
    size_t n = len < b->in_len ? len : b->in_len;

    BIO_clear_retry_flags(bio);
    *ret = n;
    if (n == 0) {
        if (!b->ended)
            BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(buf, b->in, n);
    b->in += n;
    b->in_len -= n;
    return 1;
}

static inline int bare_bio_write(BIO *bio, const char *data, size_t len, size_t *ret)
{
    struct bare_tls *b = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len > sizeof b->out - b->out_len)
        die("out of room");
    memcpy(b->out + b->out_len, data, len);
    b->out_len += len;
    *ret = len;
    return 1;
}

static inline long bare_bio_control(BIO *bio, int what, long number, void *arg)
{
    const struct bare_tls *b = BIO_get_data(bio);

    (void)number, (void)arg;
    return what == BIO_CTRL_FLUSH || (what == BIO_CTRL_EOF && b->ended && b->in_len == 0);
}

static inline int bare_bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static inline BIO_METHOD *bare_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "bare");

    if (!m || !BIO_meth_set_read_ex(m, bare_bio_read) ||
        !BIO_meth_set_write_ex(m, bare_bio_write) || !BIO_meth_set_ctrl(m, bare_bio_control) ||
        !BIO_meth_set_create(m, bare_bio_create))
        die_tls("BIO");
    return m;
}

/* What was written in this event goes out. False: it is dropped, or must wait for room. */
static inline bool bare_bio_flush(struct bare_tls *b, struct bare_tls_connection *c)
{
    ssize_t n = send(c->fd, b->out, b->out_len, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        bare_tls_drop(c);
        return false;
    }
    if (n < 0)
        n = 0;
    if ((size_t)n == b->out_len)
        return true;
    bare_tls_keep(c, b->out + n, b->out_len - (size_t)n);
    bare_tls_interest(b, c, true);
    return false;
}

static inline void bare_bio_writable(struct bare_tls *b, struct bare_tls_connection *c)
{
    ssize_t n = send(c->fd, c->rest + c->off, c->len - c->off, MSG_NOSIGNAL);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        bare_tls_drop(c);
        return;
    }
    if ((c->off += (size_t)n) < c->len)
        return;
    free(c->rest);
    c->rest = NULL;
    bare_tls_interest(b, c, false);
}

static inline void bare_bio_event(struct bare_tls *b, struct bare_tls_connection *c)
{
    if (c->rest) {
        bare_bio_writable(b, c);
        return;
    }
    ssize_t got = recv(c->fd, b->buffer, sizeof b->buffer, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    b->in = b->buffer;
    b->in_len = got > 0 ? (size_t)got : 0;
    b->ended = got <= 0;
    b->out_len = 0;
    int n;
    do {
        n = SSL_read(c->ssl, b->plain, sizeof b->plain);
        size_t len = n > 0 ? (size_t)n : 0;
        for (size_t off = 0; off < len;) {
            size_t want = b->piece && b->piece < len - off ? b->piece : len - off;
            int done = SSL_write(c->ssl, b->plain + off, (int)want);

            if (done <= 0)
                die_tls("SSL_write");
            off += (size_t)done;
        }
    } while (n > 0 && (b->in_len > 0 || SSL_has_pending(c->ssl)));
    bool over = n <= 0 && SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ;
    if (over && SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN)
        SSL_shutdown(c->ssl);
    ERR_clear_error();
    if (b->out_len > 0 && !bare_bio_flush(b, c))
        return;
    if (over)
        bare_tls_drop(c);
}

/* ---- both ---- */

static inline void bare_tls_accept(struct bare_tls *b, int listener)
{
    struct epoll_event e = {.events = EPOLLIN};
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct bare_tls_connection *c = calloc(1, sizeof *c);

        if (!c || !(c->ssl = SSL_new(b->ctx)))
            die_tls("SSL_new");
        c->fd = fd;
        if (b->bio) {
            BIO *bio = BIO_new(b->bio);

            if (!bio)
                die_tls("BIO_new");
            BIO_set_data(bio, b);
            SSL_set_bio(c->ssl, bio, bio);
        } else {
            SSL_set_fd(c->ssl, fd);
        }
        SSL_set_accept_state(c->ssl);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        e.data.ptr = c;
        epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static inline _Noreturn void serve_bare_tls(int listener, size_t piece, bool own_bio)
{
    static struct bare_tls b;
    struct epoll_event ev[256], e = {.events = EPOLLIN, .data.ptr = NULL};
    int on = 1;

    b.ep = epoll_create1(EPOLL_CLOEXEC);
    b.piece = piece;
    b.ctx = tls_server_context();
    SSL_CTX_set_read_ahead(b.ctx, 1); /* a recv for a record or more, not two */
    b.bio = own_bio ? bare_bio_method() : NULL;
    signal(SIGPIPE, SIG_IGN);
    if (b.ep < 0 || ioctl(listener, FIONBIO, &on) < 0 ||
        epoll_ctl(b.ep, EPOLL_CTL_ADD, listener, &e) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(b.ep, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            struct bare_tls_connection *c = ev[i].data.ptr;

            if (!c)
                bare_tls_accept(&b, listener);
            else if (own_bio)
                bare_bio_event(&b, c);
            else
                bare_tls_event(&b, c);
        }
    }
}

#endif
