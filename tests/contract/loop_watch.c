/* Watching descriptors of one's own. */
/* backends: select poll epoll io_uring */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <eddy/connection.h>
#include <eddy/server.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct test_trace trace;
static struct eddy_loop *loop;
static int fds[2];

static void begin(void)
{
    trace_clear(&trace);
    loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    test_socketpair(fds);
}

static void end(void)
{
    test_loop_free(loop);
    close(fds[0]);
    close(fds[1]);
}

static bool backend_is(const char *name)
{
    return strcmp(eddy_loop_backend_name(loop), name) == 0;
}

static void send_byte(int fd)
{
    CHECK_INT(write(fd, "x", 1), 1);
}

static void read_all(struct test_watch *w)
{
    char buffer[64];
    while (read(*(int *)w->user, buffer, sizeof buffer) > 0)
        ;
}

/* ---- readiness ---- */

static void L55_a_watch_is_called_once_per_iteration_while_ready(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w", .user = &fds[0]);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    send_byte(fds[1]);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(R) w(R) w(R)");
    w.then = read_all;
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(R) w(R) w(R) w(R)");
    end();
}

static void L55_readiness_ends_the_wait(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w", .then = test_watch_stop, .user = loop);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    send_byte(fds[1]);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "w(R)");
    end();
}

static void L25_both_directions_come_in_one_call(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ | EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    send_byte(fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) w(RW)");
    end();
}

static void L25_L56_two_watches_on_one_descriptor(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w"), r = TEST_WATCH(&trace, "r");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ), 0);
    send_byte(fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "r(R) w(W)");
    eddy_watch_remove(&w.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "r(R) w(W) r(R)");
    end();
}

static void L56_a_second_watch_for_a_direction_is_refused(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a"), b = TEST_WATCH(&trace, "b");
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[0], EDDY_READ), -EEXIST);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[0], EDDY_READ | EDDY_WRITE), -EEXIST);
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[1], EDDY_READ), -EEXIST);
    send_byte(fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(R)");
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[0], EDDY_WRITE), 0);
    CHECK_INT(eddy_watch_modify(&b.node, EDDY_READ), -EEXIST);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(R) a(R) b(W)");
    end();
}

static void L63_hang_up_wakes_reader_and_writer(void)
{
    begin();
    struct test_watch r = TEST_WATCH(&trace, "r"), w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    close(fds[1]);
    fds[1] = dup(fds[0]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "r(R) w(W)");
    end();
}

static void L63_hang_up_wakes_nobody_who_did_not_ask(void)
{
    begin();
    int pipe_fds[2];
    REQUIRE(pipe(pipe_fds) == 0);
    struct test_watch r = TEST_WATCH(&trace, "r"), w = TEST_WATCH(&trace, "w");
    /* The reader has gone: an error on the writing end, which asks for writing only. */
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, pipe_fds[1], EDDY_WRITE), 0);
    close(pipe_fds[0]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    eddy_watch_remove(&w.node);
    close(pipe_fds[1]);
    trace_clear(&trace);
    /* The same for one that asks for reading only. */
    CHECK_INT(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ), 0);
    close(fds[1]);
    fds[1] = dup(fds[0]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "r(R)");
    end();
}

/* epoll reports hang-ups also to those who asked for nothing. */
static void L56_hang_up_of_a_removed_watch_does_not_spin(void)
{
    begin();
    struct test_watch r = TEST_WATCH(&trace, "r");
    CHECK_INT(eddy_loop_add_watch(loop, &r.node, fds[0], EDDY_READ), 0);
    close(fds[1]);
    fds[1] = dup(fds[0]);
    eddy_watch_remove(&r.node);
    test_run_steps(loop, 1);
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(5));
    CHECK_TRACE(trace, "");
    end();
}

/* ---- modify and remove ---- */

static void L56_modify_changes_directions(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    send_byte(fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) w(R)");
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ | EDDY_WRITE), 0);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ | EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W) w(R) w(RW)");
    end();
}

static void G4_bad_directions_are_refused(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], 0), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], 4), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ | 8), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_watch_modify(&w.node, 0), -EINVAL);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_WRITE | 4), -EINVAL);
    send_byte(fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(R)");
    end();
}

static void G4_a_watch_without_a_function_is_refused(void)
{
    begin();
    struct eddy_watch w = {0};
    CHECK_INT(eddy_loop_add_watch(loop, &w, fds[0], EDDY_READ), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(loop, NULL, fds[0], EDDY_READ), -EINVAL);
    end();
}

static void L57_remove_is_idempotent(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    eddy_watch_remove(&w.node);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    eddy_watch_remove(&w.node);
    eddy_watch_remove(&w.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    end();
}

static void remove_and_free(struct test_watch *w)
{
    eddy_watch_remove(&w->node);
    free(w);
}

static void G14_a_watch_may_free_itself(void)
{
    begin();
    struct test_watch *w = malloc(sizeof *w);
    REQUIRE(w != NULL);
    *w = (struct test_watch)TEST_WATCH(&trace, "w", .then = remove_and_free);
    CHECK_INT(eddy_loop_add_watch(loop, &w->node, fds[0], EDDY_READ | EDDY_WRITE), 0);
    send_byte(fds[1]);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "w(RW)");
    end();
}

static void remove_and_add_again(struct test_watch *w)
{
    eddy_watch_remove(&w->node);
    CHECK_INT(eddy_loop_add_watch(loop, &w->node, fds[0], EDDY_WRITE), 0);
}

static void G13_a_watch_may_be_added_again_from_its_callback(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w", .then = remove_and_add_again);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "w(W) w(W) w(W)");
    end();
}

static void remove_other(struct test_watch *w)
{
    struct test_watch *other = w->user;
    eddy_watch_remove(&other->node);
}

/* Whichever comes first removes the other: exactly one is called. */
static void L58_a_watch_removed_while_its_event_is_queued_is_not_called(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a", .then = remove_other);
    struct test_watch b = TEST_WATCH(&trace, "b", .then = remove_other, .user = &a);
    a.user = &b;
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_WRITE), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, ""), 1);
    end();
}

struct reuse {
    struct test_watch *fresh;
    int fd;
};

static void close_and_reuse(struct test_watch *w)
{
    struct reuse *r = w->user;
    int number = w->node.fd_ == fds[0] ? fds[1] : fds[0];
    struct test_watch *other = r[1].fresh == w ? r[0].fresh : r[1].fresh;
    eddy_watch_remove(&other->node);
    close(number);
    int pipe_fds[2];
    REQUIRE(pipe(pipe_fds) == 0); /* its reading end takes the number, and is not ready */
    if (pipe_fds[0] != number) {
        CHECK_INT(dup2(pipe_fds[0], number), number);
        close(pipe_fds[0]);
    }
    r[0].fd = pipe_fds[1];
    CHECK_INT(eddy_loop_add_watch(loop, &r[2].fresh->node, number, EDDY_READ), 0);
    w->then = NULL;
}

static void L62_a_reused_number_gets_no_stale_event(void)
{
    begin();
    struct test_watch fresh = TEST_WATCH(&trace, "fresh");
    struct reuse r[3] = {{NULL, -1}, {NULL, -1}, {&fresh, -1}};
    struct test_watch a = TEST_WATCH(&trace, "a", .then = close_and_reuse, .user = r);
    struct test_watch b = TEST_WATCH(&trace, "b", .then = close_and_reuse, .user = r);
    r[0].fresh = &a;
    r[1].fresh = &b;
    send_byte(fds[0]);
    send_byte(fds[1]);
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_READ), 0);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, ""), 1);
    CHECK_INT(trace_count(&trace, "fresh"), 0);
    send_byte(r[0].fd);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "fresh(R)"), 1);
    close(r[0].fd);
    end();
}

/* Closed without remove while a duplicate lives: the selector may go on reporting the old one. */
static void L62_a_number_closed_behind_the_loops_back(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w"), again = TEST_WATCH(&trace, "again");
    int number = fds[0];
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, number, EDDY_READ), 0);
    int kept = dup(number);
    close(number);
    eddy_watch_remove(&w.node);
    int pipe_fds[2];
    REQUIRE(pipe(pipe_fds) == 0);
    if (pipe_fds[0] != number) {
        CHECK_INT(dup2(pipe_fds[0], number), number);
        close(pipe_fds[0]);
    }
    CHECK_INT(eddy_loop_add_watch(loop, &again.node, number, EDDY_READ), 0);
    send_byte(fds[1]); /* for the duplicate */
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    send_byte(pipe_fds[1]);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "again(R)");
    close(kept);
    close(pipe_fds[1]);
    end();
}

/* ---- descriptors that cannot be watched ---- */

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static void L59_negative_descriptors_are_refused(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, -1, EDDY_READ), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, INT32_MIN, EDDY_READ), -EINVAL);
    eddy_watch_remove(&w.node);
    end();
}

static void L59_a_regular_file_is_refused_by_epoll_alone(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    FILE *file = tmpfile();
    REQUIRE(file != NULL);
    if (backend_is("epoll")) {
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fileno(file), EDDY_READ), -EPERM);
        CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), EDDY_ENOT_REGISTERED);
        test_run_steps(loop, 1);
        CHECK_TRACE(trace, "");
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
        test_run_steps(loop, 1);
        CHECK_TRACE(trace, "w(W)");
    } else {
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fileno(file), EDDY_READ), 0);
        test_run_steps(loop, 1);
        CHECK_TRACE(trace, "w(R)");
        eddy_watch_remove(&w.node);
    }
    fclose(file);
    end();
}

static void L59_a_closed_descriptor_does_no_harm(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w"), v = TEST_WATCH(&trace, "v");
    int gone = dup(fds[0]);
    close(gone);
    int err = eddy_loop_add_watch(loop, &w.node, gone, EDDY_READ);
    if (backend_is("epoll"))
        CHECK_INT(err, -EBADF);
    eddy_watch_remove(&w.node);
    CHECK_INT(eddy_loop_add_watch(loop, &v.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "v(W)"), 1);
    end();
}

static void L59_P22_select_refuses_large_numbers(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct rlimit limit = {0};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur > FD_SETSIZE) {
        int large = fcntl(fds[0], F_DUPFD_CLOEXEC, FD_SETSIZE);
        REQUIRE(large >= FD_SETSIZE);
        int err = eddy_loop_add_watch(loop, &w.node, large, EDDY_WRITE);
        CHECK_INT(err, backend_is("select") ? -EINVAL : 0);
        test_run_steps(loop, 1);
        CHECK_INT(trace_count(&trace, "w(W)"), err == 0);
        eddy_watch_remove(&w.node);
        close(large);
    }
    end();
}

static void L60_L64_the_loops_own_descriptors_cannot_be_watched(void)
{
    bool before[256];
    for (int fd = 0; fd < 256; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    int in_use = 0;
    for (int fd = 0; fd < 256; fd++) {
        if (before[fd] || fd == fds[0] || fd == fds[1] || fcntl(fd, F_GETFD) < 0)
            continue;
        int err = eddy_loop_add_watch(loop, &w.node, fd, EDDY_READ);
        in_use += err == EDDY_EFD_IN_USE;
        eddy_watch_remove(&w.node);
    }
    CHECK(in_use >= 1);
    /* It still works. */
    struct test_post p = TEST_POST(&trace, "p", .then = test_post_stop, .user = loop);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "p");
    end();
}

static const struct eddy_protocol_class nothing = {
    EDDY_STATELESS_PROTOCOL_CLASS("nothing"),
    .data_received = ignore_data,
};

static void L60_a_listeners_descriptor_cannot_be_watched(void)
{
    begin();
    struct eddy_server *server = NULL;
    struct test_watch w = TEST_WATCH(&trace, "w");
    REQUIRE(eddy_create_server(loop, &nothing, EDDY_SERVER(.host = "127.0.0.1"), &server) == 0);
    int fd = eddy_server_fd(server, 0);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fd, EDDY_READ), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), EDDY_ENOT_REGISTERED);
    eddy_server_close(server);
    test_run_steps(loop, 2);
    CHECK_INT(dup2(fds[0], fd), fd);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fd, EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    eddy_watch_remove(&w.node);
    close(fd);
    eddy_server_unref(server);
    end();
}

static bool is_unattached(void *protocol)
{
    return !eddy_protocol_is_attached(protocol);
}

static void L60_R30_a_transports_descriptor_cannot_be_watched(void)
{
    begin();
    struct eddy_protocol p;
    struct test_watch w = TEST_WATCH(&trace, "w");
    int pair[2];
    test_socketpair(pair);
    eddy_protocol_init(&p, &nothing);
    REQUIRE(eddy_connect_accepted_socket(loop, &p, pair[0], NULL, NULL) == 0);
    test_run_steps(loop, 2);
    REQUIRE(p.transport != NULL);
    CHECK_INT(eddy_transport_fd(p.transport), pair[0]);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, pair[0], EDDY_WRITE), EDDY_EFD_IN_USE);
    eddy_transport_abort(p.transport, NULL);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, pair[0], EDDY_WRITE), EDDY_EFD_IN_USE);
    test_run_until(loop, is_unattached, &p);
    test_run_steps(loop, 1);
    CHECK_INT(fcntl(pair[0], F_GETFD), -1);
    CHECK_INT(dup2(fds[0], pair[0]), pair[0]);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, pair[0], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    eddy_watch_remove(&w.node);
    close(pair[0]);
    close(pair[1]);
    end();
}

static void L64_many_wake_ups_are_drained_in_one_go(void)
{
    begin();
    struct test_signal s = TEST_SIGNAL(&trace, "s");
    CHECK_INT(eddy_loop_add_signal(loop, &s.node, SIGUSR1), 0);
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1); /* each of them kicks */
    eddy_loop_stop(loop);
    struct test_post posts[50];
    for (int i = 0; i < 50; i++) {
        posts[i] = (struct test_post)TEST_POST(&trace, "p");
        CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &posts[i].node), 0);
    }
    test_run_steps(loop, 1);
    CHECK_INT(trace_count(&trace, "p"), 50);
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(5));
    end();
}

/* ---- the end ---- */

static void L15_close_unlinks_watches(void)
{
    begin();
    struct test_watch a = TEST_WATCH(&trace, "a"), b = TEST_WATCH(&trace, "b");
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_READ | EDDY_WRITE), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &b.node, fds[1], EDDY_WRITE), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_watch_modify(&a.node, EDDY_READ), EDDY_ENOT_REGISTERED);
    eddy_watch_remove(&b.node);
    CHECK_TRACE(trace, "");
    CHECK(fcntl(fds[0], F_GETFD) >= 0); /* borrowed: still open */
    CHECK(fcntl(fds[1], F_GETFD) >= 0);
    end();

    begin();
    CHECK_INT(eddy_loop_add_watch(loop, &a.node, fds[0], EDDY_WRITE), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(W)");
    end();
}

static void G5_add_watch_without_memory(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    long n = 0;
    /* A large number, so that the table of descriptors has to grow as well. */
    int large = fcntl(fds[0], F_DUPFD_CLOEXEC, 900);
    REQUIRE(large >= 900);
    for (;;) {
        test_fail_allocation(++n);
        int err = eddy_loop_add_watch(loop, &w.node, large, EDDY_WRITE);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        if (!failed) {
            CHECK_INT(err, 0);
            break;
        }
        CHECK_INT(err, -ENOMEM);
        CHECK_INT(eddy_watch_modify(&w.node, EDDY_READ), EDDY_ENOT_REGISTERED);
        test_run_steps(loop, 1);
        CHECK_TRACE(trace, "");
        REQUIRE(n < 20);
    }
    CHECK(n >= 3);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "w(W)");
    eddy_watch_remove(&w.node);
    close(large);
    end();
}

static void L55_watching_again_and_again_keeps_no_memory(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
    eddy_watch_remove(&w.node);
    test_run_steps(loop, 1);
    long before = test_live_bytes();
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
        eddy_watch_remove(&w.node);
        test_run_steps(loop, 1);
    }
    CHECK_INT(test_live_bytes(), before);
    end();
}

static void G24_only_some_backends_have_a_descriptor(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    int fd = eddy_loop_fileno(loop);
    if (backend_is("epoll") || backend_is("io_uring")) {
        /* A loop inside a loop: the outer one watches the inner one's descriptor. */
        struct eddy_loop *outer = NULL;
        struct test_watch inner = TEST_WATCH(&trace, "inner");
        CHECK(fd >= 0);
        REQUIRE(eddy_loop_new(NULL, &outer) == 0);
        CHECK_INT(eddy_loop_add_watch(outer, &inner.node, fd, EDDY_READ), 0);
        CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_READ), 0);
        if (eddy_loop_timeout(loop) == 0)
            test_run_steps(loop, 1);
        CHECK(eddy_loop_timeout(loop) == EDDY_FOREVER);
        test_run_steps(outer, 2);
        CHECK_TRACE(trace, "");
        send_byte(fds[1]);
        test_run_steps(outer, 1);
        CHECK_TRACE(trace, "inner(R)");
        test_run_steps(loop, 1);
        CHECK_TRACE(trace, "inner(R) w(R)");
        test_loop_free(outer);
    } else {
        CHECK_INT(fd, EDDY_ENOT_SUPPORTED);
    }
    end();
}

/* More descriptors than are reported in one go. */
static void L55_a_thousand_ready_descriptors_are_all_served(void)
{
    begin();
    enum { N = 700 };
    static struct test_watch watches[N];
    static struct test_trace traces[N];
    static int copies[N];
    for (int i = 0; i < N; i++) {
        copies[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        REQUIRE(copies[i] >= 0);
        trace_clear(&traces[i]);
        watches[i] = (struct test_watch)TEST_WATCH(&traces[i], "w");
        REQUIRE(eddy_loop_add_watch(loop, &watches[i].node, copies[i], EDDY_WRITE) == 0);
    }
    test_run_steps(loop, 2);
    for (int i = 0; i < N; i++)
        CHECK(trace_count(&traces[i], "w(W)") >= 1);
    for (int i = 0; i < N; i++) {
        eddy_watch_remove(&watches[i].node);
        close(copies[i]);
    }
    end();
}

/* What is left of the watch is in nobody's way, and goes with the loop. */
static void L62_the_number_went_to_a_listener_before_the_watch_was_removed(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct eddy_server *server = NULL;
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    close(fds[0]);
    REQUIRE(eddy_create_server(loop, &nothing,
                               EDDY_SERVER(.host = "127.0.0.1", .not_serving = true),
                               &server) == 0);
    CHECK_INT(eddy_server_fd(server, 0), fds[0]);
    CHECK_INT(eddy_server_start_serving(server), 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(3)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(3));
    eddy_server_close(server);
    eddy_server_unref(server);
    test_loop_free(loop);
    CHECK(w.node.loop_ == NULL);
    close(fds[1]);
}

/* A watch, whose number goes to a listener without a word. */
static struct eddy_server *take_number(struct test_watch *w)
{
    struct eddy_server *server = NULL;
    CHECK_INT(eddy_loop_add_watch(loop, &w->node, fds[0], EDDY_READ), 0);
    test_run_steps(loop, 1);
    close(fds[0]);
    if (CHECK_INT(eddy_create_server(loop, &nothing, EDDY_SERVER(.host = "127.0.0.1"), &server), 0))
        CHECK_INT(eddy_server_fd(server, 0), fds[0]);
    return server;
}

static void close_all(struct eddy_server *server)
{
    eddy_server_close(server);
    eddy_server_unref(server);
    test_loop_free(loop);
    close(fds[1]);
}

static void *watch_another(void *arg)
{
    CHECK_INT(eddy_loop_add_watch(loop, arg, fds[1], EDDY_READ), 0);
    test_run_steps(loop, 3);
    return NULL;
}

static void in_another_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    pthread_join(thread, NULL);
}

/* What the kernel knew of it was in the other thread's ring. */
static void L62_L4_a_number_was_taken_after_the_loop_had_moved_to_another_thread(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    in_another_thread(watch_another, &w.node);
    struct eddy_server *server = NULL;
    close(fds[1]);
    REQUIRE(eddy_create_server(loop, &nothing, EDDY_SERVER(.host = "127.0.0.1"), &server) == 0);
    CHECK_INT(eddy_server_fd(server, 0), fds[1]);
    test_run_steps(loop, 2);
    fds[1] = fds[0];
    close_all(server);
    CHECK(w.node.loop_ == NULL);
}

static pid_t forked_child;

static void fork_here(struct test_handle *h)
{
    (void)h;
    forked_child = fork();
    REQUIRE(forked_child >= 0);
}

static void L62_L72_a_number_was_taken_before_a_child_closes_the_loop(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = fork_here);
    struct eddy_server *server = take_number(&w);
    eddy_loop_call_soon(loop, &h.node);
    int status = -1, rc = eddy_loop_run_once(loop, 0);
    if (forked_child == 0) {
        bool good = rc == EDDY_EINVALID_STATE && eddy_loop_forked(loop) == 0;
        close_all(server);
        _exit(!good || test_live_allocations() != 0);
    }
    CHECK_INT(rc, 0);
    CHECK_INT(waitpid(forked_child, &status, 0), forked_child);
    CHECK_INT(status, 0);
    close_all(server);
}

static void G14_watches_removed_after_their_descriptor_was_closed(void)
{
    begin();
    struct test_watch *reader = malloc(sizeof *reader), *writer = malloc(sizeof *writer);
    REQUIRE(reader && writer);
    *reader = (struct test_watch)TEST_WATCH(&trace, "r");
    *writer = (struct test_watch)TEST_WATCH(&trace, "w");
    CHECK_INT(eddy_loop_add_watch(loop, &reader->node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &writer->node, fds[0], EDDY_WRITE), 0);
    close(fds[0]);
    eddy_watch_remove(&reader->node);
    free(reader);
    eddy_watch_remove(&writer->node);
    free(writer);
    test_run_steps(loop, 2);
    test_loop_free(loop);
    CHECK_TRACE(trace, "");
    close(fds[1]);
}

static void P27_a_closed_descriptor_does_not_hide_the_others(void)
{
    begin();
    int others[2];
    struct test_watch closed = TEST_WATCH(&trace, "closed");
    struct test_watch good = TEST_WATCH(&trace, "good");
    test_socketpair(others);
    CHECK_INT(eddy_loop_add_watch(loop, &closed.node, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &good.node, others[0], EDDY_READ), 0);
    close(fds[0]);
    CHECK_INT(write(others[1], "x", 1), 1);
    test_run_steps(loop, 2);
    CHECK_INT(trace_count(&trace, "good(R)"), 2);
    eddy_watch_remove(&closed.node);
    eddy_watch_remove(&good.node);
    test_loop_free(loop);
    close(fds[1]);
    close(others[0]);
    close(others[1]);
}

static void L59_a_number_past_all_descriptors(void)
{
    begin();
    struct test_watch w = TEST_WATCH(&trace, "w");
    CHECK(eddy_loop_add_watch(loop, &w.node, INT_MAX, EDDY_READ) < 0);
    end();
}

const struct test_case test_cases[] = {
    TEST(L55_a_watch_is_called_once_per_iteration_while_ready),
    TEST(L55_readiness_ends_the_wait),
    TEST(L25_both_directions_come_in_one_call),
    TEST(L25_L56_two_watches_on_one_descriptor),
    TEST(L56_a_second_watch_for_a_direction_is_refused),
    TEST(L63_hang_up_wakes_reader_and_writer),
    TEST(L63_hang_up_wakes_nobody_who_did_not_ask),
    TEST(L56_hang_up_of_a_removed_watch_does_not_spin),
    TEST(L56_modify_changes_directions),
    TEST(G4_bad_directions_are_refused),
    TEST(G4_a_watch_without_a_function_is_refused),
    TEST(L57_remove_is_idempotent),
    TEST(G14_a_watch_may_free_itself),
    TEST(G13_a_watch_may_be_added_again_from_its_callback),
    TEST(L58_a_watch_removed_while_its_event_is_queued_is_not_called),
    TEST(L62_a_reused_number_gets_no_stale_event),
    TEST(L62_a_number_closed_behind_the_loops_back),
    TEST(L59_negative_descriptors_are_refused),
    TEST(L59_a_regular_file_is_refused_by_epoll_alone),
    TEST(L59_a_closed_descriptor_does_no_harm),
    TEST(L59_P22_select_refuses_large_numbers),
    TEST(L60_L64_the_loops_own_descriptors_cannot_be_watched),
    TEST(L60_a_listeners_descriptor_cannot_be_watched),
    TEST(L60_R30_a_transports_descriptor_cannot_be_watched),
    TEST(L64_many_wake_ups_are_drained_in_one_go),
    TEST(L15_close_unlinks_watches),
    TEST(G5_add_watch_without_memory),
    TEST(L55_watching_again_and_again_keeps_no_memory),
    TEST(G24_only_some_backends_have_a_descriptor),
    TEST(L55_a_thousand_ready_descriptors_are_all_served),
    TEST(L62_the_number_went_to_a_listener_before_the_watch_was_removed),
    TEST(L62_L4_a_number_was_taken_after_the_loop_had_moved_to_another_thread),
    TEST(L62_L72_a_number_was_taken_before_a_child_closes_the_loop),
    TEST(G14_watches_removed_after_their_descriptor_was_closed),
    TEST(P27_a_closed_descriptor_does_not_hide_the_others),
    TEST(L59_a_number_past_all_descriptors),
    TEST_END,
};
