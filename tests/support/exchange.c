/* A life in small. */
#include "tests/support/exchange.h"
#include "tests/support/stream.h"
#include <string.h>

#define GREETING "exchange 1\n"
#define FIRST 3000u
#define BULK 150000u
#define OWNED 40000u
#define TOTAL (sizeof GREETING - 1 + FIRST + BULK + OWNED)

static char bulk[BULK];

static void note_result(struct exchange *x, int err)
{
    if (err < 0 && x->result == 0)
        x->result = err;
}

static void on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    struct exchange *x = user;
    (void)loop;
    x->problems++;
    x->problem_code = problem->error ? problem->error->code : 0;
}

/* What is lost for want of memory may be logged. */
static void drop_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user, (void)level, (void)component, (void)text;
}

static void note_release(void *user)
{
    ((struct exchange *)user)->released++;
}

/* ---- the client ---- */

static struct exchange *of_client(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct exchange, protocol);
}

static void client_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct exchange *x = of_client(p);
    struct iovec iov[2] = {{bulk, FIRST / 2}, {bulk, FIRST / 2}};
    x->client.made++;
    note_result(x, eddy_transport_set_idle_timeout(t, EDDY_SEC(20)));
    note_result(x, eddy_transport_set_write_buffer_limits(t, 1000, 8000));
    note_result(x, eddy_transport_printf(t, "%s %d\n", "exchange", 1));
    note_result(x, eddy_transport_writev(t, iov, 2));
    eddy_transport_write(t, bulk, BULK);
    x->owned++;
    eddy_transport_write_owned(t, bulk, OWNED, note_release, x);
}

static void client_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct exchange *x = of_client(p);
    const char *bytes = data;
    for (size_t i = 0; i < len && x->received + i < sizeof GREETING - 1; i++)
        CHECK_INT(bytes[i], GREETING[x->received + i]);
    x->received += len;
    if (x->received == TOTAL) {
        x->echoed = true;
        eddy_transport_write_eof(p->transport);
    }
}

static void client_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct exchange *x = of_client(p);
    x->client.lost++;
    x->client.code = err ? err->code : 0;
}

static void client_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct exchange *x = of_client(p);
    x->client.failed++;
    x->client.code = err->code;
}

static void client_fini(struct eddy_protocol *p)
{
    of_client(p)->client.finis++;
}

static const struct eddy_protocol_class client_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("exchange client"),
    .connection_made = client_made,
    .data_received = client_data,
    .connection_lost = client_lost,
    .connect_failed = client_failed,
    .fini = client_fini,
};

/* ---- the server: echoes; of the first piece it gives the half back, and takes it again ---- */

struct guest {
    struct eddy_protocol base;
    struct exchange *x;
    bool gave_back;
};

static struct guest *of_server(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct guest, base);
}

static int server_init(struct eddy_protocol *p, void *arg)
{
    of_server(p)->x = arg;
    of_server(p)->x->attached++;
    return 0;
}

static void server_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct exchange *x = of_server(p)->x;
    x->server.made++;
    note_result(x, eddy_transport_set_write_timeout(t, EDDY_SEC(20)));
}

static void server_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct guest *g = of_server(p);
    if (!g->gave_back && len > 1) {
        g->gave_back = true;
        if (eddy_transport_unread(p->transport, (const char *)data + len / 2, len - len / 2) < 0)
            return;
        len /= 2;
    }
    eddy_transport_write(p->transport, data, len);
}

static void server_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void server_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static void server_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct exchange *x = of_server(p)->x;
    x->server.lost++;
    x->server.code = err ? err->code : 0;
}

static void server_fini(struct eddy_protocol *p)
{
    of_server(p)->x->server.finis++;
}

static const struct eddy_protocol_class server_class = {
    EDDY_PROTOCOL_CLASS(struct guest, base), .init = server_init,
    .connection_made = server_made,          .data_received = server_data,
    .pause_writing = server_pause,           .resume_writing = server_resume,
    .connection_lost = server_lost,          .fini = server_fini,
};

/* ---- the course of it ---- */

static int begin(struct exchange *x)
{
    int err = eddy_create_server(x->loop, &server_class,
                                 EDDY_SERVER(.host = "127.0.0.1", .arg = x, .write_high = 8000,
                                             .idle_timeout = EDDY_SEC(20)),
                                 &x->listener);
    if (err < 0)
        return err;
    eddy_protocol_init(&x->protocol, &client_class);
    err = eddy_create_connection(
        x->loop, &x->protocol,
        EDDY_CONNECTION(.host = "127.0.0.1", .port = eddy_server_port(x->listener),
                        .local_host = "127.0.0.1", .timeout = EDDY_SEC(20)),
        &x->future);
    return err < 0 ? err : 0;
}

static bool is_over(const struct exchange *x)
{
    return x->client.finis == 1 && x->server.finis == x->attached &&
           eddy_server_connections(x->listener) == 0;
}

static void run_to_the_end(struct exchange *x)
{
    eddy_nsec deadline = eddy_loop_time(x->loop) + EDDY_SEC(100);
    while (!is_over(x) && x->run == 0 && eddy_loop_time(x->loop) < deadline)
        x->run = eddy_loop_run_once(x->loop, EDDY_MSEC(100));
    x->ended = is_over(x);
}

static void finish(struct exchange *x)
{
    struct eddy_future *closed = NULL;
    x->status = eddy_future_is_done(x->future) ? eddy_future_result(x->future, NULL) : 0;
    eddy_future_unref(x->future);
    x->future = NULL;
    note_result(x, eddy_server_wait_closed(x->listener, &closed));
    eddy_server_close(x->listener);
    if (closed && x->run == 0)
        x->run = eddy_loop_run_until_complete(x->loop, closed, NULL);
    eddy_future_unref(closed);
}

void exchange_run(struct exchange *x)
{
    x->result = test_loop_new_opts(
        EDDY_LOOP(.on_problem = on_problem, .log = drop_log, .user = x, .debug = true), &x->loop);
    if (x->result < 0) {
        x->ended = true;
        return;
    }
    x->sim = test_sim(x->loop);
    if (x->prepare)
        x->prepare(x);
    x->result = begin(x);
    if (x->result == 0) {
        run_to_the_end(x);
        finish(x);
    } else {
        x->ended = true;
    }
    eddy_server_unref(x->listener);
    if (x->inspect)
        x->inspect(x);
    test_loop_free(x->loop);
}

bool exchange_is_perfect(const struct exchange *x)
{
    return x->result == 0 && x->status == 0 && x->run == 0 && x->ended && x->echoed &&
           x->problems == 0 && x->client.made == 1 && x->client.code == 0 && x->server.made == 1 &&
           x->server.code == 0;
}

void exchange_check(const struct exchange *x)
{
    CHECK(x->ended || x->run < 0);
    CHECK_INT(x->client.made, x->client.lost);
    CHECK_INT(x->server.made, x->server.lost);
    CHECK(x->client.made + x->client.failed <= 1);
    CHECK_INT(x->client.finis, x->client.made + x->client.failed);
    CHECK_INT(x->server.finis, x->attached);
    CHECK_INT(x->released, x->owned);
}

bool exchange_has_reported(const struct exchange *x, int code)
{
    return x->result == code || x->status == code || x->run == code || x->client.code == code ||
           x->server.code == code || (x->problems > 0 && x->problem_code == code);
}
