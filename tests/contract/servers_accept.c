/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* Accepting: contract S.3, S53's limit. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <string.h>

static void S26_accepted_from_the_loop(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    CHECK_INT(eddy_server_start_serving(s.server), 0);
    CHECK_INT(eddy_server_connections(s.server), 0);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.peer.count[ON_INIT], 1);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S25_many_connections_in_one_go(void)
{
    enum { MANY = 20 };
    struct stage s;
    struct actor guests[MANY - 1];
    int fds[MANY];
    int iterations = 0;
    stage_init(&s);
    for (int i = 0; i < MANY - 1; i++)
        stage_add(&s, &guests[i], true);
    stage_begin(&s);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connecting(&s);
    for (eddy_nsec end = stage_patience(&s);
         eddy_server_connections(s.server) < MANY && stage_step(&s, end);)
        iterations += eddy_server_connections(s.server) > 0;
    UNTIL(&s, guests[MANY - 2].count[ON_MADE] == 1);
    if (test_is_sim() && !stage_is_late())
        CHECK(iterations <= 2);
    for (int i = 0; i < MANY; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void close_server(struct actor *a)
{
    eddy_server_close(a->stage->server);
}

/* Three wait in the backlog; the first one's init or connection_made closes the server. */
static void closed_while_accepting(enum slot slot)
{
    struct stage s;
    struct actor second, third;
    int fds[3];
    stage_init(&s);
    stage_add(&s, &second, true);
    stage_add(&s, &third, true);
    s.peer.on[slot] = close_server;
    stage_begin(&s);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_connecting(&s);
    UNTIL(&s, s.peer.count[slot] == 1);
    CHECK(!eddy_server_is_serving(s.server));
    stage_settle(&s);
    if (slot == ON_INIT) {
        CHECK_INT(second.count[ON_INIT], 0);
        CHECK_INT(third.count[ON_INIT], 0);
    }
    CHECK_INT(second.count[ON_INIT], second.count[ON_MADE]);
    for (int i = 0; i < 3; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void S30_S39_closed_in_init(void)
{
    closed_while_accepting(ON_INIT);
}

static void S39_closed_in_connection_made(void)
{
    closed_while_accepting(ON_MADE);
}

static void S30_no_factory_call_after_close(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    int fd = raw_connecting(&s);
    eddy_server_close(s.server);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_INIT], 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void max_connections(unsigned limit)
{
    struct stage s;
    struct actor second, third;
    int fds[3];
    stage_init(&s);
    stage_add(&s, &second, true);
    stage_add(&s, &third, true);
    s.server_opts.max_connections = limit;
    stage_begin(&s);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_connect(&s);
    UNTIL(&s, eddy_server_connections(s.server) == limit);
    stage_settle(&s);
    CHECK_INT(eddy_server_connections(s.server), limit);
    CHECK_INT(s.guest_next, limit);
    for (int i = 0; i < 3; i++) {
        raw_close(&s, fds[i]);
        UNTIL(&s, s.guests[i]->count[ON_FINI] == 1);
    }
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    CHECK_INT(s.guest_next, 3);
    stage_close(&s);
}

static void S53_at_the_limit_others_wait(void)
{
    max_connections(1);
    max_connections(2);
}

/* ---- want of resources ---- */

static void accept_waits_for_resources(int error)
{
    struct stage s;
    if (!test_is_sim())
        return; /* tests/fault/resources.c has the real one */
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, error), 0);
    eddy_nsec begin = eddy_loop_time(s.loop);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    CHECK(strstr(s.problems.message, "accept out of system resource") != NULL);
    CHECK_INT(s.problems.code, error);
    CHECK(s.problems.server == s.server);
    CHECK_INT(s.peer.count[ON_MADE], 0);
    unsigned long calls = eddy_sim_calls(test_sim(s.loop), EDDY_SIM_ACCEPT);
    stage_run_for(&s, EDDY_MSEC(800));
    CHECK_INT(eddy_sim_calls(test_sim(s.loop), EDDY_SIM_ACCEPT), calls);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    eddy_nsec took = eddy_loop_time(s.loop) - begin;
    CHECK(took >= EDDY_SEC(1) && took < EDDY_MSEC(1500));
    raw_close(&s, fd);
    stage_close(&s);
}

static void S27_each_want_of_resources(void)
{
    accept_waits_for_resources(-EMFILE);
    accept_waits_for_resources(-ENFILE);
    accept_waits_for_resources(-ENOBUFS);
    accept_waits_for_resources(-ENOMEM);
}

static void S27_resumes_when_a_connection_has_closed(void)
{
    struct stage s;
    struct actor second;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_add(&s, &second, true);
    s.expected_problems = 1;
    stage_begin(&s);
    int first = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EMFILE), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    eddy_nsec begin = eddy_loop_time(s.loop);
    raw_close(&s, first);
    UNTIL(&s, second.count[ON_MADE] == 1);
    CHECK(eddy_loop_time(s.loop) - begin < EDDY_MSEC(500));
    raw_close(&s, fd);
    stage_close(&s);
}

static void S27_the_retry_of_a_closed_server(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EMFILE), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.problems.count == 1);
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    s.server = NULL;
    stage_run_for(&s, EDDY_SEC(5));
    CHECK_INT(s.peer.count[ON_INIT], 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S28_other_accept_errors_are_reported(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    s.expected_problems = 1;
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -EPERM), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.problems.count, 1);
    CHECK_INT(s.problems.code, -EPERM);
    raw_close(&s, fd);
    stage_close(&s);
}

static void S25_an_aborted_connection_is_skipped(void)
{
    struct stage s;
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_ACCEPT, 1, -ECONNABORTED), 0);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.problems.count, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void ignore_readiness(struct eddy_watch *w, unsigned events)
{
    (void)w;
    (void)events;
}

/* A watch that is removed frees none. */
static void S27_only_a_descriptor_that_is_free_again_ends_the_rest(void)
{
    struct stage s;
    struct eddy_sim_stats stats;
    eddy_fd fds[2];
    if (!test_is_sim())
        return;
    stage_init(&s);
    stage_begin(&s);
    struct eddy_sim *sim = test_sim(s.loop);
    CHECK_INT(eddy_sim_pair(sim, fds), 0);
    int fd = raw_connecting(&s);
    eddy_sim_get_stats(sim, &stats);
    eddy_sim_set_max_fds(sim, stats.open);
    UNTIL(&s, s.problems.count == 1);
    for (int i = 0; i < 10; i++) {
        struct eddy_watch w = {.fn = ignore_readiness};
        CHECK_INT(eddy_loop_add_watch(s.loop, &w, fds[0], EDDY_READ), 0);
        eddy_watch_remove(&w);
        test_run_steps(s.loop, 3);
    }
    CHECK_INT(s.problems.count, 1);
    eddy_sim_set_max_fds(sim, stats.open + 1);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    raw_close(&s, fd);
    raw_close(&s, fds[0]);
    raw_close(&s, fds[1]);
    s.expected_problems = 1;
    stage_close(&s);
}

/* epoll's max_user_watches: the listener is armed again when the rest is over. */
static void S27_a_selector_that_takes_no_more(void)
{
    struct stage s;
    if (!test_is_sim() || stage_is_late())
        return;
    stage_init(&s);
    stage_begin(&s);
    for (unsigned long nth = 1; nth <= 2; nth++) /* it is tried once more before it is reported */
        CHECK_INT(eddy_sim_fail(test_sim(s.loop), EDDY_SIM_SELECT_SET, nth, -ENOSPC), 0);
    UNTIL(&s, s.problems.count == 1);
    CHECK_INT(s.problems.code, -ENOSPC);
    int fd = raw_connecting(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    raw_close(&s, fd);
    s.expected_problems = 1;
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(S26_accepted_from_the_loop),
    CASE(S25_many_connections_in_one_go),
    CASE(S30_S39_closed_in_init),
    CASE(S39_closed_in_connection_made),
    CASE(S30_no_factory_call_after_close),
    CASE(S53_at_the_limit_others_wait),
    CASE(S27_each_want_of_resources),
    CASE(S27_resumes_when_a_connection_has_closed),
    CASE(S27_the_retry_of_a_closed_server),
    CASE(S28_other_accept_errors_are_reported),
    CASE(S25_an_aborted_connection_is_skipped),
    CASE(S27_only_a_descriptor_that_is_free_again_ends_the_rest),
    CASE(S27_a_selector_that_takes_no_more),
    {NULL, NULL},
};
