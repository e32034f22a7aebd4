/*
 * In which order a client tries the addresses it has, and when: RFC 8305 5, contract S6 and S9 to
 * S12. What an attempt is stands elsewhere.
 */
#ifndef EDDY_TRANSPORTS_HAPPY_EYEBALLS_H
#define EDDY_TRANSPORTS_HAPPY_EYEBALLS_H

#include <eddy/addr.h>
#include <eddy/loop.h>

/* The families take turns, after `lead` addresses of the first one; each keeps its order. */
void eddy_interleave(const struct eddy_addr **list, size_t n, size_t lead);

struct race;

struct race_class {
    /* Begins attempt i. False: it has failed already. */
    bool (*begin)(struct race *r, size_t i);
    /* The last one has failed, and nothing was won. From the loop. */
    void (*lost)(struct race *r);
};

/* Attempts of which the next begins when the one before it has failed, or was not done within
 * `delay`. */
struct race {
    const struct race_class *cls;
    struct eddy_loop *loop;
    struct eddy_timer next;
    eddy_nsec delay; /* EDDY_OFF: one after the other */
    size_t count;    /* attempts there can be, and so on: */
    size_t begun, running;
};

/* r->count attempts, of which some may fail at once. False: all did, and `lost` is not called. */
bool eddy_race_start(struct race *r, const struct race_class *cls, struct eddy_loop *loop);
/* Attempt i, begun, has failed. From the loop. */
void eddy_race_failed(struct race *r, size_t i);
/* No attempt begins any more. Harmless at any time. */
void eddy_race_stop(struct race *r);

#endif
