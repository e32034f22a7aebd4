#!/usr/bin/env python3
# backends: epoll
# timeout: 60
"""Scanners look for what is weak in our server as it is by default. sslscan takes a second; testssl.sh takes minutes, and so it
runs only if asked for:

    python3 tests/interop/tls_scan.py --bin build/dev/examples --backend epoll --scan

What they said is summed up in docs/internals/tls-scan.md."""

import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from lib.programs import check, main
from support import tls
from support.others import need, start

MINUTES = 15
SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
CIPHERS = ("AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-GCM-SHA256")

# What testssl.sh does not like here, and we do not mind.
KNOWN = {
    "cert_crlDistributionPoints": "the certificate is one of tests",
    "cert_revocation": "the same",
    "cert_ocspURL": "the same",
    "cert_chain_of_trust": "the same",
    "cert_trust": "the same",
    "OCSP_stapling": "no response was given to the server",
    "DNS_CAArecord": "localhost has none",
    "HSTS": "a matter of HTTP",
    "HPKP": "the same",
    "security_headers": "the same",
    "BREACH": "the same",
}


def serve_http(examples, cert):
    return tls.serve(examples, "--http", "--send", tls.write("body", b"hello\n"), cert=cert)


def sslscan(examples):
    """Of an EC and an RSA key: two versions, six ciphers, three groups, and nothing else."""
    need("sslscan")
    for kind, name in (("ec", "ECDSA"), ("rsa", "RSA")):
        server, port = serve_http(examples, tls.certificate("server" if kind == "ec" else kind, kind))
        scan = start(examples, "sslscan", "--no-colour", f"127.0.0.1:{port}")
        scan.finish(err=".*")
        text = scan.out.decode()
        for pattern in (r"SSLv2 +disabled", r"SSLv3 +disabled", r"TLSv1\.0 +disabled", r"TLSv1\.1 +disabled", r"TLSv1\.2 +enabled",
                        r"TLSv1\.3 +enabled", "Server supports TLS Fallback SCSV", "Session renegotiation not supported",
                        "TLSv1.3 not vulnerable to heartbleed", "TLSv1.2 not vulnerable to heartbleed"):
            check(re.search(pattern, text), "no", repr(pattern), "in:\n" + text)
        ciphers = set(re.findall(r"^(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)", text, re.MULTILINE))
        check(ciphers == SUITES | {f"ECDHE-{name}-{cipher}" for cipher in CIPHERS}, "other ciphers:", ciphers)
        groups = set(re.findall(r"^TLSv1\.3 +\d+ bits +(\S+)", text, re.MULTILINE))
        check(groups == {"x25519", "secp256r1", "secp384r1"}, "other groups:", groups)
        tls.stop(server)


def testssl(examples):
    need("testssl")
    server, port = serve_http(examples, tls.certificate())
    report = os.path.join(tls.FOLDER, "testssl.json")
    done = subprocess.run(["testssl", "--color", "0", "--quiet", "--warnings", "off", "--nodns", "none", "--add-ca", tls.authority(),
                           "--jsonfile", report, f"127.0.0.1:{port}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=MINUTES * 60, check=False)
    print(done.stdout.decode(errors="replace"), flush=True)
    with open(report, encoding="utf-8") as file:
        findings = json.load(file)
    check(len(findings) > 50, "it has looked at", len(findings), "things only")
    bad = [finding for finding in findings if finding["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    for finding in bad:
        print(f"{finding['severity']}: {finding['id']}: {finding['finding']} - {KNOWN.get(finding['id'].split()[0], 'NOT KNOWN')}")
    check(all(finding["id"].split()[0] in KNOWN for finding in bad), "something is weak, see above")
    tls.stop(server)


if "--scan" in sys.argv:
    sys.argv.remove("--scan")
    main(testssl)
main(sslscan)
