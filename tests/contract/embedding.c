/* backends: select poll epoll io_uring */
/*
 * A loop inside another one, which sleeps as eddy_loop_timeout and eddy_loop_fileno say and then
 * calls eddy_loop_run_once. Where there is no descriptor it looks every millisecond.
 */
#include "tests/support/stream.h"
#include <poll.h>

enum { ROUNDS = 1000 };

/* One turn of the outer loop; false when it would have slept for good. */
static bool turn(struct eddy_loop *loop)
{
    eddy_nsec timeout = eddy_loop_timeout(loop);
    struct pollfd p = {.fd = eddy_loop_fileno(loop), .events = POLLIN};
    int longest = p.fd < 0 ? 1 : 2000;
    bool woken = true;
    if (timeout > 0)
        woken =
            poll(&p, p.fd < 0 ? 0 : 1,
                 timeout < EDDY_MSEC(longest) ? (int)(timeout / EDDY_MSEC(1)) + 1 : longest) > 0;
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    return woken || p.fd < 0 || timeout < EDDY_MSEC(longest);
}

static bool turn_until(struct stage *s, int *count, int wanted)
{
    for (int i = 0; i < ROUNDS && *count < wanted; i++) {
        if (!turn(s->loop))
            return false;
    }
    return *count >= wanted;
}

static void L21_an_embedded_loop_sleeps_on_its_descriptor(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK(turn_until(&s, &s.peer.count[ON_MADE], 1));
    CHECK(turn_until(&s, &s.client.count[ON_MADE], 1));
    CHECK_INT(eddy_transport_write(s.peer.t, "abc", 3), 0);
    CHECK(turn_until(&s, &s.client.count[ON_DATA], 1));
    stage_close(&s);
}

/* What is changed between the iterations reaches the kernel before the outer loop sleeps. */
static void L21_changes_between_iterations_are_heard(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_pause;
    stage_open(&s);
    stage_settle(&s);
    CHECK_INT(eddy_transport_write(s.peer.t, "abc", 3), 0);
    eddy_transport_resume_reading(s.client.t);
    CHECK(turn_until(&s, &s.client.count[ON_DATA], 1));
    eddy_transport_abort(s.client.t, NULL);
    CHECK(turn_until(&s, &s.client.count[ON_FINI], 1));
    CHECK(turn_until(&s, &s.peer.count[ON_FINI], 1));
    stage_close(&s);
}

/* ... and with nothing to tell it, the loop lets the outer one sleep. */
static void L21_L26_an_idle_embedded_loop_sleeps(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    stage_settle(&s);
    CHECK(eddy_loop_timeout(s.loop) == EDDY_FOREVER);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(L21_an_embedded_loop_sleeps_on_its_descriptor),
    CASE(L21_changes_between_iterations_are_heard),
    CASE(L21_L26_an_idle_embedded_loop_sleeps),
    {NULL, NULL},
};
