/* backends: select epoll io_uring */
/* timeout: 120 */
/* labels: scenarios */
/*
 * Seeded scenarios over pipes: a few of them on one loop, whose ends write, pause, give back, close
 * and abort at random, their own and each other's. Then the books are checked: callbacks in order
 * (R4), each connection_made with its connection_lost, each attachment with its fini, no byte lost
 * or altered where none may be. The seed fixes what is done, not when.
 *
 *     EDDY_SCENARIOS=100000   how many seeds
 *     EDDY_SEED=42            this one only; its traces are printed
 */
#include "tests/contract/pipes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCENARIOS = 500, MOST_PIPES = 4, ACTIONS = 60, MOST_BYTES = 40000 };

/* What the seed allows. */
enum manner {
    CLEAN,  /* ends by close and write_eof of the writer: every byte arrives */
    ROUGH,  /* aborts, readers that leave, detached protocols */
    FAULTY, /* and allocations that fail */
};

struct duct {
    struct actor writer, reader;
    bool ended; /* no more is to be written */
};

struct scenario {
    struct stage s;
    uint64_t state; /* of the random numbers */
    enum manner manner;
    struct duct ducts[MOST_PIPES];
    unsigned count;
    int depth;
    bool over; /* nothing is done any more but what ends it */
};

static struct scenario scene;

static unsigned below(unsigned n)
{
    scene.state ^= scene.state << 13;
    scene.state ^= scene.state >> 7;
    scene.state ^= scene.state << 17;
    return (unsigned)((scene.state >> 11) % n);
}

/* ---- what may happen ---- */

static void write_some(struct duct *d)
{
    struct eddy_transport *t = d->writer.t;
    if (t && !eddy_transport_is_closing(t) && !eddy_transport_is_writing_paused(t))
        actor_write(&d->writer, 1 + below(below(4) ? 300 : MOST_BYTES));
}

static void end_writing(struct duct *d)
{
    if (!d->writer.t)
        return;
    d->ended = true;
    if (below(2))
        eddy_transport_close(d->writer.t);
    else
        CHECK_INT(eddy_transport_write_eof(d->writer.t), 0);
}

static void change_limits(struct duct *d)
{
    if (d->writer.t)
        eddy_transport_set_write_buffer_limits(d->writer.t, EDDY_DEFAULT, below(100000));
}

static void hurt(struct actor *a)
{
    if (!a->t || scene.manner == CLEAN)
        return;
    switch (below(4)) {
    case 0:
        eddy_transport_abort(a->t, EDDY_ERROR(-EPROTO, "the scenario says so"));
        break;
    case 1:
        eddy_transport_abort(a->t, NULL);
        break;
    case 2:
        eddy_transport_close(a->t);
        break;
    default:
        actor_detach(a);
    }
}

static void act(void)
{
    struct duct *d = &scene.ducts[below(scene.count)];
    switch (below(16)) {
    case 0:
        end_writing(d);
        break;
    case 1:
        change_limits(d);
        break;
    case 2:
        eddy_transport_flush(d->writer.t);
        break;
    case 3:
    case 4:
        eddy_transport_pause_reading(d->reader.t);
        break;
    case 5:
    case 6:
    case 7:
        eddy_transport_resume_reading(d->reader.t);
        break;
    case 8:
        hurt(below(2) ? &d->writer : &d->reader);
        break;
    case 9:
        if (scene.manner == FAULTY)
            test_fail_allocation(1 + (long)below(10));
        break;
    default:
        write_some(d);
    }
}

/* Sometimes, from inside callbacks, also of others. */
static void act_inside(struct actor *a)
{
    (void)a;
    if (scene.depth > 2 || scene.over)
        return;
    scene.depth++;
    if (below(3) == 0)
        act();
    scene.depth--;
}

static void take_in(struct actor *a)
{
    if (!scene.over && below(5) == 0 && a->len > 1 && !eddy_transport_is_closing(a->t)) {
        size_t back = 1 + below((unsigned)a->len - 1);
        if (eddy_transport_unread(a->t, a->data + a->len - back, back) == 0)
            a->received -= back;
    }
    act_inside(a);
}

/* ---- one seed ---- */

static void open_duct(struct duct *d, uint64_t key)
{
    struct stage *s = &scene.s;
    int fds[2];
    stage_add(s, &d->writer, false);
    stage_add(s, &d->reader, false);
    d->ended = false;
    d->writer.out_key = d->reader.in_key = key;
    d->writer.on[ON_PAUSE] = d->writer.on[ON_RESUME] = act_inside;
    d->writer.on[ON_MADE] = d->writer.on[ON_LOST] = act_inside;
    d->reader.on[ON_MADE] = d->reader.on[ON_LOST] = d->reader.on[ON_EOF] = act_inside;
    d->reader.on[ON_DATA] = d->reader.on[ON_BUFFER_UPDATED] = take_in;
    pipes_make(fds);
#ifdef F_SETPIPE_SZ
    fcntl(fds[0], F_SETPIPE_SZ, 4096 << below(5));
#endif
    s->client_class = below(3) ? &actor_class : &actor_buffered_class;
    int err = pipes_connect(&d->reader, eddy_connect_read_pipe, fds[0]);
    CHECK(err == 0 || (err == -ENOMEM && scene.manner == FAULTY));
    err = pipes_connect(&d->writer, eddy_connect_write_pipe, fds[1]);
    CHECK(err == 0 || (err == -ENOMEM && scene.manner == FAULTY));
}

static bool is_over(void)
{
    for (unsigned i = 0; i < scene.count; i++) {
        struct duct *d = &scene.ducts[i];
        if ((d->writer.p && !d->writer.detached) || (d->reader.p && !d->reader.detached))
            return false;
    }
    return true;
}

static void finish(void)
{
    scene.over = true;
    test_fail_allocation(0);
    for (unsigned i = 0; i < scene.count; i++) {
        struct duct *d = &scene.ducts[i];
        end_writing(d);
    }
    eddy_nsec patience = stage_patience(&scene.s);
    while (!is_over() && stage_step(&scene.s, patience)) {
        for (unsigned i = 0; i < scene.count; i++) {
            eddy_transport_resume_reading(scene.ducts[i].reader.t);
            if (!scene.ducts[i].ended)
                end_writing(&scene.ducts[i]);
        }
    }
    CHECK(is_over());
}

static void check_books(const struct duct *d)
{
    const struct actor *w = &d->writer, *r = &d->reader;
    if (scene.manner != FAULTY) /* where a write may fail that has sent a part already */
        CHECK(r->received <= w->sent);
    CHECK(w->code == 0 || w->code == -EPROTO || w->code == -EPIPE || w->code == -ENOMEM);
    if (scene.manner != CLEAN)
        return;
    CHECK_INT(r->received, w->sent);
    CHECK_INT(w->code, 0);
    CHECK_INT(r->code, 0);
    CHECK_INT(r->count[ON_EOF], 1);
}

static void run_seed(uint64_t seed, bool tell)
{
    memset(&scene, 0, sizeof scene);
    scene.state = seed * 0x9e3779b97f4a7c15u + 1;
    scene.manner = (enum manner)(seed % 3);
    unsigned before = CU_get_number_of_failure_records();
    stage_init(&scene.s);
    pipes_begin(&scene.s);
    unsigned count = 1 + below(MOST_PIPES);
    for (unsigned i = 0; i < count; i++)
        open_duct(&scene.ducts[scene.count++], i + 1);
    for (int i = 0; i < ACTIONS; i++) {
        act();
        if (below(3) == 0)
            test_run_steps(scene.s.loop, 1 + (int)below(3));
    }
    finish();
    for (unsigned i = 0; i < count; i++)
        check_books(&scene.ducts[i]);
    stage_close(&scene.s);
    if (CU_get_number_of_failure_records() != before)
        FAIL("... with EDDY_SEED=%llu", (unsigned long long)seed);
    for (unsigned i = 0; i < count && tell; i++)
        printf("\nwriter %u: %s\nreader %u: %s\n", i, trace_text(&scene.ducts[i].writer.trace), i,
               trace_text(&scene.ducts[i].reader.trace));
}

static void R4_T5_T43_G15_seeded_scenarios(void)
{
    const char *seed = getenv("EDDY_SEED"), *count = getenv("EDDY_SCENARIOS");
    unsigned long scenarios = count ? strtoul(count, NULL, 10) : SCENARIOS;
    if (seed) {
        run_seed(strtoull(seed, NULL, 10), true);
        return;
    }
    for (unsigned long i = 1; i <= scenarios; i++) {
        unsigned before = CU_get_number_of_failure_records();
        run_seed(i, false);
        if (CU_get_number_of_failure_records() > before + 20)
            break;
    }
}

const struct test_case test_cases[] = {
    CASE(R4_T5_T43_G15_seeded_scenarios),
    {NULL, NULL},
};
