/* Client, relay and target on one loop. */
#include "tests/support/chain.h"
#include <stdlib.h>
#include <string.h>

struct door {
    struct eddy_protocol base;
    struct chain *chain;
};

static struct chain *chain_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct door, base)->chain;
}

static int door_init(struct eddy_protocol *p, void *arg)
{
    EDDY_PROTOCOL_SELF(p, struct door, base)->chain = arg;
    return 0;
}

static void door_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct chain *c = chain_of(p);
    c->near_side = t;
    if (c->at_door)
        c->at_door(c, t);
    else
        chain_connect(c, t);
}

static void door_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct chain *c = chain_of(p);
    if (CHECK(c->at_door_data != NULL))
        c->at_door_data(c, p->transport, data, len);
}

static bool door_eof(struct eddy_protocol *p)
{
    return chain_of(p)->door_keeps_open;
}

static void door_fini(struct eddy_protocol *p)
{
    chain_of(p)->door_finis++;
}

static const struct eddy_protocol_class door_class = {
    EDDY_PROTOCOL_CLASS(struct door, base), .init = door_init,          .fini = door_fini,
    .connection_made = door_made,           .data_received = door_data, .eof_received = door_eof,
};

void chain_init(struct chain *c)
{
    memset(c, 0, sizeof *c);
    stage_init(&c->s);
    stage_keyed(&c->s);
    c->s.server_class = &door_class;
    c->s.server_opts.arg = c;
    c->far_opts = *EDDY_CONNECTION(.host = "127.0.0.1");
}

void chain_begin(struct chain *c)
{
    stage_begin(&c->s);
    REQUIRE(eddy_create_server(c->s.loop, &actor_class,
                               EDDY_SERVER(.host = "127.0.0.1", .arg = &c->s), &c->target) == 0);
    c->target_port = eddy_server_port(c->target);
}

void chain_open(struct chain *c)
{
    struct stage *s = &c->s;
    chain_begin(c);
    REQUIRE(actor_connect(&s->client) == 0);
    UNTIL(s, s->client.done && s->peer.count[ON_MADE] == 1 && chain_far_side(c) != NULL);
}

static void close_target(struct chain *c)
{
    if (!c->target)
        return;
    eddy_server_close(c->target);
    eddy_server_unref(c->target);
    c->target = NULL;
}

void chain_close(struct chain *c)
{
    struct stage *s = &c->s;
    if (c->bond)
        eddy_relay_abort(&c->bond->relay, NULL);
    UNTIL(s, c->dones == c->starts - c->cancels);
    close_target(c);
    stage_close(s);
    CHECK_INT(c->dones, c->starts - c->cancels);
}

/* Whoever still looks at it gets into trouble, with or without the address sanitizer. */
static void forget(struct bond *b)
{
    for (size_t i = 0; i < sizeof *b; i++)
        ((volatile unsigned char *)b)[i] = 0; /* a timer in it would be due */
    free(b);
}

static void bond_done(struct eddy_relay *r, const struct eddy_error *why)
{
    struct bond *b = EDDY_CONTAINER_OF(r, struct bond, relay);
    struct chain *c = b->chain;
    CHECK(!eddy_relay_is_active(r));
    c->dones++;
    c->to_far = r->to_far;
    c->to_near = r->to_near;
    if (c->bond == b)
        c->bond = NULL;
    forget(b);
    c->code = 0;
    if (why) { /* it is not in the relay */
        CHECK(why->code < 0);
        c->code = why->code;
        c->error = *why;
    }
    if (c->on_done)
        c->on_done(c);
}

struct bond *chain_bond(struct chain *c)
{
    struct bond *b = calloc(1, sizeof *b);
    REQUIRE(b != NULL);
    b->relay.done = bond_done;
    b->chain = c;
    return b;
}

void chain_connect(struct chain *c, struct eddy_transport *t)
{
    struct bond *b = chain_bond(c);
    struct eddy_error error;
    c->far_opts.port = c->target_port;
    c->far_opts.error = &error;
    int err = eddy_relay_connect(&b->relay, t, &c->far_opts);
    if (err < 0) {
        CHECK_INT(error.code, err);
        free(b);
        eddy_transport_abort(t, &error);
        return;
    }
    c->starts++;
    c->bond = b;
}

void chain_cancel(struct chain *c)
{
    eddy_relay_cancel(&c->bond->relay);
    CHECK(!eddy_relay_is_active(&c->bond->relay));
    forget(c->bond);
    c->bond = NULL;
    c->cancels++;
}

struct eddy_transport *chain_far_side(const struct chain *c)
{
    return c->bond ? c->bond->relay.far_.base_.transport : NULL;
}

/* ---- raw ends ---- */

int chain_raw_target(struct chain *c)
{
    close_target(c);
    return raw_listen(&c->s, 16, &c->target_port);
}

void chain_raw_open(struct chain *c, int *ret_client, int *ret_target)
{
    chain_begin(c);
    int listener = chain_raw_target(c);
    *ret_client = raw_connect(&c->s);
    *ret_target = raw_accept(&c->s, listener);
    UNTIL(&c->s, chain_far_side(c) != NULL);
    raw_close(&c->s, listener);
}

void chain_raw_fill(struct chain *c, int fd, uint64_t key, size_t *sent,
                    const struct eddy_transport *side)
{
    static uint8_t piece[16384];
    struct eddy_sys *sys = c->s.sys;
    eddy_nsec patience = stage_patience(&c->s);
    while (eddy_transport_is_reading(side)) {
        stream_bytes(piece, sizeof piece, *sent, key);
        ssize_t n = sys->cls->send(sys, fd, piece, sizeof piece);
        if (n > 0)
            *sent += (size_t)n;
        else if (!CHECK_INT(n, -EAGAIN))
            return;
        if (!stage_step(&c->s, patience)) {
            FAIL("the relay reads on for ever");
            return;
        }
    }
}
