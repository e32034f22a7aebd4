/* backends: epoll io_uring */
/* timeout: 300 */
/* labels: slow */
/*
 * 10,000 connections come and go on one loop, ended in every way, each after some messages, some
 * while they are being connected: contract G16, P34, P35. At the end nothing is left of them.
 */
#include "tests/support/stream.h"
#include <string.h>

enum { CONNECTIONS = 10000, AT_A_TIME = 100 };

static struct churn {
    struct stage s;
    struct client {
        struct eddy_protocol base;
        uint64_t key;
        size_t sent, received;
        int rounds;
        bool in_use;
    } clients[AT_A_TIME];
    uint64_t dice;
    int started, made, lost, failed, finished;
    int guests_made, guests_lost;
} churn;

static size_t dice(size_t limit)
{
    churn.dice = churn.dice * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(churn.dice >> 33) % limit;
}

/* ---- the server's side echoes, and sometimes has enough ---- */

static void guest_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p;
    churn.guests_made++;
    if (dice(100) == 0)
        eddy_transport_abort(t, NULL);
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    CHECK_INT(eddy_transport_write(p->transport, data, len), 0);
    switch (dice(60)) {
    case 0:
        eddy_transport_abort(p->transport, NULL);
        break;
    case 1:
        eddy_transport_close(p->transport);
        break;
    default:
        break;
    }
}

static void guest_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p, (void)err;
    churn.guests_lost++;
}

static const struct eddy_protocol_class guest_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("guest"),
    .connection_made = guest_made,
    .data_received = guest_data,
    .connection_lost = guest_lost,
};

/* ---- the clients ---- */

static void say_something(struct client *c)
{
    uint8_t bytes[6000];
    size_t len = dice(4) ? 1 + dice(300) : 1 + dice(sizeof bytes);
    stream_bytes(bytes, len, c->sent, c->key);
    c->sent += len;
    eddy_transport_write(c->base.transport, bytes, len);
}

static void made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    churn.made++;
    say_something(EDDY_PROTOCOL_SELF(p, struct client, base));
}

static void data(struct eddy_protocol *p, const void *bytes, size_t len)
{
    struct client *c = EDDY_PROTOCOL_SELF(p, struct client, base);
    CHECK(stream_matches(bytes, len, c->received, c->key));
    c->received += len;
    if (c->received < c->sent)
        return;
    if (c->rounds-- > 0) {
        say_something(c);
        return;
    }
    switch (dice(3)) {
    case 0:
        eddy_transport_close(p->transport);
        break;
    case 1:
        eddy_transport_abort(p->transport, NULL);
        break;
    default:
        CHECK_INT(eddy_transport_write_eof(p->transport), 0);
        break;
    }
}

static void lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p, (void)err;
    churn.lost++;
}

static void failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p;
    CHECK_INT(err->code, -ECANCELED);
    churn.failed++;
}

static void finished(struct eddy_protocol *p)
{
    EDDY_PROTOCOL_SELF(p, struct client, base)->in_use = false;
    churn.finished++;
}

static const struct eddy_protocol_class client_class = {
    EDDY_PROTOCOL_CLASS(struct client, base),
    .connection_made = made,
    .data_received = data,
    .connection_lost = lost,
    .connect_failed = failed,
    .fini = finished,
};

static void start(struct client *c)
{
    memset(c, 0, sizeof *c);
    c->key = (uint64_t)churn.started++ + 1;
    c->rounds = (int)dice(6);
    c->in_use = true;
    eddy_protocol_init(&c->base, &client_class);
    CHECK_INT(eddy_create_connection(churn.s.loop, &c->base,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = churn.s.port),
                                     NULL),
              0);
    if (dice(50) == 0)
        eddy_protocol_abort(&c->base, NULL);
}

static void start_as_many_as_there_are_places(struct stage *s)
{
    (void)s;
    for (int i = 0; i < AT_A_TIME && churn.started < CONNECTIONS; i++) {
        if (!churn.clients[i].in_use)
            start(&churn.clients[i]);
    }
}

static void G16_P34_P35_ten_thousand_connections_come_and_go(void)
{
    struct stage *s = &churn.s;
    memset(&churn, 0, sizeof churn);
    stage_init(s);
    s->server_class = &guest_class;
    stage_begin(s);
    eddy_nsec patience = stage_patience(s);
    while (churn.started < CONNECTIONS && stage_step(s, patience))
        stage_inside(s, start_as_many_as_there_are_places);
    UNTIL(s, churn.finished == CONNECTIONS);
    CHECK_INT(churn.started, CONNECTIONS);
    CHECK_INT(churn.made, churn.lost);
    CHECK_INT(churn.made + churn.failed, CONNECTIONS);
    CHECK(churn.failed > 0);
    UNTIL(s, eddy_server_connections(s->server) == 0);
    CHECK_INT(churn.guests_made, churn.guests_lost);
    stage_close(s);
}

const struct test_case test_cases[] = {
    CASE(G16_P34_P35_ten_thousand_connections_come_and_go),
    TEST_END,
};
