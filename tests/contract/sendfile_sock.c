/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/* Files over sockets of the user's: contract L53, L91-L94. */
#include "tests/contract/sendfile.h"
#include <eddy/pipe.h>
#include <eddy/sim.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* A raw socket that the file goes through; the stage's peer at the other end. */
struct sock {
    struct stage s;
    int fd, file;
    struct eddy_future *f;
};

static void sock_open(struct sock *c, size_t file)
{
    stage_init(&c->s);
    c->s.peer.in_key = 1;
    c->f = NULL;
    c->file = stream_file(file);
    c->fd = stage_open_raw(&c->s);
}

static void sock_close(struct sock *c)
{
    if (c->fd >= 0)
        raw_close(&c->s, c->fd);
    stage_close(&c->s);
    close(c->file);
}

static int begin(struct sock *c, const struct eddy_sendfile_opts *opts)
{
    return eddy_sock_sendfile(c->s.loop, c->fd, c->file, opts, &c->f);
}

static long long finish(struct sock *c)
{
    UNTIL(&c->s, eddy_future_is_done(c->f));
    return outcome(&c->f);
}

static void L92_a_small_file_goes_at_once(void)
{
    struct sock c;
    sock_open(&c, 1000);
    CHECK_INT(begin(&c, NULL), 0);
    CHECK(eddy_future_is_done(c.f));
    CHECK_INT(finish(&c), 1000);
    CHECK_INT(position(c.file), 1000);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.offset = 1000)), 0);
    CHECK_INT(finish(&c), 0);
    UNTIL(&c.s, c.s.peer.received == 1000);
    sock_close(&c);
}

static void L92_a_large_one_waits_for_the_reader(void)
{
    struct sock c;
    sock_open(&c, large());
    eddy_transport_pause_reading(c.s.peer.t);
    stage_settle(&c.s);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.count = (int64_t)large() - 5)), 0);
    stage_settle(&c.s);
    CHECK(!eddy_future_is_done(c.f));
    eddy_transport_resume_reading(c.s.peer.t);
    CHECK_INT(finish(&c), (long long)large() - 5);
    CHECK_INT(position(c.file), (long long)large() - 5);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.offset = (int64_t)large() - 5)), 0);
    CHECK_INT(finish(&c), 5);
    UNTIL(&c.s, c.s.peer.received == large());
    sock_close(&c);
}

static void L90_L92_cancelled_it_stops_and_another_may_follow(void)
{
    struct sock c;
    sock_open(&c, large());
    eddy_transport_pause_reading(c.s.peer.t);
    CHECK_INT(begin(&c, NULL), 0);
    stage_settle(&c.s);
    CHECK(eddy_future_cancel(c.f, NULL));
    CHECK_INT(finish(&c), -ECANCELED);
    long long at = position(c.file);
    CHECK(at > 0 && at < (long long)large());
    CHECK_INT(begin(&c, EDDY_SENDFILE(.offset = at)), 0);
    eddy_transport_resume_reading(c.s.peer.t);
    CHECK_INT(finish(&c), (long long)large() - at);
    UNTIL(&c.s, c.s.peer.received == large());
    sock_close(&c);
}

static void L94_errors_of_the_file_and_what_the_system_cannot_send(void)
{
    struct sock c;
    int ends[2];
    struct eddy_future *f;
    sock_open(&c, 1000);
    c.s.peer.in_key = 0;
    int folder = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    CHECK_INT(write(ends[1], "piped", 5), 5);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, c.fd, folder, NULL, &f), 0);
    CHECK_INT(outcome(&f), -EISDIR);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, c.fd, ends[0], EDDY_SENDFILE(.no_fallback = true), &f),
              0);
    CHECK_INT(outcome(&f), EDDY_ESENDFILE_NA);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, c.fd, ends[0], EDDY_SENDFILE(.count = 5), &f), 0);
    CHECK_INT(outcome(&f), 5);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, c.fd, ends[0], NULL, &f), 0);
    CHECK_INT(outcome(&f), -EAGAIN);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.no_fallback = true)), 0);
    CHECK_INT(finish(&c), test_is_sim() ? EDDY_ESENDFILE_NA : 1000);
    UNTIL(&c.s, c.s.peer.received == (test_is_sim() ? 5 : 1005));
    CHECK(memcmp(c.s.peer.head, "piped", 5) == 0);
    close(ends[0]);
    close(ends[1]);
    close(folder);
    sock_close(&c);
}

static void L94_the_peer_is_gone(void)
{
    struct sock c;
    sock_open(&c, large());
    eddy_transport_pause_reading(c.s.peer.t);
    CHECK_INT(begin(&c, NULL), 0);
    stage_settle(&c.s);
    eddy_transport_set_linger(c.s.peer.t, EDDY_OFF);
    eddy_transport_abort(c.s.peer.t, NULL);
    long long n = finish(&c);
    CHECK(n == -EPIPE || n == -ECONNRESET);
    CHECK(position(c.file) < (long long)large());
    sock_close(&c);
}

static void L16_the_loop_is_closed(void)
{
    struct sock c;
    sock_open(&c, large());
    eddy_transport_pause_reading(c.s.peer.t);
    CHECK_INT(begin(&c, NULL), 0);
    stage_settle(&c.s);
    test_expect_log("still open");
    CHECK_INT(eddy_loop_close(c.s.loop), 0);
    CHECK_INT(outcome(&c.f), EDDY_ELOOP_CLOSED);
    CHECK_INT(begin(&c, NULL), EDDY_ELOOP_CLOSED);
    sock_close(&c);
}

static void ignore_events(struct eddy_watch *w, unsigned events)
{
    (void)w;
    (void)events;
}

static void L93_L91_L53_what_is_refused(void)
{
    struct sock c;
    struct eddy_error e = {.code = 0};
    struct eddy_watch w = {.fn = ignore_events};
    sock_open(&c, 10);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.offset = -1, .error = &e)), -EINVAL);
    CHECK_INT(e.code, -EINVAL);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.count = -1)), -EINVAL);
    CHECK_INT(eddy_sock_sendfile(NULL, c.fd, c.file, NULL, &c.f), -EINVAL);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, -1, c.file, NULL, &c.f), -EINVAL);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, c.fd, c.file, NULL, NULL), -EINVAL);
    int datagrams = c.s.sys->cls->socket(c.s.sys, AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, datagrams, c.file, EDDY_SENDFILE(.error = &e), &c.f),
              -EINVAL);
    c.s.sys->cls->close(c.s.sys, datagrams);
    CHECK_INT(eddy_sock_sendfile(c.s.loop, eddy_transport_fd(c.s.peer.t), c.file, NULL, &c.f),
              EDDY_EFD_IN_USE);
    CHECK_INT(eddy_loop_add_watch(c.s.loop, &w, c.fd, EDDY_WRITE), 0);
    CHECK_INT(begin(&c, NULL), -EEXIST);
    eddy_watch_remove(&w);
    if (!test_is_sim()) {
        CHECK_INT(eddy_sock_sendfile(c.s.loop, c.file, c.file, NULL, &c.f), -EINVAL);
        eddy_loop_set_debug(c.s.loop, true);
        fcntl(c.fd, F_SETFL, 0);
        CHECK_INT(begin(&c, NULL), -EINVAL);
        fcntl(c.fd, F_SETFL, O_NONBLOCK);
    }
    CHECK(c.f == NULL);
    sock_close(&c);
}

/* ---- the signal that the system call raises ---- */

static void G26_no_sigpipe_whatever_its_disposition(void)
{
    int fds[2];
    sigset_t pending;
    struct eddy_sys *sys = eddy_sys_posix();
    if (test_is_sim() || !sys->cls->sendfile)
        return;
    int file = stream_file(10);
    test_socketpair(fds);
    close(fds[1]);
    void (*before)(int) = signal(SIGPIPE, SIG_DFL); /* would end us */
    CHECK_INT(sys->cls->sendfile(sys, fds[0], file, 0, 10), -EPIPE);
    sigpending(&pending);
    CHECK_INT(sigismember(&pending, SIGPIPE), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_INT(sys->cls->sendfile(sys, fds[0], file, 0, 10), -EPIPE);
    signal(SIGPIPE, before);
    close(fds[0]);
    close(file);
}

/* ---- transports that send no files ---- */

static void L97_pipes_send_no_files(void)
{
    struct stage s;
    int ends[2];
    struct eddy_future *f = NULL;
    if (test_is_sim())
        return;
    stage_init(&s);
    int file = stream_file(10);
    stage_begin(&s);
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    eddy_protocol_init(&s.client.own.base, &actor_class);
    CHECK_INT(eddy_connect_write_pipe(s.loop, &s.client.own.base, EDDY_PIPE(.fd = ends[1]),
                                      &s.client.future),
              0);
    actor_begin(&s.client, true);
    UNTIL(&s, s.client.done);
    CHECK_INT(eddy_transport_sendfile(s.client.t, file, NULL, &f), EDDY_ENOT_SUPPORTED);
    CHECK(f == NULL);
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    close(ends[0]);
    stage_close(&s);
    close(file);
}

/* One turn is 1 MiB. */
static void L92_a_turn_that_ends_with_the_file_is_its_end(void)
{
    struct eddy_sim_opts roomy = {
        .abi_size = sizeof roomy, .send_room = 1 << 20, .recv_room = 4096};
    struct sock c;
    if (!test_is_sim())
        return; /* how much a kernel takes is its own affair */
    test_next_sim(&roomy);
    sock_open(&c, 1 << 20);
    eddy_transport_pause_reading(c.s.peer.t);
    CHECK_INT(begin(&c, EDDY_SENDFILE(.count = 1 << 20)), 0);
    CHECK(eddy_future_is_done(c.f));
    CHECK_INT(outcome(&c.f), 1 << 20);
    eddy_transport_resume_reading(c.s.peer.t);
    UNTIL(&c.s, c.s.peer.received == 1 << 20);
    sock_close(&c);
}

const struct test_case test_cases[] = {
    TEST(L92_a_small_file_goes_at_once),
    TEST(L92_a_large_one_waits_for_the_reader),
    TEST(L90_L92_cancelled_it_stops_and_another_may_follow),
    TEST(L94_errors_of_the_file_and_what_the_system_cannot_send),
    TEST(L94_the_peer_is_gone),
    TEST(L16_the_loop_is_closed),
    TEST(L93_L91_L53_what_is_refused),
    TEST(G26_no_sigpipe_whatever_its_disposition),
    TEST(L97_pipes_send_no_files),
    TEST(L92_a_turn_that_ends_with_the_file_is_its_end),
    TEST_END,
};
