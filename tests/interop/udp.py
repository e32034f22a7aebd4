#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 90
"""udp_echo with socat and nc at the other end."""

import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support.others import free_port, need, need_example, start

need("socat", "nc")
need_example("udp_echo")


def serve(examples):
    server = examples.start("udp_echo", "--port", 0)
    return server, server.listening()[1]


def clients_of_the_server(examples):
    server, port = serve(examples)
    for command in (("socat", "-", f"UDP:127.0.0.1:{port}"), ("nc", "-u", "127.0.0.1", port)):
        client = start(examples, *command, talker=True)
        for text in ("one", "two", "x" * 1400):
            client.say(text.encode() + b"\n")
            client.wait_line(text)
        client.kill()
    server.signal(signal.SIGTERM)
    server.finish()


def server_of_the_client(examples):
    """It may start late: what is not answered is sent again."""
    port = free_port()
    client = examples.start("udp_echo", "--to", "127.0.0.1", "--port", port, "--count", 20, "--patience", 0.1, "--tries",
                            300)
    start(examples, "socat", f"UDP-RECVFROM:{port},bind=127.0.0.1,fork", "EXEC:cat")
    lines = client.finish(err="(udp_echo: [^\n]*refused[^\n]*\n)*")
    check([int(line.split()[0]) for line in lines] == list(range(1, 21)), "printed", lines)


main(clients_of_the_server, server_of_the_client)
