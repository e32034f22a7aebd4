/*
 * Datagram endpoints: what is sent, and the transport class. A datagram goes to the kernel inside
 * the call; what the kernel refuses waits until there is room, in order. One that fails for good is
 * told, and the next has its turn (contract P36, T50).
 */
#include "transports/datagram.h"

#include "framework/base/alloc.h"

#define BATCH 16
#define MOST_BATCHES 4 /* before others have their turn */
#define SILENT_DISCARDS 4
#define FIRST_DELAY EDDY_MSEC(1)
#define LONGEST_DELAY EDDY_MSEC(64)

struct datagram *eddy_datagram_of(struct eddy_transport *t)
{
    return t->io.cls->datagram == eddy_datagram_came ? (struct datagram *)t : NULL;
}

static eddy_nsec now(const struct datagram *d)
{
    return eddy_loop_clock(d->o.t.io.loop);
}

/* ---- to the kernel ---- */

static int try_send(struct datagram *d, const struct eddy_message *m, int n)
{
    struct eddy_io *io = &d->o.t.io;
    int rc = io->loop->backend->cls->try_send_messages(io, m, n);

    if (rc > 0)
        d->failures = 0;
    /* Where the queue of a unix socket's peer is full some systems say so by the other name. */
    return rc == -ENOBUFS && d->family == AF_UNIX ? -EAGAIN : rc;
}

/* Where a message goes to. */
static const struct eddy_addr *target(const struct datagram *d, const struct eddy_message *m)
{
    return m->addr.len ? &m->addr : &d->remote;
}

/* The first of what was to be sent has failed, with `error`. On a socket that hears of what became
 * of earlier datagrams that may be the fate of one of these, which must not swallow ours: it is
 * sent once more, and the same again is its own. (Unix sockets tell at once.) Calls nobody. */
static int send_again(struct datagram *d, const struct eddy_message *m, int error)
{
    bool tells = d->family != AF_UNIX && (d->connected || d->report_errors);

    return tells ? try_send(d, m, 1) : error;
}

/* What the two have come to. */
static void tell_failures(struct datagram *d, int error, int again, const struct eddy_addr *addr,
                          bool inside)
{
    struct eddy_addr to = *addr; /* the callback may end what it is a part of */

    if (again != error && !d->report_errors) /* else the error queue tells it */
        eddy_datagram_tell_error(d, error, &d->remote, inside);
    if (d->o.t.state >= EDDY_TRANSPORT_LOST) /* aborted in it */
        return;
    if (again < 0 && again != -EAGAIN)
        eddy_datagram_tell_error(d, again, &to, inside);
}

/* ---- what waits ---- */

/* Tells the base, which may call the protocol or end the transport. */
static void account(struct datagram *d, bool taken)
{
    if (d->o.t.state < EDDY_TRANSPORT_LOST)
        eddy_transport_waiting(&d->o.t, d->out.size, taken);
}

static void drop_first(struct datagram *d, int n)
{
    while (n-- > 0)
        eddy_free(eddy_packets_pop(&d->out));
    d->o.t.queued = d->out.size; /* the base is told when all is done */
    d->taken = now(d);
}

static int send_batch(struct datagram *d)
{
    struct eddy_message m[BATCH];
    int n = 0;

    for (struct packet *p = d->out.head; p && n < BATCH; p = p->next)
        m[n++] = p->m;
    return try_send(d, m, n);
}

/* The first one has failed. False: after all it shall wait. */
static bool give_up_first(struct datagram *d, int error)
{
    struct eddy_addr to = *target(d, &d->out.head->m);
    int again = send_again(d, &d->out.head->m, error);

    if (again != -EAGAIN)
        drop_first(d, 1);
    tell_failures(d, error, again, &to, false);
    return again != -EAGAIN;
}

/* Sends what waits, as far as it goes. Returns how many have left the queue. */
static int send_queue(struct datagram *d)
{
    int gone = 0;

    for (int i = 0; i < MOST_BATCHES && d->out.head; i++) {
        int n = send_batch(d);

        if (n == -EAGAIN)
            break;
        if (n < 0) {
            if (!give_up_first(d, n))
                break;
            n = 1;
        } else {
            drop_first(d, n);
        }
        gone += n;
    }
    return gone;
}

/* When the system says that there is room, and there is none, it says so again at once: a unix
 * socket is writable though the queue of its peer is full. Then the clock tells when to try. */
static void wait_for_room(struct datagram *d, bool in_vain)
{
    struct eddy_loop *loop = d->o.t.io.loop;

    if (!in_vain) {
        d->delay = FIRST_DELAY;
        loop->backend->cls->send_start(loop->backend, &d->o.t.io);
        return;
    }
    eddy_loop_call_later(loop, &d->retry, d->delay);
    d->delay = d->delay < LONGEST_DELAY ? d->delay * 2 : LONGEST_DELAY;
}

static void go_on(struct datagram *d)
{
    int gone = send_queue(d);

    if (d->o.t.state >= EDDY_TRANSPORT_LOST)
        return;
    if (d->out.head)
        wait_for_room(d, gone == 0);
    account(d, true);
}

static void writable(struct eddy_io *io)
{
    go_on((struct datagram *)io);
}

static void try_again(struct eddy_timer *timer)
{
    go_on(EDDY_CONTAINER_OF(timer, struct datagram, retry));
}

/* ---- sendto ---- */

static int discard(struct eddy_transport *t)
{
    if (t->discarded < UINT8_MAX && ++t->discarded == SILENT_DISCARDS + 1) {
        char text[256];

        eddy_loop_log(t->io.loop, EDDY_LOG_WARNING, "transport",
                      "sending on a closing transport, datagrams are discarded: %s",
                      eddy_transport_describe(t, text, sizeof text));
    }
    return EDDY_ECLOSED;
}

/* Contract T48. Where the message goes to; len 0: where the socket is connected to. */
static int choose_target(const struct datagram *d, const struct eddy_addr *addr,
                         struct eddy_addr *ret)
{
    bool given = addr && addr->len > 0;

    ret->len = 0;
    if (given && addr->u.sa.sa_family != d->family)
        return -EINVAL;
    if (d->connected)
        return given && !eddy_addr_equal(addr, &d->remote) ? -EINVAL : 0;
    if (!given && d->remote.len == 0)
        return -EINVAL;
    *ret = given ? *addr : d->remote;
    return 0;
}

static int keep(struct datagram *d, const struct eddy_message *m)
{
    bool first = d->out.head == NULL;

    if (d->out.size > d->o.t.limits->max)
        return -ENOBUFS;
    if (eddy_packets_append(&d->out, m) < 0)
        return -ENOMEM;
    if (first) {
        d->taken = now(d);
        wait_for_room(d, false);
    }
    account(d, false);
    return 0;
}

static int send_or_keep(struct datagram *d, const struct eddy_message *m)
{
    if (d->out.head)
        return keep(d, m);
    int rc = try_send(d, m, 1);
    if (rc > 0)
        return 0;
    if (rc == -EAGAIN)
        return keep(d, m);
    int again = send_again(d, m, rc), kept = 0;
    if (again == -EAGAIN)
        kept = keep(d, m);
    if (d->o.t.state < EDDY_TRANSPORT_LOST) /* by pause_writing */
        tell_failures(d, rc, again, target(d, m), true);
    return kept;
}

int eddy_transport_sendto(struct eddy_transport *t, const void *data, size_t len,
                          const struct eddy_addr *addr)
{
    union {
        const void *in;
        void *out;
    } bytes = {.in = data}; /* only read */
    struct eddy_message m = {.data = bytes.out, .len = len};

    if (!t) /* p->base.transport after connection_lost */
        return EDDY_ECLOSED;
    struct datagram *d = eddy_datagram_of(t);
    if (!d)
        return EDDY_ENOT_SUPPORTED;
    if (t->state >= EDDY_TRANSPORT_CLOSING)
        return discard(t);
    if (!eddy_loop_may_call(t->io.loop, "sendto", NULL))
        return EDDY_ETHREAD;
    if (!data && len > 0)
        return -EINVAL;
    int rc = choose_target(d, addr, &m.addr);
    return rc < 0 ? rc : send_or_keep(d, &m);
}

/* ---- the transport class ---- */

static void datagram_cancel(struct eddy_transport *t)
{
    struct datagram *d = (struct datagram *)t;

    eddy_timer_cancel(&d->retry);
    eddy_datagram_cancel_receiving(d);
    eddy_packets_clear(&d->out);
    eddy_io_cancel(&t->io);
}

static void datagram_close(struct eddy_transport *t)
{
    eddy_io_close(&t->io);
}

static int datagram_sockname(const struct eddy_transport *t, struct eddy_addr *ret)
{
    struct eddy_sys *sys = t->io.loop->sys;

    return t->io.fd < 0 ? EDDY_ENOT_SUPPORTED : sys->cls->sockname(sys, t->io.fd, ret);
}

/* Asked when the timer is set, as close does: the time for stalling begins anew then. */
static eddy_nsec waiting_since(const struct eddy_transport *t)
{
    struct datagram *d = (struct datagram *)(uintptr_t)t;

    if (t->state == EDDY_TRANSPORT_CLOSING && !d->closing) {
        d->closing = true;
        d->taken = now(d);
    }
    return d->taken;
}

#define DATAGRAM_TRANSPORT(kind)                                                           \
    {                                                                                      \
        .name = (kind), .abi_size = sizeof(struct eddy_transport_class),                   \
        .read_start = eddy_datagram_read_start, .read_stop = eddy_datagram_read_stop,      \
        .cancel = datagram_cancel, .close = datagram_close, .sockname = datagram_sockname, \
        .check_protocol = eddy_datagram_check_class, .waiting_since = waiting_since,       \
    }

const struct eddy_transport_class eddy_udp_transport = DATAGRAM_TRANSPORT("udp"),
                                  eddy_unix_datagram_transport = DATAGRAM_TRANSPORT("unix-dgram"),
                                  eddy_seqpacket_transport = DATAGRAM_TRANSPORT("unix-seqpacket");

/* The selector would not take the descriptor: nothing would ever come, or go. */
static void refused(struct eddy_io *io, ssize_t error)
{
    eddy_transport_fail((struct eddy_transport *)io, (int)error, "wait");
}

static void refused_reading(struct eddy_io *io, const void *data, ssize_t error)
{
    (void)data;
    refused(io, error);
}

/* Those of unix sockets are as large as their buffers: they have all of the room. */
static unsigned one_at_a_time(const struct eddy_io *io)
{
    (void)io;
    return 1;
}

#define DATAGRAM_IO                                                                    \
    .datagram = eddy_datagram_came, .writable = writable, .received = refused_reading, \
    .sent = refused, .closed = eddy_transport_closed

const struct eddy_io_class eddy_udp_io = {.name = "udp", DATAGRAM_IO};
const struct eddy_io_class eddy_unix_datagram_io = {
    .name = "unix datagrams", DATAGRAM_IO, .batch = one_at_a_time};

void eddy_datagram_init(struct datagram *d)
{
    d->o.t.io.kind = EDDY_IO_DATAGRAM;
    d->o.t.io.flags |= EDDY_IO_OWN_CALLS;
    d->delay = FIRST_DELAY;
    d->retry.fn = try_again;
    eddy_datagram_init_receiving(d);
}
