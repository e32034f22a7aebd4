#!/usr/bin/env python3
# backends: select poll epoll io_uring
# labels: threads
# clause: L73 L74 L77
"""blocking_work: three calls that block take the time of the slowest, the loop ticks, and a fourth is cancelled."""

import re
import sys

sys.dont_write_bytecode = True
from lib.programs import check, check_time, main

EXPECTED = [("printing: cancelled", 0.1), ("asking: done after 300 ms", 0.3), ("computing: done after 600 ms", 0.6),
            ("reading: done after 900 ms", 0.9)]


def at_the_same_time(examples):
    program = examples.start("blocking_work")
    lines = program.finish()
    check(lines[:-1] == [line for line, _ in EXPECTED], "expected", EXPECTED, "got", lines)
    for (line, due), time in zip(EXPECTED, program.times):
        check_time(line, time - program.started, due)
    ticks = re.fullmatch(r"The loop has ticked (\d+) times meanwhile", lines[-1])
    # One every 50 ms on a machine that has time for it; none if a call blocked the loop.
    check(ticks and 5 <= int(ticks.group(1)), "expected some twenty ticks, got", lines[-1])
    check_time("end", program.ended - program.started, 0.9)


def command_line(examples):
    examples.check_usage("blocking_work", [(["word"], "what is meant by 'word'?")])
    examples.check_backends("blocking_work")


main(at_the_same_time, command_line)
