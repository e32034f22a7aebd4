/* What cases with up to two endpoints begin and end with: a loop, and a and b on it. */
#ifndef TESTS_CONTRACT_DATAGRAMS_PAIR_H
#define TESTS_CONTRACT_DATAGRAMS_PAIR_H

#include "tests/contract/datagrams_party.h"
#include <eddy/sim.h>

static struct eddy_loop *loop;
static struct party a, b;

static inline void begin(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    REQUIRE(test_loop_new(&loop) == 0);
}

static inline void finish(void)
{
    if (test_sim(loop)) {
        const char *first = NULL;
        CHECK_INT(eddy_sim_violations(test_sim(loop), &first), 0);
    }
    test_loop_free(loop);
}

static inline void end_pair(void)
{
    party_end(&a);
    party_end(&b);
    finish();
}

#endif
