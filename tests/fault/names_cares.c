/* backends: select poll epoll io_uring */
/* timeout: 120 */
/*
 * Look-ups by c-ares when memory or descriptors fail: contract G3, G5, G28, L78, L82. Each ends
 * with an answer or with what was wrong, and whatever there is goes on; nothing leaks, which main
 * checks.
 */
#include "tests/contract/names_dns.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MANY = 200 }; /* more than any of these needs allocations */

static void script(void)
{
    char reverse[80];

    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "www.test", DNS_AAAA, 60, "2001:db8::1");
    dns_add(&dns, "long.test", DNS_A, 60, "192.0.2.2");
    dns_add(&dns, "_x._tcp.test", DNS_SRV, 60, "1 2 3 www.test");
    dns_add(&dns, "_x._tcp.test", DNS_SRV, 60, "1 2 4 long.test");
    dns_add(&dns, dns_reverse("192.0.2.1", reverse), DNS_PTR, 60, "www.test");
    dns_behave(&dns, DNS_MANNER("long.test", .how = DNS_TRUNCATE));
}

static void begin_script(void)
{
    begin();
    script();
}

/* ---- memory ---- */

static const struct eddy_query addresses = {.host = "www.test", .service = "http"};
static const struct eddy_query by_tcp = {.host = "long.test", .family = AF_INET};
static const struct eddy_query services = {.kind = EDDY_QUERY_SERVICES, .host = "_x._tcp.test"};
static const struct eddy_query local = {.host = "localhost", .family = AF_INET};
static const struct eddy_query of_this_machine = {.host = "www.test", .flags = AI_ADDRCONFIG};

static struct eddy_query names(void)
{
    struct eddy_query q = {.kind = EDDY_QUERY_NAMES};

    REQUIRE(eddy_addr_parse("192.0.2.1", 80, &q.addr) == 0);
    return q;
}

/* Asks. Returns the call's code, or what became of it. */
static int ask_for(const struct eddy_query *q)
{
    struct asker a = {.query = *q};

    a.query.done = asker_done;
    a.begun = eddy_loop_time(loop);
    int rc = eddy_query_start(loop, &a.query, NULL);
    if (rc < 0) {
        CHECK(!eddy_query_is_pending(&a.query));
        return rc;
    }
    wait_for(&a);
    CHECK((a.code == 0) == (a.answer != NULL));
    forget(&a);
    return a.code;
}

/* On a loop of its own the nth allocation fails. Returns whether it was needed. */
static bool ask_with_failure(const struct eddy_query *q, long n)
{
    begin_script();
    test_fail_allocation(n);
    int rc = ask_for(q);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    if (!failed)
        CHECK_INT(rc, 0);
    else if (q == &by_tcp) /* the server's want of memory is a server that hangs up */
        CHECK(rc == 0 || rc == -ENOMEM || rc == EDDY_EDNS);
    else
        CHECK(rc == 0 || rc == -ENOMEM); /* without a cache, or with timers in a list */
    CHECK_INT(ask_for(q), 0);
    end();
    return failed;
}

static void each_allocation_fails(const struct eddy_query *q, int least)
{
    int n = 1;

    while (n < MANY && ask_with_failure(q, n))
        n++;
    CHECK(n < MANY);
    CHECK(n > least);
}

static void G5_L78_each_allocation_of_a_look_up_fails_once(void)
{
    each_allocation_fails(&addresses, 6);
    each_allocation_fails(&of_this_machine, 6);
}

static void G5_L78_each_allocation_of_a_look_up_by_tcp_fails_once(void)
{
    each_allocation_fails(&by_tcp, 8);
}

static void G5_L78_each_allocation_of_a_look_up_in_the_hosts_file_fails_once(void)
{
    each_allocation_fails(&local, 5);
}

static void G5_L81_each_allocation_of_a_look_up_of_names_fails_once(void)
{
    struct eddy_query q = names();

    each_allocation_fails(&q, 6);
}

static void G5_each_allocation_of_a_look_up_of_services_fails_once(void)
{
    each_allocation_fails(&services, 6);
}

/* One of two at once, and another is given up: the failure of one is no other's memory. */
static bool ask_two_with_failure(long n)
{
    struct asker a, b, c;

    begin_script();
    dns_behave(&dns, DNS_MANNER("silent.test", .how = DNS_SILENCE));
    CHECK_INT(ask_for(&services), 0); /* so that c-ares is there */
    ask(&c, "silent.test", AF_INET);
    a = b = (struct asker){.query = {.done = asker_done, .host = "www.test", .family = AF_INET}};
    test_fail_allocation(n);
    int rc_a = eddy_query_start(loop, &a.query, NULL);
    int rc_b = eddy_query_start(loop, &b.query, NULL);
    eddy_query_cancel(&c.query);
    if (rc_a == 0)
        wait_for(&a);
    if (rc_b == 0)
        wait_for(&b);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    CHECK_INT(c.calls, 0);
    CHECK(rc_a == 0 || rc_a == -ENOMEM);
    CHECK(rc_b == 0 || rc_b == -ENOMEM);
    CHECK(a.code == 0 || a.code == -ENOMEM);
    CHECK(b.code == 0 || b.code == -ENOMEM);
    forget(&a);
    forget(&b);
    CHECK_INT(ask_for(&addresses), 0);
    end();
    return failed;
}

static void G5_L82_each_allocation_fails_beside_other_look_ups(void)
{
    int n = 1;

    while (n < MANY && ask_two_with_failure(n))
        n++;
    CHECK(n > 4 && n < MANY);
}

/* ---- descriptors, of which there are none left, in a child ---- */

static struct rlimit usual;
static int highest;

/* Fills the gaps in the numbers used so far, so that just `room` more can be opened. */
static void leave_room_for(int room)
{
    struct rlimit limit;
    int fd;

    REQUIRE(getrlimit(RLIMIT_NOFILE, &usual) == 0);
    for (int i = 0; i < 64; i++)
        if ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) > highest)
            highest = fd;
    limit = usual;
    limit.rlim_cur = (rlim_t)(highest + 1 + room);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void leave_room_again(void)
{
    REQUIRE(setrlimit(RLIMIT_NOFILE, &usual) == 0);
}

static void ask_without_descriptors(void *user)
{
    (void)user;
    begin_script();
    leave_room_for(0);
    CHECK_INT(ask_for(&addresses), -EMFILE);
    CHECK_INT(ask_for(&services), -EMFILE);
    CHECK_INT(ask_for(&of_this_machine), -EMFILE);
    struct eddy_query q = names();
    CHECK_INT(ask_for(&q), 0); /* c-ares gives numbers whenever there is no name */
    struct asker a = {.query = addresses};
    a.query.done = asker_done;
    CHECK_INT(eddy_query_now(loop, &a.query, NULL, &a.answer), -EMFILE);
    leave_room_again();
    CHECK_INT(ask_for(&addresses), 0);
    CHECK_INT(ask_for(&services), 0);
    end();
}

static void G3_L78_without_descriptors_look_ups_fail_at_once(void)
{
    if (have_cares())
        test_in_child(ask_without_descriptors, NULL);
}

/* One for the question by datagram, and none for TCP. */
static void ask_without_a_second_descriptor(void *user)
{
    (void)user;
    begin_script();
    leave_room_for(1);
    CHECK_INT(ask_for(&by_tcp), -EMFILE);
    leave_room_again();
    CHECK_INT(ask_for(&by_tcp), 0);
    end();
}

static void G3_L78_without_a_descriptor_for_tcp_look_ups_fail(void)
{
    if (have_cares())
        test_in_child(ask_without_a_second_descriptor, NULL);
}

/* Select cannot watch what is beyond its sets: nobody would ever see the answer. */
static void ask_by_a_high_descriptor(void *user)
{
    struct rlimit limit;
    bool by_select = strcmp(test_backend(), "select") == 0;

    (void)user;
    begin_script();
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 2048 ? limit.rlim_max : 2048;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int low = 0, fd = 0;
    while (fd >= 0 && fd < FD_SETSIZE) {
        low = fd;
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    REQUIRE(fd == FD_SETSIZE);
    CHECK_INT(ask_for(&addresses), by_select ? -EMFILE : 0);
    CHECK_INT(ask_for(&services), by_select ? -EMFILE : 0);
    close(low);
    CHECK_INT(ask_for(&services), 0);
    end();
}

static void G3_L82_a_socket_that_cannot_be_watched_fails_its_look_ups(void)
{
    if (have_cares())
        test_in_child(ask_by_a_high_descriptor, NULL);
}

/* ---- what sockets are made with ---- */

static int count_sockets_to_server(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++) {
        struct eddy_addr peer = {.len = sizeof peer.u};

        if (getpeername(fd, &peer.u.sa, &peer.len) < 0 || eddy_addr_port(&peer) != dns.port)
            continue;
        n++;
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    return n;
}

static void G28_sockets_are_close_on_exec_and_never_block(void)
{
    struct asker a, b;
    begin_script();
    dns_behave(&dns, DNS_MANNER("silent.test", .how = DNS_SILENCE));
    dns_behave(&dns, DNS_MANNER("long.test", .road = DNS_TCP, .how = DNS_SILENCE));
    dns_behave(&dns, DNS_MANNER("long.test", .road = DNS_UDP, .how = DNS_TRUNCATE));
    ask(&a, "silent.test", AF_INET);
    ask(&b, "long.test", AF_INET);
    wait_until_asked(3);
    CHECK_INT(dns.by_tcp, 1);
    CHECK_INT(count_sockets_to_server(), 2);
    forget(&a);
    forget(&b);
    test_run_steps(loop, 2);
    CHECK_INT(count_sockets_to_server(), 0); /* nobody waits any more */
    end();
}

const struct test_case test_cases[] = {
    TEST(G5_L78_each_allocation_of_a_look_up_fails_once),
    TEST(G5_L78_each_allocation_of_a_look_up_by_tcp_fails_once),
    TEST(G5_L78_each_allocation_of_a_look_up_in_the_hosts_file_fails_once),
    TEST(G5_L81_each_allocation_of_a_look_up_of_names_fails_once),
    TEST(G5_each_allocation_of_a_look_up_of_services_fails_once),
    TEST(G5_L82_each_allocation_fails_beside_other_look_ups),
    TEST(G3_L78_without_descriptors_look_ups_fail_at_once),
    TEST(G3_L78_without_a_descriptor_for_tcp_look_ups_fail),
    TEST(G3_L82_a_socket_that_cannot_be_watched_fails_its_look_ups),
    TEST(G28_sockets_are_close_on_exec_and_never_block),
    TEST_END,
};
