/* backends: select poll epoll io_uring sim */
/* The calls that make transports of descriptors: contract S49, T40, T41, G29, R7. */
#include "tests/contract/pipes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static pipes_call *const calls[] = {eddy_connect_read_pipe, eddy_connect_write_pipe,
                                    eddy_connect_terminal};

static bool begin(struct stage *s)
{
    stage_init(s);
    if (test_is_sim())
        return false;
    pipes_begin(s);
    return true;
}

/* Refused with the code and a sentence that has the fragment, and still the caller's. */
static void check_refused(struct stage *s, pipes_call *call, int fd, int code, const char *fragment)
{
    struct eddy_error e = {0};
    struct actor a;
    actor_init(&a, s);
    CHECK_INT(pipes_connect_opts(&a, call, EDDY_PIPE(.fd = fd, .error = &e), true), code);
    CHECK_INT(e.code, code);
    if (!strstr(e.text, fragment))
        FAIL("\"%s\" does not say \"%s\"", e.text, fragment);
    CHECK(!eddy_protocol_is_attached(&a.own.base));
    CHECK_INT(s->client.count[ON_FAILED], 0);
}

static void check_still_ours(int fd)
{
    CHECK(fcntl(fd, F_GETFD) >= 0);
    CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    close(fd);
}

static void S49_T40_files_and_the_like_are_refused(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    for (int i = 0; i < 3; i++) {
        FILE *file = tmpfile();
        REQUIRE(file != NULL);
        check_refused(&s, calls[i], fileno(file), -EINVAL, "no pipe, socket or character device");
        CHECK_INT(fcntl(fileno(file), F_GETFL) & O_NONBLOCK, 0);
        fclose(file);
        int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check_refused(&s, calls[i], fd, -EINVAL, "no pipe, socket or character device");
        check_still_ours(fd);
        fd = eventfd(0, EFD_CLOEXEC);
        check_refused(&s, calls[i], fd, -EINVAL, "no pipe, socket or character device");
        check_still_ours(fd);
        check_refused(&s, calls[i], fd, -EBADF, "not open");
        check_refused(&s, calls[i], -1, -EBADF, "not open");
    }
    stage_close(&s);
}

static void S49_T40_the_wrong_direction_is_refused(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    check_refused(&s, eddy_connect_read_pipe, fds[1], -EINVAL, "not open for that direction");
    check_refused(&s, eddy_connect_write_pipe, fds[0], -EINVAL, "not open for that direction");
    check_refused(&s, eddy_connect_terminal, fds[0], -EINVAL, "one direction");
    check_still_ours(fds[0]);
    check_still_ours(fds[1]);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    check_refused(&s, eddy_connect_terminal, fd, -EINVAL, "not open for that direction");
    check_refused(&s, eddy_connect_write_pipe, fd, -EINVAL, "not open for that direction");
    check_still_ours(fd);
    stage_close(&s);
}

static void T40_sockets_must_be_connected_streams(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    for (int i = 0; i < 3; i++) {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) == 0);
        check_refused(&s, calls[i], fds[0], -EINVAL, "no stream");
        check_still_ours(fds[0]);
        check_still_ours(fds[1]);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check_refused(&s, calls[i], fd, -EINVAL, "not connected");
        check_still_ours(fd);
    }
    stage_close(&s);
}

static void G4_options_and_protocols_are_checked_first(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    struct eddy_error e = {0};
    struct eddy_pipe_opts opts = *EDDY_PIPE(.fd = fds[0], .error = &e);
    eddy_protocol_init(&s.peer.own.base, &actor_class);
    CHECK_INT(eddy_connect_read_pipe(NULL, &s.peer.own.base, &opts, NULL), -EINVAL);
    CHECK_INT(eddy_connect_read_pipe(s.loop, &s.peer.own.base, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_connect_read_pipe(s.loop, NULL, &opts, NULL), -EINVAL);
    opts.abi_size = 0;
    CHECK_INT(eddy_connect_read_pipe(s.loop, &s.peer.own.base, &opts, NULL), -EINVAL);
    struct {
        struct eddy_pipe_opts opts;
        int later;
    } longer = {*EDDY_PIPE(.fd = fds[0]), 1};
    longer.opts.abi_size = sizeof longer;
    CHECK_INT(eddy_connect_read_pipe(s.loop, &s.peer.own.base, &longer.opts, NULL), -E2BIG);
    opts = *EDDY_PIPE(.fd = fds[0], .idle_timeout = -5, .error = &e);
    CHECK_INT(eddy_connect_read_pipe(s.loop, &s.peer.own.base, &opts, NULL), -EINVAL);
    CHECK(strstr(e.text, "time-outs") != NULL);
    opts = *EDDY_PIPE(.fd = fds[1], .write_low = 5, .write_high = 4);
    CHECK_INT(eddy_connect_write_pipe(s.loop, &s.peer.own.base, &opts, NULL), -EINVAL);
    opts = *EDDY_PIPE(.fd = fds[1], .idle_timeout = EDDY_SEC(1), .error = &e);
    CHECK_INT(eddy_connect_write_pipe(s.loop, &s.peer.own.base, &opts, NULL), -EINVAL);
    CHECK(strstr(e.text, "idle_timeout") != NULL);
    struct eddy_protocol blank = {0};
    opts = *EDDY_PIPE(.fd = fds[0]);
    CHECK_INT(eddy_connect_read_pipe(s.loop, &blank, &opts, NULL), -EINVAL);
    check_still_ours(fds[0]);
    check_still_ours(fds[1]);
    stage_close(&s);
}

static void G21_who_only_writes_needs_no_data_received(void)
{
    static const struct eddy_protocol_class deaf = {
        EDDY_STATELESS_PROTOCOL_CLASS("deaf"),
    };
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2], more[2];
    char got[8];
    pipes_make(fds);
    pipes_make(more);
    struct eddy_protocol p, q;
    eddy_protocol_init(&p, &deaf);
    eddy_protocol_init(&q, &deaf);
    CHECK_INT(eddy_connect_read_pipe(s.loop, &p, EDDY_PIPE(.fd = fds[0]), NULL), -EINVAL);
    CHECK_INT(eddy_connect_write_pipe(s.loop, &p, EDDY_PIPE(.fd = fds[1]), NULL), 0);
    UNTIL(&s, p.transport != NULL);
    CHECK_INT(eddy_transport_write(p.transport, "on", 2), 0);
    CHECK_INT(read(fds[0], got, sizeof got), 2);
    /* ... and so a switch of protocols is checked. */
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, more[0]) == 0);
    UNTIL(&s, s.peer.done);
    CHECK_INT(eddy_transport_set_protocol(s.peer.t, &q), -EINVAL);
    CHECK_INT(eddy_transport_set_protocol(p.transport, &q), 0);
    CHECK(q.transport != NULL);
    UNTIL(&s, !eddy_protocol_is_attached(&p));
    struct eddy_protocol_class old = deaf;
    old.abi_size--;
    eddy_protocol_init(&p, &old);
    CHECK_INT(eddy_connect_write_pipe(s.loop, &p, EDDY_PIPE(.fd = more[1]), NULL), -EINVAL);
    p.cls = NULL;
    CHECK_INT(eddy_connect_write_pipe(s.loop, &p, EDDY_PIPE(.fd = more[1]), NULL), -EINVAL);
    eddy_transport_close(q.transport);
    UNTIL(&s, !eddy_protocol_is_attached(&q));
    close(fds[0]);
    close(more[1]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void G29_a_protocol_that_is_attached_already(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2], more[2];
    pipes_make(fds);
    pipes_make(more);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    struct eddy_error e = {0};
    CHECK_INT(eddy_connect_read_pipe(s.loop, &s.peer.own.base,
                                     EDDY_PIPE(.fd = more[0], .error = &e), NULL),
              -EINVAL);
    CHECK(strstr(e.text, "attached already") != NULL);
    check_still_ours(more[0]);
    check_still_ours(more[1]);
    check_refused(&s, eddy_connect_read_pipe, fds[0], EDDY_EFD_IN_USE, "in use");
    close(fds[1]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void T41_the_descriptor_becomes_non_blocking_and_close_on_exec(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    pipes_open_over(&s, fds[0], fds[1]);
    CHECK_INT(eddy_transport_fd(s.peer.t), fds[0]); /* T3 */
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    CHECK(fcntl(fds[0], F_GETFD) < 0 && fcntl(fds[1], F_GETFD) < 0);
    stage_close(&s);
}

/* Who has the same open file from us, or we from him: a shell and its children. */
static void T41_others_with_the_same_open_pipe_go_on_blocking(void)
{
#ifdef __linux__
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    int others[2] = {fcntl(fds[0], F_DUPFD_CLOEXEC, 0), fcntl(fds[1], F_DUPFD_CLOEXEC, 0)};
    pipes_open_over(&s, fds[0], fds[1]);
    for (int i = 0; i < 2; i++)
        check_still_ours(others[i]);
    /* They were the same pipe, and nobody else has it now. */
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM RET DR(1) ER CL(0)");
    stage_close(&s);
#endif
}

static void R7_S49_cancelling_before_it_is_made(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    CHECK(eddy_future_cancel(s.peer.future, NULL));
    CHECK_INT(s.peer.count[ON_FAILED], 0);
    UNTIL(&s, s.peer.count[ON_FINI] == 1 && s.peer.done);
    CHECK_TRACE(s.peer.trace, "CF(ECANCELED) RET(ECANCELED)");
    CHECK_INT(s.peer.count[ON_MADE], 0);
    UNTIL(&s, fcntl(fds[0], F_GETFD) < 0);
    close(fds[1]);
    stage_close(&s);
}

static void R7_protocol_abort_before_it_is_made(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
    eddy_protocol_abort(&s.client.own.base, EDDY_ERROR(-EPROTO, "changed my mind"));
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    CHECK_TRACE(s.client.trace, "CF(EPROTO) RET(EPROTO)");
    CHECK_STR(s.client.error.text, "changed my mind");
    close(fds[0]);
    stage_close(&s);
}

static void G15_detaching_before_and_after(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int fds[2];
    pipes_make(fds);
    REQUIRE(pipes_connect_opts(&s.peer, eddy_connect_read_pipe, EDDY_PIPE(.fd = fds[0]), false) ==
            0);
    actor_detach(&s.peer);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(&s, fcntl(fds[0], F_GETFD) < 0);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "");
    stage_close(&s);

    begin(&s);
    pipes_make(fds);
    pipes_open_over(&s, fds[0], fds[1]);
    CHECK_INT(eddy_transport_write(s.client.t, "last words", 10), 0);
    actor_detach(&s.client);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, 10);
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

/* /dev/null is always ready, which epoll does not say: it refuses. */
static void T40_devices_that_cannot_be_waited_for(void)
{
    struct stage s;
    if (!begin(&s))
        return;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, null) == 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM RET ER CL(0)");
    stage_close(&s);

    begin(&s);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe,
                          open("/dev/null", O_WRONLY | O_CLOEXEC)) == 0);
    UNTIL(&s, s.client.done);
    s.client.out_key = 1;
    CHECK_INT(actor_write(&s.client, 100000), 0);
    test_run_steps(s.loop, 5);
    CHECK(stage_is_quiet(&s)); /* T43: devices are not watched */
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void pause_after_three(struct actor *a)
{
    if (a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED] == 3)
        eddy_transport_pause_reading(a->t);
}

static void T27_R18_reading_without_an_end_can_be_paused(void)
{
    for (int buffered = 0; buffered < 2; buffered++) {
        struct stage s;
        if (!begin(&s))
            return;
        struct actor *a = &s.client;
        if (buffered)
            s.client_class = &actor_buffered_class;
        a->on[buffered ? ON_BUFFER_UPDATED : ON_DATA] = pause_after_three;
        REQUIRE(pipes_connect(a, eddy_connect_read_pipe, open("/dev/zero", O_RDONLY | O_CLOEXEC)) ==
                0);
        UNTIL(&s, a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED] == 3);
        test_run_steps(s.loop, 5);
        CHECK(stage_is_quiet(&s));
        CHECK_INT(a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED], 3);
        eddy_transport_resume_reading(a->t);
        UNTIL(&s, a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED] > 6);
        eddy_transport_close(a->t);
        int before = a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED];
        UNTIL(&s, a->count[ON_LOST] == 1);
        CHECK_INT(a->count[ON_DATA] + a->count[ON_BUFFER_UPDATED], before);
        CHECK_INT(a->count[ON_EOF], 0);
        stage_close(&s);
    }
}

static void G4_no_transport_is_a_closed_one(void)
{
    struct stage s;
    stage_init(&s);
    CHECK_INT(eddy_transport_set_protocol(NULL, &s.client.own.base), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_write_buffer_limits(NULL, 1, 2), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_write_max(NULL, 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_idle_timeout(NULL, 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_write_timeout(NULL, 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_linger(NULL, 1), EDDY_ECLOSED);
    CHECK(!eddy_transport_can_write_eof(NULL));
    CHECK(!eddy_transport_is_writing_paused(NULL));
    CHECK_INT(eddy_transport_get_write_buffer_size(NULL), 0);
}

static void G24_a_simulated_loop_knows_no_pipes(void)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    if (!test_is_sim())
        return;
    REQUIRE(test_loop_new(&s.loop) == 0);
    pipes_make(fds);
    check_refused(&s, eddy_connect_read_pipe, fds[0], EDDY_ENOT_SUPPORTED, "no pipes");
    check_still_ours(fds[0]);
    check_still_ours(fds[1]);
    test_loop_free(s.loop);
}

const struct test_case test_cases[] = {
    CASE(S49_T40_files_and_the_like_are_refused),
    CASE(S49_T40_the_wrong_direction_is_refused),
    CASE(T40_sockets_must_be_connected_streams),
    CASE(G4_options_and_protocols_are_checked_first),
    CASE(G21_who_only_writes_needs_no_data_received),
    CASE(G29_a_protocol_that_is_attached_already),
    CASE(T41_the_descriptor_becomes_non_blocking_and_close_on_exec),
    CASE(T41_others_with_the_same_open_pipe_go_on_blocking),
    CASE(R7_S49_cancelling_before_it_is_made),
    CASE(R7_protocol_abort_before_it_is_made),
    CASE(G15_detaching_before_and_after),
    CASE(T40_devices_that_cannot_be_waited_for),
    CASE(T27_R18_reading_without_an_end_can_be_paused),
    CASE(G4_no_transport_is_a_closed_one),
    CASE(G24_a_simulated_loop_knows_no_pipes),
    {NULL, NULL},
};
