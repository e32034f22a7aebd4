/* Names by the system's resolver, in threads. */
/* backends: select poll epoll io_uring */
/* labels: threads */
#include "tests/contract/names_threads.h"
#include <poll.h>

static struct eddy_loop *loop;
static struct test_trace trace;
static long live_before;

static void begin(unsigned threads)
{
    live_before = test_live_allocations();
    trace_clear(&trace);
    gate_init(&gate);
    atomic_store(&system_calls, 0);
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = "threads", .threads = threads)),
                &loop) == 0);
}

static void end(void)
{
    if (loop)
        test_loop_free(loop);
    wait_for_allocations(live_before);
    CHECK_INT(atomic_load(&lists), 0);
    sem_destroy(&gate.open);
}

#define A_NAME(text, ...)                                                            \
    {                                                                                \
        .q = {.done = asked_done, .host = (text), .type = SOCK_STREAM, __VA_ARGS__}, \
        .trace = &trace, .name = (text)                                              \
    }

static const char *answer(struct asked a)
{
    ask_and_wait(loop, &a);
    const char *text = spell(&a);
    forget(&a);
    return text;
}

#define ANSWER(...) answer((struct asked)ASKED(__VA_ARGS__))

/* ---- answers ---- */

static void L78_the_hosts_file_is_read(void)
{
    begin(0);
    CHECK_STR(ANSWER(.host = "localhost", .port = 80, .type = SOCK_STREAM, .family = AF_INET),
              "127.0.0.1:80/s6");
    CHECK_INT(strncmp(thread_name, "eddy-dns-", 9), 0);
    CHECK_STR(ANSWER(.host = "localhost", .service = "80", .family = AF_INET),
              "127.0.0.1:80/s6 127.0.0.1:80/d17 127.0.0.1:80/r0");
    CHECK_STR(ANSWER(.host = "localhost", .type = SOCK_STREAM, .protocol = 262, .family = AF_INET),
              "127.0.0.1:0/s262");
    CHECK_STR(ANSWER(.host = "localhost", .service = "80", .type = SOCK_STREAM, .protocol = 262,
                     .family = AF_INET),
              "127.0.0.1:80/s262");
    CHECK_STR(ANSWER(.host = "gate.invalid", .type = SOCK_STREAM, .flags = AI_NUMERICHOST),
              "EDNS(NONAME)");
    CHECK_INT(atomic_load(&system_calls), 4);
    end();
}

static void L78_services_are_known_by_name(void)
{
    begin(0);
    CHECK_STR(ANSWER(.host = "127.0.0.1", .service = "http", .type = SOCK_STREAM),
              "127.0.0.1:80/s6");
    CHECK_STR(ANSWER(.host = "localhost", .service = "http", .family = AF_INET),
              "127.0.0.1:80/s6 127.0.0.1:80/d17 127.0.0.1:80/r0");
    CHECK_STR(ANSWER(.host = "::1", .service = "tftp", .type = SOCK_DGRAM), "[::1]:69/d17");
    CHECK_STR(ANSWER(.host = "::1", .service = "tftp", .protocol = IPPROTO_UDP), "[::1]:69/d17");
    /* for datagrams only, and of any type */
    CHECK_STR(ANSWER(.host = "::1", .service = "tftp"), "[::1]:69/s6 [::1]:69/d17 [::1]:69/r0");
    CHECK_STR(ANSWER(.host = "::1", .service = "tftp", .type = SOCK_STREAM), "EDNS(SERVICE)");
    CHECK_STR(ANSWER(.host = "::1", .service = "no-such-service"), "EDNS(SERVICE)");
    CHECK_STR(ANSWER(.service = "http", .type = SOCK_STREAM, .flags = AI_PASSIVE),
              "[::]:80/s6 0.0.0.0:80/s6");
    end();
}

static void L81_addresses_have_names(void)
{
    struct eddy_addr a = addr("127.0.0.1", 80);
    char host[NI_MAXHOST], service[NI_MAXSERV], both[NI_MAXHOST + NI_MAXSERV];
    begin(0);
    REQUIRE(getnameinfo(&a.u.sa, a.len, host, sizeof host, service, sizeof service, 0) == 0);
    snprintf(both, sizeof both, "%s %s", host, service);
    CHECK_STR(ANSWER(.kind = EDDY_QUERY_NAMES, .addr = a), both);
    CHECK_STR(ANSWER(.kind = EDDY_QUERY_NAMES, .addr = a, .flags = NI_NUMERICHOST | NI_NUMERICSERV),
              "127.0.0.1 80");
    CHECK_STR(ANSWER(.kind = EDDY_QUERY_NAMES, .addr = addr("2001:db8::1", 8),
                     .flags = NI_NUMERICHOST | NI_NUMERICSERV),
              "2001:db8::1 8");
    CHECK_STR(ANSWER(.kind = EDDY_QUERY_NAMES, .addr = addr("::1", 8),
                     .flags = NI_NUMERICHOST | NI_NAMEREQD),
              "EDNS(NONAME)");
    end();
}

static void L78_L83_codes_are_the_systems_with_one_for_no_such_name(void)
{
    begin(0);
    CHECK_STR(ANSWER(.host = "again.example"), "EDNS(AGAIN)");
    CHECK_STR(ANSWER(.host = "fail.example"), "EDNS(FAIL)");
    CHECK_STR(ANSWER(.host = "none.example"), "EDNS(NONAME)");
    CHECK_STR(ANSWER(.host = "data.example"), "EDNS(NONAME)");
    CHECK_STR(ANSWER(.host = "other.example"), "EDNS(NONAME)");
    CHECK_STR(ANSWER(.host = "memory.example"), "ENOMEM");
    CHECK_STR(ANSWER(.host = "files.example"), "EMFILE");
    CHECK_STR(ANSWER(.host = "what.example"), "EIO");
    end();
}

static void L78_the_system_knows_nothing_of_services(void)
{
    struct eddy_query q = {
        .kind = EDDY_QUERY_SERVICES, .host = "_x._tcp.example", .done = asked_done};
    struct eddy_error error = {0};
    void *answer;
    begin(0);
    CHECK_INT(eddy_query_start(loop, &q, &error), EDDY_ENOT_SUPPORTED);
    CHECK_INT(error.code, EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), EDDY_ENOT_SUPPORTED);
    end();
}

/* ---- while the system takes its time ---- */

static void L78_the_loop_goes_on_meanwhile_and_others_are_answered(void)
{
    begin(0);
    struct asked slow = A_NAME("gate.example"), quick = A_NAME("localhost", .family = AF_INET);
    ask(loop, &slow);
    wait_for(&gate.inside, 1);
    CHECK_INT(ask_and_wait(loop, &quick), 0);
    CHECK_TRACE(trace, "localhost(0)");
    gate_open(&gate, 1);
    test_run_until(loop, test_is_true, &slow.done);
    CHECK_TRACE(trace, "localhost(0) gate.example(0)");
    CHECK_STR(spell(&slow), "192.0.2.1:0/s6");
    forget(&slow);
    forget(&quick);
    end();
}

static void L78_no_more_threads_than_were_asked_for(void)
{
    begin(2);
    struct asked a[4] = {A_NAME("gate.example"), A_NAME("gate.example"), A_NAME("gate.example"),
                         A_NAME("gate.example")};
    for (int i = 0; i < 4; i++)
        ask(loop, &a[i]);
    wait_for(&gate.inside, 2);
    gate_open(&gate, 4);
    for (int i = 0; i < 4; i++) {
        test_run_until(loop, test_is_true, &a[i].done);
        forget(&a[i]);
    }
    CHECK_INT(atomic_load(&gate.most), 2);
    end();
}

static void L78_the_deadline_comes_all_the_same(void)
{
    begin(0);
    struct asked a = A_NAME("gate.example", .timeout = EDDY_MSEC(20));
    ask(loop, &a);
    wait_for(&gate.inside, 1);
    test_run_until(loop, test_is_true, &a.done);
    CHECK(a.when > 0);
    gate_open(&gate, 1);
    wait_for(&gate.passed, 1);
    struct asked b = A_NAME("localhost");
    CHECK_INT(ask_and_wait(loop, &b), 0); /* behind what came too late */
    CHECK_TRACE(trace, "gate.example(ETIMEDOUT) localhost(0)");
    forget(&b);
    end();
}

static void L82_cancelled_before_and_while_it_is_asked(void)
{
    begin(1);
    struct asked running = A_NAME("gate.example"), waiting = A_NAME("late.example"),
                 last = A_NAME("gate.example");
    ask(loop, &running);
    ask(loop, &waiting);
    ask(loop, &last);
    wait_for(&gate.inside, 1);
    long live = test_live_allocations();
    eddy_query_cancel(&waiting.q);
    CHECK_INT(test_live_allocations(), live - 1);
    eddy_query_cancel(&running.q);
    CHECK_INT(test_live_allocations(), live - 1); /* the thread has it */
    gate_open(&gate, 2);
    test_run_until(loop, test_is_true, &last.done);
    CHECK_TRACE(trace, "gate.example(0)");
    CHECK_INT(atomic_load(&system_calls), 2);
    CHECK_INT(running.dones + waiting.dones, 0);
    forget(&last);
    end();
}

static void L82_the_loop_is_closed_while_it_is_asked(void)
{
    begin(1);
    struct asked running = A_NAME("gate.example"), waiting = A_NAME("late.example");
    ask(loop, &running);
    ask(loop, &waiting);
    wait_for(&gate.inside, 1);
    test_loop_free(loop); /* does not wait */
    loop = NULL;
    CHECK_TRACE(trace, "gate.example(ELOOP_CLOSED) late.example(ELOOP_CLOSED)");
    gate_open(&gate, 1);
    end();
    CHECK_INT(atomic_load(&system_calls), 1);
}

static void L82_the_loop_is_closed_when_the_answer_is_on_its_way(void)
{
    begin(1);
    struct asked a = A_NAME("gate.example");
    ask(loop, &a);
    wait_for(&gate.inside, 1);
    test_run_steps(loop, 2);
    struct pollfd p = {.fd = eddy_loop_fileno(loop), .events = POLLIN};
    gate_open(&gate, 1);
    if (p.fd >= 0)
        CHECK_INT(poll(&p, 1, (int)(TEST_DEADLINE / EDDY_MSEC(1))), 1);
    test_loop_free(loop);
    loop = NULL;
    CHECK_TRACE(trace, "gate.example(ELOOP_CLOSED)");
    end();
}

/* ---- waiting here ---- */

static int now(struct eddy_query *q, struct asked *ret)
{
    void *answer = NULL;
    struct eddy_error error = {0};
    int rc = eddy_query_now(loop, q, &error, &answer);

    *ret = (struct asked){.q = *q, .code = rc, .detail = error.detail, .answer = answer};
    return rc;
}

static void L78_waiting_for_the_system(void)
{
    struct eddy_query q = {.host = "localhost", .port = 80, .family = AF_INET, .type = SOCK_STREAM};
    struct asked a;
    begin(0);
    CHECK_INT(now(&q, &a), 0);
    CHECK_STR(spell(&a), "127.0.0.1:80/s6");
    forget(&a);
    q.timeout = EDDY_OFF;
    CHECK_INT(now(&q, &a), 0);
    forget(&a);
    q.host = "again.example";
    CHECK_INT(now(&q, &a), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_AGAIN);
    struct eddy_query names = {.kind = EDDY_QUERY_NAMES,
                               .addr = addr("127.0.0.1", 7),
                               .flags = NI_NUMERICHOST | NI_NUMERICSERV};
    CHECK_INT(now(&names, &a), 0);
    CHECK_STR(spell(&a), "127.0.0.1 7");
    forget(&a);
    end();
}

static void L78_waiting_ends_at_the_deadline(void)
{
    struct eddy_query q = {.host = "gate.example", .timeout = EDDY_MSEC(20)};
    struct asked a;
    begin(0);
    eddy_nsec begun = eddy_loop_time(loop);
    CHECK_INT(now(&q, &a), -ETIMEDOUT);
    CHECK(eddy_loop_time(loop) - begun >= EDDY_MSEC(20));
    q.host = "late.example";
    CHECK_INT(now(&q, &a), -ETIMEDOUT);
    gate_open(&gate, 2);
    end(); /* waits until the threads have freed what was theirs */
}

const struct test_case test_cases[] = {
    TEST(L78_the_hosts_file_is_read),
    TEST(L78_services_are_known_by_name),
    TEST(L81_addresses_have_names),
    TEST(L78_L83_codes_are_the_systems_with_one_for_no_such_name),
    TEST(L78_the_system_knows_nothing_of_services),
    TEST(L78_the_loop_goes_on_meanwhile_and_others_are_answered),
    TEST(L78_no_more_threads_than_were_asked_for),
    TEST(L78_the_deadline_comes_all_the_same),
    TEST(L82_cancelled_before_and_while_it_is_asked),
    TEST(L82_the_loop_is_closed_while_it_is_asked),
    TEST(L82_the_loop_is_closed_when_the_answer_is_on_its_way),
    TEST(L78_waiting_for_the_system),
    TEST(L78_waiting_ends_at_the_deadline),
    TEST_END,
};
