/* backends: select poll epoll io_uring sim sim-late */
/* Datagram endpoints by the names of hosts: contract S45, S13, L82, G3, G5, G15. */
#include "tests/contract/datagrams_pair.h"
#include "tests/contract/executor.h"
#include "tests/contract/scripted_names.h"
#include <eddy/backend.h>
#include <netinet/in.h>

static const struct scripted_name names[] = {
    {.name = "here", .addrs = {"127.0.0.1"}},
    {.name = "slow", .addrs = {"127.0.0.1"}, .delay = EDDY_MSEC(30)},
    {.name = "slower", .addrs = {"127.0.0.1"}, .delay = EDDY_MSEC(50)},
    {.name = "both", .addrs = {"::1", "127.0.0.1"}},
    {.name = "six", .addrs = {"::1"}},
    {.name = "two", .addrs = {"127.0.0.1", "127.0.0.2"}},
    {.name = "hundred", .many = 100},
    {.name = "again", .code = EDDY_EDNS, .detail = EAI_AGAIN, .delay = EDDY_MSEC(1)},
    {.name = "silent", .delay = EDDY_FOREVER},
    {.name = NULL},
};

static struct eddy_sys *sys;

static void begin_names(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    loop = scripted_loop(names);
    sys = test_sim(loop) ? eddy_sim_sys(test_sim(loop)) : eddy_sys_posix();
}

/* Begins to be, and has not called back yet. */
static void create(struct party *p, const struct eddy_datagram_opts *o, struct eddy_future **ret)
{
    party_init(p, loop);
    REQUIRE(eddy_create_datagram_endpoint(loop, &p->base, o, ret) == 0);
    CHECK_INT(p->made + p->failed + p->finis, 0);
    CHECK(eddy_protocol_is_attached(&p->base.base));
}

/* connect_failed comes, and fini; returns the code. */
static int failure(struct party *p, const struct eddy_datagram_opts *o)
{
    struct eddy_future *f;

    create(p, o, &f);
    PARTY_UNTIL(loop, p->finis);
    CHECK_INT(p->made, 0);
    CHECK_INT(p->failed, 1);
    CHECK_INT(eddy_future_result(f, NULL), p->code);
    eddy_future_unref(f);
    return p->code;
}

/* The error of the last failure, by its future. */
static struct eddy_error failure_text(const struct eddy_datagram_opts *o)
{
    struct eddy_error e = {.code = 0};
    struct eddy_future *f;
    struct party p;

    create(&p, o, &f);
    PARTY_UNTIL(loop, p.finis);
    const struct eddy_error *why = eddy_future_error(f);
    if (CHECK(why != NULL))
        e = *why;
    CHECK_INT(e.code, p.code);
    eddy_future_unref(f);
    return e;
}

/* ---- what comes about ---- */

static void S45_names_of_both_sides_are_found_after_the_call(void)
{
    begin_names();
    party_bind(&a, loop);
    create(
        &b,
        EDDY_DATAGRAM(.local_host = "here", .remote_host = "here", .remote_port = party_port(&a)),
        NULL);
    CHECK_INT(scripted.asked, 2);
    CHECK_INT(scripted.type, SOCK_DGRAM);
    PARTY_UNTIL(loop, b.made);
    struct eddy_addr own = party_addr(&b), peer, bound = party_addr(&a);
    CHECK_INT(eddy_transport_peername(b.t, &peer), 0);
    CHECK(eddy_addr_equal(&peer, &bound));
    CHECK_INT(ntohl(own.u.in.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK(eddy_addr_equal(&a.from, &own));
    end_pair();
}

static void S45_both_are_looked_up_at_the_same_time(void)
{
    begin_names();
    eddy_nsec begun = eddy_loop_time(loop);
    create(&a, EDDY_DATAGRAM(.local_host = "slow", .remote_host = "slower", .remote_port = 9),
           NULL);
    CHECK_INT(scripted.asked, 2);
    PARTY_UNTIL(loop, a.made);
    eddy_nsec took = eddy_loop_time(loop) - begun;
    CHECK(took >= EDDY_MSEC(50));
    if (test_is_sim())
        CHECK_INT(took, EDDY_MSEC(50));
    party_end(&a);
    create(&a, EDDY_DATAGRAM(.local_host = "slower", .remote_host = "slow", .remote_port = 9),
           NULL);
    PARTY_UNTIL(loop, a.made);
    party_end(&a);
    finish();
}

static void S45_a_name_on_one_side_and_an_address_on_the_other(void)
{
    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = "127.0.0.2", .remote_host = "slow", .remote_port = 9),
           NULL);
    PARTY_UNTIL(loop, a.made);
    struct eddy_addr own = party_addr(&a), wanted;
    CHECK_INT(eddy_addr_parse("127.0.0.2", eddy_addr_port(&own), &wanted), 0);
    CHECK(eddy_addr_equal(&own, &wanted));
    create(&b, EDDY_DATAGRAM(.local_host = "slow", .remote_host = "127.0.0.2", .remote_port = 9),
           NULL);
    PARTY_UNTIL(loop, b.made);
    CHECK_INT(scripted.asked, 2);
    end_pair();
}

/* A port that was free a moment ago may be somebody else's by now. */
enum { TRIES = 50 };

/* Runs until it is there, or not: then it is -EADDRINUSE. */
static bool comes_about(struct party *p, const struct eddy_datagram_opts *o)
{
    create(p, o, NULL);
    PARTY_UNTIL(loop, p->made || p->finis);
    CHECK(p->made || p->code == -EADDRINUSE);
    return p->made;
}

static void S45_a_local_port_goes_with_the_family_that_was_found(void)
{
    int port = 0;

    begin_names();
    for (int i = 0; !a.made && i < TRIES; i++) {
        port = party_dead_port(loop);
        comes_about(&a, EDDY_DATAGRAM(.local_port = port, .remote_host = "slow", .remote_port = 9));
    }
    REQUIRE(a.made);
    CHECK_INT(party_addr(&a).u.sa.sa_family, AF_INET);
    CHECK_INT(party_port(&a), port);
    party_end(&a);
    finish();
}

static void S45_pairs_are_matched_by_family(void)
{
    struct eddy_addr peer;

    begin_names();
    /* The first of the remote ones has no partner. */
    create(&a, EDDY_DATAGRAM(.local_host = "here", .remote_host = "both", .remote_port = 9), NULL);
    PARTY_UNTIL(loop, a.made);
    CHECK_INT(eddy_transport_peername(a.t, &peer), 0);
    CHECK_INT(peer.u.sa.sa_family, AF_INET);
    create(&b, EDDY_DATAGRAM(.remote_host = "both", .remote_port = 9, .family = AF_INET), NULL);
    CHECK_INT(scripted.family, AF_INET);
    PARTY_UNTIL(loop, b.made);
    end_pair();
}

static void S45_the_next_pair_is_tried(void)
{
    begin_names();
    party_bind(&a, loop);
    for (int i = 0; i < TRIES && !comes_about(&b, EDDY_DATAGRAM(.local_host = "two",
                                                  .local_port = party_port(&a)));
         i++) {
        party_end(&a);
        party_bind(&a, loop);
    }
    REQUIRE(b.made);
    struct eddy_addr own = party_addr(&b), wanted;
    CHECK_INT(eddy_addr_parse("127.0.0.2", party_port(&a), &wanted), 0);
    CHECK(eddy_addr_equal(&own, &wanted));
    end_pair();
}

static void S47_a_name_as_the_default_destination_of_a_broadcast(void)
{
    struct eddy_addr peer;

    begin_names();
    party_bind(&a, loop);
    create(&b,
           EDDY_DATAGRAM(.remote_host = "slow", .remote_port = party_port(&a),
                         .allow_broadcast = true),
           NULL);
    PARTY_UNTIL(loop, b.made);
    CHECK(eddy_transport_peername(b.t, &peer) < 0);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    end_pair();
}

static void S45_addresses_are_not_looked_up(void)
{
    begin_names();
    party_bind(&a, loop);
    party_connect(&b, loop, party_port(&a));
    CHECK_INT(scripted.opened + scripted.asked, 0);
    end_pair();
}

static void S45_the_names_may_be_gone_after_the_call(void)
{
    char local[8] = "slow", remote[8] = "slower";

    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = local, .remote_host = remote, .remote_port = 9), NULL);
    memset(local, 'x', sizeof local);
    memset(remote, 'x', sizeof remote);
    PARTY_UNTIL(loop, a.made);
    party_end(&a);
    finish();
}

/* ---- what fails ---- */

static void S45_a_name_that_is_not_found(void)
{
    begin_names();
    struct eddy_error e = failure_text(EDDY_DATAGRAM(.local_host = "nowhere"));
    CHECK_INT(e.code, EDDY_EDNS);
    CHECK_INT(e.detail, EAI_NONAME);
    CHECK(strstr(e.text, "nowhere") != NULL);
    CHECK_INT(scripted.cancelled, 0);
    /* The other look-up ends with it. */
    CHECK_INT(failure(&a, EDDY_DATAGRAM(.local_host = "silent", .remote_host = "again",
                                        .remote_port = 9)),
              EDDY_EDNS);
    CHECK_INT(scripted.cancelled, 1);
    CHECK_INT(failure(&a, EDDY_DATAGRAM(.local_host = "again", .remote_host = "silent",
                                        .remote_port = 9)),
              EDDY_EDNS);
    CHECK_INT(scripted.cancelled, 2);
    CHECK_INT(failure(&a, EDDY_DATAGRAM(.remote_host = "six", .remote_port = 9, .family = AF_INET)),
              EDDY_EDNS);
    finish();
}

static void S45_no_matching_pair(void)
{
    begin_names();
    struct eddy_error e =
        failure_text(EDDY_DATAGRAM(.local_host = "six", .remote_host = "here", .remote_port = 9));
    CHECK_INT(e.code, -EINVAL);
    CHECK(strstr(e.text, "no matching pair") != NULL);
    CHECK_INT(failure(&a, EDDY_DATAGRAM(.local_host = "127.0.0.1", .remote_host = "six",
                                        .remote_port = 9)),
              -EINVAL);
    finish();
}

/* a and b on one port of two addresses. */
static int bind_both(void)
{
    int rc = -EADDRINUSE;

    for (int i = 0; rc == -EADDRINUSE && i < TRIES; i++) {
        if (i > 0)
            party_end(&a);
        party_bind(&a, loop);
        party_init(&b, loop);
        rc = eddy_create_datagram_endpoint(
            loop, &b.base, EDDY_DATAGRAM(.local_host = "127.0.0.2", .local_port = party_port(&a)),
            NULL);
    }
    REQUIRE(rc == 0);
    PARTY_UNTIL(loop, b.made);
    return party_port(&a);
}

static void S45_the_first_error_is_told(void)
{
    begin_names();
    int port = bind_both();
    struct eddy_error e = failure_text(EDDY_DATAGRAM(.local_host = "two", .local_port = port));
    CHECK_INT(e.code, -EADDRINUSE);
    CHECK(strstr(e.text, "127.0.0.1:") != NULL);
    end_pair();
}

static void S45_what_a_name_server_says_holds_up_nobody(void)
{
    begin_names();
    party_bind(&a, loop);
    unsigned long before = test_is_sim() ? eddy_sim_calls(test_sim(loop), EDDY_SIM_SOCKET) : 0;
    CHECK_INT(failure(&b, EDDY_DATAGRAM(.local_host = "127.0.0.1", .local_port = party_port(&a),
                                        .remote_host = "hundred", .remote_port = 9)),
              -EADDRINUSE);
    if (test_is_sim())
        CHECK_INT(eddy_sim_calls(test_sim(loop), EDDY_SIM_SOCKET) - before, 64);
    party_end(&a);
    finish();
}

static void S45_L82_a_look_up_ends_by_its_time_out(void)
{
    begin_names();
    if (test_is_sim()) {
        eddy_nsec begun = eddy_loop_time(loop);
        create(&a, EDDY_DATAGRAM(.local_host = "silent"), NULL);
        CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(100)), 0);
        PARTY_UNTIL(loop, a.finis);
        CHECK_INT(eddy_loop_time(loop) - begun, EDDY_SEC(30));
        CHECK_TRACE(a.trace, "CF(ETIMEDOUT)");
        CHECK_INT(scripted.cancelled, 1);
    }
    finish();
}

static void G3_the_call_fails_if_nobody_can_be_asked(void)
{
    struct eddy_error e = {.code = 0};

    begin_names();
    scripted.open_result = -ENOSYS;
    party_init(&a, loop);
    CHECK_INT(eddy_create_datagram_endpoint(loop, &a.base,
                                            EDDY_DATAGRAM(.local_host = "here", .error = &e), NULL),
              -ENOSYS);
    CHECK_STR(e.text, "not today");
    CHECK(!eddy_protocol_is_attached(&a.base.base));
    scripted.open_result = 0;
    create(&a, EDDY_DATAGRAM(.local_host = "here"), NULL);
    PARTY_UNTIL(loop, a.made);
    party_end(&a);
    CHECK_INT(a.failed, 0);
    finish();
}

static void G3_what_was_asked_first_is_taken_back(void)
{
    struct eddy_future *f = NULL;

    begin_names();
    scripted.refuse = 2;
    party_init(&a, loop);
    CHECK_INT(eddy_create_datagram_endpoint(
                  loop, &a.base,
                  EDDY_DATAGRAM(.local_host = "slow", .remote_host = "here", .remote_port = 9), &f),
              -ENOMEM);
    CHECK(f == NULL);
    CHECK_INT(scripted.cancelled, 1);
    CHECK(!eddy_protocol_is_attached(&a.base.base));
    test_run_steps(loop, 3);
    CHECK_TRACE(a.trace, "");
    finish();
}

/* ---- what is given up ---- */

static void S13_S45_cancelling_the_future_ends_the_look_ups(void)
{
    struct eddy_future *f;

    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = "silent", .remote_host = "slow", .remote_port = 9), &f);
    CHECK(eddy_future_cancel(f, NULL));
    CHECK_INT(scripted.cancelled, 2);
    CHECK_INT(a.failed, 0);
    PARTY_UNTIL(loop, a.finis);
    CHECK_TRACE(a.trace, "CF(ECANCELED)");
    eddy_future_unref(f);
    finish();
}

static void S13_S45_cancelling_between_the_look_ups_and_the_socket(void)
{
    struct eddy_future *f;

    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = "here"), &f); /* found by now, and not told */
    CHECK(eddy_future_cancel(f, NULL));
    PARTY_UNTIL(loop, a.finis);
    CHECK_TRACE(a.trace, "CF(ECANCELED)");
    eddy_future_unref(f);
    finish();
}

static void G15_S45_detach_ends_all_without_a_call(void)
{
    struct eddy_future *f;

    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = "slow", .remote_host = "slower", .remote_port = 9), &f);
    eddy_protocol_detach(&a.base.base);
    CHECK_INT(scripted.cancelled, 2);
    CHECK(eddy_future_is_cancelled(f));
    test_run_steps(loop, 3);
    CHECK_TRACE(a.trace, "");
    CHECK_INT(a.finis, 0);
    eddy_future_unref(f);
    finish();
}

static void L16_S45_loop_close_ends_the_look_ups(void)
{
    begin_names();
    create(&a, EDDY_DATAGRAM(.local_host = "slow", .remote_host = "slower", .remote_port = 9),
           NULL);
    create(&b, EDDY_DATAGRAM(.remote_host = "silent", .remote_port = 9), NULL);
    finish();
    CHECK_TRACE(a.trace, "CF(ELOOP_CLOSED)");
    CHECK_TRACE(b.trace, "CF(ELOOP_CLOSED)");
    CHECK_INT(scripted.cancelled, 3);
}

static void again_from_failure(struct eddy_datagram_protocol *p, const struct eddy_error *err)
{
    party_failed(p, err);
    CHECK_INT(eddy_create_datagram_endpoint(loop, p, EDDY_DATAGRAM(.local_host = "here"), NULL), 0);
}

static void R3_another_name_from_connect_failed(void)
{
    struct eddy_datagram_protocol_class cls = party_class;

    begin_names();
    cls.connect_failed = again_from_failure;
    party_init(&a, loop);
    eddy_datagram_protocol_init(&a.base, &cls);
    REQUIRE(eddy_create_datagram_endpoint(loop, &a.base, EDDY_DATAGRAM(.local_host = "nowhere"),
                                          NULL) == 0);
    PARTY_UNTIL(loop, a.t);
    CHECK_TRACE(a.trace, "CF(EDNS) CM");
    eddy_transport_abort(a.t, NULL);
    PARTY_UNTIL(loop, a.lost);
    test_run_steps(loop, 2);
    finish();
}

/* ---- memory ---- */

/* One life: 0, or what the call or connect_failed said. */
static int live(void)
{
    party_init(&a, loop);
    int rc = eddy_create_datagram_endpoint(loop, &a.base,
                                           EDDY_DATAGRAM(.local_host = "here", .remote_host = "two",
                                                         .remote_port = 9, .write_high = 1000),
                                           NULL);
    if (rc < 0) {
        CHECK_INT(a.made + a.failed + a.finis, 0);
        return rc;
    }
    for (int i = 0; i < 50 && !a.made && !a.finis; i++)
        eddy_loop_run_once(loop, EDDY_MSEC(5));
    rc = a.code;
    if (a.t)
        eddy_transport_close(a.t);
    for (int i = 0; i < 50 && !a.finis; i++)
        eddy_loop_run_once(loop, EDDY_MSEC(5));
    CHECK_INT(a.finis, 1);
    CHECK_INT(a.made + a.failed, 1);
    return rc;
}

static void S45_G5_each_allocation_fails_once(void)
{
    bool failed = true;
    int refused = 0, told = 0;

    for (long n = 1; failed && n < 500; n++) {
        begin_names();
        test_fail_allocation(n);
        int rc = live();
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK(rc == 0 || (failed && rc == -ENOMEM));
        refused += rc < 0 && !a.failed;
        told += rc < 0 && a.failed;
        finish();
    }
    CHECK(!failed);
    CHECK(refused > 1);
    CHECK(told > 1);
}

/* ---- the resolvers that there are ---- */

static void S45_localhost_by_each_resolver(void)
{
    const char *name;
    long before = test_live_allocations();

    for (unsigned i = 0; !test_is_sim() && (name = eddy_resolver_name(i)) != NULL; i++) {
        REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = name)), &loop) == 0);
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        party_open(&a, loop, EDDY_DATAGRAM(.local_host = "localhost", .family = AF_INET));
        party_open(&b, loop,
                   EDDY_DATAGRAM(.remote_host = "localhost", .remote_port = party_port(&a),
                                 .local_host = "127.0.0.1"));
        CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
        PARTY_UNTIL(loop, a.received == 1);
        end_pair();
        wait_for_allocations(before); /* of threads that end by themselves */
    }
}

static void S45_a_name_by_the_simulator(void)
{
    struct eddy_addr at;

    if (!test_is_sim())
        return;
    begin();
    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, &at), 0);
    CHECK_INT(eddy_sim_add_name(test_sim(loop), "example.org", &at, 1, EDDY_MSEC(7)), 0);
    eddy_nsec begun = eddy_loop_time(loop);
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "example.org"));
    CHECK_INT(eddy_loop_time(loop) - begun, EDDY_MSEC(7));
    party_end(&a);
    finish();
}

const struct test_case test_cases[] = {
    TEST(S45_names_of_both_sides_are_found_after_the_call),
    TEST(S45_both_are_looked_up_at_the_same_time),
    TEST(S45_a_name_on_one_side_and_an_address_on_the_other),
    TEST(S45_a_local_port_goes_with_the_family_that_was_found),
    TEST(S45_pairs_are_matched_by_family),
    TEST(S45_the_next_pair_is_tried),
    TEST(S47_a_name_as_the_default_destination_of_a_broadcast),
    TEST(S45_addresses_are_not_looked_up),
    TEST(S45_the_names_may_be_gone_after_the_call),
    TEST(S45_a_name_that_is_not_found),
    TEST(S45_no_matching_pair),
    TEST(S45_the_first_error_is_told),
    TEST(S45_what_a_name_server_says_holds_up_nobody),
    TEST(S45_L82_a_look_up_ends_by_its_time_out),
    TEST(G3_the_call_fails_if_nobody_can_be_asked),
    TEST(G3_what_was_asked_first_is_taken_back),
    TEST(S13_S45_cancelling_the_future_ends_the_look_ups),
    TEST(S13_S45_cancelling_between_the_look_ups_and_the_socket),
    TEST(G15_S45_detach_ends_all_without_a_call),
    TEST(L16_S45_loop_close_ends_the_look_ups),
    TEST(R3_another_name_from_connect_failed),
    TEST(S45_G5_each_allocation_fails_once),
    TEST(S45_localhost_by_each_resolver),
    TEST(S45_a_name_by_the_simulator),
    TEST_END,
};
