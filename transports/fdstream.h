/* Streams over a descriptor: what TCP, and later unix sockets and pipes, share. */
#ifndef EDDY_TRANSPORTS_FDSTREAM_H
#define EDDY_TRANSPORTS_FDSTREAM_H

#include <eddy/transport_impl.h>

extern const struct eddy_transport_class eddy_tcp_transport;
extern const struct eddy_io_class eddy_fdstream_io;

/* The slots of an io class for streams, but for its name and what only some of them need. */
#define EDDY_FDSTREAM_IO                                                          \
    .received = eddy_transport_received, .get_buffer = eddy_transport_get_buffer, \
    .output = eddy_transport_output, .sent = eddy_transport_sent, .closed = eddy_transport_closed

/* A connected descriptor becomes t's: non-blocking already. Sets its options and peer name (NULL:
 * asks). On failure it is still the caller's. */
int eddy_fdstream_attach(struct eddy_transport *t, int fd, const struct eddy_addr *peer);

/* TCP_NODELAY, where it applies (contract T36). */
void eddy_fdstream_nodelay(struct eddy_loop *loop, int fd);

#endif
