/*
 * A loop over a selector that you choose, as an object: here select's, which every system has.
 * Three sleepers start together and end in the order of their delays, after three seconds and not
 * six: while they sleep, the loop waits for all of them at once.
 */
#include "common.h"

#include <eddy/eddy.h>

struct program;

struct sleeper {
    struct eddy_timer timer;
    struct program *program;
    int delay; /* in seconds */
};

struct program {
    struct eddy_loop *loop;
    struct sleeper sleepers[3];
    int asleep;
};

static void wake_up(struct eddy_timer *t)
{
    struct sleeper *sleeper = EDDY_CONTAINER_OF(t, struct sleeper, timer);
    printf("Finished sleeper with delay: %d\n", sleeper->delay);
    if (--sleeper->program->asleep == 0)
        eddy_loop_stop(sleeper->program->loop);
}

static void start(struct program *program, const int *delays, int count)
{
    for (int i = 0; i < count; i++) {
        struct sleeper *sleeper = &program->sleepers[i];
        sleeper->timer.fn = wake_up;
        sleeper->program = program;
        sleeper->delay = delays[i];
        eddy_loop_call_later(program->loop, &sleeper->timer, EDDY_SEC(delays[i]));
        program->asleep++;
    }
}

/* The loop owns the selector from here on, and frees it in the end. */
static int new_loop_over(struct eddy_selector *selector, struct eddy_error *err,
                         struct eddy_loop **ret)
{
    int res = eddy_loop_new(EDDY_LOOP(.selector = selector, .error = err), ret);
    if (res < 0)
        eddy_selector_free(selector);
    return res;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {{0}};
    parse_options(argc, argv, "", "Runs three sleepers on a loop over the select selector.",
                  options);

    struct eddy_error err;
    struct eddy_selector *selector;
    struct program program = {.asleep = 0};
    int res = eddy_selector_new("select", &err, &selector);
    if (res == 0)
        res = new_loop_over(selector, &err, &program.loop);
    if (res < 0) {
        fprintf(stderr, "select_loop: %s\n", error_text(&err));
        return 1;
    }
    printf("Using selector: %s\n", eddy_selector_name(selector));

    /* The program's other parts can ask for the loop where no loop runs yet. */
    res = eddy_set_event_loop(program.loop);
    if (res == 0) {
        start(&program, (const int[]){1, 3, 2}, 3);
        res = eddy_loop_run_forever(program.loop);
    }
    if (res < 0)
        fprintf(stderr, "select_loop: %s\n", eddy_strerror(res));
    eddy_loop_close(program.loop);
    eddy_set_event_loop(NULL); /* drops the reference that it holds; ours is next */
    eddy_loop_unref(program.loop);
    return res < 0;
}
