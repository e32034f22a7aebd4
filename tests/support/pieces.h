/*
 * What the tests of protocols that cut a stream to pieces share: a server of the protocol under
 * test, whose callbacks are traced and may act, and a raw socket as its peer.
 */
#ifndef TESTS_SUPPORT_PIECES_H
#define TESTS_SUPPORT_PIECES_H

#include "tests/support/stream.h"

struct play {
    struct stage s;
    const char *letter; /* how the trace calls a piece: L(text), or L(#length) of long ones */

    /* what to do */
    void (*on_piece)(struct play *c, const char *data, size_t len);
    int act_on; /* from 1: in which piece `act` is called; 0: in all */
    void (*act)(struct play *c);
    bool keep_open; /* the answer of eof_received */
    bool refuse;    /* that of init */
    void *user;

    /* what happened to the present or last connection */
    struct test_trace trace;
    struct eddy_protocol *p;  /* from init to fini */
    struct eddy_transport *t; /* from connection_made to connection_lost */
    int pieces, finis;
    bool inside; /* a piece is being delivered */
    struct eddy_error error;

    /* whoever takes over: by play_switch */
    struct actor next, from;
    int fd; /* the peer */
};

/* A server of `cls`, whose init finds the play as its argument. */
void play_begin(struct play *c, const char *letter, const struct eddy_protocol_class *cls);
void play_end(struct play *c);

/* A new connection to it, until connection_made; the trace begins anew. */
void play_open(struct play *c);
/* Bytes of the peer, until they have arrived. */
void play_feed(struct play *c, const void *data, size_t len);
/* The same in two parts, cut at `at`. */
void play_feed_in_two(struct play *c, const void *data, size_t len, size_t at);
/* The peer ends its side; the loop runs until our protocol had fini. Closes the peer's socket. */
void play_finish(struct play *c);
/* The same when our side ends it. */
void play_await_fini(struct play *c);

/* For the slots of the class under test: they trace, and check that none comes inside another. */
int play_init(struct play *c, struct eddy_protocol *p);
void play_fini(struct play *c);
void play_made(struct play *c, struct eddy_transport *t);
void play_piece(struct play *c, const void *data, size_t len);
bool play_eof(struct play *c);
void play_pause(struct play *c);
void play_resume(struct play *c);
void play_lost(struct play *c, const struct eddy_error *err);

/* For .act. */
void play_act_pause(struct play *c);
void play_act_pause_and_resume(struct play *c);
void play_act_close(struct play *c);
void play_act_abort(struct play *c); /* -EPROTO */
/* To c->next, an actor of actor_class. */
void play_switch(struct play *c);

#endif
