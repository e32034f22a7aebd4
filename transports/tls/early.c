/*
 * Early data (RFC 8446 2.3): what a client that resumes sends with its first bytes, before the
 * server has proved to be itself in this connection. Anybody who has recorded it can send it again,
 * so a server gives it to a callback of its own.
 */
#include "transports/tls/tls.h"

#include "framework/loop/loop.h"

/* ---- a client ---- */

void tls_early_forget(struct tls_layer *l)
{
    OPENSSL_cleanse(l->early_data, l->early_data_len);
    l->early_data_len = 0;
}

/* All of it at once: it is at most one record. 1: the handshake goes on. */
static int send_early(struct tls_layer *l)
{
    const SSL_SESSION *s = SSL_get_session(l->ssl);
    size_t n;

    int rc = 1;

    if (l->early_data_len > 0 && s && SSL_SESSION_get_max_early_data(s) >= l->early_data_len)
        rc = SSL_write_early_data(l->ssl, l->early_data, l->early_data_len, &n);
    if (rc == 1)
        tls_early_forget(l);
    return rc;
}

/* ---- a server ---- */

/* The connection is made, if it is not yet, and gets the bytes. */
static void deliver(struct tls_layer *l, const void *data, size_t len)
{
    struct eddy_transport *t = &l->o.t;
    const struct eddy_tls_opts *o = l->opts;
    struct eddy_loop *loop = t->io.loop;

    if (!l->early) {
        l->early = true;
        tls_set_version(l);
        tls_handshake_over(l, NULL);
    }
    struct eddy_protocol *p = eddy_transport_protocol(t);
    if (!p || eddy_transport_is_closing(t))
        return;
    eddy_nsec begin = eddy_callback_begin(loop);
    o->early_data_received(p, data, len); /* p may be gone */
    eddy_callback_end(loop, begin, "early_data_received", t->cls->name);
    eddy_transport_flush(t);
}

/* 1: there is none any more. */
static int receive_early(struct tls_layer *l)
{
    char buf[TLS_RECORD];
    size_t n;
    int rc;

    while (l->state == TLS_HANDSHAKE &&
           (rc = SSL_read_early_data(l->ssl, buf, sizeof buf, &n)) != SSL_READ_EARLY_DATA_FINISH) {
        if (rc == SSL_READ_EARLY_DATA_ERROR)
            return -1;
        if (n > 0) {
            tls_leave(l);
            deliver(l, buf, n);
            tls_clear_errors();
            tls_enter(l);
        }
    }
    l->early_read = true;
    return 1;
}

int tls_early_data(struct tls_layer *l)
{
    if (!l->server_side)
        return send_early(l);
    if (l->early_read || l->opts->max_early_data == 0)
        return 1;
    return receive_early(l);
}
