/* smoke */
/*
 * Timers: starting n of them at random times, cancelling nine tenths of them, and firing the rest
 * in one turn. Against libev's heap, which is the fastest we know, where its header was there to
 * build with.
 */
#include "tests/bench/bench.h"

#ifdef EDDY_BENCH_LIBEV
#include <ev.h>
#endif

struct cost {
    double start, cancel, fire; /* of one */
};

static long fired;

/* Nanoseconds up to a second ago: all are due. */
static eddy_nsec random_age(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (eddy_nsec)(x % 1000000000u);
}

static void check_fired(long expected)
{
    if (fired != expected) {
        fprintf(stderr, "%ld timers fired, not %ld\n", fired, expected);
        exit(1);
    }
}

static struct cost cost_of(double t0, double t1, double t2, double t3, int n)
{
    return (struct cost){
        .start = (t1 - t0) / n, .cancel = (t2 - t1) / (n - n / 10), .fire = (t3 - t2) / (n / 10)};
}

/* ---- Eddy ---- */

static void timer_fires(struct eddy_timer *t)
{
    (void)t;
    fired++;
}

static struct cost measure_ours(struct eddy_loop *loop, int n)
{
    struct eddy_timer *timers = calloc((size_t)n, sizeof *timers);

    if (!timers)
        die("calloc");
    for (int i = 0; i < n; i++)
        timers[i].fn = timer_fires;
    eddy_nsec now = eddy_loop_time(loop);
    fired = 0;
    double t0 = thread_cpu();
    for (int i = 0; i < n; i++)
        eddy_loop_call_at(loop, &timers[i], now - random_age());
    double t1 = thread_cpu();
    for (int i = 0; i < n; i++)
        if (i % 10 != 0)
            eddy_timer_cancel(&timers[i]);
    double t2 = thread_cpu();
    if (eddy_loop_run_once(loop, 0) < 0)
        exit(1);
    double t3 = thread_cpu();
    check_fired(n / 10);
    free(timers);
    return cost_of(t0, t1, t2, t3, n);
}

/* ---- libev ---- */

#ifdef EDDY_BENCH_LIBEV
static void ev_timer_fires(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop, (void)t, (void)events;
    fired++;
}

static struct cost measure_base(struct ev_loop *loop, int n)
{
    ev_timer *timers = calloc((size_t)n, sizeof *timers);

    if (!timers)
        die("calloc");
    for (int i = 0; i < n; i++)
        ev_init(&timers[i], ev_timer_fires);
    ev_now_update(loop);
    fired = 0;
    double t0 = thread_cpu();
    for (int i = 0; i < n; i++) {
        ev_timer_set(&timers[i], (double)-random_age() / 1e9, 0.);
        ev_timer_start(loop, &timers[i]);
    }
    double t1 = thread_cpu();
    for (int i = 0; i < n; i++)
        if (i % 10 != 0)
            ev_timer_stop(loop, &timers[i]);
    double t2 = thread_cpu();
    ev_run(loop, EVRUN_NOWAIT);
    double t3 = thread_cpu();
    check_fired(n / 10);
    free(timers);
    return cost_of(t0, t1, t2, t3, n);
}
#endif

/* ---- both ---- */

static void add_up(struct cost *sum, struct cost c, int times)
{
    sum->start += c.start / times;
    sum->cancel += c.cancel / times;
    sum->fire += c.fire / times;
}

static void compare(int n, int times)
{
    struct series start = {.what = "start", .unit = "ns", .scale = 1e9};
    struct series cancel = {.what = "cancel", .unit = "ns", .scale = 1e9};
    struct series fire = {.what = "fire", .unit = "ns", .scale = 1e9};
    struct eddy_loop *loop;
    char title[64];

    if (eddy_loop_new(EDDY_LOOP(.backend = "epoll"), &loop) < 0)
        exit(1);
#ifdef EDDY_BENCH_LIBEV
    struct ev_loop *base_loop = ev_loop_new(EVBACKEND_EPOLL);
    const char *base_name = "libev";
#else
    const char *base_name = "(no libev)";
#endif
    for (int i = 0; i < rounds; i++) {
        struct cost ours = {0}, base = {0};

        for (int k = 0; k < times; k++) {
            add_up(&ours, measure_ours(loop, n), times);
#ifdef EDDY_BENCH_LIBEV
            add_up(&base, measure_base(base_loop, n), times);
#endif
        }
        series_add(&start, ours.start, base.start);
        series_add(&cancel, ours.cancel, base.cancel);
        series_add(&fire, ours.fire, base.fire);
    }
    snprintf(title, sizeof title, "%d timers: CPU per operation", n);
    table_head(title, base_name);
    series_print(&start);
    series_print(&cancel);
    series_print(&fire);
#ifdef EDDY_BENCH_LIBEV
    ev_loop_destroy(base_loop);
#endif
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv);
    pin_to(SERVER_CORE);
    compare(1000, smoke ? 2 : 300);
    compare(smoke ? 10000 : 1000000, 1);
#ifndef EDDY_BENCH_LIBEV
    puts("built without libev (Debian: libev-dev): nothing to compare the timers with");
#endif
    return 0;
}
