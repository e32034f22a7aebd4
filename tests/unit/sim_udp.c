/* The simulated network's datagrams, by its system calls alone. */
#include "tests/unit/sim.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static struct eddy_addr name_of(int fd)
{
    struct eddy_addr a = {.len = 0};

    CHECK_INT(sys->cls->sockname(sys, fd, &a), 0);
    return a;
}

static int bound(const char *host)
{
    struct eddy_addr a = addr(host, 0);
    int fd = sys->cls->socket(sys, a.u.sa.sa_family, SOCK_DGRAM, 0);

    CHECK_INT(sys->cls->bind(sys, fd, &a), 0);
    return fd;
}

static int connected(const struct eddy_addr *to)
{
    int fd = sys->cls->socket(sys, to->u.sa.sa_family, SOCK_DGRAM, 0);

    CHECK_INT(sys->cls->connect(sys, fd, to), 0);
    return fd;
}

static int send_to(int fd, const char *text, const struct eddy_addr *to)
{
    char bytes[100];
    struct eddy_message m = {.data = bytes, .len = strlen(text)};

    memcpy(bytes, text, m.len);
    if (to)
        m.addr = *to;
    return sys->cls->send_messages(sys, fd, &m, 1);
}

/* "-" if there is none, else its text; *ret_from may be NULL. */
static const char *receive(int fd, struct eddy_addr *ret_from)
{
    static char bytes[100];
    struct eddy_message m = {.data = bytes, .len = sizeof bytes - 1};
    int n = sys->cls->recv_messages(sys, fd, &m, 1);

    if (n < 0)
        return n == -EAGAIN ? "-" : test_code(n);
    bytes[m.len] = '\0';
    if (ret_from)
        *ret_from = m.addr;
    return bytes;
}

static void there_and_back(void)
{
    struct eddy_addr from = {.len = 0}, own;

    begin(NULL);
    int a = bound("127.0.0.1"), b = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    CHECK_STR(receive(a, NULL), "-");
    CHECK_INT(send_to(b, "hello", &to), 1);
    CHECK_INT(send_to(b, "", &to), 1);
    CHECK_STR(receive(a, &from), "hello");
    CHECK_STR(receive(a, NULL), "");
    CHECK_STR(receive(a, NULL), "-");
    own = name_of(b);
    CHECK(eddy_addr_equal(&from, &own));
    CHECK_INT(send_to(b, "x", NULL), -EDESTADDRREQ);
    end();
}

static void several_by_one_call(void)
{
    char bytes[4][8];
    struct eddy_message m[4];

    begin(NULL);
    int a = bound("::1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    for (int i = 0; i < 4; i++)
        m[i] = (struct eddy_message){.data = bytes[i], .len = (size_t)i};
    CHECK_INT(sys->cls->send_messages(sys, b, m, 3), 3);
    for (int i = 0; i < 4; i++)
        m[i].len = sizeof bytes[i];
    CHECK_INT(sys->cls->recv_messages(sys, a, m, 4), 3);
    CHECK_INT(m[2].len, 2);
    end();
}

static void a_short_room_truncates(void)
{
    char bytes[4];
    struct eddy_message m = {.data = bytes, .len = sizeof bytes};

    begin(NULL);
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    CHECK_INT(send_to(b, "123456", NULL), 1);
    CHECK_INT(send_to(b, "1234", NULL), 1);
    CHECK_INT(sys->cls->recv_messages(sys, a, &m, 1), 1);
    CHECK(m.truncated && m.len == 4);
    CHECK_INT(sys->cls->recv_messages(sys, a, &m, 1), 1);
    CHECK(!m.truncated && m.len == 4);
    end();
}

static void a_connected_one_hears_its_peer_alone(void)
{
    begin(NULL);
    int a = bound("127.0.0.1"), c = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    struct eddy_addr back = name_of(b);
    CHECK_INT(send_to(c, "stranger", &back), 1);
    CHECK_STR(receive(b, NULL), "-");
    CHECK_INT(send_to(a, "friend", &back), 1);
    CHECK_STR(receive(b, NULL), "friend");
    CHECK_STR(receive(c, NULL), "-"); /* it was not connected: nobody tells it */
    end();
}

static void a_dead_port_is_told_to_connected_ones(void)
{
    begin(EDDY_SIM(.latency = EDDY_MSEC(5)));
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    CHECK_INT(sys->cls->close(sys, a), 0);
    int b = connected(&to), c = bound("127.0.0.1");
    CHECK_INT(send_to(b, "x", NULL), 1);
    CHECK_INT(send_to(c, "x", &to), 1);
    CHECK_STR(receive(b, NULL), "-");
    eddy_sim_advance(sim, EDDY_MSEC(11));
    CHECK_STR(receive(b, NULL), "ECONNREFUSED");
    CHECK_STR(receive(b, NULL), "-");
    CHECK_STR(receive(c, NULL), "-");
    CHECK_INT(send_to(b, "x", NULL), 1);
    eddy_sim_advance(sim, EDDY_MSEC(11));
    CHECK_INT(send_to(b, "x", NULL), -ECONNREFUSED);
    CHECK_INT(send_to(b, "x", NULL), 1);
    end();
}

static void hosts_answer_as_they_are_told_to(void)
{
    begin(NULL);
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    CHECK_INT(eddy_sim_set_host(sim, &to, EDDY_SIM_UNREACHABLE), 0);
    CHECK_INT(send_to(b, "x", NULL), 1);
    CHECK_STR(receive(b, NULL), "EHOSTUNREACH");
    CHECK_INT(eddy_sim_set_host(sim, &to, EDDY_SIM_REFUSES), 0);
    CHECK_INT(send_to(b, "x", NULL), 1);
    CHECK_STR(receive(b, NULL), "ECONNREFUSED");
    CHECK_INT(eddy_sim_set_host(sim, &to, EDDY_SIM_SILENT), 0);
    CHECK_INT(send_to(b, "x", NULL), 1);
    CHECK_STR(receive(b, NULL), "-");
    CHECK_STR(receive(a, NULL), "-");
    end();
}

static void rooms_are_bounded(void)
{
    struct eddy_sim_stats stats;

    begin(EDDY_SIM(.recv_room = 10));
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    CHECK_INT(send_to(b, "12345678", NULL), 1);
    CHECK_INT(send_to(b, "dropped", NULL), 1);
    CHECK_INT(send_to(b, "12", NULL), 1);
    CHECK_STR(receive(a, NULL), "12345678");
    CHECK_STR(receive(a, NULL), "12");
    CHECK_STR(receive(a, NULL), "-");
    eddy_sim_get_stats(sim, &stats);
    CHECK_INT(stats.datagrams, 2);
    CHECK_INT(stats.datagrams_dropped, 1);
    end();
    begin(EDDY_SIM(.send_room = 10, .latency = 1000));
    a = bound("127.0.0.1");
    to = name_of(a);
    b = connected(&to);
    CHECK_INT(send_to(b, "123456789", NULL), 1);
    CHECK_INT(send_to(b, "123456789", NULL), -EAGAIN);
    eddy_sim_advance(sim, 1000);
    CHECK_INT(send_to(b, "123456789", NULL), 1);
    end();
}

static void too_long_ones_are_refused(void)
{
    static char bytes[65508];
    struct eddy_message m = {.data = bytes, .len = sizeof bytes};

    begin(NULL);
    int a = bound("127.0.0.1");
    m.addr = name_of(a);
    CHECK_INT(sys->cls->send_messages(sys, a, &m, 1), -EMSGSIZE);
    m.len--;
    CHECK_INT(sys->cls->send_messages(sys, a, &m, 1), 1);
    end();
}

/* How many of 1,000 arrive, and how many of these out of order. */
static int count(const struct eddy_sim_opts *opts, int *ret_disorder)
{
    int n = 0, last = -1, number;
    char text[16];
    const char *got;

    *ret_disorder = 0;
    begin(opts);
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        CHECK_INT(send_to(b, text, NULL), 1);
    }
    eddy_sim_advance(sim, EDDY_SEC(1));
    while ((got = receive(a, NULL))[0] != '-') {
        number = atoi(got);
        *ret_disorder += number < last;
        last = number;
        n++;
    }
    end();
    return n;
}

static void what_goes_wrong_is_up_to_the_options(void)
{
    int disorder;

    CHECK_INT(count(NULL, &disorder), 1000);
    CHECK_INT(disorder, 0);
    CHECK_INT(count(EDDY_SIM(.latency = 1000, .jitter = EDDY_MSEC(50)), &disorder), 1000);
    CHECK_INT(disorder, 0);
    CHECK_INT(count(EDDY_SIM(.seed = 3, .datagram_disorder = 300), &disorder), 1000);
    CHECK(disorder > 50);
    int n = count(EDDY_SIM(.seed = 3, .datagram_loss = 300), &disorder);
    CHECK(n > 600 && n < 800 && disorder == 0);
    n = count(EDDY_SIM(.seed = 3, .datagram_copies = 300), &disorder);
    CHECK(n > 1200 && n < 1400);
    CHECK_INT(eddy_sim_new(EDDY_SIM(.datagram_loss = 1001), &sim), -EINVAL);
}

static uint64_t hash_of(uint64_t seed)
{
    begin(EDDY_SIM(.seed = seed, .latency = 1000, .jitter = 5000, .datagram_loss = 200,
                   .datagram_copies = 200, .datagram_disorder = 200));
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    int b = connected(&to);
    for (int i = 0; i < 100; i++)
        CHECK_INT(send_to(b, "x", NULL), 1);
    eddy_sim_advance(sim, EDDY_SEC(1));
    uint64_t hash = eddy_sim_trace_hash(sim);
    end();
    return hash;
}

static void a_seed_runs_the_same_way_twice(void)
{
    CHECK(hash_of(7) == hash_of(7));
    CHECK(hash_of(7) != hash_of(8));
}

static void ports_are_not_those_of_streams(void)
{
    begin(NULL);
    int a = bound("127.0.0.1");
    struct eddy_addr name = name_of(a);
    int stream = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    int other = sys->cls->socket(sys, AF_INET, SOCK_DGRAM, 0);
    CHECK_INT(sys->cls->bind(sys, stream, &name), 0);
    CHECK_INT(sys->cls->bind(sys, other, &name), -EADDRINUSE);
    int type = 0;
    CHECK_INT(sys->cls->getsockopt(sys, a, SOL_SOCKET, SO_TYPE, &type), 0);
    CHECK_INT(type, SOCK_DGRAM);
    CHECK_INT(sys->cls->listen(sys, a, 1), -EINVAL);
    end();
}

static void calls_can_be_made_to_fail(void)
{
    begin(NULL);
    int a = bound("127.0.0.1");
    struct eddy_addr to = name_of(a);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_SEND_MESSAGES, 2, -ENOBUFS), 0);
    CHECK_INT(eddy_sim_fail(sim, EDDY_SIM_RECV_MESSAGES, 1, -ENOMEM), 0);
    CHECK_INT(send_to(a, "1", &to), 1);
    CHECK_INT(send_to(a, "2", &to), -ENOBUFS);
    CHECK_STR(receive(a, NULL), "ENOMEM");
    CHECK_STR(receive(a, NULL), "1");
    CHECK_STR(receive(a, NULL), "-");
    CHECK_INT(eddy_sim_calls(sim, EDDY_SIM_SEND_MESSAGES), 2);
    end();
}

const struct test_case test_cases[] = {
    TEST(there_and_back),
    TEST(several_by_one_call),
    TEST(a_short_room_truncates),
    TEST(a_connected_one_hears_its_peer_alone),
    TEST(a_dead_port_is_told_to_connected_ones),
    TEST(hosts_answer_as_they_are_told_to),
    TEST(rooms_are_bounded),
    TEST(too_long_ones_are_refused),
    TEST(what_goes_wrong_is_up_to_the_options),
    TEST(a_seed_runs_the_same_way_twice),
    TEST(ports_are_not_those_of_streams),
    TEST(calls_can_be_made_to_fail),
    TEST_END,
};
