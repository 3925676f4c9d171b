"""A real Postfix in a folder of its own: a relay that sends on to smtp-sinks, and delivers to one Maildir.

Mail for example.org lands in the Maildir, whatever the local part; mail for other domains goes to the port
that `transports` names. What a sink refuses Postfix bounces, to the return path, and so into the Maildir.

It is started as root, as Postfix wants it; otherwise, and where it is missing, the test is skipped with a
reason. Limits: written for Postfix 3.7 (inline tables).
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import LISTENS, _states, free_port, need, wait_until

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_host_lookup = native
recipient_delimiter = +
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
transport_maps = inline:{{ {transports} }}
default_transport = error:no such domain
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """What relay.url has to be."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def maildir(self) -> Path:
        """Where mail for example.org lands."""
        return self.folder / "mail" / "box"

    def arrived(self) -> int:
        """How many mails have landed there."""
        return sum(1 for name in ("new", "cur") for _ in (self.maildir / name).glob("*"))

    def wait_for(self, mails: int) -> None:
        """Wait until so many have landed."""
        wait_until(lambda: self.arrived() >= mails, f"{mails} mails in {self.maildir}")


@contextmanager
def postfix(transports: Mapping[str, int]) -> Iterator[Postfix]:
    """Run Postfix; ``transports`` says which port on loopback takes the mail of which domain."""
    program = need("postfix", "postfix")
    if os.getuid() != 0:
        pytest.skip("Postfix wants to be started by root")
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    running = Postfix(folder, free_port())
    nobody = pwd.getpwnam("nobody")
    for name in ("etc", "spool", "data", "log", "mail"):
        (folder / name).mkdir()
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    os.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
    table = ", ".join(f"{{ {domain} = smtp:[127.0.0.1]:{port} }}" for domain, port in transports.items())
    gid = grp.getgrgid(nobody.pw_gid).gr_gid
    main = MAIN.format(folder=folder, uid=nobody.pw_uid, gid=gid, transports=table)
    (folder / "etc" / "main.cf").write_text(main, "ascii")
    (folder / "etc" / "master.cf").write_text(MASTER.format(port=running.port), "ascii")

    def order(word: str) -> subprocess.CompletedProcess[str]:
        words = [program, "-c", str(folder / "etc"), word]
        environment = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
        return subprocess.run(words, capture_output=True, text=True, env=environment, cwd="/", timeout=60)

    try:
        started = order("start")
        log = folder / "log" / "postfix.log"
        if started.returncode:
            said = log.read_text("utf-8", "replace") if log.exists() else ""
            pytest.fail(f"Postfix did not start: {started.stderr}{said}")
        wait_until(lambda: LISTENS in _states(running.port), "Postfix does not listen")
        yield running
    finally:
        order("abort")
        shutil.rmtree(folder, ignore_errors=True)
