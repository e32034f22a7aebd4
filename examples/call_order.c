/*
 * In which order a loop calls: what call_soon queued, in the order of queueing, then timers, by
 * their time. The loop has one thread, so while one callback sleeps no other can run: all of them
 * are late here. Callbacks must not block; worker_thread.c shows what to do instead.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include "common.h"

#include <eddy/eddy.h>

#include <time.h>

/* Everything the callbacks need is found from the node that is called: no globals. */
struct program {
    struct eddy_loop *loop;
    eddy_nsec start;
    struct eddy_timer at, later, stop;
    struct eddy_handle soon;
    struct eddy_post soon_threadsafe;
};

static void print_slowly(const struct program *program, const char *name)
{
    const struct timespec pause = {.tv_nsec = 200000000};

    printf("Started %s at %.1f\n", name,
           (double)(eddy_loop_time(program->loop) - program->start) / 1e9);
    nanosleep(&pause, NULL);
    printf("Finished %s at %.1f\n", name,
           (double)(eddy_loop_time(program->loop) - program->start) / 1e9);
}

static void at_fn(struct eddy_timer *t)
{
    print_slowly(EDDY_CONTAINER_OF(t, struct program, at), "call_at");
}

static void later_fn(struct eddy_timer *t)
{
    print_slowly(EDDY_CONTAINER_OF(t, struct program, later), "call_later");
}

static void soon_fn(struct eddy_handle *h)
{
    print_slowly(EDDY_CONTAINER_OF(h, struct program, soon), "call_soon");
}

static void soon_threadsafe_fn(struct eddy_post *p, int status)
{
    if (status == 0) /* else the loop was closed first */
        print_slowly(EDDY_CONTAINER_OF(p, struct program, soon_threadsafe), "call_soon_threadsafe");
}

static void stop_fn(struct eddy_timer *t)
{
    eddy_loop_stop(EDDY_CONTAINER_OF(t, struct program, stop)->loop);
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    parse_options(argc, argv, "", "Shows in which order a loop makes its calls.", options);

    struct eddy_error err;
    struct program program = {
        .at.fn = at_fn,
        .later.fn = later_fn,
        .stop.fn = stop_fn,
        .soon.fn = soon_fn,
        .soon_threadsafe.fn = soon_threadsafe_fn,
    };
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program.loop) < 0) {
        fprintf(stderr, "call_order: %s\n", error_text(&err));
        return 1;
    }
    struct eddy_loop *loop = program.loop;
    program.start = eddy_loop_time(loop);

    eddy_loop_call_at(loop, &program.at, program.start + EDDY_MSEC(200));
    eddy_loop_call_later(loop, &program.later, EDDY_MSEC(100));
    eddy_loop_call_soon(loop, &program.soon);
    int res = eddy_loop_call_soon_threadsafe(loop, &program.soon_threadsafe);
    eddy_loop_call_at(loop, &program.stop, program.start + EDDY_SEC(1));

    if (res == 0)
        res = eddy_loop_run_forever(loop);
    if (res < 0)
        fprintf(stderr, "call_order: %s\n", eddy_strerror(res));
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return res < 0;
}
