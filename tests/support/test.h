/*
 * What every test program shares: its main, an allocator that counts and can fail, a log sink that
 * remembers, checks that print both sides, traces, loops over the backend under test.
 *
 * A test program defines test_cases. For each case main checks afterwards that no memory is
 * allocated and no descriptor open beyond those before it, and that nothing was logged as a warning
 * or an error that the case has not announced by test_expect_log.
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <eddy/base.h>
#include <eddy/loop.h>
#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>

struct eddy_sim;
struct eddy_sim_opts;

/* ---- cases ---- */

struct test_case {
    const char *name;
    void (*fn)(void);
};

/* Ended by TEST_END. `program part-of-a-name` runs those cases only. */
extern const struct test_case test_cases[];

#define TEST(function)      \
    {                       \
#function, function \
    }
#define TEST_END   \
    {              \
        NULL, NULL \
    }

/* ---- checks: all but REQUIRE may be used in any thread; each tells whether it held ---- */

bool test_check(bool held, const char *what, const char *file, int line);
bool test_check_int(long long actual, long long expected, const char *what, const char *file,
                    int line);
bool test_check_str(const char *actual, const char *expected, const char *what, const char *file,
                    int line);

/* The format is evaluated by printf: a check that has failed, with a text of your own. */
void test_fail(const char *file, int line, const char *fmt, ...) EDDY_PRINTF(3, 4);

#define CHECK(condition) test_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected)                                                                \
    test_check_int((long long)(actual), (long long)(expected), #actual " == " #expected, __FILE__, \
                   __LINE__)
#define CHECK_STR(actual, expected) \
    test_check_str((actual), (expected), #actual, __FILE__, __LINE__)
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Ends the case when it does not hold. Main thread only. */
#define REQUIRE(condition)     \
    do {                       \
        if (!CHECK(condition)) \
            test_end_case();   \
    } while (0)
void test_end_case(void);

/* The name of a code as traces spell it: "0", "ECONNRESET", "ELOOP_CLOSED". */
const char *test_code(int code);

/* ---- memory ---- */

/* The nth allocation from now (1 = the next) and only that one fails; 0 = none does. */
void test_fail_allocation(long nth);
/* Whether the allocation chosen by test_fail_allocation has come and failed. */
bool test_allocation_failed(void);
/* Allocations so far, and those that have not been freed. */
long test_allocations(void);
/* Called with what is freed, before it is. NULL: nothing. */
extern void (*test_freeing)(const void *ptr, size_t size);
long test_live_allocations(void);
/* Bytes not freed yet, and the most that there have been since the case began or the last reset. */
long test_live_bytes(void);
long test_peak_bytes(void);
void test_reset_peak_bytes(void);

/* ---- logs and problems ---- */

/* One or more warnings or errors with this fragment are expected in this case, before or after now;
 * the case fails without them. */
void test_expect_log(const char *fragment);
/* How many lines, of any level, had the fragment in this case. */
int test_count_log(const char *fragment);
/* The sink that main has installed. */
void test_log(void *user, enum eddy_log_level level, const char *component, const char *text);

/* What an on_problem handler has seen: give test_on_problem and a zeroed one as .user. */
struct test_problems {
    int count;
    char message[256]; /* of the last one */
    char text[256];    /* of its error; empty if none */
    char site[256];
    int code;
    eddy_fd fd;
    struct eddy_loop *loop;
    struct eddy_future *future;
    struct eddy_transport *transport;
    struct eddy_protocol *protocol;
    struct eddy_server *server;
};
void test_on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user);

/* ---- traces ---- */

#define TEST_TRACE_SIZE 16384

/* Zeroed at the beginning. One token per callback, as in "CM DR(1) ER CL(0)". */
struct test_trace {
    size_t len;
    char text[TEST_TRACE_SIZE];
};

void test_trace(struct test_trace *trace, const char *fmt, ...) EDDY_PRINTF(2, 3);
const char *trace_text(const struct test_trace *trace);
void trace_clear(struct test_trace *trace);
/* How many tokens begin with `prefix`. */
int trace_count(const struct test_trace *trace, const char *prefix);

bool test_check_trace(const struct test_trace *trace, const char *expected, const char *what,
                      const char *file, int line);

/* In `expected` a word DR* stands for any number of tokens that begin with DR, DR+ for one or more.
 */
#define CHECK_TRACE(trace, expected) \
    test_check_trace(&(trace), (expected), #trace, __FILE__, __LINE__)

/* ---- loops ---- */

/* The backend under test: "select", "poll", "epoll", "sim", "sim-late", or NULL: whatever is best.
 */
const char *test_backend(void);
/* Whether that one has a simulated network and a virtual clock. */
bool test_is_sim(void);

/* A loop on the backend under test, on sim with a simulator of its own; 0 or eddy_loop_new's code.
 */
int test_loop_new(struct eddy_loop **ret);
/* The same; opts must leave backend, selector, backend_class and sys alone. */
int test_loop_new_opts(const struct eddy_loop_opts *opts, struct eddy_loop **ret);
/* The next loop's simulator gets these options in place of a tidy network. */
void test_next_sim(const struct eddy_sim_opts *opts);
/* The simulator below a loop of test_loop_new, or NULL. */
struct eddy_sim *test_sim(const struct eddy_loop *loop);
/* Closes the loop, drops the reference of test_loop_new, and frees the simulator. */
void test_loop_free(struct eddy_loop *loop);

/* How long test_run_until waits: on sim by the virtual clock. */
#define TEST_DEADLINE EDDY_SEC(30)

/* Runs iterations until done(user) is true; false, and a failed check, if that takes too long. */
bool test_run_until(struct eddy_loop *loop, bool (*done)(void *user), void *user);
/* Ready-made conditions: user is a bool *, and a struct test_count. */
bool test_is_true(void *flag);
struct test_count {
    int value, wanted;
};
bool test_is_counted(void *count);
/* n iterations that do not wait. */
void test_run_steps(struct eddy_loop *loop, int n);

/* ---- descriptors and processes ---- */

/* A connected pair of non-blocking unix stream sockets. */
void test_socketpair(int fds[2]);
/* How many descriptors this process has open. */
int test_open_descriptors(void);

/* Runs fn(user) in a forked child, where failed checks go to standard error, and checks that it has
 * ended with all of them passed. */
void test_in_child(void (*fn)(void *user), void *user);

/* ---- between main and the parts of the support ---- */

void test_memory_install(void);
/* A child of fork can check, whatever other threads were checking at that moment. */
void test_checks_begin(void);
void test_log_begin(void);
void test_log_end(void);

#endif
