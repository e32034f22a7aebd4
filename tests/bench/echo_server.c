/*
 * What other libraries' servers are compared with: echo_server [--backend NAME] PORT
 * [echo|discard]. echo sends back what it receives, discard throws it away. Ends on SIGINT or
 * SIGTERM.
 */
#include <eddy/eddy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void echo_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static void echo_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void echo_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo_data,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

static void discard_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static const struct eddy_protocol_class discard = {
    EDDY_STATELESS_PROTOCOL_CLASS("discard"),
    .data_received = discard_data,
};

static int usage(void)
{
    fputs("usage: echo_server [--backend NAME] PORT [echo|discard]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const struct eddy_protocol_class *cls = &echo;
    const char *backend = NULL;

    if (argc > 2 && strcmp(argv[1], "--backend") == 0) {
        backend = argv[2];
        argc -= 2;
        argv += 2;
    }
    if (argc < 2 || argc > 3)
        return usage();
    int port = atoi(argv[1]);
    if (argc == 3 && strcmp(argv[2], "discard") == 0)
        cls = &discard;
    else if (argc == 3 && strcmp(argv[2], "echo") != 0)
        return usage();
    if (port <= 0 || port > 65535)
        return usage();
    /* The backlog is that of the servers it is compared with. */
    return eddy_serve(cls, EDDY_SERVER(.host = "127.0.0.1", .port = port, .backlog = 4096,
                                       .loop = EDDY_LOOP(.backend = backend))) < 0;
}
