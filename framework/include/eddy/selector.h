/*
 * Readiness: a selector tells which descriptors can be read or written. Two calls are enough for
 * one of your own: `set` and `wait`. The reactor (backend.h) makes a loop's backend out of it.
 */
#ifndef EDDY_SELECTOR_H
#define EDDY_SELECTOR_H

#include <eddy/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int eddy_fd;

enum {
    EDDY_READ = 1,
    EDDY_WRITE = 2,
};

struct eddy_selector;
struct eddy_sys;

struct eddy_selector_event {
    uint64_t cookie; /* as given to `set` */
    /* EDDY_READ | EDDY_WRITE: those registered that are ready. On hang-up and error a selector that
     * does not know (epoll) sets both: mask them with what you registered. */
    unsigned events;
};

struct eddy_selector_class {
    const char *name;
    uint32_t abi_size; /* sizeof(struct eddy_selector_class) */

    /* Makes a selector, or fails with the reason why this one cannot work here (a kernel without
     * it, a filter that forbids it): it must try, not assume. */
    int (*open)(struct eddy_sys *sys, struct eddy_selector **ret);

    /* Releases the system's object and the selector. */
    void (*close)(struct eddy_selector *s);

    /* After fork, in the child: drop the inherited kernel object without altering it (an
     * EPOLL_CTL_DEL would act on the parent's), and start anew, empty. NULL: nothing to do. */
    int (*forked)(struct eddy_selector *s);

    /* Whether `fd` could be registered at all: 0, or -EINVAL (select: FD_SETSIZE). NULL: any. */
    int (*fits)(struct eddy_selector *s, eddy_fd fd);

    /* Interest in fd goes from mask `old` to mask `now`; 0 is not registered, so `now == 0` removes
     * (never leaves an empty mask: epoll reports hang-ups on those for ever). Removing cannot fail,
     * also if the descriptor was closed behind the selector's back. Errors: -errno, and the
     * registration is what it was. */
    int (*set)(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old, unsigned now);

    /* Waits until something is ready, at most `timeout` (EDDY_FOREVER: no limit; <= 0: just looks;
     * rounded up to the system's tick) and returns how many events it has written, 0 on time-out
     * or signal, or a negative code. Level-triggered; hang-up and error count as all registered
     * bits; one event per descriptor. If more than `max` are ready the next call begins with the
     * rest. */
    int (*wait)(struct eddy_selector *s, eddy_nsec timeout, struct eddy_selector_event *events,
                int max);

    /* The system's descriptor that becomes readable when something is ready, for embedding in
     * another loop. NULL: there is none. */
    eddy_fd (*fileno)(struct eddy_selector *s);
};

/* Embed first and extend. */
struct eddy_selector {
    const struct eddy_selector_class *cls;
};

#ifdef __cplusplus
}
#endif
#endif
