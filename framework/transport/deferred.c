/*
 * Calls that are owed to protocols and come from the loop: connection_lost, bytes given back, fini.
 * They wait in lists of the loop, run by one handle in the ready batch, in the order they came up.
 */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"

void transports_wake_deferred(struct eddy_loop *loop)
{
    if (!eddy_link_is_member(&loop->deferred_handle.link_))
        eddy_list_append(&loop->ready, &loop->deferred_handle.link_);
}

void transport_defer(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;

    if (t->flags & T_DEFERRED)
        return;
    t->flags |= T_DEFERRED;
    t->deferred_next = NULL;
    *loop->deferred_tail = t;
    loop->deferred_tail = &t->deferred_next;
    transports_wake_deferred(loop);
}

/* The last callback. The protocol may attach itself anew in it, or be detached. */
static void call_connection_lost(struct eddy_transport *t)
{
    struct eddy_protocol *p = t->protocol;
    int code = (int)t->u.reason;
    struct eddy_error bare = {.code = code, .op = "transport"};
    const struct eddy_error *err = t->pending ? t->pending : code ? &bare : NULL;

    if (p == &protocol_nobody)
        return;
    p->phase_ = PHASE_LOSING;
    if (p->cls->connection_lost) {
        eddy_nsec begin = eddy_callback_begin(t->io.loop);
        const char *name = p->cls->name;

        p->cls->connection_lost(p, err);
        eddy_callback_end(t->io.loop, begin, "connection_lost", name);
    }
}

void transport_ended(struct eddy_transport *t)
{
    if (t->owner->cls->lost)
        t->owner->cls->lost(t->owner, t);
    if (t->cls->close)
        t->cls->close(t); /* t may go at the next quiet point */
    else
        transport_release(t);
}

static void end(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;
    bool covered = t->flags & T_COVERED;

    call_connection_lost(t);
    t->state = EDDY_TRANSPORT_ENDED;
    eddy_link_remove(&t->link);
    struct eddy_protocol *p = t->protocol;
    t->protocol = &protocol_nobody;
    eddy_free(t->pending);
    t->pending = NULL;
    if (p != &protocol_nobody)
        protocol_finish(p, loop);
    if (!covered) /* else the one above goes first, and may have done so by now */
        transport_ended(t);
}

static void run_one(struct eddy_transport *t)
{
    if (t->state == EDDY_TRANSPORT_LOST) {
        end(t);
        return;
    }
    if (t->head && t->head->is_file) /* it may be over */
        transport_files_moved(t);
    if (t->flags & T_UNREAD)
        transport_deliver_unread(t);
}

bool eddy_transports_run_deferred(struct eddy_loop *loop)
{
    struct eddy_transport *t = loop->deferred, *next;
    bool any = t != NULL;

    queue_settle(loop);
    loop->deferred = NULL;
    loop->deferred_tail = &loop->deferred;
    for (; t; t = next) {
        next = t->deferred_next;
        t->flags &= (uint16_t)~T_DEFERRED;
        run_one(t);
    }
    return protocols_run_finishing(loop) || any;
}

static void run_handle(struct eddy_handle *h)
{
    eddy_transports_run_deferred(EDDY_CONTAINER_OF(h, struct eddy_loop, deferred_handle));
}

void eddy_transports_init(struct eddy_loop *loop)
{
    loop->deferred_tail = &loop->deferred;
    loop->deferred_handle.fn = run_handle;
    loop->deferred_handle.site_ = "calls owed to protocols";
}

void eddy_transports_loop_closing(struct eddy_loop *loop, struct eddy_link *list)
{
    struct eddy_link *l;

    for (l = list->next; l != list; l = l->next) { /* losing one only queues its ending */
        struct eddy_transport *t = EDDY_CONTAINER_OF(l, struct eddy_transport, link);
        char text[EDDY_ADDR_TEXT * 2 + 64];
        const char *site = t->owner->site;

        if (t->state < EDDY_TRANSPORT_LINGERING) /* later there is nothing of ours to lose */
            eddy_loop_log(loop, EDDY_LOG_WARNING, "loop",
                          "connection still open when its loop closes: %s%s%s",
                          eddy_transport_describe(t, text, sizeof text), site ? ", opened at " : "",
                          site ? site : "");
        eddy_transport_fail(t, EDDY_ELOOP_CLOSED, "loop close");
    }
}

void eddy_transports_fini(struct eddy_loop *loop)
{
    eddy_handle_cancel(&loop->deferred_handle);
    eddy_transports_uncork(loop);
    queue_free_pool(loop);
}
