/* backends: select poll epoll io_uring sim sim-late */
/*
 * How relays start: in mid-stream, on two open transports, again, or not at all.
 */
#include "tests/support/chain.h"
#include <string.h>

/* ---- starting in mid-stream ---- */

static const char greeting[] = "relay please\n";

/* The greeting, whole or in part, then whatever follows it. */
static void read_greeting(struct chain *c, struct eddy_transport *t, const void *data, size_t len)
{
    static size_t seen;
    size_t wanted = sizeof greeting - 1 - seen;
    size_t n = len < wanted ? len : wanted;
    CHECK(memcmp(data, greeting + seen, n) == 0);
    seen += n;
    if (seen < sizeof greeting - 1)
        return;
    seen = 0;
    chain_connect(c, t);
    CHECK_INT(eddy_transport_unread(t, (const char *)data + n, len - n), 0);
    CHECK_INT(eddy_transport_protocol(t) == &c->bond->relay.near_.base_, true);
}

static void wait_for_greeting(struct chain *c, struct eddy_transport *t)
{
    (void)t;
    c->at_door_data = read_greeting;
}

static void R37_R40_it_starts_in_mid_stream_with_the_rest_of_what_came(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    c.at_door = wait_for_greeting;
    chain_begin(&c);
    REQUIRE(actor_connect(&s->client) == 0);
    UNTIL(s, s->client.done);
    CHECK_INT(eddy_transport_write(s->client.t, greeting, sizeof greeting - 1), 0);
    CHECK_INT(actor_write(&s->client, 5000),
              0); /* in one segment, and before the target is there */
    CHECK_INT(eddy_transport_write_eof(s->client.t), 0);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, 0);
    CHECK_INT(s->peer.received, 5000);
    CHECK_INT(c.to_far, 5000);
    chain_close(&c);
    CHECK_INT(c.door_finis, 1);
}

static void R40_it_starts_in_mid_stream_byte_by_byte(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    c.at_door = wait_for_greeting;
    chain_begin(&c);
    int fd = raw_connect(s);
    for (size_t i = 0; i < sizeof greeting - 1; i++) {
        CHECK_INT(raw_send(s, fd, greeting + i, 1), 0);
        stage_settle(s);
    }
    uint8_t bytes[100];
    stream_bytes(bytes, sizeof bytes, 0, 1);
    for (size_t i = 0; i < sizeof bytes; i++)
        CHECK_INT(raw_send(s, fd, bytes + i, 1), 0);
    UNTIL(s, s->peer.received == sizeof bytes);
    raw_close(s, fd);
    chain_close(&c);
}

/* ---- two open transports ---- */

/* The front joins every second connection to the one before. */
static struct eddy_transport *first_comer;

static void join_with_first(struct chain *c, struct eddy_transport *t)
{
    struct bond *b = chain_bond(c);
    CHECK_INT(eddy_relay_join(&b->relay, first_comer, t), 0);
    c->bond = b;
    c->starts++;
}

static void wait_for_second(struct chain *c, struct eddy_transport *t)
{
    first_comer = t;
    c->at_door = join_with_first;
}

static void R36_two_open_transports_are_joined(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    c.at_door = wait_for_second;
    chain_begin(&c);
    int one = raw_connect(s);
    UNTIL(s, c.at_door == join_with_first);
    int two = raw_connect(s);
    UNTIL(s, c.starts == 1);
    char text[4];
    CHECK_INT(raw_send(s, one, "over", 4), 0);
    CHECK_INT(raw_recv(s, two, text, 4), 4);
    CHECK_INT(raw_send(s, two, "back", 4), 0);
    CHECK_INT(raw_recv(s, one, text, 4), 4);
    raw_close(s, one);
    raw_close(s, two);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, 0);
    CHECK_INT(c.to_far, 4);
    CHECK_INT(c.to_near, 4);
    chain_close(&c);
    CHECK_INT(c.door_finis, 2);
}

static void pause_then_wait(struct chain *c, struct eddy_transport *t)
{
    eddy_transport_pause_reading(t);
    wait_for_second(c, t);
}

static void R12_T26_reading_paused_before_is_resumed(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    c.at_door = pause_then_wait;
    chain_begin(&c);
    int one = raw_connect(s);
    UNTIL(s, c.at_door == join_with_first);
    CHECK_INT(raw_send(s, one, "over", 4), 0);
    int two = raw_connect(s);
    char text[4];
    CHECK_INT(raw_recv(s, two, text, 4), 4);
    raw_close(s, one);
    raw_close(s, two);
    chain_close(&c);
}

static void R22_an_end_of_stream_that_came_before_is_passed_on(void)
{
    struct chain c;
    struct stage *s = &c.s;
    size_t got;
    chain_init(&c);
    c.at_door = wait_for_second;
    c.door_keeps_open = true;
    chain_begin(&c);
    int one = raw_connect(s);
    UNTIL(s, c.at_door == join_with_first);
    raw_shutdown(s, one);
    UNTIL(s, !eddy_transport_is_reading(first_comer));
    int two = raw_connect(s);
    CHECK_INT(raw_drain(s, two, 0, &got), 0);
    CHECK_INT(got, 0);
    CHECK_INT(raw_send(s, two, "back", 4), 0); /* the other direction is open */
    char text[4];
    CHECK_INT(raw_recv(s, one, text, 4), 4);
    raw_shutdown(s, two);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.code, 0);
    raw_close(s, one);
    raw_close(s, two);
    chain_close(&c);
}

static size_t flooded;

static void flood(struct chain *c, struct eddy_transport *t)
{
    uint8_t piece[16384];
    for (flooded = 0; !eddy_transport_is_writing_paused(t); flooded += sizeof piece) {
        stream_bytes(piece, sizeof piece, flooded, 1);
        CHECK_INT(eddy_transport_write(t, piece, sizeof piece), 0);
        eddy_transport_flush(t);
    }
    wait_for_second(c, t);
}

static void R39_a_side_that_was_full_before_holds_the_other_back(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    c.at_door = flood;
    chain_begin(&c);
    int one = raw_connect(s);
    UNTIL(s, c.at_door == join_with_first);
    int two = raw_connect(s);
    uint8_t bytes[1000];
    stream_bytes(bytes, sizeof bytes, flooded, 1);
    UNTIL(s, c.starts == 1);
    CHECK(!eddy_transport_is_reading(c.near_side)); /* the second comer */
    CHECK(eddy_transport_is_reading(first_comer));
    CHECK_INT(raw_send(s, two, bytes, sizeof bytes), 0);
    raw_shutdown(s, two);
    raw_shutdown(s, one);
    size_t got;
    CHECK_INT(raw_drain(s, one, 1, &got), 0);
    CHECK_INT(got, flooded + sizeof bytes);
    UNTIL(s, c.dones == 1);
    CHECK_INT(c.to_near, sizeof bytes);
    raw_close(s, one);
    raw_close(s, two);
    chain_close(&c);
}

/* ---- where the relay lives ---- */

/* A server's instance with its relay inside: nothing is allocated. */
struct tenant {
    struct eddy_protocol base;
    struct eddy_relay relay;
    struct chain *chain;
};

static int tenant_init(struct eddy_protocol *p, void *arg)
{
    EDDY_PROTOCOL_SELF(p, struct tenant, base)->chain = arg;
    return 0;
}

static void tenant_done(struct eddy_relay *r, const struct eddy_error *why)
{
    struct tenant *tenant = EDDY_CONTAINER_OF(r, struct tenant, relay);
    tenant->chain->dones++;
    tenant->chain->code = why ? why->code : 0;
    eddy_protocol_release(&tenant->base);
}

static void tenant_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct tenant *tenant = EDDY_PROTOCOL_SELF(p, struct tenant, base);
    struct chain *c = tenant->chain;
    tenant->relay.done = tenant_done;
    c->far_opts.port = c->target_port;
    if (CHECK_INT(eddy_relay_connect(&tenant->relay, t, &c->far_opts), 0)) {
        eddy_protocol_hold(p);
        c->starts++;
    }
}

static void tenant_fini(struct eddy_protocol *p)
{
    struct tenant *tenant = EDDY_PROTOCOL_SELF(p, struct tenant, base);
    CHECK(!eddy_relay_is_active(&tenant->relay));
    CHECK_INT(tenant->chain->dones, 1);
    tenant->chain->door_finis++;
}

static void ignore(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    FAIL("%zu bytes that were the relay's", len);
}

static const struct eddy_protocol_class tenant_class = {
    EDDY_PROTOCOL_CLASS(struct tenant, base), .init = tenant_init,     .fini = tenant_fini,
    .connection_made = tenant_made,           .data_received = ignore,
};

static void G15_a_held_instance_of_the_server_may_embed_its_relay(void)
{
    struct chain c;
    struct stage *s = &c.s;
    chain_init(&c);
    s->server_class = &tenant_class;
    s->peer.keep_open = true;
    chain_begin(&c);
    REQUIRE(actor_connect(&s->client) == 0);
    UNTIL(s, s->client.done && s->peer.count[ON_MADE] == 1);
    /* The near side goes first, the far side long after: the relay must outlive its transport. */
    CHECK_INT(actor_write(&s->client, 3000), 0);
    eddy_transport_close(s->client.t);
    UNTIL(s, s->peer.count[ON_EOF] == 1);
    stage_settle(s);
    CHECK_INT(c.door_finis, 0);
    CHECK_INT(s->peer.received, 3000);
    eddy_transport_close(s->peer.t);
    UNTIL(s, c.door_finis == 1);
    CHECK_INT(c.code, 0);
    chain_close(&c);
}

static struct eddy_relay again;
static struct eddy_transport *comers[4];
static unsigned comer_count;
static int again_dones;

static void collect(struct chain *c, struct eddy_transport *t)
{
    (void)c;
    comers[comer_count++] = t;
}

static void again_done(struct eddy_relay *r, const struct eddy_error *why)
{
    CHECK(why == NULL);
    CHECK_INT(r->to_far, again_dones == 0 ? 3 : 0);
    if (again_dones++ == 0)
        CHECK_INT(eddy_relay_join(r, comers[2], comers[3]), 0);
}

static void G13_a_relay_may_be_started_again_inside_done(void)
{
    struct chain c;
    struct stage *s = &c.s;
    int fd[4];
    comer_count = 0;
    again_dones = 0;
    chain_init(&c);
    c.at_door = collect;
    chain_begin(&c);
    for (unsigned i = 0; i < 4; i++) {
        fd[i] = raw_connect(s);
        UNTIL(s, comer_count == i + 1);
    }
    memset(&again, 0, sizeof again);
    again.done = again_done;
    CHECK_INT(eddy_relay_join(&again, comers[0], comers[1]), 0);
    char text[3];
    CHECK_INT(raw_send(s, fd[0], "abc", 3), 0);
    CHECK_INT(raw_recv(s, fd[1], text, 3), 3);
    raw_close(s, fd[0]);
    raw_close(s, fd[1]);
    UNTIL(s, again_dones == 1);
    CHECK(eddy_relay_is_active(&again));
    CHECK_INT(again.to_far, 0);
    CHECK_INT(raw_send(s, fd[3], "hi", 2), 0);
    CHECK_INT(raw_recv(s, fd[2], text, 2), 2);
    CHECK_INT(again.to_near, 2);
    raw_close(s, fd[2]);
    raw_close(s, fd[3]);
    UNTIL(s, again_dones == 2);
    chain_close(&c);
}

/* ---- misuse ---- */

static int refused_dones;

static void refused_done(struct eddy_relay *r, const struct eddy_error *why)
{
    (void)r;
    (void)why;
    refused_dones++;
}

static void G3_G4_what_cannot_be_started_is_refused_and_nothing_happens(void)
{
    struct chain c;
    struct stage *s = &c.s;
    struct eddy_relay r;
    const struct eddy_connection_opts *to = EDDY_CONNECTION(.host = "127.0.0.1", .port = 1);
    chain_init(&c);
    chain_open(&c);
    struct eddy_transport *one = s->client.t, *two = s->peer.t;
    memset(&r, 0, sizeof r);
    CHECK_INT(eddy_relay_join(&r, one, two), -EINVAL); /* no done */
    CHECK_INT(eddy_relay_connect(&r, one, to), -EINVAL);
    r.done = refused_done;
    CHECK_INT(eddy_relay_join(NULL, one, two), -EINVAL);
    CHECK_INT(eddy_relay_join(&r, NULL, two), -EINVAL);
    CHECK_INT(eddy_relay_join(&r, one, NULL), -EINVAL);
    CHECK_INT(eddy_relay_join(&r, one, one), -EINVAL);
    CHECK_INT(eddy_relay_connect(NULL, one, to), -EINVAL);
    CHECK_INT(eddy_relay_connect(&r, NULL, to), -EINVAL);
    CHECK_INT(eddy_relay_connect(&r, one, NULL), -EINVAL);
    CHECK_INT(eddy_relay_connect(&r, one, EDDY_CONNECTION(.host = "")), -EINVAL);
    CHECK_INT(eddy_relay_join(&c.bond->relay, one, two), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_relay_connect(&c.bond->relay, one, to), EDDY_EINVALID_STATE);
    CHECK(eddy_transport_protocol(one) == s->client.p);
    CHECK(eddy_transport_protocol(two) == s->peer.p);
    CHECK(eddy_transport_is_reading(one));
    eddy_transport_close(two);
    CHECK_INT(eddy_relay_join(&r, one, two), EDDY_ECLOSED);
    CHECK_INT(eddy_relay_join(&r, two, one), EDDY_ECLOSED);
    CHECK_INT(eddy_relay_connect(&r, two, to), EDDY_ECLOSED);
    CHECK(eddy_transport_protocol(one) == s->client.p);
    CHECK(!eddy_relay_is_active(&r));
    CHECK(!eddy_relay_is_active(NULL));
    eddy_relay_close(NULL);
    eddy_relay_abort(NULL, NULL);
    eddy_relay_cancel(NULL);
    eddy_relay_close(&r);
    eddy_relay_abort(&r, NULL);
    eddy_relay_cancel(&r);
    refused_dones = 0;
    chain_close(&c);
    CHECK_INT(refused_dones, 0);
}

static void G4_transports_of_two_loops_are_refused(void)
{
    struct chain one, two;
    struct eddy_relay r = {.done = refused_done};
    chain_init(&one);
    chain_open(&one);
    chain_init(&two);
    chain_open(&two);
    CHECK_INT(eddy_relay_join(&r, one.s.client.t, two.s.client.t), -EINVAL);
    chain_close(&two);
    chain_close(&one);
}

const struct test_case test_cases[] = {
    CASE(R37_R40_it_starts_in_mid_stream_with_the_rest_of_what_came),
    CASE(R40_it_starts_in_mid_stream_byte_by_byte),
    CASE(R36_two_open_transports_are_joined),
    CASE(R12_T26_reading_paused_before_is_resumed),
    CASE(R22_an_end_of_stream_that_came_before_is_passed_on),
    CASE(R39_a_side_that_was_full_before_holds_the_other_back),
    CASE(G15_a_held_instance_of_the_server_may_embed_its_relay),
    CASE(G13_a_relay_may_be_started_again_inside_done),
    CASE(G3_G4_what_cannot_be_started_is_refused_and_nothing_happens),
    CASE(G4_transports_of_two_loops_are_refused),
    TEST_END,
};
