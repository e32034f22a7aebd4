/*
 * What the tests of names share: questions that remember how they ended, answers as text, and a
 * resolver that says what a test has it say, when the test says so.
 */
#ifndef TESTS_CONTRACT_NAMES_H
#define TESTS_CONTRACT_NAMES_H

#include "tests/support/test.h"
#include <eddy/resolver.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* ---- questions ---- */

struct asked {
    struct eddy_query q;
    struct test_trace *trace; /* may be NULL; gets "name(0)", "name(ETIMEDOUT)" */
    const char *name;
    void (*then)(struct asked *a);
    void *user;
    bool done;
    int dones, code, detail;
    char text[EDDY_ERROR_TEXT];
    eddy_nsec when;
    void *answer;
};

static inline const char *code_text(int code)
{
    return code == EDDY_EDNS ? "EDNS" : test_code(code);
}

static inline void asked_done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct asked *a = EDDY_CONTAINER_OF(q, struct asked, q);

    a->dones++;
    a->when = eddy_loop_time(q->loop_);
    a->answer = answer;
    a->code = error ? error->code : 0;
    a->detail = error ? error->detail : 0;
    snprintf(a->text, sizeof a->text, "%s", error ? error->text : "");
    CHECK(!answer == !!error);
    CHECK(!eddy_query_is_pending(q));
    if (a->trace)
        test_trace(a->trace, "%s(%s)", a->name, code_text(a->code));
    a->done = true;
    if (a->then)
        a->then(a);
}

/* struct asked a = ASKED(.host = "example.org"); */
#define ASKED(...)                              \
    {                                           \
        .q = {.done = asked_done, __VA_ARGS__ } \
    }

static inline void forget(struct asked *a)
{
    eddy_answer_free(a->answer);
    a->answer = NULL;
    a->done = false;
}

static inline void ask(struct eddy_loop *loop, struct asked *a)
{
    struct eddy_error error = {0};

    if (!CHECK_INT(eddy_query_start(loop, &a->q, &error), 0))
        fprintf(stderr, "  %s\n", error.text);
}

/* Asks and runs the loop until it is answered. */
static inline int ask_and_wait(struct eddy_loop *loop, struct asked *a)
{
    forget(a);
    ask(loop, a);
    test_run_until(loop, test_is_true, &a->done);
    return a->code;
}

/* ---- answers as text ---- */

static inline char kind_of(int type)
{
    return type == SOCK_STREAM ? 's' : type == SOCK_DGRAM ? 'd' : type == SOCK_RAW ? 'r' : '?';
}

/* "127.0.0.1:80/s6 [::1]:80/s6", the names behind it; of an error "EDNS(-2)" or "ETIMEDOUT". Good
 * until the next call but three. */
static inline const char *spell(const struct asked *a)
{
    static char texts[4][2048];
    static unsigned next;
    char *text = texts[next++ % 4], one[EDDY_ADDR_TEXT];
    size_t len = 0, size = sizeof texts[0];

    *text = '\0';
    if (a->code == EDDY_EDNS)
        snprintf(text, size, "EDNS(%s)",
                 a->detail == EAI_NONAME     ? "NONAME"
                 : a->detail == EAI_SERVICE  ? "SERVICE"
                 : a->detail == EAI_SOCKTYPE ? "SOCKTYPE"
                 : a->detail == EAI_AGAIN    ? "AGAIN"
                 : a->detail == EAI_FAIL     ? "FAIL"
                                             : "?");
    else if (a->code < 0)
        snprintf(text, size, "%s", test_code(a->code));
    else if (a->q.kind == EDDY_QUERY_NAMES) {
        const struct eddy_names *n = a->answer;
        snprintf(text, size, "%s %s", n->host, n->service);
    } else if (a->q.kind == EDDY_QUERY_ADDRESSES) {
        const struct eddy_addresses *as = a->answer;
        for (size_t i = 0; i < as->count && len < size; i++)
            len += (size_t)snprintf(text + len, size - len, "%s%s/%c%d", i ? " " : "",
                                    eddy_addr_format(&as->list[i].addr, one, sizeof one),
                                    kind_of(as->list[i].type), as->list[i].protocol);
        if (as->canonical_name && len < size)
            snprintf(text + len, size - len, " %s", as->canonical_name);
    }
    return text;
}

static inline struct eddy_addr addr(const char *host, int port)
{
    struct eddy_addr a;

    memset(&a, 0, sizeof a);
    CHECK_INT(eddy_addr_parse(host, port, &a), 0);
    return a;
}

/* ---- a resolver that does as it is told ---- */

#define SCRIPT_MOST 16

struct script {
    int open_code, start_code; /* 0, or how they fail */
    const char *open_text;     /* what open says of it; NULL: nothing */
    bool at_once;              /* answers inside start, with 192.0.2.1 */
    bool waits;                /* start_and_wait: gives an answer; else its time passes */
    int opened, closed, started, cancelled;
    struct eddy_query *asked[SCRIPT_MOST]; /* what it is at work on */
    int count;
    struct eddy_resolver resolver;
    struct eddy_resolver_opts opts; /* of the last open */
    eddy_nsec waited;
};

static inline void give_one(struct eddy_query *q)
{
    struct eddy_addr a = addr("192.0.2.1", 9);

    if (q->kind == EDDY_QUERY_NAMES)
        eddy_query_give_names(q, "host.example", "service");
    else if (q->kind == EDDY_QUERY_SERVICES)
        eddy_query_give_services(q, &(struct eddy_service){.port = 9, .target = "target.example"},
                                 1);
    else
        eddy_query_give_addresses(q, &a, 1, "canonical.example", 0);
}

static inline int script_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                              struct eddy_error *error, struct eddy_resolver **ret)
{
    struct script *s = opts->user;

    (void)loop;
    s->opts = *opts;
    if (s->open_code < 0 && s->open_text)
        return eddy_error_set(error, s->open_code, "resolve", "%s", s->open_text);
    if (s->open_code < 0)
        return s->open_code;
    s->opened++;
    *ret = &s->resolver;
    return 0;
}

static inline void script_close(struct eddy_resolver *r)
{
    struct script *s = EDDY_CONTAINER_OF(r, struct script, resolver);

    CHECK_INT(s->count, 0);
    s->closed++;
}

static inline int script_start(struct eddy_resolver *r, struct eddy_query *q)
{
    struct script *s = EDDY_CONTAINER_OF(r, struct script, resolver);

    CHECK(r->loop == q->loop_);
    s->started++;
    if (s->start_code < 0)
        return s->start_code;
    if (s->at_once)
        give_one(q);
    else if (CHECK(s->count < SCRIPT_MOST))
        s->asked[s->count++] = q;
    return 0;
}

static inline bool script_remove(struct script *s, const struct eddy_query *q)
{
    int i = 0;

    while (i < s->count && s->asked[i] != q)
        i++;
    if (i == s->count)
        return false;
    s->count--;
    memmove(&s->asked[i], &s->asked[i + 1], (size_t)(s->count - i) * sizeof s->asked[0]);
    return true;
}

static inline void script_cancel(struct eddy_resolver *r, struct eddy_query *q)
{
    struct script *s = EDDY_CONTAINER_OF(r, struct script, resolver);

    CHECK(script_remove(s, q));
    s->cancelled++;
}

static inline int script_start_and_wait(struct eddy_resolver *r, struct eddy_query *q,
                                        eddy_nsec timeout)
{
    struct script *s = EDDY_CONTAINER_OF(r, struct script, resolver);

    s->waited = timeout;
    if (s->start_code < 0)
        return s->start_code;
    if (!s->waits)
        return -ETIMEDOUT;
    give_one(q);
    return 0;
}

static const struct eddy_resolver_class script_class = {
    .name = "script",
    .abi_size = sizeof(struct eddy_resolver_class),
    .open = script_open,
    .close = script_close,
    .start = script_start,
    .cancel = script_cancel,
    .start_and_wait = script_start_and_wait,
};

/* The oldest question, which is the test's to answer. */
static inline struct eddy_query *script_take(struct script *s)
{
    struct eddy_query *q = s->asked[0];

    REQUIRE(s->count > 0);
    script_remove(s, q);
    return q;
}

static inline void script_answer(struct script *s)
{
    give_one(script_take(s));
}

#endif
