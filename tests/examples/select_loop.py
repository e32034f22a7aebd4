#!/usr/bin/env python3
# backends: select
# clause: A9 P26
"""select_loop: three sleepers on a loop over a selector object end after 1, 2 and 3 seconds."""

import sys

sys.dont_write_bytecode = True
from lib.programs import check, check_time, lateness, main

EXPECTED = ["Using selector: select", "Finished sleeper with delay: 1", "Finished sleeper with delay: 2",
            "Finished sleeper with delay: 3"]


def three_sleepers(examples):
    # The environment chooses for those who leave it open.
    program = examples.start("select_loop", backend=False, env={"EDDY_BACKEND": "nonsense"})
    lines = program.finish()
    check(lines == EXPECTED, "expected", EXPECTED, "got", lines)
    begin = program.times[0]
    for delay, time in enumerate(program.times[1:], 1):
        # They are started a little after the first line was printed, which may be read late.
        check_time(f"sleeper {delay}", time - begin, delay, slack=0.05)
    check_time("end", program.ended - program.started, 3.0, late=lateness() + begin - program.started)


def command_line(examples):
    lines = examples.run("select_loop", "--help", backend=False)
    check(lines[0] == "usage: select_loop [OPTION...]", "--help says", lines[:1])
    for args, message in ((["word"], "what is meant by 'word'?"), (["--nonsense"], "unknown option --nonsense")):
        examples.run("select_loop", *args, backend=False, code=2, err=rf"select_loop: {message}[^\n]*\n".replace("?", r"\?"))


main(three_sleepers, command_line)
