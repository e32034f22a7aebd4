/*
 * What the tests of datagrams share: an endpoint that records its callbacks, checks their order
 * (contract R3) and does what a case tells it to.
 */
#ifndef TESTS_CONTRACT_DATAGRAMS_PARTY_H
#define TESTS_CONTRACT_DATAGRAMS_PARTY_H

#include "tests/support/test.h"
#include <eddy/datagram.h>
#include <string.h>

struct party {
    struct eddy_datagram_protocol base;
    struct eddy_loop *loop;
    struct eddy_transport *t; /* from connection_made until connection_lost has returned */
    struct test_trace trace;
    void (*on_made)(struct party *p);
    void (*on_datagram)(struct party *p, const void *data, size_t len,
                        const struct eddy_addr *from);
    void (*on_error)(struct party *p, int code);
    void (*on_pause)(struct party *p);
    int made, lost, failed, finis, received, errors;
    int code; /* of connection_lost or connect_failed */
    int error;
    bool error_has_addr, paused;
    struct eddy_addr from, about;
    size_t len; /* of the last one */
    unsigned char head[64];
    struct party *other;
    int left; /* for hooks */
};

static inline struct party *party_of(struct eddy_datagram_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct party, base);
}

static inline void party_made(struct eddy_datagram_protocol *b, struct eddy_transport *t)
{
    struct party *p = party_of(b);

    CHECK_INT(p->made++, 0);
    p->t = t;
    test_trace(&p->trace, "CM");
    if (p->on_made)
        p->on_made(p);
}

static inline void party_failed(struct eddy_datagram_protocol *b, const struct eddy_error *err)
{
    struct party *p = party_of(b);

    CHECK_INT(p->made, 0);
    p->failed++;
    p->code = err->code;
    test_trace(&p->trace, "CF(%s)", test_code(err->code));
}

static inline void party_datagram(struct eddy_datagram_protocol *b, const void *data, size_t len,
                                  const struct eddy_addr *from)
{
    struct party *p = party_of(b);

    CHECK(p->made && !p->lost && !eddy_transport_is_closing(p->t));
    CHECK(eddy_transport_is_reading(p->t));
    p->received++;
    p->from = *from;
    p->len = len;
    memcpy(p->head, data, len < sizeof p->head ? len : sizeof p->head);
    test_trace(&p->trace, "DG(%zu)", len);
    if (p->on_datagram)
        p->on_datagram(p, data, len, from);
}

static inline void party_error(struct eddy_datagram_protocol *b, int code,
                               const struct eddy_addr *addr)
{
    struct party *p = party_of(b);

    CHECK(p->made && !p->lost && code < 0);
    p->errors++;
    p->error = code;
    p->error_has_addr = addr != NULL;
    if (addr)
        p->about = *addr;
    test_trace(&p->trace, "EV(%s)", test_code(code));
    if (p->on_error)
        p->on_error(p, code);
}

static inline void party_pause(struct eddy_datagram_protocol *b)
{
    struct party *p = party_of(b);

    CHECK(!p->paused);
    p->paused = true;
    test_trace(&p->trace, "PW");
    if (p->on_pause)
        p->on_pause(p);
}

static inline void party_resume(struct eddy_datagram_protocol *b)
{
    struct party *p = party_of(b);

    CHECK(p->paused);
    p->paused = false;
    test_trace(&p->trace, "RW");
}

static inline void party_lost(struct eddy_datagram_protocol *b, const struct eddy_error *err)
{
    struct party *p = party_of(b);

    CHECK(p->made && !p->lost);
    p->lost++;
    p->code = err ? err->code : 0;
    p->t = NULL;
    test_trace(&p->trace, "CL(%s)", test_code(p->code));
}

static inline void party_fini(struct eddy_datagram_protocol *b)
{
    struct party *p = party_of(b);

    p->finis++;
    CHECK(p->base.base.transport == NULL);
}

static const struct eddy_datagram_protocol_class party_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct party, base),
    .datagram_received = party_datagram,
    .error_received = party_error,
    .fini = party_fini,
    .connection_made = party_made,
    .connect_failed = party_failed,
    .pause_writing = party_pause,
    .resume_writing = party_resume,
    .connection_lost = party_lost,
};

static inline void party_init(struct party *p, struct eddy_loop *loop)
{
    memset(p, 0, sizeof *p);
    p->loop = loop;
    eddy_datagram_protocol_init(&p->base, &party_class);
}

/* Runs the loop until the condition holds. */
#define PARTY_UNTIL(loop, condition)                                    \
    do {                                                                \
        eddy_nsec end_ = eddy_loop_time(loop) + TEST_DEADLINE;          \
        while (!(condition) && eddy_loop_time(loop) < end_ &&           \
               CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(20)), 0)) { \
        }                                                               \
        CHECK(condition);                                               \
    } while (0)

/* Creates it, and runs until connection_made. */
static inline void party_open(struct party *p, struct eddy_loop *loop,
                              const struct eddy_datagram_opts *opts)
{
    void (*made)(struct party *) = p->on_made;

    party_init(p, loop);
    p->on_made = made;
    REQUIRE(eddy_create_datagram_endpoint(loop, &p->base, opts, NULL) == 0);
    CHECK_INT(p->made, 0);
    PARTY_UNTIL(loop, p->made);
}

static inline struct eddy_addr party_addr(const struct party *p)
{
    struct eddy_addr a = {.len = 0};

    CHECK_INT(eddy_transport_sockname(p->t, &a), 0);
    return a;
}

/* On 127.0.0.1. */
static inline void party_bind(struct party *p, struct eddy_loop *loop)
{
    party_open(p, loop, EDDY_DATAGRAM(.local_host = "127.0.0.1"));
}

static inline int party_port(const struct party *p)
{
    struct eddy_addr a = party_addr(p);

    return eddy_addr_port(&a);
}

static inline void party_connect(struct party *p, struct eddy_loop *loop, int port)
{
    party_open(p, loop, EDDY_DATAGRAM(.remote_host = "127.0.0.1", .remote_port = port));
}

/* Ends it and runs until its fini. */
static inline void party_end(struct party *p)
{
    if (p->t)
        eddy_transport_abort(p->t, NULL);
    PARTY_UNTIL(p->loop, p->finis == 1);
    CHECK_INT(p->made, p->lost);
}

/* A port that nobody has any more. */
static inline int party_dead_port(struct eddy_loop *loop)
{
    struct party p = {.made = 0};

    party_bind(&p, loop);
    int port = party_port(&p);
    party_end(&p);
    test_run_steps(loop, 3);
    return port;
}

#endif
