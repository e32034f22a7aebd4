#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: T18 T21
"""nc (OpenBSD's) as client and as server of our TCP examples."""

import hashlib
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support.others import need, ours, start, stop, wait_error, wait_size

need("nc")


def serve(examples, **more):
    """-N: the end of its input is the end of that direction, not of the connection."""
    server = start(examples, "nc", "-v", "-n", "-N", "-l", "127.0.0.1", 0, **more)
    return server, int(wait_error(server, r"Listening on 127\.0\.0\.1 (\d+)").group(1))


def connect(examples, port, **more):
    return start(examples, "nc", "-N", "127.0.0.1", port, **more)


def client_of_echo_server(examples):
    server, port = ours(examples, "echo_server")
    for data in (b"", b"x", os.urandom(1 << 20) * 16):
        client = connect(examples, port, stdin=data)
        client.finish()
        check(bytes(client.out) == data, len(client.out), "bytes of", len(data), "came back")
    stop(server)


def server_of_echo_client(examples):
    """It hears all, and its silence, ended, is no answer."""
    data = os.urandom(1 << 20)
    server, port = serve(examples, stdin=b"")
    client = examples.start("echo_client", "--port", port, stdin=data)
    client.finish(1, f"echo_client: the server closed after 0 of {len(data)} bytes\n")
    server.finish(err=".*")
    check(bytes(server.out) == data, len(server.out), "bytes came")


def check_transfer(server, client, there, back):
    for name, program, data in (("server", server, there), ("client", client, back)):
        check(hashlib.sha256(program.out).digest() == hashlib.sha256(data).digest(), "the", name, "received",
              len(program.out), "bytes of", len(data))


def the_server_ends_first(examples):
    """It has sent all it has to say before it has heard all."""
    much, little = os.urandom(1 << 20) * 16, b"a little\n"
    for there, back in ((much, little), (little, b""), (b"", little)):
        server, port = serve(examples, stdin=back)
        forwarder, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
        client = connect(examples, port, stdin=there)
        client.finish()
        server.finish(err=".*")
        check_transfer(server, client, there, back)
        forwarder.wait_line(rf"127\.0\.0\.1:\d+: {len(there)} bytes there, {len(back)} back")
        stop(forwarder)


def the_client_ends_when_it_has_heard_all(examples):
    """(Not before: a listening nc that is told of the end of its client does not send all of its input.)"""
    there, back = b"a little\n", os.urandom(1 << 20) * 16
    server, port = serve(examples, stdin=back)
    forwarder, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
    client = connect(examples, port, talker=True)
    client.say(there)
    wait_size(client, len(back))
    client.end_input()
    client.finish()
    server.finish(err=".*")
    check_transfer(server, client, there, back)
    stop(forwarder)


def chat(examples):
    server, port = ours(examples, "chat_server")
    ann = connect(examples, port, talker=True)
    server.wait_line(".* joined")
    bob = connect(examples, port, talker=True)
    name = ann.wait_line(r"\* (.*) joined").group(1)
    ann.say(b"hello\n")
    bob.wait_line(r"127\.0\.0\.1:\d+: hello")
    bob.say(b"hello")
    bob.end_input()  # without the end of a line
    ann.wait_line(re.escape(name) + ": hello")
    ann.wait_line(r"\* " + re.escape(name) + " left")
    bob.finish()
    stop(server)
    ann.end_input()
    ann.finish()


main(client_of_echo_server, server_of_echo_client, the_server_ends_first,
     the_client_ends_when_it_has_heard_all, chat)
