/* backends: select poll epoll io_uring */
/* timeout: 120 */
/* Descriptors over unix streams, in both directions. */
#include "tests/support/stream.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void open_stage(struct stage *s, unsigned max_fds)
{
    setenv("EDDY_TEST_ROAD", "unix", 1);
    s->max_fds = max_fds;
    stage_open(s);
}

static void begin(struct stage *s, unsigned max_fds)
{
    stage_init(s);
    open_stage(s, max_fds);
}

/* A pipe whose read end is given away, with one byte in it to know it by. */
static int marked(char mark)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK_INT(write(ends[1], &mark, 1), 1);
    close(ends[1]);
    return ends[0];
}

/* The byte of a descriptor that has arrived, which is closed. */
static char mark_of(int fd)
{
    char mark = '?';
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_INT(read(fd, &mark, 1), 1);
    close(fd);
    return mark;
}

/* Sends len bytes and a descriptor with that mark, which it closes at once. */
static int send_marked(struct eddy_transport *t, const char *data, size_t len, char mark)
{
    int fd = marked(mark);
    int rc = eddy_transport_send_fds(t, data, len, &fd, 1);
    close(fd);
    return rc;
}

static char take_mark(struct actor *a)
{
    int fd = -1;
    return eddy_transport_take_fds(a->t, &fd, 1) == 1 ? mark_of(fd) : '-';
}

/* ---- the way ---- */

static char seen[64];
static size_t seen_len;

static void note_marks(struct actor *a)
{
    int fd;
    while (eddy_transport_take_fds(a->t, &fd, 1) == 1)
        seen[seen_len++] = mark_of(fd);
    seen[seen_len] = '\0';
}

static void T2_a_descriptor_arrives_with_its_bytes(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_DATA] = note_marks;
    s.client.on[ON_DATA] = note_marks;
    open_stage(&s, 4);
    CHECK_INT(send_marked(s.client.t, "abc", 3, 'A'), 0);
    UNTIL(&s, s.peer.received == 3);
    CHECK_STR(seen, "A");
    CHECK(memcmp(s.peer.head, "abc", 3) == 0);
    CHECK_INT(send_marked(s.peer.t, "x", 1, 'B'), 0); /* and back */
    UNTIL(&s, s.client.received == 1);
    CHECK_STR(seen, "AB");
    stage_close(&s);
}

static void write_a_mixture(struct stage *s)
{
    CHECK_INT(eddy_transport_write(s->client.t, "0123", 4), 0);
    CHECK_INT(send_marked(s->client.t, "abc", 3, 'A'), 0);
    CHECK_INT(send_marked(s->client.t, "d", 1, 'B'), 0);
    CHECK_INT(eddy_transport_write(s->client.t, "4567", 4), 0);
    CHECK_INT(send_marked(s->client.t, "e", 1, 'C'), 0);
    CHECK_INT(eddy_transport_write(s->client.t, "89", 2), 0);
}

static void check_order(struct actor *a)
{
    static const size_t at[] = {4, 7, 12}; /* where they were written */
    note_marks(a);
    for (size_t i = 0; i < 3; i++) {
        if (a->received > at[i])
            CHECK(seen_len > i); /* not later than its byte */
    }
}

static void T10_corked_they_keep_their_places(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_DATA] = check_order;
    open_stage(&s, 4);
    stage_inside(&s, write_a_mixture);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0); /* all in one flush */
    UNTIL(&s, s.peer.received == 15);
    CHECK_STR(seen, "ABC");
    CHECK(memcmp(s.peer.head, "0123abcd4567e89", 15) == 0);
    stage_close(&s);
}

static void T12_T23_behind_a_full_queue_they_keep_their_places(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_MADE] = do_pause;
    s.peer.on[ON_DATA] = note_marks;
    stage_keyed(&s);
    s.peer.in_key = 0;
    open_stage(&s, 4);
    size_t before = actor_fill(&s.client);
    CHECK(eddy_transport_get_write_buffer_size(s.client.t) > 0);
    CHECK_INT(send_marked(s.client.t, "first", 5, 'A'), 0);
    CHECK_INT(actor_write(&s.client, 100000), 0);
    CHECK_INT(send_marked(s.client.t, "second", 6, 'B'), 0);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received >= before);
    UNTIL(&s, s.peer.received == before + 5 + 100000 + 6);
    CHECK_STR(seen, "AB");
    CHECK_INT(s.client.count[ON_RESUME], 1);
    stage_close(&s);
}

static char bytes[3000];

static void write_with_gaps(struct stage *s)
{
    int fd = 0;
    CHECK_INT(eddy_transport_write(s->client.t, bytes, sizeof bytes), 0);
    CHECK_INT(eddy_transport_send_fds(s->client.t, bytes, sizeof bytes, &fd, 1), 0);
    CHECK_INT(eddy_transport_send_fds(s->client.t, bytes, sizeof bytes, &fd, 1), 0);
}

/* Read in pieces, so that little comes with what is before it. */
static void T12_with_the_very_byte(void)
{
    struct stage s;
    char piece[100];
    int fds[4], count;
    size_t at = 0, when[2] = {0, 0};
    unsigned came = 0;
    setenv("EDDY_TEST_ROAD", "unix", 1);
    stage_init(&s);
    stage_begin(&s);
    int listener = raw_listen(&s, 5, &s.connection_opts.port);
    CHECK_INT(actor_connect(&s.client), 0);
    int fd = raw_accept(&s, listener);
    UNTIL(&s, s.client.done);
    stage_inside(&s, write_with_gaps);
    while (at < 3 * sizeof bytes) {
        count = 4;
        ssize_t n = s.sys->cls->recv_fds(s.sys, fd, piece, sizeof piece, fds, &count);
        if (!CHECK(n > 0))
            break;
        at += (size_t)n;
        for (int i = 0; i < count; i++) {
            if (came < 2)
                when[came++] = at;
            close(fds[i]);
        }
    }
    CHECK_INT(came, 2);
    CHECK(when[0] > sizeof bytes && when[0] <= sizeof bytes + sizeof piece);
    CHECK(when[1] > 2 * sizeof bytes && when[1] <= 2 * sizeof bytes + sizeof piece);
    raw_close(&s, fd);
    raw_close(&s, listener);
    UNTIL(&s, s.client.p == NULL);
    stage_close(&s);
}

/* A stream that was in use before the first descriptor. */
static void T10_after_much_plain_traffic(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_DATA] = note_marks;
    stage_keyed(&s);
    open_stage(&s, 1);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(actor_write(&s.client, 1000), 0);
        CHECK_INT(actor_write(&s.peer, 1000), 0);
        test_run_steps(s.loop, 1);
    }
    UNTIL(&s, s.peer.received == 50000 && s.client.received == 50000);
    uint8_t next[10];
    stream_bytes(next, 10, s.client.sent, 1);
    s.client.sent += 10;
    CHECK_INT(send_marked(s.client.t, (char *)next, 10, 'A'), 0);
    CHECK_INT(actor_write(&s.client, 1000), 0);
    UNTIL(&s, s.peer.received == 51010);
    CHECK_STR(seen, "A");
    CHECK_INT(actor_write(&s.peer, 70000), 0);
    UNTIL(&s, s.client.received == 120000);
    stage_close(&s);
}

static void T5_close_sends_them_first(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_MADE] = do_pause;
    s.peer.on[ON_DATA] = note_marks;
    s.client.out_key = 1;
    open_stage(&s, 4);
    size_t before = actor_fill(&s.client);
    CHECK_INT(send_marked(s.client.t, "last", 4, 'Z'), 0);
    eddy_transport_close(s.client.t);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == before + 4);
    CHECK_STR(seen, "Z");
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK_INT(s.client.code, 0);
    stage_close(&s);
}

/* Those that a program started now would have. */
static int inherited_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        n += flags >= 0 && (flags & FD_CLOEXEC) == 0;
    }
    return n;
}

static void G28_T6_abort_closes_those_that_wait(void)
{
    struct stage s;
    int inherited;
    stage_init(&s);
    s.peer.on[ON_MADE] = do_pause;
    s.client.out_key = 1;
    open_stage(&s, 4);
    actor_fill(&s.client);
    inherited = inherited_descriptors();
    CHECK_INT(send_marked(s.client.t, "a", 1, 'A'), 0);
    CHECK_INT(send_marked(s.client.t, "b", 1, 'B'), 0);
    CHECK_INT(inherited_descriptors(), inherited); /* the duplicates are none */
    do_abort(&s.client);
    stage_close(&s); /* which counts descriptors */
}

static void send_from_pause(struct actor *a)
{
    CHECK_INT(send_marked(a->t, "p", 1, 'P'), 0);
}

static void G22_R34_from_pause_writing(void)
{
    struct stage s;
    stage_init(&s);
    seen_len = 0;
    s.peer.on[ON_MADE] = do_pause;
    s.peer.on[ON_DATA] = note_marks;
    s.client.on[ON_PAUSE] = send_from_pause;
    s.client.out_key = 1;
    open_stage(&s, 8);
    static char much[400000];
    int fd = marked('M');
    CHECK_INT(eddy_transport_send_fds(s.client.t, much, sizeof much, &fd, 1), 0);
    close(fd);
    CHECK_INT(s.client.count[ON_PAUSE], 1);
    s.client.on[ON_PAUSE] = NULL;
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.received == sizeof much + 1);
    CHECK_STR(seen, "MP");
    stage_close(&s);
}

static void T2_as_many_as_go_at_once(void)
{
    struct stage s;
    int fds[EDDY_MAX_SEND_FDS + 1], got[EDDY_MAX_SEND_FDS];
    begin(&s, EDDY_MAX_SEND_FDS);
    for (int i = 0; i <= EDDY_MAX_SEND_FDS; i++)
        fds[i] = 0;
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, fds, EDDY_MAX_SEND_FDS + 1), -EINVAL);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, fds, EDDY_MAX_SEND_FDS), 0);
    UNTIL(&s, s.peer.received == 1);
    CHECK_INT(eddy_transport_take_fds(s.peer.t, got, 3), 3);
    CHECK_INT(eddy_transport_take_fds(s.peer.t, got + 3, EDDY_MAX_SEND_FDS), EDDY_MAX_SEND_FDS - 3);
    CHECK_INT(eddy_transport_take_fds(s.peer.t, got, 1), 0);
    for (int i = 0; i < EDDY_MAX_SEND_FDS; i++)
        close(got[i]);
    stage_close(&s);
}

/* ---- what is not taken ---- */

static void T6_those_not_taken_are_closed_with_the_transport(void)
{
    struct stage s;
    begin(&s, 3);
    CHECK_INT(send_marked(s.client.t, "x", 1, 'A'), 0);
    CHECK_INT(send_marked(s.client.t, "y", 1, 'B'), 0);
    UNTIL(&s, s.peer.received == 2);
    CHECK_INT(take_mark(&s.peer), 'A'); /* the oldest */
    stage_close(&s);
}

static void T2_without_max_fds_they_are_dropped(void)
{
    struct stage s;
    begin(&s, 0);
    CHECK_INT(send_marked(s.client.t, "bytes", 5, 'A'), 0);
    UNTIL(&s, s.peer.received == 5);
    CHECK_INT(take_mark(&s.peer), '-');
    /* One that only sends receives none either. */
    CHECK_INT(send_marked(s.peer.t, "bytes", 5, 'B'), 0);
    UNTIL(&s, s.client.received == 5);
    CHECK_INT(take_mark(&s.client), '-');
    CHECK_STR(trace_text(&s.peer.trace), "CM DR(5)");
    stage_close(&s);
}

static void R24_more_than_may_wait_lose_the_connection(void)
{
    struct stage s;
    begin(&s, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(send_marked(s.client.t, "x", 1, 'A'), 0);
        UNTIL(&s, s.peer.received == (size_t)i + 1);
    }
    CHECK_INT(send_marked(s.client.t, "z", 1, 'C'), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -EMSGSIZE);
    CHECK(strstr(s.peer.error.text, "more descriptors were received than may wait") != NULL);
    CHECK_INT(s.peer.received, 2);
    stage_close(&s);
}

static void R24_several_at_once_beyond_the_bound(void)
{
    struct stage s;
    int fds[5] = {0, 0, 0, 0, 0};
    begin(&s, 3);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, fds, 5), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, -EMSGSIZE);
    stage_close(&s);
}

static void T5_what_comes_while_it_closes_is_dropped(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = do_pause;
    s.peer.out_key = 1;
    open_stage(&s, 1);
    actor_fill(&s.peer);
    eddy_transport_close(s.peer.t);
    for (int i = 0; i < 3; i++)
        CHECK_INT(send_marked(s.client.t, "x", 1, 'A'), 0);
    stage_settle(&s);
    eddy_transport_resume_reading(s.client.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static char last_mark;

static void take_last(struct actor *a)
{
    last_mark = take_mark(a);
}

static void R29_taken_in_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_LOST] = take_last;
    open_stage(&s, 1);
    CHECK_INT(send_marked(s.client.t, "x", 1, 'L'), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(last_mark, 'L');
    CHECK_INT(eddy_transport_take_fds(NULL, NULL, 1), 0);
    stage_close(&s);
}

static void R36_they_wait_for_the_next_protocol(void)
{
    struct stage s;
    struct actor next;
    stage_init(&s);
    stage_add(&s, &next, false);
    open_stage(&s, 2);
    CHECK_INT(send_marked(s.client.t, "x", 1, 'N'), 0);
    UNTIL(&s, s.peer.received == 1);
    CHECK_INT(actor_switch(&s.peer, &next, &actor_buffered_class), 0);
    CHECK_INT(take_mark(&next), 'N');
    CHECK_INT(send_marked(s.client.t, "yz", 2, 'O'), 0); /* and come to a buffered one */
    UNTIL(&s, next.received == 2);
    CHECK_INT(take_mark(&next), 'O');
    stage_close(&s);
}

static void G15_detached_with_some_waiting(void)
{
    struct stage s;
    begin(&s, 2);
    CHECK_INT(send_marked(s.client.t, "x", 1, 'D'), 0);
    UNTIL(&s, s.peer.received == 1);
    actor_detach(&s.peer);
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    stage_close(&s);
}

/* ---- failures ---- */

static void G3_G4_bad_arguments_change_nothing(void)
{
    struct stage s;
    int fd = 0, bad[3] = {0, 0, 9999};
    begin(&s, 1);
    int before = stage_descriptors(&s);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 0, &fd, 1), -EINVAL);
    CHECK_INT(eddy_transport_send_fds(s.client.t, NULL, 1, &fd, 1), -EINVAL);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, &fd, 0), -EINVAL);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, NULL, 1), -EINVAL);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, bad, 3), -EBADF);
    CHECK_INT(eddy_transport_send_fds(NULL, "x", 1, &fd, 1), EDDY_ECLOSED);
    CHECK_INT(eddy_transport_take_fds(s.peer.t, NULL, 1), 0);
    CHECK_INT(stage_descriptors(&s), before);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM");
    stage_close(&s);
}

static void T13_T15_after_write_eof_and_close(void)
{
    struct stage s;
    int fd = 0;
    stage_init(&s);
    s.peer.keep_open = true;
    open_stage(&s, 1);
    CHECK_INT(send_marked(s.client.t, "x", 1, 'A'), 0);
    int before = stage_descriptors(&s);
    CHECK_INT(eddy_transport_write_eof(s.client.t), 0);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, &fd, 1), EDDY_EINVALID_STATE);
    CHECK_INT(stage_descriptors(&s), before);
    eddy_transport_close(s.client.t);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, &fd, 1), EDDY_ECLOSED);
    UNTIL(&s, s.peer.count[ON_EOF] == 1);
    CHECK_INT(s.peer.received, 1);
    stage_close(&s);
}

/* Only `spare` more descriptors can be opened. */
static struct rlimit no_more_than(int spare)
{
    struct rlimit was, now;
    int highest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(highest);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)(highest + spare);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
    return was;
}

static void G3_no_descriptor_left_to_duplicate(void)
{
    struct stage s;
    int fds[3] = {0, 0, 0};
    begin(&s, 4);
    int before = stage_descriptors(&s);
    struct rlimit was = no_more_than(2);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, fds, 3), -EMFILE);
    setrlimit(RLIMIT_NOFILE, &was);
    CHECK_INT(stage_descriptors(&s), before);
    CHECK_INT(eddy_transport_get_write_buffer_size(s.client.t), 0);
    CHECK_INT(send_marked(s.client.t, "y", 1, 'Y'), 0);
    UNTIL(&s, s.peer.received == 1);
    CHECK_INT(s.peer.head[0], 'y');
    CHECK_INT(take_mark(&s.peer), 'Y');
    stage_close(&s);
}

static void R24_no_descriptor_left_to_receive(void)
{
    struct stage s;
    int fds[3] = {0, 0, 0};
    begin(&s, 4);
    CHECK_INT(eddy_transport_send_fds(s.client.t, "x", 1, fds, 3), 0);
    struct rlimit was = no_more_than(1);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    setrlimit(RLIMIT_NOFILE, &was);
    CHECK_INT(s.peer.code, -EMFILE);
    CHECK_INT(s.peer.received, 0);
    stage_close(&s);
}

static void T16_a_peer_that_is_gone(void)
{
    struct stage s;
    begin(&s, 1);
    s.expected_problems = 0;
    do_abort(&s.peer);
    UNTIL(&s, s.peer.p == NULL);
    CHECK(s.client.t == NULL || send_marked(s.client.t, "x", 1, 'A') <= 0);
    UNTIL(&s, s.client.p == NULL);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(T2_a_descriptor_arrives_with_its_bytes),
    CASE(T10_corked_they_keep_their_places),
    CASE(T12_T23_behind_a_full_queue_they_keep_their_places),
    CASE(T10_after_much_plain_traffic),
    CASE(T5_close_sends_them_first),
    CASE(T12_with_the_very_byte),
    CASE(G28_T6_abort_closes_those_that_wait),
    CASE(G22_R34_from_pause_writing),
    CASE(T2_as_many_as_go_at_once),
    CASE(T6_those_not_taken_are_closed_with_the_transport),
    CASE(T2_without_max_fds_they_are_dropped),
    CASE(R24_more_than_may_wait_lose_the_connection),
    CASE(R24_several_at_once_beyond_the_bound),
    CASE(T5_what_comes_while_it_closes_is_dropped),
    CASE(R29_taken_in_connection_lost),
    CASE(R36_they_wait_for_the_next_protocol),
    CASE(G15_detached_with_some_waiting),
    CASE(G3_G4_bad_arguments_change_nothing),
    CASE(T13_T15_after_write_eof_and_close),
    CASE(G3_no_descriptor_left_to_duplicate),
    CASE(R24_no_descriptor_left_to_receive),
    CASE(T16_a_peer_that_is_gone),
    {NULL, NULL},
};
