/* How servers end: their connections, closing, draining, and those who wait for it. */
#include "framework/base/alloc.h"
#include "transports/listen.h"
#include "transports/server.h"
#include <eddy/future.h>

struct waiter {
    struct eddy_link link;
    struct eddy_future *future;
};

/* ---- the connections ---- */

static void abort_handshakes(struct eddy_server *s, const struct eddy_error *why)
{
    for (struct eddy_link *l = s->handshaking.next; l != &s->handshaking; l = l->next)
        eddy_transport_abort(EDDY_CONTAINER_OF(l, struct eddy_transport, link), why);
}

/* Transports leave the list from the loop alone, so walking it while calling them is safe. */
void eddy_server_close_clients(struct eddy_server *s)
{
    if (!s)
        return;
    abort_handshakes(s, NULL);
    for (struct eddy_link *l = s->connections.next; l != &s->connections; l = l->next)
        eddy_transport_close(EDDY_CONTAINER_OF(l, struct eddy_transport, link));
}

void eddy_server_abort_clients(struct eddy_server *s, const struct eddy_error *why)
{
    if (!s)
        return;
    abort_handshakes(s, why);
    for (struct eddy_link *l = s->connections.next; l != &s->connections; l = l->next)
        eddy_transport_abort(EDDY_CONTAINER_OF(l, struct eddy_transport, link), why);
}

/* ---- closing ---- */

static void complete_waiters(struct eddy_server *s)
{
    struct eddy_link *l;

    while ((l = eddy_list_pop(&s->waiters)) != NULL) {
        struct waiter *w = EDDY_CONTAINER_OF(l, struct waiter, link);

        eddy_future_set_result_unless_cancelled(w->future, NULL, NULL);
        eddy_future_unref(w->future);
        eddy_free(w);
    }
    if (s->forever) {
        struct eddy_future *f = s->forever;

        s->forever = NULL;
        eddy_future_on_cancel(f, NULL, NULL);
        eddy_future_cancel(f, "the server was closed");
        eddy_future_unref(f);
    }
}

void eddy_server_try_complete(struct eddy_server *s)
{
    if (!s->closed || s->count > 0)
        return;
    eddy_timer_cancel(&s->drain_end);
    eddy_handle_cancel(&s->asking); /* there is nobody left to ask, and s may go */
    complete_waiters(s);
}

void eddy_server_close(struct eddy_server *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    s->serving = false;
    s->starving = false;
    eddy_timer_cancel(&s->retry);
    eddy_handle_cancel(&s->freed);
    for (struct listener *l = s->listeners, *next; l; l = next) {
        next = l->next;
        eddy_listener_close(l, s->loop);
    }
    s->listeners = NULL;
    abort_handshakes(s, NULL); /* contract S30 */
    eddy_server_try_complete(s);
    eddy_server_unref(s);
}

static void loop_closing(struct eddy_resource *r)
{
    struct eddy_server *s = EDDY_CONTAINER_OF(r, struct eddy_server, resource);
    const char *site = s->owner.site;

    eddy_server_ref(s);
    if (!s->closed)
        eddy_loop_log(s->loop, EDDY_LOG_WARNING, "loop",
                      "server still open when its loop closes%s%s", site ? ", opened at " : "",
                      site ? site : "");
    eddy_handle_cancel(&s->asking);
    eddy_transports_loop_closing(s->loop, &s->handshaking);
    eddy_transports_loop_closing(s->loop, &s->connections);
    eddy_server_close(s);
    s->loop = NULL; /* its connections know their own */
    eddy_server_unref(s);
}

int eddy_server_wait_closed(struct eddy_server *s, struct eddy_future **ret)
{
    if (!s || !ret)
        return -EINVAL;
    if (!s->loop)
        return EDDY_ELOOP_CLOSED;
    struct waiter *w = eddy_zalloc(sizeof *w);
    if (!w || eddy_future_new(s->loop, &w->future) < 0) {
        eddy_free(w);
        return -ENOMEM;
    }
    *ret = eddy_future_ref(w->future);
    eddy_list_append(&s->waiters, &w->link);
    eddy_server_try_complete(s);
    return 0;
}

/* ---- draining ---- */

static void ask_connections(struct eddy_handle *h)
{
    struct eddy_server *s = EDDY_CONTAINER_OF(h, struct eddy_server, asking);
    size_t n = 0;

    for (struct eddy_link *l = s->connections.next; l != &s->connections; l = l->next)
        n++;
    eddy_server_ref(s);
    /* None comes or goes meanwhile, but start_tls puts another one into a place. */
    for (; n > 0; n--) {
        struct eddy_link *l = eddy_list_pop(&s->connections);

        eddy_list_append(&s->connections, l);
        eddy_transport_request_shutdown(EDDY_CONTAINER_OF(l, struct eddy_transport, link));
    }
    eddy_server_unref(s);
}

static void drain_ends(struct eddy_timer *t)
{
    eddy_server_abort_clients(EDDY_CONTAINER_OF(t, struct eddy_server, drain_end),
                              EDDY_ERROR(-ETIMEDOUT, "the server's time for draining is over"));
}

int eddy_server_drain(struct eddy_server *s, eddy_nsec timeout, struct eddy_future **ret)
{
    if (!s)
        return -EINVAL;
    if (!s->loop)
        return EDDY_ELOOP_CLOSED;
    int rc = ret ? eddy_server_wait_closed(s, ret) : 0;
    if (rc < 0)
        return rc;
    eddy_server_ref(s);
    if (s->count > 0) {
        eddy_loop_call_later(s->loop, &s->drain_end, timeout);
        if (!s->drained)
            eddy_loop_call_soon(s->loop, &s->asking);
        s->drained = true;
    }
    eddy_server_close(s);
    eddy_server_unref(s);
    return 0;
}

/* ---- serving until then ---- */

static void forever_cancelled(struct eddy_future *f, void *user)
{
    (void)f;
    eddy_server_close(user);
}

int eddy_server_serve_forever(struct eddy_server *s, struct eddy_future **ret)
{
    if (!s || !ret)
        return -EINVAL;
    if (s->closed)
        return EDDY_ECLOSED;
    if (s->forever)
        return EDDY_EINVALID_STATE;
    struct eddy_future *f = NULL;
    int rc = eddy_future_new(s->loop, &f);
    if (rc == 0)
        rc = eddy_server_start_serving(s);
    if (rc < 0) {
        eddy_future_unref(f);
        return rc;
    }
    s->forever = f;
    eddy_future_on_cancel(s->forever, forever_cancelled, s);
    *ret = eddy_future_ref(s->forever);
    return 0;
}

void eddy_server_end_init(struct eddy_server *s)
{
    s->resource.loop_closing = loop_closing;
    s->asking.fn = ask_connections;
    s->drain_end.fn = drain_ends;
    eddy_list_init(&s->waiters);
}
