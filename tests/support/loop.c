/* Loops over the backend under test. */
#include "tests/support/test.h"
#include <stdlib.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<eddy/sim.h>)
#include <eddy/sim.h>
#define HAVE_SIM
#endif
#endif

/* Which simulator is below which loop. */
struct pair {
    struct eddy_loop *loop;
    struct eddy_sim *sim;
};
static struct pair pairs[8];

const char *test_backend(void)
{
    const char *name = getenv("EDDY_TEST_BACKEND");
    return name && *name ? name : NULL;
}

bool test_is_sim(void)
{
    const char *name = test_backend();
    return name && strncmp(name, "sim", 3) == 0;
}

static struct pair *find_pair(const struct eddy_loop *loop)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].loop == loop)
            return &pairs[i];
    }
    return NULL;
}

#ifdef HAVE_SIM
static const struct eddy_sim_opts *next_sim;

void test_next_sim(const struct eddy_sim_opts *opts)
{
    next_sim = opts;
}

static int sim_loop_new(const struct eddy_loop_opts *opts, struct eddy_loop **ret)
{
    struct pair *pair = find_pair(NULL);
    REQUIRE(pair != NULL);
    struct eddy_sim *sim = NULL;
    int err = eddy_sim_new(next_sim, &sim);
    next_sim = NULL;
    if (err < 0)
        return err;
    err = eddy_sim_loop_new(sim, strcmp(test_backend(), "sim-late") == 0, opts, ret);
    if (err < 0) {
        eddy_sim_free(sim);
        return err;
    }
    pair->loop = *ret;
    pair->sim = sim;
    return 0;
}
#endif

int test_loop_new_opts(const struct eddy_loop_opts *opts, struct eddy_loop **ret)
{
#ifdef HAVE_SIM
    if (test_is_sim())
        return sim_loop_new(opts, ret);
#endif
    struct eddy_loop_opts chosen = *opts;
    chosen.backend = test_backend();
    return eddy_loop_new(&chosen, ret);
}

int test_loop_new(struct eddy_loop **ret)
{
    return test_loop_new_opts(EDDY_LOOP(.backend = NULL), ret);
}

struct eddy_sim *test_sim(const struct eddy_loop *loop)
{
    struct pair *pair = find_pair(loop);
    return pair ? pair->sim : NULL;
}

void test_loop_free(struct eddy_loop *loop)
{
    CHECK_INT(eddy_loop_close(loop), 0);
    struct pair *pair = find_pair(loop);
    eddy_loop_unref(loop);
#ifdef HAVE_SIM
    if (pair) {
        eddy_sim_free(pair->sim);
        pair->loop = NULL;
        pair->sim = NULL;
    }
#else
    (void)pair;
#endif
}

bool test_run_until(struct eddy_loop *loop, bool (*done)(void *user), void *user)
{
    eddy_nsec deadline = eddy_loop_time(loop) + TEST_DEADLINE;
    while (!done(user)) {
        eddy_nsec left = deadline - eddy_loop_time(loop);
        if (left <= 0) {
            FAIL("nothing more came in %lld s", (long long)(TEST_DEADLINE / EDDY_SEC(1)));
            return false;
        }
        int err = eddy_loop_run_once(loop, left);
        if (err < 0) {
            FAIL("the loop's run ended with %s (%d)", test_code(err), err);
            return false;
        }
    }
    return true;
}

bool test_is_true(void *flag)
{
    return *(bool *)flag;
}

bool test_is_counted(void *count)
{
    struct test_count *c = count;
    return c->value >= c->wanted;
}

void test_run_steps(struct eddy_loop *loop, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_INT(eddy_loop_run_once(loop, 0), 0);
}
