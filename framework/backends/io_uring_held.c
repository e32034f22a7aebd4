/* What has been received and is not wanted yet waits in the buffers it came in, as a chain of their
 * ids: holding allocates nothing. */
#include "framework/backends/io_uring.h"

#include <string.h>

#define BUFFERS_STEP 64u /* as few as do are in use: the fewer, the warmer in the cache */
#define AT_ONCE (READ_SIZE / RING_BUFFER_SIZE) /* held buffers in one iteration: contract T29 */

bool uring_use_more_buffers(struct uring *u)
{
    unsigned end = u->buffers + BUFFERS_STEP;

    if (u->buffers == RING_BUFFERS)
        return false;
    while (u->buffers < end)
        ring_give(&u->ring, u->buffers++);
    return true;
}

void uring_hold(struct uring *u, struct eddy_io *io, unsigned bid, int len)
{
    struct held *h = &u->held[bid];
    unsigned last = held_last(io);

    h->at = 0;
    h->len = (uint16_t)len;
    h->next = last ? u->held[last - 1].next : (uint16_t)bid;
    if (last)
        u->held[last - 1].next = (uint16_t)bid;
    set_half(io, HELD_SHIFT, (uint16_t)(bid + 1));
}

static unsigned first_held(const struct uring *u, const struct eddy_io *io)
{
    return u->held[held_last(io) - 1].next;
}

static void unlink_first(struct uring *u, struct eddy_io *io)
{
    unsigned last = held_last(io) - 1, first = u->held[last].next;

    u->held[last].next = u->held[first].next;
    u->held[first].len = 0;
    if (first == last)
        set_half(io, HELD_SHIFT, 0);
}

void uring_drop_held(struct uring *u, struct eddy_io *io)
{
    while (held_last(io)) {
        unsigned first = first_held(u, io);

        unlink_first(u, io);
        ring_give(&u->ring, first);
    }
    set_half(io, END_SHIFT, 0);
}

static bool copy_first(struct uring *u, struct eddy_io *io)
{
    unsigned bid = first_held(u, io);
    struct held *h = &u->held[bid];
    void *area = NULL;
    size_t n = io->cls->get_buffer(io, h->len, &area);

    if (n == 0 || !uring_wants_bytes(u, io))
        return false;
    if (n > h->len)
        n = h->len;
    memcpy(area, ring_memory(&u->ring, bid) + h->at, n);
    h->at = (uint16_t)(h->at + n);
    h->len = (uint16_t)(h->len - n);
    if (h->len == 0) { /* the bytes are in the protocol's memory */
        unlink_first(u, io);
        ring_give(&u->ring, bid);
    }
    io->cls->received(io, area, (ssize_t)n);
    return true;
}

void uring_deliver_held(struct uring *u, struct eddy_io *io)
{
    reactor_mark_dirty(&u->r, io); /* for what follows, be it more of the same */
    for (unsigned i = 0; i < AT_ONCE && held_last(io) && uring_wants_bytes(u, io); i++) {
        if (io->flags & EDDY_IO_OWNBUF) {
            if (!copy_first(u, io))
                return;
            continue;
        }
        unsigned bid = first_held(u, io);
        struct held h = u->held[bid];
        unlink_first(u, io);
        uring_lend(u, io, bid, h.at, h.len);
    }
    int end = end_of(io);
    if (end == 0 || held_last(io) || !uring_wants_bytes(u, io))
        return;
    set_half(io, END_SHIFT, 0);
    reactor_read_ends(&u->r, io, end == END_OF_STREAM ? 0 : end);
}
