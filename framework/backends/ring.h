/*
 * io_uring by its system calls: a ring's two queues, and the buffers that the kernel picks from to
 * receive into. A ring belongs to the thread that opened it; others get -EEXIST from ring_enter.
 */
#ifndef EDDY_BACKENDS_RING_H
#define EDDY_BACKENDS_RING_H

#include <eddy/base.h>
#include <linux/io_uring.h>
#include <stdatomic.h>

/* Newer than some systems' header. */
#define RING_RECV_MULTISHOT (1u << 1)
#define RING_SKIP_SUCCESS (1u << 6) /* of a submission: report failure alone */

#define RING_BUFFERS 1024u /* a power of two */
#define RING_BUFFER_SIZE 2048u

struct ring_buffer { /* the kernel's struct io_uring_buf; the first one's `tail` is the ring's */
    uint64_t addr;
    uint32_t len;
    uint16_t bid;
    _Atomic(uint16_t) tail;
};

struct ring {
    int fd;
    void *queues, *entries;
    size_t queues_size, entries_size;
    _Atomic(unsigned) *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
    _Atomic(unsigned) none; /* what those point to while it is closed: both queues are empty then */
    unsigned sq_mask, cq_mask;
    unsigned sq_next; /* where the next operation goes: behind what is submitted */
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    struct ring_buffer *buffers;
    uint16_t buffers_tail;
    uint8_t *memory; /* of all buffers */
};

/* -ENOMEM, -EMFILE ...; -ENOSYS, -EPERM or -EINVAL if this system has nothing that would do. */
int ring_open(struct ring *r, uint8_t *memory);
/* What is in flight is given up. A closed ring, which may be opened again, has nothing to submit
 * and nothing to take; ring_enter fails. */
void ring_close(struct ring *r);

/* An eventfd to be written to whenever there is something for ring_enter to find. */
int ring_set_bell(struct ring *r, int fd);

/* How many operations are not submitted yet. */
static inline unsigned ring_pending(const struct ring *r)
{
    return r->sq_next - atomic_load_explicit(r->sq_head, memory_order_acquire);
}
/* Whether so many more can be. */
bool ring_has_room(const struct ring *r, unsigned operations);
/* A new operation, zeroed; there must be room. */
struct io_uring_sqe *ring_operation(struct ring *r, unsigned opcode);

/* Submits, and waits for a completion, at most `timeout`; <= 0: looks only. */
int ring_enter(struct ring *r, eddy_nsec timeout);
/* Whether ring_enter would find something without having waited. */
bool ring_is_due(const struct ring *r);
/* Completions did not fit into their queue, and come with the next ring_enter. */
bool ring_is_overflown(const struct ring *r);

/* The end of the completions that are there. */
static inline unsigned ring_end(const struct ring *r)
{
    return atomic_load_explicit(r->cq_tail, memory_order_acquire);
}
static inline unsigned ring_head(const struct ring *r)
{
    return atomic_load_explicit(r->cq_head, memory_order_relaxed);
}
/* The next completion; there must be one. */
struct io_uring_cqe ring_take(struct ring *r);

static inline uint8_t *ring_memory(const struct ring *r, unsigned bid)
{
    return r->memory + (size_t)bid * RING_BUFFER_SIZE;
}
/* The kernel may fill it, again. */
void ring_give(struct ring *r, unsigned bid);

#endif
