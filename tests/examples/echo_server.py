#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: T5 T38 S22 S53
"""echo_server: echoes, holds back who does not read, drains when told to end, and says what is wrong."""

import os
import signal
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
from lib.programs import (Failure, PATIENCE, check, connect, listen, main, receive_all, receive_exactly)


def start(examples, *args):
    server = examples.start("echo_server", "--port", 0, *args)
    return server, server.listening()[1]


def stop(server, lines=1):
    server.signal(signal.SIGTERM)
    check(len(server.finish()) == lines, "the server printed", server.lines())


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def echoes_and_half_close(examples):
    server, port = start(examples)
    first, second = connect(port), connect(port)
    for message in (b"x", b"hello\n", bytes(range(256)) * 300):
        for sock in (first, second):
            sock.sendall(message)
        for sock in (second, first):
            check(receive_exactly(sock, len(message)) == message, "another echo than", message[:20])
    first.sendall(b"last words")
    first.shutdown(socket.SHUT_WR)
    check(receive_all(first) == b"last words", "what was sent before the half-close did not come back")
    second.close()
    stop(server)


def several_addresses(examples):
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        return
    server = examples.start("echo_server", "--port", 0, "--host", "::1", "--debug")
    host, port = server.listening()
    check(host == "::1", "listens on", host)
    sock = connect(port, "::1")
    sock.sendall(b"six")
    check(receive_exactly(sock, 3) == b"six", "no echo over IPv6")
    sock.close()
    stop(server)


def who_does_not_read_is_held_back(examples):
    server, port = start(examples)
    sock = connect(port)
    sock.sendall(b"warm up")
    receive_exactly(sock, 7)
    before = resident(server.process.pid)
    data = os.urandom(1 << 20) * 64
    done = threading.Event()

    def send():
        try:
            sock.sendall(data)
        except OSError:
            pass
        done.set()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    check(not done.wait(1), "64 MiB were taken from a client that does not read")
    grown = resident(server.process.pid) - before
    check(grown < 8 << 20, "the server grew by", grown, "bytes")
    # Others are served meanwhile.
    other = connect(port)
    other.sendall(b"other")
    check(receive_exactly(other, 5) == b"other", "the other client")
    other.close()
    check(receive_exactly(sock, len(data)) == data, "64 MiB came back changed")
    sender.join(PATIENCE)
    sock.close()
    stop(server)


def reset_in_mid_stream(examples):
    server, port = start(examples)
    for _ in range(20):
        sock = connect(port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.sendall(b"y" * 100000)
        sock.close()
    sock = connect(port)
    sock.sendall(b"still there")
    check(receive_exactly(sock, 11) == b"still there", "no echo after resets")
    sock.close()
    stop(server)


def fill(sock):
    """Sends until the server stops reading; returns the bytes sent."""
    sent = 0
    block = b"z" * 65536
    sock.settimeout(0.5)
    try:
        while sent < 1 << 30:
            sent += sock.send(block)
    except socket.timeout:
        sock.settimeout(PATIENCE)
        return sent
    raise Failure("the server holds a gigabyte for a client that does not read")


def sigterm_drains(examples):
    server, port = start(examples)
    idle, busy = connect(port), connect(port)
    busy.sendall(b"first")
    receive_exactly(busy, 5)
    sent = fill(busy)
    server.signal(signal.SIGTERM)
    check(receive_all(idle) == b"", "the idle client")
    refused = False
    limit = time.monotonic() + PATIENCE
    while not refused and time.monotonic() < limit:
        try:
            connect(port).close()
        except OSError:
            refused = True
    check(refused, "the server still listens while it drains")
    check(server.running(), "the server did not wait for the busy client")
    # What the server had taken and not yet sent comes; what it had not read when told to end does not.
    busy.shutdown(socket.SHUT_WR)
    back = receive_all(busy)
    check(0 < len(back) <= sent and not back.strip(b"z"), "the busy client got", len(back), "of", sent)
    busy.close()
    idle.close()
    check(len(server.finish()) == 1, "the server printed", server.lines())


def second_signal_aborts(examples):
    server, port = start(examples)
    sock = connect(port)
    sent = fill(sock)
    server.signal(signal.SIGINT)
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:  # until the first signal has taken effect
        try:
            connect(port).close()
        except OSError:
            break
    check(server.running(), "the server did not wait for its client")
    told = time.monotonic()
    server.signal(signal.SIGINT)
    server.finish()
    check(server.ended - told < 8, "the second signal did not end it at once")
    try:
        check(len(receive_all(sock)) < sent, "everything came back after an abort")
    except ConnectionResetError:
        pass
    sock.close()


def errors_name_the_cause(examples):
    listener, port = listen()
    for args, err in ((["--port", port], rf"[^\n]*127\.0\.0\.1:{port}[^\n]*\n"),
                      (["--port", 0, "--host", "no..name"], r"[^\n]*no\.\.name[^\n]*\n"),
                      (["--port", 0, "--host", "192.0.2.1"], r"[^\n]*192\.0\.2\.1[^\n]*\n")):
        lines = examples.run("echo_server", *args, code=1, err=err)
        check(not lines, "printed", lines)
    listener.close()


def command_line(examples):
    number = "expected a number from 0 to 65535"
    examples.check_usage("echo_server", [(["--port", "-1"], number), (["--port", "65536"], number),
                                         (["--port", "seven"], number), (["--port"], "--port needs a value"),
                                         (["--debug=1"], "--debug takes no value"),
                                         (["--", "--port"], "what is meant by '--port'?")])
    examples.check_backends("echo_server", "--port", 0)
    server = examples.start("echo_server", "--port=0", env={"EDDY_BACKEND": "nonsense"})  # --backend wins
    server.listening()
    stop(server)


main(echoes_and_half_close, several_addresses, who_does_not_read_is_held_back, reset_in_mid_stream, sigterm_drains,
     second_signal_aborts, errors_name_the_cause, command_line)
