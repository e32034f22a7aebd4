/* What a transport can tell about itself. */
#include "framework/transport/transport.h"
#include <stdio.h>
#include <string.h>

void eddy_transport_set_peername(struct eddy_transport *t, const struct eddy_addr *a)
{
    struct eddy_packed_addr *p = &t->peer;

    memset(p, 0, sizeof *p);
    if (a->len == 0)
        return;
    if (a->u.sa.sa_family == AF_INET) {
        p->port = a->u.in.sin_port;
        memcpy(p->u.ip, &a->u.in.sin_addr, 4);
    } else if (a->u.sa.sa_family == AF_INET6) {
        p->port = a->u.in6.sin6_port;
        p->scope = a->u.in6.sin6_scope_id;
        memcpy(p->u.ip, &a->u.in6.sin6_addr, 16);
    }
    p->family = a->u.sa.sa_family;
}

static int ask_peername(const struct eddy_transport *t, struct eddy_addr *ret)
{
    if (transport_below(t))
        return eddy_transport_peername(transport_below(t), ret);
    if (t->io.fd < 0)
        return EDDY_ENOT_SUPPORTED;
    struct eddy_sys *sys = t->io.loop->sys;
    int rc = sys->cls->peername(sys, t->io.fd, ret);

    return rc == -ENOTSOCK ? EDDY_ENOT_SUPPORTED : rc;
}

int eddy_transport_peername(const struct eddy_transport *t, struct eddy_addr *ret)
{
    const struct eddy_packed_addr *p = &t->peer;
    struct eddy_addr a;

    memset(&a, 0, sizeof a);
    if (p->family == AF_INET) {
        a.len = sizeof a.u.in;
        a.u.in.sin_family = AF_INET;
        a.u.in.sin_port = p->port;
        memcpy(&a.u.in.sin_addr, p->u.ip, 4);
    } else if (p->family == AF_INET6) {
        a.len = sizeof a.u.in6;
        a.u.in6.sin6_family = AF_INET6;
        a.u.in6.sin6_port = p->port;
        a.u.in6.sin6_scope_id = p->scope;
        memcpy(&a.u.in6.sin6_addr, p->u.ip, 16);
    } else {
        return ask_peername(t, ret);
    }
    *ret = a;
    return 0;
}

int eddy_transport_sockname(const struct eddy_transport *t, struct eddy_addr *ret)
{
    if (transport_below(t))
        return eddy_transport_sockname(transport_below(t), ret);
    return t->cls->sockname ? t->cls->sockname(t, ret) : EDDY_ENOT_SUPPORTED;
}

int eddy_transport_fd(const struct eddy_transport *t)
{
    return transport_below(t) ? eddy_transport_fd(transport_below(t)) : t->io.fd;
}

const char *eddy_transport_kind(const struct eddy_transport *t)
{
    return t->cls->name;
}

struct eddy_loop *eddy_transport_loop(const struct eddy_transport *t)
{
    return t->io.loop;
}

const char *transport_ends(const struct eddy_transport *t, char *buf, size_t size)
{
    struct eddy_addr a;
    char local[EDDY_ADDR_TEXT] = "?", peer[EDDY_ADDR_TEXT] = "?";
    bool named = eddy_transport_sockname(t, &a) == 0;

    if (named)
        eddy_addr_format(&a, local, sizeof local);
    if (eddy_transport_peername(t, &a) == 0) {
        eddy_addr_format(&a, peer, sizeof peer);
    } else if (!named) {
        snprintf(buf, size, "descriptor %d", t->io.fd);
        return buf;
    }
    snprintf(buf, size, "%s -> %s", local, peer);
    return buf;
}

const char *eddy_transport_describe(const struct eddy_transport *t, char *buf, size_t size)
{
    static const char *const states[] = {"new", "open", "closing", "lingering", "lost", "ended"};
    char ends[EDDY_ADDR_TEXT * 2 + 16];

    snprintf(buf, size, "%s %s %s fd=%d read=%s write=%s (%zu bytes)", t->cls->name,
             transport_ends(t, ends, sizeof ends), states[t->state], eddy_transport_fd(t),
             t->flags & T_READING ? "polling" : "idle", t->flags & T_BLOCKED ? "polling" : "idle",
             eddy_transport_get_write_buffer_size(t));
    return buf;
}
