/*
 * TLS from the inside. OpenSSL is driven through a BIO of our own: it reads from a window onto what
 * the lower transport has just received, and writes into the lower transport's queue. What moves a
 * connection on stands in handshake.c, early.c, io.c and close.c; a context is made in context.c
 * and its like.
 */
#ifndef EDDY_TRANSPORTS_TLS_TLS_H
#define EDDY_TRANSPORTS_TLS_TLS_H

#include "framework/loop/loop.h"
#include "transports/tls/layer.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

/* Contract X1; changed in one function. */
enum tls_state {
    TLS_UNWRAPPED, /* nothing was exchanged */
    TLS_HANDSHAKE,
    TLS_WRAPPED,  /* the handshake is done */
    TLS_FLUSHING, /* close was called: what is written is sent, then close_notify */
    TLS_SHUTDOWN, /* that is sent: the peer's is waited for */
    TLS_DOWN,     /* the lower transport is closing, or lost */
};

#define TLS_RECORD 16384

struct tls_layer {
    struct opened o;            /* first: the transport towards the application */
    struct eddy_protocol below; /* towards the transport that it stands on */
    struct eddy_transport *lower;
    struct eddy_tls *tls;
    SSL_CTX *ctx;                     /* that of the moment when it began ... */
    const struct eddy_tls_opts *opts; /* ... and what that was made of */
    SSL *ssl;                         /* NULL: not yet needed */
    tls_done_fn *done;                /* NULL: called */
    void *user;

    uint8_t state; /* enum tls_state */
    bool server_side;
    bool lower_is_over; /* its last callback has returned */
    bool upper_is_over; /* nobody refers to the upper transport any more */
    bool reading;       /* the application wants plaintext */
    bool settling;      /* connection_made was called in this iteration (contract X4) */
    bool alerting;      /* an error of ours: the lower transport closes with an alert */
    bool held;          /* the lower transport is paused, with something unread */
    bool in_received;   /* its data_received runs */
    bool granted;       /* a step of the handshake, when there is something to read again */
    bool in_openssl;
    bool failed;               /* OpenSSL has: it is not called any more */
    bool killed;               /* by a flood: OpenSSL gets nothing more to read */
    bool low_eof;              /* the lower transport's end of stream */
    bool low_full;             /* ... has called pause_writing */
    bool rx_closed, tx_closed; /* close_notify has come, was sent */
    bool early;                /* early data were delivered, and the connection made for them */
    bool early_read;           /* ... there are no more */
    bool write_waits;          /* OpenSSL must read before it can write (contract X17) */
    bool no_name_check;
    bool has_hello; /* server: the first one, with ... */

    const char *in; /* the window */
    size_t in_len;
    uint32_t consumed;    /* during the handshake */
    uint32_t since_pause; /* see small_records_first */
    eddy_nsec sent_at;

    struct eddy_link warm;    /* of those that keep their buffers */
    struct eddy_timer timer;  /* of the handshake, or of the shutdown */
    struct eddy_handle turn;  /* a step of the handshake is granted */
    struct eddy_handle go_on; /* more to read or to send than one iteration may */
    eddy_nsec handshake_timeout, shutdown_timeout;

    unsigned tokens; /* see flood.c */
    uint32_t early_data_len;
    eddy_nsec tokens_at;

    const struct eddy_error *verify_error; /* of OCSP and the like, while OpenSSL verifies */
    char *name;                            /* to ask for and to verify; NULL: none */
    uint8_t hello_name[16];                /* ... this name; half of its SHA-256 */
    char *session_key;                     /* client: "host:port/alpn"; NULL: nothing is resumed */
    void *early_data;                      /* client: to be sent, part of this block */
    char strings[];
};

static inline struct tls_layer *tls_layer_of(const struct eddy_transport *t)
{
    return (struct tls_layer *)(uintptr_t)t;
}
/* Whether t is a TLS transport. */
bool tls_is(const struct eddy_transport *t);

/* Before each call whose error is looked at (contract X45): clearing an empty queue costs as much
 * as a tenth of the call, and the look at it a quarter of that. */
static inline void tls_clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* Around calls that may write to the lower transport: what the user wrote to that one without a
 * copy is not released meanwhile, as he could write again, to the upper one. */
static inline void tls_enter(struct tls_layer *l)
{
    l->in_openssl = true;
    l->o.t.io.loop->releases_held++;
}

static inline void tls_leave(struct tls_layer *l)
{
    l->in_openssl = false;
    l->o.t.io.loop->releases_held--;
}

/* ---- layer.c: the two transports, their callbacks and their memory ---- */

/* Over lower, but not attached to it. NULL: no memory. */
struct tls_layer *tls_layer_new(struct eddy_transport *lower, const struct tls_settings *s,
                                const struct tls_connection *c);

void tls_set_state(struct tls_layer *l, enum tls_state state);
/* The version is known: TLS 1.3 has a half-close. */
void tls_set_version(struct tls_layer *l);
/* What is left of the window goes back, and no more is read until tls_let_in. */
void tls_hold(struct tls_layer *l);
void tls_let_in(struct tls_layer *l);
/* The connection is lost by an error of ours, or the peer's, which is told by a queued alert: that
 * is sent, as far as it can be. During the handshake `done` hears of it. */
void tls_fail(struct tls_layer *l, const struct eddy_error *why);
/* The end of the handshake, one way or the other, unless it was heard before. */
void tls_handshake_over(struct tls_layer *l, const struct eddy_error *why);

/* ---- bio.c ---- */

BIO_METHOD *tls_bio_method(void); /* NULL, both: no memory */
BIO *tls_bio_new(struct tls_layer *l);

/* ---- handshake.c ---- */

/* A step, if there is one left in this iteration; else when its turn has come. */
void tls_handshake(struct tls_layer *l);
void tls_turn(struct eddy_handle *h);
void tls_handshake_begin(struct tls_layer *l);
/* Fails: a client's peer has sent bytes before the handshake. */
void tls_refuse_unread(struct tls_layer *l);

/* ---- early.c ---- */

/* What comes before the handshake goes on: 1 once that is over, else as SSL_do_handshake. */
int tls_early_data(struct tls_layer *l);
/* What a client wanted to send early is wiped. */
void tls_early_forget(struct tls_layer *l);

/* ---- io.c ---- */

/* Whether an end of stream below is taken for the peer's close_notify. */
bool tls_eof_is_close(const struct tls_layer *l);
/* Decrypts and delivers as long as there is something, and it is wanted. */
void tls_read(struct tls_layer *l);
/* Plaintext of the upper queue to the lower transport, as long as that takes it. */
void tls_write_queue(struct tls_layer *l);
void tls_go_on(struct eddy_handle *h);
/* Slots of the transport class. */
ssize_t tls_send(struct eddy_transport *t, const void *data, size_t len);
ssize_t tls_sendv(struct eddy_transport *t, const struct iovec *iov, int n);
void tls_send_start(struct eddy_transport *t);
void tls_read_start(struct eddy_transport *t);
void tls_read_stop(struct eddy_transport *t);

/* ---- warm.c ---- */

/* n bytes at a time: whether it keeps its buffers from here on. */
void tls_has_read(struct tls_layer *l, size_t n);
/* It does not. */
void tls_cool(struct tls_layer *l);

/* ---- close.c ---- */

int tls_shutdown(struct eddy_transport *t);
void tls_closing(struct eddy_transport *t);
void tls_wind_up(struct eddy_transport *t);
/* The peer's close_notify. */
void tls_peer_closed(struct tls_layer *l);
/* Both sides have said what they had to: the lower transport closes. */
void tls_finish(struct tls_layer *l);
void tls_timer(struct eddy_timer *t);

/* ---- report.c ---- */

/* The oldest entry of OpenSSL's queue, which is emptied, as one sentence. `doing`: "TLS handshake".
 * ssl may be NULL. The code: EDDY_ETLS, EDDY_ETLS_CERT, -ENOMEM. */
int tls_report(SSL *ssl, const char *doing, struct eddy_error *ret);
/* Whether that is behind what has just failed. OpenSSL's queue is emptied. */
bool tls_was_short_of_memory(void);

/* ---- verify.c: names ---- */

/* A host as clients may ask for and verify it, into buf (TLS_NAME bytes): without a trailing dot.
 * -EINVAL, with the reason in *why. */
#define TLS_NAME 256
int tls_name_check(const char *host, char *buf, const char **why);
/* SNI and what is verified, of l->name. 0; -ENOMEM. */
int tls_name_set(struct tls_layer *l);
/* "certificate is not valid for 'a' (valid for: b, c)" and the like: why the peer's is refused. */
void tls_verify_explain(SSL *ssl, char *buf, size_t size);

/* ---- session.c: the client's side of resumption ---- */

/* Offers what is there for l->session_key, and keeps what comes. */
void tls_session_offer(struct tls_layer *l);

/* ---- flood.c ---- */

void tls_flood_init(SSL_CTX *ctx);
/* The handshake is done: from here on messages are counted. */
void tls_flood_begin(struct tls_layer *l);

/* ---- context.c ---- */

struct eddy_tls {
    atomic_uint refs;
    bool server;
    BIO_METHOD *bio;
    uint8_t id[32];           /* random: of whom sessions are (SSL_CTX_set_session_id_context) */
    void *tickets;            /* a server's: tickets.c */
    void *sessions;           /* a client's: session.c */
    pthread_mutex_t building; /* one reload at a time; around all of the calls below */
    pthread_mutex_t mutex;    /* for the next */
    SSL_CTX *ctx;             /* of today */
};

/* The SSL_CTX of today, with a reference for the caller. [any thread] */
SSL_CTX *tls_context_take(struct eddy_tls *tls);
BIO_METHOD *tls_context_bio(const struct eddy_tls *tls);

/* Whose ssl is. The application data are the application's. False: no memory. */
bool tls_bind(SSL *ssl, struct tls_layer *l);
/* NULL: it is an SSL that an expert has made. */
struct tls_layer *tls_of(const SSL *ssl);

/* What an SSL_CTX was made of; it lives as long as that. Names (.names) are in lower case, without
 * a trailing dot. */
const struct eddy_tls_opts *tls_ctx_opts(const SSL_CTX *ctx);
/* Whose name of theirs it is, as it stands there; NULL: nobody's. */
struct eddy_tls *tls_find_name(const struct eddy_tls_opts *o, const char *name);
/* .alpn as it stands in a hello: strings behind their lengths. */
const unsigned char *tls_ctx_alpn(const SSL_CTX *ctx, size_t *ret_len);
/* 32 bytes that differ where trust does, or what is asked of the peer: what was verified under
 * others must not be resumed. */
const uint8_t *tls_ctx_trust(const SSL_CTX *ctx);

/* Called for each SSL_CTX, last, with the options to be had by tls_ctx_opts. It may fail yet, so
 * nothing that *tls has is changed. 0, or EDDY_ETLS, with the reason in OpenSSL's queue. */
int tls_names_init(struct eddy_tls *tls, SSL_CTX *ctx);
int tls_tickets_init(struct eddy_tls *tls, SSL_CTX *ctx);
int tls_session_init(struct eddy_tls *tls, SSL_CTX *ctx);
/* Reads .ocsp_file by tls_read_file. */
int tls_ocsp_init(struct eddy_tls *tls, SSL_CTX *ctx, struct eddy_error *e);
/* What tls->tickets and tls->sessions are: made with *tls, whatever the options say. */
int tls_tickets_new(struct eddy_tls *tls);
int tls_session_new(struct eddy_tls *tls);
/* The options of the SSL_CTX that comes into use now. */
void tls_tickets_use(struct eddy_tls *tls, const struct eddy_tls_opts *o);
void tls_session_use(struct eddy_tls *tls, const struct eddy_tls_opts *o);
/* They may be NULL. */
void tls_tickets_free(struct eddy_tls *tls);
void tls_session_free(struct eddy_tls *tls);

/* A file, or what stands for it. */
struct tls_text {
    char *data; /* eddy_alloc, if .size > 0 */
    size_t len, size;
    const char *name; /* for errors */
};

/* All of it, which is `what` ("certificate"). -errno, -EFBIG, EDDY_ETLS if there is nothing in it;
 * with the sentence in *e. */
int tls_read_file(const char *path, const char *what, struct eddy_error *e, struct tls_text *ret);
/* Wipes it. */
void tls_text_free(struct tls_text *t);

#endif
