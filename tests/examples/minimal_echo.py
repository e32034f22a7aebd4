#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: S16 S53
"""minimal_echo: the shortest server echoes, drains, and says what is wrong. Its port is fixed."""

import fcntl
import os
import signal
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from lib.programs import check, connect, main, receive_all, receive_exactly

PORT = 7000
SKIPPED = 77


def take_port():
    """One check at a time uses the port, also where several builds are tested at once."""
    path = os.path.join(tempfile.gettempdir(), f"eddy-port-{PORT}-{os.getuid()}.lock")
    lock = open(path, "w", encoding="ascii")
    limit = time.monotonic() + 60
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > limit:
                print(f"skipped: other checks hold {path}")
                sys.exit(SKIPPED)
            time.sleep(0.1)
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", PORT))
    except OSError as error:
        print(f"skipped: port {PORT} is taken ({error})")
        sys.exit(SKIPPED)
    probe.close()
    return lock


def connect_soon(server):
    """It does not say when it listens."""
    limit = time.monotonic() + 40
    while True:
        try:
            return connect(PORT)
        except OSError:
            check(server.running(), "it ended:", server.err)
            check(time.monotonic() < limit, "it does not listen")
            time.sleep(0.02)


def echoes_and_drains(examples):
    env = {"EDDY_BACKEND": examples.backend}
    for number in (signal.SIGINT, signal.SIGTERM):
        server = examples.start("minimal_echo", backend=False, env=env)
        sock = connect_soon(server)
        message = os.urandom(1 << 18)
        sock.sendall(message[:100])
        sock.sendall(message[100:])
        check(receive_exactly(sock, len(message)) == message, "another echo")
        server.signal(number)
        check(receive_all(sock) == b"", "more than the echo")
        sock.close()
        check(server.finish() == [], "it printed", server.lines())


def errors_name_the_cause(examples):
    env = {"EDDY_BACKEND": examples.backend}
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", PORT))
    taken.listen(1)
    examples.run("minimal_echo", backend=False, env=env, code=1, err=rf"[^\n]*127\.0\.0\.1:{PORT}[^\n]*\n")
    taken.close()
    examples.run("minimal_echo", backend=False, env={"EDDY_BACKEND": "nonsense"}, code=1, err=r"[^\n]*nonsense[^\n]*\n")


held = take_port()
main(echoes_and_drains, errors_name_the_cause)
