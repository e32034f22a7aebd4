#include "framework/backends/selectors.h"
#include "framework/base/alloc.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

/* The registered descriptors lie packed in `fds`, with their cookies beside them; `slots` tells
 * where. */
struct poll_selector {
    struct eddy_selector selector;
    struct pollfd *fds;
    uint64_t *cookies;
    int len, room; /* of both */
    int *slots;    /* by descriptor: index into fds, or -1 */
    int slots_len;
    int first; /* where the next wait begins to look, so that those at the front cannot starve the
                  rest */
};

static struct poll_selector *poll_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct poll_selector, selector);
}

static int poll_open(struct eddy_sys *sys, struct eddy_selector **ret)
{
    struct poll_selector *p = eddy_zalloc(sizeof(*p));

    (void)sys;
    if (p == NULL)
        return -ENOMEM;
    p->selector.cls = &eddy_poll_selector;
    *ret = &p->selector;
    return 0;
}

static void poll_free(struct eddy_selector *s)
{
    struct poll_selector *p = poll_of(s);

    eddy_free(p->fds);
    eddy_free(p->cookies);
    eddy_free(p->slots);
    eddy_free(p);
}

/* Nothing of the kernel's is inherited; only the registrations are dropped. */
static int poll_forked(struct eddy_selector *s)
{
    struct poll_selector *p = poll_of(s);

    for (int i = 0; i < p->len; i++)
        p->slots[p->fds[i].fd] = -1;
    p->len = p->first = 0;
    return 0;
}

static int slot_of(const struct poll_selector *p, eddy_fd fd)
{
    return fd >= 0 && fd < p->slots_len ? p->slots[fd] : -1;
}

static int make_room(struct poll_selector *p, eddy_fd fd)
{
    if (fd >= p->slots_len) {
        if (fcntl(fd, F_GETFD) < 0) /* a wild number must not cost the memory of all below it */
            return -errno;
        int len = fd < INT_MAX / 2 ? (fd < 32 ? 64 : fd * 2) : INT_MAX;
        int *slots = eddy_realloc(p->slots, (size_t)len * sizeof(*slots));

        if (slots == NULL)
            return -ENOMEM;
        memset(slots + p->slots_len, 0xff, (size_t)(len - p->slots_len) * sizeof(*slots));
        p->slots = slots;
        p->slots_len = len;
    }
    if (p->len == p->room) {
        int room = p->room != 0 ? p->room * 2 : 32;
        struct pollfd *fds = eddy_realloc(p->fds, (size_t)room * sizeof(*fds));
        uint64_t *cookies;

        if (fds == NULL)
            return -ENOMEM;
        p->fds = fds;
        cookies = eddy_realloc(p->cookies, (size_t)room * sizeof(*cookies));
        if (cookies == NULL)
            return -ENOMEM;
        p->cookies = cookies;
        p->room = room;
    }
    return 0;
}

static void poll_remove(struct poll_selector *p, int slot)
{
    int last = --p->len;

    p->slots[p->fds[slot].fd] = -1;
    if (slot != last) {
        p->fds[slot] = p->fds[last];
        p->cookies[slot] = p->cookies[last];
        p->slots[p->fds[slot].fd] = slot;
    }
}

static int poll_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                    unsigned now)
{
    struct poll_selector *p = poll_of(s);
    int slot = slot_of(p, fd);

    (void)old; /* the table knows, also if the number was used anew behind our back */
    if (now == 0) {
        if (slot >= 0)
            poll_remove(p, slot);
        return 0;
    }
    if (fd < 0)
        return -EBADF;
    if (slot < 0) {
        int r = make_room(p, fd);

        if (r < 0)
            return r;
        slot = p->len++;
        p->slots[fd] = slot;
    }
    p->fds[slot] = (struct pollfd){.fd = fd};
    if ((now & EDDY_READ) != 0)
        p->fds[slot].events |= POLLIN;
    if ((now & EDDY_WRITE) != 0)
        p->fds[slot].events |= POLLOUT;
    p->cookies[slot] = cookie;
    return 0;
}

static unsigned ready_events(const struct pollfd *pfd)
{
    unsigned registered = 0, ready = 0;

    if ((pfd->events & POLLIN) != 0)
        registered |= EDDY_READ;
    if ((pfd->events & POLLOUT) != 0)
        registered |= EDDY_WRITE;
    /* POLLNVAL is a descriptor closed behind our back: its owner finds out when it uses it. */
    if ((pfd->revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
        return registered;
    if ((pfd->revents & POLLIN) != 0)
        ready |= EDDY_READ;
    if ((pfd->revents & POLLOUT) != 0)
        ready |= EDDY_WRITE;
    return ready & registered;
}

static int poll_fds(struct poll_selector *p, eddy_nsec timeout)
{
#ifdef __APPLE__ /* has no ppoll */
    return poll(p->fds, (nfds_t)p->len, eddy_wait_msec(timeout));
#else
    struct timespec ts = eddy_wait_timespec(timeout);

    return ppoll(p->fds, (nfds_t)p->len, timeout == EDDY_FOREVER ? NULL : &ts, NULL);
#endif
}

static int poll_wait(struct eddy_selector *s, eddy_nsec timeout, struct eddy_selector_event *events,
                     int max)
{
    struct poll_selector *p = poll_of(s);
    int left = poll_fds(p, timeout);
    int slot = p->first < p->len ? p->first : 0;
    int n = 0;

    if (left < 0)
        return errno == EINTR ? 0 : -errno;
    while (left > 0 && n < max) {
        if (p->fds[slot].revents != 0) {
            unsigned ready = ready_events(&p->fds[slot]);

            if (ready != 0)
                events[n++] =
                    (struct eddy_selector_event){.cookie = p->cookies[slot], .events = ready};
            left--;
        }
        slot = slot + 1 < p->len ? slot + 1 : 0;
    }
    p->first = left > 0 ? slot : 0;
    return n;
}

const struct eddy_selector_class eddy_poll_selector = {
    .name = "poll",
    .abi_size = sizeof(struct eddy_selector_class),
    .open = poll_open,
    .free = poll_free,
    .forked = poll_forked,
    .set = poll_set,
    .wait = poll_wait,
};
