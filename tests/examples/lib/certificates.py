"""Certificates for the scripts, made by openssl(1) when they are wanted, in a folder that goes with the script."""

import atexit
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

from lib.programs import PATIENCE, check

if not shutil.which("openssl"):
    print("skipped: there is no openssl(1)")
    sys.exit(77)


class Certificate:
    def __init__(self, cert, key):
        self.cert, self.key = cert, key

    def both(self):
        return "--cert", self.cert, "--key", self.key

    def copy_to(self, folder):
        """The same in another place, to be changed there."""
        return Certificate(shutil.copy(self.cert, folder), shutil.copy(self.key, folder))


class Folder:
    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="eddy-certificates-")
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)
        self.count = 0

    def new(self, name):
        self.count += 1
        return os.path.join(self.path, f"{self.count}-{name}")

    def openssl(self, *args):
        done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        check(done.returncode == 0, "openssl", *args, done.stdout)

    def authority(self, name="Authority of the tests"):
        made = Certificate(self.new("authority.pem"), self.new("authority.key"))
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-keyout", made.key, "-out", made.cert, "-subj", f"/CN={name}",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        return made

    def signed_by(self, authority, *names, subject=None, days=30):
        """For names and addresses, of which the first is the subject too; with days=-1 it has expired."""
        made, request, more = Certificate(self.new("cert.pem"), self.new("cert.key")), self.new("csr"), self.new("ext")
        kinds = ",".join(("IP:" if name.replace(".", "").isdigit() or ":" in name else "DNS:") + name for name in names)
        with open(more, "w", encoding="ascii") as file:
            file.write(f"basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={kinds}\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", made.key, "-out", request, "-subj", f"/CN={subject or names[0]}")
        if days < 0:
            self.sign_for_the_past(authority, request, more, made.cert)
        else:
            self.openssl("x509", "-req", "-in", request, "-CA", authority.cert, "-CAkey", authority.key,
                         "-days", str(days), "-extfile", more, "-out", made.cert)
        return made

    def sign_for_the_past(self, authority, request, more, cert):
        """By openssl ca: the x509 of 3.0 cannot be told when it begins, that of 3.5 takes no days below 0."""
        index, settings = self.new("index"), self.new("settings")
        with open(index, "w", encoding="ascii"):
            pass
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=it\n[it]\ndatabase={index}\nnew_certs_dir={self.path}\ndefault_md=sha256\n"
                       "rand_serial=yes\npolicy=any\n[any]\ncommonName=supplied\n")
        self.openssl("ca", "-batch", "-notext", "-config", settings, "-cert", authority.cert, "-keyfile", authority.key,
                     "-startdate", "20200101000000Z", "-enddate", "20200102000000Z",
                     "-in", request, "-extfile", more, "-out", cert)


def trusting(cert, certificate=None, alpn=None, version=None):
    """A context of a Python client that trusts this one alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cert)
    if certificate:
        context.load_cert_chain(certificate.cert, certificate.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def serving(certificate, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def connect_tls(port, context, name="localhost", session=None):
    """Its end of stream is the one that the peer has said; one that has only come is an SSLEOFError."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    try:
        sock.connect(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(sock, server_hostname=name, session=session,
                                   suppress_ragged_eofs=False)
    except (OSError, ValueError):
        sock.close()
        raise
