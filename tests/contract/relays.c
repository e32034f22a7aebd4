/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * Relays at work: bytes both ways, what holds them back, and the ends of streams.
 */
#include "tests/support/chain.h"

/* ---- bytes ---- */

struct load {
    size_t total;
    bool write_eof; /* when all is written */
};

static void feed(struct actor *a)
{
    const struct load *load = a->user;
    while (a->sent < load->total && !eddy_transport_is_writing_paused(a->t)) {
        size_t left = load->total - a->sent;
        if (!CHECK_INT(actor_write(a, left < 50000 ? left : 50000), 0))
            return;
    }
    if (a->sent == load->total && load->write_eof)
        CHECK_INT(eddy_transport_write_eof(a->t), 0);
}

static void check_bounded(const struct chain *c)
{
    const struct eddy_transport *far_side = chain_far_side(c);
    if (far_side)
        CHECK(eddy_transport_get_write_buffer_size(far_side) <= CHAIN_MOST);
    if (c->bond && c->bond->relay.near_.base_.transport)
        CHECK(eddy_transport_get_write_buffer_size(c->near_side) <= CHAIN_MOST);
}

/* Both read a piece per iteration. */
static void run_slowly(struct chain *c)
{
    struct stage *s = &c->s;
    s->client.on[ON_DATA] = s->peer.on[ON_DATA] = do_pause;
    eddy_nsec patience = stage_patience(s);
    while (c->dones == 0 || s->client.count[ON_EOF] == 0 || s->peer.count[ON_EOF] == 0) {
        if (!CHECK(stage_step(s, patience)))
            break;
        check_bounded(c);
        eddy_transport_resume_reading(s->client.t);
        eddy_transport_resume_reading(s->peer.t);
    }
}

static void carry(struct load client, struct load peer)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    s->client.user = &client;
    s->peer.user = &peer;
    s->client.on[ON_RESUME] = s->peer.on[ON_RESUME] = feed;
    s->client.keep_open = client.total > 0;
    s->peer.keep_open = peer.total > 0;
    chain_open(&c);
    long before = test_live_bytes();
    test_reset_peak_bytes();
    feed(&s->client);
    feed(&s->peer);
    run_slowly(&c);
    CHECK(test_peak_bytes() - before < 3 << 20);
    CHECK_INT(c.code, 0);
    CHECK_INT(c.to_far, client.total);
    CHECK_INT(c.to_near, peer.total);
    CHECK_INT(s->peer.received, client.total);
    CHECK_INT(s->client.received, peer.total);
    chain_close(&c);
}

static void T21_64_MiB_pass_to_a_slow_reader_in_little_memory(void)
{
    carry((struct load){.total = 64u << 20, .write_eof = true}, (struct load){.write_eof = true});
}

static void T21_and_so_do_they_from_the_far_side(void)
{
    carry((struct load){.write_eof = true}, (struct load){.total = 16u << 20, .write_eof = true});
}

static void T21_both_ways_at_once_neither_waits_for_the_other(void)
{
    carry((struct load){.total = 8u << 20, .write_eof = true},
          (struct load){.total = 8u << 20, .write_eof = true});
}

static void T28_a_full_side_stops_the_reading_of_the_other_and_starts_it_again(void)
{
    struct chain c;
    int client, target;
    size_t sent = 0, got;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    struct eddy_transport *far_side = chain_far_side(&c);
    chain_raw_fill(&c, client, 1, &sent, c.near_side);
    CHECK(eddy_transport_is_writing_paused(far_side));
    CHECK(eddy_transport_is_reading(far_side)); /* the other direction is not concerned */
    CHECK(raw_send(&c.s, target, "back", 4) == 0);
    char back[4];
    CHECK_INT(raw_recv(&c.s, client, back, 4), 4);
    raw_shutdown(&c.s, client);
    raw_shutdown(&c.s, target);
    CHECK_INT(raw_drain(&c.s, target, 1, &got), 0);
    CHECK_INT(got, sent);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, 0);
    CHECK_INT(c.to_far, sent);
    CHECK_INT(c.to_near, 4);
    raw_close(&c.s, client);
    raw_close(&c.s, target);
    chain_close(&c);
}

/* ---- the ends of streams ---- */

/* `first` ends its side, `second` answers only then. */
static void half_close(struct chain *c, struct actor *first, struct actor *second)
{
    struct stage *s = &c->s;
    first->keep_open = second->keep_open = true;
    CHECK_INT(actor_write(first, 100000), 0);
    CHECK_INT(eddy_transport_write_eof(first->t), 0);
    UNTIL(s, second->count[ON_EOF] == 1);
    CHECK_INT(second->received, 100000);
    stage_settle(s);
    CHECK(!eddy_transport_is_closing(first->t));
    CHECK(!eddy_transport_is_closing(second->t));
    CHECK_INT(actor_write(second, 50000), 0);
    UNTIL(s, first->received == 50000);
    CHECK_INT(c->dones, 0);
    CHECK_INT(eddy_transport_write_eof(second->t), 0);
    UNTIL(s, c->dones == 1 && first->count[ON_EOF] == 1);
    CHECK_INT(c->code, 0);
    chain_close(c);
    CHECK_INT(first->code, 0);
    CHECK_INT(second->code, 0);
}

static void T18_R21_the_client_ends_its_side_first_and_still_gets_the_answer(void)
{
    struct chain c;
    chain_init(&c);
    chain_open(&c);
    half_close(&c, &c.s.client, &c.s.peer);
    CHECK_INT(c.to_far, 100000);
    CHECK_INT(c.to_near, 50000);
}

static void T18_R21_the_target_ends_its_side_first_and_still_gets_the_answer(void)
{
    struct chain c;
    chain_init(&c);
    chain_open(&c);
    half_close(&c, &c.s.peer, &c.s.client);
    CHECK_INT(c.to_far, 50000);
    CHECK_INT(c.to_near, 100000);
}

static void R23_the_end_of_the_stream_comes_behind_what_waits(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    chain_open(&c);
    eddy_transport_pause_reading(s->peer.t);
    UNTIL(s,
          (actor_write(&s->client, 16384), eddy_transport_is_writing_paused(chain_far_side(&c))));
    CHECK_INT(eddy_transport_write_eof(s->client.t), 0);
    stage_settle(s);
    CHECK_INT(s->peer.count[ON_EOF], 0);
    eddy_transport_resume_reading(s->peer.t);
    UNTIL(s, c.dones == 1);
    CHECK_INT(s->peer.received, s->client.sent);
    CHECK_INT(c.code, 0);
    chain_close(&c);
}

static void eof_on_both(struct stage *s)
{
    CHECK_INT(eddy_transport_write_eof(s->client.t), 0);
    CHECK_INT(eddy_transport_write_eof(s->peer.t), 0);
}

static void close_both(struct stage *s)
{
    eddy_transport_close(s->client.t);
    eddy_transport_close(s->peer.t);
}

static void abort_both(struct stage *s)
{
    eddy_transport_abort(s->client.t, NULL);
    eddy_transport_abort(s->peer.t, NULL);
}

static void both_at_once(void (*act)(struct stage *s))
{
    struct chain c;
    chain_init(&c);
    c.s.client.keep_open = c.s.peer.keep_open = true;
    chain_open(&c);
    stage_inside(&c.s, act);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, 0);
    chain_close(&c);
}

static void R26_both_sides_end_in_the_same_instant(void)
{
    both_at_once(eof_on_both);
    both_at_once(close_both);
    both_at_once(abort_both);
}

static void R36_T37_who_closes_on_one_side_ends_the_other(void)
{
    struct chain c;
    chain_init(&c);
    chain_open(&c);
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    eddy_transport_close(c.s.client.t);
    UNTIL(&c.s, c.dones == 1 && c.s.peer.count[ON_LOST] == 1);
    CHECK_INT(c.s.peer.received, 1000);
    CHECK_INT(c.code, 0);
    chain_close(&c);
    CHECK_TRACE(c.s.peer.trace, "CM DR+ ER CL(0)");
}

const struct test_case test_cases[] = {
    CASE(T21_64_MiB_pass_to_a_slow_reader_in_little_memory),
    CASE(T21_and_so_do_they_from_the_far_side),
    CASE(T21_both_ways_at_once_neither_waits_for_the_other),
    CASE(T28_a_full_side_stops_the_reading_of_the_other_and_starts_it_again),
    CASE(T18_R21_the_client_ends_its_side_first_and_still_gets_the_answer),
    CASE(T18_R21_the_target_ends_its_side_first_and_still_gets_the_answer),
    CASE(R23_the_end_of_the_stream_comes_behind_what_waits),
    CASE(R26_both_sides_end_in_the_same_instant),
    CASE(R36_T37_who_closes_on_one_side_ends_the_other),
    TEST_END,
};
