/* The sides of a scenario, the players that serve them, and what these are told. */
#include "tests/support/scenario.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AREA = 3000, MAX_DEPTH = 3 };

/* ---- sides ---- */

struct side *side_at(int number)
{
    return (void *)((char *)scene.scenario->sides + (size_t)number * scene.scenario->side_size);
}

static struct side *side_any(void)
{
    return side_at((int)dice((uint64_t)scene.side_count));
}

struct side *side_new(bool server)
{
    struct side *s;

    if (scene.side_count == scene.scenario->most_sides)
        return NULL;
    s = side_at(scene.side_count);
    memset(s, 0, scene.scenario->side_size);
    s->number = scene.side_count++;
    s->server = server;
    s->free = scene.scenario->free;
    s->budget = (int)dice(12);
    s->accepted = true;
    return s;
}

void side_tell(const struct side *s, const char *what, uint64_t n)
{
    if (scene.traced)
        fprintf(stderr, "  %s %d: %s %llu\n", s->server ? "server" : "client", s->number, what,
                (unsigned long long)n);
}

struct eddy_transport *side_transport(const struct side *s)
{
    return s->player ? s->player->base.transport : NULL;
}

struct side *side_peer(const struct side *s)
{
    for (int i = 0; i < scene.side_count; i++) {
        struct side *p = side_at(i);
        if (p != s && p->made && s->made && p->server != s->server && p->local == s->peer &&
            p->peer == s->local)
            return p;
    }
    return NULL;
}

void side_excuse_both(struct side *s)
{
    struct side *p = side_peer(s);

    s->excused = true;
    if (p)
        p->excused = true;
}

bool side_is_blind(const struct side *s)
{
    return s->local == 0 || s->peer == 0;
}

bool side_is_over(const struct side *s)
{
    return !s->accepted || s->detached || s->lost || s->failed;
}

bool sides_all_are(bool (*is)(const struct side *s))
{
    for (int i = 0; i < scene.side_count; i++) {
        if (!is(side_at(i)))
            return false;
    }
    return true;
}

/* ---- players ---- */

static const struct eddy_protocol_class classes[2];        /* clients': plain, buffered */
static const struct eddy_protocol_class server_classes[2]; /* the same with init */

const struct eddy_protocol_class *player_server_class(void)
{
    return &server_classes[dice(2)];
}

static void player_begin(struct player *a, struct side *s)
{
    a->side = s;
    a->area_size = 1 + dice(MAX_AREA);
    a->area = malloc(a->area_size);
    s->player = a;
    s->attachments++;
}

struct player *player_new(struct side *s)
{
    struct player *a = calloc(1, sizeof *a);

    eddy_protocol_init(&a->base, &classes[dice(2)]);
    player_begin(a, s);
    return a;
}

static void player_unhold(struct player *a)
{
    struct player **at;

    for (at = &scene.held; *at; at = &(*at)->next) {
        if (*at == a) {
            *at = a->next;
            break;
        }
    }
    a->held = false;
}

void player_free(struct player *a)
{
    if (a->held)
        player_unhold(a);
    if (a->side->player == a)
        a->side->player = NULL;
    free(a->area);
    if (!a->instance)
        free(a);
}

void player_refused(struct player *a)
{
    a->side->accepted = false;
    a->side->attachments--;
    player_free(a);
}

void player_end(struct player *a)
{
    EXPECT(a->retired || a->side->lost || a->side->failed);
    a->side->finis++;
}

void player_hold(struct player *a)
{
    if (a->held)
        return;
    eddy_protocol_hold(&a->base);
    a->held = true;
    a->next = scene.held;
    scene.held = a;
}

void player_release_one(void)
{
    struct player *a = scene.held;

    if (a == NULL)
        return;
    player_unhold(a);
    eddy_protocol_release(&a->base);
}

/* ---- what a side does ---- */

/* Something to a side, this one or another. */
static void side_act(struct side *own)
{
    struct side *s = own;
    struct eddy_transport *t;

    if (scene.depth >= MAX_DEPTH || scene.draining)
        return;
    scene.depth++;
    if (chance(350))
        s = side_any();
    t = side_transport(s);
    if (t)
        scene.scenario->act(s, t);
    else if (s->player && !s->made && !s->failed && !s->server && scene.manner != CLEAN)
        scene.scenario->act_early(s);
    scene.depth--;
}

void side_maybe_act(struct side *s)
{
    while (chance((unsigned)scene.chatter))
        side_act(s);
}

static void on_timer(struct eddy_timer *timer)
{
    struct side *s = EDDY_CONTAINER_OF(timer, struct side, timer);

    side_act(s);
    if (s->made && !s->lost && !s->detached && s->budget-- > 0)
        side_begin_timer(s);
}

void side_begin_timer(struct side *s)
{
    s->timer.fn = on_timer;
    eddy_loop_call_later(scene.loop, &s->timer, some_time(EDDY_MSEC(60)));
}

/* Byte `at` of the stream between two ports. */
static uint8_t stream_byte(int from, int to, uint64_t at)
{
    uint64_t x = ((uint64_t)from << 48 ^ (uint64_t)to << 32 ^ at) * 0x9e3779b97f4a7c15u;

    return (uint8_t)(x >> 56);
}

struct owned {
    struct side *side;
    uint8_t bytes[];
};

static void release_owned(void *user)
{
    struct owned *o = user;
    struct side *s = o->side;

    memset(o->bytes, 0xee, 16);
    free(o);
    scene.owned_out--;
    if (s->free && chance((unsigned)scene.chatter))
        side_act(s);
}

static void give_back(struct owned *o, size_t len)
{
    memset(o->bytes, 0xee, len);
    free(o);
}

static int hand_over(struct eddy_transport *t, struct owned *o, size_t len)
{
    struct iovec iov[3];
    size_t cut;
    int rc;

    switch (dice(3)) {
    case 0:
        rc = eddy_transport_write(t, o->bytes, len);
        give_back(o, len);
        return rc;
    case 1:
        cut = (size_t)dice(len);
        iov[0] = (struct iovec){o->bytes, cut};
        iov[1] = (struct iovec){o->bytes + cut, 0};
        iov[2] = (struct iovec){o->bytes + cut, len - cut};
        rc = eddy_transport_writev(t, iov, 3);
        give_back(o, len);
        return rc;
    default:
        scene.owned_out++;
        return eddy_transport_write_owned(t, o->bytes, len, release_owned, o);
    }
}

/* The bytes are counted before: writing may call pause_writing, and that may write. */
int side_write(struct side *s, struct eddy_transport *t, size_t len)
{
    struct owned *o = malloc(sizeof *o + len + 16);
    bool may = !eddy_transport_is_closing(t) && !s->wrote_eof;
    int rc;

    o->side = s;
    for (size_t i = 0; i < len; i++)
        o->bytes[i] = stream_byte(s->local, s->peer, s->written + i);
    side_tell(s, may ? "writes" : "writes in vain", len);
    if (may)
        s->written += len;
    rc = hand_over(t, o, len);
    if (!may) {
        EXPECT(rc == EDDY_ECLOSED || rc == EDDY_EINVALID_STATE);
        return 0;
    }
    if (rc < 0) {
        EXPECT(scene.manner != CLEAN);
        side_excuse_both(s);
    }
    return rc;
}

void side_switch(struct side *s, struct eddy_transport *t)
{
    struct player *old = s->player, *a = player_new(s);
    int rc = eddy_transport_set_protocol(t, &a->base);

    side_tell(s, "set_protocol", (uint64_t)(a->base.cls->get_buffer != NULL));
    if (rc == 0) {
        old->retired = true;
        return;
    }
    EXPECT(rc == EDDY_ECLOSED);
    s->attachments--;
    player_free(a);
    s->player = old;
}

void side_detach(struct side *s)
{
    struct player *a = s->player;
    bool instance = a->instance;

    side_tell(s, "detaches", 0);
    side_excuse_both(s);
    s->detached = true;
    s->attachments--;
    eddy_timer_cancel(&s->timer);
    if (a->held)
        player_unhold(a);
    s->player = NULL;
    free(a->area);
    eddy_protocol_detach(&a->base);
    if (!instance)
        free(a);
}

void side_set_limits(struct eddy_transport *t, size_t most)
{
    size_t high = (size_t)dice(most);
    int rc = eddy_transport_set_write_buffer_limits(t, (size_t)dice(high + 1), high);

    EXPECT(rc == 0 || (rc == -ENOMEM && scene.manner == FAULTY));
}

void side_set_timeouts(struct eddy_transport *t, size_t most_queued)
{
    if (chance(100))
        eddy_transport_set_write_max(t, 1 + (size_t)dice(most_queued));
    if (chance(500))
        eddy_transport_set_idle_timeout(t, some_time(EDDY_SEC(5)));
    else
        eddy_transport_set_write_timeout(t, 1 + some_time(EDDY_SEC(5)));
    eddy_transport_set_linger(t, chance(300) ? EDDY_OFF : some_time(EDDY_SEC(5)));
}

/* ---- what a side is told ---- */

static struct side *side_of(struct eddy_protocol *p)
{
    struct player *a = EDDY_CONTAINER_OF(p, struct player, base);
    struct side *s = a->side;

    if (a->retired)
        COMPLAIN("a protocol that was replaced is called");
    if (s->player != a)
        COMPLAIN("a protocol that is gone is called");
    if (s->lost || s->failed)
        COMPLAIN("a callback after connection_lost");
    return s;
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct side *s = side_of(p);
    struct eddy_addr a;

    side_tell(s, "CM", 0);
    EXPECT(!s->made);
    EXPECT(p->transport == t);
    s->made = true;
    if (eddy_transport_sockname(t, &a) == 0)
        s->local = eddy_addr_port(&a);
    if (eddy_transport_peername(t, &a) == 0)
        s->peer = eddy_addr_port(&a);
    scene.scenario->made(s, t);
}

void side_check_bytes(const struct side *s, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len && !side_is_blind(s); i++) {
        if (data[i] != stream_byte(s->peer, s->local, s->received + i)) {
            COMPLAIN("wrong byte at %llu + %zu", (unsigned long long)s->received, i);
            break;
        }
    }
}

static void take(struct side *s, const uint8_t *data, size_t len)
{
    struct eddy_transport *t = side_transport(s);

    side_tell(s, "DR", len);
    EXPECT(s->made && !s->ended);
    EXPECT(!eddy_transport_is_closing(t));
    EXPECT(eddy_transport_is_reading(t));
    EXPECT(len > 0 && len <= 256 * 1024);
    scene.scenario->heard(s, t, data, len);
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    take(side_of(p), data, len);
}

static size_t get_buffer(struct eddy_protocol *p, size_t hint, void **ret)
{
    struct player *a = EDDY_CONTAINER_OF(p, struct player, base);
    struct side *s = side_of(p);
    size_t size = a->area_size;

    (void)hint;
    EXPECT(!eddy_transport_is_closing(p->transport) && !s->ended);
    *ret = a->area;
    if (chance((unsigned)scene.chatter / 8))
        side_act(s); /* a may be gone */
    return size;
}

static void buffer_updated(struct eddy_protocol *p, size_t len)
{
    struct player *a = EDDY_CONTAINER_OF(p, struct player, base);

    EXPECT(len <= a->area_size);
    take(side_of(p), a->area, len);
}

static bool eof_received(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    side_tell(s, "ER", 0);
    EXPECT(s->made && !s->ended);
    EXPECT(!eddy_transport_is_closing(p->transport));
    s->ended = true;
    if (scene.scenario->ended)
        scene.scenario->ended(s);
    side_maybe_act(s);
    return !scene.draining && chance(500);
}

static void pause_writing(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    side_tell(s, "PW", 0);
    EXPECT(s->made && !s->write_paused);
    EXPECT(!eddy_transport_is_closing(p->transport));
    s->write_paused = true;
    side_maybe_act(s);
}

static void resume_writing(struct eddy_protocol *p)
{
    struct side *s = side_of(p);

    side_tell(s, "RW", 0);
    EXPECT(s->write_paused);
    s->write_paused = false;
    side_maybe_act(s);
}

static void tell_error(const struct eddy_error *err)
{
    if (scene.traced && err)
        fprintf(stderr, "    %s\n", err->text);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);

    side_tell(s, "CL", err ? (uint64_t)-err->code : 0);
    tell_error(err);
    EXPECT(s->made);
    EXPECT(eddy_transport_is_closing(p->transport));
    side_maybe_act(s);
    s->lost = true;
    eddy_timer_cancel(&s->timer);
    scene.scenario->lost(s, err);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct side *s = side_of(p);

    side_tell(s, "CF", (uint64_t)-err->code);
    tell_error(err);
    EXPECT(!s->made && !s->server);
    EXPECT(err->code < 0);
    side_maybe_act(s);
    s->failed = true;
    scene.scenario->failed(s, err);
}

static void fini(struct eddy_protocol *p)
{
    struct player *a = EDDY_CONTAINER_OF(p, struct player, base);

    EXPECT(p->transport == NULL);
    EXPECT(!a->held);
    if (scene.scenario->fini) {
        scene.scenario->fini(a);
        return;
    }
    player_end(a);
    player_free(a);
}

static int init(struct eddy_protocol *p, void *arg)
{
    struct player *a = EDDY_CONTAINER_OF(p, struct player, base);
    struct side *s = scene.manner != CLEAN && chance(20) ? NULL : side_new(true);

    EXPECT(arg == &scene);
    if (s == NULL)
        return -ECONNREFUSED;
    a->instance = true;
    player_begin(a, s);
    return 0;
}

#define CALLBACKS                                                                           \
    EDDY_PROTOCOL_CLASS(struct player, base),                                               \
        .fini = fini, .connection_made = connection_made, .connect_failed = connect_failed, \
        .eof_received = eof_received, .pause_writing = pause_writing,                       \
        .resume_writing = resume_writing, .connection_lost = connection_lost

static const struct eddy_protocol_class classes[2] = {
    {CALLBACKS, .data_received = data_received},
    {CALLBACKS, .get_buffer = get_buffer, .buffer_updated = buffer_updated},
};

static const struct eddy_protocol_class server_classes[2] = {
    {CALLBACKS, .data_received = data_received, .init = init},
    {CALLBACKS, .get_buffer = get_buffer, .buffer_updated = buffer_updated, .init = init},
};

/* ---- the books of a side ---- */

bool side_check(const struct side *s)
{
    const struct side *to = s->made ? side_peer(s) : NULL;

    if (!s->accepted || s->detached)
        return false;
    if (s->made ? !s->lost : !s->failed)
        COMPLAIN("side %d has no end (made %d)", s->number, s->made);
    if (s->attachments != s->finis)
        COMPLAIN("side %d: %d attachments, %d fini", s->number, s->attachments, s->finis);
    if (to && to->received > s->written)
        COMPLAIN("more received than written");
    return true;
}

void side_check_complete(const struct side *from, const struct side *to)
{
    if (to->received != from->written)
        COMPLAIN("side %d -> %d: %llu written, %llu received", from->number, to->number,
                 (unsigned long long)from->written, (unsigned long long)to->received);
    EXPECT(to->ended);
}
