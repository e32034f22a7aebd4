/* smoke */
/* needs: openssl */
/*
 * What others notice of a flood: how long 50 connections wait for their echoes of 64 bytes, each
 * asking again 5 ms after the last answer, while an attacker does what he can, beside how long they
 * wait without him. The attacker is a process that gets the CPU which the 50 leave: else it would
 * be their own waiting that is measured.
 */
#include "tests/bench/tls_client.h"

#include <sys/resource.h>

#define OTHERS 50
#define PAUSE_MS 5
#define HALF_OPEN 2000
#define SAMPLES 100000

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

static void serve(int listener, void *arg)
{
    (void)arg;
    serve_eddy_tls(listener, &echo, 0);
}

/* ---- attackers: each goes on until it is killed ---- */

static void attack_nothing(int port)
{
    (void)port;
    for (;;)
        pause();
}

static SSL *attacker(SSL_CTX *ctx, int port)
{
    SSL *ssl = SSL_new(ctx);

    if (!ssl || SSL_set_fd(ssl, client_connect(port, 0)) != 1)
        die_tls("attacker");
    SSL_set_connect_state(ssl);
    return ssl;
}

static void attacker_free(SSL *ssl)
{
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    ERR_clear_error();
}

/* As many as the server takes, and then again. */
static void attack_key_updates(int port)
{
    SSL_CTX *ctx = tls_client_context();

    for (;;) {
        SSL *ssl = attacker(ctx, port);

        for (int i = 0; i < 20000; i++) {
            if (SSL_do_handshake(ssl) != 1 ||
                SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
                break;
        }
        attacker_free(ssl);
    }
}

/* One connection after the other that says hello and no more. They stay. */
static void attack_half_open(int port)
{
    SSL_CTX *ctx = tls_client_context();
    char hello[1024];
    SSL *ssl = SSL_new(ctx);

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    int n = BIO_read(SSL_get_wbio(ssl), hello, sizeof hello);
    if (n <= 0)
        die_tls("hello");
    for (int i = 0; i < HALF_OPEN; i++) {
        if (write(client_connect(port, 0), hello, (size_t)n) != n)
            die("write");
    }
    attack_nothing(port);
}

/* Without a word. */
static void attack_silent(int port)
{
    for (int i = 0; i < HALF_OPEN; i++)
        client_connect(port, 0);
    attack_nothing(port);
}

/* A hundred that say hello by a byte each ten milliseconds: more than a byte a second. */
static void attack_slow(int port)
{
    int fds[100];
    const char head[] = {22, 3, 1, 2, 0, 1, 0, 1, (char)252, 3, 3};

    for (size_t i = 0; i < 100; i++)
        fds[i] = client_connect(port, 0);
    for (size_t at = 0;; at++) {
        char byte = at < sizeof head ? head[at] : 'x';

        for (size_t i = 0; i < 100; i++) {
            if (send(fds[i], &byte, 1, MSG_NOSIGNAL) != 1) {
                close(fds[i]);
                fds[i] = client_connect(port, 0);
            }
        }
        usleep(10000);
    }
}

/* Whole handshakes, without end: no flood by itself, but nothing costs a server more. */
static void attack_handshakes(int port)
{
    SSL_CTX *ctx = tls_client_context();

    for (;;) {
        SSL *ssl = attacker(ctx, port);

        SSL_do_handshake(ssl);
        attacker_free(ssl);
    }
}

/* As much as the server takes, of which no answer is read: until then they are just busy. */
static void attack_never_reads(int port)
{
    SSL_CTX *ctx = tls_client_context();

    for (int i = 0; i < 100; i++) {
        SSL *ssl = attacker(ctx, port);
        int on = 1;

        if (SSL_do_handshake(ssl) != 1)
            die_tls("handshake");
        ioctl(SSL_get_fd(ssl), FIONBIO, &on);
        while (SSL_write(ssl, client_sent, 16384) > 0) {
        }
    }
    attack_nothing(port);
}

/* Not TLS at all. */
static void attack_garbage(int port)
{
    for (;;) {
        int fd = client_connect(port, 0);

        for (int i = 0; i < 4; i++)
            send(fd, client_sent, 16384, MSG_NOSIGNAL);
        close(fd);
    }
}

static pid_t attack(void (*how)(int port), int port)
{
    struct sched_param none = {0};
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (!smoke)
        sched_setscheduler(0, SCHED_IDLE, &none);
    how(port);
    _exit(0);
}

/* ---- the others ---- */

struct waiting {
    double since, again; /* when it was sent; when the next is */
};

static double waits[SAMPLES];

/* The waits of so many seconds; their count. */
static int ask(struct tls_client *c, double seconds)
{
    static struct waiting w[OTHERS];
    double end = wall_time() + seconds;
    int n = 0;

    for (int i = 0; i < OTHERS; i++)
        w[i] = (struct waiting){.again = wall_time() + PAUSE_MS / 1e3 * i / OTHERS};
    for (bool busy = true; busy;) {
        struct epoll_event ev[OTHERS];
        double now = wall_time();

        busy = false;
        for (int i = 0; i < OTHERS; i++) {
            if (w[i].again > 0 && w[i].again <= now && now < end) {
                w[i] = (struct waiting){.since = wall_time()};
                tls_conn_send(c, &c->conns[i]);
            }
            busy = busy || w[i].since > 0 || now < end;
        }
        int got = epoll_wait(c->ep, ev, OTHERS, 1);
        for (int i = 0; i < got; i++) {
            struct tls_conn *conn = ev[i].data.ptr;
            struct waiting *one = &w[conn - c->conns];

            while (conn->got < c->batch && tls_conn_receive(c, conn)) {
            }
            if (conn->got < c->batch || one->since == 0)
                continue;
            if (n < SAMPLES)
                waits[n++] = wall_time() - one->since;
            *one = (struct waiting){.again = wall_time() + PAUSE_MS / 1e3};
        }
    }
    return n;
}

/* The median wait beside this attack, from its beginning on; the worst of a hundred in *ret_p99. */
static double measure(void (*how)(int port), double *ret_p99)
{
    struct child server;
    struct tls_client client;

    child_start(&server, serve, NULL);
    tls_client_open(&client, server.port, OTHERS, 64);
    ask(&client, 0.2);
    pid_t attacker_pid = attack(how, server.port);
    int n = ask(&client, smoke ? 0.2 : 2);
    double p50 = quantile(waits, n, 0.5);
    *ret_p99 = quantile(waits, n, 0.99);
    kill(attacker_pid, SIGKILL);
    waitpid(attacker_pid, NULL, 0);
    tls_client_close(&client);
    child_stop(&server);
    return p50;
}

static void compare(const char *what, void (*how)(int port))
{
    struct series p50 = {.what = what, .unit = "us", .scale = 1e6, .budget = 2};
    double worst[ROUNDS_MAX], quiet_worst;

    for (int i = 0; i < rounds; i++) {
        double quiet = measure(attack_nothing, &quiet_worst);

        series_add(&p50, measure(how, &worst[i]), quiet);
    }
    series_print(&p50);
    printf("|   ... 1 of 100 waits longer than       | %11.0f us | %14s | %14s | %7s |\n",
           quantile(worst, rounds, 0.5) * 1e6, "", "", "");
}

int main(int argc, char **argv)
{
    struct rlimit files;

    bench_options(argc, argv);
    tls_make_certificate();
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pin_to(CLIENT_CORE);
    table_head("TLS: the median wait of 50 others during a flood", "without it");
    compare("key updates", attack_key_updates);
    compare("2,000 half-open handshakes", attack_half_open);
    compare("2,000 silent clients", attack_silent);
    compare("100 clients, a byte every 10 ms", attack_slow);
    compare("100 clients that never read", attack_never_reads);
    compare("garbage, 64 KiB each", attack_garbage);
    compare("whole handshakes without end", attack_handshakes);
    return 0;
}
