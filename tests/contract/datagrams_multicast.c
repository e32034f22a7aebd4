/* backends: select poll epoll io_uring */
/* Groups, on the loopback interface; and broadcast. */
#include "tests/contract/datagrams_pair.h"
#include <eddy/backend.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static void settle(void)
{
    for (int i = 0; i < 5; i++)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(2)), 0);
}

static int option(int name)
{
    int value = -1;

    CHECK_INT(eddy_sys_posix()->cls->getsockopt(eddy_sys_posix(), eddy_transport_fd(b.t),
                                                IPPROTO_IP, name, &value),
              0);
    return value;
}

/* The interface is named in each of the ways. */
static void a_group(const char *interface)
{
    struct eddy_addr group;

    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "0.0.0.0"));
    party_bind(&b, loop);
    CHECK_INT(eddy_addr_parse("239.255.7.7", party_port(&a), &group), 0);
    CHECK_INT(eddy_transport_join_group(a.t, &group, interface), 0);
    CHECK_INT(eddy_transport_join_group(a.t, &group, interface), -EADDRINUSE);
    CHECK_INT(eddy_transport_set_multicast_interface(b.t, interface), 0);
    CHECK_INT(eddy_transport_set_multicast_ttl(b.t, 0), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "all", 3, &group), 0);
    PARTY_UNTIL(loop, a.received == 1);
    CHECK_INT(a.len, 3);
    /* On this interface they come back whatever is asked for. */
    CHECK_INT(option(IP_MULTICAST_LOOP), 1);
    CHECK_INT(eddy_transport_set_multicast_loop(b.t, false), 0);
    CHECK_INT(option(IP_MULTICAST_LOOP), 0);
    CHECK_INT(option(IP_MULTICAST_TTL), 0);
    CHECK_INT(eddy_transport_set_multicast_ttl(b.t, 7), 0);
    CHECK_INT(option(IP_MULTICAST_TTL), 7);
    CHECK_INT(eddy_transport_set_multicast_ttl(b.t, 0), 0);
    CHECK_INT(eddy_transport_leave_group(a.t, &group, interface), 0);
    CHECK_INT(eddy_transport_leave_group(a.t, &group, interface), -EADDRNOTAVAIL);
    eddy_transport_sendto(b.t, "gone", 4, &group);
    settle();
    CHECK_INT(a.received, 1);
    end_pair();
}

static void T54_a_group_by_the_address_of_an_interface(void)
{
    a_group("127.0.0.1");
}

static void T54_a_group_by_the_name_of_an_interface(void)
{
    char name[IF_NAMESIZE];

    for (unsigned i = 1; i < 10; i++) {
        if (if_indextoname(i, name) && strncmp(name, "lo", 2) == 0) {
            a_group(name);
            return;
        }
    }
}

static void T54_a_group_by_the_number_of_an_interface(void)
{
    char name[IF_NAMESIZE], text[16];

    for (unsigned i = 1; i < 10; i++) {
        if (if_indextoname(i, name) && strncmp(name, "lo", 2) == 0) {
            snprintf(text, sizeof text, "%u", i);
            a_group(text);
            return;
        }
    }
}

static void T54_groups_that_others_have_joined_are_not_heard(void)
{
    struct eddy_addr group;

    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "0.0.0.0", .reuse_port = true));
    party_open(
        &b, loop,
        EDDY_DATAGRAM(.local_host = "0.0.0.0", .local_port = party_port(&a), .reuse_port = true));
    CHECK_INT(eddy_addr_parse("239.255.7.8", party_port(&a), &group), 0);
    CHECK_INT(eddy_transport_join_group(b.t, &group, "127.0.0.1"), 0);
    CHECK_INT(eddy_transport_set_multicast_interface(b.t, "127.0.0.1"), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "all", 3, &group), 0);
    PARTY_UNTIL(loop, b.received == 1);
    settle();
    CHECK_INT(a.received, 0);
    CHECK_INT(eddy_transport_join_group(a.t, &group, "127.0.0.1"), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "all", 3, &group), 0);
    PARTY_UNTIL(loop, a.received == 1 && b.received == 2); /* each member has one */
    end_pair();
}

static void T54_a_group_of_IPv6(void)
{
    struct eddy_addr group;

    begin();
    party_init(&a, loop);
    if (eddy_create_datagram_endpoint(loop, &a.base, EDDY_DATAGRAM(.local_host = "::"), NULL) < 0) {
        test_loop_free(loop); /* no IPv6 here */
        return;
    }
    PARTY_UNTIL(loop, a.made);
    party_open(&b, loop, EDDY_DATAGRAM(.family = AF_INET6));
    CHECK_INT(eddy_addr_parse("ff01::7:7", party_port(&a), &group), 0);
    int rc = eddy_transport_join_group(a.t, &group, "::1");
    CHECK(rc == 0 || rc == -ENODEV); /* a host may have no ::1 */
    if (rc == 0) {
        CHECK_INT(eddy_transport_set_multicast_interface(b.t, "::1"), 0);
        CHECK_INT(eddy_transport_set_multicast_ttl(b.t, 0), 0);
        CHECK_INT(eddy_transport_sendto(b.t, "six", 3, &group), 0);
        PARTY_UNTIL(loop, a.received == 1 || b.errors == 1);
        CHECK_INT(eddy_transport_leave_group(a.t, &group, "::1"), 0);
    }
    end_pair();
}

static void G1_G24_what_cannot_be_joined(void)
{
    struct eddy_addr group, host, six;

    begin();
    party_bind(&a, loop);
    party_bind(&b, loop);
    CHECK_INT(eddy_addr_parse("239.255.7.7", 9, &group), 0);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 9, &host), 0);
    CHECK_INT(eddy_addr_parse("ff02::1", 9, &six), 0);
    CHECK_INT(eddy_transport_join_group(a.t, &host, NULL), -EINVAL);
    CHECK_INT(eddy_transport_join_group(a.t, &six, NULL), -EINVAL);
    CHECK_INT(eddy_transport_join_group(a.t, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_transport_join_group(a.t, &group, "no-such-if0"), -ENODEV);
    CHECK_INT(eddy_transport_join_group(a.t, &group, "99999"), -ENODEV);
    CHECK_INT(eddy_transport_join_group(a.t, &group, "192.0.2.77"), -ENODEV);
    CHECK_INT(eddy_transport_leave_group(a.t, &group, "127.0.0.1"), -EADDRNOTAVAIL);
    CHECK_INT(eddy_transport_set_multicast_ttl(a.t, 256), -EINVAL);
    CHECK_INT(eddy_transport_set_multicast_ttl(a.t, -1), -EINVAL);
    CHECK_INT(eddy_transport_join_group(NULL, &group, NULL), EDDY_ECLOSED);
    eddy_transport_close(b.t);
    CHECK_INT(eddy_transport_join_group(b.t, &group, NULL), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_set_broadcast(b.t, true), EDDY_ECLOSED);
    end_pair();
}

static void S47_broadcast_must_be_allowed(void)
{
    struct eddy_addr all;

    begin();
    party_bind(&a, loop);
    party_bind(&b, loop);
    CHECK_INT(eddy_addr_parse("255.255.255.255", party_port(&a), &all), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, &all), 0);
    CHECK(b.errors == 1 && b.error_has_addr && eddy_addr_equal(&b.about, &all));
    CHECK(b.error == -EACCES || b.error == -ENETUNREACH);
    CHECK_INT(eddy_transport_set_broadcast(b.t, true), 0);
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, &all), 0);
    CHECK(b.errors == 1 || b.error != -EACCES);
    end_pair();
}

const struct test_case test_cases[] = {
    TEST(T54_a_group_by_the_address_of_an_interface),
    TEST(T54_a_group_by_the_name_of_an_interface),
    TEST(T54_a_group_by_the_number_of_an_interface),
    TEST(T54_groups_that_others_have_joined_are_not_heard),
    TEST(T54_a_group_of_IPv6),
    TEST(G1_G24_what_cannot_be_joined),
    TEST(S47_broadcast_must_be_allowed),
    TEST_END,
};
