/* backends: select poll epoll io_uring */
/*
 * Starting subprocesses: the program, its streams and surroundings (contract U1-U12, U40), and what
 * is refused.
 */
#include "tests/support/child.h"
#include <eddy/backend.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether this process has a child, running or not. */
static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Everything to nowhere but standard output. */
#define ONLY_OUTPUT .std_in = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_INHERIT

/* What the child prints. */
static const char *output_of(struct job *j, const struct eddy_subprocess_opts *o)
{
    CHECK_INT(job_start(j, o), 0);
    job_finish(j);
    CHECK_INT(j->returncode, 0);
    return j->text[1];
}

/* ---- U.1 ---- */

JOB_CASE(U1_arguments_are_passed_unchanged)
{
    CHECK_STR(
        output_of(j, EDDY_SUBPROCESS(.argv = CHILD("out", "a  b", "out", "'\"$HOME\\*", "out", ""),
                                     ONLY_OUTPUT)),
        "a  b'\"$HOME\\*");
}

JOB_CASE(U1_a_program_is_looked_for_in_the_path)
{
    CHECK_STR(output_of(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("sh", "-c", "echo $0 $1", "x", "y"),
                                           ONLY_OUTPUT)),
              "x y\n");
}

JOB_CASE(U1_program_may_differ_from_its_first_argument)
{
    CHECK_STR(
        output_of(j, EDDY_SUBPROCESS(.program = "/bin/sh",
                                     .argv = EDDY_ARGV("other", "-c", "echo $0"), ONLY_OUTPUT)),
        "other\n");
}

JOB_CASE(U1_shell_runs_the_text)
{
    CHECK_INT(job_shell(j, "cat; echo to stderr >&2; exit 3", NULL), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "in", 2), 0);
    eddy_transport_close(job_pipe(j, 0));
    job_finish(j);
    CHECK_STR(j->text[1], "in");
    CHECK_STR(j->text[2], "to stderr\n");
    CHECK_INT(j->returncode, 3);
}

static void check_failed(struct job *j, int code, const char *word)
{
    CHECK_TRACE(j->trace, ""); /* never from inside the call */
    job_finish(j);
    CHECK_INT(j->count[JOB_FAILED], 1);
    CHECK_INT(j->count[JOB_MADE], 0);
    CHECK_INT(j->count[JOB_FINI], 1);
    CHECK_INT(j->code, code);
    CHECK_INT(j->status, code);
    CHECK(strstr(j->error.text, word) != NULL);
    CHECK(!has_children());
}

JOB_CASE(U2_not_found)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("/no/such/program", "x"))), 0);
    check_failed(j, -ENOENT, "/no/such/program");
}

JOB_CASE(U2_not_found_in_the_path)
{
    /* In a path of our own: in a folder that we may not look into it would be EACCES. */
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("no-such-program-anywhere"),
                                           .env = EDDY_ARGV("PATH=/usr/bin:/bin"))),
              0);
    check_failed(j, -ENOENT, "no-such-program-anywhere");
}

JOB_CASE(U2_no_permission)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("/dev/null"))), 0);
    check_failed(j, -EACCES, "/dev/null");
}

JOB_CASE(U2_bad_cwd)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"), .cwd = "/no/such/place")),
              0);
    check_failed(j, -ENOENT, "/no/such/place");
}

JOB_CASE(U2_bad_pass_fds)
{
    const int fd = 999;

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"), .pass_fds = &fd,
                                           .pass_fds_count = 1)),
              0);
    check_failed(j, -EBADF, "pass_fds");
}

JOB_CASE(U2_bad_pass_fds_with_a_pseudo_terminal)
{
    const int fd = 999;

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"), .pty = true, .pass_fds = &fd,
                                           .pass_fds_count = 1)),
              0);
    check_failed(j, -EBADF, "pass_fds");
}

static void start_again(struct job *j)
{
    if (j->count[JOB_FINI] > 1)
        return;
    j->count[JOB_FAILED] = 0;
    eddy_future_unref(j->future);
    j->future = NULL;
    CHECK_INT(eddy_subprocess_exec(j->loop, &j->sub,
                                   EDDY_SUBPROCESS(.argv = CHILD("out", "again"), ONLY_OUTPUT),
                                   NULL),
              0);
}

JOB_CASE(U2_G15_a_protocol_may_be_started_again_from_its_fini)
{
    j->on[JOB_FINI] = start_again;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV("/no/such/program"))), 0);
    JOB_UNTIL(j, j->count[JOB_FINI] == 2);
    j->count[JOB_FINI] = 1;
    CHECK_STR(j->text[1], "again");
}

JOB_CASE(U5_P43_no_child_watcher_no_child)
{
    struct eddy_sys sys = *eddy_sys_posix(); /* not the system itself, so perhaps simulated */
    struct eddy_loop *loop;
    struct eddy_error e;

    REQUIRE(eddy_loop_new(EDDY_LOOP(.sys = &sys), &loop) == 0);
    CHECK_INT(eddy_subprocess_exec(loop, &j->sub,
                                   EDDY_SUBPROCESS(.argv = CHILD("exit", "0"), .error = &e), NULL),
              EDDY_ENOT_SUPPORTED);
    CHECK(!eddy_protocol_is_attached(&j->sub.base) && !has_children());
    eddy_loop_close(loop);
    CHECK_INT(
        eddy_subprocess_exec(loop, &j->sub, EDDY_SUBPROCESS(.argv = CHILD("exit", "0")), NULL),
        EDDY_ELOOP_CLOSED);
    eddy_loop_unref(loop);
}

JOB_CASE(U6_cancelling_creation_kills_and_reaps)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("ignore", "15", "stop"))), 0);
    CHECK(has_children());
    eddy_future_cancel(j->future, NULL);
    job_finish(j);
    CHECK_TRACE(j->trace, "CF(ECANCELED)");
    CHECK_INT(j->status, -ECANCELED);
    JOB_UNTIL(j, !has_children());
}

JOB_CASE(U6_aborting_creation_kills_and_reaps)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"), .pty = true)), 0);
    eddy_protocol_abort(&j->sub.base, EDDY_ERROR(-EPROTO, "no more"));
    job_finish(j);
    CHECK_TRACE(j->trace, "CF(EPROTO)");
    JOB_UNTIL(j, !has_children());
}

JOB_CASE(U6_G15_detaching_in_creation_kills_and_reaps)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"))), 0);
    eddy_protocol_detach(&j->sub.base);
    JOB_UNTIL(j, !has_children());
    job_finish(j);
    CHECK_TRACE(j->trace, "");
    CHECK_INT(j->status, -ECANCELED);
    CHECK_INT(j->count[JOB_FINI], 0);
}

/* ---- U.2 ---- */

JOB_CASE(U7_a_descriptor_stays_the_callers)
{
    int fds[2];
    char buf[8] = "";

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "abc", "err", "de"),
                                           .std_in = EDDY_STDIO_DEVNULL, .std_out = EDDY_STDIO_FD,
                                           .fd_out = fds[1], .std_err = EDDY_STDIO_STDOUT)),
              0);
    job_finish(j);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(read(fds[0], buf, sizeof buf), 6);
    CHECK_STR(buf, "abcdex");
    close(fds[0]);
    close(fds[1]);
    CHECK_TRACE(j->trace, "CM PX CL(0)");
}

JOB_CASE(U7_stderr_follows_stdout_into_its_pipe)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "a", "err", "b", "out", "c"),
                                     .std_in = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_STDOUT)),
        0);
    job_finish(j);
    CHECK_STR(j->text[1], "abc");
    CHECK(!j->lost[2]);
}

JOB_CASE(U7_devnull_is_at_its_end_and_takes_all)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("end", "bytes", "100000", "exit", "9"),
                                     .std_in = EDDY_STDIO_DEVNULL, .std_out = EDDY_STDIO_DEVNULL,
                                     .std_err = EDDY_STDIO_DEVNULL)),
        0);
    job_finish(j);
    CHECK_INT(j->returncode, 9);
}

JOB_CASE(U9_only_the_standard_streams_and_pass_fds_are_open)
{
    int fds[2];
    char expected[64];
    struct job other;

    REQUIRE(pipe(fds) == 0); /* not close-on-exec */
    job_init(&other, j->loop);
    CHECK_INT(job_start(&other, EDDY_SUBPROCESS(.argv = CHILD("cat"))), 0);
    snprintf(expected, sizeof expected, "0 1 2 %d \n", fds[1]);
    CHECK_STR(output_of(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "fds"), .pass_fds = &fds[1],
                                           .pass_fds_count = 1)),
              expected);
    eddy_transport_close(job_pipe(&other, 0)); /* seen by it, as its brother has not got it too */
    job_finish(&other);
    close(fds[0]);
    close(fds[1]);
}

JOB_CASE(U10_env_replaces_the_whole_environment)
{
    CHECK_STR(output_of(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "env"),
                                           .env = EDDY_ARGV("A=1", "B=2"), ONLY_OUTPUT)),
              "A=1\nB=2\n");
}

JOB_CASE(U10_an_empty_environment)
{
    const char *const none[] = {NULL};

    CHECK_STR(output_of(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "env"), .env = none, ONLY_OUTPUT)),
              "");
}

JOB_CASE(U10_cwd_and_umask)
{
    CHECK_STR(
        output_of(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "cwd", "tell", "umask"), .cwd = "/",
                                     .set_umask = true, .umask = 0137, ONLY_OUTPUT)),
        "/\n137\n");
}

JOB_CASE(U10_a_process_group_of_its_own)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "pgid", "tell", "sid"),
                                           .set_process_group = true, ONLY_OUTPUT)),
              0);
    job_finish(j);
    char expected[64];
    snprintf(expected, sizeof expected, "%ld\n%ld\n", (long)j->pid, (long)getsid(0));
    CHECK_STR(j->text[1], expected);
}

JOB_CASE(U10_users_and_groups)
{
    bool root = geteuid() == 0;
    uid_t uid = root ? 65534 : getuid();
    gid_t gid = root ? 65533 : getgid();
    gid_t groups[] = {65532, 65531};
    char expected[64];

    snprintf(expected, sizeof expected, "%d %d %s\n", (int)uid, (int)gid, root ? "3" : "ours");
    /* (The test program need not be where that user may go.) */
    CHECK_STR(output_of(j, EDDY_SUBPROCESS(.argv = EDDY_ARGV(
                                               "sh", "-c",
                                               root ? "echo $(id -u) $(id -g) $(id -G | wc -w)"
                                                    : "echo $(id -u) $(id -g) ours"),
                                           .set_uid = true, .set_gid = true, .set_groups = root,
                                           .uid = uid, .gid = gid, .groups = root ? groups : NULL,
                                           .groups_count = root ? 2 : 0, ONLY_OUTPUT)),
              expected);
}

static void do_nothing(int signum)
{
    (void)signum;
}

JOB_CASE(U11_signals_are_at_default_and_not_blocked)
{
    sigset_t all, before;
    struct sigaction action = {.sa_handler = do_nothing}, old;

    sigfillset(&all);
    sigaction(SIGUSR1, &action, &old);
    sigprocmask(SIG_BLOCK, &all, &before);
    int rc = job_start(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "signals"), ONLY_OUTPUT));
    sigprocmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGUSR1, &old, NULL);
    CHECK_INT(rc, 0);
    job_finish(j);
    CHECK_STR(j->text[1], "0 1 1\n");
}

JOB_CASE(U40_a_session_of_its_own)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "sid"), .new_session = true,
                                           ONLY_OUTPUT)),
              0);
    job_finish(j);
    CHECK_INT(atol(j->text[1]), j->pid);
}

/* ---- low numbers ---- */

/* 0 is the writing end of a pipe, and 2 has something to read. */
static void run_with_streams_in_disorder(void *user)
{
    struct eddy_loop *loop;
    struct job j;
    int out[2], in[2];
    char buf[16] = "";

    (void)user;
    REQUIRE(pipe(out) == 0 && pipe(in) == 0);
    CHECK_INT(write(in[1], "input", 5), 5);
    close(in[1]);
    int keep = fcntl(2, F_DUPFD_CLOEXEC, 10);
    dup2(out[1], 0);
    dup2(in[0], 2);
    close(out[1]);
    REQUIRE(test_loop_new(&loop) == 0);
    job_init(&j, loop);
    CHECK_INT(job_start(&j, EDDY_SUBPROCESS(.argv = CHILD("cat"), .std_in = EDDY_STDIO_FD,
                                            .std_out = EDDY_STDIO_FD, .std_err = EDDY_STDIO_FD,
                                            .fd_in = 2, .fd_out = 0, .fd_err = keep)),
              0);
    job_finish(&j);
    dup2(keep, 2);
    CHECK_INT(j.returncode, 0);
    CHECK_INT(read(out[0], buf, sizeof buf), 5);
    CHECK_STR(buf, "input");
    test_loop_free(loop);
}

static void U12_streams_in_any_permutation(void)
{
    test_in_child(run_with_streams_in_disorder, NULL);
}

/* Our own ends of pipes would get these numbers. */
static void run_without_standard_streams(void *user)
{
    struct eddy_loop *loop;
    struct job j;

    (void)user;
    int keep = fcntl(2, F_DUPFD_CLOEXEC, 10);
    REQUIRE(test_loop_new(&loop) == 0);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    job_init(&j, loop);
    CHECK_INT(job_start(&j, EDDY_SUBPROCESS(.argv = CHILD("tell", "fds", "cat"),
                                            .std_err = EDDY_STDIO_INHERIT)),
              0);
    JOB_UNTIL(&j, j.received[1] > 0);
    for (int fd = 0; fd < 3; fd++)
        CHECK(fcntl(fd, F_GETFD) < 0);
    CHECK_INT(eddy_transport_write(job_pipe(&j, 0), "input", 5), 0);
    eddy_transport_close(job_pipe(&j, 0));
    job_finish(&j);
    test_loop_free(loop);
    dup2(keep, 2);
    CHECK_STR(j.text[1], "0 1 \ninput");
}

static void U9_U12_a_parent_without_standard_streams(void)
{
    test_in_child(run_without_standard_streams, NULL);
}

static void inherit_output(void *user)
{
    struct eddy_loop *loop;
    struct job j;
    int fds[2];
    char buf[8] = "";

    (void)user;
    REQUIRE(pipe(fds) == 0 && dup2(fds[1], 1) == 1);
    REQUIRE(test_loop_new(&loop) == 0);
    job_init(&j, loop);
    CHECK_INT(
        job_start(&j,
                  EDDY_SUBPROCESS(.argv = CHILD("out", "abc"), .std_in = EDDY_STDIO_INHERIT,
                                  .std_out = EDDY_STDIO_INHERIT, .std_err = EDDY_STDIO_INHERIT)),
        0);
    job_finish(&j);
    CHECK_TRACE(j.trace, "CM PX CL(0)");
    CHECK_INT(read(fds[0], buf, sizeof buf), 3);
    CHECK_STR(buf, "abc");
    test_loop_free(loop);
}

static void U7_inherit_is_ours_of_the_same_number(void)
{
    test_in_child(inherit_output, NULL);
}

/* ---- pseudo-terminals ---- */

JOB_CASE(U7_U40_a_pseudo_terminal_for_all_streams)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "tty", "tell", "size", "tell", "sid"),
                                     .pty = true, .pty_size = {33, 77})),
        0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK(job_pipe(j, 0) == job_pipe(j, 1));
    CHECK(eddy_transport_get_pipe_transport(j->t, 2) == NULL);
    job_finish(j);
    char expected[64];
    snprintf(expected, sizeof expected, "1 1 1 1\r\n33 77\r\n%ld\r\n", (long)j->pid);
    CHECK_STR(j->text[1], expected);
    CHECK_INT(trace_count(&j->trace, "PL"), 1);
    CHECK_INT(trace_count(&j->trace, "PL(1,0)"), 1);
    CHECK_INT(j->code, 0);
}

JOB_CASE(U21_U40_what_is_typed_at_a_pseudo_terminal_reaches_the_child)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("read", "4", "out", "got", "stop"),
                                           .pty = true)),
              0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "abc\n", 4), 0);
    JOB_UNTIL(j, strstr(j->text[1], "got") != NULL);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "\003", 1), 0); /* control-C */
    job_finish(j);
    CHECK_INT(j->returncode, -SIGINT);
    CHECK_INT(trace_count(&j->trace, "PL"), 1);
}

JOB_CASE(U7_a_pseudo_terminal_and_a_pipe_for_errors)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("tell", "tty", "err", "E"), .pty = true,
                                           .std_err = EDDY_STDIO_PIPE)),
              0);
    job_finish(j);
    CHECK_STR(j->text[1], "1 1 0 1\r\n");
    CHECK_STR(j->text[2], "E");
    CHECK(j->lost[1] && j->lost[2] && !j->lost[0]);
}

/* ---- what is refused ---- */

static void refuse(struct job *j, const char *what, struct eddy_subprocess_opts o)
{
    struct eddy_error e = {0};
    struct eddy_future *f = NULL;
    const char *const plain[] = {"true", NULL};

    o.error = &e;
    if (!o.argv)
        o.argv = plain;
    int rc = eddy_subprocess_exec(j->loop, &j->sub, &o, &f);
    if (rc != -EINVAL || e.code != -EINVAL || !e.text[0] || f ||
        eddy_protocol_is_attached(&j->sub.base))
        FAIL("%s: %s, \"%s\"", what, test_code(rc), e.text);
}

#define REFUSE(...) refuse(j, #__VA_ARGS__, *EDDY_SUBPROCESS(__VA_ARGS__))

JOB_CASE(U4_U7_U10_G4_what_does_not_go_together_is_refused)
{
    const char *const nothing[] = {NULL};

    REFUSE(.argv = nothing);
    REFUSE(.std_in = EDDY_STDIO_STDOUT);
    REFUSE(.std_out = EDDY_STDIO_STDOUT);
    REFUSE(.std_err = (enum eddy_stdio)77);
    REFUSE(.std_in = EDDY_STDIO_FD, .fd_in = -1);
    REFUSE(.std_in = EDDY_STDIO_FD, .fd_in = 999);
    REFUSE(.fd_out = 3);
    REFUSE(.pty = true, .std_in = EDDY_STDIO_PIPE);
    REFUSE(.pty = true, .std_out = EDDY_STDIO_DEVNULL);
    REFUSE(.pty_size = {1, 1});
    REFUSE(.pty = true, .set_process_group = true);
    REFUSE(.new_session = true, .set_process_group = true);
    REFUSE(.process_group = 1);
    REFUSE(.set_process_group = true, .process_group = -1);
    REFUSE(.umask = 022);
    REFUSE(.uid = 1);
    REFUSE(.gid = 1);
    REFUSE(.groups_count = 1);
    REFUSE(.set_groups = true, .groups_count = 1);
    REFUSE(.pass_fds_count = 1);
    CHECK(!has_children());
}

JOB_CASE(U4_G4_G8_no_program_no_command_no_protocol)
{
    const struct eddy_protocol_class plain = {EDDY_STATELESS_PROTOCOL_CLASS("plain")};
    struct eddy_subprocess_protocol other;
    struct eddy_subprocess_opts later = *EDDY_SUBPROCESS(.argv = EDDY_ARGV("true"));

    CHECK_INT(eddy_subprocess_exec(j->loop, &j->sub, EDDY_SUBPROCESS(), NULL), -EINVAL);
    CHECK_INT(eddy_subprocess_exec(j->loop, &j->sub, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_subprocess_exec(NULL, &j->sub, &later, NULL), -EINVAL);
    CHECK_INT(eddy_subprocess_exec(j->loop, NULL, &later, NULL), -EINVAL);
    CHECK_INT(eddy_subprocess_shell(j->loop, &j->sub, NULL, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_subprocess_shell(j->loop, &j->sub, "true", &later, NULL), -EINVAL);
    memset(&other, 0, sizeof other);
    eddy_protocol_init(&other.base, &plain);
    CHECK_INT(eddy_subprocess_exec(j->loop, &other, &later, NULL), -EINVAL);
    later.abi_size--;
    CHECK_INT(eddy_subprocess_exec(j->loop, &j->sub, &later, NULL), -EINVAL);
    CHECK(!has_children());
}

JOB_CASE(U4_G3_a_protocol_that_is_attached_is_refused)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"))), 0);
    CHECK_INT(
        eddy_subprocess_exec(j->loop, &j->sub, EDDY_SUBPROCESS(.argv = EDDY_ARGV("true")), NULL),
        -EINVAL);
    job_finish(j);
    CHECK_INT(j->returncode, 0);
}

JOB_CASE(U2_descriptors_that_select_cannot_hold)
{
    static int many[FD_SETSIZE];
    int n = 0;

    if (strcmp(test_backend(), "select") == 0) {
        while (n < FD_SETSIZE && (many[n] = dup(0)) >= 0 && many[n] < FD_SETSIZE)
            n++;
        CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"))), -EMFILE);
        while (n >= 0)
            close(many[n--]);
    }
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"))), 0);
    job_finish(j);
}

const struct test_case test_cases[] = {
    TEST(U1_arguments_are_passed_unchanged),
    TEST(U1_a_program_is_looked_for_in_the_path),
    TEST(U1_program_may_differ_from_its_first_argument),
    TEST(U1_shell_runs_the_text),
    TEST(U2_not_found),
    TEST(U2_not_found_in_the_path),
    TEST(U2_no_permission),
    TEST(U2_bad_cwd),
    TEST(U2_bad_pass_fds),
    TEST(U2_bad_pass_fds_with_a_pseudo_terminal),
    TEST(U2_G15_a_protocol_may_be_started_again_from_its_fini),
    TEST(U5_P43_no_child_watcher_no_child),
    TEST(U2_descriptors_that_select_cannot_hold),
    TEST(U6_cancelling_creation_kills_and_reaps),
    TEST(U6_aborting_creation_kills_and_reaps),
    TEST(U6_G15_detaching_in_creation_kills_and_reaps),
    TEST(U7_a_descriptor_stays_the_callers),
    TEST(U7_stderr_follows_stdout_into_its_pipe),
    TEST(U7_devnull_is_at_its_end_and_takes_all),
    TEST(U9_only_the_standard_streams_and_pass_fds_are_open),
    TEST(U10_env_replaces_the_whole_environment),
    TEST(U10_an_empty_environment),
    TEST(U10_cwd_and_umask),
    TEST(U10_a_process_group_of_its_own),
    TEST(U10_users_and_groups),
    TEST(U11_signals_are_at_default_and_not_blocked),
    TEST(U40_a_session_of_its_own),
    TEST(U12_streams_in_any_permutation),
    TEST(U9_U12_a_parent_without_standard_streams),
    TEST(U7_inherit_is_ours_of_the_same_number),
    TEST(U7_U40_a_pseudo_terminal_for_all_streams),
    TEST(U21_U40_what_is_typed_at_a_pseudo_terminal_reaches_the_child),
    TEST(U7_a_pseudo_terminal_and_a_pipe_for_errors),
    TEST(U4_U7_U10_G4_what_does_not_go_together_is_refused),
    TEST(U4_G4_G8_no_program_no_command_no_protocol),
    TEST(U4_G3_a_protocol_that_is_attached_is_refused),
    TEST_END,
};
