#include "transports/fdstream.h"

#include "framework/loop/loop.h"
#include <netinet/tcp.h>

ssize_t eddy_fdstream_send(struct eddy_transport *t, const void *data, size_t len)
{
    return t->io.loop->try_send(&t->io, data, len);
}

ssize_t eddy_fdstream_sendv(struct eddy_transport *t, const struct iovec *iov, int n)
{
    return t->io.loop->backend->cls->try_sendv(&t->io, iov, n);
}

void eddy_fdstream_send_start(struct eddy_transport *t)
{
    t->io.loop->backend->cls->send_start(t->io.loop->backend, &t->io);
}

void eddy_fdstream_read_start(struct eddy_transport *t)
{
    t->io.loop->backend->cls->read_start(t->io.loop->backend, &t->io);
}

void eddy_fdstream_read_stop(struct eddy_transport *t)
{
    t->io.loop->backend->cls->read_stop(t->io.loop->backend, &t->io);
}

int eddy_fdstream_shutdown(struct eddy_transport *t)
{
    return t->io.loop->backend->cls->shutdown(t->io.loop->backend, &t->io);
}

bool eddy_fdstream_unsettled(struct eddy_transport *t)
{
    struct eddy_sys *sys = t->io.loop->sys;
    int in = 0, out = 0;

    return sys->cls->pending(sys, t->io.fd, &in, &out) == 0 && (in > 0 || out > 0);
}

void eddy_fdstream_cancel(struct eddy_transport *t)
{
    eddy_io_cancel(&t->io);
}

void eddy_fdstream_close(struct eddy_transport *t)
{
    eddy_io_close(&t->io);
}

int eddy_fdstream_sockname(const struct eddy_transport *t, struct eddy_addr *ret)
{
    struct eddy_sys *sys = t->io.loop->sys;

    return t->io.fd < 0 ? EDDY_ENOT_SUPPORTED : sys->cls->sockname(sys, t->io.fd, ret);
}

int eddy_fdstream_in_flight(const struct eddy_transport *t)
{
    struct eddy_sys *sys = t->io.loop->sys;
    int in = 0, out = 0;

    return sys->cls->pending(sys, t->io.fd, &in, &out) == 0 ? out : 0;
}

const struct eddy_transport_class eddy_tcp_transport = {
    .name = "tcp",
    EDDY_FDSTREAM_TRANSPORT,
    .sendfile = EDDY_SENDFILE_BY_CALL,
    .send = eddy_fdstream_send,
    .unsettled = eddy_fdstream_unsettled,
};

const struct eddy_io_class eddy_fdstream_io = {
    .name = "stream",
    EDDY_FDSTREAM_IO,
};

void eddy_fdstream_nodelay(struct eddy_loop *loop, int fd)
{
    loop->sys->cls->setsockopt(loop->sys, fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

int eddy_fdstream_attach(struct eddy_transport *t, int fd, const struct eddy_addr *peer)
{
    struct eddy_sys *sys = t->io.loop->sys;
    struct eddy_addr asked = {.len = 0};
    int rc = eddy_io_attach(&t->io, fd);

    if (rc < 0)
        return rc;
    if (!peer) {
        sys->cls->peername(sys, fd, &asked);
        peer = &asked;
    }
    eddy_transport_set_peername(t, peer);
    return 0;
}
