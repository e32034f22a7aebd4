/* backends: select poll epoll io_uring */
/* clause: E27 */
/*
 * The ends of subprocesses: signals, close, abort, detach, other protocols, the loop's close
 * (contract U16, U21-U24, U36, U37, R36).
 */
#include "tests/support/child.h"
#include <eddy/line.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pipe; a child that has its reading end waits until the other one is closed. */
static void leash(int fds[2], char text[16])
{
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    snprintf(text, 16, "%d", fds[0]);
}

#define WITH(fd) .pass_fds = &(fd), .pass_fds_count = 1

#define NO_PIPES \
    .std_in = EDDY_STDIO_DEVNULL, .std_out = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_DEVNULL

/* Until the child has printed what tells that it is ready. */
static void start_ready(struct job *j, const struct eddy_subprocess_opts *o)
{
    CHECK_INT(job_start(j, o), 0);
    JOB_UNTIL(j, j->received[1] > 0);
}

/* ---- signals ---- */

JOB_CASE(U21_terminate_and_kill)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("ignore", "15", "out", "x", "stop")));
    CHECK_INT(eddy_transport_terminate(j->t), 0);
    test_run_steps(j->loop, 5);
    CHECK_INT(j->count[JOB_EXITED], 0); /* it ignores that */
    CHECK_INT(eddy_transport_kill(j->t), 0);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGKILL);
    CHECK_INT(j->code, 0);
}

JOB_CASE(U21_send_signal)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop")));
    CHECK_INT(eddy_transport_send_signal(j->t, 0), 0);
    CHECK_INT(eddy_transport_send_signal(j->t, -1), -EINVAL);
    CHECK_INT(eddy_transport_send_signal(j->t, 1000), -EINVAL);
    CHECK_INT(eddy_transport_send_signal(j->t, SIGHUP), 0);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGHUP);
}

static void signal_it(struct job *j)
{
    CHECK_INT(eddy_transport_send_signal(j->t, SIGTERM), 0);
    CHECK_INT(eddy_transport_terminate(j->t), 0);
    CHECK_INT(eddy_transport_kill(j->t), 0);
}

JOB_CASE(U21_U22_after_the_end_signals_do_nothing_and_succeed)
{
    j->on[JOB_EXITED] = signal_it;
    j->on[JOB_PIPE_LOST] = signal_it;
    j->on[JOB_LOST] = signal_it;
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "2"), .std_in = EDDY_STDIO_DEVNULL)), 0);
    job_finish(j);
    CHECK(j->returncode == 2 || j->returncode < 0); /* a pipe may have ended first */
}

/* ---- close ---- */

JOB_CASE(U23_U24_close_kills_and_all_callbacks_come)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("ignore", "15", "out", "x", "stop")));
    eddy_transport_close(j->t);
    CHECK(eddy_transport_is_closing(j->t));
    eddy_transport_close(j->t);
    CHECK_INT(j->count[JOB_EXITED] + j->count[JOB_PIPE_LOST], 0); /* never inside the call */
    job_finish(j);
    CHECK_INT(j->returncode, -SIGKILL);
    for (int fd = 0; fd < 3; fd++)
        CHECK(j->lost[fd] && j->lost_code[fd] == 0);
    CHECK_INT(j->code, 0);
}

JOB_CASE(U23_close_with_bytes_nobody_reads)
{
    static char data[1000000];

    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop")));
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), data, sizeof data), 0);
    eddy_transport_close(j->t);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGKILL);
    CHECK_INT(j->lost_code[0], -EPIPE);
}

/* The pipe is full, and the last bytes are still collected when it closes. */
static void corked_then_close(struct job *j)
{
    static char data[1 << 20];
    struct eddy_transport *in = job_pipe(j, 0);
    int room = fcntl(eddy_transport_fd(in), F_GETPIPE_SZ);

    REQUIRE(room > 0 && room <= (int)sizeof data);
    CHECK_INT(eddy_transport_set_write_buffer_limits(in, 0, 0), 0);
    CHECK_INT(eddy_transport_write(in, data, (size_t)room), 0); /* fits exactly */
    eddy_transport_flush(in);
    CHECK_INT(eddy_transport_get_write_buffer_size(in), 0);
    CHECK_INT(eddy_transport_write(in, "more", 4), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(in), 4);
    eddy_transport_close(j->t);
    CHECK_INT(j->count[JOB_PAUSE], 0);
}

JOB_CASE(U18_U23_G22_pause_writing_never_comes_from_inside_close)
{
    j->on[JOB_DATA] = corked_then_close;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop"))), 0);
    job_finish(j);
    CHECK_INT(j->count[JOB_PAUSE] + j->count[JOB_RESUME], 0);
    CHECK_INT(j->lost_code[0], -EPIPE);
    CHECK_INT(j->returncode, -SIGKILL);
}

/* Who holds the reading end may be somebody else, who lives on. */
JOB_CASE(U23_close_does_not_wait_for_a_grandchild_that_reads_nothing)
{
    static char data[1000000];
    int fds[2];
    char text[16];

    leash(fds, text);
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("keep", text, "out", "x", "stop"), WITH(fds[0])));
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), data, sizeof data), 0);
    eddy_transport_close(j->t);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGKILL);
    CHECK_INT(j->lost_code[0], -EPIPE);
    close(fds[0]);
    close(fds[1]);
}

JOB_CASE(U23_close_after_the_exit_kills_nothing)
{
    int fds[2];
    char text[16];

    leash(fds, text);
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("keep", text, "exit", "4"), WITH(fds[0]))),
              0);
    JOB_UNTIL(j, j->count[JOB_EXITED]);
    CHECK_INT(j->count[JOB_LOST], 0);
    eddy_transport_close(j->t);
    job_finish(j);
    CHECK_INT(j->returncode, 4);
    CHECK(j->lost[0] && j->lost[1] && j->lost[2]);
    close(fds[0]);
    close(fds[1]);
}

JOB_CASE(U23_close_of_a_pseudo_terminal)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("ignore", "1", "out", "x", "stop"), .pty = true));
    eddy_transport_close(j->t);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGKILL);
    CHECK_INT(trace_count(&j->trace, "PL(1,0)"), 1);
}

static void close_it(struct job *j)
{
    eddy_transport_close(j->t);
}

JOB_CASE(U23_close_in_process_exited_and_in_the_pipes_callbacks)
{
    j->on[JOB_EXITED] = close_it;
    j->on[JOB_DATA] = close_it;
    j->on[JOB_PIPE_LOST] = close_it;
    j->on[JOB_LOST] = close_it;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "a", "err", "b", "exit", "1"))), 0);
    job_finish(j);
    CHECK(j->lost[0] && j->lost[1] && j->lost[2]);
    CHECK_INT(j->count[JOB_EXITED], 1);
}

static void write_then_close(struct job *j)
{
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "abc", 3), 0);
    eddy_transport_close(j->t);
}

JOB_CASE(U14_U23_what_fits_into_the_pipe_is_not_lost_by_closing)
{
    j->on[JOB_MADE] = write_then_close;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"))), 0);
    job_finish(j);
    CHECK_INT(j->lost_code[0], 0);
    CHECK_INT(j->returncode, -SIGKILL);
}

/* ---- abort ---- */

static void abort_it(struct job *j)
{
    eddy_transport_abort(j->t, EDDY_ERROR(-EPROTO, "enough"));
    CHECK(eddy_transport_is_closing(j->t));
}

JOB_CASE(U36_abort_ends_at_once_and_the_child_is_reaped_later)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("ignore", "15", "out", "x", "stop")));
    abort_it(j);
    job_finish(j);
    CHECK_INT(j->code, -EPROTO);
    CHECK_INT(j->count[JOB_EXITED] + j->count[JOB_PIPE_LOST], 0);
    JOB_UNTIL(j, job_is_reaped(j->pid));
}

JOB_CASE(U36_abort_inside_each_callback)
{
    static const enum job_slot slots[] = {JOB_MADE, JOB_DATA, JOB_PIPE_LOST, JOB_EXITED, JOB_PAUSE};
    static char data[300000];

    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct job k;

        job_init(&k, j->loop);
        k.on[slots[i]] = abort_it;
        CHECK_INT(job_start(&k, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "read", "1"))), 0);
        JOB_UNTIL(&k, k.count[JOB_MADE] > 0);
        if (k.t)
            eddy_transport_write(job_pipe(&k, 0), data, sizeof data);
        job_finish(&k);
        CHECK_INT(k.count[slots[i]], 1);
        CHECK_INT(k.code, -EPROTO);
        JOB_UNTIL(j, job_is_reaped(k.pid));
    }
}

static void detach_it(struct job *j)
{
    eddy_protocol_detach(&j->sub.base);
    j->t = NULL;
}

JOB_CASE(G15_U36_detach_inside_each_callback)
{
    static const enum job_slot slots[] = {JOB_MADE,   JOB_DATA,  JOB_PIPE_LOST,
                                          JOB_EXITED, JOB_PAUSE, JOB_LOST};
    static char data[300000];

    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct job k;

        job_init(&k, j->loop);
        k.on[slots[i]] = detach_it;
        CHECK_INT(job_start(&k, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "read", "1"))), 0);
        JOB_UNTIL(&k, k.count[JOB_MADE] > 0);
        if (k.t)
            eddy_transport_write(job_pipe(&k, 0), data, sizeof data);
        job_finish(&k);
        CHECK_INT(k.count[slots[i]], 1);
        CHECK_INT(k.count[JOB_FINI], 0);
        JOB_UNTIL(j, job_is_reaped(k.pid));
        test_run_steps(j->loop, 5);
    }
}

JOB_CASE(G15_hold_delays_fini)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"), NO_PIPES)), 0);
    eddy_protocol_hold(&j->sub.base);
    JOB_UNTIL(j, j->count[JOB_LOST]);
    test_run_steps(j->loop, 5);
    CHECK_INT(j->count[JOB_FINI], 0);
    eddy_protocol_release(&j->sub.base);
    job_finish(j);
    CHECK_INT(j->count[JOB_FINI], 1);
}

static void cancel_creation(struct job *j)
{
    eddy_future_cancel(j->future, NULL);
}

JOB_CASE(U6_cancelling_creation_in_connection_made_closes)
{
    j->on[JOB_MADE] = cancel_creation;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"))), 0);
    job_finish(j);
    CHECK_INT(j->status, -ECANCELED);
    CHECK_INT(j->returncode, -SIGKILL);
    CHECK_INT(j->code, 0);
}

JOB_CASE(T57_no_output_for_too_long_ends_the_child)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop")));
    CHECK_INT(eddy_transport_set_idle_timeout(j->t, EDDY_MSEC(30)), 0);
    job_finish(j);
    CHECK_INT(j->code, -ETIMEDOUT);
    JOB_UNTIL(j, job_is_reaped(j->pid));
}

#define IDLE EDDY_MSEC(300)

/* Longer than the time-out, with output all the while. False: the machine was so slow that it may
 * have gone without for too long. */
static bool talk(struct job *j)
{
    eddy_nsec begin = eddy_loop_time(j->loop), last = begin;

    while (last - begin < 2 * IDLE) {
        size_t before = j->received[1];

        if (j->count[JOB_LOST] == 0)
            CHECK_INT(eddy_transport_write(job_pipe(j, 0), "x", 1), 0);
        while (j->received[1] == before && j->count[JOB_LOST] == 0)
            eddy_loop_run_once(j->loop, EDDY_MSEC(5));
        eddy_loop_run_once(j->loop, EDDY_MSEC(20));
        eddy_nsec now = eddy_loop_time(j->loop);
        if (now - last > IDLE / 2)
            return false;
        last = now;
    }
    return true;
}

JOB_CASE(T57_output_keeps_an_idle_time_out_away)
{
    for (int attempt = 0; attempt < 20; attempt++) {
        struct job k;

        job_init(&k, j->loop);
        start_ready(&k, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "cat")));
        CHECK_INT(eddy_transport_set_idle_timeout(k.t, IDLE), 0);
        bool counts = talk(&k);
        int lost = k.count[JOB_LOST];
        eddy_protocol_abort(&k.sub.base, NULL);
        job_finish(&k);
        JOB_UNTIL(j, job_is_reaped(k.pid));
        if (counts) {
            CHECK_INT(lost, 0);
            return;
        }
    }
}

/* ---- other protocols ---- */

struct lines {
    struct eddy_line line;
    char text[64];
    int count, lost, fini;
};

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct lines *s = EDDY_CONTAINER_OF(l, struct lines, line);

    s->count++;
    snprintf(s->text, sizeof s->text, "%.*s", (int)len, line);
}

static void lines_lost(struct eddy_line *l, const struct eddy_error *err)
{
    CHECK(err == NULL);
    EDDY_CONTAINER_OF(l, struct lines, line)->lost++;
}

static void lines_fini(struct eddy_line *l)
{
    EDDY_CONTAINER_OF(l, struct lines, line)->fini++;
}

static const struct eddy_line_class lines_class = {
    EDDY_LINE_CLASS(struct lines, line),
    .line_received = line_received,
    .connection_lost = lines_lost,
    .fini = lines_fini,
};

static void read_lines(struct job *j)
{
    struct lines *s = j->user;

    CHECK_INT(eddy_transport_set_protocol(job_pipe(j, 1), &s->line.base), 0);
}

JOB_CASE(R36_U16_a_protocol_of_its_own_for_a_pipe)
{
    struct lines s;

    memset(&s, 0, sizeof s);
    eddy_line_init(&s.line, &lines_class);
    j->user = &s;
    j->on[JOB_MADE] = read_lines;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "one\ntwo\nthr", "out", "ee\n",
                                                         "err", "E"))),
              0);
    job_finish(j);
    CHECK_INT(s.count, 3);
    CHECK_STR(s.text, "three");
    CHECK_INT(s.lost, 1);
    CHECK_INT(s.fini, 1);
    CHECK_INT(j->received[1], 0);
    CHECK(!j->lost[1] && j->lost[2]);
    CHECK_STR(j->text[2], "E");
}

JOB_CASE(R36_U23_closing_ends_a_pipe_with_another_protocol)
{
    struct lines s;

    memset(&s, 0, sizeof s);
    eddy_line_init(&s.line, &lines_class);
    j->user = &s;
    j->on[JOB_MADE] = read_lines;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "one\n", "stop"))), 0);
    JOB_UNTIL(j, s.count == 1);
    eddy_transport_close(j->t);
    job_finish(j);
    CHECK_INT(s.lost, 1);
    CHECK_INT(s.fini, 1);
}

static void switch_and_abort(struct job *j)
{
    read_lines(j);
    eddy_transport_abort(j->t, NULL);
}

JOB_CASE(R36_U36_abort_directly_after_a_switch)
{
    struct lines s;

    memset(&s, 0, sizeof s);
    eddy_line_init(&s.line, &lines_class);
    j->user = &s;
    j->on[JOB_MADE] = switch_and_abort;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "one\n", "stop"))), 0);
    job_finish(j);
    CHECK_INT(s.lost, 1);
    CHECK_INT(s.fini, 1);
}

JOB_CASE(R36_another_protocol_for_the_process)
{
    struct job other;
    struct lines s;

    memset(&s, 0, sizeof s);
    eddy_line_init(&s.line, &lines_class);
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "end", "exit", "6")));
    job_init(&other, j->loop);
    CHECK_INT(eddy_transport_set_protocol(j->t, &s.line.base), -EINVAL);
    CHECK_INT(eddy_transport_set_protocol(job_pipe(j, 1), &other.sub.base), -EINVAL);
    CHECK_INT(eddy_transport_set_protocol(j->t, &other.sub.base), 0);
    other.count[JOB_MADE] = 1; /* it hears nothing of that */
    other.t = j->t;
    other.pid = j->pid;
    eddy_transport_close(job_pipe(&other, 0));
    job_finish(&other);
    CHECK_INT(other.returncode, 6);
    CHECK_INT(j->count[JOB_EXITED] + j->count[JOB_LOST], 0);
    CHECK_INT(j->count[JOB_FINI], 1);
    CHECK_INT(other.count[JOB_FINI], 1);
}

/* ---- the loop's close ---- */

static void with_own_loop(const char *watcher, void (*fn)(struct job *j))
{
    struct job j;
    struct eddy_loop *loop;

    REQUIRE(test_loop_new_opts(EDDY_LOOP(.child_watcher = watcher), &loop) == 0);
    job_init(&j, loop);
    fn(&j);
    eddy_future_error(j.future); /* seen; its callback was dropped with the loop */
    eddy_future_unref(j.future);
}

static void close_with_live_child(struct job *j)
{
    int fds[2];
    char text[16];

    leash(fds, text);
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "end", "fd", text), WITH(fds[0])));
    test_loop_free(j->loop);
    j->loop = NULL;
    CHECK_INT(j->code, EDDY_ELOOP_CLOSED);
    CHECK_INT(j->count[JOB_LOST], 1);
    CHECK_INT(j->count[JOB_EXITED] + j->count[JOB_PIPE_LOST], 0);
    CHECK_INT(j->count[JOB_FINI], 1);
    CHECK(!job_is_reaped(j->pid)); /* it lives, and is ours to wait for; its input has ended */
    close(fds[0]);
    close(fds[1]);
    int status = 0;
    CHECK_INT(waitpid(j->pid, &status, 0), j->pid);
    CHECK_INT(status, 0);
}

static void U37_closing_the_loop_closes_the_pipes_and_kills_nobody(void)
{
    test_expect_log("the loop was closed with 1 children");
    test_expect_log("connection still open when its loop closes");
    with_own_loop("pidfd", close_with_live_child);
    with_own_loop("sigchld", close_with_live_child);
}

static void close_with_aborted_child(struct job *j)
{
    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop")));
    eddy_transport_abort(j->t, NULL);
    test_loop_free(j->loop);
    j->loop = NULL;
    CHECK_INT(j->code, 0);
    CHECK(job_is_reaped(j->pid));
}

static void U36_U37_a_child_that_was_killed_is_reaped_by_the_loops_close(void)
{
    for (int i = 0; i < 10; i++) {
        with_own_loop("pidfd", close_with_aborted_child);
        with_own_loop("sigchld", close_with_aborted_child);
    }
    test_expect_log("the loop was closed with 1 children");
}

static void close_while_starting(struct job *j)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"), NO_PIPES)), 0);
    test_loop_free(j->loop);
    j->loop = NULL;
    CHECK_TRACE(j->trace, "CF(ELOOP_CLOSED)");
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left of it */
    CHECK_INT(errno, ECHILD);
}

static void U2_U6_closing_the_loop_while_a_child_is_started(void)
{
    test_expect_log("the loop was closed with 1 children");
    with_own_loop("pidfd", close_while_starting);
    with_own_loop("sigchld", close_while_starting);
}

static struct job *to_abort;

static void abort_by_post(struct eddy_post *p, int status)
{
    (void)p;
    CHECK_INT(status, EDDY_ELOOP_CLOSED);
    eddy_transport_abort(to_abort->t, NULL);
}

static void close_with_post(struct job *j)
{
    struct eddy_post post = {.fn = abort_by_post};

    start_ready(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "stop")));
    to_abort = j;
    CHECK_INT(eddy_loop_call_soon_threadsafe(j->loop, &post), 0);
    test_loop_free(j->loop);
    j->loop = NULL;
    CHECK_INT(j->code, 0);
    CHECK(job_is_reaped(j->pid));
}

static void U36_U37_a_child_that_is_killed_while_the_loop_closes(void)
{
    test_expect_log("the loop was closed with 1 children");
    with_own_loop("pidfd", close_with_post);
    with_own_loop("sigchld", close_with_post);
}

JOB_CASE(U36_a_child_that_ends_while_the_loop_does_not_run)
{
    siginfo_t info;

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("read", "1", "exit", "8"))), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "x", 1), 0);
    CHECK_INT(waitid(P_PID, (id_t)j->pid, &info, WEXITED | WNOWAIT), 0);
    job_finish(j);
    CHECK_INT(j->returncode, 8);
}

static void reap_it(struct job *j)
{
    CHECK_INT(kill(j->pid, SIGKILL), 0);
    CHECK_INT(waitpid(j->pid, NULL, 0), j->pid);
}

JOB_CASE(P41_U20_a_child_that_somebody_else_has_reaped)
{
    test_expect_log("was waited for by somebody else");
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("stop"), NO_PIPES)), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    reap_it(j);
    job_finish(j);
    CHECK_INT(j->returncode, EDDY_CHILD_UNKNOWN);
    CHECK_TRACE(j->trace, "CM PX CL(0)");
}

const struct test_case test_cases[] = {
    TEST(U21_terminate_and_kill),
    TEST(U21_send_signal),
    TEST(U21_U22_after_the_end_signals_do_nothing_and_succeed),
    TEST(U23_U24_close_kills_and_all_callbacks_come),
    TEST(U23_close_with_bytes_nobody_reads),
    TEST(U18_U23_G22_pause_writing_never_comes_from_inside_close),
    TEST(U23_close_does_not_wait_for_a_grandchild_that_reads_nothing),
    TEST(U23_close_after_the_exit_kills_nothing),
    TEST(U23_close_of_a_pseudo_terminal),
    TEST(U23_close_in_process_exited_and_in_the_pipes_callbacks),
    TEST(U14_U23_what_fits_into_the_pipe_is_not_lost_by_closing),
    TEST(U36_abort_ends_at_once_and_the_child_is_reaped_later),
    TEST(U36_abort_inside_each_callback),
    TEST(G15_U36_detach_inside_each_callback),
    TEST(G15_hold_delays_fini),
    TEST(U6_cancelling_creation_in_connection_made_closes),
    TEST(T57_no_output_for_too_long_ends_the_child),
    TEST(T57_output_keeps_an_idle_time_out_away),
    TEST(R36_U16_a_protocol_of_its_own_for_a_pipe),
    TEST(R36_U23_closing_ends_a_pipe_with_another_protocol),
    TEST(R36_U36_abort_directly_after_a_switch),
    TEST(R36_another_protocol_for_the_process),
    TEST(U37_closing_the_loop_closes_the_pipes_and_kills_nobody),
    TEST(U36_U37_a_child_that_was_killed_is_reaped_by_the_loops_close),
    TEST(U2_U6_closing_the_loop_while_a_child_is_started),
    TEST(U36_U37_a_child_that_is_killed_while_the_loop_closes),
    TEST(U36_a_child_that_ends_while_the_loop_does_not_run),
    TEST(P41_U20_a_child_that_somebody_else_has_reaped),
    TEST_END,
};
