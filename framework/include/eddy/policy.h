/*
 * Policies: what eddy_get_event_loop answers where no loop runs, and what kind of loop a program
 * gets that asks for one without naming it. There is one policy in a process; the default one makes
 * loops on the best backend. (asyncio: AbstractEventLoopPolicy; contract P1-P11.)
 *
 * Every thread has a current loop of its own, or none, and each policy keeps its own: who installs
 * another policy finds no current loop, and finds the old one again by installing the old policy.
 */
#ifndef EDDY_POLICY_H
#define EDDY_POLICY_H

#include <eddy/base.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_policy;

/* Each slot may be called in any thread, in several at once. A NULL slot does what the default
 * policy does, so that a policy with another kind of loop fills in new_event_loop alone. */
struct eddy_policy_class {
    size_t abi_size;
    const char *name;

    /* Called by eddy_get_event_loop outside a run. On success *ret is a loop that stays good while
     * it is current here. The default's answer is this thread's current loop; in the main thread,
     * as long as set_event_loop was not called there, it first makes one by new_event_loop and
     * makes it current by set_event_loop (contract P5); else EDDY_ENO_LOOP (P6). */
    int (*get_event_loop)(struct eddy_policy *p, struct eddy_loop **ret);

    /* Called by eddy_set_event_loop. `loop` is borrowed, and may be NULL. */
    int (*set_event_loop)(struct eddy_policy *p, struct eddy_loop *loop);

    /* Makes a loop; the caller gets the reference. The default calls eddy_loop_new without options.
     */
    int (*new_event_loop)(struct eddy_policy *p, struct eddy_loop **ret);

    void (*reserved[4])(void); /* for child watchers */
};

/* For the start of a class:
 *
 *     static const struct eddy_policy_class mine = {
 *         EDDY_POLICY_CLASS("mine"),
 *         .new_event_loop = mine_new_event_loop,
 *     };
 *     static struct eddy_policy policy = {.cls = &mine};
 */
#define EDDY_POLICY_CLASS(class_name) \
    .abi_size = sizeof(struct eddy_policy_class), .name = (class_name)

/* Embed and extend; zeroed but for the class. Yours: it must stay where it is until another one is
 * installed and no thread is inside a call to it; static storage is usual. A current loop that it
 * still keeps for some thread then is let go when that thread ends. */
struct eddy_policy {
    const struct eddy_policy_class *cls;
    uint64_t id_;
    uint64_t set_in_;
    void *reserved_[2];
};

/* [any thread] The policy of the process; never NULL. */
EDDY_API struct eddy_policy *eddy_get_event_loop_policy(void);

/* [any thread] Installs a policy, which stays yours; NULL: the default one again. -EINVAL: it has
 * no class, or a class without its size; -E2BIG: its class is of a later version. */
EDDY_API int eddy_set_event_loop_policy(struct eddy_policy *p);

/* The slots of the default policy, none of them NULL: what a slot of yours calls to do what it
 * overrides. */
EDDY_API const struct eddy_policy_class *eddy_default_policy_class(void);

/* The loop that runs in this thread; outside a run, the policy's answer. Borrowed: good while it
 * runs or is current. -EINVAL: ret is NULL; EDDY_ENO_LOOP: there is none, and none is made, since
 * this is not the main thread or eddy_set_event_loop has been called in it. Where the default makes
 * one: what eddy_new_event_loop and eddy_set_event_loop return.
 *
 * A child of fork has no current loop: the thread that forked is its main thread, which gets a loop
 * of its own here. The parent's stays in memory for those who still have a pointer to it, until
 * eddy_set_event_loop or the end of the thread (contract L72). */
EDDY_API int eddy_get_event_loop(struct eddy_loop **ret);

/* Makes `loop` this thread's current one; NULL: it has none. Takes a reference, and drops that of
 * the loop that was current, without closing it: close a loop before it loses its last reference.
 * So does the end of a thread; the main thread's loop outlives main. -ENOMEM and -EAGAIN (no
 * thread-specific key is left): nothing has changed; never with NULL. */
EDDY_API int eddy_set_event_loop(struct eddy_loop *loop);

/* Makes a loop of the policy's kind, and does not make it current; the caller gets one reference.
 * -EINVAL: ret is NULL; else what the policy returns: the default, what eddy_loop_new does, and it
 * logs the reason. [any thread] */
EDDY_API int eddy_new_event_loop(struct eddy_loop **ret);

/* ---- a policy by the name of a backend ---- */

/* Makes loops of one backend, and is the default policy in everything else. */
struct eddy_backend_policy {
    struct eddy_policy base;
    const char *backend_;
};

/* Prepares `p`; install it with eddy_set_event_loop_policy(&p->base). `name` is what .backend of
 * eddy_loop_opts may be, and is not copied: use a literal. Tries by opening such a backend: -EINVAL
 * for an unknown name or NULL, EDDY_ENOT_SUPPORTED for what this system lacks or forbids, -ENOMEM,
 * -EMFILE or another -errno; `error` (may be NULL) then has the reason, and *p is untouched. What
 * changes afterwards is an error of eddy_new_event_loop. [any thread] */
EDDY_API int eddy_backend_policy_init(struct eddy_backend_policy *p, const char *name,
                                      struct eddy_error *error);

#ifdef __cplusplus
}
#endif
#endif
