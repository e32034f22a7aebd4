#include "framework/backends/ring.h"

#include "framework/backends/selectors.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some systems' header. Completions come when their thread asks for them, not in the
 * middle of whatever system call it is in. */
#define SETUP_SUBMIT_ALL (1u << 7)
#define SETUP_TASKRUN_FLAG (1u << 9)
#define SETUP_SINGLE_ISSUER (1u << 12)
#define SETUP_DEFER_TASKRUN (1u << 13)
#define SQ_TASKRUN (1u << 2)
#define REGISTER_PBUF_RING 22u
#define FEAT_CQE_SKIP (1u << 11)

#define NEEDED_FEATURES                                                         \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | \
     IORING_FEAT_EXT_ARG | FEAT_CQE_SKIP)

#define SQ_ENTRIES 512u
#define CQ_ENTRIES 4096u

/* ---- the queues ---- */

bool ring_has_room(const struct ring *r, unsigned operations)
{
    return r->fd >= 0 && ring_pending(r) + operations <= SQ_ENTRIES;
}

struct io_uring_sqe *ring_operation(struct ring *r, unsigned opcode)
{
    struct io_uring_sqe *sqe = &r->sqes[r->sq_next++ & r->sq_mask];

    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = (uint8_t)opcode;
    sqe->fd = -1;
    return sqe;
}

int ring_enter(struct ring *r, eddy_nsec timeout)
{
    struct timespec rel = eddy_wait_timespec(timeout);
    struct __kernel_timespec ts = {rel.tv_sec, rel.tv_nsec};
    struct io_uring_getevents_arg arg = {.ts = 0};
    unsigned submit = ring_pending(r);

    if (timeout > 0 && timeout != EDDY_FOREVER)
        arg.ts = (uint64_t)(uintptr_t)&ts;
    atomic_store_explicit(r->sq_tail, r->sq_next, memory_order_release);
    long n = syscall(__NR_io_uring_enter, r->fd, submit, timeout > 0 ? 1u : 0u,
                     IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    if (n >= 0 || errno == ETIME || errno == EINTR || errno == EAGAIN || errno == EBUSY)
        return 0; /* the last two: completions must be looked at first */
    return -errno;
}

static unsigned sq_flags(const struct ring *r)
{
    return atomic_load_explicit(r->sq_flags, memory_order_relaxed);
}

bool ring_is_due(const struct ring *r)
{
    return ring_head(r) != ring_end(r) || (sq_flags(r) & (SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

bool ring_is_overflown(const struct ring *r)
{
    return sq_flags(r) & IORING_SQ_CQ_OVERFLOW;
}

struct io_uring_cqe ring_take(struct ring *r)
{
    unsigned head = ring_head(r);
    struct io_uring_cqe cqe = r->cqes[head & r->cq_mask];

    atomic_store_explicit(r->cq_head, head + 1, memory_order_release);
    return cqe;
}

void ring_give(struct ring *r, unsigned bid)
{
    if (r->fd < 0) /* all that nobody holds is given when it opens */
        return;
    struct ring_buffer *b = &r->buffers[r->buffers_tail & (RING_BUFFERS - 1)];

    b->addr = (uint64_t)(uintptr_t)ring_memory(r, bid);
    b->len = RING_BUFFER_SIZE;
    b->bid = (uint16_t)bid;
    r->buffers_tail++;
    atomic_store_explicit(&r->buffers[0].tail, r->buffers_tail, memory_order_release);
}

/* ---- opening ---- */

/* Shared with the kernel alone: a forked child's copies must not be. */
static void *map(int fd, size_t size, off_t offset)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, offset);

    return at == MAP_FAILED ? NULL : at;
}

static int map_queues(struct ring *r, const struct io_uring_params *p)
{
    size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

    r->queues_size = sq > cq ? sq : cq;
    r->entries_size = p->sq_entries * sizeof(struct io_uring_sqe);
    char *at = r->queues = map(r->fd, r->queues_size, IORING_OFF_SQ_RING);
    r->entries = map(r->fd, r->entries_size, IORING_OFF_SQES);
    if (!r->queues || !r->entries)
        return -ENOMEM;
    r->sqes = r->entries;
    r->cqes = (void *)(at + p->cq_off.cqes);
    r->sq_head = (void *)(at + p->sq_off.head);
    r->sq_tail = (void *)(at + p->sq_off.tail);
    r->sq_flags = (void *)(at + p->sq_off.flags);
    r->cq_head = (void *)(at + p->cq_off.head);
    r->cq_tail = (void *)(at + p->cq_off.tail);
    r->sq_mask = p->sq_entries - 1;
    r->cq_mask = p->cq_entries - 1;
    unsigned *array = (void *)(at + p->sq_off.array);
    for (unsigned i = 0; i < p->sq_entries; i++)
        array[i] = i;
    return 0;
}

static int register_buffers(struct ring *r)
{
    struct {
        uint64_t ring_addr;
        uint32_t ring_entries;
        uint16_t group, pad;
        uint64_t reserved[3];
    } arg = {.ring_entries = RING_BUFFERS};

    r->buffers = map(-1, RING_BUFFERS * sizeof *r->buffers, 0);
    if (!r->buffers)
        return -ENOMEM;
    arg.ring_addr = (uint64_t)(uintptr_t)r->buffers;
    return syscall(__NR_io_uring_register, r->fd, REGISTER_PBUF_RING, &arg, 1u) < 0 ? -errno : 0;
}

/* One completion, of the only operation there is. */
static int take_one(struct ring *r, unsigned *ret_flags)
{
    int rc = ring_enter(r, EDDY_SEC(1));

    if (rc == 0 && ring_head(r) == ring_end(r))
        rc = -EINVAL;
    if (rc == 0)
        *ret_flags = ring_take(r).flags;
    return rc;
}

/* A filter may let a ring be made and nothing be done with it, and a kernel may know rings of
 * buffers but not how to receive more than once. */
static int try_receiving(struct ring *r)
{
    unsigned flags = 0, last;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    struct io_uring_sqe *sqe = ring_operation(r, IORING_OP_RECV);
    sqe->fd = fds[0];
    sqe->ioprio = RING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    ring_give(r, 0);
    int rc = send(fds[1], "", 1, MSG_NOSIGNAL) < 0 ? -errno : take_one(r, &flags);
    if (rc == 0 && !(flags & IORING_CQE_F_MORE))
        rc = -EINVAL;
    close(fds[1]);
    if (rc == 0) /* the only buffer is gone: it ends */
        rc = take_one(r, &last);
    close(fds[0]);
    return rc;
}

int ring_open(struct ring *r, uint8_t *memory)
{
    struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | SETUP_SUBMIT_ALL |
                                         SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN |
                                         SETUP_TASKRUN_FLAG,
                                .cq_entries = CQ_ENTRIES};

    ring_close(r);
    r->memory = memory;
    r->fd = (int)syscall(__NR_io_uring_setup, SQ_ENTRIES, &p);
    if (r->fd < 0)
        return -errno;
    int rc = (p.features & NEEDED_FEATURES) == NEEDED_FEATURES ? map_queues(r, &p) : -EINVAL;
    if (rc == 0)
        rc = register_buffers(r);
    return rc == 0 ? try_receiving(r) : rc;
}

int ring_set_bell(struct ring *r, int fd)
{
    return syscall(__NR_io_uring_register, r->fd, IORING_REGISTER_EVENTFD, &fd, 1u) < 0 ? -errno
                                                                                        : 0;
}

void ring_close(struct ring *r)
{
    if (r->entries)
        munmap(r->entries, r->entries_size);
    if (r->queues)
        munmap(r->queues, r->queues_size);
    if (r->buffers)
        munmap(r->buffers, RING_BUFFERS * sizeof *r->buffers);
    if (r->fd >= 0)
        close(r->fd);
    *r = (struct ring){.fd = -1, .memory = r->memory};
    r->sq_head = r->sq_tail = r->sq_flags = r->cq_head = r->cq_tail = &r->none;
}
