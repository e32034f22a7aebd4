/*
 * Fetches the files behind several URLs at once, by plain HTTP/1.1. It shows a client of many
 * connections: one object for each URL, one for each connection, and one for each server, where
 * URLs wait for their turn, so that no server gets more than a few connections, and each of these
 * is used again for the next URL.
 *
 * What HTTP looks like is in http.h. There is no TLS. Files are written where they arrive, which
 * may block for a moment: while it does nothing more is read, so a slow disk slows the servers down
 * and nothing piles up.
 */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE /* struct winsize */

#include "common.h"
#include "http.h"
#include "save.h"

#include <eddy/eddy.h>

#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    MOST_REDIRECTS = 10,
    WORTH_READING = 65536, /* more of a body that nobody wants costs more than a new connection */
};

struct program {
    struct eddy_loop *loop;
    struct download *downloads;
    struct site *sites;
    size_t count, unfinished, failed;
    size_t connections;
    long per_host;
    eddy_nsec timeout;
    int folder; /* where the files go */
    bool force;
    struct eddy_timer deadline, redraw;
    bool terminal;
    size_t lines_drawn;
};

/* One URL. */
struct download {
    struct program *program;
    const char *text; /* the URL as it was given */
    struct url url;   /* and where it is looked for now: redirects lead elsewhere */
    int redirects;
    struct download *next;         /* in the queue of its site */
    struct connection *connection; /* NULL while it waits, and when it is finished */
    struct saved_file file;
    int64_t size; /* -1 if the server has not told */
    eddy_nsec asked, ended;
    bool finished;
    char error[EDDY_ERROR_TEXT + LONGEST_NAME + 64]; /* "" if all went well */
};

/* One server. */
struct site {
    struct site *next;
    char host[HOST_LONGEST + 1];
    int port;
    struct download *first, **last; /* those that wait for a connection */
    long connections;
};

struct connection {
    struct eddy_protocol base;
    struct program *program;
    struct site *site;
    struct download *download;     /* NULL when it is of no use any more */
    struct http_response response; /* to what was asked last */
    bool used_before;              /* for another download than this one */
};

static struct connection *connection_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct connection, base);
}

/* ---- the end of a download ---- */

static double seconds_of(const struct download *d)
{
    return (double)(d->ended - d->asked) / 1e9;
}

static void report(const struct download *d)
{
    if (d->error[0])
        fprintf(stderr, "fetch: %s: %s\n", d->text, d->error);
    else
        printf("%s: %" PRId64 " bytes into %s in %.2f s\n", d->text, d->file.size, d->file.name,
               seconds_of(d));
}

static void finish(struct download *d)
{
    d->finished = true;
    d->connection = NULL;
    d->ended = eddy_loop_time(d->program->loop);
    d->program->unfinished--;
    if (d->error[0])
        d->program->failed++;
    if (!d->program->terminal) /* there it shows at once, and is said at the end */
        report(d);
}

static void fail(struct download *d, const char *fmt, ...) EDDY_PRINTF(2, 3);

static void fail(struct download *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(d->error, sizeof(d->error), fmt, args);
    va_end(args);
    if (save_leave(&d->file)) {
        size_t len = strlen(d->error);
        snprintf(d->error + len, sizeof(d->error) - len, "; what came is in %s", d->file.part);
    }
    finish(d);
}

static void succeed(struct download *d)
{
    int res = save_keep(&d->file);

    if (res < 0)
        fail(d, "%s: %s", d->file.name, eddy_strerror(res));
    else
        finish(d);
}

static void stop_when_all_is_done(struct program *program)
{
    if (program->unfinished == 0 && program->connections == 0)
        eddy_loop_stop(program->loop);
}

/* ---- queues ---- */

static struct site *find_site(struct program *program, const struct url *url)
{
    struct site *s = program->sites;

    while (s && (s->port != url->port || strcasecmp(s->host, url->host) != 0))
        s = s->next;
    if (s || !(s = calloc(1, sizeof(*s))))
        return s;
    memcpy(s->host, url->host, sizeof(s->host));
    s->port = url->port;
    s->last = &s->first;
    s->next = program->sites;
    program->sites = s;
    return s;
}

static void enqueue(struct download *d)
{
    struct site *s = find_site(d->program, &d->url);

    if (!s) {
        fail(d, "%s", eddy_strerror(-ENOMEM));
        return;
    }
    d->connection = NULL;
    d->next = NULL;
    *s->last = d;
    s->last = &d->next;
}

static struct download *dequeue(struct site *s)
{
    struct download *d = s->first;

    if (d && !(s->first = d->next))
        s->last = &s->first;
    return d;
}

/* ---- requests ---- */

static void send_request(struct connection *c)
{
    const struct url *url = &c->download->url;

    memset(&c->response, 0, sizeof(c->response));
    eddy_transport_printf(c->base.transport,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s\r\n"
                          "User-Agent: eddy-fetch\r\n"
                          "Accept: */*\r\n"
                          "Accept-Encoding: identity\r\n"
                          "\r\n",
                          url->target, url->authority);
}

static void use_for(struct connection *c, struct download *d)
{
    c->download = d;
    d->connection = c;
    if (!d->asked)
        d->asked = eddy_loop_time(c->program->loop);
}

/* The connection is free: for the next of its site, or for nobody. */
static void go_on(struct connection *c)
{
    struct download *d = dequeue(c->site);

    if (d) {
        use_for(c, d);
        c->used_before = true;
        send_request(c);
    } else {
        eddy_transport_close(c->base.transport);
    }
}

static const struct eddy_protocol_class http_client;

static void connect_to(struct site *s, struct download *d)
{
    struct program *program = d->program;
    struct connection *c = calloc(1, sizeof(*c));
    struct eddy_error err;

    if (!c) {
        fail(d, "%s", eddy_strerror(-ENOMEM));
        return;
    }
    c->program = program;
    c->site = s;
    use_for(c, d);
    eddy_protocol_init(&c->base, &http_client);
    if (eddy_create_connection(program->loop, &c->base,
                               EDDY_CONNECTION(.host = s->host, .port = s->port,
                                               .timeout = program->timeout,
                                               .idle_timeout = program->timeout, .error = &err),
                               NULL) < 0) {
        fail(d, "%s", error_text(&err));
        free(c);
        return;
    }
    s->connections++;
    program->connections++;
}

/* New connections, as many as are wanted and allowed. */
static void connect_more(struct program *program)
{
    for (struct site *s = program->sites; s; s = s->next)
        while (s->first && s->connections < program->per_host)
            connect_to(s, dequeue(s));
    stop_when_all_is_done(program);
}

/* ---- responses ---- */

static bool is_redirect(const struct http_response *r)
{
    int s = r->status;
    return r->location[0] && (s == 301 || s == 302 || s == 303 || s == 307 || s == 308);
}

static void follow_redirect(struct download *d, const char *location)
{
    struct url url;
    const char *wrong = url_join(&d->url, location, &url);

    if (wrong) {
        fail(d, "redirected to a URL that cannot be fetched: %s", wrong);
    } else if (d->redirects == MOST_REDIRECTS) {
        fail(d, "redirected more than %d times", MOST_REDIRECTS);
    } else {
        d->redirects++;
        d->url = url;
        enqueue(d);
    }
}

/* All of the response is there that is of interest. */
static void settle(struct connection *c)
{
    struct http_response *r = &c->response;
    struct download *d = c->download;

    c->download = NULL;
    if (d->file.fd >= 0)
        succeed(d);
    else if (is_redirect(r))
        follow_redirect(d, r->location);
    else
        fail(d, "the server says %d%s%s", r->status, r->reason[0] ? " " : "", r->reason);
}

/* This connection is of no use any more, in whatever phase it is. */
static void drop(struct connection *c)
{
    c->download = NULL;
    eddy_protocol_abort(&c->base, NULL);
}

static void head_received(struct connection *c)
{
    struct download *d = c->download;

    if (c->response.status / 100 != 2)
        return;
    int res = save_begin(&d->file);
    d->size = c->response.length;
    if (res < 0) {
        drop(c);
        fail(d, "%s: %s%s", d->file.part, eddy_strerror(res),
             res == -EEXIST ? " (--force replaces it)" : "");
    }
}

static void body_received(struct connection *c, const char *data, size_t len)
{
    struct download *d = c->download;

    if (d->file.fd < 0) { /* the body of a redirect, or of an error */
        if (c->response.arrived > WORTH_READING) {
            settle(c);
            drop(c);
        }
        return;
    }
    int res = save_write(&d->file, data, len);
    if (res < 0) {
        drop(c);
        fail(d, "%s: %s", d->file.part, eddy_strerror(res));
    }
}

/* A server that says more than it was asked for cannot be asked again. */
static void response_complete(struct connection *c, size_t left_over)
{
    bool keep = http_keeps_connection(&c->response) && left_over == 0;

    settle(c);
    if (keep)
        go_on(c);
    else
        eddy_transport_close(c->base.transport);
}

static void response_bad(struct connection *c)
{
    struct download *d = c->download;

    drop(c);
    fail(d, "this is no good HTTP: %s", c->response.error);
}

/* ---- the protocol ---- */

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)t;
    send_request(connection_of(p));
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct connection *c = connection_of(p);
    const char *bytes = data, *body;
    size_t body_len;
    enum http_event event = HTTP_HEAD;

    while (c->download && event != HTTP_MORE && event != HTTP_END) {
        event = http_next(&c->response, &bytes, &len, &body, &body_len);
        if (event == HTTP_HEAD)
            head_received(c);
        else if (event == HTTP_BODY)
            body_received(c, body, body_len);
        else if (event == HTTP_END)
            response_complete(c, len);
        else if (event == HTTP_BAD)
            response_bad(c);
    }
    connect_more(c->program); /* a redirect may lead elsewhere */
}

static void closed_early(struct connection *c, struct download *d, const struct eddy_error *err)
{
    const struct http_response *r = &c->response;
    const char *why = err ? error_text(err) : "the server closed the connection early";

    if (r->status == 0)
        fail(d, "%s: no answer came", why);
    else if (r->length >= 0)
        fail(d, "%s: %" PRId64 " of %" PRId64 " bytes came", why, r->arrived, r->length);
    else
        fail(d, "%s: %" PRId64 " bytes came", why, r->arrived);
}

static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct connection *c = connection_of(p);
    struct download *d = c->download;

    if (!d)
        return;
    if (!err && http_end(&c->response)) {
        settle(c);
    } else if (c->used_before && c->response.status == 0 && c->response.head == 0) {
        enqueue(d); /* it was closed while our request was on its way (RFC 9112 9.3.1) */
    } else {
        closed_early(c, d, err);
    }
    c->download = NULL;
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct connection *c = connection_of(p);

    if (c->download)
        fail(c->download, "%s", error_text(err));
}

/* Comes after either of these. */
static void fini(struct eddy_protocol *p)
{
    struct connection *c = connection_of(p);
    struct program *program = c->program;

    c->site->connections--;
    program->connections--;
    free(c);
    connect_more(program);
}

static const struct eddy_protocol_class http_client = {
    EDDY_PROTOCOL_CLASS(struct connection, base),
    .connection_made = connection_made,
    .connect_failed = connect_failed,
    .data_received = data_received,
    .connection_lost = connection_lost,
    .fini = fini,
};

/* ---- the terminal: a line for each, redrawn ten times a second ---- */

static void describe(const struct download *d, char *buf, size_t size)
{
    const struct connection *c = d->connection;

    if (d->error[0])
        snprintf(buf, size, "%s", d->error);
    else if (d->finished)
        snprintf(buf, size, "%" PRId64 " bytes in %.2f s", d->file.size, seconds_of(d));
    else if (!c)
        snprintf(buf, size, "waits for a connection");
    else if (!c->base.transport)
        snprintf(buf, size, "connecting");
    else if (d->file.fd < 0)
        snprintf(buf, size, "waits for an answer");
    else if (d->size > 0)
        snprintf(buf, size, "%3.0f %% of %" PRId64 " bytes",
                 100.0 * (double)d->file.size / (double)d->size, d->size);
    else
        snprintf(buf, size, "%" PRId64 " bytes", d->file.size);
}

/* Lines that are wider or more than the terminal's would not stay where they are. */
static void draw(struct program *program)
{
    struct winsize window = {0};
    char what[500];

    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    int width = (window.ws_col > 40 ? window.ws_col : 80) - 26; /* of `what` */
    size_t rows = window.ws_row > 1 ? window.ws_row : 24;

    if (program->lines_drawn)
        printf("\033[%zuA", program->lines_drawn);
    program->lines_drawn = program->count < rows ? program->count : 1;
    if (program->lines_drawn < program->count)
        printf("\r%zu of %zu finished\033[K\n", program->count - program->unfinished,
               program->count);
    for (size_t i = 0; i < program->count && program->lines_drawn == program->count; i++) {
        const struct download *d = &program->downloads[i];
        describe(d, what, sizeof(what));
        printf("\r%-24.24s %.*s\033[K\n", d->file.name[0] ? d->file.name : d->text, width, what);
    }
    fflush(stdout);
}

static void redraw(struct eddy_timer *t)
{
    struct program *program = EDDY_CONTAINER_OF(t, struct program, redraw);

    draw(program);
    eddy_loop_call_later(program->loop, t, EDDY_MSEC(100));
}

/* ---- the program ---- */

static void too_late(struct eddy_timer *t)
{
    struct program *program = EDDY_CONTAINER_OF(t, struct program, deadline);

    for (struct site *s = program->sites; s; s = s->next)
        while (dequeue(s))
            ;
    for (size_t i = 0; i < program->count; i++) {
        struct download *d = &program->downloads[i];
        if (d->finished)
            continue;
        if (d->connection)
            drop(d->connection);
        fail(d, "the deadline is over");
    }
    stop_when_all_is_done(program);
}

/* As the last part of the path. */
static void name_file(struct download *d)
{
    const char *path = d->url.target;
    size_t end = strcspn(path, "?"), begin = end;

    while (begin && path[begin - 1] != '/')
        begin--;
    save_init(&d->file, d->program->folder, path + begin, end - begin, d->program->force);
}

static void begin(struct program *program, struct download *d, const char *text)
{
    const char *wrong = url_parse(text, &d->url);

    d->program = program;
    d->text = text;
    d->size = -1;
    d->file.fd = -1;
    if (wrong) {
        fail(d, "%s", wrong);
        return;
    }
    name_file(d);
    for (struct download *other = d->program->downloads; other < d; other++)
        if (save_conflicts(&d->file, &other->file)) {
            fail(d, "%s would be written by %s as well", d->file.name, other->text);
            return;
        }
    if (save_is_forbidden(&d->file))
        fail(d, "%s is there already (--force replaces it)", d->file.name);
    else
        enqueue(d);
}

static int run(struct program *program, char **urls, eddy_nsec deadline)
{
    int res = 0;

    program->unfinished = program->count;
    for (size_t i = 0; i < program->count; i++)
        begin(program, &program->downloads[i], urls[i]);
    connect_more(program);
    if (deadline)
        eddy_loop_call_later(program->loop, &program->deadline, deadline);
    if (program->terminal)
        eddy_loop_call_later(program->loop, &program->redraw, 0);
    if (program->unfinished)
        res = eddy_loop_run_forever(program->loop);
    if (program->terminal) {
        draw(program);
        for (size_t i = 0; i < program->count; i++)
            if (program->downloads[i].error[0])
                report(&program->downloads[i]);
    }
    return res;
}

static int fetch(struct program *program, const char *backend, char **urls, eddy_nsec deadline)
{
    struct eddy_error err;

    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program->loop) < 0) {
        fprintf(stderr, "fetch: %s\n", error_text(&err));
        return 1;
    }
    int res = run(program, urls, deadline);
    if (res < 0)
        fprintf(stderr, "fetch: %s\n", eddy_strerror(res));
    eddy_loop_close(program->loop);
    eddy_loop_unref(program->loop);
    while (program->sites) {
        struct site *s = program->sites;
        program->sites = s->next;
        free(s);
    }
    return res < 0 || program->failed;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *folder = ".";
    eddy_nsec deadline = 0;
    struct program program = {
        .deadline.fn = too_late,
        .redraw.fn = redraw,
        .per_host = 4,
        .timeout = EDDY_SEC(30),
        .terminal = isatty(STDOUT_FILENO),
    };
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"-o", "DIR", "the folder for the files (this one)", option_text, &folder},
        {"--force", NULL, "replace files that are there", option_flag, &program.force},
        {"--per-host", "N", "most connections to one server (4)", option_count, &program.per_host},
        {"--timeout", "SECONDS", "for connecting, and for silence (30)", option_seconds,
         &program.timeout},
        {"--deadline", "SECONDS", "for everything together (none)", option_seconds, &deadline},
        {0},
    };
    int words =
        parse_options(argc, argv, "URL...",
                      "Fetches all URLs at once, each into a file named as its end.", options);
    if (words == 0)
        bad_usage(argv, "nothing to fetch");
    program.count = (size_t)words;
    program.downloads = calloc(program.count, sizeof(struct download));
    program.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!program.downloads || program.folder < 0) {
        fprintf(stderr, "fetch: %s: %s\n", folder, strerror(errno));
        free(program.downloads);
        return 1;
    }
    int exit_code = fetch(&program, backend, argv + 1, deadline);
    close(program.folder);
    free(program.downloads);
    return end_of_output("fetch", exit_code);
}
