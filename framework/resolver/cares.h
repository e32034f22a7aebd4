/*
 * c-ares behind the loop: below questions and answers (cares.c) a channel, which is sockets and
 * time (cares_channel.c).
 *
 * c-ares calls back from inside any call into it, those that cancel included. So each question has
 * a record of ours that c-ares may hold as long as it likes, cut loose from the query when nobody
 * waits for that any more; and what is to be done to a channel itself is done later, by the loop.
 */
#ifndef EDDY_RESOLVER_CARES_H
#define EDDY_RESOLVER_CARES_H

#include "framework/base/list.h"
#include <eddy/loop.h>
#include <eddy/resolver.h>

/* What takes the place of the calls so marked came after c-ares 1.18. */
#define CARES_NO_DEPRECATED
#include <ares.h>

struct eddy_cares_channel {
    ares_channel ares;
    struct eddy_loop *loop;
    struct eddy_link link;    /* the owner's */
    struct eddy_link sockets; /* struct socket */
    struct eddy_link waiting; /* requests that have a query */
    unsigned requests;        /* that c-ares has, with a query or without */
    unsigned awaited;         /* those with one */
    int no_socket;            /* why the last one could not be opened: -errno; 0: it could */
    int unwatched;            /* why one could not be watched; 0: all could */
    bool received;            /* something, when it was last tried */
    bool retired;
    bool outdated; /* by a change of resolv.conf */
    struct eddy_timer timer;
    struct eddy_handle settle;
};

struct eddy_cares_request {
    struct eddy_query *query; /* NULL: nobody waits */
    struct eddy_cares_channel *channel;
    struct eddy_link link;
    int port; /* of the service, if it was asked for by name */
};

/* ---- cares_channel.c ---- */

int eddy_cares_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                    struct eddy_error *error, struct eddy_cares_channel **ret);
/* Queries must have been cut loose. Never inside c-ares. */
void eddy_cares_free(struct eddy_cares_channel *ch);
/* It has as much to do as it should ever have, or most of it is for nobody: another should take its
 * place, since c-ares remembers all of it, and has only so many numbers for questions. */
bool eddy_cares_is_worn(const struct eddy_cares_channel *ch);
/* Even one that has nobody to take its place can be asked no more. */
bool eddy_cares_is_full(const struct eddy_cares_channel *ch);
/* There will be no more questions: it is freed as soon as nobody waits, which may be at once. It
 * can be told again. Never inside c-ares. */
void eddy_cares_retire(struct eddy_cares_channel *ch);
/* A record for q (q->work), to be given to c-ares. NULL: no memory. */
struct eddy_cares_request *eddy_cares_ask(struct eddy_cares_channel *ch, struct eddy_query *q);
/* c-ares has answered: the record is freed. Returns the query, or NULL if nobody waits. */
struct eddy_query *eddy_cares_answered(struct eddy_cares_request *rq);
/* Nobody waits any more. */
void eddy_cares_cut_loose(struct eddy_cares_request *rq);
/* Waits for the sockets here, for at most so long, and has c-ares look at them: -ENOMEM. */
int eddy_cares_wait(struct eddy_cares_channel *ch, eddy_nsec timeout);

/* ---- cares_socket.c ---- */

/* Has the channel's sockets made by us. */
void eddy_cares_use_sockets(struct eddy_cares_channel *ch);

#endif
