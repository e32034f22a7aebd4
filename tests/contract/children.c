/* Ends of child processes, by both watchers. */
/* backends: select poll epoll io_uring */
/* labels: threads */
/* timeout: 120 */
#include "framework/loop/loop.h"
#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct eddy_loop *loop;

static int new_loop(const char *kind)
{
    return test_loop_new_opts(EDDY_LOOP(.child_watcher = kind), &loop);
}

static void begin(const char *kind)
{
    loop = NULL;
    REQUIRE(new_loop(kind) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    loop = NULL;
}

/* The case `name` for both watchers. */
#define BY_EACH_WATCHER(name) \
    static void name(void)    \
    {                         \
        name##_by("pidfd");   \
        name##_by("sigchld"); \
    }

/* ---- children ---- */

struct kid {
    struct eddy_child node;
    int calls, returncode;
    void (*then)(struct kid *k);
    void *user;
};

static void kid_fn(struct eddy_child *c, int returncode)
{
    struct kid *k = EDDY_CONTAINER_OF(c, struct kid, node);
    k->calls++;
    k->returncode = returncode;
    CHECK(eddy_get_running_loop() == loop);
    if (k->then)
        k->then(k);
}

#define KID(...)                            \
    {                                       \
        .node = {.fn = kid_fn}, __VA_ARGS__ \
    }

static int gate[2];

/* Children that wait do so until it opens. */
static void make_gate(void)
{
    REQUIRE(pipe2(gate, O_CLOEXEC) == 0);
}

static void open_gate(void)
{
    close(gate[1]);
    close(gate[0]);
}

static pid_t start(int status)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(status);
    return pid;
}

static pid_t start_waiting(int status)
{
    pid_t pid = fork();
    char c;
    REQUIRE(pid >= 0);
    if (pid > 0)
        return pid;
    close(gate[1]);
    signal(SIGTERM, SIG_DFL);
    _exit(read(gate[0], &c, 1) == 0 ? status : 99);
}

/* It has ended, and is a zombie. */
static void await_end(pid_t pid)
{
    siginfo_t info;
    CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void check_reaped(pid_t pid)
{
    CHECK_INT(waitpid(pid, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

static bool was_called(void *user)
{
    return ((struct kid *)user)->calls > 0;
}

static void check_end(struct kid *k, int returncode)
{
    test_run_until(loop, was_called, k);
    test_run_steps(loop, 3);
    CHECK_INT(k->calls, 1);
    CHECK_INT(k->returncode, returncode);
    CHECK(!eddy_child_remove(&k->node));
}

/* ---- what is reported ---- */

static void P38_the_exit_status_or_the_signal_is_reported_once_by(const char *kind)
{
    static const int statuses[] = {0, 3, 255};
    begin(kind);
    for (int i = 0; i < 3; i++) {
        struct kid k = KID(0);
        pid_t pid = start(statuses[i]);
        CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
        CHECK_INT(k.calls, 0);
        check_end(&k, statuses[i]);
        check_reaped(pid);
    }
    static const int signals[] = {SIGTERM, SIGKILL, SIGABRT};
    for (int i = 0; i < 3; i++) {
        struct kid k = KID(0);
        make_gate();
        pid_t pid = start_waiting(0);
        CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
        test_run_steps(loop, 2);
        CHECK_INT(k.calls, 0);
        kill(pid, signals[i]);
        check_end(&k, -signals[i]);
        check_reaped(pid);
        open_gate();
    }
    end();
}
BY_EACH_WATCHER(P38_the_exit_status_or_the_signal_is_reported_once)

static void P40_a_child_that_ended_before_it_was_added_is_reported_by(const char *kind)
{
    begin(kind);
    struct kid k = KID(0);
    pid_t pid = start(7);
    await_end(pid);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
    CHECK_INT(k.calls, 0);
    check_end(&k, 7);
    end();
}
BY_EACH_WATCHER(P40_a_child_that_ended_before_it_was_added_is_reported)

static bool all_called(void *user)
{
    struct kid *kids = user;
    for (int i = 0; kids[i].node.fn; i++) {
        if (kids[i].calls == 0)
            return false;
    }
    return true;
}

/* At once, and before the loop looks. */
static void end_together(const char *kind, int count)
{
    struct kid *kids = calloc((size_t)count + 1, sizeof *kids);
    pid_t *pids = calloc((size_t)count, sizeof *pids);
    begin(kind);
    make_gate();
    for (int i = 0; i < count; i++) {
        kids[i].node.fn = kid_fn;
        pids[i] = start_waiting(i % 200);
        CHECK_INT(eddy_loop_add_child(loop, &kids[i].node, pids[i]), 0);
    }
    test_run_steps(loop, 2);
    open_gate();
    for (int i = 0; i < count; i += count / 2) /* some of them, that is */
        await_end(pids[i]);
    test_run_until(loop, all_called, kids);
    for (int i = 0; i < count; i++) {
        CHECK_INT(kids[i].calls, 1);
        CHECK_INT(kids[i].returncode, i % 200);
    }
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no zombie, no child */
    CHECK_INT(errno, ECHILD);
    end();
    free(pids);
    free(kids);
}

static void P40_children_that_end_together_are_all_reported_by(const char *kind)
{
    end_together(kind, 2);
}
BY_EACH_WATCHER(P40_children_that_end_together_are_all_reported)

static void U38_five_hundred_children_are_all_reaped_by(const char *kind)
{
    end_together(kind, 500);
}
BY_EACH_WATCHER(U38_five_hundred_children_are_all_reaped)

static void P41_a_child_reaped_by_somebody_else_is_unknown_by(const char *kind)
{
    begin(kind);
    test_expect_log("waited for by somebody else");
    struct kid before = KID(0), after = KID(0);
    pid_t pid = start(1);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_INT(eddy_loop_add_child(loop, &before.node, pid), 0);
    CHECK_INT(before.calls, 0);
    check_end(&before, EDDY_CHILD_UNKNOWN);

    make_gate();
    pid = start_waiting(1);
    CHECK_INT(eddy_loop_add_child(loop, &after.node, pid), 0);
    test_run_steps(loop, 2);
    open_gate();
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_INT(eddy_child_kill(&after.node, SIGTERM), 0);
    check_end(&after, 255);
    CHECK_INT(test_count_log("waited for by somebody else"), strcmp(kind, "pidfd") ? 4 : 2);
    end();
}
BY_EACH_WATCHER(P41_a_child_reaped_by_somebody_else_is_unknown)

static void P41_where_sigchld_is_ignored_a_pidfd_knows_no_status(void)
{
    struct kid k = KID(0);
    signal(SIGCHLD, SIG_IGN);
    test_expect_log("waited for by somebody else");
    begin("pidfd");
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start(3)), 0);
    check_end(&k, 255);
    end();
    CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
}

/* The loop's handler takes its place while there are children. */
static void P38_L68_an_ignored_sigchld_is_handled_and_then_ignored_again(void)
{
    struct kid k = KID(0);
    signal(SIGCHLD, SIG_IGN);
    begin("sigchld");
    make_gate();
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start_waiting(3)), 0);
    open_gate();
    check_end(&k, 3);
    CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
    end();
}

static void P44_other_children_are_left_alone_by(const char *kind)
{
    int status;
    begin(kind);
    struct kid k = KID(0);
    pid_t other = start(5), pid = start(6);
    await_end(other);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
    check_end(&k, 6);
    CHECK_INT(waitpid(other, &status, WNOHANG), other);
    CHECK_INT(WEXITSTATUS(status), 5);
    end();
}
BY_EACH_WATCHER(P44_other_children_are_left_alone)

static void U36_the_loop_may_stop_and_run_again_before_the_end_by(const char *kind)
{
    begin(kind);
    make_gate();
    struct kid k = KID(0);
    pid_t pid = start_waiting(4);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    open_gate();
    await_end(pid);
    eddy_loop_stop(loop);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    check_end(&k, 4);
    end();
}
BY_EACH_WATCHER(U36_the_loop_may_stop_and_run_again_before_the_end)

/* ---- nodes ---- */

static void P42_the_same_pid_again_replaces_the_node_by(const char *kind)
{
    begin(kind);
    make_gate();
    struct kid first = KID(0), second = KID(0);
    pid_t pid = start_waiting(4);
    CHECK_INT(eddy_loop_add_child(loop, &first.node, pid), 0);
    CHECK_INT(eddy_loop_add_child(loop, &first.node, pid), -EALREADY);
    CHECK_INT(eddy_loop_add_child(loop, &second.node, pid), 0);
    CHECK(!eddy_child_remove(&first.node));
    open_gate();
    check_end(&second, 4);
    CHECK_INT(first.calls, 0);
    end();
}
BY_EACH_WATCHER(P42_the_same_pid_again_replaces_the_node)

static void P42_a_child_that_is_removed_is_the_callers_by(const char *kind)
{
    int status;
    begin(kind);
    struct kid k = KID(0);
    CHECK(!eddy_child_remove(&k.node));
    for (int steps = 0; steps < 2; steps++) {
        make_gate();
        pid_t pid = start_waiting(4);
        CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
        test_run_steps(loop, steps);
        open_gate();
        await_end(pid);
        CHECK(eddy_child_remove(&k.node));
        CHECK(!eddy_child_remove(&k.node));
        test_run_steps(loop, 3);
        CHECK_INT(k.calls, 0);
        CHECK_INT(waitpid(pid, &status, WNOHANG), pid);
    }
    end();
}
BY_EACH_WATCHER(P42_a_child_that_is_removed_is_the_callers)

static void remove_other(struct kid *k)
{
    struct kid *other = k->user;
    CHECK(eddy_child_remove(&other->node));
}

/* Both have ended, and whoever is first takes the other out. */
static void G14_a_callback_removes_another_that_is_due_by(const char *kind)
{
    begin(kind);
    struct kid a = KID(.then = remove_other), b = KID(.then = remove_other, .user = &a);
    a.user = &b;
    pid_t pids[2] = {start(1), start(2)};
    CHECK_INT(eddy_loop_add_child(loop, &a.node, pids[0]), 0);
    CHECK_INT(eddy_loop_add_child(loop, &b.node, pids[1]), 0);
    await_end(pids[0]);
    await_end(pids[1]);
    test_run_steps(loop, 5);
    CHECK_INT(a.calls + b.calls, 1);
    CHECK_INT(waitpid(pids[a.calls], NULL, WNOHANG), pids[a.calls]);
    end();
}
BY_EACH_WATCHER(G14_a_callback_removes_another_that_is_due)

static void free_it(struct kid *k)
{
    bool *called = k->user;
    *called = true;
    free(k);
}

static void start_again(struct kid *k)
{
    if (k->calls < 3)
        CHECK_INT(eddy_loop_add_child(loop, &k->node, start(k->calls)), 0);
}

static bool thrice(void *user)
{
    return ((struct kid *)user)->calls == 3;
}

static void G13_G14_the_node_may_be_freed_or_used_again_in_its_callback_by(const char *kind)
{
    bool called = false;
    struct kid again = KID(.then = start_again), *k = calloc(1, sizeof *k);
    begin(kind);
    k->node.fn = kid_fn;
    k->then = free_it;
    k->user = &called;
    CHECK_INT(eddy_loop_add_child(loop, &k->node, start(0)), 0);
    CHECK_INT(eddy_loop_add_child(loop, &again.node, start(0)), 0);
    test_run_until(loop, test_is_true, &called);
    test_run_until(loop, thrice, &again);
    CHECK_INT(again.returncode, 2);
    end();
}
BY_EACH_WATCHER(G13_G14_the_node_may_be_freed_or_used_again_in_its_callback)

/* Its number was given to a new one: the former cannot be asked for any more. */
static void
P41_P42_a_child_started_with_the_number_of_another_is_not_taken_for_it_by(const char *kind)
{
    begin(kind);
    make_gate();
    test_expect_log("waited for by somebody else");
    struct kid former = KID(0), fresh = KID(0);
    pid_t pid = start_waiting(4);
    CHECK_INT(eddy_loop_add_child(loop, &former.node, pid), 0);
    CHECK_INT(eddy_child_add_pidfd(loop, &fresh.node, pid, -1), 0);
    CHECK_INT(eddy_child_kill(&former.node, SIGKILL), 0);
    CHECK_INT(former.calls, 0);
    check_end(&former, 255);
    CHECK_INT(fresh.calls, 0);
    open_gate();
    check_end(&fresh, 4);
    end();
}
BY_EACH_WATCHER(P41_P42_a_child_started_with_the_number_of_another_is_not_taken_for_it)

static void P38_the_pidfd_of_a_child_just_started_is_taken_over_by(const char *kind)
{
    begin(kind);
    struct kid k = KID(0);
    pid_t pid = start(9);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    REQUIRE(pidfd >= 0);
    CHECK_INT(eddy_child_add_pidfd(loop, &k.node, pid, pidfd), 0);
    check_end(&k, 9);
    CHECK_INT(fcntl(pidfd, F_GETFD), -1);
    end();
}
BY_EACH_WATCHER(P38_the_pidfd_of_a_child_just_started_is_taken_over)

/* ---- signals to them ---- */

static void U21_U22_a_signal_reaches_the_child_while_it_lives_by(const char *kind)
{
    begin(kind);
    make_gate();
    struct kid k = KID(0);
    CHECK_INT(eddy_child_kill(&k.node, SIGTERM), 0);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start_waiting(0)), 0);
    CHECK_INT(eddy_child_kill(&k.node, -1), -EINVAL);
    CHECK_INT(eddy_child_kill(&k.node, 65), -EINVAL);
    CHECK_INT(eddy_child_kill(NULL, SIGTERM), -EINVAL);
    CHECK_INT(eddy_child_kill(&k.node, 0), 0);
    test_run_steps(loop, 2);
    CHECK_INT(k.calls, 0);
    CHECK_INT(eddy_child_kill(&k.node, SIGTERM), 0);
    await_end(k.node.pid_);
    CHECK_INT(eddy_child_kill(&k.node, SIGTERM), 0); /* a zombie takes it */
    check_end(&k, -SIGTERM);
    CHECK_INT(eddy_child_kill(&k.node, SIGTERM), 0);
    open_gate();
    end();
}
BY_EACH_WATCHER(U21_U22_a_signal_reaches_the_child_while_it_lives)

/* ---- the loop's ends ---- */

static void P43_U37_a_loop_closed_with_children_says_so_and_leaves_them_by(const char *kind)
{
    int status;
    begin(kind);
    make_gate();
    test_expect_log("closed with 2 children");
    struct kid running = KID(0), ended = KID(0);
    pid_t zombie = start(1), pid = start_waiting(8);
    await_end(zombie);
    CHECK_INT(eddy_loop_add_child(loop, &running.node, pid), 0);
    CHECK_INT(eddy_loop_add_child(loop, &ended.node, zombie), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(!eddy_child_remove(&running.node));
    CHECK_INT(eddy_loop_add_child(loop, &running.node, pid), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_loop_children_work(loop), EDDY_ELOOP_CLOSED);
    end();
    check_reaped(zombie);
    CHECK_INT(kill(pid, 0), 0);
    open_gate();
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WEXITSTATUS(status), 8);
    CHECK_INT(running.calls + ended.calls, 0);
}
BY_EACH_WATCHER(P43_U37_a_loop_closed_with_children_says_so_and_leaves_them)

/* They are this process's brothers. */
static void go_on_in_child(void *user)
{
    struct kid *k = user;
    CHECK_INT(eddy_child_kill(&k->node, SIGKILL), 0);
    REQUIRE(eddy_loop_forked(loop) == 0);
    CHECK_INT(eddy_child_kill(&k->node, SIGKILL), 0);
    check_end(k, 255);
    struct kid own = KID(0);
    CHECK_INT(eddy_loop_add_child(loop, &own.node, start(3)), 0);
    check_end(&own, 3);
}

static void close_in_child(void *user)
{
    struct kid *k = user;
    int before = test_count_log("children");
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(k->calls, 0);
    CHECK_INT(test_count_log("children"), before);
}

static void L72_a_forked_process_leaves_the_children_to_its_parent_by(const char *kind)
{
    begin(kind);
    make_gate();
    struct kid k = KID(0);
    pid_t pid = start_waiting(2);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), 0);
    test_run_steps(loop, 1);
    test_in_child(go_on_in_child, &k);
    test_in_child(close_in_child, &k);
    CHECK_INT(kill(pid, 0), 0);
    test_run_steps(loop, 2);
    CHECK_INT(k.calls, 0);
    open_gate();
    check_end(&k, 2);
    end();
}
BY_EACH_WATCHER(L72_a_forked_process_leaves_the_children_to_its_parent)

/* ---- systems and limits ---- */

static void P39_an_unknown_watcher_is_refused(void)
{
    struct eddy_error error = {.code = 0};
    struct eddy_loop *none = NULL;
    CHECK_INT(test_loop_new_opts(EDDY_LOOP(.child_watcher = "fork", .error = &error), &none),
              -EINVAL);
    CHECK(strstr(error.text, "\"fork\"") != NULL);
    CHECK(none == NULL);
}

static void G4_bad_arguments_are_refused(void)
{
    struct kid k = KID(0);
    begin(NULL);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, 0), -EINVAL);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, -1), -EINVAL);
    CHECK_INT(eddy_loop_add_child(NULL, &k.node, 1), -EINVAL);
    CHECK_INT(eddy_loop_add_child(loop, NULL, 1), -EINVAL);
    k.node.fn = NULL;
    CHECK_INT(eddy_loop_add_child(loop, &k.node, getpid()), -EINVAL);
    CHECK(!eddy_child_remove(NULL));
    end();
}

static void P43_U5_nothing_is_watched_on_a_simulated_system(void)
{
    struct eddy_sys like_posix = *eddy_sys_posix();
    struct kid k = KID(0);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.debug = false), &loop) == 0);
    CHECK_INT(eddy_loop_children_work(loop), 0);
    struct eddy_sys *sys = loop->sys;
    loop->sys = &like_posix;
    CHECK_INT(eddy_loop_children_work(loop), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, 1), EDDY_ENOT_SUPPORTED);
    loop->sys = sys;
    end();
}

/* It works all the same, and by name says that it does not. */
static void check_without_pidfds(void *user)
{
    struct kid k = KID(0);
    int error = *(int *)user;
    if (!forbid_system_call(SYS_pidfd_open, error))
        return;
    begin(NULL);
    CHECK_INT(eddy_loop_children_work(loop), 0);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start(3)), 0);
    check_end(&k, 3);
    end();
    begin("pidfd");
    pid_t pid = start(0);
    CHECK_INT(eddy_loop_children_work(loop), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, pid), EDDY_ENOT_SUPPORTED);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    end();
}

static void P39_U5_children_are_watched_by_signal_where_there_are_no_pidfds(void)
{
    test_in_child(check_without_pidfds, &(int){ENOSYS});
    test_in_child(check_without_pidfds, &(int){EPERM});
}

/* A pidfd that cannot be signalled is of no use. */
static void check_without_signals(void *user)
{
    struct kid k = KID(0);
    (void)user;
    if (!forbid_system_call(SYS_pidfd_send_signal, EPERM))
        return;
    begin(NULL);
    make_gate();
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start_waiting(3)), 0);
    CHECK_INT(k.node.pidfd_, -1);
    CHECK_INT(eddy_child_kill(&k.node, SIGTERM), 0);
    check_end(&k, -SIGTERM);
    open_gate();
    end();
}

static void P39_U21_signals_arrive_where_a_filter_forbids_them_by_pidfd(void)
{
    test_in_child(check_without_signals, NULL);
}

static void use_up_descriptors(void)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (dup(1) >= 0)
        continue;
}

static void add_at_limit(void *user)
{
    struct kid k = KID(0), named = KID(0);
    (void)user;
    begin("pidfd");
    struct eddy_loop *by_name = loop;
    CHECK_INT(eddy_loop_children_work(by_name), 0);
    begin(NULL);
    use_up_descriptors();
    pid_t pid = start(1);
    CHECK_INT(eddy_loop_add_child(by_name, &named.node, pid), -EMFILE);
    CHECK(!eddy_child_remove(&named.node));
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_INT(eddy_loop_add_child(loop, &k.node, start(2)), 0);
    check_end(&k, 2);
    end();
    test_loop_free(by_name);
}

static void P39_a_child_without_a_descriptor_is_watched_by_signal(void)
{
    test_in_child(add_at_limit, NULL);
}

static void G5_each_allocation_fails_once_and_the_child_is_still_the_callers_by(const char *kind)
{
    long n = 0;
    bool failed;
    do {
        struct kid k = KID(0);
        begin(kind);
        pid_t pid = start(6);
        int descriptors = test_open_descriptors();
        test_fail_allocation(++n);
        int rc = eddy_loop_add_child(loop, &k.node, pid);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        if (rc == 0) {
            check_end(&k, 6);
        } else {
            CHECK_INT(rc, -ENOMEM);
            CHECK_INT(test_open_descriptors(), descriptors);
            CHECK(!eddy_child_remove(&k.node));
            CHECK_INT(waitpid(pid, NULL, 0), pid);
        }
        end();
    } while (failed && n < 20);
    CHECK(n > 1);
}
BY_EACH_WATCHER(G5_each_allocation_fails_once_and_the_child_is_still_the_callers)

const struct test_case test_cases[] = {
    TEST(P38_the_exit_status_or_the_signal_is_reported_once),
    TEST(P40_a_child_that_ended_before_it_was_added_is_reported),
    TEST(P40_children_that_end_together_are_all_reported),
    TEST(U38_five_hundred_children_are_all_reaped),
    TEST(P41_a_child_reaped_by_somebody_else_is_unknown),
    TEST(P41_where_sigchld_is_ignored_a_pidfd_knows_no_status),
    TEST(P38_L68_an_ignored_sigchld_is_handled_and_then_ignored_again),
    TEST(P44_other_children_are_left_alone),
    TEST(U36_the_loop_may_stop_and_run_again_before_the_end),
    TEST(P42_the_same_pid_again_replaces_the_node),
    TEST(P42_a_child_that_is_removed_is_the_callers),
    TEST(G14_a_callback_removes_another_that_is_due),
    TEST(G13_G14_the_node_may_be_freed_or_used_again_in_its_callback),
    TEST(P41_P42_a_child_started_with_the_number_of_another_is_not_taken_for_it),
    TEST(P38_the_pidfd_of_a_child_just_started_is_taken_over),
    TEST(U21_U22_a_signal_reaches_the_child_while_it_lives),
    TEST(P43_U37_a_loop_closed_with_children_says_so_and_leaves_them),
    TEST(L72_a_forked_process_leaves_the_children_to_its_parent),
    TEST(P39_an_unknown_watcher_is_refused),
    TEST(G4_bad_arguments_are_refused),
    TEST(P43_U5_nothing_is_watched_on_a_simulated_system),
    TEST(P39_U5_children_are_watched_by_signal_where_there_are_no_pidfds),
    TEST(P39_U21_signals_arrive_where_a_filter_forbids_them_by_pidfd),
    TEST(P39_a_child_without_a_descriptor_is_watched_by_signal),
    TEST(G5_each_allocation_fails_once_and_the_child_is_still_the_callers),
    TEST_END,
};
