#include "framework/base/heap.h"
#include "framework/base/alloc.h"

#define ARITY 4
#define ROOM_MIN 64
#define NONE UINT32_MAX

/* Unused entries in front. Large blocks of malloc's begin 16 bytes into a page: with two entries
 * more before the first, the four children of an entry share a cache line. */
#define PAD 2

#if defined(__GNUC__)
#define PREFETCH(ptr) __builtin_prefetch(ptr)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define PREFETCH(ptr) ((void)0)
#define UNLIKELY(x) (x)
#endif

/* Which of two times is earlier cannot be predicted, but that they are seldom equal can: only then
 * are the timers themselves looked at. */
static inline bool comes_before(const struct eddy_heap_entry *a, const struct eddy_heap_entry *b)
{
    bool before = a->when < b->when;

    if (UNLIKELY(a->when == b->when))
        before = a->timer->seq_ < b->timer->seq_;
    return before;
}

static inline void put(struct eddy_heap *h, uint32_t i, const struct eddy_heap_entry *e)
{
    h->entries[i] = *e;
    e->timer->index_ = i;
}

/* Puts e into the hole at i, or above it. */
static void sift_up(struct eddy_heap *h, uint32_t i, struct eddy_heap_entry e)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / ARITY;

        if (!comes_before(&e, &h->entries[parent]))
            break;
        put(h, i, &h->entries[parent]);
        i = parent;
    }
    put(h, i, &e);
}

/* The earliest of the children of i; NONE if it has none. */
static inline uint32_t earliest_child(const struct eddy_heap *h, uint32_t i)
{
    const struct eddy_heap_entry *e = h->entries;
    uint64_t first = (uint64_t)i * ARITY + 1;
    uint32_t c = (uint32_t)first;

    if (first + ARITY <= h->len) {
        /* By arithmetic, not branches, of which half would be mispredicted. */
        uint32_t left = c + comes_before(&e[c + 1], &e[c]);
        uint32_t right = c + 2 + comes_before(&e[c + 3], &e[c + 2]);

        return left + (right - left) * comes_before(&e[right], &e[left]);
    }
    if (first >= h->len)
        return NONE;
    for (uint32_t other = c + 1; other < h->len; other++) {
        if (comes_before(&e[other], &e[c]))
            c = other;
    }
    return c;
}

/* Puts e into the hole at i, or below it. */
static void sift_down(struct eddy_heap *h, uint32_t i, struct eddy_heap_entry e)
{
    for (;;) {
        uint32_t child = earliest_child(h, i);

        if (child == NONE || !comes_before(&h->entries[child], &e))
            break;
        put(h, i, &h->entries[child]);
        i = child;
    }
    put(h, i, &e);
}

/* In a large heap each level on the way down is a cache miss: gets those two levels below i
 * meanwhile. */
static inline void prefetch_grandchildren(const struct eddy_heap *h, uint32_t i)
{
    uint64_t first = ((uint64_t)i * ARITY + 1) * ARITY + 1;

    if (first + ARITY * ARITY > h->len)
        return;
    for (uint64_t g = first; g < first + ARITY * ARITY; g += ARITY)
        PREFETCH(&h->entries[g]);
}

/* Puts e, which was the last entry, into the hole at the top. As it most likely belongs to the
 * bottom, the hole goes all the way down first, without asking. */
static void refill_top(struct eddy_heap *h, struct eddy_heap_entry e)
{
    uint32_t i = 0, child;

    for (;;) {
        prefetch_grandchildren(h, i);
        child = earliest_child(h, i);
        if (child == NONE)
            break;
        put(h, i, &h->entries[child]);
        i = child;
    }
    sift_up(h, i, e);
}

static bool resize(struct eddy_heap *h, size_t room)
{
    struct eddy_heap_entry *block = h->entries != NULL ? h->entries - PAD : NULL;

    if (room > UINT32_MAX / 2 || room > SIZE_MAX / 2 / sizeof(*block))
        return false;
    block = eddy_realloc(block, (PAD + room) * sizeof(*block));
    if (block == NULL)
        return false;
    h->entries = block + PAD;
    h->room = (uint32_t)room;
    return true;
}

/* Makes room for one more. */
static inline bool reserve(struct eddy_heap *h)
{
    if (h->len < h->room)
        return true;
    return resize(h, h->room != 0 ? (size_t)h->room * 2 : ROOM_MIN);
}

static void take_out(struct eddy_heap *h, struct eddy_timer *t)
{
    uint32_t i = t->index_;
    struct eddy_heap_entry last = h->entries[--h->len];

    t->flags_ &= ~(uint32_t)EDDY_TIMER_QUEUED;
    if (i < h->len) {
        if (i == 0)
            refill_top(h, last);
        else if (comes_before(&last, &h->entries[(i - 1) / ARITY]))
            sift_up(h, i, last);
        else
            sift_down(h, i, last);
    }
    if (UNLIKELY(h->len < h->room / 4 && h->room > ROOM_MIN))
        (void)resize(h, h->room / 2); /* or stays as it is */
}

/* The overflow list keeps the lower half of a timer's number in index_. */
static uint64_t overflow_seq(const struct eddy_heap *h, const struct eddy_timer *t)
{
    return h->next_seq - (uint32_t)((uint32_t)h->next_seq - t->index_);
}

static void insert(struct eddy_heap *h, struct eddy_timer *t, uint64_t seq)
{
    t->flags_ |= EDDY_TIMER_QUEUED;
    t->seq_ = seq;
    sift_up(h, h->len++, (struct eddy_heap_entry){.when = t->when_, .timer = t});
}

static void insert_overflow(struct eddy_heap *h, struct eddy_timer *t, uint64_t seq)
{
    t->flags_ |= EDDY_TIMER_QUEUED | EDDY_TIMER_OVERFLOW;
    t->index_ = (uint32_t)seq;
    t->next_ = h->overflow;
    h->overflow = t;
}

static void take_out_overflow(struct eddy_heap *h, struct eddy_timer *t)
{
    struct eddy_timer **p = &h->overflow;

    while (*p != NULL && *p != t)
        p = &(*p)->next_;
    *p = t->next_;
    t->next_ = NULL;
    t->flags_ &= ~(uint32_t)(EDDY_TIMER_QUEUED | EDDY_TIMER_OVERFLOW);
}

/* Moves a timer of the heap. When it is put off, its entry stays early, as owners do by themselves;
 * only its number is new, which counts among equal times. */
static void restart(struct eddy_heap *h, struct eddy_timer *t, uint64_t seq)
{
    struct eddy_heap_entry e = h->entries[t->index_];

    t->seq_ = seq;
    if (t->when_ < e.when) {
        e.when = t->when_;
        sift_up(h, t->index_, e);
    } else {
        sift_down(h, t->index_, e);
    }
}

void eddy_heap_start(struct eddy_heap *h, struct eddy_timer *t, eddy_nsec when)
{
    uint64_t seq = h->next_seq++;

    if (when == EDDY_FOREVER || (t->flags_ & EDDY_TIMER_OVERFLOW) != 0)
        eddy_heap_cancel(h, t);
    t->when_ = when;
    if (when == EDDY_FOREVER)
        return;
    if ((t->flags_ & EDDY_TIMER_QUEUED) != 0)
        restart(h, t, seq);
    else if (reserve(h))
        insert(h, t, seq);
    else
        insert_overflow(h, t, seq);
}

void eddy_heap_cancel(struct eddy_heap *h, struct eddy_timer *t)
{
    if ((t->flags_ & EDDY_TIMER_OVERFLOW) != 0)
        take_out_overflow(h, t);
    else if ((t->flags_ & EDDY_TIMER_QUEUED) != 0)
        take_out(h, t);
}

eddy_nsec eddy_heap_next(const struct eddy_heap *h)
{
    eddy_nsec next = h->len > 0 ? h->entries[0].when : EDDY_FOREVER;

    for (const struct eddy_timer *t = h->overflow; t != NULL; t = t->next_) {
        if (t->when_ < next)
            next = t->when_;
    }
    return next;
}

static bool was_put_off(const struct eddy_heap_entry *e)
{
    return e->timer->when_ > e->when;
}

/* The first entry from i downwards that is due and was started before the cut, or has to be moved.
 * An entry that is neither hides those below it: a timer started in this iteration for a past time.
 */
static uint32_t find_due(const struct eddy_heap *h, uint32_t i, eddy_nsec now, uint64_t seq_cut)
{
    uint64_t child = (uint64_t)i * ARITY + 1;
    uint32_t best = NONE;

    if (i >= h->len || h->entries[i].when > now)
        return NONE;
    if (h->entries[i].timer->seq_ < seq_cut || was_put_off(&h->entries[i]))
        return i;
    for (uint64_t end = child + ARITY; child < end && child < h->len; child++) {
        uint32_t found = find_due(h, (uint32_t)child, now, seq_cut);

        if (found != NONE && (best == NONE || comes_before(&h->entries[found], &h->entries[best])))
            best = found;
    }
    return best;
}

/* The same, after all entries in the way that were put off have moved to where they belong. */
static uint32_t settle_due(struct eddy_heap *h, eddy_nsec now, uint64_t seq_cut)
{
    uint32_t i;

    while ((i = find_due(h, 0, now, seq_cut)) != NONE && was_put_off(&h->entries[i])) {
        struct eddy_heap_entry e = h->entries[i];

        e.when = e.timer->when_;
        if (e.when == EDDY_FOREVER)
            take_out(h, e.timer);
        else
            sift_down(h, i, e);
    }
    return i;
}

/* The earliest timer of the overflow list that is due, was started before the cut, and comes before
 * t. */
static struct eddy_timer *find_due_overflow(const struct eddy_heap *h, eddy_nsec now,
                                            uint64_t seq_cut, struct eddy_timer *t)
{
    struct eddy_timer *best = t;
    uint64_t best_seq = t != NULL ? t->seq_ : 0;

    for (struct eddy_timer *o = h->overflow; o != NULL; o = o->next_) {
        uint64_t seq = overflow_seq(h, o);

        if (o->when_ > now || seq >= seq_cut)
            continue;
        if (best != NULL && (o->when_ > best->when_ || (o->when_ == best->when_ && seq > best_seq)))
            continue;
        best = o;
        best_seq = seq;
    }
    return best;
}

/* As far as there is memory again. */
static void empty_overflow(struct eddy_heap *h)
{
    while (h->overflow != NULL && reserve(h)) {
        struct eddy_timer *t = h->overflow;
        uint64_t seq = overflow_seq(h, t);

        take_out_overflow(h, t);
        insert(h, t, seq);
    }
}

struct eddy_timer *eddy_heap_pop(struct eddy_heap *h, eddy_nsec now, uint64_t seq_cut)
{
    struct eddy_timer *t;
    uint32_t i;

    if (UNLIKELY(h->overflow != NULL))
        empty_overflow(h);
    i = settle_due(h, now, seq_cut);
    t = i != NONE ? h->entries[i].timer : NULL;
    if (UNLIKELY(h->overflow != NULL))
        t = find_due_overflow(h, now, seq_cut, t);
    if (t != NULL)
        eddy_heap_cancel(h, t);
    return t;
}

void eddy_heap_clear(struct eddy_heap *h)
{
    for (uint32_t i = 0; i < h->len; i++)
        h->entries[i].timer->flags_ &= ~(uint32_t)EDDY_TIMER_QUEUED;
    while (h->overflow != NULL)
        take_out_overflow(h, h->overflow);
    if (h->entries != NULL)
        eddy_free(h->entries - PAD);
    h->entries = NULL;
    h->len = h->room = 0;
}
