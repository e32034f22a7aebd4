/*
 * The buffers of OpenSSL: 33 KiB, which an idle connection must not keep, and one with small
 * messages must not allocate for each, at a cost of 900 instructions. So a loop keeps those of the
 * connections that were the last to begin with such. Large messages are better off without: all
 * connections get the same memory from malloc then, which is in the processor's cache.
 */
#include "transports/tls/tls.h"

#include "framework/base/list.h"
#include "framework/loop/loop.h"

#define WARM_MAX 64
#define LARGE (TLS_RECORD / 2)

/* Until these versions SSL_free_buffers also frees what is half read (CVE-2024-4741): whoever is
 * never warm needs it never. */
static bool can_be_cooled(void)
{
    static const unsigned long mended[] = {0x300000e0, 0x30100060, 0x30200020, 0x30300010};
    unsigned long version = OpenSSL_version_num(), minor = version >> 20 & 0xff;

    return version >> 28 > 3 || minor >= sizeof mended / sizeof *mended || version >= mended[minor];
}

static void warm_up(struct tls_layer *l)
{
    struct eddy_loop *loop = l->o.t.io.loop;

    eddy_list_append(&loop->warm, &l->warm);
    loop->warm_count++;
    SSL_clear_mode(l->ssl, SSL_MODE_RELEASE_BUFFERS);
}

void tls_cool(struct tls_layer *l)
{
    if (!eddy_link_is_member(&l->warm))
        return;
    eddy_link_remove(&l->warm);
    l->o.t.io.loop->warm_count--;
    SSL_set_mode(l->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_free_buffers(l->ssl); /* those with something in them go when that is read */
}

static void cool_oldest(struct eddy_loop *loop)
{
    struct tls_layer *l = EDDY_CONTAINER_OF(loop->warm.next, struct tls_layer, warm);

    if (!l->in_openssl) /* else it stands on the one that comes: there are few of these */
        tls_cool(l);
}

void tls_has_read(struct tls_layer *l, size_t n)
{
    struct eddy_loop *loop = l->o.t.io.loop;

    if (n >= LARGE) {
        tls_cool(l);
    } else if (!eddy_link_is_member(&l->warm) && can_be_cooled()) {
        if (loop->warm_count >= WARM_MAX)
            cool_oldest(loop);
        warm_up(l);
    }
}
