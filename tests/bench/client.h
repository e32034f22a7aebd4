/* The load: connections that each send a batch of requests, wait for all of its replies, and send
 * the next. */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include "tests/bench/bench.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>

#define BATCH_MAX 65536

struct client_connection {
    int fd;
    size_t got; /* of the batch on its way */
};

struct client {
    int ep, n;
    size_t batch;
    long left; /* batches that may still be sent */
    struct client_connection *conns;
};

static char client_sent[BATCH_MAX], client_buffer[BATCH_MAX];

/* A connection from 127.1.0.x, so that ports in TIME_WAIT do not run out. flags: SOCK_NONBLOCK or
 * 0. */
static inline int client_connect(int port, int flags)
{
    static unsigned source;
    struct sockaddr_in a = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        die("socket");
    a.sin_addr.s_addr = htonl(0x7f010001 + source++ % 200);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("bind");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)port);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
        die("connect");
    return fd;
}

static inline void client_open(struct client *c, int port, int n, size_t batch)
{
    *c = (struct client){.ep = epoll_create1(EPOLL_CLOEXEC), .n = n, .batch = batch};
    c->conns = calloc((size_t)n, sizeof *c->conns);
    if (c->ep < 0 || !c->conns)
        die("client");
    for (size_t i = 0; i < sizeof client_sent; i++)
        client_sent[i] = (char)(i * 7 + i / 251);
    for (int i = 0; i < n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &c->conns[i]};

        c->conns[i].fd = client_connect(port, 0);
        if (epoll_ctl(c->ep, EPOLL_CTL_ADD, c->conns[i].fd, &e) < 0)
            die("epoll_ctl");
    }
}

static inline void client_close(struct client *c)
{
    for (int i = 0; i < c->n; i++)
        close(c->conns[i].fd);
    close(c->ep);
    free(c->conns);
}

/* The sockets block, but a batch that is answered before the next one is sent never fills them. */
static inline bool client_send(struct client *c, struct client_connection *conn)
{
    if (c->left == 0)
        return false;
    c->left--;
    conn->got = 0;
    if (send(conn->fd, client_sent, c->batch, MSG_NOSIGNAL) != (ssize_t)c->batch)
        die("send");
    return true;
}

/* True if this was the end of a batch. */
static inline bool client_receive(struct client *c, struct client_connection *conn)
{
    ssize_t n = recv(conn->fd, client_buffer, sizeof client_buffer, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0 || conn->got + (size_t)n > c->batch ||
        memcmp(client_buffer, client_sent + conn->got, (size_t)n) != 0) {
        fprintf(stderr, "the reply is not what was sent\n");
        exit(1);
    }
    conn->got += (size_t)n;
    return conn->got == c->batch;
}

/* Exactly `batches` of them; when it returns, all replies have come. */
static inline void client_run(struct client *c, long batches)
{
    long waiting = 0;

    c->left = batches;
    for (int i = 0; i < c->n; i++)
        waiting += client_send(c, &c->conns[i]);
    while (waiting > 0) {
        struct epoll_event ev[256];
        int n = epoll_wait(c->ep, ev, 256, 10000);

        if (n == 0) {
            fprintf(stderr, "no reply for 10 seconds\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct client_connection *conn = ev[i].data.ptr;

            if (client_receive(c, conn) && !client_send(c, conn))
                waiting--;
        }
    }
}

#endif
