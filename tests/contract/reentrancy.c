/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 300 */
/*
 * The re-entrancy matrix: every operation inside every callback, once for the accepted side and
 * once for the connecting one. Actors check the order of callbacks themselves, the stage that each
 * connection_made has its connection_lost and each attachment its fini.
 * clauses: D6 R1 G12 G14 G15 G23
 */
#include "tests/support/stream.h"
#include <string.h>

struct scene {
    struct stage s;
    struct actor *subject, *other;
    struct actor next;  /* for set_protocol */
    struct actor third; /* connects, if told to */
    struct actor spare; /* ... to this one */
    const struct operation *op;
    bool fired;
    bool held;
    struct eddy_timer timer;
    struct eddy_future *drained;
};

/* ---- operations, on a subject that may have no transport any more, or not yet ---- */

struct operation {
    const char *name;
    void (*perform)(struct scene *c);
};

static void op_close(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_close(c->subject->t);
}

static void op_abort(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_abort(c->subject->t, EDDY_ERROR(-EPROTO, "the matrix says so"));
}

static void op_protocol_abort(struct scene *c)
{
    eddy_protocol_abort(c->subject->last, EDDY_ERROR(-EPROTO, "the matrix says so"));
}

static void op_write_small(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_write(c->subject->t, "small", 5);
}

/* The other side does not read: this comes to pause_writing. */
static void op_write_above_high_mark(struct scene *c)
{
    if (c->subject->t)
        actor_fill(c->subject);
}

static void op_write_eof(struct scene *c)
{
    if (c->subject->t)
        CHECK_INT(eddy_transport_write_eof(c->subject->t), 0);
}

static void op_pause_reading(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_pause_reading(c->subject->t);
}

static void op_resume_reading(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_resume_reading(c->subject->t);
}

static void op_set_protocol(struct scene *c)
{
    struct actor *a = c->subject;
    if (a->t) {
        int err = actor_switch(a, &c->next, a->p->cls);
        CHECK(err == 0 || (err == EDDY_ECLOSED && eddy_transport_is_closing(a->t)));
    }
}

static void op_detach(struct scene *c)
{
    struct actor *a = c->subject;
    if (a->p && eddy_protocol_is_attached(a->p))
        actor_detach(a);
    else
        eddy_protocol_detach(a->last);
}

/* In fini it is too late for that. */
static void op_hold(struct scene *c)
{
    if (c->subject->p == NULL)
        return;
    eddy_protocol_hold(c->subject->last);
    c->held = true;
}

static void op_hold_and_release(struct scene *c)
{
    eddy_protocol_hold(c->subject->last);
    eddy_protocol_release(c->subject->last);
}

static void op_unread(struct scene *c)
{
    struct actor *a = c->subject;
    if (a->t == NULL)
        return;
    if (a->data) {
        CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
        a->received -= a->len;
    } else {
        CHECK(eddy_transport_unread(a->t, "x", 1) < 0);
    }
}

static void op_stop_loop(struct scene *c)
{
    eddy_loop_stop(c->s.loop);
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

static void op_run_and_close_loop(struct scene *c)
{
    CHECK_INT(eddy_loop_run_once(c->s.loop, 0), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_close(c->s.loop), EDDY_ELOOP_RUNNING);
}

static void op_close_other(struct scene *c)
{
    if (c->other->t)
        eddy_transport_close(c->other->t);
}

static void op_abort_other(struct scene *c)
{
    if (c->other->t)
        eddy_transport_abort(c->other->t, NULL);
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
    {"close", op_close},
    {"abort", op_abort},
    {"eddy_protocol_abort", op_protocol_abort},
    {"a small write", op_write_small},
    {"a write above the high mark", op_write_above_high_mark},
    {"write_eof", op_write_eof},
    {"pause_reading", op_pause_reading},
    {"resume_reading", op_resume_reading},
    {"set_protocol", op_set_protocol},
    {"detach", op_detach},
    {"hold", op_hold},
    {"hold and release", op_hold_and_release},
    {"unread", op_unread},
    {"stop of the loop", op_stop_loop},
    {"close of the server", op_close_server},
    {"close_clients", op_close_clients},
    {"abort_clients", op_abort_clients},
    {"drain", op_drain},
    {"create_connection of another", op_create_connection},
    {"a nested run", op_run_and_close_loop},
    {"close of the other side", op_close_other},
    {"abort of the other side", op_abort_other},
    {"everything", op_everything},
};

/* ---- places ---- */

static void fire(struct scene *c)
{
    if (!c->fired) {
        c->fired = true;
        c->op->perform(c);
    }
}

static void fire_in_slot(struct actor *a)
{
    fire(a->user);
}

static void fire_in_release(void *user)
{
    fire(user);
}

static void fire_in_timer(struct eddy_timer *t)
{
    fire(EDDY_CONTAINER_OF(t, struct scene, timer));
}

static void fire_in_handle(struct stage *s)
{
    fire(EDDY_CONTAINER_OF(s, struct scene, s));
}

static void send_to_subject(struct scene *c)
{
    if (c->other->t)
        CHECK_INT(actor_write(c->other, 1000), 0);
}

static void end_to_subject(struct scene *c)
{
    send_to_subject(c);
    if (c->other->t)
        CHECK_INT(eddy_transport_write_eof(c->other->t), 0);
}

static void fill_from_subject(struct scene *c)
{
    if (c->subject->t)
        actor_fill(c->subject);
}

static void fill_and_drain(struct scene *c)
{
    fill_from_subject(c);
    if (c->other->t)
        eddy_transport_resume_reading(c->other->t);
}

static void close_subject(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_close(c->subject->t);
}

static void drain_server(struct scene *c)
{
    CHECK_INT(eddy_server_drain(c->s.server, EDDY_MSEC(500), &c->drained), 0);
}

static void start_timer(struct scene *c)
{
    c->timer.fn = fire_in_timer;
    eddy_loop_call_later(c->s.loop, &c->timer, 0);
}

static void run_handle(struct scene *c)
{
    stage_inside(&c->s, fire_in_handle);
}

static void write_owned(struct stage *s)
{
    struct scene *c = EDDY_CONTAINER_OF(s, struct scene, s);
    static const char bytes[40000];
    if (c->subject->t) {
        c->subject->sent += sizeof bytes;
        eddy_transport_write_owned(c->subject->t, bytes, sizeof bytes, fire_in_release, c);
    }
}

static void write_owned_inside(struct scene *c)
{
    stage_inside(&c->s, write_owned);
}

/* Behind a queue: it is released by a later send. */
static void write_owned_queued(struct scene *c)
{
    fill_from_subject(c);
    write_owned(&c->s);
    if (c->other->t)
        eddy_transport_resume_reading(c->other->t);
}

struct place {
    enum slot slot; /* SLOTS: none */
    bool buffered, refused, in_done;
    bool accepted_only, connecting_only;
    void (*provoke)(struct scene *c); /* what leads there, once connected */
};

static void set_up(struct scene *c, const struct place *place, bool accepted)
{
    memset(c, 0, sizeof *c);
    stage_init(&c->s);
    stage_add(&c->s, &c->next, false);
    stage_add(&c->s, &c->third, false);
    stage_add(&c->s, &c->spare, true);
    c->subject = accepted ? &c->s.peer : &c->s.client;
    c->other = accepted ? &c->s.client : &c->s.peer;
    c->subject->user = c;
    c->subject->keep_open = true;
    c->other->on[ON_MADE] = do_pause;
    if (place->slot < SLOTS)
        c->subject->on[place->slot] = fire_in_slot;
    if (place->in_done)
        c->subject->on_done = fire_in_slot;
    if (place->buffered)
        c->s.server_class = c->s.client_class = &actor_buffered_class;
}

/* The guests that nobody connected to are no part of it. */
static void let_all_arrive(struct scene *c)
{
    struct actor *const all[] = {c->subject, c->other, &c->next, &c->third, &c->spare};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->t)
            eddy_transport_resume_reading(all[i]->t);
    }
    stage_settle(&c->s);
}

static void run_pair(const struct place *place, const struct operation *op, bool accepted)
{
    static struct scene scene;
    struct scene *c = &scene;
    set_up(c, place, accepted);
    c->op = op;
    stage_begin(&c->s);
    if (place->refused)
        stage_refuse(&c->s);
    CHECK_INT(actor_connect(&c->s.client), 0);
    UNTIL(&c->s, c->s.client.done);
    if (!place->refused && !c->fired)
        UNTIL(&c->s, c->s.peer.count[ON_MADE] == 1);
    if (place->provoke && !c->fired)
        place->provoke(c);
    UNTIL(&c->s, c->fired);
    let_all_arrive(c);
    if (c->held)
        eddy_protocol_release(c->subject->last);
    eddy_timer_cancel(&c->timer);
    if (c->drained) {
        close_subject(c);
        UNTIL(&c->s, eddy_future_is_done(c->drained));
        eddy_future_unref(c->drained);
    }
    stage_close(&c->s);
}

static void run_place(const struct place *place)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        for (int accepted = 0; accepted < 2; accepted++) {
            if (accepted ? place->connecting_only : place->accepted_only)
                continue;
            unsigned before = CU_get_number_of_failure_records();
            run_pair(place, &operations[i], accepted);
            if (CU_get_number_of_failure_records() != before)
                FAIL("... by %s, %s side", operations[i].name,
                     accepted ? "accepted" : "connecting");
        }
    }
}

static void R1_G12_G15_in_init(void)
{
    run_place(&(struct place){.slot = ON_INIT, .accepted_only = true});
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
    run_place(&(struct place){.slot = ON_PAUSE, .provoke = fill_from_subject});
}

static void R6_R34_R35_in_resume_writing(void)
{
    run_place(&(struct place){.slot = ON_RESUME, .provoke = fill_and_drain});
}

static void R9_R29_in_connection_lost(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = close_subject});
}

static void G15_in_fini(void)
{
    run_place(&(struct place){.slot = ON_FINI, .provoke = close_subject});
}

static void S53_G12_in_shutdown_requested(void)
{
    run_place(&(struct place){.slot = ON_SHUTDOWN, .accepted_only = true, .provoke = drain_server});
}

static void R7_G15_in_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FAILED, .refused = true, .connecting_only = true});
}

static void R7_G15_in_fini_after_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FINI, .refused = true, .connecting_only = true});
}

static void R10_in_the_done_callback(void)
{
    run_place(&(struct place){.slot = SLOTS, .in_done = true, .connecting_only = true});
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
