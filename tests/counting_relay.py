"""A relay in a process of its own that counts: every letter it took, whose it was, when.

    python -m tests.counting_relay LOG [--delay SECONDS]

It prints its port. For each letter a line `TIME RECIPIENT CLIENT` is in LOG (monotonic seconds, the address
of the recipient, EHLO name and port of the client) before the 250 is written, so what the file does not say
was never confirmed. Everybody is accepted. PIPELINING is offered. ``--delay`` holds every answer back.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, log: int, delay: float) -> None:
        self._log = log
        self._delay = delay
        self._buffer = b""
        self._recipient = ""
        self._in_content = False
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(b"220 counting.example ready\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if self._in_content:
                end = self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self._buffer = self._buffer[end + 5 :]
                self._in_content = False
                os.write(self._log, f"{time.monotonic():.6f} {self._recipient} {self._client}\n".encode())
                self._say(b"250 2.0.0 taken\r\n")
                continue
            line, newline, rest = self._buffer.partition(b"\r\n")
            if not newline:
                return
            self._buffer = rest
            self._command(line)

    def _command(self, line: bytes) -> None:
        word = line[:4].upper()
        if word == b"EHLO":
            name = line[5:].strip().decode("ascii", "replace") or "nobody"
            self._client = f"{name}:{self._transport.get_extra_info('peername')[1]}"
            self._say(b"250-counting.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        elif word == b"DATA":
            self._in_content = True
            self._say(b"354 go on\r\n")
        elif word == b"QUIT":
            self._say(b"221 bye\r\n")
            self._later(self._transport.close)
        else:
            if word == b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            self._say(b"250 2.1.0 ok\r\n")

    def _say(self, words: bytes) -> None:
        self._later(self._transport.write, words)

    def _later(self, action: Callable[..., None], *arguments: bytes) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, action, *arguments)
        else:
            action(*arguments)


async def serve(log: Path, delay: float) -> None:
    """Serve until killed."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = await asyncio.get_running_loop().create_server(lambda: Talk(handle, delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def counting_relay(log: Path, delay: float = 0.0) -> Iterator[int]:
    """Run it in a process of its own, every answer ``delay`` seconds late; yields its port."""
    relay = subprocess.Popen(
        [sys.executable, "-m", "tests.counting_relay", str(log), "--delay", str(delay)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert relay.stdout is not None
    try:
        yield int(relay.stdout.readline())
    finally:
        relay.kill()
        relay.communicate()


@dataclass(frozen=True, slots=True)
class Taken:
    """A letter that the relay took."""

    at: float
    recipient: str
    client: str


def taken(log: Path) -> list[Taken]:
    """Return what the relay took, in order."""
    return list(_read(log))


def _read(log: Path) -> Iterator[Taken]:
    for line in log.read_text("ascii").splitlines():
        at, recipient, client = line.split()
        yield Taken(float(at), recipient, client)


def doubled(letters: list[Taken]) -> list[str]:
    """Return the recipients that were written to more than once."""
    counts = Counter(letter.recipient for letter in letters)
    return sorted(recipient for recipient, number in counts.items() if number > 1)


def worst_window(letters: list[Taken], seconds: float = 1.0) -> int:
    """Return the most letters in any window of so many seconds, its end excluded."""
    times = sorted(letter.at for letter in letters)
    worst = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


if __name__ == "__main__":
    reading = argparse.ArgumentParser()
    reading.add_argument("log", type=Path)
    reading.add_argument("--delay", type=float, default=0.0)
    said = reading.parse_args()
    asyncio.run(serve(said.log, said.delay))
