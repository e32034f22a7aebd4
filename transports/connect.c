/* Clients: one attempt per call, from the arguments to connection_made or connect_failed. */
#include "transports/connect.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include "transports/fdstream.h"
#include "transports/opening.h"
#include "transports/unix.h"
#include <string.h>

/* Between two attempts while a unix server's backlog is full: twice as long each time. */
#define FIRST_PAUSE EDDY_MSEC(1)
#define LONGEST_PAUSE EDDY_MSEC(100)

struct connecting {
    struct opening o; /* first */
    struct eddy_timer deadline, retry;
    eddy_nsec timeout, pause;
    struct eddy_addr to;
    unsigned max_fds;
};

/* ---- what happens to it ---- */

static void stop(struct opening *o)
{
    eddy_timer_cancel(&((struct connecting *)o)->deadline);
    eddy_timer_cancel(&((struct connecting *)o)->retry);
}

static const struct opening_class connecting_class = {.op = "connect", .stop = stop};

static void fail(struct connecting *c, int code, const char *cause)
{
    struct eddy_error e;
    char to[EDDY_ADDR_TEXT];

    eddy_error_set(&e, code, "connect", "connect to %s: %s",
                   eddy_addr_format(&c->to, to, sizeof to), cause);
    eddy_opening_fail(&c->o, &e);
}

static void connected(struct eddy_io *io, int err)
{
    struct opening *o = ((struct opened *)io)->opening;

    if (err < 0) {
        fail((struct connecting *)o, err, eddy_strerror(err));
        return;
    }
    eddy_fdstream_nodelay(io->loop, io->fd);
    eddy_opening_succeed(o);
}

static const struct eddy_io_class connecting_io = {
    .name = "client stream",
    EDDY_FDSTREAM_IO,
    .connected = connected,
};

static void unix_connected(struct eddy_io *io, int err)
{
    struct opened *s = (struct opened *)io;
    struct connecting *c = (struct connecting *)s->opening;

    if (err == 0 && c->max_fds > 0)
        err = eddy_unix_pass_fds(&s->t, c->max_fds);
    if (err < 0)
        fail(c, err, eddy_strerror(err));
    else
        eddy_opening_succeed(&c->o);
}

static const struct eddy_io_class connecting_unix_io = {
    .name = "unix client",
    EDDY_UNIX_IO,
    .connected = unix_connected,
};

static void deadline_passed(struct eddy_timer *t)
{
    struct connecting *c = EDDY_CONTAINER_OF(t, struct connecting, deadline);
    struct eddy_error cause;

    eddy_error_set(&cause, -ETIMEDOUT, "connect", "not connected within %.3g seconds",
                   (double)c->timeout / 1e9);
    fail(c, -ETIMEDOUT, cause.text);
}

/* ---- a unix server's backlog is full: no readiness tells when it is not ---- */

static void wait_for_backlog(struct connecting *c)
{
    eddy_loop_call_later(c->o.loop, &c->retry, c->pause);
    c->pause = c->pause < LONGEST_PAUSE / 2 ? c->pause * 2 : LONGEST_PAUSE;
}

static void try_again(struct eddy_timer *t)
{
    struct connecting *c = EDDY_CONTAINER_OF(t, struct connecting, retry);
    int rc = eddy_io_connect(&c->o.opened->t.io, &c->to, NULL);

    if (rc == -EAGAIN)
        wait_for_backlog(c);
    else if (rc < 0)
        fail(c, rc, eddy_strerror(rc));
}

/* ---- arguments ---- */

static int refuse(const struct eddy_connection_opts *o, int code, const char *op, const char *why)
{
    return eddy_error_set(o->error, code, "connect", "%s: %s", op, why);
}

static const char create_connection[] = "create_connection";

static int check_addresses(const struct eddy_connection_opts *o, struct eddy_addr *ret_to,
                           struct eddy_addr *ret_local)
{
    ret_local->len = 0;
    if (eddy_addr_parse(o->host, o->port, ret_to) < 0)
        return eddy_error_set(o->error, -EINVAL, "connect",
                              o->port < 0 || o->port > 65535
                                  ? "connect to %s: port %d is out of range"
                                  : "connect to %s:%d: not a numeric address, and names are not "
                                    "looked up yet",
                              o->host, o->port);
    if (o->family && o->family != ret_to->u.sa.sa_family)
        return refuse(o, -EINVAL, create_connection, "the address is not of the family asked for");
    if (!o->local_host && !o->local_port)
        return 0;
    const char *any = ret_to->u.sa.sa_family == AF_INET6 ? "::" : "0.0.0.0";
    if (eddy_addr_parse(o->local_host ? o->local_host : any, o->local_port, ret_local) < 0)
        return refuse(o, -EINVAL, create_connection,
                      "the local address is not numeric, or its port out of range");
    if (ret_local->u.sa.sa_family != ret_to->u.sa.sa_family)
        return refuse(o, -EINVAL, create_connection,
                      "no matching local address: it is of another family");
    return 0;
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
                       const struct eddy_connection_opts *o, const char *op)
{
    if (!p)
        return refuse(o, -EINVAL, op, "no protocol");
    int rc = eddy_protocol_class_check(p->cls, op, o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse(o, EDDY_ELOOP_CLOSED, op, "the loop is closed");
    if (o->timeout < 0 && o->timeout != EDDY_OFF)
        return refuse(o, -EINVAL, op, ".timeout is negative");
    return 0;
}

/* ---- the beginning ---- */

static struct connecting *new_connecting(const struct eddy_connection_opts *o, unsigned max_fds)
{
    struct connecting *c = eddy_zalloc(sizeof *c);

    if (!c)
        return NULL;
    c->deadline.fn = deadline_passed;
    c->retry.fn = try_again;
    c->timeout = o->timeout;
    c->pause = FIRST_PAUSE;
    c->max_fds = max_fds;
    return c;
}

/* It may be the local address that was refused. */
static int refused_at_once(struct eddy_error *e, int code, const struct eddy_addr *to,
                           const struct eddy_addr *local)
{
    char text[EDDY_ADDR_TEXT], from[EDDY_ADDR_TEXT];

    eddy_addr_format(to, text, sizeof text);
    if (local->len)
        return eddy_error_set(e, code, "connect", "connect to %s from %s: %s", text,
                              eddy_addr_format(local, from, sizeof from), eddy_strerror(code));
    return eddy_error_set(e, code, "connect", "connect to %s: %s", text, eddy_strerror(code));
}

/* On failure .sock is closed, but on -EINVAL, by then or by giving up. */
static int start_with_sock(struct connecting *c, const struct eddy_connection_opts *o,
                           const char *op)
{
    struct eddy_transport *t = &c->o.opened->t;
    struct eddy_sys *sys = c->o.loop->sys;
    int rc = sys->cls->adopt(sys, o->sock);

    if (rc == 0)
        rc = eddy_fdstream_attach(t, o->sock, NULL);
    if (rc < 0 && rc != -EINVAL)
        sys->cls->close(sys, o->sock);
    if (rc == 0 && c->max_fds > 0)
        rc = eddy_unix_pass_fds(t, c->max_fds);
    if (rc < 0)
        return eddy_error_set(o->error, rc, "connect", "%s: .sock %d: %s", op, o->sock,
                              eddy_strerror(rc));
    if (t->cls == &eddy_tcp_transport)
        eddy_fdstream_nodelay(c->o.loop, o->sock);
    eddy_opening_succeed_later(&c->o);
    return 0;
}

/* < 0 only for what the caller can do something about: the network's answers come by the loop. */
static int start_with_address(struct connecting *c, const struct eddy_connection_opts *o,
                              const struct eddy_addr *to, const struct eddy_addr *local)
{
    struct eddy_transport *t = &c->o.opened->t;

    c->to = *to;
    eddy_transport_set_peername(t, to);
    int rc = eddy_io_connect(&t->io, to, local->len ? local : NULL);
    if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS)
        return refused_at_once(o->error, rc, to, local);
    if (rc == -EAGAIN && to->u.sa.sa_family == AF_UNIX) {
        wait_for_backlog(c);
    } else if (rc < 0) {
        struct eddy_error e;

        refused_at_once(&e, rc, to, local);
        eddy_opening_fail_later(&c->o, &e);
        return 0;
    }
    if (o->timeout > 0)
        eddy_loop_call_later_site(c->o.loop, &c->deadline, o->timeout, o->site);
    return 0;
}

static int start(struct connecting *c, const struct eddy_connection_opts *o, const char *op,
                 const struct eddy_addr *to, const struct eddy_addr *local)
{
    struct eddy_sys *sys = c->o.loop->sys;
    int rc = o->use_sock ? start_with_sock(c, o, op) : start_with_address(c, o, to, local);

    if (rc == 0 && o->keep_alive && c->o.opened)
        sys->cls->setsockopt(sys, c->o.opened->t.io.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return rc;
}

static bool is_unix(struct eddy_loop *loop, const struct eddy_connection_opts *o,
                    const struct eddy_addr *to)
{
    struct eddy_addr own;

    if (!o->use_sock)
        return to->u.sa.sa_family == AF_UNIX;
    own.u.sa.sa_family = AF_UNSPEC;
    return loop->sys->cls->sockname(loop->sys, o->sock, &own) == 0 && own.u.sa.sa_family == AF_UNIX;
}

/* t of `c`; NULL: no memory. */
static struct opened *new_transport(struct eddy_loop *loop, const struct eddy_connection_opts *o,
                                    const struct eddy_addr *to, struct eddy_limits *limits)
{
    bool local = is_unix(loop, o, to);

    return eddy_opened_new(sizeof(struct opened), loop,
                           local ? &eddy_unix_transport : &eddy_tcp_transport,
                           local ? &connecting_unix_io : &connecting_io, limits, o->site);
}

int eddy_connect(struct eddy_loop *loop, struct eddy_protocol *p,
                 const struct eddy_connection_opts *o, const char *op, const struct eddy_addr *to,
                 const struct eddy_addr *local, unsigned max_fds, struct eddy_future **ret)
{
    struct eddy_limits *limits = NULL;

    int rc = eddy_limits_new(o->write_low, o->write_high, o->write_max, o->idle_timeout,
                             o->write_timeout, o->linger, &limits);
    if (rc == -EINVAL)
        return refuse(o, rc, op, "impossible limits or time-outs");
    struct connecting *c = rc == 0 ? new_connecting(o, max_fds) : NULL;
    struct opened *s = c ? new_transport(loop, o, to, limits) : NULL;
    eddy_limits_unref(limits);
    rc = s ? eddy_opening_begin(&c->o, &connecting_class, loop, p, s, ret != NULL) : -ENOMEM;
    if (rc < 0) {
        if (s)
            eddy_opened_drop(s);
        eddy_free(c);
        if (o->use_sock && rc != -EINVAL)
            loop->sys->cls->close(loop->sys, o->sock);
        return refuse(o, rc, op,
                      rc == -EINVAL ? "the protocol is attached already, or not initialised"
                                    : "no memory");
    }
    rc = start(c, o, op, to, local);
    if (rc < 0) {
        eddy_opening_undo(&c->o);
        return rc;
    }
    eddy_opening_go_on(&c->o, ret);
    return 0;
}

int eddy_create_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                           const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    struct eddy_addr to = {.len = 0}, local = {.len = 0};

    if (!loop || !o)
        return -EINVAL;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc == 0)
        rc = eddy_connect_check(loop, p, o, create_connection);
    if (rc < 0)
        return rc;
    if (!o->host == !o->use_sock)
        return refuse(o, -EINVAL, create_connection,
                      "either .host and .port or .sock must be given");
    rc = o->use_sock ? eddy_connect_check_sock(loop, o, create_connection)
                     : check_addresses(o, &to, &local);
    return rc < 0 ? rc : eddy_connect(loop, p, o, create_connection, &to, &local, 0, ret);
}

int eddy_connect_accepted_socket(struct eddy_loop *loop, struct eddy_protocol *p, int sock,
                                 const struct eddy_connection_opts *opts, struct eddy_future **ret)
{
    static const struct eddy_connection_opts defaults = {.abi_size = sizeof defaults};

    if (!opts)
        opts = &defaults;
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc < 0)
        return rc;
    if (opts->host || opts->use_sock)
        return refuse(opts, -EINVAL, create_connection,
                      "the socket is an argument: neither .host nor .sock");
    struct eddy_connection_opts o = *opts;
    o.abi_size = sizeof o;
    o.sock = sock;
    o.use_sock = true;
    return eddy_create_connection(loop, p, &o, ret);
}
