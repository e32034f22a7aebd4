/* The context of clients that have named none: a loop makes it when it is first asked for. */
#include "transports/tls/layer.h"

#include "framework/base/alloc.h"

struct default_client {
    struct eddy_resource resource;
    struct eddy_tls *tls;
};

static void loop_closing(struct eddy_resource *r)
{
    struct default_client *d = EDDY_CONTAINER_OF(r, struct default_client, resource);

    eddy_tls_unref(d->tls);
    eddy_free(d);
}

/* It is the first of the loop's resources, so that they need not be searched. */
static struct default_client *find(struct eddy_loop *loop)
{
    struct eddy_link *first = loop->resources.next;
    struct eddy_resource *r = EDDY_CONTAINER_OF(first, struct eddy_resource, link);

    if (eddy_list_empty(&loop->resources) || r->loop_closing != loop_closing)
        return NULL;
    return EDDY_CONTAINER_OF(r, struct default_client, resource);
}

static void insert(struct eddy_loop *loop, struct default_client *d)
{
    d->resource.loop_closing = loop_closing;
    eddy_list_append(loop->resources.next, &d->resource.link); /* before the first */
}

int tls_default(struct eddy_loop *loop, struct eddy_error *e, struct eddy_tls **ret)
{
    struct default_client *d = find(loop);

    if (!d) {
        d = eddy_zalloc(sizeof *d);
        int rc = d ? eddy_tls_new(EDDY_TLS_CLIENT(.error = e), &d->tls)
                   : eddy_error_set(e, -ENOMEM, "new tls", "TLS context: no memory");
        if (rc < 0) {
            eddy_free(d);
            return rc;
        }
        insert(loop, d);
    }
    *ret = eddy_tls_ref(d->tls);
    return 0;
}
