/*
 * A port forwarder: whoever connects here talks to another server, and does not notice. A relay
 * does the work: it holds a sender back while its receiver is slow, passes on the end of each
 * direction on its own, and lets neither side wait for the other when one of them dies.
 */
#include "common.h"

#include <eddy/eddy.h>

struct target {
    char host[256];
    int port;
};

/* A connection to us; the one to the target belongs to the relay. The server allocates and frees
 * it. */
struct client {
    struct eddy_protocol base;
    struct eddy_relay relay;
    const struct target *target;
    char name[EDDY_ADDR_TEXT];
};

static struct client *client_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct client, base);
}

static int init(struct eddy_protocol *p, void *arg)
{
    client_of(p)->target = arg;
    return 0;
}

/* Both connections have ended. */
static void done(struct eddy_relay *relay, const struct eddy_error *why)
{
    struct client *c = EDDY_CONTAINER_OF(relay, struct client, relay);

    printf("%s: %llu bytes there, %llu back%s%s\n", c->name, (unsigned long long)relay->to_far,
           (unsigned long long)relay->to_near, why ? ": " : "", why ? error_text(why) : "");
    eddy_protocol_release(&c->base);
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct client *c = client_of(p);
    struct eddy_addr peer = {0};
    struct eddy_error err;

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
    c->relay.done = done;
    if (eddy_relay_connect(&c->relay, t,
                           EDDY_CONNECTION(.host = c->target->host, .port = c->target->port,
                                           .timeout = EDDY_SEC(10), .error = &err)) < 0) {
        printf("%s: %s\n", c->name, error_text(&err));
        eddy_transport_abort(t, &err);
        return;
    }
    eddy_protocol_hold(p); /* the relay lives in us, longer than our connection may */
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    /* Every class needs one, but the relay has taken our place before anything could come. */
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class forwarder = {
    EDDY_PROTOCOL_CLASS(struct client, base),
    .init = init,
    .connection_made = connection_made,
    .data_received = data_received,
};

/* "example.org:80" or "[::1]:80" */
static const char *option_target(const char *text, void *ret)
{
    struct target *target = ret;
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[' && colon && colon[-1] == ']';
    size_t len = colon ? (size_t)(colon - text) - (bracketed ? 2 : 0) : sizeof(target->host);

    if (len >= sizeof(target->host) || option_port(colon + 1, &target->port) != NULL ||
        target->port == 0 || len == 0)
        return "HOST:PORT";
    memcpy(target->host, bracketed ? text + 1 : text, len);
    target->host[len] = '\0';
    return strpbrk(target->host, "[]") ? "HOST:PORT" : NULL;
}

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    int port = 7001;
    struct target target = {.port = 0};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {"--to", "HOST:PORT", "where to connect for each client", option_target, &target},
        {0},
    };
    parse_options(argc, argv, "", "Forwards connections to another server.", options);
    if (target.port == 0)
        bad_usage(argv, "--to HOST:PORT is missing");

    return eddy_serve(&forwarder,
                      EDDY_SERVER(.host = host, .port = port, .arg = &target, .started = started,
                                  .loop = EDDY_LOOP(.backend = backend))) < 0;
}
