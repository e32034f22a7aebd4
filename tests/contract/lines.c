/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/*
 * <eddy/line.h>: where lines end, however they arrive, and how long they may be; the order of
 * callbacks is contract R.1.
 */
#include "tests/support/pieces.h"
#include <eddy/line.h>
#include <string.h>

struct guest {
    int before; /* the line is anywhere in it */
    struct eddy_line line;
    struct play *play;
};

static struct play *play_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct guest, line)->play;
}

static int guest_init(struct eddy_line *l, void *arg)
{
    EDDY_CONTAINER_OF(l, struct guest, line)->play = arg;
    return play_init(arg, &l->base);
}

static void guest_fini(struct eddy_line *l)
{
    play_fini(play_of(l));
}

static void guest_made(struct eddy_line *l, struct eddy_transport *t)
{
    play_made(play_of(l), t);
}

static void guest_line(struct eddy_line *l, const char *line, size_t len)
{
    play_piece(play_of(l), line, len);
}

static bool guest_eof(struct eddy_line *l)
{
    return play_eof(play_of(l));
}

static void guest_pause(struct eddy_line *l)
{
    play_pause(play_of(l));
}

static void guest_resume(struct eddy_line *l)
{
    play_resume(play_of(l));
}

static void guest_lost(struct eddy_line *l, const struct eddy_error *err)
{
    play_lost(play_of(l), err);
}

#define GUEST_SLOTS                                                                             \
    EDDY_LINE_CLASS(struct guest, line),                                                        \
        .line_received = guest_line, .init = guest_init, .fini = guest_fini,                    \
        .connection_made = guest_made, .eof_received = guest_eof, .pause_writing = guest_pause, \
        .resume_writing = guest_resume, .connection_lost = guest_lost

static const struct eddy_line_class plain = {GUEST_SLOTS};
static const struct eddy_line_class keeps_cr = {GUEST_SLOTS, .keep_cr = true};
static const struct eddy_line_class five = {GUEST_SLOTS, .longest = 5};
static const struct eddy_line_class five_with_cr = {GUEST_SLOTS, .longest = 5, .keep_cr = true};

/* One connection for each place where the text can be cut in two, and one byte by byte. */
static void in_all_pieces(const struct eddy_line_class *cls, const char *text, size_t len,
                          const char *expected)
{
    struct play c;

    play_begin(&c, "L", &cls->base);
    for (size_t at = 0; at <= len; at++) {
        play_open(&c);
        play_feed_in_two(&c, text, len, at);
        play_finish(&c);
        if (!CHECK_TRACE(c.trace, expected))
            FAIL("... cut at %zu", at);
    }
    play_open(&c);
    for (size_t i = 0; i < len && c.t; i++)
        play_feed(&c, text + i, 1);
    play_finish(&c);
    CHECK_TRACE(c.trace, expected);
    play_end(&c);
}

#define IN_ALL_PIECES(cls, text, expected) in_all_pieces(cls, text, sizeof(text) - 1, expected)

/* ---- where lines end ---- */

static void R1_R23_lines_however_they_arrive(void)
{
    IN_ALL_PIECES(&plain, "one\r\n\n\r\ntwo\0\xff\n\rthree\r\r\n\rlast",
                  "CM L(one) L() L() L(two\\00\\ff) L(\\0dthree\\0d) L(\\0dlast) ER CL(0) FI");
}

static void R1_a_stream_that_ends_with_a_line_end_has_no_line_behind_it(void)
{
    IN_ALL_PIECES(&plain, "one\n", "CM L(one) ER CL(0) FI");
    IN_ALL_PIECES(&plain, "\n", "CM L() ER CL(0) FI");
    IN_ALL_PIECES(&plain, "", "CM ER CL(0) FI");
}

static void R23_a_cr_at_the_end_of_the_stream_is_a_byte_as_others_are(void)
{
    IN_ALL_PIECES(&plain, "one\r", "CM L(one\\0d) ER CL(0) FI");
    IN_ALL_PIECES(&plain, "\r", "CM L(\\0d) ER CL(0) FI");
}

static void R1_a_class_can_keep_the_cr(void)
{
    IN_ALL_PIECES(&keeps_cr, "one\r\n\r\ntwo\n", "CM L(one\\0d) L(\\0d) L(two) ER CL(0) FI");
}

/* ---- how long they may be ---- */

static void R17_lines_at_and_beyond_the_limit(void)
{
    IN_ALL_PIECES(&five, "1234\n12345\n1234\r\n12345\r\n12345",
                  "CM L(1234) L(12345) L(1234) L(12345) L(12345) ER CL(0) FI");
    IN_ALL_PIECES(&five, "a\n123456\nb\n", "CM L(a) CL(EMSGSIZE) FI");
    IN_ALL_PIECES(&five, "a\n12345\r\r\nb\n", "CM L(a) CL(EMSGSIZE) FI");
    IN_ALL_PIECES(&five, "a\n12345\rb\n", "CM L(a) CL(EMSGSIZE) FI");
    IN_ALL_PIECES(&five, "a\n123456", "CM L(a) CL(EMSGSIZE) FI");
    IN_ALL_PIECES(&five, "a\n12345\r", "CM L(a) CL(EMSGSIZE) FI");
}

static void R17_a_cr_that_is_kept_counts(void)
{
    IN_ALL_PIECES(&five_with_cr, "1234\r\n12345\n", "CM L(1234\\0d) L(12345) ER CL(0) FI");
    IN_ALL_PIECES(&five_with_cr, "12345\r\n", "CM CL(EMSGSIZE) FI");
}

static void R17_G2_a_line_is_too_long_before_its_end_has_come(void)
{
    struct play c;

    play_begin(&c, "L", &five.base);
    play_open(&c);
    play_feed(&c, "12345", 5);
    CHECK_TRACE(c.trace, "CM");
    play_feed(&c, "6", 1);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM CL(EMSGSIZE) FI");
    CHECK(strstr(c.error.text, "longer than 5 bytes") != NULL);
    CHECK_STR(c.error.op, "line");
    play_end(&c);
}

static void R17_lines_of_64_KiB_unless_the_class_says_otherwise(void)
{
    static char text[65536 + 2];
    struct play c;

    memset(text, 'x', sizeof text);
    text[65536] = '\n';
    play_begin(&c, "L", &plain.base);
    play_open(&c);
    play_feed_in_two(&c, text, 65537, 10);
    UNTIL(&c.s, c.pieces == 1);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(#65536) ER CL(0) FI");
    text[65536] = 'x';
    text[65537] = '\n';
    play_open(&c);
    raw_send(&c.s, c.fd, text, sizeof text); /* whose end may meet a closed socket */
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM CL(EMSGSIZE) FI");
    play_end(&c);
}

/* ---- as little copying and keeping as can be ---- */

static const char *first_line;

static void note_address(struct play *c, const char *data, size_t len)
{
    (void)len;
    if (c->pieces == 1)
        first_line = data;
    else
        CHECK(data == first_line + 4 * (c->pieces - 1));
}

static void G6_lines_that_came_whole_are_not_copied(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.on_piece = note_address;
    play_open(&c);
    play_feed(&c, "one\ntwo\nsix\nten\n", 16);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(one) L(two) L(six) L(ten) ER CL(0) FI");
    play_end(&c);
}

static void G5_no_memory_is_held_between_lines(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    play_open(&c);
    play_feed(&c, "a\n", 2);
    long live = test_live_allocations();
    play_feed(&c, "one", 3);
    CHECK(test_live_allocations() > live);
    play_feed(&c, "\n", 1);
    CHECK_INT(test_live_allocations(), live);
    play_finish(&c);
    play_end(&c);
}

/* ---- pausing ---- */

static void paused_in(struct play *c, const char *text, size_t len, size_t at, int piece)
{
    play_open(c);
    c->act_on = piece;
    play_feed_in_two(c, text, len, at);
    UNTIL(&c->s, c->pieces >= piece);
    raw_shutdown(&c->s, c->fd);
    stage_settle(&c->s);
    CHECK_INT(c->pieces, piece);
    CHECK(c->t && !eddy_transport_is_reading(c->t));
    eddy_transport_resume_reading(c->t);
    CHECK_INT(c->pieces, piece); /* from the loop */
    play_await_fini(c);
}

static void T27_R40_a_pause_holds_in_mid_buffer(void)
{
    static const char text[] = "a\nbc\n\nd\r\nef\n";
    const size_t len = sizeof text - 1;
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = play_act_pause;
    for (int piece = 1; piece <= 5; piece++) {
        for (size_t at = 0; at <= len; at++) {
            paused_in(&c, text, len, at, piece);
            if (!CHECK_TRACE(c.trace, "CM L(a) L(bc) L() L(d) L(ef) ER CL(0) FI"))
                FAIL("... paused in line %d, cut at %zu", piece, at);
        }
    }
    play_end(&c);
}

static void T27_a_pause_in_each_line(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = play_act_pause;
    play_open(&c);
    play_feed(&c, "a\nb\nc\nd", 7);
    for (int lines = 1; lines <= 3; lines++) {
        UNTIL(&c.s, c.pieces == lines);
        stage_settle(&c.s);
        CHECK_INT(c.pieces, lines);
        play_feed(&c, "e", 1); /* newer bytes do not overtake */
        eddy_transport_resume_reading(c.t);
    }
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(a) L(b) L(c) L(deee) ER CL(0) FI");
    play_end(&c);
}

static void T26_T27_pause_and_resume_in_one_line_change_nothing(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = play_act_pause_and_resume;
    play_open(&c);
    play_feed(&c, "a\nb\nc", 5);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(a) L(b) L(c) ER CL(0) FI");
    play_end(&c);
}

/* The end of stream is known then, and cannot come again. */
static void R22_T27_a_pause_in_the_last_line_does_not_hold_back_its_end(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = play_act_pause;
    c.act_on = 2;
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(a) L(b) ER CL(0) FI");
    play_end(&c);
}

/* ---- ending in a line ---- */

static void T5_R17_close_and_abort_in_mid_buffer(void)
{
    static void (*const acts[])(struct play *) = {play_act_close, play_act_abort};
    static const char *const ends[] = {"CM L(a) L(b) CL(0) FI", "CM L(a) L(b) CL(EPROTO) FI"};
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act_on = 2;
    for (int i = 0; i < 2; i++) {
        c.act = acts[i];
        for (size_t at = 0; at <= 6; at++) {
            play_open(&c);
            play_feed_in_two(&c, "a\nb\nc\n", 6, at);
            play_finish(&c);
            CHECK_TRACE(c.trace, ends[i]);
        }
        play_open(&c); /* the second line is the last, without an end: no ER */
        play_feed(&c, "a\nb", 3);
        play_finish(&c);
        CHECK_TRACE(c.trace, ends[i]);
    }
    play_end(&c);
}

static void R24_a_reset_drops_the_beginning_of_a_line(void)
{
    if (!road_has_resets())
        return;
    struct play c;

    play_begin(&c, "L", &plain.base);
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    UNTIL(&c.s, c.pieces == 1);
    raw_reset(&c.s, c.fd);
    UNTIL(&c.s, c.p == NULL);
    CHECK_TRACE(c.trace, "CM L(a) CL(ECONNRESET) FI");
    play_end(&c);
}

static void R21_true_keeps_our_side_open(void)
{
    struct play c;
    char back[4];

    play_begin(&c, "L", &plain.base);
    c.keep_open = true;
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    raw_shutdown(&c.s, c.fd);
    UNTIL(&c.s, trace_count(&c.trace, "ER") == 1);
    CHECK_INT(eddy_transport_write(c.t, "late", 4), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, back, 4), 4);
    CHECK_TRACE(c.trace, "CM L(a) L(b) ER");
    eddy_transport_close(c.t);
    play_await_fini(&c);
    play_end(&c);
}

/* ---- switching ---- */

static bool next_has(struct play *c, const char *text)
{
    return c->next.received == strlen(text) && memcmp(c->next.head, text, strlen(text)) == 0;
}

static void R36_R40_what_is_behind_the_line_goes_to_the_next_protocol(void)
{
    struct play c;

    for (size_t at = 0; at <= 9; at++) {
        play_begin(&c, "L", &plain.base);
        c.act = play_switch;
        c.act_on = 2;
        play_open(&c);
        play_feed_in_two(&c, "a\nb\nc\nrest", 9, at);
        raw_shutdown(&c.s, c.fd);
        UNTIL(&c.s, c.next.count[ON_LOST] == 1);
        play_await_fini(&c);
        CHECK_TRACE(c.trace, "CM L(a) L(b) FI");
        CHECK_TRACE(c.next.trace, "DR+ ER CL(0)");
        CHECK(next_has(&c, "c\nres"));
        play_end(&c);
    }
}

static void pause_and_switch(struct play *c)
{
    play_act_pause(c);
    play_switch(c);
}

static void R40_a_switch_while_paused(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = pause_and_switch;
    play_open(&c);
    play_feed(&c, "a\nrest", 6);
    UNTIL(&c.s, c.p == NULL);
    stage_settle(&c.s);
    CHECK_TRACE(c.next.trace, "");
    eddy_transport_resume_reading(c.next.t);
    UNTIL(&c.s, c.next.received == 4);
    CHECK(next_has(&c, "rest"));
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.trace, "CM L(a) FI");
    play_end(&c);
}

static void R22_R36_after_a_switch_in_the_last_line_its_end_is_the_new_protocols(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = play_switch;
    play_open(&c);
    c.next.keep_open = true;
    play_feed(&c, "last", 4);
    raw_shutdown(&c.s, c.fd);
    UNTIL(&c.s, c.next.count[ON_EOF] == 1);
    stage_settle(&c.s);
    CHECK_TRACE(c.next.trace, "ER"); /* and its answer counts */
    eddy_transport_close(c.next.t);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM L(last) FI");
    play_end(&c);
}

static void R36_the_beginning_of_a_line_can_be_passed_on(void)
{
    struct play c;
    const char *partial;

    play_begin(&c, "L", &plain.base);
    play_open(&c);
    play_feed(&c, "a\nbegin", 7);
    UNTIL(&c.s, c.pieces == 1);
    struct eddy_line *l = EDDY_CONTAINER_OF(c.p, struct eddy_line, base);
    UNTIL(&c.s, eddy_line_partial(l, &partial) == 5);
    CHECK(memcmp(partial, "begin", 5) == 0);
    play_switch(&c);
    UNTIL(&c.s, c.p == NULL);
    play_feed(&c, "ning", 4);
    UNTIL(&c.s, c.next.received == 4);
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.trace, "CM L(a) FI");
    play_end(&c);
}

static void expect_no_partial(struct play *c, const char *data, size_t len)
{
    const char *partial;

    (void)data;
    (void)len;
    CHECK_INT(eddy_line_partial(EDDY_CONTAINER_OF(c->p, struct eddy_line, base), &partial), 0);
}

static void R36_in_line_received_nothing_is_kept(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.on_piece = expect_no_partial;
    play_open(&c);
    play_feed_in_two(&c, "abc\ndef", 7, 2);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM L(abc) L(def) ER CL(0) FI");
    play_end(&c);
}

/* ---- when memory runs out ---- */

static void fail_next_allocation(struct play *c)
{
    (void)c;
    test_fail_allocation(1);
}

static void G5_no_memory_for_the_beginning_of_a_line(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = fail_next_allocation;
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    CHECK(test_allocation_failed());
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM L(a) CL(ENOMEM) FI");
    play_end(&c);
}

static void pause_without_memory(struct play *c)
{
    play_act_pause(c);
    test_fail_allocation(1);
}

static void G5_R40_no_memory_for_what_is_behind_a_line(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = pause_without_memory;
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    CHECK(test_allocation_failed());
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM L(a) CL(ENOMEM) FI");
    play_end(&c);
}

static void unread_itself(struct play *c)
{
    CHECK_INT(eddy_transport_unread(c->t, "again\n", 6), 0);
    play_act_pause(c);
}

static void G5_R40_an_unread_in_line_received_does_not_leave_a_hole(void)
{
    struct play c;

    play_begin(&c, "L", &plain.base);
    c.act = unread_itself;
    play_open(&c);
    play_feed(&c, "a\nb", 3);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM L(a) CL(EINVALID_STATE) FI");
    play_end(&c);
}

/* ---- the other slots ---- */

static void G18_an_init_that_refuses(void)
{
    struct play c;
    char byte;

    play_begin(&c, "L", &plain.base);
    c.refuse = true;
    c.fd = raw_connect(&c.s);
    CHECK_INT(raw_recv(&c.s, c.fd, &byte, 1), 0);
    CHECK_TRACE(c.trace, "");
    raw_close(&c.s, c.fd);
    play_end(&c);
}

static void R6_R32_pause_and_resume_writing(void)
{
    static char block[1 << 20];
    struct play c;
    size_t sent = 0;

    play_begin(&c, "L", &plain.base);
    play_open(&c);
    while (!eddy_transport_is_writing_paused(c.t) && sent < (64u << 20)) {
        CHECK_INT(eddy_transport_write(c.t, block, sizeof block), 0);
        sent += sizeof block;
        eddy_transport_flush(c.t);
        stage_settle(&c.s);
    }
    CHECK_TRACE(c.trace, "CM PW");
    static char piece[65536];
    for (size_t got = 0; got < sent; got += sizeof piece)
        CHECK_INT(raw_recv(&c.s, c.fd, piece, sizeof piece), sizeof piece);
    UNTIL(&c.s, !eddy_transport_is_writing_paused(c.t));
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM PW RW ER CL(0) FI");
    play_end(&c);
}

static const struct eddy_line_class without_slots = {EDDY_LINE_CLASS(struct guest, line)};

static void G21_S53_slots_left_out(void)
{
    struct play c;

    play_begin(&c, "L", &without_slots.base);
    c.fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 1);
    play_feed(&c, "a\nb", 3);
    raw_shutdown(&c.s, c.fd);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0); /* the end of stream closes */
    raw_close(&c.s, c.fd);

    c.fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 1);
    CHECK_INT(eddy_server_drain(c.s.server, EDDY_FOREVER, NULL), 0);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 0); /* so does a server that drains */
    raw_close(&c.s, c.fd);
    play_end(&c);
}

static void say_goodbye(struct eddy_line *l)
{
    CHECK_INT(eddy_transport_write(l->base.transport, "bye", 3), 0);
    eddy_transport_close(l->base.transport);
}

static const struct eddy_line_class polite = {GUEST_SLOTS, .shutdown_requested = say_goodbye};

static void S53_shutdown_requested(void)
{
    struct play c;
    char text[3];

    play_begin(&c, "L", &polite.base);
    play_open(&c);
    CHECK_INT(eddy_server_drain(c.s.server, EDDY_FOREVER, NULL), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, text, 3), 3);
    CHECK(memcmp(text, "bye", 3) == 0);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM CL(0) FI");
    play_end(&c);
}

const struct test_case test_cases[] = {
    CASE(R1_R23_lines_however_they_arrive),
    CASE(R1_a_stream_that_ends_with_a_line_end_has_no_line_behind_it),
    CASE(R23_a_cr_at_the_end_of_the_stream_is_a_byte_as_others_are),
    CASE(R1_a_class_can_keep_the_cr),
    CASE(R17_lines_at_and_beyond_the_limit),
    CASE(R17_a_cr_that_is_kept_counts),
    CASE(R17_G2_a_line_is_too_long_before_its_end_has_come),
    CASE(R17_lines_of_64_KiB_unless_the_class_says_otherwise),
    CASE(G6_lines_that_came_whole_are_not_copied),
    CASE(G5_no_memory_is_held_between_lines),
    CASE(T27_R40_a_pause_holds_in_mid_buffer),
    CASE(T27_a_pause_in_each_line),
    CASE(T26_T27_pause_and_resume_in_one_line_change_nothing),
    CASE(R22_T27_a_pause_in_the_last_line_does_not_hold_back_its_end),
    CASE(T5_R17_close_and_abort_in_mid_buffer),
    CASE(R24_a_reset_drops_the_beginning_of_a_line),
    CASE(R21_true_keeps_our_side_open),
    CASE(R36_R40_what_is_behind_the_line_goes_to_the_next_protocol),
    CASE(R40_a_switch_while_paused),
    CASE(R22_R36_after_a_switch_in_the_last_line_its_end_is_the_new_protocols),
    CASE(R36_the_beginning_of_a_line_can_be_passed_on),
    CASE(R36_in_line_received_nothing_is_kept),
    CASE(G5_no_memory_for_the_beginning_of_a_line),
    CASE(G5_R40_no_memory_for_what_is_behind_a_line),
    CASE(G5_R40_an_unread_in_line_received_does_not_leave_a_hole),
    CASE(G18_an_init_that_refuses),
    CASE(R6_R32_pause_and_resume_writing),
    CASE(G21_S53_slots_left_out),
    CASE(S53_shutdown_requested),
    {NULL, NULL},
};
