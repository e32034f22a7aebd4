#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 60
# clause: S51 X38
"""starttls_smtp_server, whose connections begin in plain text, with clients who know STARTTLS: openssl, gnutls-cli, curl."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import main
from support import tls
from support.others import find, need_example, start

need_example("starttls_smtp_server")

DIALOGUE = (("EHLO client", "250"), ("MAIL FROM:<a@example>", "250"), ("RCPT TO:<b@example>", "250"), ("DATA", "354"),
            ("Hello.\r\n.", "250"), ("QUIT", "221"))


def serve(examples):
    server = examples.start("starttls_smtp_server", "--port", 0, "--cert", tls.certificate())
    return server, server.listening()[1]


def talk(client):
    """One line after the other: an answer comes before the next."""
    told = ""
    for line, answer in DIALOGUE:
        client.say(line.encode() + b"\r\n")
        told += rf"[\s\S]*^{answer} "
        tls.wait_output(client, "(?m)" + told)
    client.end_input()


def s_client(examples):
    for version in ("-tls1_2", "-tls1_3"):
        server, port = serve(examples)
        client = start(examples, "openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{port}", "-CAfile", tls.authority(),
                       "-verify_return_error", "-quiet", "-nocommands", version, talker=True)
        talk(client)
        server.wait_line(r".*: a mail from a@example to 1: \d+ bytes, by TLSv1\..")
        client.finish(err=".*")
        tls.stop(server)


def gnutls_cli(examples):
    server, port = serve(examples)
    client = start(examples, "gnutls-cli", "--starttls-proto", "smtp", "-p", port, "--x509cafile", tls.authority(),
                   "--verify-hostname", "localhost", "127.0.0.1", talker=True)
    talk(client)
    server.wait_line(r".*: a mail from a@example to 1: \d+ bytes, by TLSv1\.3")
    client.finish(err=".*")
    tls.stop(server)


def curl(examples):
    server, port = serve(examples)
    start(examples, "curl", "--disable", "--silent", "--show-error", "--ssl-reqd", "--cacert", tls.authority(), "--noproxy", "*",
          "--mail-from", "a@example", "--mail-rcpt", "b@example", "--upload-file", tls.write("mail", b"Hello.\r\n"),
          f"smtp://127.0.0.1:{port}").finish()
    server.wait_line(r".*: a mail from a@example to 1: \d+ bytes, by TLSv1\.3")
    tls.stop(server)


cases = [s_client]
for case, program in ((gnutls_cli, "gnutls-cli"), (curl, "curl")):
    if find(program):
        cases.append(case)
    else:
        print(f"skipped: {program} not installed", flush=True)
main(*cases)
