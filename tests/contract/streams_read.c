/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* timeout: 120 */
/* Receiving: contract R.3, R40, T.4, T38. */
#include "tests/support/stream.h"
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MOST (256 * KIB) /* in one callback, and in one iteration */

/* As much as fits waits in the receiver's kernel. */
static size_t fill_from_raw(struct stage *s, int fd)
{
    static uint8_t piece[65536];
    size_t total = 0;
    for (int idle = 0; idle < 20 && total < 8 * MOST;) {
        stream_bytes(piece, sizeof piece, total, 1);
        ssize_t n = s->sys->cls->send(s->sys, fd, piece, sizeof piece);
        if (n > 0) {
            total += (size_t)n;
            idle = 0;
        } else {
            idle++;
            CHECK_INT(eddy_loop_run_once(s->loop, 0), 0);
        }
    }
    return total;
}

static void R15_R16_T29_at_most_256_kib_per_call_and_iteration(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.in_key = 1;
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    size_t len = fill_from_raw(&s, fd);
    CHECK(test_is_sim() || road_is_unix() || len > MOST); /* a unix socket holds less */
    eddy_transport_resume_reading(s.peer.t);
    size_t before = 0;
    for (eddy_nsec end = stage_patience(&s); s.peer.received < len && stage_step(&s, end);) {
        CHECK(s.peer.received - before <= MOST);
        before = s.peer.received;
    }
    CHECK_INT(s.peer.received, len);
    CHECK(s.peer.largest <= MOST);
    raw_close(&s, fd);
    stage_close(&s);
}

/* Two connections, one of which has far more to say: in the iteration that first reads either, both
 * are read. */
static void R16_a_busy_peer_starves_nobody(void)
{
    struct stage s;
    struct actor second;
    int busy, other;
    stage_init(&s);
    stage_add(&s, &second, true);
    s.peer.on[ON_MADE] = second.on[ON_MADE] = do_pause;
    busy = stage_open_raw(&s);
    other = raw_connect(&s);
    UNTIL(&s, second.count[ON_MADE] == 1);
    size_t len = fill_from_raw(&s, busy);
    CHECK_INT(raw_send(&s, other, "x", 1), 0);
    UNTIL(&s, raw_unread(&s, eddy_transport_fd(s.peer.t)) > 0 &&
                  raw_unread(&s, eddy_transport_fd(second.t)) == 1);
    eddy_transport_resume_reading(s.peer.t);
    eddy_transport_resume_reading(second.t);
    UNTIL(&s, s.peer.received > 0 || second.received > 0);
    if (!stage_is_late()) {
        CHECK_INT(second.received, 1);
        CHECK(s.peer.received > 0 && s.peer.received <= MOST);
    }
    UNTIL(&s, s.peer.received == len && second.received == 1);
    raw_close(&s, busy);
    raw_close(&s, other);
    stage_close(&s);
}

static void reset_of_a_class(const struct eddy_protocol_class *cls, const char *expected)
{
    struct stage s;
    stage_init(&s);
    s.server_class = cls;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    raw_reset(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.count[ON_EOF], 0);
    if (expected)
        CHECK_TRACE(s.peer.trace, expected);
    CHECK_INT(s.peer.code, -ECONNRESET);
    CHECK(s.peer.error.text[0] != '\0');
    stage_close(&s);
}

static void R24_R26_T31_T35_reset_gives_no_eof(void)
{
    if (!road_has_resets())
        return;
    reset_of_a_class(&actor_class, "CM DR(3) CL(ECONNRESET)");
}

static void R24_R2_reset_of_a_buffered_protocol(void)
{
    if (!road_has_resets())
        return;
    reset_of_a_class(&actor_buffered_class, NULL);
}

static void abort_in(const struct eddy_protocol_class *cls, enum slot slot, bool eof)
{
    struct stage s;
    stage_init(&s);
    s.server_class = cls;
    s.peer.keep_open = true;
    s.peer.on[slot] = do_abort_eproto;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "abc", 3), 0);
    if (eof)
        raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -EPROTO);
    CHECK_INT(s.peer.count[slot], 1);
    CHECK_INT(s.peer.count[ON_EOF], slot == ON_EOF);
    if (slot == ON_GET_BUFFER)
        CHECK_INT(s.peer.count[ON_BUFFER_UPDATED], 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void R17_abort_in_data_received(void)
{
    abort_in(&actor_class, ON_DATA, true);
}

static void R17_abort_in_get_buffer(void)
{
    abort_in(&actor_buffered_class, ON_GET_BUFFER, true);
}

static void R17_abort_in_buffer_updated(void)
{
    abort_in(&actor_buffered_class, ON_BUFFER_UPDATED, true);
}

static void R17_abort_in_eof_received(void)
{
    abort_in(&actor_class, ON_EOF, true);
}

static void R18_T32_empty_buffer_is_fatal(void)
{
    struct stage s;
    stage_init(&s);
    s.server_class = &actor_buffered_class;
    s.peer.empty_window = true;
    s.expected_problems = 1;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "abc", 3), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -EINVAL);
    CHECK_INT(s.peer.count[ON_BUFFER_UPDATED], 0);
    CHECK_INT(s.problems.code, -EINVAL);
    CHECK(strstr(s.problems.message, "get_buffer") || strstr(s.problems.text, "get_buffer"));
    raw_close(&s, fd);
    stage_close(&s);
}

/* A window in the middle of memory that must stay as it is. */
struct fenced {
    uint8_t before[64], window[7], after[64];
};

static void check_fence(const struct fenced *f)
{
    for (size_t i = 0; i < sizeof f->before; i++) {
        CHECK_INT(f->before[i], 0xa5);
        CHECK_INT(f->after[i], 0xa5);
    }
}

static void R19_R20_only_the_window_is_written(void)
{
    struct stage s;
    struct fenced fenced;
    memset(&fenced, 0xa5, sizeof fenced);
    stage_init(&s);
    stage_keyed(&s);
    s.server_class = &actor_buffered_class;
    s.peer.window = fenced.window;
    s.peer.window_size = sizeof fenced.window;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 1000), 0);
    UNTIL(&s, s.peer.received == 1000);
    CHECK(s.peer.largest <= sizeof fenced.window);
    check_fence(&fenced);
    stage_close(&s);
    check_fence(&fenced);
}

static struct fenced moving;

/* The window just filled is not touched again: the next one is elsewhere. */
static void scribble(struct actor *a)
{
    memset(moving.window, 0xee, sizeof moving.window);
    a->window = a->buffer;
    a->window_size = sizeof a->buffer;
}

static void R19_the_old_window_is_left_alone_after_the_next_get_buffer(void)
{
    struct stage s;
    memset(&moving, 0xa5, sizeof moving);
    stage_init(&s);
    stage_keyed(&s);
    s.server_class = &actor_buffered_class;
    s.peer.window = moving.window;
    s.peer.window_size = sizeof moving.window;
    s.peer.on[ON_BUFFER_UPDATED] = scribble;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 1000), 0);
    UNTIL(&s, s.peer.received == 1000);
    for (size_t i = 0; i < sizeof moving.window; i++)
        CHECK_INT(moving.window[i], 0xee);
    stage_close(&s);
}

static void R21_T37_eof_received_false_closes(void)
{
    struct stage s;
    stage_init(&s);
    s.client.keep_open = true;
    stage_open(&s);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM ER CL(0)");
    stage_close(&s);
}

static void R21_G21_without_eof_received_the_transport_closes(void)
{
    static struct eddy_protocol_class deaf;
    struct stage s;
    deaf = actor_class;
    deaf.eof_received = NULL;
    stage_init(&s);
    s.server_class = &deaf;
    stage_open(&s);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void R21_T38_eof_received_true_keeps_our_side_open(void)
{
    struct stage s;
    size_t got;
    stage_init(&s);
    s.peer.keep_open = true;
    s.peer.out_key = 3;
    int fd = stage_open_raw(&s);
    raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    stage_settle(&s);
    CHECK(!eddy_transport_is_closing(s.peer.t));
    CHECK(!eddy_transport_is_reading(s.peer.t));
    CHECK_INT(actor_write(&s.peer, 1000000), 0);
    eddy_transport_close(s.peer.t);
    CHECK_INT(raw_drain(&s, fd, 3, &got), 0);
    CHECK_INT(got, 1000000);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.count[ON_EOF], 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T37_buffered_output_is_sent_after_the_peers_end(void)
{
    struct stage s;
    size_t got;
    stage_init(&s);
    s.peer.out_key = 3;
    int fd = stage_open_raw(&s);
    size_t len = actor_fill(&s.peer);
    raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK(eddy_transport_is_closing(s.peer.t));
    CHECK_INT(raw_drain(&s, fd, 3, &got), 0);
    CHECK_INT(got, len);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void R23_everything_comes_before_eof(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.in_key = 1;
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    size_t len = fill_from_raw(&s, fd);
    raw_close(&s, fd);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, len);
    CHECK_TRACE(s.peer.trace, "CM DR+ ER CL(0)");
    stage_close(&s);
}

/* ---- pausing ---- */

static void T26_is_reading(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    struct eddy_transport *t = s.client.t;
    CHECK(eddy_transport_is_reading(t));
    for (int i = 0; i < 2; i++) {
        eddy_transport_pause_reading(t);
        CHECK(!eddy_transport_is_reading(t));
    }
    for (int i = 0; i < 2; i++) {
        eddy_transport_resume_reading(t);
        CHECK(eddy_transport_is_reading(t));
    }
    eddy_transport_close(t);
    CHECK(!eddy_transport_is_reading(t));
    eddy_transport_resume_reading(t);
    CHECK(!eddy_transport_is_reading(t));
    eddy_transport_pause_reading(t);
    CHECK(!eddy_transport_is_reading(t));
    stage_close(&s);
}

static void T26_resume_on_a_closing_transport_delivers_nothing(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    stage_settle(&s);
    eddy_transport_close(s.peer.t);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

static void T27_pause_in_data_received(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = do_pause;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    CHECK_INT(raw_send(&s, fd, "def", 3), 0);
    raw_close(&s, fd);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(3)");
    s.peer.on[ON_DATA] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(3) DR(3) ER CL(0)");
    stage_close(&s);
}

static void T27_no_eof_while_paused(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    raw_close(&s, fd);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM");
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM ER CL(0)");
    stage_close(&s);
}

static void pause_and_resume(struct actor *a)
{
    do_pause(a);
    do_resume(a);
}

static void T27_pause_and_resume_in_one_callback_lose_nothing(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_DATA] = pause_and_resume;
    s.server_opts.write_high = 1;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 500000), 0);
    UNTIL(&s, s.peer.received == 500000);
    stage_close(&s);
}

/* Both connections have bytes when the loop looks; the one that is served first silences the other.
 */
static void silence_the_other(struct actor *a)
{
    struct actor *other = a->user;
    eddy_transport_pause_reading(other->t);
}

static void close_the_other(struct actor *a)
{
    struct actor *other = a->user;
    eddy_transport_close(other->t);
}

static void abort_the_other(struct actor *a)
{
    struct actor *other = a->user;
    eddy_transport_abort(other->t, NULL);
}

static void detach_the_other(struct actor *a)
{
    actor_detach(a->user);
}

static void act_on_the_other(void (*act)(struct actor *a))
{
    struct stage s;
    struct actor second;
    int fd[2];
    stage_init(&s);
    stage_add(&s, &second, true);
    s.peer.user = &second;
    second.user = &s.peer;
    s.peer.on[ON_DATA] = second.on[ON_DATA] = act;
    s.peer.on[ON_MADE] = second.on[ON_MADE] = do_pause;
    fd[0] = stage_open_raw(&s);
    fd[1] = raw_connect(&s);
    UNTIL(&s, second.count[ON_MADE] == 1);
    CHECK_INT(raw_send(&s, fd[0], "a", 1), 0);
    CHECK_INT(raw_send(&s, fd[1], "b", 1), 0);
    UNTIL(&s, raw_unread(&s, eddy_transport_fd(s.peer.t)) == 1 &&
                  raw_unread(&s, eddy_transport_fd(second.t)) == 1);
    eddy_transport_resume_reading(s.peer.t);
    eddy_transport_resume_reading(second.t);
    UNTIL(&s, s.peer.received + second.received > 0);
    stage_settle(&s);
    CHECK_INT(s.peer.received + second.received, 1);
    CHECK_INT(s.peer.count[ON_DATA] + second.count[ON_DATA], 1);
    raw_close(&s, fd[0]);
    raw_close(&s, fd[1]);
    stage_close(&s);
}

static void T27_pausing_another_connection_whose_event_is_queued(void)
{
    act_on_the_other(silence_the_other);
}

static void T5_closing_another_connection_whose_event_is_queued(void)
{
    act_on_the_other(close_the_other);
}

static void T6_aborting_another_connection_whose_event_is_queued(void)
{
    act_on_the_other(abort_the_other);
}

static void G15_detaching_another_connection_whose_event_is_queued(void)
{
    act_on_the_other(detach_the_other);
}

static void T28_a_paused_reader_slows_its_peer(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    size_t len = actor_fill(&s.client);
    CHECK(len < (64u << 20));
    stage_settle(&s);
    CHECK(eddy_transport_get_write_buffer_size(s.client.t) > 0);
    CHECK(raw_unread(&s, eddy_transport_fd(s.peer.t)) > 0);
    CHECK_INT(s.peer.received, 0);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == len);
    stage_close(&s);
}

/* A hang-up that nobody wants to hear of must not wake the loop again and again. */
static void T28_L56_a_paused_transport_is_quiet_after_its_peer_has_gone(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    CHECK_INT(raw_send(&s, fd, "abc", 3), 0);
    raw_close(&s, fd);
    CHECK(stage_is_quiet(&s));
    CHECK_TRACE(s.peer.trace, "CM");
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(3) ER CL(0)");
    stage_close(&s);
}

static void T28_a_paused_transport_is_quiet_after_a_reset(void)
{
    if (!road_has_resets())
        return;
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    int fd = stage_open_raw(&s);
    raw_reset(&s, fd);
    CHECK(stage_is_quiet(&s));
    if (s.peer.t)
        eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM CL(ECONNRESET)");
    stage_close(&s);
}

static void R21_a_half_closed_transport_is_quiet(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.keep_open = true;
    int fd = stage_open_raw(&s);
    raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK(stage_is_quiet(&s));
    CHECK_INT(eddy_transport_write_eof(s.peer.t), 0);
    CHECK(stage_is_quiet(&s)); /* both directions have ended, and closing is still up to it */
    CHECK_TRACE(s.peer.trace, "CM ER");
    eddy_transport_close(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void T5_a_closing_transport_is_quiet_after_its_peer_has_ended(void)
{
    struct stage s;
    size_t got;
    stage_init(&s);
    s.peer.out_key = 3;
    int fd = stage_open_raw(&s);
    size_t len = actor_fill(&s.peer);
    eddy_transport_close(s.peer.t);
    raw_shutdown(&s, fd);
    CHECK(stage_is_quiet(&s));
    CHECK_INT(raw_drain(&s, fd, 3, &got), 0);
    CHECK_INT(got, len);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    raw_close(&s, fd);
    stage_close(&s);
}

static void close_it(struct actor *a)
{
    eddy_transport_close(a->t);
}

static void T5_close_in_data_received_is_the_last_of_it(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = close_it;
    int fd = stage_open_raw(&s);
    size_t len = fill_from_raw(&s, fd);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    raw_shutdown(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK(s.peer.received <= len);
    CHECK_TRACE(s.peer.trace, "CM DR+ CL(0)");
    CHECK_INT(s.peer.count[ON_DATA], 1);
    raw_close(&s, fd);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(R15_R16_T29_at_most_256_kib_per_call_and_iteration),
    CASE(R16_a_busy_peer_starves_nobody),
    CASE(R24_R26_T31_T35_reset_gives_no_eof),
    CASE(R24_R2_reset_of_a_buffered_protocol),
    CASE(R17_abort_in_data_received),
    CASE(R17_abort_in_get_buffer),
    CASE(R17_abort_in_buffer_updated),
    CASE(R17_abort_in_eof_received),
    CASE(R18_T32_empty_buffer_is_fatal),
    CASE(R19_R20_only_the_window_is_written),
    CASE(R19_the_old_window_is_left_alone_after_the_next_get_buffer),
    CASE(R21_T37_eof_received_false_closes),
    CASE(R21_G21_without_eof_received_the_transport_closes),
    CASE(R21_T38_eof_received_true_keeps_our_side_open),
    CASE(T37_buffered_output_is_sent_after_the_peers_end),
    CASE(R23_everything_comes_before_eof),
    CASE(T26_is_reading),
    CASE(T26_resume_on_a_closing_transport_delivers_nothing),
    CASE(T27_pause_in_data_received),
    CASE(T27_no_eof_while_paused),
    CASE(T27_pause_and_resume_in_one_callback_lose_nothing),
    CASE(T27_pausing_another_connection_whose_event_is_queued),
    CASE(T5_closing_another_connection_whose_event_is_queued),
    CASE(T6_aborting_another_connection_whose_event_is_queued),
    CASE(G15_detaching_another_connection_whose_event_is_queued),
    CASE(T28_a_paused_reader_slows_its_peer),
    CASE(T28_L56_a_paused_transport_is_quiet_after_its_peer_has_gone),
    CASE(T28_a_paused_transport_is_quiet_after_a_reset),
    CASE(R21_a_half_closed_transport_is_quiet),
    CASE(T5_a_closing_transport_is_quiet_after_its_peer_has_ended),
    CASE(T5_close_in_data_received_is_the_last_of_it),
    {NULL, NULL},
};
