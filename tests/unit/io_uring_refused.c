/* timeout: 120 */
/*
 * Systems that have no io_uring, or do not let us use it: asked for by name it is refused with a
 * sentence that says why, "proactor" goes on over a selector and says so in one line (contract P10,
 * P29). And those that have it, but no memory or no descriptor left for it.
 */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Such a system, and a part of the sentence about it. */
struct system {
    long number; /* 0: the one that we have */
    int error;
    const char *reason;
};

static const char forbidden[] = "kernel.io_uring_disabled or a seccomp filter forbids it";
static const char absent[] = "this kernel has none";
static const char old[] = "Linux 6.1 or later is needed";

static bool is_there(void)
{
    struct eddy_loop *loop = NULL;
    int rc = eddy_loop_new(EDDY_LOOP(.backend = "io_uring"), &loop);
    if (rc < 0)
        return false;
    test_loop_free(loop);
    return true;
}

/* It cannot do less than others. */
static void check_works(struct eddy_loop *loop)
{
    static struct test_trace trace;
    int fds[2];
    trace_clear(&trace);
    test_socketpair(fds);
    struct test_watch w = TEST_WATCH(&trace, "w", .then = test_watch_stop, .user = loop);
    struct test_post p = TEST_POST(&trace, "p");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "p w(R)");
    eddy_watch_remove(&w.node);
    close(fds[0]);
    close(fds[1]);
}

/* ---- what is refused ---- */

static void check_by_name(const char *reason)
{
    struct eddy_error error = {.code = 0};
    struct eddy_loop *loop = NULL;
    long live = test_live_allocations();
    int descriptors = test_open_descriptors();
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = "io_uring", .error = &error), &loop),
              EDDY_ENOT_SUPPORTED);
    CHECK(loop == NULL);
    CHECK_INT(error.code, EDDY_ENOT_SUPPORTED);
    CHECK(strstr(error.text, "\"io_uring\" cannot be used here") != NULL);
    if (!strstr(error.text, reason))
        FAIL("it says \"%s\", not \"%s\"", error.text, reason);
    CHECK_INT(test_live_allocations(), live);
    CHECK_INT(test_open_descriptors(), descriptors);
}

static void check_falls_back(const struct eddy_loop_opts *opts, const char *reason)
{
    struct eddy_loop *loop = NULL;
    long live = test_live_allocations();
    int descriptors = test_open_descriptors();
    test_log_begin();
    REQUIRE(eddy_loop_new(opts, &loop) == 0);
    CHECK(strcmp(eddy_loop_backend_name(loop), "io_uring") != 0);
    CHECK_INT(test_count_log("proactor over "), 1);
    CHECK_INT(test_count_log(reason), 1);
    CHECK_INT(test_count_log(""), 2); /* and "using ..." */
    check_works(loop);
    test_loop_free(loop);
    CHECK_INT(test_live_allocations(), live);
    CHECK_INT(test_open_descriptors(), descriptors);
}

static void check_refused(void *user)
{
    const struct system *system = user;
    if (system->number > 0 && !forbid_system_call(system->number, system->error)) {
        printf("(filters are not allowed here) ");
        return;
    }
    check_by_name(system->reason);
    check_by_name(system->reason);
    check_falls_back(EDDY_LOOP(.backend = "proactor"), system->reason);
    CHECK_INT(setenv("EDDY_BACKEND", "proactor", 1), 0);
    check_falls_back(EDDY_LOOP(.debug = false), system->reason);
}

static void check_system(long number, int error, const char *reason)
{
    struct system system = {number, error, reason};
    test_in_child(check_refused, &system);
}

static void P10_P29_a_filter_forbids_the_rings(void)
{
    check_system(__NR_io_uring_setup, EPERM, forbidden);
    check_system(__NR_io_uring_setup, EACCES, forbidden);
}

static void P10_P29_the_kernel_has_no_rings(void)
{
    check_system(__NR_io_uring_setup, ENOSYS, absent);
}

/* A ring is there, and of no use: nobody finds out who only looks whether it opens. */
static void P10_P29_a_filter_forbids_to_use_a_ring(void)
{
    if (!is_there())
        return;
    check_system(__NR_io_uring_enter, EPERM, forbidden);
    check_system(__NR_io_uring_enter, ENOSYS, absent);
}

static void P10_P29_a_filter_forbids_to_register_buffers(void)
{
    if (!is_there())
        return;
    check_system(__NR_io_uring_register, EPERM, forbidden);
}

static void P10_P29_the_kernel_knows_no_rings_of_buffers(void)
{
    if (!is_there())
        return;
    check_system(__NR_io_uring_register, EINVAL, old);
}

/* Whatever this one is: emulators and containers often have none. */
static void P10_P29_this_system_has_it_or_says_why_not(void)
{
    struct eddy_error error = {.code = 0};
    struct eddy_loop *loop = NULL;
    int rc = eddy_loop_new(EDDY_LOOP(.backend = "io_uring", .error = &error), &loop);
    if (rc < 0) {
        const char *colon = strrchr(error.text, ':');
        CHECK_INT(rc, EDDY_ENOT_SUPPORTED);
        if (CHECK(colon != NULL)) {
            printf("(%s) ", colon + 2);
            check_system(0, 0, colon + 2);
        }
        return;
    }
    printf("(it has) ");
    CHECK_STR(eddy_loop_backend_name(loop), "io_uring");
    check_works(loop);
    test_loop_free(loop);
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = "proactor"), &loop) == 0);
    CHECK_STR(eddy_loop_backend_name(loop), "io_uring");
    CHECK_INT(test_count_log("proactor over"), 0);
    test_loop_free(loop);
}

/* ---- what is short ---- */

static void G3_G5_each_allocation_fails_once_and_nothing_is_left(void)
{
    struct eddy_loop *loop = NULL;
    long live = test_live_allocations();
    int descriptors = test_open_descriptors(), rc = -ENOMEM;
    if (!is_there())
        return;
    for (long nth = 1; rc < 0; nth++) {
        struct eddy_error error = {.code = 0};
        test_fail_allocation(nth);
        rc = eddy_loop_new(EDDY_LOOP(.backend = "io_uring", .error = &error), &loop);
        if (!test_allocation_failed())
            break;
        CHECK_INT(rc, -ENOMEM);
        CHECK_INT(error.code, -ENOMEM);
        CHECK(error.text[0] != '\0');
        CHECK_INT(test_live_allocations(), live);
        CHECK_INT(test_open_descriptors(), descriptors);
        REQUIRE(nth < 100);
    }
    test_fail_allocation(0);
    REQUIRE(rc == 0);
    check_works(loop);
    test_loop_free(loop);
}

/* A proactor that is short of something does not quietly become another one. */
static void P29_G5_want_of_memory_is_no_reason_to_fall_back(void)
{
    struct eddy_loop *loop = NULL;
    if (!is_there())
        return;
    test_fail_allocation(2); /* the loop is the first */
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = "proactor"), &loop), -ENOMEM);
    CHECK(test_allocation_failed());
    CHECK_INT(test_count_log("proactor over"), 0);
}

/* Fills the gaps in the numbers used so far, so that just `room` more descriptors can be opened. */
static void leave_room_for(int room)
{
    struct rlimit limit;
    int fd = 0;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 64; i++) {
        int next = open("/dev/null", O_RDONLY);
        fd = next > fd ? next : fd;
    }
    limit.rlim_cur = (rlim_t)(fd + 1 + room);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void open_with_room(void *user)
{
    int *room = user, descriptors;
    long live = test_live_allocations();
    struct eddy_error error = {.code = 0};
    struct eddy_loop *loop = NULL;
    leave_room_for(*room);
    descriptors = *room > 0 ? test_open_descriptors() : 0;
    int rc = eddy_loop_new(EDDY_LOOP(.backend = "io_uring", .error = &error), &loop);
    if (*room >= 6) { /* more than it ever needs */
        REQUIRE(rc == 0);
        test_loop_free(loop);
    } else if (rc == 0) {
        test_loop_free(loop);
    } else {
        CHECK_INT(rc, -EMFILE);
        CHECK_INT(error.code, -EMFILE);
        CHECK_INT(test_live_allocations(), live);
        CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = "proactor"), &loop), -EMFILE);
        CHECK_INT(test_count_log("proactor over"), 0);
    }
    if (*room > 0)
        CHECK_INT(test_open_descriptors(), descriptors);
}

static void G3_S27_opening_at_the_limit_of_descriptors_leaves_none_open(void)
{
    if (!is_there())
        return;
    for (int room = 0; room <= 6; room++)
        test_in_child(open_with_room, &room);
}

const struct test_case test_cases[] = {
    TEST(P10_P29_this_system_has_it_or_says_why_not),
    TEST(P10_P29_a_filter_forbids_the_rings),
    TEST(P10_P29_the_kernel_has_no_rings),
    TEST(P10_P29_a_filter_forbids_to_use_a_ring),
    TEST(P10_P29_a_filter_forbids_to_register_buffers),
    TEST(P10_P29_the_kernel_knows_no_rings_of_buffers),
    TEST(G3_G5_each_allocation_fails_once_and_nothing_is_left),
    TEST(P29_G5_want_of_memory_is_no_reason_to_fall_back),
    TEST(G3_S27_opening_at_the_limit_of_descriptors_leaves_none_open),
    TEST_END,
};
