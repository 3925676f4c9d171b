"""A real Dovecot, started in a folder of its own: one user, one Maildir, IMAP over TLS on a free port.

It runs as whoever runs the tests; as root it does so under its own users, and the mail belongs to nobody. A
missing Dovecot skips the test with the line that installs it; where the environment says CI=true it fails.

Limits: Dovecot 2.3 (Debian 12) and 2.4 (Debian 13), whose configuration languages differ; another version is
given the newer one.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.peers import LISTENS, _states, free_port, need, wait_until

USER, PASSWORD = "letters@example.org", "a pass with späces"

CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
ssl = required
first_valid_uid = 1
"""
CONFIG_2_3 = (
    CONFIG
    + """\
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
"""
)
CONFIG_2_4 = (
    """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""
    + CONFIG
    + """\
ssl_server_cert_file = {folder}/cert.pem
ssl_server_key_file = {folder}/key.pem
mail_driver = maildir
mail_path = ~/Maildir
passdb passwd-file {{
  passwd_file_path = {folder}/users
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users
}}
"""
)


@dataclass(slots=True)
class Dovecot:
    """A running Dovecot."""

    folder: Path
    port: int
    ca_file: Path
    owner: int  # whose mail it is
    process: subprocess.Popen[bytes] | None = None

    @property
    def maildir(self) -> Path:
        """The user's Maildir."""
        return self.folder / "home" / "Maildir"

    def put(self, mails: Iterable[tuple[str, bytes]]) -> None:
        """Put mails into the Maildir: names below it, and octets."""
        for name, raw in mails:
            path = self.maildir / name
            path.write_bytes(raw)
            if os.getuid() == 0:
                os.chown(path, self.owner, -1)

    def files(self) -> set[str]:
        """Return the mails by place and name, which holds their flags."""
        return {
            f"{place}/{path.name}" for place in ("new", "cur") for path in (self.maildir / place).iterdir()
        }

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            [need("dovecot", "dovecot-imapd"), "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        process = self.process
        wait_until(
            lambda: LISTENS in _states(self.port) or process.poll() is not None, "Dovecot does not listen"
        )
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(f"Dovecot did not start: {process.stderr.read().decode()}")

    def stop(self) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            if self.process.stderr is not None:
                self.process.stderr.close()
            self.process = None

    def renumber(self) -> None:
        """Give the folder another UIDVALIDITY and its mails other UIDs, as after a restored backup."""
        self.stop()
        uids = self.maildir / "dovecot-uidlist"
        head, *lines = uids.read_text("utf-8").splitlines()
        head = re.sub(r"\bV(\d+)", lambda found: f"V{int(found[1]) + 1}", head)
        head = re.sub(r"\bN(\d+)", lambda found: f"N{int(found[1]) + 1_000}", head)
        moved = (re.sub(r"^\d+", lambda uid: str(int(uid[0]) + 1_000), line) for line in lines)
        uids.write_text("\n".join([head, *moved, ""]), "utf-8")
        for index in self.maildir.glob("dovecot.index*"):
            index.unlink()
        self.start()


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    """Run Dovecot with an empty Maildir."""
    program = need("dovecot", "dovecot-imapd")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    config = CONFIG_2_3 if version.startswith("2.3") else CONFIG_2_4
    folder = Path(tempfile.mkdtemp(prefix="dove-"))  # short: sockets lie in it
    folder.chmod(0o755)
    root = os.getuid() == 0
    owner = pwd.getpwnam("nobody" if root else pwd.getpwuid(os.getuid()).pw_name)
    internal = pwd.getpwnam("dovecot") if root else owner
    running = Dovecot(folder, free_port(), folder / "ca.pem", owner.pw_uid)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(running.ca_file))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    for part in ("run", "state", *(f"home/Maildir/{name}" for name in ("new", "cur", "tmp"))):
        (folder / part).mkdir(parents=True)
    if root:
        for path in (folder / "home", *(folder / "home").rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    place = f"{owner.pw_uid}:{owner.pw_gid}::{folder}/home"
    (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}:{place}::\n", "utf-8")
    (folder / "dovecot.conf").write_text(
        config.format(
            folder=folder,
            port=running.port,
            internal=internal.pw_name,
            group=internal.pw_name if root else os.getgid(),
            login="dovenull" if root else owner.pw_name,
        ),
        "utf-8",
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cutting_proxy(port: int, limits: Iterable[int | None]) -> Iterator[int]:
    """Pass connections on to ``port``, each until the server has said so many octets (None: to its end).

    Gives the proxy's own port. A connection beyond ``limits`` is closed at once.
    """
    left = iter(limits)
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        with suppress(OSError):
            while limit is None or limit > 0:
                data = source.recv(min(65_536, limit or 65_536))
                if not data:
                    break
                sink.sendall(data)
                limit = limit - len(data) if limit is not None else None
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            limit = next(left, 0)
            server = socket.create_connection(("127.0.0.1", port))
            ends = [(client, server, None), (server, client, limit)]
            threads = [threading.Thread(target=pass_on, args=end, daemon=True) for end in ends]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            client.close()
            server.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
