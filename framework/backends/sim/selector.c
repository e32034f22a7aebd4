/* A selector over the simulated descriptors: level-triggered, as poll(2) is. */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"

struct registration {
    uint64_t cookie;
    unsigned events; /* 0: none */
};

struct sim_selector {
    struct eddy_selector base; /* first */
    struct eddy_sim *sim;
    struct eddy_link link;
    struct registration *table; /* by descriptor */
    int room;
    int first; /* where the next wait begins to look: at those that did not fit into the last */
};

static struct sim_selector *self(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct sim_selector, base);
}

void eddy_sim_selectors_forget(struct eddy_sim *sim, eddy_fd fd)
{
    struct eddy_link *link;
    struct sim_selector *s;

    for (link = sim->selectors.next; link != &sim->selectors; link = link->next) {
        s = EDDY_CONTAINER_OF(link, struct sim_selector, link);
        if (fd < s->room && s->table[fd].events) {
            s->table[fd].events = 0;
            /* A wake-up has one owner, who goes with the selector. */
            sim->stats.closed_registered += sim->socks[fd]->kind != SIM_WAKER;
        }
    }
}

static int reserve(struct sim_selector *s, eddy_fd fd)
{
    int room = s->room ? s->room : 64, i;
    struct registration *table;

    while (room <= fd)
        room *= 2;
    if (room == s->room)
        return 0;
    table = eddy_realloc(s->table, (size_t)room * sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    for (i = s->room; i < room; i++)
        table[i].events = 0;
    s->table = table;
    s->room = room;
    return 0;
}

static int selector_set(struct eddy_selector *base, eddy_fd fd, uint64_t cookie, unsigned old,
                        unsigned now)
{
    struct sim_selector *s = self(base);
    bool known = fd >= 0 && fd < s->room && s->table[fd].events;
    int r;

    eddy_sim_note(s->sim, "set", fd, (int64_t)now);
    if (now == 0) {
        if (known)
            s->table[fd].events = 0;
        return 0;
    }
    r = eddy_sim_called(s->sim, EDDY_SIM_SELECT_SET);
    if (r < 0)
        return r;
    if (eddy_sim_sock(s->sim, fd) == NULL)
        return -EBADF;
    if (known != (old != 0))
        return known ? -EEXIST : -ENOENT;
    if (reserve(s, fd) < 0)
        return -ENOMEM;
    s->table[fd].cookie = cookie;
    s->table[fd].events = now;
    return 0;
}

static void shuffle(struct eddy_sim *sim, struct eddy_selector_event *events, int n)
{
    struct eddy_selector_event event;
    int i, k;

    for (i = n - 1; i > 0; i--) {
        k = (int)eddy_sim_random(sim, (uint64_t)i + 1);
        event = events[i];
        events[i] = events[k];
        events[k] = event;
    }
}

/* `rough`: also what is not there. */
static int collect(struct sim_selector *s, struct eddy_selector_event *events, int max, bool rough)
{
    int n = 0, i, fd;
    unsigned ready;

    for (i = 0; i < s->room && n < max; i++) {
        fd = (s->first + i) % s->room;
        if (s->table[fd].events == 0)
            continue;
        ready = eddy_sim_ready(s->sim, fd) & s->table[fd].events;
        if (ready == 0 && rough && eddy_sim_random(s->sim, 2) == 0) {
            ready = s->table[fd].events;
            s->sim->stats.spurious++;
        }
        if (ready == 0)
            continue;
        events[n++] = (struct eddy_selector_event){s->table[fd].cookie, ready};
        eddy_sim_note(s->sim, "ready", fd, (int64_t)ready);
    }
    s->first = n == max ? (s->first + i) % s->room : 0;
    if (n > 1 && eddy_sim_chance(s->sim, s->sim->opts.shuffle))
        shuffle(s->sim, events, n);
    return n;
}

static int selector_wait(struct eddy_selector *base, eddy_nsec timeout,
                         struct eddy_selector_event *events, int max)
{
    struct sim_selector *s = self(base);
    struct eddy_sim *sim = s->sim;
    eddy_nsec until = eddy_sim_after(sim, timeout);
    bool rough = eddy_sim_chance(sim, sim->opts.spurious_ready);
    int n, r = eddy_sim_called(sim, EDDY_SIM_SELECT_WAIT);

    if (r < 0)
        return r;
    sim->stats.waits++;
    eddy_sim_run_due(sim);
    for (;;) {
        n = collect(s, events, max, rough);
        rough = false;
        if (n > 0 && timeout > 0 && (r = eddy_sim_count_spin(sim)) < 0)
            return r;
        if (n > 0 || sim->now >= until)
            return n;
        r = eddy_sim_sleep(sim, until);
        if (r < 0)
            return r;
    }
}

static void selector_close(struct eddy_selector *base)
{
    struct sim_selector *s = self(base);

    eddy_link_remove(&s->link);
}

static void selector_free(struct eddy_selector *base)
{
    struct sim_selector *s = self(base);

    eddy_free(s->table);
    eddy_free(s);
}

static int selector_open(struct eddy_sys *sys, struct eddy_selector **ret)
{
    if (sys->cls != &eddy_sim_sys_class)
        return -EINVAL;
    return eddy_sim_selector(EDDY_CONTAINER_OF(sys, struct eddy_sim, sys), ret);
}

static const struct eddy_selector_class sim_selector_class = {
    .name = "sim",
    .abi_size = sizeof(struct eddy_selector_class),
    .open = selector_open,
    .close = selector_close,
    .free = selector_free,
    .set = selector_set,
    .wait = selector_wait,
};

int eddy_sim_selector(struct eddy_sim *sim, struct eddy_selector **ret)
{
    struct sim_selector *s = eddy_zalloc(sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    s->base.cls = &sim_selector_class;
    s->base.sys = &sim->sys;
    s->sim = sim;
    eddy_list_append(&sim->selectors, &s->link);
    *ret = &s->base;
    return 0;
}
