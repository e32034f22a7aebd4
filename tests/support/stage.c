/* The stage that actors play on, and raw sockets. */
#include "tests/support/road.h"
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- roads ---- */

static bool road_is(const char *name)
{
    const char *road = getenv("EDDY_TEST_ROAD");
    return road && strcmp(road, name) == 0;
}

bool road_is_unix(void)
{
    return road_is("unix");
}

bool road_is_tls(void)
{
    return road_is("tls") || road_is_nested();
}

bool road_is_nested(void)
{
    return road_is("tls2");
}

const char *road_name(void)
{
    return road_is_tls() ? "tls" : road_is_unix() ? "unix" : "tcp";
}

size_t road_low_mark(void)
{
    return road_is_tls() ? 128 * 1024 : 16 * 1024;
}

size_t road_high_mark(void)
{
    return road_is_tls() ? 512 * 1024 : 64 * 1024;
}

bool road_waits_for_peer(void)
{
    return road_is_tls();
}

const char *road_end_of_abort(const char *as_close, const char *cut_off)
{
    return road_is_tls() ? cut_off : as_close;
}

bool road_has_resets(void)
{
    return !road_is_unix();
}

/* Those of the cases that do without stage_close go with the program. */
static char folders[256][32];
static pid_t folders_owner;

static void remove_left(void)
{
    char path[64];
    for (size_t i = 0; i < 256 && getpid() == folders_owner; i++) {
        const char *folder = folders[i];
        for (int port = 1; folder[0] && port <= 16; port++) {
            snprintf(path, sizeof path, "%.31s/%d", folder, port);
            unlink(path);
        }
        if (folder[0])
            rmdir(folder);
    }
}

static void remember_folder(const char *folder, bool remove)
{
    for (size_t i = 0; i < 256; i++) {
        if (strcmp(folders[i], remove ? folder : "") != 0)
            continue;
        snprintf(folders[i], sizeof folders[i], "%s", remove ? "" : folder);
        break;
    }
    if (!folders_owner && atexit(remove_left) == 0)
        folders_owner = getpid();
}

static void socket_path(struct stage *s, int port, char *buf, size_t size)
{
    if (!s->folder[0]) {
        memcpy(s->folder, "/tmp/eddy-XXXXXX", sizeof "/tmp/eddy-XXXXXX");
        REQUIRE(mkdtemp(s->folder) != NULL);
        remember_folder(s->folder, false);
    }
    snprintf(buf, size, "%s/%d", s->folder, port);
}

static void remove_folder(struct stage *s)
{
    char path[64];
    if (!s->folder[0])
        return;
    for (int port = 1; port <= s->last_port; port++) {
        socket_path(s, port, path, sizeof path);
        unlink(path);
    }
    CHECK_INT(rmdir(s->folder), 0);
    remember_folder(s->folder, true);
    s->folder[0] = '\0';
}

void raw_address(struct stage *s, int port, struct eddy_addr *ret)
{
    if (!road_is_unix()) {
        CHECK_INT(eddy_addr_parse("127.0.0.1", port, ret), 0);
        return;
    }
    memset(ret, 0, sizeof *ret);
    ret->u.un.sun_family = AF_UNIX;
    socket_path(s, port ? port : ++s->last_port, ret->u.un.sun_path, sizeof ret->u.un.sun_path);
    ret->len = sizeof ret->u.un;
}

int stage_port(const struct eddy_server *server)
{
    struct eddy_addr a;
    CHECK_INT(eddy_server_sockname(server, 0, &a), 0);
    if (a.u.sa.sa_family != AF_UNIX)
        return eddy_server_port(server);
    return atoi(strrchr(a.u.un.sun_path, '/') + 1);
}

static bool goes_by_path(const char *host, bool use_sock)
{
    return road_is_unix() && !use_sock && host && strcmp(host, "127.0.0.1") == 0;
}

int stage_create_server(struct stage *s, struct eddy_server **ret)
{
    const struct eddy_server_opts *o = &s->server_opts;
    char path[64];
    if (road_is_tls())
        return road_create_server(s, s->server_class, o, ret);
    if (!goes_by_path(o->host, o->use_sock))
        return eddy_create_server(s->loop, s->server_class, o, ret);
    socket_path(s, o->port ? o->port : ++s->last_port, path, sizeof path);
    struct eddy_unix_server_opts u =
        *EDDY_UNIX_SERVER(.path = path, .max_fds = s->max_fds, .backlog = o->backlog,
                          .not_serving = o->not_serving, .max_connections = o->max_connections,
                          .arg = o->arg, .idle_timeout = o->idle_timeout,
                          .write_timeout = o->write_timeout, .linger = o->linger,
                          .write_low = o->write_low, .write_high = o->write_high,
                          .write_max = o->write_max, .error = o->error);
    u.site = o->site;
    return eddy_create_unix_server(s->loop, s->server_class, &u, ret);
}

int stage_create_connection(struct stage *s, struct eddy_protocol *p,
                            const struct eddy_connection_opts *o, struct eddy_future **ret)
{
    char path[64];
    if (road_is_tls())
        return road_create_connection(s, p, o, ret);
    if (!goes_by_path(o->host, o->use_sock))
        return eddy_create_connection(s->loop, p, o, ret);
    socket_path(s, o->port, path, sizeof path);
    struct eddy_unix_connection_opts u =
        *EDDY_UNIX_CONNECTION(.path = path, .max_fds = s->max_fds, .timeout = o->timeout,
                              .idle_timeout = o->idle_timeout, .write_timeout = o->write_timeout,
                              .linger = o->linger, .write_low = o->write_low,
                              .write_high = o->write_high, .write_max = o->write_max,
                              .error = o->error);
    u.site = o->site;
    return eddy_create_unix_connection(s->loop, p, &u, ret);
}

void stage_init(struct stage *s)
{
    memset(s, 0, sizeof *s);
    s->refusing = -1;
    s->server_class = s->client_class = &actor_class;
    s->server_opts = *EDDY_SERVER(.host = "127.0.0.1");
    s->connection_opts = *EDDY_CONNECTION(.host = "127.0.0.1");
    s->server_opts.arg = s;
    stage_add(s, &s->client, false);
    stage_add(s, &s->peer, true);
}

void stage_add(struct stage *s, struct actor *a, bool as_guest)
{
    actor_init(a, s);
    REQUIRE(s->cast_count < STAGE_CAST);
    s->cast[s->cast_count++] = a;
    if (as_guest)
        s->guests[s->guest_count++] = a;
}

void stage_keyed(struct stage *s)
{
    s->client.out_key = s->peer.in_key = 1;
    s->peer.out_key = s->client.in_key = 2;
}

void stage_begin(struct stage *s)
{
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &s->problems),
                               &s->loop) == 0);
    s->sys = test_is_sim() ? eddy_sim_sys(test_sim(s->loop)) : eddy_sys_posix();
    s->descriptors = stage_descriptors(s);
    REQUIRE(stage_create_server(s, &s->server) == 0);
    s->port = stage_port(s->server);
    CHECK(s->port > 0);
}

void stage_open(struct stage *s)
{
    stage_begin(s);
    REQUIRE(actor_connect(&s->client) == 0);
    UNTIL(s, s->client.done && s->client.count[ON_MADE] == 1 && s->peer.count[ON_MADE] == 1);
}

void stage_refuse(struct stage *s)
{
    s->refusing = raw_bound(s, &s->connection_opts.port);
}

static bool is_ended(const struct stage *s)
{
    for (unsigned i = 0; i < s->cast_count; i++) {
        if (s->cast[i]->p != NULL || s->cast[i]->future != NULL)
            return false;
    }
    return true;
}

static bool has_detached(const struct stage *s)
{
    for (unsigned i = 0; i < s->cast_count; i++) {
        if (s->cast[i]->excused > 0)
            return true;
    }
    return false;
}

static void check_ended(const struct actor *a)
{
    CHECK_INT(a->count[ON_FINI], a->attachments - a->excused);
    if (!a->replaced && !a->detached)
        CHECK_INT(a->count[ON_LOST], a->count[ON_MADE] + a->adopted);
}

static void check_sim(const struct stage *s)
{
    const char *first = NULL;
    struct eddy_sim_stats stats;
    if (!test_is_sim())
        return;
    if (eddy_sim_violations(test_sim(s->loop), &first) > 0)
        FAIL("rules of the seam were broken: %s", first);
    eddy_sim_get_stats(test_sim(s->loop), &stats);
    CHECK_INT(stats.closed_registered, 0);
}

void stage_close(struct stage *s)
{
    for (unsigned i = 0; i < s->cast_count; i++) {
        if (s->cast[i]->p)
            eddy_protocol_abort(s->cast[i]->p, NULL);
    }
    UNTIL(s, is_ended(s));
    if (has_detached(s)) /* their transports are still on their way out, and nobody hears of it */
        stage_run_for(s, test_is_sim() ? EDDY_SEC(5) : EDDY_MSEC(5));
    if (s->server) {
        eddy_server_close(s->server);
        UNTIL(s, eddy_server_connections(s->server) == 0);
        eddy_server_unref(s->server);
        s->server = NULL;
    }
    for (unsigned i = 0; i < s->cast_count; i++)
        check_ended(s->cast[i]);
    if (s->refusing >= 0)
        raw_close(s, s->refusing);
    UNTIL(s, stage_descriptors(s) == s->descriptors);
    check_sim(s);
    test_loop_free(s->loop);
    s->loop = NULL;
    remove_folder(s);
    if (s->problems.count != s->expected_problems)
        FAIL("%d problems, the last: %s: %s", s->problems.count, s->problems.message,
             s->problems.text);
}

static void run_inside(struct eddy_handle *h)
{
    struct stage *s = EDDY_CONTAINER_OF(h, struct stage, inside_node);
    s->inside(s);
}

void stage_inside(struct stage *s, void (*fn)(struct stage *s))
{
    s->inside = fn;
    s->inside_node.fn = run_inside;
    eddy_loop_call_soon(s->loop, &s->inside_node);
    CHECK_INT(eddy_loop_run_once(s->loop, 0), 0);
    CHECK(!eddy_handle_is_pending(&s->inside_node));
}

struct alarm {
    struct eddy_timer timer;
    bool rang;
};

static void ring(struct eddy_timer *t)
{
    EDDY_CONTAINER_OF(t, struct alarm, timer)->rang = true;
}

void stage_run_for(struct stage *s, eddy_nsec span)
{
    struct alarm alarm = {.timer.fn = ring};
    eddy_loop_call_later(s->loop, &alarm.timer, span);
    while (!alarm.rang) {
        if (!CHECK_INT(eddy_loop_run_once(s->loop, EDDY_SEC(1)), 0))
            break;
    }
    eddy_timer_cancel(&alarm.timer);
}

/* The kernel's loopback delivers within the call that sends; the simulated late backend needs time.
 */
void stage_settle(struct stage *s)
{
    if (test_is_sim())
        stage_run_for(s, EDDY_MSEC(50));
    else
        test_run_steps(s->loop, 10);
}

bool stage_is_quiet(struct stage *s)
{
    for (int i = 0; i < 5; i++) { /* what was under way may still arrive, but not for ever */
        stage_settle(s);
        eddy_nsec begin = eddy_loop_time(s->loop);
        CHECK_INT(eddy_loop_run_once(s->loop, EDDY_MSEC(20)), 0);
        if (eddy_loop_time(s->loop) - begin >= EDDY_MSEC(20))
            return true;
    }
    return false;
}

int stage_descriptors(const struct stage *s)
{
    struct eddy_sim_stats stats;
    if (!test_is_sim())
        return test_open_descriptors();
    eddy_sim_get_stats(test_sim(s->loop), &stats);
    return stats.open;
}

static eddy_nsec real_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return EDDY_SEC(ts.tv_sec) + ts.tv_nsec;
}

/* The real time is for slow machines and sanitizers, the virtual one for write-stall time-outs. */
eddy_nsec stage_patience(const struct stage *s)
{
    return test_is_sim() ? eddy_loop_time(s->loop) + EDDY_SEC(200) : real_clock() + EDDY_SEC(60);
}

bool stage_step(struct stage *s, eddy_nsec patience)
{
    eddy_nsec now = test_is_sim() ? eddy_loop_time(s->loop) : real_clock();
    if (now > patience)
        return false;
    int err = eddy_loop_run_once(s->loop, test_is_sim() ? EDDY_MSEC(10) : EDDY_MSEC(1));
    if (err < 0)
        FAIL("the loop's run ended with %s (%d)", test_code(err), err);
    return err >= 0;
}

bool stage_is_late(void)
{
    const char *name = test_backend();
    return name && strcmp(name, "sim-late") == 0;
}

/* ---- raw sockets ---- */

/* They do not speak TLS. */
static void leave_out(struct stage *s)
{
    s->expected_problems = s->problems.count;
    stage_close(s);
    test_end_case();
}

static int raw_socket(struct stage *s)
{
    if (road_is_tls())
        leave_out(s);
    int fd = s->sys->cls->socket(s->sys, road_is_unix() ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    return fd;
}

int raw_bound(struct stage *s, int *ret_port)
{
    int fd = raw_socket(s);
    struct eddy_addr at;
    raw_address(s, 0, &at);
    CHECK_INT(s->sys->cls->bind(s->sys, fd, &at), 0);
    CHECK_INT(s->sys->cls->sockname(s->sys, fd, &at), 0);
    *ret_port = road_is_unix() ? s->last_port : eddy_addr_port(&at);
    return fd;
}

int raw_listen(struct stage *s, int backlog, int *ret_port)
{
    int fd = raw_bound(s, ret_port);
    CHECK_INT(s->sys->cls->listen(s->sys, fd, backlog), 0);
    return fd;
}

int raw_connecting(struct stage *s)
{
    struct eddy_addr to;
    int fd = raw_socket(s);
    raw_address(s, s->port, &to);
    int err = s->sys->cls->connect(s->sys, fd, &to);
    CHECK(err == 0 || err == -EINPROGRESS);
    return fd;
}

int raw_connect(struct stage *s)
{
    struct eddy_addr peer;
    int fd = raw_connecting(s);
    UNTIL(s, s->sys->cls->peername(s->sys, fd, &peer) == 0);
    return fd;
}

int stage_open_raw(struct stage *s)
{
    stage_begin(s);
    int fd = raw_connect(s);
    UNTIL(s, s->peer.count[ON_MADE] == 1);
    return fd;
}

int raw_result(struct stage *s)
{
    struct eddy_addr to;
    int fd = raw_socket(s);
    raw_address(s, s->port, &to);
    int err = s->sys->cls->connect(s->sys, fd, &to);
    if (err == -EINPROGRESS) {
        struct eddy_addr peer;
        for (eddy_nsec end = stage_patience(s); stage_step(s, end);) {
            err = s->sys->cls->error(s->sys, fd);
            if (err < 0 || s->sys->cls->peername(s->sys, fd, &peer) == 0)
                break;
        }
    }
    s->sys->cls->close(s->sys, fd);
    return err;
}

int raw_accept(struct stage *s, int listener)
{
    struct eddy_addr from;
    int fd = -EAGAIN;
    UNTIL(s, (fd = fd < 0 ? s->sys->cls->accept(s->sys, listener, &from) : fd) >= 0);
    REQUIRE(fd >= 0);
    return fd;
}

int raw_send(struct stage *s, int fd, const void *data, size_t len)
{
    const char *at = data;
    eddy_nsec patience = stage_patience(s);
    while (len > 0) {
        ssize_t n = s->sys->cls->send(s->sys, fd, at, len);
        if (n == -EAGAIN) {
            if (!stage_step(s, patience))
                return -EAGAIN;
        } else if (n < 0) {
            return (int)n;
        } else {
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

size_t raw_recv(struct stage *s, int fd, void *buf, size_t len)
{
    size_t got = 0;
    eddy_nsec patience = stage_patience(s);
    while (got < len) {
        ssize_t n = s->sys->cls->recv(s->sys, fd, (char *)buf + got, len - got);
        if (n == -EAGAIN && stage_step(s, patience))
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

int raw_drain(struct stage *s, int fd, uint64_t key, size_t *ret_len)
{
    static uint8_t piece[65536];
    eddy_nsec patience = stage_patience(s);
    for (*ret_len = 0;;) {
        ssize_t n = s->sys->cls->recv(s->sys, fd, piece, sizeof piece);
        if (n == -EAGAIN) {
            if (!stage_step(s, patience))
                return -EAGAIN;
        } else if (n <= 0) {
            return (int)n;
        } else {
            if (key)
                CHECK(stream_matches(piece, (size_t)n, *ret_len, key));
            *ret_len += (size_t)n;
        }
    }
}

void raw_shutdown(struct stage *s, int fd)
{
    CHECK_INT(s->sys->cls->shutdown(s->sys, fd, SHUT_WR), 0);
}

void raw_close(struct stage *s, int fd)
{
    CHECK_INT(s->sys->cls->close(s->sys, fd), 0);
}

void raw_reset(struct stage *s, int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (test_is_sim())
        CHECK_INT(eddy_sim_reset(test_sim(s->loop), fd, 0), 0);
    else
        CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    raw_close(s, fd);
}

int raw_unread(struct stage *s, int fd)
{
    int in = 0, out = 0;
    CHECK_INT(s->sys->cls->pending(s->sys, fd, &in, &out), 0);
    return in;
}
