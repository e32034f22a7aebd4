/* backends: sim sim-late */
/* timeout: 240 */
/*
 * Each system call fails once, at each of its calls in a whole life, with each error that it knows:
 * contract T12, T16, T30, T34, S25, S27, S28, D7. What is passing must not be noticed at all; what
 * is not ends what it concerns, with that error, and nothing else.
 */
#include "tests/support/exchange.h"
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <string.h>

#define MOST_CALLS 150 /* of one kind, each of which is made to fail */

struct fault {
    enum eddy_sim_call call;
    int error;
    bool passing; /* nobody notices */
};

struct plan {
    const struct fault *fault;
    unsigned long nth;  /* 0: none fails */
    unsigned long made; /* calls in all */
};

static void arm(struct exchange *x)
{
    struct plan *plan = x->user;
    plan->made = eddy_sim_calls(x->sim, plan->fault->call);
    if (plan->nth > 0)
        CHECK_INT(eddy_sim_fail(x->sim, plan->fault->call, plan->nth, plan->fault->error), 0);
}

static void count(struct exchange *x)
{
    struct plan *plan = x->user;
    const char *first;
    plan->made = eddy_sim_calls(x->sim, plan->fault->call) - plan->made;
    if (eddy_sim_violations(x->sim, &first) > 0)
        FAIL("rules of the seam were broken: %s", first);
    eddy_sim_fail_none(x->sim);
}

static unsigned long run(const struct fault *fault, unsigned long nth)
{
    struct exchange x;
    struct plan plan = {.fault = fault, .nth = nth};
    memset(&x, 0, sizeof x);
    x.prepare = arm;
    x.inspect = count;
    x.user = &plan;
    unsigned before = CU_get_number_of_failure_records();
    exchange_run(&x);
    exchange_check(&x);
    bool perfect = exchange_is_perfect(&x);
    if (nth == 0 || fault->passing)
        CHECK(perfect);
    else
        CHECK(perfect || exchange_has_reported(&x, fault->error) ||
              (fault->call == EDDY_SIM_SOCKNAME && x.result == -EINVAL));
    if (CU_get_number_of_failure_records() != before)
        FAIL("... call %d, number %lu, %s: result %d, status %d, run %d, client %d (%d), server %d "
             "(%d), %d problems (%d), %zu bytes",
             (int)fault->call, nth, test_code(fault->error), x.result, x.status, x.run,
             x.client.made, x.client.code, x.server.made, x.server.code, x.problems, x.problem_code,
             x.received);
    return plan.made;
}

static void sweep(const struct fault *faults, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned long calls = run(&faults[i], 0);
        for (unsigned long nth = 1; nth <= calls && nth <= MOST_CALLS; nth++)
            run(&faults[i], nth);
    }
}

#define SWEEP(faults) sweep(faults, sizeof(faults) / sizeof(faults)[0])

static void T30_T34_D7_recv_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_RECV, -EAGAIN, true},        {EDDY_SIM_RECV, -ECONNRESET, false},
        {EDDY_SIM_RECV, -ETIMEDOUT, false},    {EDDY_SIM_RECV, -ENOBUFS, false},
        {EDDY_SIM_RECV, -EHOSTUNREACH, false},
    };
    SWEEP(faults);
}

static void T12_T16_T34_D7_send_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SEND, -EAGAIN, true},      {EDDY_SIM_SEND, -EPIPE, false},
        {EDDY_SIM_SEND, -ECONNRESET, false}, {EDDY_SIM_SEND, -ETIMEDOUT, false},
        {EDDY_SIM_SEND, -ENOBUFS, false},
    };
    SWEEP(faults);
}

static void S25_S27_S28_D7_accept_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_ACCEPT, -EAGAIN, true},  {EDDY_SIM_ACCEPT, -ECONNABORTED, true},
        {EDDY_SIM_ACCEPT, -EMFILE, false}, {EDDY_SIM_ACCEPT, -ENFILE, false},
        {EDDY_SIM_ACCEPT, -ENOMEM, false}, {EDDY_SIM_ACCEPT, -ENOBUFS, false},
        {EDDY_SIM_ACCEPT, -EPERM, false},  {EDDY_SIM_ACCEPT, -EPROTO, false},
    };
    SWEEP(faults);
}

static void R7_D7_connecting_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_CONNECT, -ECONNREFUSED, false},  {EDDY_SIM_CONNECT, -ETIMEDOUT, false},
        {EDDY_SIM_CONNECT, -EADDRNOTAVAIL, false}, {EDDY_SIM_CONNECT, -ENOBUFS, false},
        {EDDY_SIM_ERROR, -ECONNREFUSED, false},    {EDDY_SIM_ERROR, -ETIMEDOUT, false},
    };
    SWEEP(faults);
}

static void G3_S22_D7_making_sockets_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SOCKET, -EMFILE, false},   {EDDY_SIM_SOCKET, -ENFILE, false},
        {EDDY_SIM_SOCKET, -ENOMEM, false},   {EDDY_SIM_SOCKET, -ENOBUFS, false},
        {EDDY_SIM_BIND, -EADDRINUSE, false}, {EDDY_SIM_BIND, -EACCES, false},
        {EDDY_SIM_BIND, -ENOBUFS, false},    {EDDY_SIM_LISTEN, -EADDRINUSE, false},
    };
    SWEEP(faults);
}

/* What may go wrong without harm: an option not set, a name not told, a half-close that comes too
 * late. */
static void G3_D7_lesser_calls_fail_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SETSOCKOPT, -ENOBUFS, false}, {EDDY_SIM_SETSOCKOPT, -EINVAL, false},
        {EDDY_SIM_GETSOCKOPT, -ENOBUFS, false}, {EDDY_SIM_SOCKNAME, -ENOBUFS, false},
        {EDDY_SIM_PEERNAME, -ENOTCONN, false},  {EDDY_SIM_SHUTDOWN, -ENOBUFS, false},
        {EDDY_SIM_PENDING, -EINVAL, false},
    };
    SWEEP(faults);
}

static void G3_D7_the_selector_refuses_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_SELECT_SET, -ENOMEM, false},
        {EDDY_SIM_SELECT_SET, -ENOSPC, false},
        {EDDY_SIM_SELECT_WAIT, -EBADF, false},
    };
    SWEEP(faults);
}

const struct test_case test_cases[] = {
    CASE(T30_T34_D7_recv_fails_once),          CASE(T12_T16_T34_D7_send_fails_once),
    CASE(S25_S27_S28_D7_accept_fails_once),    CASE(R7_D7_connecting_fails_once),
    CASE(G3_S22_D7_making_sockets_fails_once), CASE(G3_D7_lesser_calls_fail_once),
    CASE(G3_D7_the_selector_refuses_once),     {NULL, NULL},
};
