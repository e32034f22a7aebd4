/*
 * What the tests of pipes share: the stage's client writes into a pipe, its peer reads from it, and
 * both ends belong to one loop.
 */
#ifndef TESTS_CONTRACT_PIPES_H
#define TESTS_CONTRACT_PIPES_H

#include "tests/support/stream.h"
#include <eddy/pipe.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int pipes_call(struct eddy_loop *loop, struct eddy_protocol *p,
                       const struct eddy_pipe_opts *opts, struct eddy_future **ret);

/* The call for an actor, with a future that traces RET if that is asked for. */
static inline int pipes_connect_opts(struct actor *a, pipes_call *call,
                                     const struct eddy_pipe_opts *opts, bool future)
{
    struct stage *s = a->stage;
    if (!eddy_protocol_is_attached(&a->own.base))
        eddy_protocol_init(&a->own.base, s->client_class);
    int err = call(s->loop, &a->own.base, opts, future ? &a->future : NULL);
    if (err < 0)
        return err;
    actor_begin(a, future);
    return 0;
}

static inline int pipes_connect(struct actor *a, pipes_call *call, int fd)
{
    return pipes_connect_opts(a, call, EDDY_PIPE(.fd = fd), true);
}

/* The loop; no server. */
static inline void pipes_begin(struct stage *s)
{
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &s->problems),
                               &s->loop) == 0);
    s->sys = eddy_sys_posix();
    s->descriptors = test_open_descriptors();
}

/* Both ends, which block. */
static inline void pipes_make(int fds[2])
{
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
}

static inline void pipes_open_over(struct stage *s, int reading, int writing)
{
    REQUIRE(pipes_connect(&s->peer, eddy_connect_read_pipe, reading) == 0);
    REQUIRE(pipes_connect(&s->client, eddy_connect_write_pipe, writing) == 0);
    UNTIL(s, s->client.done && s->peer.done);
    CHECK_INT(s->client.count[ON_MADE], 1);
    CHECK_INT(s->peer.count[ON_MADE], 1);
}

/* ... and both ends of a pipe, until both have had connection_made. */
static inline void pipes_open(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    pipes_make(fds);
    pipes_open_over(s, fds[0], fds[1]);
}

/* The client's transport, and the reading end as a plain descriptor that does not block. */
static inline int pipes_open_writer(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    pipes_make(fds);
    REQUIRE(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(pipes_connect(&s->client, eddy_connect_write_pipe, fds[1]) == 0);
    UNTIL(s, s->client.done);
    return fds[0];
}

/* The peer's transport, and the writing end. */
static inline int pipes_open_reader(struct stage *s)
{
    int fds[2];
    pipes_begin(s);
    pipes_make(fds);
    REQUIRE(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(pipes_connect(&s->peer, eddy_connect_read_pipe, fds[0]) == 0);
    UNTIL(s, s->peer.done);
    return fds[1];
}

static inline void pipes_put(int fd, const void *data, size_t len)
{
    CHECK_INT(write(fd, data, len), (long long)len);
}

/* Reads what there is now: the bytes of the stream `key` from *at on, unless that is 0. The count;
 * -1 at the end of file. */
static inline ssize_t pipes_take(int fd, uint64_t key, size_t *at)
{
    uint8_t buf[65536];
    ssize_t all = 0, n;
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        CHECK(key == 0 || stream_matches(buf, (size_t)n, *at, key));
        *at += (size_t)n;
        all += n;
    }
    return all == 0 && n == 0 ? -1 : all;
}

static inline void pipes_until_both_lost(struct stage *s)
{
    UNTIL(s, s->client.count[ON_LOST] == 1 && s->peer.count[ON_LOST] == 1);
}

#endif
