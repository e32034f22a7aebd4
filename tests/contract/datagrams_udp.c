/* backends: select poll epoll io_uring sim sim-late */
/* UDP endpoints: sending, receiving, errors and the end; contract R3, T47-T55. */
#include "tests/contract/datagrams_pair.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void settle(void)
{
    for (int i = 0; i < 20; i++)
        CHECK_INT(eddy_loop_run_once(loop, test_is_sim() ? EDDY_MSEC(5) : 0), 0);
}

/* a is bound, b is connected to it. */
static void begin_pair(void)
{
    begin();
    party_bind(&a, loop);
    party_connect(&b, loop, party_port(&a));
}

/* ---- sending and receiving ---- */

static void R3_T47_T54_E30_one_byte_then_none(void)
{
    begin_pair();
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, NULL, 0, NULL), 0);
    PARTY_UNTIL(loop, a.received == 2);
    CHECK_TRACE(a.trace, "CM DG(1) DG(0)");
    struct eddy_addr local = party_addr(&b);
    CHECK(eddy_addr_equal(&a.from, &local));
    end_pair();
    CHECK_TRACE(a.trace, "CM DG(1) DG(0) CL(0)");
    CHECK_TRACE(b.trace, "CM CL(0)");
}

static void echo(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    CHECK_INT(eddy_transport_sendto(p->t, data, len, from), 0);
}

static void T47_T54_replies_go_to_where_it_came_from(void)
{
    static char large[60000];

    begin_pair();
    a.on_datagram = echo;
    memset(large, 'z', sizeof large);
    CHECK_INT(eddy_transport_sendto(b.t, large, sizeof large, NULL), 0);
    PARTY_UNTIL(loop, b.received == 1);
    CHECK_INT(b.len, sizeof large);
    CHECK_INT(b.head[63], 'z');
    struct eddy_addr server = party_addr(&a);
    CHECK(eddy_addr_equal(&b.from, &server));
    end_pair();
}

static void T48_the_address_of_a_connected_endpoint(void)
{
    begin_pair();
    struct eddy_addr to = party_addr(&a), other = to;
    other.u.in.sin_port = htons(9);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, &other), -EINVAL);
    CHECK_INT(eddy_transport_sendto(b.t, "y", 1, &to), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.head[0], 'y');
    end_pair();
}

static void T48_an_unconnected_endpoint_needs_an_address(void)
{
    struct eddy_addr six;

    begin_pair();
    CHECK_INT(eddy_addr_parse("::1", 9, &six), 0);
    CHECK_INT(eddy_transport_sendto(a.t, "x", 1, NULL), -EINVAL);
    CHECK_INT(eddy_transport_sendto(a.t, "x", 1, &six), -EINVAL);
    CHECK_INT(eddy_transport_sendto(a.t, NULL, 1, &a.from), -EINVAL);
    CHECK_INT(a.errors, 0);
    end_pair();
}

static void G24_calls_for_bytes_are_not_supported(void)
{
    begin_pair();
    CHECK_INT(eddy_transport_write(b.t, "x", 1), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_transport_write_eof(b.t), EDDY_ENOT_SUPPORTED);
    CHECK(!eddy_transport_can_write_eof(b.t));
    CHECK_INT(eddy_transport_sendto(NULL, "x", 1, NULL), EDDY_ECLOSED);
    CHECK_STR(eddy_transport_kind(b.t), "udp");
    end_pair();
}

static void T1_T2_names(void)
{
    struct eddy_addr to, peer;

    begin_pair();
    to = party_addr(&a);
    CHECK_INT(eddy_transport_peername(b.t, &peer), 0);
    CHECK(eddy_addr_equal(&to, &peer));
    CHECK(eddy_transport_peername(a.t, &peer) < 0);
    CHECK(eddy_transport_fd(a.t) >= 0);
    end_pair();
}

static void send_in_made(struct party *p)
{
    CHECK_INT(eddy_transport_sendto(p->t, "first", 5, NULL), 0);
}

static void R11_sendto_inside_connection_made(void)
{
    begin();
    party_bind(&a, loop);
    b.on_made = send_in_made;
    party_connect(&b, loop, party_port(&a));
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.len, 5);
    end_pair();
}

/* ---- much at once ---- */

static void R16_T54_at_most_64_per_iteration(void)
{
    int most = 0, before;

    begin_pair();
    eddy_transport_pause_reading(a.t);
    test_run_steps(loop, 2);
    for (int i = 0; i < 150; i++)
        CHECK_INT(eddy_transport_sendto(b.t, "0123456789", 10, NULL), 0);
    eddy_transport_resume_reading(a.t);
    for (int i = 0; i < 20000 && a.received < 150; i++) {
        before = a.received;
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
        if (a.received - before > most)
            most = a.received - before;
    }
    CHECK_INT(a.received, 150);
    CHECK(most <= 64);
    end_pair();
}

/* Counted where there is something that counts. */
static void T54_one_datagram_costs_one_call(void)
{
    begin_pair();
    if (test_is_sim()) {
        unsigned long calls = eddy_sim_calls(test_sim(loop), EDDY_SIM_RECV_MESSAGES);
        for (int i = 1; i <= 10; i++) {
            CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
            PARTY_UNTIL(loop, a.received == i);
        }
        CHECK_INT(eddy_sim_calls(test_sim(loop), EDDY_SIM_RECV_MESSAGES) - calls, 10);
        CHECK_INT(eddy_sim_calls(test_sim(loop), EDDY_SIM_SEND_MESSAGES), 10);
    }
    end_pair();
}

static void R16_T54_at_most_256_KiB_per_iteration(void)
{
    static char large[60000];
    int most = 0, before;

    begin_pair();
    eddy_transport_pause_reading(a.t);
    test_run_steps(loop, 2);
    int size = 1 << 20;
    if (!test_is_sim())
        setsockopt(eddy_transport_fd(a.t), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    for (int i = 0; i < 7; i++)
        CHECK_INT(eddy_transport_sendto(b.t, large, sizeof large, NULL), 0);
    eddy_transport_resume_reading(a.t);
    for (int i = 0; i < 50; i++) {
        before = a.received;
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(1)), 0);
        if (a.received - before > most)
            most = a.received - before;
    }
    CHECK(a.received > 0 && most <= 4);
    end_pair();
}

static void pause_and_count(struct party *p, const void *data, size_t len,
                            const struct eddy_addr *from)
{
    (void)from;
    CHECK_INT(len, 1);
    CHECK_INT(*(const unsigned char *)data, p->left++); /* in order, none lost */
    eddy_transport_pause_reading(p->t);
}

static void T26_T27_T54_pausing_in_a_callback_loses_nothing(void)
{
    begin_pair();
    a.on_datagram = pause_and_count;
    for (unsigned char i = 0; i < 10; i++)
        CHECK_INT(eddy_transport_sendto(b.t, &i, 1, NULL), 0);
    for (int i = 1; i <= 10; i++) {
        PARTY_UNTIL(loop, a.received == i);
        settle();
        CHECK_INT(a.received, i);
        CHECK(!eddy_transport_is_reading(a.t));
        eddy_transport_resume_reading(a.t);
    }
    end_pair();
}

static void pause_and_resume(struct party *p, const void *data, size_t len,
                             const struct eddy_addr *from)
{
    pause_and_count(p, data, len, from);
    eddy_transport_resume_reading(p->t);
}

static void T26_T54_pausing_and_resuming_in_a_callback_keeps_the_order(void)
{
    begin_pair();
    a.on_datagram = pause_and_resume;
    for (unsigned char i = 0; i < 30; i++)
        CHECK_INT(eddy_transport_sendto(b.t, &i, 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 30);
    end_pair();
}

static void close_it(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    (void)data;
    (void)len;
    (void)from;
    eddy_transport_close(p->t);
}

static void abort_it(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    (void)data;
    (void)len;
    (void)from;
    eddy_transport_abort(p->t, EDDY_ERROR(-EPROTO, "nonsense"));
}

static void detach_it(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    (void)data;
    (void)len;
    (void)from;
    p->finis++; /* excused */
    p->lost++;
    p->t = NULL;
    eddy_protocol_detach(&p->base.base);
}

static void end_in_callback(void (*hook)(struct party *, const void *, size_t,
                                         const struct eddy_addr *))
{
    begin_pair();
    a.on_datagram = hook;
    for (int i = 0; i < 10; i++)
        CHECK_INT(eddy_transport_sendto(b.t, "abc", 3, NULL), 0);
    PARTY_UNTIL(loop, a.finis == 1);
    settle();
    CHECK_INT(a.received, 1);
}

static void T55_nothing_comes_after_close(void)
{
    end_in_callback(close_it);
    CHECK_TRACE(a.trace, "CM DG(3) CL(0)");
    end_pair();
}

static void T55_R17_nothing_comes_after_abort(void)
{
    end_in_callback(abort_it);
    CHECK_TRACE(a.trace, "CM DG(3) CL(EPROTO)");
    end_pair();
}

static void G15_T55_nothing_comes_after_detach(void)
{
    end_in_callback(detach_it);
    CHECK_TRACE(a.trace, "CM DG(3)");
    end_pair();
}

static void R36_T7_a_protocol_may_be_switched(void)
{
    struct party c;
    struct eddy_protocol stream = {.cls = NULL};
    static const struct eddy_protocol_class streams = {EDDY_STATELESS_PROTOCOL_CLASS("streams")};

    begin_pair();
    party_init(&c, loop);
    eddy_protocol_init(&stream, &streams);
    CHECK_INT(eddy_transport_set_protocol(a.t, &stream), -EINVAL);
    CHECK_INT(eddy_transport_set_protocol(a.t, &c.base.base), 0);
    c.t = a.t;
    c.made = 1;
    CHECK_INT(eddy_transport_sendto(b.t, "abc", 3, NULL), 0);
    PARTY_UNTIL(loop, c.received == 1 && a.finis == 1);
    CHECK_TRACE(a.trace, "CM");
    a.lost = 1;
    a.t = NULL;
    party_end(&c);
    end_pair();
}

/* ---- errors ---- */

static void T50_T51_T53_E29_a_dead_port_and_70000_bytes(void)
{
    static char large[70000];

    begin();
    party_connect(&b, loop, party_dead_port(loop));
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, b.errors > 0);
    CHECK_INT(b.error, -ECONNREFUSED);
    struct eddy_addr peer;
    CHECK_INT(eddy_transport_peername(b.t, &peer), 0);
    CHECK(b.error_has_addr && eddy_addr_equal(&b.about, &peer));
    settle();
    CHECK_INT(eddy_transport_sendto(b.t, large, sizeof large, NULL), 0);
    PARTY_UNTIL(loop, b.error == -EMSGSIZE);
    settle();
    eddy_transport_abort(b.t, NULL);
    PARTY_UNTIL(loop, b.finis);
    CHECK_TRACE(b.trace, "CM EV(ECONNREFUSED)+ EV(EMSGSIZE) CL(0)");
    finish();
}

static void T50_an_error_of_before_does_not_swallow_a_datagram(void)
{
    begin();
    party_bind(&a, loop);
    int port = party_port(&a);
    party_connect(&b, loop, port);
    party_end(&a);
    test_run_steps(loop, 3);
    CHECK_INT(eddy_transport_sendto(b.t, "lost", 4, NULL), 0);
    memset(&a, 0, sizeof a);
    party_init(&a, loop);
    /* The answer to the first one is there by now, or comes. */
    REQUIRE(eddy_create_datagram_endpoint(
                loop, &a.base, EDDY_DATAGRAM(.local_host = "127.0.0.1", .local_port = port),
                NULL) == 0);
    CHECK_INT(eddy_transport_sendto(b.t, "found", 5, NULL), 0);
    PARTY_UNTIL(loop, a.received >= 1 && b.errors == 1);
    PARTY_UNTIL(loop, a.len == 5);
    CHECK_INT(b.error, -ECONNREFUSED);
    end_pair();
}

static void T50_report_errors_tells_the_address(void)
{
    begin();
    struct eddy_addr dead;
    CHECK_INT(eddy_addr_parse("127.0.0.1", party_dead_port(loop), &dead), 0);
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "127.0.0.1", .report_errors = true));
    party_bind(&b, loop);
    struct eddy_addr alive = party_addr(&b);
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(eddy_transport_sendto(a.t, "x", 1, &dead), 0);
        CHECK_INT(eddy_transport_sendto(a.t, "yy", 2, &alive), 0);
        PARTY_UNTIL(loop, b.received == i && a.errors == i);
        CHECK_INT(a.error, -ECONNREFUSED);
        CHECK(a.error_has_addr && eddy_addr_equal(&a.about, &dead));
    }
    settle();
    CHECK_INT(a.errors, 3);
    end_pair();
}

/* Each error of receiving costs the loop little: see the number of its iterations. */
static void T50_errors_without_end_do_not_spin(void)
{
    begin();
    party_connect(&b, loop, party_dead_port(loop));
    if (!test_sim(loop)) {
        party_end(&b);
        finish();
        return;
    }
    for (unsigned long i = 1; i <= 300; i++)
        CHECK_INT(eddy_sim_fail(test_sim(loop), EDDY_SIM_RECV_MESSAGES, i, -ENOMEM), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0); /* readable from now on */
    eddy_nsec end = eddy_loop_time(loop) + EDDY_MSEC(950);
    while (eddy_loop_time(loop) < end)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(10)), 0);
    CHECK(b.errors >= 32 && b.errors <= 160);
    eddy_sim_fail_none(test_sim(loop));
    PARTY_UNTIL(loop, b.error == -ECONNREFUSED);
    party_end(&b);
    finish();
}

/* ---- the end ---- */

static void T52_T14_T15_sends_after_close_are_dropped_and_counted(void)
{
    begin_pair();
    eddy_transport_close(b.t);
    CHECK(eddy_transport_is_closing(b.t));
    test_expect_log("closing transport");
    for (int i = 0; i < 7; i++)
        CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), EDDY_ECLOSED);
    CHECK_INT(test_count_log("closing transport"), 1);
    PARTY_UNTIL(loop, b.finis == 1);
    CHECK_TRACE(b.trace, "CM CL(0)");
    settle();
    CHECK_INT(a.received, 0);
    end_pair();
}

static void G17_L16_an_open_endpoint_is_reported_at_close(void)
{
    begin();
    party_bind(&a, loop);
    test_expect_log("still open");
    finish();
    CHECK_TRACE(a.trace, "CM CL(ELOOP_CLOSED)");
    CHECK_INT(a.finis, 1);
}

static void R7_cancelling_before_connection_made(void)
{
    struct eddy_future *f;

    begin();
    party_init(&a, loop);
    REQUIRE(eddy_create_datagram_endpoint(loop, &a.base, EDDY_DATAGRAM(.local_host = "127.0.0.1"),
                                          &f) == 0);
    CHECK(eddy_future_cancel(f, "changed my mind"));
    PARTY_UNTIL(loop, a.finis == 1);
    CHECK_TRACE(a.trace, "CF(ECANCELED)");
    eddy_future_unref(f);
    finish();
}

static void T57_idle_time_out(void)
{
    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "127.0.0.1", .idle_timeout = EDDY_MSEC(30)));
    eddy_nsec start = eddy_loop_time(loop);
    PARTY_UNTIL(loop, a.lost);
    CHECK(eddy_loop_time(loop) - start >= EDDY_MSEC(25));
    CHECK_INT(a.code, -ETIMEDOUT);
    party_end(&a);
    finish();
}

const struct test_case test_cases[] = {
    TEST(R3_T47_T54_E30_one_byte_then_none),
    TEST(T47_T54_replies_go_to_where_it_came_from),
    TEST(T48_the_address_of_a_connected_endpoint),
    TEST(T48_an_unconnected_endpoint_needs_an_address),
    TEST(G24_calls_for_bytes_are_not_supported),
    TEST(T1_T2_names),
    TEST(R11_sendto_inside_connection_made),
    TEST(R16_T54_at_most_64_per_iteration),
    TEST(T54_one_datagram_costs_one_call),
    TEST(R16_T54_at_most_256_KiB_per_iteration),
    TEST(T26_T27_T54_pausing_in_a_callback_loses_nothing),
    TEST(T26_T54_pausing_and_resuming_in_a_callback_keeps_the_order),
    TEST(T55_nothing_comes_after_close),
    TEST(T55_R17_nothing_comes_after_abort),
    TEST(G15_T55_nothing_comes_after_detach),
    TEST(R36_T7_a_protocol_may_be_switched),
    TEST(T50_T51_T53_E29_a_dead_port_and_70000_bytes),
    TEST(T50_an_error_of_before_does_not_swallow_a_datagram),
    TEST(T50_report_errors_tells_the_address),
    TEST(T50_errors_without_end_do_not_spin),
    TEST(T52_T14_T15_sends_after_close_are_dropped_and_counted),
    TEST(G17_L16_an_open_endpoint_is_reported_at_close),
    TEST(R7_cancelling_before_connection_made),
    TEST(T57_idle_time_out),
    TEST_END,
};
