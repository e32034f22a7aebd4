#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <eddy/backend.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* sys(recv, fd, ...) */
#define SYS(call, ...) eddy_sys_posix()->cls->call(eddy_sys_posix(), __VA_ARGS__)

static bool is_ready(int fd, short events, int timeout_msec)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, timeout_msec) == 1;
}

static void check_flags(int fd)
{
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static struct eddy_addr loopback(const char *host)
{
    struct eddy_addr a;

    REQUIRE(eddy_addr_parse(host, 0, &a) == 0);
    return a;
}

/* A listener on a port of the kernel's choice, whose address replaces *a; -1 if the family is
 * missing. */
static int listen_at(struct eddy_addr *a)
{
    int fd = SYS(socket, a->u.sa.sa_family, SOCK_STREAM, 0);

    REQUIRE(fd >= 0);
    if (SYS(bind, fd, a) < 0) {
        close(fd);
        return -1;
    }
    REQUIRE(SYS(listen, fd, 10) == 0);
    REQUIRE(SYS(sockname, fd, a) == 0);
    return fd;
}

static int connect_to(const struct eddy_addr *a)
{
    int fd = SYS(socket, a->u.sa.sa_family, SOCK_STREAM, 0);
    int r = SYS(connect, fd, a);

    REQUIRE(r == 0 || r == -EINPROGRESS);
    REQUIRE(is_ready(fd, POLLOUT, 10000));
    REQUIRE(SYS(error, fd) == 0);
    return fd;
}

static void connected_pair(const char *host, int ret_fds[2])
{
    struct eddy_addr a = loopback(host), peer;
    int listener = listen_at(&a);

    REQUIRE(listener >= 0);
    ret_fds[0] = connect_to(&a);
    REQUIRE(is_ready(listener, POLLIN, 10000));
    ret_fds[1] = SYS(accept, listener, &peer);
    REQUIRE(ret_fds[1] >= 0);
    close(listener);
}

static void close_both(const int fds[2])
{
    CHECK_INT(SYS(close, fds[0]), 0);
    CHECK_INT(SYS(close, fds[1]), 0);
}

static void class_is_complete(void)
{
    const struct eddy_sys_class *c = eddy_sys_posix()->cls;

    CHECK_INT(c->abi_size, sizeof(struct eddy_sys_class));
    CHECK(c->socket && c->close && c->adopt && c->bind && c->listen && c->accept && c->connect);
    CHECK(c->error && c->sockname && c->peername && c->getsockopt && c->setsockopt && c->recv);
    CHECK(c->send && c->sendv && c->shutdown && c->pending && c->waker && c->kick && c->drain);
    CHECK(c->now != NULL);
}

static void check_connection(const char *host)
{
    struct eddy_addr a = loopback(host), peer = {0}, name;
    int listener = listen_at(&a), client, server;

    if (listener < 0)
        return; /* no such family here */
    check_flags(listener);
    CHECK(eddy_addr_port(&a) > 0);
    CHECK_INT(SYS(accept, listener, &peer), -EAGAIN);
    CHECK_INT(peer.len, 0);
    client = connect_to(&a);
    check_flags(client);
    REQUIRE(is_ready(listener, POLLIN, 10000));
    server = SYS(accept, listener, &peer);
    REQUIRE(server >= 0);
    check_flags(server);
    CHECK_INT(SYS(sockname, client, &name), 0);
    CHECK(eddy_addr_equal(&name, &peer));
    CHECK_INT(SYS(peername, server, &name), 0);
    CHECK(eddy_addr_equal(&name, &peer));
    CHECK_INT(SYS(peername, client, &name), 0);
    CHECK(eddy_addr_equal(&name, &a));
    CHECK_INT(SYS(peername, listener, &name), -ENOTCONN);
    CHECK_INT(SYS(close, client), 0);
    CHECK_INT(SYS(close, server), 0);
    CHECK_INT(SYS(close, listener), 0);
}

static void G28_sockets_are_born_with_their_flags(void)
{
    check_connection("127.0.0.1");
    check_connection("::1");
}

static void unix_peer_without_a_name(void)
{
    struct eddy_addr a = {.len = sizeof(sa_family_t)}, peer;
    char text[EDDY_ADDR_TEXT];
    int listener, client, server;

    a.u.un.sun_family = AF_UNIX; /* no name: the kernel chooses an abstract one */
    listener = listen_at(&a);
    REQUIRE(listener >= 0);
    CHECK(strncmp(eddy_addr_format(&a, text, sizeof(text)), "unix:@", 6) == 0);
    client = connect_to(&a);
    memset(&peer, 0xa5, sizeof(peer));
    server = SYS(accept, listener, &peer);
    REQUIRE(server >= 0);
    CHECK_STR(eddy_addr_format(&peer, text, sizeof(text)), "unnamed");
    memset(&peer, 0xa5, sizeof(peer));
    CHECK_INT(SYS(sockname, client, &peer), 0);
    CHECK_STR(eddy_addr_format(&peer, text, sizeof(text)), "unnamed");
    CHECK_INT(SYS(peername, client, &peer), 0);
    CHECK(eddy_addr_equal(&peer, &a));
    close(client);
    close(server);
    close(listener);
}

static void failures_are_negative_codes(void)
{
    struct eddy_addr a = loopback("127.0.0.1");
    struct iovec iov = {0};
    int in, out, r, listener = listen_at(&a), fd;
    char byte;

    fd = SYS(socket, AF_INET, SOCK_STREAM, 0);
    REQUIRE(listener >= 0 && fd >= 0);
    CHECK_INT(SYS(bind, fd, &a), -EADDRINUSE);
    CHECK_INT(SYS(socket, 9999, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_INT(SYS(recv, fd, &byte, 1), -ENOTCONN);
    CHECK_INT(SYS(shutdown, fd, SHUT_WR), -ENOTCONN);
    CHECK_INT(SYS(sendv, fd, &iov, -1), -EINVAL);
    CHECK_INT(SYS(getsockopt, fd, SOL_SOCKET, 99999, &in), -ENOPROTOOPT);

    /* Nobody listens there any more. */
    CHECK_INT(SYS(close, listener), 0);
    r = SYS(connect, fd, &a);
    if (r == -EINPROGRESS) {
        CHECK(is_ready(fd, POLLOUT, 10000));
        r = SYS(error, fd);
        CHECK_INT(SYS(error, fd), 0); /* told once */
    }
    CHECK_INT(r, -ECONNREFUSED);
    close(fd);

    CHECK_INT(SYS(close, fd), -EBADF);
    CHECK_INT(SYS(adopt, fd), -EBADF);
    CHECK_INT(SYS(listen, fd, 1), -EBADF);
    CHECK_INT(SYS(accept, fd, &a), -EBADF);
    CHECK_INT(SYS(connect, fd, &a), -EBADF);
    CHECK_INT(SYS(error, fd), -EBADF);
    CHECK_INT(SYS(sockname, fd, &a), -EBADF);
    CHECK_INT(SYS(setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, 1), -EBADF);
    CHECK_INT(SYS(recv, fd, &byte, 1), -EBADF);
    CHECK_INT(SYS(send, fd, "x", 1), -EBADF);
    CHECK_INT(SYS(sendv, fd, &iov, 1), -EBADF);
    CHECK_INT(SYS(pending, fd, &in, &out), 0);
    CHECK_INT(in, 0);
    CHECK_INT(out, 0);
}

static void options_are_set_and_read(void)
{
    int fd = SYS(socket, AF_INET, SOCK_STREAM, 0), value = -1;

    REQUIRE(fd >= 0);
    CHECK_INT(SYS(getsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &value), 0);
    CHECK_INT(value, 0);
    CHECK_INT(SYS(setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    CHECK_INT(SYS(getsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &value), 0);
    CHECK(value != 0);
    close(fd);
}

static void bytes_are_received_as_sent(void)
{
    struct iovec iov[3] = {{"two ", 4}, {"", 0}, {"pieces", 6}};
    char buf[32] = "";
    int fds[2];

    connected_pair("127.0.0.1", fds);
    CHECK_INT(SYS(recv, fds[1], buf, sizeof(buf)), -EAGAIN);
    CHECK_INT(SYS(send, fds[0], "one", 3), 3);
    CHECK(is_ready(fds[1], POLLIN, 10000));
    CHECK_INT(SYS(recv, fds[1], buf, sizeof(buf)), 3);
    CHECK(memcmp(buf, "one", 3) == 0);
    CHECK_INT(SYS(sendv, fds[0], iov, 3), 10);
    CHECK(is_ready(fds[1], POLLIN, 10000));
    CHECK_INT(SYS(recv, fds[1], buf, sizeof(buf)), 10);
    CHECK(memcmp(buf, "two pieces", 10) == 0);
    CHECK_INT(SYS(shutdown, fds[0], SHUT_WR), 0);
    CHECK(is_ready(fds[1], POLLIN, 10000));
    CHECK_INT(SYS(recv, fds[1], buf, sizeof(buf)), 0);
    close_both(fds);
}

static void full_socket_says_again(void)
{
    static char bulk[1 << 20];
    struct iovec iov = {bulk, sizeof(bulk)};
    int fds[2];
    ssize_t n;

    connected_pair("127.0.0.1", fds);
    while ((n = SYS(send, fds[0], bulk, sizeof(bulk))) > 0)
        continue;
    CHECK_INT(n, -EAGAIN);
    CHECK_INT(SYS(sendv, fds[0], &iov, 1), -EAGAIN);
    close_both(fds);
}

static void G26_sending_to_a_closed_peer_raises_no_signal(void)
{
    struct iovec iov = {"x", 1};
    void (*before)(int) = signal(SIGPIPE, SIG_DFL); /* deadly, if it came */
    int fds[2];

    test_socketpair(fds);
    close(fds[1]);
    CHECK_INT(SYS(send, fds[0], "x", 1), -EPIPE);
    CHECK_INT(SYS(sendv, fds[0], &iov, 1), -EPIPE);
    close(fds[0]);
    signal(SIGPIPE, before);
}

static void check_pending(const int fds[2])
{
    static const char bytes[1000];
    int in = -1, out = -1;
    char buf[400];

    CHECK_INT(SYS(pending, fds[0], &in, &out), 0);
    CHECK_INT(in, 0);
    CHECK_INT(out, 0);
    CHECK_INT(SYS(send, fds[0], bytes, sizeof(bytes)), sizeof(bytes));
    CHECK(is_ready(fds[1], POLLIN, 10000));
    CHECK_INT(SYS(pending, fds[1], &in, &out), 0);
    CHECK_INT(in, 1000);
    CHECK_INT(SYS(recv, fds[1], buf, sizeof(buf)), sizeof(buf));
    CHECK_INT(SYS(pending, fds[1], &in, &out), 0);
    CHECK_INT(in, 600);
}

static void pending_counts_both_directions(void)
{
    static char bulk[1 << 20];
    int fds[2], in = -1, out = -1;

    connected_pair("127.0.0.1", fds);
    check_pending(fds);
    /* More than the peer's window holds cannot be acknowledged. */
    while (SYS(send, fds[0], bulk, sizeof(bulk)) > 0)
        continue;
    CHECK_INT(SYS(pending, fds[0], &in, &out), 0);
    CHECK_INT(in, 0);
    CHECK(out > 0);
    close_both(fds);

    test_socketpair(fds);
    check_pending(fds);
    CHECK_INT(SYS(pending, fds[0], &in, &out), 0);
    CHECK(out > 0);
    close_both(fds);
}

static void pending_of_what_has_no_queue_is_nothing(void)
{
    struct eddy_addr a = loopback("127.0.0.1");
    int fd = listen_at(&a), in = -1, out = -1;

    REQUIRE(fd >= 0);
    CHECK_INT(SYS(pending, fd, &in, &out), 0);
    CHECK_INT(in, 0);
    CHECK_INT(out, 0);
    close(fd);
}

static void adopt_makes_the_flags_right(void)
{
    int fds[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    REQUIRE(fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_APPEND) == 0);
    CHECK_INT(SYS(adopt, fds[0]), 0);
    check_flags(fds[0]);
    CHECK((fcntl(fds[0], F_GETFL) & O_APPEND) != 0);
    CHECK_INT(SYS(adopt, fds[0]), 0);
    check_flags(fds[0]);
    close_both(fds);
}

static void clock_is_monotonic_and_moves(void)
{
    const struct eddy_sys_class *c = eddy_sys_posix()->cls;
    eddy_nsec start = c->now(eddy_sys_posix()), last = start;

    for (int i = 0; i < 1000; i++) {
        eddy_nsec t = c->now(eddy_sys_posix());

        CHECK(t >= last);
        last = t;
    }
    CHECK(last > start);
    CHECK(last - start < EDDY_SEC(60));
}

/* ---- wake-up ---- */

static void check_waker(void)
{
    int fds[2] = {-1, -1};
    bool one;

    REQUIRE(SYS(waker, fds) == 0);
    one = fds[0] == fds[1];
    check_flags(fds[0]);
    check_flags(fds[1]);
    CHECK(!is_ready(fds[0], POLLIN, 0));
    SYS(drain, fds[0]); /* harmless when nobody kicked */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i <= round; i++)
            SYS(kick, fds[1]);
        CHECK(is_ready(fds[0], POLLIN, 0));
        SYS(drain, fds[0]);
        CHECK(!is_ready(fds[0], POLLIN, 0));
    }
    /* A pipe is full after 8,192 kicks. */
    for (int i = 0; i < 20000; i++)
        SYS(kick, fds[1]);
    CHECK(is_ready(fds[0], POLLIN, 0));
    SYS(drain, fds[0]);
    CHECK(!is_ready(fds[0], POLLIN, 0));
    SYS(kick, fds[1]);
    CHECK(is_ready(fds[0], POLLIN, 0));
    close(fds[0]);
    if (!one)
        close(fds[1]);
}

static void L32_full_waker_counts_as_kicked(void)
{
    check_waker();
}

static void kick_keeps_errno(void)
{
    /* Signal handlers kick. */
    errno = 12345;
    SYS(kick, -1);
    CHECK_INT(errno, 12345);
}

static void without_eventfd(void *user)
{
    (void)user;
    if (forbid_system_call(SYS_eventfd2, ENOSYS))
        check_waker();
}

static void waker_without_eventfd_is_a_pipe(void)
{
    test_in_child(without_eventfd, NULL);
}

static void without_descriptors(void *user)
{
    struct rlimit none = {0};
    int fds[2] = {-1, -1};

    (void)user;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_INT(SYS(waker, fds), -EMFILE);
    CHECK_INT(fds[0], -1);
    CHECK_INT(SYS(socket, AF_INET, SOCK_STREAM, 0), -EMFILE);
}

static void lack_of_descriptors_is_told(void)
{
    test_in_child(without_descriptors, NULL);
}

/* Where the kernel can write without SIGPIPE. */
static void write_to_device_and_pipe(void *user)
{
    const struct iovec one = {(char[]){"x"}, 1};
    int fds[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)user;
    signal(SIGPIPE, SIG_DFL);
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    close(fds[0]);
    if (pwritev2(fds[1], &one, 1, -1, 0x100 /* RWF_NOSIGNAL */) < 0 && errno == EPIPE) {
        CHECK_INT(SYS(writev, full, &one, 1), -ENOSPC);
        CHECK_INT(SYS(writev, fds[1], &one, 1), -EPIPE); /* and we live */
    }
    close(fds[1]);
    close(full);
}

static void G26_a_device_without_flags_does_not_take_the_protection_from_pipes(void)
{
    test_in_child(write_to_device_and_pipe, NULL);
}

const struct test_case test_cases[] = {
    TEST(class_is_complete),
    TEST(G28_sockets_are_born_with_their_flags),
    TEST(unix_peer_without_a_name),
    TEST(failures_are_negative_codes),
    TEST(options_are_set_and_read),
    TEST(bytes_are_received_as_sent),
    TEST(full_socket_says_again),
    TEST(G26_sending_to_a_closed_peer_raises_no_signal),
    TEST(pending_counts_both_directions),
    TEST(pending_of_what_has_no_queue_is_nothing),
    TEST(adopt_makes_the_flags_right),
    TEST(clock_is_monotonic_and_moves),
    TEST(L32_full_waker_counts_as_kicked),
    TEST(kick_keeps_errno),
    TEST(G26_a_device_without_flags_does_not_take_the_protection_from_pipes),
    TEST(waker_without_eventfd_is_a_pipe),
    TEST(lack_of_descriptors_is_told),
    TEST_END,
};
