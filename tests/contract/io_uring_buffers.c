/* backends: io_uring */
/* timeout: 120 */
/*
 * The ring of buffers that all connections of a loop share: those that pause with buffers in hand
 * do not stop others, also when none is left (contract P32); and what becomes of messages about as
 * large as a buffer, when small ones and large ones alternate in both directions.
 */
#include "tests/support/stream.h"
#include <string.h>
#include <unistd.h>

/* ---- when none is left ---- */

enum {
    HOARDERS = 64,
    OTHERS = 8,
    EACH = 65536,       /* comes to a hoarder in one piece */
    RING = 1024 * 2048, /* bytes that all buffers hold */
};

struct guest {
    struct eddy_protocol base;
    struct crowd *crowd;
    int number;
    uint64_t key;
    size_t received;
};

struct crowd {
    struct stage s;
    struct guest *guests[HOARDERS + OTHERS];
    int raws[HOARDERS + OTHERS];
    int made;
    bool hoarding;
};

static struct crowd crowd;

static int guest_init(struct eddy_protocol *p, void *arg)
{
    struct guest *g = EDDY_PROTOCOL_SELF(p, struct guest, base);
    g->crowd = arg;
    g->number = g->crowd->made++;
    g->key = (uint64_t)g->number + 1;
    g->crowd->guests[g->number] = g;
    return 0;
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct guest *g = EDDY_PROTOCOL_SELF(p, struct guest, base);
    CHECK(stream_matches(data, len, g->received, g->key));
    g->received += len;
    if (g->number >= HOARDERS)
        CHECK_INT(eddy_transport_write(p->transport, data, len), 0);
    else if (g->crowd->hoarding)
        eddy_transport_pause_reading(p->transport);
}

static const struct eddy_protocol_class guest_class = {
    EDDY_PROTOCOL_CLASS(struct guest, base),
    .init = guest_init,
    .data_received = guest_data,
};

static void crowd_begin(void)
{
    memset(&crowd, 0, sizeof crowd);
    stage_init(&crowd.s);
    crowd.s.server_class = &guest_class;
    crowd.s.server_opts.arg = &crowd;
    stage_begin(&crowd.s);
    for (int i = 0; i < HOARDERS + OTHERS; i++) {
        crowd.raws[i] = raw_connect(&crowd.s);
        UNTIL(&crowd.s, crowd.made == i + 1);
    }
    stage_settle(&crowd.s);
}

static void crowd_end(void)
{
    for (int i = 0; i < HOARDERS + OTHERS; i++)
        raw_close(&crowd.s, crowd.raws[i]);
    UNTIL(&crowd.s, eddy_server_connections(crowd.s.server) == 0);
    stage_close(&crowd.s);
}

static void feed(int number, size_t from, size_t len)
{
    static uint8_t bytes[EACH];
    stream_bytes(bytes, len, from, (uint64_t)number + 1);
    CHECK_INT(raw_send(&crowd.s, crowd.raws[number], bytes, len), 0);
}

/* What the hoarders were sent and have not received, and is not in the kernel. */
static size_t hoarded(void)
{
    size_t sum = 0;
    for (int i = 0; i < HOARDERS; i++)
        sum += EACH - crowd.guests[i]->received -
               (size_t)raw_unread(&crowd.s, eddy_transport_fd(crowd.guests[i]->base.transport));
    return sum;
}

static void ignore(struct eddy_watch *w, unsigned events)
{
    (void)w, (void)events;
}

/* Callbacks give back the buffer that they had, so the last one is taken without: between
 * iterations, by entering the ring, which removing a watch does. */
static void take_the_last_buffer(int number)
{
    struct eddy_watch watch = {.fn = ignore};
    int fds[2];
    test_socketpair(fds);
    CHECK_INT(eddy_loop_add_watch(crowd.s.loop, &watch, fds[0], EDDY_READ), 0);
    test_run_steps(crowd.s.loop, 2);
    feed(number, 0, 10);
    eddy_watch_remove(&watch);
    eddy_transport_pause_reading(crowd.guests[number]->base.transport);
    stage_settle(&crowd.s);
    CHECK_INT(crowd.guests[number]->received, 0);
    feed(number, 10, EACH - 10);
    close(fds[0]);
    close(fds[1]);
}

static void take_all_buffers(void)
{
    crowd.hoarding = true;
    for (int i = 0; i < HOARDERS - 1;
         i++) { /* one after the other: buffers come into use as needed */
        feed(i, 0, EACH);
        test_run_steps(crowd.s.loop, 5);
    }
    take_the_last_buffer(HOARDERS - 1);
    CHECK_INT(hoarded(), RING - 2048 + 10);
}

static void converse(int number, size_t len)
{
    static uint8_t bytes[EACH];
    size_t at = crowd.guests[number]->received;
    feed(number, at, len);
    CHECK_INT(raw_recv(&crowd.s, crowd.raws[number], bytes, len), len);
    CHECK(stream_matches(bytes, len, at, (uint64_t)number + 1));
}

static bool hoarders_have(size_t each)
{
    for (int i = 0; i < HOARDERS; i++) {
        if (crowd.guests[i]->received < each)
            return false;
    }
    return true;
}

static void release_all(void)
{
    crowd.hoarding = false;
    for (int i = 0; i < HOARDERS; i++)
        eddy_transport_resume_reading(crowd.guests[i]->base.transport);
}

static void P32_others_go_on_when_paused_connections_hold_all_buffers(void)
{
    crowd_begin();
    take_all_buffers();
    for (int i = HOARDERS; i < HOARDERS + OTHERS; i++) {
        for (size_t len = 1; len <= EACH / 2; len *= 8)
            converse(i, len);
    }
    CHECK_INT(hoarded(), RING - 2048 + 10);
    release_all();
    UNTIL(&crowd.s, hoarders_have(EACH));
    for (int i = 0; i < HOARDERS; i++)
        feed(i, EACH, 10);
    UNTIL(&crowd.s, hoarders_have(EACH + 10));
    crowd_end();
}

static void P32_connections_that_come_when_no_buffer_is_left_are_served(void)
{
    struct eddy_server *second = NULL;
    struct stage *s = &crowd.s;
    struct actor client, guest;
    crowd_begin();
    take_all_buffers();
    stage_add(s, &client, false);
    stage_add(s, &guest, true);
    s->guest_next = 1;
    guest.on[ON_DATA] = do_echo;
    REQUIRE(eddy_create_server(s->loop, &actor_class, EDDY_SERVER(.host = "127.0.0.1", .arg = s),
                               &second) == 0);
    s->connection_opts.port = eddy_server_port(second);
    REQUIRE(actor_connect(&client) == 0);
    UNTIL(s, client.count[ON_MADE] == 1 && guest.count[ON_MADE] == 1);
    for (int i = 1; i <= 20; i++) {
        CHECK_INT(actor_write(&client, 1000), 0);
        UNTIL(s, client.received == 1000u * (size_t)i);
    }
    eddy_transport_close(client.t);
    UNTIL(s, guest.count[ON_FINI] == 1);
    CHECK_INT(client.code, 0);
    eddy_server_close(second);
    eddy_server_unref(second);
    release_all();
    UNTIL(&crowd.s, hoarders_have(EACH));
    crowd_end();
}

static void abort_hoarders(struct stage *s)
{
    (void)s;
    for (int i = 0; i < HOARDERS; i++) {
        eddy_transport_abort(crowd.guests[i]->base.transport, NULL);
    }
}

/* The last buffer is given back by a transport that has gone: the ring is whole again. */
static void P32_P34_aborting_them_all_gives_the_buffers_back(void)
{
    crowd_begin();
    take_all_buffers();
    stage_inside(&crowd.s, abort_hoarders);
    UNTIL(&crowd.s, eddy_server_connections(crowd.s.server) == OTHERS);
    for (int i = 0; i < HOARDERS; i++)
        raw_close(&crowd.s, crowd.raws[i]);
    crowd.made = 0;
    for (int i = 0; i < HOARDERS; i++) {
        crowd.raws[i] = raw_connect(&crowd.s);
        UNTIL(&crowd.s, crowd.made == i + 1);
    }
    stage_settle(&crowd.s);
    take_all_buffers();
    release_all();
    UNTIL(&crowd.s, hoarders_have(EACH));
    crowd_end();
}

static void P35_a_loop_closes_with_all_buffers_held(void)
{
    crowd_begin();
    take_all_buffers();
    test_expect_log("still open when its loop closes");
    eddy_server_unref(crowd.s.server);
    test_loop_free(crowd.s.loop);
    for (int i = 0; i < HOARDERS + OTHERS; i++)
        CHECK_INT(crowd.s.sys->cls->close(crowd.s.sys, crowd.raws[i]), 0);
}

/* ---- small and large ---- */

enum { ROUNDS = 1500, SEEDS = 6 };

static uint64_t dice_state;

static size_t dice(size_t limit)
{
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(dice_state >> 33) % limit;
}

static size_t some_size(void)
{
    switch (dice(8)) {
    case 0:
        return 2048;
    case 1:
        return 2047 + dice(3);
    case 2:
        return 2048 * (1 + dice(4));
    case 3:
        return 1 + dice(50000);
    default:
        return 1 + dice(4096);
    }
}

static void write_some(struct actor *a)
{
    if (!eddy_transport_is_writing_paused(a->t))
        CHECK_INT(actor_write(a, some_size()), 0);
}

/* In callbacks, where writes are collected. */
static void answer_sometimes(struct actor *a)
{
    if (dice(4) == 0)
        write_some(a);
    if (dice(8) == 0)
        eddy_transport_pause_reading(a->t);
    if (dice(16) == 0 && a->data && a->len > 1) {
        size_t back = 1 + dice(a->len - 1);
        CHECK_INT(eddy_transport_unread(a->t, a->data + a->len - back, back), 0);
        a->received -= back;
    }
}

static void write_inside(struct stage *s)
{
    write_some(dice(2) ? &s->client : &s->peer);
}

static void one_round(struct stage *s)
{
    struct actor *a = dice(2) ? &s->client : &s->peer;
    switch (dice(6)) {
    case 0:
        eddy_transport_pause_reading(a->t);
        break;
    case 1:
    case 2:
        eddy_transport_resume_reading(a->t);
        break;
    case 3:
        stage_inside(s, write_inside);
        break;
    case 4:
        write_some(a);
        break;
    default:
        test_run_steps(s->loop, 1);
        break;
    }
    if (s->client.trace.len > TEST_TRACE_SIZE / 2)
        trace_clear(&s->client.trace);
    if (s->peer.trace.len > TEST_TRACE_SIZE / 2)
        trace_clear(&s->peer.trace);
}

static void exchange(uint64_t seed, const struct eddy_protocol_class *client_class)
{
    struct stage s;
    dice_state = seed;
    stage_init(&s);
    stage_keyed(&s);
    s.client_class = client_class;
    s.client.on[ON_DATA] = s.peer.on[ON_DATA] = answer_sometimes;
    s.client.on[ON_BUFFER_UPDATED] = answer_sometimes;
    stage_open(&s);
    for (int i = 0; i < ROUNDS; i++)
        one_round(&s);
    s.client.on[ON_DATA] = s.peer.on[ON_DATA] = s.client.on[ON_BUFFER_UPDATED] = NULL;
    eddy_transport_resume_reading(s.client.t);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.client.received == s.peer.sent && s.peer.received == s.client.sent);
    CHECK(s.client.received > ROUNDS && s.peer.received > ROUNDS);
    stage_close(&s);
}

static void P28_P32_small_and_large_messages_alternate(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        exchange(seed, &actor_class);
}

static void P28_P32_small_and_large_messages_to_a_buffered_protocol(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        exchange(100 + seed, &actor_buffered_class);
}

const struct test_case test_cases[] = {
    CASE(P32_others_go_on_when_paused_connections_hold_all_buffers),
    CASE(P32_connections_that_come_when_no_buffer_is_left_are_served),
    CASE(P32_P34_aborting_them_all_gives_the_buffers_back),
    CASE(P35_a_loop_closes_with_all_buffers_held),
    CASE(P28_P32_small_and_large_messages_alternate),
    CASE(P28_P32_small_and_large_messages_to_a_buffered_protocol),
    TEST_END,
};
