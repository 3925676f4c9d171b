"""Programs of the system's packages that tests talk to: found, started on free ports, stopped at the end.

`smtp_sink` runs Postfix's smtp-sink(1) as the relay; every letter it was given becomes a file, so letters can
be counted per recipient whatever the sender believes. A missing program skips the test with the line that
installs it; where the environment says CI=true it fails the test.

`wait_until` is how a test waits for another process: by looking again until something has happened, with a
deadline, never for a fixed time.

Limits: Linux (/proc/net/tcp says whether a port listens and whether connections are open).
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

LISTENS, OPEN, HALF_CLOSED = "0A", "01", "08"  # states in /proc/net/tcp
DEADLINE_S = 30.0


def need(program: str, package: str) -> str:
    """Return the path of ``program``; where it is missing the test is skipped, and fails in CI."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is not None:
        return path
    missing = f"{program} is not installed: apt-get install --no-install-recommends {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def wait_until(
    happened: Callable[[], bool],
    what: str,
    *,
    by: subprocess.Popen[str] | None = None,
    seconds: float = DEADLINE_S,
) -> None:
    """Look again and again whether something has happened; fail after ``seconds`` or when ``by`` ends."""
    deadline = time.monotonic() + seconds
    while not happened():
        if by is not None and by.poll() is not None and not happened():
            pytest.fail(f"it ended with {by.returncode} before: {what}\n{by.communicate()}")
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.005)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _states(port: int) -> list[str]:
    """Return the states of all sockets whose own end is ``port``."""
    states = []
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            states.append(state)
    return states


def wait_until_left(port: int) -> None:
    """Wait until nobody is connected to the server at ``port``."""
    wait_until(lambda: not {OPEN, HALF_CLOSED} & set(_states(port)), f"port {port} still has a connection")


@dataclass(frozen=True, slots=True)
class Sink:
    """A running smtp-sink. ``folder`` holds one file for each letter it has taken."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        """What relay.url has to be."""
        return f"smtp://127.0.0.1:{self.port}"

    def wait_quiet(self) -> None:
        """Wait until nobody is connected: then every letter that was handed over has been filed."""
        wait_until_left(self.port)

    def texts(self) -> list[str]:
        """Return every letter as it came, behind smtp-sink's own header lines. Look when it is quiet."""
        self.wait_quiet()
        return [path.read_text("utf-8", "replace") for path in sorted(self.folder.iterdir())]

    def letters(self) -> Counter[str]:
        """Return how many letters came for each address."""
        return Counter(
            line.removeprefix("X-Rcpt-Args: ").split(">")[0].removeprefix("<")
            for text in self.texts()
            for line in text.split("\nReceived:", 1)[0].splitlines()
            if line.startswith("X-Rcpt-Args: ")
        )

    @property
    def filed(self) -> int:
        """How many letters were begun; may be asked while they come in."""
        return sum(1 for _ in self.folder.iterdir())

    def stop(self) -> None:
        """End it; its connections break."""
        self.process.kill()
        self.process.wait()


BEHIND_THE_DOT = ("-W", ".:60")  # options: it takes its time before it answers a letter
DOT_ALONE = "relay.pipelining=grouped"  # for the sender: what comes with that dot is answered before it


@contextmanager
def smtp_sink(*options: str, port: int | None = None) -> Iterator[Sink]:
    """Run smtp-sink with further ``options``, on ``port`` or a free one."""
    program = need("smtp-sink", "postfix")
    with tempfile.TemporaryDirectory(prefix="sink-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user: tuple[str, ...] = ()
        if os.getuid() == 0:  # it refuses to run as root
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
            user = ("-u", "nobody")
        port = port or free_port()
        process = subprocess.Popen(
            [program, *user, *options, "-d", f"{name}/%M.", f"127.0.0.1:{port}", "100"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        sink = Sink(process, port, folder)
        try:
            wait_until(
                lambda: LISTENS in _states(sink.port) or process.poll() is not None,
                f"smtp-sink does not listen on port {port}",
            )
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(f"smtp-sink did not start: {process.stderr.read().decode()}")
            yield sink
        finally:
            sink.stop()
            if process.stderr is not None:
                process.stderr.close()
