/* The states of a transport, what follows from them, and the ways to its end. */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"
#include <stdio.h>
#include <string.h>

_Static_assert(offsetof(struct eddy_transport, head) <= 64, "reading touches one line");
_Static_assert(offsetof(struct eddy_transport, pending) <= 128, "writing touches the second");
_Static_assert(sizeof(struct eddy_transport) + sizeof(struct eddy_protocol) <= 256, "idle memory");

/* What to read for, and which short cuts hold, is derived here and nowhere else. */
void transport_refresh(struct eddy_transport *t)
{
    const struct eddy_protocol_class *cls = t->protocol->cls;
    bool open = t->state == EDDY_TRANSPORT_OPEN;
    bool discarding = t->state == EDDY_TRANSPORT_CLOSING || t->state == EDDY_TRANSPORT_LINGERING;
    bool read = !(t->flags & T_EOF_IN) && (discarding || (open && !(t->flags & T_NOT_READING)));
    unsigned slow = 0;

    if (!open || cls->get_buffer || t->limits->idle > 0)
        slow |= SLOW_READ;
    if (!open || !t->cls->send || (t->flags & (T_BLOCKED | T_EOF_WANTED)))
        slow |= SLOW_WRITE;
    if (t->cls->secret)
        slow |= SLOW_FLUSH;
    if (t->flags & T_COVERED)
        slow |= SLOW_COVERED;
    t->slow = (uint16_t)slow;

    if (open && cls->get_buffer)
        t->io.flags |= EDDY_IO_OWNBUF;
    else
        t->io.flags &= (uint8_t)~EDDY_IO_OWNBUF;

    if (read == !!(t->flags & T_READING) || t->state >= EDDY_TRANSPORT_LOST || !t->cls->read_start)
        return;
    t->flags ^= T_READING;
    if (read)
        t->cls->read_start(t);
    else
        t->cls->read_stop(t);
}

static void set_state(struct eddy_transport *t, enum eddy_transport_state state)
{
    t->state = (uint8_t)state;
    transport_refresh(t);
}

/* ---- the beginning ---- */

void eddy_transport_init(struct eddy_transport *t, struct eddy_loop *loop,
                         const struct eddy_transport_class *cls, const struct eddy_io_class *io_cls,
                         struct eddy_owner *owner)
{
    t->io.cls = io_cls;
    t->io.loop = loop;
    t->io.fd = -1;
    t->io.kind = EDDY_IO_STREAM;
    t->cls = cls;
    t->owner = owner;
    t->protocol = &protocol_nobody;
    t->state = EDDY_TRANSPORT_NEW;
    t->slow = SLOW_READ | SLOW_WRITE;
    eddy_transport_use_limits(t, NULL);
}

void eddy_transport_discard(struct eddy_transport *t)
{
    eddy_limits_unref(t->limits);
    transport_maybe_free(t);
}

void eddy_transport_made(struct eddy_transport *t, struct eddy_protocol *p, struct eddy_link *list)
{
    const char *name = p->cls->name;

    t->flags |= T_IO_OPEN;
    t->u.heard = t->io.loop->now;
    protocol_attach(p, t);
    eddy_list_append(list, &t->link);
    set_state(t, EDDY_TRANSPORT_OPEN);
    transport_arm_timer(t);
    if (p->cls->connection_made) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);

        p->cls->connection_made(p, t);
        eddy_callback_end(t->io.loop, begin, "connection_made", name);
    }
}

/* ---- one over another ---- */

void eddy_transport_cover(struct eddy_transport *lower)
{
    lower->flags |= T_COVERED;
    transport_refresh(lower);
}

bool eddy_transport_is_covered(const struct eddy_transport *t)
{
    return t->flags & T_COVERED;
}

void eddy_transport_uncover(struct eddy_transport *lower)
{
    lower->flags &= (uint16_t)~T_COVERED;
    transport_ended(lower);
}

void eddy_transport_take_over(struct eddy_transport *upper, struct eddy_transport *lower,
                              struct eddy_protocol *below)
{
    eddy_transport_cover(lower);
    eddy_list_append(&lower->link, &upper->link);
    eddy_link_remove(&lower->link);
    upper->flags |= T_IO_OPEN | (lower->flags & (T_READ_PAUSED | T_WRITE_PAUSED));
    upper->u.heard = upper->io.loop->now;
    protocol_attach(lower->protocol, upper);
    protocol_attach(below, lower);
    set_state(upper, EDDY_TRANSPORT_OPEN);
    transport_arm_timer(upper);
    eddy_transport_resume_reading(lower);
    transport_refresh(lower);
}

bool eddy_transport_has_unread(const struct eddy_transport *t)
{
    return t->flags & T_UNREAD;
}

bool eddy_transport_has_ended(const struct eddy_transport *t)
{
    return t->flags & (T_EOF_IN | T_EOF_WANTED);
}

/* ---- the ways to the end ---- */

static void drop_unread(struct eddy_transport *t)
{
    if (!(t->flags & T_UNREAD))
        return;
    t->flags &= (uint16_t)~T_UNREAD;
    transport_free_unread(t, t->pending);
    t->pending = NULL;
}

/* Keeps the error until connection_lost. Without memory its code remains. */
static void keep_reason(struct eddy_transport *t, int code, const char *op,
                        const struct eddy_error *why)
{
    t->u.reason = code;
    if (code == 0)
        return;
    struct eddy_error *e = t->pending = eddy_alloc(sizeof *e);
    if (!e)
        return;
    if (why) {
        eddy_error_copy(e, why);
        return;
    }
    char text[EDDY_ADDR_TEXT * 2 + 16];
    eddy_error_set(e, code, op, "%s: %s: %s", op, transport_ends(t, text, sizeof text),
                   eddy_strerror(code));
}

void transport_lose(struct eddy_transport *t, int code, const char *op,
                    const struct eddy_error *why)
{
    if (t->state >= EDDY_TRANSPORT_LOST)
        return;
    if (code < 0 && t->io.loop->debug)
        eddy_loop_log(t->io.loop, EDDY_LOG_DEBUG, "transport", "%s fails: %s", op,
                      eddy_strerror(code));
    drop_unread(t);
    eddy_timer_cancel(&t->timer);
    keep_reason(t, code, op, why);
    set_state(t, EDDY_TRANSPORT_LOST);
    t->cls->cancel(t);
    transport_defer(t);
    if (t->flags & T_FILE)
        transport_files_lost(t);
}

void eddy_transport_fail(struct eddy_transport *t, int code, const char *op)
{
    transport_lose(t, code, op, NULL);
}

void eddy_transport_abort(struct eddy_transport *t, const struct eddy_error *why)
{
    if (!t)
        return;
    if (!eddy_loop_may_call(t->io.loop, "abort", NULL))
        return;
    transport_lose(t, why && why->code < 0 ? why->code : 0, "abort", why);
}

void transport_drained(struct eddy_transport *t)
{
    if (t->cls->wind_up) {
        t->cls->wind_up(t);
        return;
    }
    if ((t->flags & T_EOF_IN) || t->limits->linger == EDDY_OFF || !t->cls->unsettled ||
        !t->cls->unsettled(t)) {
        transport_lose(t, 0, "close", NULL);
        return;
    }
    t->flags |= T_EOF_WANTED;
    transport_shut_when_sent(t);
    if (t->state != EDDY_TRANSPORT_CLOSING)
        return;
    set_state(t, EDDY_TRANSPORT_LINGERING);
    transport_linger(t);
}

void eddy_transport_close(struct eddy_transport *t)
{
    if (!t || t->state >= EDDY_TRANSPORT_CLOSING)
        return;
    if (!eddy_loop_may_call(t->io.loop, "close", NULL))
        return;
    drop_unread(t);
    set_state(t, EDDY_TRANSPORT_CLOSING);
    if (t->cls->closing)
        t->cls->closing(t);
    eddy_transport_flush(t);
    if (t->state != EDDY_TRANSPORT_CLOSING)
        return;
    if (t->queued == 0 && !t->head) {
        transport_drained(t);
        return;
    }
    if (t->head)
        queue_stamp(t, eddy_loop_clock(t->io.loop)); /* the time for stalling begins anew */
    transport_arm_timer(t);
}

bool eddy_transport_is_closing(const struct eddy_transport *t)
{
    return !t || t->state >= EDDY_TRANSPORT_CLOSING;
}

void transport_release(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;

    queue_clear(t);
    eddy_limits_unref(t->limits);
    t->flags &= (uint16_t)~T_IO_OPEN;
    transport_maybe_free(t);
    queue_settle(loop);
}

/* The io is done: no backend looks at the queue any more. */
void eddy_transport_closed(struct eddy_io *io)
{
    eddy_io_closed(io);
    transport_release((struct eddy_transport *)io);
}

void transport_maybe_free(struct eddy_transport *t)
{
    if (!(t->flags & (T_IO_OPEN | T_INSTANCE | T_COVERED | T_CORKED)))
        t->owner->cls->free(t->owner, t);
}
