/* backends: select poll epoll io_uring */
/*
 * eddy_serve, each time in a child of its own, to which the signals are sent: contract S16, S53,
 * L65. (The simulator has neither signals nor options that eddy_serve could pass on.)
 */
#include "tests/support/stream.h"
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int report[2]; /* the child's port comes through it */

static void echo(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static const struct eddy_protocol_class echo_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo,
};

static void say_goodbye(struct eddy_protocol *p)
{
    eddy_transport_write(p->transport, "bye", 3);
    eddy_transport_close(p->transport);
}

static void stay(struct eddy_protocol *p)
{
    (void)p;
}

static void tell_port(struct eddy_server *server, void *arg)
{
    int port = eddy_server_port(server);
    CHECK(arg == &report);
    CHECK_INT(write(report[1], &port, sizeof port), sizeof port);
}

struct child {
    pid_t pid;
    int port;
    struct eddy_protocol_class cls;
    eddy_nsec drain_timeout;
};

static int serve(const struct child *c)
{
    return eddy_serve(&c->cls, EDDY_SERVER(.host = "127.0.0.1", .arg = &report,
                                           .drain_timeout = c->drain_timeout, .started = tell_port,
                                           .loop = EDDY_LOOP(.backend = test_backend())));
}

/* The child's exit status: 0 if eddy_serve gave 0, and everything was given back. */
static void run_child(const struct child *c)
{
    long live = test_live_allocations();
    int open = test_open_descriptors();
    int err = serve(c);
    _exit(err != 0 ? 1 : test_live_allocations() != live ? 2 : test_open_descriptors() != open);
}

static void start(struct child *c)
{
    REQUIRE(pipe(report) == 0);
    c->pid = fork();
    REQUIRE(c->pid >= 0);
    if (c->pid == 0) {
        close(report[0]);
        run_child(c);
    }
    close(report[1]);
    CHECK_INT(read(report[0], &c->port, sizeof c->port), sizeof c->port);
    close(report[0]);
}

static int wait_for(const struct child *c)
{
    int status = -1;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

static int connect_to(const struct child *c)
{
    struct eddy_addr to;
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", c->port, &to), 0);
    CHECK_INT(connect(fd, &to.u.sa, to.len), 0);
    return fd;
}

/* The kernel interrupts, once, a thread that has freed a loop on io_uring: the one that was tried
 * before the cases. */
static ssize_t receive(int fd, void *buf, size_t len, int flags)
{
    ssize_t n;
    do {
        n = recv(fd, buf, len, flags);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Until the server is known to have the connection. */
static int connect_and_echo(const struct child *c)
{
    char got;
    int fd = connect_to(c);
    CHECK_INT(send(fd, "x", 1, 0), 1);
    CHECK_INT(receive(fd, &got, 1, 0), 1);
    return fd;
}

static void ends_by(int signum)
{
    struct child c = {.cls = echo_class};
    start(&c);
    int fd = connect_and_echo(&c);
    close(fd);
    CHECK_INT(kill(c.pid, signum), 0);
    CHECK_INT(wait_for(&c), 0);
}

static void S53_L65_ends_by_sigterm(void)
{
    ends_by(SIGTERM);
}

static void S53_L65_ends_by_sigint(void)
{
    ends_by(SIGINT);
}

static void S53_connections_are_closed_when_written_out(void)
{
    struct child c = {.cls = echo_class};
    char got;
    start(&c);
    int fd = connect_and_echo(&c);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    CHECK_INT(receive(fd, &got, 1, 0), 0);
    close(fd);
    CHECK_INT(wait_for(&c), 0);
}

static void S53_connections_are_asked_to_end(void)
{
    struct child c = {.cls = echo_class};
    char got[4];
    c.cls.shutdown_requested = say_goodbye;
    start(&c);
    int fd = connect_and_echo(&c);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    CHECK_INT(receive(fd, got, 4, MSG_WAITALL), 3);
    CHECK(memcmp(got, "bye", 3) == 0);
    close(fd);
    CHECK_INT(wait_for(&c), 0);
}

static void S53_a_second_signal_aborts_what_is_left(void)
{
    struct child c = {.cls = echo_class, .drain_timeout = EDDY_SEC(1000)};
    char got;
    c.cls.shutdown_requested = stay;
    start(&c);
    int fd = connect_and_echo(&c);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    /* still there: it drains, and the connection does not want to end */
    CHECK_INT(send(fd, "y", 1, 0), 1);
    CHECK_INT(receive(fd, &got, 1, 0), 1);
    for (int i = 0; i < 1000; i++) { /* two signals may merge before the loop looks */
        kill(c.pid, SIGINT);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) > 0)
            break;
    }
    CHECK(receive(fd, &got, 1, 0) <= 0);
    close(fd);
    CHECK_INT(wait_for(&c), 0);
}

static void S53_at_the_drain_timeout_the_rest_is_aborted(void)
{
    struct child c = {.cls = echo_class, .drain_timeout = EDDY_MSEC(30)};
    char got;
    c.cls.shutdown_requested = stay;
    start(&c);
    int fd = connect_and_echo(&c);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    CHECK(receive(fd, &got, 1, 0) <= 0);
    close(fd);
    CHECK_INT(wait_for(&c), 0);
}

static void S33_listening_ends_with_the_first_signal(void)
{
    struct child c = {.cls = echo_class, .drain_timeout = EDDY_SEC(1000)};
    struct eddy_addr to;
    char got;
    c.cls.shutdown_requested = say_goodbye;
    start(&c);
    int fd = connect_and_echo(&c);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    CHECK_INT(receive(fd, &got, 1, 0), 1); /* it drains */
    struct timeval limit = {.tv_sec = 5};  /* the port may be another's by now */
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(setsockopt(refused, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", c.port, &to), 0);
    connect(refused, &to.u.sa, to.len);
    CHECK(send(refused, "x", 1, MSG_NOSIGNAL) < 0 || recv(refused, &got, 1, 0) <= 0);
    close(refused);
    close(fd);
    CHECK_INT(wait_for(&c), 0);
}

static void S22_a_port_in_use_is_logged_and_returned(void)
{
    struct child c = {.cls = echo_class};
    struct eddy_error error = {.code = 0};
    start(&c);
    test_expect_log("error while attempting to bind on address");
    CHECK_INT(
        eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .port = c.port, .error = &error,
                                            .loop = EDDY_LOOP(.backend = test_backend()))),
        -EADDRINUSE);
    CHECK_INT(error.code, -EADDRINUSE);
    CHECK(strstr(error.text, "127.0.0.1:") != NULL);
    CHECK_INT(kill(c.pid, SIGTERM), 0);
    CHECK_INT(wait_for(&c), 0);
}

static void G4_S17_bad_arguments(void)
{
    test_expect_log("class");
    CHECK_INT(eddy_serve(NULL, EDDY_SERVER(.host = "127.0.0.1")), -EINVAL);
    test_expect_log("no options");
    CHECK_INT(eddy_serve(&echo_class, NULL), -EINVAL);
    struct eddy_error err = {.code = 0};
    test_expect_log("drain_timeout");
    CHECK_INT(eddy_serve(&echo_class,
                         EDDY_SERVER(.host = "127.0.0.1", .drain_timeout = -5, .error = &err)),
              -EINVAL);
    CHECK_INT(err.code, -EINVAL);
    test_expect_log("out of range");
    CHECK_INT(eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .port = 70000)), -EINVAL);
    test_expect_log("backend");
    CHECK_INT(eddy_serve(&echo_class,
                         EDDY_SERVER(.host = "127.0.0.1", .loop = EDDY_LOOP(.backend = "no such"))),
              -EINVAL);
}

static void stop_at_once(struct eddy_server *server, void *arg)
{
    (void)arg;
    eddy_loop_stop(eddy_server_loop(server));
}

static void G8_loop_options_of_a_later_version(void)
{
    struct {
        struct eddy_loop_opts known;
        long later[64];
    } opts = {.known = {.backend = test_backend()}};
    opts.known.abi_size = sizeof opts;
    CHECK_INT(eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .started = stop_at_once,
                                                  .loop = &opts.known)),
              0);
    opts.later[63] = 1;
    test_expect_log("loop");
    CHECK_INT(eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .started = stop_at_once,
                                                  .loop = &opts.known)),
              -E2BIG);
}

const struct test_case test_cases[] = {
    CASE(S53_L65_ends_by_sigterm),
    CASE(S53_L65_ends_by_sigint),
    CASE(S53_connections_are_closed_when_written_out),
    CASE(S53_connections_are_asked_to_end),
    CASE(S53_a_second_signal_aborts_what_is_left),
    CASE(S53_at_the_drain_timeout_the_rest_is_aborted),
    CASE(S33_listening_ends_with_the_first_signal),
    CASE(S22_a_port_in_use_is_logged_and_returned),
    CASE(G4_S17_bad_arguments),
    CASE(G8_loop_options_of_a_later_version),
    {NULL, NULL},
};
