#!/usr/bin/env python3
# backends: select poll epoll
# clause: P26
"""counting_selector: a server over a selector class of the user's; the counts tell that all went through it."""

import re
import signal
import sys

sys.dont_write_bytecode = True
from lib.programs import check, connect, listen, main, receive_all, receive_exactly

MESSAGES = 200


def stop(server):
    server.signal(signal.SIGTERM)
    lines = server.finish()
    check(len(lines) == 3, "it printed", lines)
    match = re.fullmatch(r"(\d+) sets, (\d+) waits", lines[2])
    check(match, "the last line is", lines[2])
    return int(match.group(1)), int(match.group(2))


def nothing_served(examples):
    server = examples.start("counting_selector", "--port", 0)
    server.listening()
    return stop(server)


def counts_what_the_loop_asks(examples):
    few = nothing_served(examples)
    server = examples.start("counting_selector", "--port", 0)
    port = server.listening()[1]
    check(server.lines()[0] == f"counting the calls of {examples.backend}", server.lines())
    clients = [connect(port) for _ in range(10)]
    for number in range(MESSAGES):  # one after the other: each takes a wait of its own
        client = clients[number % len(clients)]
        client.sendall(b"message")
        check(receive_exactly(client, 7) == b"message", "no echo")
    for client in clients:
        client.close()
    last = connect(port)
    last.sendall(b"x" * 100000)
    last.shutdown(1)
    check(receive_all(last) == b"x" * 100000, "another echo")
    last.close()
    sets, waits = stop(server)
    # In and out, for each connection.
    check(sets - few[0] >= 2 * len(clients), sets, "sets, and", few[0], "without clients")
    check(sets - few[0] < 20 * len(clients), sets, "sets, and", few[0], "without clients")
    check(waits - few[1] >= MESSAGES, waits, "waits, and", few[1], "without clients")
    check(waits - few[1] < 10 * MESSAGES, waits, "waits, and", few[1], "without clients")


def wraps_the_best_by_default(examples):
    server = examples.start("counting_selector", "--port", 0, backend=False)
    server.listening()
    wrapped = "epoll" if sys.platform == "linux" else "poll"
    check(server.lines()[0] == f"counting the calls of {wrapped}", server.lines())
    stop(server)


def mistakes(examples):
    sock, port = listen()
    examples.run("counting_selector", "--port", port, code=1, err=rf"[^\n]*127\.0\.0\.1:{port}[^\n]*\n")
    sock.close()
    examples.run("counting_selector", "--backend", "nonsense", backend=False, code=1,
                 err=r"counting_selector: [^\n]*nonsense[^\n]*\n")
    examples.check_usage("counting_selector", [(["--port", "65536"], "expected a number")])


main(counts_what_the_loop_asks, wraps_the_best_by_default, mistakes)
