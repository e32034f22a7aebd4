#!/usr/bin/env python3
# backends: epoll io_uring
# serial
# clause: A13 A14 A15 U1 U15
"""run_processes: the lines of A13, A14 and A15, at their times."""

import re
import sys

sys.dont_write_bytecode = True
from lib.programs import check, check_time, lateness, main


def lines_and_times(program, expected):
    lines = program.finish()
    check(len(lines) == len(expected), "expected", len(expected), "lines, got", lines)
    for line, (name, due) in zip(lines, expected):
        match = re.fullmatch(r"(.*) at (\d+\.\d)", line)
        check(match and match.group(1) == name, "expected", name, "got", lines)
        check_time(line, float(match.group(2)), due)


def one_by_one(examples):
    lines_and_times(examples.start("run_processes", "one-by-one"),
                    [("Started sleep", 0.0), ("Finished sleep", 0.1), ("Started sleep", 0.1),
                     ("Finished sleep", 0.2), ("Started sleep", 0.2), ("Finished sleep", 0.3)])


def together(examples):
    lines_and_times(examples.start("run_processes", "together"),
                    5 * [("Started sleep", 0.0)] + 5 * [("Finished sleep", 0.1)])


def until_stopped(examples):
    program = examples.start("run_processes", "until-stopped")
    lines_and_times(program, 5 * [("Started sleep", 0.0)] + 5 * [("Finished sleep", 0.1)])
    # Its half second begins a little after it was started here, so its end cannot be early.
    check_time("end", program.ended - program.started, 0.5, late=lateness() + program.times[0] - program.started)


def stopped_before_they_end(examples):
    lines = examples.run("run_processes", "until-stopped", "--seconds", 1, "--count", 3,
                         err=r".*closed with 3 children.*|.*still open.*")
    check(len(lines) == 3, "printed", lines)


def many(examples):
    lines = examples.run("run_processes", "together", "--count", 50, "--seconds", 0)
    check(sum(line.startswith("Finished") for line in lines) == 50, "printed", lines)


def failures(examples):
    lines = examples.run("run_processes", "together", "--seconds", "nonsense", code=1, err=".*nonsense.*")
    check(len(lines) == 10, "printed", lines)
    lines = examples.run("run_processes", "together", env={"PATH": "/no/such/place"}, code=1,
                         err="(run_processes: [^\n]*No such file[^\n]*\n){5}")
    check(not lines, "printed", lines)


def command_line(examples):
    examples.check_usage("run_processes", [([], "expected one-by-one, together or until-stopped"),
                                           (["nonsense"], "expected one-by-one, together or until-stopped"),
                                           (["--count", "0"], "expected a number from 1")])
    examples.check_backends("run_processes", "together")


main(one_by_one, together, until_stopped, stopped_before_they_end, many, failures, command_line)
