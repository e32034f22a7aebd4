/*
 * One call of data_received that makes several callbacks out of what it was given. Each of them may
 * pause reading, close, detach and free the protocol, or put another one in its place; after each
 * this tells whether the next one is still due, and gives back what was not delivered.
 */
#ifndef PROTOCOLS_DELIVERY_H
#define PROTOCOLS_DELIVERY_H

#include <eddy/protocol.h>
#include <eddy/transport.h>

struct delivery {
    struct eddy_transport *t; /* good until data_received returns, whatever becomes of the rest */
    const struct eddy_protocol *p;
    const struct eddy_protocol_class *cls;
    const bool *mark; /* a member of the protocol that is false when it was made anew */
};

static inline void delivery_begin(struct delivery *d, const struct eddy_protocol *p, bool *mark)
{
    d->t = p->transport;
    d->p = p;
    d->cls = p->cls;
    d->mark = mark;
    *mark = true;
}

/* Whether the protocol that began it is there to go on: otherwise its memory may be gone. Asked of
 * an open transport. Class and mark tell it from one that was made in the same place since. */
static inline bool delivery_is_ours(const struct delivery *d)
{
    return eddy_transport_protocol(d->t) == d->p && d->p->cls == d->cls && *d->mark;
}

/* Whether the next callback is due, now and to the same protocol. If not, the rest goes to whom it
 * is for by way of the transport, or nowhere if that is closing. */
static inline bool delivery_goes_on(const struct delivery *d, const void *rest, size_t len)
{
    if (eddy_transport_is_closing(d->t))
        return false;
    if (eddy_transport_is_reading(d->t) && delivery_is_ours(d))
        return true;
    if (len == 0)
        return false;
    int rc = eddy_transport_unread(d->t, rest, len);
    if (rc < 0) /* somebody else's unread came before: the stream would have a hole */
        eddy_transport_abort(d->t, EDDY_ERROR(rc, "the rest of what was read is lost"));
    return false;
}

#endif
