#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: R36 R37 R40
"""upgrade: lines, then frames, in one segment, byte by byte, and cut at every place."""

import os
import signal
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, connect, main, receive_all, receive_exactly

HEADER = b"HELLO\nUPGRADE frame\n"
ANSWER = b"OK\n101\n"


def frame(data):
    return struct.pack(">I", len(data)) + data


# Frames that look like lines, empty ones, and ones that look like prefixes.
FRAMES = b"".join(map(frame, (b"first", b"", b"UPGRADE frame\n", bytes(range(256)), b"\0\0\0\1", b"\n")))


def start(examples):
    server = examples.start("upgrade", "--port", 0)
    return server, server.listening()[1]


def stop(server):
    server.signal(signal.SIGTERM)
    return server.finish()


def in_pieces(sock, pieces, gap=0.0):
    for piece in pieces:
        sock.sendall(piece)
        time.sleep(gap)  # so that they are segments of their own, most of the time


def exchange(server, port, pieces, gap=0.0):
    sock = connect(port)
    name = "127.0.0.1:%d" % sock.getsockname()[1]
    in_pieces(sock, pieces, gap)
    sock.shutdown(socket.SHUT_WR)
    back = receive_all(sock)
    check(back == ANSWER + FRAMES, "came back", back[:60])
    sock.close()
    server.wait_line(name.replace(".", r"\.") + " left after 6 frames")


def in_one_segment(examples):
    server, port = start(examples)
    exchange(server, port, [HEADER + FRAMES])
    stop(server)


def byte_by_byte(examples):
    server, port = start(examples)
    data = HEADER + FRAMES
    exchange(server, port, [data[i:i + 1] for i in range(len(data))], 0.0005)
    stop(server)


def cut_at_every_place(examples):
    server, port = start(examples)
    data = HEADER + FRAMES
    for at in range(1, len(HEADER) + 40):
        exchange(server, port, [data[:at], data[at:]], 0.002)
    stop(server)


def who_waits_for_the_answer_first(examples):
    server, port = start(examples)
    sock = connect(port)
    sock.sendall(b"what?\nHELLO\r\nUPGRADE frame\n")
    check(receive_exactly(sock, 35) == b"400 HELLO or UPGRADE frame?\n" + ANSWER, "the answers")
    big = os.urandom(1 << 20)
    sock.sendall(frame(big))
    check(receive_exactly(sock, 4 + len(big)) == frame(big), "a frame of 1 MiB")
    sock.close()
    server.wait_line(r"127\.0\.0\.1:\d+ left after 1 frames")
    stop(server)


def many_frames_behind_the_line(examples):
    """More than one read holds, and more than may wait on the way back."""
    server, port = start(examples)
    sock = connect(port)
    frames = frame(b"x" * 100000) * 300
    done = threading.Event()

    def send():
        sock.sendall(HEADER + frames)
        done.set()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    check(not done.wait(0.5), "30 MB were taken from a client that does not read")
    check(receive_exactly(sock, len(ANSWER) + len(frames)) == ANSWER + frames, "the frames came back changed")
    sender.join(PATIENCE)
    sock.close()
    stop(server)


def faults_end_the_connection(examples):
    server, port = start(examples)
    for data, said in ((HEADER + struct.pack(">I", (1 << 20) + 1), " left after 0 frames: .+"),
                       (HEADER + frame(b"whole") + b"\0\0", " left after 1 frames: .+")):
        sock = connect(port)
        name = "127.0.0.1:%d" % sock.getsockname()[1]
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        try:
            receive_all(sock)
        except ConnectionResetError:
            pass
        server.wait_line(name.replace(".", r"\.") + said)
        sock.close()
    sock = connect(port)  # a line that is too long is no upgrade
    sock.sendall(b"x" * 2000 + b"\n" + HEADER)
    try:
        check(receive_all(sock) == b"", "a line of 2000 bytes was answered")
    except ConnectionResetError:
        pass
    sock.close()
    stop(server)


def command_line(examples):
    examples.check_usage("upgrade", [(["--port", "-1"], "expected a number from 0 to 65535")])
    examples.check_backends("upgrade", "--port", 0)


main(in_one_segment, byte_by_byte, cut_at_every_place, who_waits_for_the_answer_first, many_frames_behind_the_line,
     faults_end_the_connection, command_line)
