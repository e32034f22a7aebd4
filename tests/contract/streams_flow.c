/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* Flow control: contract R.5, T.3. */
#include "tests/support/stream.h"
#include <string.h>

/* The client's queue at the kernel's refusal, with the peer not reading. The high mark is far away.
 */
static void open_full(struct stage *s)
{
    s->peer.on[ON_MADE] = do_pause;
    stage_keyed(s);
    s->connection_opts.write_high = 32u << 20;
    s->connection_opts.write_low = 0;
    stage_open(s);
    while (eddy_transport_get_write_buffer_size(s->client.t) == 0) {
        if (!CHECK_INT(actor_write(&s->client, 16384), 0))
            break;
    }
    stage_settle(s);
    while (eddy_transport_get_write_buffer_size(s->client.t) == 0) {
        if (!CHECK_INT(actor_write(&s->client, 16384), 0))
            break;
    }
}

static void check_all_arrives(struct stage *s)
{
    eddy_transport_resume_reading(s->peer.t);
    UNTIL(s, s->peer.received == s->client.sent);
}

static void T21_T25_default_limits(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    stage_open(&s);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, road_low_mark());
    CHECK_INT(high, road_high_mark());
    stage_close(&s);
}

static void T22_limits_derive_from_each_other(void)
{
    const struct {
        size_t low, high;
        int result;
        size_t low_then, high_then;
    } rows[] = {
        {EDDY_DEFAULT, 1000, 0, 250, 1000},
        {EDDY_DEFAULT, 1003, 0, 250, 1003},
        {EDDY_DEFAULT, 3, 0, 0, 3},
        {EDDY_DEFAULT, 0, 0, 0, 0},
        {100, EDDY_DEFAULT, 0, 100, 400},
        {0, EDDY_DEFAULT, 0, 0, 0},
        {10, 10, 0, 10, 10},
        {11, 10, -EINVAL, 10, 10},
        {1, 0, -EINVAL, 10, 10},
        {EDDY_DEFAULT, EDDY_DEFAULT, 0, road_low_mark(), road_high_mark()},
    };
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t low, high;
        CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, rows[i].low, rows[i].high),
                  rows[i].result);
        eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
        CHECK_INT(low, rows[i].low_then);
        CHECK_INT(high, rows[i].high_then);
    }
    stage_close(&s);
}

static void T22_limits_from_the_options(void)
{
    struct stage s;
    size_t low, high;
    stage_init(&s);
    s.connection_opts.write_low = 100;
    s.connection_opts.write_high = 200;
    s.server_opts.write_high = 4000;
    stage_open(&s);
    eddy_transport_get_write_buffer_limits(s.client.t, &low, &high);
    CHECK_INT(low, 100);
    CHECK_INT(high, 200);
    eddy_transport_get_write_buffer_limits(s.peer.t, &low, &high);
    CHECK_INT(low, 1000);
    CHECK_INT(high, 4000);
    stage_close(&s);
}

static void T23_equal_to_the_high_mark_is_not_above(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    size_t size = eddy_transport_get_write_buffer_size(s.client.t);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, size + 10), 0);
    CHECK_INT(actor_write(&s.client, 10), 0);
    eddy_transport_flush(s.client.t);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), size + 10);
    CHECK_INT(s.client.count[ON_PAUSE], 0);
    CHECK(!eddy_transport_is_writing_paused(s.client.t));
    CHECK_INT(actor_write(&s.client, 1), 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    CHECK(eddy_transport_is_writing_paused(s.client.t));
    check_all_arrives(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    stage_close(&s);
}

static size_t size_at_resume;

static void note_size(struct actor *a)
{
    size_at_resume = eddy_transport_get_write_buffer_size(a->t);
}

static void T23_resume_at_or_below_the_low_mark(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_RESUME] = note_size;
    open_full(&s);
    CHECK_INT(actor_write(&s.client, 100000), 0);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 50000, 60000), 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    size_at_resume = SIZE_MAX;
    check_all_arrives(&s);
    CHECK_INT(s.client.count[ON_RESUME], 1);
    CHECK(size_at_resume <= 50000);
    stage_close(&s);
}

static void T24_lowered_limits_pause_inside_the_call(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    CHECK_INT(s.client.count[ON_PAUSE], 0);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 0), 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 1), 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    check_all_arrives(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    stage_close(&s);
}

static void T24_raised_limits_resume_only_with_the_next_drain(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 0), 0);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 32u << 20, 64u << 20), 0);
    CHECK_TRACE(s.client.trace, "CM RET PW");
    check_all_arrives(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    stage_close(&s);
}

static void write_ten(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 10), 0);
}

/* The kernel takes them at the end of the batch: with a high mark of 0 they were above it till
 * then. */
static void R32_never_for_bytes_merely_corked(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    stage_open(&s);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 0), 0);
    stage_inside(&s, write_ten);
    UNTIL(&s, s.peer.received == 10);
    if (!stage_is_late())
        CHECK_TRACE(s.client.trace, "CM RET");
    stage_close(&s);
}

static int pauses_in_call;

static void write_above_high(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 10), 0);
    pauses_in_call = s->client.count[ON_PAUSE];
}

static void R32_G22_inside_the_call_that_found_a_queue_already_refused(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    size_t size = eddy_transport_get_write_buffer_size(s.client.t);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, size + 1), 0);
    stage_inside(&s, write_above_high);
    CHECK_INT(pauses_in_call, 1);
    check_all_arrives(&s);
    stage_close(&s);
}

/* How many bytes the simulated kernel takes from a client whose peer does not read. */
static size_t room_of_kernel(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    while (eddy_transport_get_write_buffer_size(s.client.t) == 0 && s.client.sent < 1u << 20)
        CHECK_INT(actor_write(&s.client, 1), 0);
    size_t room = s.client.sent - 1;
    stage_close(&s);
    return room;
}

/* Full, but nothing queued: it is the flush at the end of the batch that the kernel refuses. How
 * much a real kernel takes is not known before. */
static void R32_from_the_loop_at_the_end_of_the_phase(void)
{
    struct stage s;
    if (!test_is_sim() || stage_is_late() || road_is_tls())
        return; /* a layer below takes more than the kernel */
    size_t room = room_of_kernel();
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    stage_open(&s);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 9), 0);
    CHECK_INT(actor_write(&s.client, room), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0);
    pauses_in_call = 99;
    stage_inside(&s, write_above_high);
    CHECK_INT(pauses_in_call, 0);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    check_all_arrives(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    stage_close(&s);
}

static void write_and_close(struct stage *s)
{
    CHECK_INT(actor_write(&s->client, 15000), 0);
    eddy_transport_close(s->client.t);
}

static void R32_never_on_a_closing_transport(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    size_t size = eddy_transport_get_write_buffer_size(s.client.t);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, size + 14999), 0);
    eddy_transport_close(s.client.t);
    CHECK_INT(eddy_transport_set_write_buffer_limits(s.client.t, 0, 0), 0);
    stage_settle(&s);
    CHECK_INT(s.client.count[ON_PAUSE], 0);
    check_all_arrives(&s);
    stage_close(&s);
}

static void R32_no_pause_by_the_flush_of_close(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    s.connection_opts.write_high = 14000;
    stage_open(&s);
    stage_inside(&s, write_and_close);
    check_all_arrives(&s);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void R32_E6_resume_writing_comes_also_while_closing(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_close(s.client.t);
    check_all_arrives(&s);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_TRACE(s.client.trace, "CM RET PW RW CL(0)");
    stage_close(&s);
}

/* As long as the peer reads: each RW fills the pipe again. */
static void fill_again(struct actor *a)
{
    if (a->count[ON_RESUME] < 5)
        actor_fill(a);
}

static void R34_write_in_resume_writing_may_pause_again(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    s.client.on[ON_RESUME] = fill_again;
    stage_keyed(&s);
    stage_open(&s);
    actor_fill(&s.client);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.client.count[ON_RESUME] == 5);
    UNTIL(&s, s.peer.received == s.client.sent);
    CHECK_INT(s.client.count[ON_PAUSE], 5);
    CHECK_TRACE(s.client.trace, "CM RET PW RW PW RW PW RW PW RW PW RW");
    stage_close(&s);
}

static void write_more(struct actor *a)
{
    CHECK_INT(actor_write(a, 1000), 0);
}

static void R34_write_in_pause_writing_is_kept(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_PAUSE] = write_more;
    s.peer.on[ON_MADE] = do_pause;
    stage_keyed(&s);
    s.peer.in_key = 0; /* the write inside a write comes after it, but is counted before */
    stage_open(&s);
    actor_fill(&s.client);
    check_all_arrives(&s);
    CHECK_TRACE(s.client.trace, "CM RET PW RW");
    stage_close(&s);
}

static void end_in(enum slot slot, void (*act)(struct actor *a), int code)
{
    struct stage s;
    stage_init(&s);
    s.client.on[slot] = act;
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    actor_fill(&s.client);
    if (s.peer.t)
        eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.client.count[ON_LOST] == 1 && s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, code);
    CHECK_INT(s.client.count[slot], 1);
    stage_close(&s);
}

static void R35_close_in_pause_writing(void)
{
    end_in(ON_PAUSE, do_close, 0);
}

static void R35_abort_in_pause_writing(void)
{
    end_in(ON_PAUSE, do_abort_eproto, -EPROTO);
}

static void R35_close_in_resume_writing(void)
{
    end_in(ON_RESUME, do_close, 0);
}

static void R35_abort_in_resume_writing(void)
{
    end_in(ON_RESUME, do_abort_eproto, -EPROTO);
}

static void T20_size_counts_what_the_kernel_has_not(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    size_t size = eddy_transport_get_write_buffer_size(s.client.t);
    CHECK_INT(actor_write(&s.client, 12345), 0);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), size + 12345);
    check_all_arrives(&s);
    UNTIL(&s, eddy_transport_get_write_buffer_size(s.client.t) == 0);
    stage_close(&s);
}

static void T12_R32_no_wakeups_when_the_queue_is_empty_again(void)
{
    struct stage s;
    stage_init(&s);
    open_full(&s);
    CHECK(stage_is_quiet(&s)); /* nor while the kernel takes nothing */
    check_all_arrives(&s);
    CHECK(stage_is_quiet(&s));
    stage_close(&s);
}

/* An echo between two that both stop reading while they may not write. */
static void pause_peer_of_echo(struct actor *a)
{
    eddy_transport_pause_reading(a->t);
}

static void resume_peer_of_echo(struct actor *a)
{
    eddy_transport_resume_reading(a->t);
}

static void R32_T28_echo_under_backpressure_loses_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.client.out_key = s.client.in_key = 5;
    s.peer.on[ON_DATA] = do_echo;
    s.peer.on[ON_PAUSE] = pause_peer_of_echo;
    s.peer.on[ON_RESUME] = resume_peer_of_echo;
    s.server_opts.write_high = 10000;
    s.client.on[ON_MADE] = do_pause;
    stage_open(&s);
    for (eddy_nsec end = stage_patience(&s); s.peer.count[ON_PAUSE] == 0 && stage_step(&s, end);)
        actor_fill(&s.client);
    actor_fill(&s.client);
    stage_settle(&s);
    CHECK(!eddy_transport_is_reading(s.peer.t));
    eddy_transport_resume_reading(s.client.t);
    UNTIL(&s, s.client.received == s.client.sent);
    CHECK(s.peer.count[ON_PAUSE] > 0);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(T21_T25_default_limits),
    CASE(T22_limits_derive_from_each_other),
    CASE(T22_limits_from_the_options),
    CASE(T23_equal_to_the_high_mark_is_not_above),
    CASE(T23_resume_at_or_below_the_low_mark),
    CASE(T24_lowered_limits_pause_inside_the_call),
    CASE(T24_raised_limits_resume_only_with_the_next_drain),
    CASE(R32_never_for_bytes_merely_corked),
    CASE(R32_G22_inside_the_call_that_found_a_queue_already_refused),
    CASE(R32_from_the_loop_at_the_end_of_the_phase),
    CASE(R32_never_on_a_closing_transport),
    CASE(R32_no_pause_by_the_flush_of_close),
    CASE(R32_E6_resume_writing_comes_also_while_closing),
    CASE(R34_write_in_resume_writing_may_pause_again),
    CASE(R34_write_in_pause_writing_is_kept),
    CASE(R35_close_in_pause_writing),
    CASE(R35_abort_in_pause_writing),
    CASE(R35_close_in_resume_writing),
    CASE(R35_abort_in_resume_writing),
    CASE(T20_size_counts_what_the_kernel_has_not),
    CASE(T12_R32_no_wakeups_when_the_queue_is_empty_again),
    CASE(R32_T28_echo_under_backpressure_loses_nothing),
    {NULL, NULL},
};
