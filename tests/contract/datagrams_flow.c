/* backends: sim sim-late */
/* What waits to be sent: accounts, limits, failures in the middle, the end; contract T.3, T47-T53,
 * P36. A network that holds few bytes, on which time passes. */
#include "tests/contract/datagrams_party.h"
#include <eddy/sim.h>
#include <netinet/in.h>

static struct eddy_loop *loop;
static struct party a, b;

/* b is not connected: it sends to a's address. */
static struct eddy_addr to;

static void begin_with(const struct eddy_sim_opts *sim, const struct eddy_datagram_opts *o)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    test_next_sim(sim);
    REQUIRE(test_loop_new(&loop) == 0);
    party_bind(&a, loop);
    to = party_addr(&a);
    party_open(&b, loop, o);
}

static void begin(void)
{
    begin_with(EDDY_SIM(.latency = EDDY_MSEC(10), .send_room = 1000),
               EDDY_DATAGRAM(.local_host = "127.0.0.1"));
}

static void finish(void)
{
    const char *first = NULL;

    if (a.made)
        party_end(&a);
    if (b.made)
        party_end(&b);
    if (eddy_sim_violations(test_sim(loop), &first))
        FAIL("%s", first);
    test_loop_free(loop);
}

static int send_n(size_t len, unsigned char mark)
{
    static char bytes[70000];

    bytes[0] = (char)mark;
    return eddy_transport_sendto(b.t, bytes, len, &to);
}

static size_t waiting(void)
{
    return eddy_transport_get_write_buffer_size(b.t);
}

static void T47_T49_what_waits_counts_as_its_length_and_8(void)
{
    begin();
    CHECK_INT(send_n(600, 0), 0); /* at once */
    CHECK_INT(waiting(), 0);
    CHECK_INT(send_n(600, 1), 0);
    CHECK_INT(waiting(), 608);
    CHECK_INT(send_n(0, 2), 0);
    CHECK_INT(waiting(), 616);
    PARTY_UNTIL(loop, a.received == 3);
    CHECK_INT(waiting(), 0);
    CHECK_TRACE(a.trace, "CM DG(600) DG(600) DG(0)");
    CHECK_TRACE(b.trace, "CM");
    finish();
}

static void T47_a_backend_may_always_refuse(void)
{
    size_t most = 0;

    begin_with(EDDY_SIM(.seed = 5, .late_eagain = 700), EDDY_DATAGRAM(.local_host = "127.0.0.1"));
    for (int i = 0; i < 50; i++) {
        CHECK_INT(send_n(10, 0), 0);
        most = waiting() > most ? waiting() : most;
    }
    PARTY_UNTIL(loop, a.received == 50);
    CHECK_INT(most > 0, strcmp(test_backend(), "sim-late") == 0);
    finish();
}

static void count_marks(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    (void)from;
    CHECK_INT(len, 100);
    CHECK_INT(*(const unsigned char *)data, (unsigned char)p->left++);
}

static void T20_T23_T49_pause_and_resume_at_the_marks(void)
{
    begin();
    a.on_datagram = count_marks;
    CHECK_INT(eddy_transport_set_write_buffer_limits(b.t, 200, 1080), 0);
    int sent = 0;
    while (!b.paused && sent < 1000)
        CHECK_INT(send_n(100, (unsigned char)sent++), 0);
    CHECK(waiting() == 1080 + 108); /* 1080 is not above the mark */
    CHECK(eddy_transport_is_writing_paused(b.t));
    while (b.paused && CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(50)), 0))
        ;
    CHECK(waiting() <= 200);
    PARTY_UNTIL(loop, a.received == sent);
    CHECK_INT(waiting(), 0);
    CHECK_TRACE(b.trace, "CM PW RW");
    finish();
}

static void send_on(struct party *p)
{
    if (p->left-- > 0)
        CHECK_INT(send_n(100, 0), 0);
}

static void T24_lower_limits_pause_at_once(void)
{
    begin();
    send_n(900, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(send_n(100, 0), 0);
    CHECK(!b.paused);
    b.on_pause = send_on;
    b.left = 2;
    CHECK_INT(eddy_transport_set_write_buffer_limits(b.t, 10, 100), 0);
    CHECK(b.paused);
    PARTY_UNTIL(loop, a.received == 5);
    CHECK_TRACE(b.trace, "CM PW RW");
    finish();
}

static void P36_T50_a_failing_one_in_the_middle_is_told_and_the_rest_goes_on(void)
{
    begin();
    CHECK_INT(eddy_transport_set_write_buffer_limits(b.t, 100, 1000), 0);
    CHECK_INT(send_n(1000, 0), 0);
    CHECK_INT(send_n(10, 1), 0);
    CHECK_INT(send_n(70000, 2), 0);
    CHECK_INT(send_n(11, 3), 0);
    CHECK_INT(b.errors, 0);
    PARTY_UNTIL(loop, a.received == 3);
    CHECK_INT(waiting(), 0);
    CHECK_TRACE(a.trace, "CM DG(1000) DG(10) DG(11)");
    CHECK_TRACE(b.trace, "CM PW EV(EMSGSIZE) RW");
    CHECK(b.error_has_addr && eddy_addr_equal(&b.about, &to));
    finish();
}

static void send_from_error(struct party *p, int code)
{
    CHECK_INT(code, -EMSGSIZE);
    if (p->left-- > 0)
        CHECK_INT(send_n(12, 9), 0);
}

static void T50_sending_from_error_received_comes_behind_the_others(void)
{
    begin();
    b.on_error = send_from_error;
    b.left = 1;
    CHECK_INT(send_n(1000, 0), 0);
    CHECK_INT(send_n(10, 1), 0);
    CHECK_INT(send_n(70000, 1), 0);
    CHECK_INT(send_n(11, 2), 0);
    PARTY_UNTIL(loop, a.received == 4);
    CHECK_TRACE(a.trace, "CM DG(1000) DG(10) DG(11) DG(12)");
    CHECK_INT(waiting(), 0);
    finish();
}

static void abort_at_error(struct party *p, int code)
{
    (void)code;
    eddy_transport_abort(p->t, NULL);
}

static void T50_T52_abort_in_error_received(void)
{
    begin();
    b.on_error = abort_at_error;
    CHECK_INT(send_n(1000, 0), 0);
    CHECK_INT(send_n(10, 1), 0);
    CHECK_INT(send_n(70000, 1), 0);
    CHECK_INT(send_n(11, 2), 0);
    PARTY_UNTIL(loop, b.finis);
    CHECK_TRACE(b.trace, "CM PW EV(EMSGSIZE) CL(0)");
    /* The same from inside sendto. */
    memset(&b, 0, sizeof b);
    party_bind(&b, loop);
    b.on_error = abort_at_error;
    CHECK_INT(send_n(70000, 1), 0);
    CHECK_INT(send_n(1, 1), EDDY_ECLOSED);
    PARTY_UNTIL(loop, b.finis);
    CHECK_TRACE(b.trace, "CM EV(EMSGSIZE) CL(0)");
    finish();
}

static void T52_close_sends_the_queue_first(void)
{
    begin();
    for (int i = 0; i < 20; i++)
        CHECK_INT(send_n(300, 0), 0);
    eddy_transport_close(b.t);
    CHECK_INT(send_n(300, 0), EDDY_ECLOSED);
    PARTY_UNTIL(loop, b.finis);
    PARTY_UNTIL(loop, a.received == 20);
    CHECK_TRACE(b.trace, "CM CL(0)");
    finish();
}

static void T52_abort_drops_the_queue(void)
{
    begin();
    for (int i = 0; i < 20; i++)
        CHECK_INT(send_n(300, 0), 0);
    eddy_transport_abort(b.t, NULL);
    CHECK_INT(waiting(), 0);
    PARTY_UNTIL(loop, b.finis);
    for (int i = 0; i < 50; i++)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(5)), 0);
    CHECK(a.received < 10);
    finish();
}

static void T56_more_than_write_max_is_dropped(void)
{
    begin_with(EDDY_SIM(.latency = EDDY_MSEC(10), .send_room = 1000),
               EDDY_DATAGRAM(.local_host = "127.0.0.1", .write_max = 500));
    CHECK_INT(send_n(1000, 0), 0);
    CHECK_INT(send_n(600, 0), 0);
    CHECK_INT(send_n(1, 0), -ENOBUFS);
    CHECK(!eddy_transport_is_closing(b.t));
    PARTY_UNTIL(loop, a.received == 2);
    finish();
}

/* Nothing leaves this network's sender for so long. */
static void T5_T57_a_stalled_one_is_given_up(void)
{
    begin_with(EDDY_SIM(.latency = EDDY_SEC(3000), .send_room = 10),
               EDDY_DATAGRAM(.local_host = "127.0.0.1", .write_timeout = EDDY_SEC(5)));
    eddy_nsec start = eddy_loop_time(loop);
    CHECK_INT(send_n(10, 0), 0);
    CHECK_INT(send_n(10, 0), 0);
    while (!b.lost && CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(10)), 0))
        ;
    CHECK_TRACE(b.trace, "CM CL(ETIMEDOUT)");
    CHECK(eddy_loop_time(loop) - start >= EDDY_SEC(5));
    CHECK(eddy_loop_time(loop) - start < EDDY_SEC(7));
    finish();
}

static void T57_what_comes_puts_the_idle_time_out_off(void)
{
    begin_with(EDDY_SIM(.latency = EDDY_MSEC(10)),
               EDDY_DATAGRAM(.local_host = "127.0.0.1", .idle_timeout = EDDY_SEC(10)));
    struct eddy_addr back = party_addr(&b);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(eddy_transport_sendto(a.t, "x", 1, &back), 0);
        eddy_nsec until = eddy_loop_time(loop) + EDDY_SEC(5);
        while (eddy_loop_time(loop) < until)
            CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(500)), 0);
    }
    CHECK_INT(b.received, 10);
    CHECK(!b.lost);
    while (!b.lost && CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(20)), 0))
        ;
    CHECK_INT(b.code, -ETIMEDOUT);
    finish();
}

static void T5_the_time_for_stalling_begins_anew_at_close(void)
{
    begin_with(EDDY_SIM(.latency = EDDY_SEC(3000), .send_room = 10),
               EDDY_DATAGRAM(.local_host = "127.0.0.1"));
    CHECK_INT(send_n(10, 0), 0);
    CHECK_INT(send_n(10, 0), 0);
    eddy_nsec start = eddy_loop_time(loop);
    while (eddy_loop_time(loop) - start < EDDY_SEC(100) &&
           CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(10)), 0))
        ;
    CHECK(!b.lost);
    start = eddy_loop_time(loop);
    eddy_transport_close(b.t);
    while (!b.lost && CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(10)), 0))
        ;
    CHECK_TRACE(b.trace, "CM CL(ETIMEDOUT)");
    CHECK(eddy_loop_time(loop) - start >= EDDY_SEC(60));
    CHECK(eddy_loop_time(loop) - start < EDDY_SEC(62));
    finish();
}

/* A loop that says "there is room" at once, and there is none: no wake-up per look. */
static void T50_refused_though_writable_does_not_spin(void)
{
    struct eddy_sim_stats before, after;

    begin();
    for (unsigned long i = 1; i <= 20; i++)
        CHECK_INT(eddy_sim_fail(test_sim(loop), EDDY_SIM_SEND_MESSAGES, i, -EAGAIN), 0);
    eddy_sim_get_stats(test_sim(loop), &before);
    CHECK_INT(send_n(10, 0), 0);
    CHECK_INT(waiting(), 18);
    eddy_nsec start = eddy_loop_time(loop);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK(eddy_loop_time(loop) - start >= EDDY_MSEC(100));
    eddy_sim_get_stats(test_sim(loop), &after);
    CHECK(after.waits - before.waits < 200);
    finish();
}

const struct test_case test_cases[] = {
    TEST(T47_T49_what_waits_counts_as_its_length_and_8),
    TEST(T47_a_backend_may_always_refuse),
    TEST(T20_T23_T49_pause_and_resume_at_the_marks),
    TEST(T24_lower_limits_pause_at_once),
    TEST(P36_T50_a_failing_one_in_the_middle_is_told_and_the_rest_goes_on),
    TEST(T50_sending_from_error_received_comes_behind_the_others),
    TEST(T50_T52_abort_in_error_received),
    TEST(T52_close_sends_the_queue_first),
    TEST(T52_abort_drops_the_queue),
    TEST(T56_more_than_write_max_is_dropped),
    TEST(T5_T57_a_stalled_one_is_given_up),
    TEST(T57_what_comes_puts_the_idle_time_out_off),
    TEST(T5_the_time_for_stalling_begins_anew_at_close),
    TEST(T50_refused_though_writable_does_not_spin),
    TEST_END,
};
