/* Names without memory and without threads: contract G3, G5, L78, L82. */
/* backends: poll epoll io_uring */
/* labels: threads */
#include "tests/contract/names.h"
#include "tests/contract/executor.h"

static struct eddy_loop *loop;
static struct script script;
static long live_before;

static int begin(const struct eddy_resolver_opts *resolver)
{
    live_before = test_live_allocations();
    loop = NULL;
    return test_loop_new_opts(EDDY_LOOP(.resolver = resolver), &loop);
}

static void end(void)
{
    if (loop)
        test_loop_free(loop);
    wait_for_allocations(live_before);
}

static const struct eddy_resolver_opts *scripted(void)
{
    static struct eddy_resolver_opts opts;

    script = (struct script){.at_once = true, .waits = true};
    opts = *EDDY_RESOLVER(.cls = &script_class, .user = &script);
    return &opts;
}

static const struct eddy_resolver_opts *threads(void)
{
    static struct eddy_resolver_opts opts;

    opts = *EDDY_RESOLVER(.name = "threads", .threads = 1);
    return &opts;
}

/* ---- futures ---- */

struct question {
    const char *host, *service;
    bool names;
};

static int start(const struct question *q, struct eddy_future **ret)
{
    struct eddy_addr a = addr("127.0.0.1", 80);

    if (q->names)
        return eddy_getnameinfo(loop, &a, NI_NUMERICHOST, 0, ret);
    return eddy_getaddrinfo(
        loop, EDDY_LOOKUP(.host = q->host, .service = q->service, .flags = AI_CANONNAME), ret);
}

/* On a new loop, whose resolver is opened then, too. Returns whether the nth allocation was needed.
 */
static bool ask_with_failure(const struct eddy_resolver_opts *resolver, const struct question *q,
                             long n)
{
    struct eddy_future *f = NULL;
    REQUIRE(begin(resolver) == 0);
    test_fail_allocation(n);
    int rc = start(q, &f);
    CHECK((f != NULL) == (rc == 0));
    if (rc == 0)
        rc = eddy_loop_run_until_complete(loop, f, NULL);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    if (rc != 0)
        CHECK_INT(rc, -ENOMEM);
    eddy_future_unref(f);
    int again = start(q, &f); /* all is as it was */
    if (CHECK_INT(again, 0)) {
        CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), 0);
        eddy_future_unref(f);
    }
    end();
    return failed;
}

static long ask_with_each_failure(const struct eddy_resolver_opts *resolver,
                                  const struct question *q)
{
    long n = 1;
    while (ask_with_failure(resolver, q, n) && n < 40)
        n++;
    return n;
}

static void G3_G5_L78_each_allocation_of_a_look_up_fails_once(void)
{
    /* look-up, future, answer; the cache may want some more */
    CHECK(ask_with_each_failure(scripted(), &(struct question){.host = "example.org"}) >= 4);
    CHECK(ask_with_each_failure(scripted(), &(struct question){.host = "::1"}) == 4);
    CHECK(ask_with_each_failure(scripted(), &(struct question){.names = true}) >= 4);
}

static void G3_G5_L78_each_allocation_of_a_look_up_in_threads_fails_once(void)
{
    /* resolver, executor and task as well, and a list of addresses */
    CHECK(ask_with_each_failure(threads(),
                                &(struct question){.host = "localhost", .service = "http"}) >= 8);
    CHECK(ask_with_each_failure(threads(), &(struct question){.names = true}) >= 7);
}

/* ---- waiting ---- */

static bool wait_with_failure(const struct eddy_resolver_opts *resolver, const char *host, long n)
{
    struct eddy_query q = {.host = host};
    struct eddy_error error = {0};
    void *answer = NULL;
    REQUIRE(begin(resolver) == 0);
    test_fail_allocation(n);
    int rc = eddy_query_now(loop, &q, &error, &answer);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    CHECK_INT(error.code, rc);
    CHECK((answer != NULL) == (rc == 0));
    if (rc != 0)
        CHECK_INT(rc, -ENOMEM);
    eddy_answer_free(answer);
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), 0);
    eddy_answer_free(answer);
    end();
    return failed;
}

static void G3_G5_L78_each_allocation_of_waiting_fails_once(void)
{
    long n = 1, m = 1;
    while (wait_with_failure(scripted(), "example.org", n) && n < 40)
        n++;
    CHECK(n >= 2);
    while (wait_with_failure(threads(), "localhost", m) && m < 40)
        m++;
    CHECK(m >= 7); /* resolver, executor, task, errand, list, answer */
}

/* ---- loops ---- */

static void G5_no_memory_for_the_options_of_a_resolver(void)
{
    bool failed = true;
    for (long n = 1; failed && n < 100; n++) {
        test_fail_allocation(n);
        int rc = begin(EDDY_RESOLVER(.cls = &script_class, .user = &script, .servers = "192.0.2.1",
                                     .resolv_conf = "/none"));
        failed = test_allocation_failed();
        test_fail_allocation(0);
        if (rc != 0)
            CHECK_INT(rc, -ENOMEM);
        end();
    }
    CHECK(!failed);
}

static void L82_the_loops_end_needs_no_memory(void)
{
    struct asked a[3] = {ASKED(.host = "example.org"), ASKED(.host = "::1"),
                         ASKED(.host = "example.net")};
    REQUIRE(begin(scripted()) == 0);
    script.at_once = false;
    for (int i = 0; i < 3; i++)
        ask(loop, &a[i]);
    script_answer(&script);
    test_fail_allocation(1);
    CHECK_INT(eddy_loop_close(loop), 0);
    test_fail_allocation(0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(a[i].code, EDDY_ELOOP_CLOSED);
    end();
}

/* ---- threads ---- */

/* As in executor.c. */
static void allow_threads(bool allowed)
{
    static pthread_attr_t usual;
    pthread_attr_t huge;
    if (allowed) {
        REQUIRE(pthread_setattr_default_np(&usual) == 0);
        pthread_attr_destroy(&usual);
        return;
    }
    REQUIRE(pthread_getattr_default_np(&usual) == 0);
    REQUIRE(pthread_getattr_default_np(&huge) == 0);
    REQUIRE(pthread_attr_setstacksize(&huge, (size_t)1 << 50) == 0);
    REQUIRE(pthread_setattr_default_np(&huge) == 0);
    pthread_attr_destroy(&huge);
}

static void G3_L78_without_any_thread_the_question_is_refused(void)
{
    struct asked a = ASKED(.host = "localhost");
    struct eddy_error error = {0};
    struct eddy_future *f = NULL;
    void *answer = NULL;
    REQUIRE(begin(threads()) == 0);
    allow_threads(false);
    CHECK_INT(eddy_query_start(loop, &a.q, &error), -EAGAIN);
    CHECK_INT(error.code, -EAGAIN);
    CHECK(strstr(error.text, "localhost") != NULL);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "localhost"), &f), -EAGAIN);
    CHECK(f == NULL);
    CHECK_INT(eddy_query_now(loop, &a.q, NULL, &answer), -EAGAIN);
    CHECK(answer == NULL);
    allow_threads(true);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_INT(a.dones, 1);
    forget(&a);
    end();
}

const struct test_case test_cases[] = {
    TEST(G3_G5_L78_each_allocation_of_a_look_up_fails_once),
    TEST(G3_G5_L78_each_allocation_of_a_look_up_in_threads_fails_once),
    TEST(G3_G5_L78_each_allocation_of_waiting_fails_once),
    TEST(G5_no_memory_for_the_options_of_a_resolver),
    TEST(L82_the_loops_end_needs_no_memory),
    TEST(G3_L78_without_any_thread_the_question_is_refused),
    TEST_END,
};
