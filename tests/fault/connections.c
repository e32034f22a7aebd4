/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * Clients of a name with several addresses, from a local name: the nth allocation fails, or, on the
 * simulated system, the nth call of each kind. Contract G3, G5, S6 to S9, S13, R7: it is told once,
 * an attempt that fails for it leaves its turn to the next, and nothing is left open or allocated.
 */
#include "tests/support/stream.h"
#include <eddy/resolver.h>
#include <eddy/sim.h>
#include <stdio.h>
#include <string.h>

#define NAME "many.example"
#define HERE "here.example"

/* ---- a resolver that knows two names ---- */

static int oracle_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                       struct eddy_error *error, struct eddy_resolver **ret)
{
    static struct eddy_resolver r;
    (void)loop;
    (void)opts;
    (void)error;
    *ret = &r;
    return 0;
}

static void oracle_close(struct eddy_resolver *r)
{
    (void)r;
}

static int oracle_start(struct eddy_resolver *r, struct eddy_query *q)
{
    static const char *const many[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1"};
    struct eddy_addr list[3];
    bool here = strcmp(q->host, HERE) == 0;
    size_t n = here ? 1 : strcmp(q->host, NAME) == 0 ? 3 : 2;
    (void)r;
    for (size_t i = 0; i < n; i++)
        eddy_addr_parse(here ? "127.0.0.4" : many[i], 0, &list[i]);
    eddy_query_give_addresses(q, list, n, NULL, 0);
    return 0;
}

static void oracle_cancel(struct eddy_resolver *r, struct eddy_query *q)
{
    (void)r;
    (void)q;
}

static const struct eddy_resolver_class oracle_class = {
    .name = "oracle",
    .abi_size = sizeof oracle_class,
    .open = oracle_open,
    .close = oracle_close,
    .start = oracle_start,
    .cancel = oracle_cancel,
};

/* ---- one connection ---- */

static void begin(struct stage *s)
{
    stage_init(s);
    REQUIRE(test_loop_new_opts(
                EDDY_LOOP(.on_problem = test_on_problem, .user = &s->problems,
                          .resolver = EDDY_RESOLVER(.cls = &oracle_class, .no_cache = true)),
                &s->loop) == 0);
    s->sys = test_is_sim() ? eddy_sim_sys(test_sim(s->loop)) : eddy_sys_posix();
    s->descriptors = stage_descriptors(s);
    REQUIRE(stage_create_server(s, &s->server) == 0);
    s->port = stage_port(s->server);
    s->connection_opts = *EDDY_CONNECTION(.host = NAME, .local_host = HERE, .keep_alive = true,
                                          .timeout = EDDY_SEC(60), .write_high = 1000);
}

struct tally {
    int refused, failed, made;
};

/* All that can come of it: a call refused, an attempt told to have failed, or a connection. */
static void connect_once(struct stage *s, struct tally *t, int code)
{
    int before = stage_descriptors(s);
    int err = actor_connect(&s->client);
    if (err < 0) {
        CHECK_INT(err, code);
        CHECK(!eddy_protocol_is_attached(&s->client.own.base));
        t->refused++;
        return;
    }
    UNTIL(s, s->client.done && (s->client.t || s->client.count[ON_FINI] > 0));
    CHECK_INT(s->client.count[ON_MADE] + s->client.count[ON_FAILED], 1);
    if (s->client.count[ON_FAILED]) {
        CHECK(s->client.code == code || s->client.code == -ECONNREFUSED ||
              s->client.code == EDDY_EMULTIPLE);
        CHECK(s->client.error.text[0] != '\0');
        CHECK_INT(s->client.status, s->client.code);
        t->failed++;
    } else {
        t->made++;
        eddy_transport_abort(s->client.t, NULL);
        UNTIL(s, s->client.count[ON_FINI] == 1);
    }
    if (s->peer.p)
        eddy_protocol_abort(s->peer.p, NULL);
    UNTIL(s, stage_descriptors(s) == before);
}

/* ---- memory ---- */

static bool run_without_memory(long n, struct tally *t)
{
    struct stage s;
    begin(&s);
    s.connection_opts.all_errors = n % 2 == 0;
    eddy_protocol_init(&s.client.own.base, &actor_class);
    test_fail_allocation(n);
    connect_once(&s, t, -ENOMEM);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    s.expected_problems = s.problems.count; /* the server's side may be the one to go without */
    stage_close(&s);
    return failed;
}

static void G5_S8_S13_each_allocation_fails_once(void)
{
    struct tally t = {0, 0, 0};
    long n = 1;
    while (n < 1000 && run_without_memory(n, &t)) {
        if (CU_get_number_of_failures() > 0) {
            FAIL("... at allocation %ld", n);
            break;
        }
        n++;
    }
    CHECK(n > 10 && n < 1000);
    CHECK(t.refused > 0);
    CHECK(t.failed > 0); /* no memory for the list of attempts */
    CHECK(t.made > 1);   /* an attempt that had none left its turn to the next */
}

static bool refuse_without_memory(long n, int *complete)
{
    struct stage s;
    begin(&s);
    s.connection_opts.host = "refusing.example";
    s.connection_opts.all_errors = true;
    test_fail_allocation(n);
    int err = actor_connect(&s.client);
    struct eddy_future *f = err == 0 ? eddy_future_ref(s.client.future) : NULL;
    if (f)
        UNTIL(&s, s.client.done && s.client.count[ON_FINI] == 1);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    const struct eddy_error *e = eddy_future_error(f);
    if (e && e->code == EDDY_EMULTIPLE) {
        CHECK(e->detail == 2 || (e->detail == 0 && e->children == NULL));
        CHECK(strstr(e->text, "2 attempts failed: ") != NULL);
        *complete += e->detail == 2;
    } else {
        CHECK_INT(e ? e->code : err, -ENOMEM);
    }
    eddy_future_unref(f);
    stage_close(&s);
    return failed;
}

static void G2_G5_S8_children_without_memory_are_left_out(void)
{
    int complete = 0;
    long n = 1;
    while (n < 1000 && refuse_without_memory(n, &complete))
        n++;
    CHECK(n > 10 && n < 1000);
    CHECK(complete > 1 && complete < n - 1);
}

/* ---- system calls ---- */

static bool run_without_call(enum eddy_sim_call call, unsigned long nth, struct tally *t)
{
    struct stage s;
    begin(&s);
    CHECK_INT(actor_connect(&s.client), 0); /* the loop's own calls are over */
    eddy_future_cancel(s.client.future, NULL);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    actor_init(&s.client, &s);
    unsigned long before = eddy_sim_calls(test_sim(s.loop), call);
    CHECK_INT(eddy_sim_fail(test_sim(s.loop), call, nth, -EACCES), 0);
    connect_once(&s, t, -EACCES);
    bool came = eddy_sim_calls(test_sim(s.loop), call) >= before + nth;
    eddy_sim_fail_none(test_sim(s.loop));
    s.expected_problems = s.problems.count;
    stage_close(&s);
    return came;
}

static void G3_S6_S9_each_system_call_fails_once(void)
{
    static const enum eddy_sim_call calls[] = {
        EDDY_SIM_SOCKET,   EDDY_SIM_BIND,       EDDY_SIM_CONNECT,    EDDY_SIM_ERROR,
        EDDY_SIM_SOCKNAME, EDDY_SIM_SETSOCKOPT, EDDY_SIM_SELECT_SET,
    };
    if (!test_is_sim())
        return;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct tally t = {0, 0, 0};
        unsigned long nth = 1;
        while (nth < 100 && run_without_call(calls[i], nth, &t)) {
            if (CU_get_number_of_failures() > 0) {
                FAIL("... at call %lu of kind %d", nth, (int)calls[i]);
                return;
            }
            nth++;
        }
        CHECK(nth < 100);
        CHECK(t.made > 0);
        CHECK_INT(t.refused, 0);
    }
}

const struct test_case test_cases[] = {
    CASE(G5_S8_S13_each_allocation_fails_once),
    CASE(G2_G5_S8_children_without_memory_are_left_out),
    CASE(G3_S6_S9_each_system_call_fails_once),
    {NULL, NULL},
};
