/* The reactor's beginning, its wake-up, and what becomes of it in a forked child. */
#include "framework/backends/reactor.h"
#include "framework/base/alloc.h"
#include <string.h>

/* ---- the wake-up ---- */

static void drain_waker(struct eddy_io *io, unsigned events)
{
    struct eddy_sys *sys = io->loop->sys;

    (void)events;
    sys->cls->drain(sys, io->fd);
}

static const struct eddy_io_class waker_class = {
    .name = "waker",
    .ready = drain_waker,
};

/* A watch, but for that no user may have it: both descriptors are ours in the loop's table. */
static int open_waker(struct reactor *r)
{
    struct eddy_backend *b = &r->base;
    struct eddy_loop *loop = b->loop;
    int rc = r->sys->cls->waker(r->sys, r->waker_fds);

    if (rc < 0)
        return rc;
    eddy_fd fd = r->waker_fds[0];
    r->waker = (struct eddy_io){.cls = &waker_class, .loop = loop, .kind = EDDY_IO_WATCH};
    rc = b->cls->attach(b, &r->waker, fd);
    if (rc == 0)
        rc = eddy_loop_reserve_fd(loop, fd > r->waker_fds[1] ? fd : r->waker_fds[1]);
    if (rc < 0)
        return rc;
    eddy_loop_set_io(loop, fd, &r->waker);
    eddy_loop_set_io(loop, r->waker_fds[1], &r->waker);
    return b->cls->watch(b, &r->waker, EDDY_READ);
}

void reactor_close_waker(struct reactor *r)
{
    struct eddy_loop *loop = r->base.loop;

    for (int i = 0; i < 2; i++) {
        if (r->waker_fds[i] < 0 || (i == 1 && r->waker_fds[1] == r->waker_fds[0]))
            continue;
        if (eddy_loop_io(loop, r->waker_fds[i]) == &r->waker)
            eddy_loop_set_io(loop, r->waker_fds[i], NULL);
        r->sys->cls->close(r->sys, r->waker_fds[i]);
    }
    r->waker_fds[0] = r->waker_fds[1] = r->waker.fd = -1;
    reactor_forget_closed(r);
}

/* ---- after fork, in the child ---- */

/* The kernel knows of nothing now. A watch is told at once, as ever; if that fails it may be tried
 * again. */
static int arm_anew(struct reactor *r, struct eddy_io *io)
{
    unsigned armed = io->armed;
    int rc = 0;

    io->armed = 0;
    if (io->kind != EDDY_IO_WATCH)
        reactor_mark_dirty(r, io);
    else if ((rc = r->base.cls->watch(&r->base, io, armed)) < 0)
        io->armed = (uint8_t)armed;
    return rc;
}

int reactor_renew(struct reactor *r, bool all)
{
    struct eddy_io *io;

    reactor_close_waker(r);
    int rc = open_waker(r);
    for (eddy_fd fd = 0; all && rc == 0 && (io = eddy_loop_find_io(r->base.loop, &fd)); fd++)
        if (io != &r->waker)
            rc = arm_anew(r, io);
    return rc;
}

/* ---- opening ---- */

/* A NULL slot is the reactor's. */
static void inherit(struct eddy_backend_class *cls)
{
#define INHERIT(slot)      \
    if (cls->slot == NULL) \
    cls->slot = reactor_class.slot
    INHERIT(free);
    INHERIT(now);
    INHERIT(wait);
    INHERIT(dispatch);
    INHERIT(wake);
    INHERIT(forked);
    INHERIT(fileno);
    INHERIT(busy);
    INHERIT(attach);
    INHERIT(connect);
    INHERIT(cancel);
    INHERIT(close);
    INHERIT(read_start);
    INHERIT(read_stop);
    INHERIT(try_send);
    INHERIT(try_sendv);
    INHERIT(try_sendfile);
    INHERIT(send_start);
    INHERIT(try_send_messages);
    INHERIT(shutdown);
    INHERIT(watch);
#undef INHERIT
}

int reactor_open(struct reactor *r, struct eddy_loop *loop)
{
    r->posix = loop->sys == eddy_sys_posix();
    if (r->posix)
        r->cls.try_send = reactor_posix_try_send;
    inherit(&r->cls);
    r->base.cls = &r->cls;
    r->base.loop = loop;
    r->sys = r->base.sys = loop->sys;
    r->waker_fds[0] = r->waker_fds[1] = -1;
    int rc = open_waker(r);
    if (rc < 0)
        reactor_close_waker(r);
    return rc;
}

int eddy_reactor_new(struct eddy_loop *loop, struct eddy_selector *s, struct eddy_backend **ret)
{
    struct reactor *r = eddy_alloc(sizeof *r);

    if (!r)
        return -ENOMEM;
    memset(r, 0, offsetof(struct reactor, events)); /* the buffers are left untouched: no pages */
    r->cls.name = s->cls->name;
    r->cls.abi_size = sizeof r->cls;
    r->selector = s;
    int rc = reactor_open(r, loop);
    if (rc < 0) {
        eddy_free(r);
        return rc;
    }
    *ret = &r->base;
    return 0;
}
