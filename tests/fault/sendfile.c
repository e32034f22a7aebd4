/* backends: select poll epoll io_uring */
/* roads: tcp unix */
/* timeout: 120 */
/*
 * Files when things fail: each allocation, each system call once, or little by little. A future
 * that fails says why; what has arrived is what the files' positions and the calls say, without a
 * hole; nothing leaks, which main checks. Contract G3, G5, L92, L94, T12, T16.
 */
#include "tests/contract/sendfile.h"
#include <stdio.h>
#include <string.h>

enum { LEN = 150000, WRITTEN = 100, FILES = 2 };

enum call { SENDFILE, READ_FILE, SENDV, SEND, CALLS };

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

static size_t most(size_t len)
{
    return faulty.most && len > faulty.most ? faulty.most : len;
}

#define REAL(slot) eddy_sys_posix()->cls->slot

static ssize_t f_sendfile(struct eddy_sys *sys, eddy_fd fd, eddy_fd file, int64_t offset,
                          size_t len)
{
    return is_due(SENDFILE) ? faulty.error : REAL(sendfile)(sys, fd, file, offset, most(len));
}

static ssize_t f_read_file(struct eddy_sys *sys, eddy_fd file, void *buf, size_t len,
                           int64_t offset)
{
    return is_due(READ_FILE) ? faulty.error : REAL(read_file)(sys, file, buf, most(len), offset);
}

static ssize_t f_sendv(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    if (is_due(SENDV))
        return faulty.error;
    if (!faulty.most)
        return REAL(sendv)(sys, fd, iov, n);
    return REAL(send)(sys, fd, iov->iov_base, most(iov->iov_len));
}

static ssize_t f_send(struct eddy_sys *sys, eddy_fd fd, const void *data, size_t len)
{
    return is_due(SEND) ? faulty.error : REAL(send)(sys, fd, data, most(len));
}

static void begin_loop(struct stage *s, bool copies)
{
    faulty.cls = *eddy_sys_posix()->cls;
    faulty.cls.sendfile = copies ? NULL : f_sendfile;
    faulty.cls.read_file = f_read_file;
    faulty.cls.sendv = f_sendv;
    faulty.cls.send = f_send;
    faulty.sys.cls = &faulty.cls;
    REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .sys = &faulty.sys,
                                    .on_problem = test_on_problem, .user = &s->problems),
                          &s->loop) == 0);
    s->sys = eddy_sys_posix();
}

/* ---- a life in small: bytes, a file, bytes, another one, the end ---- */

struct life {
    struct scene c;
    bool copies, no_fallback;
    int results[FILES];      /* of the calls */
    long long values[FILES]; /* of the futures */
    long long positions[FILES];
    size_t written, received;
    uint8_t got[2 * LEN + 2 * WRITTEN];
    int code;
};

static void fill_pipe(struct life *l)
{
    struct actor *a = &l->c.s.client;
    struct eddy_future *f[FILES] = {NULL, NULL};
    int files[FILES];
    for (int i = 0; i < FILES; i++) {
        files[i] = stream_file(LEN);
        if (eddy_transport_write(a->t, "0123456789", 10) == 0)
            l->written += 10;
        l->results[i] = eddy_transport_sendfile(
            a->t, files[i], EDDY_SENDFILE(.offset = i, .no_fallback = l->no_fallback), &f[i]);
    }
    eddy_transport_close(a->t);
    eddy_nsec patience = stage_patience(&l->c.s);
    for (;;) {
        ssize_t n = l->c.s.sys->cls->recv(l->c.s.sys, l->c.fd, l->got + l->received,
                                          sizeof l->got - l->received);
        if (n > 0)
            l->received += (size_t)n;
        else if (n != -EAGAIN || !stage_step(&l->c.s, patience))
            break;
    }
    UNTIL(&l->c.s, a->count[ON_LOST] == 1);
    for (int i = 0; i < FILES; i++) {
        l->positions[i] = position(files[i]);
        CHECK(!f[i] || eddy_future_is_done(f[i]));
        l->values[i] = f[i] ? outcome(&f[i]) : l->results[i];
        close(files[i]);
    }
    l->code = a->code;
}

/* Where it ended well all is there that the positions tell. */
static void check_bytes(const struct life *l)
{
    const uint8_t *at = l->got, *end = l->got + l->received;
    for (int i = 0; i < FILES && l->code == 0; i++) {
        size_t sent = l->results[i] == 0 ? (size_t)(l->positions[i] - i) : 0;
        CHECK(end - at >= 10 && memcmp(at, "0123456789", 10) == 0);
        at += 10;
        CHECK((size_t)(end - at) >= sent);
        if ((size_t)(end - at) < sent)
            return;
        CHECK(stream_matches(at, sent, (size_t)i, 1));
        at += sent;
        if (l->values[i] >= 0)
            CHECK_INT(l->values[i], LEN - i);
    }
    if (l->code == 0)
        CHECK(at == end);
}

static struct life life;

static void live(bool copies, bool no_fallback)
{
    struct life *l = &life;
    memset(l, 0, sizeof *l);
    l->no_fallback = no_fallback;
    stage_init(&l->c.s);
    faulty.made = 0;
    long nth = faulty.nth;
    faulty.nth = 0; /* not yet */
    begin_loop(&l->c.s, copies);
    l->c.s.descriptors = test_open_descriptors();
    l->c.listener = raw_listen(&l->c.s, 5, &l->c.s.connection_opts.port);
    CHECK_INT(actor_connect(&l->c.s.client), 0);
    UNTIL(&l->c.s, l->c.s.client.done);
    l->c.fd = raw_accept(&l->c.s, l->c.listener);
    REQUIRE(l->c.s.client.t != NULL);
    faulty.made = 0;
    faulty.nth = nth;
    fill_pipe(l);
    check_bytes(l);
    raw_close(&l->c.s, l->c.fd);
    raw_close(&l->c.s, l->c.listener);
    stage_close(&l->c.s);
}

static bool is_perfect(void)
{
    return life.code == 0 && life.values[0] == LEN && life.values[1] == LEN - 1;
}

/* What became of it when one after the other of the calls failed. */
static void fail_each(enum call call, int error, bool copies, bool no_fallback, void (*check)(void))
{
    faulty.call = call;
    faulty.nth = 0;
    faulty.most = 40000;
    live(copies, no_fallback);
    CHECK(is_perfect());
    long calls = faulty.made;
    CHECK(calls > 0);
    for (faulty.nth = 1; faulty.nth <= calls; faulty.nth++) {
        faulty.error = error;
        live(copies, no_fallback);
        check();
    }
    faulty.nth = 0;
    faulty.most = 0;
}

static void all_is_well(void)
{
    CHECK(is_perfect());
}

static void connection_is_lost(void)
{
    CHECK_INT(life.code, faulty.error);
    CHECK(life.values[0] == faulty.error || life.values[1] == faulty.error ||
          life.results[0] == EDDY_EINVALID_STATE || life.results[1] == EDDY_EINVALID_STATE);
}

static void one_file_fails(void)
{
    CHECK_INT(life.code, 0);
    CHECK(life.values[0] == faulty.error || life.values[1] == faulty.error);
    CHECK(life.values[0] == LEN || life.values[1] == LEN - 1);
}

static void one_file_fails_or_does_not_do(void)
{
    for (int i = 0; i < FILES; i++)
        if (life.values[i] == EDDY_ESENDFILE_NA) {
            CHECK_INT(life.positions[i], i);
            life.values[i] = faulty.error;
        } else if (life.values[i] < 0) {
            CHECK(life.positions[i] > i);
        }
    one_file_fails();
}

static void T12_would_block_loses_nothing(void)
{
    fail_each(SENDFILE, -EAGAIN, false, false, all_is_well);
    fail_each(SENDV, -EAGAIN, true, false, all_is_well);
}

static void L94_the_call_refuses_once_and_the_rest_is_copied(void)
{
    fail_each(SENDFILE, -EINVAL, false, false, all_is_well);
    fail_each(SENDFILE, -EIO, false, false, all_is_well);
    fail_each(SENDFILE, -ENOMEM, false, false, all_is_well);
}

static void L94_the_call_refuses_and_nothing_is_copied(void)
{
    fail_each(SENDFILE, -EINVAL, false, true, one_file_fails_or_does_not_do);
    fail_each(SENDFILE, -EIO, false, true, one_file_fails_or_does_not_do);
}

static void L94_T16_the_socket_fails(void)
{
    fail_each(SENDFILE, -EPIPE, false, false, connection_is_lost);
    fail_each(SENDFILE, -ECONNRESET, false, true, connection_is_lost);
    fail_each(SENDV, -ECONNRESET, true, false, connection_is_lost);
}

static void L94_reading_the_file_fails(void)
{
    fail_each(READ_FILE, -EIO, true, false, one_file_fails);
}

static void T12_little_by_little(void)
{
    static const size_t sizes[] = {1000, 4096, 65537};
    for (int i = 0; i < 3; i++) {
        faulty.nth = 0;
        faulty.most = sizes[i];
        live(false, false);
        CHECK(is_perfect());
        live(true, false);
        CHECK(is_perfect());
    }
    faulty.most = 0;
}

/* ---- allocations ---- */

static void fail_allocations(bool copies)
{
    faulty.nth = 0;
    faulty.most = 0;
    for (long nth = 1;; nth++) {
        struct life *l = &life;
        memset(l, 0, sizeof *l);
        stage_init(&l->c.s);
        begin_loop(&l->c.s, copies);
        l->c.s.descriptors = test_open_descriptors();
        l->c.listener = raw_listen(&l->c.s, 5, &l->c.s.connection_opts.port);
        CHECK_INT(actor_connect(&l->c.s.client), 0);
        UNTIL(&l->c.s, l->c.s.client.done);
        l->c.fd = raw_accept(&l->c.s, l->c.listener);
        REQUIRE(l->c.s.client.t != NULL);
        test_fail_allocation(nth);
        fill_pipe(l);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        check_bytes(l);
        if (failed)
            CHECK(l->code == -ENOMEM || l->values[0] == -ENOMEM || l->values[1] == -ENOMEM ||
                  is_perfect()); /* of the kind that something else takes the place of */
        raw_close(&l->c.s, l->c.fd);
        raw_close(&l->c.s, l->c.listener);
        stage_close(&l->c.s);
        if (!failed)
            break;
    }
    CHECK(is_perfect());
}

static void G5_each_allocation_fails_once(void)
{
    fail_allocations(false);
    fail_allocations(true);
}

/* ---- the same of sockets ---- */

static void sock_live(int fd, int reader, int file, bool copies, long long expected)
{
    struct eddy_loop *loop;
    struct eddy_future *f = NULL;
    static uint8_t got[LEN];
    size_t received = 0;
    struct stage s;
    stage_init(&s);
    begin_loop(&s, copies);
    loop = s.loop;
    int rc = eddy_sock_sendfile(loop, fd, file, NULL, &f);
    for (int turn = 0; rc == 0 && turn < 10000 && !eddy_future_is_done(f); turn++) {
        ssize_t n = read(reader, got + received, sizeof got - received);
        received += n > 0 ? (size_t)n : 0;
        eddy_loop_run_once(loop, 0);
    }
    for (ssize_t n; (n = read(reader, got + received, sizeof got - received)) > 0;)
        received += (size_t)n;
    CHECK(stream_matches(got, received, 0, 1));
    if (rc == 0) {
        CHECK_INT(position(file), received);
        rc = (int)outcome(&f);
    }
    if (expected < 0)
        CHECK_INT(rc, expected);
    else
        CHECK_INT(rc, LEN);
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
}

static void sock_fail_each(enum call call, int error, bool copies, int expected)
{
    long calls = 1;
    for (long nth = 0; nth <= calls; nth++) {
        int fds[2], file = stream_file(LEN);
        test_socketpair(fds);
        faulty.call = call;
        faulty.made = 0;
        faulty.nth = nth;
        faulty.most = 40000;
        faulty.error = error;
        sock_live(fds[0], fds[1], file, copies, nth ? expected : 0);
        if (nth == 0)
            calls = faulty.made;
        close(fds[0]);
        close(fds[1]);
        close(file);
    }
    CHECK(calls > 1);
    faulty.nth = 0;
    faulty.most = 0;
}

static void L92_L94_sockets_of_the_users(void)
{
    sock_fail_each(SENDFILE, -EAGAIN, false, 0);
    sock_fail_each(SENDFILE, -EINVAL, false, 0);
    sock_fail_each(SENDFILE, -EPIPE, false, -EPIPE);
    sock_fail_each(SEND, -EAGAIN, true, 0);
    sock_fail_each(SEND, -ECONNRESET, true, -ECONNRESET);
    sock_fail_each(READ_FILE, -EIO, true, -EIO);
}

const struct test_case test_cases[] = {
    TEST(T12_would_block_loses_nothing),
    TEST(L94_the_call_refuses_once_and_the_rest_is_copied),
    TEST(L94_the_call_refuses_and_nothing_is_copied),
    TEST(L94_T16_the_socket_fails),
    TEST(L94_reading_the_file_fails),
    TEST(T12_little_by_little),
    TEST(G5_each_allocation_fails_once),
    TEST(L92_L94_sockets_of_the_users),
    TEST_END,
};
