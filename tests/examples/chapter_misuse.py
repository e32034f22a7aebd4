#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: A18 A19 B10
"""chapter_server and chapter_client with peers that are slow, silent or wrong, and with bad command lines."""

import re
import socket
import sys
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, accept, check, check_time, connect, listen, main, receive_all, receive_exactly
from lib.programs import unused_port


def clients_that_misbehave(examples):
    server = examples.start("chapter_server", "--port", 0)
    port = server.listening()[1]
    slow, bad, long, many, silent = (connect(port, receive_buffer=65536) for _ in range(5))
    for sock in (slow, bad, long, many, silent):
        greeting = sock.makefile("rb").readline()
        check(abs(float(greeting) - time.time()) < PATIENCE, "the greeting is", greeting)
    slow.sendall(b"1")
    silent.sendall(b"1000000\n")  # and reads nothing of 30 MB, so that the server has to throw it out at the end
    many.sendall(b"200000\n")  # more than the buffers hold: flow control, while others are served
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
    check(receive_all(many).decode() == "".join(f"client: {me}, {i}\n" for i in range(200000)),
          "200000 lines did not arrive as they were sent")
    server.finish()
    check_time("end of the server", server.ended - server.started, 6.0, late=5)
    for sock, why in ((bad, "the request is not a number"), (long, "the request is too long"),
                      (silent, ".*time.*")):
        pattern = rf"\d\.\d Lost 127.0.0.1:{sock.getsockname()[1]}: {why}"
        check(any(re.fullmatch(pattern, line) for line in server.lines()), "no line like", pattern)
    silent.close()


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
    lines = client.finish()
    check([line.split(" ", 1)[1] for line in lines] == ["Got line:  client: a, 0", "Got line:  client: a, 1"], "got", lines)
    check_time("the first line", float(lines[0].split()[0]), 11.0, 0.1, late=5)
    check(client.times[1] - client.started >= 2.0, "the second line came too early")


def servers_that_fail(examples):
    listener, port = listen()
    client = examples.start("chapter_client", 2, "--port", port)
    sock = accept(listener)
    sock.sendall(b"%.2f\nclient: a, 0\n" % time.time())
    sock.shutdown(socket.SHUT_WR)
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


main(clients_that_misbehave, lines_in_pieces, servers_that_fail, command_line)
