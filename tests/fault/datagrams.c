/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * Datagram endpoints when things fail: no memory at the nth allocation for every n of a whole life,
 * each system call once at each of its calls, no descriptors: contract G3, G5, G29, T50, D7. What
 * fails says so; a datagram is lost at most; nothing leaks, and all comes to its end.
 */
#include "tests/contract/datagrams_party.h"
#include <eddy/sim.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENDS = 12, MOST_CALLS = 80 };

struct fault {
    enum eddy_sim_call call;
    int error;
};

static const struct fault *fault;
static unsigned long nth, made_calls;
static long bad_allocation;
static int creating, sending, lost; /* what has failed with what was planned */

struct life {
    struct eddy_loop *loop;
    struct party server, client;
    int refused; /* the first code of a creating call */
};

static void echo(struct party *p, const void *data, size_t len, const struct eddy_addr *from)
{
    int rc = eddy_transport_sendto(p->t, data, len, from);

    CHECK(rc == 0 || (rc == -ENOMEM && bad_allocation > 0));
}

static bool create(struct life *l, struct party *p, const struct eddy_datagram_opts *o)
{
    party_init(p, l->loop);
    int rc = eddy_create_datagram_endpoint(l->loop, &p->base, o, NULL);
    if (rc < 0) {
        CHECK_INT(p->made + p->failed + p->finis, 0);
        l->refused = rc;
        return false;
    }
    for (int i = 0; i < 50 && !p->made && !p->failed; i++)
        eddy_loop_run_once(l->loop, EDDY_MSEC(5));
    return p->t != NULL;
}

static void talk(struct life *l)
{
    l->server.on_datagram = echo;
    for (int i = 0; i < SENDS && l->client.t; i++) {
        int rc = eddy_transport_sendto(l->client.t, "0123456789", 10, NULL);
        if (rc == -ENOMEM)
            sending++;
        else
            CHECK(rc == 0 || l->client.code != 0);
        if (i % 3 == 2)
            eddy_loop_run_once(l->loop, EDDY_MSEC(1));
    }
    for (int i = 0; i < 100 && l->client.t && l->client.received < SENDS; i++)
        eddy_loop_run_once(l->loop, EDDY_MSEC(2));
}

static void end(struct life *l, struct party *p)
{
    if (p->t)
        eddy_transport_close(p->t);
    if (!p->made)
        return;
    for (int i = 0; i < 500 && !p->finis; i++)
        eddy_loop_run_once(l->loop, EDDY_MSEC(2));
    CHECK_INT(p->finis, 1);
    CHECK_INT(p->made, p->lost);
    if (p->code) {
        lost++;
        CHECK(p->code == (fault ? fault->error : -ENOMEM));
    }
}

static void arm(struct life *l)
{
    test_fail_allocation(bad_allocation);
    if (!fault)
        return;
    made_calls = eddy_sim_calls(test_sim(l->loop), fault->call);
    if (nth > 0)
        CHECK_INT(eddy_sim_fail(test_sim(l->loop), fault->call, nth, fault->error), 0);
}

static void disarm(struct life *l)
{
    if (!fault)
        return;
    made_calls = eddy_sim_calls(test_sim(l->loop), fault->call) - made_calls;
    eddy_sim_fail_none(test_sim(l->loop));
}

/* From the first call to the last. */
static void live(struct life *l)
{
    memset(l, 0, sizeof *l);
    /* A slow line that is filled at once: some wait. */
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(1), .send_room = 20));
    if (test_loop_new(&l->loop) < 0)
        return;
    arm(l);
    if (create(l, &l->server, EDDY_DATAGRAM(.local_host = "127.0.0.1", .report_errors = true))) {
        struct eddy_addr a = {.len = 0};
        int rc = eddy_transport_sockname(l->server.t, &a);
        if (rc == 0 && create(l, &l->client,
                              EDDY_DATAGRAM(.remote_host = "127.0.0.1",
                                            .remote_port = eddy_addr_port(&a), .write_high = 500)))
            talk(l);
    }
    disarm(l);
    end(l, &l->client);
    end(l, &l->server);
    test_loop_free(l->loop);
    creating += l->refused < 0;
    if (l->refused < 0)
        CHECK_INT(l->refused, fault ? fault->error : -ENOMEM);
}

/* ---- memory ---- */

static void G5_D7_each_allocation_of_a_life_fails_once(void)
{
    long before = test_live_allocations();
    int open = test_open_descriptors();
    struct life l;

    creating = sending = lost = 0;
    fault = NULL;
    for (bad_allocation = 1; bad_allocation < 2000; bad_allocation++) {
        live(&l);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(test_live_allocations(), before);
        CHECK_INT(test_open_descriptors(), open);
        if (!failed) {
            CHECK(l.client.received == SENDS || l.client.errors + l.server.errors > 0);
            break;
        }
    }
    bad_allocation = 0;
    CHECK(creating > 0);
    if (test_is_sim())
        CHECK(sending > 0);
}

/* ---- system calls ---- */

static void sweep(const struct fault *faults, size_t n)
{
    struct life l;

    if (!test_is_sim())
        return;
    for (size_t i = 0; i < n; i++) {
        fault = &faults[i];
        nth = 0;
        live(&l);
        CHECK_INT(l.client.received, SENDS);
        unsigned long calls = made_calls;
        CHECK(calls > 0);
        for (nth = 1; nth <= calls && nth <= MOST_CALLS; nth++) {
            live(&l);
            if (l.client.t || l.server.t)
                FAIL("call %d, number %lu: still open", (int)fault->call, nth);
        }
    }
    fault = NULL;
    nth = 0;
}

#define SWEEP(faults) sweep(faults, sizeof(faults) / sizeof(faults)[0])

static void G3_D7_making_one_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SOCKET, -EMFILE},       {EDDY_SIM_SOCKET, -ENOBUFS},
        {EDDY_SIM_BIND, -EADDRINUSE},     {EDDY_SIM_BIND, -EACCES},
        {EDDY_SIM_CONNECT, -ENETUNREACH}, {EDDY_SIM_SETSOCKOPT, -ENOPROTOOPT},
    };

    creating = 0;
    SWEEP(faults);
    CHECK(!test_is_sim() || creating >= 6);
}

static void T50_D7_sending_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SEND_MESSAGES, -EAGAIN},       {EDDY_SIM_SEND_MESSAGES, -ENOBUFS},
        {EDDY_SIM_SEND_MESSAGES, -ECONNREFUSED}, {EDDY_SIM_SEND_MESSAGES, -EPERM},
        {EDDY_SIM_SEND_MESSAGES, -EMSGSIZE},
    };

    lost = 0;
    SWEEP(faults);
    CHECK_INT(lost, 0);
}

static void T50_D7_receiving_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_RECV_MESSAGES, -EAGAIN},
        {EDDY_SIM_RECV_MESSAGES, -ENOMEM},
        {EDDY_SIM_RECV_MESSAGES, -ECONNREFUSED},
        {EDDY_SIM_RECV_MESSAGES, -ENETDOWN},
    };

    lost = 0;
    SWEEP(faults);
    CHECK_INT(lost, 0);
}

static void G3_D7_the_selector_refuses_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SELECT_SET, -ENOMEM},
        {EDDY_SIM_SELECT_SET, -ENOSPC},
    };
    struct life l;

    lost = 0;
    if (!test_is_sim())
        return;
    fault = &faults[0];
    live(&l);
    if (made_calls > 0) /* the late backend has no selector */
        SWEEP(faults);
    fault = NULL;
}

/* It is asked twice before it is believed. */
static void G3_D7_the_selector_refuses_for_good(void)
{
    struct eddy_loop *loop;
    struct party p;

    if (!test_is_sim())
        return;
    REQUIRE(test_loop_new(&loop) == 0);
    for (unsigned long i = 1; i <= 2; i++)
        CHECK_INT(eddy_sim_fail(test_sim(loop), EDDY_SIM_SELECT_SET, i, -ENOMEM), 0);
    party_init(&p, loop);
    CHECK_INT(eddy_create_datagram_endpoint(loop, &p.base, EDDY_DATAGRAM(.local_host = "127.0.0.1"),
                                            NULL),
              0);
    PARTY_UNTIL(loop, p.made);
    for (int i = 0; i < 20; i++)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(1)), 0);
    if (eddy_sim_calls(test_sim(loop), EDDY_SIM_SELECT_SET) > 0) /* the late one has none */
        CHECK_TRACE(p.trace, "CM CL(ENOMEM)");
    party_end(&p);
    test_loop_free(loop);
}

/* ---- descriptors ---- */

static void leave_no_descriptor(void *user)
{
    struct eddy_loop *loop;
    struct party p;
    struct rlimit limit;
    struct eddy_error e = {.code = 0};

    (void)user;
    REQUIRE(test_loop_new(&loop) == 0);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 3;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    party_init(&p, loop);
    CHECK_INT(eddy_create_datagram_endpoint(
                  loop, &p.base, EDDY_DATAGRAM(.local_host = "127.0.0.1", .error = &e), NULL),
              -EMFILE);
    CHECK_INT(e.code, -EMFILE);
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    test_loop_free(loop);
}

static void G3_no_descriptor_is_left(void)
{
    if (!test_is_sim())
        test_in_child(leave_no_descriptor, NULL);
}

static void G29_a_socket_given_is_closed_when_there_is_no_memory(void)
{
    struct eddy_loop *loop;
    struct party p;
    int rc, n = 1;

    REQUIRE(test_loop_new(&loop) == 0);
    struct eddy_sys *sys = test_sim(loop) ? eddy_sim_sys(test_sim(loop)) : eddy_sys_posix();
    do {
        int fd = sys->cls->socket(sys, AF_INET, SOCK_DGRAM, 0), type;
        REQUIRE(fd >= 0);
        party_init(&p, loop);
        test_fail_allocation(n++);
        rc = eddy_create_datagram_endpoint(
            loop, &p.base, EDDY_DATAGRAM(.sock = fd, .use_sock = true, .write_low = 7), NULL);
        test_fail_allocation(0);
        if (rc < 0) {
            CHECK_INT(rc, -ENOMEM);
            if (!test_is_sim()) /* where asking is a violation */
                CHECK_INT(sys->cls->getsockopt(sys, fd, SOL_SOCKET, SO_TYPE, &type), -EBADF);
        }
    } while (rc < 0 && n < 50);
    CHECK(rc == 0 && n > 3);
    PARTY_UNTIL(loop, p.made);
    party_end(&p);
    test_loop_free(loop);
}

const struct test_case test_cases[] = {
    TEST(G5_D7_each_allocation_of_a_life_fails_once),
    TEST(G3_D7_making_one_fails_once),
    TEST(T50_D7_sending_fails_once),
    TEST(T50_D7_receiving_fails_once),
    TEST(G3_D7_the_selector_refuses_once),
    TEST(G3_D7_the_selector_refuses_for_good),
    TEST(G3_no_descriptor_is_left),
    TEST(G29_a_socket_given_is_closed_when_there_is_no_memory),
    TEST_END,
};
