/* The backend that completes late: its endpoints, and what they have under way. */
#ifndef EDDY_BACKENDS_SIM_LATE_H
#define EDDY_BACKENDS_SIM_LATE_H

#include "framework/backends/sim/world.h"

enum { LATE_BUFFER = 16 * 1024, LATE_PIECES = 8, LATE_ACCEPTS = 8, LATE_MESSAGE = 65536 };

enum late_state {
    LATE_IDLE,
    LATE_ASKING,  /* writing: output is due */
    LATE_WAITING, /* with the kernel */
    LATE_DONE,    /* has taken effect, reports when due */
};

struct late_accept {
    int result;
    struct eddy_addr peer;
};

struct late {
    struct eddy_backend base; /* first */
    struct eddy_sim *sim;
    struct eddy_link ios; /* struct late_io, by link */
    struct eddy_link due; /* the same, by due_link: to be dispatched */
    unsigned closing;     /* so many are owed `closed` */
    atomic_bool kicked;
};

struct late_io {
    struct late *late;
    struct eddy_io *io;
    struct eddy_link link, due_link;
    uint64_t generation; /* of the descriptor, which a watch only borrows */
    unsigned ready;      /* WATCH */
    unsigned leaving;    /* cancelled: operations are gone after so many waits */

    eddy_nsec again_due; /* what was refused for no reason is tried again */
    unsigned refusals;   /* in a row */

    enum late_state connecting;
    int connect_error;
    eddy_nsec connect_due;

    enum late_state reading; /* DONE and not wanted: held */
    bool read_ended;
    ssize_t read_result;
    size_t read_at; /* of the result, so many bytes were delivered */
    eddy_nsec read_due;
    struct eddy_message message; /* DATAGRAM: what was read, in memory of its own */

    enum late_state writing;
    struct iovec pieces[LATE_PIECES];
    int piece_count;
    uint64_t checksum; /* of the pieces, and of what they contain */
    ssize_t write_result;
    eddy_nsec write_due;

    struct late_accept accepts[LATE_ACCEPTS];
    int accept_count; /* more than 0 and not wanted: held */
    eddy_nsec accept_due;

    uint8_t buffer[LATE_BUFFER];
};

/* ---- late_kernel.c: what goes on in the kernel ---- */

/* Takes wishes up, does what can be done now, and puts the io on late->due if something is to be
 * told. */
void eddy_sim_late_progress(struct late_io *li);
/* When the next completion of it is due, or the next try; EDDY_FOREVER: none. */
eddy_nsec eddy_sim_late_next(const struct late_io *li);
/* Reports a violation if bytes that were handed over are not what they were. */
void eddy_sim_late_check_pinned(struct late_io *li);
uint64_t eddy_sim_late_checksum(const struct late_io *li);
eddy_nsec eddy_sim_late_time(struct late_io *li);

#endif
