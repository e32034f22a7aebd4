/* backends: sim sim-late */
/* timeout: 300 */
/* labels: scenarios slow */
/*
 * Seeded scenarios over TLS: a server and a few clients on one loop, which talk in plain text or in
 * TLS, upgrade what they have by start_tls up to three times, and then do to each other from all
 * their callbacks what may be done, over a network as rough as the seed makes it. Then the books
 * are checked: callbacks in order, each connection_made with its connection_lost, no byte altered,
 * an end that looks like one only where all bytes have come (contract X33), nothing lost by a clean
 * close, nothing left behind.
 *
 *     EDDY_SCENARIOS=100000   how many seeds, in place of DEFAULT_SCENARIOS
 *     EDDY_SEED=42            this one only; EDDY_TRACE=1 tells all that happens in it
 */
#include "tests/support/road.h"
#include "tests/support/test.h"
#include <eddy/future.h>
#include <eddy/sim.h>
#include <eddy/transport.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    DEFAULT_SCENARIOS = 10000,
    MAX_SIDES = 24,
    MAX_LEVELS = 3,
    MAX_PLAIN = 600, /* bytes before an upgrade */
    MAX_WRITE = 20000,
    MAX_AREA = 3000,
    MAX_DEPTH = 3,
    MIN_ROOM = 64, /* smaller ones only take longer */
    MIN_LATE_ROOM = 512,
    MAX_UPDATES = 20, /* of keys, by each side: more may be a flood */
    MAX_TURNS = 400000,
};

/* What the seed allows. */
enum manner {
    CLEAN,  /* ends by close, end of stream and write_eof only: every byte is accounted for */
    ROUGH,  /* aborts, resets, truncation, detached protocols, time-outs, refused certificates */
    FAULTY, /* and calls and allocations that fail */
};

#define PIECE EDDY_SEC(1)

/* Contexts, made once: a handshake costs more than all the rest. */
enum {
    SERVER_ANY,
    SERVER_1_2,
    SERVER_1_3,
    SERVER_TRUNCATED,
    CLIENT_ANY,
    CLIENT_1_2,
    CLIENT_SMALL,
    CLIENT_TRUNCATED,
    CLIENT_OTHER_TRUST,
    CONTEXTS,
};

static struct eddy_tls *contexts[CONTEXTS];

/* How connections to the server come about: both sides know it. */
struct plan {
    bool tls;   /* from the beginning */
    int levels; /* upgrades behind that */
    int server, client;
    bool doomed; /* they will not agree */
    bool lenient;
    bool resumes;                   /* by tickets, in contexts of its own */
    uint64_t first[MAX_LEVELS + 1]; /* what the server must have said before each of them */
    uint64_t then[MAX_LEVELS + 1];  /* ... and the client after that */
    struct eddy_tls *server_tls, *client_tls;
};

/* One end of a connection, for the books: outlives the protocols that serve it. */
struct side {
    struct actor *actor; /* NULL: gone */
    bool server;
    bool made, lost, failed, ended, detached, accepted;
    bool upgrading, free; /* the last upgrade has begun: from here on anything goes */
    bool spoiled;         /* part of a write may have been sent */
    bool closed, wrote_eof, write_paused;
    bool excused; /* its end may be anything: something rough was done to the connection */
    int level;
    int attachments, finis, updates, budget;
    int local, peer; /* ports */
    int code;
    uint64_t written, received;
    struct eddy_timer timer;
    struct eddy_future *upgrade;
    struct eddy_done upgraded;
};

/* A protocol of a side. */
struct actor {
    struct eddy_protocol base;
    struct side *side;
    bool retired; /* another has taken over: only fini may come */
    bool instance;
    size_t area_size;
    uint8_t *area;
};

static struct world {
    uint64_t seed;
    enum manner manner;
    bool late, traced, draining;
    int depth, chatter;
    struct eddy_sim *sim;
    struct eddy_loop *loop;
    struct eddy_server *server;
    int port;
    struct plan plan;
    struct side sides[MAX_SIDES];
    int side_count;
    int owned_out; /* write_owned without their release */
    int failures;
} world;

static void act(struct side *own);
static void advance(struct side *s);

/* ---- small things ---- */

static void complain(int line, const char *fmt, ...) EDDY_PRINTF(2, 3);

static void complain(int line, const char *fmt, ...)
{
    static const char *const manners[] = {"clean", "rough", "faulty"};
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (world.traced)
        fprintf(stderr, "COMPLAINT: %s\n", text);
    if (world.failures++ < 5)
        test_fail(__FILE__, line, "EDDY_SEED=%llu (%s%s): %s", (unsigned long long)world.seed,
                  world.late ? "late, " : "", manners[world.manner], text);
}

#define COMPLAIN(...) complain(__LINE__, __VA_ARGS__)
#define EXPECT(condition)               \
    do {                                \
        if (!(condition))               \
            COMPLAIN("%s", #condition); \
    } while (0)

/* With EDDY_TRACE: what the sides do and hear, between the lines of the network. */
static void tell(const struct side *s, const char *what, uint64_t n)
{
    if (world.traced)
        fprintf(stderr, "  %s %d: %s %llu\n", s->server ? "server" : "client",
                (int)(s - world.sides), what, (unsigned long long)n);
}

static uint64_t dice(uint64_t limit)
{
    return eddy_sim_random(world.sim, limit);
}

static bool chance(unsigned per_mille)
{
    return dice(1000) < per_mille;
}

static eddy_nsec some_time(eddy_nsec longest)
{
    return (eddy_nsec)dice((uint64_t)longest);
}

/* Byte `at` of the stream between two ports. */
static uint8_t stream_byte(int from, int to, uint64_t at)
{
    uint64_t x = ((uint64_t)from << 48 ^ (uint64_t)to << 32 ^ at) * 0x9e3779b97f4a7c15u;

    return (uint8_t)(x >> 56);
}

static struct eddy_transport *transport_of(const struct side *s)
{
    return s->actor ? s->actor->base.transport : NULL;
}

static struct side *peer_of(const struct side *s)
{
    for (int i = 0; i < world.side_count; i++) {
        struct side *p = &world.sides[i];
        if (p != s && p->made && s->made && p->server != s->server && p->local == s->peer &&
            p->peer == s->local)
            return p;
    }
    return NULL;
}

/* A peer that is not made yet is excused when it is. */
static void excuse_both(struct side *s)
{
    struct side *p = peer_of(s);

    s->excused = true;
    if (p)
        p->excused = true;
}

static bool may_fail(void)
{
    return world.manner == FAULTY;
}

/* ---- actors ---- */

static const struct eddy_protocol_class classes[2];        /* clients': plain, buffered */
static const struct eddy_protocol_class server_classes[2]; /* the same with init */

static void actor_begin(struct actor *a, struct side *s)
{
    a->side = s;
    a->area_size = 1 + dice(MAX_AREA);
    a->area = malloc(a->area_size);
    s->actor = a;
    s->attachments++;
}

static struct actor *actor_new(struct side *s)
{
    struct actor *a = calloc(1, sizeof *a);

    eddy_protocol_init(&a->base, &classes[dice(2)]);
    actor_begin(a, s);
    return a;
}

static void actor_free(struct actor *a)
{
    if (a->side->actor == a)
        a->side->actor = NULL;
    free(a->area);
    if (!a->instance)
        free(a);
}

static struct side *side_new(bool server)
{
    if (world.side_count == MAX_SIDES)
        return NULL;
    struct side *s = &world.sides[world.side_count++];
    memset(s, 0, sizeof *s);
    s->server = server;
    s->budget = (int)dice(12);
    s->accepted = true;
    return s;
}

static void forget_upgrade(struct side *s)
{
    if (!s->upgrade)
        return;
    eddy_future_remove_done_callback(&s->upgraded);
    eddy_future_error(s->upgrade);
    eddy_future_unref(s->upgrade);
    s->upgrade = NULL;
}

/* ---- what a side can do ---- */

struct owned {
    struct side *side;
    uint8_t bytes[];
};

static void release_owned(void *user)
{
    struct owned *o = user;
    struct side *s = o->side;

    memset(o->bytes, 0xee, 16);
    free(o);
    world.owned_out--;
    if (s->free && chance((unsigned)world.chatter))
        act(s);
}

static size_t write_size(void)
{
    static const size_t most[] = {16, 500, 5000, MAX_WRITE};

    return 1 + (size_t)dice(most[chance(100) ? 3 : dice(3)]);
}

/* The bytes are counted before: writing may call pause_writing, and that may write. */
static void write_bytes(struct side *s, struct eddy_transport *t, size_t len)
{
    struct owned *o = malloc(sizeof *o + len + 16);
    bool may = !eddy_transport_is_closing(t) && !s->wrote_eof;
    struct iovec iov[2];
    int rc;

    o->side = s;
    for (size_t i = 0; i < len; i++)
        o->bytes[i] = stream_byte(s->local, s->peer, s->written + i);
    tell(s, may ? "writes" : "writes in vain", len);
    if (may)
        s->written += len;
    switch (dice(3)) {
    case 0:
        rc = eddy_transport_write(t, o->bytes, len);
        memset(o->bytes, 0xee, len);
        free(o);
        break;
    case 1:
        iov[0] = (struct iovec){o->bytes, (size_t)dice(len)};
        iov[1] = (struct iovec){o->bytes + iov[0].iov_len, len - iov[0].iov_len};
        rc = eddy_transport_writev(t, iov, 2);
        memset(o->bytes, 0xee, len);
        free(o);
        break;
    default:
        world.owned_out++;
        rc = eddy_transport_write_owned(t, o->bytes, len, release_owned, o);
        break;
    }
    if (!may) {
        EXPECT(rc == EDDY_ECLOSED || rc == EDDY_EINVALID_STATE);
    } else if (rc < 0) {
        EXPECT(world.manner != CLEAN);
        s->spoiled = true;
        excuse_both(s);
    }
}

static void do_close(struct side *s, struct eddy_transport *t)
{
    tell(s, "closes", 0);
    s->closed = true;
    if (s->upgrading)
        excuse_both(s);
    eddy_transport_close(t);
}

static void do_write_eof(struct side *s, struct eddy_transport *t)
{
    if (!eddy_transport_can_write_eof(t)) {
        EXPECT(eddy_transport_is_closing(t) || eddy_transport_write_eof(t) == EDDY_ENOT_SUPPORTED);
        return;
    }
    tell(s, "write_eof", 0);
    s->wrote_eof = true; /* before: it flushes, and may call pause_writing */
    EXPECT(eddy_transport_write_eof(t) == 0);
}

static void do_switch(struct side *s, struct eddy_transport *t)
{
    struct actor *old = s->actor, *a = actor_new(s);
    int rc = eddy_transport_set_protocol(t, &a->base);

    tell(s, "set_protocol", (uint64_t)(a->base.cls->get_buffer != NULL));
    if (rc == 0) {
        old->retired = true;
        return;
    }
    EXPECT(rc == EDDY_ECLOSED);
    s->attachments--;
    actor_free(a);
    s->actor = old;
}

static void do_limits(struct eddy_transport *t)
{
    size_t high = (size_t)dice(30000);
    int rc = eddy_transport_set_write_buffer_limits(t, (size_t)dice(high + 1), high);

    EXPECT(rc == 0 || (rc == -ENOMEM && may_fail()));
}

static void do_update_keys(struct side *s, struct eddy_transport *t)
{
    if (s->updates++ >= MAX_UPDATES)
        return;
    int rc = eddy_tls_update_keys(t, chance(500));

    tell(s, "updates keys", (uint64_t)-rc);
    EXPECT(rc == 0 || rc == EDDY_ENOT_SUPPORTED || rc == EDDY_ECLOSED || may_fail());
}

static void do_detach(struct side *s)
{
    struct actor *a = s->actor;
    bool instance = a->instance;

    tell(s, "detaches", 0);
    s->detached = true;
    s->attachments--;
    eddy_timer_cancel(&s->timer);
    s->actor = NULL;
    free(a->area);
    eddy_protocol_detach(&a->base);
    forget_upgrade(s);
    if (!instance)
        free(a);
}

/* The peer hears the end of stream, but no close_notify. */
static void do_truncate(struct side *s, struct eddy_transport *t)
{
    struct eddy_sys *sys = eddy_sim_sys(world.sim);

    tell(s, "is cut off", 0);
    sys->cls->shutdown(sys, eddy_transport_fd(t), SHUT_WR);
}

static void do_timeouts(struct eddy_transport *t)
{
    if (chance(100))
        eddy_transport_set_write_max(t, 1 + (size_t)dice(50000));
    if (chance(500))
        eddy_transport_set_idle_timeout(t, some_time(EDDY_SEC(5)));
    else
        eddy_transport_set_write_timeout(t, 1 + some_time(EDDY_SEC(5)));
    eddy_transport_set_linger(t, chance(300) ? EDDY_OFF : some_time(EDDY_SEC(5)));
}

static void do_rough(struct side *s, struct eddy_transport *t)
{
    excuse_both(s);
    switch (dice(12)) { /* mostly cut off */
    case 0:
        tell(s, "aborts", 0);
        eddy_transport_abort(t, chance(500) ? EDDY_ERROR(-EPROTO, "a scenario's abort") : NULL);
        break;
    case 1:
        eddy_protocol_abort(&s->actor->base, NULL);
        break;
    case 2:
        do_detach(s);
        break;
    case 3:
        eddy_sim_reset(world.sim, eddy_transport_fd(t), some_time(EDDY_MSEC(100)));
        break;
    case 4:
        do_timeouts(t);
        break;
    case 5:
        eddy_sim_freeze(world.sim, eddy_transport_fd(t), true);
        break;
    case 6:
        if (s->upgrade)
            eddy_future_cancel(s->upgrade, NULL);
        break;
    case 7:
        if (chance(200))
            eddy_server_abort_clients(world.server, NULL);
        break;
    default:
        do_truncate(s, t);
        break;
    }
}

/* What may also be done in a plain exchange, which both sides must follow. */
static void do_quiet(struct side *s, struct eddy_transport *t)
{
    tell(s, "pauses or resumes", 0);
    if (chance(300))
        eddy_transport_pause_reading(t);
    else
        eddy_transport_resume_reading(t);
}

static void do_one(struct side *s, struct eddy_transport *t)
{
    if (world.manner != CLEAN && chance(100)) {
        do_rough(s, t);
        return;
    }
    if (!s->free) {
        do_quiet(s, t);
        return;
    }
    switch (dice(14)) {
    case 0:
        if (chance(300) && (world.manner != CLEAN || !s->upgrading))
            do_close(s, t);
        break;
    case 1:
        if (chance(300))
            do_write_eof(s, t);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        do_quiet(s, t);
        break;
    case 6:
        do_switch(s, t);
        break;
    case 7:
        do_limits(t);
        break;
    case 8:
        do_update_keys(s, t);
        break;
    case 9:
        eddy_transport_flush(t);
        break;
    case 10:
        eddy_sim_spend(world.sim, some_time(EDDY_MSEC(3)));
        break;
    default:
        write_bytes(s, t, write_size());
        break;
    }
}

/* Something to a side, our own or not. */
static void act(struct side *own)
{
    struct side *s = own;

    if (world.depth >= MAX_DEPTH || world.draining)
        return;
    world.depth++;
    if (chance(350))
        s = &world.sides[dice((uint64_t)world.side_count)];
    struct eddy_transport *t = transport_of(s);
    if (t)
        do_one(s, t);
    else if (s->actor && !s->made && !s->failed && !s->server && world.manner != CLEAN &&
             chance(100))
        eddy_protocol_abort(&s->actor->base, NULL);
    world.depth--;
}

static void maybe_act(struct side *s)
{
    while (chance((unsigned)world.chatter))
        act(s);
}

static void on_timer(struct eddy_timer *timer)
{
    struct side *s = EDDY_CONTAINER_OF(timer, struct side, timer);

    act(s);
    if (s->made && !s->lost && !s->detached && s->budget-- > 0)
        eddy_loop_call_later(world.loop, timer, some_time(EDDY_MSEC(60)));
}

/* ---- upgrades ---- */

static void on_upgraded(struct eddy_done *d, struct eddy_future *f)
{
    struct side *s = EDDY_CONTAINER_OF(d, struct side, upgraded);
    int rc = eddy_future_result(f, NULL);

    tell(s, "is upgraded", (uint64_t)-rc);
    eddy_future_unref(f);
    s->upgrade = NULL;
    if (rc < 0) {
        EXPECT(world.manner != CLEAN || world.plan.doomed || s->excused);
        return;
    }
    s->upgrading = false;
    if (transport_of(s))
        advance(s);
}

static void upgrade(struct side *s)
{
    struct eddy_transport *t = transport_of(s);
    eddy_nsec time = world.manner == CLEAN ? EDDY_SEC(36000) : 1 + some_time(EDDY_SEC(100));
    int rc = eddy_start_tls(
        t,
        EDDY_START_TLS(.tls = s->server ? world.plan.server_tls : world.plan.client_tls,
                       .server_side = s->server, .server_hostname = s->server ? NULL : "localhost",
                       .handshake_timeout = time, .shutdown_timeout = time),
        &s->upgrade);

    tell(s, "start_tls", (uint64_t)-rc);
    if (rc < 0) {
        EXPECT(world.manner != CLEAN); /* the end may have come, or a time-out */
        excuse_both(s);
        eddy_transport_abort(t, NULL);
        return;
    }
    EXPECT(transport_of(s) != t);
    s->upgrading = true;
    s->level++;
    s->free = s->level == world.plan.levels;
    s->upgraded.fn = on_upgraded;
    EXPECT(eddy_future_add_done_callback(s->upgrade, &s->upgraded) == 0);
}

/* The next step of the exchange that leads to an upgrade: the server speaks, the client answers,
 * and both begin. */
static void advance(struct side *s)
{
    const struct plan *p = &world.plan;
    struct eddy_transport *t = transport_of(s);

    if (s->level == p->levels)
        s->free = true;
    if (s->free || s->upgrading || !t || eddy_transport_is_closing(t))
        return;
    uint64_t to_hear = s->server ? p->then[s->level] : p->first[s->level];
    uint64_t to_say = s->server ? p->first[s->level] : p->then[s->level];
    if ((s->server || s->received == to_hear) && s->written < to_say)
        write_bytes(s, t, (size_t)(to_say - s->written));
    if (s->received == to_hear && !eddy_transport_is_closing(t))
        upgrade(s);
}

/* What is behind the last plain byte is for the upgrade. */
static size_t too_much(const struct side *s, size_t len)
{
    if (s->free)
        return 0;
    uint64_t to_hear = s->server ? world.plan.then[s->level] : world.plan.first[s->level];
    EXPECT(s->received <= to_hear);
    if (s->received + len <= to_hear)
        return 0;
    EXPECT(s->server); /* a server says nothing until the client has begun */
    return (size_t)(s->received + len - to_hear);
}

/* ---- what a side is told ---- */

static struct side *side_of(struct eddy_protocol *p)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);
    struct side *s = a->side;

    if (a->retired)
        COMPLAIN("a protocol that was replaced is called");
    if (s->actor != a)
        COMPLAIN("a protocol that is gone is called");
    if (s->lost || s->failed)
        COMPLAIN("a callback after connection_lost");
    return s;
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct side *s = side_of(p);
    struct eddy_addr a;

    tell(s, "CM", 0);
    EXPECT(!s->made);
    EXPECT(p->transport == t);
    s->made = true;
    if (eddy_transport_sockname(t, &a) == 0)
        s->local = eddy_addr_port(&a);
    if (eddy_transport_peername(t, &a) == 0)
        s->peer = eddy_addr_port(&a);
    if (s->local == 0 || s->peer == 0) { /* does not know its names, nor so its bytes */
        EXPECT(may_fail());
        eddy_transport_abort(t, NULL);
        return;
    }
    s->timer.fn = on_timer;
    eddy_loop_call_later(world.loop, &s->timer, some_time(EDDY_MSEC(60)));
    advance(s);
    maybe_act(s);
}

static void take(struct side *s, const uint8_t *data, size_t len)
{
    struct eddy_transport *t = transport_of(s);

    tell(s, "DR", len);
    EXPECT(s->made && !s->ended && !s->upgrading);
    EXPECT(!eddy_transport_is_closing(t));
    EXPECT(eddy_transport_is_reading(t));
    EXPECT(len > 0 && len <= 256 * 1024);
    size_t back = too_much(s, len);
    for (size_t i = 0; i < len - back; i++) {
        if (data[i] != stream_byte(s->peer, s->local, s->received + i)) {
            COMPLAIN("wrong byte at %llu + %zu", (unsigned long long)s->received, i);
            break;
        }
    }
    if (back == 0 && s->free && chance(100))
        back = (size_t)dice(len + 1);
    s->received += len - back;
    if (back > 0) {
        tell(s, "unread", back);
        if (eddy_transport_unread(t, data + len - back, back) < 0) {
            EXPECT(may_fail());
            return;
        }
    }
    advance(s);
    maybe_act(s);
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    take(side_of(p), data, len);
}

static size_t get_buffer(struct eddy_protocol *p, size_t hint, void **ret)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);
    struct side *s = side_of(p);
    size_t size = a->area_size;

    (void)hint;
    EXPECT(!eddy_transport_is_closing(p->transport) && !s->ended);
    *ret = a->area;
    if (chance((unsigned)world.chatter / 8))
        act(s); /* a may be gone */
    return size;
}

static void buffer_updated(struct eddy_protocol *p, size_t len)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);

    EXPECT(len <= a->area_size);
    take(side_of(p), a->area, len);
}

/* An end of stream that is one: not a byte is missing, whatever was done to the connection. */
static void check_end(const struct side *s)
{
    const struct side *p = peer_of(s);

    if (!p || p->spoiled || world.plan.lenient || !s->free)
        return;
    if (s->received != p->written)
        COMPLAIN("an end after %llu bytes of %llu", (unsigned long long)s->received,
                 (unsigned long long)p->written);
}

static bool eof_received(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    tell(s, "ER", 0);
    EXPECT(s->made && !s->ended);
    EXPECT(!eddy_transport_is_closing(p->transport));
    s->ended = true;
    check_end(s);
    maybe_act(s);
    return !world.draining && chance(500);
}

static void pause_writing(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    tell(s, "PW", 0);
    EXPECT(s->made && !s->write_paused);
    EXPECT(!eddy_transport_is_closing(p->transport));
    s->write_paused = true;
    maybe_act(s);
}

static void resume_writing(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    tell(s, "RW", 0);
    EXPECT(s->write_paused);
    s->write_paused = false;
    maybe_act(s);
}

static void note_loss(struct side *s, const struct eddy_error *err)
{
    const struct side *p = peer_of(s);

    s->code = err ? err->code : 0;
    if (!err || err->code == EDDY_ELOOP_CLOSED || world.manner == FAULTY)
        return;
    if (world.manner == CLEAN && !world.plan.doomed && !(p && p->excused) && !s->excused)
        COMPLAIN("lost by %s (%s)", test_code(err->code), err->text);
    EXPECT(err->text[0] != '\0');
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);

    tell(s, "CL", err ? (uint64_t)-err->code : 0);
    if (world.traced && err)
        fprintf(stderr, "    %s\n", err->text);
    EXPECT(s->made);
    EXPECT(eddy_transport_is_closing(p->transport));
    maybe_act(s);
    s->lost = true;
    eddy_timer_cancel(&s->timer);
    note_loss(s, err);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);

    tell(s, "CF", (uint64_t)-err->code);
    if (world.traced)
        fprintf(stderr, "    %s\n", err->text);
    EXPECT(!s->made && !s->server);
    EXPECT(err->code < 0);
    maybe_act(s);
    s->failed = true;
    s->code = err->code;
    if (world.manner == CLEAN && err->code != EDDY_ELOOP_CLOSED && !world.plan.doomed)
        COMPLAIN("not connected: %s", err->text);
}

static void fini(struct eddy_protocol *p)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);

    EXPECT(p->transport == NULL);
    EXPECT(a->retired || a->side->lost || a->side->failed);
    a->side->finis++;
    actor_free(a);
}

static int init(struct eddy_protocol *p, void *arg)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);
    struct side *s = world.manner != CLEAN && chance(20) ? NULL : side_new(true);

    EXPECT(arg == &world);
    if (s == NULL)
        return -ECONNREFUSED;
    a->instance = true;
    actor_begin(a, s);
    return 0;
}

#define CALLBACKS                                                                           \
    EDDY_PROTOCOL_CLASS(struct actor, base),                                                \
        .fini = fini, .connection_made = connection_made, .connect_failed = connect_failed, \
        .eof_received = eof_received, .pause_writing = pause_writing,                       \
        .resume_writing = resume_writing, .connection_lost = connection_lost

static const struct eddy_protocol_class classes[2] = {
    {CALLBACKS, .data_received = data_received},
    {CALLBACKS, .get_buffer = get_buffer, .buffer_updated = buffer_updated},
};

static const struct eddy_protocol_class server_classes[2] = {
    {CALLBACKS, .data_received = data_received, .init = init},
    {CALLBACKS, .get_buffer = get_buffer, .buffer_updated = buffer_updated, .init = init},
};

/* ---- a scenario ---- */

static void on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    (void)loop;
    (void)user;
    if (world.manner == CLEAN && !world.plan.doomed)
        COMPLAIN("problem: %s: %s", problem->message, problem->error ? problem->error->text : "");
}

static void on_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user;
    if (level >= EDDY_LOG_ERROR && world.manner != FAULTY)
        COMPLAIN("log: %s: %s", component, text);
    if (world.traced)
        fprintf(stderr, "    log: %s: %s\n", component, text);
}

static void on_trace(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static int open_world(uint64_t seed)
{
    struct eddy_sim_opts opts;

    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.late = strcmp(test_backend() ? test_backend() : "", "sim-late") == 0;
    world.traced = getenv("EDDY_TRACE") != NULL;
    world.manner = seed % 10 < 5 ? CLEAN : seed % 10 < 8 ? ROUGH : FAULTY;
    eddy_sim_wild(&opts, seed);
    size_t room = world.late ? MIN_LATE_ROOM : MIN_ROOM;
    if (opts.recv_room < room)
        opts.recv_room = room;
    if (opts.send_room < room)
        opts.send_room = room;
    if (world.traced)
        opts.trace = on_trace;
    int rc = eddy_sim_new(&opts, &world.sim);
    if (rc < 0)
        return rc;
    world.chatter = (int)dice(400);
    rc = eddy_sim_loop_new(world.sim, world.late,
                           EDDY_LOOP(.on_problem = on_problem, .log = on_log, .user = &world,
                                     .debug = chance(300), .slow_callback = EDDY_SEC(3600)),
                           &world.loop);
    if (rc < 0)
        eddy_sim_free(world.sim);
    return rc;
}

/* A certificate that nobody who asks here trusts. */
static struct eddy_tls *context_of_others(void)
{
    struct eddy_tls *other = NULL, *tls = NULL;
    char pem[2000];

    REQUIRE(eddy_tls_new(EDDY_TLS_SERVER(.throw_away = "elsewhere.example"), &other) == 0);
    CHECK_INT(eddy_tls_cert_pem(other, pem, sizeof pem), 0);
    CHECK_INT(
        eddy_tls_new(
            EDDY_TLS_CLIENT(.ca_pem = pem, .ca_pem_len = strlen(pem), .no_resumption = true), &tls),
        0);
    eddy_tls_unref(other);
    return tls;
}

static void make_contexts(void)
{
    const struct eddy_tls_opts *opts[] = {
        [SERVER_ANY] = EDDY_TLS_SERVER(.no_resumption = true),
        [SERVER_1_2] = EDDY_TLS_SERVER(.no_resumption = true, .max_version = EDDY_TLS_1_2),
        [SERVER_1_3] = EDDY_TLS_SERVER(.no_resumption = true, .min_version = EDDY_TLS_1_3,
                                       .small_records_first = true),
        [SERVER_TRUNCATED] = EDDY_TLS_SERVER(.no_resumption = true, .allow_truncation = true),
        [CLIENT_ANY] = EDDY_TLS_CLIENT(.no_resumption = true),
        [CLIENT_1_2] = EDDY_TLS_CLIENT(.no_resumption = true, .max_version = EDDY_TLS_1_2),
        [CLIENT_SMALL] = EDDY_TLS_CLIENT(.no_resumption = true, .small_records_first = true),
        [CLIENT_TRUNCATED] = EDDY_TLS_CLIENT(.no_resumption = true, .allow_truncation = true),
    };
    for (int i = 0; i < CLIENT_OTHER_TRUST; i++)
        contexts[i] = road_context_with(opts[i]);
    contexts[CLIENT_OTHER_TRUST] = context_of_others();
}

static void make_plan(struct plan *p)
{
    uint64_t first = 0, then = 0;

    p->tls = chance(600);
    p->levels = (int)dice(chance(150) ? MAX_LEVELS + 1 : 2);
    p->server = (int)dice(SERVER_TRUNCATED + 1);
    p->client = CLIENT_ANY + (int)dice(CLIENT_TRUNCATED - CLIENT_ANY + 1);
    if (p->server == SERVER_1_3 && p->client == CLIENT_1_2)
        p->server = SERVER_ANY;
    if (chance(60)) {
        p->doomed = true;
        p->server = chance(500) ? SERVER_1_3 : SERVER_ANY;
        p->client = p->server == SERVER_1_3 ? CLIENT_1_2 : CLIENT_OTHER_TRUST;
    }
    if (!p->tls && p->levels == 0)
        p->levels = 1;
    for (int i = 0; i < p->levels; i++) {
        p->first[i] = first += dice(MAX_PLAIN);
        p->then[i] = then += dice(MAX_PLAIN);
    }
    p->resumes = !p->doomed && chance(60);
    p->lenient = p->server == SERVER_TRUNCATED || p->client == CLIENT_TRUNCATED;
    p->server_tls =
        p->resumes ? road_context_with(EDDY_TLS_SERVER()) : eddy_tls_ref(contexts[p->server]);
    p->client_tls =
        p->resumes ? road_context_with(EDDY_TLS_CLIENT()) : eddy_tls_ref(contexts[p->client]);
}

/* In a clean run nothing ends by itself. */
static eddy_nsec patience(void)
{
    return world.manner == CLEAN ? EDDY_SEC(36000) : chance(300) ? some_time(EDDY_SEC(10)) : 0;
}

static void open_server(void)
{
    int rc = eddy_create_server(
        world.loop, &server_classes[dice(2)],
        EDDY_SERVER(.host = "127.0.0.1", .arg = &world, .backlog = MAX_SIDES,
                    .tls = world.plan.tls ? world.plan.server_tls : NULL,
                    .handshake_timeout = world.plan.tls ? patience() : 0,
                    .shutdown_timeout = world.plan.tls ? patience() : 0,
                    .max_handshakes = world.plan.tls && chance(200) ? 1 + (unsigned)dice(2) : 0,
                    .write_timeout = world.manner == CLEAN ? EDDY_OFF : 0,
                    .linger = world.manner == CLEAN ? EDDY_SEC(36000) : 0),
        &world.server);

    EXPECT(rc == 0 || may_fail());
    if (rc == 0)
        world.port = eddy_server_port(world.server);
}

static void connect_one(void)
{
    struct side *s = side_new(false);
    struct actor *a = actor_new(s);
    bool tls = world.plan.tls;
    int rc = eddy_create_connection(
        world.loop, &a->base,
        EDDY_CONNECTION(.host = "127.0.0.1", .port = world.port,
                        .tls = tls ? world.plan.client_tls : NULL,
                        .server_hostname = tls && chance(500) ? "localhost" : NULL,
                        .handshake_timeout = tls ? patience() : 0,
                        .shutdown_timeout = tls ? patience() : 0,
                        .timeout = world.manner == CLEAN ? 0 : EDDY_SEC(20),
                        .write_timeout = world.manner == CLEAN ? EDDY_OFF : 0,
                        .linger = world.manner == CLEAN ? EDDY_SEC(36000) : 0,
                        .write_high = chance(500) ? 1 + (size_t)dice(20000) : 0),
        NULL);

    if (rc == 0)
        return;
    EXPECT(may_fail());
    s->accepted = false;
    s->attachments--;
    actor_free(a);
}

static void arm_faults(void)
{
    static const int errors[] = {-ECONNRESET, -EPIPE, -ETIMEDOUT, -ENOBUFS, -ENOMEM, -EIO};
    static const enum eddy_sim_call calls[] = {EDDY_SIM_ACCEPT, EDDY_SIM_CONNECT, EDDY_SIM_RECV,
                                               EDDY_SIM_SEND, EDDY_SIM_SHUTDOWN};
    int n = (int)dice(4);

    for (int i = 0; i < n; i++)
        eddy_sim_fail(world.sim, calls[dice(5)], 1 + (unsigned long)dice(60), errors[dice(6)]);
    if (chance(600))
        test_fail_allocation(1 + (long)dice(150));
}

static bool all(bool (*is)(const struct side *s))
{
    for (int i = 0; i < world.side_count; i++) {
        const struct side *s = &world.sides[i];
        if (s->accepted && !s->detached && !s->lost && !s->failed && !is(s))
            return false;
    }
    return true;
}

static bool is_over(const struct side *s)
{
    (void)s;
    return false;
}

static bool is_settled(const struct side *s)
{
    return s->made && s->free && !s->upgrading && peer_of(s);
}

static void run_for(eddy_nsec span, bool (*is_enough)(const struct side *s))
{
    eddy_nsec end = eddy_loop_time(world.loop) + span, now;

    for (int turns = 0; turns < MAX_TURNS; turns++) {
        now = eddy_loop_time(world.loop);
        if (now >= end || (is_enough && all(is_enough)))
            return;
        /* In pieces: the late backend forgets what a send or recv refused for no reason. */
        int rc = eddy_loop_run_once(world.loop, end - now < PIECE ? end - now : PIECE);
        if (rc < 0 && world.manner != FAULTY) {
            COMPLAIN("run_once gives %s", test_code(rc));
            return;
        }
    }
    COMPLAIN("too many turns");
}

static void resume_all(void)
{
    for (int i = 0; i < world.side_count; i++)
        eddy_transport_resume_reading(transport_of(&world.sides[i]));
}

/* Everybody comes to an end; in clean runs one side of each connection closes, so that all bytes
 * arrive at the other. */
static void drain(void)
{
    bool by_eof = chance(400), servers_close = chance(500);

    world.draining = true;
    for (int i = 0; i < world.side_count; i++) {
        struct side *s = &world.sides[i];
        struct eddy_transport *t = transport_of(s);

        if (!t)
            continue;
        eddy_transport_resume_reading(t);
        if (eddy_transport_is_closing(t) || s->wrote_eof)
            continue;
        if (s->free && chance(500))
            write_bytes(s, t, write_size());
        if (by_eof && s->free && !s->ended && eddy_transport_can_write_eof(t))
            do_write_eof(s, t);
        else if (world.manner != CLEAN || s->ended || !peer_of(s) || s->server == servers_close)
            do_close(s, t);
    }
    if (chance(300))
        eddy_server_close(world.server);
}

/* What half-closes and latecomers have left open. */
static void end_rest(void)
{
    for (int i = 0; i < world.side_count; i++) {
        struct eddy_transport *t = transport_of(&world.sides[i]);

        if (t && !eddy_transport_is_closing(t))
            do_close(&world.sides[i], t);
    }
}

static bool must_be_complete(const struct side *from, const struct side *to)
{
    return world.manner == CLEAN && !world.plan.doomed && !from->excused && !to->excused &&
           !to->closed && from->free && to->code != EDDY_ELOOP_CLOSED &&
           from->code != EDDY_ELOOP_CLOSED;
}

static void check_side(const struct side *s)
{
    const struct side *to = s->made ? peer_of(s) : NULL;
    int number = (int)(s - world.sides);

    if (!s->accepted || s->detached)
        return;
    if (s->made ? !s->lost : !s->failed)
        COMPLAIN("side %d has no end (made %d)", number, s->made);
    if (s->attachments != s->finis)
        COMPLAIN("side %d: %d attachments, %d fini", number, s->attachments, s->finis);
    if (world.plan.doomed && world.manner == CLEAN && !s->server && !s->excused && s->code)
        EXPECT(s->code == EDDY_ETLS || s->code == EDDY_ETLS_CERT || s->code == EDDY_ELOOP_CLOSED);
    if (world.plan.doomed && !s->server && s->level == world.plan.levels)
        EXPECT(s->code < 0 || s->excused || s->closed || world.manner != CLEAN);
    if (!to)
        return;
    if (to->received > s->written)
        COMPLAIN("more received than written");
    if (must_be_complete(s, to)) {
        if (to->received != s->written)
            COMPLAIN("side %d: %llu written, %llu received", number, (unsigned long long)s->written,
                     (unsigned long long)to->received);
        EXPECT(to->ended);
    }
}

static void close_world(void)
{
    world.draining = true;
    test_fail_allocation(0);
    eddy_sim_fail_none(world.sim);
    eddy_server_unref(world.server);
    EXPECT(eddy_loop_close(world.loop) == 0);
    for (int i = 0; i < world.side_count; i++) {
        forget_upgrade(&world.sides[i]);
        check_side(&world.sides[i]);
    }
    eddy_loop_unref(world.loop);
    eddy_tls_unref(world.plan.server_tls);
    eddy_tls_unref(world.plan.client_tls);
    if (world.owned_out)
        COMPLAIN("%d owned writes were not released", world.owned_out);
}

/* Returns what the same seed must give again. */
static uint64_t close_network(void)
{
    struct eddy_sim_stats stats;
    const char *what;

    if (eddy_sim_violations(world.sim, &what))
        COMPLAIN("violation: %s", what);
    eddy_sim_get_stats(world.sim, &stats);
    if (stats.open)
        COMPLAIN("%d descriptors are open", stats.open);
    if (stats.closed_registered)
        COMPLAIN("closed while registered");
    uint64_t hash = eddy_sim_trace_hash(world.sim);
    eddy_sim_free(world.sim);
    return hash;
}

static uint64_t run_scenario(uint64_t seed)
{
    long live = test_live_allocations();

    if (open_world(seed) < 0) {
        COMPLAIN("no loop");
        return 0;
    }
    make_plan(&world.plan);
    if (world.manner == FAULTY)
        arm_faults();
    open_server();
    for (int n = world.server ? 1 + (int)dice(3) : 0; n > 0; n--) {
        connect_one();
        if (chance(300))
            run_for(some_time(EDDY_MSEC(100)), NULL);
    }
    run_for(some_time(EDDY_MSEC(chance(500) ? 500 : 5000)), NULL);
    if (!chance(100)) {
        for (int i = 0; i < 50 && world.manner == CLEAN && !all(is_settled); i++) {
            resume_all();
            run_for(EDDY_SEC(10), is_settled);
        }
        drain();
        run_for(EDDY_SEC(300), is_over);
        end_rest();
        run_for(EDDY_SEC(40000), is_over);
    }
    close_world();
    uint64_t hash = close_network();
    if (test_live_allocations() != live)
        COMPLAIN("%ld allocations are live", test_live_allocations() - live);
    return hash;
}

static void R1_G15_X3_X19_X27_X33_X37_X38_X43_scenarios(void)
{
    const char *one = getenv("EDDY_SEED"), *many = getenv("EDDY_SCENARIOS");
    uint64_t seed = one ? strtoull(one, NULL, 0) : 1;
    uint64_t last = one ? seed : many ? strtoull(many, NULL, 0) : DEFAULT_SCENARIOS, hash;
    int failed = 0;

    make_contexts();
    for (; seed <= last && failed < 10; seed++) {
        hash = run_scenario(seed);
        if (world.failures == 0 && seed % 100 == 0 && !world.plan.resumes &&
            run_scenario(seed) != hash)
            COMPLAIN("two runs of this seed differ");
        failed += world.failures > 0;
    }
    for (int i = 0; i < CONTEXTS; i++)
        eddy_tls_unref(contexts[i]);
}

const struct test_case test_cases[] = {
    TEST(R1_G15_X3_X19_X27_X33_X37_X38_X43_scenarios),
    TEST_END,
};
