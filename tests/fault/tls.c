/* backends: sim */
/* timeout: 240 */
/* needs: openssl */
/*
 * TLS without memory, Eddy's or OpenSSL's, at the nth allocation, and with the nth send or recv
 * failing: contract G3, G5, X6, X36, X45, D7. It is told once, clearly, nothing leaks, and the next
 * connection is as good as any.
 *
 * A life: a server and a client with contexts of their own, bytes, an upgrade of the TLS connection
 * to TLS in TLS, bytes both ways, an orderly end.
 */
#include "tests/support/road.h"
#include "tests/support/test.h"
#include <eddy/future.h>
#include <eddy/sim.h>
#include <eddy/transport.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 3000u
#define ANSWER 10u
#define SECOND 50000u
#define THIRD 70000u

/* ---- OpenSSL's memory ---- */

static long openssl_live, openssl_until_failure;
static bool openssl_failed, openssl_for_good;

static bool must_fail(void)
{
    if (openssl_failed && openssl_for_good)
        return true;
    if (openssl_until_failure <= 0 || --openssl_until_failure > 0)
        return false;
    openssl_failed = true;
    return true;
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    void *p = must_fail() ? NULL : malloc(size);
    openssl_live += p != NULL;
    return p;
}

static void *counted_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    void *p = must_fail() ? NULL : realloc(old, size);
    openssl_live += p && !old;
    return p;
}

static void counted_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    openssl_live -= p != NULL;
    free(p);
}

/* Before OpenSSL allocates anything. */
__attribute__((constructor)) static void install(void)
{
    if (!CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free))
        abort();
}

static void fail_openssl(long nth)
{
    openssl_failed = openssl_for_good = false;
    openssl_until_failure = nth;
}

/* And all behind it, too. */
static void fail_openssl_for_good(long nth)
{
    fail_openssl(nth);
    openssl_for_good = true;
}

/* ---- a life ---- */

struct life;

struct end {
    struct eddy_protocol base;
    struct life *life;
    size_t received;
    int made, lost, failed, finis, code;
};

struct life {
    struct eddy_loop *loop;
    struct eddy_server *server;
    struct eddy_tls *server_tls, *client_tls;
    struct end client;
    struct end guest; /* what the server's instance has been through */
    int attached;
    int result; /* the first call that has failed */
    int problems, problem_code;
    bool complete;
    bool came; /* the failure that was chosen */
    struct eddy_error error;
};

static char bytes[THIRD];

static void note_result(struct life *x, int err)
{
    if (err < 0 && x->result == 0)
        x->result = err;
}

static void on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    struct life *x = user;
    (void)loop;
    x->problems++;
    x->problem_code = problem->error ? problem->error->code : 0;
}

/* What is lost for want of memory may be logged. */
static void drop_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user, (void)level, (void)component, (void)text;
}

static void upgrade(struct eddy_protocol *p, struct life *x, bool server)
{
    struct eddy_error e = {.code = 0};
    struct eddy_transport *t = p->transport;
    int err = eddy_start_tls(
        t,
        EDDY_START_TLS(.tls = server ? x->server_tls : x->client_tls, .server_side = server,
                       .server_hostname = server ? NULL : "localhost", .error = &e),
        NULL);
    if (err == 0)
        return;
    CHECK_INT(e.code, err);
    CHECK(e.text[0] != '\0');
    eddy_transport_abort(t, &e);
}

static void note_end(struct end *end, const struct eddy_error *err)
{
    end->code = err ? err->code : 0;
    if (err) {
        CHECK(err->code < 0 && err->text[0] != '\0');
        end->life->error = *err;
    }
}

static void lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    end->lost++;
    note_end(end, err);
}

static void failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    end->failed++;
    note_end(end, err);
}

static void client_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    end->made++;
    eddy_transport_write(t, bytes, FIRST);
}

static void client_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    (void)data;
    end->received += len;
    if (end->received == ANSWER) {
        upgrade(p, end->life, false);
        eddy_transport_write(p->transport, bytes, SECOND);
    } else if (end->received == ANSWER + THIRD) {
        end->life->complete = true;
        eddy_transport_close(p->transport);
    }
}

static void client_fini(struct eddy_protocol *p)
{
    EDDY_CONTAINER_OF(p, struct end, base)->finis++;
}

static const struct eddy_protocol_class client_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("client"),
    .connection_made = client_made,
    .data_received = client_data,
    .connection_lost = lost,
    .connect_failed = failed,
    .fini = client_fini,
};

static int guest_init(struct eddy_protocol *p, void *arg)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    end->life = arg;
    end->life->attached++;
    return 0;
}

static void guest_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    EDDY_CONTAINER_OF(p, struct end, base)->made++;
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    (void)data;
    end->received += len;
    if (end->received == FIRST) {
        eddy_transport_write(p->transport, bytes, ANSWER);
        upgrade(p, end->life, true);
    } else if (end->received == FIRST + SECOND) {
        eddy_transport_write(p->transport, bytes, THIRD);
    }
}

static void guest_fini(struct eddy_protocol *p)
{
    struct end *end = EDDY_CONTAINER_OF(p, struct end, base);
    end->finis++;
    end->life->guest = *end;
}

static const struct eddy_protocol_class guest_class = {
    EDDY_PROTOCOL_CLASS(struct end, base), .init = guest_init,      .connection_made = guest_made,
    .data_received = guest_data,           .connection_lost = lost, .fini = guest_fini,
};

static void begin(struct life *x)
{
    int err = eddy_create_server(
        x->loop, &guest_class,
        EDDY_SERVER(.host = "127.0.0.1", .arg = x, .tls = x->server_tls, .error = &x->error),
        &x->server);
    note_result(x, err);
    if (err < 0)
        return;
    eddy_protocol_init(&x->client.base, &client_class);
    x->client.life = x;
    err = eddy_create_connection(
        x->loop, &x->client.base,
        EDDY_CONNECTION(.host = "127.0.0.1", .port = eddy_server_port(x->server),
                        .tls = x->client_tls, .timeout = EDDY_SEC(20), .error = &x->error),
        NULL);
    note_result(x, err);
}

static bool is_over(const struct life *x)
{
    bool client = x->result < 0 || x->client.finis == 1;
    return client && (!x->server || eddy_server_connections(x->server) == 0);
}

/* The loop and the contexts stand; the failures have been chosen. */
static void live(struct life *x)
{
    begin(x);
    eddy_nsec deadline = eddy_loop_time(x->loop) + EDDY_SEC(200);
    while (!is_over(x) && eddy_loop_time(x->loop) < deadline) {
        /* Without memory the loop may say so, and go on. */
        eddy_loop_run_once(x->loop, EDDY_MSEC(100));
    }
    x->came = test_allocation_failed() || openssl_failed;
    test_fail_allocation(0);
    fail_openssl(0);
    CHECK(is_over(x));
    eddy_server_close(x->server);
    eddy_server_unref(x->server);
}

static void open_life(struct life *x)
{
    memset(x, 0, sizeof *x);
    /* Of a server's handshakes that fail only debug mode hears. */
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = on_problem, .log = drop_log, .user = x,
                                         .debug = true, .slow_callback = EDDY_SEC(3600)),
                               &x->loop) == 0);
    x->server_tls = road_context(true);
    x->client_tls = road_context(false);
}

static void close_life(struct life *x)
{
    const char *first = NULL;
    if (eddy_sim_violations(test_sim(x->loop), &first) > 0)
        FAIL("rules of the seam were broken: %s", first);
    test_loop_free(x->loop);
    eddy_tls_unref(x->server_tls);
    eddy_tls_unref(x->client_tls);
}

static bool is_perfect(const struct life *x)
{
    return x->result == 0 && x->complete && x->client.made == 1 && x->client.code == 0 &&
           x->guest.made == 1 && x->guest.code == 0 && x->problems == 0;
}

/* What holds whatever has failed. */
static void check_life(const struct life *x)
{
    CHECK_INT(x->client.made, x->client.lost);
    CHECK(x->client.made + x->client.failed <= 1);
    CHECK_INT(x->client.finis, x->client.made + x->client.failed);
    CHECK_INT(x->guest.made, x->guest.lost);
    CHECK_INT(x->guest.finis, x->attached);
}

static bool says(const struct life *x, int code)
{
    return x->result == code || x->client.code == code || x->guest.code == code ||
           (x->problems > 0 && x->problem_code == code);
}

static void describe(const struct life *x, const char *what, long n)
{
    FAIL("... %s %ld: result %d, client %d/%d (%d), server %d/%d (%d), %d problems (%d)", what, n,
         x->result, x->client.made, x->client.failed, x->client.code, x->attached, x->guest.made,
         x->guest.code, x->problems, x->problem_code);
}

/* One life in which nothing fails: also whoever has memory to fetch once has it then. */
static void check_all_is_well(void)
{
    static struct life x;
    open_life(&x);
    live(&x);
    check_life(&x);
    CHECK(is_perfect(&x));
    close_life(&x);
}

/* ---- memory ---- */

static bool live_without(long n, bool openssl, int *heard)
{
    static struct life x;
    unsigned before = CU_get_number_of_failure_records();
    open_life(&x);
    if (openssl)
        fail_openssl(n);
    else
        test_fail_allocation(n);
    live(&x);
    check_life(&x);
    if (!is_perfect(&x)) {
        *heard += 1;
        CHECK(x.came);
        /* OpenSSL may take a certificate that it has no memory to look into for a bad one. */
        CHECK(says(&x, -ENOMEM) || says(&x, EDDY_ETLS) || (openssl && says(&x, EDDY_ETLS_CERT)));
    }
    if (CU_get_number_of_failure_records() != before)
        describe(&x, openssl ? "OpenSSL's allocation" : "allocation", n);
    close_life(&x);
    return x.came;
}

static void G5_D7_X36_each_allocation_of_eddys_fails_once(void)
{
    int heard = 0;
    long n = 1;
    check_all_is_well();
    while (live_without(n, false, &heard) && n < 3000)
        n++;
    CHECK(n > 30 && n < 3000);
    CHECK(heard > 20);
    check_all_is_well();
}

/* Some thousand, most of them within a handshake, of which there are four sides: each of the first
 * few hundred, then some. What OpenSSL itself loses where it runs out of memory is not ours: it is
 * little. */
static void G5_D7_X36_X45_allocations_of_openssls_fail_once(void)
{
    int heard = 0;
    long n = 1;
    check_all_is_well();
    check_all_is_well();
    long live_before = openssl_live;
    while (live_without(n, true, &heard) && n < 100000)
        n += n < 400 ? 1 : 11;
    CHECK(n > 400 && n < 100000);
    CHECK(heard > 200);
    check_all_is_well();
    printf("(%ld more) ", openssl_live - live_before);
    CHECK(openssl_live - live_before <= 100);
}

/* ---- contexts ---- */

static const struct eddy_tls_opts *options(int kind)
{
    static struct eddy_tls_opts o;
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    o = *EDDY_TLS_SERVER(.throw_away = "localhost", .alpn = alpn);
    if (kind == 1)
        o = *EDDY_TLS_CLIENT(.no_resumption = true, .system_trust = false, .alpn = alpn);
    return &o;
}

static int make_context(int kind, struct eddy_error *e, struct eddy_tls **ret)
{
    struct eddy_tls_opts o = *options(kind);
    o.error = e;
    return eddy_tls_new(&o, ret);
}

static void check_refusal(int err, const struct eddy_error *e)
{
    CHECK(err == -ENOMEM || err == EDDY_ETLS);
    if (!CHECK_INT(e->code, err))
        FAIL("%s", e->text);
    CHECK(e->text[0] != '\0');
}

static void make_without(bool openssl, int kind)
{
    long n, step = openssl ? 3 : 1;
    bool came = true;
    for (n = 1; came && n < 100000; n += step) {
        struct eddy_error e = {.code = 0};
        struct eddy_tls *tls = NULL;
        if (openssl)
            fail_openssl(n);
        else
            test_fail_allocation(n);
        int err = make_context(kind, &e, &tls);
        came = openssl ? openssl_failed : test_allocation_failed();
        fail_openssl(0);
        test_fail_allocation(0);
        if (err < 0) {
            check_refusal(err, &e);
            CHECK(tls == NULL);
        }
        eddy_tls_unref(tls);
    }
    CHECK(n > 1 + step && n < 100000);
}

static void G3_G5_X11_making_a_context(void)
{
    check_all_is_well();
    make_without(false, 0);
    make_without(true, 0);
    check_all_is_well();
}

static void reload_without(bool openssl, struct eddy_tls *tls)
{
    long n, step = openssl ? 3 : 1, refused = 0;
    bool came = true;
    for (n = 1; came && n < 100000; n += step) {
        struct eddy_error e = {.code = 0};
        if (openssl)
            fail_openssl(n);
        else
            test_fail_allocation(n);
        int err = eddy_tls_reload(tls, NULL, &e);
        came = openssl ? openssl_failed : test_allocation_failed();
        fail_openssl(0);
        test_fail_allocation(0);
        if (err < 0) {
            refused++;
            check_refusal(err, &e);
        }
    }
    CHECK(n < 100000);
    CHECK(!openssl || refused > 20);
}

/* What was there before is what connections have. */
static void G5_X11_reloading_a_context(void)
{
    static struct life x;
    check_all_is_well();
    open_life(&x);
    reload_without(false, x.server_tls);
    reload_without(true, x.server_tls);
    reload_without(true, x.client_tls);
    live(&x);
    check_life(&x);
    CHECK(is_perfect(&x));
    close_life(&x);
}

/* OpenSSL's decoders do not tell of it: a good key is "unsupported" then. */
static void G5_X11_no_memory_is_no_fault_of_the_files(void)
{
    struct eddy_tls *tls = road_context(true);
    long n;
    bool came = true;
    check_all_is_well();
    for (n = 1; came && n < 100000; n += 3) {
        struct eddy_error e = {.code = 0};
        fail_openssl_for_good(n);
        int err = eddy_tls_reload(tls, NULL, &e);
        came = openssl_failed;
        fail_openssl(0);
        if (err < 0 && !CHECK_INT(err, -ENOMEM))
            FAIL("%ld: %s", n, e.text);
    }
    CHECK(n > 100 && n < 100000);
    eddy_tls_unref(tls);
    check_all_is_well();
}

/* ---- system calls ---- */

static unsigned long live_with_fault(enum eddy_sim_call call, unsigned long nth, int error)
{
    static struct life x;
    unsigned before = CU_get_number_of_failure_records();
    open_life(&x);
    unsigned long made = eddy_sim_calls(test_sim(x.loop), call);
    if (nth > 0)
        CHECK_INT(eddy_sim_fail(test_sim(x.loop), call, nth, error), 0);
    live(&x);
    check_life(&x);
    if (nth == 0 || error == -EAGAIN)
        CHECK(is_perfect(&x));
    else
        CHECK(is_perfect(&x) || says(&x, error) || says(&x, -ECONNRESET));
    if (CU_get_number_of_failure_records() != before)
        describe(&x, call == EDDY_SIM_SEND ? "send" : "recv", (long)nth);
    made = eddy_sim_calls(test_sim(x.loop), call) - made;
    eddy_sim_fail_none(test_sim(x.loop));
    close_life(&x);
    return made;
}

static void sweep(enum eddy_sim_call call, int error)
{
    unsigned long calls = live_with_fault(call, 0, 0);
    CHECK(calls > 10);
    for (unsigned long nth = 1; nth <= calls && nth < 300; nth++)
        live_with_fault(call, nth, error);
}

static void X7_X36_each_recv_fails_once(void)
{
    sweep(EDDY_SIM_RECV, -ECONNRESET);
    sweep(EDDY_SIM_RECV, -EAGAIN);
}

static void X7_X36_each_send_fails_once(void)
{
    sweep(EDDY_SIM_SEND, -ECONNRESET);
    sweep(EDDY_SIM_SEND, -EPIPE);
    sweep(EDDY_SIM_SEND, -EAGAIN);
}

/* Never more than a byte at once. */
static void X19_X47_every_transfer_is_short(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        test_next_sim(EDDY_SIM(.seed = seed, .recv_room = 512, .send_room = 512,
                               .short_reads = 1000, .short_writes = 1000, .chunking = 900));
        check_all_is_well();
    }
}

const struct test_case test_cases[] = {
    TEST(G5_D7_X36_each_allocation_of_eddys_fails_once),
    TEST(G5_D7_X36_X45_allocations_of_openssls_fail_once),
    TEST(G3_G5_X11_making_a_context),
    TEST(G5_X11_reloading_a_context),
    TEST(G5_X11_no_memory_is_no_fault_of_the_files),
    TEST(X7_X36_each_recv_fails_once),
    TEST(X7_X36_each_send_fails_once),
    TEST(X19_X47_every_transfer_is_short),
    TEST_END,
};
