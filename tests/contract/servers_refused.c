/* backends: select poll epoll io_uring sim sim-late */
/*
 * Calls on servers that fail: nothing is left of what they began.
 */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <string.h>

/* ---- starting to serve ---- */

/* Whether anybody listens there: 0 or -ECONNREFUSED. */
static int knock(struct stage *s, unsigned address)
{
    struct eddy_addr at;
    CHECK_INT(eddy_server_sockname(s->server, address, &at), 0);
    int fd = s->sys->cls->socket(s->sys, AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    int err = s->sys->cls->connect(s->sys, fd, &at);
    for (int i = 0; err == -EINPROGRESS && i < 1000; i++) {
        struct eddy_addr peer;
        stage_settle(s);
        err = s->sys->cls->error(s->sys, fd);
        if (err == 0 && s->sys->cls->peername(s->sys, fd, &peer) < 0)
            err = -EINPROGRESS;
    }
    raw_close(s, fd);
    return err;
}

/* Another socket that listens where the server's second one is bound. */
static int take_second_address(struct stage *s)
{
    struct eddy_addr at;
    CHECK_INT(eddy_server_sockname(s->server, 1, &at), 0);
    int fd = s->sys->cls->socket(s->sys, AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    CHECK_INT(s->sys->cls->setsockopt(s->sys, fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_INT(s->sys->cls->bind(s->sys, fd, &at), 0);
    CHECK_INT(s->sys->cls->listen(s->sys, fd, 1), 0);
    return fd;
}

static const char *const two_hosts[] = {"127.0.0.1", "127.0.0.2", NULL};

static void serve_two_later(struct stage *s)
{
    stage_init(s);
    s->server_opts.host = NULL;
    s->server_opts.hosts = two_hosts;
    s->server_opts.not_serving = true;
    stage_begin(s);
}

static void check_nobody_listens(struct stage *s)
{
    CHECK(!eddy_server_is_serving(s->server));
    CHECK_INT(knock(s, 0), -ECONNREFUSED);
}

static void G3_S23_when_the_second_address_cannot_listen_the_first_does_not_either(void)
{
    struct stage s;
    struct eddy_addr before[2], after;
    int taken = -1;
    serve_two_later(&s);
    for (unsigned i = 0; i < 2; i++)
        CHECK_INT(eddy_server_sockname(s.server, i, &before[i]), 0);
    if (test_is_sim())
        CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_LISTEN, 2, -EADDRINUSE), 0);
    else
        taken = take_second_address(&s);
    CHECK_INT(eddy_server_start_serving(s.server), -EADDRINUSE);
    check_nobody_listens(&s);
    if (taken >= 0)
        raw_close(&s, taken);
    CHECK_INT(knock(&s, 1), -ECONNREFUSED);
    /* It can be tried again, on the same ports. */
    CHECK_INT(eddy_server_start_serving(s.server), 0);
    CHECK(eddy_server_is_serving(s.server));
    s.peer.init_result = -ECONNABORTED;
    for (unsigned i = 0; i < 2; i++) {
        CHECK_INT(knock(&s, i), 0);
        CHECK_INT(eddy_server_sockname(s.server, i, &after), 0);
        CHECK(eddy_addr_equal(&after, &before[i]));
        s.guest_next = 0;
        UNTIL(&s, s.peer.count[ON_INIT] == (int)i + 1);
        s.guest_next = 0;
    }
    stage_close(&s);
}

/* The loop's table of descriptors grows in steps: numbers enough to be behind one of them. */
enum {
    MANY = 520,
};

static void G3_G5_without_memory_to_serve_nobody_listens(void)
{
    struct stage s;
    static int fd[MANY];
    long n = 1;
    bool failed;
    stage_init(&s);
    REQUIRE(test_loop_new(&s.loop) == 0);
    s.sys = test_is_sim() ? eddy_sim_sys(test_sim(s.loop)) : eddy_sys_posix();
    for (int i = 0; i < MANY; i++) {
        fd[i] = s.sys->cls->socket(s.sys, AF_INET, SOCK_STREAM, 0);
        REQUIRE(fd[i] >= 0);
    }
    REQUIRE(eddy_create_server(s.loop, &actor_class,
                               EDDY_SERVER(.hosts = two_hosts, .not_serving = true, .arg = &s),
                               &s.server) == 0);
    do {
        test_fail_allocation(n++);
        int err = eddy_server_start_serving(s.server);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(err, failed ? -ENOMEM : 0);
        if (failed)
            check_nobody_listens(&s);
    } while (failed && n < 100);
    CHECK(n > 2);
    CHECK(eddy_server_is_serving(s.server));
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    for (int i = 0; i < MANY; i++)
        raw_close(&s, fd[i]);
    test_loop_free(s.loop);
}

/* ---- NULL ---- */

static void G4_a_server_that_is_null_is_refused_and_has_nothing(void)
{
    struct eddy_future *f = NULL;
    struct eddy_addr addr;
    test_expect_log("no options");
    CHECK(eddy_server_ref(NULL) == NULL);
    eddy_server_unref(NULL);
    CHECK_INT(eddy_server_start_serving(NULL), -EINVAL);
    CHECK(!eddy_server_is_serving(NULL));
    CHECK(eddy_server_loop(NULL) == NULL);
    CHECK_INT(eddy_server_sockname(NULL, 0, &addr), -EINVAL);
    CHECK_INT(eddy_server_fd(NULL, 0), -1);
    CHECK_INT(eddy_server_port(NULL), -1);
    CHECK_INT(eddy_server_connections(NULL), 0);
    eddy_server_close(NULL);
    eddy_server_close_clients(NULL);
    eddy_server_abort_clients(NULL, NULL);
    CHECK_INT(eddy_server_wait_closed(NULL, &f), -EINVAL);
    CHECK_INT(eddy_server_drain(NULL, 0, &f), -EINVAL);
    CHECK_INT(eddy_server_serve_forever(NULL, &f), -EINVAL);
    CHECK(f == NULL);
    CHECK_INT(eddy_serve(NULL, NULL), -EINVAL);
    CHECK_INT(eddy_create_server(NULL, NULL, NULL, NULL), -EINVAL);
}

static void G4_results_that_a_server_cannot_store_are_refused(void)
{
    struct stage s;
    stage_init(&s);
    s.server_opts.not_serving = true;
    stage_begin(&s);
    CHECK_INT(eddy_server_sockname(s.server, 0, NULL), -EINVAL);
    CHECK_INT(eddy_server_wait_closed(s.server, NULL), -EINVAL);
    CHECK_INT(eddy_server_serve_forever(s.server, NULL), -EINVAL);
    CHECK(!eddy_server_is_serving(s.server));
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G3_S23_when_the_second_address_cannot_listen_the_first_does_not_either),
    CASE(G3_G5_without_memory_to_serve_nobody_listens),
    CASE(G4_a_server_that_is_null_is_refused_and_has_nothing),
    CASE(G4_results_that_a_server_cannot_store_are_refused),
    TEST_END,
};
