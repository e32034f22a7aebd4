#!/usr/bin/env python3
# backends: select poll epoll io_uring
# clause: A16 A17 U1
"""run_script feeds a script to an interpreter and prints its lines; other commands do as well."""

import os
import sys

sys.dont_write_bytecode = True
from lib.programs import check, main

EXPECTED = ["x: 256", "y: 16", "z: 4", "i: 0", "i: 1", "i: 2", "i: 3"]


def the_script_of_the_chapter(examples):
    folder = os.path.dirname(sys.executable)
    path = os.pathsep.join([folder, os.environ.get("PATH", "/usr/bin:/bin")])
    check(examples.run("run_script", env={"PATH": path}) == EXPECTED, "printed something else")


def another_interpreter(examples):
    lines = examples.run("run_script", "sh", "for i in 1 2 3; do echo line $i; done; printf end; exit 3", code=3)
    check(lines == ["line 1", "line 2", "line 3", "end"], "printed", lines)


def more_than_pipes_hold(examples):
    script = "x\n" * 60000
    lines = examples.run("run_script", "cat", script)
    check(lines == script.splitlines(), "printed", len(lines), "lines")


def commands_that_fail(examples):
    examples.run("run_script", "no-such-program-anywhere", code=127, err=".*not found.*")
    examples.run("run_script", "kill -9 $$", code=137)
    lines = examples.run("run_script", "echo without input", "x" * 100000)
    check(lines == ["without input"], "printed", lines)


def command_line(examples):
    examples.check_usage("run_script", [(["a", "b", "c"], "what is meant by 'c'?")])
    examples.check_backends("run_script")


main(the_script_of_the_chapter, another_interpreter, more_than_pipes_hold, commands_that_fail, command_line)
