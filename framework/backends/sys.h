/* The parts of the POSIX table of system calls that have a file of their own. */
#ifndef EDDY_BACKENDS_SYS_H
#define EDDY_BACKENDS_SYS_H

#include <eddy/backend.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* such systems have SO_NOSIGPIPE */
#endif

/* What the system wrote to *a has the length `len`, which is larger than the room if it was cut,
 * and 0 on some systems for a unix socket without a name. */
void eddy_sys_set_addr_len(struct eddy_addr *a, socklen_t len);

/* ---- sys_unix.c ---- */

ssize_t eddy_sys_recv_fds(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len, eddy_fd *fds,
                          int *count);
ssize_t eddy_sys_send_fds(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n,
                          const eddy_fd *fds, int count);
int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret);

/* ---- sys_datagram.c ---- */

int eddy_sys_recv_messages(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n);
int eddy_sys_send_messages(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n);

/* ---- sys_file.c ---- */

ssize_t eddy_sys_read_file(struct eddy_sys *sys, eddy_fd file, void *buf, size_t len,
                           int64_t offset);
#ifdef __linux__
ssize_t eddy_sys_sendfile(struct eddy_sys *sys, eddy_fd fd, eddy_fd file, int64_t offset,
                          size_t len);
#else
#define eddy_sys_sendfile NULL
#endif

#endif
