#!/usr/bin/env python3
# backends: select poll epoll io_uring
# timeout: 120
# clause: X6 X7 X26 X32 X33
"""Python's ssl with our TLS; and what it lets us do that no decent program does: plain text, pieces of records, ends in the
middle of something."""

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import PATIENCE, accept, check, connect, listen, main, receive_all, receive_exactly
from support import tls
from support.others import wait_error

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
BIG = os.urandom(1 << 20) * 4 + b"the end"


def context(server=False, version=None, cert=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if version:
        made.minimum_version = made.maximum_version = VERSIONS[version]
    if server or cert:
        made.load_cert_chain(cert or tls.certificate())
    made.load_verify_locations(tls.authority())
    return made


class Side:
    """One end of a TLS connection over a plain socket, with everything in our hands: what is sent, and in which pieces."""

    def __init__(self, made, sock, server=False, piece=None):
        self.sock, self.piece = sock, piece
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = made.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=None if server else "localhost")

    def send_out(self):
        data = self.outgoing.read()
        for at in range(0, len(data), self.piece or len(data) or 1):
            self.sock.sendall(data[at:at + (self.piece or len(data))])

    def call(self, function, *args):
        """None: the end of the peer's stream, without close_notify."""
        while True:
            try:
                result = function(*args)
                self.send_out()
                return result
            except ssl.SSLWantReadError:
                self.send_out()
                data = self.sock.recv(65536)
                if not data:
                    return None
                self.incoming.write(data)

    def handshake(self):
        self.call(self.tls.do_handshake)
        return self

    def send(self, data):
        self.call(self.tls.write, data)

    def receive(self):
        """b"": the peer's close_notify."""
        try:
            return self.call(self.tls.read, 65536)
        except ssl.SSLZeroReturnError:
            return b""

    def exchange(self, data, count):
        """Sends it, and receives so many bytes meanwhile."""
        received, out, at = bytearray(), b"", 0
        while len(received) < count or at < len(data) or out:
            if at < len(data) and not out:
                at += self.tls.write(data[at:at + 16384])
            out += self.outgoing.read()
            readable, writable, _ = select.select([self.sock], [self.sock] if out else [], [], PATIENCE)
            check(readable or writable, "nothing goes on after", at, "bytes out and", len(received), "in")
            if writable:
                out = out[self.sock.send(out[:self.piece]):]
            if readable:
                self.incoming.write(self.sock.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                while len(received) < count:
                    received += self.tls.read(65536)
        return bytes(received)

    def end(self):
        """close_notify, without waiting for the peer's."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send_out()

    def close(self):
        self.sock.close()


def client_of(port, version=None, cert=None, piece=None):
    return Side(context(version=version, cert=cert), connect(port), piece=piece).handshake()


def listen_and_connect(examples, *options, **more):
    """A client of ours, whose connection is not accepted yet: it and the listening socket."""
    listener, port = listen()
    return tls.connect(examples, port, *options, **more), listener


def accept_tls(listener, version=None, piece=None):
    side = Side(context(server=True, version=version), accept(listener), server=True, piece=piece).handshake()
    listener.close()
    return side


def both_versions(case):
    def cases(examples):
        for version in VERSIONS:
            case(examples, version)
    cases.__name__ = case.__name__
    return cases


@both_versions
def in_pieces_of_one_byte(examples, version):
    server, port = tls.serve(examples, "--echo")
    side = client_of(port, version, piece=1)
    side.send(b"hello" * 20)
    check(side.receive() == b"hello" * 20, "another answer")
    side.end()
    check(side.receive() == b"", "no close_notify in answer")
    check(receive_all(side.sock) == b"", "more behind close_notify")
    tls.lost(server)
    tls.stop(server)
    client, listener = listen_and_connect(examples, "--show", talker=True)
    side = accept_tls(listener, version, piece=1)
    side.send(b"hello")
    client.wait_line("got hello")
    side.end()
    tls.lost(client)
    check(side.receive() == b"", "no close_notify in answer")
    client.finish()


def we_end_first(examples):
    """Our half goes on in the other direction under TLS 1.3; under 1.2 there is no such thing."""
    server, port = tls.serve(examples, "--show", talker=True)
    side = client_of(port, "TLSv1.3")
    tls.made(server)
    server.say(b"send all I have to say\neof\n")
    check(side.receive() == b"all I have to say\n", "something else came")
    check(side.receive() == b"", "no close_notify")
    for number in range(3):
        side.send(b"still %d" % number)
        server.wait_line(f"got still {number}")
    side.end()
    server.wait_line("eof")
    tls.lost(server)
    check(receive_all(side.sock) == b"", "something behind close_notify")
    side = client_of(port, "TLSv1.2")
    tls.made(server, server.index)
    server.say(b"eof\n")
    server.wait_line("done eof: .*not supported.*")
    server.say(b"close\n")
    check(side.receive() == b"", "no close_notify")
    side.end()
    tls.lost(server, after=server.index)
    tls.stop(server)
    side.close()


def the_peer_ends_first(examples):
    """The same the other way round."""
    client, listener = listen_and_connect(examples, "--keep", talker=True)
    side = accept_tls(listener, "TLSv1.3")
    side.end()
    client.wait_line("eof")
    for number in range(3):
        client.say(b"send still %d\n" % number)
        check(side.receive() == b"still %d\n" % number, "something else came")
    client.say(b"close\n")
    check(side.receive() == b"", "no close_notify")
    tls.lost(client)
    client.finish()
    client, listener = listen_and_connect(examples, "--keep", talker=True)
    side = accept_tls(listener, "TLSv1.2")
    side.end()
    client.wait_line("eof")
    tls.lost(client)  # .keep or not
    check(side.receive() == b"", "no close_notify")
    client.finish(err=".*")


@both_versions
def the_peer_is_cut_off(examples, version):
    """What came before is delivered; unless it is allowed, such an end is an error."""
    for options, end in (((), ".*truncated.*"), (("--allow-truncation",), "clean")):
        server, port = tls.serve(examples, "--show", *options)
        side = client_of(port, version)
        side.send(b"last words")
        side.sock.shutdown(socket.SHUT_WR)
        server.wait_line("got last words")
        check(tls.lost(server, end) == 10, server.lines())
        receive_all(side.sock)
        side.close()
        tls.stop(server)
        client, listener = listen_and_connect(examples, "--show", *options)
        side = accept_tls(listener, version)
        side.send(b"last words")
        side.sock.shutdown(socket.SHUT_WR)
        client.wait_line("got last words")
        check(tls.lost(client, end) == 10, client.lines())
        client.finish(0 if options else 1)
        side.close()


@both_versions
def the_peer_is_cut_off_in_mid_record(examples, version):
    """Nothing of it is delivered."""
    server, port = tls.serve(examples, "--show")
    side = client_of(port, version)
    side.tls.write(b"last words")
    side.sock.sendall(side.outgoing.read()[:-1])
    side.sock.shutdown(socket.SHUT_WR)
    check(tls.lost(server, ".*truncated.*") == 0, server.lines())
    side.close()
    tls.stop(server)


@both_versions
def a_bad_record(examples, version):
    """One bit is wrong: an alert, and nothing of it is delivered."""
    server, port = tls.serve(examples, "--show")
    side = client_of(port, version)
    side.send(b"right")
    server.wait_line("got right")
    side.tls.write(b"wrong")
    data = bytearray(side.outgoing.read())
    data[-1] ^= 1
    side.sock.sendall(data)
    try:
        side.receive()
        check(False, "it was accepted")
    except ssl.SSLError as error:
        check("BAD_RECORD_MAC" in str(error), error)
    check(tls.lost(server, ".*a record was damaged or forged") == 5, server.lines())
    side.close()
    tls.stop(server)


def plain_text_for_a_server(examples):
    """HTTP, SSH, zeros: a connection less, and a sentence in debug mode."""
    server, port = tls.serve(examples, "--debug", "--echo")
    for text in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", bytes(100), b"\x16\x03\x01" + b"\xff" * 1000):
        sock = connect(port)
        sock.sendall(text)
        with contextlib.suppress(ConnectionResetError):
            check(len(receive_all(sock)) <= 7, "more than an alert came back")
        sock.close()
    wait_error(server, "not speaking TLS")
    side = client_of(port)  # others are not disturbed
    side.send(b"hello")
    check(side.receive() == b"hello", "another answer")
    side.end()
    check(not [line for line in server.lines() if "lost" in line and "clean" not in line], server.lines())
    tls.stop(server)
    side.close()


def plain_text_for_a_client(examples):
    for text in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.org ESMTP\r\n", b"-ERR what?\r\n"):
        client, listener = listen_and_connect(examples)
        sock = accept(listener)
        sock.sendall(text)
        tls.failed(client, "the peer is not speaking TLS")
        sock.close()
        listener.close()


def the_end_in_the_handshake(examples):
    """Of a server's stream, and by a reset: an error that says so, from connect_failed."""
    for reset, says in ((False, "the peer has closed the connection"), (True, "reset by peer")):
        client, listener = listen_and_connect(examples)
        sock = accept(listener)
        receive_exactly(sock, 5)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        else:
            sock.shutdown(socket.SHUT_WR)
        tls.failed(client, says)
        sock.close()
        listener.close()


async def talk(made, port, data):
    """asyncio's TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=made, server_hostname="localhost")

    async def send():
        for at in range(0, len(data), 10000):
            writer.write(data[at:at + 10000])
            await writer.drain()

    _, got = await asyncio.gather(send(), reader.readexactly(len(data)))
    writer.close()
    await writer.wait_closed()
    return got == data


def many_clients_at_once(examples):
    """Each with much to send and to receive; what each says comes back to it."""
    server, port = tls.serve(examples, "--echo")

    async def talk_all():
        return await asyncio.gather(*(talk(context(version=list(VERSIONS)[number % 2]), port, bytes([number]) * 1000 + BIG[:1 << 20])
                                      for number in range(20)))

    check(all(asyncio.run(talk_all())), "something else came back")
    for _ in range(20):
        tls.lost(server, after=getattr(server, "index", 0))
    tls.stop(server)


@both_versions
def much_both_ways(examples, version):
    """At the same time, in pieces that no record ends with."""
    sent = tls.write("big", BIG)
    saved = tls.write("saved", b"")
    client, listener = listen_and_connect(examples, "--send", sent, "--save", saved, "--expect", len(BIG), "--piece", 10007)
    side = accept_tls(listener, version, piece=4099)
    check(side.exchange(BIG, len(BIG)) == BIG, "something else came")
    check(side.receive() == b"", "no close_notify")
    side.end()
    tls.lost(client)
    check(tls.read("saved") == BIG, "we received", len(tls.read("saved")), "bytes")
    client.finish()


main(in_pieces_of_one_byte, we_end_first, the_peer_ends_first, the_peer_is_cut_off, the_peer_is_cut_off_in_mid_record,
     a_bad_record, plain_text_for_a_server, plain_text_for_a_client, the_end_in_the_handshake,
     many_clients_at_once, much_both_ways)
