"""Any order of events: what the operator, the relay, the list and the machine may do to a store, at random.

The model is the relay's own book: which letters it has taken. Whatever happens, it takes a letter once,
unless a person said in so many words that it may be sent again.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from unittest import TestCase

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from pipeline.delivery.letter import Parcel, State
from pipeline.mail.response import Response
from pipeline.store import history, operator
from tests.clocks import START
from tests.unit.store_support import (
    ACCEPTED,
    GREYLISTED,
    UNKNOWN_USER,
    Bench,
    parcel,
    result,
    rows,
)

NAMES = ("ada", "bob")
IN_RAM = Path("/dev/shm")
NEXT_YEAR = START + timedelta(days=365)
numbers = st.integers(1, len(NAMES))
answers = st.sampled_from([ACCEPTED, ACCEPTED, GREYLISTED, UNKNOWN_USER])
usually = st.sampled_from([True, True, True, False])
events = st.sampled_from(
    [
        "nothing",
        "cancel",
        "remove the row",
        "return the row",
        "release",
        "cancel and resend",
        "resend",
        "settle",
        "pause",
    ]
)


class Store(RuleBasedStateMachine):
    """One campaign of two letters; parcels stay in hand over crashes and decisions, as stale ones do."""

    parcels = Bundle("parcels")

    @initialize()
    def begin(self) -> None:
        """Plan and release everybody."""
        self.folder = Path(tempfile.mkdtemp(dir=IN_RAM if IN_RAM.is_dir() else None))
        self.bench = Bench(self.folder, names=NAMES)
        self.at_relay: set[tuple[int, int]] = (
            set()
        )  # attempts whose final dot was handed over, unanswered yet
        self.taken: dict[int, int] = {}  # how often the relay took a letter
        self.allowed: dict[int, int] = {}  # how often a person allowed one more
        self.message_ids = {line.id: line.message_id for line in self.bench.lines()}

    def teardown(self) -> None:
        """Put the folder away."""
        if hasattr(self, "bench"):
            self.bench.close()
            shutil.rmtree(self.folder)

    # -- a run

    @rule(target=parcels, number=numbers)
    def send(self, number: int) -> object:
        """Read a letter as the feed does, ask the fence, and hand the letter over when it says yes."""
        wanted = [parcel(letter) for letter in self.bench.due(at=NEXT_YEAR) if letter.id == number]
        self.at_relay |= self.bench.write(wanted).granted
        return multiple(*wanted)

    @rule(target=parcels, number=numbers, meanwhile=events, answer=answers, heard=usually)
    def send_and_hear(self, number: int, meanwhile: str, answer: Response, *, heard: bool) -> object:
        """The same, and people decide something before the answer comes - or is lost."""
        wanted = self.send(number)
        self.happen(meanwhile, number)
        self.answer(answer, heard=heard)
        return wanted

    @rule(number=numbers, meanwhile=events, took=st.booleans())
    def send_and_crash(self, number: int, meanwhile: str, *, took: bool) -> None:
        """The host dies with letters at the relay's door; it took them or not. The next run recovers."""
        self.send(number)
        self.happen(meanwhile, number)
        for left, _ in self.at_relay if took else ():
            self.taken[left] = self.taken.get(left, 0) + 1
        self.at_relay.clear()
        self.bench.recover()

    @rule(wanted=parcels, ahead=st.integers(0, 2))
    def send_what_was_read_long_ago(self, wanted: Parcel, ahead: int) -> None:
        """Ask with a stale parcel, under its own number or a later one, twice in one commit."""
        stale = wanted._replace(attempt=wanted.attempt + ahead)
        self.at_relay |= self.bench.write([stale, stale, stale._replace(attempt=stale.attempt + 1)]).granted

    @precondition(lambda self: self.at_relay)
    @rule(answer=answers, heard=usually)
    def answer(self, answer: Response, *, heard: bool) -> None:
        """The relay decides about what is at its door; its answers are heard, or the connection is lost."""
        for number, attempt in sorted(self.at_relay):
            if answer is ACCEPTED:
                self.taken[number] = self.taken.get(number, 0) + 1
            self.bench.record(result(number, answer if heard else None, attempt=attempt))
        self.at_relay.clear()

    # -- people

    @rule(event=events, number=numbers)
    def happen(self, event: str, number: int) -> None:
        """Somebody decides something about a letter; what allows one more copy is noted."""
        match event:
            case "cancel":
                self.bench.cancel(number)
            case "remove the row":
                self.bench.plan(rows(*(name for name in NAMES if name != NAMES[number - 1])))
            case "return the row":
                self.bench.plan(rows(*reversed(NAMES)))
            case "release":
                self.bench.release()
            case "cancel and resend":
                self.bench.cancel(number)
                self.allow(number, self.bench.resend(number) and not self.is_open(number))
            case "resend":
                self.allow(number, self.bench.resend(number) and not self.is_open(number))
            case "settle":
                with self.bench.world.campaign.writing() as connection:
                    self.allow(
                        number,
                        operator.settle_as_unsent(connection, [number], why="", now_us=self.bench.now_us),
                    )
            case "pause":
                self.bench.pause()
                assert not self.bench.write([parcel(letter) for letter in self.bench.due()]).granted
                self.bench.resume()

    def is_open(self, number: int) -> bool:
        """Say whether an attempt at a letter is under way: then a resend allows no copy, for it waits."""
        return any(letter == number for letter, _ in self.at_relay)

    def allow(self, number: int, copies: int) -> None:
        """Note that a person took the responsibility for one more copy."""
        self.allowed[number] = self.allowed.get(number, 0) + copies

    # -- what always holds

    @invariant()
    def no_letter_is_taken_twice(self) -> None:
        """Once, and once more for each time that a person said so."""
        for number, times in self.taken.items():
            assert times <= 1 + self.allowed.get(number, 0)

    @invariant()
    def what_was_taken_is_known_or_in_doubt(self) -> None:
        """A letter the relay has is sent or in doubt, unless a person said otherwise."""
        for line in self.bench.lines():
            if line.id in self.taken and not self.allowed.get(line.id):
                assert line.state in (State.SENT, State.IN_DOUBT), line

    @invariant()
    def the_fence_stands(self) -> None:
        """Attempts are 1, 2, 3, ..., only the last of them may be open, and what is at the relay is."""
        for line in self.bench.lines():
            attempts = self.bench.attempts(line.id)
            assert [attempt.n for attempt in attempts] == list(range(1, line.attempts + 1))
            assert all(attempt.ended_at for attempt in attempts[:-1])
            is_open = {(line.id, attempt.n) for attempt in attempts if attempt.ended_at is None}
            assert is_open == {(number, n) for number, n in self.at_relay if number == line.id}

    @invariant()
    def every_letter_is_somewhere_once(self) -> None:
        """The eight states add up; no letter is added, and none changes its Message-ID."""
        with self.bench.world.campaign.reading() as connection:
            counts = history.counts(connection, now_us=self.bench.now_us)
        assert set(counts.by_state) == set(State)
        assert counts.total == len(NAMES)
        assert {line.id: line.message_id for line in self.bench.lines()} == self.message_ids


Store.TestCase.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore: type[TestCase] = Store.TestCase
