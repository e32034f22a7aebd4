/* backends: select poll epoll io_uring */
/* clause: E26 E28 */
/*
 * Subprocesses: which callback comes when (contract U3, U13-U20), with both kinds of child watcher.
 */
#include "tests/support/child.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pipe whose reading end a child may have; the other one tells it to go on, by being closed. */
struct leash {
    int child, ours;
};

static struct leash leash(void)
{
    int fds[2];

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    return (struct leash){fds[0], fds[1]};
}

static const char *number(int n)
{
    static char text[16];

    snprintf(text, sizeof text, "%d", n);
    return text;
}

/* ---- E26 and its like ---- */

JOB_CASE(U8_U13_U14_U15_U16_no_output_three_pipes)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "7"))), 0);
    CHECK_TRACE(j->trace, "");
    job_finish(j);
    CHECK_INT(j->returncode, 7);
    CHECK_INT(j->code, 0);
    CHECK(strncmp(trace_text(&j->trace), "CM ", 3) == 0);
    CHECK_INT(trace_count(&j->trace, "PL(0,0)"), 1);
    CHECK_INT(trace_count(&j->trace, "PL(1,0)"), 1);
    CHECK_INT(trace_count(&j->trace, "PL(2,0)"), 1);
    CHECK_INT(trace_count(&j->trace, "PX"), 1);
    CHECK_INT(j->count[JOB_LOST], 1);
}

JOB_CASE(U19_without_pipes_CM_PX_CL)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "3"), .std_in = EDDY_STDIO_DEVNULL,
                                     .std_out = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_DEVNULL)),
        0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    for (int fd = -1; fd < 4; fd++)
        CHECK(eddy_transport_get_pipe_transport(j->t, fd) == NULL);
    job_finish(j);
    CHECK_TRACE(j->trace, "CM PX CL(0)");
    CHECK_INT(j->returncode, 3);
}

JOB_CASE(U3_future_is_done_after_connection_made_and_before_the_end)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "x", "end", "exit", "0"))), 0);
    JOB_UNTIL(j, j->done);
    CHECK_INT(j->status, 0);
    CHECK_INT(j->count[JOB_MADE], 1);
    JOB_UNTIL(j, j->received[1] == 1);
    eddy_transport_close(job_pipe(j, 0));
    job_finish(j);
    CHECK_INT(j->returncode, 0);
}

/* The child has printed all it has, and is a zombie, before the loop runs for the first time. */
JOB_CASE(U17_what_came_before_connection_made_comes_after_it)
{
    siginfo_t info;

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "abc", "err", "de", "exit", "5"))),
              0);
    CHECK_INT(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    job_finish(j);
    CHECK(strncmp(trace_text(&j->trace), "CM ", 3) == 0);
    CHECK_STR(j->text[1], "abc");
    CHECK_STR(j->text[2], "de");
    CHECK_INT(j->returncode, 5);
}

static void close_in_made(struct job *j)
{
    eddy_transport_close(j->t);
}

JOB_CASE(U17_U23_close_in_connection_made_of_one_that_has_ended)
{
    siginfo_t info;

    j->on[JOB_MADE] = close_in_made;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("out", "abc", "exit", "5"))), 0);
    CHECK_INT(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    job_finish(j);
    CHECK_INT(j->count[JOB_EXITED], 1);
    CHECK_INT(j->returncode, 5); /* a zombie cannot be killed */
    CHECK_INT(j->received[1], 0);
}

/* ---- E28 ---- */

JOB_CASE(U16_a_grandchild_delays_the_pipe_and_the_end_but_not_the_exit)
{
    struct leash l = leash();

    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("keep", number(l.child), "exit", "4"),
                                     .std_in = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_DEVNULL,
                                     .pass_fds = &l.child, .pass_fds_count = 1)),
        0);
    close(l.child);
    JOB_UNTIL(j, j->count[JOB_EXITED]);
    test_run_steps(j->loop, 20);
    CHECK_TRACE(j->trace, "CM PX");
    CHECK_INT(j->returncode, 4);
    CHECK_INT(eddy_transport_get_returncode(j->t), 4);
    CHECK(!eddy_transport_is_closing(j->t));
    close(l.ours);
    job_finish(j);
    CHECK_TRACE(j->trace, "CM PX PL(1,0) CL(0)");
}

JOB_CASE(U16_output_may_come_after_the_exit)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("bytes", "3000", "exit", "0"),
                                     .std_in = EDDY_STDIO_DEVNULL, .std_err = EDDY_STDIO_DEVNULL)),
        0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    eddy_transport_pause_reading(job_pipe(j, 1));
    size_t before = j->received[1];
    JOB_UNTIL(j, j->count[JOB_EXITED]);
    CHECK_INT(j->received[1], before);
    eddy_transport_resume_reading(job_pipe(j, 1));
    job_finish(j);
    CHECK_INT(j->received[1], 3000);
    CHECK(j->in_order);
}

/* ---- data ---- */

JOB_CASE(U13_much_output_in_order_on_both_streams)
{
    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("err", "one ", "bytes", "3000000", "err", "two"),
                                     .std_in = EDDY_STDIO_DEVNULL)),
        0);
    job_finish(j);
    CHECK_INT(j->received[1], 3000000);
    CHECK(j->in_order);
    CHECK_STR(j->text[2], "one two");
    CHECK_INT(j->lost_code[1], 0);
}

static void close_0(struct job *j)
{
    eddy_transport_close(job_pipe(j, 0));
}

JOB_CASE(U14_closing_standard_input_delivers_all_and_is_the_childs_end_of_file)
{
    static unsigned char data[300000];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i % 251);
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("cat"))), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), data, sizeof data), 0);
    close_0(j);
    job_finish(j);
    CHECK_INT(j->received[1], sizeof data);
    CHECK(j->in_order);
    CHECK_INT(j->lost_code[0], 0);
    CHECK_INT(j->returncode, 0);
}

JOB_CASE(U14_bytes_that_nobody_read_are_lost_with_EPIPE)
{
    static char data[1000000];

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("read", "1", "exit", "0"))), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), data, sizeof data), 0);
    job_finish(j);
    CHECK(j->lost[0]);
    CHECK_INT(j->lost_code[0], -EPIPE);
    CHECK_INT(j->code, 0);
}

JOB_CASE(U14_a_child_that_closes_its_input_is_noticed_while_idle)
{
    struct leash l = leash();

    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("close", "0", "fd", number(l.child)),
                                           .pass_fds = &l.child, .pass_fds_count = 1)),
              0);
    close(l.child);
    JOB_UNTIL(j, j->lost[0]);
    CHECK_INT(j->lost_code[0], 0);
    CHECK_INT(j->count[JOB_EXITED], 0);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "x", 1), EDDY_ECLOSED);
    close(l.ours);
    job_finish(j);
}

/* ---- flow control ---- */

JOB_CASE(U18_pause_and_resume_of_standard_input_go_to_the_process)
{
    static char data[500000];

    CHECK_INT(
        job_start(j, EDDY_SUBPROCESS(.argv = CHILD("read", "1", "out", "r", "end", "exit", "0"))),
        0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), data, sizeof data), 0);
    CHECK_INT(j->count[JOB_PAUSE], 1);
    JOB_UNTIL(j, j->count[JOB_RESUME] == 1);
    close_0(j);
    job_finish(j);
    CHECK_INT(j->returncode, 0);
    CHECK_INT(j->lost_code[0], 0);
}

JOB_CASE(U25_pause_reading_lets_the_child_block_and_resume_loses_nothing)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("err", "begun", "bytes", "2000000", "err",
                                                         " done"),
                                           .std_in = EDDY_STDIO_DEVNULL)),
              0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    eddy_transport_pause_reading(job_pipe(j, 1));
    JOB_UNTIL(j, j->received[2] == 5);
    size_t before = j->received[1];
    for (int i = 0; i < 5; i++)
        CHECK_INT(eddy_loop_run_once(j->loop, EDDY_MSEC(5)), 0);
    CHECK_INT(j->received[1], before);
    CHECK_INT(j->received[2], 5);
    CHECK_INT(j->count[JOB_EXITED], 0);
    eddy_transport_resume_reading(job_pipe(j, 1));
    job_finish(j);
    CHECK_INT(j->received[1], 2000000);
    CHECK(j->in_order);
    CHECK_STR(j->text[2], "begun done");
}

/* ---- what it is ---- */

static void check_in_lost(struct job *j)
{
    CHECK_INT(eddy_transport_get_pid(j->t), j->pid);
    CHECK_INT(eddy_transport_get_returncode(j->t), 0);
    CHECK(eddy_transport_is_closing(j->t));
    for (int fd = 0; fd < 3; fd++) { /* ended, but still there */
        struct eddy_transport *t = job_pipe(j, fd);
        char text[200];

        CHECK(eddy_transport_is_closing(t));
        CHECK_INT(eddy_transport_fd(t), -1);
        CHECK_INT(eddy_transport_get_write_buffer_size(t), 0);
        CHECK(strlen(eddy_transport_describe(t, text, sizeof text)) > 0);
        CHECK_INT(eddy_transport_set_idle_timeout(t, EDDY_SEC(1)), 0);
        eddy_transport_pause_reading(t);
        eddy_transport_close(t);
        eddy_transport_abort(t, NULL);
    }
    CHECK_INT(eddy_transport_write(job_pipe(j, 0), "x", 1), EDDY_ECLOSED);
}

JOB_CASE(U8_U20_U24_pid_code_and_pipes_answer_until_connection_lost_returns)
{
    j->on[JOB_LOST] = check_in_lost;
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "0"))), 0);
    JOB_UNTIL(j, j->lost[0] && j->lost[1] && j->lost[2]);
    job_finish(j);
    CHECK_INT(j->count[JOB_LOST], 1);
    CHECK_INT(eddy_transport_get_pid(NULL), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_get_returncode(NULL), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_kill(NULL), EDDY_ECLOSED);
    CHECK(eddy_transport_get_pipe_transport(NULL, 0) == NULL);
}

JOB_CASE(U8_G24_each_transport_lacks_what_is_the_others)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("cat"))), 0);
    JOB_UNTIL(j, j->count[JOB_MADE]);
    struct eddy_transport *in = job_pipe(j, 0), *out = job_pipe(j, 1);
    struct eddy_addr addr;
    CHECK_STR(eddy_transport_kind(j->t), "subprocess");
    CHECK_INT(eddy_transport_write(j->t, "x", 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_write_eof(j->t), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_fd(j->t), -1);
    CHECK_INT(eddy_transport_peername(j->t, &addr), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_sockname(j->t, &addr), EDDY_ENOT_SUPPORTED);
    CHECK(!eddy_transport_is_reading(j->t));
    eddy_transport_pause_reading(j->t);
    eddy_transport_resume_reading(j->t);
    CHECK_INT(eddy_transport_get_pid(in), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_get_returncode(in), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_kill(in), EDDY_ENOT_SUPPORTED);
    CHECK(eddy_transport_get_pipe_transport(in, 0) == NULL);
    CHECK_INT(eddy_transport_write(out, "x", 1), EDDY_ENOT_SUPPORTED);
    CHECK(in != out && out != job_pipe(j, 2) && job_pipe(j, 1) == out);
    CHECK_INT(eddy_transport_write_eof(in), 0);
    job_finish(j);
    CHECK_INT(j->returncode, 0);
}

JOB_CASE(U20_death_by_a_signal_is_its_number_negated)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("raise", "10"))), 0);
    job_finish(j);
    CHECK_INT(j->returncode, -SIGUSR1);
}

JOB_CASE(U20_each_exit_status_from_0_to_255)
{
    CHECK_INT(job_start(j, EDDY_SUBPROCESS(.argv = CHILD("exit", "255"))), 0);
    job_finish(j);
    CHECK_INT(j->returncode, 255);
}

const struct test_case test_cases[] = {
    TEST(U8_U13_U14_U15_U16_no_output_three_pipes),
    TEST(U19_without_pipes_CM_PX_CL),
    TEST(U3_future_is_done_after_connection_made_and_before_the_end),
    TEST(U17_what_came_before_connection_made_comes_after_it),
    TEST(U17_U23_close_in_connection_made_of_one_that_has_ended),
    TEST(U16_a_grandchild_delays_the_pipe_and_the_end_but_not_the_exit),
    TEST(U16_output_may_come_after_the_exit),
    TEST(U13_much_output_in_order_on_both_streams),
    TEST(U14_closing_standard_input_delivers_all_and_is_the_childs_end_of_file),
    TEST(U14_bytes_that_nobody_read_are_lost_with_EPIPE),
    TEST(U14_a_child_that_closes_its_input_is_noticed_while_idle),
    TEST(U18_pause_and_resume_of_standard_input_go_to_the_process),
    TEST(U25_pause_reading_lets_the_child_block_and_resume_loses_nothing),
    TEST(U8_U20_U24_pid_code_and_pipes_answer_until_connection_lost_returns),
    TEST(U8_G24_each_transport_lacks_what_is_the_others),
    TEST(U20_death_by_a_signal_is_its_number_negated),
    TEST(U20_each_exit_status_from_0_to_255),
    TEST_END,
};
