/* smoke */
/*
 * Datagrams of 64 bytes sent back: one at a time, and bursts. The base is a loop of epoll_wait,
 * recvfrom and sendto until nothing is left, as programs without such a layer have it.
 */
#include "tests/bench/bench.h"

#include <poll.h>
#include <sys/epoll.h>

#define SIZE 64
#define SLICES 20

static int udp_socket(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int room = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (ret_port)
        *ret_port = ntohs(a.sin_port);
    return fd;
}

/* ---- the servers, each in a process of its own ---- */

static void echo(struct eddy_datagram_protocol *p, const void *data, size_t len,
                 const struct eddy_addr *from)
{
    eddy_transport_sendto(p->base.transport, data, len, from);
}

struct echo {
    struct eddy_datagram_protocol base;
};

static const struct eddy_datagram_protocol_class echo_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct echo, base),
    .datagram_received = echo,
};

static void serve_eddy_udp(int fd)
{
    struct eddy_loop *loop;
    struct echo e;

    eddy_datagram_protocol_init(&e.base, &echo_class);
    if (eddy_loop_new(EDDY_LOOP(.backend = "epoll"), &loop) < 0 ||
        eddy_create_datagram_endpoint(loop, &e.base, EDDY_DATAGRAM(.sock = fd, .use_sock = true),
                                      NULL) < 0)
        die("endpoint");
    eddy_loop_run_forever(loop);
}

static void serve_bare_udp(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    static char buffer[65536];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll");
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) < 0)
            die("epoll_wait");
        for (;;) {
            struct sockaddr_in from;
            socklen_t len = sizeof from;
            ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &len);

            if (n < 0)
                break;
            if (sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, len) < 0)
                die("sendto");
        }
    }
}

struct contender {
    pid_t pid;
    int fd; /* the client's */
    double cpu;
};

static void open_contender(struct contender *c, void (*serve)(int fd))
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port, fd = udp_socket(&port);

    c->pid = fork();
    if (c->pid < 0)
        die("fork");
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin_to(SERVER_CORE);
        serve(fd);
        _exit(1);
    }
    close(fd);
    c->fd = udp_socket(NULL);
    a.sin_port = htons((uint16_t)port);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("connect");
    c->cpu = 0;
}

static void close_contender(struct contender *c)
{
    close(c->fd);
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
}

/* `bursts` bursts, each answered before the next. Loopback loses none that there is room for. */
static void exchange(struct contender *c, long bursts, int burst)
{
    char bytes[SIZE] = {0};
    struct pollfd ready = {.fd = c->fd, .events = POLLIN};
    double before = cpu_of(c->pid);

    while (bursts-- > 0) {
        for (int i = 0; i < burst; i++)
            if (send(c->fd, bytes, sizeof bytes, 0) < 0)
                die("send");
        for (int left = burst; left > 0;) {
            if (recv(c->fd, bytes, sizeof bytes, 0) >= 0)
                left--;
            else if (errno != EAGAIN || poll(&ready, 1, 5000) <= 0)
                die("no answer");
        }
    }
    c->cpu += cpu_of(c->pid) - before;
}

static void round_of(struct series *s, long bursts, int burst)
{
    struct contender us, them;
    long slice = bursts / SLICES + 1;

    open_contender(&us, serve_eddy_udp);
    open_contender(&them, serve_bare_udp);
    exchange(&us, 10, burst); /* warm */
    exchange(&them, 10, burst);
    us.cpu = them.cpu = 0;
    for (int i = 0; i < SLICES; i++) {
        exchange(i % 2 ? &us : &them, slice, burst);
        exchange(i % 2 ? &them : &us, slice, burst);
    }
    double total = (double)(slice * SLICES * burst);
    series_add(s, us.cpu / total, them.cpu / total);
    close_contender(&us);
    close_contender(&them);
}

int main(int argc, char **argv)
{
    struct series one = {.what = "CPU per datagram, one by one", .unit = "ns", .scale = 1e9};
    struct series many = {.what = "CPU per datagram, bursts of 64", .unit = "ns", .scale = 1e9};

    bench_options(argc, argv);
    pin_to(CLIENT_CORE);
    for (int i = 0; i < rounds; i++) {
        round_of(&one, smoke ? 200 : 20000, 1);
        round_of(&many, smoke ? 20 : 1000, 64);
    }
    table_head("UDP echo, 64 B", "bare recvfrom, sendto");
    series_print(&one);
    series_print(&many);
    return 0;
}
