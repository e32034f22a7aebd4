/* backends: select poll epoll io_uring sim sim-late */
/* Servers: contract S16 to S39, S53. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    CHECK_INT(raw_result(&s), 0);
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
    static const char *const mixed[] = {"127.0.0.1", "127.0.0.2", NULL};
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    check_refused(&s, EDDY_SERVER(.hosts = mixed, .family = AF_INET6), -EINVAL);
    check_refused(&s, EDDY_SERVER(.host = "127.0.0.1", .hosts = mixed), -EINVAL);
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
    CHECK_INT(raw_result(&s), 0);
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
    CHECK_INT(raw_result(&s), -ECONNREFUSED);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(eddy_server_start_serving(s.server), 0);
        CHECK(eddy_server_is_serving(s.server));
    }
    CHECK_INT(raw_result(&s), 0);
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
    CHECK_INT(raw_result(&s), 0);
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

static void S24_G29_a_socket_that_cannot_listen_is_still_the_callers(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    int fds[2];
    if (test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    test_socketpair(fds);
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.sock = fds[0], .use_sock = true, .arg = &s), &server),
              -EINVAL);
    CHECK_INT(close(fds[0]), 0);
    CHECK_INT(close(fds[1]), 0);
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
    CASE(S33_the_port_is_free_after_close),
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
    CASE(S24_G29_a_socket_that_cannot_listen_is_still_the_callers),
    CASE(S17_a_datagram_socket_is_refused),
    CASE(L60_T9_descriptors_of_servers_and_transports_cannot_be_watched),
    {NULL, NULL},
};
