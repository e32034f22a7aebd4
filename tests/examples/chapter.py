#!/usr/bin/env python3
# backends: epoll io_uring
# serial
# timeout: 60
# clause: A18 A19 A20 B10
"""chapter_server with two clients that overlap: each line, in its order, at its time."""

import re
import sys
import time

sys.dont_write_bytecode = True
from lib.programs import check, check_time, lateness, main


def split(lines):
    """Pairs of time and text."""
    matches = [re.fullmatch(r"(\d+\.\d) (.*)", line) for line in lines]
    check(all(matches), "a line without a time in", lines)
    return [(float(match.group(1)), match.group(2)) for match in matches]


def check_server_side(lines, name, count):
    """The server's lines for one client: all there, in order, at about the same time, which is returned."""
    mine = [(at, text) for at, text in lines if name in text]
    expected = [f"Client connected {name}", f"Started sending to {name}"]
    expected += [f"client: {name}, {i}" for i in range(count)]
    expected += [f"Finished sending to {name}"]
    check([text for _, text in mine] == expected, "expected", expected, "got", mine)
    for at, text in mine:
        check_time(text, at, mine[0][0])
    return mine[0][0]


def check_client_side(program, connected_at, count):
    """One line a second, from a second after connecting; returns the name that the server gave it."""
    lines = split(program.lines())
    check(len(lines) == count, "expected", count, "lines, got", lines)
    name = re.fullmatch(r"Got line:  client: (127\.0\.0\.1:\d+), 0", lines[0][1])
    check(name, "the first line is", lines[0])
    for i, (at, text) in enumerate(lines):
        check(text == f"Got line:  client: {name.group(1)}, {i}", "line", i, "is", text)
        # Both clocks are rounded to a tenth, and the server's start to a hundredth.
        check_time(text, at, connected_at + i + 1, 0.11)
        check(program.times[i] - program.started >= i + 1, text, "came too early")
    return name.group(1)


def two_clients_overlap(examples):
    server = examples.start("chapter_server", "--port", 0)
    port = server.listening()[1]
    start_up = time.monotonic() - server.started
    time.sleep(0.4)
    first = examples.start("chapter_client", 3, "--port", port)
    time.sleep(1.6)
    second = examples.start("chapter_client", 2, "--port", port)
    first.finish()
    second.finish()
    server.finish()
    lines = split(server.lines()[1:])
    names = [text[len("Client connected "):] for _, text in lines if text.startswith("Client connected ")]
    check(len(names) == 2 and len(lines) == 6 + 5, "the server's lines are", lines)
    for program, name, count in ((first, names[0], 3), (second, names[1], 2)):
        connected_at = check_server_side(lines, name, count)
        check(check_client_side(program, connected_at, count) == name, "the client", name, "has another name")
    # While the first client still works on its lines the server is done with it.
    check_time("end of the server", server.ended - server.started, 5.0, late=lateness() + start_up)


main(two_clients_overlap)
