/* smoke */
/*
 * Memory of idle connections: 10,000 of them, held by a process of their own after one echo each.
 * First by what the server's resident memory grows, against a bare epoll server that allocates 32
 * bytes for each; then by what Eddy asks of its allocator.
 */
#include "tests/bench/bare.h"
#include "tests/bench/client.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define REQUEST 64
#define OWN_STRUCT sizeof(struct eddy_protocol) /* the user's, here without members of its own */
#define BUDGET 256

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

/* ---- counting what is allocated, in memory shared with the process that asks ---- */

struct shared {
    atomic_long allocated;
    atomic_bool started;
};

static struct shared *shared;

union header {
    size_t size;
    max_align_t align;
};

static void *counted_realloc(void *user, void *ptr, size_t size)
{
    union header *old = ptr ? (union header *)ptr - 1 : NULL;
    size_t was = old ? old->size : 0;
    union header *h = realloc(old, sizeof *h + size);

    (void)user;
    if (!h)
        return NULL;
    atomic_fetch_add(&shared->allocated, (long)size - (long)was);
    h->size = size;
    return h + 1;
}

static void *counted_alloc(void *user, size_t size)
{
    return counted_realloc(user, NULL, size);
}

static void counted_free(void *user, void *ptr)
{
    union header *h = (union header *)ptr - 1;

    (void)user;
    atomic_fetch_sub(&shared->allocated, (long)h->size);
    free(h);
}

static void server_started(struct eddy_server *server, void *arg)
{
    (void)server, (void)arg;
    shared->started = true;
}

static void serve_counted(int listener, void *arg)
{
    (void)arg;
    eddy_set_allocator(&(struct eddy_allocator){
        .alloc = counted_alloc, .realloc = counted_realloc, .free = counted_free});
    eddy_serve(&echo, EDDY_SERVER(.use_sock = true, .sock = listener, .backlog = 4096,
                                  .started = server_started));
}

/* ---- measuring ---- */

/* Resident anonymous memory of a process, in bytes. */
static long resident(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        die(path);
    while (kib < 0 && fgets(line, sizeof line, f))
        sscanf(line, "RssAnon: %ld kB", &kib);
    fclose(f);
    return kib * 1024;
}

/* A process that opens n connections, uses each once, reports by a byte, and holds them until its
 * end of the pipe is closed. */
static pid_t hold_connections(int port, int n, const int report[2], const int hold[2])
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct client client;
    char c = 0;
    close(hold[1]);
    client_open(&client, port, n, REQUEST);
    client_run(&client, n);
    if (write(report[1], &c, 1) != 1)
        die("write");
    while (read(hold[0], &c, 1) > 0)
        ;
    _exit(0);
}

/* Makes a process hold n connections to a server; `ret` is the end of a pipe to let go with. */
static pid_t open_connections(int port, int n, int *ret)
{
    int report[2], hold[2];
    char c;

    if (pipe(report) < 0 || pipe(hold) < 0)
        die("pipe");
    pid_t holder = hold_connections(port, n, report, hold);
    close(report[1]);
    close(hold[0]);
    if (holder < 0 || read(report[0], &c, 1) != 1) {
        fprintf(stderr, "the connections were not made\n");
        exit(1);
    }
    close(report[0]);
    *ret = hold[1];
    return holder;
}

static void let_go(pid_t holder, int hold)
{
    close(hold);
    waitpid(holder, NULL, 0);
}

/* Bytes by which a server's resident memory grows, per connection. */
static double measure_resident(void (*serve)(int listener, void *arg), int n)
{
    struct child server;
    struct client first;
    int hold;

    child_start(&server, serve, NULL);
    client_open(&first, server.port, 1, REQUEST); /* what is made on first use is there now */
    client_run(&first, 1);
    long before = resident(server.pid);
    pid_t holder = open_connections(server.port, n, &hold);
    double bytes = (double)(resident(server.pid) - before) / n;
    let_go(holder, hold);
    client_close(&first);
    child_stop(&server);
    return bytes;
}

/* Bytes that Eddy asks for, per connection. */
static double measure_asked(int n)
{
    struct child server;
    int hold;

    child_start(&server, serve_counted, NULL);
    while (!shared->started)
        sched_yield();
    long before = shared->allocated;
    pid_t holder = open_connections(server.port, n, &hold);
    double bytes = (double)(shared->allocated - before) / n;
    let_go(holder, hold);
    child_stop(&server);
    return bytes;
}

int main(int argc, char **argv)
{
    struct series memory = {.what = "resident memory per connection", .unit = "B", .scale = 1};
    struct rlimit files;
    int n = 10000;

    bench_options(argc, argv);
    if (smoke)
        n = 200;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)n + 50) {
        n = (int)files.rlim_cur - 50;
        printf("only %d connections: the limit of open files allows no more\n", n);
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");

    rounds = rounds < 3 ? rounds : 3; /* they hardly differ */
    for (int i = 0; i < rounds; i++)
        series_add(&memory, measure_resident(serve_ours, n), measure_resident(serve_base, n));
    double asked = measure_asked(n) - (double)OWN_STRUCT;

    table_head("idle connections, after one echo each", "bare epoll");
    series_print(&memory);
    printf("asked of the allocator, beyond the user's own struct: %.1f B per connection"
           " (budget %d%s)\n",
           asked, BUDGET, asked <= BUDGET ? "" : "!");
    return 0;
}
