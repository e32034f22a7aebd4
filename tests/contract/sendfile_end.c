/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/* Files that are not sent to their end, or cannot be: contract L92, L94, L97, T5, T6, R26, L16. */
#include "tests/contract/sendfile.h"
#include <eddy/unix.h>
#include <string.h>

/* ---- cancelling ---- */

static void L92_cancelled_midway_it_ends_there_and_what_is_behind_it_follows(void)
{
    struct scene c;
    uint8_t got[1000];
    stage_init(&c.s);
    scene_open(&c, large());
    struct actor *a = &c.s.client;
    CHECK_INT(eddy_transport_sendfile(a->t, c.file, NULL, &c.f), 0);
    stage_settle(&c.s);
    CHECK_INT(raw_recv(&c.s, c.fd, got, sizeof got), sizeof got);
    CHECK(stream_matches(got, sizeof got, 0, 1));
    CHECK(eddy_future_cancel(c.f, NULL));
    a->sent = (size_t)position(c.file);
    CHECK(a->sent >= sizeof got);
    CHECK(a->sent < large());
    CHECK(eddy_transport_is_reading(a->t));
    close(c.file); /* nobody needs it any more */
    c.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_INT(actor_write(a, 30000), 0);
    eddy_transport_close(a->t);
    size_t rest = 0;
    static uint8_t all[32 << 20];
    for (eddy_nsec patience = stage_patience(&c.s);;) {
        ssize_t r = c.s.sys->cls->recv(c.s.sys, c.fd, all + rest, sizeof all - rest);
        if (r == 0 || (r < 0 && r != -EAGAIN))
            break;
        if (r == -EAGAIN && !stage_step(&c.s, patience))
            break;
        rest += r > 0 ? (size_t)r : 0;
    }
    CHECK_INT(rest + sizeof got, a->sent);
    CHECK(stream_matches(all, rest, sizeof got, 1));
    UNTIL(&c.s, a->count[ON_LOST] == 1);
    CHECK_INT(a->code, 0);
    CHECK_INT(outcome(&c.f), -ECANCELED);
    scene_close(&c);
}

static void L92_cancelled_before_its_turn_nothing_of_it_is_sent(void)
{
    struct scene c;
    struct eddy_future *first;
    stage_init(&c.s);
    scene_open(&c, large() + 1000);
    struct actor *a = &c.s.client;
    CHECK_INT(send_part(a, c.file, large(), &first), 0);
    CHECK_INT(actor_write(a, 10), 0);
    CHECK_INT(eddy_transport_sendfile(a->t, c.file, EDDY_SENDFILE(.offset = 77), &c.f), 0);
    CHECK(eddy_future_cancel(c.f, NULL));
    CHECK_INT(position(c.file), 77);
    CHECK_INT(actor_write(a, 10), 0);
    eddy_transport_close(a->t);
    check_all_arrives(&c);
    CHECK_INT(outcome(&first), (long long)large());
    CHECK_INT(outcome(&c.f), -ECANCELED);
    scene_close(&c);
}

/* The last in the queue of one that closes, ends its side, or just goes on. */
static void L92_T5_cancelled_with_nothing_behind_it(void)
{
    for (int way = 0; way < 3; way++) {
        struct scene c;
        size_t got;
        stage_init(&c.s);
        scene_open(&c, large());
        struct actor *a = &c.s.client;
        CHECK_INT(eddy_transport_sendfile(a->t, c.file, NULL, &c.f), 0);
        stage_settle(&c.s);
        if (way == 0)
            eddy_transport_close(a->t);
        else if (way == 1)
            CHECK_INT(eddy_transport_write_eof(a->t), 0);
        CHECK(eddy_future_cancel(c.f, NULL));
        a->sent = (size_t)position(c.file);
        if (way == 2) {
            CHECK_INT(actor_write(a, 1), 0);
            eddy_transport_close(a->t);
        }
        CHECK_INT(raw_drain(&c.s, c.fd, 1, &got), 0);
        CHECK_INT(got, a->sent);
        if (way == 1) {
            CHECK_INT(raw_send(&c.s, c.fd, "x", 1), 0);
            UNTIL(&c.s, a->received == 1);
        } else {
            UNTIL(&c.s, a->count[ON_LOST] == 1);
        }
        CHECK_INT(a->code, 0);
        CHECK_INT(outcome(&c.f), -ECANCELED);
        scene_close(&c);
    }
}

/* ---- the connection is lost ---- */

static void check_lost(struct scene *c, struct eddy_future *f[2], int code, int lost)
{
    UNTIL(&c->s, c->s.client.count[ON_LOST] == 1);
    CHECK_INT(c->s.client.code, lost);
    CHECK_INT(outcome(&f[0]), code);
    CHECK_INT(outcome(&f[1]), code);
    CHECK(position(c->file) < (long long)large());
}

static void begin_two(struct scene *c, struct eddy_future *f[2])
{
    stage_init(&c->s);
    scene_open(c, large());
    struct actor *a = &c->s.client;
    CHECK_INT(eddy_transport_sendfile(a->t, c->file, NULL, &f[0]), 0);
    CHECK_INT(actor_write(a, 10), 0);
    CHECK_INT(eddy_transport_sendfile(a->t, c->file, EDDY_SENDFILE(.offset = 5), &f[1]), 0);
    stage_settle(&c->s);
    CHECK(!eddy_future_is_done(f[0]));
}

static void L97_T6_aborted(void)
{
    struct scene c;
    struct eddy_future *f[2];
    begin_two(&c, f);
    eddy_transport_abort(c.s.client.t, NULL);
    CHECK(eddy_future_is_done(f[0]));
    CHECK_INT(position(c.file), 5);
    check_lost(&c, f, EDDY_ECLOSED, 0);
    scene_close(&c);
    begin_two(&c, f);
    eddy_transport_abort(c.s.client.t, EDDY_ERROR(-EPROTO, "the case says so"));
    CHECK_STR(eddy_future_error(f[0])->text, "the case says so");
    check_lost(&c, f, -EPROTO, -EPROTO);
    scene_close(&c);
}

static void L97_R26_the_peer_is_gone(void)
{
    struct scene c;
    struct eddy_future *f[2];
    begin_two(&c, f);
    raw_reset(&c.s, c.fd);
    c.fd = -1;
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    int code = c.s.client.code;
    CHECK(code == -EPIPE || code == -ECONNRESET);
    check_lost(&c, f, code, code);
    scene_close(&c);
}

/* Nobody waits for the outcome, and nobody is bothered with it. */
static void L97_the_peer_is_gone_without_a_future(void)
{
    struct scene c;
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), NULL), 0);
    CHECK_INT(send_part(&c.s.client, c.file, large(), NULL), 0);
    raw_reset(&c.s, c.fd);
    c.fd = -1;
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK(c.s.client.code < 0);
    scene_close(&c);
}

static void L16_the_loop_is_closed(void)
{
    struct scene c;
    struct eddy_future *f[2];
    begin_two(&c, f);
    test_expect_log("still open");
    CHECK_INT(eddy_loop_close(c.s.loop), 0);
    check_lost(&c, f, EDDY_ELOOP_CLOSED, EDDY_ELOOP_CLOSED);
    scene_close(&c);
}

/* Nobody need look at that. */
static void L16_the_loop_is_closed_and_the_future_dropped(void)
{
    struct scene c;
    struct eddy_future *f[2];
    begin_two(&c, f);
    test_expect_log("still open");
    CHECK_INT(eddy_loop_close(c.s.loop), 0);
    eddy_future_unref(f[0]);
    eddy_future_unref(f[1]);
    CHECK_INT(c.s.problems.count, 0);
    scene_close(&c);
}

/* Nobody looks at the future: that is reported, and the handler closes everything. */
static void abort_it(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    struct scene *c = user;
    (void)loop;
    CHECK_INT(problem->error->code, EDDY_ECLOSED);
    eddy_transport_abort(c->s.client.t, NULL);
    c->s.problems.count++;
}

static void L97_F10_an_outcome_that_nobody_looks_at_is_reported(void)
{
    struct scene c;
    struct eddy_future *f[2];
    begin_two(&c, f);
    eddy_future_unref(f[0]);
    eddy_future_unref(f[1]);
    eddy_loop_set_problem_handler(c.s.loop, abort_it, &c);
    eddy_transport_abort(c.s.client.t, NULL);
    CHECK_INT(c.s.problems.count, 2);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    eddy_loop_set_problem_handler(c.s.loop, test_on_problem, &c.s.problems);
    c.s.expected_problems = 2;
    scene_close(&c);
}

static void T5_a_peer_that_takes_nothing_is_given_up(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.connection_opts.write_timeout = EDDY_MSEC(80);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), &c.f), 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(c.s.client.code, -ETIMEDOUT);
    CHECK_INT(outcome(&c.f), -ETIMEDOUT);
    scene_close(&c);
}

/* Bytes taken count as progress, and while we send it is not the peer that is idle. */
static void T5_a_slow_peer_is_not(void)
{
    struct scene c;
    static uint8_t got[1 << 17];
    stage_init(&c.s);
    c.s.connection_opts.write_timeout = EDDY_MSEC(400);
    c.s.connection_opts.idle_timeout = EDDY_MSEC(400);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), &c.f), 0);
    eddy_nsec begin = eddy_loop_time(c.s.loop);
    for (size_t at = 0; at < large(); at += sizeof got) {
        CHECK_INT(raw_recv(&c.s, c.fd, got, sizeof got), sizeof got);
        CHECK(stream_matches(got, sizeof got, at, 1));
        if (eddy_loop_time(c.s.loop) - begin < EDDY_MSEC(800))
            stage_run_for(&c.s, EDDY_MSEC(test_is_sim() ? 100 : 10));
    }
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(outcome(&c.f), (long long)large());
    stage_settle(&c.s);
    CHECK_INT(c.s.client.count[ON_LOST], 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1); /* now it is */
    CHECK_INT(c.s.client.code, -ETIMEDOUT);
    scene_close(&c);
}

/* ---- files that do not do ---- */

/* The outcome of a whole file, or its code, with the connection still good; what came of it in
 * `text`. */
static long long try_file(struct scene *c, int file, bool no_fallback, char *text, size_t size)
{
    struct actor *a = &c->s.client;
    memset(text, 0, size);
    CHECK_INT(eddy_transport_sendfile(a->t, file, EDDY_SENDFILE(.no_fallback = no_fallback), &c->f),
              0);
    UNTIL(&c->s, eddy_future_is_done(c->f));
    long long n = outcome(&c->f);
    CHECK(!eddy_transport_is_closing(a->t));
    if (n > 0)
        CHECK_INT(raw_recv(&c->s, c->fd, text, (size_t)n), n);
    CHECK_INT(eddy_transport_write(a->t, "|", 1), 0);
    char end = 0;
    CHECK_INT(raw_recv(&c->s, c->fd, &end, 1), 1);
    CHECK_INT(end, '|');
    return n;
}

static void L94_what_the_system_cannot_send_is_copied_or_not(void)
{
    struct scene c;
    char text[4096];
    int ends[2];
    stage_init(&c.s);
    scene_open(&c, 1000);
    REQUIRE(pipe(ends) == 0);
    int proc = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    CHECK_INT(write(ends[1], "piped", 5), 5);
    CHECK_INT(try_file(&c, ends[0], true, text, sizeof text), EDDY_ESENDFILE_NA);
    close(ends[1]);
    CHECK_INT(try_file(&c, ends[0], false, text, sizeof text), 5);
    CHECK_STR(text, "piped");
    if (proc >= 0) {
        CHECK(try_file(&c, proc, false, text, sizeof text) > 0);
        CHECK(strstr(text, "sendfile_end") != NULL);
        close(proc);
    }
    long long n = try_file(&c, c.file, true, text, sizeof text);
    CHECK_INT(n, test_is_sim() ? EDDY_ESENDFILE_NA : 1000);
    close(ends[0]);
    scene_close(&c);
}

static void L94_an_error_of_the_file_leaves_the_connection_open(void)
{
    struct scene c;
    char text[64], name[] = "/tmp/eddy-sendfile-XXXXXX";
    int ends[2];
    stage_init(&c.s);
    scene_open(&c, 1000);
    int folder = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    int made = mkstemp(name), write_only = open(name, O_WRONLY | O_CLOEXEC);
    unlink(name);
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    CHECK_INT(try_file(&c, folder, false, text, sizeof text), -EISDIR);
    CHECK_INT(try_file(&c, folder, true, text, sizeof text), EDDY_ESENDFILE_NA);
    CHECK_INT(try_file(&c, write_only, false, text, sizeof text), -EBADF);
    CHECK_INT(try_file(&c, 9999, false, text, sizeof text), -EBADF);
    CHECK_INT(try_file(&c, ends[0], false, text, sizeof text), -EAGAIN);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, ends[0], EDDY_SENDFILE(.offset = 1), &c.f), 0);
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(outcome(&c.f), -ESPIPE);
    close(ends[0]);
    close(ends[1]);
    close(write_only);
    close(made);
    close(folder);
    scene_close(&c);
}

static void L94_an_error_of_the_file_that_nobody_waits_for_ends_the_connection(void)
{
    struct scene c;
    size_t got;
    stage_init(&c.s);
    scene_open(&c, 1000);
    int folder = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, folder, NULL, NULL), 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(c.s.client.code, -EISDIR);
    raw_drain(&c.s, c.fd, 1, &got);
    CHECK(got <= 100);
    close(folder);
    scene_close(&c);
}

/* ---- calls that fail ---- */

static int refusal(struct scene *c, const struct eddy_sendfile_opts *opts)
{
    struct eddy_future *f = NULL;
    int rc = eddy_transport_sendfile(c->s.client.t, c->file, opts, &f);
    CHECK(f == NULL);
    return rc;
}

static void G4_G8_arguments(void)
{
    struct scene c;
    struct eddy_error e = {.code = 0};
    struct {
        struct eddy_sendfile_opts opts;
        void *later;
    } longer = {.opts = {.abi_size = sizeof longer, .error = &e}, .later = &e};
    stage_init(&c.s);
    scene_open(&c, 10);
    CHECK_INT(refusal(&c, EDDY_SENDFILE(.offset = -1, .error = &e)), -EINVAL);
    CHECK_INT(e.code, -EINVAL);
    CHECK_INT(refusal(&c, EDDY_SENDFILE(.count = -1)), -EINVAL);
    CHECK_INT(refusal(&c, &(struct eddy_sendfile_opts){.abi_size = 1}), -EINVAL);
    CHECK_INT(refusal(&c, &longer.opts), -E2BIG);
    longer.later = NULL;
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, -1, &longer.opts, NULL), -EINVAL);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, &longer.opts, NULL), 0);
    scene_close(&c);
}

static void L97_T13_not_when_closing_nor_after_write_eof(void)
{
    struct scene c;
    struct eddy_error e = {.code = 0};
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(eddy_transport_sendfile(NULL, c.file, NULL, NULL), EDDY_EINVALID_STATE);
    CHECK_INT(send_part(&c.s.client, c.file, large(), NULL), 0);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    CHECK_INT(refusal(&c, EDDY_SENDFILE(.error = &e)), EDDY_EINVALID_STATE);
    CHECK_INT(e.code, EDDY_EINVALID_STATE);
    eddy_transport_close(c.s.client.t);
    CHECK_INT(refusal(&c, NULL), EDDY_EINVALID_STATE);
    eddy_transport_abort(c.s.client.t, NULL);
    CHECK_INT(refusal(&c, NULL), EDDY_EINVALID_STATE);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    scene_close(&c);
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), NULL), 0);
    eddy_transport_close(c.s.client.t);
    CHECK_INT(refusal(&c, NULL), EDDY_EINVALID_STATE);
    check_all_arrives(&c);
    scene_close(&c);
}

/* ---- unix sockets that pass descriptors only copy ---- */

static void L97_what_passes_descriptors_only_copies(void)
{
    struct stage s;
    struct eddy_future *f;
    int taken[4], unread = 0;
    if (!road_is_unix() || test_is_sim())
        return;
    stage_init(&s);
    s.max_fds = 4;
    stage_keyed(&s);
    int file = stream_file(large());
    stage_open(&s);
    struct actor *a = &s.client;
    a->out_key = s.peer.in_key = 1;
    CHECK_INT(eddy_transport_sendfile(a->t, file, EDDY_SENDFILE(.no_fallback = true), &f),
              EDDY_ENOT_SUPPORTED);
    uint8_t bytes[20];
    stream_bytes(bytes, sizeof bytes, 0, 1);
    CHECK_INT(eddy_transport_send_fds(a->t, bytes, 10, &file, 1), 0);
    a->sent = 10;
    CHECK_INT(send_part(a, file, large() - 20, &f), 0);
    CHECK_INT(eddy_transport_send_fds(a->t, bytes, 10, &file, 1), EDDY_EINVALID_STATE);
    UNTIL(&s, s.peer.received == a->sent);
    CHECK_INT(outcome(&f), (long long)large() - 20);
    stream_bytes(bytes, 10, a->sent, 1);
    CHECK_INT(eddy_transport_send_fds(a->t, bytes, 10, &file, 1), 0);
    a->sent += 10;
    UNTIL(&s, s.peer.received == a->sent);
    unread = (int)eddy_transport_take_fds(s.peer.t, taken, 4);
    CHECK_INT(unread, 2);
    while (unread > 0)
        close(taken[--unread]);
    stage_close(&s);
    close(file);
}

/* Nothing of it waits for the kernel, so nothing has to wait for room. */
static void T5_T57_a_file_that_was_cancelled_holds_nothing_up(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.connection_opts.linger = EDDY_OFF;
    c.s.connection_opts.write_timeout = EDDY_SEC(2);
    scene_open(&c, large());
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, NULL, &c.f), 0);
    stage_settle(&c.s);
    CHECK(!eddy_future_is_done(c.f));
    CHECK(eddy_future_cancel(c.f, NULL));
    CHECK_INT(outcome(&c.f), -ECANCELED);
    eddy_transport_close(c.s.client.t);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    /* What was copied does wait. */
    CHECK_INT(c.s.client.code, test_is_sim() ? -ETIMEDOUT : 0);
    scene_close(&c);
}

const struct test_case test_cases[] = {
    TEST(L92_cancelled_midway_it_ends_there_and_what_is_behind_it_follows),
    TEST(L92_cancelled_before_its_turn_nothing_of_it_is_sent),
    TEST(L92_T5_cancelled_with_nothing_behind_it),
    TEST(L97_T6_aborted),
    TEST(L97_R26_the_peer_is_gone),
    TEST(L97_the_peer_is_gone_without_a_future),
    TEST(L16_the_loop_is_closed),
    TEST(L16_the_loop_is_closed_and_the_future_dropped),
    TEST(L97_F10_an_outcome_that_nobody_looks_at_is_reported),
    TEST(T5_a_peer_that_takes_nothing_is_given_up),
    TEST(T5_a_slow_peer_is_not),
    TEST(L94_what_the_system_cannot_send_is_copied_or_not),
    TEST(L94_an_error_of_the_file_leaves_the_connection_open),
    TEST(L94_an_error_of_the_file_that_nobody_waits_for_ends_the_connection),
    TEST(G4_G8_arguments),
    TEST(L97_T13_not_when_closing_nor_after_write_eof),
    TEST(L97_what_passes_descriptors_only_copies),
    TEST(T5_T57_a_file_that_was_cancelled_holds_nothing_up),
    TEST_END,
};
