/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/*
 * <eddy/frame.h>: prefixes of every kind at each of their boundaries, frames however they arrive,
 * and how long they may be; the order of callbacks is contract R.1.
 */
#include "tests/support/pieces.h"
#include <eddy/frame.h>
#include <string.h>

struct guest {
    int before; /* the frame is anywhere in it */
    struct eddy_frame frame;
    struct play *play;
};

static struct play *play_of(struct eddy_frame *f)
{
    return EDDY_CONTAINER_OF(f, struct guest, frame)->play;
}

static int guest_init(struct eddy_frame *f, void *arg)
{
    EDDY_CONTAINER_OF(f, struct guest, frame)->play = arg;
    return play_init(arg, &f->base);
}

static void guest_fini(struct eddy_frame *f)
{
    play_fini(play_of(f));
}

static void guest_made(struct eddy_frame *f, struct eddy_transport *t)
{
    play_made(play_of(f), t);
}

static void guest_frame(struct eddy_frame *f, const void *data, size_t len)
{
    play_piece(play_of(f), data, len);
}

static bool guest_eof(struct eddy_frame *f)
{
    return play_eof(play_of(f));
}

static void guest_pause(struct eddy_frame *f)
{
    play_pause(play_of(f));
}

static void guest_resume(struct eddy_frame *f)
{
    play_resume(play_of(f));
}

static void guest_lost(struct eddy_frame *f, const struct eddy_error *err)
{
    play_lost(play_of(f), err);
}

static void guest_shutdown(struct eddy_frame *f)
{
    CHECK_INT(eddy_frame_send(f, "bye", 3), 0);
    eddy_transport_close(f->base.transport);
}

static struct eddy_frame_class class_with(enum eddy_frame_prefix prefix, size_t longest)
{
    const struct eddy_frame_class cls = {
        EDDY_FRAME_CLASS(struct guest, frame),
        .prefix = prefix,
        .longest = longest,
        .frame_received = guest_frame,
        .init = guest_init,
        .fini = guest_fini,
        .connection_made = guest_made,
        .eof_received = guest_eof,
        .pause_writing = guest_pause,
        .resume_writing = guest_resume,
        .connection_lost = guest_lost,
        .shutdown_requested = guest_shutdown,
    };
    return cls;
}

static struct eddy_frame *frame_of(struct play *c)
{
    return EDDY_CONTAINER_OF(c->p, struct eddy_frame, base);
}

/* One connection for each place where the bytes can be cut in two, and one byte by byte. */
static void in_all_pieces(const struct eddy_frame_class *cls, const char *bytes, size_t len,
                          const char *expected)
{
    struct play c;

    play_begin(&c, "F", &cls->base);
    for (size_t at = 0; at <= len; at++) {
        play_open(&c);
        play_feed_in_two(&c, bytes, len, at);
        play_finish(&c);
        if (!CHECK_TRACE(c.trace, expected))
            FAIL("... prefix %d, cut at %zu", (int)cls->prefix, at);
    }
    play_open(&c);
    for (size_t i = 0; i < len && c.t; i++)
        play_feed(&c, bytes + i, 1);
    play_finish(&c);
    CHECK_TRACE(c.trace, expected);
    play_end(&c);
}

#define IN_ALL_PIECES(prefix, longest, bytes, expected)             \
    do {                                                            \
        struct eddy_frame_class cls_ = class_with(prefix, longest); \
        in_all_pieces(&cls_, bytes, sizeof(bytes) - 1, expected);   \
    } while (0)

/* ---- frames ---- */

static void R1_R23_frames_however_they_arrive(void)
{
    static const char expected[] = "CM F(abc) F() F(\\00\\ff) F(d) ER CL(0) FI";

    IN_ALL_PIECES(EDDY_FRAME_U32BE, 0, "\0\0\0\3abc\0\0\0\0\0\0\0\2\0\xff\0\0\0\1d", expected);
    IN_ALL_PIECES(EDDY_FRAME_U32LE, 0, "\3\0\0\0abc\0\0\0\0\2\0\0\0\0\xff\1\0\0\0d", expected);
    IN_ALL_PIECES(EDDY_FRAME_U16BE, 0, "\0\3abc\0\0\0\2\0\xff\0\1d", expected);
    IN_ALL_PIECES(EDDY_FRAME_U16LE, 0, "\3\0abc\0\0\2\0\0\xff\1\0d", expected);
    IN_ALL_PIECES(EDDY_FRAME_U8, 0, "\3abc\0\2\0\xff\1d", expected);
    IN_ALL_PIECES(EDDY_FRAME_VARINT, 0, "\3abc\0\2\0\xff\1d", expected);
}

static void R1_varints_with_more_bytes_than_needed(void)
{
    IN_ALL_PIECES(EDDY_FRAME_VARINT, 0,
                  "\x80\0"
                  "\x83\x80\0abc"
                  "\x81\x80\x80\x80\x80\x80\x80\x80\x80\0d",
                  "CM F() F(abc) F(d) ER CL(0) FI");
}

static void R17_varints_beyond_64_bits(void)
{
    IN_ALL_PIECES(EDDY_FRAME_VARINT, SIZE_MAX, "\1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\2",
                  "CM F(a) CL(EPROTO) FI");
    IN_ALL_PIECES(EDDY_FRAME_VARINT, SIZE_MAX, "\1a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81",
                  "CM F(a) CL(EPROTO) FI");
    IN_ALL_PIECES(EDDY_FRAME_VARINT, SIZE_MAX, "\1a\x80\x80\x80\x80\x80\x80\x80\x80\x80\2",
                  "CM F(a) CL(EPROTO) FI"); /* not 0 either */
    IN_ALL_PIECES(EDDY_FRAME_VARINT, SIZE_MAX, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0",
                  "CM CL(EPROTO) FI");
}

static void R21_the_end_of_stream_within_a_frame_or_prefix(void)
{
    static const char bytes[] = "\0\0\0\1a\0\0\0\3bcd";
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, 0);
    struct play c;

    play_begin(&c, "F", &cls.base);
    for (size_t len = 0; len <= sizeof bytes - 1; len++) {
        play_open(&c);
        play_feed(&c, bytes, len);
        play_finish(&c);
        const char *expected = len == 0    ? "CM ER CL(0) FI"
                               : len < 5   ? "CM CL(EPROTO) FI"
                               : len == 5  ? "CM F(a) ER CL(0) FI"
                               : len == 12 ? "CM F(a) F(bcd) ER CL(0) FI"
                                           : "CM F(a) CL(EPROTO) FI";
        if (!CHECK_TRACE(c.trace, expected))
            FAIL("... after %zu bytes", len);
        if (len == 1)
            CHECK(strstr(c.error.text, "ends within a frame") != NULL);
    }
    play_end(&c);
}

/* ---- boundaries ---- */

/* An encoder of its own. */
static size_t encode(enum eddy_frame_prefix prefix, uint64_t n, char out[10])
{
    static const size_t sizes[] = {4, 4, 2, 2, 1};
    size_t len = 0;

    if (prefix == EDDY_FRAME_VARINT) {
        do {
            out[len] = (char)(n % 128 + (n > 127 ? 128 : 0));
            len++;
            n /= 128;
        } while (n > 0);
        return len;
    }
    len = sizes[prefix];
    for (size_t i = 0; i < len; i++, n /= 256)
        out[prefix == EDDY_FRAME_U32LE || prefix == EDDY_FRAME_U16LE ? i : len - 1 - i] =
            (char)(n % 256);
    return len;
}

/* A prefix that announces n bytes, with that as the limit and with one less. */
static void announce(enum eddy_frame_prefix prefix, uint64_t n, size_t prefix_len)
{
    size_t limit = (size_t)n;
    struct eddy_frame_class cls = class_with(prefix, limit);
    struct play c;
    char bytes[10];
    const char *partial;
    size_t len = encode(prefix, n, bytes);

    CHECK_INT(len, prefix_len);
    if (limit != n)
        return; /* longer than memory: too long under every limit */
    play_begin(&c, "F", &cls.base);
    for (size_t at = 0; at <= len; at++) {
        cls.longest = limit;
        play_open(&c);
        play_feed_in_two(&c, bytes, len, at);
        UNTIL(&c.s, eddy_frame_partial(frame_of(&c), &partial) == len);
        CHECK(memcmp(partial, bytes, len) == 0);
        raw_reset(&c.s, c.fd);
        UNTIL(&c.s, c.p == NULL);
        CHECK_TRACE(c.trace, road_has_resets() ? "CM CL(ECONNRESET) FI" : "CM CL(EPROTO) FI");
        cls.longest = limit - 1;
        play_open(&c);
        play_feed_in_two(&c, bytes, len, at);
        play_await_fini(&c);
        if (!CHECK_TRACE(c.trace, "CM CL(EMSGSIZE) FI"))
            FAIL("... prefix %d, %llu bytes, cut at %zu", (int)prefix, (unsigned long long)n, at);
    }
    play_end(&c);
}

static void R17_varints_at_their_boundaries(void)
{
    announce(EDDY_FRAME_VARINT, 127, 1);
    announce(EDDY_FRAME_VARINT, 128, 2);
    for (unsigned bytes = 2; bytes < 9; bytes++) {
        announce(EDDY_FRAME_VARINT, ((uint64_t)1 << (7 * bytes)) - 1, bytes);
        announce(EDDY_FRAME_VARINT, (uint64_t)1 << (7 * bytes), bytes + 1);
    }
    announce(EDDY_FRAME_VARINT, UINT32_MAX, 5);
    announce(EDDY_FRAME_VARINT, (uint64_t)UINT32_MAX + 1, 5);
    announce(EDDY_FRAME_VARINT, ((uint64_t)1 << 63) - 1, 9);
    announce(EDDY_FRAME_VARINT, (uint64_t)1 << 63, 10);
    announce(EDDY_FRAME_VARINT, UINT64_MAX, 10);
}

static void R17_fixed_prefixes_at_their_boundaries(void)
{
    static const enum eddy_frame_prefix kinds[] = {
        EDDY_FRAME_U32BE, EDDY_FRAME_U32LE, EDDY_FRAME_U16BE, EDDY_FRAME_U16LE, EDDY_FRAME_U8};
    static const uint64_t most[] = {UINT32_MAX, UINT32_MAX, UINT16_MAX, UINT16_MAX, UINT8_MAX};
    static const size_t sizes[] = {4, 4, 2, 2, 1};

    for (int i = 0; i < 5; i++) {
        announce(kinds[i], most[i], sizes[i]);
        announce(kinds[i], most[i] / 2 + 1, sizes[i]); /* the highest bit */
        announce(kinds[i], 2, sizes[i]);
    }
}

static char payload[1 << 17];

/* Whole frames at the limit and around it. */
static void frames_around(enum eddy_frame_prefix prefix, size_t longest, size_t limit)
{
    struct eddy_frame_class cls = class_with(prefix, longest);
    struct play c;
    char head[10], expected[64];

    play_begin(&c, "F", &cls.base);
    for (size_t n = limit - 1; n <= limit + 1; n++) {
        play_open(&c);
        size_t len = encode(prefix, n, head);
        CHECK_INT(raw_send(&c.s, c.fd, head, len), 0);
        if (n > limit) {
            play_await_fini(&c);
            CHECK_TRACE(c.trace, "CM CL(EMSGSIZE) FI");
            CHECK(strstr(c.error.text, "bytes") != NULL);
            break;
        }
        play_feed(&c, payload, n);
        UNTIL(&c.s, c.pieces == 1);
        play_finish(&c);
        snprintf(expected, sizeof expected, "CM F(#%zu) ER CL(0) FI", n);
        CHECK_TRACE(c.trace, expected);
    }
    play_end(&c);
}

static void R17_frames_around_the_limit(void)
{
    frames_around(EDDY_FRAME_VARINT, 127, 127);
    frames_around(EDDY_FRAME_VARINT, 128, 128);
    frames_around(EDDY_FRAME_VARINT, 16383, 16383);
    frames_around(EDDY_FRAME_VARINT, 16384, 16384);
    frames_around(EDDY_FRAME_U8, 200, 200);
    frames_around(EDDY_FRAME_U16BE, 300, 300);
    frames_around(EDDY_FRAME_U16LE, 256, 256);
    frames_around(EDDY_FRAME_U32LE, 70000, 70000);
}

static void R17_frames_of_64_KiB_unless_the_class_says_otherwise(void)
{
    frames_around(EDDY_FRAME_U32BE, 0, 65536);
}

static void G5_what_is_announced_costs_nothing_before_it_comes(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, SIZE_MAX);
    struct play c;
    const char *partial;

    play_begin(&c, "F", &cls.base);
    play_open(&c);
    test_reset_peak_bytes();
    long before = test_live_bytes();
    play_feed(&c, "\xff\xff\xff\xff", 4);
    UNTIL(&c.s, eddy_frame_partial(frame_of(&c), &partial) == 4);
    CHECK(test_peak_bytes() - before < 100000);
    raw_reset(&c.s, c.fd);
    UNTIL(&c.s, c.p == NULL);
    play_end(&c);
}

static void R17_a_prefix_of_no_kind(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, 0);
    int nonsense = 77;
    struct play c;

    memcpy(&cls.prefix, &nonsense, sizeof cls.prefix);
    play_begin(&c, "F", &cls.base);
    play_open(&c);
    CHECK_INT(eddy_frame_send(frame_of(&c), "a", 1), -EINVAL);
    play_feed(&c, "\0", 1);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM CL(EINVAL) FI");
    play_end(&c);
}

/* ---- sending ---- */

static void T17_frames_that_are_sent(void)
{
    static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 16383, 16384, 65535, 65536};
    static char got[sizeof payload];
    struct play c;

    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(i * 7 + i / 256);
    for (int kind = EDDY_FRAME_U32BE; kind <= EDDY_FRAME_VARINT; kind++) {
        enum eddy_frame_prefix prefix = (enum eddy_frame_prefix)kind;
        struct eddy_frame_class cls = class_with(prefix, 0);
        size_t most = prefix == EDDY_FRAME_U8                                    ? 255
                      : prefix == EDDY_FRAME_U16BE || prefix == EDDY_FRAME_U16LE ? 65535
                                                                                 : 65536;
        play_begin(&c, "F", &cls.base);
        play_open(&c);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char head[10];
            int err = eddy_frame_send(frame_of(&c), payload, sizes[i]);

            CHECK_INT(err, sizes[i] <= most ? 0 : -EMSGSIZE);
            if (err < 0)
                continue;
            size_t len = encode(prefix, sizes[i], head);
            CHECK_INT(raw_recv(&c.s, c.fd, got, len), len);
            CHECK(memcmp(got, head, len) == 0);
            CHECK_INT(raw_recv(&c.s, c.fd, got, sizes[i]), sizes[i]);
            CHECK(memcmp(got, payload, sizes[i]) == 0);
        }
        play_finish(&c); /* that no more has come is for the peer's own frames to show */
        CHECK_TRACE(c.trace, "CM ER CL(0) FI");
        play_end(&c);
    }
}

static void G4_T15_sending_what_cannot_be_sent(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, 0);
    struct play c;
    struct eddy_frame alone;
    char got[4];

    eddy_frame_init(&alone, &cls);
    CHECK_INT(eddy_frame_send(&alone, "a", 1), EDDY_ECLOSED);
    play_begin(&c, "F", &cls.base);
    play_open(&c);
    CHECK_INT(eddy_frame_send(frame_of(&c), NULL, 1), -EINVAL);
#if SIZE_MAX > UINT32_MAX
    CHECK_INT(eddy_frame_send(frame_of(&c), payload, (size_t)UINT32_MAX + 1), -EMSGSIZE);
#endif
    CHECK_INT(eddy_frame_send(frame_of(&c), NULL, 0), 0); /* nothing of the others was sent */
    CHECK_INT(raw_recv(&c.s, c.fd, got, 4), 4);
    CHECK(memcmp(got, "\0\0\0", 4) == 0);
    CHECK(!eddy_transport_is_closing(c.t));
    eddy_transport_close(c.t);
    CHECK_INT(eddy_frame_send(frame_of(&c), "a", 1), EDDY_ECLOSED);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM CL(0) FI");
    play_end(&c);
}

/* ---- what callbacks do ---- */

static const char three[] = "\0\1a\0\0\0\2bc\0\1d";

static void T27_R40_a_pause_holds_in_mid_buffer(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U16BE, 0);
    const size_t len = sizeof three - 1;
    struct play c;

    play_begin(&c, "F", &cls.base);
    c.act = play_act_pause;
    for (int piece = 1; piece <= 4; piece++) {
        for (size_t at = 0; at <= len; at++) {
            play_open(&c);
            c.act_on = piece;
            play_feed_in_two(&c, three, len, at);
            UNTIL(&c.s, c.pieces >= piece);
            raw_shutdown(&c.s, c.fd);
            stage_settle(&c.s);
            CHECK_INT(c.pieces, piece);
            CHECK_INT(trace_count(&c.trace, "ER"), 0);
            eddy_transport_resume_reading(c.t);
            CHECK_INT(c.pieces, piece); /* from the loop */
            play_await_fini(&c);
            if (!CHECK_TRACE(c.trace, "CM F(a) F() F(bc) F(d) ER CL(0) FI"))
                FAIL("... paused in frame %d, cut at %zu", piece, at);
        }
    }
    play_end(&c);
}

static void T5_R17_close_and_abort_in_mid_buffer(void)
{
    static void (*const acts[])(struct play *) = {play_act_close, play_act_abort};
    static const char *const ends[] = {"CM F(a) F() F(bc) CL(0) FI",
                                       "CM F(a) F() F(bc) CL(EPROTO) FI"};
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U16BE, 0);
    struct play c;

    play_begin(&c, "F", &cls.base);
    c.act_on = 3;
    for (int i = 0; i < 2; i++) {
        c.act = acts[i];
        for (size_t at = 0; at <= sizeof three - 1; at++) {
            play_open(&c);
            play_feed_in_two(&c, three, sizeof three - 1, at);
            play_finish(&c);
            CHECK_TRACE(c.trace, ends[i]);
        }
    }
    play_end(&c);
}

static void R36_R40_what_is_behind_the_frame_goes_to_the_next_protocol(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U16BE, 0);
    struct play c;

    for (size_t at = 0; at <= sizeof three - 1; at++) {
        play_begin(&c, "F", &cls.base);
        c.act = play_switch;
        c.act_on = 2;
        play_open(&c);
        play_feed_in_two(&c, three, sizeof three - 1, at);
        raw_shutdown(&c.s, c.fd);
        UNTIL(&c.s, c.next.count[ON_LOST] == 1);
        play_await_fini(&c);
        CHECK_TRACE(c.trace, "CM F(a) F() FI");
        CHECK_TRACE(c.next.trace, "DR+ ER CL(0)");
        CHECK(c.next.received == 7 && memcmp(c.next.head, "\0\2bc\0\1d", 7) == 0);
        play_end(&c);
    }
}

static void R36_the_beginning_of_a_frame_can_be_passed_on(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U16BE, 0);
    struct play c;
    const char *partial;

    play_begin(&c, "F", &cls.base);
    play_open(&c);
    play_feed(&c, "\0\1a\0\3bc", 7);
    UNTIL(&c.s, c.pieces == 1);
    UNTIL(&c.s, eddy_frame_partial(frame_of(&c), &partial) == 4);
    CHECK(memcmp(partial, "\0\3bc", 4) == 0);
    play_switch(&c);
    UNTIL(&c.s, c.p == NULL);
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.next.trace, "ER CL(0)");
    play_end(&c);
}

static const char *first_frame;

static void note_address(struct play *c, const char *data, size_t len)
{
    (void)len;
    if (c->pieces == 1)
        first_frame = data;
    else
        CHECK(data == first_frame + 4 * (c->pieces - 1));
}

static void G6_frames_that_came_whole_are_not_copied(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U8, 0);
    struct play c;

    play_begin(&c, "F", &cls.base);
    c.on_piece = note_address;
    play_open(&c);
    play_feed(&c, "\3one\3two\3six", 12);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM F(one) F(two) F(six) ER CL(0) FI");
    play_end(&c);
}

static void fail_next_allocation(struct play *c)
{
    (void)c;
    test_fail_allocation(1);
}

static void pause_without_memory(struct play *c)
{
    play_act_pause(c);
    test_fail_allocation(1);
}

static void G5_no_memory_for_the_beginning_of_a_frame(void)
{
    static void (*const acts[])(struct play *) = {fail_next_allocation, pause_without_memory};
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U8, 0);
    struct play c;

    play_begin(&c, "F", &cls.base);
    for (int i = 0; i < 2; i++) {
        c.act = acts[i];
        play_open(&c);
        play_feed(&c, "\1a\2b", 4);
        CHECK(test_allocation_failed());
        test_fail_allocation(0);
        play_await_fini(&c);
        CHECK_TRACE(c.trace, "CM F(a) CL(ENOMEM) FI");
    }
    play_end(&c);
}

/* The first bytes of a frame fit what was allocated for them, those behind do not. */
static void G5_no_memory_for_the_rest_of_a_frame(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, 0);
    struct play c;
    const char *partial;

    play_begin(&c, "F", &cls.base);
    play_open(&c);
    c.act = fail_next_allocation;
    play_feed(&c, "\0\0\0\0\0\0\x10\0abc", 11);
    test_fail_allocation(0);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM F() CL(ENOMEM) FI");
    c.act = NULL;
    play_open(&c);
    play_feed(&c, "\0\0\x10\0abc", 7);
    UNTIL(&c.s, eddy_frame_partial(frame_of(&c), &partial) == 7);
    struct eddy_frame *f = frame_of(&c);
    test_fail_allocation(1);
    f->base.cls->data_received(&f->base, payload, 4000); /* without the network's allocations */
    CHECK(test_allocation_failed());
    test_fail_allocation(0);
    play_await_fini(&c);
    CHECK_TRACE(c.trace, "CM CL(ENOMEM) FI");
    play_end(&c);
}

/* ---- the other slots ---- */

static void G18_S53_init_and_shutdown_requested(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U8, 0);
    struct play c;
    char got[4];

    play_begin(&c, "F", &cls.base);
    c.refuse = true;
    c.fd = raw_connect(&c.s);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 1), 0);
    CHECK_TRACE(c.trace, "");
    raw_close(&c.s, c.fd);
    c.refuse = false;
    play_open(&c);
    CHECK_INT(eddy_server_drain(c.s.server, EDDY_FOREVER, NULL), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 4), 4);
    CHECK(memcmp(got, "\3bye", 4) == 0);
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM CL(0) FI");
    play_end(&c);
}

static void R6_R32_pause_and_resume_writing(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U32BE, 0);
    struct play c;
    size_t sent = 0;

    play_begin(&c, "F", &cls.base);
    play_open(&c);
    while (!eddy_transport_is_writing_paused(c.t) && sent < (64u << 20)) {
        CHECK_INT(eddy_frame_send(frame_of(&c), payload, sizeof payload - 4), 0);
        sent += sizeof payload;
        eddy_transport_flush(c.t);
        stage_settle(&c.s);
    }
    CHECK_TRACE(c.trace, "CM PW");
    static char piece[sizeof payload];
    for (size_t got = 0; got < sent; got += sizeof piece)
        CHECK_INT(raw_recv(&c.s, c.fd, piece, sizeof piece), sizeof piece);
    UNTIL(&c.s, !eddy_transport_is_writing_paused(c.t));
    play_finish(&c);
    CHECK_TRACE(c.trace, "CM PW RW ER CL(0) FI");
    play_end(&c);
}

static void G21_S53_slots_left_out(void)
{
    static const struct eddy_frame_class without = {EDDY_FRAME_CLASS(struct guest, frame)};
    struct play c;

    play_begin(&c, "F", &without.base);
    c.fd = raw_connect(&c.s);
    UNTIL(&c.s, eddy_server_connections(c.s.server) == 1);
    play_feed(&c, "\0\0\0\1a", 5);
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

/* ---- one that no server makes ---- */

struct caller {
    struct eddy_frame frame;
    int frames, failures, finis;
    bool detach;
};

static struct caller *caller_of(struct eddy_frame *f)
{
    return EDDY_CONTAINER_OF(f, struct caller, frame);
}

static void caller_frame(struct eddy_frame *f, const void *data, size_t len)
{
    caller_of(f)->frames++;
    if (caller_of(f)->detach) {
        eddy_frame_detach(f);
        memset(caller_of(f), 0x5a, sizeof(struct caller));
    }
    CHECK(len == 3 && memcmp(data, "abc", 3) == 0); /* the frame lives on */
}

static void caller_failed(struct eddy_frame *f, const struct eddy_error *err)
{
    CHECK_INT(err->code, -ECONNREFUSED);
    caller_of(f)->failures++;
}

static void caller_fini(struct eddy_frame *f)
{
    caller_of(f)->finis++;
}

static const struct eddy_frame_class caller_class = {
    EDDY_FRAME_CLASS(struct caller, frame), .prefix = EDDY_FRAME_U8,
    .frame_received = caller_frame,         .fini = caller_fini,
    .connect_failed = caller_failed,
};

static int call(struct play *c, struct caller *me)
{
    return stage_create_connection(
        &c->s, &me->frame.base,
        EDDY_CONNECTION(.host = "127.0.0.1", .port = c->s.connection_opts.port), NULL);
}

static void R7_a_connection_that_cannot_be_made(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U8, 0);
    struct play c;
    struct caller me = {.frames = 0};

    play_begin(&c, "F", &cls.base);
    stage_refuse(&c.s);
    eddy_frame_init(&me.frame, &caller_class);
    CHECK_INT(call(&c, &me), 0);
    UNTIL(&c.s, me.finis == 1);
    CHECK_INT(me.failures, 1);
    play_end(&c);
}

/* Main finds out whether memory is left behind, and the allocator whether it is used again. */
static void G12_G15_detach_in_a_frame_and_between(void)
{
    struct eddy_frame_class cls = class_with(EDDY_FRAME_U8, 0);
    const char *partial;
    struct play c;

    play_begin(&c, "F", &cls.base);
    int listener = raw_listen(&c.s, 4, &c.s.connection_opts.port);
    for (int inside = 0; inside < 2; inside++) {
        struct caller me = {.detach = inside};

        eddy_frame_init(&me.frame, &caller_class);
        CHECK_INT(call(&c, &me), 0);
        c.fd = raw_accept(&c.s, listener);
        play_feed(&c, "\3a", 2);
        UNTIL(&c.s, eddy_frame_partial(&me.frame, &partial) == 2);
        if (inside) {
            play_feed(&c, "bc\3abc\3", 7);
            UNTIL(&c.s, me.frames != 0);
            CHECK_INT(me.frames, 0x5a5a5a5a);
        } else {
            eddy_frame_detach(&me.frame);
            memset(&me, 0x5a, sizeof me);
        }
        stage_settle(&c.s);
        raw_close(&c.s, c.fd);
        stage_run_for(&c.s, test_is_sim() ? EDDY_SEC(5) : EDDY_MSEC(5));
    }
    raw_close(&c.s, listener);
    play_end(&c);
}

const struct test_case test_cases[] = {
    CASE(R1_R23_frames_however_they_arrive),
    CASE(R1_varints_with_more_bytes_than_needed),
    CASE(R17_varints_beyond_64_bits),
    CASE(R21_the_end_of_stream_within_a_frame_or_prefix),
    CASE(R17_varints_at_their_boundaries),
    CASE(R17_fixed_prefixes_at_their_boundaries),
    CASE(R17_frames_around_the_limit),
    CASE(R17_frames_of_64_KiB_unless_the_class_says_otherwise),
    CASE(G5_what_is_announced_costs_nothing_before_it_comes),
    CASE(R17_a_prefix_of_no_kind),
    CASE(T17_frames_that_are_sent),
    CASE(G4_T15_sending_what_cannot_be_sent),
    CASE(T27_R40_a_pause_holds_in_mid_buffer),
    CASE(T5_R17_close_and_abort_in_mid_buffer),
    CASE(R36_R40_what_is_behind_the_frame_goes_to_the_next_protocol),
    CASE(R36_the_beginning_of_a_frame_can_be_passed_on),
    CASE(G6_frames_that_came_whole_are_not_copied),
    CASE(G5_no_memory_for_the_beginning_of_a_frame),
    CASE(G5_no_memory_for_the_rest_of_a_frame),
    CASE(G18_S53_init_and_shutdown_requested),
    CASE(R6_R32_pause_and_resume_writing),
    CASE(G21_S53_slots_left_out),
    CASE(R7_a_connection_that_cannot_be_made),
    CASE(G12_G15_detach_in_a_frame_and_between),
    {NULL, NULL},
};
