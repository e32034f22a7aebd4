/* The end of a connection, in order: what is written, close_notify, the peer's, the lower close. */
#include "transports/tls/tls.h"

#include "framework/loop/loop.h"

/* Once; the peer reads to its end behind all that was written. */
static void send_close_notify(struct tls_layer *l)
{
    if (l->tx_closed)
        return;
    tls_clear_errors();
    tls_enter(l);
    SSL_shutdown(l->ssl);
    tls_leave(l);
    l->tx_closed = true;
    tls_clear_errors();
}

void tls_finish(struct tls_layer *l)
{
    tls_set_state(l, TLS_DOWN); /* the timer goes on: its peer may not read */
    eddy_transport_close(l->lower);
}

/* Nothing is to be said in either direction any more: the lower transport's peer need not wait
 * until the application closes. */
static void end_below(struct tls_layer *l)
{
    if (l->rx_closed && l->tx_closed && l->state == TLS_WRAPPED)
        eddy_transport_write_eof_below(l->lower);
}

/* write_eof, under TLS 1.3: the queue is empty. */
int tls_shutdown(struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    send_close_notify(l);
    end_below(l);
    return 0;
}

/* Contract X30: the time runs from here. A handshake is not waited for (X8), unless something was
 * written before its end, in answer to early data. */
void tls_closing(struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    if (l->state == TLS_DOWN)
        return;
    if (l->state <= TLS_HANDSHAKE) {
        if (!l->early) /* what was written in plain text still goes out */
            tls_fail(
                l, EDDY_ERROR(-ECONNABORTED, "the connection was closed during the TLS handshake"));
        return;
    }
    tls_set_state(l, TLS_FLUSHING);
    eddy_loop_call_later_site(t->io.loop, &l->timer, l->shutdown_timeout, l->o.owner.site);
}

void tls_wind_up(struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    if (l->state != TLS_FLUSHING)
        return;
    send_close_notify(l);
    if (l->rx_closed || l->low_eof)
        tls_finish(l);
    else
        tls_set_state(l, TLS_SHUTDOWN);
}

/* Under TLS 1.2 that is the end of both directions (contract X32). */
static void end_of_stream(struct tls_layer *l)
{
    struct eddy_transport *t = &l->o.t;
    bool had_halves = t->cls->can_write_eof;

    eddy_transport_received(&t->io, NULL, 0);
    end_below(l);
    if (eddy_transport_is_closing(t) || had_halves)
        return;
    if (t->io.loop->debug) /* else any client could fill the log */
        eddy_loop_log(t->io.loop, EDDY_LOG_WARNING, "tls",
                      "eof_received has returned true, but TLS 1.2 has no half-close");
    eddy_transport_close(t);
}

void tls_peer_closed(struct tls_layer *l)
{
    if (l->rx_closed || l->state == TLS_DOWN)
        return;
    l->rx_closed = true;
    if (l->state == TLS_WRAPPED)
        end_of_stream(l);
    else if (l->state == TLS_SHUTDOWN)
        tls_finish(l);
}

void tls_timer(struct eddy_timer *timer)
{
    struct tls_layer *l = EDDY_CONTAINER_OF(timer, struct tls_layer, timer);
    struct eddy_error e;

    if (l->state <= TLS_HANDSHAKE)
        eddy_error_set(&e, -ECONNABORTED, "tls handshake",
                       "SSL handshake is taking longer than %.3g seconds: aborting the connection",
                       (double)l->handshake_timeout / 1e9);
    else
        eddy_error_set(&e, -ETIMEDOUT, "tls shutdown", "SSL shutdown timed out");
    eddy_transport_abort(l->lower, &e);
}
