/*
 * Sends a mail by SMTP, and only in private: it begins in plain text, has the connection encrypted
 * by STARTTLS (RFC 3207), and says nothing of the mail before that.
 *
 * Whoever sits between client and server can take the offer of STARTTLS out of the server's answer,
 * so a server without it is an error; and can put lines behind the server's last plain one, to have
 * them taken for encrypted ones. Those too are an error, which eddy_start_tls reports.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>

#include <strings.h>

/* Whose answer is waited for. */
enum step { GREETING, HELLO, STARTTLS, HANDSHAKE, HELLO_AGAIN, FROM, TO, DATA, TEXT, QUIT };

static const int expected[] = {
    [GREETING] = 220, [HELLO] = 250, [STARTTLS] = 220, [HANDSHAKE] = 0, [HELLO_AGAIN] = 250,
    [FROM] = 250,     [TO] = 250,    [DATA] = 354,     [TEXT] = 250,    [QUIT] = 221,
};

struct client {
    struct eddy_line line;
    struct eddy_loop *loop;
    struct eddy_tls *tls;
    const char *server_name, *from, *to, *text;
    enum step step;
    bool offers_tls;
    struct eddy_future *upgrade;
    struct eddy_done upgraded;
    int exit_code; /* -1: not known yet */
};

static struct client *client_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct client, line);
}

static void complain(struct client *c, const char *what)
{
    fprintf(stderr, "starttls_smtp_client: %s\n", what);
    c->exit_code = 1;
}

/* ---- what is said ---- */

static void say(struct client *c, enum step next, const char *command, const char *argument)
{
    printf("> %s%s\n", command, argument);
    eddy_transport_printf(c->line.base.transport, "%s%s\r\n", command, argument);
    c->step = next;
}

static void say_address(struct client *c, enum step next, const char *command, const char *address)
{
    char argument[300];

    snprintf(argument, sizeof(argument), "<%s>", address);
    say(c, next, command, argument);
}

/* Lines end with CR LF, and one that begins with a dot gets another. */
static void say_text(struct client *c)
{
    struct eddy_transport *t = c->line.base.transport;

    eddy_transport_printf(t, "From: <%s>\r\nTo: <%s>\r\n\r\n", c->from, c->to);
    for (const char *line = c->text; *line;) {
        int len = (int)strcspn(line, "\n");
        eddy_transport_printf(t, "%s%.*s\r\n", *line == '.' ? "." : "", len, line);
        line += len + (line[len] == '\n');
    }
    say(c, TEXT, ".", "");
}

/* ---- the upgrade ---- */

/* It is encrypted, and the server is who it should be: what it said before may have been anybody's,
 * so it is asked again. (If it has failed, connection_lost follows, and tells.) */
static void upgraded(struct eddy_done *done, struct eddy_future *f)
{
    struct client *c = EDDY_CONTAINER_OF(done, struct client, upgraded);
    struct eddy_tls_info tls;

    if (eddy_future_result(f, NULL) < 0 || eddy_tls_info(c->line.base.transport, &tls) < 0)
        return;
    printf("encrypted: %s, %s\n", tls.version, tls.cipher);
    say(c, HELLO_AGAIN, "EHLO ", "localhost");
}

/* From here on the transport is another one, c->line.base.transport. */
static void upgrade(struct client *c)
{
    struct eddy_transport *t = c->line.base.transport;
    struct eddy_error err;

    c->step = HANDSHAKE;
    if (eddy_start_tls(t,
                       EDDY_START_TLS(.tls = c->tls, .server_hostname = c->server_name,
                                      .handshake_timeout = EDDY_SEC(10), .error = &err),
                       &c->upgrade) < 0) {
        eddy_transport_abort(t, &err);
        return;
    }
    c->upgraded.fn = upgraded;
    eddy_future_add_done_callback(c->upgrade, &c->upgraded);
}

/* ---- answers ---- */

static void give_up(struct client *c, const char *why)
{
    complain(c, why);
    eddy_transport_abort(c->line.base.transport, NULL);
}

static void go_on(struct client *c)
{
    switch (c->step) {
    case GREETING:
        say(c, HELLO, "EHLO ", "localhost");
        break;
    case HELLO:
        if (c->offers_tls)
            say(c, STARTTLS, "STARTTLS", "");
        else
            give_up(c, "the server offers no STARTTLS, and in plain text no mail is sent");
        break;
    case STARTTLS:
        upgrade(c);
        break;
    case HELLO_AGAIN:
        say_address(c, FROM, "MAIL FROM:", c->from);
        break;
    case FROM:
        say_address(c, TO, "RCPT TO:", c->to);
        break;
    case TO:
        say(c, DATA, "DATA", "");
        break;
    case DATA:
        say_text(c);
        break;
    case TEXT:
        c->exit_code = 0; /* the mail is the server's, whatever comes now */
        say(c, QUIT, "QUIT", "");
        break;
    default: /* QUIT */
        eddy_transport_close(c->line.base.transport);
    }
}

/* Answers are "250-text", ..., "250 text". */
static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = client_of(l);
    char text[600], *end;

    snprintf(text, sizeof(text), "%.*s", (int)len, line);
    for (char *at = text; *at; at++) /* it may be anything, and is printed */
        if (*at < ' ' || *at > '~')
            *at = '?';
    printf("< %s\n", text);
    long code = strtol(text, &end, 10);
    if (end != text + 3 || (*end && *end != ' ' && *end != '-')) {
        give_up(c, "this is no SMTP");
        return;
    }
    if (c->step == HELLO && *end && strcasecmp(end + 1, "STARTTLS") == 0)
        c->offers_tls = true;
    if (*end == '-')
        return;
    if (code == expected[c->step])
        go_on(c);
    else
        give_up(c, "that is not the answer to go on with");
}

/* ---- the connection ---- */

static void connect_failed(struct eddy_line *l, const struct eddy_error *err)
{
    complain(client_of(l), error_text(err));
}

static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct client *c = client_of(l);

    eddy_future_remove_done_callback(&c->upgraded);
    eddy_future_error(c->upgrade); /* looked at: err is the same */
    eddy_future_unref(c->upgrade);
    c->upgrade = NULL;
    if (c->exit_code >= 0)
        return; /* all is said and done */
    complain(c, err ? error_text(err) : "the server has closed the connection");
}

static void fini(struct eddy_line *l)
{
    eddy_loop_stop(client_of(l)->loop);
}

static const struct eddy_line_class smtp = {
    EDDY_LINE_CLASS(struct client, line), .longest = 2000,
    .line_received = line_received,       .connect_failed = connect_failed,
    .connection_lost = connection_lost,   .fini = fini,
};

/* ---- the program ---- */

static int run(struct client *c, const char *backend, const char *host, int port)
{
    struct eddy_error err;

    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &c->loop) < 0) {
        complain(c, error_text(&err));
        return 1;
    }
    eddy_line_init(&c->line, &smtp);
    if (eddy_create_connection(c->loop, &c->line.base,
                               EDDY_CONNECTION(.host = host, .port = port, .timeout = EDDY_SEC(10),
                                               .idle_timeout = EDDY_SEC(60), .error = &err),
                               NULL) < 0)
        complain(c, error_text(&err));
    else if (eddy_loop_run_forever(c->loop) < 0)
        complain(c, "the loop has failed");
    eddy_loop_close(c->loop);
    eddy_loop_unref(c->loop);
    return c->exit_code != 0;
}

static const char *option_address(const char *text, void *ret)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '<' || *at == '>' || at - text > 250)
            return "an address";
    *(const char **)ret = text;
    return NULL;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *host = "127.0.0.1", *ca = NULL;
    int port = 7000;
    struct client client = {.from = "me@localhost", .to = "you@localhost", .exit_code = -1};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_CONNECT_PORT(&port),
        {"--ca", "FILE", "whom to trust, PEM (whom the system trusts)", option_text, &ca},
        {"--server-name", "NAME", "whom the server must prove to be (the host)", option_text,
         &client.server_name},
        {"--from", "ADDRESS", "who sends (me@localhost)", option_address, &client.from},
        {"--to", "ADDRESS", "who is to get it (you@localhost)", option_address, &client.to},
        {0},
    };
    int words =
        parse_options(argc, argv, "[TEXT]", "Sends a mail, in private or not at all.", options);
    if (words > 1)
        bad_usage(argv, "what is meant by '%s'?", argv[2]);
    client.text = words ? argv[1] : "Hello.";
    if (!client.server_name)
        client.server_name = host;

    struct eddy_error err;
    if (eddy_tls_new(EDDY_TLS_CLIENT(.ca_file = ca, .error = &err), &client.tls) < 0) {
        complain(&client, error_text(&err));
        return 1;
    }
    int exit_code = run(&client, backend, host, port);
    eddy_tls_unref(client.tls);
    return end_of_output("starttls_smtp_client", exit_code);
}
