/*
 * Operations on the user's sockets. Each is an attempt, made inside the call and then, while it is
 * not done, whenever a watch finds the socket ready. The watch is the operation's own: with it all
 * that is known of the operation goes away, whatever is begun on the same descriptor next.
 */
#include "framework/loop/sock.h"

#include "framework/base/alloc.h"
#include <fcntl.h>

/* Between two attempts where readiness does not tell: twice as long each time. */
#define FIRST_PAUSE EDDY_MSEC(1)
#define LONGEST_PAUSE EDDY_MSEC(64)

/* ---- the end of an operation ---- */

static void free_result(void *value)
{
    struct sock_op *op = value;

    if (op->result.fd >= 0)
        op->loop->sys->cls->close(op->loop->sys, op->result.fd);
    eddy_free(op);
}

/* Nobody calls it any more. */
static struct eddy_future *let_go(struct sock_op *op)
{
    struct eddy_future *f = op->future;

    if (op->cls->stop)
        op->cls->stop(op);
    eddy_watch_remove(&op->watch);
    eddy_timer_cancel(&op->retry);
    eddy_link_remove(&op->resource.link);
    eddy_future_on_cancel(f, NULL, NULL);
    return f;
}

static void succeed(struct sock_op *op)
{
    struct eddy_future *f = let_go(op);

    if (eddy_future_set_result(f, &op->result, free_result) == EDDY_EINVALID_STATE)
        free_result(&op->result);
    eddy_future_unref(f);
}

void eddy_sock_op_fail_with(struct sock_op *op, const struct eddy_error *why)
{
    struct eddy_future *f = let_go(op);

    free_result(&op->result);
    eddy_future_set_error(f, why);
    eddy_future_unref(f);
}

void eddy_sock_op_fail(struct sock_op *op, int code)
{
    const struct eddy_addr *to = &op->result.addr;
    const char *name = op->cls->name;
    char text[EDDY_ADDR_TEXT];
    struct eddy_error e;

    if (to->len > 0)
        eddy_error_set(&e, code, name, "%s to %s: %s", name,
                       eddy_addr_format(to, text, sizeof text), eddy_strerror(code));
    else
        eddy_error_set(&e, code, name, "%s: %s", name, eddy_strerror(code));
    eddy_sock_op_fail_with(op, &e);
}

void eddy_sock_op_drop(struct sock_op *op)
{
    eddy_future_unref(let_go(op));
    free_result(&op->result);
}

static void cancelled(struct eddy_future *f, void *user)
{
    (void)f;
    eddy_sock_op_drop(user); /* not the last reference: it is being cancelled */
}

/* For a future that a closed loop leaves behind: an answer, but none that is owed attention. */
static void loop_closing(struct eddy_resource *r)
{
    struct sock_op *op = EDDY_CONTAINER_OF(r, struct sock_op, resource);
    struct eddy_future *f = eddy_future_ref(op->future);

    eddy_sock_op_fail(op, EDDY_ELOOP_CLOSED);
    eddy_future_error(f);
    eddy_future_unref(f);
}

/* ---- trying ---- */

static void finish(struct sock_op *op, int rc)
{
    if (rc == SOCK_DONE)
        succeed(op);
    else if (rc < 0)
        eddy_sock_op_fail(op, rc);
}

/* A datagram that is longer than the room, or a unix socket whose room is its peer's: it is ready
 * all the time, and takes nothing. */
static void wait_a_while(struct sock_op *op)
{
    eddy_watch_remove(&op->watch);
    eddy_loop_call_later(op->loop, &op->retry, op->pause);
    op->pause = op->pause < LONGEST_PAUSE ? op->pause * 2 : LONGEST_PAUSE;
}

static void try_again(struct sock_op *op)
{
    int rc = op->cls->attempt(op);

    if (rc == SOCK_NOT_YET && op->cls->by_time)
        wait_a_while(op);
    else
        finish(op, rc);
}

static void ready(struct eddy_watch *w, unsigned events)
{
    (void)events;
    try_again(EDDY_CONTAINER_OF(w, struct sock_op, watch));
}

static void on_retry(struct eddy_timer *t)
{
    try_again(EDDY_CONTAINER_OF(t, struct sock_op, retry));
}

void eddy_sock_op_try(struct sock_op *op)
{
    int rc = op->cls->attempt(op);

    if (rc == SOCK_NOT_YET) {
        rc = eddy_loop_add_watch_site(op->loop, &op->watch, op->fd, op->cls->events, op->cls->name);
        if (rc == 0)
            return;
    }
    finish(op, rc);
}

/* ---- the beginning ---- */

/* Contract L53. Descriptors of another world are not the system's to be asked about. */
static bool is_blocking(const struct eddy_loop *loop, eddy_fd fd)
{
    int flags = loop->sys == eddy_sys_posix() ? fcntl(fd, F_GETFL) : -1;

    return flags >= 0 && !(flags & O_NONBLOCK);
}

int eddy_sock_check(struct eddy_loop *loop, eddy_fd fd, unsigned events)
{
    if (!loop || fd < 0)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    const struct eddy_io *io = eddy_loop_io(loop, fd);
    if (io && io->kind != EDDY_IO_WATCH)
        return EDDY_EFD_IN_USE;
    if (io && (io->armed & events)) /* before the attempt: its bytes would get between another's */
        return -EEXIST;
    return loop->debug && is_blocking(loop, fd) ? -EINVAL : 0;
}

int eddy_sock_op_new(struct eddy_loop *loop, const struct sock_op_class *cls, eddy_fd fd,
                     size_t size, struct eddy_future **ret, struct sock_op **ret_op)
{
    int rc = ret ? eddy_sock_check(loop, fd, cls->events) : -EINVAL;

    if (rc < 0)
        return rc;
    struct sock_op *op = eddy_zalloc(size);
    if (!op)
        return -ENOMEM;
    rc = eddy_future_new(loop, &op->future);
    if (rc < 0) {
        eddy_free(op);
        return rc;
    }
    op->cls = cls;
    op->loop = loop;
    op->fd = fd;
    op->result.fd = -1;
    op->watch.fn = ready;
    op->retry.fn = on_retry;
    op->pause = FIRST_PAUSE;
    op->resource.loop_closing = loop_closing;
    *ret_op = op;
    return 0;
}

void eddy_sock_op_begin(struct sock_op *op, struct eddy_future **ret)
{
    eddy_list_append(&op->loop->resources, &op->resource.link);
    eddy_future_on_cancel(op->future, cancelled, op);
    *ret = eddy_future_ref(op->future);
}

int eddy_sock_op_run(struct sock_op *op, struct eddy_future **ret)
{
    eddy_sock_op_begin(op, ret);
    eddy_sock_op_try(op);
    return 0;
}

/* ---- receiving ---- */

/* Of what a system call has returned. */
static int outcome(ssize_t n)
{
    return n == -EAGAIN ? SOCK_NOT_YET : n < 0 ? (int)n : SOCK_DONE;
}

static int try_recv(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;
    ssize_t n = sys->cls->recv(sys, op->fd, op->data.in, op->len);

    if (n > 0)
        op->result.count = (size_t)n;
    return outcome(n);
}

static int try_recvfrom(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;
    struct eddy_message m = {.data = op->data.in, .len = op->len};
    int n = sys->cls->recv_messages(sys, op->fd, &m, 1);

    if (n > 0) {
        op->result.count = m.len;
        op->result.truncated = m.truncated;
        op->result.addr = m.addr;
    }
    return outcome(n);
}

static const struct sock_op_class recv_class = {
    .name = "recv",
    .events = EDDY_READ,
    .attempt = try_recv,
};
static const struct sock_op_class recvfrom_class = {
    .name = "recvfrom",
    .events = EDDY_READ,
    .attempt = try_recvfrom,
};

static int receive(struct eddy_loop *loop, const struct sock_op_class *cls, eddy_fd fd, void *buf,
                   size_t len, struct eddy_future **ret)
{
    struct sock_op *op;
    int rc = buf ? eddy_sock_op_new(loop, cls, fd, sizeof *op, ret, &op) : -EINVAL;

    if (rc < 0)
        return rc;
    op->data.in = buf;
    op->len = len;
    return eddy_sock_op_run(op, ret);
}

int eddy_sock_recv(struct eddy_loop *loop, eddy_fd fd, void *buf, size_t len,
                   struct eddy_future **ret)
{
    return receive(loop, &recv_class, fd, buf, len, ret);
}

int eddy_sock_recvfrom(struct eddy_loop *loop, eddy_fd fd, void *buf, size_t len,
                       struct eddy_future **ret)
{
    if (loop && !loop->sys->cls->recv_messages)
        return EDDY_ENOT_SUPPORTED;
    return receive(loop, &recvfrom_class, fd, buf, len, ret);
}

/* ---- sending ---- */

/* One piece each time, so that others have their turn. */
static int try_sendall(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;
    const char *data = op->data.out;

    if (op->len == 0)
        return SOCK_DONE;
    ssize_t n = sys->cls->send(sys, op->fd, data + op->result.count, op->len - op->result.count);
    if (n < 0)
        return outcome(n);
    op->result.count += (size_t)n;
    return op->result.count < op->len ? SOCK_NOT_YET : SOCK_DONE;
}

static int try_sendto(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;
    /* A message that is sent is only read. */
    struct eddy_message m = {.data = op->data.in, .len = op->len, .addr = op->result.addr};
    int n = sys->cls->send_messages(sys, op->fd, &m, 1);

    if (n > 0)
        op->result.count = op->len;
    return outcome(n);
}

static const struct sock_op_class sendall_class = {
    .name = "send",
    .events = EDDY_WRITE,
    .attempt = try_sendall,
};
static const struct sock_op_class sendto_class = {
    .name = "send",
    .events = EDDY_WRITE,
    .attempt = try_sendto,
    .by_time = true,
};

static int new_sender(struct eddy_loop *loop, const struct sock_op_class *cls, eddy_fd fd,
                      const void *data, size_t len, struct eddy_future **ret,
                      struct sock_op **ret_op)
{
    int rc =
        data || len == 0 ? eddy_sock_op_new(loop, cls, fd, sizeof **ret_op, ret, ret_op) : -EINVAL;

    if (rc == 0) {
        (*ret_op)->data.out = data;
        (*ret_op)->len = len;
    }
    return rc;
}

int eddy_sock_sendall(struct eddy_loop *loop, eddy_fd fd, const void *data, size_t len,
                      struct eddy_future **ret)
{
    struct sock_op *op;
    int rc = new_sender(loop, &sendall_class, fd, data, len, ret, &op);

    return rc < 0 ? rc : eddy_sock_op_run(op, ret);
}

/* Of a stream's the system may send a part, and we would not hear how much. */
static bool is_stream(struct eddy_loop *loop, eddy_fd fd)
{
    struct eddy_sys *sys = loop->sys;
    int type = 0;

    return sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &type) == 0 && type == SOCK_STREAM;
}

int eddy_sock_sendto(struct eddy_loop *loop, eddy_fd fd, const void *data, size_t len,
                     const struct eddy_addr *to, struct eddy_future **ret)
{
    struct sock_op *op;

    if (loop && !loop->sys->cls->send_messages)
        return EDDY_ENOT_SUPPORTED;
    int rc = new_sender(loop, &sendto_class, fd, data, len, ret, &op);
    if (rc < 0)
        return rc;
    if (is_stream(loop, fd)) {
        eddy_sock_op_drop(op);
        return -EINVAL;
    }
    if (to)
        op->result.addr = *to;
    return eddy_sock_op_run(op, ret);
}

/* ---- accepting ---- */

static int try_accept(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;
    struct eddy_addr peer;
    int fd = sys->cls->accept(sys, op->fd, &peer);

    if (fd == -ECONNABORTED || fd == -EPROTO) /* who is behind it makes the socket ready again */
        return SOCK_NOT_YET;
    if (fd >= 0) {
        op->result.fd = fd;
        op->result.addr = peer;
    }
    return outcome(fd);
}

static const struct sock_op_class accept_class = {
    .name = "accept",
    .events = EDDY_READ,
    .attempt = try_accept,
};

int eddy_sock_accept(struct eddy_loop *loop, eddy_fd fd, struct eddy_future **ret)
{
    struct sock_op *op;
    int rc = eddy_sock_op_new(loop, &accept_class, fd, sizeof *op, ret, &op);

    return rc < 0 ? rc : eddy_sock_op_run(op, ret);
}

eddy_fd eddy_sock_take(struct eddy_sock_result *r)
{
    eddy_fd fd = r ? r->fd : -1;

    if (r)
        r->fd = -1;
    return fd;
}
