/* A client on its way: from the look-ups through the attempts to connect to its connection. */
#ifndef EDDY_TRANSPORTS_CONNECTING_H
#define EDDY_TRANSPORTS_CONNECTING_H

#include "transports/connect.h"
#include "transports/happy_eyeballs.h"
#include "transports/opening.h"
#include <eddy/connection.h>
#include <eddy/resolver.h>

/* The addresses of one end, given in numbers or looked up. */
struct end {
    struct eddy_query query;       /* .host is NULL if there is nothing to look up */
    struct eddy_addresses *answer; /* of it */
    struct eddy_addr own[2];
    size_t count;
};

struct connecting {
    struct opening o;       /* first */
    struct end host, local; /* local: of none, anywhere */
    struct eddy_timer deadline, retry;
    struct eddy_handle decide; /* the winner is known, but not to its protocol */
    struct race race;
    size_t winner; /* o.opened, once there is one */

    /* One for each attempt, in order; the first is what they are one block of memory with. */
    struct eddy_error *errors;
    struct opened **opened;
    const struct eddy_addr **to;

    const char *site;
    struct eddy_limits *limits; /* referenced; may be NULL */
    struct tls_settings tls;    /* with a reference; the strings are in c->strings */
    struct eddy_limits *tls_limits;
    eddy_nsec timeout, pause;
    size_t lead; /* see eddy_interleave; 0: the order stays */
    unsigned max_fds;
    bool keep_alive, all_errors;
    bool in_handshake; /* of TLS: o.opened is its transport */
    char strings[];
};

/* From the options, but for the ends; room: for c->strings. context: NULL without TLS. -EINVAL:
 * impossible limits; 0 and NULL: no memory. */
int eddy_connecting_new(const struct connect_request *r, struct eddy_tls *context, size_t room,
                        struct connecting **ret);
/* Of c's opening. */
extern const struct opening_class eddy_connecting_class;

/* A transport for c: a unix socket's, or TCP's. NULL: no memory. */
struct opened *eddy_connecting_transport(struct connecting *c, bool is_unix);

/* Begins, inside the creating call. < 0: for what the caller can do something about, with *error
 * (may be NULL) filled in; the network's answers come by the loop. */
int eddy_connecting_start(struct connecting *c, struct eddy_error *error);
/* o.opened is connected. */
void eddy_connecting_won_later(struct connecting *c);

#endif
