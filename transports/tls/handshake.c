/*
 * The handshake: in steps, of which an iteration has room for few, as one costs as much as a
 * hundred messages. A server's connection has nothing of OpenSSL's before its first bytes.
 */
#include "transports/tls/tls.h"

#include "framework/loop/loop.h"

/* What a peer may send before the handshake is done: hellos, or certificates too. */
#define HELLO_MAX 16384
#define CERTIFICATES_MAX (HELLO_MAX + 131072)

/* ---- the end of it ---- */

static bool has_closed(const struct tls_layer *l, int why)
{
    return why == SSL_ERROR_ZERO_RETURN ||
           (l->low_eof && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

static void fail(struct tls_layer *l, int why)
{
    struct eddy_error e;

    if (has_closed(l, why)) {
        tls_clear_errors();
        eddy_error_set(&e, -ECONNRESET, "tls handshake",
                       "TLS handshake: the peer has closed the connection");
    } else {
        tls_report(l->ssl, "TLS handshake", &e);
    }
    tls_fail(l, &e);
}

/* The application gets its connection; what came behind the handshake waits for the next iteration
 * (contract X4). */
static void succeed(struct tls_layer *l)
{
    eddy_timer_cancel(&l->timer);
    tls_set_state(l, TLS_WRAPPED);
    tls_set_version(l);
    tls_flood_begin(l);
    l->settling = true;
    if (eddy_transport_is_closing(&l->o.t)) /* since the early data */
        tls_closing(&l->o.t);
    if (l->in_len > 0)
        tls_hold(l);
    tls_handshake_over(l, NULL);
    if (l->state != TLS_DOWN) /* behind the callbacks of the future that was done in it */
        eddy_loop_call_soon(l->o.t.io.loop, &l->go_on);
}

void tls_refuse_unread(struct tls_layer *l)
{
    tls_fail(l, EDDY_ERROR(EDDY_EINVALID_STATE,
                           "start_tls: the server has sent bytes before the handshake"));
}

/* ---- a step ---- */

static size_t input_max(const struct tls_layer *l)
{
    const struct eddy_tls_opts *o = l->opts;

    if (!l->server_side || o->clients != EDDY_TLS_CLIENTS_ANY || o->select || o->names)
        return CERTIFICATES_MAX;
    return HELLO_MAX + o->max_early_data;
}

/* What is not looked at is said (contract X13). */
static void warn(const struct tls_layer *l)
{
    if (l->opts->insecure_no_verification)
        eddy_loop_log(l->o.t.io.loop, EDDY_LOG_WARNING, "tls",
                      "insecure: the certificate of %s is not verified",
                      l->name ? l->name : "the server");
    else if (l->no_name_check)
        eddy_loop_log(l->o.t.io.loop, EDDY_LOG_WARNING, "tls",
                      "the certificate of %s is not verified to be for that name",
                      l->name ? l->name : "the server");
}

/* -ENOMEM. */
static int make_ssl(struct tls_layer *l)
{
    l->ssl = SSL_new(l->ctx);
    BIO *b = l->ssl && tls_bind(l->ssl, l) ? tls_bio_new(l) : NULL;

    if (!b)
        return -ENOMEM;
    SSL_set_bio(l->ssl, b, b);
    if (l->server_side) {
        SSL_set_accept_state(l->ssl);
        return 0;
    }
    SSL_set_connect_state(l->ssl);
    warn(l);
    int rc = tls_name_set(l);
    if (rc == 0)
        tls_session_offer(l);
    return rc;
}

/* One call of OpenSSL: 1, or what SSL_get_error says of it is to be looked at. */
static int ask_openssl(struct tls_layer *l)
{
    int rc;

    tls_clear_errors();
    tls_enter(l);
    rc = tls_early_data(l);
    if (rc == 1)
        rc = SSL_do_handshake(l->ssl);
    tls_leave(l);
    return rc;
}

static const struct eddy_error too_much = {
    .code = EDDY_ETLS,
    .op = "tls handshake",
    .text = "TLS handshake: the peer has sent too much",
};

static void step(struct tls_layer *l)
{
    if (!l->ssl && make_ssl(l) < 0) {
        tls_fail(l, EDDY_ERROR(-ENOMEM, "TLS handshake: no memory"));
        return;
    }
    int rc = ask_openssl(l);
    if (l->state == TLS_DOWN)
        return;
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(l->ssl, rc);
    if (why == SSL_ERROR_NONE)
        succeed(l);
    else if (why != SSL_ERROR_WANT_READ)
        fail(l, why);
    else if (l->consumed > input_max(l))
        tls_fail(l, &too_much);
}

/* ---- in turn ---- */

void tls_turn(struct eddy_handle *h)
{
    struct tls_layer *l = EDDY_CONTAINER_OF(h, struct tls_layer, turn);

    if (l->held) { /* what it is about comes again */
        l->granted = true;
        tls_let_in(l);
    } else if (l->state > TLS_UNWRAPPED) {
        step(l);
    } else if (!l->server_side && eddy_transport_has_unread(l->lower)) {
        tls_refuse_unread(l);
    } else {
        tls_handshake_begin(l); /* of start_tls */
    }
}

/* Behind a server's own Finished only the peer's is awaited, unless there is a certificate of its
 * to verify. A hello may come in pieces, or twice; a TLS 1.2 client's key exchange costs as much as
 * the signature did. */
static bool is_cheap(const struct tls_layer *l)
{
    unsigned char none;

    return l->server_side && l->ssl && SSL_get_finished(l->ssl, &none, 0) > 0 &&
           SSL_get_verify_mode(l->ssl) == SSL_VERIFY_NONE;
}

void tls_handshake(struct tls_layer *l)
{
    if (l->state == TLS_UNWRAPPED)
        tls_handshake_begin(l);
    if (l->granted || is_cheap(l) || eddy_ration_take(&l->o.t.io.loop->handshakes, &l->turn)) {
        l->granted = false;
        step(l);
    } else if (!l->ssl && l->in_len > input_max(l)) {
        tls_fail(l, &too_much); /* it would have to be kept */
    } else if (l->in_len > 0) {
        tls_hold(l);
    }
}

void tls_handshake_begin(struct tls_layer *l)
{
    tls_set_state(l, TLS_HANDSHAKE);
    eddy_loop_call_later_site(l->o.t.io.loop, &l->timer, l->handshake_timeout, l->o.owner.site);
    if (!l->server_side)
        tls_handshake(l);
}
