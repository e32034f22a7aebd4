#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: S1 R7 R8 G15
"""reconnect comes back to a server that goes and comes, later each time, gives up, and ends when told."""

import re
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from lib.programs import accept, check, check_time, connect, listen, main, receive_exactly, unused_port


def servers_come_and_go(examples):
    server = examples.start("echo_server", "--port", 0)
    port = server.listening()[1]
    client = examples.start("reconnect", "--port", port, "--delay", "0.05", "--max-delay", "0.2", "--attempts", 1000)
    client.wait_line("connected")
    server.kill()
    client.wait_line("connection lost: .*", client.index)
    client.wait_line("trying again in 0.05 s", client.index)
    client.wait_line(rf"attempt 1 failed: .*127\.0\.0\.1:{port}.*", client.index)
    client.wait_line("trying again in 0.10 s", client.index)
    client.wait_line("attempt 2 failed: .*", client.index)
    client.wait_line("trying again in 0.20 s", client.index)
    client.wait_line("attempt 3 failed: .*", client.index)
    client.wait_line("trying again in 0.20 s", client.index)
    server = examples.start("echo_server", "--port", port)
    server.listening()
    client.wait_line("connected", client.index)
    # The kernel has connected it; when a later connection is served, the server has accepted it too.
    probe = connect(port)
    probe.sendall(b"x")
    receive_exactly(probe, 1)
    probe.close()
    server.signal(signal.SIGTERM)
    server.finish()
    client.wait_line("connection lost: the server closed it", client.index)
    client.wait_line("trying again in 0.05 s", client.index)  # the connection has reset the delay
    client.signal(signal.SIGTERM)
    client.wait_line("told to end", client.index)
    client.finish()


def received_bytes_and_resets(examples):
    listener, port = listen()
    client = examples.start("reconnect", "--port", port, "--delay", "0.05")
    sock = accept(listener)
    sock.sendall(b"hello\n")
    client.wait_line("received 6 bytes: hello")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    client.wait_line("connection lost: .*reset.*", client.index)
    sock = accept(listener)
    client.wait_line("connected", client.index)
    client.signal(signal.SIGINT)
    check(sock.recv(1) == b"", "not closed when told to end")
    client.finish()
    sock.close()
    listener.close()


def gives_up(examples):
    nobody, port = unused_port()
    client = examples.start("reconnect", "--port", port, "--delay", "0.1", "--attempts", 4)
    lines = client.finish(1)
    check(len(lines) == 8 and lines[-1] == "giving up", "printed", lines)
    for i in range(3):
        check(re.fullmatch(rf"attempt {i + 1} failed: .*refused.*", lines[2 * i]), "line", 2 * i, "of", lines)
        check(lines[2 * i + 1] == "trying again in %.2f s" % (0.1 * 2 ** i), "line", 2 * i + 1, "of", lines)
    check_time("giving up", client.ended - client.started, 0.7, late=5)
    nobody.close()


def told_to_end_in_each_phase(examples):
    # While it waits for the next attempt.
    nobody, port = unused_port()
    client = examples.start("reconnect", "--port", port, "--delay", 60, "--max-delay", 60)
    client.wait_line("trying again in 60.00 s")
    client.signal(signal.SIGINT)
    check(client.finish()[-1] == "told to end", "printed", client.lines())
    check(client.ended - client.started < 50, "it waited for its timer")
    nobody.close()
    # While it connects: a full backlog gives no answer.
    listener, port = listen(0)
    fillers = [socket.socket() for _ in range(8)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    client = examples.start("reconnect", "--port", port)
    wait_until_caught(client.process.pid, signal.SIGTERM)
    client.signal(signal.SIGTERM)
    check(client.finish() == ["told to end"], "printed", client.lines())
    for filler in fillers:
        filler.close()
    listener.close()


def wait_until_caught(pid, number):
    """Until the process has a handler for the signal."""
    limit = time.monotonic() + 40
    while time.monotonic() < limit:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", file.read(), re.MULTILINE)
        if int(caught.group(1), 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)


def command_line(examples):
    examples.check_usage("reconnect", [(["--attempts", "0"], "expected a number from 1"),
                                       (["--delay", "x"], "expected a number of seconds"),
                                       (["word"], "what is meant by 'word'?")])
    examples.check_backends("reconnect")
    # A name is an error that no new attempt will cure, but each attempt says so.
    lines = examples.run("reconnect", "--host", "no.such.name", "--attempts", 1, code=1)
    check(re.fullmatch(r"attempt 1 failed: .*no\.such\.name.*", lines[0]), "printed", lines)


main(servers_come_and_go, received_bytes_and_resets, gives_up, told_to_end_in_each_phase, command_line)
