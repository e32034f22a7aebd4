/* backends: select poll epoll io_uring */
/* timeout: 240 */
/*
 * Subprocesses when something is missing: each allocation fails once in a whole life, and there are
 * ever so few descriptors (contract G5, U2, U36). Whatever comes of it, no child, descriptor or
 * memory is left.
 */
#include "tests/support/child.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ALLOCATIONS 200
#define MOST_DESCRIPTORS 16

/* A life: how it begins, and what the protocol does. */
struct life {
    int (*start)(struct job *j);
    void (*made)(struct job *j);
};

static int start_cat(struct job *j)
{
    return job_start(j, EDDY_SUBPROCESS(.argv = CHILD("cat")));
}

static int start_pty(struct job *j)
{
    return job_start(j, EDDY_SUBPROCESS(.argv = CHILD("read", "4", "out", "x"), .pty = true,
                                        .std_err = EDDY_STDIO_PIPE, .env = EDDY_ARGV("A=B")));
}

static int start_nothing(struct job *j)
{
    return job_start(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("no-such-program-anywhere")));
}

static int start_sleeper(struct job *j)
{
    return job_shell(j, "exec sleep 1000", EDDY_SUBPROCESS(.std_in = EDDY_STDIO_DEVNULL));
}

static void write_and_close(struct job *j)
{
    static char data[100000];
    struct eddy_transport *t = eddy_transport_get_pipe_transport(j->t, 0);

    eddy_transport_set_write_buffer_limits(t, 1000, 2000);
    eddy_transport_write(t, data, sizeof data);
    eddy_transport_close(t);
}

static void type(struct job *j)
{
    eddy_transport_write(eddy_transport_get_pipe_transport(j->t, 0), "abc\n", 4);
}

static void close_it(struct job *j)
{
    eddy_transport_close(j->t);
}

static void abort_it(struct job *j)
{
    eddy_transport_abort(j->t, EDDY_ERROR(-EPROTO, "enough"));
}

static const struct life lives[] = {
    {start_cat, write_and_close}, {start_pty, type},         {start_nothing, NULL},
    {start_sleeper, close_it},    {start_sleeper, abort_it},
};
#define LIVES (sizeof lives / sizeof lives[0])

static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* The code of starting, which alone tells of it, or what came of it. */
static int live(struct job *j, const struct life *life, bool *ret_started)
{
    j->on[JOB_MADE] = life->made;
    int rc = life->start(j);

    *ret_started = rc == 0;
    if (rc < 0) {
        CHECK(!eddy_protocol_is_attached(&j->sub.base));
        CHECK(!has_children());
        CHECK_TRACE(j->trace, "");
        return rc;
    }
    job_finish(j);
    JOB_UNTIL(j, !has_children());
    CHECK_INT(j->count[JOB_MADE] + j->count[JOB_FAILED], 1);
    CHECK_INT(j->count[JOB_LOST], j->count[JOB_MADE]);
    CHECK_INT(j->count[JOB_FINI], 1);
    return j->count[JOB_FAILED] > 0 ? j->code : 0;
}

/* ---- memory ---- */

/* Whether the nth allocation was one of this life's. */
static bool live_without(long nth, const struct life *life, const char *watcher)
{
    struct eddy_loop *loop;
    struct test_problems problems = {0};
    static struct job j;
    bool started;

    REQUIRE(test_loop_new_opts(EDDY_LOOP(.child_watcher = watcher, .on_problem = test_on_problem,
                                         .user = &problems),
                               &loop) == 0);
    job_init(&j, loop);
    test_fail_allocation(nth);
    int rc = live(&j, life, &started);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    if (!started && rc != -ENOMEM)
        FAIL("allocation %ld: started with %s", nth, test_code(rc));
    if (!started && !failed)
        FAIL("allocation %ld: started with %s, for no reason", nth, test_code(rc));
    test_loop_free(loop);
    return failed;
}

static void without_memory(const char *watcher)
{
    for (size_t i = 0; i < LIVES; i++) {
        long nth = 1;

        while (live_without(nth, &lives[i], watcher) && nth < MOST_ALLOCATIONS)
            nth++;
        CHECK(nth > 3 && nth < MOST_ALLOCATIONS);
    }
}

static void G5_U36_each_allocation_fails_once_by_pidfd(void)
{
    without_memory("pidfd");
}

static void G5_U36_each_allocation_fails_once_by_sigchld(void)
{
    without_memory("sigchld");
}

/* ---- descriptors ---- */

/* No more than so many more may be open, if there are no holes below; the limit before. */
static rlim_t allow(int more)
{
    struct rlimit limit;
    int next = fcntl(0, F_DUPFD_CLOEXEC, 0);

    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)(next + more);
    setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

/* Whether that was enough to start it. */
static bool live_with(int more, const struct life *life, const char *watcher)
{
    struct eddy_loop *loop;
    static struct job j;
    struct rlimit limit;
    bool started;

    getrlimit(RLIMIT_NOFILE, &limit);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.child_watcher = watcher), &loop) == 0);
    job_init(&j, loop);
    int descriptors = test_open_descriptors();
    limit.rlim_cur = allow(more);
    int rc = live(&j, life, &started);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (!started && rc != -EMFILE)
        FAIL("%d descriptors: started with %s", more, test_code(rc));
    test_run_steps(loop, 3);
    CHECK_INT(test_open_descriptors(), descriptors);
    test_loop_free(loop);
    return started;
}

/* In a process of its own, where there are no holes. */
static void without_descriptors(void *watcher)
{
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    for (size_t i = 0; i < LIVES; i++) {
        int more = 0;

        while (!live_with(more, &lives[i], watcher) && more < MOST_DESCRIPTORS)
            more++;
        CHECK(more > 1 && more < MOST_DESCRIPTORS);
        CHECK(live_with(more + 1, &lives[i], watcher));
    }
}

static void U2_U9_no_descriptors_left_by_pidfd(void)
{
    static char name[] = "pidfd";

    test_in_child(without_descriptors, name);
}

static void U2_U9_no_descriptors_left_by_sigchld(void)
{
    static char name[] = "sigchld";

    test_in_child(without_descriptors, name);
}

/* ---- processes ---- */

static void without_processes(void *user)
{
    struct eddy_loop *loop;
    static struct job j;
    struct rlimit none = {0, 0};
    bool started;

    (void)user;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) /* root has no limit */
        return;
    REQUIRE(test_loop_new(&loop) == 0);
    job_init(&j, loop);
    setrlimit(RLIMIT_NPROC, &none);
    CHECK_INT(live(&j, &lives[3], &started), -EAGAIN);
    CHECK(!started);
    test_loop_free(loop);
}

static void U2_no_processes_left(void)
{
    test_in_child(without_processes, NULL);
}

const struct test_case test_cases[] = {
    TEST(G5_U36_each_allocation_fails_once_by_pidfd),
    TEST(G5_U36_each_allocation_fails_once_by_sigchld),
    TEST(U2_U9_no_descriptors_left_by_pidfd),
    TEST(U2_U9_no_descriptors_left_by_sigchld),
    TEST(U2_no_processes_left),
    TEST_END,
};
