/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * How relays end when something goes wrong, or somebody wants them to.
 */
#include "tests/support/chain.h"
#include <eddy/sim.h>
#include <stdlib.h>
#include <string.h>

static bool is_reset(int code)
{
    return code == -ECONNRESET || code == -EPIPE;
}

/* ---- one side is lost ---- */

static void R24_R26_a_reset_of_the_client_aborts_the_target(void)
{
    struct chain c;
    int client, target;
    size_t got;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    CHECK_INT(raw_send(&c.s, client, "x", 1), 0);
    UNTIL(&c.s, c.bond->relay.to_far == 1);
    raw_reset(&c.s, client);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, -ECONNRESET);
    CHECK(c.error.text[0] != '\0');
    CHECK_INT(raw_drain(&c.s, target, 0, &got), 0);
    CHECK_INT(got, 1);
    raw_close(&c.s, target);
    chain_close(&c);
}

static void R24_R26_a_reset_of_the_target_aborts_the_client(void)
{
    struct chain c;
    int client, target;
    size_t got;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    raw_reset(&c.s, target);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, -ECONNRESET);
    CHECK_INT(raw_drain(&c.s, client, 0, &got), 0);
    CHECK_INT(got, 0);
    raw_close(&c.s, client);
    chain_close(&c);
}

/* The side that is lost cannot be read, for the other one is full: a write finds out. */
static void reset_behind_a_full_side(struct chain *c, int *ret_client, size_t *ret_sent)
{
    int target;
    *ret_sent = 0;
    chain_raw_open(c, ret_client, &target);
    chain_raw_fill(c, target, 2, ret_sent, chain_far_side(c));
    raw_reset(&c->s, target);
    CHECK_INT(raw_send(&c->s, *ret_client, "x", 1), 0);
}

static bool is_waiting_to_drain(const struct chain *c)
{
    return c->bond && !c->bond->relay.far_.base_.transport;
}

/* Longer than any timer of a relay: one that was left would run in memory that is gone. */
static void forget(struct stage *s)
{
    if (test_is_sim())
        stage_run_for(s, EDDY_SEC(70));
    else
        stage_settle(s);
}

static void T5_what_was_taken_from_a_lost_side_still_reaches_the_other(void)
{
    struct chain c;
    int client;
    size_t sent, got;
    chain_init(&c);
    reset_behind_a_full_side(&c, &client, &sent);
    UNTIL(&c.s, is_waiting_to_drain(&c));
    CHECK(eddy_transport_get_write_buffer_size(c.near_side) > 0);
    CHECK(!eddy_transport_is_closing(c.near_side));
    CHECK_INT(raw_drain(&c.s, client, 2, &got), 0);
    UNTIL(&c.s, c.dones == 1);
    CHECK(is_reset(c.code));
    CHECK_INT(got, c.to_near);
    CHECK(got <= sent);
    forget(&c.s);
    raw_close(&c.s, client);
    chain_close(&c);
}

/* Both directions are full when one side is lost, and the other sends on without reading. */
static void T5_what_comes_meanwhile_is_thrown_away(void)
{
    struct chain c;
    int client, target;
    size_t sent = 0, to_client = 0, got;
    uint8_t piece[4096] = {0};
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    chain_raw_fill(&c, client, 1, &sent, c.near_side);
    chain_raw_fill(&c, target, 2, &to_client, chain_far_side(&c));
    raw_reset(&c.s, target);
    UNTIL(&c.s, is_waiting_to_drain(&c));
    uint64_t to_far = c.bond->relay.to_far;
    long before = test_live_bytes();
    for (size_t more = 0; more < (8u << 20); more += sizeof piece) {
        if (!CHECK_INT(raw_send(&c.s, client, piece, sizeof piece), 0))
            break;
    }
    CHECK(test_live_bytes() - before < 1 << 20);
    CHECK_INT(c.bond->relay.to_far, to_far);
    /* If some of it is still under way when the abort comes, the client sees a reset. */
    int end = raw_drain(&c.s, client, 2, &got);
    CHECK(end == 0 || end == -ECONNRESET);
    UNTIL(&c.s, c.dones == 1);
    raw_close(&c.s, client);
    chain_close(&c);
}

static void T15_a_side_that_closes_is_not_written_to(void)
{
    struct chain c;
    struct stage *s = &c.s;
    int client, target;
    size_t sent = 0, got;
    uint8_t piece[16384];
    chain_init(&c);
    c.far_opts.write_high = 4u << 20; /* so that the near side is read on */
    chain_raw_open(&c, &client, &target);
    while (eddy_transport_get_write_buffer_size(chain_far_side(&c)) < sizeof piece) {
        stream_bytes(piece, sizeof piece, sent, 1);
        if (!CHECK_INT(raw_send(s, client, piece, sizeof piece), 0))
            break;
        sent += sizeof piece;
        stage_settle(s);
    }
    eddy_transport_close(chain_far_side(&c));
    uint64_t to_far = c.bond->relay.to_far;
    for (int i = 0; i < 10; i++) { /* the fifth would be warned of */
        CHECK_INT(raw_send(s, client, "x", 1), 0);
        stage_settle(s);
    }
    CHECK_INT(c.dones, 0);
    CHECK_INT(raw_drain(s, target, 1, &got), 0);
    CHECK_INT(got, to_far);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.to_far, to_far);
    raw_close(s, client);
    raw_close(s, target);
    chain_close(&c);
}

static void T5_who_takes_nothing_for_a_minute_is_aborted(void)
{
    struct chain c;
    int client;
    size_t sent;
    if (!test_is_sim()) /* a minute */
        return;
    chain_init(&c);
    reset_behind_a_full_side(&c, &client, &sent);
    UNTIL(&c.s, is_waiting_to_drain(&c));
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    UNTIL(&c.s, c.dones == 1);
    eddy_nsec took = eddy_loop_time(c.s.loop) - begin;
    CHECK(took > EDDY_SEC(59) && took < EDDY_SEC(62));
    CHECK(is_reset(c.code));
    raw_close(&c.s, client);
    chain_close(&c);
}

static void R28_T5_an_abort_does_not_wait_for_that_minute(void)
{
    struct chain c;
    int client;
    size_t sent;
    chain_init(&c);
    reset_behind_a_full_side(&c, &client, &sent);
    UNTIL(&c.s, is_waiting_to_drain(&c));
    eddy_relay_abort(&c.bond->relay, EDDY_ERROR(-EPROTO, "enough"));
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    UNTIL(&c.s, c.dones == 1);
    CHECK(eddy_loop_time(c.s.loop) - begin < EDDY_SEC(30));
    CHECK(is_reset(c.code)); /* the first error */
    raw_close(&c.s, client);
    chain_close(&c);
}

/* Both directions full, and nobody reads. */
static void reset_while_full(bool of_client)
{
    struct chain c;
    int fd[2];
    size_t sent[2] = {0, 0}, got;
    chain_init(&c);
    chain_raw_open(&c, &fd[0], &fd[1]);
    chain_raw_fill(&c, fd[0], 1, &sent[0], c.near_side);
    chain_raw_fill(&c, fd[1], 2, &sent[1], chain_far_side(&c));
    CHECK(eddy_transport_is_writing_paused(c.near_side));
    CHECK(eddy_transport_is_writing_paused(chain_far_side(&c)));
    int lost = of_client ? 0 : 1, left = 1 - lost;
    raw_reset(&c.s, fd[lost]);
    raw_drain(&c.s, fd[left], (uint64_t)lost + 1, &got);
    UNTIL(&c.s, c.dones == 1);
    CHECK(is_reset(c.code));
    CHECK(got > 0 && got <= (of_client ? c.to_far : c.to_near));
    raw_close(&c.s, fd[left]);
    chain_close(&c);
}

static void R24_T34_resets_while_both_directions_are_full(void)
{
    reset_while_full(true);
    reset_while_full(false);
}

static void R24_both_sides_are_reset_in_the_same_instant(void)
{
    struct chain c;
    int client, target;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    raw_reset(&c.s, client);
    raw_reset(&c.s, target);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, -ECONNRESET);
    chain_close(&c);
}

static struct eddy_transport *ended_before;

static void join_the_ended(struct chain *c, struct eddy_transport *t)
{
    struct bond *b = chain_bond(c);
    CHECK_INT(eddy_relay_join(&b->relay, t, ended_before), 0);
    c->bond = b;
    c->starts++;
}

static void end_before(struct chain *c, struct eddy_transport *t)
{
    CHECK_INT(eddy_transport_write_eof(t), 0);
    ended_before = t;
    c->at_door = join_the_ended;
}

static void T13_bytes_for_a_side_whose_stream_was_ended_before_end_it_with_an_error(void)
{
    struct chain c;
    chain_init(&c);
    c.at_door = end_before;
    chain_begin(&c);
    int one = raw_connect(&c.s);
    UNTIL(&c.s, c.at_door == join_the_ended);
    int two = raw_connect(&c.s);
    CHECK_INT(raw_send(&c.s, two, "x", 1), 0);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, EDDY_EINVALID_STATE);
    CHECK_INT(c.to_far, 0);
    raw_close(&c.s, one);
    raw_close(&c.s, two);
    chain_close(&c);
}

/* ---- connecting ---- */

static void R7_S8_a_target_that_is_down_ends_the_client(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    chain_begin(&c);
    int port, served = c.target_port;
    int down = raw_bound(s, &port);
    c.target_port = port;
    int client = raw_connecting(s);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, -ECONNREFUSED);
    CHECK(strstr(c.error.text, "127.0.0.1") != NULL);
    CHECK_INT(c.to_far, 0);
    CHECK_INT(c.door_finis, 1);
    char text[1];
    CHECK_INT(raw_recv(s, client, text, 1), 0);
    raw_close(s, client);
    raw_close(s, down);
    c.target_port = served;
    chain_close(&c);
}

static void T28_nothing_is_read_before_the_target_is_there(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    s->peer.in_key = 0;
    if (test_is_sim())
        c.far_opts.host = "192.0.2.1";
    chain_begin(&c);
    struct eddy_addr silent;
    CHECK_INT(eddy_addr_parse("192.0.2.1", c.target_port, &silent), 0);
    if (test_is_sim())
        CHECK_INT(eddy_sim_set_host(test_sim(s->loop), &silent, EDDY_SIM_SILENT), 0);
    int client = raw_connect(s);
    UNTIL(s, c.starts == 1);
    CHECK(!eddy_transport_is_reading(c.near_side));
    CHECK_INT(raw_send(s, client, "early", 5), 0);
    if (test_is_sim()) {
        stage_run_for(s, EDDY_SEC(20));
        CHECK_INT(raw_unread(s, eddy_transport_fd(c.near_side)), 5);
        UNTIL(s, c.dones == 1);
        CHECK_INT(c.code, -ETIMEDOUT);
    } else {
        UNTIL(s, s->peer.received == 5);
        CHECK_INT(memcmp(s->peer.head, "early", 5), 0);
    }
    raw_close(s, client);
    chain_close(&c);
}

static void R7_the_client_gives_up_while_the_target_is_being_connected(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    chain_begin(&c);
    int client = raw_connecting(s);
    UNTIL(s, c.starts == 1);
    eddy_transport_abort(c.near_side, EDDY_ERROR(-EPROTO, "not this one"));
    CHECK(chain_far_side(&c) == NULL);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, -EPROTO);
    stage_settle(s);
    CHECK_INT(s->peer.received, 0);
    raw_close(s, client);
    chain_close(&c);
}

/* ---- ending it from outside, in each state ---- */

enum moment {
    CONNECTING,
    OPEN,
    FULL,
    DRAINING,
    HALF_CLOSED,
    CLOSING,
    MOMENTS,
};

static void go_to(struct chain *c, enum moment moment, int fd[2])
{
    struct stage *s = &c->s;
    size_t sent = 0;
    fd[1] = -1;
    switch (moment) {
    case CONNECTING:
        chain_begin(c);
        fd[0] = raw_connecting(s);
        UNTIL(s, c->starts == 1);
        CHECK(chain_far_side(c) == NULL);
        break;
    case DRAINING:
        reset_behind_a_full_side(c, &fd[0], &sent);
        UNTIL(s, is_waiting_to_drain(c));
        break;
    case OPEN:
        chain_raw_open(c, &fd[0], &fd[1]);
        break;
    case HALF_CLOSED:
        chain_raw_open(c, &fd[0], &fd[1]);
        raw_shutdown(s, fd[0]);
        UNTIL(s, !eddy_transport_is_reading(c->near_side));
        break;
    case FULL:
    case CLOSING:
    case MOMENTS:
        chain_raw_open(c, &fd[0], &fd[1]);
        chain_raw_fill(c, fd[0], 1, &sent, c->near_side);
        if (moment == CLOSING)
            eddy_relay_close(&c->bond->relay);
        break;
    }
}

static void leave(struct chain *c, int fd[2])
{
    raw_close(&c->s, fd[0]);
    if (fd[1] >= 0)
        raw_close(&c->s, fd[1]);
    chain_close(c);
}

static void R28_T6_abort_ends_it_soon_in_every_state(void)
{
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct chain c;
        int fd[2];
        chain_init(&c);
        go_to(&c, (enum moment)moment, fd);
        eddy_relay_abort(&c.bond->relay, EDDY_ERROR(-EPROTO, "enough"));
        eddy_relay_abort(&c.bond->relay, EDDY_ERROR(-ENOMSG, "too late"));
        CHECK(eddy_relay_is_active(&c.bond->relay));
        eddy_nsec begin = eddy_loop_time(c.s.loop);
        UNTIL(&c.s, c.dones == 1);
        CHECK(eddy_loop_time(c.s.loop) - begin < EDDY_SEC(30));
        if (moment != DRAINING)
            CHECK_INT(c.code, -EPROTO);
        leave(&c, fd);
    }
}

static void R26_abort_without_a_reason_is_a_clean_end(void)
{
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct chain c;
        int fd[2];
        chain_init(&c);
        go_to(&c, (enum moment)moment, fd);
        eddy_relay_abort(&c.bond->relay, NULL);
        UNTIL(&c.s, c.dones == 1);
        if (moment != DRAINING)
            CHECK_INT(c.code, 0);
        leave(&c, fd);
    }
}

static void T5_close_sends_what_was_taken_in_every_state(void)
{
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct chain c;
        int fd[2];
        size_t got = 0;
        chain_init(&c);
        go_to(&c, (enum moment)moment, fd);
        eddy_relay_close(&c.bond->relay);
        eddy_relay_close(&c.bond->relay);
        if (fd[1] >= 0)
            CHECK_INT(raw_drain(&c.s, fd[1], moment == FULL || moment == CLOSING, &got), 0);
        else if (moment == DRAINING)
            CHECK_INT(raw_drain(&c.s, fd[0], 2, &got), 0);
        UNTIL(&c.s, c.dones == 1);
        if (moment != DRAINING)
            CHECK_INT(c.code, 0);
        CHECK_INT(got, moment == DRAINING ? c.to_near : c.to_far);
        leave(&c, fd);
    }
}

static void G14_G15_cancel_is_final_in_every_state(void)
{
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct chain c;
        int fd[2];
        chain_init(&c);
        go_to(&c, (enum moment)moment, fd);
        chain_cancel(&c); /* frees it */
        if (fd[1] >= 0) {
            size_t got; /* what was taken is still sent */
            CHECK_INT(raw_drain(&c.s, fd[1], 0, &got), 0);
        }
        forget(&c.s);
        CHECK_INT(c.dones, 0);
        leave(&c, fd);
        CHECK_INT(c.dones, 0);
    }
}

static void G14_abort_then_cancel_drops_everything_at_once(void)
{
    struct chain c;
    int fd[2];
    chain_init(&c);
    go_to(&c, FULL, fd);
    eddy_relay_abort(&c.bond->relay, NULL);
    chain_cancel(&c);
    leave(&c, fd);
    CHECK_INT(c.dones, 0);
}

/* A relay's end may be brought about by what its own peers do in their callbacks. */
static void abort_the_relay(struct actor *a)
{
    struct chain *c = (struct chain *)(void *)a->stage;
    if (c->bond)
        eddy_relay_abort(&c->bond->relay, EDDY_ERROR(-EPROTO, "from a callback"));
}

static void cancel_the_relay(struct actor *a)
{
    struct chain *c = (struct chain *)(void *)a->stage;
    if (c->bond)
        chain_cancel(c);
}

static void end_in_callback(enum slot slot, bool of_peer, void (*end)(struct actor *a))
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    struct actor *a = of_peer ? &s->peer : &s->client, *b = of_peer ? &s->client : &s->peer;
    a->on[slot] = end;
    a->keep_open = true;
    chain_begin(&c);
    REQUIRE(actor_connect(&s->client) == 0);
    eddy_nsec patience = stage_patience(s);
    for (int turn = 0; a->count[slot] == 0 && CHECK(stage_step(s, patience)); turn++) {
        if (!a->t || !b->t)
            continue;
        /* Each callback gets its cause: bytes, a full queue that empties, an end. */
        bool fill = slot == ON_PAUSE || slot == ON_RESUME;
        if (fill && a->count[ON_PAUSE] == 0) {
            eddy_transport_pause_reading(b->t);
            actor_write(a, 100000);
        } else if (fill) {
            eddy_transport_resume_reading(b->t);
        } else if (b->sent == 0) {
            actor_write(b, 1000);
        } else if (slot == ON_LOST) {
            eddy_transport_abort(b->t, NULL);
            a->keep_open = false;
        } else if (slot == ON_EOF) {
            eddy_transport_write_eof(b->t);
        }
    }
    UNTIL(s, c.starts == 1);
    if (c.bond) /* the client may have been connected before the relay was */
        end(a);
    UNTIL(s, c.dones == c.starts - c.cancels);
    chain_close(&c);
}

static void G12_G14_it_is_ended_from_within_each_callback_of_its_peers(void)
{
    static const enum slot slots[] = {ON_MADE, ON_DATA, ON_EOF, ON_PAUSE, ON_RESUME, ON_LOST};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        for (int of_peer = 0; of_peer < 2; of_peer++) {
            end_in_callback(slots[i], of_peer, abort_the_relay);
            end_in_callback(slots[i], of_peer, cancel_the_relay);
        }
    }
}

/* ---- what others do to its transports ---- */

static void nothing(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class usurper_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("usurper"),
    .data_received = nothing,
};

static void replace(bool far_side)
{
    struct chain c;
    struct eddy_protocol usurper;
    int client, target;
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    eddy_protocol_init(&usurper, &usurper_class);
    struct eddy_transport *t = far_side ? chain_far_side(&c) : c.near_side;
    CHECK_INT(eddy_transport_set_protocol(t, &usurper), 0);
    UNTIL(&c.s, c.dones == 1);
    CHECK_INT(c.code, 0);
    CHECK(usurper.transport == t); /* the side that was taken lives on */
    CHECK(!eddy_transport_is_closing(t));
    eddy_transport_close(t);
    UNTIL(&c.s, usurper.transport == NULL);
    raw_close(&c.s, client);
    raw_close(&c.s, target);
    chain_close(&c);
}

static void R36_who_gets_another_protocol_leaves_the_relay(void)
{
    replace(false);
    replace(true);
}

static void S53_a_server_that_drains_lets_it_go_on(void)
{
    struct chain c;
    struct stage *s = &c.s;
    int client, target;
    char text[5];
    chain_init(&c);
    chain_raw_open(&c, &client, &target);
    CHECK_INT(eddy_server_drain(s->server, EDDY_FOREVER, NULL), 0);
    stage_settle(s);
    CHECK_INT(raw_send(s, client, "still", 5), 0);
    CHECK_INT(raw_recv(s, target, text, 5), 5);
    CHECK_INT(c.dones, 0);
    CHECK_INT(eddy_server_drain(s->server, 0, NULL), 0);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, -ETIMEDOUT);
    raw_close(s, client);
    raw_close(s, target);
    chain_close(&c);
}

static void L16_a_loop_that_closes_ends_it_inside_the_call(void)
{
    test_expect_log("connection still open when its loop closes");
    for (int connecting = 0; connecting < 2; connecting++) {
        struct chain c;
        struct stage *s = &c.s;
        int fd[2];
        chain_init(&c);
        go_to(&c, connecting ? CONNECTING : OPEN, fd);
        eddy_server_close(s->server);
        if (c.target)
            eddy_server_close(c.target);
        raw_close(s, fd[0]);
        if (fd[1] >= 0)
            raw_close(s, fd[1]);
        CHECK_INT(eddy_loop_close(s->loop), 0);
        CHECK_INT(c.dones, 1);
        CHECK_INT(c.code, EDDY_ELOOP_CLOSED);
        eddy_server_unref(s->server);
        eddy_server_unref(c.target);
        test_loop_free(s->loop);
    }
}

const struct test_case test_cases[] = {
    CASE(R24_R26_a_reset_of_the_client_aborts_the_target),
    CASE(R24_R26_a_reset_of_the_target_aborts_the_client),
    CASE(T5_what_was_taken_from_a_lost_side_still_reaches_the_other),
    CASE(T5_what_comes_meanwhile_is_thrown_away),
    CASE(T15_a_side_that_closes_is_not_written_to),
    CASE(T5_who_takes_nothing_for_a_minute_is_aborted),
    CASE(R28_T5_an_abort_does_not_wait_for_that_minute),
    CASE(R24_T34_resets_while_both_directions_are_full),
    CASE(R24_both_sides_are_reset_in_the_same_instant),
    CASE(T13_bytes_for_a_side_whose_stream_was_ended_before_end_it_with_an_error),
    CASE(R7_S8_a_target_that_is_down_ends_the_client),
    CASE(T28_nothing_is_read_before_the_target_is_there),
    CASE(R7_the_client_gives_up_while_the_target_is_being_connected),
    CASE(R28_T6_abort_ends_it_soon_in_every_state),
    CASE(R26_abort_without_a_reason_is_a_clean_end),
    CASE(T5_close_sends_what_was_taken_in_every_state),
    CASE(G14_G15_cancel_is_final_in_every_state),
    CASE(G14_abort_then_cancel_drops_everything_at_once),
    CASE(G12_G14_it_is_ended_from_within_each_callback_of_its_peers),
    CASE(R36_who_gets_another_protocol_leaves_the_relay),
    CASE(S53_a_server_that_drains_lets_it_go_on),
    CASE(L16_a_loop_that_closes_ends_it_inside_the_call),
    TEST_END,
};
