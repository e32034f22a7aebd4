/*
 * From a creating call to connection_made or connect_failed: what clients, pipes, datagram
 * endpoints and children have in common. The transport that comes of it is nobody's but the loop's,
 * and has its storage of its own.
 */
#ifndef EDDY_TRANSPORTS_OPENING_H
#define EDDY_TRANSPORTS_OPENING_H

#include "framework/loop/loop.h"
#include <eddy/future.h>
#include <eddy/transport_impl.h>

struct opening;

/* A transport and what belongs to it; embedded first by classes that have more. */
struct opened {
    struct eddy_transport t; /* first */
    struct eddy_owner owner;
    struct opening *opening; /* NULL once made, or given up */
};

/* `size` bytes, zeroed but for the struct opened that they begin with. The limits may be NULL.
 * NULL: no memory. */
struct opened *eddy_opened_new(size_t size, struct eddy_loop *loop,
                               const struct eddy_transport_class *cls,
                               const struct eddy_io_class *io_cls, struct eddy_limits *limits,
                               const char *site);
/* For one that is not to be made: closes its descriptor, if it has one, and frees it in time. */
void eddy_opened_drop(struct opened *s);

struct opening_class {
    const char *op; /* what fails, for the error's operation: "connect" */
    /* It has succeeded, failed, or was given up: timers and the like stop. May be called more than
     * once. NULL: there are none. */
    void (*stop)(struct opening *o);
    /* In the place of eddy_opened_drop. */
    void (*drop)(struct opening *o, struct opened *s);
    /* Last: what it holds is freed, o itself after that. NULL: nothing. */
    void (*fini)(struct opening *o);
};

/* Embedded first in what is allocated by eddy_zalloc for the time being; freed with it. */
struct opening {
    struct eddy_attempt attempt; /* first: what the protocol knows */
    const struct opening_class *cls;
    struct eddy_resource resource;
    struct eddy_loop *loop;
    struct eddy_protocol *protocol;
    struct eddy_future *future; /* may be NULL; referenced */
    struct opened *opened;      /* what connection_made will be of; NULL: not known yet */
    struct eddy_handle later;   /* failed, or made, but not inside the user's call */
    bool made;                  /* connection_made runs */
    struct eddy_error error;    /* code 0: none */
};

/* Begins: p is attached to the attempt, and s, if there is one already, is o's. With a future if
 * there is to be one. Both o and s are taken; on failure they are freed, and all else is as it was:
 * -EINVAL (p is attached already, or not initialised), -ENOMEM (or o is NULL). */
int eddy_opening_begin(struct opening *o, const struct opening_class *cls, struct eddy_loop *loop,
                       struct eddy_protocol *p, struct opened *s, bool with_future);
/* The creating call fails after all: undoes begin, without a callback, and frees o. Drops s. */
void eddy_opening_undo(struct opening *o);
/* The creating call succeeds: from here on o may be cancelled. ret may be NULL. */
void eddy_opening_go_on(struct opening *o, struct eddy_future **ret);

/* connection_made, or connect_failed; then the future, and o is freed. From the loop only. */
void eddy_opening_succeed(struct opening *o);
void eddy_opening_fail(struct opening *o, const struct eddy_error *why);
/* The same from anywhere. The first one counts; of success and failure, the failure. */
void eddy_opening_succeed_later(struct opening *o);
void eddy_opening_fail_later(struct opening *o, const struct eddy_error *why);

#endif
