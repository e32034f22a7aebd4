/*
 * Bytes in both directions. None of the callbacks that are made here may come back in: what they
 * ask for - reading again, a queue to be sent, closing - is done by the loop or by the frame that
 * called them, which looks at the state again after each.
 */
#include "transports/tls/tls.h"

#include "framework/base/list.h"
#include "framework/loop/loop.h"
#include <string.h>

/* Plaintext that one connection may have delivered, or sent from its queue, in a turn. A record
 * costs as much as some bytes, however few are in it. */
#define TURN (128 * 1024)
#define RECORD_COST 512
#define SMALL_RECORD 1400
#define SMALL_RECORDS (64 * 1024)
#define MAX_IOV 64

/* ---- reading ---- */

static bool may_read(const struct tls_layer *l)
{
    return l->reading && !l->settling && !l->rx_closed && l->state >= TLS_WRAPPED &&
           l->state < TLS_DOWN;
}

/* The lower transport's end of stream counts as the peer's close_notify. */
bool tls_eof_is_close(const struct tls_layer *l)
{
    return l->state >= TLS_FLUSHING || (l->state == TLS_WRAPPED && l->opts->allow_truncation);
}

/* True while a call may find more than it did. OpenSSL's own rest may be of a record that is not
 * complete. */
static bool has_more(const struct tls_layer *l)
{
    return l->in_len > 0 || l->low_eof || SSL_has_pending(l->ssl);
}

static void spend(size_t *budget, size_t n)
{
    *budget -= n < *budget ? n : *budget;
}

/* Fills buf as far as there is something, and a turn goes: SSL_ERROR_NONE if there may be more,
 * else why not. */
static int decrypt(struct tls_layer *l, char *buf, size_t size, size_t *budget, size_t *ret)
{
    size_t n = 0, got;
    bool more = true;
    int rc = 1;

    tls_enter(l);
    tls_clear_errors();
    while (n < size && (rc = SSL_read_ex(l->ssl, buf + n, size - n, &got)) == 1) {
        n += got;
        spend(budget, got + RECORD_COST);
        more = has_more(l);
        if (l->low_eof || !more || *budget == 0) /* a truncation is met by a call of its own */
            break;
    }
    tls_leave(l);
    *ret = n;
    if (n > 0)
        tls_has_read(l, n);
    if (rc != 1)
        return SSL_get_error(l->ssl, rc);
    return more ? SSL_ERROR_NONE : SSL_ERROR_WANT_READ;
}

static void deliver(struct tls_layer *l, const char *data, size_t len)
{
    struct eddy_loop *loop = l->o.t.io.loop;

    eddy_transport_received(&l->o.t.io, data, (ssize_t)len);
    loop->receiving = l->in_received ? l->lower : NULL;
}

/* An end of stream without close_notify (contract X33). */
static bool is_truncation(const struct tls_layer *l)
{
    return l->low_eof && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

static void explain(struct tls_layer *l, struct eddy_error *ret)
{
    if (l->killed)
        eddy_error_set(ret, EDDY_ETLS, "tls read", "TLS: the peer floods us with messages");
    else if (is_truncation(l))
        eddy_error_set(ret, EDDY_ETLS, "tls read",
                       "TLS: truncated: the peer has ended the connection without close_notify");
    else
        tls_report(l->ssl, "TLS", ret);
}

/* The data first, then what ended it. True: there may be more. */
static bool settle(struct tls_layer *l, int status, const char *data, size_t len)
{
    struct eddy_error e = {.code = 0};
    bool end = status == SSL_ERROR_ZERO_RETURN ||
               (status == SSL_ERROR_WANT_READ && l->low_eof && tls_eof_is_close(l));

    if (status == SSL_ERROR_SSL || status == SSL_ERROR_SYSCALL) {
        explain(l, &e);
        l->failed = true; /* the first error is the one that is told */
    }
    if (len > 0)
        deliver(l, data, len);
    if (e.code)
        tls_fail(l, &e);
    else if (end && may_read(l))
        tls_peer_closed(l);
    return status == SSL_ERROR_NONE;
}

/* What came into the protocol's own buffer, or into ours. */
static bool read_some(struct tls_layer *l, size_t *budget)
{
    struct eddy_transport *t = &l->o.t;
    char own[TLS_RECORD];
    void *buf = own;
    size_t room = sizeof own, n;

    if (t->io.flags & EDDY_IO_OWNBUF) {
        room = eddy_transport_get_buffer(&t->io, (size_t)SSL_pending(l->ssl), &buf);
        if (room == 0 || !may_read(l))
            return true; /* lost or paused, or switched to another protocol */
    }
    int status = decrypt(l, buf, room, budget, &n);
    return settle(l, status, buf, n);
}

/* A key update that was asked for goes out although nothing is written (contract X20). */
static void answer(struct tls_layer *l)
{
    if (l->state == TLS_DOWN || l->tx_closed ||
        SSL_get_key_update_type(l->ssl) == SSL_KEY_UPDATE_NONE)
        return;
    tls_clear_errors();
    tls_enter(l);
    SSL_key_update(l->ssl, SSL_KEY_UPDATE_NOT_REQUESTED); /* else it waits for the next write */
    SSL_do_handshake(l->ssl);
    tls_leave(l);
}

void tls_read(struct tls_layer *l)
{
    size_t budget = TURN;
    bool more = true;

    while (more && budget > 0 && may_read(l))
        more = read_some(l, &budget);
    answer(l);
    if (l->state == TLS_DOWN)
        return;
    if (more && may_read(l))
        eddy_loop_call_soon(l->o.t.io.loop, &l->go_on);
    if (l->in_len > 0)
        tls_hold(l);
    if (l->write_waits && !l->low_full)
        tls_write_queue(l);
}

void tls_read_start(struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    l->reading = true;
    if (l->state >= TLS_WRAPPED && !l->settling)
        eddy_loop_call_soon(t->io.loop, &l->go_on);
}

void tls_read_stop(struct eddy_transport *t)
{
    tls_layer_of(t)->reading = false;
}

/* ---- writing ---- */

static bool may_write(const struct tls_layer *l)
{
    bool open = l->state == TLS_WRAPPED || l->state == TLS_FLUSHING ||
                (l->state == TLS_HANDSHAKE && l->early);

    return open && !l->failed && !l->low_full && !l->in_openssl && !l->tx_closed;
}

/* How much of `len` bytes goes into the next record. */
static size_t next_record(struct tls_layer *l, size_t len)
{
    eddy_nsec now = l->o.t.io.loop->now;
    size_t max = TLS_RECORD;

    if (l->opts->small_records_first) {
        if (now - l->sent_at > EDDY_SEC(1))
            l->since_pause = 0;
        l->sent_at = now;
        if (l->since_pause < SMALL_RECORDS) {
            max = SMALL_RECORD;
            l->since_pause += SMALL_RECORD;
        }
    }
    return len < max ? len : max;
}

static int encrypt_record(struct tls_layer *l, const char *data, size_t len, size_t *ret)
{
    int rc;

    tls_enter(l);
    tls_clear_errors();
    if (EDDY_UNLIKELY(l->state == TLS_HANDSHAKE))
        rc = SSL_write_early_data(l->ssl, data, len, ret);
    else
        rc = SSL_write_ex(l->ssl, data, len, ret);
    tls_leave(l);
    return rc == 1 ? SSL_ERROR_NONE : SSL_get_error(l->ssl, rc);
}

/* As much as the lower transport takes: the count, -EAGAIN if none, or an error, of which the
 * application hears then. */
static ssize_t encrypt(struct tls_layer *l, const char *data, size_t len)
{
    size_t done = 0, n;

    while (done < len && may_write(l)) {
        int status = encrypt_record(l, data + done, next_record(l, len - done), &n);

        if (status == SSL_ERROR_WANT_READ || status == SSL_ERROR_WANT_WRITE) {
            l->write_waits = true; /* contract X17: the next arrival tries again */
            break;
        }
        if (status != SSL_ERROR_NONE) {
            struct eddy_error e;
            int code = tls_report(l->ssl, "TLS write", &e);

            tls_fail(l, &e);
            return code;
        }
        done += n;
    }
    return done > 0 ? (ssize_t)done : -EAGAIN;
}

ssize_t tls_send(struct eddy_transport *t, const void *data, size_t len)
{
    return encrypt(tls_layer_of(t), data, len);
}

/* The first pieces that fit into a record, side by side. */
static size_t gather(char *buf, const struct iovec *iov, int n)
{
    size_t len = 0;

    for (int i = 0; i < n && len < TLS_RECORD; i++) {
        size_t part = iov[i].iov_len < TLS_RECORD - len ? iov[i].iov_len : TLS_RECORD - len;

        memcpy(buf + len, iov[i].iov_base, part);
        len += part;
    }
    return len;
}

static void skip(struct iovec *iov, int *first, int n, size_t len)
{
    while (*first < n && len >= iov[*first].iov_len)
        len -= iov[(*first)++].iov_len;
    if (*first < n) {
        iov[*first].iov_base = (char *)iov[*first].iov_base + len;
        iov[*first].iov_len -= len;
    }
}

/* Small pieces share a record; large ones are taken from where they are. */
ssize_t tls_sendv(struct eddy_transport *t, const struct iovec *pieces, int n)
{
    struct iovec iov[MAX_IOV];
    char record[TLS_RECORD];
    ssize_t done = 0;
    int first = 0;

    if (n > MAX_IOV)
        n = MAX_IOV;
    memcpy(iov, pieces, (size_t)n * sizeof *iov);
    while (first < n) {
        const char *data = iov[first].iov_base;
        size_t len = iov[first].iov_len;

        if (len < TLS_RECORD && first + 1 < n) {
            len = gather(record, iov + first, n - first);
            data = record;
        }
        ssize_t sent = encrypt(tls_layer_of(t), data, len);
        if (sent < 0)
            return done > 0 && sent == -EAGAIN ? done : sent;
        done += sent;
        if ((size_t)sent < len)
            break;
        skip(iov, &first, n, (size_t)sent);
    }
    return done;
}

/* There is a queue now. It moves when the lower transport has room, or when what forbids it at this
 * moment is over. */
void tls_send_start(struct eddy_transport *t)
{
    struct tls_layer *l = tls_layer_of(t);

    if (l->state >= TLS_WRAPPED && !l->low_full && !l->settling)
        eddy_loop_call_soon(t->io.loop, &l->go_on);
}

void tls_write_queue(struct tls_layer *l)
{
    struct eddy_transport *t = &l->o.t;
    struct iovec iov[MAX_IOV];
    size_t budget = TURN;
    int n = 0;

    l->write_waits = false;
    while (may_write(l) && budget > 0 && (n = eddy_transport_output(&t->io, iov, MAX_IOV)) > 0) {
        ssize_t sent = n == 1 ? tls_send(t, iov->iov_base, iov->iov_len) : tls_sendv(t, iov, n);

        if (sent < 0)
            return;
        budget -= (size_t)sent < budget ? (size_t)sent : budget;
        eddy_transport_sent(&t->io, sent);
    }
    if (budget == 0)
        eddy_loop_call_soon(t->io.loop, &l->go_on);
    else if (n == 0 && may_write(l) &&
             (eddy_transport_is_writing_paused(t) || l->state == TLS_FLUSHING))
        eddy_transport_sent(&t->io, 0); /* nothing waits but for the lower transport, and us */
}

/* ---- later ---- */

void tls_go_on(struct eddy_handle *h)
{
    struct tls_layer *l = EDDY_CONTAINER_OF(h, struct tls_layer, go_on);

    l->settling = false;
    tls_read(l);
    if (l->state < TLS_DOWN && may_read(l) && !eddy_handle_is_pending(h))
        tls_let_in(l); /* else OpenSSL still has enough for a turn */
    tls_write_queue(l);
}
