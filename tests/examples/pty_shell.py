#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 90
# clauses: T40 T41 T46
"""pty_shell: a program in a pseudo-terminal, ours in raw mode and as it was afterwards, sizes and exit codes passed on."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, main


class Terminal:
    """The program with a terminal of ours in front of it."""

    def __init__(self, examples, *command, rows=24, cols=80, **streams):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        self.modes = termios.tcgetattr(self.slave)
        self.seen = b""
        standard = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        standard.update(streams)
        self.process = subprocess.Popen([os.path.join(examples.folder, "pty_shell"), "--backend", examples.backend, "--",
                                         *command], preexec_fn=self.take, env=dict(os.environ, PS1="> "), **standard)
        examples.programs.append(self)

    def take(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern):
        """Reads until it has been shown; returns the match, and forgets all up to there."""
        limit = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern.encode(), self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            left = limit - time.monotonic()
            ready = select.select([self.master], [], [], max(left, 0))[0]
            check(ready, f"{pattern!r} was not shown, but", self.seen[-2000:])
            self.seen += os.read(self.master, 65536)

    def finish(self, code):
        """Reads on, so that what it has to show does not hold it up."""
        limit = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            check(time.monotonic() < limit, "does not end; shown:", self.seen[-2000:])
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        check(self.process.returncode == code, "exit code", self.process.returncode, "expected", code, self.seen[-2000:])
        check(termios.tcgetattr(self.slave) == self.modes, "the terminal's modes were not restored")
        return self.seen

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)


def a_shell(examples):
    terminal = Terminal(examples, "sh")
    terminal.type("echo $((6 * 7)) && tty\n")
    terminal.wait_for("42")
    name = terminal.wait_for(r"(/dev/\S+)").group(1).decode()
    check(name != os.ttyname(terminal.slave), "it has our terminal:", name)
    check(terminal.is_raw(), "the terminal is not in raw mode")
    terminal.type("sh -c 'trap \"echo caught; exit\" INT; echo be\"\"fore; while :; do sleep 0.1; done'\n")
    terminal.wait_for("before")
    terminal.type("\x03")  # reaches the program in front, by its own terminal
    terminal.wait_for("caught\r\n")
    terminal.wait_for("> ")
    terminal.type("echo go'ing' on; exit 5\n")
    terminal.wait_for("going on")
    terminal.finish(5)


def window_sizes(examples):
    terminal = Terminal(examples, "sh", rows=31, cols=97)
    terminal.type("stty size\n")
    terminal.wait_for("31 97")
    terminal.type("trap 'stty size' WINCH; echo re''ady\n")
    terminal.wait_for("ready")
    terminal.resize(17, 55)
    terminal.type("\n")
    terminal.wait_for("17 55")
    terminal.type("exit\n")
    terminal.finish(0)


def exit_codes(examples):
    Terminal(examples, "true").finish(0)
    Terminal(examples, "false").finish(1)
    Terminal(examples, "sh", "-c", "kill -KILL $$").finish(128 + 9)
    shown = Terminal(examples, "/nonexistent/program").finish(1)
    check(re.search(rb"pty_shell: [^\n]*nonexistent", shown), "not a word of it:", shown)


def signals_from_outside(examples):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        terminal = Terminal(examples, "sh", "-c", "trap '' HUP INT TERM QUIT; echo pid $$; while :; do sleep 0.1; done")
        pid = int(terminal.wait_for(r"pid (\d+)\r").group(1))
        check(terminal.is_raw(), "the terminal is not in raw mode")
        terminal.process.send_signal(number)
        terminal.finish(128 + number)
        try:
            os.kill(pid, 0)
            check(False, "the program is still there after", number)
        except ProcessLookupError:
            pass


def much_output(examples):
    terminal = Terminal(examples, "sh", "-c", "seq 200000")
    time.sleep(0.2)  # nobody reads: all of them stand
    shown = terminal.finish(0)
    expected = b"".join(b"%d\r\n" % number for number in range(1, 200001))
    check(shown == expected, len(shown), "bytes were shown, expected", len(expected))


def pipes_in_place_of_a_terminal(examples):
    lines = b"".join(b"line %d\n" % number for number in range(2000))
    program = examples.start("pty_shell", "--", "sh", "-c", "stty -echo -onlcr; echo go; cat", stdin=b"")
    program.finish(0)
    program = examples.start("pty_shell", "--", "sh", "-c", "stty -echo; cat; exit 3", stdin=lines)
    shown = program.finish(3)
    check([line.strip() for line in shown if line.startswith("line")][-1] == "line 1999", "shown:", shown[-3:])


def our_terminal_goes(examples):
    terminal = Terminal(examples, "sh", "-c", "trap '' HUP; echo up; while :; do sleep 0.1; done")
    terminal.wait_for("up")
    os.close(terminal.master)
    terminal.master = -1
    try:
        terminal.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        check(False, "it goes on without a terminal")


def command_line(examples):
    examples.check_usage("pty_shell", [])
    examples.check_backends("pty_shell", "true")


main(a_shell, window_sizes, exit_codes, signals_from_outside, much_output, pipes_in_place_of_a_terminal,
     our_terminal_goes, command_line)
