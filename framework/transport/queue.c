/*
 * The write queue: blocks that never move, so that a backend may send from them while others are
 * appended. Small writes share blocks of 4 KiB from the loop's pool; larger ones get one of their
 * size.
 */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"
#include <string.h>

#define POOL_MAX 64 /* blocks kept for reuse */

static void add_tail(struct eddy_transport *t, struct eddy_block *b)
{
    b->next = NULL;
    if (t->tail)
        t->tail->next = b;
    else
        t->head = b;
    t->tail = b;
}

static struct eddy_block *new_block(size_t room)
{
    struct eddy_block *b = eddy_alloc(sizeof *b + room);

    if (!b)
        return NULL;
    b->start = b->end = b->bytes;
    b->limit = b->bytes + room;
    b->release = NULL;
    b->pooled = b->is_file = false;
    return b;
}

struct eddy_block *queue_new_tail(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;
    struct eddy_block *b = loop->spare_blocks;

    if (b) {
        loop->spare_blocks = b->next;
    } else {
        b = new_block(BLOCK_ROOM);
        if (!b)
            return NULL;
        if (loop->pooled < POOL_MAX) {
            b->pooled = true;
            loop->pooled++;
        }
    }
    add_tail(t, b);
    return b;
}

void queue_release(struct eddy_loop *loop, void (*release)(void *user), void *user)
{
    if (!release)
        return;
    loop->lent++;
    release(user);
    loop->lent--;
}

/* The user's function may write: it must not be called before the queue is whole. */
static void list_released(struct eddy_loop *loop, struct eddy_block *b)
{
    b->next = NULL;
    if (loop->released)
        loop->last_released->next = b;
    else
        loop->released = b;
    loop->last_released = b;
}

void queue_run_releases(struct eddy_loop *loop)
{
    struct eddy_block *b;

    if (loop->releases_held > 0) {
        transports_wake_deferred(loop);
        return;
    }
    while ((b = loop->released) != NULL) {
        void (*release)(void *user) = b->release;
        void *user = b->user;

        loop->released = b->next;
        eddy_free(b);
        queue_release(loop, release, user);
    }
}

void queue_free_block(struct eddy_loop *loop, struct eddy_block *b)
{
    if (b->release) {
        list_released(loop, b);
        return;
    }
    if (b->pooled) {
        b->start = b->end = b->bytes;
        b->next = loop->spare_blocks;
        loop->spare_blocks = b;
        return;
    }
    /* When all of the pool waits in stalled queues, those in use must still not be allocated each
     * time. */
    if (!loop->spare_blocks && b->limit == b->bytes + BLOCK_ROOM) {
        b->start = b->end = b->bytes;
        b->next = NULL;
        loop->spare_blocks = b;
        return;
    }
    eddy_free(b);
}

void queue_wipe(struct eddy_block *b)
{
    if (!b->release)
        explicit_bzero(b->bytes, (size_t)(b->end - b->bytes));
}

/* t is done with a block of its queue. */
static void give_up_block(struct eddy_transport *t, struct eddy_block *b)
{
    if (t->cls->secret)
        queue_wipe(b);
    queue_free_block(t->io.loop, b);
}

static size_t fill_tail(struct eddy_transport *t, const char *data, size_t len)
{
    struct eddy_block *b = t->tail;
    size_t room = b ? (size_t)(b->limit - b->end) : 0;
    size_t n = len < room ? len : room;

    if (n > 0) {
        memcpy(b->end, data, n);
        b->end += n;
        t->queued += n;
    }
    return n;
}

int queue_append(struct eddy_transport *t, const char *data, size_t len)
{
    size_t n = fill_tail(t, data, len);

    if (n == len)
        return 0;
    if (len - n <= BLOCK_ROOM) {
        if (!queue_new_tail(t))
            return -ENOMEM;
    } else {
        struct eddy_block *b = new_block(len - n);

        if (!b)
            return -ENOMEM;
        add_tail(t, b);
    }
    fill_tail(t, data + n, len - n);
    return 0;
}

/* Marks a block whose bytes are not behind it. */
static void release_nothing(void *user)
{
    (void)user;
}

int queue_append_owned(struct eddy_transport *t, const char *data, size_t len,
                       void (*release)(void *user), void *user)
{
    struct eddy_block *b = eddy_alloc(sizeof *b);

    if (!b)
        return -ENOMEM;
    b->start = (char *)(uintptr_t)data; /* only ever read */
    b->end = b->limit = b->start + len;
    b->release = release ? release : release_nothing;
    b->pooled = b->is_file = false;
    b->user = user;
    add_tail(t, b);
    t->queued += len;
    return 0;
}

struct eddy_block *queue_append_file(struct eddy_transport *t, void *file,
                                     void (*release)(void *file))
{
    struct eddy_block *b = new_block(0);

    if (!b)
        return NULL;
    b->is_file = true;
    b->release = release;
    b->user = file;
    add_tail(t, b);
    return b;
}

int queue_pieces(const struct eddy_transport *t, struct iovec *iov, int max)
{
    int n = 0;

    for (struct eddy_block *b = t->head; b && n < max && !b->is_file; b = b->next, n++) {
        iov[n].iov_base = b->start;
        iov[n].iov_len = (size_t)(b->end - b->start);
    }
    return n;
}

void queue_drop_first(struct eddy_transport *t)
{
    t->head = t->head->next;
    if (t->head) {
        queue_stamp(t, t->io.loop->now);
    } else {
        t->tail = NULL;
        t->flags &= (uint16_t)~T_BLOCKED;
    }
}

void queue_consume(struct eddy_transport *t, size_t n)
{
    t->queued -= n;
    for (struct eddy_block *b; n > 0 && (b = t->head) != NULL;) {
        size_t len = (size_t)(b->end - b->start);

        if (n < len) {
            b->start += n;
            return;
        }
        n -= len;
        t->head = b->next;
        if (!t->head)
            t->tail = NULL;
        give_up_block(t, b);
    }
}

void queue_clear(struct eddy_transport *t)
{
    struct eddy_block *b;

    while ((b = t->head) != NULL) {
        queue_drop_first(t);
        give_up_block(t, b);
    }
    t->queued = 0;
}

void queue_free_pool(struct eddy_loop *loop)
{
    struct eddy_block *b;

    while ((b = loop->spare_blocks) != NULL) {
        loop->spare_blocks = b->next;
        eddy_free(b);
    }
    loop->pooled = 0;
}
