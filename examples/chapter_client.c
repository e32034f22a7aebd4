/*
 * Asks chapter_server for N lines, and takes a second over each of them before it prints it.
 *
 * Taking a second must not mean sleeping, which would stop everything else that the loop does: the
 * client stops reading, starts a timer, and reads on when the timer has fired.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "common.h"

#include <eddy/eddy.h>

#include <time.h>

struct client {
    struct eddy_protocol base;
    struct eddy_loop *loop;
    struct eddy_timer work;
    long repetitions, printed;
    bool greeted;    /* the first line has come: */
    double age;      /* how long the server had been running then, in seconds */
    eddy_nsec start; /* and when it came */
    char line[256];  /* the line that is arriving, or being worked on */
    size_t line_len;
    int exit_code;
};

static struct client *client_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct client, base);
}

/* The server's first line is the date at which it started, so that its times and ours are the same.
 */
static void greeting_received(struct client *c)
{
    struct timespec now;
    char *end;
    double start_date = strtod(c->line, &end);
    if (end == c->line || *end) {
        eddy_transport_abort(c->base.transport, EDDY_ERROR(-EPROTO, "no date in the first line"));
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    c->age = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - start_date;
    c->start = eddy_loop_time(c->loop);
    c->greeted = true;
    eddy_transport_printf(c->base.transport, "%ld\n", c->repetitions);
}

static void work_done(struct eddy_timer *t)
{
    struct client *c = EDDY_CONTAINER_OF(t, struct client, work);

    printf("%.1f Got line:  %s\n", c->age + (double)(eddy_loop_time(c->loop) - c->start) / 1e9,
           c->line);
    c->printed++;
    c->line_len = 0;
    eddy_transport_resume_reading(c->base.transport);
}

/* A piece of a line may arrive, or several lines at once. One line is taken; what follows it goes
 * back into the transport, and comes again when we read again. */
static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct client *c = client_of(p);
    const char *bytes = data;
    const char *end = memchr(bytes, '\n', len);
    size_t n = end ? (size_t)(end - bytes) : len;

    if (n >= sizeof(c->line) - c->line_len) {
        eddy_transport_abort(p->transport, EDDY_ERROR(-EPROTO, "the line is too long"));
        return;
    }
    memcpy(c->line + c->line_len, bytes, n);
    c->line_len += n;
    if (!end)
        return;
    c->line[c->line_len] = '\0';
    n++; /* the newline */
    if (n < len && eddy_transport_unread(p->transport, bytes + n, len - n) < 0)
        return; /* no memory: the transport has closed itself, and connection_lost says so */
    if (!c->greeted) {
        greeting_received(c);
        c->line_len = 0;
    } else {
        eddy_transport_pause_reading(p->transport);
        eddy_loop_call_later(c->loop, &c->work, EDDY_SEC(1));
    }
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    fprintf(stderr, "chapter_client: %s\n", error_text(err));
    eddy_loop_stop(client_of(p)->loop);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct client *c = client_of(p);

    eddy_timer_cancel(&c->work); /* it would use the transport, which is gone */
    if (err)
        fprintf(stderr, "chapter_client: %s\n", error_text(err));
    else if (c->printed < c->repetitions)
        fprintf(stderr, "chapter_client: the server closed after %ld of %ld lines\n", c->printed,
                c->repetitions);
    else
        c->exit_code = 0;
    eddy_loop_stop(c->loop);
}

static const struct eddy_protocol_class chapter_protocol = {
    EDDY_PROTOCOL_CLASS(struct client, base), .connection_made = NULL, /* the server speaks first */
    .connect_failed = connect_failed,         .data_received = data_received,
    .connection_lost = connection_lost,
};

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    int port = 1234;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_CONNECT_PORT(&port),
        {0},
    };
    int words = parse_options(
        argc, argv, "N", "Asks chapter_server for N lines, and prints one each second.", options);
    struct client client = {.work.fn = work_done, .exit_code = 1};
    if (words != 1 || !parse_long(argv[1], 1, 1000000, &client.repetitions))
        bad_usage(argv, "expected N, a number of lines from 1 to 1000000");

    struct eddy_error err;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &client.loop) < 0) {
        fprintf(stderr, "chapter_client: %s\n", error_text(&err));
        return 1;
    }
    eddy_protocol_init(&client.base, &chapter_protocol);
    if (eddy_create_connection(client.loop, &client.base,
                               EDDY_CONNECTION(.host = host, .port = port, .error = &err),
                               NULL) < 0) {
        fprintf(stderr, "chapter_client: %s\n", error_text(&err));
    } else {
        int res = eddy_loop_run_forever(client.loop);
        if (res < 0) {
            fprintf(stderr, "chapter_client: %s\n", eddy_strerror(res));
            client.exit_code = 1;
        }
    }
    eddy_loop_close(client.loop);
    eddy_loop_unref(client.loop);
    return client.exit_code;
}
