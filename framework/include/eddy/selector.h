/*
 * Readiness: a selector tells which descriptors can be read or written.
 *
 * Use one on its own, as Python's `selectors` module (contract P12-P27): register descriptors with
 * data of yours, and select. Or give one to a loop (eddy_loop_opts.selector), which then owns it.
 *
 *     struct eddy_selector *s;
 *     struct eddy_selector_ready ready[16];
 *     int n;
 *
 *     eddy_selector_new(NULL, NULL, &s);
 *     eddy_selector_register(s, 0, EDDY_READ, data, NULL);
 *     eddy_selector_select(s, EDDY_FOREVER, 16, ready, &n);
 *     for (int i = 0; i < n; i++)
 *         use(ready[i].key.data, ready[i].events);
 *     eddy_selector_free(s);
 *
 * A class of one's own needs two calls: `set` and `wait`. All the rest, the map of what is
 * registered too, stands above them, so every class has it.
 *
 * A selector belongs to one thread at a time. None of these functions calls back into user code but
 * for the slots of a class. Descriptors are borrowed: unregister, then close. After fork the child
 * may free an inherited selector and nothing else (a loop has eddy_loop_forked).
 */
#ifndef EDDY_SELECTOR_H
#define EDDY_SELECTOR_H

#include <eddy/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int eddy_fd;

/* (asyncio: selectors.EVENT_READ, EVENT_WRITE) */
enum {
    EDDY_READ = 1,
    EDDY_WRITE = 2,
};

struct eddy_selector;
struct eddy_sys;

/* ---- classes ---- */

struct eddy_selector_event {
    uint64_t cookie; /* as given to `set` */
    /* EDDY_READ | EDDY_WRITE: those registered that are ready. On hang-up and error a selector that
     * does not know (epoll) sets both: mask them with what you registered. */
    unsigned events;
};

/* What an author writes. Who drives a selector, the calls below or a loop, keeps account of what is
 * registered, so `old` can be trusted. */
struct eddy_selector_class {
    const char *name;
    uint32_t abi_size; /* sizeof(struct eddy_selector_class) */

    /* Makes a selector, or fails with the reason why this one cannot work here (a kernel without
     * it, a filter that forbids it): it must try, not assume. Its descriptors are close-on-exec. */
    int (*open)(struct eddy_sys *sys, struct eddy_selector **ret);

    /* Releases the system's object. Called once, then nothing but `free`. NULL: there is none. */
    void (*close)(struct eddy_selector *s);

    /* Frees the selector itself, after `close`. NULL: its memory is somebody else's. */
    void (*free)(struct eddy_selector *s);

    /* After fork, in the child: drop the inherited kernel object without altering it (an
     * EPOLL_CTL_DEL would act on the parent's), and start anew, empty. NULL: nothing to do. */
    int (*forked)(struct eddy_selector *s);

    /* Whether `fd` could be registered at all: 0, or -EINVAL (select: FD_SETSIZE), which `set`
     * returns as well then. NULL: any. */
    int (*fits)(struct eddy_selector *s, eddy_fd fd);

    /* Interest in fd goes from mask `old` to mask `now`; 0 is not registered, so `now == 0` removes
     * (never leaves an empty mask: epoll reports hang-ups on those for ever). Removing cannot fail,
     * also if the descriptor was closed behind the selector's back. Errors: -errno, and the
     * registration is what it was. */
    int (*set)(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old, unsigned now);

    /* Waits until something is ready, at most `timeout` (EDDY_FOREVER: no limit; <= 0: just looks;
     * rounded up to the system's tick) and returns how many events it has written, 0 on time-out
     * or signal, or a negative code. Level-triggered; hang-up and error count as all registered
     * bits; one event per descriptor. If more than `max` (at least 1) are ready the next call
     * begins with the rest. */
    int (*wait)(struct eddy_selector *s, eddy_nsec timeout, struct eddy_selector_event *events,
                int max);

    /* The system's descriptor that becomes readable when something is ready, for embedding in
     * another loop. NULL: there is none. */
    eddy_fd (*fileno)(struct eddy_selector *s);
};

/* ---- selectors on their own ---- */

/* What is registered for a descriptor. (asyncio: selectors.SelectorKey) */
struct eddy_selector_key {
    eddy_fd fd;
    unsigned events; /* EDDY_READ, EDDY_WRITE or both */
    void *data;      /* yours */
};

/* One descriptor of a result: a copy of its key, and which of key.events are ready. */
struct eddy_selector_ready {
    struct eddy_selector_key key;
    unsigned events;
};

/* What is registered, by descriptor. To be looked at by eddy_selector_map_*. */
struct eddy_selector_map {
    struct eddy_selector_entry_ **chunks_;
    int room_;
    int size_;
};

/* Authors embed it first and extend it; `open` zeroes it and sets `cls`. */
struct eddy_selector {
    const struct eddy_selector_class *cls;
    struct eddy_sys *sys; /* whose clock time-outs go by; NULL: the system's */
    struct eddy_selector_map map_;
    uint32_t generation_;
    int state_;
    void *reserved_[4];
};

/* The most descriptors that one eddy_selector_select gives. */
#define EDDY_SELECT_MAX 256

/* Makes a selector: "epoll", "poll" or "select"; NULL or "default": the best that works here, found
 * by trying (contract P25). (The environment's EDDY_BACKEND is for loops and changes nothing here.)
 * Free it with eddy_selector_free. -EINVAL: no such name; EDDY_ENOT_SUPPORTED: this system has no
 * such thing ("kqueue", "devpoll", "epoll"); -ENOMEM, -EMFILE, or another -errno of a kernel that
 * refuses it. `error` may be NULL; a failing call leaves the reason there. A selector of another
 * class is made by its author's function, or by its `open`. [any thread] (asyncio:
 * selectors.DefaultSelector, EpollSelector, PollSelector, SelectSelector) */
EDDY_API int eddy_selector_new(const char *name, struct eddy_error *error,
                               struct eddy_selector **ret);

/* Releases the system's object and forgets what is registered; the descriptors stay open. From here
 * on calls return EDDY_ECLOSED. Nothing happens if it is closed already, or a loop's, or NULL.
 * (Contract P23; asyncio: BaseSelector.close) */
EDDY_API void eddy_selector_close(struct eddy_selector *s);

/* Closes and frees it. Not for one that a loop owns: the loop does that when it is closed. NULL is
 * fine. */
EDDY_API void eddy_selector_free(struct eddy_selector *s);

/* All calls below return EDDY_EINVALID_STATE for a selector that a loop owns, and EDDY_ECLOSED for
 * one that is closed. In each `ret_key` may be NULL. */

/* Registers fd for `events`, with data that the results bring back; *ret_key is its key. A failing
 * call changes nothing: -EINVAL: a negative descriptor, no event or an unknown one; for "select"
 * also descriptors from FD_SETSIZE on; -EEXIST: registered already; -ENOMEM; another -errno: the
 * system refuses it, as epoll does with closed descriptors (-EBADF) and files (-EPERM); poll and
 * select may take a closed one and report it as ready. (Contract P12, P13, P22; asyncio:
 * BaseSelector.register) */
EDDY_API int eddy_selector_register(struct eddy_selector *s, eddy_fd fd, unsigned events,
                                    void *data, struct eddy_selector_key *ret_key);

/* Changes events and data; *ret_key is the new key. The system is not asked if the events stay the
 * same. EDDY_ENOT_REGISTERED; -EINVAL as above. Any other error is the system's, and then the
 * descriptor is not registered any more. (Contract P15; asyncio: BaseSelector.modify) */
EDDY_API int eddy_selector_modify(struct eddy_selector *s, eddy_fd fd, unsigned events, void *data,
                                  struct eddy_selector_key *ret_key);

/* *ret_key is the key that fd had. EDDY_ENOT_REGISTERED. A descriptor that was closed meanwhile is
 * unregistered as any other. (Contract P14; asyncio: BaseSelector.unregister) */
EDDY_API int eddy_selector_unregister(struct eddy_selector *s, eddy_fd fd,
                                      struct eddy_selector_key *ret_key);

/* Waits until something registered is ready, at most `timeout` (EDDY_FOREVER: no limit; <= 0: just
 * looks; never early), and copies up to `max` results to ret_ready, each descriptor once, and their
 * number to *ret_count: 0 if time is up. Hang-up and error count as all events registered. If more
 * are ready than `max`, or EDDY_SELECT_MAX, the next call begins with the rest. A signal does not
 * end it: let the handler write to a pipe that is registered. The array is yours: whatever is
 * registered, modified or unregistered while you walk it, it stays as it is, so look by
 * eddy_selector_get_key whether a key that may have gone meanwhile is still current. -EINVAL: `max`
 * below 1; else what the selector's wait failed with. (Contract P17-P21; asyncio:
 * BaseSelector.select) */
EDDY_API int eddy_selector_select(struct eddy_selector *s, eddy_nsec timeout, int max,
                                  struct eddy_selector_ready *ret_ready, int *ret_count);

/* The key of fd; EDDY_ENOT_REGISTERED. (Contract P16; asyncio: BaseSelector.get_key) */
EDDY_API int eddy_selector_get_key(const struct eddy_selector *s, eddy_fd fd,
                                   struct eddy_selector_key *ret_key);

/* A view of all that is registered, which changes with it; part of the selector. NULL after close.
 * (Contract P16; asyncio: BaseSelector.get_map) */
EDDY_API const struct eddy_selector_map *eddy_selector_get_map(const struct eddy_selector *s);

/* How many descriptors are registered. 0 for NULL. */
EDDY_API size_t eddy_selector_map_size(const struct eddy_selector_map *map);
/* Whether fd is in it; then *ret_key, which may be NULL, is its key. False for NULL. */
EDDY_API bool eddy_selector_map_get(const struct eddy_selector_map *map, eddy_fd fd,
                                    struct eddy_selector_key *ret_key);
/* Steps from the descriptor key->fd to the next larger one; false, and *key as it was, after the
 * last, or for NULL. The selector may be changed between two steps.
 *     for (struct eddy_selector_key key = {.fd = -1}; eddy_selector_map_next(map, &key);) */
EDDY_API bool eddy_selector_map_next(const struct eddy_selector_map *map,
                                     struct eddy_selector_key *key);

/* The descriptor that becomes readable when something is ready, to be waited for elsewhere; the
 * selector's. EDDY_ENOT_SUPPORTED on select and poll. Also for one that a loop owns. (Contract P24;
 * asyncio: fileno) */
EDDY_API int eddy_selector_fileno(struct eddy_selector *s);

/* "epoll", or whatever its class is called. Also for one that a loop owns, or that is closed. */
EDDY_API const char *eddy_selector_name(const struct eddy_selector *s);

#ifdef __cplusplus
}
#endif
#endif
