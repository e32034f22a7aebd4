/* Datagrams: as many as wait are fetched by one system call, and told one by one. They take turns
 * with the streams in the reactor's one buffer: a datagram of UDP is never larger than a quarter of
 * it. */
#include "framework/backends/reactor.h"

/* At once, and per iteration (contract T54). */
#define SLOTS 4
#define MOST 64

_Static_assert(READ_SIZE / SLOTS >= 65535, "a datagram of UDP has room");

/* How many to fetch by one call: the class may know of larger ones, and want fewer slots. */
static int slots_of(const struct eddy_io *io)
{
    unsigned limit = io->cls->batch ? io->cls->batch(io) : SLOTS;

    return limit >= 1 && limit < SLOTS ? (int)limit : SLOTS;
}

/* How many of them the next call may fetch, if they are no larger than those so far. */
static int slots_left(int slots, int told, size_t bytes, size_t largest)
{
    while (slots > 0 && (told + slots > MOST || bytes + (size_t)slots * largest > READ_SIZE))
        slots--;
    return slots;
}

static void prepare(struct reactor *r, struct eddy_message *m, int n, size_t size)
{
    for (int i = 0; i < n; i++) {
        m[i].data = r->buffer + (size_t)i * size;
        m[i].len = size;
        m[i].truncated = false;
        m[i].addr.len = 0;
    }
}

/* The end of a connection of messages, or an error: that one is told alone, so that an endpoint
 * that has nothing else cannot keep the others waiting. */
static void tell_why_not(struct reactor *r, struct eddy_io *io, const struct eddy_message *m,
                         int why)
{
    if (why == -EAGAIN)
        return;
    if (why == 0)
        reactor_stop_wanting(r, io, EDDY_READ);
    io->cls->datagram(io, why < 0 && m->addr.len ? m : NULL, why);
}

void reactor_serve_datagrams(struct reactor *r, struct eddy_io *io)
{
    struct eddy_message m[SLOTS];
    int told = 0, slots = slots_of(io), n;
    size_t bytes = 0, largest = 0, size = READ_SIZE / (size_t)slots;

    do {
        prepare(r, m, slots, size);
        n = r->sys->cls->recv_messages(r->sys, io->fd, m, slots);
        if (n <= 0) {
            tell_why_not(r, io, m, n);
            return;
        }
        /* What was fetched is told even if reading stops between: it is out of the kernel. */
        for (int i = 0; i < n && !(io->flags & EDDY_IO_CANCELLED) && !r->base.loop->abandoned;
             i++) {
            bytes += m[i].len;
            largest = m[i].len > largest ? m[i].len : largest;
            io->cls->datagram(io, &m[i], 0);
        }
        told += n;
        if (n < slots || size == READ_SIZE || !(io->want & EDDY_READ) || r->base.loop->abandoned)
            return;
        slots = slots_left(slots, told, bytes, largest);
    } while (slots > 0);
}

int reactor_try_send_messages(struct eddy_io *io, const struct eddy_message *m, int n)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->send_messages(sys, io->fd, m, n);
}
