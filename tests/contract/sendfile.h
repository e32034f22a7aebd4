/*
 * What the tests of sendfile share. The file is the client's stream of bytes, so a part of it at
 * the place that the client has come to goes on with the stream, as actor_write does.
 */
#ifndef TESTS_CONTRACT_SENDFILE_H
#define TESTS_CONTRACT_SENDFILE_H

#include "tests/support/stream.h"
#include <eddy/sendfile.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A client that sends, and a raw reader at the other end. */
struct scene {
    struct stage s;
    int listener, fd, file;
    struct eddy_future *f;
};

/* More than both kernels take; the simulated ones take 128 KiB. */
static inline size_t large(void)
{
    return test_is_sim() ? 2u << 20 : 16u << 20;
}

/* The first len bytes of the client's stream, without a name. */
static inline int stream_file(size_t len)
{
    char name[] = "/tmp/eddy-sendfile-XXXXXX";
    static uint8_t piece[65536];
    int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    unlink(name);
    for (size_t at = 0; at < len; at += sizeof piece) {
        size_t n = len - at < sizeof piece ? len - at : sizeof piece;
        stream_bytes(piece, n, at, 1);
        REQUIRE(write(fd, piece, n) == (ssize_t)n);
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static inline long long position(int file)
{
    return (long long)lseek(file, 0, SEEK_CUR);
}

/* The next `count` bytes of the client's stream by sendfile. */
static inline int send_part(struct actor *a, int file, size_t count, struct eddy_future **ret)
{
    int rc = eddy_transport_sendfile(
        a->t, file, EDDY_SENDFILE(.offset = (int64_t)a->sent, .count = (int64_t)count), ret);
    if (rc == 0)
        a->sent += count;
    return rc;
}

/* What a future of sendfile has come to: the bytes, or a code; it is let go. */
static inline long long outcome(struct eddy_future **f)
{
    void *value = NULL;
    int rc = eddy_future_result(*f, &value);
    long long n = rc < 0 ? rc : *(int64_t *)value;
    eddy_future_unref(*f);
    *f = NULL;
    return n;
}

static inline void scene_open(struct scene *c, size_t file)
{
    c->file = stream_file(file);
    stage_begin(&c->s);
    c->listener = raw_listen(&c->s, 5, &c->s.connection_opts.port);
    c->s.client.out_key = 1;
    c->f = NULL;
    CHECK_INT(actor_connect(&c->s.client), 0);
    UNTIL(&c->s, c->s.client.done);
    c->fd = raw_accept(&c->s, c->listener);
    REQUIRE(c->s.client.t != NULL);
}

static inline void scene_close(struct scene *c)
{
    if (c->fd >= 0)
        raw_close(&c->s, c->fd);
    raw_close(&c->s, c->listener);
    stage_close(&c->s);
    close(c->file);
}

/* All of the client's stream has come, in order, and then the end. */
static inline void check_all_arrives(struct scene *c)
{
    size_t got;
    CHECK_INT(raw_drain(&c->s, c->fd, 1, &got), 0);
    CHECK_INT(got, c->s.client.sent);
    UNTIL(&c->s, c->s.client.count[ON_LOST] == 1);
    CHECK_INT(c->s.client.code, 0);
}

#endif
