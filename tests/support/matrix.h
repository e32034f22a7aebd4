/*
 * What the re-entrancy matrices share: every operation in every place, once for the stage's client
 * and once for its peer. A place is a callback, or what else calls a user; an operation is what is
 * done there, once. A test adds how the two are connected, and operations and places of its own.
 */
#ifndef TESTS_SUPPORT_MATRIX_H
#define TESTS_SUPPORT_MATRIX_H

#include "tests/support/stream.h"

struct operation;

struct scene {
    struct stage s;
    struct actor *subject, *other;
    struct actor next;  /* for set_protocol */
    struct actor third; /* for an operation that connects another */
    const struct operation *op;
    bool fired;
    bool held;
    struct eddy_timer timer;
};

/* ---- operations, on a subject that may have no transport any more, or not yet ---- */

struct operation {
    const char *name;
    void (*perform)(struct scene *c);
};

void op_close(struct scene *c);
void op_abort(struct scene *c);
void op_write_small(struct scene *c);
/* The other side does not read: this comes to pause_writing. */
void op_write_above_high_mark(struct scene *c);
void op_pause_reading(struct scene *c);
void op_resume_reading(struct scene *c);
void op_set_protocol(struct scene *c);
void op_close_other(struct scene *c);
void op_abort_other(struct scene *c);

/* ---- places ---- */

enum sides { BOTH_SIDES, CLIENT_ONLY, PEER_ONLY };

struct place {
    enum slot slot;   /* SLOTS: none */
    enum sides sides; /* which of them can come to that */
    bool buffered, in_done;
    void (*open)(struct scene *c);    /* in place of the matrix's */
    void (*provoke)(struct scene *c); /* what leads there, once connected; an operation will do */
    void (*finish)(struct scene *c);  /* before the stage is closed */
};

void send_to_subject(struct scene *c);
void end_to_subject(struct scene *c);
/* op_write_above_high_mark, after which the other side reads. */
void fill_and_drain(struct scene *c);
/* op_close, and where that waits for the other side it reads. */
void close_and_answer(struct scene *c);
/* The operation comes in a timer, in a handle, in the release of bytes. */
void start_timer(struct scene *c);
void run_handle(struct scene *c);
void write_owned(struct scene *c);
/* Behind a queue: it is released by a later send. */
void write_owned_queued(struct scene *c);

/* ---- the matrix ---- */

struct matrix {
    const struct operation *own; /* besides those for all; ended by one without a name */
    /* Makes the loop, and connects the client with the peer. The other side pauses reading. */
    void (*open)(struct scene *c);
    const char *client, *peer; /* what they are called */
};

/* Every operation in this place. */
void matrix_run(const struct matrix *m, const struct place *place);

#endif
