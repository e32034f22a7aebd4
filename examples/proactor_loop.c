/*
 * A loop of the completion kind: the kernel is told what to do and reports what it has done, where
 * other loops wait until they can do it. "proactor" is io_uring where that can be used, else the
 * best of the others, which behaves the same: programs need not care which one they got.
 */
#include "common.h"

#include <eddy/eddy.h>

struct sleeper {
    struct eddy_timer timer;
    struct eddy_loop *loop;
};

static void wake_up(struct eddy_timer *t)
{
    struct sleeper *sleeper = EDDY_CONTAINER_OF(t, struct sleeper, timer);
    printf("Finished sleeper with delay: 1\n");
    eddy_loop_stop(sleeper->loop);
}

static int sleep_a_second(struct eddy_loop *loop)
{
    struct sleeper sleeper = {.timer.fn = wake_up, .loop = loop};
    eddy_loop_call_later(loop, &sleeper.timer, EDDY_SEC(1));
    return eddy_loop_run_forever(loop);
}

int main(int argc, char **argv)
{
    const char *backend = "proactor";
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    parse_options(argc, argv, "", "Sleeps a second on a proactor loop.", options);

    /* Every loop of the program that is not made in another way comes from this factory. */
    struct eddy_error err;
    struct eddy_backend_policy factory;
    if (eddy_backend_policy_init(&factory, backend, &err) < 0) {
        fprintf(stderr, "proactor_loop: %s\n", error_text(&err));
        return 1;
    }
    int res = eddy_set_event_loop_policy(&factory.base);

    struct eddy_loop *loop = NULL;
    if (res == 0)
        res = eddy_new_event_loop(&loop);
    if (res == 0)
        res = eddy_set_event_loop(loop);
    if (res == 0) {
        printf("%s (%s)\n", strcmp(backend, "proactor") == 0 ? "ProactorEventLoop" : "EventLoop",
               eddy_loop_backend_name(loop));
        res = sleep_a_second(loop);
    }
    if (res < 0)
        fprintf(stderr, "proactor_loop: %s\n", eddy_strerror(res));
    if (loop)
        eddy_loop_close(loop);
    eddy_set_event_loop(NULL);
    eddy_loop_unref(loop);
    eddy_set_event_loop_policy(NULL);
    return res < 0;
}
