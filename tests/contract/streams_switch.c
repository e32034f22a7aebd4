/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* Switching protocols: contract R.6, T7. */
#include "tests/support/stream.h"
#include <string.h>

struct scene {
    struct stage s;
    struct actor next;
};

static void scene_init(struct scene *c)
{
    stage_init(&c->s);
    stage_add(&c->s, &c->next, false);
    c->s.peer.user = &c->next;
}

static void R36_T7_next_callbacks_go_to_the_new_protocol(void)
{
    struct scene c;
    scene_init(&c);
    stage_open(&c.s);
    struct eddy_transport *t = c.s.peer.t;
    struct eddy_protocol *old = c.s.peer.p;
    CHECK(eddy_transport_protocol(t) == old);
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), 0);
    CHECK(eddy_transport_protocol(t) == c.next.p);
    CHECK(c.next.p->transport == t);
    CHECK_INT(c.s.peer.count[ON_FINI], 0); /* from the loop */
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    UNTIL(&c.s, c.next.received == 3 && c.s.peer.count[ON_FINI] == 1);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.s.peer.trace, "CM");
    CHECK_TRACE(c.next.trace, "DR(3) ER CL(0)");
    stage_close(&c.s);
}

static int finis_inside;

static void switch_inside(struct actor *a)
{
    CHECK_INT(actor_switch(a, a->user, &actor_class), 0);
    finis_inside = a->count[ON_FINI];
    /* the old protocol and its bytes live until this callback returns */
    CHECK(a->p->cls == &actor_class || a->p->cls == &actor_buffered_class);
    CHECK(stream_matches(a->data, a->len, a->received - a->len, a->in_key));
}

static void R37_G12_switch_inside_data_received(void)
{
    struct scene c;
    scene_init(&c);
    stage_keyed(&c.s);
    c.s.peer.on[ON_DATA] = switch_inside;
    stage_open(&c.s);
    finis_inside = 99;
    CHECK_INT(actor_write(&c.s.client, 100), 0);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1);
    CHECK_INT(finis_inside, 0);
    CHECK_INT(actor_write(&c.s.client, 50), 0);
    UNTIL(&c.s, c.next.received == 50);
    CHECK_TRACE(c.s.peer.trace, "CM DR(100)");
    stage_close(&c.s);
}

/* The old window is gone after the switch in buffer_updated: nothing may be written to it. */
static void R37_R38_switch_inside_buffer_updated_to_data_received(void)
{
    struct scene c;
    uint8_t window[100];
    scene_init(&c);
    c.s.server_class = &actor_buffered_class;
    stage_keyed(&c.s);
    c.s.peer.on[ON_BUFFER_UPDATED] = switch_inside;
    c.s.peer.window = window;
    c.s.peer.window_size = sizeof window;
    stage_open(&c.s);
    CHECK_INT(actor_write(&c.s.client, 5000), 0);
    UNTIL(&c.s, c.s.peer.count[ON_BUFFER_UPDATED] == 1);
    size_t first = c.s.peer.received;
    uint8_t after[sizeof window];
    memset(window, 0xa5, sizeof window);
    memset(after, 0xa5, sizeof after);
    UNTIL(&c.s, c.next.received == 5000 - first);
    CHECK(memcmp(window, after, sizeof window) == 0);
    CHECK_INT(c.next.count[ON_GET_BUFFER], 0);
    stage_close(&c.s);
}

static void switch_to_buffered(struct actor *a)
{
    CHECK_INT(actor_switch(a, a->user, &actor_buffered_class), 0);
}

static void R38_stream_to_buffered(void)
{
    struct scene c;
    scene_init(&c);
    c.s.peer.on[ON_DATA] = switch_to_buffered;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write(c.s.client.t, "a", 1), 0);
    UNTIL(&c.s, c.s.peer.received == 1);
    CHECK_INT(eddy_transport_write(c.s.client.t, "bcd", 3), 0);
    eddy_transport_close(c.s.client.t);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_INT(c.next.received, 3);
    CHECK_INT(c.next.count[ON_DATA], 0);
    CHECK(memcmp(c.next.head, "bcd", 3) == 0);
    stage_close(&c.s);
}

static void R38_to_and_fro_between_callbacks(void)
{
    struct stage s;
    struct actor actors[6];
    struct actor *now;
    stage_init(&s);
    s.client.out_key = 1;
    for (int i = 0; i < 6; i++)
        stage_add(&s, &actors[i], false);
    stage_open(&s);
    now = &s.peer;
    for (int i = 0; i < 6; i++) {
        CHECK_INT(actor_switch(now, &actors[i], i % 2 ? &actor_class : &actor_buffered_class), 0);
        now = &actors[i];
        CHECK_INT(actor_write(&s.client, 1000), 0);
        UNTIL(&s, now->received == 1000);
        CHECK(stream_matches(now->head, 1000, (size_t)i * 1000, 1));
        CHECK_INT(now->count[ON_DATA] > 0, i % 2);
    }
    stage_close(&s);
}

static void R38_switch_inside_get_buffer(void)
{
    struct scene c;
    scene_init(&c);
    c.s.server_class = &actor_buffered_class;
    c.s.peer.on[ON_GET_BUFFER] = switch_to_buffered;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    UNTIL(&c.s, c.next.received == 3);
    CHECK(memcmp(c.next.head, "abc", 3) == 0);
    CHECK_TRACE(c.s.peer.trace, "CM GB");
    stage_close(&c.s);
}

static void switch_in_eof(struct actor *a)
{
    CHECK_INT(actor_switch(a, a->user, &actor_class), 0);
}

static void R36_switch_inside_eof_received(void)
{
    struct scene c;
    scene_init(&c);
    c.s.peer.on[ON_EOF] = switch_in_eof;
    c.s.peer.keep_open = true;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write_eof(c.s.client.t), 0);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1);
    CHECK_INT(eddy_transport_write(c.next.t, "abc", 3), 0);
    UNTIL(&c.s, c.s.client.received == 3);
    eddy_transport_close(c.next.t);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.s.peer.trace, "CM ER");
    CHECK_TRACE(c.next.trace, "CL(0)");
    stage_close(&c.s);
}

static void R39_installed_while_writing_is_paused(void)
{
    struct scene c;
    scene_init(&c);
    c.s.client.on[ON_MADE] = do_pause;
    stage_open(&c.s);
    actor_fill(&c.s.peer);
    CHECK(eddy_transport_is_writing_paused(c.s.peer.t));
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), 0);
    CHECK(eddy_transport_is_writing_paused(c.next.t));
    stage_settle(&c.s);
    CHECK_INT(c.next.count[ON_PAUSE], 0);
    eddy_transport_resume_reading(c.s.client.t);
    UNTIL(&c.s, c.next.count[ON_RESUME] == 1);
    CHECK_TRACE(c.next.trace, "RW");
    CHECK_TRACE(c.s.peer.trace, "CM PW");
    stage_close(&c.s);
}

static void R36_while_paused_reading_stays_paused(void)
{
    struct scene c;
    scene_init(&c);
    c.s.peer.on[ON_MADE] = do_pause;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), 0);
    stage_settle(&c.s);
    CHECK_TRACE(c.next.trace, "");
    eddy_transport_resume_reading(c.next.t);
    UNTIL(&c.s, c.next.received == 3);
    stage_close(&c.s);
}

static void R36_errors_of_set_protocol(void)
{
    static struct eddy_protocol_class without_data;
    struct scene c;
    without_data = actor_class;
    without_data.data_received = NULL;
    scene_init(&c);
    stage_open(&c.s);
    struct eddy_transport *t = c.s.peer.t;
    eddy_protocol_init(&c.next.own.base, &without_data);
    CHECK_INT(eddy_transport_set_protocol(t, &c.next.own.base), -EINVAL);
    CHECK(!eddy_protocol_is_attached(&c.next.own.base));
    CHECK_INT(eddy_transport_set_protocol(t, NULL), -EINVAL);
    CHECK_INT(eddy_transport_set_protocol(t, c.s.client.p), -EINVAL); /* attached elsewhere */
    CHECK(eddy_transport_protocol(t) == c.s.peer.p);
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    UNTIL(&c.s, c.s.peer.received == 3);
    eddy_transport_abort(t, NULL);
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), EDDY_ECLOSED);
    stage_close(&c.s);
}

static int switch_in_lost_result;

static void switch_in_lost(struct actor *a)
{
    struct actor *next = a->user;
    eddy_protocol_init(&next->own.base, &actor_class);
    switch_in_lost_result = eddy_transport_set_protocol(a->t, &next->own.base);
}

static void R36_refused_in_connection_lost(void)
{
    struct scene c;
    scene_init(&c);
    c.s.peer.on[ON_LOST] = switch_in_lost;
    stage_open(&c.s);
    switch_in_lost_result = 0;
    eddy_transport_abort(c.s.peer.t, NULL);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1);
    CHECK_INT(switch_in_lost_result, EDDY_ECLOSED);
    stage_close(&c.s);
}

static void R36_while_closing_the_new_one_gets_connection_lost(void)
{
    struct scene c;
    scene_init(&c);
    c.s.client.on[ON_MADE] = do_pause;
    stage_open(&c.s);
    actor_fill(&c.s.peer);
    eddy_transport_close(c.s.peer.t);
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), 0);
    eddy_transport_resume_reading(c.s.client.t);
    UNTIL(&c.s, c.next.count[ON_LOST] == 1);
    CHECK_TRACE(c.next.trace, "RW CL(0)");
    CHECK_TRACE(c.s.peer.trace, "CM PW");
    stage_close(&c.s);
}

static void R36_G15_two_switches_give_two_finis(void)
{
    struct scene c;
    struct actor third;
    scene_init(&c);
    stage_add(&c.s, &third, false);
    stage_open(&c.s);
    CHECK_INT(actor_switch(&c.s.peer, &c.next, &actor_class), 0);
    CHECK_INT(actor_switch(&c.next, &third, &actor_class), 0);
    UNTIL(&c.s, c.s.peer.count[ON_FINI] == 1 && c.next.count[ON_FINI] == 1);
    CHECK_INT(eddy_transport_write(c.s.client.t, "abc", 3), 0);
    UNTIL(&c.s, third.received == 3);
    CHECK_TRACE(c.next.trace, "");
    stage_close(&c.s);
}

const struct test_case test_cases[] = {
    CASE(R36_T7_next_callbacks_go_to_the_new_protocol),
    CASE(R37_G12_switch_inside_data_received),
    CASE(R37_R38_switch_inside_buffer_updated_to_data_received),
    CASE(R38_stream_to_buffered),
    CASE(R38_to_and_fro_between_callbacks),
    CASE(R38_switch_inside_get_buffer),
    CASE(R36_switch_inside_eof_received),
    CASE(R39_installed_while_writing_is_paused),
    CASE(R36_while_paused_reading_stays_paused),
    CASE(R36_errors_of_set_protocol),
    CASE(R36_refused_in_connection_lost),
    CASE(R36_while_closing_the_new_one_gets_connection_lost),
    CASE(R36_G15_two_switches_give_two_finis),
    {NULL, NULL},
};
