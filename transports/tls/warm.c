/*
 * The buffers of OpenSSL: 33 KiB, which an idle connection must not keep, and one in use must not
 * allocate for each message, at a cost of 900 instructions. So a loop keeps those of the
 * connections that were the last to begin to be in use.
 */
#include "transports/tls/tls.h"

#include "framework/base/list.h"
#include "framework/loop/loop.h"

#define WARM_MAX 64

void tls_cool(struct tls_layer *l)
{
    if (!eddy_link_is_member(&l->warm))
        return;
    eddy_link_remove(&l->warm);
    l->o.t.io.loop->warm_count--;
}

/* Buffers with something in them go when that is read. */
static void cool_oldest(struct eddy_loop *loop)
{
    struct tls_layer *l = EDDY_CONTAINER_OF(loop->warm.next, struct tls_layer, warm);

    if (l->in_openssl)
        return; /* it stands on the one that comes: there are few of these */
    tls_cool(l);
    SSL_set_mode(l->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_free_buffers(l->ssl);
}

void tls_warm_up(struct tls_layer *l)
{
    struct eddy_loop *loop = l->o.t.io.loop;

    if (loop->warm_count >= WARM_MAX)
        cool_oldest(loop);
    eddy_list_append(&loop->warm, &l->warm);
    loop->warm_count++;
    SSL_clear_mode(l->ssl, SSL_MODE_RELEASE_BUFFERS);
}
