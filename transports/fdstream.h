/* Streams over a descriptor: what TCP, unix sockets and pipes share. */
#ifndef EDDY_TRANSPORTS_FDSTREAM_H
#define EDDY_TRANSPORTS_FDSTREAM_H

#include <eddy/transport_impl.h>

extern const struct eddy_transport_class eddy_tcp_transport;
extern const struct eddy_io_class eddy_fdstream_io;

/* The slots of an io class for streams, but for its name and what only some of them need. */
#define EDDY_FDSTREAM_IO                                                          \
    .received = eddy_transport_received, .get_buffer = eddy_transport_get_buffer, \
    .output = eddy_transport_output, .sent = eddy_transport_sent,                 \
    .writable = eddy_transport_writable, .closed = eddy_transport_closed

/* The slots of a transport class over such an io: all goes to the backend. */
ssize_t eddy_fdstream_send(struct eddy_transport *t, const void *data, size_t len);
ssize_t eddy_fdstream_sendv(struct eddy_transport *t, const struct iovec *iov, int n);
void eddy_fdstream_send_start(struct eddy_transport *t);
void eddy_fdstream_read_start(struct eddy_transport *t);
void eddy_fdstream_read_stop(struct eddy_transport *t);
int eddy_fdstream_shutdown(struct eddy_transport *t);
void eddy_fdstream_cancel(struct eddy_transport *t);
void eddy_fdstream_close(struct eddy_transport *t);
int eddy_fdstream_sockname(const struct eddy_transport *t, struct eddy_addr *ret);
/* For TCP: anything unread, or not acknowledged. */
bool eddy_fdstream_unsettled(struct eddy_transport *t);
int eddy_fdstream_in_flight(const struct eddy_transport *t);

/* ... those of a stream socket, but for its name, `send` and `unsettled`, and others it has in
 * their place. */
#define EDDY_FDSTREAM_TRANSPORT                                                   \
    .abi_size = sizeof(struct eddy_transport_class), .can_write_eof = true,       \
    .sendv = eddy_fdstream_sendv, .send_start = eddy_fdstream_send_start,         \
    .read_start = eddy_fdstream_read_start, .read_stop = eddy_fdstream_read_stop, \
    .in_flight = eddy_fdstream_in_flight, .shutdown = eddy_fdstream_shutdown,     \
    .cancel = eddy_fdstream_cancel, .close = eddy_fdstream_close,                 \
    .sockname = eddy_fdstream_sockname

/* A connected descriptor becomes t's: non-blocking already. Sets its options and peer name (NULL:
 * asks). On failure it is still the caller's. */
int eddy_fdstream_attach(struct eddy_transport *t, int fd, const struct eddy_addr *peer);

/* TCP_NODELAY, where it applies (contract T36). */
void eddy_fdstream_nodelay(struct eddy_loop *loop, int fd);

#endif
