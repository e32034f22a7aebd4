/* Clients: one attempt per call, from the arguments to connection_made or connect_failed. */
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include "transports/fdstream.h"
#include <eddy/connection.h>
#include <string.h>

struct stream {
    struct eddy_transport t; /* first */
    struct eddy_owner owner;
    struct connecting *connecting; /* NULL once made, or given up */
};

struct connecting {
    struct eddy_attempt attempt; /* first: what the protocol knows */
    struct eddy_resource resource;
    struct eddy_loop *loop;
    struct eddy_protocol *protocol;
    struct eddy_future *future; /* may be NULL; referenced */
    struct stream *stream;
    struct eddy_timer deadline;
    struct eddy_handle later; /* failed, or made, but not inside the user's call */
    eddy_nsec timeout;
    struct eddy_addr to;
    bool made;               /* connection_made runs */
    struct eddy_error error; /* code 0: none */
};

static void free_stream(struct eddy_owner *o, struct eddy_transport *t)
{
    (void)o;
    eddy_free(t);
}

static const struct eddy_owner_class stream_owner = {.free = free_stream};

/* ---- the end of an attempt ---- */

static void drop_stream(struct connecting *c)
{
    struct stream *s = c->stream;

    c->stream = NULL;
    if (!s)
        return;
    s->connecting = NULL;
    if (s->t.io.fd >= 0)
        eddy_io_close(&s->t.io); /* it goes when that is done */
    else
        eddy_transport_discard(&s->t);
}

/* No call of anybody reaches it any more. */
static void stop(struct connecting *c)
{
    eddy_timer_cancel(&c->deadline);
    eddy_handle_cancel(&c->later);
    eddy_link_remove(&c->resource.link);
    if (c->future)
        eddy_future_on_cancel(c->future, NULL, NULL);
}

static void succeed(struct connecting *c)
{
    struct stream *s = c->stream;
    struct eddy_future *f = c->future;

    eddy_timer_cancel(&c->deadline);
    eddy_link_remove(&c->resource.link);
    s->connecting = NULL;
    eddy_protocol_end_attempt(c->protocol);
    c->made = true;
    eddy_transport_made(&s->t, c->protocol, &c->loop->transports);
    stop(c);
    if (f)
        eddy_future_set_result_unless_cancelled(f, NULL, NULL);
    eddy_future_unref(f);
    eddy_free(c);
}

static void fail(struct connecting *c, const struct eddy_error *why)
{
    struct eddy_error e = *why;
    struct eddy_future *f = c->future;

    stop(c);
    drop_stream(c);
    eddy_protocol_attempt_failed(c->protocol, c->loop, &e);
    if (f && !eddy_future_is_done(f))
        eddy_future_set_error(f, &e);
    eddy_future_unref(f);
    eddy_free(c);
}

static void fail_text(struct connecting *c, int code, const char *cause)
{
    struct eddy_error e;
    char to[EDDY_ADDR_TEXT];

    eddy_error_set(&e, code, "connect", "connect to %s: %s",
                   eddy_addr_format(&c->to, to, sizeof to), cause);
    fail(c, &e);
}

/* ---- what happens to it ---- */

static void run_later(struct eddy_handle *h)
{
    struct connecting *c = EDDY_CONTAINER_OF(h, struct connecting, later);

    if (c->error.code)
        fail(c, &c->error);
    else
        succeed(c);
}

static void fail_later(struct connecting *c, const struct eddy_error *why)
{
    if (c->error.code)
        return;
    c->error = *why;
    drop_stream(c);
    eddy_timer_cancel(&c->deadline);
    eddy_loop_call_soon(c->loop, &c->later);
}

static void connected(struct eddy_io *io, int err)
{
    struct stream *s = (struct stream *)io;
    struct connecting *c = s->connecting;

    if (err < 0) {
        fail_text(c, err, eddy_strerror(err));
        return;
    }
    eddy_fdstream_nodelay(io->loop, io->fd);
    succeed(c);
}

static const struct eddy_io_class connecting_io = {
    .name = "client stream",
    EDDY_FDSTREAM_IO,
    .connected = connected,
};

static void deadline_passed(struct eddy_timer *t)
{
    struct connecting *c = EDDY_CONTAINER_OF(t, struct connecting, deadline);
    struct eddy_error cause;

    eddy_error_set(&cause, -ETIMEDOUT, "connect", "not connected within %.3g seconds",
                   (double)c->timeout / 1e9);
    fail_text(c, -ETIMEDOUT, cause.text);
}

static void give_up(struct eddy_attempt *a, const struct eddy_error *why)
{
    struct connecting *c = (struct connecting *)a;
    struct eddy_future *f = c->future;

    if (why) {
        fail_later(c, why);
        return;
    }
    stop(c); /* the protocol was detached: nobody is told but the future */
    drop_stream(c);
    if (f)
        eddy_future_cancel(f, "the protocol was detached");
    eddy_future_unref(f);
    eddy_free(c);
}

static void future_cancelled(struct eddy_future *f, void *user)
{
    struct connecting *c = user;

    if (c->made) /* in connection_made: contract S13 */
        eddy_transport_close(&c->stream->t);
    else
        fail_later(c, eddy_future_error(f));
}

static void loop_closing(struct eddy_resource *r)
{
    struct connecting *c = EDDY_CONTAINER_OF(r, struct connecting, resource);

    fail_text(c, EDDY_ELOOP_CLOSED, eddy_strerror(EDDY_ELOOP_CLOSED));
}

/* ---- arguments ---- */

static int refuse(const struct eddy_connection_opts *o, int code, const char *why)
{
    return eddy_error_set(o->error, code, "connect", "create_connection: %s", why);
}

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
        return refuse(o, -EINVAL, "the address is not of the family asked for");
    if (!o->local_host && !o->local_port)
        return 0;
    const char *any = ret_to->u.sa.sa_family == AF_INET6 ? "::" : "0.0.0.0";
    if (eddy_addr_parse(o->local_host ? o->local_host : any, o->local_port, ret_local) < 0)
        return refuse(o, -EINVAL, "the local address is not numeric, or its port out of range");
    if (ret_local->u.sa.sa_family != ret_to->u.sa.sa_family)
        return refuse(o, -EINVAL, "no matching local address: it is of another family");
    return 0;
}

/* A connected stream socket. */
static int check_sock(struct eddy_loop *loop, const struct eddy_connection_opts *o)
{
    struct eddy_sys *sys = loop->sys;
    struct eddy_addr peer;
    int type = 0;

    if (o->sock < 0 || sys->cls->getsockopt(sys, o->sock, SOL_SOCKET, SO_TYPE, &type) < 0 ||
        type != SOCK_STREAM)
        return refuse(o, -EINVAL, ".sock is not a stream socket");
    if (sys->cls->peername(sys, o->sock, &peer) == -ENOTCONN)
        return refuse(o, -EINVAL, ".sock is not connected");
    if (eddy_loop_io(loop, o->sock))
        return refuse(o, EDDY_EFD_IN_USE, ".sock is in use by this loop");
    return 0;
}

static int check(struct eddy_loop *loop, struct eddy_protocol *p,
                 const struct eddy_connection_opts *o, struct eddy_addr *ret_to,
                 struct eddy_addr *ret_local)
{
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc < 0)
        return rc;
    if (!p)
        return refuse(o, -EINVAL, "no protocol");
    rc = eddy_protocol_class_check(p->cls, "create_connection", o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse(o, EDDY_ELOOP_CLOSED, "the loop is closed");
    if (!o->host == !o->use_sock)
        return refuse(o, -EINVAL, "either .host and .port or .sock must be given");
    if (o->timeout < 0 && o->timeout != EDDY_OFF)
        return refuse(o, -EINVAL, ".timeout is negative");
    ret_to->len = ret_local->len = 0;
    return o->use_sock ? check_sock(loop, o) : check_addresses(o, ret_to, ret_local);
}

/* ---- the beginning ---- */

static struct stream *new_stream(struct eddy_loop *loop, struct eddy_limits *limits,
                                 const char *site)
{
    struct stream *s = eddy_zalloc(sizeof *s);

    if (!s)
        return NULL;
    s->owner.cls = &stream_owner;
    s->owner.site = site;
    eddy_transport_init(&s->t, loop, &eddy_tcp_transport, &connecting_io, &s->owner);
    eddy_transport_use_limits(&s->t, limits);
    return s;
}

static struct connecting *new_connecting(struct eddy_loop *loop,
                                         const struct eddy_connection_opts *o,
                                         struct eddy_limits *limits, bool with_future)
{
    struct connecting *c = eddy_zalloc(sizeof *c);

    if (!c)
        return NULL;
    c->attempt.give_up = give_up;
    c->resource.loop_closing = loop_closing;
    c->loop = loop;
    c->later.fn = run_later;
    c->deadline.fn = deadline_passed;
    c->timeout = o->timeout;
    c->stream = new_stream(loop, limits, o->site);
    if (c->stream && (!with_future || eddy_future_new(loop, &c->future) == 0)) {
        c->stream->connecting = c;
        return c;
    }
    if (c->stream)
        eddy_transport_discard(&c->stream->t);
    eddy_free(c);
    return NULL;
}

static void free_unused(struct connecting *c)
{
    drop_stream(c);
    if (c->future)
        eddy_future_cancel(c->future, NULL);
    eddy_future_unref(c->future);
    eddy_free(c);
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

/* 0; < 0 only for what the caller can do something about: the network's answers come by the loop.
 */
static int start(struct connecting *c, const struct eddy_connection_opts *o,
                 const struct eddy_addr *to, const struct eddy_addr *local)
{
    struct eddy_transport *t = &c->stream->t;
    struct eddy_sys *sys = c->loop->sys;
    int rc;

    if (o->use_sock) {
        rc = sys->cls->adopt(sys, o->sock);
        if (rc == 0)
            rc = eddy_fdstream_attach(t, o->sock, NULL);
        if (rc < 0)
            return eddy_error_set(o->error, rc, "connect", "create_connection: .sock %d: %s",
                                  o->sock, eddy_strerror(rc));
        eddy_fdstream_nodelay(c->loop, o->sock);
        eddy_loop_call_soon(c->loop, &c->later);
    } else {
        c->to = *to;
        eddy_transport_set_peername(t, to);
        rc = eddy_io_connect(&t->io, to, local->len ? local : NULL);
        if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS)
            return refused_at_once(o->error, rc, to, local);
        if (rc < 0) {
            struct eddy_error e;

            refused_at_once(&e, rc, to, local);
            fail_later(c, &e);
            return 0;
        }
    }
    if (o->keep_alive)
        sys->cls->setsockopt(sys, t->io.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (o->timeout > 0 && !o->use_sock)
        eddy_loop_call_later_site(c->loop, &c->deadline, o->timeout, o->site);
    return 0;
}

int eddy_create_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                           const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    struct eddy_addr to, local;
    struct eddy_limits *limits = NULL;

    if (!loop || !o)
        return -EINVAL;
    int rc = check(loop, p, o, &to, &local);
    if (rc < 0)
        return rc;
    rc = eddy_limits_new(o->write_low, o->write_high, o->write_max, o->idle_timeout,
                         o->write_timeout, o->linger, &limits);
    if (rc == -EINVAL)
        return refuse(o, rc, "impossible limits or time-outs");
    struct connecting *c = rc == 0 ? new_connecting(loop, o, limits, ret != NULL) : NULL;
    eddy_limits_unref(limits);
    if (!c) {
        if (o->use_sock)
            loop->sys->cls->close(loop->sys, o->sock);
        return refuse(o, -ENOMEM, "no memory");
    }
    rc = eddy_protocol_begin_attempt(p, &c->attempt);
    if (rc < 0) {
        free_unused(c);
        return refuse(o, rc, "the protocol is attached already, or not initialised");
    }
    c->protocol = p;
    rc = start(c, o, &to, &local);
    if (rc < 0) {
        eddy_protocol_end_attempt(p);
        if (o->use_sock && rc != -EINVAL)
            loop->sys->cls->close(loop->sys, o->sock);
        free_unused(c);
        return rc;
    }
    eddy_list_append(&loop->resources, &c->resource.link);
    if (ret) {
        eddy_future_on_cancel(c->future, future_cancelled, c);
        *ret = eddy_future_ref(c->future);
    }
    return 0;
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
        return refuse(opts, -EINVAL, "the socket is an argument: neither .host nor .sock");
    struct eddy_connection_opts o = *opts;
    o.abi_size = sizeof o;
    o.sock = sock;
    o.use_sock = true;
    return eddy_create_connection(loop, p, &o, ret);
}
