#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: L55 L56
"""foreign_fd with servers of our own, which behave as real ones rarely do. (tests/interop has the real ones.)"""

import os
import signal
import sys

sys.dont_write_bytecode = True
from lib.programs import accept, check, listen, main, receive_exactly, unused_port

HELLO = ["redis: connected", "redis: hello", "redis: message on eddy: hello"]


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


ECHO = command(b"ECHO", b"hello")
SUBSCRIBE = command(b"SUBSCRIBE", b"eddy")
PUBLISH = command(b"PUBLISH", b"eddy", b"hello")
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$4\r\neddy\r\n:1\r\n"


def message(text):
    return command(b"message", b"eddy", text)


def start(examples, *args):
    """foreign_fd, and its connections for commands and for messages."""
    listener, port = listen()
    program = examples.start("foreign_fd", "--redis", f"127.0.0.1:{port}", *args)
    socks = [accept(listener), accept(listener)]
    listener.close()
    heads = [receive_exactly(sock, 13) for sock in socks]
    if heads[0] == SUBSCRIBE[:13]:
        socks.reverse()
        heads.reverse()
    check(heads[1] + receive_exactly(socks[1], len(SUBSCRIBE) - 13) == SUBSCRIBE, "not a subscription")
    return (program, heads[0], *socks)


def receive(sock, expected, head=b""):
    got = head + receive_exactly(sock, len(expected) - len(head))
    check(got == expected, "received", got[:100], "expected", expected[:100])


def send_slowly(sock, data):
    for i in range(len(data)):
        sock.sendall(data[i:i + 1])


def byte_after_byte(examples):
    program, head, commands, messages = start(examples)
    receive(commands, ECHO, head)
    send_slowly(commands, b"$5\r\nhello\r\n")
    send_slowly(messages, SUBSCRIBED)
    receive(commands, PUBLISH)
    send_slowly(messages, message(b"hello"))
    check(sorted(program.finish()) == sorted(HELLO), "printed", program.lines())


def who_reads_late_gets_all(examples):
    """Messages go on while the data waits until it can be written."""
    program, head, commands, messages = start(examples, "--bytes", "32M", "--stay")
    for i in range(50):
        messages.sendall(message(b"%d" % i))
        program.wait_line(f"redis: message on eddy: {i}")
    receive(commands, ECHO, head)
    prefix = b"*2\r\n$4\r\nECHO\r\n$33554432\r\n"
    receive(commands, prefix)
    data = receive_exactly(commands, 32 << 20)
    receive(commands, b"\r\n")
    check(data[:251] == bytes(range(251)), "other data")
    commands.sendall(b"$5\r\nhello\r\n$33554432\r\n" + data + b"\r\n")
    program.wait_line("redis: 33554432 bytes there and back")
    program.wait_line("listening until SIGINT or SIGTERM")
    program.signal(signal.SIGTERM)
    program.finish()


def answers_that_are_wrong(examples):
    for answer, why in ((b"nonsense\r\n", "Protocol error, [^\n]*"), (b"-ERR no\r\n", "ERR no"),
                        (b"$5\r\nhello\r\n$3\r\nabc\r\n", "the data came back changed")):
        program, head, commands, _ = start(examples, "--bytes", 3)
        receive(commands, ECHO, head)
        commands.sendall(answer)
        program.finish(1, f"foreign_fd: redis: {why}\n")


def servers_that_go(examples):
    for which in (0, 1):
        program, head, *socks = start(examples)
        receive(socks[0], ECHO, head)
        socks[0].sendall(b"$5\r\nhe")
        socks[which].close()
        program.finish(1, "foreign_fd: redis: Server closed the connection\n")


def postgres_that_is_none(examples):
    """One connection that is closed, one that is answered by nonsense, and one that is not answered."""
    listener, port = listen()
    args = ("--postgres", f"host=127.0.0.1 port={port} user=me sslmode=disable gssencmode=disable")
    program = examples.start("foreign_fd", *args)
    receive_exactly(accept(listener), 8)
    program.finish(1, "foreign_fd: postgres: [^\n]*server closed the connection unexpectedly\n")
    program = examples.start("foreign_fd", *args)
    sock = accept(listener)
    receive_exactly(sock, 8)
    sock.sendall(b"nonsense\n")
    program.finish(1, "foreign_fd: postgres: [^\n]+\n")
    program = examples.start("foreign_fd", *args, "--timeout", 0.3)
    sock = accept(listener)
    program.finish(1, "foreign_fd: not finished after 0.3 s\n")
    listener.close()


def nobody_there(examples):
    nobody, port = unused_port()
    lines = examples.run("foreign_fd", "--redis", f"127.0.0.1:{port}", "--postgres", f"host=127.0.0.1 port={port}",
                         code=1, err="(foreign_fd: (redis: |postgres: [^\n]*)Connection refused\n){2}")
    check(not lines, "printed", lines)
    nobody.close()


def command_line(examples):
    examples.check_usage("foreign_fd", [([], "--postgres, --redis or both are missing"),
                                        (["--redis", "x", "--bytes", "1G"], "at most 256M")])
    examples.check_backends("foreign_fd", "--redis", "127.0.0.1:1")
    for address in ("", "x", ":1", "localhost:1", "127.0.0.1:", "127.0.0.1:x", "x" * 100 + ":1"):
        examples.run("foreign_fd", "--redis", address, code=1,
                     err="foreign_fd: redis: expected ADDRESS:PORT or /PATH\n")
    for words in ("", "  ", "x " * 33):
        examples.run("foreign_fd", "--redis", "127.0.0.1:1", "--command", words, code=1,
                     err="foreign_fd: redis: [^\n]+\n")
    examples.run("foreign_fd", "--postgres", "nonsense", code=1, err='foreign_fd: postgres: missing "=" [^\n]*\n')


if not os.access(os.path.join(sys.argv[sys.argv.index("--bin") + 1], "foreign_fd"), os.X_OK):
    print("skipped: foreign_fd is not built where libpq or hiredis is missing")
    sys.exit(77)
main(byte_after_byte, who_reads_late_gets_all, answers_that_are_wrong, servers_that_go, postgres_that_is_none,
     nobody_there, command_line)
