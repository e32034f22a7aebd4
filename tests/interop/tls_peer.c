/*
 * A TLS server or client with everything that Eddy can be told about TLS as an option, for the
 * scripts that let it meet the programs of others. It prints a line for each thing that happens,
 * and is told by lines of its input what to do with its latest connection.
 */
#define _DEFAULT_SOURCE /* mmap */

#include "examples/common.h"

#include <eddy/eddy.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_NAMES = 8,
    MOST_PROTOCOLS = 8,
};

/* What is the same for all connections. */
static struct {
    struct eddy_loop *loop; /* a client's */
    struct eddy_connection_opts target;
    struct eddy_tls *tls;
    long times; /* so many connections are still to be made, one after the other */
    int exit_code;

    const char *send_file, *save_file;
    int fd; /* of send_file */
    const char *data;
    size_t data_len;
    long piece;  /* bytes of each write */
    long expect; /* closes when so many bytes have come and everything is sent; 0: does not */
    bool by_sendfile, end, keep, echo, http, show, commands;

    struct peer *latest;
    struct commands *input; /* NULL: there is none, or no more */
} all = {.piece = 65536, .times = 1};

struct peer {
    struct eddy_protocol base;
    size_t sent;
    size_t received;
    bool all_sent;
};

struct commands {
    struct eddy_line line;
};

static struct peer *peer_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct peer, base);
}

/* ---- what it says ---- */

static const char *yes_or_no(bool b)
{
    return b ? "yes" : "no";
}

static void print_connection(struct eddy_transport *t)
{
    struct eddy_tls_info info;
    struct eddy_tls_cert *cert = NULL;

    if (eddy_tls_info(t, &info) < 0) {
        printf("made\n");
        return;
    }
    eddy_tls_peer_cert(t, 0, &cert);
    printf("made %s %s group=%s alpn=%s sni=%s resumed=%s early=%s verified=%s peer=%s\n",
           info.version, info.cipher, info.group ? info.group : "-", info.alpn ? info.alpn : "-",
           info.server_hostname ? info.server_hostname : "-", yes_or_no(info.resumed),
           yes_or_no(info.early_data), yes_or_no(info.verified), cert ? cert->subject : "-");
    eddy_tls_cert_free(cert);
}

static void print_text(const char *what, const void *data, size_t len)
{
    const unsigned char *c = data;

    printf("%s ", what);
    for (; len > 0; c++, len--)
        printf(*c < ' ' || *c > '~' ? "\\x%02x" : "%c", *c);
    printf("\n");
}

/* ---- sending ---- */

static void end_if_done(struct peer *p)
{
    struct eddy_transport *t = p->base.transport;

    if (!p->all_sent)
        return;
    if (all.expect > 0 && p->received >= (size_t)all.expect)
        eddy_transport_close(t);
    else if (all.end && !eddy_transport_is_closing(t) && eddy_transport_can_write_eof(t))
        eddy_transport_write_eof(t);
}

static void send_more(struct peer *p)
{
    struct eddy_transport *t = p->base.transport;

    while (p->sent < all.data_len && !eddy_transport_is_writing_paused(t)) {
        size_t n = all.data_len - p->sent;
        if (n > (size_t)all.piece)
            n = (size_t)all.piece;
        if (eddy_transport_write(t, all.data + p->sent, n) < 0)
            return;
        p->sent += n;
    }
    if (p->sent == all.data_len && !p->all_sent) {
        p->all_sent = true;
        end_if_done(p);
    }
}

/* Closing and ending take effect behind it. */
static void send_file(struct peer *p)
{
    if (eddy_transport_sendfile(p->base.transport, all.fd, NULL, NULL) < 0)
        printf("sendfile does not begin\n");
    p->all_sent = true;
    end_if_done(p);
}

static void connection_made(struct eddy_protocol *base, struct eddy_transport *t)
{
    struct peer *p = peer_of(base);

    all.latest = p;
    p->sent = p->received = 0;
    p->all_sent = false;
    print_connection(t);
    if (all.by_sendfile)
        send_file(p);
    else if (all.send_file)
        send_more(p);
    else
        p->all_sent = true;
}

static void resume_writing(struct eddy_protocol *base)
{
    struct peer *p = peer_of(base);

    if (all.echo)
        eddy_transport_resume_reading(base->transport);
    else if (!all.by_sendfile)
        send_more(p);
}

/* ---- receiving ---- */

static void save(const void *data, size_t len)
{
    FILE *f = fopen(all.save_file, "ab");

    if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        printf("%s cannot be written\n", all.save_file);
}

/* The request is not looked at: whoever asks in the same way gets the same answer. */
static void answer(struct peer *p, const char *data, size_t len)
{
    if (len < 4 || memcmp(data + len - 4, "\r\n\r\n", 4) != 0)
        return;
    eddy_transport_printf(p->base.transport,
                          "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                          all.data_len);
    eddy_transport_write(p->base.transport, all.data, all.data_len);
    eddy_transport_close(p->base.transport);
}

static void data_received(struct eddy_protocol *base, const void *data, size_t len)
{
    struct peer *p = peer_of(base);
    struct eddy_transport *t = base->transport;

    p->received += len;
    if (all.save_file)
        save(data, len);
    if (all.show)
        print_text("got", data, len);
    if (all.http)
        answer(p, data, len);
    if (all.echo && eddy_transport_write(t, data, len) == 0 && eddy_transport_is_writing_paused(t))
        eddy_transport_pause_reading(t);
    end_if_done(p);
}

static void early_data_received(struct eddy_protocol *base, const void *data, size_t len)
{
    (void)base;
    print_text("early", data, len);
}

static bool eof_received(struct eddy_protocol *base)
{
    (void)base;
    printf("eof\n");
    return all.keep;
}

static void connection_lost(struct eddy_protocol *base, const struct eddy_error *err)
{
    struct peer *p = peer_of(base);

    if (all.latest == p)
        all.latest = NULL;
    printf("lost, %zu received: %s\n", p->received, err ? error_text(err) : "clean");
    if (err)
        all.exit_code = 1;
}

static const struct eddy_protocol_class server_class = {
    EDDY_PROTOCOL_CLASS(struct peer, base), .connection_made = connection_made,
    .data_received = data_received,         .eof_received = eof_received,
    .resume_writing = resume_writing,       .connection_lost = connection_lost,
};

/* ---- the client ---- */

static void connect_failed(struct eddy_protocol *base, const struct eddy_error *err)
{
    (void)base;
    printf("failed: %s\n", error_text(err));
    all.exit_code = 1;
}

static const struct eddy_protocol_class client_class;

static int begin_connection(struct eddy_protocol *base)
{
    struct eddy_error err;

    all.target.error = &err;
    eddy_protocol_init(base, &client_class);
    int rc = eddy_create_connection(all.loop, base, &all.target, NULL);
    if (rc < 0) {
        printf("refused: %s\n", error_text(&err));
        all.exit_code = 1;
    }
    return rc;
}

static void client_fini(struct eddy_protocol *base)
{
    if (--all.times > 0 && begin_connection(base) == 0)
        return;
    all.times = 0;
    if (all.input)
        eddy_transport_close(all.input->line.base.transport);
    else
        eddy_loop_stop(all.loop);
}

static const struct eddy_protocol_class client_class = {
    EDDY_PROTOCOL_CLASS(struct peer, base), .fini = client_fini,
    .connection_made = connection_made,     .connect_failed = connect_failed,
    .data_received = data_received,         .eof_received = eof_received,
    .resume_writing = resume_writing,       .connection_lost = connection_lost,
};

/* ---- what it is told ---- */

static bool is(const char *line, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(line, word, len) == 0;
}

static void command(struct eddy_line *l, const char *line, size_t len)
{
    struct eddy_transport *t = all.latest ? all.latest->base.transport : NULL;
    int rc = 0;

    (void)l;
    if (len >= 5 && memcmp(line, "send ", 5) == 0)
        rc = eddy_transport_printf(t, "%.*s\n", (int)len - 5, line + 5);
    else if (is(line, len, "eof"))
        rc = eddy_transport_write_eof(t);
    else if (is(line, len, "close"))
        eddy_transport_close(t);
    else if (is(line, len, "abort"))
        eddy_transport_abort(t, NULL);
    else if (is(line, len, "update"))
        rc = eddy_tls_update_keys(t, false);
    else if (is(line, len, "update both"))
        rc = eddy_tls_update_keys(t, true);
    else
        rc = -EINVAL;
    printf("done %.*s: %s\n", (int)len, line, eddy_strerror(rc));
}

static void input_lost(struct eddy_line *l, const struct eddy_error *err)
{
    (void)l;
    (void)err;
    all.input = NULL;
    printf("no more commands\n");
    if (all.times == 0)
        eddy_loop_stop(all.loop);
}

static const struct eddy_line_class commands_class = {
    EDDY_LINE_CLASS(struct commands, line),
    .line_received = command,
    .connection_lost = input_lost,
};

static void read_commands(struct eddy_loop *loop)
{
    static struct commands input;

    eddy_line_init(&input.line, &commands_class);
    if (eddy_connect_read_pipe(loop, &input.line.base, EDDY_PIPE(.fd = dup(0)), NULL) < 0)
        printf("standard input cannot be read\n");
    else
        all.input = &input;
}

/* ---- options ---- */

static struct eddy_tls_opts tls_opts;
static struct eddy_tls_name names[MOST_NAMES + 1];
static const char *protocols[MOST_PROTOCOLS + 1];

static const char *option_version(const char *text, void *ret)
{
    if (strcmp(text, "1.2") != 0 && strcmp(text, "1.3") != 0)
        return "1.2 or 1.3";
    *(int *)ret = text[2] == '2' ? EDDY_TLS_1_2 : EDDY_TLS_1_3;
    return NULL;
}

static const char *option_clients(const char *text, void *ret)
{
    enum eddy_tls_clients *clients = ret;

    if (strcmp(text, "may") != 0 && strcmp(text, "must") != 0)
        return "may or must";
    *clients = text[1] == 'a' ? EDDY_TLS_CLIENTS_MAY_HAVE : EDDY_TLS_CLIENTS_MUST_HAVE;
    return NULL;
}

/* The words stay in the text's place, of the command line. */
static const char *option_protocols(const char *text, void *ret)
{
    char *word = strtok((char *)(uintptr_t)text, ",");

    (void)ret;
    for (int i = 0; word && i < MOST_PROTOCOLS; i++, word = strtok(NULL, ","))
        protocols[i] = word;
    return word ? "fewer protocols" : NULL;
}

/* "NAME=FILE", a certificate and its key. */
static const char *option_name(const char *text, void *ret)
{
    char *file = strchr((char *)(uintptr_t)text, '=');
    struct eddy_error err;
    struct eddy_tls_name *free_one = names;

    (void)ret;
    while (free_one->name)
        free_one++;
    if (!file || free_one == names + MOST_NAMES)
        return "NAME=FILE, not too often";
    *file++ = '\0';
    if (eddy_tls_new(EDDY_TLS_SERVER(.cert_file = file, .error = &err), &free_one->tls) < 0) {
        printf("%s\n", error_text(&err));
        return "a certificate and its key";
    }
    free_one->name = text;
    return NULL;
}

/* What each connection is sent. */
static bool open_file(const char *name)
{
    struct stat st;
    void *data = MAP_FAILED;

    all.fd = open(name, O_RDONLY | O_CLOEXEC);
    if (all.fd >= 0 && fstat(all.fd, &st) == 0)
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, all.fd, 0);
    if (data == MAP_FAILED)
        return false;
    all.data = data;
    all.data_len = (size_t)st.st_size;
    return true;
}

/* ---- the whole of it ---- */

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
    if (all.commands)
        read_commands(eddy_server_loop(server));
}

static int run_server(const struct eddy_loop_opts *loop, const struct eddy_server_opts *o)
{
    struct eddy_server_opts opts = *o;
    struct eddy_error err;

    opts.loop = loop;
    opts.tls = all.tls;
    opts.error = &err;
    opts.started = started;
    opts.drain_timeout = EDDY_MSEC(500); /* some peers do not answer close_notify */
    return eddy_serve(&server_class, &opts) < 0;
}

static int run_client(const struct eddy_loop_opts *opts)
{
    static struct peer peer;

    if (eddy_loop_new(opts, &all.loop) < 0)
        return 1;
    all.target.tls = all.tls;
    if (all.commands)
        read_commands(all.loop);
    if (begin_connection(&peer.base) == 0)
        eddy_loop_run_forever(all.loop);
    eddy_loop_close(all.loop);
    eddy_loop_unref(all.loop);
    return all.exit_code;
}

static int make_context(bool server)
{
    struct eddy_error err;

    tls_opts.abi_size = sizeof tls_opts;
    tls_opts.server = server;
    tls_opts.alpn = protocols[0] ? protocols : NULL;
    tls_opts.names = names[0].name ? names : NULL;
    tls_opts.early_data_received = tls_opts.max_early_data ? early_data_received : NULL;
    tls_opts.error = &err;
    if (eddy_tls_new(&tls_opts, &all.tls) == 0)
        return 0;
    printf("no context: %s\n", error_text(&err));
    return 1;
}

int main(int argc, char **argv)
{
    struct eddy_loop_opts loop = {.abi_size = sizeof loop};
    struct eddy_server_opts server = {.abi_size = sizeof server, .host = "127.0.0.1"};
    const char *early = NULL;
    long max_early = 0;
    bool plain = false;

    all.target.abi_size = sizeof all.target;
    const struct option_spec options[] = {
        OPTION_BACKEND(&loop.backend),
        {"--debug", NULL, "report failed handshakes", option_flag, &loop.debug},
        OPTION_HOST(&server.host),
        OPTION_LISTEN_PORT(&server.port),
        {"--connect", "PORT", "be a client, of this port of HOST", option_port, &all.target.port},
        {"--times", "N", "connect so often, one after the other", option_count, &all.times},
        {"--plain", NULL, "without TLS", option_flag, &plain},
        {"--cert", "FILE", "our certificate, and more of the chain", option_text,
         &tls_opts.cert_file},
        {"--key", "FILE", "its key, if not there", option_text, &tls_opts.key_file},
        {"--ca", "FILE", "whom we trust", option_text, &tls_opts.ca_file},
        {"--clients", "WHICH", "certificates of clients: may, must", option_clients,
         &tls_opts.clients},
        {"--insecure", NULL, "trust everybody", option_flag, &tls_opts.insecure_no_verification},
        {"--server-hostname", "NAME", "whom to ask for and verify", option_text,
         &all.target.server_hostname},
        {"--name", "NAME=FILE", "another certificate for this name", option_name, NULL},
        {"--strict-names", NULL, "no certificate for other names", option_flag,
         &tls_opts.strict_names},
        {"--alpn", "A,B", "protocols", option_protocols, NULL},
        {"--min", "VERSION", "1.2 or 1.3", option_version, &tls_opts.min_version},
        {"--max", "VERSION", "1.2 or 1.3", option_version, &tls_opts.max_version},
        {"--no-resumption", NULL, "no tickets, no sessions", option_flag, &tls_opts.no_resumption},
        {"--ocsp", "FILE", "a response to be stapled", option_text, &tls_opts.ocsp_file},
        {"--require-ocsp", NULL, "no connection without one", option_flag, &tls_opts.require_ocsp},
        {"--max-early", "N", "bytes of early data", option_count, &max_early},
        {"--early", "TEXT", "early data to be sent", option_text, &early},
        {"--allow-truncation", NULL, "no close_notify is needed", option_flag,
         &tls_opts.allow_truncation},
        {"--send", "FILE", "what each connection is sent", option_text, &all.send_file},
        {"--sendfile", NULL, "... by sendfile", option_flag, &all.by_sendfile},
        {"--piece", "N", "bytes of each write (65536)", option_count, &all.piece},
        {"--end", NULL, "end our side when it is sent", option_flag, &all.end},
        {"--save", "FILE", "where what comes is appended", option_text, &all.save_file},
        {"--expect", "N", "close when so much has come", option_count, &all.expect},
        {"--echo", NULL, "send back what comes", option_flag, &all.echo},
        {"--http", NULL, "send FILE as the answer to requests", option_flag, &all.http},
        {"--show", NULL, "print what comes", option_flag, &all.show},
        {"--keep", NULL, "stay open when the peer has ended its side", option_flag, &all.keep},
        {"--commands", NULL, "lines of input: send TEXT, eof, close, abort, update [both]",
         option_flag, &all.commands},
        {0},
    };
    parse_options(argc, argv, "", "A TLS server, or a client, that does as it is told.", options);
    bool client = all.target.port > 0;

    if (all.send_file && !open_file(all.send_file))
        bad_usage(argv, "%s cannot be read", all.send_file);
    if (all.http)
        all.send_file = NULL;
    tls_opts.max_early_data = (uint32_t)max_early;
    all.target.host = server.host;
    all.target.early_data = early;
    all.target.early_data_len = early ? strlen(early) : 0;
    if (!plain && make_context(!client) != 0)
        return 1;
    int exit_code = client ? run_client(&loop) : run_server(&loop, &server);
    eddy_tls_unref(all.tls);
    for (struct eddy_tls_name *n = names; n->name; n++)
        eddy_tls_unref(n->tls);
    return end_of_output("tls_peer", exit_code);
}
