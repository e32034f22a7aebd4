/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * Relays without memory, and on networks as rough as a seed makes them.
 *
 *     EDDY_SEED=42   this seed only
 */
#include "tests/support/chain.h"
#include <eddy/sim.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEEDS = 150,
    MOST_BYTES = 10000,
    MIN_ROOM = 64,
    TURNS = 60,
};

/* ---- every allocation fails once ---- */

static bool is_over(const struct chain *c)
{
    return c->s.client.p == NULL && c->s.peer.p == NULL && c->dones == c->starts &&
           eddy_server_connections(c->s.server) == 0 && eddy_server_connections(c->target) == 0;
}

static void answer(struct actor *a)
{
    actor_write(a, 100000);
    eddy_transport_write_eof(a->t);
    if (a->count[ON_EOF] > 0)
        eddy_transport_close(a->t);
}

/* A life from connecting to the end, with only the nth allocation failing. Whether it came to that.
 */
static bool live_with_failure(long n, int *ret_troubles)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    s->client.keep_open = s->peer.keep_open = true;
    s->peer.on[ON_EOF] = answer;
    s->client.on[ON_EOF] = do_close;
    s->client.on[ON_MADE] = answer;
    chain_begin(&c);
    test_fail_allocation(n);
    int err = actor_connect(&s->client);
    eddy_nsec patience = stage_patience(s);
    while (err == 0 && !is_over(&c) && CHECK(stage_step(s, patience))) {
    }
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    bool whole = err == 0 && c.dones == 1 && c.code == 0 && s->peer.received == 100000 &&
                 s->client.received == 100000;
    bool told = err < 0 || c.starts == 0 || c.code < 0 || s->client.code < 0 || s->peer.code < 0 ||
                s->client.status < 0 || s->problems.count > 0;
    if (!CHECK(whole || (failed && told)))
        FAIL("... at allocation %ld: err %d, %d starts, %d dones, code %d", n, err, c.starts,
             c.dones, c.code);
    *ret_troubles += !whole;
    s->expected_problems = s->problems.count;
    chain_close(&c);
    return failed;
}

static void G5_each_allocation_of_a_relayed_connection_fails_once(void)
{
    int troubles = 0;
    long n = 1;
    while (live_with_failure(n, &troubles) && n < 1000)
        n++;
    CHECK(n > 3 && n < 1000);
    CHECK(troubles > 0);
}

/* The same where one side was lost, and what was taken from it has still to be sent. */
static bool drain_with_failure(long n)
{
    struct chain c;
    int client, target;
    size_t sent = 0, got;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    chain_raw_fill(&c, target, 2, &sent, chain_far_side(&c));
    raw_reset(&c.s, target);
    test_fail_allocation(n);
    if (raw_send(&c.s, client, "x", 1) == -ENOMEM) /* the simulated network's */
        CHECK_INT(raw_send(&c.s, client, "x", 1), 0);
    UNTIL(&c.s, c.dones == 1 || chain_far_side(&c) == NULL);
    raw_drain(&c.s, client, 2, &got);
    UNTIL(&c.s, c.dones == 1);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    CHECK(c.code < 0);
    CHECK(failed || got == c.to_near);
    raw_close(&c.s, client);
    chain_close(&c);
    return failed;
}

static void G5_each_allocation_of_an_end_with_an_error_fails_once(void)
{
    long n = 1;
    while (drain_with_failure(n) && n < 1000)
        n++;
    CHECK(n < 1000);
}

/* ---- seeds ---- */

struct weather {
    struct chain c;
    size_t total[2];
    bool write_eof[2];
    bool rough;
};

static uint64_t dice(const struct weather *w, uint64_t limit)
{
    return eddy_sim_random(test_sim(w->c.s.loop), limit);
}

static struct actor *side(struct weather *w, int i)
{
    return i == 0 ? &w->c.s.client : &w->c.s.peer;
}

static bool is_open(const struct actor *a)
{
    return a->t && !eddy_transport_is_closing(a->t);
}

static void write_some(struct weather *w, int i, size_t most)
{
    struct actor *a = side(w, i);
    size_t left = w->total[i] - a->sent;
    if (!is_open(a) || w->write_eof[i])
        return;
    if (left > 0)
        actor_write(a, left < most ? left : most);
    if (a->sent == w->total[i] && is_open(a)) {
        w->write_eof[i] = true;
        eddy_transport_write_eof(a->t);
    }
}

static void do_mischief(struct weather *w, struct actor *a)
{
    static const struct eddy_error why = {.code = -EPROTO, .text = "mischief"};
    struct eddy_relay *r = w->c.bond ? &w->c.bond->relay : NULL;
    switch (dice(w, 6)) {
    case 0:
        eddy_transport_abort(a->t, &why);
        break;
    case 1:
        eddy_transport_close(a->t);
        break;
    case 2:
        if (is_open(a))
            eddy_sim_reset(test_sim(w->c.s.loop), eddy_transport_fd(a->t),
                           EDDY_USEC(dice(w, 3000)));
        break;
    case 3:
        eddy_relay_abort(r, dice(w, 2) ? &why : NULL);
        break;
    case 4:
        eddy_relay_close(r);
        break;
    default:
        if (r)
            chain_cancel(&w->c);
    }
}

static void act(struct weather *w)
{
    int i = (int)dice(w, 2);
    struct actor *a = side(w, i);
    switch (dice(w, 8)) {
    case 0:
    case 1:
    case 2:
        write_some(w, i, 1 + dice(w, 4000));
        break;
    case 3:
        eddy_transport_pause_reading(a->t);
        break;
    case 4:
    case 5:
        eddy_transport_resume_reading(a->t);
        break;
    case 6:
        if (w->rough && dice(w, 10) == 0)
            do_mischief(w, a);
        break;
    default:
        break;
    }
}

static bool has_come_to_rest(struct weather *w)
{
    struct chain *c = &w->c;
    for (int i = 0; i < 2; i++) {
        write_some(w, i, SIZE_MAX);
        eddy_transport_resume_reading(side(w, i)->t);
        if (w->write_eof[i] && side(w, i)->count[ON_EOF] > 0)
            eddy_transport_close(side(w, i)->t);
    }
    if (c->starts == 0 && c->s.client.count[ON_LOST] + c->s.client.count[ON_FAILED] == 0)
        return false;
    return c->dones == c->starts - c->cancels && c->s.client.p == NULL && c->s.peer.p == NULL;
}

static void check_books(const struct weather *w, uint64_t seed)
{
    const struct chain *c = &w->c;
    const struct actor *client = &c->s.client, *peer = &c->s.peer;
    bool fine = true;
    if (c->dones > 0) {
        fine &= CHECK(c->to_far <= client->sent && c->to_near <= peer->sent);
        fine &= CHECK(peer->received <= c->to_far && client->received <= c->to_near);
    }
    if (!w->rough) {
        fine &= CHECK_INT(c->dones, 1);
        fine &= CHECK_INT(c->code, 0);
        fine &= CHECK_INT(peer->received, w->total[0]);
        fine &= CHECK_INT(client->received, w->total[1]);
    }
    if (!fine)
        FAIL("... EDDY_SEED=%llu, rough %d", (unsigned long long)seed, w->rough);
}

static void brave(uint64_t seed, bool rough)
{
    static struct weather w;
    struct chain *c = &w.c;
    struct eddy_sim_opts opts;
    memset(&w, 0, sizeof w);
    w.rough = rough;
    eddy_sim_wild(&opts, seed);
    opts.abort_accepted = 0;
    opts.send_room = opts.send_room < MIN_ROOM ? MIN_ROOM : opts.send_room;
    opts.recv_room = opts.recv_room < MIN_ROOM ? MIN_ROOM : opts.recv_room;
    test_next_sim(&opts);
    chain_init(c);
    c->s.client.keep_open = c->s.peer.keep_open = true;
    chain_begin(c);
    w.total[0] = dice(&w, MOST_BYTES);
    w.total[1] = dice(&w, MOST_BYTES);
    REQUIRE(actor_connect(&c->s.client) == 0);
    for (int i = 0; i < TURNS; i++) {
        act(&w);
        CHECK_INT(eddy_loop_run_once(c->s.loop, EDDY_USEC(dice(&w, 3000))), 0);
    }
    UNTIL(&c->s, has_come_to_rest(&w));
    check_books(&w, seed);
    chain_close(c);
}

static void with_seeds(bool rough)
{
    const char *only = getenv("EDDY_SEED");
    if (!test_is_sim())
        return;
    for (uint64_t seed = 1; seed <= SEEDS && !only; seed++)
        brave(seed, rough);
    if (only)
        brave(strtoull(only, NULL, 0), rough);
}

static void T12_every_byte_arrives_whatever_the_network_does_to_their_portions(void)
{
    with_seeds(false);
}

static void R1_G15_the_books_are_right_whoever_ends_what_and_when(void)
{
    with_seeds(true);
}

const struct test_case test_cases[] = {
    CASE(G5_each_allocation_of_a_relayed_connection_fails_once),
    CASE(G5_each_allocation_of_an_end_with_an_error_fails_once),
    CASE(T12_every_byte_arrives_whatever_the_network_does_to_their_portions),
    CASE(R1_G15_the_books_are_right_whoever_ends_what_and_when),
    TEST_END,
};
