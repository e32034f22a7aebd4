#include "transports/opening.h"

#include "framework/base/alloc.h"

/* ---- transports with a storage of their own ---- */

static void free_opened(struct eddy_owner *o, struct eddy_transport *t)
{
    (void)o;
    eddy_free(t);
}

static const struct eddy_owner_class opened_owner = {.free = free_opened};

struct opened *eddy_opened_new(size_t size, struct eddy_loop *loop,
                               const struct eddy_transport_class *cls,
                               const struct eddy_io_class *io_cls, struct eddy_limits *limits,
                               const char *site)
{
    struct opened *s = eddy_zalloc(size);

    if (!s)
        return NULL;
    s->owner.cls = &opened_owner;
    s->owner.site = site;
    eddy_transport_init(&s->t, loop, cls, io_cls, &s->owner);
    eddy_transport_use_limits(&s->t, limits);
    return s;
}

void eddy_opened_drop(struct opened *s)
{
    s->opening = NULL;
    if (s->t.io.fd >= 0)
        eddy_io_close(&s->t.io); /* it goes when that is done */
    else
        eddy_transport_discard(&s->t);
}

/* ---- the end of an attempt ---- */

static void drop(struct opening *o)
{
    struct opened *s = o->opened;

    o->opened = NULL;
    if (!s)
        return;
    s->opening = NULL;
    if (o->cls->drop)
        o->cls->drop(o, s);
    else
        eddy_opened_drop(s);
}

static void free_opening(struct opening *o)
{
    if (o->cls->fini)
        o->cls->fini(o);
    eddy_free(o);
}

/* No call of anybody reaches it any more. */
static void stop(struct opening *o)
{
    if (o->cls->stop)
        o->cls->stop(o);
    eddy_handle_cancel(&o->later);
    eddy_link_remove(&o->resource.link);
    if (o->future)
        eddy_future_on_cancel(o->future, NULL, NULL);
}

void eddy_opening_succeed(struct opening *o)
{
    struct opened *s = o->opened;
    struct eddy_future *f = o->future;

    if (o->cls->stop)
        o->cls->stop(o);
    eddy_link_remove(&o->resource.link);
    s->opening = NULL;
    eddy_protocol_end_attempt(o->protocol);
    o->made = true;
    eddy_transport_made(&s->t, o->protocol, &o->loop->transports);
    stop(o);
    if (f)
        eddy_future_set_result_unless_cancelled(f, NULL, NULL);
    eddy_future_unref(f);
    free_opening(o);
}

void eddy_opening_fail(struct opening *o, const struct eddy_error *why)
{
    struct eddy_error e = *why;
    struct eddy_future *f = o->future;

    stop(o);
    drop(o);
    eddy_protocol_attempt_failed(o->protocol, o->loop, &e);
    if (f && !eddy_future_is_done(f))
        eddy_future_set_error(f, &e);
    eddy_future_unref(f);
    free_opening(o);
}

/* ---- what happens to it ---- */

static void run_later(struct eddy_handle *h)
{
    struct opening *o = EDDY_CONTAINER_OF(h, struct opening, later);

    if (o->error.code)
        eddy_opening_fail(o, &o->error);
    else
        eddy_opening_succeed(o);
}

void eddy_opening_succeed_later(struct opening *o)
{
    eddy_loop_call_soon(o->loop, &o->later);
}

void eddy_opening_fail_later(struct opening *o, const struct eddy_error *why)
{
    if (o->error.code)
        return;
    o->error = *why;
    if (o->cls->stop)
        o->cls->stop(o);
    drop(o);
    eddy_loop_call_soon(o->loop, &o->later);
}

static void give_up(struct eddy_attempt *a, const struct eddy_error *why)
{
    struct opening *o = (struct opening *)a;
    struct eddy_future *f = o->future;
    struct eddy_error own;

    if (why) {
        eddy_error_copy(&own, why);
        eddy_opening_fail_later(o, &own);
        return;
    }
    stop(o); /* the protocol was detached: nobody is told but the future */
    drop(o);
    if (f)
        eddy_future_cancel(f, "the protocol was detached");
    eddy_future_unref(f);
    free_opening(o);
}

static void future_cancelled(struct eddy_future *f, void *user)
{
    struct opening *o = user;

    if (o->made) /* in connection_made: contract S13 */
        eddy_transport_close(&o->opened->t);
    else
        eddy_opening_fail_later(o, eddy_future_error(f));
}

static void loop_closing(struct eddy_resource *r)
{
    struct opening *o = EDDY_CONTAINER_OF(r, struct opening, resource);
    struct eddy_error e;

    eddy_error_set(&e, EDDY_ELOOP_CLOSED, o->cls->op, "%s: %s", o->cls->op,
                   eddy_strerror(EDDY_ELOOP_CLOSED));
    eddy_opening_fail(o, &e);
}

/* ---- the beginning ---- */

int eddy_opening_begin(struct opening *o, const struct opening_class *cls, struct eddy_loop *loop,
                       struct eddy_protocol *p, struct opened *s, bool with_future)
{
    struct eddy_future *f = NULL;
    int rc = !o ? -ENOMEM : with_future ? eddy_future_new(loop, &f) : 0;

    if (o)
        o->cls = cls;
    if (rc == 0)
        rc = eddy_protocol_begin_attempt(p, &o->attempt);
    if (rc < 0) {
        eddy_future_unref(f);
        if (s)
            eddy_opened_drop(s);
        if (o)
            free_opening(o);
        return rc;
    }
    o->attempt.give_up = give_up;
    o->resource.loop_closing = loop_closing;
    o->loop = loop;
    o->protocol = p;
    o->future = f;
    o->later.fn = run_later;
    o->opened = s;
    if (s)
        s->opening = o;
    return 0;
}

void eddy_opening_undo(struct opening *o)
{
    eddy_protocol_end_attempt(o->protocol);
    if (o->cls->stop)
        o->cls->stop(o);
    drop(o);
    eddy_future_unref(o->future);
    free_opening(o);
}

void eddy_opening_go_on(struct opening *o, struct eddy_future **ret)
{
    eddy_list_append(&o->loop->resources, &o->resource.link);
    if (!ret)
        return;
    eddy_future_on_cancel(o->future, future_cancelled, o);
    *ret = eddy_future_ref(o->future);
}
