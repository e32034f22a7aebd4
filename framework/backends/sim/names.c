/* Names: what the world's resolver knows, and how long it takes to say so. */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"
#include <eddy/resolver.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct sim_name {
    struct eddy_link link; /* of sim->names, in the order of adding */
    int64_t number;        /* for the trace; from 1 on */
    eddy_nsec delay;
    int code, detail; /* 0: it has addresses */
    const char *text; /* behind the list */
    size_t count;
    struct eddy_addr list[];
};

struct sim_resolver {
    struct eddy_resolver base; /* first */
    struct eddy_sim *sim;
};

/* q->work */
struct asking {
    struct eddy_timer due;
    struct eddy_query *query;
    struct eddy_sim *sim;
};

/* ---- what there is ---- */

/* NULL: at the end. */
static struct sim_name *name_at(const struct eddy_sim *sim, struct eddy_link *l)
{
    return l == &sim->names ? NULL : EDDY_CONTAINER_OF(l, struct sim_name, link);
}

static struct sim_name *find_name(const struct eddy_sim *sim, const char *text)
{
    struct sim_name *name = name_at(sim, sim->names.next);

    while (name && strcasecmp(name->text, text) != 0)
        name = name_at(sim, name->link.next);
    return name;
}

/* The first one that has the address, with any port. */
static struct sim_name *find_name_of(const struct eddy_sim *sim, const struct eddy_addr *a)
{
    struct sim_name *name;
    size_t i;

    for (name = name_at(sim, sim->names.next); name; name = name_at(sim, name->link.next)) {
        for (i = 0; i < name->count; i++) {
            if (eddy_sim_same_host(&name->list[i], a))
                return name;
        }
    }
    return NULL;
}

/* Takes the place of what the name was before. */
static int put_name(struct eddy_sim *sim, const char *text, const struct eddy_addr *list, size_t n,
                    eddy_nsec delay, struct sim_name **ret)
{
    struct sim_name *old, *name;
    char *copy;

    if (text == NULL || *text == '\0' || delay < 0)
        return -EINVAL;
    name = eddy_zalloc(sizeof(*name) + n * sizeof(*list) + strlen(text) + 1);
    if (name == NULL)
        return -ENOMEM;
    old = find_name(sim, text);
    if (old) {
        name->number = old->number;
        eddy_link_remove(&old->link);
        eddy_free(old);
    } else {
        name->number = ++sim->name_count;
    }
    copy = (char *)(name->list + n);
    name->text = strcpy(copy, text);
    name->delay = delay;
    name->count = n;
    if (n > 0)
        memcpy(name->list, list, n * sizeof(*list));
    eddy_list_append(&sim->names, &name->link);
    *ret = name;
    return 0;
}

int eddy_sim_add_name(struct eddy_sim *sim, const char *name, const struct eddy_addr *list,
                      size_t n, eddy_nsec delay)
{
    struct sim_name *added;
    size_t i;

    if (list == NULL || n == 0)
        return -EINVAL;
    for (i = 0; i < n; i++) {
        if (list[i].u.sa.sa_family != AF_INET && list[i].u.sa.sa_family != AF_INET6)
            return -EINVAL;
    }
    return put_name(sim, name, list, n, delay, &added);
}

int eddy_sim_fail_name(struct eddy_sim *sim, const char *name, int code, int detail,
                       eddy_nsec delay)
{
    struct sim_name *added;
    int r;

    if (code >= 0)
        return -EINVAL;
    r = put_name(sim, name, NULL, 0, delay, &added);
    if (r < 0)
        return r;
    added->code = code;
    added->detail = detail;
    return 0;
}

void eddy_sim_free_names(struct eddy_sim *sim)
{
    struct eddy_link *link;

    while ((link = eddy_list_pop(&sim->names)) != NULL)
        eddy_free(EDDY_CONTAINER_OF(link, struct sim_name, link));
}

/* ---- answering ---- */

/* What the question is about; NULL: nothing that was added. */
static struct sim_name *subject(const struct eddy_sim *sim, const struct eddy_query *q)
{
    if (q->kind == EDDY_QUERY_NAMES)
        return q->flags & NI_NUMERICHOST ? NULL : find_name_of(sim, &q->addr);
    return q->host ? find_name(sim, q->host) : NULL;
}

static void answer_family(struct eddy_query *q, const struct sim_name *name)
{
    struct eddy_addr *list = eddy_alloc(name->count * sizeof(*list));
    size_t i, n = 0;

    if (list == NULL) {
        eddy_query_fail(q, -ENOMEM, 0, NULL);
        return;
    }
    for (i = 0; i < name->count; i++) {
        if (name->list[i].u.sa.sa_family == q->family)
            list[n++] = name->list[i];
    }
    eddy_query_give_addresses(q, list, n, name->text, 0);
    eddy_free(list);
}

static void answer_addresses(struct eddy_query *q, const struct sim_name *name)
{
    if (q->service && q->service[strspn(q->service, "0123456789")] != '\0')
        eddy_query_fail(q, EDDY_EDNS, EAI_SERVICE, "no such service");
    else if (name == NULL)
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "no such name");
    else if (name->code < 0)
        eddy_query_fail(q, name->code, name->detail, NULL);
    else if (q->family == AF_UNSPEC)
        eddy_query_give_addresses(q, name->list, name->count, name->text, 0);
    else
        answer_family(q, name);
}

static void answer_names(struct eddy_query *q, const struct sim_name *name)
{
    const void *host = q->addr.u.sa.sa_family == AF_INET6 ? (const void *)&q->addr.u.in6.sin6_addr
                                                          : &q->addr.u.in.sin_addr;
    char numeric[INET6_ADDRSTRLEN], port[16];

    snprintf(port, sizeof(port), "%d", eddy_addr_port(&q->addr));
    if (name)
        eddy_query_give_names(q, name->text, port);
    else if (q->flags & NI_NAMEREQD)
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "the address has no name");
    else
        eddy_query_give_names(q, inet_ntop(q->addr.u.sa.sa_family, host, numeric, sizeof(numeric)),
                              port);
}

static void answer(struct eddy_sim *sim, struct eddy_query *q)
{
    const struct sim_name *name = subject(sim, q);

    eddy_sim_note(sim, "resolved", name ? name->number : 0, name ? name->code : 0);
    if (q->kind == EDDY_QUERY_NAMES)
        answer_names(q, name);
    else
        answer_addresses(q, name);
}

/* When it answers; what it answers is decided then. */
static eddy_nsec hear(struct eddy_sim *sim, const struct eddy_query *q)
{
    const struct sim_name *name = subject(sim, q);
    eddy_nsec delay = name ? name->delay : 0;

    eddy_sim_note(sim, "asked", name ? name->number : 0, delay);
    return delay;
}

/* ---- the class ---- */

static void due(struct eddy_timer *t)
{
    struct asking *asking = EDDY_CONTAINER_OF(t, struct asking, due);
    struct eddy_query *q = asking->query;
    struct eddy_sim *sim = asking->sim;

    eddy_free(asking);
    answer(sim, q);
}

/* By a timer of the loop, which wakes it up as no event of the world would. */
static int resolver_start(struct eddy_resolver *base, struct eddy_query *q)
{
    struct eddy_sim *sim = ((struct sim_resolver *)base)->sim;
    struct asking *asking;
    eddy_nsec delay;

    if (q->kind == EDDY_QUERY_SERVICES)
        return EDDY_ENOT_SUPPORTED;
    asking = eddy_zalloc(sizeof(*asking));
    if (asking == NULL)
        return -ENOMEM;
    asking->due.fn = due;
    asking->query = q;
    asking->sim = sim;
    q->work = asking;
    delay = hear(sim, q);
    if (delay < EDDY_FOREVER)
        eddy_loop_call_later(base->loop, &asking->due, delay);
    return 0;
}

static void resolver_cancel(struct eddy_resolver *base, struct eddy_query *q)
{
    struct asking *asking = q->work;

    (void)base;
    eddy_timer_cancel(&asking->due);
    eddy_free(asking);
}

static int resolver_start_and_wait(struct eddy_resolver *base, struct eddy_query *q,
                                   eddy_nsec timeout)
{
    struct eddy_sim *sim = ((struct sim_resolver *)base)->sim;
    eddy_nsec delay;

    if (q->kind == EDDY_QUERY_SERVICES)
        return EDDY_ENOT_SUPPORTED;
    delay = hear(sim, q);
    if (delay == EDDY_FOREVER && timeout == EDDY_FOREVER)
        return EDDY_ESTALLED;
    eddy_sim_spend(sim, delay < timeout ? delay : timeout);
    if (delay > timeout)
        return -ETIMEDOUT;
    answer(sim, q);
    return 0;
}

static int resolver_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                         struct eddy_error *error, struct eddy_resolver **ret)
{
    struct sim_resolver *r = eddy_zalloc(sizeof(*r));

    (void)loop;
    if (r == NULL)
        return eddy_error_set(error, -ENOMEM, "resolve", "no memory for a resolver");
    r->sim = opts->user;
    *ret = &r->base;
    return 0;
}

static void resolver_close(struct eddy_resolver *base)
{
    eddy_free(base);
}

const struct eddy_resolver_class eddy_sim_resolver_class = {
    .name = "sim",
    .abi_size = sizeof(struct eddy_resolver_class),
    .open = resolver_open,
    .close = resolver_close,
    .start = resolver_start,
    .cancel = resolver_cancel,
    .start_and_wait = resolver_start_and_wait,
};
