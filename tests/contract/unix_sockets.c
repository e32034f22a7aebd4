/* backends: select poll epoll io_uring */
/* timeout: 120 */
/* Unix streams, their names and their socket files: contract S40 to S44, T5, T39. */
#include "tests/support/stream.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[128]; /* the server's socket file */

static void begin(struct stage *s)
{
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(s);
    stage_begin(s);
    snprintf(path, sizeof path, "%s/%d", s->folder, s->port);
}

static void open_stage(struct stage *s)
{
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(s);
    stage_open(s);
    snprintf(path, sizeof path, "%s/%d", s->folder, s->port);
}

/* A path beside the server's. */
static const char *beside(struct stage *s)
{
    static char other[128];
    snprintf(other, sizeof other, "%s/%d", s->folder, ++s->last_port);
    return other;
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(name, &st) == 0;
}

static void end_server(struct stage *s)
{
    eddy_server_close(s->server);
    eddy_server_unref(s->server);
    s->server = NULL;
}

/* ---- arguments ---- */

static void check_connect(struct stage *s, const struct eddy_unix_connection_opts *opts, int code)
{
    struct eddy_unix_connection_opts all = *opts;
    struct eddy_error error = {.code = 0};
    struct eddy_protocol p;
    int before = stage_descriptors(s);
    eddy_protocol_init(&p, &actor_class);
    all.error = &error;
    CHECK_INT(eddy_create_unix_connection(s->loop, &p, &all, NULL), code);
    CHECK_INT(error.code, code);
    CHECK(strncmp(error.text, "create_unix_connection: ", 24) == 0);
    CHECK(!eddy_protocol_is_attached(&p));
    CHECK_INT(stage_descriptors(s), before);
}

static void S40_G3_G4_bad_options_of_a_client(void)
{
    struct stage s;
    int pair[2];
    begin(&s);
    test_socketpair(pair);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    int lonely = socket(AF_UNIX, SOCK_STREAM, 0);
    check_connect(&s, EDDY_UNIX_CONNECTION(.max_fds = 1), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = ""), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = "a\0b", .path_len = 3), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = "\0", .path_len = 1), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = path, .sock = pair[0], .use_sock = true),
                  -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = path, .timeout = -2), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = path, .linger = -2), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = path, .max_fds = EDDY_MAX_WAITING_FDS + 1),
                  -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.sock = -1, .use_sock = true), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.sock = tcp, .use_sock = true), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.sock = datagram, .use_sock = true), -EINVAL);
    check_connect(&s, EDDY_UNIX_CONNECTION(.sock = lonely, .use_sock = true), -EINVAL);
    CHECK_INT(eddy_create_unix_connection(s.loop, NULL, EDDY_UNIX_CONNECTION(.path = path), NULL),
              -EINVAL);
    CHECK_INT(eddy_create_unix_connection(s.loop, NULL, NULL, NULL), -EINVAL);
    const int fds[] = {pair[0], pair[1], tcp, datagram, lonely}; /* still ours */
    for (int i = 0; i < 5; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void check_serve(struct stage *s, const struct eddy_unix_server_opts *opts, int code)
{
    struct eddy_unix_server_opts all = *opts;
    struct eddy_error error = {.code = 0};
    struct eddy_server *server = NULL;
    int before = stage_descriptors(s);
    all.error = &error;
    CHECK_INT(eddy_create_unix_server(s->loop, &actor_class, &all, &server), code);
    CHECK(server == NULL);
    CHECK_INT(error.code, code);
    CHECK(strncmp(error.text, "create_unix_server: ", 20) == 0);
    CHECK_INT(stage_descriptors(s), before);
}

static void S41_G3_G4_bad_options_of_a_server(void)
{
    struct stage s;
    begin(&s);
    const char *other = beside(&s);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    check_serve(&s, EDDY_UNIX_SERVER(.backlog = 1), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = ""), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = other, .sock = tcp, .use_sock = true), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.sock = tcp, .use_sock = true), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.sock = datagram, .use_sock = true), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = other, .backlog = -1), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = other, .mode = 01000), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = "\0ab", .path_len = 3, .mode = 0600), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = other, .write_low = 2, .write_high = 1), -EINVAL);
    CHECK_INT(eddy_create_unix_server(s.loop, &actor_class, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_create_unix_server(s.loop, NULL, EDDY_UNIX_SERVER(.path = other), NULL),
              -EINVAL);
    CHECK(!exists(other));
    raw_close(&s, tcp);
    raw_close(&s, datagram);
    stage_close(&s);
}

static void G8_an_unknown_tail_of_options(void)
{
    struct stage s;
    struct {
        struct eddy_unix_connection_opts opts;
        long tail;
    } more = {.opts = *EDDY_UNIX_CONNECTION(.path = "/x"), .tail = 1};
    begin(&s);
    more.opts.abi_size = sizeof more;
    CHECK_INT(eddy_create_unix_connection(s.loop, NULL, &more.opts, NULL), -E2BIG);
    more.opts.abi_size = 8;
    CHECK_INT(eddy_create_unix_connection(s.loop, NULL, &more.opts, NULL), -EINVAL);
    stage_close(&s);
}

static void S44_a_path_too_long_has_no_side_effect(void)
{
    struct stage s;
    char longest[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    struct eddy_server *server = NULL;
    begin(&s);
    memset(longest, 'x', sizeof longest);
    snprintf(longest, sizeof longest, "%s/", s.folder);
    longest[strlen(longest)] = 'x';
    longest[sizeof longest - 1] = '\0'; /* one byte too many, and the NUL */
    check_connect(&s, EDDY_UNIX_CONNECTION(.path = longest), -EINVAL);
    check_serve(&s, EDDY_UNIX_SERVER(.path = longest), -EINVAL);
    longest[sizeof longest - 2] = '\0';
    CHECK_INT(
        eddy_create_unix_server(s.loop, &actor_class, EDDY_UNIX_SERVER(.path = longest), &server),
        0);
    CHECK(exists(longest));
    eddy_server_close(server);
    eddy_server_unref(server);
    CHECK(!exists(longest));
    stage_close(&s);
}

/* ---- socket files ---- */

static void S41_a_stale_socket_file_is_replaced(void)
{
    struct stage s;
    int port;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    s.sys = eddy_sys_posix();
    int fd = raw_bound(&s, &port);
    raw_close(&s, fd); /* its file stays */
    s.server_opts.port = port;
    stage_open(&s);
    CHECK_INT(s.port, port);
    stage_close(&s);
}

static void S41_S42_another_servers_file_is_replaced_and_then_left_by_its_maker(void)
{
    struct stage s;
    struct eddy_server *second = NULL;
    begin(&s);
    s.server_opts.port = s.port;
    CHECK_INT(stage_create_server(&s, &second), 0);
    end_server(&s);
    CHECK(exists(path)); /* it is not the first one's any more */
    s.server = second;
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    end_server(&s);
    CHECK(!exists(path));
    stage_close(&s);
}

static void S41_any_other_file_is_left(void)
{
    struct stage s;
    struct stat st;
    struct eddy_error error = {.code = 0};
    char text[200];
    begin(&s);
    const char *other = beside(&s);
    CHECK_INT(close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    snprintf(text, sizeof text, "Address '%s' is already in use", other);
    for (int link_to = 0; link_to < 2; link_to++) {
        CHECK_INT(eddy_create_unix_server(s.loop, &actor_class,
                                          EDDY_UNIX_SERVER(.path = other, .error = &error), NULL),
                  -EADDRINUSE);
        CHECK_STR(error.text, text);
        CHECK_INT(lstat(other, &st), 0);
        if (link_to == 0) { /* to a socket: what is there is no socket itself */
            CHECK_INT(unlink(other), 0);
            CHECK_INT(symlink(path, other), 0);
        }
    }
    CHECK(exists(path));
    stage_close(&s);
}

static void S42_the_file_goes_with_the_server(void)
{
    struct stage s;
    open_stage(&s);
    CHECK(exists(path));
    end_server(&s);
    CHECK(!exists(path));
    CHECK_INT(actor_write(&s.client, 3), 0); /* connections live on */
    UNTIL(&s, s.peer.received == 3);
    stage_close(&s);
}

static void S42_L16_the_file_goes_with_the_loop(void)
{
    struct stage s;
    begin(&s);
    test_expect_log("server still open when its loop closes");
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK(!exists(path));
    stage_close(&s);
}

static void S42_keep_socket_file(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    begin(&s);
    const char *other = beside(&s);
    CHECK_INT(eddy_create_unix_server(s.loop, &actor_class,
                                      EDDY_UNIX_SERVER(.path = other, .keep_socket_file = true),
                                      &server),
              0);
    eddy_server_close(server);
    eddy_server_unref(server);
    CHECK(exists(other));
    stage_close(&s);
}

static void S42_a_file_that_is_gone_or_replaced(void)
{
    struct stage s;
    begin(&s);
    CHECK_INT(unlink(path), 0);
    end_server(&s); /* nothing is logged */
    CHECK_INT(stage_create_server(&s, &s.server), 0);
    snprintf(path, sizeof path, "%s/%d", s.folder, stage_port(s.server));
    CHECK_INT(unlink(path), 0);
    CHECK_INT(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    end_server(&s);
    CHECK(exists(path));
    stage_close(&s);
}

static void S42_other_failures_are_logged(void)
{
    struct stage s;
    char aside[64];
    begin(&s);
    snprintf(aside, sizeof aside, "%s-aside", s.folder);
    CHECK_INT(rename(s.folder, aside), 0);
    CHECK_INT(close(open(s.folder, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0); /* -ENOTDIR */
    test_expect_log("is not removed");
    end_server(&s);
    CHECK_INT(unlink(s.folder), 0);
    CHECK_INT(rename(aside, s.folder), 0);
    stage_close(&s);
}

static void close_server_in_child(void *user)
{
    struct stage *s = user;
    eddy_server_close(s->server);
}

static void S42_only_the_process_that_made_it_removes_it(void)
{
    struct stage s;
    begin(&s);
    test_in_child(close_server_in_child, &s);
    CHECK(exists(path));
    end_server(&s);
    CHECK(!exists(path));
    stage_close(&s);
}

static unsigned mode_with(struct stage *s, unsigned mode, unsigned mask)
{
    struct eddy_server *server = NULL;
    struct stat st = {.st_mode = 0};
    const char *other = beside(s);
    mode_t before = umask((mode_t)mask);
    CHECK_INT(eddy_create_unix_server(s->loop, &actor_class,
                                      EDDY_UNIX_SERVER(.path = other, .mode = mode), &server),
              0);
    umask(before);
    CHECK_INT(lstat(other, &st), 0);
    eddy_server_close(server);
    eddy_server_unref(server);
    return st.st_mode & 07777;
}

static void S41_mode_of_the_socket_file(void)
{
    struct stage s;
    begin(&s);
    CHECK_INT(mode_with(&s, 0600, 0), 0600);
    CHECK_INT(mode_with(&s, 0666, 077), 0666);
    CHECK_INT(mode_with(&s, 0, 027), 0750);
    stage_close(&s);
}

/* ---- abstract names ---- */

static void hear_nothing(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static const struct eddy_protocol_class deaf_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("deaf"),
    .data_received = hear_nothing,
};

static void serve_abstract(struct stage *s, const char *name, size_t len)
{
    CHECK_INT(eddy_create_unix_server(s->loop, &actor_class,
                                      EDDY_UNIX_SERVER(.path = name, .path_len = len, .arg = s),
                                      &s->server),
              0);
}

/* A connection that the server's side sees end; what came of it. */
static int connect_abstract(struct stage *s, const char *name, size_t len)
{
    struct eddy_protocol p;
    struct eddy_future *f = NULL;
    eddy_protocol_init(&p, &deaf_class);
    CHECK_INT(eddy_create_unix_connection(s->loop, &p,
                                          EDDY_UNIX_CONNECTION(.path = name, .path_len = len), &f),
              0);
    UNTIL(s, eddy_future_is_done(f));
    int rc = eddy_future_result(f, NULL);
    eddy_future_unref(f);
    eddy_protocol_detach(&p);
    return rc;
}

static void S43_abstract_names(void)
{
    struct stage s;
    struct eddy_addr a;
    char name[32], text[EDDY_ADDR_TEXT];
    begin(&s);
    end_server(&s);
    /* Unique, with a NUL inside that counts. */
    int len = snprintf(name + 1, sizeof name - 1, "eddy%d", (int)getpid()) + 4;
    name[0] = name[len - 3] = '\0';
    name[len - 2] = 'x';
    name[len - 1] = 'y';
    serve_abstract(&s, name, (size_t)len);
    CHECK_INT(eddy_server_sockname(s.server, 0, &a), 0);
    CHECK_INT(a.len, offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    CHECK(strncmp(eddy_addr_format(&a, text, sizeof text), "unix:@eddy", 10) == 0);
    /* A byte less is another name. */
    CHECK_INT(connect_abstract(&s, name, (size_t)len - 1), -ECONNREFUSED);
    CHECK_INT(connect_abstract(&s, name, (size_t)len), 0);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    stage_close(&s);
}

/* ---- clients ---- */

static void T39_T2_names_and_kind(void)
{
    struct stage s;
    struct eddy_addr a;
    char text[EDDY_ADDR_TEXT], expected[200];
    open_stage(&s);
    snprintf(expected, sizeof expected, "unix:%s", path);
    CHECK_STR(eddy_transport_kind(s.client.t), "unix");
    CHECK_INT(eddy_transport_peername(s.client.t, &a), 0);
    CHECK_STR(eddy_addr_format(&a, text, sizeof text), expected);
    CHECK_INT(eddy_transport_sockname(s.peer.t, &a), 0);
    CHECK_STR(eddy_addr_format(&a, text, sizeof text), expected);
    CHECK_INT(eddy_transport_peername(s.peer.t, &a), 0); /* a client has no name */
    CHECK_STR(eddy_addr_format(&a, text, sizeof text), "unnamed");
    CHECK_INT(eddy_server_port(s.server), -1);
    stage_close(&s);
}

static void S40_R7_nobody_is_there(void)
{
    struct stage s;
    begin(&s);
    s.connection_opts.port = 77;
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    CHECK_INT(s.client.code, -ENOENT);
    CHECK_INT(s.client.status, -ENOENT);
    CHECK_INT(s.client.count[ON_FAILED], 1);
    CHECK(strstr(s.client.error.text, "connect to unix:/") != NULL);
    s.connection_opts.port = 0;
    stage_refuse(&s);
    trace_clear(&s.client.trace);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CF(ECONNREFUSED) RET(ECONNREFUSED)");
    stage_close(&s);
}

static void S4_S40_both_ends_of_a_pair(void)
{
    struct stage s;
    struct actor other;
    int pair[2];
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_add(&s, &other, false);
    stage_begin(&s);
    test_socketpair(pair);
    s.connection_opts = *EDDY_CONNECTION(.sock = pair[0], .use_sock = true);
    CHECK_INT(actor_connect(&s.client), 0);
    s.connection_opts.sock = pair[1];
    CHECK_INT(actor_connect(&other), 0);
    UNTIL(&s, s.client.done && other.done);
    CHECK_STR(eddy_transport_kind(other.t), "unix");
    CHECK_INT(actor_write(&s.client, 5), 0);
    UNTIL(&s, other.received == 5);
    stage_close(&s);
}

static void S24_a_bound_socket_and_its_file(void)
{
    struct stage s;
    struct eddy_server *server = NULL;
    int port;
    begin(&s);
    int fd = raw_bound(&s, &port);
    snprintf(path, sizeof path, "%s/%d", s.folder, port);
    CHECK_INT(eddy_create_unix_server(s.loop, &actor_class,
                                      EDDY_UNIX_SERVER(.sock = fd, .use_sock = true, .arg = &s),
                                      &server),
              0);
    CHECK_INT(eddy_server_fd(server, 0), fd);
    s.connection_opts.port = port;
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_STR(eddy_transport_kind(s.peer.t), "unix");
    eddy_server_close(server);
    CHECK(exists(path)); /* who made it removes it */
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    eddy_protocol_abort(s.peer.p, NULL);
    UNTIL(&s, s.peer.p == NULL);
    eddy_server_unref(server);
    stage_close(&s);
}

/* ---- a full backlog ---- */

static int fill_backlog(struct stage *s, int fds[], int max)
{
    int n = 0;
    while (n < max) {
        struct eddy_addr to;
        int fd = s->sys->cls->socket(s->sys, AF_UNIX, SOCK_STREAM, 0);
        raw_address(s, s->connection_opts.port, &to);
        if (s->sys->cls->connect(s->sys, fd, &to) == -EAGAIN) {
            raw_close(s, fd);
            return n;
        }
        fds[n++] = fd;
    }
    FAIL("the backlog is never full");
    return n;
}

static void S40_a_full_backlog_is_waited_for_without_spinning(void)
{
    struct stage s;
    int fds[64], steps = 0;
    begin(&s);
    int listener = raw_listen(&s, 1, &s.connection_opts.port);
    int n = fill_backlog(&s, fds, 64);
    CHECK_INT(actor_connect(&s.client), 0);
    for (eddy_nsec end = eddy_loop_time(s.loop) + EDDY_MSEC(300); eddy_loop_time(s.loop) < end;
         steps++)
        CHECK_INT(eddy_loop_run_once(s.loop, EDDY_MSEC(300)), 0);
    CHECK(steps < 30);
    CHECK_TRACE(s.client.trace, ""); /* it is not connected, and says nothing else */
    raw_close(&s, raw_accept(&s, listener));
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CM RET");
    for (int i = 0; i < n; i++)
        raw_close(&s, fds[i]);
    raw_close(&s, listener);
    UNTIL(&s, s.client.p == NULL);
    stage_close(&s);
}

static void S40_S13_a_full_backlog_deadline_and_cancel(void)
{
    struct stage s;
    int fds[64];
    begin(&s);
    int listener = raw_listen(&s, 1, &s.connection_opts.port);
    int n = fill_backlog(&s, fds, 64), open = stage_descriptors(&s);
    s.connection_opts.timeout = EDDY_MSEC(30);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CF(ETIMEDOUT) RET(ETIMEDOUT)");
    CHECK_INT(stage_descriptors(&s), open);
    UNTIL(&s, s.client.p == NULL);
    trace_clear(&s.client.trace);
    s.connection_opts.timeout = 0;
    CHECK_INT(actor_connect(&s.client), 0);
    stage_run_for(&s, EDDY_MSEC(5));
    CHECK(eddy_future_cancel(s.client.future, NULL));
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CF(ECANCELED) RET(ECANCELED)");
    raw_close(&s, raw_accept(&s, listener));
    stage_run_for(&s, EDDY_MSEC(20)); /* there is room now, and nobody who would use it */
    struct eddy_addr from;
    int more = 0;
    for (int fd; (fd = s.sys->cls->accept(s.sys, listener, &from)) >= 0; more++)
        raw_close(&s, fd);
    CHECK_INT(more, n - 1);
    for (int i = 0; i < n; i++)
        raw_close(&s, fds[i]);
    n = fill_backlog(&s, fds, 64);
    /* The listener goes: that is an answer. */
    UNTIL(&s, s.client.p == NULL);
    trace_clear(&s.client.trace);
    CHECK_INT(actor_connect(&s.client), 0);
    raw_close(&s, listener);
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CF(ECONNREFUSED) RET(ECONNREFUSED)");
    for (int i = 0; i < n; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

/* ---- the end ---- */

static void T5_close_does_not_wait_for_a_peer_that_has_not_read(void)
{
    struct stage s;
    size_t got;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    s.peer.out_key = 1;
    int fd = stage_open_raw(&s);
    CHECK_INT(actor_write(&s.peer, 50000), 0);
    eddy_transport_close(s.peer.t);
    test_run_steps(s.loop, 3);
    CHECK_TRACE(s.peer.trace, "CM CL(0)"); /* at once: all is in the peer's queue */
    CHECK_INT(raw_drain(&s, fd, 1, &got), 0);
    CHECK_INT(got, 50000);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_what_is_unread_does_not_turn_the_peers_end_into_a_reset(void)
{
    struct stage s;
    size_t got;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    s.peer.out_key = 1;
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "unread", 6), 0);
    CHECK_INT(actor_write(&s.peer, 1000), 0);
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    CHECK_INT(raw_drain(&s, fd, 1, &got), 0);
    CHECK_INT(got, 1000);
    raw_close(&s, fd);
    stage_close(&s);
}

/* ---- who the peer is ---- */

static void T2_peer_credentials(void)
{
    struct stage s;
    struct eddy_peercred cred;
    open_stage(&s);
    struct eddy_transport *ends[] = {s.client.t, s.peer.t};
    for (int i = 0; i < 2; i++) {
        memset(&cred, 0, sizeof cred);
        CHECK_INT(eddy_transport_peercred(ends[i], &cred), 0);
        CHECK_INT(cred.pid, getpid());
        CHECK_INT(cred.uid, geteuid());
        CHECK_INT(cred.gid, getegid());
    }
    CHECK_INT(eddy_transport_peercred(s.client.t, NULL), -EINVAL);
    CHECK_INT(eddy_transport_peercred(NULL, &cred), -EINVAL);
    stage_close(&s);
}

static void G24_credentials_and_descriptors_are_not_for_tcp(void)
{
    struct stage s;
    struct eddy_peercred cred;
    int fd = 0;
    setenv("EDDY_TEST_ROAD", "tcp", 1);
    stage_init(&s);
    stage_open(&s);
    CHECK_INT(eddy_transport_peercred(s.client.t, &cred), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, &fd, 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_take_fds(s.client.t, &fd, 1), 0);
    stage_close(&s);
}

/* ---- a whole program ---- */

static bool was_there;

static void has_started(struct eddy_server *server, void *arg)
{
    (void)arg;
    was_there = exists(path);
    eddy_loop_stop(eddy_server_loop(server));
}

static void S16_S42_serve_unix(void)
{
    struct stage s;
    struct eddy_protocol_class cls = actor_class;
    struct eddy_error error = {.code = 0};
    begin(&s);
    snprintf(path, sizeof path, "%s", beside(&s));
    was_there = false;
    CHECK_INT(eddy_serve_unix(&cls, EDDY_UNIX_SERVER(.path = path, .started = has_started)), 0);
    CHECK(was_there);
    CHECK(!exists(path));
    test_expect_log("create_unix_server: either .path or .sock");
    CHECK_INT(eddy_serve_unix(&cls, EDDY_UNIX_SERVER(.error = &error)), -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    test_expect_log("EDDY_UNIX_SERVER()");
    CHECK_INT(eddy_serve_unix(&cls, NULL), -EINVAL);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(S40_G3_G4_bad_options_of_a_client),
    CASE(S41_G3_G4_bad_options_of_a_server),
    CASE(G8_an_unknown_tail_of_options),
    CASE(S44_a_path_too_long_has_no_side_effect),
    CASE(S41_a_stale_socket_file_is_replaced),
    CASE(S41_S42_another_servers_file_is_replaced_and_then_left_by_its_maker),
    CASE(S41_any_other_file_is_left),
    CASE(S42_the_file_goes_with_the_server),
    CASE(S42_L16_the_file_goes_with_the_loop),
    CASE(S42_keep_socket_file),
    CASE(S42_a_file_that_is_gone_or_replaced),
    CASE(S42_other_failures_are_logged),
    CASE(S42_only_the_process_that_made_it_removes_it),
    CASE(S41_mode_of_the_socket_file),
    CASE(S43_abstract_names),
    CASE(T39_T2_names_and_kind),
    CASE(S40_R7_nobody_is_there),
    CASE(S4_S40_both_ends_of_a_pair),
    CASE(S24_a_bound_socket_and_its_file),
    CASE(S40_a_full_backlog_is_waited_for_without_spinning),
    CASE(S40_S13_a_full_backlog_deadline_and_cancel),
    CASE(T5_close_does_not_wait_for_a_peer_that_has_not_read),
    CASE(T5_what_is_unread_does_not_turn_the_peers_end_into_a_reset),
    CASE(T2_peer_credentials),
    CASE(G24_credentials_and_descriptors_are_not_for_tcp),
    CASE(S16_S42_serve_unix),
    {NULL, NULL},
};
