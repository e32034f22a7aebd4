/* The loop's side of names: the queries in flight, and whoever answers them. */
#ifndef EDDY_RESOLVER_RESOLVER_H
#define EDDY_RESOLVER_RESOLVER_H

#include "framework/base/list.h"
#include <eddy/resolver.h>

struct eddy_cache;

/* A member of the loop. */
struct eddy_naming {
    struct eddy_resolver_opts *opts; /* with the strings behind it */
    struct eddy_resolver *resolver;  /* NULL: not needed yet */
    struct eddy_cache *cache;        /* NULL: there is none */
    struct eddy_link queries;        /* struct eddy_query */
};

/* Copies the options (NULL: defaults): -EINVAL, -E2BIG, -ENOMEM. */
int eddy_naming_init(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                     struct eddy_error *error);
/* The loop closes: every query is done, with EDDY_ELOOP_CLOSED; then the resolver goes. */
void eddy_naming_close(struct eddy_loop *loop);
/* In a forked child, whose parent goes on using what there is: another resolver, asked again. */
void eddy_naming_forked(struct eddy_loop *loop);
void eddy_naming_fini(struct eddy_loop *loop);

/* ---- the classes ---- */

extern const struct eddy_resolver_class eddy_cares_resolver;   /* cares.c */
extern const struct eddy_resolver_class eddy_threads_resolver; /* threadpool.c */

/* ---- answer.c ---- */

/* NULL: no memory. */
struct eddy_addresses *eddy_addresses_new(const struct eddy_query *q, const struct eddy_addr *list,
                                          size_t n, const char *canonical_name);
/* Of an address of the internet. */
void eddy_answer_set_port(struct eddy_addr *a, long port);
struct eddy_names *eddy_names_new(const char *host, const char *service);
struct eddy_services *eddy_services_new(const struct eddy_service *list, size_t n);
/* What is numeric, or no name: 1 and the addresses; 0: to be looked up; or < 0 with *ret_detail and
 * *ret_why. Room for two. */
int eddy_query_numeric(const struct eddy_query *q, struct eddy_addr ret[2], int *ret_detail,
                       const char **ret_why);

/* ---- cache.c: answers for addresses, within their time to live ---- */

/* NULL: no memory. */
struct eddy_cache *eddy_cache_new(unsigned most);
void eddy_cache_free(struct eddy_cache *c); /* NULL is fine */
/* What fails for want of memory is not kept. */
void eddy_cache_put(struct eddy_cache *c, const struct eddy_query *q, const struct eddy_addr *list,
                    size_t n, const char *canonical_name, eddy_nsec until);
/* Lent until the next call; false: there is none, or it is too old. */
bool eddy_cache_get(struct eddy_cache *c, const struct eddy_query *q, eddy_nsec now,
                    const struct eddy_addr **ret_list, size_t *ret_n, const char **ret_canonical);
void eddy_cache_clear(struct eddy_cache *c);

#endif
