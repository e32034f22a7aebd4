/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* timeout: 300 */
/*
 * The re-entrancy matrix: every operation inside every callback, once for the accepted side and
 * once for the connecting one. Actors check the order of callbacks themselves, the stage that each
 * connection_made has its connection_lost and each attachment its fini.
 * clauses: D6 R1 G12 G14 G15 G23
 */
#include "tests/support/matrix.h"

static struct actor spare; /* whom the scene's third one connects to */
static struct eddy_future *drained;

/* ---- operations ---- */

static void op_write_eof(struct scene *c)
{
    if (c->subject->t)
        CHECK_INT(eddy_transport_write_eof(c->subject->t), 0);
}

static void op_close_server(struct scene *c)
{
    eddy_server_close(c->s.server);
}

static void op_close_clients(struct scene *c)
{
    eddy_server_close_clients(c->s.server);
}

static void op_abort_clients(struct scene *c)
{
    eddy_server_abort_clients(c->s.server, EDDY_ERROR(-EPROTO, "all of them"));
}

static void op_drain(struct scene *c)
{
    CHECK_INT(eddy_server_drain(c->s.server, EDDY_MSEC(5), NULL), 0);
}

static void op_create_connection(struct scene *c)
{
    CHECK_INT(actor_connect(&c->third), 0);
}

static void op_everything(struct scene *c)
{
    op_write_small(c);
    op_pause_reading(c);
    op_write_above_high_mark(c);
    op_write_eof(c);
    op_resume_reading(c);
    op_close_server(c);
    op_close(c);
    op_abort_clients(c);
    op_set_protocol(c);
}

static const struct operation operations[] = {
    {"write_eof", op_write_eof},
    {"close of the server", op_close_server},
    {"close_clients", op_close_clients},
    {"abort_clients", op_abort_clients},
    {"drain", op_drain},
    {"create_connection of another", op_create_connection},
    {"everything", op_everything},
    {NULL, NULL},
};

/* ---- places ---- */

static void drain_server(struct scene *c)
{
    CHECK_INT(eddy_server_drain(c->s.server, EDDY_MSEC(500), &drained), 0);
}

static void await_drained(struct scene *c)
{
    if (drained == NULL)
        return;
    close_and_answer(c);
    UNTIL(&c->s, eddy_future_is_done(drained));
    eddy_future_unref(drained);
}

static void write_owned_in_handle(struct stage *s)
{
    write_owned(EDDY_CONTAINER_OF(s, struct scene, s));
}

static void write_owned_inside(struct scene *c)
{
    stage_inside(&c->s, write_owned_in_handle);
}

static void begin(struct scene *c)
{
    drained = NULL;
    stage_add(&c->s, &spare, true);
    c->subject->keep_open = true;
    stage_begin(&c->s);
}

static void connect_client(struct scene *c)
{
    CHECK_INT(actor_connect(&c->s.client), 0);
    UNTIL(&c->s, c->s.client.done);
}

static void open_connection(struct scene *c)
{
    begin(c);
    connect_client(c);
    if (!c->fired)
        UNTIL(&c->s, c->s.peer.count[ON_MADE] == 1);
}

static void open_refused(struct scene *c)
{
    begin(c);
    stage_refuse(&c->s);
    connect_client(c);
}

static void run_place(const struct place *place)
{
    static const struct matrix matrix = {
        .own = operations,
        .open = open_connection,
        .client = "connecting side",
        .peer = "accepted side",
    };
    matrix_run(&matrix, place);
}

static void R1_G12_G15_in_init(void)
{
    run_place(&(struct place){.slot = ON_INIT, .sides = PEER_ONLY});
}

static void R1_G12_R35_in_connection_made(void)
{
    run_place(&(struct place){.slot = ON_MADE});
}

static void R1_G12_in_data_received(void)
{
    run_place(&(struct place){.slot = ON_DATA, .provoke = send_to_subject});
}

static void R2_G12_in_get_buffer(void)
{
    run_place(&(struct place){.slot = ON_GET_BUFFER, .buffered = true, .provoke = send_to_subject});
}

static void R2_G12_in_buffer_updated(void)
{
    run_place(
        &(struct place){.slot = ON_BUFFER_UPDATED, .buffered = true, .provoke = send_to_subject});
}

static void R1_G12_in_eof_received(void)
{
    run_place(&(struct place){.slot = ON_EOF, .provoke = end_to_subject});
}

static void R2_G12_in_eof_received_of_a_buffered_protocol(void)
{
    run_place(&(struct place){.slot = ON_EOF, .buffered = true, .provoke = end_to_subject});
}

static void R6_R35_in_pause_writing(void)
{
    run_place(&(struct place){.slot = ON_PAUSE, .provoke = op_write_above_high_mark});
}

static void R6_R34_R35_in_resume_writing(void)
{
    run_place(&(struct place){.slot = ON_RESUME, .provoke = fill_and_drain});
}

static void R9_R29_in_connection_lost(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = close_and_answer});
}

static void G15_in_fini(void)
{
    run_place(&(struct place){.slot = ON_FINI, .provoke = close_and_answer});
}

static void S53_G12_in_shutdown_requested(void)
{
    run_place(&(struct place){
        .slot = ON_SHUTDOWN, .sides = PEER_ONLY, .provoke = drain_server, .finish = await_drained});
}

static void R7_G15_in_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FAILED, .open = open_refused, .sides = CLIENT_ONLY});
}

static void R7_G15_in_fini_after_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FINI, .open = open_refused, .sides = CLIENT_ONLY});
}

static void R10_in_the_done_callback(void)
{
    run_place(&(struct place){.slot = SLOTS, .in_done = true, .sides = CLIENT_ONLY});
}

static void G14_in_a_timer(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = start_timer});
}

static void G14_in_a_handle(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = run_handle});
}

static void G7_in_release_of_owned_bytes(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = write_owned_inside});
}

static void G7_in_release_of_owned_bytes_by_a_later_send(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = write_owned_queued});
}

const struct test_case test_cases[] = {
    CASE(R1_G12_G15_in_init),
    CASE(R1_G12_R35_in_connection_made),
    CASE(R1_G12_in_data_received),
    CASE(R2_G12_in_get_buffer),
    CASE(R2_G12_in_buffer_updated),
    CASE(R1_G12_in_eof_received),
    CASE(R2_G12_in_eof_received_of_a_buffered_protocol),
    CASE(R6_R35_in_pause_writing),
    CASE(R6_R34_R35_in_resume_writing),
    CASE(R9_R29_in_connection_lost),
    CASE(G15_in_fini),
    CASE(S53_G12_in_shutdown_requested),
    CASE(R7_G15_in_connect_failed),
    CASE(R7_G15_in_fini_after_connect_failed),
    CASE(R10_in_the_done_callback),
    CASE(G14_in_a_timer),
    CASE(G14_in_a_handle),
    CASE(G7_in_release_of_owned_bytes),
    CASE(G7_in_release_of_owned_bytes_by_a_later_send),
    {NULL, NULL},
};
