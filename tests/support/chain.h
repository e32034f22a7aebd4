/*
 * A chain for the tests of relays: the stage's client connects to the stage's server, the front,
 * whose connections a relay joins to the target, a second server, whose connection goes to the
 * stage's peer. All on one loop. Either end may be a raw socket instead.
 */
#ifndef TESTS_SUPPORT_CHAIN_H
#define TESTS_SUPPORT_CHAIN_H

#include "tests/support/stream.h"
#include <eddy/relay.h>

struct chain;

/* On the heap, and freed inside done. */
struct bond {
    struct eddy_relay relay;
    struct chain *chain;
};

struct chain {
    struct stage s; /* first */
    struct eddy_server *target;
    int target_port;
    struct eddy_connection_opts far_opts; /* its port is filled in */

    struct bond *bond; /* the last one made; NULL once done */
    struct eddy_transport *near_side;
    int starts, cancels; /* that promise a done, or took it back */

    /* What the front does with a connection; NULL: chain_connect. */
    void (*at_door)(struct chain *c, struct eddy_transport *t);
    void (*at_door_data)(struct chain *c, struct eddy_transport *t, const void *data, size_t len);
    bool door_keeps_open; /* the door's answer to the end of the stream */

    /* What happened. */
    int dones;
    int code; /* done's, 0 if it had no error */
    struct eddy_error error;
    uint64_t to_far, to_near;
    int door_finis;
    void (*on_done)(struct chain *c);
};

void chain_init(struct chain *c);
/* Loop, front and target. */
void chain_begin(struct chain *c);
/* ... and the client, until it has reached the peer. */
void chain_open(struct chain *c);
/* Ends what is left, and checks that each start has come to its done. */
void chain_close(struct chain *c);

/* A new bond. */
struct bond *chain_bond(struct chain *c);
/* Relays t to the target; aborts it if that cannot be begun. */
void chain_connect(struct chain *c, struct eddy_transport *t);
/* Takes the relay's done back, and frees it. */
void chain_cancel(struct chain *c);

struct eddy_transport *chain_far_side(const struct chain *c);

/* The target is a raw listener: replaces the server. */
int chain_raw_target(struct chain *c);
/* Connects a raw client through to a raw target. */
void chain_raw_open(struct chain *c, int *ret_client, int *ret_target);
/* Sends the stream `key` from *sent on until the relay does not read from `side` any more. */
void chain_raw_fill(struct chain *c, int fd, uint64_t key, size_t *sent,
                    const struct eddy_transport *side);

/* Most that may wait in one side of a relay: the high mark, and two reads. */
#define CHAIN_MOST (64 * 1024 + 2 * 256 * 1024)

#endif
