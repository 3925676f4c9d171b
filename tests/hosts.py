"""Several hosts on one PostgreSQL: each a folder, a user's data folder and a process of its own.

They speak to one `tests.counting_relay`, which knows them by their EHLO names. A host may reach the database
over a `Line`, which can be cut: what is written into it then waits, as behind a router that has lost its way.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.counting_relay import Taken, counting_relay, taken
from tests.peers import free_port, wait_until
from tests.postgres import Cluster

REPOSITORY = Path(__file__).resolve().parent.parent
DATABASE = "mailing"
CONNECTIONS = 2

_CONFIG = """\
[campaign]
key = "mayday"
name = "May Day"
languages = ["en"]
author = "Solidarity Committee <letters@committee.example>"

[relay]
url = "smtp://127.0.0.1:{relay}"
ehlo = "{name}.committee.example"
connections = {connections}

[store]
url = "postgresql://tests@127.0.0.1:{database}/{name_of_database}"

{limits}
"""
_LETTER = """\
+++
subject = "Free the eleven"
+++
Dear {{ recipient.name }},

we write to you about the trial of the eleven.
"""


@dataclass
class Host:
    """One host: where it works, and its process."""

    name: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None

    def start(self, *words: str) -> None:
        """Begin to send and to follow."""
        command = [sys.executable, "-m", "pipeline", "-C", str(self.folder), "send", "--yes", "--json"]
        with (self.folder / "stderr").open("a") as told:
            self.process = subprocess.Popen(
                [*command, *(words or ("--follow",))],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=told,
                stderr=told,
                text=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def end(self, seconds: float = 120.0) -> int:
        """Wait until it ends by itself; return its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def ask(self, *words: str) -> str:
        """Return what another command says here."""
        command = [sys.executable, "-m", "pipeline", "-C", str(self.folder), *words]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, timeout=60
        )
        return done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """Return `status --json`."""
        found: dict[str, Any] = json.loads(self.ask("status", "--json"))
        return found


@dataclass
class Hosts:
    """Some hosts, their relay and their database."""

    cluster: Cluster
    hosts: list[Host]
    log: Path
    letters: int
    lines: dict[str, Line] = field(default_factory=dict)

    def taken(self, by: Host | None = None) -> list[Taken]:
        """Return what the relay took, of all hosts or of one."""
        found = taken(self.log) if self.log.exists() else []
        return [one for one in found if by is None or one.client.startswith(f"{by.name}.")]

    def wait_for(self, number: int, by: Host | None = None) -> None:
        """Wait until the relay has taken so many letters."""
        what = f"{number} letters from {by.name if by else 'all hosts'}"
        wait_until(lambda: len(self.taken(by)) >= number, what, seconds=90)

    def store(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the campaign's store."""
        with self.cluster.connect(DATABASE) as connection:
            connection.execute("SET search_path = campaign_mayday")
            return list(connection.execute(query.encode()).fetchall())


@contextmanager
def running(
    cluster: Cluster,
    folder: Path,
    *,
    letters: int,
    number: int = 3,
    limits: str = "",
    delay: float = 0.0,
    domains: tuple[str, ...] = ("office.example",),
    lines: tuple[int, ...] = (),
    connections: int = CONNECTIONS,
) -> Iterator[Hosts]:
    """Make hosts that have ``letters`` letters to send, to ``domains`` in turn; start none of them yet.

    ``lines`` are the numbers of those that reach the database over a line which can be cut.
    """
    log = folder / "taken"
    with (
        counting_relay(log, delay) as port,
        made(
            cluster,
            folder,
            relay=port,
            letters=letters,
            number=number,
            limits=limits,
            domains=domains,
            lines=lines,
            connections=connections,
        ) as hosts,
    ):
        yield hosts


@contextmanager
def made(
    cluster: Cluster,
    folder: Path,
    *,
    relay: int,
    letters: int,
    number: int,
    limits: str = "",
    domains: tuple[str, ...] = ("office.example",),
    lines: tuple[int, ...] = (),
    connections: int = CONNECTIONS,
) -> Iterator[Hosts]:
    """As `running`, with whatever listens on the port ``relay``."""
    cluster.make(DATABASE)
    log = folder / "taken"
    hosts: list[Host] = []
    kept: dict[str, Line] = {}
    for index in range(number):
        name = f"mail{index}"
        root = folder / name / "mayday"
        (root / "templates").mkdir(parents=True)
        database = cluster.port
        if index in lines:
            kept[name] = Line(cluster.port)
            database = kept[name].port
        config = _CONFIG.format(
            relay=relay,
            name=name,
            connections=connections,
            database=database,
            name_of_database=DATABASE,
            limits=limits,
        )
        (root / "campaign.toml").write_text(config, "utf-8")
        (root / "templates" / "letter.en.md").write_text(_LETTER, "utf-8")
        rows = (f"to{n}@{domains[n % len(domains)]},Name {n}\n" for n in range(letters))
        (root / "recipients.csv").write_text("email,name\n" + "".join(rows), "utf-8")
        data = {"XDG_DATA_HOME": str(folder / name / "data"), "CAMPAIGN_HOST": name}
        hosts.append(Host(name, root, os.environ | data))
    try:
        yield Hosts(cluster, hosts, log, letters, kept)
    finally:
        for host in hosts:
            if host.process is not None and host.process.poll() is None:
                host.process.kill()
                host.process.wait()
        for line in kept.values():
            line.close()


class Line:
    """A way to a port of this machine that can be cut and mended. What is on the way meanwhile waits."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open = threading.Event()
        self._open.set()
        self._over = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Let nothing through."""
        self._open.clear()

    def mend(self) -> None:
        """Let through what waits, and what comes."""
        self._open.set()

    def close(self) -> None:
        """End it."""
        self._over = True
        self._open.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass
        self._thread.join(5)
        self._listener.close()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, None)
            while not self._over:
                for key, _ in selector.select():
                    self._open.wait()
                    if key.data is None:
                        self._pair(selector)
                    else:
                        self._pass_on(selector, key.fileobj, key.data)
            for key in list(selector.get_map().values()):
                if key.data is not None:
                    key.data.close()

    def _pair(self, selector: selectors.BaseSelector) -> None:
        here, _ = self._listener.accept()
        try:
            there = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            here.close()
            return
        for one, other in ((here, there), (there, here)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, other)

    def _pass_on(self, selector: selectors.BaseSelector, source: Any, target: socket.socket) -> None:
        try:
            if data := source.recv(65_536):
                target.sendall(data)
                return
        except OSError:
            pass
        for end in (source, target):
            with suppress(KeyError, ValueError):
                selector.unregister(end)
            end.close()
