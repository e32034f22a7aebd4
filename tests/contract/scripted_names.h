/*
 * A resolver that knows what a case has put into `names`, answers when that says so, and counts. It
 * serves every backend, and waits for nothing: by start_and_wait what comes late is a time-out.
 */
#ifndef TESTS_CONTRACT_SCRIPTED_NAMES_H
#define TESTS_CONTRACT_SCRIPTED_NAMES_H

#include "tests/support/test.h"
#include <eddy/loop.h>
#include <eddy/resolver.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

struct scripted_name {
    const char *name; /* NULL: the end of them */
    const char *addrs[8];
    int many;        /* 127.0.1.1 and so on, so many, behind these */
    int code;        /* fails with it */
    int detail;      /* ... by an EAI_* */
    eddy_nsec delay; /* EDDY_FOREVER: says nothing */
};

enum { SCRIPTED_PENDING = 8, SCRIPTED_MOST = 256 };

struct scripted_work {
    struct eddy_timer timer;
    struct eddy_query *query; /* NULL: not in use */
};

static struct {
    const struct scripted_name *names;
    int open_result;
    int refuse; /* the how-manieth question is refused, with -ENOMEM; 0: none */
    int opened, closed, asked, cancelled;
    int family, type, flags; /* of the last question */
    struct scripted_work work[SCRIPTED_PENDING];
} scripted;

static struct eddy_resolver scripted_resolver;

static inline void scripted_begin(const struct scripted_name *names)
{
    memset(&scripted, 0, sizeof scripted);
    scripted.names = names;
}

static inline int scripted_open(struct eddy_loop *l, const struct eddy_resolver_opts *opts,
                                struct eddy_error *error, struct eddy_resolver **ret)
{
    (void)l;
    (void)opts;
    if (scripted.open_result < 0)
        return eddy_error_set(error, scripted.open_result, "resolve", "not today");
    scripted.opened++;
    *ret = &scripted_resolver;
    return 0;
}

static inline void scripted_close(struct eddy_resolver *r)
{
    (void)r;
    scripted.closed++;
    for (int i = 0; i < SCRIPTED_PENDING; i++)
        CHECK(!scripted.work[i].query);
}

static inline const struct scripted_name *scripted_find(const struct eddy_query *q)
{
    const struct scripted_name *n = scripted.names;

    while (n && n->name && strcmp(n->name, q->host) != 0)
        n++;
    return n && n->name ? n : NULL;
}

static inline void scripted_add(const struct eddy_query *q, const char *text,
                                struct eddy_addr *list, size_t *count)
{
    CHECK_INT(eddy_addr_parse(text, 0, &list[*count]), 0);
    *count += !q->family || q->family == list[*count].u.sa.sa_family;
}

static inline void scripted_answer(struct eddy_query *q)
{
    const struct scripted_name *n = scripted_find(q);
    struct eddy_addr list[SCRIPTED_MOST];
    size_t count = 0;
    char text[64];

    if (!n || n->code) {
        eddy_query_fail(q, n ? n->code : EDDY_EDNS, n ? n->detail : EAI_NONAME,
                        "not in the script");
        return;
    }
    for (int i = 0; i < 8 && n->addrs[i]; i++)
        scripted_add(q, n->addrs[i], list, &count);
    for (int i = 1; i <= n->many; i++) {
        snprintf(text, sizeof text, "127.0.1.%d", i);
        scripted_add(q, text, list, &count);
    }
    eddy_query_give_addresses(q, list, count, NULL, 0);
}

static inline void scripted_due(struct eddy_timer *t)
{
    struct scripted_work *w = EDDY_CONTAINER_OF(t, struct scripted_work, timer);
    struct eddy_query *q = w->query;

    w->query = NULL;
    scripted_answer(q);
}

static inline eddy_nsec scripted_ask(const struct eddy_query *q)
{
    const struct scripted_name *n = scripted_find(q);

    scripted.asked++;
    scripted.family = q->family;
    scripted.type = q->type;
    scripted.flags = q->flags;
    return n ? n->delay : 0;
}

static inline int scripted_start(struct eddy_resolver *r, struct eddy_query *q)
{
    eddy_nsec delay = scripted_ask(q);
    struct scripted_work *w = scripted.work;

    q->work = NULL;
    if (scripted.asked == scripted.refuse)
        return -ENOMEM;
    if (delay == 0) {
        scripted_answer(q);
        return 0;
    }
    while (w < scripted.work + SCRIPTED_PENDING - 1 && w->query)
        w++;
    w->query = q;
    w->timer.fn = scripted_due;
    q->work = w;
    eddy_loop_call_later(r->loop, &w->timer, delay);
    return 0;
}

static inline void scripted_cancel(struct eddy_resolver *r, struct eddy_query *q)
{
    struct scripted_work *w = q->work;

    (void)r;
    scripted.cancelled++;
    CHECK(w && w->query == q);
    w->query = NULL;
    eddy_timer_cancel(&w->timer);
}

static inline int scripted_start_and_wait(struct eddy_resolver *r, struct eddy_query *q,
                                          eddy_nsec timeout)
{
    (void)r;
    if (scripted_ask(q) > timeout)
        return -ETIMEDOUT;
    scripted_answer(q);
    return 0;
}

static const struct eddy_resolver_class scripted_class = {
    .name = "scripted",
    .abi_size = sizeof(struct eddy_resolver_class),
    .open = scripted_open,
    .close = scripted_close,
    .start = scripted_start,
    .cancel = scripted_cancel,
    .start_and_wait = scripted_start_and_wait,
};

/* A loop on the backend under test that asks it. */
static inline struct eddy_loop *scripted_loop(const struct scripted_name *names)
{
    struct eddy_loop *made = NULL;

    scripted_begin(names);
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &scripted_class, .no_cache = true)),
                &made) == 0);
    return made;
}

#endif
