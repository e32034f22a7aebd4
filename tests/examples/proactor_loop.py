#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: A7 P10 P29
"""proactor_loop says on what it runs and sleeps a second, by whatever name its loop is made."""

import re
import sys

sys.dont_write_bytecode = True
from lib.programs import check, check_time, lateness, main

SLEPT = "Finished sleeper with delay: 1"


def sleep_a_second(examples, pattern, **more):
    program = examples.start("proactor_loop", **more)
    # Where there is no io_uring, one line says what is used instead.
    lines = program.finish(err=r"(eddy: [^\n]*io_uring[^\n]*\n)?")
    check(len(lines) == 2 and lines[1] == SLEPT, "expected", [pattern, SLEPT], "got", lines)
    check(re.fullmatch(pattern, lines[0]), "expected", repr(pattern), "got", repr(lines[0]))
    check_time("end", program.ended - program.started, 1.0,
               late=lateness() + program.times[0] - program.started)
    return program


def proactor(examples):
    program = sleep_a_second(examples, r"ProactorEventLoop \((io_uring|epoll|poll|select)\)", backend=False)
    fell_back = "io_uring" not in program.lines()[0]
    check(not fell_back or program.err, "fell back without a word")


def by_name(examples):
    sleep_a_second(examples, rf"EventLoop \({examples.backend}\)")


def command_line(examples):
    examples.check_usage("proactor_loop", [(["word"], "what is meant by 'word'?")])
    examples.run("proactor_loop", "--backend", "nonsense", backend=False, code=1, err=r"[^\n]*nonsense[^\n]*\n")


main(proactor, by_name, command_line)
