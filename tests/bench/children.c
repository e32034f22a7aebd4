/* smoke */
/*
 * Children by the loop: each is started, has no pipes, ends at once, is reaped and reported; one
 * after the other, and 32 at once. How many per second, and what each costs this process in CPU
 * time.
 *
 *     bench/children --rival "uv/micro spawn" --rounds 9
 *
 * compares that with another program, which is run in turns with us. It prints the same four lines
 * as we do when we are run with --once: a metric, a figure, a unit.
 */
#include "tests/bench/bench.h"

#define PROGRAM "/bin/true"
#define AT_ONCE 32
#define FIGURES 4

static int children = 600;

/* ---- ours ---- */

struct job {
    struct eddy_subprocess_protocol sub;
};

static struct eddy_loop *loop;
static struct job jobs[AT_ONCE];
static int started, ended;

static void start(struct job *j);

static void finished(struct eddy_subprocess_protocol *p)
{
    if (++ended == children)
        eddy_loop_stop(loop);
    else if (started < children)
        start(EDDY_CONTAINER_OF(p, struct job, sub));
}

static const struct eddy_subprocess_protocol_class job_class = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct job, sub),
    .fini = finished,
};

static void start(struct job *j)
{
    started++;
    if (eddy_subprocess_exec(
            loop, &j->sub,
            EDDY_SUBPROCESS(.argv = EDDY_ARGV(PROGRAM), .std_in = EDDY_STDIO_INHERIT,
                            .std_out = EDDY_STDIO_INHERIT, .std_err = EDDY_STDIO_INHERIT),
            NULL) < 0)
        die("a child");
}

static void run_some(const char *name, int at_once)
{
    double wall = wall_time(), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);

    started = ended = 0;
    for (int i = 0; i < at_once; i++) {
        eddy_subprocess_protocol_init(&jobs[i].sub, &job_class);
        start(&jobs[i]);
    }
    if (eddy_loop_run_forever(loop) < 0)
        die("the loop");
    wall = wall_time() - wall;
    cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%s %.2f processes/s\n%s_parent %.2f us-cpu\n", name, children / wall, name,
           cpu / children * 1e6);
}

static int run_once(void)
{
    if (eddy_loop_new(NULL, &loop) < 0)
        die("a loop");
    run_some("spawn_sequential", 1);
    run_some("spawn_32", AT_ONCE);
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return 0;
}

/* ---- in turns with a rival ---- */

static void read_figures(const char *command, double figures[FIGURES])
{
    FILE *out = popen(command, "r");
    char line[256];
    int n = 0;

    if (!out)
        die(command);
    while (fgets(line, sizeof line, out)) {
        if (n < FIGURES && sscanf(line, "%*s %lf", &figures[n]) == 1)
            n++;
    }
    if (pclose(out) != 0 || n < FIGURES)
        die(command);
}

static int compare(const char *self, const char *rival)
{
    struct series table[FIGURES] = {{.what = "one after the other", .unit = "/s", .scale = 1},
                                    {.what = "... CPU of the parent", .unit = "us", .scale = 1},
                                    {.what = "32 at once", .unit = "/s", .scale = 1},
                                    {.what = "... CPU of the parent", .unit = "us", .scale = 1}};
    double ours[FIGURES] = {0}, theirs[FIGURES] = {0};
    char command[4096];

    snprintf(command, sizeof command, "'%s' --once", self);
    for (int i = 0; i < rounds; i++) {
        if (i % 2)
            read_figures(command, ours);
        read_figures(rival, theirs);
        if (i % 2 == 0)
            read_figures(command, ours);
        for (int j = 0; j < FIGURES; j++)
            series_add(&table[j], ours[j], theirs[j]);
    }
    table_head("children", "the rival");
    for (int j = 0; j < FIGURES; j++)
        series_print(&table[j]);
    return 0;
}

int main(int argc, char **argv)
{
    const char *rival = NULL;
    bool once = false;
    int kept = 1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rival") == 0 && i + 1 < argc)
            rival = argv[++i];
        else if (strcmp(argv[i], "--once") == 0)
            once = true;
        else
            argv[kept++] = argv[i];
    }
    bench_options(kept, argv);
    if (smoke)
        children = 40;
    return once || !rival ? run_once() : compare(argv[0], rival);
}
