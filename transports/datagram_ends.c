/* Between which addresses an endpoint may be, by its options: contract S45. */
#include "transports/datagram.h"
#include "transports/unix.h"
#include <string.h>

int eddy_datagram_refuse(const struct eddy_datagram_opts *o, int code, const char *why)
{
    return eddy_error_set(o->error, code, "endpoint", "create_datagram_endpoint: %s", why);
}

/* ---- UDP ---- */

static int set_host(struct side *s, const struct eddy_datagram_opts *o, const char *host, int port)
{
    if (port < 0 || port > 65535)
        return eddy_error_set(o->error, -EINVAL, "endpoint",
                              "create_datagram_endpoint: %s: port %d is out of range", host, port);
    if (eddy_addr_parse(host, port, &s->own[0]) < 0) {
        s->query.host = host;
        s->query.port = port;
        s->query.family = o->family;
        s->query.type = SOCK_DGRAM;
        return 0;
    }
    s->count = 1;
    return 0;
}

/* All interfaces, of the families that there are. */
static int set_port(struct side *s, const struct eddy_datagram_opts *o, int port)
{
    if (eddy_addr_parse("0.0.0.0", port, &s->own[0]) < 0 ||
        eddy_addr_parse("::", port, &s->own[1]) < 0)
        return eddy_datagram_refuse(o, -EINVAL, ".local_port is out of range");
    s->count = 2;
    return 0;
}

static int set_remote(struct side *s, const struct eddy_datagram_opts *o)
{
    if (!o->remote_host)
        return o->remote_port
                   ? eddy_datagram_refuse(o, -EINVAL, ".remote_port without .remote_host")
                   : 0;
    return o->remote_port ? set_host(s, o, o->remote_host, o->remote_port)
                          : eddy_datagram_refuse(o, -EINVAL, ".remote_host without .remote_port");
}

static int set_udp(struct sides *s, const struct eddy_datagram_opts *o)
{
    if (o->seqpacket)
        return eddy_datagram_refuse(o, -EINVAL, ".seqpacket is for unix sockets");
    if (o->family && o->family != AF_INET && o->family != AF_INET6)
        return eddy_datagram_refuse(o, -EINVAL, ".family is not one of datagrams");
    if (!o->family && !o->local_host && !o->local_port && !o->remote_host && !o->remote_port)
        return eddy_datagram_refuse(o, -EINVAL, "no address, and no .family");
    int rc = set_remote(&s->remote, o);
    if (rc < 0)
        return rc;
    return o->local_host   ? set_host(&s->local, o, o->local_host, o->local_port)
           : o->local_port ? set_port(&s->local, o, o->local_port)
                           : 0;
}

/* ---- unix sockets ---- */

static int set_path(struct side *s, const struct eddy_datagram_opts *o, const char *path,
                    size_t len)
{
    if (!path)
        return 0;
    s->count = 1;
    return eddy_unix_addr(path, len, "create_datagram_endpoint", o->error, &s->own[0]);
}

static int set_unix(struct sides *s, const struct eddy_datagram_opts *o)
{
    const char *why = NULL;

    if (o->seqpacket && o->allow_broadcast)
        why = ".allow_broadcast is not for connections";
    else if (o->local_host || o->remote_host || o->local_port || o->remote_port)
        why = "paths and hosts exclude each other";
    else if (o->family && o->family != AF_UNIX)
        why = "a path is not of the family asked for";
    if (why)
        return eddy_datagram_refuse(o, -EINVAL, why);
    if (o->report_errors)
        return eddy_datagram_refuse(o, EDDY_ENOT_SUPPORTED, ".report_errors is for UDP");
    if (o->seqpacket && !o->remote_path)
        return eddy_datagram_refuse(o, -EINVAL, ".seqpacket needs .remote_path");
    s->family = AF_UNIX;
    int rc = set_path(&s->local, o, o->local_path, o->local_path_len);
    return rc < 0 ? rc : set_path(&s->remote, o, o->remote_path, o->remote_path_len);
}

/* ---- pairs ---- */

int eddy_sides_init(struct sides *s, const struct eddy_datagram_opts *o)
{
    s->family = o->family;
    return o->local_path || o->remote_path || o->family == AF_UNIX ? set_unix(s, o) : set_udp(s, o);
}

static size_t choices(const struct side *s)
{
    return s->count ? s->count : 1;
}

static struct eddy_addr choice(const struct side *s, size_t i)
{
    return s->count == 0 ? (struct eddy_addr){.len = 0}
           : s->answer   ? s->answer->list[i].addr
                         : s->own[i];
}

/* Whether they are of one family, and of the one asked for; and which that is. */
static bool match(struct ends *e, int asked)
{
    int family = asked;
    const struct eddy_addr *both[] = {&e->remote, &e->local};

    for (int i = 0; i < 2; i++) {
        if (both[i]->len == 0)
            continue;
        if (family && family != both[i]->u.sa.sa_family)
            return false;
        family = both[i]->u.sa.sa_family;
    }
    e->family = family;
    return true;
}

bool eddy_sides_next(struct sides *s, struct ends *ret)
{
    size_t locals = choices(&s->local);

    while (s->next < choices(&s->remote) * locals) {
        size_t i = s->next++;

        ret->remote = choice(&s->remote, i / locals);
        ret->local = choice(&s->local, i % locals);
        if (match(ret, s->family))
            return true;
    }
    return false;
}
