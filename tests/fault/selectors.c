/*
 * Selectors on their own without memory, descriptors, or a kernel that has them: contract G3, G5,
 * P13, P25. Main checks that nothing leaks.
 */
#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <eddy/backend.h>
#include <eddy/selector.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COPIES 300

static const char *const names[] = {"select", "poll", "epoll"};

#define NAMES (sizeof names / sizeof names[0])

static struct eddy_selector *open_named(const char *name)
{
    struct eddy_selector *s = NULL;
    REQUIRE(eddy_selector_new(name, NULL, &s) == 0);
    return s;
}

/* The first n copies, and nothing else, are in the map and known to the system. All are writable.
 */
static void check_registered(struct eddy_selector *s, const int *copies, int n)
{
    struct eddy_selector_event events[COPIES + 1];
    struct eddy_selector_key key = {.fd = -1};
    CHECK_INT(eddy_selector_map_size(eddy_selector_get_map(s)), n);
    for (int i = 0; i < n; i++) {
        CHECK(eddy_selector_map_next(eddy_selector_get_map(s), &key));
        if (key.fd != copies[i] || key.data != &copies[i])
            FAIL("%s: key %d of %d is that of descriptor %d", eddy_selector_name(s), i, n, key.fd);
    }
    CHECK_INT(s->cls->wait(s, 0, events, COPIES + 1), n);
}

/* Each allocation that registering the ith copy makes fails once, then none. Returns how many. */
static int register_with_failures(struct eddy_selector *s, int *copies, int i)
{
    int failed = 0;
    for (;; failed++) {
        test_fail_allocation(failed + 1);
        int rc = eddy_selector_register(s, copies[i], EDDY_WRITE, &copies[i], NULL);
        bool refused = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(rc, refused ? -ENOMEM : 0);
        if (!refused || failed > 10)
            return failed;
        check_registered(s, copies, i);
    }
}

static void G5_P12_each_allocation_of_registering_fails_once(void)
{
    int fds[2], copies[COPIES];
    test_socketpair(fds);
    for (int i = 0; i < COPIES; i++)
        REQUIRE((copies[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, i > 0 ? copies[i - 1] : 0)) >= 0);
    for (size_t k = 0; k < NAMES; k++) {
        struct eddy_selector *s = open_named(names[k]);
        int failed = 0;
        for (int i = 0; i < COPIES; i++)
            failed += register_with_failures(s, copies, i);
        CHECK(failed >= 3); /* the table, and more than one chunk of it */
        check_registered(s, copies, COPIES);
        /* What needs no memory goes on without. */
        test_fail_allocation(1);
        for (int i = 0; i < COPIES; i++) {
            CHECK_INT(eddy_selector_modify(s, copies[i], EDDY_READ, NULL, NULL), 0);
            CHECK_INT(eddy_selector_unregister(s, copies[i], NULL), 0);
        }
        CHECK(!test_allocation_failed());
        test_fail_allocation(0);
        check_registered(s, copies, 0);
        eddy_selector_free(s);
    }
    for (int i = 0; i < COPIES; i++)
        close(copies[i]);
    close(fds[0]);
    close(fds[1]);
}

static void G5_making_a_selector_without_memory(void)
{
    for (size_t k = 0; k <= NAMES; k++) {
        struct eddy_selector *s = NULL;
        struct eddy_error error = {.code = 0};
        test_fail_allocation(1);
        CHECK_INT(eddy_selector_new(k < NAMES ? names[k] : NULL, &error, &s), -ENOMEM);
        CHECK(s == NULL);
        CHECK_INT(error.code, -ENOMEM);
        CHECK(error.text[0] != '\0');
    }
}

static void G3_P26_loop_that_cannot_be_made_leaves_the_selector_to_its_user(void)
{
    for (size_t k = 0; k < NAMES; k++) {
        struct eddy_selector *s = open_named(names[k]);
        struct eddy_loop *loop = NULL;
        int fds[2], failed = 0, rc;
        test_socketpair(fds);
        for (;; failed++) {
            test_fail_allocation(failed + 1);
            rc = eddy_loop_new(EDDY_LOOP(.selector = s), &loop);
            test_fail_allocation(0);
            if (rc == 0 || failed > 100)
                break;
            CHECK_INT(rc, -ENOMEM);
            CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, NULL, NULL), 0);
            CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), 0);
        }
        CHECK(failed > 1);
        REQUIRE(rc == 0);
        CHECK_INT(eddy_loop_close(loop), 0);
        eddy_loop_unref(loop);
        close(fds[0]);
        close(fds[1]);
    }
}

static void P25_want_of_descriptors_is_told_not_worked_around(void)
{
    struct eddy_selector *s = NULL;
    struct rlimit limit, nothing;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    nothing = limit;
    nothing.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &nothing) == 0);
    int best = eddy_selector_new(NULL, NULL, &s);
    int poll = eddy_selector_new("poll", NULL, &s);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_INT(best, -EMFILE);
    REQUIRE(poll == 0); /* it has none */
    eddy_selector_free(s);
}

static void without_epoll(void *user)
{
    struct eddy_selector *s = NULL;
    struct eddy_error error = {.code = 0};
    (void)user;
    if (!forbid_system_call(SYS_epoll_create1, EPERM))
        return;
    CHECK_INT(eddy_selector_new("epoll", &error, &s), -EPERM);
    CHECK(strstr(error.text, "epoll") != NULL);
    CHECK(s == NULL);
    REQUIRE(eddy_selector_new(NULL, NULL, &s) == 0);
    CHECK_STR(eddy_selector_name(s), "poll");
    eddy_selector_free(s);
}

static void P25_the_best_one_that_works_is_found_by_trying(void)
{
    test_in_child(without_epoll, NULL);
}

/* ---- what a system refuses ---- */

static void P13_files_are_refused_by_epoll_and_taken_by_others(void)
{
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (size_t k = 0; k < NAMES; k++) {
        struct eddy_selector *s = open_named(names[k]);
        bool epoll = strcmp(names[k], "epoll") == 0;
        CHECK_INT(eddy_selector_register(s, file, EDDY_READ, NULL, NULL), epoll ? -EPERM : 0);
        CHECK_INT(eddy_selector_map_size(eddy_selector_get_map(s)), !epoll);
        eddy_selector_free(s);
    }
    close(file);
}

static void P15_system_that_refuses_a_modification_has_it_dropped(void)
{
    struct eddy_selector *s = open_named("epoll");
    struct eddy_selector_ready ready[1];
    int fds[2], count = -1;
    test_socketpair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, NULL, NULL), 0);
    close(fds[0]);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_WRITE, NULL, NULL), -EBADF);
    CHECK_INT(eddy_selector_get_key(s, fds[0], NULL), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_selector_select(s, 0, 1, ready, &count), 0);
    CHECK_INT(count, 0);
    eddy_selector_free(s);
    close(fds[1]);
}

const struct test_case test_cases[] = {
    TEST(G5_P12_each_allocation_of_registering_fails_once),
    TEST(G5_making_a_selector_without_memory),
    TEST(G3_P26_loop_that_cannot_be_made_leaves_the_selector_to_its_user),
    TEST(P25_want_of_descriptors_is_told_not_worked_around),
    TEST(P25_the_best_one_that_works_is_found_by_trying),
    TEST(P13_files_are_refused_by_epoll_and_taken_by_others),
    TEST(P15_system_that_refuses_a_modification_has_it_dropped),
    TEST_END,
};
