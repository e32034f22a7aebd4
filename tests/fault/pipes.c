/* backends: select poll epoll io_uring */
/*
 * Pipes when things fail: allocations and system calls one by one, descriptors that are wanting or
 * too large, selectors that refuse, SIGPIPE. Contract G3, G5, G26, G29, T12, T30, T34, T41, T45.
 */
#include "tests/contract/pipes.h"
#include "tests/support/script.h"
#include "tests/unit/seccomp.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { BYTES = 150000 };

/* ---- system calls that fail ---- */

enum call { READ, WRITEV, ADOPT };

static struct {
    struct eddy_sys sys;
    struct eddy_sys_class cls;
    enum call call;
    long nth, made; /* which of them fails; 0: none */
    int error;
    size_t most; /* bytes that one of them takes; 0: as they come */
} faulty;

static bool is_due(enum call call)
{
    return faulty.call == call && ++faulty.made == faulty.nth;
}

static ssize_t faulty_read(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    (void)sys;
    if (is_due(READ))
        return faulty.error;
    return eddy_sys_posix()->cls->read(eddy_sys_posix(), fd, buf,
                                       faulty.most && len > faulty.most ? faulty.most : len);
}

static ssize_t faulty_writev(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    (void)sys;
    if (is_due(WRITEV))
        return faulty.error;
    if (!faulty.most)
        return eddy_sys_posix()->cls->writev(eddy_sys_posix(), fd, iov, n);
    struct iovec first = {iov[0].iov_base,
                          iov[0].iov_len < faulty.most ? iov[0].iov_len : faulty.most};
    return eddy_sys_posix()->cls->writev(eddy_sys_posix(), fd, &first, 1);
}

static int faulty_adopt(struct eddy_sys *sys, eddy_fd fd)
{
    (void)sys;
    return is_due(ADOPT) ? faulty.error : eddy_sys_posix()->cls->adopt(eddy_sys_posix(), fd);
}

static void begin_faulty(struct stage *s)
{
    faulty.cls = *eddy_sys_posix()->cls;
    faulty.cls.read = faulty_read;
    faulty.cls.writev = faulty_writev;
    faulty.cls.adopt = faulty_adopt;
    faulty.sys.cls = &faulty.cls;
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .sys = &faulty.sys,
                                    .on_problem = test_on_problem, .user = &s->problems),
                          &s->loop) == 0);
    s->sys = eddy_sys_posix();
    s->descriptors = test_open_descriptors();
}

static void write_and_close(struct actor *a)
{
    if (actor_write(a, BYTES) == 0)
        eddy_transport_close(a->t);
}

static bool has_ended(const struct actor *a)
{
    return a->p == NULL && a->future == NULL;
}

/* A whole life; what came of it in *ret_perfect. How many of the calls were made. */
static long live(enum call call, long nth, int error, size_t most, bool *ret_perfect)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    stage_keyed(&s);
    s.client.on[ON_MADE] = write_and_close;
    faulty.call = call;
    faulty.nth = nth;
    faulty.made = 0;
    faulty.error = error;
    faulty.most = most;
    begin_faulty(&s);
    pipes_make(fds);
    int reading = pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]);
    int writing = pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]);
    CHECK(reading == 0 || reading == error);
    CHECK(writing == 0 || writing == error);
    UNTIL(&s, has_ended(&s.client) && has_ended(&s.peer));
    *ret_perfect = reading == 0 && writing == 0 && s.client.code == 0 && s.peer.code == 0 &&
                   s.peer.received == BYTES && s.peer.count[ON_EOF] == 1;
    int code = s.client.code ? s.client.code : s.peer.code;
    if (nth > 0 && error != -EAGAIN)
        CHECK(reading == error || writing == error || code == error || s.peer.code == error);
    s.expected_problems = s.peer.code < 0 && s.peer.code != -EIO && s.peer.code != -ENOMEM;
    stage_close(&s);
    return faulty.made;
}

static void fail_each(enum call call, int error)
{
    bool perfect;
    long calls = live(call, 0, error, 0, &perfect);
    CHECK(perfect);
    for (long nth = 1; nth <= calls; nth++) {
        live(call, nth, error, 0, &perfect);
        CHECK_INT(perfect, error == -EAGAIN);
    }
}

static void T30_T33_T34_D7_read_fails_once(void)
{
    fail_each(READ, -EAGAIN);
    fail_each(READ, -EIO);
    fail_each(READ, -ENOBUFS);
}

static void T12_T45_D7_write_fails_once(void)
{
    fail_each(WRITEV, -EAGAIN);
    fail_each(WRITEV, -EPIPE);
    fail_each(WRITEV, -ENOSPC);
    fail_each(WRITEV, -EIO);
}

static void G29_T41_what_cannot_be_made_non_blocking_is_closed(void)
{
    fail_each(ADOPT, -EPERM);
}

static void T12_R23_little_by_little(void)
{
    bool perfect;
    live(ADOPT, 0, 0, 700, &perfect);
    CHECK(perfect);
}

/* ---- memory ---- */

static void live_with_failing_allocation(long nth, bool *ret_failed)
{
    struct stage s;
    struct eddy_error e = {0};
    int fds[2];
    stage_init(&s);
    s.client.on[ON_MADE] = write_and_close;
    s.client.out_key = s.peer.in_key = 1;
    pipes_begin(&s);
    pipes_make(fds);
    test_fail_allocation(nth);
    int reading = pipes_connect_opts(
        &s.peer, eddy_connect_read_pipe,
        EDDY_PIPE(.fd = fds[0], .idle_timeout = EDDY_SEC(50), .error = &e), true);
    if (reading < 0)
        CHECK_INT(e.code, -ENOMEM);
    int writing = pipes_connect_opts(&s.client, eddy_connect_write_pipe,
                                     EDDY_PIPE(.fd = fds[1], .write_high = 5000), true);
    CHECK(reading == 0 || reading == -ENOMEM);
    CHECK(writing == 0 || writing == -ENOMEM);
    UNTIL(&s, has_ended(&s.client) && has_ended(&s.peer));
    *ret_failed = test_allocation_failed();
    test_fail_allocation(0);
    if (!*ret_failed)
        CHECK_INT(s.peer.received, BYTES);
    stage_close(&s);
}

static void G5_G29_each_allocation_fails_once(void)
{
    bool failed = true;
    for (long nth = 1; failed && nth < 1000; nth++)
        live_with_failing_allocation(nth, &failed);
    CHECK(!failed);
}

/* ---- descriptors ---- */

static void use_up_descriptors(void)
{
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int highest = open("/dev/null", O_RDONLY);
    while (highest >= 0 && highest < 100)
        highest = open("/dev/null", O_RDONLY);
    limit.rlim_cur = (rlim_t)highest + 1;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void go_on_without_descriptors(void *user)
{
    struct stage s;
    int fds[2], pty[2] = {-1, -1};
    (void)user;
    stage_init(&s);
    pipes_begin(&s);
    pipes_make(fds);
    int others = dup(fds[0]);
    int before = test_open_descriptors();
    use_up_descriptors();
    CHECK_INT(eddy_open_pty(NULL, &pty[0], &pty[1]), -EMFILE);
    close(others); /* room for one: the master's, not the slave's */
    others = open("/dev/null", O_RDONLY);
    CHECK_INT(eddy_open_pty(NULL, &pty[0], &pty[1]), -EMFILE);
    CHECK(pty[0] == -1 && pty[1] == -1);
    /* There is none to open it anew with: then it becomes non-blocking for all. */
    pipes_open_over(&s, fds[0], fds[1]);
    CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    eddy_transport_close(s.client.t);
    pipes_until_both_lost(&s);
    CHECK_TRACE(s.peer.trace, "CM RET DR(1) ER CL(0)");
    CHECK(before > 0);
    eddy_loop_close(s.loop);
    eddy_loop_unref(s.loop);
}

static void G3_T41_without_descriptors(void)
{
    test_in_child(go_on_without_descriptors, NULL);
}

/* A slave without a descriptor: the master is given back. */
static void open_half_a_pty(void *user)
{
    int pty[2] = {-1, -1};
    (void)user;
    int room = dup(0);
    use_up_descriptors();
    close(room);
    CHECK_INT(eddy_open_pty(NULL, &pty[0], &pty[1]), -EMFILE);
    CHECK_INT(dup(0), room); /* it is free again */
}

static void G3_a_pty_needs_two_descriptors(void)
{
    test_in_child(open_half_a_pty, NULL);
}

static void G29_a_descriptor_too_large_for_select_is_still_ours(void)
{
    struct stage s;
    struct eddy_error e = {0};
    struct rlimit limit;
    int fds[2];
    if (!test_backend() || strcmp(test_backend(), "select") != 0 ||
        getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= FD_SETSIZE + 1)
        return;
    stage_init(&s);
    pipes_begin(&s);
    pipes_make(fds);
    int large = fcntl(fds[0], F_DUPFD_CLOEXEC, FD_SETSIZE);
    REQUIRE(large >= FD_SETSIZE);
    CHECK_INT(pipes_connect_opts(&s.peer, eddy_connect_read_pipe,
                                 EDDY_PIPE(.fd = large, .error = &e), true),
              -EINVAL);
    CHECK_INT(e.code, -EINVAL);
    CHECK_INT(fcntl(large, F_GETFL) & O_NONBLOCK, 0);
    close(large);
    close(fds[0]);
    close(fds[1]);
    stage_close(&s);
}

static void refuse_again(struct test_script *script)
{
    script->fail_set = -ENOBUFS;
}

/* The watch for the reader is refused: once, and it is asked for again; for good, and that is not
 * the reader's end. */
static void T34_T43_a_selector_that_refuses(void)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        static struct test_script script;
        struct stage s;
        int fds[2];
        memset(&script, 0, sizeof script);
        stage_init(&s);
        REQUIRE(test_script_loop(&script, &s.loop) == 0);
        script.loop = s.loop;
        pipes_make(fds);
        REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
        script.fail_set = -ENOBUFS;
        script.on_wait = for_good ? refuse_again : NULL;
        test_run_steps(s.loop, 5);
        if (!for_good) {
            CHECK_TRACE(s.client.trace, "CM RET");
            CHECK_INT(test_script_interest(&script, fds[1]), EDDY_READ);
            close(fds[0]);
            test_script_ready(&script, fds[1], EDDY_READ);
            test_run_steps(s.loop, 5);
        }
        CHECK_TRACE(s.client.trace, for_good ? "CM RET CL(ENOBUFS)" : "CM RET CL(0)");
        if (for_good)
            close(fds[0]);
        CHECK_INT(eddy_loop_close(s.loop), 0);
        eddy_loop_unref(s.loop);
    }
}

/* ---- what another process would notice, where files cannot be opened anew ---- */

static void share_where_proc_is_missing(void *user)
{
    struct stage s;
    int fds[2];
    (void)user;
    stage_init(&s);
    pipes_begin(&s);
    pipes_make(fds);
    int others = dup(fds[0]);
    if (!forbid_system_call(SYS_openat, ENOENT))
        return;
    REQUIRE(pipes_connect(&s.peer, eddy_connect_read_pipe, fds[0]) == 0);
    UNTIL(&s, s.peer.done);
    CHECK(fcntl(others, F_GETFL) & O_NONBLOCK);
    pipes_put(fds[1], "x", 1);
    UNTIL(&s, s.peer.received == 1);
    close(fds[1]);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    eddy_loop_close(s.loop);
    eddy_loop_unref(s.loop);
}

static void T41_without_a_way_to_open_it_anew(void)
{
    test_in_child(share_where_proc_is_missing, NULL);
}

/* ---- SIGPIPE ---- */

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

static bool has_quiet_writes(void)
{
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    ssize_t n = pwritev2(fds[1], &(struct iovec){(char[]){"x"}, 1}, 1, -1, RWF_NOSIGNAL);
    close(fds[0]);
    close(fds[1]);
    return n == 1;
}

static void write_to_nobody(bool keep)
{
    struct stage s;
    int fds[2];
    stage_init(&s);
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .keep_sigpipe = keep), &s.loop) ==
            0);
    pipes_make(fds);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(&s, s.client.done);
    close(fds[0]);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_INT(s.client.code, -EPIPE);

    /* ... and from the queue, pulled by the backend */
    pipes_make(fds);
    REQUIRE(pipes_connect(&s.client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(&s, s.client.done);
    actor_fill(&s.client);
    close(fds[0]);
    UNTIL(&s, s.client.count[ON_FINI] == 2);
    CHECK_INT(s.client.code, -EPIPE);
    eddy_loop_close(s.loop);
    eddy_loop_unref(s.loop);
}

static void with_sigpipe_at_default(void *user)
{
    (void)user;
    if (has_quiet_writes()) {
        signal(SIGPIPE, SIG_DFL);
        write_to_nobody(true);
    }
}

static void with_an_old_kernel(void *user)
{
    if (forbid_system_call(SYS_pwritev2, *(int *)user))
        write_to_nobody(false);
}

static void G26_no_sigpipe_where_the_system_can_write_without(void)
{
    test_in_child(with_sigpipe_at_default, NULL);
}

static void G26_sigpipe_is_ignored_where_it_cannot(void)
{
    test_in_child(with_an_old_kernel, &(int){EOPNOTSUPP});
    test_in_child(with_an_old_kernel, &(int){ENOSYS});
}

const struct test_case test_cases[] = {
    CASE(T30_T33_T34_D7_read_fails_once),
    CASE(T12_T45_D7_write_fails_once),
    CASE(G29_T41_what_cannot_be_made_non_blocking_is_closed),
    CASE(T12_R23_little_by_little),
    CASE(G5_G29_each_allocation_fails_once),
    CASE(G3_T41_without_descriptors),
    CASE(G3_a_pty_needs_two_descriptors),
    CASE(G29_a_descriptor_too_large_for_select_is_still_ours),
    CASE(T34_T43_a_selector_that_refuses),
    CASE(T41_without_a_way_to_open_it_anew),
    CASE(G26_no_sigpipe_where_the_system_can_write_without),
    CASE(G26_sigpipe_is_ignored_where_it_cannot),
    {NULL, NULL},
};
