/*
 * The practical limit that servers are compared with, without any library: level-triggered epoll,
 * one recv per event into one shared buffer, and what came is sent back at once, in one piece or as
 * many replies. What the socket does not take is copied aside, and reading stops until it is gone.
 */
#ifndef TESTS_BENCH_BARE_H
#define TESTS_BENCH_BARE_H

#include "tests/bench/bench.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

struct bare_connection {
    int fd;
    char *rest;
    size_t off, len;
};

struct bare {
    int ep;
    size_t piece; /* bytes of a reply; 0: all in one */
};

static char bare_buffer[65536];

static inline void bare_interest(struct bare *b, struct bare_connection *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    epoll_ctl(b->ep, op, c->fd, &e);
}

static inline void bare_drop(struct bare_connection *c)
{
    close(c->fd);
    free(c->rest);
    free(c);
}

static inline void bare_keep(struct bare *b, struct bare_connection *c, const char *data,
                             size_t len)
{
    c->off = 0;
    c->len = len;
    c->rest = malloc(len);
    if (!c->rest)
        die("malloc");
    memcpy(c->rest, data, len);
    bare_interest(b, c, EPOLL_CTL_MOD, EPOLLOUT);
}

/* What the socket has not taken is kept; n < 0 is the result of a failed send. */
static inline void bare_not_taken(struct bare *b, struct bare_connection *c, ssize_t n,
                                  const char *data, size_t len)
{
    if (n < 0 && errno != EAGAIN)
        bare_drop(c);
    else if (n < 0)
        bare_keep(b, c, data, len);
    else
        bare_keep(b, c, data + n, len - (size_t)n);
}

static inline void bare_send_pieces(struct bare *b, struct bare_connection *c, size_t len)
{
    for (size_t off = 0; off < len;) {
        size_t want = b->piece < len - off ? b->piece : len - off;
        ssize_t n = send(c->fd, bare_buffer + off, want, MSG_NOSIGNAL);

        if (n != (ssize_t)want) {
            bare_not_taken(b, c, n, bare_buffer + off, len - off);
            return;
        }
        off += want;
    }
}

static inline void bare_readable(struct bare *b, struct bare_connection *c)
{
    ssize_t got = recv(c->fd, bare_buffer, sizeof bare_buffer, 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            bare_drop(c);
        return;
    }
    if (b->piece) {
        bare_send_pieces(b, c, (size_t)got);
        return;
    }
    ssize_t n = send(c->fd, bare_buffer, (size_t)got, MSG_NOSIGNAL);
    if (n != got)
        bare_not_taken(b, c, n, bare_buffer, (size_t)got);
}

static inline void bare_writable(struct bare *b, struct bare_connection *c)
{
    ssize_t n = send(c->fd, c->rest + c->off, c->len - c->off, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN)
            bare_drop(c);
        return;
    }
    if ((c->off += (size_t)n) < c->len)
        return;
    free(c->rest);
    c->rest = NULL;
    bare_interest(b, c, EPOLL_CTL_MOD, EPOLLIN);
}

static inline void bare_accept(struct bare *b, int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct bare_connection *c = calloc(1, sizeof *c);

        if (!c)
            die("calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        bare_interest(b, c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static inline _Noreturn void serve_bare(int listener, size_t piece)
{
    struct bare b = {.ep = epoll_create1(EPOLL_CLOEXEC), .piece = piece};
    struct epoll_event ev[256], e = {.events = EPOLLIN, .data.ptr = NULL};
    int on = 1;

    if (b.ep < 0 || ioctl(listener, FIONBIO, &on) < 0 ||
        epoll_ctl(b.ep, EPOLL_CTL_ADD, listener, &e) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(b.ep, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            struct bare_connection *c = ev[i].data.ptr;

            if (!c)
                bare_accept(&b, listener);
            else if (c->rest)
                bare_writable(&b, c);
            else
                bare_readable(&b, c);
        }
    }
}

#endif
