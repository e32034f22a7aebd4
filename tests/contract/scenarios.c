/* backends: epoll io_uring sim sim-late */
/* timeout: 300 */
/* labels: scenarios */
/*
 * Seeded scenarios: a few servers and clients on one loop talk at random and do to each other from
 * all their callbacks what may be done. Then the books are checked: callbacks in order (R1), each
 * connection_made with its connection_lost, each attachment with its fini, no byte lost or altered
 * where none may be, nothing left behind.
 *
 * On a simulator the network is as rough as the seed makes it, and a seed always runs the same way.
 * On the kernel the seed fixes what is done, not when: spans are shorter there, and nothing but
 * allocations is made to fail.
 *
 *     EDDY_SCENARIOS=100000   how many seeds, in place of DEFAULT_SCENARIOS or REAL_SCENARIOS
 *     EDDY_SEED=42            this one only; EDDY_TRACE=1 tells all that happens in it
 */
#include "tests/support/test.h"
#include <eddy/connection.h>
#include <eddy/server.h>
#include <eddy/sim.h>
#include <eddy/transport.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_SCENARIOS = 10000,
    REAL_SCENARIOS = 500,
    MAX_SIDES = 48,
    MAX_SERVERS = 3,
    MAX_WRITE = 20000,
    MAX_UNREAD = 4096,
    MAX_AREA = 3000,
    MAX_DEPTH = 3,
    MIN_ROOM = 64, /* smaller ones only take longer */
    MAX_TURNS = 200000,
    HASTE = 30, /* real time runs so much faster than the simulated one */
};

#define REAL_PATIENCE EDDY_SEC(20) /* for all to end */
#define REAL_SPAN EDDY_MSEC(20)    /* of linger and stall */

/* What the seed allows. */
enum manner {
    CLEAN,  /* ends by close, end of stream and write_eof only: every byte is accounted for */
    ROUGH,  /* aborts, resets, detached protocols, time-outs */
    FAULTY, /* and calls and allocations that fail */
};

/* One end of a connection, for the books: outlives the protocols that serve it. */
struct side {
    struct actor *actor; /* NULL: gone */
    bool server;
    bool made, lost, failed, ended, detached, accepted;
    bool blind;   /* does not know its names, nor so its bytes */
    bool spoiled; /* bytes may be lost: aborted, reset, timed out, detached, or a fault */
    bool closed;  /* by a call of ours */
    bool wrote_eof;
    bool write_paused;
    int attachments, finis;
    int local, peer; /* ports */
    uint64_t written, received;
    uint64_t peer_written;    /* when we called close */
    uint64_t received_before; /* the same */
    bool peer_was_idle;       /* the same: nothing of the peer's was still in its queue */
    int budget;               /* actions left to the timer */
    struct eddy_timer timer;
    struct eddy_future *future;
};

/* A protocol of a side. */
struct actor {
    struct eddy_protocol base;
    struct side *side;
    struct side *before; /* attached anew in its last callback: whose fini is still to come */
    struct actor *next;  /* of the world's held ones */
    bool retired;        /* another has taken over: only fini may come */
    bool held;
    bool instance; /* a server's */
    size_t area_size;
    uint8_t *area;
};

static struct world {
    uint64_t seed;
    enum manner manner;
    bool late;
    bool real; /* the kernel's network, and time */
    bool tidy; /* nothing is under way between hosts */
    bool draining;
    bool traced;
    int depth;
    int chatter; /* 1/1000: a callback does something */
    struct eddy_sim *sim;
    uint64_t dice; /* without one */
    struct eddy_loop *loop;
    struct eddy_server *servers[MAX_SERVERS];
    struct eddy_future *drained[MAX_SERVERS];
    int ports[MAX_SERVERS];
    const char *hosts[MAX_SERVERS];
    int server_count;
    struct side sides[MAX_SIDES];
    int side_count;
    struct actor *held;
    int owned_out; /* write_owned without their release */
    int failures;
} world;

static void act(struct side *own);

/* ---- small things ---- */

static void complain(int line, const char *fmt, ...) EDDY_PRINTF(2, 3);

static void complain(int line, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (world.traced)
        fprintf(stderr, "COMPLAINT: %s\n", text);
    if (world.failures++ < 5)
        test_fail(__FILE__, line, "EDDY_SEED=%llu (%s%s): %s", (unsigned long long)world.seed,
                  world.real   ? "real, "
                  : world.late ? "late, "
                               : "",
                  world.manner == CLEAN   ? "clean"
                  : world.manner == ROUGH ? "rough"
                                          : "faulty",
                  text);
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
        fprintf(stderr, "  side %d: %s %llu\n", (int)(s - world.sides), what,
                (unsigned long long)n);
}

static uint64_t dice(uint64_t limit)
{
    if (!world.real)
        return eddy_sim_random(world.sim, limit);
    world.dice = world.dice * 6364136223846793005u + 1442695040888963407u;
    return limit ? (world.dice >> 20) % limit : 0;
}

/* So long at most, or less. */
static eddy_nsec some_time(eddy_nsec longest)
{
    return (eddy_nsec)dice((uint64_t)(world.real ? longest / HASTE : longest));
}

/* What a span is in a run that is not clean. */
static eddy_nsec real_span(eddy_nsec simulated)
{
    return world.real ? REAL_SPAN : simulated;
}

static bool chance(unsigned per_mille)
{
    return dice(1000) < per_mille;
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
    int i;

    for (i = 0; i < world.side_count; i++) {
        struct side *p = &world.sides[i];
        if (p != s && p->made && s->made && p->server != s->server && p->local == s->peer &&
            p->peer == s->local)
            return p;
    }
    return NULL;
}

static void spoil_both(struct side *s)
{
    struct side *p = peer_of(s);

    s->spoiled = true;
    if (p)
        p->spoiled = true;
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

static void actor_unhold(struct actor *a)
{
    struct actor **at;

    for (at = &world.held; *at; at = &(*at)->next) {
        if (*at == a) {
            *at = a->next;
            break;
        }
    }
    a->held = false;
}

static void actor_free(struct actor *a)
{
    if (a->held)
        actor_unhold(a);
    if (a->side->actor == a)
        a->side->actor = NULL;
    free(a->area);
    if (!a->instance)
        free(a);
}

static struct side *side_new(bool server)
{
    struct side *s;

    if (world.side_count == MAX_SIDES)
        return NULL;
    s = &world.sides[world.side_count++];
    memset(s, 0, sizeof *s);
    s->server = server;
    s->budget = (int)dice(12);
    s->accepted = true;
    return s;
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
    if (chance((unsigned)world.chatter))
        act(s);
}

static void fill(const struct side *s, uint8_t *to, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        to[i] = stream_byte(s->local, s->peer, s->written + i);
}

static size_t write_size(void)
{
    switch (dice(4)) {
    case 0:
        return 1 + (size_t)dice(16);
    case 1:
        return 1 + (size_t)dice(500);
    case 2:
        return 1 + (size_t)dice(5000);
    default:
        return 1 + (size_t)dice(world.tidy || chance(150) ? MAX_WRITE : 2000);
    }
}

/* Writing may call pause_writing, and that may write: so the bytes are counted before. */
static void do_write(struct side *s, struct eddy_transport *t)
{
    size_t len = write_size(), cut;
    struct owned *o = malloc(sizeof *o + len + 16);
    uint8_t *data = o->bytes;
    struct iovec iov[3];
    bool may = !eddy_transport_is_closing(t) && !s->wrote_eof;
    int rc;

    o->side = s;
    tell(s, may ? "writes" : "writes in vain", len);
    fill(s, data, len);
    if (may)
        s->written += len; /* bytes written from inside come behind these */
    switch (dice(3)) {
    case 0:
        rc = eddy_transport_write(t, data, len);
        memset(data, 0xee, len);
        free(o);
        break;
    case 1:
        cut = (size_t)dice(len);
        iov[0] = (struct iovec){data, cut};
        iov[1] = (struct iovec){data + cut, 0};
        iov[2] = (struct iovec){data + cut, len - cut};
        rc = eddy_transport_writev(t, iov, 3);
        memset(data, 0xee, len);
        free(o);
        break;
    default:
        world.owned_out++;
        rc = eddy_transport_write_owned(t, data, len, release_owned, o);
        break;
    }
    if (!may) {
        EXPECT(rc == EDDY_ECLOSED || rc == EDDY_EINVALID_STATE);
    } else if (rc < 0) {
        EXPECT(rc == -ENOMEM || rc == -ENOBUFS);
        EXPECT(world.manner != CLEAN);
        spoil_both(s); /* some of it may have been sent */
    }
}

static void note_close(struct side *s)
{
    struct side *p = peer_of(s);
    struct eddy_transport *t = p ? transport_of(p) : NULL;

    if (s->closed)
        return;
    s->closed = true;
    s->received_before = s->received;
    s->peer_written = p ? p->written : 0;
    s->peer_was_idle = t && eddy_transport_get_write_buffer_size(t) == 0;
}

static void do_close(struct side *s, struct eddy_transport *t)
{
    tell(s, "closes", 0);
    if (!eddy_transport_is_closing(t))
        note_close(s);
    eddy_transport_close(t);
}

static void do_write_eof(struct side *s, struct eddy_transport *t)
{
    tell(s, "write_eof", 0);
    s->wrote_eof = true; /* before: it flushes, and may call pause_writing */
    EXPECT(eddy_transport_write_eof(t) == 0);
}

static void do_abort(struct side *s, struct eddy_transport *t)
{
    tell(s, "aborts", 0);
    spoil_both(s);
    if (chance(500))
        eddy_transport_abort(t, chance(500) ? EDDY_ERROR(-EPROTO, "a scenario's abort") : NULL);
    else
        eddy_protocol_abort(&s->actor->base, NULL);
}

static void do_detach(struct side *s)
{
    struct actor *a = s->actor;
    bool instance = a->instance;

    tell(s, "detaches", 0);
    spoil_both(s);
    s->detached = true;
    s->attachments--;
    eddy_timer_cancel(&s->timer);
    if (a->held)
        actor_unhold(a);
    s->actor = NULL;
    free(a->area);
    eddy_protocol_detach(&a->base);
    if (!instance)
        free(a);
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

static void do_hold(struct actor *a)
{
    if (a->held)
        return;
    eddy_protocol_hold(&a->base);
    a->held = true;
    a->next = world.held;
    world.held = a;
}

static void release_one(void)
{
    struct actor *a = world.held;

    if (a == NULL)
        return;
    actor_unhold(a);
    eddy_protocol_release(&a->base);
}

static void do_limits(struct eddy_transport *t)
{
    size_t high = (size_t)dice(3000);
    int rc = eddy_transport_set_write_buffer_limits(t, (size_t)dice(high + 1), high);

    EXPECT(rc == 0 || (rc == -ENOMEM && world.manner == FAULTY));
}

static void do_timeouts(struct side *s, struct eddy_transport *t)
{
    spoil_both(s);
    if (chance(100))
        eddy_transport_set_write_max(t, 1 + (size_t)dice(5000));
    if (chance(500))
        eddy_transport_set_idle_timeout(t, some_time(EDDY_SEC(5)));
    else
        eddy_transport_set_write_timeout(t, 1 + some_time(EDDY_SEC(5)));
    eddy_transport_set_linger(t, chance(300) ? EDDY_OFF : some_time(EDDY_SEC(5)));
}

/* < 0: it will not be called. */
static int connect_actor(struct actor *a, struct side *s)
{
    bool nobody = world.manner != CLEAN && chance(50);
    int i = (int)dice((uint64_t)world.server_count);

    return eddy_create_connection(
        world.loop, &a->base,
        EDDY_CONNECTION(.host = world.hosts[i], .port = nobody ? 1 : world.ports[i],
                        .timeout = world.manner == CLEAN ? 0 : EDDY_SEC(20),
                        .write_timeout = world.manner == CLEAN ? EDDY_OFF : real_span(0),
                        .linger = world.manner == CLEAN ? EDDY_SEC(36000) : real_span(0),
                        .write_high = chance(500) ? 1 + (size_t)dice(2000) : 0),
        chance(300) ? &s->future : NULL);
}

static void connect_one(void)
{
    struct side *s = side_new(false);
    struct actor *a;

    if (s == NULL)
        return;
    a = actor_new(s);
    if (connect_actor(a, s) == 0)
        return;
    EXPECT(world.manner == FAULTY || world.draining);
    s->accepted = false;
    s->attachments--;
    actor_free(a);
}

/* A client attaches itself again, from one of its last callbacks. */
static bool reconnect(struct actor *a, bool from_fini)
{
    struct side *old = a->side, *s;

    if (a->instance || a->held || a->retired || a->before || world.draining || !chance(200))
        return false;
    s = side_new(false);
    if (s == NULL)
        return false;
    a->side = s;
    if (connect_actor(a, s) < 0) {
        EXPECT(world.manner == FAULTY);
        a->side = old;
        s->accepted = false;
        return false;
    }
    tell(old, "connects again as", (uint64_t)(s - world.sides));
    s->actor = a;
    s->attachments++;
    old->actor = NULL;
    if (!from_fini)
        a->before = old;
    return true;
}

/* What the network does, or here the other host. */
static void do_reset(struct side *s, struct eddy_transport *t)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    spoil_both(s);
    if (!world.real) {
        eddy_sim_reset(world.sim, eddy_transport_fd(t), some_time(EDDY_MSEC(100)));
        return;
    }
    setsockopt(eddy_transport_fd(t), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    eddy_transport_abort(t, NULL);
}

static void do_rough(struct side *s, struct eddy_transport *t)
{
    struct eddy_server *server = world.servers[dice((uint64_t)world.server_count)];

    switch (dice(10)) {
    case 0:
    case 1:
        do_abort(s, t);
        break;
    case 2:
        do_detach(s);
        break;
    case 3:
        do_reset(s, t);
        break;
    case 4:
        do_timeouts(s, t);
        break;
    case 5:
        spoil_both(s);
        if (!world.real)
            eddy_sim_freeze(world.sim, eddy_transport_fd(t), true);
        break;
    case 6:
        if (s->future)
            eddy_future_cancel(s->future, NULL);
        break;
    case 7:
        if (server && chance(100))
            eddy_server_close_clients(server);
        break;
    case 8:
        if (server && chance(100))
            eddy_server_close(server);
        break;
    default:
        if (server && chance(100))
            eddy_server_abort_clients(server, NULL);
        break;
    }
}

/* close_clients closes behind our books' back, so in rough runs a close may be anybody's. */
static void do_one(struct side *s, struct eddy_transport *t)
{
    if (world.manner != CLEAN && chance(120)) {
        do_rough(s, t);
        return;
    }
    switch (dice(17)) {
    case 16:
        if (!world.real)
            eddy_sim_spend(world.sim, some_time(EDDY_MSEC(3)));
        break;
    case 0:
        if (chance(300))
            do_close(s, t);
        break;
    case 1:
        if (chance(300))
            do_write_eof(s, t);
        break;
    case 2:
    case 3:
        tell(s, "pauses", 0);
        eddy_transport_pause_reading(t);
        break;
    case 4:
    case 5:
    case 6:
        tell(s, "resumes", 0);
        eddy_transport_resume_reading(t);
        break;
    case 7:
        do_switch(s, t);
        break;
    case 8:
        do_hold(s->actor);
        break;
    case 9:
        release_one();
        break;
    case 10:
        do_limits(t);
        break;
    case 11:
        eddy_transport_flush(t);
        break;
    default:
        if (!s->blind)
            do_write(s, t);
        break;
    }
}

/* Something to a side, our own or not. */
static void act(struct side *own)
{
    struct side *s = own;
    struct eddy_transport *t;

    if (world.depth >= MAX_DEPTH || world.draining)
        return;
    world.depth++;
    if (own == NULL || chance(350))
        s = &world.sides[dice((uint64_t)world.side_count)];
    t = transport_of(s);
    if (t)
        do_one(s, t);
    else if (s->actor && !s->made && !s->failed && !s->server && world.manner != CLEAN &&
             chance(30)) {
        if (chance(500))
            eddy_protocol_abort(&s->actor->base, NULL);
        else
            do_detach(s);
    }
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
    s->blind = s->local == 0 || s->peer == 0;
    EXPECT(!s->blind || world.manner != CLEAN);
    s->timer.fn = on_timer;
    eddy_loop_call_later(world.loop, &s->timer, some_time(EDDY_MSEC(60)));
    maybe_act(s);
}

static void take(struct side *s, const uint8_t *data, size_t len)
{
    struct eddy_transport *t = transport_of(s);
    size_t back, i;

    tell(s, "DR", len);
    EXPECT(s->made && !s->ended);
    EXPECT(!eddy_transport_is_closing(t));
    EXPECT(eddy_transport_is_reading(t));
    EXPECT(len > 0 && len <= 256 * 1024);
    for (i = 0; i < len && !s->blind; i++) {
        if (data[i] != stream_byte(s->peer, s->local, s->received + i)) {
            COMPLAIN("wrong byte at %llu + %zu", (unsigned long long)s->received, i);
            break;
        }
    }
    back = chance(100) ? (size_t)dice(len < MAX_UNREAD ? len + 1 : MAX_UNREAD) : 0;
    s->received += len;
    if (back > 0) {
        int rc = eddy_transport_unread(t, data + len - back, back);

        EXPECT(rc == 0 || (rc == -ENOMEM && world.manner == FAULTY));
        tell(s, "unread", back);
        if (rc == 0)
            s->received -= back;
    }
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

    (void)hint;
    EXPECT(!eddy_transport_is_closing(p->transport) && !s->ended);
    *ret = a->area;
    if (chance((unsigned)world.chatter / 8)) {
        size_t size = a->area_size;

        act(s); /* a may be gone */
        return size;
    }
    return a->area_size;
}

static void buffer_updated(struct eddy_protocol *p, size_t len)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);

    EXPECT(len <= a->area_size);
    take(side_of(p), a->area, len);
}

static bool eof_received(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    tell(s, "ER", 0);
    EXPECT(s->made && !s->ended);
    EXPECT(!eddy_transport_is_closing(p->transport));
    s->ended = true;
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

/* In clean runs a reset is no excuse: it must not have destroyed what had to arrive. */
static void check_loss(struct side *s, const struct side *peer, const struct eddy_error *err)
{
    if (err == NULL)
        return;
    if (world.manner != CLEAN || err->code == EDDY_ELOOP_CLOSED)
        s->spoiled = true;
    else if (peer && !peer->closed)
        COMPLAIN("lost by %s (%s) though the peer has not closed", test_code(err->code), err->text);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);
    struct side *peer = peer_of(s);

    tell(s, "CL", err ? (uint64_t)-err->code : 0);
    EXPECT(s->made);
    EXPECT(eddy_transport_is_closing(p->transport));
    maybe_act(s);
    s->lost = true;
    eddy_timer_cancel(&s->timer);
    check_loss(s, peer, err);
    if (s->actor)
        reconnect(s->actor, false);
}
static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);

    EXPECT(!s->made && !s->server);
    EXPECT(err && err->code < 0);
    maybe_act(s);
    s->failed = true;
    if (s->actor)
        reconnect(s->actor, false);
}

static void fini(struct eddy_protocol *p)
{
    struct actor *a = EDDY_CONTAINER_OF(p, struct actor, base);

    EXPECT(p->transport == NULL);
    EXPECT(!a->held);
    if (a->before) {
        a->before->finis++;
        a->before = NULL;
        return;
    }
    EXPECT(a->retired || a->side->lost || a->side->failed);
    a->side->finis++;
    if (!reconnect(a, true))
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
    if (world.manner == FAULTY || strstr(problem->message, "transport creation"))
        return; /* init has refused it */
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

/* What the kernel sends may be on its way for a while, on a machine that is busy: never tidy. */
static int open_real_world(void)
{
    world.dice = world.seed * 0x9e3779b97f4a7c15u;
    world.chatter = (int)dice(400);
    return test_loop_new_opts(EDDY_LOOP(.on_problem = on_problem, .log = on_log, .user = &world,
                                        .debug = chance(300), .slow_callback = EDDY_SEC(3600)),
                              &world.loop);
}

static int open_world(uint64_t seed)
{
    struct eddy_sim_opts opts;
    int rc;

    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.real = !test_is_sim();
    world.late = strcmp(test_backend() ? test_backend() : "", "sim-late") == 0;
    world.traced = getenv("EDDY_TRACE") != NULL;
    world.manner = seed % 10 < 5 ? CLEAN : seed % 10 < 8 ? ROUGH : FAULTY;
    if (world.real)
        return open_real_world();
    world.tidy = seed % 4 == 1;
    eddy_sim_wild(&opts, seed);
    if (world.tidy)
        opts.latency = opts.jitter = opts.chunking = 0;
    if (opts.recv_room < MIN_ROOM)
        opts.recv_room = MIN_ROOM;
    if (opts.send_room < MIN_ROOM)
        opts.send_room = MIN_ROOM;
    if (world.traced)
        opts.trace = on_trace;
    rc = eddy_sim_new(&opts, &world.sim);
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

/* A full one costs a second of the kernel's time. */
static int some_backlog(void)
{
    int few = 1 + (int)dice(10);

    return world.real ? MAX_SIDES : few;
}

static bool has_ipv6(void)
{
    struct eddy_addr a;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && eddy_addr_parse("::1", 0, &a) == 0 && bind(fd, &a.u.sa, a.len) == 0;

    close(fd);
    return has;
}

static void open_servers(void)
{
    bool only_4 = world.real && !has_ipv6();
    int wanted = 1 + (int)dice(MAX_SERVERS), i, rc;
    struct eddy_server *s;

    for (i = 0; i < wanted; i++) {
        const char *host = chance(500) || only_4 ? "127.0.0.1" : "::1";
        rc = eddy_create_server(
            world.loop, &server_classes[dice(2)],
            EDDY_SERVER(.host = host, .arg = &world, .backlog = some_backlog(),
                        .max_connections = chance(200) ? 1 + (unsigned)dice(3) : 0,
                        .write_timeout = world.manner == CLEAN ? EDDY_OFF : real_span(0),
                        .linger = world.manner == CLEAN ? EDDY_SEC(36000) : real_span(0)),
            &s);
        if (rc < 0) {
            EXPECT(world.manner == FAULTY);
            continue;
        }
        world.ports[world.server_count] = eddy_server_port(s);
        world.hosts[world.server_count] = host;
        world.servers[world.server_count++] = s;
    }
}

static void arm_faults(void)
{
    static const int errors[] = {-ECONNRESET, -EPIPE,  -ETIMEDOUT, -ENOBUFS,  -ENOMEM,
                                 -EMFILE,     -EAGAIN, -EIO,       -ENOTCONN, -ENOTSOCK};
    int i, n = (int)dice(world.real ? 1 : 5);

    for (i = 0; i < n; i++) {
        enum eddy_sim_call call = (enum eddy_sim_call)dice(EDDY_SIM_SELECT_WAIT);
        int error = errors[dice(10)];

        if (error == -EAGAIN && call != EDDY_SIM_RECV && call != EDDY_SIM_SEND)
            error = -EIO;
        eddy_sim_fail(world.sim, call, 1 + (unsigned long)dice(30), error);
    }
    if (chance(500))
        test_fail_allocation(1 + (long)dice(200));
    if (!world.real && chance(200))
        eddy_sim_set_max_fds(world.sim, 4 + (int)dice(12));
}

static bool all_over(void)
{
    int i;

    for (i = 0; i < world.side_count; i++) {
        const struct side *s = &world.sides[i];
        if (s->accepted && !s->detached && !s->lost && !s->failed)
            return false;
    }
    for (i = 0; i < world.server_count; i++) {
        if (world.drained[i] && !eddy_future_is_done(world.drained[i]))
            return false; /* connections may outlive a protocol that was detached */
    }
    return world.held == NULL;
}

static void run_for(eddy_nsec span)
{
    eddy_nsec end = eddy_loop_time(world.loop) + span, now;
    int turns, rc;

    for (turns = 0; turns < MAX_TURNS; turns++) {
        now = eddy_loop_time(world.loop);
        if (now >= end || (world.draining && all_over()))
            return;
        rc = eddy_loop_run_once(world.loop, end - now);
        if (rc < 0 && world.manner != FAULTY) {
            COMPLAIN("run_once gives %s", test_code(rc));
            return;
        }
    }
    COMPLAIN("too many turns");
}

/* In clean runs one side of each connection closes, whatever it has not read; the other hears of
 * it. */
static bool is_to_close(const struct side *s, bool servers_close)
{
    return world.manner != CLEAN || s->ended || peer_of(s) == NULL || s->server == servers_close;
}

/* Everybody comes to an end; in clean runs so that all bytes arrive. */
static void drain(void)
{
    bool by_eof = world.manner == CLEAN && chance(400), servers_close = chance(500);
    int i;

    world.draining = true;
    for (i = 0; i < world.side_count; i++) {
        struct side *s = &world.sides[i];
        struct eddy_transport *t = transport_of(s);

        if (t == NULL)
            continue;
        if (!s->blind && !eddy_transport_is_closing(t) && !s->wrote_eof && chance(500))
            do_write(s, t); /* there is something that closing might destroy */
        if (by_eof && !s->ended && !eddy_transport_is_closing(t))
            do_write_eof(s, t);
        else if (is_to_close(s, servers_close))
            do_close(s, t);
        eddy_transport_resume_reading(t);
    }
    while (world.held)
        release_one();
    for (i = 0; i < world.server_count; i++) {
        if (chance(300))
            eddy_server_close(world.servers[i]);
        else if (world.manner != CLEAN && chance(300))
            eddy_server_drain(world.servers[i], some_time(EDDY_SEC(100)), &world.drained[i]);
    }
}

/* Those that came up while draining. */
static void end_latecomers(void)
{
    int i;

    for (i = 0; i < world.side_count; i++) {
        struct eddy_transport *t = transport_of(&world.sides[i]);

        if (t && !eddy_transport_is_closing(t) && !world.sides[i].wrote_eof)
            do_close(&world.sides[i], t);
    }
}

static bool must_be_complete(const struct side *from, const struct side *to)
{
    if (from->spoiled || to->spoiled || from->detached || to->detached || to->closed)
        return false;
    if (!from->closed)
        return true;
    if (to->written != from->peer_written)
        return false; /* what comes for a closed socket resets, and destroys */
    return from->received_before == from->peer_written || (world.tidy && from->peer_was_idle);
}

static void check_side(const struct side *s)
{
    const struct side *to = s->made ? peer_of(s) : NULL;

    if (!s->accepted || s->detached)
        return;
    if (s->made ? !s->lost : !s->failed)
        COMPLAIN("side %d has no end (made %d)", (int)(s - world.sides), s->made);
    if (s->attachments != s->finis)
        COMPLAIN("side %d: %d attachments, %d fini", (int)(s - world.sides), s->attachments,
                 s->finis);
    if (to == NULL)
        return;
    if (to->received > s->written)
        COMPLAIN("more received than written");
    if (world.manner == CLEAN && must_be_complete(s, to)) {
        if (to->received != s->written)
            COMPLAIN("side %d -> %d: %llu written, %llu received", (int)(s - world.sides),
                     (int)(to - world.sides), (unsigned long long)s->written,
                     (unsigned long long)to->received);
        EXPECT(to->ended);
    }
}

static void close_world(bool abruptly)
{
    int i;

    if (abruptly) {
        for (i = 0; i < world.side_count; i++)
            world.sides[i].spoiled = true;
        while (world.held)
            release_one();
        world.draining = true;
    }
    test_fail_allocation(0);
    for (i = 0; i < world.server_count; i++) {
        if (world.drained[i] && world.manner == ROUGH)
            EXPECT(eddy_future_result(world.drained[i], NULL) == 0);
        eddy_future_unref(world.drained[i]);
        eddy_server_unref(world.servers[i]);
    }
    EXPECT(eddy_loop_close(world.loop) == 0);
    for (i = 0; i < world.side_count; i++) {
        if (world.sides[i].future) {
            eddy_future_error(world.sides[i].future);
            EXPECT(eddy_future_is_done(world.sides[i].future));
            eddy_future_unref(world.sides[i].future);
        }
    }
    eddy_loop_unref(world.loop);
    for (i = 0; i < world.side_count; i++)
        check_side(&world.sides[i]);
    if (world.owned_out)
        COMPLAIN("%d owned writes were not released", world.owned_out);
}

/* Returns what the same seed must give again; 0 on the kernel. */
static uint64_t close_network(int descriptors)
{
    struct eddy_sim_stats stats;
    const char *what;
    uint64_t hash;

    if (world.real) {
        if (test_open_descriptors() != descriptors)
            COMPLAIN("%d descriptors are open", test_open_descriptors() - descriptors);
        return 0;
    }
    if (eddy_sim_violations(world.sim, &what))
        COMPLAIN("violation: %s", what);
    eddy_sim_get_stats(world.sim, &stats);
    if (stats.open)
        COMPLAIN("%d descriptors are open", stats.open);
    if (stats.closed_registered)
        COMPLAIN("closed while registered");
    hash = eddy_sim_trace_hash(world.sim);
    eddy_sim_free(world.sim);
    return hash;
}

static uint64_t run_scenario(uint64_t seed)
{
    long live = test_live_allocations();
    int descriptors = test_open_descriptors();
    int clients, i;
    bool abruptly;
    uint64_t hash;

    if (open_world(seed) < 0) {
        COMPLAIN("no loop");
        return 0;
    }
    if (world.manner == FAULTY)
        arm_faults();
    open_servers();
    clients = world.server_count ? 1 + (int)dice(6) : 0;
    for (i = 0; i < clients; i++) {
        connect_one();
        if (chance(300))
            run_for(some_time(EDDY_MSEC(100)));
    }
    run_for(some_time(EDDY_MSEC(chance(500) ? 100 : 1000)));
    abruptly = chance(150);
    if (!abruptly) {
        drain();
        run_for(world.real ? REAL_PATIENCE / 100 : EDDY_SEC(300));
        end_latecomers();
        run_for(world.real ? REAL_PATIENCE : EDDY_SEC(3600));
    }
    close_world(abruptly);
    hash = close_network(descriptors);
    if (test_live_allocations() != live)
        COMPLAIN("%ld allocations are live", test_live_allocations() - live);
    return hash;
}

static void R1_R8_R9_T5_T12_G15_P28_P32_P34_P35_scenarios(void)
{
    const char *one = getenv("EDDY_SEED"), *many = getenv("EDDY_SCENARIOS");
    uint64_t seed = one ? strtoull(one, NULL, 0) : 1;
    uint64_t last = test_is_sim() ? DEFAULT_SCENARIOS : REAL_SCENARIOS, hash;
    int failed = 0;

    last = one ? seed : many ? strtoull(many, NULL, 0) : last;
    for (; seed <= last && failed < 10; seed++) {
        hash = run_scenario(seed);
        if (world.failures == 0 && seed % 100 == 0 && run_scenario(seed) != hash)
            COMPLAIN("two runs of this seed differ");
        failed += world.failures > 0;
    }
}

const struct test_case test_cases[] = {
    TEST(R1_R8_R9_T5_T12_G15_P28_P32_P34_P35_scenarios),
    TEST_END,
};
