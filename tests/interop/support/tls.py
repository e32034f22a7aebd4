"""What the scripts about TLS share: certificates, made by openssl, and our peer of many options."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile

from lib.programs import PATIENCE, check
from support.others import Talker, need, need_example, start, wait_until

need("openssl")
need_example("tls_peer")

FOLDER = tempfile.mkdtemp(prefix="eddy-interop-tls-")
os.chmod(FOLDER, 0o755)  # servers may run as somebody else
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

DAYS = 90
KEYS = {
    "ec": ("EC", "ec_paramgen_curve:P-256"),
    "rsa": ("RSA", "rsa_keygen_bits:2048"),
    "rsa-pss": ("RSA-PSS", "rsa_keygen_bits:2048"),
    "ed25519": ("ED25519",),
}


def path(name):
    return os.path.join(FOLDER, name)


def write(name, data):
    with open(path(name), "wb") as file:
        file.write(data)
    os.chmod(path(name), 0o644)
    return path(name)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


def openssl(*words, data=b""):
    done = subprocess.run(["openssl", *map(str, words)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=PATIENCE, check=False)
    check(done.returncode == 0, "openssl", *words, "failed:", done.stderr.decode(errors="replace"))
    return done.stdout


# ---- certificates ----


def make_key(name, kind):
    algorithm, *options = KEYS[kind]
    words = [word for option in options for word in ("-pkeyopt", option)]
    write(f"{name}.key", openssl("genpkey", "-algorithm", algorithm, *words))


def sign(name, subject, issuer, extensions, days):
    """A certificate for the key of that name: by another, or by itself."""
    write(f"{name}.ext", extensions.encode())
    request = openssl("req", "-new", "-key", path(f"{name}.key"), "-subj", f"/CN={subject}")
    by = ("-CA", path(f"{issuer}.crt"), "-CAkey", path(f"{issuer}.key")) if issuer else ("-key", path(f"{name}.key"))
    write(f"{name}.crt", openssl("x509", "-req", *by, "-days", days, "-extfile", path(f"{name}.ext"), data=request))


def authority(name="ca", issuer=None):
    """The file with its certificate; its subject is its name."""
    if not os.path.exists(path(f"{name}.crt")):
        make_key(name, "ec")
        sign(name, f"{name} of the tests", issuer,
             "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n", DAYS)
    return path(f"{name}.crt")


def certificate(name="server", kind="ec", names="DNS:localhost,DNS:example.org,IP:127.0.0.1", issuer="ca", days=DAYS, usage="serverAuth"):
    """A file with a certificate, those that lead to the root, and the key."""
    if not os.path.exists(path(f"{name}.pem")):
        authority(issuer)
        make_key(name, kind)
        sign(name, f"{name} of the tests", issuer, f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName={names}\n", days)
        chain = b"" if issuer in ("ca", "other-ca") else read(f"{issuer}.crt")
        write(f"{name}.pem", read(f"{name}.crt") + chain + read(f"{name}.key"))
    return path(f"{name}.pem")


def of_client(name="client", **more):
    return certificate(name, names="email:client@example.org", usage="clientAuth", **more)


def behind_intermediate():
    """A server's certificate whose issuer is not the root."""
    authority()
    authority("intermediate", "ca")
    return certificate("chained", issuer="intermediate")


def chain_files(pem):
    """Its parts for programs that want them apart: certificate, the others, key."""
    name = os.path.basename(pem)[:-len(".pem")]
    return path(f"{name}.crt"), path("intermediate.crt"), path(f"{name}.key")


def ocsp_response(pem, status="good", issuer="ca"):
    """The file with what its issuer says of it, in DER."""
    name = os.path.basename(pem)[:-len(".pem")]
    serial = openssl("x509", "-in", pem, "-noout", "-serial").decode().strip().split("=")[1]
    revoked = status == "revoked"
    write(f"{name}.index", f"{'R' if revoked else 'V'}\t301231235959Z\t{'200101000000Z' if revoked else ''}\t{serial}\tunknown\t/CN=x\n".encode())
    openssl("ocsp", "-issuer", path(f"{issuer}.crt"), "-cert", path(f"{name}.crt"), "-reqout", path(f"{name}.ocspreq"), "-no_nonce")
    openssl("ocsp", "-index", path(f"{name}.index"), "-CA", path(f"{issuer}.crt"), "-rsigner", path(f"{issuer}.crt"),
            "-rkey", path(f"{issuer}.key"), "-reqin", path(f"{name}.ocspreq"), "-respout", path(f"{name}.ocsp"), "-ndays", 2)
    os.chmod(path(f"{name}.ocsp"), 0o644)
    return path(f"{name}.ocsp")


# ---- our side ----


def peer(examples, *options, **more):
    """Our program; with talker=True it is told what to do by say()."""
    commands = ("--commands",) if more.get("talker") else ()
    return start(examples, os.path.join(examples.folder, "tls_peer"), "--backend", examples.backend, *commands, *options, **more)


def serve(examples, *options, cert=None, **more):
    """A server of ours and its port."""
    server = peer(examples, "--port", 0, "--cert", cert or certificate(), *options, **more)
    return server, server.listening()[1]


def connect(examples, port, *options, ca=None, host="localhost", **more):
    """A client of ours, of a server at 127.0.0.1 that it takes for `host`."""
    trust = () if "--insecure" in options else ("--ca", ca or authority())
    return peer(examples, "--connect", port, *trust, "--server-hostname", host, *options, **more)


def stop(*servers):
    """Ours, whose failed handshakes debug mode has told of."""
    for server in servers:
        if isinstance(server, Talker):
            server.end_input()
            server.wait_line("no more commands")
        server.signal(signal.SIGTERM)
        server.finish(err=".*")


def made(program, after=0, **expected):
    """Waits for a connection, and checks what our side says of it: version="TLSv1.3", resumed="yes" ..."""
    match = program.wait_line(r"made (?P<version>\S+) (?P<cipher>\S+) group=(?P<group>\S+) alpn=(?P<alpn>\S+) sni=(?P<sni>\S+) "
                              r"resumed=(?P<resumed>\S+) early=(?P<early>\S+) verified=(?P<verified>\S+) peer=(?P<peer>.*)", after)
    for name, value in expected.items():
        check(match.group(name) == value, name, "is", match.group(name), "in", repr(match.group(0)), "- expected", value)
    return match


def lost(program, pattern="clean", after=0):
    """Waits for the end of a connection; how many bytes it had received."""
    return int(program.wait_line(rf"lost, (\d+) received: (?:{pattern})", after).group(1))


def failed(program, pattern):
    """A client of ours must not get its connection, and say why."""
    program.wait_line(rf"failed: .*(?:{pattern}).*")
    program.finish(1, ".*")


# ---- theirs ----


def wait_output(program, pattern):
    """The match of what a program writes to standard output, or to standard error."""
    def found():
        text = (program.out + b"\n" + program.err).decode(errors="replace")
        return re.search(pattern, text)
    return wait_until(program, found, f"did not write {pattern!r}")


def finish(program):
    """Waits for its end, whatever its exit code and its complaints; what it has written."""
    try:
        program.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        program.complain("does not end")
    if isinstance(program, Talker):
        program.end_input()
    for thread in program.threads:
        thread.join(PATIENCE)
    return (program.out + b"\n" + program.err).decode(errors="replace")


def check_output(program, pattern):
    """Waits for its end, and checks what it has written."""
    text = finish(program)
    check(re.search(pattern, text), " ".join(program.command), "did not write", repr(pattern), "but:\n" + text)
