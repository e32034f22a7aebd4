/* Pipes, terminals, and sockets that are used as such: what read() and write() are for. */
#include "transports/pipe.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "transports/fdstream.h"
#include "transports/unix.h"
#include <eddy/pipe.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

/* The bytes of a read that the selector had nothing to do with. */
#define UNPOLLED_READ 4096

struct pipe {
    struct opened o;           /* first */
    struct eddy_handle reader; /* reads what cannot be waited for */
    bool watched;              /* a write pipe that can tell that its reader is gone */
    bool device;
    bool unpolled;                             /* always ready, and no selector's: /dev/null */
    const struct eddy_transport_class *socket; /* that it is, where it only writes to one */
    char nowhere[64];
};

/* What there is at a descriptor. */
struct nature {
    mode_t type;           /* S_IFIFO, S_IFSOCK, S_IFCHR */
    int flags;             /* of the open file */
    struct eddy_addr peer; /* of a socket */
};

static bool is_own(const struct eddy_transport *t)
{
    return t->io.flags & EDDY_IO_OWN_CALLS;
}

/* ---- the descriptor ---- */

static ssize_t pipe_recv(struct eddy_io *io, void *buf, size_t len)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->read(sys, io->fd, buf, len);
}

static ssize_t pipe_writev(struct eddy_io *io, const struct iovec *iov, int n)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->writev(sys, io->fd, iov, n);
}

/* Sockets have a way of their own to be written to without SIGPIPE. */
static ssize_t pipe_send(struct eddy_transport *t, const void *data, size_t len)
{
    const struct iovec all = {(void *)(uintptr_t)data, len};

    return is_own(t) ? eddy_fdstream_sendv(t, &all, 1) : eddy_fdstream_send(t, data, len);
}

static void pipe_read_start(struct eddy_transport *t)
{
    struct pipe *p = (struct pipe *)t;

    if (p->unpolled)
        eddy_loop_call_soon(t->io.loop, &p->reader);
    else
        eddy_fdstream_read_start(t);
}

static void pipe_read_stop(struct eddy_transport *t)
{
    struct pipe *p = (struct pipe *)t;

    if (p->unpolled)
        eddy_handle_cancel(&p->reader);
    else
        eddy_fdstream_read_stop(t);
}

static void pipe_cancel(struct eddy_transport *t)
{
    eddy_handle_cancel(&((struct pipe *)t)->reader);
    eddy_fdstream_cancel(t);
}

static int pipe_sockname(const struct eddy_transport *t, struct eddy_addr *ret)
{
    return is_own(t) ? EDDY_ENOT_SUPPORTED : eddy_fdstream_sockname(t, ret);
}

/* To close over what the peer has sent would destroy what we have (contract T5). */
static bool socket_unsettled(struct eddy_transport *t)
{
    return ((struct pipe *)t)->socket->unsettled(t);
}

/* Who only writes needs no way to receive. */
static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static int check_writer(const struct eddy_protocol_class *cls, const char *op, struct eddy_error *e)
{
    if (!cls || eddy_opts_check(cls, cls->abi_size, sizeof *cls) < 0)
        return eddy_protocol_class_check(cls, op, e);
    struct eddy_protocol_class c = *cls;
    c.abi_size = sizeof c;
    c.data_received = ignore_data;
    c.get_buffer = NULL;
    c.buffer_updated = NULL;
    return eddy_protocol_class_check(&c, op, e);
}

/* ---- reading ---- */

static void report(struct eddy_transport *t, struct eddy_protocol *p, int code)
{
    struct eddy_error e;

    eddy_error_set(&e, code, "read", "%s %d: %s", t->cls->name, t->io.fd, eddy_strerror(code));
    eddy_loop_problem(t->io.loop, &(struct eddy_problem){.message = "Fatal read error on a pipe",
                                                         .error = &e,
                                                         .transport = t,
                                                         .protocol = p,
                                                         .fd = t->io.fd,
                                                         .site = t->owner->site});
}

/* EIO is how the master of a pseudo-terminal hears of its end (contract T33, T46). */
static void pipe_received(struct eddy_io *io, const void *data, ssize_t n)
{
    struct eddy_transport *t = (struct eddy_transport *)io;
    struct pipe *p = (struct pipe *)io;

    if (n == -EPERM && p->device && !p->unpolled) { /* epoll refuses it */
        p->unpolled = true;
        pipe_read_start(t);
        return;
    }
    struct eddy_protocol *protocol = eddy_transport_protocol(t);
    bool told = n < 0 && n != -EIO && t->state == EDDY_TRANSPORT_OPEN;
    eddy_transport_received(io, data, n);
    if (told)
        report(t, protocol, (int)n);
}

/* As the reactor serves others; one read for each iteration. */
static void read_unpolled(struct eddy_handle *h)
{
    struct pipe *p = EDDY_CONTAINER_OF(h, struct pipe, reader);
    struct eddy_transport *t = &p->o.t;
    char buf[UNPOLLED_READ];
    void *area = buf;
    size_t room = sizeof buf;

    eddy_loop_call_soon(t->io.loop, h); /* until it is cancelled */
    if (t->io.flags & EDDY_IO_OWNBUF)
        room = eddy_transport_get_buffer(&t->io, sizeof buf, &area);
    if (room == 0 || !eddy_handle_is_pending(h))
        return;
    ssize_t n = pipe_recv(&t->io, area, room);
    if (n <= 0 && n != -EAGAIN)
        eddy_handle_cancel(h);
    if (n != -EAGAIN)
        pipe_received(&t->io, area, n);
}

/* ---- the reader of a write pipe ---- */

/* What is to be read from the writing end tells of the other one. That of a pipe is an error to
 * read, and ready for it once nobody reads (contract T43). */
static void reader_heard(struct eddy_io *io, const void *data, ssize_t n)
{
    struct eddy_transport *t = (struct eddy_transport *)io;
    bool gone = n == 0 || n == -EBADF || n == -ECONNRESET || n == -EPIPE;

    (void)data;
    if (n > 0)
        return;
    if (!gone)
        eddy_transport_fail(t, (int)n, "read");
    else
        eddy_transport_fail(t, t->queued > 0 ? -EPIPE : 0, "write");
}

/* A protocol with a buffer does not lend it for that. */
static size_t reader_buffer(struct eddy_io *io, size_t hint, void **ret)
{
    struct pipe *p = (struct pipe *)io;

    (void)hint;
    *ret = p->nowhere;
    return sizeof p->nowhere;
}

/* ---- classes ---- */

static const struct eddy_io_class reading_io = {
    .name = "pipe",
    .received = pipe_received,
    .get_buffer = eddy_transport_get_buffer,
    .output = eddy_transport_output,
    .sent = eddy_transport_sent,
    .recv = pipe_recv,
    .sendv = pipe_writev,
    .closed = eddy_transport_closed,
};

static const struct eddy_io_class writing_io = {
    .name = "write pipe",
    .received = reader_heard,
    .get_buffer = reader_buffer,
    .output = eddy_transport_output,
    .sent = eddy_transport_sent,
    .recv = pipe_recv,
    .sendv = pipe_writev,
    .closed = eddy_transport_closed,
};

#define COMMON_SLOTS                                                        \
    .abi_size = sizeof(struct eddy_transport_class), .cancel = pipe_cancel, \
    .close = eddy_fdstream_close, .sockname = pipe_sockname

#define WRITING_SLOTS \
    .send = pipe_send, .sendv = eddy_fdstream_sendv, .send_start = eddy_fdstream_send_start

static const struct eddy_transport_class read_pipe = {
    .name = "read pipe",
    COMMON_SLOTS,
    .read_start = pipe_read_start,
    .read_stop = pipe_read_stop,
};

static const struct eddy_transport_class write_pipe = {
    .name = "write pipe",
    COMMON_SLOTS,
    WRITING_SLOTS,
    .can_write_eof = true,
    .check_protocol = check_writer,
};

static const struct eddy_transport_class write_socket = {
    .name = "write pipe",
    COMMON_SLOTS,
    WRITING_SLOTS,
    .shutdown = eddy_fdstream_shutdown,
    .unsettled = socket_unsettled,
    .can_write_eof = true,
    .check_protocol = check_writer,
};

static const struct eddy_transport_class terminal = {
    .name = "terminal",
    COMMON_SLOTS,
    WRITING_SLOTS,
    .read_start = pipe_read_start,
    .read_stop = pipe_read_stop,
};

/* By enum pipe_way. */
static const struct way {
    struct opening_class opening;
    int useless; /* the access that a descriptor must not be limited to */
    const struct eddy_transport_class *cls;
    const struct eddy_io_class *io;
} ways[] = {
    [PIPE_READ] = {{.op = "connect_read_pipe"}, O_WRONLY, &read_pipe, &reading_io},
    [PIPE_WRITE] = {{.op = "connect_write_pipe"}, O_RDONLY, &write_pipe, &writing_io},
    [PIPE_BOTH] = {{.op = "connect_terminal"}, O_RDONLY, &terminal, &reading_io},
};

/* ---- making one ---- */

static const char *check_socket(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret_peer)
{
    int type = 0;

    if (sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &type) < 0 || type != SOCK_STREAM)
        return ".fd is a socket, but no stream";
    return sys->cls->peername(sys, fd, ret_peer) < 0 ? ".fd is a socket that is not connected"
                                                     : NULL;
}

/* Contract T40: NULL, or why not. */
static const char *check_nature(struct eddy_loop *loop, enum pipe_way way, eddy_fd fd,
                                struct nature *n)
{
    int access = n->flags & O_ACCMODE;

    if (n->type == S_IFSOCK)
        return check_socket(loop->sys, fd, &n->peer);
    if (n->type != S_IFCHR && n->type != S_IFIFO)
        return ".fd is no pipe, socket or character device";
    if (n->type == S_IFIFO && way == PIPE_BOTH)
        return ".fd is a pipe, which has one direction";
    if (access == ways[way].useless || (access != O_RDWR && way == PIPE_BOTH))
        return ".fd is not open for that direction";
    return NULL;
}

static int examine(struct eddy_loop *loop, enum pipe_way way, eddy_fd fd, struct nature *ret,
                   const char **ret_why)
{
    struct stat st;

    *ret_why = "these system calls know no pipes";
    if (!loop->sys->cls->read || !loop->sys->cls->writev)
        return EDDY_ENOT_SUPPORTED;
    *ret_why = ".fd is in use by this loop";
    if (eddy_loop_io(loop, fd))
        return EDDY_EFD_IN_USE;
    *ret_why = ".fd is not open";
    if (fstat(fd, &st) < 0 || (ret->flags = fcntl(fd, F_GETFL)) < 0)
        return -errno;
    ret->type = st.st_mode & S_IFMT;
    *ret_why = check_nature(loop, way, fd, ret);
    return *ret_why ? -EINVAL : 0;
}

static const struct eddy_transport_class *socket_class(const struct nature *n)
{
    return n->peer.u.sa.sa_family == AF_UNIX ? &eddy_unix_transport : &eddy_tcp_transport;
}

/* Both ways, a socket is what it always is. */
static struct opened *new_socket(struct eddy_loop *loop, const struct nature *n,
                                 struct eddy_limits *limits, const char *site)
{
    const struct eddy_transport_class *cls = socket_class(n);

    return eddy_opened_new(sizeof(struct pipe), loop, cls,
                           cls == &eddy_unix_transport ? &eddy_unix_io : &eddy_fdstream_io, limits,
                           site);
}

static struct opened *new_pipe(struct eddy_loop *loop, enum pipe_way way, const struct nature *n,
                               struct eddy_limits *limits, const char *site)
{
    bool is_socket = n->type == S_IFSOCK;

    if (is_socket && way == PIPE_BOTH)
        return new_socket(loop, n, limits, site);
    struct opened *s =
        eddy_opened_new(sizeof(struct pipe), loop, ways[way].cls, ways[way].io, limits, site);
    struct pipe *p = (struct pipe *)s;
    if (!s)
        return NULL;
    if (!is_socket) {
        s->t.io.flags |= EDDY_IO_OWN_CALLS;
    } else if (way == PIPE_WRITE) {
        s->t.cls = &write_socket;
        p->socket = socket_class(n);
    }
    p->reader.fn = read_unpolled;
    p->device = n->type == S_IFCHR;
    /* What a FIFO has to read that is open for that as well is not for us. */
    p->watched =
        way == PIPE_WRITE && !p->device && (is_socket || (n->flags & O_ACCMODE) == O_WRONLY);
    return s;
}

static void watch_reader(struct opened *s)
{
    struct eddy_backend *b = s->t.io.loop->backend;

    if (((struct pipe *)s)->watched && s->t.state < EDDY_TRANSPORT_LOST)
        b->cls->read_start(b, &s->t.io);
}

int eddy_pipe_new(struct eddy_loop *loop, enum pipe_way way, eddy_fd fd, struct eddy_limits *limits,
                  const char *site, struct opened **ret)
{
    struct nature n;
    const char *why;
    int rc = examine(loop, way, fd, &n, &why);

    if (rc < 0)
        return rc;
    struct opened *s = new_pipe(loop, way, &n, limits, site);
    rc = s ? eddy_io_attach(&s->t.io, fd) : -ENOMEM;
    if (rc < 0) {
        if (s)
            eddy_opened_drop(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void eddy_pipe_made(struct opened *s, struct eddy_protocol *p, struct eddy_link *list)
{
    eddy_transport_made(&s->t, p, list);
    watch_reader(s);
}

/* ---- the creating calls ---- */

static int refuse(const struct way *w, const struct eddy_pipe_opts *o, int code, const char *why)
{
    return eddy_error_set(o->error, code, w->opening.op, "%s: %s", w->opening.op, why);
}

static int check(const struct way *w, struct eddy_loop *loop, struct eddy_protocol *p,
                 const struct eddy_pipe_opts *o)
{
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);

    if (rc < 0)
        return rc;
    if (!p)
        return refuse(w, o, -EINVAL, "no protocol");
    rc = (w->cls->check_protocol ? w->cls->check_protocol
                                 : eddy_protocol_class_check)(p->cls, w->opening.op, o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse(w, o, EDDY_ELOOP_CLOSED, "the loop is closed");
    return 0;
}

/* Whoever has inherited the same open file would find it non-blocking too: a shell its terminal. So
 * ours becomes another open file, which can be had of terminals and of pipes without a name. If
 * not, we go on with the old one. (libuv does so with terminals.) */
static void open_anew(eddy_fd fd, const struct nature *n)
{
#ifdef __linux__
    struct statfs fs;
    char path[32];
    int number;

    if ((n->flags & O_NONBLOCK) || n->type == S_IFSOCK)
        return;
    /* A master opened again is the master of another terminal; a FIFO opened again to be read
     * without blocking does not hear of an end that has been. */
    if (n->type == S_IFCHR ? !isatty(fd) || ioctl(fd, TIOCGPTN, &number) == 0
                           : fstatfs(fd, &fs) < 0 || fs.f_type != PIPEFS_MAGIC)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, n->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    dup3(own, fd, O_CLOEXEC);
    close(own);
#else
    (void)fd;
    (void)n;
#endif
}

/* The transport gets its descriptor; < 0: that is still the caller's after -EINVAL, else closed. */
static int start(struct opened *s, const struct eddy_pipe_opts *o, const struct nature *n)
{
    struct eddy_sys *sys = s->t.io.loop->sys;
    int rc = eddy_io_attach(&s->t.io, o->fd);

    if (rc < 0) {
        if (rc != -EINVAL)
            sys->cls->close(sys, o->fd);
        return rc;
    }
    open_anew(o->fd, n);
    rc = sys->cls->adopt(sys, o->fd);
    if (rc < 0)
        return rc; /* dropped with the transport */
    if (n->type == S_IFSOCK) {
        eddy_transport_set_peername(&s->t, &n->peer);
        eddy_fdstream_nodelay(s->t.io.loop, o->fd);
    }
    watch_reader(s); /* heard of after connection_made: I/O comes after handles */
    eddy_opening_succeed_later(s->opening);
    return 0;
}

/* `rc` is why there is no transport: -EINVAL of the protocol, else no memory. */
static int give_back(const struct way *w, const struct eddy_pipe_opts *o, struct eddy_sys *sys,
                     int rc)
{
    if (rc == -EINVAL)
        return refuse(w, o, rc, "the protocol is attached already, or not initialised");
    sys->cls->close(sys, o->fd);
    return refuse(w, o, rc, "no memory");
}

static int connect_pipe(enum pipe_way way, struct eddy_loop *loop, struct eddy_protocol *p,
                        const struct eddy_pipe_opts *o, struct eddy_future **ret)
{
    const struct way *w = &ways[way];
    struct eddy_limits *limits = NULL;
    struct nature n;
    const char *why;

    if (!loop || !o)
        return -EINVAL;
    int rc = check(w, loop, p, o);
    if (rc < 0)
        return rc;
    rc = examine(loop, way, o->fd, &n, &why);
    if (rc < 0)
        return refuse(w, o, rc, why);
    if (way == PIPE_WRITE && o->idle_timeout > 0)
        return refuse(w, o, -EINVAL, "what receives nothing has no .idle_timeout");
    rc = eddy_limits_new(o->write_low, o->write_high, o->write_max, o->idle_timeout,
                         o->write_timeout, 0, &limits);
    if (rc == -EINVAL)
        return refuse(w, o, rc, "impossible limits or time-outs");
    struct opened *s = rc == 0 ? new_pipe(loop, way, &n, limits, o->site) : NULL;
    struct opening *opening = s ? eddy_zalloc(sizeof *opening) : NULL;
    eddy_limits_unref(limits);
    rc = eddy_opening_begin(opening, &w->opening, loop, p, s, ret != NULL);
    if (rc < 0)
        return give_back(w, o, loop->sys, rc);
    rc = start(s, o, &n);
    if (rc < 0) {
        eddy_opening_undo(opening);
        return refuse(w, o, rc, eddy_strerror(rc));
    }
    eddy_opening_go_on(opening, ret);
    return 0;
}

int eddy_connect_read_pipe(struct eddy_loop *loop, struct eddy_protocol *p,
                           const struct eddy_pipe_opts *opts, struct eddy_future **ret)
{
    return connect_pipe(PIPE_READ, loop, p, opts, ret);
}

int eddy_connect_write_pipe(struct eddy_loop *loop, struct eddy_protocol *p,
                            const struct eddy_pipe_opts *opts, struct eddy_future **ret)
{
    return connect_pipe(PIPE_WRITE, loop, p, opts, ret);
}

int eddy_connect_terminal(struct eddy_loop *loop, struct eddy_protocol *p,
                          const struct eddy_pipe_opts *opts, struct eddy_future **ret)
{
    return connect_pipe(PIPE_BOTH, loop, p, opts, ret);
}
