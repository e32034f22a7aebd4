/*
 * Several processes, three times. One after the other and without a loop: the program does nothing
 * else meanwhile. Then five at once, each an object that hears when its process ends; and the same
 * under a loop that runs until a timer stops it.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>

#include <sys/wait.h>
#include <unistd.h>

struct program {
    struct eddy_loop *loop;
    eddy_nsec start;
    struct eddy_timer stop;
    const char *seconds; /* what sleep gets */
    bool until_stopped;
    long running;
    bool failed;
};

static double now(const struct program *program)
{
    return (double)(eddy_loop_time(program->loop) - program->start) / 1e9;
}

/* ---- one after the other ---- */

/* Runs a program and waits for its end: its exit status, or 255. */
static int run_and_wait(const char *name, const char *argument)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execlp(name, name, argument, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return 255;
    }
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void run_one_by_one(struct program *program, long count)
{
    for (long i = 0; i < count; i++) {
        printf("Started sleep at %.1f\n", now(program));
        fflush(stdout);
        if (run_and_wait("sleep", program->seconds) != 0)
            program->failed = true;
        printf("Finished sleep at %.1f\n", now(program));
    }
}

/* ---- at once ---- */

struct process {
    struct eddy_subprocess_protocol sub;
    struct program *program;
};

static struct process *process_of(struct eddy_subprocess_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct process, sub);
}

static void connection_made(struct eddy_subprocess_protocol *p, struct eddy_transport *t)
{
    (void)t;
    printf("Started sleep at %.1f\n", now(process_of(p)->program));
}

static void start_failed(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    process_of(p)->program->failed = true;
    fprintf(stderr, "run_processes: %s\n", error_text(err));
}

static void process_exited(struct eddy_subprocess_protocol *p)
{
    printf("Finished sleep at %.1f\n", now(process_of(p)->program));
    if (eddy_transport_get_returncode(p->base.transport) != 0)
        process_of(p)->program->failed = true;
}

/* Comes for each, whether it was started or not. */
static void fini(struct eddy_subprocess_protocol *p)
{
    struct program *program = process_of(p)->program;

    if (--program->running == 0 && !program->until_stopped)
        eddy_loop_stop(program->loop);
}

static const struct eddy_subprocess_protocol_class process_protocol = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct process, sub),
    .connection_made = connection_made,
    .start_failed = start_failed,
    .process_exited = process_exited,
    .fini = fini,
};

static int start(struct program *program, struct process *p)
{
    struct eddy_error err;

    p->program = program;
    eddy_subprocess_protocol_init(&p->sub, &process_protocol);
    int res = eddy_subprocess_exec(program->loop, &p->sub,
                                   EDDY_SUBPROCESS(.argv = EDDY_ARGV("sleep", program->seconds),
                                                   .std_in = EDDY_STDIO_DEVNULL,
                                                   .std_out = EDDY_STDIO_INHERIT,
                                                   .std_err = EDDY_STDIO_INHERIT, .error = &err),
                                   NULL);
    if (res < 0)
        fprintf(stderr, "run_processes: %s\n", error_text(&err));
    else
        program->running++;
    return res;
}

static int run_at_once(struct program *program, long count)
{
    struct process *processes = calloc((size_t)count, sizeof *processes);
    int res = processes ? 0 : -ENOMEM;

    for (long i = 0; i < count && res == 0; i++)
        res = start(program, &processes[i]);
    if (res == 0)
        res = eddy_loop_run_forever(program->loop);
    eddy_loop_close(program->loop); /* ends what is still there: the objects may go then */
    free(processes);
    return res;
}

static void stop(struct eddy_timer *t)
{
    eddy_loop_stop(EDDY_CONTAINER_OF(t, struct program, stop)->loop);
}

/* ---- the program ---- */

static int run(struct program *program, const char *how, long count)
{
    program->start = eddy_loop_time(program->loop);
    if (strcmp(how, "one-by-one") == 0) {
        run_one_by_one(program, count ? count : 3);
        return 0;
    }
    if (program->until_stopped)
        eddy_loop_call_later(program->loop, &program->stop, EDDY_MSEC(500));
    return run_at_once(program, count ? count : 5);
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    long count = 0;
    struct program program = {.stop.fn = stop, .seconds = "0.1"};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--count", "N", "how many processes (3 one by one, else 5)", option_count, &count},
        {"--seconds", "S", "how long each sleeps (0.1)", option_text, &program.seconds},
        {0},
    };
    int words =
        parse_options(argc, argv, "one-by-one | together | until-stopped",
                      "Runs several processes, until all have ended or for 0.5 s.", options);
    const char *how = words == 1 ? argv[1] : "";

    program.until_stopped = strcmp(how, "until-stopped") == 0;
    if (!program.until_stopped && strcmp(how, "one-by-one") != 0 && strcmp(how, "together") != 0)
        bad_usage(argv, "expected one-by-one, together or until-stopped");

    struct eddy_error err;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program.loop) < 0) {
        fprintf(stderr, "run_processes: %s\n", error_text(&err));
        return 1;
    }
    int res = run(&program, how, count);
    if (res < 0)
        fprintf(stderr, "run_processes: %s\n", eddy_strerror(res));
    eddy_loop_close(program.loop);
    eddy_loop_unref(program.loop);
    return res < 0 || program.failed;
}
