/* Datagrams that come, and errors. */
#include "framework/base/alloc.h"
#include "transports/datagram.h"
#include <string.h>

/* A socket whose receiving fails each time would keep the loop awake for nothing. */
#define MOST_FAILURES 16
#define REST EDDY_MSEC(100)

static const struct eddy_datagram_protocol_class *class_of(const struct eddy_protocol *p)
{
    return (const struct eddy_datagram_protocol_class *)p->cls;
}

static struct eddy_datagram_protocol *self(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_datagram_protocol, base);
}

/* ---- packets ---- */

int eddy_packets_append(struct packets *q, const struct eddy_message *m)
{
    struct packet *p = eddy_alloc(sizeof *p + m->len);

    if (!p)
        return -ENOMEM;
    p->next = NULL;
    p->m = *m;
    p->m.data = p->bytes;
    if (m->len > 0)
        memcpy(p->bytes, m->data, m->len);
    if (q->tail)
        q->tail->next = p;
    else
        q->head = p;
    q->tail = p;
    q->size += m->len + 8;
    return 0;
}

struct packet *eddy_packets_pop(struct packets *q)
{
    struct packet *p = q->head;

    if (!p)
        return NULL;
    q->head = p->next;
    if (!q->head)
        q->tail = NULL;
    q->size -= p->m.len + 8;
    return p;
}

void eddy_packets_clear(struct packets *q)
{
    while (q->head)
        eddy_free(eddy_packets_pop(q));
}

/* ---- upcalls to the protocol ---- */

void eddy_datagram_tell_error(struct datagram *d, int code, const struct eddy_addr *addr,
                              bool inside)
{
    struct eddy_transport *t = &d->o.t;
    struct eddy_loop *loop = t->io.loop;
    struct eddy_protocol *p = eddy_transport_protocol(t);

    if (loop->debug)
        eddy_loop_log(loop, EDDY_LOG_DEBUG, "transport", "datagram fails: %s", eddy_strerror(code));
    if (!p || !class_of(p)->error_received)
        return;
    const char *name = p->cls->name;
    eddy_nsec begin = eddy_callback_begin(loop);

    loop->lent += inside;
    class_of(p)->error_received(self(p), code, addr && addr->len ? addr : NULL);
    loop->lent -= inside;
    eddy_callback_end(loop, begin, "error_received", name);
}

static void tell(struct datagram *d, const struct eddy_message *m)
{
    struct eddy_transport *t = &d->o.t;
    struct eddy_protocol *p = eddy_transport_protocol(t);

    if (!p || !class_of(p)->datagram_received) /* detached, or nobody who listens */
        return;
    const char *name = p->cls->name;
    eddy_nsec begin = eddy_callback_begin(t->io.loop);

    class_of(p)->datagram_received(self(p), m->data, m->len, &m->addr);
    eddy_callback_end(t->io.loop, begin, "datagram_received", name);
}

/* ---- what was held while reading was paused ---- */

static void reading_starts(struct datagram *d)
{
    struct eddy_io *io = &d->o.t.io;

    if (!d->resting && !d->held.head && eddy_transport_is_reading(&d->o.t))
        io->loop->backend->cls->read_start(io->loop->backend, io);
}

static void deliver_held(struct eddy_handle *h)
{
    struct datagram *d = EDDY_CONTAINER_OF(h, struct datagram, deliver);
    struct packet *p;

    while (eddy_transport_is_reading(&d->o.t) && (p = eddy_packets_pop(&d->held)) != NULL) {
        tell(d, &p->m);
        eddy_free(p);
    }
    reading_starts(d);
}

void eddy_datagram_read_start(struct eddy_transport *t)
{
    struct datagram *d = (struct datagram *)t;

    if (t->state != EDDY_TRANSPORT_OPEN) /* a stream would be read to its end; here nothing is */
        return;
    if (d->held.head)
        eddy_loop_call_soon(t->io.loop, &d->deliver);
    else
        reading_starts(d);
}

void eddy_datagram_read_stop(struct eddy_transport *t)
{
    struct datagram *d = (struct datagram *)t;

    eddy_handle_cancel(&d->deliver);
    t->io.loop->backend->cls->read_stop(t->io.loop->backend, &t->io);
}

/* The backend has fetched several, and reading was paused in the middle of them. */
static void hold(struct datagram *d, const struct eddy_message *m)
{
    if (eddy_packets_append(&d->held, m) < 0)
        eddy_datagram_tell_error(d, -ENOMEM, &m->addr, false);
}

/* ---- upcalls of the backend ---- */

static void rested(struct eddy_timer *timer)
{
    struct datagram *d = EDDY_CONTAINER_OF(timer, struct datagram, rest);

    d->resting = false;
    reading_starts(d);
}

static void receiving_failed(struct datagram *d, int error, const struct eddy_addr *addr,
                             bool queued)
{
    struct eddy_loop *loop = d->o.t.io.loop;

    /* One of an earlier datagram has left the queue of errors, which ends. */
    if (!queued && ++d->failures >= MOST_FAILURES) {
        d->failures = 0;
        d->resting = true;
        loop->backend->cls->read_stop(loop->backend, &d->o.t.io);
        eddy_loop_call_later(loop, &d->rest, REST);
    }
    eddy_datagram_tell_error(d, error, addr, false);
}

void eddy_datagram_came(struct eddy_io *io, const struct eddy_message *m, int error)
{
    struct datagram *d = (struct datagram *)io;
    struct eddy_transport *t = &d->o.t;

    if (t->state != EDDY_TRANSPORT_OPEN) {
        if (t->state < EDDY_TRANSPORT_LOST) /* contract T55 */
            io->loop->backend->cls->read_stop(io->loop->backend, io);
        return;
    }
    if (error < 0) {
        receiving_failed(d, error, m ? &m->addr : d->connected ? &d->remote : NULL, m != NULL);
        return;
    }
    if (!m) { /* the peer of a connection of messages has ended it */
        eddy_transport_close(t);
        return;
    }
    d->failures = 0;
    t->u.heard = io->loop->now;
    if (eddy_transport_is_reading(t))
        tell(d, m);
    else
        hold(d, m);
}

void eddy_datagram_init_receiving(struct datagram *d)
{
    d->deliver.fn = deliver_held;
    d->rest.fn = rested;
}

void eddy_datagram_cancel_receiving(struct datagram *d)
{
    eddy_handle_cancel(&d->deliver);
    eddy_timer_cancel(&d->rest);
    eddy_packets_clear(&d->held);
}
