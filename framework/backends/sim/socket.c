/* The table of system calls. */
#include "framework/backends/sim/world.h"

static struct eddy_sim *world(struct eddy_sys *sys)
{
    return EDDY_CONTAINER_OF(sys, struct eddy_sim, sys);
}

/* ---- the calls ---- */

/* An open descriptor, or NULL: closed ones are not to be used. */
static struct sim_sock *find(struct eddy_sim *sim, eddy_fd fd)
{
    struct sim_sock *s = eddy_sim_sock(sim, fd);

    if (s == NULL)
        eddy_sim_violate(sim, "a descriptor that is not open was used");
    return s;
}

static int sim_socket(struct eddy_sys *sys, int family, int type, int protocol)
{
    struct eddy_sim *sim = world(sys);
    int r = eddy_sim_called(sim, EDDY_SIM_SOCKET);
    bool datagram = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_DGRAM;
    struct sim_sock *s;

    if (r < 0)
        return r;
    if (family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    if ((!datagram && (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) ||
        (protocol != 0 && protocol != (datagram ? IPPROTO_UDP : IPPROTO_TCP)))
        return -EPROTONOSUPPORT;
    r = eddy_sim_sock_new(sim, datagram ? SIM_DATAGRAM : SIM_FRESH, &s);
    if (r >= 0)
        s->family = family;
    eddy_sim_note(sim, "socket", r, family);
    return r;
}

static int sim_close(struct eddy_sys *sys, eddy_fd fd)
{
    struct eddy_sim *sim = world(sys);

    eddy_sim_note(sim, "close", fd, 0);
    if (find(sim, fd) == NULL)
        return -EBADF;
    sim->spins = 0;
    eddy_sim_sock_close(sim, fd);
    return 0;
}

static int sim_adopt(struct eddy_sys *sys, eddy_fd fd)
{
    int r = eddy_sim_called(world(sys), EDDY_SIM_ADOPT);

    if (r < 0)
        return r;
    return eddy_sim_sock(world(sys), fd) ? 0 : -EBADF;
}

static int sim_bind(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, EDDY_SIM_BIND);
    struct eddy_addr local = *a;

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if ((s->kind != SIM_FRESH && s->kind != SIM_DATAGRAM) || s->bound ||
        a->u.sa.sa_family != s->family)
        return -EINVAL;
    if (eddy_addr_port(&local) == 0)
        r = eddy_sim_choose_port(sim, s->kind, &local);
    else if (eddy_sim_addr_in_use(sim, s, &local))
        r = -EADDRINUSE;
    eddy_sim_note(sim, "bind", fd, r < 0 ? r : eddy_addr_port(&local));
    if (r < 0)
        return r;
    s->local = local;
    s->bound = true;
    return 0;
}

static int sim_listen(struct eddy_sys *sys, eddy_fd fd, int backlog)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, EDDY_SIM_LISTEN);
    struct eddy_addr local;

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind != SIM_FRESH && s->kind != SIM_LISTENING)
        return -EINVAL;
    if (!s->bound) {
        local = eddy_sim_addr_any(s->family);
        r = eddy_sim_choose_port(sim, s->kind, &local);
        if (r < 0)
            return r;
        s->local = local;
        s->bound = true;
    }
    s->kind = SIM_LISTENING;
    s->backlog = backlog < 0 ? 0 : backlog;
    eddy_sim_note(sim, "listen", fd, backlog);
    return 0;
}

/* A connection that was reset before it was accepted; true: accept tells so. */
static bool drop_aborted(struct eddy_sim *sim, struct sim_sock *s, struct sim_conn *conn)
{
    if (!conn->ends[1].dead || !eddy_sim_chance(sim, sim->opts.abort_accepted))
        return false;
    eddy_link_remove(&conn->queued);
    s->queue_len--;
    eddy_sim_conn_close(sim, &conn->ends[1]);
    return true;
}

static int sim_accept(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret_peer)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd), *accepted;
    int r = eddy_sim_called(sim, EDDY_SIM_ACCEPT);
    struct sim_conn *conn;

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind != SIM_LISTENING)
        return -EINVAL;
    if (eddy_sim_falsely_blocked(sim) || s->queue_len == 0)
        return -EAGAIN;
    sim->spins = 0;
    conn = EDDY_CONTAINER_OF(s->queue.next, struct sim_conn, queued);
    if (drop_aborted(sim, s, conn))
        return -ECONNABORTED;
    r = eddy_sim_sock_new(sim, SIM_STREAM, &accepted);
    eddy_sim_note(sim, "accept", fd, r);
    if (r < 0)
        return r;
    eddy_link_remove(&conn->queued);
    s->queue_len--;
    accepted->family = s->family;
    accepted->local = conn->ends[1].addr;
    accepted->end = &conn->ends[1];
    /* as the kernels do */
    memcpy(accepted->options, s->options, sizeof(s->options));
    accepted->option_count = s->option_count;
    conn->ends[1].state = SIM_END_OPEN;
    *ret_peer = conn->ends[0].addr;
    return r;
}

static int begin_connect(struct eddy_sim *sim, struct sim_sock *s, const struct eddy_addr *a)
{
    struct eddy_addr to = eddy_sim_loopback_if_any(a), any = eddy_sim_addr_any(s->family);
    struct eddy_addr local = s->bound ? s->local : eddy_sim_loopback_if_any(&any);
    struct sim_conn *conn;
    int r;

    if (!s->bound) {
        r = eddy_sim_choose_port(sim, s->kind, &local);
        if (r < 0)
            return r;
    } else if (eddy_sim_addr_is_any(&local)) {
        local = eddy_sim_loopback_if_any(&local);
    }
    r = eddy_sim_conn_new(sim, &local, &to, &conn);
    if (r < 0)
        return r;
    s->local = local;
    s->kind = SIM_STREAM;
    s->end = &conn->ends[0];
    eddy_sim_conn_begin(sim, conn);
    return 0;
}

static int sim_connect(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, EDDY_SIM_CONNECT);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind == SIM_STREAM)
        return eddy_sim_is_connecting(s->end) ? -EALREADY : -EISCONN;
    if (s->kind != SIM_FRESH && s->kind != SIM_DATAGRAM)
        return -EINVAL;
    if (a->u.sa.sa_family != s->family)
        return -EAFNOSUPPORT;
    if (s->kind == SIM_DATAGRAM)
        return eddy_sim_datagram_connect(sim, s, a);
    r = begin_connect(sim, s, a);
    eddy_sim_note(sim, "connect", fd, r < 0 ? r : eddy_addr_port(a));
    if (r < 0)
        return r;
    if (!s->end->conn->connecting && eddy_sim_chance(sim, sim->opts.connect_at_once))
        return eddy_sim_take_error(s->end);
    return -EINPROGRESS;
}

static int sim_error(struct eddy_sys *sys, eddy_fd fd)
{
    struct sim_sock *s = find(world(sys), fd);
    int r = eddy_sim_called(world(sys), EDDY_SIM_ERROR);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind == SIM_DATAGRAM)
        return eddy_sim_datagram_take_error(s);
    return s->end ? eddy_sim_take_error(s->end) : 0;
}

static int sim_sockname(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    struct sim_sock *s = find(world(sys), fd);
    int r = eddy_sim_called(world(sys), EDDY_SIM_SOCKNAME);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind == SIM_WAKER)
        return -ENOTSOCK;
    *ret = s->local.len ? s->local : eddy_sim_addr_any(s->family);
    return 0;
}

static int sim_peername(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    struct sim_sock *s = find(world(sys), fd);
    int r = eddy_sim_called(world(sys), EDDY_SIM_PEERNAME);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->mail.peer.len > 0) {
        *ret = s->mail.peer;
        return 0;
    }
    if (s->end == NULL || eddy_sim_is_connecting(s->end) || s->end->dead)
        return -ENOTCONN;
    *ret = eddy_sim_peer(s->end)->addr;
    return 0;
}

static int sim_getsockopt(struct eddy_sys *sys, eddy_fd fd, int level, int name, int *ret)
{
    struct sim_sock *s = find(world(sys), fd);
    int r = eddy_sim_called(world(sys), EDDY_SIM_GETSOCKOPT);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind == SIM_WAKER)
        return -ENOTSOCK;
    if (level == SOL_SOCKET && name == SO_TYPE)
        *ret = s->kind == SIM_DATAGRAM ? SOCK_DGRAM : SOCK_STREAM;
    else if (level == SOL_SOCKET && name == SO_DOMAIN)
        *ret = s->family;
    else if (level == SOL_SOCKET && name == SO_ACCEPTCONN)
        *ret = s->kind == SIM_LISTENING;
    else if (level == SOL_SOCKET && name == SO_ERROR)
        *ret = s->kind == SIM_DATAGRAM ? -eddy_sim_datagram_take_error(s)
               : s->end                ? -eddy_sim_take_error(s->end)
                                       : 0;
    else
        *ret = eddy_sim_sock_option(s, level, name);
    return 0;
}

static int sim_setsockopt(struct eddy_sys *sys, eddy_fd fd, int level, int name, int value)
{
    struct sim_sock *s = find(world(sys), fd);
    int r = eddy_sim_called(world(sys), EDDY_SIM_SETSOCKOPT), i;

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind == SIM_WAKER)
        return -ENOTSOCK;
    for (i = 0; i < s->option_count; i++) {
        if (s->options[i].level == level && s->options[i].name == name)
            break;
    }
    if (i == SIM_MAX_OPTIONS)
        return -ENOBUFS;
    s->options[i] = (struct sim_option){level, name, value};
    if (i == s->option_count)
        s->option_count++;
    return 0;
}

/* How recv and send begin: the connection, or why not; `no_stream` for what is none. */
static int begin_transfer(struct eddy_sim *sim, eddy_fd fd, enum eddy_sim_call call, int no_stream,
                          struct sim_end **ret)
{
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, call);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind != SIM_STREAM)
        return no_stream;
    if (eddy_sim_falsely_blocked(sim))
        return -EAGAIN;
    *ret = s->end;
    return 0;
}

static ssize_t end_transfer(struct eddy_sim *sim, eddy_fd fd, const char *what, ssize_t n)
{
    if (n != -EAGAIN)
        sim->spins = 0;
    eddy_sim_note(sim, what, fd, n);
    return n;
}

static ssize_t sim_recv(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    struct eddy_sim *sim = world(sys);
    struct sim_end *end;
    int r = begin_transfer(sim, fd, EDDY_SIM_RECV, -ENOTCONN, &end);

    if (r < 0)
        return r;
    return end_transfer(sim, fd, "recv", len == 0 ? 0 : eddy_sim_conn_recv(sim, end, buf, len));
}

static ssize_t sim_sendv(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    struct eddy_sim *sim = world(sys);
    struct sim_end *end;
    int r = begin_transfer(sim, fd, EDDY_SIM_SEND, -EPIPE, &end);

    return r < 0 ? r : end_transfer(sim, fd, "send", eddy_sim_conn_send(sim, end, iov, n));
}

static ssize_t sim_send(struct eddy_sys *sys, eddy_fd fd, const void *data, size_t len)
{
    /* An iovec cannot say that its bytes are only read. */
    union {
        const void *in;
        void *out;
    } base = {.in = data};
    struct iovec iov = {base.out, len};

    return sim_sendv(sys, fd, &iov, 1);
}

/* How recv_messages and send_messages begin: 0, or why not. */
static int begin_messages(struct eddy_sim *sim, eddy_fd fd, enum eddy_sim_call call)
{
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, call);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind != SIM_DATAGRAM)
        return -EOPNOTSUPP;
    return eddy_sim_falsely_blocked(sim) ? -EAGAIN : 0;
}

static int sim_recv_messages(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n)
{
    struct eddy_sim *sim = world(sys);
    int r = begin_messages(sim, fd, EDDY_SIM_RECV_MESSAGES), count = 0;

    while (r >= 0 && count < n) {
        if (count > 0 && eddy_sim_chance(sim, sim->opts.short_reads))
            break;
        r = eddy_sim_datagram_recv(sim, eddy_sim_sock(sim, fd), &m[count]);
        count += r > 0;
    }
    return (int)end_transfer(sim, fd, "recv_messages", count ? count : r);
}

static int sim_send_messages(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n)
{
    struct eddy_sim *sim = world(sys);
    int r = begin_messages(sim, fd, EDDY_SIM_SEND_MESSAGES), count = 0;

    while (r >= 0 && count < n) {
        if (count > 0 && eddy_sim_chance(sim, sim->opts.short_writes))
            break;
        r = eddy_sim_datagram_send(sim, fd, &m[count]);
        count += r > 0;
    }
    return (int)end_transfer(sim, fd, "send_messages", count ? count : r);
}

static int sim_shutdown(struct eddy_sys *sys, eddy_fd fd, int how)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, EDDY_SIM_SHUTDOWN);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    sim->spins = 0;
    if (s->kind == SIM_STREAM)
        r = eddy_sim_conn_shutdown(sim, s->end, how);
    else if (s->kind == SIM_LISTENING && how != SHUT_WR)
        eddy_sim_stop_listening(sim, s);
    else
        r = -ENOTCONN;
    eddy_sim_note(sim, "shutdown", fd, r);
    return r;
}

static int sim_pending(struct eddy_sys *sys, eddy_fd fd, int *ret_in, int *ret_out)
{
    struct eddy_sim *sim = world(sys);
    struct sim_sock *s = find(sim, fd);
    int r = eddy_sim_called(sim, EDDY_SIM_PENDING);

    if (r < 0)
        return r;
    if (s == NULL)
        return -EBADF;
    if (s->kind != SIM_STREAM)
        return -EINVAL;
    *ret_in = (int)eddy_sim_unread(s->end);
    /* The end of stream counts as a byte, as with Linux's SIOCOUTQ. */
    *ret_out = (int)eddy_sim_unsent(s->end) +
               (s->end->shut_write && !s->end->ended && !s->end->dead ? 1 : 0);
    return 0;
}

static int sim_waker(struct eddy_sys *sys, eddy_fd fds[2])
{
    struct eddy_sim *sim = world(sys);
    int r = eddy_sim_called(sim, EDDY_SIM_WAKER), i = 0;
    struct sim_sock *s;

    if (r < 0)
        return r;
    while (i < SIM_MAX_WAKERS && atomic_load(&sim->wakers[i].fd) >= 0)
        i++;
    if (i == SIM_MAX_WAKERS)
        return -EMFILE;
    r = eddy_sim_sock_new(sim, SIM_WAKER, &s);
    if (r < 0)
        return r;
    atomic_store(&sim->wakers[i].kicked, false);
    atomic_store(&sim->wakers[i].fd, r);
    fds[0] = fds[1] = r;
    return 0;
}

static void sim_kick(struct eddy_sys *sys, eddy_fd fd)
{
    struct sim_waker *waker = eddy_sim_waker(world(sys), fd);

    if (waker)
        atomic_store(&waker->kicked, true);
}

static void sim_drain(struct eddy_sys *sys, eddy_fd fd)
{
    struct sim_waker *waker = eddy_sim_waker(world(sys), fd);

    if (waker)
        atomic_store(&waker->kicked, false);
    world(sys)->spins = 0;
}

static eddy_nsec sim_now(struct eddy_sys *sys)
{
    return world(sys)->now;
}

const struct eddy_sys_class eddy_sim_sys_class = {
    .name = "sim",
    .abi_size = sizeof(struct eddy_sys_class),
    .socket = sim_socket,
    .close = sim_close,
    .adopt = sim_adopt,
    .bind = sim_bind,
    .listen = sim_listen,
    .accept = sim_accept,
    .connect = sim_connect,
    .error = sim_error,
    .sockname = sim_sockname,
    .peername = sim_peername,
    .getsockopt = sim_getsockopt,
    .setsockopt = sim_setsockopt,
    .recv = sim_recv,
    .send = sim_send,
    .sendv = sim_sendv,
    .shutdown = sim_shutdown,
    .recv_messages = sim_recv_messages,
    .send_messages = sim_send_messages,
    .pending = sim_pending,
    .waker = sim_waker,
    .kick = sim_kick,
    .drain = sim_drain,
    .now = sim_now,
};
