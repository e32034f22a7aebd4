/*
 * What the tests of subprocesses share: a program for children that does what its arguments say,
 * and a protocol that records what happens to it.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include "tests/support/test.h"
#include <eddy/future.h>
#include <eddy/subprocess.h>

/* ---- the program: this one again ---- */

/* The argv of a child that does one thing after the other. Each is a word and, for most, an
 * argument:
 *
 *     out TEXT, err TEXT        writes it to 1 or 2
 *     bytes N                   writes N bytes to 1: byte i is i % 251
 *     cat                       copies 0 to 1 up to its end
 *     read N                    reads N bytes of 0; less is exit status 99
 *     end                       reads 0 up to its end
 *     told                      the same with its status 98 if that fails
 *     fd N                      waits for the end of file of descriptor N
 *     close N                   closes descriptor N
 *     keep N                    a grandchild, with all descriptors, waits for the end of file of N;
 *                               the child itself goes on, with N closed
 *     ignore N, default N       what to do at signal N
 *     raise N                   kills itself
 *     stop                      waits for a signal, for ever
 *     exit N
 *     tell WHAT                 writes to 1 a line about itself: fds, pid, sid, pgid, cwd, umask,
 *                               signals, tty, size, ids, env (all of it)
 *
 * The status is 0 at the end of the words. */
#define CHILD(...) EDDY_ARGV("/proc/self/exe", "--be-a-child", __VA_ARGS__)

/* Makes the program above a part of this one; children look like it. Any call of it will do. */
void child_program(void);

/* ---- the protocol ---- */

enum job_slot {
    JOB_MADE,
    JOB_DATA,
    JOB_PIPE_LOST,
    JOB_EXITED,
    JOB_PAUSE,
    JOB_RESUME,
    JOB_LOST,
    JOB_FAILED,
    JOB_FINI,
    JOB_SLOTS,
};

struct job {
    struct eddy_subprocess_protocol sub;
    void (*on[JOB_SLOTS])(struct job *j); /* within the callback, after it was recorded */
    void *user;

    struct eddy_loop *loop;
    struct eddy_transport *t; /* from connection_made until connection_lost has returned */

    struct test_trace trace;
    int count[JOB_SLOTS];
    int fd; /* of the present callback */
    const void *data;
    size_t len;
    pid_t pid;
    int returncode; /* in process_exited */
    int code;       /* of connection_lost or start_failed */
    struct eddy_error error;
    bool lost[3];
    int lost_code[3];
    size_t received[3];
    char text[3][4096]; /* the first of what was received, ended by NUL */
    bool in_order;      /* of 1: as `bytes` writes it */

    struct eddy_future *future;
    struct eddy_done done_node;
    bool done;
    int status;
};

/* Tells what it is about itself, and what order its callbacks may not come in. Everything NULL. */
extern const struct eddy_subprocess_protocol_class job_class;

void job_init(struct job *j, struct eddy_loop *loop);
/* eddy_subprocess_exec with a future, which is no part of the trace: it may be done before or after
 * process_exited. */
int job_start(struct job *j, const struct eddy_subprocess_opts *opts);
int job_shell(struct job *j, const char *command, const struct eddy_subprocess_opts *opts);
struct eddy_transport *job_pipe(const struct job *j, int fd);
/* Runs the loop until the job is detached from it: connection_lost and fini have come. */
void job_finish(struct job *j);
bool job_is_over(void *job);
/* True if there is no such child of ours: it was reaped. */
bool job_is_reaped(pid_t pid);

/* Runs the loop until the condition, any expression, holds. */
#define JOB_UNTIL(j, condition)                                         \
    do {                                                                \
        eddy_nsec end_ = eddy_loop_time((j)->loop) + EDDY_SEC(30);      \
        while (!(condition) && eddy_loop_time((j)->loop) < end_)        \
            CHECK_INT(eddy_loop_run_once((j)->loop, EDDY_MSEC(20)), 0); \
        CHECK(condition);                                               \
    } while (0)

/* ---- cases ---- */

/* With a loop and a job on it, once for each kind of child watcher. Checks afterwards that the job
 * is over, that its child was reaped and that nothing was reported. */
void job_each_watcher(void (*fn)(struct job *j));

/* The head of a function of such a case, of which `name` is the case. */
#define JOB_CASE(name)                      \
    static void name##_with(struct job *j); \
    static void name(void)                  \
    {                                       \
        job_each_watcher(name##_with);      \
    }                                       \
    static void name##_with(struct job *j)

#endif
