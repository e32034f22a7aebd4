/* Listening sockets: made, bound, watched. What they accept goes to their server. */
#ifndef EDDY_TRANSPORTS_LISTEN_H
#define EDDY_TRANSPORTS_LISTEN_H

#include <eddy/backend.h>
#include <eddy/server.h>

struct listener {
    struct eddy_io io; /* first */
    struct eddy_server *server;
    struct eddy_addr addr;
    bool listening;
    bool attached;
    int backlog;
    struct listener *next;
};

/* One per address of the options, bound; 0, or an error with its sentence in o->error and nothing
 * left open. .sock is consumed but on -EINVAL. */
int eddy_listeners_open(struct eddy_server *server, struct eddy_loop *loop,
                        const struct eddy_server_opts *o, struct listener **ret);
/* listen(2) and attach to the loop, for each from `first` on that does not listen yet. All do, or
 * on failure those only that did before. */
int eddy_listeners_start(struct listener *first, struct eddy_loop *loop, int backlog);
void eddy_listener_watch(struct listener *l, bool on);
/* Not listening: its descriptor is the caller's again. */
void eddy_listener_release(struct listener *l);
/* l is freed, now or when the backend is done with it. */
void eddy_listener_close(struct listener *l, struct eddy_loop *loop);

/* server.c: res is a descriptor, or an error of accept. */
void eddy_server_accepted(struct eddy_server *s, int res, const struct eddy_addr *peer);

#endif
