/*
 * A scripted selector and a clock that stands still: for tests that must know exactly how long the
 * loop would have slept, and in which order readiness is told. A wait takes its whole time-out
 * unless the script makes something ready; one without end stops the loop that it belongs to.
 */
#ifndef TESTS_SUPPORT_SCRIPT_H
#define TESTS_SUPPORT_SCRIPT_H

#include <eddy/backend.h>
#include <eddy/loop.h>
#include <eddy/selector.h>

#define TEST_SCRIPT_FDS 64
#define TEST_SCRIPT_WAITS 64

struct test_script {
    struct eddy_selector selector;
    struct eddy_sys sys;
    struct eddy_sys_class sys_class; /* the system's, but for the clock */
    struct eddy_loop *loop;          /* set it after eddy_loop_new */
    eddy_nsec now;

    /* What the loop has asked for, by descriptor. */
    struct {
        uint64_t cookie;
        unsigned interest;
    } fds[TEST_SCRIPT_FDS];
    int sets;   /* calls of `set` */
    int closes; /* calls of `close` */

    /* The time-outs of the waits so far. */
    eddy_nsec timeouts[TEST_SCRIPT_WAITS];
    int waits;

    /* To be reported by the next wait, in this order. */
    struct {
        int fd;
        unsigned events;
    } next[TEST_SCRIPT_FDS];
    int n_next;

    int fail_set;        /* the code of the next `set` that adds interest, once */
    int fail_wait;       /* the code of the next wait, once */
    eddy_nsec wake_late; /* waits end so much too late */

    /* Called from each wait, before it sleeps. */
    void (*on_wait)(struct test_script *script);
    void *user;
};

/* A loop over a new script. The script must outlive it. */
int test_script_loop(struct test_script *script, struct eddy_loop **ret);

/* fd is ready in the next wait. */
void test_script_ready(struct test_script *script, int fd, unsigned events);
/* The sum of interests in fd right now. */
unsigned test_script_interest(const struct test_script *script, int fd);

#endif
