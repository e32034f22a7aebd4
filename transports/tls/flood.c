/*
 * Messages that cost us more than they cost the peer: once the handshake is done, those of it that
 * still come - key updates, tickets, renegotiations that are refused - are counted. OpenSSL 3.0 has
 * no limit: one call has read 20,000 key updates, for 158 ms.
 */
#include "transports/tls/tls.h"

#include "framework/loop/loop.h"

#define BURST 100
#define PER_SECOND 100

/* What time has given back since. */
static void refill(struct tls_layer *l)
{
    eddy_nsec now = l->o.t.io.loop->now, since = now - l->tokens_at;
    eddy_nsec n = since >= EDDY_SEC(1) ? BURST : since * PER_SECOND / EDDY_SEC(1);

    if (n == 0)
        return;
    l->tokens = l->tokens + n < BURST ? l->tokens + (unsigned)n : BURST;
    l->tokens_at = now;
}

/* For each record twice, and for each message: most are of no interest. */
static void count(int sent, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
    struct tls_layer *l;

    (void)version;
    (void)buf;
    (void)len;
    (void)arg;
    if (EDDY_LIKELY(type != SSL3_RT_HANDSHAKE) || sent)
        return;
    l = tls_of(ssl);
    if (!l || l->state <= TLS_HANDSHAKE || l->killed)
        return;
    if (l->tokens == 0)
        refill(l);
    if (l->tokens > 0)
        l->tokens--;
    else
        l->killed = true;
}

void tls_flood_init(SSL_CTX *ctx)
{
    SSL_CTX_set_msg_callback(ctx, count);
}

void tls_flood_begin(struct tls_layer *l)
{
    l->tokens = BURST;
    l->tokens_at = l->o.t.io.loop->now;
}
