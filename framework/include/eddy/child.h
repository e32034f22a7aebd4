/*
 * Child processes that this process has started itself: who ended, and how (asyncio: the child
 * watchers). Transports to programs, with pipes, are above this.
 *
 * Watched by a pidfd each where the system has them, else by SIGCHLD and a wait for each registered
 * process: the loop's option .child_watcher (contract P39). No child but those given to the loop is
 * ever waited for (P44). Loops of any thread may watch children (U39). All calls are for the loop's
 * thread.
 */
#ifndef EDDY_CHILD_H
#define EDDY_CHILD_H

#include <eddy/base.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What fn gets for a child that somebody else has waited for (contract P41). */
#define EDDY_CHILD_UNKNOWN 255

/* Zero it and set fn; the members that end in _ are the loop's. */
struct eddy_child {
    /* Once, on the loop, after the child has been reaped. returncode: its exit status, 0 to 255, or
     * minus the number of the signal that killed it. The node is free: it may be used again here.
     */
    void (*fn)(struct eddy_child *c, int returncode);
    struct eddy_loop *loop_;
    struct eddy_link link_;
    struct eddy_handle handle_;
    struct eddy_watch watch_;
    pid_t pid_;
    eddy_fd pidfd_;
    uint32_t fork_generation_;
    uint32_t flags_;
    void (*dropped_)(struct eddy_child *c);
    void *reserved_;
};

/* Waits for the child `pid`, which the loop reaps from here on: nobody else may. One that has ended
 * already is reported too; one that is no child of this process, or was reaped by somebody else,
 * with EDDY_CHILD_UNKNOWN and a warning. Takes the place of the loop's node for the same pid, whose
 * fn is not called any more (contract P38-P42; asyncio: add_child_handler). -EINVAL: no fn, or
 * pid < 1; -EALREADY: the node is added already; EDDY_ELOOP_CLOSED; EDDY_ENOT_SUPPORTED: a
 * simulated loop, or "pidfd" was asked for and does not work here; -ENOMEM; -EMFILE and others: of
 * "pidfd" if asked for by name. On < 0 nothing has changed: the child is still yours to wait for.
 */
EDDY_API int eddy_loop_add_child(struct eddy_loop *loop, struct eddy_child *c, pid_t pid);

/* Whether the node was added. If so, its fn will not be called, and the child is yours to wait for:
 * it becomes a zombie otherwise. (asyncio: remove_child_handler) */
EDDY_API bool eddy_child_remove(struct eddy_child *c);

/* Sends a signal to the child, which can reach no other process: once the child has been reaped, or
 * the node is not added for another reason, nothing happens, and the result is 0 (contract U21,
 * U22). Signal 0 only asks. -EINVAL: no such signal; -EPERM: it runs as another user. (asyncio:
 * send_signal) */
EDDY_API int eddy_child_kill(struct eddy_child *c, int signum);

#ifdef __cplusplus
}
#endif
#endif
