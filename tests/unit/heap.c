#include "framework/base/heap.h"
#include "tests/support/test.h"
#include <stdlib.h>
#include <string.h>

#define ALL UINT64_MAX /* a cut that excludes none */

static struct eddy_heap heap;

static void begin(void)
{
    memset(&heap, 0, sizeof(heap));
}

static void check_order(void)
{
    bool sound = true;

    for (uint32_t i = 0; i < heap.len; i++) {
        const struct eddy_heap_entry *e = &heap.entries[i];

        sound = sound && e->timer->index_ == i && e->timer->when_ >= e->when;
        if (i > 0) {
            const struct eddy_heap_entry *p = &heap.entries[(i - 1) / 4];

            sound = sound &&
                    (p->when < e->when || (p->when == e->when && p->timer->seq_ < e->timer->seq_));
        }
    }
    CHECK(sound);
}

static bool queued(const struct eddy_timer *t)
{
    return (t->flags_ & EDDY_TIMER_QUEUED) != 0;
}

static void L34_timers_leave_in_order_of_time(void)
{
    struct eddy_timer t[5] = {{0}};
    const eddy_nsec when[5] = {30, 10, 50, 20, 40};

    begin();
    CHECK(eddy_heap_next(&heap) == EDDY_FOREVER);
    CHECK(eddy_heap_pop(&heap, EDDY_FOREVER, ALL) == NULL);
    for (int i = 0; i < 5; i++)
        eddy_heap_start(&heap, &t[i], when[i]);
    CHECK_INT(eddy_heap_next(&heap), 10);
    CHECK(eddy_heap_pop(&heap, 9, ALL) == NULL);
    CHECK(eddy_heap_pop(&heap, 10, ALL) == &t[1]);
    CHECK(!queued(&t[1]));
    CHECK(queued(&t[3]));
    CHECK(eddy_heap_pop(&heap, 35, ALL) == &t[3]);
    CHECK(eddy_heap_pop(&heap, 35, ALL) == &t[0]);
    CHECK(eddy_heap_pop(&heap, 35, ALL) == NULL);
    CHECK_INT(eddy_heap_next(&heap), 40);
    CHECK(eddy_heap_pop(&heap, 50, ALL) == &t[4]);
    CHECK(eddy_heap_pop(&heap, 50, ALL) == &t[2]);
    CHECK_INT(t[2].when_, 50);
    eddy_heap_clear(&heap);
}

static void L35_equal_times_leave_in_order_of_starting(void)
{
    static struct eddy_timer t[500];

    begin();
    for (int i = 0; i < 500; i++)
        eddy_heap_start(&heap, &t[i], 7);
    for (int i = 0; i < 500; i += 2)
        eddy_heap_cancel(&heap, &t[i]);
    check_order();
    for (int i = 1; i < 500; i += 2)
        CHECK(eddy_heap_pop(&heap, 7, ALL) == &t[i]);
    CHECK(eddy_heap_pop(&heap, 7, ALL) == NULL);
    eddy_heap_clear(&heap);
}

static void G13_starting_a_pending_timer_moves_it(void)
{
    struct eddy_timer a = {0}, b = {0}, c = {0};

    begin();
    eddy_heap_start(&heap, &a, 10);
    eddy_heap_start(&heap, &b, 20);
    eddy_heap_start(&heap, &c, 20);
    eddy_heap_start(&heap, &a, 20); /* later: now behind its equals */
    CHECK(eddy_heap_pop(&heap, 19, ALL) == NULL);
    CHECK(eddy_heap_pop(&heap, 20, ALL) == &b);
    eddy_heap_start(&heap, &a, 5); /* earlier */
    CHECK_INT(eddy_heap_next(&heap), 5);
    eddy_heap_start(&heap, &a, 20); /* to the time it had */
    eddy_heap_start(&heap, &c, 20);
    CHECK(eddy_heap_pop(&heap, 20, ALL) == &a);
    CHECK(eddy_heap_pop(&heap, 20, ALL) == &c);
    CHECK(eddy_heap_pop(&heap, 20, ALL) == NULL);
    eddy_heap_clear(&heap);
}

static void timer_put_off_by_its_owner_is_never_early(void)
{
    struct eddy_timer a = {0}, b = {0};

    begin();
    eddy_heap_start(&heap, &a, 10);
    eddy_heap_start(&heap, &b, 15);
    a.when_ = 30;
    CHECK_INT(eddy_heap_next(&heap), 10); /* a look too early costs nothing but itself */
    CHECK(eddy_heap_pop(&heap, 10, ALL) == NULL);
    CHECK_INT(eddy_heap_next(&heap), 15);
    a.when_ = 40;
    CHECK(eddy_heap_pop(&heap, 39, ALL) == &b);
    CHECK(eddy_heap_pop(&heap, 39, ALL) == NULL);
    CHECK(eddy_heap_pop(&heap, 40, ALL) == &a);
    /* Put off to a time that has passed meanwhile, it comes at once, in its place. */
    eddy_heap_start(&heap, &a, 10);
    eddy_heap_start(&heap, &b, 15);
    a.when_ = 20;
    CHECK(eddy_heap_pop(&heap, 50, heap.next_seq) == &b);
    CHECK(eddy_heap_pop(&heap, 50, heap.next_seq) == &a);
    /* Put off for ever, it is dropped. */
    eddy_heap_start(&heap, &a, 10);
    a.when_ = EDDY_FOREVER;
    CHECK(eddy_heap_pop(&heap, 50, ALL) == NULL);
    CHECK(!queued(&a));
    CHECK(eddy_heap_next(&heap) == EDDY_FOREVER);
    eddy_heap_clear(&heap);
}

static void L23_timer_started_after_the_cut_waits(void)
{
    struct eddy_timer old[3] = {{0}}, new[40] = {{0}};
    uint64_t cut;

    begin();
    for (int i = 0; i < 3; i++)
        eddy_heap_start(&heap, &old[i], 10 + i);
    cut = heap.next_seq;
    /* Their times are before those of all that are due, whom they must not hide. */
    for (int i = 0; i < 40; i++)
        eddy_heap_start(&heap, &new[i], 5 - i);
    CHECK(eddy_heap_pop(&heap, 20, cut) == &old[0]);
    eddy_heap_start(&heap, &old[2], 11); /* counts as started after the cut, too */
    CHECK(eddy_heap_pop(&heap, 20, cut) == &old[1]);
    CHECK(eddy_heap_pop(&heap, 20, cut) == NULL);
    CHECK_INT(eddy_heap_next(&heap), 5 - 39);
    for (int i = 39; i >= 0; i--)
        CHECK(eddy_heap_pop(&heap, 20, heap.next_seq) == &new[i]);
    CHECK(eddy_heap_pop(&heap, 20, heap.next_seq) == &old[2]);
    CHECK(eddy_heap_pop(&heap, 20, heap.next_seq) == NULL);
    eddy_heap_clear(&heap);
}

static void L38_forever_is_kept_nowhere(void)
{
    struct eddy_timer t = {0};

    begin();
    eddy_heap_start(&heap, &t, EDDY_FOREVER);
    CHECK(!queued(&t));
    CHECK(t.when_ == EDDY_FOREVER);
    CHECK(eddy_heap_next(&heap) == EDDY_FOREVER);
    eddy_heap_start(&heap, &t, 10);
    eddy_heap_start(&heap, &t, EDDY_FOREVER);
    CHECK(!queued(&t));
    CHECK(eddy_heap_pop(&heap, EDDY_FOREVER, ALL) == NULL);
    eddy_heap_cancel(&heap, &t);
    eddy_heap_clear(&heap);
}

static void L39_cancel_is_idempotent(void)
{
    struct eddy_timer t = {0}, other = {0};

    begin();
    eddy_heap_cancel(&heap, &t);
    eddy_heap_start(&heap, &t, 10);
    eddy_heap_start(&heap, &other, 20);
    eddy_heap_cancel(&heap, &t);
    eddy_heap_cancel(&heap, &t);
    CHECK(!queued(&t));
    CHECK_INT(t.when_, 10);
    CHECK(eddy_heap_pop(&heap, 100, ALL) == &other);
    CHECK(eddy_heap_pop(&heap, 100, ALL) == NULL);
    eddy_heap_clear(&heap);
}

static void clear_leaves_the_timers_free(void)
{
    static struct eddy_timer t[300];

    begin();
    for (int i = 0; i < 300; i++) {
        if (i >= 256) /* no room for these */
            test_fail_allocation(1);
        eddy_heap_start(&heap, &t[i], i);
    }
    test_fail_allocation(0);
    CHECK(heap.overflow != NULL);
    eddy_heap_clear(&heap);
    for (int i = 0; i < 300; i++)
        CHECK(!queued(&t[i]));
    CHECK(eddy_heap_next(&heap) == EDDY_FOREVER);
    eddy_heap_start(&heap, &t[0], 5);
    CHECK(eddy_heap_pop(&heap, 5, ALL) == &t[0]);
    eddy_heap_clear(&heap);
}

static void memory_is_given_back(void)
{
    const int count = 10000;
    struct eddy_timer *t = calloc((size_t)count, sizeof(*t));
    long before = test_live_bytes(), full;

    REQUIRE(t != NULL);
    begin();
    for (int i = 0; i < count; i++)
        eddy_heap_start(&heap, &t[i], i * 7919 % 1000);
    full = test_live_bytes() - before;
    CHECK(full >= count * (long)sizeof(struct eddy_heap_entry));
    for (int i = 0; i < count; i += 2)
        eddy_heap_cancel(&heap, &t[i]);
    /* Shrinking may fail: then it stays as it is. */
    test_fail_allocation(1);
    while (eddy_heap_pop(&heap, EDDY_FOREVER - 1, ALL) != NULL)
        continue;
    CHECK(test_allocation_failed());
    CHECK(test_live_bytes() - before < full / 50);
    eddy_heap_clear(&heap);
    CHECK_INT(test_live_bytes(), before);
    free(t);
}

/* ---- no memory ---- */

/* Fills the heap up to its room, so that the next start must ask for more. */
static struct eddy_timer *fill_room(eddy_nsec when)
{
    static struct eddy_timer t[64];

    memset(t, 0, sizeof(t));
    for (int i = 0; i < 64; i++)
        eddy_heap_start(&heap, &t[i], when);
    REQUIRE(heap.len == heap.room);
    return t;
}

/* While the heap cannot grow. */
static struct eddy_timer *pop_without_memory(eddy_nsec now, uint64_t cut)
{
    struct eddy_timer *t;

    test_fail_allocation(1);
    t = eddy_heap_pop(&heap, now, cut);
    test_fail_allocation(0);
    return t;
}

static void start_without_memory(struct eddy_timer *t, eddy_nsec when)
{
    test_fail_allocation(1);
    eddy_heap_start(&heap, t, when);
    test_fail_allocation(0);
}

static void G5_starting_without_memory_works(void)
{
    struct eddy_timer extra[6] = {{0}}, *t;

    begin();
    t = fill_room(100);
    start_without_memory(&extra[0], 90);
    start_without_memory(&extra[1], 95);
    start_without_memory(&extra[2], 90);
    start_without_memory(&extra[3], 100);
    start_without_memory(&extra[4], 94);
    start_without_memory(&extra[5], 93);
    for (int i = 0; i < 6; i++)
        CHECK(queued(&extra[i]));
    CHECK_INT(eddy_heap_next(&heap), 90);
    eddy_heap_cancel(&heap, &extra[4]);
    CHECK(!queued(&extra[4]));
    start_without_memory(&extra[1], 80); /* pending ones move as ever */
    start_without_memory(&extra[5], EDDY_FOREVER);
    CHECK(!queued(&extra[5]));
    CHECK_INT(eddy_heap_next(&heap), 80);

    CHECK(pop_without_memory(79, ALL) == NULL);
    CHECK(pop_without_memory(100, 0) == NULL);
    CHECK(pop_without_memory(100, ALL) == &extra[1]);
    CHECK(!queued(&extra[1]));
    CHECK(pop_without_memory(100, ALL) == &extra[0]);
    CHECK(pop_without_memory(100, ALL) == &extra[2]);
    /* Equal times: those of the heap were started first. */
    CHECK(pop_without_memory(100, ALL) == &t[0]);
    for (int i = 1; i < 64; i++)
        CHECK(eddy_heap_pop(&heap, 100, ALL) == &t[i]);
    CHECK(eddy_heap_pop(&heap, 100, ALL) == &extra[3]);
    CHECK(eddy_heap_pop(&heap, 100, ALL) == NULL);
    eddy_heap_clear(&heap);
}

static void cut_holds_without_memory(void)
{
    struct eddy_timer before = {0}, after = {0};
    uint64_t cut;

    begin();
    fill_room(100);
    start_without_memory(&before, 10);
    cut = heap.next_seq;
    start_without_memory(&after, 5);
    CHECK(pop_without_memory(50, cut) == &before);
    CHECK(pop_without_memory(50, cut) == NULL);
    CHECK(pop_without_memory(50, heap.next_seq) == &after);
    eddy_heap_clear(&heap);
}

static void timers_move_to_the_heap_when_there_is_memory(void)
{
    struct eddy_timer extra[2] = {{0}};

    begin();
    fill_room(100);
    start_without_memory(&extra[0], 50);
    start_without_memory(&extra[1], 50);
    CHECK(eddy_heap_pop(&heap, 10, ALL) == NULL);
    CHECK(heap.overflow == NULL);
    CHECK_INT(heap.len, 66);
    check_order();
    CHECK(eddy_heap_pop(&heap, 50, ALL) == &extra[0]); /* still in order of starting */
    CHECK(eddy_heap_pop(&heap, 50, ALL) == &extra[1]);
    eddy_heap_clear(&heap);
}

static void very_first_timer_without_memory(void)
{
    struct eddy_timer t = {0};

    begin();
    start_without_memory(&t, 5);
    CHECK_INT(eddy_heap_next(&heap), 5);
    CHECK(pop_without_memory(4, ALL) == NULL);
    CHECK(pop_without_memory(5, ALL) == &t);
    eddy_heap_clear(&heap);
}

/* ---- against a model ---- */

#define TIMERS 600

static struct model {
    struct eddy_timer timer;
    bool queued;
    eddy_nsec when;
    uint64_t seq;
} models[TIMERS];

static uint64_t random_state;

static unsigned next_random(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 32) % below;
}

static void model_start(struct model *m, eddy_nsec when)
{
    m->seq = heap.next_seq;
    m->when = when;
    m->queued = when != EDDY_FOREVER;
    if (next_random(10) == 0)
        test_fail_allocation(1);
    eddy_heap_start(&heap, &m->timer, when);
    test_fail_allocation(0);
}

static void model_cancel(struct model *m)
{
    m->queued = false;
    eddy_heap_cancel(&heap, &m->timer);
}

static struct model *model_first(eddy_nsec now, uint64_t cut)
{
    struct model *best = NULL;

    for (int i = 0; i < TIMERS; i++) {
        struct model *m = &models[i];

        if (!m->queued || m->when > now || m->seq >= cut)
            continue;
        if (best == NULL || m->when < best->when || (m->when == best->when && m->seq < best->seq))
            best = m;
    }
    return best;
}

/* What callbacks do: start, stop and put off others, also into the past. */
static void model_step(eddy_nsec now)
{
    struct model *m = &models[next_random(TIMERS)];

    switch (next_random(8)) {
    case 0:
    case 1:
        model_cancel(m);
        break;
    case 2:
        if (m->queued) {
            m->when += next_random(60);
            m->timer.when_ = m->when;
        }
        break;
    case 3:
        model_start(m, next_random(50) == 0 ? EDDY_FOREVER : now - next_random(30));
        break;
    default:
        model_start(m, now + next_random(200));
        break;
    }
}

static void model_run(eddy_nsec now)
{
    uint64_t cut = heap.next_seq;
    struct eddy_timer *t;

    while ((t = eddy_heap_pop(&heap, now, cut)) != NULL) {
        struct model *m = EDDY_CONTAINER_OF(t, struct model, timer);

        REQUIRE(m == model_first(now, cut));
        m->queued = false;
        REQUIRE(!queued(t));
        if (next_random(2) == 0)
            model_step(now);
    }
    REQUIRE(model_first(now, cut) == NULL);
}

static void heap_agrees_with_a_model_in_100000_operations(void)
{
    eddy_nsec now = 1000;

    begin();
    memset(models, 0, sizeof(models));
    random_state = UINT64_C(88172645463325252);
    for (int i = 0; i < 100000; i++) {
        model_step(now);
        if (next_random(50) == 0) {
            now += next_random(20);
            model_run(now);
        }
        if (i % 1000 == 0) {
            struct model *first = model_first(EDDY_FOREVER, ALL);
            uint32_t pending = 0;

            check_order();
            for (int k = 0; k < TIMERS; k++) {
                REQUIRE(models[k].queued == queued(&models[k].timer));
                pending += models[k].queued;
            }
            for (struct eddy_timer *t = heap.overflow; t != NULL; t = t->next_)
                pending--;
            CHECK_INT(heap.len, pending);
            CHECK(first == NULL || eddy_heap_next(&heap) <= first->when);
        }
    }
    eddy_heap_clear(&heap);
}

const struct test_case test_cases[] = {
    TEST(L34_timers_leave_in_order_of_time),
    TEST(L35_equal_times_leave_in_order_of_starting),
    TEST(G13_starting_a_pending_timer_moves_it),
    TEST(timer_put_off_by_its_owner_is_never_early),
    TEST(L23_timer_started_after_the_cut_waits),
    TEST(L38_forever_is_kept_nowhere),
    TEST(L39_cancel_is_idempotent),
    TEST(clear_leaves_the_timers_free),
    TEST(memory_is_given_back),
    TEST(G5_starting_without_memory_works),
    TEST(cut_holds_without_memory),
    TEST(timers_move_to_the_heap_when_there_is_memory),
    TEST(very_first_timer_without_memory),
    TEST(heap_agrees_with_a_model_in_100000_operations),
    TEST_END,
};
