/* What the cases of executors begin and end with: a loop, an executor, and a gate for its threads.
 */
#ifndef TESTS_CONTRACT_EXECUTOR_CASE_H
#define TESTS_CONTRACT_EXECUTOR_CASE_H

#include "tests/contract/executor.h"

static struct test_trace trace;
static struct eddy_loop *loop;
static struct eddy_executor *executor;
static struct gate gate;
static long live_before;

static inline void begin_with(const struct eddy_executor_opts *opts)
{
    live_before = test_live_allocations();
    trace_clear(&trace);
    loop = NULL;
    executor = NULL;
    gate_init(&gate);
    REQUIRE(test_loop_new(&loop) == 0);
    REQUIRE(eddy_executor_new(opts, &executor) == 0);
}

static inline void begin(unsigned max_threads)
{
    begin_with(EDDY_EXECUTOR(.max_threads = max_threads));
}

/* A case that has ended either itself has set it to NULL. */
static inline void end(void)
{
    eddy_executor_unref(executor);
    if (loop)
        test_loop_free(loop);
    wait_for_allocations(live_before);
    sem_destroy(&gate.open);
}

#endif
