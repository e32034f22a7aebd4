/* backends: epoll sim sim-late */
/* timeout: 300 */
/* labels: slow */
/*
 * What the re-entrancy matrix has besides over TLS (reentrancy.c runs over it as well): upgrades,
 * updates of keys, half-closes and another connection, inside every callback of a TLS connection,
 * while a handshake is under way on it, and where its upgrade is done. Actors check the order of
 * callbacks themselves, the stage that each connection_made has its connection_lost.
 * clauses: D6 R1 G12 X3 X37 X38 X48
 */
#include "tests/support/matrix.h"
#include "tests/support/road.h"
#include <stdlib.h>

__attribute__((constructor)) static void choose_road(void)
{
    setenv("EDDY_TEST_ROAD", "tls", 1);
}

/* Another connection between the same two ends. */
static struct actor second, second_guest;

/* The client's and the server's, made once for a case: thousands took longer than all the rest. */
static struct eddy_tls *contexts[2];

/* ---- operations ---- */

static void start_tls(struct actor *a, bool server, struct eddy_future **ret)
{
    if (!a->t)
        return;
    struct eddy_transport *t = a->t;
    int err = eddy_start_tls(t,
                             EDDY_START_TLS(.tls = contexts[server], .server_side = server,
                                            .server_hostname = server ? NULL : "localhost",
                                            .shutdown_timeout = EDDY_MSEC(200)),
                             ret);
    if (err < 0)
        CHECK(eddy_transport_is_closing(t) || err == EDDY_EINVALID_STATE);
    else
        a->t = a->p->transport;
}

/* The other side does not know: it takes the handshake for data, and answers with none. */
static void op_start_tls(struct scene *c)
{
    start_tls(c->subject, c->subject == &c->s.peer, NULL);
}

static void op_start_tls_and_close(struct scene *c)
{
    op_start_tls(c);
    op_close(c);
}

static void op_start_tls_write_and_cancel(struct scene *c)
{
    struct eddy_future *f = NULL;
    start_tls(c->subject, c->subject == &c->s.peer, &f);
    op_write_small(c);
    eddy_future_cancel(f, NULL);
    eddy_future_unref(f);
}

static void op_start_tls_of_other(struct scene *c)
{
    start_tls(c->other, c->other == &c->s.peer, NULL);
}

static void op_write_eof(struct scene *c)
{
    if (c->subject->t && eddy_transport_can_write_eof(c->subject->t))
        CHECK_INT(eddy_transport_write_eof(c->subject->t), 0);
}

static void op_update_keys(struct scene *c)
{
    if (!c->subject->t)
        return;
    int err = eddy_tls_update_keys(c->subject->t, true);
    CHECK(err == 0 || err == EDDY_ECLOSED || err == EDDY_ENOT_SUPPORTED);
}

static void op_ask(struct scene *c)
{
    struct eddy_tls_info info;
    struct eddy_tls_cert *cert = NULL;
    if (!c->subject->t)
        return;
    eddy_tls_info(c->subject->t, &info);
    if (eddy_tls_peer_cert(c->subject->t, 0, &cert) == 0)
        eddy_tls_cert_free(cert);
}

static void op_close_server(struct scene *c)
{
    eddy_server_close(c->s.server);
}

static void op_abort_clients(struct scene *c)
{
    eddy_server_abort_clients(c->s.server, EDDY_ERROR(-EPROTO, "all of them"));
}

static void op_create_connection(struct scene *c)
{
    CHECK_INT(actor_connect(&c->third), 0);
}

static void op_write_second(struct scene *c)
{
    (void)c;
    if (second.t)
        CHECK(actor_write(&second, 100000) == 0 || eddy_transport_is_closing(second.t));
}

static void op_close_second(struct scene *c)
{
    (void)c;
    if (second.t)
        eddy_transport_close(second.t);
    if (second_guest.t)
        eddy_transport_abort(second_guest.t, NULL);
}

static void op_detach_second(struct scene *c)
{
    (void)c;
    if (second.p && second.t)
        actor_detach(&second);
    if (second_guest.t)
        start_tls(&second_guest, true, NULL);
}

static void op_everything(struct scene *c)
{
    op_update_keys(c);
    op_write_small(c);
    op_pause_reading(c);
    op_start_tls(c);
    op_write_above_high_mark(c);
    op_resume_reading(c);
    op_start_tls(c);
    op_close_second(c);
    op_close(c);
    op_abort(c);
    op_set_protocol(c);
}

static const struct operation operations[] = {
    {"start_tls", op_start_tls},
    {"start_tls and close", op_start_tls_and_close},
    {"start_tls, a write and its cancellation", op_start_tls_write_and_cancel},
    {"start_tls of the other side", op_start_tls_of_other},
    {"write_eof", op_write_eof},
    {"an update of keys", op_update_keys},
    {"questions", op_ask},
    {"close of the server", op_close_server},
    {"abort_clients", op_abort_clients},
    {"create_connection of another", op_create_connection},
    {"a write to another connection", op_write_second},
    {"the end of another connection", op_close_second},
    {"detach and start_tls of another connection", op_detach_second},
    {"everything", op_everything},
    {NULL, NULL},
};

/* ---- places ---- */

static void fire(struct scene *c)
{
    if (c->fired)
        return;
    c->fired = true;
    c->op->perform(c);
}

static struct actor spare; /* whom the scene's third one connects to */

static void open_connections(struct scene *c)
{
    stage_add(&c->s, &second, false);
    stage_add(&c->s, &second_guest, true);
    stage_add(&c->s, &spare, true);
    c->subject->keep_open = true;
    c->s.server_opts.tls = contexts[true];
    c->s.connection_opts.tls = contexts[false];
    c->s.server_opts.shutdown_timeout = c->s.connection_opts.shutdown_timeout = EDDY_MSEC(200);
    stage_begin(&c->s);
    CHECK_INT(actor_connect(&c->s.client), 0);
    UNTIL(&c->s, c->s.client.done && (c->fired || c->s.peer.count[ON_MADE] == 1));
    if (c->s.guest_next < 1) /* ended before its time */
        return;
    CHECK_INT(actor_connect(&second), 0);
    UNTIL(&c->s, second.done);
}

static struct scene *upgraded_scene;
static struct eddy_future *upgrade;
static struct eddy_done upgrade_done;

static void on_upgraded(struct eddy_done *d, struct eddy_future *f)
{
    (void)d;
    CHECK_INT(eddy_future_result(f, NULL), 0);
    fire(upgraded_scene);
}

static void upgrade_both(struct scene *c)
{
    upgraded_scene = c;
    eddy_transport_resume_reading(c->other->t);
    start_tls(c->subject, c->subject == &c->s.peer, &upgrade);
    start_tls(c->other, c->other == &c->s.peer, NULL);
    upgrade_done.fn = on_upgraded;
    CHECK_INT(eddy_future_add_done_callback(upgrade, &upgrade_done), 0);
}

static void forget_upgrade(struct scene *c)
{
    (void)c;
    eddy_future_remove_done_callback(&upgrade_done);
    eddy_future_error(upgrade);
    eddy_future_unref(upgrade);
    upgrade = NULL;
}

static void fire_in_handle(struct stage *s)
{
    fire(EDDY_CONTAINER_OF(s, struct scene, s));
}

/* Its first step is done, no more. */
static void upgrade_and_look_in(struct scene *c)
{
    upgrade_both(c);
    eddy_future_remove_done_callback(&upgrade_done);
    test_run_steps(c->s.loop, 1);
    stage_inside(&c->s, fire_in_handle);
}

/* The upgraded connection is filled, and read. */
static void upgrade_and_fill(struct scene *c)
{
    upgrade_both(c);
    eddy_future_remove_done_callback(&upgrade_done);
    op_write_above_high_mark(c);
}

static void upgrade_and_send(struct scene *c)
{
    upgrade_both(c);
    eddy_future_remove_done_callback(&upgrade_done);
    send_to_subject(c);
}

static void upgrade_and_end(struct scene *c)
{
    upgrade_and_send(c);
    UNTIL(&c->s, eddy_future_is_done(upgrade) && eddy_transport_can_write_eof(c->other->t));
    CHECK_INT(eddy_transport_write_eof(c->other->t), 0);
}

static void upgrade_and_close(struct scene *c)
{
    upgrade_both(c);
    eddy_future_remove_done_callback(&upgrade_done);
    UNTIL(&c->s, eddy_future_is_done(upgrade));
    op_close(c);
}

static void run_place(const struct place *place)
{
    static const struct matrix matrix = {
        .own = operations,
        .open = open_connections,
        .client = "client",
        .peer = "server",
    };
    for (int server = 0; server < 2; server++)
        contexts[server] = road_context(server);
    matrix_run(&matrix, place);
    for (int server = 0; server < 2; server++)
        eddy_tls_unref(contexts[server]);
}

static void X48_in_connection_made(void)
{
    run_place(&(struct place){.slot = ON_MADE});
}

static void X48_in_data_received(void)
{
    run_place(&(struct place){.slot = ON_DATA, .provoke = send_to_subject});
}

static void X48_in_get_buffer(void)
{
    run_place(&(struct place){.slot = ON_GET_BUFFER, .buffered = true, .provoke = send_to_subject});
}

static void X48_in_buffer_updated(void)
{
    run_place(
        &(struct place){.slot = ON_BUFFER_UPDATED, .buffered = true, .provoke = send_to_subject});
}

static void X32_X48_in_eof_received(void)
{
    run_place(&(struct place){.slot = ON_EOF, .provoke = end_to_subject});
}

static void X23_in_pause_writing(void)
{
    run_place(&(struct place){.slot = ON_PAUSE, .provoke = op_write_above_high_mark});
}

static void X25_in_resume_writing(void)
{
    run_place(&(struct place){.slot = ON_RESUME, .provoke = fill_and_drain});
}

static void X37_in_connection_lost(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = close_and_answer});
}

static void X37_in_fini(void)
{
    run_place(&(struct place){.slot = ON_FINI, .provoke = close_and_answer});
}

static void X4_X38_where_the_upgrade_is_done(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = upgrade_both, .finish = forget_upgrade});
}

static void X8_S52_in_the_middle_of_an_upgrade(void)
{
    run_place(
        &(struct place){.slot = SLOTS, .provoke = upgrade_and_look_in, .finish = forget_upgrade});
}

static void X10_X23_in_pause_writing_before_the_upgrade_is_done(void)
{
    run_place(
        &(struct place){.slot = ON_PAUSE, .provoke = upgrade_and_fill, .finish = forget_upgrade});
}

static void X43_in_resume_writing_of_tls_in_tls(void)
{
    run_place(
        &(struct place){.slot = ON_RESUME, .provoke = upgrade_and_fill, .finish = forget_upgrade});
}

static void X43_in_data_received_of_tls_in_tls(void)
{
    run_place(
        &(struct place){.slot = ON_DATA, .provoke = upgrade_and_send, .finish = forget_upgrade});
}

static void X43_in_buffer_updated_of_tls_in_tls(void)
{
    run_place(&(struct place){.slot = ON_BUFFER_UPDATED,
                              .buffered = true,
                              .provoke = upgrade_and_send,
                              .finish = forget_upgrade});
}

static void X43_in_eof_received_of_tls_in_tls(void)
{
    run_place(
        &(struct place){.slot = ON_EOF, .provoke = upgrade_and_end, .finish = forget_upgrade});
}

static void X43_in_connection_lost_of_tls_in_tls(void)
{
    run_place(
        &(struct place){.slot = ON_LOST, .provoke = upgrade_and_close, .finish = forget_upgrade});
}

const struct test_case test_cases[] = {
    CASE(X48_in_connection_made),
    CASE(X48_in_data_received),
    CASE(X48_in_get_buffer),
    CASE(X48_in_buffer_updated),
    CASE(X32_X48_in_eof_received),
    CASE(X23_in_pause_writing),
    CASE(X25_in_resume_writing),
    CASE(X37_in_connection_lost),
    CASE(X37_in_fini),
    CASE(X4_X38_where_the_upgrade_is_done),
    CASE(X8_S52_in_the_middle_of_an_upgrade),
    CASE(X10_X23_in_pause_writing_before_the_upgrade_is_done),
    CASE(X43_in_resume_writing_of_tls_in_tls),
    CASE(X43_in_data_received_of_tls_in_tls),
    CASE(X43_in_buffer_updated_of_tls_in_tls),
    CASE(X43_in_eof_received_of_tls_in_tls),
    CASE(X43_in_connection_lost_of_tls_in_tls),
    {NULL, NULL},
};
