#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: S41 S42 T39
"""unix_chat: lines go to all the others, who are known by their credentials; the socket file comes and goes."""

import os
import pwd
import re
import signal
import socket
import stat
import sys
import tempfile

sys.dont_write_bytecode = True
from lib.programs import check, main

NAME = f"{pwd.getpwuid(os.geteuid()).pw_name[:40]}[{os.getpid()}]"


class Client:
    def __init__(self, server, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(40)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        server.wait_line(re.escape(NAME) + " joined", after=getattr(server, "index", 0))

    def say(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def expect(self, *lines):
        for line in lines:
            got = self.file.readline()
            check(got == line.encode() + b"\n", "got", got, "expected", line)

    def close(self):
        self.file.close()
        self.sock.close()


def start(examples, path, *args):
    server = examples.start("unix_chat", path, *args)
    server.wait_line("listening on unix:" + re.escape(path))
    return server


def stop(server):
    server.signal(signal.SIGTERM)
    server.finish()


def users_are_known(examples):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat")
        server = start(examples, path)
        ann = Client(server, path)
        bob = Client(server, path)
        ann.expect(f"{NAME}: joined")
        ann.say("hello")
        bob.expect(f"{NAME}: hello")
        bob.say("/who")
        bob.expect(f"* {NAME}", f"* {NAME}")
        bob.say("/quit")
        ann.expect(f"{NAME}: left")
        check(bob.file.readline() == b"", "bob is still there")
        ann.close()
        bob.close()
        stop(server)


def the_file_comes_and_goes(examples):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat")
        server = start(examples, path, "--mode", "620")
        check(stat.S_IMODE(os.lstat(path).st_mode) == 0o620, "the mode is another")
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        check(os.path.exists(path), "nobody could remove it")
        server = start(examples, path)  # in the place of the one left behind
        check(stat.S_IMODE(os.lstat(path).st_mode) == 0o600, "the default mode is another")
        Client(server, path).close()
        stop(server)
        check(not os.path.exists(path), "it is left behind")
        with open(path, "w", encoding="ascii"):
            pass
        other = examples.start("unix_chat", path)
        other.finish(1, rf".*Address '{re.escape(path)}' is already in use\n")
        check(os.path.exists(path), "a file that is no socket was removed")


def command_line(examples):
    examples.check_usage("unix_chat", [(["--mode", "9"], "expected permissions from 1 to 777"),
                                       ([], "expected the path")])


main(users_are_known, the_file_comes_and_goes, command_line)
