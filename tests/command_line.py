"""The command line, run in the test's own process: what it said, and its exit code.

`CommandLine` runs commands in a campaign's folder, the user's data folder beside it. `Terminal` makes the
standard streams look like a terminal at which somebody types. `relay_here` is a real relay on loopback that
files what it accepts, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import invoke
from pipeline.delivery.sandbox import sandbox_relay

CONFIG = """\
[campaign]
key = "mayday-1"
name = "May Day"
languages = ["en", "es"]
author = "Committee <letters@example.org>"
timezone = "UTC"

[relay]
url = "sandbox:"

[limits]
relay = "600/s"
per_recipient = "20/day"
"""
LIST = """\
email,language,name
ada@office.example,en,Ada
ben@office.example,en,Ben
eva@oficina.example,es,Eva
"""
TEMPLATE = """\
+++
subject = "To {{ recipient.name }}"
+++
Dear {{ recipient.name }},

please release them.
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Runs commands in a campaign's folder."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Make ``folder`` the working directory; its parent holds the user's data."""
        self.folder = folder
        self._capsys = capsys
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDG_DATA_HOME", str(folder.parent / "data"))
        monkeypatch.setenv("TERM", "dumb")
        for name in ("CREDENTIALS_DIRECTORY", "CAMPAIGN_TRACEBACK", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: str) -> Said:
        """Run a command; what was said before it is forgotten."""
        self._capsys.readouterr()
        code = invoke(arguments)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def write(self, *, rows: str = LIST, config: str = CONFIG, template: str = TEMPLATE) -> None:
        """Write the campaign's files: three letters, in two languages, to the sandbox."""
        (self.folder / "templates").mkdir(exist_ok=True)
        (self.folder / "campaign.toml").write_text(config, "utf-8")
        (self.folder / "recipients.csv").write_text(rows, "utf-8")
        for language in ("en", "es"):
            (self.folder / "templates" / f"letter.{language}.md").write_text(template, "utf-8")


class _Keyboard:
    """What somebody types; Ctrl-C where the text ends with ^C."""

    def __init__(self, text: str) -> None:
        self._text = io.StringIO(text)

    def isatty(self) -> bool:
        """Look like a terminal."""
        return True

    def readline(self) -> str:
        """Return the next line."""
        line = self._text.readline()
        if line.endswith("^C"):
            raise KeyboardInterrupt
        return line


class Terminal:
    """Makes the standard streams a terminal for the rest of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def types(self, text: str) -> None:
        """Let somebody type ``text``; ^C at its end is Ctrl-C."""
        self._monkeypatch.setattr(sys, "stdin", _Keyboard(text))
        self.looks()

    def looks(self) -> None:
        """Let stdout and stderr be seen by somebody."""
        for stream in (sys.stdout, sys.stderr):
            self._monkeypatch.setattr(stream, "isatty", lambda: True)


@contextmanager
def relay_here(outbox: Path) -> Iterator[str]:
    """Run a relay for as long as the context lasts, and give its URL; letters go to the Maildir."""
    ready: threading.Event = threading.Event()
    ports: list[int] = []
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        async with sandbox_relay(outbox) as port:
            ports.append(port)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield f"smtp://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
        loop.close()


def accepted(outbox: Path) -> int:
    """Return how many letters lie in a Maildir."""
    return len(list((outbox / "new").glob("*"))) if outbox.exists() else 0
