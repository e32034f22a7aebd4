#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: U13 U14 U18 U25 T43
"""sort_lines: any amount through a program and back, backpressure, early ends on each side, exit status."""

import os
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, main

# More than all pipes and buffers between the two ends hold.
LINES = b"".join(b"%d line\n" % (i * 7919 % 200003) for i in range(200003))


def raw(examples, *args, **pipes):
    """The program without anybody who collects its output."""
    command = [os.path.join(examples.folder, "sort_lines"), "--backend", examples.backend, *args]
    return subprocess.Popen(command, **pipes)


def sorts(examples):
    program = examples.start("sort_lines", stdin=LINES, env={"LC_ALL": "C"})
    program.finish()
    check(bytes(program.out) == b"".join(sorted(LINES.splitlines(True))), "not sorted, or not all of it")


def passes_through(examples):
    program = examples.start("sort_lines", "cat", stdin=LINES * 5)
    program.finish()
    check(bytes(program.out) == LINES * 5, "changed on its way:", len(program.out), "bytes")


def backpressure(examples):
    """Nobody reads its output: it must stop reading its input."""
    program = raw(examples, "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    os.set_blocking(program.stdin.fileno(), False)
    sent, quiet_since = 0, time.monotonic()
    while time.monotonic() - quiet_since < 0.5:
        try:
            sent += os.write(program.stdin.fileno(), b"x" * 65536)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
        check(sent < 8 << 20, "takes", sent, "bytes that nobody reads")
    os.set_blocking(program.stdin.fileno(), True)
    program.stdin.close()
    received = len(program.stdout.read())
    check(program.wait(PATIENCE) == 0, "exit code", program.returncode)
    check(received == sent, "received", received, "of", sent)
    program.stdout.close()


def files_go_to_the_program_as_they_are(examples):
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"b\na\n")
        source.seek(0)
        check(raw(examples, stdin=source, stdout=target).wait(PATIENCE) == 0, "exit code")
        target.seek(0)
        check(target.read() == b"a\nb\n", "not sorted")


def the_program_ends_its_input_early(examples):
    """Its standard input stays open and idle: it must not be waited for."""
    program = raw(examples, "--", "head", "-n", "1", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    program.stdin.write(b"first\nsecond\n")
    program.stdin.flush()
    check(program.stdout.read() == b"first\n", "printed something else")
    check(program.wait(PATIENCE) == 0, "exit code", program.returncode)
    program.stdin.close()
    program.stdout.close()


def nobody_wants_the_output(examples):
    program = raw(examples, "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    program.stdout.close()
    try:
        while True:
            program.stdin.write(LINES)
    except BrokenPipeError:
        pass
    try:
        program.stdin.close()
    except BrokenPipeError:
        pass
    check(program.wait(PATIENCE) == 128 + signal.SIGPIPE, "exit code", program.returncode)


def exit_status(examples):
    examples.run("sort_lines", "--", "sh", "-c", "cat >/dev/null; exit 5", stdin=b"x", code=5)
    examples.run("sort_lines", "--", "sh", "-c", "kill -15 $$", stdin=b"x", code=143)
    examples.run("sort_lines", "no-such-program-anywhere", code=1, err=".*No such file.*")


def command_line(examples):
    examples.check_usage("sort_lines", [])
    examples.check_backends("sort_lines")


main(sorts, passes_through, backpressure, files_go_to_the_program_as_they_are, the_program_ends_its_input_early,
     nobody_wants_the_output, exit_status, command_line)
