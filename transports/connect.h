/* Clients: what is the same whatever they connect to. */
#ifndef EDDY_TRANSPORTS_CONNECT_H
#define EDDY_TRANSPORTS_CONNECT_H

#include "transports/tls/layer.h"
#include <eddy/connection.h>

/* What a connection is made with: the options of any kind, in the terms of this one. */
struct connect_request {
    const char *op; /* the creating call's name */
    const struct eddy_connection_opts *o;
    struct tls_settings tls;
    unsigned max_fds; /* of a unix socket */
};

/* Protocol, loop, time-outs and TLS. */
int eddy_connect_check(struct eddy_loop *loop, struct eddy_protocol *p,
                       const struct connect_request *r);
/* Whether .sock will do. */
int eddy_connect_check_sock(struct eddy_loop *loop, const struct eddy_connection_opts *o,
                            const char *op);
/* The rest of a creating call whose arguments are checked: to an address (of length 0: .host is to
 * be looked up), unless .sock is given. */
int eddy_connect(struct eddy_loop *loop, struct eddy_protocol *p, const struct connect_request *r,
                 const struct eddy_addr *to, struct eddy_future **ret);

#endif
