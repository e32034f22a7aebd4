/* backends: select poll epoll io_uring */
/* timeout: 120 */
/*
 * Many subprocesses at the same time, with pipes, in one loop and in loops of several threads
 * (contract U36, U38, U39).
 */
#include "tests/support/child.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define THREADS 4

struct crowd {
    struct eddy_loop *loop;
    struct job *jobs;
    int count;
    struct test_problems problems;
};

/* Each child has three descriptors of ours; that many may be open, and select may watch them. */
static int most(int wanted)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)wanted * 3 + 100;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < need) {
        limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    rlim_t room = limit.rlim_cur;
    if (test_backend() && strcmp(test_backend(), "select") == 0 && room > 1024)
        room = 1024;
    return room < need ? (int)(room - 100) / 3 : wanted;
}

static void begin(struct crowd *c, const char *watcher, int count)
{
    memset(c, 0, sizeof *c);
    c->count = count;
    c->jobs = calloc((size_t)count, sizeof *c->jobs);
    REQUIRE(c->jobs != NULL);
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .child_watcher = watcher,
                                    .on_problem = test_on_problem, .user = &c->problems),
                          &c->loop) == 0);
}

/* Each says that it is there, waits for a byte, and ends with a status of its own. */
static void start_all(struct crowd *c)
{
    for (int i = 0; i < c->count; i++) {
        char status[16];

        snprintf(status, sizeof status, "%d", i % 200);
        job_init(&c->jobs[i], c->loop);
        CHECK_INT(job_start(&c->jobs[i],
                            EDDY_SUBPROCESS(.argv = CHILD("out", "x", "read", "1", "exit", status),
                                            .std_err = EDDY_STDIO_INHERIT)),
                  0);
    }
}

static int how_many(const struct crowd *c, enum job_slot slot)
{
    int n = 0;

    for (int i = 0; i < c->count; i++)
        n += c->jobs[i].count[slot] > 0;
    return n;
}

/* They coincide as well as can be: all are told before the loop runs again. */
static void end_all(struct crowd *c)
{
    JOB_UNTIL(&c->jobs[0], how_many(c, JOB_DATA) == c->count);
    CHECK_INT(how_many(c, JOB_EXITED), 0);
    for (int i = 0; i < c->count; i++)
        CHECK_INT(eddy_transport_write(job_pipe(&c->jobs[i], 0), "x", 1), 0);
    for (int i = 0; i < c->count; i++) {
        struct job *j = &c->jobs[i];

        job_finish(j);
        CHECK_INT(j->returncode, i % 200);
        CHECK_INT(j->count[JOB_EXITED], 1);
        CHECK_INT(j->count[JOB_FINI], 1);
        CHECK_STR(j->text[1], "x");
        CHECK(job_is_reaped(j->pid));
    }
}

static void finish(struct crowd *c)
{
    CHECK_INT(c->problems.count, 0);
    CHECK_INT(eddy_loop_close(c->loop), 0);
    eddy_loop_unref(c->loop);
    free(c->jobs);
}

static void run_crowd(const char *watcher, int count)
{
    struct crowd c;
    int descriptors = test_open_descriptors();

    begin(&c, watcher, count);
    start_all(&c);
    end_all(&c);
    finish(&c);
    CHECK_INT(test_open_descriptors(), descriptors);
}

static void U38_a_hundred_at_once_by_pidfd(void)
{
    run_crowd("pidfd", 100);
}

static void U38_a_hundred_at_once_by_sigchld(void)
{
    run_crowd("sigchld", 100);
}

static void U36_U38_five_hundred_in_flight_by_pidfd(void)
{
    run_crowd("pidfd", most(500));
}

static void U36_U38_five_hundred_in_flight_by_sigchld(void)
{
    run_crowd("sigchld", most(500));
}

/* Half of them end by themselves, half are ended in the middle of it. */
static void run_mixed(const char *watcher)
{
    struct crowd c;

    begin(&c, watcher, 60);
    start_all(&c);
    JOB_UNTIL(&c.jobs[0], how_many(&c, JOB_DATA) == c.count);
    for (int i = 0; i < c.count; i++) {
        struct job *j = &c.jobs[i];

        if (i % 4 == 0)
            eddy_transport_close(j->t);
        else if (i % 4 == 1)
            eddy_transport_abort(j->t, NULL);
        else if (i % 4 == 2)
            eddy_transport_close(job_pipe(j, 0));
        else
            eddy_transport_terminate(j->t);
    }
    for (int i = 0; i < c.count; i++) {
        struct job *j = &c.jobs[i];

        job_finish(j);
        JOB_UNTIL(j, job_is_reaped(j->pid));
        CHECK_INT(j->returncode, i % 4 == 0 ? -9 : i % 4 == 1 ? 0 : i % 4 == 2 ? 99 : -15);
    }
    finish(&c);
}

static void U23_U36_many_that_end_in_different_ways(void)
{
    run_mixed("pidfd");
    run_mixed("sigchld");
}

/* ---- threads ---- */

static void *run_thread(void *watcher)
{
    struct crowd c;

    for (int i = 0; i < 3; i++) {
        begin(&c, watcher, 15);
        start_all(&c);
        end_all(&c);
        finish(&c);
    }
    return NULL;
}

static void U39_loops_of_several_threads(void)
{
    static char pidfd[] = "pidfd", sigchld[] = "sigchld";
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, run_thread, i % 2 ? pidfd : sigchld) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

const struct test_case test_cases[] = {
    TEST(U38_a_hundred_at_once_by_pidfd),
    TEST(U38_a_hundred_at_once_by_sigchld),
    TEST(U36_U38_five_hundred_in_flight_by_pidfd),
    TEST(U36_U38_five_hundred_in_flight_by_sigchld),
    TEST(U23_U36_many_that_end_in_different_ways),
    TEST(U39_loops_of_several_threads),
    TEST_END,
};
