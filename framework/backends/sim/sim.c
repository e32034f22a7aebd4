/* The world: its options, dice, clock and records. */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"
#include <eddy/resolver.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_MAX_FDS = 65536 };

struct promise {
    struct sim_event event; /* first */
    struct eddy_link link;
    void (*fn)(struct eddy_sim *sim, void *user);
    void *user;
};

/* ---- dice ---- */

/* splitmix64 */
static uint64_t draw(struct eddy_sim *sim)
{
    uint64_t z = sim->dice += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t eddy_sim_random(struct eddy_sim *sim, uint64_t limit)
{
    return limit ? draw(sim) % limit : 0;
}

bool eddy_sim_chance(struct eddy_sim *sim, unsigned per_mille)
{
    return per_mille > 0 && draw(sim) % 1000 < per_mille;
}

bool eddy_sim_falsely_blocked(struct eddy_sim *sim)
{
    if (!eddy_sim_chance(sim, sim->opts.spurious_eagain))
        return false;
    sim->stats.spurious++;
    return true;
}

bool eddy_sim_is_instant(const struct eddy_sim *sim)
{
    return sim->opts.latency == 0 && sim->opts.jitter == 0;
}

eddy_nsec eddy_sim_travel_time(struct eddy_sim *sim)
{
    eddy_nsec extra = 0;

    if (sim->opts.jitter > 0)
        extra = (eddy_nsec)eddy_sim_random(sim, (uint64_t)sim->opts.jitter + 1);
    return sim->opts.latency + extra;
}

/* ---- records ---- */

static void mix(struct eddy_sim *sim, uint64_t x)
{
    x = (sim->hash ^ x) * 0x9e3779b97f4a7c15u;
    sim->hash = x ^ (x >> 29);
}

void eddy_sim_note(struct eddy_sim *sim, const char *what, int64_t a, int64_t b)
{
    const char *c;
    char line[128];

    mix(sim, (uint64_t)sim->now);
    for (c = what; *c; c++)
        mix(sim, (uint64_t)*c);
    mix(sim, (uint64_t)a);
    mix(sim, (uint64_t)b);
    if (sim->opts.trace == NULL)
        return;
    snprintf(line, sizeof(line), "%lld.%06lld %s %lld %lld", (long long)(sim->now / EDDY_SEC(1)),
             (long long)(sim->now % EDDY_SEC(1) / 1000), what, (long long)a, (long long)b);
    sim->opts.trace(sim->opts.user, line);
}

void eddy_sim_violate(struct eddy_sim *sim, const char *what)
{
    if (sim->violations++ == 0)
        sim->first_violation = what;
    eddy_sim_note(sim, what, 0, 0);
}

unsigned eddy_sim_violations(const struct eddy_sim *sim, const char **ret_first)
{
    if (ret_first)
        *ret_first = sim->first_violation;
    return sim->violations;
}

uint64_t eddy_sim_trace_hash(const struct eddy_sim *sim)
{
    return sim->hash;
}

void eddy_sim_get_stats(const struct eddy_sim *sim, struct eddy_sim_stats *ret)
{
    *ret = sim->stats;
}

int eddy_sim_count_spin(struct eddy_sim *sim)
{
    if (++sim->spins < SIM_MAX_SPINS)
        return 0;
    sim->spins = 0;
    return EDDY_ESTALLED;
}

/* ---- failures ---- */

int eddy_sim_fail(struct eddy_sim *sim, enum eddy_sim_call call, unsigned long nth, int error)
{
    struct sim_failure *failures;

    if ((int)call < 0 || call >= EDDY_SIM_CALLS || nth == 0 || error >= 0 || error == -EINTR)
        return -EINVAL;
    failures = eddy_realloc(sim->failures, (sim->failure_count + 1) * sizeof(*failures));
    if (failures == NULL)
        return -ENOMEM;
    sim->failures = failures;
    failures[sim->failure_count++] = (struct sim_failure){call, nth, error};
    return 0;
}

void eddy_sim_fail_none(struct eddy_sim *sim)
{
    sim->failure_count = 0;
}

int eddy_sim_called(struct eddy_sim *sim, enum eddy_sim_call call)
{
    struct sim_failure *f = sim->failures, *end;
    int error = 0;

    sim->calls[call]++;
    if (sim->failure_count == 0)
        return 0;
    end = f + sim->failure_count;
    while (f < end) {
        if (f->call == call && --f->left == 0) {
            error = f->error;
            *f = *--end;
        } else {
            f++;
        }
    }
    sim->failure_count = (size_t)(end - sim->failures);
    if (error < 0)
        eddy_sim_note(sim, "made to fail", (int64_t)call, error);
    return error;
}

unsigned long eddy_sim_calls(const struct eddy_sim *sim, enum eddy_sim_call call)
{
    return (int)call >= 0 && call < EDDY_SIM_CALLS ? sim->calls[call] : 0;
}

void eddy_sim_set_max_fds(struct eddy_sim *sim, int max)
{
    sim->opts.max_fds = max > 0 ? max : DEFAULT_MAX_FDS;
}

static struct sim_end *find_end(struct eddy_sim *sim, eddy_fd fd)
{
    struct sim_sock *s = eddy_sim_sock(sim, fd);

    return s ? s->end : NULL;
}

int eddy_sim_reset(struct eddy_sim *sim, eddy_fd fd, eddy_nsec delay)
{
    struct sim_end *end = find_end(sim, fd);

    if (end == NULL)
        return -ENOTCONN;
    if (delay <= 0)
        end->conn->breakdown.fn(sim, &end->conn->breakdown);
    else
        eddy_sim_start(sim, &end->conn->breakdown, eddy_sim_after(sim, delay));
    return 0;
}

int eddy_sim_freeze(struct eddy_sim *sim, eddy_fd fd, bool on)
{
    struct sim_end *end = find_end(sim, fd);

    if (end == NULL)
        return -ENOTCONN;
    end->frozen = on;
    if (!on)
        eddy_sim_conn_thaw(sim, end);
    return 0;
}

/* ---- time ---- */

eddy_nsec eddy_sim_now(const struct eddy_sim *sim)
{
    return sim->now;
}

void eddy_sim_spend(struct eddy_sim *sim, eddy_nsec span)
{
    sim->now = eddy_sim_after(sim, span);
}

void eddy_sim_advance(struct eddy_sim *sim, eddy_nsec span)
{
    eddy_nsec until = eddy_sim_after(sim, span);

    eddy_sim_run_due(sim);
    while (sim->now < until)
        eddy_sim_sleep(sim, until);
}

static void keep_promise(struct eddy_sim *sim, struct sim_event *e)
{
    struct promise *p = EDDY_CONTAINER_OF(e, struct promise, event);
    void (*fn)(struct eddy_sim *, void *) = p->fn;
    void *user = p->user;

    eddy_link_remove(&p->link);
    eddy_free(p);
    eddy_sim_unpromise(sim, 1);
    fn(sim, user);
}

int eddy_sim_at(struct eddy_sim *sim, eddy_nsec when, void (*fn)(struct eddy_sim *sim, void *user),
                void *user)
{
    struct promise *p;

    if (fn == NULL)
        return -EINVAL;
    if (eddy_sim_promise(sim, 1) < 0)
        return -ENOMEM;
    p = eddy_zalloc(sizeof(*p));
    if (p == NULL) {
        eddy_sim_unpromise(sim, 1);
        return -ENOMEM;
    }
    p->event.fn = keep_promise;
    p->fn = fn;
    p->user = user;
    eddy_list_append(&sim->promises, &p->link);
    eddy_sim_start(sim, &p->event, when);
    return 0;
}

/* ---- making one ---- */

static unsigned some(uint64_t bits, unsigned most)
{
    return bits % 3 == 0 ? 0 : (unsigned)(bits / 3 % most);
}

void eddy_sim_wild(struct eddy_sim_opts *ret, uint64_t seed)
{
    struct eddy_sim dice = {.dice = seed ^ 0x77696c64};

    memset(ret, 0, sizeof(*ret));
    ret->abi_size = sizeof(*ret);
    ret->seed = seed;
    if (draw(&dice) % 4 != 0) {
        ret->latency = (eddy_nsec)(draw(&dice) % (uint64_t)EDDY_MSEC(20));
        ret->jitter = (eddy_nsec)(draw(&dice) % (uint64_t)EDDY_MSEC(50));
    }
    ret->send_room = (size_t)1 << (draw(&dice) % 17);
    ret->recv_room = (size_t)1 << (draw(&dice) % 17);
    ret->chunking = some(draw(&dice), 900);
    ret->short_reads = some(draw(&dice), 900);
    ret->short_writes = some(draw(&dice), 900);
    ret->spurious_eagain = some(draw(&dice), 400);
    ret->spurious_ready = some(draw(&dice), 300);
    ret->shuffle = some(draw(&dice), 1000);
    ret->connect_at_once = some(draw(&dice), 1000);
    ret->abort_accepted = some(draw(&dice), 1000);
    ret->late_eagain = some(draw(&dice), 500);
    ret->late = 1 + (eddy_nsec)(draw(&dice) % (uint64_t)EDDY_MSEC(30));
}

static bool is_chance(unsigned per_mille)
{
    return per_mille <= 1000;
}

static int take_opts(struct eddy_sim *sim, const struct eddy_sim_opts *opts)
{
    struct eddy_sim_opts *o = &sim->opts;
    const unsigned char *tail = (const unsigned char *)opts + sizeof(*o);
    size_t i, more = opts->abi_size > sizeof(*o) ? opts->abi_size - sizeof(*o) : 0;

    for (i = 0; i < more; i++) {
        if (tail[i] != 0)
            return -E2BIG;
    }
    memcpy(o, opts, opts->abi_size < sizeof(*o) ? opts->abi_size : sizeof(*o));
    if (o->start < 0 || o->latency < 0 || o->jitter < 0 || o->late < 0 || o->max_fds < 0)
        return -EINVAL;
    if (!is_chance(o->chunking) || !is_chance(o->short_reads) || !is_chance(o->short_writes) ||
        !is_chance(o->spurious_eagain) || !is_chance(o->spurious_ready) || !is_chance(o->shuffle) ||
        !is_chance(o->connect_at_once) || !is_chance(o->abort_accepted) ||
        !is_chance(o->late_eagain) || !is_chance(o->datagram_loss) ||
        !is_chance(o->datagram_copies) || !is_chance(o->datagram_disorder))
        return -EINVAL;
    return 0;
}

static void set_defaults(struct eddy_sim *sim)
{
    struct eddy_sim_opts *o = &sim->opts;

    if (o->start == 0)
        o->start = EDDY_SEC(3600);
    if (o->send_room == 0)
        o->send_room = 64 * 1024;
    if (o->recv_room == 0)
        o->recv_room = 64 * 1024;
    if (o->max_fds == 0)
        o->max_fds = DEFAULT_MAX_FDS;
    if (o->late == 0)
        o->late = EDDY_MSEC(1);
}

int eddy_sim_new(const struct eddy_sim_opts *opts, struct eddy_sim **ret)
{
    struct eddy_sim *sim;
    int r, i;

    if (ret == NULL || (opts && opts->abi_size < sizeof(opts->abi_size)))
        return -EINVAL;
    sim = eddy_zalloc(sizeof(*sim));
    if (sim == NULL)
        return -ENOMEM;
    r = opts ? take_opts(sim, opts) : 0;
    if (r < 0) {
        eddy_free(sim);
        return r;
    }
    set_defaults(sim);
    sim->sys.cls = &eddy_sim_sys_class;
    sim->now = sim->opts.start;
    sim->dice = sim->opts.seed;
    for (i = 0; i < SIM_MAX_WAKERS; i++)
        atomic_init(&sim->wakers[i].fd, -1);
    eddy_list_init(&sim->conns);
    eddy_list_init(&sim->datagrams);
    eddy_list_init(&sim->selectors);
    eddy_list_init(&sim->promises);
    eddy_list_init(&sim->names);
    *ret = sim;
    return 0;
}

void eddy_sim_free(struct eddy_sim *sim)
{
    struct eddy_link *link;

    if (sim == NULL)
        return;
    eddy_sim_close_all(sim);
    while ((link = eddy_list_pop(&sim->promises)) != NULL)
        eddy_free(EDDY_CONTAINER_OF(link, struct promise, link));
    eddy_sim_free_names(sim);
    eddy_free(sim->socks);
    eddy_free(sim->hosts);
    eddy_free(sim->failures);
    eddy_free(sim->schedule.heap);
    eddy_free(sim);
}

struct eddy_sys *eddy_sim_sys(struct eddy_sim *sim)
{
    return &sim->sys;
}

int eddy_sim_loop_new(struct eddy_sim *sim, bool late, const struct eddy_loop_opts *opts,
                      struct eddy_loop **ret)
{
    struct eddy_loop_opts mine = {.abi_size = sizeof(mine)};
    const struct eddy_resolver_opts *names =
        EDDY_RESOLVER(.cls = &eddy_sim_resolver_class, .user = sim);
    int r;

    if (opts)
        mine = *opts;
    mine.sys = &sim->sys;
    if (mine.resolver == NULL)
        mine.resolver = names;
    if (late) {
        mine.backend_class = eddy_sim_late_backend();
        return eddy_loop_new(&mine, ret);
    }
    r = eddy_sim_selector(sim, &mine.selector);
    if (r < 0)
        return r;
    r = eddy_loop_new(&mine, ret);
    if (r < 0)
        eddy_selector_free(mine.selector);
    return r;
}
