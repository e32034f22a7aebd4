/* The re-entrancy matrix: the operations and places of all transports, and the rows and columns. */
#include "tests/support/matrix.h"
#include <string.h>

/* ---- operations ---- */

void op_close(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_close(c->subject->t);
}

void op_abort(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_abort(c->subject->t, EDDY_ERROR(-EPROTO, "the matrix says so"));
}

static void op_protocol_abort(struct scene *c)
{
    eddy_protocol_abort(c->subject->last, EDDY_ERROR(-EPROTO, "the matrix says so"));
}

void op_write_small(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_write(c->subject->t, "small", 5);
}

void op_write_above_high_mark(struct scene *c)
{
    if (c->subject->t)
        actor_fill(c->subject);
}

void op_pause_reading(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_pause_reading(c->subject->t);
}

void op_resume_reading(struct scene *c)
{
    if (c->subject->t)
        eddy_transport_resume_reading(c->subject->t);
}

void op_set_protocol(struct scene *c)
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

static void op_run_and_close_loop(struct scene *c)
{
    CHECK_INT(eddy_loop_run_once(c->s.loop, 0), EDDY_ELOOP_RUNNING);
    CHECK_INT(eddy_loop_close(c->s.loop), EDDY_ELOOP_RUNNING);
}

void op_close_other(struct scene *c)
{
    if (c->other->t)
        eddy_transport_close(c->other->t);
}

void op_abort_other(struct scene *c)
{
    if (c->other->t)
        eddy_transport_abort(c->other->t, NULL);
}

static const struct operation operations[] = {
    {"close", op_close},
    {"abort", op_abort},
    {"eddy_protocol_abort", op_protocol_abort},
    {"a small write", op_write_small},
    {"a write above the high mark", op_write_above_high_mark},
    {"pause_reading", op_pause_reading},
    {"resume_reading", op_resume_reading},
    {"set_protocol", op_set_protocol},
    {"detach", op_detach},
    {"hold", op_hold},
    {"hold and release", op_hold_and_release},
    {"unread", op_unread},
    {"stop of the loop", op_stop_loop},
    {"a nested run", op_run_and_close_loop},
    {"close of the other side", op_close_other},
    {"abort of the other side", op_abort_other},
    {NULL, NULL},
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

void send_to_subject(struct scene *c)
{
    if (c->other->t)
        CHECK_INT(actor_write(c->other, 1000), 0);
}

void end_to_subject(struct scene *c)
{
    send_to_subject(c);
    if (c->other->t)
        CHECK_INT(eddy_transport_write_eof(c->other->t), 0);
}

static void let_other_read(struct scene *c)
{
    if (c->other->t)
        eddy_transport_resume_reading(c->other->t);
}

void fill_and_drain(struct scene *c)
{
    op_write_above_high_mark(c);
    let_other_read(c);
}

void close_and_answer(struct scene *c)
{
    op_close(c);
    if (road_waits_for_peer())
        let_other_read(c);
}

void start_timer(struct scene *c)
{
    c->timer.fn = fire_in_timer;
    eddy_loop_call_later(c->s.loop, &c->timer, 0);
}

void run_handle(struct scene *c)
{
    stage_inside(&c->s, fire_in_handle);
}

void write_owned(struct scene *c)
{
    static const char bytes[40000];
    if (c->subject->t) {
        c->subject->sent += sizeof bytes;
        eddy_transport_write_owned(c->subject->t, bytes, sizeof bytes, fire_in_release, c);
    }
}

void write_owned_queued(struct scene *c)
{
    op_write_above_high_mark(c);
    write_owned(c);
    let_other_read(c);
}

/* ---- the matrix ---- */

static void set_up(struct scene *c, const struct place *place, bool peer)
{
    memset(c, 0, sizeof *c);
    stage_init(&c->s);
    stage_add(&c->s, &c->next, false);
    stage_add(&c->s, &c->third, false);
    c->subject = peer ? &c->s.peer : &c->s.client;
    c->other = peer ? &c->s.client : &c->s.peer;
    c->subject->user = c;
    c->other->on[ON_MADE] = do_pause;
    if (place->slot < SLOTS)
        c->subject->on[place->slot] = fire_in_slot;
    if (place->in_done)
        c->subject->on_done = fire_in_slot;
    if (place->buffered)
        c->s.server_class = c->s.client_class = &actor_buffered_class;
}

/* Those whom nobody connected to are no part of it. */
static void let_all_arrive(struct scene *c)
{
    for (unsigned i = 0; i < c->s.cast_count; i++) {
        if (c->s.cast[i]->t)
            eddy_transport_resume_reading(c->s.cast[i]->t);
    }
    stage_settle(&c->s);
}

static void run_pair(const struct matrix *m, const struct place *place, const struct operation *op,
                     bool peer)
{
    static struct scene scene;
    struct scene *c = &scene;
    set_up(c, place, peer);
    c->op = op;
    if (place->open)
        place->open(c);
    else
        m->open(c);
    if (place->provoke && !c->fired)
        place->provoke(c);
    UNTIL(&c->s, c->fired);
    let_all_arrive(c);
    if (c->held)
        eddy_protocol_release(c->subject->last);
    eddy_timer_cancel(&c->timer);
    if (place->finish)
        place->finish(c);
    stage_close(&c->s);
}

static void run_operations(const struct matrix *m, const struct place *place,
                           const struct operation *op)
{
    for (; op->name; op++) {
        for (int peer = 0; peer < 2; peer++) {
            if (place->sides == (peer ? CLIENT_ONLY : PEER_ONLY))
                continue;
            unsigned before = CU_get_number_of_failure_records();
            run_pair(m, place, op, peer);
            if (CU_get_number_of_failure_records() != before)
                FAIL("... by %s, the %s", op->name, peer ? m->peer : m->client);
        }
    }
}

void matrix_run(const struct matrix *m, const struct place *place)
{
    run_operations(m, place, operations);
    run_operations(m, place, m->own);
}
