/* Addresses: who is bound to what, and how hosts answer. */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"
#include <string.h>

enum { FIRST_PORT = 49152, LAST_PORT = 65535 };

struct eddy_addr eddy_sim_addr_any(int family)
{
    struct eddy_addr a;

    memset(&a, 0, sizeof(a));
    if (family == AF_INET6) {
        a.len = sizeof(a.u.in6);
        a.u.in6.sin6_family = AF_INET6;
    } else {
        a.len = sizeof(a.u.in);
        a.u.in.sin_family = AF_INET;
    }
    return a;
}

bool eddy_sim_addr_is_any(const struct eddy_addr *a)
{
    static const struct in6_addr any6;

    if (a->u.sa.sa_family == AF_INET6)
        return memcmp(&a->u.in6.sin6_addr, &any6, sizeof(any6)) == 0;
    return a->u.in.sin_addr.s_addr == 0;
}

void eddy_sim_addr_set_port(struct eddy_addr *a, int port)
{
    if (a->u.sa.sa_family == AF_INET6)
        a->u.in6.sin6_port = htons((uint16_t)port);
    else
        a->u.in.sin_port = htons((uint16_t)port);
}

bool eddy_sim_same_host(const struct eddy_addr *a, const struct eddy_addr *b)
{
    if (a->u.sa.sa_family != b->u.sa.sa_family)
        return false;
    if (a->u.sa.sa_family == AF_INET6)
        return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr)) == 0;
    return a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
}

static bool overlap(const struct eddy_addr *a, const struct eddy_addr *b)
{
    return a->u.sa.sa_family == b->u.sa.sa_family && eddy_addr_port(a) == eddy_addr_port(b) &&
           (eddy_sim_addr_is_any(a) || eddy_sim_addr_is_any(b) || eddy_sim_same_host(a, b));
}

int eddy_sim_sock_option(const struct sim_sock *s, int level, int name)
{
    int i;

    for (i = 0; i < s->option_count; i++) {
        if (s->options[i].level == level && s->options[i].name == name)
            return s->options[i].value;
    }
    return 0;
}

/* Beside a listener nobody may bind unless both share the port; beside connections, who says so. */
static bool may_share(const struct sim_sock *s, const struct sim_sock *other)
{
    if (other->kind == SIM_STREAM)
        return eddy_sim_sock_option(s, SOL_SOCKET, SO_REUSEADDR) != 0;
    return eddy_sim_sock_option(s, SOL_SOCKET, SO_REUSEPORT) != 0 &&
           eddy_sim_sock_option(other, SOL_SOCKET, SO_REUSEPORT) != 0;
}

bool eddy_sim_addr_in_use(struct eddy_sim *sim, const struct sim_sock *s, const struct eddy_addr *a)
{
    const struct sim_sock *other;
    int fd;

    for (fd = SIM_FIRST_FD; fd < sim->socks_room; fd++) {
        other = sim->socks[fd];
        if (other == NULL || other == s || other->kind == SIM_WAKER || other->local.len == 0)
            continue;
        if ((other->kind == SIM_DATAGRAM) != (s->kind == SIM_DATAGRAM)) /* ports of their own */
            continue;
        if (overlap(&other->local, a) && !may_share(s, other))
            return true;
    }
    return false;
}

struct eddy_addr eddy_sim_loopback_if_any(const struct eddy_addr *a)
{
    struct eddy_addr to = *a;

    if (!eddy_sim_addr_is_any(a))
        return to;
    if (a->u.sa.sa_family == AF_INET6)
        to.u.in6.sin6_addr = in6addr_loopback;
    else
        to.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

int eddy_sim_choose_port(struct eddy_sim *sim, enum sim_kind kind, struct eddy_addr *a)
{
    const struct sim_sock nobody = {.kind = kind};
    int i;

    for (i = FIRST_PORT; i <= LAST_PORT; i++) {
        if (sim->next_port < FIRST_PORT || sim->next_port > LAST_PORT)
            sim->next_port = FIRST_PORT;
        eddy_sim_addr_set_port(a, sim->next_port++);
        if (!eddy_sim_addr_in_use(sim, &nobody, a))
            return 0;
    }
    return -EADDRINUSE;
}

struct sim_sock *eddy_sim_listener(struct eddy_sim *sim, const struct eddy_addr *to)
{
    struct sim_sock *s, *found = NULL;
    uint64_t count = 0;
    int fd;

    for (fd = SIM_FIRST_FD; fd < sim->socks_room; fd++) {
        s = sim->socks[fd];
        if (s == NULL || s->kind != SIM_LISTENING || !overlap(&s->local, to))
            continue;
        /* Those that share a port share the connections. */
        count++;
        if (count == 1 || eddy_sim_random(sim, count) == 0)
            found = s;
    }
    return found;
}

/* One that is connected hears its peer alone, and before those that hear everybody. */
struct sim_sock *eddy_sim_datagram_receiver(struct eddy_sim *sim, const struct eddy_addr *from,
                                            const struct eddy_addr *to)
{
    struct sim_sock *s, *found = NULL;
    bool connected = false;
    uint64_t count = 0;
    int fd;

    for (fd = SIM_FIRST_FD; fd < sim->socks_room; fd++) {
        s = sim->socks[fd];
        if (s == NULL || s->kind != SIM_DATAGRAM || s->local.len == 0 || !overlap(&s->local, to))
            continue;
        if (s->mail.peer.len > 0 && !eddy_addr_equal(&s->mail.peer, from))
            continue;
        if (connected != (s->mail.peer.len > 0)) {
            if (connected)
                continue;
            connected = true;
            count = 0;
        }
        count++;
        if (count == 1 || eddy_sim_random(sim, count) == 0)
            found = s;
    }
    return found;
}

/* ---- how hosts answer ---- */

static struct sim_host *find_host(const struct eddy_sim *sim, const struct eddy_addr *a, int port)
{
    size_t i;

    for (i = 0; i < sim->host_count; i++) {
        if (eddy_sim_same_host(&sim->hosts[i].addr, a) &&
            eddy_addr_port(&sim->hosts[i].addr) == port)
            return &sim->hosts[i];
    }
    return NULL;
}

/* That of its port goes before that of all ports. */
static const struct sim_host *host_at(const struct eddy_sim *sim, const struct eddy_addr *a)
{
    const struct sim_host *host = find_host(sim, a, eddy_addr_port(a));

    return host ? host : find_host(sim, a, 0);
}

enum eddy_sim_host eddy_sim_host_at(const struct eddy_sim *sim, const struct eddy_addr *a)
{
    const struct sim_host *host = host_at(sim, a);

    return host ? host->behaviour : EDDY_SIM_ANSWERS;
}

eddy_nsec eddy_sim_host_delay(const struct eddy_sim *sim, const struct eddy_addr *a)
{
    const struct sim_host *host = host_at(sim, a);

    return host ? host->delay : 0;
}

/* NULL: no memory. */
static struct sim_host *get_host(struct eddy_sim *sim, const struct eddy_addr *a)
{
    struct sim_host *host = find_host(sim, a, eddy_addr_port(a));

    if (host)
        return host;
    host = eddy_realloc(sim->hosts, (sim->host_count + 1) * sizeof(*host));
    if (host == NULL)
        return NULL;
    sim->hosts = host;
    host += sim->host_count++;
    *host = (struct sim_host){.addr = *a};
    return host;
}

int eddy_sim_set_host(struct eddy_sim *sim, const struct eddy_addr *a, enum eddy_sim_host behaviour)
{
    struct sim_host *host = get_host(sim, a);

    if (host == NULL)
        return -ENOMEM;
    host->behaviour = behaviour;
    return 0;
}

int eddy_sim_set_host_delay(struct eddy_sim *sim, const struct eddy_addr *a, eddy_nsec delay)
{
    struct sim_host *host = delay < 0 ? NULL : get_host(sim, a);

    if (host == NULL)
        return delay < 0 ? -EINVAL : -ENOMEM;
    host->delay = delay;
    return 0;
}
