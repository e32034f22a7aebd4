/* A protocol that records what happens to a child. */
#include "tests/support/child.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct job *job_of(struct eddy_subprocess_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct job, sub);
}

/* (The hook may free nothing of the job, which is the case's.) */
static void call(struct job *j, enum job_slot slot)
{
    j->count[slot]++;
    if (j->on[slot])
        j->on[slot](j);
}

static void made(struct eddy_subprocess_protocol *p, struct eddy_transport *t)
{
    struct job *j = job_of(p);

    CHECK(p->base.transport == t);
    test_trace(&j->trace, "CM");
    CHECK_INT(j->count[JOB_MADE], 0);
    j->t = t;
    j->pid = eddy_transport_get_pid(t);
    CHECK(j->pid > 0);
    CHECK_INT(eddy_transport_get_returncode(t), EDDY_RUNNING);
    call(j, JOB_MADE);
}

static void start_failed(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    struct job *j = job_of(p);

    test_trace(&j->trace, "CF(%s)", test_code(err->code));
    CHECK_INT(j->count[JOB_MADE] + j->count[JOB_FAILED], 0);
    j->code = err->code;
    j->error = *err;
    call(j, JOB_FAILED);
}

static void keep_text(struct job *j, int fd, const void *data, size_t len)
{
    size_t at = j->received[fd], room = sizeof j->text[fd] - 1;

    if (at < room)
        memcpy(j->text[fd] + at, data, len < room - at ? len : room - at);
}

static void data_received(struct eddy_subprocess_protocol *p, int fd, const void *data, size_t len)
{
    struct job *j = job_of(p);
    const unsigned char *bytes = data;

    test_trace(&j->trace, "PD(%d,%zu)", fd, len);
    CHECK(fd == 1 || fd == 2);
    CHECK(len > 0 && j->count[JOB_MADE] == 1 && j->count[JOB_LOST] == 0 && !j->lost[fd]);
    for (size_t i = 0; i < len && fd == 1; i++)
        j->in_order &= bytes[i] == (j->received[1] + i) % 251;
    keep_text(j, fd, data, len);
    j->received[fd] += len;
    j->fd = fd;
    j->data = data;
    j->len = len;
    call(j, JOB_DATA);
}

static void pipe_lost(struct eddy_subprocess_protocol *p, int fd, const struct eddy_error *err)
{
    struct job *j = job_of(p);

    test_trace(&j->trace, "PL(%d,%s)", fd, test_code(err ? err->code : 0));
    CHECK(j->count[JOB_MADE] == 1 && j->count[JOB_LOST] == 0 && !j->lost[fd]);
    j->lost[fd] = true;
    j->lost_code[fd] = err ? err->code : 0;
    j->fd = fd;
    call(j, JOB_PIPE_LOST);
}

static void exited(struct eddy_subprocess_protocol *p)
{
    struct job *j = job_of(p);

    test_trace(&j->trace, "PX");
    CHECK(j->count[JOB_MADE] == 1 && j->count[JOB_LOST] == 0 && j->count[JOB_EXITED] == 0);
    j->returncode = eddy_transport_get_returncode(j->t);
    CHECK(j->returncode != EDDY_RUNNING);
    CHECK_INT(eddy_transport_get_pid(j->t), j->pid);
    call(j, JOB_EXITED);
}

static void pause_writing(struct eddy_subprocess_protocol *p)
{
    test_trace(&job_of(p)->trace, "PW");
    CHECK(job_of(p)->count[JOB_PAUSE] == job_of(p)->count[JOB_RESUME]);
    call(job_of(p), JOB_PAUSE);
}

static void resume_writing(struct eddy_subprocess_protocol *p)
{
    test_trace(&job_of(p)->trace, "RW");
    CHECK(job_of(p)->count[JOB_PAUSE] == job_of(p)->count[JOB_RESUME] + 1);
    call(job_of(p), JOB_RESUME);
}

static void connection_lost(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    struct job *j = job_of(p);

    test_trace(&j->trace, "CL(%s)", test_code(err ? err->code : 0));
    CHECK_INT(j->count[JOB_MADE], 1);
    CHECK_INT(j->count[JOB_LOST], 0);
    j->code = err ? err->code : 0;
    call(j, JOB_LOST);
    j->t = NULL;
}

static void fini(struct eddy_subprocess_protocol *p)
{
    CHECK(p->base.transport == NULL);
    call(job_of(p), JOB_FINI);
}

const struct eddy_subprocess_protocol_class job_class = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct job, sub),
    .connection_made = made,
    .start_failed = start_failed,
    .pipe_data_received = data_received,
    .pipe_connection_lost = pipe_lost,
    .process_exited = exited,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
    .fini = fini,
};

/* ---- starting and ending ---- */

void job_init(struct job *j, struct eddy_loop *loop)
{
    memset(j, 0, sizeof *j);
    child_program();
    j->loop = loop;
    j->pid = -1;
    j->in_order = true;
    eddy_subprocess_protocol_init(&j->sub, &job_class);
}

static void future_done(struct eddy_done *d, struct eddy_future *f)
{
    struct job *j = EDDY_CONTAINER_OF(d, struct job, done_node);
    const struct eddy_error *e = eddy_future_error(f);

    j->done = true;
    j->status = e ? e->code : 0;
}

static int started(struct job *j, int rc)
{
    if (rc < 0)
        return rc;
    j->done_node.fn = future_done;
    eddy_future_add_done_callback(j->future, &j->done_node);
    return 0;
}

int job_start(struct job *j, const struct eddy_subprocess_opts *opts)
{
    return started(j, eddy_subprocess_exec(j->loop, &j->sub, opts, &j->future));
}

int job_shell(struct job *j, const char *command, const struct eddy_subprocess_opts *opts)
{
    return started(j, eddy_subprocess_shell(j->loop, &j->sub, command, opts, &j->future));
}

struct eddy_transport *job_pipe(const struct job *j, int fd)
{
    struct eddy_transport *t = eddy_transport_get_pipe_transport(j->t, fd);

    CHECK(t != NULL);
    return t;
}

bool job_is_over(void *job)
{
    struct job *j = job;

    return !eddy_protocol_is_attached(&j->sub.base) && (!j->future || j->done);
}

void job_finish(struct job *j)
{
    JOB_UNTIL(j, job_is_over(j));
    eddy_future_unref(j->future);
    j->future = NULL;
}

bool job_is_reaped(pid_t pid)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

/* ---- cases ---- */

static void run_with(const char *watcher, void (*fn)(struct job *j))
{
    struct test_problems problems = {0};
    struct eddy_loop *loop;
    unsigned before = CU_get_number_of_failure_records();
    static struct job j; /* its traces are large, and REQUIRE leaves it behind */
    struct eddy_loop_opts opts =
        *EDDY_LOOP(.child_watcher = watcher, .on_problem = test_on_problem, .user = &problems);

    REQUIRE(test_loop_new_opts(&opts, &loop) == 0);
    job_init(&j, loop);
    fn(&j);
    job_finish(&j);
    JOB_UNTIL(&j, j.pid < 0 || job_is_reaped(j.pid)); /* an aborted one is still on its way */
    CHECK_INT(j.count[JOB_LOST] + j.count[JOB_FAILED] > 0 ? j.count[JOB_FINI] : 1, 1);
    CHECK_INT(problems.count, 0);
    test_loop_free(loop);
    if (CU_get_number_of_failure_records() != before)
        FAIL("... with the watcher \"%s\": %s", watcher, trace_text(&j.trace));
}

void job_each_watcher(void (*fn)(struct job *j))
{
    run_with("pidfd", fn);
    run_with("sigchld", fn);
}
