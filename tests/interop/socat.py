#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: T18 T21
"""socat as client and as server of our TCP examples: much data, and ends of either direction first."""

import hashlib
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support.others import need, ours, start, stop, wait_error

need("socat")

# After the end of one direction the other has so many seconds more; of its own accord socat gives it half a second.
SOCAT = ("socat", "-t", 60)
# It answers only when the other direction has ended.
SUM = "EXEC:sha256sum"


def serve(examples, address, **more):
    server = start(examples, *SOCAT, "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1", address, **more)
    return server, int(wait_error(server, r"listening on AF=2 127\.0\.0\.1:(\d+)").group(1))


def connect(examples, port, *options, **more):
    return start(examples, *SOCAT, *options, "-", f"TCP:127.0.0.1:{port}", **more)


def client_of_echo_server(examples):
    server, port = ours(examples, "echo_server")
    data = os.urandom(1 << 20) * 24
    for piece in (b"", b"x", data):
        client = connect(examples, port, stdin=piece)
        client.finish()
        check(bytes(client.out) == piece, len(client.out), "bytes of", len(piece), "came back")
    stop(server)


def several_clients_at_once(examples):
    server, port = ours(examples, "echo_server")
    data = [os.urandom(1 << 20) * 4 for _ in range(6)]
    clients = [connect(examples, port, stdin=piece) for piece in data]
    for client, piece in zip(clients, data):
        client.finish()
        check(bytes(client.out) == piece, len(client.out), "bytes came back")
    stop(server)


def server_of_echo_client(examples):
    for size in (1, 65536, 24 << 20):
        server, port = serve(examples, "EXEC:cat")
        lines = examples.run("echo_client", "--port", port, "--bytes", size)
        check(lines[0].startswith(f"{size} bytes there and back"), "printed", lines)
        server.finish(err=".*")


def through_two_forwarders(examples):
    """The answer to all of the data comes after its end, so the way back has to be open still."""
    data = os.urandom(1 << 20) * 24
    server, port = serve(examples, SUM)
    second, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
    first, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
    client = connect(examples, port, stdin=data)
    check(client.finish() == [hashlib.sha256(data).hexdigest() + "  -"], "another sum:", client.lines())
    server.finish(err=".*")
    stop(first, second)


def the_server_ends_first(examples):
    """It says all it has to say and ends its direction; then the client begins, and is heard to its end."""
    data = os.urandom(1 << 20) * 16
    server, port = serve(examples, "-", stdin=b"bye\n")
    forwarder, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
    client = connect(examples, port, "-d", "-d", talker=True)
    client.wait_line("bye")
    wait_error(client, r"N socket 2 \(fd \d+\) is at EOF")
    client.say(data)
    client.end_input()
    client.finish(err=".*")
    server.finish(err=".*")
    check(bytes(server.out) == data, len(server.out), "bytes came")
    stop(forwarder)


def both_ways_at_once(examples):
    data = os.urandom(1 << 20) * 16
    server, port = serve(examples, "EXEC:cat")
    forwarder, port = ours(examples, "forward", "--to", f"127.0.0.1:{port}")
    client = connect(examples, port, stdin=data)
    client.finish()
    check(bytes(client.out) == data, len(client.out), "bytes came back")
    server.finish(err=".*")
    stop(forwarder)


def chat_with_lines_of_crlf(examples):
    server, port = ours(examples, "chat_server")
    ann = start(examples, *SOCAT, "-,crlf", f"TCP:127.0.0.1:{port}", talker=True)
    server.wait_line(".* joined")
    bob = start(examples, *SOCAT, "-", f"TCP:127.0.0.1:{port}", talker=True)
    name = ann.wait_line(r"\* (.*) joined\r?").group(1)
    ann.say(b"/nick ann\nhello, bob\n")
    bob.wait_line("ann: hello, bob")
    bob.say(b"hello")
    bob.end_input()  # without the end of a line
    ann.wait_line(re.escape(name) + ": hello\r?")
    ann.wait_line(r"\* " + re.escape(name) + " left\r?")
    bob.finish()
    stop(server)
    ann.end_input()
    ann.finish()


main(client_of_echo_server, several_clients_at_once, server_of_echo_client, through_two_forwarders,
     the_server_ends_first, both_ways_at_once, chat_with_lines_of_crlf)
