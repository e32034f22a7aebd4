/* backends: sim sim-late */
/*
 * Names in create_connection, by the virtual clock: contract S1, S5, S7, S13 to S15, R7, L16, and
 * the one deadline over all of it.
 */
#include "tests/contract/connections_race.h"
#include <netdb.h>

#define A1 "192.0.2.1"
#define A2 "192.0.2.2"
#define B1 "2001:db8::1"

/* Answers after 20 ms. */
static void answering(struct race *r, const char *list)
{
    char text[64];
    int len;
    race_begin(r);
    race_name(r, NAME, list, EDDY_MSEC(20));
    for (; sscanf(list, "%63s%n", text, &len) == 1; list += len)
        race_host(r, text, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
}

/* ---- the host ---- */

static void S1_S5_a_name_is_looked_up_and_connected_to(void)
{
    struct race r;
    race_init(&r);
    answering(&r, A1);
    race_run(&r);
    CHECK_TRACE(r.trace, "1@20 CM@30");
    CHECK_TRACE(r.s.client.trace, "CM RET");
    CHECK_STR(race_winner(&r), A1 ":80");
    race_close(&r);
}

static void S1_the_strings_of_the_options_are_copied(void)
{
    struct race r;
    char host[] = NAME, local[] = "here.example";
    race_init(&r);
    r.s.connection_opts.host = host;
    r.s.connection_opts.local_host = local;
    answering(&r, A1);
    race_name(&r, local, "192.0.2.100", EDDY_MSEC(10));
    CHECK_INT(race_connect(&r), 0);
    memset(host, 'x', sizeof host);
    memset(local, 'x', sizeof local);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_TRACE(r.trace, "1@20 CM@30");
    race_close(&r);
}

static void S5_the_family_is_asked_for(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.family = AF_INET6;
    answering(&r, A1 " " B1);
    race_run(&r);
    CHECK_STR(race_winner(&r), "[" B1 "]:80");
    race_close(&r);
}

static void S5_the_flags_are_those_of_the_look_up(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.flags = AI_NUMERICHOST;
    answering(&r, A1);
    race_run(&r);
    CHECK_INT(r.s.client.code, EDDY_EDNS);
    CHECK_INT(r.s.client.error.detail, EAI_NONAME);
    CHECK_INT(r.begun, 0);
    race_close(&r);
}

static void S1_R7_a_name_that_is_not_there(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.host = "nobody.example";
    r.s.connection_opts.all_errors = true; /* no attempt has failed */
    race_begin(&r);
    CHECK_INT(
        eddy_sim_fail_name(race_sim(&r), "nobody.example", EDDY_EDNS, EAI_NONAME, EDDY_MSEC(40)),
        0);
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(EDNS)@40");
    CHECK_INT(r.s.client.error.detail, EAI_NONAME);
    CHECK_INT(r.s.client.status, EDDY_EDNS);
    CHECK(strstr(r.s.client.error.text, "nobody.example") != NULL);
    race_close(&r);
}

static void S15_a_literal_address_never_touches_the_resolver(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.host = B1;
    race_begin(&r);
    race_name(&r, B1, A1, EDDY_SEC(9)); /* would answer so */
    race_host(&r, B1, EDDY_SIM_ANSWERS, EDDY_MSEC(10));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@0 CM@10");
    CHECK_STR(race_winner(&r), "[" B1 "]:80");
    race_close(&r);
}

static void S15_a_scope_ends_up_in_the_address(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.host = "fe80::1%7";
    race_begin(&r);
    race_run(&r);
    CHECK_STR(race_winner(&r), "[fe80::1%7]:80");
    race_close(&r);
}

static void S14_success_is_logged_in_debug_mode(void)
{
    struct race r;
    race_init(&r);
    answering(&r, A1);
    eddy_loop_set_debug(r.s.loop, true);
    race_run(&r);
    CHECK_INT(test_count_log("connected to " NAME ":80: (tcp " A1 ":80, "), 1);
    race_close(&r);

    race_init(&r);
    answering(&r, A1);
    race_run(&r);
    CHECK_INT(test_count_log("connected to "), 1); /* not without it */
    race_close(&r);
}

/* ---- the local address ---- */

static const char *local_of(struct race *r)
{
    static char text[EDDY_ADDR_TEXT];
    struct eddy_addr a;
    if (!r->s.client.t || eddy_transport_sockname(r->s.client.t, &a) < 0)
        return "nothing";
    return eddy_addr_format(&a, text, sizeof text);
}

static void S7_a_local_name_is_looked_up_at_the_same_time(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "here.example";
    r.s.connection_opts.local_port = 4000;
    answering(&r, A1);
    race_name(&r, "here.example", "192.0.2.100", EDDY_MSEC(35));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@35 CM@45");
    CHECK_STR(local_of(&r), "192.0.2.100:4000");
    race_close(&r);
}

static void S7_a_local_name_for_a_numeric_host(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.host = A1;
    r.s.connection_opts.local_host = "here.example";
    answering(&r, A1);
    race_name(&r, "here.example", "2001:db8::100 192.0.2.100", EDDY_MSEC(35));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@35 CM@45");
    CHECK(strncmp(local_of(&r), "192.0.2.100:", 12) == 0);
    race_close(&r);
}

static void S7_of_each_family_its_own_local_address(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "here.example";
    answering(&r, A1 " " B1);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(10));
    race_name(&r, "here.example", "192.0.2.100 2001:db8::100", 0);
    race_run(&r);
    CHECK_STR(race_winner(&r), "[" B1 "]:80");
    CHECK(strncmp(local_of(&r), "[2001:db8::100]:", 16) == 0);
    race_close(&r);
}

static void S7_a_local_port_alone_is_of_any_family(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_port = 4000;
    answering(&r, B1);
    race_run(&r);
    CHECK(strstr(local_of(&r), "]:4000") != NULL);
    race_close(&r);
}

static void S7_the_first_local_address_that_binds_is_used(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "here.example";
    answering(&r, A1);
    race_name(&r, "here.example", "2001:db8::100 192.0.2.100 192.0.2.101 192.0.2.102", 0);
    CHECK_INT(race_connect(&r), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_BIND, 1, -EADDRNOTAVAIL), 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK(strncmp(local_of(&r), "192.0.2.101:", 12) == 0);
    CHECK_INT(eddy_sim_calls(race_sim(&r), EDDY_SIM_BIND), 3 + 2); /* three listeners */
    race_close(&r);
}

static void S7_no_local_address_binds(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "here.example";
    answering(&r, A1);
    race_name(&r, "here.example", "192.0.2.100 192.0.2.101", 0);
    CHECK_INT(race_connect(&r), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_BIND, 1, -EADDRINUSE), 0);
    CHECK_INT(eddy_sim_fail(race_sim(&r), EDDY_SIM_BIND, 2, -EADDRNOTAVAIL), 0);
    UNTIL(&r.s, race_is_over(&r));
    CHECK_INT(r.s.client.code, -EADDRNOTAVAIL);
    CHECK(strstr(r.s.client.error.text, A1 ":80 from 192.0.2.101:0: ") != NULL);
    race_close(&r);
}

static void S7_no_local_address_of_the_family(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "192.0.2.100";
    answering(&r, B1);
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(EADDRNOTAVAIL)@20");
    CHECK_STR(r.s.client.error.text,
              "connect to [" B1 "]:80: no matching local address with family=AF_INET6 found");
    race_close(&r);
}

static void S7_a_local_name_that_is_not_there(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.local_host = "nowhere.example";
    answering(&r, A1);
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(EDNS)@0"); /* the other look-up is not waited for */
    CHECK(strstr(r.s.client.error.text, "nowhere.example") != NULL);
    race_close(&r);
}

/* ---- the deadline ---- */

static void S1_the_deadline_passes_while_the_name_is_looked_up(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_SEC(3);
    race_begin(&r);
    race_name(&r, NAME, A1, EDDY_FOREVER);
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(ETIMEDOUT)@3000");
    CHECK_STR(r.s.client.error.text,
              "connect to " NAME ":80: " NAME " was not looked up within 3 seconds");
    race_close(&r);
}

static void S1_the_deadline_passes_while_the_local_name_is_looked_up(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_SEC(3);
    r.s.connection_opts.local_host = "here.example";
    answering(&r, A1);
    race_name(&r, "here.example", A2, EDDY_SEC(4));
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(ETIMEDOUT)@3000");
    CHECK_STR(r.s.client.error.text,
              "connect to " NAME ":80: here.example was not looked up within 3 seconds");
    race_close(&r);
}

static void S1_one_deadline_over_look_up_and_connecting(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_SEC(3);
    race_begin(&r);
    race_name(&r, NAME, A1 " " A2, EDDY_SEC(2));
    race_host(&r, A1, EDDY_SIM_SILENT, 0);
    race_host(&r, A2, EDDY_SIM_SILENT, 0);
    race_run(&r);
    CHECK_TRACE(r.trace, "1@2000 2@2250 CF(ETIMEDOUT)@3000");
    CHECK_STR(r.s.client.error.text,
              "connect to " NAME ":80 (" A1 ":80, " A2 ":80): not connected within 3 seconds");
    race_close(&r);
}

static void S1_no_deadline_but_the_resolvers_own(void)
{
    struct race r;
    race_init(&r);
    race_begin(&r);
    race_name(&r, NAME, A1, EDDY_FOREVER);
    race_run(&r);
    CHECK_TRACE(r.trace, "CF(ETIMEDOUT)@30000");
    race_close(&r);

    race_init(&r);
    r.s.connection_opts.timeout = EDDY_SEC(100); /* ours is in its place */
    race_begin(&r);
    race_name(&r, NAME, A1, EDDY_SEC(50));
    race_run(&r);
    CHECK_TRACE(r.trace, "1@50000 CM@50000");
    race_close(&r);
}

static void S1_a_deadline_met_is_forgotten(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_MSEC(31);
    answering(&r, A1);
    race_run(&r);
    stage_run_for(&r.s, EDDY_SEC(1));
    CHECK_TRACE(r.trace, "1@20 CM@30");
    CHECK(r.s.client.t != NULL);
    race_close(&r);
}

static void S1_a_deadline_is_forgotten_after_a_failure(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.timeout = EDDY_MSEC(100);
    answering(&r, A1);
    race_host(&r, A1, EDDY_SIM_REFUSES, EDDY_MSEC(10));
    race_run(&r);
    stage_run_for(&r.s, EDDY_SEC(1));
    CHECK_TRACE(r.trace, "1@20 CF(ECONNREFUSED)@30");
    race_close(&r);
}

/* ---- giving up ---- */

/* At each millisecond of a course of 1@20 2@270 CM@280. */
static void at_any_time(void (*give_up)(struct race *r), const char *told, int code)
{
    static const int times[] = {0, 1, 19, 20, 21, 30, 150, 269, 270, 271, 279};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct race r;
        race_init(&r);
        r.s.connection_opts.local_host = "here.example";
        answering(&r, A1 " " A2);
        race_host(&r, A1, EDDY_SIM_SILENT, 0);
        race_name(&r, "here.example", "192.0.2.100", EDDY_MSEC(15));
        CHECK_INT(race_connect(&r), 0);
        if (times[i] > 0)
            stage_run_for(&r.s, EDDY_MSEC(times[i]));
        int begun = r.begun;
        give_up(&r);
        CHECK_INT(r.s.client.count[ON_FAILED], 0); /* not inside the call */
        UNTIL(&r.s, r.s.client.done || r.s.client.future == NULL);
        stage_run_for(&r.s, EDDY_SEC(1));
        CHECK_INT(r.begun, begun);
        CHECK_INT(r.open, 0);
        CHECK_TRACE(r.s.client.trace, told);
        CHECK_INT(r.s.client.status, code);
        race_close(&r);
    }
}

static void cancel(struct race *r)
{
    CHECK(eddy_future_cancel(r->s.client.future, NULL));
}

static void abort_it(struct race *r)
{
    eddy_protocol_abort(r->s.client.p, EDDY_ERROR(-EPROTO, "no more"));
}

static void detach(struct race *r)
{
    actor_detach(&r->s.client);
}

static void S13_R7_cancelled_at_any_time(void)
{
    at_any_time(cancel, "CF(ECANCELED) RET(ECANCELED)", -ECANCELED);
}

static void R7_aborted_at_any_time(void)
{
    at_any_time(abort_it, "CF(EPROTO) RET(EPROTO)", -EPROTO);
}

static void G15_detached_at_any_time(void)
{
    at_any_time(detach, "RET(ECANCELED)", -ECANCELED);
}

static void L16_the_loop_is_closed_at_any_time(void)
{
    static const int times[] = {0, 10, 17, 25, 260, 275};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct race r;
        race_init(&r);
        r.s.connection_opts.local_host = "here.example";
        answering(&r, A1 " " A2);
        race_host(&r, A1, EDDY_SIM_SILENT, 0);
        race_name(&r, "here.example", "192.0.2.100", EDDY_MSEC(15));
        CHECK_INT(race_connect(&r), 0);
        if (times[i] > 0)
            stage_run_for(&r.s, EDDY_MSEC(times[i]));
        raw_close(&r.s, r.listeners[0]);
        raw_close(&r.s, r.listeners[1]);
        eddy_server_close(r.s.server);
        eddy_server_unref(r.s.server);
        eddy_future_remove_done_callback(&r.s.client.done_node);
        struct eddy_future *f = r.s.client.future;
        CHECK_INT(eddy_loop_close(r.s.loop), 0);
        CHECK_INT(r.s.client.count[ON_FAILED], 1);
        CHECK_INT(r.s.client.code, EDDY_ELOOP_CLOSED);
        CHECK_INT(r.s.client.count[ON_FINI], 1);
        CHECK_INT(eddy_future_result(f, NULL), EDDY_ELOOP_CLOSED);
        eddy_future_unref(f);
        test_loop_free(r.s.loop);
        CHECK_INT(r.open, 0);
    }
}

static void connect_again(struct actor *a)
{
    struct race *r = a->user;
    a->on[ON_FINI] = NULL;
    r->s.connection_opts.host = NAME;
    CHECK_INT(eddy_create_connection(r->s.loop, &a->own.base, &r->s.connection_opts, NULL), 0);
    actor_begin(a, false);
}

static void R7_connected_again_after_connect_failed(void)
{
    struct race r;
    race_init(&r);
    r.s.connection_opts.host = "nobody.example";
    r.s.client.on[ON_FINI] = connect_again;
    answering(&r, A1);
    CHECK_INT(race_connect(&r), 0);
    UNTIL(&r.s, r.s.client.t);
    CHECK_TRACE(r.trace, "CF(EDNS)@0 1@20 CM@30");
    race_close(&r);
}

const struct test_case test_cases[] = {
    CASE(S1_S5_a_name_is_looked_up_and_connected_to),
    CASE(S1_the_strings_of_the_options_are_copied),
    CASE(S5_the_family_is_asked_for),
    CASE(S5_the_flags_are_those_of_the_look_up),
    CASE(S1_R7_a_name_that_is_not_there),
    CASE(S15_a_literal_address_never_touches_the_resolver),
    CASE(S15_a_scope_ends_up_in_the_address),
    CASE(S14_success_is_logged_in_debug_mode),
    CASE(S7_a_local_name_is_looked_up_at_the_same_time),
    CASE(S7_a_local_name_for_a_numeric_host),
    CASE(S7_of_each_family_its_own_local_address),
    CASE(S7_a_local_port_alone_is_of_any_family),
    CASE(S7_the_first_local_address_that_binds_is_used),
    CASE(S7_no_local_address_binds),
    CASE(S7_no_local_address_of_the_family),
    CASE(S7_a_local_name_that_is_not_there),
    CASE(S1_the_deadline_passes_while_the_name_is_looked_up),
    CASE(S1_the_deadline_passes_while_the_local_name_is_looked_up),
    CASE(S1_one_deadline_over_look_up_and_connecting),
    CASE(S1_no_deadline_but_the_resolvers_own),
    CASE(S1_a_deadline_met_is_forgotten),
    CASE(S1_a_deadline_is_forgotten_after_a_failure),
    CASE(S13_R7_cancelled_at_any_time),
    CASE(R7_aborted_at_any_time),
    CASE(G15_detached_at_any_time),
    CASE(L16_the_loop_is_closed_at_any_time),
    CASE(R7_connected_again_after_connect_failed),
    {NULL, NULL},
};
