#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: X4 X6 X9 X13 X14 X21 X32 X33
"""tls_echo: echoes in private, tells who came, holds back who does not read, and is not disturbed by plain text."""

import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
import warnings

sys.dont_write_bytecode = True
from lib.certificates import Folder, connect_tls, trusting
from lib.programs import Failure, PATIENCE, check, connect, main, receive_all, receive_exactly

FOLDER = Folder()
CA = FOLDER.authority()
OTHER_CA = FOLDER.authority("Somebody else")
SERVER = FOLDER.signed_by(CA, "localhost", "127.0.0.1")
TLS13, TLS12 = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


def start(examples, *args, certificate=SERVER):
    server = examples.start("tls_echo", "--port", 0, *(certificate.both() if certificate else ()), *args)
    return server, server.listening()[1]


def stop(server, err=""):
    server.signal(signal.SIGTERM)
    return server.finish(err=err)


def name_of(sock):
    return re.escape("%s:%d" % sock.getsockname())


def exchange(sock, message):
    sock.sendall(message)
    check(receive_exactly(sock, len(message)) == message, "another echo than", message[:20])


def echoes_and_tells_who(examples):
    server, port = start(examples, "--alpn", "echo")
    for version, text in ((TLS13, r"TLSv1\.3, TLS_\w+"), (TLS12, r"TLSv1\.2, ECDHE-[A-Z0-9-]+")):
        for alpn in (["other", "echo"], None):
            sock = connect_tls(port, trusting(CA.cert, version=version, alpn=alpn))
            check(sock.selected_alpn_protocol() == ("echo" if alpn else None), "ALPN", sock.selected_alpn_protocol())
            server.wait_line(f"{name_of(sock)} joined: {text}{', ALPN echo' if alpn else ''}")
            for message in (b"x", b"hello\n", bytes(range(256)) * 300):
                exchange(sock, message)
            name = name_of(sock)
            sock.unwrap().close()
            server.wait_line(f"{name} left")
    stop(server)


def old_versions_are_refused(examples):
    server, port = start(examples)
    context = trusting(CA.cert)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        connect_tls(port, context)
        raise Failure("TLS 1.1 is spoken")
    except ssl.SSLError as error:
        check("PROTOCOL_VERSION" in str(error), "the alert is", error)
    stop(server)


def sessions_are_resumed(examples):
    server, port = start(examples)
    context = trusting(CA.cert)
    first = connect_tls(port, context)
    exchange(first, b"a ticket comes before the echo")
    second = connect_tls(port, context, session=first.session)
    exchange(second, b"again")
    check(second.session_reused, "not resumed")
    server.wait_line(f"{name_of(second)} joined: .*, resumed")
    first.close()
    second.close()
    stop(server)


def a_throw_away_certificate(examples):
    server = examples.start("tls_echo", "--port", 0)
    server.wait_line(r"a throw-away certificate for localhost,127\.0\.0\.1,::1, which no client trusts .*")
    port = server.listening()[1]
    text = "\n".join(server.lines())
    pem = FOLDER.new("thrown-away.pem")
    with open(pem, "w", encoding="ascii") as file:
        file.write(re.search("-----BEGIN.*END CERTIFICATE-----\n", text, re.DOTALL).group(0))
    for name in ("localhost", "127.0.0.1"):
        sock = connect_tls(port, trusting(pem), name)
        exchange(sock, b"thrown away")
        sock.close()
    for cert, name, why in ((CA.cert, "localhost", "self-signed|unable to get"), (pem, "elsewhere", "Hostname mismatch")):
        try:
            connect_tls(port, trusting(cert), name)
            raise Failure("it is trusted")
        except ssl.SSLCertVerificationError as error:
            check(re.search(why, str(error)), "refused for", error)
    stop(server)


def clients_must_have_a_certificate(examples):
    server, port = start(examples, "--client-ca", CA.cert)
    good = FOLDER.signed_by(CA, "alice")
    for version in (TLS13, TLS12):
        sock = connect_tls(port, trusting(CA.cert, good, version=version))
        exchange(sock, b"it is me")
        server.wait_line(f"{name_of(sock)} joined: .*, certificate of CN=alice, issued by CN=Authority of the tests")
        sock.close()
    joined = sum(" joined" in line for line in server.lines())
    for bad, alert in ((None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
                       (FOLDER.signed_by(OTHER_CA, "mallory"), "UNKNOWN_CA"),
                       (FOLDER.signed_by(CA, "bob", days=-1), "CERTIFICATE_EXPIRED")):
        for version in (TLS13, TLS12):
            try:
                sock = connect_tls(port, trusting(CA.cert, bad, version=version))
                sock.recv(1)  # under TLS 1.3 the client's handshake is done before it is refused
                raise Failure("a client was let in that has no good certificate")
            except ssl.SSLError as error:
                check(re.search(alert, str(error)), "the alert is", error, "not", alert)
    lines = stop(server)
    check(sum(" joined" in line for line in lines) == joined, "one has joined:", lines)


def who_speaks_no_tls(examples):
    """... is disconnected, and nobody else notices."""
    server, port = start(examples, "--debug")
    friend = connect_tls(port, trusting(CA.cert))
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"hello\n", os.urandom(5000), b"\x16\x03\x01\xff\xff" + bytes(100)):
        sock = connect(port)
        sock.sendall(data)
        try:
            back = receive_all(sock)
            check(len(back) <= 7, "came back", back)  # an alert at most
        except ConnectionResetError:
            pass
        sock.close()
        exchange(friend, b"still there")
    friend.close()
    lines = stop(server, err=r".*the peer is not speaking TLS.*")
    check(sum(" joined" in line for line in lines) == 1, lines)


def an_end_is_said(examples):
    """Who is cut off has not ended; who has, gets what it is owed."""
    server, port = start(examples)
    sock = connect_tls(port, trusting(CA.cert))
    name = name_of(sock)
    exchange(sock, b"last words")
    sock.unwrap().close()
    server.wait_line(f"{name} left")
    sock = connect_tls(port, trusting(CA.cert))
    name = name_of(sock)
    exchange(sock, b"cut off")
    os.close(sock.detach())
    server.wait_line(f"{name} left: TLS: truncated: .*")
    stop(server)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def who_does_not_read_is_held_back(examples):
    server, port = start(examples)
    sock, other = connect_tls(port, trusting(CA.cert)), connect_tls(port, trusting(CA.cert))
    exchange(sock, b"warm up")
    before = resident(server.process.pid)
    data = os.urandom(1 << 20) * 32
    received, problem = bytearray(), []
    # One thread for all of the object: OpenSSL's are not for two. It reads once it is told to.
    go, full = threading.Event(), threading.Event()

    def talk():
        sock.setblocking(False)
        sent, stuck = 0, None
        limit = time.monotonic() + PATIENCE
        while len(received) < len(data) and time.monotonic() < limit:
            moved = False
            try:
                if sent < len(data):
                    sent += sock.send(data[sent:sent + 16384])
                    moved = True
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            try:
                if go.is_set():
                    received.extend(sock.recv(1 << 20))
                    moved = True
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if moved:
                stuck = None
                continue
            stuck = stuck or time.monotonic()
            if time.monotonic() - stuck > 0.5:
                full.set()
            time.sleep(0.001)
        problem.append(sent)

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    check(full.wait(PATIENCE), "32 MiB were taken from a client that does not read")
    grown = resident(server.process.pid) - before
    check(grown < 10 << 20, "the server grew by", grown, "bytes")
    exchange(other, b"others are served meanwhile")
    go.set()
    talker.join(PATIENCE)
    check(bytes(received) == data, "32 MiB came back changed,", len(received), "of", problem)
    sock.close()
    other.close()
    stop(server)


def many_at_once(examples):
    server, port = start(examples)
    context = trusting(CA.cert)
    faults = []
    all_are_there = threading.Barrier(60, timeout=PATIENCE)

    def client(number):
        try:
            sock = connect_tls(port, context)
            for turn in range(5):
                exchange(sock, b"%d in turn %d " % (number, turn) * 100)
                all_are_there.wait()
            sock.unwrap().close()
        except (OSError, Failure, threading.BrokenBarrierError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    check(not faults, faults[:3])
    lines = stop(server)
    check(sum(" joined" in line for line in lines) == 60, "not all have joined:", len(lines))
    check(sum(line.endswith(" left") for line in lines) == 60, "not all have left in peace:", lines[-5:])


def resets_in_mid_stream(examples):
    server, port = start(examples)
    for _ in range(10):
        sock = connect_tls(port, trusting(CA.cert))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.sendall(b"y" * 100000)
        os.close(sock.detach())
    for _ in range(10):  # and in the middle of a handshake
        sock = connect(port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        sock.close()
    sock = connect_tls(port, trusting(CA.cert))
    exchange(sock, b"still there")
    sock.close()
    stop(server)


def sigterm_says_good_bye(examples):
    """Idle clients hear the end by TLS, and one in the middle of its handshake does not hold the server up."""
    server, port = start(examples)
    idle, silent = connect_tls(port, trusting(CA.cert)), connect(port)
    exchange(idle, b"I am here")
    server.signal(signal.SIGTERM)
    check(idle.recv(1) == b"", "the idle client got something")
    idle.unwrap().close()
    server.finish()
    silent.close()
    check(server.lines()[-1].endswith(" left"), server.lines())


def sigterm_sends_what_is_owed(examples):
    """... to a client that has not read, and then says good-bye to it too."""
    server, port = start(examples)
    sock = connect_tls(port, trusting(CA.cert))
    sock.setblocking(False)
    sent, stuck = 0, time.monotonic()
    while time.monotonic() - stuck < 0.5:
        try:
            sent += sock.send(b"z" * 16384)
            stuck = time.monotonic()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            time.sleep(0.001)
    server.signal(signal.SIGTERM)
    for _ in range(PATIENCE * 100):  # until the signal has taken effect
        try:
            connect(port).close()
        except OSError:
            break
        time.sleep(0.01)
    check(server.running(), "the server did not wait for its client")
    sock.settimeout(PATIENCE)
    back = receive_all(sock)  # an SSLEOFError if there is no good-bye
    check(0 < len(back) <= sent and not back.strip(b"z"), "the client got", len(back), "of", sent)
    sock.close()
    server.finish()


def errors_name_the_cause(examples):
    other = FOLDER.signed_by(CA, "other")
    empty = FOLDER.new("empty.pem")
    open(empty, "wb").close()
    for args, why in ((["--cert", "/nonexistent.pem"], r"/nonexistent\.pem"), (["--cert", SERVER.cert], "key"),
                      (["--cert", SERVER.cert, "--key", other.key], "key"),
                      (["--cert", empty, "--key", SERVER.key], re.escape(empty)),
                      ([*SERVER.both(), "--client-ca", "/nonexistent.pem"], r"/nonexistent\.pem")):
        lines = examples.run("tls_echo", "--port", 0, *args, code=1, err=rf"tls_echo: [^\n]*{why}[^\n]*\n")
        check(not lines, "printed", lines)


def command_line(examples):
    examples.check_usage("tls_echo", [(["--port", "-1"], "expected a number from 0 to 65535"),
                                      (["--key", "x"], "--key is for a --cert"), (["x"], "what is meant by 'x'?")])
    examples.check_backends("tls_echo", "--port", 0, *SERVER.both())


main(echoes_and_tells_who, old_versions_are_refused, sessions_are_resumed, a_throw_away_certificate,
     clients_must_have_a_certificate, who_speaks_no_tls, an_end_is_said, who_does_not_read_is_held_back, many_at_once,
     resets_in_mid_stream, sigterm_says_good_bye, sigterm_sends_what_is_owed, errors_name_the_cause, command_line)
