/*
 * A completion backend at its worst, to the letter of backend.h: what has been taken from the
 * kernel is told later, what is stopped has gone on, what is cancelled takes a while to leave and
 * keeps its memory, try_send refuses at will, and lent bytes are overwritten as soon as they are
 * given back.
 */
#include "framework/backends/sim/late.h"
#include "framework/base/alloc.h"
#include <string.h>

static struct late *self(struct eddy_backend *b)
{
    return EDDY_CONTAINER_OF(b, struct late, base);
}

static struct late_io *of(const struct eddy_io *io)
{
    return (struct late_io *)(uintptr_t)io->backend_word;
}

static bool silent(const struct late_io *li)
{
    return (li->io->flags & EDDY_IO_CANCELLED) != 0;
}

/* ---- upcalls ---- */

static void tell_connected(struct late_io *li)
{
    li->connecting = LATE_IDLE;
    li->io->flags &= (uint8_t)~EDDY_IO_CONNECTING;
    if (li->connect_error < 0)
        li->read_ended = true;
    li->io->cls->connected(li->io, li->connect_error);
}

static void tell_read_end(struct late_io *li)
{
    li->reading = LATE_IDLE;
    li->read_ended = true;
    li->io->want &= (uint8_t)~EDDY_READ;
    li->io->cls->received(li->io, NULL, li->read_result);
}

/* Hands over the next part of what was read; false: nobody wants it now. */
static bool tell_bytes(struct late_io *li)
{
    struct eddy_io *io = li->io;
    uint8_t *from = li->buffer + li->read_at;
    size_t left = (size_t)li->read_result - li->read_at, n = left;
    void *area = from;

    if (io->flags & EDDY_IO_OWNBUF) {
        n = io->cls->get_buffer(io, left, &area);
        if (n == 0 || silent(li) || !(io->want & EDDY_READ))
            return false;
        if (n > left)
            n = left;
        memcpy(area, from, n);
    }
    li->read_at += n;
    if (n == left)
        li->reading = LATE_IDLE;
    io->cls->received(io, area, (ssize_t)n);
    memset(from, 0xdd, n);
    return true;
}

/* One message, or an error. */
static void tell_message(struct late_io *li)
{
    const struct eddy_message *m = &li->message;

    li->reading = LATE_IDLE;
    if (li->read_result < 0)
        li->io->cls->datagram(li->io, m->addr.len ? m : NULL, (int)li->read_result);
    else
        li->io->cls->datagram(li->io, m, 0);
    if (m->len <= LATE_MESSAGE)
        memset(m->data, 0xdd, m->len);
}

static void tell_read(struct late_io *li)
{
    if (li->io->kind == EDDY_IO_DATAGRAM) {
        if ((li->io->want & EDDY_READ) && !silent(li))
            tell_message(li);
        return;
    }
    while (li->reading == LATE_DONE && (li->io->want & EDDY_READ) && !silent(li)) {
        if (li->read_result <= 0)
            tell_read_end(li);
        else if (!tell_bytes(li))
            return;
    }
}

static void ask_output(struct late_io *li)
{
    struct eddy_io *io = li->io;
    int n = io->cls->output(io, li->pieces, LATE_PIECES);

    if (silent(li))
        return;
    li->writing = LATE_IDLE;
    if (n <= 0) {
        io->want &= (uint8_t)~EDDY_WRITE;
    } else if (io->want & EDDY_WRITE) {
        li->piece_count = n;
        li->checksum = eddy_sim_late_checksum(li);
        li->writing = LATE_WAITING;
    }
}

static void tell_sent(struct late_io *li)
{
    if (li->io->kind == EDDY_IO_DATAGRAM) {
        li->writing = LATE_IDLE;
        li->io->want &= (uint8_t)~EDDY_WRITE;
        li->io->cls->writable(li->io);
        return;
    }
    eddy_sim_late_check_pinned(li);
    li->writing = LATE_IDLE;
    if (li->write_result < 0)
        li->io->want &= (uint8_t)~EDDY_WRITE;
    li->io->cls->sent(li->io, li->write_result);
}

static void tell_accepts(struct late_io *li)
{
    struct late_accept a;

    while (li->accept_count > 0 && (li->io->want & EDDY_READ)) {
        a = li->accepts[0];
        li->accept_count--;
        memmove(li->accepts, li->accepts + 1, (size_t)li->accept_count * sizeof(a));
        li->io->cls->accepted(li->io, a.result, a.result < 0 ? NULL : &a.peer);
    }
}

static void tell(struct late_io *li)
{
    eddy_nsec now = li->late->sim->now;
    unsigned events = li->ready & li->io->armed;

    li->ready = 0;
    if (events && !silent(li))
        li->io->cls->ready(li->io, events);
    if (li->connecting == LATE_DONE && li->connect_due <= now && !silent(li))
        tell_connected(li);
    if (li->reading == LATE_DONE && li->read_due <= now)
        tell_read(li);
    if (li->writing == LATE_DONE && li->write_due <= now && !silent(li))
        tell_sent(li);
    if (li->writing == LATE_ASKING && !silent(li))
        ask_output(li);
    if (li->accept_count > 0 && li->accept_due <= now)
        tell_accepts(li);
}

/* ---- the end of an io ---- */

static void close_descriptors(struct late_io *li)
{
    struct eddy_sys *sys = &li->late->sim->sys;
    int i;

    for (i = 0; i < li->accept_count; i++) {
        if (li->accepts[i].result >= 0)
            sys->cls->close(sys, li->accepts[i].result);
    }
    li->accept_count = 0;
    if (li->io->kind != EDDY_IO_WATCH && li->io->fd >= 0)
        sys->cls->close(sys, li->io->fd);
    li->io->fd = -1;
}

static void quiet_point(struct late *late)
{
    struct eddy_link gone, *link, *next;
    struct late_io *li;
    struct eddy_io *io;

    eddy_list_init(&gone);
    for (link = late->ios.next; link != &late->ios && late->closing > 0; link = next) {
        next = link->next;
        li = EDDY_CONTAINER_OF(link, struct late_io, link);
        if (!(li->io->flags & EDDY_IO_CLOSING) || li->leaving > 0)
            continue;
        eddy_link_remove(link);
        eddy_list_append(&gone, link);
    }
    while ((link = eddy_list_pop(&gone)) != NULL) {
        li = EDDY_CONTAINER_OF(link, struct late_io, link);
        io = li->io;
        late->closing--;
        close_descriptors(li);
        eddy_free(li->message.data);
        eddy_free(li);
        io->cls->closed(io);
    }
}

/* ---- waiting ---- */

static eddy_nsec progress_all(struct late *late)
{
    eddy_nsec next = EDDY_FOREVER, due;
    struct eddy_link *link;
    struct late_io *li;

    for (link = late->ios.next; link != &late->ios; link = link->next) {
        li = EDDY_CONTAINER_OF(link, struct late_io, link);
        eddy_sim_late_progress(li);
        due = eddy_sim_late_next(li);
        if (due < next)
            next = due;
    }
    return next;
}

static int late_wait(struct eddy_backend *b, eddy_nsec timeout)
{
    struct late *late = self(b);
    struct eddy_sim *sim = late->sim;
    eddy_nsec until = eddy_sim_after(sim, timeout), next;
    int r = eddy_sim_called(sim, EDDY_SIM_SELECT_WAIT);

    if (r < 0)
        return r;
    sim->stats.waits++;
    eddy_sim_run_due(sim);
    for (;;) {
        next = progress_all(late);
        if (atomic_exchange(&late->kicked, false))
            return 0;
        if (!eddy_list_empty(&late->due))
            return timeout > 0 ? eddy_sim_count_spin(sim) : 0;
        if (late->closing > 0 || sim->now >= until)
            return 0;
        r = eddy_sim_sleep(sim, next < until ? next : until);
        if (r < 0)
            return r;
    }
}

static void late_dispatch(struct eddy_backend *b)
{
    struct late *late = self(b);
    struct eddy_link *link;

    while ((link = eddy_list_pop(&late->due)) != NULL)
        tell(EDDY_CONTAINER_OF(link, struct late_io, due_link));
    quiet_point(late);
}

static void late_wake(struct eddy_backend *b)
{
    atomic_store(&self(b)->kicked, true);
}

static eddy_nsec late_now(struct eddy_backend *b)
{
    return self(b)->sim->now;
}

/* Nothing is the kernel's: the child's copy is its own. */
static int late_forked(struct eddy_backend *b)
{
    (void)b;
    return 0;
}

static int late_fileno(struct eddy_backend *b)
{
    (void)b;
    return EDDY_ENOT_SUPPORTED;
}

/* ---- downcalls ---- */

static struct late_io *late_io_new(struct late *late, struct eddy_io *io)
{
    struct late_io *li = eddy_alloc(sizeof(*li));

    if (li == NULL)
        return NULL;
    memset(li, 0, offsetof(struct late_io, buffer));
    li->late = late;
    li->io = io;
    eddy_list_append(&late->ios, &li->link);
    io->armed = 0;
    io->flags &= EDDY_IO_OWNBUF;
    io->backend_word = (uint64_t)(uintptr_t)li;
    return li;
}

static int late_attach(struct eddy_backend *b, struct eddy_io *io, eddy_fd fd)
{
    struct late *late = self(b);
    const struct sim_sock *s = eddy_sim_sock(late->sim, fd);
    struct late_io *li;

    if (s == NULL)
        return -EBADF;
    li = late_io_new(late, io);
    if (li == NULL)
        return -ENOMEM;
    if (io->kind == EDDY_IO_DATAGRAM) {
        li->message.data = eddy_alloc(LATE_MESSAGE);
        if (li->message.data == NULL) {
            eddy_link_remove(&li->link);
            eddy_free(li);
            return -ENOMEM;
        }
    }
    li->generation = s->generation;
    io->fd = fd;
    return 0;
}

/* A socket that connects, or -errno. *ret_error: what connect said, of which the upcall may tell.
 */
static int begin_connect(struct eddy_sim *sim, const struct eddy_addr *to,
                         const struct eddy_addr *local, int *ret_error)
{
    struct eddy_sys *sys = &sim->sys;
    int fd = sys->cls->socket(sys, to->u.sa.sa_family, SOCK_STREAM, 0), r = 0;

    if (fd < 0)
        return fd;
    if (local)
        r = sys->cls->bind(sys, fd, local);
    if (r == 0) {
        *ret_error = sys->cls->connect(sys, fd, to);
        if (*ret_error == 0 || *ret_error == -EINPROGRESS || eddy_sim_random(sim, 2) == 0)
            return fd;
        r = *ret_error;
    }
    sys->cls->close(sys, fd);
    return r;
}

static int late_connect(struct eddy_backend *b, struct eddy_io *io, const struct eddy_addr *to,
                        const struct eddy_addr *local)
{
    struct late *late = self(b);
    struct late_io *li = late_io_new(late, io);
    int fd, error = 0;

    if (li == NULL)
        return -ENOMEM;
    fd = begin_connect(late->sim, to, local, &error);
    if (fd < 0) {
        eddy_link_remove(&li->link);
        eddy_free(li);
        return fd;
    }
    io->fd = fd;
    io->flags |= EDDY_IO_CONNECTING;
    li->connecting = error == -EINPROGRESS ? LATE_WAITING : LATE_DONE;
    li->connect_error = error == -EINPROGRESS ? 0 : error;
    li->connect_due = eddy_sim_late_time(li);
    return 0;
}

static void late_cancel(struct eddy_backend *b, struct eddy_io *io)
{
    struct late_io *li = of(io);

    if (silent(li))
        return;
    io->flags |= EDDY_IO_CANCELLED;
    io->want = 0;
    if (li->connecting != LATE_IDLE || li->reading != LATE_IDLE || li->writing > LATE_ASKING)
        li->leaving = 1 + (unsigned)eddy_sim_random(self(b)->sim, 4);
}

static void late_close(struct eddy_backend *b, struct eddy_io *io)
{
    if (io->flags & EDDY_IO_CLOSING)
        return;
    late_cancel(b, io);
    io->flags |= EDDY_IO_CLOSING;
    self(b)->closing++;
    if (io->kind == EDDY_IO_LISTENER) /* whose port may be wanted next */
        close_descriptors(of(io));
}

static void late_read_start(struct eddy_backend *b, struct eddy_io *io)
{
    const struct late_io *li = of(io);

    (void)b;
    if (!silent(li) && !li->read_ended)
        io->want |= EDDY_READ;
}

static void late_read_stop(struct eddy_backend *b, struct eddy_io *io)
{
    (void)b;
    io->want &= (uint8_t)~EDDY_READ;
}

static void late_send_start(struct eddy_backend *b, struct eddy_io *io)
{
    (void)b;
    if (!(io->flags & EDDY_IO_CANCELLED))
        io->want |= EDDY_WRITE;
}

static ssize_t late_try_sendv(struct eddy_io *io, const struct iovec *iov, int n)
{
    struct late_io *li = of(io);
    struct eddy_sim *sim = li->late->sim;

    if (li->writing > LATE_ASKING) {
        eddy_sim_violate(sim, "try_send while output is pending");
        return -EAGAIN;
    }
    if (eddy_sim_chance(sim, sim->opts.late_eagain))
        return -EAGAIN;
    return sim->sys.cls->sendv(&sim->sys, io->fd, iov, n);
}

static ssize_t late_try_send(struct eddy_io *io, const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } base = {.in = data};
    struct iovec iov = {base.out, len};

    return late_try_sendv(io, &iov, 1);
}

static int late_try_send_messages(struct eddy_io *io, const struct eddy_message *m, int n)
{
    struct eddy_sim *sim = of(io)->late->sim;

    if (eddy_sim_chance(sim, sim->opts.late_eagain))
        return -EAGAIN;
    return sim->sys.cls->send_messages(&sim->sys, io->fd, m, n);
}

static int late_shutdown(struct eddy_backend *b, struct eddy_io *io)
{
    struct eddy_sim *sim = self(b)->sim;

    if (of(io)->writing > LATE_ASKING)
        eddy_sim_violate(sim, "shutdown while output is pending");
    return sim->sys.cls->shutdown(&sim->sys, io->fd, SHUT_WR);
}

static int late_watch(struct eddy_backend *b, struct eddy_io *io, unsigned events)
{
    struct eddy_sim *sim = self(b)->sim;
    const struct sim_sock *s = eddy_sim_sock(sim, io->fd);
    int r;

    if (events & ~(unsigned)io->armed) {
        r = eddy_sim_called(sim, EDDY_SIM_SELECT_SET);
        if (r < 0)
            return r;
        if (s == NULL || s->generation != of(io)->generation)
            return -EBADF;
    }
    io->armed = (uint8_t)events;
    return 0;
}

/* ---- the backend ---- */

static void late_free(struct eddy_backend *b)
{
    eddy_free(self(b));
}

static int late_open(struct eddy_loop *loop, struct eddy_sys *sys, struct eddy_error *error,
                     struct eddy_backend **ret)
{
    struct late *late;

    (void)error;
    if (sys->cls != &eddy_sim_sys_class)
        return -EINVAL;
    late = eddy_zalloc(sizeof(*late));
    if (late == NULL)
        return -ENOMEM;
    late->base.cls = eddy_sim_late_backend();
    late->base.loop = loop;
    late->base.sys = sys;
    late->sim = EDDY_CONTAINER_OF(sys, struct eddy_sim, sys);
    eddy_list_init(&late->ios);
    eddy_list_init(&late->due);
    *ret = &late->base;
    return 0;
}

static const struct eddy_backend_class late_class = {
    .name = "sim-late",
    .abi_size = sizeof(struct eddy_backend_class),
    .open = late_open,
    .free = late_free,
    .now = late_now,
    .wait = late_wait,
    .dispatch = late_dispatch,
    .wake = late_wake,
    .forked = late_forked,
    .fileno = late_fileno,
    .attach = late_attach,
    .connect = late_connect,
    .cancel = late_cancel,
    .close = late_close,
    .read_start = late_read_start,
    .read_stop = late_read_stop,
    .try_send = late_try_send,
    .try_sendv = late_try_sendv,
    .send_start = late_send_start,
    .try_send_messages = late_try_send_messages,
    .shutdown = late_shutdown,
    .watch = late_watch,
};

const struct eddy_backend_class *eddy_sim_late_backend(void)
{
    return &late_class;
}
