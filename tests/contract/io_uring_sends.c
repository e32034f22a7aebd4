/* backends: poll epoll io_uring */
/* timeout: 120 */
/*
 * What is given to the kernel to be sent: one piece of a connection's queue at a time (contract
 * P33), waited for by close and not by abort (P34), from memory that stays until the kernel is done
 * with it (P35); and with the kernel by the end of the run. The same on readiness (P28).
 */
#include "tests/support/nodes.h"
#include "tests/support/stream.h"
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int raw;

/* A raw client that reads only what a case has it read. */
static void begin(struct stage *s)
{
    stage_init(s);
    s->peer.out_key = 1;
    stage_begin(s);
    raw = raw_connect(s);
    UNTIL(s, s->peer.count[ON_MADE] == 1);
    stage_settle(s);
}

/* Blocks, without the loop: the bytes are the kernel's already, or a check fails. */
static size_t receive_without_the_loop(int fd, void *buf, size_t len)
{
    size_t got = 0;
    while (got < len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (!CHECK_INT(poll(&p, 1, 10000), 1))
            break;
        ssize_t n = recv(fd, (char *)buf + got, len - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

/* ---- one at a time ---- */

static void write_first(struct stage *s)
{
    CHECK_INT(actor_write(&s->peer, 1000), 0);
}

static void fill_inside(struct stage *s)
{
    CHECK(actor_fill(&s->peer) > 0);
}

/* The kernel takes part of a queue: the rest is sent once, by readiness, and new bytes come behind.
 */
static void P33_T12_later_writes_are_joined_and_the_size_counts_all(void)
{
    struct stage s;
    size_t received = 0;
    begin(&s);
    stage_inside(&s, fill_inside);
    stage_settle(&s);
    size_t waiting = eddy_transport_get_write_buffer_size(s.peer.t);
    CHECK(waiting > 0);
    CHECK_INT(actor_write(&s.peer, 100), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.peer.t), waiting + 100);
    stage_inside(&s, write_first);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.peer.t), waiting + 1100);
    CHECK_INT(eddy_transport_write_eof(s.peer.t), 0);
    CHECK_INT(raw_drain(&s, raw, 1, &received), 0);
    CHECK_INT(received, s.peer.sent);
    UNTIL(&s, eddy_transport_get_write_buffer_size(s.peer.t) == 0);
    CHECK_INT(s.peer.count[ON_RESUME], 1);
    raw_close(&s, raw);
    stage_close(&s);
}

static void write_varied(struct stage *s)
{
    CHECK_INT(actor_write(&s->peer, 1 + s->peer.sent * 37 % 6000), 0);
}

/* Sizes around those of a block, of a cork and of a socket's buffer, in callbacks, to a peer that
 * reads little by little: sometimes the kernel takes all of what was written, sometimes part,
 * sometimes none. */
static void P33_T10_a_slow_reader_gets_each_byte_once(void)
{
    static uint8_t bytes[8192];
    struct stage s;
    size_t received = 0;
    int room = 4096;
    begin(&s);
    s.peer.out_key = 7;
    CHECK_INT(setsockopt(eddy_transport_fd(s.peer.t), SOL_SOCKET, SO_SNDBUF, &room, sizeof room),
              0);
    CHECK_INT(setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    for (int i = 0; i < 3000; i++) {
        if (!eddy_transport_is_writing_paused(s.peer.t))
            stage_inside(&s, write_varied);
        ssize_t n = recv(raw, bytes, i % 5 == 0 ? sizeof bytes : 200, 0);
        if (n > 0) {
            CHECK(stream_matches(bytes, (size_t)n, received, 7));
            received += (size_t)n;
        }
        if (i % 3 == 0)
            test_run_steps(s.loop, 1);
    }
    while (received < s.peer.sent) {
        size_t n =
            raw_recv(&s, raw, bytes,
                     s.peer.sent - received < sizeof bytes ? s.peer.sent - received : sizeof bytes);
        if (!CHECK(n > 0 && stream_matches(bytes, n, received, 7)))
            break;
        received += n;
    }
    CHECK(s.peer.count[ON_PAUSE] > 0);
    raw_close(&s, raw);
    stage_close(&s);
}

/* ---- close and abort ---- */

static void P34_close_waits_for_what_the_kernel_would_not_take(void)
{
    struct stage s;
    size_t received = 0;
    begin(&s);
    stage_inside(&s, fill_inside);
    eddy_transport_close(s.peer.t);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_LOST], 0);
    CHECK_INT(raw_drain(&s, raw, 1, &received), 0);
    CHECK_INT(received, s.peer.sent);
    raw_close(&s, raw);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    CHECK_TRACE(s.peer.trace, "CM PW RW CL(0)");
    stage_close(&s);
}

static void write_and_close(struct stage *s)
{
    CHECK_INT(actor_write(&s->peer, 1000), 0);
    eddy_transport_close(s->peer.t);
}

static void P34_close_after_a_write_sends_it(void)
{
    struct stage s;
    size_t received = 0;
    begin(&s);
    stage_inside(&s, write_and_close);
    CHECK_INT(raw_drain(&s, raw, 1, &received), 0);
    CHECK_INT(received, 1000);
    raw_close(&s, raw);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void close_and_abort(struct stage *s)
{
    eddy_transport_close(s->peer.t);
    eddy_transport_abort(s->peer.t, NULL);
    eddy_transport_abort(s->peer.t, EDDY_ERROR(-EPROTO, "too late"));
}

static void P34_connection_lost_comes_once_when_everything_ends_it(void)
{
    for (int i = 0; i < 20; i++) {
        struct stage s;
        begin(&s);
        stage_inside(&s, fill_inside);
        if (i % 2)
            test_run_steps(s.loop, 2);
        raw_reset(&s, raw);
        stage_inside(&s, close_and_abort);
        UNTIL(&s, s.peer.count[ON_FINI] == 1);
        stage_settle(&s);
        CHECK_INT(s.peer.count[ON_LOST], 1);
        stage_close(&s);
    }
}

/* ---- memory ---- */

enum { AREA = 16 << 20 }; /* more than the kernel takes at once */

struct lent {
    uint8_t *area;
    int released;
};

/* From here on nobody may look at it: the kernel would fail, or send zeroes. */
static void take_away(void *user)
{
    struct lent *l = user;
    l->released++;
    CHECK(mprotect(l->area, AREA, PROT_NONE) == 0);
}

static void lend(struct stage *s, struct lent *l)
{
    l->released = 0;
    l->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(l->area != MAP_FAILED);
    stream_bytes(l->area, AREA, 0, 1);
    CHECK_INT(eddy_transport_write_owned(s->peer.t, l->area, AREA, take_away, l), 0);
}

static struct lent lent;

static void lend_inside(struct stage *s)
{
    lend(s, &lent);
}

/* All that arrives must be the beginning of the stream. */
static void drain_prefix(struct stage *s, size_t *ret_len)
{
    int rc = raw_drain(s, raw, 1, ret_len);
    CHECK(rc == 0 || rc == -ECONNRESET);
    CHECK(*ret_len < AREA);
}

static void P35_G7_memory_is_released_once_when_the_last_byte_is_the_kernels(void)
{
    struct stage s;
    static uint8_t bytes[AREA];
    begin(&s);
    stage_inside(&s, lend_inside);
    stage_settle(&s);
    CHECK_INT(lent.released, 0);
    CHECK_INT(raw_recv(&s, raw, bytes, AREA), AREA);
    CHECK(stream_matches(bytes, AREA, 0, 1));
    UNTIL(&s, lent.released == 1);
    raw_close(&s, raw);
    stage_close(&s);
    CHECK_INT(lent.released, 1);
    munmap(lent.area, AREA);
}

static void P35_abort_keeps_the_memory_until_the_kernel_is_done(void)
{
    for (int steps = 0; steps < 4; steps++) {
        struct stage s;
        size_t received = 0;
        begin(&s);
        stage_inside(&s, lend_inside);
        test_run_steps(s.loop, steps);
        stage_inside(&s, close_and_abort);
        drain_prefix(&s, &received);
        UNTIL(&s, s.peer.count[ON_FINI] == 1 && lent.released == 1);
        raw_close(&s, raw);
        stage_close(&s);
        CHECK_INT(lent.released, 1);
        munmap(lent.area, AREA);
    }
}

static void P35_closing_the_loop_keeps_the_memory_until_the_kernel_is_done(void)
{
    static uint8_t bytes[AREA];
    struct stage s;
    size_t received = 0;
    test_expect_log("still open when its loop closes");
    begin(&s);
    stage_inside(&s, lend_inside);
    CHECK_INT(lent.released, 0);
    eddy_server_unref(s.server);
    test_loop_free(s.loop);
    CHECK_INT(lent.released, 1);
    for (ssize_t n; (n = recv(raw, bytes, sizeof bytes, 0)) > 0; received += (size_t)n)
        CHECK(stream_matches(bytes, (size_t)n, received, 1));
    CHECK(received > 0 && received < AREA);
    close(raw);
    munmap(lent.area, AREA);
}

/* A queue of many pieces, some lent: each is released in its turn. */
static struct lent_piece {
    char bytes[16];
    int released;
} pieces[100];

static void piece_is_released(void *user)
{
    struct lent_piece *p = user;
    p->released++;
    memset(p->bytes, '?', sizeof p->bytes);
}

static void write_pieces(struct stage *s)
{
    for (int i = 0; i < 100; i++) {
        pieces[i].released = 0;
        snprintf(pieces[i].bytes, sizeof pieces[i].bytes, "<%06d>", i);
        CHECK_INT(eddy_transport_write_owned(s->peer.t, pieces[i].bytes, 8, piece_is_released,
                                             &pieces[i]),
                  0);
    }
}

static void P33_P35_a_queue_of_many_pieces_is_sent_in_order(void)
{
    struct stage s;
    char text[801] = "", expected[16];
    begin(&s);
    stage_inside(&s, write_pieces);
    CHECK_INT(raw_recv(&s, raw, text, 800), 800);
    for (int i = 0; i < 100; i++) {
        snprintf(expected, sizeof expected, "<%06d>", i);
        CHECK(memcmp(text + (size_t)i * 8, expected, 8) == 0);
    }
    stage_settle(&s);
    for (int i = 0; i < 100; i++)
        CHECK_INT(pieces[i].released, 1);
    raw_close(&s, raw);
    stage_close(&s);
}

/* More than one operation can be given: its length is cut, and so is what counts as sent. */
static size_t huge, huge_left;
static char *huge_area;

static void lend_huge(struct stage *s)
{
    static char bytes[1 << 16];
    CHECK_INT(eddy_transport_write_owned(s->peer.t, huge_area, huge, NULL, NULL), 0);
    huge_left = eddy_transport_get_write_buffer_size(s->peer.t);
    while (recv(raw, bytes, sizeof bytes, 0) > 0) { /* makes room for the operation that follows */
    }
}

static void P33_T12_a_write_of_more_than_4_gib_is_not_cut_short(void)
{
    struct stage s;
    size_t first = 0;
    huge = (size_t)5 << 30;
    huge_area = mmap(NULL, huge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (huge_area == MAP_FAILED)
        return; /* no such address space here */
    /* The low 32 bits of what is left are few if the kernel takes as much as the time before. */
    for (int i = 0; i < 4; i++) {
        begin(&s);
        huge = ((size_t)4 << 30) + first + 1000;
        stage_inside(&s, lend_huge);
        first = huge - huge_left;
        stage_settle(&s);
        REQUIRE(s.peer.t != NULL);
        CHECK(eddy_transport_get_write_buffer_size(s.peer.t) > (size_t)4 << 29);
        eddy_transport_abort(s.peer.t, NULL);
        UNTIL(&s, s.peer.count[ON_FINI] == 1);
        raw_close(&s, raw);
        stage_close(&s);
    }
    munmap(huge_area, (size_t)5 << 30);
}

/* ---- the end of a run ---- */

static void write_and_stop(struct test_handle *h)
{
    struct stage *s = h->user;
    CHECK_INT(actor_write(&s->peer, 1000), 0);
    eddy_loop_stop(s->loop);
}

static void check_arrived(struct stage *s)
{
    uint8_t bytes[1000];
    CHECK_INT(receive_without_the_loop(raw, bytes, sizeof bytes), sizeof bytes);
    CHECK(stream_matches(bytes, sizeof bytes, s->peer.sent - 1000, 1));
}

static void T10_what_was_written_is_the_kernels_when_the_run_ends(void)
{
    struct stage s;
    struct test_trace trace = {.len = 0};
    struct eddy_future *f = NULL;
    begin(&s);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = write_and_stop, .user = &s);
    eddy_loop_call_soon(s.loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(s.loop), 0);
    check_arrived(&s);
    eddy_loop_call_soon(s.loop, &h.node);
    CHECK_INT(eddy_loop_run_once(s.loop, EDDY_SEC(1)), 0);
    check_arrived(&s);
    eddy_loop_call_soon(s.loop, &h.node);
    REQUIRE(eddy_future_new(s.loop, &f) == 0);
    CHECK_INT(eddy_loop_run_until_complete(s.loop, f, NULL), EDDY_ENOT_COMPLETED);
    check_arrived(&s);
    eddy_future_unref(f);
    CHECK_TRACE(trace, "h h h");
    raw_close(&s, raw);
    stage_close(&s);
}

static void write_in_timer(struct test_timer *t)
{
    struct stage *s = t->user;
    CHECK_INT(actor_write(&s->peer, 1000), 0);
    eddy_loop_stop(s->loop);
}

static void T10_the_last_phase_of_a_run_is_no_exception(void)
{
    struct stage s;
    struct test_trace trace = {.len = 0};
    begin(&s);
    struct test_timer t = TEST_TIMER(&trace, "t", .then = write_in_timer, .user = &s);
    eddy_loop_call_later(s.loop, &t.node, 0);
    CHECK_INT(eddy_loop_run_forever(s.loop), 0);
    check_arrived(&s);
    raw_close(&s, raw);
    stage_close(&s);
}

static void T10_a_write_after_the_run_arrives_with_the_next_at_the_latest(void)
{
    struct stage s;
    uint8_t bytes[1000];
    struct test_trace trace = {.len = 0};
    begin(&s);
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = write_and_stop, .user = &s);
    eddy_loop_call_soon(s.loop, &h.node);
    CHECK_INT(eddy_loop_run_forever(s.loop), 0);
    CHECK_INT(actor_write(&s.peer, 1000), 0);
    CHECK_INT(raw_recv(&s, raw, bytes, sizeof bytes), sizeof bytes);
    CHECK(stream_matches(bytes, sizeof bytes, 0, 1));
    CHECK_INT(raw_recv(&s, raw, bytes, sizeof bytes), sizeof bytes);
    CHECK(stream_matches(bytes, sizeof bytes, 1000, 1));
    raw_close(&s, raw);
    stage_close(&s);
}

/* ---- accepting ---- */

static void P37_accepting_goes_on_after_each_connection(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    for (int i = 1; i <= 20; i++) {
        raw = raw_connect(&s);
        UNTIL(&s, s.peer.count[ON_MADE] == i);
        raw_close(&s, raw);
        UNTIL(&s, s.peer.count[ON_FINI] == i);
        s.guest_next = 0;
    }
    stage_close(&s);
}

static void close_the_server(struct stage *s)
{
    eddy_server_close(s->server);
}

/* Nothing is reported, nobody is accepted any more, and the port is free for the next one. */
static void P37_closing_the_server_cancels_the_accept_in_silence(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    stage_settle(&s);
    for (int i = 0; i < 20; i++) {
        int fd = raw_connecting(&s);
        stage_inside(&s, close_the_server);
        UNTIL(&s, eddy_server_connections(s.server) == 0);
        stage_settle(&s);
        raw_reset(&s, fd);
        eddy_server_unref(s.server);
        s.server_opts.port = s.port;
        REQUIRE(eddy_create_server(s.loop, s.server_class, &s.server_opts, &s.server) == 0);
    }
    CHECK_INT(s.peer.count[ON_MADE], 0);
    stage_close(&s);
}

/* ---- everything at once ---- */

static void watched(struct eddy_watch *w, unsigned events)
{
    (void)w, (void)events;
}

static void P35_L15_a_loop_closes_with_everything_in_flight(void)
{
    struct stage s;
    struct eddy_watch watch = {.fn = watched};
    struct actor other, connecting;
    int fds[2], full, fillers[4], port;
    test_expect_log("still open when its loop closes");
    test_socketpair(fds);
    begin(&s);
    stage_add(&s, &other, true);
    stage_add(&s, &connecting, false);
    int second = raw_connect(&s); /* reads, and has nothing to read */
    UNTIL(&s, other.count[ON_MADE] == 1);
    stage_inside(&s, fill_inside); /* has a queue that nobody takes */
    CHECK_INT(eddy_loop_add_watch(s.loop, &watch, fds[0], EDDY_READ), 0);
    full = raw_listen(&s, 0, &port); /* leaves connections to it unanswered */
    for (int i = 0; i < 4; i++) {
        struct eddy_addr to;
        fillers[i] = s.sys->cls->socket(s.sys, AF_INET, SOCK_STREAM, 0);
        CHECK_INT(eddy_addr_parse("127.0.0.1", port, &to), 0);
        s.sys->cls->connect(s.sys, fillers[i], &to);
    }
    s.connection_opts.port = port;
    CHECK_INT(actor_connect(&connecting), 0);
    stage_settle(&s);
    eddy_server_unref(s.server);
    CHECK_INT(eddy_loop_close(s.loop), 0);
    eddy_future_unref(connecting.future); /* its callback was unlinked */
    test_loop_free(s.loop);
    CHECK_INT(s.peer.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(other.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(s.peer.count[ON_FINI] + other.count[ON_FINI] + connecting.count[ON_FINI], 3);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(full);
    close(second);
    close(raw);
    close(fds[0]);
    close(fds[1]);
}

const struct test_case test_cases[] = {
    CASE(P33_T12_later_writes_are_joined_and_the_size_counts_all),
    CASE(P33_T10_a_slow_reader_gets_each_byte_once),
    CASE(P34_close_waits_for_what_the_kernel_would_not_take),
    CASE(P34_close_after_a_write_sends_it),
    CASE(P34_connection_lost_comes_once_when_everything_ends_it),
    CASE(P35_G7_memory_is_released_once_when_the_last_byte_is_the_kernels),
    CASE(P35_abort_keeps_the_memory_until_the_kernel_is_done),
    CASE(P35_closing_the_loop_keeps_the_memory_until_the_kernel_is_done),
    CASE(P33_P35_a_queue_of_many_pieces_is_sent_in_order),
    CASE(P33_T12_a_write_of_more_than_4_gib_is_not_cut_short),
    CASE(T10_what_was_written_is_the_kernels_when_the_run_ends),
    CASE(T10_the_last_phase_of_a_run_is_no_exception),
    CASE(T10_a_write_after_the_run_arrives_with_the_next_at_the_latest),
    CASE(P37_accepting_goes_on_after_each_connection),
    CASE(P37_closing_the_server_cancels_the_accept_in_silence),
    CASE(P35_L15_a_loop_closes_with_everything_in_flight),
    TEST_END,
};
