/*
 * Long computations belong in a thread of their own, so that the loop stays free. The thread
 * touches nothing of the loop's: it posts, and the post's function runs on the loop's thread.
 * Results travel that way, and so do wishes such as "cancel that timer".
 */
#include "common.h"

#include <eddy/eddy.h>

#include <pthread.h>

struct program {
    struct eddy_loop *loop;
    struct eddy_timer alarm;       /* cancelled by the worker, long before it is due */
    struct eddy_timer after_alarm; /* a little later: to see that the alarm was silent */
    struct eddy_post cancel_alarm; /* the worker's */
    struct eddy_post worker_ends;  /* the worker's */
    int awaited;                   /* how many of after_alarm and worker_ends are to come */
    int exit_code;
};

/* One result on its way. It is the loop's from the call until its function runs. */
struct result {
    struct eddy_post post;
    long limit, primes;
};

/* ---- on the worker's thread ---- */

static long count_primes(long limit)
{
    long count = 0;
    for (long n = 2; n < limit; n++) {
        long divisor = 2;
        while (divisor * divisor <= n && n % divisor)
            divisor++;
        count += divisor * divisor > n;
    }
    return count;
}

static void result_arrived(struct eddy_post *post, int status);

/* The loop outlives this thread, since main joins it before closing the loop: the posts are
 * accepted. (A thread without that certainty would hold a reference, and be ready for
 * EDDY_ELOOP_CLOSED.) */
static void *work(void *arg)
{
    struct program *program = arg;

    eddy_loop_call_soon_threadsafe(program->loop, &program->cancel_alarm);
    for (long limit = 100000; limit <= 300000; limit += 100000) {
        struct result *r = calloc(1, sizeof(*r));
        if (!r) {
            fprintf(stderr, "worker_thread: out of memory\n");
            break;
        }
        r->post.fn = result_arrived;
        r->limit = limit;
        r->primes = count_primes(limit);
        if (eddy_loop_call_soon_threadsafe(program->loop, &r->post) < 0)
            free(r); /* its function will not be called */
    }
    eddy_loop_call_soon_threadsafe(program->loop, &program->worker_ends);
    return NULL;
}

/* ---- on the loop's thread ---- */

static void result_arrived(struct eddy_post *post, int status)
{
    struct result *r = EDDY_CONTAINER_OF(post, struct result, post);
    if (status == 0) /* else the loop was closed first, and only memory is to be freed */
        printf("There are %ld primes below %ld\n", r->primes, r->limit);
    free(r);
}

static void cancel_alarm(struct eddy_post *post, int status)
{
    struct program *program = EDDY_CONTAINER_OF(post, struct program, cancel_alarm);
    if (status == 0) {
        eddy_timer_cancel(&program->alarm);
        printf("The worker has cancelled the alarm\n");
    }
}

static void alarm_rings(struct eddy_timer *t)
{
    printf("The alarm rings, although it was cancelled\n");
    EDDY_CONTAINER_OF(t, struct program, alarm)->exit_code = 1;
}

static void one_less_to_await(struct program *program)
{
    if (--program->awaited == 0)
        eddy_loop_stop(program->loop);
}

static void after_alarm(struct eddy_timer *t)
{
    printf("The time of the alarm has passed\n");
    one_less_to_await(EDDY_CONTAINER_OF(t, struct program, after_alarm));
}

static void worker_ends(struct eddy_post *post, int status)
{
    if (status == 0)
        one_less_to_await(EDDY_CONTAINER_OF(post, struct program, worker_ends));
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    parse_options(argc, argv, "", "Computes in a thread, and prints the results from a loop.",
                  options);

    struct eddy_error err;
    struct program program = {
        .alarm.fn = alarm_rings,
        .after_alarm.fn = after_alarm,
        .cancel_alarm.fn = cancel_alarm,
        .worker_ends.fn = worker_ends,
        .awaited = 2,
    };
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program.loop) < 0) {
        fprintf(stderr, "worker_thread: %s\n", error_text(&err));
        return 1;
    }
    eddy_loop_call_later(program.loop, &program.alarm, EDDY_MSEC(1000));
    eddy_loop_call_later(program.loop, &program.after_alarm, EDDY_MSEC(1200));

    pthread_t worker;
    int res = -pthread_create(&worker, NULL, work, &program);
    if (res == 0) {
        res = eddy_loop_run_forever(program.loop);
        pthread_join(worker, NULL);
    }
    if (res < 0)
        fprintf(stderr, "worker_thread: %s\n", eddy_strerror(res));
    eddy_loop_close(program.loop);
    eddy_loop_unref(program.loop);
    return res < 0 ? 1 : program.exit_code;
}
