#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# needs: openssl
# clause: X9 X11 X14
"""sni_server: each name has its own certificate, files are read anew by SIGHUP, and a broken one changes nothing."""

import os
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
from lib.certificates import Certificate, Folder, connect_tls, trusting
from lib.programs import Failure, PATIENCE, check, connect, main, receive_all

FOLDER = Folder()
CA = FOLDER.authority()
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Names:
    """Certificates for some names in a folder of their own, where they can be changed."""

    def __init__(self, *names):
        self.folder = tempfile.mkdtemp(prefix="names-", dir=FOLDER.path)
        self.files = {}
        for name in names:
            made = FOLDER.signed_by(CA, name)
            self.files[name] = Certificate(*(shutil.move(file, self.folder) for file in (made.cert, made.key)))

    def options(self):
        return [word for name, c in self.files.items() for word in ("--name", f"{name}={c.cert},{c.key}")]

    def renew(self, name, **more):
        made, old = FOLDER.signed_by(CA, name, **more), self.files[name]
        os.replace(made.key, old.key)
        os.replace(made.cert, old.cert)


def start(examples, names, *args):
    server = examples.start("sni_server", "--port", 0, *names.options(), *args)
    return server, server.listening()[1]


def stop(server, err=""):
    server.signal(signal.SIGTERM)
    return server.finish(err=err)


def reload(server):
    """What it says of each name, and of the rest."""
    def said():
        return [line for line in server.lines() if re.match(r".*: (reloaded|keeps its certificate)", line)]

    before = len(said())
    server.signal(signal.SIGHUP)
    seen = 0
    while len(said()) == before or not said()[-1].startswith("all others: "):
        server.wait_line(r"all others: .*", seen)
        seen = server.index
    return said()[before:]


def serial(sock):
    return sock.getpeercert()["serialNumber"]


def ask(port, name, verify=True):
    """The serial number of the certificate, its subject, and the answer."""
    context = trusting(CA.cert)
    context.check_hostname = verify
    sock = connect_tls(port, context, name)
    sock.sendall(REQUEST)
    answer = receive_all(sock)
    certificate = sock.getpeercert()
    sock.unwrap().close()
    return certificate["serialNumber"], certificate["subject"][0][0][1], answer.split(b"\r\n\r\n")[1].decode()


def each_name_has_its_own(examples):
    names = Names("a.example", "b.example", "*.c.example")
    server, port = start(examples, names)
    for name, subject in (("a.example", "a.example"), ("b.example", "b.example"), ("B.Example", "b.example"),
                          ("x.c.example", "*.c.example")):
        _, who, answer = ask(port, name)
        check(who == subject, name, "got the certificate of", who)
        check(answer.lower() == f"you have asked for {name.lower()}.\n", "the answer is", answer)
    server.wait_line(r"127\.0\.0\.1:\d+ asks for a\.example: TLSv1\.3")
    for name in ("other.example", "c.example", "x.y.c.example"):
        _, who, _ = ask(port, name, verify=False)
        check(who == "a.example", name, "got the certificate of", who)
        server.wait_line(rf"somebody asks for {re.escape(name)}, which is not here")
    _, who, answer = ask(port, None, verify=False)
    check(who == "a.example" and answer == "You have asked for no name.\n", "without a name:", who, answer)
    stop(server)


def strict(examples):
    names = Names("a.example", "b.example")
    server, port = start(examples, names, "--strict")
    check(ask(port, "b.example")[1] == "b.example", "a name that is there")
    for name in ("other.example", None):
        try:
            ask(port, name, verify=False)
            raise Failure(f"{name} is served")
        except ssl.SSLError as error:
            check("UNRECOGNIZED_NAME" in str(error), "the alert is", error)
    server.wait_line(r"somebody asks for other\.example, which is not here")
    stop(server)


def hostile_names(examples):
    """A name may be any bytes; Python sends none but tidy ones, so these are put into its hello."""
    names = Names("a.example")
    server, port = start(examples, names)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = trusting(CA.cert)
    context.check_hostname = False
    hello = context.wrap_bio(incoming, outgoing, server_hostname="0123456789.example")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    sock = connect(port)
    sock.sendall(outgoing.read().replace(b"0123456789", b"\x1b[2J\n\xff\x9b%sx"))
    sock.settimeout(PATIENCE)
    sock.recv(1)  # its answer, or the end
    sock.close()
    check(ask(port, "a.example")[1] == "a.example", "afterwards")
    stop(server)
    check(not re.search(rb"[^\n -~]", bytes(server.out) + bytes(server.err)), bytes(server.out))
    check(len(server.lines()) <= 5, "a name has made lines:", server.lines())


def certificates_are_renewed(examples):
    names = Names("a.example", "b.example")
    server, port = start(examples, names)
    before = {name: ask(port, name)[0] for name in names.files}
    old = connect_tls(port, trusting(CA.cert), "b.example")
    names.renew("b.example", days=60)
    check(ask(port, "b.example")[0] == before["b.example"], "files are read without being told to")
    lines = reload(server)
    check(len(lines) == 3 and all(": reloaded, good until " in line for line in lines), lines)
    check(ask(port, "b.example")[0] != before["b.example"], "still the old certificate")
    check(ask(port, "a.example")[0] == before["a.example"], "another certificate than before")
    old.sendall(REQUEST)  # and who was there goes on
    check(b"You have asked for b.example." in receive_all(old), "the old connection")
    check(serial(old) == before["b.example"], "the old connection has changed")
    old.close()
    stop(server)


def a_broken_file_changes_nothing(examples):
    names = Names("a.example", "b.example")
    server, port = start(examples, names)
    before = ask(port, "b.example")[0]
    files = names.files["b.example"]
    other = FOLDER.signed_by(CA, "b.example")
    with open(files.cert, "rb") as file:
        good = file.read()

    def write(data):
        with open(files.cert, "wb") as file:
            file.write(data)

    for spoil in (lambda: write(b""), lambda: write(good[:len(good) // 2]), lambda: write(b"nonsense\n"),
                  lambda: shutil.copy(other.cert, files.cert), lambda: os.unlink(files.cert)):
        spoil()
        lines = reload(server)
        check(re.fullmatch(rf"b\.example: keeps its certificate: .*{re.escape(os.path.basename(files.cert))}.*|"
                           r"b\.example: keeps its certificate: .*key.*", lines[1]), lines)
        check(": reloaded, " in lines[0] and ": reloaded, " in lines[2], lines)
        check(ask(port, "b.example")[0] == before, "another certificate than the last good one")
    write(good)
    check(": reloaded, " in reload(server)[1], server.lines())
    names.renew("b.example", days=-1)  # it is not for the server to judge, but it says so
    check(", WHICH IS OVER" in reload(server)[1], server.lines())
    stop(server)


def reloads_while_clients_come(examples):
    names = Names("a.example", "b.example")
    server, port = start(examples, names)
    faults, done = [], threading.Event()

    def clients(name):
        while not done.is_set() and not faults:
            try:
                check(ask(port, name)[1] == name, "the wrong certificate")
            except (OSError, Failure) as fault:
                faults.append(fault)

    threads = [threading.Thread(target=clients, args=(name,), daemon=True) for name in 2 * list(names.files)]
    for thread in threads:
        thread.start()
    for i in range(10):
        names.renew(("a.example", "b.example")[i % 2])
        reload(server)
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    check(not faults, faults[:3])
    stop(server)


def resumption_stays_with_its_name(examples):
    names = Names("a.example", "b.example")
    server, port = start(examples, names)
    context = trusting(CA.cert)
    first = connect_tls(port, context, "a.example")
    first.sendall(REQUEST)
    receive_all(first)
    session = first.session
    again = connect_tls(port, context, "a.example", session=session)
    check(again.session_reused, "not resumed")
    server.wait_line(r".* asks for a\.example: TLSv1\.3, resumed")
    other = connect_tls(port, context, "b.example", session=session)
    check(not other.session_reused, "a session of a.example was resumed for b.example")
    check(other.getpeercert()["subject"][0][0][1] == "b.example", "the wrong certificate")
    for sock in (first, again, other):
        sock.close()
    stop(server)


def odd_clients(examples):
    """Plain text, silence, too many headers, a reset: nobody else notices."""
    names = Names("a.example")
    server, port = start(examples, names)
    silent = connect(port)
    plain = connect(port)
    plain.sendall(REQUEST)
    try:
        check(len(receive_all(plain)) <= 7, "plain text was answered")
    except ConnectionResetError:
        pass
    long = connect_tls(port, trusting(CA.cert), "a.example")
    try:
        long.sendall(b"X: y\r\n" * 200)
        check(long.recv(100) == b"", "200 headers were answered")
    except (ssl.SSLError, ConnectionError):
        pass
    server.wait_line(r".* left: too many headers")
    reset = connect_tls(port, trusting(CA.cert), "a.example")
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    os.close(reset.detach())
    check(ask(port, "a.example")[1] == "a.example", "afterwards")
    for sock in (silent, plain, long):
        sock.close()
    stop(server)


def with_https_get(examples):
    """The other example."""
    names = Names("localhost", "b.example")
    server, port = start(examples, names)
    program = examples.start("https_get", "--ca", CA.cert, "--resume", f"https://localhost:{port}/")
    program.finish(err=r"[^\n]*a full handshake[^\n]*CN=localhost[^\n]*\n[^\n]*, resumed[^\n]*\n")
    check(bytes(program.out) == b"You have asked for localhost.\n", bytes(program.out))
    stop(server)


def command_line(examples):
    cert = FOLDER.signed_by(CA, "a.example")
    examples.check_usage("sni_server", [([], "--name is needed"), (["--name", "x=" + "y" * 2000], "something shorter"),
                                        *((["--name", name], "expected NAME=CERT or NAME=CERT,KEY")
                                          for name in ("x", "=x", "x=", "x=y,", "x=,y"))])
    examples.check_backends("sni_server", "--port", 0, "--name", f"a.example={cert.cert},{cert.key}")
    other = FOLDER.signed_by(CA, "other")
    for name, why in (("x=/nonexistent.pem", r"/nonexistent\.pem"), (f"x={cert.cert}", "key"),
                      (f"x={cert.cert},{other.key}", "key")):
        examples.run("sni_server", "--port", 0, "--name", name, code=1, err=rf"sni_server: [^\n]*{why}[^\n]*\n")
    both = FOLDER.new("both.pem")
    with open(both, "wb") as file:
        for part in (cert.cert, cert.key):
            with open(part, "rb") as source:
                file.write(source.read())
    server = examples.start("sni_server", "--port", 0, "--name", f"a.example={both}")
    check(ask(server.listening()[1], "a.example")[1] == "a.example", "both in one file")
    stop(server)


main(each_name_has_its_own, strict, hostile_names, certificates_are_renewed, a_broken_file_changes_nothing,
     reloads_while_clients_come, resumption_stays_with_its_name, odd_clients, with_https_get, command_line)
