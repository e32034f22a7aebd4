/* Readiness and time, every scenario over every selector (contract P27). */
#include "tests/unit/selectors.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

static void make_pipe(int ends[2])
{
    REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

/* ---- readiness ---- */

static void P17_events_are_those_registered_and_ready(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int fds[2];

        test_socketpair(fds);
        CHECK_READY(s, 0, 0, 0);
        CHECK_INT(set(s, fds[0], 1, 0, EDDY_READ), 0);
        CHECK_READY(s, 1, EDDY_READ, 0);
        CHECK_INT(write(fds[1], "x", 1), 1);
        CHECK_READY(s, 1, EDDY_READ, EDDY_READ);
        CHECK_READY(s, 1, EDDY_READ, EDDY_READ); /* level-triggered */
        CHECK_INT(set(s, fds[0], 1, EDDY_READ, BOTH), 0);
        CHECK_READY(s, 1, BOTH, BOTH); /* in one event */
        CHECK_INT(set(s, fds[0], 1, BOTH, EDDY_WRITE), 0);
        CHECK_READY(s, 1, BOTH, EDDY_WRITE);
        fill(fds[0]);
        CHECK_READY(s, 1, EDDY_WRITE, 0);
        CHECK_INT(set(s, fds[0], 1, EDDY_WRITE, BOTH), 0);
        CHECK_READY(s, 1, BOTH, EDDY_READ);
        CHECK_INT(set(s, fds[0], 1, BOTH, 0), 0);
        CHECK_READY(s, 1, BOTH, 0);
        close_both(fds);
    }
}

static void cookie_is_kept_whole_and_can_change(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], UINT64_MAX - 1, 0, EDDY_WRITE), 0);
        CHECK_READY(s, UINT64_MAX - 1, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, fds[0], 0x123456789abcdef0, EDDY_WRITE, EDDY_WRITE), 0);
        CHECK_READY(s, 0x123456789abcdef0, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, fds[0], 0, EDDY_WRITE, 0), 0);
        close_both(fds);
    }
}

static void P19_hang_up_counts_as_all_registered_events(void)
{
    static const unsigned masks[] = {EDDY_READ, EDDY_WRITE, EDDY_READ | EDDY_WRITE};

    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        FOR_EACH_SELECTOR(s)
        {
            int fds[2];

            test_socketpair(fds);
            CHECK_INT(set(s, fds[0], 7, 0, masks[i]), 0);
            close(fds[1]);
            CHECK_READY(s, 7, masks[i], masks[i]);
            CHECK_INT(set(s, fds[0], 7, masks[i], 0), 0);
            close(fds[0]);
        }
    }
}

static void P19_pipes_tell_that_their_other_end_is_gone(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int ends[2];

        make_pipe(ends);
        CHECK_INT(set(s, ends[0], 1, 0, EDDY_READ), 0);
        CHECK_READY(s, 1, EDDY_READ, 0);
        close(ends[1]);
        CHECK_READY(s, 1, EDDY_READ, EDDY_READ);
        CHECK_INT(set(s, ends[0], 1, EDDY_READ, 0), 0);
        close(ends[0]);

        make_pipe(ends);
        fill(ends[1]);
        CHECK_INT(set(s, ends[1], 2, 0, EDDY_WRITE), 0);
        CHECK_READY(s, 2, EDDY_WRITE, 0);
        close(ends[0]);
        CHECK_READY(s, 2, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, ends[1], 2, EDDY_WRITE, 0), 0);
        close(ends[1]);
    }
}

static void hang_up_without_interest_does_not_spin(void)
{
    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        eddy_nsec start;
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], 1, 0, BOTH), 0);
        CHECK_INT(set(s, fds[0], 1, BOTH, 0), 0);
        close(fds[1]);
        start = now();
        CHECK_INT(wait_for(s, EDDY_MSEC(5), &event, 1), 0);
        CHECK(now() - start >= EDDY_MSEC(5));
        close(fds[0]);
    }
}

static void more_ready_than_room_are_served_in_turns(void)
{
    enum { PAIRS = 10, ROOM = 3 };

    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event events[ROOM];
        int fds[PAIRS][2], seen[PAIRS] = {0}, least = 100, most = 0;

        for (int i = 0; i < PAIRS; i++) {
            test_socketpair(fds[i]);
            CHECK_INT(set(s, fds[i][0], (uint64_t)i, 0, EDDY_WRITE), 0);
        }
        for (int call = 0; call < 10 * PAIRS; call++) {
            int n = wait_for(s, 0, events, ROOM);

            CHECK_INT(n, ROOM);
            CHECK(events[0].cookie != events[1].cookie && events[1].cookie != events[2].cookie &&
                  events[0].cookie != events[2].cookie);
            for (int k = 0; k < n; k++)
                seen[events[k].cookie]++;
            if (call == (PAIRS + ROOM - 1) / ROOM - 1) {
                for (int i = 0; i < PAIRS; i++)
                    CHECK(seen[i] > 0);
            }
        }
        for (int i = 0; i < PAIRS; i++) {
            least = seen[i] < least ? seen[i] : least;
            most = seen[i] > most ? seen[i] : most;
            CHECK_INT(set(s, fds[i][0], 0, EDDY_WRITE, 0), 0);
            close_both(fds[i]);
        }
        if (least * 2 < most)
            FAIL("%s: between %d and %d times", s->cls->name, least, most);
    }
}

static void removal_among_the_waiting_loses_none(void)
{
    enum { PAIRS = 9 };

    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event events[PAIRS];
        int fds[PAIRS][2], n;
        unsigned seen = 0;

        for (int i = 0; i < PAIRS; i++) {
            test_socketpair(fds[i]);
            CHECK_INT(set(s, fds[i][0], (uint64_t)i, 0, EDDY_WRITE), 0);
        }
        CHECK_INT(wait_for(s, 0, events, 4), 4); /* the next begins in the midst */
        for (int i = 0; i < PAIRS; i += 2)
            CHECK_INT(set(s, fds[i][0], 0, EDDY_WRITE, 0), 0);
        n = wait_for(s, 0, events, PAIRS);
        CHECK_INT(n, PAIRS / 2);
        for (int k = 0; k < n; k++)
            seen |= 1u << events[k].cookie;
        CHECK_INT(seen, 0xaa);
        for (int i = 0; i < PAIRS; i++) {
            CHECK_INT(set(s, fds[i][0], 0, i % 2 != 0 ? EDDY_WRITE : 0, 0), 0);
            close_both(fds[i]);
        }
        CHECK_INT(wait_for(s, 0, events, PAIRS), 0);
    }
}

/* ---- time ---- */

static void L37_P17_time_out_is_never_early(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], 1, 0, EDDY_READ), 0);
        check_never_early(s);
        CHECK_INT(set(s, fds[0], 1, EDDY_READ, 0), 0);
        close_both(fds);
    }
}

static void P20_waits_with_nothing_registered(void)
{
    FOR_EACH_SELECTOR(s)
    check_never_early(s);
}

static void P17_no_time_or_less_just_looks(void)
{
    static const eddy_nsec none[] = {0, -1, -EDDY_SEC(1000), INT64_MIN};

    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], 1, 0, EDDY_READ), 0);
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
            CHECK_INT(wait_for(s, none[i], &event, 1), 0);
        CHECK_INT(set(s, fds[0], 1, EDDY_READ, 0), 0);
        close_both(fds);
    }
}

static void longest_times_are_accepted(void)
{
    static const eddy_nsec longest[] = {EDDY_FOREVER, EDDY_FOREVER - 1, EDDY_SEC(1) << 32,
                                        EDDY_SEC(86401)};

    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], 1, 0, EDDY_WRITE), 0);
        for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++)
            CHECK_INT(wait_for(s, longest[i], &event, 1), 1);
        CHECK_INT(set(s, fds[0], 1, EDDY_WRITE, 0), 0);
        close_both(fds);
    }
}

static void *write_one(void *user)
{
    CHECK_INT(write(*(const int *)user, "x", 1), 1);
    return NULL;
}

static void P17_no_time_out_waits_until_something_is_ready(void)
{
    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        pthread_t thread;
        int fds[2];

        test_socketpair(fds);
        CHECK_INT(set(s, fds[0], 5, 0, EDDY_READ), 0);
        REQUIRE(pthread_create(&thread, NULL, write_one, &fds[1]) == 0);
        CHECK_INT(wait_for(s, EDDY_FOREVER, &event, 1), 1);
        CHECK_INT(event.cookie, 5);
        pthread_join(thread, NULL);
        CHECK_INT(set(s, fds[0], 5, EDDY_READ, 0), 0);
        close_both(fds);
    }
}

static void on_alarm(int signum)
{
    (void)signum;
}

static void G27_signal_ends_the_wait_without_an_error(void)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval often = {{0, 3000}, {0, 3000}}, off = {{0, 0}, {0, 0}};

    REQUIRE(sigaction(SIGALRM, &action, &before) == 0);
    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        eddy_nsec start = now();

        REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
        CHECK_INT(wait_for(s, EDDY_SEC(50), &event, 1), 0);
        CHECK_INT(wait_for(s, EDDY_FOREVER, &event, 1), 0);
        setitimer(ITIMER_REAL, &off, NULL);
        CHECK(now() - start < EDDY_SEC(50));
    }
    sigaction(SIGALRM, &before, NULL);
}

/* ---- all alike ---- */

#define PAIRS 40

static uint32_t random_state;

static unsigned next_random(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

/* What the system says of one descriptor. */
static unsigned truth(int fd, unsigned mask)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

    CHECK(poll(&p, 1, 0) >= 0);
    if ((p.revents & (POLLHUP | POLLERR)) != 0)
        return mask;
    return mask & (((p.revents & POLLIN) != 0 ? EDDY_READ : 0u) |
                   ((p.revents & POLLOUT) != 0 ? EDDY_WRITE : 0u));
}

static char bulk[300000];

static void drain(int fd)
{
    while (read(fd, bulk, sizeof(bulk)) > 0)
        continue;
}

static void stir(int fds[2])
{
    switch (next_random(5)) {
    case 0:
        (void)send(fds[1], bulk, 1, MSG_NOSIGNAL);
        break;
    case 1:
        drain(fds[0]);
        break;
    case 2:
        while (send(fds[0], bulk, sizeof(bulk), MSG_NOSIGNAL) > 0)
            continue;
        break;
    case 3:
        drain(fds[1]);
        break;
    default:
        if (next_random(4) != 0)
            break;
        shutdown(fds[1], next_random(2) == 0 ? SHUT_WR : SHUT_RDWR);
        drain(fds[1]); /* see select.c for the hang-up that select cannot see */
        break;
    }
}

static void P27_all_selectors_see_the_same(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int fds[PAIRS][2];
        unsigned masks[PAIRS] = {0};
        struct eddy_selector_event events[PAIRS + 1];

        random_state = 2463534242;
        for (int i = 0; i < PAIRS; i++)
            test_socketpair(fds[i]);
        for (int step = 0; step < 400; step++) {
            unsigned i = next_random(PAIRS), mask = next_random(4);
            unsigned seen[PAIRS] = {0};
            int n;

            stir(fds[i]);
            CHECK_INT(set(s, fds[i][0], i, masks[i], mask), 0);
            masks[i] = mask;
            n = wait_for(s, 0, events, PAIRS + 1);
            for (int k = 0; k < n; k++) {
                CHECK_INT(seen[events[k].cookie], 0);
                seen[events[k].cookie] = events[k].events & masks[events[k].cookie];
            }
            for (int k = 0; k < PAIRS; k++) {
                if (seen[k] != truth(fds[k][0], masks[k]))
                    FAIL("%s: step %d, descriptor %d: %u, not %u", s->cls->name, step, k, seen[k],
                         truth(fds[k][0], masks[k]));
            }
        }
        for (int i = 0; i < PAIRS; i++) {
            CHECK_INT(set(s, fds[i][0], 0, masks[i], 0), 0);
            close_both(fds[i]);
        }
    }
}

const struct test_case test_cases[] = {
    TEST(P17_events_are_those_registered_and_ready),
    TEST(cookie_is_kept_whole_and_can_change),
    TEST(P19_hang_up_counts_as_all_registered_events),
    TEST(P19_pipes_tell_that_their_other_end_is_gone),
    TEST(hang_up_without_interest_does_not_spin),
    TEST(more_ready_than_room_are_served_in_turns),
    TEST(removal_among_the_waiting_loses_none),
    TEST(L37_P17_time_out_is_never_early),
    TEST(P20_waits_with_nothing_registered),
    TEST(P17_no_time_or_less_just_looks),
    TEST(longest_times_are_accepted),
    TEST(P17_no_time_out_waits_until_something_is_ready),
    TEST(G27_signal_ends_the_wait_without_an_error),
    TEST(P27_all_selectors_see_the_same),
    TEST_END,
};
