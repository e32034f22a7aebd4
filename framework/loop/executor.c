/*
 * Threads that run jobs. A job waits in the queue of its executor, is run by a thread, and goes
 * back as a post, which that thread makes under the lock.
 *
 * Jobs hold no reference of their loop, which would keep a forgotten one from being closed. A loop
 * knows its jobs instead, and lets go of each when it closes: it takes the lock for that, so no
 * thread is at that moment in a post to it, and none makes one afterwards.
 */
#include "framework/loop/executor.h"
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE 16 /* as the kernel has it */

enum state {
    OURS,    /* the user's */
    QUEUED,  /* in the queue, or among those that await the end */
    RUNNING, /* a thread has it */
    SENT,    /* the loop has its post */
    REFUSED, /* the loop is closing, and comes for it */
    LOST,    /* we are a child, and the thread is the parent's */
};

struct eddy_executor {
    atomic_uint generation; /* see lock() */
    pthread_mutex_t mutex;  /* guards what follows, and loop_ and state_ of jobs */
    pthread_cond_t wanted;  /* for idle threads: a job waits, or the end has come */
    unsigned refs;          /* of users, loops and jobs */
    unsigned max_threads;
    unsigned threads;
    unsigned idle;    /* those that have no job, or are just being started */
    unsigned waiting; /* jobs in the queue */
    unsigned named;   /* threads so far */
    bool shut;
    bool has_ended;
    pthread_t ended;             /* the thread that has ended last: somebody must join it */
    struct eddy_link queue;      /* jobs */
    struct eddy_link end_awaits; /* jobs without fn, done when no thread is left */
    char name[NAME_SIZE];
};

/* ---- the lock ---- */

static void begin_anew(struct eddy_executor *x)
{
    pthread_mutex_init(&x->mutex, NULL);
    pthread_cond_init(&x->wanted, NULL);
    x->threads = x->idle = x->waiting = 0;
    x->has_ended = false;
    eddy_list_init(&x->queue);
    eddy_list_init(&x->end_awaits);
}

/* A child has none of the threads, one of which may have held the mutex, or been at work on the
 * lists. The first to come sees it by the generation, which is odd while that is put right. */
static void lock(struct eddy_executor *x)
{
    unsigned ready = 2 * eddy_fork_generation();
    unsigned seen;

    while ((seen = atomic_load(&x->generation)) != ready) {
        if (seen == ready + 1 || !atomic_compare_exchange_strong(&x->generation, &seen, ready + 1))
            sched_yield();
        else {
            begin_anew(x);
            atomic_store(&x->generation, ready);
        }
    }
    pthread_mutex_lock(&x->mutex);
}

static void unlock(struct eddy_executor *x)
{
    pthread_mutex_unlock(&x->mutex);
}

/* ---- jobs on their way back ---- */

static bool awaits_end(const struct eddy_job *j)
{
    return !j->fn;
}

/* Waits for what a thread does after it has told of its end. Each joins the one before it. */
static void join_last(struct eddy_executor *x)
{
    lock(x);
    bool has_ended = x->has_ended;
    pthread_t ended = x->ended;
    x->has_ended = false;
    unlock(x);
    if (has_ended)
        pthread_join(ended, NULL);
}

static void finish(struct eddy_job *j, int status)
{
    struct eddy_executor *x = j->executor_;

    eddy_link_remove(&j->loop_link_);
    j->executor_ = NULL;
    if (awaits_end(j) && status == 0)
        join_last(x);
    eddy_executor_unref(x); /* under the lock: the thread that sent j is done with it */
    if (j->state_ == LOST && status == 0)
        status = -ECANCELED;
    j->state_ = OURS;
    j->done(j, status); /* j may be gone */
}

static void arrive(struct eddy_post *p, int status)
{
    finish(EDDY_CONTAINER_OF(p, struct eddy_job, post_), status);
}

/* Under the lock. */
static void send_back(struct eddy_job *j)
{
    j->post_.fn = arrive;
    j->state_ = eddy_loop_call_soon_threadsafe(j->loop_, &j->post_) < 0 ? REFUSED : SENT;
}

/* ---- threads ---- */

static void name_thread(struct eddy_executor *x)
{
    char name[NAME_SIZE], number[NAME_SIZE];
    size_t len = (size_t)snprintf(number, sizeof number, "-%u", x->named++);
    size_t kept = strnlen(x->name, sizeof name - 1 - len);

    memcpy(name, x->name, kept);
    memcpy(name + kept, number, len + 1);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#endif
}

/* Under the lock. NULL at the end. */
static struct eddy_job *next_job(struct eddy_executor *x)
{
    while (eddy_list_empty(&x->queue)) {
        if (x->shut || x->refs == 0)
            return NULL;
        pthread_cond_wait(&x->wanted, &x->mutex);
    }
    struct eddy_job *j = EDDY_CONTAINER_OF(eddy_list_pop(&x->queue), struct eddy_job, queue_link_);
    j->state_ = RUNNING;
    x->waiting--;
    x->idle--;
    return j;
}

/* Under the lock, which it leaves for a while. The job's loop has been closed meanwhile. */
static void drop(struct eddy_executor *x, struct eddy_job *j)
{
    unlock(x);
    j->executor_ = NULL;
    j->state_ = OURS;
    j->done(j, EDDY_ELOOP_CLOSED); /* j may be gone */
    lock(x);
    if (--x->refs == 0)
        pthread_cond_broadcast(&x->wanted);
}

static void destroy(struct eddy_executor *x)
{
    pthread_cond_destroy(&x->wanted);
    pthread_mutex_destroy(&x->mutex);
    eddy_free(x);
}

/* Under the lock, which it gives up. If nobody is left to join the last thread and to free the
 * executor, it does both itself. */
static void leave(struct eddy_executor *x)
{
    bool join = x->has_ended;
    pthread_t before = x->ended;
    struct eddy_link *l;

    x->has_ended = true;
    x->ended = pthread_self();
    x->idle--;
    bool last = --x->threads == 0;
    while (last && (l = eddy_list_pop(&x->end_awaits)) != NULL)
        send_back(EDDY_CONTAINER_OF(l, struct eddy_job, queue_link_));
    bool unused = last && x->refs == 0;
    unlock(x);
    if (join)
        pthread_join(before, NULL);
    if (unused) {
        pthread_detach(pthread_self());
        destroy(x);
    }
}

static void *work(void *arg)
{
    struct eddy_executor *x = arg;
    unsigned generation = eddy_fork_generation();
    struct eddy_job *j;

    lock(x);
    name_thread(x);
    while ((j = next_job(x)) != NULL) {
        unlock(x);
        j->fn(j);
        if (eddy_fork_generation() != generation)
            return NULL; /* a child, forked by fn: nothing here is its own */
        lock(x);
        if (j->loop_)
            send_back(j);
        else
            drop(x, j);
        x->idle++;
    }
    leave(x);
    return NULL;
}

/* Under the lock. Signals are for the threads of loops; but one that reports a fault would, if it
 * were blocked, pass by the handler that is there for it. */
static int add_thread(struct eddy_executor *x)
{
    static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    sigset_t blocked, before;
    pthread_t thread;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int rc = -pthread_create(&thread, NULL, work, x);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc < 0)
        return rc;
    x->threads++;
    x->idle++;
    return 0;
}

/* ---- starting and cancelling ---- */

/* Under the lock, on the loop's thread. */
static void adopt(struct eddy_executor *x, struct eddy_loop *loop, struct eddy_job *j)
{
    x->refs++;
    j->executor_ = x;
    j->loop_ = loop;
    j->generation_ = eddy_fork_generation();
    eddy_list_append(&loop->jobs, &j->loop_link_);
}

static int enqueue(struct eddy_executor *x, struct eddy_loop *loop, struct eddy_job *j)
{
    if (x->shut)
        return EDDY_EEXECUTOR_SHUTDOWN;
    if (x->waiting >= x->idle && x->threads < x->max_threads) {
        int rc = add_thread(x);
        if (rc < 0 && x->threads == 0) /* else the others do it */
            return rc;
    }
    adopt(x, loop, j);
    j->state_ = QUEUED;
    eddy_list_append(&x->queue, &j->queue_link_);
    x->waiting++;
    pthread_cond_signal(&x->wanted);
    return 0;
}

int eddy_loop_start_job(struct eddy_loop *loop, struct eddy_executor *x, struct eddy_job *j)
{
    int rc = 0;

    if (!loop || !j || !j->fn || !j->done)
        return -EINVAL;
    if (j->executor_)
        return -EALREADY;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (!x)
        rc = eddy_loop_default_executor(loop, &x);
    if (rc < 0)
        return rc;
    lock(x);
    rc = enqueue(x, loop, j);
    unlock(x);
    return rc;
}

void eddy_executor_end(struct eddy_executor *x, struct eddy_loop *loop, struct eddy_job *j)
{
    lock(x);
    x->shut = true;
    adopt(x, loop, j);
    if (x->threads == 0)
        send_back(j);
    else {
        j->state_ = QUEUED;
        eddy_list_append(&x->end_awaits, &j->queue_link_);
        pthread_cond_broadcast(&x->wanted);
    }
    unlock(x);
}

/* Under the lock. False if it has gone further. */
static bool take_out(struct eddy_executor *x, struct eddy_job *j)
{
    if (j->state_ != QUEUED)
        return false;
    eddy_link_remove(&j->queue_link_);
    if (!awaits_end(j))
        x->waiting--;
    j->state_ = OURS;
    return true;
}

/* Begun before a fork that this process is the child of. */
static bool is_lost(const struct eddy_job *j)
{
    return j->generation_ != eddy_fork_generation();
}

bool eddy_job_cancel(struct eddy_job *j)
{
    struct eddy_executor *x = j ? j->executor_ : NULL;

    if (!x || is_lost(j))
        return false;
    lock(x);
    bool out = take_out(x, j);
    unlock(x);
    if (!out)
        return false;
    eddy_link_remove(&j->loop_link_);
    j->executor_ = NULL;
    eddy_executor_unref(x);
    return true;
}

bool eddy_job_is_pending(const struct eddy_job *j)
{
    return j->executor_ != NULL;
}

/* ---- the loop's end, and forks ---- */

/* Its posts have been run. What is in the hands of a thread is left to that. */
void eddy_loop_close_jobs(struct eddy_loop *loop)
{
    struct eddy_link *l;

    while ((l = eddy_list_pop(&loop->jobs)) != NULL) {
        struct eddy_job *j = EDDY_CONTAINER_OF(l, struct eddy_job, loop_link_);
        struct eddy_executor *x = j->executor_;
        bool running = false;

        lock(x);
        if (!is_lost(j)) {
            take_out(x, j);
            running = j->state_ == RUNNING;
        }
        if (running)
            j->loop_ = NULL;
        unlock(x);
        if (!running)
            finish(j, EDDY_ELOOP_CLOSED);
    }
    eddy_executor_unref(loop->executor);
    loop->executor = NULL;
}

/* Those that had got as far as our queue are ours to finish; the others have no thread. */
void eddy_loop_forked_jobs(struct eddy_loop *loop)
{
    eddy_loop_take_posts(loop);
    for (struct eddy_link *l = loop->jobs.next; l != &loop->jobs; l = l->next) {
        struct eddy_job *j = EDDY_CONTAINER_OF(l, struct eddy_job, loop_link_);

        if (!is_lost(j) || eddy_link_is_member(&j->post_.handle_.link_))
            continue;
        j->post_ = (struct eddy_post){.fn = arrive};
        j->state_ = LOST;
        j->generation_ = eddy_fork_generation();
        eddy_loop_call_soon_threadsafe(loop, &j->post_);
    }
}

/* ---- executors ---- */

/* asyncio: min(32, CPUs + 4). */
static unsigned default_threads(void)
{
    long cpus = 0;
#if defined(__linux__)
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpus = CPU_COUNT(&set);
#endif
    if (cpus < 1)
        cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (cpus < 1)
        cpus = 1;
    return cpus < 28 ? (unsigned)cpus + 4 : 32;
}

int eddy_executor_new(const struct eddy_executor_opts *opts, struct eddy_executor **ret)
{
    static const struct eddy_executor_opts defaults = {.abi_size = sizeof defaults};

    if (!opts)
        opts = &defaults;
    if (!ret)
        return -EINVAL;
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc < 0)
        return rc;
    struct eddy_executor *x = eddy_zalloc(sizeof *x);
    if (!x)
        return eddy_error_set(opts->error, -ENOMEM, "new executor", "no memory for an executor");
    eddy_watch_forks();
    begin_anew(x);
    x->generation = 2 * eddy_fork_generation();
    x->refs = 1;
    x->max_threads = opts->max_threads ? opts->max_threads : default_threads();
    snprintf(x->name, sizeof x->name, "%s", opts->name ? opts->name : "eddy");
    *ret = x;
    return 0;
}

struct eddy_executor *eddy_executor_ref(struct eddy_executor *x)
{
    if (!x)
        return NULL;
    lock(x);
    x->refs++;
    unlock(x);
    return x;
}

void eddy_executor_unref(struct eddy_executor *x)
{
    if (!x)
        return;
    lock(x);
    bool last = --x->refs == 0;
    bool unused = last && x->threads == 0;
    if (last)
        pthread_cond_broadcast(&x->wanted);
    unlock(x); /* threads that are left free it */
    if (!unused)
        return;
    join_last(x);
    destroy(x);
}
