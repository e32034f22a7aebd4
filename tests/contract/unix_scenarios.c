/* backends: select poll epoll io_uring */
/* timeout: 120 */
/* labels: scenarios */
/*
 * Seeded scenarios over unix sockets: several connections write, pass descriptors, pause, end and
 * abort at random, also from the callbacks of others. Every byte and every descriptor that arrives
 * is the next one; nothing is lost by a close; every attachment ends once and no descriptor stays
 * open, which stage_close checks: contract R1, R8, G15, T5, T10, T12, D5, D6.
 *
 *     EDDY_SCENARIOS=100000   how many seeds
 *     EDDY_SCENARIO=77        this one only
 */
#include "tests/support/stream.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SCENARIOS 150
#define PAIRS 5
#define STEPS 150
#define WAITING 64

struct end {
    struct actor actor;
    struct end *other;
    unsigned fds_sent, fds_taken;
    bool writing;  /* a write of its own calls back: what is written then would come in between */
    bool forgiven; /* aborted, or its other end: bytes may be missing */
};

static uint64_t state;
static struct end ends[PAIRS * 2];
static struct stage s;

static unsigned dice(unsigned sides)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % sides);
}

static struct end *end_of(struct actor *a)
{
    return EDDY_CONTAINER_OF(a, struct end, actor);
}

/* A descriptor that knows its number. */
static void pass(struct end *e, size_t len)
{
    uint8_t piece[4096];
    int pipe_ends[2];
    if (e->fds_sent - e->other->fds_taken >= WAITING / 2)
        return;
    REQUIRE(pipe(pipe_ends) == 0);
    CHECK_INT(write(pipe_ends[1], &e->fds_sent, sizeof e->fds_sent), sizeof e->fds_sent);
    stream_bytes(piece, len, e->actor.sent, e->actor.out_key);
    e->writing = true;
    if (eddy_transport_send_fds(e->actor.t, piece, len, pipe_ends, 1) == 0) {
        e->fds_sent++;
        e->actor.sent += len;
    }
    e->writing = false;
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void write_some(struct end *e, size_t len)
{
    e->writing = true;
    actor_write(&e->actor, len);
    e->writing = false;
}

static void take(struct actor *a)
{
    struct end *e = end_of(a);
    unsigned number = 0;
    int fd;
    while (eddy_transport_take_fds(a->t, &fd, 1) == 1) {
        CHECK_INT(read(fd, &number, sizeof number), sizeof number);
        CHECK_INT(number, e->fds_taken);
        e->fds_taken++;
        close(fd);
    }
}

static void forgive(struct end *e)
{
    e->forgiven = e->other->forgiven = true;
}

/* One thing that somebody does; anything goes in any state. */
static void act(void)
{
    struct end *e = &ends[dice(PAIRS * 2)];
    struct actor *a = &e->actor;
    if (!a->t || e->writing)
        return;
    /* Enough discarded writes would be logged. */
    switch (eddy_transport_is_closing(a->t) ? dice(8) : dice(20)) {
    case 0:
        if (dice(8) == 0) {
            forgive(e); /* what the other one still writes is not read */
            eddy_transport_close(a->t);
        }
        break;
    case 1:
        if (dice(12) == 0) {
            forgive(e);
            eddy_transport_abort(a->t, dice(2) ? EDDY_ERROR(-EPROTO, "so be it") : NULL);
        }
        break;
    case 2:
        if (dice(4) == 0)
            eddy_transport_write_eof(a->t);
        break;
    case 3:
    case 4:
        eddy_transport_pause_reading(a->t);
        break;
    case 5:
    case 6:
    case 7:
        eddy_transport_resume_reading(a->t);
        break;
    case 8:
    case 9:
    case 10:
        pass(e, 1 + dice(4096));
        break;
    case 11:
        eddy_transport_flush(a->t);
        break;
    case 12:
        if (eddy_transport_get_write_buffer_size(a->t) < (1u << 20))
            write_some(e, 1 + dice(200000));
        break;
    default:
        write_some(e, 1 + dice(3000));
        break;
    }
}

static void received(struct actor *a)
{
    take(a);
    for (unsigned n = dice(3); n > 0; n--)
        act();
}

static void something(struct actor *a)
{
    (void)a;
    if (dice(2))
        act();
}

static void act_in_batch(struct stage *stage)
{
    (void)stage;
    for (unsigned n = dice(4); n > 0; n--)
        act();
}

static void open_pairs(void)
{
    stage_init(&s);
    s.cast_count = s.guest_count = 0; /* ours instead */
    s.max_fds = WAITING;
    memset(ends, 0, sizeof ends);
    for (unsigned i = 0; i < PAIRS * 2; i++) {
        struct actor *a = &ends[i].actor;
        stage_add(&s, a, i % 2);
        ends[i].other = &ends[i ^ 1];
        a->out_key = i + 1;
        a->in_key = (i ^ 1) + 1;
        a->keep_open = dice(2);
        a->on[ON_DATA] = received;
        a->on[ON_RESUME] = a->on[ON_PAUSE] = a->on[ON_EOF] = something;
        a->on[ON_LOST] = take;
    }
    stage_begin(&s);
    for (unsigned i = 0; i < PAIRS * 2; i += 2) {
        REQUIRE(actor_connect(&ends[i].actor) == 0);
        UNTIL(&s, ends[i].actor.count[ON_MADE] == 1 && ends[i + 1].actor.count[ON_MADE] == 1);
    }
}

/* Those that nobody has ended end in peace: all that was written arrives. */
static void finish_pairs(void)
{
    for (unsigned i = 0; i < PAIRS * 2; i++) {
        if (ends[i].actor.t)
            eddy_transport_resume_reading(ends[i].actor.t);
    }
    for (unsigned i = 0; i < PAIRS * 2; i++) {
        struct end *e = &ends[i];
        for (int slot = 0; slot < SLOTS; slot++) {
            if (slot != ON_DATA && slot != ON_LOST)
                e->actor.on[slot] = NULL;
        }
        e->actor.on[ON_DATA] = take;
        if (e->actor.t)
            eddy_transport_write_eof(e->actor.t);
    }
    for (unsigned i = 0; i < PAIRS * 2; i++) {
        struct end *e = &ends[i];
        if (e->forgiven)
            continue;
        UNTIL(&s, e->actor.received == e->other->actor.sent);
        CHECK_INT(e->fds_taken, e->other->fds_sent);
        CHECK_INT(e->actor.code, 0);
    }
}

static void run(uint64_t seed)
{
    unsigned before = CU_get_number_of_failure_records();
    state = seed * 0x9e3779b97f4a7c15u + 1;
    open_pairs();
    for (int step = 0; step < STEPS; step++) {
        if (dice(3) == 0)
            act();
        else if (dice(2))
            stage_inside(&s, act_in_batch);
        else
            CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
    }
    finish_pairs();
    stage_close(&s);
    if (CU_get_number_of_failure_records() != before) {
        FAIL("... in scenario %llu", (unsigned long long)seed);
        test_end_case();
    }
}

static void R1_R8_G15_T5_T10_T12_D6_seeded_scenarios(void)
{
    const char *one = getenv("EDDY_SCENARIO"), *many = getenv("EDDY_SCENARIOS");
    setenv("EDDY_TEST_ROAD", "unix", 1);
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= (many ? strtoull(many, NULL, 10) : DEFAULT_SCENARIOS); seed++)
        run(seed);
}

const struct test_case test_cases[] = {
    CASE(R1_R8_G15_T5_T10_T12_D6_seeded_scenarios),
    {NULL, NULL},
};
