/*
 * Gets what is behind several https URLs at once. It shows a client that verifies whom it talks to,
 * one context for all of its connections, sentences for what goes wrong, and resumption: a second
 * connection to the same server spares it the expensive half of the handshake.
 *
 * What HTTP looks like is in http.h. Each URL has a connection of its own, and redirects are not
 * followed; fetch.c, which is without TLS, has queues and does. Without --output the answers go to
 * standard output in the order of the URLs: whose turn has not come is not read from, so its server
 * waits and nothing piles up.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"
#include "http.h"
#include "save.h"

#include <eddy/eddy.h>

#include <fcntl.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

struct program {
    struct eddy_loop *loop;
    struct eddy_tls *tls;
    struct get *gets;
    size_t count, finished, failed;
    size_t turn; /* of which standard output is */
    eddy_nsec timeout;
    int folder; /* where the files go, or -1 */
    bool force, resume, verbose;
};

/* One URL, and its connection. */
struct get {
    struct eddy_protocol base;
    struct program *program;
    const char *text; /* the URL as it was given */
    struct url url;
    struct http_response response;
    struct saved_file file;
    bool again;    /* it was asked once, and is now to see whether the session is resumed */
    bool complete; /* the answer is there, or the failure was told: what comes now is nothing */
    bool ok, finished;
};

static struct get *get_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct get, base);
}

/* ---- the end ---- */

static void fail(struct get *g, const char *fmt, ...) EDDY_PRINTF(2, 3);

static void fail(struct get *g, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "https_get: %s: ", g->text);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (save_leave(&g->file))
        fprintf(stderr, "; what came is in %s", g->file.part);
    fprintf(stderr, "\n");
    g->complete = true;
    g->ok = false;
}

/* Standard output is the next one's, who may have waited for it. */
static void pass_the_turn(struct program *program)
{
    while (program->turn < program->count && program->gets[program->turn].finished)
        program->turn++;
    if (program->turn < program->count) {
        struct eddy_transport *t = program->gets[program->turn].base.transport;
        if (t)
            eddy_transport_resume_reading(t);
    }
}

static void finish(struct get *g)
{
    struct program *program = g->program;

    g->finished = true;
    program->finished++;
    program->failed += !g->ok;
    pass_the_turn(program);
    if (program->finished == program->count)
        eddy_loop_stop(program->loop);
}

/* ---- whom we talk to ---- */

static void print_certificate(struct eddy_transport *t)
{
    struct eddy_tls_cert *cert;
    char until[32];
    struct tm tm;

    if (eddy_tls_peer_cert(t, 0, &cert) < 0)
        return;
    strftime(until, sizeof(until), "%Y-%m-%d", gmtime_r(&cert->not_after, &tm));
    fprintf(stderr, ", certificate of %s, issued by %s, good until %s", cert->subject, cert->issuer,
            until);
    eddy_tls_cert_free(cert);
}

static void print_tls(const struct get *g, struct eddy_transport *t)
{
    struct eddy_tls_info tls;

    if (eddy_tls_info(t, &tls) < 0)
        return;
    fprintf(stderr, "https_get: %s: %s%s, %s, %s, %s", g->text, g->again ? "again: " : "",
            tls.version, tls.cipher, tls.alpn ? tls.alpn : "no ALPN",
            tls.resumed ? "resumed" : "a full handshake");
    print_certificate(t);
    fprintf(stderr, "%s\n", tls.verified ? "" : ", NOT VERIFIED");
}

/* ---- answers ---- */

/* What a server says may be in any encoding, and is meant for a terminal here. */
static const char *printable(char *text)
{
    for (char *c = text; *c; c++)
        if (*c & 0x80)
            *c = '?';
    return text;
}

static bool is_wanted(const struct get *g)
{
    return g->response.status / 100 == 2;
}

static void head_received(struct get *g)
{
    struct http_response *r = &g->response;

    if (!is_wanted(g)) {
        const char *to = r->status / 100 == 3 ? printable(r->location) : "";
        fail(g, "the server says %d%s%s%s%s", r->status, r->reason[0] ? " " : "", r->reason,
             *to ? ", and points to " : "", to);
    } else if (g->program->folder >= 0 && !g->again) {
        int res = save_begin(&g->file);
        if (res < 0)
            fail(g, "%s: %s%s", g->file.part, eddy_strerror(res),
                 res == -EEXIST ? " (--force replaces it)" : "");
    }
}

static void body_received(struct get *g, const char *data, size_t len)
{
    if (g->again)
        return;
    if (g->program->folder < 0) { /* what is lost there, is said at the end */
        fwrite(data, 1, len, stdout);
        return;
    }
    int res = save_write(&g->file, data, len);
    if (res < 0)
        fail(g, "%s: %s", g->file.part, eddy_strerror(res));
}

static void response_complete(struct get *g)
{
    int res = g->file.fd >= 0 ? save_keep(&g->file) : 0;

    if (res < 0) {
        fail(g, "%s: %s", g->file.name, eddy_strerror(res));
        return;
    }
    if (g->file.has_part && !g->again)
        printf("%s: %" PRId64 " bytes into %s\n", g->text, g->file.size, g->file.name);
    g->file.has_part = false;
    g->complete = true;
    g->ok = true;
}

/* ---- the protocol ---- */

static const struct eddy_protocol_class client;

static void connect_to(struct get *g)
{
    struct program *program = g->program;
    struct eddy_error err;

    memset(&g->response, 0, sizeof(g->response));
    g->complete = false;
    eddy_protocol_init(&g->base, &client);
    /* The host is what the certificate must be for. A server that does not say good-bye is not
     * waited for long. */
    if (eddy_create_connection(program->loop, &g->base,
                               EDDY_CONNECTION(.host = g->url.host, .port = g->url.port,
                                               .tls = program->tls, .timeout = program->timeout,
                                               .idle_timeout = program->timeout,
                                               .shutdown_timeout = EDDY_SEC(2), .error = &err),
                               NULL) < 0) {
        fail(g, "%s", error_text(&err));
        finish(g);
    }
}

/* Nobody can say anything before this, nor read what is said after it. */
static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct get *g = get_of(p);

    if (g->program->verbose)
        print_tls(g, t);
    eddy_transport_printf(t,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s\r\n"
                          "User-Agent: eddy-https_get\r\n"
                          "Accept: */*\r\n"
                          "Accept-Encoding: identity\r\n"
                          "Connection: close\r\n"
                          "\r\n",
                          g->url.target, g->url.authority);
}

static bool has_its_turn(const struct get *g)
{
    return g->program->folder >= 0 || g == &g->program->gets[g->program->turn];
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    struct get *g = get_of(p);
    const char *bytes = data, *body;
    size_t body_len;
    enum http_event event = HTTP_HEAD;

    if (!has_its_turn(g)) {
        eddy_transport_unread(p->transport, data, len);
        eddy_transport_pause_reading(p->transport);
        return;
    }
    while (!g->complete && event != HTTP_MORE) {
        event = http_next(&g->response, &bytes, &len, &body, &body_len);
        if (event == HTTP_HEAD)
            head_received(g);
        else if (event == HTTP_BODY)
            body_received(g, body, body_len);
        else if (event == HTTP_END)
            response_complete(g);
        else if (event == HTTP_BAD)
            fail(g, "this is no good HTTP: %s", g->response.error);
    }
    if (g->complete)
        eddy_transport_close(p->transport);
}

/* An end that TLS has not vouched for comes with an error: a body that ends with its connection
 * would look whole wherever somebody on the way cuts it off. */
static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct get *g = get_of(p);

    if (g->complete)
        return;
    if (!err && http_end(&g->response))
        response_complete(g);
    else
        fail(g, "%s, after %" PRId64 " bytes of the answer",
             err ? error_text(err) : "the server closed the connection early", g->response.arrived);
}

static void connect_failed(struct eddy_protocol *p, const struct eddy_error *err)
{
    fail(get_of(p), "%s", error_text(err));
}

/* Comes after either of these. */
static void fini(struct eddy_protocol *p)
{
    struct get *g = get_of(p);

    if (g->ok && g->program->resume && !g->again) {
        g->again = true;
        connect_to(g);
    } else {
        finish(g);
    }
}

static const struct eddy_protocol_class client = {
    EDDY_PROTOCOL_CLASS(struct get, base), .connection_made = connection_made,
    .connect_failed = connect_failed,      .data_received = data_received,
    .connection_lost = connection_lost,    .fini = fini,
};

/* ---- the program ---- */

/* As the last part of the path. */
static void name_file(struct get *g)
{
    const char *path = g->url.target;
    size_t end = strcspn(path, "?"), begin = end;

    while (begin && path[begin - 1] != '/')
        begin--;
    save_init(&g->file, g->program->folder, path + begin, end - begin, g->program->force);
}

static const struct get *find_conflict(const struct get *g)
{
    for (const struct get *other = g->program->gets; other < g; other++)
        if (g->program->folder >= 0 && save_conflicts(&g->file, &other->file))
            return other;
    return NULL;
}

static void begin(struct program *program, struct get *g, const char *text)
{
    g->program = program;
    g->text = text;
    g->file.fd = -1;
    const char *wrong = url_parse_https(text, &g->url);
    if (!wrong)
        name_file(g);
    const struct get *conflict = wrong ? NULL : find_conflict(g);
    if (wrong)
        fail(g, "%s", wrong);
    else if (conflict)
        fail(g, "%s would be written by %s as well", g->file.name, conflict->text);
    else if (program->folder >= 0 && save_is_forbidden(&g->file))
        fail(g, "%s is there already (--force replaces it)", g->file.name);
    if (g->complete)
        finish(g);
    else
        connect_to(g);
}

static int run(struct program *program, const char *backend, char **urls)
{
    struct eddy_error err;
    int res = eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &program->loop);

    if (res < 0) {
        fprintf(stderr, "https_get: %s\n", error_text(&err));
        return res;
    }
    for (size_t i = 0; i < program->count; i++)
        begin(program, &program->gets[i], urls[i]);
    if (program->finished < program->count)
        res = eddy_loop_run_forever(program->loop);
    if (res < 0)
        fprintf(stderr, "https_get: %s\n", eddy_strerror(res));
    eddy_loop_close(program->loop);
    eddy_loop_unref(program->loop);
    return res;
}

/* One context for all: it knows whom to trust, and keeps the sessions that can be resumed. */
static int make_context(struct program *program, const char *ca, bool insecure)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct eddy_error err;
    int res = eddy_tls_new(EDDY_TLS_CLIENT(.ca_file = ca, .insecure_no_verification = insecure,
                                           .alpn = alpn, .error = &err),
                           &program->tls);

    if (res < 0)
        fprintf(stderr, "https_get: %s\n", error_text(&err));
    else if (insecure)
        fprintf(stderr, "https_get: --insecure: nobody is verified, so anybody on the way can read"
                        " and change everything\n");
    return res;
}

static int open_folder(struct program *program, const char *folder)
{
    program->folder = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (!folder || program->folder >= 0)
        return 0;
    fprintf(stderr, "https_get: %s: %s\n", folder, strerror(errno));
    return -1;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *folder = NULL, *ca = NULL;
    bool insecure = false;
    struct program program = {.timeout = EDDY_SEC(30)};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--ca", "FILE", "whom to trust, PEM (whom the system trusts)", option_text, &ca},
        {"--output", "DIR", "save files there (standard output)", option_text, &folder},
        {"--force", NULL, "replace files that are there", option_flag, &program.force},
        {"--timeout", "SECONDS", "for connecting, and for silence (30)", option_seconds,
         &program.timeout},
        {"--verbose", NULL, "tell whom we talk to, and how", option_flag, &program.verbose},
        {"--resume", NULL, "get each again, over a resumed session; with --verbose", option_flag,
         &program.resume},
        {"--insecure", NULL, "do not verify whom we talk to", option_flag, &insecure},
        {0},
    };
    program.count = (size_t)parse_options(
        argc, argv, "URL...", "Gets all URLs at once, by https; prints or saves them.", options);
    if (program.count == 0)
        bad_usage(argv, "nothing to get");
    if (insecure && ca)
        bad_usage(argv, "--insecure is not for a --ca");
    program.verbose |= program.resume;
    program.gets = calloc(program.count, sizeof(struct get));
    int res = program.gets ? open_folder(&program, folder) : -ENOMEM;
    if (res == 0)
        res = make_context(&program, ca, insecure);
    if (res == 0)
        res = run(&program, backend, argv + 1);
    eddy_tls_unref(program.tls);
    if (folder && program.folder >= 0)
        close(program.folder);
    free(program.gets);
    return end_of_output("https_get", res < 0 || program.failed);
}
