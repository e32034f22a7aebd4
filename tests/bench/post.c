/* smoke */
/*
 * Calls from another thread: bursts of 1000 from one producer, each of them run, none merged.
 * Against an array under a mutex, with an eventfd that is written to when the array was empty.
 */
#include "tests/bench/bench.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define BURST 1000

static long bursts;
static int ran;     /* of this burst */
static int done_fd; /* tells the producer that the burst has run */
static double producer_cpu;
static void (*produce)(void);

static void kick(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof one) != sizeof one)
        die("write");
}

static void await(int fd)
{
    uint64_t n;

    if (read(fd, &n, sizeof n) != sizeof n)
        die("read");
}

static void count_call(void)
{
    if (++ran == BURST) {
        ran = 0;
        kick(done_fd);
    }
}

static void *producer(void *arg)
{
    pin_to(CLIENT_CORE);
    double before = thread_cpu();
    for (long i = 0; i < bursts; i++) {
        produce();
        await(done_fd);
    }
    producer_cpu = thread_cpu() - before;
    return arg;
}

/* ---- Eddy ---- */

static struct eddy_loop *loop;
static struct eddy_post posts[BURST];

static void post_runs(struct eddy_post *p, int status)
{
    (void)p, (void)status;
    count_call();
}

static void produce_ours(void)
{
    for (int i = 0; i < BURST; i++)
        if (eddy_loop_call_soon_threadsafe(loop, &posts[i]) < 0)
            exit(1);
}

static void *produce_then_stop(void *arg)
{
    producer(arg);
    eddy_loop_stop(loop);
    return arg;
}

/* ---- a mutex ---- */

struct task {
    void (*fn)(void *arg);
    void *arg;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct task queues[2][BURST];
static int filling, length, wake_fd;

static void task_runs(void *arg)
{
    (void)arg;
    count_call();
}

static void produce_tasks(void)
{
    for (int i = 0; i < BURST; i++) {
        pthread_mutex_lock(&mutex);
        queues[filling][length++] = (struct task){task_runs, NULL};
        bool first = length == 1;
        pthread_mutex_unlock(&mutex);
        if (first)
            kick(wake_fd);
    }
}

static void run_tasks(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    long left = bursts * BURST;

    wake_fd = eventfd(0, EFD_CLOEXEC);
    if (ep < 0 || wake_fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, wake_fd, &e) < 0)
        die("epoll");
    pthread_t thread;
    if (pthread_create(&thread, NULL, producer, NULL) != 0)
        exit(1);
    while (left > 0) {
        epoll_wait(ep, &e, 1, -1);
        await(wake_fd);
        pthread_mutex_lock(&mutex);
        struct task *turn = queues[filling];
        int n = length;
        filling = !filling;
        length = 0;
        pthread_mutex_unlock(&mutex);
        for (int i = 0; i < n; i++)
            turn[i].fn(turn[i].arg);
        left -= n;
    }
    pthread_join(thread, NULL);
    close(ep);
    close(wake_fd);
}

static void run_ours(void)
{
    pthread_t thread;

    for (int i = 0; i < BURST; i++)
        posts[i] = (struct eddy_post){.fn = post_runs};
    if (pthread_create(&thread, NULL, produce_then_stop, NULL) != 0 ||
        eddy_loop_run_forever(loop) < 0)
        exit(1);
    pthread_join(thread, NULL);
}

struct cost {
    double producer, both;
};

static struct cost measure(void (*run)(void), void (*how)(void))
{
    double before = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    double n = (double)(bursts * BURST);

    produce = how;
    run();
    double both = clock_of(CLOCK_PROCESS_CPUTIME_ID) - before;
    return (struct cost){.producer = producer_cpu / n, .both = both / n};
}

int main(int argc, char **argv)
{
    struct series both = {.what = "both threads", .unit = "ns", .scale = 1e9, .budget = 1.0};
    struct series alone = {.what = "the producer alone", .unit = "ns", .scale = 1e9, .budget = 1.0};

    bench_options(argc, argv);
    pin_to(SERVER_CORE);
    bursts = smoke ? 20 : 2000;
    done_fd = eventfd(0, EFD_CLOEXEC);
    if (done_fd < 0 || eddy_loop_new(EDDY_LOOP(.backend = "epoll"), &loop) < 0)
        return 1;
    for (int i = 0; i < rounds; i++) {
        struct cost base = {0}, ours;

        if (i % 2 == 0)
            base = measure(run_tasks, produce_tasks);
        ours = measure(run_ours, produce_ours);
        if (i % 2 == 1)
            base = measure(run_tasks, produce_tasks);
        series_add(&alone, ours.producer, base.producer);
        series_add(&both, ours.both, base.both);
    }
    table_head("call_soon_threadsafe: CPU per call", "mutex queue");
    series_print(&alone);
    series_print(&both);
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return 0;
}
