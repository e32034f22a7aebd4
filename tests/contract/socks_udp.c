/* backends: select poll epoll io_uring sim sim-late */
/* Datagrams by sockets of one's own: contract L85-L87, L90. */
#include "tests/contract/socks.h"
#include <stddef.h>
#include <sys/un.h>

static struct eddy_addr at[2];

/* fds are two sockets on 127.0.0.1, at these addresses. */
static void begin_udp(void)
{
    begin_loop();
    for (int i = 0; i < 2; i++)
        fds[i] = bound_socket(SOCK_DGRAM, &at[i]);
}

static struct eddy_future *start_recvfrom(int fd, void *buf, size_t len)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_recvfrom(loop, fd, buf, len, &f) == 0);
    return f;
}

static struct eddy_future *start_sendto(int fd, const char *text, const struct eddy_addr *to)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_sendto(loop, fd, text, strlen(text), to, &f) == 0);
    return f;
}

static void L86_a_datagram_and_its_sender(void)
{
    struct eddy_sock_result r;
    char buf[16] = "";

    begin_udp();
    struct eddy_future *f = start_recvfrom(fds[0], buf, sizeof buf);
    CHECK(!eddy_future_is_done(f));
    struct eddy_future *sent = start_sendto(fds[1], "hello", &at[0]);
    CHECK(eddy_future_is_done(sent));
    CHECK_INT(await(sent, &r), 0);
    CHECK_INT(r.count, 5);
    CHECK(eddy_addr_equal(&r.addr, &at[0]));
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(r.count, 5);
    CHECK(!r.truncated);
    CHECK(eddy_addr_equal(&r.addr, &at[1]));
    CHECK_STR(buf, "hello");
    end();
}

static void L85_a_datagram_that_is_there_comes_inside_the_call(void)
{
    struct eddy_sock_result r;
    char buf[16] = "";

    begin_udp();
    CHECK_INT(await(start_sendto(fds[1], "one", &at[0]), &r), 0);
    CHECK_INT(await(start_sendto(fds[1], "second", &at[0]), &r), 0);
    test_run_steps(loop, 2);
    struct eddy_future *f = start_recvfrom(fds[0], buf, sizeof buf);
    CHECK(eddy_future_is_done(f));
    CHECK_INT(await(f, &r), 0);
    CHECK_STR(buf, "one");
    CHECK_INT(await(start_recvfrom(fds[0], buf, sizeof buf), &r), 0);
    CHECK_INT(r.count, 6);
    end();
}

static void L86_an_empty_datagram_has_a_sender(void)
{
    struct eddy_sock_result r;
    char buf[16];

    begin_udp();
    CHECK_INT(await(start_sendto(fds[1], "", &at[0]), &r), 0);
    CHECK_INT(await(start_recvfrom(fds[0], buf, sizeof buf), &r), 0);
    CHECK_INT(r.count, 0);
    CHECK(eddy_addr_equal(&r.addr, &at[1]));
    end();
}

static void L86_what_does_not_fit_is_cut(void)
{
    struct eddy_sock_result r;
    char buf[4] = "";

    begin_udp();
    CHECK_INT(await(start_sendto(fds[1], "hello", &at[0]), &r), 0);
    CHECK_INT(await(start_recvfrom(fds[0], buf, 3), &r), 0);
    CHECK_INT(r.count, 3);
    CHECK(r.truncated);
    CHECK_STR(buf, "hel");
    end();
}

static void L88_a_connected_socket_needs_no_address(void)
{
    struct eddy_sock_result r;
    struct eddy_future *f;
    char buf[16] = "";

    begin_udp();
    CHECK_INT(eddy_sock_connect(loop, fds[1], &at[0], &f), 0);
    CHECK(eddy_future_is_done(f));
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(await(start_sendto(fds[1], "hello", NULL), &r), 0);
    CHECK_INT(r.addr.len, 0);
    CHECK_INT(await(start_recvfrom(fds[0], buf, sizeof buf), &r), 0);
    CHECK_STR(buf, "hello");
    end();
}

/* The simulator's recv and send are for streams. */
static void L86_recv_and_sendall_of_a_connected_socket(void)
{
    struct eddy_sock_result r;
    struct eddy_future *f;
    char buf[16] = "";

    begin_udp();
    if (!test_is_sim()) {
        CHECK_INT(eddy_sock_connect(loop, fds[1], &at[0], &f), 0);
        CHECK_INT(await(f, &r), 0);
        CHECK_INT(await_count(start_sendall(fds[1], "hello", 5)), 5);
        CHECK_INT(await_count(start_recv(fds[0], buf, sizeof buf)), 5);
        CHECK_STR(buf, "hello");
    }
    end();
}

static void L87_sendall_of_nothing_is_no_datagram(void)
{
    struct eddy_sock_result r;
    struct eddy_future *f;
    char buf[16];

    begin_udp();
    CHECK_INT(eddy_sock_connect(loop, fds[1], &at[0], &f), 0);
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(await_count(start_sendall(fds[1], "", 0)), 0);
    CHECK_INT(await(start_sendto(fds[1], "x", NULL), &r), 0);
    CHECK_INT(await(start_recvfrom(fds[0], buf, sizeof buf), &r), 0);
    CHECK_INT(r.count, 1);
    end();
}

static void L87_an_error_names_the_address(void)
{
    static char much[70000];
    char text[EDDY_ADDR_TEXT];

    begin_udp();
    memset(much, 'x', sizeof much - 1);
    struct eddy_future *f = start_sendto(fds[1], much, &at[0]);
    CHECK(test_run_until(loop, future_done, f));
    const struct eddy_error *e = eddy_future_error(f);
    if (CHECK(e != NULL)) {
        CHECK_INT(e->code, -EMSGSIZE);
        CHECK(strstr(e->text, eddy_addr_format(&at[0], text, sizeof text)) != NULL);
    }
    eddy_future_unref(f);
    end();
}

static void L86_an_answer_of_the_network_fails_recvfrom(void)
{
    struct eddy_sock_result r;
    struct eddy_future *f;
    char buf[16];

    begin_udp();
    CHECK_INT(eddy_sock_connect(loop, fds[1], &at[0], &f), 0);
    CHECK_INT(await(f, &r), 0);
    close_fd(fds[0]);
    CHECK_INT(await(start_sendto(fds[1], "x", NULL), &r), 0);
    CHECK_INT(await(start_recvfrom(fds[1], buf, sizeof buf), &r), -ECONNREFUSED);
    close_fd(fds[1]);
    end_loop();
}

static void L90_a_cancelled_recvfrom_takes_nothing(void)
{
    struct eddy_sock_result r;
    char one[16] = "", two[16] = "";

    begin_udp();
    struct eddy_future *f = start_recvfrom(fds[0], one, sizeof one);
    test_run_steps(loop, 1);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    f = start_recvfrom(fds[0], two, sizeof two);
    CHECK_INT(await(start_sendto(fds[1], "x", &at[0]), &r), 0);
    CHECK_INT(await(f, &r), 0);
    CHECK_STR(one, "");
    CHECK_STR(two, "x");
    end();
}

/* Where there is no room the datagram waits. */
static void L85_sendto_waits_for_room(void)
{
    static char kilobyte[1025];
    struct eddy_sock_result r;
    int sent = 0;
    struct eddy_future *f;

    if (!test_is_sim())
        return;
    memset(kilobyte, 'x', 1024);
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(5), .send_room = 4000));
    begin_udp();
    eddy_nsec begun = eddy_loop_time(loop);
    for (;;) {
        f = start_sendto(fds[1], kilobyte, &at[0]);
        if (!eddy_future_is_done(f) || sent > 20)
            break;
        CHECK_INT(await(f, &r), 0);
        sent++;
    }
    CHECK(sent > 1 && sent < 8);
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(r.count, 1024);
    CHECK(eddy_loop_time(loop) - begun >= EDDY_MSEC(5));
    end();
}

struct reader {
    struct eddy_timer timer;
    int fd;
    bool done;
};

static void send_raw_to(int fd, const struct eddy_addr *to)
{
    char text[] = "x";
    struct eddy_message m = {.data = text, .len = 1, .addr = *to};

    CHECK_INT(sys->cls->send_messages(sys, fd, &m, 1), 1);
}

static ssize_t read_raw(int fd)
{
    char buf[2048];

    return sys->cls->recv(sys, fd, buf, sizeof buf);
}

static void read_one(struct eddy_timer *t)
{
    struct reader *r = EDDY_CONTAINER_OF(t, struct reader, timer);

    CHECK(read_raw(r->fd) > 0);
    r->done = true;
}

/* A unix socket is writable though the queue of its peer is full. */
static void L85_sendto_waits_for_the_room_of_another(void)
{
    struct eddy_addr peer = {.len = offsetof(struct sockaddr_un, sun_path)};
    struct reader reader = {.timer.fn = read_one};
    struct eddy_sock_result r;
    struct eddy_future *f;
    int turns = 0;

    if (test_is_sim())
        return;
    begin_loop();
    for (int i = 0; i < 2; i++) {
        fds[i] = sys->cls->socket(sys, AF_UNIX, SOCK_DGRAM, 0);
        REQUIRE(fds[i] >= 0);
    }
    peer.u.un.sun_family = AF_UNIX;
    CHECK_INT(sys->cls->bind(sys, fds[0], &peer), 0); /* the kernel finds it a name */
    CHECK_INT(sys->cls->sockname(sys, fds[0], &peer), 0);
    while (f = start_sendto(fds[1], "hello", &peer), eddy_future_is_done(f))
        CHECK_INT(await(f, &r), 0);
    reader.fd = fds[0];
    eddy_loop_call_later(loop, &reader.timer, EDDY_MSEC(30));
    while (!eddy_future_is_done(f) && turns++ < 1000)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(1)), 0);
    CHECK(turns < 50);
    CHECK_INT(await(f, &r), 0);
    f = start_sendto(fds[1], "hello", &peer);
    test_run_steps(loop, 3);
    CHECK(eddy_future_cancel(f, NULL)); /* while the clock is to tell */
    eddy_future_unref(f);
    reader.done = false;
    eddy_loop_call_later(loop, &reader.timer, EDDY_MSEC(5));
    CHECK(test_run_until(loop, test_is_true, &reader.done));
    while (read_raw(fds[0]) > 0)
        ;
    reader.done = false;
    eddy_loop_call_later(loop, &reader.timer, EDDY_MSEC(5));
    send_raw_to(fds[1], &peer);
    CHECK(test_run_until(loop, test_is_true, &reader.done));
    CHECK_INT(read_raw(fds[0]), -EAGAIN); /* nothing else has come */
    end();
}

const struct test_case test_cases[] = {
    TEST(L86_a_datagram_and_its_sender),
    TEST(L85_a_datagram_that_is_there_comes_inside_the_call),
    TEST(L86_an_empty_datagram_has_a_sender),
    TEST(L86_what_does_not_fit_is_cut),
    TEST(L88_a_connected_socket_needs_no_address),
    TEST(L86_recv_and_sendall_of_a_connected_socket),
    TEST(L87_sendall_of_nothing_is_no_datagram),
    TEST(L87_an_error_names_the_address),
    TEST(L86_an_answer_of_the_network_fails_recvfrom),
    TEST(L90_a_cancelled_recvfrom_takes_nothing),
    TEST(L85_sendto_waits_for_room),
    TEST(L85_sendto_waits_for_the_room_of_another),
    TEST_END,
};
