/* The base class's inside. */
#ifndef EDDY_TRANSPORT_TRANSPORT_H
#define EDDY_TRANSPORT_TRANSPORT_H

#include "framework/loop/loop.h"
#include <eddy/transport_impl.h>

/* t->flags */
enum {
    T_READ_PAUSED = 1 << 0,
    T_READING = 1 << 1,      /* the concrete class was told to read */
    T_EOF_IN = 1 << 2,       /* the peer has ended: nothing will be read any more */
    T_UNREAD = 1 << 3,       /* t->pending holds bytes given back */
    T_WRITE_PAUSED = 1 << 4, /* pause_writing was called */
    T_BLOCKED = 1 << 5,      /* the queue was refused by the kernel, and is pulled by it */
    T_EOF_WANTED = 1 << 6,   /* write_eof was called */
    T_EOF_SENT = 1 << 7,
    T_CORKED = 1 << 8,    /* on the loop's list of those to be flushed */
    T_DEFERRED = 1 << 9,  /* on the loop's list of those owed a call */
    T_INSTANCE = 1 << 10, /* the instance behind it is in use */
    T_IO_OPEN = 1 << 11,  /* `closed` is owed */
    T_FILE = 1 << 12,     /* a file is being sent, or waits for it: nothing is received */
    T_COVERED = 1 << 13,  /* another transport stands on it */
};

/* Why an open transport does not read. */
#define T_NOT_READING (T_READ_PAUSED | T_UNREAD | T_FILE)

/* t->slow: bits for why, tested in one go */
enum {
    SLOW_READ = 1 << 0,
    SLOW_WRITE = 1 << 1,
    SLOW_FLUSH = 1 << 2,   /* what was sent is wiped */
    SLOW_COVERED = 1 << 3, /* only the transport above may write */
};

/* p->phase_ */
enum {
    PHASE_IDLE,
    PHASE_CONNECTING, /* link_ is the struct eddy_attempt */
    PHASE_ATTACHED,
    PHASE_LOSING,    /* in connection_lost; or connect_failed: link_ is a bool set by detach */
    PHASE_FINISHING, /* fini is owed: link_ is of the list, or the loop, referenced, while held */
};

/* p->flags_ */
enum {
    P_INSTANCE = 1 << 0, /* a server's, behind its transport */
    P_LISTED = 1 << 1,   /* on the loop's list of those owed fini */
};

/* Default limits of T21, T56. */
#define HIGH_MARK (64 * 1024)
#define LOW_MARK (16 * 1024)
#define WRITE_MAX ((size_t)64 * 1024 * 1024)
#define LINGER EDDY_SEC(2)
#define CLOSING_STALL EDDY_SEC(60)
#define CORK_SIZE (16 * 1024)
#define READ_SIZE (256 * 1024)

/* ---- state.c ---- */

/* After any change of state, flags or protocol: what follows from them. */
void transport_refresh(struct eddy_transport *t);
/* As eddy_transport_fail, with the sentence of `why` if there is one; code 0: a clean end. */
void transport_lose(struct eddy_transport *t, int code, const char *op,
                    const struct eddy_error *why);
/* A closing transport's queue is empty. */
void transport_drained(struct eddy_transport *t);
/* Nobody below uses it any more. */
void transport_release(struct eddy_transport *t);
/* Both io and instance are done: the storage goes. */
void transport_maybe_free(struct eddy_transport *t);

/* ---- deferred.c: calls owed, made from the loop ---- */

void transport_defer(struct eddy_transport *t);
/* The loop comes to these calls, and to release functions that are due. */
void transports_wake_deferred(struct eddy_loop *loop);

/* connection_lost was delivered, also to the one above: its owner hears of it, and what is below is
 * closed. */
void transport_ended(struct eddy_transport *t);

/* For the loop. */
void eddy_transports_init(struct eddy_loop *loop);
/* Makes the calls owed so far; true if there were any. */
bool eddy_transports_run_deferred(struct eddy_loop *loop);
void eddy_transports_fini(struct eddy_loop *loop);

/* ---- read.c ---- */

struct unread;
void transport_deliver_unread(struct eddy_transport *t);
void transport_free_unread(const struct eddy_transport *t, struct unread *u);

/* ---- write.c ---- */

/* Corked bytes to the kernel. May lose the transport, or call pause_writing. */
void transport_flush(struct eddy_transport *t);
/* The same without a call to anybody, which is up to transport_queue_has_grown. */
void transport_send_corked(struct eddy_transport *t);
/* Something was added that waits for the kernel: what follows from it. */
void transport_queue_has_grown(struct eddy_transport *t);
/* Something was sent of what waited for the kernel: what follows from it. */
void transport_queue_moved(struct eddy_transport *t);
/* After a send of the only block that did not take all of it: what it came to. */
void transport_sent_short(struct eddy_transport *t, ssize_t n);
/* Ends the sending side if that was asked for and all is sent. */
void transport_shut_when_sent(struct eddy_transport *t);
void eddy_transports_uncork(struct eddy_loop *loop);
/* Its read callback runs, and has become one in which the short cuts do not hold. */
static inline void transport_leave_straight_line(struct eddy_transport *t)
{
    t->slow |= SLOW_READ | SLOW_WRITE;
}
/* Contract T24: flushes, then checks for pause_writing. */
void transport_limits_changed(struct eddy_transport *t);

/* ---- queue.c: the bytes that wait ---- */

struct eddy_block {
    struct eddy_block *next;
    char *start, *end, *limit; /* unsent bytes, and room behind them */
    bool pooled;               /* goes back to the loop */
    bool is_file;              /* see sendfile.c: the bytes are those copied of it, if any */
    eddy_nsec stamp; /* of the first one: when the peer last took bytes, as far as we know */
    int in_flight;   /* ... asked since; -1: not yet */
    void (*release)(void *user);
    void *user;
    char bytes[];
};

#define BLOCK_SIZE 4096
#define BLOCK_ROOM (BLOCK_SIZE - sizeof(struct eddy_block))

/* Copies len bytes to the end: -ENOMEM leaves a hole, so the transport must be lost then. */
int queue_append(struct eddy_transport *t, const char *data, size_t len);
/* Appends without a copy: -ENOMEM. */
int queue_append_owned(struct eddy_transport *t, const char *data, size_t len,
                       void (*release)(void *user), void *user);
/* Appends one of a file, which `release` frees with it. NULL: no memory. */
struct eddy_block *queue_append_file(struct eddy_transport *t, void *file,
                                     void (*release)(void *file));
/* Takes the first block out; it is the caller's. */
void queue_drop_first(struct eddy_transport *t);
/* An empty block at the end, from the pool. NULL: no memory. */
struct eddy_block *queue_new_tail(struct eddy_transport *t);
/* Calls it, unless NULL, with no run or close of the loop allowed meanwhile. */
void queue_release(struct eddy_loop *loop, void (*release)(void *user), void *user);
void queue_free_block(struct eddy_loop *loop, struct eddy_block *b);
/* Unless the bytes are somebody else's. */
void queue_wipe(struct eddy_block *b);
/* Calls the release functions that are due: wherever the queue is whole again. */
void queue_run_releases(struct eddy_loop *loop);
static inline void queue_settle(struct eddy_loop *loop)
{
    if (EDDY_UNLIKELY(loop->released))
        queue_run_releases(loop);
}

/* The loop's first spare block becomes the only one of an empty queue. */
static inline void queue_take_spare(struct eddy_transport *t, struct eddy_block *b)
{
    t->io.loop->spare_blocks = b->next;
    b->next = NULL;
    t->head = t->tail = b;
}

/* The first block moves. */
static inline void queue_stamp(struct eddy_transport *t, eddy_nsec now)
{
    t->head->stamp = now;
    t->head->in_flight = -1;
}

/* The first bytes as pieces, up to the first file. */
int queue_pieces(const struct eddy_transport *t, struct iovec *iov, int max);
/* The first n bytes are sent: none of a file. */
void queue_consume(struct eddy_transport *t, size_t n);
/* Drops everything. */
void queue_clear(struct eddy_transport *t);
/* The only block was sent whole. */
static inline void queue_sent_single(struct eddy_transport *t, struct eddy_block *b)
{
    struct eddy_loop *loop = t->io.loop;

    t->head = t->tail = NULL;
    t->queued = 0;
    if (EDDY_UNLIKELY(!b->pooled)) {
        queue_free_block(loop, b);
        queue_settle(loop);
        return;
    }
    b->start = b->end = b->bytes;
    b->next = loop->spare_blocks;
    loop->spare_blocks = b;
}
/* Sends the only block; nothing was refused so far. `secret`: its bytes are wiped then. */
static inline void transport_flush_single(struct eddy_transport *t, struct eddy_block *b,
                                          bool secret)
{
    size_t len = (size_t)(b->end - b->start);
    ssize_t n = t->cls->send(t, b->start, len);

    if (EDDY_UNLIKELY(n != (ssize_t)len)) {
        transport_sent_short(t, n);
        return;
    }
    if (secret)
        queue_wipe(b);
    queue_sent_single(t, b);
}
void queue_free_pool(struct eddy_loop *loop);

/* ---- sendfile.c: files in the queue ---- */

/* The first block is a file: its bytes as a piece, or -1 if it is sent without any. */
int transport_file_output(const struct eddy_transport *t, struct iovec *iov);
/* n of these bytes were taken. */
void transport_file_sent(struct eddy_transport *t, size_t n);
/* If the first block is a file without bytes: gets some, or takes it out if it is over. May lose
 * the transport. */
void transport_files_go_on(struct eddy_transport *t);
/* The same, and what follows from it. */
void transport_files_moved(struct eddy_transport *t);
/* The transport is lost: so are the files in its queue. */
void transport_files_lost(struct eddy_transport *t);

/* ---- info.c ---- */

/* What t stands on; NULL: nothing. */
static inline struct eddy_transport *transport_below(const struct eddy_transport *t)
{
    return t->cls->below ? t->cls->below(t) : NULL;
}
/* "local -> peer", into buf, for the texts of errors. */
const char *transport_ends(const struct eddy_transport *t, char *buf, size_t size);

/* ---- timeouts.c ---- */

/* Something that a time-out depends on has changed. */
void transport_arm_timer(struct eddy_transport *t);
void transport_linger(struct eddy_transport *t);

/* ---- protocol.c ---- */

extern struct eddy_protocol protocol_nobody; /* ignores everything; never written to */

void protocol_attach(struct eddy_protocol *p, struct eddy_transport *t);
/* The attachment has ended: fini now, or after the last release. From the loop only. */
void protocol_finish(struct eddy_protocol *p, struct eddy_loop *loop);
/* The same from anywhere: fini comes from the loop. */
void protocol_finish_later(struct eddy_protocol *p, struct eddy_loop *loop);
/* fini for those that are owed it; true if there were any. */
bool protocols_run_finishing(struct eddy_loop *loop);

#endif
