/*
 * TLS: contexts, the upgrade of a connection, and what can be asked of an encrypted one.
 *
 * A context holds certificates, keys, trust and rules. It is made once and given to
 * eddy_create_server, eddy_create_connection or eddy_start_tls; what comes of it is a transport
 * like any other. The rules are the strict ones unless the options say otherwise: TLS 1.2 or newer,
 * ECDHE with AEAD, a client verifies chain and name, a connection that was cut off does not look
 * like one that has ended.
 *
 * Contexts are counted, do not change once made but by eddy_tls_reload and eddy_tls_rotate_tickets,
 * and may be shared by the loops of several threads. [any thread] is said of the functions that may
 * be called anywhere; the others are for the loop's thread.
 *
 * Where Eddy was built without OpenSSL, eddy_tls_new and whatever asks for TLS return
 * EDDY_ENOT_SUPPORTED, with a sentence in the error.
 */
#ifndef EDDY_TLS_H
#define EDDY_TLS_H

#include <eddy/base.h>
#include <eddy/future.h>
#include <eddy/transport.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_tls;
struct ssl_ctx_st; /* OpenSSL's SSL_CTX and SSL */
struct ssl_st;

/* Versions of the protocol, in the encoding of the protocol itself. */
#define EDDY_TLS_1_2 0x0303
#define EDDY_TLS_1_3 0x0304

/* What a server asks of its clients. */
enum eddy_tls_clients {
    EDDY_TLS_CLIENTS_ANY,       /* no certificate is asked for */
    EDDY_TLS_CLIENTS_MAY_HAVE,  /* one that is shown must be valid */
    EDDY_TLS_CLIENTS_MUST_HAVE, /* mutual TLS */
};

/* Which context a server uses for which name that clients ask for (SNI). */
struct eddy_tls_name {
    const char *name; /* "example.org", or "*.example.org" for one label more; NULL ends a list */
    struct eddy_tls *tls;
};

/* Files are PEM, but where said otherwise. They are read by eddy_tls_new and eddy_tls_reload alone.
 * Everything that is pointed to is copied. */
struct eddy_tls_opts {
    size_t abi_size;
    bool server; /* set by EDDY_TLS_SERVER */

    /* Who we are. A server needs it; a client has it for mutual TLS. */
    const char *cert_file; /* the certificate, then those that lead to the root */
    const char *key_file;  /* NULL: in cert_file too */
    const void *cert_pem;  /* or from memory, both */
    size_t cert_pem_len;
    const void *key_pem; /* NULL: in cert_pem too */
    size_t key_pem_len;
    /* For a key that is encrypted: writes the passphrase into buf, and returns its length, or < 0
     * to give up. Called from inside eddy_tls_new and eddy_tls_reload. buf is wiped. */
    int (*passphrase)(void *user, char *buf, size_t size);
    /* In the place of all these: a key and a certificate made on the spot, for names and addresses
     * with commas between. For trying things out: no client trusts it. */
    const char *throw_away;

    /* Whom we trust. For a client without any of these: the system. For a server: nobody, and
     * clients' certificates cannot be verified. */
    const char *ca_file;
    const char *ca_dir; /* of files named by hashes, as openssl rehash makes them */
    const void *ca_pem;
    size_t ca_pem_len;
    bool system_trust; /* the system too */
    const char
        *crl_file; /* what was revoked: for each of the chain's issuers there must be a list */

    enum eddy_tls_clients clients; /* server */
    /* Client: neither chain nor name is verified. Whoever sits in between can read and change
     * everything. Logged as a warning for each connection. */
    bool insecure_no_verification;

    const char *const *alpn; /* protocols, the best first, ended by NULL */
    int min_version;         /* EDDY_TLS_1_2 (also 0), or EDDY_TLS_1_3 */
    int max_version;         /* 0: the newest */
    const char *ciphers;     /* of TLS 1.2, as openssl-ciphers(1); NULL: ECDHE with AEAD */
    const char *suites;      /* of TLS 1.3, likewise; NULL: all three with AEAD */
    const char *groups;      /* NULL: "X25519:P-256:P-384" */

    /* Server: other contexts by the name that the client asks for; then `select`, which returns
     * one, lent, or NULL. Then this one, unless strict: an alert. All of theirs holds, but that
     * resumption, .allow_truncation and .small_records_first are this one's. */
    const struct eddy_tls_name *names;
    struct eddy_tls *(*select)(void *user, const char *name);
    bool strict_names;

    /* Resumption. Servers give out tickets under keys of their own making, which rotate. */
    bool no_resumption;
    eddy_nsec session_lifetime; /* of tickets and sessions; 0: 12 hours, at most 7 days */
    unsigned session_cache;     /* how many are kept; 0: 1024 */

    const char *ocsp_file; /* server: a response in DER, stapled to the handshake */
    bool require_ocsp;     /* client: no connection without a good one */

    /* Server: bytes that a client may send before the handshake is done (0: none, the default; at
     * most 16384). They can be recorded and sent again by anybody, so they do not come by
     * data_received, but here: do nothing for them that must not be done twice. connection_made has
     * been called; what is written in answer goes out at once. */
    uint32_t max_early_data;
    void (*early_data_received)(struct eddy_protocol *p, const void *data, size_t len);

    const char *keylog_file; /* secrets of all connections, appended: for debugging alone */
    bool allow_truncation;   /* an end of stream without close_notify counts as the end */
    /* Records of about 1,400 bytes at first and after a pause of a second, so that the peer can
     * begin with each packet; full ones after 64 KiB. */
    bool small_records_first;

    /* For experts: called with the SSL_CTX before it is used, also by a reload. < 0: it fails. */
    int (*configure)(void *user, struct ssl_ctx_st *ctx);
    void *user;               /* for passphrase, select and configure */
    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[8];
};

/* eddy_tls_new(EDDY_TLS_SERVER(.cert_file = "cert.pem", .key_file = "key.pem"), &tls) */
#define EDDY_TLS_SERVER(...)                                                               \
    EDDY_LITERAL_(eddy_tls_opts, .abi_size = sizeof(struct eddy_tls_opts), .server = true, \
                  __VA_ARGS__)
/* eddy_tls_new(EDDY_TLS_CLIENT(.ca_file = "ca.pem"), &tls) */
#define EDDY_TLS_CLIENT(...)                                                                \
    EDDY_LITERAL_(eddy_tls_opts, .abi_size = sizeof(struct eddy_tls_opts), .server = false, \
                  __VA_ARGS__)

/* Makes a context, which is the caller's, with one reference. A client's with the system's trust
 * takes about 20 ms: make it once. -EINVAL: options that contradict each other; -ENOENT, -EACCES
 * ...: a file that cannot be read; EDDY_ETLS: one that is not what it should be, a key that does
 * not fit its certificate; -ENOMEM; EDDY_ENOT_SUPPORTED: built without OpenSSL; -E2BIG. [any
 * thread] */
EDDY_API int eddy_tls_new(const struct eddy_tls_opts *opts, struct eddy_tls **ret);
EDDY_API struct eddy_tls *eddy_tls_ref(struct eddy_tls *tls); /* [any thread] */
/* NULL is fine. [any thread] */
EDDY_API void eddy_tls_unref(struct eddy_tls *tls);

/* Reads the files anew, or takes other options: the next connections have what is there now,
 * present ones keep what they have. If it fails, as eddy_tls_new does, everything stays as it was,
 * with the reason in *error (may be NULL). opts: NULL for those it was made with; a client's stay a
 * client's, a server's a server's. A context must not be among its own .names, nor among those of
 * one that is there. opts->error is filled in where error is NULL. Tickets given out before remain
 * good, but those of a server with .max_early_data, which go with the reload; and those of clients
 * that were verified, where the authorities are others now, or where nobody can tell: .ca_dir,
 * .system_trust and .configure. [any thread] */
EDDY_API int eddy_tls_reload(struct eddy_tls *tls, const struct eddy_tls_opts *opts,
                             struct eddy_error *error);
/* Server: tickets are given out under a new key from now on. Those under the last one remain good,
 * older ones do not. It happens by itself each half of .session_lifetime. -EINVAL: a client's.
 * EDDY_ETLS: no random bytes. [any thread] */
EDDY_API int eddy_tls_rotate_tickets(struct eddy_tls *tls);
/* When our certificate expires, in seconds since 1970. EDDY_ENOT_SUPPORTED: there is none. [any
 * thread] */
EDDY_API int eddy_tls_expires(struct eddy_tls *tls, time_t *ret);
/* Our certificate in PEM, ended by NUL: what a client of a throw-away one needs. -EMSGSIZE: it does
 * not fit; EDDY_ENOT_SUPPORTED: there is none. [any thread] */
EDDY_API int eddy_tls_cert_pem(struct eddy_tls *tls, char *buf, size_t size);

/* ---- the upgrade of an open connection (asyncio: loop.start_tls) ---- */

struct eddy_start_tls_opts {
    size_t abi_size;
    const char *site; /* set by EDDY_START_TLS */
    struct eddy_tls
        *tls; /* required of servers; a client's default is the loop's, see connection.h */
    bool server_side;
    const char *server_hostname; /* client: whom we mean to talk to; required, but for: */
    bool no_name_check;          /* see connection.h */
    eddy_nsec handshake_timeout; /* 0: 60 s; EDDY_FOREVER: none */
    eddy_nsec shutdown_timeout;  /* 0: 30 s; EDDY_FOREVER: none */
    struct eddy_error *error;    /* filled in when the call fails */
    void *reserved[4];
};

#define EDDY_START_TLS(...)                                                            \
    EDDY_LITERAL_(eddy_start_tls_opts, .abi_size = sizeof(struct eddy_start_tls_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

/* Encrypts t from here on, which may be a TLS transport itself. Its protocol is not called anew:
 * its p->transport is the encrypted one when this returns, and t must not be used any more. What
 * was written before goes out before, in plain text; what is written from now on waits for the
 * handshake, and write_eof is EDDY_ENOT_SUPPORTED until that is done. Nothing is received until
 * then. *ret (may be NULL) carries the status. If the handshake fails, connection_lost has the same
 * error; a done callback of the future may come before or after it.
 *
 * A server whose client has sent the first bytes of the handshake behind its last plain ones gives
 * those back by eddy_transport_unread. For a client bytes given back are an error, of the call or
 * of the future (EDDY_EINVALID_STATE): nobody may have put them in.
 *
 * -EINVAL: no context, or one for the other side; a transport that is no stream in both directions,
 * or closing; no .server_hostname, or a bad one; a negative time-out; EDDY_EINVALID_STATE: an end
 * of stream has come or was sent; EDDY_ENOT_SUPPORTED: built without OpenSSL; -ENOMEM; -E2BIG.
 * Nothing has changed then. (Contract S51, S52, X38-X44.) */
EDDY_API int eddy_start_tls(struct eddy_transport *t, const struct eddy_start_tls_opts *opts,
                            struct eddy_future **ret);

/* ---- what can be asked of an encrypted connection ----
 *
 * From connection_made until connection_lost returns; after eddy_start_tls, from its completion on.
 * EDDY_ENOT_SUPPORTED: not encrypted, or not yet; -EINVAL: NULL. */

struct eddy_tls_info {
    const char *version; /* "TLSv1.3". The strings live as long as the transport. */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    int secret_bits;
    const char *group; /* of the key exchange, as OpenSSL calls it: "x25519"; NULL: unknown */
    const char *alpn;  /* NULL: none was agreed on */
    const char *server_hostname; /* asked for by the client; NULL: none */
    bool server_side;
    bool resumed;
    bool early_data; /* what was sent early was accepted */
    bool has_peer_cert;
    bool verified;     /* the peer's certificate was verified, and it was good */
    int verify_result; /* X509_V_*; 0: good, or nothing to verify */
};

EDDY_API int eddy_tls_info(const struct eddy_transport *t, struct eddy_tls_info *ret);
/* The context that it was asked for with; names (SNI) may have chosen another one. Lent. NULL: not
 * encrypted. */
EDDY_API struct eddy_tls *eddy_tls_of(const struct eddy_transport *t);
/* OpenSSL's objects, for experts. NULL: there is none. Do not read, write or shut down. */
EDDY_API struct ssl_st *eddy_tls_ssl(const struct eddy_transport *t);
/* With a reference that is the caller's. [any thread] */
EDDY_API struct ssl_ctx_st *eddy_tls_ssl_ctx(struct eddy_tls *tls);

/* A certificate, in words. */
struct eddy_tls_cert {
    const char *subject; /* as RFC 2253 */
    const char *issuer;
    const char *serial;       /* in hexadecimal */
    const char *const *names; /* DNS names and addresses it is for, ended by NULL */
    time_t not_before, not_after;
    uint8_t sha256[32]; /* of the DER */
    const void *der;
    size_t der_len;
};

/* The i-th certificate of the peer's chain, its own being the 0th. The caller frees it. -ENOENT: it
 * has sent no such one; -ENOMEM. */
EDDY_API int eddy_tls_peer_cert(const struct eddy_transport *t, unsigned i,
                                struct eddy_tls_cert **ret);
EDDY_API void eddy_tls_cert_free(struct eddy_tls_cert *c); /* NULL is fine */

/* Has our sending keys changed, and the peer's if `both` (TLS 1.3; Eddy does so itself where the
 * protocol asks for it). EDDY_ENOT_SUPPORTED: TLS 1.2; EDDY_ECLOSED. */
EDDY_API int eddy_tls_update_keys(struct eddy_transport *t, bool both);

#ifdef __cplusplus
}
#endif
#endif
