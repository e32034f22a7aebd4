/* Loops on a simulated world, of both kinds. */
#include "tests/support/test.h"
#include <eddy/connection.h>
#include <eddy/server.h>
#include <eddy/sim.h>
#include <string.h>

struct alarm {
    struct eddy_timer timer;
    struct eddy_loop *loop;
    eddy_nsec at;
};

static void ring(struct eddy_timer *t)
{
    struct alarm *a = EDDY_CONTAINER_OF(t, struct alarm, timer);

    a->at = eddy_loop_time(a->loop);
    eddy_loop_stop(a->loop);
}

static void timers_run_on_virtual_time(void)
{
    int late;

    for (late = 0; late < 2; late++) {
        struct alarm alarm = {.timer.fn = ring};
        struct eddy_sim *sim;
        eddy_nsec start;

        REQUIRE(eddy_sim_new(EDDY_SIM(.start = 5), &sim) == 0);
        REQUIRE(eddy_sim_loop_new(sim, late, NULL, &alarm.loop) == 0);
        CHECK_STR(eddy_loop_backend_name(alarm.loop), late ? "sim-late" : "sim");
        start = eddy_loop_time(alarm.loop);
        CHECK_INT(start, 5);
        eddy_loop_call_later(alarm.loop, &alarm.timer, EDDY_SEC(7200));
        CHECK_INT(eddy_loop_run_forever(alarm.loop), 0);
        CHECK_INT(alarm.at - start, EDDY_SEC(7200));
        CHECK_INT(eddy_loop_close(alarm.loop), 0);
        eddy_loop_unref(alarm.loop);
        eddy_sim_free(sim);
    }
}

static void stalled_run_ends(void)
{
    int late;

    for (late = 0; late < 2; late++) {
        struct eddy_sim *sim;
        struct eddy_loop *loop;

        REQUIRE(eddy_sim_new(NULL, &sim) == 0);
        REQUIRE(eddy_sim_loop_new(sim, late, NULL, &loop) == 0);
        CHECK_INT(eddy_loop_run_forever(loop), EDDY_ESTALLED);
        CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(1)), 0);
        CHECK_INT(eddy_loop_close(loop), 0);
        eddy_loop_unref(loop);
        eddy_sim_free(sim);
    }
}

struct slow {
    struct eddy_handle handle;
    struct alarm alarm;
    struct eddy_sim *sim;
};

static void take_long(struct eddy_handle *h)
{
    struct slow *s = EDDY_CONTAINER_OF(h, struct slow, handle);

    eddy_sim_spend(s->sim, EDDY_SEC(2));
    eddy_loop_call_later(s->alarm.loop, &s->alarm.timer, EDDY_SEC(1));
}

static void callbacks_may_take_time(void)
{
    struct slow s = {.handle.fn = take_long, .alarm.timer.fn = ring};
    eddy_nsec start;

    REQUIRE(eddy_sim_new(NULL, &s.sim) == 0);
    REQUIRE(eddy_sim_loop_new(s.sim, false, EDDY_LOOP(.debug = true), &s.alarm.loop) == 0);
    start = eddy_loop_time(s.alarm.loop);
    eddy_loop_call_soon(s.alarm.loop, &s.handle);
    test_expect_log("took 2.000 seconds");
    CHECK_INT(eddy_loop_run_forever(s.alarm.loop), 0);
    CHECK_INT(s.alarm.at - start, EDDY_SEC(3));
    CHECK_INT(eddy_loop_close(s.alarm.loop), 0);
    eddy_loop_unref(s.alarm.loop);
    eddy_sim_free(s.sim);
}

/* ---- connections ---- */

static struct test_trace trace;

static void greet(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p;
    eddy_transport_write(t, "hello", 5);
}

static void echo(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static void say_bye(struct eddy_protocol *p, const void *data, size_t len)
{
    test_trace(&trace, "%.*s", (int)len, (const char *)data);
    eddy_transport_close(p->transport);
}

static void lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p;
    test_trace(&trace, "CL(%s)", test_code(err ? err->code : 0));
}

static const struct eddy_protocol_class echo_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo,
};

static const struct eddy_protocol_class client_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("client"),
    .connection_made = greet,
    .data_received = say_bye,
    .connection_lost = lost,
};

/* One client and one server: on one loop, or on one each that take turns. */
static uint64_t meet(struct eddy_sim *sim, struct eddy_loop *servers, struct eddy_loop *clients)
{
    struct eddy_protocol client;
    struct eddy_server *server;
    uint64_t hash;
    int i;

    trace_clear(&trace);
    CHECK_INT(eddy_create_server(servers, &echo_class, EDDY_SERVER(.host = "127.0.0.1"), &server),
              0);
    eddy_protocol_init(&client, &client_class);
    CHECK_INT(eddy_create_connection(
                  clients, &client,
                  EDDY_CONNECTION(.host = "127.0.0.1", .port = eddy_server_port(server)), NULL),
              0);
    for (i = 0; i < 200; i++) {
        CHECK_INT(eddy_loop_run_once(servers, EDDY_MSEC(1)), 0);
        if (clients != servers)
            CHECK_INT(eddy_loop_run_once(clients, EDDY_MSEC(1)), 0);
    }
    CHECK_TRACE(trace, "hello CL(0)");
    CHECK_INT(eddy_server_connections(server), 0);
    CHECK_INT(eddy_sim_violations(sim, NULL), 0);
    hash = eddy_sim_trace_hash(sim);
    eddy_server_close(server);
    eddy_server_unref(server);
    return hash;
}

static uint64_t meet_on_one_loop(bool late, uint64_t seed)
{
    struct eddy_sim *sim;
    struct eddy_loop *loop;
    uint64_t hash;

    CHECK_INT(eddy_sim_new(EDDY_SIM(.seed = seed, .latency = EDDY_MSEC(1), .jitter = EDDY_MSEC(5),
                                    .spurious_eagain = 300),
                           &sim),
              0);
    CHECK_INT(eddy_sim_loop_new(sim, late, NULL, &loop), 0);
    hash = meet(sim, loop, loop);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    eddy_sim_free(sim);
    return hash;
}

static void runs_repeat(void)
{
    int late;

    for (late = 0; late < 2; late++) {
        CHECK(meet_on_one_loop(late, 1) == meet_on_one_loop(late, 1));
        CHECK(meet_on_one_loop(late, 1) != meet_on_one_loop(late, 2));
    }
}

static void loops_of_both_kinds_meet_in_one_world(void)
{
    struct eddy_loop *plain, *late;
    struct eddy_sim_stats stats;
    struct eddy_sim *sim;

    REQUIRE(eddy_sim_new(EDDY_SIM(.latency = EDDY_MSEC(1)), &sim) == 0);
    REQUIRE(eddy_sim_loop_new(sim, false, NULL, &plain) == 0);
    REQUIRE(eddy_sim_loop_new(sim, true, NULL, &late) == 0);
    meet(sim, plain, late);
    meet(sim, late, plain);
    CHECK_INT(eddy_loop_close(plain), 0);
    CHECK_INT(eddy_loop_close(late), 0);
    eddy_loop_unref(plain);
    eddy_loop_unref(late);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.open, 0);
    CHECK_INT(stats.connections, 2);
    CHECK_INT(stats.closed_registered, 0);
    eddy_sim_free(sim);
}

/* The other side is played by hand, from a moment on that the script names. */
static void reset_peer(struct eddy_sim *sim, void *user)
{
    CHECK_INT(eddy_sim_reset(sim, *(int *)user, 0), 0);
}

static void the_peer_may_be_a_script(void)
{
    struct eddy_protocol client;
    struct eddy_sim *sim;
    struct eddy_loop *loop;
    int fds[2], i;

    REQUIRE(eddy_sim_new(NULL, &sim) == 0);
    REQUIRE(eddy_sim_loop_new(sim, false, NULL, &loop) == 0);
    REQUIRE(eddy_sim_pair(sim, fds) == 0);
    trace_clear(&trace);
    eddy_protocol_init(&client, &client_class);
    CHECK_INT(eddy_create_connection(loop, &client,
                                     EDDY_CONNECTION(.sock = fds[0], .use_sock = true), NULL),
              0);
    CHECK_INT(eddy_sim_at(sim, eddy_sim_now(sim) + EDDY_SEC(60), reset_peer, &fds[1]), 0);
    for (i = 0; i < 5; i++)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(50)), 0);
    CHECK_TRACE(trace, "CL(ECONNRESET)");
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    eddy_sim_free(sim);
}

static void failing_loops_leave_nothing(void)
{
    struct eddy_sim *sim;
    struct eddy_loop *loop;
    struct eddy_sim_stats stats;

    REQUIRE(eddy_sim_new(NULL, &sim) == 0);
    eddy_sim_fail(sim, EDDY_SIM_WAKER, 1, -EMFILE);
    CHECK_INT(eddy_sim_loop_new(sim, false, NULL, &loop), -EMFILE);
    eddy_sim_fail(sim, EDDY_SIM_SELECT_SET, 1, -ENOMEM);
    CHECK_INT(eddy_sim_loop_new(sim, false, NULL, &loop), -ENOMEM);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.open, 0);
    eddy_sim_free(sim);
}

const struct test_case test_cases[] = {
    {"G31_sim_timers_run_on_virtual_time", timers_run_on_virtual_time},
    {"G31_sim_stalled_run_ends", stalled_run_ends},
    {"L51_sim_callbacks_may_take_time", callbacks_may_take_time},
    {"G31_sim_runs_repeat", runs_repeat},
    {"G31_sim_loops_of_both_kinds_meet_in_one_world", loops_of_both_kinds_meet_in_one_world},
    {"G31_sim_the_peer_may_be_a_script", the_peer_may_be_a_script},
    {"G3_sim_failing_loops_leave_nothing", failing_loops_leave_nothing},
    {NULL, NULL},
};
