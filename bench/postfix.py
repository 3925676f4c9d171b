"""A real Postfix as the relay: an instance of its own on loopback that takes everything and discards it.

Its configuration, queue and log lie in a scratch folder; the system's own Postfix is neither read nor
touched. Every letter is queued with fsync as Postfix does it, and then handed to discard(8). The count is
that of "status=sent" in its log. Nothing is changed from Postfix's defaults but what keeps it to itself, and
in_flow_delay: pauses of a second, by lot, would be measured instead of contenders.

Limits: has to be started as root, as Postfix is. It empties its queue on the same cores while it is sent to.
"""

from __future__ import annotations

import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import Absent, find_postfix, run_briefly
from bench.processes import Command, environment, start, stop, wait_until
from bench.sink import await_listening, find_program, free_port

DRAIN_S = 60.0  # so long the queue may take to become empty
STOP_S = 10.0
SENT = b"status=sent"

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = {commands}
daemon_directory = {daemons}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = discard:
alias_maps =
alias_database =
in_flow_delay = 0s
"""
_MASTER = """\
127.0.0.1:{port} inet n  -       n       -       -       smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
postlog   unix-dgram n  -       n       -       1       postlogd
"""


@dataclass(slots=True)
class Postfix:
    """A running instance."""

    port: int
    log: Path
    _sent: int = 0
    _read: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def count(self) -> int:
        """Return how many letters it has taken and handed on."""
        with suppress(FileNotFoundError), self.log.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
            self._read += len(new)
            whole, _, self._rest = (self._rest + new).rpartition(b"\n")
            self._sent += whole.count(SENT)
        return self._sent

    def settled(self, expected: int) -> int:
        """Return the count when it has reached ``expected``, or when it has had time enough."""
        wait_until(lambda: self.count() >= expected, seconds=DRAIN_S, every=0.05)
        return self.count()


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Run an instance; it is stopped and its folder removed at the end. Raises Absent, Failed."""
    program = find_instance()
    config = find_program("postconf")
    assert config is not None, "it is of the same package"
    daemons = run_briefly([config, "-d", "-h", "-x", "daemon_directory"], "postconf")
    with tempfile.TemporaryDirectory(prefix="bench-postfix-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)  # Postfix's user has to pass
        for part in ("config", "queue", "data"):
            (folder / part).mkdir()
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        places = {"folder": folder, "daemons": daemons, "commands": Path(program).parent}
        (folder / "config" / "main.cf").write_text(_MAIN.format(**places), "utf-8")
        (folder / "config" / "master.cf").write_text(_MASTER.format(port=port), "utf-8")
        errors = folder / "stderr"
        words = [program, "-c", str(folder / "config"), "start-fg"]
        process = start(Command(words, folder, environment(folder)), errors)
        try:
            await_listening(process, port, errors, "Postfix")
            yield Postfix(port, folder / "log")
        finally:
            _stop_master(folder / "queue" / "pid" / "master.pid")
            stop(process)


def find_instance() -> str:
    """Return the path of postfix(1), where an instance can be started. Raises Absent."""
    program = find_postfix("postfix").path
    if os.getuid() != 0:
        raise Absent("a Postfix of our own is started as root only")
    return program


def _stop_master(pid_file: Path) -> None:
    """Stop master(8), which stops its children: it leads a group of its own."""
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text("ascii"))
        os.kill(pid, signal.SIGTERM)
        gone = wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds=STOP_S)
        if not gone:
            os.killpg(pid, signal.SIGKILL)
