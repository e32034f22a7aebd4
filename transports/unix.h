/* What unix sockets share: names, socket files, transports. */
#ifndef EDDY_TRANSPORTS_UNIX_H
#define EDDY_TRANSPORTS_UNIX_H

#include <eddy/transport_impl.h>
#include <eddy/unix.h>
#include <sys/stat.h>

/* ---- unix_file.c ---- */

/* From a path or abstract name as options give it: 0; -EINVAL with the reason in *e. */
int eddy_unix_addr(const char *path, size_t len, const char *op, struct eddy_error *e,
                   struct eddy_addr *ret);
bool eddy_unix_is_abstract(const struct eddy_addr *a);

/* The file of a listening socket, to be removed with it. */
struct socket_file {
    dev_t dev;
    ino_t ino;
    pid_t maker; /* 0: there is none, or it stays */
};

/* Removes the socket file that has this name. 0, also if there is none; -EADDRINUSE: what is there
 * is no socket, and stays. That it cannot be removed is said by bind. */
int eddy_socket_file_remove_stale(const struct eddy_addr *a);
/* Binds fd to `a`: in the place of a socket file, but of no other, and with `mode` unless 0. On
 * failure nothing is left of it, and *e says why. */
int eddy_socket_file_bind(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a,
                          unsigned mode, struct eddy_error *e, struct socket_file *ret);
/* Removes it if it is still the same one. Before the socket is closed: until then no other file can
 * have its number. */
void eddy_socket_file_remove(struct socket_file *f, const struct eddy_addr *a,
                             struct eddy_loop *loop);

/* ---- unix_stream.c ---- */

extern const struct eddy_transport_class eddy_unix_transport;
extern const struct eddy_io_class eddy_unix_io;

/* An io class for clients: eddy_unix_io's slots and one of its own. */
#define EDDY_UNIX_IO                                                                         \
    .received = eddy_transport_received, .get_buffer = eddy_transport_get_buffer,            \
    .output = eddy_transport_output, .sent = eddy_transport_sent,                            \
    .writable = eddy_transport_writable, .closed = eddy_unix_closed, .recv = eddy_unix_recv, \
    .sendv = eddy_unix_sendv

void eddy_unix_closed(struct eddy_io *io);
ssize_t eddy_unix_recv(struct eddy_io *io, void *buf, size_t len);
ssize_t eddy_unix_sendv(struct eddy_io *io, const struct iovec *iov, int n);

/* t, with an io_class as above, becomes one that passes descriptors; at most max_fds received ones
 * may wait. Not before it has an io, whose end is theirs. -ENOMEM. */
int eddy_unix_pass_fds(struct eddy_transport *t, unsigned max_fds);

#endif
