/*
 * Sending files, by the system call where there is one for it, else by copying.
 *
 * The file descriptor is yours, and must stay open, and be left alone, until the future is done
 * (without one: until connection_lost); at that moment, also after an error or cancelling, the
 * file's position is at offset + what was sent (contract L92). Reading a file may wait for the
 * disk, and one that can block otherwise, as a pipe can, blocks the loop; one that is empty for now
 * and does not block fails with -EAGAIN. For the loop's thread.
 */
#ifndef EDDY_SENDFILE_H
#define EDDY_SENDFILE_H

#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* (asyncio: the arguments offset, count, fallback) */
struct eddy_sendfile_opts {
    size_t abi_size; /* sizeof(struct eddy_sendfile_opts) */
    const char *site;
    int64_t offset; /* of the first byte */
    /* Most bytes to send; 0: to the end of the file, wherever that is when it is reached. A file
     * that is shorter is no error: the future's value tells. */
    int64_t count;
    bool no_fallback;         /* by the system call, or not at all */
    struct eddy_error *error; /* of a call that fails; may be NULL */
    void *reserved[4];
};

/* eddy_transport_sendfile(t, file, EDDY_SENDFILE(.offset = 100, .count = 50), &future); NULL in its
 * place is the whole file. */
#define EDDY_SENDFILE(...)                                                           \
    EDDY_LITERAL_(eddy_sendfile_opts, .abi_size = sizeof(struct eddy_sendfile_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* Sends it behind all that was written before, and before all that is written, or sent so, later:
 * these calls go on meanwhile, and close and write_eof take effect behind it. Nothing is received
 * until it is over, as if reading were paused; pause_reading and resume_reading say what comes
 * then. A small file is over when the call returns: who must not hear of the next request before
 * the future's callback ran pauses reading until then. (asyncio: loop.sendfile; contract L94-L97.)
 *
 * The bytes of the file count in no buffer: neither pause_writing nor write_max see them. At most
 * 1 MiB is sent before others have their turn.
 *
 * The future is done, at the latest, when the connection is lost; but its callbacks come from the
 * loop, and so may come after connection_lost and fini: an eddy_done that is part of the protocol
 * is to be removed there.
 *
 * The future's value points to an int64_t, the number of bytes that were sent; it lives as long as
 * the future. Cancelling it drops what is left, but for bytes that were copied already, 64 KiB at
 * most, which are then counted as sent; what was written behind the file follows. Its errors:
 * - of the connection, which is lost, with connection_lost as ever: its error, EDDY_ECLOSED if it
 *   was aborted without one, EDDY_ELOOP_CLOSED;
 * - of the file, or -ENOMEM: the connection stays open, and the file's position tells how much the
 *   peer has got;
 * - EDDY_ESENDFILE_NA: no_fallback, the system call does not do, and nothing was sent.
 *
 * ret may be NULL: nobody waits, and an error of the file force-closes the transport with it, so
 * that a stream never has a hole.
 *
 * If the call itself fails nothing was queued: -EINVAL (no file, a negative offset or count),
 * -E2BIG, -ENOMEM; EDDY_EINVALID_STATE: t is closing, or NULL, or after write_eof;
 * EDDY_ENOT_SUPPORTED: pipes, datagrams, subprocesses; or no_fallback on a transport that only
 * copies: TLS, and unix sockets that pass descriptors. */
EDDY_API int eddy_transport_sendfile(struct eddy_transport *t, int file,
                                     const struct eddy_sendfile_opts *opts,
                                     struct eddy_future **ret);

/* The same over a connected stream socket of yours, non-blocking, that no transport has: tried at
 * once, and whenever it can be written to. Cancelling stops it there and then. The future's errors:
 * of the socket, of the file, -ENOMEM, EDDY_ESENDFILE_NA, EDDY_ELOOP_CLOSED.
 *
 * Of the call: -EINVAL (also no ret, no stream socket, in debug mode one that blocks), -EBADF,
 * -E2BIG, -ENOMEM, EDDY_ELOOP_CLOSED; EDDY_EFD_IN_USE: the socket is a transport's; -EEXIST: it is
 * watched for writing already. (asyncio: loop.sock_sendfile; contract L92-L94, L53.) */
EDDY_API int eddy_sock_sendfile(struct eddy_loop *loop, int sock, int file,
                                const struct eddy_sendfile_opts *opts, struct eddy_future **ret);

#ifdef __cplusplus
}
#endif
#endif
