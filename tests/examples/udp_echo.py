#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: T47 T50 T51 T54
"""udp_echo: echoes datagrams, empty and large ones too; its client sends again, and gives up."""

import signal
import socket
import sys

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, main


def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(PATIENCE)
    return sock


def echoes(examples):
    server = examples.start("udp_echo", "--port", 0)
    address = server.listening()
    sock, other = udp(), udp()
    for message in (b"x", b"", b"hello" * 1000, bytes(60000)):
        for one in (sock, other):
            one.sendto(message, address)
        for one in (other, sock):
            got, source = one.recvfrom(65536)
            check(got == message and source == address, "another echo than", message[:20], "from", source)
    check(examples.run("udp_echo", "--to", "127.0.0.1", "--port", address[1], "hi there") == ["1 hi there"], "client")
    lines = examples.run("udp_echo", "--to", "127.0.0.1", "--port", address[1], "--count", 3)
    check(lines == ["1 hello", "2 hello", "3 hello"], "the client printed", lines)
    server.signal(signal.SIGTERM)
    server.finish()


def sends_again(examples):
    sock = udp()
    client = examples.start("udp_echo", "--to", "127.0.0.1", "--port", sock.getsockname()[1], "--patience", "0.05",
                            "--tries", 1000)
    for _ in range(3):  # the first two are lost
        message, address = sock.recvfrom(2000)
        check(message == b"1 hello", "sent", message)
    sock.sendto(b"99 of another one", address)
    sock.sendto(message, address)
    check(client.finish() == ["1 hello"], "printed", client.lines())


def gives_up(examples):
    sock = udp()
    examples.run("udp_echo", "--to", "127.0.0.1", "--port", sock.getsockname()[1], "--patience", "0.02", "--tries", 3,
                 code=1, err=r"udp_echo: no answer to message 1, sent 3 times\n")
    port = sock.getsockname()[1]
    sock.close()
    examples.run("udp_echo", "--to", "127.0.0.1", "--port", port, "--patience", "0.02", "--tries", 3, code=1,
                 err=rf"udp_echo: 127\.0\.0\.1:{port}: [^\n]*refused[^\n]*\nudp_echo: no answer [^\n]*\n")


def command_line(examples):
    examples.check_usage("udp_echo", [(["hello"], "a MESSAGE is for --to"), (["--to", "::1", "a", "b"], "one MESSAGE"),
                                      (["--port", "x"], "expected a number"), (["--tries", "0"], "expected a number")])
    examples.run("udp_echo", "--to", "no..name", code=1, err=r"udp_echo: [^\n]*no\.\.name[^\n]*\n")
    examples.check_backends("udp_echo")
    with udp() as sock:
        port = sock.getsockname()[1]
        examples.run("udp_echo", "--port", port, code=1,
                     err=rf"udp_echo: [^\n]*127\.0\.0\.1:{port}[^\n]*in use[^\n]*\n")


main(echoes, sends_again, gives_up, command_line)
