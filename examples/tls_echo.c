/*
 * echo_server.c, encrypted: a context is made once, and given to the server. The protocol is the
 * same as over plain TCP; connection_made comes when the handshake is done, and what came of that
 * can be asked then.
 *
 * Without a certificate of yours it makes one on the spot, which nobody trusts but who is told to:
 * it is printed for that.
 */
#include "common.h"
#include "tls_server.h"

#include <eddy/eddy.h>

struct client {
    struct eddy_protocol base;
    char name[EDDY_ADDR_TEXT];
};

static struct client *client_of(struct eddy_protocol *p)
{
    return EDDY_PROTOCOL_SELF(p, struct client, base);
}

/* ---- who they are ---- */

/* Of a client that was verified: any other's would say whatever the client likes. */
static void print_certificate(struct eddy_transport *t)
{
    struct eddy_tls_cert *cert;

    if (eddy_tls_peer_cert(t, 0, &cert) < 0)
        return;
    printf(", certificate of %s, issued by %s", cert->subject, cert->issuer);
    eddy_tls_cert_free(cert);
}

static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct client *c = client_of(p);
    struct eddy_addr peer = {0};
    struct eddy_tls_info tls;

    eddy_transport_peername(t, &peer); /* "unnamed" if there is none */
    eddy_addr_format(&peer, c->name, sizeof(c->name));
    printf("%s joined", c->name);
    if (eddy_tls_info(t, &tls) == 0) {
        printf(": %s, %s", tls.version, tls.cipher);
        if (tls.resumed)
            printf(", resumed");
        if (tls.alpn)
            printf(", ALPN %s", tls.alpn);
        if (tls.verified)
            print_certificate(t);
    }
    printf("\n");
}

/* A client that was cut off, or that somebody else has cut off, has not said that it ends. */
static void connection_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    printf("%s left%s%s\n", client_of(p)->name, err ? ": " : "", err ? error_text(err) : "");
}

/* ---- the echo ---- */

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(p->transport, data, len);
}

/* Who sends without reading the answers is not read from. */
static void pause_writing(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(p->transport);
}

static void resume_writing(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(p->transport);
}

static const struct eddy_protocol_class echo = {
    EDDY_PROTOCOL_CLASS(struct client, base), .connection_made = connection_made,
    .data_received = data_received,           .pause_writing = pause_writing,
    .resume_writing = resume_writing,         .connection_lost = connection_lost,
};

/* ---- the program ---- */

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *host = "127.0.0.1", *alpn[] = {NULL, NULL};
    const char *cert = NULL, *key = NULL, *client_ca = NULL;
    int port = 7000;
    bool debug = false;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        OPTION_CERT(&cert),
        OPTION_KEY(&key),
        {"--client-ca", "FILE", "clients must have a certificate from these", option_text,
         &client_ca},
        {"--alpn", "NAME", "the protocol to agree on, if a client asks", option_text, &alpn[0]},
        {"--debug", NULL, "report handshakes that fail, and more", option_flag, &debug},
        {0},
    };
    parse_options(argc, argv, "", "Sends back whatever it receives, encrypted.", options);
    if (key && !cert)
        bad_usage(argv, "--key is for a --cert");

    struct eddy_tls *tls = make_server_context(
        argv, host,
        EDDY_TLS_SERVER(.cert_file = cert, .key_file = key, .ca_file = client_ca,
                        .alpn = alpn[0] ? alpn : NULL,
                        .clients = client_ca ? EDDY_TLS_CLIENTS_MUST_HAVE : EDDY_TLS_CLIENTS_ANY));
    if (!tls)
        return 1;
    /* Logs what fails, so there is nothing left to say about it here. */
    int res =
        eddy_serve(&echo, EDDY_SERVER(.host = host, .port = port, .tls = tls, .started = started,
                                      .loop = EDDY_LOOP(.backend = backend, .debug = debug)));
    eddy_tls_unref(tls);
    return res < 0;
}
