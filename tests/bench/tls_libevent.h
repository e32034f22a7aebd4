/* The same server by libevent's bufferevents, as its manual has it. */
#ifndef TESTS_BENCH_TLS_LIBEVENT_H
#define TESTS_BENCH_TLS_LIBEVENT_H

#include "tests/bench/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>

struct libevent_tls {
    SSL_CTX *ctx;
    size_t piece; /* bytes of a reply; 0: all in one */
};

static inline void libevent_echo(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static inline void libevent_reply(struct bufferevent *bev, void *arg)
{
    const struct libevent_tls *l = arg;
    char piece[4096];
    size_t n;

    while ((n = bufferevent_read(bev, piece, l->piece)) > 0)
        bufferevent_write(bev, piece, n);
}

/* The manual's clean close: our close_notify without waiting for more. */
static inline void libevent_event(struct bufferevent *bev, short what, void *arg)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);

    (void)arg;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    if (what & BEV_EVENT_EOF) {
        SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(ssl);
    }
    ERR_clear_error();
    bufferevent_free(bev);
}

static inline void libevent_accept(struct evconnlistener *listener, evutil_socket_t fd,
                                   struct sockaddr *from, int len, void *arg)
{
    struct libevent_tls *l = arg;
    SSL *ssl = SSL_new(l->ctx);
    struct bufferevent *bev;
    int on = 1;

    (void)from, (void)len;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bev = ssl ? bufferevent_openssl_socket_new(evconnlistener_get_base(listener), fd, ssl,
                                               BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
              : NULL;
    if (!bev)
        die_tls("bufferevent");
    bufferevent_setcb(bev, l->piece ? libevent_reply : libevent_echo, NULL, libevent_event, l);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static inline void serve_libevent_tls(int listener, size_t piece)
{
    struct libevent_tls l = {.ctx = tls_server_context(), .piece = piece};
    struct event_base *base = event_base_new();

    signal(SIGPIPE, SIG_IGN);
    evutil_make_socket_nonblocking(listener);
    if (!base || !evconnlistener_new(base, libevent_accept, &l, LEV_OPT_CLOSE_ON_FREE, 0, listener))
        die("libevent");
    event_base_dispatch(base);
}

#endif
