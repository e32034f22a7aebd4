/* backends: select poll epoll io_uring */
/* timeout: 120 */
/*
 * The re-entrancy matrix of pipes: every operation inside every callback of each end. Actors check
 * the order of callbacks themselves, the stage that each connection_made has its connection_lost
 * and each attachment its fini.
 * clauses: D6 R4 G12 G14 G15 G23
 */
#include "tests/contract/pipes.h"
#include <string.h>

struct scene {
    struct stage s;
    struct actor *subject, *other;
    struct actor next;  /* for set_protocol */
    struct actor third; /* becomes a pipe of its own, if told to */
    int spare[2];       /* for that one */
    const struct operation *op;
    bool fired;
    bool held;
    struct eddy_timer timer;
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

static void op_write_above_high_mark(struct scene *c)
{
    if (c->subject->t)
        actor_fill(c->subject);
}

static void op_write_eof(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_write_eof(c->subject->t);
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

static void op_connect_another(struct scene *c)
{
    REQUIRE(pipe2(c->spare, O_CLOEXEC) == 0);
    CHECK_INT(pipes_connect(&c->third, eddy_connect_write_pipe, c->spare[1]), 0);
    close(c->spare[0]);
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
    {"connect of another", op_connect_another},
    {"a nested run", op_run_and_close_loop},
    {"close of the other end", op_close_other},
    {"abort of the other end", op_abort_other},
    {"detach of the other end", op_detach_other},
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

static void close_other(struct scene *c)
{
    if (c->other->t)
        eddy_transport_close(c->other->t);
}

static void cancel_subject(struct scene *c)
{
    if (c->subject->future)
        eddy_future_cancel(c->subject->future, NULL);
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

/* Behind a queue: it is released by a later send. */
static void write_owned_queued(struct scene *c)
{
    static const char bytes[40000];
    fill_from_subject(c);
    if (c->subject->t) {
        c->subject->sent += sizeof bytes;
        eddy_transport_write_owned(c->subject->t, bytes, sizeof bytes, fire_in_release, c);
    }
    if (c->other->t)
        eddy_transport_resume_reading(c->other->t);
}

enum ends { BOTH_ENDS, READER, WRITER };

struct place {
    enum slot slot; /* SLOTS: none */
    enum ends ends; /* which of them can come to that */
    bool buffered, in_done, early;
    void (*provoke)(struct scene *c); /* what leads there, once connected, or before if `early` */
};

static void set_up(struct scene *c, const struct place *place, bool writer)
{
    memset(c, 0, sizeof *c);
    stage_init(&c->s);
    stage_add(&c->s, &c->next, false);
    stage_add(&c->s, &c->third, false);
    c->subject = writer ? &c->s.client : &c->s.peer;
    c->other = writer ? &c->s.peer : &c->s.client;
    c->subject->user = c;
    c->other->on[ON_MADE] = do_pause;
    if (place->slot < SLOTS)
        c->subject->on[place->slot] = fire_in_slot;
    if (place->in_done)
        c->subject->on_done = fire_in_slot;
    if (place->buffered)
        c->s.client_class = &actor_buffered_class;
}

/* Whatever has not come to its end is resumed, then ended from the other side. */
static void let_all_arrive(struct scene *c)
{
    struct actor *const all[] = {c->subject, c->other, &c->next, &c->third};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->t)
            eddy_transport_resume_reading(all[i]->t);
    }
    stage_settle(&c->s);
}

static void run_pair(const struct place *place, const struct operation *op, bool writer)
{
    static struct scene scene;
    struct scene *c = &scene;
    int fds[2];
    set_up(c, place, writer);
    c->op = op;
    pipes_begin(&c->s);
    pipes_make(fds);
    REQUIRE(pipes_connect(&c->s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    REQUIRE(pipes_connect(&c->s.client, eddy_connect_write_pipe, fds[1]) == 0);
    if (place->early)
        place->provoke(c);
    UNTIL(&c->s, c->s.client.done && c->s.peer.done);
    if (place->provoke && !place->early && !c->fired)
        place->provoke(c);
    UNTIL(&c->s, c->fired);
    let_all_arrive(c);
    if (c->held)
        eddy_protocol_release(c->subject->last);
    eddy_timer_cancel(&c->timer);
    stage_close(&c->s);
}

static void run_place(const struct place *place)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        for (int writer = 0; writer < 2; writer++) {
            if (place->ends == (writer ? READER : WRITER))
                continue;
            unsigned before = CU_get_number_of_failure_records();
            run_pair(place, &operations[i], writer);
            if (CU_get_number_of_failure_records() != before)
                FAIL("... by %s, the %s", operations[i].name, writer ? "writer" : "reader");
        }
    }
}

static void R4_G12_R35_in_connection_made(void)
{
    run_place(&(struct place){.slot = ON_MADE});
}

static void R4_G12_in_data_received(void)
{
    run_place(&(struct place){.slot = ON_DATA, .ends = READER, .provoke = send_to_subject});
}

static void R2_G12_in_get_buffer(void)
{
    run_place(&(struct place){
        .slot = ON_GET_BUFFER, .ends = READER, .buffered = true, .provoke = send_to_subject});
}

static void R2_G12_in_buffer_updated(void)
{
    run_place(&(struct place){
        .slot = ON_BUFFER_UPDATED, .ends = READER, .buffered = true, .provoke = send_to_subject});
}

static void R4_G12_in_eof_received(void)
{
    run_place(&(struct place){.slot = ON_EOF, .ends = READER, .provoke = end_to_subject});
}

static void R6_R35_in_pause_writing(void)
{
    run_place(&(struct place){.slot = ON_PAUSE, .ends = WRITER, .provoke = fill_from_subject});
}

static void R6_R34_R35_in_resume_writing(void)
{
    run_place(&(struct place){.slot = ON_RESUME, .ends = WRITER, .provoke = fill_and_drain});
}

static void R9_R29_in_connection_lost(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = close_subject});
}

static void R9_T43_in_connection_lost_by_the_other_end(void)
{
    run_place(&(struct place){.slot = ON_LOST, .provoke = close_other});
}

static void G15_in_fini(void)
{
    run_place(&(struct place){.slot = ON_FINI, .provoke = close_subject});
}

static void R7_G15_in_connect_failed(void)
{
    run_place(&(struct place){.slot = ON_FAILED, .early = true, .provoke = cancel_subject});
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
    run_place(&(struct place){.slot = SLOTS, .ends = WRITER, .provoke = write_owned_queued});
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
