#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 90
"""pty_shell in a terminal of socat's, with real programs in it."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import main
from support.others import need, need_example, start

need("socat", "stty", "tty")
need_example("pty_shell")


def shell_in_a_terminal(examples):
    command = f"{examples.folder}/pty_shell --backend {examples.backend} -- /bin/sh"
    terminal = start(examples, "socat", "-t", 60, "-", f"EXEC:{command},pty,setsid,ctty,stderr", talker=True)
    terminal.say(b"stty rows 31 cols 97; stty size; tty\n")
    terminal.wait_line(r".*31 97\s*")
    terminal.wait_line(r".*/dev/pts/\d+\s*")
    # Who says so is the program in front, no shell on the way to it; the shell's prompt may stand before its words.
    terminal.say(b"sh -c 'echo a\"\"sleep; exec sleep 3600'\n")
    terminal.wait_line(r".*\basleep\s*")
    terminal.say(b"\x03")  # a byte to the terminal outside, which is raw; a signal inside
    terminal.say(b"echo $((6 * 7)) lives\n")
    terminal.wait_line(r".*42 lives\s*")
    terminal.say(b"exit\n")
    terminal.end_input()
    terminal.finish(err=".*")


main(shell_in_a_terminal)
