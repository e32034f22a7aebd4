/*
 * What the benchmarks share: clocks, rounds, tables of ratios, servers in processes of their own.
 *
 * A machine's speed wanders, so nothing here is worth its nanoseconds: two things are measured one
 * after the other in the same round, in changing order, and the ratio's median over the rounds is
 * printed with half of its interquartile range. CPU time is taken rather than time on the wall.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <eddy/eddy.h>

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool smoke;     /* --smoke: does it work at all? Then the figures mean nothing */
static int rounds = 9; /* --rounds N */

#define ROUNDS_MAX 99
#define SERVER_CORE 0
#define CLIENT_CORE 1

static inline _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the command line ---- */

static inline void bench_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--smoke") == 0) {
            smoke = true;
            rounds = 1;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            rounds = atoi(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--smoke] [--rounds N]\n", argv[0]);
            exit(2);
        }
    }
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);
}

/* ---- clocks, in seconds ---- */

static inline double clock_of(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t) < 0)
        die("clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double wall_time(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

static inline double thread_cpu(void)
{
    return clock_of(CLOCK_THREAD_CPUTIME_ID);
}

static inline double cpu_of(pid_t pid)
{
    clockid_t id;

    if (clock_getcpuclockid(pid, &id) != 0)
        die("clock_getcpuclockid");
    return clock_of(id);
}

/* Two threads that work for each other are measured on a core each. In a smoke test other tests run
 * beside us. */
static inline void pin_to(int core)
{
    cpu_set_t set;

    if (smoke || sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* ---- tables ---- */

struct series {
    const char *what, *unit;
    double scale;  /* from what is added to the unit */
    double budget; /* what the ratio may be; 0: none */
    int n;
    double ours[ROUNDS_MAX], base[ROUNDS_MAX];
};

static inline void series_add(struct series *s, double ours, double base)
{
    if (s->n == ROUNDS_MAX)
        return;
    s->ours[s->n] = ours;
    s->base[s->n++] = base;
}

static inline int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Sorts `v`. q: 0.5 is the median. */
static inline double quantile(double *v, int n, double q)
{
    qsort(v, (size_t)n, sizeof *v, compare_doubles);
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[i];
}

static inline void table_head(const char *title, const char *base)
{
    printf("\n%s (%d round%s%s)\n", title, rounds, rounds == 1 ? "" : "s",
           smoke ? ": only a trial, the figures mean nothing" : "");
    printf("| %-38s | %14s | %14s | %14s | %7s |\n", "", "Eddy", base, "ratio", "budget");
    printf("|%.40s|%.15s:|%.15s:|%.15s:|%.8s:|\n", "----------------------------------------",
           "---------------", "---------------", "---------------", "---------------");
}

static inline void series_print(struct series *s)
{
    double ratio[ROUNDS_MAX];
    char ours[32], base[32], spread[32], budget[32] = "";

    for (int i = 0; i < s->n; i++)
        ratio[i] = s->base[i] > 0 ? s->ours[i] / s->base[i] : 0;
    double iqr = quantile(ratio, s->n, 0.75) - quantile(ratio, s->n, 0.25);
    double median = quantile(ratio, s->n, 0.5);
    double o = quantile(s->ours, s->n, 0.5) * s->scale, b = quantile(s->base, s->n, 0.5) * s->scale;

    snprintf(ours, sizeof ours, "%.*f %s", o < 100 ? 2 : 0, o, s->unit);
    snprintf(base, sizeof base, "%.*f %s", b < 100 ? 2 : 0, b, s->unit);
    snprintf(spread, sizeof spread, "%.3f +- %.3f", median, iqr / 2);
    if (b <= 0) {
        snprintf(base, sizeof base, "-");
        snprintf(spread, sizeof spread, "-");
    }
    if (s->budget > 0)
        snprintf(budget, sizeof budget, "%.3f%s", s->budget,
                 median <= s->budget + iqr / 2 ? "" : "!");
    printf("| %-38s | %14s | %14s | %14s | %7s |\n", s->what, ours, base, spread, budget);
}

/* ---- servers in processes of their own ---- */

struct child {
    pid_t pid;
    int port;
};

/* `serve` gets a listening socket, which is its to close, and never needs to return. */
static inline void child_start(struct child *c, void (*serve)(int listener, void *arg), void *arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("listen");
    c->port = ntohs(a.sin_port);
    fflush(stdout);
    c->pid = fork();
    if (c->pid < 0)
        die("fork");
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin_to(SERVER_CORE);
        serve(fd, arg);
        _exit(0);
    }
    close(fd);
}

static inline void child_stop(struct child *c)
{
    kill(c->pid, SIGTERM);
    while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Eddy's part in each comparison of servers. */
/* NULL: what the library chooses, or EDDY_BACKEND says. */
static inline void serve_eddy_on(int listener, const struct eddy_protocol_class *cls,
                                 const char *backend)
{
    eddy_serve(cls, EDDY_SERVER(.use_sock = true, .sock = listener, .backlog = 4096,
                                .loop = EDDY_LOOP(.backend = backend)));
}

static inline void serve_eddy(int listener, const struct eddy_protocol_class *cls)
{
    serve_eddy_on(listener, cls, NULL);
}

#endif
