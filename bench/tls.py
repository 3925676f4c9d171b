"""TLS before a relay that has none: stunnel(8) on a free port of 127.0.0.1, and a certificate for it.

Everybody who is compared goes through a fresh one of the same kind: implicit TLS, stunnel's own choice of
protocol and ciphers.

Limits: it works on the same cores as the contenders and the sink.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import find_stunnel
from bench.processes import Command, Failed, environment, start, stop
from bench.sink import await_listening, free_port

_CONFIG = """\
foreground = yes
pid =
debug = err
syslog = no
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[relay]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{target}
cert = {pem}
TIMEOUTclose = 0
"""


@contextmanager
def stunnel(scratch: Path, target: int, pem: Path) -> Iterator[int]:
    """Run stunnel before the port ``target`` and give the port it listens on. Raises Failed, Absent."""
    program = find_stunnel().path
    port, config, errors = free_port(), scratch / "stunnel.conf", scratch / "stunnel.stderr"
    config.write_text(_CONFIG.format(port=port, target=target, pem=pem), "utf-8")
    process = start(Command([program, str(config)], scratch, environment(scratch)), errors)
    try:
        await_listening(process, port, errors, "stunnel")
        yield port
    finally:
        stop(process)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate for 127.0.0.1, once: both in one file, and the certificate alone.

    Raises Failed without openssl.
    """
    pem, certificate, key = folder / "relay.pem", folder / "relay.crt", folder / "relay.key"
    if pem.exists():
        return pem, certificate
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*words, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as trouble:
        raise Failed(f"no certificate could be made with openssl: {type(trouble).__name__}") from None
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    pem.chmod(0o600)
    return pem, certificate
