/* The simulator's names, and how long connecting takes. */
/* backends: sim sim-late */
#include "tests/contract/names.h"
#include <eddy/sim.h>

static struct eddy_loop *loop;
static struct eddy_sim *sim;
static eddy_nsec begun;

static void begin_with(const struct eddy_loop_opts *opts)
{
    REQUIRE(test_loop_new_opts(opts, &loop) == 0);
    sim = test_sim(loop);
    begun = eddy_sim_now(sim);
}

static void begin(void)
{
    begin_with(EDDY_LOOP(.debug = false));
}

static void end(void)
{
    test_loop_free(loop);
}

static void add(const char *name, const char *first, const char *second, eddy_nsec delay)
{
    struct eddy_addr list[2] = {addr(first, 0), second ? addr(second, 0) : addr(first, 0)};

    CHECK_INT(eddy_sim_add_name(sim, name, list, second ? 2 : 1, delay), 0);
}

/* ---- addresses ---- */

static void a_name_is_answered_after_its_delay_in_the_order_of_adding(void)
{
    begin();
    add("a.example", "2001:db8::1", "192.0.2.1", EDDY_MSEC(70));
    struct asked a = ASKED(.host = "A.example", .port = 80, .type = SOCK_STREAM);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "[2001:db8::1]:80/s6 192.0.2.1:80/s6");
    CHECK_INT(a.when - begun, EDDY_MSEC(70));
    forget(&a);
    end();
}

static void a_family_is_chosen_from_it(void)
{
    begin();
    add("a.example", "2001:db8::1", "192.0.2.1", 0);
    add("b.example", "2001:db8::1", NULL, 0);
    struct asked a = ASKED(.host = "a.example", .family = AF_INET, .type = SOCK_DGRAM);
    struct asked b = ASKED(.host = "b.example", .family = AF_INET);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.1:0/d17");
    CHECK_INT(ask_and_wait(loop, &b), EDDY_EDNS);
    CHECK_INT(b.detail, EAI_NONAME);
    forget(&a);
    end();
}

static void other_names_and_named_services_do_not_exist(void)
{
    begin();
    add("a.example", "192.0.2.1", NULL, 0);
    struct asked a = ASKED(.host = "b.example");
    CHECK_INT(ask_and_wait(loop, &a), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_NONAME);
    CHECK_INT(a.when - begun, 0);
    a.q.host = "a.example";
    a.q.service = "http";
    CHECK_INT(ask_and_wait(loop, &a), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_SERVICE);
    a.q.kind = EDDY_QUERY_SERVICES;
    CHECK_INT(eddy_query_start(loop, &a.q, NULL), EDDY_ENOT_SUPPORTED);
    end();
}

static void what_is_added_again_is_replaced(void)
{
    begin();
    add("a.example", "192.0.2.1", NULL, 0);
    add("A.EXAMPLE", "192.0.2.2", NULL, EDDY_MSEC(1));
    struct asked a = ASKED(.host = "a.example", .type = SOCK_STREAM, .flags = AI_CANONNAME);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.2:0/s6 A.EXAMPLE");
    forget(&a);
    end();
}

static void a_name_fails_as_it_is_told(void)
{
    begin();
    CHECK_INT(eddy_sim_fail_name(sim, "a.example", EDDY_EDNS, EAI_AGAIN, EDDY_SEC(2)), 0);
    struct asked a = ASKED(.host = "a.example");
    CHECK_INT(ask_and_wait(loop, &a), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_AGAIN);
    CHECK_INT(a.when - begun, EDDY_SEC(2));
    CHECK_INT(eddy_sim_fail_name(sim, "a.example", -ENETDOWN, 0, 0), 0);
    CHECK_INT(ask_and_wait(loop, &a), -ENETDOWN);
    add("a.example", "192.0.2.1", NULL, 0);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    forget(&a);
    end();
}

static void a_silent_name_lasts_until_the_deadline_and_stalls_a_loop_without_one(void)
{
    begin();
    add("a.example", "192.0.2.1", NULL, EDDY_FOREVER);
    struct asked a = ASKED(.host = "a.example", .timeout = EDDY_SEC(3));
    CHECK_INT(ask_and_wait(loop, &a), -ETIMEDOUT);
    CHECK_INT(a.when - begun, EDDY_SEC(3));
    a.q.timeout = EDDY_OFF;
    ask(loop, &a);
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ESTALLED);
    CHECK(eddy_query_is_pending(&a.q));
    eddy_query_cancel(&a.q);
    CHECK_INT(a.dones, 1);
    end();
}

static void an_answer_and_a_deadline_due_together_are_an_answer(void)
{
    begin();
    add("a.example", "192.0.2.1", NULL, EDDY_SEC(1));
    struct asked a = ASKED(.host = "a.example", .timeout = EDDY_SEC(1));
    CHECK_INT(ask_and_wait(loop, &a), 0);
    forget(&a);
    end();
}

static void cancelled_while_it_waits(void)
{
    begin();
    add("a.example", "192.0.2.1", NULL, EDDY_SEC(1));
    struct asked a = ASKED(.host = "a.example");
    ask(loop, &a);
    test_run_steps(loop, 1);
    eddy_query_cancel(&a.q);
    CHECK_INT(eddy_loop_run_forever(loop), EDDY_ESTALLED);
    CHECK_INT(a.dones, 0);
    ask(loop, &a); /* and left to the loop's end */
    end();
    CHECK_INT(a.code, EDDY_ELOOP_CLOSED);
}

/* ---- names of addresses ---- */

static void addresses_have_the_first_name_that_was_added_for_them(void)
{
    begin();
    add("a.example", "2001:db8::1", "192.0.2.1", EDDY_MSEC(5));
    add("b.example", "192.0.2.1", NULL, 0);
    struct asked a = ASKED(.kind = EDDY_QUERY_NAMES, .addr = addr("192.0.2.1", 80));
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "a.example 80");
    CHECK_INT(a.when - begun, EDDY_MSEC(5));
    a.q.flags = NI_NUMERICHOST;
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.1 80");
    a.q.addr = addr("2001:db8::2", 80);
    a.q.flags = 0;
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "2001:db8::2 80");
    a.q.flags = NI_NAMEREQD;
    CHECK_INT(ask_and_wait(loop, &a), EDDY_EDNS);
    CHECK_INT(a.detail, EAI_NONAME);
    forget(&a);
    end();
}

/* ---- waiting here ---- */

static void waiting_for_an_answer_takes_its_time(void)
{
    void *answer = NULL;
    begin();
    add("a.example", "192.0.2.1", NULL, EDDY_SEC(1));
    add("b.example", "192.0.2.1", NULL, EDDY_FOREVER);
    struct eddy_query q = {.host = "a.example", .timeout = EDDY_SEC(5)};
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), 0);
    CHECK_INT(eddy_sim_now(sim) - begun, EDDY_SEC(1));
    eddy_answer_free(answer);
    q.host = "b.example";
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), -ETIMEDOUT);
    CHECK_INT(eddy_sim_now(sim) - begun, EDDY_SEC(6));
    q.timeout = EDDY_OFF;
    CHECK_INT(eddy_query_now(loop, &q, NULL, &answer), EDDY_ESTALLED);
    end();
}

/* ---- arguments, memory, other resolvers ---- */

static void bad_arguments_are_refused(void)
{
    struct eddy_addr a = addr("192.0.2.1", 0), none = {.len = 0};
    begin();
    CHECK_INT(eddy_sim_add_name(sim, NULL, &a, 1, 0), -EINVAL);
    CHECK_INT(eddy_sim_add_name(sim, "", &a, 1, 0), -EINVAL);
    CHECK_INT(eddy_sim_add_name(sim, "a", NULL, 1, 0), -EINVAL);
    CHECK_INT(eddy_sim_add_name(sim, "a", &a, 0, 0), -EINVAL);
    CHECK_INT(eddy_sim_add_name(sim, "a", &none, 1, 0), -EINVAL);
    CHECK_INT(eddy_sim_add_name(sim, "a", &a, 1, -1), -EINVAL);
    CHECK_INT(eddy_sim_fail_name(sim, "a", 0, 0, 0), -EINVAL);
    CHECK_INT(eddy_sim_fail_name(sim, "a", -EIO, 0, -1), -EINVAL);
    CHECK_INT(eddy_sim_set_host_delay(sim, &a, -1), -EINVAL);
    end();
}

static void without_memory_the_name_keeps_what_it_had(void)
{
    struct eddy_addr other = addr("192.0.2.2", 0);
    begin();
    add("a.example", "192.0.2.1", NULL, 0);
    test_fail_allocation(1);
    CHECK_INT(eddy_sim_add_name(sim, "a.example", &other, 1, 0), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_sim_fail_name(sim, "a.example", -EIO, 0, 0), -ENOMEM);
    test_fail_allocation(1);
    CHECK_INT(eddy_sim_set_host_delay(sim, &other, 1), -ENOMEM);
    test_fail_allocation(0);
    struct asked a = ASKED(.host = "a.example", .type = SOCK_STREAM);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.1:0/s6");
    forget(&a);
    end();
}

static void a_resolver_of_the_options_goes_before(void)
{
    struct script script = {.at_once = true};
    begin_with(EDDY_LOOP(.resolver = EDDY_RESOLVER(.cls = &script_class, .user = &script)));
    add("a.example", "192.0.2.7", NULL, 0);
    struct asked a = ASKED(.host = "a.example", .type = SOCK_STREAM);
    CHECK_INT(ask_and_wait(loop, &a), 0);
    CHECK_STR(spell(&a), "192.0.2.1:0/s6");
    CHECK_INT(script.started, 1);
    forget(&a);
    end();
}

static uint64_t hash_of_run(eddy_nsec delay)
{
    begin();
    add("a.example", "192.0.2.1", NULL, delay);
    struct asked a = ASKED(.host = "a.example");
    ask_and_wait(loop, &a);
    forget(&a);
    uint64_t hash = eddy_sim_trace_hash(sim);
    end();
    return hash;
}

static void questions_and_answers_are_part_of_the_trace(void)
{
    begin();
    struct asked a = ASKED(.host = "a.example");
    uint64_t before = eddy_sim_trace_hash(sim);
    ask(loop, &a);
    uint64_t asked = eddy_sim_trace_hash(sim);
    CHECK(asked != before);
    test_run_until(loop, test_is_true, &a.done);
    CHECK(eddy_sim_trace_hash(sim) != asked);
    end();
    uint64_t one = hash_of_run(EDDY_MSEC(1));
    CHECK(one == hash_of_run(EDDY_MSEC(1)));
    CHECK(one != hash_of_run(EDDY_MSEC(2)));
}

/* ---- connecting ---- */

static struct eddy_sys *sys;

/* How long connecting takes, and how it ends. */
static eddy_nsec connect_time(const char *host, int port, int *ret_error)
{
    struct eddy_addr to = addr(host, port);
    eddy_nsec start = eddy_sim_now(sim);
    int fd = sys->cls->socket(sys, to.u.sa.sa_family, SOCK_STREAM, 0);
    struct eddy_addr peer;

    CHECK_INT(sys->cls->connect(sys, fd, &to), -EINPROGRESS);
    for (int i = 0; i < 200000 && (*ret_error = sys->cls->error(sys, fd)) == 0 &&
                    sys->cls->peername(sys, fd, &peer) < 0;
         i++)
        eddy_sim_advance(sim, EDDY_MSEC(1));
    sys->cls->close(sys, fd);
    return eddy_sim_now(sim) - start;
}

static void connecting_takes_as_long_as_is_set(void)
{
    struct eddy_addr host = addr("192.0.2.1", 0), port = addr("192.0.2.1", 82);
    int error;
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(3)));
    begin();
    sys = eddy_sim_sys(sim);
    struct eddy_addr any = addr("0.0.0.0", 80);
    int listener = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    CHECK_INT(sys->cls->bind(sys, listener, &any), 0);
    CHECK_INT(sys->cls->listen(sys, listener, 10), 0);

    CHECK_INT(connect_time("192.0.2.1", 80, &error), EDDY_MSEC(6));
    CHECK_INT(error, 0);
    CHECK_INT(eddy_sim_set_host_delay(sim, &host, EDDY_MSEC(40)), 0);
    CHECK_INT(connect_time("192.0.2.1", 80, &error), EDDY_MSEC(40));
    CHECK_INT(error, 0);
    CHECK_INT(connect_time("192.0.2.1", 81, &error), EDDY_MSEC(40)); /* nobody listens */
    CHECK_INT(error, -ECONNREFUSED);
    CHECK_INT(connect_time("192.0.2.2", 80, &error), EDDY_MSEC(6));
    CHECK_INT(eddy_sim_set_host(sim, &host, EDDY_SIM_UNREACHABLE), 0);
    CHECK_INT(connect_time("192.0.2.1", 80, &error), EDDY_MSEC(40));
    CHECK_INT(error, -EHOSTUNREACH);
    CHECK_INT(eddy_sim_set_host(sim, &port, EDDY_SIM_REFUSES), 0); /* sets both aside */
    CHECK_INT(connect_time("192.0.2.1", 82, &error), EDDY_MSEC(6));
    CHECK_INT(error, -ECONNREFUSED);
    CHECK_INT(eddy_sim_set_host(sim, &host, EDDY_SIM_SILENT), 0);
    CHECK_INT(connect_time("192.0.2.1", 80, &error), EDDY_SEC(127) + EDDY_MSEC(40));
    CHECK_INT(error, -ETIMEDOUT);
    CHECK_INT(eddy_sim_set_host(sim, &host, EDDY_SIM_ANSWERS), 0);
    CHECK_INT(eddy_sim_set_host_delay(sim, &host, 0), 0);
    CHECK_INT(connect_time("192.0.2.1", 80, &error), EDDY_MSEC(6));
    sys->cls->close(sys, listener);
    end();
}

static void a_connect_closed_before_its_time_ends_nothing(void)
{
    struct eddy_addr to = addr("192.0.2.1", 80);
    begin();
    sys = eddy_sim_sys(sim);
    CHECK_INT(eddy_sim_set_host_delay(sim, &to, EDDY_MSEC(40)), 0);
    int fd = sys->cls->socket(sys, AF_INET, SOCK_STREAM, 0);
    CHECK_INT(sys->cls->connect(sys, fd, &to), -EINPROGRESS);
    eddy_sim_advance(sim, EDDY_MSEC(20));
    CHECK_INT(sys->cls->close(sys, fd), 0);
    eddy_sim_advance(sim, EDDY_MSEC(100));
    end();
}

const struct test_case test_cases[] = {
    TEST(a_name_is_answered_after_its_delay_in_the_order_of_adding),
    TEST(a_family_is_chosen_from_it),
    TEST(other_names_and_named_services_do_not_exist),
    TEST(what_is_added_again_is_replaced),
    TEST(a_name_fails_as_it_is_told),
    TEST(a_silent_name_lasts_until_the_deadline_and_stalls_a_loop_without_one),
    TEST(an_answer_and_a_deadline_due_together_are_an_answer),
    TEST(cancelled_while_it_waits),
    TEST(addresses_have_the_first_name_that_was_added_for_them),
    TEST(waiting_for_an_answer_takes_its_time),
    TEST(bad_arguments_are_refused),
    TEST(without_memory_the_name_keeps_what_it_had),
    TEST(a_resolver_of_the_options_goes_before),
    TEST(questions_and_answers_are_part_of_the_trace),
    TEST(connecting_takes_as_long_as_is_set),
    TEST(a_connect_closed_before_its_time_ends_nothing),
    TEST_END,
};
