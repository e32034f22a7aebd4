/*
 * io_uring: the reactor, but for what pays to be left to the kernel. Small messages are received by
 * one operation per connection, into buffers that the kernel picks from a ring. Everything else
 * (listeners, connecting, watches, sending, large transfers, reading into a protocol's own memory)
 * is the reactor's calls upon readiness, for which one-shot polls ask in the system call that
 * waits.
 *
 * An operation knows its io by pointer, so an io is let go only when its last operation has
 * reported. Until then its descriptor stays open, but for a listener's.
 *
 * Operations are put on the submission queue where it is submitted, above all in `wait`: none waits
 * there while user code runs. A poll tells what was ready when it began, so none begins earlier.
 */
#include "framework/backends/io_uring.h"

#include "framework/base/alloc.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL_READS 4 /* so many in a row end the treatment as a large transfer */

static struct uring *uring_of(struct eddy_backend *b)
{
    return (struct uring *)b;
}

static unsigned polled_for(const struct eddy_io *io)
{
    return has(io, POLL) ? (unsigned)(io->backend_word >> POLLED) & 3 : 0;
}

static void set_polled(struct eddy_io *io, unsigned events)
{
    io->backend_word &= ~((uint64_t)3 << POLLED);
    io->backend_word |= (uint64_t)events << POLLED;
}

/* In a forked child the ring is the parent's until it is made anew. */
static bool is_parents(const struct uring *u)
{
    return u->r.base.loop->fork_generation != eddy_fork_generation();
}

/* Room for what one io may ask for. */
static bool has_room(struct uring *u)
{
    if (!ring_has_room(&u->ring, 3))
        ring_enter(&u->ring, 0);
    return ring_has_room(&u->ring, 3);
}

static struct io_uring_sqe *new_operation(struct uring *u, unsigned opcode, struct eddy_io *io,
                                          unsigned op)
{
    struct io_uring_sqe *sqe = ring_operation(&u->ring, opcode);

    sqe->fd = io->fd;
    sqe->user_data = (uint64_t)(uintptr_t)io | op;
    io->backend_word |= op;
    return sqe;
}

/* Asks the kernel to end operations: each reports once more. */
static void call_off(struct uring *u, struct eddy_io *io, unsigned ops)
{
    for (unsigned op = 1; op & ALL; op <<= 1) {
        if (!(op & ops) || !has(io, op) || has(io, op << CALLED_OFF))
            continue;
        struct io_uring_sqe *sqe = ring_operation(&u->ring, IORING_OP_ASYNC_CANCEL);
        sqe->addr = (uint64_t)(uintptr_t)io | op;
        sqe->flags = RING_SKIP_SUCCESS;
        io->backend_word |= op << CALLED_OFF;
    }
}

/* ---- wishes become operations ---- */

/* What is not wanted any more may come once, and is ignored. But for watches, whose descriptor may
 * be closed next: an operation would keep it open.
 *
 * The kernel's polls also tell that the peer has ended its side, which lasts: a poll for room to
 * send would then end as soon as it began. After such a one we ask for changes, and when one of
 * these is what was asked for, for what is the case again. */
static void poll_for(struct uring *u, struct eddy_io *io, unsigned events)
{
    unsigned polled = polled_for(io);
    struct io_uring_sqe *sqe;

    if ((!events && io->kind == EDDY_IO_WATCH) || (has(io, CHANGES) && !has(io, NOISY)))
        call_off(u, io, POLL);
    if (!(events & ~polled) || has(io, POLL << CALLED_OFF))
        return;
    if (has(io, POLL)) {
        sqe = ring_operation(&u->ring, IORING_OP_POLL_REMOVE);
        sqe->addr = (uint64_t)(uintptr_t)io | POLL;
        sqe->len = IORING_POLL_UPDATE_EVENTS;
        sqe->flags = RING_SKIP_SUCCESS;
    } else {
        sqe = new_operation(u, IORING_OP_POLL_ADD, io, POLL);
        sqe->len = has(io, NOISY) ? IORING_POLL_ADD_MULTI : 0;
        io->backend_word |= has(io, NOISY) ? CHANGES : 0;
    }
    sqe->poll_events =
        (uint16_t)((events & EDDY_READ ? POLLIN : 0) | (events & EDDY_WRITE ? POLLOUT : 0));
    set_polled(io, events);
}

/* Returns the events to poll for. */
static unsigned receive(struct uring *u, struct eddy_io *io)
{
    bool by_readiness = has(io, BULK) || (io->flags & OWNERS_FLAGS);

    if (held_last(io) || end_of(io)) {
        io->flags |= EDDY_IO_DIRTY;
        io->dirty_next = u->due;
        u->due = io;
    } else if (has(io, RECV)) { /* nothing may overtake what it brings */
        if (by_readiness)
            call_off(u, io, RECV);
    } else if (by_readiness || (polled_for(io) & EDDY_READ)) {
        return EDDY_READ;
    } else {
        struct io_uring_sqe *sqe = new_operation(u, IORING_OP_RECV, io, RECV);
        sqe->ioprio = RING_RECV_MULTISHOT;
        sqe->flags = IOSQE_BUFFER_SELECT;
    }
    return 0;
}

static void leave(struct uring *u, struct eddy_io *io)
{
    call_off(u, io, ALL);
    if (!(io->flags & EDDY_IO_CLOSING) || !has(io, ALL))
        return;
    io->flags |= EDDY_IO_DIRTY; /* in this list for as long as it takes */
    io->dirty_next = u->leaving;
    u->leaving = io;
}

static void arm(struct uring *u, struct eddy_io *io)
{
    unsigned events = io->kind == EDDY_IO_WATCH ? io->armed : reactor_interest(io);

    if (io->flags & EDDY_IO_CANCELLED) {
        leave(u, io);
        return;
    }
    /* With system calls of somebody else's, who may script or fail them, readiness is all. */
    if (u->r.posix && io->kind == EDDY_IO_STREAM && !(io->flags & EDDY_IO_CONNECTING)) {
        events &= ~(unsigned)EDDY_READ;
        if (io->want & EDDY_READ)
            events |= receive(u, io);
        else
            call_off(u, io, RECV);
    }
    poll_for(u, io, events);
}

static void apply_wishes(struct uring *u)
{
    struct eddy_io *io;

    while ((io = u->r.dirty) != NULL && has_room(u)) {
        u->r.dirty = io->dirty_next;
        io->flags &= (uint8_t)~EDDY_IO_DIRTY;
        arm(u, io);
    }
}

/* ---- completions ---- */

/* Of a large transfer the kernel may have brought much at once: it is delivered bit by bit. */
static void bytes_came(struct uring *u, struct eddy_io *io, unsigned bid, int n)
{
    if (!held_last(io) && uring_wants_bytes(u, io) && !(io->flags & EDDY_IO_OWNBUF) &&
        !has(io, BULK)) {
        if (n == (int)RING_BUFFER_SIZE) {
            io->backend_word |= BULK;
            reactor_mark_dirty(&u->r, io);
        }
        uring_lend(u, io, bid, 0, n);
    } else {
        uring_hold(u, io, bid, n);
        reactor_mark_dirty(&u->r, io);
    }
}

static void receive_ends(struct uring *u, struct eddy_io *io, int res)
{
    reactor_mark_dirty(&u->r, io);
    if (res == -ENOBUFS) { /* if others hold all of them: readiness needs none */
        if (!uring_use_more_buffers(u))
            io->backend_word |= BULK;
    } else if (res == 0 || (res < 0 && res != -ECANCELED && res != -EINTR && res != -EAGAIN)) {
        set_half(io, END_SHIFT, (uint16_t)(res == 0 ? END_OF_STREAM : res));
        if (!held_last(io))
            uring_deliver_held(u, io);
    }
}

static void was_received(struct uring *u, struct eddy_io *io, const struct io_uring_cqe *cqe)
{
    if (cqe->res > 0)
        bytes_came(u, io, cqe->flags >> IORING_CQE_BUFFER_SHIFT, cqe->res);
    else if (cqe->flags & IORING_CQE_F_BUFFER)
        ring_give(&u->ring, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (!(cqe->flags & IORING_CQE_F_MORE) && !(io->flags & EDDY_IO_CANCELLED))
        receive_ends(u, io, cqe->res);
}

static unsigned events_of(int mask)
{
    return (mask & (POLLIN | POLLHUP | POLLERR) ? (unsigned)EDDY_READ : 0u) |
           (mask & (POLLOUT | POLLHUP | POLLERR) ? (unsigned)EDDY_WRITE : 0u);
}

/* Large transfers that have become small messages are received as such again. */
static void note_size(struct eddy_io *io, size_t n)
{
    if (n >= RING_BUFFER_SIZE)
        io->backend_word &= ~(uint64_t)SMALL_MASK;
    else if (n > 0 && (io->backend_word & SMALL_MASK) < SMALL_READS * SMALL)
        io->backend_word += SMALL;
    else if (n > 0)
        io->backend_word &= ~(uint64_t)(BULK | SMALL_MASK);
}

/* Nothing may overtake what an operation brings, or has brought; and it says how a connection has
 * ended. */
static unsigned wanted_of(const struct eddy_io *io, int res)
{
    unsigned wanted = io->kind == EDDY_IO_WATCH ? io->armed : reactor_interest(io);

    if (has(io, RECV) && (res & (POLLERR | POLLHUP)))
        return 0;
    if (has(io, RECV) || held_last(io) || end_of(io))
        wanted &= ~(unsigned)EDDY_READ;
    return events_of(res) & wanted;
}

static void is_ready(struct uring *u, struct eddy_io *io, int res)
{
    unsigned events = wanted_of(io, res);

    io->backend_word &= ~(uint64_t)NOISY;
    if (!events) {
        io->backend_word |= NOISY;
        set_polled(io, polled_for(io) & ~events_of(res)); /* these changes are over */
    } else if (io->kind == EDDY_IO_WATCH) {
        io->cls->ready(io, events);
    } else {
        size_t n = reactor_serve(&u->r, io, events);

        if (io->fd >= 0) /* else the word is a link */
            note_size(io, n);
    }
}

static void was_polled(struct uring *u, struct eddy_io *io, const struct io_uring_cqe *cqe,
                       bool called_off)
{
    reactor_mark_dirty(&u->r, io);
    if (called_off || cqe->res == -ECANCELED)
        return;
    if (cqe->res >= 0)
        is_ready(u, io, cqe->res);
    else if (io->kind == EDDY_IO_WATCH) /* closed behind our back */
        io->armed = 0;
    else
        reactor_report(&u->r, io, cqe->res);
}

static void finish_close(struct uring *u, struct eddy_io *io)
{
    if (io->kind != EDDY_IO_WATCH && !has(io, CLOSED))
        u->r.sys->cls->close(u->r.sys, io->fd);
    reactor_let_go(&u->r, io);
}

static void finish_close_if_due(struct uring *u, struct eddy_io *io)
{
    if ((io->flags & EDDY_IO_CLOSING) && io->fd >= 0 && !has(io, ALL) && !u->r.base.loop->abandoned)
        finish_close(u, io);
}

/* An operation that was called off before it came to this is as good as not reported. */
static void complete(struct uring *u, const struct io_uring_cqe *cqe)
{
    struct eddy_io *io = (struct eddy_io *)(uintptr_t)(cqe->user_data & ~(uint64_t)ALL);
    unsigned op = (unsigned)cqe->user_data & ALL;
    bool called_off = io && has(io, op << CALLED_OFF);

    if (!io) /* of a cancellation that came too late */
        return;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        io->backend_word &= ~(uint64_t)(op | op << CALLED_OFF | (op == POLL ? CHANGES : 0));
    if (io->flags & EDDY_IO_CANCELLED) {
        if (cqe->flags & IORING_CQE_F_BUFFER)
            ring_give(&u->ring, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    } else if (op == RECV) {
        was_received(u, io, cqe);
    } else {
        was_polled(u, io, cqe, called_off);
    }
    finish_close_if_due(u, io);
}

/* ---- the backend's slots ---- */

/* Closed and gone, or the child's that was closed: nothing refers to them but this list. */
static void forget_gone(struct uring *u)
{
    struct eddy_io **at = &u->leaving, *io;

    while ((io = *at) != NULL) {
        if (io->fd < 0)
            *at = io->dirty_next;
        else
            at = &io->dirty_next;
    }
}

/* Its operations are those of a ring that is no more. Once the descriptor is closed the word is a
 * link. */
static void give_up(struct uring *u, struct eddy_io *io)
{
    if (io->fd < 0)
        return;
    io->backend_word &= ~(uint64_t)(ALL | ALL << CALLED_OFF | CHANGES);
    finish_close_if_due(u, io);
}

/* The kernel knows of nothing now: what was in flight is to be asked for again. */
static void drop_ring(struct uring *u)
{
    struct eddy_loop *loop = u->r.base.loop;
    struct eddy_io *io;

    ring_close(&u->ring);
    for (eddy_fd fd = 0; (io = eddy_loop_find_io(loop, &fd)) != NULL; fd++) {
        give_up(u, io);
        reactor_mark_dirty(&u->r, io);
    }
    /* ... and for those that the table does not name: closed, or empty shells. */
    for (io = NULL; (io = eddy_loop_next_watch(loop, io)) != NULL;)
        give_up(u, io);
    for (io = u->r.dirty; io; io = io->dirty_next)
        give_up(u, io);
    for (io = u->due; io; io = io->dirty_next)
        give_up(u, io);
    while ((io = u->leaving) != NULL) {
        u->leaving = io->dirty_next;
        give_up(u, io);
    }
}

static int renew(struct uring *u)
{
    drop_ring(u);
    int rc = ring_open(&u->ring, u->memory);
    if (rc == 0 && u->rings)
        rc = ring_set_bell(&u->ring, u->bell);
    if (rc < 0) {
        ring_close(&u->ring);
        return rc;
    }
    for (unsigned bid = 0; bid < u->buffers; bid++)
        if (u->held[bid].len == 0)
            ring_give(&u->ring, bid);
    return 0;
}

/* Another thread runs the loop now, which must have a ring of its own. Until somebody enters the
 * ring nothing is received through it: what is to be had of the old one has been reported. */
static int move_here(struct uring *u)
{
    return ring_head(&u->ring) != ring_end(&u->ring) ? 0 : renew(u);
}

static bool is_busy(const struct uring *u)
{
    return u->r.dirty || u->due || u->r.closing || ring_is_due(&u->ring);
}

static int uring_wait(struct eddy_backend *b, eddy_nsec timeout)
{
    struct uring *u = uring_of(b);
    int rc = 0;

    if (u->rings)
        b->sys->cls->drain(b->sys, u->bell);
    if (u->ring.fd < 0) /* it could not be made anew before */
        rc = is_parents(u) ? EDDY_EINVALID_STATE : renew(u);
    if (rc == 0) {
        apply_wishes(u);
        if (is_busy(u))
            timeout = 0;
        if (timeout > 0 || ring_pending(&u->ring) > 0 || ring_is_due(&u->ring))
            rc = ring_enter(&u->ring, timeout);
    }
    if (rc == -EEXIST)
        rc = move_here(u);
    u->end = ring_end(&u->ring); /* of one that is closed: nothing */
    return rc;
}

/* What did not fit into the queue the kernel keeps, for this thread alone: if another one ran the
 * loop next, received bytes would be lost. */
static bool fetch_overflow(struct uring *u)
{
    if (!ring_is_overflown(&u->ring))
        return false;
    ring_enter(&u->ring, 0);
    u->end = ring_end(&u->ring);
    return ring_head(&u->ring) != u->end;
}

static void uring_dispatch(struct eddy_backend *b)
{
    struct uring *u = uring_of(b);
    const bool *abandoned = &b->loop->abandoned;
    struct eddy_io *io;

    while ((io = u->due) != NULL && !*abandoned) {
        u->due = io->dirty_next;
        io->flags &= (uint8_t)~EDDY_IO_DIRTY;
        if (io->flags & EDDY_IO_CANCELLED)
            reactor_mark_dirty(&u->r, io);
        else
            uring_deliver_held(u, io);
    }
    while (!*abandoned && (ring_head(&u->ring) != u->end || fetch_overflow(u))) {
        struct io_uring_cqe cqe = ring_take(&u->ring); /* before a call that may fork */

        complete(u, &cqe);
    }
    if (u->r.closing && !*abandoned) {
        forget_gone(u);
        reactor_quiet_point(&u->r);
    }
}

static bool uring_busy(struct eddy_backend *b)
{
    return is_busy(uring_of(b));
}

/* Not the ring's, whose poll hears nothing of what waits for its thread. */
static int uring_fileno(struct eddy_backend *b)
{
    struct uring *u = uring_of(b);

    if (u->rings)
        return u->bell;
    int rc = ring_set_bell(&u->ring, u->bell);
    if (rc < 0 && rc != -EEXIST) /* which is another thread's: it is set when that changes */
        return rc;
    u->rings = true;
    b->sys->cls->kick(b->sys, u->bell); /* for what is there already */
    return u->bell;
}

static int uring_attach(struct eddy_backend *b, struct eddy_io *io, eddy_fd fd)
{
    int rc = reactor_class.attach(b, io, fd);

    io->backend_word = 0;
    return rc;
}

static int uring_connect(struct eddy_backend *b, struct eddy_io *io, const struct eddy_addr *to,
                         const struct eddy_addr *local)
{
    io->backend_word = 0;
    return reactor_class.connect(b, io, to, local);
}

static void uring_cancel(struct eddy_backend *b, struct eddy_io *io)
{
    struct uring *u = uring_of(b);

    reactor_class.cancel(b, io);
    if (!is_parents(u))
        uring_drop_held(u, io);
}

/* In the kernel when this returns: an operation would keep the descriptor open. */
static void call_off_at_once(struct uring *u, struct eddy_io *io)
{
    if (!has(io, POLL) || is_parents(u) || !has_room(u))
        return;
    call_off(u, io, POLL);
    ring_enter(&u->ring, 0);
}

static void uring_close(struct eddy_backend *b, struct eddy_io *io)
{
    struct uring *u = uring_of(b);

    if (io->flags & EDDY_IO_CLOSING)
        return;
    uring_cancel(b, io);
    io->flags |= EDDY_IO_CLOSING;
    if (!has(io, ALL)) {
        finish_close(u, io);
    } else if (io->kind == EDDY_IO_LISTENER) { /* whose port may be wanted next */
        call_off_at_once(u, io);
        b->sys->cls->close(b->sys, io->fd);
        io->backend_word |= CLOSED;
    }
}

static int uring_watch(struct eddy_backend *b, struct eddy_io *io, unsigned events)
{
    struct uring *u = uring_of(b);

    if (eddy_loop_io(b->loop, io->fd) != io) { /* closed behind our back, and reused */
        io->armed = 0;
        return events ? -EBADF : 0;
    }
    if ((events & ~(unsigned)io->armed) && fcntl(io->fd, F_GETFD) < 0)
        return -errno;
    io->armed = (uint8_t)events;
    reactor_mark_dirty(&u->r, io);
    if (!events) /* the descriptor may be closed next */
        call_off_at_once(u, io);
    return 0;
}

/* ---- its life ---- */

/* What is held was received by the parent, and is the parent's. */
static int uring_forked(struct eddy_backend *b)
{
    struct uring *u = uring_of(b);
    struct eddy_io *io;

    for (eddy_fd fd = 0; (io = eddy_loop_find_io(b->loop, &fd)) != NULL; fd++)
        io->backend_word = 0;
    memset(u->held, 0, sizeof u->held);
    drop_ring(u); /* first of all: whatever fails, nobody may enter the parent's */
    if (u->bell >= 0)
        close(u->bell);
    u->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = u->bell < 0 ? -errno : renew(u);
    return rc < 0 ? rc : reactor_renew(&u->r, false);
}

static void free_all(struct uring *u)
{
    ring_close(&u->ring);
    if (u->bell >= 0)
        close(u->bell);
    eddy_free(u->memory);
    eddy_free(u);
}

static void uring_free(struct eddy_backend *b)
{
    struct uring *u = uring_of(b);

    reactor_close_waker(&u->r);
    free_all(u);
}

static int explain(struct eddy_error *error, int rc)
{
    if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
        return rc;
    return eddy_error_set(error, EDDY_ENOT_SUPPORTED, "new loop", "%s",
                          rc == -ENOSYS ? "this kernel has none"
                          : rc == -EPERM || rc == -EACCES
                              ? "kernel.io_uring_disabled or a seccomp filter forbids it"
                              : "Linux 6.1 or later is needed");
}

static int uring_open(struct eddy_loop *loop, struct eddy_sys *sys, struct eddy_error *error,
                      struct eddy_backend **ret)
{
    struct uring *u = eddy_alloc(sizeof *u);

    (void)sys; /* the loop's: reactor_open looks whose it is */
    if (!u)
        return -ENOMEM;
    memset(&u->r, 0,
           offsetof(struct reactor, events)); /* the buffers are left untouched: no pages */
    memset(&u->ring, 0, sizeof *u - offsetof(struct uring, ring));
    u->ring.fd = -1;
    u->r.cls = eddy_io_uring_backend;
    u->memory = eddy_alloc(RING_BUFFERS * RING_BUFFER_SIZE);
    u->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = !u->memory ? -ENOMEM : u->bell < 0 ? -errno : ring_open(&u->ring, u->memory);
    rc = rc < 0 ? explain(error, rc) : reactor_open(&u->r, loop);
    if (rc == 0) { /* somebody may sleep on our descriptor before the first wait */
        uring_use_more_buffers(u);
        apply_wishes(u);
        rc = ring_enter(&u->ring, 0);
        if (rc < 0)
            reactor_close_waker(&u->r);
    }
    if (rc < 0) {
        free_all(u);
        return rc;
    }
    *ret = &u->r.base;
    return 0;
}

const struct eddy_backend_class eddy_io_uring_backend = {
    .name = "io_uring",
    .abi_size = sizeof(struct eddy_backend_class),
    .open = uring_open,
    .free = uring_free,
    .wait = uring_wait,
    .dispatch = uring_dispatch,
    .forked = uring_forked,
    .fileno = uring_fileno,
    .busy = uring_busy,
    .attach = uring_attach,
    .connect = uring_connect,
    .cancel = uring_cancel,
    .close = uring_close,
    .watch = uring_watch,
};
