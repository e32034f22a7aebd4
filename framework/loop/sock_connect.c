/* Connecting a socket of the user's, to an address or to a host by its name. */
#include "framework/base/alloc.h"
#include "framework/loop/sock.h"
#include <eddy/resolver.h>
#include <string.h>

/* -EALREADY: what an operation began that was cancelled goes on in the kernel, and is ours now.
 * -EAGAIN is an answer: nothing is under way, and no readiness would follow (a full backlog of a
 * unix server, no port to be had). */
static int try_connect(struct sock_op *op)
{
    struct eddy_sys *sys = op->loop->sys;

    if (op->begun)
        return sys->cls->error(sys, op->fd);
    op->begun = true;
    int rc = sys->cls->connect(sys, op->fd, &op->result.addr);
    return rc == -EINPROGRESS || rc == -EALREADY ? SOCK_NOT_YET : rc;
}

static const struct sock_op_class connect_class = {
    .name = "connect",
    .events = EDDY_WRITE,
    .attempt = try_connect,
};

static int connect_to(struct eddy_loop *loop, eddy_fd fd, const struct eddy_addr *to,
                      struct eddy_future **ret)
{
    struct sock_op *op;
    int rc = eddy_sock_op_new(loop, &connect_class, fd, sizeof *op, ret, &op);

    if (rc < 0)
        return rc;
    op->result.addr = *to;
    return eddy_sock_op_run(op, ret);
}

int eddy_sock_connect(struct eddy_loop *loop, eddy_fd fd, const struct eddy_addr *to,
                      struct eddy_future **ret)
{
    return to && to->len > 0 ? connect_to(loop, fd, to, ret) : -EINVAL;
}

/* ---- by name ---- */

struct host_op {
    struct sock_op op; /* first */
    struct eddy_query query;
    char host[];
};

static void stop_asking(struct sock_op *op)
{
    eddy_query_cancel(&((struct host_op *)op)->query);
}

static const struct sock_op_class connect_host_class = {
    .name = "connect",
    .events = EDDY_WRITE,
    .attempt = try_connect,
    .stop = stop_asking,
};

/* Another operation may wait for the socket by now. */
static void found(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct sock_op *op = &EDDY_CONTAINER_OF(q, struct host_op, query)->op;
    const struct eddy_addresses *found = answer;

    if (error) {
        eddy_sock_op_fail_with(op, error);
        return;
    }
    op->result.addr = found->list[0].addr;
    eddy_answer_free(answer);
    int rc = eddy_sock_check(op->loop, op->fd, EDDY_WRITE);
    if (rc < 0)
        eddy_sock_op_fail(op, rc);
    else
        eddy_sock_op_try(op);
}

/* Addresses that the socket can take: what cannot be found out, connecting will tell. */
static void ask_for_socket(struct eddy_query *q, struct eddy_sys *sys, eddy_fd fd)
{
    struct eddy_addr own;

    if (sys->cls->sockname(sys, fd, &own) == 0)
        q->family = own.u.sa.sa_family;
    if (sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &q->type) < 0)
        q->type = SOCK_STREAM;
}

int eddy_sock_connect_host(struct eddy_loop *loop, eddy_fd fd, const char *host, int port,
                           struct eddy_future **ret)
{
    struct eddy_addr to;
    struct sock_op *op;

    if (!host || port < 0 || port > 65535)
        return -EINVAL;
    if (eddy_addr_parse(host, port, &to) == 0)
        return connect_to(loop, fd, &to, ret);
    size_t size = strlen(host) + 1;
    int rc =
        eddy_sock_op_new(loop, &connect_host_class, fd, sizeof(struct host_op) + size, ret, &op);
    if (rc < 0)
        return rc;
    struct host_op *h = (struct host_op *)op;
    h->query.done = found;
    h->query.host = memcpy(h->host, host, size);
    h->query.port = port;
    ask_for_socket(&h->query, loop->sys, fd);
    rc = eddy_query_start(loop, &h->query, NULL);
    if (rc < 0) {
        eddy_sock_op_drop(op);
        return rc;
    }
    eddy_sock_op_begin(op, ret);
    return 0;
}
