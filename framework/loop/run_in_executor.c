/* Above jobs: futures of functions, the default executor of a loop, and the end of executors. */
#include "framework/base/alloc.h"
#include "framework/loop/executor.h"
#include "framework/loop/loop.h"

/* For a future that a closed loop leaves behind: an answer, but none that is owed attention. */
static void fail_quietly(struct eddy_future *f, int code)
{
    struct eddy_error e;

    eddy_error_set(&e, code, "executor", "%s", eddy_strerror(code));
    if (eddy_future_set_error(f, &e) != EDDY_EINVALID_STATE)
        eddy_future_error(f);
}

/* ---- run_in_executor ---- */

struct call {
    struct eddy_job job;
    struct eddy_resource resource; /* the future is for the loop's thread only, to the end */
    struct eddy_loop *loop;
    struct eddy_future *future; /* NULL: nobody waits */
    bool unwanted;              /* the future was cancelled */
    int (*fn)(void *arg, struct eddy_error *error);
    void *arg;
    void (*destroy)(void *arg);
    struct eddy_error error;
};

static struct eddy_future *let_go(struct call *c)
{
    struct eddy_future *f = c->future;

    eddy_link_remove(&c->resource.link);
    eddy_future_on_cancel(f, NULL, NULL);
    c->future = NULL;
    return f;
}

static void free_call(struct call *c)
{
    if (c->destroy)
        c->destroy(c->arg);
    eddy_free(c);
}

static void run(struct eddy_job *j)
{
    struct call *c = EDDY_CONTAINER_OF(j, struct call, job);
    int code = c->fn(c->arg, &c->error);

    c->error.code = code < 0 ? code : 0;
}

static void report(struct call *c)
{
    if (!c->unwanted)
        eddy_loop_problem(c->loop, &(struct eddy_problem){.message = "Call in an executor failed",
                                                          .error = &c->error,
                                                          .fd = -1});
}

/* On the thread that has run it if the loop has been closed meanwhile: then it has no future. */
static void call_done(struct eddy_job *j, int status)
{
    struct call *c = EDDY_CONTAINER_OF(j, struct call, job);
    struct eddy_future *f = let_go(c);
    struct eddy_error error = c->error;
    bool failed = status == 0 && error.code < 0;

    if (failed && !f)
        report(c);
    if (f && status == 0 && !failed &&
        eddy_future_set_result(f, c->arg, c->destroy) != EDDY_EINVALID_STATE)
        c->destroy = NULL;
    free_call(c);
    if (failed)
        eddy_future_set_error(f, &error);
    else if (status == -ECANCELED)
        eddy_future_cancel(f, "its thread is the parent's");
    else if (status < 0 && f)
        fail_quietly(f, status);
    eddy_future_unref(f);
}

static void call_cancelled(struct eddy_future *f, void *user)
{
    struct call *c = user;

    let_go(c);
    if (eddy_job_cancel(&c->job))
        free_call(c);
    else
        c->unwanted = true;
    eddy_future_unref(f); /* not the last one: it is being cancelled */
}

static void loop_closing(struct eddy_resource *r)
{
    struct eddy_future *f = let_go(EDDY_CONTAINER_OF(r, struct call, resource));

    fail_quietly(f, EDDY_ELOOP_CLOSED);
    eddy_future_unref(f);
}

/* Only what has a future must hear of the loop's end itself. */
static int add_future(struct call *c)
{
    int rc = eddy_future_new(c->loop, &c->future);

    if (rc < 0)
        return rc;
    eddy_future_on_cancel(c->future, call_cancelled, c);
    c->resource.loop_closing = loop_closing;
    eddy_list_append(&c->loop->resources, &c->resource.link);
    return 0;
}

int eddy_run_in_executor(struct eddy_loop *loop, struct eddy_executor *x,
                         int (*fn)(void *arg, struct eddy_error *error), void *arg,
                         void (*destroy)(void *arg), struct eddy_future **ret)
{
    if (!loop || !fn)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    struct call *c = eddy_zalloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    c->job.fn = run;
    c->job.done = call_done;
    c->loop = loop;
    c->fn = fn;
    c->arg = arg;
    c->destroy = destroy;
    int rc = ret ? add_future(c) : 0;
    if (rc == 0)
        rc = eddy_loop_start_job(loop, x, &c->job);
    if (rc < 0) {
        eddy_future_unref(let_go(c));
        eddy_free(c);
        return rc;
    }
    if (ret)
        *ret = eddy_future_ref(c->future);
    return 0;
}

/* ---- shutdown ---- */

struct ending {
    struct eddy_job job; /* done when all threads have ended */
    struct eddy_timer deadline;
    struct eddy_loop *loop;
    struct eddy_future *future; /* NULL: nobody waits */
    eddy_nsec timeout;
};

static struct eddy_future *free_ending(struct ending *e)
{
    struct eddy_future *f = e->future;

    eddy_timer_cancel(&e->deadline);
    eddy_future_on_cancel(f, NULL, NULL);
    eddy_free(e);
    return f;
}

static void all_ended(struct eddy_job *j, int status)
{
    struct eddy_future *f = free_ending(EDDY_CONTAINER_OF(j, struct ending, job));

    if (f && status == EDDY_ELOOP_CLOSED)
        fail_quietly(f, status);
    else /* -ECANCELED: the threads are a parent's, and we have none */
        eddy_future_set_result_unless_cancelled(f, NULL, NULL);
    eddy_future_unref(f);
}

static void deadline_passed(struct eddy_timer *t)
{
    struct ending *e = EDDY_CONTAINER_OF(t, struct ending, deadline);

    if (!eddy_job_cancel(&e->job)) /* all_ended is on its way */
        return;
    eddy_loop_log(e->loop, EDDY_LOG_WARNING, "executor",
                  "its threads have not ended within %.3g seconds: they are left to themselves",
                  (double)e->timeout / 1e9);
    struct eddy_future *f = free_ending(e);
    eddy_future_set_result_unless_cancelled(f, NULL, NULL);
    eddy_future_unref(f);
}

static void waiting_cancelled(struct eddy_future *f, void *user)
{
    struct ending *e = user;

    if (eddy_job_cancel(&e->job))
        free_ending(e);
    else
        e->future = NULL;
    eddy_future_unref(f); /* not the last one: it is being cancelled */
}

int eddy_executor_shutdown(struct eddy_executor *x, struct eddy_loop *loop, eddy_nsec timeout,
                           struct eddy_future **ret)
{
    if (!x || !loop)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    struct ending *e = eddy_zalloc(sizeof *e);
    if (!e)
        return -ENOMEM;
    int rc = ret ? eddy_future_new(loop, &e->future) : 0;
    if (rc < 0) {
        eddy_free(e);
        return rc;
    }
    e->job.done = all_ended;
    e->deadline.fn = deadline_passed;
    e->loop = loop;
    e->timeout = timeout < 0 ? 0 : timeout;
    eddy_future_on_cancel(e->future, waiting_cancelled, e);
    eddy_executor_end(x, loop, &e->job);
    eddy_loop_call_later(loop, &e->deadline, e->timeout);
    if (ret)
        *ret = eddy_future_ref(e->future);
    return 0;
}

/* ---- the default executor ---- */

int eddy_loop_default_executor(struct eddy_loop *loop, struct eddy_executor **ret)
{
    if (loop->executor_shut)
        return EDDY_EEXECUTOR_SHUTDOWN;
    int rc = loop->executor ? 0 : eddy_executor_new(NULL, &loop->executor);
    if (rc == 0)
        *ret = loop->executor;
    return rc;
}

int eddy_loop_set_default_executor(struct eddy_loop *loop, struct eddy_executor *x)
{
    if (!loop || !x)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (loop->executor_shut)
        return EDDY_EEXECUTOR_SHUTDOWN;
    eddy_executor_ref(x);
    eddy_executor_unref(loop->executor);
    loop->executor = x;
    return 0;
}

static int nothing_to_wait_for(struct eddy_loop *loop, struct eddy_future **ret)
{
    struct eddy_future *f = NULL;
    int rc = ret ? eddy_future_new(loop, &f) : 0;

    if (rc < 0)
        return rc;
    if (ret) {
        eddy_future_set_result(f, NULL, NULL);
        *ret = f;
    }
    return 0;
}

int eddy_loop_shutdown_default_executor(struct eddy_loop *loop, eddy_nsec timeout,
                                        struct eddy_future **ret)
{
    if (!loop)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    int rc = loop->executor ? eddy_executor_shutdown(loop->executor, loop, timeout, ret)
                            : nothing_to_wait_for(loop, ret);
    if (rc == 0)
        loop->executor_shut = true;
    return rc;
}
