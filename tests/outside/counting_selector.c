/*
 * A stranger's selector, written with the public headers alone, over poll(2): the smallest that
 * passes selectors_alone.c and selectors_select.c of tests/contract. It counts its calls, and ends
 * the program if they are not those that eddy/selector.h promises to authors.
 *
 *     cc selectors_alone.c counting_selector.c $(pkg-config --cflags --libs eddy)
 */
#include <eddy/selector.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct eddy_selector_class *const extra_selectors[];

struct counting {
    struct eddy_selector selector;
    struct pollfd *fds;
    uint64_t *cookies;
    int len, room;
    int first; /* where the next wait begins to look, so that none starves */
    bool closed;
    unsigned long sets, waits;
};

static struct counting *counting_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct counting, selector);
}

static void promise(const struct counting *c, bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "counting selector, after %lu sets and %lu waits: %s\n", c->sets, c->waits,
            what);
    abort();
}

/* ---- the life ---- */

static const struct eddy_selector_class counting_class;

static int counting_open(struct eddy_sys *sys, struct eddy_selector **ret)
{
    struct counting *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -ENOMEM;
    c->selector.cls = &counting_class;
    c->selector.sys = sys;
    *ret = &c->selector;
    return 0;
}

static void counting_close(struct eddy_selector *s)
{
    struct counting *c = counting_of(s);

    promise(c, !c->closed, "close is called once");
    c->closed = true;
}

static void counting_free(struct eddy_selector *s)
{
    struct counting *c = counting_of(s);

    promise(c, c->closed, "free comes after close");
    free(c->fds);
    free(c->cookies);
    free(c);
}

static int counting_forked(struct eddy_selector *s)
{
    counting_of(s)->len = 0;
    return 0;
}

/* ---- the two calls ---- */

static int index_of(const struct counting *c, eddy_fd fd)
{
    for (int i = 0; i < c->len; i++) {
        if (c->fds[i].fd == fd)
            return i;
    }
    return -1;
}

static unsigned registered(const struct pollfd *p)
{
    return ((p->events & POLLIN) != 0 ? EDDY_READ : 0u) |
           ((p->events & POLLOUT) != 0 ? EDDY_WRITE : 0u);
}

static int grow(struct counting *c)
{
    int room = c->room * 2 + 8;
    struct pollfd *fds = realloc(c->fds, (size_t)room * sizeof *fds);

    if (fds == NULL)
        return -ENOMEM;
    c->fds = fds;
    uint64_t *cookies = realloc(c->cookies, (size_t)room * sizeof *cookies);
    if (cookies == NULL)
        return -ENOMEM;
    c->cookies = cookies;
    c->room = room;
    return 0;
}

static int counting_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                        unsigned now)
{
    struct counting *c = counting_of(s);
    int i = index_of(c, fd);

    c->sets++;
    promise(c, !c->closed, "set does not follow close");
    promise(c, old == (i >= 0 ? registered(&c->fds[i]) : 0), "`old` is what is registered");
    if (now == 0) {
        if (i >= 0) {
            c->fds[i] = c->fds[--c->len];
            c->cookies[i] = c->cookies[c->len];
        }
        return 0;
    }
    if (i < 0) {
        int rc = fcntl(fd, F_GETFD) < 0 ? -errno : 0;

        if (rc == 0 && c->len == c->room)
            rc = grow(c);
        if (rc < 0)
            return rc;
        i = c->len++;
    }
    c->fds[i].fd = fd;
    c->fds[i].events =
        (short)(((now & EDDY_READ) != 0 ? POLLIN : 0) | ((now & EDDY_WRITE) != 0 ? POLLOUT : 0));
    c->cookies[i] = cookie;
    return 0;
}

/* Rounded up: a wait is never early. One that is cut short is taken up again by who called. */
static int milliseconds(eddy_nsec timeout)
{
    if (timeout == EDDY_FOREVER)
        return -1;
    if (timeout <= 0)
        return 0;
    return timeout < EDDY_SEC(3600) ? (int)((timeout - 1) / EDDY_MSEC(1) + 1) : 3600 * 1000;
}

static int counting_wait(struct eddy_selector *s, eddy_nsec timeout,
                         struct eddy_selector_event *events, int max)
{
    struct counting *c = counting_of(s);
    int n = 0;

    c->waits++;
    promise(c, !c->closed, "wait does not follow close");
    promise(c, max > 0, "there is room for an event");
    if (poll(c->fds, (nfds_t)c->len, milliseconds(timeout)) < 0)
        return errno == EINTR ? 0 : -errno;
    int i = c->first < c->len ? c->first : 0;
    for (int seen = 0; seen < c->len && n < max; seen++) {
        unsigned ready = ((c->fds[i].revents & POLLIN) != 0 ? EDDY_READ : 0u) |
                         ((c->fds[i].revents & POLLOUT) != 0 ? EDDY_WRITE : 0u);

        if ((c->fds[i].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
            ready = registered(&c->fds[i]);
        if (ready != 0)
            events[n++] = (struct eddy_selector_event){c->cookies[i], ready};
        i = i + 1 < c->len ? i + 1 : 0;
    }
    c->first = i;
    return n;
}

static const struct eddy_selector_class counting_class = {
    .name = "counting",
    .abi_size = sizeof(struct eddy_selector_class),
    .open = counting_open,
    .close = counting_close,
    .free = counting_free,
    .forked = counting_forked,
    .set = counting_set,
    .wait = counting_wait,
};

const struct eddy_selector_class *const extra_selectors[] = {&counting_class, NULL};
