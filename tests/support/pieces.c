/* Protocols that cut a stream to pieces, on a stage. */
#include "tests/support/pieces.h"
#include <ctype.h>
#include <string.h>

void play_begin(struct play *c, const char *letter, const struct eddy_protocol_class *cls)
{
    memset(c, 0, sizeof *c);
    stage_init(&c->s);
    stage_add(&c->s, &c->next, false);
    c->letter = letter;
    c->s.server_class = cls;
    c->s.server_opts.arg = c;
    c->fd = -1;
    stage_begin(&c->s);
}

void play_end(struct play *c)
{
    CHECK(c->p == NULL);
    stage_close(&c->s);
}

void play_open(struct play *c)
{
    trace_clear(&c->trace);
    memset(&c->error, 0, sizeof c->error);
    c->pieces = 0;
    c->fd = raw_connect(&c->s);
    UNTIL(&c->s, c->t != NULL);
}

void play_feed(struct play *c, const void *data, size_t len)
{
    int err = len > 0 ? raw_send(&c->s, c->fd, data, len) : 0;
    /* A unix socket hears at once that the other one has closed. */
    CHECK(err == 0 || (err == -EPIPE && road_is_unix()));
    stage_settle(&c->s);
}

void play_feed_in_two(struct play *c, const void *data, size_t len, size_t at)
{
    play_feed(c, data, at);
    play_feed(c, (const char *)data + at, len - at);
}

void play_await_fini(struct play *c)
{
    UNTIL(&c->s, c->p == NULL);
    raw_close(&c->s, c->fd);
    c->fd = -1;
}

void play_finish(struct play *c)
{
    int err = c->s.sys->cls->shutdown(c->s.sys, c->fd, SHUT_WR);

    CHECK(err == 0 || (err == -ENOTCONN && !c->t)); /* our side was faster */
    play_await_fini(c);
}

/* ---- slots ---- */

static void enter(struct play *c, const char *name)
{
    if (c->inside)
        FAIL("%s inside a piece", name);
    test_trace(&c->trace, "%s", name);
}

int play_init(struct play *c, struct eddy_protocol *p)
{
    if (c->refuse)
        return -EPERM;
    CHECK(c->p == NULL);
    c->p = p;
    return 0;
}

void play_fini(struct play *c)
{
    enter(c, "FI");
    CHECK(c->p != NULL && c->p->transport == NULL);
    c->finis++;
    c->p = NULL;
    c->t = NULL;
}

void play_made(struct play *c, struct eddy_transport *t)
{
    enter(c, "CM");
    CHECK(c->p->transport == t);
    c->t = t;
}

/* Text as it is, for traces of one word per callback. */
static void spell(char *text, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];

        if (isgraph(byte))
            text += snprintf(text, 2, "%c", byte);
        else
            text += snprintf(text, 5, "\\%02x", byte);
    }
    *text = '\0';
}

void play_piece(struct play *c, const void *data, size_t len)
{
    char text[4 * 32 + 1];

    CHECK(!c->inside);
    CHECK(c->t && !eddy_transport_is_closing(c->t));
    if (len > 32) {
        test_trace(&c->trace, "%s(#%zu)", c->letter, len);
    } else {
        spell(text, data, len);
        test_trace(&c->trace, "%s(%s)", c->letter, text);
    }
    c->pieces++;
    c->inside = true;
    if (c->on_piece)
        c->on_piece(c, data, len);
    if (c->act && (c->act_on == 0 || c->act_on == c->pieces))
        c->act(c);
    c->inside = false;
}

bool play_eof(struct play *c)
{
    enter(c, "ER");
    return c->keep_open;
}

void play_pause(struct play *c)
{
    test_trace(&c->trace, "PW");
}

void play_resume(struct play *c)
{
    enter(c, "RW");
}

void play_lost(struct play *c, const struct eddy_error *err)
{
    char token[64];

    snprintf(token, sizeof token, "CL(%s)", test_code(err ? err->code : 0));
    enter(c, token);
    if (err)
        c->error = *err;
    c->t = NULL;
}

/* ---- acts ---- */

void play_act_pause(struct play *c)
{
    eddy_transport_pause_reading(c->t);
}

void play_act_pause_and_resume(struct play *c)
{
    eddy_transport_pause_reading(c->t);
    eddy_transport_resume_reading(c->t);
}

void play_act_close(struct play *c)
{
    eddy_transport_close(c->t);
}

void play_act_abort(struct play *c)
{
    eddy_transport_abort(c->t, EDDY_ERROR(-EPROTO, "the case says so"));
}

void play_switch(struct play *c)
{
    c->from.t = c->t;
    c->from.state = ACTOR_OPEN;
    CHECK_INT(actor_switch(&c->from, &c->next, &actor_class), 0);
}
