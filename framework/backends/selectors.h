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
