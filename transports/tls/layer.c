/*
 * A TLS connection is one object: the protocol of the transport below, and a transport towards the
 * application. Here are both halves' callbacks, and when its memory goes. What OpenSSL is asked to
 * do stands in handshake.c, io.c and close.c.
 *
 * The lower transport's connection_lost ends everything. Two are to be waited for then: the upper
 * transport, whose owner this is, and the lower one's last callback.
 */
#include "transports/tls/tls.h"

#include "framework/base/alloc.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

static struct tls_layer *layer_below(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct tls_layer, below);
}

void tls_set_state(struct tls_layer *l, enum tls_state state)
{
    l->state = (uint8_t)state;
}

static void stop_all(struct tls_layer *l)
{
    eddy_timer_cancel(&l->timer);
    eddy_handle_cancel(&l->turn);
    eddy_handle_cancel(&l->go_on);
}

/* ---- memory ---- */

static void maybe_free(struct tls_layer *l)
{
    if (!l->lower_is_over || !l->upper_is_over)
        return;
    eddy_transport_uncover(l->lower);
    tls_early_forget(l);
    tls_cool(l);
    SSL_free(l->ssl);
    SSL_CTX_free(l->ctx);
    eddy_tls_unref(l->tls);
    eddy_free(l);
}

/* The lower transport ends: at once, but for an alert if there is time for one. */
static void end_lower(struct tls_layer *l)
{
    tls_set_state(l, TLS_DOWN);
    if (!l->alerting || !eddy_loop_is_open(l->o.t.io.loop))
        eddy_transport_abort(l->lower, NULL);
}

/* Whoever it was for has dropped it, or heard connection_lost. */
static void upper_is_over(struct eddy_owner *o, struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    (void)o;
    stop_all(l);
    l->done = NULL;
    l->upper_is_over = true;
    end_lower(l);
    maybe_free(l);
}

static const struct eddy_owner_class owner_class = {.free = upper_is_over};

/* ---- the lower transport's reading ---- */

void tls_hold(struct tls_layer *l)
{
    if (l->in_len > 0)
        eddy_transport_unread(l->lower, l->in, l->in_len); /* else it is lost, and says so */
    l->in_len = 0;
    l->held = true;
    eddy_transport_pause_reading(l->lower);
}

void tls_let_in(struct tls_layer *l)
{
    if (!l->held)
        return;
    l->held = false;
    eddy_transport_resume_reading(l->lower);
}

/* ---- the ways to the end ---- */

void tls_handshake_over(struct tls_layer *l, const struct eddy_error *why)
{
    tls_done_fn *done = l->done;

    l->done = NULL;
    if (!why)
        eddy_link_remove(&l->lower->link); /* its place is the upper one's */
    if (done)
        done(l->user, &l->o, why);
}

/* Whoever waits for the handshake is told, or the application. */
static void end_upper(struct tls_layer *l, const struct eddy_error *why)
{
    if (l->done)
        tls_handshake_over(l, why);
    else if (!l->upper_is_over)
        eddy_transport_abort(&l->o.t, why);
}

/* The lower one may take longer: it is to be found in the upper one's list, or, where there is
 * another one above that, in the loop's. */
static void stay_known(struct tls_layer *l)
{
    struct eddy_link *own = &l->o.t.link;

    if (eddy_link_is_member(&l->lower->link))
        return;
    eddy_list_append(eddy_link_is_member(own) ? own : &l->o.t.io.loop->transports, &l->lower->link);
}

void tls_fail(struct tls_layer *l, const struct eddy_error *why)
{
    if (l->state == TLS_DOWN)
        return;
    stop_all(l);
    tls_set_state(l, TLS_DOWN);
    l->alerting = true;
    stay_known(l);
    end_upper(l, why);
    eddy_transport_close(l->lower); /* with the alert, which a reset could overtake */
}

/* ---- the protocol below ---- */

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    tls_handshake_begin(layer_below(p));
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct tls_layer *l = layer_below(p);

    l->in = data;
    l->in_len = len;
    l->in_received = true;
    if (l->state == TLS_UNWRAPPED && !l->server_side) /* from before eddy_start_tls */
        tls_refuse_unread(l);
    else if (l->state <= TLS_HANDSHAKE)
        tls_handshake(l);
    else
        tls_read(l);
    l->in_received = false;
    l->in_len = 0;
}

/* Whoever it is up to closes. */
static bool eof_received(struct eddy_protocol *p)
{
    struct tls_layer *l = layer_below(p);

    l->low_eof = true;
    if (l->state <= TLS_HANDSHAKE)
        tls_handshake(l);
    else
        tls_read(l);
    return true;
}

static void pause_writing(struct eddy_protocol *p)
{
    layer_below(p)->low_full = true;
}

static void resume_writing(struct eddy_protocol *p)
{
    struct tls_layer *l = layer_below(p);

    l->low_full = false;
    tls_write_queue(l);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    static const struct eddy_error closed = {
        .code = -ECONNABORTED,
        .op = "tls handshake",
        .text = "the connection was closed during the TLS handshake",
    };
    struct tls_layer *l = layer_below(p);

    stop_all(l);
    tls_set_state(l, TLS_DOWN);
    end_upper(l, err || !l->done ? err : &closed);
}

static void below_fini(struct eddy_protocol *p)
{
    struct tls_layer *l = layer_below(p);

    l->lower_is_over = true;
    maybe_free(l);
}

/* Only while it is not made is the server's drain its business. */
static void shutdown_requested(struct eddy_protocol *p)
{
    eddy_transport_abort(layer_below(p)->lower, NULL);
}

static const struct eddy_protocol_class below_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("tls"),
    .connection_made = connection_made,
    .data_received = data_received,
    .eof_received = eof_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
    .shutdown_requested = shutdown_requested,
    .fini = below_fini,
};

/* ---- the transport above ---- */

/* The upper transport is lost: by an error of ours, of the application, or of the lower one. */
static void cancel(struct eddy_transport *t)
{
    static const struct eddy_error aborted = {
        .code = -ECONNABORTED,
        .op = "tls handshake",
        .text = "the connection was aborted during the TLS handshake",
    };
    static const struct eddy_error loop_closed = {
        .code = EDDY_ELOOP_CLOSED,
        .op = "tls handshake",
        .text = "the loop was closed during the TLS handshake",
    };
    struct tls_layer *l = tls_layer_of(t);

    stop_all(l);
    tls_set_state(l, TLS_DOWN);
    tls_handshake_over(l, eddy_loop_is_open(t->io.loop) ? &aborted : &loop_closed);
    end_lower(l); /* behind the future, if there is one */
}

static struct eddy_transport *lower_of(const struct eddy_transport *t)
{
    return tls_layer_of(t)->lower;
}

/* What the kernel has, and what waits for it. */
static int in_flight(const struct eddy_transport *t)
{
    struct eddy_transport *lower = lower_of(t);
    size_t waits = eddy_transport_get_write_buffer_size(lower);
    int n = lower->cls->in_flight ? lower->cls->in_flight(lower) : 0;

    return waits > (size_t)(INT_MAX - n) ? INT_MAX : n + (int)waits;
}

#define TLS_TRANSPORT                                                                 \
    .name = "tls", .abi_size = sizeof(struct eddy_transport_class),                   \
    .sendfile = EDDY_SENDFILE_BY_COPYING, .secret = true, .high_mark = TLS_HIGH_MARK, \
    .send = tls_send, .sendv = tls_sendv, .send_start = tls_send_start,               \
    .read_start = tls_read_start, .read_stop = tls_read_stop, .in_flight = in_flight, \
    .cancel = cancel, .below = lower_of, .closing = tls_closing, .wind_up = tls_wind_up

/* Before the version is known, and for TLS 1.2, whose close_notify ends both directions. */
static const struct eddy_transport_class whole = {TLS_TRANSPORT};

static const struct eddy_transport_class with_halves = {
    TLS_TRANSPORT,
    .can_write_eof = true,
    .shutdown = tls_shutdown,
};

/* No backend knows it. */
static const struct eddy_io_class no_io = {.name = "tls"};

bool tls_is(const struct eddy_transport *t)
{
    return t->cls == &whole || t->cls == &with_halves;
}

void tls_set_version(struct tls_layer *l)
{
    l->o.t.cls = SSL_version(l->ssl) >= TLS1_3_VERSION ? &with_halves : &whole;
}

/* ---- the beginning ---- */

struct eddy_transport *tls_lower(const struct opened *upper)
{
    return lower_of(&upper->t);
}

/* The strings, and then the early data, behind the struct. */
static void copy_strings(struct tls_layer *l, const struct tls_settings *s,
                         const struct tls_connection *c, size_t name_len, size_t key_size)
{
    char *at = l->strings;
    const char *host = s->server_hostname ? s->server_hostname : c->host;

    if (name_len > 0) {
        l->name = memcpy(at, host, name_len);
        at += name_len + 1;
    }
    if (key_size > 0) {
        l->session_key = at;
        snprintf(at, key_size, "%s:%d", l->name, c->port);
        at += key_size;
    }
    if (s->early_data_len > 0) {
        l->early_data = memcpy(at, s->early_data, s->early_data_len);
        l->early_data_len = (uint32_t)s->early_data_len;
    }
}

static size_t length_of_name(const char *host)
{
    size_t len = host ? strlen(host) : 0;

    return len > 0 && host[len - 1] == '.' ? len - 1 : len; /* "example.org." is no other name */
}

#define PORT_ROOM 8

struct tls_layer *tls_layer_new(struct eddy_transport *lower, const struct tls_settings *s,
                                const struct tls_connection *c)
{
    size_t name_len = length_of_name(s->server_hostname ? s->server_hostname : c->host);
    size_t key_size = !s->server_side && name_len > 0 ? name_len + PORT_ROOM : 0;
    struct tls_layer *l = eddy_zalloc(sizeof *l + name_len + 1 + key_size + s->early_data_len);

    if (!l)
        return NULL;
    copy_strings(l, s, c, name_len, key_size);
    l->o.owner.cls = &owner_class;
    l->o.owner.site = lower->owner->site;
    eddy_transport_init(&l->o.t, lower->io.loop, &whole, &no_io, &l->o.owner);
    eddy_transport_use_limits(&l->o.t, (struct eddy_limits *)(uintptr_t)c->limits);
    l->o.t.peer = lower->peer;
    eddy_protocol_init(&l->below, &below_class);
    l->lower = lower;
    l->tls = eddy_tls_ref(s->tls);
    l->ctx = tls_context_take(s->tls);
    l->opts = tls_ctx_opts(l->ctx);
    l->done = c->done;
    l->user = c->user;
    l->server_side = s->server_side;
    l->no_name_check = s->no_name_check;
    l->handshake_timeout = s->handshake_timeout ? s->handshake_timeout : EDDY_SEC(60);
    l->shutdown_timeout = s->shutdown_timeout ? s->shutdown_timeout : EDDY_SEC(30);
    l->timer.fn = tls_timer;
    l->turn.fn = tls_turn;
    l->go_on.fn = tls_go_on;
    return l;
}

int tls_start(struct eddy_transport *lower, const struct tls_settings *s,
              const struct tls_connection *c, struct eddy_link *list, struct opened **ret)
{
    struct tls_layer *l = tls_layer_new(lower, s, c);

    if (!l)
        return -ENOMEM;
    *ret = &l->o;
    eddy_transport_cover(lower);
    eddy_transport_made(lower, &l->below, list);
    return 0;
}
