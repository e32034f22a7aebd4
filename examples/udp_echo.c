/*
 * Sends each datagram back to where it came from; or, with --to, is the client: sends messages one
 * after the other, and sends again what has no answer in time, as nobody else does that for
 * datagrams. It shows:
 *  - endpoints that are bound, and hear everybody, and those that are connected to one address;
 *  - that errors end nothing: the client goes on when there is nobody yet at the other end;
 *  - a class of datagram protocols, with one struct for both modes.
 */
#include "common.h"

#include <eddy/eddy.h>

#include <signal.h>

struct echo {
    struct eddy_datagram_protocol base;
    struct eddy_loop *loop;
    struct eddy_signal interrupt, terminate;

    /* the client's */
    const char *message;
    long left, number; /* messages to go; the present one, which each datagram begins with */
    long tries, tried;
    eddy_nsec patience;
    struct eddy_timer again;
    int exit_code;
};

static struct echo *echo_of(struct eddy_datagram_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct echo, base);
}

static void print_error(int code, const struct eddy_addr *addr)
{
    char text[EDDY_ADDR_TEXT];

    fprintf(stderr, "udp_echo: %s: %s\n", addr ? eddy_addr_format(addr, text, sizeof(text)) : "?",
            eddy_strerror(code));
}

static void connection_lost(struct eddy_datagram_protocol *p, const struct eddy_error *err)
{
    struct echo *e = echo_of(p);

    if (err) {
        fprintf(stderr, "udp_echo: %s\n", error_text(err));
        e->exit_code = 1;
    }
    eddy_timer_cancel(&e->again);
    eddy_loop_stop(e->loop);
}

/* ---- the server ---- */

static void server_made(struct eddy_datagram_protocol *p, struct eddy_transport *t)
{
    struct eddy_addr a;
    char text[EDDY_ADDR_TEXT];

    (void)p;
    if (eddy_transport_sockname(t, &a) == 0)
        printf("listening on %s\n", eddy_addr_format(&a, text, sizeof(text)));
}

static void server_received(struct eddy_datagram_protocol *p, const void *data, size_t len,
                            const struct eddy_addr *from)
{
    int res = eddy_transport_sendto(p->base.transport, data, len, from);
    if (res < 0)
        print_error(res, from);
}

/* Who sends without reading shall not fill our memory. */
static void pause_writing(struct eddy_datagram_protocol *p)
{
    eddy_transport_pause_reading(p->base.transport);
}

static void resume_writing(struct eddy_datagram_protocol *p)
{
    eddy_transport_resume_reading(p->base.transport);
}

static void server_error(struct eddy_datagram_protocol *p, int code, const struct eddy_addr *addr)
{
    (void)p;
    print_error(code, addr);
}

static const struct eddy_datagram_protocol_class server_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct echo, base),
    .datagram_received = server_received,
    .error_received = server_error,
    .connection_made = server_made,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .connect_failed = connection_lost,
    .connection_lost = connection_lost,
};

/* ---- the client ---- */

static void send_message(struct echo *e)
{
    char text[1500];
    int len = snprintf(text, sizeof(text), "%ld %s", e->number, e->message);

    e->tried++;
    eddy_transport_sendto(e->base.base.transport, text,
                          len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1, NULL);
    eddy_loop_call_later(e->loop, &e->again, e->patience);
}

static void no_answer(struct eddy_timer *t)
{
    struct echo *e = EDDY_CONTAINER_OF(t, struct echo, again);
    struct eddy_error err;

    if (e->tried < e->tries) {
        send_message(e);
        return;
    }
    eddy_error_set(&err, -ETIMEDOUT, "echo", "no answer to message %ld, sent %ld times", e->number,
                   e->tried);
    eddy_transport_abort(e->base.base.transport, &err);
}

static void next_message(struct echo *e)
{
    e->tried = 0;
    e->number++;
    if (e->left-- > 0)
        send_message(e);
    else
        eddy_transport_close(e->base.base.transport);
}

static void client_made(struct eddy_datagram_protocol *p, struct eddy_transport *t)
{
    (void)t;
    next_message(echo_of(p));
}

/* An answer may be late, and come when its message was sent again: the number tells. */
static void client_received(struct eddy_datagram_protocol *p, const void *data, size_t len,
                            const struct eddy_addr *from)
{
    struct echo *e = echo_of(p);
    char text[1501];

    (void)from;
    if (len >= sizeof(text))
        return;
    memcpy(text, data, len);
    text[len] = '\0';
    if (strtol(text, NULL, 10) != e->number)
        return;
    printf("%s\n", text);
    eddy_timer_cancel(&e->again);
    next_message(e);
}

static void client_error(struct eddy_datagram_protocol *p, int code, const struct eddy_addr *addr)
{
    if (echo_of(p)->tried == 1) /* said once; the timer sends again */
        print_error(code, addr);
}

static const struct eddy_datagram_protocol_class client_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct echo, base),
    .datagram_received = client_received,
    .error_received = client_error,
    .connection_made = client_made,
    .connect_failed = connection_lost,
    .connection_lost = connection_lost,
};

/* ---- both ---- */

static void on_signal(struct eddy_signal *s, int signum)
{
    struct echo *e = signum == SIGINT ? EDDY_CONTAINER_OF(s, struct echo, interrupt)
                                      : EDDY_CONTAINER_OF(s, struct echo, terminate);
    eddy_transport_close(e->base.base.transport);
}

static int run(struct echo *e, const char *backend, const struct eddy_datagram_opts *opts)
{
    struct eddy_error *err = opts->error;

    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = err), &e->loop) < 0) {
        fprintf(stderr, "udp_echo: %s\n", error_text(err));
        return 1;
    }
    e->again.fn = no_answer;
    e->interrupt.fn = e->terminate.fn = on_signal;
    eddy_loop_add_signal(e->loop, &e->interrupt, SIGINT);
    eddy_loop_add_signal(e->loop, &e->terminate, SIGTERM);
    if (eddy_create_datagram_endpoint(e->loop, &e->base, opts, NULL) < 0) {
        fprintf(stderr, "udp_echo: %s\n", error_text(err));
        e->exit_code = 1;
    } else {
        int res = eddy_loop_run_forever(e->loop);
        if (res < 0)
            fprintf(stderr, "udp_echo: %s\n", eddy_strerror(res));
        e->exit_code |= res < 0;
    }
    eddy_loop_close(e->loop);
    eddy_loop_unref(e->loop);
    return e->exit_code;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *host = "127.0.0.1", *to = NULL;
    int port = 7000;
    struct eddy_error err = {.code = 0};
    struct echo e = {.left = 1, .tries = 5, .patience = EDDY_MSEC(500)};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--host", "ADDRESS", "where to listen (127.0.0.1)", option_text, &host},
        {"--port", "PORT", "where to listen, or send to; 0: any free one (7000)", option_port,
         &port},
        {"--to", "ADDRESS", "be the client of that address", option_text, &to},
        {"--count", "N", "client: so many messages (1)", option_count, &e.left},
        {"--tries", "N", "client: send each at most so often (5)", option_count, &e.tries},
        {"--patience", "SECONDS", "client: between two tries (0.5)", option_seconds, &e.patience},
        {0},
    };
    int words =
        parse_options(argc, argv, "[MESSAGE]", "Echoes datagrams, or has them echoed.", options);
    if (words > 1 || (words == 1 && !to))
        bad_usage(argv, to ? "expected one MESSAGE" : "a MESSAGE is for --to");
    e.message = words ? argv[1] : "hello";
    eddy_datagram_protocol_init(&e.base, to ? &client_class : &server_class);
    if (to)
        return run(&e, backend,
                   EDDY_DATAGRAM(.remote_host = to, .remote_port = port, .error = &err));
    return run(&e, backend, EDDY_DATAGRAM(.local_host = host, .local_port = port, .error = &err));
}
