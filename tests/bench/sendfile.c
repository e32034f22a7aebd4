/* smoke */
/*
 * Files of 1 MiB and of 64 KiB on request: Eddy's sendfile against its write of the same bytes from
 * memory, and against a bare epoll loop over sendfile(2). All three servers run, and take turns.
 *
 * To write may be the cheaper: on loopback there is no hardware that reads the file's pages by
 * itself, and bytes that are always the same are in the processor's cache.
 */
#include "tests/bench/bare.h"
#include "tests/bench/client.h"

#include <eddy/sendfile.h>
#include <sys/sendfile.h>

#define CONNECTIONS 8
#define SLICES 20
#define LARGE (1u << 20)

static struct {
    int fd;
    size_t len;
    char bytes[LARGE];
} file;

static void make_file(size_t len)
{
    char name[] = "/tmp/eddy-bench-XXXXXX";

    file.fd = mkstemp(name);
    if (file.fd < 0 || unlink(name) < 0)
        die("mkstemp");
    file.len = len;
    for (size_t i = 0; i < len; i++)
        file.bytes[i] = (char)(i * 7 + i / 251);
    if (write(file.fd, file.bytes, len) != (ssize_t)len)
        die("write");
}

/* ---- the servers: each byte that comes asks for the file ---- */

static void by_sendfile(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)data;
    while (len-- > 0)
        eddy_transport_sendfile(p->transport, file.fd, EDDY_SENDFILE(.count = (int64_t)file.len),
                                NULL);
}

static void by_write(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)data;
    while (len-- > 0)
        eddy_transport_write(p->transport, file.bytes, file.len);
}

static const struct eddy_protocol_class sendfile_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("sendfile"),
    .data_received = by_sendfile,
};
static const struct eddy_protocol_class write_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("write"),
    .data_received = by_write,
};

static void serve_class(int listener, void *arg)
{
    serve_eddy(listener, arg);
}

/* Of a connection, `off` is where in the file it is. */
static void bare_file_goes_on(struct bare *b, struct bare_connection *c, bool waited)
{
    while (c->off < file.len) {
        off_t at = (off_t)c->off;
        ssize_t n = sendfile(c->fd, file.fd, &at, file.len - c->off);

        if (n <= 0 && errno == EAGAIN) {
            if (!waited)
                bare_interest(b, c, EPOLL_CTL_MOD, EPOLLOUT);
            return;
        }
        if (n <= 0)
            die("sendfile");
        c->off += (size_t)n;
    }
    if (waited)
        bare_interest(b, c, EPOLL_CTL_MOD, EPOLLIN);
}

/* The client asks for one file at a time. */
static void bare_file_asked(struct bare *b, struct bare_connection *c)
{
    if (recv(c->fd, bare_buffer, sizeof bare_buffer, 0) <= 0) {
        bare_drop(c);
        return;
    }
    c->off = 0;
    bare_file_goes_on(b, c, false);
}

static void serve_bare_file(int listener, void *arg)
{
    struct bare b = {.ep = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event ev[256], e = {.events = EPOLLIN, .data.ptr = NULL};
    int on = 1;

    (void)arg;
    signal(SIGPIPE, SIG_IGN);
    if (b.ep < 0 || ioctl(listener, FIONBIO, &on) < 0 ||
        epoll_ctl(b.ep, EPOLL_CTL_ADD, listener, &e) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(b.ep, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            struct bare_connection *c = ev[i].data.ptr;

            if (!c)
                bare_accept(&b, listener);
            else if (ev[i].events & EPOLLOUT)
                bare_file_goes_on(&b, c, true);
            else
                bare_file_asked(&b, c);
        }
    }
}

/* ---- the client: a file on each connection at the same time, again and again ---- */

struct contender {
    struct child server;
    struct client client; /* of which `batch` is not used */
    double cpu;           /* seconds that the server took */
};

static void ask(struct client_connection *c)
{
    c->got = 0;
    if (send(c->fd, "g", 1, MSG_NOSIGNAL) != 1)
        die("send");
}

/* True if this was the end of the file. */
static bool receive(struct client_connection *c)
{
    ssize_t n = recv(c->fd, client_buffer, sizeof client_buffer, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0 || (size_t)n > file.len - c->got ||
        memcmp(client_buffer, file.bytes + c->got, (size_t)n) != 0) {
        fprintf(stderr, "that is not the file\n");
        exit(1);
    }
    c->got += (size_t)n;
    return c->got == file.len;
}

static void fetch(struct client *c, long files)
{
    long asked = 0;

    for (; asked < c->n; asked++)
        ask(&c->conns[asked]);
    for (long done = 0; done < files;) {
        struct epoll_event ev[CONNECTIONS];
        int n = epoll_wait(c->ep, ev, CONNECTIONS, 10000);

        if (n == 0) {
            fprintf(stderr, "no file for 10 seconds\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct client_connection *conn = ev[i].data.ptr;

            if (!receive(conn))
                continue;
            done++;
            if (asked++ < files)
                ask(conn);
        }
    }
}

static void contender_open(struct contender *c, void (*serve)(int listener, void *arg),
                           const struct eddy_protocol_class *cls)
{
    child_start(&c->server, serve, (void *)(uintptr_t)cls);
    client_open(&c->client, c->server.port, CONNECTIONS, 0);
    fetch(&c->client, CONNECTIONS * 4L); /* warm */
    c->cpu = 0;
}

static void contender_slice(struct contender *c, long files)
{
    double before = cpu_of(c->server.pid);

    fetch(&c->client, files);
    c->cpu += cpu_of(c->server.pid) - before;
}

static void contender_close(struct contender *c)
{
    client_close(&c->client);
    child_stop(&c->server);
}

enum { SENDFILE, WRITE, BARE, CONTENDERS };

/* Adds one round: seconds of server CPU per file. */
static void file_round(struct series *to_write, struct series *to_bare, long files)
{
    struct contender c[CONTENDERS];
    double total = (double)(files / SLICES * SLICES);

    contender_open(&c[SENDFILE], serve_class, &sendfile_class);
    contender_open(&c[WRITE], serve_class, &write_class);
    contender_open(&c[BARE], serve_bare_file, NULL);
    for (int i = 0; i < SLICES; i++)
        for (int k = 0; k < CONTENDERS; k++)
            contender_slice(&c[(i + k) % CONTENDERS], files / SLICES);
    series_add(to_write, c[SENDFILE].cpu / total, c[WRITE].cpu / total);
    series_add(to_bare, c[SENDFILE].cpu / total, c[BARE].cpu / total);
    for (int k = 0; k < CONTENDERS; k++)
        contender_close(&c[k]);
}

static void measure(size_t len, const char *size, long files)
{
    struct series to_write = {.what = "sendfile: CPU per file", .unit = "us", .scale = 1e6};
    struct series to_bare = to_write;
    char title[100];

    make_file(len);
    for (int i = 0; i < rounds; i++)
        file_round(&to_write, &to_bare, files);
    snprintf(title, sizeof title, "files of %s over %d connections", size, CONNECTIONS);
    table_head(title, "Eddy's write");
    series_print(&to_write);
    table_head(title, "bare sendfile");
    series_print(&to_bare);
    close(file.fd);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv);
    pin_to(CLIENT_CORE);
    measure(LARGE, "1 MiB", smoke ? 160 : 1000);
    measure(1u << 16, "64 KiB", smoke ? 400 : 10000);
    return 0;
}
