/* backends: select poll epoll io_uring */
/*
 * Terminals and pseudo-terminals: contract T40, T41, T46, and two-way streams over what is neither
 * TCP nor a unix socket of Eddy's own making.
 */
#include "tests/contract/pipes.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static void make_raw(int fd)
{
    struct termios raw;
    REQUIRE(tcgetattr(fd, &raw) == 0);
    cfmakeraw(&raw);
    REQUIRE(tcsetattr(fd, TCSANOW, &raw) == 0);
}

static void make_pty(int fds[2])
{
    REQUIRE(eddy_open_pty(NULL, &fds[0], &fds[1]) == 0);
    make_raw(fds[1]);
}

/* The client has the master, the peer the slave. */
static void open_both(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    make_pty(fds);
    REQUIRE(pipes_connect(&s->client, eddy_connect_terminal, fds[0]) == 0);
    REQUIRE(pipes_connect(&s->peer, eddy_connect_terminal, fds[1]) == 0);
    UNTIL(s, s->client.done && s->peer.done);
}

static void G28_a_new_pty_is_close_on_exec_and_its_master_non_blocking(void)
{
    int fds[2];
    CHECK_INT(eddy_open_pty(NULL, NULL, &fds[1]), -EINVAL);
    CHECK_INT(eddy_open_pty(NULL, &fds[0], NULL), -EINVAL);
    REQUIRE(eddy_open_pty(NULL, &fds[0], &fds[1]) == 0);
    CHECK(isatty(fds[1]));
    for (int i = 0; i < 2; i++)
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    CHECK_INT(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    CHECK_INT(tcgetpgrp(fds[1]), -1); /* it has become nobody's controlling terminal */
    close(fds[0]);
    close(fds[1]);
}

static void T3_the_size_of_the_window(void)
{
    struct eddy_window_size size = {0};
    int fds[2];
    REQUIRE(eddy_open_pty(&(struct eddy_window_size){.rows = 40, .cols = 100}, &fds[0], &fds[1]) ==
            0);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(eddy_get_window_size(fds[i], &size), 0);
        CHECK_INT(size.rows, 40);
        CHECK_INT(size.cols, 100);
    }
    CHECK_INT(eddy_set_window_size(fds[0], &(struct eddy_window_size){.rows = 5, .cols = 6}), 0);
    CHECK_INT(eddy_get_window_size(fds[1], &size), 0);
    CHECK_INT(size.rows, 5);
    CHECK_INT(size.cols, 6);
    CHECK_INT(eddy_set_window_size(fds[0], NULL), -EINVAL);
    CHECK_INT(eddy_get_window_size(fds[0], NULL), -EINVAL);
    close(fds[0]);
    close(fds[1]);
    CHECK_INT(eddy_set_window_size(fds[0], &size), -EBADF);
    int pair[2];
    test_socketpair(pair);
    CHECK_INT(eddy_get_window_size(pair[0], &size), -ENOTTY);
    close(pair[0]);
    close(pair[1]);
}

static void R1_T40_both_ways_through_a_pty(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    open_both(&s);
    CHECK_STR(eddy_transport_kind(s.client.t), "terminal");
    CHECK(!eddy_transport_can_write_eof(s.client.t));
    CHECK_INT(eddy_transport_write_eof(s.client.t), EDDY_ENOT_SUPPORTED);
    CHECK_INT(actor_write(&s.client, 100000), 0);
    CHECK_INT(actor_write(&s.peer, 100000), 0);
    UNTIL(&s, s.client.received == 100000 && s.peer.received == 100000);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -EIO); /* T46 */
    CHECK_INT(s.client.count[ON_EOF], 0);
    CHECK_INT(s.problems.count, 0);
    stage_close(&s);
}

static void T46_a_master_whose_slave_is_closed_has_its_bytes_and_then_eio(void)
{
    for (int both = 0; both < 2; both++) {
        struct stage s;
        int fds[2];
        stage_init(&s);
        pipes_begin(&s);
        make_pty(fds);
        REQUIRE(pipes_connect(&s.peer, both ? eddy_connect_terminal : eddy_connect_read_pipe,
                              fds[0]) == 0);
        UNTIL(&s, s.peer.done);
        pipes_put(fds[1], "bye", 3);
        close(fds[1]);
        UNTIL(&s, s.peer.count[ON_LOST] == 1);
        CHECK_TRACE(s.peer.trace, "CM RET DR(3) CL(EIO)");
        CHECK_INT(s.problems.count, 0);
        stage_close(&s);
    }
}

/* Its reader may be gone, and nobody asks: a slave can be opened again. */
static void T43_a_master_for_writing_is_not_watched(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    pipes_begin(&s);
    make_pty(fds);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[0]) == 0);
    UNTIL(&s, s.client.done);
    pipes_put(fds[1], "not for us", 10);
    CHECK(stage_is_quiet(&s));
    close(fds[1]);
    CHECK(stage_is_quiet(&s));
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static void T42_the_slave_hears_of_its_masters_end(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    pipes_begin(&s);
    make_pty(fds);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_terminal, fds[1]) == 0);
    UNTIL(&s, s.peer.done);
    close(fds[0]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET ER CL(0)");
    stage_close(&s);
}

static void keep_open(struct actor *a)
{
    a->keep_open = true;
}

/* ^D in the terminal's line mode: one end of file, after which it can still be written to. */
static void R21_T38_the_end_of_input_of_a_terminal(void)
{
    struct stage s;
    int fds[2];
    char got[16];
    stage_init(&s);
    pipes_begin(&s);
    s.peer.on[ON_EOF] = keep_open;
    REQUIRE(eddy_open_pty(NULL, &fds[0], &fds[1]) == 0);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_terminal, fds[1]) == 0);
    UNTIL(&s, s.peer.done);
    pipes_put(fds[0], "line\n\004", 6);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(5) ER");
    while (read(fds[0], got, sizeof got) > 0) { /* the echo */
    }
    CHECK_INT(eddy_transport_write(s.peer.t, "still here", 10), 0);
    CHECK_INT(read(fds[0], got, sizeof got), 10);
    CHECK(stage_is_quiet(&s));
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(5) ER CL(0)");
    close(fds[0]);
    stage_close(&s);
}

static void T20_T23_T26_backpressure_through_a_terminal(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    open_both(&s);
    size_t sent = actor_fill(&s.client);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.peer.received, 0);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == sent);
    CHECK_INT(s.client.count[ON_RESUME], 1);
    stage_close(&s);
}

/* What a shell would see of its terminal after us. */
static void T41_others_with_the_same_terminal_go_on_blocking(void)
{
#ifdef __linux__
    struct stage s;
    int fds[2];
    stage_init(&s);
    pipes_begin(&s);
    make_pty(fds);
    int shells = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_terminal, fds[1]) == 0);
    UNTIL(&s, s.peer.done);
    CHECK_INT(eddy_transport_fd(s.peer.t), fds[1]);
    CHECK(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    CHECK_INT(fcntl(shells, F_GETFL) & O_NONBLOCK, 0);
    pipes_put(fds[0], "typed", 5);
    UNTIL(&s, s.peer.received == 5);
    close(shells);
    close(fds[0]);
    stage_close(&s);
#endif
}

/* ... but not of a master, which would be another one's. */
static void T41_a_master_is_made_non_blocking_as_it_is(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    pipes_begin(&s);
    make_pty(fds);
    REQUIRE(fcntl(fds[0], F_SETFL, 0) == 0);
    REQUIRE(pipes_connect(&s.client, eddy_connect_terminal, fds[0]) == 0);
    UNTIL(&s, s.client.done);
    CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    pipes_put(fds[1], "same", 4);
    UNTIL(&s, s.client.received == 4);
    close(fds[1]);
    stage_close(&s);
}

/* ---- sockets both ways ---- */

static void T38_T40_a_socket_both_ways(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    stage_keyed(&s);
    pipes_begin(&s);
    s.peer.on[ON_EOF] = keep_open;
    test_socketpair(fds);
    REQUIRE(pipes_connect(&s.client, eddy_connect_terminal, fds[0]) == 0);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_terminal, fds[1]) == 0);
    UNTIL(&s, s.client.done && s.peer.done);
    CHECK_STR(eddy_transport_kind(s.client.t), "unix");
    CHECK_INT(actor_write(&s.client, 300000), 0);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK_INT(s.peer.received, 300000);
    CHECK_INT(actor_write(&s.peer, 1000), 0);
    eddy_transport_close(s.peer.t);
    pipes_until_both_lost(&s);
    CHECK_INT(s.client.received, 1000);
    CHECK_INT(s.client.code, 0);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void T1_T40_a_tcp_socket_both_ways(void)
{
    struct stage s;
    struct eddy_addr a;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    REQUIRE(pipes_connect(&s.client, eddy_connect_terminal, fd) == 0);
    UNTIL(&s, s.client.done);
    CHECK_STR(eddy_transport_kind(s.client.t), "tcp");
    CHECK_INT(eddy_transport_peername(s.client.t, &a), 0);
    CHECK_INT(eddy_addr_port(&a), s.port);
    CHECK_INT(eddy_transport_write(s.peer.t, "hello", 5), 0);
    UNTIL(&s, s.client.received == 5);
    eddy_transport_close(s.peer.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM RET DR(5) ER CL(0)");
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G28_a_new_pty_is_close_on_exec_and_its_master_non_blocking),
    CASE(T3_the_size_of_the_window),
    CASE(R1_T40_both_ways_through_a_pty),
    CASE(T46_a_master_whose_slave_is_closed_has_its_bytes_and_then_eio),
    CASE(T43_a_master_for_writing_is_not_watched),
    CASE(T42_the_slave_hears_of_its_masters_end),
    CASE(R21_T38_the_end_of_input_of_a_terminal),
    CASE(T20_T23_T26_backpressure_through_a_terminal),
    CASE(T41_others_with_the_same_terminal_go_on_blocking),
    CASE(T41_a_master_is_made_non_blocking_as_it_is),
    CASE(T38_T40_a_socket_both_ways),
    CASE(T1_T40_a_tcp_socket_both_ways),
    {NULL, NULL},
};
