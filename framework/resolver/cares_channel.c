/* The channel: each of its sockets is a watch, its time-outs are one timer. */
#include "framework/resolver/cares.h"

#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include <poll.h>

/* Packets that are read before others have their turn. */
#define MOST_AT_ONCE 64

/* Each may be two questions, whose numbers have 16 bits: of these no more than half are used. */
#define MANY_REQUESTS 8192
#define MOST_REQUESTS 16384
#define MANY_FOR_NOBODY 1000

struct socket {
    struct eddy_watch watch;
    struct eddy_cares_channel *channel;
    struct eddy_link link;
    ares_socket_t fd;
    unsigned events;
};

static void settle_soon(struct eddy_cares_channel *ch)
{
    if (eddy_loop_is_open(ch->loop))
        eddy_loop_call_soon(ch->loop, &ch->settle);
}

/* ---- sockets ---- */

static struct socket *find_socket(struct eddy_cares_channel *ch, ares_socket_t fd)
{
    for (struct eddy_link *l = ch->sockets.next; l != &ch->sockets; l = l->next) {
        struct socket *s = EDDY_CONTAINER_OF(l, struct socket, link);

        if (s->fd == fd)
            return s;
    }
    return NULL;
}

/* Of what is there c-ares 1.18 reads one packet only, as the socket might block for all it knows.
 */
static void process(struct eddy_cares_channel *ch, ares_socket_t fd, unsigned events)
{
    int rounds = 0;

    do {
        ch->received = false;
        ares_process_fd(ch->ares, events & EDDY_READ ? fd : ARES_SOCKET_BAD,
                        events & EDDY_WRITE ? fd : ARES_SOCKET_BAD);
    } while (ch->received && ++rounds < MOST_AT_ONCE && find_socket(ch, fd));
    settle_soon(ch);
}

static void ready(struct eddy_watch *w, unsigned events)
{
    struct socket *s = EDDY_CONTAINER_OF(w, struct socket, watch);

    process(s->channel, s->fd, events); /* s may be gone */
}

static void free_socket(struct socket *s)
{
    eddy_watch_remove(&s->watch);
    eddy_link_remove(&s->link);
    eddy_free(s);
}

static int add_socket(struct eddy_cares_channel *ch, ares_socket_t fd, unsigned events)
{
    struct socket *s = eddy_zalloc(sizeof *s);

    if (!s)
        return -ENOMEM;
    s->watch.fn = ready;
    s->channel = ch;
    s->fd = fd;
    s->events = events;
    eddy_list_append(&ch->sockets, &s->link);
    int rc = eddy_loop_add_watch(ch->loop, &s->watch, fd, events);
    if (rc < 0)
        free_socket(s);
    return rc == -EINVAL ? -EMFILE : rc; /* select has no place for so high a number */
}

/* Comes before fd is closed, which may be opened again as another socket at once. */
static void socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct eddy_cares_channel *ch = user;
    struct socket *s = find_socket(ch, fd);
    unsigned events = (readable ? EDDY_READ : 0u) | (writable ? EDDY_WRITE : 0u);
    int rc = 0;

    if (!events) {
        if (s)
            free_socket(s);
    } else if (!s) {
        rc = add_socket(ch, fd, events);
    } else if (s->events != events) {
        rc = eddy_watch_modify(&s->watch, events);
        s->events = events;
    }
    if (rc < 0)
        ch->unwatched = rc; /* every call into c-ares is followed by settle() */
}

/* ---- time ---- */

static void time_is_up(struct eddy_timer *t)
{
    process(EDDY_CONTAINER_OF(t, struct eddy_cares_channel, timer), ARES_SOCKET_BAD, 0);
}

/* c-ares may round down, and would then be asked over and over for a millisecond. */
static eddy_nsec time_left(struct eddy_cares_channel *ch)
{
    struct timeval tv;

    if (!ares_timeout(ch->ares, NULL, &tv))
        return EDDY_FOREVER;
    return EDDY_SEC(tv.tv_sec) + EDDY_USEC(tv.tv_usec) + EDDY_MSEC(1);
}

/* ---- requests ---- */

struct eddy_cares_request *eddy_cares_ask(struct eddy_cares_channel *ch, struct eddy_query *q)
{
    struct eddy_cares_request *rq = eddy_zalloc(sizeof *rq);

    if (!rq)
        return NULL;
    rq->query = q;
    rq->channel = ch;
    ch->requests++;
    ch->awaited++;
    eddy_list_append(&ch->waiting, &rq->link);
    q->work = rq;
    settle_soon(ch);
    return rq;
}

static struct eddy_query *take_query(struct eddy_cares_request *rq)
{
    struct eddy_query *q = rq->query;

    if (q) {
        q->work = NULL;
        rq->channel->awaited--;
    }
    rq->query = NULL;
    eddy_link_remove(&rq->link);
    return q;
}

struct eddy_query *eddy_cares_answered(struct eddy_cares_request *rq)
{
    struct eddy_query *q = take_query(rq);

    rq->channel->requests--;
    eddy_free(rq);
    return q;
}

void eddy_cares_cut_loose(struct eddy_cares_request *rq)
{
    take_query(rq);
    settle_soon(rq->channel);
}

/* ---- the channel ---- */

/* Who waits for the socket that is not watched is not known. */
static void give_up(struct eddy_cares_channel *ch)
{
    while (!eddy_list_empty(&ch->waiting)) {
        struct eddy_link *l = ch->waiting.next;

        eddy_query_fail(take_query(EDDY_CONTAINER_OF(l, struct eddy_cares_request, link)),
                        ch->unwatched, 0, NULL);
    }
    ch->unwatched = 0;
}

/* Never inside c-ares. */
static void settle(struct eddy_cares_channel *ch)
{
    if (ch->unwatched)
        give_up(ch);
    if (ch->retired && !ch->awaited) {
        eddy_cares_free(ch);
        return;
    }
    if (ch->requests && !ch->awaited)
        ares_cancel(ch->ares); /* or what was given up would pile up */
    eddy_loop_call_later(ch->loop, &ch->timer, time_left(ch));
}

static void run_settle(struct eddy_handle *h)
{
    settle(EDDY_CONTAINER_OF(h, struct eddy_cares_channel, settle));
}

bool eddy_cares_is_worn(const struct eddy_cares_channel *ch)
{
    unsigned for_nobody = ch->requests - ch->awaited;

    return ch->requests >= MANY_REQUESTS ||
           (for_nobody > MANY_FOR_NOBODY && for_nobody > ch->awaited);
}

bool eddy_cares_is_full(const struct eddy_cares_channel *ch)
{
    return ch->requests >= MOST_REQUESTS;
}

/* The loop need not run: whoever waits here does not turn to it. */
void eddy_cares_retire(struct eddy_cares_channel *ch)
{
    ch->retired = true;
    if (!ch->awaited)
        eddy_cares_free(ch);
}

void eddy_cares_free(struct eddy_cares_channel *ch)
{
    eddy_handle_cancel(&ch->settle);
    eddy_timer_cancel(&ch->timer);
    eddy_link_remove(&ch->link);
    ares_destroy(ch->ares); /* the requests come back */
    while (!eddy_list_empty(&ch->sockets))
        free_socket(EDDY_CONTAINER_OF(ch->sockets.next, struct socket, link));
    eddy_free(ch);
}

static void set_options(const struct eddy_resolver_opts *opts, struct eddy_cares_channel *ch,
                        struct ares_options *o, int *mask)
{
    static char file_first[] = "fb";

    o->lookups = file_first;
    o->sock_state_cb = socket_state;
    o->sock_state_cb_data = ch;
    *mask = ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    if (opts->resolv_conf) {
        o->resolvconf_path = (char *)(uintptr_t)opts->resolv_conf; /* is copied */
        *mask |= ARES_OPT_RESOLVCONF;
    }
    if (opts->try_timeout) {
        eddy_nsec ms = (opts->try_timeout - 1) / EDDY_MSEC(1) + 1;
        o->timeout = ms < INT32_MAX ? (int)ms : INT32_MAX;
        *mask |= ARES_OPT_TIMEOUTMS;
    }
    if (opts->tries) {
        o->tries = opts->tries;
        *mask |= ARES_OPT_TRIES;
    }
#ifdef ARES_OPT_QUERY_CACHE
    o->qcache_max_ttl = 0; /* there is ours */
    *mask |= ARES_OPT_QUERY_CACHE;
#endif
}

static int open_ares(struct eddy_cares_channel *ch, const struct eddy_resolver_opts *opts,
                     struct eddy_error *error)
{
    struct ares_options o = {0};
    int mask;

    set_options(opts, ch, &o, &mask);
    int status = ares_init_options(&ch->ares, &o, mask);
    if (status != ARES_SUCCESS)
        return eddy_error_set(error, status == ARES_ENOMEM ? -ENOMEM : EDDY_EDNS, "resolve",
                              "c-ares: %s", ares_strerror(status));
    eddy_cares_use_sockets(ch);
    if (opts->servers && *opts->servers)
        status = ares_set_servers_ports_csv(ch->ares, opts->servers);
    if (status == ARES_SUCCESS)
        return 0;
    ares_destroy(ch->ares);
    return eddy_error_set(error, status == ARES_ENOMEM ? -ENOMEM : -EINVAL, "resolve",
                          ".servers \"%s\": %s", opts->servers, ares_strerror(status));
}

int eddy_cares_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                    struct eddy_error *error, struct eddy_cares_channel **ret)
{
    struct eddy_cares_channel *ch = eddy_zalloc(sizeof *ch);

    if (!ch)
        return eddy_error_set(error, -ENOMEM, "resolve", "no memory for c-ares");
    ch->loop = loop;
    eddy_list_init(&ch->sockets);
    eddy_list_init(&ch->waiting);
    ch->timer.fn = time_is_up;
    ch->settle.fn = run_settle;
    int rc = open_ares(ch, opts, error);
    if (rc < 0)
        eddy_free(ch);
    else
        *ret = ch;
    return rc;
}

/* ---- waiting for it here ---- */

static struct pollfd *new_pollfds(struct eddy_cares_channel *ch, nfds_t *ret_n)
{
    nfds_t n = 0;

    for (struct eddy_link *l = ch->sockets.next; l != &ch->sockets; l = l->next)
        n++;
    struct pollfd *fds = eddy_alloc((n + 1) * sizeof *fds);
    if (!fds)
        return NULL;
    *ret_n = n;
    n = 0;
    for (struct eddy_link *l = ch->sockets.next; l != &ch->sockets; l = l->next) {
        const struct socket *s = EDDY_CONTAINER_OF(l, struct socket, link);

        fds[n].fd = s->fd;
        fds[n++].events =
            (short)((s->events & EDDY_READ ? POLLIN : 0) | (s->events & EDDY_WRITE ? POLLOUT : 0));
    }
    return fds;
}

int eddy_cares_wait(struct eddy_cares_channel *ch, eddy_nsec timeout)
{
    eddy_nsec due = time_left(ch);
    nfds_t n;
    struct pollfd *fds = new_pollfds(ch, &n);

    if (!fds)
        return -ENOMEM;
    if (due < timeout)
        timeout = due;
    /* rounded up, and looked at again now and then */
    int ms = timeout < EDDY_SEC(1) ? (int)((timeout - 1) / EDDY_MSEC(1) + 1) : 1000;
    if (poll(fds, n, ms) <= 0)
        process(ch, ARES_SOCKET_BAD, 0);
    else
        for (nfds_t i = 0; i < n; i++)
            if (fds[i].revents)
                process(ch, fds[i].fd,
                        (fds[i].revents & ~POLLOUT ? EDDY_READ : 0u) |
                            (fds[i].revents & ~POLLIN ? EDDY_WRITE : 0u));
    eddy_free(fds);
    if (ch->unwatched)
        give_up(ch);
    return 0;
}
