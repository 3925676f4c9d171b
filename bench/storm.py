"""A storm of kill -9 on the fast path: nothing twice, nothing missing, and few letters in doubt.

The storm is that of the acceptance test (tests/acceptance/test_kill_storm.py), with as many connections as
the benchmark uses, every quota on, uvloop where it is installed, and with two sending processes too. Senders
are started, killed at moments drawn by lot, and started again; now and then an operator settles what is in
doubt by what the sink has. At the end a run that nobody kills sends the rest. smtp-sink files every letter,
so each recipient's are counted whatever the store believes.

Of two sending processes the one that was started is killed; the others, by lot, at the same moment, or they
are left to end by themselves, which they must.

Limits: needs pytest and the tests, of which it is made (`pip install -e .[test]`); Linux.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.ours import LIMITS, why_no_uvloop
from bench.processes import Failed, wait_until
from tests.acceptance.prefork import Prefork, prefork
from tests.acceptance.test_kill_storm import Storm
from tests.campaign_folder import CampaignFolder, everybody, make_campaign, stop_what_was_started
from tests.peers import smtp_sink

CONNECTIONS = 50
LETTERS_A_KILL = 100
LONGEST_END_S = 30.0  # for a process whose first one was killed


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one storm."""

    sender: str
    loop: str
    letters: int
    kills: int
    mid_letter: int  # kills that left an attempt open
    doubts: int  # letters put in doubt by all of them
    most: int  # attempts that one kill left open
    twice: int  # letters that the sink has once too often
    missing: int  # letters that it has not


@dataclass(frozen=True, slots=True)
class WordyPrefork(Prefork):
    """Senders that are started with further words behind the command."""

    words: tuple[str, ...] = ()

    def start(self, folder: CampaignFolder, *arguments: str, output: Path) -> int:
        """Start a copy that runs the command; return its process number."""
        return Prefork.start(self, folder, *arguments, *self.words, output=output)


@dataclass
class CountingStorm(Storm):
    """A storm that counts the letters in doubt, and ends all processes of a sender."""

    doubts: int = 0
    most: int = 0
    lingered: int = 0  # kills after which another process had to be killed, too

    def settle(self) -> None:
        """Do what an operator does, and count for how many letters."""
        self.doubts += len(self.folder.doubts())
        Storm.settle(self)

    def _one_run(self, letters: int) -> None:
        Storm._one_run(self, letters)
        self._end_all()
        self.most = max(self.most, self._open_attempts())

    def _end_all(self) -> None:
        """Kill the other processes of a sender, or wait until they have ended."""
        if self.chance.random() < 0.5 and not wait_until(lambda: not self._alive(), seconds=LONGEST_END_S):
            self.lingered += 1
        for pid in self._alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self._alive(), seconds=LONGEST_END_S)

    def _alive(self) -> list[int]:
        """Return the processes that work in the campaign's folder."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and _in(entry, self.folder.root)
        ]

    def _open_attempts(self) -> int:
        if not self._knows("attempts"):
            return 0
        query = "SELECT count(*) FROM attempts WHERE ended_at IS NULL"
        return int(self.folder.ask_store(query, self.store)[0][0])


def blow(
    scratch: Path, sender: str, words: tuple[str, ...], *, kills: int, tell: Callable[[str], None]
) -> Told:
    """Run one storm over `campaign send` with further ``words``, and tell.

    It has `LETTERS_A_KILL` letters for each of the ``kills``. Raises Failed where it cannot be run, or where
    the program does not end as it should although no letter came twice and none is missing.
    """
    parent, letters = scratch / "storm", kills * LETTERS_A_KILL
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir()
    seed = random.SystemRandom().randrange(1 << 32)
    tell(f"storm, {sender}: {letters:,} letters, {kills} kills, seed {seed}")
    trouble = ""
    try:
        with smtp_sink() as sink, prefork() as source:
            made = make_campaign(parent, letters, connections=CONNECTIONS, settings=LIMITS)
            storm = CountingStorm(
                made.at(sink.url),
                WordyPrefork(source.process, words),
                random.Random(seed),
                letters,
                sink.letters,
                sink.folder,
                sink.wait_quiet,
            )
            try:
                storm.blow(kills)
                storm.calm_down()
            except AssertionError as wrong:
                trouble = str(wrong).partition("\n")[0][:200] or "an assertion of the storm"
            finally:
                stop_what_was_started()
            twice, missing = _wrong(sink.letters(), letters)
    except pytest.fail.Exception as failure:
        raise Failed(str(failure)[:200]) from None
    if storm.lingered:
        trouble = f"{storm.lingered} times a process did not end within {LONGEST_END_S:g} s of its first one"
    if trouble and not twice and not missing:
        raise Failed(trouble)
    tell(f"storm, {sender}: {storm.kills} kills, {storm.doubts} doubts, {twice} twice, {missing} missing")
    return Told(
        sender=sender,
        loop="asyncio" if why_no_uvloop() else "uvloop",
        letters=letters,
        kills=storm.kills,
        mid_letter=storm.mid_send,
        doubts=storm.doubts,
        most=storm.most,
        twice=twice,
        missing=missing,
    )


def _wrong(taken: Counter[str], letters: int) -> tuple[int, int]:
    """Return how many letters the sink has once too often, and how many it has not."""
    twice = sum(number - 1 for number in taken.values())
    return twice, len(set(everybody(letters)) - set(taken))


def _in(process: Path, folder: Path) -> bool:
    """Say whether a process works in a folder; one that has ended does not."""
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False
