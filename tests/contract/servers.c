/* backends: select poll epoll sim sim-late */
/* Servers: contract S16 to S39, S53. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <stdio.h>
#include <string.h>

static int connect_result(struct stage *s)
{
    struct eddy_addr to;
    int fd = s->sys->cls->socket(s->sys, AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", s->port, &to), 0);
    int err = s->sys->cls->connect(s->sys, fd, &to);
    if (err == -EINPROGRESS) {
        struct eddy_addr peer;
        for (eddy_nsec end = stage_patience(s); stage_step(s, end);) {
            err = s->sys->cls->error(s->sys, fd);
            if (err < 0 || s->sys->cls->peername(s->sys, fd, &peer) == 0)
                break;
        }
    }
    s->sys->cls->close(s->sys, fd);
    return err;
}

/* ---- making one ---- */

static void S16_S31_S32_S38_listening_when_the_call_returns(void)
{
    struct stage s;
    struct eddy_addr a;
    stage_init(&s);
    stage_begin(&s);
    CHECK(eddy_server_is_serving(s.server));
    CHECK(eddy_server_loop(s.server) == s.loop);
    CHECK_INT(eddy_server_sockname(s.server, 0, &a), 0);
    CHECK_INT(eddy_addr_port(&a), s.port);
    CHECK_INT(eddy_server_sockname(s.server, 1, &a), -EINVAL);
    CHECK(eddy_server_fd(s.server, 0) >= 0);
    CHECK_INT(eddy_server_fd(s.server, 1), -1);
    CHECK_INT(connect_result(&s), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void check_refused(struct stage *s, const struct eddy_server_opts *opts, int code)
{
    struct eddy_server *server = NULL;
    struct eddy_error error = {.code = 0};
    struct eddy_server_opts all = *opts;
    all.arg = s;
    all.error = &error;
    CHECK_INT(eddy_create_server(s->loop, &actor_class, &all, &server), code);
    CHECK(server == NULL);
    CHECK_INT(error.code, code);
    CHECK(error.text[0] != '\0');
}

static void S17_G3_G4_bad_options_are_refused(void)
{
    static const char *const mixed[] = {"127.0.0.1", "localhost", NULL};
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    check_refused(&s, EDDY_SERVER(.host = "example.org"), -EINVAL);
    check_refused(&s, EDDY_SERVER(.hosts = mixed), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .port = 65536), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .port = -1), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .family = AF_INET6), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .family = AF_UNIX), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .backlog = -1), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .idle_timeout = -2), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .write_low = 2, .write_high = 1), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .sock = 5, .use_sock = true), -EINVAL);
    check_refused(&s, EDDY_SERVER(.sock = -1, .use_sock = true), -EINVAL);
    CHECK_INT(eddy_create_server(s.loop, &actor_class, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_create_server(NULL, &actor_class, &s.server_opts, NULL), -EINVAL);
    stage_close(&s);
}

static void G8_an_unknown_tail_of_options(void)
{
    struct {
        struct eddy_server_opts opts;
        long more;
    } larger = {.opts = *EDDY_SERVER(.host = "127.0.0.1"), .more = 1};
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    stage_begin(&s);
    larger.opts.abi_size = sizeof larger;
    CHECK_INT(eddy_create_server(s.loop, &actor_class, &larger.opts, &server), -E2BIG);
    larger.more = 0;
    REQUIRE(eddy_create_server(s.loop, &actor_class, &larger.opts, &server) == 0);
    eddy_server_close(server);
    eddy_server_unref(server);
    larger.opts.abi_size = 0;
    CHECK_INT(eddy_create_server(s.loop, &actor_class, &larger.opts, &server), -EINVAL);
    stage_close(&s);
}

/* Where there is no IPv6 this case shows what is left without it. */
static bool has_ipv6(struct stage *s)
{
    struct eddy_addr a;
    int fd = s->sys->cls->socket(s->sys, AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    CHECK_INT(eddy_addr_parse("::1", 0, &a), 0);
    int err = s->sys->cls->bind(s->sys, fd, &a);
    s->sys->cls->close(s->sys, fd);
    return err == 0;
}

static unsigned count_addresses(const struct eddy_server *server)
{
    struct eddy_addr a;
    unsigned n = 0;
    while (eddy_server_sockname(server, n, &a) == 0)
        n++;
    return n;
}

static void S18_several_hosts_each_on_a_port_of_its_own(void)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "127.0.0.1", NULL};
    static const char *const only[] = {"127.0.0.1", "127.0.0.1", NULL};
    struct stage s;
    struct eddy_addr a, b;
    stage_init(&s);
    stage_begin(&s);
    struct eddy_server *server = NULL;
    bool six = has_ipv6(&s);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.hosts = six ? hosts : only, .arg = &s), &server),
              0);
    REQUIRE(server != NULL);
    CHECK_INT(count_addresses(server), six ? 2 : 1); /* the duplicate is bound once */
    CHECK_INT(eddy_server_sockname(server, 0, &a), 0);
    CHECK(eddy_addr_port(&a) > 0);
    CHECK_INT(eddy_server_port(server), eddy_addr_port(&a));
    if (six) {
        CHECK_INT(eddy_server_sockname(server, 1, &b), 0);
        CHECK(eddy_addr_port(&b) > 0);
        CHECK_INT(b.u.sa.sa_family, AF_INET6);
    }
    eddy_server_close(server);
    CHECK_INT(count_addresses(server), 0);
    eddy_server_unref(server);
    stage_close(&s);
}

static void all_interfaces(const char *host)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.host = host;
    stage_begin(&s);
    unsigned n = count_addresses(s.server);
    CHECK_INT(n, has_ipv6(&s) ? 2 : 1);
    for (unsigned i = 0; i < n; i++) {
        struct eddy_addr a;
        CHECK_INT(eddy_server_sockname(s.server, i, &a), 0);
        if (a.u.sa.sa_family == AF_INET)
            s.port = eddy_addr_port(&a);
        else
            CHECK(test_is_sim() || eddy_addr_port(&a) > 0);
    }
    CHECK_INT(connect_result(&s), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void S18_no_host_means_all_interfaces(void)
{
    all_interfaces(NULL);
    all_interfaces("");
}

static void S18_family_limits_all_interfaces(void)
{
    struct stage s;
    struct eddy_addr a;
    stage_init(&s);
    s.server_opts.host = NULL;
    s.server_opts.family = AF_INET;
    stage_begin(&s);
    CHECK_INT(count_addresses(s.server), 1);
    CHECK_INT(eddy_server_sockname(s.server, 0, &a), 0);
    CHECK_INT(a.u.sa.sa_family, AF_INET);
    stage_close(&s);
}

/* A server on a port that was free a moment ago: somebody else may have been faster. */
static struct eddy_server *create_on_port(struct stage *s, const char *const *hosts, int port)
{
    struct eddy_server *server = NULL;
    int err = eddy_create_server(s->loop, &actor_class,
                                 EDDY_SERVER(.hosts = hosts, .port = port, .arg = s), &server);
    CHECK(err == 0 || err == -EADDRINUSE);
    return server;
}

/* Closes the stage's server and takes over its port, or that of another one. */
static struct eddy_server *take_over(struct stage *s, const char *const *hosts)
{
    struct eddy_server *server = NULL;
    for (int i = 0; i < 20 && server == NULL; i++) {
        eddy_server_close(s->server);
        stage_settle(s);
        server = create_on_port(s, hosts, s->port);
        if (server == NULL) {
            eddy_server_unref(s->server);
            CHECK_INT(eddy_create_server(s->loop, &actor_class, &s->server_opts, &s->server), 0);
            s->port = eddy_server_port(s->server);
        }
    }
    REQUIRE(server != NULL);
    CHECK_INT(eddy_server_port(server), s->port);
    return server;
}

/* The same port on both families: IPv6 sockets take IPv6 only. */
static void S19_dual_stack_on_one_port(void)
{
    static const char *const both[] = {"127.0.0.1", "::1", NULL};
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    if (has_ipv6(&s)) {
        struct eddy_server *server = take_over(&s, both);
        CHECK_INT(count_addresses(server), 2);
        eddy_server_close(server);
        eddy_server_unref(server);
    }
    stage_close(&s);
}

static void S22_a_port_in_use(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    struct eddy_error error = {.code = 0};
    char port[20];
    stage_init(&s);
    stage_begin(&s);
    int before = test_open_descriptors();
    CHECK_INT(eddy_create_server(
                  s.loop, &actor_class,
                  EDDY_SERVER(.host = "127.0.0.1", .port = s.port, .arg = &s, .error = &error),
                  &server),
              -EADDRINUSE);
    CHECK_INT(test_open_descriptors(), before);
    CHECK_INT(error.code, -EADDRINUSE);
    snprintf(port, sizeof port, "127.0.0.1:%d", s.port);
    CHECK(strstr(error.text, "error while attempting to bind on address") != NULL);
    CHECK(strstr(error.text, port) != NULL);
    stage_close(&s);
}

static void S22_a_later_address_in_use_closes_the_earlier_ones(void)
{
    static const char *const hosts[] = {"127.0.0.2", "127.0.0.1", NULL};
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.hosts = hosts, .port = s.port, .arg = &s), &server),
              -EADDRINUSE);
    /* 127.0.0.2 is free again */
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.host = "127.0.0.2", .port = s.port, .arg = &s),
                                 &server),
              0);
    eddy_server_close(server);
    eddy_server_unref(server);
    stage_close(&s);
}

static void S22_an_address_that_is_not_ours_is_skipped(void)
{
    static const char *const hosts[] = {"192.0.2.1", "127.0.0.1", NULL};
    struct stage s;
    struct eddy_server *server = NULL;
    struct eddy_error error = {.code = 0};
    if (test_is_sim())
        return; /* whose host has every address */
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(
        eddy_create_server(s.loop, &actor_class, EDDY_SERVER(.hosts = hosts, .arg = &s), &server),
        0);
    REQUIRE(server != NULL);
    CHECK_INT(count_addresses(server), 1);
    eddy_server_close(server);
    eddy_server_unref(server);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.host = "192.0.2.1", .arg = &s, .error = &error),
                                 &server),
              -EADDRNOTAVAIL);
    CHECK(strstr(error.text, "could not bind on any address") != NULL);
    stage_close(&s);
}

static void S21_a_family_that_the_system_lacks_is_skipped(void)
{
    struct stage s;
    struct eddy_addr a;
    struct eddy_server *server = NULL;
    if (!test_is_sim())
        return; /* this system has both */
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_SOCKET, 1, -EAFNOSUPPORT), 0);
    CHECK_INT(
        eddy_create_server(s.loop, &actor_class, EDDY_SERVER(.host = NULL, .arg = &s), &server), 0);
    REQUIRE(server != NULL);
    CHECK_INT(count_addresses(server), 1);
    CHECK_INT(eddy_server_sockname(server, 0, &a), 0);
    CHECK_INT(a.u.sa.sa_family, AF_INET);
    eddy_server_close(server);
    eddy_server_unref(server);
    stage_close(&s);
}

static void S20_reuse_port(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    s.server_opts.reuse_port = true;
    stage_begin(&s);
    if (!test_is_sim()) {
        CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                     EDDY_SERVER(.host = "127.0.0.1", .port = s.port,
                                                 .reuse_port = true, .arg = &s),
                                     &server),
                  0);
        CHECK_INT(eddy_server_port(server), s.port);
        eddy_server_close(server);
        eddy_server_unref(server);
    }
    stage_close(&s);
}

static int option(struct stage *s, int fd, int level, int name)
{
    int value = -1;
    CHECK_INT(s->sys->cls->getsockopt(s->sys, fd, level, name, &value), 0);
    return value;
}

static void S20_T36_socket_options(void)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.keep_alive = true;
    stage_open(&s);
    int listener = eddy_server_fd(s.server, 0);
    int fd = eddy_transport_fd(s.peer.t);
    CHECK(option(&s, listener, SOL_SOCKET, SO_REUSEADDR) != 0);
    CHECK(option(&s, fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK(option(&s, fd, IPPROTO_TCP, 1 /* TCP_NODELAY */) != 0);
    CHECK_INT(option(&s, eddy_transport_fd(s.client.t), SOL_SOCKET, SO_KEEPALIVE), 0);
    stage_close(&s);
}

static void S20_no_reuse_address(void)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.no_reuse_address = true;
    stage_begin(&s);
    CHECK_INT(option(&s, eddy_server_fd(s.server, 0), SOL_SOCKET, SO_REUSEADDR), 0);
    stage_close(&s);
}

static void S23_S32_not_serving_until_start_serving(void)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.not_serving = true;
    stage_begin(&s);
    CHECK(!eddy_server_is_serving(s.server));
    CHECK_INT(connect_result(&s), -ECONNREFUSED);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(eddy_server_start_serving(s.server), 0);
        CHECK(eddy_server_is_serving(s.server));
    }
    CHECK_INT(connect_result(&s), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    eddy_server_close(s.server);
    CHECK(!eddy_server_is_serving(s.server));
    CHECK_INT(eddy_server_start_serving(s.server), EDDY_ECLOSED);
    stage_close(&s);
}

static int bound_socket(struct stage *s)
{
    struct eddy_addr a;
    int fd = s->sys->cls->socket(s->sys, AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, &a), 0);
    CHECK_INT(s->sys->cls->bind(s->sys, fd, &a), 0);
    return fd;
}

static void S24_G29_a_bound_socket_becomes_the_servers(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    stage_begin(&s);
    int before = stage_descriptors(&s);
    int fd = bound_socket(&s);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.sock = fd, .use_sock = true, .arg = &s), &server),
              0);
    REQUIRE(server != NULL);
    CHECK_INT(eddy_server_fd(server, 0), fd);
    s.port = eddy_server_port(server);
    CHECK_INT(connect_result(&s), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    eddy_server_close(server);
    UNTIL(&s, stage_descriptors(&s) == before);
    eddy_server_unref(server);
    stage_close(&s);
}

static void S24_G29_a_socket_refused_is_still_the_callers(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    stage_begin(&s);
    int fd = bound_socket(&s);
    CHECK_INT(eddy_create_server(
                  s.loop, &actor_class,
                  EDDY_SERVER(.sock = fd, .use_sock = true, .host = "127.0.0.1", .arg = &s),
                  &server),
              -EINVAL);
    CHECK_INT(eddy_create_server(s.loop, NULL, EDDY_SERVER(.sock = fd, .use_sock = true), &server),
              -EINVAL);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S17_a_datagram_socket_is_refused(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    if (test_is_sim())
        return; /* which has none */
    stage_init(&s);
    stage_begin(&s);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.sock = fd, .use_sock = true, .arg = &s), &server),
              -EINVAL);
    raw_close(&s, fd);
    stage_close(&s);
}

/* ---- accepting ---- */

static void S26_accepted_from_the_loop(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    CHECK_INT(eddy_server_start_serving(s.server), 0);
    CHECK_INT(eddy_server_connections(s.server), 0);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.peer.count[ON_INIT], 1);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S25_many_connections_in_one_go(void)
{
    enum { MANY = 20 };
    struct stage s;
    struct actor guests[MANY - 1];
    int fds[MANY];
    int iterations = 0;
    stage_init(&s);
    for (int i = 0; i < MANY - 1; i++)
        stage_add(&s, &guests[i], true);
    stage_begin(&s);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connecting(&s);
    for (eddy_nsec end = stage_patience(&s);
         eddy_server_connections(s.server) < MANY && stage_step(&s, end);)
        iterations += eddy_server_connections(s.server) > 0;
    UNTIL(&s, guests[MANY - 2].count[ON_MADE] == 1);
    if (!stage_is_late())
        CHECK(iterations <= 2);
    for (int i = 0; i < MANY; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void close_server(struct actor *a)
{
    eddy_server_close(a->stage->server);
}

/* Three wait in the backlog; the first one's init or connection_made closes the server. */
static void closed_while_accepting(enum slot slot)
{
    struct stage s;
    struct actor second, third;
    int fds[3];
    stage_init(&s);
    stage_add(&s, &second, true);
    stage_add(&s, &third, true);
    s.peer.on[slot] = close_server;
    stage_begin(&s);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_connecting(&s);
    UNTIL(&s, s.peer.count[slot] == 1);
    CHECK(!eddy_server_is_serving(s.server));
    stage_settle(&s);
    if (slot == ON_INIT) {
        CHECK_INT(second.count[ON_INIT], 0);
        CHECK_INT(third.count[ON_INIT], 0);
    }
    CHECK_INT(second.count[ON_INIT], second.count[ON_MADE]);
    for (int i = 0; i < 3; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void S30_S39_closed_in_init(void)
{
    closed_while_accepting(ON_INIT);
}

static void S39_closed_in_connection_made(void)
{
    closed_while_accepting(ON_MADE);
}

static void S30_no_factory_call_after_close(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    eddy_server_close(s.server);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void max_connections(unsigned limit)
{
    struct stage s;
    struct actor second, third;
    int fds[3];
    stage_init(&s);
    stage_add(&s, &second, true);
    stage_add(&s, &third, true);
    s.server_opts.max_connections = limit;
    stage_begin(&s);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_connect(&s);
    UNTIL(&s, eddy_server_connections(s.server) == limit);
    stage_settle(&s);
    CHECK_INT(eddy_server_connections(s.server), limit);
    CHECK_INT(s.guest_next, limit);
    for (int i = 0; i < 3; i++) {
        raw_close(&s, fds[i]);
        UNTIL(&s, s.guests[i]->count[ON_FINI] == 1);
    }
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    CHECK_INT(s.guest_next, 3);
    stage_close(&s);
}

static void S53_at_the_limit_others_wait(void)
{
    max_connections(1);
    max_connections(2);
}

/* ---- the end ---- */

static void S33_close_leaves_connections_alone(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    struct eddy_addr a;
    for (int i = 0; i < 2; i++)
        eddy_server_close(s.server);
    stage_settle(&s);
    if (test_is_sim()) /* elsewhere the port may be another's by now */
        CHECK_INT(connect_result(&s), -ECONNREFUSED);
    CHECK_INT(eddy_server_sockname(s.server, 0, &a), EDDY_ECLOSED);
    CHECK_INT(eddy_server_fd(s.server, 0), -1);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    CHECK_INT(eddy_server_connections(s.server), 1);
    stage_close(&s);
}

static void S33_the_port_is_free_after_close(void)
{
    static const char *const host[] = {"127.0.0.1", NULL};
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    struct eddy_server *server = take_over(&s, host);
    eddy_server_close(server);
    eddy_server_unref(server);
    stage_close(&s);
}

static void S35_wait_closed_in_either_order(void)
{
    struct stage s;
    struct eddy_future *before = NULL, *between = NULL, *after = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_wait_closed(s.server, &before), 0);
    stage_settle(&s);
    CHECK(!eddy_future_is_done(before));
    eddy_server_close(s.server);
    CHECK_INT(eddy_server_wait_closed(s.server, &between), 0);
    stage_settle(&s);
    CHECK(!eddy_future_is_done(before) && !eddy_future_is_done(between));
    eddy_transport_close(s.client.t);
    UNTIL(&s, eddy_future_is_done(before) && eddy_future_is_done(between));
    CHECK_INT(s.peer.count[ON_LOST], 1);
    CHECK_INT(eddy_server_wait_closed(s.server, &after), 0);
    UNTIL(&s, eddy_future_is_done(after));
    CHECK_INT(eddy_future_result(before, NULL), 0);
    CHECK_INT(eddy_future_result(between, NULL), 0);
    CHECK_INT(eddy_future_result(after, NULL), 0);
    eddy_future_unref(before);
    eddy_future_unref(between);
    eddy_future_unref(after);
    stage_close(&s);
}

static void S35_wait_closed_when_connections_end_first(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_wait_closed(s.server, &f), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_settle(&s);
    CHECK(!eddy_future_is_done(f));
    eddy_server_close(s.server);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_INT(eddy_future_result(f, NULL), 0);
    eddy_future_unref(f);
    stage_close(&s);
}

static void S35_a_cancelled_waiter_changes_nothing(void)
{
    struct stage s;
    struct eddy_future *f = NULL, *g = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_wait_closed(s.server, &f), 0);
    CHECK_INT(eddy_server_wait_closed(s.server, &g), 0);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    CHECK(eddy_server_is_serving(s.server));
    eddy_server_close(s.server);
    eddy_transport_close(s.client.t);
    UNTIL(&s, eddy_future_is_done(g));
    eddy_future_unref(g);
    stage_close(&s);
}

static void S36_serve_forever_ends_with_close(void)
{
    struct stage s;
    struct eddy_future *f = NULL, *again = NULL;
    stage_init(&s);
    s.server_opts.not_serving = true;
    stage_begin(&s);
    CHECK_INT(eddy_server_serve_forever(s.server, &f), 0);
    CHECK(eddy_server_is_serving(s.server));
    CHECK_INT(eddy_server_serve_forever(s.server, &again), EDDY_EINVALID_STATE);
    CHECK(again == NULL);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    eddy_server_close(s.server);
    stage_settle(&s);
    CHECK(!eddy_future_is_done(f));
    eddy_transport_close(s.client.t);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_INT(eddy_future_result(f, NULL), -ECANCELED);
    CHECK_INT(eddy_server_serve_forever(s.server, &again), EDDY_ECLOSED);
    eddy_future_unref(f);
    stage_close(&s);
}

static void S36_cancelling_serve_forever_closes_the_server(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_serve_forever(s.server, &f), 0);
    CHECK(eddy_future_cancel(f, "enough"));
    CHECK(!eddy_server_is_serving(s.server));
    CHECK_INT(eddy_future_result(f, NULL), -ECANCELED);
    eddy_future_unref(f);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    stage_close(&s);
}

static void clients_end(void (*end)(struct eddy_server *s), int code)
{
    struct stage s;
    struct actor guests[2], clients[2];
    stage_init(&s);
    for (int i = 0; i < 2; i++) {
        stage_add(&s, &guests[i], true);
        stage_add(&s, &clients[i], false);
    }
    stage_open(&s);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(actor_connect(&clients[i]), 0);
        UNTIL(&s, clients[i].done && guests[i].count[ON_MADE] == 1);
    }
    CHECK_INT(eddy_server_connections(s.server), 3);
    end(s.server);
    CHECK_INT(s.peer.count[ON_LOST], 0); /* from the loop */
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    CHECK_INT(s.peer.code, code);
    CHECK_INT(guests[1].code, code);
    CHECK(eddy_server_is_serving(s.server));
    UNTIL(&s, s.client.count[ON_LOST] == 1 && clients[1].count[ON_LOST] == 1);
    stage_close(&s);
}

static void abort_with_eproto(struct eddy_server *s)
{
    eddy_server_abort_clients(s, EDDY_ERROR(-EPROTO, "all of you"));
}

static void S37_close_clients(void)
{
    clients_end(eddy_server_close_clients, 0);
}

static void S37_abort_clients(void)
{
    clients_end(abort_with_eproto, -EPROTO);
}

static void abort_all_others(struct actor *a)
{
    eddy_server_abort_clients(a->stage->server, NULL);
    eddy_server_close_clients(a->stage->server);
}

/* Each connection's end calls for the end of all: the set changes under the calls. */
static void S37_S39_called_from_callbacks(void)
{
    struct stage s;
    struct actor guests[3];
    int fds[4];
    stage_init(&s);
    s.peer.on[ON_DATA] = s.peer.on[ON_LOST] = abort_all_others;
    for (int i = 0; i < 3; i++) {
        stage_add(&s, &guests[i], true);
        guests[i].on[ON_LOST] = abort_all_others;
    }
    stage_begin(&s);
    for (int i = 0; i < 4; i++)
        fds[i] = raw_connect(&s);
    UNTIL(&s, eddy_server_connections(s.server) == 4);
    CHECK_INT(raw_send(&s, fds[0], "x", 1), 0);
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    for (int i = 0; i < 4; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

/* ---- drain ---- */

static void S53_drain_asks_each_connection(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_drain(s.server, EDDY_FOREVER, &f), 0);
    CHECK(!eddy_server_is_serving(s.server));
    UNTIL(&s, s.peer.count[ON_SHUTDOWN] == 1);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM SR");
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(eddy_transport_write(s.peer.t, "last words", 10), 0);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_INT(eddy_future_result(f, NULL), 0);
    UNTIL(&s, s.client.received == 10);
    CHECK_INT(s.peer.code, 0);
    eddy_future_unref(f);
    stage_close(&s);
}

static void S53_without_shutdown_requested_they_close_when_written_out(void)
{
    static struct eddy_protocol_class cls;
    struct stage s;
    struct eddy_future *f = NULL;
    cls = actor_class;
    cls.shutdown_requested = NULL;
    stage_init(&s);
    stage_keyed(&s);
    s.server_class = &cls;
    s.client.on[ON_MADE] = do_pause;
    stage_open(&s);
    size_t len = actor_fill(&s.peer);
    CHECK_INT(eddy_server_drain(s.server, EDDY_FOREVER, &f), 0);
    stage_settle(&s);
    CHECK(!eddy_future_is_done(f));
    eddy_transport_resume_reading(s.client.t);
    UNTIL(&s, eddy_future_is_done(f) && s.client.received == len);
    CHECK_INT(s.peer.code, 0);
    eddy_future_unref(f);
    stage_close(&s);
}

static void S53_at_the_deadline_the_rest_is_aborted(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_drain(s.server, EDDY_MSEC(20), &f), 0);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_TRACE(s.peer.trace, "CM SR CL(ETIMEDOUT)");
    eddy_future_unref(f);
    stage_close(&s);
}

static void S53_a_second_drain_moves_the_deadline(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_server_drain(s.server, EDDY_FOREVER, &f), 0);
    UNTIL(&s, s.peer.count[ON_SHUTDOWN] == 1);
    CHECK_INT(eddy_server_drain(s.server, 0, NULL), 0);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_INT(s.peer.count[ON_SHUTDOWN], 1);
    CHECK_INT(s.peer.code, -ETIMEDOUT);
    eddy_future_unref(f);
    stage_close(&s);
}

static void S53_drain_without_connections(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_server_drain(s.server, EDDY_SEC(10), &f), 0);
    UNTIL(&s, eddy_future_is_done(f));
    CHECK_INT(eddy_future_result(f, NULL), 0);
    eddy_future_unref(f);
    stage_close(&s);
}

/* ---- want of resources ---- */

static void accept_waits_for_resources(int error)
{
    struct stage s;
    if (!test_is_sim())
        return; /* tests/fault/resources.c has the real one */
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, error), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    CHECK(strstr(s.problems.message, "accept out of system resource") != NULL);
    CHECK_INT(s.problems.code, error);
    CHECK(s.problems.server == s.server);
    CHECK_INT(s.peer.count[ON_MADE], 0);
    unsigned long calls = eddy_sim_calls(test_sim(s.loop), EDDY_SIM_ACCEPT);
    stage_run_for(&s, EDDY_MSEC(800));
    CHECK_INT(eddy_sim_calls(test_sim(s.loop), EDDY_SIM_ACCEPT), calls);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    eddy_nsec took = eddy_loop_time(s.loop) - begin;
    CHECK(took >= EDDY_SEC(1) && took < EDDY_MSEC(1500));
    raw_close(&s, fd);
    stage_close(&s);
}

static void S27_each_want_of_resources(void)
{
    accept_waits_for_resources(-EMFILE);
    accept_waits_for_resources(-ENFILE);
    accept_waits_for_resources(-ENOBUFS);
    accept_waits_for_resources(-ENOMEM);
}

static void S27_resumes_when_a_connection_has_closed(void)
{
    struct stage s;
    struct actor second;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_add(&s, &second, true);
    s.expected_problems = 1;
    stage_begin(&s);
    int first = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EMFILE), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    eddy_nsec begin = eddy_loop_time(s.loop);
    raw_close(&s, first);
    UNTIL(&s, second.count[ON_MADE] == 1);
    CHECK(eddy_loop_time(s.loop) - begin < EDDY_MSEC(500));
    raw_close(&s, fd);
    stage_close(&s);
}

static void S27_the_retry_of_a_closed_server(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EMFILE), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    s.server = NULL;
    stage_run_for(&s, EDDY_SEC(5));
    CHECK_INT(s.peer.count[ON_INIT], 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S28_other_accept_errors_are_reported(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EPERM), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.problems.count, 1);
    CHECK_INT(s.problems.code, -EPERM);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S25_an_aborted_connection_is_skipped(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -ECONNABORTED), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.problems.count, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void never_ready(struct eddy_watch *w, unsigned events)
{
    (void)w, (void)events;
    FAIL("a watch that was refused was called");
}

static void L60_T9_descriptors_of_servers_and_transports_cannot_be_watched(void)
{
    struct stage s;
    struct eddy_watch w = {.fn = never_ready};
    stage_init(&s);
    stage_open(&s);
    int fds[] = {eddy_transport_fd(s.client.t), eddy_transport_fd(s.peer.t),
                 eddy_server_fd(s.server, 0)};
    for (int i = 0; i < 3; i++)
        CHECK_INT(eddy_loop_add_watch(s.loop, &w, fds[i], EDDY_READ), EDDY_EFD_IN_USE);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(S16_S31_S32_S38_listening_when_the_call_returns),
    CASE(S17_G3_G4_bad_options_are_refused),
    CASE(G8_an_unknown_tail_of_options),
    CASE(S18_several_hosts_each_on_a_port_of_its_own),
    CASE(S18_no_host_means_all_interfaces),
    CASE(S18_family_limits_all_interfaces),
    CASE(S19_dual_stack_on_one_port),
    CASE(S22_a_port_in_use),
    CASE(S22_a_later_address_in_use_closes_the_earlier_ones),
    CASE(S22_an_address_that_is_not_ours_is_skipped),
    CASE(S21_a_family_that_the_system_lacks_is_skipped),
    CASE(S20_reuse_port),
    CASE(S20_T36_socket_options),
    CASE(S20_no_reuse_address),
    CASE(S23_S32_not_serving_until_start_serving),
    CASE(S24_G29_a_bound_socket_becomes_the_servers),
    CASE(S24_G29_a_socket_refused_is_still_the_callers),
    CASE(S17_a_datagram_socket_is_refused),
    CASE(S26_accepted_from_the_loop),
    CASE(S25_many_connections_in_one_go),
    CASE(S30_S39_closed_in_init),
    CASE(S39_closed_in_connection_made),
    CASE(S30_no_factory_call_after_close),
    CASE(S53_at_the_limit_others_wait),
    CASE(S33_close_leaves_connections_alone),
    CASE(S33_the_port_is_free_after_close),
    CASE(S35_wait_closed_in_either_order),
    CASE(S35_wait_closed_when_connections_end_first),
    CASE(S35_a_cancelled_waiter_changes_nothing),
    CASE(S36_serve_forever_ends_with_close),
    CASE(S36_cancelling_serve_forever_closes_the_server),
    CASE(S37_close_clients),
    CASE(S37_abort_clients),
    CASE(S37_S39_called_from_callbacks),
    CASE(S53_drain_asks_each_connection),
    CASE(S53_without_shutdown_requested_they_close_when_written_out),
    CASE(S53_at_the_deadline_the_rest_is_aborted),
    CASE(S53_a_second_drain_moves_the_deadline),
    CASE(S53_drain_without_connections),
    CASE(S27_each_want_of_resources),
    CASE(S27_resumes_when_a_connection_has_closed),
    CASE(S27_the_retry_of_a_closed_server),
    CASE(S28_other_accept_errors_are_reported),
    CASE(S25_an_aborted_connection_is_skipped),
    CASE(L60_T9_descriptors_of_servers_and_transports_cannot_be_watched),
    {NULL, NULL},
};
