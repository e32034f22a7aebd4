#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# needs: openssl
# clause: S51 S52 X38 X39 X40 X41 X42 X44
"""starttls_smtp_server and _client: plain text, then TLS, and nothing of the one in the other, whoever tries."""

import contextlib
import os
import re
import signal
import smtplib
import socket
import ssl
import sys
import threading
import time

sys.dont_write_bytecode = True
from lib.certificates import Folder, serving, trusting
from lib.programs import Failure, PATIENCE, check, connect, listen, main, receive_all

FOLDER = Folder()
CA = FOLDER.authority()
OTHER_CA = FOLDER.authority("Somebody else")
SERVER = FOLDER.signed_by(CA, "localhost", "127.0.0.1")


def start(examples, *args, certificate=SERVER):
    server = examples.start("starttls_smtp_server", "--port", 0, *(certificate.both() if certificate else ()), *args)
    return server, server.listening()[1]


def stop(server):
    server.signal(signal.SIGTERM)
    return server.finish()


def a_mail(examples):
    server, port = start(examples)
    text = "Hello.\n.\n..dots\n\nand an end without one"
    program = examples.start("starttls_smtp_client", "--port", port, "--ca", CA.cert,
                             "--from", "a@example", "--to", "b@example", text)
    lines = program.finish()
    size = sum(len(line) + 1 for line in ("From: <a@example>", "To: <b@example>", "", *text.split("\n")))
    server.wait_line(rf"127\.0\.0\.1:\d+: a mail from a@example to 1: {size} bytes, by TLSv1\.3")
    place = [i for i, line in enumerate(lines) if line.startswith("encrypted: TLSv1.3, TLS_")]
    check(len(place) == 1, lines)
    check(lines[:place[0]] == ["< 220 starttls_smtp_server", "> EHLO localhost", "< 250-at your service",
                               "< 250 STARTTLS", "> STARTTLS", "< 220 go ahead"], "before TLS:", lines)
    check(lines[place[0] + 1:][:2] == ["> EHLO localhost", "< 250 at your service, in private"], "after it:", lines)
    check(lines[-2:] == ["> QUIT", "< 221 good-bye"], lines)
    stop(server)


def nothing_of_it_is_plain(examples):
    """What goes over the wire before TLS has neither addresses nor text in it."""
    server, port = start(examples)
    listener, via = listen()
    seen = [bytearray(), bytearray()]

    def pump(source, sink, into):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                into.extend(data)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)

    def carry():
        client = listener.accept()[0]
        other = connect(port)
        back = threading.Thread(target=pump, args=(other, client, seen[1]), daemon=True)
        back.start()
        pump(client, other, seen[0])
        back.join(PATIENCE)
        client.close()
        other.close()

    carrier = threading.Thread(target=carry, daemon=True)
    carrier.start()
    examples.run("starttls_smtp_client", "--port", via, "--ca", CA.cert, "--to", "secret@example", "secret text")
    carrier.join(PATIENCE)
    check(seen[0].startswith(b"EHLO localhost\r\nSTARTTLS\r\n\x16\x03"), "sent", bytes(seen[0][:60]))
    check(b"secret" not in seen[0] + seen[1] and b"MAIL" not in seen[0], "sent in plain text")
    listener.close()
    stop(server)


def with_pythons_client(examples):
    server, port = start(examples)
    for version, name in ((ssl.TLSVersion.TLSv1_2, r"TLSv1\.2"), (ssl.TLSVersion.TLSv1_3, r"TLSv1\.3")):
        client = smtplib.SMTP("localhost", port, local_hostname="me", timeout=PATIENCE)
        check(client.ehlo()[0] == 250 and client.has_extn("starttls"), "no STARTTLS is offered")
        check(client.docmd("MAIL", "FROM:<a@b>")[0] == 530, "a mail in plain text is taken")
        check(client.starttls(context=trusting(CA.cert, version=version))[0] == 220, "STARTTLS")
        check(client.docmd("MAIL", "FROM:<a@b>")[0] == 503, "what was said before TLS still counts")
        check(client.ehlo()[0] == 250 and not client.has_extn("starttls"), "STARTTLS is offered again")
        check(client.docmd("STARTTLS")[0] == 503, "a second STARTTLS")
        client.sendmail("a@b", ["c@d", "e@f"], b"Subject: x\r\n\r\n" + b"y" * 76 + b"\r\n.dot\r\n")
        server.wait_line(rf".*: a mail from a@b to 2: \d+ bytes, by {name}")
        client.sendmail("again@b", ["c@d"], b"second\r\n")
        client.quit()
    client = smtplib.SMTP("localhost", port, timeout=PATIENCE)
    for command, code in (("NONSENSE", 500), ("STARTTLS", 503), ("EHLO x", 250), ("STARTTLS now", 501),
                          ("RCPT TO:<x>", 503), ("DATA", 503), ("noop", 250), ("rset", 250),
                          ("x" * 990, 500), ("QUIT", 221)):
        check(client.docmd(command)[0] == code, command[:20], "is answered otherwise")
    client.close()
    stop(server)


def injected_commands(examples):
    """Lines behind a client's STARTTLS, by somebody in between (CVE-2011-0411): in one segment, and a moment later."""
    server, port = start(examples)
    for pieces in ((b"EHLO x\r\nSTARTTLS\r\nEHLO y\r\nMAIL FROM:<mallory@x>\r\n",),
                   (b"EHLO x\r\n", b"STARTTLS\r\nRSET\r\n", b"EHLO y\r\n"),
                   (b"EHLO x\r\nSTARTTLS\r\nMAI",)):
        sock = connect(port)
        with contextlib.suppress(OSError):
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(0.01)
        try:
            sock.sendall(b"L FROM:<mallory@x>\r\n")
            back = receive_all(sock)
            check(back.count(b"220") == 2 and b"in private" not in back and b"503" not in back, "came back", back)
        except (ConnectionResetError, BrokenPipeError):
            pass
        name = re.escape("%s:%d" % sock.getsockname())
        server.wait_line(rf"{name} left: TLS handshake: the peer is not speaking TLS.*")
        sock.close()
    # The same in front of a real client: its handshake fails instead of going on behind them.
    client = smtplib.SMTP("localhost", port, local_hostname="me", timeout=PATIENCE)
    client.ehlo()
    client.sock.sendall(b"STARTTLS\r\nMAIL FROM:<mallory@x>\r\n")
    check(client.getreply()[0] == 220, "STARTTLS")
    try:
        trusting(CA.cert).wrap_socket(client.sock, server_hostname="localhost")
        raise Failure("the handshake goes on behind injected lines")
    except OSError:
        pass
    examples.run("starttls_smtp_client", "--port", port, "--ca", CA.cert)
    check(not any("mallory" in line for line in server.lines()), server.lines())
    stop(server)


def early_handshake(examples):
    """A client that does not wait for the answer to STARTTLS: what came behind it belongs to TLS."""
    server, port = start(examples)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(CA.cert).wrap_bio(incoming, outgoing, server_hostname="localhost")
    sock = connect(port)

    def step(action, first=b""):
        sock.settimeout(PATIENCE)
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                result = None
            sock.sendall(first + outgoing.read())
            first = b""
            if result is not None:
                return result
            data = sock.recv(65536)
            check(data, "the connection ended")
            if b"220 go ahead\r\n" in data or b"250" in data[:3] or data[:3] == b"220":
                data = data.split(b"220 go ahead\r\n")[1] if b"220 go ahead\r\n" in data else b""
            incoming.write(data)

    step(lambda: tls.do_handshake() or True, b"EHLO x\r\nSTARTTLS\r\n")
    tls.write(b"EHLO y\r\nMAIL FROM:<a@b>\r\n")
    answer = b""
    while answer.count(b"\r\n") < 2:
        answer += step(lambda: tls.read(1000))
    check(answer == b"250 at your service, in private\r\n250 fine\r\n", answer)
    sock.close()
    stop(server)


class RogueServer:
    """Says what the script tells it to."""

    def __init__(self, *script):
        self.listener, self.port = listen()
        self.script, self.heard = script, b""
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            sock = self.listener.accept()[0]
            sock.settimeout(PATIENCE)
            for piece in self.script:
                sock.sendall(piece)
                data = sock.recv(65536)
                self.heard += data
                if not data:
                    break
            sock.close()
        self.listener.close()


def servers_that_lie(examples):
    cases = (
        ((b"220 hi\r\n", b"250 no extensions\r\n"), "the server offers no STARTTLS, and in plain text no mail is sent"),
        ((b"220 hi\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n250 STARTTLS\r\n"),
         r"start_tls: the server has sent bytes before the handshake"),
        ((b"220 hi\r\n", b"250 STARTTLS\r\n", b"454 not today\r\n"), "that is not the answer to go on with"),
        ((b"220 hi\r\n", b"250 STARTTLS\r\n", b"220 go\r\n", b"250 this is no TLS\r\n"), "the peer is not speaking TLS"),
        ((b"220 hi\r\n", b"250 STARTTLS\r\n", b"220 go\r\n"), None),
        ((b"what?\r\n",), "this is no SMTP"),
        ((b"554 go away\r\n",), "that is not the answer to go on with"),
        ((b"220 hi\r\n",), "the server has closed the connection"),
        ((b"220 \x1b[2J\r\n", b"250 \x9b2J\r\n"), "offers no STARTTLS"),
    )
    for script, why in cases:
        server = RogueServer(*script)
        program = examples.start("starttls_smtp_client", "--port", server.port, "--ca", CA.cert,
                                 "--to", "secret@x", "secret")
        program.finish(code=1, err=rf"starttls_smtp_client: [^\n]*{why or ''}[^\n]*\n")
        check(b"secret" not in server.heard and b"MAIL" not in server.heard, "sent in plain text:", server.heard)
        check(not re.search(rb"[^\n -~]", bytes(program.out) + bytes(program.err)), bytes(program.out))


def who_is_not_trusted(examples):
    for certificate, args, why in (
            (FOLDER.signed_by(OTHER_CA, "localhost", "127.0.0.1"), [], "certificate verify failed: .*'CN=Somebody else'"),
            (FOLDER.signed_by(CA, "elsewhere"), [], r"not valid for '127\.0\.0\.1' \(valid for: elsewhere\)"),
            (FOLDER.signed_by(CA, "127.0.0.1", days=-1), [], "certificate has expired"),
            (SERVER, ["--server-name", "mail.example"], r"not valid for 'mail\.example'"),
            (SERVER, ["--server-name", ""], "server hostname")):
        server, port = start(examples, certificate=certificate)
        program = examples.start("starttls_smtp_client", "--port", port, "--ca", CA.cert, *args, "secret")
        program.finish(code=1, err=rf"starttls_smtp_client: [^\n]*{why}[^\n]*\n")
        check(not any("MAIL" in line for line in program.lines()), program.lines())
        check(not any("a mail" in line for line in stop(server)), server.lines())


def a_throw_away_certificate(examples):
    server, port = start(examples, certificate=None)
    pem = FOLDER.new("thrown-away.pem")
    with open(pem, "w", encoding="ascii") as file:
        file.write(re.search("-----BEGIN.*END CERTIFICATE-----\n", "\n".join(server.lines()), re.DOTALL).group(0))
    examples.run("starttls_smtp_client", "--port", port, "--ca", pem)
    stop(server)


def kills_and_ends(examples):
    """A client that is gone in the middle of it, and a server that is told to end meanwhile."""
    server, port = start(examples)
    for data in (b"", b"EHLO x\r\n", b"EHLO x\r\nSTARTTLS\r\n", b"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x02\x00"):
        for reset in (False, True):
            sock = connect(port)
            sock.sendall(data)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.close()
    examples.run("starttls_smtp_client", "--port", port, "--ca", CA.cert)
    waiting = connect(port)
    waiting.sendall(b"EHLO x\r\nSTARTTLS\r\n")
    server.wait_line(r".*: a mail from .*")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    server.finish()
    check(time.monotonic() - began < 8, "a silent handshake holds the end up")
    waiting.close()


def many_at_once(examples):
    server, port = start(examples)
    programs = [examples.start("starttls_smtp_client", "--port", port, "--ca", CA.cert, f"mail {i}\n" * 100)
                for i in range(10)]
    for program in programs:
        program.finish()
    check(sum(": a mail from me@localhost to 1: " in line for line in stop(server)) == 10, server.lines())


def command_line(examples):
    examples.check_usage("starttls_smtp_server", [(["--key", "x"], "--key is for a --cert"),
                                                  (["x"], "what is meant by 'x'?")])
    examples.check_backends("starttls_smtp_server", "--port", 0, *SERVER.both())
    examples.check_usage("starttls_smtp_client", [(["a", "b"], "what is meant by 'b'?"),
                                                  (["--from", "a b"], "expected an address"),
                                                  (["--to", "<x>"], "expected an address")])
    examples.check_backends("starttls_smtp_client", "--ca", CA.cert)
    examples.run("starttls_smtp_client", "--ca", "/nonexistent.pem", code=1,
                 err=r"starttls_smtp_client: [^\n]*/nonexistent\.pem[^\n]*\n")


main(a_mail, nothing_of_it_is_plain, with_pythons_client, injected_commands, early_handshake, servers_that_lie,
     who_is_not_trusted, a_throw_away_certificate, kills_and_ends, many_at_once, command_line)
