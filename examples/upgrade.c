/*
 * A server that switches protocols in mid-stream. Each connection begins with lines:
 *
 *     HELLO           is answered with "OK"
 *     UPGRADE frame   is answered with "101", and from the next byte on there are frames
 *
 * Frames have a length of four bytes before them, and come back as they were. Whoever has said
 * UPGRADE need not wait for the answer: what comes behind the line, with the same segment or a
 * later one, goes to the new protocol.
 */
#include "common.h"

#include <eddy/eddy.h>

/* A connection, with both of its protocols. The server makes one by its class, `lines`, and frees
 * it when that one's attachment is over: which it is with the switch, so it is held from then on.
 */
struct client {
    struct eddy_line line;
    struct eddy_frame frame;
    char name[EDDY_ADDR_TEXT];
    unsigned long frames;
};

/* ---- after the switch ---- */

static void frame_received(struct eddy_frame *f, const void *data, size_t len)
{
    struct client *c = EDDY_CONTAINER_OF(f, struct client, frame);

    c->frames++;
    eddy_frame_send(f, data, len);
}

/* Who sends without reading the answers is not read from. What the lines have paused, the frames
 * resume, if the switch was in between. */
static void frame_pause(struct eddy_frame *f)
{
    eddy_transport_pause_reading(f->base.transport);
}

static void frame_resume(struct eddy_frame *f)
{
    eddy_transport_resume_reading(f->base.transport);
}

static void frame_lost(struct eddy_frame *f, const struct eddy_error *err)
{
    struct client *c = EDDY_CONTAINER_OF(f, struct client, frame);

    printf("%s left after %lu frames%s%s\n", c->name, c->frames, err ? ": " : "",
           err ? error_text(err) : "");
}

static void frame_fini(struct eddy_frame *f)
{
    eddy_protocol_release(&EDDY_CONTAINER_OF(f, struct client, frame)->line.base);
}

static const struct eddy_frame_class frames = {
    EDDY_FRAME_CLASS(struct client, frame),
    .prefix = EDDY_FRAME_U32BE,
    .longest = 1 << 20,
    .frame_received = frame_received,
    .pause_writing = frame_pause,
    .resume_writing = frame_resume,
    .connection_lost = frame_lost,
    .fini = frame_fini,
};

/* ---- before it ---- */

static void upgrade(struct client *c)
{
    struct eddy_transport *t = c->line.base.transport;

    eddy_transport_printf(t, "101\n");
    eddy_frame_init(&c->frame, &frames);
    if (eddy_transport_set_protocol(t, &c->frame.base) < 0)
        return; /* it was lost just now */
    eddy_protocol_hold(&c->line.base);
    printf("%s upgrades\n", c->name);
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = EDDY_CONTAINER_OF(l, struct client, line);

    if (len == 5 && memcmp(line, "HELLO", len) == 0)
        eddy_transport_printf(l->base.transport, "OK\n");
    else if (len == 13 && memcmp(line, "UPGRADE frame", len) == 0)
        upgrade(c);
    else
        eddy_transport_printf(l->base.transport, "400 HELLO or UPGRADE frame?\n");
}

static void line_pause(struct eddy_line *l)
{
    eddy_transport_pause_reading(l->base.transport);
}

static void line_resume(struct eddy_line *l)
{
    eddy_transport_resume_reading(l->base.transport);
}

static void connection_made(struct eddy_line *l, struct eddy_transport *t)
{
    struct client *c = EDDY_CONTAINER_OF(l, struct client, line);
    struct eddy_addr peer = {0};

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
}

static const struct eddy_line_class lines = {
    EDDY_LINE_CLASS(struct client, line), .longest = 1000,
    .connection_made = connection_made,   .line_received = line_received,
    .pause_writing = line_pause,          .resume_writing = line_resume,
};

/* ---- the program ---- */

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
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {0},
    };
    parse_options(argc, argv, "", "Speaks lines, and then, if asked to, frames.", options);

    return eddy_serve(&lines.base, EDDY_SERVER(.host = host, .port = port, .started = started,
                                               .loop = EDDY_LOOP(.backend = backend))) < 0;
}
