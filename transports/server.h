/* What a server is to the two files of it. */
#ifndef EDDY_TRANSPORTS_SERVER_H
#define EDDY_TRANSPORTS_SERVER_H

#include "framework/base/list.h"
#include "framework/loop/loop.h"
#include "transports/tls/layer.h"
#include <eddy/server.h>

struct eddy_server {
    struct eddy_owner owner; /* of the connections */
    struct eddy_resource resource;
    struct eddy_loop *loop; /* NULL once that is closed */
    unsigned refs;          /* the users', one while open, and one per connection's storage */
    const struct eddy_protocol_class *cls;
    void *arg;
    struct eddy_limits *limits;
    struct tls_settings tls; /* with a reference */
    struct eddy_limits *tls_limits;
    struct eddy_link handshaking; /* transports that TLS connections are to stand on */
    unsigned handshakes, max_handshakes;
    bool is_unix;
    unsigned max_fds;
    struct eddy_slab *slab;
    struct eddy_link connections;
    unsigned count, max;
    struct listener *listeners;
    int backlog;
    bool serving;
    bool closed;
    bool drained;         /* shutdown_requested was asked for */
    bool starving;        /* accept met a shortage */
    eddy_nsec starved_at; /* when that was last reported; 0: never */
    struct eddy_timer retry;
    struct eddy_handle freed;  /* ... and waits for a descriptor */
    struct eddy_handle asking; /* drain: shutdown_requested is owed */
    struct eddy_timer drain_end;
    struct eddy_future *forever;
    struct eddy_link waiters;
};

/* ---- server_end.c ---- */

/* Its part of a new server. */
void eddy_server_end_init(struct eddy_server *s);
/* Whoever waits for the end is told if s is closed and its last connection has ended. */
void eddy_server_try_complete(struct eddy_server *s);

#endif
