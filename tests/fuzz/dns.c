/*
 * Answers of a name server, which may be anything: whoever asks gets a proper answer or an error,
 * once, soon, and nothing is left behind. An input is two bytes and what the server says:
 *
 *     0   bits 0-1 what is asked (enum asked), 2 by TCP, 3 what is said begins after the header's
 * id and question, which are right, 4 only for the second family asked for, the first being told
 * the truth, 5 an allocation fails, 6 the look-up is cancelled by a timer, 7 the loop closes
 * meanwhile 1   which allocation fails; in how many tenths of a millisecond the timer comes
 */
#include "tests/support/dns.h"

#include <eddy/eddy.h>
#include <eddy/resolver.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "www.test"
#define HEADER 12

enum asked { ADDRESSES, ADDRESSES_OF_ONE_FAMILY, NAMES, SERVICES };

enum {
    BY_TCP = 1 << 2,
    RIGHT_QUESTION = 1 << 3,
    HALF_RIGHT = 1 << 4,
    FAIL_ALLOCATION = 1 << 5,
    CANCEL = 1 << 6,
    CLOSE_LOOP = 1 << 7,
};

static const uint8_t *said;
static size_t said_len;
static unsigned how;
static struct dns dns;
static struct eddy_loop *loop;
static int calls;

static void must(bool held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

/* ---- memory that runs out ---- */

static long live;
static unsigned until_failure; /* 0: none fails */

static bool must_fail(void)
{
    return until_failure > 0 && --until_failure == 0;
}

static void *counted_alloc(void *user, size_t size)
{
    (void)user;
    void *p = must_fail() ? NULL : malloc(size);
    live += p != NULL;
    return p;
}

static void *counted_realloc(void *user, void *p, size_t size)
{
    (void)user;
    return must_fail() ? NULL : realloc(p, size);
}

static void counted_free(void *user, void *p)
{
    (void)user;
    live--;
    free(p);
}

static void ignore_log(void *user, enum eddy_log_level level, const char *component,
                       const char *text)
{
    (void)user, (void)level, (void)component, (void)text;
}

static void install_hooks(void)
{
    static const struct eddy_allocator counted = {counted_alloc, counted_realloc, counted_free,
                                                  NULL};
    static bool installed;

    if (installed)
        return;
    installed = true;
    must(eddy_set_allocator(&counted) == 0, "the allocator is ours");
    eddy_set_log(ignore_log, NULL);
}

/* ---- the server ---- */

static size_t put_header(const struct dns_question *q, uint8_t flags, uint8_t *reply)
{
    const uint8_t header[HEADER] = {
        (uint8_t)(q->id >> 8), (uint8_t)q->id, (uint8_t)(0x81 | flags), 0x80, 0, 1};

    memcpy(reply, header, HEADER);
    memcpy(reply + HEADER, q->wire, q->wire_len);
    return HEADER + q->wire_len;
}

static size_t say_truth(const struct dns_question *q, uint8_t *reply)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
    size_t len = put_header(q, 0, reply);

    reply[7] = 1;
    memcpy(reply + len, record, sizeof record);
    return len + sizeof record;
}

/* Flags and counts are what is said first, then what follows the question. */
static size_t say_behind_question(const struct dns_question *q, uint8_t *reply)
{
    size_t len = put_header(q, 0, reply), counts = said_len < 8 ? said_len : 8;

    memcpy(reply + 2, said, counts);
    reply[4] = 0;
    reply[5] = 1;
    memcpy(reply + len, said + counts, said_len - counts);
    return len + said_len - counts;
}

static size_t craft(struct dns *d, const struct dns_question *q, uint8_t *reply)
{
    (void)d;
    if (how & BY_TCP && !q->tcp)
        return put_header(q, 2, reply);
    if (how & HALF_RIGHT && q->type == DNS_A)
        return say_truth(q, reply);
    if (how & RIGHT_QUESTION)
        return say_behind_question(q, reply);
    memcpy(reply, said, said_len);
    if (said_len >= 2) {
        reply[0] = (uint8_t)(q->id >> 8);
        reply[1] = (uint8_t)q->id;
    }
    return said_len;
}

/* ---- who asks ---- */

static void check_addresses(const struct eddy_query *q, const struct eddy_addresses *as)
{
    must(as->count > 0, "there are addresses");
    for (size_t i = 0; i < as->count; i++) {
        int family = as->list[i].addr.u.sa.sa_family;

        must(family == AF_INET || family == AF_INET6, "they are of the internet");
        must(!q->family || family == q->family, "they are of the family asked for");
        must(eddy_addr_port(&as->list[i].addr) == 80, "they have the port");
    }
    must(strlen(as->canonical_name) < 1025, "the name is of this world");
}

static void check_services(const struct eddy_services *ss)
{
    must(ss->count > 0, "there are services");
    for (size_t i = 0; i < ss->count; i++) {
        must(strlen(ss->list[i].target) > 0, "they have a target");
        must(i == 0 || ss->list[i - 1].priority <= ss->list[i].priority, "they are in order");
    }
}

static void done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    calls++;
    must(!answer == !!error, "an answer or an error");
    if (error)
        must(error->code < 0 && error->text[0], "the error says what it is");
    else if (q->kind == EDDY_QUERY_ADDRESSES)
        check_addresses(q, answer);
    else if (q->kind == EDDY_QUERY_SERVICES)
        check_services(answer);
    else
        must(strlen(((struct eddy_names *)answer)->host) > 0, "there is a name");
    eddy_answer_free(answer);
}

struct question {
    struct eddy_query query;
    struct eddy_timer timer;
};

static void prepare(struct question *a)
{
    struct eddy_query *q = &a->query;

    memset(a, 0, sizeof *a);
    q->done = done;
    q->host = NAME;
    q->timeout = EDDY_SEC(1);
    switch ((enum asked)(how & 3)) {
    case ADDRESSES_OF_ONE_FAMILY:
        q->family = AF_INET;
        /* fall through */
    case ADDRESSES:
        q->port = 80;
        q->flags = AI_CANONNAME;
        break;
    case NAMES:
        q->kind = EDDY_QUERY_NAMES;
        eddy_addr_parse("192.0.2.1", 80, &q->addr);
        break;
    case SERVICES:
        q->kind = EDDY_QUERY_SERVICES;
        break;
    }
}

static void cancel(struct eddy_timer *t)
{
    eddy_query_cancel(&EDDY_CONTAINER_OF(t, struct question, timer)->query);
}

static void ask(struct question *a, unsigned number)
{
    eddy_nsec end = eddy_loop_time(loop) + EDDY_SEC(5);

    until_failure = how & FAIL_ALLOCATION ? 1 + number % 16 : 0;
    if (eddy_query_start(loop, &a->query, NULL) < 0)
        return;
    a->timer.fn = cancel;
    if (how & CANCEL)
        eddy_loop_call_later(loop, &a->timer, EDDY_USEC(100) * (number % 32));
    for (unsigned i = 0; eddy_query_is_pending(&a->query); i++) {
        if (how & CLOSE_LOOP && i == number % 8)
            eddy_loop_close(loop);
        else
            must(eddy_loop_run_once(loop, EDDY_SEC(1)) == 0, "the loop runs");
        must(eddy_loop_time(loop) < end, "the look-up ends");
    }
    must(calls == 1 || (calls == 0 && how & CANCEL), "it ends once");
    eddy_timer_cancel(&a->timer);
}

/* The lowest descriptor that is free: it rises if one was left open. */
static int free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

static struct eddy_loop *new_loop(void)
{
    struct eddy_loop *l = NULL;

    must(eddy_loop_new(EDDY_LOOP(.backend = "poll",
                                 .resolver = EDDY_RESOLVER(.name = "c-ares", .servers = dns.servers,
                                                           .resolv_conf = "/dev/null", .tries = 1,
                                                           .try_timeout = EDDY_MSEC(1))),
                       &l) == 0,
         "there is a loop");
    return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct question a;

    if (size < 2 || size > 4096 || strcmp(eddy_resolver_name(0), "c-ares") != 0)
        return 0;
    install_hooks();
    int descriptor = free_descriptor();
    how = data[0];
    said = data + 2;
    said_len = size - 2;
    calls = 0;
    must(dns_open(&dns, NULL) == 0, "there is a server");
    dns.craft = craft;
    loop = new_loop();
    must(dns_serve(&dns, loop) == 0, "the server is served");
    prepare(&a);
    ask(&a, data[1]);
    until_failure = 0;
    eddy_loop_close(loop);
    dns_close(&dns);
    eddy_loop_unref(loop);
    must(live == 0, "all memory is free");
    must(free_descriptor() == descriptor, "all descriptors are closed");
    return 0;
}
