/* Operations on the user's sockets: from the call to the future. */
#ifndef EDDY_LOOP_SOCK_H
#define EDDY_LOOP_SOCK_H

#include "framework/loop/loop.h"
#include <eddy/future.h>
#include <eddy/sock.h>

struct sock_op;

/* What an attempt has come to; or < 0: why it failed. */
enum {
    SOCK_DONE,
    SOCK_NOT_YET,
};

struct sock_op_class {
    const char *name; /* "recv" */
    unsigned events;  /* what it waits for */
    /* Does what can be done without blocking. */
    int (*attempt)(struct sock_op *op);
    /* It has ended, in whatever way; NULL: nothing else is to be stopped. */
    void (*stop)(struct sock_op *op);
    bool by_time; /* readiness may be no use: then it is tried after a while, and again */
};

/* While it is pending it belongs to the loop. Done, it is the value of its future, so that success
 * needs no memory. May be embedded first in a larger one. */
struct sock_op {
    struct eddy_sock_result result; /* first */
    const struct sock_op_class *cls;
    struct eddy_loop *loop;
    struct eddy_resource resource;
    struct eddy_future *future;
    struct eddy_watch watch;
    struct eddy_timer retry; /* in its place */
    eddy_nsec pause;
    eddy_fd fd;
    bool begun; /* connecting: the socket tells the rest */
    union {
        void *in;
        const void *out;
    } data;
    size_t len;
};

/* Whether an operation that waits for these events can begin: errors as in <eddy/sock.h>. */
int eddy_sock_check(struct eddy_loop *loop, eddy_fd fd, unsigned events);
/* An operation of `size` bytes, checked, zero but for the beginning. To be begun, or dropped. */
int eddy_sock_op_new(struct eddy_loop *loop, const struct sock_op_class *cls, eddy_fd fd,
                     size_t size, struct eddy_future **ret, struct sock_op **ret_op);
void eddy_sock_op_drop(struct sock_op *op);
/* From here on it can be cancelled; the caller gets the future. */
void eddy_sock_op_begin(struct sock_op *op, struct eddy_future **ret);
/* Tries, and waits if need be; it may be gone when this returns. */
void eddy_sock_op_try(struct sock_op *op);
/* begin and try. */
int eddy_sock_op_run(struct sock_op *op, struct eddy_future **ret);
/* It fails, by what the system says or what another has found, and is gone. */
void eddy_sock_op_fail(struct sock_op *op, int code);
void eddy_sock_op_fail_with(struct sock_op *op, const struct eddy_error *why);

#endif
