#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 60
# clause: X13 X14 X32
"""curl with our TLS server, as a client that knows HTTP."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support import tls
from support.others import need, start, wait_error

need("curl")

BIG = os.urandom(1 << 20) * 8 + b"the end"


def curl(examples, port, *options, host="localhost", scheme="https", **more):
    return start(examples, "curl", "--disable", "--silent", "--show-error", "--noproxy", "*", "--http1.1", "--cacert", tls.authority(),
                 "--resolve", f"{host}:{port}:127.0.0.1", *options, f"{scheme}://{host}:{port}/", **more)


def serve_http(examples, *options, body=b"hello\n", **more):
    return tls.serve(examples, "--http", "--send", tls.write("body", body), *options, **more)


def of_both_versions(examples):
    server, port = serve_http(examples, body=BIG)
    for options, version in ((("--tlsv1.3",), "TLSv1.3"), (("--tls-max", "1.2"), "TLSv1.2")):
        after = getattr(server, "index", 0)
        client = curl(examples, port, *options)
        client.finish()
        check(bytes(client.out) == BIG, "it received", len(client.out), "bytes")
        tls.made(server, after, version=version, sni="localhost")
        tls.lost(server, after=after)
    curl(examples, port, "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0").finish(35, ".*protocol version.*")
    tls.stop(server)


def protocols_and_names(examples):
    other = tls.certificate("other", names="DNS:other.example")
    server, port = serve_http(examples, "--alpn", "http/1.1", "--name", f"other.example={other}")
    curl(examples, port, host="other.example").finish()
    tls.made(server, alpn="-", sni="other.example")  # that context knows of no protocols
    curl(examples, port).finish()
    tls.made(server, server.index, alpn="http/1.1", sni="localhost")
    curl(examples, port, "--no-alpn", host="example.org").finish()
    tls.made(server, server.index, alpn="-", sni="example.org")
    curl(examples, port, host="wrong.example").finish(60, ".*no alternative certificate subject name matches.*")
    tls.stop(server)


def client_certificates(examples):
    server, port = serve_http(examples, "--clients", "must", "--ca", tls.authority())
    curl(examples, port, "--cert", tls.of_client()).finish()
    tls.made(server, verified="yes", peer="CN=client of the tests")
    curl(examples, port).finish(56, ".*certificate required.*")
    curl(examples, port, "--tls-max", "1.2").finish(35, ".*alert.*")
    curl(examples, port, "--cert", tls.of_client("stranger", issuer="other-ca")).finish(56, ".*unknown ca.*")
    tls.stop(server)


def certificate_status(examples):
    """It wants to see the issuer in the chain."""
    cert = tls.behind_intermediate()
    server, port = serve_http(examples, "--ocsp", tls.ocsp_response(cert, issuer="intermediate"), cert=cert)
    curl(examples, port, "--cert-status").finish()
    tls.stop(server)
    server, port = serve_http(examples)
    curl(examples, port, "--cert-status").finish(91, ".*No OCSP response.*")
    tls.stop(server)


def http_on_a_tls_port(examples):
    server, port = serve_http(examples, "--debug")
    client = curl(examples, port, scheme="http")
    text = tls.finish(client)
    check(client.process.returncode != 0, text)
    wait_error(server, "the peer is not speaking TLS")
    curl(examples, port).finish()
    tls.stop(server)


main(of_both_versions, protocols_and_names, client_certificates, certificate_status, http_on_a_tls_port)
