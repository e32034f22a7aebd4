/*
 * Pipes, terminals and pseudo-terminals as transports. (asyncio: connect_read_pipe,
 * connect_write_pipe)
 *
 * A read pipe lives CM DR* [ER] CL; eof_received comes at the end of file, and its result changes
 * nothing: the transport closes. Bytes cannot be written to it: EDDY_ENOT_SUPPORTED. A write pipe
 * lives CM (PW | RW)* CL (contract R4); nothing is received, and write_eof is close (T44). That its
 * reader is gone it notices also while it has nothing to write, if it is a pipe or a socket:
 * connection_lost(NULL) if nothing waited to be sent, else connection_lost(-EPIPE) (T43). A
 * terminal goes both ways; a pseudo-terminal whose other side was closed by all of its users ends
 * with connection_lost(-EIO) (T46).
 */
#ifndef EDDY_PIPE_H
#define EDDY_PIPE_H

#include <eddy/base.h>
#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_pipe_opts {
    size_t abi_size;
    const char *site;                        /* set by EDDY_PIPE: where it was opened */
    int fd;                                  /* the transport's, see below; 0 is standard input */
    eddy_nsec idle_timeout, write_timeout;   /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */
    struct eddy_error *error;                /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_connect_read_pipe(loop, &me->base, EDDY_PIPE(.fd = fd), NULL) */
#define EDDY_PIPE(...)                                                                          \
    EDDY_LITERAL_(eddy_pipe_opts, .abi_size = sizeof(struct eddy_pipe_opts), .site = EDDY_SITE, \
                  __VA_ARGS__)

/* Makes .fd a transport and attaches `p`, which must be initialised and not attached. 0:
 * connection_made follows from the loop, or connect_failed if it is cancelled before; the future in
 * *ret (which may be NULL; else the caller's reference) carries the status only, and is done after
 * connection_made (contract S49). < 0: no callback comes.
 *
 * .fd may be a pipe or FIFO, a connected stream socket, or a character device, open for that
 * direction (contract T40). From the arguments' acceptance on it is the transport's, which closes
 * it in the end; any later failure has closed it (G29). It is the caller's still after -EINVAL (a
 * file or a directory, the wrong direction, bad options or protocol), -EBADF, -E2BIG,
 * EDDY_EFD_IN_USE (this loop has it already), EDDY_ELOOP_CLOSED and EDDY_ENOT_SUPPORTED (the loop
 * is a simulated one); closed after -ENOMEM and others.
 *
 * It is made non-blocking (T41), which other processes would notice that have inherited the same
 * open file: a shell its terminal. So a terminal or unnamed pipe that blocks is opened anew, under
 * its old number, where the system allows it (Linux; not if it belongs to another user); a socket,
 * a named FIFO, and what cannot be opened anew is left non-blocking for all.
 *
 * Errors of reading other than -EIO are also reported by on_problem (T33). */
EDDY_API int eddy_connect_read_pipe(struct eddy_loop *loop, struct eddy_protocol *p,
                                    const struct eddy_pipe_opts *opts, struct eddy_future **ret);
/* The class of p needs no data_received, and there is no .idle_timeout (-EINVAL). What a socket's
 * peer sends is thrown away; its end of stream counts as the reader's end. A FIFO that is open for
 * reading too cannot tell that it has no other reader. Where the system has no way to write without
 * SIGPIPE (Linux before 6.18), a loop with .keep_sigpipe is killed by it, as by write() itself
 * (contract G26). */
EDDY_API int eddy_connect_write_pipe(struct eddy_loop *loop, struct eddy_protocol *p,
                                     const struct eddy_pipe_opts *opts, struct eddy_future **ret);
/* Both ways at once: a terminal, the master of a pseudo-terminal, another character device, or a
 * connected stream socket, open for reading and writing. write_eof works on sockets alone. Closing
 * a master hangs up its terminal, and what was not yet read there is lost. */
EDDY_API int eddy_connect_terminal(struct eddy_loop *loop, struct eddy_protocol *p,
                                   const struct eddy_pipe_opts *opts, struct eddy_future **ret);

/* ---- pseudo-terminals ---- */

struct eddy_window_size {
    unsigned short rows, cols; /* of characters; 0: not known */
};

/* A new pseudo-terminal. The master, non-blocking, is for eddy_connect_terminal; the slave, which
 * blocks, for the standard streams of a child. Both are close-on-exec and the caller's. `size` may
 * be NULL. -EMFILE, -ENOSPC (no more of them) and others; EDDY_ENOT_SUPPORTED. [any thread] */
EDDY_API int eddy_open_pty(const struct eddy_window_size *size, int *ret_master, int *ret_slave);

/* The size of a terminal's window; to set it, on either side of a pseudo-terminal, sends SIGWINCH
 * to its foreground processes if it changes. For a transport take eddy_transport_fd. -ENOTTY,
 * -EBADF; -EINVAL: NULL. [any thread] */
EDDY_API int eddy_get_window_size(int fd, struct eddy_window_size *ret);
EDDY_API int eddy_set_window_size(int fd, const struct eddy_window_size *size);

#ifdef __cplusplus
}
#endif
#endif
