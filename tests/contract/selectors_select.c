/*
 * Selectors on their own: what is ready, when, and how it is told (contract P17-P21, P24, P27).
 * Built and run as selectors_alone.c is.
 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include "selectors_alone.h"

#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static int first, second; /* data to tell apart by their addresses */

/* ---- time ---- */

static void P17_events_are_those_registered_and_ready(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[4];
    int fds[2], n = -1;

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, NULL), 0);
    CHECK_INT(eddy_selector_register(s, fds[1], EDDY_READ, &second, NULL), 0);
    CHECK_READY(s, fds[0], 0);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_READY(s, fds[0], EDDY_READ);
    CHECK_READY(s, fds[0], EDDY_READ); /* as long as it is not read */
    CHECK_INT(eddy_selector_modify(s, fds[0], BOTH, &first, NULL), 0);
    CHECK_INT(eddy_selector_select(s, EDDY_FOREVER, 4, ready, &n), 0);
    CHECK_INT(n, 1); /* both in one result */
    CHECK_KEY(ready[0].key, fds[0], BOTH, &first);
    CHECK_INT(ready[0].events, BOTH);
    CHECK_INT(eddy_selector_select(s, 0, 0, ready, &n), -EINVAL);
    CHECK_INT(eddy_selector_select(s, 0, -1, ready, &n), -EINVAL);
    CHECK_INT(eddy_selector_select(s, 0, 4, NULL, &n), -EINVAL);
    CHECK_INT(eddy_selector_select(s, 0, 4, ready, NULL), -EINVAL);
    CHECK_INT(eddy_selector_select(NULL, 0, 4, ready, &n), -EINVAL);
    CHECK_INT(n, 1);
    eddy_selector_free(s);
    close_pair(fds);
}

static const eddy_nsec spans[] = {1, 999, EDDY_USEC(50), EDDY_MSEC(1) + 1, EDDY_USEC(2500)};
static const eddy_nsec none[] = {0, -1, -EDDY_SEC(1000), INT64_MIN};

static void check_times(struct eddy_selector *s)
{
    struct eddy_selector_ready ready[1];
    int n;

    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        eddy_nsec start = now();

        n = -1;
        CHECK_INT(eddy_selector_select(s, spans[i], 1, ready, &n), 0);
        CHECK_INT(n, 0);
        CHECK(now() - start >= spans[i]);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        n = -1;
        CHECK_INT(eddy_selector_select(s, none[i], 1, ready, &n), 0);
        CHECK_INT(n, 0);
    }
}

static void P17_P20_time_out_is_kept(void)
{
    struct eddy_selector *s = open_current();
    int fds[2];

    make_pair(fds);
    check_times(s); /* with nothing registered */
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, NULL, NULL), 0);
    check_times(s);
    CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), 0);
    check_times(s);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P17_without_time_out_it_waits_until_something_is_ready(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[1];
    int fds[2], n = -1;
    pid_t child;

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, NULL), 0);
    child = fork();
    if (child == 0)
        _exit(write(fds[1], "x", 1) != 1);
    CHECK_INT(eddy_selector_select(s, EDDY_FOREVER, 1, ready, &n), 0);
    CHECK_INT(n, 1);
    CHECK(ready[0].key.data == &first);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK_INT(eddy_selector_select(s, EDDY_FOREVER - 1, 1, ready, &n), 0);
    CHECK_INT(n, 1);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P17_more_ready_than_room_come_in_turns(void)
{
    enum { COUNT = 10, ROOM = 3 };
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[ROOM];
    int fds[COUNT][2], seen[COUNT] = {0}, n;

    for (int i = 0; i < COUNT; i++) {
        make_pair(fds[i]);
        CHECK_INT(eddy_selector_register(s, fds[i][0], EDDY_WRITE, &seen[i], NULL), 0);
    }
    for (int i = 0; i < (COUNT + ROOM - 1) / ROOM; i++) {
        CHECK_INT(eddy_selector_select(s, EDDY_FOREVER, ROOM, ready, &n), 0);
        CHECK_INT(n, ROOM);
        for (int k = 0; k < n; k++)
            ++*(int *)ready[k].key.data;
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK(seen[i] == 1 || seen[i] == 2);
        close_pair(fds[i]);
    }
    eddy_selector_free(s);
}

/* ---- signals ---- */

static int wake_up = -1;

static void on_alarm(int signum)
{
    (void)signum;
    if (wake_up >= 0)
        (void)!write(wake_up, "", 1);
}

static void set_alarm(long first_usec, long then_usec)
{
    struct itimerval timer = {.it_value.tv_usec = first_usec, .it_interval.tv_usec = then_usec};
    struct sigaction action = {.sa_handler = on_alarm};

    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void P18_G27_signals_do_not_end_the_wait(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct eddy_selector_ready ready[1];
    int n = -1, selects = 0;
    eddy_nsec start = now();

    set_alarm(1000, 1000);
    do {
        eddy_nsec begin = now();

        CHECK_INT(eddy_selector_select(s, EDDY_MSEC(20), 1, ready, &n), 0);
        CHECK_INT(n, 0);
        CHECK(now() - begin >= EDDY_MSEC(20));
        selects++;
    } while (spy.waits == selects && now() - start < EDDY_SEC(20));
    set_alarm(0, 0);
    CHECK(spy.waits > selects); /* one was interrupted, and resumed */
    eddy_selector_free(s);
}

static void P18_wake_up_written_by_the_handler_ends_the_wait(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[1];
    int fds[2], n = -1;

    make_pair(fds);
    wake_up = fds[1];
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, NULL), 0);
    set_alarm(2000, 0);
    CHECK_INT(eddy_selector_select(s, EDDY_FOREVER, 1, ready, &n), 0);
    CHECK_INT(n, 1);
    CHECK(ready[0].key.data == &first);
    wake_up = -1;
    eddy_selector_free(s);
    close_pair(fds);
}

/* ---- what is reported ---- */

static void P19_hang_up_counts_as_all_registered_events(void)
{
    for (unsigned events = EDDY_READ; events <= BOTH; events++) {
        struct eddy_selector *s = open_current();
        int fds[2];

        make_pair(fds);
        CHECK_INT(eddy_selector_register(s, fds[0], events, NULL, NULL), 0);
        close(fds[1]);
        CHECK_READY(s, fds[0], events);
        eddy_selector_free(s);
        close(fds[0]);
    }
}

static void P19_error_of_a_pipe_counts_as_well(void)
{
    struct eddy_selector *s = open_current();
    char bytes[4096] = {0};
    int ends[2];

    REQUIRE(pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        continue;
    CHECK_INT(eddy_selector_register(s, ends[1], EDDY_WRITE, NULL, NULL), 0);
    CHECK_READY(s, ends[1], 0);
    close(ends[0]);
    CHECK_READY(s, ends[1], EDDY_WRITE);
    eddy_selector_free(s);
    close(ends[1]);
}

static void P21_results_stay_valid_whatever_is_changed_meanwhile(void)
{
    enum { COUNT = 4 };
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[COUNT];
    struct eddy_selector_key key;
    int fds[COUNT + 1][2], n = 0, current_ones = 0;

    for (int i = 0; i <= COUNT; i++)
        make_pair(fds[i]);
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(eddy_selector_register(s, fds[i][0], EDDY_WRITE, &fds[i], NULL), 0);
    CHECK_INT(eddy_selector_select(s, EDDY_FOREVER, COUNT, ready, &n), 0);
    REQUIRE(n == COUNT);
    for (int i = 0; i < n; i++) {
        int *pair = ready[i].key.data;

        CHECK_KEY(ready[i].key, pair[0], EDDY_WRITE, pair);
        CHECK_INT(ready[i].events, EDDY_WRITE);
        if (eddy_selector_get_key(s, ready[i].key.fd, &key) < 0 || key.data != pair)
            continue;
        current_ones++;
        if (i > 0)
            continue;
        /* One of the others goes, one becomes something else, one is only changed. */
        CHECK_INT(eddy_selector_unregister(s, ready[1].key.fd, NULL), 0);
        CHECK_INT(eddy_selector_modify(s, ready[2].key.fd, EDDY_READ, &first, NULL), 0);
        CHECK_INT(eddy_selector_modify(s, ready[3].key.fd, BOTH, ready[3].key.data, NULL), 0);
        CHECK_INT(eddy_selector_register(s, fds[COUNT][0], EDDY_READ, &second, NULL), 0);
    }
    CHECK_INT(current_ones, 2);
    CHECK_INT(size_of(s), COUNT);
    eddy_selector_free(s);
    for (int i = 0; i <= COUNT; i++)
        close_pair(fds[i]);
}

/* ---- its descriptor ---- */

static void P24_descriptor_of_a_selector_tells_readiness(void)
{
    struct eddy_selector *s = open_current();
    struct pollfd p = {.events = POLLIN};
    int fds[2];

    p.fd = eddy_selector_fileno(s);
    if (s->cls->fileno == NULL) {
        CHECK_INT(p.fd, EDDY_ENOT_SUPPORTED);
    } else if (CHECK(p.fd >= 0)) {
        make_pair(fds);
        CHECK((fcntl(p.fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, NULL, NULL), 0);
        CHECK_INT(poll(&p, 1, 0), 0);
        CHECK_INT(write(fds[1], "x", 1), 1);
        CHECK_INT(poll(&p, 1, 0), 1);
        close_pair(fds);
    }
    if (strcmp(current.name, "select") == 0 || strcmp(current.name, "poll") == 0)
        CHECK_INT(p.fd, EDDY_ENOT_SUPPORTED);
    if (strcmp(current.name, "epoll") == 0)
        CHECK(p.fd >= 0);
    CHECK_INT(eddy_selector_fileno(NULL), -EINVAL);
    eddy_selector_free(s);
}

/* ---- all alike ---- */

#define PAIRS 24

static char bulk[300000];
static uint32_t random_state;

static unsigned next_random(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

/* What the system says of one descriptor. */
static unsigned truth(int fd, unsigned events)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

    CHECK(poll(&p, 1, 0) >= 0);
    if ((p.revents & (POLLHUP | POLLERR)) != 0)
        return events;
    return events & (((p.revents & POLLIN) != 0 ? EDDY_READ : 0u) |
                     ((p.revents & POLLOUT) != 0 ? EDDY_WRITE : 0u));
}

/* Something happens on one of the connections. */
static void stir(int fds[2])
{
    int end = (int)next_random(2);

    switch (next_random(7)) {
    case 0:
    case 1:
        (void)!write(fds[end], "x", 1);
        break;
    case 2:
    case 3:
        while (read(fds[end], bulk, sizeof bulk) > 0)
            continue;
        break;
    case 4:
    case 5:
        while (write(fds[0], bulk, sizeof bulk) > 0)
            continue;
        break;
    default: /* the peer closes, and another comes */
        if (next_random(3) == 0) {
            close(fds[1]);
            REQUIRE((fds[1] = dup(fds[0])) >= 0);
        }
        break;
    }
}

static void change(struct eddy_selector *s, int fd, unsigned before, unsigned after)
{
    if (before == 0 && after != 0)
        CHECK_INT(eddy_selector_register(s, fd, after, NULL, NULL), 0);
    else if (after != 0)
        CHECK_INT(eddy_selector_modify(s, fd, after, NULL, NULL), 0);
    else
        CHECK_INT(eddy_selector_unregister(s, fd, NULL), before != 0 ? 0 : EDDY_ENOT_REGISTERED);
}

static void P27_all_selectors_tell_the_truth(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[PAIRS + 1];
    unsigned events[PAIRS] = {0};
    int fds[PAIRS][2];

    random_state = 2463534242;
    for (int i = 0; i < PAIRS; i++)
        make_pair(fds[i]);
    for (int step = 0; step < 300; step++) {
        unsigned i = next_random(PAIRS), after = next_random(4);
        int n = -1, expected = 0;

        stir(fds[i]);
        change(s, fds[i][0], events[i], after);
        events[i] = after;
        CHECK_INT(eddy_selector_select(s, 0, PAIRS + 1, ready, &n), 0);
        for (int k = 0; k < PAIRS; k++)
            expected += truth(fds[k][0], events[k]) != 0;
        CHECK_INT(n, expected);
        for (int k = 0; k < n; k++)
            CHECK_INT(ready[k].events, truth(ready[k].key.fd, ready[k].key.events));
    }
    eddy_selector_free(s);
    for (int i = 0; i < PAIRS; i++)
        close_pair(fds[i]);
}

static const struct test_case cases[] = {
    TEST(P17_events_are_those_registered_and_ready),
    TEST(P17_P20_time_out_is_kept),
    TEST(P17_without_time_out_it_waits_until_something_is_ready),
    TEST(P17_more_ready_than_room_come_in_turns),
    TEST(P18_G27_signals_do_not_end_the_wait),
    TEST(P18_wake_up_written_by_the_handler_ends_the_wait),
    TEST(P19_hang_up_counts_as_all_registered_events),
    TEST(P19_error_of_a_pipe_counts_as_well),
    TEST(P21_results_stay_valid_whatever_is_changed_meanwhile),
    TEST(P24_descriptor_of_a_selector_tells_readiness),
    TEST(P27_all_selectors_tell_the_truth),
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_cases(cases, argc > 1 ? argv[1] : NULL);
}
