/* backends: select poll epoll io_uring sim sim-late */
/* Connecting and accepting by sockets of one's own: contract L88-L90, L85, L15. */
#include "tests/contract/executor.h"
#include "tests/contract/socks.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static const struct scripted_name names[] = {
    {.name = "here", .addrs = {"127.0.0.1"}},
    {.name = "both", .addrs = {"::1", "127.0.0.1"}},
    {.name = "slow", .addrs = {"127.0.0.1"}, .delay = EDDY_MSEC(20)},
    {.name = "silent", .delay = EDDY_FOREVER},
    {.name = NULL},
};

static struct eddy_future *start_connect(int fd, const struct eddy_addr *to)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_connect(loop, fd, to, &f) == 0);
    return f;
}

static struct eddy_future *start_connect_host(int fd, const char *host, int port)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_connect_host(loop, fd, host, port, &f) == 0);
    return f;
}

static struct eddy_future *start_accept(int fd)
{
    struct eddy_future *f = NULL;

    REQUIRE(eddy_sock_accept(loop, fd, &f) == 0);
    return f;
}

/* Whether fd has a peer by now, and nothing went wrong. */
static void check_connected(int fd)
{
    struct eddy_addr peer;

    CHECK_INT(sys->cls->peername(sys, fd, &peer), 0);
    CHECK_INT(sys->cls->error(sys, fd), 0);
}

/* ---- accepting and connecting ---- */

static void L88_L89_a_client_and_a_server(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at, own;
    char buf[64] = "";
    void *value;

    begin_loop();
    int listener = listening_socket(&at), client = new_socket(SOCK_STREAM);
    struct eddy_future *accepting = start_accept(listener);
    CHECK(!eddy_future_is_done(accepting));
    CHECK_INT(await(start_connect(client, &at), &r), 0);
    CHECK(eddy_addr_equal(&r.addr, &at));
    CHECK_INT(r.fd, -1);
    check_connected(client);
    CHECK(test_run_until(loop, future_done, accepting));
    REQUIRE(eddy_future_result(accepting, &value) == 0);
    struct eddy_sock_result *accepted = value;
    CHECK_INT(sys->cls->sockname(sys, client, &own), 0);
    CHECK(eddy_addr_equal(&accepted->addr, &own));
    int server = eddy_sock_take(accepted);
    CHECK(server >= 0);
    CHECK_INT(eddy_sock_take(accepted), -1);
    eddy_future_unref(accepting);
    CHECK_INT(await_count(start_sendall(client, "GET /", 5)), 5);
    CHECK_INT(await_count(start_recv(server, buf, sizeof buf)), 5);
    CHECK_INT(await_count(start_sendall(server, buf, 5)), 5);
    close_fd(server);
    memset(buf, 0, sizeof buf);
    CHECK_INT(await_count(start_recv(client, buf, sizeof buf)), 5);
    CHECK_STR(buf, "GET /");
    CHECK_INT(await_count(start_recv(client, buf, sizeof buf)), 0);
    close_fd(client);
    close_fd(listener);
    end_loop();
}

/* Connected below the loop; returns the socket. */
static int connect_raw(const struct eddy_addr *to)
{
    int fd = new_socket(SOCK_STREAM);
    int rc = sys->cls->connect(sys, fd, to);

    CHECK(rc == 0 || rc == -EINPROGRESS);
    for (int i = 0; rc == -EINPROGRESS && i < 1000; i++) {
        struct eddy_addr peer;
        if (test_sim(loop))
            eddy_sim_advance(test_sim(loop), EDDY_MSEC(1));
        rc = sys->cls->peername(sys, fd, &peer) == 0 ? 0 : -EINPROGRESS;
    }
    CHECK_INT(rc, 0);
    return fd;
}

static void L85_L89_who_waits_is_accepted_inside_the_call(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;
    char buf[8];

    begin_loop();
    int listener = listening_socket(&at), client = connect_raw(&at);
    struct eddy_future *f = start_accept(listener);
    CHECK(eddy_future_is_done(f));
    CHECK_INT(await_keep(f, &r), 0);
    CHECK(r.fd >= 0);
    if (!test_is_sim()) {
        CHECK(fcntl(r.fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(r.fd, F_GETFD) & FD_CLOEXEC);
    }
    eddy_future_unref(f); /* nobody has taken it */
    CHECK_INT(await_count(start_recv(client, buf, sizeof buf)), 0);
    close_fd(client);
    close_fd(listener);
    end_loop();
}

static void G28_L15_what_was_accepted_outlives_the_loop_or_is_closed(void)
{
    struct eddy_addr at;
    void *value;

    begin_loop();
    int listener = listening_socket(&at);
    int clients[] = {connect_raw(&at), connect_raw(&at)};
    struct eddy_future *taken = start_accept(listener), *left = start_accept(listener);
    REQUIRE(eddy_future_result(taken, &value) == 0);
    int fd = eddy_sock_take(value);
    eddy_future_unref(taken);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_future_unref(left);
    close_fd(fd);
    close_fd(clients[0]);
    close_fd(clients[1]);
    close_fd(listener);
    end_loop();
}

static void L90_a_cancelled_accept_leaves_the_connection(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    begin_loop();
    int listener = listening_socket(&at);
    struct eddy_future *first = start_accept(listener);
    test_run_steps(loop, 1);
    CHECK(eddy_future_cancel(first, NULL));
    eddy_future_unref(first);
    int client = connect_raw(&at);
    test_run_steps(loop, 2);
    struct eddy_future *f = start_accept(listener);
    CHECK_INT(await_keep(f, &r), 0);
    CHECK(r.fd >= 0);
    eddy_future_unref(f);
    close_fd(client);
    close_fd(listener);
    end_loop();
}

static void S25_L89_a_connection_given_up_is_passed_over(void)
{
    struct eddy_addr at;

    begin_loop();
    int listener = listening_socket(&at), client = connect_raw(&at);
    if (test_is_sim()) {
        CHECK_INT(eddy_sim_fail(test_sim(loop), EDDY_SIM_ACCEPT, 1, -ECONNABORTED), 0);
        struct eddy_sock_result r;
        struct eddy_future *f = start_accept(listener);
        CHECK(!eddy_future_is_done(f));
        CHECK_INT(await_keep(f, &r), 0);
        CHECK(r.fd >= 0);
        eddy_future_unref(f);
    }
    close_fd(client);
    close_fd(listener);
    end_loop();
}

/* ---- what the network says ---- */

static void check_refused(struct eddy_future *f, const struct eddy_addr *to)
{
    char text[EDDY_ADDR_TEXT], wanted[256];

    CHECK(test_run_until(loop, future_done, f));
    const struct eddy_error *e = eddy_future_error(f);
    if (CHECK(e != NULL)) {
        CHECK_INT(e->code, -ECONNREFUSED);
        CHECK_STR(e->op, "connect");
        snprintf(wanted, sizeof wanted, "connect to %s: %s",
                 eddy_addr_format(to, text, sizeof text), eddy_strerror(-ECONNREFUSED));
        CHECK_STR(e->text, wanted);
    }
    eddy_future_unref(f);
}

static void L88_a_refusal_names_the_address(void)
{
    struct eddy_addr at;

    begin_loop();
    int dead = bound_socket(SOCK_STREAM, &at), fd = new_socket(SOCK_STREAM);
    check_refused(start_connect(fd, &at), &at);
    close_fd(fd);
    fd = new_socket(SOCK_STREAM);
    check_refused(start_connect_host(fd, "127.0.0.1", eddy_addr_port(&at)), &at);
    close_fd(fd);
    close_fd(dead);
    end_loop();
}

static void L88_what_the_system_refuses_at_once(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    begin_loop();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    CHECK_INT(await(start_connect(fd, &at), &r), 0);
    int again = await(start_connect(fd, &at), &r); /* Linux tells once more of its success */
    CHECK(again == 0 || again == -EISCONN);
    CHECK_INT(await(start_connect(fd, &at), &r), -EISCONN);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void L88_it_takes_the_time_of_the_network(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    if (!test_is_sim())
        return;
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(5)));
    begin_loop();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    eddy_nsec begun = eddy_loop_time(loop);
    struct eddy_future *f = start_connect(fd, &at);
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(eddy_loop_time(loop) - begun, EDDY_MSEC(10));
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void L88_a_full_backlog_of_a_unix_server(void)
{
    struct eddy_addr at = {.len = 0};
    struct eddy_sock_result r;
    int clients[8], n = 0, rc = 0;

    begin_loop();
    if (!test_is_sim()) {
        int listener = sys->cls->socket(sys, AF_UNIX, SOCK_STREAM, 0);
        at.u.un.sun_family = AF_UNIX;
        at.len = offsetof(struct sockaddr_un, sun_path);
        CHECK_INT(sys->cls->bind(sys, listener, &at), 0); /* the kernel finds it a name */
        CHECK_INT(sys->cls->sockname(sys, listener, &at), 0);
        CHECK_INT(sys->cls->listen(sys, listener, 0), 0);
        while (rc == 0 && n < 8) {
            clients[n] = sys->cls->socket(sys, AF_UNIX, SOCK_STREAM, 0);
            rc = await(start_connect(clients[n++], &at), &r);
        }
        CHECK_INT(rc, -EAGAIN);
        while (n > 0)
            close_fd(clients[--n]);
        close_fd(listener);
    }
    end_loop();
}

/* ---- cancelling ---- */

static void L90_connect_cancelled_and_begun_again(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(5)));
    begin_loop();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect(fd, &at);
    bool pending = eddy_future_cancel(f, NULL);
    CHECK(pending || !test_is_sim()); /* loopback is often faster than us */
    eddy_future_unref(f);
    int rc = await(start_connect(fd, &at), &r);
    CHECK(rc == 0 || rc == -EISCONN);
    CHECK(!test_is_sim() || rc == 0);
    check_connected(fd);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void L15_L88_loop_close_while_it_connects(void)
{
    struct eddy_addr at;

    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(5)));
    begin_loop();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect(fd, &at), *accepting = start_accept(listener);
    CHECK_INT(eddy_loop_close(loop), 0);
    int rc = eddy_future_result(f, NULL);
    CHECK(rc == EDDY_ELOOP_CLOSED || (rc == 0 && !test_is_sim()));
    eddy_future_unref(f);
    eddy_future_unref(accepting);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

/* ---- by name ---- */

static void begin_names(void)
{
    take_loop(scripted_loop(names));
}

static void L88_a_name_is_looked_up_first(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;
    char host[8] = "slow";

    begin_names();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect_host(fd, host, eddy_addr_port(&at));
    memset(host, 'x', sizeof host);
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(await(f, &r), 0);
    CHECK(eddy_addr_equal(&r.addr, &at));
    check_connected(fd);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void L88_the_look_up_is_for_sockets_like_this_one(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    begin_names();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM),
        udp = new_socket(SOCK_DGRAM);
    CHECK_INT(await(start_connect_host(fd, "both", eddy_addr_port(&at)), &r), 0);
    CHECK_INT(scripted.family, AF_INET);
    CHECK_INT(scripted.type, SOCK_STREAM);
    CHECK_INT(await(start_connect_host(udp, "both", 9), &r), 0);
    CHECK_INT(scripted.type, SOCK_DGRAM);
    check_connected(udp);
    close_fd(udp);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void S15_L88_an_address_is_not_looked_up(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;

    begin_names();
    int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
    CHECK_INT(await(start_connect_host(fd, "127.0.0.1", eddy_addr_port(&at)), &r), 0);
    int udp = new_socket(SOCK_DGRAM);
    struct eddy_future *f = start_connect_host(udp, "127.0.0.1", 9);
    CHECK(eddy_future_is_done(f)); /* inside the call */
    CHECK_INT(await(f, &r), 0);
    CHECK_INT(scripted.opened + scripted.asked, 0);
    close_fd(udp);
    close_fd(fd);
    close_fd(listener);
    end_loop();
}

static void L88_a_name_that_is_not_found(void)
{
    begin_names();
    int fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect_host(fd, "nowhere", 9);
    CHECK(test_run_until(loop, future_done, f));
    const struct eddy_error *e = eddy_future_error(f);
    if (CHECK(e != NULL)) {
        CHECK_INT(e->code, EDDY_EDNS);
        CHECK_INT(e->detail, EAI_NONAME);
        CHECK(strstr(e->text, "nowhere") != NULL);
    }
    eddy_future_unref(f);
    scripted.open_result = -ENOSYS;
    close_fd(fd);
    end_loop();
}

static void G3_L88_nobody_can_be_asked(void)
{
    struct eddy_future *f = NULL;

    begin_names();
    scripted.open_result = -ENOSYS;
    int fd = new_socket(SOCK_STREAM);
    CHECK_INT(eddy_sock_connect_host(loop, fd, "here", 9, &f), -ENOSYS);
    CHECK(f == NULL);
    close_fd(fd);
    end_loop();
}

static void L82_L90_a_look_up_is_cancelled_with_its_operation(void)
{
    begin_names();
    int fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect_host(fd, "silent", 9);
    test_run_steps(loop, 1);
    CHECK(eddy_future_cancel(f, NULL));
    CHECK_INT(scripted.cancelled, 1);
    eddy_future_unref(f);
    f = start_connect_host(fd, "here", 9); /* found, but not told */
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    test_run_steps(loop, 3);
    struct eddy_addr peer;
    CHECK_INT(sys->cls->peername(sys, fd, &peer), -ENOTCONN);
    close_fd(fd);
    end_loop();
}

static void L15_L82_loop_close_during_the_look_up(void)
{
    begin_names();
    int fd = new_socket(SOCK_STREAM);
    struct eddy_future *f = start_connect_host(fd, "silent", 9);
    eddy_future_unref(start_connect_host(fd, "slow", 9));
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
    CHECK_INT(scripted.cancelled, 2);
    eddy_future_unref(f);
    close_fd(fd);
    end_loop();
}

enum { MUCH = 32 << 20 };

static void L56_L88_another_operation_waits_when_the_name_is_found(void)
{
    char *much = calloc(1, MUCH);
    struct eddy_sock_result r;
    struct eddy_addr at;

    begin_names();
    REQUIRE(much != NULL);
    int listener = listening_socket(&at), fd = connect_raw(&at);
    struct eddy_future *f = start_connect_host(fd, "slow", 9);
    struct eddy_future *sending = start_sendall(fd, much, MUCH);
    CHECK_INT(await(f, &r), -EEXIST);
    CHECK(eddy_future_cancel(sending, NULL));
    eddy_future_unref(sending);
    close_fd(fd);
    close_fd(listener);
    end_loop();
    free(much);
}

static void L88_localhost_by_each_resolver(void)
{
    struct eddy_sock_result r;
    struct eddy_addr at;
    const char *name;

    for (unsigned i = 0; !test_is_sim() && (name = eddy_resolver_name(i)) != NULL; i++) {
        long before = test_live_allocations();
        struct eddy_loop *made;
        REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = name)), &made) == 0);
        take_loop(made);
        int listener = listening_socket(&at), fd = new_socket(SOCK_STREAM);
        CHECK_INT(await(start_connect_host(fd, "localhost", eddy_addr_port(&at)), &r), 0);
        close_fd(fd);
        close_fd(listener);
        end_loop();
        wait_for_allocations(before); /* of threads that end by themselves */
    }
}

const struct test_case test_cases[] = {
    TEST(L88_L89_a_client_and_a_server),
    TEST(L85_L89_who_waits_is_accepted_inside_the_call),
    TEST(G28_L15_what_was_accepted_outlives_the_loop_or_is_closed),
    TEST(L90_a_cancelled_accept_leaves_the_connection),
    TEST(S25_L89_a_connection_given_up_is_passed_over),
    TEST(L88_a_refusal_names_the_address),
    TEST(L88_what_the_system_refuses_at_once),
    TEST(L88_it_takes_the_time_of_the_network),
    TEST(L88_a_full_backlog_of_a_unix_server),
    TEST(L90_connect_cancelled_and_begun_again),
    TEST(L15_L88_loop_close_while_it_connects),
    TEST(L88_a_name_is_looked_up_first),
    TEST(L88_the_look_up_is_for_sockets_like_this_one),
    TEST(S15_L88_an_address_is_not_looked_up),
    TEST(L88_a_name_that_is_not_found),
    TEST(G3_L88_nobody_can_be_asked),
    TEST(L82_L90_a_look_up_is_cancelled_with_its_operation),
    TEST(L15_L82_loop_close_during_the_look_up),
    TEST(L56_L88_another_operation_waits_when_the_name_is_found),
    TEST(L88_localhost_by_each_resolver),
    TEST_END,
};
