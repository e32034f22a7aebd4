#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: A10 P2
"""custom_policy: the current loop comes from the factory of the policy that it has installed."""

import re
import sys

sys.dont_write_bytecode = True
from lib.programs import check, main

EXPECTED = [r"The loop reports: slow callback: timer \S*custom_policy\.c:\d+ took 0\.\d+ seconds",
            r"The policy is watchful, the one installed",
            r"It has made 1 loop, which is the current one, debug mode on"]


def loop_of_the_factory(examples):
    lines = examples.run("custom_policy")
    check(len(lines) == len(EXPECTED), "expected", len(EXPECTED), "lines, got", lines)
    for line, pattern in zip(lines, EXPECTED):
        check(re.fullmatch(pattern, line), "expected", repr(pattern), "got", repr(line))


def command_line(examples):
    examples.check_usage("custom_policy", [(["word"], "what is meant by 'word'?")])
    for more, env in ((["--backend", "nonsense"], None), ([], {"EDDY_BACKEND": "nonsense"})):
        examples.run("custom_policy", *more, backend=False, env=env, code=1,
                     err=r"[^\n]*nonsense[^\n]*\ncustom_policy: Invalid argument\n")


main(loop_of_the_factory, command_line)
