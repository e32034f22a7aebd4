#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 180
# clause: X13 X14 X15 X17 X26 X32 X33
"""openssl s_client and s_server with our TLS, of versions 1.2 and 1.3."""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support import tls
from support.others import free_port, start, wait_error

BIG = os.urandom(1 << 20) * 8 + b"the end"


def s_client(examples, port, *options, **more):
    """It ends with its input: at once, or with talker=True when that is ended."""
    return start(examples, "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", tls.authority(),
                 "-verify_return_error", *options, **more)


def s_server(examples, *options, cert=None, **more):
    """It and its port."""
    server = start(examples, "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert or tls.certificate(), *options, **more)
    return server, int(tls.wait_output(server, r"ACCEPT 127\.0\.0\.1:(\d+)").group(1))


def refused(client, alert):
    """By an alert of ours, which it reports."""
    tls.check_output(client, alert)
    check(client.process.returncode != 0, "s_client was accepted")


def both_versions(case):
    def cases(examples):
        for version, option in (("TLSv1.2", "-tls1_2"), ("TLSv1.3", "-tls1_3")):
            case(examples, version, option)
    cases.__name__ = case.__name__
    return cases


# ---- its client, our server ----


@both_versions
def client_says_and_hears(examples, version, option):
    server, port = tls.serve(examples, "--echo", "--show")
    client = s_client(examples, port, option, talker=True)
    tls.made(server, version=version, verified="no", sni="-", alpn="-", peer="-")
    client.say(b"hello\n")
    tls.wait_output(client, "hello\n")
    client.end_input()
    client.finish(err=".*")
    server.wait_line("got hello.*")
    server.wait_line("eof")
    tls.lost(server)
    tls.stop(server)


def old_versions_are_refused(examples):
    server, port = tls.serve(examples, "--debug")
    for option in ("-tls1_1", "-tls1"):
        refused(s_client(examples, port, option, "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version")
    wait_error(server, "no version in common")
    tls.stop(server)


def versions_are_limited(examples):
    server, port = tls.serve(examples, "--min", "1.3")
    refused(s_client(examples, port, "-tls1_2"), "alert protocol version")
    tls.stop(server)
    server, port = tls.serve(examples, "--max", "1.2")
    s_client(examples, port).finish(err=".*")
    tls.made(server, version="TLSv1.2")
    refused(s_client(examples, port, "-tls1_3"), "alert protocol version")
    tls.stop(server)


def weak_ciphers_are_refused(examples):
    """No key exchange without forward secrecy, no CBC, no small or old groups."""
    server, port = tls.serve(examples, cert=tls.certificate("rsa", "rsa"))
    for ciphers in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"):
        refused(s_client(examples, port, "-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0"), "alert handshake failure")
    refused(s_client(examples, port, "-groups", "secp521r1"), "alert handshake failure")
    for cipher in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"):
        after = getattr(server, "index", 0)
        s_client(examples, port, "-tls1_2", "-cipher", cipher).finish(err=".*")
        tls.made(server, after, cipher=cipher)
    for group, name in (("X25519", "X25519"), ("P-256", "secp256r1"), ("P-384", "secp384r1")):
        after = server.index
        s_client(examples, port, "-groups", group).finish(err=".*")
        check(tls.made(server, after).group("group").lower() in (group.lower(), name, "prime256v1"), "another group", server.lines()[-1])
    tls.stop(server)


@both_versions
def client_and_alpn(examples, version, option):
    server, port = tls.serve(examples, "--alpn", "h2,http/1.1")
    client = s_client(examples, port, option, "-alpn", "http/1.1,h2")
    tls.check_output(client, "ALPN protocol: h2")
    tls.made(server, version=version, alpn="h2")
    after = server.index
    tls.check_output(s_client(examples, port, option), "No ALPN negotiated")
    tls.made(server, after, alpn="-")
    refused(s_client(examples, port, option, "-alpn", "spdy/1"), "alert no application protocol")
    tls.stop(server)


@both_versions
def client_and_sni(examples, version, option):
    other = tls.certificate("other", names="DNS:other.example")
    server, port = tls.serve(examples, "--name", f"other.example={other}", "--name", f"*.wild.example={other}")
    for name, subject in (("other.example", "other"), ("x.wild.example", "other"), ("x.y.wild.example", "server"), ("localhost", "server")):
        after = getattr(server, "index", 0)
        tls.check_output(s_client(examples, port, option, "-servername", name, "-nameopt", "RFC2253"), f"subject=CN={subject} of the tests")
        tls.made(server, after, version=version, sni=name)
    tls.stop(server)
    server, port = tls.serve(examples, "--name", f"other.example={other}", "--strict-names")
    tls.check_output(s_client(examples, port, option, "-servername", "other.example", "-nameopt", "RFC2253"), "subject=CN=other of the tests")
    refused(s_client(examples, port, option, "-servername", "third.example"), "unrecognized name")
    tls.stop(server)


def resume(examples, server, port, *options, resumed="yes"):
    """Two connections, the second with what the first has left behind. The tickets of TLS 1.3 come before the data."""
    session = tls.path("session")
    for more, expected in (("-sess_out", "no"), ("-sess_in", resumed)):
        after = getattr(server, "index", 0)
        client = s_client(examples, port, *options, more, session, talker=True)
        tls.made(server, after, resumed=expected)
        tls.wait_output(client, "hello, client")
        client.end_input()
        tls.check_output(client, "Reused, " if expected == "yes" else "New, ")
        tls.lost(server, after=after)


def client_resumes(examples):
    greeting = tls.write("greeting", b"hello, client\n")
    server, port = tls.serve(examples, "--send", greeting)
    resume(examples, server, port, "-tls1_3")
    resume(examples, server, port, "-tls1_2")
    resume(examples, server, port, "-tls1_2", "-no_ticket")  # by the session's number
    tls.stop(server)
    server, port = tls.serve(examples, "--send", greeting, "--no-resumption")
    for option in ("-tls1_3", "-tls1_2"):
        client = s_client(examples, port, option, "-sess_out", tls.path("none"), talker=True)
        tls.wait_output(client, "hello, client")
        client.end_input()
        text = tls.finish(client)
        check("TLS session ticket:" not in text and "Session-ID: \n" in text + "Session-ID: \n", text)
    tls.stop(server)


@both_versions
def client_shows_a_certificate(examples, version, option):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    servers_own = tls.certificate()
    for mode in ("may", "must"):
        server, port = tls.serve(examples, "--clients", mode, "--ca", tls.authority(), "--debug", "--show")
        client = s_client(examples, port, option, "-cert", good, "-key", good, talker=True)
        tls.made(server, version=version, verified="yes", peer="CN=client of the tests")
        client.end_input()
        client.finish(err=".*")
        # Under 1.3 the answer may come when it believes to be connected: it must be listening then.
        client = s_client(examples, port, option, "-cert", bad, "-key", bad, talker=True)
        refused(client, "alert unknown ca")
        wait_error(server, "stranger of the tests")
        refused(s_client(examples, port, option, "-cert", servers_own, "-key", servers_own, talker=True), "alert unsupported certificate|alert bad certificate")
        if mode == "must":
            client = s_client(examples, port, option, talker=True)
            refused(client, "alert certificate required" if version == "TLSv1.3" else "alert handshake failure")
        else:
            after = server.index
            s_client(examples, port, option).finish(err=".*")
            tls.made(server, after, verified="no", peer="-")
        tls.stop(server)


def client_changes_keys(examples):
    server, port = tls.serve(examples, "--echo", talker=True)
    client = s_client(examples, port, "-tls1_3", "-msg", talker=True)
    tls.made(server)
    updates = 0
    for letter in (b"k", b"K", b"k", b"K"):
        client.say(letter + b"\n")
        tls.wait_output(client, rf"(>>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate[\s\S]*){{{updates // 2 + 1}}}")
        text = b"after " + letter + b"%d\n" % updates
        client.say(text)
        tls.wait_output(client, text.decode())
        updates += 2
    tls.wait_output(client, r"(<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate[\s\S]*){2}")  # in answer to the two K
    client.end_input()
    client.finish(err=".*")
    tls.lost(server)
    tls.stop(server)


def we_change_keys_for_a_client(examples):
    server, port = tls.serve(examples, "--show", talker=True)
    client = s_client(examples, port, "-tls1_3", "-msg", talker=True)
    tls.made(server)
    for number, words in enumerate((b"update", b"update both", b"update")):
        server.say(words + b"\nsend after %d\n" % number)
        tls.wait_output(client, f"after {number}\n")
        client.say(b"heard %d\n" % number)
        server.wait_line(rf"got heard {number}\\x0a")
    tls.wait_output(client, r"(<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate[\s\S]*){3}")
    tls.wait_output(client, r">>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate")
    client.end_input()
    client.finish(err=".*")
    tls.stop(server)


def client_may_not_renegotiate(examples):
    server, port = tls.serve(examples, "--echo")
    client = s_client(examples, port, "-tls1_2", talker=True)
    tls.made(server, version="TLSv1.2")
    client.say(b"R\n")
    tls.check_output(client, "no renegotiation")
    client.end_input()
    check(len([line for line in server.lines() if line.startswith("made")]) == 1, server.lines())
    tls.lost(server, ".*")
    tls.stop(server)


@both_versions
def much_both_ways(examples, version, option):
    """At the same time; once by sendfile, once in small pieces."""
    sent = tls.write("big", BIG)
    for more in (("--sendfile",), ("--piece", 100000), ("--piece", 777)):
        saved = tls.write("saved", b"")
        server, port = tls.serve(examples, "--send", sent, "--save", saved, "--expect", len(BIG), *more)
        client = s_client(examples, port, option, "-quiet", stdin=BIG)
        tls.finish(client)
        check(bytes(client.out) == BIG, "it received", len(client.out), "bytes")
        tls.lost(server)
        check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
        tls.stop(server)


@both_versions
def stapled_for_a_client(examples, version, option):
    server, port = tls.serve(examples, "--ocsp", tls.ocsp_response(tls.certificate()))
    tls.check_output(s_client(examples, port, option, "-status"), r"OCSP Response Status: successful[\s\S]*Cert Status: good")
    check("OCSP" not in tls.finish(s_client(examples, port, option)), "it came unasked")
    tls.stop(server)


def client_sends_early_data(examples):
    greeting = tls.write("greeting", b"hello, client\n")
    early = tls.write("early", b"early bird\n")
    for options, answer, taken in ((("--max-early", 1000), "Early data was accepted", "yes"), ((), "Early data was (not sent|rejected)", "no")):
        server, port = tls.serve(examples, "--send", greeting, "--show", *options)
        client = s_client(examples, port, "-sess_out", tls.path("session"), talker=True)
        tls.wait_output(client, "hello, client")
        client.end_input()
        tls.lost(server)
        after = server.index
        client = s_client(examples, port, "-sess_in", tls.path("session"), "-early_data", early, talker=True)
        tls.wait_output(client, "hello, client")
        client.say(b"later\n")
        if taken == "yes":
            server.wait_line(r"early early bird\\x0a", after)
        server.wait_line(r"got later\\x0a", after)
        client.end_input()
        tls.check_output(client, answer)
        tls.made(server, after, resumed="yes")
        tls.lost(server, after=after)
        check(("early early bird\\x0a" in server.lines()) == (taken == "yes"), server.lines())
        tls.stop(server)


@both_versions
def certificates_of_every_kind(examples, version, option):
    for kind in ("ec", "rsa", "rsa-pss", "ed25519"):
        cert = tls.certificate("server" if kind == "ec" else kind, kind)
        server, port = tls.serve(examples, cert=cert)
        s_client(examples, port, option, "-verify_hostname", "example.org").finish(err=".*")
        tls.made(server, version=version)
        tls.stop(server)
        server, port = s_server(examples, option, "-rev", cert=cert)
        client = tls.connect(examples, port)
        tls.made(client, version=version, verified="yes", peer=f"CN={'server' if kind == 'ec' else kind} of the tests")
        server.kill()
        tls.finish(client)


@both_versions
def chains(examples, version, option):
    cert = tls.behind_intermediate()
    server, port = tls.serve(examples, cert=cert)
    tls.check_output(s_client(examples, port, option), "Verify return code: 0|Verification: OK")
    tls.stop(server)
    leaf, middle, key = tls.chain_files(cert)
    server, port = s_server(examples, option, "-key", key, "-cert_chain", middle, "-rev", cert=leaf)
    tls.made(tls.connect(examples, port), version=version, verified="yes")
    server.kill()
    server, port = s_server(examples, option, "-key", key, "-rev", cert=leaf)  # without what leads to the root
    tls.failed(tls.connect(examples, port), "certificate verify failed: .*chained of the tests.*intermediate of the tests")
    server.kill()


def client_without_close_notify(examples):
    """Killed."""
    server, port = tls.serve(examples, "--show")
    client = s_client(examples, port, talker=True)
    client.say(b"last words\n")
    server.wait_line("got last words.*")
    client.process.kill()
    tls.lost(server, ".*(truncated|reset).*")
    tls.stop(server)


# ---- its server, our client ----


@both_versions
def server_says_and_hears(examples, version, option):
    server, port = s_server(examples, option, "-rev")
    client = tls.connect(examples, port, "--show", talker=True)
    tls.made(client, version=version, verified="yes", sni="localhost", peer="CN=server of the tests")
    client.say(b"send hello, server\n")
    client.wait_line(r"got revres ,olleh\\x0a")
    client.say(b"send CLOSE\n")  # what it answers with its close_notify
    client.wait_line("eof")
    tls.lost(client)
    client.finish()
    server.kill()


def old_servers_are_refused(examples):
    for option in ("-tls1_1", "-tls1"):
        server, port = s_server(examples, option, "-cipher", "ALL:@SECLEVEL=0", "-rev")
        tls.failed(tls.connect(examples, port), "protocol version|unsupported protocol")
        server.kill()


@both_versions
def server_and_alpn(examples, version, option):
    server, port = s_server(examples, option, "-alpn", "h2,http/1.1", "-rev")
    client = tls.connect(examples, port, "--alpn", "http/1.1,spdy/1", talker=True)
    tls.made(client, version=version, alpn="http/1.1")
    client.say(b"close\n")
    client.finish()
    tls.failed(tls.connect(examples, port, "--alpn", "spdy/1"), "no application protocol")
    server.kill()


@both_versions
def server_and_sni(examples, version, option):
    other = tls.certificate("other", names="DNS:other.example")
    server, port = s_server(examples, option, "-servername", "other.example", "-servername_fatal", "-cert2", other, "-key2", other, "-rev")
    client = tls.connect(examples, port, host="other.example", talker=True)
    tls.made(client, version=version, peer="CN=other of the tests", sni="other.example")
    client.say(b"close\n")
    client.finish()
    tls.failed(tls.connect(examples, port), "unrecognized name")
    client = tls.connect(examples, port, host="127.0.0.1", talker=True)  # an address is not asked for by name
    tls.made(client, peer="CN=server of the tests", sni="-", verified="yes")
    client.say(b"close\n")
    client.finish()
    server.kill()


def we_resume(examples):
    for options in (("-tls1_3",), ("-tls1_2",), ("-tls1_2", "-no_ticket"), ("-tls1_3", "-no_ticket")):
        server, port = s_server(examples, *options, "-rev")
        client = tls.connect(examples, port, "--send", tls.write("greeting", b"hello\n"), "--expect", 6, "--times", 3)
        client.finish()
        made = [line for line in client.lines() if line.startswith("made")]
        check(["resumed=yes" in line for line in made] == [False, True, True], "with", *options, made)
        server.kill()


@both_versions
def we_show_a_certificate(examples, version, option):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = s_server(examples, option, "-Verify", 3, "-verify_return_error", "-CAfile", tls.authority(), "-rev")
    client = tls.connect(examples, port, "--cert", good, "--send", tls.write("greeting", b"hello\n"), "--expect", 6)
    tls.made(client, version=version)
    client.finish()
    for options, alert in ((("--cert", bad), "unknown CA"), ((), "certificate required|handshake failure")):
        client = tls.connect(examples, port, *options)
        if version == "TLSv1.3":  # the server speaks last: we hear of it when we read
            tls.lost(client, f".*alert.*({alert}).*")
            client.finish(1)
        else:
            tls.failed(client, alert)
    server.kill()


def server_changes_keys(examples):
    server, port = s_server(examples, "-tls1_3", "-msg", talker=True)
    client = tls.connect(examples, port, "--show", talker=True)
    tls.made(client)
    for number, letter in enumerate((b"k", b"K", b"K")):
        server.say(letter + b"\n")
        tls.wait_output(server, rf"(>>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate[\s\S]*){{{number + 1}}}")
        server.say(b"after %d\n" % number)
        client.wait_line(rf"got after {number}\\x0a")
        client.say(b"send heard %d\n" % number)
        tls.wait_output(server, f"heard {number}\n")
    tls.wait_output(server, r"(<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate[\s\S]*){2}")
    for number, words in enumerate((b"update", b"update both")):
        client.say(words + b"\nsend ours %d\n" % number)
        tls.wait_output(server, f"ours {number}\n")
    client.say(b"close\n")
    tls.lost(client)
    client.finish()
    server.kill()


def server_may_not_renegotiate(examples):
    """Ours says that it will not, which s_server takes for an error."""
    server, port = s_server(examples, "-tls1_2", talker=True)
    client = tls.connect(examples, port, "--show", talker=True)
    tls.made(client, version="TLSv1.2")
    server.say(b"r\n")
    tls.wait_output(server, "no renegotiation")
    tls.lost(client, ".*")
    check(len([line for line in client.lines() if line.startswith("made")]) == 1, client.lines())


@both_versions
def much_both_ways_with_a_server(examples, version, option):
    sent = tls.write("big", BIG)
    for more in (("--piece", 777), ("--piece", 100000)):
        saved = tls.write("saved", b"")
        port = free_port()
        # The end of its input would be the end of all. Quiet, it does not say that it listens.
        server = start(examples, "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", tls.certificate(), option,
                       "-quiet", "-naccept", 1, talker=True)
        server.say(BIG)
        client = None
        while client is None or "refused" in client.lines()[-1]:
            client = tls.connect(examples, port, "--send", sent, "--save", saved, "--expect", len(BIG), *more)
            tls.finish(client)
        tls.made(client, version=version)
        tls.lost(client)
        check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
        tls.finish(server)
        check(bytes(server.out) == BIG, "it received", len(server.out), "bytes")


@both_versions
def stapled_by_a_server(examples, version, option):
    cert = tls.certificate()
    server, port = s_server(examples, option, "-status_file", tls.ocsp_response(cert), "-rev", cert=cert)
    client = tls.connect(examples, port, "--require-ocsp", talker=True)
    tls.made(client, version=version, verified="yes")
    client.say(b"close\n")
    client.finish()
    server.kill()
    server, port = s_server(examples, option, "-rev", cert=cert)
    tls.failed(tls.connect(examples, port, "--require-ocsp"), "OCSP")
    server.kill()
    server, port = s_server(examples, option, "-status_file", tls.ocsp_response(cert, "revoked"), "-rev", cert=cert)
    tls.failed(tls.connect(examples, port, "--require-ocsp"), "revoked")
    server.kill()


def we_send_early_data(examples):
    """With the first connection's ticket, if that says that it may be."""
    for options, taken in ((("-early_data",), "yes"), ((), "no")):
        server, port = s_server(examples, "-tls1_3", *options, talker=True)
        client = tls.connect(examples, port, "--early", "early bird", "--times", 2, "--show", talker=True)
        after = 0
        for number, early in enumerate(("no", taken)):
            tls.made(client, after, early=early, resumed="yes" if number else "no")
            client.say(b"send text %d\n" % number)
            tls.wait_output(server, f"text {number}\n")
            server.say(b"answer %d\n" % number)
            client.wait_line(rf"got answer {number}\\x0a")
            after = client.index
            client.say(b"close\n")
            tls.lost(client, after=after)
        check((b"early bird" in server.out) == (taken == "yes"), server.out)
        client.finish()
        server.kill()


def servers_that_are_not_who_we_want(examples):
    """What we say of them, in one sentence."""
    expired = tls.certificate("expired", days=0)
    strange = tls.certificate("strange", issuer="other-ca")
    for cert, host, pattern in (
            (None, "wrong.example", r"certificate verify failed: certificate is not valid for 'wrong\.example' \(valid for: localhost, example\.org, 127\.0\.0\.1\)"),
            (None, "127.0.0.2", r"certificate verify failed: certificate is not valid for '127\.0\.0\.2' \(valid for: localhost, example\.org, 127\.0\.0\.1\)"),
            (expired, "localhost", r"certificate verify failed: certificate has expired: 'CN=expired of the tests' on 20\d\d-\d\d-\d\d \d\d:\d\d UTC"),
            (strange, "localhost", r"certificate verify failed: .*: 'CN=strange of the tests' is issued by 'CN=other-ca of the tests'")):
        server, port = s_server(examples, "-rev", cert=cert)
        tls.failed(tls.connect(examples, port, host=host), pattern)
        client = tls.connect(examples, port, "--insecure", host=host, talker=True)
        tls.made(client, verified="no")
        client.say(b"close\n")
        client.finish(err=r"[^\n]*insecure[^\n]*not verified\n")
        server.kill()


def server_without_close_notify(examples):
    """Killed: what it has said is heard, and that it has not said all."""
    for options, end in (((), ".*(truncated|reset).*"), (("--allow-truncation",), ".*")):
        server, port = s_server(examples, talker=True)
        client = tls.connect(examples, port, "--show", *options)
        tls.made(client)
        server.say(b"last words\n")
        client.wait_line(r"got last words\\x0a")
        server.kill()
        check(tls.lost(client, end) == 11, client.lines())
        tls.finish(client)


main(client_says_and_hears, old_versions_are_refused, versions_are_limited, weak_ciphers_are_refused, client_and_alpn,
     client_and_sni, client_resumes, client_shows_a_certificate, client_changes_keys, we_change_keys_for_a_client,
     client_may_not_renegotiate, much_both_ways, stapled_for_a_client, client_sends_early_data, certificates_of_every_kind,
     chains, client_without_close_notify,
     server_says_and_hears, old_servers_are_refused, server_and_alpn, server_and_sni, we_resume, we_show_a_certificate,
     server_changes_keys, server_may_not_renegotiate, much_both_ways_with_a_server, stapled_by_a_server, we_send_early_data,
     servers_that_are_not_who_we_want, server_without_close_notify)
