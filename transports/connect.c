/* Clients: the creating calls. What becomes of them stands in connecting.c. */
#include "transports/connect.h"

#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include "transports/connecting.h"
#include "transports/fdstream.h"
#include "transports/unix.h"
#include <netdb.h>
#include <string.h>

#define KNOWN_FLAGS (AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG)

/* ---- arguments ---- */

static int refuse(const struct eddy_connection_opts *o, int code, const char *op, const char *why)
{
    return eddy_error_set(o->error, code, "connect", "%s: %s", op, why);
}

static const char create_connection[] = "create_connection";

/* *ret has length 0 if the host is to be looked up. */
static int check_host(const struct eddy_connection_opts *o, struct eddy_addr *ret)
{
    ret->len = 0;
    if (o->port < 0 || o->port > 65535)
        return eddy_error_set(o->error, -EINVAL, "connect",
                              "connect to %s: port %d is out of range", o->host, o->port);
    if (*o->host == '\0')
        return refuse(o, -EINVAL, create_connection, "the host is empty");
    if (o->family && o->family != AF_INET && o->family != AF_INET6)
        return refuse(o, -EINVAL, create_connection, ".family is not of the internet");
    if (eddy_addr_parse(o->host, o->port, ret) == 0 && o->family &&
        o->family != ret->u.sa.sa_family)
        return refuse(o, -EINVAL, create_connection, "the address is not of the family asked for");
    return 0;
}

static int check_local(const struct eddy_connection_opts *o, const struct eddy_addr *to)
{
    struct eddy_addr local;

    if (o->local_port < 0 || o->local_port > 65535)
        return refuse(o, -EINVAL, create_connection, "the local port is out of range");
    if (o->local_host && *o->local_host == '\0')
        return refuse(o, -EINVAL, create_connection, "the local host is empty");
    if (to->len && eddy_addr_parse(o->local_host, o->local_port, &local) == 0 &&
        local.u.sa.sa_family != to->u.sa.sa_family)
        return refuse(o, -EINVAL, create_connection,
                      "no matching local address: it is of another family");
    return 0;
}

static int check_addresses(const struct eddy_connection_opts *o, struct eddy_addr *ret_to)
{
    int rc = check_host(o, ret_to);

    if (rc == 0)
        rc = check_local(o, ret_to);
    if (rc == 0 && (o->flags & ~KNOWN_FLAGS))
        rc = refuse(o, -EINVAL, create_connection, "unknown .flags");
    return rc;
}

/* A connected stream socket. */
int eddy_connect_check_sock(struct eddy_loop *loop, const struct eddy_connection_opts *o,
                            const char *op)
{
    struct eddy_sys *sys = loop->sys;
    struct eddy_addr peer;
    int type = 0;

    if (o->sock < 0 || sys->cls->getsockopt(sys, o->sock, SOL_SOCKET, SO_TYPE, &type) < 0 ||
        type != SOCK_STREAM)
        return refuse(o, -EINVAL, op, ".sock is not a stream socket");
    if (sys->cls->peername(sys, o->sock, &peer) == -ENOTCONN)
        return refuse(o, -EINVAL, op, ".sock is not connected");
    if (eddy_loop_io(loop, o->sock))
        return refuse(o, EDDY_EFD_IN_USE, op, ".sock is in use by this loop");
    return 0;
}

int eddy_connect_check(struct eddy_loop *loop, struct eddy_protocol *p,
                       const struct connect_request *r)
{
    const struct eddy_connection_opts *o = r->o;
    const char *op = r->op;

    if (!p)
        return refuse(o, -EINVAL, op, "no protocol");
    int rc = eddy_protocol_class_check(p->cls, op, o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse(o, EDDY_ELOOP_CLOSED, op, "the loop is closed");
    if (o->timeout < 0 && o->timeout != EDDY_OFF)
        return refuse(o, -EINVAL, op, ".timeout is negative");
    if (o->happy_eyeballs_delay < 0 && o->happy_eyeballs_delay != EDDY_OFF)
        return refuse(o, -EINVAL, op, ".happy_eyeballs_delay is negative");
    if (o->interleave < 0 && o->interleave != EDDY_OFF)
        return refuse(o, -EINVAL, op, ".interleave is negative");
    return tls_check(&r->tls, o->host, op, o->error);
}

/* ---- the ends ---- */

static size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static void look_up(struct eddy_query *q, const char *host, int port, int family, int flags)
{
    q->kind = EDDY_QUERY_ADDRESSES;
    q->host = host;
    q->port = port;
    q->family = family;
    q->type = SOCK_STREAM;
    q->flags = flags;
}

static void set_host(struct connecting *c, const struct eddy_connection_opts *o,
                     const struct eddy_addr *to)
{
    if (to->len) {
        c->host.own[0] = *to;
        c->host.count = 1;
        return;
    }
    char *host = memcpy(c->strings, o->host, room(o->host));
    look_up(&c->host.query, host, o->port, o->family, o->flags);
}

static void set_local(struct connecting *c, const struct eddy_connection_opts *o,
                      const struct eddy_addr *to)
{
    struct end *e = &c->local;

    if (!o->local_host && o->local_port) {
        eddy_addr_parse("0.0.0.0", o->local_port, &e->own[0]);
        eddy_addr_parse("::", o->local_port, &e->own[1]);
        e->count = 2;
    } else if (o->local_host) {
        if (eddy_addr_parse(o->local_host, o->local_port, &e->own[0]) == 0) {
            e->count = 1;
            return;
        }
        char *host = memcpy(c->strings + room(o->host), o->local_host, room(o->local_host));
        look_up(&e->query, host, o->local_port, to->len ? to->u.sa.sa_family : o->family, o->flags);
    }
}

/* ---- the beginning ---- */

static bool is_unix(struct eddy_loop *loop, int sock)
{
    struct eddy_addr own;

    own.u.sa.sa_family = AF_UNSPEC;
    return loop->sys->cls->sockname(loop->sys, sock, &own) == 0 && own.u.sa.sa_family == AF_UNIX;
}

/* On failure .sock is closed, but on -EINVAL, by then or by giving up. */
static int attach_sock(struct connecting *c, int sock)
{
    struct eddy_loop *loop = c->o.loop;
    struct eddy_sys *sys = loop->sys;
    struct opened *s = eddy_connecting_transport(c, is_unix(loop, sock));
    int rc = s ? sys->cls->adopt(sys, sock) : -ENOMEM;

    c->o.opened = s;
    if (rc == 0)
        rc = eddy_fdstream_attach(&s->t, sock, NULL);
    if (rc < 0 && rc != -EINVAL)
        sys->cls->close(sys, sock);
    if (rc == 0 && c->max_fds > 0)
        rc = eddy_unix_pass_fds(&s->t, c->max_fds);
    return rc;
}

static int start_with_sock(struct connecting *c, const struct eddy_connection_opts *o,
                           const char *op)
{
    struct eddy_sys *sys = c->o.loop->sys;
    int rc = attach_sock(c, o->sock);

    if (rc < 0)
        return eddy_error_set(o->error, rc, "connect", "%s: .sock %d: %s", op, o->sock,
                              eddy_strerror(rc));
    if (c->o.opened->t.cls == &eddy_tcp_transport)
        eddy_fdstream_nodelay(c->o.loop, o->sock);
    if (c->keep_alive)
        sys->cls->setsockopt(sys, o->sock, SOL_SOCKET, SO_KEEPALIVE, 1);
    eddy_connecting_won_later(c);
    return 0;
}

/* Why nothing was begun. */
static int give_back(struct eddy_loop *loop, const struct eddy_connection_opts *o, const char *op,
                     int rc)
{
    if (rc == -EINVAL)
        return refuse(o, rc, op, "the protocol is attached already, or not initialised");
    if (o->use_sock)
        loop->sys->cls->close(loop->sys, o->sock);
    return refuse(o, rc, op, "no memory");
}

/* The context that is used, referenced; NULL: none. */
static int find_context(struct eddy_loop *loop, const struct connect_request *r,
                        struct eddy_tls **ret)
{
    *ret = NULL;
    if (r->tls.use_tls && !r->tls.tls)
        return tls_default(loop, r->o->error, ret);
    *ret = eddy_tls_ref(r->tls.tls);
    return 0;
}

static int make(struct eddy_loop *loop, const struct connect_request *r, struct connecting **ret)
{
    const struct eddy_connection_opts *o = r->o;
    struct eddy_tls *context;
    int rc = find_context(loop, r, &context);

    if (rc < 0) {
        if (o->use_sock && rc != -EINVAL)
            loop->sys->cls->close(loop->sys, o->sock);
        return rc;
    }
    rc = eddy_connecting_new(r, context, room(o->host) + room(o->local_host), ret);
    eddy_tls_unref(context);
    return rc == -EINVAL ? refuse(o, rc, r->op, "impossible limits or time-outs") : 0;
}

int eddy_connect(struct eddy_loop *loop, struct eddy_protocol *p, const struct connect_request *r,
                 const struct eddy_addr *to, struct eddy_future **ret)
{
    const struct eddy_connection_opts *o = r->o;
    const char *op = r->op;
    struct connecting *c = NULL;

    int rc = make(loop, r, &c);
    if (rc < 0)
        return rc;
    rc = eddy_opening_begin(c ? &c->o : NULL, &eddy_connecting_class, loop, p, NULL, ret != NULL);
    if (rc < 0)
        return give_back(loop, o, op, rc);
    if (o->use_sock) {
        rc = start_with_sock(c, o, op);
    } else {
        set_host(c, o, to);
        set_local(c, o, to);
        rc = eddy_connecting_start(c, o->error);
    }
    if (rc < 0) {
        eddy_opening_undo(&c->o);
        return rc;
    }
    eddy_opening_go_on(&c->o, ret);
    return 0;
}

static int create(struct eddy_loop *loop, struct eddy_protocol *p, const struct connect_request *r,
                  struct eddy_future **ret)
{
    const struct eddy_connection_opts *o = r->o;
    struct eddy_addr to = {.len = 0};

    int rc = eddy_connect_check(loop, p, r);
    if (rc < 0)
        return rc;
    if (!o->host == !o->use_sock)
        return refuse(o, -EINVAL, create_connection,
                      "either .host and .port or .sock must be given");
    rc =
        o->use_sock ? eddy_connect_check_sock(loop, o, create_connection) : check_addresses(o, &to);
    return rc < 0 ? rc : eddy_connect(loop, p, r, &to, ret);
}

int eddy_create_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                           const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    if (!loop || !o)
        return -EINVAL;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc < 0)
        return rc;
    const struct connect_request r = {create_connection, o, TLS_CLIENT_SETTINGS(o), 0};
    return create(loop, p, &r, ret);
}

int eddy_connect_accepted_socket(struct eddy_loop *loop, struct eddy_protocol *p, int sock,
                                 const struct eddy_connection_opts *opts, struct eddy_future **ret)
{
    static const struct eddy_connection_opts defaults = {.abi_size = sizeof defaults};

    if (!opts)
        opts = &defaults;
    int rc = loop ? eddy_opts_check(opts, opts->abi_size, sizeof *opts) : -EINVAL;
    if (rc < 0)
        return rc;
    if (opts->host || opts->use_sock)
        return refuse(opts, -EINVAL, create_connection,
                      "the socket is an argument: neither .host nor .sock");
    if (opts->use_tls && !opts->tls)
        return refuse(opts, -EINVAL, create_connection, "a server needs a TLS context");
    struct eddy_connection_opts o = *opts;
    o.abi_size = sizeof o;
    o.sock = sock;
    o.use_sock = true;
    struct connect_request r = {create_connection, &o, TLS_CLIENT_SETTINGS(opts), 0};
    r.tls.server_side = true;
    return create(loop, p, &r, ret);
}
