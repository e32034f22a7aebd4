/* Listening sockets: made, bound, watched. What they accept goes to their server. */
#ifndef EDDY_TRANSPORTS_LISTEN_H
#define EDDY_TRANSPORTS_LISTEN_H

#include "transports/unix.h"
#include <eddy/backend.h>
#include <eddy/server.h>

/* Where a unix server listens, and how. */
struct unix_place {
    struct eddy_addr addr; /* of length 0: .sock */
    unsigned mode;
    bool keep_file;
    unsigned max_fds;
};

struct listener {
    struct eddy_io io; /* first */
    struct eddy_server *server;
    struct eddy_addr addr;
    struct socket_file file;
    bool listening;
    bool attached;
    bool made_here; /* a unix socket by its path */
    int backlog;
    struct listener *next;
};

/* One per address of the options, or the one of `u` unless NULL, bound; 0, or an error with its
 * sentence in o->error and nothing left open. .sock is consumed but on -EINVAL. */
int eddy_listeners_open(struct eddy_server *server, struct eddy_loop *loop,
                        const struct eddy_server_opts *o, const struct unix_place *u,
                        struct listener **ret);
/* listen(2) and attach to the loop, for each from `first` on that does not listen yet. All do, or
 * on failure those only that did before. */
int eddy_listeners_start(struct listener *first, struct eddy_loop *loop, int backlog);
void eddy_listener_watch(struct listener *l, bool on);
/* Not listening: its descriptor is the caller's again. */
void eddy_listener_release(struct listener *l);
/* l is freed, now or when the backend is done with it. */
void eddy_listener_close(struct listener *l, struct eddy_loop *loop);

/* ---- server.c ---- */

/* What is the same for each kind of server: class, loop, backlog and .sock. `op` is the creating
 * call's name. */
int eddy_server_check(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                      const struct eddy_server_opts *o, const char *op);
/* The rest of a creating call whose options are checked; u: a unix server's own, else NULL. */
int eddy_server_create(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                       const struct eddy_server_opts *o, const char *op, const struct unix_place *u,
                       struct eddy_server **ret);
/* res is a descriptor, or an error of accept. */
void eddy_server_accepted(struct eddy_server *s, int res, const struct eddy_addr *peer);

/* ---- serve.c ---- */

typedef int eddy_serve_create_fn(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                                 const struct eddy_server_opts *o, const void *user,
                                 struct eddy_server **ret);
/* A whole program around a server that `create` makes; o is of its size, or longer. */
int eddy_serve_with(const struct eddy_protocol_class *cls, const struct eddy_server_opts *o,
                    eddy_serve_create_fn *create, const void *user);
/* Logs that there are no options, to be made by `macro`; the code. */
int eddy_serve_refuse(int code, const char *macro);

#endif
