#!/usr/bin/env python3
# backends: epoll io_uring
# serial
# clause: A11 B3
"""call_order prints the lines of A11 in their order, at their times, and ends at one second."""

import re
import sys

sys.dont_write_bytecode = True
from lib.programs import check, check_time, lateness, main

EXPECTED = [
    ("Started call_soon", 0.0), ("Finished call_soon", 0.2),
    ("Started call_soon_threadsafe", 0.2), ("Finished call_soon_threadsafe", 0.4),
    ("Started call_later", 0.4), ("Finished call_later", 0.6),
    ("Started call_at", 0.6), ("Finished call_at", 0.8),
]


def lines_and_times(examples):
    program = examples.start("call_order")
    lines = program.finish()
    check(len(lines) == len(EXPECTED), "expected", len(EXPECTED), "lines, got", lines)
    for line, (name, due) in zip(lines, EXPECTED):
        match = re.fullmatch(r"(.*) at (\d+\.\d)", line)
        check(match and match.group(1) == name, "expected", name, "got", line)
        check_time(line, float(match.group(2)), due)
    # The program's second begins a little after it was started here, so its end cannot be early; how long it
    # took to start is seen from its first line, which comes at once.
    check_time("end", program.ended - program.started, 1.0,
               late=lateness() + program.times[0] - program.started)


def command_line(examples):
    examples.check_usage("call_order", [(["word"], "what is meant by 'word'?")])
    examples.check_backends("call_order")


main(lines_and_times, command_line)
