/*
 * What programs of seeded scenarios over streams share: the world of one seed, its dice, the sides
 * of its connections and the players that serve them, who act at random from all their callbacks,
 * and the books: callbacks in order (contract R1), each connection_made with its connection_lost,
 * each attachment with its fini, no byte altered, nothing left behind.
 *
 *     EDDY_SCENARIOS=100000   how many seeds, in place of the program's number
 *     EDDY_SEED=42            this one only; EDDY_TRACE=1 tells all that happens in it
 */
#ifndef TESTS_SUPPORT_SCENARIO_H
#define TESTS_SUPPORT_SCENARIO_H

#include "tests/support/test.h"
#include <eddy/future.h>
#include <eddy/server.h>
#include <eddy/sim.h>
#include <eddy/transport.h>

/* What the seed allows. */
enum manner {
    CLEAN,  /* ends by close, end of stream and write_eof only: every byte is accounted for */
    ROUGH,  /* aborts, resets, detached protocols, time-outs */
    FAULTY, /* and calls and allocations that fail */
};

/* One end of a connection, for the books: outlives the players that serve it. Programs embed it. */
struct side {
    struct player *player; /* NULL: gone */
    int number;
    bool server;
    bool made, lost, failed, ended, detached, accepted;
    bool free;    /* anything may be done to it */
    bool excused; /* something rough was done to the connection, or failed: bytes may be lost */
    bool closed;  /* by a call of ours */
    bool wrote_eof, write_paused;
    int attachments, finis;
    int local, peer; /* ports */
    uint64_t written, received;
    int budget; /* actions left to the timer */
    struct eddy_timer timer;
};

/* A protocol of a side. */
struct player {
    struct eddy_protocol base;
    struct side *side;
    struct side *before; /* attached anew in its last callback: whose fini is still to come */
    struct player *next; /* of those that are held */
    bool retired;        /* another has taken over: only fini may come */
    bool held;
    bool instance; /* a server's */
    size_t area_size;
    uint8_t *area;
};

/* What a program does by itself. */
struct scenario {
    uint64_t seeds, real_seeds; /* in place of EDDY_SCENARIOS; on the kernel */
    void *sides;                /* an array of what begins with a struct side */
    size_t side_size;
    int most_sides;
    bool free; /* what sides are from the beginning */

    void (*adapt)(struct eddy_sim_opts *opts); /* NULL: they are as the seed has made them */
    /* From an open loop to a closed one. */
    void (*play)(void);
    bool (*is_expected)(const struct eddy_problem *problem);

    void (*act)(struct side *s, struct eddy_transport *t); /* any one thing */
    void (*act_early)(struct side *s);                     /* the same before it is connected */

    /* What a side is told, when that was checked and put down. The first two also let it act. */
    void (*made)(struct side *s, struct eddy_transport *t);
    void (*heard)(struct side *s, struct eddy_transport *t, const uint8_t *data, size_t len);
    void (*ended)(struct side *s); /* NULL: nothing */
    void (*lost)(struct side *s, const struct eddy_error *err);
    void (*failed)(struct side *s, const struct eddy_error *err);
    void (*fini)(struct player *a); /* NULL: player_end and player_free */
};

/* The world of the present seed. */
struct scene {
    const struct scenario *scenario;
    uint64_t seed;
    enum manner manner;
    bool late;
    bool real; /* the kernel's network, and time */
    bool traced;
    bool draining;
    bool once; /* another run of this seed would differ */
    int depth;
    int chatter; /* 1/1000: a callback does something */
    struct eddy_sim *sim;
    uint64_t dice; /* without one */
    struct eddy_loop *loop;
    int side_count;
    struct player *held;
    int owned_out; /* write_owned without their release */
    int failures;
};

extern struct scene scene;

/* The only case of a program calls it. */
void scene_run_seeds(const struct scenario *scenario);

/* ---- small things ---- */

void scene_complain(const char *file, int line, const char *fmt, ...) EDDY_PRINTF(3, 4);
#define COMPLAIN(...) scene_complain(__FILE__, __LINE__, __VA_ARGS__)
#define EXPECT(condition)               \
    do {                                \
        if (!(condition))               \
            COMPLAIN("%s", #condition); \
    } while (0)

uint64_t scene_dice(uint64_t limit);

static inline uint64_t dice(uint64_t limit)
{
    return scene_dice(limit);
}

static inline bool chance(unsigned per_mille)
{
    return scene_dice(1000) < per_mille;
}

enum { HASTE = 30 }; /* real time runs so much faster than the simulated one */

/* So long at most, or less. */
static inline eddy_nsec some_time(eddy_nsec longest)
{
    return (eddy_nsec)scene_dice((uint64_t)(scene.real ? longest / HASTE : longest));
}

/* Until `is_enough` (NULL: nothing is), or for so long. */
void scene_run_for(eddy_nsec span, bool (*is_enough)(void));

/* ---- sides ---- */

/* NULL: these were all. */
struct side *side_new(bool server);
struct side *side_at(int number);
/* With EDDY_TRACE: what it does and hears, between the lines of the network. */
void side_tell(const struct side *s, const char *what, uint64_t n);
struct eddy_transport *side_transport(const struct side *s);
/* The other end; NULL: not made yet. */
struct side *side_peer(const struct side *s);
void side_excuse_both(struct side *s);
/* The timer acts from time to time. */
void side_begin_timer(struct side *s);
/* Perhaps something, or a few things, to this side or others. */
void side_maybe_act(struct side *s);
/* It does not know its names, nor so its bytes. */
bool side_is_blind(const struct side *s);
/* Nothing more is to come. */
bool side_is_over(const struct side *s);
bool sides_all_are(bool (*is)(const struct side *s));

/* The next bytes of its stream, by write, writev or write_owned. < 0: the part before an error may
 * have been sent. */
int side_write(struct side *s, struct eddy_transport *t, size_t len);
/* They must be the next ones of what its peer writes, as far as it knows. */
void side_check_bytes(const struct side *s, const uint8_t *data, size_t len);
void side_switch(struct side *s, struct eddy_transport *t); /* set_protocol */
void side_detach(struct side *s);
void side_set_limits(struct eddy_transport *t, size_t most);
void side_set_timeouts(struct eddy_transport *t, size_t most_queued);

/* What holds for every side in the end; false: there is nothing more to check. */
bool side_check(const struct side *s);
/* All that one has written has come to the other, and then the end. */
void side_check_complete(const struct side *from, const struct side *to);

/* ---- players ---- */

struct player *player_new(struct side *s);
void player_free(struct player *a);
/* create_connection has failed. */
void player_refused(struct player *a);
/* In fini, for the books. */
void player_end(struct player *a);
void player_hold(struct player *a);
void player_release_one(void);
/* What servers make; their argument is &scene. */
const struct eddy_protocol_class *player_server_class(void);

#endif
