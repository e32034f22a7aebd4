/* backends: select poll epoll io_uring sim sim-late */
/* Servers by the names of their hosts: contract S18, S22, G3, G5. */
#include "tests/contract/executor.h"
#include "tests/contract/scripted_names.h"
#include <eddy/connection.h>
#include <eddy/server.h>
#include <eddy/sim.h>
#include <netinet/in.h>

static const struct scripted_name names[] = {
    {.name = "one", .addrs = {"127.0.0.1"}},
    {.name = "two", .addrs = {"127.0.0.1", "127.0.0.2"}},
    {.name = "three", .addrs = {"127.0.0.3", "127.0.0.2", "127.0.0.1"}},
    {.name = "both", .addrs = {"::1", "127.0.0.1"}},
    {.name = "six", .addrs = {"::1"}},
    {.name = "full", .many = 64},
    {.name = "more", .many = 65},
    {.name = "again", .code = EDDY_EDNS, .detail = EAI_AGAIN},
    {.name = "silent", .delay = EDDY_FOREVER},
    {.name = NULL},
};

static struct eddy_loop *loop;

static struct test_count connections;

static int count_init(struct eddy_protocol *p, void *arg)
{
    (void)p;
    (void)arg;
    connections.value++;
    return 0;
}

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class counting = {
    EDDY_STATELESS_PROTOCOL_CLASS("counting"),
    .init = count_init,
    .data_received = ignore_data,
};

static void begin(void)
{
    connections = (struct test_count){.wanted = 2};
    loop = scripted_loop(names);
}

static int create(const struct eddy_server_opts *o, struct eddy_server **ret)
{
    *ret = NULL;
    return eddy_create_server(loop, &counting, o, ret);
}

static void check_address(struct eddy_server *s, unsigned i, const char *host)
{
    struct eddy_addr a, wanted;

    REQUIRE(eddy_server_sockname(s, i, &a) == 0);
    CHECK(eddy_addr_port(&a) > 0);
    CHECK_INT(eddy_addr_parse(host, eddy_addr_port(&a), &wanted), 0);
    if (!eddy_addr_equal(&a, &wanted)) {
        char text[EDDY_ADDR_TEXT];
        FAIL("%s in place of %s", eddy_addr_format(&a, text, sizeof text), host);
    }
}

static void check_is_last(struct eddy_server *s, unsigned i)
{
    struct eddy_addr a;

    CHECK_INT(eddy_server_sockname(s, i, &a), 0);
    CHECK_INT(eddy_server_sockname(s, i + 1, &a), -EINVAL);
}

static void end_server(struct eddy_server *s)
{
    eddy_server_close_clients(s);
    eddy_server_close(s);
    eddy_server_unref(s);
}

/* Nothing listens: the test's end looks for descriptors and memory. */
static struct eddy_error refused(const struct eddy_server_opts *o, int code)
{
    struct eddy_server_opts all = *o;
    struct eddy_error e = {.code = 0};
    struct eddy_server *s;

    all.error = &e;
    CHECK_INT(create(&all, &s), code);
    CHECK(s == NULL);
    CHECK_INT(e.code, code);
    return e;
}

/* ---- what is bound ---- */

struct client {
    struct eddy_protocol base;
    bool made, gone;
};

static void client_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    EDDY_CONTAINER_OF(p, struct client, base)->made = true;
    eddy_transport_close(t);
}

static void client_fini(struct eddy_protocol *p)
{
    EDDY_CONTAINER_OF(p, struct client, base)->gone = true;
}

static const struct eddy_protocol_class client_class = {
    EDDY_PROTOCOL_CLASS(struct client, base),
    .connection_made = client_made,
    .data_received = ignore_data,
    .fini = client_fini,
};

static void S16_S18_all_addresses_of_a_name_are_served(void)
{
    struct eddy_server *s;
    struct client c = {.made = false};

    begin();
    REQUIRE(create(EDDY_SERVER(.host = "two"), &s) == 0);
    CHECK_INT(scripted.asked, 1);
    CHECK_INT(scripted.type, SOCK_STREAM);
    CHECK_INT(scripted.flags, AI_PASSIVE);
    check_address(s, 0, "127.0.0.1");
    check_address(s, 1, "127.0.0.2");
    check_is_last(s, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct eddy_addr a;
        memset(&c, 0, sizeof c);
        eddy_protocol_init(&c.base, &client_class);
        CHECK_INT(eddy_server_sockname(s, i, &a), 0);
        REQUIRE(eddy_create_connection(loop, &c.base,
                                       EDDY_CONNECTION(.host = i ? "127.0.0.2" : "127.0.0.1",
                                                       .port = eddy_addr_port(&a)),
                                       NULL) == 0);
        CHECK(test_run_until(loop, test_is_true, &c.gone));
        CHECK(c.made);
    }
    CHECK(test_run_until(loop, test_is_counted, &connections));
    end_server(s);
    test_loop_free(loop);
    CHECK_INT(scripted.closed, 1);
}

static void S18_the_answers_of_all_hosts_are_merged(void)
{
    static const char *const hosts[] = {"two", "127.0.0.2", "three", "one", NULL};
    struct eddy_server *s;

    begin();
    REQUIRE(create(EDDY_SERVER(.hosts = hosts), &s) == 0);
    CHECK_INT(scripted.asked, 3);
    check_address(s, 0, "127.0.0.1");
    check_address(s, 1, "127.0.0.2");
    check_address(s, 2, "127.0.0.3");
    check_is_last(s, 2);
    end_server(s);
    test_loop_free(loop);
}

/* A port that was free a moment ago may be somebody else's by now. */
enum { TRIES = 50 };

static void S18_one_port_for_all_addresses_of_a_name(void)
{
    struct eddy_server *s = NULL;
    struct eddy_addr a, b;
    int port = 0, rc = -EADDRINUSE;

    begin();
    for (int i = 0; rc == -EADDRINUSE && i < TRIES; i++) {
        REQUIRE(create(EDDY_SERVER(.host = "one"), &s) == 0);
        port = eddy_server_port(s);
        end_server(s);
        test_run_steps(loop, 2);
        rc = create(EDDY_SERVER(.host = "two", .port = port), &s);
    }
    REQUIRE(rc == 0);
    CHECK_INT(eddy_server_sockname(s, 0, &a), 0);
    CHECK_INT(eddy_server_sockname(s, 1, &b), 0);
    CHECK_INT(eddy_addr_port(&a), port);
    CHECK_INT(eddy_addr_port(&b), port);
    end_server(s);
    test_loop_free(loop);
}

static void S18_only_the_family_asked_for_is_looked_up(void)
{
    static const char *const hosts[] = {"::1", "both", NULL};
    struct eddy_server *s;

    begin();
    REQUIRE(create(EDDY_SERVER(.hosts = hosts, .family = AF_INET), &s) == 0);
    CHECK_INT(scripted.family, AF_INET);
    check_address(s, 0, "127.0.0.1");
    check_is_last(s, 0);
    end_server(s);
    struct eddy_error e = refused(EDDY_SERVER(.host = "six", .family = AF_INET), EDDY_EDNS);
    CHECK_INT(e.detail, EAI_NONAME);
    CHECK(strstr(e.text, "six") != NULL);
    test_loop_free(loop);
}

static void S15_S18_addresses_are_not_looked_up(void)
{
    static const char *const hosts[] = {"127.0.0.1", "", NULL};
    struct eddy_server *s;

    begin();
    REQUIRE(create(EDDY_SERVER(.hosts = hosts), &s) == 0);
    end_server(s);
    REQUIRE(create(EDDY_SERVER(.host = NULL), &s) == 0);
    end_server(s);
    CHECK_INT(scripted.asked, 0);
    CHECK_INT(scripted.opened, 0);
    test_loop_free(loop);
}

struct in_callback {
    struct eddy_handle handle;
    struct eddy_server *server;
    bool done;
};

static void create_here(struct eddy_handle *h)
{
    struct in_callback *c = EDDY_CONTAINER_OF(h, struct in_callback, handle);

    CHECK_INT(create(EDDY_SERVER(.host = "two"), &c->server), 0);
    c->done = true;
}

static void S18_names_are_found_before_the_call_returns_in_a_callback_too(void)
{
    struct in_callback c = {.handle.fn = create_here};

    begin();
    eddy_loop_call_soon(loop, &c.handle);
    CHECK(test_run_until(loop, test_is_true, &c.done));
    check_is_last(c.server, 1);
    end_server(c.server);
    test_loop_free(loop);
}

static void S18_sixty_four_addresses_at_most(void)
{
    struct eddy_server *s;

    begin();
    if (create(EDDY_SERVER(.host = "full"), &s) == 0) {
        check_is_last(s, 63);
        end_server(s);
    } else {
        FAIL("64 addresses are refused");
    }
    struct eddy_error e = refused(EDDY_SERVER(.host = "more"), -EINVAL);
    CHECK(strstr(e.text, "64") != NULL);
    test_loop_free(loop);
}

/* ---- what fails ---- */

static void S18_G3_a_name_that_is_not_found_fails_the_call(void)
{
    static const char *const hosts[] = {"127.0.0.1", "nowhere", NULL};
    struct eddy_error e;

    begin();
    e = refused(EDDY_SERVER(.host = "nowhere"), EDDY_EDNS);
    CHECK_INT(e.detail, EAI_NONAME);
    CHECK(strstr(e.text, "nowhere: not in the script") != NULL);
    e = refused(EDDY_SERVER(.hosts = hosts), EDDY_EDNS);
    e = refused(EDDY_SERVER(.host = "again"), EDDY_EDNS);
    CHECK_INT(e.detail, EAI_AGAIN);
    e = refused(EDDY_SERVER(.host = "silent"), -ETIMEDOUT);
    CHECK(strstr(e.text, "silent") != NULL);
    test_loop_free(loop);
}

static void S18_G3_a_resolver_that_cannot_work_here(void)
{
    struct eddy_resolver_class cannot_wait = scripted_class;

    begin();
    scripted.open_result = -ENOSYS;
    struct eddy_error e = refused(EDDY_SERVER(.host = "one"), -ENOSYS);
    CHECK_STR(e.text, "not today");
    test_loop_free(loop);
    cannot_wait.start_and_wait = NULL;
    scripted_begin(names);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &cannot_wait)), &loop) ==
            0);
    refused(EDDY_SERVER(.host = "one"), EDDY_ENOT_SUPPORTED);
    test_loop_free(loop);
}

/* False: by chance the first address was not free either. */
static bool only_the_second_is_in_use(void)
{
    struct eddy_server *second, *s;

    REQUIRE(create(EDDY_SERVER(.host = "127.0.0.2"), &second) == 0);
    int port = eddy_server_port(second);
    struct eddy_error e = refused(EDDY_SERVER(.host = "two", .port = port), -EADDRINUSE);
    int rc = create(EDDY_SERVER(.host = "one", .port = port), &s);
    if (rc == 0) { /* it was let go */
        CHECK(strstr(e.text, "127.0.0.2") != NULL);
        end_server(s);
    }
    end_server(second);
    return rc == 0;
}

static void S22_a_later_address_that_is_in_use_closes_the_earlier_ones(void)
{
    int tries = 0;

    begin();
    while (!only_the_second_is_in_use() && tries < TRIES)
        tries++;
    CHECK(tries < TRIES);
    test_loop_free(loop);
}

static void S18_G5_each_allocation_fails_once(void)
{
    static const char *const hosts[] = {"two", "three", NULL};
    struct eddy_server *s;
    bool failed = true;
    long n;

    begin();
    for (n = 1; failed && n < 200; n++) {
        long before = test_live_allocations();
        int open = test_open_descriptors();
        test_fail_allocation(n);
        int rc = create(EDDY_SERVER(.hosts = hosts), &s);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(rc, failed ? -ENOMEM : 0);
        if (rc == 0) {
            check_is_last(s, 2);
            end_server(s);
            continue;
        }
        test_run_steps(loop, 2);
        CHECK(test_live_allocations() <= before + 2); /* tables of the loop's may have grown */
        CHECK_INT(test_open_descriptors(), open);
    }
    CHECK(n > 6);
    test_loop_free(loop);
}

/* ---- the resolvers that there are ---- */

static void serve_localhost(void)
{
    struct eddy_server *s;
    struct eddy_addr a;
    unsigned i;

    REQUIRE(create(EDDY_SERVER(.host = "localhost"), &s) == 0);
    for (i = 0; eddy_server_sockname(s, i, &a) == 0; i++) {
        if (a.u.sa.sa_family == AF_INET)
            CHECK_INT(ntohl(a.u.in.sin_addr.s_addr) >> 24, 127);
        else
            CHECK(IN6_IS_ADDR_LOOPBACK(&a.u.in6.sin6_addr));
    }
    CHECK(i > 0);
    end_server(s);
    REQUIRE(create(EDDY_SERVER(.host = "localhost", .family = AF_INET), &s) == 0);
    check_is_last(s, 0);
    check_address(s, 0, "127.0.0.1");
    end_server(s);
}

static void S18_localhost_by_each_resolver(void)
{
    const char *name;
    long before = test_live_allocations();

    for (unsigned i = 0; !test_is_sim() && (name = eddy_resolver_name(i)) != NULL; i++) {
        REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = name)), &loop) == 0);
        serve_localhost();
        test_loop_free(loop);
        wait_for_allocations(before); /* of threads that end by themselves */
    }
}

static void S18_localhost_by_the_simulator(void)
{
    struct eddy_addr both[2];

    if (!test_is_sim())
        return;
    REQUIRE(test_loop_new(&loop) == 0);
    CHECK_INT(eddy_addr_parse("::1", 0, &both[0]), 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, &both[1]), 0);
    CHECK_INT(eddy_sim_add_name(test_sim(loop), "localhost", both, 2, EDDY_MSEC(5)), 0);
    serve_localhost();
    test_loop_free(loop);
}

/* ---- whole programs ---- */

static int port_served;

static void stop_at_once(struct eddy_server *server, void *arg)
{
    (void)arg;
    port_served = eddy_server_port(server);
    eddy_loop_stop(eddy_server_loop(server));
}

static void S18_serve_looks_names_up(void)
{
    const struct eddy_resolver_opts *scripted_opts = EDDY_RESOLVER(.cls = &scripted_class);
    const struct eddy_loop_opts *lo =
        EDDY_LOOP(.backend = test_backend(), .resolver = scripted_opts);
    struct eddy_error e = {.code = 0};

    if (test_is_sim())
        return;
    port_served = 0;
    scripted_begin(names);
    CHECK_INT(
        eddy_serve(&counting, EDDY_SERVER(.host = "two", .loop = lo, .started = stop_at_once)), 0);
    CHECK(port_served > 0);
    test_expect_log("look up nowhere: not in the script");
    CHECK_INT(eddy_serve(&counting, EDDY_SERVER(.host = "nowhere", .loop = lo, .error = &e)),
              EDDY_EDNS);
    CHECK_INT(e.detail, EAI_NONAME);
    CHECK_INT(scripted.opened, scripted.closed);
}

const struct test_case test_cases[] = {
    TEST(S16_S18_all_addresses_of_a_name_are_served),
    TEST(S18_the_answers_of_all_hosts_are_merged),
    TEST(S18_one_port_for_all_addresses_of_a_name),
    TEST(S18_only_the_family_asked_for_is_looked_up),
    TEST(S15_S18_addresses_are_not_looked_up),
    TEST(S18_names_are_found_before_the_call_returns_in_a_callback_too),
    TEST(S18_sixty_four_addresses_at_most),
    TEST(S18_G3_a_name_that_is_not_found_fails_the_call),
    TEST(S18_G3_a_resolver_that_cannot_work_here),
    TEST(S22_a_later_address_that_is_in_use_closes_the_earlier_ones),
    TEST(S18_G5_each_allocation_fails_once),
    TEST(S18_localhost_by_each_resolver),
    TEST(S18_localhost_by_the_simulator),
    TEST(S18_serve_looks_names_up),
    TEST_END,
};
