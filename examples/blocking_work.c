/*
 * Calls that block belong in threads: here three at once, which end when the slowest does, while
 * the loop goes on ticking. A fourth finds no thread free, and is cancelled before it begins; one
 * that has begun could not be stopped, only its result be thrown away.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include "common.h"

#include <eddy/eddy.h>

#include <time.h>

struct program;

/* What is to be done, and what came of it: the thread gets all of it, and hands it back. */
struct work {
    const char *name;
    int msecs;
    char answer[64];
    /* The loop's side of it, which the thread leaves alone. */
    struct program *program;
    struct eddy_future *future;
    struct eddy_done done;
};

struct program {
    struct eddy_loop *loop;
    struct work works[4];
    int awaited;
    int ticks;
    struct eddy_timer tick;
    struct eddy_timer change_of_mind;
    bool failed;
};

/* ---- in a thread ---- */

/* Stands for any call that takes its time: a database, a slow disk, a long computation. */
static int block(void *arg, struct eddy_error *err)
{
    struct work *work = arg;
    struct timespec left = {.tv_sec = work->msecs / 1000, .tv_nsec = work->msecs % 1000 * 1000000L};

    while (nanosleep(&left, &left) < 0) {
        if (errno != EINTR)
            return eddy_error_set(err, -errno, "block", "%s: %s", work->name, strerror(errno));
    }
    snprintf(work->answer, sizeof(work->answer), "done after %d ms", work->msecs);
    return 0;
}

/* ---- on the loop's thread ---- */

static void work_done(struct eddy_done *d, struct eddy_future *f)
{
    struct work *work = EDDY_CONTAINER_OF(d, struct work, done);
    struct program *program = work->program;

    if (eddy_future_result(f, NULL) == 0) {
        printf("%s: %s\n", work->name, work->answer);
    } else if (eddy_future_is_cancelled(f)) {
        printf("%s: cancelled\n", work->name);
    } else {
        printf("%s: %s\n", work->name, error_text(eddy_future_error(f)));
        program->failed = true;
    }
    eddy_future_unref(f);
    if (--program->awaited == 0)
        eddy_loop_stop(program->loop);
}

static int start_work(struct program *program, struct work *work)
{
    work->program = program;
    work->done.fn = work_done;
    int res = eddy_run_in_executor(program->loop, NULL, block, work, NULL, &work->future);
    if (res == 0) {
        eddy_future_add_done_callback(work->future, &work->done);
        program->awaited++;
    }
    return res;
}

static void tick(struct eddy_timer *t)
{
    struct program *program = EDDY_CONTAINER_OF(t, struct program, tick);
    program->ticks++;
    eddy_loop_call_at(program->loop, t, eddy_timer_when(t) + EDDY_MSEC(50));
}

static void change_mind(struct eddy_timer *t)
{
    struct program *program = EDDY_CONTAINER_OF(t, struct program, change_of_mind);
    eddy_future_cancel(program->works[3].future, NULL);
}

/* ---- */

static int run(struct program *program)
{
    struct eddy_executor *executor;
    struct eddy_future *ended;

    /* A loop makes an executor itself when it needs one. This one has three threads and no more. */
    int res = eddy_executor_new(EDDY_EXECUTOR(.max_threads = 3, .name = "blocking"), &executor);
    if (res < 0)
        return res;
    eddy_loop_set_default_executor(program->loop, executor);
    eddy_executor_unref(executor); /* the loop has a reference of its own */

    for (int i = 0; i < 4 && res == 0; i++)
        res = start_work(program, &program->works[i]);
    if (res < 0)
        return res;
    eddy_loop_call_later(program->loop, &program->tick, EDDY_MSEC(50));
    eddy_loop_call_later(program->loop, &program->change_of_mind, EDDY_MSEC(100));
    res = eddy_loop_run_forever(program->loop);
    eddy_timer_cancel(&program->tick);
    if (res < 0)
        return res;
    printf("The loop has ticked %d times meanwhile\n", program->ticks);

    res = eddy_loop_shutdown_default_executor(program->loop, EDDY_SEC(5), &ended);
    if (res < 0)
        return res;
    res = eddy_loop_run_until_complete(program->loop, ended, NULL);
    eddy_future_unref(ended);
    return res;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    parse_options(argc, argv, "", "Makes calls that block, in threads, while its loop goes on.",
                  options);

    struct eddy_error err;
    struct program program = {
        .works = {{.name = "reading", .msecs = 900},
                  {.name = "asking", .msecs = 300},
                  {.name = "computing", .msecs = 600},
                  {.name = "printing", .msecs = 5000}},
        .tick.fn = tick,
        .change_of_mind.fn = change_mind,
    };
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program.loop) < 0) {
        fprintf(stderr, "blocking_work: %s\n", error_text(&err));
        return 1;
    }
    int res = run(&program);
    if (res < 0)
        fprintf(stderr, "blocking_work: %s\n", eddy_strerror(res));
    eddy_loop_close(program.loop);
    eddy_loop_unref(program.loop);
    return res < 0 || program.failed;
}
