/* backends: select poll epoll io_uring sim sim-late */
/* Receiving and sending by sockets of one's own: contract L85-L87, L90, L91, L53, G4. */
#include "tests/contract/socks.h"
#include <eddy/server.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- receiving ---- */

static void L85_L86_what_is_there_is_received_inside_the_call(void)
{
    char buf[16] = "";
    struct eddy_future *f;
    void *value;

    begin();
    send_raw(fds[1], "hello");
    f = start_recv(fds[0], buf, sizeof buf);
    CHECK(eddy_future_is_done(f));
    REQUIRE(eddy_future_result(f, &value) == 0);
    const struct eddy_sock_result *r = value;
    CHECK_INT(r->count, 5);
    CHECK_INT(r->fd, -1);
    CHECK_INT(r->addr.len, 0);
    CHECK(memcmp(buf, "hello", 6) == 0);
    eddy_future_unref(f);
    end();
}

static void L85_recv_waits_for_what_comes_later(void)
{
    char buf[16] = "";
    struct eddy_future *f;

    begin();
    f = start_recv(fds[0], buf, 3);
    test_run_steps(loop, 3);
    CHECK(!eddy_future_is_done(f));
    send_raw(fds[1], "hello");
    CHECK_INT(await_count(f), 3);
    CHECK(memcmp(buf, "hel", 4) == 0);
    CHECK_INT(await_count(start_recv(fds[0], buf, sizeof buf)), 2);
    CHECK(memcmp(buf, "lol", 4) == 0);
    end();
}

static void L86_a_count_of_0_is_the_end_of_the_stream(void)
{
    char buf[16];
    struct eddy_future *f;

    begin();
    f = start_recv(fds[0], buf, sizeof buf);
    send_raw(fds[1], "x");
    CHECK_INT(sys->cls->shutdown(sys, fds[1], SHUT_WR), 0);
    CHECK_INT(await_count(f), 1);
    CHECK_INT(await_count(start_recv(fds[0], buf, sizeof buf)), 0);
    CHECK_INT(await_count(start_recv(fds[0], buf, sizeof buf)), 0);
    end();
}

struct call {
    struct eddy_done done;
    int calls;
};

static void count_call(struct eddy_done *d, struct eddy_future *f)
{
    (void)f;
    EDDY_CONTAINER_OF(d, struct call, done)->calls++;
}

static void F5_L85_who_waits_hears_of_it_from_the_loop(void)
{
    char buf[16];
    struct call c = {.done.fn = count_call};

    begin();
    send_raw(fds[1], "x");
    struct eddy_future *f = start_recv(fds[0], buf, sizeof buf);
    CHECK_INT(eddy_future_add_done_callback(f, &c.done), 0);
    CHECK_INT(c.calls, 0);
    test_run_steps(loop, 1);
    CHECK_INT(c.calls, 1);
    eddy_future_unref(f);
    end();
}

static void L85_an_operation_goes_on_when_nobody_has_its_future(void)
{
    char buf[16] = "";

    begin();
    eddy_future_unref(start_recv(fds[0], buf, sizeof buf));
    send_raw(fds[1], "x");
    eddy_nsec limit = eddy_loop_time(loop) + TEST_DEADLINE;
    while (buf[0] == '\0' && eddy_loop_time(loop) < limit)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(10)), 0);
    CHECK_STR(buf, "x");
    end();
}

/* ---- sending ---- */

enum { HUGE = 3 << 20 };

/* Each byte tells its place. */
static void fill(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i ^ i >> 8 ^ i >> 16);
}

static void L87_all_of_a_huge_content_is_sent(void)
{
    unsigned char *out = malloc(HUGE), *in = malloc(HUGE);
    size_t got = 0;

    begin();
    REQUIRE(out && in);
    fill(out, HUGE);
    struct eddy_future *f = start_sendall(fds[0], out, HUGE);
    CHECK(!eddy_future_is_done(f));
    while (got < HUGE) {
        long n = await_count(start_recv(fds[1], in + got, HUGE - got));
        REQUIRE(n > 0);
        got += (size_t)n;
    }
    CHECK_INT(await_count(f), HUGE);
    CHECK(memcmp(in, out, HUGE) == 0);
    free(in);
    free(out);
    end();
}

static void L87_a_little_is_sent_inside_the_call(void)
{
    char buf[16] = "";

    begin();
    struct eddy_future *f = start_sendall(fds[0], "hello", 5);
    CHECK(eddy_future_is_done(f));
    CHECK_INT(await_count(f), 5);
    CHECK_INT(await_count(start_recv(fds[1], buf, sizeof buf)), 5);
    CHECK_STR(buf, "hello");
    end();
}

static void L87_zero_bytes_are_sent_at_once(void)
{
    begin();
    struct eddy_future *f = start_sendall(fds[0], NULL, 0);
    CHECK(eddy_future_is_done(f));
    CHECK_INT(await_count(f), 0);
    end();
}

static void L87_G26_the_error_of_sending_comes_by_the_future(void)
{
    struct eddy_future *f;
    static char much[1 << 20];

    begin();
    f = start_sendall(fds[0], much, sizeof much);
    CHECK(!eddy_future_is_done(f));
    close_fd(fds[1]);
    CHECK(test_run_until(loop, future_done, f));
    const struct eddy_error *e = eddy_future_error(f);
    if (CHECK(e != NULL)) {
        CHECK(e->code == -EPIPE || e->code == -ECONNRESET);
        CHECK_STR(e->op, "send");
        CHECK(strncmp(e->text, "send: ", 6) == 0);
    }
    eddy_future_unref(f);
    struct eddy_sock_result r;
    CHECK_INT(await(start_sendall(fds[0], "x", 1), &r), -EPIPE);
    close_fd(fds[0]);
    end_loop();
}

static void L85_both_directions_at_the_same_time(void)
{
    static char much[1 << 20];
    char buf[16];

    begin();
    struct eddy_future *sending = start_sendall(fds[0], much, sizeof much);
    struct eddy_future *receiving = start_recv(fds[0], buf, sizeof buf);
    CHECK(!eddy_future_is_done(sending));
    send_raw(fds[1], "x");
    CHECK_INT(await_count(receiving), 1);
    CHECK(!eddy_future_is_done(sending));
    CHECK(eddy_future_cancel(sending, NULL));
    eddy_future_unref(sending);
    end();
}

/* ---- one at a time ---- */

static void ignore(struct eddy_watch *w, unsigned events)
{
    (void)w;
    (void)events;
}

static void L56_L85_a_second_operation_in_one_direction_is_refused(void)
{
    struct eddy_future *f = NULL, *first;
    struct eddy_watch w = {.fn = ignore};
    char buf[16] = "";

    begin();
    first = start_recv(fds[0], buf, sizeof buf);
    send_raw(fds[1], "hello"); /* which must not go to the second one */
    CHECK_INT(eddy_sock_recv(loop, fds[0], buf, sizeof buf, &f), -EEXIST);
    CHECK_INT(eddy_sock_recvfrom(loop, fds[0], buf, sizeof buf, &f), -EEXIST);
    CHECK_INT(eddy_sock_accept(loop, fds[0], &f), -EEXIST);
    CHECK_INT(eddy_loop_add_watch(loop, &w, fds[0], EDDY_READ), -EEXIST);
    CHECK(f == NULL);
    CHECK_INT(await_count(first), 5);
    CHECK_INT(eddy_loop_add_watch(loop, &w, fds[0], EDDY_READ), 0);
    CHECK_INT(eddy_sock_recv(loop, fds[0], buf, sizeof buf, &f), -EEXIST);
    CHECK_INT(await_count(start_sendall(fds[0], "x", 1)), 1);
    eddy_watch_remove(&w);
    CHECK_INT(eddy_loop_add_watch(loop, &w, fds[0], EDDY_WRITE), 0);
    CHECK_INT(eddy_sock_sendall(loop, fds[0], "x", 1, &f), -EEXIST);
    CHECK(f == NULL);
    eddy_watch_remove(&w);
    end();
}

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class silent = {
    EDDY_STATELESS_PROTOCOL_CLASS("silent"),
    .data_received = ignore_data,
};

static void L91_the_descriptor_of_another_object_of_the_loop(void)
{
    struct eddy_server *server;
    struct eddy_future *f = NULL;
    struct eddy_addr to;
    char buf[16];

    begin_loop();
    CHECK_INT(eddy_addr_parse("127.0.0.1", 9, &to), 0);
    REQUIRE(eddy_create_server(loop, &silent, EDDY_SERVER(.host = "127.0.0.1"), &server) == 0);
    int fd = eddy_server_fd(server, 0);
    CHECK_INT(eddy_sock_accept(loop, fd, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_recv(loop, fd, buf, sizeof buf, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_recvfrom(loop, fd, buf, sizeof buf, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_sendall(loop, fd, "x", 1, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_sendto(loop, fd, "x", 1, &to, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_connect(loop, fd, &to, &f), EDDY_EFD_IN_USE);
    CHECK_INT(eddy_sock_connect_host(loop, fd, "localhost", 9, &f), EDDY_EFD_IN_USE);
    CHECK(f == NULL);
    eddy_server_close(server);
    eddy_server_unref(server);
    end_loop();
}

/* ---- cancelling ---- */

static void L90_a_cancelled_operation_takes_nothing(void)
{
    char buf[16] = "", other[16] = "";

    begin();
    struct eddy_future *f = start_recv(fds[0], buf, sizeof buf);
    test_run_steps(loop, 1);
    CHECK(eddy_future_cancel(f, NULL));
    send_raw(fds[1], "hello");
    test_run_steps(loop, 3);
    CHECK(eddy_future_is_cancelled(f));
    CHECK_STR(buf, "");
    eddy_future_unref(f);
    CHECK_INT(await_count(start_recv(fds[0], other, sizeof other)), 5);
    end();
}

/* Everything within one callback: the event of the first one's readiness may be in the batch. */
struct racing {
    struct eddy_handle handle;
    struct eddy_future *first, *second;
    char one[16], two[16];
    bool done;
};

static void cancel_and_receive_again(struct eddy_handle *h)
{
    struct racing *r = EDDY_CONTAINER_OF(h, struct racing, handle);

    send_raw(fds[1], "1");
    CHECK(eddy_future_cancel(r->first, NULL));
    r->second = start_recv(fds[0], r->two, sizeof r->two);
    r->done = true;
}

static void L90_another_recv_in_the_same_iteration(void)
{
    struct racing r = {.handle.fn = cancel_and_receive_again};

    begin();
    r.first = start_recv(fds[0], r.one, sizeof r.one);
    test_run_steps(loop, 1);
    eddy_loop_call_soon(loop, &r.handle);
    CHECK(test_run_until(loop, test_is_true, &r.done));
    CHECK_INT(await_count(r.second), 1);
    CHECK_STR(r.one, "");
    CHECK_STR(r.two, "1");
    CHECK(eddy_future_is_cancelled(r.first));
    eddy_future_unref(r.first);
    end();
}

static void cancel_and_wait_again(struct eddy_handle *h)
{
    struct racing *r = EDDY_CONTAINER_OF(h, struct racing, handle);

    CHECK(eddy_future_cancel(r->first, NULL));
    r->second = start_recv(fds[0], r->two, sizeof r->two);
    r->done = true;
}

static void L90_another_recv_that_waits_is_not_disturbed(void)
{
    struct racing r = {.handle.fn = cancel_and_wait_again};

    begin();
    for (int i = 0; i < 3; i++) {
        r.done = false;
        r.first = r.second ? r.second : start_recv(fds[0], r.one, sizeof r.one);
        eddy_loop_call_soon(loop, &r.handle);
        CHECK(test_run_until(loop, test_is_true, &r.done));
        eddy_future_unref(r.first);
        test_run_steps(loop, 2);
        CHECK(!eddy_future_is_done(r.second));
    }
    send_raw(fds[1], "2");
    CHECK_INT(await_count(r.second), 1);
    CHECK_STR(r.two, "2");
    end();
}

/* Two sockets are ready in one wait; whoever comes first takes the other's operation away, and
 * begins another one in its place. */
struct rival {
    struct eddy_done done;
    struct rival *other;
    struct eddy_future *future;
    int fd, received;
    char buf[16];
};

static void on_received(struct eddy_done *d, struct eddy_future *f);

static void rival_begin(struct rival *r)
{
    r->future = start_recv(r->fd, r->buf, 1);
    r->done.fn = on_received;
    CHECK_INT(eddy_future_add_done_callback(r->future, &r->done), 0);
}

static void rival_stop(struct rival *r)
{
    eddy_future_remove_done_callback(&r->done);
    if (eddy_future_result(r->future, NULL) == 0)
        r->received++;
    eddy_future_cancel(r->future, NULL);
    eddy_future_unref(r->future);
}

static void on_received(struct eddy_done *d, struct eddy_future *f)
{
    struct rival *r = EDDY_CONTAINER_OF(d, struct rival, done);

    (void)f;
    rival_stop(r);
    rival_begin(r);
    rival_stop(r->other);
    rival_begin(r->other);
}

static void L58_L90_an_event_that_comes_too_late_is_for_nobody(void)
{
    struct rival a, b;
    int second[2];

    begin();
    if (test_sim(loop))
        REQUIRE(eddy_sim_pair(test_sim(loop), second) == 0);
    else
        test_socketpair(second);
    a = (struct rival){.fd = fds[0], .other = &b};
    b = (struct rival){.fd = second[0], .other = &a};
    rival_begin(&a);
    rival_begin(&b);
    for (int i = 0; i < 20; i++) {
        send_raw(fds[1], "x");
        send_raw(second[1], "x");
        test_run_steps(loop, 2);
    }
    eddy_nsec limit = eddy_loop_time(loop) + TEST_DEADLINE;
    while (a.received + b.received < 40 && eddy_loop_time(loop) < limit)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(10)), 0);
    rival_stop(&a);
    rival_stop(&b);
    CHECK_INT(a.received, 20);
    CHECK_INT(b.received, 20);
    close_fd(second[0]);
    close_fd(second[1]);
    end();
}

/* As the buffer is full, "hello" waits. */
static void L90_another_sendall_after_a_cancelled_one(void)
{
    static char spaces[8192];
    char buf[8192];
    char text[16] = "";
    size_t used = 0;

    begin();
    memset(spaces, ' ', sizeof spaces);
    for (size_t size = sizeof spaces; size >= 1; size /= 2)
        while (sys->cls->send(sys, fds[0], spaces, size) > 0)
            ;
    struct eddy_future *hello = start_sendall(fds[0], "hello", 5);
    test_run_steps(loop, 1);
    CHECK(!eddy_future_is_done(hello));
    CHECK(eddy_future_cancel(hello, NULL));
    struct eddy_future *world = start_sendall(fds[0], "world", 5);
    CHECK(!eddy_future_is_done(world));
    while (used < 5) {
        long n = await_count(start_recv(fds[1], buf, sizeof buf));
        REQUIRE(n > 0);
        for (long i = 0; i < n && used < 8; i++)
            if (buf[i] != ' ')
                text[used++] = buf[i];
    }
    CHECK_STR(text, "world");
    CHECK_INT(await_count(world), 5);
    eddy_future_unref(hello);
    end();
}

static void L57_L90_after_a_cancel_the_descriptor_is_free(void)
{
    struct eddy_watch w = {.fn = ignore};
    char buf[16];

    begin();
    struct eddy_future *f = start_recv(fds[0], buf, sizeof buf);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    CHECK_INT(eddy_loop_add_watch(loop, &w, fds[0], EDDY_READ), 0);
    eddy_watch_remove(&w);
    f = start_recv(fds[0], buf, sizeof buf);
    CHECK(eddy_future_cancel(f, NULL));
    eddy_future_unref(f);
    end(); /* closes it, without a turn of the loop */
}

/* ---- the loop ends ---- */

static void L15_L17_loop_close_fails_what_waits(void)
{
    static char much[1 << 20];
    struct eddy_future *f[2], *none = NULL;
    char buf[16];

    begin();
    f[0] = start_recv(fds[0], buf, sizeof buf);
    f[1] = start_sendall(fds[0], much, sizeof much);
    CHECK_INT(eddy_loop_close(loop), 0);
    for (int i = 0; i < 2; i++)
        CHECK_INT(eddy_future_result(f[i], NULL), EDDY_ELOOP_CLOSED);
    eddy_future_unref(f[0]);
    eddy_future_unref(f[1]);
    CHECK_INT(eddy_sock_recv(loop, fds[0], buf, sizeof buf, &none), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_sock_sendall(loop, fds[0], "x", 1, &none), EDDY_ELOOP_CLOSED);
    CHECK_INT(eddy_sock_accept(loop, fds[0], &none), EDDY_ELOOP_CLOSED);
    CHECK(none == NULL);
    end();
}

static void F10_L15_nobody_owes_attention_to_what_loop_close_ends(void)
{
    char buf[16];

    begin();
    struct eddy_future *f = start_recv(fds[0], buf, sizeof buf);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_future_unref(f);
    end();
}

/* ---- arguments ---- */

static void G4_L85_bad_arguments(void)
{
    struct eddy_future *f = NULL;
    struct eddy_addr to, none = {.len = 0};
    char buf[16];

    begin();
    CHECK_INT(eddy_addr_parse("127.0.0.1", 9, &to), 0);
    CHECK_INT(eddy_sock_recv(NULL, fds[0], buf, sizeof buf, &f), -EINVAL);
    CHECK_INT(eddy_sock_recv(loop, -1, buf, sizeof buf, &f), -EINVAL);
    CHECK_INT(eddy_sock_recv(loop, fds[0], NULL, sizeof buf, &f), -EINVAL);
    CHECK_INT(eddy_sock_recv(loop, fds[0], buf, sizeof buf, NULL), -EINVAL);
    CHECK_INT(eddy_sock_recvfrom(NULL, fds[0], buf, sizeof buf, &f), -EINVAL);
    CHECK_INT(eddy_sock_recvfrom(loop, fds[0], NULL, sizeof buf, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendall(NULL, fds[0], "x", 1, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendall(loop, -1, "x", 1, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendall(loop, fds[0], NULL, 1, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendall(loop, fds[0], "x", 1, NULL), -EINVAL);
    CHECK_INT(eddy_sock_sendto(NULL, fds[0], "x", 1, &to, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendto(loop, fds[0], NULL, 1, &to, &f), -EINVAL);
    CHECK_INT(eddy_sock_sendto(loop, fds[0], "x", 1, NULL, &f), -EINVAL); /* a stream */
    CHECK_INT(eddy_sock_connect(NULL, fds[0], &to, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect(loop, fds[0], NULL, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect(loop, fds[0], &none, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect_host(NULL, fds[0], "localhost", 9, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect_host(loop, fds[0], NULL, 9, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect_host(loop, fds[0], "127.0.0.1", -1, &f), -EINVAL);
    CHECK_INT(eddy_sock_connect_host(loop, fds[0], "localhost", 65536, &f), -EINVAL);
    CHECK_INT(eddy_sock_accept(NULL, fds[0], &f), -EINVAL);
    CHECK_INT(eddy_sock_accept(loop, -1, &f), -EINVAL);
    CHECK_INT(eddy_sock_accept(loop, fds[0], NULL), -EINVAL);
    CHECK_INT(eddy_sock_take(NULL), -1);
    CHECK(f == NULL);
    CHECK_INT(sys->cls->recv(sys, fds[1], buf, sizeof buf), -EAGAIN);
    end();
}

static void L53_debug_mode_refuses_a_blocking_socket(void)
{
    struct eddy_future *f = NULL;
    char buf[16];

    begin();
    if (!test_is_sim()) {
        int flags = fcntl(fds[0], F_GETFL);
        eddy_loop_set_debug(loop, true);
        CHECK_INT(fcntl(fds[0], F_SETFL, flags & ~O_NONBLOCK), 0);
        CHECK_INT(eddy_sock_recv(loop, fds[0], buf, sizeof buf, &f), -EINVAL);
        CHECK_INT(eddy_sock_sendall(loop, fds[0], "x", 1, &f), -EINVAL);
        CHECK_INT(eddy_sock_accept(loop, fds[0], &f), -EINVAL);
        CHECK(f == NULL);
        eddy_loop_set_debug(loop, false);
        CHECK_INT(await_count(start_sendall(fds[0], "x", 1)), 1);
        CHECK_INT(fcntl(fds[0], F_SETFL, flags), 0);
        eddy_loop_set_debug(loop, true);
        CHECK_INT(await_count(start_sendall(fds[0], "x", 1)), 1);
    }
    end();
}

static void L85_what_is_no_socket(void)
{
    struct eddy_sock_result r;
    struct eddy_future *f;
    char buf[16];
    int ends[2];

    begin();
    if (!test_is_sim()) {
        REQUIRE(pipe(ends) == 0);
        CHECK_INT(await(start_recv(ends[0], buf, sizeof buf), &r), -ENOTSOCK);
        CHECK_INT(eddy_sock_accept(loop, ends[0], &f), 0);
        CHECK_INT(await(f, &r), -ENOTSOCK);
        close(ends[0]);
        close(ends[1]);
        CHECK_INT(await(start_recv(ends[0], buf, sizeof buf), &r), -EBADF);
    }
    end();
}

const struct test_case test_cases[] = {
    TEST(L85_L86_what_is_there_is_received_inside_the_call),
    TEST(L85_recv_waits_for_what_comes_later),
    TEST(L86_a_count_of_0_is_the_end_of_the_stream),
    TEST(F5_L85_who_waits_hears_of_it_from_the_loop),
    TEST(L85_an_operation_goes_on_when_nobody_has_its_future),
    TEST(L87_all_of_a_huge_content_is_sent),
    TEST(L87_a_little_is_sent_inside_the_call),
    TEST(L87_zero_bytes_are_sent_at_once),
    TEST(L87_G26_the_error_of_sending_comes_by_the_future),
    TEST(L85_both_directions_at_the_same_time),
    TEST(L56_L85_a_second_operation_in_one_direction_is_refused),
    TEST(L91_the_descriptor_of_another_object_of_the_loop),
    TEST(L90_a_cancelled_operation_takes_nothing),
    TEST(L90_another_recv_in_the_same_iteration),
    TEST(L90_another_recv_that_waits_is_not_disturbed),
    TEST(L58_L90_an_event_that_comes_too_late_is_for_nobody),
    TEST(L90_another_sendall_after_a_cancelled_one),
    TEST(L57_L90_after_a_cancel_the_descriptor_is_free),
    TEST(L15_L17_loop_close_fails_what_waits),
    TEST(F10_L15_nobody_owes_attention_to_what_loop_close_ends),
    TEST(G4_L85_bad_arguments),
    TEST(L53_debug_mode_refuses_a_blocking_socket),
    TEST(L85_what_is_no_socket),
    TEST_END,
};
