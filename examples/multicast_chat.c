/*
 * A chat without a server: everybody sends to a group, and everybody in the group hears it. Lines
 * come from standard input; its end, or SIGINT, says goodbye. It shows:
 *  - joining a group, and sending to it by a chosen interface;
 *  - several programs on one host bound to the same port (.reuse_port);
 *  - a watch on a descriptor of one's own, beside an endpoint.
 */
#include "common.h"

#include <eddy/eddy.h>

#include <signal.h>
#include <unistd.h>

struct chat {
    struct eddy_datagram_protocol base;
    struct eddy_loop *loop;
    struct eddy_watch input;
    struct eddy_signal interrupt;
    const char *name, *interface;
    struct eddy_addr group;
    int ttl;
    size_t len; /* of the line so far */
    char line[1024];
    int exit_code;
};

static struct chat *chat_of(struct eddy_datagram_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct chat, base);
}

/* ---- the group ---- */

static void say(struct chat *c, const char *what, size_t len)
{
    char text[1200];
    int n = snprintf(text, sizeof(text), "%s: %.*s", c->name, (int)len, what);

    if (n >= (int)sizeof(text))
        n = (int)sizeof(text) - 1;
    int res = eddy_transport_sendto(c->base.base.transport, text, (size_t)n, &c->group);
    if (res < 0 && res != EDDY_ECLOSED)
        fprintf(stderr, "multicast_chat: %s\n", eddy_strerror(res));
}

static void leave(struct chat *c)
{
    say(c, "(leaves)", 8);
    eddy_watch_remove(&c->input);
    eddy_transport_close(c->base.base.transport);
}

/* Ours come back to us as well: the group is everybody in it. */
static void datagram_received(struct eddy_datagram_protocol *p, const void *data, size_t len,
                              const struct eddy_addr *from)
{
    (void)p;
    (void)from;
    printf("%.*s\n", (int)len, (const char *)data);
}

static void error_received(struct eddy_datagram_protocol *p, int code, const struct eddy_addr *addr)
{
    (void)p;
    (void)addr;
    fprintf(stderr, "multicast_chat: %s\n", eddy_strerror(code));
}

static void connection_lost(struct eddy_datagram_protocol *p, const struct eddy_error *err)
{
    struct chat *c = chat_of(p);

    if (err) {
        fprintf(stderr, "multicast_chat: %s\n", error_text(err));
        c->exit_code = 1;
    }
    eddy_loop_stop(c->loop);
}

/* ---- standard input ---- */

static void take_lines(struct chat *c)
{
    char *end;

    while ((end = memchr(c->line, '\n', c->len)) != NULL) {
        size_t len = (size_t)(end - c->line);

        say(c, c->line, len);
        c->len -= len + 1;
        memmove(c->line, end + 1, c->len);
    }
    if (c->len == sizeof(c->line)) { /* longer than we care for */
        say(c, c->line, c->len);
        c->len = 0;
    }
}

static void input_ready(struct eddy_watch *w, unsigned events)
{
    struct chat *c = EDDY_CONTAINER_OF(w, struct chat, input);
    ssize_t n = read(STDIN_FILENO, c->line + c->len, sizeof(c->line) - c->len);

    (void)events;
    if (n <= 0) {
        leave(c);
        return;
    }
    c->len += (size_t)n;
    take_lines(c);
}

static void on_signal(struct eddy_signal *s, int signum)
{
    (void)signum;
    leave(EDDY_CONTAINER_OF(s, struct chat, interrupt));
}

/* ---- the beginning ---- */

static void connection_made(struct eddy_datagram_protocol *p, struct eddy_transport *t)
{
    struct chat *c = chat_of(p);
    int res = eddy_transport_join_group(t, &c->group, c->interface);

    if (res == 0)
        res = eddy_transport_set_multicast_interface(t, c->interface);
    if (res == 0)
        res = eddy_transport_set_multicast_ttl(t, c->ttl);
    if (res < 0) {
        struct eddy_error err;
        eddy_error_set(&err, res, "join", "joining the group: %s", eddy_strerror(res));
        eddy_transport_abort(t, &err);
        return;
    }
    c->input.fn = input_ready;
    res = eddy_loop_add_watch(c->loop, &c->input, STDIN_FILENO, EDDY_READ);
    if (res < 0) {
        fprintf(stderr, "multicast_chat: standard input: %s\n", eddy_strerror(res));
        c->exit_code = 1;
        eddy_transport_close(t);
        return;
    }
    say(c, "(joins)", 7);
}

static const struct eddy_datagram_protocol_class chat_class = {
    EDDY_DATAGRAM_PROTOCOL_CLASS(struct chat, base),
    .datagram_received = datagram_received,
    .error_received = error_received,
    .connection_made = connection_made,
    .connection_lost = connection_lost,
};

static int run(struct chat *c, const char *backend)
{
    struct eddy_error err = {.code = 0};

    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &c->loop) < 0) {
        fprintf(stderr, "multicast_chat: %s\n", error_text(&err));
        return 1;
    }
    c->interrupt.fn = on_signal;
    eddy_loop_add_signal(c->loop, &c->interrupt, SIGINT);
    eddy_datagram_protocol_init(&c->base, &chat_class);
    int res = eddy_create_datagram_endpoint(c->loop, &c->base,
                                            EDDY_DATAGRAM(.local_port = eddy_addr_port(&c->group),
                                                          .family = c->group.u.sa.sa_family,
                                                          .reuse_port = true, .error = &err),
                                            NULL);
    if (res < 0) {
        fprintf(stderr, "multicast_chat: %s\n", error_text(&err));
        c->exit_code = 1;
    } else if ((res = eddy_loop_run_forever(c->loop)) < 0) {
        fprintf(stderr, "multicast_chat: %s\n", eddy_strerror(res));
        c->exit_code = 1;
    }
    eddy_loop_close(c->loop);
    eddy_loop_unref(c->loop);
    return c->exit_code;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *group = "239.255.70.70";
    int port = 7070;
    struct chat c = {.name = "somebody", .ttl = 1};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--group", "ADDRESS", "the group (239.255.70.70)", option_text, &group},
        {"--port", "PORT", "its port (7070)", option_port, &port},
        {"--interface", "NAME", "name, number or address; default: the system's choice",
         option_text, &c.interface},
        {"--name", "NAME", "who we are (somebody)", option_text, &c.name},
        {0},
    };
    parse_options(argc, argv, "", "Chats with everybody in a multicast group.", options);
    if (port == 0 || eddy_addr_parse(group, port, &c.group) < 0)
        bad_usage(argv, "%s port %d is no address of a group", group, port);
    return run(&c, backend);
}
