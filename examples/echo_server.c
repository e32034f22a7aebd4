/*
 * minimal_echo.c with options: sends back whatever it receives, until SIGINT or SIGTERM. Then it
 * listens no more, sends what it still has, and ends; a second signal ends it at once.
 */
#include "common.h"

#include <eddy/eddy.h>

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

/* A client that sends without reading would fill our memory. When too much waits to be sent to it
 * we stop reading from it; its own writes then block, until it has read. */
static void pause_writing(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void resume_writing(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = data_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
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
    bool debug = false;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {"--debug", NULL, "check the use of the library, report slow callbacks", option_flag,
         &debug},
        {0},
    };
    parse_options(argc, argv, "", "Sends back whatever it receives.", options);

    /* Logs what fails, so there is nothing left to say about it here. */
    return eddy_serve(&echo, EDDY_SERVER(.host = host, .port = port, .started = started,
                                         .loop = EDDY_LOOP(.backend = backend, .debug = debug))) <
           0;
}
