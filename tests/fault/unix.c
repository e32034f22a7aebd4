/* backends: select poll epoll io_uring */
/* timeout: 120 */
/*
 * Unix sockets when things fail: contract G3, G5, G29, S27, S41, D7. A life in small, with
 * descriptors both ways, in which each allocation and each system call fails once: what is lost
 * says why, nothing is lost beside it, and nothing leaks, which main checks.
 */
#include "tests/support/stream.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- system calls of which one fails ---- */

enum call {
    SOCKET,
    BIND,
    LISTEN,
    ACCEPT,
    CONNECT,
    ERROR,
    SOCKNAME,
    PEERNAME,
    SENDV,
    SHUTDOWN,
    RECV,
    RECV_FDS,
    SEND_FDS,
    PENDING,
    CALLS,
};

static struct {
    unsigned made[CALLS];
    enum call call;
    unsigned nth; /* 0: none fails */
    int code;
} plan;

static bool fails(enum call call)
{
    return ++plan.made[call] == plan.nth && plan.call == call;
}

#define REAL(slot) eddy_sys_posix()->cls->slot

static int f_socket(struct eddy_sys *sys, int family, int type, int protocol)
{
    return fails(SOCKET) ? plan.code : REAL(socket)(sys, family, type, protocol);
}

static int f_bind(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    return fails(BIND) ? plan.code : REAL(bind)(sys, fd, a);
}

static int f_listen(struct eddy_sys *sys, eddy_fd fd, int backlog)
{
    return fails(LISTEN) ? plan.code : REAL(listen)(sys, fd, backlog);
}

static int f_accept(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    return fails(ACCEPT) ? plan.code : REAL(accept)(sys, fd, ret);
}

static int f_connect(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    return fails(CONNECT) ? plan.code : REAL(connect)(sys, fd, a);
}

static int f_error(struct eddy_sys *sys, eddy_fd fd)
{
    return fails(ERROR) ? plan.code : REAL(error)(sys, fd);
}

static int f_sockname(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    return fails(SOCKNAME) ? plan.code : REAL(sockname)(sys, fd, ret);
}

static int f_peername(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    return fails(PEERNAME) ? plan.code : REAL(peername)(sys, fd, ret);
}

static ssize_t f_sendv(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    return fails(SENDV) ? plan.code : REAL(sendv)(sys, fd, iov, n);
}

static int f_shutdown(struct eddy_sys *sys, eddy_fd fd, int how)
{
    return fails(SHUTDOWN) ? plan.code : REAL(shutdown)(sys, fd, how);
}

static ssize_t f_recv(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    return fails(RECV) ? plan.code : REAL(recv)(sys, fd, buf, len);
}

static ssize_t f_recv_fds(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len, eddy_fd *fds,
                          int *count)
{
    return fails(RECV_FDS) ? plan.code : REAL(recv_fds)(sys, fd, buf, len, fds, count);
}

static ssize_t f_send_fds(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n,
                          const eddy_fd *fds, int count)
{
    return fails(SEND_FDS) ? plan.code : REAL(send_fds)(sys, fd, iov, n, fds, count);
}

static int f_pending(struct eddy_sys *sys, eddy_fd fd, int *in, int *out)
{
    return fails(PENDING) ? plan.code : REAL(pending)(sys, fd, in, out);
}

/* ---- a life in small: the client sends a descriptor and bytes, the server all of it back ---- */

struct life {
    struct eddy_protocol client;
    struct eddy_loop *loop;
    struct eddy_server *server;
    struct eddy_future *future;
    int result, status, client_code, server_code, problem_code;
    int client_made, client_ended, server_made, server_lost, passed, returned;
};

struct guest {
    struct eddy_protocol base;
    struct life *life;
};

static char path[64];

/* What cannot be sent is not, and nothing has changed: it is the caller's to say so. */
static void send_or_abort(struct eddy_transport *t, const void *data, size_t len, const int *fds,
                          unsigned n)
{
    struct eddy_error e;
    int rc = eddy_transport_send_fds(t, data, len, fds, n);
    if (rc < 0 && eddy_error_set(&e, rc, "send", "not sent") < 0)
        eddy_transport_abort(t, &e);
}

static void client_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct life *l = EDDY_CONTAINER_OF(p, struct life, client);
    int fd = 0;
    l->client_made++;
    eddy_transport_write(t, "before", 6);
    send_or_abort(t, "with", 4, &fd, 1);
    eddy_transport_write(t, "after", 5);
}

static void client_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct life *l = EDDY_CONTAINER_OF(p, struct life, client);
    int fd;
    (void)data;
    while (eddy_transport_take_fds(p->transport, &fd, 1) == 1) {
        l->passed++;
        close(fd);
    }
    l->returned += (int)len;
    if (l->returned == 15)
        eddy_transport_close(p->transport);
}

static void client_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct life *l = EDDY_CONTAINER_OF(p, struct life, client);
    l->client_ended++;
    l->client_code = err ? err->code : 0;
}

static const struct eddy_protocol_class client_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("client"),
    .connection_made = client_made,
    .data_received = client_data,
    .connect_failed = client_lost,
    .connection_lost = client_lost,
};

static struct guest *guest_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct guest, base);
}

static int guest_init(struct eddy_protocol *p, void *arg)
{
    guest_of(p)->life = arg;
    return 0;
}

static void guest_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    guest_of(p)->life->server_made++;
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    int fds[2];
    unsigned n = eddy_transport_take_fds(p->transport, fds, 2);
    if (n > 0)
        send_or_abort(p->transport, data, len, fds, n);
    else
        eddy_transport_write(p->transport, data, len);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

static void guest_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    guest_of(p)->life->server_lost++;
    guest_of(p)->life->server_code = err ? err->code : 0;
}

static const struct eddy_protocol_class guest_class = {
    EDDY_PROTOCOL_CLASS(struct guest, base), .init = guest_init,
    .connection_made = guest_made,           .data_received = guest_data,
    .connection_lost = guest_lost,
};

static void on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    struct life *l = user;
    (void)loop;
    l->problem_code = problem->error ? problem->error->code : -1;
}

static void drop_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user, (void)level, (void)component, (void)text;
}

static void run_to_the_end(struct life *l)
{
    eddy_nsec deadline = eddy_loop_time(l->loop) + EDDY_SEC(10);
    bool retried = false; /* after want of resources the server rests for a second */
    while ((l->client_ended == 0 || eddy_server_connections(l->server) > 0) &&
           eddy_loop_time(l->loop) < deadline) {
        CHECK_INT(eddy_loop_run_once(l->loop, EDDY_MSEC(20)), 0);
        if (l->problem_code && !retried && l->client_ended == 0) {
            retried = true;
            eddy_protocol_abort(&l->client, EDDY_ERROR(-ECANCELED, "enough"));
        }
    }
    CHECK_INT(l->client_ended, 1);
    CHECK_INT(eddy_server_connections(l->server), 0);
}

static void live(struct life *l)
{
    static struct eddy_sys_class cls;
    static struct eddy_sys sys = {.cls = &cls};
    struct eddy_error error = {.code = 0};
    cls = *eddy_sys_posix()->cls;
    cls.socket = f_socket, cls.bind = f_bind, cls.listen = f_listen;
    cls.accept = f_accept, cls.connect = f_connect, cls.error = f_error;
    cls.sockname = f_sockname, cls.peername = f_peername, cls.sendv = f_sendv;
    cls.shutdown = f_shutdown, cls.recv = f_recv, cls.recv_fds = f_recv_fds;
    cls.send_fds = f_send_fds, cls.pending = f_pending;
    memset(l, 0, sizeof *l);
    memset(plan.made, 0, sizeof plan.made);
    l->result =
        eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .sys = &sys, .on_problem = on_problem,
                                .log = drop_log, .user = l, .debug = true),
                      &l->loop);
    if (l->result < 0)
        return;
    l->result = eddy_create_unix_server(
        l->loop, &guest_class,
        EDDY_UNIX_SERVER(.path = path, .mode = 0600, .arg = l, .max_fds = 2, .error = &error),
        &l->server);
    if (l->result == 0) {
        eddy_protocol_init(&l->client, &client_class);
        l->result = eddy_create_unix_connection(
            l->loop, &l->client, EDDY_UNIX_CONNECTION(.path = path, .max_fds = 2, .error = &error),
            &l->future);
    }
    if (l->result < 0)
        CHECK(error.code == l->result && error.text[0] != '\0');
    else
        run_to_the_end(l);
    l->status =
        l->future && eddy_future_is_done(l->future) ? eddy_future_result(l->future, NULL) : 0;
    eddy_future_unref(l->future);
    eddy_server_close(l->server);
    CHECK(access(path, F_OK) < 0);
    eddy_server_unref(l->server);
    CHECK_INT(eddy_loop_close(l->loop), 0);
    eddy_loop_unref(l->loop);
    CHECK_INT(l->server_made, l->server_lost);
}

static bool is_perfect(const struct life *l)
{
    return l->result == 0 && l->status == 0 && l->client_code == 0 && l->server_code == 0 &&
           l->problem_code == 0 && l->passed == 1 && l->returned == 15;
}

static bool has_reported(const struct life *l, int code)
{
    return l->result == code || l->status == code || l->client_code == code ||
           l->server_code == code || l->problem_code == code;
}

static void with_folder(void (*fn)(void))
{
    char folder[] = "/tmp/eddy-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/s", folder);
    fn();
    unlink(path);
    CHECK_INT(rmdir(folder), 0);
}

/* ---- each of them once ---- */

static void each_allocation(void)
{
    bool failed = true;
    for (long n = 1; failed && n < 200; n++) {
        struct life l;
        long allocations = test_live_allocations();
        int open = test_open_descriptors();
        plan.nth = 0;
        test_fail_allocation(n);
        live(&l);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        if (!CHECK(failed ? is_perfect(&l) || has_reported(&l, -ENOMEM) : is_perfect(&l)))
            FAIL("... at allocation %ld: %d, %d, client %d, server %d, %d", n, l.result, l.status,
                 l.client_code, l.server_code, l.problem_code);
        CHECK_INT(test_live_allocations(), allocations);
        CHECK_INT(test_open_descriptors(), open);
    }
    CHECK(!failed);
}

static void G5_D7_each_allocation_fails_once(void)
{
    with_folder(each_allocation);
}

static void sweep(enum call call, int code, bool passing)
{
    struct life l;
    unsigned made;
    plan.call = call;
    plan.code = code;
    plan.nth = 0;
    live(&l);
    CHECK(is_perfect(&l));
    made = plan.made[call];
    for (unsigned n = 1; n <= made; n++) {
        int open = test_open_descriptors();
        plan.nth = n;
        live(&l);
        if (!CHECK(is_perfect(&l) || (!passing && has_reported(&l, code))))
            FAIL("... call %d, number %u of %u, %s: %d, %d, client %d, server %d, %d", (int)call, n,
                 made, test_code(code), l.result, l.status, l.client_code, l.server_code,
                 l.problem_code);
        CHECK_INT(test_open_descriptors(), open);
    }
    plan.nth = 0;
}

static void each_call(void)
{
    static const struct {
        enum call call;
        int code;
        bool passing;
    } faults[] = {
        {SOCKET, -EMFILE, false},   {SOCKET, -ENFILE, false},      {BIND, -EACCES, false},
        {BIND, -ENOSPC, false},     {LISTEN, -ENOBUFS, false},     {ACCEPT, -EMFILE, false},
        {ACCEPT, -EAGAIN, true},    {ACCEPT, -ECONNABORTED, true}, {CONNECT, -EAGAIN, true},
        {CONNECT, -EACCES, false},  {CONNECT, -ENOENT, false},     {ERROR, -ECONNREFUSED, false},
        {SOCKNAME, -ENOBUFS, true}, {PEERNAME, -ENOBUFS, true},    {SENDV, -EAGAIN, true},
        {SENDV, -EPIPE, false},     {SHUTDOWN, -ENOTCONN, true},   {RECV, -ECONNRESET, false},
        {RECV_FDS, -EAGAIN, true},  {RECV_FDS, -EMSGSIZE, false},  {RECV_FDS, -EMFILE, false},
        {RECV_FDS, -ENOMEM, false}, {SEND_FDS, -EAGAIN, true},     {SEND_FDS, -ETOOMANYREFS, false},
        {SEND_FDS, -EPIPE, false},  {PENDING, -EINVAL, true},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sweep(faults[i].call, faults[i].code, faults[i].passing);
}

static void G3_D7_each_system_call_fails_once(void)
{
    with_folder(each_call);
}

/* ---- .sock ---- */

static void G29_S4_a_socket_is_closed_when_there_is_no_memory(void)
{
    struct stage s;
    int pair[2], rc = -ENOMEM;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_begin(&s);
    for (long n = 1; rc < 0 && n < 100; n++) {
        int before = stage_descriptors(&s);
        test_socketpair(pair);
        eddy_protocol_init(&s.client.own.base, &actor_class);
        test_fail_allocation(n);
        rc = eddy_create_unix_connection(
            s.loop, &s.client.own.base,
            EDDY_UNIX_CONNECTION(.sock = pair[0], .use_sock = true, .max_fds = 3), NULL);
        test_fail_allocation(0);
        if (rc < 0) {
            CHECK_INT(rc, -ENOMEM);
            close(pair[1]);
            UNTIL(&s, stage_descriptors(&s) == before);
        }
    }
    CHECK_INT(rc, 0);
    eddy_protocol_detach(&s.client.own.base);
    close(pair[1]);
    stage_close(&s);
}

static void G3_send_fds_without_memory_changes_nothing(void)
{
    struct stage s;
    int fd = 0, rc = -ENOMEM;
    long n = 1;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    s.max_fds = 4;
    stage_open(&s);
    for (; rc < 0 && n < 10; n++) {
        int before = stage_descriptors(&s);
        test_fail_allocation(n);
        rc = eddy_transport_send_fds(s.client.t, "x", 1, &fd, 1);
        test_fail_allocation(0);
        if (rc < 0) {
            CHECK_INT(rc, -ENOMEM);
            CHECK_INT(stage_descriptors(&s), before);
            CHECK(!eddy_transport_is_closing(s.client.t));
        }
    }
    CHECK(n > 2);
    UNTIL(&s, s.peer.received == 1);
    stage_close(&s);
}

/* The loop's table of descriptors grows in steps: numbers enough to be behind one of them. */
enum {
    MANY = 520,
};

static void G3_G5_S23_without_memory_to_serve_nobody_listens(void)
{
    struct stage s;
    static int fd[MANY];
    bool failed = true;
    long n = 1;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    s.server_opts.not_serving = true;
    REQUIRE(test_loop_new(&s.loop) == 0);
    s.sys = eddy_sys_posix();
    for (int i = 0; i < MANY; i++)
        REQUIRE((fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    REQUIRE(stage_create_server(&s, &s.server) == 0);
    s.port = stage_port(s.server);
    for (; failed && n < 100; n++) {
        test_fail_allocation(n);
        int rc = eddy_server_start_serving(s.server);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(rc, failed ? -ENOMEM : 0);
        CHECK_INT(eddy_server_is_serving(s.server), !failed);
        if (failed)
            CHECK_INT(raw_result(&s), -ECONNREFUSED);
    }
    CHECK(n > 2);
    s.peer.init_result = -ECONNABORTED;
    CHECK_INT(raw_result(&s), 0); /* it listens after all */
    for (int i = 0; i < MANY; i++)
        raw_close(&s, fd[i]);
    s.descriptors = stage_descriptors(&s) - 1;
    stage_close(&s);
}

/* ---- the file system ---- */

static int serve_at(struct stage *s, const char *at, struct eddy_error *e)
{
    e->text[0] = '\0';
    return eddy_create_unix_server(s->loop, &actor_class, EDDY_UNIX_SERVER(.path = at, .error = e),
                                   NULL);
}

static void S41_G3_what_the_file_system_refuses(void)
{
    struct stage s;
    struct stat st;
    struct eddy_error e;
    char file[64], at[80];
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_begin(&s);
    int open_before = stage_descriptors(&s);
    snprintf(file, sizeof file, "%s/%d", s.folder, ++s.last_port);
    CHECK_INT(serve_at(&s, "/nonexistent-folder/s", &e), -ENOENT);
    CHECK(strstr(e.text, "unix:/nonexistent-folder/s") != NULL);
    CHECK_INT(close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    snprintf(at, sizeof at, "%s/below", file);
    CHECK_INT(serve_at(&s, at, &e), -ENOTDIR);
    CHECK_INT(serve_at(&s, file, &e), -EADDRINUSE);
    CHECK(strstr(e.text, "is already in use") != NULL);
    CHECK_INT(lstat(file, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_INT(serve_at(&s, s.folder, &e), -EADDRINUSE); /* a folder */
    CHECK_INT(stage_descriptors(&s), open_before);
    stage_close(&s);
}

/* Root may do all: as somebody else. */
static void refused_by_permission(void *user)
{
    struct stage *s = user;
    struct eddy_error e;
    char at[64];
    bool root = geteuid() == 0;
    snprintf(at, sizeof at, "%s/new", s->folder);
    CHECK_INT(chmod(s->folder, 0711), 0);
    if (root)
        CHECK_INT(seteuid(65534), 0);
    else
        CHECK_INT(chmod(s->folder, 0500), 0);
    CHECK_INT(serve_at(s, at, &e), -EACCES);
    CHECK(strstr(e.text, "new: ") != NULL);
    if (!root)
        CHECK_INT(chmod(s->folder, 0700), 0);
}

static void S41_no_permission(void)
{
    struct stage s;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_begin(&s);
    test_in_child(refused_by_permission, &s);
    stage_close(&s);
}

static void S27_no_descriptor_left_to_accept(void)
{
    struct stage s;
    struct rlimit was, now;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)fd + 1;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
    UNTIL(&s, s.problems.count == 1);
    setrlimit(RLIMIT_NOFILE, &was);
    CHECK_STR(s.problems.message, "accept out of system resource");
    CHECK_INT(s.problems.code, -EMFILE);
    UNTIL(&s, s.peer.count[ON_MADE] == 1); /* a second later */
    s.expected_problems = 1;
    raw_close(&s, fd);
    UNTIL(&s, s.peer.p == NULL);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G5_D7_each_allocation_fails_once),
    CASE(G3_D7_each_system_call_fails_once),
    CASE(G29_S4_a_socket_is_closed_when_there_is_no_memory),
    CASE(G3_send_fds_without_memory_changes_nothing),
    CASE(G3_G5_S23_without_memory_to_serve_nobody_listens),
    CASE(S41_G3_what_the_file_system_refuses),
    CASE(S41_no_permission),
    CASE(S27_no_descriptor_left_to_accept),
    {NULL, NULL},
};
