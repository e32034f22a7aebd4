/*
 * What selectors_alone.c and selectors_select.c stand on: checks, an allocator that counts and
 * fails, the selectors under test, and one that watches another. Public headers only: with an
 * object that defines extra_selectors each of them compiles anywhere.
 */
#ifndef SELECTORS_ALONE_H
#define SELECTORS_ALONE_H

#include <eddy/backend.h>
#include <eddy/loop.h>
#include <eddy/selector.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Classes to be tested besides Eddy's own; ended by NULL. */
extern const struct eddy_selector_class *const extra_selectors[];

#define BOTH ((unsigned)(EDDY_READ | EDDY_WRITE))

/* ---- checks ---- */

static const char *current_case = "setup", *current_name = "all";
static int failures;

static inline bool check(bool held, const char *what, int line)
{
    if (!held) {
        printf("FAILED  %s over %s, line %d: %s\n", current_case, current_name, line, what);
        failures++;
    }
    return held;
}

static inline bool check_int(long long actual, long long expected, const char *what, int line)
{
    if (check(actual == expected, what, line))
        return true;
    printf("        %lld, not %lld\n", actual, expected);
    return false;
}

#define CHECK(held) check((held), #held, __LINE__)
#define CHECK_INT(actual, expected) \
    check_int((long long)(actual), (long long)(expected), #actual " == " #expected, __LINE__)
/* What no case can go on without. */
#define REQUIRE(held)     \
    do {                  \
        if (!CHECK(held)) \
            exit(1);      \
    } while (0)

/* ---- memory and descriptors ---- */

static long live_allocations, fail_at;

static inline bool is_refused(void)
{
    return fail_at > 0 && --fail_at == 0;
}

static inline void *counting_alloc(void *user, size_t size)
{
    void *p = is_refused() ? NULL : malloc(size);

    (void)user;
    live_allocations += p != NULL;
    return p;
}

static inline void *counting_realloc(void *user, void *old, size_t size)
{
    (void)user;
    return is_refused() ? NULL : realloc(old, size);
}

static inline void counting_free(void *user, void *p)
{
    (void)user;
    live_allocations--;
    free(p);
}

static inline void count_allocations(void)
{
    REQUIRE(eddy_set_allocator(&(struct eddy_allocator){counting_alloc, counting_realloc,
                                                        counting_free, NULL}) == 0);
}

static inline int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static inline void make_pair(int fds[2])
{
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0);
}

static inline void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static inline eddy_nsec now(void)
{
    struct timespec t;

    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return EDDY_SEC(t.tv_sec) + t.tv_nsec;
}

/* ---- what is tested ---- */

/* One of the two. */
struct subject {
    const char *name;
    const struct eddy_selector_class *cls;
};

static struct subject current;

static inline int open_subject(struct subject subject, struct eddy_selector **ret)
{
    if (subject.cls != NULL)
        return subject.cls->open(eddy_sys_posix(), ret);
    return eddy_selector_new(subject.name, NULL, ret);
}

static inline struct eddy_selector *open_current(void)
{
    struct eddy_selector *s = NULL;

    REQUIRE(open_subject(current, &s) == 0);
    return s;
}

/* ---- a selector that watches another ---- */

struct spy {
    struct eddy_selector selector;
    struct eddy_selector *inner;
    int sets, waits, closes; /* calls */
    int refuse;              /* what the next `set` that is no removal fails with, once */
};

static inline struct spy *spy_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct spy, selector);
}

static inline void spy_close(struct eddy_selector *s)
{
    spy_of(s)->closes++;
    eddy_selector_free(spy_of(s)->inner);
}

static inline int spy_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                          unsigned new)
{
    struct spy *spy = spy_of(s);
    int rc = new != 0 ? spy->refuse : 0;

    spy->sets++;
    if (rc < 0) {
        spy->refuse = 0;
        return rc;
    }
    return spy->inner->cls->set(spy->inner, fd, cookie, old, new);
}

static inline int spy_wait(struct eddy_selector *s, eddy_nsec timeout,
                           struct eddy_selector_event *events, int max)
{
    struct spy *spy = spy_of(s);

    spy->waits++;
    return spy->inner->cls->wait(spy->inner, timeout, events, max);
}

/* Its memory is its user's: there is no `free`. */
static const struct eddy_selector_class spy_class = {
    .name = "spy",
    .abi_size = sizeof(struct eddy_selector_class),
    .close = spy_close,
    .set = spy_set,
    .wait = spy_wait,
};

/* A spy on a new selector of the class under test. */
static inline struct eddy_selector *spy_open(struct spy *spy)
{
    *spy = (struct spy){.selector.cls = &spy_class, .inner = open_current()};
    return &spy->selector;
}

/* ---- what is ready ---- */

/* What select gives for fd without waiting; everything else that it gives is counted in *others. */
static inline unsigned ready_of(struct eddy_selector *s, int fd, int *others)
{
    struct eddy_selector_ready ready[EDDY_SELECT_MAX];
    unsigned events = 0;
    int n = -1;

    CHECK_INT(eddy_selector_select(s, 0, EDDY_SELECT_MAX, ready, &n), 0);
    *others = 0;
    for (int i = 0; i < n; i++) {
        CHECK(ready[i].events != 0);
        CHECK((ready[i].events & ~ready[i].key.events) == 0);
        if (ready[i].key.fd != fd)
            ++*others;
        else if (CHECK(events == 0)) /* once at most */
            events = ready[i].events;
    }
    return events;
}

/* fd, and nothing else, is ready, for `expected`; 0: nothing at all is. */
static inline void check_ready(struct eddy_selector *s, int fd, unsigned expected, int line)
{
    int others;
    unsigned events = ready_of(s, fd, &others);

    check_int(events, expected, "what is ready", line);
    check_int(others, 0, "ready beside it", line);
}

#define CHECK_READY(s, fd, expected) check_ready((s), (fd), (expected), __LINE__)

static inline void check_key(struct eddy_selector_key key, int fd, unsigned events,
                             const void *data, int line)
{
    check_int(key.fd, fd, "key.fd", line);
    check_int(key.events, events, "key.events", line);
    check(key.data == data, "key.data", line);
}

#define CHECK_KEY(key, fd, events, data) check_key((key), (fd), (events), (data), __LINE__)

static inline void check_registered(struct eddy_selector *s, int fd, unsigned events,
                                    const void *data, int line)
{
    struct eddy_selector_key key = {.fd = -1};

    check_int(eddy_selector_get_key(s, fd, &key), 0, "get_key", line);
    check_key(key, fd, events, data, line);
}

#define CHECK_REGISTERED(s, fd, events, data) \
    check_registered((s), (fd), (events), (data), __LINE__)

static inline size_t size_of(const struct eddy_selector *s)
{
    return eddy_selector_map_size(eddy_selector_get_map(s));
}

/* ---- running ---- */

struct test_case {
    const char *name;
    void (*run)(void);
};

#define TEST(function)      \
    {                       \
#function, function \
    }

static inline int run_over(struct subject subject, const struct test_case *cases,
                           const char *filter)
{
    int count = 0;

    current = subject;
    current_name = subject.name;
    for (const struct test_case *c = cases; c->name != NULL; c++) {
        if (filter != NULL && strstr(c->name, filter) == NULL)
            continue;
        int before = open_descriptors();

        current_case = c->name;
        c->run();
        CHECK_INT(live_allocations, 0);
        CHECK_INT(open_descriptors(), before);
        count++;
    }
    printf("%-8s %d cases\n", subject.name, count);
    return count;
}

/* All cases, or those with `filter` in their names, over all selectors; main's exit code. */
static inline int run_cases(const struct test_case *cases, const char *filter)
{
    static const char *const names[] = {"select", "poll", "epoll", "kqueue", "devpoll"};
    int count = 0;

    setvbuf(stdout, NULL, _IONBF, 0); /* a child that forks must not print it again */
    signal(SIGPIPE, SIG_IGN);
    count_allocations();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct eddy_selector *s;
        int rc = eddy_selector_new(names[i], NULL, &s);

        if (rc == EDDY_ENOT_SUPPORTED)
            continue;
        REQUIRE(rc == 0);
        eddy_selector_free(s);
        count += run_over((struct subject){.name = names[i]}, cases, filter);
    }
    for (int i = 0; extra_selectors[i] != NULL; i++)
        count +=
            run_over((struct subject){extra_selectors[i]->name, extra_selectors[i]}, cases, filter);
    printf("%d failures\n", failures);
    return failures > 0 || count == 0;
}

#endif
