/* Reading: from the backend's upcalls to the protocol. */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"
#include <string.h>

/* What is unread waits in one piece; a buffered protocol may take it in several. */
struct unread {
    size_t start, end;
    char bytes[];
};

static bool is_buffered(const struct eddy_protocol *p)
{
    return p->cls->get_buffer != NULL;
}

/* The callback that takes data, and the flush of what it wrote. */
static void consume(struct eddy_transport *t, const void *data, size_t len)
{
    struct eddy_loop *loop = t->io.loop;
    struct eddy_protocol *p = t->protocol;
    const char *name = p->cls->name;
    eddy_nsec begin = eddy_callback_begin(loop);

    bool buffered = is_buffered(p);

    loop->receiving = t;
    if (buffered)
        p->cls->buffer_updated(p, len);
    else
        p->cls->data_received(p, data, len);
    loop->receiving = NULL; /* p may be gone */
    eddy_callback_end(loop, begin, buffered ? "buffer_updated" : "data_received", name);
    eddy_transport_flush(t);
}

static void end_of_stream(struct eddy_transport *t)
{
    struct eddy_protocol *p = t->protocol;
    bool keep = false;

    t->flags |= T_EOF_IN;
    transport_refresh(t);
    if (p->cls->eof_received) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);
        const char *name = p->cls->name;

        keep = p->cls->eof_received(p);
        eddy_callback_end(t->io.loop, begin, "eof_received", name);
    }
    if (!keep || !t->cls->send)
        eddy_transport_close(t);
}

/* While it closes, input is read and thrown away (contract T5). */
static void discard(struct eddy_transport *t, ssize_t n)
{
    if (n > 0)
        return;
    t->flags |= T_EOF_IN;
    if (t->state == EDDY_TRANSPORT_LINGERING)
        transport_lose(t, 0, "close", NULL); /* the peer is done with us, one way or the other */
    else if (n < 0)
        eddy_transport_fail(t, (int)n, "close");
    else
        transport_refresh(t);
}

static EDDY_NOINLINE void received_slow(struct eddy_transport *t, const void *data, ssize_t n)
{
    if (t->state == EDDY_TRANSPORT_CLOSING || t->state == EDDY_TRANSPORT_LINGERING) {
        discard(t, n);
    } else if (t->state == EDDY_TRANSPORT_OPEN) {
        t->u.heard = t->io.loop->now;
        if (n > 0)
            consume(t, data, (size_t)n);
        else if (n == 0)
            end_of_stream(t);
        else
            eddy_transport_fail(t, (int)n, "read");
    }
}

/* The callback has changed the state, or written more than a block, or what is to be wiped. */
static EDDY_NOINLINE void flush_after_all(struct eddy_transport *t)
{
    eddy_transport_flush(t);
}

void eddy_transport_received(struct eddy_io *io, const void *data, ssize_t n)
{
    struct eddy_transport *t = (struct eddy_transport *)io;
    struct eddy_loop *loop = io->loop;
    struct eddy_protocol *p = t->protocol;

    if (EDDY_UNLIKELY((t->slow & SLOW_READ) || !loop->straight || n <= 0)) {
        received_slow(t, data, n);
        return;
    }
    loop->receiving = t;
    p->cls->data_received(p, data, (size_t)n);
    loop->receiving = NULL;

    struct eddy_block *b = t->head;
    if (!b)
        return;
    if (EDDY_UNLIKELY((t->slow & ~SLOW_COVERED) || b != t->tail)) {
        flush_after_all(t);
        return;
    }
    transport_flush_single(t, b, false);
}

/* Asks the protocol for room; 0: none, now or ever. */
static size_t ask_for_buffer(struct eddy_transport *t, size_t hint, void **ret)
{
    struct eddy_protocol *p = t->protocol;
    const char *name = p->cls->name;
    eddy_nsec begin = eddy_callback_begin(t->io.loop);

    *ret = NULL;
    size_t room = p->cls->get_buffer(p, hint, ret);
    eddy_callback_end(t->io.loop, begin, "get_buffer", name);
    if (t->state != EDDY_TRANSPORT_OPEN || t->protocol != p)
        return 0; /* the area may not be touched any more */
    if (room > 0 && *ret)
        return room;
    transport_lose(t, -EINVAL, "get_buffer",
                   EDDY_ERROR(-EINVAL, "get_buffer() returned an empty buffer"));
    eddy_loop_problem(t->io.loop,
                      &(struct eddy_problem){.message = "get_buffer() returned an empty buffer",
                                             .error = t->pending,
                                             .transport = t,
                                             .protocol = p,
                                             .fd = -1,
                                             .site = t->owner->site});
    return 0;
}

size_t eddy_transport_get_buffer(struct eddy_io *io, size_t hint, void **ret)
{
    return ask_for_buffer((struct eddy_transport *)io, hint, ret);
}

/* ---- pausing ---- */

void eddy_transport_pause_reading(struct eddy_transport *t)
{
    if (!t || t->state >= EDDY_TRANSPORT_CLOSING)
        return;
    t->flags |= T_READ_PAUSED;
    transport_refresh(t);
}

void eddy_transport_resume_reading(struct eddy_transport *t)
{
    if (!t || t->state >= EDDY_TRANSPORT_CLOSING || !(t->flags & T_READ_PAUSED))
        return;
    t->flags &= (uint16_t)~T_READ_PAUSED;
    if (t->flags & T_UNREAD)
        transport_defer(t);
    transport_refresh(t);
    if (t->limits->idle > 0) {
        t->u.heard = eddy_loop_clock(t->io.loop);
        transport_arm_timer(t);
    }
}

bool eddy_transport_is_reading(const struct eddy_transport *t)
{
    return t->state == EDDY_TRANSPORT_OPEN && t->cls->read_start &&
           !(t->flags & (T_READ_PAUSED | T_FILE | T_EOF_IN));
}

/* ---- bytes given back ---- */

void transport_free_unread(const struct eddy_transport *t, struct unread *u)
{
    if (t->cls->secret)
        explicit_bzero(u->bytes, u->end);
    eddy_free(u);
}

/* The data, and what is left of another one behind them. */
static struct unread *new_unread(const void *data, size_t len, const struct unread *rest)
{
    size_t more = rest ? rest->end - rest->start : 0;
    struct unread *u = eddy_alloc(sizeof *u + len + more);

    if (!u)
        return NULL;
    u->start = 0;
    u->end = len + more;
    memcpy(u->bytes, data, len);
    if (more > 0)
        memcpy(u->bytes + len, rest->bytes + rest->start, more);
    return u;
}

int eddy_transport_unread(struct eddy_transport *t, const void *data, size_t len)
{
    if (!t || t->state >= EDDY_TRANSPORT_CLOSING)
        return EDDY_ECLOSED;
    if (t->io.loop->receiving != t || (t->flags & T_UNREAD))
        return EDDY_EINVALID_STATE;
    if ((!data && len > 0) || len > READ_SIZE)
        return -EINVAL;
    if (len == 0)
        return 0;
    struct unread *u = new_unread(data, len, NULL);
    if (!u) {
        eddy_transport_fail(t, -ENOMEM, "unread");
        return -ENOMEM;
    }
    t->pending = u;
    t->flags |= T_UNREAD;
    transport_refresh(t);
    transport_defer(t);
    return 0;
}

/* The rest of what was given back, behind what the callback has given back of its part. */
static void put_back(struct eddy_transport *t, struct unread *u)
{
    if (t->state != EDDY_TRANSPORT_OPEN) {
        transport_free_unread(t, u);
        return;
    }
    if (t->flags & T_UNREAD) {
        struct unread *first = t->pending;
        struct unread *both = new_unread(first->bytes, first->end, u);

        transport_free_unread(t, u);
        if (!both) {
            eddy_transport_fail(t, -ENOMEM, "unread");
            return;
        }
        transport_free_unread(t, first);
        u = both;
    }
    t->pending = u;
    t->flags |= T_UNREAD;
    transport_refresh(t);
    if (!(t->flags & (T_READ_PAUSED | T_FILE)))
        transport_defer(t);
}

/* To a buffered protocol, piece by piece, as far as it has room and wants more. */
static void copy_to_buffer(struct eddy_transport *t, struct unread *u)
{
    void *area;
    size_t len = u->end - u->start;
    size_t room = ask_for_buffer(t, len, &area);

    if (room == 0 || (t->flags & (T_READ_PAUSED | T_FILE))) {
        if (t->state == EDDY_TRANSPORT_OPEN && !(t->flags & (T_READ_PAUSED | T_FILE)))
            transport_defer(t); /* the protocol was switched: ask the new one */
        return;
    }
    size_t n = len < room ? len : room;
    memcpy(area, u->bytes + u->start, n);
    u->start += n;
    t->flags &= (uint16_t)~T_UNREAD;
    t->pending = NULL;
    if (u->start == u->end) {
        transport_free_unread(t, u);
        u = NULL;
        transport_refresh(t);
    }
    consume(t, area, n);
    if (u)
        put_back(t, u);
}

void transport_deliver_unread(struct eddy_transport *t)
{
    struct unread *u = t->pending;

    if (t->state != EDDY_TRANSPORT_OPEN || (t->flags & (T_READ_PAUSED | T_FILE)))
        return; /* resume_reading, or the end of the file, comes back to it */
    if (is_buffered(t->protocol)) {
        copy_to_buffer(t, u);
        return;
    }
    t->flags &= (uint16_t)~T_UNREAD;
    t->pending = NULL;
    transport_refresh(t);
    consume(t, u->bytes + u->start, u->end - u->start);
    transport_free_unread(t, u);
}
