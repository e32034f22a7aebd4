#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: T18 T21 R24 R26
"""forward: whatever two hosts do to each other directly, they do through the forwarder, or two of them."""

import hashlib
import os
import re
import signal
import socket
import sys
import threading

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, accept, check, connect, listen, main, receive_all, receive_exactly, unused_port

ENDED = r"127\.0\.0\.1:{}: {} bytes there, {} back"


def start(examples, port):
    forwarder = examples.start("forward", "--port", 0, "--to", f"127.0.0.1:{port}")
    return forwarder, forwarder.listening()[1]


def stop(forwarder):
    forwarder.signal(signal.SIGTERM)
    return forwarder.finish()


def name_of(sock):
    return sock.getsockname()[1]


def join(threads):
    for thread in threads:
        thread.join(PATIENCE)
        check(not thread.is_alive(), "bytes are still under way")


def send_to_end(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def big_transfer_through_two_hops(examples):
    listener, port = listen()
    second, port = start(examples, port)
    first, port = start(examples, port)
    client = connect(port)
    target = accept(listener)
    there, back = os.urandom(1 << 20) * 48, os.urandom(1 << 20) * 32
    threads = [threading.Thread(target=send_to_end, args=pair, daemon=True) for pair in ((client, there), (target, back))]
    digests = {}

    def receive(sock):
        digests[sock] = hashlib.sha256(receive_all(sock)).digest()

    threads += [threading.Thread(target=receive, args=(sock,), daemon=True) for sock in (client, target)]
    for thread in threads:
        thread.start()
    join(threads)
    check(digests[target] == hashlib.sha256(there).digest(), "the target got other bytes")
    check(digests[client] == hashlib.sha256(back).digest(), "the client got other bytes")
    first.wait_line(ENDED.format(name_of(client), len(there), len(back)))
    second.wait_line(ENDED.format(r"\d+", len(there), len(back)))
    for sock in (client, target, listener):
        sock.close()
    stop(first)
    stop(second)


def half_close_either_way(examples):
    listener, port = listen()
    forwarder, port = start(examples, port)
    for client_first in (True, False):
        client = connect(port)
        target = accept(listener)
        one, two = (client, target) if client_first else (target, client)
        send_to_end(one, b"question")
        check(receive_all(two) == b"question", "the question")
        two.sendall(b"the answer, ")
        check(receive_exactly(one, 12) == b"the answer, ", "the answer's beginning")
        send_to_end(two, b"and its end")
        check(receive_all(one) == b"and its end", "the answer's end")
        forwarder.wait_line(ENDED.format(name_of(client), *((8, 23) if client_first else (23, 8))))
        client.close()
        target.close()
    listener.close()
    stop(forwarder)


def ended(sock):
    """Whether it is over, and in good order: no bytes, but an end or a reset."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def target_is_down(examples):
    holder, port = unused_port()
    forwarder, there = start(examples, port)
    for early in (b"", b"early"):
        client = connect(there)
        if early:
            client.sendall(early)
        check(ended(client), "bytes came from nowhere")
        forwarder.wait_line(ENDED.format(name_of(client), 0, 0) + rf": .*127\.0\.0\.1:{port}.*")
        client.close()
    holder.close()
    stop(forwarder)


def resets_pass_through(examples):
    listener, port = listen()
    forwarder, port = start(examples, port)
    for of_target in (True, False):
        client = connect(port)
        target = accept(listener)
        client.sendall(b"hello")
        receive_exactly(target, 5)
        lost, left = (target, client) if of_target else (client, target)
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        name = name_of(client)
        lost.close()
        check(ended(left), "bytes came after the reset")
        forwarder.wait_line(ENDED.format(name, 5, 0) + ": .+")
        left.close()
    # Others do not notice.
    client = connect(port)
    target = accept(listener)
    send_to_end(client, b"still there")
    check(receive_all(target) == b"still there", "no forwarding after resets")
    for sock in (client, target, listener):
        sock.close()
    stop(forwarder)


def who_does_not_read_holds_the_sender_back(examples):
    listener, port = listen()
    forwarder, port = start(examples, port)
    client = connect(port)
    target = accept(listener)
    client.settimeout(0.5)
    sent = 0
    try:
        while sent < 1 << 30:
            sent += client.send(b"z" * 65536)
    except socket.timeout:
        client.settimeout(PATIENCE)
    check(sent < 1 << 30, "the forwarder holds a gigabyte for a target that does not read")
    client.shutdown(socket.SHUT_WR)
    data = receive_all(target)
    check(len(data) == sent and not data.strip(b"z"), "the target got", len(data), "of", sent)
    for sock in (client, target, listener):
        sock.close()
    stop(forwarder)


def fifty_clients_at_once(examples):
    listener, port = listen(64)
    forwarder, port = start(examples, port)
    clients = [connect(port) for _ in range(50)]
    targets = [accept(listener) for _ in clients]
    for number, client in enumerate(clients):
        client.sendall(b"%04d" % number)
    numbers = [int(receive_exactly(target, 4)) for target in targets]
    check(sorted(numbers) == list(range(50)), "the targets got", numbers)
    for number, target in zip(numbers, targets):
        target.sendall(b"%04d" % (number * 2))
    for number, client in enumerate(clients):
        check(int(receive_exactly(client, 4)) == number * 2, "client", number, "got another's answer")
    for sock in clients + targets:
        sock.close()
    for client in range(50):
        forwarder.wait_line(ENDED.format(r"\d+", 4, 4), after=1 + client)
    listener.close()
    stop(forwarder)


def sigterm_lets_the_last_bytes_pass(examples):
    listener, port = listen()
    forwarder, port = start(examples, port)
    client = connect(port)
    target = accept(listener)
    client.sendall(b"question")
    receive_exactly(target, 8)
    forwarder.signal(signal.SIGTERM)
    try:
        while True:  # until it has taken effect
            sock = connect(port)
            check(ended(sock), "a client was accepted and answered while the forwarder drains")
            sock.close()
    except OSError:
        pass
    send_to_end(target, b"answer")
    check(receive_all(client) == b"answer", "the answer after SIGTERM")
    client.close()
    target.close()
    listener.close()
    lines = forwarder.finish()
    check(re.fullmatch(ENDED.format(r"\d+", 8, 6), lines[-1]), "the last line is", lines[-1])


def over_ipv6(examples):
    if not socket.has_ipv6:
        return
    listener = socket.socket(socket.AF_INET6)
    listener.settimeout(PATIENCE)
    try:
        listener.bind(("::1", 0))
    except OSError:  # none here
        listener.close()
        return
    listener.listen(1)
    forwarder = examples.start("forward", "--port", 0, "--to", f"[::1]:{listener.getsockname()[1]}")
    client = connect(forwarder.listening()[1])
    target = accept(listener)
    send_to_end(client, b"six")
    check(receive_all(target) == b"six", "over IPv6")
    for sock in (client, target, listener):
        sock.close()
    stop(forwarder)


def command_line(examples):
    where = "expected HOST:PORT"
    examples.check_usage("forward", [([], "--to HOST:PORT is missing"), (["--to", "1.2.3.4"], where),
                                     (["--to", "1.2.3.4:0"], where), (["--to", "1.2.3.4:http"], where),
                                     (["--to", ":80"], "expected HOST:PORT"),
                                     (["--to", "x" * 300 + ":80"], where), (["--to", ":80"], "expected"),
                                     (["--to", "]:80"], "expected"), (["--to", "[]:80"], "expected")])
    examples.check_backends("forward", "--port", 0, "--to", "127.0.0.1:1")


main(big_transfer_through_two_hops, half_close_either_way, target_is_down, resets_pass_through,
     who_does_not_read_holds_the_sender_back, fifty_clients_at_once, sigterm_lets_the_last_bytes_pass, over_ipv6,
     command_line)
