/* Names and fork: a child that goes on with the loop asks by sockets of its own. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"
#include <unistd.h>

static struct asker in_flight;

static void begin_held(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 0, "192.0.2.1");
    dns_add(&dns, "other.test", DNS_A, 0, "192.0.2.2");
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_HOLD));
    ask(&in_flight, "www.test", AF_INET);
    wait_until_held(1);
}

/* The answer that was held is for the parent's socket: the child had nothing of it. */
static void end_held(void)
{
    CHECK_INT(in_flight.calls, 0);
    dns_release(&dns);
    wait_for(&in_flight);
    CHECK_ADDRESSES(&in_flight, "192.0.2.1");
    forget(&in_flight);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    end();
}

/* The parent waits for the child, whose copy of the server is then alone at its sockets. */
static void free_inherited(void)
{
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    dns_close(&dns);
    CHECK_INT(test_live_allocations(), 0);
}

static void go_on(void *user)
{
    int descriptors = *(int *)user;
    int asked = dns.asked;
    CHECK_INT(eddy_loop_forked(loop), 0);
    dns_behave_well(&dns);
    wait_for(&in_flight);
    CHECK_ADDRESSES(&in_flight, "192.0.2.1");
    CHECK_INT(dns.asked, asked + 1);
    forget(&in_flight);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    free_inherited();
    CHECK_INT(test_open_descriptors(), descriptors);
}

static void L72_a_look_up_in_flight_goes_on_in_both(void)
{
    int descriptors = test_open_descriptors();
    begin_held();
    test_in_child(go_on, &descriptors);
    end_held();
}

static void cancel_it(void *user)
{
    (void)user;
    eddy_query_cancel(&in_flight.query);
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    CHECK_INT(in_flight.calls, 0);
    free_inherited();
}

static void cancel_it_later(void *user)
{
    (void)user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    eddy_query_cancel(&in_flight.query);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    CHECK_INT(in_flight.calls, 0);
    free_inherited();
}

static void L72_L82_what_the_child_cancels_goes_on_in_the_parent(void)
{
    begin_held();
    test_in_child(cancel_it, NULL);
    test_in_child(cancel_it_later, NULL);
    end_held();
}

/* Without a word to the loop. */
static void close_inherited(void *user)
{
    (void)user;
    struct eddy_loop *mine = loop;
    CHECK_INT(eddy_loop_close(mine), 0);
    CHECK_INT(in_flight.calls, 1);
    CHECK_INT(in_flight.code, EDDY_ELOOP_CLOSED);
    free_inherited();
}

static void L72_L82_a_child_may_close_the_loop(void)
{
    begin_held();
    test_in_child(close_inherited, NULL);
    end_held();
}

static void go_on_when_idle(void *user)
{
    (void)user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    free_inherited();
}

static void L72_a_resolver_at_rest_goes_on_in_both(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "other.test", DNS_A, 0, "192.0.2.2");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    test_in_child(go_on_when_idle, NULL);
    test_in_child(go_on_when_idle, NULL);
    CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    end();
}

const struct test_case test_cases[] = {
    TEST(L72_a_look_up_in_flight_goes_on_in_both),
    TEST(L72_L82_what_the_child_cancels_goes_on_in_the_parent),
    TEST(L72_L82_a_child_may_close_the_loop),
    TEST(L72_a_resolver_at_rest_goes_on_in_both),
    TEST_END,
};
