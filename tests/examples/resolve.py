#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: B11 L78 L81
"""resolve: many names at once, asked of a name server in this script; names that do not exist, and one never answered."""

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from lib.programs import Late, check, main

A, PTR, AAAA, SRV = 1, 12, 28, 33


def packed_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def service(priority, weight, port, target):
    return struct.pack(">HHH", priority, weight, port) + packed_name(target)


class NameServer:
    """On UDP. It knows `names`: (name, type) to a delay and the data of the answers; a delay of None is silence."""

    def __init__(self, names):
        self.names = {(name.lower(), kind): answer for (name, kind), answer in names.items()}
        self.known = {name for name, _ in self.names}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.timers = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.sock.recvfrom(4096)
            except OSError:  # closed
                return
            reply, delay = self.answer(query)
            if delay is None:
                continue
            timer = threading.Timer(delay, self.send, (reply, client))
            timer.daemon = True
            timer.start()
            self.timers.append(timer)

    def send(self, reply, client):
        try:
            self.sock.sendto(reply, client)
        except OSError:
            pass

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack_from(">H", query, at + 1)[0]
        delay, data = self.names.get((name, kind), (0, []))
        code = 0 if name in self.known else 3
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(data), 0, 0)
        answers = b"".join(struct.pack(">HHHIH", 0xc00c, kind, 1, 60, len(d)) + d for d in data)
        return head + query[12:at + 5] + answers, delay

    def close(self):
        for timer in self.timers:
            timer.cancel()
        self.sock.close()


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def asks_servers(examples):
    """Whether this build has the resolver that can be told whom to ask."""
    command = [os.path.join(examples.folder, "resolve"), "--resolver", "c-ares", "127.0.0.1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if b"there is no resolver" not in done.stderr:
        return True
    print("this build cannot be told which server to ask", flush=True)
    return False


def run(examples, server, *args, **more):
    return examples.run("resolve", "--resolver", "c-ares", "--servers", server.address, *args, **more)


def without_time(line):
    match = re.fullmatch(r"(.*) in \d+\.\d{3} s", line)
    check(match, "no time in", line)
    return match.group(1)


def several_take_the_time_of_the_slowest(examples):
    if not asks_servers(examples):
        return
    delays = {"one.test": 0.3, "two.test": 0.6, "three.test": 0.9}
    server = NameServer({(name, A): (delay, [address("192.0.2.%d" % (10 * delay))]) for name, delay in delays.items()})
    # Longest first: the answers come in the order of their times all the same.
    lines = run(examples, server, "-4", *reversed(delays))
    server.close()
    check([without_time(line) for line in lines] ==
          ["one.test: 192.0.2.3", "two.test: 192.0.2.6", "three.test: 192.0.2.9", "3 of 3 answered"],
          "printed", lines)
    total = float(lines[-1].split()[-2])
    check(total >= 0.85, "all were answered in", total, "s, before the slowest could be")
    if total > 1.7:  # the sum is 1.8
        raise Late(f"all were answered in {total} s")


def kinds_of_answers(examples):
    if not asks_servers(examples):
        return
    server = NameServer({
        ("both.test", A): (0, [address("192.0.2.1"), address("192.0.2.2")]),
        ("both.test", AAAA): (0, [address("2001:db8::1")]),
        ("4.2.0.192.in-addr.arpa", PTR): (0, [packed_name("four.test")]),
        ("_x._tcp.test", SRV): (0, [service(20, 0, 81, "b.test"), service(10, 5, 80, "a.test")]),
        ("escape.test", A): (0, [address("192.0.2.3")]),
        ("3.2.0.192.in-addr.arpa", PTR): (0, [packed_name("\x1b[31mred.test")]),
    })
    lines = run(examples, server, "both.test")
    check(set(without_time(lines[0]).split()) == {"both.test:", "192.0.2.1", "192.0.2.2", "2001:db8::1"}, lines)
    lines = run(examples, server, "-4", "both.test")
    check(set(without_time(lines[0]).split()) == {"both.test:", "192.0.2.1", "192.0.2.2"}, lines)
    lines = run(examples, server, "-6", "both.test")
    check(without_time(lines[0]) == "both.test: 2001:db8::1", lines)
    lines = run(examples, server, "--reverse", "192.0.2.4", "--srv", "_x._tcp.test")
    check(sorted(without_time(line) for line in lines[:2]) ==
          ["192.0.2.4: four.test",
           "_x._tcp.test: a.test:80 (priority 10, weight 5) b.test:81 (priority 20, weight 0)"], lines)
    # What a stranger has put into a name does not reach the terminal: refused, or made harmless.
    program = examples.start("resolve", "--resolver", "c-ares", "--servers", server.address, "--reverse", "192.0.2.3")
    program.process.wait(40)
    program.finish(program.process.returncode, ".*")
    check(b"\x1b" not in program.out + program.err, "printed", bytes(program.out + program.err))
    server.close()


def failures(examples):
    if not asks_servers(examples):
        return
    server = NameServer({("good.test", A): (0, [address("192.0.2.1")]), ("silent.test", A): (None, [])})
    begin = time.monotonic()
    lines = run(examples, server, "-4", "--timeout", "1.5", "silent.test", "good.test", "none.test", code=1,
                err=r"(?=.*none\.test: )(?=.*silent\.test: no answer within 1\.5 seconds).*")
    check(time.monotonic() - begin < 20, "the time-out came late")
    check([without_time(line) for line in lines] == ["good.test: 192.0.2.1", "1 of 3 answered"], "printed", lines)
    server.close()


def by_the_system(examples):
    """What needs no server."""
    lines = examples.run("resolve", "--resolver", "threads", "localhost", "127.0.0.1", "::1")
    check(len(lines) == 4 and lines[3].startswith("3 of 3 answered in "), "printed", lines)
    answers = {without_time(line) for line in lines[:3]}
    check({"127.0.0.1: 127.0.0.1", "::1: ::1"} < answers, "printed", lines)
    check(any(re.fullmatch(r"localhost:( 127\.0\.0\.1| ::1)+", line) for line in answers), "printed", lines)
    examples.run("resolve", "--resolver", "threads", "--srv", "_x._tcp.test", code=1, err=r"resolve: .*_x\._tcp\.test.*\n")


def command_line(examples):
    examples.check_usage("resolve", [([], "nothing to look up"), (["--reverse", "x"], "expected a numeric address"),
                                     (["--timeout", "0"], "expected a number of seconds")])
    examples.check_backends("resolve", "127.0.0.1")
    examples.run("resolve", "--resolver", "nonsense", "127.0.0.1", code=1, err=r"resolve: .*nonsense.*\n")


main(several_take_the_time_of_the_slowest, kinds_of_answers, failures, by_the_system, command_line)
