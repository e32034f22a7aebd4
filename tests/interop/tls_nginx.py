#!/usr/bin/env python3
# backends: epoll io_uring
# timeout: 90
# clause: X13 X14 X15 X32
"""nginx as a server of our TLS clients, and, as a proxy, as a client of our TLS server."""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import PATIENCE, check, connect, main, receive_all
from support import tls
from support.others import Server, free_port, skip

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
if not NGINX:
    skip("nginx not installed")

BIG = os.urandom(1 << 20) * 8 + b"the end"

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    log_format connections '$ssl_protocol $ssl_server_name $ssl_session_reused $ssl_client_verify $ssl_alpn_protocol $uri $status';
    access_log access.log connections;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    root files;
    ssl_certificate CERT; ssl_certificate_key CERT; ssl_protocols TLSv1.2 TLSv1.3;
    server { listen 127.0.0.1:PORT ssl http2; }
    server { listen 127.0.0.1:ONLY12 ssl; ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache shared:x:1m; }
    server { listen 127.0.0.1:ONLY13 ssl; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache shared:x:1m; }
    server { listen 127.0.0.1:EARLY ssl; ssl_protocols TLSv1.3; ssl_early_data on; }
    server { listen 127.0.0.1:CLIENTS ssl; ssl_verify_client on; ssl_client_certificate CA; }
    server { listen 127.0.0.1:STAPLED ssl; ssl_stapling on; ssl_stapling_file OCSP; }
    server { listen 127.0.0.1:REVOKED ssl; ssl_stapling on; ssl_stapling_file BAD_OCSP; }
    server { listen 127.0.0.1:CHAINED ssl; ssl_certificate CHAIN; ssl_certificate_key CHAIN; }
    server { listen 127.0.0.1:PLAIN; }
    server {
        listen 127.0.0.1:PROXY;
        proxy_ssl_trusted_certificate CA; proxy_ssl_verify on; proxy_ssl_name example.org; proxy_ssl_server_name on;
        proxy_ssl_certificate CLIENT; proxy_ssl_certificate_key CLIENT;
        location /new { proxy_pass https://127.0.0.1:OURS/; proxy_ssl_protocols TLSv1.3; }
        location /old { proxy_pass https://127.0.0.1:OURS/; proxy_ssl_protocols TLSv1.2; }
        location /wrong { proxy_pass https://127.0.0.1:OURS/; proxy_ssl_name wrong.example; }
    }
}
"""

PORTS = ("ONLY12", "ONLY13", "EARLY", "CLIENTS", "STAPLED", "REVOKED", "CHAINED", "PLAIN", "PROXY")


class Nginx(Server):
    def __init__(self, ours=1):
        super().__init__()
        self.ours = ours

    def prepare(self):
        self.files = os.path.join(self.folder, "files")
        os.makedirs(self.files)
        for name, data in (("big", BIG), ("small", b"hello\n")):
            with open(os.path.join(self.files, name), "wb") as file:
                file.write(data)
        cert = tls.certificate()
        with open(tls.ocsp_response(cert, "revoked"), "rb") as file:
            bad = tls.write("bad.ocsp", file.read())
        self.words = {"CERT": cert, "CA": tls.authority(), "OCSP": tls.ocsp_response(cert), "BAD_OCSP": bad, "OURS": self.ours,
                      "CHAIN": tls.behind_intermediate(), "CLIENT": tls.of_client()}

    def server_command(self):
        self.ports = {name: free_port() for name in PORTS}
        text = CONFIGURATION.replace("BAD_OCSP", self.words["BAD_OCSP"])
        for name, value in (*self.ports.items(), ("PORT", self.port), *self.words.items()):
            text = text.replace(name, str(value))
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(text)
        return (NGINX, "-p", self.folder, "-c", "nginx.conf", "-e", "error.log")

    def request(self, name):
        return tls.write("request", f"GET /{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def log(self):
        with open(os.path.join(self.folder, "access.log"), encoding="ascii") as file:
            return file.read()


def ask(examples, server, port, name, *options, version="TLSv1.3", code=0, **expected):
    """What it answers, the head included."""
    tls.write("saved", b"")
    client = tls.connect(examples, port, "--send", server.request(name), "--save", tls.path("saved"), *options)
    tls.made(client, version=version, verified="yes", sni="localhost", **expected)
    client.wait_line("eof")
    tls.lost(client)
    client.finish(code)
    return tls.read("saved")


def files_are_fetched(examples):
    with Nginx() as server:
        answer = ask(examples, server, server.port, "big", "--alpn", "http/1.1", alpn="http/1.1")
        check(answer.endswith(b"\r\n\r\n" + BIG), len(answer), "bytes came")
        answer = ask(examples, server, server.ports["ONLY12"], "big", version="TLSv1.2", alpn="-")
        check(answer.endswith(b"\r\n\r\n" + BIG), len(answer), "bytes came")
        answer = ask(examples, server, server.ports["CHAINED"], "small", peer="CN=chained of the tests")
        check(answer.endswith(b"\r\n\r\nhello\n"), answer)
        client = tls.connect(examples, server.port, "--alpn", "h2,http/1.1")
        tls.made(client, alpn="h2")


def sessions_are_resumed(examples):
    with Nginx() as server:
        for port in (server.port, server.ports["ONLY12"], server.ports["ONLY13"]):  # a ticket; a number; a number as ticket
            client = tls.connect(examples, port, "--send", server.request("small"), "--times", 3)
            client.finish()
            made = [line for line in client.lines() if line.startswith("made")]
            check(["resumed=yes" in line for line in made] == [False, True, True], made)


def early_data(examples):
    """A whole request of it, and nothing behind it."""
    with Nginx() as server:
        client = tls.connect(examples, server.ports["EARLY"], "--early", "GET /small HTTP/1.0\r\n\r\n", "--times", 2, "--show", talker=True)
        tls.made(client, early="no")
        client.say(b"send GET /small HTTP/1.0\nsend \n")  # nothing was sent early
        client.wait_line(r"got HTTP/1.1 200 OK.*")
        tls.made(client, client.index, resumed="yes", early="yes")
        client.wait_line(r"got HTTP/1.1 200 OK.*", client.index)
        tls.finish(client)
        check(len(server.log().splitlines()) == 2, "another number of requests:", server.log())


def client_certificates(examples):
    with Nginx() as server:
        port = server.ports["CLIENTS"]
        check(b" 200 OK" in ask(examples, server, port, "small", "--cert", tls.of_client()), "refused")
        check(b"No required SSL certificate" in ask(examples, server, port, "small"), "accepted")
        check(b"certificate error" in ask(examples, server, port, "small", "--cert", tls.of_client("stranger", issuer="other-ca")), "accepted")


def stapled_responses(examples):
    with Nginx() as server:
        ask(examples, server, server.ports["STAPLED"], "small", "--require-ocsp")
        tls.failed(tls.connect(examples, server.ports["REVOKED"], "--require-ocsp"), "revoked")
        tls.failed(tls.connect(examples, server.port, "--require-ocsp"), "OCSP")


def tls_on_an_http_port(examples):
    with Nginx() as server:
        tls.failed(tls.connect(examples, server.ports["PLAIN"]), "the peer is not speaking TLS")


def a_proxy_before_our_server(examples):
    body = tls.write("body", BIG)
    ours, port = tls.serve(examples, "--http", "--send", body, "--clients", "must", "--ca", tls.authority())
    with Nginx(port) as server:
        after = 0
        for path, version, resumed in (("new", "TLSv1.3", "no"), ("new", "TLSv1.3", "yes"),
                                       ("old", "TLSv1.2", "no"), ("old", "TLSv1.2", "yes")):
            with connect(server.ports["PROXY"]) as sock:
                sock.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
                answer = receive_all(sock)
            check(answer.endswith(b"\r\n\r\n" + BIG), len(answer), "bytes came by", path)
            tls.made(ours, after, version=version, verified="yes", peer="CN=client of the tests", sni="example.org", resumed=resumed)
            after = ours.index
        with connect(server.ports["PROXY"]) as sock:
            sock.sendall(b"GET /wrong HTTP/1.0\r\n\r\n")
            check(b" 502 " in receive_all(sock), "a wrong name was accepted")
    tls.stop(ours)


def https_get(examples):
    """Our example."""
    program = os.path.join(examples.folder, "https_get")
    with Nginx() as server:
        done = subprocess.run([program, "--backend", examples.backend, "--ca", tls.authority(), "--output", tls.FOLDER,
                               f"https://127.0.0.1:{server.port}/big", f"https://127.0.0.1:{server.ports['ONLY12']}/small"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        check(done.returncode == 0, done.stdout.decode())
        check(tls.read("big") == BIG and tls.read("small") == b"hello\n", "other files came")


cases = [files_are_fetched, sessions_are_resumed, early_data, client_certificates, stapled_responses, tls_on_an_http_port,
         a_proxy_before_our_server]
if os.access(os.path.join(sys.argv[sys.argv.index("--bin") + 1], "https_get"), os.X_OK):
    cases.append(https_get)
main(*cases)
