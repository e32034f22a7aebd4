/* Actors: protocols that do as told and watch over the order of their callbacks. */
#include "tests/support/stream.h"
#include <string.h>

/* Callbacks that are running: but for pause_writing none comes inside another, or inside a call. */
static int running;

/* ---- streams of bytes ---- */

static uint8_t stream_byte(size_t i, uint64_t key)
{
    uint64_t x = ((uint64_t)i + key * 0x9e3779b9u) * 0x2545f4914f6cdd1du;
    return (uint8_t)(x >> 40);
}

void stream_bytes(void *buf, size_t len, size_t offset, uint64_t key)
{
    uint8_t *bytes = buf;
    for (size_t i = 0; i < len; i++)
        bytes[i] = stream_byte(offset + i, key);
}

bool stream_matches(const void *buf, size_t len, size_t offset, uint64_t key)
{
    const uint8_t *bytes = buf;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != stream_byte(offset + i, key))
            return false;
    }
    return true;
}

/* ---- the order of callbacks ---- */

static struct actor *actor_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct shell, base)->actor;
}

static bool may_come(const struct actor *a, enum slot slot)
{
    bool open = a->state == ACTOR_OPEN;
    bool live = open || a->state == ACTOR_EOF;
    switch (slot) {
    case ON_MADE:
        return a->state == ACTOR_CONNECTING;
    case ON_DATA:
    case ON_GET_BUFFER:
    case ON_BUFFER_UPDATED:
    case ON_EOF:
        return open;
    case ON_PAUSE:
        return live && !a->paused;
    case ON_RESUME:
        return live && (a->paused || a->adopted);
    case ON_LOST:
    case ON_SHUTDOWN:
        return live;
    case ON_FAILED:
        return a->state == ACTOR_CONNECTING && a->p == &a->own.base;
    case ON_FINI:
        return a->state == ACTOR_LOST || a->replaced ||
               (a->state == ACTOR_CONNECTING && a->p != &a->own.base);
    case ON_INIT:
    case SLOTS:
        break;
    }
    return true;
}

static const char *const slot_names[SLOTS] = {
    [ON_INIT] = "init",         [ON_MADE] = "CM", [ON_DATA] = "DR",     [ON_GET_BUFFER] = "GB",
    [ON_BUFFER_UPDATED] = "BU", [ON_EOF] = "ER",  [ON_PAUSE] = "PW",    [ON_RESUME] = "RW",
    [ON_LOST] = "CL",           [ON_FINI] = "FI", [ON_SHUTDOWN] = "SR", [ON_FAILED] = "CF",
};

static void enter(struct actor *a, enum slot slot)
{
    const char *name = slot_names[slot];
    struct eddy_loop *loop = a->stage->loop;
    if (a->detached)
        FAIL("%s after detach", name);
    if (!may_come(a, slot))
        FAIL("%s in state %d after \"%s\"", name, (int)a->state, trace_text(&a->trace));
    if (running > 0 && slot != ON_PAUSE)
        FAIL("%s inside another callback", name);
    if (eddy_get_running_loop() != loop && !eddy_loop_is_closed(loop) && slot != ON_PAUSE)
        FAIL("%s outside the loop", name);
    if (slot == ON_BUFFER_UPDATED && !a->asked)
        FAIL("BU without a GB before it");
    a->asked = false;
    a->count[slot]++;
}

static void perform(struct actor *a, enum slot slot)
{
    if (a->on[slot]) {
        running++;
        a->on[slot](a);
        running--;
    }
}

static void begin_attachment(struct actor *a, struct eddy_protocol *p)
{
    a->p = a->last = p;
    a->attachments++;
    a->state = ACTOR_CONNECTING;
    a->paused = false;
    a->code = 0;
}

static int shell_init(struct eddy_protocol *p, void *arg)
{
    struct stage *s = arg;
    if (s->guest_next == s->guest_count) {
        FAIL("more connections than guests");
        return -ECONNABORTED;
    }
    struct actor *a = s->guests[s->guest_next++];
    EDDY_PROTOCOL_SELF(p, struct shell, base)->actor = a;
    enter(a, ON_INIT);
    if (a->init_result < 0)
        return a->init_result;
    begin_attachment(a, p);
    perform(a, ON_INIT);
    return 0;
}

static void shell_fini(struct eddy_protocol *p)
{
    struct actor *a = actor_of(p);
    enter(a, ON_FINI);
    CHECK(p->transport == NULL);
    a->state = ACTOR_IDLE;
    a->p = NULL;
    a->t = NULL;
    perform(a, ON_FINI);
}

static void shell_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct actor *a = actor_of(p);
    enter(a, ON_MADE);
    test_trace(&a->trace, "CM");
    a->state = ACTOR_OPEN;
    a->t = t;
    CHECK(p->transport == t);
    CHECK(eddy_transport_protocol(t) == p);
    perform(a, ON_MADE);
}

static void shell_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct actor *a = actor_of(p);
    enter(a, ON_FAILED);
    CHECK(p->transport == NULL || road_is_nested()); /* it is the first upgrade that was lost */
    if (CHECK(err != NULL)) {
        a->error = *err;
        a->code = err->code;
    }
    test_trace(&a->trace, "CF(%s)", test_code(a->code));
    a->state = ACTOR_LOST;
    a->err = err;
    perform(a, ON_FAILED);
    a->err = NULL;
}

static void take(struct actor *a, const void *data, size_t len)
{
    if (a->in_key)
        CHECK(stream_matches(data, len, a->received, a->in_key));
    if (a->received < sizeof a->head) {
        size_t room = sizeof a->head - a->received;
        memcpy(a->head + a->received, data, len < room ? len : room);
    }
    a->received += len;
    if (len > a->largest)
        a->largest = len;
    a->data = data;
    a->len = len;
}

static void shell_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct actor *a = actor_of(p);
    enter(a, ON_DATA);
    test_trace(&a->trace, "DR(%zu)", len);
    CHECK(len > 0);
    take(a, data, len);
    perform(a, ON_DATA);
    a->data = NULL;
}

static size_t shell_get_buffer(struct eddy_protocol *p, size_t hint, void **ret_buf)
{
    struct actor *a = actor_of(p);
    (void)hint;
    enter(a, ON_GET_BUFFER);
    test_trace(&a->trace, "GB");
    perform(a, ON_GET_BUFFER);
    a->asked = true;
    if (a->empty_window) {
        *ret_buf = NULL;
        return 0;
    }
    *ret_buf = a->window ? a->window : a->buffer;
    a->asked_size = a->window ? a->window_size : sizeof a->buffer;
    return a->asked_size;
}

static void shell_buffer_updated(struct eddy_protocol *p, size_t len)
{
    struct actor *a = actor_of(p);
    enter(a, ON_BUFFER_UPDATED);
    test_trace(&a->trace, "BU(%zu)", len);
    CHECK(len > 0 && len <= a->asked_size);
    take(a, a->window ? a->window : a->buffer, len);
    perform(a, ON_BUFFER_UPDATED);
    a->data = NULL;
}

static bool shell_eof(struct eddy_protocol *p)
{
    struct actor *a = actor_of(p);
    enter(a, ON_EOF);
    test_trace(&a->trace, "ER");
    a->state = ACTOR_EOF;
    perform(a, ON_EOF);
    return a->keep_open;
}

static void shell_pause(struct eddy_protocol *p)
{
    struct actor *a = actor_of(p);
    enter(a, ON_PAUSE);
    test_trace(&a->trace, "PW");
    a->paused = true;
    CHECK(!eddy_transport_is_closing(p->transport));
    CHECK(eddy_transport_is_writing_paused(p->transport));
    perform(a, ON_PAUSE);
}

static void shell_resume(struct eddy_protocol *p)
{
    struct actor *a = actor_of(p);
    enter(a, ON_RESUME);
    test_trace(&a->trace, "RW");
    a->paused = false;
    CHECK(!eddy_transport_is_writing_paused(p->transport));
    perform(a, ON_RESUME);
}

static void shell_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct actor *a = actor_of(p);
    enter(a, ON_LOST);
    a->state = ACTOR_LOST;
    a->t = p->transport;
    CHECK(p->transport != NULL);
    CHECK(eddy_transport_is_closing(p->transport));
    if (err) {
        CHECK(err->code < 0);
        a->code = err->code;
        a->error = *err;
    }
    test_trace(&a->trace, "CL(%s)", test_code(a->code));
    a->err = err;
    perform(a, ON_LOST);
    a->err = NULL;
    a->t = NULL;
}

static void shell_shutdown(struct eddy_protocol *p)
{
    struct actor *a = actor_of(p);
    enter(a, ON_SHUTDOWN);
    test_trace(&a->trace, "SR");
    perform(a, ON_SHUTDOWN);
}

#define COMMON_SLOTS                                                                         \
    .init = shell_init, .fini = shell_fini, .connection_made = shell_made,                   \
    .connect_failed = shell_failed, .eof_received = shell_eof, .pause_writing = shell_pause, \
    .resume_writing = shell_resume, .connection_lost = shell_lost,                           \
    .shutdown_requested = shell_shutdown

const struct eddy_protocol_class actor_class = {
    EDDY_PROTOCOL_CLASS(struct shell, base),
    COMMON_SLOTS,
    .data_received = shell_data,
};

const struct eddy_protocol_class actor_buffered_class = {
    EDDY_PROTOCOL_CLASS(struct shell, base),
    COMMON_SLOTS,
    .get_buffer = shell_get_buffer,
    .buffer_updated = shell_buffer_updated,
};

/* ---- what cases do with them ---- */

void actor_init(struct actor *a, struct stage *s)
{
    memset(a, 0, sizeof *a);
    a->stage = s;
    a->own.actor = a;
}

static void creation_done(struct eddy_done *d, struct eddy_future *f)
{
    struct actor *a = EDDY_CONTAINER_OF(d, struct actor, done_node);
    a->done = true;
    a->status = eddy_future_result(f, NULL);
    if (a->status == 0)
        test_trace(&a->trace, "RET");
    else
        test_trace(&a->trace, "RET(%s)", test_code(a->status));
    a->future = NULL;
    eddy_future_unref(f);
    if (a->on_done)
        a->on_done(a);
}

void actor_begin(struct actor *a, bool future)
{
    a->done = !future;
    a->done_node.fn = creation_done;
    if (future)
        CHECK_INT(eddy_future_add_done_callback(a->future, &a->done_node), 0);
    begin_attachment(a, &a->own.base);
}

int actor_connect(struct actor *a)
{
    struct stage *s = a->stage;
    struct eddy_connection_opts opts = s->connection_opts;
    if (opts.port == 0 && !opts.use_sock)
        opts.port = s->port;
    if (!eddy_protocol_is_attached(&a->own.base))
        eddy_protocol_init(&a->own.base, s->client_class);
    int err = stage_create_connection(s, &a->own.base, &opts, &a->future);
    if (err < 0)
        return err;
    actor_begin(a, true);
    return 0;
}

int actor_switch(struct actor *from, struct actor *to, const struct eddy_protocol_class *cls)
{
    struct eddy_transport *t = from->t;
    eddy_protocol_init(&to->own.base, cls);
    int err = eddy_transport_set_protocol(t, &to->own.base);
    if (err < 0)
        return err;
    to->p = to->last = &to->own.base;
    to->t = t;
    to->adopted = true;
    to->state = from->state;
    to->attachments++;
    from->replaced = true;
    return 0;
}

void actor_detach(struct actor *a)
{
    struct eddy_protocol *p = a->p;
    a->detached = true;
    a->excused++;
    a->p = NULL;
    a->t = NULL;
    eddy_protocol_detach(p);
}

int actor_write(struct actor *a, size_t len)
{
    uint8_t piece[16384];
    while (len > 0) {
        size_t n = len < sizeof piece ? len : sizeof piece;
        stream_bytes(piece, n, a->sent, a->out_key);
        int err = eddy_transport_write(a->t, piece, n);
        if (err < 0)
            return err;
        a->sent += n;
        len -= n;
    }
    return 0;
}

size_t actor_fill(struct actor *a)
{
    size_t before = a->sent;
    while (a->t && !eddy_transport_is_writing_paused(a->t) && a->sent - before < (64u << 20)) {
        if (actor_write(a, 16384) < 0)
            break;
    }
    return a->sent - before;
}

void do_close(struct actor *a)
{
    eddy_transport_close(a->t);
}

void do_abort(struct actor *a)
{
    eddy_transport_abort(a->t, NULL);
}

void do_abort_eproto(struct actor *a)
{
    eddy_transport_abort(a->t, EDDY_ERROR(-EPROTO, "the case says so"));
}

void do_pause(struct actor *a)
{
    eddy_transport_pause_reading(a->t);
}

void do_resume(struct actor *a)
{
    eddy_transport_resume_reading(a->t);
}

void do_write_eof(struct actor *a)
{
    CHECK_INT(eddy_transport_write_eof(a->t), 0);
}

void do_echo(struct actor *a)
{
    CHECK_INT(eddy_transport_write(a->t, a->data, a->len), 0);
}
