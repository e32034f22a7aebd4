/* Making a datagram endpoint: all of it happens inside the call, but for connection_made. */
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "transports/datagram.h"
#include "transports/unix.h"
#include <string.h>

/* Two addresses that go together; len 0: none. */
struct ends {
    int family;
    struct eddy_addr local, remote;
};

#define MOST_ENDS 2

static int refuse(const struct eddy_datagram_opts *o, int code, const char *why)
{
    return eddy_error_set(o->error, code, "endpoint", "create_datagram_endpoint: %s", why);
}

/* ---- addresses ---- */

static bool is_unix(const struct eddy_datagram_opts *o)
{
    return o->local_path || o->remote_path || o->family == AF_UNIX;
}

/* The family: of the pair so far, or the one asked for. */
static int parse_host(const struct eddy_datagram_opts *o, const char *host, int port,
                      struct ends *ends, struct eddy_addr *ret)
{
    if (eddy_addr_parse(host, port, ret) < 0)
        return eddy_error_set(o->error, -EINVAL, "endpoint",
                              port < 0 || port > 65535
                                  ? "create_datagram_endpoint: %s: port %d is out of range"
                                  : "create_datagram_endpoint: %s:%d: not a numeric address, and "
                                    "names are not looked up yet",
                              host, port);
    if (ends->family && ends->family != ret->u.sa.sa_family)
        return refuse(o, -EINVAL, "no matching pair: the addresses are of different families");
    ends->family = ret->u.sa.sa_family;
    return 0;
}

static int any_of(int family, int port, struct ends *ret)
{
    ret->family = family;
    ret->remote.len = 0;
    return eddy_addr_parse(family == AF_INET6 ? "::" : "0.0.0.0", port, &ret->local);
}

/* Contract S45: the pairs to be tried, in order. Returns their number. */
static int udp_ends(const struct eddy_datagram_opts *o, struct ends ret[MOST_ENDS])
{
    struct ends *e = &ret[0];
    int rc = 0;

    e->family = o->family;
    if (o->remote_host)
        rc = parse_host(o, o->remote_host, o->remote_port, e, &e->remote);
    else if (o->remote_port)
        rc = refuse(o, -EINVAL, ".remote_port without .remote_host");
    if (rc == 0 && o->local_host)
        rc = parse_host(o, o->local_host, o->local_port, e, &e->local);
    if (rc < 0)
        return rc;
    if (!o->local_host && o->local_port) {
        if (o->local_port < 0 || o->local_port > 65535)
            return refuse(o, -EINVAL, ".local_port is out of range");
        if (!e->family) { /* all interfaces, of the family that there is */
            any_of(AF_INET, o->local_port, &ret[0]);
            any_of(AF_INET6, o->local_port, &ret[1]);
            return 2;
        }
        struct eddy_addr remote = e->remote;
        any_of(e->family, o->local_port, e);
        e->remote = remote;
    }
    if (!e->family)
        return refuse(o, -EINVAL, "no address, and no .family");
    return 1;
}

static int parse_path(const struct eddy_datagram_opts *o, const char *path, size_t len,
                      struct eddy_addr *ret)
{
    return path ? eddy_unix_addr(path, len, "create_datagram_endpoint", o->error, ret) : 0;
}

static int unix_ends(const struct eddy_datagram_opts *o, struct ends *ret)
{
    if (o->local_host || o->remote_host || o->local_port || o->remote_port)
        return refuse(o, -EINVAL, "paths and hosts exclude each other");
    if (o->family && o->family != AF_UNIX)
        return refuse(o, -EINVAL, "a path is not of the family asked for");
    if (o->report_errors)
        return refuse(o, EDDY_ENOT_SUPPORTED, ".report_errors is for UDP");
    if (o->seqpacket && !o->remote_path)
        return refuse(o, -EINVAL, ".seqpacket needs .remote_path");
    ret->family = AF_UNIX;
    int rc = parse_path(o, o->local_path, o->local_path_len, &ret->local);
    return rc < 0 ? rc : parse_path(o, o->remote_path, o->remote_path_len, &ret->remote);
}

/* Returns their number, or < 0. */
static int find_ends(const struct eddy_datagram_opts *o, struct ends ret[MOST_ENDS])
{
    memset(ret, 0, sizeof *ret * MOST_ENDS);
    if (!is_unix(o))
        return o->seqpacket ? refuse(o, -EINVAL, ".seqpacket is for unix sockets")
               : o->family && o->family != AF_INET && o->family != AF_INET6
                   ? refuse(o, -EINVAL, ".family is not one of datagrams")
                   : udp_ends(o, ret);
    if (o->seqpacket && o->allow_broadcast)
        return refuse(o, -EINVAL, ".allow_broadcast is not for connections");
    int rc = unix_ends(o, ret);
    return rc < 0 ? rc : 1;
}

/* ---- a socket of the caller's ---- */

/* Contract S46. */
static int check_sock(struct eddy_loop *loop, const struct eddy_datagram_opts *o, struct ends *ret,
                      int *ret_type)
{
    struct eddy_sys *sys = loop->sys;

    if (o->local_host || o->remote_host || o->local_port || o->remote_port || o->local_path ||
        o->remote_path || o->family || o->seqpacket || o->reuse_port || o->allow_broadcast)
        return refuse(o, -EINVAL,
                      ".sock excludes .local_host, .local_port, .local_path, .remote_host, "
                      ".remote_port, .remote_path, .family, .seqpacket, .reuse_port and "
                      ".allow_broadcast");
    if (o->sock < 0 || sys->cls->getsockopt(sys, o->sock, SOL_SOCKET, SO_TYPE, ret_type) < 0)
        return refuse(o, -EINVAL, ".sock is not a socket");
    if (*ret_type == SOCK_STREAM)
        return refuse(o, -EINVAL, ".sock is a stream socket");
    if (eddy_loop_io(loop, o->sock))
        return refuse(o, EDDY_EFD_IN_USE, ".sock is in use by this loop");
    memset(ret, 0, sizeof *ret);
    if (sys->cls->peername(sys, o->sock, &ret->remote) < 0)
        ret->remote.len = 0;
    if (sys->cls->sockname(sys, o->sock, &ret->local) < 0)
        return refuse(o, -EINVAL, ".sock has no name");
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
static int make_first(struct eddy_sys *sys, const struct eddy_datagram_opts *o,
                      const struct ends *pairs, int n, struct ends *ret)
{
    int first = 0;

    for (int i = 0; i < n; i++) {
        int fd = make_socket(sys, o, &pairs[i]);

        *ret = pairs[i];
        if (fd >= 0)
            return fd;
        if (i == 0)
            first = name_failure(o, fd, &pairs[i]);
    }
    return first;
}

/* ---- the endpoint ---- */

static const struct opening_class endpoint_opening = {.op = "endpoint"};

static struct datagram *new_datagram(struct eddy_loop *loop, const struct eddy_datagram_opts *o,
                                     const struct ends *e, bool seqpacket,
                                     struct eddy_limits *limits)
{
    bool local = e->family == AF_UNIX;
    struct datagram *d = (struct datagram *)eddy_opened_new(
        sizeof *d, loop,
        seqpacket ? &eddy_seqpacket_transport
        : local   ? &eddy_unix_datagram_transport
                  : &eddy_udp_transport,
        local ? &eddy_unix_datagram_io : &eddy_udp_io, limits, o->site);

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

/* From the descriptor on: ours, closed on failure. */
static int open_endpoint(struct eddy_loop *loop, struct eddy_datagram_protocol *p, int fd,
                         const struct eddy_datagram_opts *o, const struct ends *e, bool seqpacket,
                         struct eddy_limits *limits, struct eddy_future **ret)
{
    struct opening *op = eddy_zalloc(sizeof *op);
    struct datagram *d = op ? new_datagram(loop, o, e, seqpacket, limits) : NULL;
    int rc =
        d ? eddy_opening_begin(op, &endpoint_opening, loop, &p->base, &d->o, ret != NULL) : -ENOMEM;

    if (rc < 0) {
        if (d)
            eddy_opened_drop(&d->o);
        eddy_free(op);
        return refuse(o, rc,
                      rc == -EINVAL ? "the protocol is attached already, or not initialised"
                                    : eddy_strerror(rc));
    }
    rc = attach(d, fd, o, seqpacket);
    if (rc < 0) {
        eddy_opening_undo(op);
        return refuse(o, rc, eddy_strerror(rc));
    }
    eddy_opening_succeed_later(op);
    eddy_opening_go_on(op, ret);
    return 0;
}

static int check(struct eddy_loop *loop, struct eddy_datagram_protocol *p,
                 const struct eddy_datagram_opts *o)
{
    struct eddy_attempt trial;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);

    if (rc < 0)
        return rc;
    if (!p)
        return refuse(o, -EINVAL, "no protocol");
    rc = eddy_datagram_check_class(p->base.cls, "create_datagram_endpoint", o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse(o, EDDY_ELOOP_CLOSED, "the loop is closed");
    if (!loop->backend->cls->try_send_messages || !loop->sys->cls->recv_messages)
        return refuse(o, EDDY_ENOT_SUPPORTED, "the loop's backend knows no datagrams");
    /* Tried before a path is taken from whom p serves already. */
    rc = eddy_protocol_begin_attempt(&p->base, &trial);
    if (rc < 0)
        return refuse(o, rc, "the protocol is attached already, or not initialised");
    eddy_protocol_end_attempt(&p->base);
    return 0;
}

/* Errors after which a socket of the caller's is still the caller's. */
static bool is_callers(int rc)
{
    return rc == -EINVAL || rc == -E2BIG || rc == EDDY_ENOT_SUPPORTED;
}

int eddy_create_datagram_endpoint(struct eddy_loop *loop, struct eddy_datagram_protocol *p,
                                  const struct eddy_datagram_opts *o, struct eddy_future **ret)
{
    struct ends pairs[MOST_ENDS], e;
    struct eddy_limits *limits = NULL;
    int type = SOCK_DGRAM, n = 1, fd;

    if (!loop || !o)
        return -EINVAL;
    int rc = check(loop, p, o);
    if (rc == 0)
        rc = o->use_sock ? check_sock(loop, o, &e, &type) : (n = find_ends(o, pairs));
    if (rc < 0)
        return rc;
    rc = eddy_limits_new(o->write_low, o->write_high, o->write_max, o->idle_timeout,
                         o->write_timeout, 0, &limits);
    if (rc == -EINVAL)
        return refuse(o, rc, "impossible limits or time-outs");
    if (rc == 0)
        rc = fd = o->use_sock ? o->sock : make_first(loop->sys, o, pairs, n, &e);
    else
        fd = o->use_sock ? o->sock : -1;
    bool seqpacket = o->seqpacket || type == SOCK_SEQPACKET;
    if (rc >= 0 && e.remote.len &&
        !o->allow_broadcast) /* "any" address is another, once connected */
        loop->sys->cls->peername(loop->sys, fd, &e.remote);
    if (rc >= 0)
        rc = open_endpoint(loop, p, fd, o, &e, seqpacket, limits, ret);
    eddy_limits_unref(limits);
    if (rc < 0 && fd >= 0 && !(o->use_sock && is_callers(rc)))
        loop->sys->cls->close(loop->sys, fd);
    if (rc < 0 && fd >= 0 && !o->use_sock)
        remove_stale(&e.local);
    return rc;
}
