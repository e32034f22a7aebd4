/*
 * Watches: at most one for reading and one for writing per descriptor, which is borrowed. The loop
 * owns one io per watched descriptor, not one inside the user's node: the node may be freed at
 * once, the io lives until the quiet point. A descriptor that was closed before its watch was
 * removed may have been given to somebody else since: then the table names that one, and the watch
 * is an empty shell.
 */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"

struct watch_io {
    struct eddy_io io; /* first */
    struct eddy_watch *reader, *writer;
    struct eddy_link link; /* of the loop's: the table does not name the empty shells */
};

static void call(struct eddy_watch *w, unsigned events)
{
    struct eddy_loop *loop = w->loop_;
    const char *site = w->site_;
    eddy_nsec begin = eddy_callback_begin(loop);

    w->fn(w, events); /* w may be gone */
    eddy_callback_end(loop, begin, "watch", site);
}

static void ready(struct eddy_io *io, unsigned events)
{
    struct watch_io *e = (struct watch_io *)io;

    if (e->reader && e->reader == e->writer) {
        call(e->reader, events);
        return;
    }
    if ((events & EDDY_READ) && e->reader)
        call(e->reader, EDDY_READ);
    if ((events & EDDY_WRITE) && e->writer)
        call(e->writer, EDDY_WRITE);
}

static void closed(struct eddy_io *io)
{
    eddy_io_closed(io);
    eddy_free(io);
}

static const struct eddy_io_class watch_io_class = {
    .name = "watch",
    .ready = ready,
    .closed = closed,
};

static int tell_backend(struct watch_io *e)
{
    struct eddy_loop *loop = e->io.loop;
    unsigned events = (e->reader ? EDDY_READ : 0u) | (e->writer ? EDDY_WRITE : 0u);

    return loop->backend->cls->watch(loop->backend, &e->io, events);
}

/* The entry of fd, made if there is none; NULL and *ret_error if that is not possible. */
static struct watch_io *entry_at(struct eddy_loop *loop, eddy_fd fd, int *ret_error)
{
    struct eddy_io *io = eddy_loop_io(loop, fd);

    if (io && io->cls != &watch_io_class) {
        *ret_error = EDDY_EFD_IN_USE;
        return NULL;
    }
    if (io)
        return (struct watch_io *)io;
    struct watch_io *e = eddy_zalloc(sizeof *e);
    if (!e) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    e->io.cls = &watch_io_class;
    e->io.loop = loop;
    e->io.kind = EDDY_IO_WATCH;
    e->io.fd = -1;
    *ret_error = eddy_io_attach(&e->io, fd);
    if (*ret_error < 0) {
        eddy_free(e);
        return NULL;
    }
    eddy_list_append(&loop->watches, &e->link);
    return e;
}

/* Puts w in charge of exactly these directions, or changes nothing. */
static int set_directions(struct watch_io *e, struct eddy_watch *w, unsigned events)
{
    struct eddy_watch *reader = e->reader, *writer = e->writer;

    if (((events & EDDY_READ) && reader && reader != w) ||
        ((events & EDDY_WRITE) && writer && writer != w))
        return -EEXIST;
    if (reader == NULL || reader == w)
        e->reader = events & EDDY_READ ? w : NULL;
    if (writer == NULL || writer == w)
        e->writer = events & EDDY_WRITE ? w : NULL;
    int rc = tell_backend(e);
    if (rc < 0) {
        e->reader = reader;
        e->writer = writer;
    }
    return rc;
}

static void drop_if_unused(struct watch_io *e)
{
    if (e->reader || e->writer)
        return;
    eddy_link_remove(&e->link);
    eddy_io_close(&e->io);
}

static bool valid(unsigned events)
{
    return events && !(events & ~(unsigned)(EDDY_READ | EDDY_WRITE));
}

int eddy_loop_add_watch_site(struct eddy_loop *loop, struct eddy_watch *w, eddy_fd fd,
                             unsigned events, const char *site)
{
    int rc;

    if (!loop || !w || !w->fn || fd < 0 || !valid(events))
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (w->loop_)
        return -EEXIST;
    struct watch_io *e = entry_at(loop, fd, &rc);
    if (!e)
        return rc;
    rc = set_directions(e, w, events);
    if (rc < 0) {
        drop_if_unused(e);
        return rc;
    }
    w->loop_ = loop;
    w->site_ = site;
    w->fd_ = fd;
    w->events_ = events;
    w->entry_ = e;
    return 0;
}

int eddy_watch_modify(struct eddy_watch *w, unsigned events)
{
    if (!w || !valid(events))
        return -EINVAL;
    if (!w->loop_)
        return EDDY_ENOT_REGISTERED;
    struct watch_io *e = w->entry_;
    int rc = set_directions(e, w, events);
    if (rc == 0)
        w->events_ = events;
    return rc;
}

void eddy_watch_remove(struct eddy_watch *w)
{
    if (!w->loop_)
        return;
    struct watch_io *e = w->entry_;

    w->loop_ = NULL;
    if (e->reader == w)
        e->reader = NULL;
    if (e->writer == w)
        e->writer = NULL;
    tell_backend(e); /* fails for a descriptor that was closed: w is out all the same */
    drop_if_unused(e);
}

struct eddy_io *eddy_loop_next_watch(struct eddy_loop *loop, struct eddy_io *before)
{
    struct watch_io *e = (struct watch_io *)before;
    struct eddy_link *l = e ? e->link.next : loop->watches.next;

    return l == &loop->watches ? NULL : &EDDY_CONTAINER_OF(l, struct watch_io, link)->io;
}

void eddy_loop_close_watches(struct eddy_loop *loop)
{
    while (!eddy_list_empty(&loop->watches)) {
        struct watch_io *e = EDDY_CONTAINER_OF(loop->watches.next, struct watch_io, link);

        eddy_watch_remove(e->reader ? e->reader : e->writer);
    }
}
