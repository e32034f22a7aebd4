/* Questions for names, over a resolver of the test's own: how they begin and how they end. */
/* backends: sim sim-late epoll */
#include "tests/contract/names.h"
#include <stdlib.h>

static struct eddy_loop *loop;
static struct script script;
static struct test_trace trace;

static void begin(void)
{
    script = (struct script){0};
    trace_clear(&trace);
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &script_class, .user = &script)),
                &loop) == 0);
}

static void end(void)
{
    test_loop_free(loop);
    CHECK_INT(script.closed, script.opened);
}

#define A_NAME(text, ...)                                                                   \
    {                                                                                       \
        .q = {.done = asked_done, .host = "example.org", .type = SOCK_STREAM, __VA_ARGS__}, \
        .trace = &trace, .name = (text)                                                     \
    }

/* ---- answers come from the loop ---- */

static void L78_done_is_never_called_inside_the_call(void)
{
    begin();
    script.at_once = true;
    struct asked a = A_NAME("a"), numeric = A_NAME("numeric", .port = 0),
                 refused = A_NAME("refused", .flags = AI_NUMERICHOST);
    numeric.q.host = "127.0.0.1";
    ask(loop, &a);
    ask(loop, &numeric);
    ask(loop, &refused);
    CHECK_TRACE(trace, "");
    CHECK(eddy_query_is_pending(&a.q));
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(0) numeric(0) refused(EDNS)");
    CHECK(!eddy_query_is_pending(&a.q));
    CHECK_INT(script.started, 1);
    forget(&a);
    forget(&numeric);
    end();
}

static void L78_answers_come_in_the_order_in_which_they_are_given(void)
{
    begin();
    struct asked a = A_NAME("a"), b = A_NAME("b"), c = A_NAME("c");
    ask(loop, &a);
    ask(loop, &b);
    ask(loop, &c);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    script_remove(&script, &b.q);
    give_one(&b.q);
    script_answer(&script);
    script_answer(&script);
    CHECK_TRACE(trace, "");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "b(0) a(0) c(0)");
    CHECK_STR(spell(&a), "192.0.2.1:0/s6");
    forget(&a);
    forget(&b);
    forget(&c);
    end();
}

static void L78_L81_each_kind_of_answer(void)
{
    begin();
    script.at_once = true;
    struct asked a = A_NAME("a", .service = "http", .flags = AI_CANONNAME);
    struct asked names = A_NAME("n", .kind = EDDY_QUERY_NAMES, .addr = addr("192.0.2.1", 80));
    struct asked services = A_NAME("s", .kind = EDDY_QUERY_SERVICES);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.1:9/s6 canonical.example");
    CHECK_INT(ask_and_wait(loop, &names), 0);
    CHECK_STR(spell(&names), "host.example service");
    CHECK_INT(ask_and_wait(loop, &services), 0);
    const struct eddy_services *ss = services.answer;
    CHECK_INT(ss->count, 1);
    CHECK_STR(ss->list[0].target, "target.example");
    forget(&a);
    forget(&names);
    forget(&services);
    end();
}

static void L78_an_answer_without_addresses_is_a_failure(void)
{
    begin();
    struct asked a = A_NAME("a"), s = A_NAME("s", .kind = EDDY_QUERY_SERVICES);
    ask(loop, &a);
    ask(loop, &s);
    script_remove(&script, &a.q);
    script_remove(&script, &s.q);
    eddy_query_give_addresses(&a.q, NULL, 0, NULL, EDDY_SEC(1));
    eddy_query_give_services(&s.q, NULL, 0);
    test_run_steps(loop, 1);
    CHECK_STR(spell(&a), "EDNS(NONAME)");
    CHECK_STR(spell(&s), "EDNS(NONAME)");
    end();
}

static void L78_an_error_says_what_was_looked_up_and_why_it_failed(void)
{
    begin();
    struct asked a = A_NAME("a");
    ask(loop, &a);
    script_remove(&script, &a.q);
    eddy_query_fail(&a.q, EDDY_EDNS, EAI_AGAIN, "nobody is at home");
    test_run_steps(loop, 1);
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, EAI_AGAIN);
    CHECK(strstr(a.text, "example.org") && strstr(a.text, "nobody is at home"));
    end();
}

static void L78_what_is_answered_twice_counts_once(void)
{
    begin();
    struct asked a = A_NAME("a");
    ask(loop, &a);
    script_answer(&script);
    give_one(&a.q);
    eddy_query_fail(&a.q, -EIO, 0, NULL);
    test_run_steps(loop, 2);
    give_one(&a.q);
    eddy_query_give_names(&a.q, "a", "b");
    eddy_query_give_services(&a.q, NULL, 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a(0)");
    forget(&a);
    end();
}

static void L82_what_is_answered_after_a_cancel_is_not_told(void)
{
    begin();
    struct asked a = A_NAME("a");
    ask(loop, &a);
    eddy_query_cancel(&a.q);
    give_one(&a.q);
    eddy_query_fail(&a.q, -EIO, 0, NULL);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    end();
}

static void ask_again(struct asked *a)
{
    a->then = NULL;
    forget(a);
    ask(a->user, a);
}

static void G13_a_question_may_be_asked_again_from_its_done(void)
{
    begin();
    script.at_once = true;
    struct asked a = A_NAME("a");
    a.then = ask_again;
    a.user = loop;
    ask(loop, &a);
    test_run_steps(loop, 3);
    CHECK_TRACE(trace, "a(0) a(0)");
    forget(&a);
    end();
}

static void free_it(struct asked *a)
{
    forget(a);
    free(a);
}

static void G14_the_node_may_be_freed_in_its_done(void)
{
    begin();
    for (int i = 0; i < 3; i++) { /* by an answer, by its deadline, by the loop's end */
        struct asked *a = calloc(1, sizeof *a);
        REQUIRE(a != NULL);
        *a = (struct asked)A_NAME("a", .timeout = i == 1 ? EDDY_MSEC(5) : EDDY_OFF);
        a->then = free_it;
        ask(loop, a);
        if (i == 0)
            script_answer(&script);
        while (i < 2 && trace_count(&trace, "a") < i + 1)
            REQUIRE(eddy_loop_run_once(loop, EDDY_SEC(1)) == 0);
    }
    end();
    CHECK_TRACE(trace, "a(0) a(ETIMEDOUT) a(ELOOP_CLOSED)");
}

/* ---- cancelling ---- */

static void L82_G14_cancelled_while_it_is_asked(void)
{
    begin();
    struct asked a = A_NAME("a", .timeout = EDDY_MSEC(5)), b = A_NAME("b");
    ask(loop, &a);
    ask(loop, &b);
    eddy_query_cancel(&a.q);
    CHECK(!eddy_query_is_pending(&a.q));
    CHECK_INT(script.cancelled, 1);
    eddy_query_cancel(&a.q);
    CHECK_INT(script.cancelled, 1);
    script_answer(&script);
    test_run_until(loop, test_is_true, &b.done);
    eddy_loop_run_once(loop, EDDY_MSEC(10)); /* its deadline went, too */
    CHECK_TRACE(trace, "b(0)");
    forget(&b);
    end();
}

static void L82_G14_cancelled_when_it_is_answered(void)
{
    begin();
    struct asked a = A_NAME("a");
    ask(loop, &a);
    script_answer(&script);
    long live = test_live_allocations();
    eddy_query_cancel(&a.q);
    CHECK_INT(test_live_allocations(), live - 1);
    CHECK_INT(script.cancelled, 0); /* the resolver was done with it */
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    ask(loop, &a);
    script_answer(&script);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(0)");
    forget(&a);
    end();
}

static void cancel_user(struct asked *a)
{
    eddy_query_cancel(a->user);
}

static void L82_G14_cancelled_inside_the_done_of_another_and_its_own(void)
{
    begin();
    struct asked a = A_NAME("a"), b = A_NAME("b"), c = A_NAME("c");
    a.then = cancel_user;
    a.user = &b.q;
    c.then = cancel_user;
    c.user = &c.q;
    ask(loop, &a);
    ask(loop, &b);
    ask(loop, &c);
    for (int i = 0; i < 3; i++)
        script_answer(&script); /* all three in one batch */
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "a(0) c(0)");
    ask(loop, &b);
    forget(&a);
    ask(loop, &a);
    script_remove(&script, &a.q);
    give_one(&a.q); /* b is with the resolver yet */
    test_run_steps(loop, 2);
    CHECK_INT(script.cancelled, 1);
    CHECK_TRACE(trace, "a(0) c(0) a(0)");
    forget(&a);
    forget(&c);
    end();
}

struct canceller {
    struct eddy_timer timer;
    struct eddy_query *q;
};

static void cancel_by_timer(struct eddy_timer *t)
{
    eddy_query_cancel(EDDY_CONTAINER_OF(t, struct canceller, timer)->q);
}

static void L82_G14_cancelled_at_the_time_of_its_deadline_and_inside_it(void)
{
    begin();
    struct asked a = A_NAME("a"), b = A_NAME("b");
    struct canceller c = {{.fn = cancel_by_timer}, &a.q};
    a.q.timeout = b.q.timeout = EDDY_MSEC(20);
    b.then = cancel_user;
    b.user = &b.q;
    eddy_loop_call_later(loop, &c.timer, EDDY_MSEC(20)); /* before that of the query */
    ask(loop, &a);
    ask(loop, &b);
    test_run_until(loop, test_is_true, &b.done);
    CHECK_TRACE(trace, "b(ETIMEDOUT)");
    CHECK_INT(script.cancelled, 2);
    end();
}

static void G4_cancelling_what_is_not_pending_is_harmless(void)
{
    struct eddy_query q = {.done = asked_done};
    eddy_query_cancel(NULL);
    eddy_query_cancel(&q);
    CHECK(!eddy_query_is_pending(NULL));
    CHECK(!eddy_query_is_pending(&q));
    eddy_answer_free(NULL);
}

/* ---- deadlines ---- */

static void L78_a_deadline_comes_exactly_when_it_is_due(void)
{
    begin();
    struct asked a = A_NAME("a", .timeout = EDDY_MSEC(30));
    eddy_nsec begun = eddy_loop_time(loop);
    CHECK_INT(ask_and_wait(loop, &a), -ETIMEDOUT);
    if (test_is_sim())
        CHECK_INT(a.when - begun, EDDY_MSEC(30));
    CHECK(a.when - begun >= EDDY_MSEC(30));
    CHECK(strstr(a.text, "0.03 seconds") != NULL);
    CHECK_INT(script.cancelled, 1);
    end();
}

static void L78_without_a_time_out_it_is_30_seconds(void)
{
    begin();
    if (test_is_sim()) {
        struct asked a = A_NAME("a");
        eddy_nsec begun = eddy_loop_time(loop);
        ask(loop, &a);
        while (!a.done && CHECK_INT(eddy_loop_run_once(loop, EDDY_FOREVER), 0))
            ;
        CHECK_INT(a.code, -ETIMEDOUT);
        CHECK_INT(a.when - begun, EDDY_SEC(30));
        CHECK_INT(a.q.timeout, 0); /* as it was set */
    }
    end();
}

static void L78_a_deadline_that_is_off_never_comes(void)
{
    begin();
    if (test_is_sim()) {
        struct asked a = A_NAME("a", .timeout = EDDY_OFF);
        ask(loop, &a);
        CHECK_INT(eddy_loop_run_forever(loop), EDDY_ESTALLED);
        eddy_query_cancel(&a.q);
    }
    end();
}

static void L78_an_answer_takes_the_deadline_away(void)
{
    begin();
    struct asked a = A_NAME("a", .timeout = EDDY_MSEC(5)),
                 b = A_NAME("b", .timeout = EDDY_MSEC(20));
    ask(loop, &a);
    ask(loop, &b);
    script_answer(&script);
    test_run_until(loop, test_is_true, &b.done);
    CHECK_TRACE(trace, "a(0) b(ETIMEDOUT)");
    forget(&a);
    end();
}

/* ---- the loop's end ---- */

static void cannot_ask_again(struct asked *a)
{
    struct eddy_error error = {0};
    CHECK_INT(eddy_query_start(a->user, &a->q, &error), EDDY_ELOOP_CLOSED);
    CHECK_INT(error.code, EDDY_ELOOP_CLOSED);
    CHECK(!eddy_query_is_pending(&a->q));
}

static void L82_the_loops_end_ends_what_is_asked_and_what_is_answered(void)
{
    begin();
    struct asked a = A_NAME("a"), b = A_NAME("b"), c = A_NAME("c"), d = A_NAME("d");
    ask(loop, &a);
    ask(loop, &b);
    ask(loop, &c);
    ask(loop, &d);
    script_answer(&script);
    a.then = cannot_ask_again;
    a.user = loop;
    b.then = cancel_user;
    b.user = &c.q;
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_TRACE(trace, "a(ELOOP_CLOSED) b(ELOOP_CLOSED) d(ELOOP_CLOSED)");
    CHECK_INT(script.cancelled, 3);
    CHECK_INT(script.closed, 1);
    CHECK_INT(eddy_query_start(loop, &a.q, NULL), EDDY_ELOOP_CLOSED);
    end();
}

static void post_answers(struct eddy_post *p, int status)
{
    (void)p;
    CHECK_INT(status, EDDY_ELOOP_CLOSED);
    script_answer(&script);
}

static void L82_an_answer_given_while_the_loop_closes_is_too_late(void)
{
    begin();
    struct asked a = A_NAME("a");
    struct eddy_post post = {.fn = post_answers};
    ask(loop, &a);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &post), 0);
    end();
    CHECK_TRACE(trace, "a(ELOOP_CLOSED)");
}

/* ---- what is refused ---- */

static int start(struct eddy_loop *l, struct asked *a)
{
    struct eddy_error error = {0};
    int rc = eddy_query_start(l, &a->q, &error);
    CHECK_INT(error.code, rc);
    CHECK(rc == 0 || error.text[0] != '\0');
    CHECK_INT(eddy_query_start(l, &a->q, NULL), rc);
    CHECK(!eddy_query_is_pending(&a->q));
    return rc;
}

static void G4_L78_bad_questions_are_refused(void)
{
    begin();
    struct asked good = A_NAME("good");
    CHECK_INT(eddy_query_start(NULL, &good.q, NULL), -EINVAL);
    CHECK_INT(eddy_query_start(loop, NULL, NULL), -EINVAL);
    good.q.done = NULL;
    CHECK_INT(eddy_query_start(loop, &good.q, NULL), -EINVAL);
    struct asked bad[] = {
        A_NAME("", .kind = (enum eddy_query_kind)3),
        A_NAME("", .flags = AI_V4MAPPED),
        A_NAME("", .timeout = -2),
        A_NAME("", .port = -1),
        A_NAME("", .port = 65536),
        A_NAME("", .family = AF_UNIX),
        A_NAME("", .protocol = -1),
        A_NAME("", .kind = EDDY_QUERY_NAMES),
        A_NAME("", .kind = EDDY_QUERY_NAMES, .addr = addr("::1", 1), .flags = 1 << 20),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(start(loop, &bad[i]), -EINVAL);
    struct asked nameless = ASKED(.kind = EDDY_QUERY_SERVICES);
    CHECK_INT(start(loop, &nameless), -EINVAL);
    CHECK_INT(script.opened, 0);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    end();
}

static void G4_what_is_pending_is_not_started_again(void)
{
    begin();
    struct asked a = A_NAME("a");
    struct eddy_error error = {0};
    void *answer;
    ask(loop, &a);
    CHECK_INT(eddy_query_start(loop, &a.q, &error), -EALREADY);
    CHECK_INT(error.code, -EALREADY);
    CHECK_INT(eddy_query_now(loop, &a.q, NULL, &answer), -EALREADY);
    script_answer(&script);
    CHECK_INT(eddy_query_start(loop, &a.q, NULL), -EALREADY);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a(0)");
    CHECK_INT(script.started, 1);
    forget(&a);
    end();
}

static void G3_a_resolver_that_cannot_open_is_tried_again(void)
{
    begin();
    struct asked a = A_NAME("a");
    struct eddy_error error = {0};
    script.at_once = true;
    script.open_code = -EACCES;
    CHECK_INT(start(loop, &a), -EACCES);
    script.open_text = "no telephone";
    CHECK_INT(eddy_query_start(loop, &a.q, &error), -EACCES);
    CHECK_STR(error.text, "no telephone");
    script.open_code = 0;
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_TRACE(trace, "a(0)");
    CHECK_INT(script.opened, 1);
    forget(&a);
    end();
}

static void G3_a_resolver_may_refuse_a_question(void)
{
    begin();
    struct asked a = A_NAME("a");
    script.start_code = -EMFILE;
    CHECK_INT(start(loop, &a), -EMFILE);
    script.start_code = 0;
    script.at_once = true;
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_TRACE(trace, "a(0)");
    forget(&a);
    end();
}

static void L78_a_resolver_is_opened_when_it_is_first_needed(void)
{
    begin();
    struct asked a = A_NAME("a");
    a.q.host = "127.0.0.1";
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_INT(script.opened, 0);
    script.at_once = true;
    a.q.host = "example.org";
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_INT(script.opened, 1);
    forget(&a);
    end();
    CHECK_INT(script.closed, 1);
}

/* ---- waiting here ---- */

static void L78_waiting_for_an_answer_calls_nobody(void)
{
    begin();
    struct asked a = A_NAME("a", .timeout = EDDY_SEC(2));
    struct eddy_error error = {0};
    void *answer = &error;
    script.waits = true;
    CHECK_INT(eddy_query_now(loop, &a.q, &error, &answer), 0);
    CHECK_INT(script.waited, EDDY_SEC(2));
    a.answer = answer;
    CHECK_STR(spell(&a), "192.0.2.1:0/s6");
    CHECK(!eddy_query_is_pending(&a.q));
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "");
    forget(&a);

    struct eddy_query bare = {.host = "::1"}; /* done is not needed */
    CHECK_INT(eddy_query_now(loop, &bare, NULL, &answer), 0);
    eddy_answer_free(answer);
    end();
}

static void L78_waiting_ends_with_the_error(void)
{
    begin();
    struct eddy_query q = {.host = "example.org"};
    struct eddy_error error = {0};
    void *answer = &error;
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), -ETIMEDOUT);
    CHECK_INT(error.code, -ETIMEDOUT);
    CHECK_INT(script.waited, EDDY_SEC(30));
    q.timeout = EDDY_OFF;
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), -ETIMEDOUT);
    CHECK(script.waited == EDDY_FOREVER);
    script.start_code = -ENETDOWN;
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), -ENETDOWN);
    CHECK(strstr(error.text, "example.org") != NULL);
    q.flags = AI_NUMERICHOST;
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), EDDY_EDNS);
    CHECK_INT(error.detail, EAI_NONAME);
    CHECK(answer == &error);
    CHECK_INT(eddy_query_now(NULL, &q, NULL, &answer), -EINVAL);
    CHECK_INT(eddy_query_now(loop, NULL, NULL, &answer), -EINVAL);
    CHECK_INT(eddy_query_now(loop, &q, NULL, NULL), -EINVAL);
    end();
}

static void L78_waiting_needs_a_resolver_that_can(void)
{
    struct eddy_resolver_class cls = script_class;
    struct eddy_query q = {.host = "example.org"};
    struct eddy_error error = {0};
    void *answer;
    cls.start_and_wait = NULL;
    script = (struct script){.open_code = -EACCES, .open_text = "no telephone"};
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &cls, .user = &script)),
                               &loop) == 0);
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), -EACCES);
    CHECK_STR(error.text, "no telephone");
    script.open_code = 0;
    CHECK_INT(eddy_query_now(loop, &q, &error, &answer), EDDY_ENOT_SUPPORTED);
    end();
}

/* ---- services ---- */

static void give_services(struct asked *a, const struct eddy_service *list, size_t n)
{
    forget(a);
    ask(loop, a);
    script_remove(&script, &a->q);
    eddy_query_give_services(&a->q, list, n);
    test_run_until(loop, test_is_true, &a->done);
}

static void L78_services_come_by_priority_and_are_drawn_by_weight(void)
{
    const struct eddy_service list[] = {
        {.priority = 20, .weight = 5, .port = 3, .target = "last"},
        {.priority = 10, .weight = 9, .port = 1, .target = "often"},
        {.priority = 10, .weight = 1, .port = 2, .target = "seldom"},
        {.priority = 0, .weight = 0, .port = 0, .target = "first"},
    };
    int often = 0, seldom = 0;
    begin();
    struct asked a = A_NAME("a", .kind = EDDY_QUERY_SERVICES);
    for (int i = 0; i < 300; i++) {
        trace_clear(&trace);
        give_services(&a, list, 4);
        const struct eddy_services *ss = a.answer;
        REQUIRE(ss->count == 4);
        CHECK_STR(ss->list[0].target, "first");
        CHECK_STR(ss->list[3].target, "last");
        often += strcmp(ss->list[1].target, "often") == 0 && ss->list[1].port == 1;
        seldom += strcmp(ss->list[1].target, "seldom") == 0 && ss->list[2].port == 1;
    }
    CHECK_INT(often + seldom, 300);
    CHECK(often > seldom && seldom > 0); /* 9:2 */
    forget(&a);
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_done_is_never_called_inside_the_call),
    TEST(L78_answers_come_in_the_order_in_which_they_are_given),
    TEST(L78_L81_each_kind_of_answer),
    TEST(L78_an_answer_without_addresses_is_a_failure),
    TEST(L78_an_error_says_what_was_looked_up_and_why_it_failed),
    TEST(L78_what_is_answered_twice_counts_once),
    TEST(L82_what_is_answered_after_a_cancel_is_not_told),
    TEST(G13_a_question_may_be_asked_again_from_its_done),
    TEST(G14_the_node_may_be_freed_in_its_done),
    TEST(L82_G14_cancelled_while_it_is_asked),
    TEST(L82_G14_cancelled_when_it_is_answered),
    TEST(L82_G14_cancelled_inside_the_done_of_another_and_its_own),
    TEST(L82_G14_cancelled_at_the_time_of_its_deadline_and_inside_it),
    TEST(G4_cancelling_what_is_not_pending_is_harmless),
    TEST(L78_a_deadline_comes_exactly_when_it_is_due),
    TEST(L78_without_a_time_out_it_is_30_seconds),
    TEST(L78_a_deadline_that_is_off_never_comes),
    TEST(L78_an_answer_takes_the_deadline_away),
    TEST(L82_the_loops_end_ends_what_is_asked_and_what_is_answered),
    TEST(L82_an_answer_given_while_the_loop_closes_is_too_late),
    TEST(G4_L78_bad_questions_are_refused),
    TEST(G4_what_is_pending_is_not_started_again),
    TEST(G3_a_resolver_that_cannot_open_is_tried_again),
    TEST(G3_a_resolver_may_refuse_a_question),
    TEST(L78_a_resolver_is_opened_when_it_is_first_needed),
    TEST(L78_waiting_for_an_answer_calls_nobody),
    TEST(L78_waiting_ends_with_the_error),
    TEST(L78_waiting_needs_a_resolver_that_can),
    TEST(L78_services_come_by_priority_and_are_drawn_by_weight),
    TEST_END,
};
