"""Kill -9 at random points, hundreds of times: no address twice, none missing, the doubtful ones listed.

A storm starts `campaign send --yes`, kills it at a moment drawn by lot (anywhere between its first
instruction and its end, most often while letters are on the wire), and starts it again. Now and then an
operator settles the letters in doubt by what the relay has, as `campaign resolve` asks for. At the end a run
that nobody kills sends the rest.

The seed is printed; CAMPAIGN_STORM_SEED repeats one (the machine's own timing still differs).

Limits: kill -9 ends a process, not the machine; what a power cut does to the disk is SQLite's promise.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.prefork import Prefork, prefork
from tests.campaign_folder import CampaignFolder, everybody, make_campaign
from tests.peers import BEHIND_THE_DOT, DOT_ALONE, Sink, smtp_sink, wait_until

KILLS = 200
LETTERS = 1_000
FEW_KILLS, FEW = 12, 100
BEFORE_SENDING = (0.95, 0.95, 0.95, 0.6, 0.6, 0.15)  # share of early kills, by letters left for each kill
MOMENTS_S = (0.002, 0.006, 0.012, 0.02, 0.03)  # after the first letter was begun: up to one of these
LONGEST_START_S = 0.6  # from the first instruction to the first letter
LONGEST_RUN_S = 60.0
SETTLED_EVERY = 20  # kills

pytestmark = [pytest.mark.storm, pytest.mark.peer]


@dataclass
class Storm:
    """One storm over one campaign. ``taken`` counts the letters the relay has, by address."""

    folder: CampaignFolder
    source: Prefork
    chance: random.Random
    letters: int
    taken: Callable[[], Counter[str]]
    place_of_letters: Path  # a folder or file that changes when the relay has a letter
    quiet: Callable[[], None] = lambda: None  # waits until the relay has done with a killed sender
    kills: int = 0
    mid_send: int = 0  # kills that left a letter's attempt open
    ends: list[int] = field(default_factory=list)  # exit codes of runs that were too quick to be killed
    words: tuple[str, ...] = ()  # further ones, behind the command

    def blow(self, kills: int) -> None:
        """Kill that many living senders."""
        while self.kills < kills:
            self._one_run(self.waiting() // (kills - self.kills))
            if self.kills % SETTLED_EVERY == 0 or self.ends:
                self.settle()
                if not self.waiting():
                    break

    def waiting(self) -> int:
        """Letters that are not sent, failed or in doubt."""
        if not self._knows("letters"):
            return self.letters
        states = dict(self.folder.ask_store("SELECT state, count(*) FROM letters GROUP BY state", self.store))
        return int(states.get("planned", 0) + states.get("queued", 0)) if states else self.letters

    def _knows(self, table: str) -> bool:
        """Say whether a sender lived long enough to make the store."""
        if not (self.folder.root / ".campaign" / f"{self.store}.db").exists():
            return False
        query = f"SELECT 1 FROM sqlite_master WHERE name = '{table}'"
        return bool(self.folder.ask_store(query, self.store))

    @property
    def store(self) -> str:
        """The name of the world's store."""
        return "campaign" if self.folder.settings else "sandbox"

    def _one_run(self, letters: int) -> None:
        """Start a sender and kill it, sooner when there are few ``letters`` left for each kill."""
        self.quiet()
        seen = self._mark()
        pid = self.source.start(
            self.folder,
            "send",
            "--yes",
            *self.words,
            output=self.folder.root.parent / "output",
        )
        killed = False
        started = time.monotonic()
        moments = MOMENTS_S[: max(1, letters - 1)]
        early = self.chance.random() < BEFORE_SENDING[min(letters, 5)]
        moment = started + self.chance.uniform(0, LONGEST_START_S) if early else math.inf
        while not self.source.has_ended(pid):
            now = time.monotonic()
            if self._mark() != seen and (early or moment == math.inf):
                moment = now if early else now + self.chance.choice(moments) * self.chance.random()
            if now >= moment:
                self._kill(pid)
                killed = True
                break
            assert now - started < LONGEST_RUN_S, "a run that nobody killed does not end"
            time.sleep(0.0005)
        code = self.source.wait(pid)
        if killed:
            self.kills += 1
            self.mid_send += self._left_open()
        else:
            self.ends.append(code)

    def _kill(self, pid: int) -> None:
        """Kill the sender."""
        os.kill(pid, signal.SIGKILL)

    def _mark(self) -> int:
        return self.place_of_letters.stat().st_mtime_ns if self.place_of_letters.exists() else 0

    def _left_open(self) -> bool:
        query = "SELECT 1 FROM attempts WHERE ended_at IS NULL LIMIT 1"
        return self._knows("attempts") and bool(self.folder.ask_store(query, self.store))

    def settle(self) -> None:
        """Do what an operator does: look up each letter in doubt at the relay, and say what became of it."""
        self.ends.clear()
        doubts = self.folder.doubts()
        taken = self.taken()
        assert not doubts or max(taken.values()) == 1, "a letter came twice"
        for flag, chosen in (
            ("--sent", [who for who in doubts if taken[who]]),
            ("--resend", [who for who in doubts if not taken[who]]),
        ):
            if chosen:
                settled = self.folder.run("resolve", flag, "--why", "the relay's log", *chosen)
                assert settled.code == 0, settled.said

    def check_the_sums(self) -> list[str]:
        """Hold store and relay against each other; return who is in doubt."""
        doubts = self.folder.doubts()
        taken = self.taken()
        states = self.folder.states()
        assert max(taken.values()) == 1, f"twice: {[who for who, n in taken.items() if n > 1]}"
        assert states == {
            state: number
            for state, number in (("sent", self.letters - len(doubts)), ("in_doubt", len(doubts)))
            if number
        }
        sent = {
            who
            for (who,) in self.folder.ask_store("SELECT email FROM letters WHERE state = 'sent'", self.store)
        }
        assert sent <= set(taken), f"counted as sent, and the relay never had it: {sent - set(taken)}"
        assert set(taken) - sent <= set(doubts), "at the relay, neither sent nor in doubt"
        assert self.folder.ask_store("PRAGMA integrity_check", self.store) == [("ok",)]
        return doubts

    def calm_down(self) -> None:
        """Let a run end, check the sums, settle what is in doubt, send the rest: everybody has one letter."""
        last = self.folder.send()
        doubts = self.check_the_sums()
        assert last.code == (1 if doubts else 0), last.said
        self.settle()
        assert self.folder.send().code == 0
        assert self.check_the_sums() == []
        assert self.taken() == everybody(self.letters)


@pytest.fixture(scope="module")
def source() -> Iterator[Prefork]:
    """Where the senders come from."""
    with prefork() as process:
        yield process


@pytest.fixture
def chance() -> random.Random:
    """The lots; the seed is shown when a test fails."""
    seed = int(os.environ.get("CAMPAIGN_STORM_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CAMPAIGN_STORM_SEED={seed}")
    return random.Random(seed)


def test_fault_17_resolve_lists_what_a_killed_sender_left_before_anybody_sends_again(tmp_path: Path) -> None:
    """Killed behind the dot: the operator's first look already finds the letter in doubt."""
    with smtp_sink(*BEHIND_THE_DOT) as sink:
        folder = make_campaign(tmp_path, 1, connections=1).at(sink.url, DOT_ALONE)
        sender = folder.start("send", "--yes")
        wait_until(lambda: "release them" in _being_taken(sink), "the letter's text at the relay", by=sender)
        assert folder.doubts() == [], "its sender is alive"
        sender.kill()
        sender.wait()
        assert folder.doubts() == list(everybody(1))
        assert folder.states() == {"in_doubt": 1}


def _being_taken(sink: Sink) -> str:
    return "".join(path.read_text("utf-8") for path in sink.folder.iterdir())


def test_fault_17_two_hundred_kills_send_nothing_twice_and_lose_nothing(
    tmp_path: Path, source: Prefork, chance: random.Random
) -> None:
    """1,000 letters to smtp-sink, 200 senders killed: every address once, the doubtful ones listed."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, LETTERS).at(sink.url)
        storm = Storm(folder, source, chance, LETTERS, sink.letters, sink.folder, sink.wait_quiet)
        storm.blow(KILLS)
        print(
            f"{storm.kills} kills, {storm.mid_send} of them with a letter permitted; {storm.waiting()} left"
        )
        assert storm.kills >= KILLS
        assert storm.mid_send >= KILLS // 20, "the storm blew beside the letters"  # a quick machine has few
        storm.calm_down()


@pytest.mark.parametrize("pipelining", ["grouped", "off"])
def test_fault_17_kills_are_survived_whatever_the_manner(
    tmp_path: Path, source: Prefork, chance: random.Random, pipelining: str
) -> None:
    """The same, smaller, with commands grouped and with one command at a time."""
    with smtp_sink() as sink:
        folder = make_campaign(tmp_path, FEW).at(sink.url, f"relay.pipelining={pipelining}")
        storm = Storm(folder, source, chance, FEW, sink.letters, sink.folder, sink.wait_quiet)
        storm.blow(FEW_KILLS)
        storm.calm_down()


def test_fault_17_kills_are_survived_in_the_sandbox(
    tmp_path: Path, source: Prefork, chance: random.Random
) -> None:
    """The same in the sandbox, whose relay dies with the sender."""
    folder = make_campaign(tmp_path, FEW)
    outbox = folder.root / ".campaign" / "outbox"

    def taken() -> Counter[str]:
        return Counter(
            path.read_text("utf-8").split("Delivered-To: ", 1)[1].split("\n", 1)[0]
            for path in (outbox / "new").iterdir()
        )

    storm = Storm(folder, source, chance, FEW, taken, outbox / "tmp")
    storm.blow(FEW_KILLS)
    storm.calm_down()
