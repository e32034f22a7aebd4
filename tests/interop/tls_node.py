#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 120
# clause: X13 X14 X15 X32
"""Node's tls as client and as server of our TLS, of versions 1.2 and 1.3."""

import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support import tls
from support.others import need, start

need("node")

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "tls_node.js")
BIG = os.urandom(1 << 20) * 4 + b"the end"


def node(examples, side, **options):
    return start(examples, "node", SCRIPT, side, json.dumps(options), talker=True)


def node_client(examples, port, **options):
    return node(examples, "client", port=port, **{"ca": tls.authority(), **options})


def node_server(examples, **options):
    server = node(examples, "server", **{"cert": tls.certificate(), "ca": tls.authority(), **options})
    return server, server.listening()[1]


def both_versions(case):
    def cases(examples):
        for version in ("TLSv1.2", "TLSv1.3"):
            case(examples, version)
    cases.__name__ = case.__name__
    return cases


# ---- its client, our server ----


@both_versions
def client_says_and_hears(examples, version):
    other = tls.certificate("other", names="DNS:other.example")
    server, port = tls.serve(examples, "--echo", "--alpn", "h2,http/1.1", "--name", f"other.example={other}")
    client = node_client(examples, port, version=version, alpn=["spdy/1", "http/1.1"])
    client.wait_line(f"made {version} alpn=http/1.1 sni=localhost resumed=no verified=yes peer=server of the tests")
    client.say(b"send hello\n")
    client.wait_line(r'got "hello\\n"')
    client.say(b"end\n")
    client.wait_line("eof")
    client.wait_line("closed, 6 received")
    client.finish()
    tls.made(server, version=version, alpn="http/1.1", sni="localhost")
    tls.lost(server)
    client = node_client(examples, port, version=version, servername="other.example")
    client.wait_line("made .*sni=other.example .*peer=other of the tests")
    client.say(b"end\n")
    client.finish()
    client = node_client(examples, port, version=version, servername="wrong.example")
    client.wait_line("failed ERR_TLS_CERT_ALTNAME_INVALID.*")
    client.finish()
    client = node_client(examples, port, version=version, alpn=["spdy/1"])
    client.wait_line("failed .*(?i:no.application.protocol).*")
    client.finish()
    tls.stop(server)


@both_versions
def client_resumes(examples, version):
    server, port = tls.serve(examples, "--send", tls.write("greeting", b"hello\n"))
    client = node_client(examples, port, version=version, times=3, expect=6)
    client.finish()
    made = [line for line in client.lines() if line.startswith("made")]
    check(["resumed=yes" in line for line in made] == [False, True, True], made)
    tls.stop(server)


@both_versions
def client_shows_a_certificate(examples, version):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = tls.serve(examples, "--clients", "must", "--ca", tls.authority())
    client = node_client(examples, port, version=version, cert=good)
    tls.made(server, version=version, verified="yes", peer="CN=client of the tests")
    client.wait_line("made.*")
    client.say(b"end\n")
    client.finish()
    for cert, says in ((bad, "unknown.ca"), (None, "certificate.required" if version == "TLSv1.3" else "handshake.failure")):
        client = node_client(examples, port, version=version, cert=cert)
        client.wait_line(f"(error|failed) .*(?i:{says}).*")
        client.finish()
    tls.stop(server)


def halves_end_apart(examples):
    """Under TLS 1.3: the one side, then the other, both ways round."""
    server, port = tls.serve(examples, "--keep", "--show", talker=True)
    client = node_client(examples, port, version="TLSv1.3")
    client.wait_line("made.*")
    client.say(b"send first\nend\n")
    server.wait_line(r"got first\\x0a")
    server.wait_line("eof")
    server.say(b"send late words\n")
    client.wait_line(r'got "late words\\n"')
    server.say(b"close\n")
    client.wait_line("eof")
    client.finish()
    tls.lost(server)
    after = server.index
    client = node_client(examples, port, version="TLSv1.3", keep=True)
    tls.made(server, after)
    server.say(b"send first\neof\n")
    client.wait_line(r'got "first\\n"')
    client.wait_line("eof")
    client.say(b"send late words\n")
    server.wait_line(r"got late words\\x0a")
    client.say(b"end\n")
    server.wait_line("eof", after)
    server.say(b"close\n")
    tls.lost(server, after=after)
    client.finish()
    tls.stop(server)


def client_may_not_renegotiate(examples):
    server, port = tls.serve(examples, "--echo")
    client = node_client(examples, port, version="TLSv1.2")
    client.wait_line("made.*")
    client.say(b"renegotiate\n")
    client.wait_line("(error|renegotiated) .*(?i:no.renegotiation).*")
    client.say(b"destroy\n")
    tls.finish(client)
    check(len([line for line in server.lines() if line.startswith("made")]) == 1, server.lines())
    tls.stop(server)


@both_versions
def much_both_ways(examples, version):
    sent, saved, theirs = tls.write("big", BIG), tls.write("saved", b""), tls.write("theirs", b"")
    server, port = tls.serve(examples, "--send", sent, "--save", saved, "--expect", len(BIG), "--piece", 777)
    client = node_client(examples, port, version=version, send=sent, save=theirs)
    tls.lost(server)
    tls.finish(client)
    check(tls.read("theirs") == BIG, "it received", len(tls.read("theirs")), "bytes")
    check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
    tls.stop(server)


def client_is_cut_off(examples):
    server, port = tls.serve(examples, "--show")
    client = node_client(examples, port)
    client.wait_line("made.*")
    client.say(b"send last words\n")
    server.wait_line(r"got last words\\x0a")
    client.process.kill()
    tls.lost(server, ".*(truncated|reset).*")
    tls.stop(server)


# ---- its server, our client ----


@both_versions
def server_says_and_hears(examples, version):
    other = tls.certificate("other", names="DNS:other.example")
    server, port = node_server(examples, version=version, alpn=["h2", "http/1.1"], names={"other.example": other})
    client = tls.connect(examples, port, "--alpn", "http/1.1", "--show", talker=True)
    tls.made(client, version=version, verified="yes", alpn="http/1.1", peer="CN=server of the tests")
    server.wait_line(f"made {version} alpn=http/1.1 sni=localhost resumed=no .*")
    client.say(b"send hello\n")
    server.wait_line(r'got "hello\\n"')
    server.say(b"send hello, client\nend\n")
    client.wait_line(r"got hello, client\\x0a")
    client.wait_line("eof")
    tls.lost(client)
    client.finish()
    client = tls.connect(examples, port, host="other.example", talker=True)
    tls.made(client, peer="CN=other of the tests")
    client.say(b"close\n")
    client.finish()
    tls.failed(tls.connect(examples, port, host="wrong.example"), "certificate is not valid for 'wrong.example'")
    tls.failed(tls.connect(examples, port, "--alpn", "spdy/1"), "no application protocol")
    server.kill()


@both_versions
def we_resume(examples, version):
    server, port = node_server(examples, version=version, send=tls.write("greeting", b"hello\n"))
    client = tls.connect(examples, port, "--expect", 6, "--times", 3)
    client.finish()
    made = [line for line in client.lines() if line.startswith("made")]
    check(["resumed=yes" in line for line in made] == [False, True, True], made)
    server.kill()


@both_versions
def we_show_a_certificate(examples, version):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = node_server(examples, version=version, requestCert=True, send=tls.write("greeting", b"hello\n"))
    client = tls.connect(examples, port, "--cert", good, "--expect", 6)
    server.wait_line(f"made {version} .*verified=yes peer=client of the tests")
    client.finish()
    for options in (("--cert", bad), ()):
        client = tls.connect(examples, port, *options)
        client.wait_line("(failed|lost).*(alert|closed|truncated|reset).*")
        tls.finish(client)
    server.kill()


def halves_end_apart_with_a_server(examples):
    server, port = node_server(examples, version="TLSv1.3", keep=True)
    client = tls.connect(examples, port, "--keep", "--show", talker=True)
    server.wait_line("made.*")
    client.say(b"send first\neof\n")
    server.wait_line(r'got "first\\n"')
    server.wait_line("eof")
    server.say(b"send late words\n")
    client.wait_line(r"got late words\\x0a")
    server.say(b"end\n")
    client.wait_line("eof")
    client.say(b"close\n")
    tls.lost(client)
    client.finish()
    server.kill()


@both_versions
def much_both_ways_with_a_server(examples, version):
    sent, saved, theirs = tls.write("big", BIG), tls.write("saved", b""), tls.write("theirs", b"")
    server, port = node_server(examples, version=version, send=sent, save=theirs)
    client = tls.connect(examples, port, "--send", sent, "--save", saved, "--expect", len(BIG), "--piece", 7777)
    tls.lost(client)
    server.wait_line(f"closed, {len(BIG)} received")
    check(tls.read("theirs") == BIG, "it received something else")
    check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
    client.finish()
    server.kill()


def server_is_cut_off(examples):
    server, port = node_server(examples)
    client = tls.connect(examples, port, "--show")
    server.wait_line("made.*")
    server.say(b"send last words\n")
    client.wait_line(r"got last words\\x0a")
    server.process.kill()
    tls.lost(client, ".*(truncated|reset).*")
    client.finish(1)


main(client_says_and_hears, client_resumes, client_shows_a_certificate, halves_end_apart, client_may_not_renegotiate,
     much_both_ways, client_is_cut_off,
     server_says_and_hears, we_resume, we_show_a_certificate, halves_end_apart_with_a_server, much_both_ways_with_a_server,
     server_is_cut_off)
