/* Descriptors: numbers, kinds, readiness. */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"

struct sim_sock *eddy_sim_sock(const struct eddy_sim *sim, eddy_fd fd)
{
    return fd >= 0 && fd < sim->socks_room ? sim->socks[fd] : NULL;
}

/* ---- numbers ---- */

static int table_reserve(struct eddy_sim *sim, int fd)
{
    int room = sim->socks_room ? sim->socks_room : 64, i;
    struct sim_sock **socks;

    while (room <= fd)
        room *= 2;
    if (room == sim->socks_room)
        return 0;
    socks = eddy_realloc(sim->socks, (size_t)room * sizeof(struct sim_sock *));
    if (socks == NULL)
        return -ENOMEM;
    for (i = sim->socks_room; i < room; i++)
        socks[i] = NULL;
    sim->socks = socks;
    sim->socks_room = room;
    return 0;
}

/* The lowest free number, or -errno. */
int eddy_sim_sock_new(struct eddy_sim *sim, enum sim_kind kind, struct sim_sock **ret)
{
    struct sim_sock *s;
    int fd = SIM_FIRST_FD;

    if (sim->stats.open >= sim->opts.max_fds)
        return -EMFILE;
    while (eddy_sim_sock(sim, fd) != NULL)
        fd++;
    if (table_reserve(sim, fd) < 0)
        return -ENOMEM;
    s = eddy_zalloc(sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->kind = kind;
    s->generation = ++sim->next_generation;
    eddy_list_init(&s->queue);
    eddy_list_init(&s->mail.arrived);
    sim->socks[fd] = s;
    sim->stats.open++;
    *ret = s;
    return fd;
}

static void sock_free(struct eddy_sim *sim, eddy_fd fd)
{
    eddy_free(sim->socks[fd]);
    sim->socks[fd] = NULL;
    sim->stats.open--;
}

struct sim_waker *eddy_sim_waker(struct eddy_sim *sim, eddy_fd fd)
{
    int i;

    for (i = 0; i < SIM_MAX_WAKERS; i++) {
        if (atomic_load(&sim->wakers[i].fd) == fd)
            return &sim->wakers[i];
    }
    return NULL;
}

static void release_waker(struct eddy_sim *sim, eddy_fd fd)
{
    struct sim_waker *waker = eddy_sim_waker(sim, fd);

    if (waker)
        atomic_store(&waker->fd, -1);
}

/* Those who wait to be accepted are sent away. */
static void empty_queue(struct eddy_sim *sim, struct sim_sock *s)
{
    struct eddy_link *link;
    struct sim_conn *conn;

    while ((link = eddy_list_pop(&s->queue)) != NULL) {
        conn = EDDY_CONTAINER_OF(link, struct sim_conn, queued);
        eddy_sim_conn_turn_away(sim, &conn->ends[1]);
    }
    s->queue_len = 0;
}

void eddy_sim_sock_close(struct eddy_sim *sim, eddy_fd fd)
{
    struct sim_sock *s = sim->socks[fd];

    eddy_sim_selectors_forget(sim, fd);
    if (s->kind == SIM_WAKER)
        release_waker(sim, fd);
    if (s->end)
        eddy_sim_conn_close(sim, s->end);
    eddy_sim_datagram_close(sim, s);
    empty_queue(sim, s);
    sock_free(sim, fd);
}

void eddy_sim_stop_listening(struct eddy_sim *sim, struct sim_sock *s)
{
    empty_queue(sim, s);
    s->kind = SIM_FRESH;
}

void eddy_sim_close_all(struct eddy_sim *sim)
{
    struct eddy_link *link;
    int fd;

    for (fd = 0; fd < sim->socks_room; fd++) {
        if (sim->socks[fd])
            eddy_sim_sock_close(sim, fd);
    }
    while ((link = sim->conns.next) != &sim->conns)
        eddy_sim_conn_free(sim, EDDY_CONTAINER_OF(link, struct sim_conn, link));
    eddy_sim_datagram_drop_all(sim);
}

static unsigned conn_ready(struct eddy_sim *sim, struct sim_end *end)
{
    const struct sim_end *peer = eddy_sim_peer(end);
    unsigned events = 0;

    if (eddy_sim_is_connecting(end))
        return 0;
    if (end->dead || end->error || ((peer->ended || end->shut_read) && end->shut_write))
        return EDDY_READ | EDDY_WRITE;
    if (eddy_sim_unread(end) > 0 || peer->ended || end->shut_read)
        events |= EDDY_READ;
    if (eddy_sim_room(sim, end) > 0 || end->shut_write)
        events |= EDDY_WRITE;
    return events;
}

unsigned eddy_sim_ready(struct eddy_sim *sim, eddy_fd fd)
{
    const struct sim_sock *s = eddy_sim_sock(sim, fd);
    struct sim_waker *waker;

    if (s == NULL)
        return 0;
    switch (s->kind) {
    case SIM_FRESH:
        return EDDY_READ | EDDY_WRITE;
    case SIM_LISTENING:
        return s->queue_len > 0 ? EDDY_READ : 0;
    case SIM_STREAM:
        return conn_ready(sim, s->end);
    case SIM_WAKER:
        waker = eddy_sim_waker(sim, fd);
        return waker && atomic_load(&waker->kicked) ? EDDY_READ : 0;
    case SIM_DATAGRAM:
        return eddy_sim_datagram_ready(sim, s);
    }
    return 0;
}

static int bind_to_loopback(struct eddy_sim *sim, struct sim_sock *s)
{
    struct eddy_addr a = eddy_sim_addr_any(AF_INET);
    int r;

    a.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r = eddy_sim_choose_port(sim, SIM_STREAM, &a);
    if (r < 0)
        return r;
    s->family = AF_INET;
    s->local = a;
    return 0;
}

int eddy_sim_pair(struct eddy_sim *sim, eddy_fd ret_fds[2])
{
    struct sim_conn *conn = NULL;
    struct sim_sock *socks[2];
    int fds[2] = {-1, -1}, i, r = 0;

    for (i = 0; i < 2 && r >= 0; i++) {
        r = fds[i] = eddy_sim_sock_new(sim, SIM_STREAM, &socks[i]);
        if (r >= 0)
            r = bind_to_loopback(sim, socks[i]);
    }
    if (r >= 0)
        r = eddy_sim_conn_new(sim, &socks[0]->local, &socks[1]->local, &conn);
    if (r < 0) {
        for (i = 0; i < 2; i++) {
            if (fds[i] >= 0)
                eddy_sim_sock_close(sim, fds[i]);
        }
        return r;
    }
    conn->connecting = false;
    conn->ends[1].state = SIM_END_OPEN;
    sim->stats.connections++;
    for (i = 0; i < 2; i++) {
        socks[i]->end = &conn->ends[i];
        ret_fds[i] = fds[i];
    }
    return 0;
}
