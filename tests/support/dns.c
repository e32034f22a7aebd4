/* The name server's sockets: questions come in, answers go out, now or later. */
#include "tests/support/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_A_TIME 64 /* questions by UDP, so that those who ask get to read in between */

struct dns_peer {
    struct dns_peer *next;
    struct dns *d;
    struct eddy_watch watch;
    int fd;
    size_t len;
    uint8_t bytes[2048];
};

struct dns_reply {
    struct dns_reply *next;
    struct dns *d;
    struct eddy_timer timer;
    struct dns_peer *peer; /* NULL: by UDP, to `to` */
    struct sockaddr_storage to;
    socklen_t to_len;
    bool held;
    size_t len;
    uint8_t bytes[];
};

static void *new_zeroed(size_t size)
{
    void *p = calloc(1, size);

    if (!p)
        abort();
    return p;
}

/* ---- sending ---- */

static void free_reply(struct dns_reply *r)
{
    struct dns_reply **at = &r->d->replies;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    eddy_timer_cancel(&r->timer);
    r->d->held -= r->held;
    free(r);
}

static void hang_up(struct dns_peer *p)
{
    struct dns_peer **at = &p->d->peers;

    for (struct dns_reply *r = p->d->replies, *next; r; r = next) {
        next = r->next;
        if (r->peer == p)
            free_reply(r);
    }
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    eddy_watch_remove(&p->watch);
    close(p->fd);
    free(p);
}

/* What does not fit into the socket's buffer is lost, as it may be on any road. */
static void send_reply(struct dns_reply *r)
{
    if (r->peer)
        send(r->peer->fd, r->bytes, r->len, MSG_NOSIGNAL);
    else
        sendto(r->d->udp, r->bytes, r->len, MSG_NOSIGNAL, (struct sockaddr *)&r->to, r->to_len);
    free_reply(r);
}

static void send_later(struct eddy_timer *t)
{
    send_reply(EDDY_CONTAINER_OF(t, struct dns_reply, timer));
}

void dns_release(struct dns *d)
{
    for (struct dns_reply *r = d->replies, *next; r; r = next) {
        next = r->next;
        if (r->held)
            send_reply(r);
    }
}

static struct dns_reply *new_reply(struct dns *d, const uint8_t *bytes, size_t len,
                                   struct dns_peer *peer)
{
    size_t head = peer ? 2 : 0;
    struct dns_reply *r = new_zeroed(sizeof *r + head + len), **end = &d->replies;

    if (peer) {
        r->bytes[0] = (uint8_t)(len >> 8);
        r->bytes[1] = (uint8_t)len;
    }
    memcpy(r->bytes + head, bytes, len);
    r->len = head + len;
    r->d = d;
    r->peer = peer;
    r->timer.fn = send_later;
    while (*end)
        end = &(*end)->next;
    *end = r;
    return r;
}

/* ---- from the question to the answer ---- */

static bool says_nothing(const struct dns_manner *m, const struct dns_peer *peer)
{
    return m->how == DNS_SILENCE || (m->how == DNS_HANG_UP && !peer);
}

static void answer(struct dns_reply *r, const struct dns_manner *m,
                   const struct sockaddr_storage *to, socklen_t to_len)
{
    struct dns *d = r->d;

    if (to)
        memcpy(&r->to, to, to_len);
    r->to_len = to_len;
    r->held = m->how == DNS_HOLD;
    d->held += r->held;
    if (m->delay > 0)
        eddy_loop_call_later(d->loop, &r->timer, m->delay);
    else if (!r->held)
        send_reply(r);
}

/* False: the peer is gone. */
static bool serve(struct dns *d, const struct dns_question *q, struct dns_peer *peer,
                  const struct sockaddr_storage *to, socklen_t to_len)
{
    dns_count_question(d, q);
    struct dns_manner m = dns_manner_for(d, q);
    if (m.how == DNS_HANG_UP && peer) {
        hang_up(peer);
        return false;
    }
    if (says_nothing(&m, peer))
        return true;
    size_t len = dns_write_answer(d, q, &m);
    if (d->craft && len == 0)
        return true;
    for (int i = 0; i < (m.copies ? m.copies : 1); i++)
        answer(new_reply(d, d->buffer, len, peer), &m, to, to_len);
    return true;
}

static void udp_ready(struct eddy_watch *w, unsigned events)
{
    struct dns *d = EDDY_CONTAINER_OF(w, struct dns, udp_watch);

    (void)events;
    for (int i = 0; i < AT_A_TIME && d->udp >= 0; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        struct dns_question q;
        uint8_t bytes[2048];
        ssize_t n = recvfrom(d->udp, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_len);

        if (n < 0)
            break;
        if (dns_read_question(&q, bytes, (size_t)n, false))
            serve(d, &q, NULL, &from, from_len);
    }
}

/* Takes whole questions off the front. */
static void read_peer(struct dns_peer *p)
{
    struct dns_question q;
    size_t len;

    while (p->len >= 2 && p->len - 2 >= (len = (size_t)p->bytes[0] << 8 | p->bytes[1])) {
        bool good = dns_read_question(&q, p->bytes + 2, len, true);

        p->len -= 2 + len;
        memmove(p->bytes, p->bytes + 2 + len, p->len);
        if (good && !serve(p->d, &q, p, NULL, 0))
            return;
    }
}

static void peer_ready(struct eddy_watch *w, unsigned events)
{
    struct dns_peer *p = EDDY_CONTAINER_OF(w, struct dns_peer, watch);
    ssize_t n = recv(p->fd, p->bytes + p->len, sizeof p->bytes - p->len, 0);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(p);
        return;
    }
    p->len += (size_t)n;
    read_peer(p);
}

static void listener_ready(struct eddy_watch *w, unsigned events)
{
    struct dns *d = EDDY_CONTAINER_OF(w, struct dns, listener_watch);
    int fd = accept4(d->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    struct dns_peer *p = new_zeroed(sizeof *p);
    d->accepted++;
    p->d = d;
    p->fd = fd;
    p->watch.fn = peer_ready;
    p->next = d->peers;
    d->peers = p;
    if (eddy_loop_add_watch(d->loop, &p->watch, fd, EDDY_READ) < 0)
        hang_up(p);
}

/* ---- opening and closing ---- */

static int open_socket(int type, const char *address, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (inet_pton(AF_INET, address, &a.sin_addr) == 1 &&
        bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        (type == SOCK_DGRAM || listen(fd, 128) == 0))
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static int port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    return getsockname(fd, (struct sockaddr *)&a, &len) < 0 ? 0 : ntohs(a.sin_port);
}

/* The port that the system gives for the one need not be free for the other. */
static int open_both(struct dns *d, const char *address)
{
    for (int i = 0; i < 100; i++) {
        d->udp = open_socket(SOCK_DGRAM, address, 0);
        if (d->udp < 0)
            return d->udp;
        d->port = port_of(d->udp);
        d->listener = open_socket(SOCK_STREAM, address, d->port);
        if (d->listener >= 0)
            return 0;
        close(d->udp);
        d->udp = -1;
    }
    return -EADDRINUSE;
}

int dns_open(struct dns *d, const char *address)
{
    int room = 4 << 20;

    memset(d, 0, sizeof *d);
    d->udp = d->listener = -1;
    d->seed = 88172645463325252u;
    d->udp_watch.fn = udp_ready;
    d->listener_watch.fn = listener_ready;
    if (!address)
        address = "127.0.0.1";
    int rc = open_both(d, address);
    if (rc < 0)
        return rc;
    setsockopt(d->udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room); /* as much as there may be */
    snprintf(d->servers, sizeof d->servers, "%s:%d", address, d->port);
    return 0;
}

int dns_serve(struct dns *d, struct eddy_loop *loop)
{
    int rc = eddy_loop_add_watch(loop, &d->udp_watch, d->udp, EDDY_READ);

    d->loop = loop;
    return rc < 0 ? rc : eddy_loop_add_watch(loop, &d->listener_watch, d->listener, EDDY_READ);
}

static void close_socket(struct eddy_watch *w, int *fd)
{
    eddy_watch_remove(w);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void dns_close_udp(struct dns *d)
{
    close_socket(&d->udp_watch, &d->udp);
}

void dns_close_tcp(struct dns *d)
{
    close_socket(&d->listener_watch, &d->listener);
    while (d->peers)
        hang_up(d->peers);
}

void dns_close(struct dns *d)
{
    dns_close_udp(d);
    dns_close_tcp(d);
    while (d->replies)
        free_reply(d->replies);
    dns_behave_well(d);
    dns_remove(d, NULL);
}

/* ---- in a thread ---- */

static void *run(void *user)
{
    struct dns_thread *t = user;

    eddy_loop_run_forever(t->loop);
    return NULL;
}

int dns_thread_start(struct dns_thread *t, void (*script)(struct dns *d))
{
    int rc = eddy_loop_new(EDDY_LOOP(.backend = "poll"), &t->loop);

    if (rc < 0)
        return rc;
    rc = dns_open(&t->dns, NULL);
    if (rc == 0) {
        script(&t->dns);
        rc = dns_serve(&t->dns, t->loop);
        if (rc == 0)
            rc = -pthread_create(&t->thread, NULL, run, t);
        if (rc < 0)
            dns_close(&t->dns);
    }
    if (rc < 0)
        eddy_loop_unref(t->loop);
    return rc;
}

void dns_thread_stop(struct dns_thread *t)
{
    eddy_loop_stop(t->loop);
    pthread_join(t->thread, NULL);
    dns_close(&t->dns);
    eddy_loop_close(t->loop);
    eddy_loop_unref(t->loop);
}
