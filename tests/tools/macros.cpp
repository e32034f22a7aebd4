// The macros of the public headers, as a C++ program uses them. (Compiled, not run.)
#include <eddy/eddy.h>
#include <netdb.h>

struct session {
    eddy_protocol base;
    eddy_timer timer;
};

static void ring(eddy_timer *t)
{
    session *s = EDDY_CONTAINER_OF(t, session, timer);
    eddy_transport_abort(s->base.transport, EDDY_ERROR(-ETIMEDOUT, "too late"));
}

static void made(eddy_protocol *p, eddy_transport *t)
{
    session *s = EDDY_PROTOCOL_SELF(p, session, base);
    s->timer.fn = ring;
    eddy_loop_call_later(eddy_transport_loop(t), &s->timer, EDDY_MSEC(50));
}

static void data(eddy_protocol *p, const void *bytes, size_t len)
{
    eddy_transport_write(p->transport, bytes, len);
}

static const eddy_protocol_class session_class = {
    EDDY_PROTOCOL_CLASS(session, base),
    .connection_made = made,
    .data_received = data,
};

static const eddy_protocol_class echo_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = data,
};

struct talker {
    eddy_line line;
    int lines;
};

static void line_received(eddy_line *l, const char *line, size_t len)
{
    EDDY_CONTAINER_OF(l, talker, line)->lines++;
    eddy_transport_write(l->base.transport, line, len);
}

static const eddy_line_class talker_class = {
    EDDY_LINE_CLASS(talker, line),
    .longest = 1000,
    .line_received = line_received,
};

struct messenger {
    eddy_frame frame;
};

static void frame_received(eddy_frame *f, const void *message, size_t len)
{
    eddy_frame_send(f, message, len);
}

static const eddy_frame_class messenger_class = {
    EDDY_FRAME_CLASS(messenger, frame),
    .prefix = EDDY_FRAME_VARINT,
    .frame_received = frame_received,
};

static int make_loop(eddy_policy *, eddy_loop **ret)
{
    return eddy_loop_new(EDDY_LOOP(.debug = true), ret);
}

static const eddy_policy_class policy_class = {
    EDDY_POLICY_CLASS("debugging"),
    .new_event_loop = make_loop,
};
static eddy_policy policy = {.cls = &policy_class};

int main()
{
    eddy_error err;
    eddy_loop *loop;
    session client = {};

    if (eddy_set_event_loop_policy(&policy) < 0)
        return 1;
    if (eddy_loop_new(EDDY_LOOP(.backend = "poll", .error = &err), &loop) < 0)
        return 1;
    eddy_create_server(loop, &talker_class.base, EDDY_SERVER(.port = 7001), nullptr);
    eddy_create_server(loop, &messenger_class.base, EDDY_SERVER(.port = 7002), nullptr);
    eddy_protocol_init(&client.base, &session_class);
    eddy_create_connection(loop, &client.base,
                           EDDY_CONNECTION(.host = "localhost", .port = 7000, .family = AF_INET,
                                           .local_host = "127.0.0.1", .timeout = EDDY_SEC(5),
                                           .flags = AI_ADDRCONFIG, .happy_eyeballs_delay = EDDY_OFF,
                                           .interleave = EDDY_OFF, .all_errors = true,
                                           .error = &err),
                           nullptr);
    return eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .port = 7000,
                                               .loop = EDDY_LOOP(.debug = true), .error = &err));
}
