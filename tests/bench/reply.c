/* smoke */
/*
 * 16 requests of 64 bytes arrive in one read, and each is answered by a write of its own. Eddy
 * collects what a read callback writes; the server it is compared with sends each reply when it has
 * it, as programs without such a layer do.
 */
#include "tests/bench/pair.h"

#define REQUEST 64
#define REQUESTS 16
#define CONNECTIONS 50

static void reply_data(struct eddy_protocol *p, const void *data, size_t len)
{
    for (const char *request = data; len > 0;) {
        size_t n = len < REQUEST ? len : REQUEST;

        eddy_transport_write(p->transport, request, n);
        request += n;
        len -= n;
    }
}

static void reply_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void reply_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class reply = {
    EDDY_STATELESS_PROTOCOL_CLASS("reply"),
    .data_received = reply_data,
    .pause_writing = reply_pause,
    .resume_writing = reply_resume,
};

static void serve_ours(int listener, void *arg)
{
    (void)arg;
    serve_eddy(listener, &reply);
}

static void serve_base(int listener, void *arg)
{
    (void)arg;
    serve_bare(listener, REQUEST);
}

int main(int argc, char **argv)
{
    struct series cpu = {.what = "CPU per reply", .unit = "ns", .scale = 1e9, .budget = 1.0 / 6};

    bench_options(argc, argv);
    pin_to(CLIENT_CORE);
    for (int i = 0; i < rounds; i++)
        pair_round(&cpu, serve_ours, serve_base, CONNECTIONS, REQUEST * REQUESTS,
                   smoke ? 500 : 20000, REQUESTS);
    table_head("16 requests of 64 B per read, a write for each reply, 50 connections",
               "bare, 16 sends");
    series_print(&cpu);
    return 0;
}
