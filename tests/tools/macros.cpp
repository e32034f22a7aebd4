// The macros of the public headers, as a C++ program uses them. (Compiled, not run.)
#include <eddy/eddy.h>

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

int main()
{
    eddy_error err;
    eddy_loop *loop;
    session client = {};

    if (eddy_loop_new(EDDY_LOOP(.backend = "poll", .error = &err), &loop) < 0)
        return 1;
    eddy_protocol_init(&client.base, &session_class);
    eddy_create_connection(loop, &client.base,
                           EDDY_CONNECTION(.host = "127.0.0.1", .port = 7000, .error = &err),
                           nullptr);
    return eddy_serve(&echo_class, EDDY_SERVER(.host = "127.0.0.1", .port = 7000,
                                               .loop = EDDY_LOOP(.debug = true), .error = &err));
}
