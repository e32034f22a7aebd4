/* Descriptors over unix sockets, and who is at the other end. */
#include "framework/backends/sys.h"

ssize_t eddy_sys_recv_fds(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len, eddy_fd *fds,
                          int *count)
{
    (void)fds;
    *count = 0;
    return sys->cls->recv(sys, fd, buf, len);
}

ssize_t eddy_sys_send_fds(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n,
                          const eddy_fd *fds, int count)
{
    (void)fds;
    (void)count;
    return sys->cls->sendv(sys, fd, iov, n);
}

int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret)
{
    (void)sys;
    (void)fd;
    (void)ret;
    return EDDY_ENOT_SUPPORTED;
}
