/*
 * A simulated outside world for tests: link with eddy-sim.
 *
 * A struct eddy_sim is a host with a virtual clock and a network of its own. Loops made by
 * eddy_sim_loop_new run on it without touching the system. Time stands still while callbacks run,
 * and jumps to whatever is due next when the loop waits: an hour's time-out takes no time. The
 * network holds TCP connections over IPv4 and IPv6 with all that goes wrong on real ones: bytes
 * come in other portions than they were sent, buffers fill up, half-closes, resets that destroy
 * what was not read, silent peers; and datagrams, which get lost, doubled and mixed up. How much of
 * that happens is up to the options; when it happens is decided by the seed alone, so that every
 * run can be repeated.
 *
 *     eddy_sim_new(EDDY_SIM(.seed = 1, .latency = EDDY_MSEC(5), .short_reads = 200), &sim);
 *     eddy_sim_loop_new(sim, false, NULL, &loop);
 *     ...                                  create_server, create_connection, run
 *     eddy_loop_close(loop); eddy_loop_unref(loop); eddy_sim_free(sim);
 *
 * There are two kinds of loops. The first is the library's own reactor over simulated system calls
 * and a simulated selector: the code that ships, with short reads, EAGAIN and stale events at will.
 * The second, `late`, is a completion backend in the manner of io_uring at its worst: operations
 * take effect at one time and report at a later one, reads that were stopped have already taken
 * bytes, what is to be written stays pinned after a cancel. It checks what its users do
 * (eddy_sim_violations).
 *
 * Peers need no second loop: the calls of eddy_sim_sys(sim)->cls work on the network directly, so a
 * test can play the other side by hand, between runs or from eddy_sim_at.
 *
 * A sim is for one thread, but for the wake-ups of its loops. Descriptors are numbers of the sim's
 * own, from 3 up, the lowest free one first. All addresses are of one host, which answers to any
 * address; IPv6 sockets take IPv6 only. Memory comes from Eddy's allocator.
 */
#ifndef EDDY_SIM_H
#define EDDY_SIM_H

#include <eddy/addr.h>
#include <eddy/backend.h>
#include <eddy/base.h>
#include <eddy/loop.h>
#include <eddy/selector.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_sim;

/* ---- making one ---- */

/* Zero everywhere is a tidy network: bytes are with the peer when send returns, nothing is cut
 * short. The probabilities are in 1/1000. */
struct eddy_sim_opts {
    size_t abi_size;
    uint64_t seed;
    eddy_nsec start;          /* the clock's first reading; 0: one hour */
    eddy_nsec latency;        /* one way; 0: none */
    eddy_nsec jitter;         /* up to so much more, drawn anew each time */
    size_t send_room;         /* bytes a socket takes that the peer's host has not; 0: 64 KiB */
    size_t recv_room;         /* bytes a socket holds that were not read; 0: 64 KiB */
    int max_fds;              /* most descriptors open at once, then -EMFILE; 0: 65,536 */
    unsigned chunking;        /* of the bytes under way, only some arrive */
    unsigned short_reads;     /* recv gives less than there is */
    unsigned short_writes;    /* send takes less than there is room for */
    unsigned spurious_eagain; /* recv, send and accept say -EAGAIN for no reason */
    unsigned spurious_ready;  /* a wait also reports descriptors that are not ready */
    unsigned shuffle;         /* the events of one wait come in any order */
    unsigned connect_at_once; /* connect succeeds or fails inside the call */
    unsigned abort_accepted;  /* accept of a connection reset meanwhile: -ECONNABORTED */
    unsigned late_eagain;     /* late loops: try_send says -EAGAIN for no reason */
    eddy_nsec late;           /* late loops: completions are up to so much late; 0: 1 ms */
    void (*trace)(void *user,
                  const char *line); /* gets a line of text for everything that happens */
    void *user;
    unsigned datagram_loss;     /* it never arrives, and nobody is told */
    unsigned datagram_copies;   /* it arrives twice */
    unsigned datagram_disorder; /* others may overtake it; else they keep their order */
    void *reserved[2];
};

#define EDDY_SIM(...) \
    EDDY_LITERAL_(eddy_sim_opts, .abi_size = sizeof(struct eddy_sim_opts), __VA_ARGS__)

/* Options for a network as rough, and with buffers as small, as the seed makes it. */
EDDY_API void eddy_sim_wild(struct eddy_sim_opts *ret, uint64_t seed);

/* NULL: a tidy network. -EINVAL: a negative span or a probability above 1000; -E2BIG; -ENOMEM. */
EDDY_API int eddy_sim_new(const struct eddy_sim_opts *opts, struct eddy_sim **ret);
/* After its loops. Descriptors still open are closed. NULL is fine. */
EDDY_API void eddy_sim_free(struct eddy_sim *sim);

/* A loop on the sim: eddy_loop_new with .sys and .selector, or .backend_class if `late`; the other
 * options are taken from `opts` (may be NULL). The errors are those of eddy_loop_new. A run in
 * which nothing can ever happen any more ends with EDDY_ESTALLED instead of hanging; likewise one
 * that is woken 100,000 times in a row by the same readiness without moving a byte. (The sim does
 * not see other threads: their posts are taken at the next wait, but a stalled run does not wait
 * for them.) */
EDDY_API int eddy_sim_loop_new(struct eddy_sim *sim, bool late, const struct eddy_loop_opts *opts,
                               struct eddy_loop **ret);

/* The parts of it: the system calls, for eddy_loop_opts.sys or to be called directly; a selector
 * over them, for .selector (the caller's until a loop has taken it; -ENOMEM); and the backend that
 * completes late, for .backend_class, which works with a sim's calls only (-EINVAL). */
EDDY_API struct eddy_sys *eddy_sim_sys(struct eddy_sim *sim);
EDDY_API int eddy_sim_selector(struct eddy_sim *sim, struct eddy_selector **ret);
EDDY_API const struct eddy_backend_class *eddy_sim_late_backend(void);

/* ---- time ---- */

EDDY_API eddy_nsec eddy_sim_now(const struct eddy_sim *sim);
/* A callback takes so long: the clock moves, the network has to wait. */
EDDY_API void eddy_sim_spend(struct eddy_sim *sim, eddy_nsec span);
/* So much time passes and the network does what is due in it. Not from callbacks. */
EDDY_API void eddy_sim_advance(struct eddy_sim *sim, eddy_nsec span);
/* Calls fn from a wait, or from eddy_sim_advance, when the clock reaches `when`, in order of time,
 * then of calling. It may call what changes the network, but no loop. -ENOMEM. */
EDDY_API int eddy_sim_at(struct eddy_sim *sim, eddy_nsec when,
                         void (*fn)(struct eddy_sim *sim, void *user), void *user);

/* ---- what goes wrong, by script ---- */

enum eddy_sim_call {
    EDDY_SIM_SOCKET,
    EDDY_SIM_ADOPT,
    EDDY_SIM_BIND,
    EDDY_SIM_LISTEN,
    EDDY_SIM_ACCEPT,
    EDDY_SIM_CONNECT,
    EDDY_SIM_ERROR,
    EDDY_SIM_SOCKNAME,
    EDDY_SIM_PEERNAME,
    EDDY_SIM_GETSOCKOPT,
    EDDY_SIM_SETSOCKOPT,
    EDDY_SIM_RECV,
    EDDY_SIM_SEND, /* send and sendv */
    EDDY_SIM_SHUTDOWN,
    EDDY_SIM_PENDING,
    EDDY_SIM_WAKER,
    EDDY_SIM_SELECT_SET, /* but for removals, which cannot fail */
    EDDY_SIM_SELECT_WAIT,
    EDDY_SIM_RECV_MESSAGES,
    EDDY_SIM_SEND_MESSAGES,
    EDDY_SIM_CALLS, /* their number */
};

/* The nth call from now on (1: the next) fails with `error` (negative) and has no other effect. Any
 * number may be pending. -EINVAL: no such call, nth of 0, or an error that is not negative or is
 * -EINTR, which eddy_sys promises to keep to itself; -ENOMEM. */
EDDY_API int eddy_sim_fail(struct eddy_sim *sim, enum eddy_sim_call call, unsigned long nth,
                           int error);
/* Takes back what is pending. */
EDDY_API void eddy_sim_fail_none(struct eddy_sim *sim);
/* How often it was called so far, for tests that fail each in turn. */
EDDY_API unsigned long eddy_sim_calls(const struct eddy_sim *sim, enum eddy_sim_call call);
/* As .max_fds, from now on; 0: the default again. */
EDDY_API void eddy_sim_set_max_fds(struct eddy_sim *sim, int max);

enum eddy_sim_host {
    EDDY_SIM_ANSWERS,     /* the default: refuses where nobody listens */
    EDDY_SIM_REFUSES,     /* -ECONNREFUSED */
    EDDY_SIM_UNREACHABLE, /* -EHOSTUNREACH */
    EDDY_SIM_SILENT,      /* says nothing: -ETIMEDOUT after 127 s */
};

/* How connecting to an address ends from now on; port 0 stands for all ports. Datagrams to it are
 * refused in the same way, or vanish. -ENOMEM. */
EDDY_API int eddy_sim_set_host(struct eddy_sim *sim, const struct eddy_addr *a,
                               enum eddy_sim_host behaviour);
/* Connecting to it ends so long after its begin, well or not, whatever the latency is; 0: the
 * default, there and back. A silent host stays silent. What is set for a port, behaviour or delay,
 * sets both aside that were set for all ports. -EINVAL: a negative delay; -ENOMEM. */
EDDY_API int eddy_sim_set_host_delay(struct eddy_sim *sim, const struct eddy_addr *a,
                                     eddy_nsec delay);

/* After `delay` the network resets the connection that fd is an end of: both ends get -ECONNRESET.
 * Nothing if it is closed on both ends by then. -ENOTCONN: fd has none. */
EDDY_API int eddy_sim_reset(struct eddy_sim *sim, eddy_fd fd, eddy_nsec delay);

/* The host behind fd takes nothing and sends nothing, until thawed. It is not found out by itself:
 * its peer only sees that nothing moves. -ENOTCONN: fd has no connection. */
EDDY_API int eddy_sim_freeze(struct eddy_sim *sim, eddy_fd fd, bool on);

/* Two connected stream sockets on 127.0.0.1. -EMFILE, -ENOMEM. */
EDDY_API int eddy_sim_pair(struct eddy_sim *sim, eddy_fd ret_fds[2]);

/* ---- names ---- */

/* Loops of eddy_sim_loop_new ask the sim for names, unless their options say whom to ask. It knows
 * what is added here, whatever the case of the letters; any other name is answered at once,
 * EAI_NONAME. Answers are those of the time they are given at, and never cached. Services are known
 * by their numbers only, and there are none by name (EDDY_ENOT_SUPPORTED). */

/* Look-ups of `name` give these addresses, in this order, and look-ups of the addresses give the
 * first name that was added for them, so long after they were asked; EDDY_FOREVER: never. In place
 * of what the name had before. -EINVAL: no name, no addresses, one that is neither IPv4 nor IPv6, a
 * negative delay; -ENOMEM. */
EDDY_API int eddy_sim_add_name(struct eddy_sim *sim, const char *name, const struct eddy_addr *list,
                               size_t n, eddy_nsec delay);
/* They fail: EDDY_EDNS with an EAI_* as detail, or any other code. -EINVAL: a code that is not
 * negative, or as above; -ENOMEM. */
EDDY_API int eddy_sim_fail_name(struct eddy_sim *sim, const char *name, int code, int detail,
                                eddy_nsec delay);

/* ---- what happened ---- */

struct eddy_sim_stats {
    uint64_t waits;       /* times a loop has waited */
    uint64_t connections; /* established */
    uint64_t resets;      /* ends that were reset */
    uint64_t bytes;       /* arrived at a receiving socket */
    uint64_t spurious;    /* -EAGAIN and readiness made up */
    /* Descriptors closed while a selector had them registered. An owner takes its interest back
     * first. */
    uint64_t closed_registered;
    int open;                   /* descriptors open now, those of loops included */
    uint64_t datagrams;         /* arrived at a receiving socket */
    uint64_t datagrams_dropped; /* lost on the way, or where they came there was no room */
};

EDDY_API void eddy_sim_get_stats(const struct eddy_sim *sim, struct eddy_sim_stats *ret);

/* Sums up all that has happened so far: equal in two runs with one seed, unless something in
 * between is not determined by the seed. */
EDDY_API uint64_t eddy_sim_trace_hash(const struct eddy_sim *sim);

/* How often a user of the seam broke its rules (backend.h), as far as it was seen: bytes given by
 * `output` that changed before their `sent`, try_send or shutdown while output was pending, a
 * descriptor used after its close. *ret_first (may be NULL) says what the first one was, NULL:
 * none. */
EDDY_API unsigned eddy_sim_violations(const struct eddy_sim *sim, const char **ret_first);

/* The sim's own dice, for tests that draw from the same seed: 0 .. limit-1, 0 for a limit of 0. */
EDDY_API uint64_t eddy_sim_random(struct eddy_sim *sim, uint64_t limit);

#ifdef __cplusplus
}
#endif
#endif
