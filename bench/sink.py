"""The relay that only counts: Postfix's smtp-sink(1) on a free port of 127.0.0.1, and a proxy before it.

Each contender gets a fresh one, so that its count is that contender's alone.

Limits: between finding a free port and listening on it another program may take it; then the start fails and
says so.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Command, Failed, environment, last_line, start, stop, wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
START_S = 10.0
QUIET_S = 5.0  # so long the count may take to catch up with a contender that has ended
TAIL = 256

_COUNT = re.compile(rb"mesg=(\d+)")


def find_program(name: str) -> str | None:
    """Return the path of one of Postfix's test programs, which lie outside of most users' PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Sink:
    """A running smtp-sink."""

    port: int
    counter: Path

    def count(self) -> int:
        """Return how many letters it has taken."""
        with self.counter.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL))
            found = _COUNT.findall(stream.read())
        return int(found[-1]) if found else 0

    def settled(self, expected: int) -> int:
        """Return the count when it has reached ``expected``, or when it has had time enough."""
        wait_until(lambda: self.count() >= expected, seconds=QUIET_S)
        return self.count()


@contextmanager
def smtp_sink(scratch: Path, *, letters_in: Path | None = None) -> Iterator[Sink]:
    """Run smtp-sink; with ``letters_in`` it files each letter in that folder as well.

    Raises Failed where it is not installed or does not start.
    """
    program = find_program("smtp-sink")
    if program is None:
        raise Failed("smtp-sink is not installed: apt-get install --no-install-recommends postfix")
    options: list[str] = ["-c"]
    if os.getuid() == 0:  # it refuses to run as root
        options += ["-u", "nobody"]
    if letters_in is not None:
        if os.getuid() == 0:
            os.chown(letters_in, pwd.getpwnam("nobody").pw_uid, -1)
        options += ["-d", f"{letters_in}/%M."]
    port, counter, errors = free_port(), scratch / "sink.count", scratch / "sink.stderr"
    with counter.open("wb") as output, errors.open("wb") as complaints:
        process = subprocess.Popen(
            [program, *options, f"127.0.0.1:{port}", "1000"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            start_new_session=True,
        )
    try:
        await_listening(process, port, errors, "smtp-sink")
        yield Sink(port, counter)
    finally:
        stop(process)


@contextmanager
def proxy(scratch: Path, module: str, target: int, arguments: Sequence[str]) -> Iterator[int]:
    """Run ``python -m bench.MODULE PORT TARGET ...`` and give the port it listens on. Raises Failed."""
    port, errors = free_port(), scratch / "proxy.stderr"
    words = [sys.executable, "-m", f"bench.{module}", str(port), str(target), *arguments]
    process = start(Command(words, REPOSITORY, environment(scratch)), errors)
    try:
        await_listening(process, port, errors, module)
        yield port
    finally:
        stop(process)


def await_listening(process: subprocess.Popen[bytes], port: int, errors: Path, name: str) -> None:
    """Wait until a server that was started listens. Raises Failed where it does not."""
    wait_until(lambda: process.poll() is not None or _listens(port), seconds=START_S)
    if process.poll() is not None or not _listens(port):
        raise Failed(f"{name} did not start: {last_line(errors)}")


def _listens(port: int) -> bool:
    """Say whether a port of 127.0.0.1 listens, without connecting to it where the system can tell."""
    table = Path("/proc/net/tcp")
    if table.exists():
        lines = (line.split() for line in table.read_text("ascii").splitlines()[1:])
        return any(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)
    time.sleep(0.05)
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
