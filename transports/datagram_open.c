/*
 * Making a datagram endpoint: all of it happens inside the call, but for connection_made; or, if
 * there are names to be looked up, from the loop when they are found.
 */
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "transports/datagram.h"
#include "transports/unix.h"
#include <string.h>

/* Pairs that are tried: more than anybody has, and few enough for one turn of the loop, whatever a
 * name server says. */
#define MOST_TRIES 64

/* From the options to the endpoint. */
struct endpoint {
    struct opening o;               /* first */
    struct eddy_datagram_opts opts; /* the names are behind it */
    struct eddy_limits *limits;
    struct sides sides;
    char names[];
};

/* ---- a socket of the caller's ---- */

/* Contract S46. */
static int check_sock(struct eddy_loop *loop, const struct eddy_datagram_opts *o, struct ends *ret,
                      int *ret_type)
{
    struct eddy_sys *sys = loop->sys;

    if (o->local_host || o->remote_host || o->local_port || o->remote_port || o->local_path ||
        o->remote_path || o->family || o->seqpacket || o->reuse_port || o->allow_broadcast)
        return eddy_datagram_refuse(
            o, -EINVAL,
            ".sock excludes .local_host, .local_port, .local_path, .remote_host, "
            ".remote_port, .remote_path, .family, .seqpacket, .reuse_port and "
            ".allow_broadcast");
    if (o->sock < 0 || sys->cls->getsockopt(sys, o->sock, SOL_SOCKET, SO_TYPE, ret_type) < 0)
        return eddy_datagram_refuse(o, -EINVAL, ".sock is not a socket");
    if (*ret_type == SOCK_STREAM)
        return eddy_datagram_refuse(o, -EINVAL, ".sock is a stream socket");
    if (eddy_loop_io(loop, o->sock))
        return eddy_datagram_refuse(o, EDDY_EFD_IN_USE, ".sock is in use by this loop");
    memset(ret, 0, sizeof *ret);
    if (sys->cls->peername(sys, o->sock, &ret->remote) < 0)
        ret->remote.len = 0;
    if (sys->cls->sockname(sys, o->sock, &ret->local) < 0)
        return eddy_datagram_refuse(o, -EINVAL, ".sock has no name");
    ret->family = ret->local.len ? ret->local.u.sa.sa_family : AF_UNIX;
    return 0;
}

/* ---- a new socket ---- */

static int set_option(struct eddy_sys *sys, int fd, int level, int name)
{
    return sys->cls->setsockopt(sys, fd, level, name, 1);
}

static int report_errors(struct eddy_sys *sys, int fd, int family)
{
#ifdef __linux__
    if (family == AF_INET)
        return set_option(sys, fd, IPPROTO_IP, IP_RECVERR);
    if (family == AF_INET6)
        return set_option(sys, fd, IPPROTO_IPV6, IPV6_RECVERR);
#endif
    (void)sys;
    (void)fd;
    (void)family;
    return EDDY_ENOT_SUPPORTED;
}

static int set_options(struct eddy_sys *sys, int fd, const struct eddy_datagram_opts *o)
{
    int rc = 0;

    if (o->reuse_port)
#ifdef SO_REUSEPORT
        rc = set_option(sys, fd, SOL_SOCKET, SO_REUSEPORT);
#else
        rc = EDDY_ENOT_SUPPORTED;
#endif
    if (rc == 0 && o->allow_broadcast)
        rc = set_option(sys, fd, SOL_SOCKET, SO_BROADCAST);
    return rc;
}

/* Contract S48: what is left of somebody who had that name, and of us if we fail. Abstract names
 * leave nothing. */
static void remove_stale(const struct eddy_addr *a)
{
    if (a->len && a->u.sa.sa_family == AF_UNIX)
        eddy_socket_file_remove_stale(a); /* of another file bind tells */
}

static int set_up(struct eddy_sys *sys, int fd, const struct eddy_datagram_opts *o,
                  const struct ends *e)
{
    int rc = set_options(sys, fd, o);

    if (e->family == AF_INET6) /* as servers do: IPv4 has sockets of its own */
        sys->cls->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    eddy_datagram_hear_own_groups(sys, fd, e->family);
    if (rc == 0 && e->local.len) {
        remove_stale(&e->local);
        rc = sys->cls->bind(sys, fd, &e->local);
    }
    if (rc == 0 && e->remote.len && !o->allow_broadcast) {
        rc = sys->cls->connect(sys, fd, &e->remote);
        if (rc < 0)
            remove_stale(&e->local);
    }
    return rc;
}

static int name_failure(const struct eddy_datagram_opts *o, int code, const struct ends *e)
{
    char local[EDDY_ADDR_TEXT], remote[EDDY_ADDR_TEXT];

    return eddy_error_set(o->error, code, "endpoint", "create_datagram_endpoint: from %s to %s: %s",
                          e->local.len ? eddy_addr_format(&e->local, local, sizeof local) : "any",
                          e->remote.len ? eddy_addr_format(&e->remote, remote, sizeof remote)
                                        : "any",
                          eddy_strerror(code));
}

/* The descriptor, or < 0. */
static int make_socket(struct eddy_sys *sys, const struct eddy_datagram_opts *o,
                       const struct ends *e)
{
    int fd = sys->cls->socket(sys, e->family, o->seqpacket ? SOCK_SEQPACKET : SOCK_DGRAM, 0);

    if (fd < 0)
        return fd;
    int rc = set_up(sys, fd, o, e);
    if (rc < 0) {
        sys->cls->close(sys, fd);
        return rc;
    }
    return fd;
}

/* Of the first pair that works, which is *ret; else the first error. */
static int make_first(struct eddy_sys *sys, const struct eddy_datagram_opts *o, struct sides *s,
                      struct ends *ret)
{
    int first = 0;

    for (int i = 0; i < MOST_TRIES && eddy_sides_next(s, ret); i++) {
        int fd = make_socket(sys, o, ret);

        if (fd >= 0)
            return fd;
        if (i == 0)
            first = name_failure(o, fd, ret);
    }
    return first ? first
                 : eddy_datagram_refuse(
                       o, -EINVAL,
                       "no matching pair: the addresses are of different families, or not of "
                       "the one asked for");
}

/* ---- the endpoint ---- */

static struct datagram *new_datagram(struct endpoint *ep, const struct ends *e, bool seqpacket)
{
    const struct eddy_datagram_opts *o = &ep->opts;
    bool local = e->family == AF_UNIX;
    struct datagram *d = (struct datagram *)eddy_opened_new(
        sizeof *d, ep->o.loop,
        seqpacket ? &eddy_seqpacket_transport
        : local   ? &eddy_unix_datagram_transport
                  : &eddy_udp_transport,
        local ? &eddy_unix_datagram_io : &eddy_udp_io, ep->limits, o->site);

    if (!d)
        return NULL;
    eddy_datagram_init(d);
    d->family = e->family;
    d->remote = e->remote;
    d->connected = (e->remote.len > 0 || seqpacket) && !o->allow_broadcast;
    d->report_errors = o->report_errors;
    if (d->connected)
        eddy_transport_set_peername(&d->o.t, &e->remote);
    return d;
}

/* What the descriptor still needs, and the io. */
static int attach(struct datagram *d, int fd, const struct eddy_datagram_opts *o, bool seqpacket)
{
    struct eddy_sys *sys = d->o.t.io.loop->sys;
    int rc = o->use_sock ? sys->cls->adopt(sys, fd) : 0;

    if (rc == 0 && o->report_errors)
        rc = report_errors(sys, fd, d->family);
#ifdef __linux__
    if (rc == 0 && seqpacket) /* by which empty messages are known: see sys_datagram.c */
        rc = set_option(sys, fd, SOL_SOCKET, SO_TIMESTAMP);
#else
    (void)seqpacket;
#endif
    if (rc == 0)
        rc = eddy_io_attach(&d->o.t.io, fd);
    return rc == -EINVAL && !o->use_sock ? -EMFILE : rc; /* more than select can hold */
}

/* From the descriptor on, which is still the caller's on failure. */
static int open_endpoint(struct endpoint *ep, int fd, struct ends *e, bool seqpacket)
{
    const struct eddy_datagram_opts *o = &ep->opts;
    struct eddy_sys *sys = ep->o.loop->sys;

    if (e->remote.len && !o->allow_broadcast) /* "any" address is another, once connected */
        sys->cls->peername(sys, fd, &e->remote);
    struct datagram *d = new_datagram(ep, e, seqpacket);
    if (!d)
        return eddy_datagram_refuse(o, -ENOMEM, eddy_strerror(-ENOMEM));
    int rc = attach(d, fd, o, seqpacket);
    if (rc < 0) {
        eddy_opened_drop(&d->o);
        return eddy_datagram_refuse(o, rc, eddy_strerror(rc));
    }
    d->o.opening = &ep->o;
    ep->o.opened = &d->o;
    return 0;
}

static int open_first(struct endpoint *ep)
{
    struct eddy_sys *sys = ep->o.loop->sys;
    struct ends e;
    int fd = make_first(sys, &ep->opts, &ep->sides, &e);

    if (fd < 0)
        return fd;
    int rc = open_endpoint(ep, fd, &e, ep->opts.seqpacket);
    if (rc < 0) {
        sys->cls->close(sys, fd);
        remove_stale(&e.local);
    }
    return rc;
}

/* ---- names ---- */

static void found(struct endpoint *ep, struct side *s, void *answer, const struct eddy_error *error)
{
    struct eddy_error own;

    if (error) {
        eddy_opening_fail(&ep->o, error);
        return;
    }
    s->answer = answer;
    s->count = s->answer->count;
    if (eddy_query_is_pending(&ep->sides.local.query) ||
        eddy_query_is_pending(&ep->sides.remote.query))
        return;
    ep->opts.error = &own;
    if (open_first(ep) < 0)
        eddy_opening_fail(&ep->o, &own);
    else
        eddy_opening_succeed(&ep->o);
}

static void found_local(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct side *s = EDDY_CONTAINER_OF(q, struct side, query);

    found(EDDY_CONTAINER_OF(s, struct endpoint, sides.local), s, answer, error);
}

static void found_remote(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct side *s = EDDY_CONTAINER_OF(q, struct side, query);

    found(EDDY_CONTAINER_OF(s, struct endpoint, sides.remote), s, answer, error);
}

/* 1: there are names, and they are being looked up. */
static int look_up(struct endpoint *ep)
{
    struct eddy_query *local = &ep->sides.local.query, *remote = &ep->sides.remote.query;
    int rc = 0;

    local->done = found_local;
    remote->done = found_remote;
    if (local->host)
        rc = eddy_query_start(ep->o.loop, local, ep->opts.error);
    if (rc == 0 && remote->host)
        rc = eddy_query_start(ep->o.loop, remote, ep->opts.error);
    return rc < 0 ? rc : local->host || remote->host;
}

static void stop(struct opening *o)
{
    struct endpoint *ep = (struct endpoint *)o;

    eddy_query_cancel(&ep->sides.local.query);
    eddy_query_cancel(&ep->sides.remote.query);
}

static void fini(struct opening *o)
{
    struct endpoint *ep = (struct endpoint *)o;

    eddy_answer_free(ep->sides.local.answer);
    eddy_answer_free(ep->sides.remote.answer);
    eddy_limits_unref(ep->limits);
}

static const struct opening_class endpoint_opening = {
    .op = "endpoint",
    .stop = stop,
    .fini = fini,
};

/* ---- the call ---- */

static int check(struct eddy_loop *loop, struct eddy_datagram_protocol *p,
                 const struct eddy_datagram_opts *o)
{
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);

    if (rc < 0)
        return rc;
    if (!p)
        return eddy_datagram_refuse(o, -EINVAL, "no protocol");
    rc = eddy_datagram_check_class(p->base.cls, "create_datagram_endpoint", o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return eddy_datagram_refuse(o, EDDY_ELOOP_CLOSED, "the loop is closed");
    if (!loop->backend->cls->try_send_messages || !loop->sys->cls->recv_messages)
        return eddy_datagram_refuse(o, EDDY_ENOT_SUPPORTED,
                                    "the loop's backend knows no datagrams");
    return 0;
}

static const char *put(char **at, const char *name)
{
    char *copy = *at;

    if (!name)
        return NULL;
    *at = stpcpy(copy, name) + 1;
    return copy;
}

static size_t room(const char *name)
{
    return name ? strlen(name) + 1 : 0;
}

/* NULL: no memory. */
static struct endpoint *new_endpoint(const struct eddy_datagram_opts *o)
{
    struct endpoint *ep = eddy_zalloc(sizeof *ep + room(o->local_host) + room(o->remote_host));

    if (!ep)
        return NULL;
    char *at = ep->names;
    ep->opts = *o;
    ep->opts.local_host = put(&at, o->local_host);
    ep->opts.remote_host = put(&at, o->remote_host);
    return ep;
}

/* 1: names are looked up, and the rest comes from the loop. */
static int open_by_addresses(struct endpoint *ep)
{
    int rc = eddy_sides_init(&ep->sides, &ep->opts);

    if (rc == 0)
        rc = look_up(ep);
    return rc == 0 ? open_first(ep) : rc;
}

/* sock: between which addresses .sock is. */
static int start(struct endpoint *ep, struct ends *sock, int type)
{
    const struct eddy_datagram_opts *o = &ep->opts;
    int rc = eddy_limits_new(o->write_low, o->write_high, o->write_max, o->idle_timeout,
                             o->write_timeout, 0, &ep->limits);

    if (rc < 0)
        return eddy_datagram_refuse(
            o, rc, rc == -EINVAL ? "impossible limits or time-outs" : eddy_strerror(rc));
    rc = o->use_sock ? open_endpoint(ep, o->sock, sock, type == SOCK_SEQPACKET)
                     : open_by_addresses(ep);
    if (rc == 0)
        eddy_opening_succeed_later(&ep->o);
    return rc < 0 ? rc : 0;
}

/* Errors after which a socket of the caller's is still the caller's. */
static bool is_callers(int rc)
{
    return rc == -EINVAL || rc == -E2BIG || rc == EDDY_ENOT_SUPPORTED;
}

int eddy_create_datagram_endpoint(struct eddy_loop *loop, struct eddy_datagram_protocol *p,
                                  const struct eddy_datagram_opts *o, struct eddy_future **ret)
{
    struct ends sock;
    int type = SOCK_DGRAM;

    if (!loop || !o)
        return -EINVAL;
    int rc = check(loop, p, o);
    if (rc == 0 && o->use_sock)
        rc = check_sock(loop, o, &sock, &type);
    if (rc < 0)
        return rc;
    struct endpoint *ep = new_endpoint(o);
    rc = eddy_opening_begin(ep ? &ep->o : NULL, &endpoint_opening, loop, &p->base, NULL,
                            ret != NULL);
    if (rc < 0) {
        eddy_datagram_refuse(o, rc,
                             rc == -EINVAL ? "the protocol is attached already, or not initialised"
                                           : eddy_strerror(rc));
    } else {
        rc = start(ep, &sock, type);
        if (rc < 0)
            eddy_opening_undo(&ep->o);
        else
            eddy_opening_go_on(&ep->o, ret);
    }
    if (rc < 0 && o->use_sock && !is_callers(rc))
        loop->sys->cls->close(loop->sys, o->sock);
    return rc;
}
