#!/usr/bin/env python3
# backends: select poll epoll io_uring
"""pass_fd: the child reads a file that the parent has opened."""

import sys
import tempfile

sys.dont_write_bytecode = True
from lib.programs import check, main


def the_child_reads_it(examples):
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"one\ntwo\n" * 5000)
        file.flush()
        program = examples.start("pass_fd", file.name)
        program.finish()
        lines = program.lines()
        check(lines[0] == f'child: got "{file.name}"', lines[0])
        check(lines[1:] == ["one", "two"] * 5000, len(lines), "lines")


def a_file_that_is_not_there(examples):
    program = examples.start("pass_fd", "/nonexistent/file")
    program.finish(1, "the file cannot be opened\n")
    check(program.lines() == [], "something was printed")


def command_line(examples):
    examples.check_usage("pass_fd", [([], "expected a file")])


main(the_child_reads_it, a_file_that_is_not_there, command_line)
