/* Protocols: classes checked, instances made, attachments begun and ended. */
#include "framework/base/opts.h"
#include "framework/transport/transport.h"
#include <string.h>

/* ---- nobody: stands in where a protocol was detached ---- */

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class nobody_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("nobody"),
    .data_received = ignore_data,
};

struct eddy_protocol protocol_nobody = {.cls = &nobody_class};

/* ---- classes and instances ---- */

int eddy_protocol_class_check(const struct eddy_protocol_class *cls, const char *op,
                              struct eddy_error *e)
{
    if (!cls)
        return eddy_error_set(e, -EINVAL, op, "%s: no protocol class", op);
    int rc = eddy_opts_check(cls, cls->abi_size, sizeof *cls);
    if (rc < 0)
        return eddy_error_set(e, rc, op,
                              "%s: protocol class of another version; "
                              "begin it with EDDY_PROTOCOL_CLASS()",
                              op);
    if (cls->kind_ != EDDY_STREAM_CLASS_)
        return eddy_error_set(e, -EINVAL, op, "%s: protocol class \"%s\" is not for streams", op,
                              cls->name ? cls->name : "?");
    if (cls->instance_size < cls->base_offset + sizeof(struct eddy_protocol) ||
        cls->instance_align == 0 || (cls->instance_align & (cls->instance_align - 1)) ||
        cls->instance_align > 4096)
        return eddy_error_set(e, -EINVAL, op, "%s: protocol class \"%s\" has impossible sizes", op,
                              cls->name ? cls->name : "?");
    if (!cls->data_received && !(cls->get_buffer && cls->buffer_updated))
        return eddy_error_set(e, -EINVAL, op,
                              "%s: protocol class \"%s\" has neither data_received, "
                              "nor get_buffer and buffer_updated",
                              op, cls->name ? cls->name : "?");
    if (!cls->get_buffer != !cls->buffer_updated)
        return eddy_error_set(e, -EINVAL, op,
                              "%s: protocol class \"%s\" has one of get_buffer and buffer_updated",
                              op, cls->name ? cls->name : "?");
    return 0;
}

size_t eddy_protocol_instance_offset(const struct eddy_protocol_class *cls)
{
    size_t align = cls->instance_align;

    return (sizeof(struct eddy_transport) + align - 1) & ~(align - 1);
}

static struct eddy_transport *transport_of_instance(struct eddy_protocol *p)
{
    char *instance = (char *)p - p->cls->base_offset;

    return (struct eddy_transport *)(void *)(instance - eddy_protocol_instance_offset(p->cls));
}

int eddy_protocol_new_instance(struct eddy_transport *t, const struct eddy_protocol_class *cls,
                               void *arg, struct eddy_protocol **ret)
{
    char *instance = (char *)t + eddy_protocol_instance_offset(cls);
    struct eddy_protocol *p = (struct eddy_protocol *)(void *)(instance + cls->base_offset);

    memset(instance, 0, cls->instance_size);
    p->cls = cls;
    p->flags_ = P_INSTANCE;
    int rc = cls->init ? cls->init(p, arg) : 0;
    if (rc < 0)
        return rc;
    t->flags |= T_INSTANCE;
    *ret = p;
    return 0;
}

void eddy_protocol_init(struct eddy_protocol *p, const struct eddy_protocol_class *cls)
{
    memset(p, 0, sizeof *p);
    p->cls = cls;
}

bool eddy_protocol_is_attached(const struct eddy_protocol *p)
{
    return p->phase_ != PHASE_IDLE;
}

/* ---- the beginning of an attachment ---- */

void protocol_attach(struct eddy_protocol *p, struct eddy_transport *t)
{
    p->transport = t;
    p->phase_ = PHASE_ATTACHED;
    t->protocol = p;
}

int eddy_protocol_begin_attempt(struct eddy_protocol *p, struct eddy_attempt *a)
{
    if (!p || !p->cls || (p->phase_ != PHASE_IDLE && p->phase_ != PHASE_LOSING) ||
        (p->flags_ & P_INSTANCE))
        return -EINVAL;
    a->gone_ = p->phase_ == PHASE_LOSING && !p->transport ? p->link_ : NULL;
    p->phase_ = PHASE_CONNECTING;
    p->link_ = a;
    return 0;
}

void eddy_protocol_end_attempt(struct eddy_protocol *p)
{
    struct eddy_attempt *a = p->link_;

    /* Undone inside its own last callback, it is where it was. */
    p->phase_ = p->transport || a->gone_ ? PHASE_LOSING : PHASE_IDLE;
    p->link_ = a->gone_;
}

static int check_class(const struct eddy_transport *t, const struct eddy_protocol_class *cls)
{
    return t->cls->check_protocol ? t->cls->check_protocol(cls, "set_protocol", NULL)
                                  : eddy_protocol_class_check(cls, "set_protocol", NULL);
}

int eddy_transport_set_protocol(struct eddy_transport *t, struct eddy_protocol *p)
{
    if (!t)
        return EDDY_ECLOSED;
    struct eddy_protocol *old = t->protocol;
    int rc = p ? check_class(t, p->cls) : -EINVAL;

    if (rc < 0)
        return rc;
    if (t->state >= EDDY_TRANSPORT_LOST)
        return EDDY_ECLOSED;
    if (p == old)
        return 0;
    if (t->flags & T_COVERED) /* it is the one above's */
        return EDDY_EINVALID_STATE;
    if (p->phase_ != PHASE_IDLE || (p->flags_ & P_INSTANCE))
        return -EINVAL;
    protocol_attach(p, t);
    if (old != &protocol_nobody)
        protocol_finish_later(old, t->io.loop);
    transport_refresh(t);
    return 0;
}

struct eddy_protocol *eddy_transport_protocol(const struct eddy_transport *t)
{
    return t->protocol == &protocol_nobody ? NULL : t->protocol;
}

/* ---- the end of an attachment ---- */

/* The instance's storage goes with the transport, unless that is still needed. */
static void release_storage(struct eddy_protocol *p)
{
    struct eddy_transport *t = transport_of_instance(p);

    t->flags &= (uint16_t)~T_INSTANCE;
    transport_maybe_free(t);
}

static void call_fini(struct eddy_protocol *p)
{
    bool instance = p->flags_ & P_INSTANCE;

    if (p->cls->fini)
        p->cls->fini(p); /* p may be gone, unless it is an instance */
    if (instance)
        release_storage(p);
}

void protocol_finish(struct eddy_protocol *p, struct eddy_loop *loop)
{
    p->transport = NULL;
    if (p->phase_ == PHASE_CONNECTING) { /* attached anew in its last callback */
        call_fini(p);
        return;
    }
    if (p->holds_ > 0) {
        p->phase_ = PHASE_FINISHING;
        p->link_ = eddy_loop_ref(loop);
        return;
    }
    p->phase_ = PHASE_IDLE;
    p->link_ = NULL;
    call_fini(p);
}

/* The list of those owed fini is linked by link_; the last one's names the loop, marked by an odd
 * pointer, so that a member can be taken out from anywhere. */
static void *mark(struct eddy_loop *loop)
{
    return (char *)loop + 1;
}

static bool is_marked(const void *link)
{
    return (uintptr_t)link & 1;
}

static void list_finishing(struct eddy_protocol *p, struct eddy_loop *loop)
{
    p->flags_ |= P_LISTED;
    p->link_ = mark(loop);
    if (loop->finishing_last)
        loop->finishing_last->link_ = p;
    else
        loop->finishing = p;
    loop->finishing_last = p;
    if (!eddy_link_is_member(&loop->deferred_handle.link_))
        eddy_list_append(&loop->ready, &loop->deferred_handle.link_);
}

static void unlist(struct eddy_protocol *p)
{
    struct eddy_protocol *q = p, *before = NULL;

    while (!is_marked(q->link_))
        q = q->link_;
    struct eddy_loop *loop = (struct eddy_loop *)(void *)((char *)q->link_ - 1);
    for (q = loop->finishing; q != p; q = q->link_)
        before = q;
    if (before)
        before->link_ = p->link_;
    else
        loop->finishing = is_marked(p->link_) ? NULL : p->link_;
    if (loop->finishing_last == p)
        loop->finishing_last = before;
    p->flags_ &= (uint8_t)~P_LISTED;
}

void protocol_finish_later(struct eddy_protocol *p, struct eddy_loop *loop)
{
    p->transport = NULL;
    p->phase_ = PHASE_FINISHING;
    list_finishing(p, loop);
}

bool protocols_run_finishing(struct eddy_loop *loop)
{
    struct eddy_protocol *p;
    bool any = loop->finishing != NULL;

    while ((p = loop->finishing) != NULL) {
        unlist(p);
        protocol_finish(p, loop);
    }
    return any;
}

/* Whose reference p has, whose fini waits for the last release; else NULL. */
static struct eddy_loop *loop_held(const struct eddy_protocol *p)
{
    return p->phase_ == PHASE_FINISHING && !(p->flags_ & P_LISTED) ? p->link_ : NULL;
}

void eddy_protocol_hold(struct eddy_protocol *p)
{
    p->holds_++;
}

void eddy_protocol_release(struct eddy_protocol *p)
{
    if (p->holds_ == 0 || --p->holds_ > 0)
        return;
    struct eddy_loop *loop = loop_held(p);
    if (loop && loop->closed)
        protocol_finish(p, loop); /* there is no loop any more that it could come from */
    else if (loop)
        list_finishing(p, loop);
    eddy_loop_unref(loop);
}

/* ---- failed attempts ---- */

void eddy_protocol_attempt_failed(struct eddy_protocol *p, struct eddy_loop *loop,
                                  const struct eddy_error *why)
{
    loop->protocol_gone = false; /* set by detach: p may be freed then */
    p->phase_ = PHASE_LOSING;
    p->link_ = &loop->protocol_gone;
    if (p->cls->connect_failed) {
        eddy_nsec begin = eddy_callback_begin(loop);
        const char *name = p->cls->name;

        p->cls->connect_failed(p, why);
        eddy_callback_end(loop, begin, "connect_failed", name);
    }
    if (loop->protocol_gone)
        return;
    if (p->phase_ == PHASE_CONNECTING)
        ((struct eddy_attempt *)p->link_)->gone_ = NULL;
    protocol_finish(p, loop);
}

/* ---- from any phase ---- */

void eddy_transport_request_shutdown(struct eddy_transport *t)
{
    struct eddy_protocol *p = t->protocol;

    if (t->state != EDDY_TRANSPORT_OPEN)
        return;
    if (p->cls->shutdown_requested) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);
        const char *name = p->cls->name;

        p->cls->shutdown_requested(p);
        eddy_callback_end(t->io.loop, begin, "shutdown_requested", name);
    } else {
        eddy_transport_close(t);
    }
}

void eddy_protocol_abort(struct eddy_protocol *p, const struct eddy_error *why)
{
    if (p->phase_ == PHASE_ATTACHED) {
        eddy_transport_abort(p->transport, why);
    } else if (p->phase_ == PHASE_CONNECTING) {
        struct eddy_attempt *a = p->link_;

        a->give_up(a,
                   why && why->code < 0 ? why : EDDY_ERROR(-ECANCELED, "connecting was cancelled"));
    }
}

void eddy_protocol_detach(struct eddy_protocol *p)
{
    struct eddy_transport *t = p->transport;
    struct eddy_loop *held = loop_held(p);
    uint8_t phase = p->phase_;

    if (phase == PHASE_IDLE)
        return;
    p->phase_ = PHASE_IDLE;
    p->transport = NULL;
    if (t)
        t->protocol = &protocol_nobody;
    if (phase == PHASE_CONNECTING) {
        struct eddy_attempt *a = p->link_;

        if (a->gone_)
            *a->gone_ = true;
        a->give_up(a, NULL);
    } else if (phase == PHASE_LOSING && !t) {
        *(bool *)p->link_ = true;
    } else if (p->flags_ & P_LISTED) {
        unlist(p);
    }
    p->link_ = NULL;
    if (t) {
        transport_refresh(t);
        eddy_transport_close(t);
    }
    if (p->flags_ & P_INSTANCE)
        release_storage(p); /* p may be gone */
    eddy_loop_unref(held);
}
