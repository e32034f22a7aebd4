#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: B11
"""fetch: whatever shape an answer has, the file is right or is said not to be; a server of this script has all of them."""

import contextlib
import os
import pty
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from lib.programs import PATIENCE, check, main, unused_port

TEXT = b"".join(b"%d bottles\n" % i for i in range(2000))


def ok(body, *headers):
    head = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def redirect(location, body=b""):
    return b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: %d\r\n\r\n" % (location, len(body)) + body


def chunked(body, size, trailers=b"", extension=b""):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
            b"".join(b"%x%s\r\n" % (len(piece), extension) + piece + b"\r\n" for piece in pieces) +
            b"0\r\n" + trailers + b"\r\n")


class Server:
    """Answers each path with the bytes, or by the function, that `answers` has for it; an answer that ends in CLOSE is
    the last one of its connection. `requests` are pairs of the connection's number and the path."""

    CLOSE = None

    def __init__(self, answers, family=socket.AF_INET, host="127.0.0.1"):
        self.answers = answers
        self.requests, self.heads = [], []
        self.listener = socket.socket(family)
        self.listener.bind((host, 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.open, self.most_open = 0, 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock, self.connections), daemon=True).start()

    def serve(self, sock, number):
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        with contextlib.suppress(OSError), sock:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    piece = sock.recv(65536)
                    if not piece:
                        return self.gone()
                    data += piece
                head, data = data.split(b"\r\n\r\n", 1)
                path = head.split()[1].decode()
                self.heads.append(head)
                self.requests.append((number, path))
                answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
                if callable(answer):
                    answer = answer(sock)
                if answer is Server.CLOSE:
                    break
                sock.sendall(answer)
        return self.gone()

    def gone(self):
        with self.lock:
            self.open -= 1

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def last(data, size=0):
    """An answer that is sent, in pieces if there is a size, and then the connection is closed."""
    def answer(sock):
        step = size or len(data) or 1
        for i in range(0, len(data), step):
            sock.sendall(data[i:i + step])
        return Server.CLOSE
    return answer


def endless(head):
    """The head says, or does not say, how much follows: more than anybody would read who has no use for it."""
    def answer(sock):
        sock.sendall(head.replace(b"Content-Length: 0", b"Content-Length: 9999999999") + b"x" * 300000)
        return silence(sock)
    return answer


def silence(sock):
    with contextlib.suppress(OSError):
        sock.recv(1)  # until the client has gone
    return Server.CLOSE


@contextlib.contextmanager
def at(answers, **more):
    server = Server(answers, **more)
    folder = tempfile.mkdtemp(prefix="eddy-fetch-")
    try:
        yield server, folder
    finally:
        server.close()
        shutil.rmtree(folder)


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def check_contents(folder, **expected):
    found = contents(folder)
    check(sorted(found) == sorted(expected), "files", sorted(found), "instead of", sorted(expected))
    for name, data in expected.items():
        check(found[name] == data, name, "has", found[name][:200], "...", len(found[name]), "bytes")


def shapes_of_bodies(examples):
    stream = b"HTTP/1.1 200 OK\r\n\r\n" + TEXT
    answers = {
        "/length": ok(TEXT),
        "/empty": ok(b""),
        "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/chunked": chunked(TEXT, 1000),
        "/bytes": last(chunked(TEXT[:700], 1, b"Checksum: 1\r\nMore: 2\r\n", b";ext=\"1\""), 1),
        "/end": last(stream),
        "/old": last(b"HTTP/1.0 200\r\n\r\n" + TEXT),
        "/interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLocation: /x\r\n\r\n" + ok(TEXT),
        "/newlines": b"HTTP/1.1 200 OK\nContent-Length:3\nX:\n\nabc",
        "/twice": b"HTTP/1.1 200 OK\r\nContent-length: 3 \r\ncontent-Length: 3\r\n\r\nabc",
        "/both": last(chunked(TEXT, 99).replace(b"Transfer", b"Content-Length: 5\r\nTransfer", 1)),
    }
    with at(answers) as (server, folder):
        lines = examples.run("fetch", "-o", folder, *(server.url(path) for path in answers))
        check_contents(folder, length=TEXT, empty=b"", none=b"", chunked=TEXT, bytes=TEXT[:700], end=TEXT, old=TEXT,
                       interim=TEXT, newlines=b"abc", twice=b"abc", both=TEXT)
        check(len(lines) == len(answers), "printed", lines)
        check(any(re.fullmatch(re.escape(server.url("/length")) + rf": {len(TEXT)} bytes into length in \d+\.\d\d s", line)
                  for line in lines), "printed", lines)
        for head in server.heads:
            check(re.search(rb"\r\nHost: 127\.0\.0\.1:%d\r\n" % server.port, head), "asked", head)
            check(b"gzip" not in head, "asked for gzip:", head)


def in_any_pieces(examples):
    """The same answer, cut anywhere."""
    random.seed(5)
    whole = b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(TEXT[:3000], 700, b"A: b\r\n")

    def pieces(sock):
        at_ = 0
        while at_ < len(whole):
            n = random.choice((1, 2, 3, 50, 500))
            sock.sendall(whole[at_:at_ + n])
            at_ += n
        return b""
    with at({f"/{i}": pieces for i in range(30)}) as (server, folder):
        examples.run("fetch", "-o", folder, *(server.url(f"/{i}") for i in range(30)))
        check_contents(folder, **{str(i): TEXT[:3000] for i in range(30)})


def a_connection_is_used_again(examples):
    with at({"/one": ok(b"1"), "/two": chunked(b"22", 1), "/three": ok(b"3")}) as (server, folder):
        urls = [server.url(path) for path in ("/one", "/two", "/missing", "/three")]
        examples.run("fetch", "--per-host", 1, "-o", folder, *urls, code=1,
                     err=r"fetch: http://[^ ]*/missing: the server says 404 Not Found\n")
        check_contents(folder, one=b"1", two=b"22", three=b"3")
        check(server.requests == [(1, "/one"), (1, "/two"), (1, "/missing"), (1, "/three")], server.requests)


def never_more_connections_than_allowed(examples):
    paths = [f"/{i}" for i in range(40)]
    with at({path: ok(path.encode()) for path in paths}) as (server, folder):
        examples.run("fetch", "--per-host", 3, "-o", folder, *map(server.url, paths))
        check_contents(folder, **{path[1:]: path.encode() for path in paths})
        check(server.most_open <= 3, server.most_open, "connections at once")
        check(server.connections <= 3, server.connections, "connections in all")


def connections_that_must_not_be_used_again(examples):
    answers = {
        "/says": ok(b"1", b"Connection: TE, Close"),
        "/old": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n2",
        "/more": ok(b"3") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "/both": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n4\r\n0\r\n\r\n",
        "/old_but_kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n5",
        "/last": ok(b"6"),
    }
    with at(answers) as (server, folder):
        examples.run("fetch", "--per-host", 1, "-o", folder, *map(server.url, answers))
        check_contents(folder, says=b"1", old=b"2", more=b"3", both=b"4", old_but_kept=b"5", last=b"6")
        check([number for number, _ in server.requests] == [1, 2, 3, 4, 5, 5], server.requests)


def a_server_that_tires_of_a_connection(examples):
    """It closes without a word when the next request comes: that is asked again, on another connection."""
    seen = set()

    def every_other(sock):
        if sock in seen:
            return Server.CLOSE
        seen.add(sock)
        return ok(b"x")
    with at({path: every_other for path in ("/a", "/b", "/c")}) as (server, folder):
        examples.run("fetch", "--per-host", 1, "-o", folder, *map(server.url, ("/a", "/b", "/c")))
        check_contents(folder, a=b"x", b=b"x", c=b"x")
        check(len(server.requests) == 5, server.requests)
    # A first request is not asked again.
    with at({"/a": last(b"")}) as (server, folder):
        examples.run("fetch", "-o", folder, server.url("/a"), code=1,
                     err=r"fetch: .*/a: the server closed the connection early: no answer came\n")
        check(len(server.requests) == 1, server.requests)


def redirects(examples):
    with at({"/there": ok(b"there"), "/d/e/f": ok(b"f")}) as (other, _):
        answers = {
            "/path": redirect(b"/a/b?x=1", b"moved"), "/a/b?x=1": redirect(b"c?z=0#part"), "/a/c?z=0": redirect(b"?y=2"),
            "/a/c?y=2": ok(b"found"),
            "/away": redirect(other.url("/there").encode()),
            "/short": redirect(b"//127.0.0.1:%d/d/e/f" % other.port),
            "/loop": redirect(b"/loop"),
            "/tls": redirect(b"https://127.0.0.1/"),
            "/file": redirect(b"file:///etc/passwd"),
            "/bad": redirect(b"http://127.0.0.1:x/"),
            "/blank": redirect(b"/a b"),
            "/large": endless(redirect(b"/after")), "/after": ok(b"after"),
            "/error": endless(b"HTTP/1.1 500 Oh\r\n\r\n"),
            "/plain": b"HTTP/1.1 304 Not Modified\r\nLocation: /after\r\n\r\n",
        }
        asked = ["/path", "/away", "/short", "/loop", "/tls", "/file", "/bad", "/blank", "/large", "/error", "/plain"]
        with at(answers) as (server, folder):
            lines = examples.start("fetch", "-o", folder, *map(server.url, asked))
            lines.process.wait(PATIENCE)
            lines.finish(1, ".*")
            check_contents(folder, path=b"found", away=b"there", short=b"f", large=b"after")
            err = lines.err.decode()
            for path, why in (("/loop", "redirected more than 10 times"), ("/tls", "https is not spoken here"),
                              ("/file", "only http is spoken"), ("/bad", "the port is not a number"),
                              ("/blank", "characters that a URL cannot have"), ("/plain", "the server says 304 Not"), ("/error", "the server says 500 Oh")):
                check(re.search(re.escape(f"{server.url(path)}: ") + ".*" + why, err), path, "is missing in", err)
            check(sum(path == "/loop" for _, path in server.requests) == 11, server.requests)


def answers_that_are_none(examples):
    head = b"HTTP/1.1 200 OK\r\n"
    long = b"x" * 9000
    answers = {
        "/other": b"SSH-2.0-OpenSSH_9.2\r\n",
        "/version": b"HTTP/2.0 200 OK\r\n\r\n",
        "/status": b"HTTP/1.1 20 OK\r\n\r\n",
        "/status4": b"HTTP/1.1 2000 OK\r\n\r\n",
        "/line": b"HTTP/1.1 200 " + long,
        "/header": head + b"X: " + long + b"\r\n\r\n",
        "/headers": head + b"X: y\r\n" * 20000,
        "/space": head + b"X : y\r\n\r\n",
        "/colon": head + b"X\r\n\r\n",
        "/fold": head + b"X: y\r\n z\r\n\r\n",
        "/nul": head + b"X: \0\r\n\r\n",
        "/lengths": head + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "/negative": head + b"Content-Length: -1\r\n\r\n",
        "/plus": head + b"Content-Length: +1\r\n\r\nx",
        "/huge": head + b"Content-Length: 99999999999999999999\r\n\r\n",
        "/coding": head + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        "/size": head + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "/minus": head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "/wide": head + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\n",
        "/longer": head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "/trailers": head + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"X: y\r\n" * 20000,
        "/interims": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        "/switch": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    }
    with at(answers) as (server, folder):
        program = examples.start("fetch", "-o", folder, *map(server.url, answers))
        program.process.wait(PATIENCE)
        program.finish(1, ".*")
        err = program.err.decode()
        for path in answers:
            check(f"{server.url(path)}: this is no good HTTP: " in err, path, "is missing in", err)
        check_contents(folder, **{"longer.part": b"a", "trailers.part": b"a"})


def an_early_end(examples):
    reset = b"\x01\0\0\0\0\0\0\0"
    sent = threading.Event()

    def resets(sock):
        sock.sendall(ok(TEXT)[:5000])
        sent.wait(PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        return Server.CLOSE
    answers = {
        "/length": last(ok(TEXT)[:-1]),
        "/nothing": last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        "/chunks": last(chunked(TEXT, 1000)[:-2]),
        "/chunk": last(chunked(b"abcdef", 6)[:-10]),
        "/head": last(b"HTTP/1.1 200 OK\r\nContent-Le"),
        "/reset": resets,
    }
    with at(answers) as (server, folder):
        program = examples.start("fetch", "-o", folder, *map(server.url, answers))
        part = os.path.join(folder, "reset.part")
        while program.running() and not (os.path.exists(part) and os.path.getsize(part)):
            time.sleep(0.01)
        sent.set()
        program.process.wait(PATIENCE)
        program.finish(1, ".*")
        err = program.err.decode()
        early = "the server closed the connection early: "
        for path, why in (("/length", f"{early}{len(TEXT) - 1} of {len(TEXT)} bytes came; what came is in length.part"),
                          ("/nothing", early + "0 of 10 bytes came"), ("/chunk", early + "3 bytes came; what"),
                          ("/chunks", f"{early}{len(TEXT)} bytes came; what"), ("/head", early), ("/reset", ".* bytes came")):
            check(re.search(re.escape(server.url(path)) + ": " + why + r"[^\n]*\n", err), path, why, "is missing in", err)
        found = contents(folder)
        check(TEXT.startswith(found.pop("reset.part")), "after a reset")
        check(found == {"length.part": TEXT[:-1], "chunks.part": TEXT, "chunk.part": b"abc"}, sorted(found))


def silent_and_slow_servers(examples):
    go_on = threading.Event()

    def stalls(sock):
        sock.sendall(ok(TEXT)[:3000])
        return silence(sock)

    def drips(sock):
        with contextlib.suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not go_on.wait(0.05):
                sock.sendall(b".")
        return Server.CLOSE
    with at({"/silent": silence, "/stalls": stalls, "/drips": drips, "/good": ok(b"good")}) as (server, folder):
        begin = time.monotonic()
        examples.run("fetch", "--timeout", "1.5", "-o", folder, *map(server.url, ("/silent", "/stalls", "/good")), code=1,
                     err=r"(?=.*/silent: [^\n]*: no answer came\n)(?=.*/stalls: [^\n]* of \d+ bytes came; what).*")
        check(time.monotonic() - begin > 1.5, "no time was given")
        check(contents(folder)["good"] == b"good", sorted(contents(folder)))
        # A byte now and then is no silence: only a deadline helps.
        examples.run("fetch", "--timeout", "2", "--deadline", "3", "--per-host", 1, "-o", folder,
                     server.url("/drips"), server.url("/good?2"), code=1,
                     err=r"(?=.*/drips: the deadline is over; what).*/good\?2: good is there already.*")
        check(contents(folder)["drips.part"], "nothing came")
        go_on.set()


def nobody_listens(examples):
    nobody, port = unused_port()
    examples.run("fetch", f"http://127.0.0.1:{port}/x", f"127.0.0.1:{port}/y", code=1,
                 err=r"(fetch: [^\n]*127\.0\.0\.1[^\n]*refused[^\n]*\n){2}")
    nobody.close()


def files_are_not_replaced(examples):
    with at({"/x": ok(b"new"), "/sub/x": ok(b"wrong"), "/.hidden": ok(b"1"), "/": ok(b"2"), "/a/..": ok(b"3"),
             "/%2e%2e%2fup": ok(b"4"), "/q?name=../../x": ok(b"5")}) as (server, folder):
        path = os.path.join(folder, "x")
        with open(path, "wb") as file:
            file.write(b"old")
        examples.run("fetch", "-o", folder, server.url("/x"), code=1, err=r".*/x: x is there already.*\n")
        check_contents(folder, x=b"old")
        examples.run("fetch", "--force", "-o", folder, server.url("/x"))
        check_contents(folder, x=b"new")
        os.unlink(path)
        # Nothing is written where a link points to.
        os.symlink("target", path)
        examples.run("fetch", "-o", folder, server.url("/x"), code=1, err=r".*/x: x is there already.*\n")
        os.unlink(path)
        os.symlink("target", path + ".part")
        examples.run("fetch", "--force", "-o", folder, server.url("/x"), code=1, err=r".*/x: x\.part: .*\n")
        check(os.listdir(folder) == ["x.part"], os.listdir(folder))
        os.unlink(path + ".part")
        # Two URLs, one name: the first one gets it, whatever is allowed.
        for more in ([], ["--force"]):
            examples.run("fetch", "-o", folder, server.url("/x"), server.url("/sub/x"), server.url("/x.part"), *more, code=1,
                         err=rf"fetch: {server.url('/sub/x')}: x would be written by {server.url('/x')} as well\n"
                             r"fetch: .*/x\.part: .* as well\n")
            check_contents(folder, x=b"new")
        # A URL that is none takes no name away from another one.
        examples.run("fetch", "-o", folder, "https://x/", server.url("/"), code=1, err=r"fetch: https://x/: [^\n]*\n")
        check_contents(folder, x=b"new", **{"index.html": b"2"})
        os.unlink(os.path.join(folder, "index.html"))
        # No name leads elsewhere.
        above = set(os.listdir(os.path.dirname(folder)))
        examples.run("fetch", "-o", folder, *map(server.url, ("/.hidden", "/", "/a/..", "/%2e%2e%2fup", "/q?name=../../x")))
        check_contents(folder, x=b"new", _hidden=b"1", **{"index.html": b"2", "_.": b"3", "%2e%2e%2fup": b"4", "q": b"5"})
        check(not {"up", "x"} & (set(os.listdir(os.path.dirname(folder))) - above), "something was written above")
    with tempfile.TemporaryDirectory() as folder:
        gone = os.path.join(folder, "gone")
        examples.run("fetch", "-o", gone, "http://127.0.0.1/", code=1, err=rf"fetch: {gone}: No such file.*\n")


def a_full_disk(examples):
    with at({"/full": ok(TEXT * 10)}) as (server, folder):
        limit = ["sh", "-c", "ulimit -f 16; trap '' XFSZ; exec \"$@\"", "sh"]
        done = subprocess.run([*limit, os.path.join(examples.folder, "fetch"), "--backend", examples.backend, "-o", folder,
                               server.url("/full")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        check(done.returncode == 1 and b"full.part: File too large; what came" in done.stderr, done)


def a_big_file(examples):
    data = os.urandom(8 << 20)
    with at({"/length": ok(data), "/chunked": chunked(data, 33333), "/end": last(b"HTTP/1.1 200 OK\r\n\r\n" + data)}) as (
            server, folder):
        examples.run("fetch", "-o", folder, *map(server.url, ("/length", "/chunked", "/end")))
        check_contents(folder, length=data, chunked=data, end=data)


def several_take_the_time_of_the_slowest(examples):
    """Each server answers when all of them have been asked."""
    barrier = threading.Barrier(3)

    def together(_):
        barrier.wait(PATIENCE)
        return ok(b"x")
    with at({"/a": together}) as (one, folder), at({"/b": together}) as (two, _), at({"/c": together}) as (three, _):
        examples.run("fetch", "-o", folder, one.url("/a"), two.url("/b"), three.url("/c"))
        check_contents(folder, a=b"x", b=b"x", c=b"x")


def a_redirect_waits_for_nobody(examples):
    """Its new server is asked while the old one is busy with the next URL."""
    asked = threading.Event()

    def there(_):
        asked.set()
        return ok(b"there")

    def busy(_):
        asked.wait(PATIENCE / 2)
        return ok(b"busy" if asked.is_set() else b"alone")
    with at({"/there": there}) as (two, _), at({"/away": redirect(two.url("/there").encode()), "/busy": busy}) as (one, folder):
        examples.run("fetch", "--per-host", 1, "-o", folder, one.url("/away"), one.url("/busy"))
        check_contents(folder, away=b"there", busy=b"busy")


def names_and_ipv6(examples):
    with at({"/name": ok(b"name")}) as (server, folder):
        examples.run("fetch", "-o", folder, f"localhost:{server.port}/name")
        check_contents(folder, name=b"name")
        check(b"\r\nHost: localhost:%d\r\n" % server.port in server.heads[0], server.heads)
    try:
        probe = at({"/six": ok(b"6")}, family=socket.AF_INET6, host="::1")
        with probe as (server, folder):
            examples.run("fetch", "-o", folder, f"http://[::1]:{server.port}/six")
            check_contents(folder, six=b"6")
            check(b"\r\nHost: [::1]:%d\r\n" % server.port in server.heads[0], server.heads)
    except OSError:
        print("no IPv6 here", flush=True)


def on_a_terminal(examples):
    """One line for each, redrawn; no more than that is left at the end."""
    with at({"/good": ok(TEXT), "/other": chunked(TEXT, 5000)}) as (server, folder):
        leader, terminal = pty.openpty()
        command = [os.path.join(examples.folder, "fetch"), "--backend", examples.backend, "-o", folder,
                   *map(server.url, ("/good", "/missing", "/other"))]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE)
        os.close(terminal)
        screen = b""
        while select.select([leader], [], [], PATIENCE)[0]:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            screen += piece
        os.close(leader)
        err = process.stderr.read()
        process.stderr.close()
        check(process.wait(PATIENCE) == 1, "ended with", process.returncode)
        lines = []
        for part in re.split(rb"(\x1b\[3A)", screen):
            lines = [] if part == b"\x1b[3A" else [line.strip() for line in part.decode().split("\x1b[K\r\n")]
        check(len(lines) == 4 and lines[3] == "", "the last screen", lines)
        check(re.fullmatch(rf"good +{len(TEXT)} bytes in .* s", lines[0]), lines)
        check(re.fullmatch(r"missing +the server says 404 Not Found", lines[1]), lines)
        check(re.fullmatch(rf"other +{len(TEXT)} bytes in .* s", lines[2]), lines)
        check(err == f"fetch: {server.url('/missing')}: the server says 404 Not Found\n".encode(), err)


def command_line(examples):
    examples.check_usage("fetch", [([], "nothing to fetch"), (["--per-host", "0", "x"], "expected a number from 1")])
    examples.check_backends("fetch", "127.0.0.1/x")
    for url, why in (("https://x/", "https is not spoken here: there is no TLS"), ("ftp://x/", "only http is spoken here"),
                     ("http:///x", "no host"), ("http://x:0/", "port"), ("http://x:99999/", "port"), ("x:1a/", "port"),
                     ("http://a b/", "characters"), ("http://u:p@x/", "names and passwords"), ("http://[::1/", "missing"),
                     ("http://x/" + "y" * 2000, "too long"), ("http://" + "h" * 300 + "/", "no host, or one that is too")):
        examples.run("fetch", url, code=1, err=rf"fetch: {re.escape(url)}: [^\n]*{why}[^\n]*\n")


main(shapes_of_bodies, in_any_pieces, a_connection_is_used_again, never_more_connections_than_allowed,
     connections_that_must_not_be_used_again, a_server_that_tires_of_a_connection, redirects, answers_that_are_none,
     an_early_end, silent_and_slow_servers, nobody_listens, files_are_not_replaced, a_full_disk, a_big_file,
     several_take_the_time_of_the_slowest, a_redirect_waits_for_nobody, names_and_ipv6, on_a_terminal, command_line)
