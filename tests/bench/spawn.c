/* smoke */
/*
 * Starting a program that ends at once, from a small process and from one with much memory in use
 * (--resident MIB, 1024), against posix_spawn and a bare vfork and exec: how long the call takes,
 * and the CPU time of both processes for each child, its end included.
 */
#include "transports/spawn.h"
#include "tests/bench/bench.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PROGRAM "/bin/true"

extern char **environ;

static char *const arguments[] = {(char *)"true", NULL};
static long resident = 1024;

/* ---- three ways ---- */

static pid_t by_eddy(void)
{
    struct spawn s = {.program = PROGRAM, .argv = arguments, .stdio = {0, 1, 2}};
    pid_t pid = -1;
    eddy_fd pidfd;
    const char *step;

    if (eddy_spawn(&s, &pid, &pidfd, &step) == 0 && pidfd >= 0)
        close(pidfd);
    return pid;
}

/* Asked for the same: no signal blocked, none ignored, nothing else open. */
static pid_t by_posix_spawn(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t how;
    sigset_t none, all;
    pid_t pid = -1;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    if (posix_spawn(&pid, PROGRAM, &actions, &how, arguments, environ) != 0)
        pid = -1;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static pid_t by_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execve(PROGRAM, arguments, environ);
        _exit(127);
    }
    return pid;
}

enum { EDDY, POSIX_SPAWN, VFORK, WAYS };

static pid_t (*const ways[WAYS])(void) = {by_eddy, by_posix_spawn, by_vfork};

/* ---- processes of both sizes, which start them ---- */

struct figures {
    double call[WAYS], cpu[WAYS]; /* seconds, of all children */
};

struct starter {
    pid_t pid;
    int orders[2];
    struct figures *figures; /* in shared memory */
};

static double rusage_cpu(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double cpu_of_both(void)
{
    return rusage_cpu(RUSAGE_SELF) + rusage_cpu(RUSAGE_CHILDREN);
}

static void start_one(struct figures *f, int way)
{
    double cpu = cpu_of_both(), begin = wall_time();
    pid_t pid = ways[way]();

    f->call[way] += wall_time() - begin;
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        die("a child");
    f->cpu[way] += cpu_of_both() - cpu;
}

static void start_for_ever(struct starter *s, size_t mib)
{
    char *memory = malloc(mib * 1024 * 1024 + 1);
    int children;

    if (!memory)
        die("malloc");
    memset(memory, 1, mib * 1024 * 1024 + 1);
    pin_to(SERVER_CORE);
    while (read(s->orders[0], &children, sizeof children) == sizeof children) {
        struct figures f = {.call = {0}};

        for (int i = 0; i < children; i++)
            for (int j = 0; j < WAYS; j++)
                start_one(&f, (i + j) % WAYS);
        *s->figures = f;
        if (write(s->orders[0], &children, sizeof children) != sizeof children)
            die("write");
    }
    free(memory);
}

static void starter_open(struct starter *s, size_t mib)
{
    s->figures =
        mmap(NULL, sizeof *s->figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->figures == MAP_FAILED ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->orders) < 0)
        die("a process");
    fflush(stdout);
    s->pid = fork();
    if (s->pid < 0)
        die("fork");
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(s->orders[1]);
        start_for_ever(s, mib);
        _exit(0);
    }
    close(s->orders[0]);
}

static void starter_close(struct starter *s)
{
    shutdown(s->orders[1], SHUT_RDWR); /* a later one has inherited it */
    close(s->orders[1]);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    munmap(s->figures, sizeof *s->figures);
}

static void starter_run(struct starter *s, int children)
{
    int answer;

    if (write(s->orders[1], &children, sizeof children) != sizeof children ||
        read(s->orders[1], &answer, sizeof answer) != sizeof answer)
        die("a process");
}

/* ---- tables ---- */

enum { SMALL, BIG, SIZES };

static struct series calls[SIZES][WAYS], cpus[SIZES][WAYS], growth[2];

static void series_of_spawn(struct series *s, const char *what, double budget)
{
    *s = (struct series){.what = what, .unit = "us", .scale = 1e6, .budget = budget};
}

static void round_of_both(struct starter starters[SIZES], int children)
{
    struct figures *f[SIZES] = {starters[SMALL].figures, starters[BIG].figures};

    for (int i = 0; i < SIZES; i++)
        starter_run(&starters[i], children);
    for (int i = 0; i < SIZES; i++) {
        for (int way = POSIX_SPAWN; way < WAYS; way++) {
            series_add(&calls[i][way], f[i]->call[EDDY] / children, f[i]->call[way] / children);
            series_add(&cpus[i][way], f[i]->cpu[EDDY] / children, f[i]->cpu[way] / children);
        }
    }
    series_add(&growth[0], f[BIG]->call[EDDY] / children, f[SMALL]->call[EDDY] / children);
    series_add(&growth[1], f[BIG]->cpu[EDDY] / children, f[SMALL]->cpu[EDDY] / children);
}

static void take_resident(int *argc, char **argv)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "--resident") != 0 || atol(argv[i + 1]) < 1)
            continue;
        resident = atol(argv[i + 1]);
        memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
        *argc -= 2;
        return;
    }
}

static void print_all(void)
{
    static const char *const names[WAYS] = {"Eddy", "posix_spawn", "vfork + exec"};
    char title[64];

    for (int way = POSIX_SPAWN; way < WAYS; way++) {
        table_head("a program that ends at once", names[way]);
        for (int i = 0; i < SIZES; i++) {
            series_print(&calls[i][way]);
            series_print(&cpus[i][way]);
        }
    }
    snprintf(title, sizeof title, "Eddy with %ld MiB resident", resident);
    table_head(title, "Eddy, small");
    series_print(&growth[0]);
    series_print(&growth[1]);
}

int main(int argc, char **argv)
{
    struct starter starters[SIZES];
    int children = 100;

    take_resident(&argc, argv);
    bench_options(argc, argv);
    if (smoke) {
        children = 2;
        resident = 16;
    }
    for (int way = POSIX_SPAWN; way < WAYS; way++) {
        series_of_spawn(&calls[SMALL][way], "small: the call", 0);
        series_of_spawn(&cpus[SMALL][way], "small: CPU per child", 0);
        series_of_spawn(&calls[BIG][way], "much memory: the call", 0);
        series_of_spawn(&cpus[BIG][way], "much memory: CPU per child", 0);
    }
    series_of_spawn(&growth[0], "the call", 2.0);
    series_of_spawn(&growth[1], "CPU per child", 2.0);
    starter_open(&starters[SMALL], 0);
    starter_open(&starters[BIG], (size_t)resident);
    for (int i = 0; i < rounds; i++)
        round_of_both(starters, children);
    print_all();
    for (int i = 0; i < SIZES; i++)
        starter_close(&starters[i]);
    return 0;
}
