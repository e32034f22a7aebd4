#include "transports/listen.h"

#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include "transports/fdstream.h"
#include <eddy/resolver.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* ---- upcalls ---- */

static void accepted(struct eddy_io *io, int res, const struct eddy_addr *peer)
{
    eddy_server_accepted(((struct listener *)io)->server, res, peer);
}

static unsigned batch(const struct eddy_io *io)
{
    return (unsigned)((const struct listener *)io)->backlog + 1;
}

static void closed(struct eddy_io *io)
{
    eddy_io_closed(io);
    eddy_free(io);
}

static const struct eddy_io_class listener_io = {
    .name = "listener",
    .accepted = accepted,
    .batch = batch,
    .closed = closed,
};

/* ---- opening ---- */

static struct listener *new_listener(struct eddy_server *server, struct eddy_loop *loop, int fd)
{
    struct listener *l = eddy_zalloc(sizeof *l);

    if (!l)
        return NULL;
    l->io.cls = &listener_io;
    l->io.loop = loop;
    l->io.kind = EDDY_IO_LISTENER;
    l->io.flags = EDDY_IO_OWNBUF;
    l->io.fd = fd;
    l->server = server;
    return l;
}

static bool is_unix(const struct listener *l)
{
    return l->addr.u.sa.sa_family == AF_UNIX;
}

static void close_all(struct listener *l, struct eddy_loop *loop)
{
    while (l) {
        struct listener *next = l->next;
        eddy_listener_close(l, loop);
        l = next;
    }
}

static int set_options(struct eddy_sys *sys, int fd, int family, const struct eddy_server_opts *o)
{
    int rc = 0;

    if (!o->no_reuse_address)
        rc = sys->cls->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && family == AF_INET6)
        rc = sys->cls->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0 && o->reuse_port) {
#ifdef SO_REUSEPORT
        rc = sys->cls->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEPORT, 1);
#else
        rc = EDDY_ENOT_SUPPORTED;
#endif
    }
    return rc;
}

/* 0 and a bound listener; 0 and NULL for an address to be skipped; or an error. */
static int open_one(struct eddy_server *server, struct eddy_loop *loop, struct eddy_addr *a,
                    const struct eddy_server_opts *o, struct listener **ret)
{
    struct eddy_sys *sys = loop->sys;
    char text[EDDY_ADDR_TEXT];
    int fd = sys->cls->socket(sys, a->u.sa.sa_family, SOCK_STREAM, 0);

    *ret = NULL;
    eddy_addr_format(a, text, sizeof text);
    if (fd == -EAFNOSUPPORT || fd == -EPROTONOSUPPORT) {
        eddy_loop_log(loop, EDDY_LOG_DEBUG, "server", "%s is skipped: no such family here", text);
        return 0;
    }
    if (fd < 0)
        return eddy_error_set(o->error, fd, "socket", "listen on %s: %s", text, eddy_strerror(fd));
    int rc = set_options(sys, fd, a->u.sa.sa_family, o);
    if (rc == 0)
        rc = sys->cls->bind(sys, fd, a);
    if (rc == 0 && (*ret = new_listener(server, loop, fd)) != NULL)
        return 0;
    sys->cls->close(sys, fd);
    if (rc == -EADDRNOTAVAIL)
        return 0;
    if (rc == 0)
        rc = -ENOMEM;
    return eddy_error_set(o->error, rc, "bind", "error while attempting to bind on address %s: %s",
                          text, eddy_strerror(rc));
}

/* A path, or an abstract name. */
static int open_unix(struct eddy_server *server, struct eddy_loop *loop,
                     const struct eddy_server_opts *o, const struct unix_place *u,
                     struct listener **ret)
{
    struct eddy_sys *sys = loop->sys;
    char text[EDDY_ADDR_TEXT];
    int fd = sys->cls->socket(sys, AF_UNIX, SOCK_STREAM, 0);

    eddy_addr_format(&u->addr, text, sizeof text);
    if (fd < 0)
        return eddy_error_set(o->error, fd, "socket", "listen on %s: %s", text, eddy_strerror(fd));
    struct listener *l = new_listener(server, loop, fd);
    if (!l) {
        sys->cls->close(sys, fd);
        return eddy_error_set(o->error, -ENOMEM, "bind", "listen on %s: %s", text,
                              eddy_strerror(-ENOMEM));
    }
    int rc = eddy_socket_file_bind(sys, fd, &u->addr, u->mode, o->error, &l->file);
    if (rc < 0) {
        eddy_listener_close(l, loop);
        return rc;
    }
    l->addr = u->addr;
    l->made_here = true;
    if (u->keep_file)
        l->file.maker = 0;
    *ret = l;
    return 0;
}

/* ---- the addresses that options name ---- */

#define MAX_ADDRESSES 64

struct addresses {
    struct eddy_addr list[MAX_ADDRESSES];
    unsigned count;
};

static int add(struct addresses *as, const struct eddy_addr *a, const struct eddy_server_opts *o)
{
    for (unsigned i = 0; i < as->count; i++)
        if (eddy_addr_equal(&as->list[i], a))
            return 0;
    if (as->count == MAX_ADDRESSES)
        return eddy_error_set(o->error, -EINVAL, "bind", "more than %d addresses", MAX_ADDRESSES);
    as->list[as->count++] = *a;
    return 0;
}

/* A name; NULL: all interfaces. */
static int look_up(struct addresses *as, struct eddy_loop *loop, const char *host,
                   const struct eddy_server_opts *o)
{
    struct eddy_query q = {
        .host = host,
        .port = o->port,
        .family = o->family,
        .type = SOCK_STREAM,
        .flags = AI_PASSIVE,
    };
    void *answer;
    int rc = eddy_query_now(loop, &q, o->error, &answer);

    if (rc < 0)
        return rc;
    const struct eddy_addresses *found = answer;
    for (size_t i = 0; i < found->count && rc == 0; i++)
        rc = add(as, &found->list[i].addr, o);
    eddy_answer_free(answer);
    return rc;
}

/* Of a list some may be addresses of another family than the one asked for. */
static int add_host(struct addresses *as, struct eddy_loop *loop, const char *host,
                    const struct eddy_server_opts *o)
{
    struct eddy_addr a;

    if (!host || !*host)
        return look_up(as, loop, NULL, o);
    if (eddy_addr_parse(host, o->port, &a) < 0)
        return look_up(as, loop, host, o);
    return o->family && o->family != a.u.sa.sa_family ? 0 : add(as, &a, o);
}

static int find_addresses(struct eddy_loop *loop, const struct eddy_server_opts *o,
                          struct addresses *as)
{
    int rc = 0;

    as->count = 0;
    if (!o->hosts)
        rc = add_host(as, loop, o->host, o);
    for (const char *const *h = o->hosts; h && *h && rc == 0; h++)
        rc = add_host(as, loop, *h, o);
    if (rc == 0 && as->count == 0)
        rc = eddy_error_set(o->error, -EINVAL, "bind", "no address of the family asked for");
    return rc;
}

/* "127.0.0.1:80, [::1]:80", as many as fit. */
static const char *format_all(const struct addresses *as, char *buf, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < as->count && used < size; i++) {
        char text[EDDY_ADDR_TEXT];
        eddy_addr_format(&as->list[i], text, sizeof text);
        used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", text);
    }
    return buf;
}

static int open_sock(struct eddy_server *server, struct eddy_loop *loop,
                     const struct eddy_server_opts *o, struct listener **ret)
{
    struct eddy_sys *sys = loop->sys;
    int rc = sys->cls->adopt(sys, o->sock);

    if (rc == 0 && (*ret = new_listener(server, loop, o->sock)) != NULL)
        return 0;
    sys->cls->close(sys, o->sock);
    if (rc == 0)
        rc = -ENOMEM;
    return eddy_error_set(o->error, rc, "bind", "listen on .sock %d: %s", o->sock,
                          eddy_strerror(rc));
}

static int open_addresses(struct eddy_server *server, struct eddy_loop *loop,
                          const struct eddy_server_opts *o, struct listener **ret)
{
    struct addresses as;
    struct listener *first = NULL, **last = &first;
    int rc = find_addresses(loop, o, &as);

    for (unsigned i = 0; i < as.count && rc == 0; i++) {
        rc = open_one(server, loop, &as.list[i], o, last);
        if (*last)
            last = &(*last)->next;
    }
    if (rc == 0 && !first) {
        char text[EDDY_ERROR_TEXT];
        rc = eddy_error_set(o->error, -EADDRNOTAVAIL, "bind",
                            "could not bind on any address out of %s: %s",
                            format_all(&as, text, sizeof text), eddy_strerror(-EADDRNOTAVAIL));
    }
    if (rc < 0) {
        close_all(first, loop);
        return rc;
    }
    *ret = first;
    return 0;
}

int eddy_listeners_open(struct eddy_server *server, struct eddy_loop *loop,
                        const struct eddy_server_opts *o, const struct unix_place *u,
                        struct listener **ret)
{
    int rc = o->use_sock ? open_sock(server, loop, o, ret)
             : u         ? open_unix(server, loop, o, u, ret)
                         : open_addresses(server, loop, o, ret);

    if (rc < 0)
        return rc;
    for (struct listener *l = *ret; l; l = l->next) {
        loop->sys->cls->sockname(loop->sys, l->io.fd, &l->addr);
        if (is_unix(l))
            continue;
        if (o->keep_alive) /* inherited by what is accepted, as TCP_NODELAY is on Linux */
            loop->sys->cls->setsockopt(loop->sys, l->io.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        eddy_fdstream_nodelay(loop, l->io.fd);
    }
    return 0;
}

/* ---- serving ---- */

/* Not a matter of closing and opening: others could take the port in between, and .sock is the only
 * one of its kind. Linux makes a listening socket a bound one this way, though it takes a port away
 * that it chose itself. Elsewhere the socket goes on listening, and nobody accepts. So does a unix
 * socket: shut down it would refuse for ever. */
static void stop_listening(struct listener *l, struct eddy_loop *loop)
{
    struct eddy_sys *sys = loop->sys;

    if (is_unix(l))
        return;
    sys->cls->shutdown(sys, l->io.fd, SHUT_RDWR);
    sys->cls->bind(sys, l->io.fd, &l->addr); /* -EINVAL where it still is bound */
}

static int attach(struct listener *l)
{
    int rc = l->attached ? 0 : eddy_io_attach(&l->io, l->io.fd);

    l->attached = rc == 0;
    return rc;
}

/* What is made here is attached first, which then cannot fail when it listens already. A socket
 * made elsewhere must stay the caller's if it cannot listen (contract G29). */
static int listen_on(struct listener *l, struct eddy_sys *sys, int backlog)
{
    int rc = l->made_here ? attach(l) : 0;

    return rc < 0 ? rc : sys->cls->listen(sys, l->io.fd, backlog);
}

int eddy_listeners_start(struct listener *first, struct eddy_loop *loop, int backlog)
{
    struct eddy_sys *sys = loop->sys;
    struct listener *l, *refused;
    int rc = 0;

    for (refused = first; refused; refused = refused->next) {
        rc = refused->listening ? 0 : listen_on(refused, sys, backlog);
        if (rc < 0)
            break;
    }
    for (l = first; l && rc == 0; l = l->next)
        rc = attach(l);
    for (l = first; l != refused; l = l->next) {
        if (l->listening)
            continue;
        if (rc < 0) {
            stop_listening(l, loop);
            continue;
        }
        l->listening = true;
        l->backlog = backlog;
        eddy_listener_watch(l, true);
    }
    return rc;
}

void eddy_listener_watch(struct listener *l, bool on)
{
    struct eddy_backend *b = l->io.loop->backend;

    if (!l->listening)
        return;
    if (on)
        b->cls->read_start(b, &l->io);
    else
        b->cls->read_stop(b, &l->io);
}

void eddy_listener_release(struct listener *l)
{
    l->io.fd = -1;
}

void eddy_listener_close(struct listener *l, struct eddy_loop *loop)
{
    eddy_socket_file_remove(&l->file, &l->addr, loop);
    if (l->attached) {
        l->listening = false;
        eddy_io_close(&l->io);
    } else {
        if (l->io.fd >= 0)
            loop->sys->cls->close(loop->sys, l->io.fd);
        eddy_free(l);
    }
}
