#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: T54 S47
"""multicast_chat: several programs in one group on the loopback interface hear each other."""

import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
from lib.programs import Program, check, main


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        return sock.getsockname()[1]


class Member(Program):
    """Its input stays open until it is told to end."""

    def feed(self, data):
        pass


def join(examples, port, name, group="239.255.70.70"):
    """One that has heard itself."""
    command = [os.path.join(examples.folder, "multicast_chat"), "--backend", examples.backend, "--group", group,
               "--port", str(port), "--interface", "127.0.0.1", "--name", name]
    member = Member(command, stdin=b"")
    examples.programs.append(member)
    member.wait_line(rf"{name}: \(joins\)")
    return member


def tell(member, text):
    member.process.stdin.write(text)
    member.process.stdin.flush()


def three_hear_each_other(examples):
    port = free_port()
    members = [join(examples, port, name) for name in ("ann", "bob", "cyd")]
    for member, name in zip(members, ("ann", "bob", "cyd")):
        tell(member, f"hello from {name}\nand ".encode())
        for other in members:
            other.wait_line(f"{name}: hello from {name}")
        tell(member, b"again\n")
        for other in members:
            other.wait_line(f"{name}: and again")
    members[1].process.stdin.close()
    members[1].finish()
    for other in (members[0], members[2]):
        other.wait_line(r"bob: \(leaves\)")
    members[2].signal(signal.SIGINT)
    members[2].finish()
    members[0].wait_line(r"cyd: \(leaves\)")
    members[0].process.stdin.close()
    members[0].finish()


def other_groups_are_not_heard(examples):
    port = free_port()
    ann = join(examples, port, "ann")
    bob = join(examples, port, "bob", group="239.255.70.71")
    tell(bob, b"anybody?\n")
    bob.wait_line(r"bob: anybody\?")
    tell(ann, b"still here\n")
    ann.wait_line("ann: still here")
    check(not any("bob" in line for line in ann.lines()), "ann has heard", ann.lines())
    for member in (bob, ann):
        member.process.stdin.close()
        member.finish()


def mistakes(examples):
    examples.check_usage("multicast_chat", [(["--group", "nowhere"], "no address of a group"),
                                            (["--port", "0"], "no address of a group"), (["hi"], "what is meant")])
    examples.run("multicast_chat", "--group", "127.0.0.1", "--port", free_port(), code=1,
                 err=r"multicast_chat: joining the group: [^\n]*\n")
    examples.run("multicast_chat", "--interface", "no-such-interface", "--port", free_port(), code=1,
                 err=r"multicast_chat: joining the group: [^\n]*\n")


main(three_hear_each_other, other_groups_are_not_heard, mistakes)
