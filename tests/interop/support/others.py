"""Programs of others: looking for them, and running them for one test script."""

import contextlib
import glob
import os
import pwd
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from lib.programs import PATIENCE, Failure, Program, check

# Where Debian keeps the programs of a server apart from those of its clients.
POSTGRES = "/usr/lib/postgresql/*/bin"


def skip(why):
    print(f"skipped: {why}", flush=True)
    sys.exit(77)


def find(name):
    """Where a program is, or None."""
    path = shutil.which(name)
    if path or name not in ("initdb", "postgres"):
        return path
    found = sorted(glob.glob(os.path.join(POSTGRES, name)), key=lambda p: [int(n) for n in re.findall(r"\d+", p)])
    return found[-1] if found else None


def need(*names):
    """Ends the script as skipped if one of these programs is not installed."""
    missing = [name for name in names if not find(name)]
    if missing:
        skip(f"{', '.join(missing)} not installed")
    if "nc" in names and "-N" not in subprocess.run(["nc", "-h"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                    stderr=subprocess.STDOUT, check=False).stdout.decode():
        skip("this nc is not OpenBSD's")


def need_example(*names):
    """The same for examples of ours, which are not built everywhere."""
    folder = sys.argv[sys.argv.index("--bin") + 1]
    missing = [name for name in names if not os.access(os.path.join(folder, name), os.X_OK)]
    if missing:
        skip(f"{', '.join(missing)} not built here")


class Talker(Program):
    """A program whose input is written bit by bit: say() and end_input()."""

    def __init__(self, command):
        self.words = queue.Queue()
        super().__init__(command, stdin=self.words)

    def feed(self, data):
        try:
            for piece in iter(data.get, None):
                self.process.stdin.write(piece)
                self.process.stdin.flush()
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def say(self, data):
        self.words.put(data)

    def end_input(self):
        self.words.put(None)

    def finish(self, code=0, err=""):
        self.end_input()
        return super().finish(code, err)

    def kill(self):
        self.end_input()
        super().kill()


def start(examples, *command, stdin=None, talker=False):
    """Starts a program of others, which ends with the test case."""
    command = [str(word) for word in command]
    program = Talker(command) if talker else Program(command, stdin=stdin)
    examples.programs.append(program)
    return program


def ours(examples, name, *args):
    """Starts a TCP server of ours; it and its port."""
    server = examples.start(name, "--port", 0, *args)
    return server, server.listening()[1]


def stop(*servers):
    for server in servers:
        server.signal(signal.SIGTERM)
        server.finish()


def wait_until(program, condition, what):
    """What the condition gives when it is true of what a program has written."""
    limit = time.monotonic() + PATIENCE
    with program.changed:
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > limit:
                break
            program.changed.wait(0.2)
    return program.complain(what)


def wait_error(program, pattern):
    """The match of what a program writes to standard error."""
    return wait_until(program, lambda: re.search(pattern, program.err.decode(errors="replace")),
                      f"did not write {pattern!r}")


def wait_size(program, size):
    """Waits until a program has written so many bytes to standard output."""
    wait_until(program, lambda: len(program.out) >= size, f"did not write {size} bytes")


def free_port():
    """A port that is free now; somebody else may take it before it is used."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- servers ----


class Server:
    """A server in a folder of its own, which goes with it. It is ended when this script ends, however that happens:
    also by the kernel, should the script be killed."""

    ATTEMPTS = 5
    END_SIGNAL = signal.SIGKILL
    USER = "nobody"

    def __init__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that there is an __exit__
        self.folder = tempfile.mkdtemp(prefix="eddy-interop-")
        self.program = None
        self.port = 0

    def __enter__(self):
        try:
            self.as_user = self.find_user()
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.program:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def find_user(self):
        """What makes a command run as somebody without rights, if we are root: PostgreSQL does not run as root."""
        if os.geteuid() != 0:
            return []
        for name in (self.USER, "nobody"):
            with contextlib.suppress(KeyError):
                user = pwd.getpwnam(name)
                os.chown(self.folder, user.pw_uid, user.pw_gid)
                return [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        raise Failure("there is no user without rights")

    def command(self, *words):
        return ["setpriv", *self.as_user, f"--pdeathsig={self.END_SIGNAL.name[3:]}", *(str(word) for word in words)]

    def prepare(self):
        """What is done once, before the first start."""

    def start(self):
        """On a free port; once more on another if somebody was faster."""
        for _ in range(self.ATTEMPTS):
            self.port = self.port or free_port()
            self.program = Program(self.command(*self.server_command()))
            if self.wait_ready():
                return
            self.stop()
            self.port = 0
        self.program.complain("does not start")

    def wait_ready(self):
        limit = time.monotonic() + PATIENCE
        while self.program.running() and time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                if self.is_ready():
                    return True
            time.sleep(0.05)  # between two looks, not in the hope that it is enough
        return False

    def is_ready(self):
        return True

    def stop(self):
        """At once, as if it had crashed."""
        self.program.process.send_signal(self.END_SIGNAL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.program.process.wait(PATIENCE)
        self.program.kill()

    def run_client(self, *command):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        text = done.stdout.decode(errors="replace")
        check(done.returncode == 0, " ".join(map(str, command)), "failed:", text)
        return text


class Postgres(Server):
    """Whom everybody on this machine may use, by any name."""

    USER = "postgres"
    # Immediate shutdown: its processes end at once, and leave no shared memory behind.
    END_SIGNAL = signal.SIGQUIT

    def prepare(self):
        self.data = os.path.join(self.folder, "data")
        self.run_client(*self.command(find("initdb"), "-D", self.data, "-A", "trust", "-U", "eddy", "-N"))

    def server_command(self):
        return (find("postgres"), "-D", self.data, "-k", self.folder, "-p", self.port, "-h", "127.0.0.1", "-F")

    def is_ready(self):
        return subprocess.run([find("psql"), "-c", "", self.conninfo()], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def conninfo(self, host=None, port=None):
        """By its unix socket, or at another host or list of hosts."""
        return f"host={host or self.folder} port={port or self.port} user=eddy dbname=postgres"

    def sql(self, text):
        return self.run_client(find("psql"), "-X", "-q", "-A", "-t", "-c", text, self.conninfo())


class Redis(Server):
    def server_command(self):
        return (find("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.path(),
                "--unixsocketperm", "777", "--dir", self.folder, "--save", "", "--appendonly", "no")

    def path(self):
        return os.path.join(self.folder, "redis.sock")

    def address(self):
        return f"127.0.0.1:{self.port}"

    def cli(self, *words):
        return self.run_client(find("redis-cli"), "-p", self.port, *words)
