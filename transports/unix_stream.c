/*
 * Unix streams. Most are as TCP's, but for how they end. Those that pass descriptors are served by
 * calls of their own, and keep what waits in either direction beside the queue of bytes: it knows
 * the place in the stream, so the queue need not know of it.
 */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include "transports/fdstream.h"
#include "transports/unix.h"
#include <fcntl.h>
#include <string.h>

#define MAX_IOV 64

/* Descriptors that wait to be sent with the byte at `at`. */
struct parcel {
    struct parcel *next;
    uint64_t at;
    unsigned count;
    int fds[];
};

struct passing {
    uint64_t sent; /* bytes that the kernel took since it is here */
    struct parcel *first, **last;
    unsigned waiting, max; /* received */
    int fds[];
};

static const struct eddy_transport_class passing_transport;

static bool is_unix(const struct eddy_transport *t)
{
    return t->cls == &eddy_unix_transport || t->cls == &passing_transport;
}

static struct passing *passing_of(const struct eddy_transport *t)
{
    return t->peer.u.extra;
}

static void close_all(struct eddy_loop *loop, const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        loop->sys->cls->close(loop->sys, fds[i]);
}

/* ---- sending ---- */

static void drop_first(struct eddy_loop *loop, struct passing *x)
{
    struct parcel *p = x->first;

    x->first = p->next;
    if (!x->first)
        x->last = &x->first;
    close_all(loop, p->fds, p->count);
    eddy_free(p);
}

/* The pieces of `iov` from byte `from` on, `len` bytes at most. */
static int cut(const struct iovec *iov, int n, size_t from, uint64_t len, struct iovec *ret)
{
    int m = 0;

    for (; n > 0 && m < MAX_IOV && len > 0; iov++, n--) {
        if (from >= iov->iov_len) {
            from -= iov->iov_len;
            continue;
        }
        size_t piece = iov->iov_len - from;

        if (piece > len)
            piece = (size_t)len;
        ret[m++] = (struct iovec){(char *)iov->iov_base + from, piece};
        len -= piece;
        from = 0;
    }
    return m;
}

/* Bytes to the next one that descriptors go with, behind the one that comes now. */
static uint64_t to_next(const struct passing *x, bool now)
{
    const struct parcel *p = now ? x->first->next : x->first;

    return p ? p->at - x->sent : UINT64_MAX;
}

ssize_t eddy_unix_sendv(struct eddy_io *io, const struct iovec *iov, int n)
{
    struct passing *x = passing_of((struct eddy_transport *)io);
    struct eddy_sys *sys = io->loop->sys;
    struct iovec part[MAX_IOV];
    size_t done = 0;

    for (;;) {
        bool now = x->first && x->first->at == x->sent;
        int m = cut(iov, n, done, to_next(x, now), part);
        size_t want = 0;

        for (int i = 0; i < m; i++)
            want += part[i].iov_len;
        if (want == 0)
            return (ssize_t)done;
        ssize_t took =
            now ? sys->cls->send_fds(sys, io->fd, part, m, x->first->fds, (int)x->first->count)
                : sys->cls->sendv(sys, io->fd, part, m);
        if (took < 0)
            return done > 0 ? (ssize_t)done : took;
        if (now && took > 0)
            drop_first(io->loop, x);
        x->sent += (uint64_t)took;
        done += (size_t)took;
        if ((size_t)took < want)
            return (ssize_t)done;
    }
}

static ssize_t passing_send(struct eddy_transport *t, const void *data, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};

    return eddy_fdstream_sendv(t, &iov, 1);
}

/* Duplicates, or closes those made so far. */
static int duplicate(struct eddy_loop *loop, const int *fds, unsigned n, int *ret)
{
    for (unsigned i = 0; i < n; i++) {
        ret[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (ret[i] < 0) {
            int rc = -errno;

            close_all(loop, ret, i);
            return rc;
        }
    }
    return 0;
}

static int new_parcel(struct eddy_transport *t, const int *fds, unsigned n, struct parcel **ret)
{
    struct parcel *p = eddy_alloc(sizeof *p + n * sizeof *fds);

    if (!p)
        return -ENOMEM;
    p->next = NULL;
    p->count = n;
    int rc = passing_of(t) ? 0 : eddy_unix_pass_fds(t, 0);
    if (rc == 0)
        rc = duplicate(t->io.loop, fds, n, p->fds);
    if (rc < 0) {
        eddy_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

int eddy_transport_send_fds(struct eddy_transport *t, const void *data, size_t len, const int *fds,
                            unsigned n)
{
    struct parcel *p, **place;

    if (eddy_transport_is_closing(t))
        return eddy_transport_write(t, data, len); /* which counts what is discarded */
    if (!is_unix(t))
        return EDDY_ENOT_SUPPORTED;
    if (!data || len == 0 || !fds || n == 0 || n > EDDY_MAX_SEND_FDS)
        return -EINVAL;
    if (eddy_transport_has_files(t)) /* their place in the stream is not known */
        return EDDY_EINVALID_STATE;
    int rc = new_parcel(t, fds, n, &p);
    if (rc < 0)
        return rc;
    struct passing *x = passing_of(t);
    p->at = x->sent + t->queued;
    place = x->last;
    *place = p;
    x->last = &p->next;
    rc = eddy_transport_write(t, data, len);
    /* Nothing was written, and nobody called, unless the transport is lost: then it goes with it.
     */
    if (rc < 0 && !eddy_transport_is_closing(t)) {
        *place = NULL;
        x->last = place;
        close_all(t->io.loop, p->fds, p->count);
        eddy_free(p);
    }
    return rc;
}

/* ---- receiving ---- */

static void refuse(struct eddy_transport *t, int code)
{
    struct eddy_error e;

    if (code == -EMSGSIZE)
        eddy_error_set(&e, code, "read",
                       "read: more descriptors were received than may wait (.max_fds is %u)",
                       passing_of(t)->max);
    else
        eddy_error_set(&e, code, "read", "read: descriptors were received, but: %s",
                       eddy_strerror(code));
    eddy_transport_abort(t, &e);
}

ssize_t eddy_unix_recv(struct eddy_io *io, void *buf, size_t len)
{
    struct eddy_transport *t = (struct eddy_transport *)io;
    struct passing *x = passing_of(t);
    struct eddy_sys *sys = io->loop->sys;

    /* Received in the plain way descriptors are dropped by the kernel: also what is only discarded.
     */
    if (x->max == 0 || t->state != EDDY_TRANSPORT_OPEN)
        return sys->cls->recv(sys, io->fd, buf, len);
    int count = (int)(x->max - x->waiting);
    ssize_t n = sys->cls->recv_fds(sys, io->fd, buf, len, x->fds + x->waiting, &count);
    if (n == -EMSGSIZE || n == -EMFILE) {
        refuse(t, (int)n); /* with a better sentence than a read error has */
        return -EAGAIN;
    }
    if (n > 0)
        x->waiting += (unsigned)count;
    return n;
}

unsigned eddy_transport_take_fds(struct eddy_transport *t, int *ret_fds, unsigned max)
{
    struct passing *x = t && is_unix(t) ? passing_of(t) : NULL;

    if (!x || !ret_fds)
        return 0;
    unsigned n = x->waiting < max ? x->waiting : max;
    x->waiting -= n;
    if (n > 0) {
        memcpy(ret_fds, x->fds, n * sizeof *ret_fds);
        memmove(x->fds, x->fds + n, x->waiting * sizeof *ret_fds);
    }
    return n;
}

/* ---- beginning and end ---- */

int eddy_unix_pass_fds(struct eddy_transport *t, unsigned max_fds)
{
    struct passing *x = eddy_zalloc(sizeof *x + max_fds * sizeof *x->fds);

    if (!x)
        return -ENOMEM;
    x->max = max_fds;
    x->last = &x->first;
    t->peer.u.extra = x;
    t->cls = &passing_transport;
    t->io.flags |= EDDY_IO_OWN_CALLS;
    return 0;
}

void eddy_unix_closed(struct eddy_io *io)
{
    struct passing *x = passing_of((struct eddy_transport *)io);

    if (x) {
        while (x->first)
            drop_first(io->loop, x);
        close_all(io->loop, x->fds, x->waiting);
        eddy_free(x);
    }
    eddy_transport_closed(io);
}

/* What was sent is in the peer's queue already. Only what we leave unread turns the peer's end of
 * stream into a reset. */
static bool unsettled(struct eddy_transport *t)
{
    struct eddy_sys *sys = t->io.loop->sys;
    int in = 0, out = 0;

    return sys->cls->pending(sys, t->io.fd, &in, &out) == 0 && in > 0;
}

const struct eddy_transport_class eddy_unix_transport = {
    .name = "unix",
    EDDY_FDSTREAM_TRANSPORT,
    .sendfile = EDDY_SENDFILE_BY_CALL,
    .send = eddy_fdstream_send,
    .unsettled = unsettled,
};

static const struct eddy_transport_class passing_transport = {
    .name = "unix",
    EDDY_FDSTREAM_TRANSPORT,
    .sendfile = EDDY_SENDFILE_BY_COPYING,
    .send = passing_send,
    .unsettled = unsettled,
};

const struct eddy_io_class eddy_unix_io = {
    .name = "unix stream",
    EDDY_UNIX_IO,
};

/* ---- who the peer is ---- */

int eddy_transport_peercred(const struct eddy_transport *t, struct eddy_peercred *ret)
{
    if (!t || !ret)
        return -EINVAL;
    if (t->cls->below && t->cls->below(t))
        return eddy_transport_peercred(t->cls->below(t), ret);
    if (!is_unix(t) || t->io.fd < 0)
        return EDDY_ENOT_SUPPORTED;
    struct eddy_sys *sys = t->io.loop->sys;
    return sys->cls->peercred(sys, t->io.fd, ret);
}
