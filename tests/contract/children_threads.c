/* Children of loops in several threads at once, started and reaped. */
/* backends: select poll epoll io_uring */
/* labels: threads */
/* timeout: 120 */
#include "framework/loop/loop.h"
#include "tests/support/test.h"
#include "transports/spawn.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define CHILDREN 40

struct kid {
    struct eddy_child node;
    struct place *place;
    int status;
};

struct place {
    pthread_t thread;
    const char *kind;
    struct eddy_loop *loop;
    struct kid kids[CHILDREN];
    struct test_count ended;
};

static void kid_ended(struct eddy_child *c, int returncode)
{
    struct kid *k = EDDY_CONTAINER_OF(c, struct kid, node);
    CHECK(eddy_get_running_loop() == k->place->loop);
    CHECK_INT(returncode, k->status);
    k->place->ended.value++;
}

static void start(struct place *place, int i)
{
    char script[32];
    char *argv[] = {(char *)"sh", (char *)"-c", script, NULL};
    struct spawn s = {.program = "/bin/sh", .argv = argv, .stdio = {0, 1, 2}};
    struct kid *k = &place->kids[i];
    pid_t pid;
    eddy_fd pidfd;
    const char *step;
    k->node.fn = kid_ended;
    k->place = place;
    k->status = i;
    snprintf(script, sizeof script, "exit %d", i);
    int rc = eddy_spawn(&s, &pid, &pidfd, &step);
    if (!CHECK_INT(rc, 0))
        return;
    CHECK_INT(eddy_child_add_pidfd(place->loop, &k->node, pid, pidfd), 0);
}

static void *run_place(void *user)
{
    struct place *place = user;
    for (int i = 0; i < CHILDREN; i++) {
        start(place, i);
        test_run_steps(place->loop, i % 2);
    }
    test_run_until(place->loop, test_is_counted, &place->ended);
    return NULL;
}

/* Half the loops watch in one way, half in the other. */
static void U39_loops_of_all_threads_have_children(void)
{
    static struct place places[THREADS];
    for (int i = 0; i < THREADS; i++) {
        struct place *place = &places[i];
        place->kind = i % 2 ? "pidfd" : "sigchld";
        place->ended.wanted = CHILDREN;
        REQUIRE(test_loop_new_opts(EDDY_LOOP(.child_watcher = place->kind), &place->loop) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&places[i].thread, NULL, run_place, &places[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(places[i].thread, NULL);
        CHECK_INT(places[i].ended.value, CHILDREN);
        test_loop_free(places[i].loop);
    }
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

const struct test_case test_cases[] = {
    TEST(U39_loops_of_all_threads_have_children),
    TEST_END,
};
