/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/* Files over TLS: they are read, encrypted and sent, in the order of the calls. Contract L95 to
 * L97.
 */
#include "tests/contract/tls_calls.h"
#include <eddy/sendfile.h>
#include <stdlib.h>
#include <unistd.h>

/* The first len bytes of the client's stream, without a name. */
static int stream_file(size_t len)
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
    return fd;
}

/* The next `count` bytes of the client's stream by sendfile. */
static int send_part(struct actor *a, int file, size_t count, struct eddy_future **ret)
{
    int rc = eddy_transport_sendfile(
        a->t, file, EDDY_SENDFILE(.offset = (int64_t)a->sent, .count = (int64_t)count), ret);
    if (rc == 0)
        a->sent += count;
    return rc;
}

static long long outcome(struct eddy_future *f)
{
    void *value = NULL;
    int rc = eddy_future_result(f, &value);
    long long n = rc < 0 ? rc : *(int64_t *)value;
    eddy_future_unref(f);
    return n;
}

static void L97_no_fallback_is_refused(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    struct eddy_error error = {.code = 0};
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int file = stream_file(1000);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, file,
                                      EDDY_SENDFILE(.no_fallback = true, .error = &error), &f),
              EDDY_ENOT_SUPPORTED);
    CHECK(f == NULL);
    CHECK_INT(error.code, EDDY_ENOT_SUPPORTED);
    CHECK_INT(actor_write(&c.s.client, 10), 0); /* nothing has changed */
    UNTIL(&c.s, c.s.peer.received == 10);
    close(file);
    tls_stage_close(&c);
}

static void whole_file(size_t len)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int file = stream_file(len);
    CHECK_INT(send_part(&c.s.client, file, len, &f), 0);
    eddy_transport_close(c.s.client.t);
    UNTIL_LOST(&c.s, &c.s.peer);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK_INT(c.s.peer.received, len);
    CHECK_INT(c.s.peer.code, 0);
    CHECK_INT(outcome(f), (long long)len);
    close(file);
    tls_stage_close(&c);
}

static void L97_a_file_of_64_MiB_arrives_as_it_was(void)
{
    whole_file(test_is_sim() ? 4u << 20 : 64u << 20);
}

static void L95_L96_files_and_writes_in_the_order_of_the_calls(void)
{
    struct tls_stage c;
    struct eddy_future *f[3];
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    struct actor *a = &c.s.client;
    int file = stream_file(2000000);
    CHECK_INT(actor_write(a, 1000), 0);
    CHECK_INT(send_part(a, file, 500, &f[0]), 0);
    CHECK_INT(actor_write(a, 1000), 0);
    CHECK_INT(send_part(a, file, 1000000, &f[1]), 0);
    CHECK_INT(actor_write(a, 20000), 0);
    CHECK_INT(send_part(a, file, 1, &f[2]), 0);
    CHECK_INT(actor_write(a, 1000), 0);
    UNTIL(&c.s, c.s.peer.received == a->sent);
    CHECK_INT(outcome(f[0]), 500);
    CHECK_INT(outcome(f[1]), 1000000);
    CHECK_INT(outcome(f[2]), 1);
    close(file);
    tls_stage_close(&c);
}

/* Nothing is received meanwhile; then it is. */
static void L95_reading_rests_during_a_file(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    size_t len = test_is_sim() ? 2u << 20 : 16u << 20;
    int file = stream_file(len);
    do_pause(&c.s.peer);
    CHECK_INT(send_part(&c.s.client, file, len, &f), 0);
    CHECK_INT(actor_write(&c.s.peer, 1000), 0);
    stage_settle(&c.s);
    CHECK(!eddy_future_is_done(f));
    CHECK_INT(c.s.client.received, 0);
    do_resume(&c.s.peer);
    UNTIL(&c.s, c.s.peer.received == len && c.s.client.received == 1000);
    CHECK_INT(outcome(f), (long long)len);
    close(file);
    tls_stage_close(&c);
}

static void L97_a_connection_that_is_lost_fails_the_future(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    size_t len = test_is_sim() ? 2u << 20 : 16u << 20;
    int file = stream_file(len);
    do_pause(&c.s.peer);
    CHECK_INT(send_part(&c.s.client, file, len, &f), 0);
    stage_settle(&c.s);
    do_abort(&c.s.peer);
    UNTIL_LOST(&c.s, &c.s.client);
    CHECK(c.s.client.code < 0);
    CHECK_INT(eddy_future_result(f, NULL), c.s.client.code);
    eddy_future_unref(f);
    close(file);
    tls_stage_close(&c);
}

static void L97_a_closing_transport_is_refused(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init(&c);
    stage_open(&c.s);
    int file = stream_file(1000);
    eddy_transport_close(c.s.client.t);
    CHECK(eddy_transport_sendfile(c.s.client.t, file, NULL, &f) < 0);
    CHECK(f == NULL);
    UNTIL_LOST(&c.s, &c.s.client);
    close(file);
    tls_stage_close(&c);
}

/* The file waits for the handshake, as what is written does. */
static void L97_X10_a_file_during_start_tls(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    tls_stage_init_plain(&c);
    stage_keyed(&c.s);
    stage_open(&c.s);
    int file = stream_file(100000);
    CHECK_INT(
        eddy_start_tls(c.s.peer.t, EDDY_START_TLS(.tls = c.server, .server_side = true), NULL), 0);
    CHECK_INT(eddy_start_tls(c.s.client.t,
                             EDDY_START_TLS(.tls = c.client, .server_hostname = "localhost"), NULL),
              0);
    c.s.client.t = c.s.client.p->transport;
    c.s.peer.t = c.s.peer.p->transport;
    CHECK_INT(send_part(&c.s.client, file, 100000, &f), 0);
    CHECK_INT(actor_write(&c.s.client, 1000), 0);
    UNTIL(&c.s, c.s.peer.received == 101000);
    CHECK_INT(outcome(f), 100000);
    close(file);
    tls_stage_close(&c);
}

/* A plain file under way when TLS begins: it goes out before, in plain text. */
static void X42_L96_a_plain_file_goes_before_the_handshake(void)
{
    struct tls_stage c;
    struct eddy_future *f = NULL;
    static uint8_t got[300000];
    uint8_t head[5];
    tls_stage_init_plain(&c);
    c.s.client.out_key = 1;
    stage_begin(&c.s);
    int listener = raw_listen(&c.s, 5, &c.s.connection_opts.port);
    CHECK_INT(actor_connect(&c.s.client), 0);
    int fd = raw_accept(&c.s, listener);
    UNTIL(&c.s, c.s.client.done);
    int file = stream_file(sizeof got);
    CHECK_INT(send_part(&c.s.client, file, sizeof got, &f), 0);
    CHECK_INT(eddy_start_tls(c.s.client.t,
                             EDDY_START_TLS(.tls = c.client, .server_hostname = "localhost"), NULL),
              0);
    c.s.client.t = c.s.client.p->transport;
    CHECK_INT(raw_recv(&c.s, fd, got, sizeof got), sizeof got);
    CHECK(stream_matches(got, sizeof got, 0, 1));
    CHECK_INT(raw_recv(&c.s, fd, head, sizeof head), sizeof head);
    CHECK_INT(head[0], 22);
    UNTIL(&c.s, eddy_future_is_done(f));
    CHECK_INT(outcome(f), sizeof got);
    raw_close(&c.s, fd);
    raw_close(&c.s, listener);
    close(file);
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(L97_no_fallback_is_refused),
    CASE(L97_a_file_of_64_MiB_arrives_as_it_was),
    CASE(L95_L96_files_and_writes_in_the_order_of_the_calls),
    CASE(L95_reading_rests_during_a_file),
    CASE(L97_a_connection_that_is_lost_fails_the_future),
    CASE(L97_a_closing_transport_is_refused),
    CASE(L97_X10_a_file_during_start_tls),
    CASE(X42_L96_a_plain_file_goes_before_the_handshake),
    TEST_END,
};
