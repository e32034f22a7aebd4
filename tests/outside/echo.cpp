// A stranger's program in C++20, with Eddy's macros: as echo.c.
#include <eddy/eddy.h>

#include <cstdio>
#include <string>

namespace
{

struct client {
    eddy_protocol base{};
    eddy_loop *loop = nullptr;
    std::string received;
};

const std::string message = "hello";

client &client_of(eddy_protocol *p)
{
    // Standard C++ has no offsetof for it; the base is its first member.
    return *reinterpret_cast<client *>(p);
}

void client_ends(eddy_protocol *p, const eddy_error *err)
{
    if (err)
        std::fprintf(stderr, "echo: %s\n", err->text);
    eddy_loop_stop(client_of(p).loop);
}

struct peer {
    eddy_protocol base;
};

const eddy_protocol_class server_class = {
    EDDY_PROTOCOL_CLASS(peer, base),
    .data_received = [](eddy_protocol *p, const void *data,
                        size_t len) { eddy_transport_write(p->transport, data, len); },
};

const eddy_protocol_class client_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("client"),
    .connection_made = [](eddy_protocol *,
                          eddy_transport *t) { eddy_transport_write(t, message.data(), 5); },
    .connect_failed = client_ends,
    .data_received =
        [](eddy_protocol *p, const void *data, size_t len) {
            std::string &received = client_of(p).received;
            received.append(static_cast<const char *>(data), len);
            if (received.size() >= message.size())
                eddy_transport_close(p->transport);
        },
    .connection_lost = client_ends,
};

int end(eddy_server *server)
{
    eddy_future *ended = nullptr;
    int res = eddy_server_drain(server, EDDY_SEC(5), &ended);
    if (res < 0)
        return res;
    res = eddy_loop_run_until_complete(eddy_server_loop(server), ended, nullptr);
    eddy_future_unref(ended);
    return res;
}

int run(eddy_loop *loop, client &c)
{
    eddy_error err;
    eddy_server *server = nullptr;
    int res = eddy_create_server(loop, &server_class,
                                 EDDY_SERVER(.host = "127.0.0.1", .error = &err), &server);
    if (res < 0) {
        std::fprintf(stderr, "echo: %s\n", err.text);
        return res;
    }
    c.loop = loop;
    eddy_protocol_init(&c.base, &client_class);
    res = eddy_create_connection(
        loop, &c.base, EDDY_CONNECTION(.host = "127.0.0.1", .port = eddy_server_port(server)),
        nullptr);
    if (res == 0)
        res = eddy_loop_run_forever(loop);
    if (res == 0)
        res = end(server);
    eddy_server_unref(server);
    return res;
}

} // namespace

int main()
{
    client c;
    int res = eddy_loop_new(EDDY_LOOP(.debug = true), &c.loop);
    if (res == 0) {
        eddy_loop *loop = c.loop;
        res = run(loop, c);
        eddy_loop_close(loop);
        eddy_loop_unref(loop);
    }
    return res < 0 || c.received != message;
}
