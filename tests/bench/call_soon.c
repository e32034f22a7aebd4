/* smoke */
/*
 * call_soon against the least that does the same: an array of functions and arguments, swapped each
 * turn, and an epoll_wait without a time-out between the turns, as timers and I/O must not starve.
 */
#include "tests/bench/bench.h"

#include <sys/epoll.h>

#define BURST 1000

static int calls, left;
static int burst;

/* ---- Eddy ---- */

static struct eddy_handle handles[BURST];
static struct eddy_loop *loop;

static void handle_runs(struct eddy_handle *h)
{
    (void)h;
    if (--left % burst != 0)
        return;
    if (left == 0)
        eddy_loop_stop(loop);
    for (int i = 0; left > 0 && i < burst; i++)
        eddy_loop_call_soon(loop, &handles[i]);
}

static double measure_ours(void)
{
    left = calls;
    for (int i = 0; i < burst; i++) {
        handles[i] = (struct eddy_handle){.fn = handle_runs};
        eddy_loop_call_soon(loop, &handles[i]);
    }
    double before = thread_cpu();
    if (eddy_loop_run_forever(loop) < 0)
        exit(1);
    return (thread_cpu() - before) / (double)calls;
}

/* ---- an array ---- */

struct task {
    void (*fn)(void *arg);
    void *arg;
};

static struct task queues[2][BURST];
static int filling, length;

static void push(void (*fn)(void *arg), void *arg)
{
    queues[filling][length++] = (struct task){fn, arg};
}

static void task_runs(void *arg)
{
    if (--left % burst == 0 && left > 0)
        for (int i = 0; i < burst; i++)
            push(task_runs, arg);
}

static double measure_array(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e;

    left = calls;
    for (int i = 0; i < burst; i++)
        push(task_runs, NULL);
    double before = thread_cpu();
    while (length > 0) {
        struct task *turn = queues[filling];
        int n = length;

        filling = !filling;
        length = 0;
        epoll_wait(ep, &e, 1, 0);
        for (int i = 0; i < n; i++)
            turn[i].fn(turn[i].arg);
    }
    double cpu = thread_cpu() - before;
    close(ep);
    return cpu / (double)calls;
}

static void compare(const char *what, int n, int total)
{
    struct series s = {.what = what, .unit = "ns", .scale = 1e9, .budget = 2.2};

    burst = n;
    calls = smoke ? n * 10 : total;
    for (int i = 0; i < rounds; i++) {
        double base = i % 2 ? 0 : measure_array();
        double ours = measure_ours();

        series_add(&s, ours, i % 2 ? measure_array() : base);
    }
    series_print(&s);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv);
    pin_to(SERVER_CORE);
    if (eddy_loop_new(EDDY_LOOP(.backend = "epoll"), &loop) < 0)
        return 1;
    table_head("call_soon: CPU per call", "array queue");
    compare("1000 calls per turn", BURST, 5000000);
    compare("each calls the next: a turn per call", 1, 500000);
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return 0;
}
