/*
 * Files among the bytes to be sent. Each is a block of the write queue, so that the order is that
 * of the calls. A queue with a file in it counts as refused by the kernel (T_BLOCKED): what is
 * written is appended, and the backend pulls. A file that is next is sent by the system call when
 * there is room (`writable`), or it is copied: then its block has the bytes that come next,
 * always, and they are sent as others are.
 *
 * They are not counted in t->queued: limits are for what is in memory at the user's wish.
 *
 * A file that is over without having been sent stays where it is until it comes to be the first:
 * the backend may still look at its bytes.
 */
#include "framework/base/alloc.h"
#include "framework/loop/file_part.h"
#include "framework/transport/transport.h"
#include <eddy/future.h>
#include <unistd.h>

struct sending {
    struct file_part part; /* first: the future's value, to which it then belongs */
    struct eddy_transport *t;
    struct eddy_block *block;
    struct eddy_future *future; /* NULL: nobody waits */
    bool by_call;
    bool over;   /* only what was copied is left, if that */
    bool secret; /* what was copied is wiped; t may be gone by then */
    char *copy;
};

static struct sending *first_of(const struct eddy_transport *t)
{
    return t->head && t->head->is_file ? t->head->user : NULL;
}

/* ---- the end of one ---- */

static void free_value(void *value)
{
    eddy_free(value);
}

static void free_copy(struct sending *s)
{
    if (s->copy && s->secret)
        explicit_bzero(s->copy, FILE_COPY);
    eddy_free(s->copy);
}

static void free_sending(void *user)
{
    struct sending *s = user;

    free_copy(s);
    eddy_free(s);
}

/* Unless there are more, the protocol may hear of the peer again (contract L95). */
static void look_for_more(struct eddy_transport *t)
{
    for (const struct eddy_block *b = t->head; b; b = b->next)
        if (b->is_file && !((const struct sending *)b->user)->over)
            return;
    t->flags &= (uint16_t)~T_FILE;
    if (t->state == EDDY_TRANSPORT_OPEN)
        t->u.heard = eddy_loop_clock(t->io.loop);
    if (t->flags & T_UNREAD)
        transport_defer(t);
    transport_refresh(t);
    transport_arm_timer(t);
}

/* The caller has its future to complete. */
static struct eddy_future *end(struct sending *s)
{
    struct eddy_future *f = s->future;

    s->over = true;
    s->future = NULL;
    eddy_future_on_cancel(f, NULL, NULL);
    file_part_end(&s->part);
    return f;
}

/* It was the first, and all of it is sent. */
static void succeed(struct eddy_transport *t, struct sending *s)
{
    struct eddy_block *b = s->block;
    struct eddy_future *f = end(s);

    queue_drop_first(t);
    eddy_free(b);
    free_copy(s);
    if (f)
        eddy_future_set_result(f, &s->part.sent, free_value);
    else
        eddy_free(s);
    eddy_future_unref(f);
    look_for_more(t); /* last: what was given back by unread comes after the callbacks */
}

/* An error of the file (contract L94). Without a future nobody else would hear of the hole. */
static void fail(struct eddy_transport *t, struct sending *s, int code)
{
    struct eddy_error e;

    file_part_explain(&s->part, code, &e);
    if (!s->future) {
        transport_lose(t, code, "sendfile", &e);
        return;
    }
    struct eddy_future *f = end(s);
    eddy_future_set_error(f, &e);
    eddy_future_unref(f);
    look_for_more(t);
}

static void cancelled(struct eddy_future *f, void *user)
{
    struct sending *s = user;
    struct eddy_transport *t = s->t;

    s->part.sent += s->block->end - s->block->start;
    end(s);
    look_for_more(t);
    if (first_of(t) == s && s->block->start == s->block->end)
        transport_defer(t); /* nothing of it waits for the kernel */
    eddy_future_unref(f);   /* not the last one: it is being cancelled */
}

static void lose_one(struct eddy_transport *t, struct sending *s)
{
    const struct eddy_error *why = t->pending;
    int code = t->u.reason ? (int)t->u.reason : EDDY_ECLOSED;
    struct eddy_future *f = end(s);
    struct eddy_error e;

    if (!f)
        return;
    if (why)
        e = *why;
    else
        file_part_explain(&s->part, code, &e);
    eddy_future_set_error(f, &e);
    if (!eddy_loop_is_open(t->io.loop)) /* an answer, but none that is owed attention */
        eddy_future_error(f);
    eddy_future_unref(f);
}

/* The loop that may not be run meanwhile could free the queue. */
void transport_files_lost(struct eddy_transport *t)
{
    t->io.loop->lent++;
    for (struct eddy_block *b = t->head; b; b = b->next) {
        struct sending *s = b->is_file ? b->user : NULL;

        if (s && !s->over)
            lose_one(t, s);
    }
    t->io.loop->lent--;
}

/* ---- the first one goes on ---- */

static void refused(struct eddy_transport *t, struct sending *s, int code)
{
    if (file_part_is_of_socket(code)) {
        eddy_transport_fail(t, code, "sendfile");
        return;
    }
    code = file_part_refused(&s->part, code);
    if (code < 0)
        fail(t, s, code);
    else
        s->by_call = false;
}

static void send_by_call(struct eddy_transport *t, struct sending *s)
{
    const struct eddy_backend_class *backend = t->io.loop->backend->cls;
    struct file_part *p = &s->part;
    size_t turn = FILE_TURN;

    while (p->left > 0) {
        size_t len = file_part_next(p, turn);

        if (len == 0)
            return;
        ssize_t n = backend->try_sendfile(&t->io, p->fd, p->offset + p->taken, len);
        if (n == -EAGAIN)
            return;
        if (n < 0) {
            refused(t, s, (int)n);
            return;
        }
        if (n == 0)
            break;
        file_part_sent(p, (size_t)n);
        queue_stamp(t, t->io.loop->now);
        turn -= (size_t)n;
    }
    succeed(t, s);
}

static void copy(struct eddy_transport *t, struct sending *s)
{
    struct eddy_block *b = s->block;

    if (!s->copy)
        s->copy = eddy_alloc(FILE_COPY);
    ssize_t n = s->copy ? file_part_read(&s->part, t->io.loop->sys, s->copy) : -ENOMEM;
    if (n < 0) {
        fail(t, s, (int)n);
    } else if (n == 0) {
        succeed(t, s);
    } else {
        b->start = s->copy;
        b->end = b->limit = s->copy + n;
    }
}

void transport_files_go_on(struct eddy_transport *t)
{
    struct sending *s;

    while ((s = first_of(t)) != NULL && s->block->start == s->block->end &&
           t->state < EDDY_TRANSPORT_LOST) {
        if (s->over) {
            queue_drop_first(t);
            queue_free_block(t->io.loop, s->block);
        } else if (s->by_call) {
            return;
        } else if (s->part.no_fallback) {
            fail(t, s, EDDY_ESENDFILE_NA);
        } else {
            copy(t, s);
        }
    }
}

void transport_files_moved(struct eddy_transport *t)
{
    transport_files_go_on(t);
    if (t->state < EDDY_TRANSPORT_LOST)
        transport_queue_moved(t);
}

/* ---- the backend pulls ---- */

int transport_file_output(const struct eddy_transport *t, struct iovec *iov)
{
    const struct eddy_block *b = t->head;

    if (b->start == b->end)
        return -1;
    *iov = (struct iovec){b->start, (size_t)(b->end - b->start)};
    return 1;
}

void transport_file_sent(struct eddy_transport *t, size_t n)
{
    struct sending *s = first_of(t);

    s->block->start += n;
    if (!s->over)
        s->part.sent += (int64_t)n;
}

void eddy_transport_writable(struct eddy_io *io)
{
    struct eddy_transport *t = (struct eddy_transport *)io;
    struct sending *s = first_of(t);

    if (s && s->by_call && !s->over)
        send_by_call(t, s);
    transport_files_moved(t);
}

bool eddy_transport_has_files(const struct eddy_transport *t)
{
    for (const struct eddy_block *b = t->head; b; b = b->next)
        if (b->is_file)
            return true;
    return false;
}

/* ---- the call ---- */

static int check(struct eddy_transport *t, const struct file_part *p)
{
    if (!t || t->state >= EDDY_TRANSPORT_CLOSING || (t->flags & T_COVERED))
        return EDDY_EINVALID_STATE;
    if (!eddy_loop_may_call(t->io.loop, "sendfile", NULL))
        return EDDY_ETHREAD;
    if (t->cls->sendfile == EDDY_SENDFILE_NEVER ||
        (t->cls->sendfile == EDDY_SENDFILE_BY_COPYING && p->no_fallback))
        return EDDY_ENOT_SUPPORTED;
    return t->flags & T_EOF_WANTED ? EDDY_EINVALID_STATE : 0;
}

/* Behind the others in the queue. */
static int new_sending(struct eddy_transport *t, const struct file_part *p,
                       struct eddy_future **ret_future, struct sending **ret)
{
    struct sending *s = eddy_zalloc(sizeof *s);

    if (!s)
        return -ENOMEM;
    s->part = *p;
    s->t = t;
    s->secret = t->cls->secret;
    s->by_call =
        t->cls->sendfile == EDDY_SENDFILE_BY_CALL && t->io.loop->backend->cls->try_sendfile;
    int rc = ret_future ? eddy_future_new(t->io.loop, &s->future) : 0;
    if (rc == 0) {
        s->block = queue_append_file(t, s, free_sending);
        rc = s->block ? 0 : -ENOMEM;
    }
    if (rc < 0) {
        eddy_future_unref(s->future);
        eddy_free(s);
        return rc;
    }
    eddy_future_on_cancel(s->future, cancelled, s);
    if (ret_future)
        *ret_future = eddy_future_ref(s->future);
    *ret = s;
    return 0;
}

/* At once, if it is its turn. */
static void begin(struct eddy_transport *t, struct sending *s)
{
    t->flags |= T_FILE;
    if (first_of(t) == s && s->by_call)
        send_by_call(t, s); /* s may be gone */
    transport_files_go_on(t);
    transport_refresh(t);
}

static int explain(const struct eddy_sendfile_opts *opts, int rc)
{
    return opts ? eddy_error_set(opts->error, rc, "sendfile", "sendfile: %s", eddy_strerror(rc))
                : rc;
}

int eddy_transport_sendfile(struct eddy_transport *t, int file,
                            const struct eddy_sendfile_opts *opts, struct eddy_future **ret)
{
    struct file_part part;
    struct sending *s;
    struct eddy_future *f = NULL;
    int rc = file_part_init(&part, file, opts);

    if (rc < 0)
        return rc;
    rc = check(t, &part);
    if (rc < 0)
        return explain(opts, rc);
    transport_send_corked(t);
    rc = t->state < EDDY_TRANSPORT_CLOSING ? new_sending(t, &part, ret ? &f : NULL, &s)
                                           : EDDY_EINVALID_STATE;
    if (rc == 0)
        begin(t, s);
    transport_queue_has_grown(t); /* t may be closing now */
    if (rc < 0)
        return explain(opts, rc);
    if (ret)
        *ret = f;
    return 0;
}
