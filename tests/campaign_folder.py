"""Campaign folders, and the real `campaign` command in a process of its own.

`make_campaign` writes a folder of N letters in which no limit slows a test down; `copy_sample` copies the
sample campaign. A `CampaignFolder` runs commands there with an environment of its own: HOME and XDG_DATA_HOME
lie beside the folder, and nothing of the tester's environment gets in.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("campaign")
PATIENCE_S = 120  # for one command
STATES = ("planned", "queued", "sent", "failed", "in_doubt", "suppressed", "cancelled", "expired")

CONFIG = """\
[campaign]
key = "mayday"
name = "May Day"
languages = ["en"]
author = "Committee <letters@example.org>"
timezone = "UTC"

[relay]
url = "{relay}"
connections = {connections}

[limits]
per_recipient = "off"
"""
TEMPLATE = """\
+++
subject = "Free the marchers of {{ recipient.city }}"
+++
Dear {{ recipient.name }},

please release them.
"""
HEADER = "email,name,city"


_started: list[subprocess.Popen[str]] = []


def stop_what_was_started() -> None:
    """Kill every command that has not ended and close its pipes: for the end of a test, however it ends."""
    while _started:
        process = _started.pop()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it said."""
        return self.out + self.err

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document, or the last of the JSON lines, on stdout."""
        document: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return document


@dataclass(frozen=True, slots=True)
class CampaignFolder:
    """A campaign's folder; every command gets ``settings`` as --set."""

    root: Path
    settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def at(self, url: str, *settings: str) -> CampaignFolder:
        """Return the same folder with another relay, and further settings."""
        return CampaignFolder(self.root, (*self.settings, f"relay.url={url}", *settings), self.environment)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        beside = self.root.parent
        return {
            "PATH": os.defpath,
            "HOME": str(beside / "home"),
            "XDG_DATA_HOME": str(beside / "data"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **self.environment,
        }

    def arguments(self, *arguments: str) -> list[str]:
        """Return the command's arguments with the settings in front."""
        return [*(word for setting in self.settings for word in ("--set", setting)), *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command; its output is piped, its input is empty."""
        chosen: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        process = subprocess.Popen(
            [str(COMMAND), *self.arguments(*arguments)],
            cwd=self.root,
            env=self.environ,
            text=True,
            encoding="utf-8",
            **(chosen | options),
        )
        _started.append(process)
        return process

    def run(self, *arguments: str, **options: Any) -> Finished:
        """Run a command to its end."""
        return finish(self.start(*arguments, **options))

    def send(self, *arguments: str) -> Finished:
        """Run `campaign send --yes`."""
        return self.run("send", "--yes", *arguments)

    def states(self) -> dict[str, int]:
        """Return the counts of `status --json`, without zeros; they must add up."""
        counts: dict[str, int] = self.run("status", "--json").document["letters"]
        total = counts.pop("total")
        assert set(counts) == set(STATES)
        assert sum(counts.values()) == total
        return {state: number for state, number in counts.items() if number}

    def counts(self) -> dict[str, int]:
        """Return the counts as the store of the real world has them: quicker, where many are asked for."""
        return dict(self.ask_store("SELECT state, count(*) FROM letters GROUP BY state"))

    def doubts(self) -> list[str]:
        """Return the addresses `resolve --json` lists."""
        return [line["to"] for line in self.run("resolve", "--json").document["in_doubt"]]

    def ask_store(self, query: str, store: str = "campaign") -> list[tuple[Any, ...]]:
        """Ask the store something, read-only."""
        path = self.root / ".campaign" / f"{store}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def write_list(self, rows: Iterable[str], header: str = HEADER) -> None:
        """Write recipients.csv."""
        (self.root / "recipients.csv").write_text("\n".join((header, *rows, "")), "utf-8")


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for a command's end. Raises TimeoutExpired."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return Finished(process.returncode, out or "", err or "")


def address(number: int) -> str:
    """Return the address of row ``number``; seven domains take turns."""
    return f"r{number:04}@office{number % 7}.example"


def rows_of(letters: int) -> list[str]:
    """Return rows for so many letters."""
    return [f"{address(number)},Member {number},Velmor" for number in range(letters)]


def make_campaign(
    parent: Path,
    letters: int | Sequence[str] = 16,
    *,
    relay: str = "sandbox:",
    connections: int = 4,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> CampaignFolder:
    """Make a campaign below ``parent``: so many letters, or letters to these addresses."""
    folder = CampaignFolder(parent / "campaign", tuple(settings), environment or {})
    (folder.root / "templates").mkdir(parents=True)
    (folder.root / "campaign.toml").write_text(CONFIG.format(relay=relay, connections=connections), "utf-8")
    (folder.root / "templates" / "letter.en.md").write_text(TEMPLATE, "utf-8")
    if isinstance(letters, int):
        folder.write_list(rows_of(letters))
    else:
        folder.write_list(f"{email},Member,Velmor" for email in letters)
    return folder


def everybody(letters: int) -> Counter[str]:
    """Return what a sink must hold in the end: each address of `rows_of` once."""
    return Counter(address(number) for number in range(letters))


def copy_sample(parent: Path) -> CampaignFolder:
    """Copy the sample campaign, as a fresh clone has it."""
    root = parent / "campaign"
    root.mkdir()
    for name in ("campaign.toml", "recipients.csv", "signatories.csv"):
        shutil.copy(REPOSITORY / name, root)
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    return CampaignFolder(root)
