#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 60
# clause: X32
"""stunnel, which turns plain connections into TLS and back, on either side of our TLS."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import accept, check, connect, listen, main, receive_all, receive_exactly
from support import tls
from support.others import need, start, wait_error

need("stunnel")

BIG = os.urandom(1 << 20) * 4 + b"the end"


def stunnel(examples, port, *lines):
    """From a port, which it says, to this one."""
    text = "foreground = yes\npid =\ndebug = info\n[x]\naccept = 127.0.0.1:0\n" + "".join(f"{line}\n" for line in (f"connect = 127.0.0.1:{port}", *lines))
    program = start(examples, "stunnel", tls.write("stunnel.conf", text.encode()))
    return program, int(wait_error(program, r"bound to 127\.0\.0\.1:(\d+)").group(1))


def client_side(examples, port, *lines):
    return stunnel(examples, port, "client = yes", f"CAfile = {tls.authority()}", "verifyChain = yes", "checkHost = example.org", *lines)


def server_side(examples, port, *lines):
    return stunnel(examples, port, f"cert = {tls.certificate()}", *lines)


def before_our_server(examples):
    for version in ("TLSv1.2", "TLSv1.3"):
        server, port = tls.serve(examples, "--echo")
        program, port = client_side(examples, port, f"sslVersion = {version}")
        with connect(port) as sock:
            for at in range(0, len(BIG), 1 << 16):  # what it takes at once it holds
                sock.sendall(BIG[at:at + (1 << 16)])
                check(receive_exactly(sock, len(BIG[at:at + (1 << 16)])) == BIG[at:at + (1 << 16)], "something else came back")
        server.wait_line("eof")
        tls.lost(server)
        tls.made(server, version=version)
        program.kill()
        tls.stop(server)


def before_our_server_with_a_certificate(examples):
    good, bad = tls.of_client(), tls.of_client("stranger", issuer="other-ca")
    server, port = tls.serve(examples, "--echo", "--clients", "must", "--ca", tls.authority())
    for cert in (good, bad):
        program, entry = client_side(examples, port, f"cert = {cert}")
        with connect(entry) as sock:
            sock.sendall(b"hello")
            if cert == good:
                check(receive_exactly(sock, 5) == b"hello", "something else came back")
                tls.made(server, verified="yes", peer="CN=client of the tests")
            else:
                wait_error(program, "alert unknown ca")
        program.kill()
    tls.stop(server)


def behind_our_client(examples):
    sent, saved = tls.write("big", BIG), tls.write("saved", b"")
    for version in ("TLSv1.2", "TLSv1.3"):
        tls.write("saved", b"")
        listener, port = listen()
        program, port = server_side(examples, port, f"sslVersion = {version}")
        client = tls.connect(examples, port, "--send", sent, "--save", saved, "--expect", 6)
        sock = accept(listener)
        check(receive_exactly(sock, len(BIG)) == BIG, "something else came")
        sock.sendall(b"answer")
        check(receive_all(sock) == b"", "more came")
        sock.close()  # until then this direction is open, whatever the version
        tls.lost(client)
        check(tls.read("saved") == b"answer", "another answer")
        listener.close()
        tls.made(client, version=version, verified="yes")
        client.finish()
        program.kill()


def halves_end_apart(examples):
    """It passes the end of one direction on, in both."""
    listener, port = listen()
    program, port = server_side(examples, port, "sslVersion = TLSv1.3")
    client = tls.connect(examples, port, "--keep", "--show", "--send", tls.write("greeting", b"question"), "--end", talker=True)
    sock = accept(listener)
    check(receive_all(sock) == b"question", "something else came")
    sock.sendall(b"answer")
    client.wait_line("got answer")
    sock.close()
    client.wait_line("eof")
    client.say(b"close\n")
    tls.lost(client)
    client.finish()
    program.kill()


main(before_our_server, before_our_server_with_a_certificate, behind_our_client, halves_end_apart)
