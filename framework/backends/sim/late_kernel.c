/*
 * What the late backend's kernel does with operations. They take effect at one time, inside a wait,
 * and report at a later one; stopping or cancelling one comes too late as often as not.
 */
#include "framework/backends/sim/late.h"

static bool wants(const struct late_io *li, unsigned events)
{
    return (li->io->want & events) != 0;
}

static unsigned ready(const struct late_io *li)
{
    return eddy_sim_ready(li->late->sim, li->io->fd);
}

static bool toss(struct late_io *li)
{
    return eddy_sim_random(li->late->sim, 2) == 0;
}

eddy_nsec eddy_sim_late_time(struct late_io *li)
{
    struct eddy_sim *sim = li->late->sim;

    return sim->now + (eddy_nsec)eddy_sim_random(sim, (uint64_t)sim->opts.late + 1);
}

/* ---- bytes that must not move ---- */

uint64_t eddy_sim_late_checksum(const struct late_io *li)
{
    uint64_t sum = 0xcbf29ce484222325u;
    const uint8_t *byte;
    size_t k;
    int i;

    for (i = 0; i < li->piece_count; i++) {
        byte = li->pieces[i].iov_base;
        for (k = 0; k < li->pieces[i].iov_len; k++)
            sum = (sum ^ byte[k]) * 0x100000001b3u;
    }
    return sum;
}

void eddy_sim_late_check_pinned(struct late_io *li)
{
    if (eddy_sim_late_checksum(li) != li->checksum)
        eddy_sim_violate(li->late->sim, "bytes given by output have changed before sent");
}

/* ---- operations ---- */

/* True if a call was refused in spite of readiness. Nothing on the network leads to another try
 * then, so time does; but not for ever: a loop that gets nowhere is to stall. */
static bool put_off(struct late_io *li, ssize_t n)
{
    if (n != -EAGAIN) {
        li->refusals = 0;
        return false;
    }
    if (++li->refusals < SIM_MAX_SPINS)
        li->again_due = eddy_sim_late_time(li) + 1;
    return true;
}

static void progress_connect(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;

    if (li->connecting != LATE_WAITING || !(ready(li) & EDDY_WRITE))
        return;
    li->connect_error = sys->cls->error(sys, li->io->fd);
    li->connecting = LATE_DONE;
    li->connect_due = eddy_sim_late_time(li);
}

static void progress_read(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;
    ssize_t n;

    if (li->reading == LATE_IDLE && wants(li, EDDY_READ) && !li->read_ended)
        li->reading = LATE_WAITING;
    if (li->reading != LATE_WAITING)
        return;
    if (!wants(li, EDDY_READ) && toss(li)) {
        li->reading = LATE_IDLE;
        return;
    }
    if (!(ready(li) & EDDY_READ))
        return;
    n = sys->cls->recv(sys, li->io->fd, li->buffer, sizeof(li->buffer));
    if (put_off(li, n))
        return;
    li->reading = LATE_DONE;
    li->read_result = n;
    li->read_at = 0;
    li->read_due = eddy_sim_late_time(li);
}

static void progress_write(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;
    ssize_t n;

    if (li->writing == LATE_IDLE && wants(li, EDDY_WRITE))
        li->writing = LATE_ASKING;
    if (li->writing != LATE_WAITING || !(ready(li) & EDDY_WRITE))
        return;
    eddy_sim_late_check_pinned(li);
    n = sys->cls->sendv(sys, li->io->fd, li->pieces, li->piece_count);
    if (put_off(li, n))
        return;
    li->writing = LATE_DONE;
    li->write_result = n;
    li->write_due = eddy_sim_late_time(li);
}

static void progress_message(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;
    int n;

    if (li->reading == LATE_IDLE && wants(li, EDDY_READ))
        li->reading = LATE_WAITING;
    if (li->reading != LATE_WAITING)
        return;
    if (!wants(li, EDDY_READ) && toss(li)) {
        li->reading = LATE_IDLE;
        return;
    }
    if (!(ready(li) & EDDY_READ))
        return;
    li->message.len = LATE_MESSAGE;
    li->message.truncated = false;
    li->message.addr.len = 0;
    n = sys->cls->recv_messages(sys, li->io->fd, &li->message, 1);
    if (put_off(li, n))
        return;
    li->reading = LATE_DONE;
    li->read_result = n;
    li->read_due = eddy_sim_late_time(li);
}

/* Nothing is handed over: that there is room is all that is told. */
static void progress_room(struct late_io *li)
{
    if (li->writing != LATE_IDLE || !wants(li, EDDY_WRITE) || !(ready(li) & EDDY_WRITE))
        return;
    li->writing = LATE_DONE;
    li->write_due = eddy_sim_late_time(li);
}

static void progress_accept(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;
    struct late_accept *a;
    unsigned most;
    int r;

    if (li->accept_count > 0 || !wants(li, EDDY_READ))
        return;
    most = li->io->cls->batch(li->io);
    if (most > LATE_ACCEPTS)
        most = LATE_ACCEPTS;
    while ((unsigned)li->accept_count < most && (ready(li) & EDDY_READ)) {
        a = &li->accepts[li->accept_count];
        r = sys->cls->accept(sys, li->io->fd, &a->peer);
        if (put_off(li, r))
            break;
        if (r == -ECONNABORTED)
            continue;
        a->result = r;
        li->accept_count++;
        if (r < 0)
            break;
    }
    if (li->accept_count > 0)
        li->accept_due = eddy_sim_late_time(li);
}

/* Borrowed: the descriptor may have been closed, and its number may be another's. */
static void progress_watch(struct late_io *li)
{
    const struct sim_sock *s = eddy_sim_sock(li->late->sim, li->io->fd);

    li->ready = s && s->generation == li->generation ? ready(li) & li->io->armed : 0;
}

/* Operations that were cancelled leave in their own time, and may yet do something. */
static void progress_leaving(struct late_io *li)
{
    if (li->writing == LATE_WAITING && toss(li))
        progress_write(li);
    if (li->piece_count > 0 && (li->writing == LATE_WAITING || li->writing == LATE_DONE))
        eddy_sim_late_check_pinned(li);
    if (li->leaving > 0 && --li->leaving == 0)
        li->writing = li->reading = li->connecting = LATE_IDLE;
}

/* ---- what is due ---- */

static eddy_nsec earlier(eddy_nsec a, eddy_nsec b)
{
    return a < b ? a : b;
}

eddy_nsec eddy_sim_late_next(const struct late_io *li)
{
    eddy_nsec next = li->again_due;

    if (li->io->flags & EDDY_IO_CANCELLED)
        return EDDY_FOREVER;
    if (li->connecting == LATE_DONE)
        next = earlier(next, li->connect_due);
    if (li->reading == LATE_DONE && wants(li, EDDY_READ))
        next = earlier(next, li->read_due);
    if (li->writing == LATE_ASKING)
        next = 0;
    if (li->writing == LATE_DONE)
        next = earlier(next, li->write_due);
    if (li->accept_count > 0 && wants(li, EDDY_READ))
        next = earlier(next, li->accept_due);
    return li->ready ? 0 : next;
}

/* In any order, if the dice want it: completions of one moment have none. */
static void enqueue(struct late_io *li)
{
    struct late *late = li->late;
    struct eddy_link *head = &late->due;

    if (eddy_link_is_member(&li->due_link))
        return;
    if (eddy_sim_chance(late->sim, late->sim->opts.shuffle) && toss(li))
        head = head->next; /* before the first */
    eddy_list_append(head, &li->due_link);
}

void eddy_sim_late_progress(struct late_io *li)
{
    struct eddy_io *io = li->io;

    li->again_due = EDDY_FOREVER; /* this is the next try */
    if (io->flags & EDDY_IO_CANCELLED) {
        progress_leaving(li);
        return;
    }
    if (io->kind == EDDY_IO_WATCH)
        progress_watch(li);
    else if (io->kind == EDDY_IO_LISTENER)
        progress_accept(li);
    else if (io->flags & EDDY_IO_CONNECTING)
        progress_connect(li);
    else if (io->kind == EDDY_IO_DATAGRAM) {
        progress_message(li);
        progress_room(li);
    } else {
        progress_read(li);
        progress_write(li);
    }
    if (eddy_sim_late_next(li) <= li->late->sim->now)
        enqueue(li);
}
