/* The inside of the io_uring backend. */
#ifndef EDDY_BACKENDS_IO_URING_H
#define EDDY_BACKENDS_IO_URING_H

#include "framework/backends/reactor.h"
#include "framework/backends/ring.h"

/* A buffer with bytes that nobody wants yet. */
struct held {
    uint16_t next;    /* of the same io; the last one's is the first */
    uint16_t at, len; /* 0: not held */
};

struct uring {
    struct reactor r; /* first */
    struct ring ring;
    uint8_t *memory;         /* of the ring's buffers */
    unsigned buffers;        /* in use: the first so many */
    unsigned end;            /* of the completions that this iteration looks at */
    struct eddy_io *due;     /* something that is held can be delivered, by dirty_next */
    struct eddy_io *leaving; /* closed, but for operations in flight; by dirty_next */
    int bell;                /* an eventfd for who embeds the loop */
    bool rings;              /* ... when there is something to do: somebody has asked for it */
    struct held held[RING_BUFFERS];
};

/* ---- what an io has going on: in its backend_word ---- */

enum {
    RECV = 1u << 0, /* operations in flight; also in the low bits of their user_data */
    POLL = 1u << 1,
    ALL = RECV | POLL,
    CALLED_OFF = 4, /* shift: the kernel was asked to end them */
    BULK = 1u << 8, /* a large transfer: readiness, and recv into the one hot buffer */
    SMALL = 1u << 9,
    SMALL_MASK = 7u << 9, /* how many small reads it had in a row */
    POLLED = 12,          /* shift: the events that POLL waits for */
    NOISY = 1u << 14,     /* its last poll told what nobody had asked for */
    CHANGES = 1u << 15,   /* POLL is one that goes on, and tells changes alone */
    CLOSED = 1u << 16,    /* the descriptor is: `closed` waits for the operations alone */
};
#define HELD_SHIFT 32 /* the last buffer that is held, + 1; 0: none */
#define END_SHIFT 48  /* what reading has ended with, behind what is held */
#define END_OF_STREAM 1

static inline bool has(const struct eddy_io *io, unsigned bits)
{
    return (io->backend_word & bits) != 0;
}

static inline void set_half(struct eddy_io *io, int shift, uint16_t value)
{
    io->backend_word &= ~((uint64_t)UINT16_MAX << shift);
    io->backend_word |= (uint64_t)value << shift;
}

static inline unsigned held_last(const struct eddy_io *io)
{
    return (uint16_t)(io->backend_word >> HELD_SHIFT);
}

static inline int end_of(const struct eddy_io *io)
{
    return (int16_t)(io->backend_word >> END_SHIFT);
}

/* ---- io_uring_held.c: the ring's buffers, and what waits in them ---- */

/* The kernel had none left. False: there are no more. */
bool uring_use_more_buffers(struct uring *u);
/* Nobody wants the bytes now. */
void uring_hold(struct uring *u, struct eddy_io *io, unsigned bid, int len);
void uring_drop_held(struct uring *u, struct eddy_io *io);
/* Tells what is held, as much as is wanted and fits into one iteration, and the end behind it. */
void uring_deliver_held(struct uring *u, struct eddy_io *io);

static inline bool uring_wants_bytes(const struct uring *u, const struct eddy_io *io)
{
    return (io->want & EDDY_READ) && !u->r.base.loop->abandoned;
}

/* Lent bytes are those of a buffer that is nowhere listed: cancelling must not give it back. */
static inline void uring_lend(struct uring *u, struct eddy_io *io, unsigned bid, size_t at, int len)
{
    io->cls->received(io, ring_memory(&u->ring, bid) + at, len);
    if (!u->r.base.loop->abandoned)
        ring_give(&u->ring, bid);
}

#endif
