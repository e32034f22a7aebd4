/* backends: select poll epoll io_uring sim sim-late */
/* roads: tcp unix tls tls2 */
/* timeout: 120 */
/* Who owns a protocol, and until when: contract G10 to G24. */
#include "tests/support/stream.h"
#include <stdlib.h>
#include <string.h>

static void G11_G15_transport_is_null_after_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    CHECK(eddy_protocol_is_attached(&s.client.own.base));
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK(s.client.own.base.transport == NULL);
    CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    stage_close(&s);
}

/* ---- freed in fini, attached again ---- */

struct heap_client {
    struct eddy_protocol base;
    int *ret_freed;
};

static void free_in_fini(struct eddy_protocol *p)
{
    struct heap_client *c = EDDY_PROTOCOL_SELF(p, struct heap_client, base);
    ++*c->ret_freed;
    free(c);
}

static void ignore_data(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p, (void)data, (void)len;
}

static void close_when_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p;
    eddy_transport_close(t);
}

static const struct eddy_protocol_class heap_class = {
    EDDY_PROTOCOL_CLASS(struct heap_client, base),
    .fini = free_in_fini,
    .data_received = ignore_data,
    .connection_made = close_when_made,
};

static void connect_heap_client(struct stage *s, int *ret_freed)
{
    struct heap_client *c = calloc(1, sizeof *c);
    c->ret_freed = ret_freed;
    eddy_protocol_init(&c->base, &heap_class);
    REQUIRE(stage_create_connection(s, &c->base, &s->connection_opts, NULL) == 0);
}

static void G15_memory_may_be_freed_in_fini(void)
{
    struct stage s;
    int freed = 0;
    stage_init(&s);
    stage_begin(&s);
    s.connection_opts.port = s.port;
    connect_heap_client(&s, &freed);
    UNTIL(&s, freed == 1 && s.peer.count[ON_FINI] == 1);
    stage_refuse(&s);
    connect_heap_client(&s, &freed);
    UNTIL(&s, freed == 2);
    stage_close(&s);
}

static void connect_again(struct actor *a)
{
    if (a->attachments < 5)
        CHECK_INT(actor_connect(a), 0);
}

static void G15_attached_again_in_fini(void)
{
    struct stage s;
    struct actor guests[4];
    stage_init(&s);
    s.client.on[ON_FINI] = connect_again;
    s.peer.on[ON_MADE] = do_close;
    for (int i = 0; i < 4; i++) {
        stage_add(&s, &guests[i], true);
        guests[i].on[ON_MADE] = do_close;
    }
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.count[ON_FINI] == 5 && guests[3].count[ON_FINI] == 1);
    CHECK_INT(s.client.count[ON_MADE], 5);
    CHECK_INT(s.client.count[ON_LOST], 5);
    stage_close(&s);
}

/* From connection_lost the new attachment begins before the old one's fini: the automaton of an
 * actor knows one attachment at a time, so this one counts by itself. */
struct phoenix {
    struct eddy_protocol base;
    struct stage *s;
    int made, lost, failed, finis, attempts;
};

static void phoenix_connect(struct phoenix *p)
{
    if (p->attempts < 5) {
        p->attempts++;
        CHECK_INT(stage_create_connection(p->s, &p->base, &p->s->connection_opts, NULL), 0);
    }
}

static void phoenix_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    EDDY_PROTOCOL_SELF(p, struct phoenix, base)->made++;
    eddy_transport_close(t);
}

static void phoenix_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct phoenix *self = EDDY_PROTOCOL_SELF(p, struct phoenix, base);
    CHECK(err == NULL);
    self->lost++;
    phoenix_connect(self);
}

static void phoenix_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct phoenix *self = EDDY_PROTOCOL_SELF(p, struct phoenix, base);
    CHECK_INT(err->code, -ECONNREFUSED);
    self->failed++;
    phoenix_connect(self);
}

static void phoenix_fini(struct eddy_protocol *p)
{
    EDDY_PROTOCOL_SELF(p, struct phoenix, base)->finis++;
}

static const struct eddy_protocol_class phoenix_class = {
    EDDY_PROTOCOL_CLASS(struct phoenix, base),
    .connection_made = phoenix_made,
    .connection_lost = phoenix_lost,
    .connect_failed = phoenix_failed,
    .fini = phoenix_fini,
    .data_received = ignore_data,
};

static void G15_attached_again_in_connection_lost(void)
{
    struct stage s;
    struct actor guests[4];
    struct phoenix p;
    memset(&p, 0, sizeof p);
    stage_init(&s);
    for (int i = 0; i < 4; i++)
        stage_add(&s, &guests[i], true);
    stage_begin(&s);
    s.connection_opts.port = s.port;
    p.s = &s;
    eddy_protocol_init(&p.base, &phoenix_class);
    phoenix_connect(&p);
    UNTIL(&s, p.finis == 5);
    CHECK_INT(p.made, 5);
    CHECK_INT(p.lost, 5);
    CHECK(!eddy_protocol_is_attached(&p.base));
    stage_close(&s);
}

static void G15_R7_attached_again_in_connect_failed(void)
{
    struct stage s;
    struct phoenix p;
    memset(&p, 0, sizeof p);
    stage_init(&s);
    stage_begin(&s);
    stage_refuse(&s);
    p.s = &s;
    eddy_protocol_init(&p.base, &phoenix_class);
    phoenix_connect(&p);
    UNTIL(&s, p.finis == 5);
    CHECK_INT(p.failed, 5);
    CHECK_INT(p.made, 0);
    stage_close(&s);
}

static void G15_an_attached_protocol_is_refused(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    s.connection_opts.port = s.port;
    CHECK_INT(stage_create_connection(&s, &s.client.own.base, &s.connection_opts, NULL), -EINVAL);
    stage_settle(&s);
    CHECK_TRACE(s.client.trace, "CM RET");
    CHECK_INT(eddy_server_connections(s.server), 1);
    stage_close(&s);
}

/* ---- hold and release ---- */

static void G15_hold_delays_fini(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    struct eddy_protocol *p = s.peer.p;
    eddy_protocol_hold(p);
    eddy_protocol_hold(p);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1 && s.client.count[ON_FINI] == 1);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_FINI], 0);
    CHECK(p->transport == NULL); /* and its memory stands */
    eddy_protocol_release(p);
    stage_settle(&s);
    CHECK_INT(s.peer.count[ON_FINI], 0);
    eddy_protocol_release(p);
    CHECK_INT(s.peer.count[ON_FINI], 0); /* from the loop */
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_close(&s);
}

static void G15_hold_and_release_while_connected_change_nothing(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_protocol_hold(s.peer.p);
    eddy_protocol_release(s.peer.p);
    stage_settle(&s);
    CHECK_TRACE(s.peer.trace, "CM");
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_close(&s);
}

static void G15_hold_after_set_protocol(void)
{
    struct stage s;
    struct actor next;
    stage_init(&s);
    stage_add(&s, &next, false);
    stage_open(&s);
    struct eddy_protocol *p = s.peer.p;
    eddy_protocol_hold(p);
    CHECK_INT(actor_switch(&s.peer, &next, &actor_class), 0);
    eddy_transport_close(s.client.t);
    UNTIL(&s, next.count[ON_FINI] == 1);
    CHECK_INT(s.peer.count[ON_FINI], 0);
    eddy_protocol_release(p);
    UNTIL(&s, s.peer.count[ON_FINI] == 1);
    stage_close(&s);
}

static struct eddy_protocol *held;

static void release_held(struct actor *a)
{
    (void)a;
    eddy_protocol_release(held);
}

static void G15_G22_released_in_connection_lost(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_LOST] = release_held;
    stage_open(&s);
    held = s.client.p;
    eddy_protocol_hold(held);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(0)");
    stage_close(&s);
}

static void G15_hold_while_connecting_delays_fini(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    stage_refuse(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    struct eddy_protocol *p = s.client.p;
    eddy_protocol_hold(p);
    UNTIL(&s, s.client.count[ON_FAILED] == 1);
    stage_settle(&s);
    CHECK_INT(s.client.count[ON_FINI], 0);
    eddy_protocol_release(p);
    UNTIL(&s, s.client.count[ON_FINI] == 1);
    stage_close(&s);
}

static void hold_oneself(struct actor *a)
{
    eddy_protocol_hold(a->p);
}

/* There is no loop any more that fini could come from. */
static void G15_released_after_the_loop_was_closed(void)
{
    struct stage s;
    stage_init(&s);
    s.client.on[ON_MADE] = s.peer.on[ON_MADE] = hold_oneself;
    stage_open(&s);
    struct eddy_protocol *client = s.client.p, *peer = s.peer.p;
    eddy_future_unref(s.client.future);
    s.client.future = NULL;
    eddy_server_close(s.server);
    eddy_server_unref(s.server);
    test_expect_log("still open");
    CHECK_INT(eddy_loop_close(s.loop), 0);
    CHECK_INT(s.client.count[ON_LOST], 1);
    CHECK_INT(s.client.count[ON_FINI], 0);
    eddy_protocol_release(client);
    CHECK_INT(s.client.count[ON_FINI], 1);
    if (test_is_sim()) { /* which must outlive the loop */
        eddy_protocol_release(peer);
        test_loop_free(s.loop);
    } else {
        test_loop_free(s.loop); /* the peer's hold keeps its memory */
        CHECK_INT(s.peer.count[ON_FINI], 0);
        eddy_protocol_release(peer);
    }
    CHECK_INT(s.peer.count[ON_FINI], 1);
}

/* ---- detach ---- */

static void G15_detach_while_connected(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    actor_detach(&s.client);
    CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    CHECK(s.client.own.base.transport == NULL);
    memset(&s.client.own.base, 0xee,
           sizeof s.client.own.base); /* its memory is not looked at again */
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_TRACE(s.peer.trace, "CM ER CL(0)");
    stage_close(&s);
}

static void G15_detach_sends_what_is_buffered(void)
{
    struct stage s;
    stage_init(&s);
    stage_keyed(&s);
    s.peer.on[ON_MADE] = do_pause;
    stage_open(&s);
    size_t len = actor_fill(&s.client);
    actor_detach(&s.client);
    eddy_transport_resume_reading(s.peer.t);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.received, len);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void G15_detach_while_connecting(void)
{
    struct stage s;
    if (road_is_nested()) /* whose future is the test's own */
        return;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    actor_detach(&s.client);
    memset(&s.client.own.base, 0xee, sizeof s.client.own.base);
    UNTIL(&s, s.client.done);
    CHECK_INT(s.client.status, -ECANCELED);
    stage_settle(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == s.peer.count[ON_LOST]);
    CHECK_TRACE(s.client.trace, "RET(ECANCELED)");
    stage_close(&s);
}

static void detach_self(struct actor *a)
{
    actor_detach(a);
}

static void detach_in(enum slot slot, bool by_server)
{
    struct stage s;
    stage_init(&s);
    struct actor *a = by_server ? &s.peer : &s.client;
    struct actor *other = by_server ? &s.client : &s.peer;
    a->on[slot] = detach_self;
    other->on[ON_MADE] = slot == ON_PAUSE || slot == ON_RESUME ? do_pause : NULL;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && a->count[ON_MADE] == 1 && other->count[ON_MADE] == 1);
    if (slot == ON_PAUSE || slot == ON_RESUME)
        actor_fill(a);
    if (slot == ON_RESUME)
        eddy_transport_resume_reading(other->t);
    if (slot == ON_DATA && other->t)
        CHECK_INT(eddy_transport_write(other->t, "abc", 3), 0);
    if (slot == ON_EOF && other->t)
        CHECK_INT(eddy_transport_write_eof(other->t), 0);
    if (slot == ON_LOST && other->t)
        eddy_transport_close(other->t);
    UNTIL(&s, a->detached);
    if (other->t)
        eddy_transport_resume_reading(other->t);
    UNTIL(&s, other->count[ON_LOST] == 1);
    CHECK_INT(a->count[slot], 1);
    CHECK_INT(a->count[ON_FINI], 0);
    stage_close(&s);
}

static void G15_G14_detach_in_each_callback(void)
{
    static const enum slot slots[] = {ON_MADE, ON_DATA, ON_PAUSE, ON_RESUME, ON_EOF, ON_LOST};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        detach_in(slots[i], false);
        detach_in(slots[i], true);
    }
}

static void detach_and_free(struct eddy_protocol *p, const void *data, size_t len)
{
    struct heap_client *c = EDDY_PROTOCOL_SELF(p, struct heap_client, base);
    (void)data, (void)len;
    eddy_protocol_detach(p);
    ++*c->ret_freed;
    free(c);
}

static void G15_memory_may_be_freed_after_detach_in_a_callback(void)
{
    static struct eddy_protocol_class cls;
    struct stage s;
    int freed = 0;
    cls = heap_class;
    cls.connection_made = NULL;
    cls.data_received = detach_and_free;
    stage_init(&s);
    stage_begin(&s);
    struct heap_client *c = calloc(1, sizeof *c);
    c->ret_freed = &freed;
    eddy_protocol_init(&c->base, &cls);
    s.connection_opts.port = s.port;
    REQUIRE(stage_create_connection(&s, &c->base, &s.connection_opts, NULL) == 0);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    CHECK_INT(eddy_transport_write(s.peer.t, "abc", 3), 0);
    UNTIL(&s, freed == 1 && s.peer.count[ON_LOST] == 1);
    stage_close(&s);
}

static void G15_detach_of_the_replaced_protocol(void)
{
    struct stage s;
    struct actor next;
    stage_init(&s);
    stage_add(&s, &next, false);
    stage_open(&s);
    CHECK_INT(actor_switch(&s.client, &next, &actor_class), 0);
    actor_detach(&s.client); /* before its fini */
    CHECK_INT(eddy_transport_write(s.peer.t, "abc", 3), 0);
    UNTIL(&s, next.received == 3);
    CHECK(!eddy_transport_is_closing(next.t));
    stage_close(&s);
}

static void G15_detach_of_nothing(void)
{
    struct eddy_protocol p;
    memset(&p, 0, sizeof p);
    eddy_protocol_init(&p, &actor_class);
    CHECK(!eddy_protocol_is_attached(&p));
    eddy_protocol_detach(&p);
    eddy_protocol_abort(&p, NULL);
    CHECK(!eddy_protocol_is_attached(&p));
}

/* ---- abort in any phase ---- */

static void G19_protocol_abort_while_connecting(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    eddy_protocol_abort(s.client.p, EDDY_ERROR(-EPROTO, "changed my mind"));
    CHECK_INT(s.client.count[ON_FAILED], 0);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    CHECK_INT(s.client.count[ON_FAILED], 1);
    CHECK_INT(s.client.count[ON_MADE], 0);
    CHECK_INT(s.client.code, -EPROTO);
    CHECK_STR(s.client.error.text, "changed my mind");
    CHECK_INT(s.client.status, -EPROTO);
    UNTIL(&s, s.peer.count[ON_MADE] == s.peer.count[ON_LOST]);
    stage_close(&s);
}

static void G19_R7_protocol_abort_without_a_reason_while_connecting(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    eddy_protocol_abort(s.client.p, NULL);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.client.done);
    CHECK_INT(s.client.code, -ECANCELED);
    UNTIL(&s, s.peer.count[ON_MADE] == s.peer.count[ON_LOST]);
    stage_close(&s);
}

static void G19_R7_protocol_abort_with_a_code_that_is_no_error(void)
{
    struct stage s;
    struct actor second_guest; /* the first one may come from the attempt given up */
    stage_init(&s);
    stage_add(&s, &second_guest, true);
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    eddy_protocol_abort(s.client.p, EDDY_ERROR(0, "for no reason"));
    UNTIL(&s, s.client.done);
    CHECK_TRACE(s.client.trace, "CF(ECANCELED) RET(ECANCELED)");
    UNTIL(&s, s.client.p == NULL);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.count[ON_MADE] == 1);
    eddy_protocol_abort(s.client.p, EDDY_ERROR(1, "for no reason"));
    UNTIL(&s, s.client.count[ON_LOST] == 1);
    CHECK(s.client.err == NULL);
    stage_close(&s);
}

static void G19_protocol_abort_while_connected(void)
{
    struct stage s;
    stage_init(&s);
    stage_open(&s);
    eddy_protocol_abort(s.client.p, EDDY_ERROR(-EPROTO, "bad bytes"));
    eddy_protocol_abort(s.peer.p, NULL);
    UNTIL(&s, s.client.count[ON_FINI] == 1 && s.peer.count[ON_FINI] == 1);
    CHECK_TRACE(s.client.trace, "CM RET CL(EPROTO)");
    CHECK_TRACE(s.peer.trace, "CM CL(0)");
    stage_close(&s);
}

/* ---- classes ---- */

static void G18_S29_init_that_refuses(void)
{
    struct stage s;
    if (road_is_nested()) /* whose second handshake nobody answers */
        return;
    stage_init(&s);
    s.peer.init_result = -EPERM;
    stage_begin(&s);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_LOST] == 1);
    CHECK_INT(s.peer.count[ON_INIT], 1);
    CHECK_INT(s.peer.count[ON_MADE], 0);
    CHECK_INT(s.peer.count[ON_FINI], 0);
    CHECK_INT(s.problems.count, 0); /* only in debug mode */
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    s.guest_next = 0;
    s.peer.init_result = 0;
    CHECK_INT(actor_connect(&s.client), 0); /* the server goes on */
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    stage_close(&s);
}

static void S29_init_that_refuses_is_reported_in_debug_mode(void)
{
    struct stage s;
    if (road_is_nested()) /* whose second handshake nobody answers */
        return;
    stage_init(&s);
    s.peer.init_result = -EPERM;
    s.expected_problems = 1;
    stage_begin(&s);
    eddy_loop_set_debug(s.loop, true);
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.client.done && s.client.count[ON_LOST] == 1 && s.problems.count == 1);
    CHECK(strstr(s.problems.message, "rror on transport creation") != NULL);
    CHECK(strstr(s.problems.text, "init: ") != NULL); /* and not accept, which worked */
    stage_close(&s);
}

static void check_class_refused(const struct eddy_protocol_class *cls)
{
    struct stage s;
    struct eddy_server *server = NULL;
    stage_init(&s);
    stage_begin(&s);
    CHECK_INT(eddy_create_server(s.loop, cls, &s.server_opts, &server), -EINVAL);
    CHECK(server == NULL);
    if (cls) {
        s.client_class = cls;
        CHECK_INT(actor_connect(&s.client), -EINVAL);
        CHECK(!eddy_protocol_is_attached(&s.client.own.base));
    }
    stage_settle(&s);
    stage_close(&s);
}

static void G21_G4_classes_that_cannot_receive_are_refused(void)
{
    static struct eddy_protocol_class cls;
    check_class_refused(NULL);
    cls = actor_class;
    cls.data_received = NULL;
    check_class_refused(&cls);
    cls = actor_buffered_class;
    cls.buffer_updated = NULL;
    check_class_refused(&cls);
    cls = actor_buffered_class;
    cls.get_buffer = NULL;
    check_class_refused(&cls);
    cls = actor_class;
    cls.abi_size = 0;
    check_class_refused(&cls);
}

/* A class with nothing but what it must have. */
static void G21_null_slots_do_nothing(void)
{
    static const struct eddy_protocol_class bare = {
        EDDY_STATELESS_PROTOCOL_CLASS("bare"),
        .data_received = ignore_data,
    };
    struct stage s;
    struct eddy_protocol p;
    memset(&p, 0, sizeof p);
    stage_init(&s);
    s.server_class = &bare;
    stage_begin(&s);
    s.connection_opts.port = s.port;
    eddy_protocol_init(&p, &bare);
    CHECK_INT(stage_create_connection(&s, &p, &s.connection_opts, NULL), 0);
    UNTIL(&s, p.transport != NULL && eddy_server_connections(s.server) == 1);
    eddy_transport_pause_reading(p.transport);
    while (!eddy_transport_is_writing_paused(p.transport))
        CHECK_INT(eddy_transport_write(p.transport, s.client.buffer, sizeof s.client.buffer), 0);
    UNTIL(&s, !eddy_transport_is_writing_paused(p.transport));
    CHECK_INT(eddy_transport_write_eof(p.transport), 0);
    eddy_transport_resume_reading(p.transport);
    UNTIL(&s, !eddy_protocol_is_attached(&p));
    UNTIL(&s, eddy_server_connections(s.server) == 0);
    stage_refuse(&s);
    CHECK_INT(stage_create_connection(&s, &p, &s.connection_opts, NULL), 0);
    UNTIL(&s, !eddy_protocol_is_attached(&p)); /* refused, unheard */
    stage_close(&s);
}

static int loop_results[3];

static void try_to_run(struct actor *a)
{
    loop_results[0] = eddy_loop_run_forever(a->stage->loop);
    loop_results[1] = eddy_loop_run_once(a->stage->loop, 0);
    loop_results[2] = eddy_loop_close(a->stage->loop);
}

static void G23_run_and_close_are_refused_in_a_callback(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = try_to_run;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.peer.received == 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(loop_results[i], EDDY_ELOOP_RUNNING);
    stage_close(&s);
}

static void stop_loop(struct actor *a)
{
    eddy_loop_stop(a->stage->loop);
}

static void G20_stop_leaves_a_run_from_a_callback(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = stop_loop;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    CHECK_INT(eddy_loop_run_forever(s.loop), 0);
    CHECK_INT(s.peer.received, 1);
    stage_close(&s);
}

static void G16_G10_the_loop_keeps_connections_and_servers(void)
{
    struct stage s;
    stage_init(&s);
    stage_begin(&s);
    eddy_server_unref(s.server); /* the only reference of ours */
    s.server = NULL;
    CHECK_INT(actor_connect(&s.client), 0);
    UNTIL(&s, s.peer.count[ON_MADE] == 1 && s.client.done);
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    eddy_transport_close(s.client.t);
    UNTIL(&s, s.peer.count[ON_FINI] == 1 && s.client.count[ON_FINI] == 1);
    test_expect_log("stage.c"); /* the server is still there */
    s.descriptors++;
    stage_close(&s);
}

static void unref_server(struct actor *a)
{
    eddy_server_close(a->stage->server);
    eddy_server_unref(a->stage->server);
    a->stage->server = NULL;
}

static void G12_last_reference_dropped_inside_a_callback(void)
{
    struct stage s;
    stage_init(&s);
    s.peer.on[ON_DATA] = unref_server;
    stage_open(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "x", 1), 0);
    UNTIL(&s, s.peer.received == 1);
    stage_settle(&s);
    CHECK_INT(eddy_transport_write(s.client.t, "y", 1), 0);
    s.peer.on[ON_DATA] = NULL;
    UNTIL(&s, s.peer.received == 2);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G11_G15_transport_is_null_after_connection_lost),
    CASE(G15_memory_may_be_freed_in_fini),
    CASE(G15_attached_again_in_fini),
    CASE(G15_attached_again_in_connection_lost),
    CASE(G15_R7_attached_again_in_connect_failed),
    CASE(G15_an_attached_protocol_is_refused),
    CASE(G15_hold_delays_fini),
    CASE(G15_hold_and_release_while_connected_change_nothing),
    CASE(G15_hold_after_set_protocol),
    CASE(G15_G22_released_in_connection_lost),
    CASE(G15_hold_while_connecting_delays_fini),
    CASE(G15_released_after_the_loop_was_closed),
    CASE(G15_detach_while_connected),
    CASE(G15_detach_sends_what_is_buffered),
    CASE(G15_detach_while_connecting),
    CASE(G15_G14_detach_in_each_callback),
    CASE(G15_memory_may_be_freed_after_detach_in_a_callback),
    CASE(G15_detach_of_the_replaced_protocol),
    CASE(G15_detach_of_nothing),
    CASE(G19_protocol_abort_while_connecting),
    CASE(G19_R7_protocol_abort_without_a_reason_while_connecting),
    CASE(G19_R7_protocol_abort_with_a_code_that_is_no_error),
    CASE(G19_protocol_abort_while_connected),
    CASE(G18_S29_init_that_refuses),
    CASE(S29_init_that_refuses_is_reported_in_debug_mode),
    CASE(G21_G4_classes_that_cannot_receive_are_refused),
    CASE(G21_null_slots_do_nothing),
    CASE(G23_run_and_close_are_refused_in_a_callback),
    CASE(G20_stop_leaves_a_run_from_a_callback),
    CASE(G16_G10_the_loop_keeps_connections_and_servers),
    CASE(G12_last_reference_dropped_inside_a_callback),
    {NULL, NULL},
};
