/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/* Sending: contract T.2, T56, G5, G7. */
#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A client that writes its stream and a raw reader at the other end. */
struct scene {
    struct stage s;
    int listener, fd;
};

static void open_to_reader(struct scene *c)
{
    stage_begin(&c->s);
    c->listener = raw_listen(&c->s, 5, &c->s.connection_opts.port);
    c->s.client.out_key = 1;
    CHECK_INT(actor_connect(&c->s.client), 0);
    UNTIL(&c->s, c->s.client.done);
    c->fd = raw_accept(&c->s, c->listener);
    REQUIRE(c->s.client.t != NULL);
}

static void close_scene(struct scene *c)
{
    if (c->fd >= 0)
        raw_close(&c->s, c->fd);
    raw_close(&c->s, c->listener);
    stage_close(&c->s);
}

/* All that the client wrote has come, in order, and then the end. */
static void check_all_arrives(struct scene *c)
{
    size_t got;
    CHECK_INT(raw_drain(&c->s, c->fd, 1, &got), 0);
    CHECK_INT(got, c->s.client.sent);
    UNTIL(&c->s, c->s.client.count[ON_LOST] == 1);
    CHECK_INT(c->s.client.code, 0);
}

static size_t waiting(const struct stage *s)
{
    return eddy_transport_get_write_buffer_size(s->client.t);
}

/* True where a send that fits is always taken at once. */
static bool is_prompt(void)
{
    return !stage_is_late();
}

/* More than both kernels take; the simulated ones take 128 KiB. */
static size_t large(void)
{
    return test_is_sim() ? 2u << 20 : 20u << 20;
}

static unsigned long sends(const struct stage *s)
{
    return test_is_sim() ? eddy_sim_calls(test_sim(s->loop), EDDY_SIM_SEND) : 0;
}

/* ---- when bytes are sent ---- */

static void T10_outside_a_run_the_kernel_gets_it_at_once(void)
{
    struct scene c;
    char got[3];
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    if (is_prompt())
        CHECK_INT(waiting(&c.s), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 3), 3);
    close_scene(&c);
}

static size_t corked;

static void write_twice(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 5), 0);
    CHECK_INT(actor_write(&s->client, 7), 0);
    corked = waiting(s);
}

static void T10_T20_corked_in_the_ready_batch_and_flushed_at_its_end(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    unsigned long before = sends(&c.s);
    stage_inside(&c.s, write_twice);
    CHECK_INT(corked, 12);
    if (is_prompt()) {
        CHECK_INT(waiting(&c.s), 0);
        CHECK_INT(sends(&c.s) - before, test_is_sim());
    }
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static struct stage *timer_stage;

static void write_in_timer(struct eddy_timer *t)
{
    (void)t;
    write_twice(timer_stage);
}

static void T10_corked_in_a_timer_and_flushed_at_the_end_of_the_phase(void)
{
    struct scene c;
    struct eddy_timer timer = {.fn = write_in_timer};
    stage_init(&c.s);
    open_to_reader(&c);
    timer_stage = &c.s;
    corked = 0;
    eddy_loop_call_later(c.s.loop, &timer, 0);
    CHECK_INT(eddy_loop_run_once(c.s.loop, 0), 0);
    CHECK_INT(corked, 12);
    if (is_prompt())
        CHECK_INT(waiting(&c.s), 0);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void answer_sixteen_times(struct actor *a)
{
    for (int i = 0; i < 16; i++)
        CHECK_INT(actor_write(a, 64), 0);
    corked = eddy_transport_get_write_buffer_size(a->t);
}

static void T10_sixteen_replies_are_one_send(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.client.on[ON_DATA] = answer_sixteen_times;
    open_to_reader(&c);
    CHECK_INT(raw_send(&c.s, c.fd, "requests", 8), 0);
    unsigned long before = sends(&c.s);
    UNTIL(&c.s, c.s.client.received == 8);
    CHECK_INT(corked, 16 * 64);
    if (is_prompt()) {
        CHECK_INT(waiting(&c.s), 0);
        CHECK_INT(sends(&c.s) - before, test_is_sim());
    }
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static size_t below, at;

static void write_to_16_kib(struct stage *s)
{
    for (int i = 0; i < 16; i++)
        CHECK_INT(actor_write(&s->client, 1023), 0);
    below = waiting(s);
    CHECK_INT(actor_write(&s->client, 16), 0);
    at = waiting(s);
}

static void T10_reaching_16_kib_flushes(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    stage_inside(&c.s, write_to_16_kib);
    CHECK_INT(below, 16 * 1023);
    if (is_prompt())
        CHECK_INT(at, 0);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void write_and_flush(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 5), 0);
    eddy_transport_flush(s->client.t);
    corked = waiting(s);
}

static void write_and_end(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 5), 0);
    CHECK_INT(eddy_transport_write_eof(s->client.t), 0);
    corked = waiting(s);
}

static void write_and_close(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 5), 0);
    eddy_transport_close(s->client.t);
    corked = waiting(s);
}

static void flush_by(void (*fn)(struct stage *s))
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    corked = 99;
    stage_inside(&c.s, fn);
    if (is_prompt())
        CHECK_INT(corked, 0);
    if (c.s.client.t)
        eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T10_flush_sends_now(void)
{
    flush_by(write_and_flush);
}

static void T10_T18_write_eof_sends_now(void)
{
    flush_by(write_and_end);
}

static void T10_T5_close_sends_now(void)
{
    flush_by(write_and_close);
}

static void write_and_abort(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 5), 0);
    eddy_transport_abort(s->client.t, NULL);
    CHECK_INT(waiting(s), 0);
}

static void T10_T6_abort_drops_corked_bytes(void)
{
    struct scene c;
    size_t got;
    stage_init(&c.s);
    open_to_reader(&c);
    stage_inside(&c.s, write_and_abort);
    CHECK_INT(raw_drain(&c.s, c.fd, 0, &got), 0);
    CHECK_INT(got, 0);
    close_scene(&c);
}

static void write_all_sizes(struct stage *s)
{
    static const size_t sizes[] = {1, 20000, 3, 16384, 100000, 16383, 1, 1, 300000, 0, 4095, 4097};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        uint8_t *bytes = malloc(n + 1);
        stream_bytes(bytes, n, s->client.sent, 1);
        CHECK_INT(eddy_transport_write(s->client.t, bytes, n), 0);
        memset(bytes, 0, n);
        free(bytes);
        s->client.sent += n;
    }
}

static void T10_G7_order_is_that_of_the_calls(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    stage_inside(&c.s, write_all_sizes);
    write_all_sizes(&c.s);
    stage_inside(&c.s, write_all_sizes);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T11_writing_nothing_does_nothing(void)
{
    struct scene c;
    struct iovec none = {.iov_base = &c, .iov_len = 0};
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, 0, 0), 0);
    unsigned long before = sends(&c.s);
    CHECK_INT(eddy_transport_write(c.s.client.t, "", 0), 0);
    CHECK_INT(eddy_transport_writev(c.s.client.t, &none, 1), 0);
    CHECK_INT(eddy_transport_writev(c.s.client.t, &none, 0), 0);
    CHECK_INT(eddy_transport_printf(c.s.client.t, "%s", ""), 0);
    stage_settle(&c.s);
    CHECK_INT(sends(&c.s), before);
    CHECK_INT(waiting(&c.s), 0);
    CHECK_TRACE(c.s.client.trace, "CM RET");
    close_scene(&c);
}

static void T12_a_slow_reader_gets_every_byte(void)
{
    struct scene c;
    uint8_t piece[1000];
    stage_init(&c.s);
    open_to_reader(&c);
    size_t len = actor_fill(&c.s.client);
    for (size_t got = 0; got < len / 2; got += sizeof piece) {
        if (!CHECK_INT(raw_recv(&c.s, c.fd, piece, sizeof piece), sizeof piece))
            break;
        CHECK(stream_matches(piece, sizeof piece, got, 1));
    }
    close_scene(&c);
}

static void T12_T20_one_large_write(void)
{
    struct scene c;
    size_t len = large();
    stage_init(&c.s);
    open_to_reader(&c);
    uint8_t *bytes = malloc(len);
    stream_bytes(bytes, len, 0, 1);
    CHECK_INT(eddy_transport_write(c.s.client.t, bytes, len), 0);
    free(bytes);
    c.s.client.sent = len;
    CHECK(waiting(&c.s) > 0);
    CHECK(waiting(&c.s) <= len);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

/* ---- writes that are refused ---- */

static int released;

static void count_release(void *user)
{
    CHECK(user == &released);
    released++;
}

static void check_refused(struct eddy_transport *t, int code)
{
    struct iovec iov = {.iov_base = &released, .iov_len = 1};
    released = 0;
    CHECK_INT(eddy_transport_write(t, "x", 1), code);
    CHECK_INT(eddy_transport_writev(t, &iov, 1), code);
    CHECK_INT(eddy_transport_printf(t, "x"), code);
    CHECK_INT(eddy_transport_write_owned(t, "x", 1, count_release, &released), code);
    CHECK_INT(released, 1);
}

static void T13_G7_write_after_write_eof(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK_INT(actor_write(&c.s.client, 10), 0);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    check_refused(c.s.client.t, EDDY_EINVALID_STATE);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T14_G7_write_after_close_is_discarded_while_flushing(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    actor_fill(&c.s.client);
    size_t before = waiting(&c.s);
    CHECK(before > 0);
    eddy_transport_close(c.s.client.t);
    check_refused(c.s.client.t, EDDY_ECLOSED);
    CHECK_INT(waiting(&c.s), before);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T15_fifth_discarded_write_is_logged_once(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    eddy_transport_close(c.s.client.t);
    for (int i = 0; i < 4; i++)
        CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), EDDY_ECLOSED);
    CHECK_INT(test_count_log("discarded"), 0);
    test_expect_log("discarded");
    for (int i = 0; i < 50; i++)
        CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), EDDY_ECLOSED);
    CHECK_INT(test_count_log("discarded"), 1);
    close_scene(&c);
}

static void T11_T15_writing_nothing_discards_nothing(void)
{
    struct scene c;
    struct iovec none[2] = {{.iov_base = NULL, .iov_len = 0}, {.iov_base = "x", .iov_len = 0}};
    stage_init(&c.s);
    open_to_reader(&c);
    eddy_transport_close(c.s.client.t);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(eddy_transport_write(c.s.client.t, "x", 0), EDDY_ECLOSED);
        CHECK_INT(eddy_transport_writev(c.s.client.t, none, 2), EDDY_ECLOSED);
        CHECK_INT(eddy_transport_writev(c.s.client.t, NULL, 0), EDDY_ECLOSED);
        CHECK_INT(eddy_transport_printf(c.s.client.t, "%s", ""), EDDY_ECLOSED);
        CHECK_INT(eddy_transport_write_owned(c.s.client.t, "x", 0, NULL, NULL), EDDY_ECLOSED);
    }
    CHECK_INT(test_count_log("discarded"), 0);
    close_scene(&c);
}

static void G3_G4_bad_arguments_change_nothing(void)
{
    struct scene c;
    struct iovec iov = {.iov_base = &c, .iov_len = 1};
    char got[2];
    stage_init(&c.s);
    open_to_reader(&c);
    released = 0;
    CHECK_INT(eddy_transport_write(c.s.client.t, NULL, 1), -EINVAL);
    CHECK_INT(eddy_transport_writev(c.s.client.t, &iov, -1), -EINVAL);
    CHECK_INT(eddy_transport_writev(c.s.client.t, NULL, 1), -EINVAL);
    CHECK_INT(eddy_transport_write_owned(c.s.client.t, NULL, 1, count_release, &released), -EINVAL);
    CHECK_INT(released, 1);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    CHECK_INT(eddy_transport_write(c.s.client.t, "ok", 2), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 2), 2);
    CHECK(memcmp(got, "ok", 2) == 0);
    close_scene(&c);
}

static void G4_no_transport_is_a_closed_one(void)
{
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    released = 0;
    CHECK_INT(eddy_transport_write(NULL, "x", 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_writev(NULL, &iov, 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_printf(NULL, "%d", 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_write_owned(NULL, "x", 1, count_release, &released), EDDY_ECLOSED);
    CHECK_INT(released, 1);
    CHECK_INT(eddy_transport_write_eof(NULL), 0);
    CHECK_INT(eddy_transport_unread(NULL, "x", 1), EDDY_ECLOSED);
    eddy_transport_flush(NULL);
    eddy_transport_pause_reading(NULL);
    eddy_transport_resume_reading(NULL);
    eddy_transport_close(NULL);
    eddy_transport_abort(NULL, NULL);
    CHECK(eddy_transport_is_closing(NULL));
}

static void T16_a_send_error_does_not_fail_the_call(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.client.on[ON_MADE] = do_pause; /* so that reading does not find out first */
    open_to_reader(&c);
    raw_reset(&c.s, c.fd);
    c.fd = -1;
    CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), 0);
    stage_settle(&c.s);
    if (c.s.client.t)
        eddy_transport_write(c.s.client.t, "x", 1);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK(c.s.client.code == -ECONNRESET || c.s.client.code == -EPIPE);
    CHECK_INT(c.s.client.count[ON_EOF], 0);
    close_scene(&c);
}

static void T16_T35_G26_writing_to_a_closed_peer_gives_epipe(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.client.on[ON_MADE] = do_pause;
    open_to_reader(&c);
    raw_close(&c.s, c.fd);
    c.fd = -1;
    CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), 0); /* answered by a reset */
    stage_settle(&c.s);
    if (c.s.client.t)
        CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK(c.s.client.code == -EPIPE || (test_is_sim() && c.s.client.code == -ECONNRESET));
    close_scene(&c);
}

/* ---- other ways of writing ---- */

static void T17_writev_equals_its_concatenation(void)
{
    struct scene c;
    enum { PARTS = 3000 };
    static uint8_t bytes[PARTS * 7];
    static struct iovec iov[PARTS];
    size_t len = 0;
    stage_init(&c.s);
    open_to_reader(&c);
    stream_bytes(bytes, sizeof bytes, 0, 1);
    for (int i = 0; i < PARTS; i++) {
        iov[i].iov_base = bytes + len;
        iov[i].iov_len = (size_t)i % 8;
        len += iov[i].iov_len;
    }
    CHECK(PARTS > IOV_MAX);
    CHECK_INT(eddy_transport_writev(c.s.client.t, iov, PARTS), 0);
    memset(bytes, 0, sizeof bytes);
    c.s.client.sent = len;
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T17_R32_writev_of_more_than_fits_pauses(void)
{
    struct scene c;
    size_t len = large();
    stage_init(&c.s);
    open_to_reader(&c);
    uint8_t *bytes = malloc(len);
    stream_bytes(bytes, len, 0, 1);
    struct iovec iov[3] = {{bytes, 10}, {bytes + 10, len - 20}, {bytes + len - 10, 10}};
    CHECK_INT(eddy_transport_writev(c.s.client.t, iov, 3), 0);
    free(bytes);
    CHECK_TRACE(c.s.client.trace, "CM RET PW");
    c.s.client.sent = len;
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    close_scene(&c);
}

static void T17_printf_writes_text_of_any_length(void)
{
    struct scene c;
    static char got[20010];
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK_INT(eddy_transport_printf(c.s.client.t, "%d-%s;", 42, "abc"), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 7), 7);
    CHECK(memcmp(got, "42-abc;", 7) == 0);
    CHECK_INT(eddy_transport_printf(c.s.client.t, "%20000s;", "end"), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 20001), 20001);
    CHECK(memcmp(got + 19990, "       end;", 11) == 0);
    close_scene(&c);
}

static void T18_T19_write_eof_sends_all_and_reading_goes_on(void)
{
    struct scene c;
    size_t got;
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK(eddy_transport_can_write_eof(c.s.client.t));
    actor_fill(&c.s.client);
    for (int i = 0; i < 3; i++)
        CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    CHECK_INT(raw_drain(&c.s, c.fd, 1, &got), 0);
    CHECK_INT(got, c.s.client.sent);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    CHECK(eddy_transport_is_reading(c.s.client.t));
    CHECK_INT(raw_send(&c.s, c.fd, "still", 5), 0);
    UNTIL(&c.s, c.s.client.received == 5);
    eddy_transport_close(c.s.client.t);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(c.s.client.code, 0);
    close_scene(&c);
}

/* ---- write_owned ---- */

static void G7_owned_bytes_are_released_when_sent(void)
{
    struct scene c;
    static uint8_t bytes[100000];
    stage_init(&c.s);
    open_to_reader(&c);
    actor_fill(&c.s.client);
    stream_bytes(bytes, sizeof bytes, c.s.client.sent, 1);
    c.s.client.sent += sizeof bytes;
    released = 0;
    CHECK_INT(
        eddy_transport_write_owned(c.s.client.t, bytes, sizeof bytes, count_release, &released), 0);
    stage_settle(&c.s);
    CHECK_INT(released, 0);
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    CHECK_INT(released, 1);
    close_scene(&c);
    CHECK_INT(released, 1);
}

static void write_owned_small(struct stage *s)
{
    static char text[] = "abc";
    released = 0;
    CHECK_INT(eddy_transport_write_owned(s->client.t, text, 3, count_release, &released), 0);
}

static void G7_small_owned_bytes(void)
{
    struct scene c;
    char got[3];
    stage_init(&c.s);
    open_to_reader(&c);
    write_owned_small(&c.s);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 3), 3);
    stage_settle(&c.s);
    CHECK_INT(released, 1);
    stage_inside(&c.s, write_owned_small);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 3), 3);
    stage_settle(&c.s);
    CHECK_INT(released, 1);
    CHECK_INT(eddy_transport_write_owned(c.s.client.t, got, 0, count_release, &released), 0);
    stage_settle(&c.s);
    CHECK_INT(released, 2);
    /* of bytes that live for ever nobody wants to know */
    CHECK_INT(eddy_transport_write_owned(c.s.client.t, "def", 3, NULL, NULL), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 3), 3);
    close_scene(&c);
}

static void G7_owned_bytes_are_not_copied(void)
{
    struct scene c;
    size_t len = large();
    stage_init(&c.s);
    open_to_reader(&c);
    uint8_t *bytes = malloc(len);
    stream_bytes(bytes, len, 0, 1);
    long before = test_live_bytes();
    released = 0;
    CHECK_INT(eddy_transport_write_owned(c.s.client.t, bytes, len, count_release, &released), 0);
    /* the simulated kernel's buffers are in this account, too */
    CHECK(test_live_bytes() - before < (1 << 20));
    CHECK_INT(released, 0);
    c.s.client.sent = len;
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    CHECK_INT(released, 1);
    free(bytes);
    close_scene(&c);
}

static void G7_owned_bytes_are_released_by_abort(void)
{
    struct scene c;
    static uint8_t bytes[100000];
    stage_init(&c.s);
    open_to_reader(&c);
    actor_fill(&c.s.client);
    released = 0;
    for (int i = 0; i < 3; i++)
        CHECK_INT(
            eddy_transport_write_owned(c.s.client.t, bytes, sizeof bytes, count_release, &released),
            0);
    eddy_transport_abort(c.s.client.t, NULL);
    UNTIL(&c.s, c.s.client.count[ON_FINI] == 1 && released == 3);
    close_scene(&c);
    CHECK_INT(released, 3);
}

static void G7_L16_owned_bytes_are_released_by_loop_close(void)
{
    struct scene c;
    static uint8_t bytes[100000];
    stage_init(&c.s);
    open_to_reader(&c);
    actor_fill(&c.s.client);
    released = 0;
    CHECK_INT(
        eddy_transport_write_owned(c.s.client.t, bytes, sizeof bytes, count_release, &released), 0);
    test_expect_log("stage.c");
    raw_close(&c.s, c.fd);
    raw_close(&c.s, c.listener);
    CHECK_INT(eddy_loop_close(c.s.loop), 0);
    CHECK_INT(c.s.client.code, EDDY_ELOOP_CLOSED);
    CHECK_INT(released, 1);
    eddy_server_unref(c.s.server);
    test_loop_free(c.s.loop);
}

/* ---- limits ---- */

static void T56_more_than_write_max_force_closes(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.connection_opts.write_max = 1000;
    open_to_reader(&c);
    CHECK_INT(eddy_transport_set_write_buffer_limits(c.s.client.t, 0, 0), 0);
    actor_fill(&c.s.client);
    while (!eddy_transport_is_closing(c.s.client.t) && waiting(&c.s) <= 1000)
        CHECK_INT(actor_write(&c.s.client, 500), 0);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), -ENOBUFS);
    CHECK(eddy_transport_is_closing(c.s.client.t));
    CHECK_INT(c.s.client.count[ON_LOST], 0);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(c.s.client.code, -ENOBUFS);
    close_scene(&c);
}

static void T56_write_max_can_be_set_and_restored(void)
{
    struct scene c;
    stage_init(&c.s);
    open_to_reader(&c);
    CHECK_INT(eddy_transport_set_write_max(c.s.client.t, 1000), 0);
    CHECK_INT(eddy_transport_set_write_max(c.s.client.t, 0), 0);
    actor_fill(&c.s.client);
    CHECK(waiting(&c.s) > 1000);
    CHECK_INT(eddy_transport_write(c.s.client.t, "x", 1), 0);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    close_scene(&c);
}

static void G5_write_without_memory_force_closes(void)
{
    struct scene c;
    static uint8_t bytes[500000];
    stage_init(&c.s);
    open_to_reader(&c);
    actor_fill(&c.s.client);
    test_fail_allocation(1);
    CHECK_INT(eddy_transport_write(c.s.client.t, bytes, sizeof bytes), -ENOMEM);
    CHECK(test_allocation_failed());
    test_fail_allocation(0);
    CHECK(eddy_transport_is_closing(c.s.client.t));
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(c.s.client.code, -ENOMEM);
    close_scene(&c);
}

static void T36_nagle_is_off(void)
{
    if (road_is_unix())
        return;
    struct scene c;
    int on = 0;
    stage_init(&c.s);
    open_to_reader(&c);
    int fd = eddy_transport_fd(c.s.client.t);
    CHECK_INT(c.s.sys->cls->getsockopt(c.s.sys, fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on), 0);
    CHECK(on != 0);
    close_scene(&c);
}

static struct stage *stage_of_release;
static int connects;

static void connect_and_detach(void *user)
{
    struct stage *s = stage_of_release;
    struct eddy_protocol p;
    connects++;
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(
        stage_create_connection(s, &p, EDDY_CONNECTION(.host = "127.0.0.1", .port = s->port), NULL),
        0);
    eddy_protocol_detach(&p);
    (void)user;
}

/* Called from the quiet point at which the transport goes. */
static void G12_release_may_begin_and_end_a_connection(void)
{
    static char bytes[4096];
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    stage_of_release = &s;
    connects = 0;
    eddy_server_close(s.server); /* the new one is refused, should it get that far */
    actor_fill(&s.client);
    CHECK_INT(eddy_transport_write_owned(s.client.t, bytes, sizeof bytes, connect_and_detach, NULL),
              0);
    eddy_transport_abort(s.client.t, NULL);
    UNTIL(&s, connects == 1);
    stage_settle(&s);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(T10_outside_a_run_the_kernel_gets_it_at_once),
    CASE(T10_T20_corked_in_the_ready_batch_and_flushed_at_its_end),
    CASE(T10_corked_in_a_timer_and_flushed_at_the_end_of_the_phase),
    CASE(T10_sixteen_replies_are_one_send),
    CASE(T10_reaching_16_kib_flushes),
    CASE(T10_flush_sends_now),
    CASE(T10_T18_write_eof_sends_now),
    CASE(T10_T5_close_sends_now),
    CASE(T10_T6_abort_drops_corked_bytes),
    CASE(T10_G7_order_is_that_of_the_calls),
    CASE(T11_writing_nothing_does_nothing),
    CASE(T12_a_slow_reader_gets_every_byte),
    CASE(T12_T20_one_large_write),
    CASE(T13_G7_write_after_write_eof),
    CASE(T14_G7_write_after_close_is_discarded_while_flushing),
    CASE(T15_fifth_discarded_write_is_logged_once),
    CASE(T11_T15_writing_nothing_discards_nothing),
    CASE(G3_G4_bad_arguments_change_nothing),
    CASE(G4_no_transport_is_a_closed_one),
    CASE(T16_a_send_error_does_not_fail_the_call),
    CASE(T16_T35_G26_writing_to_a_closed_peer_gives_epipe),
    CASE(T17_writev_equals_its_concatenation),
    CASE(T17_R32_writev_of_more_than_fits_pauses),
    CASE(T17_printf_writes_text_of_any_length),
    CASE(T18_T19_write_eof_sends_all_and_reading_goes_on),
    CASE(G7_owned_bytes_are_released_when_sent),
    CASE(G7_small_owned_bytes),
    CASE(G7_owned_bytes_are_not_copied),
    CASE(G7_owned_bytes_are_released_by_abort),
    CASE(G7_L16_owned_bytes_are_released_by_loop_close),
    CASE(T56_more_than_write_max_force_closes),
    CASE(T56_write_max_can_be_set_and_restored),
    CASE(G5_write_without_memory_force_closes),
    CASE(T36_nagle_is_off),
    CASE(G12_release_may_begin_and_end_a_connection),
    {NULL, NULL},
};
