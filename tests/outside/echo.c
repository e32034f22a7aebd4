/* A stranger's program: sends a message to itself over loopback, and ends with 0 if it comes back.
 */
#include <eddy/eddy.h>

#include <stdio.h>
#include <string.h>

static const char message[] = "hello";

struct client {
    struct eddy_protocol base;
    struct eddy_loop *loop;
    char received[sizeof message];
    size_t len;
};

static void server_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static const struct eddy_protocol_class server_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("server"),
    .data_received = server_data,
};

static void client_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p;
    eddy_transport_write(t, message, sizeof message);
}

static void client_data(struct eddy_protocol *p, const void *data, size_t len)
{
    struct client *c = EDDY_PROTOCOL_SELF(p, struct client, base);

    if (len > sizeof c->received - c->len)
        len = sizeof c->received - c->len;
    memcpy(c->received + c->len, data, len);
    c->len += len;
    if (c->len == sizeof c->received)
        eddy_transport_close(p->transport);
}

static void client_ends(struct eddy_protocol *p, const struct eddy_error *err)
{
    if (err)
        fprintf(stderr, "echo: %s\n", err->text);
    eddy_loop_stop(EDDY_PROTOCOL_SELF(p, struct client, base)->loop);
}

static const struct eddy_protocol_class client_class = {
    EDDY_PROTOCOL_CLASS(struct client, base),
    .connection_made = client_made,
    .connect_failed = client_ends,
    .data_received = client_data,
    .connection_lost = client_ends,
};

/* Our client has left; the server's side of it may not have noticed yet. */
static int end(struct eddy_server *server)
{
    struct eddy_future *ended;
    int res = eddy_server_drain(server, EDDY_SEC(5), &ended);
    if (res < 0)
        return res;
    res = eddy_loop_run_until_complete(eddy_server_loop(server), ended, NULL);
    eddy_future_unref(ended);
    return res;
}

static int run(struct eddy_loop *loop, struct client *client)
{
    struct eddy_server *server;
    int res = eddy_create_server(loop, &server_class, EDDY_SERVER(.host = "127.0.0.1"), &server);
    if (res < 0)
        return res;
    client->loop = loop;
    eddy_protocol_init(&client->base, &client_class);
    res = eddy_create_connection(
        loop, &client->base, EDDY_CONNECTION(.host = "127.0.0.1", .port = eddy_server_port(server)),
        NULL);
    if (res == 0)
        res = eddy_loop_run_forever(loop);
    if (res == 0)
        res = end(server);
    eddy_server_unref(server);
    return res;
}

int main(void)
{
    struct client client = {.len = 0};
    struct eddy_loop *loop;
    int res = eddy_loop_new(NULL, &loop);
    if (res == 0) {
        res = run(loop, &client);
        eddy_loop_close(loop);
        eddy_loop_unref(loop);
    }
    if (res < 0)
        fprintf(stderr, "echo: %s\n", eddy_strerror(res));
    return res < 0 || memcmp(client.received, message, sizeof message) != 0;
}
