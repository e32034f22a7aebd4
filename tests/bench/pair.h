/*
 * Eddy's server and the bare one under the same load. Both run all the time and are loaded in
 * turns, in slices of some milliseconds: so what else goes on in the machine meets both alike.
 */
#ifndef TESTS_BENCH_PAIR_H
#define TESTS_BENCH_PAIR_H

#include "tests/bench/bare.h"
#include "tests/bench/client.h"

#define SLICES 20

typedef void serve_fn(int listener, void *arg); /* a server's life, see child_start */

struct contender {
    struct child server;
    struct client client;
    double cpu; /* seconds that the server took */
};

static inline void contender_open(struct contender *c, serve_fn *serve, int connections,
                                  size_t batch)
{
    child_start(&c->server, serve, NULL);
    client_open(&c->client, c->server.port, connections, batch);
    client_run(&c->client, connections * 4L); /* warm */
    c->cpu = 0;
}

static inline void contender_close(struct contender *c)
{
    client_close(&c->client);
    child_stop(&c->server);
}

static inline void contender_slice(struct contender *c, long batches)
{
    double before = cpu_of(c->server.pid);

    client_run(&c->client, batches);
    c->cpu += cpu_of(c->server.pid) - before;
}

/* Adds one round: seconds of server CPU per message, for `batches` batches of so many messages. */
static inline void pair_round(struct series *s, serve_fn *ours, serve_fn *base, int connections,
                              size_t batch, long batches, int messages)
{
    struct contender us, them;
    long slice = batches / SLICES + 1;

    contender_open(&us, ours, connections, batch);
    contender_open(&them, base, connections, batch);
    for (int i = 0; i < SLICES; i++) {
        contender_slice(i % 2 ? &us : &them, slice);
        contender_slice(i % 2 ? &them : &us, slice);
    }
    double total = (double)(slice * SLICES * messages);
    series_add(s, us.cpu / total, them.cpu / total);
    contender_close(&us);
    contender_close(&them);
}

#endif
