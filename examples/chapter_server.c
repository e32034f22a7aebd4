/*
 * A server of lines, for chapter_client. It greets each client with the time at which it started,
 * reads how many lines the client wants, sends them, and closes. After five seconds it ends.
 *
 * Several clients are served at once by one thread: a protocol object keeps what belongs to one
 * connection, and each callback does a small step of one of them.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "common.h"

#include <eddy/eddy.h>

#include <time.h>

/* The whole program. Servers hand their .arg to each new protocol's init. */
struct chapter {
    struct eddy_loop *loop;
    struct eddy_timer closing_time;
    eddy_nsec start;   /* by the loop's clock, which never jumps */
    double start_date; /* by the calendar, for clients: seconds since 1970 */
};

/* One connection. The server allocates and frees it. */
struct client {
    struct eddy_protocol base;
    struct chapter *chapter;
    char name[EDDY_ADDR_TEXT];
    char request[16]; /* how many lines, as text, not ended by a zero */
    size_t request_len;
    long repetitions; /* how many lines it wants; 0: it has not said yet */
    long next;        /* which is to be sent next */
};

static struct client *client_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct client, base);
}

static void print_time(const struct chapter *chapter)
{
    printf("%.1f ", (double)(eddy_loop_time(chapter->loop) - chapter->start) / 1e9);
}

static int init(struct eddy_protocol *p, void *arg)
{
    client_of(p)->chapter = arg;
    return 0;
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct client *c = client_of(p);
    struct eddy_addr peer = {0};

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
    print_time(c->chapter);
    printf("Client connected %s\n", c->name);

    eddy_transport_printf(t, "%.2f\n", c->chapter->start_date);
}

/* Sends lines until all are sent, or the client is slower than we are: then pause_writing was
 * called, and resume_writing will take it from here. */
static void send_lines(struct client *c)
{
    struct eddy_transport *t = c->base.transport;

    if (eddy_transport_is_closing(t))
        return;
    while (c->next < c->repetitions) {
        if (eddy_transport_is_writing_paused(t))
            return;
        print_time(c->chapter);
        printf("client: %s, %ld\n", c->name, c->next);
        if (eddy_transport_printf(t, "client: %s, %ld\n", c->name, c->next) < 0)
            return; /* connection_lost will say why */
        c->next++;
    }
    print_time(c->chapter);
    printf("Finished sending to %s\n", c->name);
    eddy_transport_close(t); /* when all of it is sent */
}

/* Bytes arrive in whatever pieces the network made of them, so the request is put together here. */
static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct client *c = client_of(p);
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - (const char *)data) : len;

    if (c->repetitions)
        return; /* it has asked already */
    if (n >= sizeof(c->request) - c->request_len) {
        eddy_transport_abort(p->transport, EDDY_ERROR(-EPROTO, "the request is too long"));
        return;
    }
    memcpy(c->request + c->request_len, data, n);
    c->request_len += n;
    if (!end)
        return;
    c->request[c->request_len] = '\0';
    if (!parse_long(c->request, 1, 1000000, &c->repetitions)) {
        eddy_transport_abort(p->transport, EDDY_ERROR(-EPROTO, "the request is not a number"));
        return;
    }
    print_time(c->chapter);
    printf("Started sending to %s\n", c->name);
    send_lines(c);
}

static void resume_writing(struct eddy_protocol *p)
{
    send_lines(client_of(p));
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct client *c = client_of(p);
    if (err) {
        print_time(c->chapter);
        printf("Lost %s: %s\n", c->name, error_text(err));
    }
}

static const struct eddy_protocol_class chapter_protocol = {
    EDDY_PROTOCOL_CLASS(struct client, base), .init = init,
    .connection_made = connection_made,       .data_received = data_received,
    .resume_writing = resume_writing,         .connection_lost = connection_lost,
};

static void closing_time(struct eddy_timer *t)
{
    eddy_loop_stop(EDDY_CONTAINER_OF(t, struct chapter, closing_time)->loop);
}

/* Serves for five seconds, then waits until the last connection has ended; a client that makes us
 * wait is thrown out after a second. */
static int serve(struct chapter *chapter, const char *host, int port, struct eddy_error *ret_err)
{
    struct eddy_server *server;
    struct eddy_future *closed;

    int res = eddy_create_server(
        chapter->loop, &chapter_protocol,
        EDDY_SERVER(.host = host, .port = port, .arg = chapter, .error = ret_err), &server);
    if (res < 0)
        return res;
    print_addresses(server);
    eddy_loop_call_at(chapter->loop, &chapter->closing_time, chapter->start + EDDY_SEC(5));
    res = eddy_loop_run_forever(chapter->loop);
    if (res == 0)
        res = eddy_server_drain(server, EDDY_SEC(1), &closed);
    if (res == 0) {
        res = eddy_loop_run_until_complete(chapter->loop, closed, NULL);
        eddy_future_unref(closed);
    }
    if (res < 0)
        eddy_error_set(ret_err, res, "serve", "%s", eddy_strerror(res));
    eddy_server_unref(server);
    return res;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    int port = 1234;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {0},
    };
    parse_options(argc, argv, "", "Serves lines to chapter_client for five seconds.", options);

    struct eddy_error err;
    struct chapter chapter = {.closing_time.fn = closing_time};
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &chapter.loop) < 0) {
        fprintf(stderr, "chapter_server: %s\n", error_text(&err));
        return 1;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    chapter.start_date = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    chapter.start = eddy_loop_time(chapter.loop);

    int res = serve(&chapter, host, port, &err);
    if (res < 0)
        fprintf(stderr, "chapter_server: %s\n", error_text(&err));
    eddy_loop_close(chapter.loop);
    eddy_loop_unref(chapter.loop);
    return res < 0;
}
