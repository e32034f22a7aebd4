/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/*
 * <eddy/line.h>: lines that no server makes - attached again, detached, made anew in the midst of a
 * callback - and a class that was derived from one that is derived.
 */
#include "tests/support/pieces.h"
#include <eddy/line.h>
#include <string.h>

/* ---- those that no server makes ---- */

struct caller {
    struct eddy_line line;
    struct play *play;
    struct test_trace trace;
    int wanted; /* connections */
    struct eddy_handle next_iteration;
};

static struct caller *caller_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct caller, line);
}

static void caller_call(struct caller *me)
{
    me->wanted--;
    CHECK_INT(stage_create_connection(
                  &me->play->s, &me->line.base,
                  EDDY_CONNECTION(.host = "127.0.0.1", .port = me->play->s.connection_opts.port),
                  NULL),
              0);
}

static void caller_line(struct eddy_line *l, const char *line, size_t len)
{
    test_trace(&caller_of(l)->trace, "L(%.*s)", (int)len, line);
}

static void caller_failed(struct eddy_line *l, const struct eddy_error *err)
{
    test_trace(&caller_of(l)->trace, "CF(%s)", test_code(err->code));
}

static void caller_lost(struct eddy_line *l, const struct eddy_error *err)
{
    test_trace(&caller_of(l)->trace, "CL(%s)", test_code(err ? err->code : 0));
    if (caller_of(l)->wanted > 0)
        caller_call(caller_of(l));
}

static void caller_fini(struct eddy_line *l)
{
    test_trace(&caller_of(l)->trace, "FI");
}

static const struct eddy_line_class caller_class = {
    EDDY_LINE_CLASS(struct caller, line), .line_received = caller_line,   .fini = caller_fini,
    .connect_failed = caller_failed,      .connection_lost = caller_lost,
};

/* A stage whose server is a raw listener. */
static int caller_begin(struct play *c, struct caller *me)
{
    memset(me, 0, sizeof *me);
    play_begin(c, "L", &caller_class.base); /* which nobody calls */
    me->play = c;
    eddy_line_init(&me->line, &caller_class);
    return raw_listen(&c->s, 4, &c->s.connection_opts.port);
}

static void R7_a_connection_that_cannot_be_made(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);

    raw_close(&c.s, listener);
    stage_refuse(&c.s);
    me.wanted = 1;
    caller_call(&me);
    UNTIL(&c.s, trace_count(&me.trace, "FI") == 1);
    CHECK_TRACE(me.trace, "CF(ECONNREFUSED) FI");
    play_end(&c);
}

static void G15_attached_again_it_begins_with_a_new_line(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);

    me.wanted = 2;
    caller_call(&me);
    c.fd = raw_accept(&c.s, listener);
    play_feed(&c, "a\nhalf", 6);
    UNTIL(&c.s, trace_count(&me.trace, "L") == 1);
    raw_reset(&c.s, c.fd);
    c.fd = raw_accept(&c.s, listener);
    play_feed(&c, "b\n", 2);
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, trace_count(&me.trace, "FI") == 2);
    CHECK_TRACE(me.trace, road_has_resets() ? "L(a) CL(ECONNRESET) FI L(b) CL(0) FI"
                                            : "L(a) L(half) CL(0) FI L(b) CL(0) FI");
    raw_close(&c.s, listener);
    play_end(&c);
}

/* Main finds out whether memory is left behind, and the allocator whether it is used again. */
static void G15_detach_with_the_beginning_of_a_line(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);
    const char *partial;

    me.wanted = 1;
    caller_call(&me);
    c.fd = raw_accept(&c.s, listener);
    play_feed(&c, "half", 4);
    UNTIL(&c.s, eddy_line_partial(&me.line, &partial) == 4);
    eddy_line_detach(&me.line);
    CHECK_INT(eddy_line_partial(&me.line, &partial), 0);
    CHECK(!eddy_protocol_is_attached(&me.line.base));
    memset(&me, 0x5a, sizeof me);
    raw_close(&c.s, c.fd);
    raw_close(&c.s, listener);
    stage_run_for(&c.s, test_is_sim() ? EDDY_SEC(5) : EDDY_MSEC(5));
    play_end(&c);
}

static void detach_and_forget(struct eddy_line *l, const char *line, size_t len)
{
    struct caller *me = caller_of(l);
    struct play *c = me->play;

    eddy_line_detach(l);
    memset(me, 0x5a, sizeof *me);
    CHECK(len == 3 && memcmp(line, "one", 3) == 0); /* the line lives on */
    c->pieces++;
}

static const struct eddy_line_class forgetful = {
    EDDY_LINE_CLASS(struct caller, line),
    .line_received = detach_and_forget,
};

static void G12_G15_detach_in_a_line_that_was_kept(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);

    eddy_line_init(&me.line, &forgetful);
    me.wanted = 1;
    caller_call(&me);
    c.fd = raw_accept(&c.s, listener);
    play_feed_in_two(&c, "one\ntwo\nthr", 11, 2);
    UNTIL(&c.s, c.pieces == 1);
    stage_settle(&c.s);
    CHECK_INT(c.pieces, 1);
    raw_close(&c.s, c.fd);
    raw_close(&c.s, listener);
    stage_run_for(&c.s, test_is_sim() ? EDDY_SEC(5) : EDDY_MSEC(5));
    play_end(&c);
}

static void note_iteration(struct eddy_handle *h)
{
    test_trace(&EDDY_CONTAINER_OF(h, struct caller, next_iteration)->trace, "next");
}

/* Another protocol is put in its place, and it is made anew in the same memory and put back: the
 * rest of what was read is for the new one, from the loop. */
static void made_anew(struct eddy_line *l, const char *line, size_t len)
{
    struct caller *me = caller_of(l);
    struct eddy_transport *t = l->base.transport;
    static struct eddy_protocol between;

    caller_line(l, line, len);
    if (me->play->pieces++ > 0)
        return;
    me->next_iteration.fn = note_iteration;
    eddy_loop_call_soon(me->play->s.loop, &me->next_iteration);
    eddy_protocol_init(&between, &actor_class);
    CHECK_INT(eddy_transport_set_protocol(t, &between), 0);
    eddy_line_detach(l);
    eddy_line_init(l, (const struct eddy_line_class *)l->base.cls);
    CHECK_INT(eddy_transport_set_protocol(t, &l->base), 0);
    eddy_protocol_detach(&between);
    test_trace(&me->trace, "anew");
}

static const struct eddy_line_class phoenix = {
    EDDY_LINE_CLASS(struct caller, line),
    .line_received = made_anew,
    .connection_lost = caller_lost,
    .fini = caller_fini,
};

static void R37_R40_made_anew_in_the_same_place(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);

    eddy_line_init(&me.line, &phoenix);
    me.wanted = 1;
    caller_call(&me);
    c.fd = raw_accept(&c.s, listener);
    play_feed_in_two(&c, "one\ntwo\nthr", 11, 2);
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, trace_count(&me.trace, "FI") == 1);
    CHECK_TRACE(me.trace, "L(one) anew next L(two) L(thr) CL(0) FI");
    raw_close(&c.s, listener);
    play_end(&c);
}

/* The same in the last line, with a protocol of another class: the end of the stream is its own. */
static void heir_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static bool heir_eof(struct eddy_protocol *p)
{
    test_trace(&caller_of(EDDY_CONTAINER_OF(p, struct eddy_line, base))->trace, "heir ER");
    return false;
}

static const struct eddy_protocol_class heir = {
    EDDY_STATELESS_PROTOCOL_CLASS("heir"),
    .data_received = heir_data,
    .eof_received = heir_eof,
};

static void bequeath(struct eddy_line *l, const char *line, size_t len)
{
    struct eddy_transport *t = l->base.transport;
    static struct eddy_protocol between;

    caller_line(l, line, len);
    eddy_protocol_init(&between, &actor_class);
    CHECK_INT(eddy_transport_set_protocol(t, &between), 0);
    eddy_line_detach(l);
    eddy_protocol_init(&l->base, &heir);
    CHECK_INT(eddy_transport_set_protocol(t, &l->base), 0);
    eddy_protocol_detach(&between);
}

static const struct eddy_line_class mortal = {
    EDDY_LINE_CLASS(struct caller, line),
    .line_received = bequeath,
};

static void R37_another_class_in_the_same_place_gets_the_end_of_stream(void)
{
    struct play c;
    struct caller me;
    int listener = caller_begin(&c, &me);

    eddy_line_init(&me.line, &mortal);
    me.wanted = 1;
    caller_call(&me);
    c.fd = raw_accept(&c.s, listener);
    play_feed(&c, "one", 3);
    raw_close(&c.s, c.fd);
    UNTIL(&c.s, !eddy_protocol_is_attached(&me.line.base));
    CHECK_TRACE(me.trace, "L(one) heir ER");
    raw_close(&c.s, listener);
    play_end(&c);
}

/* ---- a class derived from one that is derived ---- */

struct words {
    struct eddy_line line;
    int lines;
};

struct words_class {
    struct eddy_line_class base;
    void (*word_received)(struct words *w, const char *word, size_t len);
    void (*connection_lost)(struct words *w, const struct eddy_error *err);
    void (*fini)(struct words *w);
};

static const struct words_class *words_class_of(const struct words *w)
{
    return (const struct words_class *)w->line.base.cls;
}

static void words_line(struct eddy_line *l, const char *line, size_t len)
{
    struct words *w = EDDY_CONTAINER_OF(l, struct words, line);

    w->lines++;
    while (len > 0) {
        const char *blank = memchr(line, ' ', len);
        size_t n = blank ? (size_t)(blank - line) : len;

        words_class_of(w)->word_received(w, line, n);
        line += blank ? n + 1 : n;
        len -= blank ? n + 1 : n;
    }
}

static void words_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct words *w = EDDY_CONTAINER_OF(l, struct words, line);

    words_class_of(w)->connection_lost(w, err);
}

static void words_fini(struct eddy_line *l)
{
    struct words *w = EDDY_CONTAINER_OF(l, struct words, line);

    w->lines = -w->lines;
    words_class_of(w)->fini(w);
}

#define WORDS_CLASS(type, member)                                             \
    .base = {EDDY_LINE_CLASS(type, member.line), .line_received = words_line, \
             .connection_lost = words_lost, .fini = words_fini, .init = words_init}

struct reader {
    long before;
    struct words words;
    struct play *play;
};

static struct play *reader_play(struct words *w)
{
    return EDDY_CONTAINER_OF(w, struct reader, words)->play;
}

static int words_init(struct eddy_line *l, void *arg)
{
    struct words *w = EDDY_CONTAINER_OF(l, struct words, line);

    EDDY_CONTAINER_OF(w, struct reader, words)->play = arg;
    return play_init(arg, &l->base);
}

static void reader_word(struct words *w, const char *word, size_t len)
{
    test_trace(&reader_play(w)->trace, "W(%.*s)", (int)len, word);
}

static void reader_lost(struct words *w, const struct eddy_error *err)
{
    play_lost(reader_play(w), err);
}

static void reader_fini(struct words *w)
{
    test_trace(&reader_play(w)->trace, "%d", w->lines);
    play_fini(reader_play(w));
}

static const struct words_class reader_class = {
    WORDS_CLASS(struct reader, words),
    .word_received = reader_word,
    .connection_lost = reader_lost,
    .fini = reader_fini,
};

static void R1_G15_a_class_derived_from_one_that_is_derived(void)
{
    struct play c;

    play_begin(&c, "L", &reader_class.base.base);
    c.fd = raw_connect(&c.s);
    UNTIL(&c.s, c.p != NULL);
    play_feed_in_two(&c, "to be or\nnot to be", 18, 4);
    play_finish(&c);
    CHECK_TRACE(c.trace, "W(to) W(be) W(or) W(not) W(to) W(be) CL(0) -2 FI");
    play_end(&c);
}

const struct test_case test_cases[] = {
    CASE(R7_a_connection_that_cannot_be_made),
    CASE(G15_attached_again_it_begins_with_a_new_line),
    CASE(G15_detach_with_the_beginning_of_a_line),
    CASE(G12_G15_detach_in_a_line_that_was_kept),
    CASE(R37_R40_made_anew_in_the_same_place),
    CASE(R37_another_class_in_the_same_place_gets_the_end_of_stream),
    CASE(R1_G15_a_class_derived_from_one_that_is_derived),
    {NULL, NULL},
};
