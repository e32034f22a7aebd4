/*
 * Libraries of others on the loop: a client of PostgreSQL (libpq) and one of Redis (hiredis) ask
 * their servers at the same time, and each listens for what it says to itself. Neither library
 * knows of Eddy. How they are told when their sockets are ready is in foreign_postgres.c and
 * foreign_redis.c; this file runs them.
 */
#include "common.h"
#include "foreign.h"

#include <eddy/eddy.h>

#include <signal.h>

struct program {
    struct eddy_loop *loop;
    struct eddy_timer deadline;
    struct eddy_signal interrupt, terminate;
    struct postgres postgres;
    struct redis redis;
    eddy_nsec timeout;
    bool stay;
    int working, listening; /* how many clients */
    int exit_code;
};

static struct program program;

/* ---- what the clients tell ---- */

static void end_if_over(void)
{
    if (program.working == 0 && (!program.stay || program.listening == 0))
        eddy_loop_stop(program.loop);
}

static void one_done(struct foreign *f)
{
    f->done = NULL; /* as a note for one_failed */
    program.working--;
    program.listening++;
    if (program.working == 0) {
        eddy_timer_cancel(&program.deadline);
        if (program.stay)
            printf("listening until SIGINT or SIGTERM\n");
    }
    end_if_over();
}

/* The other goes on. */
static void one_failed(struct foreign *f, const char *why)
{
    fprintf(stderr, "foreign_fd: %s: %.*s\n", f->name, (int)strcspn(why, "\n"), why);
    program.exit_code = 1;
    if (f->done)
        program.working--;
    else
        program.listening--;
    end_if_over();
}

/* ---- other ends ---- */

static void too_late(struct eddy_timer *t)
{
    (void)t;
    fprintf(stderr, "foreign_fd: not finished after %g s\n", (double)program.timeout / 1e9);
    program.exit_code = 1;
    eddy_loop_stop(program.loop);
}

static void told_to_end(struct eddy_signal *s, int signum)
{
    (void)s;
    (void)signum;
    eddy_loop_stop(program.loop);
}

/* ---- running ---- */

static int run(void)
{
    struct foreign *postgres = &program.postgres.base, *redis = &program.redis.base;

    program.interrupt.fn = program.terminate.fn = told_to_end;
    program.deadline.fn = too_late;
    int res = eddy_loop_add_signal(program.loop, &program.interrupt, SIGINT);
    if (res == 0)
        res = eddy_loop_add_signal(program.loop, &program.terminate, SIGTERM);
    if (res < 0)
        return res;
    eddy_loop_call_later(program.loop, &program.deadline, program.timeout);
    program.working = !!postgres->address + !!redis->address;
    if (postgres->address)
        postgres_start(&program.postgres);
    if (redis->address)
        redis_start(&program.redis);
    res = eddy_loop_run_forever(program.loop);
    postgres_close(&program.postgres);
    redis_close(&program.redis);
    return res;
}

static void prepare(struct foreign *f, const char *name, const char *data, size_t len)
{
    f->loop = program.loop;
    f->name = name;
    f->data = data;
    f->len = len;
    f->done = one_done;
    f->failed = one_failed;
}

/* Each byte value, at places that do not repeat with any block. */
static char *make_data(size_t len)
{
    char *data = malloc(len);

    for (size_t i = 0; data && i < len; i++)
        data[i] = (char)(i % 251);
    return data;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    int64_t bytes = 0;
    struct foreign *postgres = &program.postgres.base, *redis = &program.redis.base;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--postgres", "CONNINFO", "a server, such as \"host=127.0.0.1 user=me\"", option_text,
         &postgres->address},
        {"--redis", "ADDRESS:PORT", "a server, or /PATH", option_text, &redis->address},
        {"--query", "SQL", "for PostgreSQL", option_text, &postgres->request},
        {"--command", "WORDS", "for Redis", option_text, &redis->request},
        {"--bytes", "N[K|M]", "send so much to each, and compare", option_bytes, &bytes},
        {"--timeout", "SECONDS", "for all of that (30)", option_seconds, &program.timeout},
        {"--stay", NULL, "go on listening on channel " FOREIGN_CHANNEL, option_flag, &program.stay},
        {0},
    };
    program.timeout = EDDY_SEC(30);
    postgres->request = "SELECT n, n * n FROM generate_series(1, 3) AS n";
    redis->request = "ECHO hello";
    parse_options(argc, argv, "", "Asks a PostgreSQL and a Redis server, on one loop.", options);
    if (!postgres->address && !redis->address)
        bad_usage(argv, "--postgres, --redis or both are missing");
    if (bytes > 256 << 20)
        bad_usage(argv, "--bytes: at most 256M");

    struct eddy_error err;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program.loop) < 0) {
        fprintf(stderr, "foreign_fd: %s\n", error_text(&err));
        return 1;
    }
    char *data = bytes ? make_data((size_t)bytes) : NULL;
    int res = bytes && !data ? -ENOMEM : 0;
    if (res == 0) {
        prepare(postgres, "postgres", data, (size_t)bytes);
        prepare(redis, "redis", data, (size_t)bytes);
        res = run();
    }
    if (res < 0)
        fprintf(stderr, "foreign_fd: %s\n", eddy_strerror(res));
    eddy_loop_close(program.loop);
    eddy_loop_unref(program.loop);
    free(data);
    return res < 0 ? 1 : program.exit_code;
}
