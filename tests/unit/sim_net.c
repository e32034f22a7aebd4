/* The simulated network, by its system calls alone: sockets, connections, what goes wrong. */
#include "tests/unit/sim.h"
#include <netinet/tcp.h>

static int socket4(void)
{
    return sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
}

static int port_of(int fd)
{
    struct eddy_addr a;

    CHECK_INT(sys->cls->sockname(sys, fd, &a), 0);
    return eddy_addr_port(&a);
}

static int listen_on(const char *host, int port, int backlog)
{
    struct eddy_addr a = addr(host, port);
    int fd = sys->cls->socket(sys, a.u.sa.sa_family, SOCK_STREAM, 0);

    CHECK_INT(sys->cls->bind(sys, fd, &a), 0);
    CHECK_INT(sys->cls->listen(sys, fd, backlog), 0);
    return fd;
}

static int connect_to(const char *host, int port)
{
    struct eddy_addr a = addr(host, port);
    int fd = sys->cls->socket(sys, a.u.sa.sa_family, SOCK_STREAM, 0);

    CHECK_INT(sys->cls->connect(sys, fd, &a), -EINPROGRESS);
    return fd;
}

static int accept_from(int listener)
{
    struct eddy_addr a;

    return sys->cls->accept(sys, listener, &a);
}

static ssize_t give(int fd, const char *text)
{
    return sys->cls->send(sys, fd, text, strlen(text));
}

static const char *take(int fd)
{
    static char text[64];
    ssize_t n = sys->cls->recv(sys, fd, text, sizeof text - 1);

    if (n < 0)
        return test_code((int)n);
    text[n] = 0;
    return n ? text : "(end)";
}

static int unread(int fd)
{
    int in = -1, out = -1;

    CHECK_INT(sys->cls->pending(sys, fd, &in, &out), 0);
    return in;
}

static int unacknowledged(int fd)
{
    int in = -1, out = -1;

    CHECK_INT(sys->cls->pending(sys, fd, &in, &out), 0);
    return out;
}

/* ---- the host ---- */

static void options(void)
{
    struct {
        struct eddy_sim_opts known;
        int later;
    } future = {.later = 0};

    CHECK_INT(eddy_sim_new(NULL, NULL), -EINVAL);
    CHECK_INT(eddy_sim_new(EDDY_SIM(.latency = -1), &sim), -EINVAL);
    CHECK_INT(eddy_sim_new(EDDY_SIM(.chunking = 1001), &sim), -EINVAL);
    future.known.abi_size = sizeof future;
    CHECK_INT(eddy_sim_new(&future.known, &sim), 0);
    eddy_sim_free(sim);
    future.later = 1;
    CHECK_INT(eddy_sim_new(&future.known, &sim), -E2BIG);
    eddy_sim_free(NULL);
}

static char order[16];

static void mark(struct eddy_sim *s, void *user)
{
    (void)s;
    strncat(order, user, sizeof order - strlen(order) - 1);
}

static void mark_and_ask_again(struct eddy_sim *s, void *user)
{
    static char c[] = "c";

    mark(s, user);
    CHECK_INT(eddy_sim_at(s, eddy_sim_now(s) + 1, mark, c), 0);
}

static void clock_moves_when_told(void)
{
    static char a[] = "a", b[] = "b", d[] = "d";
    eddy_nsec start;

    begin(NULL);
    order[0] = 0;
    start = eddy_sim_now(sim);
    CHECK(start > 0);
    CHECK_INT(sys->cls->now(sys), start);
    eddy_sim_at(sim, start + 20, mark, b);
    eddy_sim_at(sim, start + 20, mark_and_ask_again, d);
    eddy_sim_at(sim, start + 10, mark, a);
    eddy_sim_spend(sim, 30);
    CHECK_INT(eddy_sim_now(sim), start + 30);
    CHECK_STR(order, "");
    eddy_sim_advance(sim, 5);
    CHECK_STR(order, "abdc");
    CHECK_INT(eddy_sim_now(sim), start + 35);
    eddy_sim_at(sim, start + 100, mark, a); /* never kept */
    end();
}

static void numbers_are_used_again_lowest_first(void)
{
    int a, b, c;

    begin(EDDY_SIM(.max_fds = 3));
    a = socket4();
    b = socket4();
    c = socket4();
    CHECK_INT(a, 3);
    CHECK_INT(b, 4);
    CHECK_INT(c, 5);
    CHECK_INT(socket4(), -EMFILE);
    sys->cls->close(sys, b);
    sys->cls->close(sys, a);
    CHECK_INT(socket4(), 3);
    CHECK_INT(socket4(), 4);
    CHECK_INT(sys->cls->adopt(sys, 4), 0);
    CHECK_INT(sys->cls->adopt(sys, 9), -EBADF);
    CHECK_INT(sys->cls->socket(sys, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_INT(sys->cls->socket(sys, AF_INET, SOCK_RAW, 0), -EPROTONOSUPPORT);
    end();
}

static void use_of_a_closed_descriptor_is_a_violation(void)
{
    const char *what;
    int fd;

    begin(NULL);
    fd = socket4();
    CHECK_INT(sys->cls->close(sys, fd), 0);
    CHECK_INT(eddy_sim_violations(sim, &what), 0);
    CHECK_INT(sys->cls->close(sys, fd), -EBADF);
    CHECK_INT(sys->cls->shutdown(sys, fd, SHUT_WR), -EBADF);
    CHECK_INT(eddy_sim_violations(sim, &what), 2);
    CHECK_STR(what, "a descriptor that is not open was used");
    eddy_sim_free(sim);
}

static void ports(void)
{
    struct eddy_addr a = addr("127.0.0.1", 0), any;
    int one, two, six;

    begin(NULL);
    one = listen_on("127.0.0.1", 0, 5);
    two = listen_on("127.0.0.1", 0, 5);
    CHECK(port_of(one) != port_of(two));
    a = addr("127.0.0.1", port_of(one));
    any = addr("0.0.0.0", port_of(one));
    six = sys->cls->socket(sys, AF_INET6, SOCK_STREAM, 0);
    CHECK_INT(sys->cls->bind(sys, six, &a), -EINVAL);
    sys->cls->close(sys, two);
    two = socket4();
    CHECK_INT(sys->cls->bind(sys, two, &a), -EADDRINUSE);
    CHECK_INT(sys->cls->bind(sys, two, &any), -EADDRINUSE);
    a = addr("::1", port_of(one));
    CHECK_INT(sys->cls->bind(sys, six, &a), 0);
    a = addr("127.0.0.2", port_of(one));
    CHECK_INT(sys->cls->bind(sys, two, &a), 0);
    end();
}

static void ports_can_be_shared(void)
{
    struct eddy_addr a;
    int one, two;

    begin(NULL);
    one = socket4();
    two = socket4();
    CHECK_INT(sys->cls->setsockopt(sys, one, SOL_SOCKET, SO_REUSEPORT, 1), 0);
    a = addr("127.0.0.1", 7000);
    CHECK_INT(sys->cls->bind(sys, one, &a), 0);
    CHECK_INT(sys->cls->bind(sys, two, &a), -EADDRINUSE);
    CHECK_INT(sys->cls->setsockopt(sys, two, SOL_SOCKET, SO_REUSEPORT, 1), 0);
    CHECK_INT(sys->cls->bind(sys, two, &a), 0);
    end();
}

static void port_of_a_connection_needs_reuse_address(void)
{
    struct eddy_addr a;
    int listener, client, again;

    begin(NULL);
    listener = listen_on("127.0.0.1", 0, 5);
    a = addr("127.0.0.1", port_of(listener));
    client = connect_to("127.0.0.1", port_of(listener));
    CHECK(client > 0 && accept_from(listener) > 0);
    sys->cls->close(sys, listener);
    again = socket4();
    CHECK_INT(sys->cls->bind(sys, again, &a), -EADDRINUSE);
    sys->cls->setsockopt(sys, again, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_INT(sys->cls->bind(sys, again, &a), 0);
    end();
}

static void options_of_sockets_are_remembered(void)
{
    int fd, value = -1;

    begin(NULL);
    fd = socket4();
    CHECK_INT(sys->cls->setsockopt(sys, fd, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    CHECK_INT(sys->cls->getsockopt(sys, fd, IPPROTO_TCP, TCP_NODELAY, &value), 0);
    CHECK_INT(value, 1);
    CHECK_INT(sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &value), 0);
    CHECK_INT(value, SOCK_STREAM);
    CHECK_INT(sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_DOMAIN, &value), 0);
    CHECK_INT(value, AF_INET);
    end();
}

/* ---- connecting ---- */

static void connect_reaches_a_listener(void)
{
    struct eddy_addr peer, a;
    int listener, client, server;

    begin(NULL);
    listener = listen_on("0.0.0.0", 0, 5);
    client = connect_to("127.0.0.1", port_of(listener));
    CHECK_INT(sys->cls->error(sys, client), 0);
    server = sys->cls->accept(sys, listener, &peer);
    CHECK(server > 0);
    CHECK_INT(eddy_addr_port(&peer), port_of(client));
    CHECK_INT(sys->cls->peername(sys, client, &a), 0);
    CHECK_INT(eddy_addr_port(&a), port_of(listener));
    CHECK_INT(port_of(server), port_of(listener));
    CHECK_INT(accept_from(listener), -EAGAIN);
    end();
}

static void connect_takes_two_ways(void)
{
    struct eddy_addr a;
    int listener, client;

    begin(EDDY_SIM(.latency = 10));
    listener = listen_on("127.0.0.1", 0, 5);
    client = connect_to("127.0.0.1", port_of(listener));
    CHECK_INT(accept_from(listener), -EAGAIN);
    eddy_sim_advance(sim, 10);
    CHECK_INT(sys->cls->peername(sys, client, &a), -ENOTCONN);
    CHECK_STR(take(client), "EAGAIN");
    CHECK_INT(give(client, "x"), -EAGAIN);
    CHECK(accept_from(listener) > 0);
    eddy_sim_advance(sim, 10);
    CHECK_INT(sys->cls->peername(sys, client, &a), 0);
    end();
}

static void connect_to_nobody_is_refused(void)
{
    int client;

    begin(EDDY_SIM(.latency = 10));
    client = connect_to("127.0.0.1", 7000);
    eddy_sim_advance(sim, 20);
    CHECK_INT(sys->cls->error(sys, client), -ECONNREFUSED);
    CHECK_INT(sys->cls->error(sys, client), 0);
    CHECK_INT(give(client, "x"), -EPIPE);
    end();
}

static int outcome_of(enum eddy_sim_host behaviour, eddy_nsec span)
{
    struct eddy_addr host = addr("192.0.2.1", 0);
    int client, error;

    CHECK_INT(eddy_sim_set_host(sim, &host, behaviour), 0);
    client = connect_to("192.0.2.1", 80);
    eddy_sim_advance(sim, span);
    error = sys->cls->error(sys, client);
    sys->cls->close(sys, client);
    return error;
}

static void hosts_answer_as_told(void)
{
    begin(NULL);
    listen_on("192.0.2.1", 80, 5);
    CHECK_INT(outcome_of(EDDY_SIM_ANSWERS, 0), 0);
    CHECK_INT(outcome_of(EDDY_SIM_REFUSES, 0), -ECONNREFUSED);
    CHECK_INT(outcome_of(EDDY_SIM_UNREACHABLE, 0), -EHOSTUNREACH);
    CHECK_INT(outcome_of(EDDY_SIM_SILENT, EDDY_SEC(126)), 0);
    CHECK_INT(outcome_of(EDDY_SIM_SILENT, EDDY_SEC(127)), -ETIMEDOUT);
    CHECK_INT(outcome_of(EDDY_SIM_ANSWERS, 0), 0);
    end();
}

static void full_backlog_makes_wait(void)
{
    struct eddy_addr a;
    int listener, clients[3], i;

    begin(NULL);
    listener = listen_on("127.0.0.1", 0, 1);
    for (i = 0; i < 3; i++)
        clients[i] = connect_to("127.0.0.1", port_of(listener));
    CHECK_INT(sys->cls->peername(sys, clients[1], &a), 0);
    CHECK_INT(sys->cls->peername(sys, clients[2], &a), -ENOTCONN);
    CHECK(accept_from(listener) > 0);
    eddy_sim_advance(sim, EDDY_SEC(1));
    CHECK_INT(sys->cls->peername(sys, clients[2], &a), 0);
    end();
}

static void closed_listener_resets_those_who_wait(void)
{
    int listener, client;

    begin(NULL);
    listener = listen_on("127.0.0.1", 0, 5);
    client = connect_to("127.0.0.1", port_of(listener));
    CHECK_INT(give(client, "hello"), 5);
    sys->cls->close(sys, listener);
    CHECK_STR(take(client), "ECONNRESET");
    end();
}

static void reset_before_accept_may_be_told_by_it(void)
{
    int listener, client;

    begin(EDDY_SIM(.abort_accepted = 1000));
    listener = listen_on("127.0.0.1", 0, 5);
    client = connect_to("127.0.0.1", port_of(listener));
    CHECK_INT(eddy_sim_reset(sim, client, 0), 0);
    CHECK_INT(accept_from(listener), -ECONNABORTED);
    CHECK_INT(accept_from(listener), -EAGAIN);
    end();
}

/* ---- bytes ---- */

static void bytes_go_both_ways(void)
{
    struct iovec iov[3] = {{"one ", 4}, {"", 0}, {"two", 3}};
    int fds[2];

    begin(NULL);
    CHECK_INT(eddy_sim_pair(sim, fds), 0);
    CHECK_INT(sys->cls->sendv(sys, fds[0], iov, 3), 7);
    CHECK_INT(give(fds[1], "three"), 5);
    CHECK_INT(unread(fds[1]), 7);
    CHECK_STR(take(fds[1]), "one two");
    CHECK_STR(take(fds[1]), "EAGAIN");
    CHECK_STR(take(fds[0]), "three");
    CHECK_INT(sys->cls->recv(sys, fds[0], order, 0), 0);
    end();
}

static void buffers_fill_up(void)
{
    char data[64] = {0};
    int fds[2];

    begin(EDDY_SIM(.send_room = 10, .recv_room = 20));
    eddy_sim_pair(sim, fds);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 64), 10);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 64), 10);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 4), 4);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 64), 6);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 64), -EAGAIN);
    CHECK_INT(unread(fds[1]), 20);
    CHECK_INT(unacknowledged(fds[0]), 10);
    CHECK_INT(sys->cls->recv(sys, fds[1], data, 1), 1);
    CHECK_INT(unacknowledged(fds[0]), 9);
    CHECK_INT(sys->cls->send(sys, fds[0], data, 64), 1);
    end();
}

static void bytes_take_time(void)
{
    int fds[2];

    begin(EDDY_SIM(.latency = 10));
    eddy_sim_pair(sim, fds);
    give(fds[0], "slow");
    CHECK_INT(unacknowledged(fds[0]), 4);
    eddy_sim_advance(sim, 9);
    CHECK_STR(take(fds[1]), "EAGAIN");
    eddy_sim_advance(sim, 1);
    CHECK_STR(take(fds[1]), "slow");
    CHECK_INT(unacknowledged(fds[0]), 0);
    end();
}

static void frozen_host_takes_nothing(void)
{
    int fds[2];

    begin(NULL);
    eddy_sim_pair(sim, fds);
    CHECK_INT(eddy_sim_freeze(sim, fds[1], true), 0);
    CHECK_INT(eddy_sim_freeze(sim, 77, true), -ENOTCONN);
    give(fds[0], "in");
    give(fds[1], "out");
    eddy_sim_advance(sim, EDDY_SEC(3600));
    CHECK_INT(unacknowledged(fds[0]), 2);
    CHECK_STR(take(fds[0]), "EAGAIN");
    eddy_sim_freeze(sim, fds[1], false);
    CHECK_STR(take(fds[1]), "in");
    CHECK_STR(take(fds[0]), "out");
    end();
}

/* ---- ends ---- */

static void half_close_ends_one_direction(void)
{
    int fds[2];

    begin(NULL);
    eddy_sim_pair(sim, fds);
    give(fds[0], "last");
    CHECK_INT(sys->cls->shutdown(sys, fds[0], SHUT_WR), 0);
    CHECK_INT(give(fds[0], "more"), -EPIPE);
    CHECK_STR(take(fds[1]), "last");
    CHECK_STR(take(fds[1]), "(end)");
    CHECK_INT(give(fds[1], "reply"), 5);
    CHECK_STR(take(fds[0]), "reply");
    CHECK_STR(take(fds[0]), "EAGAIN");
    end();
}

static void end_counts_until_it_is_acknowledged(void)
{
    int fds[2];

    begin(EDDY_SIM(.latency = 10));
    eddy_sim_pair(sim, fds);
    sys->cls->shutdown(sys, fds[0], SHUT_WR);
    CHECK_INT(unacknowledged(fds[0]), 1);
    eddy_sim_advance(sim, 10);
    CHECK_INT(unacknowledged(fds[0]), 0);
    end();
}

static void closing_sends_what_is_left(void)
{
    int fds[2];

    begin(EDDY_SIM(.send_room = 100, .recv_room = 3));
    eddy_sim_pair(sim, fds);
    give(fds[0], "abcdef");
    sys->cls->close(sys, fds[0]);
    CHECK_STR(take(fds[1]), "abc");
    CHECK_STR(take(fds[1]), "def");
    CHECK_STR(take(fds[1]), "(end)");
    end();
}

static void closing_with_unread_bytes_resets(void)
{
    int fds[2];

    begin(EDDY_SIM(.latency = 10));
    eddy_sim_pair(sim, fds);
    give(fds[0], "unread");
    give(fds[1], "lost");
    eddy_sim_advance(sim, 10);
    give(fds[1], "too");
    sys->cls->close(sys, fds[1]);
    CHECK_INT(unread(fds[0]), 4);
    eddy_sim_advance(sim, 10);
    CHECK_INT(unread(fds[0]), 0);
    CHECK_STR(take(fds[0]), "ECONNRESET");
    end();
}

static void bytes_for_a_closed_socket_reset(void)
{
    int fds[2];

    begin(EDDY_SIM(.latency = 10));
    eddy_sim_pair(sim, fds);
    give(fds[1], "never read");
    sys->cls->close(sys, fds[1]);
    eddy_sim_advance(sim, 10);
    CHECK_INT(unread(fds[0]), 10);
    CHECK_INT(give(fds[0], "late"), 4);
    eddy_sim_advance(sim, 20);
    CHECK_INT(unread(fds[0]), 0);
    CHECK_INT(give(fds[0], "x"), -EPIPE);
    end();
}

static void reset_is_told_once(void)
{
    struct eddy_sim_stats stats;
    struct eddy_addr a;
    int fds[2];

    begin(NULL);
    eddy_sim_pair(sim, fds);
    give(fds[0], "lost");
    CHECK_INT(eddy_sim_reset(sim, fds[0], EDDY_SEC(1)), 0);
    eddy_sim_advance(sim, EDDY_SEC(1) - 1);
    CHECK_INT(unread(fds[1]), 4);
    eddy_sim_advance(sim, 1);
    CHECK_STR(take(fds[1]), "ECONNRESET");
    CHECK_STR(take(fds[1]), "(end)");
    CHECK_INT(give(fds[1], "x"), -EPIPE);
    CHECK_INT(give(fds[0], "x"), -ECONNRESET);
    CHECK_INT(sys->cls->shutdown(sys, fds[0], SHUT_WR), -ENOTCONN);
    CHECK_INT(sys->cls->peername(sys, fds[0], &a), -ENOTCONN);
    CHECK_INT(sys->cls->sockname(sys, fds[0], &a), 0);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.resets, 2);
    CHECK_INT(eddy_sim_reset(sim, 99, 0), -ENOTCONN);
    end();
}

/* ---- chance and script ---- */

static void calls_fail_by_script(void)
{
    int fds[2];
    unsigned long before;

    begin(NULL);
    eddy_sim_pair(sim, fds);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_CALLS, 1, -EIO), -EINVAL);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_RECV, 0, -EIO), -EINVAL);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_RECV, 1, EIO), -EINVAL);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_RECV, 1, -EINTR), -EINVAL);
    before = eddy_sim_calls(sim, EDDY_SIM_RECV);
    eddy_sim_fail(sim, EDDY_SIM_RECV, 2, -ETIMEDOUT);
    eddy_sim_fail(sim, EDDY_SIM_RECV, 3, -EIO);
    eddy_sim_fail(sim, EDDY_SIM_SEND, 1, -ENOBUFS);
    CHECK_INT(give(fds[0], "a"), -ENOBUFS);
    CHECK_INT(give(fds[0], "b"), 1);
    CHECK_STR(take(fds[1]), "b");
    CHECK_STR(take(fds[1]), "ETIMEDOUT");
    CHECK_STR(take(fds[1]), "EIO");
    CHECK_STR(take(fds[1]), "EAGAIN");
    CHECK_INT(eddy_sim_calls(sim, EDDY_SIM_RECV) - before, 4);
    eddy_sim_fail(sim, EDDY_SIM_SOCKET, 1, -EMFILE);
    eddy_sim_fail_none(sim);
    CHECK(socket4() > 0);
    end();
}

/* A megabyte or less each way over a network as rough as the seed makes it; the hash of what
 * happened. */
static uint64_t rough_exchange(uint64_t seed)
{
    struct eddy_sim_opts opts;
    uint8_t out[300], in[300], expected[2] = {0, 0};
    size_t sent[2] = {0, 0}, total;
    int fds[2], side, i;
    ssize_t n;
    uint64_t hash;

    eddy_sim_wild(&opts, seed);
    begin(&opts);
    REQUIRE(eddy_sim_pair(sim, fds) == 0);
    total = 200 + eddy_sim_random(sim, 2000);
    while (fds[0] >= 0 || fds[1] >= 0) {
        side = (int)eddy_sim_random(sim, 2);
        if (fds[side] < 0)
            continue;
        for (i = 0; i < 300; i++)
            out[i] = (uint8_t)(sent[side] + (size_t)i);
        n = (ssize_t)(total - sent[side] < 300 ? total - sent[side] : 300);
        n = sys->cls->send(sys, fds[side], out, (size_t)n);
        if (n > 0)
            sent[side] += (size_t)n;
        if (sent[side] == total)
            sys->cls->shutdown(sys, fds[side], SHUT_WR);
        n = sys->cls->recv(sys, fds[side], in, sizeof in);
        for (i = 0; i < n; i++) {
            if (in[i] != expected[side]++)
                FAIL("seed %llu: wrong byte", (unsigned long long)seed);
        }
        if (n == 0 && sent[side] == total) {
            CHECK_INT(expected[side], (uint8_t)total);
            sys->cls->close(sys, fds[side]);
            fds[side] = -1;
        }
        if (n == -EAGAIN)
            eddy_sim_advance(sim, EDDY_MSEC(5));
    }
    hash = eddy_sim_trace_hash(sim);
    end();
    return hash;
}

static void streams_stay_whole_and_runs_repeat(void)
{
    uint64_t seed, last = 0, hash;

    for (seed = 1; seed <= 100; seed++) {
        hash = rough_exchange(seed);
        CHECK(hash != last);
        last = hash;
        CHECK(rough_exchange(seed) == hash);
    }
}

static int lines;

static void count_line(void *user, const char *line)
{
    CHECK(user == &lines && strchr(line, '\n') == NULL);
    lines++;
}

static void trace_tells_everything(void)
{
    int fds[2];

    lines = 0;
    begin(EDDY_SIM(.trace = count_line, .user = &lines));
    eddy_sim_pair(sim, fds);
    lines = 0;
    give(fds[0], "x");
    CHECK_INT(lines, 2); /* arrived, send */
    end();
}

static int all_calls(void)
{
    struct eddy_addr a = addr("127.0.0.1", 0);
    int r, fds[2], listener, client, waker[2], i;

    r = eddy_sim_new(NULL, &sim);
    if (r < 0)
        return r;
    sys = eddy_sim_sys(sim);
    for (i = 0; i < 70 && r >= 0; i++)
        r = socket4();
    if (r >= 0)
        r = sys->cls->waker(sys, waker);
    if (r >= 0)
        r = eddy_sim_pair(sim, fds);
    listener = client = socket4();
    if (r >= 0 && (r = listener) >= 0 && (r = sys->cls->bind(sys, listener, &a)) >= 0 &&
        (r = sys->cls->listen(sys, listener, 5)) >= 0 &&
        (r = sys->cls->sockname(sys, listener, &a)) >= 0 && (r = client = socket4()) >= 0) {
        r = sys->cls->connect(sys, client, &a);
        if (r == -EINPROGRESS)
            r = accept_from(listener);
        if (r >= 0)
            r = (int)give(client, "hello");
        if (r >= 0)
            r = eddy_sim_set_host(sim, &a, EDDY_SIM_REFUSES);
        if (r >= 0)
            r = eddy_sim_fail(sim, EDDY_SIM_SEND, 1, -EIO);
        if (r >= 0)
            r = eddy_sim_at(sim, 1, mark, order);
    }
    eddy_sim_free(sim);
    return r;
}

static void any_allocation_may_fail(void)
{
    long n = 0;
    int r;

    do {
        test_fail_allocation(++n);
        r = all_calls();
        if (test_allocation_failed())
            CHECK_INT(r, -ENOMEM);
    } while (test_allocation_failed() && n < 10000);
    test_fail_allocation(0);
    CHECK_INT(r, 0);
    CHECK(n > 70);
}

const struct test_case test_cases[] = {
    {"G8_sim_options_are_checked", options},
    {"G31_sim_clock_moves_only_when_told", clock_moves_when_told},
    {"G31_sim_descriptors_are_used_again_lowest_first", numbers_are_used_again_lowest_first},
    {"G31_sim_use_of_a_closed_descriptor_is_a_violation",
     use_of_a_closed_descriptor_is_a_violation},
    {"G31_sim_ports_are_given_and_taken", ports},
    {"G31_sim_ports_can_be_shared", ports_can_be_shared},
    {"S20_sim_port_of_a_connection_needs_reuse_address", port_of_a_connection_needs_reuse_address},
    {"G31_sim_options_of_sockets_are_remembered", options_of_sockets_are_remembered},
    {"G31_sim_connect_reaches_a_listener", connect_reaches_a_listener},
    {"G31_sim_connect_takes_two_ways", connect_takes_two_ways},
    {"G31_sim_connect_to_nobody_is_refused", connect_to_nobody_is_refused},
    {"G31_sim_hosts_answer_as_told", hosts_answer_as_told},
    {"G31_sim_full_backlog_makes_wait", full_backlog_makes_wait},
    {"G31_sim_closed_listener_resets_those_who_wait", closed_listener_resets_those_who_wait},
    {"S25_sim_reset_before_accept_may_be_told_by_it", reset_before_accept_may_be_told_by_it},
    {"G31_sim_bytes_go_both_ways", bytes_go_both_ways},
    {"G31_sim_buffers_fill_up", buffers_fill_up},
    {"G31_sim_bytes_take_time", bytes_take_time},
    {"G31_sim_frozen_host_takes_nothing", frozen_host_takes_nothing},
    {"G31_sim_half_close_ends_one_direction", half_close_ends_one_direction},
    {"G31_sim_end_counts_until_it_is_acknowledged", end_counts_until_it_is_acknowledged},
    {"G31_sim_closing_sends_what_is_left", closing_sends_what_is_left},
    {"G31_sim_closing_with_unread_bytes_resets", closing_with_unread_bytes_resets},
    {"G31_sim_bytes_for_a_closed_socket_reset", bytes_for_a_closed_socket_reset},
    {"G31_sim_reset_is_told_once", reset_is_told_once},
    {"D7_sim_calls_fail_by_script", calls_fail_by_script},
    {"G31_sim_streams_stay_whole_and_runs_repeat", streams_stay_whole_and_runs_repeat},
    {"G31_sim_trace_tells_everything", trace_tells_everything},
    {"G5_sim_any_allocation_may_fail", any_allocation_may_fail},
    {NULL, NULL},
};
