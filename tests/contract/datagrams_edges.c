/* backends: select poll epoll io_uring sim sim-late */
/* What callbacks must not come, and what must not be lost, at the edges of datagrams. */
#include "tests/contract/datagrams_pair.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- accounts ---- */

static struct eddy_addr to;
static bool in_sendto;
static int resumed_inside;
static struct eddy_datagram_protocol_class watching;

static void note_resume(struct eddy_datagram_protocol *p)
{
    resumed_inside += in_sendto;
    party_resume(p);
}

static void send_some(size_t len)
{
    static char bytes[70000];
    in_sendto = true;
    eddy_transport_sendto(b.t, bytes, len, &to);
    in_sendto = false;
}

/* a, and b whose sends are not taken at once: on the simulated network. */
static void begin_slow(void)
{
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(10), .send_room = 1000));
    begin();
    party_bind(&a, loop);
    to = party_addr(&a);
    watching = party_class;
    watching.resume_writing = note_resume;
    b.loop = loop;
    eddy_datagram_protocol_init(&b.base, &watching);
    REQUIRE(eddy_create_datagram_endpoint(loop, &b.base, EDDY_DATAGRAM(.local_host = "127.0.0.1"),
                                          NULL) == 0);
    PARTY_UNTIL(loop, b.made);
    eddy_transport_set_write_buffer_limits(b.t, 100, 500);
    resumed_inside = 0;
}

static void T24_G22_raised_limits_resume_nothing_inside_sendto(void)
{
    begin_slow();
    if (test_is_sim()) {
        send_some(1000);
        send_some(600);
        CHECK(b.paused);
        eddy_transport_set_write_buffer_limits(b.t, 10000, 50000);
        send_some(1);
        CHECK(b.paused);
    }
    CHECK_INT(resumed_inside, 0);
    end_pair();
}

static void raise_limits(struct party *p)
{
    eddy_transport_set_write_buffer_limits(p->t, 10000, 50000);
}

static void T24_G22_nor_those_raised_in_pause_writing(void)
{
    begin_slow();
    b.on_pause = raise_limits;
    send_some(1000);
    send_some(600);
    CHECK_INT(resumed_inside, 0);
    end_pair();
}

/* ---- errors ---- */

static int errors_after_abort;

static void abort_it(struct party *p, int code)
{
    (void)code;
    errors_after_abort += eddy_transport_is_closing(p->t);
    eddy_transport_abort(p->t, NULL);
}

static void T6_T50_no_second_error_after_abort_in_the_first(void)
{
    static char large[70000];
    begin();
    party_connect(&b, loop, party_dead_port(loop));
    b.on_error = abort_it;
    errors_after_abort = 0;
    eddy_transport_pause_reading(b.t);
    test_run_steps(loop, 2);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    test_run_steps(loop, test_is_sim() ? 5 : 0);
    if (b.t)
        eddy_transport_sendto(b.t, large, sizeof large, NULL);
    PARTY_UNTIL(loop, b.finis);
    CHECK_INT(errors_after_abort, 0);
    finish();
}

/* Each error that is fetched is one less: no reason to rest. */
static void T50_many_errors_do_not_hold_up_what_is_good(void)
{
    struct eddy_addr dead;
    begin();
    REQUIRE(eddy_addr_parse("127.0.0.1", party_dead_port(loop), &dead) == 0);
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "127.0.0.1", .report_errors = true));
    party_bind(&b, loop);
    to = party_addr(&a);
    for (int i = 0; i < 50; i++)
        CHECK_INT(eddy_transport_sendto(a.t, "x", 1, &dead), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "good", 4, &to), 0);
    test_run_steps(loop, test_is_sim() ? 0 : 500); /* none of them waits */
    if (test_is_sim())
        PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.received, 1);
    end_pair();
}

/* ---- names ---- */

static int echoed;

static void echo(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    echoed = eddy_transport_sendto(p->t, data, len, from);
}

static void T48_the_any_address_is_the_one_the_system_has_connected_to(void)
{
    begin();
    party_bind(&a, loop);
    party_open(&b, loop, EDDY_DATAGRAM(.remote_host = "0.0.0.0", .remote_port = party_port(&a)));
    b.on_datagram = echo;
    echoed = 1;
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(eddy_transport_sendto(a.t, "y", 1, &a.from), 0);
    PARTY_UNTIL(loop, b.received == 1);
    CHECK_INT(echoed, 0);
    end_pair();
}

static void G3_S48_a_protocol_that_is_attached_keeps_its_path(void)
{
    char folder[] = "/tmp/eddy-XXXXXX", path[64];
    struct stat st;
    begin();
    if (!test_is_sim()) {
        REQUIRE(mkdtemp(folder) != NULL);
        snprintf(path, sizeof path, "%s/socket", folder);
        party_open(&a, loop, EDDY_DATAGRAM(.local_path = path));
        CHECK_INT(
            eddy_create_datagram_endpoint(loop, &a.base, EDDY_DATAGRAM(.local_path = path), NULL),
            -EINVAL);
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(
            eddy_create_datagram_endpoint(
                loop, &b.base,
                EDDY_DATAGRAM(.remote_path = path, .seqpacket = true, .allow_broadcast = true),
                NULL),
            -EINVAL);
        party_end(&a);
        unlink(path);
        rmdir(folder);
    }
    finish();
}

/* Cut at the NUL it would be another path. */
static void S48_a_path_with_a_nul_in_it_is_refused(void)
{
    const char path[] = "/nowhere/a\0b";
    begin();
    eddy_datagram_protocol_init(&a.base, &party_class);
    struct eddy_error e = {.code = 0};
    CHECK_INT(eddy_create_datagram_endpoint(
                  loop, &a.base,
                  EDDY_DATAGRAM(.local_path = path, .local_path_len = sizeof path - 1, .error = &e),
                  NULL),
              -EINVAL);
    CHECK(strstr(e.text, "NUL") != NULL);
    finish();
}

const struct test_case test_cases[] = {
    TEST(T24_G22_raised_limits_resume_nothing_inside_sendto),
    TEST(T24_G22_nor_those_raised_in_pause_writing),
    TEST(T6_T50_no_second_error_after_abort_in_the_first),
    TEST(T50_many_errors_do_not_hold_up_what_is_good),
    TEST(T48_the_any_address_is_the_one_the_system_has_connected_to),
    TEST(G3_S48_a_protocol_that_is_attached_keeps_its_path),
    TEST(S48_a_path_with_a_nul_in_it_is_refused),
    TEST_END,
};
