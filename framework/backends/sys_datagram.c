/* Datagrams, several by one call where the system has one. */
#include "framework/backends/sys.h"

int eddy_sys_recv_messages(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n)
{
    (void)sys;
    (void)fd;
    (void)m;
    (void)n;
    return EDDY_ENOT_SUPPORTED;
}

int eddy_sys_send_messages(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n)
{
    (void)sys;
    (void)fd;
    (void)m;
    (void)n;
    return EDDY_ENOT_SUPPORTED;
}
