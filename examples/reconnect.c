/*
 * A connection that comes back: a protocol and a timer inside an object of ours. Whenever the
 * connection cannot be made or is lost, the timer makes the next attempt, each time after twice the
 * delay, so that a server in trouble is not made busier by its clients. It gives up after a number
 * of failures in a row, or when told by SIGINT or SIGTERM.
 */
#include "common.h"

#include <eddy/eddy.h>

#include <signal.h>

struct link {
    struct eddy_protocol base;
    struct eddy_loop *loop;
    struct eddy_timer retry;
    struct eddy_signal interrupt, terminate;
    const char *host;
    int port;
    eddy_nsec first_delay, max_delay, delay;
    long attempts, failures; /* how many failures in a row are too many, and how many there were */
    bool told_to_end;
    int exit_code;
};

static struct link *link_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct link, base);
}

/* ---- when to try ---- */

static void end(struct link *l, int exit_code)
{
    l->exit_code = exit_code;
    eddy_loop_stop(l->loop);
}

/* (Where many clients lose the same server, each should add a random part to its delay.) */
static void try_later(struct link *l)
{
    printf("trying again in %.2f s\n", (double)l->delay / 1e9);
    eddy_loop_call_later(l->loop, &l->retry, l->delay);
    l->delay = l->delay < l->max_delay / 2 ? l->delay * 2 : l->max_delay;
}

static void attempt_failed(struct link *l, const struct eddy_error *err)
{
    l->failures++;
    printf("attempt %ld failed: %s\n", l->failures, error_text(err));
    if (l->failures < l->attempts) {
        try_later(l);
    } else {
        printf("giving up\n");
        end(l, 1);
    }
}

static void try_now(struct eddy_timer *t)
{
    struct link *l = EDDY_CONTAINER_OF(t, struct link, retry);
    struct eddy_error err;

    /* Some failures show at once (no descriptors left, for example), others come as connect_failed.
     */
    if (eddy_create_connection(l->loop, &l->base,
                               EDDY_CONNECTION(.host = l->host, .port = l->port,
                                               .timeout = EDDY_SEC(5), .error = &err),
                               NULL) < 0)
        attempt_failed(l, &err);
}

/* ---- the protocol ---- */

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    struct link *l = link_of(p);
    printf("connected\n");
    l->failures = 0;
    l->delay = l->first_delay;
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    printf("received %zu bytes: ", len);
    fwrite(data, 1, len, stdout);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct link *l = link_of(p);
    if (l->told_to_end)
        end(l, 0);
    else
        attempt_failed(l, err);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct link *l = link_of(p);
    if (l->told_to_end) {
        end(l, 0);
        return;
    }
    printf("connection lost: %s\n", err ? error_text(err) : "the server closed it");
    try_later(l);
}

static const struct eddy_protocol_class link_protocol = {
    EDDY_PROTOCOL_CLASS(struct link, base), .connection_made = connection_made,
    .connect_failed = connect_failed,       .data_received = data_received,
    .connection_lost = connection_lost,
};

/* ---- being told to end ---- */

/* There is either an attempt or a connection to end, which the protocol hears of, or a timer. */
static void be_told(struct link *l)
{
    printf("told to end\n");
    l->told_to_end = true;
    eddy_timer_cancel(&l->retry);
    if (eddy_protocol_is_attached(&l->base))
        eddy_protocol_abort(&l->base, NULL);
    else
        end(l, 0);
}

static void interrupted(struct eddy_signal *s, int signum)
{
    (void)signum;
    be_told(EDDY_CONTAINER_OF(s, struct link, interrupt));
}

static void terminated(struct eddy_signal *s, int signum)
{
    (void)signum;
    be_told(EDDY_CONTAINER_OF(s, struct link, terminate));
}

static int run(struct link *l)
{
    int res = eddy_loop_add_signal(l->loop, &l->interrupt, SIGINT);
    if (res == 0)
        res = eddy_loop_add_signal(l->loop, &l->terminate, SIGTERM);
    if (res == 0) {
        eddy_loop_call_later(l->loop, &l->retry, 0);
        res = eddy_loop_run_forever(l->loop);
    }
    eddy_signal_remove(&l->interrupt);
    eddy_signal_remove(&l->terminate);
    return res;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    struct link link = {
        .retry.fn = try_now,
        .interrupt.fn = interrupted,
        .terminate.fn = terminated,
        .host = "127.0.0.1",
        .port = 7000,
        .first_delay = EDDY_MSEC(100),
        .max_delay = EDDY_SEC(10),
        .attempts = 8,
    };
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&link.host),
        OPTION_CONNECT_PORT(&link.port),
        {"--attempts", "N", "give up after so many failures in a row (8)", option_count,
         &link.attempts},
        {"--delay", "SECONDS", "before the first new attempt (0.1)", option_seconds,
         &link.first_delay},
        {"--max-delay", "SECONDS", "the longest delay (10)", option_seconds, &link.max_delay},
        {0},
    };
    parse_options(argc, argv, "", "Prints what a server sends, and connects again when it is lost.",
                  options);
    link.delay = link.first_delay;

    struct eddy_error err;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &link.loop) < 0) {
        fprintf(stderr, "reconnect: %s\n", error_text(&err));
        return 1;
    }
    eddy_protocol_init(&link.base, &link_protocol);
    int res = run(&link);
    if (res < 0)
        fprintf(stderr, "reconnect: %s\n", eddy_strerror(res));
    eddy_loop_close(link.loop);
    eddy_loop_unref(link.loop);
    return res < 0 ? 1 : link.exit_code;
}
