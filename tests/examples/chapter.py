#!/usr/bin/env python3
# backends: select poll epoll
# serial
# timeout: 90
# clause: A18 A19 A20 B10
"""chapter_server with two clients that overlap: each line, in its order, at its time; then what can go wrong."""

import re
import sys
import time

sys.dont_write_bytecode = True
from lib.programs import (PATIENCE, accept, check, check_time, connect, lateness, listen, main, receive_all,
                          receive_exactly, unused_port)


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
    check_time("end of the server", server.ended - server.started, 5.0, start_up)


def requests_in_pieces_and_bad_ones(examples):
    server = examples.start("chapter_server", "--port", 0)
    port = server.listening()[1]
    slow, bad, long, many = (connect(port) for _ in range(4))
    for sock in (slow, bad, long, many):
        greeting = sock.makefile("rb").readline()
        check(abs(float(greeting) - time.time()) < PATIENCE, "the greeting is", greeting)
    slow.sendall(b"1")
    many.sendall(b"30000\n")  # more than the buffers hold: flow control, while others are served
    bad.sendall(b"many\n")
    long.sendall(b"1" * 100)
    for sock in (bad, long):
        try:
            check(sock.recv(1) == b"", "an answer to a bad request")
        except ConnectionResetError:
            pass
    slow.sendall(b"2\n")
    text = receive_all(slow).decode()
    me = "127.0.0.1:%d" % slow.getsockname()[1]
    check(text == "".join(f"client: {me}, {i}\n" for i in range(12)), "the client in pieces got", text)
    me = "127.0.0.1:%d" % many.getsockname()[1]
    check(receive_all(many).decode() == "".join(f"client: {me}, {i}\n" for i in range(30000)),
          "30000 lines did not arrive as they were sent")
    server.finish()
    for sock, why in ((bad, "the request is not a number"), (long, "the request is too long")):
        pattern = rf"\d\.\d Lost 127.0.0.1:{sock.getsockname()[1]}: {why}"
        check(any(re.fullmatch(pattern, line) for line in server.lines()), "no line like", pattern)


def a_silent_client_does_not_keep_the_server(examples):
    server = examples.start("chapter_server", "--port", 0)
    sock = connect(server.listening()[1])
    start_up = time.monotonic() - server.started
    sock.sendall(b"1000000\n")  # and reads nothing: 30 MB, more than the kernel takes
    server.finish()
    check_time("end of the server", server.ended - server.started, 6.0, start_up)
    sock.close()


def lines_in_pieces(examples):
    listener, port = listen()
    client = examples.start("chapter_client", 2, "--port", port)
    sock = accept(listener)
    for piece in (b"%.2f" % (time.time() - 10), b"\ncli"):
        sock.sendall(piece)
    check(receive_exactly(sock, 2) == b"2\n", "not what was asked for")
    for piece in (b"ent: a, 0", b"\nclient: a, 1\n"):
        sock.sendall(piece)
    sock.close()
    lines = split(client.finish())
    check([text for _, text in lines] == ["Got line:  client: a, 0", "Got line:  client: a, 1"], "got", lines)
    check_time("the first line", lines[0][0], 11.0, 0.2)
    check(client.times[1] - client.started >= 2.0, "the second line came too early")


def servers_that_fail(examples):
    listener, port = listen()
    client = examples.start("chapter_client", 2, "--port", port)
    sock = accept(listener)
    sock.sendall(b"%.2f\nclient: a, 0\n" % time.time())
    sock.shutdown(1)
    client.finish(1, "chapter_client: the server closed after 1 of 2 lines\n")
    sock.close()

    client = examples.start("chapter_client", 2, "--port", port)
    sock = accept(listener)
    sock.sendall(b"hello\n")
    client.finish(1, "chapter_client: no date in the first line\n")
    sock.close()

    client = examples.start("chapter_client", 2, "--port", port)
    sock = accept(listener)
    sock.sendall(b"x" * 1000)
    client.finish(1, "chapter_client: the line is too long\n")
    sock.close()

    nobody, port = unused_port()
    examples.run("chapter_client", 1, "--port", port, code=1, err=rf"chapter_client: [^\n]*127\.0\.0\.1:{port}[^\n]*\n")
    examples.run("chapter_server", "--port", listener.getsockname()[1], code=1,
                 err=rf"chapter_server: [^\n]*127\.0\.0\.1:{listener.getsockname()[1]}[^\n]*\n")
    nobody.close()
    listener.close()


def command_line(examples):
    number = "expected N, a number of lines"
    examples.check_usage("chapter_client", [([], number), (["0"], number), (["x"], number), (["1", "2"], number),
                                            (["1", "--port", "65536"], "--port 65536: expected a number from 0")])
    examples.check_usage("chapter_server", [(["word"], "what is meant by 'word'?"),
                                            (["--port=x"], "--port x: expected a number from 0")])
    examples.check_backends("chapter_client", 1)
    examples.check_backends("chapter_server", "--port", 0)
    for name, args in (("chapter_client", [1]), ("chapter_server", [])):
        examples.run(name, "--host", "no.such.name", *args, code=1, err=rf"{name}: [^\n]*no\.such\.name[^\n]*\n")


main(two_clients_overlap, requests_in_pieces_and_bad_ones, a_silent_client_does_not_keep_the_server, lines_in_pieces,
     servers_that_fail, command_line)
