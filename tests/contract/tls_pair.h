/*
 * What the tests about certificates, names and sessions share: a client and a server whose contexts
 * are the case's own, connected once or several times, and what either side says of a failure.
 */
#ifndef TESTS_CONTRACT_TLS_PAIR_H
#define TESTS_CONTRACT_TLS_PAIR_H

#include "tests/contract/tls_calls.h"

/* An authority, and a certificate of its for "www.test", "*.wild.test" and 127.0.0.1. */
static struct cert *authority, *www;

static inline void need_www(void)
{
    need_certs();
    if (www)
        return;
    authority = cert_new(CERT(.cn = "Authority", .ca = true));
    www = cert_new(
        CERT(.cn = "www", .names = "www.test, *.wild.test, 127.0.0.1", .issuer = authority));
}

/* In C, options that are made of others are awkward: these are, but for what is given. */
#define WWW(...) EDDY_TLS_SERVER(CERT_PEM(www), __VA_ARGS__)
#define TRUSTING(...) EDDY_TLS_CLIENT(CERT_TRUST(authority), __VA_ARGS__)

static inline struct eddy_tls *context(const struct eddy_tls_opts *opts)
{
    struct eddy_tls_opts o = *opts;
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls = NULL;
    o.error = &e;
    if (eddy_tls_new(&o, &tls) < 0)
        FAIL("no context: %s", e.text);
    REQUIRE(tls != NULL);
    return tls;
}

/* The contexts become the pair's. The client asks for www.test. */
static inline void pair_init(struct tls_stage *c, const struct eddy_tls_opts *server,
                             const struct eddy_tls_opts *client)
{
    stage_init(&c->s);
    c->s.server_opts.tls = c->server = context(server);
    c->s.connection_opts.tls = c->client = context(client);
    c->s.connection_opts.server_hostname = "www.test";
}

/* The server's failures are problems from here on. */
static inline void pair_begin(struct tls_stage *c)
{
    stage_begin(&c->s);
    eddy_loop_set_debug(c->s.loop, true);
    eddy_loop_set_slow_callback(c->s.loop, EDDY_FOREVER);
}

/* Until the future is done: its status. */
static inline int pair_connect(struct tls_stage *c, struct actor *a)
{
    REQUIRE(actor_connect(a) == 0);
    UNTIL(&c->s, a->done);
    return a->status;
}

static inline void pair_open(struct tls_stage *c)
{
    pair_begin(c);
    CHECK_INT(pair_connect(c, &c->s.client), 0);
    UNTIL(&c->s, c->s.peer.count[ON_MADE] == 1);
}

/* What the server's loop says of a handshake that has failed. */
static inline const char *pair_problem(struct tls_stage *c)
{
    UNTIL(&c->s, c->s.problems.count > c->s.expected_problems);
    c->s.expected_problems++;
    return c->s.problems.text;
}

static inline struct eddy_tls_info info_of(const struct actor *a)
{
    struct eddy_tls_info info = {.version = NULL};
    CHECK_INT(eddy_tls_info(a->t, &info), 0);
    return info;
}

/* `text` begins with one, and contains all of the others. */
static inline bool begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) == 0)
        return true;
    FAIL("\"%s\" does not begin with \"%s\"", text, with);
    return false;
}

#endif
