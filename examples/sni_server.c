/*
 * One server for several names, each with a certificate of its own: the name that a client asks for
 * (SNI) chooses the context. Whoever asks over HTTP is told which one it was.
 *
 * SIGHUP reads all files anew. Connections that are open keep what they have; a certificate that
 * has become unusable is told of, and the last good one stays in use, so renewing one cannot bring
 * the server down.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>

#include <ctype.h>
#include <signal.h>
#include <time.h>

enum {
    MOST_NAMES = 32,
    LONGEST_NAME = 253,
    MOST_HEADERS = 100, /* lines of a request */
};

struct name {
    char text[1024]; /* "NAME=CERT,KEY" in pieces, each ended by NUL */
    const char *name, *cert, *key;
};

struct program {
    struct name names[MOST_NAMES];
    size_t count;
    struct eddy_tls_name contexts[MOST_NAMES + 1];
    struct eddy_tls *first; /* for those who ask for no name of ours, and for none */
    struct eddy_signal reload;
};

/* ---- contexts ---- */

/* Clients ask for anything: no byte of it may mean something to a terminal. */
static void clean(const char *name, char *buf, size_t size)
{
    size_t i = 0;

    for (; name[i] && i + 1 < size; i++)
        buf[i] = isalnum((unsigned char)name[i]) || strchr(".-_", name[i]) ? name[i] : '?';
    buf[i] = '\0';
}

/* A name that is nobody's here. A server with names in a database would look into that, and answer
 * with a context. */
static struct eddy_tls *unknown_name(void *user, const char *name)
{
    char text[LONGEST_NAME + 1];

    (void)user;
    if (name && *name) {
        clean(name, text, sizeof(text));
        printf("somebody asks for %s, which is not here\n", text);
    }
    return NULL;
}

/* Who renews certificates wants to see it. */
static void print_expiry(const char *name, struct eddy_tls *tls, const char *what)
{
    time_t expires;
    char text[64];
    struct tm tm;

    if (eddy_tls_expires(tls, &expires) < 0)
        return;
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", gmtime_r(&expires, &tm));
    printf("%s: %s, good until %s%s\n", name, what, text,
           expires < time(NULL) ? ", WHICH IS OVER" : "");
}

/* One for each name, and one over them for the rest, which has the first one's certificate. */
static int make_contexts(struct program *program, bool strict, struct eddy_error *err)
{
    int res = 0;

    for (size_t i = 0; i < program->count && res == 0; i++) {
        const struct name *n = &program->names[i];
        program->contexts[i].name = n->name;
        res = eddy_tls_new(EDDY_TLS_SERVER(.cert_file = n->cert, .key_file = n->key, .error = err),
                           &program->contexts[i].tls);
    }
    if (res < 0)
        return res;
    return eddy_tls_new(EDDY_TLS_SERVER(.cert_file = program->names[0].cert,
                                        .key_file = program->names[0].key,
                                        .names = program->contexts, .select = unknown_name,
                                        .strict_names = strict, .error = err),
                        &program->first);
}

static void free_contexts(struct program *program)
{
    eddy_tls_unref(program->first);
    for (size_t i = 0; i < program->count; i++)
        eddy_tls_unref(program->contexts[i].tls);
}

static void reload_one(const char *name, struct eddy_tls *tls)
{
    struct eddy_error err;

    if (eddy_tls_reload(tls, NULL, &err) < 0)
        printf("%s: keeps its certificate: %s\n", name, error_text(&err));
    else
        print_expiry(name, tls, "reloaded");
}

static void reload(struct eddy_signal *s, int signum)
{
    struct program *program = EDDY_CONTAINER_OF(s, struct program, reload);

    (void)signum;
    for (size_t i = 0; i < program->count; i++)
        reload_one(program->contexts[i].name, program->contexts[i].tls);
    reload_one("all others", program->first);
}

/* ---- clients ---- */

struct client {
    struct eddy_line line;
    char name[EDDY_ADDR_TEXT];
    char asked[LONGEST_NAME + 1]; /* for; "" for none */
    int headers;
};

static struct client *client_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct client, line);
}

static void connection_made(struct eddy_line *l, struct eddy_transport *t)
{
    struct client *c = client_of(l);
    struct eddy_addr peer = {0};
    struct eddy_tls_info tls;

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
    if (eddy_tls_info(t, &tls) < 0)
        return;
    if (tls.server_hostname)
        clean(tls.server_hostname, c->asked, sizeof(c->asked));
    printf("%s asks for %s: %s%s\n", c->name, *c->asked ? c->asked : "no name", tls.version,
           tls.resumed ? ", resumed" : "");
}

/* Whoever asks by https has also named whom in the request, which may be somebody else: see RFC
 * 9110 7.4, and do not answer for one name what was asked of another. Here it makes no difference.
 */
static void answer(struct client *c)
{
    struct eddy_transport *t = c->line.base.transport;
    char text[LONGEST_NAME + 100];

    int len =
        snprintf(text, sizeof(text), "You have asked for %s.\n", *c->asked ? c->asked : "no name");
    eddy_transport_printf(t,
                          "HTTP/1.1 200 OK\r\n"
                          "Content-Type: text/plain\r\n"
                          "Content-Length: %d\r\n"
                          "Connection: close\r\n"
                          "\r\n%s",
                          len, text);
    eddy_transport_close(t);
}

/* A request ends with an empty line. What is in it does not matter here. */
static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = client_of(l);

    (void)line;
    if (len == 0)
        answer(c);
    else if (++c->headers > MOST_HEADERS)
        eddy_transport_abort(l->base.transport, EDDY_ERROR(-EMSGSIZE, "too many headers"));
}

static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    if (err)
        printf("%s left: %s\n", client_of(l)->name, error_text(err));
}

static const struct eddy_line_class http_server = {
    EDDY_LINE_CLASS(struct client, line), .longest = 8192,
    .connection_made = connection_made,   .line_received = line_received,
    .connection_lost = connection_lost,
};

/* ---- the program ---- */

static void started(struct eddy_server *server, void *arg)
{
    struct program *program = arg;

    program->reload.fn = reload;
    if (eddy_loop_add_signal(eddy_server_loop(server), &program->reload, SIGHUP) < 0)
        fprintf(stderr, "sni_server: SIGHUP will end it: the signal cannot be caught\n");
    for (size_t i = 0; i < program->count; i++)
        print_expiry(program->contexts[i].name, program->contexts[i].tls, program->names[i].cert);
    print_addresses(server);
}

/* Several of them, each "NAME=CERT,KEY" or "NAME=CERT", with the key in the same file. */
static const char *option_name(const char *text, void *ret)
{
    struct program *program = ret;
    struct name *n = &program->names[program->count];

    if (program->count == MOST_NAMES)
        return "no more than 32 of them";
    if (strlen(text) >= sizeof(n->text))
        return "something shorter";
    strcpy(n->text, text);
    char *cert = strchr(n->text, '='), *key = cert ? strchr(cert, ',') : NULL;
    if (!cert || cert == n->text || !cert[1] || key == cert + 1 || (key && !key[1]))
        return "NAME=CERT or NAME=CERT,KEY, the latter being files";
    *cert++ = '\0';
    if (key)
        *key++ = '\0';
    n->name = n->text;
    n->cert = cert;
    n->key = key;
    program->count++;
    return NULL;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *host = "127.0.0.1";
    int port = 7000;
    bool strict = false, debug = false;
    static struct program program;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {"--name", "NAME=CERT,KEY", "a name, also *.example.org, and its files", option_name,
         &program},
        {"--strict", NULL, "refuse who asks for none of them", option_flag, &strict},
        {"--debug", NULL, "report handshakes that fail, and more", option_flag, &debug},
        {0},
    };
    parse_options(argc, argv, "", "Tells by https which of its names it was asked for.", options);
    if (program.count == 0)
        bad_usage(argv, "--name is needed");

    struct eddy_error err;
    int res = make_contexts(&program, strict, &err);
    if (res < 0)
        fprintf(stderr, "sni_server: %s\n", error_text(&err));
    else /* logs what fails */
        res = eddy_serve(&http_server.base,
                         EDDY_SERVER(.host = host, .port = port, .arg = &program,
                                     .tls = program.first, .started = started,
                                     .idle_timeout = EDDY_SEC(10),
                                     .loop = EDDY_LOOP(.backend = backend, .debug = debug)));
    free_contexts(&program);
    return res < 0;
}
