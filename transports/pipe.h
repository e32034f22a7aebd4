/* Pipe transports for those who open the descriptor themselves: a child's standard streams. */
#ifndef EDDY_TRANSPORTS_PIPE_H
#define EDDY_TRANSPORTS_PIPE_H

#include "transports/opening.h"

enum pipe_way {
    PIPE_READ,
    PIPE_WRITE,
    PIPE_BOTH, /* a terminal, or a socket */
};

/* A transport over fd, which is non-blocking and close-on-exec already. Silent until
 * eddy_pipe_made; to be given up before that by eddy_opened_drop. The limits (which may be NULL)
 * are referenced. On success fd is the transport's; on failure the caller's still: -ENOMEM, -EINVAL
 * (no pipe, terminal or socket, not open for that, or not for this backend), -EBADF,
 * EDDY_EFD_IN_USE,
 * EDDY_ENOT_SUPPORTED (no such system calls here). */
int eddy_pipe_new(struct eddy_loop *loop, enum pipe_way way, eddy_fd fd, struct eddy_limits *limits,
                  const char *site, struct opened **ret);
/* As eddy_transport_made, and from then on a write pipe notices the end of its reader: from the
 * loop only. The storage is the transport's own; s is not to be used any more. With a list of
 * yours, the loop's close is yours to hear of. */
void eddy_pipe_made(struct opened *s, struct eddy_protocol *p, struct eddy_link *list);

#endif
