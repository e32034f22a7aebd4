/*
 * Unix sockets: streams between processes of one machine, by the path of a socket file or by an
 * abstract name. What comes of them are transports and servers as those of TCP; beside bytes they
 * carry descriptors, and they know who the peer is. (asyncio: create_unix_connection,
 * create_unix_server)
 *
 * Where there are no unix sockets, which is on a simulated network, the creating calls give
 * EDDY_ENOT_SUPPORTED.
 */
#ifndef EDDY_UNIX_H
#define EDDY_UNIX_H

#include <eddy/connection.h>
#include <eddy/server.h>
#include <eddy/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most descriptors that travel with one write, and that .max_fds may allow to wait. */
#define EDDY_MAX_SEND_FDS 253
#define EDDY_MAX_WAITING_FDS 4096

/* ---- clients ---- */

struct eddy_unix_connection_opts {
    size_t abi_size;
    const char *site; /* set by EDDY_UNIX_CONNECTION: where the connection was opened */
    /* Of the socket file. With .path_len 0 it ends at its NUL; otherwise it has so many bytes, and
     * may begin with a NUL: an abstract name (Linux; contract S43). An '@' is an '@'. */
    const char *path;
    size_t path_len;
    int sock; /* or a connected unix stream socket, with .use_sock; the transport's, see below */
    bool use_sock;
    unsigned max_fds;  /* how many received descriptors may wait for eddy_transport_take_fds; 0:
                          none are received */
    eddy_nsec timeout; /* for connecting; 0 or EDDY_OFF: none */
    eddy_nsec idle_timeout, write_timeout,
        linger;                              /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */

    /* TLS: with a context of ours (eddy/tls.h), or with the loop's default one, which verifies by
     * the system's trust and is made when it is first asked for. */
    struct eddy_tls *tls;
    bool use_tls;
    const char *server_hostname; /* asked for, and verified; NULL: one must be given */
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

/* eddy_create_unix_connection(loop, &me->base, EDDY_UNIX_CONNECTION(.path = "/run/a.sock"), NULL)
 */
#define EDDY_UNIX_CONNECTION(...)                                                                  \
    EDDY_LITERAL_(eddy_unix_connection_opts, .abi_size = sizeof(struct eddy_unix_connection_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* As eddy_create_connection, by path. While the server's backlog is full, which makes others' calls
 * block, it tries again and again, a tenth of a second apart at most, until .timeout is over.
 * -EINVAL is also: a path that does not fit into an address (contract S44), no path and no socket
 * or both, a socket that is none or no unix stream; EDDY_ENOT_SUPPORTED: an abstract name where
 * there are none. Who owns .sock after a failure: see eddy_create_connection. (contract S40) */
EDDY_API int eddy_create_unix_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                                         const struct eddy_unix_connection_opts *opts,
                                         struct eddy_future **ret);

/* ---- servers ---- */

struct eddy_unix_server_opts {
    size_t abi_size;
    const char *site; /* set by EDDY_UNIX_SERVER: where the server was opened */
    /* Of the socket file to be made, or an abstract name: see eddy_unix_connection_opts. */
    const char *path;
    size_t path_len;
    int sock; /* or a bound unix stream socket, with .use_sock; the server's, see below */
    bool use_sock;
    /* Permissions of the socket file, such as 0600: who may write to it may connect. They hold
     * before anybody can connect. 0: those that the umask leaves of 0777. */
    unsigned mode;
    bool keep_socket_file;    /* it is not removed when the server closes */
    unsigned max_fds;         /* of each connection: see eddy_unix_connection_opts */
    int backlog;              /* 0: 100; who finds it full waits, or gets -EAGAIN */
    bool not_serving;         /* bound, but not listening before eddy_server_start_serving */
    unsigned max_connections; /* 0: no limit; at the limit others wait in the backlog */
    void *arg;                /* given to the class's init, and to .started */
    eddy_nsec idle_timeout, write_timeout,
        linger;                              /* see eddy_transport_set_idle_timeout and so on */
    size_t write_low, write_high, write_max; /* 0: the defaults */

    /* TLS: eddy/tls.h. A handshake that fails is told as by eddy_server_opts. */
    struct eddy_tls *tls;
    eddy_nsec handshake_timeout; /* 0: 60 s; EDDY_FOREVER: none */
    eddy_nsec shutdown_timeout;  /* for the last bytes and the peer's close_notify; 0: 30 s,
                                    EDDY_FOREVER */
    unsigned max_handshakes;     /* under way; 0: 1024; beyond others wait in the backlog */

    /* eddy_serve_unix only: see eddy_server_opts */
    const struct eddy_loop_opts *loop;
    eddy_nsec drain_timeout;
    void (*started)(struct eddy_server *server, void *arg);

    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_create_unix_server(loop, &echo, EDDY_UNIX_SERVER(.path = "/run/a.sock"), &server) */
#define EDDY_UNIX_SERVER(...)                                                              \
    EDDY_LITERAL_(eddy_unix_server_opts, .abi_size = sizeof(struct eddy_unix_server_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* As eddy_create_server, on a path. A socket file that is there already is removed first, whether
 * somebody serves it or not; any other file is left, and the call fails with -EADDRINUSE (contract
 * S41). When the server closes its file is removed, if it still is the same one, and by the process
 * that made it alone (S42); a relative path is looked up anew then. Abstract names have no file.
 * -EINVAL is also: a path that does not fit into an address (S44), no path and no socket or both,
 * .mode without a file. -errno of making the file: -ENOENT, -EACCES ...; EDDY_ENOT_SUPPORTED: an
 * abstract name where there are none. Who owns .sock after a failure: see eddy_create_server. */
EDDY_API int eddy_create_unix_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                                     const struct eddy_unix_server_opts *opts,
                                     struct eddy_server **ret);

/* eddy_serve, on a path: a whole server program. */
EDDY_API int eddy_serve_unix(const struct eddy_protocol_class *cls,
                             const struct eddy_unix_server_opts *opts);

/* ---- who the peer is ---- */

/* Process, user and group of the peer, as of when it connected or began to listen; for a socketpair
 * of who made it. What the kernel says, so it can be trusted. EDDY_ENOT_SUPPORTED: not a unix
 * socket, or a system that does not tell; -EINVAL: NULL; -errno. (asyncio: get_extra_info("socket")
 * and SO_PEERCRED) */
EDDY_API int eddy_transport_peercred(const struct eddy_transport *t, struct eddy_peercred *ret);

/* ---- descriptors ----
 *
 * They travel in the stream of bytes, with the first byte of the write that they were given to: the
 * peer has them when it receives that byte. */

/* Writes `len` bytes, at least one, and with the first of them n descriptors, 1 to
 * EDDY_MAX_SEND_FDS. They are duplicated, so the caller may close his as soon as it returns. As
 * eddy_transport_write, and: -EINVAL: no bytes or no descriptors, or too many of them; -EBADF,
 * -EMFILE: duplicating failed; EDDY_ENOT_SUPPORTED: not a unix socket. These, and -ENOMEM before
 * anything was written, change nothing. A peer that takes none gets the bytes alone. The kernel
 * limits how many descriptors a user has under way: beyond it the connection is lost with
 * -ETOOMANYREFS. */
EDDY_API int eddy_transport_send_fds(struct eddy_transport *t, const void *data, size_t len,
                                     const int *fds, unsigned n);

/* Takes up to `max` of the descriptors that have been received, oldest first: they are the
 * caller's, close-on-exec, and whatever the sender made of them otherwise. Returns how many; 0:
 * none wait, or the transport receives none (.max_fds). To be called from data_received and
 * buffer_updated on, until connection_lost returns. Those not taken wait, also for a protocol set
 * meanwhile, and are closed with the transport. When more than .max_fds would wait, the connection
 * is lost with -EMSGSIZE; with -EMFILE when the process has no room for them. */
EDDY_API unsigned eddy_transport_take_fds(struct eddy_transport *t, int *ret_fds, unsigned max);

#ifdef __cplusplus
}
#endif
#endif
