/* Datagram endpoints, from the inside. */
#ifndef EDDY_TRANSPORTS_DATAGRAM_H
#define EDDY_TRANSPORTS_DATAGRAM_H

#include "transports/opening.h"
#include <eddy/datagram.h>
#include <eddy/resolver.h>

/* One that waits, to be sent or to be told. */
struct packet {
    struct packet *next;
    struct eddy_message m; /* data: the bytes behind it */
    char bytes[];
};

struct packets {
    struct packet *head, *tail;
    size_t size; /* of all, 8 bytes more for each (contract T49) */
};

struct datagram {
    struct opened o; /* first */
    int family;
    bool connected;          /* to `remote`; else that is where datagrams go by default */
    bool report_errors;      /* what was sent before has its errors told by receiving */
    bool closing;            /* ... has been noticed: the time for stalling has begun anew */
    bool resting;            /* receiving fails and fails: it is not tried for a while */
    unsigned failures;       /* of receiving, in a row */
    struct eddy_addr remote; /* len 0: none */
    struct packets out;
    struct packets held; /* received, and reading was paused meanwhile */
    eddy_nsec taken;     /* when the kernel last took one of `out` */
    eddy_nsec delay;     /* of the next retry */
    struct eddy_timer retry, rest;
    struct eddy_handle deliver; /* what is held */
};

extern const struct eddy_transport_class eddy_udp_transport, eddy_unix_datagram_transport,
    eddy_seqpacket_transport;
extern const struct eddy_io_class eddy_udp_io, eddy_unix_datagram_io;

/* NULL: it is none. */
struct datagram *eddy_datagram_of(struct eddy_transport *t);
/* Fills in what is not zero; d->o is initialised. */
void eddy_datagram_init(struct datagram *d);

/* Whether a class is one of a datagram protocol: as eddy_protocol_class_check. */
int eddy_datagram_check_class(const struct eddy_protocol_class *cls, const char *op,
                              struct eddy_error *e);

/* ---- datagram_ends.c ---- */

/* Two addresses that go together; len 0: none. */
struct ends {
    int family;
    struct eddy_addr local, remote;
};

/* What one of them may be. */
struct side {
    struct eddy_query query;       /* host NULL: there is nothing to look up */
    struct eddy_addresses *answer; /* NULL: these are in `own` */
    struct eddy_addr own[2];
    size_t count; /* 0: nothing is asked for */
};

/* Zeroed at the beginning. */
struct sides {
    struct side local, remote;
    int family;  /* the one asked for, or 0 */
    size_t next; /* pair */
};

/* Fails with the reason in o->error, as eddy_datagram_refuse does. Strings are borrowed. */
int eddy_sides_init(struct sides *s, const struct eddy_datagram_opts *o);
/* The next pair to be tried; false: there is no other. */
bool eddy_sides_next(struct sides *s, struct ends *ret);
int eddy_datagram_refuse(const struct eddy_datagram_opts *o, int code, const char *why);

/* ---- datagram_receive.c ---- */

void eddy_datagram_came(struct eddy_io *io, const struct eddy_message *m, int error);
void eddy_datagram_read_start(struct eddy_transport *t);
void eddy_datagram_read_stop(struct eddy_transport *t);
void eddy_datagram_init_receiving(struct datagram *d);
void eddy_datagram_cancel_receiving(struct datagram *d);
/* error_received: `addr` NULL or of length 0 is not known. Comes from inside a user's call if
 * `inside`. */
void eddy_datagram_tell_error(struct datagram *d, int code, const struct eddy_addr *addr,
                              bool inside);

/* ---- datagram_group.c ---- */

/* On Linux a socket that is bound to all addresses hears the groups that anybody on the host has
 * joined, unless told not to. */
void eddy_datagram_hear_own_groups(struct eddy_sys *sys, int fd, int family);

/* ---- packets ---- */

/* Copies the message to the end: -ENOMEM. */
int eddy_packets_append(struct packets *q, const struct eddy_message *m);
/* The first one, the caller's to free; NULL: there is none. */
struct packet *eddy_packets_pop(struct packets *q);
void eddy_packets_clear(struct packets *q);

#endif
