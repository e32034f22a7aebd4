/* backends: io_uring */
/*
 * What the kernel took for us before a pause (contract P32): it comes after the resume, before
 * anything newer, to whoever is the protocol then; the end of the stream comes behind it.
 */
#include "tests/support/stream.h"
#include <unistd.h>

enum {
    BURST = 40000, /* comes in one piece, and fills many buffers */
    NEWER = 8000,
    CLOSED_WHILE_HELD = 80, /* would use up all buffers if they were not given back */
};

static int raw;

static void send_stream(struct stage *s, size_t from, size_t len)
{
    static uint8_t bytes[1 << 16];
    REQUIRE(len <= sizeof bytes);
    stream_bytes(bytes, len, from, s->peer.in_key);
    CHECK_INT(raw_send(s, raw, bytes, len), 0);
}

/* A raw client, and a peer that pauses in its first callback: a burst of `len` bytes has come. */
static void begin_with(struct stage *s, size_t len)
{
    stage_init(s);
    s->peer.in_key = 1;
    s->peer.on[ON_DATA] = do_pause;
    stage_begin(s);
    raw = raw_connect(s);
    UNTIL(s, s->peer.count[ON_MADE] == 1);
    stage_settle(s); /* reading has begun */
    send_stream(s, 0, len);
}

/* How many of `sent` bytes are neither the peer's nor the kernel's. */
static size_t held(struct stage *s, size_t sent)
{
    return sent - s->peer.received - (size_t)raw_unread(s, eddy_transport_fd(s->peer.t));
}

static void check_paused(struct stage *s, size_t sent)
{
    UNTIL(s, s->peer.count[ON_DATA] == 1);
    stage_settle(s);
    CHECK_INT(s->peer.count[ON_DATA], 1);
    CHECK(held(s, sent) > 0);
}

static void resume(struct stage *s)
{
    s->peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s->peer.t);
}

static void P32_bytes_taken_before_a_pause_come_before_newer_ones(void)
{
    struct stage s;
    begin_with(&s, BURST);
    check_paused(&s, BURST);
    send_stream(&s, BURST, NEWER);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_DATA], 1);
    resume(&s);
    UNTIL(&s, s.peer.received == BURST + NEWER);
    send_stream(&s, BURST + NEWER, 10);
    UNTIL(&s, s.peer.received == BURST + NEWER + 10);
    raw_close(&s, raw);
    stage_close(&s);
}

/* Each callback pauses, each iteration resumes: one buffer at a time. */
static void P32_T27_a_pause_in_each_callback_holds_back_the_next(void)
{
    struct stage s;
    begin_with(&s, BURST);
    for (int i = 0; i < 200 && s.peer.received < BURST; i++) {
        int before = s.peer.count[ON_DATA];
        UNTIL(&s, s.peer.count[ON_DATA] > before);
        CHECK_INT(s.peer.count[ON_DATA], before + 1);
        stage_settle(&s);
        CHECK_INT(s.peer.count[ON_DATA], before + 1);
        eddy_transport_resume_reading(s.peer.t);
    }
    CHECK_INT(s.peer.received, BURST);
    raw_close(&s, raw);
    stage_close(&s);
}

static void P32_R23_the_end_of_stream_comes_behind_what_is_held(void)
{
    struct stage s;
    begin_with(&s, BURST / 2);
    raw_shutdown(&s, raw);
    check_paused(&s, BURST / 2);
    CHECK_INT(s.peer.count[ON_EOF], 0);
    resume(&s);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, BURST / 2);
    CHECK_TRACE(s.peer.trace, "CM DR+ ER CL(0)");
    raw_close(&s, raw);
    stage_close(&s);
}

static void P32_a_reset_comes_behind_what_is_held(void)
{
    struct stage s;
    begin_with(&s, BURST / 2);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    size_t taken = s.peer.received + held(&s, BURST / 2);
    raw_reset(&s, raw);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_DATA], 1);
    CHECK_INT(s.peer.count[ON_LOST], 0);
    resume(&s);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK(s.peer.received >= taken);
    CHECK_INT(s.peer.code, -ECONNRESET);
    stage_close(&s);
}

/* The reset is there when the bytes are: one look at the completions finds both. */
static void P32_a_reset_that_came_with_the_bytes_comes_behind_them(void)
{
    struct stage s;
    begin_with(&s, BURST / 2);
    raw_reset(&s, raw);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_DATA], 1);
    CHECK_INT(s.peer.count[ON_LOST], 0);
    resume(&s);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -ECONNRESET);
    stage_close(&s);
}

static void P32_R23_the_end_of_stream_waits_for_a_resume(void)
{
    struct stage s;
    begin_with(&s, 5); /* nothing is held: the callback has had it all when the end comes */
    raw_shutdown(&s, raw);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(5)");
    resume(&s);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(5) ER CL(0)");
    raw_close(&s, raw);
    stage_close(&s);
}

/* ---- small pieces: another operation of the loop has the kernel receive them ---- */

static struct actor other;
static int other_raw;
static struct eddy_watch watches[4];
static int watched[2];

static void ignore(struct eddy_watch *w, unsigned events)
{
    (void)w, (void)events;
}

/* Removing a watch enters the ring, between iterations and in callbacks. */
static void begin_with_watches(struct stage *s)
{
    stage_init(s);
    stage_add(s, &other, true);
    s->peer.in_key = 1;
    stage_begin(s);
    raw = raw_connect(s);
    UNTIL(s, s->peer.count[ON_MADE] == 1);
    other_raw = raw_connect(s);
    UNTIL(s, other.count[ON_MADE] == 1);
    test_socketpair(watched);
    for (int i = 0; i < 4; i++) {
        watches[i] = (struct eddy_watch){.fn = ignore};
        CHECK_INT(eddy_loop_add_watch(s->loop, &watches[i], i == 0 ? watched[0] : dup(watched[0]),
                                      EDDY_READ),
                  0);
    }
    stage_settle(s);
}

static void receive_now(int i)
{
    int fd = watches[i].fd_;
    eddy_watch_remove(&watches[i]);
    close(fd);
}

static void end_with_watches(struct stage *s)
{
    for (int i = 0; i < 4; i++) {
        if (watches[i].loop_)
            receive_now(i);
    }
    close(watched[1]);
    raw_close(s, raw);
    raw_close(s, other_raw);
    stage_close(s);
}

static void P32_T27_small_messages_received_before_a_pause_are_held(void)
{
    struct stage s;
    begin_with_watches(&s);
    send_stream(&s, 0, 5);
    receive_now(0);
    eddy_transport_pause_reading(s.peer.t);
    CHECK_INT(held(&s, 5), 5);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_DATA], 0);
    send_stream(&s, 5, 5);
    stage_settle(&s);
    CHECK_INT(held(&s, 10), 5);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == 10);
    end_with_watches(&s);
}

static struct stage *now;

static void pause_peer(struct actor *a)
{
    (void)a;
    eddy_transport_pause_reading(now->peer.t);
}

static void resume_peer(struct actor *a)
{
    (void)a;
    eddy_transport_resume_reading(now->peer.t);
}

static void resume_in_timer(struct eddy_timer *t)
{
    (void)t;
    eddy_transport_resume_reading(now->peer.t);
}

/* Paused by another connection's callback and resumed in the same iteration, the peer has an
 * operation in flight that goes on receiving while bytes are held. */
static void P32_what_comes_while_bytes_are_held_waits_behind_them(void)
{
    struct stage s;
    struct eddy_timer timer = {.fn = resume_in_timer};
    now = &s;
    begin_with_watches(&s);
    other.on[ON_DATA] = pause_peer;
    CHECK_INT(raw_send(&s, other_raw, "x", 1), 0);
    send_stream(&s, 0, 5);
    receive_now(0);
    send_stream(&s, 5, 5);
    receive_now(1);
    eddy_loop_call_later(s.loop, &timer, 0);
    test_run_steps(s.loop, 1);
    CHECK_INT(other.count[ON_DATA], 1);
    CHECK_INT(held(&s, 10), 10);
    other.on[ON_DATA] = resume_peer;
    s.peer.on[ON_DATA] = do_pause;
    CHECK_INT(raw_send(&s, other_raw, "x", 1), 0);
    send_stream(&s, 10, 5);
    for (int i = 0; i < 10 && s.peer.received < 15; i++) {
        CHECK_INT(raw_send(&s, other_raw, "x", 1), 0);
        test_run_steps(s.loop, 1);
    }
    CHECK_INT(s.peer.received, 15);
    end_with_watches(&s);
}

/* ---- what is held when the connection ends ---- */

static void end_with_bytes_held(void (*end)(struct actor *a), const char *trace)
{
    for (int i = 0; i < CLOSED_WHILE_HELD; i++) {
        struct stage s;
        begin_with(&s, BURST);
        check_paused(&s, BURST);
        end(&s.peer);
        raw_close(&s, raw);
        UNTIL(&s, s.peer.count[ON_LOST] == 1);
        CHECK_TRACE(s.peer.trace, trace);
        stage_close(&s);
    }
}

static void P32_T6_abort_drops_what_is_held(void)
{
    end_with_bytes_held(do_abort, "CM DR+ CL(0)");
}

static void P32_T5_close_drops_what_is_held(void)
{
    end_with_bytes_held(do_close, "CM DR+ CL(0)");
}

/* The buffers of connections that have gone serve those that come: all on one loop. */
static void end_many_on_one_loop(void (*end)(struct actor *a))
{
    struct stage s;
    struct actor *peer = &s.peer;
    begin_with(&s, BURST);
    for (int i = 0; i < CLOSED_WHILE_HELD; i++) {
        check_paused(&s, BURST);
        end(peer);
        raw_close(&s, raw);
        UNTIL(&s, peer->count[ON_FINI] == i + 1);
        peer->count[ON_DATA] = 0;
        peer->received = 0;
        trace_clear(&peer->trace);
        s.guest_next = 0; /* the same actor once more */
        raw = raw_connect(&s);
        UNTIL(&s, peer->count[ON_MADE] == i + 2);
        stage_settle(&s);
        send_stream(&s, 0, BURST);
    }
    check_paused(&s, BURST);
    raw_close(&s, raw);
    stage_close(&s);
}

/* ... those too that were received and not looked at when the first callback ends it all. */
static void end_in_the_first_callback(void (*end)(struct actor *a))
{
    struct stage s;
    struct actor *peer = &s.peer;
    begin_with(&s, BURST);
    peer->on[ON_DATA] = end;
    for (int i = 1; i <= CLOSED_WHILE_HELD; i++) {
        UNTIL(&s, peer->count[ON_FINI] == i);
        CHECK_INT(peer->count[ON_DATA], i);
        peer->received = 0;
        trace_clear(&peer->trace);
        raw_close(&s, raw);
        s.guest_next = 0;
        if (i == CLOSED_WHILE_HELD)
            peer->on[ON_DATA] = do_pause;
        raw = raw_connect(&s);
        UNTIL(&s, peer->count[ON_MADE] == i + 1);
        stage_settle(&s);
        send_stream(&s, 0, BURST);
    }
    peer->count[ON_DATA] = 0;
    check_paused(&s, BURST);
    raw_close(&s, raw);
    stage_close(&s);
}

static void P32_R17_what_was_received_for_an_aborted_connection_is_given_back(void)
{
    end_in_the_first_callback(do_abort);
}

static void P32_T5_what_was_received_for_a_closed_connection_is_given_back(void)
{
    end_in_the_first_callback(do_close);
}

static void P32_aborted_connections_give_their_buffers_back(void)
{
    end_many_on_one_loop(do_abort);
}

static void P32_closed_connections_give_their_buffers_back(void)
{
    end_many_on_one_loop(do_close);
}

/* ---- who gets it ---- */

struct relay_race {
    struct stage *s;
    struct actor next, last;
    uint8_t window[3000];
};

static struct relay_race race;

static void hand_over(struct actor *from, struct actor *to, const struct eddy_protocol_class *cls)
{
    to->in_key = from->in_key;
    to->received = from->received;
    CHECK_INT(actor_switch(from, to, cls), 0);
}

static void hand_to_last(struct actor *a)
{
    if (a->received > BURST / 2) {
        a->on[ON_BUFFER_UPDATED] = NULL;
        hand_over(a, &race.last, &actor_class);
    }
}

/* To a buffered protocol with room for so many bytes, and to a plain one in the middle. */
static void switch_with_bytes_held(size_t room)
{
    struct stage s;
    begin_with(&s, BURST);
    stage_add(&s, &race.next, false);
    stage_add(&s, &race.last, false);
    race.next.window = race.window;
    race.next.window_size = room;
    race.next.on[ON_BUFFER_UPDATED] = hand_to_last;
    check_paused(&s, BURST);
    s.peer.on[ON_DATA] = NULL;
    hand_over(&s.peer, &race.next, &actor_buffered_class);
    eddy_transport_resume_reading(race.next.t);
    UNTIL(&s, race.last.received == BURST);
    CHECK(race.next.count[ON_BUFFER_UPDATED] > 0);
    CHECK(race.next.largest <= room);
    CHECK(race.last.count[ON_DATA] > 0);
    send_stream(&s, BURST, NEWER);
    UNTIL(&s, race.last.received == BURST + NEWER);
    raw_close(&s, raw);
    stage_close(&s);
}

static void P32_R38_held_bytes_go_to_the_then_current_protocol(void)
{
    switch_with_bytes_held(sizeof race.window);
}

static void P32_held_bytes_fill_small_areas_piece_by_piece(void)
{
    switch_with_bytes_held(700);
}

/* More areas than are filled in one iteration. */
static void P32_R23_the_end_of_stream_comes_behind_many_small_areas(void)
{
    struct stage s;
    begin_with(&s, BURST / 2);
    raw_shutdown(&s, raw);
    stage_add(&s, &race.next, false);
    race.next.window = race.window;
    race.next.window_size = 50;
    check_paused(&s, BURST / 2);
    hand_over(&s.peer, &race.next, &actor_buffered_class);
    eddy_transport_resume_reading(race.next.t);
    UNTIL(&s, race.next.count[ON_LOST] == 1);
    CHECK_INT(race.next.received, BURST / 2);
    CHECK_INT(race.next.count[ON_EOF], 1);
    raw_close(&s, raw);
    stage_close(&s);
}

static void pause_early(struct actor *a)
{
    if (a->count[ON_BUFFER_UPDATED] % 3 == 0)
        eddy_transport_pause_reading(a->t);
}

/* Pauses in buffer_updated and in get_buffer, with part of a buffer taken. */
static void P32_a_buffered_protocol_pauses_in_the_middle_of_a_buffer(void)
{
    struct stage s;
    begin_with(&s, BURST);
    stage_add(&s, &race.next, false);
    race.next.window = race.window;
    race.next.window_size = 500;
    race.next.on[ON_BUFFER_UPDATED] = pause_early;
    race.next.on[ON_GET_BUFFER] = pause_early;
    check_paused(&s, BURST);
    hand_over(&s.peer, &race.next, &actor_buffered_class);
    for (int i = 0; i < 1000 && race.next.received < BURST; i++) {
        eddy_transport_resume_reading(race.next.t);
        test_run_steps(s.loop, 2);
    }
    race.next.on[ON_GET_BUFFER] = race.next.on[ON_BUFFER_UPDATED] = NULL;
    eddy_transport_resume_reading(race.next.t);
    UNTIL(&s, race.next.received == BURST);
    raw_close(&s, raw);
    stage_close(&s);
}

static void give_half_back(struct actor *a)
{
    size_t back = a->count[ON_DATA] % 4 ? a->len / 2 : 0;
    if (back > 0) {
        CHECK_INT(eddy_transport_unread(a->t, a->data + a->len - back, back), 0);
        a->received -= back;
    }
}

static void P32_what_is_unread_comes_before_what_is_held(void)
{
    struct stage s;
    begin_with(&s, BURST);
    check_paused(&s, BURST);
    resume(&s);
    s.peer.on[ON_DATA] = give_half_back;
    UNTIL(&s, s.peer.received == BURST);
    raw_close(&s, raw);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(P32_bytes_taken_before_a_pause_come_before_newer_ones),
    CASE(P32_T27_a_pause_in_each_callback_holds_back_the_next),
    CASE(P32_R23_the_end_of_stream_comes_behind_what_is_held),
    CASE(P32_a_reset_comes_behind_what_is_held),
    CASE(P32_a_reset_that_came_with_the_bytes_comes_behind_them),
    CASE(P32_R23_the_end_of_stream_waits_for_a_resume),
    CASE(P32_T27_small_messages_received_before_a_pause_are_held),
    CASE(P32_what_comes_while_bytes_are_held_waits_behind_them),
    CASE(P32_T6_abort_drops_what_is_held),
    CASE(P32_T5_close_drops_what_is_held),
    CASE(P32_aborted_connections_give_their_buffers_back),
    CASE(P32_closed_connections_give_their_buffers_back),
    CASE(P32_R17_what_was_received_for_an_aborted_connection_is_given_back),
    CASE(P32_T5_what_was_received_for_a_closed_connection_is_given_back),
    CASE(P32_R38_held_bytes_go_to_the_then_current_protocol),
    CASE(P32_R23_the_end_of_stream_comes_behind_many_small_areas),
    CASE(P32_held_bytes_fill_small_areas_piece_by_piece),
    CASE(P32_a_buffered_protocol_pauses_in_the_middle_of_a_buffer),
    CASE(P32_what_is_unread_comes_before_what_is_held),
    TEST_END,
};
