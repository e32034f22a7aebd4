"""Running the examples and looking at what they print, when they print it, and how they end."""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

# For whatever has no time of its own: far more than is ever needed, less than ctest's patience.
PATIENCE = 40


class Failure(Exception):
    pass


class Late(Failure):
    """Right, but later than allowed: what another program on this machine can do to any."""


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(part) for part in what))


def lateness():
    """How late something may be, in seconds; never early is checked whatever this says."""
    if os.environ.get("EDDY_LOADED"):
        return PATIENCE
    return 0.2 if os.getloadavg()[0] > (os.cpu_count() or 1) else 0.1


def check_time(what, seconds, expected, slack=0.0, late=0.0):
    """Never early, and late by what the load of the machine allows, or by `late`, for scripts that do not have the
    machine for themselves. `slack` is for rounding."""
    late = max(late, lateness())
    text = f"{what}: at {seconds:.3f} s, expected at {expected:.3f} s, at most {late + slack:.2f} s later"
    check(expected - slack - 1e-9 <= seconds, text)
    if seconds > expected + slack + late + 1e-9:
        raise Late(text)


class Program:
    """A running program. Its lines are collected with the times at which they came."""

    def __init__(self, command, env=None, stdin=None):
        self.command = command
        self.started = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if name != "EDDY_BACKEND"}
        # The address sanitizer would keep 256 MiB of what is freed, and memory is measured.
        environment["ASAN_OPTIONS"] = ":".join(filter(None, (
            os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1", "thread_local_quarantine_size_kb=64")))
        environment.update(env or {})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.out = bytearray()
        self.err = bytearray()
        self.times = []  # of the ends of lines in out
        self.ended = None
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.collect, args=(self.process.stdout, self.out, self.times)),
                        threading.Thread(target=self.collect, args=(self.process.stderr, self.err, []))]
        if stdin is not None:
            self.threads.append(threading.Thread(target=self.feed, args=(stdin,)))
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def feed(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def collect(self, pipe, buffer, times):
        while True:
            data = os.read(pipe.fileno(), 65536)
            now = time.monotonic()
            with self.changed:
                buffer.extend(data)
                times.extend([now] * data.count(b"\n"))
                self.changed.notify_all()
            if not data:
                pipe.close()
                return

    def lines(self):
        with self.changed:
            text = self.out.decode(errors="replace")
        return text.split("\n")[:-1]

    def complain(self, what):
        out, err = (bytes(buffer[-4000:]).decode(errors="replace") for buffer in (self.out, self.err))
        raise Failure(f"{' '.join(self.command)}: {what}\n-- end of standard output:\n{out}\n"
                      f"-- end of standard error:\n{err}")

    def wait_line(self, pattern, after=0):
        """The match of the first line, from number `after` on, that matches; `.index` is where the next begins."""
        limit = time.monotonic() + PATIENCE
        seen = after
        while True:
            lines = self.lines()
            for number in range(seen, len(lines)):
                match = re.fullmatch(pattern, lines[number])
                if match:
                    self.index = number + 1
                    return match
            seen = len(lines)
            with self.changed:
                open_pipes = self.threads[0].is_alive()
                if len(self.times) == seen:
                    if not open_pipes or time.monotonic() > limit:
                        break
                    self.changed.wait(0.2)
        self.complain(f"no line like {pattern!r}")

    def listening(self):
        """The address and port on which it says that it listens."""
        match = self.wait_line(r"listening on (.*):(\d+)")
        return match.group(1).strip("[]"), int(match.group(2))

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def finish(self, code=0, err=""):
        """Waits for the end; what it wrote to standard error must match `err` as a whole."""
        try:
            got = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.complain("does not end")
        self.ended = time.monotonic()
        for thread in self.threads:
            thread.join(PATIENCE)
        if got != code:
            self.complain(f"exit code {got}, expected {code}")
        text = self.err.decode(errors="replace")
        if not re.fullmatch(err, text, re.DOTALL):
            self.complain(f"standard error does not match {err!r}")
        return self.lines()

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(1)


class Examples:
    """The programs of one build on one backend."""

    def __init__(self, folder, backend):
        self.folder = folder
        self.backend = backend
        self.programs = []

    def start(self, name, *args, backend=True, env=None, stdin=None):
        command = [os.path.join(self.folder, name)]
        if backend:
            command += ["--backend", self.backend]
        program = Program(command + [str(arg) for arg in args], env, stdin)
        self.programs.append(program)
        return program

    def run(self, name, *args, code=0, err="", **more):
        return self.start(name, *args, **more).finish(code, err)

    def kill_all(self):
        for program in self.programs:
            program.kill()

    def check_usage(self, name, bad):
        """--help, and the answers to mistakes: pairs of arguments and what the message must hold."""
        lines = self.run(name, "--help", backend=False)
        check(lines[0].startswith(f"usage: {name} [OPTION...]"), name, "--help says", lines[:1])
        check(any("--backend NAME" in line for line in lines), name, "--help does not tell of --backend")
        bad = bad + [(["--nonsense"], "unknown option --nonsense"), (["--backend"], "--backend needs a value"),
                     (["--help=1"], "unknown option --help")]
        for args, message in bad:
            lines = self.run(name, *args, backend=False, code=2, err=rf"{name}: [^\n]*{re.escape(message)}[^\n]*\n")
            check(not lines, name, args, "printed", lines)

    def check_backends(self, name, *args):
        """Unknown backends, by option and by environment: a clear error that names them."""
        for more, env in ((["--backend", "nonsense"], None), ([], {"EDDY_BACKEND": "nonsense"})):
            lines = self.run(name, *more, *args, backend=False, env=env, code=1, err=r"[^\n]*nonsense[^\n]*\n")
            check(not lines, name, "went on with an unknown backend:", lines)


def connect(port, host="127.0.0.1", receive_buffer=0):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.settimeout(PATIENCE)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        sock.connect((host, port))
    except OSError:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(65536, count - len(data)))
        check(piece, "the connection ended after", len(data), "of", count, "bytes")
        data.extend(piece)
    return bytes(data)


def receive_all(sock):
    data = bytearray()
    while True:
        piece = sock.recv(65536)
        if not piece:
            return bytes(data)
        data.extend(piece)


def unused_port():
    """A port on which nothing listens: bound, so that nobody else gets it. Keep the socket."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def listen(backlog=16):
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.bind(("127.0.0.1", 0))
    sock.listen(backlog)
    return sock, sock.getsockname()[1]


def accept(listener):
    sock = listener.accept()[0]
    sock.settimeout(PATIENCE)
    return sock


# A case that is late three times running has a reason of its own.
ATTEMPTS = 3


def run_case(case, args):
    for attempt in range(ATTEMPTS):
        examples = Examples(args.bin, args.backend)
        try:
            return case(examples)
        except Late as late:
            if attempt == ATTEMPTS - 1:
                raise
            print(f"again   {case.__name__}: {late}", flush=True)
        finally:
            examples.kill_all()


def main(*cases):
    """Runs each case with the examples; ends the script with 0, 1, or 77 for skipped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, help="folder of the built examples")
    parser.add_argument("--backend", required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failures = 0
    for case in cases:
        try:
            run_case(case, args)
            print(f"ok      {case.__name__}", flush=True)
        except Failure as failure:
            failures += 1
            print(f"FAILED  {case.__name__}: {failure}", flush=True)
        except OSError:  # a connection that ended, a time-out
            failures += 1
            print(f"FAILED  {case.__name__}: {traceback.format_exc()}", flush=True)
    sys.exit(1 if failures else 0)
