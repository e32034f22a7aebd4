/* smoke */
/*
 * Echo against a bare epoll server: the server's CPU per message, and what the connections got
 * done.
 *
 *     echo [--rounds N]            the comparison
 *     echo --backends A B [...]    Eddy on backend A, compared with Eddy on backend B
 *     echo --bare PORT             the bare server alone, to be started under a tool
 *     echo --load PORT CONNS N     the load alone: N messages of 64 bytes over CONNS connections
 */
#include "tests/bench/pair.h"

static void echo_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
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

static const char *ours, *base; /* backends; NULL: any, and the bare server */

static void serve_ours(int listener, void *arg)
{
    (void)arg;
    serve_eddy_on(listener, &echo, ours);
}

static void serve_base(int listener, void *arg)
{
    (void)arg;
    if (!base)
        serve_bare(listener, 0);
    serve_eddy_on(listener, &echo, base);
}

struct scenario {
    const char *what;
    int connections;
    size_t batch; /* bytes on their way in each connection */
    int messages; /* that these are */
    long batches;
    double budget;
};

static void compare(const struct scenario *s)
{
    struct series cpu = {
        .what = s->what, .unit = "ns", .scale = 1e9, .budget = base ? 0 : s->budget};

    for (int i = 0; i < rounds; i++)
        pair_round(&cpu, serve_ours, serve_base, s->connections, s->batch, smoke ? 500 : s->batches,
                   s->messages);
    series_print(&cpu);
}

static int bare_alone(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        die("listen");
    serve_bare(fd, 0);
}

static int load_alone(int port, int connections, long messages)
{
    struct client client;

    client_open(&client, port, connections, 64);
    client_run(&client, messages);
    client_close(&client);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"64 B, 1 connection", 1, 64, 1, 20000, 0},
        {"64 B, 50 connections", 50, 64, 1, 200000, 1.03},
        {"64 B, 50 connections, 16 at a time", 50, 1024, 16, 50000, 0},
        {"64 B, 1000 connections", 1000, 64, 1, 200000, 0},
        {"16 KiB, 50 connections", 50, 16384, 1, 50000, 0},
    };

    if (argc == 3 && strcmp(argv[1], "--bare") == 0)
        return bare_alone(atoi(argv[2]));
    if (argc == 5 && strcmp(argv[1], "--load") == 0)
        return load_alone(atoi(argv[2]), atoi(argv[3]), atol(argv[4]));
    if (argc >= 4 && strcmp(argv[1], "--backends") == 0) {
        ours = argv[2];
        base = argv[3];
        argc -= 3;
        argv += 3;
    }
    bench_options(argc, argv);
    pin_to(CLIENT_CORE);
    table_head("echo: server CPU per message", base ? base : "bare epoll");
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        compare(&scenarios[i]);
    return 0;
}
