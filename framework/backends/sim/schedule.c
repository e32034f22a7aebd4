#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->when != b->when ? a->when < b->when : a->seq < b->seq;
}

static void place(struct sim_schedule *s, size_t i, struct sim_event *e)
{
    s->heap[i] = e;
    e->index = i;
}

static void sift_up(struct sim_schedule *s, size_t i, struct sim_event *e)
{
    for (; i > 1 && before(e, s->heap[i / 2]); i /= 2)
        place(s, i, s->heap[i / 2]);
    place(s, i, e);
}

static void sift_down(struct sim_schedule *s, size_t i, struct sim_event *e)
{
    size_t child;

    while ((child = 2 * i) <= s->len) {
        if (child < s->len && before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s->heap[child], e))
            break;
        place(s, i, s->heap[child]);
        i = child;
    }
    place(s, i, e);
}

int eddy_sim_promise(struct eddy_sim *sim, size_t n)
{
    struct sim_schedule *s = &sim->schedule;
    size_t room = s->room ? s->room : 32;
    struct sim_event **heap;

    while (room < s->promised + n + 1)
        room *= 2;
    if (room != s->room) {
        heap = eddy_realloc(s->heap, room * sizeof(struct sim_event *));
        if (heap == NULL)
            return -ENOMEM;
        s->heap = heap;
        s->room = room;
    }
    s->promised += n;
    return 0;
}

void eddy_sim_unpromise(struct eddy_sim *sim, size_t n)
{
    sim->schedule.promised -= n;
}

void eddy_sim_start(struct eddy_sim *sim, struct sim_event *e, eddy_nsec when)
{
    struct sim_schedule *s = &sim->schedule;

    if (e->index != 0)
        return;
    e->when = when;
    e->seq = s->next_seq++;
    sift_up(s, ++s->len, e);
}

void eddy_sim_cancel(struct eddy_sim *sim, struct sim_event *e)
{
    struct sim_schedule *s = &sim->schedule;
    size_t i = e->index;
    struct sim_event *last;

    if (i == 0)
        return;
    e->index = 0;
    last = s->heap[s->len--];
    if (last == e)
        return;
    if (i > 1 && before(last, s->heap[i / 2]))
        sift_up(s, i, last);
    else
        sift_down(s, i, last);
}

eddy_nsec eddy_sim_next(const struct eddy_sim *sim)
{
    return sim->schedule.len ? sim->schedule.heap[1]->when : EDDY_FOREVER;
}

void eddy_sim_run_due(struct eddy_sim *sim)
{
    struct sim_event *e;

    while (eddy_sim_next(sim) <= sim->now) {
        e = sim->schedule.heap[1];
        eddy_sim_cancel(sim, e);
        e->fn(sim, e);
    }
}

eddy_nsec eddy_sim_after(const struct eddy_sim *sim, eddy_nsec span)
{
    if (span <= 0)
        return sim->now;
    return span > EDDY_FOREVER - sim->now ? EDDY_FOREVER : sim->now + span;
}

int eddy_sim_sleep(struct eddy_sim *sim, eddy_nsec until)
{
    eddy_nsec next = eddy_sim_next(sim);

    if (next > until)
        next = until;
    if (next == EDDY_FOREVER)
        return EDDY_ESTALLED;
    if (next > sim->now) {
        sim->now = next;
        sim->spins = 0;
    }
    eddy_sim_run_due(sim);
    return 0;
}
