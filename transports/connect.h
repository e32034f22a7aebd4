/* Clients: what is the same whatever they connect to. */
#ifndef EDDY_TRANSPORTS_CONNECT_H
#define EDDY_TRANSPORTS_CONNECT_H

#include <eddy/connection.h>

/* Protocol, loop and time-out; `op` is the creating call's name. */
int eddy_connect_check(struct eddy_loop *loop, struct eddy_protocol *p,
                       const struct eddy_connection_opts *o, const char *op);
/* Whether .sock will do. */
int eddy_connect_check_sock(struct eddy_loop *loop, const struct eddy_connection_opts *o,
                            const char *op);
/* The rest of a creating call whose arguments are checked: to an address (of length 0: .host is to
 * be looked up), unless .sock is given. max_fds: of a unix socket. */
int eddy_connect(struct eddy_loop *loop, struct eddy_protocol *p,
                 const struct eddy_connection_opts *o, const char *op, const struct eddy_addr *to,
                 unsigned max_fds, struct eddy_future **ret);

#endif
