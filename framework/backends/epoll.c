#include "framework/backends/selectors.h"
#include "framework/base/alloc.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As many as are taken in one wait: more come with the next, as the kernel moves what it has
 * reported to the end of its list. */
#define EVENTS_MAX 512

struct epoll_selector {
    struct eddy_selector selector;
    int epfd;
    bool has_pwait2; /* since Linux 5.11: time-outs finer than milliseconds */
    struct epoll_event events[EVENTS_MAX];
};

static struct epoll_selector *epoll_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct epoll_selector, selector);
}

/* By number: a C library may be older than the kernel. Not restarted after a signal. */
static int pwait2(struct epoll_selector *e, int max, eddy_nsec timeout)
{
#ifdef SYS_epoll_pwait2
    struct timespec rel = eddy_wait_timespec(timeout);
    struct {
        int64_t sec, nsec; /* the kernel's layout, also where long has 32 bits */
    } ts = {rel.tv_sec, rel.tv_nsec};

    return (int)syscall(SYS_epoll_pwait2, e->epfd, e->events, max, &ts, NULL, (size_t)0);
#else
    (void)e, (void)max, (void)timeout;
    errno = ENOSYS;
    return -1;
#endif
}

static int epoll_open(struct eddy_sys *sys, struct eddy_selector **ret)
{
    struct epoll_selector *e = eddy_alloc(sizeof(*e));

    (void)sys;
    if (e == NULL)
        return -ENOMEM;
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (e->epfd < 0) {
        int r = -errno;

        eddy_free(e);
        return r;
    }
    e->selector = (struct eddy_selector){.cls = &eddy_epoll_selector};
    e->has_pwait2 = pwait2(e, 1, 0) == 0;
    *ret = &e->selector;
    return 0;
}

static void epoll_selector_close(struct eddy_selector *s)
{
    struct epoll_selector *e = epoll_of(s);

    if (e->epfd >= 0)
        close(e->epfd);
}

static void epoll_free(struct eddy_selector *s)
{
    eddy_free(epoll_of(s));
}

static int epoll_forked(struct eddy_selector *s)
{
    struct epoll_selector *e = epoll_of(s);

    if (e->epfd >= 0)
        close(e->epfd);
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    return e->epfd < 0 ? -errno : 0;
}

static int epoll_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                     unsigned now)
{
    struct epoll_selector *e = epoll_of(s);
    struct epoll_event event = {.data.u64 = cookie};
    int op = old != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if ((now & EDDY_READ) != 0)
        event.events |= EPOLLIN;
    if ((now & EDDY_WRITE) != 0)
        event.events |= EPOLLOUT;
    if (now == 0) {
        /* Fails if the descriptor was closed before: then it is out already. */
        (void)epoll_ctl(e->epfd, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    if (epoll_ctl(e->epfd, op, fd, &event) == 0)
        return 0;
    /* Closed and opened anew behind our back, the number stands for another file. */
    if (op == EPOLL_CTL_MOD && errno == ENOENT)
        op = EPOLL_CTL_ADD;
    else if (op == EPOLL_CTL_ADD && errno == EEXIST)
        op = EPOLL_CTL_MOD;
    else
        return -errno;
    return epoll_ctl(e->epfd, op, fd, &event) < 0 ? -errno : 0;
}

static int wait_events(struct epoll_selector *e, eddy_nsec timeout, int max)
{
    if (e->has_pwait2 && timeout > 0 && timeout != EDDY_FOREVER)
        return pwait2(e, max, timeout);
    return epoll_wait(e->epfd, e->events, max, eddy_wait_msec(timeout));
}

static unsigned bits_of(uint32_t ready)
{
    unsigned bits = 0;

    if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        bits |= EDDY_READ;
    if ((ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        bits |= EDDY_WRITE;
    return bits;
}

static int epoll_selector_wait(struct eddy_selector *s, eddy_nsec timeout,
                               struct eddy_selector_event *events, int max)
{
    struct epoll_selector *e = epoll_of(s);
    int n = wait_events(e, timeout, max < EVENTS_MAX ? max : EVENTS_MAX);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t ready = e->events[i].events;

        events[i].cookie = e->events[i].data.u64;
        events[i].events = ready == EPOLLIN ? (unsigned)EDDY_READ : bits_of(ready);
    }
    return n;
}

static eddy_fd epoll_fileno(struct eddy_selector *s)
{
    return epoll_of(s)->epfd;
}

const struct eddy_selector_class eddy_epoll_selector = {
    .name = "epoll",
    .abi_size = sizeof(struct eddy_selector_class),
    .open = epoll_open,
    .close = epoll_selector_close,
    .free = epoll_free,
    .forked = epoll_forked,
    .set = epoll_set,
    .wait = epoll_selector_wait,
    .fileno = epoll_fileno,
};
