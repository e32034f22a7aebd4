#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: L95 L96 T5
"""file_server: files and ranges byte by byte, requests one behind the other, clients that are slow or go away, paths."""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, connect, main, receive_all

SMALL = b"".join(b"%d\n" % i for i in range(1000))
BIG = os.urandom((8 << 20) + 12345)


class Client:
    def __init__(self, port, **more):
        self.sock = connect(port, **more)
        self.file = self.sock.makefile("rb")

    def ask(self, *requests):
        self.sock.sendall(b"".join(request.encode() + b"\n" for request in requests))

    def answer(self):
        """The bytes that come, or what the error says."""
        line = self.file.readline()
        if line.startswith(b"ERROR "):
            return line[6:-1].decode()
        match = re.fullmatch(rb"OK (\d+)\n", line)
        check(match, "the answer is", line)
        data = self.file.read(int(match.group(1)))
        check(len(data) == int(match.group(1)), "the end after", len(data), "of", line)
        return data

    def get(self, request):
        self.ask(request)
        return self.answer()

    def close(self):
        self.file.close()
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()


def expect(got, expected, what):
    """Says where they differ, not with megabytes."""
    if got != expected:
        size = min(len(got), len(expected))
        first = next((i for i in range(size) if got[i:i + 1] != expected[i:i + 1]), size)
        check(False, what, len(got), "instead of", len(expected), "bytes; the first difference is at", first)


@contextlib.contextmanager
def serving(examples):
    above = tempfile.mkdtemp(prefix="eddy-files-")
    root = os.path.join(above, "root")
    os.makedirs(os.path.join(root, "sub", "deep"))
    for name, data in (("root/small", SMALL), ("root/big", BIG), ("root/empty", b""), ("root/two words", b"two\n"),
                       ("root/sub/deep/file", b"deep\n"), ("secret", b"secret\n")):
        with open(os.path.join(above, name), "wb") as file:
            file.write(data)
    os.symlink(os.path.join(above, "secret"), os.path.join(root, "link"))
    os.symlink(above, os.path.join(root, "up"))
    os.mkfifo(os.path.join(root, "pipe"))
    server = examples.start("file_server", "--port", 0, "--root", root)
    try:
        yield server, server.listening()[1], root
    finally:
        shutil.rmtree(above)


def stop(server):
    server.signal(signal.SIGTERM)
    server.finish()


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def wait_descriptors(server, count):
    limit = time.monotonic() + PATIENCE
    while descriptors(server) != count:
        check(time.monotonic() < limit, descriptors(server), "descriptors are open instead of", count)
        time.sleep(0.01)


def files_and_ranges(examples):
    with serving(examples) as (server, port, _):
        before = descriptors(server)
        client = Client(port)
        for request, data in (
                ("GET small", SMALL), ("GET empty", b""), ("GET two words", b"two\n"), ("GET sub/deep/file", b"deep\n"),
                ("GET big", BIG), ("RANGE small 0 10", SMALL[:10]), ("RANGE small 100 1", SMALL[100:101]),
                ("RANGE small 3000 100000", SMALL[3000:]), (f"RANGE small {len(SMALL)} 5", b""), ("RANGE small 5 0", b""),
                ("RANGE two words 1 2", b"wo"), ("RANGE big 1000001 3000000", BIG[1000001:4000001]),
                (f"RANGE big {len(BIG) - 1} 1", BIG[-1:]), ("RANGE empty 0 1", b"")):
            expect(client.get(request), data, request)
        client.ask("GET small\r")
        expect(client.answer(), SMALL, "a line with CR")
        listed = client.get("LIST").decode().split("\n")
        check(sorted(listed[:-1]) == sorted([f"{len(SMALL)} small", f"{len(BIG)} big", "0 empty", "4 two words"]), listed)
        client.close()
        wait_descriptors(server, before)
        stop(server)


def many_requests_at_once(examples):
    """The answers come in the order of the requests, errors and lists between files."""
    with serving(examples) as (server, port, _):
        client = Client(port)
        rng = random.Random(3)
        asked, expected = [], []
        for _ in range(400):
            kind = rng.randrange(6)
            if kind == 0:
                asked.append("GET nothing")
                expected.append("no such file")
            elif kind == 1:
                asked.append("GET two words")
                expected.append(b"two\n")
            elif kind == 2:
                asked.append("what")
                expected.append("no such request")
            elif kind == 3:
                asked.append("RANGE empty 0 1")
                expected.append(b"")
            else:
                first, count = rng.randrange(len(BIG)), rng.choice((1, 100, 5000, 300000))
                asked.append(f"RANGE big {first} {count}")
                expected.append(BIG[first:first + count])
        sender = threading.Thread(target=client.ask, args=asked, daemon=True)
        sender.start()
        for request, data in zip(asked, expected):
            expect(client.answer(), data, request)
        sender.join(PATIENCE)
        # All of it is answered, too, when the requests end with the client's side.
        client.ask("GET big", "GET small")
        client.sock.shutdown(socket.SHUT_WR)
        expect(client.answer(), BIG, "before the end")
        expect(client.answer(), SMALL, "before the end")
        check(client.file.read() == b"", "more came after the last answer")
        client.close()
        stop(server)


def paths_that_lead_elsewhere(examples):
    with serving(examples) as (server, port, root):
        client = Client(port)
        no, none = "that is not for you", "no such file"
        for path, why in (("../secret", no), ("..", no), (".", no), ("", no), ("/etc/passwd", no), ("sub/../small", no),
                          ("sub//deep/file", no), ("sub/", no), ("link", no), ("up/secret", none), ("pipe", no),
                          ("sub", no), ("nothing", none), ("small/x", none), ("sub/nothing", none), ("x" * 300, none),
                          ("./small", no), ("sub/deep/../../../secret", no)):
            got = client.get(f"GET {path}")
            check(got == why, "GET", path, "says", got[:100])
        for request in ("RANGE small", "RANGE small 1", "RANGE small 1 x", "RANGE small -1 2", "RANGE small 1 -2",
                        "RANGE small 1 99999999999999999999", "RANGE  ", "RANGE small 1x 2"):
            got = client.get(request)
            check(got == "expected RANGE path first count", request, "says", got)
        got = client.get(f"RANGE small {len(SMALL) + 1} 1")
        check(got == "the file ends before that", "a range behind the end says", got)
        for request in ("", "get small", "GET", "PUT x", "GET small\0", "LIST x", "GET " + "x" * 1050):
            got = client.get(request)
            check(got == "no such request", request[:20], "says", got)
        # What is not a file any more, and a file without rights (which root has all the same).
        os.rename(os.path.join(root, "small"), os.path.join(root, "moved"))
        check(client.get("GET small") == "no such file", "a file that has gone")
        client.close()
        # A line without end.
        client = Client(port)
        with contextlib.suppress(OSError):
            client.sock.sendall(b"x" * 100000)
            check(receive_all(client.sock) == b"", "a line without end was answered")
        client.close()
        stop(server)


def slow_readers(examples):
    """One that takes its time gets all of it, in the end; others do not wait for it."""
    with serving(examples) as (server, port, _):
        slow = Client(port, receive_buffer=4096)
        slow.ask("GET big", "GET small")
        others = [Client(port) for _ in range(4)]
        for client in others:
            client.ask("GET big")
        for client in others:
            expect(client.answer(), BIG, "beside a slow one")
            client.close()
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        check(resident < 64 << 20, "the server has", resident, "bytes in memory")
        expect(slow.answer(), BIG, "slowly")
        expect(slow.answer(), SMALL, "slowly")
        slow.close()
        stop(server)


def one_that_only_asks(examples):
    """Errors are answers that nobody has to wait for: they must not pile up."""
    with serving(examples) as (server, port, _):
        client = Client(port, receive_buffer=4096)
        client.sock.setblocking(False)
        line, sent = b"GET nothing\n" * 5000, 0
        quiet = 0
        while quiet < 20 and sent < 256 << 20:
            try:
                sent += client.sock.send(line)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
        check(sent < 64 << 20, sent, "bytes of requests were taken")
        client.reset()
        stop(server)


def clients_that_go_away(examples):
    with serving(examples) as (server, port, _):
        before = descriptors(server)
        for how in ("close", "reset"):
            for size in (0, 1, 100000):
                client = Client(port, receive_buffer=4096)
                client.ask("GET big", "GET small", "GET big")
                client.file.read(size)
                getattr(client, how)()
        wait_descriptors(server, before)
        client = Client(port)
        expect(client.get("GET small"), SMALL, "after the others")
        client.close()
        stop(server)


def a_file_that_becomes_shorter(examples):
    """The length was promised: the connection ends before a shorter file could be taken for the whole."""
    with serving(examples) as (server, port, root):
        client = Client(port, receive_buffer=4096)
        client.ask("GET big", "GET small")
        check(client.file.readline() == b"OK %d\n" % len(BIG), "the length")
        os.truncate(os.path.join(root, "big"), 1000)
        with contextlib.suppress(ConnectionResetError):
            rest = client.file.read()
            check(len(rest) < len(BIG) and b"OK %d\n" % len(SMALL) not in rest, len(rest), "bytes came")
        client.close()
        stop(server)


def drained(examples):
    """Told to end it sends what was asked for, to those who read, and then ends."""
    with serving(examples) as (server, port, _):
        idle, busy = Client(port), Client(port, receive_buffer=4096)
        busy.ask("GET big")
        check(busy.file.readline() == b"OK %d\n" % len(BIG), "the length")
        server.signal(signal.SIGTERM)
        check(receive_all(idle.sock) == b"", "the idle one got something")
        expect(busy.file.read(), BIG, "while it drained")
        busy.close()
        idle.close()
        server.finish()


def told_twice(examples):
    """The second signal ends it in mid-file."""
    with serving(examples) as (server, port, _):
        client = Client(port, receive_buffer=4096)
        client.ask("GET big", "GET small")
        check(client.file.readline() == b"OK %d\n" % len(BIG), "the length")
        server.signal(signal.SIGTERM)
        check_refused(port)
        server.signal(signal.SIGTERM)
        server.finish()
        with contextlib.suppress(ConnectionResetError):
            check(len(client.file.read()) < len(BIG), "all of it came")
        client.close()


def check_refused(port):
    """Waits until nobody listens any more."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        try:
            connect(port).close()
        except OSError:
            return
        time.sleep(0.01)
    check(False, "it still listens")


def command_line(examples):
    examples.check_usage("file_server", [(["word"], "what is meant by 'word'?"), (["--port", "x"], "expected a number")])
    examples.check_backends("file_server", "--port", 0)
    examples.run("file_server", "--root", "/nonsense", code=1, err=r"file_server: /nonsense: No such file.*\n")


main(files_and_ranges, many_requests_at_once, paths_that_lead_elsewhere, slow_readers, one_that_only_asks,
     clients_that_go_away, a_file_that_becomes_shorter, drained, told_twice, command_line)
