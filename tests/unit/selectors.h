/* What the tests of the selectors share. */
#ifndef TESTS_UNIT_SELECTORS_H
#define TESTS_UNIT_SELECTORS_H

#include "framework/backends/selectors.h"
#include "tests/support/test.h"
#include <eddy/backend.h>
#include <unistd.h>

#define BOTH ((unsigned)(EDDY_READ | EDDY_WRITE))

static const struct eddy_selector_class *const classes[] = {
    &eddy_select_selector,
    &eddy_poll_selector,
    &eddy_epoll_selector,
};

#define CLASSES (sizeof(classes) / sizeof(classes[0]))

static inline struct eddy_selector *open_selector(const struct eddy_selector_class *cls)
{
    struct eddy_selector *s = NULL;

    REQUIRE(cls->open(eddy_sys_posix(), &s) == 0);
    REQUIRE(s->cls == cls);
    CHECK_INT(cls->abi_size, sizeof(struct eddy_selector_class));
    return s;
}

#define FOR_EACH_SELECTOR(s)                                                  \
    for (struct eddy_selector **each_ = open_all(), *s; (s = *each_) != NULL; \
         each_++, eddy_selector_free(s))

/* One of each, ended by NULL; closed one by one as the loop above goes on. */
static inline struct eddy_selector **open_all(void)
{
    static struct eddy_selector *all[CLASSES + 1];

    for (size_t i = 0; i < CLASSES; i++)
        all[i] = open_selector(classes[i]);
    all[CLASSES] = NULL;
    return all;
}

static inline int set(struct eddy_selector *s, int fd, uint64_t cookie, unsigned old, unsigned now)
{
    return s->cls->set(s, fd, cookie, old, now);
}

static inline int wait_for(struct eddy_selector *s, eddy_nsec timeout,
                           struct eddy_selector_event *events, int max)
{
    return s->cls->wait(s, timeout, events, max);
}

static inline eddy_nsec now(void)
{
    return eddy_sys_posix()->cls->now(eddy_sys_posix());
}

/* That one wait without time brings the event of one descriptor, registered for `mask`, and no
 * other; 0: none. */
static inline void check_ready(struct eddy_selector *s, uint64_t cookie, unsigned mask,
                               unsigned expected, int line)
{
    struct eddy_selector_event events[8];
    int n = wait_for(s, 0, events, 8);
    unsigned got = n == 1 ? events[0].events & mask : 0;

    if (n != (expected != 0))
        test_fail(__FILE__, line, "%s: %d events", s->cls->name, n);
    else if (n == 1 && events[0].cookie != cookie)
        test_fail(__FILE__, line, "%s: another cookie", s->cls->name);
    else if (got != expected)
        test_fail(__FILE__, line, "%s: events %u, expected %u", s->cls->name, got, expected);
    else
        test_check(true, "ready", __FILE__, line);
}

#define CHECK_READY(s, cookie, mask, expected) check_ready(s, cookie, mask, expected, __LINE__)

static inline void fill(int fd)
{
    char bytes[4096] = {0};

    while (write(fd, bytes, sizeof(bytes)) > 0)
        continue;
    CHECK_INT(errno, EAGAIN);
}

static inline void close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

/* ---- time ---- */

static const eddy_nsec spans[] = {1, 999, EDDY_USEC(50), EDDY_MSEC(1) + 1, EDDY_USEC(2500)};

static inline void check_never_early(struct eddy_selector *s)
{
    struct eddy_selector_event event;

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        eddy_nsec start = now();
        int n = wait_for(s, spans[i], &event, 1);

        if (n != 0 || now() - start < spans[i])
            FAIL("%s: %d after %lld ns of %lld", s->cls->name, n, (long long)(now() - start),
                 (long long)spans[i]);
    }
}

#endif
