/* backends: epoll io_uring sim sim-late */
/* timeout: 300 */
/* labels: scenarios */
/*
 * Seeded scenarios: a few servers and clients on one loop talk at random and do to each other from
 * all their callbacks what may be done. Then the books are checked, as tests/support/scenario.h
 * says, and that no byte is lost where none may be.
 *
 * On a simulator the network is as rough as the seed makes it, and a seed always runs the same way.
 * On the kernel the seed fixes what is done, not when: spans are shorter there, and nothing but
 * allocations is made to fail.
 */
#include "tests/support/scenario.h"
#include <eddy/connection.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_SIDES = 48,
    MAX_SERVERS = 3,
    MAX_WRITE = 20000,
    MAX_UNREAD = 4096,
};

#define REAL_PATIENCE EDDY_SEC(20) /* for all to end */
#define REAL_SPAN EDDY_MSEC(20)    /* of linger and stall */

struct end {
    struct side side;         /* first */
    uint64_t peer_written;    /* when we called close */
    uint64_t received_before; /* the same */
    bool peer_was_idle;       /* the same: nothing of the peer's was still in its queue */
    struct eddy_future *future;
};

static struct end ends[MAX_SIDES];

static struct world {
    struct eddy_server *servers[MAX_SERVERS];
    struct eddy_future *drained[MAX_SERVERS];
    int ports[MAX_SERVERS];
    const char *hosts[MAX_SERVERS];
    int server_count;
} world;

/* ---- small things ---- */

static struct end *end_of(const struct side *s)
{
    return &ends[s->number];
}

/* Nothing is under way between hosts. */
static bool is_tidy(void)
{
    return !scene.real && scene.seed % 4 == 1;
}

/* What a span is in a run that is not clean. */
static eddy_nsec real_span(eddy_nsec simulated)
{
    return scene.real ? REAL_SPAN : simulated;
}

/* ---- what a side can do ---- */

static size_t write_size(void)
{
    switch (dice(4)) {
    case 0:
        return 1 + (size_t)dice(16);
    case 1:
        return 1 + (size_t)dice(500);
    case 2:
        return 1 + (size_t)dice(5000);
    default:
        return 1 + (size_t)dice(is_tidy() || chance(150) ? MAX_WRITE : 2000);
    }
}

static void do_write(struct side *s, struct eddy_transport *t)
{
    int rc = side_write(s, t, write_size());

    EXPECT(rc >= 0 || rc == -ENOMEM || rc == -ENOBUFS);
}

static void note_close(struct side *s)
{
    struct side *p = side_peer(s);
    struct eddy_transport *t = p ? side_transport(p) : NULL;
    struct end *e = end_of(s);

    if (s->closed)
        return;
    s->closed = true;
    e->received_before = s->received;
    e->peer_written = p ? p->written : 0;
    e->peer_was_idle = t && eddy_transport_get_write_buffer_size(t) == 0;
}

static void do_close(struct side *s, struct eddy_transport *t)
{
    side_tell(s, "closes", 0);
    if (!eddy_transport_is_closing(t))
        note_close(s);
    eddy_transport_close(t);
}

static void do_write_eof(struct side *s, struct eddy_transport *t)
{
    side_tell(s, "write_eof", 0);
    s->wrote_eof = true; /* before: it flushes, and may call pause_writing */
    EXPECT(eddy_transport_write_eof(t) == 0);
}

static void do_abort(struct side *s, struct eddy_transport *t)
{
    side_tell(s, "aborts", 0);
    side_excuse_both(s);
    if (chance(500))
        eddy_transport_abort(t, chance(500) ? EDDY_ERROR(-EPROTO, "a scenario's abort") : NULL);
    else
        eddy_protocol_abort(&s->player->base, NULL);
}

/* < 0: it will not be called. */
static int connect_player(struct player *a, struct side *s)
{
    bool nobody = scene.manner != CLEAN && chance(50);
    int i = (int)dice((uint64_t)world.server_count);

    return eddy_create_connection(
        scene.loop, &a->base,
        EDDY_CONNECTION(.host = world.hosts[i], .port = nobody ? 1 : world.ports[i],
                        .timeout = scene.manner == CLEAN ? 0 : EDDY_SEC(20),
                        .write_timeout = scene.manner == CLEAN ? EDDY_OFF : real_span(0),
                        .linger = scene.manner == CLEAN ? EDDY_SEC(36000) : real_span(0),
                        .write_high = chance(500) ? 1 + (size_t)dice(2000) : 0),
        chance(300) ? &end_of(s)->future : NULL);
}

static void connect_one(void)
{
    struct side *s = side_new(false);
    struct player *a;

    if (s == NULL)
        return;
    a = player_new(s);
    if (connect_player(a, s) == 0)
        return;
    EXPECT(scene.manner == FAULTY || scene.draining);
    player_refused(a);
}

/* A client attaches itself again, from one of its last callbacks. */
static bool reconnect(struct player *a, bool from_fini)
{
    struct side *old = a->side, *s;

    if (a->instance || a->held || a->retired || a->before || scene.draining || !chance(200))
        return false;
    s = side_new(false);
    if (s == NULL)
        return false;
    a->side = s;
    if (connect_player(a, s) < 0) {
        EXPECT(scene.manner == FAULTY);
        a->side = old;
        s->accepted = false;
        return false;
    }
    side_tell(old, "connects again as", (uint64_t)s->number);
    s->player = a;
    s->attachments++;
    old->player = NULL;
    if (!from_fini)
        a->before = old;
    return true;
}

/* What the network does, or here the other host. */
static void do_reset(struct side *s, struct eddy_transport *t)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    side_excuse_both(s);
    if (!scene.real) {
        eddy_sim_reset(scene.sim, eddy_transport_fd(t), some_time(EDDY_MSEC(100)));
        return;
    }
    setsockopt(eddy_transport_fd(t), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    eddy_transport_abort(t, NULL);
}

static void do_rough(struct side *s, struct eddy_transport *t)
{
    struct eddy_server *server = world.servers[dice((uint64_t)world.server_count)];

    switch (dice(10)) {
    case 0:
    case 1:
        do_abort(s, t);
        break;
    case 2:
        side_detach(s);
        break;
    case 3:
        do_reset(s, t);
        break;
    case 4:
        side_excuse_both(s);
        side_set_timeouts(t, 5000);
        break;
    case 5:
        side_excuse_both(s);
        if (!scene.real)
            eddy_sim_freeze(scene.sim, eddy_transport_fd(t), true);
        break;
    case 6:
        if (end_of(s)->future)
            eddy_future_cancel(end_of(s)->future, NULL);
        break;
    case 7:
        if (server && chance(100))
            eddy_server_close_clients(server);
        break;
    case 8:
        if (server && chance(100))
            eddy_server_close(server);
        break;
    default:
        if (server && chance(100))
            eddy_server_abort_clients(server, NULL);
        break;
    }
}

/* close_clients closes behind our books' back, so in rough runs a close may be anybody's. */
static void act(struct side *s, struct eddy_transport *t)
{
    if (scene.manner != CLEAN && chance(120)) {
        do_rough(s, t);
        return;
    }
    switch (dice(17)) {
    case 16:
        if (!scene.real)
            eddy_sim_spend(scene.sim, some_time(EDDY_MSEC(3)));
        break;
    case 0:
        if (chance(300))
            do_close(s, t);
        break;
    case 1:
        if (chance(300))
            do_write_eof(s, t);
        break;
    case 2:
    case 3:
        side_tell(s, "pauses", 0);
        eddy_transport_pause_reading(t);
        break;
    case 4:
    case 5:
    case 6:
        side_tell(s, "resumes", 0);
        eddy_transport_resume_reading(t);
        break;
    case 7:
        side_switch(s, t);
        break;
    case 8:
        player_hold(s->player);
        break;
    case 9:
        player_release_one();
        break;
    case 10:
        side_set_limits(t, 3000);
        break;
    case 11:
        eddy_transport_flush(t);
        break;
    default:
        if (!side_is_blind(s))
            do_write(s, t);
        break;
    }
}

static void act_early(struct side *s)
{
    if (!chance(30))
        return;
    if (chance(500))
        eddy_protocol_abort(&s->player->base, NULL);
    else
        side_detach(s);
}

/* ---- what a side is told ---- */

static void made(struct side *s, struct eddy_transport *t)
{
    (void)t;
    EXPECT(!side_is_blind(s) || scene.manner != CLEAN);
    side_begin_timer(s);
    side_maybe_act(s);
}

static void heard(struct side *s, struct eddy_transport *t, const uint8_t *data, size_t len)
{
    size_t back;
    int rc;

    side_check_bytes(s, data, len);
    back = chance(100) ? (size_t)dice(len < MAX_UNREAD ? len + 1 : MAX_UNREAD) : 0;
    s->received += len;
    if (back > 0) {
        rc = eddy_transport_unread(t, data + len - back, back);
        EXPECT(rc == 0 || (rc == -ENOMEM && scene.manner == FAULTY));
        side_tell(s, "unread", back);
        if (rc == 0)
            s->received -= back;
    }
    side_maybe_act(s);
}

/* In clean runs a reset is no excuse: it must not have destroyed what had to arrive. */
static void check_loss(struct side *s, const struct eddy_error *err)
{
    const struct side *peer = side_peer(s);

    if (err == NULL)
        return;
    if (scene.manner != CLEAN || err->code == EDDY_ELOOP_CLOSED)
        s->excused = true;
    else if (peer && !peer->closed)
        COMPLAIN("lost by %s (%s) though the peer has not closed", test_code(err->code), err->text);
}

static void lost(struct side *s, const struct eddy_error *err)
{
    check_loss(s, err);
    if (s->player)
        reconnect(s->player, false);
}

static void failed(struct side *s, const struct eddy_error *err)
{
    (void)err;
    if (s->player)
        reconnect(s->player, false);
}

static void fini(struct player *a)
{
    if (a->before) {
        a->before->finis++;
        a->before = NULL;
        return;
    }
    player_end(a);
    if (!reconnect(a, true))
        player_free(a);
}

/* ---- a scenario ---- */

static bool is_expected(const struct eddy_problem *problem)
{
    return scene.manner == FAULTY ||
           strstr(problem->message, "transport creation"); /* init has refused it */
}

static void adapt(struct eddy_sim_opts *opts)
{
    if (is_tidy())
        opts->latency = opts->jitter = opts->chunking = 0;
}

/* A full one costs a second of the kernel's time. */
static int some_backlog(void)
{
    int few = 1 + (int)dice(10);

    return scene.real ? MAX_SIDES : few;
}

static bool has_ipv6(void)
{
    struct eddy_addr a;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && eddy_addr_parse("::1", 0, &a) == 0 && bind(fd, &a.u.sa, a.len) == 0;

    close(fd);
    return has;
}

static void open_servers(void)
{
    bool only_4 = scene.real && !has_ipv6();
    int wanted = 1 + (int)dice(MAX_SERVERS), i, rc;
    struct eddy_server *s;

    for (i = 0; i < wanted; i++) {
        const char *host = chance(500) || only_4 ? "127.0.0.1" : "::1";
        rc = eddy_create_server(
            scene.loop, player_server_class(),
            EDDY_SERVER(.host = host, .arg = &scene, .backlog = some_backlog(),
                        .max_connections = chance(200) ? 1 + (unsigned)dice(3) : 0,
                        .write_timeout = scene.manner == CLEAN ? EDDY_OFF : real_span(0),
                        .linger = scene.manner == CLEAN ? EDDY_SEC(36000) : real_span(0)),
            &s);
        if (rc < 0) {
            EXPECT(scene.manner == FAULTY);
            continue;
        }
        world.ports[world.server_count] = eddy_server_port(s);
        world.hosts[world.server_count] = host;
        world.servers[world.server_count++] = s;
    }
}

static void arm_faults(void)
{
    static const int errors[] = {-ECONNRESET, -EPIPE,  -ETIMEDOUT, -ENOBUFS,  -ENOMEM,
                                 -EMFILE,     -EAGAIN, -EIO,       -ENOTCONN, -ENOTSOCK};
    int i, n = (int)dice(scene.real ? 1 : 5);

    for (i = 0; i < n; i++) {
        enum eddy_sim_call call = (enum eddy_sim_call)dice(EDDY_SIM_SELECT_WAIT);
        int error = errors[dice(10)];

        if (error == -EAGAIN && call != EDDY_SIM_RECV && call != EDDY_SIM_SEND)
            error = -EIO;
        eddy_sim_fail(scene.sim, call, 1 + (unsigned long)dice(30), error);
    }
    if (chance(500))
        test_fail_allocation(1 + (long)dice(200));
    if (!scene.real && chance(200))
        eddy_sim_set_max_fds(scene.sim, 4 + (int)dice(12));
}

static bool all_over(void)
{
    int i;

    for (i = 0; i < world.server_count; i++) {
        if (world.drained[i] && !eddy_future_is_done(world.drained[i]))
            return false; /* connections may outlive a protocol that was detached */
    }
    return sides_all_are(side_is_over) && scene.held == NULL;
}

/* In clean runs one side of each connection closes, whatever it has not read; the other hears of
 * it. */
static bool is_to_close(const struct side *s, bool servers_close)
{
    return scene.manner != CLEAN || s->ended || side_peer(s) == NULL || s->server == servers_close;
}

/* Everybody comes to an end; in clean runs so that all bytes arrive. */
static void drain(void)
{
    bool by_eof = scene.manner == CLEAN && chance(400), servers_close = chance(500);
    int i;

    scene.draining = true;
    for (i = 0; i < scene.side_count; i++) {
        struct side *s = side_at(i);
        struct eddy_transport *t = side_transport(s);

        if (t == NULL)
            continue;
        if (!side_is_blind(s) && !eddy_transport_is_closing(t) && !s->wrote_eof && chance(500))
            do_write(s, t); /* there is something that closing might destroy */
        if (by_eof && !s->ended && !eddy_transport_is_closing(t))
            do_write_eof(s, t);
        else if (is_to_close(s, servers_close))
            do_close(s, t);
        eddy_transport_resume_reading(t);
    }
    while (scene.held)
        player_release_one();
    for (i = 0; i < world.server_count; i++) {
        if (chance(300))
            eddy_server_close(world.servers[i]);
        else if (scene.manner != CLEAN && chance(300))
            eddy_server_drain(world.servers[i], some_time(EDDY_SEC(100)), &world.drained[i]);
    }
}

/* Those that came up while draining. */
static void end_latecomers(void)
{
    int i;

    for (i = 0; i < scene.side_count; i++) {
        struct eddy_transport *t = side_transport(side_at(i));

        if (t && !eddy_transport_is_closing(t) && !side_at(i)->wrote_eof)
            do_close(side_at(i), t);
    }
}

static bool must_be_complete(const struct side *from, const struct side *to)
{
    const struct end *e = end_of(from);

    if (from->excused || to->excused || from->detached || to->detached || to->closed)
        return false;
    if (!from->closed)
        return true;
    if (to->written != e->peer_written)
        return false; /* what comes for a closed socket resets, and destroys */
    return e->received_before == e->peer_written || (is_tidy() && e->peer_was_idle);
}

static void check_side(const struct side *s)
{
    const struct side *to = s->made ? side_peer(s) : NULL;

    if (side_check(s) && to && scene.manner == CLEAN && must_be_complete(s, to))
        side_check_complete(s, to);
}

static void close_world(bool abruptly)
{
    int i;

    if (abruptly) {
        for (i = 0; i < scene.side_count; i++)
            side_at(i)->excused = true;
        while (scene.held)
            player_release_one();
        scene.draining = true;
    }
    test_fail_allocation(0);
    for (i = 0; i < world.server_count; i++) {
        if (world.drained[i] && scene.manner == ROUGH)
            EXPECT(eddy_future_result(world.drained[i], NULL) == 0);
        eddy_future_unref(world.drained[i]);
        eddy_server_unref(world.servers[i]);
    }
    EXPECT(eddy_loop_close(scene.loop) == 0);
    for (i = 0; i < scene.side_count; i++) {
        if (ends[i].future) {
            eddy_future_error(ends[i].future);
            EXPECT(eddy_future_is_done(ends[i].future));
            eddy_future_unref(ends[i].future);
        }
    }
    for (i = 0; i < scene.side_count; i++)
        check_side(side_at(i));
}

static void play(void)
{
    int clients, i;
    bool abruptly;

    memset(&world, 0, sizeof world);
    if (scene.manner == FAULTY)
        arm_faults();
    open_servers();
    clients = world.server_count ? 1 + (int)dice(6) : 0;
    for (i = 0; i < clients; i++) {
        connect_one();
        if (chance(300))
            scene_run_for(some_time(EDDY_MSEC(100)), NULL);
    }
    scene_run_for(some_time(EDDY_MSEC(chance(500) ? 100 : 1000)), NULL);
    abruptly = chance(150);
    if (!abruptly) {
        drain();
        scene_run_for(scene.real ? REAL_PATIENCE / 100 : EDDY_SEC(300), all_over);
        end_latecomers();
        scene_run_for(scene.real ? REAL_PATIENCE : EDDY_SEC(3600), all_over);
    }
    close_world(abruptly);
}

static void R1_R8_R9_T5_T12_G15_P28_P32_P34_P35_scenarios(void)
{
    static const struct scenario scenario = {
        .seeds = 10000,
        .real_seeds = 500,
        .sides = ends,
        .side_size = sizeof ends[0],
        .most_sides = MAX_SIDES,
        .free = true,
        .adapt = adapt,
        .play = play,
        .is_expected = is_expected,
        .act = act,
        .act_early = act_early,
        .made = made,
        .heard = heard,
        .lost = lost,
        .failed = failed,
        .fini = fini,
    };

    scene_run_seeds(&scenario);
}

const struct test_case test_cases[] = {
    TEST(R1_R8_R9_T5_T12_G15_P28_P32_P34_P35_scenarios),
    TEST_END,
};
