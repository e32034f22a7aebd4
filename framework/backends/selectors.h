/* The selectors that come with Eddy, and what they share. */
#ifndef EDDY_BACKENDS_SELECTORS_H
#define EDDY_BACKENDS_SELECTORS_H

#include <eddy/selector.h>
#include <time.h>

extern const struct eddy_selector_class eddy_select_selector;
extern const struct eddy_selector_class eddy_poll_selector;
#ifdef __linux__
extern const struct eddy_selector_class eddy_epoll_selector;
#endif

/* The selectors of this build, best first; NULL when i is past the last. In backend.c. */
const struct eddy_selector_class *eddy_selector_builtin(unsigned i);

/* Why a backend of that name, which exists, is none of this build; NULL: there is no reason. In
 * backend.c. */
const char *eddy_backend_why_not(const char *name);

/* A loop takes a selector of the user's: from here on register and its like are refused. -EINVAL:
 * something is registered in it; EDDY_ECLOSED; EDDY_EINVALID_STATE: another loop has it. */
int eddy_selector_take(struct eddy_selector *s);
/* The loop could not be made: the selector is the user's again. */
void eddy_selector_give_back(struct eddy_selector *s);

/* ---- the map, for selector.c ---- */

struct eddy_selector_entry_ {
    struct eddy_selector_key key; /* events 0: not registered */
    uint32_t generation;          /* tells registrations of one number apart */
};

/* NULL: nothing is registered. */
struct eddy_selector_entry_ *eddy_selector_map_find(const struct eddy_selector_map *map,
                                                    eddy_fd fd);
/* Room for fd, which is not registered; NULL: no memory. */
struct eddy_selector_entry_ *eddy_selector_map_reserve(struct eddy_selector_map *map, eddy_fd fd);
void eddy_selector_map_clear(struct eddy_selector_map *map);

/* ---- time-outs ---- */

/* Systems differ in how long a wait they accept; the caller comes back anyway. */
#define EDDY_LONGEST_WAIT EDDY_SEC(24 * 60 * 60)

/* A finite time-out as the system wants it. */
static inline struct timespec eddy_wait_timespec(eddy_nsec timeout)
{
    if (timeout < 0)
        timeout = 0;
    if (timeout > EDDY_LONGEST_WAIT)
        timeout = EDDY_LONGEST_WAIT;
    return (struct timespec){.tv_sec = (time_t)(timeout / EDDY_SEC(1)),
                             .tv_nsec = (long)(timeout % EDDY_SEC(1))};
}

/* The same in milliseconds, rounded up: never early; -1 for EDDY_FOREVER. */
static inline int eddy_wait_msec(eddy_nsec timeout)
{
    if (timeout == EDDY_FOREVER)
        return -1;
    if (timeout <= 0)
        return 0;
    if (timeout > EDDY_LONGEST_WAIT)
        timeout = EDDY_LONGEST_WAIT;
    return (int)((timeout + EDDY_MSEC(1) - 1) / EDDY_MSEC(1));
}

#endif
