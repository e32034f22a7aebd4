/* backends: select poll epoll io_uring sim sim-late */
/* Making UDP endpoints: contract S45-S47, G29. */
#include "tests/contract/datagrams_pair.h"
#include <eddy/backend.h>
#include <eddy/connection.h>
#include <eddy/server.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int create(const struct eddy_datagram_opts *o)
{
    struct party p;

    party_init(&p, loop);
    int rc = eddy_create_datagram_endpoint(loop, &p.base, o, NULL);
    CHECK(!eddy_protocol_is_attached(&p.base.base) || rc == 0);
    if (rc == 0) {
        eddy_protocol_detach(&p.base.base);
        test_run_steps(loop, 3);
    }
    CHECK_INT(p.made + p.failed + p.finis, 0);
    return rc;
}

static void S45_addresses_must_match(void)
{
    begin();
    CHECK_INT(create(EDDY_DATAGRAM(.error = NULL)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.family = AF_INET)), 0);
    CHECK_INT(create(EDDY_DATAGRAM(.family = AF_INET6)), 0);
    CHECK_INT(create(EDDY_DATAGRAM(.family = 1234)), -EINVAL);
    CHECK_INT(
        create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .remote_host = "::1", .remote_port = 9)),
        -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .family = AF_INET6)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_host = "127.0.0.1")), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_host = "localhost")), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "localhost", .local_port = 70000)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .local_port = 70000)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_port = -1)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.remote_port = 9)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .seqpacket = true)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .write_low = 9, .write_high = 1)),
              -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .remote_host = "127.0.0.1",
                                   .remote_port = 9)),
              0);
    finish();
}

static void S45_the_first_error_is_reported(void)
{
    struct eddy_error e = {.code = 0};

    begin();
    party_bind(&a, loop);
    CHECK_INT(
        create(EDDY_DATAGRAM(.local_host = "127.0.0.1", .local_port = party_port(&a), .error = &e)),
        -EADDRINUSE);
    CHECK_INT(e.code, -EADDRINUSE);
    CHECK(strstr(e.text, "127.0.0.1:") != NULL);
    /* All interfaces: IPv4's are taken, so it is IPv6's. */
    party_open(&b, loop, EDDY_DATAGRAM(.local_port = party_port(&a)));
    CHECK_INT(party_addr(&b).u.sa.sa_family, AF_INET6);
    CHECK_INT(create(EDDY_DATAGRAM(.local_port = party_port(&a), .error = &e)), -EADDRINUSE);
    CHECK(strstr(e.text, "0.0.0.0:") != NULL);
    end_pair();
}

static void S47_ports_can_be_shared(void)
{
    begin();
    party_open(&a, loop, EDDY_DATAGRAM(.local_host = "127.0.0.1", .reuse_port = true));
    party_open(
        &b, loop,
        EDDY_DATAGRAM(.local_host = "127.0.0.1", .local_port = party_port(&a), .reuse_port = true));
    end_pair();
}

static void S47_broadcast_does_not_connect(void)
{
    struct party c = {.made = 0};
    struct eddy_addr peer;

    begin();
    party_bind(&a, loop);
    party_bind(&b, loop);
    party_open(&c, loop,
               EDDY_DATAGRAM(.remote_host = "127.0.0.1", .remote_port = party_port(&a),
                             .allow_broadcast = true));
    CHECK(eddy_transport_peername(c.t, &peer) < 0);
    struct eddy_addr other = party_addr(&b);
    CHECK_INT(eddy_transport_sendto(c.t, "a", 1, NULL), 0);
    CHECK_INT(eddy_transport_sendto(c.t, "bb", 2, &other), 0);
    PARTY_UNTIL(loop, a.received == 1 && b.received == 1);
    CHECK_INT(a.len, 1);
    CHECK_INT(b.len, 2);
    int on = 0;
    struct eddy_sys *sys = test_sim(loop) ? eddy_sim_sys(test_sim(loop)) : eddy_sys_posix();
    CHECK_INT(sys->cls->getsockopt(sys, eddy_transport_fd(c.t), SOL_SOCKET, SO_BROADCAST, &on), 0);
    CHECK(on != 0);
    party_end(&c);
    end_pair();
}

static void S46_G29_a_socket_of_the_callers(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_addr any;

    begin();
    struct eddy_sys *sys = test_sim(loop) ? eddy_sim_sys(test_sim(loop)) : eddy_sys_posix();
    int fd = sys->cls->socket(sys, AF_INET, SOCK_DGRAM, 0);
    int stream = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && stream >= 0);
    CHECK_INT(create(EDDY_DATAGRAM(.sock = stream, .use_sock = true, .error = &e)), -EINVAL);
    CHECK(strstr(e.text, "stream") != NULL);
    CHECK_INT(
        create(EDDY_DATAGRAM(.sock = fd, .use_sock = true, .local_host = "127.0.0.1", .error = &e)),
        -EINVAL);
    CHECK(strstr(e.text, ".local_host") != NULL);
    CHECK_INT(create(EDDY_DATAGRAM(.sock = fd, .use_sock = true, .reuse_port = true)), -EINVAL);
    CHECK_INT(create(EDDY_DATAGRAM(.sock = -1, .use_sock = true)), -EINVAL);
    CHECK_INT(sys->cls->close(sys, stream), 0); /* still ours */
    CHECK_INT(eddy_addr_parse("127.0.0.1", 0, &any), 0);
    CHECK_INT(sys->cls->bind(sys, fd, &any), 0);
    party_open(&a, loop, EDDY_DATAGRAM(.sock = fd, .use_sock = true));
    CHECK_INT(create(EDDY_DATAGRAM(.sock = fd, .use_sock = true)), EDDY_EFD_IN_USE);
    party_connect(&b, loop, party_port(&a));
    CHECK_INT(eddy_transport_sendto(b.t, "x", 1, NULL), 0);
    PARTY_UNTIL(loop, a.received == 1);
    end_pair();
}

static bool ended(struct eddy_protocol *p)
{
    (void)p;
    return false;
}

static void G4_G21_classes_are_told_apart(void)
{
    struct eddy_error e = {.code = 0};
    struct party p;

    begin();
    CHECK_INT(eddy_create_datagram_endpoint(NULL, &a.base, EDDY_DATAGRAM(.family = AF_INET), NULL),
              -EINVAL);
    CHECK_INT(eddy_create_datagram_endpoint(loop, NULL, EDDY_DATAGRAM(.family = AF_INET), NULL),
              -EINVAL);
    CHECK_INT(eddy_create_datagram_endpoint(loop, &a.base, NULL, NULL), -EINVAL);
    party_init(&p, loop);
    CHECK_INT(eddy_create_server(loop, &party_class.base, EDDY_SERVER(.host = "127.0.0.1"), NULL),
              -EINVAL);
    CHECK_INT(eddy_create_connection(loop, &p.base.base,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = 9), NULL),
              -EINVAL);
    struct eddy_datagram_protocol_class odd = party_class;
    p.base.base.cls = &odd.base;
    odd.datagram_size = 8;
    CHECK_INT(eddy_create_datagram_endpoint(loop, &p.base, EDDY_DATAGRAM(.family = AF_INET), NULL),
              -EINVAL);
    odd = party_class;
    odd.base.eof_received = ended;
    CHECK_INT(eddy_create_datagram_endpoint(loop, &p.base, EDDY_DATAGRAM(.family = AF_INET), NULL),
              -EINVAL);
    odd = party_class;
    odd.base.kind_ = 0;
    CHECK_INT(eddy_create_datagram_endpoint(loop, &p.base,
                                            EDDY_DATAGRAM(.family = AF_INET, .error = &e), NULL),
              -EINVAL);
    CHECK(strstr(e.text, "EDDY_DATAGRAM_PROTOCOL_CLASS") != NULL);
    finish();
}

const struct test_case test_cases[] = {
    TEST(S45_addresses_must_match),
    TEST(S45_the_first_error_is_reported),
    TEST(S47_ports_can_be_shared),
    TEST(S47_broadcast_does_not_connect),
    TEST(S46_G29_a_socket_of_the_callers),
    TEST(G4_G21_classes_are_told_apart),
    TEST_END,
};
