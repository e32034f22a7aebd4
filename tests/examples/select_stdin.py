#!/usr/bin/env python3
# backends: select poll epoll
# clause: A8 P12 P14 P16 P17
"""select_stdin: shows each line of its input as Python would, as it comes, and ends with it."""

import os
import random
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, main


def shown(text):
    return "Got input from stdin: " + repr(text)


def expected(data):
    """What Python's own loop over a file prints."""
    return [shown(line) for line in data.decode().splitlines(keepends=True)] if data else []


def each_line_when_it_comes(examples):
    program = subprocess.Popen([os.path.join(examples.folder, "select_stdin"), "--backend", examples.backend],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        for line in (b"hello\n", b"\n", b"two words\n"):
            program.stdin.write(line)  # the next one only when this has been answered
            check(program.stdout.readline().decode() == shown(line.decode()) + "\n", "the answer to", line)
        program.stdin.write(b"in ")
        program.stdin.write(b"pieces\nand a half")
        check(program.stdout.readline().decode() == shown("in pieces\n") + "\n", "a line in pieces")
        program.stdin.close()
        check(program.stdout.read().decode() == shown("and a half") + "\n", "a last line without its end")
        check(program.wait(PATIENCE) == 0, "exit code", program.returncode)
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


def escapes_as_python_does(examples):
    for text in ("it's\n", 'a "quoted" word\n', "both ' and \"\n", "back\\slash\ttab\n", "\x01\x1b[31m\x7f\0\n",
                 "umlaute äöü €\n", "cr\r", "   \n"):
        lines = examples.run("select_stdin", stdin=text.encode())
        check(lines == [shown(text)], "for", repr(text), "it printed", lines)


def no_input(examples):
    check(examples.run("select_stdin", stdin=b"") == [], "printed something for nothing")


def long_and_many_lines(examples):
    rng = random.Random(8)
    data = b"".join(bytes(rng.choice(b"abc '\\") for _ in range(rng.choice((0, 1, 80, 5000)))) + b"\n"
                    for _ in range(400))
    data += b"x" * 1000000 + b"\nlast"
    check(examples.run("select_stdin", stdin=data) == expected(data), "long input was changed")


def files(examples):
    """epoll takes none: by default poll steps in."""
    command = [os.path.join(examples.folder, "select_stdin")]
    with tempfile.TemporaryFile() as file:
        file.write(b"one\ntwo")
        for args in ([], ["--backend", examples.backend]):
            file.seek(0)
            done = subprocess.run(command + args, stdin=file, capture_output=True, timeout=PATIENCE, check=False)
            if args and examples.backend == "epoll":
                check(done.returncode == 1 and b"epoll does not take standard input" in done.stderr, done)
                check(not done.stdout, "printed", done.stdout)
            else:
                check(done.returncode == 0, done)
                check(done.stdout.decode().splitlines() == expected(b"one\ntwo"), "printed", done.stdout)


def usage(examples):
    examples.check_usage("select_stdin", [(["word"], "what is meant by 'word'?")])
    examples.run("select_stdin", "--backend", "nonsense", backend=False, code=1,
                 err=r"select_stdin: [^\n]*nonsense[^\n]*\n")
    examples.run("select_stdin", "--backend", "kqueue", backend=False, code=1,
                 err=r"select_stdin: [^\n]*kqueue[^\n]*\n")


main(each_line_when_it_comes, escapes_as_python_does, no_input, long_and_many_lines, files, usage)
