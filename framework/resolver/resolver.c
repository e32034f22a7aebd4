/* Queries: from the question to `done`, whoever answers. */
#include "framework/resolver/resolver.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT EDDY_SEC(30)
#define DEFAULT_CACHE 1000
#define MOST_ADDRESSES 256 /* of one name: what anybody needs, whatever a name server says */

/* q->state_ */
enum {
    IDLE,
    ASKED,    /* the resolver is at work on it */
    ANSWERED, /* q->handle_ runs next */
};

/* ---- which resolver ---- */

static const struct eddy_resolver_class *const resolvers[] = {
#ifdef EDDY_HAVE_CARES
    &eddy_cares_resolver,
#endif
    &eddy_threads_resolver,
};

#define RESOLVERS (sizeof resolvers / sizeof *resolvers)

const char *eddy_resolver_name(unsigned i)
{
    return i < RESOLVERS ? resolvers[i]->name : NULL;
}

static const struct eddy_resolver_class *find_class(const char *name)
{
    if (!name)
        name = getenv("EDDY_RESOLVER");
    if (!name || !*name)
        return resolvers[0];
    for (size_t i = 0; i < RESOLVERS; i++)
        if (strcmp(resolvers[i]->name, name) == 0)
            return resolvers[i];
    return NULL;
}

static int open_resolver(struct eddy_loop *loop, struct eddy_error *error)
{
    struct eddy_naming *n = &loop->naming;
    struct eddy_error said = {.code = 0};

    if (n->resolver)
        return 0;
    int rc = n->opts->cls->open(loop, n->opts, &said, &n->resolver);
    if (rc < 0) {
        n->resolver = NULL;
        if (!said.code)
            eddy_error_set(&said, rc, "resolve", "cannot open resolver \"%s\": %s",
                           n->opts->cls->name, eddy_strerror(rc));
        if (error)
            *error = said;
        return rc;
    }
    n->resolver->cls = n->opts->cls;
    n->resolver->loop = loop;
    if (!n->cache && !n->opts->no_cache)
        n->cache = eddy_cache_new(n->opts->cache ? n->opts->cache : DEFAULT_CACHE);
    return 0;
}

static void close_resolver(struct eddy_loop *loop)
{
    struct eddy_resolver *r = loop->naming.resolver;

    loop->naming.resolver = NULL;
    if (r)
        r->cls->close(r);
}

void eddy_resolver_forget(struct eddy_resolver *r)
{
    if (r->loop->naming.cache)
        eddy_cache_clear(r->loop->naming.cache);
}

/* ---- the end of a query ---- */

static const char *what_is_asked(const struct eddy_query *q, char *buf, size_t size)
{
    return q->kind == EDDY_QUERY_NAMES ? eddy_addr_format(&q->addr, buf, size)
           : q->host                   ? q->host
                                       : "NULL";
}

/* Contract L54. */
static void log_time(const struct eddy_query *q)
{
    struct eddy_loop *loop = q->loop_;
    eddy_nsec took = eddy_loop_clock(loop) - q->begun_;
    char text[EDDY_ADDR_TEXT];

    if (loop->debug)
        eddy_loop_log(loop, took >= loop->slow_callback ? EDDY_LOG_INFO : EDDY_LOG_DEBUG,
                      "resolver", "Get address info %s took %.3f ms: %s",
                      what_is_asked(q, text, sizeof text), (double)took / 1e6,
                      q->error_.code ? q->error_.text : "success");
}

static void let_go(struct eddy_query *q)
{
    q->state_ = IDLE;
    eddy_link_remove(&q->link_);
    eddy_handle_cancel(&q->handle_);
    eddy_timer_cancel(&q->deadline_);
}

/* What it was told meanwhile goes, too. */
static void drop(struct eddy_query *q)
{
    let_go(q);
    eddy_answer_free(q->answer_);
    q->answer_ = NULL;
}

static void finish(struct eddy_query *q)
{
    struct eddy_error e = q->error_;
    void *answer = q->answer_;

    log_time(q);
    let_go(q);
    q->answer_ = NULL;
    q->done(q, answer, e.code ? &e : NULL); /* q may be gone */
}

static void run_finish(struct eddy_handle *h)
{
    finish(EDDY_CONTAINER_OF(h, struct eddy_query, handle_));
}

static void answered(struct eddy_query *q)
{
    q->state_ = ANSWERED;
    eddy_timer_cancel(&q->deadline_);
    q->handle_.fn = run_finish;
    eddy_loop_call_soon(q->loop_, &q->handle_); /* a closing loop finds it in its list */
}

/* ---- what resolvers say ---- */

static void set_error(struct eddy_query *q, int code, int detail, const char *why)
{
    char text[EDDY_ADDR_TEXT];

    eddy_error_set(&q->error_, code, "resolve", "look up %.100s: %s",
                   what_is_asked(q, text, sizeof text), why ? why : eddy_strerror(code));
    q->error_.detail = detail;
}

void eddy_query_fail(struct eddy_query *q, int code, int detail, const char *why)
{
    if (q->state_ != ASKED)
        return;
    set_error(q, code, detail, why);
    answered(q);
}

static void give(struct eddy_query *q, void *answer)
{
    if (!answer) {
        eddy_query_fail(q, -ENOMEM, 0, NULL);
        return;
    }
    q->answer_ = answer;
    answered(q);
}

static void give_addresses(struct eddy_query *q, const struct eddy_addr *list, size_t n,
                           const char *canonical_name)
{
    if (n == 0)
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "no address");
    else
        give(q, eddy_addresses_new(q, list, n, canonical_name));
}

void eddy_query_give_addresses(struct eddy_query *q, const struct eddy_addr *list, size_t n,
                               const char *canonical_name, eddy_nsec ttl)
{
    struct eddy_cache *cache = q->loop_->naming.cache;

    if (q->state_ != ASKED)
        return;
    if (n > MOST_ADDRESSES)
        n = MOST_ADDRESSES;
    if (cache && ttl > 0 && n > 0)
        eddy_cache_put(cache, q, list, n, canonical_name, eddy_loop_clock(q->loop_) + ttl);
    give_addresses(q, list, n, canonical_name);
}

void eddy_query_give_names(struct eddy_query *q, const char *host, const char *service)
{
    if (q->state_ == ASKED)
        give(q, eddy_names_new(host, service));
}

void eddy_query_give_services(struct eddy_query *q, const struct eddy_service *list, size_t n)
{
    if (q->state_ != ASKED)
        return;
    if (n == 0)
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "no such service");
    else
        give(q, eddy_services_new(list, n));
}

/* ---- asking ---- */

static void stop_asking(struct eddy_query *q)
{
    struct eddy_resolver *r = q->loop_->naming.resolver;

    if (q->state_ == ASKED && r)
        r->cls->cancel(r, q);
}

static eddy_nsec patience(const struct eddy_query *q)
{
    return q->timeout ? q->timeout : DEFAULT_TIMEOUT;
}

static void set_too_late(struct eddy_query *q)
{
    char cause[64];

    snprintf(cause, sizeof cause, "no answer within %.3g seconds", (double)patience(q) / 1e9);
    set_error(q, -ETIMEDOUT, 0, cause);
}

static void too_late(struct eddy_timer *t)
{
    struct eddy_query *q = EDDY_CONTAINER_OF(t, struct eddy_query, deadline_);

    stop_asking(q);
    set_too_late(q);
    finish(q);
}

/* True if there is one that is still good. */
static bool answer_from_cache(struct eddy_query *q)
{
    struct eddy_naming *naming = &q->loop_->naming;
    const struct eddy_addr *list;
    const char *canonical;
    size_t n;

    if (!naming->cache)
        return false;
    if (naming->resolver && naming->resolver->cls->refresh)
        naming->resolver->cls->refresh(naming->resolver);
    if (!eddy_cache_get(naming->cache, q, eddy_loop_clock(q->loop_), &list, &n, &canonical))
        return false;
    give_addresses(q, list, n, canonical);
    return true;
}

/* If numbers are all that is wanted of an address. */
static bool answer_in_numbers(struct eddy_query *q)
{
    const int numbers = NI_NUMERICHOST | NI_NUMERICSERV;
    char host[NI_MAXHOST], service[NI_MAXSERV];

    if ((q->flags & numbers) != numbers || (q->flags & NI_NAMEREQD))
        return false;
    int rc = getnameinfo(&q->addr.u.sa, q->addr.len, host, sizeof host, service, sizeof service,
                         q->flags);
    if (rc != 0)
        eddy_query_fail(q, EDDY_EDNS, rc, gai_strerror(rc));
    else
        eddy_query_give_names(q, host, service);
    return true;
}

/* Without asking anybody: true if that is all. */
static bool answer_here(struct eddy_query *q)
{
    struct eddy_addr own[2];
    const char *why;
    int detail;

    if (q->kind == EDDY_QUERY_NAMES)
        return answer_in_numbers(q);
    if (q->kind != EDDY_QUERY_ADDRESSES)
        return false;
    int found = eddy_query_numeric(q, own, &detail, &why);
    if (found < 0)
        eddy_query_fail(q, EDDY_EDNS, detail, why);
    else if (found > 0)
        give_addresses(q, own, (size_t)found, q->host);
    else
        return answer_from_cache(q);
    return true;
}

static bool is_of_internet(int family)
{
    return family == AF_INET || family == AF_INET6;
}

static bool is_address(const struct eddy_addr *a)
{
    return (a->len >= sizeof a->u.in && a->u.sa.sa_family == AF_INET) ||
           (a->len >= sizeof a->u.in6 && a->u.sa.sa_family == AF_INET6);
}

/* NULL: none. */
static const char *objection(const struct eddy_query *q)
{
    int known = q->kind == EDDY_QUERY_NAMES
                    ? NI_NUMERICHOST | NI_NUMERICSERV | NI_NAMEREQD | NI_DGRAM | NI_NOFQDN
                    : AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG;

    if (q->kind > EDDY_QUERY_SERVICES)
        return "no such kind";
    if (q->flags & ~known)
        return "unknown flags";
    if (q->timeout < 0 && q->timeout != EDDY_OFF)
        return ".timeout is negative";
    if (q->kind == EDDY_QUERY_SERVICES && !q->host)
        return "no name";
    if (q->kind == EDDY_QUERY_NAMES && !is_address(&q->addr))
        return "not an address of the internet";
    if (q->kind != EDDY_QUERY_ADDRESSES)
        return NULL;
    if (q->port < 0 || q->port > 65535)
        return ".port is out of range";
    if (q->family != AF_UNSPEC && !is_of_internet(q->family))
        return ".family is not of the internet";
    return q->type < 0 || q->protocol < 0 ? ".type or .protocol is negative" : NULL;
}

static int check(struct eddy_loop *loop, const struct eddy_query *q, struct eddy_error *error)
{
    if (q->state_ != IDLE)
        return eddy_error_set(error, -EALREADY, "resolve", "look-up: it is pending");
    const char *why = objection(q);
    if (why)
        return eddy_error_set(error, -EINVAL, "resolve", "look-up: %s", why);
    if (!eddy_loop_is_open(loop))
        return eddy_error_set(error, EDDY_ELOOP_CLOSED, "resolve", "look-up: %s",
                              eddy_strerror(EDDY_ELOOP_CLOSED));
    return 0;
}

/* From here on the query is the loop's. */
static void take(struct eddy_loop *loop, struct eddy_query *q)
{
    q->loop_ = loop;
    q->error_.code = 0;
    q->begun_ = eddy_loop_clock(loop);
    q->deadline_.fn = too_late;
    q->state_ = ASKED;
    eddy_list_append(&loop->naming.queries, &q->link_);
}

static int ask(struct eddy_query *q, struct eddy_error *error)
{
    struct eddy_resolver *r = q->loop_->naming.resolver;
    int rc = r->cls->start(r, q);

    if (rc < 0) {
        set_error(q, rc, 0, NULL);
        if (error)
            *error = q->error_;
        drop(q);
        return rc;
    }
    if (q->state_ == ASKED && patience(q) > 0)
        eddy_loop_call_later(q->loop_, &q->deadline_, patience(q));
    return 0;
}

int eddy_query_start(struct eddy_loop *loop, struct eddy_query *q, struct eddy_error *error)
{
    if (!loop || !q || !q->done)
        return -EINVAL;
    int rc = check(loop, q, error);
    if (rc < 0)
        return rc;
    take(loop, q);
    if (answer_here(q))
        return 0;
    rc = open_resolver(loop, error);
    if (rc < 0) {
        let_go(q);
        return rc;
    }
    return ask(q, error);
}

void eddy_query_cancel(struct eddy_query *q)
{
    if (!q || q->state_ == IDLE)
        return;
    stop_asking(q);
    drop(q);
}

bool eddy_query_is_pending(const struct eddy_query *q)
{
    return q && q->state_ != IDLE;
}

/* ---- waiting for it here ---- */

static void wait_for_answer(struct eddy_query *q)
{
    int rc = open_resolver(q->loop_, &q->error_);

    if (rc < 0)
        return;
    struct eddy_resolver *r = q->loop_->naming.resolver;
    rc = r->cls->start_and_wait
             ? r->cls->start_and_wait(r, q, patience(q) > 0 ? patience(q) : EDDY_FOREVER)
             : EDDY_ENOT_SUPPORTED;
    if (rc == -ETIMEDOUT)
        set_too_late(q);
    else if (rc < 0 || q->state_ == ASKED)
        set_error(q, rc < 0 ? rc : -EIO, 0, NULL);
}

int eddy_query_now(struct eddy_loop *loop, struct eddy_query *q, struct eddy_error *error,
                   void **ret_answer)
{
    if (!loop || !q || !ret_answer)
        return -EINVAL;
    int rc = check(loop, q, error);
    if (rc < 0)
        return rc;
    take(loop, q);
    if (!answer_here(q))
        wait_for_answer(q);
    log_time(q);
    let_go(q);
    void *answer = q->answer_;
    q->answer_ = NULL;
    if (!q->error_.code) {
        *ret_answer = answer;
        return 0;
    }
    eddy_answer_free(answer);
    if (error)
        *error = q->error_;
    return q->error_.code;
}

/* ---- the loop ---- */

static char *put(char **at, const char *text)
{
    char *copy = *at;

    if (!text)
        return NULL;
    *at = stpcpy(copy, text) + 1;
    return copy;
}

static size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static int check_class(const struct eddy_resolver_class *cls)
{
    int rc = eddy_opts_check(cls, cls->abi_size, sizeof *cls);

    return rc == 0 && !(cls->name && cls->open && cls->close && cls->start && cls->cancel) ? -EINVAL
                                                                                           : rc;
}

int eddy_naming_init(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                     struct eddy_error *error)
{
    static const struct eddy_resolver_opts defaults = {.abi_size = sizeof defaults};
    struct eddy_naming *n = &loop->naming;

    if (!opts)
        opts = &defaults;
    eddy_list_init(&n->queries);
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc < 0)
        return eddy_error_set(error, rc, "new loop", ".resolver: not by EDDY_RESOLVER");
    const struct eddy_resolver_class *cls = opts->cls ? opts->cls : find_class(opts->name);
    if (!cls)
        return eddy_error_set(error, -EINVAL, "new loop",
                              "there is no resolver \"%s\" here, but %s%s",
                              opts->name ? opts->name : getenv("EDDY_RESOLVER"),
                              RESOLVERS > 1 ? "c-ares and " : "", resolvers[RESOLVERS - 1]->name);
    rc = opts->cls ? check_class(cls) : 0;
    if (rc < 0)
        return eddy_error_set(error, rc, "new loop", ".resolver: its class lacks something");
    if (opts->try_timeout < 0 || opts->tries < 0)
        return eddy_error_set(error, -EINVAL, "new loop", ".resolver: a negative option");
    n->opts = eddy_zalloc(sizeof *opts + room(opts->servers) + room(opts->resolv_conf));
    if (!n->opts)
        return eddy_error_set(error, -ENOMEM, "new loop", "no memory for a loop");
    *n->opts = *opts;
    char *at = (char *)(n->opts + 1);
    n->opts->abi_size = sizeof *opts;
    n->opts->cls = cls;
    n->opts->name = cls->name;
    n->opts->servers = put(&at, opts->servers);
    n->opts->resolv_conf = put(&at, opts->resolv_conf);
    return 0;
}

void eddy_naming_close(struct eddy_loop *loop)
{
    struct eddy_link *l;

    while ((l = loop->naming.queries.next) != &loop->naming.queries) {
        struct eddy_query *q = EDDY_CONTAINER_OF(l, struct eddy_query, link_);

        stop_asking(q);
        eddy_answer_free(q->answer_);
        q->answer_ = NULL;
        set_error(q, EDDY_ELOOP_CLOSED, 0, NULL);
        finish(q);
    }
    close_resolver(loop);
}

void eddy_naming_forked(struct eddy_loop *loop)
{
    struct eddy_link again, *l;

    for (l = loop->naming.queries.next; l != &loop->naming.queries; l = l->next)
        stop_asking(EDDY_CONTAINER_OF(l, struct eddy_query, link_));
    close_resolver(loop);
    eddy_list_init(&again);
    eddy_list_splice(&again, &loop->naming.queries);
    while ((l = eddy_list_pop(&again)) != NULL) {
        struct eddy_query *q = EDDY_CONTAINER_OF(l, struct eddy_query, link_);

        eddy_list_append(&loop->naming.queries, l);
        if (q->state_ != ASKED)
            continue;
        int rc = open_resolver(loop, NULL);
        if (rc == 0)
            rc = loop->naming.resolver->cls->start(loop->naming.resolver, q);
        if (rc < 0)
            eddy_query_fail(q, rc, 0, NULL);
    }
}

void eddy_naming_fini(struct eddy_loop *loop)
{
    eddy_cache_free(loop->naming.cache);
    eddy_free(loop->naming.opts);
}
