#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 90
"""unix_chat with socat and nc as clients."""

import os
import re
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support.others import need, need_example, start

need("socat", "nc")
need_example("unix_chat")


def chat(examples):
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "chat")
        server = examples.start("unix_chat", path)
        server.wait_line("listening on .*" + re.escape(path))
        ann = start(examples, "socat", "-t", 60, "-", f"UNIX-CONNECT:{path}", talker=True)
        ann_name = server.wait_line(r"(.*\[\d+\]) joined").group(1)
        bob = start(examples, "nc", "-N", "-U", path, talker=True)
        bob_name = server.wait_line(r"(.*\[\d+\]) joined", server.index).group(1)
        for name, client in ((ann_name, ann), (bob_name, bob)):  # the kernel says who they are
            check(name.endswith(f"[{client.process.pid}]"), name, "is not", client.process.pid)
        ann.say(b"hello, bob\n")
        bob.wait_line(re.escape(ann_name) + ": hello, bob")
        bob.say(b"hello, ann")
        bob.end_input()  # without the end of a line
        ann.wait_line(re.escape(bob_name) + ": hello, ann")
        bob.finish()
        server.wait_line(re.escape(bob_name) + " left")
        server.signal(signal.SIGTERM)
        server.finish()
        ann.end_input()
        ann.finish()
        check(not os.path.exists(path), "the socket file is still there")
    finally:
        shutil.rmtree(folder)


main(chat)
