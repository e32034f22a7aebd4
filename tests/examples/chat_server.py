#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: T56 R24 E7
"""chat_server: lines go to all the others, also while one never reads, resets or sends too much."""

import os
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True
from lib.programs import check, connect, main, receive_all


class Client:
    """A client that reads lines. The server tells the others of it, which `server.wait_line` awaits."""

    def __init__(self, server, port, name=None, **more):
        self.sock = connect(port, **more)
        self.name = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.file = self.sock.makefile("rb")
        server.wait_line(re.escape(self.name) + " joined")
        if name:
            self.say(b"/nick " + name.encode())
            server.wait_line(re.escape(self.name) + " is now " + name)
            self.name = name

    def say(self, line, end=b"\n"):
        self.sock.sendall(line + end)

    def expect(self, *lines):
        for line in lines:
            got = self.file.readline()
            check(got == line.encode() + b"\n", self.name, "got", got, "expected", line)

    def close(self):
        self.file.close()
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()


def start(examples, *args):
    server = examples.start("chat_server", "--port", 0, *args)
    return server, server.listening()[1]


def stop(server):
    server.signal(signal.SIGTERM)
    server.finish()


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def lines_go_to_all_the_others(examples):
    server, port = start(examples)
    ann = Client(server, port)
    old = ann.name
    bob = Client(server, port, "bob")
    address = server.wait_line(r"(.*) is now bob").group(1)
    ann.expect(f"* {address} joined", f"* {address} is now bob")
    eve = Client(server, port, "eve")
    address = server.wait_line(r"(.*) is now eve").group(1)
    for client in (ann, bob):
        client.expect(f"* {address} joined", f"* {address} is now eve")

    ann.say(b"hello", b"\r\n")
    for client in (bob, eve):
        client.expect(f"{old}: hello")
    bob.say(b"two\nlines")
    for client in (ann, eve):
        client.expect("bob: two", "bob: lines")
    for byte in b"slowly\n":
        eve.sock.sendall(bytes([byte]))
    for client in (ann, bob):
        client.expect("eve: slowly")
    # Nothing has come back to the one who said it: what comes next is somebody else's.
    eve.say(b"/quit\nnobody hears this")
    for client in (ann, bob):
        client.expect("* eve left")
    check(receive_all(eve.sock) == b"", "eve got something after leaving")
    # A last line without an end.
    bob.say(b"last words", b"")
    bob.sock.shutdown(socket.SHUT_WR)
    ann.expect("bob: last words", "* bob left")
    check(receive_all(bob.sock) == b"", "bob got something that he had said")
    for client in (ann, bob, eve):
        client.close()
    stop(server)


def many_at_once(examples):
    server, port = start(examples)
    clients = [Client(server, port, "c%d" % i) for i in range(20)]
    for client in clients:  # whatever they heard of those who came after them
        client.say(b"ready")
    for i, client in enumerate(clients):
        seen = 0
        while seen < len(clients) - 1:
            line = client.file.readline()
            check(line, "the end of", client.name)
            seen += line.endswith(b": ready\n")
        check(not line.startswith(b"c%d:" % i), client.name, "heard itself")
    for client in clients:
        client.say(b"from " + client.name.encode())
    for client in clients:
        got = {client.file.readline() for _ in range(len(clients) - 1)}
        expected = {f"{c.name}: from {c.name}\n".encode() for c in clients if c is not client}
        check(got == expected, client.name, "got", got)
    for client in clients:
        client.close()
    stop(server)


def one_that_never_reads(examples):
    server, port = start(examples, "--limit", "256K")
    loud, other = Client(server, port, "loud"), Client(server, port, "other")
    loud.expect("* " + server.wait_line(r"(.*) is now other").group(1) + " joined")
    loud.file.readline()
    slow = Client(server, port, "slow", receive_buffer=4096)
    for client in (loud, other):
        check(client.file.readline().endswith(b" joined\n"), "of the slow one")
        check(client.file.readline().endswith(b" is now slow\n"), "of the slow one")
    before = resident(server.process.pid)
    batch = b"".join(b"%0900d\n" % i for i in range(50))
    heard = b"".join(b"loud: %0900d\n" % i for i in range(50))
    sent, left = 0, False
    while not left:
        check(sent < 64 << 20, "64 MiB were kept for a client that does not read")
        loud.sock.sendall(batch)
        sent += len(batch)
        # The one who reads hears all of it, in order, before and while the other is thrown out.
        got = b""
        while len(got) < len(heard):
            line = other.file.readline()
            if line.startswith(b"* slow left"):
                left = True
            else:
                got += line
        check(got == heard, "after", sent, "bytes the other one heard something else")
    server.wait_line(r"slow left: .+")
    check(resident(server.process.pid) - before < 16 << 20, "the server has grown")
    check(loud.file.readline().startswith(b"* slow left"), "loud was not told")
    slow.close()
    loud.say(b"still here")
    other.expect("loud: still here")
    loud.close()
    other.close()
    stop(server)


def one_that_resets(examples):
    server, port = start(examples)
    ann = Client(server, port, "ann")
    for _ in range(10):
        guest = Client(server, port)
        ann.expect(f"* {guest.name} joined")
        guest.say(b"one\nhalf a line", b"")
        ann.expect(f"{guest.name}: one")
        guest.reset()
        line = ann.file.readline()
        check(line.startswith(f"* {guest.name} left: ".encode()), "ann got", line)
    ann.close()
    stop(server)


def a_line_that_is_too_long(examples):
    server, port = start(examples)
    ann, bob = Client(server, port, "ann"), Client(server, port, "bob")
    ann.file.readline()
    ann.file.readline()
    bob.say(b"x" * 1000)
    ann.expect("bob: " + "x" * 1000)
    bob.say(b"y" * 1001)
    ann.expect("* bob left: a line is longer than 1000 bytes")
    server.wait_line("bob left: a line is longer than 1000 bytes")
    bob.close()
    ann.close()
    stop(server)


def sigterm_ends_it_with_clients(examples):
    server, port = start(examples)
    ann, bob = Client(server, port, "ann"), Client(server, port, "bob")
    server.signal(signal.SIGTERM)
    for client in (ann, bob):
        receive_all(client.sock)
        client.close()
    server.finish()


def command_line(examples):
    examples.check_usage("chat_server", [(["--limit", "x"], "expected a number of bytes"),
                                         (["--port", "-1"], "expected a number from 0 to 65535")])
    examples.check_backends("chat_server", "--port", 0)


main(lines_go_to_all_the_others, many_at_once, one_that_never_reads, one_that_resets, a_line_that_is_too_long,
     sigterm_ends_it_with_clients, command_line)
