/* What the cases of operations on sockets begin and end with: a loop, and sockets that it does not
 * know. */
#ifndef TESTS_CONTRACT_SOCKS_H
#define TESTS_CONTRACT_SOCKS_H

#include "tests/contract/scripted_names.h"
#include "tests/support/test.h"
#include <eddy/backend.h>
#include <eddy/sim.h>
#include <eddy/sock.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static struct eddy_loop *loop;
static struct eddy_sys *sys;
static int fds[2]; /* two ends of a stream */

static inline void take_loop(struct eddy_loop *made)
{
    loop = made;
    sys = test_sim(loop) ? eddy_sim_sys(test_sim(loop)) : eddy_sys_posix();
}

static inline void begin_loop(void)
{
    struct eddy_loop *made;

    REQUIRE(test_loop_new(&made) == 0);
    take_loop(made);
}

static inline void begin(void)
{
    begin_loop();
    if (test_sim(loop))
        REQUIRE(eddy_sim_pair(test_sim(loop), fds) == 0);
    else
        test_socketpair(fds);
}

static inline void close_fd(int fd)
{
    CHECK_INT(sys->cls->close(sys, fd), 0);
}

/* The loop is closed already, or here. */
static inline void end_loop(void)
{
    if (test_sim(loop)) {
        const char *first = NULL;
        CHECK_INT(eddy_sim_violations(test_sim(loop), &first), 0);
    }
    test_loop_free(loop);
}

static inline void end(void)
{
    close_fd(fds[0]);
    close_fd(fds[1]);
    end_loop();
}

static inline void send_raw(int fd, const char *text)
{
    CHECK_INT(sys->cls->send(sys, fd, text, strlen(text)), strlen(text));
}

static inline int new_socket(int type)
{
    int fd = sys->cls->socket(sys, AF_INET, type, 0);

    REQUIRE(fd >= 0);
    return fd;
}

/* Bound to 127.0.0.1. */
static inline int bound_socket(int type, struct eddy_addr *ret)
{
    int fd = new_socket(type);

    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, ret), 0);
    CHECK_INT(sys->cls->bind(sys, fd, ret), 0);
    CHECK_INT(sys->cls->sockname(sys, fd, ret), 0);
    return fd;
}

static inline int listening_socket(struct eddy_addr *ret)
{
    int fd = bound_socket(SOCK_STREAM, ret);

    CHECK_INT(sys->cls->listen(sys, fd, 8), 0);
    return fd;
}

static inline bool future_done(void *future)
{
    return eddy_future_is_done(future);
}

/* Runs until the future is done; its code, and a copy of its value. */
static inline int await_keep(struct eddy_future *f, struct eddy_sock_result *ret)
{
    void *value = NULL;

    CHECK(test_run_until(loop, future_done, f));
    int rc = eddy_future_result(f, &value);
    if (rc == 0)
        *ret = *(struct eddy_sock_result *)value;
    else
        memset(ret, 0, sizeof *ret);
    return rc;
}

/* The same, and drops it. */
static inline int await(struct eddy_future *f, struct eddy_sock_result *ret)
{
    int rc = await_keep(f, ret);

    eddy_future_unref(f);
    return rc;
}

/* How many bytes come of it. */
static inline long await_count(struct eddy_future *f)
{
    struct eddy_sock_result r;
    int rc = await(f, &r);

    return rc < 0 ? rc : (long)r.count;
}

static inline struct eddy_future *start_recv(int fd, void *buf, size_t len)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_recv(loop, fd, buf, len, &f) == 0);
    return f;
}

static inline struct eddy_future *start_sendall(int fd, const void *data, size_t len)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_sendall(loop, fd, data, len, &f) == 0);
    return f;
}

#endif
