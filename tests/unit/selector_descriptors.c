/* What descriptors do to selectors: closed, used anew, too large, refused, inherited; and what a
 * selector does without memory or kernel. */
#include "tests/unit/seccomp.h"
#include "tests/unit/selectors.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

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
    eddy_selector_free(s);
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
    eddy_selector_free(s);
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
        eddy_selector_free(s);
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
    eddy_selector_free(s);
    s = open_selector(&eddy_poll_selector);
    CHECK_INT(set(s, -1, 2, 0, EDDY_READ), -EBADF);
    CHECK_READY(s, 0, 0, 0);
    eddy_selector_free(s);
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
    eddy_selector_free(s);
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
    eddy_selector_free(s);
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
        eddy_selector_free(s);
    }
}

const struct test_case test_cases[] = {
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
    TEST_END,
};
