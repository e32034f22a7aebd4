/* backends: sim sim-late */
/* timeout: 300 */
/* labels: scenarios slow */
/*
 * Seeded scenarios over TLS: a server and a few clients on one loop, which talk in plain text or in
 * TLS, upgrade what they have by start_tls up to three times, and then do to each other from all
 * their callbacks what may be done, over a network as rough as the seed makes it. Then the books
 * are checked, as tests/support/scenario.h says, and that what looks like an end of stream comes
 * where all bytes have come only (contract X33), and nothing is lost by a clean close.
 */
#include "tests/support/road.h"
#include "tests/support/scenario.h"
#include <string.h>
#include <sys/socket.h>

enum {
    MAX_SIDES = 24,
    MAX_LEVELS = 3,
    MAX_PLAIN = 600, /* bytes before an upgrade */
    MAX_WRITE = 20000,
    MAX_UPDATES = 20, /* of keys, by each side: more may be a flood */
};

/* Contexts, made once: a handshake costs more than all the rest. */
enum {
    SERVER_ANY,
    SERVER_1_2,
    SERVER_1_3,
    SERVER_TRUNCATED,
    CLIENT_ANY,
    CLIENT_1_2,
    CLIENT_SMALL,
    CLIENT_TRUNCATED,
    CLIENT_OTHER_TRUST,
    CONTEXTS,
};

static struct eddy_tls *contexts[CONTEXTS];

/* How connections to the server come about: both sides know it. */
struct plan {
    bool tls;   /* from the beginning */
    int levels; /* upgrades behind that */
    int server, client;
    bool doomed; /* they will not agree */
    bool lenient;
    bool resumes;                   /* by tickets, in contexts of its own */
    uint64_t first[MAX_LEVELS + 1]; /* what the server must have said before each of them */
    uint64_t then[MAX_LEVELS + 1];  /* ... and the client after that */
    struct eddy_tls *server_tls, *client_tls;
};

struct end {
    struct side side; /* first */
    bool upgrading;
    bool spoiled; /* part of a write may have been sent */
    int level;    /* at the last one the side is free */
    int updates, code;
    struct eddy_future *upgrade;
    struct eddy_done upgraded;
};

static struct end ends[MAX_SIDES];

static struct world {
    struct eddy_server *server;
    int port;
    struct plan plan;
} world;

static void advance(struct side *s);

/* ---- small things ---- */

static struct end *end_of(const struct side *s)
{
    return &ends[s->number];
}

static bool may_fail(void)
{
    return scene.manner == FAULTY;
}

static void forget_upgrade(struct end *e)
{
    if (!e->upgrade)
        return;
    eddy_future_remove_done_callback(&e->upgraded);
    eddy_future_error(e->upgrade);
    eddy_future_unref(e->upgrade);
    e->upgrade = NULL;
}

/* ---- what a side can do ---- */

static size_t write_size(void)
{
    static const size_t most[] = {16, 500, 5000, MAX_WRITE};

    return 1 + (size_t)dice(most[chance(100) ? 3 : dice(3)]);
}

static void write_bytes(struct side *s, struct eddy_transport *t, size_t len)
{
    if (side_write(s, t, len) < 0)
        end_of(s)->spoiled = true;
}

static void do_close(struct side *s, struct eddy_transport *t)
{
    side_tell(s, "closes", 0);
    s->closed = true;
    if (end_of(s)->upgrading)
        side_excuse_both(s);
    eddy_transport_close(t);
}

static void do_write_eof(struct side *s, struct eddy_transport *t)
{
    if (!eddy_transport_can_write_eof(t)) {
        EXPECT(eddy_transport_is_closing(t) || eddy_transport_write_eof(t) == EDDY_ENOT_SUPPORTED);
        return;
    }
    side_tell(s, "write_eof", 0);
    s->wrote_eof = true; /* before: it flushes, and may call pause_writing */
    EXPECT(eddy_transport_write_eof(t) == 0);
}

static void do_update_keys(struct side *s, struct eddy_transport *t)
{
    if (end_of(s)->updates++ >= MAX_UPDATES)
        return;
    int rc = eddy_tls_update_keys(t, chance(500));

    side_tell(s, "updates keys", (uint64_t)-rc);
    EXPECT(rc == 0 || rc == EDDY_ENOT_SUPPORTED || rc == EDDY_ECLOSED || may_fail());
}

/* The peer hears the end of stream, but no close_notify. */
static void do_truncate(struct side *s, struct eddy_transport *t)
{
    struct eddy_sys *sys = eddy_sim_sys(scene.sim);

    side_tell(s, "is cut off", 0);
    sys->cls->shutdown(sys, eddy_transport_fd(t), SHUT_WR);
}

static void do_rough(struct side *s, struct eddy_transport *t)
{
    side_excuse_both(s);
    switch (dice(12)) { /* mostly cut off */
    case 0:
        side_tell(s, "aborts", 0);
        eddy_transport_abort(t, chance(500) ? EDDY_ERROR(-EPROTO, "a scenario's abort") : NULL);
        break;
    case 1:
        eddy_protocol_abort(&s->player->base, NULL);
        break;
    case 2:
        side_detach(s);
        forget_upgrade(end_of(s));
        break;
    case 3:
        eddy_sim_reset(scene.sim, eddy_transport_fd(t), some_time(EDDY_MSEC(100)));
        break;
    case 4:
        side_set_timeouts(t, 50000);
        break;
    case 5:
        eddy_sim_freeze(scene.sim, eddy_transport_fd(t), true);
        break;
    case 6:
        if (end_of(s)->upgrade)
            eddy_future_cancel(end_of(s)->upgrade, NULL);
        break;
    case 7:
        if (chance(200))
            eddy_server_abort_clients(world.server, NULL);
        break;
    default:
        do_truncate(s, t);
        break;
    }
}

/* What may also be done in a plain exchange, which both sides must follow. */
static void do_quiet(struct side *s, struct eddy_transport *t)
{
    side_tell(s, "pauses or resumes", 0);
    if (chance(300))
        eddy_transport_pause_reading(t);
    else
        eddy_transport_resume_reading(t);
}

static void act(struct side *s, struct eddy_transport *t)
{
    if (scene.manner != CLEAN && chance(100)) {
        do_rough(s, t);
        return;
    }
    if (!s->free) {
        do_quiet(s, t);
        return;
    }
    switch (dice(14)) {
    case 0:
        if (chance(300) && (scene.manner != CLEAN || !end_of(s)->upgrading))
            do_close(s, t);
        break;
    case 1:
        if (chance(300))
            do_write_eof(s, t);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        do_quiet(s, t);
        break;
    case 6:
        side_switch(s, t);
        break;
    case 7:
        side_set_limits(t, 30000);
        break;
    case 8:
        do_update_keys(s, t);
        break;
    case 9:
        eddy_transport_flush(t);
        break;
    case 10:
        eddy_sim_spend(scene.sim, some_time(EDDY_MSEC(3)));
        break;
    default:
        write_bytes(s, t, write_size());
        break;
    }
}

static void act_early(struct side *s)
{
    if (chance(100))
        eddy_protocol_abort(&s->player->base, NULL);
}

/* ---- upgrades ---- */

static void on_upgraded(struct eddy_done *d, struct eddy_future *f)
{
    struct end *e = EDDY_CONTAINER_OF(d, struct end, upgraded);
    int rc = eddy_future_result(f, NULL);

    side_tell(&e->side, "is upgraded", (uint64_t)-rc);
    eddy_future_unref(f);
    e->upgrade = NULL;
    if (rc < 0) {
        EXPECT(scene.manner != CLEAN || world.plan.doomed || e->side.excused);
        return;
    }
    e->upgrading = false;
    if (side_transport(&e->side))
        advance(&e->side);
}

static void upgrade(struct side *s)
{
    struct eddy_transport *t = side_transport(s);
    struct end *e = end_of(s);
    eddy_nsec time = scene.manner == CLEAN ? EDDY_SEC(36000) : 1 + some_time(EDDY_SEC(100));
    int rc = eddy_start_tls(
        t,
        EDDY_START_TLS(.tls = s->server ? world.plan.server_tls : world.plan.client_tls,
                       .server_side = s->server, .server_hostname = s->server ? NULL : "localhost",
                       .handshake_timeout = time, .shutdown_timeout = time),
        &e->upgrade);

    side_tell(s, "start_tls", (uint64_t)-rc);
    if (rc < 0) {
        EXPECT(scene.manner != CLEAN); /* the end may have come, or a time-out */
        side_excuse_both(s);
        eddy_transport_abort(t, NULL);
        return;
    }
    EXPECT(side_transport(s) != t);
    e->upgrading = true;
    e->level++;
    s->free = e->level == world.plan.levels;
    e->upgraded.fn = on_upgraded;
    EXPECT(eddy_future_add_done_callback(e->upgrade, &e->upgraded) == 0);
}

/* What is to have been said by one of both before the next upgrade. */
static uint64_t share(const struct side *s, bool server)
{
    const struct plan *p = &world.plan;
    int level = end_of(s)->level;

    return server ? p->first[level] : p->then[level];
}

/* The next step of the exchange that leads to an upgrade: the server speaks, the client answers,
 * and both begin. */
static void advance(struct side *s)
{
    struct eddy_transport *t = side_transport(s);

    if (end_of(s)->level == world.plan.levels)
        s->free = true;
    if (s->free || end_of(s)->upgrading || !t || eddy_transport_is_closing(t))
        return;
    uint64_t to_hear = share(s, !s->server), to_say = share(s, s->server);
    if ((s->server || s->received == to_hear) && s->written < to_say)
        write_bytes(s, t, (size_t)(to_say - s->written));
    if (s->received == to_hear && !eddy_transport_is_closing(t))
        upgrade(s);
}

/* What is behind the last plain byte is for the upgrade. */
static size_t too_much(const struct side *s, size_t len)
{
    if (s->free)
        return 0;
    uint64_t to_hear = share(s, !s->server);
    EXPECT(s->received <= to_hear);
    if (s->received + len <= to_hear)
        return 0;
    EXPECT(s->server); /* a server says nothing until the client has begun */
    return (size_t)(s->received + len - to_hear);
}

/* ---- what a side is told ---- */

static void made(struct side *s, struct eddy_transport *t)
{
    if (side_is_blind(s)) {
        EXPECT(may_fail());
        eddy_transport_abort(t, NULL);
        return;
    }
    side_begin_timer(s);
    advance(s);
    side_maybe_act(s);
}

static void heard(struct side *s, struct eddy_transport *t, const uint8_t *data, size_t len)
{
    size_t back = too_much(s, len);

    EXPECT(!end_of(s)->upgrading);
    side_check_bytes(s, data, len - back);
    if (back == 0 && s->free && chance(100))
        back = (size_t)dice(len + 1);
    s->received += len - back;
    if (back > 0) {
        side_tell(s, "unread", back);
        if (eddy_transport_unread(t, data + len - back, back) < 0) {
            EXPECT(may_fail());
            return;
        }
    }
    advance(s);
    side_maybe_act(s);
}

/* An end of stream that is one: not a byte is missing, whatever was done to the connection. */
static void ended(struct side *s)
{
    const struct side *p = side_peer(s);

    if (!p || end_of(p)->spoiled || world.plan.lenient || !s->free)
        return;
    if (s->received != p->written)
        COMPLAIN("an end after %llu bytes of %llu", (unsigned long long)s->received,
                 (unsigned long long)p->written);
}

static void lost(struct side *s, const struct eddy_error *err)
{
    const struct side *p = side_peer(s);

    end_of(s)->code = err ? err->code : 0;
    if (!err || err->code == EDDY_ELOOP_CLOSED || may_fail())
        return;
    if (scene.manner == CLEAN && !world.plan.doomed && !(p && p->excused) && !s->excused)
        COMPLAIN("lost by %s (%s)", test_code(err->code), err->text);
    EXPECT(err->text[0] != '\0');
}

static void failed(struct side *s, const struct eddy_error *err)
{
    end_of(s)->code = err->code;
    if (scene.manner == CLEAN && err->code != EDDY_ELOOP_CLOSED && !world.plan.doomed)
        COMPLAIN("not connected: %s", err->text);
}

/* ---- a scenario ---- */

static bool is_expected(const struct eddy_problem *problem)
{
    (void)problem;
    return scene.manner != CLEAN || world.plan.doomed;
}

/* A certificate that nobody who asks here trusts. */
static struct eddy_tls *context_of_others(void)
{
    struct eddy_tls *other = NULL, *tls = NULL;
    char pem[2000];

    REQUIRE(eddy_tls_new(EDDY_TLS_SERVER(.throw_away = "elsewhere.example"), &other) == 0);
    CHECK_INT(eddy_tls_cert_pem(other, pem, sizeof pem), 0);
    CHECK_INT(
        eddy_tls_new(
            EDDY_TLS_CLIENT(.ca_pem = pem, .ca_pem_len = strlen(pem), .no_resumption = true), &tls),
        0);
    eddy_tls_unref(other);
    return tls;
}

static void make_contexts(void)
{
    const struct eddy_tls_opts *opts[] = {
        [SERVER_ANY] = EDDY_TLS_SERVER(.no_resumption = true),
        [SERVER_1_2] = EDDY_TLS_SERVER(.no_resumption = true, .max_version = EDDY_TLS_1_2),
        [SERVER_1_3] = EDDY_TLS_SERVER(.no_resumption = true, .min_version = EDDY_TLS_1_3,
                                       .small_records_first = true),
        [SERVER_TRUNCATED] = EDDY_TLS_SERVER(.no_resumption = true, .allow_truncation = true),
        [CLIENT_ANY] = EDDY_TLS_CLIENT(.no_resumption = true),
        [CLIENT_1_2] = EDDY_TLS_CLIENT(.no_resumption = true, .max_version = EDDY_TLS_1_2),
        [CLIENT_SMALL] = EDDY_TLS_CLIENT(.no_resumption = true, .small_records_first = true),
        [CLIENT_TRUNCATED] = EDDY_TLS_CLIENT(.no_resumption = true, .allow_truncation = true),
    };
    for (int i = 0; i < CLIENT_OTHER_TRUST; i++)
        contexts[i] = road_context_with(opts[i]);
    contexts[CLIENT_OTHER_TRUST] = context_of_others();
}

static void make_plan(struct plan *p)
{
    uint64_t first = 0, then = 0;

    p->tls = chance(600);
    p->levels = (int)dice(chance(150) ? MAX_LEVELS + 1 : 2);
    p->server = (int)dice(SERVER_TRUNCATED + 1);
    p->client = CLIENT_ANY + (int)dice(CLIENT_TRUNCATED - CLIENT_ANY + 1);
    if (p->server == SERVER_1_3 && p->client == CLIENT_1_2)
        p->server = SERVER_ANY;
    if (chance(60)) {
        p->doomed = true;
        p->server = chance(500) ? SERVER_1_3 : SERVER_ANY;
        p->client = p->server == SERVER_1_3 ? CLIENT_1_2 : CLIENT_OTHER_TRUST;
    }
    if (!p->tls && p->levels == 0)
        p->levels = 1;
    for (int i = 0; i < p->levels; i++) {
        p->first[i] = first += dice(MAX_PLAIN);
        p->then[i] = then += dice(MAX_PLAIN);
    }
    p->resumes = !p->doomed && chance(60);
    p->lenient = p->server == SERVER_TRUNCATED || p->client == CLIENT_TRUNCATED;
    p->server_tls =
        p->resumes ? road_context_with(EDDY_TLS_SERVER()) : eddy_tls_ref(contexts[p->server]);
    p->client_tls =
        p->resumes ? road_context_with(EDDY_TLS_CLIENT()) : eddy_tls_ref(contexts[p->client]);
}

/* In a clean run nothing ends by itself. */
static eddy_nsec patience(void)
{
    return scene.manner == CLEAN ? EDDY_SEC(36000) : chance(300) ? some_time(EDDY_SEC(10)) : 0;
}

static void open_server(void)
{
    int rc = eddy_create_server(
        scene.loop, player_server_class(),
        EDDY_SERVER(.host = "127.0.0.1", .arg = &scene, .backlog = MAX_SIDES,
                    .tls = world.plan.tls ? world.plan.server_tls : NULL,
                    .handshake_timeout = world.plan.tls ? patience() : 0,
                    .shutdown_timeout = world.plan.tls ? patience() : 0,
                    .max_handshakes = world.plan.tls && chance(200) ? 1 + (unsigned)dice(2) : 0,
                    .write_timeout = scene.manner == CLEAN ? EDDY_OFF : 0,
                    .linger = scene.manner == CLEAN ? EDDY_SEC(36000) : 0),
        &world.server);

    EXPECT(rc == 0 || may_fail());
    if (rc == 0)
        world.port = eddy_server_port(world.server);
}

static void connect_one(void)
{
    struct side *s = side_new(false);
    struct player *a = player_new(s);
    bool tls = world.plan.tls;
    int rc = eddy_create_connection(
        scene.loop, &a->base,
        EDDY_CONNECTION(.host = "127.0.0.1", .port = world.port,
                        .tls = tls ? world.plan.client_tls : NULL,
                        .server_hostname = tls && chance(500) ? "localhost" : NULL,
                        .handshake_timeout = tls ? patience() : 0,
                        .shutdown_timeout = tls ? patience() : 0,
                        .timeout = scene.manner == CLEAN ? 0 : EDDY_SEC(20),
                        .write_timeout = scene.manner == CLEAN ? EDDY_OFF : 0,
                        .linger = scene.manner == CLEAN ? EDDY_SEC(36000) : 0,
                        .write_high = chance(500) ? 1 + (size_t)dice(20000) : 0),
        NULL);

    if (rc < 0) {
        EXPECT(may_fail());
        player_refused(a);
    }
}

static void arm_faults(void)
{
    static const int errors[] = {-ECONNRESET, -EPIPE, -ETIMEDOUT, -ENOBUFS, -ENOMEM, -EIO};
    static const enum eddy_sim_call calls[] = {EDDY_SIM_ACCEPT, EDDY_SIM_CONNECT, EDDY_SIM_RECV,
                                               EDDY_SIM_SEND, EDDY_SIM_SHUTDOWN};
    int n = (int)dice(4);

    for (int i = 0; i < n; i++)
        eddy_sim_fail(scene.sim, calls[dice(5)], 1 + (unsigned long)dice(60), errors[dice(6)]);
    if (chance(600))
        test_fail_allocation(1 + (long)dice(150));
}

static bool all_over(void)
{
    return sides_all_are(side_is_over);
}

static bool is_settled(const struct side *s)
{
    return side_is_over(s) || (s->made && s->free && !end_of(s)->upgrading && side_peer(s));
}

static bool all_settled(void)
{
    return sides_all_are(is_settled);
}

static void resume_all(void)
{
    for (int i = 0; i < scene.side_count; i++)
        eddy_transport_resume_reading(side_transport(side_at(i)));
}

/* Everybody comes to an end; in clean runs one side of each connection closes, so that all bytes
 * arrive at the other. */
static void drain(void)
{
    bool by_eof = chance(400), servers_close = chance(500);

    scene.draining = true;
    for (int i = 0; i < scene.side_count; i++) {
        struct side *s = side_at(i);
        struct eddy_transport *t = side_transport(s);

        if (!t)
            continue;
        eddy_transport_resume_reading(t);
        if (eddy_transport_is_closing(t) || s->wrote_eof)
            continue;
        if (s->free && chance(500))
            write_bytes(s, t, write_size());
        if (by_eof && s->free && !s->ended && eddy_transport_can_write_eof(t))
            do_write_eof(s, t);
        else if (scene.manner != CLEAN || s->ended || !side_peer(s) || s->server == servers_close)
            do_close(s, t);
    }
    if (chance(300))
        eddy_server_close(world.server);
}

/* What half-closes and latecomers have left open. */
static void end_rest(void)
{
    for (int i = 0; i < scene.side_count; i++) {
        struct eddy_transport *t = side_transport(side_at(i));

        if (t && !eddy_transport_is_closing(t))
            do_close(side_at(i), t);
    }
}

static bool must_be_complete(const struct side *from, const struct side *to)
{
    return scene.manner == CLEAN && !world.plan.doomed && !from->excused && !to->excused &&
           !to->closed && from->free && end_of(to)->code != EDDY_ELOOP_CLOSED &&
           end_of(from)->code != EDDY_ELOOP_CLOSED;
}

/* A client whom the server cannot please hears why. */
static void check_doomed(const struct end *e)
{
    const struct side *s = &e->side;

    if (s->server || s->excused || scene.manner != CLEAN)
        return;
    if (e->code)
        EXPECT(e->code == EDDY_ETLS || e->code == EDDY_ETLS_CERT || e->code == EDDY_ELOOP_CLOSED);
    if (e->level == world.plan.levels)
        EXPECT(e->code < 0 || s->closed);
}

static void check_side(const struct side *s)
{
    const struct side *to = s->made ? side_peer(s) : NULL;

    if (!side_check(s))
        return;
    if (world.plan.doomed)
        check_doomed(end_of(s));
    if (to && must_be_complete(s, to))
        side_check_complete(s, to);
}

static void close_world(void)
{
    scene.draining = true;
    test_fail_allocation(0);
    eddy_sim_fail_none(scene.sim);
    eddy_server_unref(world.server);
    EXPECT(eddy_loop_close(scene.loop) == 0);
    for (int i = 0; i < scene.side_count; i++) {
        forget_upgrade(&ends[i]);
        check_side(side_at(i));
    }
    eddy_tls_unref(world.plan.server_tls);
    eddy_tls_unref(world.plan.client_tls);
}

/* In a clean run all upgrades that have begun come to an end before anybody closes. */
static void settle(void)
{
    for (int i = 0; i < 50 && scene.manner == CLEAN && !all_settled(); i++) {
        resume_all();
        scene_run_for(EDDY_SEC(10), all_settled);
    }
}

static void play(void)
{
    memset(&world, 0, sizeof world);
    make_plan(&world.plan);
    scene.once = world.plan.resumes;
    if (may_fail())
        arm_faults();
    open_server();
    for (int n = world.server ? 1 + (int)dice(3) : 0; n > 0; n--) {
        connect_one();
        if (chance(300))
            scene_run_for(some_time(EDDY_MSEC(100)), NULL);
    }
    scene_run_for(some_time(EDDY_MSEC(chance(500) ? 500 : 5000)), NULL);
    if (!chance(100)) {
        settle();
        drain();
        scene_run_for(EDDY_SEC(300), all_over);
        end_rest();
        scene_run_for(EDDY_SEC(40000), all_over);
    }
    close_world();
}

static void R1_G15_X3_X19_X27_X33_X37_X38_X43_scenarios(void)
{
    static const struct scenario scenario = {
        .seeds = 10000,
        .sides = ends,
        .side_size = sizeof ends[0],
        .most_sides = MAX_SIDES,
        .play = play,
        .is_expected = is_expected,
        .act = act,
        .act_early = act_early,
        .made = made,
        .heard = heard,
        .ended = ended,
        .lost = lost,
        .failed = failed,
    };

    make_contexts();
    scene_run_seeds(&scenario);
    for (int i = 0; i < CONTEXTS; i++)
        eddy_tls_unref(contexts[i]);
}

const struct test_case test_cases[] = {
    TEST(R1_G15_X3_X19_X27_X33_X37_X38_X43_scenarios),
    TEST_END,
};
