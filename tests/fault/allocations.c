/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * No memory at the nth allocation, for every n of a whole life: contract G3, G5, D7. What fails
 * says so, what is lost is lost with -ENOMEM, and nothing else is: main checks that nothing leaks.
 */
#include "tests/support/exchange.h"
#include "tests/support/stream.h"
#include <string.h>

static int calls_refused, connections_lost;

/* One connection, n times over, with only the nth allocation failing. Returns whether it came to
 * that. */
static bool run_with_failure(long n)
{
    struct exchange x;
    memset(&x, 0, sizeof x);
    long live = test_live_allocations();
    int open = test_open_descriptors();
    unsigned before = CU_get_number_of_failure_records();
    test_fail_allocation(n);
    exchange_run(&x);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    calls_refused += x.result == -ENOMEM;
    connections_lost += x.client.code == -ENOMEM || x.server.code == -ENOMEM;
    exchange_check(&x);
    CHECK_INT(test_live_allocations(), live);
    CHECK_INT(test_open_descriptors(), open);
    if (failed)
        CHECK(exchange_is_perfect(&x) || exchange_has_reported(&x, -ENOMEM));
    else
        CHECK(exchange_is_perfect(&x));
    if (CU_get_number_of_failure_records() != before)
        FAIL("... at allocation %ld: result %d, status %d, run %d, client %d (%d), server %d (%d), "
             "%d problems (%d), %zu bytes",
             n, x.result, x.status, x.run, x.client.made, x.client.code, x.server.made,
             x.server.code, x.problems, x.problem_code, x.received);
    return failed;
}

static void G5_D7_each_allocation_of_an_exchange_fails_once(void)
{
    long n = 1;
    while (run_with_failure(n) && n < 5000)
        n++;
    CHECK(calls_refused > 0);
    CHECK(connections_lost > 0);
}

static void G5_the_exchange_works_when_nothing_fails(void)
{
    struct exchange x;
    memset(&x, 0, sizeof x);
    exchange_run(&x);
    exchange_check(&x);
    CHECK(exchange_is_perfect(&x));
}

/* ---- calls that make something ---- */

static void close_server(struct eddy_server *server)
{
    eddy_server_close(server);
    eddy_server_unref(server);
}

static int bound_socket(struct stage *s)
{
    int port;
    return raw_bound(s, &port);
}

/* Whether it succeeded: with every allocation before the nth made, and that one refused. */
static bool give_socket_to_server(struct stage *s, long n)
{
    struct eddy_server *server = NULL;
    int before = stage_descriptors(s);
    int fd = bound_socket(s);
    test_fail_allocation(n);
    int err = eddy_create_server(s->loop, &actor_class,
                                 EDDY_SERVER(.sock = fd, .use_sock = true, .arg = s), &server);
    test_fail_allocation(0);
    if (err == 0) {
        close_server(server);
        UNTIL(s, stage_descriptors(s) == before);
        return true;
    }
    CHECK_INT(err, -ENOMEM);
    CHECK(server == NULL);
    UNTIL(s, stage_descriptors(s) == before); /* it is the library's to close */
    return false;
}

static void G29_S24_a_servers_socket_is_closed_when_there_is_no_memory(void)
{
    struct stage s;
    long n = 1;
    stage_init(&s);
    stage_begin(&s);
    while (!give_socket_to_server(&s, n) && n < 100)
        n++;
    CHECK(n > 1 && n < 100);
    stage_close(&s);
}

static bool give_socket_to_connection(struct stage *s, long n)
{
    int before = stage_descriptors(s);
    s->guest_next = 0;
    int fd = raw_connect(s);
    UNTIL(s, s->peer.count[ON_MADE] == s->peer.count[ON_INIT] && s->peer.t != NULL);
    s->connection_opts = *EDDY_CONNECTION(.sock = fd, .use_sock = true);
    eddy_protocol_init(&s->client.own.base, &actor_class);
    test_fail_allocation(n);
    int err = actor_connect(&s->client);
    test_fail_allocation(0);
    if (err == 0) {
        UNTIL(s, s->client.done);
        CHECK_INT(s->client.status, 0);
        return true;
    }
    CHECK_INT(err, -ENOMEM);
    CHECK(!eddy_protocol_is_attached(&s->client.own.base));
    UNTIL(s, s->peer.p == NULL); /* it hears the end */
    UNTIL(s, stage_descriptors(s) == before);
    return false;
}

static void G29_S4_a_connections_socket_is_closed_when_there_is_no_memory(void)
{
    struct stage s;
    long n = 1;
    stage_init(&s);
    stage_begin(&s);
    while (!give_socket_to_connection(&s, n) && n < 100)
        n++;
    CHECK(n > 1 && n < 100);
    stage_close(&s);
}

static void G3_S35_S36_S53_futures_of_a_server(void)
{
    struct stage s;
    struct eddy_future *f = NULL;
    stage_init(&s);
    stage_open(&s);
    test_fail_allocation(1);
    CHECK_INT(eddy_server_wait_closed(s.server, &f), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_server_serve_forever(s.server, &f), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_server_drain(s.server, EDDY_FOREVER, &f), -ENOMEM);
    test_fail_allocation(0);
    CHECK(f == NULL);
    CHECK(eddy_server_is_serving(s.server)); /* nothing has changed */
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM");
    CHECK_INT(eddy_server_serve_forever(s.server, &f), 0);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    stage_close(&s);
}

static void G3_T22_T56_T57_settings_of_a_transport(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    stage_open(&s);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 1, 2), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_set_write_max(s.client.t, 1), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_set_idle_timeout(s.client.t, 1), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_set_write_timeout(s.client.t, 1), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_set_linger(s.client.t, 1), -ENOMEM);
    test_fail_allocation(0);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 16384);
    CHECK_INT(high, 65536);
    stage_settle(&s);
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static void fail_unread(struct actor *a)
{
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), -ENOMEM);
    CHECK(test_allocation_failed());
    test_fail_allocation(0);
}

static void G5_R40_unread_without_memory_force_closes(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = fail_unread;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(3) CL(ENOMEM)");
    stage_close(&s);
}

static void G5_abort_without_memory_keeps_the_code(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    test_fail_allocation(1);
    do_abort_eproto(&s.client);
    test_fail_allocation(0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, -EPROTO);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G5_the_exchange_works_when_nothing_fails),
    CASE(G5_D7_each_allocation_of_an_exchange_fails_once),
    CASE(G29_S24_a_servers_socket_is_closed_when_there_is_no_memory),
    CASE(G29_S4_a_connections_socket_is_closed_when_there_is_no_memory),
    CASE(G3_S35_S36_S53_futures_of_a_server),
    CASE(G3_T22_T56_T57_settings_of_a_transport),
    CASE(G5_R40_unread_without_memory_force_closes),
    CASE(G5_abort_without_memory_keeps_the_code),
    {NULL, NULL},
};
