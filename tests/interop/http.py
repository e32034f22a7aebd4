#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
"""fetch and servers of others: nginx, and Python's http.server, which speaks HTTP/1.0 and closes after each answer."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import PATIENCE, check, main
from support.others import Server, need_example

need_example("fetch")

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
# One that others than root may run as well.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
BIG = os.urandom((16 << 20) + 4321)
TEXT = b"".join(b"%d bottles\n" % i for i in range(20000))

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    log_format connections '$connection $connection_requests $uri $status';
    access_log access.log connections;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    gzip on; gzip_min_length 1; gzip_types *;
    server {
        listen 127.0.0.1:PORT;
        root files;
        location /chunked/ { alias files/; ssi on; ssi_types *; }
        location /few/ { alias files/; keepalive_requests 3; }
        location /none/ { alias files/; keepalive_timeout 0; }
        location /slow/ { alias files/; limit_rate 100k; }
        location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; }
        location /loop { return 301 /loop; }
    }
}
"""


class FileServer(Server):
    """With some files, and one that takes no room."""

    def prepare(self):
        self.files = os.path.join(self.folder, "files")
        os.makedirs(os.path.join(self.files, "folder"))
        for name, data in (("big", BIG), ("text", TEXT), ("empty", b""), ("folder/index.html", b"<p>index\n")):
            with open(os.path.join(self.files, name), "wb") as file:
                file.write(data)
        with open(os.path.join(self.files, "gigabyte"), "wb") as file:
            file.truncate(1 << 30)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"


class Nginx(FileServer):
    def server_command(self):
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(CONFIGURATION.replace("PORT", str(self.port)))
        return (NGINX, "-p", self.folder, "-c", "nginx.conf", "-e", "error.log")

    def log(self, count):
        """So many requests as it has seen them: connection, number on it, path, status."""
        limit = time.monotonic() + PATIENCE
        while True:  # it writes a line when it has sent the answer
            with open(os.path.join(self.folder, "access.log"), encoding="ascii") as file:
                lines = [line.split() for line in file.read().splitlines() if not line.endswith(" 400")]
            if len(lines) >= count:
                return lines
            check(time.monotonic() < limit, "nginx has seen", lines)
            time.sleep(0.01)


class PythonServer(FileServer):
    def server_command(self):
        return (PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", self.files, self.port)


@contextlib.contextmanager
def folder_for_files():
    folder = tempfile.mkdtemp(prefix="eddy-interop-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def check_files(where, **expected):
    check(sorted(os.listdir(where)) == sorted(expected), "files", sorted(os.listdir(where)))
    for name, data in expected.items():
        with open(os.path.join(where, name), "rb") as file:
            check(file.read() == data, name, "is not what was served")


def for_both(case):
    """Made one case for nginx, where it is installed, and one for Python's server."""
    def cases(examples):
        for server in (Nginx, PythonServer) if NGINX else (PythonServer,):
            with server() as running, folder_for_files() as folder:
                case(examples, running, folder)
    cases.__name__ = case.__name__
    return cases


@for_both
def files_of_every_kind(examples, server, folder):
    lines = examples.run("fetch", "-o", folder, *map(server.url, ("big", "text", "empty", "folder/", "missing")), code=1,
                         err=r"fetch: [^\n]*/missing: the server says 404 [^\n]*\n")
    check(len(lines) == 4, "printed", lines)
    check_files(folder, big=BIG, text=TEXT, empty=b"", **{"index.html": b"<p>index\n"})


@for_both
def redirected(examples, server, folder):
    examples.run("fetch", "-o", folder, server.url("folder"))  # "Location: .../folder/"
    check_files(folder, folder=b"<p>index\n")


@for_both
def a_server_that_is_killed(examples, server, folder):
    """In mid-file: fetch says how far it came, and what came is right. It is held up until the server is gone, and the
    file is larger than all buffers between them."""
    program = examples.start("fetch", "-o", folder, server.url("gigabyte"))
    part = os.path.join(folder, "gigabyte.part")
    limit = time.monotonic() + PATIENCE
    while not (os.path.exists(part) and os.path.getsize(part)):
        check(program.running() and time.monotonic() < limit, "nothing was fetched")
    program.signal(signal.SIGSTOP)
    server.stop()
    program.signal(signal.SIGCONT)
    program.process.wait(PATIENCE)
    program.finish(1, r"fetch: [^\n]*/gigabyte: [^\n]*: \d+ of 1073741824 bytes came; what came is in gigabyte\.part\n")
    came = int(re.search(r"(\d+) of 1073741824", program.err.decode()).group(1))
    check(came == os.path.getsize(part), came, "bytes are said to have come,", os.path.getsize(part), "are there")


def keep_alive(examples):
    with Nginx() as server, folder_for_files() as folder:
        urls = [server.url(path) for path in ("text", "missing", "chunked/big", "empty", "folder/")]
        examples.run("fetch", "--per-host", 1, "-o", folder, *urls, code=1, err=r"fetch: [^\n]*/missing: [^\n]* 404 [^\n]*\n")
        check_files(folder, text=TEXT, big=BIG, empty=b"", **{"index.html": b"<p>index\n"})
        seen = server.log(5)
        check(len({connection for connection, *_ in seen}) == 1, "several connections:", seen)
        check([number for _, number, *_ in seen] == ["1", "2", "3", "4", "5"], seen)


def connections_that_the_server_ends(examples):
    """After three answers, which it says with the third; after each one, by saying so."""
    with Nginx() as server, folder_for_files() as folder:
        for path in ("few/", "none/"):
            urls = [server.url(path + name) for name in ("text", "empty", "big", "folder/index.html")]
            examples.run("fetch", "--per-host", 1, "--force", "-o", folder, *urls)
            check_files(folder, text=TEXT, big=BIG, empty=b"", **{"index.html": b"<p>index\n"})
        seen = server.log(8)
        check([number for _, number, *_ in seen] == ["1", "2", "3", "1", "1", "1", "1", "1"], seen)


def chunked_bodies(examples):
    with Nginx() as server, folder_for_files() as folder:
        examples.run("fetch", "-o", folder, *(server.url(f"chunked/{name}") for name in ("big", "text", "empty")))
        check_files(folder, big=BIG, text=TEXT, empty=b"")
        answer = subprocess.run([PYTHON, "-c", "import sys, http.client as h; c = h.HTTPConnection('127.0.0.1', int(sys.argv[1]));"
                                 "c.request('GET', '/chunked/text'); print(c.getresponse().headers['Transfer-Encoding'])",
                                 str(server.port)], stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        check(answer.stdout == b"chunked\n", "this nginx does not answer in chunks:", answer.stdout)


def loops_and_moves(examples):
    with Nginx() as server, folder_for_files() as folder:
        examples.run("fetch", "-o", folder, server.url("moved/text"), server.url("moved/moved/big"), server.url("loop"), code=1,
                     err=r"fetch: [^\n]*/loop: redirected more than 10 times\n")
        check_files(folder, text=TEXT, big=BIG)


def a_deadline(examples):
    with Nginx() as server, folder_for_files() as folder:
        begin = time.monotonic()
        examples.run("fetch", "--deadline", 1, "-o", folder, server.url("slow/big"), server.url("text"), code=1,
                     err=r"fetch: [^\n]*/slow/big: the deadline is over; what came is in big\.part\n")
        check(1 <= time.monotonic() - begin < 20, "the deadline came after", time.monotonic() - begin, "s")
        with open(os.path.join(folder, "big.part"), "rb") as file:
            part = file.read()
        check(part and BIG.startswith(part), "the part is not what was served")
        os.unlink(os.path.join(folder, "big.part"))
        check_files(folder, text=TEXT)


cases = [files_of_every_kind, redirected, a_server_that_is_killed]
if NGINX:
    cases += [keep_alive, connections_that_the_server_ends, chunked_bodies, loops_and_moves, a_deadline]
else:
    print("skipped: nginx not installed", flush=True)
main(*cases)
