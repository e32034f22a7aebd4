/* TLS as servers, clients and start_tls see it. Nothing of OpenSSL's is here. */
#ifndef EDDY_TRANSPORTS_TLS_LAYER_H
#define EDDY_TRANSPORTS_TLS_LAYER_H

#include "transports/opening.h"
#include <eddy/tls.h>

/* What the options of a call say. The strings are the caller's. */
struct tls_settings {
    struct eddy_tls *tls; /* NULL: the loop's default, if .use_tls */
    bool use_tls;
    bool server_side;
    bool no_name_check;
    const char *server_hostname;
    eddy_nsec handshake_timeout, shutdown_timeout;
    const void *early_data;
    size_t early_data_len;
};

/* From the options of clients, whose fields are called alike; `u` is a struct of them. */
#define TLS_CLIENT_SETTINGS(u)                                                                     \
    {                                                                                              \
        .tls = (u)->tls, .use_tls = (u)->use_tls || (u)->tls, .no_name_check = (u)->no_name_check, \
        .server_hostname = (u)->server_hostname, .handshake_timeout = (u)->handshake_timeout,      \
        .shutdown_timeout = (u)->shutdown_timeout, .early_data = (u)->early_data,                  \
        .early_data_len = (u)->early_data_len,                                                     \
    }
#define TLS_SERVER_SETTINGS(u)                                                                  \
    {                                                                                           \
        .tls = (u)->tls, .use_tls = (u)->tls != NULL, .server_side = true,                      \
        .handshake_timeout = (u)->handshake_timeout, .shutdown_timeout = (u)->shutdown_timeout, \
    }

/* The arguments (contract S2, S3, S17, X5, X13, X30): 0, also where nothing is asked for; -EINVAL;
 * EDDY_ENOT_SUPPORTED: built without OpenSSL. `host`: what the connection is made to, NULL: not
 * known. `op` is the call's name, `e` may be NULL. */
int tls_check(const struct tls_settings *s, const char *host, const char *op, struct eddy_error *e);

/* The loop's default client context: made when first asked for, referenced for the caller. As
 * eddy_tls_new. */
int tls_default(struct eddy_loop *loop, struct eddy_error *e, struct eddy_tls **ret);

/* How a handshake has ended: the connection can be made (error NULL), or not; from the loop, once,
 * unless `upper` was dropped before. */
typedef void tls_done_fn(void *user, struct opened *upper, const struct eddy_error *error);

/* What a connection is made with besides its settings. */
struct tls_connection {
    const char *host; /* as above: the key for resumption, with .port */
    int port;
    const struct eddy_limits *limits; /* of the upper transport; NULL: TLS's default ones */
    tls_done_fn *done;
    void *user;
};

/* A transport over `lower`, which has an io and no protocol yet: it is made a member of `list`, and
 * the handshake begins. On success the lower one leaves the list, directly before `done`: there
 * eddy_transport_made is called with *ret, or it is dropped by eddy_opened_drop. s->tls is given,
 * and checked. -ENOMEM: lower is as it was. */
int tls_start(struct eddy_transport *lower, const struct tls_settings *s,
              const struct tls_connection *c, struct eddy_link *list, struct opened **ret);

/* The transport below, also once it is lost. */
struct eddy_transport *tls_lower(const struct opened *upper);

#define TLS_HIGH_MARK ((size_t)512 * 1024) /* contract X23 */

/* What the options of a stream ask for; `u` is a struct of them. */
#define STREAM_LIMITS(u)                                                               \
    {                                                                                  \
        .low = (u)->write_low, .high = (u)->write_high, .max = (u)->write_max,         \
        .idle = (u)->idle_timeout, .write = (u)->write_timeout, .linger = (u)->linger, \
    }

/* As eddy_limits_new; NULL in *ret_upper if there is no TLS. Else the marks and the idle time are
 * of plaintext, and so of the upper transport. Both are to be unreferenced, also after an error. */
int tls_limits_new(bool use_tls, const struct eddy_limits *wanted, struct eddy_limits **ret,
                   struct eddy_limits **ret_upper);

#endif
