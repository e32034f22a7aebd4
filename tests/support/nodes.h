/*
 * Nodes that write their name into a trace when they are called, and then do `then`, if any.
 *
 *     static struct test_trace trace;
 *     struct test_handle a = TEST_HANDLE(&trace, "a");
 *     eddy_loop_call_soon(loop, &a.node);
 *
 * Their tokens: "a" for handles, timers and done callbacks; "a" or "a(ELOOP_CLOSED)" for posts;
 * "a(R)", "a(W)" and "a(RW)" for watches; "a(USR1)" for signals.
 */
#ifndef TESTS_SUPPORT_NODES_H
#define TESTS_SUPPORT_NODES_H

#include "tests/support/test.h"
#include <eddy/future.h>
#include <eddy/loop.h>

struct test_handle {
    struct eddy_handle node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_handle *h);
    void *user;
};

struct test_timer {
    struct eddy_timer node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_timer *t);
    void *user;
};

struct test_post {
    struct eddy_post node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_post *p);
    void *user;
};

struct test_watch {
    struct eddy_watch node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_watch *w);
    void *user;
};

struct test_signal {
    struct eddy_signal node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_signal *s);
    void *user;
};

struct test_done {
    struct eddy_done node;
    struct test_trace *trace;
    const char *name;
    void (*then)(struct test_done *d);
    void *user;
};

void test_handle_fn(struct eddy_handle *node);
void test_timer_fn(struct eddy_timer *node);
void test_post_fn(struct eddy_post *node, int status);
void test_watch_fn(struct eddy_watch *node, unsigned events);
void test_signal_fn(struct eddy_signal *node, int signum);
void test_done_fn(struct eddy_done *node, struct eddy_future *future);

/* Initialisers; .then and .user may follow. */
#define TEST_NODE_(function, where, what, ...)                                    \
    {                                                                             \
        .node = {.fn = (function)}, .trace = (where), .name = (what), __VA_ARGS__ \
    }
#define TEST_HANDLE(trace, ...) TEST_NODE_(test_handle_fn, trace, __VA_ARGS__, )
#define TEST_TIMER(trace, ...) TEST_NODE_(test_timer_fn, trace, __VA_ARGS__, )
#define TEST_POST(trace, ...) TEST_NODE_(test_post_fn, trace, __VA_ARGS__, )
#define TEST_WATCH(trace, ...) TEST_NODE_(test_watch_fn, trace, __VA_ARGS__, )
#define TEST_SIGNAL(trace, ...) TEST_NODE_(test_signal_fn, trace, __VA_ARGS__, )
#define TEST_DONE(trace, ...) TEST_NODE_(test_done_fn, trace, __VA_ARGS__, )

/* For .then: stop the loop that .user points to. */
void test_handle_stop(struct test_handle *h);
void test_timer_stop(struct test_timer *t);
void test_post_stop(struct test_post *p);
void test_watch_stop(struct test_watch *w);
void test_signal_stop(struct test_signal *s);

#endif
