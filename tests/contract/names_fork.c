/* Names and fork: what was asked is asked again in a child, by means of its own. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/names_threads.h"
#include <poll.h>
#include <unistd.h>

static struct eddy_loop *loop;
static struct test_trace trace;
static long live_before;
static struct asked asked, answered;

static void begin(const struct eddy_resolver_opts *resolver)
{
    live_before = test_live_allocations();
    trace_clear(&trace);
    gate_init(&gate);
    atomic_store(&system_calls, 0);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = resolver), &loop) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    wait_for_allocations(live_before);
    CHECK_INT(atomic_load(&lists), 0);
    sem_destroy(&gate.open);
}

#define A_NAME(text, ...)               \
    (struct asked)                      \
    {                                   \
        .q = {.done = asked_done,       \
              .host = (text),           \
              .type = SOCK_STREAM,      \
              .family = AF_INET,        \
              __VA_ARGS__},             \
        .trace = &trace, .name = (text) \
    }

/* Threads in a child: as in executor_fork.c. */
static bool has_threads(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return true;
#endif
}

/* ---- threads ---- */

static void begin_in_threads(void)
{
    begin(EDDY_RESOLVER(.name = "threads"));
    asked = A_NAME("gate.example");
    answered = A_NAME("127.0.0.1");
    ask(loop, &asked);
    ask(loop, &answered);
    wait_for(&gate.inside, 1);
}

static void go_on(void *user)
{
    struct asked late = A_NAME("late.example", .timeout = EDDY_MSEC(20));
    (void)user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    ask(loop, &late);
    test_run_until(loop, test_is_true, &late.done);
    CHECK_TRACE(trace, "127.0.0.1(0) late.example(ETIMEDOUT)");
    gate_open(&gate, 2);
    test_run_until(loop, test_is_true, &asked.done);
    CHECK_TRACE(trace, "127.0.0.1(0) late.example(ETIMEDOUT) gate.example(0)");
    CHECK_STR(spell(&asked), "192.0.2.1:0/s6");
    forget(&asked);
    forget(&answered);
    CHECK_INT(eddy_loop_close(loop), 0);
}

static void check_parent_goes_on(void)
{
    gate_open(&gate, 1);
    test_run_until(loop, test_is_true, &asked.done);
    CHECK_TRACE(trace, "127.0.0.1(0) gate.example(0)");
    forget(&asked);
    forget(&answered);
    end();
}

static void L72_L82_threads_a_child_asks_again_in_threads_of_its_own(void)
{
    begin_in_threads();
    if (has_threads())
        test_in_child(go_on, NULL);
    check_parent_goes_on();
}

static void cancel_and_close(void *user)
{
    (void)user;
    if (user)
        eddy_query_cancel(&asked.q);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, user ? "127.0.0.1(ELOOP_CLOSED)"
                            : "gate.example(ELOOP_CLOSED) 127.0.0.1(ELOOP_CLOSED)");
}

static void L72_L82_threads_a_child_may_close_the_loop_at_once(void)
{
    begin_in_threads();
    test_in_child(cancel_and_close, NULL);
    test_in_child(cancel_and_close, &asked);
    check_parent_goes_on();
}

/* ---- c-ares, with a name server of the test's own ---- */

static int server;

struct question {
    struct eddy_addr from;
    uint8_t bytes[512];
    size_t len;
};

static bool has_cares(void)
{
    for (unsigned i = 0; eddy_resolver_name(i); i++) {
        if (strcmp(eddy_resolver_name(i), "c-ares") == 0)
            return true;
    }
    return false;
}

static void begin_with_cares(void)
{
    struct eddy_addr a = addr("127.0.0.1", 0);
    char text[64];
    server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(server >= 0 && bind(server, &a.u.sa, a.len) == 0 &&
            getsockname(server, &a.u.sa, &a.len) == 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", eddy_addr_port(&a));
    begin(EDDY_RESOLVER(.name = "c-ares", .servers = text, .try_timeout = EDDY_SEC(20),
                        .no_cache = true));
    asked = A_NAME("fork.example.");
    answered = A_NAME("127.0.0.1");
    ask(loop, &asked);
    ask(loop, &answered);
}

static void run_until_asked(struct question *q)
{
    struct pollfd p = {.fd = server, .events = POLLIN};
    for (int i = 0; i < 1000 && poll(&p, 1, 10) == 0; i++)
        eddy_loop_run_once(loop, 0);
    q->from.len = sizeof q->from.u;
    ssize_t n =
        recvfrom(server, q->bytes, sizeof q->bytes, MSG_DONTWAIT, &q->from.u.sa, &q->from.len);
    REQUIRE(n > 12);
    q->len = (size_t)n;
}

/* One address, 192.0.2.1. What follows the question (EDNS) goes. */
static void reply(struct question *q)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
    size_t end = 12;
    while (end < q->len && q->bytes[end])
        end += 1u + q->bytes[end];
    end += 5;
    REQUIRE(end + sizeof record <= sizeof q->bytes);
    memcpy(q->bytes + 2, (uint8_t[]){0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, 10);
    memcpy(q->bytes + end, record, sizeof record);
    CHECK(sendto(server, q->bytes, end + sizeof record, 0, &q->from.u.sa, q->from.len) > 0);
}

static void ask_again_and_go_on(void *user)
{
    struct question mine;
    struct question *parents = user;
    CHECK_INT(eddy_loop_forked(loop), 0);
    run_until_asked(&mine);
    CHECK(!eddy_addr_equal(&mine.from, &parents->from));
    reply(&mine);
    test_run_until(loop, test_is_true, &asked.done);
    CHECK_TRACE(trace, "127.0.0.1(0) fork.example.(0)");
    CHECK_STR(spell(&asked), "192.0.2.1:0/s6");
    forget(&asked);
    forget(&answered);
    CHECK_INT(eddy_loop_close(loop), 0);
}

static void just_close(void *user)
{
    (void)user;
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "127.0.0.1(0) fork.example.(ELOOP_CLOSED)");
}

static void L72_L82_cares_a_child_asks_again_by_sockets_of_its_own(void)
{
    struct question parents;
    if (!has_cares())
        return;
    begin_with_cares();
    run_until_asked(&parents);
    test_run_until(loop, test_is_true, &answered.done);
    test_in_child(ask_again_and_go_on, &parents);
    test_in_child(just_close, NULL);
    reply(&parents);
    test_run_until(loop, test_is_true, &asked.done);
    CHECK_TRACE(trace, "127.0.0.1(0) fork.example.(0)");
    CHECK_STR(spell(&asked), "192.0.2.1:0/s6");
    forget(&asked);
    forget(&answered);
    end();
    close(server);
}

const struct test_case test_cases[] = {
    TEST(L72_L82_threads_a_child_asks_again_in_threads_of_its_own),
    TEST(L72_L82_threads_a_child_may_close_the_loop_at_once),
    TEST(L72_L82_cares_a_child_asks_again_by_sockets_of_its_own),
    TEST_END,
};
