#include "framework/loop/loop.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "framework/transport/transport.h"
#include <eddy/future.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_WAIT EDDY_SEC(24 * 60 * 60)

static _Thread_local struct eddy_loop *running_loop;

/* ---- fork ---- */

static unsigned fork_generation;

/* If the child returns from the callback it was forked in, it must leave the rest of the iteration,
 * and the bytes not sent yet, to the parent. */
static void abandon(struct eddy_loop *loop)
{
    loop->abandoned = true;
    if (loop->receiving)
        transport_leave_straight_line(loop->receiving);
}

static void after_fork_in_child(void)
{
    fork_generation++;
    if (running_loop)
        abandon(running_loop);
    running_loop = NULL;
}

static void add_fork_hook(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

void eddy_watch_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, add_fork_hook);
}

unsigned eddy_fork_generation(void)
{
    return fork_generation;
}

/* From here on the loop is this process's, unless that fails. */
static int renew_backend(struct eddy_loop *loop)
{
    unsigned before = loop->fork_generation;

    loop->fork_generation = fork_generation;
    loop->abandoned = false;
    int rc = loop->backend->cls->forked(loop->backend);
    if (rc < 0)
        loop->fork_generation = before;
    return rc;
}

int eddy_loop_forked(struct eddy_loop *loop)
{
    if (!loop)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (loop->fork_generation == fork_generation)
        return 0;
    if (loop->running) /* the fork was made in a callback, whose run is below us */
        return EDDY_EINVALID_STATE;
    int rc = renew_backend(loop);
    if (rc == 0) {
        eddy_naming_forked(loop); /* takes its jobs back first */
        eddy_loop_forked_jobs(loop);
        rc = eddy_loop_forked_signals(loop);
    }
    if (rc == 0)
        eddy_loop_forked_children(loop);
    return rc;
}

/* ---- handles ---- */

/* Apart, so that call_soon needs no frame. */
static EDDY_COLD bool may_call_soon(struct eddy_loop *loop, const struct eddy_handle *h,
                                    const char *site)
{
    if (!eddy_loop_may_schedule(loop, "call_soon", site))
        return false;
    if (h->fn)
        return true;
    eddy_loop_problem(loop, &(struct eddy_problem){
                                .message = "call_soon without a function", .fd = -1, .site = site});
    return false;
}

void eddy_loop_call_soon_site(struct eddy_loop *loop, struct eddy_handle *h, const char *site)
{
    if (EDDY_UNLIKELY(loop->debug || loop->closed || loop->closing || !h->fn) &&
        !may_call_soon(loop, h, site))
        return;
    if (eddy_link_is_member(&h->link_))
        return;
    h->site_ = site;
    eddy_list_append(&loop->ready, &h->link_);
}

void eddy_handle_cancel(struct eddy_handle *h)
{
    eddy_link_remove(&h->link_);
}

bool eddy_handle_is_pending(const struct eddy_handle *h)
{
    return eddy_link_is_member(&h->link_);
}

/* ---- an iteration (contract L22-L27) ---- */

static EDDY_COLD void run_watched(struct eddy_loop *loop, struct eddy_handle *h)
{
    const char *site = h->site_;
    eddy_nsec begin = eddy_callback_begin(loop);

    h->fn(h); /* h may be gone */
    eddy_callback_end(loop, begin, "handle", site);
}

static void run_batch(struct eddy_loop *loop)
{
    struct eddy_link batch, *l;

    eddy_list_init(&batch);
    eddy_list_splice(&batch, &loop->ready);
    while (EDDY_LIKELY(!loop->abandoned) && (l = eddy_list_pop(&batch)) != NULL) {
        struct eddy_handle *h = EDDY_CONTAINER_OF(l, struct eddy_handle, link_);

        if (EDDY_LIKELY(!loop->debug))
            h->fn(h); /* h may be gone */
        else
            run_watched(loop, h);
    }
    if (EDDY_LIKELY(eddy_list_empty(&batch)))
        return;
    eddy_list_splice(&batch, &loop->ready); /* abandoned: they keep their place */
    eddy_list_splice(&loop->ready, &batch);
}

static void run_timers(struct eddy_loop *loop, eddy_nsec now, uint64_t seq_cut)
{
    struct eddy_timer *t;

    while (EDDY_LIKELY(!loop->abandoned) &&
           (t = eddy_heap_pop(&loop->timers, now, seq_cut)) != NULL) {
        const char *site = t->site_;
        eddy_nsec begin = eddy_callback_begin(loop);

        t->fn(t); /* t may be gone */
        eddy_callback_end(loop, begin, "timer", site);
    }
}

static void end_phase(struct eddy_loop *loop)
{
    if (loop->corked && EDDY_LIKELY(!loop->abandoned))
        eddy_transports_uncork(loop);
}

static eddy_nsec next_timeout(struct eddy_loop *loop)
{
    if (!eddy_list_empty(&loop->ready) || loop->stop || loop->posts || loop->signals)
        return 0;
    eddy_nsec next = eddy_heap_next(&loop->timers);
    if (next == EDDY_FOREVER)
        return EDDY_FOREVER;
    eddy_nsec now = eddy_loop_clock(loop);
    if (next <= now) /* without a difference, which might not fit */
        return 0;
    return next - now > LONGEST_WAIT ? LONGEST_WAIT : next - now;
}

/* Who sleeps on our descriptor must not do so before the kernel has been told what we want. */
eddy_nsec eddy_loop_timeout(struct eddy_loop *loop)
{
    struct eddy_backend *b = loop->backend;

    return b->cls->busy && b->cls->busy(b) ? 0 : next_timeout(loop);
}

static int iterate(struct eddy_loop *loop, eddy_nsec longest)
{
    struct eddy_backend *b = loop->backend;
    eddy_nsec timeout = next_timeout(loop);
    int rc = b->cls->wait(b, timeout < longest ? timeout : longest);

    if (rc < 0)
        return rc;
    eddy_nsec now = loop->now = eddy_loop_clock(loop);
    if (loop->posts)
        eddy_loop_take_posts(loop);
    if (loop->signals)
        eddy_loop_take_signals(loop);
    uint64_t seq_cut = loop->timers.next_seq;

    loop->corking = true;
    loop->straight = !loop->debug;
    run_batch(loop);
    end_phase(loop);
    if (EDDY_LIKELY(!loop->abandoned))
        b->cls->dispatch(b);
    end_phase(loop);
    run_timers(loop, now, seq_cut);
    end_phase(loop);
    loop->corking = loop->straight = false;
    return loop->fork_generation == fork_generation ? 0 : EDDY_EINVALID_STATE;
}

/* ---- runs ---- */

static int begin_run(struct eddy_loop *loop)
{
    if (!loop)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (loop->fork_generation != fork_generation)
        return EDDY_EINVALID_STATE;
    if (running_loop && running_loop != loop)
        return EDDY_EOTHER_LOOP;
    if (loop->lent > 0 || atomic_exchange(&loop->running, true))
        return EDDY_ELOOP_RUNNING;
    eddy_loop_ref(loop);
    running_loop = loop;
    return 0;
}

static void end_run(struct eddy_loop *loop)
{
    loop->running = false;
    running_loop = NULL;
    eddy_loop_unref(loop);
}

int eddy_loop_run_forever(struct eddy_loop *loop)
{
    int rc = begin_run(loop);

    if (rc < 0)
        return rc;
    do {
        rc = iterate(loop, EDDY_FOREVER);
    } while (rc == 0 && !loop->stop);
    loop->stop = false;
    end_run(loop);
    return rc;
}

int eddy_loop_run_once(struct eddy_loop *loop, eddy_nsec timeout)
{
    int rc = begin_run(loop);

    if (rc < 0)
        return rc;
    rc = iterate(loop, timeout < 0 ? 0 : timeout);
    loop->stop = false;
    end_run(loop);
    return rc;
}

static void stop_when_done(struct eddy_done *d, struct eddy_future *f)
{
    (void)d;
    eddy_loop_stop(eddy_future_loop(f));
}

int eddy_loop_run_until_complete(struct eddy_loop *loop, struct eddy_future *f, void **ret_value)
{
    struct eddy_done done = {.fn = stop_when_done};

    if (!loop || !f || eddy_future_loop(f) != loop)
        return -EINVAL;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    eddy_future_ref(f);
    eddy_future_add_done_callback(f, &done);
    int rc = eddy_loop_run_forever(loop);
    eddy_future_remove_done_callback(&done);
    if (rc == 0)
        rc = eddy_future_is_done(f) ? eddy_future_result(f, ret_value) : EDDY_ENOT_COMPLETED;
    eddy_future_unref(f);
    return rc;
}

void eddy_loop_stop(struct eddy_loop *loop)
{
    if (!atomic_exchange(&loop->stop, true) && running_loop != loop)
        eddy_loop_wake(loop);
}

void eddy_loop_wake(struct eddy_loop *loop)
{
    if (loop->fork_generation == fork_generation)
        loop->backend->cls->wake(loop->backend);
}

/* ---- life cycle ---- */

static bool debug_by_environment(void)
{
    const char *value = getenv("EDDY_DEBUG");

    return value && *value && strcmp(value, "0") != 0;
}

static int check_opts(const struct eddy_loop_opts *o)
{
    int choices = (o->backend != NULL) + (o->selector != NULL) + (o->backend_class != NULL);

    if (choices > 1)
        return eddy_error_set(o->error, -EINVAL, "new loop",
                              "at most one of .backend, .selector and .backend_class may be given");
    if (o->backend_class && !o->backend_class->open)
        return eddy_error_set(o->error, -EINVAL, "new loop", ".backend_class has no open");
    if (o->slow_callback < 0)
        return eddy_error_set(o->error, -EINVAL, "new loop", ".slow_callback is negative");
    return 0;
}

int eddy_loop_new(const struct eddy_loop_opts *opts, struct eddy_loop **ret)
{
    const struct eddy_loop_opts defaults = {.abi_size = sizeof defaults};

    if (!opts)
        opts = &defaults;
    if (!ret)
        return -EINVAL;
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc == 0)
        rc = check_opts(opts);
    if (rc < 0)
        return rc;
    struct eddy_loop *loop = eddy_zalloc(sizeof *loop);
    if (!loop)
        return eddy_error_set(opts->error, -ENOMEM, "new loop", "no memory for a loop");
    eddy_watch_forks();

    loop->refs = 1;
    loop->fork_generation = fork_generation;
    loop->debug = opts->debug || debug_by_environment();
    loop->slow_callback = opts->slow_callback ? opts->slow_callback : EDDY_MSEC(100);
    loop->keep_sigpipe = opts->keep_sigpipe;
    loop->on_problem = opts->on_problem;
    loop->problem_user = loop->user = opts->user;
    loop->log = opts->log;
    loop->sys = opts->sys ? opts->sys : eddy_sys_posix();
    eddy_list_init(&loop->ready);
    eddy_list_init(&loop->transports);
    eddy_list_init(&loop->resources);
    eddy_list_init(&loop->starving);
    eddy_list_init(&loop->watches);
    eddy_list_init(&loop->signal_nodes);
    eddy_list_init(&loop->jobs);
    eddy_transports_init(loop);
    eddy_ration_init(&loop->handshakes, loop);
    eddy_list_init(&loop->warm);

    rc = eddy_loop_init_children(loop, opts);
    if (rc == 0)
        rc = eddy_naming_init(loop, opts->resolver, opts->error);
    if (rc == 0)
        rc = eddy_backend_open(loop, opts, &loop->backend);
    if (rc < 0) {
        eddy_naming_fini(loop);
        eddy_loop_free_ios(loop);
        eddy_free(loop);
        return rc;
    }
    loop->try_send = loop->backend->cls->try_send;
    loop->now = eddy_loop_clock(loop);
    if (!loop->keep_sigpipe)
        eddy_ignore_sigpipe();
    eddy_loop_log(loop, EDDY_LOG_DEBUG, "loop", "using %s", eddy_loop_backend_name(loop));
    *ret = loop;
    return 0;
}

struct eddy_loop *eddy_loop_ref(struct eddy_loop *loop)
{
    atomic_fetch_add_explicit(&loop->refs, 1, memory_order_relaxed);
    return loop;
}

/* Nobody refers to it any more. */
static void close_forgotten(struct eddy_loop *loop)
{
    loop->refs = 1; /* closing takes and drops references, and some may stay */
    eddy_loop_log(loop, EDDY_LOG_WARNING, "loop", "unclosed event loop on %s",
                  eddy_loop_backend_name(loop));
    if (eddy_loop_close(loop) == 0)
        eddy_loop_unref(loop);
    else /* we are in a callback of a call that uses it yet, and cannot be told when that returns */
        eddy_loop_log(loop, EDDY_LOG_WARNING, "loop",
                      "its last reference was dropped inside a call that uses it: it stays");
}

void eddy_loop_unref(struct eddy_loop *loop)
{
    if (!loop || atomic_fetch_sub_explicit(&loop->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (!loop->closed) {
        close_forgotten(loop);
        return;
    }
    loop->backend->cls->free(loop->backend);
    eddy_naming_fini(loop);
    eddy_loop_free_ios(loop);
    eddy_free(loop);
}

/* Posts are collected instead: their functions are owed a call. */
static void unlink_nodes(struct eddy_loop *loop, struct eddy_link *posts)
{
    struct eddy_link *l;

    eddy_list_splice(&loop->ready, &loop->starving);
    while ((l = eddy_list_pop(&loop->ready)) != NULL) {
        struct eddy_handle *h = EDDY_CONTAINER_OF(l, struct eddy_handle, link_);

        if (eddy_handle_is_post(h))
            eddy_list_append(posts, l);
        else
            eddy_future_drop_callback(h);
    }
    eddy_heap_clear(&loop->timers);
    eddy_loop_close_watches(loop);
    eddy_loop_close_signals(loop);
}

/* A wait that fails brings no news, but what is closed can still go. */
static bool drain(struct eddy_loop *loop)
{
    struct eddy_backend *b = loop->backend;
    unsigned before = loop->open_ios;
    int rc = b->cls->wait(b, before > 0 ? EDDY_MSEC(100) : 0);

    b->cls->dispatch(b);
    return rc == 0 || loop->open_ios < before;
}

/* The endings that are owed may themselves end other things: repeat until nothing is left. */
static void end_what_is_open(struct eddy_loop *loop)
{
    struct eddy_link *l;

    while ((l = eddy_list_pop(&loop->resources)) != NULL) {
        struct eddy_resource *r = EDDY_CONTAINER_OF(l, struct eddy_resource, link);
        r->loop_closing(r);
    }
    eddy_naming_close(loop);
    eddy_loop_close_jobs(loop);
    eddy_loop_close_children(loop); /* before their transports, whose end would kill them */
    eddy_transports_loop_closing(loop, &loop->transports);
    while (eddy_transports_run_deferred(loop) || loop->open_ios > 0) {
        if (!drain(loop))
            break;
    }
}

int eddy_loop_close(struct eddy_loop *loop)
{
    struct eddy_link posts;

    if (!loop)
        return -EINVAL;
    if (loop->closed)
        return 0;
    if (loop->closing || loop->running || loop->lent > 0)
        return EDDY_ELOOP_RUNNING;
    if (loop->fork_generation != fork_generation)
        renew_backend(loop); /* never touch the parent's registrations */
    eddy_loop_ref(loop);
    loop->closing = true;
    eddy_list_init(&posts);
    unlink_nodes(loop, &posts);
    eddy_loop_close_posts(loop, &posts);
    end_what_is_open(loop);
    eddy_ration_fini(&loop->handshakes);
    eddy_transports_fini(loop);
    eddy_heap_clear(&loop->timers);
    loop->closed = true;
    loop->closing = false;
    eddy_loop_unref(loop);
    return 0;
}

/* ---- what it is ---- */

bool eddy_loop_is_running(const struct eddy_loop *loop)
{
    return loop->running && loop->fork_generation == fork_generation;
}

bool eddy_loop_is_closed(const struct eddy_loop *loop)
{
    return !eddy_loop_is_open(loop);
}

struct eddy_loop *eddy_get_running_loop(void)
{
    return running_loop;
}

eddy_nsec eddy_loop_time(const struct eddy_loop *loop)
{
    return eddy_loop_clock(loop);
}

int eddy_loop_fileno(struct eddy_loop *loop)
{
    return loop->backend->cls->fileno(loop->backend);
}

const char *eddy_loop_backend_name(const struct eddy_loop *loop)
{
    return loop->backend->cls->name;
}

void *eddy_loop_user(const struct eddy_loop *loop)
{
    return loop->user;
}

bool eddy_loop_get_debug(const struct eddy_loop *loop)
{
    return loop->debug;
}

void eddy_loop_set_debug(struct eddy_loop *loop, bool on)
{
    loop->debug = on;
    loop->straight = loop->corking && !on;
}

void eddy_loop_set_slow_callback(struct eddy_loop *loop, eddy_nsec limit)
{
    loop->slow_callback = limit;
}

void eddy_loop_set_problem_handler(struct eddy_loop *loop, eddy_problem_fn *fn, void *user)
{
    loop->on_problem = fn;
    loop->problem_user = user;
}

eddy_problem_fn *eddy_loop_get_problem_handler(const struct eddy_loop *loop)
{
    return loop->on_problem;
}
