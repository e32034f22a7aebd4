#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 90
# clause: S13 T18
"""echo_client: messages, input and megabytes come back; its deadline covers connecting and exchanging."""

import os
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True
from lib.programs import accept, check, check_time, listen, main, receive_all, receive_exactly, unused_port


def with_server(examples):
    server = examples.start("echo_server", "--port", 0)
    return server, server.listening()[1]


def messages_and_input(examples):
    server, port = with_server(examples)
    check(examples.run("echo_client", "hello, world", "--port", port) == ["hello, world"], "message")
    check(examples.run("echo_client", "--port", port, "--", "--hello") == ["--hello"], "message with dashes")
    check(examples.run("echo_client", "", "--port", port) == [""], "empty message")
    for data in (b"", b"no newline", os.urandom(3 << 20)):
        client = examples.start("echo_client", "--port", port, stdin=data)
        client.finish()
        check(bytes(client.out) == data, "input of", len(data), "bytes came back as", len(client.out))
    server.signal(signal.SIGTERM)
    server.finish()


def patterned_data(examples):
    server, port = with_server(examples)
    for text, count in (("1", 1), ("64K", 65536), ("65522", 65522), ("16M", 16 << 20)):
        lines = examples.run("echo_client", "--port", port, "--bytes", text)
        check(len(lines) == 1, "printed", lines)
        match = re.fullmatch(rf"{count} bytes there and back in \d+\.\d\d s: (\d+\.\d) MB/s", lines[0])
        check(match, "printed", lines)
    server.signal(signal.SIGTERM)
    server.finish()


def deadline_while_exchanging(examples):
    listener, port = listen()
    client = examples.start("echo_client", "hi", "--port", port, "--timeout", "0.3")
    sock = accept(listener)
    check(receive_exactly(sock, 3) == b"hi\n", "not the message")
    client.finish(1, r"echo_client: not finished after 0\.3 s: 0 of 3 bytes came back\n")
    check_time("the deadline", client.ended - client.started, 0.3, late=5)
    sock.close()
    # Also with bytes on their way in both directions.
    client = examples.start("echo_client", "--bytes", "64M", "--port", port, "--timeout", "0.3")
    sock = accept(listener)
    sock.sendall(receive_exactly(sock, 1000))
    client.finish(1, r"echo_client: not finished after 0\.3 s: 1000 of 67108864 bytes came back\n")
    check_time("the deadline", client.ended - client.started, 0.3, late=5)
    sock.close()
    listener.close()


def deadline_while_connecting(examples):
    # A full backlog: the kernel leaves further clients without an answer.
    listener, port = listen(0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    client = examples.start("echo_client", "hi", "--port", port, "--timeout", "0.3")
    client.finish(1, r"echo_client: not connected after 0\.3 s: 0 of 3 bytes came back\n")
    check_time("the deadline", client.ended - client.started, 0.3, late=5)
    for filler in fillers:
        filler.close()
    listener.close()


def servers_that_fail(examples):
    listener, port = listen()
    client = examples.start("echo_client", "hello", "--port", port)
    sock = accept(listener)
    receive_all(sock)
    sock.sendall(b"hel")
    sock.close()
    check(client.finish(1, "echo_client: the server closed after 3 of 6 bytes\n") == [], "a line")

    client = examples.start("echo_client", "hello", "--port", port)
    sock = accept(listener)
    receive_all(sock)
    sock.sendall(b"hellO\n")
    client.finish(1, "echo_client: what came back differs from what was sent, after byte 0\n")
    sock.close()

    client = examples.start("echo_client", "hello", "--port", port)
    sock = accept(listener)
    receive_all(sock)
    sock.sendall(b"hello\nhello\n")
    client.finish(1, "echo_client: more came back than was sent\n")
    sock.close()

    client = examples.start("echo_client", "--bytes", "8M", "--port", port)
    sock = accept(listener)
    receive_exactly(sock, 70000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()
    client.finish(1, r"echo_client: [^\n]+\n")
    listener.close()

    nobody, port = unused_port()
    examples.run("echo_client", "hi", "--port", port, code=1,
                 err=rf"echo_client: [^\n]*127\.0\.0\.1:{port}[^\n]*refused[^\n]*\n")
    nobody.close()
    examples.run("echo_client", "hi", "--host", "no..name", code=1, err=r"echo_client: [^\n]*no\.\.name[^\n]*\n")


def command_line(examples):
    size = "expected a number of bytes"
    span = "expected a number of seconds"
    examples.check_usage("echo_client", [(["a", "b"], "expected one MESSAGE"), (["a", "--bytes", "1"], "either"),
                                         (["--bytes", "0"], size), (["--bytes", "1T"], size), (["--bytes", "M"], size),
                                         (["--bytes", "-1"], size), (["--bytes", "99999999999G"], size),
                                         (["--bytes", "1KK"], size), (["--timeout", "0"], span),
                                         (["--timeout", "nan"], span), (["--timeout", "-1"], span),
                                         (["--timeout", "soon"], span)])
    examples.check_backends("echo_client", "hi")


main(messages_and_input, patterned_data, deadline_while_exchanging, deadline_while_connecting, servers_that_fail,
     command_line)
