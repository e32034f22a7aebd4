/* Above queries: futures of them. */
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include <eddy/resolver.h>
#include <string.h>

struct lookup {
    struct eddy_query query;
    struct eddy_future *future;
    char strings[];
};

static struct eddy_future *free_lookup(struct lookup *l)
{
    struct eddy_future *f = l->future;

    eddy_future_on_cancel(f, NULL, NULL);
    eddy_free(l);
    return f;
}

static void done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct eddy_future *f = free_lookup(EDDY_CONTAINER_OF(q, struct lookup, query));

    if (!error)
        eddy_future_set_result_unless_cancelled(f, answer, eddy_answer_free);
    else if (eddy_future_set_error(f, error) != EDDY_EINVALID_STATE &&
             error->code == EDDY_ELOOP_CLOSED)
        eddy_future_error(f); /* left behind by its loop: nobody owes it attention */
    eddy_future_unref(f);
}

static void cancelled(struct eddy_future *f, void *user)
{
    struct lookup *l = user;

    eddy_query_cancel(&l->query);
    free_lookup(l);
    eddy_future_unref(f); /* not the last one: it is being cancelled */
}

static int no_memory(struct eddy_error *error)
{
    return eddy_error_set(error, -ENOMEM, "resolve", "no memory for a look-up");
}

/* NULL: no memory. */
static struct lookup *new_lookup(struct eddy_loop *loop, enum eddy_query_kind kind,
                                 const char *host, const char *service, eddy_nsec timeout)
{
    size_t h = host ? strlen(host) + 1 : 0, s = service ? strlen(service) + 1 : 0;
    struct lookup *l = eddy_zalloc(sizeof *l + h + s);

    if (!l)
        return NULL;
    if (eddy_future_new(loop, &l->future) < 0) {
        eddy_free(l);
        return NULL;
    }
    l->query.done = done;
    l->query.kind = kind;
    l->query.timeout = timeout;
    if (host)
        l->query.host = memcpy(l->strings, host, h);
    if (service)
        l->query.service = memcpy(l->strings + h, service, s);
    return l;
}

static int start(struct eddy_loop *loop, struct lookup *l, struct eddy_error *error,
                 struct eddy_future **ret)
{
    int rc = eddy_query_start(loop, &l->query, error);

    if (rc < 0) {
        eddy_future_unref(free_lookup(l));
        return rc;
    }
    eddy_future_on_cancel(l->future, cancelled, l);
    *ret = eddy_future_ref(l->future);
    return 0;
}

int eddy_getaddrinfo(struct eddy_loop *loop, const struct eddy_lookup_opts *o,
                     struct eddy_future **ret)
{
    if (!loop || !o || !ret)
        return -EINVAL;
    int rc = eddy_opts_check(o, o->abi_size, sizeof *o);
    if (rc < 0)
        return rc;
    struct lookup *l = new_lookup(loop, EDDY_QUERY_ADDRESSES, o->host, o->service, o->timeout);
    if (!l)
        return no_memory(o->error);
    l->query.port = o->port;
    l->query.family = o->family;
    l->query.type = o->type;
    l->query.protocol = o->protocol;
    l->query.flags = o->flags;
    l->query.deadline_.site_ = o->site;
    return start(loop, l, o->error, ret);
}

int eddy_getnameinfo(struct eddy_loop *loop, const struct eddy_addr *addr, int flags,
                     eddy_nsec timeout, struct eddy_future **ret)
{
    if (!loop || !addr || !ret)
        return -EINVAL;
    struct lookup *l = new_lookup(loop, EDDY_QUERY_NAMES, NULL, NULL, timeout);
    if (!l)
        return -ENOMEM;
    l->query.addr = *addr;
    l->query.flags = flags;
    return start(loop, l, NULL, ret);
}

int eddy_getservices(struct eddy_loop *loop, const char *name, eddy_nsec timeout,
                     struct eddy_future **ret)
{
    if (!loop || !name || !ret)
        return -EINVAL;
    struct lookup *l = new_lookup(loop, EDDY_QUERY_SERVICES, name, NULL, timeout);
    return l ? start(loop, l, NULL, ret) : -ENOMEM;
}
