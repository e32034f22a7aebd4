/* backends: select poll epoll io_uring sim sim-late */
/* Stream clients: contract S1 to S4, S13, S50, G28, G29. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void S1_G1_connects_to_a_numeric_address(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK(eddy_protocol_is_attached(&s.client.own.base));
    UNTIL(&s, s.client.done);
    CHECK_INT(s.client.status, 0);
    CHECK(s.client.t != NULL);
    stage_close(&s);
}

static void S2_S15_over_ipv6(void)
{
    struct stage s;
    struct eddy_addr a;
    stage_init(&s);
    s.server_opts.host = s.connection_opts.host = "::1";
    REQUIRE(test_loop_new(&s.loop) == 0);
    s.descriptors = stage_descriptors(&s);
    int err = eddy_create_server(s.loop, &actor_class, &s.server_opts, &s.server);
    if (err == 0) {
        s.port = eddy_server_port(s.server);
        CHECK_INT(actor_connect(&s.client), 0);
        UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
        CHECK_INT(eddy_transport_peername(s.client.t, &a), 0);
        CHECK_INT(a.u.sa.sa_family, AF_INET6);
    } else {
        CHECK(err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT); /* a machine without it */
    }
    stage_close(&s);
}

static void check_refused(struct stage *s, const struct eddy_connection_opts *opts, int code)
{
    struct eddy_error error = {.code = 0};
    s->connection_opts = *opts;
    s->connection_opts.error = &error;
    CHECK_INT(actor_connect(&s->client), code);
    CHECK(s->client.future == NULL);
    CHECK_INT(error.code, code);
    CHECK(error.text[0] != '\0');
    CHECK(!eddy_protocol_is_attached(&s->client.own.base));
}

static void S2_G3_G4_bad_options_are_refused(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int port = s.port;
    s.client.detached = true; /* any callback fails */
    check_refused(&s, EDDY_CONNECTION(.port = port), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "", .port = port), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = 65536), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = -1), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .family = AF_INET6),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "localhost", .port = -1), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "localhost", .port = port, .family = AF_UNIX),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "localhost", .port = port, .flags = 1 << 30),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .flags = 1 << 30),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .local_host = ""),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .local_port = 65536),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "localhost", .port = port, .local_port = -1),
                  -EINVAL);
    check_refused(&s,
                  EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .happy_eyeballs_delay = -2),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .interleave = -2),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .local_host = "::1"),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .timeout = -2), -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .linger = -2), -EINVAL);
    check_refused(
        &s, EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .write_low = 2, .write_high = 1),
        -EINVAL);
    check_refused(&s,
                  EDDY_CONNECTION(.host = "127.0.0.1", .port = port, .sock = 1, .use_sock = true),
                  -EINVAL);
    check_refused(&s, EDDY_CONNECTION(.sock = -1, .use_sock = true), -EINVAL);
    stage_settle(&s);
    s.client.detached = false;
    stage_close(&s);
}

static void G4_null_arguments_are_refused(void)
{
    struct stage s;
    struct eddy_protocol p;
    memset(&p, 0, sizeof p);
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.port = s.port;
    CHECK_INT(eddy_create_connection(s.loop, NULL, &s.connection_opts, NULL), -EINVAL);
    CHECK_INT(eddy_create_connection(s.loop, &p, &s.connection_opts, NULL), -EINVAL);
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(eddy_create_connection(NULL, &p, &s.connection_opts, NULL), -EINVAL);
    CHECK_INT(eddy_create_connection(s.loop, &p, NULL, NULL), -EINVAL);
    stage_close(&s);
}

static void S7_local_address(void)
{
    struct stage s;
    struct eddy_addr a;
    char text[EDDY_ADDR_TEXT];
    stage_init(&s);
    s.connection_opts.local_host = "127.0.0.3";
    stage_open(&s);
    CHECK_INT(eddy_transport_peername(s.peer.t, &a), 0);
    CHECK(strncmp(eddy_addr_format(&a, text, sizeof text), "127.0.0.3:", 10) == 0);
    stage_close(&s);
}

static void S7_a_local_address_in_use(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.local_host = "127.0.0.1";
    s.connection_opts.local_port = s.port; /* the server's */
    int err = actor_connect(&s.client);
    if (err == 0) {
        UNTIL(&s, s.client.done);
        err = s.client.status;
        CHECK_INT(s.client.count[ON_FAILED], 1);
        CHECK(strstr(s.client.error.text, " from 127.0.0.1:") != NULL); /* whose fault it was */
    }
    CHECK_INT(err, -EADDRINUSE);
    stage_close(&s);
}

/* ---- sockets made elsewhere ---- */

static void S4_G29_a_connected_socket_becomes_the_transports(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int before = stage_descriptors(&s);
    int fd = raw_connect(&s);
    s.connection_opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_TRACE(s.client.trace, ""); /* from the loop */
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_TRACE(s.client.trace, "CM RET");
    CHECK_INT(eddy_transport_fd(s.client.t), fd);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    UNTIL(&s, s.peer.count[ON_FINI] == 1 && stage_descriptors(&s) == before);
    stage_close(&s);
}

static void S4_G28_a_blocking_socket_is_made_non_blocking(void)
{
    struct stage s;
    if (test_is_sim())
        return; /* whose sockets cannot block */
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connect(&s);
    CHECK_INT(fcntl(fd, F_SETFL, 0), 0);
    CHECK_INT(fcntl(fd, F_SETFD, 0), 0);
    s.connection_opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    stage_close(&s);
}

/* It would block the loop: it is closed instead, as after any failure but of arguments. */
static void S4_G28_G29_a_socket_that_cannot_be_made_non_blocking(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    eddy_fd fds[2];
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(eddy_sim_pair(test_sim(s.loop), fds), 0);
        CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ADOPT, 1, -EPERM), 0);
        s.connection_opts = *EDDY_CONNECTION(.sock = fds[0], .use_sock = true);
        if (i == 0)
            CHECK_INT(actor_connect(&s.client), -EPERM);
        else
            CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                         EDDY_SERVER(.sock = fds[0], .use_sock = true), &server),
                      -EPERM);
        raw_close(&s, fds[1]);
    }
    stage_close(&s);
}

static void S4_a_unix_stream_socket(void)
{
    struct stage s;
    int fds[2];
    char got[3];
    if (test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    test_socketpair(fds);
    s.connection_opts = *EDDY_CONNECTION(.sock = fds[0], .use_sock = true);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    CHECK_INT(s.client.status, 0);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    CHECK_INT(raw_recv(&s, fds[1], got, 3), 3);
    CHECK_INT(raw_send(&s, fds[1], "defg", 4), 0);
    raw_close(&s, fds[1]);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET DR(4) ER CL(0)");
    stage_close(&s);
}

static void S2_S4_G29_sockets_that_will_not_do_stay_the_callers(void)
{
    struct stage s;
    struct eddy_error error = {.code = 0};
    if (test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    int fds[] = {
        socket(AF_INET, SOCK_DGRAM, 0), /* not a stream */
        open("/dev/null", O_RDONLY),    /* not a socket */
    };
    for (int i = 0; i < 2; i++) {
        s.connection_opts = *EDDY_CONNECTION(.sock = fds[i], .use_sock = true, .error = &error);
        CHECK_INT(actor_connect(&s.client), -EINVAL);
        CHECK(fcntl(fds[i], F_GETFD) >= 0);
        CHECK(error.text[0] != '\0');
    }
    int good = raw_connect(&s);
    s.connection_opts = *EDDY_CONNECTION(.sock = good, .use_sock = true, .host = "127.0.0.1");
    CHECK_INT(actor_connect(&s.client), -EINVAL);
    raw_close(&s, good);
    raw_close(&s, fds[0]);
    raw_close(&s, fds[1]);
    stage_close(&s);
}

static void S4_the_same_socket_twice(void)
{
    struct stage s;
    struct actor second;
    stage_init(&s);
    stage_add(&s, &second, false);
    stage_begin(&s);
    int fd = raw_connect(&s);
    s.connection_opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_INT(actor_connect(&second), EDDY_EFD_IN_USE);
    UNTIL(&s, s.client.done);
    CHECK_INT(s.client.status, 0);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    stage_close(&s);
}

static void G8_G29_after_unknown_options_the_socket_is_still_the_callers(void)
{
    struct {
        struct eddy_connection_opts opts;
        long more;
    } larger = {.more = 1};
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connect(&s);
    larger.opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true);
    larger.opts.abi_size = sizeof larger;
    eddy_protocol_init(&s.client.own.base, &actor_class);
    CHECK_INT(eddy_create_connection(s.loop, &s.client.own.base, &larger.opts, NULL), -E2BIG);
    raw_close(&s, fd);
    stage_close(&s);
}

static void G29_L17_on_a_closed_loop_the_socket_stays_the_callers(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    struct eddy_protocol p;
    struct eddy_server *server = NULL;
    if (test_is_sim())
        return; /* the raw socket would outlive its network */
    memset(&p, 0, sizeof p);
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    stage_settle(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == s.peer.count[ON_LOST]);
    CHECK_INT(eddy_loop_close(s.loop), 0);
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(eddy_create_connection(s.loop, &p, EDDY_CONNECTION(.sock = fd, .use_sock = true), &f),
              EDDY_ELOOP_CLOSED);
    CHECK_INT(
        eddy_create_connection(s.loop, &p, EDDY_CONNECTION(.host = "127.0.0.1", .port = 1), &f),
        EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_connect_accepted_socket(s.loop, &p, fd, NULL, &f), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_create_server(s.loop, &actor_class, EDDY_SERVER(.host = "127.0.0.1"), &server),
              EDDY_ELOOP_CLOSED);
    CHECK(f == NULL && server == NULL);
    raw_close(&s, fd);
    test_loop_free(s.loop);
}

static void S50_an_accepted_socket(void)
{
    struct stage s;
    int port;
    stage_init(&s);
    stage_begin(&s);
    int listener = raw_listen(&s, 5, &port);
    int serving = s.port;
    s.port = port;
    int client = raw_connecting(&s);
    s.port = serving;
    int fd = raw_accept(&s, listener);
    struct eddy_future *f = NULL;
    eddy_protocol_init(&s.client.own.base, &actor_class);
    CHECK_INT(eddy_connect_accepted_socket(s.loop, &s.client.own.base, fd, NULL, &f), 0);
    s.client.p = &s.client.own.base;
    s.client.state = ACTOR_CONNECTING;
    s.client.attachments = 1;
    CHECK_TRACE(s.client.trace, "");
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_TRACE(s.client.trace, "CM");
    CHECK_INT(eddy_future_result(f, NULL), 0);
    eddy_future_unref(f);
    CHECK_INT(eddy_server_connections(s.server), 0); /* no server counts it */
    CHECK_INT(raw_send(&s, client, "abc", 3), 0);
    UNTIL(&s, s.client.received == 3);
    raw_close(&s, client);
    raw_close(&s, listener);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM DR(3) ER CL(0)");
    stage_close(&s);
}

static void S50_options_of_an_accepted_socket(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    size_t low, high;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connect(&s);
    eddy_protocol_init(&s.client.own.base, &actor_class);
    CHECK_INT(eddy_connect_accepted_socket(s.loop, &s.client.own.base, -1, NULL, &f), -EINVAL);
    CHECK_INT(eddy_connect_accepted_socket(s.loop, &s.client.own.base, fd,
                                           EDDY_CONNECTION(.write_high = 400), &f),
              0);
    s.client.p = &s.client.own.base;
    s.client.state = ACTOR_CONNECTING;
    s.client.attachments = 1;
    UNTIL(&s, eddy_future_is_done(f));
    eddy_future_unref(f);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 100);
    CHECK_INT(high, 400);
    stage_close(&s);
}

/* ---- cancelling ---- */

static void S13_R7_cancelled_before_it_is_connected(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK(eddy_future_cancel(s.client.future, "not any more"));
    CHECK_INT(s.client.count[ON_FAILED], 0);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    CHECK_INT(s.client.count[ON_FAILED], 1);
    CHECK_INT(s.client.code, -ECANCELED);
    CHECK_INT(s.client.status, -ECANCELED);
    CHECK_INT(s.client.count[ON_MADE], 0);
    UNTIL(&s, s.peer.count[ON_MADE] == s.peer.count[ON_LOST]);
    stage_close(&s);
}

static void cancel_own_future(struct actor *a)
{
    CHECK(eddy_future_cancel(a->future, NULL));
}

static void S13_cancelled_in_connection_made(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = cancel_own_future;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.status, -ECANCELED);
    CHECK_INT(s.client.count[ON_FAILED], 0);
    CHECK_INT(s.client.count[ON_LOST], 1);
    CHECK_INT(s.client.code, 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void S13_the_future_dropped_unfinished_changes_nothing(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.port = s.port;
    eddy_protocol_init(&s.client.own.base, &actor_class);
    CHECK_INT(eddy_create_connection(s.loop, &s.client.own.base, &s.connection_opts, &f), 0);
    eddy_future_unref(f);
    s.client.p = &s.client.own.base;
    s.client.state = ACTOR_CONNECTING;
    s.client.attachments = 1;
    UNTIL(&s, s.client.count[ON_MADE] == 1 && s.peer.count[ON_MADE] == 1);
    stage_close(&s);
}

/* ---- failing ---- */

static void R7_S8_refused(void)
{
    struct stage s;
    char where[64];
    stage_init(&s);
    stage_begin(&s);
    stage_refuse(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.code, -ECONNREFUSED);
    CHECK_INT(s.client.status, -ECONNREFUSED);
    snprintf(where, sizeof where, "127.0.0.1:%d", s.connection_opts.port);
    CHECK(strstr(s.client.error.text, where) != NULL);
    stage_close(&s);
}

static void set_host(struct stage *s, enum eddy_sim_host behaviour)
{
    struct eddy_addr a;
    CHECK_INT(eddy_addr_parse("192.0.2.7", 80, &a), 0);
    CHECK_INT(eddy_sim_set_host(test_sim(s->loop), &a, behaviour), 0);
    s->connection_opts.host = "192.0.2.7";
    s->connection_opts.port = 80;
}

static void S1_time_out_of_connecting(void)
{
    struct stage s;
    if (!test_is_sim())
        return; /* no address on loopback is silent */
    stage_init(&s);
    s.connection_opts.timeout = EDDY_SEC(3);
    stage_begin(&s);
    set_host(&s, EDDY_SIM_SILENT);
    eddy_nsec begin = eddy_loop_time(s.loop);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    CHECK_INT(s.client.status, -ETIMEDOUT);
    CHECK(strstr(s.client.error.text, "192.0.2.7:80") != NULL);
    eddy_nsec took = eddy_loop_time(s.loop) - begin;
    CHECK(took >= EDDY_SEC(3) && took < EDDY_MSEC(3100));
    stage_close(&s);
}

static void S1_the_systems_time_out_without_one(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.connection_opts.timeout = EDDY_OFF;
    stage_begin(&s);
    set_host(&s, EDDY_SIM_SILENT);
    eddy_nsec begin = eddy_loop_time(s.loop);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.code, -ETIMEDOUT);
    CHECK(eddy_loop_time(s.loop) - begin >= EDDY_SEC(100));
    stage_close(&s);
}

static void S1_an_unreachable_host(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    set_host(&s, EDDY_SIM_UNREACHABLE);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(EHOSTUNREACH) RET(EHOSTUNREACH)");
    stage_close(&s);
}

static void S13_cancelled_while_the_host_is_silent(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    set_host(&s, EDDY_SIM_SILENT);
    CHECK_INT(actor_connect(&s.client), 0);
    stage_run_for(&s, EDDY_SEC(1));
    CHECK(eddy_future_cancel(s.client.future, NULL));
    eddy_nsec begin = eddy_loop_time(s.loop);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    CHECK_INT(s.client.code, -ECANCELED);
    CHECK(eddy_loop_time(s.loop) - begin < EDDY_SEC(1));
    stage_close(&s);
}

/* ---- what connections are born with ---- */

static void G28_descriptors_are_close_on_exec_and_non_blocking(void)
{
    struct stage s;
    if (test_is_sim())
        return;
    stage_init(&s);
    stage_open(&s);
    int fds[] = {eddy_transport_fd(s.client.t), eddy_transport_fd(s.peer.t),
                 eddy_server_fd(s.server, 0)};
    for (int i = 0; i < 3; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    stage_close(&s);
}

static void check_keep_alive(struct stage *s)
{
    int on = 0;
    int fd = eddy_transport_fd(s->client.t);
    CHECK_INT(s->sys->cls->getsockopt(s->sys, fd, SOL_SOCKET, SO_KEEPALIVE, &on), 0);
    CHECK(on != 0);
}

static void S20_keep_alive(void)
{
    struct stage s;
    stage_init(&s);
    s.connection_opts.keep_alive = true;
    stage_open(&s);
    check_keep_alive(&s);
    stage_close(&s);
}

static void S4_S20_keep_alive_of_a_socket_made_elsewhere(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connect(&s);
    s.connection_opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true, .keep_alive = true);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    check_keep_alive(&s);
    stage_close(&s);
}

static void S1_an_echo_to_oneself_a_hundred_times(void)
{
    struct stage s;
    stage_init(&s);
    s.client.out_key = s.client.in_key = 4;
    s.peer.on[ON_DATA] = do_echo;
    stage_open(&s);
    for (int i = 1; i <= 100; i++) {
        CHECK_INT(actor_write(&s.client, 64), 0);
        UNTIL(&s, s.client.received == (size_t)i * 64);
    }
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(S1_G1_connects_to_a_numeric_address),
    CASE(S2_S15_over_ipv6),
    CASE(S2_G3_G4_bad_options_are_refused),
    CASE(G4_null_arguments_are_refused),
    CASE(S7_local_address),
    CASE(S7_a_local_address_in_use),
    CASE(S4_G29_a_connected_socket_becomes_the_transports),
    CASE(S4_G28_a_blocking_socket_is_made_non_blocking),
    CASE(S4_G28_G29_a_socket_that_cannot_be_made_non_blocking),
    CASE(S4_a_unix_stream_socket),
    CASE(S2_S4_G29_sockets_that_will_not_do_stay_the_callers),
    CASE(S4_the_same_socket_twice),
    CASE(G8_G29_after_unknown_options_the_socket_is_still_the_callers),
    CASE(G29_L17_on_a_closed_loop_the_socket_stays_the_callers),
    CASE(S50_an_accepted_socket),
    CASE(S50_options_of_an_accepted_socket),
    CASE(S13_R7_cancelled_before_it_is_connected),
    CASE(S13_cancelled_in_connection_made),
    CASE(S13_the_future_dropped_unfinished_changes_nothing),
    CASE(R7_S8_refused),
    CASE(S1_time_out_of_connecting),
    CASE(S1_the_systems_time_out_without_one),
    CASE(S1_an_unreachable_host),
    CASE(S13_cancelled_while_the_host_is_silent),
    CASE(G28_descriptors_are_close_on_exec_and_non_blocking),
    CASE(S20_keep_alive),
    CASE(S4_S20_keep_alive_of_a_socket_made_elsewhere),
    CASE(S1_an_echo_to_oneself_a_hundred_times),
    {NULL, NULL},
};
