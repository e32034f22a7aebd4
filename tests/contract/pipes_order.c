/* backends: select poll epoll io_uring */
/* The order of a pipe's callbacks, and its ends: contract R4, T42 to T45, E23 to E25, L16. */
#include "tests/contract/pipes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* As the table of worked traces has them: without futures. */
static void open_bare(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    pipes_make(fds);
    REQUIRE(pipes_connect_opts(&s->peer, eddy_connect_read_pipe, EDDY_PIPE(.fd = fds[0]), false) ==
            0);
    REQUIRE(pipes_connect_opts(&s->client, eddy_connect_write_pipe, EDDY_PIPE(.fd = fds[1]),
                               false) == 0);
    UNTIL(s, s->client.count[ON_MADE] == 1 && s->peer.count[ON_MADE] == 1);
}

static void E23_R4_T42_T44_write_three_and_write_eof(void)
{
    struct stage s;
    stage_init(&s);
    open_bare(&s);
    CHECK(eddy_transport_can_write_eof(s.client.t));
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    CHECK(eddy_transport_is_closing(s.client.t));
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.client.trace, "CM CL(0)");
    CHECK_TRACE(s.peer.trace, "CM DR(3) ER CL(0)");
    stage_close(&s);
}

static void E24_T43_the_reader_closes_and_the_writer_is_idle(void)
{
    struct stage s;
    stage_init(&s);
    open_bare(&s);
    eddy_transport_close(s.peer.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    CHECK_TRACE(s.client.trace, "CM CL(0)");
    stage_close(&s);
}

static void E25_T43_the_reader_closes_and_the_writer_has_unsent_bytes(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    open_bare(&s);
    actor_fill(&s.client);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    eddy_transport_close(s.peer.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    CHECK_TRACE(s.client.trace, "CM PW CL(EPIPE)");
    stage_close(&s);
}

static void R10_connection_made_comes_from_the_loop_before_the_future(void)
{
    struct stage s;
    stage_init(&s);
    int fds[2];
    pipes_begin(&s);
    pipes_make(fds);
    pipes_put(fds[1], "early", 5);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    CHECK_INT(s.peer.count[ON_MADE], 0);
    CHECK(!s.peer.done);
    close(fds[1]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, 5);
    const char *text = trace_text(&s.peer.trace);
    CHECK(strncmp(text, "CM RET", 6) == 0 || strncmp(text, "CM DR(5) RET", 12) == 0);
    CHECK_INT(trace_count(&s.peer.trace, "ER"), 1);
    stage_close(&s);
}

/* The reader is gone before the writer's connection_made. */
static void R10_T43_a_reader_that_was_never_there(void)
{
    struct stage s;
    stage_init(&s);
    int fds[2];
    pipes_begin(&s);
    pipes_make(fds);
    close(fds[0]);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void R13_R14_close_and_abort_in_connection_made(void)
{
    static void (*const hooks[])(struct actor *) = {do_close, do_abort, do_abort_eproto};
    for (int i = 0; i < 6; i++) {
        struct stage s;
        stage_init(&s);
        struct actor *a = i < 3 ? &s.client : &s.peer;
        a->on[ON_MADE] = hooks[i % 3];
        int fds[2];
        pipes_begin(&s);
        pipes_make(fds);
        pipes_put(fds[1], "x", 1);
        REQUIRE(pipes_connect(a, i < 3 ? eddy_connect_write_pipe : eddy_connect_read_pipe,
                              fds[i < 3]) == 0);
        UNTIL(&s, a->count[ON_LOST] == 1 && a->done);
        CHECK_INT(a->status, 0);
        CHECK_INT(a->code, i % 3 == 2 ? -EPROTO : 0);
        CHECK_INT(a->count[ON_DATA], 0);
        close(fds[i >= 3]);
        stage_close(&s);
    }
}

static void keep_open(struct actor *a)
{
    a->keep_open = true;
}

static void R21_T42_the_answer_of_eof_received_is_ignored(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_EOF] = keep_open;
    pipes_open(&s);
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM RET ER CL(0)");
    stage_close(&s);
}

static void R23_all_bytes_come_before_the_end_of_file(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    pipes_open(&s);
    CHECK_INT(actor_write(&s.client, 1000000), 0);
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    CHECK_INT(s.peer.received, 1000000);
    CHECK(s.peer.largest <= 256 * 1024);
    CHECK_TRACE(s.peer.trace, "CM RET DR+ ER CL(0)");
    stage_close(&s);
}

static void T4_R28_R29_closing_twice_and_aborting_then(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    pipes_open(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    CHECK(eddy_transport_is_closing(s.client.t));
    eddy_transport_close(s.client.t);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_transport_abort(s.client.t, EDDY_ERROR(-EPROTO, "enough"));
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(EPROTO)");
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void T5_E6_close_sends_what_is_buffered(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    pipes_open(&s);
    size_t sent = actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.client.count[ON_LOST], 0);
    eddy_transport_resume_reading(s.peer.t);
    pipes_until_both_lost(&s);
    CHECK_INT(s.peer.received, sent);
    CHECK_TRACE(s.client.trace, "CM RET PW RW CL(0)");
    CHECK_TRACE(s.peer.trace, "CM RET DR+ ER CL(0)");
    stage_close(&s);
}

static void R27_T43_the_reader_leaves_while_the_writer_flushes(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.client.count[ON_LOST], 0);
    close(fd);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(EPIPE)");
    stage_close(&s);
}

static void T6_abort_drops_what_is_buffered(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    size_t at = 0, sent = actor_fill(&s.client), waits;
    waits = eddy_transport_get_write_buffer_size(s.client.t);
    CHECK(waits > 0);
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(0)");
    pipes_take(fd, 0, &at);
    CHECK_INT(at, sent - waits);
    UNTIL(&s, pipes_take(fd, 0, &at) == -1);
    close(fd);
    stage_close(&s);
}

/* The bytes are corked when the reader goes, inside the same callback. */
static void write_and_lose_the_reader(struct stage *s)
{
    CHECK_INT(eddy_transport_write(s->client.t, "lost", 4), 0);
    eddy_transport_abort(s->peer.t, NULL);
}

static void T45_a_write_that_finds_nobody_ends_in_epipe(void)
{
    struct stage s;
    stage_init(&s);
    int fd = pipes_open_writer(&s);
    close(fd);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0); /* T16 */
    CHECK_INT(s.client.count[ON_LOST], 0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(EPIPE)");
    CHECK(strstr(s.client.error.text, "write") != NULL);
    CHECK_INT(s.problems.count, 0);
    stage_close(&s);
}

static void T43_bytes_written_as_the_reader_goes(void)
{
    struct stage s;
    stage_init(&s);
    pipes_open(&s);
    stage_inside(&s, write_and_lose_the_reader);
    pipes_until_both_lost(&s);
    /* The kernel had taken them before its last reader was closed. */
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void T43_a_half_read_pipe_that_we_close(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = do_close;
    pipes_open(&s);
    CHECK_INT(actor_write(&s.client, 200000), 0);
    pipes_until_both_lost(&s);
    CHECK_INT(s.peer.count[ON_DATA], 1);
    CHECK_INT(s.peer.count[ON_EOF], 0);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(EPIPE)");
    stage_close(&s);
}

static void T43_the_reader_goes_while_writing_is_paused_on_a_named_fifo(void)
{
    char dir[] = "/tmp/eddy-pipes-XXXXXX", path[64];
    struct stage s;
    stage_init(&s);
    pipes_begin(&s);
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/fifo", dir);
    REQUIRE(mkfifo(path, 0600) == 0);
    int reading = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int writing = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, writing) == 0);
    UNTIL(&s, s.client.done);
    actor_fill(&s.client);
    close(reading);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(EPIPE)");
    unlink(path);
    rmdir(dir);
    stage_close(&s);
}

/* Its own reader, it has always one; what is in it is not read away. */
static void T43_a_fifo_open_both_ways_is_not_watched(void)
{
    char dir[] = "/tmp/eddy-pipes-XXXXXX", path[64], got[8];
    struct stage s;
    stage_init(&s);
    pipes_begin(&s);
    REQUIRE(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/fifo", dir);
    REQUIRE(mkfifo(path, 0600) == 0);
    int both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int other = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, both) == 0);
    UNTIL(&s, s.client.done);
    CHECK_INT(eddy_transport_write(s.client.t, "mine", 4), 0);
    test_run_steps(s.loop, 5);
    CHECK(stage_is_quiet(&s));
    CHECK_INT(read(other, got, sizeof got), 4);
    close(other);
    test_run_steps(s.loop, 5);
    CHECK_INT(s.client.count[ON_LOST], 0);
    unlink(path);
    rmdir(dir);
    stage_close(&s);
}

/* ---- sockets ---- */

static int open_socket_writer(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    test_socketpair(fds);
    REQUIRE(pipes_connect(&s->client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(s, s->client.done);
    return fds[0];
}

static void T43_what_a_sockets_peer_sends_is_thrown_away(void)
{
    struct stage s;
    uint8_t bytes[100000] = {0};
    size_t at = 0;
    stage_init(&s);
    stage_keyed(&s);
    int fd = open_socket_writer(&s);
    CHECK(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0);
    UNTIL(&s, raw_unread(&s, eddy_transport_fd(s.client.t)) == 0);
    CHECK_INT(actor_write(&s.client, 1000), 0);
    UNTIL(&s, pipes_take(fd, 1, &at) >= 0 && at == 1000);
    CHECK_TRACE(s.client.trace, "CM RET");
    close(fd);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void T43_the_same_for_a_buffered_protocol(void)
{
    struct stage s;
    uint8_t bytes[10000] = {0};
    stage_init(&s);
    s.client_class = &actor_buffered_class;
    int fd = open_socket_writer(&s);
    CHECK(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0);
    UNTIL(&s, raw_unread(&s, eddy_transport_fd(s.client.t)) == 0);
    close(fd);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void T43_a_sockets_reader_leaves_while_bytes_wait(void)
{
    struct stage s;
    stage_init(&s);
    int fd = open_socket_writer(&s);
    actor_fill(&s.client);
    close(fd);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW CL(EPIPE)");
    stage_close(&s);
}

static void T42_a_socket_as_a_read_pipe(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    pipes_begin(&s);
    test_socketpair(fds);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    UNTIL(&s, s.peer.done);
    CHECK_INT(eddy_transport_write(s.peer.t, "x", 1), EDDY_ENOT_SUPPORTED);
    pipes_put(fds[1], "hello", 5);
    UNTIL(&s, s.peer.received == 5);
    close(fds[1]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(5) ER CL(0)");
    stage_close(&s);
}

/* Opened anew to be read without blocking, a FIFO would not hear of an end that has been. */
static void T42_a_named_fifo_whose_writer_has_gone_before(void)
{
    struct stage s;
    char folder[] = "/tmp/eddy-XXXXXX", path[64];
    stage_init(&s);
    pipes_begin(&s);
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/fifo", folder);
    REQUIRE(mkfifo(path, 0600) == 0);
    int both = open(path, O_RDWR | O_CLOEXEC);
    int reading = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(both >= 0 && reading >= 0);
    pipes_put(both, "last", 4);
    close(both);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, reading) == 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET DR(4) ER CL(0)");
    unlink(path);
    rmdir(folder);
    stage_close(&s);
}

/* What is written to a socket survives that its peer has sent something, which nobody reads. */
static void T5_close_over_what_a_tcp_peer_has_sent(void)
{
    static char big[100000];
    struct stage s;
    size_t got = 0;
    ssize_t n;
    stage_init(&s);
    pipes_begin(&s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int small = 4096;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    REQUIRE(bind(listener, (struct sockaddr *)&a, len) == 0 && listen(listener, 1) == 0);
    REQUIRE(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(connect(ours, (struct sockaddr *)&a, len) == 0);
    int theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    close(listener);
    REQUIRE(theirs >= 0);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, ours) == 0);
    UNTIL(&s, s.client.done);
    CHECK_INT(eddy_transport_write(s.client.t, big, sizeof big), 0);
    CHECK_INT(send(theirs, "unread", 6, 0), 6);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    CHECK(eddy_transport_is_closing(s.client.t)); /* T44 */
    UNTIL(&s, ((n = recv(theirs, big, sizeof big, 0)) > 0 ? got += (size_t)n : got,
               n == 0 || (n < 0 && errno != EAGAIN)));
    CHECK_INT(n, 0);
    CHECK_INT(got, sizeof big);
    close(theirs);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, 0);
    stage_close(&s);
}

/* ---- what a one-way stream cannot do ---- */

static void G24_calls_of_the_other_direction(void)
{
    struct stage s;
    struct eddy_addr a;
    stage_init(&s);
    pipes_open(&s);
    struct iovec one = {(char[]){"x"}, 1};
    CHECK_INT(eddy_transport_write(s.peer.t, "x", 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_writev(s.peer.t, &one, 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_printf(s.peer.t, "%d", 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_write_eof(s.peer.t), EDDY_ENOT_SUPPORTED);
    CHECK(!eddy_transport_can_write_eof(s.peer.t));
    CHECK_INT(eddy_transport_get_write_buffer_size(s.peer.t), 0);
    eddy_transport_flush(s.peer.t);
    CHECK(eddy_transport_is_reading(s.peer.t));
    CHECK(!eddy_transport_is_reading(s.client.t));
    eddy_transport_pause_reading(s.client.t);
    eddy_transport_resume_reading(s.client.t);
    CHECK(!eddy_transport_is_reading(s.client.t));
    CHECK_INT(eddy_transport_unread(s.client.t, "x", 1), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_transport_sockname(s.client.t, &a), EDDY_ENOT_SUPPORTED);
    CHECK(eddy_transport_fd(s.client.t) >= 0); /* T3 */
    CHECK_STR(eddy_transport_kind(s.client.t), "write pipe");
    CHECK_STR(eddy_transport_kind(s.peer.t), "read pipe");
    /* A pause of reading does not make the writer deaf for its reader's end. */
    eddy_transport_close(s.peer.t);
    pipes_until_both_lost(&s);
    stage_close(&s);
}

/* ---- T33 ---- */

static int read_error;

struct failing_sys {
    struct eddy_sys sys;
    struct eddy_sys_class cls;
};

static ssize_t failing_read(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    (void)sys;
    return read_error ? read_error : eddy_sys_posix()->cls->read(eddy_sys_posix(), fd, buf, len);
}

static void lose_by_read_error(struct stage *s, int error)
{
    static struct failing_sys f;
    f.cls = *eddy_sys_posix()->cls;
    f.cls.read = failing_read;
    f.sys.cls = &f.cls;
    read_error = 0;
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .sys = &f.sys,
                                    .on_problem = test_on_problem, .user = &s->problems),
                          &s->loop) == 0);
    s->sys = eddy_sys_posix();
    s->descriptors = test_open_descriptors();
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect(&s->peer, eddy_connect_read_pipe, fds[0]) == 0);
    UNTIL(s, s->peer.done);
    read_error = error;
    pipes_put(fds[1], "x", 1);
    UNTIL(s, s->peer.count[ON_LOST] == 1);
    close(fds[1]);
    CHECK_INT(s->peer.code, error);
    CHECK_INT(s->peer.count[ON_EOF], 0);
}

static void T33_a_read_error_is_also_reported(void)
{
    struct stage s;
    stage_init(&s);
    lose_by_read_error(&s, -ENOBUFS);
    CHECK_INT(s.problems.count, 1);
    CHECK_INT(s.problems.code, -ENOBUFS);
    CHECK(s.problems.protocol == &s.peer.own.base);
    s.expected_problems = 1;
    CHECK_TRACE(s.peer.trace, "CM RET CL(ENOBUFS)");
    stage_close(&s);
}

static void T33_T46_eio_is_not(void)
{
    struct stage s;
    stage_init(&s);
    lose_by_read_error(&s, -EIO);
    CHECK_INT(s.problems.count, 0);
    CHECK_TRACE(s.peer.trace, "CM RET CL(EIO)");
    stage_close(&s);
}

/* ---- the loop's end ---- */

static void L16_loop_close_with_open_pipes(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    pipes_open(&s);
    actor_fill(&s.client);
    int fds[2], more[2];
    pipes_make(fds);
    struct actor made;
    stage_add(&s, &made, false);
    REQUIRE(pipes_connect(&made, eddy_connect_read_pipe, fds[0]) == 0); /* pending yet */
    pipes_make(more);
    test_expect_log("still open when its loop closes");
    trace_clear(&s.client.trace);
    trace_clear(&s.peer.trace);
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_TRACE(s.client.trace, "CL(ELOOP_CLOSED)");
    CHECK_TRACE(s.peer.trace, "CL(ELOOP_CLOSED)");
    CHECK_INT(made.count[ON_FAILED], 1);
    CHECK_INT(made.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(s.client.count[ON_FINI] + s.peer.count[ON_FINI] + made.count[ON_FINI], 3);
    struct actor late;
    actor_init(&late, &s);
    CHECK_INT(pipes_connect(&late, eddy_connect_read_pipe, more[0]), EDDY_ELOOP_CLOSED);
    CHECK(fcntl(more[0], F_GETFD) >= 0); /* G29 */
    close(more[0]);
    close(more[1]);
    close(fds[1]);
    eddy_future_unref(made.future);
    made.future = NULL;
    eddy_loop_unref(s.loop);
}

const struct test_case test_cases[] = {
    CASE(E23_R4_T42_T44_write_three_and_write_eof),
    CASE(E24_T43_the_reader_closes_and_the_writer_is_idle),
    CASE(E25_T43_the_reader_closes_and_the_writer_has_unsent_bytes),
    CASE(R10_connection_made_comes_from_the_loop_before_the_future),
    CASE(R10_T43_a_reader_that_was_never_there),
    CASE(R13_R14_close_and_abort_in_connection_made),
    CASE(R21_T42_the_answer_of_eof_received_is_ignored),
    CASE(R23_all_bytes_come_before_the_end_of_file),
    CASE(T4_R28_R29_closing_twice_and_aborting_then),
    CASE(T5_E6_close_sends_what_is_buffered),
    CASE(R27_T43_the_reader_leaves_while_the_writer_flushes),
    CASE(T6_abort_drops_what_is_buffered),
    CASE(T45_a_write_that_finds_nobody_ends_in_epipe),
    CASE(T43_bytes_written_as_the_reader_goes),
    CASE(T43_a_half_read_pipe_that_we_close),
    CASE(T43_the_reader_goes_while_writing_is_paused_on_a_named_fifo),
    CASE(T43_a_fifo_open_both_ways_is_not_watched),
    CASE(T43_what_a_sockets_peer_sends_is_thrown_away),
    CASE(T43_the_same_for_a_buffered_protocol),
    CASE(T43_a_sockets_reader_leaves_while_bytes_wait),
    CASE(T42_a_socket_as_a_read_pipe),
    CASE(T42_a_named_fifo_whose_writer_has_gone_before),
    CASE(T5_close_over_what_a_tcp_peer_has_sent),
    CASE(G24_calls_of_the_other_direction),
    CASE(T33_a_read_error_is_also_reported),
    CASE(T33_T46_eio_is_not),
    CASE(L16_loop_close_with_open_pipes),
    {NULL, NULL},
};
