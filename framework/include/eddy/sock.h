/*
 * Operations on sockets of yours, below transports: each is a future. (asyncio: sock_recv,
 * sock_sendall and so on; contract L85-L91.)
 *
 * The socket must be non-blocking; debug mode refuses one that is not (contract L53). It stays
 * yours: an operation only borrows it, and must be done or cancelled before you close it. So do the
 * bytes, which must stay where they are until the future is done.
 *
 * Each operation is tried inside the call: its future is often done when that returns. What it
 * cannot do at once it does as soon as the loop finds the socket ready. Cancelling the future takes
 * it back at once, and another operation may follow on its heels; what was sent or received by then
 * stays so.
 *
 * One operation per direction at a time: eddy_sock_recv, eddy_sock_recvfrom and eddy_sock_accept
 * read, the others write. A second one gives -EEXIST while the first one waits, and so it does
 * beside a struct eddy_watch. (asyncio lets it take the first one's place, which then never ends.)
 *
 * All calls are for the loop's thread, and return -EINVAL for NULL, a negative descriptor, or a
 * blocking one in debug mode; -EEXIST; EDDY_EFD_IN_USE if it is a transport's or the loop's own;
 * EDDY_ELOOP_CLOSED; -ENOMEM. Then nothing was begun. What the system says to the operation itself
 * comes by the future, as EDDY_ELOOP_CLOSED does when the loop is closed meanwhile.
 */
#ifndef EDDY_SOCK_H
#define EDDY_SOCK_H

#include <eddy/addr.h>
#include <eddy/base.h>
#include <eddy/future.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The value of each future, good as long as that. What does not apply is 0 or -1. */
struct eddy_sock_result {
    size_t count;          /* bytes received or sent */
    bool truncated;        /* recvfrom: the datagram was longer, and its end is lost */
    eddy_fd fd;            /* accept: the new socket, closed with the future unless taken */
    struct eddy_addr addr; /* recvfrom: the sender; sendto, connect: whom to; accept: the peer */
};

/* Receives once, up to `len` bytes. A count of 0 is the end of a stream, or an empty datagram. */
EDDY_API int eddy_sock_recv(struct eddy_loop *loop, eddy_fd fd, void *buf, size_t len,
                            struct eddy_future **ret);
/* The same, with the sender's address: of length 0 if it has none, as on a connected stream. */
EDDY_API int eddy_sock_recvfrom(struct eddy_loop *loop, eddy_fd fd, void *buf, size_t len,
                                struct eddy_future **ret);

/* Sends all of it, in as many pieces as it takes. If that fails, or is cancelled, nobody knows how
 * much was sent. With `len` of 0 it is done at once, and nothing is sent. */
EDDY_API int eddy_sock_sendall(struct eddy_loop *loop, eddy_fd fd, const void *data, size_t len,
                               struct eddy_future **ret);
/* Sends one datagram, which may be empty. `to` NULL: to whom it is connected. While one waits for
 * room at its destination's, as unix sockets do, others may overtake it. -EINVAL for a stream
 * socket, too. */
EDDY_API int eddy_sock_sendto(struct eddy_loop *loop, eddy_fd fd, const void *data, size_t len,
                              const struct eddy_addr *to, struct eddy_future **ret);

/* Connects; a datagram socket gets `to` as its peer. After a failure or a cancel only another
 * socket is sure to work. */
EDDY_API int eddy_sock_connect(struct eddy_loop *loop, eddy_fd fd, const struct eddy_addr *to,
                               struct eddy_future **ret);
/* The same, to the first address of a name that is of the socket's family and type. What is numeric
 * is tried inside the call; anything else is looked up first, as by eddy_getaddrinfo, whose errors
 * these are. -EINVAL also for a port out of range. */
EDDY_API int eddy_sock_connect_host(struct eddy_loop *loop, eddy_fd fd, const char *host, int port,
                                    struct eddy_future **ret);

/* Accepts one connection; its descriptor is non-blocking and close-on-exec. A connection that was
 * given up before is passed over. */
EDDY_API int eddy_sock_accept(struct eddy_loop *loop, eddy_fd fd, struct eddy_future **ret);
/* The new socket is the caller's from here on; -1: there is none, or no more, or r is NULL. */
EDDY_API eddy_fd eddy_sock_take(struct eddy_sock_result *r);

#ifdef __cplusplus
}
#endif
#endif
