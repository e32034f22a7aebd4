/* backends: select poll epoll io_uring */
/* timeout: 120 */
/*
 * The re-entrancy matrix of pipes: every operation inside every callback of each end. Actors check
 * the order of callbacks themselves, the stage that each connection_made has its connection_lost
 * and each attachment its fini.
 * clauses: D6 R4 G12 G14 G15 G23
 */
#include "tests/contract/pipes.h"
#include "tests/support/matrix.h"

/* ---- operations ---- */

/* A reader's is refused. */
static void op_write_eof(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_write_eof(c->subject->t);
}

static void op_connect_another(struct scene *c)
{
    int fds[2];
    pipes_make(fds);
    CHECK_INT(pipes_connect(&c->third, eddy_connect_write_pipe, fds[1]), 0);
    close(fds[0]);
}

static void op_detach_other(struct scene *c)
{
    if (c->other->p && c->other->t)
        actor_detach(c->other);
}

static void op_everything(struct scene *c)
{
    op_write_small(c);
    op_pause_reading(c);
    op_write_above_high_mark(c);
    op_resume_reading(c);
    op_abort_other(c);
    op_write_eof(c);
    op_close(c);
    op_abort(c);
    op_set_protocol(c);
}

static const struct operation operations[] = {
    {"write_eof", op_write_eof},
    {"connect of another", op_connect_another},
    {"detach of the other end", op_detach_other},
    {"everything", op_everything},
    {NULL, NULL},
};

/* ---- places ---- */

static void connect_ends(struct scene *c)
{
    int fds[2];
    pipes_begin(&c->s);
    pipes_make(fds);
    REQUIRE(pipes_connect(&c->s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    REQUIRE(pipes_connect(&c->s.client, eddy_connect_write_pipe, fds[1]) == 0);
}

static void open_ends(struct scene *c)
{
    connect_ends(c);
    UNTIL(&c->s, c->s.client.done && c->s.peer.done);
}

static void open_and_cancel(struct scene *c)
{
    connect_ends(c);
    if (c->subject->future)
        eddy_future_cancel(c->subject->future, NULL);
    UNTIL(&c->s, c->s.client.done && c->s.peer.done);
}

static void run_place(const struct place *place)
{
    static const struct matrix matrix = {
        .own = operations,
        .open = open_ends,
        .client = "writer",
        .peer = "reader",
    };
    matrix_run(&matrix, place);
}

static void R4_G12_R35_in_connection_made(void)
{
    run_place(&(struct place){.slot = ON_MADE});
}

static void R4_G12_in_data_received(void)
{
    run_place(&(struct place){.slot = ON_DATA, .sides = PEER_ONLY, .provoke = send_to_subject});
}

static void R2_G12_in_get_buffer(void)
{
    run_place(&(struct place){
        .slot = ON_GET_BUFFER, .sides = PEER_ONLY, .buffered = true, .provoke = send_to_subject});
}

static void R2_G12_in_buffer_updated(void)
{
    run_place(&(struct place){.slot = ON_BUFFER_UPDATED,
                              .sides = PEER_ONLY,
                              .buffered = true,
                              .provoke = send_to_subject});
}

static void R4_G12_in_eof_received(void)
{
    run_place(&(struct place){.slot = ON_EOF, .sides = PEER_ONLY, .provoke = end_to_subject});
}

static void R6_R35_in_pause_writing(void)
{
    run_place(&(struct place){
        .slot = ON_PAUSE, .sides = CLIENT_ONLY, .provoke = op_write_above_high_mark});
}

static void R6_R34_R35_in_resume_writing(void)
{
    run_place(&(struct place){.slot = ON_RESUME, .sides = CLIENT_ONLY, .provoke = fill_and_drain});
}

static void R9_R29_in_connection_lost(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = op_close});
}

static void R9_T43_in_connection_lost_by_the_other_end(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = op_close_other});
}

static void G15_in_fini(void)
{
    run_place(&(struct place){.slot = ON_FINI, .provoke = op_close});
}

static void R7_G15_in_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FAILED, .open = open_and_cancel});
}

static void R10_in_the_done_callback(void)
{
    run_place(&(struct place){.slot = SLOTS, .in_done = true});
}

static void G14_in_a_timer(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = start_timer});
}

static void G14_in_a_handle(void)
{
    run_place(&(struct place){.slot = SLOTS, .provoke = run_handle});
}

static void G7_in_release_of_owned_bytes_by_a_later_send(void)
{
    run_place(&(struct place){.slot = SLOTS, .sides = CLIENT_ONLY, .provoke = write_owned_queued});
}

const struct test_case test_cases[] = {
    CASE(R4_G12_R35_in_connection_made),
    CASE(R4_G12_in_data_received),
    CASE(R2_G12_in_get_buffer),
    CASE(R2_G12_in_buffer_updated),
    CASE(R4_G12_in_eof_received),
    CASE(R6_R35_in_pause_writing),
    CASE(R6_R34_R35_in_resume_writing),
    CASE(R9_R29_in_connection_lost),
    CASE(R9_T43_in_connection_lost_by_the_other_end),
    CASE(G15_in_fini),
    CASE(R7_G15_in_connect_failed),
    CASE(R10_in_the_done_callback),
    CASE(G14_in_a_timer),
    CASE(G14_in_a_handle),
    CASE(G7_in_release_of_owned_bytes_by_a_later_send),
    {NULL, NULL},
};
