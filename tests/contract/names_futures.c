/* Names as futures, the choice of a resolver, and what debug mode says of look-ups. */
/* backends: sim sim-late epoll */
#include "tests/contract/names.h"
#include <stdlib.h>

static struct eddy_loop *loop;
static struct script script;
static struct eddy_future *future;

static void begin_with(struct eddy_loop_opts opts)
{
    script = (struct script){0};
    future = NULL;
    opts.abi_size = sizeof opts;
    opts.resolver = EDDY_RESOLVER(.cls = &script_class, .user = &script);
    REQUIRE(test_loop_new_opts(&opts, &loop) == 0);
}

static void begin(void)
{
    begin_with((struct eddy_loop_opts){0});
}

static void end(void)
{
    test_loop_free(loop);
}

/* ---- futures ---- */

static void L78_the_value_lives_as_long_as_the_future(void)
{
    void *value = NULL;
    begin();
    char host[] = "example.org", service[] = "80";
    CHECK_INT(eddy_getaddrinfo(loop,
                               EDDY_LOOKUP(.host = host, .service = service, .type = SOCK_STREAM,
                                           .protocol = IPPROTO_TCP, .family = AF_INET,
                                           .flags = AI_CANONNAME),
                               &future),
              0);
    memset(host, 'x', sizeof host - 1); /* the strings were copied */
    memset(service, 'x', sizeof service - 1);
    CHECK_STR(script.asked[0]->host, "example.org");
    CHECK_STR(script.asked[0]->service, "80");
    CHECK_INT(script.asked[0]->family, AF_INET);
    CHECK(!eddy_future_is_done(future));
    script_answer(&script);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, &value), 0);
    struct asked a = {.answer = value};
    CHECK_STR(spell(&a), "192.0.2.1:80/s6 canonical.example");
    test_run_steps(loop, 2);
    CHECK_STR(spell(&a), "192.0.2.1:80/s6 canonical.example");
    eddy_future_unref(future);
    end();
}

static void L81_the_name_of_an_address(void)
{
    struct eddy_addr address = addr("192.0.2.1", 80);
    void *value = NULL;
    begin();
    CHECK_INT(eddy_getnameinfo(loop, &address, NI_DGRAM, 0, &future), 0);
    CHECK_INT(script.asked[0]->flags, NI_DGRAM);
    CHECK(eddy_addr_equal(&script.asked[0]->addr, &address));
    script_answer(&script);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, &value), 0);
    CHECK_STR(((struct eddy_names *)value)->host, "host.example");
    CHECK_STR(((struct eddy_names *)value)->service, "service");
    eddy_future_unref(future);
    end();
}

static void L78_the_services_of_a_name(void)
{
    void *value = NULL;
    begin();
    CHECK_INT(eddy_getservices(loop, "_x._tcp.example.org", 0, &future), 0);
    CHECK_STR(script.asked[0]->host, "_x._tcp.example.org");
    script_answer(&script);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, &value), 0);
    CHECK_INT(((struct eddy_services *)value)->count, 1);
    CHECK_STR(((struct eddy_services *)value)->list[0].target, "target.example");
    eddy_future_unref(future);
    end();
}

static void L78_an_error_is_the_futures(void)
{
    begin();
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    struct eddy_query *q = script.asked[0];
    script_remove(&script, q);
    eddy_query_fail(q, EDDY_EDNS, EAI_AGAIN, "nobody is at home");
    CHECK_INT(eddy_loop_run_until_complete(loop, future, NULL), EDDY_EDNS);
    CHECK_INT(eddy_future_error(future)->detail, EAI_AGAIN);
    CHECK(strstr(eddy_future_error(future)->text, "nobody is at home") != NULL);
    eddy_future_unref(future);

    CHECK_INT(eddy_getservices(loop, "example.org", EDDY_MSEC(10), &future), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, NULL), -ETIMEDOUT);
    CHECK_INT(script.cancelled, 1);
    eddy_future_unref(future);
    end();
}

static void L82_cancelling_the_future_gives_up_the_question(void)
{
    long live;
    begin();
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "1.example"), &future), 0);
    eddy_future_cancel(future, NULL);
    eddy_future_unref(future);
    live = test_live_allocations();
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    CHECK(eddy_future_cancel(future, "no more"));
    CHECK_INT(script.cancelled, 2);
    CHECK_INT(eddy_future_result(future, NULL), -ECANCELED);
    eddy_future_unref(future);
    CHECK_INT(test_live_allocations(), live);

    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    script_answer(&script); /* when the answer is there, but not told */
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_INT(script.cancelled, 2);
    eddy_future_unref(future);
    CHECK_INT(test_live_allocations(), live);
    test_run_steps(loop, 2);
    end();
}

/* A look-up does not need its future's owner. */
static void L82_a_future_may_be_let_go_of(void)
{
    begin();
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    eddy_future_unref(future);
    script_answer(&script);
    long live = test_live_allocations();
    test_run_steps(loop, 2);
    CHECK_INT(test_live_allocations(), live - 3); /* look-up, future, answer */
    end();
}

static void F10_an_error_that_nobody_has_seen_is_reported(void)
{
    struct test_problems problems = {0};
    begin_with((struct eddy_loop_opts){.on_problem = test_on_problem, .user = &problems});
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    eddy_future_unref(future);
    struct eddy_query *q = script.asked[0];
    script_remove(&script, q);
    eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "no such name");
    test_run_steps(loop, 2);
    CHECK_INT(problems.count, 1);
    CHECK_INT(problems.code, EDDY_EDNS);
    end();
}

static void L82_the_loops_end_fails_the_futures_and_reports_nothing(void)
{
    struct test_problems problems = {0};
    struct eddy_future *answered, *dropped;
    begin_with((struct eddy_loop_opts){.on_problem = test_on_problem, .user = &problems});
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &answered), 0);
    script_answer(&script);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &future), 0);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "example.org"), &dropped), 0);
    eddy_future_unref(dropped);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_result(answered, NULL), EDDY_ELOOP_CLOSED);
    eddy_future_unref(future); /* nobody has looked at this one */
    eddy_future_unref(answered);
    CHECK_INT(problems.count, 0);
    end();
}

static void G4_G8_bad_calls_are_refused(void)
{
    struct eddy_error error = {0};
    struct eddy_addr address = addr("::1", 0), none = {.len = 0};
    struct {
        struct eddy_lookup_opts opts;
        char tail;
    } later = {.opts = {.abi_size = sizeof later}, .tail = 1};
    begin();
    CHECK_INT(eddy_getaddrinfo(NULL, EDDY_LOOKUP(.host = "a"), &future), -EINVAL);
    CHECK_INT(eddy_getaddrinfo(loop, NULL, &future), -EINVAL);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "a"), NULL), -EINVAL);
    CHECK_INT(eddy_getaddrinfo(loop, &(struct eddy_lookup_opts){.host = "a"}, &future), -EINVAL);
    CHECK_INT(eddy_getaddrinfo(loop, &later.opts, &future), -E2BIG);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.port = 65536, .error = &error), &future),
              -EINVAL);
    CHECK(strstr(error.text, ".port") != NULL);
    CHECK_INT(eddy_getnameinfo(NULL, &address, 0, 0, &future), -EINVAL);
    CHECK_INT(eddy_getnameinfo(loop, NULL, 0, 0, &future), -EINVAL);
    CHECK_INT(eddy_getnameinfo(loop, &address, 0, 0, NULL), -EINVAL);
    CHECK_INT(eddy_getnameinfo(loop, &none, 0, 0, &future), -EINVAL);
    CHECK_INT(eddy_getnameinfo(loop, &address, 1 << 20, 0, &future), -EINVAL);
    CHECK_INT(eddy_getnameinfo(loop, &address, 0, -2, &future), -EINVAL);
    CHECK_INT(eddy_getservices(NULL, "a", 0, &future), -EINVAL);
    CHECK_INT(eddy_getservices(loop, NULL, 0, &future), -EINVAL);
    CHECK_INT(eddy_getservices(loop, "a", 0, NULL), -EINVAL);
    script.start_code = -EMFILE;
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "a", .error = &error), &future), -EMFILE);
    CHECK_INT(error.code, -EMFILE);
    CHECK(future == NULL);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_getaddrinfo(loop, EDDY_LOOKUP(.host = "a", .error = &error), &future),
              EDDY_ELOOP_CLOSED);
    CHECK(future == NULL);
    end();
}

/* ---- the choice ---- */

static int try(const struct eddy_resolver_opts *opts)
{
    struct eddy_loop *l = NULL;
    struct eddy_error error = {0};
    int rc = test_loop_new_opts(EDDY_LOOP(.resolver = opts, .error = &error), &l);
    CHECK_INT(error.code, rc);
    CHECK((l != NULL) == (rc == 0));
    if (l)
        test_loop_free(l);
    return rc;
}

static void G31_a_resolver_is_chosen_by_name(void)
{
    bool threads = false;
    unsigned i;
    for (i = 0; eddy_resolver_name(i); i++) {
        threads |= strcmp(eddy_resolver_name(i), "threads") == 0;
        CHECK_INT(try(EDDY_RESOLVER(.name = eddy_resolver_name(i))), 0);
    }
    CHECK(threads);
    CHECK(eddy_resolver_name(i + 1) == NULL);
    CHECK(eddy_resolver_name((unsigned)-1) == NULL);
    CHECK_INT(try(EDDY_RESOLVER(.name = "oracle")), -EINVAL);
    CHECK_INT(try(EDDY_RESOLVER(.name = NULL)), 0);
}

static void G31_a_resolver_is_chosen_by_the_environment(void)
{
    REQUIRE(setenv("EDDY_RESOLVER", "oracle", 1) == 0);
    CHECK_INT(try(EDDY_RESOLVER(.name = NULL)), -EINVAL);
    CHECK_INT(try(EDDY_RESOLVER(.name = "threads")), 0); /* what is said goes before */
    CHECK_INT(try(EDDY_RESOLVER(.cls = &script_class, .user = &script)), 0);
    REQUIRE(setenv("EDDY_RESOLVER", "threads", 1) == 0);
    CHECK_INT(try(EDDY_RESOLVER(.name = NULL)), 0);
    REQUIRE(setenv("EDDY_RESOLVER", "", 1) == 0);
    CHECK_INT(try(EDDY_RESOLVER(.name = NULL)), 0);
    REQUIRE(unsetenv("EDDY_RESOLVER") == 0);
}

static void G4_G8_bad_choices_are_refused(void)
{
    struct eddy_resolver_class cls = script_class;
    struct eddy_resolver_opts old = {.name = "threads"};
    struct {
        struct eddy_resolver_opts opts;
        char tail;
    } later = {.opts = {.abi_size = sizeof later}, .tail = 1};
    CHECK_INT(try(&old), -EINVAL);
    CHECK_INT(try(&later.opts), -E2BIG);
    CHECK_INT(try(EDDY_RESOLVER(.try_timeout = -1)), -EINVAL);
    CHECK_INT(try(EDDY_RESOLVER(.tries = -1)), -EINVAL);
    cls.cancel = NULL;
    CHECK_INT(try(EDDY_RESOLVER(.cls = &cls)), -EINVAL);
    cls = script_class;
    cls.abi_size = 4;
    CHECK_INT(try(EDDY_RESOLVER(.cls = &cls)), -EINVAL);
    cls = script_class;
    cls.start_and_wait = NULL;
    CHECK_INT(try(EDDY_RESOLVER(.cls = &cls)), 0);
}

static void G31_the_options_are_copied_and_reach_the_resolver(void)
{
    char servers[] = "192.0.2.1", conf[] = "/resolv.conf";
    struct eddy_resolver_opts opts = {.abi_size = sizeof opts,
                                      .cls = &script_class,
                                      .user = &script,
                                      .servers = servers,
                                      .resolv_conf = conf,
                                      .tries = 3};
    script = (struct script){.at_once = true};
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = &opts), &loop) == 0);
    memset(servers, 'x', sizeof servers - 1);
    memset(conf, 'x', sizeof conf - 1);
    memset(&opts, 0, sizeof opts);
    struct asked a = ASKED(.host = "example.org");
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(script.opts.servers, "192.0.2.1");
    CHECK_STR(script.opts.resolv_conf, "/resolv.conf");
    CHECK_STR(script.opts.name, "script");
    CHECK_INT(script.opts.tries, 3);
    forget(&a);
    end();
}

/* ---- debug mode ---- */

static enum eddy_log_level last_level;
static char last_line[512];

static void keep_line(void *user, enum eddy_log_level level, const char *component,
                      const char *text)
{
    (void)user;
    if (strcmp(component, "resolver") == 0) {
        last_level = level;
        snprintf(last_line, sizeof last_line, "%s", text);
    }
}

static void L54_debug_mode_logs_what_a_look_up_took(void)
{
    begin_with(
        (struct eddy_loop_opts){.debug = true, .slow_callback = EDDY_MSEC(50), .log = keep_line});
    last_line[0] = '\0';
    struct asked a = ASKED(.host = "example.org", .timeout = EDDY_MSEC(60));
    struct asked b = ASKED(.kind = EDDY_QUERY_NAMES, .addr = addr("192.0.2.1", 80));
    script.at_once = true;
    CHECK_INT(ask_and_wait(loop, &a), 0);
    if (test_is_sim()) /* elsewhere this may take long */
        CHECK_INT(last_level, EDDY_LOG_DEBUG);
    CHECK(strstr(last_line, "Get address info example.org") && strstr(last_line, "success"));
    CHECK_INT(ask_and_wait(loop, &b), 0);
    CHECK(strstr(last_line, "192.0.2.1:80") != NULL);
    script.at_once = false;
    CHECK_INT(ask_and_wait(loop, &a), -ETIMEDOUT);
    CHECK_INT(last_level, EDDY_LOG_INFO);
    if (test_is_sim())
        CHECK(strstr(last_line, "took 60.000 ms") != NULL);
    CHECK(strstr(last_line, "no answer") != NULL);
    last_line[0] = '\0';
    void *answer;
    CHECK_INT(eddy_query_now(loop, &b.q, NULL, &answer), -ETIMEDOUT);
    CHECK(strstr(last_line, "192.0.2.1:80") != NULL);
    last_line[0] = '\0';
    eddy_loop_set_debug(loop, false);
    CHECK_INT(ask_and_wait(loop, &a), -ETIMEDOUT);
    CHECK_STR(last_line, "");
    forget(&a);
    forget(&b);
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_the_value_lives_as_long_as_the_future),
    TEST(L81_the_name_of_an_address),
    TEST(L78_the_services_of_a_name),
    TEST(L78_an_error_is_the_futures),
    TEST(L82_cancelling_the_future_gives_up_the_question),
    TEST(L82_a_future_may_be_let_go_of),
    TEST(F10_an_error_that_nobody_has_seen_is_reported),
    TEST(L82_the_loops_end_fails_the_futures_and_reports_nothing),
    TEST(G4_G8_bad_calls_are_refused),
    TEST(G31_a_resolver_is_chosen_by_name),
    TEST(G31_a_resolver_is_chosen_by_the_environment),
    TEST(G4_G8_bad_choices_are_refused),
    TEST(G31_the_options_are_copied_and_reach_the_resolver),
    TEST(L54_debug_mode_logs_what_a_look_up_took),
    TEST_END,
};
