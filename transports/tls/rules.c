/* The rules of a context that need no file: versions, ciphers, modes. The strict ones by default.
 */
#include "transports/tls/context.h"

/* 112 bits: no RSA below 2048, no SHA-1 in signatures. Debian's OpenSSL has it anyway. */
#define SECURITY_LEVEL 2

static int use_versions(struct tls_making *m)
{
    int min = m->o->min_version ? m->o->min_version : EDDY_TLS_1_2;

    if (SSL_CTX_set_min_proto_version(m->ctx, min) &&
        SSL_CTX_set_max_proto_version(m->ctx, m->o->max_version))
        return 0;
    return tls_making_fails(m, ".min_version, .max_version");
}

/* Options that come from the system's configuration of OpenSSL are taken back where they weaken. */
static void use_modes(struct tls_making *m)
{
    SSL_CTX_set_options(m->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_clear_options(m->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                                      SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                      SSL_OP_ALLOW_NO_DHE_KEX | SSL_OP_NO_ANTI_REPLAY |
                                      SSL_OP_NO_EXTENDED_MASTER_SECRET);
    SSL_CTX_set_mode(m->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(m->ctx, 1);
    if (SSL_CTX_get_security_level(m->ctx) < SECURITY_LEVEL)
        SSL_CTX_set_security_level(m->ctx, SECURITY_LEVEL);
    if (m->o->no_resumption) {
        SSL_CTX_set_options(m->ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(m->ctx, 0);
        SSL_CTX_set_session_cache_mode(m->ctx, SSL_SESS_CACHE_OFF);
    }
}

static int use_ciphers(struct tls_making *m)
{
    const struct eddy_tls_opts *o = m->o;

    if (!SSL_CTX_set_cipher_list(m->ctx, o->ciphers))
        return tls_making_fails(m, ".ciphers \"%.80s\"", o->ciphers);
    if (!SSL_CTX_set_ciphersuites(m->ctx, o->suites))
        return tls_making_fails(m, ".suites \"%.80s\"", o->suites);
    if (!SSL_CTX_set1_groups_list(m->ctx, (char *)(uintptr_t)o->groups)) /* a macro */
        return tls_making_fails(m, ".groups \"%.80s\"", o->groups);
    return 0;
}

/* A server chooses among what its clients offer (names.c). */
static int use_alpn(struct tls_making *m)
{
    const struct tls_block *b = m->made->block;

    if (m->o->server || !b->alpn)
        return 0;
    return SSL_CTX_set_alpn_protos(m->ctx, b->alpn, (unsigned)b->alpn_len) == 0
               ? 0
               : tls_making_fails(m, ".alpn");
}

int tls_use_rules(struct tls_making *m)
{
    int rc = use_versions(m);

    use_modes(m);
    if (rc == 0)
        rc = use_ciphers(m);
    return rc == 0 ? use_alpn(m) : rc;
}
