#include <eddy/eddy.h>

static void echo_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static void echo_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void echo_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = echo_data,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

int main(void)
{
    return eddy_serve(&echo, EDDY_SERVER(.host = "127.0.0.1", .port = 7000)) < 0;
}
