/*
 * A life in small, for tests that let one thing after the other fail: a loop, a server, a client,
 * an echo under back-pressure by all ways of writing and reading, and the end of all.
 */
#ifndef TESTS_SUPPORT_EXCHANGE_H
#define TESTS_SUPPORT_EXCHANGE_H

#include "tests/support/test.h"
#include <eddy/protocol.h>

struct eddy_sim;
struct eddy_server;
struct eddy_future;

struct exchange_side {
    int made, lost, failed, finis;
    int code; /* of connection_lost or connect_failed */
};

struct exchange {
    /* given */
    void (*prepare)(struct exchange *x); /* the loop stands, nothing else does; may be NULL */
    void (*inspect)(struct exchange *x); /* the loop stands still; may be NULL */
    void *user;

    /* what happened */
    int result;  /* the first call that failed, 0 if none did */
    int status;  /* of the creating future */
    int run;     /* the first error of an iteration */
    bool ended;  /* everything came to its end in time */
    bool echoed; /* every byte came back */
    int problems;
    int problem_code; /* of the last one */
    size_t received;
    int released; /* how often the owned bytes were */
    int owned;    /* how often they were given */
    struct exchange_side client, server;

    /* its own */
    struct eddy_loop *loop;
    struct eddy_sim *sim;
    struct eddy_server *listener;
    struct eddy_future *future;
    struct eddy_protocol protocol;
    int attached;
};

/* Runs it from the first allocation to the last free. */
void exchange_run(struct exchange *x);

/* True if nothing failed that anybody could have noticed. */
bool exchange_is_perfect(const struct exchange *x);

/* Checks what holds whatever has failed: one connection_lost per connection_made, one fini per
 * attachment, owned bytes released once each, and an end in time. */
void exchange_check(const struct exchange *x);

/* True if the code was reported somewhere: by a call, an end, the future, or on_problem. */
bool exchange_has_reported(const struct exchange *x, int code);

#endif
