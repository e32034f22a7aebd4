/*
 * A chat: every line that a client sends goes to all the others. `/nick NAME` gives a name, `/quit`
 * leaves; any client of lines will do, such as nc.
 *
 * The protocol is derived from lines: it never sees the pieces in which they come. The list of
 * clients may be walked while writing to each of them: whoever is lost by that is still in it, as
 * connection_lost always is a later callback.
 */
#include "common.h"

#include <eddy/eddy.h>

struct client {
    struct eddy_line line;
    struct client *next, **link; /* in the room: what points to us is *link */
    struct client **room;
    char name[EDDY_ADDR_TEXT];
};

static struct client *client_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct client, line);
}

/* To everybody but the one it is from. A client that takes nothing is thrown out by its transport
 * when more than .write_max waits for it. */
static void tell_others(const struct client *from, const char *before, const char *after,
                        const char *text, size_t len)
{
    for (struct client *c = *from->room; c; c = c->next) {
        struct eddy_transport *t = c->line.base.transport;
        if (c != from && !eddy_transport_is_closing(t))
            eddy_transport_printf(t, "%s%s%s%.*s\n", before, from->name, after, (int)len, text);
    }
}

static void announce(const struct client *from, const char *what)
{
    printf("%s %s\n", from->name, what);
    tell_others(from, "* ", " ", what, strlen(what));
}

static int init(struct eddy_line *l, void *arg)
{
    client_of(l)->room = arg;
    return 0;
}

static void connection_made(struct eddy_line *l, struct eddy_transport *t)
{
    struct client *c = client_of(l);
    struct eddy_addr peer = {0};

    c->link = c->room;
    c->next = *c->room;
    if (c->next)
        c->next->link = &c->next;
    *c->room = c;
    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
    announce(c, "joined");
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = client_of(l);

    if (len > 6 && memcmp(line, "/nick ", 6) == 0) {
        char what[48];
        snprintf(what, sizeof(what), "is now %.*s", len < 38 ? (int)len - 6 : 32, line + 6);
        announce(c, what);
        snprintf(c->name, sizeof(c->name), "%s", what + strlen("is now "));
    } else if (len == 5 && memcmp(line, "/quit", 5) == 0) {
        eddy_transport_close(l->base.transport); /* no line comes after this one */
    } else {
        tell_others(c, "", ": ", line, len);
    }
}

static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct client *c = client_of(l);
    char what[EDDY_ERROR_TEXT + 16];

    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    snprintf(what, sizeof(what), "left%s%s", err ? ": " : "", err ? error_text(err) : "");
    announce(c, what);
}

static const struct eddy_line_class chat = {
    EDDY_LINE_CLASS(struct client, line), .longest = 1000,
    .line_received = line_received,       .init = init,
    .connection_made = connection_made,   .connection_lost = connection_lost,
};

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    int port = 7000;
    int64_t limit = 1 << 20;
    struct client *room = NULL;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {"--limit", "BYTES", "most that waits for a client that does not read (1M)", option_bytes,
         &limit},
        {0},
    };
    parse_options(argc, argv, "", "Passes lines on between all its clients.", options);

    return eddy_serve(&chat.base, EDDY_SERVER(.host = host, .port = port, .arg = &room,
                                              .started = started, .write_max = (size_t)limit,
                                              .loop = EDDY_LOOP(.backend = backend))) < 0;
}
