/*
 * A selector class of one's own: it wraps another, epoll where there is one, and counts its calls.
 * An echo server runs over it; when it is ended by SIGINT or SIGTERM it prints the counts.
 */
#include "common.h"

#include <eddy/eddy.h>

/* ---- the class ---- */

struct counting {
    struct eddy_selector base; /* first */
    struct eddy_selector *inner;
    unsigned long sets, waits;
};

static struct counting *counting_of(struct eddy_selector *s)
{
    return EDDY_CONTAINER_OF(s, struct counting, base);
}

static int counting_set(struct eddy_selector *s, eddy_fd fd, uint64_t cookie, unsigned old,
                        unsigned now)
{
    struct counting *c = counting_of(s);

    c->sets++;
    return c->inner->cls->set(c->inner, fd, cookie, old, now);
}

static int counting_wait(struct eddy_selector *s, eddy_nsec timeout,
                         struct eddy_selector_event *events, int max)
{
    struct counting *c = counting_of(s);

    c->waits++;
    return c->inner->cls->wait(c->inner, timeout, events, max);
}

static int counting_fits(struct eddy_selector *s, eddy_fd fd)
{
    struct eddy_selector *inner = counting_of(s)->inner;

    return inner->cls->fits ? inner->cls->fits(inner, fd) : 0;
}

static eddy_fd counting_fileno(struct eddy_selector *s)
{
    return eddy_selector_fileno(counting_of(s)->inner);
}

/* Eddy's own all have one. */
static int counting_forked(struct eddy_selector *s)
{
    struct eddy_selector *inner = counting_of(s)->inner;

    return inner->cls->forked(inner);
}

static void counting_close(struct eddy_selector *s)
{
    eddy_selector_free(counting_of(s)->inner);
}

/* No `open`: a counting is made by counting_init. No `free`: its memory is main's, which reads the
 * counts when the loop has closed it. */
static const struct eddy_selector_class counting_class = {
    .name = "counting",
    .abi_size = sizeof(struct eddy_selector_class),
    .close = counting_close,
    .forked = counting_forked,
    .fits = counting_fits,
    .set = counting_set,
    .wait = counting_wait,
    .fileno = counting_fileno,
};

/* Around the selector of that name; NULL: epoll, or poll where there is none. */
static int counting_init(struct counting *c, const char *name, struct eddy_error *error)
{
    *c = (struct counting){.base.cls = &counting_class};
    int rc = eddy_selector_new(name ? name : "epoll", error, &c->inner);
    if (rc < 0 && !name)
        rc = eddy_selector_new("poll", error, &c->inner);
    return rc;
}

/* ---- the server that runs over it ---- */

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

static void pause_writing(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void resume_writing(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_STATELESS_PROTOCOL_CLASS("echo"),
    .data_received = data_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
};

static void started(struct eddy_server *server, void *arg)
{
    struct counting *c = arg;

    printf("counting the calls of %s\n", eddy_selector_name(c->inner));
    print_addresses(server);
}

int main(int argc, char **argv)
{
    struct counting counting;
    struct eddy_error error = {0};
    const char *name = NULL;
    const char *host = "127.0.0.1";
    int port = 7000;
    const struct option_spec options[] = {
        OPTION_SELECTOR(&name),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {0},
    };

    parse_options(argc, argv, "", "Echoes, and counts the calls of its selector.", options);
    if (counting_init(&counting, name, &error) < 0) {
        fprintf(stderr, "%s: %s\n", program_name(argv), error_text(&error));
        return 1;
    }
    int rc = eddy_serve(&echo, EDDY_SERVER(.host = host, .port = port, .started = started,
                                           .arg = &counting,
                                           .loop = EDDY_LOOP(.selector = &counting.base)));
    eddy_selector_free(&counting.base); /* if no loop has taken it */
    if (rc == 0)
        printf("%lu sets, %lu waits\n", counting.sets, counting.waits);
    return rc < 0;
}
