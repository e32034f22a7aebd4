/*
 * The reactor: readiness in, completion out. Level-triggered; one recv per event into one shared
 * buffer, and no drain loop (limits: a second recv costs more than a second event).
 *
 * Owned descriptors are found by pointer: their cookie is the io, which stays in memory until the
 * quiet point after it was deregistered. Borrowed ones (watches) may be closed behind our back
 * while a duplicate keeps reporting, so their cookie is descriptor and generation, looked up each
 * time.
 */
#include "framework/backends/reactor.h"

#include "framework/base/alloc.h"

/* ---- cookies ---- */

#define BORROWED 1u /* pointers are even */

static uint64_t cookie_of(const struct eddy_io *io)
{
    if (io->kind == EDDY_IO_WATCH)
        return io->backend_word << 32 | (uint64_t)(uint32_t)io->fd << 1 | BORROWED;
    return (uint64_t)(uintptr_t)io;
}

/* The io of a borrowed descriptor; NULL if that watch is gone. */
static struct eddy_io *find_borrowed(struct reactor *r, uint64_t cookie)
{
    struct eddy_io *io = eddy_loop_io(r->base.loop, (eddy_fd)((uint32_t)cookie >> 1));

    return io && io->kind == EDDY_IO_WATCH && cookie_of(io) == cookie ? io : NULL;
}

/* ---- wishes ---- */

/* In a forked child the kernel's object is the parent's until it is made anew. */
static bool is_parents(const struct reactor *r)
{
    return r->selector->cls->forked && r->base.loop->fork_generation != eddy_fork_generation();
}

static int tell_selector(struct reactor *r, struct eddy_io *io, unsigned now)
{
    int rc = 0;

    if (now == io->armed)
        return 0;
    if (!is_parents(r))
        rc = r->selector->cls->set(r->selector, io->fd, cookie_of(io), io->armed, now);
    if (rc == 0 || now == 0)
        io->armed = (uint8_t)now;
    return rc;
}

static void apply_wishes(struct reactor *r)
{
    struct eddy_io *io;

    while ((io = r->dirty) != NULL) {
        r->dirty = io->dirty_next;
        if (EDDY_LIKELY(tell_selector(r, io, reactor_interest(io)) == 0)) {
            io->flags &= (uint8_t)~EDDY_IO_DIRTY;
            continue;
        }
        io->dirty_next = r->refused; /* stays marked */
        r->refused = io;
    }
}

/* ---- upcalls ---- */

static void connect_ends(struct reactor *r, struct eddy_io *io, int err)
{
    io->flags &= (uint8_t)~EDDY_IO_CONNECTING;
    reactor_mark_dirty(r, io);
    io->cls->connected(io, err);
}

void reactor_read_ends(struct reactor *r, struct eddy_io *io, ssize_t why)
{
    reactor_stop_wanting(r, io, EDDY_READ);
    io->cls->received(io, NULL, why);
}

static void accept_some(struct reactor *r, struct eddy_io *io)
{
    unsigned most = io->cls->batch(io);
    struct eddy_addr peer;

    while (most-- > 0 && (io->want & EDDY_READ) && !r->base.loop->abandoned) {
        int fd = r->sys->cls->accept(r->sys, io->fd, &peer);

        if (fd == -EAGAIN)
            return;
        if (fd == -ECONNABORTED || fd == -EPROTO) /* gone before we came */
            continue;
        io->cls->accepted(io, fd, fd >= 0 ? &peer : NULL);
        if (fd < 0)
            return;
    }
}

static size_t read_into(struct reactor *r, struct eddy_io *io, void *area, size_t room)
{
    ssize_t n = io->flags & EDDY_IO_OWN_CALLS ? io->cls->recv(io, area, room)
                                              : r->sys->cls->recv(r->sys, io->fd, area, room);

    if (n > 0)
        io->cls->received(io, area, n);
    else if (n != -EAGAIN)
        reactor_read_ends(r, io, n);
    return n > 0 ? (size_t)n : 0;
}

static size_t read_into_own(struct reactor *r, struct eddy_io *io)
{
    void *area = NULL;
    size_t room = io->cls->get_buffer(io, READ_SIZE, &area);

    if (room == 0 || !(io->want & EDDY_READ))
        return 0;
    return read_into(r, io, area, room < READ_SIZE ? room : READ_SIZE);
}

/* Neither is tried again after EINTR: the event comes again, or the queue is pulled. */
static EDDY_COLD ssize_t failed_call(void)
{
    return errno == EINTR ? -EAGAIN : -errno;
}

/* The straight line: a stream that reads into our buffer. */
static inline size_t serve_stream(struct reactor *r, struct eddy_io *io)
{
    ssize_t n;

    if (EDDY_LIKELY(r->posix)) {
        n = recv(io->fd, r->buffer, READ_SIZE, 0);
        if (EDDY_UNLIKELY(n < 0))
            n = failed_call();
    } else {
        n = r->sys->cls->recv(r->sys, io->fd, r->buffer, READ_SIZE);
    }
    if (EDDY_LIKELY(n > 0)) {
        io->cls->received(io, r->buffer, n);
        return (size_t)n;
    }
    if (n != -EAGAIN)
        reactor_read_ends(r, io, n);
    return 0;
}

static EDDY_NOINLINE size_t serve_read(struct reactor *r, struct eddy_io *io)
{
    if (EDDY_UNLIKELY(io->kind == EDDY_IO_LISTENER)) {
        accept_some(r, io);
        return 0;
    }
    if (EDDY_UNLIKELY(io->kind == EDDY_IO_DATAGRAM)) {
        reactor_serve_datagrams(r, io);
        return 0;
    }
    if (EDDY_UNLIKELY(io->flags & EDDY_IO_OWNBUF))
        return read_into_own(r, io);
    if (EDDY_UNLIKELY(io->flags & EDDY_IO_OWN_CALLS))
        return read_into(r, io, r->buffer, READ_SIZE);
    return serve_stream(r, io);
}

static ssize_t send_pieces(struct reactor *r, struct eddy_io *io, const struct iovec *iov, int n)
{
    if (EDDY_UNLIKELY(io->flags & EDDY_IO_OWN_CALLS))
        return io->cls->sendv(io, iov, n);
    return r->sys->cls->sendv(r->sys, io->fd, iov, n);
}

/* False: no more now. */
static bool send_output(struct reactor *r, struct eddy_io *io, const struct iovec *iov, int n)
{
    ssize_t sent;

    if (n < 0) { /* it sends by itself */
        io->cls->writable(io);
        return true;
    }
    sent = send_pieces(r, io, iov, n);
    if (sent == -EAGAIN)
        return false;
    if (sent < 0)
        reactor_stop_wanting(r, io, EDDY_WRITE);
    io->cls->sent(io, sent);
    return true;
}

static EDDY_NOINLINE void serve_write(struct reactor *r, struct eddy_io *io)
{
    struct iovec iov[MAX_IOV];

    if (io->flags & EDDY_IO_CONNECTING) {
        connect_ends(r, io, r->sys->cls->error(r->sys, io->fd));
        return;
    }
    if (io->kind == EDDY_IO_DATAGRAM) {
        reactor_stop_wanting(r, io, EDDY_WRITE);
        io->cls->writable(io);
        return;
    }
    int n = io->cls->output(io, iov, MAX_IOV);
    if (n != 0 && (io->want & EDDY_WRITE)) {
        if (!send_output(r, io, iov, n) || !(io->want & EDDY_WRITE))
            return;
        n = io->cls->output(io, iov, MAX_IOV);
    }
    if (n == 0 && (io->want & EDDY_WRITE))
        reactor_stop_wanting(r, io, EDDY_WRITE);
}

size_t reactor_serve(struct reactor *r, struct eddy_io *io, unsigned events)
{
    size_t n = 0;

    if (events & io->want & EDDY_READ)
        n = serve_read(r, io);
    if ((events & EDDY_WRITE & reactor_interest(io)) && !r->base.loop->abandoned)
        serve_write(r, io);
    return n;
}

void reactor_report(struct reactor *r, struct eddy_io *io, int error)
{
    if (!reactor_interest(io)) /* by now: nobody waits for the answer */
        return;
    if (io->flags & EDDY_IO_CONNECTING) {
        connect_ends(r, io, error);
    } else if (io->kind == EDDY_IO_LISTENER) {
        io->cls->accepted(io, error, NULL);
    } else if (io->want & EDDY_WRITE) {
        reactor_stop_wanting(r, io, EDDY_WRITE);
        io->cls->sent(io, error);
    } else {
        reactor_read_ends(r, io, error);
    }
}

/* The selector refused this one: unless it works now, its operation says so. */
static void serve_refused(struct reactor *r, struct eddy_io *io)
{
    int rc = tell_selector(r, io, reactor_interest(io));

    io->flags &= (uint8_t)~EDDY_IO_DIRTY;
    if (rc < 0)
        reactor_report(r, io, rc);
}

/* All but the straight line. */
static EDDY_NOINLINE void serve_other(struct reactor *r, const struct eddy_selector_event *e)
{
    struct eddy_io *io;

    if (!(e->cookie & BORROWED)) {
        reactor_serve(r, (struct eddy_io *)(uintptr_t)e->cookie, e->events);
        return;
    }
    io = find_borrowed(r, e->cookie);
    if (io && (e->events & io->armed))
        io->cls->ready(io, e->events & io->armed);
}

void reactor_forget_closed(struct reactor *r)
{
    struct eddy_io **at = &r->dirty, *io;

    while ((io = *at) != NULL) {
        if (io->fd < 0)
            *at = io->dirty_next;
        else
            at = &io->dirty_next;
    }
}

/* No frame below refers to any io: those that are closed go. Their `closed` may close others. */
EDDY_NOINLINE void reactor_quiet_point(struct reactor *r)
{
    struct eddy_io *io, *next;

    while ((io = r->closing) != NULL) {
        r->closing = NULL;
        reactor_forget_closed(r);
        for (; io; io = next) {
            next = (struct eddy_io *)(uintptr_t)io->backend_word;
            io->cls->closed(io);
        }
    }
}

static void reactor_dispatch(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;
    const struct eddy_selector_event *e = r->events, *end = e + r->count;
    const bool *abandoned = &b->loop->abandoned;
    struct eddy_io *io;

    r->count = 0;
    for (; e < end && EDDY_LIKELY(!*abandoned); e++) {
        io = (struct eddy_io *)(uintptr_t)e->cookie;
        if (EDDY_LIKELY(e->events == EDDY_READ && !(e->cookie & BORROWED) &&
                        (io->want & EDDY_READ) && !(io->flags & OWNERS_FLAGS)))
            serve_stream(r, io);
        else
            serve_other(r, e);
    }
    while ((io = r->refused) != NULL && !*abandoned) {
        r->refused = io->dirty_next;
        serve_refused(r, io);
    }
    if (r->closing && !*abandoned)
        reactor_quiet_point(r);
}

/* ---- downcalls ---- */

static int reactor_wait(struct eddy_backend *b, eddy_nsec timeout)
{
    struct reactor *r = (struct reactor *)b;

    if (r->dirty)
        apply_wishes(r);
    if (r->closing || r->refused)
        timeout = 0;
    int n = r->selector->cls->wait(r->selector, timeout, r->events, MAX_EVENTS);
    r->count = n < 0 ? 0 : n;
    return n < 0 ? n : 0;
}

static eddy_nsec reactor_now(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    return r->sys->cls->now(r->sys);
}

static void reactor_wake(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    r->sys->cls->kick(r->sys, r->waker_fds[1]);
}

static int reactor_fileno(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    return r->selector->cls->fileno ? r->selector->cls->fileno(r->selector) : EDDY_ENOT_SUPPORTED;
}

static bool reactor_busy(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    return r->dirty || r->closing || r->refused;
}

static int fits(struct reactor *r, eddy_fd fd)
{
    const struct eddy_selector *s = r->selector;

    return s && s->cls->fits ? s->cls->fits(r->selector, fd) : 0;
}

static int reactor_forked(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;
    bool anew = r->selector->cls->forked != NULL;
    int rc = anew ? r->selector->cls->forked(r->selector) : 0;

    if (rc < 0)
        return rc;
    if (!anew)
        tell_selector(r, &r->waker, 0);
    return reactor_renew(r, anew);
}

static void reactor_free(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    reactor_close_waker(r);
    eddy_selector_free(r->selector);
    eddy_free(r);
}

static int reactor_attach(struct eddy_backend *b, struct eddy_io *io, eddy_fd fd)
{
    struct reactor *r = (struct reactor *)b;
    int rc = fits(r, fd);

    if (rc < 0)
        return rc;
    io->fd = fd;
    io->armed = 0;
    io->flags &= OWNERS_FLAGS;
    if (io->kind == EDDY_IO_WATCH)
        io->backend_word = r->generation++;
    else if (io->want)
        reactor_mark_dirty(r, io);
    return 0;
}

static int bind_local(struct reactor *r, eddy_fd fd, const struct eddy_addr *local)
{
#ifdef IP_BIND_ADDRESS_NO_PORT
    /* The kernel then chooses the port by both ends: 28,000 connections per pair, not per source.
     */
    if (eddy_addr_port(local) == 0)
        r->sys->cls->setsockopt(r->sys, fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
#endif
    return r->sys->cls->bind(r->sys, fd, local);
}

static int reactor_connect(struct eddy_backend *b, struct eddy_io *io, const struct eddy_addr *to,
                           const struct eddy_addr *local)
{
    struct reactor *r = (struct reactor *)b;
    int fd = r->sys->cls->socket(r->sys, to->u.sa.sa_family, SOCK_STREAM, 0);

    if (fd < 0)
        return fd;
    int rc = fits(r, fd) < 0 ? -EMFILE : eddy_loop_reserve_fd(b->loop, fd);
    if (rc == 0 && local)
        rc = bind_local(r, fd, local);
    if (rc == 0)
        rc = r->sys->cls->connect(r->sys, fd, to);
    if (rc < 0 && rc != -EINPROGRESS) {
        r->sys->cls->close(r->sys, fd);
        return rc;
    }
    io->fd = fd;
    io->armed = 0;
    io->flags = (uint8_t)((io->flags & OWNERS_FLAGS) | EDDY_IO_CONNECTING);
    reactor_mark_dirty(r, io);
    return 0;
}

static void reactor_cancel(struct eddy_backend *b, struct eddy_io *io)
{
    io->flags |= EDDY_IO_CANCELLED;
    reactor_stop_wanting((struct reactor *)b, io, EDDY_READ | EDDY_WRITE);
}

void reactor_let_go(struct reactor *r, struct eddy_io *io)
{
    io->fd = -1;
    io->backend_word = (uint64_t)(uintptr_t)r->closing;
    r->closing = io;
}

static void reactor_close(struct eddy_backend *b, struct eddy_io *io)
{
    struct reactor *r = (struct reactor *)b;

    if (io->flags & EDDY_IO_CLOSING)
        return;
    io->flags |= EDDY_IO_CANCELLED | EDDY_IO_CLOSING;
    io->want = 0;
    if (io->kind != EDDY_IO_WATCH) {
        tell_selector(r, io,
                      0); /* unregister, then close: a duplicate elsewhere would keep reporting */
        r->sys->cls->close(r->sys, io->fd);
    }
    reactor_let_go(r, io);
}

static void reactor_read_start(struct eddy_backend *b, struct eddy_io *io)
{
    io->want |= EDDY_READ;
    reactor_mark_dirty((struct reactor *)b, io);
}

static void reactor_read_stop(struct eddy_backend *b, struct eddy_io *io)
{
    reactor_stop_wanting((struct reactor *)b, io, EDDY_READ);
}

static void reactor_send_start(struct eddy_backend *b, struct eddy_io *io)
{
    io->want |= EDDY_WRITE;
    reactor_mark_dirty((struct reactor *)b, io);
}

static ssize_t reactor_try_send(struct eddy_io *io, const void *data, size_t len)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->send(sys, io->fd, data, len);
}

ssize_t reactor_posix_try_send(struct eddy_io *io, const void *data, size_t len)
{
    ssize_t n = send(io->fd, data, len, MSG_NOSIGNAL);

    return EDDY_LIKELY(n >= 0) ? n : failed_call();
}

static ssize_t reactor_try_sendv(struct eddy_io *io, const struct iovec *iov, int n)
{
    return send_pieces((struct reactor *)io->loop->backend, io, iov, n);
}

static ssize_t reactor_try_sendfile(struct eddy_io *io, eddy_fd file, int64_t offset, size_t len)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->sendfile ? sys->cls->sendfile(sys, io->fd, file, offset, len) : -ENOSYS;
}

static int reactor_shutdown(struct eddy_backend *b, struct eddy_io *io)
{
    struct reactor *r = (struct reactor *)b;

    return r->sys->cls->shutdown(r->sys, io->fd, SHUT_WR);
}

static int reactor_watch(struct eddy_backend *b, struct eddy_io *io, unsigned events)
{
    struct reactor *r = (struct reactor *)b;

    if (eddy_loop_io(r->base.loop, io->fd) != io) { /* closed behind our back, and reused */
        io->armed = 0;
        return events ? -EBADF : 0;
    }
    return tell_selector(r, io, events);
}

const struct eddy_backend_class reactor_class = {
    .abi_size = sizeof(struct eddy_backend_class),
    .free = reactor_free,
    .now = reactor_now,
    .wait = reactor_wait,
    .dispatch = reactor_dispatch,
    .wake = reactor_wake,
    .forked = reactor_forked,
    .fileno = reactor_fileno,
    .busy = reactor_busy,
    .attach = reactor_attach,
    .connect = reactor_connect,
    .cancel = reactor_cancel,
    .close = reactor_close,
    .read_start = reactor_read_start,
    .read_stop = reactor_read_stop,
    .try_send = reactor_try_send,
    .try_sendv = reactor_try_sendv,
    .try_sendfile = reactor_try_sendfile,
    .send_start = reactor_send_start,
    .try_send_messages = reactor_try_send_messages,
    .shutdown = reactor_shutdown,
    .watch = reactor_watch,
};
