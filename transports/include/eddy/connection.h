/* Stream clients. (asyncio: create_connection, connect_accepted_socket) */
#ifndef EDDY_CONNECTION_H
#define EDDY_CONNECTION_H

#include <eddy/addr.h>
#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/protocol.h>
#include <eddy/tls.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_connection_opts {
    size_t abi_size;
    const char *site; /* set by EDDY_CONNECTION: where the connection was opened */
    const char *host; /* a name, or a numeric address */
    int port;
    int sock; /* or a connected stream socket, with .use_sock; the transport's, see below */
    bool use_sock;
    int family;             /* AF_INET or AF_INET6; 0: both */
    const char *local_host; /* bind to this address, or one of those behind this name, first */
    int local_port;
    bool keep_alive; /* SO_KEEPALIVE */
    /* For all of it, look-ups included. 0 or EDDY_OFF: the system's for each attempt, and the
     * resolver's. */
    eddy_nsec timeout;
    eddy_nsec idle_timeout, write_timeout,
        linger;                              /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */
    int flags;                               /* of the look-ups: AI_*, see eddy_lookup_opts */
    /* An attempt that is not done after so long gets company by the next address; 0: 250 ms;
     * EDDY_OFF: one after the other. (RFC 8305; contract S9.) */
    eddy_nsec happy_eyeballs_delay;
    /* So many addresses of the first one's family, then the families take turns; 0: 1, or with the
     * delay off none; EDDY_OFF: the resolver's order. (Contract S11.) */
    int interleave;
    bool all_errors; /* if all fail: EDDY_EMULTIPLE with the errors as its children */

    /* TLS: with a context of ours (eddy/tls.h), or with the loop's default one, which verifies by
     * the system's trust and is made when it is first asked for. */
    struct eddy_tls *tls;
    bool use_tls;
    const char *server_hostname; /* asked for, and verified; NULL: .host */
    /* The certificate is verified, but not for whom it is: any that the same authorities have given
     * out will do. Logged as a warning. */
    bool no_name_check;
    eddy_nsec handshake_timeout; /* 0: 60 s; EDDY_FOREVER: none */
    eddy_nsec shutdown_timeout;  /* for the last bytes and the peer's close_notify; 0: 30 s,
                                    EDDY_FOREVER */
    /* Sent before the handshake is done, if an earlier connection has left permission for it: up
     * to 16384 bytes that may be replayed. If eddy_tls_info does not say that they were accepted,
     * they were not sent. */
    const void *early_data;
    size_t early_data_len;
    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_create_connection(loop, &me->base, EDDY_CONNECTION(.host = "127.0.0.1", .port = 7000), NULL)
 */
#define EDDY_CONNECTION(...)                                                             \
    EDDY_LITERAL_(eddy_connection_opts, .abi_size = sizeof(struct eddy_connection_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* Looks up what is not numeric, connects to one of the addresses, and attaches `p`, which must be
 * initialised and not attached; it may be attached again from its own connection_lost,
 * connect_failed or fini. 0: connection_made or connect_failed follows from the loop, exactly one
 * of them. The future in *ret (which may be NULL; else the caller's reference) carries the status
 * only; it is done after connection_made, and cancelling it gives up.
 *
 * connect_failed brings: EDDY_EDNS, with one of EAI_* as detail (eddy/resolver.h); the -errno of
 * the only attempt, or of the first of several, whose text then names as many as fit (contract S8);
 * EDDY_EMULTIPLE in its place with .all_errors; -ETIMEDOUT; -ECANCELED; EDDY_ELOOP_CLOSED; -ENOMEM.
 *
 * < 0: nothing was begun and no callback comes. -EINVAL: bad options or protocol; -ENOMEM; why the
 * resolver cannot work here, for a name; -EMFILE, -ENFILE, -ENOBUFS, for a numeric address;
 * EDDY_EFD_IN_USE: .sock is this loop's already; EDDY_ELOOP_CLOSED; -E2BIG: options of a later
 * version. .sock is still the caller's after -EINVAL, -E2BIG, EDDY_EFD_IN_USE and
 * EDDY_ELOOP_CLOSED, closed after any other failure (contract G29). */
EDDY_API int eddy_create_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                                    const struct eddy_connection_opts *opts,
                                    struct eddy_future **ret);

/* The server side of a connection accepted elsewhere: as eddy_create_connection with .sock, whose
 * other options apply (contract S50). */
EDDY_API int eddy_connect_accepted_socket(struct eddy_loop *loop, struct eddy_protocol *p, int sock,
                                          const struct eddy_connection_opts *opts,
                                          struct eddy_future **ret);

#ifdef __cplusplus
}
#endif
#endif
