/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* The end of servers: contract S33 to S37, S53. */
#include "tests/support/stream.h"
#include <string.h>

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
        CHECK_INT(raw_result(&s), -ECONNREFUSED);
    CHECK_INT(eddy_server_sockname(s.server, 0, &a), EDDY_ECLOSED);
    CHECK_INT(eddy_server_fd(s.server, 0), -1);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    CHECK_INT(eddy_server_connections(s.server), 1);
    stage_close(&s);
}

static void S33_close_frees_the_port_at_once(void)
{
    struct stage s;
    struct eddy_server *next = NULL;
    stage_init(&s);
    stage_open(&s);
    stage_settle(&s);
    int port = stage_port(s.server);
    eddy_server_close(s.server);
    s.server_opts.port = port;
    CHECK_INT(stage_create_server(&s, &next), 0);
    eddy_server_close(next);
    eddy_server_unref(next);
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

struct drainer {
    struct eddy_handle node;
    struct eddy_server *server;
};

static void drain_and_drop(struct eddy_handle *h)
{
    struct drainer *d = EDDY_CONTAINER_OF(h, struct drainer, node);
    CHECK_INT(eddy_server_drain(d->server, EDDY_SEC(1), NULL), 0);
    eddy_server_unref(d->server);
}

/* Its only connection ends in the same batch, and the server with it. */
static void S53_G12_drain_of_a_server_that_ends_before_it_has_asked(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    struct drainer d = {.node.fn = drain_and_drop, .server = s.server};
    s.server = NULL;
    eddy_loop_call_soon(s.loop, &d.node);
    eddy_transport_abort(s.peer.t, NULL);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_settle(&s);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(S33_close_leaves_connections_alone),
    CASE(S33_close_frees_the_port_at_once),
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
    CASE(S53_G12_drain_of_a_server_that_ends_before_it_has_asked),
    {NULL, NULL},
};
