/* The backend that completes late, by its table: rules a to g of backend.h. */
#include "tests/support/test.h"
#include <eddy/sim.h>
#include <string.h>

static struct eddy_sim *sim;
static struct eddy_sys *sys;
static struct eddy_backend *backend;
static struct test_trace trace;

/* An endpoint that writes down what it is told, and may do something in return. */
struct spy {
    struct eddy_io io; /* first */
    char name;
    char area[8]; /* for get_buffer */
    size_t room;
    char queue[16];
    size_t queued;
    void (*react)(struct spy *spy);
    bool closed;
};

static void react(struct spy *spy)
{
    if (spy->react)
        spy->react(spy);
}

static void received(struct eddy_io *io, const void *data, ssize_t n)
{
    struct spy *spy = (struct spy *)io;

    if (n > 0)
        test_trace(&trace, "%c:%.*s", spy->name, (int)n, (const char *)data);
    else
        test_trace(&trace, "%c:%s", spy->name, n ? test_code((int)n) : "end");
    react(spy);
}

static size_t get_buffer(struct eddy_io *io, size_t hint, void **ret)
{
    struct spy *spy = (struct spy *)io;

    CHECK(hint > 0);
    *ret = spy->area;
    return spy->room;
}

static int output(struct eddy_io *io, struct iovec *iov, int max)
{
    struct spy *spy = (struct spy *)io;

    CHECK(max > 0);
    iov[0].iov_base = spy->queue;
    iov[0].iov_len = spy->queued;
    test_trace(&trace, "%c:output", spy->name);
    return spy->queued > 0;
}

static void sent(struct eddy_io *io, ssize_t n)
{
    struct spy *spy = (struct spy *)io;

    test_trace(&trace, "%c:sent(%s)", spy->name, n < 0 ? test_code((int)n) : "");
    if (n > 0) {
        spy->queued -= (size_t)n;
        memmove(spy->queue, spy->queue + n, spy->queued);
    }
    react(spy);
}

static void accepted(struct eddy_io *io, int res, const struct eddy_addr *peer)
{
    struct spy *spy = (struct spy *)io;

    CHECK((res < 0) == (peer == NULL));
    test_trace(&trace, "%c:accepted(%s)", spy->name, res < 0 ? test_code(res) : "");
    if (res >= 0)
        sys->cls->close(sys, res);
    react(spy);
}

static unsigned batch(const struct eddy_io *io)
{
    (void)io;
    return 6;
}

static void connected(struct eddy_io *io, int err)
{
    test_trace(&trace, "%c:connected(%s)", ((struct spy *)io)->name, test_code(err));
}

static void ready(struct eddy_io *io, unsigned events)
{
    test_trace(&trace, "%c:ready(%u)", ((struct spy *)io)->name, events);
}

static void datagram(struct eddy_io *io, const struct eddy_message *m, int err)
{
    CHECK_INT(err, 0);
    test_trace(&trace, "%c:%.*s", ((struct spy *)io)->name, (int)m->len, (const char *)m->data);
}

static void closed(struct eddy_io *io)
{
    struct spy *spy = (struct spy *)io;

    CHECK_INT(io->fd, -1);
    test_trace(&trace, "%c:closed", spy->name);
    spy->closed = true;
}

static const struct eddy_io_class spy_class = {
    .name = "spy",
    .received = received,
    .get_buffer = get_buffer,
    .output = output,
    .sent = sent,
    .accepted = accepted,
    .batch = batch,
    .connected = connected,
    .ready = ready,
    .datagram = datagram,
    .closed = closed,
};

static void spy_init(struct spy *spy, char name, uint8_t kind)
{
    memset(spy, 0, sizeof *spy);
    spy->io.cls = &spy_class;
    spy->io.kind = kind;
    spy->io.fd = -1;
    spy->name = name;
}

static void spy_attach(struct spy *spy, char name, uint8_t kind, int fd)
{
    spy_init(spy, name, kind);
    CHECK_INT(backend->cls->attach(backend, &spy->io, fd), 0);
}

/* Waits at most so long, and dispatches. */
static void turn(eddy_nsec timeout)
{
    CHECK_INT(backend->cls->wait(backend, timeout), 0);
    backend->cls->dispatch(backend);
}

static void turns(int n)
{
    while (n-- > 0)
        turn(EDDY_MSEC(1));
}

static void spy_close(struct spy *spy)
{
    int i;

    backend->cls->close(backend, &spy->io);
    for (i = 0; i < 10 && !spy->closed; i++)
        turn(0);
    CHECK(spy->closed);
}

static void begin(const struct eddy_sim_opts *opts)
{
    REQUIRE(eddy_sim_new(opts, &sim) == 0);
    sys = eddy_sim_sys(sim);
    REQUIRE(eddy_sim_late_backend()->open(NULL, sys, NULL, &backend) == 0);
    trace_clear(&trace);
}

static void end(void)
{
    const char *what;

    if (eddy_sim_violations(sim, &what))
        FAIL("%s", what);
    backend->cls->free(backend);
    eddy_sim_free(sim);
}

static int peer_fd;

static void begin_with_stream(struct spy *spy, const struct eddy_sim_opts *opts)
{
    int fds[2];

    begin(opts);
    REQUIRE(eddy_sim_pair(sim, fds) == 0);
    peer_fd = fds[1];
    spy_attach(spy, 'a', EDDY_IO_STREAM, fds[0]);
}

static int connect_to(const struct eddy_addr *at)
{
    int fd = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);

    CHECK_INT(sys->cls->connect(sys, fd, at), -EINPROGRESS);
    return fd;
}

/* A listener that accepts, and the first to connect to it. */
static int begin_with_client(struct spy *listener, struct eddy_addr *ret_at)
{
    int fd;

    begin(EDDY_SIM(.late = EDDY_SEC(1)));
    fd = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    CHECK_INT(sys->cls->listen(sys, fd, 5), 0);
    CHECK_INT(sys->cls->sockname(sys, fd, ret_at), 0);
    spy_attach(listener, 'l', EDDY_IO_LISTENER, fd);
    backend->cls->read_start(backend, &listener->io);
    return connect_to(ret_at);
}

static void give(const char *text)
{
    CHECK_INT(sys->cls->send(sys, peer_fd, text, strlen(text)), strlen(text));
}

static void works_over_a_sim_only(void)
{
    CHECK_INT(eddy_sim_late_backend()->open(NULL, eddy_sys_posix(), NULL, &backend), -EINVAL);
    CHECK_STR(eddy_sim_late_backend()->name, "sim-late");
}

static void reads_are_told_late_and_once(void)
{
    struct spy a;
    eddy_nsec start;

    begin_with_stream(&a, EDDY_SIM(.late = EDDY_SEC(1)));
    start = eddy_sim_now(sim);
    CHECK_INT(backend->cls->now(backend), start);
    backend->cls->read_start(backend, &a.io);
    give("one");
    turn(0);
    CHECK_TRACE(trace, "");
    turn(EDDY_SEC(1));
    CHECK_TRACE(trace, "a:one");
    CHECK(eddy_sim_now(sim) > start);
    CHECK_INT(backend->cls->wait(backend, EDDY_FOREVER), EDDY_ESTALLED);
    sys->cls->shutdown(sys, peer_fd, SHUT_WR);
    turn(EDDY_SEC(2));
    turn(EDDY_SEC(2));
    CHECK_TRACE(trace, "a:one a:end");
    CHECK_INT(a.io.want, 0);
    spy_close(&a);
    CHECK_TRACE(trace, "a:one a:end a:closed");
    end();
}

static void stopped_reads_are_held_and_come_first(void)
{
    struct spy a;
    int in, out;

    begin_with_stream(&a, EDDY_SIM(.late = EDDY_SEC(1)));
    backend->cls->read_start(backend, &a.io);
    give("one");
    turn(0); /* taken, not told */
    CHECK_INT(sys->cls->pending(sys, a.io.fd, &in, &out), 0);
    CHECK_INT(in, 0);
    backend->cls->read_stop(backend, &a.io);
    give("two");
    turn(EDDY_SEC(5));
    turn(EDDY_SEC(5));
    CHECK_TRACE(trace, "");
    backend->cls->read_start(backend, &a.io);
    turns(2);
    turn(EDDY_SEC(2));
    CHECK_TRACE(trace, "a:one a:two");
    spy_close(&a);
    end();
}

static void stop_reading(struct spy *spy)
{
    backend->cls->read_stop(backend, &spy->io);
}

static void own_buffers_are_filled_piece_by_piece(void)
{
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.late = 1));
    a.io.flags |= EDDY_IO_OWNBUF;
    a.room = 2;
    a.react = stop_reading;
    backend->cls->read_start(backend, &a.io);
    give("abcde");
    turns(3);
    CHECK_TRACE(trace, "a:ab");
    backend->cls->read_start(backend, &a.io);
    a.react = NULL;
    turns(1);
    CHECK_TRACE(trace, "a:ab a:cd a:e");
    a.room = 0; /* not now */
    give("f");
    turns(3);
    CHECK_TRACE(trace, "a:ab a:cd a:e");
    a.io.flags &= (uint8_t)~EDDY_IO_OWNBUF;
    turns(1);
    CHECK_TRACE(trace, "a:ab a:cd a:e a:f");
    spy_close(&a);
    end();
}

static void output_is_asked_until_there_is_none(void)
{
    struct spy a;
    char in[8];

    begin_with_stream(&a, EDDY_SIM(.late = 1, .send_room = 4, .recv_room = 4));
    memcpy(a.queue, "12345678", 8);
    a.queued = 8;
    backend->cls->send_start(backend, &a.io);
    turns(2);
    CHECK_TRACE(trace, "a:output a:sent()");
    turns(6);
    CHECK_INT(a.queued, 0);
    CHECK_INT(a.io.want, 0);
    CHECK_INT(sys->cls->recv(sys, peer_fd, in, 8), 4);
    CHECK_INT(sys->cls->recv(sys, peer_fd, in + 4, 8), 4);
    CHECK(memcmp(in, "12345678", 8) == 0);
    CHECK_INT(trace_count(&trace, "a:output"), 3);
    spy_close(&a);
    end();
}

static void send_errors_are_told_by_sent(void)
{
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.late = 1));
    a.queued = 8;
    backend->cls->send_start(backend, &a.io);
    eddy_sim_reset(sim, peer_fd, 0);
    turns(4);
    CHECK_TRACE(trace, "a:output a:sent(ECONNRESET)");
    CHECK_INT(a.io.want, 0);
    spy_close(&a);
    end();
}

static void broken_rules_are_seen(void)
{
    const char *what;
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.late = 1, .send_room = 1, .recv_room = 1));
    sys->cls->send(sys, a.io.fd, "xx", 1);
    sys->cls->send(sys, a.io.fd, "xx", 1);
    a.queued = 8;
    backend->cls->send_start(backend, &a.io);
    turns(1);
    CHECK_INT(eddy_sim_violations(sim, NULL), 0);
    CHECK_INT(backend->cls->try_send(&a.io, "x", 1), -EAGAIN);
    CHECK_INT(eddy_sim_violations(sim, &what), 1);
    CHECK_STR(what, "try_send while output is pending");
    backend->cls->shutdown(backend, &a.io);
    CHECK_INT(eddy_sim_violations(sim, NULL), 2);
    a.queue[3] = '!';
    spy_close(&a);
    CHECK(eddy_sim_violations(sim, NULL) > 2);
    backend->cls->free(backend);
    eddy_sim_free(sim);
}

static void try_send_may_refuse(void)
{
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.late_eagain = 1000));
    CHECK_INT(backend->cls->try_send(&a.io, "x", 1), -EAGAIN);
    spy_close(&a);
    end();
    begin_with_stream(&a, NULL);
    CHECK_INT(backend->cls->try_send(&a.io, "xyz", 3), 3);
    CHECK_INT(backend->cls->shutdown(backend, &a.io), 0);
    spy_close(&a);
    end();
}

/* The next call is refused as by a kernel that was only busy. */
static void refuse(enum eddy_sim_call call)
{
    CHECK_INT(eddy_sim_fail(sim, call, 1, -EAGAIN), 0);
}

/* One wait does it, however long, and the clock has moved. */
static void wait_for(const char *expected)
{
    eddy_nsec start = eddy_sim_now(sim);

    trace_clear(&trace);
    turn(EDDY_FOREVER);
    CHECK_TRACE(trace, expected);
    CHECK(eddy_sim_now(sim) > start && eddy_sim_now(sim) <= start + EDDY_SEC(3));
}

static void refused_streams_are_asked_again(void)
{
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.late = EDDY_SEC(1)));
    backend->cls->read_start(backend, &a.io);
    give("one");
    refuse(EDDY_SIM_RECV);
    wait_for("a:one");
    backend->cls->read_stop(backend, &a.io);
    a.queued = 8;
    backend->cls->send_start(backend, &a.io);
    turn(0); /* asks for the output */
    refuse(EDDY_SIM_SEND);
    wait_for("a:sent()");
    spy_close(&a);
    end();
}

static void refused_messages_are_asked_again(void)
{
    char text[] = "one";
    struct eddy_message m = {.data = text, .len = 3};
    struct spy d;
    int fd;

    begin(EDDY_SIM(.late = EDDY_SEC(1)));
    fd = sys->cls->socket(sys, AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, &m.addr), 0);
    CHECK_INT(sys->cls->bind(sys, fd, &m.addr), 0);
    CHECK_INT(sys->cls->sockname(sys, fd, &m.addr), 0);
    CHECK_INT(sys->cls->send_messages(sys, fd, &m, 1), 1);
    spy_attach(&d, 'd', EDDY_IO_DATAGRAM, fd);
    backend->cls->read_start(backend, &d.io);
    refuse(EDDY_SIM_RECV_MESSAGES);
    wait_for("d:one");
    spy_close(&d);
    end();
}

static void refused_accepts_are_asked_again(void)
{
    struct eddy_addr at;
    struct spy l;
    int client;

    client = begin_with_client(&l, &at);
    refuse(EDDY_SIM_ACCEPT);
    wait_for("l:accepted()");
    spy_close(&l);
    sys->cls->close(sys, client);
    end();
}

static void refusals_without_end_are_a_stall(void)
{
    struct spy a;

    begin_with_stream(&a, EDDY_SIM(.spurious_eagain = 1000));
    backend->cls->read_start(backend, &a.io);
    CHECK_INT(sys->cls->shutdown(sys, peer_fd, SHUT_WR), 0);
    CHECK_INT(backend->cls->wait(backend, EDDY_FOREVER), EDDY_ESTALLED);
    spy_close(&a);
    end();
}

static void cancel_is_silent(void)
{
    struct spy a;
    struct eddy_addr name;

    begin_with_stream(&a, EDDY_SIM(.late = EDDY_SEC(1)));
    backend->cls->read_start(backend, &a.io);
    a.queued = 8;
    backend->cls->send_start(backend, &a.io);
    give("lost");
    turn(0);
    backend->cls->cancel(backend, &a.io);
    turn(EDDY_SEC(5));
    turn(EDDY_SEC(5));
    CHECK_TRACE(trace, "a:output");
    CHECK_INT(sys->cls->peername(sys, a.io.fd, &name), 0);
    spy_close(&a);
    CHECK_TRACE(trace, "a:output a:closed");
    end();
}

static void closed_waits_for_operations_to_leave(void)
{
    struct spy a;
    int waits, most = 0, seed;

    for (seed = 0; seed < 20; seed++) {
        begin_with_stream(&a, EDDY_SIM(.seed = (uint64_t)seed, .late = EDDY_SEC(1)));
        backend->cls->read_start(backend, &a.io);
        turn(0);
        backend->cls->close(backend, &a.io);
        for (waits = 0; !a.closed; waits++)
            turn(EDDY_FOREVER); /* does not sleep */
        if (waits > most)
            most = waits;
        CHECK_INT(eddy_sim_now(sim), EDDY_SEC(3600));
        end();
    }
    CHECK(most > 1);
}

static struct spy *victim;

static void close_victim(struct spy *spy)
{
    (void)spy;
    backend->cls->close(backend, &victim->io);
}

static void upcalls_may_close_others(void)
{
    struct spy a, b;
    int fds[2];

    begin_with_stream(&a, EDDY_SIM(.late = 1));
    eddy_sim_pair(sim, fds);
    spy_attach(&b, 'b', EDDY_IO_STREAM, fds[0]);
    backend->cls->read_start(backend, &a.io);
    backend->cls->read_start(backend, &b.io);
    give("x");
    sys->cls->send(sys, fds[1], "y", 1);
    victim = &b;
    a.react = close_victim;
    b.react = close_victim;
    turns(6);
    CHECK_INT(trace_count(&trace, "b:closed"), 1);
    CHECK(trace_count(&trace, "b:") <= 2);
    spy_close(&a);
    end();
}

static void accepts_are_held_after_a_stop(void)
{
    struct eddy_addr at;
    struct eddy_sim_stats stats;
    struct spy l;
    int client;

    client = begin_with_client(&l, &at);
    turn(0);
    backend->cls->read_stop(backend, &l.io);
    turn(EDDY_SEC(3));
    CHECK_TRACE(trace, "");
    backend->cls->read_start(backend, &l.io);
    turn(0);
    CHECK_TRACE(trace, "l:accepted()");
    eddy_sim_fail(sim, EDDY_SIM_ACCEPT, 1, -EMFILE);
    CHECK_INT(sys->cls->close(sys, client), 0);
    client = connect_to(&at);
    turn(EDDY_SEC(2));
    CHECK_TRACE(trace, "l:accepted() l:accepted(EMFILE)");
    turn(0); /* accepts, and does not tell before: */
    spy_close(&l);
    sys->cls->close(sys, client);
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.open, 0);
    end();
}

static void connections_are_told_late(void)
{
    struct eddy_addr at, nobody;
    struct spy a, b;
    int fd, r;

    begin(EDDY_SIM(.late = EDDY_SEC(1)));
    fd = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    sys->cls->listen(sys, fd, 5);
    sys->cls->sockname(sys, fd, &at);
    spy_init(&a, 'a', EDDY_IO_STREAM);
    CHECK_INT(backend->cls->connect(backend, &a.io, &at, NULL), 0);
    CHECK(a.io.fd >= 0 && (a.io.flags & EDDY_IO_CONNECTING));
    turn(0);
    CHECK_TRACE(trace, "");
    turn(EDDY_SEC(1));
    CHECK_TRACE(trace, "a:connected(0)");
    CHECK_INT(a.io.flags & EDDY_IO_CONNECTING, 0);
    sys->cls->close(sys, fd);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 1, &nobody), 0);
    spy_init(&b, 'b', EDDY_IO_STREAM);
    r = backend->cls->connect(backend, &b.io, &nobody, NULL);
    CHECK_INT(r, 0);
    turn(EDDY_SEC(1));
    turn(EDDY_SEC(1));
    CHECK_TRACE(trace, "a:connected(0) b:connected(ECONNREFUSED)");
    spy_close(&a);
    spy_close(&b);
    eddy_sim_set_max_fds(sim, 1);
    CHECK(sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0) > 0);
    spy_init(&b, 'b', EDDY_IO_STREAM);
    CHECK_INT(backend->cls->connect(backend, &b.io, &at, NULL), -EMFILE);
    CHECK_INT(b.io.fd, -1);
    end();
}

static void watches_borrow_their_descriptor(void)
{
    struct spy w;
    int fds[2];

    begin(NULL);
    eddy_sim_pair(sim, fds);
    spy_attach(&w, 'w', EDDY_IO_WATCH, fds[0]);
    CHECK_INT(backend->cls->watch(backend, &w.io, EDDY_READ | EDDY_WRITE), 0);
    turn(0);
    CHECK_TRACE(trace, "w:ready(2)");
    sys->cls->send(sys, fds[1], "x", 1);
    turn(0);
    CHECK_TRACE(trace, "w:ready(2) w:ready(3)");
    sys->cls->close(sys, fds[0]); /* behind its back */
    eddy_sim_pair(sim, fds);      /* has the number now */
    turn(0);
    CHECK_INT(backend->cls->watch(backend, &w.io, EDDY_READ), 0);
    CHECK_INT(backend->cls->watch(backend, &w.io, EDDY_READ | EDDY_WRITE), -EBADF);
    CHECK_INT(backend->cls->watch(backend, &w.io, 0), 0);
    spy_close(&w);
    CHECK_TRACE(trace, "w:ready(2) w:ready(3) w:closed");
    CHECK_INT(sys->cls->close(sys, fds[0]), 0);
    end();
}

static void wake_ends_one_wait(void)
{
    begin(NULL);
    backend->cls->wake(backend);
    CHECK_INT(backend->cls->wait(backend, EDDY_FOREVER), 0);
    CHECK_INT(backend->cls->wait(backend, EDDY_FOREVER), EDDY_ESTALLED);
    CHECK_INT(backend->cls->fileno(backend), EDDY_ENOT_SUPPORTED);
    CHECK_INT(backend->cls->forked(backend), 0);
    end();
}

static void failed_attach_changes_nothing(void)
{
    struct spy a;
    int fds[2];

    begin(NULL);
    eddy_sim_pair(sim, fds);
    spy_init(&a, 'a', EDDY_IO_STREAM);
    CHECK_INT(backend->cls->attach(backend, &a.io, 99), -EBADF);
    test_fail_allocation(1);
    CHECK_INT(backend->cls->attach(backend, &a.io, fds[0]), -ENOMEM);
    test_fail_allocation(0);
    CHECK_INT(a.io.fd, -1);
    turn(0);
    end();
}

const struct test_case test_cases[] = {
    {"G31_late_works_over_a_sim_only", works_over_a_sim_only},
    {"P28_late_reads_are_told_late_and_once", reads_are_told_late_and_once},
    {"P32_late_stopped_reads_are_held_and_come_first", stopped_reads_are_held_and_come_first},
    {"R19_late_own_buffers_are_filled_piece_by_piece", own_buffers_are_filled_piece_by_piece},
    {"P33_late_output_is_asked_until_there_is_none", output_is_asked_until_there_is_none},
    {"P34_late_send_errors_are_told_by_sent", send_errors_are_told_by_sent},
    {"P35_late_broken_rules_are_seen", broken_rules_are_seen},
    {"P28_late_try_send_may_refuse", try_send_may_refuse},
    {"P28_late_refused_streams_are_asked_again", refused_streams_are_asked_again},
    {"P28_late_refused_messages_are_asked_again", refused_messages_are_asked_again},
    {"P28_late_refused_accepts_are_asked_again", refused_accepts_are_asked_again},
    {"P28_late_refusals_without_end_are_a_stall", refusals_without_end_are_a_stall},
    {"P34_late_cancel_is_silent", cancel_is_silent},
    {"P35_late_closed_waits_for_operations_to_leave", closed_waits_for_operations_to_leave},
    {"P34_late_upcalls_may_close_others", upcalls_may_close_others},
    {"P37_late_accepts_are_held_after_a_stop", accepts_are_held_after_a_stop},
    {"P28_late_connections_are_told_late", connections_are_told_late},
    {"L55_late_watches_borrow_their_descriptor", watches_borrow_their_descriptor},
    {"L30_late_wake_ends_one_wait", wake_ends_one_wait},
    {"G3_late_failed_attach_changes_nothing", failed_attach_changes_nothing},
    {NULL, NULL},
};
