/* Servers: accepting, counting, creating. How they end stands in server_end.c. */
#include "transports/server.h"
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/base/slab.h"
#include "framework/loop/loop.h"
#include "transports/fdstream.h"
#include "transports/listen.h"
#include <string.h>

#define DEFAULT_BACKLOG 100
#define DEFAULT_HANDSHAKES 1024
#define ACCEPT_RETRY EDDY_SEC(1)

/* ---- references ---- */

struct eddy_server *eddy_server_ref(struct eddy_server *s)
{
    if (s)
        s->refs++;
    return s;
}

void eddy_server_unref(struct eddy_server *s)
{
    if (!s || --s->refs > 0)
        return;
    eddy_link_remove(&s->resource.link);
    eddy_slab_destroy(s->slab);
    eddy_limits_unref(s->limits);
    eddy_limits_unref(s->tls_limits);
    eddy_tls_unref(s->tls.tls);
    eddy_free(s);
}

/* ---- watching for connections ---- */

static bool has_room(const struct eddy_server *s)
{
    return (s->max == 0 || s->count < s->max) && s->handshakes < s->max_handshakes;
}

static void watch_listeners(struct eddy_server *s)
{
    for (struct listener *l = s->listeners; l; l = l->next)
        eddy_listener_watch(l, !s->starving && has_room(s));
}

static void stop_starving(struct eddy_server *s)
{
    s->starving = false;
    eddy_timer_cancel(&s->retry);
    eddy_handle_cancel(&s->freed);
    watch_listeners(s);
}

static void on_retry(struct eddy_timer *t)
{
    stop_starving(EDDY_CONTAINER_OF(t, struct eddy_server, retry));
}

static void on_freed(struct eddy_handle *h)
{
    stop_starving(EDDY_CONTAINER_OF(h, struct eddy_server, freed));
}

static void report(struct eddy_server *s, const struct eddy_error *e, const char *message)
{
    eddy_loop_problem(
        s->loop, &(struct eddy_problem){
                     .message = message, .error = e, .server = s, .fd = -1, .site = s->owner.site});
}

static void problem(struct eddy_server *s, int code, const char *op, const char *message)
{
    struct eddy_error e;

    eddy_error_set(&e, code, op, "%s: %s", op, eddy_strerror(code));
    report(s, &e, message);
}

/* At a limit each connection can meet it: that is reported once a second. */
static bool is_time_to_complain(struct eddy_server *s)
{
    eddy_nsec now = s->loop->now;

    if (s->starved_at != 0 && now - s->starved_at < ACCEPT_RETRY)
        return false;
    s->starved_at = now;
    return true;
}

/* Out of descriptors or memory: rest for a second, or until something of this loop is closed. */
static void starve(struct eddy_server *s, int code)
{
    if (s->starving)
        return;
    s->starving = true;
    watch_listeners(s);
    eddy_loop_call_later(s->loop, &s->retry, ACCEPT_RETRY);
    eddy_loop_call_when_freed(s->loop, &s->freed);
    if (is_time_to_complain(s))
        problem(s, code, "accept", "accept out of system resource");
}

/* ---- connections ---- */

static void connection_ended(struct eddy_owner *o, struct eddy_transport *t)
{
    struct eddy_server *s = EDDY_CONTAINER_OF(o, struct eddy_server, owner);

    (void)t;
    s->count--;
    if (s->count + 1 == s->max)
        watch_listeners(s);
    eddy_server_try_complete(s);
}

static void free_connection(struct eddy_owner *o, struct eddy_transport *t)
{
    struct eddy_server *s = EDDY_CONTAINER_OF(o, struct eddy_server, owner);

    eddy_slab_free(s->slab, t);
    eddy_server_unref(s);
}

static const struct eddy_owner_class owner_class = {
    .lost = connection_ended,
    .free = free_connection,
};

static const char no_transport[] = "Error on transport creation for incoming connection";

/* A connection that does not come about is counted out, and its descriptor closed. */
static void refuse(struct eddy_server *s, struct eddy_transport *t, int code)
{
    if (s->loop->debug)
        problem(s, code, "init", no_transport);
    connection_ended(&s->owner, t);
    eddy_io_close(&t->io);
}

static int make_transport(struct eddy_server *s, int fd, const struct eddy_addr *peer,
                          struct eddy_transport **ret)
{
    struct eddy_transport *t = eddy_slab_alloc(s->slab);

    if (!t)
        return -ENOMEM;
    memset(t, 0, sizeof *t);
    eddy_transport_init(t, s->loop, s->is_unix ? &eddy_unix_transport : &eddy_tcp_transport,
                        s->is_unix ? &eddy_unix_io : &eddy_fdstream_io, &s->owner);
    int rc = eddy_fdstream_attach(t, fd, peer);
    if (rc < 0) {
        eddy_slab_free(s->slab, t);
        return rc;
    }
    eddy_transport_use_limits(t, s->limits);
    eddy_server_ref(s);
    s->count++;
    *ret = t;
    return 0;
}

/* -ENOSPC comes from a selector that may not watch any more (epoll: max_user_watches). */
static bool is_shortage(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM ||
           code == -ENOSPC;
}

/* ---- TLS: the connection is made when the handshake is done ---- */

static int make_encrypted(struct eddy_server *s, struct opened *upper)
{
    struct eddy_protocol *p;
    /* The instance has its place behind the transport that was accepted. */
    int rc = eddy_protocol_new_instance(tls_lower(upper), s->cls, s->arg, &p);

    if (rc == 0)
        eddy_transport_made(&upper->t, p, &s->connections);
    return rc;
}

/* Often the peer's fault, which any peer can repeat: it is said where one listens for it. */
static void handshake_failed(struct eddy_server *s, struct eddy_transport *t,
                             const struct eddy_error *error)
{
    char peer[EDDY_ADDR_TEXT] = "";
    struct eddy_addr a;

    if (eddy_transport_peername(t, &a) == 0)
        eddy_addr_format(&a, peer, sizeof peer);
    eddy_loop_log(s->loop, EDDY_LOG_INFO, "server", "refused %s: %s", *peer ? peer : "a peer",
                  error->text);
    if (is_shortage(error->code) ? is_time_to_complain(s) : s->loop->debug)
        report(s, error, no_transport);
}

static void handshake_over(void *user, struct opened *upper, const struct eddy_error *error)
{
    struct eddy_server *s = user; /* lives: the transport below has a reference */

    if (s->handshakes-- == s->max_handshakes)
        watch_listeners(s);
    int rc = error || s->closed ? EDDY_ECLOSED : make_encrypted(s, upper);
    if (rc == 0)
        return;
    if (error && !s->closed)
        handshake_failed(s, &upper->t, error);
    else if (!s->closed && s->loop->debug)
        problem(s, rc, "init", no_transport);
    eddy_opened_drop(upper);
}

static void begin_handshake(struct eddy_server *s, struct eddy_transport *t)
{
    const struct tls_connection c = {.limits = s->tls_limits, .done = handshake_over, .user = s};
    struct opened *upper;

    s->handshakes++;
    if (tls_start(t, &s->tls, &c, &s->handshaking, &upper) == 0)
        return;
    s->handshakes--;
    refuse(s, t, -ENOMEM);
}

/* ---- accepting ---- */

static void make_plain(struct eddy_server *s, struct eddy_transport *t)
{
    struct eddy_protocol *p;
    int rc = s->max_fds > 0 ? eddy_unix_pass_fds(t, s->max_fds) : 0;

    if (rc == 0)
        rc = eddy_protocol_new_instance(t, s->cls, s->arg, &p);
    if (rc < 0)
        refuse(s, t, rc);
    else
        eddy_transport_made(t, p, &s->connections);
}

void eddy_server_accepted(struct eddy_server *s, int res, const struct eddy_addr *peer)
{
    struct eddy_transport *t;

    if (is_shortage(res)) {
        starve(s, res);
        return;
    }
    if (res < 0) {
        problem(s, res, "accept", "accept failed");
        return;
    }
    int rc = make_transport(s, res, peer, &t);
    if (rc < 0) {
        s->loop->sys->cls->close(s->loop->sys, res);
        starve(s, rc == -EINVAL ? -EMFILE : rc); /* -EINVAL: more than select can hold */
        return;
    }
#ifndef __linux__
    if (!s->is_unix)
        eddy_fdstream_nodelay(s->loop, res);
#endif
    eddy_server_ref(s); /* user code may close and drop it */
    if (s->tls.tls)
        begin_handshake(s, t);
    else
        make_plain(s, t);
    if (!s->closed && !has_room(s))
        watch_listeners(s);
    eddy_server_unref(s);
}

unsigned eddy_server_connections(const struct eddy_server *s)
{
    return s ? s->count : 0;
}

/* ---- serving ---- */

int eddy_server_start_serving(struct eddy_server *s)
{
    if (!s)
        return -EINVAL;
    if (s->closed)
        return EDDY_ECLOSED;
    int rc = eddy_listeners_start(s->listeners, s->loop, s->backlog);
    if (rc == 0)
        s->serving = true;
    return rc;
}

bool eddy_server_is_serving(const struct eddy_server *s)
{
    return s && s->serving;
}

/* ---- what it is ---- */

struct eddy_loop *eddy_server_loop(const struct eddy_server *s)
{
    return s ? s->loop : NULL;
}

static const struct listener *listener_at(const struct eddy_server *s, unsigned i)
{
    const struct listener *l = s ? s->listeners : NULL;

    while (l && i-- > 0)
        l = l->next;
    return l;
}

int eddy_server_sockname(const struct eddy_server *s, unsigned i, struct eddy_addr *ret)
{
    const struct listener *l = listener_at(s, i);

    if (s && s->closed)
        return EDDY_ECLOSED;
    if (!l || !ret)
        return -EINVAL;
    *ret = l->addr;
    return 0;
}

int eddy_server_fd(const struct eddy_server *s, unsigned i)
{
    const struct listener *l = listener_at(s, i);

    return l ? l->io.fd : -1;
}

int eddy_server_port(const struct eddy_server *s)
{
    const struct listener *l = listener_at(s, 0);

    return l ? eddy_addr_port(&l->addr) : -1;
}

/* ---- creating ---- */

static int refuse_opts(const struct eddy_server_opts *o, int code, const char *op, const char *why)
{
    return eddy_error_set(o->error, code, "create_server", "%s: %s", op, why);
}

int eddy_server_check(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                      const struct eddy_server_opts *o, const char *op)
{
    struct eddy_sys *sys = loop->sys;
    int type = 0;

    int rc = eddy_protocol_class_check(cls, op, o->error);
    if (rc < 0)
        return rc;
    if (!eddy_loop_is_open(loop))
        return refuse_opts(o, EDDY_ELOOP_CLOSED, op, "the loop is closed");
    if (o->backlog < 0)
        return refuse_opts(o, -EINVAL, op, ".backlog is negative");
    const struct tls_settings tls = TLS_SERVER_SETTINGS(o);
    rc = tls_check(&tls, NULL, op, o->error);
    if (rc < 0)
        return rc;
    if (o->max_handshakes && !o->tls)
        return refuse_opts(o, -EINVAL, op, ".max_handshakes is for TLS, which is not asked for");
    if (!o->use_sock)
        return 0;
    if (o->sock < 0 || sys->cls->getsockopt(sys, o->sock, SOL_SOCKET, SO_TYPE, &type) < 0 ||
        type != SOCK_STREAM)
        return refuse_opts(o, -EINVAL, op, ".sock is not a stream socket");
    return eddy_loop_io(loop, o->sock) ? refuse_opts(o, EDDY_EFD_IN_USE, op, ".sock is in use") : 0;
}

static int check_address(const struct eddy_server_opts *o)
{
    static const char op[] = "create_server";

    if (o->port < 0 || o->port > 65535)
        return refuse_opts(o, -EINVAL, op, "the port is out of range");
    if (o->host && o->hosts)
        return refuse_opts(o, -EINVAL, op, ".host and .hosts exclude each other");
    if (o->use_sock && (o->host || o->hosts || o->port))
        return refuse_opts(o, -EINVAL, op, ".host and .port exclude .sock");
    return 0;
}

static struct eddy_server *new_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                                      const struct eddy_server_opts *o)
{
    struct eddy_server *s = eddy_zalloc(sizeof *s);
    size_t align = cls->instance_align > 64 ? cls->instance_align : 64;

    if (!s)
        return NULL;
    s->slab = eddy_slab_new(eddy_protocol_instance_offset(cls) + cls->instance_size, align);
    if (!s->slab) {
        eddy_free(s);
        return NULL;
    }
    s->owner.cls = &owner_class;
    s->owner.site = o->site;
    eddy_server_end_init(s);
    s->loop = loop;
    s->refs = 1;
    s->cls = cls;
    s->arg = o->arg;
    s->max = o->max_connections;
    s->backlog = o->backlog ? o->backlog : DEFAULT_BACKLOG;
    s->retry.fn = on_retry;
    s->freed.fn = on_freed;
    s->max_handshakes = o->max_handshakes ? o->max_handshakes : DEFAULT_HANDSHAKES;
    s->tls = (struct tls_settings)TLS_SERVER_SETTINGS(o);
    eddy_tls_ref(s->tls.tls);
    eddy_list_init(&s->handshaking);
    eddy_list_init(&s->connections);
    return s;
}

/* Opens the server's listeners, and has them listen unless that comes later. */
static int open_server(struct eddy_server *s, const struct eddy_server_opts *o,
                       const struct unix_place *u)
{
    int rc = eddy_listeners_open(s, s->loop, o, u, &s->listeners);

    if (rc < 0)
        return rc;
    s->is_unix = s->listeners->addr.u.sa.sa_family == AF_UNIX;
    s->max_fds = u ? u->max_fds : 0;
    eddy_server_ref(s); /* dropped by close */
    if (o->not_serving)
        return 0;
    rc = eddy_server_start_serving(s);
    if (rc < 0) {
        eddy_error_set(o->error, rc, "listen", "listen: %s", eddy_strerror(rc));
        if (o->use_sock && rc == -EINVAL) /* contract G29 */
            eddy_listener_release(s->listeners);
        eddy_server_close(s);
    }
    return rc;
}

int eddy_server_create(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                       const struct eddy_server_opts *o, const char *op, const struct unix_place *u,
                       struct eddy_server **ret)
{
    const struct eddy_limits wanted = STREAM_LIMITS(o);
    struct eddy_limits *limits, *tls_limits;
    int rc = tls_limits_new(o->tls != NULL, &wanted, &limits, &tls_limits);
    struct eddy_server *s = rc == 0 ? new_server(loop, cls, o) : NULL;

    if (!s) {
        eddy_limits_unref(limits);
        eddy_limits_unref(tls_limits);
        if (rc == -EINVAL)
            return refuse_opts(o, rc, op, "impossible limits or time-outs");
        if (o->use_sock)
            loop->sys->cls->close(loop->sys, o->sock);
        return refuse_opts(o, -ENOMEM, op, "no memory");
    }
    s->tls_limits = tls_limits;
    s->limits = limits;
    eddy_list_append(&loop->resources, &s->resource.link);
    rc = open_server(s, o, u);
    if (rc == 0 && ret)
        *ret = eddy_server_ref(s);
    eddy_server_unref(s);
    return rc;
}

int eddy_create_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                       const struct eddy_server_opts *o, struct eddy_server **ret)
{
    static const char op[] = "create_server";

    if (!loop || !o)
        return -EINVAL;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc == 0)
        rc = check_address(o);
    if (rc == 0)
        rc = eddy_server_check(loop, cls, o, op);
    return rc < 0 ? rc : eddy_server_create(loop, cls, o, op, NULL, ret);
}
