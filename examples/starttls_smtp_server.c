/*
 * A mail server, as far as it takes to show STARTTLS (RFC 3207): a connection that begins in plain
 * text, and is encrypted when the client asks for it. Mails are counted, and forgotten.
 *
 *     EHLO client            250-..., 250 STARTTLS
 *     STARTTLS               220, and from the next byte on there is TLS
 *     EHLO client            again: what was said in plain text does not count any more
 *     MAIL FROM:<a@b>  RCPT TO:<c@d>  DATA  ...  .  RSET  NOOP  QUIT
 *
 * Somebody between client and server can put lines behind the client's STARTTLS, to have them
 * taken for encrypted ones (CVE-2011-0411). Here they are not: what came with that line is given to
 * TLS, which knows what it thinks of "MAIL FROM".
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"
#include "tls_server.h"

#include <eddy/eddy.h>

#include <ctype.h>
#include <strings.h>

enum {
    LONGEST_LINE = 1000, /* RFC 5321 4.5.3.1.6 */
    LONGEST_ADDRESS = 256,
    LARGEST_MAIL = 1 << 20,
};

struct session {
    struct eddy_line line;
    struct eddy_tls *tls; /* the program's */
    char name[EDDY_ADDR_TEXT];
    bool greeted;
    char from[LONGEST_ADDRESS + 1]; /* "" before MAIL */
    unsigned recipients;
    bool in_data;
    size_t size; /* of the mail so far */
};

static struct session *session_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct session, line);
}

static void reply(struct session *s, const char *text)
{
    eddy_transport_printf(s->line.base.transport, "%s\r\n", text);
}

static bool is_encrypted(const struct session *s)
{
    struct eddy_tls_info tls;

    return eddy_tls_info(s->line.base.transport, &tls) == 0;
}

/* ---- commands ---- */

static void forget_mail(struct session *s)
{
    s->from[0] = '\0';
    s->recipients = 0;
    s->size = 0;
}

static void ehlo(struct session *s, const char *client)
{
    (void)client;
    forget_mail(s);
    s->greeted = true;
    reply(s, is_encrypted(s) ? "250 at your service, in private"
                             : "250-at your service\r\n250 STARTTLS");
}

/* Our answer goes out before the handshake, in plain text. Nothing that was said before it counts
 * behind it. If it fails, connection_lost tells. */
static void starttls(struct session *s, const char *nothing)
{
    struct eddy_transport *t = s->line.base.transport;
    struct eddy_error err;

    if (*nothing || is_encrypted(s) || !s->greeted) {
        reply(s, *nothing ? "501 STARTTLS has no argument" : "503 not now");
        return;
    }
    reply(s, "220 go ahead");
    forget_mail(s);
    s->greeted = false;
    if (eddy_start_tls(t,
                       EDDY_START_TLS(.tls = s->tls, .server_side = true,
                                      .handshake_timeout = EDDY_SEC(10), .error = &err),
                       NULL) < 0)
        eddy_transport_abort(t, &err);
}

/* "<a@b>", maybe with parameters behind it. Addresses are printed, so nothing else than ASCII is
 * taken. */
static bool read_address(const char *text, char *buf, size_t size)
{
    const char *end = strchr(text, '>');

    if (*text != '<' || !end || (size_t)(end - text) > size)
        return false;
    for (const char *c = text; c < end; c++)
        if (!isgraph((unsigned char)*c))
            return false;
    snprintf(buf, size, "%.*s", (int)(end - text - 1), text + 1);
    return true;
}

static void mail(struct session *s, const char *argument)
{
    if (!is_encrypted(s))
        reply(s, "530 must issue a STARTTLS command first");
    else if (!s->greeted || s->from[0])
        reply(s, "503 not now");
    else if (strncasecmp(argument, "FROM:", 5) != 0 ||
             !read_address(argument + 5, s->from, sizeof(s->from)) || !s->from[0])
        reply(s, "501 MAIL FROM:<address>?");
    else
        reply(s, "250 fine");
}

static void rcpt(struct session *s, const char *argument)
{
    char to[LONGEST_ADDRESS + 1];

    if (!s->from[0]) {
        reply(s, "503 not now");
    } else if (strncasecmp(argument, "TO:", 3) != 0 ||
               !read_address(argument + 3, to, sizeof(to))) {
        reply(s, "501 RCPT TO:<address>?");
    } else {
        s->recipients++;
        reply(s, "250 fine");
    }
}

static void data(struct session *s, const char *nothing)
{
    (void)nothing;
    if (!s->recipients) {
        reply(s, "503 not now");
        return;
    }
    s->in_data = true;
    reply(s, "354 until a line with a dot");
}

static void rset(struct session *s, const char *nothing)
{
    (void)nothing;
    forget_mail(s);
    reply(s, "250 forgotten");
}

static void noop(struct session *s, const char *nothing)
{
    (void)nothing;
    reply(s, "250 nothing done");
}

static void quit(struct session *s, const char *nothing)
{
    (void)nothing;
    reply(s, "221 good-bye");
    eddy_transport_close(s->line.base.transport);
}

static const struct command {
    const char *verb;
    void (*run)(struct session *s, const char *argument);
} commands[] = {
    {"EHLO", ehlo}, {"STARTTLS", starttls}, {"MAIL", mail}, {"RCPT", rcpt},
    {"DATA", data}, {"RSET", rset},         {"NOOP", noop}, {"QUIT", quit},
};

static void run_command(struct session *s, char *text)
{
    size_t len = strcspn(text, " ");

    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strlen(commands[i].verb) == len && strncasecmp(text, commands[i].verb, len) == 0) {
            commands[i].run(s, text + len + strspn(text + len, " "));
            return;
        }
    reply(s, "500 what is that?");
}

/* ---- mails ---- */

static void mail_ends(struct session *s)
{
    struct eddy_tls_info tls;

    s->in_data = false;
    if (s->size > LARGEST_MAIL) {
        reply(s, "552 that is too much");
    } else if (eddy_tls_info(s->line.base.transport, &tls) == 0) {
        printf("%s: a mail from %s to %u: %zu bytes, by %s\n", s->name, s->from, s->recipients,
               s->size, tls.version);
        reply(s, "250 taken");
    }
    forget_mail(s);
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct session *s = session_of(l);
    char text[LONGEST_LINE + 1];

    if (s->in_data && len == 1 && *line == '.') {
        mail_ends(s);
    } else if (s->in_data) {
        if (s->size <= LARGEST_MAIL)
            s->size += len - (len && *line == '.') + 1; /* a dot before it was added */
    } else if (len > LONGEST_LINE || memchr(line, '\0', len)) {
        reply(s, "500 what is that?");
    } else {
        memcpy(text, line, len);
        text[len] = '\0';
        run_command(s, text);
    }
}

/* ---- clients ---- */

static int init(struct eddy_line *l, void *arg)
{
    session_of(l)->tls = arg;
    return 0;
}

static void connection_made(struct eddy_line *l, struct eddy_transport *t)
{
    struct session *s = session_of(l);
    struct eddy_addr peer = {0};

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, s->name, sizeof(s->name));
    reply(s, "220 starttls_smtp_server");
}

/* A client that does not read its answers is not asked for more. */
static void pause_writing(struct eddy_line *l)
{
    eddy_transport_pause_reading(l->base.transport);
}

static void resume_writing(struct eddy_line *l)
{
    eddy_transport_resume_reading(l->base.transport);
}

static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    if (err)
        printf("%s left: %s\n", session_of(l)->name, error_text(err));
}

static const struct eddy_line_class smtp = {
    EDDY_LINE_CLASS(struct session, line),
    .longest = LONGEST_LINE,
    .init = init,
    .connection_made = connection_made,
    .line_received = line_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
};

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *host = "127.0.0.1", *cert = NULL, *key = NULL;
    int port = 7000;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend), OPTION_HOST(&host), OPTION_LISTEN_PORT(&port),
        OPTION_CERT(&cert),       OPTION_KEY(&key),   {0},
    };
    parse_options(argc, argv, "", "Takes mails, after STARTTLS, and counts their bytes.", options);
    if (key && !cert)
        bad_usage(argv, "--key is for a --cert");

    struct eddy_tls *tls =
        make_server_context(argv, host, EDDY_TLS_SERVER(.cert_file = cert, .key_file = key));
    if (!tls)
        return 1;
    /* The server is one of plain text: its context is for those who ask. */
    int res = eddy_serve(&smtp.base, EDDY_SERVER(.host = host, .port = port, .arg = tls,
                                                 .idle_timeout = EDDY_SEC(60), .started = started,
                                                 .loop = EDDY_LOOP(.backend = backend)));
    eddy_tls_unref(tls);
    return res < 0;
}
