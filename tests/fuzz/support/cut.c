#include "tests/fuzz/support/cut.h"

#include <eddy/sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST_BYTES 4096
#define HEAD 3

enum action {
    DO_NOTHING,
    DO_PAUSE, /* in every piece, until a few iterations later */
    DO_PAUSE_AND_RESUME,
    DO_SWITCH,
    DO_PAUSE_AND_SWITCH,
    DO_CLOSE,
    DO_ABORT,
    DO_FAIL_ALLOCATION,
};

struct piece {
    size_t start, len, next;
};

/* Everything that belongs to the input at hand. */
static struct {
    enum action action;
    unsigned seed; /* byte 2 */
    bool reset;
    const uint8_t *bytes;
    size_t len;

    struct piece expected[MOST_BYTES + 1];
    size_t expected_count;
    int expected_end;

    struct eddy_transport *t;
    size_t pieces; /* delivered so far, each as expected */
    bool eof, lost, finished, switched, out_of_memory;
    int code;
    size_t rest; /* bytes that the protocol has received that took over */
    int rest_eofs, rest_ends;
    int paused_for; /* iterations until reading is resumed; 0: not paused */
} run;

static void wrong(const char *what, long long got, long long expected)
{
    fprintf(
        stderr,
        "%s: %lld, expected %lld\n  action %d, seed %u, %zu bytes, %zu of %zu pieces, end %d of "
        "%d\n",
        what, got, expected, (int)run.action, run.seed, run.len, run.pieces, run.expected_count,
        run.code, run.expected_end);
    abort();
}

static void must_be(const char *what, long long got, long long expected)
{
    if (got != expected)
        wrong(what, got, expected);
}

void cut_expect_piece(size_t start, size_t len, size_t next)
{
    run.expected[run.expected_count++] = (struct piece){start, len, next};
}

void cut_expect_end(int code)
{
    run.expected_end = code;
}

/* ---- memory that runs out ---- */

static long live;
static unsigned until_failure; /* 0: none fails */

static bool must_fail(void)
{
    if (until_failure == 0 || --until_failure > 0)
        return false;
    run.out_of_memory = true;
    return true;
}

static void *counted_alloc(void *user, size_t size)
{
    (void)user;
    void *p = must_fail() ? NULL : malloc(size);
    live += p != NULL;
    return p;
}

static void *counted_realloc(void *user, void *p, size_t size)
{
    (void)user;
    return must_fail() ? NULL : realloc(p, size);
}

static void counted_free(void *user, void *p)
{
    (void)user;
    live--;
    free(p);
}

static void ignore_log(void *user, enum eddy_log_level level, const char *component,
                       const char *text)
{
    (void)user, (void)level, (void)component, (void)text;
}

static void install_hooks(void)
{
    static const struct eddy_allocator counted = {counted_alloc, counted_realloc, counted_free,
                                                  NULL};
    static bool installed;

    if (installed)
        return;
    installed = true;
    must_be("eddy_set_allocator", eddy_set_allocator(&counted), 0);
    eddy_set_log(ignore_log, NULL); /* of connections that run out of memory */
}

/* ---- who takes over ---- */

static void rest_received(struct eddy_protocol *p, const void *data, size_t len)
{
    size_t at = run.expected[run.pieces - 1].next + run.rest;

    (void)p;
    if (len > run.len - at || memcmp(data, run.bytes + at, len) != 0)
        wrong("bytes after a switch", (long long)at, (long long)run.len);
    run.rest += len;
}

static bool rest_eof(struct eddy_protocol *p)
{
    (void)p;
    run.rest_eofs++;
    return false;
}

static void rest_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p;
    run.rest_ends++;
    run.t = NULL;
    run.code = err ? err->code : 0;
}

static const struct eddy_protocol_class rest_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("rest"),
    .data_received = rest_received,
    .eof_received = rest_eof,
    .connection_lost = rest_lost,
};

static struct eddy_protocol rest;

/* ---- the protocol under test ---- */

void cut_made(struct eddy_transport *t)
{
    run.t = t;
}

void cut_received_begin(void)
{
    if (run.action == DO_FAIL_ALLOCATION && !run.out_of_memory)
        until_failure = 1 + run.seed % 8;
}

void cut_received_end(void)
{
    until_failure = 0;
}

static void pause(void)
{
    eddy_transport_pause_reading(run.t);
    run.paused_for = 1 + (int)(run.seed % 3);
}

static void switch_to_rest(void)
{
    run.switched = true;
    eddy_protocol_init(&rest, &rest_class);
    must_be("eddy_transport_set_protocol", eddy_transport_set_protocol(run.t, &rest), 0);
}

static bool is_chosen_piece(void)
{
    return run.pieces == 1 + run.seed % 16;
}

static void act(void)
{
    switch (run.action) {
    case DO_PAUSE:
        pause();
        break;
    case DO_PAUSE_AND_RESUME:
        eddy_transport_pause_reading(run.t);
        eddy_transport_resume_reading(run.t);
        break;
    case DO_PAUSE_AND_SWITCH:
        if (is_chosen_piece())
            pause();
        /* fall through */
    case DO_SWITCH:
        if (is_chosen_piece())
            switch_to_rest();
        break;
    case DO_CLOSE:
        if (is_chosen_piece())
            eddy_transport_close(run.t);
        break;
    case DO_ABORT:
        if (is_chosen_piece())
            eddy_transport_abort(run.t, EDDY_ERROR(-ECANCELED, "the input says so"));
        break;
    case DO_NOTHING:
    case DO_FAIL_ALLOCATION:
        break;
    }
}

void cut_piece(const void *data, size_t len)
{
    const struct piece *e = &run.expected[run.pieces];

    if (run.paused_for > 0 || run.switched || run.eof || run.lost ||
        eddy_transport_is_closing(run.t))
        wrong("a piece when none may come", (long long)run.pieces, -1);
    if (run.pieces == run.expected_count)
        wrong("a piece too many", (long long)run.pieces, (long long)run.expected_count);
    must_be("bytes of a piece", (long long)len, (long long)e->len);
    if (memcmp(data, run.bytes + e->start, len) != 0)
        wrong("another piece", (long long)run.pieces, -1);
    run.pieces++;
    act();
}

bool cut_eof(void)
{
    if (run.switched || run.eof || run.lost)
        wrong("eof_received when it may not come", 1, 0);
    run.eof = true;
    return false;
}

void cut_lost(const struct eddy_error *err)
{
    if (run.switched || run.lost)
        wrong("connection_lost when it may not come", 1, 0);
    run.lost = true;
    run.code = err ? err->code : 0;
    run.t = NULL;
}

void cut_fini(void)
{
    if (run.finished || !(run.lost || run.switched))
        wrong("fini when it may not come", 1, 0);
    run.finished = true;
}

/* ---- the peer ---- */

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static void step(struct eddy_loop *loop, eddy_nsec most)
{
    int rc = eddy_loop_run_once(loop, most);

    if (rc < 0 && rc != EDDY_ESTALLED)
        wrong("eddy_loop_run_once", rc, 0);
    if (run.paused_for > 0 && --run.paused_for == 0 && run.t)
        eddy_transport_resume_reading(run.t);
}

static size_t portion(unsigned how, unsigned *state, size_t left)
{
    size_t n = how == 0   ? left
               : how == 1 ? 1
               : how == 2 ? 1 + next_random(state) % 8
                          : 1 + next_random(state) % 256;
    return n < left ? n : left;
}

/* Sends the stream, and lets the loop run after each portion; until our side has hung up. */
static void send_all(struct eddy_loop *loop, struct eddy_sys *sys, eddy_fd fd, unsigned how)
{
    unsigned state = run.seed;
    size_t at = 0;

    while (at < run.len) {
        size_t n = portion(how, &state, run.len - at);
        ssize_t sent = sys->cls->send(sys, fd, run.bytes + at, n);

        if (sent < 0 && sent != -EAGAIN)
            return;
        if (sent > 0)
            at += (size_t)sent;
        step(loop, sent < 0 ? EDDY_MSEC(10) : 0);
    }
}

static bool is_over(void)
{
    return run.finished && (!run.switched || run.rest_ends > 0);
}

static void play(struct eddy_sim *sim, struct eddy_loop *loop, const struct cut_target *target,
                 uint8_t kind, unsigned how)
{
    struct eddy_sys *sys = eddy_sim_sys(sim);
    eddy_fd fds[2];

    must_be("eddy_sim_pair", eddy_sim_pair(sim, fds), 0);
    must_be("eddy_create_connection",
            eddy_create_connection(loop, target->prepare(kind),
                                   EDDY_CONNECTION(.sock = fds[0], .use_sock = true), NULL),
            0);
    while (!run.t && !run.lost)
        step(loop, EDDY_MSEC(10));
    send_all(loop, sys, fds[1], how);
    if (run.reset)
        eddy_sim_reset(sim, fds[1], 0);
    else
        sys->cls->shutdown(sys, fds[1], SHUT_WR);
    for (int i = 0; !is_over(); i++) {
        if (i == 100000)
            wrong("no end", 0, 1);
        step(loop, EDDY_MSEC(100));
    }
    sys->cls->close(sys, fds[1]);
}

/* ---- what must have come of it ---- */

static void check_end(void)
{
    size_t chosen = 1 + run.seed % 16;
    bool acted = run.pieces == chosen && run.action >= DO_SWITCH && run.action <= DO_ABORT;

    if (run.switched) {
        must_be("pieces before a switch", (long long)run.pieces, (long long)chosen);
        if (run.code < 0 && run.reset)
            return;
        must_be("bytes after a switch", (long long)run.rest,
                (long long)(run.len - run.expected[run.pieces - 1].next));
        must_be("ends of stream after a switch", run.rest_eofs, 1);
    } else if (acted) {
        must_be("eof_received after an end of our own", run.eof, false);
        must_be("the end", run.code, run.action == DO_ABORT ? -ECANCELED : 0);
    } else if (run.out_of_memory && run.code == -ENOMEM) {
        must_be("eof_received without memory", run.eof, false);
    } else if (run.reset && run.code == -ECONNRESET) {
        must_be("eof_received after a reset", run.eof, false);
    } else {
        must_be("pieces", (long long)run.pieces, (long long)run.expected_count);
        must_be("the end", run.code, run.expected_end);
        must_be("eof_received", run.eof, run.expected_end == 0);
    }
}

int cut_run(const struct cut_target *target, const uint8_t *input, size_t size)
{
    struct eddy_sim_opts opts = *EDDY_SIM(.seed = 1);
    struct eddy_sim *sim;
    struct eddy_loop *loop;

    if (size < HEAD || size - HEAD > MOST_BYTES)
        return 0;
    install_hooks();
    memset(&run, 0, offsetof(__typeof__(run), expected));
    memset(&run.expected_count, 0, sizeof run - offsetof(__typeof__(run), expected_count));
    run.action = (enum action)(input[1] & 7);
    run.seed = input[2];
    run.reset = input[1] >> 7;
    run.bytes = input + HEAD;
    run.len = size - HEAD;
    target->expect(input[0], run.bytes, run.len);

    if (input[1] & 32)
        eddy_sim_wild(&opts, run.seed);
    must_be("eddy_sim_new", eddy_sim_new(&opts, &sim), 0);
    must_be("eddy_sim_loop_new", eddy_sim_loop_new(sim, input[1] & 64, NULL, &loop), 0);
    play(sim, loop, target, input[0], input[1] >> 3 & 3);
    check_end();
    must_be("eddy_loop_close", eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    must_be("violations", eddy_sim_violations(sim, NULL), 0);
    eddy_sim_free(sim);
    must_be("live allocations", live, 0);
    return 0;
}
