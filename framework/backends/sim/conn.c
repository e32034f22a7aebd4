/*
 * TCP as its users see it. What is under way takes time (latency, jitter), or none: then it arrives
 * inside the call that has sent it. There is one event per direction, and each time it comes up it
 * takes what can be taken: a reset, else as many bytes as the other buffer holds, then the end of
 * stream.
 */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"
#include <string.h>

enum { EVENTS_PER_CONN = 4, CONNECT_ATTEMPTS = 7 };

/* ---- one direction ---- */

size_t eddy_sim_unread(struct sim_end *end)
{
    const struct sim_pipe *in = &eddy_sim_peer(end)->out;

    return (size_t)(in->arrived - in->head);
}

size_t eddy_sim_unsent(const struct sim_end *end)
{
    return (size_t)(end->out.tail - end->out.arrived);
}

size_t eddy_sim_room(const struct eddy_sim *sim, const struct sim_end *end)
{
    size_t used = eddy_sim_unsent(end);

    return used < sim->opts.send_room ? sim->opts.send_room - used : 0;
}

/* Makes the ring hold n bytes more. */
static int pipe_reserve(struct sim_pipe *pipe, size_t n)
{
    size_t used = (size_t)(pipe->tail - pipe->head), size = pipe->size ? pipe->size : 1024;
    uint8_t *ring;
    uint64_t i;

    while (size < used + n)
        size *= 2;
    if (size == pipe->size)
        return 0;
    ring = eddy_alloc(size);
    if (ring == NULL)
        return -ENOMEM;
    for (i = pipe->head; i != pipe->tail; i++)
        ring[i & (size - 1)] = pipe->ring[i & (pipe->size - 1)];
    eddy_free(pipe->ring);
    pipe->ring = ring;
    pipe->size = size;
    return 0;
}

/* The piece of the ring from `at` on that does not wrap. */
static size_t pipe_piece(const struct sim_pipe *pipe, uint64_t at, size_t len, uint8_t **ret)
{
    size_t start = (size_t)(at & (pipe->size - 1)), left = pipe->size - start;

    *ret = pipe->ring + start;
    return len < left ? len : left;
}

static void pipe_push(struct sim_pipe *pipe, const uint8_t *data, size_t len)
{
    uint8_t *to;
    size_t n;

    for (; len > 0; data += n, len -= n) {
        n = pipe_piece(pipe, pipe->tail, len, &to);
        memcpy(to, data, n);
        pipe->tail += n;
    }
}

static void pipe_pull(struct sim_pipe *pipe, uint8_t *buf, size_t len)
{
    uint8_t *from;
    size_t n;

    for (; len > 0; buf += n, len -= n) {
        n = pipe_piece(pipe, pipe->head, len, &from);
        memcpy(buf, from, n);
        pipe->head += n;
    }
}

/* ---- the way to the other host ---- */

static void establish(struct eddy_sim *sim, struct sim_conn *conn)
{
    if (!conn->connecting)
        return;
    eddy_sim_cancel(sim, &conn->handshake);
    conn->connecting = false;
    sim->stats.connections++;
    eddy_sim_note(sim, "established", eddy_addr_port(&conn->ends[0].addr),
                  eddy_addr_port(&conn->ends[1].addr));
}

/* What its user does not know yet is lost, in both directions: that is what a reset means. */
static void kill_end(struct eddy_sim *sim, struct sim_end *end, int error)
{
    struct sim_pipe *in = &eddy_sim_peer(end)->out;

    end->dead = true;
    end->error = error;
    end->out.tail = end->out.arrived;
    in->head = in->tail = in->arrived;
    eddy_sim_cancel(sim, &end->travel);
}

static void reset_arrives(struct eddy_sim *sim, struct sim_end *end)
{
    if (end->dead || end->state == SIM_END_CLOSED)
        return;
    if (end == &end->conn->ends[0])
        establish(sim, end->conn);
    /* As Linux has it: the writer's error if the peer had ended already. */
    kill_end(sim, end, eddy_sim_peer(end)->ended ? -EPIPE : -ECONNRESET);
    sim->stats.resets++;
    eddy_sim_note(sim, "reset", eddy_addr_port(&end->addr), end->error);
}

static void set_off(struct eddy_sim *sim, struct sim_end *end);

static void send_reset(struct eddy_sim *sim, struct sim_end *end)
{
    if (end->resetting)
        return;
    end->resetting = true;
    end->out.tail = end->out.arrived;
    eddy_sim_cancel(sim, &end->travel);
    set_off(sim, end);
}

/* True if all that was to be taken has arrived. */
static bool carry_bytes(struct eddy_sim *sim, struct sim_end *end)
{
    struct sim_pipe *pipe = &end->out;
    size_t unread = (size_t)(pipe->arrived - pipe->head), n = eddy_sim_unsent(end);
    size_t room = unread < sim->opts.recv_room ? sim->opts.recv_room - unread : 0;

    if (n == 0)
        return true;
    if (n > room)
        n = room;
    if (n > 1 && eddy_sim_chance(sim, sim->opts.chunking))
        n = 1 + (size_t)eddy_sim_random(sim, n);
    if (n == 0)
        return false; /* the reader's recv goes on with it */
    pipe->arrived += n;
    sim->stats.bytes += n;
    eddy_sim_note(sim, "arrived", eddy_addr_port(&eddy_sim_peer(end)->addr), (int64_t)n);
    if (pipe->arrived == pipe->tail)
        return true;
    if (n < room)
        eddy_sim_start(sim, &end->travel, sim->now + 1 + eddy_sim_travel_time(sim));
    return false;
}

static void travelled(struct eddy_sim *sim, struct sim_event *e)
{
    struct sim_end *end = EDDY_CONTAINER_OF(e, struct sim_end, travel);
    struct sim_end *peer = eddy_sim_peer(end);

    if (end->frozen || peer->frozen || end->dead || peer->state == SIM_END_NONE)
        return;
    if (peer == &end->conn->ends[0])
        establish(sim, end->conn); /* nothing overtakes the handshake */
    if (end->resetting) {
        reset_arrives(sim, peer);
        return;
    }
    if (eddy_sim_unsent(end) > 0 && peer->state == SIM_END_CLOSED) {
        send_reset(sim, peer);
        return;
    }
    if (!carry_bytes(sim, end))
        return;
    if (end->shut_write && !end->ended) {
        end->ended = true;
        eddy_sim_note(sim, "ended", eddy_addr_port(&peer->addr), 0);
    }
}

static void set_off(struct eddy_sim *sim, struct sim_end *end)
{
    if (end->travel.index != 0)
        return;
    if (eddy_sim_is_instant(sim))
        travelled(sim, &end->travel);
    else
        eddy_sim_start(sim, &end->travel, sim->now + eddy_sim_travel_time(sim));
}

/* ---- making connections ---- */

static void connect_fails(struct eddy_sim *sim, struct sim_conn *conn, int error)
{
    conn->connecting = false;
    kill_end(sim, &conn->ends[0], error);
    eddy_sim_note(sim, "not connected", eddy_addr_port(&conn->ends[0].addr), error);
}

static void join_queue(struct sim_sock *listener, struct sim_conn *conn)
{
    conn->listener = listener;
    conn->ends[1].state = SIM_END_PENDING;
    eddy_list_append(&listener->queue, &conn->queued);
    listener->queue_len++;
}

/* What the connect meets at the other end: 0, an error, or 1 for no answer. */
static int knock(struct eddy_sim *sim, struct sim_conn *conn)
{
    const struct eddy_addr *to = &conn->ends[1].addr;
    struct sim_sock *listener;

    switch (eddy_sim_host_at(sim, to)) {
    case EDDY_SIM_REFUSES:
        return -ECONNREFUSED;
    case EDDY_SIM_UNREACHABLE:
        return -EHOSTUNREACH;
    case EDDY_SIM_SILENT:
        return 1;
    case EDDY_SIM_ANSWERS:
        break;
    }
    listener = eddy_sim_listener(sim, to);
    if (listener == NULL)
        return -ECONNREFUSED;
    if (listener->queue_len > listener->backlog)
        return 1;
    join_queue(listener, conn);
    return 0;
}

static void shake_hands(struct eddy_sim *sim, struct sim_event *e)
{
    struct sim_conn *conn = EDDY_CONTAINER_OF(e, struct sim_conn, handshake);

    if (conn->outcome == 1) {
        conn->outcome = knock(sim, conn);
        if (conn->outcome == 1) {
            /* Asked again after 1, 2, 4 ... seconds. */
            if (conn->attempts == CONNECT_ATTEMPTS)
                connect_fails(sim, conn, -ETIMEDOUT);
            else
                eddy_sim_start(sim, e, sim->now + (EDDY_SEC(1) << conn->attempts++));
            return;
        }
        if (!eddy_sim_is_instant(sim) && conn->delay == 0) {
            eddy_sim_start(sim, e, sim->now + eddy_sim_travel_time(sim));
            return;
        }
    }
    if (conn->outcome == 0)
        establish(sim, conn);
    else
        connect_fails(sim, conn, conn->outcome);
}

static void break_down(struct eddy_sim *sim, struct sim_event *e)
{
    struct sim_conn *conn = EDDY_CONTAINER_OF(e, struct sim_conn, breakdown);

    if (conn->connecting) {
        connect_fails(sim, conn, -ECONNRESET);
        eddy_sim_cancel(sim, &conn->handshake);
    }
    reset_arrives(sim, &conn->ends[0]);
    if (conn->ends[1].state != SIM_END_NONE)
        reset_arrives(sim, &conn->ends[1]);
}

int eddy_sim_conn_new(struct eddy_sim *sim, const struct eddy_addr *from,
                      const struct eddy_addr *to, struct sim_conn **ret)
{
    struct sim_conn *conn;
    int i;

    if (eddy_sim_promise(sim, EVENTS_PER_CONN) < 0)
        return -ENOMEM;
    conn = eddy_zalloc(sizeof(*conn));
    if (conn == NULL) {
        eddy_sim_unpromise(sim, EVENTS_PER_CONN);
        return -ENOMEM;
    }
    for (i = 0; i < 2; i++) {
        conn->ends[i].conn = conn;
        conn->ends[i].travel.fn = travelled;
        conn->ends[i].addr = i == 0 ? *from : *to;
    }
    conn->ends[0].state = SIM_END_OPEN;
    conn->connecting = true;
    conn->outcome = 1;
    conn->handshake.fn = shake_hands;
    conn->breakdown.fn = break_down;
    eddy_list_append(&sim->conns, &conn->link);
    *ret = conn;
    return 0;
}

void eddy_sim_conn_begin(struct eddy_sim *sim, struct sim_conn *conn)
{
    conn->delay = eddy_sim_host_delay(sim, &conn->ends[1].addr);
    if (conn->delay > 0)
        eddy_sim_start(sim, &conn->handshake, eddy_sim_after(sim, conn->delay));
    else if (eddy_sim_is_instant(sim))
        shake_hands(sim, &conn->handshake);
    else
        eddy_sim_start(sim, &conn->handshake, sim->now + eddy_sim_travel_time(sim));
}

void eddy_sim_conn_free(struct eddy_sim *sim, struct sim_conn *conn)
{
    int i;

    if (eddy_link_is_member(&conn->queued)) {
        eddy_link_remove(&conn->queued);
        conn->listener->queue_len--;
    }
    for (i = 0; i < 2; i++) {
        eddy_sim_cancel(sim, &conn->ends[i].travel);
        eddy_free(conn->ends[i].out.ring);
    }
    eddy_sim_cancel(sim, &conn->handshake);
    eddy_sim_cancel(sim, &conn->breakdown);
    eddy_sim_unpromise(sim, EVENTS_PER_CONN);
    eddy_link_remove(&conn->link);
    eddy_free(conn);
}

/* ---- what the users of the ends do ---- */

int eddy_sim_take_error(struct sim_end *end)
{
    int error = end->error;

    end->error = 0;
    return error;
}

ssize_t eddy_sim_conn_recv(struct eddy_sim *sim, struct sim_end *end, void *buf, size_t len)
{
    struct sim_end *peer = eddy_sim_peer(end);
    size_t n = eddy_sim_unread(end);

    if (eddy_sim_is_connecting(end))
        return -EAGAIN;
    if (n > len)
        n = len;
    if (n > 1 && eddy_sim_chance(sim, sim->opts.short_reads))
        n = 1 + (size_t)eddy_sim_random(sim, n);
    if (n > 0) {
        pipe_pull(&peer->out, buf, n);
        if (eddy_sim_unsent(peer) > 0)
            set_off(sim, peer);
        return (ssize_t)n;
    }
    if (end->error != 0)
        return eddy_sim_take_error(end);
    return end->dead || peer->ended || end->shut_read ? 0 : -EAGAIN;
}

ssize_t eddy_sim_conn_send(struct eddy_sim *sim, struct sim_end *end, const struct iovec *iov,
                           int n)
{
    size_t room = eddy_sim_room(sim, end), len = 0, taken = 0, part;
    int i;

    if (end->error != 0)
        return eddy_sim_take_error(end);
    if (end->dead || end->shut_write)
        return -EPIPE;
    for (i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (len == 0)
        return 0;
    if (eddy_sim_is_connecting(end) || room == 0)
        return -EAGAIN;
    if (len > room)
        len = room;
    if (len > 1 && eddy_sim_chance(sim, sim->opts.short_writes))
        len = 1 + (size_t)eddy_sim_random(sim, len);
    if (pipe_reserve(&end->out, len) < 0)
        return -ENOMEM;
    for (i = 0; taken < len; i++) {
        part = iov[i].iov_len < len - taken ? iov[i].iov_len : len - taken;
        pipe_push(&end->out, iov[i].iov_base, part);
        taken += part;
    }
    set_off(sim, end);
    return (ssize_t)len;
}

int eddy_sim_conn_shutdown(struct eddy_sim *sim, struct sim_end *end, int how)
{
    if (eddy_sim_is_connecting(end) || end->dead)
        return -ENOTCONN;
    if (how == SHUT_RD || how == SHUT_RDWR)
        end->shut_read = true;
    if ((how == SHUT_WR || how == SHUT_RDWR) && !end->shut_write) {
        end->shut_write = true;
        set_off(sim, end);
    }
    return 0;
}

void eddy_sim_conn_close(struct eddy_sim *sim, struct sim_end *end)
{
    struct sim_end *peer = eddy_sim_peer(end);

    end->state = SIM_END_CLOSED;
    if (peer->state == SIM_END_CLOSED || peer->state == SIM_END_NONE) {
        eddy_sim_conn_free(sim, end->conn);
        return;
    }
    if (end->dead)
        return;
    if (eddy_sim_is_connecting(end)) { /* nobody is left to learn the outcome */
        end->conn->connecting = false;
        eddy_sim_cancel(sim, &end->conn->handshake);
    }
    if (eddy_sim_unread(end) > 0) {
        send_reset(sim, end);
        return;
    }
    end->shut_write = true;
    set_off(sim, end);
}

void eddy_sim_conn_turn_away(struct eddy_sim *sim, struct sim_end *end)
{
    if (eddy_sim_peer(end)->state == SIM_END_CLOSED) {
        eddy_sim_conn_free(sim, end->conn);
        return;
    }
    end->state = SIM_END_CLOSED;
    if (!end->dead)
        send_reset(sim, end);
}

void eddy_sim_conn_thaw(struct eddy_sim *sim, struct sim_end *end)
{
    set_off(sim, end);
    set_off(sim, eddy_sim_peer(end));
}
