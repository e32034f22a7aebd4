/*
 * The relay: two protocols that hold each other's reins. What makes it end is in the transports:
 * each side's attachment ends by connection_lost or connect_failed, then fini, and the second fini
 * is the end of the relay. In between a side that has ended only has to see to it that the other
 * does so too.
 */
#include <eddy/relay.h>
#include <string.h>

/* How long the rest of a side may take when the other was lost: as long as a closing transport may
 * stall (contract T5). */
#define PATIENCE EDDY_SEC(60)

static struct eddy_relay_end *end_of(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_relay_end, base_);
}

static struct eddy_relay_end *other(const struct eddy_relay_end *e)
{
    struct eddy_relay *r = e->relay_;

    return e == &r->near_ ? &r->far_ : &r->near_;
}

static bool is_connecting(const struct eddy_relay_end *e)
{
    return !e->base_.transport && eddy_protocol_is_attached(&e->base_) && !e->over_;
}

static void note(struct eddy_relay *r, const struct eddy_error *why)
{
    if (why && why->code < 0 && r->why_.code == 0)
        eddy_error_copy(&r->why_, why);
}

/* ---- the ways to the end ---- */

static void patience_ended(struct eddy_timer *timer)
{
    struct eddy_relay *r = EDDY_CONTAINER_OF(timer, struct eddy_relay, patience_);

    eddy_transport_abort(r->near_.base_.transport, &r->why_);
    eddy_transport_abort(r->far_.base_.transport, &r->why_);
}

/* What waits is sent before the abort. With both marks at 0, resume_writing says that it was. */
static void drain(struct eddy_relay_end *e)
{
    struct eddy_transport *t = e->base_.transport;
    struct eddy_relay *r = e->relay_;

    if (eddy_transport_is_closing(t))
        return;
    if (eddy_transport_set_write_buffer_limits(t, 0, 0) < 0 ||
        eddy_transport_get_write_buffer_size(t) == 0) {
        eddy_transport_abort(t, &r->why_);
        return;
    }
    e->draining_ = true;
    /* Two hosts that send without reading would wait for each other. */
    eddy_transport_resume_reading(t);
    eddy_loop_call_later(eddy_transport_loop(t), &r->patience_, PATIENCE);
}

static void give_up_connecting(struct eddy_relay_end *e)
{
    e->over_ = true;
    e->relay_->open_--;
    eddy_protocol_detach(&e->base_);
}

/* The other side goes the same way. */
static void end_other(struct eddy_relay_end *e, const struct eddy_error *why)
{
    struct eddy_relay_end *o = other(e);

    e->over_ = true;
    note(e->relay_, why);
    if (o->over_)
        return;
    if (is_connecting(o))
        give_up_connecting(o);
    else if (why)
        drain(o);
    else
        eddy_transport_close(o->base_.transport);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    end_other(end_of(p), err);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    end_other(end_of(p), err);
}

static void fini(struct eddy_protocol *p)
{
    struct eddy_relay_end *e = end_of(p);
    struct eddy_relay *r = e->relay_;

    if (!e->over_) /* another protocol has taken its place */
        end_other(e, NULL);
    if (--r->open_ > 0)
        return;
    eddy_timer_cancel(&r->patience_);
    struct eddy_error why = r->why_; /* done may free the relay */
    r->done(r, why.code < 0 ? &why : NULL);
}

/* ---- while it runs ---- */

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct eddy_relay_end *e = end_of(p);
    struct eddy_relay *r = e->relay_;
    struct eddy_transport *to = other(e)->base_.transport;

    if (eddy_transport_is_closing(to)) /* its connection_lost is under way, or was here */
        return;
    int rc = eddy_transport_write(to, data, len);
    if (rc == 0)
        *(e == &r->near_ ? &r->to_far : &r->to_near) += len;
    else if (!eddy_transport_is_closing(to)) /* its sending side was ended before our time */
        eddy_relay_abort(r, EDDY_ERROR(EDDY_EINVALID_STATE, "relay: the side to send to was ended "
                                                            "by write_eof before"));
}

static void pass_eof(struct eddy_relay_end *e)
{
    struct eddy_relay_end *o = other(e);
    struct eddy_transport *to = o->base_.transport;

    e->eof_ = true;
    if (eddy_transport_is_closing(to))
        return;
    if (o->eof_) { /* that was the second direction */
        eddy_transport_close(to);
        eddy_transport_close(e->base_.transport);
    } else if (eddy_transport_can_write_eof(to)) {
        eddy_transport_write_eof(to);
    } else {
        eddy_transport_close(to);
    }
}

static bool eof_received(struct eddy_protocol *p)
{
    pass_eof(end_of(p));
    return true;
}

static void pause_writing(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(other(end_of(p))->base_.transport);
}

static void resume_writing(struct eddy_protocol *p)
{
    struct eddy_relay_end *e = end_of(p);

    if (e->draining_)
        eddy_transport_abort(p->transport, &e->relay_->why_);
    else
        eddy_transport_resume_reading(other(e)->base_.transport);
}

static void shutdown_requested(struct eddy_protocol *p)
{
    (void)p; /* cut short, half a stream would look like a whole one */
}

/* ---- the beginning ---- */

/* Takes up what the protocol before has left: a pause, the end of the stream, and on the other side
 * a full queue, for which pause_writing does not come again (contract R22, R39). */
static void take_up(struct eddy_relay_end *e)
{
    struct eddy_transport *t = e->base_.transport;

    eddy_transport_resume_reading(t);
    if (!eddy_transport_is_reading(t) && !eddy_transport_is_closing(t))
        pass_eof(e);
    else if (eddy_transport_is_writing_paused(other(e)->base_.transport))
        eddy_transport_pause_reading(t);
}

static void take_up_both(struct eddy_relay *r)
{
    take_up(&r->near_);
    take_up(&r->far_);
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    take_up_both(end_of(p)->relay_);
}

static const struct eddy_protocol_class relay_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("relay"), .fini = fini,
    .connection_made = connection_made,     .connect_failed = connect_failed,
    .data_received = data_received,         .eof_received = eof_received,
    .pause_writing = pause_writing,         .resume_writing = resume_writing,
    .connection_lost = connection_lost,     .shutdown_requested = shutdown_requested,
};

static int check(const struct eddy_relay *r, const struct eddy_transport *near_side)
{
    if (!r || !r->done || !near_side)
        return -EINVAL;
    if (r->open_ > 0)
        return EDDY_EINVALID_STATE;
    return eddy_transport_is_closing(near_side) ? EDDY_ECLOSED : 0;
}

static void init_end(struct eddy_relay_end *e, struct eddy_relay *r)
{
    memset(e, 0, sizeof *e);
    eddy_protocol_init(&e->base_, &relay_class);
    e->relay_ = r;
}

static void init(struct eddy_relay *r)
{
    r->to_far = r->to_near = 0;
    r->why_.code = 0;
    r->patience_.fn = patience_ended;
    init_end(&r->near_, r);
    init_end(&r->far_, r);
}

int eddy_relay_join(struct eddy_relay *r, struct eddy_transport *near_side,
                    struct eddy_transport *far_side)
{
    int rc = check(r, near_side);

    if (rc < 0)
        return rc;
    if (!far_side || near_side == far_side ||
        eddy_transport_loop(near_side) != eddy_transport_loop(far_side))
        return -EINVAL;
    if (eddy_transport_is_closing(far_side))
        return EDDY_ECLOSED;
    init(r);
    r->open_ = 2;
    /* Cannot fail: the transports are open, the ends are free. */
    eddy_transport_set_protocol(near_side, &r->near_.base_);
    eddy_transport_set_protocol(far_side, &r->far_.base_);
    take_up_both(r);
    return 0;
}

int eddy_relay_connect(struct eddy_relay *r, struct eddy_transport *near_side,
                       const struct eddy_connection_opts *opts)
{
    int rc = check(r, near_side);

    if (rc < 0)
        return rc;
    init(r);
    rc = eddy_create_connection(eddy_transport_loop(near_side), &r->far_.base_, opts, NULL);
    if (rc < 0)
        return rc;
    r->open_ = 2;
    eddy_transport_set_protocol(near_side, &r->near_.base_); /* as above */
    eddy_transport_pause_reading(near_side);
    return 0;
}

/* ---- from outside ---- */

void eddy_relay_close(struct eddy_relay *r)
{
    if (!eddy_relay_is_active(r))
        return;
    if (is_connecting(&r->far_))
        give_up_connecting(&r->far_);
    eddy_transport_close(r->near_.base_.transport);
    eddy_transport_close(r->far_.base_.transport);
}

void eddy_relay_abort(struct eddy_relay *r, const struct eddy_error *why)
{
    if (!eddy_relay_is_active(r))
        return;
    note(r, why);
    if (is_connecting(&r->far_))
        give_up_connecting(&r->far_);
    eddy_transport_abort(r->near_.base_.transport, why);
    eddy_transport_abort(r->far_.base_.transport, why);
}

void eddy_relay_cancel(struct eddy_relay *r)
{
    if (!eddy_relay_is_active(r))
        return;
    r->open_ = 0;
    eddy_timer_cancel(&r->patience_);
    eddy_protocol_detach(&r->near_.base_);
    eddy_protocol_detach(&r->far_.base_);
}

bool eddy_relay_is_active(const struct eddy_relay *r)
{
    return r && r->open_ > 0;
}
