/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 120 */
/* Files over transports that are well: contract L92, L95, L96, T5, T18, T20, R40. */
#include "tests/contract/sendfile.h"

/* ---- order and amounts ---- */

static void L96_files_and_writes_go_in_the_order_of_the_calls(void)
{
    struct scene c;
    struct eddy_future *f[3];
    size_t n = large();
    stage_init(&c.s);
    scene_open(&c, 3 * n);
    struct actor *a = &c.s.client;
    CHECK_INT(actor_write(a, 1000), 0);
    CHECK_INT(send_part(a, c.file, 500, &f[0]), 0);
    CHECK_INT(actor_write(a, 1000), 0);
    CHECK_INT(send_part(a, c.file, n, &f[1]), 0);
    CHECK_INT(actor_write(a, 20000), 0);
    CHECK_INT(send_part(a, c.file, 1, &f[2]), 0);
    CHECK_INT(actor_write(a, 1000), 0);
    eddy_transport_close(a->t);
    check_all_arrives(&c);
    CHECK_INT(outcome(&f[0]), 500);
    CHECK_INT(outcome(&f[1]), (long long)n);
    CHECK_INT(outcome(&f[2]), 1);
    scene_close(&c);
}

static struct scene *inside;

static void write_and_send(struct actor *a)
{
    CHECK_INT(actor_write(a, 100), 0);
    CHECK_INT(send_part(a, inside->file, 300, &inside->f), 0);
    CHECK_INT(actor_write(a, 100), 0);
    eddy_transport_close(a->t);
}

static void L95_T10_what_is_corked_goes_first(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.client.on[ON_DATA] = write_and_send;
    inside = &c;
    scene_open(&c, 1000);
    CHECK_INT(raw_send(&c.s, c.fd, "go", 2), 0);
    check_all_arrives(&c);
    CHECK_INT(outcome(&c.f), 300);
    scene_close(&c);
}

static void L92_from_an_offset_to_the_end_and_the_position_behind_it(void)
{
    struct scene c;
    uint8_t got[1000];
    stage_init(&c.s);
    scene_open(&c, 1000);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, EDDY_SENDFILE(.offset = 400), &c.f), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 600), 600);
    CHECK(stream_matches(got, 600, 400, 1));
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(position(c.file), 1000);
    CHECK_INT(outcome(&c.f), 600);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file,
                                      EDDY_SENDFILE(.offset = 10, .count = 20), &c.f),
              0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 20), 20);
    CHECK(stream_matches(got, 20, 10, 1));
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(position(c.file), 30);
    CHECK_INT(outcome(&c.f), 20);
    scene_close(&c);
}

/* More is asked for than there is. */
static void L92_a_file_that_is_shorter_or_empty_is_no_error(void)
{
    struct scene c;
    uint8_t got[1000];
    stage_init(&c.s);
    scene_open(&c, 1000);
    CHECK_INT(
        eddy_transport_sendfile(c.s.client.t, c.file, EDDY_SENDFILE(.count = INT64_MAX), &c.f), 0);
    CHECK_INT(raw_recv(&c.s, c.fd, got, 1000), 1000);
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(outcome(&c.f), 1000);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, EDDY_SENDFILE(.offset = 1000), &c.f),
              0);
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(outcome(&c.f), 0);
    CHECK_INT(eddy_transport_sendfile(
                  c.s.client.t, c.file,
                  EDDY_SENDFILE(.offset = INT64_MAX - 5, .count = 20, .no_fallback = false), &c.f),
              0);
    UNTIL(&c.s, eddy_future_is_done(c.f));
    eddy_future_error(c.f); /* the system may say that there can be no such place */
    eddy_future_unref(c.f);
    CHECK_INT(ftruncate(c.file, 0), 0);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, NULL, &c.f), 0);
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK_INT(position(c.file), 0);
    CHECK_INT(outcome(&c.f), 0);
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    scene_close(&c);
}

static void L92_a_file_that_is_cut_meanwhile_ends_there(void)
{
    struct scene c;
    size_t n = large(), got;
    stage_init(&c.s);
    scene_open(&c, n);
    CHECK_INT(eddy_transport_sendfile(c.s.client.t, c.file, NULL, &c.f), 0);
    stage_settle(&c.s);
    CHECK(!eddy_future_is_done(c.f));
    CHECK_INT(ftruncate(c.file, 100), 0);
    eddy_transport_close(c.s.client.t);
    CHECK_INT(raw_drain(&c.s, c.fd, 0, &got), 0);
    CHECK(got < n);
    UNTIL(&c.s, c.s.client.count[ON_LOST] == 1);
    CHECK_INT(outcome(&c.f), (long long)got);
    scene_close(&c);
}

static void L92_without_a_future(void)
{
    struct scene c;
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, 10, NULL), 0);
    CHECK_INT(send_part(&c.s.client, c.file, large() - 10, NULL), 0);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    CHECK_INT(position(c.file), (long long)large());
    scene_close(&c);
}

/* ---- endings behind it ---- */

static void T18_write_eof_ends_our_side_behind_the_file(void)
{
    struct scene c;
    size_t got;
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), &c.f), 0);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    CHECK_INT(raw_drain(&c.s, c.fd, 1, &got), 0);
    CHECK_INT(got, large());
    CHECK(!eddy_transport_is_closing(c.s.client.t));
    CHECK_INT(outcome(&c.f), (long long)large());
    CHECK_INT(raw_send(&c.s, c.fd, "late", 4), 0);
    UNTIL(&c.s, c.s.client.received == 4);
    scene_close(&c);
}

/* The peer's bytes are discarded meanwhile, so that it comes to read ours. */
static void T5_a_closing_transport_sends_the_file_and_throws_away_what_comes(void)
{
    struct scene c;
    static uint8_t bulk[100000];
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), &c.f), 0);
    eddy_transport_close(c.s.client.t);
    for (int i = 0; i < 100; i++)
        CHECK_INT(raw_send(&c.s, c.fd, bulk, sizeof bulk), 0);
    CHECK(!eddy_future_is_done(c.f));
    check_all_arrives(&c);
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

/* ---- reading meanwhile ---- */

static void L95_nothing_is_received_meanwhile_and_all_of_it_then(void)
{
    struct scene c;
    struct eddy_future *f[2];
    size_t got;
    stage_init(&c.s);
    scene_open(&c, 2 * large());
    struct actor *a = &c.s.client;
    CHECK_INT(send_part(a, c.file, large(), &f[0]), 0);
    CHECK_INT(send_part(a, c.file, large(), &f[1]), 0);
    CHECK(!eddy_transport_is_reading(a->t));
    CHECK_INT(raw_send(&c.s, c.fd, "hello", 5), 0);
    stage_settle(&c.s);
    CHECK_INT(a->count[ON_DATA], 0);
    eddy_future_cancel(f[0], NULL); /* the other one is still to come */
    stage_settle(&c.s);
    CHECK_INT(a->count[ON_DATA], 0);
    CHECK_INT(eddy_transport_write_eof(a->t), 0);
    CHECK_INT(raw_drain(&c.s, c.fd, 0, &got), 0);
    UNTIL(&c.s, a->received == 5);
    CHECK(eddy_transport_is_reading(a->t));
    CHECK_INT(outcome(&f[0]), -ECANCELED);
    CHECK_INT(outcome(&f[1]), (long long)large());
    scene_close(&c);
}

static void L95_T27_a_pause_of_the_users_outlasts_the_file(void)
{
    struct scene c;
    size_t got;
    stage_init(&c.s);
    scene_open(&c, large());
    struct actor *a = &c.s.client;
    CHECK_INT(send_part(a, c.file, large(), &c.f), 0);
    eddy_transport_pause_reading(a->t);
    eddy_transport_resume_reading(a->t); /* not yet */
    CHECK_INT(raw_send(&c.s, c.fd, "hello", 5), 0);
    stage_settle(&c.s);
    CHECK_INT(a->received, 0);
    eddy_transport_pause_reading(a->t);
    CHECK_INT(eddy_transport_write_eof(a->t), 0);
    CHECK_INT(raw_drain(&c.s, c.fd, 1, &got), 0);
    CHECK_INT(outcome(&c.f), (long long)large());
    stage_settle(&c.s);
    CHECK_INT(a->received, 0);
    eddy_transport_resume_reading(a->t);
    UNTIL(&c.s, a->received == 5);
    scene_close(&c);
}

static void give_back_and_send(struct actor *a)
{
    if (a->count[ON_DATA] > 1)
        return;
    CHECK_INT(send_part(a, inside->file, large(), &inside->f), 0);
    CHECK_INT(eddy_transport_unread(a->t, a->data + 1, a->len - 1), 0);
}

static void R40_L95_what_was_given_back_waits_for_the_file(void)
{
    struct scene c;
    static uint8_t got[1 << 20];
    stage_init(&c.s);
    c.s.client.on[ON_DATA] = give_back_and_send;
    inside = &c;
    scene_open(&c, large());
    struct actor *a = &c.s.client;
    CHECK_INT(raw_send(&c.s, c.fd, "abc", 3), 0);
    UNTIL(&c.s, a->count[ON_DATA] == 1);
    stage_settle(&c.s);
    CHECK_INT(a->count[ON_DATA], 1);
    for (size_t at = 0; at < large(); at += sizeof got) {
        CHECK_INT(a->count[ON_DATA], 1);
        CHECK_INT(raw_recv(&c.s, c.fd, got, sizeof got), (long long)sizeof got);
        CHECK(stream_matches(got, sizeof got, at, 1));
    }
    UNTIL(&c.s, a->count[ON_DATA] == 2);
    CHECK_INT(a->received, 5);
    CHECK(a->head[3] == 'b');
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

/* ---- flow control ---- */

static void T20_T23_limits_see_what_was_written_alone(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.connection_opts.write_max = 5000;
    c.s.connection_opts.write_high = 4000;
    scene_open(&c, large() + 20000);
    struct actor *a = &c.s.client;
    CHECK_INT(send_part(a, c.file, large(), &c.f), 0);
    stage_settle(&c.s);
    CHECK_INT(eddy_transport_get_write_buffer_size(a->t), 0);
    CHECK_INT(actor_write(a, 4000), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(a->t), 4000);
    CHECK_INT(a->count[ON_PAUSE], 0);
    CHECK_INT(actor_write(a, 1), 0);
    CHECK_INT(a->count[ON_PAUSE], 1);
    CHECK_INT(actor_write(a, 1), 0);
    eddy_transport_close(a->t);
    check_all_arrives(&c);
    CHECK_INT(a->count[ON_RESUME], 1);
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

/* In pause_writing, which comes inside the write of 10 bytes. */
static void send_another(struct actor *a)
{
    int64_t at = (int64_t)a->sent + 10;
    CHECK_INT(eddy_transport_sendfile(a->t, inside->file,
                                      EDDY_SENDFILE(.offset = at, .count = 1000), NULL),
              0);
    a->sent += 1000;
}

static void L96_a_file_from_pause_writing_comes_behind_the_write(void)
{
    struct scene c;
    stage_init(&c.s);
    c.s.client.on[ON_PAUSE] = send_another;
    c.s.connection_opts.write_high = 1;
    inside = &c;
    scene_open(&c, 2 * large());
    struct actor *a = &c.s.client;
    CHECK_INT(send_part(a, c.file, large(), &c.f), 0);
    CHECK_INT(actor_write(a, 10), 0);
    CHECK_INT(a->count[ON_PAUSE], 1);
    eddy_transport_close(a->t);
    check_all_arrives(&c);
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

static void write_and_send_behind(struct stage *s)
{
    struct actor *a = &s->client;
    CHECK_INT(actor_write(a, 10), 0);
    CHECK_INT(a->count[ON_PAUSE], 0);
    CHECK_INT(send_part(a, inside->file, 1000, &inside->f), 0);
    CHECK_INT(a->count[ON_PAUSE], 1);
}

/* The simulated kernels are full, and no byte waits: what is corked is refused by the call. */
static void R32_what_the_call_flushes_and_is_refused_pauses_in_it(void)
{
    struct scene c;
    if (!test_is_sim() || stage_is_late())
        return;
    stage_init(&c.s);
    c.s.connection_opts.write_high = 1;
    inside = &c;
    scene_open(&c, 1 << 20);
    CHECK_INT(actor_write(&c.s.client, 128 << 10), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(c.s.client.t), 0);
    stage_inside(&c.s, write_and_send_behind);
    eddy_transport_close(c.s.client.t);
    check_all_arrives(&c);
    CHECK_INT(outcome(&c.f), 1000);
    scene_close(&c);
}

/* ---- from callbacks ---- */

struct sequel {
    struct scene *c;
    struct eddy_done done;
    int left;
};

static void send_next(struct eddy_done *d, struct eddy_future *f)
{
    struct sequel *q = EDDY_CONTAINER_OF(d, struct sequel, done);
    struct actor *a = &q->c->s.client;
    CHECK_INT(eddy_future_result(f, NULL), 0);
    eddy_future_unref(q->c->f);
    q->c->f = NULL;
    if (--q->left == 0) {
        eddy_transport_close(a->t);
        return;
    }
    CHECK_INT(actor_write(a, 10), 0);
    CHECK_INT(send_part(a, q->c->file, 40000, &q->c->f), 0);
    CHECK_INT(eddy_future_add_done_callback(q->c->f, d), 0);
}

static void L96_one_after_the_other_from_done_callbacks(void)
{
    struct scene c;
    stage_init(&c.s);
    scene_open(&c, 20 * 40010);
    struct sequel q = {.c = &c, .done.fn = send_next, .left = 20};
    CHECK_INT(send_part(&c.s.client, c.file, 40000, &c.f), 0);
    CHECK_INT(eddy_future_add_done_callback(c.f, &q.done), 0);
    check_all_arrives(&c);
    CHECK_INT(q.left, 0);
    scene_close(&c);
}

static void R36_the_protocol_may_change_meanwhile(void)
{
    struct scene c;
    struct actor next;
    stage_init(&c.s);
    scene_open(&c, large());
    struct actor *a = &c.s.client;
    stage_add(&c.s, &next, false);
    CHECK_INT(send_part(a, c.file, large(), &c.f), 0);
    size_t sent = a->sent;
    CHECK_INT(actor_switch(a, &next, &actor_class), 0);
    eddy_transport_close(next.t);
    size_t got;
    CHECK_INT(raw_drain(&c.s, c.fd, 1, &got), 0);
    CHECK_INT(got, sent);
    UNTIL(&c.s, next.count[ON_LOST] == 1);
    CHECK_INT(next.code, 0);
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

/* ---- others have their turn ---- */

/* The reader takes all there is after each iteration: never more than all of them may send. */
static void L96_a_file_of_many_mib_takes_many_turns(void)
{
    struct scene c;
    static uint8_t bulk[1 << 20];
    size_t got = 0, turns = 1; /* the first is inside the call */
    stage_init(&c.s);
    scene_open(&c, large());
    CHECK_INT(send_part(&c.s.client, c.file, large(), &c.f), 0);
    for (eddy_nsec patience = stage_patience(&c.s); got < large(); turns++) {
        ssize_t n;
        while ((n = c.s.sys->cls->recv(c.s.sys, c.fd, bulk, sizeof bulk)) > 0)
            got += (size_t)n;
        CHECK(got <= turns << 20);
        if (!stage_step(&c.s, patience))
            break;
    }
    UNTIL(&c.s, eddy_future_is_done(c.f));
    CHECK(turns > 2);
    CHECK_INT(outcome(&c.f), (long long)large());
    scene_close(&c);
}

const struct test_case test_cases[] = {
    TEST(L96_files_and_writes_go_in_the_order_of_the_calls),
    TEST(L95_T10_what_is_corked_goes_first),
    TEST(L92_from_an_offset_to_the_end_and_the_position_behind_it),
    TEST(L92_a_file_that_is_shorter_or_empty_is_no_error),
    TEST(L92_a_file_that_is_cut_meanwhile_ends_there),
    TEST(L92_without_a_future),
    TEST(T18_write_eof_ends_our_side_behind_the_file),
    TEST(T5_a_closing_transport_sends_the_file_and_throws_away_what_comes),
    TEST(L95_nothing_is_received_meanwhile_and_all_of_it_then),
    TEST(L95_T27_a_pause_of_the_users_outlasts_the_file),
    TEST(R40_L95_what_was_given_back_waits_for_the_file),
    TEST(T20_T23_limits_see_what_was_written_alone),
    TEST(L96_a_file_from_pause_writing_comes_behind_the_write),
    TEST(R32_what_the_call_flushes_and_is_refused_pauses_in_it),
    TEST(L96_one_after_the_other_from_done_callbacks),
    TEST(R36_the_protocol_may_change_meanwhile),
    TEST(L96_a_file_of_many_mib_takes_many_turns),
    TEST_END,
};
