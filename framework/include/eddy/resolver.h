/*
 * Names: the addresses behind a name, the name behind an address, and where a service is served.
 * (asyncio: getaddrinfo, getnameinfo; contract L78-L83.)
 *
 * Who answers is chosen per loop (eddy_loop_opts.resolver): c-ares, which asks the hosts file and
 * the name servers on the loop itself, or the system's getaddrinfo in threads, which also knows
 * what else a system is configured to ask (NSS). Both are started when they are first needed. What
 * is numeric already is answered by neither. They give the same answers, but that c-ares knows
 * "localhost" by itself where the hosts file does not (RFC 6761 6.3).
 *
 * Every look-up ends by its time-out, can be cancelled at any time, and is answered from the loop,
 * never inside the call. All calls are for the loop's thread.
 *
 * Two forms. eddy_getaddrinfo() and its like give a future. A struct eddy_query is the node below
 * it, embedded in a struct of yours.
 */
#ifndef EDDY_RESOLVER_H
#define EDDY_RESOLVER_H

#include <eddy/addr.h>
#include <eddy/base.h>
#include <eddy/future.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- answers: each is one piece of memory, and read-only ---- */

struct eddy_addrinfo {
    struct eddy_addr addr; /* with the port */
    int type;              /* SOCK_STREAM ... */
    int protocol;          /* IPPROTO_TCP ... */
};

/* At least one, the best first (RFC 6724); at most 256 addresses, whatever a name server says. */
struct eddy_addresses {
    size_t count;
    const struct eddy_addrinfo *list;
    const char *canonical_name; /* NULL unless asked for by AI_CANONNAME */
};

struct eddy_names {
    const char *host, *service; /* in numbers if there is no name */
};

/* One server of a service (RFC 2782). */
struct eddy_service {
    uint16_t priority, weight, port;
    const char *target; /* its name; "." if the service is decidedly not there */
};

/* In the order in which they are to be tried: by priority, among equals drawn by weight. */
struct eddy_services {
    size_t count;
    const struct eddy_service *list;
};

/* For an answer that a query gave you; NULL is fine. (A future frees its own.) */
EDDY_API void eddy_answer_free(void *answer);

/* ---- futures ---- */

struct eddy_lookup_opts {
    size_t abi_size;
    const char *site;    /* set by EDDY_LOOKUP */
    const char *host;    /* a name, or a numeric address; NULL: loopback, or with AI_PASSIVE all
                            interfaces */
    const char *service; /* "http", or a number; NULL: .port */
    int port;
    int family;        /* AF_INET or AF_INET6; 0: both */
    int type;          /* SOCK_STREAM ...; 0: all */
    int protocol;      /* IPPROTO_TCP ...; 0: whatever goes with the type */
    int flags;         /* AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_ADDRCONFIG */
    eddy_nsec timeout; /* 0: 30 s; EDDY_OFF: as long as the resolver tries */
    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org", .port = 80), &future) */
#define EDDY_LOOKUP(...)                                                         \
    EDDY_LITERAL_(eddy_lookup_opts, .abi_size = sizeof(struct eddy_lookup_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* The future's value is a struct eddy_addresses, good as long as the future. Its error: EDDY_EDNS,
 * with one of getaddrinfo's EAI_* as .detail (EAI_NONAME: no such name, or none of that family;
 * EAI_AGAIN: nobody answered sensibly; EAI_SERVICE, EAI_FAIL and others); -ETIMEDOUT; -ENOMEM;
 * EDDY_ELOOP_CLOSED. The call's: -EINVAL (bad options, unknown flags); -ENOMEM; -E2BIG;
 * EDDY_ELOOP_CLOSED; or why the resolver cannot work here. */
EDDY_API int eddy_getaddrinfo(struct eddy_loop *loop, const struct eddy_lookup_opts *opts,
                              struct eddy_future **ret);

/* The future's value is a struct eddy_names. flags: NI_NUMERICHOST, NI_NUMERICSERV, NI_NAMEREQD,
 * NI_DGRAM, NI_NOFQDN. timeout as in eddy_lookup_opts; errors as above. */
EDDY_API int eddy_getnameinfo(struct eddy_loop *loop, const struct eddy_addr *addr, int flags,
                              eddy_nsec timeout, struct eddy_future **ret);

/* Where "_imaps._tcp.example.org" is served: the future's value is a struct eddy_services. timeout
 * as in eddy_lookup_opts; errors as above, and EDDY_ENOT_SUPPORTED: the system's resolver cannot.
 */
EDDY_API int eddy_getservices(struct eddy_loop *loop, const char *name, eddy_nsec timeout,
                              struct eddy_future **ret);

/* ---- queries: nodes ---- */

enum eddy_query_kind {
    EDDY_QUERY_ADDRESSES, /* the answer is a struct eddy_addresses */
    EDDY_QUERY_NAMES,     /* struct eddy_names */
    EDDY_QUERY_SERVICES,  /* struct eddy_services */
};

/* Zero it, set what the question needs, and start it. The strings are borrowed until it is done or
 * cancelled. The members that end in _ are the library's. */
struct eddy_query {
    /* Once, from the loop. error NULL: `answer` is there, and yours. The node is yours again: free
     * it, or ask once more. (eddy_query_now does not call it.) */
    void (*done)(struct eddy_query *q, void *answer, const struct eddy_error *error);
    enum eddy_query_kind kind;
    const char *host;    /* ADDRESSES, SERVICES */
    const char *service; /* ADDRESSES, as the rest but addr */
    int port, family, type, protocol;
    int flags;             /* AI_*; NAMES: NI_* */
    struct eddy_addr addr; /* NAMES */
    eddy_nsec timeout;     /* as in eddy_lookup_opts */
    void *work;            /* the resolver's, while it is at work on it */

    struct eddy_loop *loop_;
    struct eddy_link link_;
    struct eddy_handle handle_;
    struct eddy_timer deadline_;
    eddy_nsec begun_;
    void *answer_;
    struct eddy_error error_;
    uint32_t state_;
    uint32_t reserved_;
};

/* Errors as those of eddy_getaddrinfo, with their reason in *error (may be NULL), and -EALREADY
 * while it is pending; then done is not called. */
EDDY_API int eddy_query_start(struct eddy_loop *loop, struct eddy_query *q,
                              struct eddy_error *error);
/* Final at once: done is not called, and the node is yours. Harmless when it is not pending. */
EDDY_API void eddy_query_cancel(struct eddy_query *q);
EDDY_API bool eddy_query_is_pending(const struct eddy_query *q);
/* Asks, and waits for the answer here: the loop stands still meanwhile. For what has to be known
 * before anything runs, such as a server's address. EDDY_ENOT_SUPPORTED if the resolver cannot;
 * errors as those of the future and of the call. *ret_answer is yours. */
EDDY_API int eddy_query_now(struct eddy_loop *loop, struct eddy_query *q, struct eddy_error *error,
                            void **ret_answer);

/* ---- choosing a resolver ---- */

struct eddy_resolver_class;

struct eddy_resolver_opts {
    size_t abi_size;
    const char *name; /* "c-ares" or "threads"; NULL: the environment's EDDY_RESOLVER, else the
                         first of these that was built in */
    const struct eddy_resolver_class *cls; /* instead: one of yours */
    void *user;                            /* ... for its open */
    unsigned cache; /* most answers kept, within their time to live; 0: 1,000 */
    bool no_cache;
    unsigned
        threads; /* "threads": most at a time, others wait, which their time-out counts; 0: 8 */
    /* c-ares only */
    const char *servers;     /* in place of resolv.conf's: "192.0.2.1,[2001:db8::1]:5353" */
    const char *resolv_conf; /* this file, in place of /etc/resolv.conf */
    eddy_nsec try_timeout;   /* per server and try; 0: resolv.conf's, else c-ares's own; longer
                                in each round */
    int tries;               /* rounds; 0: as above */
    void *reserved[4];
};

/* eddy_loop_new(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = "threads")), &loop) */
#define EDDY_RESOLVER(...) \
    EDDY_LITERAL_(eddy_resolver_opts, .abi_size = sizeof(struct eddy_resolver_opts), __VA_ARGS__)

/* The resolvers of this build, the default one first, for listing: NULL when i is past the last. */
EDDY_API const char *eddy_resolver_name(unsigned i);

/* ---- for authors of resolvers ---- */

/* Embed first and extend. `open` fills it in. */
struct eddy_resolver {
    const struct eddy_resolver_class *cls;
    struct eddy_loop *loop;
};

struct eddy_resolver_class {
    const char *name;
    uint32_t abi_size; /* sizeof(struct eddy_resolver_class) */

    /* The loop's first question is asked. The options live as long as the resolver. */
    int (*open)(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                struct eddy_error *error, struct eddy_resolver **ret);
    /* The loop is closing, or a forked child's: every query was cancelled, or will be started again
     * elsewhere. Nothing of the resolver is called any more. */
    void (*close)(struct eddy_resolver *r);
    /* Begins. 0: one of the calls below follows, from inside this one or later, unless it is
     * cancelled first. < 0: nothing was begun. q->work is yours until then. Numeric questions do
     * not come here. */
    int (*start)(struct eddy_resolver *r, struct eddy_query *q);
    /* Nothing is to be said of q any more; its strings go. Does not call back. */
    void (*cancel)(struct eddy_resolver *r, struct eddy_query *q);
    /* As start, and does not return before the answer was given, or this much time has passed: then
     * -ETIMEDOUT. NULL: not supported. */
    int (*start_and_wait)(struct eddy_resolver *r, struct eddy_query *q, eddy_nsec timeout);
    /* The cache is about to be asked: whoever notices here that the system's configuration has
     * changed calls eddy_resolver_forget. NULL: nothing. */
    void (*refresh)(struct eddy_resolver *r);
};

/* The answer to a question for addresses, best first; everything is copied. Ports are looked at
 * only if q->service is given. ttl: for so long it may be given again; 0: not at all. n of 0 is a
 * failure. */
EDDY_API void eddy_query_give_addresses(struct eddy_query *q, const struct eddy_addr *list,
                                        size_t n, const char *canonical_name, eddy_nsec ttl);
EDDY_API void eddy_query_give_names(struct eddy_query *q, const char *host, const char *service);
/* In any order. */
EDDY_API void eddy_query_give_services(struct eddy_query *q, const struct eddy_service *list,
                                       size_t n);
/* code: -errno, or EDDY_EDNS with an EAI_* as detail; `why`: its cause in words. */
EDDY_API void eddy_query_fail(struct eddy_query *q, int code, int detail, const char *why);
/* What is cached may be wrong: the system's configuration has changed. */
EDDY_API void eddy_resolver_forget(struct eddy_resolver *r);

#ifdef __cplusplus
}
#endif
#endif
