#!/usr/bin/env python3
# backends: select poll epoll io_uring
# labels: threads
# clause: B1 L30
"""worker_thread prints what its thread computed, in order, and its cancelled alarm is silent."""

import sys

sys.dont_write_bytecode = True
from lib.programs import check, main

RESULTS = ["The worker has cancelled the alarm", "There are 9592 primes below 100000",
           "There are 17984 primes below 200000", "There are 25997 primes below 300000"]
PASSED = "The time of the alarm has passed"


def results_and_alarm(examples):
    program = examples.start("worker_thread")
    lines = program.finish()
    check(lines.count(PASSED) == 1, "expected once", repr(PASSED), "got", lines)
    check(program.times[lines.index(PASSED)] - program.started >= 1.2, "the alarm's time passed too soon")
    # A slow machine may compute longer than that.
    lines.remove(PASSED)
    check(lines == RESULTS, "expected", RESULTS, "got", lines)


def command_line(examples):
    examples.check_usage("worker_thread", [(["word"], "what is meant by 'word'?")])
    examples.check_backends("worker_thread")


main(results_and_alarm, command_line)
