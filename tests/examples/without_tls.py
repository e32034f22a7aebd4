#!/usr/bin/env python3
# needs: no-openssl
# backends: epoll
"""Where Eddy was built without OpenSSL, the examples that need TLS say so, and end."""

import sys

sys.dont_write_bytecode = True
from lib.programs import check, main


def they_say_so(examples):
    for name, args in (("tls_echo", ["--port", 0]), ("https_get", ["localhost:1/"]), ("starttls_smtp_server", ["--port", 0]),
                       ("starttls_smtp_client", []), ("sni_server", ["--port", 0, "--name", "a.example=cert.pem"])):
        lines = examples.run(name, *args, code=1, err=rf"{name}: [^\n]*built without OpenSSL[^\n]*\n")
        check(not lines, name, "printed", lines)


main(they_say_so)
