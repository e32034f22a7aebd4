/* smoke */
/*
 * Names: look-ups one after the other and a hundred at a time, against c-ares with a bare poll loop
 * below it; and how late a timer of 1 ms gets while name servers are silent or send garbage,
 * against a loop that looks nothing up.
 */
#include "tests/bench/bench.h"

#ifdef EDDY_BENCH_CARES
#include "tests/support/dns.h"
#include <eddy/resolver.h>
#include <ares.h>
#include <netdb.h>
#include <poll.h>

#define AT_ONCE_MOST 100

static struct dns dns;

/* ---- the server: a process of its own ---- */

static void serve(int listener, void *arg)
{
    struct eddy_loop *loop;

    (void)arg;
    close(listener);
    if (eddy_loop_new(EDDY_LOOP(.backend = "epoll"), &loop) < 0 || dns_serve(&dns, loop) < 0)
        exit(1);
    eddy_loop_run_forever(loop);
}

static void start_server(struct child *c)
{
    if (dns_open(&dns, NULL) < 0)
        die("name server");
    dns_add(&dns, "*.many.test", DNS_A, 60, "10.0.0.0");
    dns_behave(&dns, DNS_MANNER("silent.test", .how = DNS_SILENCE));
    dns_behave(&dns, DNS_MANNER("garbage.test", .how = DNS_GARBAGE));
    child_start(c, serve, NULL);
    dns_close_udp(&dns);
    dns_close_tcp(&dns);
}

/* ---- look-ups ---- */

static int left, to_start; /* answers to come, and questions to ask */

static void name_next(char name[32])
{
    snprintf(name, 32, "n%d.many.test", to_start % 10000);
    to_start--;
}

static void count_answer(bool good)
{
    if (!good) {
        fputs("a name was not resolved\n", stderr);
        exit(1);
    }
    left--;
}

static struct eddy_loop *loop;

struct ours {
    struct eddy_query query;
    char name[32];
};

static void ask_ours(struct ours *o)
{
    name_next(o->name);
    o->query.host = o->name;
    if (eddy_query_start(loop, &o->query, NULL) < 0)
        exit(1);
}

static void ours_done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    count_answer(!error);
    eddy_answer_free(answer);
    if (to_start > 0)
        ask_ours(EDDY_CONTAINER_OF(q, struct ours, query));
    else if (left == 0)
        eddy_loop_stop(loop);
}

static void run_ours(int at_once)
{
    static struct ours all[AT_ONCE_MOST];

    for (int i = 0; i < at_once && to_start > 0; i++) {
        all[i] =
            (struct ours){.query = {.done = ours_done, .family = AF_INET, .type = SOCK_STREAM}};
        ask_ours(&all[i]);
    }
    eddy_loop_run_forever(loop);
}

/* ---- bare c-ares ---- */

static ares_channel channel;
static struct pollfd polled[16];
static nfds_t polled_count;

static void socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    nfds_t i = 0;

    (void)user;
    while (i < polled_count && polled[i].fd != fd)
        i++;
    if (!readable && !writable) {
        if (i < polled_count)
            polled[i] = polled[--polled_count];
        return;
    }
    if (i == sizeof polled / sizeof polled[0])
        exit(1);
    polled_count += i == polled_count;
    polled[i].fd = fd;
    polled[i].events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
}

static void ask_bare(void);

static void bare_done(void *user, int status, int timeouts, struct ares_addrinfo *answer)
{
    (void)user, (void)timeouts;
    count_answer(status == ARES_SUCCESS);
    ares_freeaddrinfo(answer);
}

static void ask_bare(void)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    char name[32];

    name_next(name);
    ares_getaddrinfo(channel, name, NULL, &hints, bare_done, NULL);
}

static void run_bare(int at_once)
{
    while (left > 0) {
        struct pollfd ready[16];
        nfds_t n;
        struct timeval tv, *until;

        for (; to_start > 0 && left - to_start < at_once;)
            ask_bare();
        until = ares_timeout(channel, NULL, &tv);
        n = polled_count;
        memcpy(ready, polled, sizeof ready);
        poll(ready, n, until ? (int)(until->tv_sec * 1000 + until->tv_usec / 1000) + 1 : -1);
        for (nfds_t i = 0; i < n; i++)
            if (ready[i].revents)
                ares_process_fd(channel, ready[i].revents & ~POLLOUT ? ready[i].fd : -1,
                                ready[i].revents & POLLOUT ? ready[i].fd : -1);
    }
}

/* ---- both ---- */

static struct eddy_loop *new_loop(eddy_nsec try_timeout)
{
    struct eddy_loop *l = NULL;

    if (eddy_loop_new(
            EDDY_LOOP(.backend = "poll",
                      .resolver = EDDY_RESOLVER(.name = "c-ares", .servers = dns.servers,
                                                .resolv_conf = "/dev/null", .no_cache = true,
                                                .tries = 100, .try_timeout = try_timeout)),
            &l) < 0)
        exit(1);
    return l;
}

static void new_channel(void)
{
    struct ares_options o = {.lookups = (char[]){"fb"},
                             .sock_state_cb = socket_state,
                             .resolvconf_path = (char[]){"/dev/null"}};

    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&channel, &o,
                          ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF) !=
            ARES_SUCCESS ||
        ares_set_servers_ports_csv(channel, dns.servers) != ARES_SUCCESS)
        exit(1);
}

struct cost {
    double cpu, wall;
};

static struct cost measure(void (*run)(int at_once), int n, int at_once)
{
    double cpu = thread_cpu(), wall = wall_time();

    left = to_start = n;
    run(at_once);
    return (struct cost){(thread_cpu() - cpu) / n, (wall_time() - wall) / n};
}

static void compare(const char *what, int n, int at_once)
{
    struct series cpu = {.what = "CPU of who asks", .unit = "us", .scale = 1e6};
    struct series wall = {.what = "time", .unit = "us", .scale = 1e6};
    char title[64];

    for (int i = 0; i < rounds; i++) {
        struct cost base = {0}, ours;

        if (i % 2 == 0)
            base = measure(run_bare, n, at_once);
        ours = measure(run_ours, n, at_once);
        if (i % 2 == 1)
            base = measure(run_bare, n, at_once);
        series_add(&cpu, ours.cpu, base.cpu);
        series_add(&wall, ours.wall, base.wall);
    }
    snprintf(title, sizeof title, "names: one look-up of %s", what);
    table_head(title, "bare c-ares");
    series_print(&cpu);
    series_print(&wall);
}

/* ---- lag ---- */

static double last_tick, worst;

static void tick(struct eddy_timer *t)
{
    double now = wall_time(), late = now - last_tick - 1e-3;

    if (late > worst)
        worst = late;
    last_tick = now;
    eddy_loop_call_later(loop, t, EDDY_MSEC(1));
}

static void stop(struct eddy_timer *t)
{
    (void)t;
    eddy_loop_stop(loop);
}

static void never_done(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    (void)q, (void)error;
    eddy_answer_free(answer);
}

/* name NULL: nobody asks. */
static double measure_lag(const char *name)
{
    static struct eddy_query all[AT_ONCE_MOST];
    struct eddy_timer ticker = {.fn = tick}, end = {.fn = stop};

    for (int i = 0; name && i < AT_ONCE_MOST; i++) {
        all[i] = (struct eddy_query){.done = never_done, .host = name, .timeout = EDDY_OFF};
        if (eddy_query_start(loop, &all[i], NULL) < 0)
            exit(1);
    }
    worst = 0;
    last_tick = wall_time();
    eddy_loop_call_later(loop, &ticker, EDDY_MSEC(1));
    eddy_loop_call_later(loop, &end, smoke ? EDDY_MSEC(50) : EDDY_SEC(2));
    eddy_loop_run_forever(loop);
    eddy_timer_cancel(&ticker);
    for (int i = 0; i < AT_ONCE_MOST; i++)
        eddy_query_cancel(&all[i]);
    return worst;
}

static void compare_lag(void)
{
    struct series silent = {
        .what = "100 look-ups, the server is silent", .unit = "us", .scale = 1e6};
    struct series garbage = {.what = "100 look-ups, it sends garbage", .unit = "us", .scale = 1e6};
    char text[] = "no look-ups";

    for (int i = 0; i < rounds; i++) {
        double base = measure_lag(NULL);

        series_add(&silent, measure_lag("silent.test"), base);
        series_add(&garbage, measure_lag("garbage.test"), base);
    }
    table_head("names: the latest that a timer came, of one every 1 ms", text);
    series_print(&silent);
    series_print(&garbage);
}

static void run_all(void)
{
    struct child server;

    start_server(&server);
    pin_to(CLIENT_CORE);
    loop = new_loop(EDDY_SEC(5));
    new_channel();
    compare("one after the other", smoke ? 20 : 5000, 1);
    compare("a hundred at a time", smoke ? 200 : 20000, AT_ONCE_MOST);
    ares_destroy(channel);
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    loop = new_loop(EDDY_MSEC(20));
    compare_lag();
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    child_stop(&server);
    dns_close(&dns);
}
#else
static void run_all(void)
{
    puts("built without c-ares: no names to look up");
}
#endif

int main(int argc, char **argv)
{
    bench_options(argc, argv);
    run_all();
    return 0;
}
