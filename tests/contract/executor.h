/* What the tests of executors share: work that waits at a gate, and what becomes of it. */
#ifndef TESTS_CONTRACT_EXECUTOR_H
#define TESTS_CONTRACT_EXECUTOR_H

#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <eddy/executor.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

/* Threads come in and wait until they are let out. */
struct gate {
    sem_t open;
    atomic_int inside, most;
    atomic_int passed;
};

static inline void gate_init(struct gate *g)
{
    memset(g, 0, sizeof *g);
    REQUIRE(sem_init(&g->open, 0, 0) == 0);
}

static inline void gate_open(struct gate *g, int n)
{
    while (n-- > 0)
        sem_post(&g->open);
}

static inline void gate_pass(struct gate *g)
{
    int inside = atomic_fetch_add(&g->inside, 1) + 1;
    int most = atomic_load(&g->most);
    while (inside > most && !atomic_compare_exchange_weak(&g->most, &most, inside))
        ;
    while (sem_wait(&g->open) < 0)
        ;
    atomic_fetch_sub(&g->inside, 1);
    atomic_fetch_add(&g->passed, 1);
}

/* For what other threads do and no loop hears of. */
static inline bool wait_until(bool (*held)(void *user), void *user)
{
    struct timespec now, begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (!held(user)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - begin.tv_sec > TEST_DEADLINE / EDDY_SEC(1)) {
            FAIL("what other threads are to do does not come");
            return false;
        }
        sched_yield();
    }
    return true;
}

struct reading {
    atomic_int *value;
    int wanted;
};

static inline bool reads(void *user)
{
    struct reading *r = user;
    return atomic_load(r->value) == r->wanted;
}

static inline bool wait_for(atomic_int *value, int wanted)
{
    return wait_until(reads, &(struct reading){value, wanted});
}

static inline bool allocations_are(void *user)
{
    return test_live_allocations() <= *(long *)user;
}

/* The threads of an executor that nobody refers to any more free it when they end. */
static inline void wait_for_allocations(long live)
{
    wait_until(allocations_are, &live);
}

/* The argument of a call, which counts what becomes of it. */
struct item {
    struct gate *gate; /* to pass, if any */
    int result;        /* for fn to return */
    const char *text;  /* its error's */
    atomic_int runs, destroyed;
    pthread_t ran_in, destroyed_in;
    int answer;
};

static inline int use_item(void *arg, struct eddy_error *error)
{
    struct item *item = arg;
    item->ran_in = pthread_self();
    if (item->gate)
        gate_pass(item->gate);
    item->answer = 42;
    atomic_fetch_add(&item->runs, 1);
    if (item->text)
        return eddy_error_set(error, item->result, "use", "%s", item->text);
    return item->result;
}

static inline void destroy_item(void *arg)
{
    struct item *item = arg;
    item->destroyed_in = pthread_self();
    atomic_fetch_add(&item->destroyed, 1);
}

/* A job that does the same. */
struct task {
    struct eddy_job job;
    struct gate *gate;
    struct test_trace *trace; /* gets "name(status)" when done, on the loop's thread */
    const char *name;
    void (*then)(struct task *t);
    void *user;
    atomic_int runs, dones;
    int status;
    pthread_t done_in;
};

static inline void task_fn(struct eddy_job *j)
{
    struct task *t = EDDY_CONTAINER_OF(j, struct task, job);
    if (t->gate)
        gate_pass(t->gate);
    atomic_fetch_add(&t->runs, 1);
}

static inline void task_done(struct eddy_job *j, int status)
{
    struct task *t = EDDY_CONTAINER_OF(j, struct task, job);
    t->status = status;
    t->done_in = pthread_self();
    if (t->trace)
        test_trace(t->trace, "%s(%s)", t->name, test_code(status));
    if (t->then)
        t->then(t);
    atomic_fetch_add(&t->dones, 1);
}

#define TASK(...)                                              \
    (struct task)                                              \
    {                                                          \
        .job = {.fn = task_fn, .done = task_done}, __VA_ARGS__ \
    }

static inline bool task_is_done(void *user)
{
    return atomic_load(&((struct task *)user)->dones) > 0;
}

static inline bool future_is_done(void *f)
{
    return eddy_future_is_done(f);
}

#endif
