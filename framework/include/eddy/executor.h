/*
 * Executors: threads for work that blocks or takes long, so that the loop stays free.
 * (asyncio: run_in_executor; concurrent.futures: ThreadPoolExecutor; contract L73-L77.)
 *
 * Two forms. eddy_run_in_executor() makes a future of a function and its argument. A struct
 * eddy_job is the node below it, embedded in a struct of yours: starting one allocates nothing.
 *
 * What runs in a thread touches nothing of the loop's. Signals are blocked there, but for those
 * that report a fault. On a simulated clock (<eddy/sim.h>) executors are of no use: that clock does
 * not see other threads.
 *
 * A forked child has none of the threads. What was under way for its loop is not run in the child:
 * after eddy_loop_forked() it ends there with -ECANCELED, how far it had got nobody knows. What is
 * started in the child gets threads of the child's. A child forked inside a job must not return
 * from it.
 */
#ifndef EDDY_EXECUTOR_H
#define EDDY_EXECUTOR_H

#include <eddy/base.h>
#include <eddy/future.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_executor;

/* ---- executors ---- */

struct eddy_executor_opts {
    size_t abi_size;
    unsigned max_threads;     /* 0: the CPUs this process may use and 4 more, 32 at most */
    const char *name;         /* of the threads, "NAME-0" and so on, as far as the system shows it;
                                 NULL: "eddy" */
    struct eddy_error *error; /* filled in when eddy_executor_new fails */
    void *reserved[4];
};

/* Options in Python's manner: eddy_executor_new(EDDY_EXECUTOR(.max_threads = 4), &executor). */
#define EDDY_EXECUTOR(...) \
    EDDY_LITERAL_(eddy_executor_opts, .abi_size = sizeof(struct eddy_executor_opts), __VA_ARGS__)

/* Makes an executor; the caller gets one reference. NULL options: defaults. It may serve any number
 * of loops in any number of threads. A thread is started when a job finds none idle, until there
 * are max_threads. -EINVAL: bad options; -E2BIG: options of a later version; -ENOMEM.
 * [any thread] */
EDDY_API int eddy_executor_new(const struct eddy_executor_opts *opts, struct eddy_executor **ret);

/* [any thread] Returns the executor; NULL is fine. */
EDDY_API struct eddy_executor *eddy_executor_ref(struct eddy_executor *x);
/* [any thread] NULL is fine. Jobs and loops hold references of their own: after the last one the
 * threads end. It does not wait for them. */
EDDY_API void eddy_executor_unref(struct eddy_executor *x);

/* Refuses new jobs from now on (EDDY_EEXECUTOR_SHUTDOWN), has those that wait still run, and
 * completes the future when the last thread has ended. When `timeout` passes first a warning is
 * logged and the future completed all the same: the threads go on until their jobs are done. The
 * future may be cancelled, and ret NULL: then nobody waits. -EINVAL, -ENOMEM, EDDY_ELOOP_CLOSED:
 * the executor goes on. On the loop's thread. (ThreadPoolExecutor.shutdown) */
EDDY_API int eddy_executor_shutdown(struct eddy_executor *x, struct eddy_loop *loop,
                                    eddy_nsec timeout, struct eddy_future **ret);

/* ---- functions ---- */

/* Runs fn(arg, error) in a thread of `x`, or of the loop's default executor if that is NULL. What
 * it returns, 0 or a negative code, becomes the outcome of the future: with 0 the value is `arg`
 * itself, where fn has left its results; with a code the error, to which fn may give a text by
 * eddy_error_set(error, ...).
 *
 * `arg` is the library's from the call until `destroy` (may be NULL) is called with it, once:
 * - fn returned 0: by the future, when that is freed;
 * - fn failed: before the future is done;
 * - the future was cancelled: inside eddy_future_cancel if fn had not begun, which it then never
 *   does; else, since a thread cannot be stopped, when fn has returned and the loop comes to it;
 * - the loop was closed: inside eddy_loop_close; only if fn runs just then, on its thread, when it
 *   has returned. The future has the error EDDY_ELOOP_CLOSED.
 * So always on the loop's thread, but for that one case.
 *
 * ret may be NULL: then the value is destroyed when fn has returned, and an error is reported by
 * on_problem. If the call fails `arg` is still the caller's: -EINVAL, -ENOMEM, EDDY_ELOOP_CLOSED,
 * EDDY_EEXECUTOR_SHUTDOWN, -EAGAIN: the executor has no thread yet and the system gives it none.
 * On the loop's thread. (asyncio: run_in_executor; contract L73-L75.) */
EDDY_API int eddy_run_in_executor(struct eddy_loop *loop, struct eddy_executor *x,
                                  int (*fn)(void *arg, struct eddy_error *error), void *arg,
                                  void (*destroy)(void *arg), struct eddy_future **ret);

/* ---- jobs: set fn and done; the members that end in _ are the library's ---- */

/* Zero it, set both functions, and start it. It is the library's from then until `done` is called.
 */
struct eddy_job {
    void (*fn)(struct eddy_job *j); /* in a thread of the executor */
    /* Then, once, on the loop's thread, from the loop. status 0: fn has run. EDDY_ELOOP_CLOSED: the
     * loop was closed first, and whether fn has run is unknown: called inside eddy_loop_close, or,
     * if fn runs just then, on its thread when it has returned. -ECANCELED: this is a forked child.
     * The job is yours again: free it, or start it once more. */
    void (*done)(struct eddy_job *j, int status);
    struct eddy_post post_;
    struct eddy_link queue_link_;
    struct eddy_link loop_link_;
    struct eddy_loop *loop_;
    struct eddy_executor *executor_;
    uint32_t state_;
    uint32_t generation_;
    void *reserved_;
};

/* Has j->fn called in a thread of `x`, or of the loop's default executor if that is NULL, and then
 * j->done. Jobs of one executor begin in the order of their start. -EINVAL; -EALREADY while it is
 * pending; EDDY_ELOOP_CLOSED; EDDY_EEXECUTOR_SHUTDOWN; -EAGAIN: the executor has no thread yet and
 * the system gives it none; -ENOMEM: no memory for the default executor. On the loop's thread. */
EDDY_API int eddy_loop_start_job(struct eddy_loop *loop, struct eddy_executor *x,
                                 struct eddy_job *j);

/* True: fn had not begun and never will, done is not called, the job is yours again. False: fn runs
 * or has run, and done comes as ever; or the job was not pending. On the loop's thread. */
EDDY_API bool eddy_job_cancel(struct eddy_job *j);
/* From start until done is called, or cancel has returned true. On the loop's thread. */
EDDY_API bool eddy_job_is_pending(const struct eddy_job *j);

/* ---- the loop's default executor ---- */

/* Made with default options when it is first needed, unless one was set before. A loop drops its
 * reference when it is closed, without waiting: one that the loop made ends with that. */

/* The loop takes a reference, and drops that of the one before. -EINVAL; EDDY_ELOOP_CLOSED;
 * EDDY_EEXECUTOR_SHUTDOWN after eddy_loop_shutdown_default_executor. On the loop's thread.
 * (asyncio: set_default_executor) */
EDDY_API int eddy_loop_set_default_executor(struct eddy_loop *loop, struct eddy_executor *x);

/* eddy_executor_shutdown() of the default executor, also if it was never needed: from now on the
 * loop has none (EDDY_EEXECUTOR_SHUTDOWN). (asyncio: shutdown_default_executor; contract L77.) */
EDDY_API int eddy_loop_shutdown_default_executor(struct eddy_loop *loop, eddy_nsec timeout,
                                                 struct eddy_future **ret);

#ifdef __cplusplus
}
#endif
#endif
