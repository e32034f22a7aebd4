/* backends: epoll */
/* timeout: 120 */
/*
 * What an idle connection costs in memory, on the server's side, once it has had 64 KiB of messages
 * in each direction: whatever Eddy and OpenSSL have allocated and not freed, without what malloc
 * needs itself. A hundred connections come first: with them comes what a loop needs once, and what
 * it keeps for the few that are busy. The clients are a process of their own.
 */
#include "tests/support/certs.h"
#include "tests/support/stream.h"
#include <eddy/tls.h>
#include <eddy/transport_impl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST = 100,
    CONNECTIONS = 1000, /* the most besides those */
    MESSAGE = 16384,
    MESSAGES = 4,
#if OPENSSL_VERSION_NUMBER < 0x30200000L
    BUDGET = 15 * 1024,
#else
    BUDGET = 23 * 1024, /* OpenSSL's two record layers have 4.4 KB each */
#endif
    ONCE = 4 * 1024 * 1024, /* for a loop: buffers of busy connections, OpenSSL's algorithms */
    PEER_CHAIN = 6 * 1024,  /* what mutual TLS adds: the client's certificate is kept */
    /* This much of each is part of a block for two thousand, which is there from the first on. */
    PIECE = sizeof(struct eddy_transport) + sizeof(struct eddy_protocol),
};

/* ---- what OpenSSL has allocated ---- */

static atomic_long openssl_bytes;

static void count(void *ptr, long sign)
{
    if (ptr)
        atomic_fetch_add(&openssl_bytes, sign * (long)malloc_usable_size(ptr));
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    void *ptr = malloc(size);

    (void)file, (void)line;
    count(ptr, 1);
    return ptr;
}

static void *counted_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    count(ptr, -1);
    void *now = realloc(ptr, size);
    count(now ? now : ptr, 1);
    return now;
}

static void counted_free(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    count(ptr, -1);
    free(ptr);
}

/* Before OpenSSL allocates anything. */
__attribute__((constructor)) static void count_openssl(void)
{
    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
        abort();
}

static long allocated(void)
{
    return atomic_load(&openssl_bytes) + test_live_bytes();
}

/* ---- the server ---- */

static int made, lost;
static size_t received;

static void guest_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p, (void)t;
    made++;
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    received += len;
    eddy_transport_write(p->transport, data, len);
}

static void guest_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p, (void)err;
    lost++;
}

static const struct eddy_protocol_class guest_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("guest"),
    .connection_made = guest_made,
    .data_received = guest_data,
    .connection_lost = guest_lost,
};

/* ---- a process of clients: 0 if all went as it should ---- */

static int connect_one(int port)
{
    struct eddy_addr to;
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || eddy_addr_parse("127.0.0.1", port, &to) < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, &to.u.sa, to.len) < 0 ? -1 : fd;
}

/* All messages there and back. */
static bool exchange(SSL *ssl)
{
    static char out[MESSAGE], in[MESSAGE];
    size_t n;

    for (int i = 0; i < MESSAGES; i++) {
        memset(out, 'a' + i, sizeof out);
        if (SSL_write_ex(ssl, out, sizeof out, &n) != 1)
            return false;
        for (size_t got = 0; got < sizeof in; got += n) {
            if (SSL_read_ex(ssl, in + got, sizeof in - got, &n) != 1)
                return false;
        }
        if (memcmp(in, out, sizeof in) != 0)
            return false;
    }
    return true;
}

static int be_clients(int port, int more, const struct cert *own, int done, int go)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char byte = 0;

    if (own && (SSL_CTX_use_certificate(ctx, cert_x509(own)) != 1 ||
                SSL_CTX_use_PrivateKey(ctx, cert_pkey(own)) != 1))
        return 1;
    for (int i = 0; i < FIRST + more; i++) { /* each one stays, to the end of the process */
        SSL *ssl = SSL_new(ctx);
        int fd = connect_one(port);

        if (fd < 0 || !ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
            return 2;
        if (!exchange(ssl))
            return 3;
        if (i + 1 == FIRST && (write(done, &byte, 1) != 1 || read(go, &byte, 1) != 1))
            return 4;
    }
    if (write(done, &byte, 1) != 1)
        return 5;
    return read(go, &byte, 1) == 0 ? 0 : 6;
}

/* ---- the test ---- */

static struct eddy_tls *server_context(const struct cert *ca, const struct cert *own, bool mutual)
{
    struct eddy_tls *tls = NULL;
    struct eddy_tls_opts o = *EDDY_TLS_SERVER(CERT_PEM(own));

    if (mutual) {
        o.ca_pem = cert_pem(ca);
        o.ca_pem_len = strlen(o.ca_pem);
        o.clients = EDDY_TLS_CLIENTS_MUST_HAVE;
    }
    REQUIRE(eddy_tls_new(&o, &tls) == 0);
    return tls;
}

static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* How often it was said. What has come is not taken. */
static int told(int fd)
{
    int there = 0;

    return ioctl(fd, FIONREAD, &there) == 0 ? there : -1;
}

static pid_t start_clients(const struct stage *s, int more, const struct cert *own, int *ret_done,
                           int *ret_go)
{
    int done[2], go[2];

    REQUIRE(pipe(done) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        close(go[1]);
        _exit(be_clients(s->port, more, own, done[1], go[0]));
    }
    close(done[1]);
    close(go[0]);
    *ret_done = done[0];
    *ret_go = go[1];
    return pid;
}

static void end_clients(struct stage *s, pid_t pid, int done, int go)
{
    int status = -1;

    close(go);
    close(done);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    UNTIL(s, lost == made);
}

/* Bytes, once all have come and have had their messages. */
static long allocated_with(struct stage *s, int connections)
{
    UNTIL(s, made == connections && received == (size_t)connections * MESSAGES * MESSAGE);
    stage_settle(s);
    CHECK_INT(lost, 0);
    return allocated();
}

static void measure(int more, bool mutual, long budget)
{
    struct cert *ca = cert_new(CERT(.cn = "authority", .ca = true));
    struct cert *www = cert_new(CERT(.names = "127.0.0.1", .issuer = ca));
    struct cert *client = cert_new(CERT(.cn = "client", .client = true, .issuer = ca));
    struct stage s;
    int done, go;

    allow_descriptors();
    made = lost = 0;
    received = 0;
    stage_init(&s);
    struct eddy_tls *tls = server_context(ca, www, mutual);
    s.server_opts.tls = tls;
    s.server_class = &guest_class;
    stage_begin(&s);
    long before = allocated();
    pid_t pid = start_clients(&s, more, mutual ? client : NULL, &done, &go);
    UNTIL(&s, told(done) == 1);
    long first = allocated_with(&s, FIRST);
    CHECK_INT(write(go, "", 1), 1);
    UNTIL(&s, told(done) == 2);
    long all = allocated_with(&s, FIRST + more);

    long each = (all - first) / more + PIECE, once = first - before - FIRST * each;
    printf("(%ld bytes each, %ld once) ", each, once);
    if (each > budget || once > ONCE)
        FAIL("%ld bytes for a connection and %ld once; %ld and %d are allowed", each, once, budget,
             (int)ONCE);

    end_clients(&s, pid, done, go);
    stage_close(&s);
    eddy_tls_unref(tls);
    cert_free(client);
    cert_free(www);
    cert_free(ca);
}

static void B12_an_idle_connection_has_at_most_15_KiB_of_memory(void)
{
    measure(CONNECTIONS, false, BUDGET);
}

static void B12_X16_with_mutual_TLS_the_peers_certificate_comes_on_top(void)
{
    measure(CONNECTIONS / 4, true, BUDGET + PEER_CHAIN);
}

/* What they had is given back, and the next ones use no more. */
static void X36_connections_leave_no_memory_behind(void)
{
    measure(CONNECTIONS / 4, false, 2 * BUDGET);
    long once = allocated();
    measure(CONNECTIONS / 4, false, 2 * BUDGET);
    if (allocated() > once + 4096)
        FAIL("%ld bytes more are allocated than after the first ones", allocated() - once);
}

const struct test_case test_cases[] = {
    CASE(B12_an_idle_connection_has_at_most_15_KiB_of_memory),
    CASE(B12_X16_with_mutual_TLS_the_peers_certificate_comes_on_top),
    CASE(X36_connections_leave_no_memory_behind),
    {NULL, NULL},
};
