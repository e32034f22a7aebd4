/*
 * Datagram endpoints: messages instead of a stream, over UDP and unix sockets. (asyncio:
 * create_datagram_endpoint, DatagramTransport, DatagramProtocol)
 *
 * The order of callbacks (contract R3), all of them on the loop's thread:
 *
 *     connection_made (datagram_received | error_received | pause_writing | resume_writing)*
 *         connection_lost
 *
 * Datagrams get lost, doubled and mixed up on their way; none is ever cut in two, or joined with
 * another. What can be done with any transport can be done with this one: close, pause_reading,
 * limits and time-outs, names. What is for bytes (write and its like, write_eof, unread) is not.
 *
 * The types are their own: a protocol for streams cannot be given to an endpoint, nor the other way
 * round.
 */
#ifndef EDDY_DATAGRAM_H
#define EDDY_DATAGRAM_H

#include <eddy/addr.h>
#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- protocols ---- */

/* Embed it, zeroed; eddy_datagram_protocol_init() prepares it. */
struct eddy_datagram_protocol {
    struct eddy_protocol base; /* p->base.transport is the way to the transport */
    void *reserved_[2];
};

struct eddy_datagram_protocol_class {
    struct eddy_protocol_class base; /* these two by EDDY_DATAGRAM_PROTOCOL_CLASS */
    size_t datagram_size;

    /* One datagram, lent for the call; `len` may be 0. `from` is of length 0 if the sender has no
     * name, as unix sockets may. One that is longer than the system's room, 64 KiB for UDP, is cut
     * by it. After close or abort none comes any more. NULL: they are dropped. */
    void (*datagram_received)(struct eddy_datagram_protocol *p, const void *data, size_t len,
                              const struct eddy_addr *from);

    /* Sending or receiving has failed; nothing ends by it (contract T50). `code` is negative:
     * -ECONNREFUSED, -EMSGSIZE and so on; `addr` is where the datagram was to go, NULL if the
     * system does not tell. May be called from inside eddy_transport_sendto. NULL: ignored. */
    void (*error_received)(struct eddy_datagram_protocol *p, int code,
                           const struct eddy_addr *addr);

    /* As their namesakes in <eddy/protocol.h>. */
    void (*fini)(struct eddy_datagram_protocol *p);
    void (*connection_made)(struct eddy_datagram_protocol *p, struct eddy_transport *t);
    void (*connect_failed)(struct eddy_datagram_protocol *p, const struct eddy_error *err);
    void (*pause_writing)(struct eddy_datagram_protocol *p);
    void (*resume_writing)(struct eddy_datagram_protocol *p);
    void (*connection_lost)(struct eddy_datagram_protocol *p, const struct eddy_error *err);
    void (*shutdown_requested)(struct eddy_datagram_protocol *p);

    void (*reserved[4])(void);
};

/* For the start of a class: `type` is your struct, which has a struct eddy_datagram_protocol as
 * `member`.
 *
 *     static const struct eddy_datagram_protocol_class clock_class = {
 *         EDDY_DATAGRAM_PROTOCOL_CLASS(struct clock, base),
 *         .datagram_received = clock_datagram,
 *     };
 */
#define EDDY_DATAGRAM_PROTOCOL_CLASS(type, member)              \
    .base = {EDDY_PROTOCOL_CLASS(type, member.base),            \
             .fini = eddy_datagram_fini_,                       \
             .connection_made = eddy_datagram_connection_made_, \
             .connect_failed = eddy_datagram_connect_failed_,   \
             .pause_writing = eddy_datagram_pause_writing_,     \
             .resume_writing = eddy_datagram_resume_writing_,   \
             .connection_lost = eddy_datagram_connection_lost_, \
             .shutdown_requested = eddy_datagram_shutdown_,     \
             .kind_ = EDDY_DATAGRAM_CLASS_},                    \
    .datagram_size = sizeof(struct eddy_datagram_protocol_class)

/* Prepares an instance; from fini on it may be attached again without. Not while it is attached. */
EDDY_API void eddy_datagram_protocol_init(struct eddy_datagram_protocol *p,
                                          const struct eddy_datagram_protocol_class *cls);

/* ---- endpoints ---- */

struct eddy_datagram_opts {
    size_t abi_size;
    const char *site;        /* set by EDDY_DATAGRAM: where the endpoint was opened */
    const char *local_host;  /* UDP: bind to this address or name; NULL: all interfaces ... */
    int local_port;          /* ... if there is a port; 0: the kernel chooses */
    const char *remote_host; /* connect to this address or name: only its datagrams are received */
    int remote_port;         /* with .remote_host: not 0 */
    const char *local_path;  /* unix sockets: bind, which takes a stale socket file away */
    const char *remote_path; /* connect */
    size_t local_path_len;   /* for names with a NUL byte, as abstract ones on Linux; 0: strlen */
    size_t remote_path_len;
    bool seqpacket; /* unix: a connection of messages to .remote_path, in place of datagrams */
    int sock;       /* or a socket of any type but a stream's, with .use_sock; the transport's */
    bool use_sock;
    int family;           /* AF_INET, AF_INET6 or AF_UNIX; needed if there is no address at all */
    bool reuse_port;      /* SO_REUSEPORT: several endpoints on one port */
    bool allow_broadcast; /* SO_BROADCAST; the remote address is only where datagrams without an
                             address of their own go to */
    bool report_errors;   /* what a network answers is reported without being connected, and with
                             the address; EDDY_ENOT_SUPPORTED but on Linux */
    eddy_nsec idle_timeout, write_timeout;   /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */
    struct eddy_error *error;                /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_create_datagram_endpoint(loop, &me->base, EDDY_DATAGRAM(.local_port = 7000), NULL) */
#define EDDY_DATAGRAM(...)                                                           \
    EDDY_LITERAL_(eddy_datagram_opts, .abi_size = sizeof(struct eddy_datagram_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* Makes an endpoint and attaches `p`, which must be initialised and not attached; it may be
 * attached again from its own connection_lost, connect_failed or fini. 0: connection_made follows
 * from the loop, or connect_failed if it was given up before. The future in *ret (which may be
 * NULL; else the caller's reference) is done after connection_made; cancelling it gives up.
 *
 * Between addresses all is done inside the call but for connection_made. Names are looked up when
 * it has returned, both at the same time, for up to 30 s; then the socket is made, and what fails
 * comes by connect_failed: EDDY_EDNS or -ETIMEDOUT for a name, -EINVAL if the addresses are of
 * different families, and what follows below. Addresses of one family make a pair; the pairs are
 * tried in order, up to 64 of them, until one works, and the first one's error is told.
 *
 * < 0: nothing was begun and no callback comes. -EINVAL: bad options or protocol (no address that
 * fits the other or .family, none at all without .family, .remote_host without a port, .sock beside
 * options of a socket, a stream socket, a path that is too long); -EADDRINUSE and what else the
 * system says to binding and connecting; -ENOMEM; -EMFILE; EDDY_EFD_IN_USE: .sock is this loop's
 * already; EDDY_ELOOP_CLOSED; EDDY_ENOT_SUPPORTED: an option that this system, or datagrams that
 * the loop's backend, does not know; -E2BIG: options or class of a later version. .sock is still
 * the caller's after -EINVAL, -E2BIG, EDDY_EFD_IN_USE, EDDY_ELOOP_CLOSED and EDDY_ENOT_SUPPORTED,
 * closed after any other failure (contract S45-S48, G29). */
EDDY_API int eddy_create_datagram_endpoint(struct eddy_loop *loop, struct eddy_datagram_protocol *p,
                                           const struct eddy_datagram_opts *opts,
                                           struct eddy_future **ret);

/* ---- sending ---- */

/* Sends one datagram, at once if none waits; what the kernel refuses for now is copied and waits,
 * in the order of the calls, and counts as its length + 8 bytes (contract T49). len 0 is an empty
 * datagram. `addr` is where to: required, but on a connected endpoint, where it must be NULL or the
 * address it is connected to; NULL on one that allows broadcast is its remote address.
 *
 * 0: sent, waiting, or failed and reported by error_received, from inside the call or later. < 0:
 * the datagram is dropped, and nothing else has changed: -EINVAL (NULL data, an address that is
 * missing, of another family, or not the one connected to); -ENOMEM; -ENOBUFS (more than write_max
 * waits already); EDDY_ECLOSED (closing; logged once when it goes on; also for t NULL);
 * EDDY_ENOT_SUPPORTED (no datagram endpoint). (asyncio: DatagramTransport.sendto; contract T47) */
EDDY_API int eddy_transport_sendto(struct eddy_transport *t, const void *data, size_t len,
                                   const struct eddy_addr *addr);

/* ---- multicast, broadcast: UDP endpoints only ----
 *
 * `interface` is a name ("eth0"), a number ("2"), or a numeric address of the interface; NULL
 * leaves it to the system, or to the scope of an IPv6 group.
 *
 * All return 0; EDDY_ECLOSED on a closing transport, or NULL; EDDY_ENOT_SUPPORTED if it is no UDP
 * endpoint, or of a simulated network; -ENODEV for an interface that does not exist; or what else
 * the system says. */

/* Datagrams to the group are received as well, if they are sent to the port we are bound to; those
 * to groups that only others on our host have joined are not.
 * -EINVAL: not a multicast address, or of another family; -EADDRINUSE: a member already. */
EDDY_API int eddy_transport_join_group(struct eddy_transport *t, const struct eddy_addr *group,
                                       const char *interface);
/* -EINVAL as above; -EADDRNOTAVAIL: not a member. Closing leaves all groups. */
EDDY_API int eddy_transport_leave_group(struct eddy_transport *t, const struct eddy_addr *group,
                                        const char *interface);
/* Where datagrams to groups go out. */
EDDY_API int eddy_transport_set_multicast_interface(struct eddy_transport *t,
                                                    const char *interface);
/* How many routers such a datagram may pass, 0 to 255; 0 keeps it on the host, the system's default
 * is 1. -EINVAL. */
EDDY_API int eddy_transport_set_multicast_ttl(struct eddy_transport *t, int hops);
/* Whether members on our own host get them too, which is the default. */
EDDY_API int eddy_transport_set_multicast_loop(struct eddy_transport *t, bool on);
/* SO_BROADCAST, as by .allow_broadcast but for connecting. */
EDDY_API int eddy_transport_set_broadcast(struct eddy_transport *t, bool on);

/* What EDDY_DATAGRAM_PROTOCOL_CLASS fills the base slots with; not to be called. */
EDDY_API void eddy_datagram_fini_(struct eddy_protocol *p);
EDDY_API void eddy_datagram_connection_made_(struct eddy_protocol *p, struct eddy_transport *t);
EDDY_API void eddy_datagram_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_datagram_pause_writing_(struct eddy_protocol *p);
EDDY_API void eddy_datagram_resume_writing_(struct eddy_protocol *p);
EDDY_API void eddy_datagram_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_datagram_shutdown_(struct eddy_protocol *p);

#ifdef __cplusplus
}
#endif
#endif
