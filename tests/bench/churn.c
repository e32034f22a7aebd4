/* smoke */
/* Connections that come, get one echo of 64 bytes, and go: 32 at a time, against a bare epoll
 * server. */
#include "tests/bench/pair.h"

#define AT_ONCE 32
#define REQUEST 64

static void echo_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo_data,
};

static void serve_ours(int listener, void *arg)
{
    (void)arg;
    serve_eddy(listener, &echo);
}

static void serve_base(int listener, void *arg)
{
    (void)arg;
    serve_bare(listener, 0);
}

struct visit {
    int fd;
    bool asked;
};

static void visit_start(int ep, struct visit *v, int port)
{
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = v};

    v->fd = client_connect(port, SOCK_NONBLOCK);
    v->asked = false;
    if (epoll_ctl(ep, EPOLL_CTL_ADD, v->fd, &e) < 0)
        die("epoll_ctl");
}

/* True when the echo has come, and the connection is closed. */
static bool visit_goes_on(int ep, struct visit *v)
{
    char reply[REQUEST + 1];

    if (!v->asked) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};

        if (send(v->fd, client_sent, REQUEST, MSG_NOSIGNAL) != REQUEST)
            die("send");
        v->asked = true;
        epoll_ctl(ep, EPOLL_CTL_MOD, v->fd, &e);
        return false;
    }
    if (recv(v->fd, reply, sizeof reply, 0) != REQUEST)
        die("recv");
    close(v->fd);
    return true;
}

static void visit_all(int port, long total)
{
    struct visit visits[AT_ONCE];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    long started = 0, ended = 0;

    for (; started < AT_ONCE && started < total; started++)
        visit_start(ep, &visits[started], port);
    while (ended < total) {
        struct epoll_event ev[AT_ONCE];
        int n = epoll_wait(ep, ev, AT_ONCE, 10000);

        if (n == 0) {
            fprintf(stderr, "no answer for 10 seconds\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct visit *v = ev[i].data.ptr;

            if (!visit_goes_on(ep, v))
                continue;
            ended++;
            if (started < total) {
                visit_start(ep, v, port);
                started++;
            }
        }
    }
    close(ep);
}

static double slice(const struct child *server, long total)
{
    double before = cpu_of(server->pid);

    visit_all(server->port, total);
    return cpu_of(server->pid) - before;
}

/* Adds one round: seconds of server CPU per connection. Both servers run, and take turns. */
static void churn_round(struct series *s, long total)
{
    struct child us, them;
    double ours = 0, base = 0;
    long part = total / SLICES;

    child_start(&us, serve_ours, NULL);
    child_start(&them, serve_base, NULL);
    slice(&us, AT_ONCE);
    slice(&them, AT_ONCE);
    for (int i = 0; i < SLICES; i++) {
        if (i % 2)
            ours += slice(&us, part);
        base += slice(&them, part);
        if (i % 2 == 0)
            ours += slice(&us, part);
    }
    series_add(s, ours / (double)(part * SLICES), base / (double)(part * SLICES));
    child_stop(&us);
    child_stop(&them);
}

int main(int argc, char **argv)
{
    struct series cpu = {.what = "server CPU per connection", .unit = "us", .scale = 1e6};

    bench_options(argc, argv);
    pin_to(CLIENT_CORE);
    for (int i = 0; i < rounds; i++)
        churn_round(&cpu, smoke ? 400 : 8000);
    table_head("connect, echo 64 B, close: 32 at a time", "bare epoll");
    series_print(&cpu);
    return 0;
}
