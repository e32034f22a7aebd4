/*
 * The reactor's inside. A backend over a selector is a reactor; io_uring begins with one, and does
 * in its own way only what pays.
 */
#ifndef EDDY_BACKENDS_REACTOR_H
#define EDDY_BACKENDS_REACTOR_H

#include "framework/loop/loop.h"

#define READ_SIZE (256 * 1024)
#define MAX_EVENTS 512
#define MAX_IOV 64

struct reactor {
    struct eddy_backend base;
    struct eddy_backend_class cls; /* its own copy: the name and the short cuts differ */
    struct eddy_sys *sys;
    bool posix; /* sys is the system itself: recv and send are called without its table */
    struct eddy_selector *selector;
    struct eddy_io *dirty;   /* want and armed differ, by dirty_next */
    struct eddy_io *refused; /* the selector would not take them, by dirty_next */
    struct eddy_io *closing; /* `closed` is owed, by backend_word; their fd is -1 */
    struct eddy_io waker;    /* a watch of ours on waker_fds[0] */
    eddy_fd waker_fds[2];
    uint32_t generation;
    int count;
    struct eddy_selector_event events[MAX_EVENTS];
    uint8_t buffer[READ_SIZE];
};

/* What the owner of an io says of it, and attach leaves alone. */
#define OWNERS_FLAGS (EDDY_IO_OWNBUF | EDDY_IO_OWN_CALLS)

/* ---- for those who derive ---- */

static inline void reactor_mark_dirty(struct reactor *r, struct eddy_io *io)
{
    if (io->flags & EDDY_IO_DIRTY)
        return;
    io->flags |= EDDY_IO_DIRTY;
    io->dirty_next = r->dirty;
    r->dirty = io;
}

/* What the io would wait for. */
static inline unsigned reactor_interest(const struct eddy_io *io)
{
    if (io->flags & EDDY_IO_CANCELLED)
        return 0;
    return io->flags & EDDY_IO_CONNECTING ? (unsigned)EDDY_WRITE : io->want;
}

/* Fewer wishes: on upcalls at once, on the kernel at the next wait. */
static inline void reactor_stop_wanting(struct reactor *r, struct eddy_io *io, unsigned bits)
{
    io->want &= (uint8_t)~bits;
    reactor_mark_dirty(r, io);
}

/* `why`: 0, the end of stream, or an error. */
void reactor_read_ends(struct reactor *r, struct eddy_io *io, ssize_t why);
/* The io, no watch, is ready: reads, accepts, sends or finds itself connected, as far as that is
 * wanted. Returns how many bytes were read. */
size_t reactor_serve(struct reactor *r, struct eddy_io *io, unsigned events);
/* The kernel would not wait for it: its operation reports the error. */
void reactor_report(struct reactor *r, struct eddy_io *io, int error);
/* The descriptor is closed, or was borrowed: `closed` comes at the quiet point. */
void reactor_let_go(struct reactor *r, struct eddy_io *io);
/* Takes those that are let go, whose fd is -1, from the list of the dirty. */
void reactor_forget_closed(struct reactor *r);
void reactor_quiet_point(struct reactor *r);
/* Where sys is the system itself. */
ssize_t reactor_posix_try_send(struct eddy_io *io, const void *data, size_t len);

extern const struct eddy_backend_class reactor_class;

/* ---- reactor_datagram.c ---- */

/* Delivers what waits, as far as contract T54 allows at once. */
void reactor_serve_datagrams(struct reactor *r, struct eddy_io *io);
int reactor_try_send_messages(struct eddy_io *io, const struct eddy_message *m, int n);

/* ---- reactor_life.c ---- */

/* r is zeroed up to its buffers, but for the slots of `cls` that are not the reactor's, and the
 * selector if there is one. */
int reactor_open(struct reactor *r, struct eddy_loop *loop);
void reactor_close_waker(struct reactor *r);
/* In a forked child: a new wake-up; and `all`, for a kernel object that is new and empty, every io
 * of the loop is told to it again. */
int reactor_renew(struct reactor *r, bool all);

extern const struct eddy_backend_class eddy_io_uring_backend;

/* Makes the backend of a loop out of a selector, which is the loop's on success. */
int eddy_reactor_new(struct eddy_loop *loop, struct eddy_selector *s, struct eddy_backend **ret);

#endif
