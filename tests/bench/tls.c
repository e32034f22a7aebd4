/* smoke */
/* needs: openssl */
/*
 * TLS: the server's CPU per message and per handshake, of Eddy's server and of three others under
 * the same load: epoll and OpenSSL on the socket, epoll and OpenSSL with a BIO of its own, and
 * libevent's, where that was there when this was built. All of them run all the time and are loaded
 * in turns, in slices of some milliseconds.
 *
 *     tls [--rounds N] [NAME...]            the comparison, or the rows with these words in them
 *     tls --serve WHO PORT [PIECE]          one server alone, to be started under a tool: eddy,
 *                                           socket, bio or libevent
 *     tls --servers                         whom there is
 *     tls --load PORT CONNS BATCH N         the load alone: N batches of so many bytes
 *     tls --greet PORT N [resumed]          the load alone: N handshakes, one after the other
 */
#include "tests/bench/tls_bare.h"
#include "tests/bench/tls_client.h"
#ifdef EDDY_BENCH_LIBEVENT
#include "tests/bench/tls_libevent.h"
#endif

#define SLICES 20
#define REPLY 64 /* bytes, where each request of a batch is answered by a write */
#define CONTENDERS_MAX 4

/* ---- the servers ---- */

static void echo_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static void reply_data(struct eddy_protocol *p, const void *data, size_t len)
{
    for (const char *request = data; len > 0;) {
        size_t n = len < REPLY ? len : REPLY;

        eddy_transport_write(p->transport, request, n);
        request += n;
        len -= n;
    }
}

static void echo_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void echo_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo_data,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

static const struct eddy_protocol_class reply = {
    EDDY_STATELESS_PROTOCOL_CLASS("reply"),
    .data_received = reply_data,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

/* piece: bytes of each answer, 0 or REPLY. */
static void serve_ours(int listener, size_t piece)
{
    serve_eddy_tls(listener, piece ? &reply : &echo, 4096);
}

static void serve_socket(int listener, size_t piece)
{
    serve_bare_tls(listener, piece, false);
}

static void serve_bio(int listener, size_t piece)
{
    serve_bare_tls(listener, piece, true);
}

static const struct contender_class {
    const char *name, *title;
    void (*serve)(int listener, size_t piece);
} classes[] = {
    {"eddy", "Eddy", serve_ours},
    {"socket", "socket BIO", serve_socket},
    {"bio", "own BIO", serve_bio},
#ifdef EDDY_BENCH_LIBEVENT
    {"libevent", "libevent", serve_libevent_tls},
#endif
};

#define CONTENDERS (int)(sizeof classes / sizeof classes[0])

/* ---- the rows ---- */

struct row {
    const char *what;
    enum { ECHO, FULL, RESUMED } kind;
    int connections; /* at a time */
    size_t batch;    /* bytes on their way in each */
    size_t piece;    /* see serve */
    int messages;    /* that a batch is */
    long batches;    /* or handshakes */
};

struct contender {
    const struct contender_class *cls;
    const struct row *row;
    struct child server;
    struct tls_client client;
    SSL_SESSION *session;
    double cpu; /* seconds that the server took */
};

static void serve(int listener, void *arg)
{
    const struct contender *c = arg;

    c->cls->serve(listener, c->row->piece);
}

static void contender_run(struct contender *c, long batches)
{
    if (c->row->kind == ECHO)
        tls_client_run(&c->client, batches);
    else
        tls_client_greet(&c->client, c->server.port, batches, c->session);
}

static void contender_open(struct contender *c)
{
    const struct row *r = c->row;

    child_start(&c->server, serve, c);
    c->session = r->kind == RESUMED ? tls_session_of(c->server.port) : NULL;
    if (r->kind == ECHO)
        tls_client_open(&c->client, c->server.port, r->connections, r->batch);
    else
        tls_client_init(&c->client, r->connections, r->batch);
    contender_run(c, r->connections * 4L); /* warm */
    c->cpu = 0;
}

static void contender_close(struct contender *c)
{
    SSL_SESSION_free(c->session);
    if (c->row->kind == ECHO)
        tls_client_close(&c->client);
    else
        tls_client_free(&c->client);
    child_stop(&c->server);
}

static void contender_slice(struct contender *c, long batches)
{
    double before = cpu_of(c->server.pid);

    contender_run(c, batches);
    c->cpu += cpu_of(c->server.pid) - before;
}

/* Seconds of server CPU per message, of each. */
static void measure(const struct row *r, double ret[CONTENDERS_MAX])
{
    struct contender c[CONTENDERS_MAX];
    int slices = smoke ? 2 : SLICES;
    long slice = (smoke ? 2 : r->batches) / slices + 1;

    for (int i = 0; i < CONTENDERS; i++) {
        c[i] = (struct contender){.cls = &classes[i], .row = r};
        contender_open(&c[i]);
    }
    for (int s = 0; s < slices; s++) {
        for (int i = 0; i < CONTENDERS; i++)
            contender_slice(&c[(i * (s % 2 ? 1 : CONTENDERS - 1) + s) % CONTENDERS], slice);
    }
    for (int i = 0; i < CONTENDERS; i++) {
        ret[i] = c[i].cpu / (double)(slice * slices * r->messages);
        contender_close(&c[i]);
    }
}

/* ---- the table ---- */

static void print_head(void)
{
    printf("\nTLS: server CPU per message or handshake, and ratios to that of others "
           "(%d round%s%s)\n| %-44s | %10s |",
           rounds, rounds == 1 ? "" : "s", smoke ? ": only a trial, the figures mean nothing" : "",
           "", "Eddy");
    for (int i = 1; i < CONTENDERS; i++)
        printf(" / %-13s |", classes[i].title);
    printf("\n|%.46s|%.11s:|", "----------------------------------------------", "------------");
    for (int i = 1; i < CONTENDERS; i++)
        printf("%.16s:|", "----------------");
    printf("\n");
}

static void compare(const struct row *r)
{
    static double cpu[CONTENDERS_MAX][ROUNDS_MAX];
    double ratio[ROUNDS_MAX], each[CONTENDERS_MAX];

    for (int i = 0; i < rounds; i++) {
        measure(r, each);
        for (int k = 0; k < CONTENDERS; k++)
            cpu[k][i] = each[k];
    }
    printf("| %-44s |", r->what);
    for (int k = 1; k < CONTENDERS; k++) {
        for (int i = 0; i < rounds; i++)
            ratio[i] = cpu[0][i] / cpu[k][i];
        double spread = quantile(ratio, rounds, 0.75) - quantile(ratio, rounds, 0.25);
        char text[32];

        snprintf(text, sizeof text, "%.3f +- %.3f", quantile(ratio, rounds, 0.5), spread / 2);
        if (k == 1) {
            memcpy(each, cpu[0], sizeof each);
            printf(" %7.2f us |", quantile(cpu[0], rounds, 0.5) * 1e6);
        }
        printf(" %15s |", text);
    }
    printf("\n");
}

/* ---- each half alone, for tools ---- */

static int listen_on(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        die("listen");
    return fd;
}

static int serve_alone(const char *who, int port, size_t piece)
{
    for (int i = 0; i < CONTENDERS; i++) {
        if (strcmp(who, classes[i].name) == 0) {
            classes[i].serve(listen_on(port), piece);
            return 0;
        }
    }
    fprintf(stderr, "there is no server %s\n", who);
    return 2;
}

static int list_servers(void)
{
    for (int i = 0; i < CONTENDERS; i++)
        puts(classes[i].name);
    return 0;
}

static int load_alone(int port, int connections, size_t batch, long batches)
{
    struct tls_client client;

    tls_client_open(&client, port, connections, batch);
    tls_client_run(&client, batches);
    tls_client_close(&client);
    return 0;
}

static int greet_alone(int port, long count, bool resumed)
{
    struct tls_client client;
    SSL_SESSION *session = resumed ? tls_session_of(port) : NULL;

    tls_client_init(&client, 1, 64);
    tls_client_greet(&client, port, count, session);
    tls_client_free(&client);
    SSL_SESSION_free(session);
    return 0;
}

/* True: *ret is the exit status. */
static bool alone(int argc, char **argv, int *ret)
{
    if (argc >= 4 && strcmp(argv[1], "--serve") == 0)
        *ret = serve_alone(argv[2], atoi(argv[3]), argc > 4 ? (size_t)atol(argv[4]) : 0);
    else if (argc == 2 && strcmp(argv[1], "--servers") == 0)
        *ret = list_servers();
    else if (argc == 6 && strcmp(argv[1], "--load") == 0)
        *ret = load_alone(atoi(argv[2]), atoi(argv[3]), (size_t)atol(argv[4]), atol(argv[5]));
    else if (argc >= 4 && strcmp(argv[1], "--greet") == 0)
        *ret = greet_alone(atoi(argv[2]), atol(argv[3]), argc > 4);
    else
        return false;
    return true;
}

static bool is_wanted(const char *what, int n, char **words)
{
    for (int i = 0; i < n; i++) {
        if (strstr(what, words[i]))
            return true;
    }
    return n == 0;
}

int main(int argc, char **argv)
{
    static const struct row rows[] = {
        {"64 B echo, 1 connection", ECHO, 1, 64, 0, 1, 20000},
        {"64 B echo, 50 connections", ECHO, 50, 64, 0, 1, 50000},
        {"16 KiB echo, 50 connections", ECHO, 50, 16384, 0, 1, 20000},
        {"reply: 16 writes of 64 B per read, 50 conns", ECHO, 50, 16 * REPLY, REPLY, 16, 10000},
        {"full handshake, one echo, close; 32 at a time", FULL, 32, 64, 0, 1, 1000},
        {"resumed handshake, one echo, close; 32", RESUMED, 32, 64, 0, 1, 1000},
    };
    int options = 1, rc;

    tls_make_certificate();
    if (alone(argc, argv, &rc))
        return rc;
    while (options < argc && strncmp(argv[options], "--", 2) == 0)
        options += strcmp(argv[options], "--rounds") == 0 ? 2 : 1;
    if (options > argc)
        options = argc;
    bench_options(options, argv);
    pin_to(CLIENT_CORE);
    print_head();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (is_wanted(rows[i].what, argc - options, argv + options))
            compare(&rows[i]);
    }
    return 0;
}
