#include "tests/support/script.h"

#include "tests/support/test.h"
#include <string.h>

static struct test_script *of_selector(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct test_script, selector);
}

static void script_close(struct eddy_selector *s)
{
    of_selector(s)->closes++;
}

static int script_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                      unsigned now)
{
    struct test_script *script = of_selector(s);
    CHECK(old != now);
    if (!CHECK(fd >= 0 && fd < TEST_SCRIPT_FDS))
        return -EBADF;
    CHECK_INT(old, script->fds[fd].interest);
    if ((now & ~old) && script->fail_set) {
        int err = script->fail_set;
        script->fail_set = 0;
        return err;
    }
    script->sets++;
    script->fds[fd].cookie = cookie;
    script->fds[fd].interest = now;
    return 0;
}

static int report(struct test_script *script, struct eddy_selector_event *events, int max)
{
    int n = 0;
    while (n < script->n_next && n < max) {
        int fd = script->next[n].fd;
        events[n].cookie = script->fds[fd].cookie;
        events[n].events = script->next[n].events & script->fds[fd].interest;
        n++;
    }
    script->n_next -= n;
    memmove(script->next, script->next + n, (size_t)script->n_next * sizeof script->next[0]);
    return n;
}

static int script_wait(struct eddy_selector *s, eddy_nsec timeout,
                       struct eddy_selector_event *events, int max)
{
    struct test_script *script = of_selector(s);
    if (script->waits < TEST_SCRIPT_WAITS)
        script->timeouts[script->waits] = timeout;
    script->waits++;
    if (script->on_wait)
        script->on_wait(script);
    if (script->fail_wait) {
        int err = script->fail_wait;
        script->fail_wait = 0;
        return err;
    }
    if (script->n_next > 0)
        return report(script, events, max);
    if (timeout == EDDY_FOREVER)
        eddy_loop_stop(script->loop);
    else if (timeout > 0)
        script->now += timeout + script->wake_late;
    return 0;
}

static const struct eddy_selector_class script_class = {
    .name = "script",
    .abi_size = sizeof script_class,
    .close = script_close,
    .set = script_set,
    .wait = script_wait,
};

static eddy_nsec script_now(struct eddy_sys *sys)
{
    return EDDY_CONTAINER_OF(sys, struct test_script, sys)->now;
}

int test_script_loop(struct test_script *script, struct eddy_loop **ret)
{
    memset(script, 0, sizeof *script);
    script->selector.cls = &script_class;
    script->sys_class = *eddy_sys_posix()->cls;
    script->sys_class.now = script_now;
    script->sys.cls = &script->sys_class;
    script->now = EDDY_SEC(1000);
    int err = eddy_loop_new(EDDY_LOOP(.selector = &script->selector, .sys = &script->sys), ret);
    if (err == 0)
        script->loop = *ret;
    return err;
}

void test_script_ready(struct test_script *script, int fd, unsigned events)
{
    script->next[script->n_next].fd = fd;
    script->next[script->n_next].events = events;
    script->n_next++;
}

unsigned test_script_interest(const struct test_script *script, int fd)
{
    return script->fds[fd].interest;
}
