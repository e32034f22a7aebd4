/* The simulated selector, by its table. */
#include "tests/support/test.h"
#include <eddy/sim.h>
#include <string.h>

static struct eddy_sim *sim;
static struct eddy_sys *sys;
static struct eddy_selector *selector;
static struct eddy_selector_event events[16];
static int fds[2];

static void begin(const struct eddy_sim_opts *opts)
{
    REQUIRE(eddy_sim_new(opts, &sim) == 0);
    sys = eddy_sim_sys(sim);
    REQUIRE(eddy_sim_selector(sim, &selector) == 0);
    REQUIRE(eddy_sim_pair(sim, fds) == 0);
}

static void end(void)
{
    eddy_selector_free(selector);
    eddy_sim_free(sim);
}

static int set(int fd, unsigned old, unsigned now)
{
    return selector->cls->set(selector, fd, (uint64_t)fd * 10, old, now);
}

static int wait_for(eddy_nsec timeout)
{
    memset(events, 0, sizeof events);
    return selector->cls->wait(selector, timeout, events, 16);
}

static void readiness_is_a_level(void)
{
    char c;

    begin(NULL);
    CHECK_INT(set(fds[0], 0, EDDY_READ), 0);
    CHECK_INT(wait_for(0), 0);
    sys->cls->send(sys, fds[1], "x", 1);
    CHECK_INT(wait_for(0), 1);
    CHECK_INT(events[0].cookie, fds[0] * 10);
    CHECK_INT(events[0].events, EDDY_READ);
    CHECK_INT(wait_for(EDDY_FOREVER), 1);
    CHECK_INT(set(fds[0], EDDY_READ, EDDY_READ | EDDY_WRITE), 0);
    CHECK_INT(wait_for(0), 1);
    CHECK_INT(events[0].events, EDDY_READ | EDDY_WRITE);
    sys->cls->recv(sys, fds[0], &c, 1);
    CHECK_INT(wait_for(0), 1);
    CHECK_INT(events[0].events, EDDY_WRITE);
    CHECK_INT(set(fds[0], EDDY_READ | EDDY_WRITE, 0), 0);
    CHECK_INT(wait_for(0), 0);
    end();
}

static void time_jumps_to_what_is_next(void)
{
    eddy_nsec start;

    begin(EDDY_SIM(.latency = EDDY_SEC(5)));
    start = eddy_sim_now(sim);
    set(fds[0], 0, EDDY_READ);
    CHECK_INT(wait_for(EDDY_SEC(2)), 0);
    CHECK_INT(eddy_sim_now(sim) - start, EDDY_SEC(2));
    sys->cls->send(sys, fds[1], "x", 1);
    CHECK_INT(wait_for(EDDY_FOREVER), 1);
    CHECK_INT(eddy_sim_now(sim) - start, EDDY_SEC(7));
    end();
}

static void nothing_to_come_is_an_error(void)
{
    begin(NULL);
    set(fds[0], 0, EDDY_READ);
    CHECK_INT(wait_for(EDDY_FOREVER), EDDY_ESTALLED);
    CHECK_INT(wait_for(1), 0);
    end();
}

static void spinning_is_an_error(void)
{
    int i, r = 0;

    begin(NULL);
    set(fds[0], 0, EDDY_WRITE);
    for (i = 0; i < 1000000 && r >= 0; i++)
        r = wait_for(EDDY_FOREVER);
    CHECK_INT(r, EDDY_ESTALLED);
    CHECK_INT(i, 100000);
    CHECK_INT(wait_for(EDDY_FOREVER), 1);
    end();
}

static void hang_up_counts_as_all(void)
{
    begin(NULL);
    set(fds[0], 0, EDDY_WRITE);
    eddy_sim_reset(sim, fds[0], 0);
    CHECK_INT(wait_for(0), 1);
    CHECK_INT(events[0].events, EDDY_WRITE);
    set(fds[1], 0, EDDY_READ | EDDY_WRITE);
    CHECK_INT(wait_for(0), 2);
    CHECK_INT(events[1].events, EDDY_READ | EDDY_WRITE);
    end();
}

static void rest_comes_with_the_next_call(void)
{
    int more[6], i, seen = 0;

    begin(NULL);
    for (i = 0; i < 6; i += 2)
        eddy_sim_pair(sim, more + i);
    for (i = 0; i < 6; i++)
        set(more[i], 0, EDDY_WRITE);
    for (i = 0; i < 3; i++) {
        CHECK_INT(selector->cls->wait(selector, 0, events, 2), 2);
        seen |= 1 << events[0].cookie / 10 | 1 << events[1].cookie / 10;
    }
    for (i = 0; i < 6; i++)
        CHECK(seen & 1 << more[i]);
    end();
}

static void registrations_are_kept_strictly(void)
{
    struct eddy_sim_stats stats;

    begin(NULL);
    CHECK_INT(set(77, 0, EDDY_READ), -EBADF);
    CHECK_INT(set(fds[0], EDDY_READ, EDDY_WRITE), -ENOENT);
    CHECK_INT(set(fds[0], 0, EDDY_WRITE), 0);
    CHECK_INT(set(fds[0], 0, EDDY_WRITE), -EEXIST);
    eddy_sim_fail(sim, EDDY_SIM_SELECT_SET, 1, -ENOMEM);
    CHECK_INT(set(fds[0], EDDY_WRITE, EDDY_READ), -ENOMEM);
    CHECK_INT(wait_for(0), 1);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.closed_registered, 0);
    sys->cls->close(sys, fds[0]);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.closed_registered, 1);
    CHECK_INT(wait_for(0), 0);
    CHECK_INT(set(fds[0], EDDY_WRITE, 0), 0);
    end();
}

static void wake_up_lasts_until_drained(void)
{
    int waker[2];

    begin(NULL);
    CHECK_INT(sys->cls->waker(sys, waker), 0);
    set(waker[0], 0, EDDY_READ);
    CHECK_INT(wait_for(0), 0);
    sys->cls->kick(sys, waker[1]);
    sys->cls->kick(sys, waker[1]);
    CHECK_INT(wait_for(EDDY_FOREVER), 1);
    CHECK_INT(wait_for(EDDY_FOREVER), 1);
    sys->cls->drain(sys, waker[0]);
    CHECK_INT(wait_for(0), 0);
    end();
}

static void chance_makes_up_readiness_and_order(void)
{
    int more[8], i, shuffled = 0;
    struct eddy_sim_stats stats;

    begin(EDDY_SIM(.seed = 7, .spurious_ready = 500, .shuffle = 1000));
    for (i = 0; i < 8; i += 2)
        eddy_sim_pair(sim, more + i);
    for (i = 0; i < 8; i++)
        set(more[i], 0, EDDY_WRITE);
    for (i = 0; i < 20; i++) {
        CHECK_INT(wait_for(0), 8);
        shuffled += events[0].cookie != (uint64_t)more[0] * 10;
    }
    CHECK(shuffled > 5);
    for (i = 0; i < 8; i++)
        set(more[i], EDDY_WRITE, EDDY_READ);
    for (i = 0; i < 20; i++)
        wait_for(0);
    eddy_sim_get_stats(sim, &stats);
    CHECK(stats.spurious > 10);
    end();
}

static void failing_wait(void)
{
    begin(NULL);
    eddy_sim_fail(sim, EDDY_SIM_SELECT_WAIT, 1, -EIO);
    CHECK_INT(wait_for(0), -EIO);
    CHECK_INT(wait_for(0), 0);
    end();
}

static void opens_by_its_class_over_a_sim_only(void)
{
    struct eddy_selector *other;

    begin(NULL);
    CHECK_INT(selector->cls->open(eddy_sys_posix(), &other), -EINVAL);
    CHECK_INT(selector->cls->open(sys, &other), 0);
    eddy_selector_free(other);
    end();
}

static void send_one(struct eddy_sim *s, void *user)
{
    (void)s, (void)user;
    CHECK_INT(sys->cls->send(sys, fds[1], "x", 1), 1);
}

static void works_on_its_own_by_the_clock_of_the_sim(void)
{
    struct eddy_selector_ready ready[2];
    eddy_nsec start;
    int n = -1;

    begin(NULL);
    start = eddy_sim_now(sim);
    CHECK_INT(eddy_selector_register(selector, fds[0], EDDY_READ, &n, NULL), 0);
    CHECK_INT(eddy_selector_select(selector, EDDY_SEC(3600), 2, ready, &n), 0);
    CHECK_INT(n, 0);
    CHECK_INT(eddy_sim_now(sim) - start, EDDY_SEC(3600));
    CHECK_INT(eddy_sim_at(sim, start + EDDY_SEC(4000), send_one, NULL), 0);
    CHECK_INT(eddy_selector_select(selector, EDDY_FOREVER, 2, ready, &n), 0);
    CHECK_INT(n, 1);
    CHECK_INT(ready[0].events, EDDY_READ);
    CHECK(ready[0].key.data == &n);
    CHECK(eddy_sim_now(sim) - start >= EDDY_SEC(4000));
    CHECK_INT(eddy_selector_unregister(selector, fds[0], NULL), 0);
    CHECK_INT(eddy_selector_select(selector, EDDY_FOREVER, 2, ready, &n), EDDY_ESTALLED);
    CHECK_INT(n, 1);
    end();
}

const struct test_case test_cases[] = {
    {"P17_P18_sim_works_on_its_own_by_the_clock_of_the_sim",
     works_on_its_own_by_the_clock_of_the_sim},
    {"P27_sim_readiness_is_a_level", readiness_is_a_level},
    {"G31_sim_time_jumps_to_what_is_next", time_jumps_to_what_is_next},
    {"G31_sim_nothing_to_come_is_an_error", nothing_to_come_is_an_error},
    {"G31_sim_spinning_is_an_error", spinning_is_an_error},
    {"P19_sim_hang_up_counts_as_all", hang_up_counts_as_all},
    {"P27_sim_rest_comes_with_the_next_call", rest_comes_with_the_next_call},
    {"P13_sim_registrations_are_kept_strictly", registrations_are_kept_strictly},
    {"L30_sim_wake_up_lasts_until_drained", wake_up_lasts_until_drained},
    {"G31_sim_chance_makes_up_readiness_and_order", chance_makes_up_readiness_and_order},
    {"D7_sim_wait_can_fail", failing_wait},
    {"G31_sim_opens_by_its_class_over_a_sim_only", opens_by_its_class_over_a_sim_only},
    {NULL, NULL},
};
