#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# needs: openssl
# clause: X4 X6 X13 X14 X15 X33
"""https_get: gets from those who prove who they are, says of others why not, and takes no cut answer for a whole one."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from lib.certificates import Folder, serving
from lib.programs import PATIENCE, check, listen, main, unused_port

FOLDER = Folder()
CA = FOLDER.authority()
OTHER_CA = FOLDER.authority("Somebody else")
GOOD = FOLDER.signed_by(CA, "localhost", "127.0.0.1")
TEXT = b"".join(b"%d bottles\n" % i for i in range(2000))
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"


def ok(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Server:
    """Answers each path with what `answers` has for it, then says good-bye, unless `cut`: then the connection ends."""

    def __init__(self, answers, certificate=GOOD, cut=False, alpn=None, version=None, gate=None):
        self.answers, self.cut, self.gate = answers, cut, gate
        self.context = serving(certificate, alpn)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.listener, self.port = listen(64)
        self.heads, self.resumed, self.names = [], [], []
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path="/", host="localhost"):
        return f"https://{host}:{self.port}{path}"

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            sock.settimeout(PATIENCE)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, plain):
        with contextlib.suppress(OSError), plain:
            sock = self.context.wrap_socket(plain, server_side=True)
            with sock:
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = sock.recv(65536)
                    if not piece:
                        return
                    data += piece
                self.heads.append(data)
                self.resumed.append(sock.session_reused)
                answer = self.answers.get(data.split()[1].decode(), NOT_FOUND)
                if self.gate:
                    self.gate(data.split()[1].decode())
                sock.sendall(answer)
                if self.cut:
                    sock.shutdown(socket.SHUT_WR)
                else:
                    sock.unwrap()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextlib.contextmanager
def at(answers, **more):
    server = Server(answers, **more)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="eddy-https-")
    try:
        yield path
    finally:
        shutil.rmtree(path)


def get(examples, *args, ca=CA, **more):
    program = examples.start("https_get", *(["--ca", ca.cert] if ca else []), *args)
    program.finish(**more)
    return bytes(program.out)


def says(url, why):
    return rf"https_get: {re.escape(url)}: [^\n]*(?:{why})[^\n]*\n"


def gets_and_tells(examples):
    who = r"certificate of CN=localhost, issued by CN=Authority of the tests, good until \d{4}-\d\d-\d\d"
    for version, text in ((ssl.TLSVersion.TLSv1_3, r"TLSv1\.3, TLS_\w+"),
                          (ssl.TLSVersion.TLSv1_2, r"TLSv1\.2, ECDHE-[A-Z0-9-]+")):
        for alpn, agreed in ((["http/1.1"], "http/1.1"), (None, "no ALPN")):
            with at({"/text": ok(TEXT)}, version=version, alpn=alpn) as server:
                url = server.url("/text")
                got = get(examples, "--verbose", url, err=says(url, rf"{text}, {agreed}, a full handshake, {who}"))
                check(got == TEXT, "got", got[:100])
                check(f"\r\nHost: localhost:{server.port}\r\n".encode() in server.heads[0], server.heads)
                check(server.names == ["localhost"], "asked for", server.names)
                check(get(examples, server.url("/text")) == TEXT, "without --verbose")
                check(get(examples, server.url("/text", "127.0.0.1")) == TEXT, "by its address")
                check(server.names == ["localhost", "localhost", None], "asked for", server.names)


def shapes_of_answers(examples):
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    until_end = b"HTTP/1.1 200 OK\r\n\r\n" + TEXT
    with at({"/chunks": chunks, "/end": until_end, "/empty": ok(b"")}) as server:
        check(get(examples, server.url("/chunks")) == b"hello world", "chunks")
        check(get(examples, server.url("/end")) == TEXT, "until the end")
        check(get(examples, server.url("/empty")) == b"", "nothing")


def a_cut_answer_is_not_a_whole_one(examples):
    """A body that ends with its connection is whole only if TLS says so."""
    for body in (b"HTTP/1.1 200 OK\r\n\r\n" + TEXT, ok(TEXT)[:-1]):
        with at({"/cut": body}, cut=True) as server:
            url = server.url("/cut")
            get(examples, url, code=1, err=says(url, r"truncated.*, after \d+ bytes of the answer"))
            with folder() as path:
                get(examples, "--output", path, url, code=1, err=says(url, r"truncated.*; what came is in cut\.part"))
                check(os.listdir(path) == ["cut.part"], os.listdir(path))
    with at({"/whole": ok(TEXT)}, cut=True) as server:
        check(get(examples, server.url("/whole")) == TEXT, "all of it came before the cut")


def who_is_not_trusted(examples):
    cases = ((FOLDER.signed_by(OTHER_CA, "localhost"), r"certificate verify failed: .*'CN=Somebody else'"),
             (FOLDER.signed_by(CA, "elsewhere.example", "other.example"),
              r"not valid for 'localhost' \(valid for: elsewhere\.example, other\.example\)"),
             (FOLDER.signed_by(CA, "localhost", days=-1), r"certificate has expired: 'CN=localhost'"),
             (FOLDER.authority("localhost"), r"certificate verify failed: .*self-signed"))
    for certificate, why in cases:
        with at({"/": ok(b"secret")}, certificate=certificate) as server:
            got = get(examples, server.url(), code=1, err=says(server.url(), why))
            check(got == b"" and not server.heads, "it was talked to:", got, server.heads)
            got = get(examples, "--insecure", server.url(), ca=None,
                      err=r"https_get: --insecure: [^\n]*\neddy: warning: [^\n]*not verified[^\n]*\n")
            check(got == b"secret", "--insecure got", got)
    with at({"/": ok(b"secret")}) as server:  # the system trusts no authority of ours
        get(examples, server.url(), ca=None, code=1, err=says(server.url(), ".*'CN=Authority of the tests'"))


def hostile_certificates(examples):
    """What stands in them cannot reach the terminal."""
    bad = FOLDER.signed_by(CA, "localhost", subject="x\x1b[2Jy\nz")
    with at({"/": ok(b"text")}, certificate=bad) as server:
        program = examples.start("https_get", "--ca", CA.cert, "--verbose", server.url())
        program.finish(err=r"[^\n]*certificate of CN=[^\n]*\n")
        check(b"\x1b" not in program.err, program.err)
        program = examples.start("https_get", "--ca", OTHER_CA.cert, server.url())
        program.finish(code=1, err=r"[^\n]*\n")
        check(b"\x1b" not in program.err, program.err)


def who_speaks_no_tls(examples):
    listener, port = listen()
    url = f"https://localhost:{port}/"

    def answer(data):
        sock = listener.accept()[0]
        with sock, contextlib.suppress(OSError):
            sock.recv(1000)
            sock.sendall(data)

    for data, why in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer is not speaking TLS"),
                      (b"220 hello\r\n", "the peer is not speaking TLS"),
                      (b"", "the peer has closed the connection|Connection reset")):
        thread = threading.Thread(target=answer, args=(data,), daemon=True)
        thread.start()
        get(examples, url, code=1, err=says(url, why))
        thread.join(PATIENCE)
    listener.close()
    sock, port = unused_port()
    url = f"https://127.0.0.1:{port}/"
    get(examples, url, code=1, err=says(url, "Connection refused"))
    sock.close()


def a_silent_server(examples):
    listener, port = listen()
    url = f"https://127.0.0.1:{port}/"
    began = time.monotonic()
    get(examples, "--timeout", "0.3", url, code=1, err=says(url, "0.3 seconds|timed out"))
    check(time.monotonic() - began < 20, "gave up late")
    listener.close()


def several_at_once(examples):
    """The last one is answered first; what is printed is in order. One failure is one failure."""
    last = threading.Event()
    answers = {f"/{i}": ok(b"%d " % i * 50000) for i in range(8)}

    def gate(path):
        if path == "/7":
            last.set()
        else:
            last.wait(PATIENCE)

    with at(answers, gate=gate) as server:
        got = get(examples, *[server.url(f"/{i}") for i in range(8)])
        check(got == b"".join(b"%d " % i * 50000 for i in range(8)), "out of order, or not all:", len(got))
    sock, port = unused_port()
    with at(answers) as server, folder() as path:
        refused = f"https://127.0.0.1:{port}/"
        urls = [server.url("/1"), refused, server.url("/missing"), server.url("/2")]
        program = examples.start("https_get", "--ca", CA.cert, "--output", path, *urls)
        lines = program.finish(code=1, err=r"(https_get: [^\n]*(Connection refused|the server says 404 Not Found)\n){2}")
        check(sorted(os.listdir(path)) == ["1", "2"], os.listdir(path))
        check(sorted(lines) == [f"{server.url(f'/{i}')}: 100000 bytes into {i}" for i in (1, 2)], lines)
    sock.close()


def sessions_are_resumed(examples):
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        with at({"/": ok(TEXT)}, version=version) as server:
            program = examples.start("https_get", "--ca", CA.cert, "--resume", server.url())
            program.finish(err=says(server.url(), "a full handshake") + says(server.url(), "again: .*, resumed"))
            check(bytes(program.out) == TEXT, "printed", len(program.out))
            check(server.resumed == [False, True], "resumed:", server.resumed)


def redirects_are_told(examples):
    with at({"/": b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/x\r\nContent-Length: 0\r\n\r\n",
             "/odd": b"HTTP/1.1 302 Found\r\nLocation: /\xc2\x9b2J\r\nContent-Length: 0\r\n\r\n"}) as server:
        get(examples, server.url(), code=1,
            err=says(server.url(), r"the server says 302 Found, and points to https://elsewhere\.example/x"))
        get(examples, server.url("/odd"), code=1, err=says(server.url("/odd"), r"points to /\?\?2J"))


def files(examples):
    with at({"/text": ok(TEXT), "/other": ok(b"other")}) as server, folder() as path:
        url, other = server.url("/text"), server.url("/other")
        get(examples, "--output", path, url)
        with open(os.path.join(path, "text"), "rb") as file:
            check(file.read() == TEXT, "the file is wrong")
        get(examples, "--output", path, url, code=1, err=says(url, r"text is there already \(--force replaces it\)"))
        get(examples, "--output", path, "--force", url)
        get(examples, "--output", path, other, other, code=1, err=says(other, "would be written by"))
        get(examples, "--output", path + "/none", url, code=1, err=r"https_get: [^\n]*/none: No such file or directory\n")
        check(sorted(os.listdir(path)) == ["other", "text"], os.listdir(path))


def output_that_is_lost(examples):
    if not os.path.exists("/dev/full"):
        return
    with at({"/": ok(TEXT * 10)}) as server:
        with open("/dev/full", "wb") as full:
            command = [os.path.join(examples.folder, "https_get"), "--ca", CA.cert, server.url()]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        check(done.returncode == 1 and b"standard output" in done.stderr, done)


def command_line(examples):
    examples.check_usage("https_get", [([], "nothing to get"), (["--timeout", "0", "x"], "expected a number of seconds"),
                                       (["--insecure", "--ca", "x", "y"], "--insecure is not for a --ca")])
    examples.check_backends("https_get", "--ca", CA.cert, "127.0.0.1:1/x")
    for url, why in (("http://x/", "only https is spoken here"), ("ftp://x/", "only https is spoken here"),
                     ("https:///x", "no host"),
                     ("https://x:0/", "port"), ("https://a b/", "characters"), ("https://u:p@x/", "names and passwords")):
        get(examples, url, code=1, err=says(url, why))
    get(examples, "--ca", "/nonexistent.pem", "x", ca=None, code=1, err=r"https_get: [^\n]*/nonexistent\.pem[^\n]*\n")


main(gets_and_tells, shapes_of_answers, a_cut_answer_is_not_a_whole_one, who_is_not_trusted, hostile_certificates,
     who_speaks_no_tls, a_silent_server, several_at_once, sessions_are_resumed, redirects_are_told, files,
     output_that_is_lost, command_line)
