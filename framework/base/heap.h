/*
 * The timers of a loop: a 4-ary heap with inline times, and an index in each timer, so that both
 * cancelling and moving are O(log n). Equal times leave in the order they came, told by the timer's
 * seq_.
 *
 * A timer may be due later than its entry says (timer->when_ > the entry's): putting it off costs
 * one store, and the heap moves it when the entry comes up. Idle time-outs live on this (52 -> 13
 * ns).
 *
 * A timer for which there is no memory goes to an overflow list that is searched each time, so that
 * starting one never fails.
 */
#ifndef EDDY_BASE_HEAP_H
#define EDDY_BASE_HEAP_H

#include <eddy/loop.h>

struct eddy_heap_entry {
    eddy_nsec when;
    struct eddy_timer *timer;
};

struct eddy_heap {
    struct eddy_heap_entry *entries;
    uint32_t len, room;
    uint64_t next_seq;           /* of the next timer started: the cut of an iteration */
    struct eddy_timer *overflow; /* linked by next_, unsorted; index_ is not used */
};

/* timer->flags_ */
enum {
    EDDY_TIMER_QUEUED = 1 << 0,   /* in heap or overflow */
    EDDY_TIMER_OVERFLOW = 1 << 1, /* ... in overflow */
};

/* Starts or moves t to `when`. EDDY_FOREVER is kept nowhere: the timer is then not queued. */
void eddy_heap_start(struct eddy_heap *h, struct eddy_timer *t, eddy_nsec when);
/* Harmless when not queued. */
void eddy_heap_cancel(struct eddy_heap *h, struct eddy_timer *t);
/* The earliest time at which something may be due; EDDY_FOREVER when empty. */
eddy_nsec eddy_heap_next(const struct eddy_heap *h);
/* Takes out the next timer that is due at `now` and was started before `seq_cut`; NULL: none. */
struct eddy_timer *eddy_heap_pop(struct eddy_heap *h, eddy_nsec now, uint64_t seq_cut);
/* Takes all timers out without running them, and frees the heap's memory. */
void eddy_heap_clear(struct eddy_heap *h);

#endif
