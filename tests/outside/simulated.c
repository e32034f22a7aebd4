/* A stranger's test with the simulator: an hour of its clock takes no time. */
#include <eddy/eddy.h>
#include <eddy/sim.h>

struct alarm {
    struct eddy_timer timer;
    struct eddy_loop *loop;
};

static void ring(struct eddy_timer *t)
{
    eddy_loop_stop(EDDY_CONTAINER_OF(t, struct alarm, timer)->loop);
}

int main(void)
{
    struct alarm alarm = {.timer.fn = ring};
    struct eddy_sim *sim;

    if (eddy_sim_new(NULL, &sim) < 0 || eddy_sim_loop_new(sim, false, NULL, &alarm.loop) < 0)
        return 1;
    eddy_nsec start = eddy_loop_time(alarm.loop);
    eddy_loop_call_later(alarm.loop, &alarm.timer, EDDY_SEC(3600));
    int res = eddy_loop_run_forever(alarm.loop);
    eddy_nsec passed = eddy_loop_time(alarm.loop) - start;

    eddy_loop_close(alarm.loop);
    eddy_loop_unref(alarm.loop);
    eddy_sim_free(sim);
    return res < 0 || passed != EDDY_SEC(3600);
}
