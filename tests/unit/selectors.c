/* Every scenario over every selector (contract P27). */
#include "framework/backends/selectors.h"
#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <eddy/backend.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define BOTH ((unsigned)(EDDY_READ | EDDY_WRITE))

static const struct eddy_selector_class *const classes[] = {
    &eddy_select_selector,
    &eddy_poll_selector,
    &eddy_epoll_selector,
};

#define CLASSES (sizeof(classes) / sizeof(classes[0]))

static struct eddy_selector *open_selector(const struct eddy_selector_class *cls)
{
    struct eddy_selector *s = NULL;

    REQUIRE(cls->open(eddy_sys_posix(), &s) == 0);
    REQUIRE(s->cls == cls);
    CHECK_INT(cls->abi_size, sizeof(struct eddy_selector_class));
    return s;
}

#define FOR_EACH_SELECTOR(s)                                                  \
    for (struct eddy_selector **each_ = open_all(), *s; (s = *each_) != NULL; \
         each_++, s->cls->close(s))

/* One of each, ended by NULL; closed one by one as the loop above goes on. */
static struct eddy_selector **open_all(void)
{
    static struct eddy_selector *all[CLASSES + 1];

    for (size_t i = 0; i < CLASSES; i++)
        all[i] = open_selector(classes[i]);
    all[CLASSES] = NULL;
    return all;
}

static int set(struct eddy_selector *s, int fd, uint64_t cookie, unsigned old, unsigned now)
{
    return s->cls->set(s, fd, cookie, old, now);
}

static int wait_for(struct eddy_selector *s, eddy_nsec timeout, struct eddy_selector_event *events,
                    int max)
{
    return s->cls->wait(s, timeout, events, max);
}

static eddy_nsec now(void)
{
    return eddy_sys_posix()->cls->now(eddy_sys_posix());
}

/* That one wait without time brings the event of one descriptor, registered for `mask`, and no
 * other; 0: none. */
static void check_ready(struct eddy_selector *s, uint64_t cookie, unsigned mask, unsigned expected,
                        int line)
{
    struct eddy_selector_event events[8];
    int n = wait_for(s, 0, events, 8);
    unsigned got = n == 1 ? events[0].events & mask : 0;

    if (n != (expected != 0))
        test_fail(__FILE__, line, "%s: %d events", s->cls->name, n);
    else if (n == 1 && events[0].cookie != cookie)
        test_fail(__FILE__, line, "%s: another cookie", s->cls->name);
    else if (got != expected)
        test_fail(__FILE__, line, "%s: events %u, expected %u", s->cls->name, got, expected);
    else
        test_check(true, "ready", __FILE__, line);
}

#define CHECK_READY(s, cookie, mask, expected) check_ready(s, cookie, mask, expected, __LINE__)

static void fill(int fd)
{
    char bytes[4096] = {0};

    while (write(fd, bytes, sizeof(bytes)) > 0)
        continue;
    CHECK_INT(errno, EAGAIN);
}

static void make_pipe(int ends[2])
{
    REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

static void close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
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

static const eddy_nsec spans[] = {1, 999, EDDY_USEC(50), EDDY_MSEC(1) + 1, EDDY_USEC(2500)};

static void check_never_early(struct eddy_selector *s)
{
    struct eddy_selector_event event;

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        eddy_nsec start = now();
        int n = wait_for(s, spans[i], &event, 1);

        if (n != 0 || now() - start < spans[i])
            FAIL("%s: %d after %lld ns of %lld", s->cls->name, n, (long long)(now() - start),
                 (long long)spans[i]);
    }
}

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

/* ---- descriptors ---- */

static void P14_descriptor_closed_before_is_removed_without_error(void)
{
    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event event;
        int fds[2], other[2];

        test_socketpair(fds);
        test_socketpair(other);
        CHECK_INT(set(s, fds[0], 1, 0, BOTH), 0);
        CHECK_INT(set(s, other[0], 2, 0, EDDY_WRITE), 0);
        close(fds[0]);
        CHECK_INT(set(s, fds[0], 1, BOTH, 0), 0);
        CHECK_INT(set(s, fds[0], 1, 0, 0), 0); /* also what never was */
        CHECK_READY(s, 2, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, other[0], 2, EDDY_WRITE, 0), 0);
        CHECK_INT(wait_for(s, 0, &event, 1), 0);
        CHECK_INT(set(s, -1, 0, 0, 0), 0);
        close(fds[1]);
        close_both(other);
    }
}

static void P13_descriptor_closed_while_registered_does_not_fail_the_wait(void)
{
    FOR_EACH_SELECTOR(s)
    {
        struct eddy_selector_event events[4];
        int fds[2], other[2], n;
        bool found = false;

        test_socketpair(fds);
        test_socketpair(other);
        CHECK_INT(set(s, fds[0], 1, 0, BOTH), 0);
        CHECK_INT(set(s, other[0], 2, 0, EDDY_WRITE), 0);
        close(fds[0]);
        /* epoll forgets it; select and poll report it, that its owner may notice. */
        n = wait_for(s, 0, events, 4);
        CHECK(n >= 1 && n <= 2);
        for (int i = 0; i < n; i++) {
            found = found || events[i].cookie == 2;
            CHECK(events[i].cookie == 2 || events[i].events == BOTH);
        }
        CHECK(found || s->cls == &eddy_select_selector);
        CHECK_INT(set(s, fds[0], 1, BOTH, 0), 0);
        CHECK_READY(s, 2, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, other[0], 2, EDDY_WRITE, 0), 0);
        close(fds[1]);
        close_both(other);
    }
}

static void number_used_anew_behind_the_back_is_registered(void)
{
    FOR_EACH_SELECTOR(s)
    {
        int fds[2], anew[2];

        test_socketpair(fds);
        test_socketpair(anew);
        CHECK_INT(set(s, fds[0], 1, 0, EDDY_READ), 0);
        /* The caller believes it registered, the kernel has forgotten it. */
        REQUIRE(dup2(anew[0], fds[0]) == fds[0]);
        CHECK_INT(set(s, fds[0], 2, EDDY_READ, BOTH), 0);
        CHECK_READY(s, 2, BOTH, EDDY_WRITE);
        /* The caller believes it new, the selector knows it. */
        CHECK_INT(set(s, fds[0], 3, 0, EDDY_WRITE), 0);
        CHECK_READY(s, 3, EDDY_WRITE, EDDY_WRITE);
        CHECK_INT(set(s, fds[0], 3, EDDY_WRITE, 0), 0);
        CHECK_READY(s, 3, EDDY_WRITE, 0);
        close_both(fds);
        close_both(anew);
    }
}

static void P22_select_refuses_what_does_not_fit(void)
{
    struct eddy_selector *s = open_selector(&eddy_select_selector);
    static const int refused[] = {-1, FD_SETSIZE, FD_SETSIZE + 1, 100000, INT32_MAX};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        CHECK_INT(s->cls->fits(s, refused[i]), -EINVAL);
        CHECK_INT(set(s, refused[i], 1, 0, BOTH), -EINVAL);
        CHECK_INT(set(s, refused[i], 1, BOTH, 0), 0);
    }
    CHECK_INT(s->cls->fits(s, 0), 0);
    CHECK_INT(s->cls->fits(s, FD_SETSIZE - 1), 0);
    CHECK_READY(s, 0, 0, 0);
    s->cls->close(s);
}

/* A copy of fd with a number of at least `from`; -1 if the system allows none. */
static int dup_high(int fd, int from)
{
    struct rlimit limit;

    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur <= (rlim_t)from && limit.rlim_max > (rlim_t)from) {
        limit.rlim_cur = (rlim_t)from + 1;
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, from);
}

static void highest_descriptor_of_select(void)
{
    struct eddy_selector *s = open_selector(&eddy_select_selector);
    int fds[2], high;

    test_socketpair(fds);
    high = dup_high(fds[0], FD_SETSIZE - 1);
    if (high == FD_SETSIZE - 1) {
        CHECK_INT(set(s, high, 9, 0, BOTH), 0);
        CHECK_READY(s, 9, BOTH, EDDY_WRITE);
        CHECK_INT(set(s, high, 9, BOTH, 0), 0);
    }
    if (high >= 0)
        close(high);
    close_both(fds);
    s->cls->close(s);
}

static void P22_others_take_large_descriptors(void)
{
    for (size_t i = 1; i < CLASSES; i++) {
        struct eddy_selector *s = open_selector(classes[i]);
        int fds[2], high;

        test_socketpair(fds);
        high = dup_high(fds[0], 3000);
        if (high >= 0) {
            CHECK(s->cls->fits == NULL || s->cls->fits(s, high) == 0);
            CHECK_INT(set(s, high, 9, 0, BOTH), 0);
            CHECK_READY(s, 9, BOTH, EDDY_WRITE);
            CHECK_INT(set(s, high, 9, BOTH, 0), 0);
            close(high);
        }
        close_both(fds);
        s->cls->close(s);
    }
}

static void P13_refusal_leaves_the_registrations(void)
{
    struct eddy_selector *s = open_selector(&eddy_epoll_selector);
    int fds[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    test_socketpair(fds);
    CHECK_INT(set(s, fds[0], 1, 0, EDDY_WRITE), 0);
    CHECK_INT(set(s, file, 2, 0, EDDY_READ), -EPERM);
    CHECK_INT(set(s, 99999, 2, 0, EDDY_READ), -EBADF);
    CHECK_INT(set(s, -1, 2, 0, EDDY_READ), -EBADF);
    CHECK_READY(s, 1, EDDY_WRITE, EDDY_WRITE);
    s->cls->close(s);
    s = open_selector(&eddy_poll_selector);
    CHECK_INT(set(s, -1, 2, 0, EDDY_READ), -EBADF);
    CHECK_READY(s, 0, 0, 0);
    s->cls->close(s);
    close(file);
    close_both(fds);
}

static void P24_epoll_has_a_descriptor_that_tells_readiness(void)
{
    struct eddy_selector *s = open_selector(&eddy_epoll_selector);
    struct pollfd p = {.events = POLLIN};
    int fds[2];

    test_socketpair(fds);
    p.fd = s->cls->fileno(s);
    CHECK(p.fd >= 0);
    CHECK((fcntl(p.fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_INT(set(s, fds[0], 1, 0, EDDY_READ), 0);
    CHECK_INT(poll(&p, 1, 0), 0);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(poll(&p, 1, 0), 1);
    s->cls->close(s);
    close_both(fds);
    CHECK(eddy_select_selector.fileno == NULL);
    CHECK(eddy_poll_selector.fileno == NULL);
}

/* ---- fork ---- */

static struct {
    struct eddy_selector *s;
    int inherited[2], own[2];
} forked;

static void in_the_child(void *user)
{
    struct eddy_selector *s = forked.s;
    int descriptors = test_open_descriptors();

    (void)user;
    if (s->cls->forked != NULL)
        CHECK_INT(s->cls->forked(s), 0);
    CHECK_INT(test_open_descriptors(), descriptors);
    CHECK_READY(s, 0, 0, 0); /* it starts anew, empty */
    CHECK_INT(set(s, forked.own[0], 2, 0, EDDY_WRITE), 0);
    CHECK_INT(set(s, forked.inherited[0], 3, 0, EDDY_READ), 0);
    CHECK_READY(s, 2, EDDY_WRITE, EDDY_WRITE);
    CHECK_INT(set(s, forked.inherited[0], 3, EDDY_READ, 0), 0);
}

static void L72_fork_leaves_the_parents_registrations(void)
{
    FOR_EACH_SELECTOR(s)
    {
        forked.s = s;
        test_socketpair(forked.inherited);
        test_socketpair(forked.own);
        CHECK_INT(set(s, forked.inherited[0], 1, 0, BOTH), 0);
        test_in_child(in_the_child, NULL);
        CHECK_READY(s, 1, BOTH, EDDY_WRITE);
        CHECK_INT(set(s, forked.inherited[0], 1, BOTH, 0), 0);
        close_both(forked.inherited);
        close_both(forked.own);
    }
}

/* ---- what may be missing ---- */

static void without_pwait2(void *user)
{
    struct eddy_selector *s;

    (void)user;
    if (!forbid_system_call(SYS_epoll_pwait2, ENOSYS))
        return;
    s = open_selector(&eddy_epoll_selector);
    check_never_early(s);
    s->cls->close(s);
}

static void epoll_works_without_the_newest_call(void)
{
    test_in_child(without_pwait2, NULL);
}

static void without_epoll(void *user)
{
    struct eddy_selector *s = NULL;

    (void)user;
    if (!forbid_system_call(SYS_epoll_create1, EPERM))
        return;
    CHECK_INT(eddy_epoll_selector.open(eddy_sys_posix(), &s), -EPERM);
    CHECK(s == NULL);
}

static void P25_epoll_is_tried_not_assumed(void)
{
    test_in_child(without_epoll, NULL);
}

static void G5_opening_without_memory_fails(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        struct eddy_selector *s = NULL;

        test_fail_allocation(1);
        CHECK_INT(classes[i]->open(eddy_sys_posix(), &s), -ENOMEM);
        CHECK(s == NULL);
    }
}

static void G5_registering_without_memory_changes_nothing(void)
{
    enum { COPIES = 200 };

    for (size_t c = 0; c < CLASSES; c++) {
        struct eddy_selector *s = open_selector(classes[c]);
        int fds[2], copies[COPIES], failures = 0;
        struct eddy_selector_event events[COPIES + 1];

        test_socketpair(fds);
        for (int i = 0; i < COPIES; i++) {
            int r;

            copies[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
            REQUIRE(copies[i] >= 0);
            for (long nth = 1;; nth++) {
                test_fail_allocation(nth);
                r = set(s, copies[i], (uint64_t)i, 0, EDDY_WRITE);
                if (!test_allocation_failed())
                    break;
                failures++;
                CHECK_INT(r, -ENOMEM);
                CHECK_INT(wait_for(s, 0, events, COPIES + 1), i);
            }
            test_fail_allocation(0);
            CHECK_INT(r, 0);
            CHECK_INT(wait_for(s, 0, events, COPIES + 1), i + 1);
        }
        CHECK(failures > 0 || classes[c] != &eddy_poll_selector);
        for (int i = 0; i < COPIES; i++) {
            CHECK_INT(set(s, copies[i], 0, EDDY_WRITE, 0), 0);
            close(copies[i]);
        }
        close_both(fds);
        s->cls->close(s);
    }
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
    TEST(P14_descriptor_closed_before_is_removed_without_error),
    TEST(P13_descriptor_closed_while_registered_does_not_fail_the_wait),
    TEST(number_used_anew_behind_the_back_is_registered),
    TEST(P22_select_refuses_what_does_not_fit),
    TEST(highest_descriptor_of_select),
    TEST(P22_others_take_large_descriptors),
    TEST(P13_refusal_leaves_the_registrations),
    TEST(P24_epoll_has_a_descriptor_that_tells_readiness),
    TEST(L72_fork_leaves_the_parents_registrations),
    TEST(epoll_works_without_the_newest_call),
    TEST(P25_epoll_is_tried_not_assumed),
    TEST(G5_opening_without_memory_fails),
    TEST(G5_registering_without_memory_changes_nothing),
    TEST(P27_all_selectors_see_the_same),
    TEST_END,
};
