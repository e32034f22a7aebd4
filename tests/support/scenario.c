#include "tests/support/scenario.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_ROOM = 64, /* of the network's buffers: smaller ones only take longer */
    MAX_TURNS = 400000,
    MAX_FAILED = 10, /* seeds */
    MAX_TOLD = 5,    /* complaints of a seed */
};

struct scene scene;

/* ---- small things ---- */

void scene_complain(const char *file, int line, const char *fmt, ...)
{
    static const char *const manners[] = {"clean", "rough", "faulty"};
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (scene.traced)
        fprintf(stderr, "COMPLAINT: %s\n", text);
    if (scene.failures++ < MAX_TOLD)
        test_fail(file, line, "EDDY_SEED=%llu (%s%s): %s", (unsigned long long)scene.seed,
                  scene.real   ? "real, "
                  : scene.late ? "late, "
                               : "",
                  manners[scene.manner], text);
}

uint64_t scene_dice(uint64_t limit)
{
    if (!scene.real)
        return eddy_sim_random(scene.sim, limit);
    scene.dice = scene.dice * 6364136223846793005u + 1442695040888963407u;
    return limit ? (scene.dice >> 20) % limit : 0;
}

/* ---- a scenario ---- */

static void on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    (void)loop;
    (void)user;
    if (!scene.scenario->is_expected(problem))
        COMPLAIN("problem: %s: %s", problem->message, problem->error ? problem->error->text : "");
}

static void on_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user;
    if (level >= EDDY_LOG_ERROR && scene.manner != FAULTY)
        COMPLAIN("log: %s: %s", component, text);
    if (scene.traced)
        fprintf(stderr, "    log: %s: %s\n", component, text);
}

static void on_trace(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static int open_network(void)
{
    struct eddy_sim_opts opts;

    eddy_sim_wild(&opts, scene.seed);
    if (opts.recv_room < MIN_ROOM)
        opts.recv_room = MIN_ROOM;
    if (opts.send_room < MIN_ROOM)
        opts.send_room = MIN_ROOM;
    if (scene.scenario->adapt)
        scene.scenario->adapt(&opts);
    if (scene.traced)
        opts.trace = on_trace;
    return eddy_sim_new(&opts, &scene.sim);
}

static int open_loop(void)
{
    int rc;

    scene.chatter = (int)dice(400);
    const struct eddy_loop_opts *opts =
        EDDY_LOOP(.on_problem = on_problem, .log = on_log, .user = &scene, .debug = chance(300),
                  .slow_callback = EDDY_SEC(3600));
    if (scene.real)
        return test_loop_new_opts(opts, &scene.loop);
    rc = eddy_sim_loop_new(scene.sim, scene.late, opts, &scene.loop);
    if (rc < 0)
        eddy_sim_free(scene.sim);
    return rc;
}

static int open_scene(const struct scenario *scenario, uint64_t seed)
{
    int rc = 0;

    memset(&scene, 0, sizeof scene);
    scene.scenario = scenario;
    scene.seed = seed;
    scene.real = !test_is_sim();
    scene.late = strcmp(test_backend() ? test_backend() : "", "sim-late") == 0;
    scene.traced = getenv("EDDY_TRACE") != NULL;
    scene.manner = seed % 10 < 5 ? CLEAN : seed % 10 < 8 ? ROUGH : FAULTY;
    scene.dice = seed * 0x9e3779b97f4a7c15u;
    if (!scene.real)
        rc = open_network();
    return rc < 0 ? rc : open_loop();
}

void scene_run_for(eddy_nsec span, bool (*is_enough)(void))
{
    eddy_nsec end = eddy_loop_time(scene.loop) + span, now;

    for (int turns = 0; turns < MAX_TURNS; turns++) {
        now = eddy_loop_time(scene.loop);
        if (now >= end || (is_enough && is_enough()))
            return;
        int rc = eddy_loop_run_once(scene.loop, end - now);
        if (rc < 0 && scene.manner != FAULTY) {
            COMPLAIN("run_once gives %s", test_code(rc));
            return;
        }
    }
    COMPLAIN("too many turns");
}

/* Returns what the same seed must give again; 0 on the kernel. */
static uint64_t close_network(int descriptors)
{
    struct eddy_sim_stats stats;
    const char *what;
    uint64_t hash;

    if (scene.real) {
        if (test_open_descriptors() != descriptors)
            COMPLAIN("%d descriptors are open", test_open_descriptors() - descriptors);
        return 0;
    }
    if (eddy_sim_violations(scene.sim, &what))
        COMPLAIN("violation: %s", what);
    eddy_sim_get_stats(scene.sim, &stats);
    if (stats.open)
        COMPLAIN("%d descriptors are open", stats.open);
    if (stats.closed_registered)
        COMPLAIN("closed while registered");
    hash = eddy_sim_trace_hash(scene.sim);
    eddy_sim_free(scene.sim);
    return hash;
}

static uint64_t run_scenario(const struct scenario *scenario, uint64_t seed)
{
    long live = test_live_allocations();
    int descriptors = test_open_descriptors();
    uint64_t hash;

    if (open_scene(scenario, seed) < 0) {
        COMPLAIN("no loop");
        return 0;
    }
    scenario->play();
    eddy_loop_unref(scene.loop);
    if (scene.owned_out)
        COMPLAIN("%d owned writes were not released", scene.owned_out);
    hash = close_network(descriptors);
    if (test_live_allocations() != live)
        COMPLAIN("%ld allocations are live", test_live_allocations() - live);
    return hash;
}

void scene_run_seeds(const struct scenario *scenario)
{
    const char *one = getenv("EDDY_SEED"), *many = getenv("EDDY_SCENARIOS");
    uint64_t seed = one ? strtoull(one, NULL, 0) : 1;
    uint64_t last = test_is_sim() ? scenario->seeds : scenario->real_seeds, hash;
    int failed = 0;

    last = one ? seed : many ? strtoull(many, NULL, 0) : last;
    for (; seed <= last && failed < MAX_FAILED; seed++) {
        hash = run_scenario(scenario, seed);
        if (scene.failures == 0 && seed % 100 == 0 && !scene.once &&
            run_scenario(scenario, seed) != hash)
            COMPLAIN("two runs of this seed differ");
        failed += scene.failures > 0;
    }
}
