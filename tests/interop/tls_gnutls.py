#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 120
# clause: X13 X14 X15 X17 X32
"""gnutls-cli and gnutls-serv with our TLS, of versions 1.2 and 1.3. (gnutls-serv cannot be told to listen on one address only.)"""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import Failure, check, main
from support import tls
from support.others import free_port, need, start, wait_size

need("gnutls-cli", "gnutls-serv")

# It reads its input by lines.
BIG = b"".join(b"%07d is a line of a text that is long\n" % number for number in range(30000))


def only(version):
    return f"NORMAL:-VERS-ALL:+VERS-{version.replace('v', '')}"


def gnutls_cli(examples, port, *options, version=None, ca=None, **more):
    """It ends with its input. What it says of the connection is in its log, the data alone in its output."""
    log = tls.write("gnutls.log", b"")
    priority = ("--priority", only(version)) if version else ()
    return start(examples, "gnutls-cli", "-p", port, "--x509cafile", ca or tls.authority(), "--verify-hostname", "localhost",
                 "--logfile", log, *priority, *options, "127.0.0.1", **more)


def said():
    return tls.read("gnutls.log").decode()


def gnutls_serv(examples, *options, version=None, cert=None, **more):
    """It and its port."""
    cert = cert or tls.certificate()
    priority = ("--priority", only(version)) if version else ()
    for _ in range(5):
        port = free_port()
        server = start(examples, "gnutls-serv", "-p", port, "--x509certfile", cert, "--x509keyfile", cert, *priority, *options, **more)
        if tls.wait_output(server, r"listening on [^\n]*done|bind\(\) failed").group(0).endswith("done"):
            return server, port
        server.kill()
    raise Failure("no free port")


def both_versions(case):
    def cases(examples):
        for version in ("TLSv1.2", "TLSv1.3"):
            case(examples, version)
    cases.__name__ = case.__name__
    return cases


# ---- its client, our server ----


@both_versions
def client_says_and_hears(examples, version):
    server, port = tls.serve(examples, "--echo", "--alpn", "h2,http/1.1")
    client = gnutls_cli(examples, port, "--alpn", "http/1.1", "--sni-hostname", "example.org", version=version, talker=True)
    tls.made(server, version=version, alpn="http/1.1", sni="example.org")
    client.say(b"hello\n")
    tls.wait_output(client, "hello\n")
    client.end_input()
    client.finish(err=".*")
    server.wait_line("eof")
    tls.lost(server)
    check("Application protocol: http/1.1" in said(), said())
    tls.stop(server)


def old_versions_are_refused(examples):
    server, port = tls.serve(examples)
    for version in ("TLSv1.1", "TLSv1.0"):
        text = tls.finish(gnutls_cli(examples, port, version=version)) + said()
        check("protocol version" in text, text)
    tls.stop(server)


def client_ends_first(examples):
    """By close_notify; it goes on listening."""
    server, port = tls.serve(examples, "--keep", "--show", talker=True)
    client = gnutls_cli(examples, port, version="TLSv1.3", stdin=b"first words\n")
    server.wait_line(r"got first words\\x0a")
    server.wait_line("eof")
    server.say(b"send last words\nclose\n")
    client.finish(err=".*")
    check(client.out == b"last words\n", client.out)
    tls.lost(server)
    tls.stop(server)


def client_resumes(examples):
    greeting = tls.write("greeting", b"hello, client\n")
    server, port = tls.serve(examples, "--send", greeting)
    for options in (("--waitresumption", "--priority", only("TLSv1.3")), ("--priority", only("TLSv1.2")), ("--noticket", "--priority", only("TLSv1.2"))):
        after = getattr(server, "index", 0)
        client = gnutls_cli(examples, port, "--resume", *options, talker=True)
        tls.made(server, after, resumed="no")
        tls.made(server, server.index, resumed="yes")
        client.end_input()
        client.finish(err=".*")
        check("This is a resumed session" in said(), said())
    tls.stop(server)


def client_sends_early_data(examples):
    greeting = tls.write("greeting", b"hello, client\n")
    server, port = tls.serve(examples, "--send", greeting, "--max-early", 1000)
    client = gnutls_cli(examples, port, "--resume", "--waitresumption", "--earlydata", tls.write("early", b"early bird\n"), talker=True)
    tls.made(server, early="no")
    server.wait_line(r"early early bird\\x0a")
    tls.made(server, server.index - 2, resumed="yes")
    client.end_input()
    client.finish(err=".*")
    tls.stop(server)


@both_versions
def client_shows_a_certificate(examples, version):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = tls.serve(examples, "--clients", "must", "--ca", tls.authority())
    client = gnutls_cli(examples, port, "--x509certfile", good, "--x509keyfile", good, version=version, stdin=b"")
    client.finish(err=".*")
    tls.made(server, version=version, verified="yes", peer="CN=client of the tests")
    for options in ((), ("--x509certfile", bad, "--x509keyfile", bad)):
        client = gnutls_cli(examples, port, *options, version=version, talker=True)
        text = tls.finish(client) + said()
        check(re.search("Fatal error|Received alert|fatal alert", text), text)
    check(len([line for line in server.lines() if line.startswith("made")]) == 1, server.lines())
    tls.stop(server)


def client_changes_keys(examples):
    server, port = tls.serve(examples, "--echo", talker=True)
    client = gnutls_cli(examples, port, "--inline-commands", version="TLSv1.3", talker=True)
    for number, command in enumerate(("rekey1", "rekey", "rekey1", "rekey")):
        client.say(f"^{command}^\nafter {number}\n".encode())
        tls.wait_output(client, f"after {number}\n")
        server.say(b"update both\nsend ours %d\n" % number)
        tls.wait_output(client, f"ours {number}\n")
    client.end_input()
    client.finish(err=".*")
    tls.lost(server)
    check(said().count("Rekey was completed") == 4, said())
    tls.stop(server)


def client_may_not_renegotiate(examples):
    server, port = tls.serve(examples, "--echo")
    client = gnutls_cli(examples, port, "--inline-commands", version="TLSv1.2", talker=True)
    client.say(b"before\n")
    tls.wait_output(client, "before\n")
    client.say(b"^renegotiate^\n")
    tls.wait_output(client, "(?i)renegotiation is allowed|no renegotiation|rehandshake|alert")
    client.process.kill()
    tls.lost(server, ".*")
    check(len([line for line in server.lines() if line.startswith("made")]) == 1, server.lines())
    tls.stop(server)


@both_versions
def much_both_ways(examples, version):
    sent = tls.write("big", BIG)
    saved = tls.write("saved", b"")
    server, port = tls.serve(examples, "--send", sent, "--save", saved, "--expect", len(BIG), "--piece", 777)
    client = gnutls_cli(examples, port, version=version, talker=True)
    client.say(BIG)
    wait_size(client, len(BIG))
    tls.lost(server)
    client.end_input()
    tls.finish(client)
    check(bytes(client.out) == BIG, "it received", len(client.out), "bytes")
    check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
    tls.stop(server)


@both_versions
def stapled_for_a_client(examples, version):
    server, port = tls.serve(examples, "--ocsp", tls.ocsp_response(tls.certificate()))
    response = tls.write("gnutls.ocsp", b"")
    gnutls_cli(examples, port, "--save-ocsp", response, version=version).finish(err=".*")
    check(tls.read("gnutls.ocsp") == tls.read("server.ocsp"), "another response")
    tls.stop(server)


@both_versions
def certificates_of_every_kind(examples, version):
    for kind in ("ec", "rsa", "rsa-pss", "ed25519"):
        cert = tls.certificate("server" if kind == "ec" else kind, kind)
        server, port = tls.serve(examples, cert=cert)
        gnutls_cli(examples, port, version=version).finish(err=".*")
        tls.made(server, version=version)
        tls.stop(server)
    server, port = tls.serve(examples, cert=tls.behind_intermediate())
    gnutls_cli(examples, port, version=version).finish(err=".*")
    tls.made(server, version=version)
    text = tls.finish(gnutls_cli(examples, port, version=version, ca=tls.authority("other-ca"))) + said()
    check("NOT trusted" in text, text)
    tls.stop(server)


# ---- its server, our client ----


@both_versions
def server_says_and_hears(examples, version):
    server, port = gnutls_serv(examples, "--echo", "--alpn", "h2", "--disable-client-cert", version=version)
    client = tls.connect(examples, port, "--alpn", "http/1.1,h2", "--show", talker=True)
    tls.made(client, version=version, verified="yes", alpn="h2")
    client.say(b"send hello\n")
    client.wait_line(r"got hello\\x0a")
    client.say(b"close\n")
    tls.lost(client)
    client.finish()
    tls.failed(tls.connect(examples, port, host="wrong.example"), "certificate is not valid for 'wrong.example'")
    server.kill()


def we_end_first(examples):
    """What it has to say to our last words is heard."""
    server, port = gnutls_serv(examples, "--echo", "--disable-client-cert", version="TLSv1.3")
    client = tls.connect(examples, port, "--show", "--send", tls.write("greeting", b"last words\n"), "--end")
    client.wait_line(r"got last words\\x0a")
    tls.lost(client, ".*")
    tls.finish(client)
    server.kill()


def old_servers_are_refused(examples):
    for version in ("TLSv1.1", "TLSv1.0"):
        server, port = gnutls_serv(examples, "--disable-client-cert", version=version)
        tls.failed(tls.connect(examples, port), "protocol version|no version in common|handshake failure")
        server.kill()


def we_resume(examples):
    for version, options in (("TLSv1.3", ()), ("TLSv1.2", ()), ("TLSv1.2", ("--noticket",))):
        server, port = gnutls_serv(examples, "--echo", "--disable-client-cert", *options, version=version)
        client = tls.connect(examples, port, "--send", tls.write("greeting", b"hello\n"), "--expect", 6, "--times", 3)
        client.finish()
        made = [line for line in client.lines() if line.startswith("made")]
        check(["resumed=yes" in line for line in made] == [False, True, True], version, *options, made)
        server.kill()


def we_send_early_data(examples):
    server, port = gnutls_serv(examples, "--echo", "--disable-client-cert", "--earlydata", "--maxearlydata", 1000, version="TLSv1.3")
    client = tls.connect(examples, port, "--early", "early bird", "--send", tls.write("greeting", b"hello\n"), "--expect", 6, "--times", 2)
    tls.made(client, early="no")
    tls.made(client, client.index, resumed="yes", early="yes")
    client.finish()
    server.kill()


@both_versions
def we_show_a_certificate(examples, version):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = gnutls_serv(examples, "--echo", "--require-client-cert", "--verify-client-cert", "--x509cafile", tls.authority(),
                               version=version)
    client = tls.connect(examples, port, "--cert", good, "--send", tls.write("greeting", b"hello\n"), "--expect", 6)
    tls.made(client, version=version)
    client.finish()
    for options in (("--cert", bad), ()):
        client = tls.connect(examples, port, *options)
        client.wait_line("(lost|failed).*(alert|closed|truncated|reset).*")
        tls.finish(client)
    server.kill()


@both_versions
def much_both_ways_with_a_server(examples, version):
    """It sends back what it gets, line by line."""
    sent = tls.write("big", BIG)
    saved = tls.write("saved", b"")
    server, port = gnutls_serv(examples, "--echo", "--crlf", "--quiet", "--disable-client-cert", version=version)
    client = tls.connect(examples, port, "--send", sent, "--save", saved, "--expect", len(BIG), "--piece", 7777)
    tls.lost(client)
    client.finish()
    check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
    server.kill()


@both_versions
def stapled_by_a_server(examples, version):
    cert = tls.certificate()
    for status, says in (("good", None), ("revoked", "revoked")):
        server, port = gnutls_serv(examples, "--echo", "--disable-client-cert", "--ocsp-response", tls.ocsp_response(cert, status),
                                   "--ignore-ocsp-response-errors", version=version, cert=cert)
        client = tls.connect(examples, port, "--require-ocsp", talker=True)
        if says:
            tls.failed(client, says)
        else:
            tls.made(client, version=version, verified="yes")
            client.say(b"close\n")
            client.finish()
        server.kill()


main(client_says_and_hears, old_versions_are_refused, client_ends_first, client_resumes, client_sends_early_data,
     client_shows_a_certificate, client_changes_keys, client_may_not_renegotiate, much_both_ways, stapled_for_a_client,
     certificates_of_every_kind,
     server_says_and_hears, we_end_first, old_servers_are_refused, we_resume, we_send_early_data, we_show_a_certificate,
     much_both_ways_with_a_server, stapled_by_a_server)
