/* What the tests of the simulated network share: a simulator, used by its system calls alone. */
#ifndef TESTS_UNIT_SIM_H
#define TESTS_UNIT_SIM_H

#include "tests/support/test.h"
#include <eddy/sim.h>
#include <string.h>

static struct eddy_sim *sim;
static struct eddy_sys *sys;

static inline void begin(const struct eddy_sim_opts *opts)
{
    REQUIRE(eddy_sim_new(opts, &sim) == 0);
    sys = eddy_sim_sys(sim);
}

static inline void end(void)
{
    CHECK_INT(eddy_sim_violations(sim, NULL), 0);
    eddy_sim_free(sim);
    sim = NULL;
}

static inline struct eddy_addr addr(const char *host, int port)
{
    struct eddy_addr a;

    memset(&a, 0, sizeof a);
    CHECK_INT(eddy_addr_parse(host, port, &a), 0);
    return a;
}

#endif
