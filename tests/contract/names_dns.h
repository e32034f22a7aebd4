/*
 * What the cases of names by DNS begin and end with: a name server, and a loop that asks c-ares and
 * so this server; and queries that remember what became of them.
 */
#ifndef TESTS_CONTRACT_NAMES_DNS_H
#define TESTS_CONTRACT_NAMES_DNS_H

#include "tests/support/dns.h"
#include "tests/support/test.h"
#include <eddy/resolver.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static struct dns dns;
static struct eddy_loop *loop;

struct asker {
    struct eddy_query query;
    int calls; /* of done */
    int code, detail;
    char why[EDDY_ERROR_TEXT];
    void *answer;
    eddy_nsec begun, took;
    void (*then)(struct asker *a);
    void *user;
};

/* ---- asking ---- */

static inline void asker_done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct asker *a = EDDY_CONTAINER_OF(q, struct asker, query);

    a->calls++;
    a->took = eddy_loop_time(loop) - a->begun;
    eddy_answer_free(a->answer);
    a->answer = answer;
    a->code = error ? error->code : 0;
    a->detail = error ? error->detail : 0;
    snprintf(a->why, sizeof a->why, "%s", error ? error->text : "");
    CHECK(!answer == !!error);
    if (a->then)
        a->then(a);
}

/* Asks again, if it is done. */
static inline void start(struct asker *a)
{
    a->query.done = asker_done;
    a->begun = eddy_loop_time(loop);
    REQUIRE(eddy_query_start(loop, &a->query, NULL) == 0);
}

static inline struct asker *ask(struct asker *a, const char *host, int family)
{
    *a = (struct asker){.query = {.host = host, .family = family, .type = SOCK_STREAM}};
    start(a);
    return a;
}

static inline bool is_answered(void *asker)
{
    struct asker *a = asker;

    return a->calls > 0;
}

static inline void wait_for(struct asker *a)
{
    REQUIRE(test_run_until(loop, is_answered, a));
    CHECK_INT(a->calls, 1);
}

static inline void forget(struct asker *a)
{
    eddy_query_cancel(&a->query);
    eddy_answer_free(a->answer);
    a->answer = NULL;
}

/* ---- what was answered ---- */

/* "192.0.2.1 2001:db8::1"; no more than fit. */
static inline const char *addresses_of(const struct asker *a)
{
    static char text[8192];
    const struct eddy_addresses *as = a->answer;
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; as && i < as->count && len + INET6_ADDRSTRLEN + 2 < sizeof text; i++) {
        const struct eddy_addr *addr = &as->list[i].addr;
        char one[INET6_ADDRSTRLEN];
        const void *bytes = addr->u.sa.sa_family == AF_INET6 ? (const void *)&addr->u.in6.sin6_addr
                                                             : &addr->u.in.sin_addr;

        inet_ntop(addr->u.sa.sa_family, bytes, one, sizeof one);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "", one);
    }
    return text;
}

static inline size_t count_of(const struct asker *a)
{
    const struct eddy_addresses *as = a->answer;

    return as ? as->count : 0;
}

#define CHECK_ADDRESSES(a, expected)            \
    do {                                        \
        CHECK_STR((a)->why, "");                \
        CHECK_STR(addresses_of(a), (expected)); \
    } while (0)

/* Asks, waits, compares and forgets. */
#define CHECK_LOOKUP(host, family, expected)      \
    do {                                          \
        struct asker asker_;                      \
        wait_for(ask(&asker_, (host), (family))); \
        CHECK_ADDRESSES(&asker_, (expected));     \
        forget(&asker_);                          \
    } while (0)
#define CHECK_NO_LOOKUP(host, family, expected_code, expected_detail) \
    do {                                                              \
        struct asker asker_;                                          \
        wait_for(ask(&asker_, (host), (family)));                     \
        CHECK_STR(addresses_of(&asker_), "");                         \
        CHECK_INT(asker_.code, (expected_code));                      \
        CHECK_INT(asker_.detail, (expected_detail));                  \
        forget(&asker_);                                              \
    } while (0)

/* ---- the loop and the server ---- */

static inline bool have_cares(void)
{
    for (unsigned i = 0; eddy_resolver_name(i); i++)
        if (strcmp(eddy_resolver_name(i), "c-ares") == 0)
            return true;
    return false;
}

/* Built without c-ares there is nothing to be seen here. */
static inline void open_server(void)
{
    if (!have_cares())
        test_end_case();
    REQUIRE(dns_open(&dns, NULL) == 0);
}

/* What is left open in the options: our server, and no file. No text of servers: the file's. */
static inline void begin_loop(const struct eddy_resolver_opts *opts)
{
    struct eddy_resolver_opts o = *opts;

    if (!o.name)
        o.name = "c-ares";
    if (!o.resolv_conf)
        o.resolv_conf = "/dev/null";
    if (!o.servers)
        o.servers = dns.servers;
    else if (!*o.servers)
        o.servers = NULL;
    loop = NULL;
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = &o), &loop) == 0);
    REQUIRE(dns_serve(&dns, loop) == 0);
}

static inline void begin_with(const struct eddy_resolver_opts *opts)
{
    open_server();
    begin_loop(opts);
}

/* Nobody is in a hurry: what is asked is asked once, however busy the machine is. */
static inline void begin(void)
{
    begin_with(EDDY_RESOLVER(.try_timeout = EDDY_SEC(20)));
}

static inline void end(void)
{
    test_loop_free(loop);
    dns_close(&dns);
}

/* ---- conditions to run the loop until ---- */

/* That the server was asked so often. */
static inline bool is_asked(void *times)
{
    return dns.asked >= *(int *)times;
}

static inline void wait_until_asked(int times)
{
    REQUIRE(test_run_until(loop, is_asked, &times));
}

static inline bool is_held(void *times)
{
    return dns.held >= *(int *)times;
}

static inline void wait_until_held(int times)
{
    REQUIRE(test_run_until(loop, is_held, &times));
}

#endif
