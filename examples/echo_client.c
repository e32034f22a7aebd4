/*
 * Sends a message (or standard input, or patterned data) to an echo server and checks every byte
 * that comes back. It shows:
 *  - flow control: write until pause_writing, go on at resume_writing. However much is sent, little
 *    of it is in memory.
 *  - one deadline over connecting and exchanging: a timer and eddy_protocol_abort, which ends the
 *    attempt to connect or the connection, whichever there is.
 */
#include "common.h"

#include <eddy/eddy.h>

#include <inttypes.h>

struct exchange {
    struct eddy_protocol base;
    struct eddy_loop *loop;
    struct eddy_timer deadline;
    eddy_nsec timeout;
    eddy_nsec connected_at;
    const char *data; /* what is sent: `len` bytes, again and again until `total` is reached */
    size_t len;
    int64_t total, sent, received;
    bool show; /* print what comes back */
    int exit_code;
};

static struct exchange *exchange_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct exchange, base);
}

/* How many of the next bytes at `offset` of the stream lie in one piece of the data, and where. */
static size_t piece_at(const struct exchange *x, int64_t offset, size_t max, const char **ret)
{
    size_t start = (size_t)(offset % (int64_t)x->len);
    *ret = x->data + start;
    return max < x->len - start ? max : x->len - start;
}

/* ---- sending ---- */

static void send_more(struct exchange *x)
{
    struct eddy_transport *t = x->base.transport;

    while (x->sent < x->total && !eddy_transport_is_writing_paused(t)) {
        const char *piece;
        int64_t left = x->total - x->sent;
        size_t n = piece_at(x, x->sent, left < 65536 ? (size_t)left : 65536, &piece);
        if (eddy_transport_write(t, piece, n) < 0)
            return; /* it is closing: connection_lost will say why */
        x->sent += (int64_t)n;
    }
    if (x->sent == x->total)
        eddy_transport_write_eof(t); /* the server sends the rest back, and closes */
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    struct exchange *x = exchange_of(p);
    x->connected_at = eddy_loop_time(x->loop);
    send_more(x);
}

static void resume_writing(struct eddy_protocol *p)
{
    send_more(exchange_of(p));
}

/* ---- receiving ---- */

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct exchange *x = exchange_of(p);
    const char *bytes = data;

    if ((int64_t)len > x->total - x->received) {
        eddy_transport_abort(p->transport, EDDY_ERROR(-EPROTO, "more came back than was sent"));
        return;
    }
    if (x->show)
        fwrite(data, 1, len, stdout);
    while (len) {
        const char *piece;
        size_t n = piece_at(x, x->received, len, &piece);
        if (memcmp(bytes, piece, n) != 0) {
            struct eddy_error err;
            eddy_error_set(&err, -EPROTO, "compare",
                           "what came back differs from what was sent, after byte %" PRId64,
                           x->received);
            eddy_transport_abort(p->transport, &err);
            return;
        }
        x->received += (int64_t)n;
        bytes += n;
        len -= n;
    }
}

/* ---- the end: one of these two is called, once ---- */

static void end(struct exchange *x, const struct eddy_error *err)
{
    double seconds = (double)(eddy_loop_time(x->loop) - x->connected_at) / 1e9;

    eddy_timer_cancel(&x->deadline);
    if (err) {
        fprintf(stderr, "echo_client: %s\n", error_text(err));
    } else if (x->received < x->total) {
        fprintf(stderr, "echo_client: the server closed after %" PRId64 " of %" PRId64 " bytes\n",
                x->received, x->total);
    } else {
        x->exit_code = 0;
        if (!x->show)
            printf("%" PRId64 " bytes there and back in %.2f s: %.1f MB/s\n", x->total, seconds,
                   (double)x->total / seconds / 1e6);
    }
    eddy_loop_stop(x->loop);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    end(exchange_of(p), err);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    end(exchange_of(p), err);
}

static void deadline_passed(struct eddy_timer *t)
{
    struct exchange *x = EDDY_CONTAINER_OF(t, struct exchange, deadline);
    struct eddy_error err;

    eddy_error_set(&err, -ETIMEDOUT, "echo",
                   "%s after %g s: %" PRId64 " of %" PRId64 " bytes came back",
                   x->base.transport ? "not finished" : "not connected", (double)x->timeout / 1e9,
                   x->received, x->total);
    eddy_protocol_abort(&x->base, &err);
}

static const struct eddy_protocol_class echo_client = {
    EDDY_PROTOCOL_CLASS(struct exchange, base), .connection_made = connection_made,
    .connect_failed = connect_failed,           .data_received = data_received,
    .resume_writing = resume_writing,           .connection_lost = connection_lost,
};

static int run(struct exchange *x, const char *backend, const char *host, int port)
{
    struct eddy_error err;

    x->exit_code = 1;
    x->deadline.fn = deadline_passed;
    eddy_protocol_init(&x->base, &echo_client);
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &x->loop) < 0) {
        fprintf(stderr, "echo_client: %s\n", error_text(&err));
        return 1;
    }
    eddy_loop_call_later(x->loop, &x->deadline, x->timeout);
    if (eddy_create_connection(x->loop, &x->base,
                               EDDY_CONNECTION(.host = host, .port = port, .error = &err),
                               NULL) < 0) {
        fprintf(stderr, "echo_client: %s\n", error_text(&err));
    } else {
        int res = eddy_loop_run_forever(x->loop);
        if (res < 0) {
            fprintf(stderr, "echo_client: %s\n", eddy_strerror(res));
            x->exit_code = 1;
        }
    }
    eddy_loop_close(x->loop);
    eddy_loop_unref(x->loop);
    return x->exit_code;
}

/* ---- what is sent: each returns memory for the caller to free, or NULL ---- */

static char *line_of(const char *text, size_t *ret_len)
{
    size_t len = strlen(text);
    char *line = malloc(len + 1);
    if (line) {
        memcpy(line, text, len);
        line[len] = '\n';
        *ret_len = len + 1;
    }
    return line;
}

static char *read_all(FILE *file, size_t *ret_len)
{
    char *data = NULL;
    size_t len = 0;
    size_t n;

    do {
        char *more = realloc(data, len + 65536);
        if (!more) {
            free(data);
            return NULL;
        }
        data = more;
        n = fread(data + len, 1, 65536, file);
        len += n;
    } while (n > 0);
    if (ferror(file)) {
        free(data);
        return NULL;
    }
    *ret_len = len;
    return data;
}

/* Its length is a prime: bytes that got lost or doubled by the block do not go unnoticed. */
static char *make_pattern(size_t *ret_len)
{
    size_t len = 65521;
    char *data = malloc(len);
    uint32_t x = 1;

    for (size_t i = 0; data && i < len; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
    }
    *ret_len = len;
    return data;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    int port = 7000;
    int64_t bytes = 0;
    struct exchange x = {.timeout = EDDY_SEC(30)};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_CONNECT_PORT(&port),
        {"--bytes", "N[K|M|G]", "send so much patterned data, print the rate", option_bytes,
         &bytes},
        {"--timeout", "SECONDS", "for everything, connecting included (30)", option_seconds,
         &x.timeout},
        {0},
    };
    int words = parse_options(argc, argv, "[MESSAGE]",
                              "Sends MESSAGE, or else its input, to an echo server, checks and\n"
                              "prints what comes back.",
                              options);
    if (words > 1)
        bad_usage(argv, "expected one MESSAGE, got %d", words);
    if (words && bytes)
        bad_usage(argv, "either a MESSAGE or --bytes");

    char *data;
    if (bytes)
        data = make_pattern(&x.len);
    else
        data = words ? line_of(argv[1], &x.len) : read_all(stdin, &x.len);
    if (!data) {
        perror("echo_client: cannot read what to send");
        return 1;
    }
    x.data = data;
    x.total = bytes ? bytes : (int64_t)x.len;
    x.show = !bytes;
    int exit_code = run(&x, backend, host, port);
    free(data);
    return exit_code;
}
