"""FAULTS 17: kill -9 at any instant. Nothing goes twice, nothing is lost, what nobody can know is in doubt.

A letter counts as handed over when the relay of `store_crasher.py` has written it into its book. Whatever the
moment of death, no letter of that book may ever be queued again.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.delivery.letter import State
from tests.functional.store_crasher import AT_ONCE, LETTERS, NAMES
from tests.unit.store_support import Bench

KILLED = (-signal.SIGKILL, -signal.SIGALRM)
ENDED = (State.SENT, State.FAILED, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Crasher:
    """The sender that dies, and its folder."""

    folder: Path
    process: subprocess.Popen[str]

    def live(self, kind: str, limit: int) -> bool:
        """Let it live once; return whether it was killed (else it came to its end)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kind} {limit}\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        assert code in (0, *KILLED)
        return code in KILLED

    def taken(self) -> Counter[int]:
        """Return how often the relay took each letter."""
        book = self.folder / "relay"
        return Counter(int(line) for line in book.read_text().split()) if book.exists() else Counter()

    def examine(self) -> dict[int, State]:
        """See that the store is sound and agrees with the relay's book; return every letter's state."""
        bench = Bench(self.folder)
        bench.recover()
        states = {line.id: line.state for line in bench.lines()}
        attempts = {line.id: (line.attempts, bench.attempts(line.id)) for line in bench.lines()}
        bench.close()
        with closing(sqlite3.connect(self.folder / ".campaign" / "campaign.db")) as connection, connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
        assert len(states) == LETTERS
        assert set(states.values()) <= {State.QUEUED, *ENDED}
        for count, told in attempts.values():
            assert [attempt.n for attempt in told] == list(range(1, count + 1))
            assert all(attempt.ended_at for attempt in told)
        taken = self.taken()
        assert set(taken.values()) <= {1}
        assert {states[letter] for letter in taken} <= {State.SENT, State.IN_DOUBT}
        assert all(letter in taken for letter, state in states.items() if state is State.SENT)
        return states


@contextmanager
def crashing(folder: Path) -> Iterator[Crasher]:
    """A campaign of forty queued letters, and a sender to kill."""
    Bench(folder, names=NAMES).close()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.functional.store_crasher", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Crasher(folder, process)
    finally:
        process.communicate()


def test_the_sender_sends_everything_when_it_is_not_killed(tmp_path: Path) -> None:
    """Without a death: every letter sent or refused, none in doubt; those put off go in the next life."""
    with crashing(tmp_path) as crasher:
        assert not crasher.live("none", 0)
        assert State.QUEUED in crasher.examine().values()
        assert not crasher.live("none", 0)
        states = Counter(crasher.examine().values())
    assert states == {State.SENT: LETTERS - 3, State.FAILED: 3}


@pytest.mark.parametrize("kind", ["commit", "committed", "relay", "statement", "step"])
def test_fault_17_killed_at_every_commit_and_many_statements(tmp_path: Path, kind: str) -> None:
    """Life after life ends one step later than the one before, until one comes to its end."""
    step = {"statement": 17, "step": 7}.get(kind, 1)
    limit, deaths = 1, 0
    with crashing(tmp_path) as crasher:
        while crasher.live(kind, limit):
            crasher.examine()
            limit, deaths = limit + step, deaths + 1
        crasher.live("none", 0)
        states = crasher.examine()
    assert deaths >= 3
    assert set(states.values()) <= set(ENDED)


@pytest.mark.parametrize("seed", [17, 38])
def test_fault_17_killed_at_random_points(tmp_path: Path, seed: int) -> None:
    """Twenty lives, each ended where chance says; a doubt is at most what was in flight at a death."""
    chance = random.Random(seed)
    longest = {"statement": 40, "commit": 3, "committed": 3, "relay": 6, "step": 60, "moment": 400}
    deaths = 0
    with crashing(tmp_path) as crasher:
        for _ in range(20):
            kind = chance.choice([*longest, "moment", "moment"])
            deaths += crasher.live(kind, chance.randint(1, longest[kind]))
            crasher.examine()
        crasher.live("none", 0)
        crasher.live("none", 0)
        states = Counter(crasher.examine().values())
    assert deaths >= 5
    assert set(states) <= set(ENDED)
    assert states[State.IN_DOUBT] <= AT_ONCE * deaths
