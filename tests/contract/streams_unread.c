/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* Bytes given back: contract R40. */
#include "tests/support/stream.h"
#include <string.h>

#define MOST (256u * 1024) /* that can be given back */

/* Takes two bytes at a time and gives the rest back. */
static void take_two(struct actor *a)
{
    if (a->len > 2) {
        CHECK_INT(eddy_transport_unread(a->t, a->data + 2, a->len - 2), 0);
        a->received -= a->len - 2;
    }
}

static void R40_unread_comes_again_from_the_loop(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_DATA] = take_two;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 5), 0);
    UNTIL(&s, s.peer.received == 5);
    CHECK_TRACE(s.peer.trace, "CM DR(5) DR(3) DR(1)");
    stage_close(&s);
}

static void R40_unread_comes_before_newer_bytes_and_eof(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_DATA] = take_two;
    stage_open(&s);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(actor_write(&s.client, 7), 0);
        CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
    }
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, 140);
    CHECK_TRACE(s.peer.trace, "CM DR+ ER CL(0)");
    stage_close(&s);
}

static void unread_and_pause(struct actor *a)
{
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
    a->received -= a->len;
    a->on[ON_DATA] = NULL;
    do_pause(a);
}

static void R40_unread_waits_for_resume_reading(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_DATA] = unread_and_pause;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 5), 0);
    UNTIL(&s, s.peer.count[ON_DATA] == 1);
    eddy_transport_close(s.client.t);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(5)");
    eddy_transport_resume_reading(s.peer.t);
    CHECK_TRACE(s.peer.trace, "CM DR(5)"); /* from the loop */
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(5) DR(5) ER CL(0)");
    stage_close(&s);
}

static void unread_all_and_switch(struct actor *a)
{
    struct actor *next = a->user;
    const struct eddy_protocol_class *cls = next->user;
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
    CHECK_INT(actor_switch(a, next, cls), 0);
}

static void unread_to(const struct eddy_protocol_class *cls, const char *expected)
{
    struct stage s;
    struct actor next;
    union {
        const void *from;
        void *to;
    } user = {.from = cls};
    stage_init(&s);
    stage_add(&s, &next, false);
    next.in_key = 1;
    next.user = user.to;
    s.client.out_key = 1;
    s.peer.on[ON_DATA] = unread_all_and_switch;
    s.peer.user = &next;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 5), 0);
    UNTIL(&s, next.received == 5);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM DR(5)");
    CHECK(strncmp(trace_text(&next.trace), expected, strlen(expected)) == 0);
    stage_close(&s);
}

static void R40_R36_unread_goes_to_the_next_protocol(void)
{
    unread_to(&actor_class, "DR(5)");
}

static void R40_R38_unread_goes_to_a_buffered_protocol_by_its_buffer(void)
{
    unread_to(&actor_buffered_class, "GB BU(5)");
}

static void R40_unread_to_a_window_smaller_than_it(void)
{
    struct stage s;
    struct actor next;
    uint8_t window[3];
    union {
        const void *from;
        void *to;
    } user = {.from = &actor_buffered_class};
    stage_init(&s);
    stage_add(&s, &next, false);
    next.in_key = 1;
    next.user = user.to;
    next.window = window;
    next.window_size = sizeof window;
    s.client.out_key = 1;
    s.peer.on[ON_DATA] = unread_all_and_switch;
    s.peer.user = &next;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 8), 0);
    UNTIL(&s, next.received == 8);
    stage_close(&s);
}

static void unread_in_buffer_updated(struct actor *a)
{
    if (a->len > 1) {
        CHECK_INT(eddy_transport_unread(a->t, a->data + 1, a->len - 1), 0);
        a->received -= a->len - 1;
    }
}

static void R40_unread_from_buffer_updated(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.server_class = &actor_buffered_class;
    s.peer.on[ON_BUFFER_UPDATED] = unread_in_buffer_updated;
    stage_open(&s);
    CHECK_INT(actor_write(&s.client, 4), 0);
    UNTIL(&s, s.peer.received == 4);
    CHECK_INT(s.peer.count[ON_BUFFER_UPDATED], 4);
    stage_close(&s);
}

static void unread_wrongly(struct actor *a)
{
    static uint8_t large[MOST + 1];
    a->on[ON_DATA] = NULL;
    CHECK_INT(eddy_transport_unread(a->t, large, sizeof large), -EINVAL);
    CHECK_INT(eddy_transport_unread(a->t, a->data + 1, a->len - 1), 0);
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), EDDY_EINVALID_STATE);
    a->received -= a->len - 1;
}

static void R40_errors_of_unread_leave_all_as_it_was(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_DATA] = unread_wrongly;
    stage_open(&s);
    CHECK_INT(eddy_transport_unread(s.peer.t, "x", 1), EDDY_EINVALID_STATE);
    CHECK_INT(actor_write(&s.client, 4), 0);
    UNTIL(&s, s.peer.received == 4);
    CHECK_TRACE(s.peer.trace, "CM DR(4) DR(3)");
    stage_close(&s);
}

static void close_and_unread(struct actor *a)
{
    eddy_transport_close(a->t);
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), EDDY_ECLOSED);
}

static void R40_T5_unread_on_a_closing_transport(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = close_and_unread;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(1) CL(0)");
    stage_close(&s);
}

static void unread_and_close(struct actor *a)
{
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
    eddy_transport_close(a->t);
}

static void R40_T5_unread_bytes_are_not_delivered_after_close(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = unread_and_close;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM DR(1) CL(0)");
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(R40_unread_comes_again_from_the_loop),
    CASE(R40_unread_comes_before_newer_bytes_and_eof),
    CASE(R40_unread_waits_for_resume_reading),
    CASE(R40_R36_unread_goes_to_the_next_protocol),
    CASE(R40_R38_unread_goes_to_a_buffered_protocol_by_its_buffer),
    CASE(R40_unread_to_a_window_smaller_than_it),
    CASE(R40_unread_from_buffer_updated),
    CASE(R40_errors_of_unread_leave_all_as_it_was),
    CASE(R40_T5_unread_on_a_closing_transport),
    CASE(R40_T5_unread_bytes_are_not_delivered_after_close),
    {NULL, NULL},
};
