/* backends: select poll epoll io_uring */
/* Datagrams and connections of messages over unix sockets: contract S44, S46, S48, T47-T54. */
#include "tests/contract/datagrams_party.h"
#include <eddy/backend.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct eddy_loop *loop;
static struct party a, b;
static char folder[64], path[80], other_path[80];

static void begin(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    strcpy(folder, "/tmp/eddy-datagrams-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/a", folder);
    snprintf(other_path, sizeof other_path, "%s/b", folder);
    REQUIRE(test_loop_new(&loop) == 0);
}

static void finish(void)
{
    if (a.made)
        party_end(&a);
    if (b.made)
        party_end(&b);
    test_loop_free(loop);
    unlink(path);
    unlink(other_path);
    CHECK_INT(rmdir(folder), 0);
}

static void begin_pair(void)
{
    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
    party_open(&b, loop, EDDY_DATAGRAM(.local_path = other_path, .remote_path = path));
}

static void echo(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    CHECK_INT(eddy_transport_sendto(p->t, data, len, from), 0);
}

static void S48_T47_T54_there_and_back(void)
{
    begin_pair();
    a.on_datagram = echo;
    CHECK_INT(eddy_transport_sendto(b.t, "hello", 5, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "", 0, NULL), 0);
    PARTY_UNTIL(loop, b.received == 2);
    CHECK_TRACE(a.trace, "CM DG(5) DG(0)");
    CHECK_STR(a.from.u.un.sun_path, other_path);
    CHECK_STR(eddy_transport_kind(a.t), "unix-dgram");
    finish();
}

static void S48_large_ones_are_whole(void)
{
    static char large[150000];

    begin_pair();
    memset(large, 'x', sizeof large);
    CHECK_INT(eddy_transport_sendto(b.t, large, sizeof large, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.len, sizeof large);
    finish();
}

static void T54_a_sender_without_a_name(void)
{
    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
    party_open(&b, loop, EDDY_DATAGRAM(.remote_path = path));
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.from.len <= sizeof(sa_family_t) ? 0 : a.from.len, 0);
    finish();
}

static void S48_a_stale_socket_file_is_removed(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    begin();
    strcpy(un.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
    /* Any other file stays. */
    fd = open(other_path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
    struct eddy_error e = {.code = 0};
    party_init(&b, loop);
    CHECK_INT(eddy_create_datagram_endpoint(
                  loop, &b.base, EDDY_DATAGRAM(.local_path = other_path, .error = &e), NULL),
              -EADDRINUSE);
    CHECK(strstr(e.text, other_path) != NULL);
    struct stat st;
    CHECK_INT(stat(other_path, &st), 0);
    finish();
}

static int create(const struct eddy_datagram_opts *o)
{
    struct party p;

    party_init(&p, loop);
    return eddy_create_datagram_endpoint(loop, &p.base, o, NULL);
}

static void S44_S45_S48_bad_paths(void)
{
    char far[200];
    struct stat st;

    begin();
    memset(far, 'x', sizeof far - 1);
    far[sizeof far - 1] = '\0';
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = far)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_path = far)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = "")), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = path, .local_port = 7)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = path, .family = AF_INET)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = path, .seqpacket = true)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = path, .report_errors = true)),
              EDDY_ENOT_SUPPORTED);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_path = path)), -ENOENT);
    CHECK(stat(path, &st) < 0);
    CHECK_INT(create(EDDY_DATAGRAM(.local_path = path, .remote_path = other_path)), -ENOENT);
    CHECK(stat(path, &st) < 0); /* nothing is left of it */
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
    CHECK_INT(
        eddy_create_datagram_endpoint(loop, &a.base, EDDY_DATAGRAM(.local_path = other_path), NULL),
        -EINVAL);
    CHECK(stat(other_path, &st) < 0);
    finish();
}

#ifdef __linux__
static void S43_S48_abstract_names(void)
{
    char name[40] = "";
    int len = snprintf(name + 1, sizeof name - 1, "eddy-test-%d", (int)getpid()) + 1;

    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = name, .local_path_len = (size_t)len));
    party_open(&b, loop, EDDY_DATAGRAM(.remote_path = name, .remote_path_len = (size_t)len));
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    finish();
}
#else
static void S43_S48_abstract_names(void)
{
}
#endif

/* The receiver does not read: its queue is full, although the sender's socket is writable. */
static void T47_T49_T52_a_full_queue_does_not_spin_and_loses_nothing(void)
{
    int sent = 0, iterations = 0;

    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
    party_open(&b, loop, EDDY_DATAGRAM(.local_path = other_path));
    struct eddy_addr to = party_addr(&a);
    eddy_transport_pause_reading(a.t);
    test_run_steps(loop, 3);
    while (eddy_transport_get_write_buffer_size(b.t) < 100 * 18 && sent < 5000) {
        CHECK_INT(eddy_transport_sendto(b.t, "0123456789", 10, &to), 0);
        sent++;
    }
    CHECK(sent < 5000);
    eddy_nsec end = eddy_loop_time(loop) + EDDY_MSEC(200);
    for (; eddy_loop_time(loop) < end; iterations++)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(50)), 0);
    CHECK(iterations < 60);
    CHECK_INT(a.received, 0);
    eddy_transport_resume_reading(a.t);
    eddy_transport_close(b.t);
    PARTY_UNTIL(loop, a.received == sent && b.finis == 1);
    CHECK_TRACE(b.trace, "CM CL(0)");
    finish();
}

static void T50_the_peer_is_gone(void)
{
    begin_pair();
    party_end(&a);
    test_run_steps(loop, 3);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    CHECK_INT(b.errors, 1);
    CHECK_INT(b.error, -ECONNREFUSED);
    CHECK(b.error_has_addr);
    finish();
}

/* ---- connections of messages ---- */

/* Two ends; skipped where the system has none. */
static bool begin_messages(void)
{
    int fds[2];

    begin();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0) {
        finish();
        return false;
    }
    party_open(&a, loop, EDDY_DATAGRAM(.sock = fds[0], .use_sock = true));
    party_open(&b, loop, EDDY_DATAGRAM(.sock = fds[1], .use_sock = true));
    CHECK_STR(eddy_transport_kind(a.t), "unix-seqpacket");
    return true;
}

static void S46_one_message_for_each_send(void)
{
    if (!begin_messages())
        return;
    CHECK_INT(eddy_transport_sendto(b.t, "one", 3, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "three", 5, NULL), 0);
    PARTY_UNTIL(loop, a.received == 2);
    CHECK_TRACE(a.trace, "CM DG(3) DG(5)");
    finish();
}

static void S46_empty_messages_are_not_the_end(void)
{
    if (!begin_messages())
        return;
    CHECK_INT(eddy_transport_sendto(b.t, "", 0, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "", 0, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "", 0, NULL), 0);
    party_end(&b);
    PARTY_UNTIL(loop, a.finis == 1);
    CHECK_TRACE(a.trace, "CM DG(0) DG(1) DG(0) DG(0) CL(0)");
    finish();
}

/* By the calls of the system alone: several, and the end behind them. */
static void S46_the_end_comes_by_a_call_of_its_own(void)
{
    struct eddy_sys *sys = eddy_sys_posix();
    char bytes[4][8];
    struct eddy_message m[4];
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
        return;
    for (int i = 0; i < 4; i++)
        m[i] = (struct eddy_message){.data = bytes[i], .len = sizeof bytes[i]};
    CHECK_INT(sys->cls->setsockopt(sys, fds[0], SOL_SOCKET, SO_TIMESTAMP, 1), 0);
    CHECK_INT(sys->cls->recv_messages(sys, fds[0], m, 4), -EAGAIN);
    CHECK_INT(send(fds[1], "ab", 2, 0), 2);
    CHECK_INT(send(fds[1], "", 0, 0), 0);
    close(fds[1]);
    int n = sys->cls->recv_messages(sys, fds[0], m, 4);
    CHECK(n >= 1 && m[0].len == 2);
    if (n == 1) /* where they come one by one */
        n += sys->cls->recv_messages(sys, fds[0], m + 1, 3);
    CHECK_INT(n, 2);
    CHECK_INT(m[1].len, 0);
    CHECK_INT(sys->cls->recv_messages(sys, fds[0], m, 4), 0);
    CHECK_INT(sys->cls->recv_messages(sys, fds[0], m, 1), 0);
    close(fds[0]);
}

static void S46_the_end_is_not_seen_while_paused(void)
{
    if (!begin_messages())
        return;
    eddy_transport_pause_reading(a.t);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    party_end(&b);
    test_run_steps(loop, 5);
    CHECK_TRACE(a.trace, "CM");
    eddy_transport_resume_reading(a.t);
    PARTY_UNTIL(loop, a.finis == 1);
    CHECK_TRACE(a.trace, "CM DG(1) CL(0)");
    finish();
}

static void S46_connecting_by_path(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char byte[8];

    begin();
    strcpy(un.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (fd < 0) {
        finish();
        return;
    }
    CHECK_INT(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_path = path, .seqpacket = true)), -ECONNREFUSED);
    CHECK_INT(listen(fd, 5), 0);
    party_open(&a, loop, EDDY_DATAGRAM(.remote_path = path, .seqpacket = true));
    int conn = accept(fd, NULL, NULL);
    CHECK_INT(send(conn, "hello", 5, 0), 5);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.len, 5);
    CHECK_INT(eddy_transport_sendto(a.t, "x", 1, NULL), 0);
    CHECK_INT(recv(conn, byte, sizeof byte, 0), 1);
    close(conn);
    PARTY_UNTIL(loop, a.finis == 1);
    CHECK_TRACE(a.trace, "CM DG(5) CL(0)");
    close(fd);
    finish();
}

/* No SIGPIPE, which the tests have at default until a loop is made: and a loop ignores it only if
 * nobody else has a say. */
static void G26_T50_sending_to_one_who_has_gone(void)
{
    if (!begin_messages())
        return;
    eddy_transport_pause_reading(a.t);
    party_end(&b);
    test_run_steps(loop, 3);
    CHECK_INT(eddy_transport_sendto(a.t, "x", 1, NULL), 0);
    CHECK_INT(a.error, -EPIPE);
    CHECK_INT(a.errors, 1);
    finish();
}

static void T23_T49_T52_many_messages_wait(void)
{
    int sent = 0;

    if (!begin_messages())
        return;
    eddy_transport_pause_reading(a.t);
    test_run_steps(loop, 3);
    while (!b.paused && sent < 20000) {
        static char bytes[1000];
        CHECK_INT(eddy_transport_sendto(b.t, bytes, sizeof bytes, NULL), 0);
        sent++;
    }
    CHECK(sent < 20000);
    eddy_transport_resume_reading(a.t);
    eddy_transport_close(b.t);
    PARTY_UNTIL(loop, a.received == sent && b.finis == 1);
    PARTY_UNTIL(loop, a.finis == 1);
    finish();
}

const struct test_case test_cases[] = {
    TEST(S48_T47_T54_there_and_back),
    TEST(S48_large_ones_are_whole),
    TEST(T54_a_sender_without_a_name),
    TEST(S48_a_stale_socket_file_is_removed),
    TEST(S44_S45_S48_bad_paths),
    TEST(S43_S48_abstract_names),
    TEST(T47_T49_T52_a_full_queue_does_not_spin_and_loses_nothing),
    TEST(T50_the_peer_is_gone),
    TEST(S46_one_message_for_each_send),
    TEST(S46_empty_messages_are_not_the_end),
    TEST(S46_the_end_comes_by_a_call_of_its_own),
    TEST(S46_the_end_is_not_seen_while_paused),
    TEST(S46_connecting_by_path),
    TEST(G26_T50_sending_to_one_who_has_gone),
    TEST(T23_T49_T52_many_messages_wait),
    TEST_END,
};
