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
#include "framework/loop/loop.h"
#include <string.h>

#define READ_SIZE (256 * 1024)
#define MAX_EVENTS 512
#define MAX_IOV 64

struct reactor {
    struct eddy_backend base;
    struct eddy_backend_class cls; /* under the selector's name */
    struct eddy_sys *sys;
    bool posix; /* sys is the system itself: recv and send are called without its table */
    struct eddy_selector *selector;
    struct eddy_io *dirty;   /* want and armed differ, by dirty_next */
    struct eddy_io *refused; /* the selector would not take them, by dirty_next */
    struct eddy_io *closing; /* `closed` is owed, by backend_word */
    struct eddy_io waker;    /* holds the wake-up's place in the loop's table */
    eddy_fd waker_fds[2];
    uint32_t generation;
    int count;
    struct eddy_selector_event events[MAX_EVENTS];
    uint8_t buffer[READ_SIZE];
};

/* ---- cookies ---- */

#define WAKER_COOKIE UINT64_MAX
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

static void mark_dirty(struct reactor *r, struct eddy_io *io)
{
    if (io->flags & EDDY_IO_DIRTY)
        return;
    io->flags |= EDDY_IO_DIRTY;
    io->dirty_next = r->dirty;
    r->dirty = io;
}

static unsigned interest(const struct eddy_io *io)
{
    if (io->flags & EDDY_IO_CANCELLED)
        return 0;
    return io->flags & EDDY_IO_CONNECTING ? (unsigned)EDDY_WRITE : io->want;
}

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
        if (EDDY_LIKELY(tell_selector(r, io, interest(io)) == 0)) {
            io->flags &= (uint8_t)~EDDY_IO_DIRTY;
            continue;
        }
        io->dirty_next = r->refused; /* stays marked */
        r->refused = io;
    }
}

static void stop_wanting(struct reactor *r, struct eddy_io *io, unsigned bits)
{
    io->want &= (uint8_t)~bits;
    mark_dirty(r, io);
}

/* ---- upcalls ---- */

static void connect_ends(struct reactor *r, struct eddy_io *io, int err)
{
    io->flags &= (uint8_t)~EDDY_IO_CONNECTING;
    mark_dirty(r, io);
    io->cls->connected(io, err);
}

static void read_ends(struct reactor *r, struct eddy_io *io, ssize_t why)
{
    stop_wanting(r, io, EDDY_READ);
    io->cls->received(io, NULL, why);
}

static void accept_some(struct reactor *r, struct eddy_io *io)
{
    uint64_t most = io->backend_word;
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

static void read_into_own(struct reactor *r, struct eddy_io *io)
{
    void *area = NULL;
    size_t room = io->cls->get_buffer(io, READ_SIZE, &area);

    if (room == 0 || !(io->want & EDDY_READ))
        return;
    ssize_t n = r->sys->cls->recv(r->sys, io->fd, area, room < READ_SIZE ? room : READ_SIZE);
    if (n > 0)
        io->cls->received(io, area, n);
    else if (n != -EAGAIN)
        read_ends(r, io, n);
}

/* Neither is tried again after EINTR: the event comes again, or the queue is pulled. */
static EDDY_COLD ssize_t failed_call(void)
{
    return errno == EINTR ? -EAGAIN : -errno;
}

/* The straight line: a stream that reads into our buffer. */
static inline void serve_stream(struct reactor *r, struct eddy_io *io)
{
    ssize_t n;

    if (EDDY_LIKELY(r->posix)) {
        n = recv(io->fd, r->buffer, READ_SIZE, 0);
        if (EDDY_UNLIKELY(n < 0))
            n = failed_call();
    } else {
        n = r->sys->cls->recv(r->sys, io->fd, r->buffer, READ_SIZE);
    }
    if (EDDY_LIKELY(n > 0))
        io->cls->received(io, r->buffer, n);
    else if (n != -EAGAIN)
        read_ends(r, io, n);
}

static EDDY_NOINLINE void serve_read(struct reactor *r, struct eddy_io *io)
{
    if (EDDY_UNLIKELY(io->kind == EDDY_IO_LISTENER)) {
        accept_some(r, io);
        return;
    }
    if (EDDY_UNLIKELY(io->flags & EDDY_IO_OWNBUF)) {
        read_into_own(r, io);
        return;
    }
    serve_stream(r, io);
}

static EDDY_NOINLINE void serve_write(struct reactor *r, struct eddy_io *io)
{
    struct iovec iov[MAX_IOV];

    if (io->flags & EDDY_IO_CONNECTING) {
        connect_ends(r, io, r->sys->cls->error(r->sys, io->fd));
        return;
    }
    int n = io->cls->output(io, iov, MAX_IOV);
    if (n > 0 && (io->want & EDDY_WRITE)) {
        ssize_t sent = r->sys->cls->sendv(r->sys, io->fd, iov, n);
        if (sent == -EAGAIN)
            return;
        if (sent < 0)
            stop_wanting(r, io, EDDY_WRITE);
        io->cls->sent(io, sent);
        if (!(io->want & EDDY_WRITE))
            return;
        n = io->cls->output(io, iov, MAX_IOV);
    }
    if (n == 0 && (io->want & EDDY_WRITE))
        stop_wanting(r, io, EDDY_WRITE);
}

/* The selector refused this one: its operation reports it, unless it works now. */
static void serve_refused(struct reactor *r, struct eddy_io *io)
{
    int rc = tell_selector(r, io, interest(io));

    io->flags &= (uint8_t)~EDDY_IO_DIRTY;
    if (rc == 0 || (io->flags & EDDY_IO_CANCELLED))
        return;
    if (io->flags & EDDY_IO_CONNECTING) {
        connect_ends(r, io, rc);
    } else if (io->kind == EDDY_IO_LISTENER) {
        io->cls->accepted(io, rc, NULL);
    } else if (io->want & EDDY_WRITE) {
        stop_wanting(r, io, EDDY_WRITE);
        io->cls->sent(io, rc);
    } else {
        read_ends(r, io, rc);
    }
}

static void serve_special(struct reactor *r, uint64_t cookie, unsigned events)
{
    struct eddy_io *io;

    if (cookie == WAKER_COOKIE) {
        r->sys->cls->drain(r->sys, r->waker_fds[0]);
        return;
    }
    if ((io = find_borrowed(r, cookie)) != NULL && (events & io->armed))
        io->cls->ready(io, events & io->armed);
}

/* All but the straight line. */
static EDDY_NOINLINE void serve_other(struct reactor *r, const struct eddy_selector_event *e)
{
    if (e->cookie & BORROWED) {
        serve_special(r, e->cookie, e->events);
        return;
    }
    struct eddy_io *io = (struct eddy_io *)(uintptr_t)e->cookie;

    if (e->events & io->want & EDDY_READ)
        serve_read(r, io);
    if ((e->events & EDDY_WRITE & interest(io)) && !r->base.loop->abandoned)
        serve_write(r, io);
}

static void forget_wishes_of_closing(struct reactor *r)
{
    struct eddy_io **at = &r->dirty, *io;

    while ((io = *at) != NULL) {
        if (io->flags & EDDY_IO_CLOSING)
            *at = io->dirty_next;
        else
            at = &io->dirty_next;
    }
}

/* No frame below refers to any io: those that are closed go. Their `closed` may close others. */
static EDDY_NOINLINE void quiet_point(struct reactor *r)
{
    struct eddy_io *io, *next;

    while ((io = r->closing) != NULL) {
        r->closing = NULL;
        forget_wishes_of_closing(r);
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
                        (io->want & EDDY_READ) && !(io->flags & EDDY_IO_OWNBUF)))
            serve_stream(r, io);
        else
            serve_other(r, e);
    }
    while ((io = r->refused) != NULL && !*abandoned) {
        r->refused = io->dirty_next;
        serve_refused(r, io);
    }
    if (r->closing && !*abandoned)
        quiet_point(r);
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
    return r->selector->cls->fits ? r->selector->cls->fits(r->selector, fd) : 0;
}

static int reactor_attach(struct eddy_backend *b, struct eddy_io *io, eddy_fd fd)
{
    struct reactor *r = (struct reactor *)b;
    int rc = fits(r, fd);

    if (rc < 0)
        return rc;
    io->fd = fd;
    io->armed = 0;
    io->flags &= EDDY_IO_OWNBUF;
    if (io->kind == EDDY_IO_WATCH)
        io->backend_word = r->generation++ & 0x7fffffff; /* never the waker's */
    else if (io->want)
        mark_dirty(r, io);
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
    io->flags = (uint8_t)((io->flags & EDDY_IO_OWNBUF) | EDDY_IO_CONNECTING);
    mark_dirty(r, io);
    return 0;
}

static void reactor_cancel(struct eddy_backend *b, struct eddy_io *io)
{
    io->flags |= EDDY_IO_CANCELLED;
    stop_wanting((struct reactor *)b, io, EDDY_READ | EDDY_WRITE);
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
    io->fd = -1;
    io->backend_word = (uint64_t)(uintptr_t)r->closing;
    r->closing = io;
}

static void reactor_read_start(struct eddy_backend *b, struct eddy_io *io)
{
    io->want |= EDDY_READ;
    mark_dirty((struct reactor *)b, io);
}

static void reactor_read_stop(struct eddy_backend *b, struct eddy_io *io)
{
    stop_wanting((struct reactor *)b, io, EDDY_READ);
}

static void reactor_send_start(struct eddy_backend *b, struct eddy_io *io)
{
    io->want |= EDDY_WRITE;
    mark_dirty((struct reactor *)b, io);
}

static ssize_t reactor_try_send(struct eddy_io *io, const void *data, size_t len)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->send(sys, io->fd, data, len);
}

static ssize_t posix_try_send(struct eddy_io *io, const void *data, size_t len)
{
    ssize_t n = send(io->fd, data, len, MSG_NOSIGNAL);

    return EDDY_LIKELY(n >= 0) ? n : failed_call();
}

static ssize_t reactor_try_sendv(struct eddy_io *io, const struct iovec *iov, int n)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->sendv(sys, io->fd, iov, n);
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

/* ---- the wake-up ---- */

static int open_waker(struct reactor *r)
{
    struct eddy_loop *loop = r->base.loop;
    int rc = r->sys->cls->waker(r->sys, r->waker_fds);

    if (rc < 0)
        return rc;
    eddy_fd fd = r->waker_fds[0];
    rc = fits(r, fd);
    if (rc == 0)
        rc = eddy_loop_reserve_fd(loop, fd > r->waker_fds[1] ? fd : r->waker_fds[1]);
    if (rc == 0)
        rc = r->selector->cls->set(r->selector, fd, WAKER_COOKIE, 0, EDDY_READ);
    if (rc == 0) {
        eddy_loop_set_io(loop, fd, &r->waker);
        eddy_loop_set_io(loop, r->waker_fds[1], &r->waker);
    }
    return rc;
}

static void close_waker(struct reactor *r)
{
    struct eddy_loop *loop = r->base.loop;

    for (int i = 0; i < 2; i++) {
        if (r->waker_fds[i] < 0 || (i == 1 && r->waker_fds[1] == r->waker_fds[0]))
            continue;
        if (eddy_loop_io(loop, r->waker_fds[i]) == &r->waker)
            eddy_loop_set_io(loop, r->waker_fds[i], NULL);
        r->sys->cls->close(r->sys, r->waker_fds[i]);
    }
    r->waker_fds[0] = r->waker_fds[1] = -1;
}

/* The selector is empty now. A watch is told at once, as ever; if that fails it may be tried again.
 */
static int arm_anew(struct reactor *r, struct eddy_io *io)
{
    unsigned armed = io->armed;
    int rc = 0;

    io->armed = 0;
    if (io->kind != EDDY_IO_WATCH)
        mark_dirty(r, io);
    else if ((rc = tell_selector(r, io, armed)) < 0)
        io->armed = (uint8_t)armed;
    return rc;
}

static int arm_chunk_anew(struct reactor *r, struct eddy_io **chunk)
{
    int rc = 0;

    for (int i = 0; chunk && rc == 0 && i < EDDY_IOS_CHUNK; i++) {
        if (chunk[i] && chunk[i] != &r->waker)
            rc = arm_anew(r, chunk[i]);
    }
    return rc;
}

static int reactor_forked(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;
    struct eddy_loop *loop = b->loop;
    bool anew = r->selector->cls->forked != NULL;
    int rc = anew ? r->selector->cls->forked(r->selector) : 0;

    if (rc < 0)
        return rc;
    if (!anew)
        r->selector->cls->set(r->selector, r->waker_fds[0], WAKER_COOKIE, EDDY_READ, 0);
    close_waker(r);
    rc = open_waker(r);
    for (int i = 0; anew && rc == 0 && i < loop->io_chunks_room; i++)
        rc = arm_chunk_anew(r, loop->io_chunks[i]);
    return rc;
}

static void reactor_free(struct eddy_backend *b)
{
    struct reactor *r = (struct reactor *)b;

    close_waker(r);
    r->selector->cls->close(r->selector);
    eddy_free(r);
}

static const struct eddy_backend_class reactor_class = {
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
    .send_start = reactor_send_start,
    .shutdown = reactor_shutdown,
    .watch = reactor_watch,
};

int eddy_reactor_open(struct eddy_loop *loop, struct eddy_selector *s, struct eddy_backend **ret)
{
    struct reactor *r = eddy_alloc(sizeof *r);

    if (!r)
        return -ENOMEM;
    memset(r, 0, offsetof(struct reactor, events)); /* the buffers are left untouched: no pages */
    r->cls = reactor_class;
    r->cls.name = s->cls->name;
    r->base.cls = &r->cls;
    r->base.loop = loop;
    r->sys = r->base.sys = loop->sys;
    r->posix = r->sys == eddy_sys_posix();
    if (r->posix)
        r->cls.try_send = posix_try_send;
    r->selector = s;
    r->waker.fd = r->waker_fds[0] = r->waker_fds[1] = -1;
    int rc = open_waker(r);
    if (rc < 0) {
        close_waker(r);
        eddy_free(r);
        return rc;
    }
    *ret = &r->base;
    return 0;
}
