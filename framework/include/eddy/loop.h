/*
 * The event loop.
 *
 * A loop belongs to the thread that runs it: only functions marked [any thread] may be called from
 * others. Callbacks are nodes that you embed in your own structs and find again with
 * EDDY_CONTAINER_OF: starting one neither allocates nor fails, stopping one is final at once - when
 * stop has returned its callback will not come, and its memory may be freed, also from inside the
 * callback itself (contract G13, G14). Zero a node, set its `fn`, and start it.
 *
 * One iteration (contract L22-L24): wait once; then what call_soon, posts and signals have queued
 * until then; then I/O; then the timers that are due. What these start runs in the next iteration.
 */
#ifndef EDDY_LOOP_H
#define EDDY_LOOP_H

#include <eddy/base.h>
#include <eddy/selector.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_loop;
struct eddy_backend_class;
struct eddy_future;
struct eddy_transport;
struct eddy_protocol;
struct eddy_server;
struct eddy_resolver_opts;

/* ---- nodes: set fn; the members that end in _ are the loop's ---- */

struct eddy_handle {
    void (*fn)(struct eddy_handle *h);
    struct eddy_link link_;
    const char *site_;
    void *reserved_;
};

struct eddy_timer {
    void (*fn)(struct eddy_timer *t);
    struct eddy_loop *loop_;
    eddy_nsec when_;
    const char *site_;
    union {
        uint64_t seq_;
        struct eddy_timer *next_;
    };
    uint32_t index_;
    uint32_t flags_;
};

/* A call from another thread. It is the loop's from the call until fn runs: do not free it before.
 */
struct eddy_post {
    /* status: 0, or EDDY_ELOOP_CLOSED if the loop was closed first. */
    void (*fn)(struct eddy_post *p, int status);
    struct eddy_handle handle_;
    struct eddy_post *next_;
    struct eddy_loop *loop_;
    uint32_t pending_;
    uint32_t reserved_;
};

/* Readiness of a descriptor that stays yours. */
struct eddy_watch {
    void (*fn)(struct eddy_watch *w, unsigned events); /* EDDY_READ, EDDY_WRITE or both */
    struct eddy_loop *loop_;
    const char *site_;
    eddy_fd fd_;
    unsigned events_;
    void *entry_;
    void *reserved_;
};

struct eddy_signal {
    void (*fn)(struct eddy_signal *s, int signum);
    struct eddy_handle handle_;
    struct eddy_loop *loop_;
    struct eddy_link link_;
    int signum_;
    uint32_t reserved_;
};

/* ---- problems ---- */

/* A problem that has no caller to return to (contract L44-L46). What does not apply is NULL, 0 or
 * -1. */
struct eddy_problem {
    const char *message;
    const struct eddy_error *error;
    struct eddy_transport *transport;
    struct eddy_protocol *protocol;
    struct eddy_server *server;
    struct eddy_future *future;
    eddy_fd fd;
    const char *site; /* where the thing concerned was started or opened */
};

typedef void eddy_problem_fn(struct eddy_loop *loop, const struct eddy_problem *problem,
                             void *user);

/* ---- life cycle ---- */

struct eddy_loop_opts {
    size_t abi_size;
    /* "epoll", "poll", "select", "io_uring"; "default": the best of the first three; "proactor":
     * io_uring where it works, else the best. NULL: the environment's EDDY_BACKEND, else the best.
     * select holds descriptors below FD_SETSIZE only; with more, connections fail or wait with
     * -EMFILE. */
    const char *backend;
    struct eddy_selector *selector; /* instead: one of yours, empty; the loop's on success */
    const struct eddy_backend_class *backend_class; /* instead: a backend of yours */
    struct eddy_sys *sys;                           /* system calls; NULL: the system's */
    bool debug;                  /* checks and reports; also switched on by EDDY_DEBUG=1 */
    eddy_nsec slow_callback;     /* debug mode reports callbacks that take longer; 0: 100 ms */
    bool keep_sigpipe;           /* do not set SIGPIPE to be ignored (contract G26) */
    eddy_problem_fn *on_problem; /* NULL: log it as an error */
    eddy_log_fn *log;            /* NULL: the process's sink */
    void *user;                  /* for on_problem and log, and eddy_loop_user() */
    struct eddy_error *error;    /* filled in when eddy_loop_new fails */
    /* How ends of child processes are noticed: "pidfd" or "sigchld". NULL: pidfd where it works,
     * else sigchld. (contract P39) */
    const char *child_watcher;
    const struct eddy_resolver_opts *resolver; /* who answers for names: EDDY_RESOLVER(...) of
                                                  resolver.h; NULL: the defaults */
    void *reserved[2];
};

/* Options in Python's manner: eddy_loop_new(EDDY_LOOP(.backend = "poll"), &loop). */
#define EDDY_LOOP(...) \
    EDDY_LITERAL_(eddy_loop_opts, .abi_size = sizeof(struct eddy_loop_opts), __VA_ARGS__)

/* Makes a loop; the caller gets one reference. NULL options: defaults. -EINVAL: unknown backend or
 * bad options, or something is registered with the given selector, which must not be closed
 * (EDDY_ECLOSED) nor another loop's (EDDY_EINVALID_STATE) either; -E2BIG: options of a later
 * version; -ENOMEM; -EMFILE; another -errno or EDDY_ENOT_SUPPORTED: this backend cannot work here,
 * and the error's text says why. [any thread]
 */
EDDY_API int eddy_loop_new(const struct eddy_loop_opts *opts, struct eddy_loop **ret);

/* [any thread] Returns the loop. */
EDDY_API struct eddy_loop *eddy_loop_ref(struct eddy_loop *loop);
/* [any thread] NULL is fine. The last one frees the loop, and closes it with a warning if need be.
 */
EDDY_API void eddy_loop_unref(struct eddy_loop *loop);

/* Ends the loop (contract L14-L18): nodes are unlinked without running, posts run with
 * EDDY_ELOOP_CLOSED, open connections are reported with the place that opened them and get
 * connection_lost(EDDY_ELOOP_CLOSED) from inside this call. The reference stays. 0 also when closed
 * already. EDDY_ELOOP_RUNNING while it runs, or when called from inside a callback. */
EDDY_API int eddy_loop_close(struct eddy_loop *loop);

/* Runs until eddy_loop_stop. 0, EDDY_ELOOP_CLOSED, EDDY_ELOOP_RUNNING, EDDY_EOTHER_LOOP,
 * EDDY_EINVALID_STATE (after fork, see eddy_loop_forked), or what the backend's wait failed with.
 */
EDDY_API int eddy_loop_run_forever(struct eddy_loop *loop);

/* Runs until `f` is done and returns its status; its value goes to *ret_value (may be NULL), still
 * owned by the future. EDDY_ENOT_COMPLETED if the loop was stopped first: a later run can finish
 * it. */
EDDY_API int eddy_loop_run_until_complete(struct eddy_loop *loop, struct eddy_future *f,
                                          void **ret_value);

/* One iteration that waits at most `timeout`: for embedding in another loop, with eddy_loop_fileno.
 */
EDDY_API int eddy_loop_run_once(struct eddy_loop *loop, eddy_nsec timeout);

/* A descriptor that is readable when run_once has I/O to do; EDDY_ENOT_SUPPORTED on select and
 * poll. Timers are not behind it: ask eddy_loop_timeout. */
EDDY_API int eddy_loop_fileno(struct eddy_loop *loop);
/* How long the next iteration may sleep: 0 if something is ready or changed since the last one,
 * EDDY_FOREVER if nothing is due. Ask it before each wait on eddy_loop_fileno's descriptor. */
EDDY_API eddy_nsec eddy_loop_timeout(struct eddy_loop *loop);

/* [any thread] The iteration in progress, or the first one of the next run, is the last. */
EDDY_API void eddy_loop_stop(struct eddy_loop *loop);

/* In the child after fork, before it goes on with an inherited loop (contract L72): until then
 * every run returns EDDY_EINVALID_STATE, while closing the loop is fine and does not disturb the
 * parent's. Forked inside a callback: EDDY_EINVALID_STATE here as well, until that callback has
 * returned and, with the same code, the run it was called from. Both processes then serve the same
 * listeners and connections: close those that are the other's. 0 also if there was no fork. */
EDDY_API int eddy_loop_forked(struct eddy_loop *loop);

EDDY_API bool eddy_loop_is_running(const struct eddy_loop *loop);
EDDY_API bool eddy_loop_is_closed(const struct eddy_loop *loop);
/* The loop that runs in this thread, or NULL. Borrowed. */
EDDY_API struct eddy_loop *eddy_get_running_loop(void);

/* The loop's clock, read now. */
EDDY_API eddy_nsec eddy_loop_time(const struct eddy_loop *loop);
/* "epoll", or whatever selector or backend it runs on. */
EDDY_API const char *eddy_loop_backend_name(const struct eddy_loop *loop);
EDDY_API void *eddy_loop_user(const struct eddy_loop *loop);

EDDY_API bool eddy_loop_get_debug(const struct eddy_loop *loop);
EDDY_API void eddy_loop_set_debug(struct eddy_loop *loop, bool on);
EDDY_API void eddy_loop_set_slow_callback(struct eddy_loop *loop, eddy_nsec limit);
/* NULL restores the default, which logs the problem as an error. */
EDDY_API void eddy_loop_set_problem_handler(struct eddy_loop *loop, eddy_problem_fn *fn,
                                            void *user);
EDDY_API eddy_problem_fn *eddy_loop_get_problem_handler(const struct eddy_loop *loop);

/* ---- callbacks ---- */

/* Runs h->fn once in the next iteration, after what is queued already. A pending handle keeps its
 * place. The macros record where it was started, for reports of debug mode. (asyncio: call_soon) */
EDDY_API void eddy_loop_call_soon_site(struct eddy_loop *loop, struct eddy_handle *h,
                                       const char *site);
#define eddy_loop_call_soon(loop, h) eddy_loop_call_soon_site((loop), (h), EDDY_SITE)
/* Final at once; harmless on a handle that is not pending. */
EDDY_API void eddy_handle_cancel(struct eddy_handle *h);
EDDY_API bool eddy_handle_is_pending(const struct eddy_handle *h);

/* [any thread, but not in a signal handler] Runs p->fn once on the loop's thread; calls of one
 * thread keep their order, none is merged. 0; EDDY_ELOOP_CLOSED; -EALREADY while pending; -EINVAL.
 * On < 0 there will be no call. The caller needs a reference of the loop, or must know that it
 * lives. */
EDDY_API int eddy_loop_call_soon_threadsafe(struct eddy_loop *loop, struct eddy_post *p);

/* Runs t->fn once, not before its time; equal times in order of starting. A pending timer moves. A
 * delay of zero or less is due at once, yet runs from the timer step; EDDY_FOREVER never. */
EDDY_API void eddy_loop_call_later_site(struct eddy_loop *loop, struct eddy_timer *t,
                                        eddy_nsec delay, const char *site);
EDDY_API void eddy_loop_call_at_site(struct eddy_loop *loop, struct eddy_timer *t, eddy_nsec when,
                                     const char *site);
#define eddy_loop_call_later(loop, t, delay) \
    eddy_loop_call_later_site((loop), (t), (delay), EDDY_SITE)
#define eddy_loop_call_at(loop, t, when) eddy_loop_call_at_site((loop), (t), (when), EDDY_SITE)
EDDY_API void eddy_timer_cancel(struct eddy_timer *t);
EDDY_API bool eddy_timer_is_pending(const struct eddy_timer *t);
/* When it is, or was last, due. */
EDDY_API eddy_nsec eddy_timer_when(const struct eddy_timer *t);

/* ---- descriptors of yours (asyncio: add_reader, add_writer) ---- */

/* Calls w->fn in the I/O phase while `fd` is ready, once per iteration. The descriptor is borrowed:
 * remove the watch before you close it. -EINVAL: bad arguments, or select and a descriptor from
 * FD_SETSIZE on; -EEXIST: this direction is watched already; EDDY_EFD_IN_USE: it is a transport's;
 * EDDY_ELOOP_CLOSED; -ENOMEM; -EPERM and others: the selector refuses it (epoll: regular files). */
EDDY_API int eddy_loop_add_watch_site(struct eddy_loop *loop, struct eddy_watch *w, eddy_fd fd,
                                      unsigned events, const char *site);
#define eddy_loop_add_watch(loop, w, fd, events) \
    eddy_loop_add_watch_site((loop), (w), (fd), (events), EDDY_SITE)
/* Changes the directions; errors as above, and -EINVAL for none. EDDY_ENOT_REGISTERED if not added.
 */
EDDY_API int eddy_watch_modify(struct eddy_watch *w, unsigned events);
EDDY_API void eddy_watch_remove(struct eddy_watch *w);

/* ---- signals ---- */

/* Runs s->fn on the loop after `signum` has arrived; arrivals before that may merge. Several nodes,
 * also of several loops, may share a signal. -EINVAL: no such signal; EDDY_ENOT_SUPPORTED: cannot
 * be caught; -ENOMEM; EDDY_ELOOP_CLOSED; -EALREADY while added. (Contract L65-L70.) */
EDDY_API int eddy_loop_add_signal(struct eddy_loop *loop, struct eddy_signal *s, int signum);
EDDY_API void eddy_signal_remove(struct eddy_signal *s);

#ifdef __cplusplus
}
#endif
#endif
