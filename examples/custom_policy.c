/*
 * A policy decides what loop the rest of a program gets when it asks for one. This one fills in
 * nothing but the factory: its loops are in debug mode and report callbacks that block for longer
 * than 50 ms. Everything else is the default policy's.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include "common.h"

#include <eddy/eddy.h>

#include <time.h>

struct watchful_policy {
    struct eddy_policy base;
    const char *backend;
    int loops_made;
};

static void print_line(void *user, enum eddy_log_level level, const char *component,
                       const char *text)
{
    (void)user;
    if (level >= EDDY_LOG_WARNING)
        printf("The %s reports: %s\n", component, text);
}

static int watchful_new_event_loop(struct eddy_policy *p, struct eddy_loop **ret)
{
    struct watchful_policy *policy = EDDY_CONTAINER_OF(p, struct watchful_policy, base);

    struct eddy_error err;
    int res = eddy_loop_new(EDDY_LOOP(.backend = policy->backend, .debug = true,
                                      .slow_callback = EDDY_MSEC(50), .log = print_line,
                                      .user = policy, .error = &err),
                            ret);
    if (res < 0)
        fprintf(stderr, "custom_policy: %s\n", error_text(&err));
    else
        policy->loops_made++;
    return res;
}

static const struct eddy_policy_class watchful_class = {
    EDDY_POLICY_CLASS("watchful"),
    .new_event_loop = watchful_new_event_loop,
};

/* ---- the rest of the program, which knows nothing of the policy ---- */

struct sleeper {
    struct eddy_timer timer;
    struct eddy_loop *loop;
};

static void oversleep(struct eddy_timer *t)
{
    struct sleeper *sleeper = EDDY_CONTAINER_OF(t, struct sleeper, timer);
    const struct timespec pause = {.tv_nsec = 100000000};

    nanosleep(&pause, NULL); /* what a callback should not do */
    eddy_loop_stop(sleeper->loop);
}

static int run_program(void)
{
    struct sleeper sleeper = {.timer.fn = oversleep};
    int res = eddy_get_event_loop(&sleeper.loop);
    if (res < 0)
        return res;
    eddy_loop_call_later(sleeper.loop, &sleeper.timer, EDDY_MSEC(100));
    return eddy_loop_run_forever(sleeper.loop);
}

/* What the policy is for, looked at from outside: in the main thread the first eddy_get_event_loop
 * makes a loop by its factory, and later ones return the same. */
static void describe(const struct watchful_policy *policy)
{
    struct eddy_policy *installed = eddy_get_event_loop_policy();
    printf("The policy is %s, %s\n", installed->cls->name,
           installed == &policy->base ? "the one installed" : "another than was installed");

    struct eddy_loop *loop;
    if (eddy_get_event_loop(&loop) == 0)
        printf("It has made %d loop, %s, debug mode %s\n", policy->loops_made,
               eddy_loop_user(loop) == policy ? "which is the current one" : "not the current one",
               eddy_loop_get_debug(loop) ? "on" : "off");
}

int main(int argc, char **argv)
{
    struct watchful_policy policy = {.base.cls = &watchful_class};
    const struct option_spec options[] = {OPTION_BACKEND(&policy.backend), {0}};
    parse_options(argc, argv, "", "Installs a policy that makes loops of its own kind.", options);

    int res = eddy_set_event_loop_policy(&policy.base);
    if (res == 0)
        res = run_program();
    if (res < 0)
        fprintf(stderr, "custom_policy: %s\n", eddy_strerror(res));
    else
        describe(&policy);

    struct eddy_loop *loop;
    if (res == 0 && eddy_get_event_loop(&loop) == 0)
        eddy_loop_close(loop);
    eddy_set_event_loop(NULL); /* lets the closed loop go */
    eddy_set_event_loop_policy(NULL);
    return res < 0;
}
