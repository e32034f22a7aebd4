/* What OpenSSL reads from and writes to: a window, and the queue of the lower transport. */
#include "transports/tls/tls.h"
#include <string.h>

static int read_window(BIO *b, char *buf, size_t len, size_t *ret)
{
    struct tls_layer *l = BIO_get_data(b);
    size_t n = len < l->in_len ? len : l->in_len;

    BIO_clear_retry_flags(b);
    *ret = 0;
    if (l->killed)
        return 0;
    if (n == 0) {
        if (!l->low_eof || tls_eof_is_close(l))
            BIO_set_retry_read(b);
        return 0;
    }
    memcpy(buf, l->in, n);
    l->in += n;
    l->in_len -= n;
    if (l->state <= TLS_HANDSHAKE)
        l->consumed += (uint32_t)n;
    *ret = n;
    return 1;
}

/* What the lower transport cannot keep loses it, and its connection_lost tells. Behind close_notify
 * nothing may come, but OpenSSL would still answer key updates that it reads: the peer may be gone
 * by then, and reset the connection. */
static int write_below(BIO *b, const char *data, size_t len, size_t *ret)
{
    struct tls_layer *l = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (!l->tx_closed && !eddy_transport_is_closing(l->lower))
        eddy_transport_write_below(l->lower, data, len);
    *ret = len;
    return 1;
}

/* What makes an error with a reason of an end of stream without close_notify. */
static bool is_at_end(const struct tls_layer *l)
{
    return l->in_len == 0 && l->low_eof && !tls_eof_is_close(l);
}

/* OpenSSL asks a dozen times for each message, nearly always for what there is not. */
static long control(BIO *b, int what, long number, void *arg)
{
    const struct tls_layer *l;

    (void)number;
    (void)arg;
    switch (what) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return is_at_end(BIO_get_data(b));
    case BIO_CTRL_PENDING:
        l = BIO_get_data(b);
        return (long)l->in_len;
    default:
        return 0;
    }
}

static int create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

/* Of no type of its own: OpenSSL has numbers for 127 of them, and nobody asks. */
BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "eddy");

    if (m && BIO_meth_set_read_ex(m, read_window) && BIO_meth_set_write_ex(m, write_below) &&
        BIO_meth_set_ctrl(m, control) && BIO_meth_set_create(m, create))
        return m;
    BIO_meth_free(m);
    return NULL;
}

BIO *tls_bio_new(struct tls_layer *l)
{
    BIO *b = BIO_new(tls_context_bio(l->tls));

    if (b)
        BIO_set_data(b, l);
    return b;
}
