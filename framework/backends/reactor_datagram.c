/* Datagrams: as many as wait are fetched by one system call, and told one by one. */
#include "framework/backends/reactor.h"

void reactor_serve_datagrams(struct reactor *r, struct eddy_io *io)
{
    (void)r;
    (void)io;
}

int reactor_try_send_messages(struct eddy_io *io, const struct eddy_message *m, int n)
{
    struct eddy_sys *sys = io->loop->sys;

    return sys->cls->send_messages(sys, io->fd, m, n);
}
