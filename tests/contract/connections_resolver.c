/* backends: select poll epoll io_uring sim sim-late */
/*
 * create_connection with a resolver of the test's own, and with the system's: contract S1, S6, S8,
 * S9, S13, on real sockets too.
 */
#include "tests/contract/executor.h"
#include "tests/support/stream.h"
#include <eddy/resolver.h>
#include <eddy/sim.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- a resolver ---- */

enum manner { AT_ONCE, NEVER, REFUSES, REFUSES_THE_SECOND, CANNOT_OPEN };

static struct {
    enum manner manner;
    const char *hosts[8];
    size_t n;
    int at_work;            /* questions without an answer */
    struct eddy_query last; /* as it was asked */
    int questions, cancelled;
} oracle;

static int oracle_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                       struct eddy_error *error, struct eddy_resolver **ret)
{
    static struct eddy_resolver r;
    (void)loop;
    (void)opts;
    if (oracle.manner == CANNOT_OPEN)
        return eddy_error_set(error, -EACCES, "resolve", "the oracle is closed");
    *ret = &r;
    return 0;
}

static void oracle_close(struct eddy_resolver *r)
{
    (void)r;
}

static int oracle_start(struct eddy_resolver *r, struct eddy_query *q)
{
    struct eddy_addr list[8];
    (void)r;
    oracle.questions++;
    oracle.last = *q;
    if (oracle.manner == REFUSES || (oracle.manner == REFUSES_THE_SECOND && oracle.questions == 2))
        return -EMFILE;
    if (oracle.manner == NEVER || oracle.manner == REFUSES_THE_SECOND) {
        oracle.at_work++;
        return 0;
    }
    for (size_t i = 0; i < oracle.n; i++)
        CHECK_INT(eddy_addr_parse(oracle.hosts[i], 0, &list[i]), 0);
    eddy_query_give_addresses(q, list, oracle.n, NULL, 0);
    return 0;
}

static void oracle_cancel(struct eddy_resolver *r, struct eddy_query *q)
{
    (void)r;
    (void)q;
    oracle.at_work--;
    oracle.cancelled++;
}

static const struct eddy_resolver_class oracle_class = {
    .name = "oracle",
    .abi_size = sizeof oracle_class,
    .open = oracle_open,
    .close = oracle_close,
    .start = oracle_start,
    .cancel = oracle_cancel,
};

static void ask_for(struct stage *s, enum manner manner, const char *a, const char *b,
                    const char *c)
{
    memset(&oracle, 0, sizeof oracle);
    oracle.manner = manner;
    oracle.hosts[0] = a;
    oracle.hosts[1] = b;
    oracle.hosts[2] = c;
    while (oracle.hosts[oracle.n])
        oracle.n++;
    stage_init(s);
    s->connection_opts.host = "any.example";
}

/* As stage_begin, with a resolver. */
static void begin_with(struct stage *s, const struct eddy_resolver_opts *resolver)
{
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &s->problems,
                                         .resolver = resolver),
                               &s->loop) == 0);
    s->sys = test_is_sim() ? eddy_sim_sys(test_sim(s->loop)) : eddy_sys_posix();
    s->descriptors = stage_descriptors(s);
    REQUIRE(stage_create_server(s, &s->server) == 0);
    s->port = stage_port(s->server);
}

static void begin(struct stage *s)
{
    begin_with(s, EDDY_RESOLVER(.cls = &oracle_class));
}

/* ---- answers ---- */

static void S1_S5_what_the_resolver_is_asked(void)
{
    struct stage s;
    ask_for(&s, AT_ONCE, "127.0.0.1", NULL, NULL);
    s.connection_opts.family = AF_INET;
    s.connection_opts.flags = AI_ADDRCONFIG;
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_INT(oracle.questions, 1);
    CHECK_INT(oracle.last.type, SOCK_STREAM);
    CHECK_INT(oracle.last.family, AF_INET);
    CHECK_INT(oracle.last.flags, AI_ADDRCONFIG);
    CHECK_INT(oracle.last.port, s.port);
    CHECK_TRACE(s.client.trace, ""); /* from the loop, though the answer is there */
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_TRACE(s.client.trace, "CM RET");
    CHECK_INT(actor_write(&s.client, 10), 0);
    UNTIL(&s, s.peer.received == 10);
    stage_close(&s);
}

static void S7_a_local_name_is_asked_for_in_the_family_of_the_address(void)
{
    struct stage s;
    ask_for(&s, AT_ONCE, "127.0.0.1", NULL, NULL);
    s.connection_opts.host = "127.0.0.1";
    s.connection_opts.local_host = "here.example";
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    CHECK_INT(oracle.questions, 1);
    CHECK_INT(oracle.last.family, AF_INET);
    CHECK_INT(oracle.last.port, 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static void S6_S9_addresses_that_refuse_are_passed_over(void)
{
    for (int sequential = 0; sequential < 2; sequential++) {
        struct stage s;
        ask_for(&s, AT_ONCE, "127.0.0.2", "127.0.0.3", "127.0.0.1");
        s.connection_opts.happy_eyeballs_delay = sequential ? EDDY_OFF : EDDY_SEC(100);
        begin(&s);
        CHECK_INT(actor_connect(&s.client), 0);
        UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
        CHECK_INT(s.client.status, 0);
        stage_close(&s);
    }
}

static void S8_R7_all_addresses_refuse(void)
{
    struct stage s;
    ask_for(&s, AT_ONCE, "127.0.0.2", "127.0.0.3", NULL);
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(ECONNREFUSED) RET(ECONNREFUSED)");
    CHECK(strstr(s.client.error.text, "any.example") != NULL);
    CHECK(strstr(s.client.error.text, ": 2 attempts failed: 127.0.0.2:") != NULL);
    CHECK(strstr(s.client.error.text, "; 127.0.0.3:") != NULL);
    stage_close(&s);
}

static void S9_an_address_beyond_this_host_is_no_matter(void)
{
    struct stage s;
    if (test_is_sim())
        return;
    /* Unreachable or silent, whatever the machine: the other one is there in no time. */
    ask_for(&s, AT_ONCE, "192.0.2.1", "127.0.0.1", NULL);
    s.connection_opts.happy_eyeballs_delay = EDDY_MSEC(5);
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_INT(s.client.status, 0);
    stage_close(&s);
}

static void S1_localhost_by_the_resolvers_of_this_build(void)
{
    const char *name;
    if (test_is_sim())
        return;
    for (unsigned i = 0; (name = eddy_resolver_name(i)) != NULL; i++) {
        struct stage s;
        long live = test_live_allocations();
        stage_init(&s);
        s.connection_opts.host = "localhost"; /* [::1] refuses, or is not there */
        begin_with(&s, EDDY_RESOLVER(.name = name));
        CHECK_INT(actor_connect(&s.client), 0);
        UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
        CHECK_INT(s.client.status, 0);
        stage_close(&s);
        wait_for_allocations(live); /* of threads that end by themselves */
    }
}

/* ---- no answers ---- */

static void S1_a_resolver_that_refuses_fails_the_call(void)
{
    struct stage s;
    struct eddy_error error = {.code = 0};
    ask_for(&s, REFUSES, NULL, NULL, NULL);
    s.connection_opts.error = &error;
    begin(&s);
    CHECK_INT(actor_connect(&s.client), -EMFILE);
    CHECK_INT(error.code, -EMFILE);
    CHECK(strstr(error.text, "any.example") != NULL);
    CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    stage_settle(&s);
    CHECK_TRACE(s.client.trace, "");
    stage_close(&s);
}

static void S1_a_resolver_that_cannot_open_fails_the_call(void)
{
    struct stage s;
    struct eddy_error error = {.code = 0};
    ask_for(&s, CANNOT_OPEN, NULL, NULL, NULL);
    s.connection_opts.error = &error;
    begin(&s);
    CHECK_INT(actor_connect(&s.client), -EACCES);
    CHECK_STR(error.text, "the oracle is closed");
    stage_close(&s);
}

/* The first question is taken back when the second cannot be put. */
static void S7_the_second_look_up_fails_the_call(void)
{
    struct stage s;
    ask_for(&s, REFUSES_THE_SECOND, NULL, NULL, NULL);
    s.connection_opts.local_host = "here.example";
    begin(&s);
    CHECK_INT(actor_connect(&s.client), -EMFILE);
    CHECK_INT(oracle.questions, 2);
    CHECK_INT(oracle.at_work, 0);
    CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    stage_settle(&s);
    stage_close(&s);
}

static void S13_a_cancelled_future_cancels_the_look_up(void)
{
    struct stage s;
    ask_for(&s, NEVER, NULL, NULL, NULL);
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    stage_settle(&s);
    CHECK_INT(oracle.at_work, 1);
    CHECK(eddy_future_cancel(s.client.future, NULL));
    CHECK_INT(oracle.at_work, 0); /* at once */
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(ECANCELED) RET(ECANCELED)");
    stage_close(&s);
}

static void S1_a_deadline_on_a_silent_resolver(void)
{
    struct stage s;
    ask_for(&s, NEVER, NULL, NULL, NULL);
    s.connection_opts.timeout = EDDY_MSEC(20);
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(ETIMEDOUT) RET(ETIMEDOUT)");
    CHECK_INT(oracle.cancelled, 1);
    CHECK(strstr(s.client.error.text, "any.example was not looked up") != NULL);
    stage_close(&s);
}

/* ---- no descriptors ---- */

enum { FILLERS = 64 }; /* more than there are gaps */

/* Just `room` more descriptors can be opened. */
static void leave_room_for(struct stage *s, int room)
{
    struct rlimit limit;
    int highest = 0;
    for (int i = 0; i < FILLERS; i++) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd > highest)
            highest = fd;
    }
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)(highest + 1 + room);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    s->descriptors += FILLERS;
}

static void connect_without_descriptors(void *user)
{
    struct stage s;
    (void)user;
    ask_for(&s, AT_ONCE, "127.0.0.2", "127.0.0.1", NULL);
    begin(&s);
    leave_room_for(&s, 0);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CF(EMFILE) RET(EMFILE)");
    stage_close(&s);
}

/* One for the client, one for the server's end: each that failed is closed before the next. */
static void connect_with_two_descriptors(void *user)
{
    struct stage s;
    (void)user;
    ask_for(&s, AT_ONCE, "127.0.0.2", "127.0.0.3", "127.0.0.1");
    begin(&s);
    leave_room_for(&s, 2);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.peer.count[ON_MADE] == 1);
    CHECK_TRACE(s.client.trace, "CM RET");
    s.expected_problems = s.problems.count; /* accept's: Linux looks for a descriptor first */
    stage_close(&s);
}

static void S8_G3_without_descriptors_each_attempt_fails(void)
{
    if (!test_is_sim())
        test_in_child(connect_without_descriptors, NULL);
}

static void S6_one_descriptor_is_enough_for_many_attempts(void)
{
    if (!test_is_sim())
        test_in_child(connect_with_two_descriptors, NULL);
}

const struct test_case test_cases[] = {
    CASE(S1_S5_what_the_resolver_is_asked),
    CASE(S7_a_local_name_is_asked_for_in_the_family_of_the_address),
    CASE(S6_S9_addresses_that_refuse_are_passed_over),
    CASE(S8_R7_all_addresses_refuse),
    CASE(S9_an_address_beyond_this_host_is_no_matter),
    CASE(S1_localhost_by_the_resolvers_of_this_build),
    CASE(S1_a_resolver_that_refuses_fails_the_call),
    CASE(S1_a_resolver_that_cannot_open_fails_the_call),
    CASE(S7_the_second_look_up_fails_the_call),
    CASE(S13_a_cancelled_future_cancels_the_look_up),
    CASE(S1_a_deadline_on_a_silent_resolver),
    CASE(S8_G3_without_descriptors_each_attempt_fails),
    CASE(S6_one_descriptor_is_enough_for_many_attempts),
    {NULL, NULL},
};
