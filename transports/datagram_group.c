/* Multicast and broadcast: by the calls of RFC 3678, which are alike for both families. */
#include "transports/datagram.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

/* ---- interfaces ---- */

static bool same_host(const struct sockaddr *a, const struct eddy_addr *b)
{
    if (!a || a->sa_family != b->u.sa.sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               b->u.in.sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, &b->u.in6.sin6_addr,
                  sizeof b->u.in6.sin6_addr) == 0;
}

static int find_by_address(const struct eddy_addr *a, unsigned *ret)
{
    struct ifaddrs *all;
    int rc = -ENODEV;

    if (getifaddrs(&all) < 0)
        return -errno;
    for (const struct ifaddrs *i = all; i && rc < 0; i = i->ifa_next) {
        if (same_host(i->ifa_addr, a)) {
            *ret = if_nametoindex(i->ifa_name);
            rc = *ret ? 0 : -ENODEV;
        }
    }
    freeifaddrs(all);
    return rc;
}

static int find_interface(const char *text, unsigned *ret)
{
    struct eddy_addr a;
    char name[IF_NAMESIZE];
    char *end;

    *ret = 0;
    if (!text)
        return 0;
    if (eddy_addr_parse(text, 0, &a) == 0)
        return find_by_address(&a, ret);
    *ret = if_nametoindex(text);
    if (*ret)
        return 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || number == 0 || number > INT32_MAX ||
        !if_indextoname((unsigned)number, name))
        return -ENODEV;
    *ret = (unsigned)number;
    return 0;
}

/* ---- options ---- */

void eddy_datagram_hear_own_groups(struct eddy_sys *sys, int fd, int family)
{
#ifdef IP_MULTICAST_ALL
    if (family == AF_INET)
        sys->cls->setsockopt(sys, fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
#endif
#ifdef IPV6_MULTICAST_ALL
    if (family == AF_INET6)
        sys->cls->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
#endif
    (void)sys;
    (void)fd;
    (void)family;
}

/* The endpoint, if it is one of UDP that is open; and on the system's own network, if it must be.
 */
static int check(struct eddy_transport *t, bool real, struct datagram **ret)
{
    if (!t)
        return EDDY_ECLOSED;
    struct datagram *d = eddy_datagram_of(t);
    if (!d || d->family == AF_UNIX || (real && t->io.loop->sys != eddy_sys_posix()))
        return EDDY_ENOT_SUPPORTED;
    if (t->state >= EDDY_TRANSPORT_CLOSING)
        return EDDY_ECLOSED;
    *ret = d;
    return 0;
}

static int set(struct datagram *d, int name4, int name6, int value)
{
    struct eddy_sys *sys = d->o.t.io.loop->sys;
    bool v6 = d->family == AF_INET6;

    return sys->cls->setsockopt(sys, d->o.t.io.fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                v6 ? name6 : name4, value);
}

static bool is_multicast(const struct eddy_addr *a)
{
    if (a->u.sa.sa_family == AF_INET)
        return (ntohl(a->u.in.sin_addr.s_addr) & 0xf0000000) == 0xe0000000;
    return a->u.in6.sin6_addr.s6_addr[0] == 0xff;
}

static int change_membership(struct eddy_transport *t, const struct eddy_addr *group,
                             const char *interface, int option)
{
    struct group_req r;
    struct datagram *d;
    unsigned index;
    int rc = check(t, true, &d);

    if (rc < 0)
        return rc;
    if (!group || group->len == 0 || group->u.sa.sa_family != d->family || !is_multicast(group))
        return -EINVAL;
    rc = find_interface(interface, &index);
    if (rc < 0)
        return rc;
    memset(&r, 0, sizeof r);
    r.gr_interface = index;
    if (!interface && d->family == AF_INET6)
        r.gr_interface = group->u.in6.sin6_scope_id;
    memcpy(&r.gr_group, &group->u, group->len);
    eddy_datagram_hear_own_groups(t->io.loop->sys, t->io.fd, d->family); /* it may be a .sock */
    int level = d->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    return setsockopt(t->io.fd, level, option, &r, sizeof r) < 0 ? -errno : 0;
}

int eddy_transport_join_group(struct eddy_transport *t, const struct eddy_addr *group,
                              const char *interface)
{
    return change_membership(t, group, interface, MCAST_JOIN_GROUP);
}

int eddy_transport_leave_group(struct eddy_transport *t, const struct eddy_addr *group,
                               const char *interface)
{
    return change_membership(t, group, interface, MCAST_LEAVE_GROUP);
}

int eddy_transport_set_multicast_interface(struct eddy_transport *t, const char *interface)
{
    struct datagram *d;
    unsigned index;
    int rc = check(t, true, &d);

    if (rc == 0)
        rc = find_interface(interface, &index);
    if (rc < 0)
        return rc;
    if (d->family == AF_INET6)
        return set(d, 0, IPV6_MULTICAST_IF, (int)index);
    struct ip_mreqn r;
    memset(&r, 0, sizeof r);
    r.imr_ifindex = (int)index;
    return setsockopt(t->io.fd, IPPROTO_IP, IP_MULTICAST_IF, &r, sizeof r) < 0 ? -errno : 0;
}

int eddy_transport_set_multicast_ttl(struct eddy_transport *t, int hops)
{
    struct datagram *d;
    int rc = check(t, false, &d);

    if (rc < 0)
        return rc;
    if (hops < 0 || hops > 255)
        return -EINVAL;
    return set(d, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, hops);
}

int eddy_transport_set_multicast_loop(struct eddy_transport *t, bool on)
{
    struct datagram *d;
    int rc = check(t, false, &d);

    return rc < 0 ? rc : set(d, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, on);
}

int eddy_transport_set_broadcast(struct eddy_transport *t, bool on)
{
    struct datagram *d;
    int rc = check(t, false, &d);

    if (rc < 0)
        return rc;
    struct eddy_sys *sys = t->io.loop->sys;
    return sys->cls->setsockopt(sys, t->io.fd, SOL_SOCKET, SO_BROADCAST, on);
}
