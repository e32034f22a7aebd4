/* Unix sockets: what their options say, in the terms of clients and servers of any kind. */
#include "transports/unix.h"

#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include "transports/connect.h"
#include "transports/listen.h"

static const char connecting[] = "create_unix_connection";
static const char listening[] = "create_unix_server";

/* ---- what is the same for both sides ---- */

struct place {
    const char *op;
    const char *path;
    size_t path_len;
    eddy_fd sock;
    bool use_sock;
    unsigned max_fds;
    bool use_tls;
    struct eddy_error *error;
};

static int refuse(const struct place *p, int code, const char *why)
{
    return eddy_error_set(p->error, code, p->op, "%s: %s", p->op, why);
}

/* Of an address without a length: .sock is to be used. */
static int check_place(const struct place *p, struct eddy_loop *loop, struct eddy_addr *ret)
{
    struct eddy_sys *sys = loop->sys;
    struct eddy_addr own;

    ret->len = 0;
    if (!sys->cls->send_fds)
        return refuse(p, EDDY_ENOT_SUPPORTED, "this system has no unix sockets");
    if (!p->path == !p->use_sock)
        return refuse(p, -EINVAL, "either .path or .sock must be given");
    if (p->max_fds > 0 && p->use_tls)
        return refuse(p, -EINVAL, ".max_fds and TLS exclude each other");
    if (p->max_fds > EDDY_MAX_WAITING_FDS)
        return refuse(p, -EINVAL, ".max_fds is more than EDDY_MAX_WAITING_FDS");
    if (!p->use_sock)
        return eddy_unix_addr(p->path, p->path_len, p->op, p->error, ret);
    own.u.sa.sa_family = AF_UNSPEC;
    if (p->sock < 0 || sys->cls->sockname(sys, p->sock, &own) < 0 || own.u.sa.sa_family != AF_UNIX)
        return refuse(p, -EINVAL, ".sock is not a unix socket");
    return 0;
}

/* ---- clients ---- */

int eddy_create_unix_connection(struct eddy_loop *loop, struct eddy_protocol *p,
                                const struct eddy_unix_connection_opts *u, struct eddy_future **ret)
{
    struct eddy_addr to;

    if (!loop || !u)
        return -EINVAL;
    int rc = eddy_opts_check(u, u->abi_size, sizeof *u);
    if (rc < 0)
        return rc;
    const struct place place = {connecting,  u->path,    u->path_len,          u->sock,
                                u->use_sock, u->max_fds, u->tls || u->use_tls, u->error};
    const struct eddy_connection_opts o = {
        .abi_size = sizeof o,
        .site = u->site,
        .sock = u->sock,
        .use_sock = u->use_sock,
        .timeout = u->timeout,
        .idle_timeout = u->idle_timeout,
        .write_timeout = u->write_timeout,
        .linger = u->linger,
        .write_low = u->write_low,
        .write_high = u->write_high,
        .write_max = u->write_max,
        .error = u->error,
    };
    const struct connect_request r = {connecting, &o, TLS_CLIENT_SETTINGS(u), u->max_fds};
    rc = eddy_connect_check(loop, p, &r);
    if (rc == 0)
        rc = check_place(&place, loop, &to);
    if (rc == 0 && o.use_sock)
        rc = eddy_connect_check_sock(loop, &o, connecting);
    return rc < 0 ? rc : eddy_connect(loop, p, &r, &to, ret);
}

/* ---- servers ---- */

static struct eddy_server_opts server_opts(const struct eddy_unix_server_opts *u)
{
    return (struct eddy_server_opts){
        .abi_size = sizeof(struct eddy_server_opts),
        .site = u->site,
        .sock = u->sock,
        .use_sock = u->use_sock,
        .backlog = u->backlog,
        .not_serving = u->not_serving,
        .max_connections = u->max_connections,
        .arg = u->arg,
        .idle_timeout = u->idle_timeout,
        .write_timeout = u->write_timeout,
        .linger = u->linger,
        .write_low = u->write_low,
        .write_high = u->write_high,
        .write_max = u->write_max,
        .tls = u->tls,
        .handshake_timeout = u->handshake_timeout,
        .shutdown_timeout = u->shutdown_timeout,
        .max_handshakes = u->max_handshakes,
        .loop = u->loop,
        .drain_timeout = u->drain_timeout,
        .started = u->started,
        .error = u->error,
    };
}

int eddy_create_unix_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                            const struct eddy_unix_server_opts *u, struct eddy_server **ret)
{
    if (!loop || !u)
        return -EINVAL;
    int rc = eddy_opts_check(u, u->abi_size, sizeof *u);
    if (rc < 0)
        return rc;
    const struct place place = {listening,   u->path,    u->path_len,    u->sock,
                                u->use_sock, u->max_fds, u->tls != NULL, u->error};
    const struct eddy_server_opts o = server_opts(u);
    struct unix_place at = {
        .mode = u->mode, .keep_file = u->keep_socket_file, .max_fds = u->max_fds};

    rc = check_place(&place, loop, &at.addr);
    if (rc == 0)
        rc = eddy_server_check(loop, cls, &o, listening);
    if (rc < 0)
        return rc;
    if (u->mode & ~0777u)
        return refuse(&place, -EINVAL, ".mode has more than permissions");
    if (u->mode && (u->use_sock || eddy_unix_is_abstract(&at.addr)))
        return refuse(&place, -EINVAL, ".mode is for a socket file, and there is none");
    return eddy_server_create(loop, cls, &o, listening, &at, ret);
}

/* ---- a whole program ---- */

static int create(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                  const struct eddy_server_opts *o, const void *user, struct eddy_server **ret)
{
    struct eddy_unix_server_opts u = *(const struct eddy_unix_server_opts *)user;

    u.abi_size = sizeof u;
    u.error = o->error;
    return eddy_create_unix_server(loop, cls, &u, ret);
}

int eddy_serve_unix(const struct eddy_protocol_class *cls, const struct eddy_unix_server_opts *u)
{
    int rc = u ? eddy_opts_check(u, u->abi_size, sizeof *u) : -EINVAL;

    if (rc < 0)
        return eddy_serve_refuse(rc, "EDDY_UNIX_SERVER()");
    const struct eddy_server_opts o = server_opts(u);
    return eddy_serve_with(cls, &o, create, u);
}
