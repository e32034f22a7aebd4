/*
 * Stream servers: listen, accept, make a protocol instance per connection. (asyncio: create_server)
 *
 * NULL in the place of a server, or of a required `ret`, is harmless (contract G4): a call that can
 * fail returns -EINVAL, one that cannot does nothing, and what is asked for is false, none or NULL.
 */
#ifndef EDDY_SERVER_H
#define EDDY_SERVER_H

#include <eddy/addr.h>
#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/protocol.h>
#include <eddy/tls.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_server;

struct eddy_server_opts {
    size_t abi_size;
    const char *site;         /* set by EDDY_SERVER: where the server was opened */
    const char *host;         /* an address or a name; NULL or "": all interfaces, IPv6 and IPv4 */
    const char *const *hosts; /* or several, ended by NULL; what is found twice is bound once */
    int port;                 /* 0: the kernel chooses, for each address */
    int sock; /* or a bound stream socket, with .use_sock; the server's, see below */
    bool use_sock;
    int family;               /* AF_INET or AF_INET6: only these addresses */
    int backlog;              /* 0: 100; who finds it full tries again a second later */
    bool no_reuse_address;    /* SO_REUSEADDR is on by default */
    bool reuse_port;          /* several servers on one port */
    bool keep_alive;          /* SO_KEEPALIVE on the connections */
    bool not_serving;         /* bound, but not listening before eddy_server_start_serving */
    unsigned max_connections; /* 0: no limit; at the limit others wait in the backlog */
    void *arg;                /* given to the class's init, and to .started */
    eddy_nsec idle_timeout, write_timeout,
        linger;                              /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */

    /* TLS: eddy/tls.h. A handshake that fails is logged at EDDY_LOG_INFO with the peer's address;
     * only in debug mode, or for want of memory, it is a problem as well. */
    struct eddy_tls *tls;
    eddy_nsec handshake_timeout; /* 0: 60 s; EDDY_FOREVER: none */
    eddy_nsec shutdown_timeout;  /* for the last bytes and the peer's close_notify; 0: 30 s,
                                    EDDY_FOREVER */
    unsigned max_handshakes;     /* under way; 0: 1024; beyond others wait in the backlog */

    /* eddy_serve only */
    const struct eddy_loop_opts *loop; /* for the loop it makes */
    /* How long the connections may take after a signal; 0: 10 s, EDDY_FOREVER: no limit. */
    eddy_nsec drain_timeout;
    /* The server listens, and the loop runs as soon as this returns: the place to start timers,
     * clients or other servers on the same loop (eddy_server_loop). `arg` is .arg above. */
    void (*started)(struct eddy_server *server, void *arg);

    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_create_server(loop, &echo, EDDY_SERVER(.host = "127.0.0.1", .port = 7000), &server) */
#define EDDY_SERVER(...)                                                         \
    EDDY_LITERAL_(eddy_server_opts, .abi_size = sizeof(struct eddy_server_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* Binds every address and, unless .not_serving, listens. `ret` may be NULL: the loop keeps a server
 * until it is closed. Otherwise the caller gets one reference.
 *
 * Names are looked up inside the call, one after the other, by the loop's resolver (contract S18):
 * the loop stands still meanwhile, up to 30 s for each. Give addresses where that matters.
 *
 * -EINVAL: no or bad class, bad options, no address of .family, or more than 64 addresses;
 * EDDY_EDNS: a name was not found, or has no address of .family, with the reason as detail and the
 * name in the error's text; -ETIMEDOUT: nobody has answered for it; -EADDRINUSE, -EACCES ...:
 * binding failed, with the address in the error's text; -EMFILE; -ENOMEM; EDDY_ENOT_SUPPORTED:
 * reuse_port where there is none; EDDY_EFD_IN_USE: .sock is this loop's already; EDDY_ELOOP_CLOSED;
 * -E2BIG: options of a later version. On failure nothing is left open; .sock is still the caller's
 * after -EINVAL, -E2BIG, EDDY_EFD_IN_USE and EDDY_ELOOP_CLOSED, closed after any other failure
 * (contract G29). */
EDDY_API int eddy_create_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                                const struct eddy_server_opts *opts, struct eddy_server **ret);

/* A whole server program: makes a loop, listens, runs until SIGINT or SIGTERM, drains (a second
 * signal aborts), and cleans up. Returns 0, or what failed, after logging it. The error goes to
 * opts->error. */
EDDY_API int eddy_serve(const struct eddy_protocol_class *cls, const struct eddy_server_opts *opts);

EDDY_API struct eddy_server *eddy_server_ref(struct eddy_server *s);
EDDY_API void eddy_server_unref(struct eddy_server *s); /* NULL is fine */

/* Starts listening, on all addresses or, if one fails, on none; nothing if it does already.
 * EDDY_ECLOSED; -errno of listen. */
EDDY_API int eddy_server_start_serving(struct eddy_server *s);
EDDY_API bool eddy_server_is_serving(const struct eddy_server *s);
/* Borrowed; NULL once the loop is closed. */
EDDY_API struct eddy_loop *eddy_server_loop(const struct eddy_server *s);

/* The i-th listening address, port included; -EINVAL past the last, EDDY_ECLOSED after close. */
EDDY_API int eddy_server_sockname(const struct eddy_server *s, unsigned i, struct eddy_addr *ret);
/* The i-th listening descriptor (a view), or -1. */
EDDY_API int eddy_server_fd(const struct eddy_server *s, unsigned i);
/* The port of the first address, for servers on port 0; -1 if it has none. */
EDDY_API int eddy_server_port(const struct eddy_server *s);
/* Connections from their creation until after their connection_lost. */
EDDY_API unsigned eddy_server_connections(const struct eddy_server *s);

/* Stops listening and closes the listening sockets; connections live on. Idempotent. */
EDDY_API void eddy_server_close(struct eddy_server *s);
/* Close, or abort, every present connection. The server goes on. */
EDDY_API void eddy_server_close_clients(struct eddy_server *s);
EDDY_API void eddy_server_abort_clients(struct eddy_server *s, const struct eddy_error *why);

/* A future (the caller's reference) that is done when the server is closed and its last connection
 * has ended. Any number, at any time. -ENOMEM; EDDY_ELOOP_CLOSED. */
EDDY_API int eddy_server_wait_closed(struct eddy_server *s, struct eddy_future **ret);

/* Closes, and asks every connection to end: shutdown_requested, from the loop. Those left after so
 * long are aborted with -ETIMEDOUT (EDDY_FOREVER: never). ret may be NULL; else as wait_closed. A
 * second call only sets a new time-out. */
EDDY_API int eddy_server_drain(struct eddy_server *s, eddy_nsec timeout, struct eddy_future **ret);

/* Serves until cancelled: the future is done, with -ECANCELED, when the server was closed and its
 * last connection has ended, or at once when it is cancelled itself, which closes the server.
 * EDDY_EINVALID_STATE: called already; EDDY_ECLOSED; -ENOMEM; -errno of listen. */
EDDY_API int eddy_server_serve_forever(struct eddy_server *s, struct eddy_future **ret);

#ifdef __cplusplus
}
#endif
#endif
