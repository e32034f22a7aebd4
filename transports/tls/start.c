/* What asks for TLS: arguments, and the upgrade of an open connection. */
#include "transports/tls/tls.h"

#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include <string.h>

/* ---- arguments ---- */

static int refuse(struct eddy_error *e, const char *op, const char *why)
{
    return eddy_error_set(e, -EINVAL, "tls", "%s: %s", op, why);
}

static int check_times(const struct tls_settings *s, const char *op, struct eddy_error *e)
{
    if (s->handshake_timeout < 0)
        return refuse(e, op, ".handshake_timeout is negative");
    if (s->shutdown_timeout < 0)
        return refuse(e, op, ".shutdown_timeout is negative");
    return 0;
}

/* They mean nothing then, and may be a mistake that costs the encryption. */
static int check_absent(const struct tls_settings *s, const char *op, struct eddy_error *e)
{
    if (s->server_hostname || s->no_name_check)
        return refuse(e, op, ".server_hostname is for TLS, which is not asked for");
    if (s->handshake_timeout || s->shutdown_timeout)
        return refuse(e, op, "time-outs of TLS, which is not asked for");
    if (s->early_data || s->early_data_len)
        return refuse(e, op, ".early_data is for TLS, which is not asked for");
    return 0;
}

static int check_name(const struct tls_settings *s, const char *host, const char *op,
                      struct eddy_error *e)
{
    const char *name = s->server_hostname ? s->server_hostname : host;
    char plain[TLS_NAME];
    const char *why;

    if (!name)
        return s->no_name_check ? 0 : refuse(e, op, "TLS needs a .server_hostname");
    if (tls_name_check(name, plain, &why) < 0)
        return eddy_error_set(e, -EINVAL, "tls", "%s: server hostname '%.64s': %s", op, name, why);
    return 0;
}

int tls_check(const struct tls_settings *s, const char *host, const char *op, struct eddy_error *e)
{
    if (!s->use_tls)
        return check_absent(s, op, e);
    if (s->tls && s->tls->server != s->server_side)
        return refuse(e, op,
                      s->server_side ? "the TLS context is a client's"
                                     : "the TLS context is a server's");
    if (s->server_side && (s->server_hostname || s->no_name_check))
        return refuse(e, op, ".server_hostname is for clients");
    if (!s->early_data != !s->early_data_len || s->early_data_len > TLS_RECORD)
        return refuse(e, op, ".early_data must be 1 to 16384 bytes");
    int rc = check_times(s, op, e);
    return rc == 0 && !s->server_side ? check_name(s, host, op, e) : rc;
}

/* ---- start_tls ---- */

static void upgraded(void *user, struct opened *upper, const struct eddy_error *error)
{
    struct eddy_future *f = user;

    if (f) {
        eddy_future_on_cancel(f, NULL, NULL);
        if (!error) {
            eddy_future_set_result_unless_cancelled(f, NULL, NULL);
        } else if (!eddy_future_is_done(f)) {
            eddy_future_set_error(f, error);
            eddy_future_error(f); /* connection_lost has it, too: nobody has to look here */
        }
        eddy_future_unref(f);
    }
    if (error)
        eddy_transport_abort(&upper->t, error);
}

/* Contract S52. */
static void cancelled(struct eddy_future *f, void *user)
{
    struct tls_layer *l = user;

    tls_fail(l, eddy_future_error(f));
}

static int explain(const struct eddy_start_tls_opts *o, int code, const char *why)
{
    return eddy_error_set(o->error, code, "start_tls", "start_tls: %s", why);
}

static int check_transport(const struct eddy_transport *t, const struct eddy_start_tls_opts *o)
{
    if (!t || t->state != EDDY_TRANSPORT_OPEN)
        return explain(o, -EINVAL, "the transport is closing or closed");
    if (eddy_transport_is_covered(t))
        return explain(o, EDDY_EINVALID_STATE,
                       "it was called before: use the protocol's transport");
    if (t->io.kind != EDDY_IO_STREAM || !t->cls->send || !t->cls->read_start)
        return explain(o, -EINVAL, "the transport is not a stream in both directions");
    if (tls_is(t) && tls_layer_of(t)->state != TLS_WRAPPED)
        return explain(o, EDDY_EINVALID_STATE, "a handshake is under way");
    if (eddy_transport_has_ended(t))
        return explain(o, EDDY_EINVALID_STATE, "one direction of the stream has ended");
    if (!o->server_side && eddy_transport_has_unread(t))
        return explain(o, EDDY_EINVALID_STATE, "bytes were given back by unread");
    return 0;
}

/* The context, referenced. */
static int find_context(struct eddy_loop *loop, const struct eddy_start_tls_opts *o,
                        struct eddy_tls **ret)
{
    if (!o->tls && !o->server_side)
        return tls_default(loop, o->error, ret);
    if (!o->tls)
        return explain(o, -EINVAL, "a server needs a context");
    *ret = eddy_tls_ref(o->tls);
    return 0;
}

static void begin(struct tls_layer *l, struct eddy_transport *lower, struct eddy_limits *limits)
{
    eddy_transport_take_over(&l->o.t, lower, &l->below);
    eddy_transport_use_limits(lower, limits);
    l->low_full = eddy_transport_is_writing_paused(lower);
    eddy_loop_call_soon(lower->io.loop, &l->turn);
}

static int start(struct eddy_transport *t, const struct eddy_start_tls_opts *o,
                 const struct tls_settings *s, struct eddy_future **ret)
{
    struct eddy_limits wanted = *t->limits;
    struct eddy_limits *limits, *below;
    struct eddy_future *f = NULL;
    struct tls_layer *l = NULL;

    wanted.low = wanted.high = 0; /* those of TLS */
    int rc = tls_limits_new(true, &wanted, &below, &limits);
    if (rc == 0 && ret)
        rc = eddy_future_new(t->io.loop, &f);
    if (rc == 0)
        l = tls_layer_new(t, s,
                          &(struct tls_connection){.done = upgraded, .limits = limits, .user = f});
    if (l)
        begin(l, t, below);
    eddy_limits_unref(limits);
    eddy_limits_unref(below);
    if (!l) {
        eddy_future_unref(f);
        return explain(o, -ENOMEM, "no memory");
    }
    if (ret) {
        eddy_future_on_cancel(f, cancelled, l);
        *ret = eddy_future_ref(f);
    }
    return 0;
}

int eddy_start_tls(struct eddy_transport *t, const struct eddy_start_tls_opts *o,
                   struct eddy_future **ret)
{
    if (!o)
        return -EINVAL;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc == 0)
        rc = check_transport(t, o);
    if (rc < 0)
        return rc;
    if (!eddy_loop_may_call(t->io.loop, "start_tls", NULL))
        return EDDY_ETHREAD;
    struct tls_settings s = {
        .tls = o->tls,
        .use_tls = true,
        .server_side = o->server_side,
        .server_hostname = o->server_hostname,
        .no_name_check = o->no_name_check,
        .handshake_timeout = o->handshake_timeout,
        .shutdown_timeout = o->shutdown_timeout,
    };
    rc = tls_check(&s, NULL, "start_tls", o->error);
    if (rc == 0)
        rc = find_context(t->io.loop, o, &s.tls);
    if (rc < 0)
        return rc;
    rc = start(t, o, &s, ret);
    eddy_tls_unref(s.tls);
    return rc;
}
