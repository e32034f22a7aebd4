/* backends: select poll epoll sim sim-late */
/* timeout: 120 */
/*
 * No memory at the nth allocation, for every n of a whole life: contract G3, G5, D7. What fails
 * says so, what is lost is lost with -ENOMEM, and nothing else is: main checks that nothing leaks.
 */
#include "tests/support/exchange.h"
#include <string.h>

static int calls_refused, connections_lost;

/* One connection, n times over, with only the nth allocation failing. Returns whether it came to
 * that. */
static bool run_with_failure(long n)
{
    struct exchange x;
    memset(&x, 0, sizeof x);
    long live = test_live_allocations();
    int open = test_open_descriptors();
    unsigned before = CU_get_number_of_failure_records();
    test_fail_allocation(n);
    exchange_run(&x);
    bool failed = test_allocation_failed();
    test_fail_allocation(0);
    calls_refused += x.result == -ENOMEM;
    connections_lost += x.client.code == -ENOMEM || x.server.code == -ENOMEM;
    exchange_check(&x);
    CHECK_INT(test_live_allocations(), live);
    CHECK_INT(test_open_descriptors(), open);
    if (failed)
        CHECK(exchange_is_perfect(&x) || exchange_has_reported(&x, -ENOMEM));
    else
        CHECK(exchange_is_perfect(&x));
    if (CU_get_number_of_failure_records() != before)
        FAIL("... at allocation %ld: result %d, status %d, run %d, client %d (%d), server %d (%d), "
             "%d problems (%d), %zu bytes",
             n, x.result, x.status, x.run, x.client.made, x.client.code, x.server.made,
             x.server.code, x.problems, x.problem_code, x.received);
    return failed;
}

static void G5_D7_each_allocation_of_an_exchange_fails_once(void)
{
    long n = 1;
    while (run_with_failure(n) && n < 5000)
        n++;
    CHECK(calls_refused > 0);
    CHECK(connections_lost > 0);
}

static void G5_the_exchange_works_when_nothing_fails(void)
{
    struct exchange x;
    memset(&x, 0, sizeof x);
    exchange_run(&x);
    exchange_check(&x);
    CHECK(exchange_is_perfect(&x));
}

const struct test_case test_cases[] = {
    {"G5_the_exchange_works_when_nothing_fails", G5_the_exchange_works_when_nothing_fails},
    {"G5_D7_each_allocation_of_an_exchange_fails_once",
     G5_D7_each_allocation_of_an_exchange_fails_once},
    {NULL, NULL},
};
