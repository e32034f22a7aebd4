/* A build without OpenSSL: there is no context to be had, so that little can be asked for. */
#include "transports/tls/layer.h"

static int none(struct eddy_error *e, const char *op)
{
    return eddy_error_set(e, EDDY_ENOT_SUPPORTED, "tls", "%s: Eddy was built without OpenSSL", op);
}

/* ---- contexts ---- */

int eddy_tls_new(const struct eddy_tls_opts *opts, struct eddy_tls **ret)
{
    if (!opts || !ret || opts->abi_size < sizeof *opts)
        return -EINVAL;
    return none(opts->error, "TLS context");
}

struct eddy_tls *eddy_tls_ref(struct eddy_tls *tls)
{
    return tls;
}

void eddy_tls_unref(struct eddy_tls *tls)
{
    (void)tls;
}

int eddy_tls_reload(struct eddy_tls *tls, const struct eddy_tls_opts *opts,
                    struct eddy_error *error)
{
    (void)tls, (void)opts;
    return none(error, "TLS context");
}

int eddy_tls_rotate_tickets(struct eddy_tls *tls)
{
    (void)tls;
    return EDDY_ENOT_SUPPORTED;
}

int eddy_tls_expires(struct eddy_tls *tls, time_t *ret)
{
    (void)tls, (void)ret;
    return EDDY_ENOT_SUPPORTED;
}

int eddy_tls_cert_pem(struct eddy_tls *tls, char *buf, size_t size)
{
    (void)tls, (void)buf, (void)size;
    return EDDY_ENOT_SUPPORTED;
}

struct ssl_ctx_st *eddy_tls_ssl_ctx(struct eddy_tls *tls)
{
    (void)tls;
    return NULL;
}

/* ---- connections ---- */

int eddy_start_tls(struct eddy_transport *t, const struct eddy_start_tls_opts *opts,
                   struct eddy_future **ret)
{
    (void)t, (void)ret;
    if (!opts || opts->abi_size < sizeof *opts)
        return -EINVAL;
    return none(opts->error, "start_tls");
}

int eddy_tls_info(const struct eddy_transport *t, struct eddy_tls_info *ret)
{
    return t && ret ? EDDY_ENOT_SUPPORTED : -EINVAL;
}

struct eddy_tls *eddy_tls_of(const struct eddy_transport *t)
{
    (void)t;
    return NULL;
}

struct ssl_st *eddy_tls_ssl(const struct eddy_transport *t)
{
    (void)t;
    return NULL;
}

int eddy_tls_peer_cert(const struct eddy_transport *t, unsigned i, struct eddy_tls_cert **ret)
{
    (void)i;
    return t && ret ? EDDY_ENOT_SUPPORTED : -EINVAL;
}

void eddy_tls_cert_free(struct eddy_tls_cert *c)
{
    (void)c;
}

int eddy_tls_update_keys(struct eddy_transport *t, bool both)
{
    (void)both;
    return t ? EDDY_ENOT_SUPPORTED : -EINVAL;
}

/* ---- what servers and clients call ---- */

int tls_check(const struct tls_settings *s, const char *host, const char *op, struct eddy_error *e)
{
    (void)host;
    if (s->use_tls)
        return none(e, op);
    if (s->server_hostname || s->no_name_check || s->handshake_timeout || s->shutdown_timeout ||
        s->early_data || s->early_data_len)
        return eddy_error_set(e, -EINVAL, "tls", "%s: options of TLS, which is not asked for", op);
    return 0;
}

int tls_default(struct eddy_loop *loop, struct eddy_error *e, struct eddy_tls **ret)
{
    (void)loop, (void)ret;
    return none(e, "TLS context");
}

int tls_start(struct eddy_transport *lower, const struct tls_settings *s,
              const struct tls_connection *c, struct eddy_link *list, struct opened **ret)
{
    (void)lower, (void)s, (void)c, (void)list, (void)ret;
    return -ENOMEM;
}

/* Never asked: there is no upper one. */
struct eddy_transport *tls_lower(const struct opened *upper)
{
    return (struct eddy_transport *)(uintptr_t)&upper->t;
}
