/* backends: epoll io_uring sim sim-late */
/* timeout: 300 */
/* labels: scenarios */
/*
 * Seeded scenarios: a few endpoints on one loop send to each other at random, and pause, close and
 * abort from all their callbacks. Then the books are checked: callbacks in order (R3, T55), nothing
 * that was not sent, the order of each sender where nothing mixes it up, accounts at 0 (T49), one
 * connection_lost and one fini each.
 *
 *     EDDY_SCENARIOS=100000   how many seeds, in place of DEFAULT_SCENARIOS or REAL_SCENARIOS
 *     EDDY_SEED=42            this one only
 */
#include "tests/support/test.h"
#include <eddy/datagram.h>
#include <eddy/sim.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DEFAULT_SCENARIOS = 3000,
    REAL_SCENARIOS = 60,
    MOST = 6,
    ACTIONS = 120,
    MAX_LEN = 3000,
    MAX_TURNS = 20000,
};

struct end {
    struct eddy_datagram_protocol base;
    struct eddy_transport *t;
    int id, port;
    bool made, lost, finished, closed, paused, connected;
    uint32_t sent;        /* the number of the last one */
    uint32_t heard[MOST]; /* ... of each sender */
    struct eddy_timer timer;
};

static struct world {
    uint64_t seed, dice, key;
    struct eddy_loop *loop;
    struct eddy_sim *sim;
    struct end ends[MOST];
    int count, actions, depth, failures;
    bool ordered; /* nothing overtakes, nothing is doubled */
    bool faulty;
} w;

/* What each datagram begins with. A port that was closed may soon be another program's: what comes
 * to it then has another key. */
struct head {
    uint64_t key;
    uint32_t sender, number;
};

static uint64_t dice(uint64_t limit)
{
    uint64_t z = w.dice += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return limit ? (z ^ (z >> 31)) % limit : 0;
}

static void expect(bool held, const char *what, int line)
{
    if (!held && w.failures++ < 5)
        test_fail(__FILE__, line, "EDDY_SEED=%llu: %s", (unsigned long long)w.seed, what);
}

#define EXPECT(condition) expect((condition), #condition, __LINE__)

static struct end *end_of(struct eddy_datagram_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct end, base);
}

/* ---- what they do ---- */

static void send_one(struct end *e)
{
    static char bytes[70000];
    struct end *to = &w.ends[dice((uint64_t)w.count)];
    struct head head = {w.key, (uint32_t)e->id, e->sent + 1};
    size_t len = sizeof head + dice(MAX_LEN);
    struct eddy_addr addr;

    if (w.sim && dice(40) == 0)
        len = 66000; /* too long */
    memcpy(bytes, &head, sizeof head);
    EXPECT(eddy_addr_parse("127.0.0.1", to->port, &addr) == 0);
    e->sent++;
    int rc = eddy_transport_sendto(e->t, bytes, len, e->connected ? NULL : &addr);
    if (rc == -ENOMEM)
        EXPECT(w.faulty);
    else
        EXPECT(rc == 0 || rc == EDDY_ECLOSED);
}

static void act(struct end *e)
{
    if (!e->t || w.actions <= 0 || w.depth > 3)
        return;
    w.actions--;
    w.depth++;
    switch (dice(24)) {
    case 0:
        eddy_transport_close(e->t);
        e->closed = true;
        break;
    case 1:
        if (dice(3) == 0) {
            eddy_transport_abort(e->t, NULL);
            e->closed = true;
        }
        break;
    case 2:
    case 3:
        eddy_transport_pause_reading(e->t);
        break;
    case 4:
    case 5:
    case 6:
        eddy_transport_resume_reading(e->t);
        break;
    case 7:
        eddy_transport_set_write_buffer_limits(e->t, dice(2000), 2000 + dice(3000));
        break;
    default:
        for (uint64_t n = dice(4) + 1; n > 0 && e->t; n--)
            send_one(e);
        break;
    }
    w.depth--;
}

static void act_somewhere(void)
{
    if (dice(3) == 0)
        act(&w.ends[dice((uint64_t)w.count)]);
}

static void due(struct eddy_timer *timer)
{
    struct end *e = EDDY_CONTAINER_OF(timer, struct end, timer);

    act(e);
    if (!e->lost && w.actions > 0)
        eddy_loop_call_later(w.loop, &e->timer, (eddy_nsec)dice((uint64_t)EDDY_MSEC(3)));
}

/* ---- what they are told ---- */

static void made(struct eddy_datagram_protocol *p, struct eddy_transport *t)
{
    struct end *e = end_of(p);

    EXPECT(!e->made && !e->lost);
    e->made = true;
    e->t = t;
    act_somewhere();
}

static void came(struct eddy_datagram_protocol *p, const void *data, size_t len,
                 const struct eddy_addr *from)
{
    struct end *e = end_of(p);
    struct head head = {0, 0, 0};

    EXPECT(e->made && !e->lost && !e->closed);
    EXPECT(eddy_transport_is_reading(e->t));
    EXPECT(len >= sizeof head && from->len > 0);
    memcpy(&head, data, len < sizeof head ? len : sizeof head);
    if (head.key != w.key) {
        EXPECT(!w.sim);
        return;
    }
    EXPECT(head.sender < (uint32_t)w.count && head.number >= 1);
    if (head.sender < (uint32_t)w.count) {
        EXPECT(head.number <= w.ends[head.sender].sent);
        if (w.ordered)
            EXPECT(head.number > e->heard[head.sender]);
        e->heard[head.sender] = head.number;
    }
    act_somewhere();
}

static void failed(struct eddy_datagram_protocol *p, int code, const struct eddy_addr *addr)
{
    struct end *e = end_of(p);

    (void)addr;
    EXPECT(e->made && !e->lost && code < 0);
    act_somewhere();
}

static void paused(struct eddy_datagram_protocol *p)
{
    struct end *e = end_of(p);

    EXPECT(e->made && !e->lost && !e->paused && !e->closed);
    e->paused = true;
    act_somewhere();
}

static void resumed(struct eddy_datagram_protocol *p)
{
    struct end *e = end_of(p);

    EXPECT(e->made && !e->lost && e->paused);
    e->paused = false;
    act_somewhere();
}

static void lost(struct eddy_datagram_protocol *p, const struct eddy_error *err)
{
    struct end *e = end_of(p);

    EXPECT(e->made && !e->lost);
    EXPECT(!err || w.faulty || err->code == -ETIMEDOUT);
    e->lost = true;
    e->t = NULL;
    act_somewhere();
}

static void finished(struct eddy_datagram_protocol *p)
{
    struct end *e = end_of(p);

    EXPECT(e->lost && !e->finished);
    e->finished = true;
}

static const struct eddy_datagram_protocol_class end_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct end, base),
    .datagram_received = came,
    .error_received = failed,
    .fini = finished,
    .connection_made = made,
    .pause_writing = paused,
    .resume_writing = resumed,
    .connection_lost = lost,
};

/* ---- a scenario ---- */

static void add_end(void)
{
    struct end *e = &w.ends[w.count];
    struct eddy_addr a;

    memset(e, 0, sizeof *e);
    e->id = w.count;
    e->timer.fn = due;
    eddy_datagram_protocol_init(&e->base, &end_class);
    e->connected = w.count > 1 && dice(3) == 0;
    REQUIRE(eddy_create_datagram_endpoint(
                w.loop, &e->base,
                EDDY_DATAGRAM(.local_host = "127.0.0.1",
                              .remote_host = e->connected ? "127.0.0.1" : NULL,
                              .remote_port = e->connected ? w.ends[0].port : 0,
                              .report_errors = dice(2) == 0, .write_low = 500, .write_high = 2000),
                NULL) == 0);
    while (!e->made)
        REQUIRE(eddy_loop_run_once(w.loop, EDDY_MSEC(50)) == 0);
    if (!e->t)
        return;
    EXPECT(eddy_transport_sockname(e->t, &a) == 0);
    e->port = eddy_addr_port(&a);
    w.count++;
}

static void break_something(void)
{
    static const int errors[] = {-EAGAIN, -ENOBUFS, -ENOMEM, -EPERM, -ENETUNREACH, -ECONNREFUSED};

    if (!w.faulty || !w.sim)
        return;
    for (int i = 0; i < 5; i++)
        eddy_sim_fail(w.sim, dice(2) ? EDDY_SIM_SEND_MESSAGES : EDDY_SIM_RECV_MESSAGES,
                      1 + dice(80), errors[dice(6)]);
    test_fail_allocation(1 + (long)dice(60));
}

static bool all_are_finished(void)
{
    for (int i = 0; i < w.count; i++) {
        if (!w.ends[i].finished)
            return false;
    }
    return true;
}

static void play(void)
{
    int turns = 0;

    for (int i = 0; i < w.count; i++)
        eddy_loop_call_later(w.loop, &w.ends[i].timer, 1);
    for (; w.actions > 0 && !all_are_finished() && turns < MAX_TURNS; turns++) {
        if (eddy_loop_run_once(w.loop, EDDY_MSEC(5)) < 0)
            break;
    }
    w.actions = 0;
    test_fail_allocation(0);
    if (w.sim)
        eddy_sim_fail_none(w.sim);
    for (int i = 0; i < w.count; i++) {
        if (w.ends[i].t && dice(2) == 0) /* let it all out first */
            for (; eddy_transport_get_write_buffer_size(w.ends[i].t) > 0 && turns < MAX_TURNS;
                 turns++)
                eddy_loop_run_once(w.loop, EDDY_MSEC(5));
        if (!w.ends[i].t)
            continue;
        EXPECT(eddy_transport_get_write_buffer_size(w.ends[i].t) > 0 || !w.ends[i].paused ||
               w.ends[i].closed);
        eddy_transport_close(w.ends[i].t);
        w.ends[i].closed = true;
    }
    for (; !all_are_finished() && turns < MAX_TURNS; turns++)
        eddy_loop_run_once(w.loop, EDDY_MSEC(50));
    EXPECT(all_are_finished());
}

/* Sends on a closing transport are warned about; nothing else is. */
static void on_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user;
    (void)component;
    if (level >= EDDY_LOG_WARNING && !strstr(text, "on a closing transport"))
        expect(false, text, __LINE__);
}

static void run(uint64_t seed)
{
    struct eddy_sim_opts o;
    const char *first = NULL;

    memset(&w, 0, sizeof w);
    w.seed = w.dice = seed;
    w.key = seed << 32 | (uint64_t)getpid();
    w.faulty = test_is_sim() && dice(3) == 0;
    eddy_sim_wild(&o, seed);
    o.datagram_loss = dice(2) ? (unsigned)dice(300) : 0;
    if (dice(2)) {
        o.datagram_copies = (unsigned)dice(300);
        o.datagram_disorder = (unsigned)dice(500);
    }
    w.ordered = !test_is_sim() || (o.datagram_copies == 0 && o.datagram_disorder == 0);
    w.actions = ACTIONS;
    test_next_sim(&o);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.log = on_log), &w.loop) == 0);
    w.sim = test_sim(w.loop);
    uint64_t wanted = 2 + dice(MOST - 1);
    for (uint64_t i = 0; i < wanted; i++)
        add_end();
    break_something();
    play();
    if (w.sim && eddy_sim_violations(w.sim, &first) > 0)
        FAIL("EDDY_SEED=%llu: %s", (unsigned long long)seed, first);
    for (int i = 0; i < w.count; i++)
        eddy_timer_cancel(&w.ends[i].timer);
    test_loop_free(w.loop);
}

static void R3_T47_T49_T50_T52_T54_T55_scenarios(void)
{
    const char *one = getenv("EDDY_SEED"), *many = getenv("EDDY_SCENARIOS");
    long n = many ? atol(many) : test_is_sim() ? DEFAULT_SCENARIOS : REAL_SCENARIOS;
    long live = test_live_allocations();

    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= (uint64_t)n && w.failures == 0; seed++) {
        run(seed);
        if (test_live_allocations() != live) {
            FAIL("EDDY_SEED=%llu: memory is left", (unsigned long long)seed);
            return;
        }
    }
}

const struct test_case test_cases[] = {
    TEST(R3_T47_T49_T50_T52_T54_T55_scenarios),
    TEST_END,
};
