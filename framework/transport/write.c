/*
 * Writing. The one rule (contract T10): inside a run writes are collected, and flushed when the
 * transport's own read callback returns, at the end of the phase, at 16 KiB, or by flush, write_eof
 * and close. What the kernel refuses stays queued; from then on the backend pulls (output, sent)
 * until it is gone.
 */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_IOV 64
#define SILENT_DISCARDS 4

/* ---- flow control ---- */

static void check_high(struct eddy_transport *t)
{
    struct eddy_protocol *p = t->protocol;

    if (t->queued <= t->limits->high || t->state != EDDY_TRANSPORT_OPEN ||
        (t->flags & T_WRITE_PAUSED))
        return;
    t->flags |= T_WRITE_PAUSED;
    if (p->cls->pause_writing) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);
        const char *name = p->cls->name;

        t->io.loop->lent++;
        p->cls->pause_writing(p);
        t->io.loop->lent--;
        eddy_callback_end(t->io.loop, begin, "pause_writing", name);
    }
}

static void check_low(struct eddy_transport *t)
{
    struct eddy_protocol *p = t->protocol;

    if (t->queued > t->limits->low || !(t->flags & T_WRITE_PAUSED))
        return;
    t->flags &= (uint16_t)~T_WRITE_PAUSED;
    if (p->cls->resume_writing) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);
        const char *name = p->cls->name;

        p->cls->resume_writing(p);
        eddy_callback_end(t->io.loop, begin, "resume_writing", name);
    }
}

/* ---- flushing ---- */

/* The kernel has taken what it would; the rest waits for it. */
static void block(struct eddy_transport *t)
{
    t->flags |= T_BLOCKED;
    queue_stamp(t, eddy_loop_clock(t->io.loop));
    t->cls->send_start(t);
    transport_refresh(t);
    transport_arm_timer(t);
}

/* Sends the queue, then `rest`, as far as the kernel takes it. Returns how much of `rest` it took,
 * or < 0: lost. */
static ssize_t send_all(struct eddy_transport *t, const char *rest, size_t len)
{
    size_t done = 0;

    while (t->head || done < len) {
        struct iovec iov[MAX_IOV];
        int n = queue_pieces(t, iov, MAX_IOV - 1);
        size_t want = 0;

        if (n < MAX_IOV - 1 && done < len)
            iov[n++] = (struct iovec){(void *)(uintptr_t)(rest + done), len - done};
        for (int i = 0; i < n; i++)
            want += iov[i].iov_len;
        ssize_t sent =
            n == 1 ? t->cls->send(t, iov[0].iov_base, iov[0].iov_len) : t->cls->sendv(t, iov, n);
        if (sent == -EAGAIN)
            break;
        if (sent < 0) {
            eddy_transport_fail(t, (int)sent, "write");
            return sent;
        }
        size_t of_queue = (size_t)sent < t->queued ? (size_t)sent : t->queued;
        done += (size_t)sent - of_queue;
        queue_consume(t, of_queue);
        if ((size_t)sent < want)
            break;
    }
    return (ssize_t)done;
}

static bool has_corked(const struct eddy_transport *t)
{
    return t->head && !(t->flags & T_BLOCKED) && t->state < EDDY_TRANSPORT_LOST &&
           EDDY_LIKELY(!t->io.loop->abandoned);
}

static void block_what_is_left(struct eddy_transport *t)
{
    if (has_corked(t)) {
        block(t);
        check_high(t);
    }
}

EDDY_COLD void transport_sent_short(struct eddy_transport *t, ssize_t n)
{
    if (n < 0 && n != -EAGAIN) {
        eddy_transport_fail(t, (int)n, "write");
        return;
    }
    if (n > 0)
        queue_consume(t, (size_t)n);
    block_what_is_left(t);
    queue_settle(t->io.loop);
}

void transport_send_corked(struct eddy_transport *t)
{
    if (has_corked(t) && send_all(t, NULL, 0) >= 0 && t->head)
        block(t);
}

void transport_queue_has_grown(struct eddy_transport *t)
{
    if (has_corked(t))
        block(t);
    if (t->flags & T_BLOCKED)
        check_high(t);
    queue_settle(t->io.loop);
}

void transport_flush(struct eddy_transport *t)
{
    if (EDDY_LIKELY(t->head == t->tail)) {
        transport_flush_single(t, t->head, t->cls->secret);
        return;
    }
    if (send_all(t, NULL, 0) >= 0)
        block_what_is_left(t);
    queue_settle(t->io.loop);
}

static void cork(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;

    if (t->flags & T_CORKED)
        return;
    t->flags |= T_CORKED;
    t->cork_next = loop->corked;
    loop->corked = t;
}

void eddy_transports_uncork(struct eddy_loop *loop)
{
    struct eddy_transport *t;

    while ((t = loop->corked) != NULL) {
        loop->corked = t->cork_next;
        t->flags &= (uint16_t)~T_CORKED;
        if (has_corked(t))
            transport_flush(t);
        else if (t->state == EDDY_TRANSPORT_ENDED)
            transport_maybe_free(t); /* one with nothing below goes as soon as it can */
    }
}

/* ---- writing ---- */

static int discard(struct eddy_transport *t, size_t len)
{
    if (len > 0 && t->discarded < UINT8_MAX && ++t->discarded == SILENT_DISCARDS + 1) {
        char text[256];

        eddy_loop_log(t->io.loop, EDDY_LOG_WARNING, "transport",
                      "writing to a closing transport, bytes are discarded: %s",
                      eddy_transport_describe(t, text, sizeof text));
    }
    return EDDY_ECLOSED;
}

/* `len` bytes, or so many that it is not 0. */
static int check_open(struct eddy_transport *t, const char *call, size_t len)
{
    struct eddy_loop *loop = t->io.loop;

    if (t->state >= EDDY_TRANSPORT_CLOSING)
        return discard(t, len);
    if (!eddy_loop_may_call(loop, call, NULL))
        return EDDY_ETHREAD;
    if (!t->cls->send)
        return EDDY_ENOT_SUPPORTED;
    if (t->flags & T_EOF_WANTED)
        return EDDY_EINVALID_STATE;
    return 0;
}

/* Into the stream of the transport above nobody else may write. */
static int check_writable(struct eddy_transport *t, const char *call, size_t len)
{
    if (!t) /* p->transport after connection_lost */
        return EDDY_ECLOSED;
    if (t->flags & T_COVERED)
        return EDDY_EINVALID_STATE;
    return check_open(t, call, len);
}

static int lose_bytes(struct eddy_transport *t, int code)
{
    eddy_transport_fail(t, code, "write");
    return code;
}

/* len bytes are not corked: to the kernel, and the rest into the queue. */
static int send_now(struct eddy_transport *t, const char *data, size_t len)
{
    ssize_t taken = send_all(t, data, len);

    if (taken < 0)
        return 0; /* contract T16: connection_lost tells */
    if ((size_t)taken < len && queue_append(t, data + taken, len - (size_t)taken) < 0)
        return lose_bytes(t, -ENOMEM);
    if (t->head && !(t->flags & T_BLOCKED))
        block(t);
    return 0;
}

static int append_behind_refused(struct eddy_transport *t, const char *data, size_t len)
{
    if (t->queued > t->limits->max)
        return lose_bytes(t, -ENOBUFS);
    if (queue_append(t, data, len) < 0)
        return lose_bytes(t, -ENOMEM);
    return 0;
}

/* Sends or keeps the bytes, and calls nobody: what is written by pause_writing comes behind them.
 */
static int take_bytes(struct eddy_transport *t, const char *data, size_t len)
{
    struct eddy_loop *loop = t->io.loop;

    if (len == 0)
        return 0;
    if (t->flags & T_BLOCKED)
        return append_behind_refused(t, data, len);
    if (!loop->corking || t->queued + len >= CORK_SIZE)
        return send_now(t, data, len);
    if (queue_append(t, data, len) < 0)
        return lose_bytes(t, -ENOMEM);
    if (loop->receiving != t)
        cork(t);
    return 0;
}

static EDDY_NOINLINE int write_checked(struct eddy_transport *t, const char *data, size_t len)
{
    int rc = take_bytes(t, data, len);

    if (t->flags & T_BLOCKED)
        check_high(t);
    queue_settle(t->io.loop);
    return rc;
}

static EDDY_COLD int write_slow(struct eddy_transport *t, const void *data, size_t len, bool above)
{
    int rc = above ? check_open(t, "write", len) : check_writable(t, "write", len);

    if (rc < 0)
        return rc;
    if (!data && len > 0)
        return -EINVAL;
    return write_checked(t, data, len);
}

/* To another connection than the one that receives. */
static EDDY_NOINLINE int copy_and_cork(struct eddy_transport *t, char *to, const void *data,
                                       size_t len)
{
    memcpy(to, data, len);
    cork(t);
    return 0;
}

/* above: by the transport that stands on t. */
static inline int write_bytes(struct eddy_transport *t, const void *data, size_t len, bool above)
{
    struct eddy_loop *loop = t->io.loop;
    struct eddy_block *b = t->tail;
    unsigned slow = above ? SLOW_WRITE : SLOW_WRITE | SLOW_COVERED;

    if (EDDY_UNLIKELY((t->slow & slow) || !loop->straight || !data))
        return write_slow(t, data, len, above);
    if (!b) {
        b = loop->spare_blocks;
        if (EDDY_UNLIKELY(!b || len - 1 >= BLOCK_ROOM))
            return write_checked(t, data, len);
        queue_take_spare(t, b);
    } else if (len - 1 >= (size_t)(b->limit - b->end) || t->queued + len >= CORK_SIZE) {
        return write_checked(t, data, len);
    }
    /* Copied last: nothing outlives a call, so no registers need saving. */
    char *to = b->end;

    b->end += len;
    t->queued += len;
    if (EDDY_UNLIKELY(loop->receiving != t))
        return copy_and_cork(t, to, data, len);
    memcpy(to, data, len);
    return 0;
}

int eddy_transport_write(struct eddy_transport *t, const void *data, size_t len)
{
    if (EDDY_UNLIKELY(!t))
        return EDDY_ECLOSED;
    return write_bytes(t, data, len, false);
}

int eddy_transport_write_below(struct eddy_transport *lower, const void *data, size_t len)
{
    return write_bytes(lower, data, len, true);
}

/* Not 0 if there is a byte in any piece. */
static size_t any_bytes(const struct iovec *iov, int n)
{
    size_t any = 0;

    for (int i = 0; i < n && iov; i++)
        any |= iov[i].iov_len;
    return any;
}

int eddy_transport_writev(struct eddy_transport *t, const struct iovec *iov, int n)
{
    int rc = check_writable(t, "writev", any_bytes(iov, n));

    if (rc < 0)
        return rc;
    if (n < 0 || (n > 0 && !iov))
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if (!iov[i].iov_base && iov[i].iov_len > 0)
            return -EINVAL;
    /* Collected first, so that small pieces share a block and a system call. */
    struct eddy_loop *loop = t->io.loop;
    struct eddy_transport *receiving = loop->receiving;
    bool corking = loop->corking;

    loop->receiving = t;
    loop->corking = true;
    for (int i = 0; i < n && rc == 0 && t->state < EDDY_TRANSPORT_CLOSING; i++)
        rc = take_bytes(t, iov[i].iov_base, iov[i].iov_len);
    loop->receiving = receiving;
    loop->corking = corking;
    if (t->flags & T_BLOCKED) {
        check_high(t);
    } else if (has_corked(t)) {
        if (!corking)
            transport_flush(t);
        else if (receiving != t)
            cork(t);
    }
    queue_settle(loop);
    return rc;
}

int eddy_transport_printf(struct eddy_transport *t, const char *fmt, ...)
{
    char small[512];
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (len < 0)
        return -EINVAL;
    if ((size_t)len < sizeof small)
        return eddy_transport_write(t, small, (size_t)len);

    char *large = eddy_alloc((size_t)len + 1);
    if (!large)
        return t && t->state < EDDY_TRANSPORT_CLOSING ? lose_bytes(t, -ENOMEM) : EDDY_ECLOSED;
    va_start(ap, fmt);
    vsnprintf(large, (size_t)len + 1, fmt, ap);
    va_end(ap);
    int rc = eddy_transport_write(t, large, (size_t)len);
    eddy_free(large);
    return rc;
}

int eddy_transport_write_owned(struct eddy_transport *t, const void *data, size_t len,
                               void (*release)(void *user), void *user)
{
    if (!t) {
        if (release)
            release(user);
        return EDDY_ECLOSED;
    }
    int rc = check_writable(t, "write_owned", len);

    if (rc == 0 && !data && len > 0)
        rc = -EINVAL;
    if (rc == 0 && (t->flags & T_BLOCKED) && t->queued > t->limits->max)
        rc = lose_bytes(t, -ENOBUFS);
    if (rc < 0 || len == 0) {
        queue_release(t->io.loop, release, user);
        return rc;
    }
    if (queue_append_owned(t, data, len, release, user) < 0) {
        queue_release(t->io.loop, release, user);
        return lose_bytes(t, -ENOMEM);
    }
    if (t->flags & T_BLOCKED)
        check_high(t);
    else if (!t->io.loop->corking || t->queued >= CORK_SIZE)
        transport_flush(t);
    else if (t->io.loop->receiving != t)
        cork(t);
    return 0;
}

void eddy_transport_flush(struct eddy_transport *t)
{
    if (t && has_corked(t))
        transport_flush(t);
}

/* ---- the backend pulls ---- */

int eddy_transport_output(struct eddy_io *io, struct iovec *iov, int max)
{
    struct eddy_transport *t = (struct eddy_transport *)io;

    if (!(t->flags & T_BLOCKED))
        return 0;
    return t->head && t->head->is_file ? transport_file_output(t, iov) : queue_pieces(t, iov, max);
}

void eddy_transport_sent(struct eddy_io *io, ssize_t n)
{
    struct eddy_transport *t = (struct eddy_transport *)io;

    if (n < 0) {
        eddy_transport_fail(t, (int)n, "write");
        return;
    }
    if (t->head && t->head->is_file)
        transport_file_sent(t, (size_t)n);
    else
        queue_consume(t, (size_t)n);
    if (t->head) {
        queue_stamp(t, io->loop->now);
        transport_files_go_on(t);
    }
    if (t->state < EDDY_TRANSPORT_LOST) /* by a file */
        transport_queue_moved(t);
}

void transport_queue_moved(struct eddy_transport *t)
{
    if (!t->head) {
        t->flags &= (uint16_t)~T_BLOCKED;
        transport_refresh(t);
    }
    queue_settle(t->io.loop);
    if (t->state >= EDDY_TRANSPORT_LOST) /* by a release function */
        return;
    check_low(t);
    if (t->head || t->state >= EDDY_TRANSPORT_LINGERING)
        return;
    transport_shut_when_sent(t);
    if (t->state == EDDY_TRANSPORT_CLOSING)
        transport_drained(t);
}

/* ---- for classes with a queue of their own ---- */

void eddy_transport_waiting(struct eddy_transport *t, size_t bytes, bool taken)
{
    t->queued = bytes;
    if (bytes > 0) {
        t->flags |= T_BLOCKED;
        transport_arm_timer(t);
    } else {
        t->flags &= (uint16_t)~T_BLOCKED;
    }
    if (taken)
        check_low(t);
    else
        check_high(t);
    if (t->queued == 0 && t->state == EDDY_TRANSPORT_CLOSING)
        transport_drained(t);
}

/* ---- half-close ---- */

void transport_shut_when_sent(struct eddy_transport *t)
{
    if (t->head || !(t->flags & T_EOF_WANTED) || (t->flags & T_EOF_SENT) ||
        t->state >= EDDY_TRANSPORT_LINGERING)
        return;
    t->flags |= T_EOF_SENT;
    int rc = t->cls->shutdown(t);
    if (rc < 0 && rc != -ENOTCONN)
        eddy_transport_fail(t, rc, "write_eof");
}

bool eddy_transport_can_write_eof(const struct eddy_transport *t)
{
    return t && t->cls->can_write_eof;
}

int eddy_transport_write_eof(struct eddy_transport *t)
{
    if (!t)
        return 0;
    return t->flags & T_COVERED ? EDDY_EINVALID_STATE : eddy_transport_write_eof_below(t);
}

int eddy_transport_write_eof_below(struct eddy_transport *t)
{
    if (!t->cls->can_write_eof)
        return EDDY_ENOT_SUPPORTED;
    if (t->state >= EDDY_TRANSPORT_CLOSING || (t->flags & T_EOF_WANTED))
        return 0;
    if (!t->cls->read_start) { /* contract T44 */
        eddy_transport_close(t);
        return 0;
    }
    t->flags |= T_EOF_WANTED;
    transport_refresh(t);
    eddy_transport_flush(t);
    transport_shut_when_sent(t);
    return 0;
}

/* ---- limits ---- */

size_t eddy_transport_get_write_buffer_size(const struct eddy_transport *t)
{
    return !t || t->state >= EDDY_TRANSPORT_LOST ? 0 : t->queued;
}

bool eddy_transport_is_writing_paused(const struct eddy_transport *t)
{
    return t && (t->flags & T_WRITE_PAUSED);
}

void eddy_transport_get_write_buffer_limits(const struct eddy_transport *t, size_t *ret_low,
                                            size_t *ret_high)
{
    *ret_low = t->limits->low;
    *ret_high = t->limits->high;
}

void transport_limits_changed(struct eddy_transport *t)
{
    eddy_transport_flush(t);
    if (t->flags & T_BLOCKED)
        check_high(t);
}
