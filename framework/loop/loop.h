/* The loop's inside: what framework/ and transports/ know of it. */
#ifndef EDDY_LOOP_LOOP_H
#define EDDY_LOOP_LOOP_H

#include "framework/base/heap.h"
#include "framework/base/list.h"
#include "framework/resolver/resolver.h"
#include <eddy/backend.h>
#include <eddy/child.h>
#include <eddy/loop.h>
#include <stdatomic.h>

#if defined(__GNUC__)
#define EDDY_LIKELY(x) __builtin_expect(!!(x), 1)
#define EDDY_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define EDDY_NOINLINE __attribute__((noinline))
#define EDDY_COLD __attribute__((cold, noinline))
#else
#define EDDY_LIKELY(x) (x)
#define EDDY_UNLIKELY(x) (x)
#define EDDY_NOINLINE
#define EDDY_COLD
#endif

struct eddy_block;
struct eddy_executor;

/* Steps that take long, so many of them in an iteration (ration.c). */
struct eddy_ration {
    struct eddy_loop *loop;
    struct eddy_handle anew;
    struct eddy_link waiting; /* struct eddy_handle */
    unsigned taken;
};

struct eddy_loop {
    /* the read and write path */
    ssize_t (*try_send)(struct eddy_io *io, const void *data, size_t len); /* the backend's */
    struct eddy_transport
        *receiving;                  /* whose read callback runs: it is flushed when that returns */
    struct eddy_block *spare_blocks; /* the pool of the write queues */
    struct eddy_block *released, *last_released; /* of write_owned: their release is due */
    unsigned pooled;                             /* blocks that are there, or will come back */
    bool corking;                                /* callbacks run: writes are collected */
    bool straight; /* ... and there is nothing to check: the transports' short cuts hold */
    bool debug;
    bool abandoned; /* we are a child, forked in a callback: the iteration is the parent's */
    bool closing;   /* eddy_loop_close is at work: counts as closed, unreported */
    bool closed;
    struct eddy_transport *corked; /* to be flushed at the end of the phase, by cork_next */
    eddy_nsec now;                 /* read once per iteration */

    struct eddy_backend *backend;
    struct eddy_sys *sys;

    struct eddy_link ready; /* handles */
    struct eddy_heap timers;

    /* transports and protocols that are owed a call, see transport/deferred.c */
    struct eddy_handle deferred_handle;
    struct eddy_transport *deferred, **deferred_tail;
    struct eddy_protocol *finishing, *finishing_last;
    bool protocol_gone; /* the one whose connect_failed runs was detached */

    struct eddy_link transports; /* those of no server */
    struct eddy_link resources;  /* struct eddy_resource */
    struct eddy_link watches;    /* one member per watched descriptor */
    struct eddy_link starving;   /* struct eddy_handle: started when a descriptor becomes free */
    struct eddy_io ***io_chunks; /* by descriptor: ours, and those watched; with gaps */
    int io_chunks_room;
    unsigned open_ios; /* `closed` is owed to so many */
    unsigned
        lent; /* callbacks that run inside a call of the user: no run, no close (contract G23) */
    unsigned releases_held; /* a transport writes to another one: release functions come later */

    _Atomic(struct eddy_post *) posts;
    atomic_uint refs;
    atomic_bool stop;
    atomic_bool running;
    atomic_ullong signals;         /* arrived: bit signum - 1 */
    struct eddy_link signal_nodes; /* struct eddy_signal */

    /* child processes, see child.c */
    struct eddy_link children;     /* struct eddy_child */
    struct eddy_link children_due; /* ... those still to be asked after a SIGCHLD */
    struct eddy_signal sigchld;    /* there while a child needs it */
    unsigned sigchld_children;
    uint8_t child_watcher; /* which kind: asked for, or found to work */

    struct eddy_link jobs;          /* struct eddy_job: given to executors */
    struct eddy_executor *executor; /* the default one, referenced; NULL: none made yet */

    struct eddy_naming naming;

    /* TLS: steps of handshakes, and the connections that keep their buffers (tls/warm.c) */
    struct eddy_ration handshakes;
    struct eddy_link warm;
    unsigned warm_count;

    unsigned fork_generation; /* of the process it belongs to */
    bool keep_sigpipe;
    bool executor_shut; /* there shall be no default one any more */

    eddy_nsec slow_callback;
    eddy_problem_fn *on_problem;
    void *problem_user;
    eddy_log_fn *log;
    void *user;
};

/* Something that must hear of the loop's close: servers, attempts to connect. Removed by its owner.
 */
struct eddy_resource {
    struct eddy_link link;
    void (*loop_closing)(struct eddy_resource *r); /* is no member any more; may make callbacks */
};

/* Counts forks in this process's ancestry: a loop of another generation must not run. */
unsigned eddy_fork_generation(void);
/* From here on they are counted; whoever remembers a generation calls it first. */
void eddy_watch_forks(void);

/* [any thread] Ends the wait; but not in a forked child, where the wake-up is still the parent's.
 */
void eddy_loop_wake(struct eddy_loop *loop);

/* Creating calls begin with it: false once close was called. */
static inline bool eddy_loop_is_open(const struct eddy_loop *loop)
{
    return !loop->closed && !loop->closing;
}

/* In debug mode, on another thread than the running loop's: reports the misuse by on_problem and
 * returns false (contract L50). */
bool eddy_loop_may_call(struct eddy_loop *loop, const char *call, const char *site);
/* The same for what a closed loop cannot do any more (contract L17). */
bool eddy_loop_may_schedule(struct eddy_loop *loop, const char *call, const char *site);

/* Reports a problem to on_problem, or logs it. */
void eddy_loop_problem(struct eddy_loop *loop, const struct eddy_problem *problem);

void eddy_loop_log(struct eddy_loop *loop, enum eddy_log_level level, const char *component,
                   const char *fmt, ...) EDDY_PRINTF(4, 5);

/* The clock, fresh. */
static inline eddy_nsec eddy_loop_clock(const struct eddy_loop *loop)
{
    return loop->backend->cls->now(loop->backend);
}

/* Brackets around every call into user code; they cost a test outside debug mode. `what` is the
 * kind of callback or its slot, `name` the class or the place it was started at. */
static inline eddy_nsec eddy_callback_begin(const struct eddy_loop *loop)
{
    return EDDY_UNLIKELY(loop->debug) ? eddy_loop_clock(loop) : 0;
}
void eddy_callback_report(struct eddy_loop *loop, eddy_nsec begin, const char *what,
                          const char *name);
static inline void eddy_callback_end(struct eddy_loop *loop, eddy_nsec begin, const char *what,
                                     const char *name)
{
    if (EDDY_UNLIKELY(begin))
        eddy_callback_report(loop, begin, what, name);
}

/* ---- ration.c ---- */

#define EDDY_RATION 8

void eddy_ration_init(struct eddy_ration *r, struct eddy_loop *loop);
/* True: take a step now. False: h runs when its turn has come, by which it is granted. Cancel h as
 * any other. */
bool eddy_ration_take(struct eddy_ration *r, struct eddy_handle *h);
void eddy_ration_fini(struct eddy_ration *r);

/* ---- io.c: endpoints and the table of descriptors ---- */

#define EDDY_IOS_CHUNK 512

/* The io at a descriptor of ours or watched by us, NULL for any other. */
static inline struct eddy_io *eddy_loop_io(const struct eddy_loop *loop, eddy_fd fd)
{
    int i = fd / EDDY_IOS_CHUNK;

    return fd >= 0 && i < loop->io_chunks_room && loop->io_chunks[i]
               ? loop->io_chunks[i][fd % EDDY_IOS_CHUNK]
               : NULL;
}
/* There must be room. */
static inline void eddy_loop_set_io(struct eddy_loop *loop, eddy_fd fd, struct eddy_io *io)
{
    loop->io_chunks[fd / EDDY_IOS_CHUNK][fd % EDDY_IOS_CHUNK] = io;
}
/* The first io at *fd or above, and its descriptor; NULL: none. The waker may be at two. */
struct eddy_io *eddy_loop_find_io(const struct eddy_loop *loop, eddy_fd *fd);
/* Room for fd in the table: -ENOMEM. */
int eddy_loop_reserve_fd(struct eddy_loop *loop, eddy_fd fd);
void eddy_loop_free_ios(struct eddy_loop *loop);
/* As the backend's calls, with the table kept. attach: on failure fd is still the caller's. */
int eddy_io_attach(struct eddy_io *io, eddy_fd fd);
int eddy_io_connect(struct eddy_io *io, const struct eddy_addr *to, const struct eddy_addr *local);
void eddy_io_cancel(struct eddy_io *io);
/* io->cls->closed follows. */
void eddy_io_close(struct eddy_io *io);
/* Every `closed` upcall begins with it. */
static inline void eddy_io_closed(struct eddy_io *io)
{
    struct eddy_loop *loop = io->loop;

    loop->open_ios--;
    if (io->kind != EDDY_IO_WATCH) /* which only borrows its descriptor */
        eddy_list_splice(&loop->ready, &loop->starving);
}
/* Runs h when the next io of the loop has been closed: for those who met EMFILE. */
static inline void eddy_loop_call_when_freed(struct eddy_loop *loop, struct eddy_handle *h)
{
    eddy_list_append(&loop->starving, &h->link_);
}

/* ---- post.c ---- */

/* Takes all posts to the ready queue. */
void eddy_loop_take_posts(struct eddy_loop *loop);
/* Whether a handle of the ready queue is a post's. */
bool eddy_handle_is_post(const struct eddy_handle *h);
/* Refuses posts from here on, and runs those that were taken with EDDY_ELOOP_CLOSED: first those in
 * `ready`, whose handles had got that far. */
void eddy_loop_close_posts(struct eddy_loop *loop, struct eddy_link *ready);

/* ---- signal.c ---- */

/* Queues the nodes of the signals that arrived. */
void eddy_loop_take_signals(struct eddy_loop *loop);
void eddy_loop_close_signals(struct eddy_loop *loop);
/* Installs again what a fork has emptied: -ENOMEM. */
int eddy_loop_forked_signals(struct eddy_loop *loop);
/* Has SIGPIPE ignored if it was at default; once per process. */
void eddy_ignore_sigpipe(void);

/* ---- child.c ---- */

/* Whether .child_watcher names a kind: -EINVAL. */
int eddy_loop_init_children(struct eddy_loop *loop, const struct eddy_loop_opts *opts);
/* 0, or why no child can be watched at all: to be asked before one is started (contract P43, U5).
 */
int eddy_loop_children_work(struct eddy_loop *loop);
/* eddy_loop_add_child for a child that was started a moment ago: what is registered for its number
 * was of another one, and is told so. The pidfd (-1: none) is the node's; on failure it is still
 * the caller's, and so is the child. */
int eddy_child_add_pidfd(struct eddy_loop *loop, struct eddy_child *c, pid_t pid, eddy_fd pidfd);
/* Nodes are unlinked, with a warning for those that have not been reported; c->dropped_, unless
 * NULL, tells whoever owns one. */
void eddy_loop_close_children(struct eddy_loop *loop);
/* In a forked child, whose brothers they are: all are reported as EDDY_CHILD_UNKNOWN. */
void eddy_loop_forked_children(struct eddy_loop *loop);

/* ---- executor.c ---- */

/* Ends the jobs and drops the default executor; what a thread runs it ends itself. */
void eddy_loop_close_jobs(struct eddy_loop *loop);
/* In a forked child: what has not come back from its thread ends with -ECANCELED. */
void eddy_loop_forked_jobs(struct eddy_loop *loop);

/* ---- async/future.c ---- */

/* A handle that was taken from the ready queue at close: if it is a done callback's, it lets go of
 * its future. */
void eddy_future_drop_callback(struct eddy_handle *h);

/* ---- watch.c ---- */

void eddy_loop_close_watches(struct eddy_loop *loop);
/* The io behind `before` among all that serve watches, NULL: the first; NULL past the last. Also
 * those whose descriptor was closed and given to somebody else, which the table does not name. */
struct eddy_io *eddy_loop_next_watch(struct eddy_loop *loop, struct eddy_io *before);

/* ---- backends/backend.c ---- */

/* Opens what opts and environment ask for. */
int eddy_backend_open(struct eddy_loop *loop, const struct eddy_loop_opts *opts,
                      struct eddy_backend **ret);

#endif
