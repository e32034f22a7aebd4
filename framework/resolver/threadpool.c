/*
 * The system's resolver, which blocks: in threads of its own, so that a dead name server holds up
 * nobody else's work.
 */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include "framework/resolver/resolver.h"
#include <eddy/executor.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define DEFAULT_THREADS 8

struct threads_resolver {
    struct eddy_resolver base;
    struct eddy_executor *executor;
};

/* One question, with all that a thread needs; the query itself is the loop's alone. */
struct task {
    struct eddy_job job;
    struct eddy_query *query; /* NULL: nobody waits any more */
    bool for_names;
    char *host, *service; /* behind this; may be NULL */
    struct addrinfo hints;
    bool any_type;
    struct eddy_addr addr;
    int flags;

    int outcome; /* EAI_* */
    int system;  /* errno with EAI_SYSTEM */
    struct addrinfo *list;
    char name[NI_MAXHOST], service_name[NI_MAXSERV];
};

/* ---- in the thread ---- */

static int find_addresses(struct task *t)
{
    int rc = getaddrinfo(t->host, t->service, &t->hints, &t->list);

    if (rc != EAI_SERVICE || !t->any_type)
        return rc;
    t->hints.ai_socktype = SOCK_DGRAM; /* it may be known for these only */
    return getaddrinfo(t->host, t->service, &t->hints, &t->list);
}

static void ask_system(struct task *t)
{
    errno = 0;
    if (t->for_names)
        t->outcome = getnameinfo(&t->addr.u.sa, t->addr.len, t->name, sizeof t->name,
                                 t->service_name, sizeof t->service_name, t->flags);
    else
        t->outcome = find_addresses(t);
    t->system = errno;
}

static void run(struct eddy_job *j)
{
    ask_system(EDDY_CONTAINER_OF(j, struct task, job));
}

/* ---- the answer ---- */

static size_t count(const struct addrinfo *list)
{
    size_t n = 0;

    for (; list; list = list->ai_next)
        n++;
    return n;
}

/* Once each: a service may be known by several protocols. */
static size_t copy_addresses(const struct addrinfo *from, struct eddy_addr *to)
{
    size_t n = 0;

    for (; from; from = from->ai_next) {
        struct eddy_addr a = {.len = (socklen_t)from->ai_addrlen};

        if (from->ai_addrlen > sizeof a.u)
            continue;
        memcpy(&a.u, from->ai_addr, from->ai_addrlen);
        if (n == 0 || !eddy_addr_equal(&to[n - 1], &a))
            to[n++] = a;
    }
    return n;
}

/* Of a host of NULL: the order that it has when the service is a number, too. The system has it so
 * for loopback, but puts "0.0.0.0" first. */
static void put_six_first(struct eddy_addr *list, size_t n)
{
    struct eddy_addr first = list[0];

    if (n == 2 && first.u.sa.sa_family == AF_INET) {
        list[0] = list[1];
        list[1] = first;
    }
}

static void give_addresses(struct task *t)
{
    struct eddy_addr *list = eddy_alloc(count(t->list) * sizeof *list);

    if (!list) {
        eddy_query_fail(t->query, -ENOMEM, 0, NULL);
        return;
    }
    size_t n = copy_addresses(t->list, list);
    if (!t->host)
        put_six_first(list, n);
    eddy_query_give_addresses(t->query, list, n, t->list->ai_canonname, 0);
    eddy_free(list);
}

/* What c-ares does not tell apart is one code here. */
static int common_code(int outcome)
{
#ifdef EAI_NODATA
    if (outcome == EAI_NODATA)
        return EAI_NONAME;
#endif
#ifdef EAI_ADDRFAMILY
    if (outcome == EAI_ADDRFAMILY)
        return EAI_NONAME;
#endif
    return outcome;
}

static void answer(struct task *t)
{
    if (t->outcome == EAI_MEMORY)
        eddy_query_fail(t->query, -ENOMEM, 0, NULL);
    else if (t->outcome == EAI_SYSTEM)
        eddy_query_fail(t->query, t->system ? -t->system : -EIO, 0, NULL);
    else if (t->outcome != 0)
        eddy_query_fail(t->query, EDDY_EDNS, common_code(t->outcome), gai_strerror(t->outcome));
    else if (t->for_names)
        eddy_query_give_names(t->query, t->name, t->service_name);
    else
        give_addresses(t);
}

static void free_task(struct task *t)
{
    if (t->list)
        freeaddrinfo(t->list);
    eddy_free(t);
}

/* On the thread that has run it if the loop was closed meanwhile: then nobody waits. */
static void done(struct eddy_job *j, int status)
{
    struct task *t = EDDY_CONTAINER_OF(j, struct task, job);

    if (t->query && status == 0)
        answer(t);
    else if (t->query)
        eddy_query_fail(t->query, status, 0, NULL);
    free_task(t);
}

/* ---- the class ---- */

/* Of types and protocols the system is to know only as much as a service's name needs: one that it
 * does not know is no reason to refuse an address. */
static void set_hints(struct task *t, const struct eddy_query *q)
{
    t->any_type = !q->type && !q->protocol;
    t->hints.ai_family = q->family;
    t->hints.ai_flags = t->flags = q->flags;
    t->hints.ai_socktype = t->any_type || !t->service ? SOCK_STREAM : q->type;
    t->hints.ai_protocol = t->service ? q->protocol : 0;
}

/* A service in numbers is seen to when the answer is made. */
static bool is_named(const char *service)
{
    return service && service[strspn(service, "0123456789")];
}

static struct task *new_task(struct eddy_query *q)
{
    size_t host = q->host ? strlen(q->host) + 1 : 0;
    size_t service = is_named(q->service) ? strlen(q->service) + 1 : 0;
    struct task *t = eddy_zalloc(sizeof *t + host + service);

    if (!t)
        return NULL;
    t->job.fn = run;
    t->job.done = done;
    t->query = q;
    t->for_names = q->kind == EDDY_QUERY_NAMES;
    if (host)
        t->host = memcpy(t + 1, q->host, host);
    if (service)
        t->service = memcpy((char *)(t + 1) + host, q->service, service);
    set_hints(t, q);
    t->addr = q->addr;
    return t;
}

static int threads_start(struct eddy_resolver *base, struct eddy_query *q)
{
    struct threads_resolver *r = (struct threads_resolver *)base;

    if (q->kind == EDDY_QUERY_SERVICES)
        return EDDY_ENOT_SUPPORTED;
    struct task *t = new_task(q);
    if (!t)
        return -ENOMEM;
    int rc = eddy_loop_start_job(base->loop, r->executor, &t->job);
    if (rc < 0)
        eddy_free(t);
    else
        q->work = t;
    return rc;
}

static void threads_cancel(struct eddy_resolver *base, struct eddy_query *q)
{
    struct task *t = q->work;

    (void)base;
    t->query = NULL;
    if (eddy_job_cancel(&t->job))
        free_task(t);
}

/* ---- waiting for it: the system knows no time-out, so a thread is left to it ---- */

struct errand {
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool is_finished, is_forgotten;
    struct task *task;
};

static struct errand *new_errand(struct task *t)
{
    struct errand *e = eddy_zalloc(sizeof *e);
    pthread_condattr_t attr;

    if (!e)
        return NULL;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->finished, &attr);
    pthread_condattr_destroy(&attr);
    e->task = t;
    return e;
}

static void free_errand(struct errand *e)
{
    pthread_cond_destroy(&e->finished);
    pthread_mutex_destroy(&e->mutex);
    free_task(e->task);
    eddy_free(e);
}

static void *go(void *arg)
{
    struct errand *e = arg;

    ask_system(e->task);
    pthread_mutex_lock(&e->mutex);
    e->is_finished = true;
    bool forgotten = e->is_forgotten;
    pthread_cond_signal(&e->finished);
    pthread_mutex_unlock(&e->mutex);
    if (forgotten)
        free_errand(e);
    return NULL;
}

static int send_out(struct errand *e)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = -pthread_create(&thread, NULL, go, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_detach(thread);
    return rc;
}

/* True: it is back. False: it frees itself when it is. */
static bool wait_for(struct errand *e, eddy_nsec timeout)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    eddy_nsec ns = until.tv_nsec + timeout % EDDY_SEC(1);
    until.tv_sec += (time_t)(timeout / EDDY_SEC(1) + ns / EDDY_SEC(1));
    until.tv_nsec = (long)(ns % EDDY_SEC(1));
    pthread_mutex_lock(&e->mutex);
    while (!e->is_finished && rc == 0)
        rc = pthread_cond_timedwait(&e->finished, &e->mutex, &until);
    bool back = e->is_finished;
    e->is_forgotten = !back;
    pthread_mutex_unlock(&e->mutex);
    return back;
}

static int threads_start_and_wait(struct eddy_resolver *base, struct eddy_query *q,
                                  eddy_nsec timeout)
{
    (void)base;
    if (q->kind == EDDY_QUERY_SERVICES)
        return EDDY_ENOT_SUPPORTED;
    struct task *t = new_task(q);
    struct errand *e = t ? new_errand(t) : NULL;
    if (!e) {
        eddy_free(t);
        return -ENOMEM;
    }
    int rc = send_out(e);
    if (rc == 0 && !wait_for(e, timeout))
        return -ETIMEDOUT;
    if (rc == 0)
        answer(t);
    free_errand(e);
    return rc;
}

static int threads_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                        struct eddy_error *error, struct eddy_resolver **ret)
{
    struct threads_resolver *r = eddy_zalloc(sizeof *r);
    int rc = r ? eddy_executor_new(
                     EDDY_EXECUTOR(.max_threads = opts->threads ? opts->threads : DEFAULT_THREADS,
                                   .name = "eddy-dns"),
                     &r->executor)
               : -ENOMEM;

    (void)loop;
    if (rc < 0) {
        eddy_free(r);
        return eddy_error_set(error, rc, "resolve", "threads for looking up names: %s",
                              eddy_strerror(rc));
    }
    *ret = &r->base;
    return 0;
}

static void threads_close(struct eddy_resolver *base)
{
    struct threads_resolver *r = (struct threads_resolver *)base;

    eddy_executor_unref(r->executor);
    eddy_free(r);
}

const struct eddy_resolver_class eddy_threads_resolver = {
    .name = "threads",
    .abi_size = sizeof(struct eddy_resolver_class),
    .open = threads_open,
    .close = threads_close,
    .start = threads_start,
    .cancel = threads_cancel,
    .start_and_wait = threads_start_and_wait,
};
