"""A storm of kill -9 on the fast path: nothing twice, nothing missing, and few letters in doubt.

The storm is that of the acceptance test (tests/acceptance/test_kill_storm.py), with as many connections as
the benchmark uses, every quota on, uvloop where it is installed, and with two sending processes too. Senders
are started, killed at moments drawn by lot, and started again; now and then an operator settles what is in
doubt by what the sink has. At the end a run that nobody kills sends the rest. smtp-sink files every letter,
so each recipient's are counted whatever the store believes.

A moment is drawn as a number of letters that the sink begins after the start, or, for one kill in seven, as
a time that is mostly before that. Of several processes of one sender the first is killed, or another, or all;
who is left has to end by itself.

Limits: needs pytest and the tests, of which it is made (`pip install -e .[test]`); Linux.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.ours import LIMITS, why_no_uvloop
from bench.processes import Failed, wait_until
from tests.acceptance.prefork import Prefork, prefork
from tests.acceptance.test_kill_storm import LONGEST_START_S, Storm
from tests.campaign_folder import CampaignFolder, everybody, make_campaign, stop_what_was_started
from tests.peers import smtp_sink

CONNECTIONS = 50
HEAD = (
    "sender",
    "loop",
    "letters",
    "kills",
    "of them in mid-letter",
    "letters put in doubt",
    "most by one kill",
    "sent twice",
    "missing",
)
LETTERS_A_KILL = 100
EARLY = 1 / 7  # share of kills before the first letter
LONGEST_RUN_S = 120.0
LONGEST_END_S = 60.0  # for what is left of a sender


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

    @property
    def row(self) -> tuple[str, ...]:
        """Its row in the report, below `HEAD`."""
        numbers = (
            self.letters,
            self.kills,
            self.mid_letter,
            self.doubts,
            self.most,
            self.twice,
            self.missing,
        )
        return (self.sender, self.loop, *(f"{number:,}" for number in numbers))


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
    lingered: int = 0  # kills after which something did not end by itself

    def settle(self) -> None:
        """Do what an operator does, and count for how many letters."""
        self.doubts += len(self.folder.doubts())
        Storm.settle(self)

    def _one_run(self, letters: int) -> None:
        """Start a sender and kill it when the sink has begun some more letters, or before the first."""
        self.quiet()
        before, _ = self._attempts()
        pid = self.source.start(self.folder, "send", "--yes", output=self.folder.root.parent / "output")
        deadline = time.monotonic() + LONGEST_RUN_S
        wanted = self._begun() + self.chance.randint(1, max(1, letters))
        early = self.chance.random() < EARLY
        moment = time.monotonic() + self.chance.uniform(0, LONGEST_START_S) if early else math.inf
        while not self.source.has_ended(pid):
            if time.monotonic() >= moment or self._begun() >= wanted:
                self._kill(pid)
                break
            if time.monotonic() > deadline:
                raise Failed("a run that nobody killed does not end")
            time.sleep(0.0005)
        else:
            self.ends.append(self.source.wait(pid))
            return
        self.source.wait(pid)
        self.kills += 1
        attempts, left_open = self._attempts()
        self.mid_send += left_open > 0 and attempts > before
        self.most = max(self.most, left_open)

    def _begun(self) -> int:
        return sum(1 for _ in os.scandir(self.place_of_letters))

    def _kill(self, pid: int) -> None:
        """Kill the process that was started, another of the same sender, or all; wait until all are gone."""
        processes = self._alive()
        others = [one for one in processes if one != pid]
        one_other = [self.chance.choice(others)] if others else [pid]
        for victim in self.chance.choice((processes, [pid], one_other)):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        if not wait_until(lambda: not self._alive(), seconds=LONGEST_END_S):
            self.lingered += 1
            for survivor in self._alive():
                with suppress(ProcessLookupError):
                    os.kill(survivor, signal.SIGKILL)

    def _alive(self) -> list[int]:
        """Return the processes that work in the campaign's folder."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and _in(entry, self.folder.root)
        ]

    def _attempts(self) -> tuple[int, int]:
        """Return how many attempts the store knows, and how many of them are open."""
        if not self._knows("attempts"):
            return 0, 0
        query = "SELECT count(*), count(*) - count(ended_at) FROM attempts"
        known, left_open = self.folder.ask_store(query, self.store)[0]
        return int(known), int(left_open)


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
        trouble = f"{storm.lingered} times something of a sender did not end within {LONGEST_END_S:g} s"
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
