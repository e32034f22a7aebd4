/* backends: sim sim-late */
/* Several addresses, by the virtual clock: contract S6, S8 to S12, RFC 8305. */
#include "tests/contract/connections_race.h"

/* RFC 5737 and 3849 keep these for documents. */
#define A1 "192.0.2.1"
#define A2 "192.0.2.2"
#define A3 "192.0.2.3"
#define B1 "2001:db8::1"
#define B2 "2001:db8::2"

static void hosts(struct race *r, enum eddy_sim_host behaviour, eddy_nsec delay)
{
    static const char *const all[] = {A1, A2, A3, B1, B2};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        race_host(r, all[i], behaviour, delay);
}

/* On the backend that completes late a descriptor is closed later than it was given up. */
static void check_closed(struct race *r, const char *expected)
{
    if (!stage_is_late())
        CHECK_TRACE(r->closed, expected);
}

/* ---- the delay ---- */

static void S9_the_next_attempt_begins_after_a_quarter_of_a_second(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_SILENT, 0);
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 3@500 CM@510");
    check_closed(&r, "1@510 2@510");
    CHECK_STR(race_winner(&r), A3 ":80");
    race_close(&r);
}

static void S9_the_delay_is_an_option(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.happy_eyeballs_delay = EDDY_MSEC(40);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    hosts(&r, EDDY_SIM_ANSWERS, EDDY_MSEC(90));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@40 3@80 CM@90");
    CHECK_STR(race_winner(&r), A1 ":80");
    race_close(&r);
}

static void S9_the_next_attempt_begins_when_the_previous_one_has_failed(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(30));
    race_host(&r, A2, EDDY_SIM_UNREACHABLE, EDDY_MSEC(20));
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@30 3@50 CM@60");
    check_closed(&r, "1@30 2@50");
    CHECK_INT(r.most_open, 1);
    race_close(&r);
}

/* The one that failed is not the one before: asyncio's staggered race waits on. */
static void S9_a_failure_of_an_earlier_one_hurries_nothing(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(300));
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 3@500 CM@510");
    check_closed(&r, "1@300 2@510");
    race_close(&r);
}

static void S9_no_attempt_begins_after_the_winner(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    hosts(&r, EDDY_SIM_ANSWERS, EDDY_MSEC(249));
    race_run(&r);
    stage_run_for(&r.s, EDDY_SEC(300));
    CHECK_TRACE(r.trace, "1@0 CM@249");
    CHECK_STR(race_winner(&r), A1 ":80");
    race_close(&r);
}

static void S9_an_earlier_attempt_may_still_win(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(300));
    race_host(&r, A2, EDDY_SIM_ANSWERS, EDDY_MSEC(100));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 CM@300");
    CHECK_STR(race_winner(&r), A1 ":80");
    CHECK(r.open_when_made == 1 || stage_is_late());
    race_close(&r);
}

static void S9_attempts_are_limited_by_the_list_alone(void)
{
    struct race r;
    char list[1024] = "", more[32], expected[1024] = "";
    size_t at = 0;
    race_init(&r);
    r.s.connection_opts.happy_eyeballs_delay = EDDY_MSEC(1);
    race_begin(&r);
    for (int i = 1; i <= 50; i++) {
        snprintf(more, sizeof more, "198.51.100.%d", i);
        race_host(&r, more, i == 50 ? EDDY_SIM_ANSWERS : EDDY_SIM_SILENT, i == 50);
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s", more);
        at += (size_t)snprintf(expected + at, sizeof expected - at, "%d@%d ", i, i - 1);
    }
    snprintf(expected + at, sizeof expected - at, "CM@49");
    race_name(&r, NAME, list, 0);
    race_run(&r);
    CHECK_TRACE(r.trace, expected);
    CHECK_INT(r.most_open, 50);
    race_close(&r);
}

/* A name server may say what it likes: others have their turn, and so has the deadline. */
static void S9_addresses_that_fail_at_once_take_turns_too(void)
{
    struct race r;
    char list[1024] = "", more[32];
    race_init(&r);
    r.sim.connect_at_once = 1000;
    race_begin(&r);
    for (int i = 1; i <= 30; i++) {
        snprintf(more, sizeof more, "198.51.100.%d", i);
        race_host(&r, more, EDDY_SIM_REFUSES, 0);
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s", more);
    }
    race_name(&r, NAME, list, 0);
    CHECK_INT(race_connect(&r), 0);
    for (int before = 0; !race_is_over(&r); before = r.begun) {
        eddy_loop_run_once(r.s.loop, EDDY_MSEC(1));
        CHECK(r.begun - before <= 8);
    }
    CHECK_INT(r.begun, 30);
    CHECK_INT(r.s.client.code, -ECONNREFUSED);
    race_close(&r);
}

/* What is due in the iteration of the winner comes after it, and not at all. */
static void S9_no_attempt_begins_in_the_winners_iteration(void)
{
    struct race r;
    if (stage_is_late()) /* where the winner is heard of a moment later */
        return;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_MSEC(500);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(500));
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 CM@500");
    race_close(&r);
}

static void S1_S9_the_deadline_in_the_winners_iteration(void)
{
    struct race r;
    if (stage_is_late())
        return;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_MSEC(400);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2, 0);
    race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(400));
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 CM@400");
    race_close(&r);
}

static void S13_cancelled_when_the_winner_is_known_but_not_told(void)
{
    struct race r;
    if (stage_is_late())
        return;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2, 0);
    race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(400));
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    CHECK_INT(race_connect(&r), 0);
    while (eddy_loop_time(r.s.loop) < r.start + EDDY_MSEC(400))
        CHECK_INT(eddy_loop_run_once(r.s.loop, EDDY_MSEC(400)), 0);
    CHECK_INT(r.s.client.count[ON_MADE], 0); /* it is owed */
    CHECK(eddy_future_cancel(r.s.client.future, NULL));
    CHECK_INT(r.open, 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "1@0 2@250 CF(ECANCELED)@400");
    race_close(&r);
}

/* ---- two at the same time ---- */

static void S10_of_two_in_one_iteration_the_earlier_attempt_is_used(void)
{
    for (unsigned seed = 1; seed <= 20; seed++) { /* the events come in any order */
        struct race r;
        race_init(&r);
        r.sim.seed = seed;
        r.sim.shuffle = 1000;
        race_begin(&r);
        race_name(&r, NAME, A1 " " A2, 0);
        race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(300));
        race_host(&r, A2, EDDY_SIM_ANSWERS, EDDY_MSEC(50));
        race_run(&r);
        CHECK_TRACE(r.trace, "1@0 2@250 CM@300");
        if (!stage_is_late()) /* where their ends are reported apart */
            CHECK_STR(race_winner(&r), A1 ":80");
        check_closed(&r, "2@300");
        CHECK_INT(r.s.client.count[ON_MADE], 1);
        race_close(&r);
    }
}

/* ---- the order ---- */

static void check_order(const char *list, int interleave, eddy_nsec delay, const char *expected)
{
    struct race r;
    char families[MOST_ATTEMPTS + 1] = "";
    race_init(&r);
    r.s.connection_opts.interleave = interleave;
    r.s.connection_opts.happy_eyeballs_delay = delay;
    race_begin(&r);
    race_name(&r, NAME, list, 0);
    hosts(&r, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    race_run(&r);
    for (int i = 0; i < r.begun; i++)
        families[i] = r.families[i] == AF_INET6 ? '6' : '4';
    CHECK_STR(families, expected);
    race_close(&r);
}

static void S11_families_alternate_beginning_with_the_first(void)
{
    check_order(B1 " " B2 " " A1 " " A2, 0, 0, "6464");
    check_order(A1 " " A2 " " A3 " " B1, 0, 0, "4644");
    check_order(A1 " " B1 " " B2, 0, 0, "466");
    check_order(A1 " " A2 " " B1 " " B2, 1, 0, "4646");
}

static void S11_so_many_of_the_first_family_go_first(void)
{
    check_order(A1 " " A2 " " A3 " " B1 " " B2, 2, 0, "44646");
    check_order(A1 " " B1 " " A2 " " B2 " " A3, 2, 0, "44646");
    check_order(A1 " " B1 " " B2, 3, 0, "466");
    check_order(B1 " " A1 " " A2 " " A3 " " B2, 100, 0, "66444");
}

static void S11_S12_without_interleaving_the_order_is_kept(void)
{
    check_order(A1 " " A2 " " B1 " " B2, (int)EDDY_OFF, 0, "4466");
    check_order(A1 " " A2 " " B1 " " B2, 0, EDDY_OFF, "4466");
    check_order(A1 " " A2 " " B1 " " B2, 1, EDDY_OFF, "4646");
}

static void S11_the_order_within_a_family_is_kept(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3 " " B1 " " B2, 0);
    hosts(&r, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_MSEC(1));
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(10)); /* each is known by its time */
    race_host(&r, B1, EDDY_SIM_REFUSES, EDDY_MSEC(20));
    race_host(&r, A2, EDDY_SIM_REFUSES, EDDY_MSEC(40));
    race_host(&r, B2, EDDY_SIM_REFUSES, EDDY_MSEC(80));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@10 3@30 4@70 5@150 CM@151");
    race_close(&r);
}

/* ---- one after the other ---- */

static void S6_S12_with_the_delay_off_each_is_closed_before_the_next_begins(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.happy_eyeballs_delay = EDDY_OFF;
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_SILENT, 0);
    race_host(&r, A2, EDDY_SIM_REFUSES, EDDY_SEC(2));
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_SEC(1));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@127000 3@129000 CM@130000");
    CHECK_TRACE(r.closed, "1@127000 2@129000"); /* on any backend */
    CHECK_INT(r.most_open, 1);
    race_close(&r);
}

/* ---- all have failed ---- */

static void S8_the_only_error_is_given_as_it_is(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1, 0);
    race_host(&r, A1, EDDY_SIM_UNREACHABLE, EDDY_MSEC(5));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 CF(EHOSTUNREACH)@5");
    race_check_text(&r.s.client.error, "connect to " A1 ":80: %U");
    CHECK_STR(r.s.client.error.op, "connect");
    CHECK_INT(r.s.client.status, -EHOSTUNREACH);
    race_close(&r);
}

static void S8_of_several_the_first_code_and_all_texts_that_fit(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " B1, 0);
    race_host(&r, A1, EDDY_SIM_UNREACHABLE, EDDY_MSEC(300)); /* the first, not the first to fail */
    race_host(&r, B1, EDDY_SIM_REFUSES, EDDY_MSEC(5));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 2@250 CF(EHOSTUNREACH)@300");
    race_check_text(&r.s.client.error,
                    "connect to " NAME ":80: 2 attempts failed: " A1 ":80: %U; [" B1 "]:80: %R");
    race_close(&r);
}

static void S8_texts_that_do_not_fit_are_left_out(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3 " " B1 " " B2, 0);
    hosts(&r, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    race_run(&r);
    const char *text = r.s.client.error.text;
    size_t len = strlen(text);
    CHECK(strstr(text, ": 5 attempts failed: ") != NULL);
    CHECK(strstr(text, A1 ":80: ") != NULL);
    CHECK(len > 100 && strcmp(text + len - 5, "; ...") == 0);
    race_close(&r);
}

static void S8_of_equal_texts_the_first_is_given(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A1 " " A1, 0);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    race_run(&r);
    CHECK_INT(r.begun, 3);
    race_check_text(&r.s.client.error, "connect to " A1 ":80: %R");
    race_close(&r);
}

static struct eddy_error kept;

static void check_children(struct actor *a)
{
    race_failed(a);
    const struct eddy_error *e = a->err;
    REQUIRE(e->detail == 2 && e->children != NULL);
    CHECK_INT(e->children[0].code, -EHOSTUNREACH);
    race_check_text(&e->children[0], "connect to " A1 ":80: %U");
    CHECK_INT(e->children[1].code, -ECONNREFUSED);
    race_check_text(&e->children[1], "connect to [" B1 "]:80: %R");
    eddy_error_copy(&kept, e);
}

static void S8_G2_all_errors_come_as_children(void)
{
    struct race r;
    struct eddy_future *f;
    race_init(&r);
    r.s.connection_opts.all_errors = true;
    r.s.client.on[ON_FAILED] = check_children;
    race_begin(&r);
    race_name(&r, NAME, A1 " " B1, 0);
    race_host(&r, A1, EDDY_SIM_UNREACHABLE, EDDY_MSEC(1));
    race_host(&r, B1, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    CHECK_INT(race_connect(&r), 0);
    f = eddy_future_ref(r.s.client.future);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "1@0 2@1 CF(EMULTIPLE)@2");
    CHECK_INT(r.s.client.status, EDDY_EMULTIPLE);

    /* the future has them for as long as it lives */
    const struct eddy_error *e = eddy_future_error(f);
    REQUIRE(e && e->code == EDDY_EMULTIPLE && e->detail == 2);
    CHECK_INT(e->children[0].code, -EHOSTUNREACH);
    CHECK_INT(e->children[1].code, -ECONNREFUSED);
    eddy_future_unref(f);

    CHECK_INT(kept.code, EDDY_EMULTIPLE);
    CHECK_INT(kept.detail, 0);
    CHECK(kept.children == NULL);
    CHECK(strstr(kept.text, "2 attempts failed: ") != NULL);
    race_close(&r);
}

static struct actor attempt, connection; /* others, to be ended by the same error */

static void pass_on(struct actor *a)
{
    race_failed(a);
    eddy_protocol_abort(attempt.p, a->err);
    eddy_protocol_abort(connection.p, a->err);
}

static void check_childless(struct actor *a)
{
    CHECK_INT(a->err->code, EDDY_EMULTIPLE);
    CHECK(strstr(a->err->text, "2 attempts failed: ") != NULL);
    CHECK_INT(a->err->detail, 0);
    CHECK(a->err->children == NULL);
}

static void G2_S8_an_error_that_is_passed_on_leaves_its_children(void)
{
    struct race r;
    race_init(&r);
    stage_add(&r.s, &attempt, false);
    stage_add(&r.s, &connection, false);
    r.s.client.on[ON_FAILED] = pass_on;
    attempt.on[ON_FAILED] = connection.on[ON_LOST] = check_childless;
    race_begin(&r);
    race_name(&r, NAME, A1 " " B1, 0);
    hosts(&r, EDDY_SIM_REFUSES, EDDY_MSEC(5));
    race_host(&r, A2, EDDY_SIM_ANSWERS, EDDY_MSEC(1));
    race_host(&r, A3, EDDY_SIM_SILENT, 0);
    r.s.connection_opts.host = A2;
    CHECK_INT(actor_connect(&connection), 0);
    UNTIL(&r.s, connection.t);
    r.s.connection_opts.host = A3;
    CHECK_INT(actor_connect(&attempt), 0);
    r.s.connection_opts.host = NAME;
    r.s.connection_opts.all_errors = true;
    race_run(&r);
    UNTIL(&r.s, attempt.count[ON_FINI] == 1 && connection.count[ON_FINI] == 1);
    CHECK_INT(attempt.count[ON_FAILED], 1);
    CHECK_INT(connection.count[ON_LOST], 1);
    race_close(&r);
}

static void S8_all_errors_of_a_single_address(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.all_errors = true;
    r.s.connection_opts.host = A1;
    race_begin(&r);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(1));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 CF(EMULTIPLE)@1");
    race_check_text(&r.s.client.error, "connect to " A1 ":80: 1 attempt failed: " A1 ":80: %R");
    race_close(&r);
}

/* ---- an attempt that cannot even begin ---- */

static void S9_attempts_that_fail_at_once_take_no_time(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, EDDY_MSEC(7));
    hosts(&r, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
    CHECK_INT(race_connect(&r), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_SOCKET, 1, -EMFILE), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_SOCKET, 2, -EAFNOSUPPORT), 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "1@7 CM@17");
    CHECK_STR(race_winner(&r), A3 ":80");
    race_close(&r);
}

static void S8_S9_all_fail_at_once(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2, EDDY_MSEC(7));
    CHECK_INT(race_connect(&r), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_SOCKET, 1, -EMFILE), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_SOCKET, 2, -EAFNOSUPPORT), 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "CF(EMFILE)@7");
    race_close(&r);
}

static void S9_an_attempt_without_memory_leaves_its_turn(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2 " " A3, 0);
    race_host(&r, A1, EDDY_SIM_SILENT, 0);
    race_host(&r, A3, EDDY_SIM_ANSWERS, EDDY_MSEC(20));
    CHECK_INT(race_connect(&r), 0);
    UNTIL(&r.s, r.begun == 1);
    test_fail_allocation(1);
    UNTIL(&r.s, race_is_over(&r));
    CHECK(test_allocation_failed());
    CHECK_TRACE(r.trace, "1@0 2@250 CM@270");
    CHECK_STR(race_winner(&r), A3 ":80");
    race_close(&r);
}

static void S9_one_that_fails_at_once_later(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2, 0);
    race_host(&r, A1, EDDY_SIM_ANSWERS, EDDY_MSEC(400));
    CHECK_INT(race_connect(&r), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_SOCKET, 2, -EMFILE), 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "1@0 CM@400");
    race_close(&r);
}

const struct test_case test_cases[] = {
    CASE(S9_the_next_attempt_begins_after_a_quarter_of_a_second),
    CASE(S9_the_delay_is_an_option),
    CASE(S9_the_next_attempt_begins_when_the_previous_one_has_failed),
    CASE(S9_a_failure_of_an_earlier_one_hurries_nothing),
    CASE(S9_no_attempt_begins_after_the_winner),
    CASE(S9_an_earlier_attempt_may_still_win),
    CASE(S9_attempts_are_limited_by_the_list_alone),
    CASE(S9_addresses_that_fail_at_once_take_turns_too),
    CASE(S9_no_attempt_begins_in_the_winners_iteration),
    CASE(S1_S9_the_deadline_in_the_winners_iteration),
    CASE(S13_cancelled_when_the_winner_is_known_but_not_told),
    CASE(S10_of_two_in_one_iteration_the_earlier_attempt_is_used),
    CASE(S11_families_alternate_beginning_with_the_first),
    CASE(S11_so_many_of_the_first_family_go_first),
    CASE(S11_S12_without_interleaving_the_order_is_kept),
    CASE(S11_the_order_within_a_family_is_kept),
    CASE(S6_S12_with_the_delay_off_each_is_closed_before_the_next_begins),
    CASE(S8_the_only_error_is_given_as_it_is),
    CASE(S8_of_several_the_first_code_and_all_texts_that_fit),
    CASE(S8_texts_that_do_not_fit_are_left_out),
    CASE(S8_of_equal_texts_the_first_is_given),
    CASE(S8_G2_all_errors_come_as_children),
    CASE(G2_S8_an_error_that_is_passed_on_leaves_its_children),
    CASE(S8_all_errors_of_a_single_address),
    CASE(S9_attempts_that_fail_at_once_take_no_time),
    CASE(S8_S9_all_fail_at_once),
    CASE(S9_an_attempt_without_memory_leaves_its_turn),
    CASE(S9_one_that_fails_at_once_later),
    {NULL, NULL},
};
