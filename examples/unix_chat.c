/*
 * A chat over a unix socket, for the users of one machine: every line goes to all the others, and
 * nobody chooses his name. The kernel says whose process is at the other end, so it can be trusted:
 * `/who` lists them.
 *
 * The socket file is made with the permissions asked for: who may write to it may come in. It is
 * removed when the server ends, and one that was left behind by a crash is replaced.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>

#include <pwd.h>

struct client {
    struct eddy_line line;
    struct client *next, **link; /* in the room: what points to us is *link */
    struct client **room;
    char name[64];
};

static struct client *client_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct client, line);
}

static void tell_others(const struct client *from, const char *text, size_t len)
{
    for (struct client *c = *from->room; c; c = c->next) {
        struct eddy_transport *t = c->line.base.transport;
        if (c != from && !eddy_transport_is_closing(t))
            eddy_transport_printf(t, "%s: %.*s\n", from->name, (int)len, text);
    }
}

/* "root[123]": user and process. */
static void set_name(struct client *c, struct eddy_transport *t)
{
    struct eddy_peercred peer;
    const struct passwd *user;

    if (eddy_transport_peercred(t, &peer) < 0) {
        snprintf(c->name, sizeof(c->name), "somebody");
        return;
    }
    user = getpwuid((uid_t)peer.uid);
    if (user)
        snprintf(c->name, sizeof(c->name), "%.40s[%lld]", user->pw_name, (long long)peer.pid);
    else
        snprintf(c->name, sizeof(c->name), "uid %u[%lld]", (unsigned)peer.uid, (long long)peer.pid);
}

static int init(struct eddy_line *l, void *arg)
{
    client_of(l)->room = arg;
    return 0;
}

static void connection_made(struct eddy_line *l, struct eddy_transport *t)
{
    struct client *c = client_of(l);

    c->link = c->room;
    c->next = *c->room;
    if (c->next)
        c->next->link = &c->next;
    *c->room = c;
    set_name(c, t);
    printf("%s joined\n", c->name);
    tell_others(c, "joined", strlen("joined"));
}

static void list_clients(struct client *c)
{
    for (const struct client *other = *c->room; other; other = other->next)
        eddy_transport_printf(c->line.base.transport, "* %s\n", other->name);
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = client_of(l);

    if (len == 4 && memcmp(line, "/who", 4) == 0)
        list_clients(c);
    else if (len == 5 && memcmp(line, "/quit", 5) == 0)
        eddy_transport_close(l->base.transport); /* no line comes after this one */
    else
        tell_others(c, line, len);
}

static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct client *c = client_of(l);

    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    printf("%s left%s%s\n", c->name, err ? ": " : "", err ? error_text(err) : "");
    tell_others(c, "left", strlen("left"));
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

static const char *option_mode(const char *text, void *ret)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (end == text || *end || mode < 1 || mode > 0777)
        return "permissions from 1 to 777";
    *(unsigned *)ret = (unsigned)mode;
    return NULL;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    unsigned mode = 0600;
    struct client *room = NULL;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--mode", "OCTAL", "permissions of the socket file (600)", option_mode, &mode},
        {0},
    };
    if (parse_options(argc, argv, "PATH", "Passes lines on between users of this machine.",
                      options) != 1)
        bad_usage(argv, "expected the path of the socket file");

    return eddy_serve_unix(&chat.base, EDDY_UNIX_SERVER(.path = argv[1], .mode = mode, .arg = &room,
                                                        .loop = EDDY_LOOP(.backend = backend),
                                                        .started = started)) < 0;
}
