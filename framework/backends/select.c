#include "framework/backends/selectors.h"
#include "framework/base/alloc.h"

#include <fcntl.h>
#include <sys/select.h>

/* One thing select cannot tell: that the other end has hung up, to one who only wants to write and
 * whose buffer is full. It happens on unix sockets alone, when the peer shuts down, reads nothing,
 * and does not close either. */
struct select_selector {
    struct eddy_selector selector;
    fd_set read, write; /* registered */
    int end;            /* one past the highest registered descriptor */
    int first;          /* where the next wait begins to look: see poll.c */
    uint64_t cookies[FD_SETSIZE];
};

static struct select_selector *select_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct select_selector, selector);
}

static int select_open(struct eddy_sys *sys, struct eddy_selector **ret)
{
    struct select_selector *p = eddy_alloc(sizeof(*p));

    (void)sys;
    if (p == NULL)
        return -ENOMEM;
    p->selector = (struct eddy_selector){.cls = &eddy_select_selector};
    FD_ZERO(&p->read);
    FD_ZERO(&p->write);
    p->end = p->first = 0;
    *ret = &p->selector;
    return 0;
}

static void select_free(struct eddy_selector *s)
{
    eddy_free(select_of(s));
}

/* Nothing of the kernel's is inherited; only the registrations are dropped. */
static int select_forked(struct eddy_selector *s)
{
    struct select_selector *p = select_of(s);

    FD_ZERO(&p->read);
    FD_ZERO(&p->write);
    p->end = p->first = 0;
    return 0;
}

static int select_fits(struct eddy_selector *s, eddy_fd fd)
{
    (void)s;
    return fd >= 0 && fd < FD_SETSIZE ? 0 : -EINVAL;
}

static unsigned registered(const struct select_selector *p, eddy_fd fd)
{
    return (FD_ISSET(fd, &p->read) ? EDDY_READ : 0u) | (FD_ISSET(fd, &p->write) ? EDDY_WRITE : 0u);
}

static int select_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                      unsigned now)
{
    struct select_selector *p = select_of(s);

    (void)old;
    if (select_fits(s, fd) < 0)
        return now == 0 ? 0 : -EINVAL;
    if ((now & EDDY_READ) != 0)
        FD_SET(fd, &p->read);
    else
        FD_CLR(fd, &p->read);
    if ((now & EDDY_WRITE) != 0)
        FD_SET(fd, &p->write);
    else
        FD_CLR(fd, &p->write);
    p->cookies[fd] = cookie;
    if (now != 0 && fd >= p->end)
        p->end = fd + 1;
    while (p->end > 0 && registered(p, p->end - 1) == 0)
        p->end--;
    return 0;
}

/* A descriptor closed behind our back fails the whole call. It is reported as ready instead, as
 * poll does, beside what is ready of the others: its owner finds out when it uses it. */
static int look_beside_closed(struct select_selector *p, fd_set *ret_read, fd_set *ret_write)
{
    const struct timespec now = {0, 0};
    fd_set closed;
    int r;

    FD_ZERO(&closed);
    *ret_read = p->read;
    *ret_write = p->write;
    for (int fd = 0; fd < p->end; fd++) {
        if (registered(p, fd) == 0 || fcntl(fd, F_GETFD) >= 0)
            continue;
        FD_SET(fd, &closed);
        FD_CLR(fd, ret_read);
        FD_CLR(fd, ret_write);
    }
    r = pselect(p->end, ret_read, ret_write, NULL, &now, NULL);
    if (r < 0)
        return r;
    for (int fd = 0; fd < p->end; fd++) {
        if (!FD_ISSET(fd, &closed))
            continue;
        if (FD_ISSET(fd, &p->read))
            FD_SET(fd, ret_read);
        if (FD_ISSET(fd, &p->write))
            FD_SET(fd, ret_write);
        r++;
    }
    return r;
}

static int select_wait(struct eddy_selector *s, eddy_nsec timeout,
                       struct eddy_selector_event *events, int max)
{
    struct select_selector *p = select_of(s);
    struct timespec ts = eddy_wait_timespec(timeout);
    fd_set read = p->read, write = p->write;
    int r = pselect(p->end, &read, &write, NULL, timeout == EDDY_FOREVER ? NULL : &ts, NULL);
    int fd = p->first < p->end ? p->first : 0;
    int n = 0;

    if (r < 0 && errno == EBADF)
        r = look_beside_closed(p, &read, &write);
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    if (r == 0)
        return 0;
    for (int i = 0; i < p->end && n < max; i++) {
        unsigned ready =
            (FD_ISSET(fd, &read) ? EDDY_READ : 0u) | (FD_ISSET(fd, &write) ? EDDY_WRITE : 0u);

        if (ready != 0)
            events[n++] = (struct eddy_selector_event){.cookie = p->cookies[fd], .events = ready};
        fd = fd + 1 < p->end ? fd + 1 : 0;
    }
    p->first = fd;
    return n;
}

const struct eddy_selector_class eddy_select_selector = {
    .name = "select",
    .abi_size = sizeof(struct eddy_selector_class),
    .open = select_open,
    .free = select_free,
    .forked = select_forked,
    .fits = select_fits,
    .set = select_set,
    .wait = select_wait,
};
