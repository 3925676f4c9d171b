"""The real parts of a send, wired for a test: store, feed, desk, session, over a socket to a relay here.

Only time, chance and the letters' text are the test's own. The connection's clock stands still until the test
moves it; the run's clock lets every wait pass at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from unittest import mock
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from pipeline.clock import Clock, to_us
from pipeline.delivery.connect import Credentials, Opener
from pipeline.delivery.desk import SendingDesk
from pipeline.delivery.dispatch import Run
from pipeline.delivery.letter import Letter, State
from pipeline.delivery.limits import Limits
from pipeline.delivery.parcel import Composed, Packing
from pipeline.delivery.plan import PlannedLetter
from pipeline.delivery.relay import Relay, RelayKind
from pipeline.delivery.retry import DEFAULT_SCHEDULE, Schedule
from pipeline.delivery.rules import Rules
from pipeline.delivery.session import Manner
from pipeline.delivery.supply import Feed, Progress, Stop
from pipeline.delivery.wire import Timeouts
from pipeline.store import history, ledger, operator, planning, queue, shared, world
from pipeline.store.history import AttemptLine, LetterLine
from pipeline.store.journal import Journal
from pipeline.store.stock import StoreStock
from pipeline.store.tables import letters
from tests.clocks import FakeClock, LoadedDice
from tests.postgres import a_place

CAMPAIGN = "mayday"
TURNS = 20_000  # of the event loop that a relay waits for a client, at most
HEARING = 50  # turns in which a client has read what came


@dataclass(frozen=True, slots=True)
class Case:
    """What a test sends, and how."""

    letters: Sequence[str]  # names ("ada": ada@office.example) or addresses
    manner: Manner = Manner.CHAINED
    connections: int = 1
    letters_per_connection: int = 100
    sizes: dict[str, int] = field(default_factory=dict)  # octets of a letter's text, by name
    deferred: dict[str, int] = field(default_factory=dict)  # how often a letter was put off before, by name
    limits: Limits = field(default_factory=lambda: Limits(per_recipient=None))
    schedule: Schedule = DEFAULT_SCHEDULE
    relay: Relay | None = None  # all but the port; None: plaintext on 127.0.0.1
    credentials: Credentials | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    tries: int = 1
    most: int | None = None
    unseen_pause: bool = False  # the feed does not look for the operator's word: only the fence does


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journal holds afterwards."""

    stop: Stop | None
    progress: Progress
    letters: dict[str, LetterLine]
    attempts: dict[str, list[AttemptLine]]
    suppressed: frozenset[str]
    holds: tuple[str, ...]
    advice: tuple[str, ...]
    cancelled: bool = False  # `go` was cancelled, as by a second Ctrl-C

    def states(self) -> dict[str, State]:
        """Return each letter's state."""
        return {name: line.state for name, line in self.letters.items()}


def address(name: str) -> str:
    """Return the address that a letter's name stands for."""
    return name if "@" in name else f"{name}@office.example"


def text_of(name: str, octets: int = 0) -> bytes:
    """Return a small letter to ``name``, with a line that begins with a dot, at least ``octets`` long."""
    lines = [
        f"Message-ID: <{_token(name)}@author.example>",
        f"X-Name: {name}" if name.isascii() else "X-Name: -",
        "",
        "We write to you about the trial of the fourth of May.",
        ".. and this line began with a dot.",
        ".",
        "With respect.",
    ]
    text = "\r\n".join(lines).encode() + b"\r\n"
    filler = b"x" * 70 + b"\r\n"
    return text + filler * max(0, -(-(octets - len(text)) // len(filler)))


def _token(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:20]


class UnseeingStock(StoreStock):
    """A stock that has looked for the operator's word a moment too early, every time."""

    async def word(self) -> str:
        return ""


class Sending:
    """One campaign in a folder, whose letters are queued."""

    def __init__(self, root: Path, case: Case, *, port: int) -> None:
        self.case = case
        self.wire_clock = FakeClock(sleeps_pass=True)
        self.run_clock = FakeClock(sleeps_pass=True, timers_pass=True)
        self.names = {address(name): name for name in case.letters}
        server = a_place(root, clock=self.run_clock)
        kind = world.WorldName.SANDBOX if server is None else world.WorldName.REAL
        self.world = world.open_world(
            root, kind, key=CAMPAIGN, store=server, shared_folder=None,
            clock=self.run_clock, dice=LoadedDice(),
        )  # fmt: skip
        relay = case.relay or Relay(RelayKind.SMTP, "127.0.0.1", ehlo="client.example")
        self.relay = replace(
            relay, port=port or relay.port, letters_per_connection=case.letters_per_connection
        )
        self.holds: list[str] = []
        self.run: Run | None = None
        self.task: asyncio.Task[Stop | None] | None = None
        self.desk: SendingDesk | None = None
        self._plan()

    def _plan(self) -> None:
        now_us = to_us(self.run_clock.now())
        planned = [
            PlannedLetter(
                recipient=email.lower(), message_id=f"<{_token(name)}@author.example>", email=email,
                domain=email.rpartition("@")[2], language="en", timezone="", line=line, row="{}",
            )
            for line, (email, name) in zip(itertools.count(2), self.names.items(), strict=False)
        ]  # fmt: skip
        with self.world.campaign.writing() as connection:
            planning.plan(connection, planned, campaign=CAMPAIGN, now_us=now_us)
            queue.release(connection, now_us=now_us)
            for name, times in self.case.deferred.items():
                change = sa.update(letters).where(letters.c.email == address(name))
                connection.execute(change.values(deferrals=times))

    # -- the run

    async def go(self) -> Outcome:
        """Send what is due, as one run of the program would; return what the journal holds then."""
        async with self._wired() as run:
            self.run = run
            self.task = asyncio.create_task(run.go())
            try:
                await asyncio.wait({self.task})
            finally:
                self.task.cancel()
            cancelled = self.task.cancelled()
            stop = None if cancelled else self.task.result()
            progress = run.progress
        return self._outcome(stop, progress, cancelled=cancelled)

    @asynccontextmanager
    async def _wired(self) -> AsyncIterator[Run]:
        case, clock = self.case, self.run_clock
        number = world.begin_run(
            self.world, command="send", relay=self.relay.name, limits="", clock=self.run_clock
        )
        journal = Journal(self.world.campaign, self.world.common, run=number, clock=clock, keep_bytes=True)
        kind = UnseeingStock if case.unseen_pause else StoreStock
        stock = kind(self.world.campaign, self.world.common, journal, clock=clock)
        progress = Progress()
        rules = Rules(
            relay=self.relay.account, limits=case.limits, recipient_name=lambda key: key,
            zone=ZoneInfo("UTC"), sessions=case.connections, most=case.most,
        )  # fmt: skip
        feed = Feed(stock, rules, clock=clock, progress=progress)
        self.desk = SendingDesk(
            journal, feed, schedule=case.schedule, clock=clock, dice=LoadedDice(), progress=progress,
            hold_relay=self._hold,
        )  # fmt: skip
        opener = Opener(
            self.relay, credentials=case.credentials, clock=self.wire_clock, dice=LoadedDice(),
            timeouts=case.timeouts, tries=case.tries,
        )  # fmt: skip
        packing = Packing(
            compose=self._compose(clock), return_path=lambda letter: "letters@author.example",
            envelope_id=lambda letter: f"{letter.id}",
        )  # fmt: skip
        writer = asyncio.create_task(journal.write_for_ever())
        # A server has a clock of its own; here it has ours.
        told = mock.patch.object(ledger, "store_now_us", side_effect=lambda _server: to_us(clock.now()))
        told.start()
        try:
            yield Run(
                feed=feed, desk=self.desk, opening=opener, packing=packing, progress=progress,
                unsendable=self._take_out, manner=case.manner, connections=case.connections,
            )  # fmt: skip
            assert await journal.flush() == ()
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            journal.close()
            told.stop()

    def _compose(self, clock: Clock) -> Callable[[Letter, bool], Composed]:
        def compose(letter: Letter, eightbit: bool) -> Composed:
            name = self.names[letter.email]
            content = letter.content or text_of(name, self.case.sizes.get(name, 0))
            return Composed(content, clock.now())

        return compose

    def _hold(self, how_long: timedelta, why: str) -> None:
        self.holds.append(f"{how_long}: {why}")

    def _take_out(self, letter: Letter, state: State, why: str) -> None:
        with self.world.campaign.writing() as connection:
            queue.take_out(connection, [letter.id], state, why=why, now_us=to_us(self.run_clock.now()))

    async def fed(self) -> None:
        """Let the client make a letter ready, if there is one: the store answers from a thread, and a script
        says what is chained behind what.
        """
        feed = self.run.feed if self.run is not None else None
        for _ in range(TURNS):
            if feed is None or feed.stop or feed._ready or feed._exhausted or feed._finished or feed._paced:
                return
            await asyncio.sleep(0)

    async def turns(self) -> None:
        """Let the client read what has come."""
        for _ in range(HEARING):
            await asyncio.sleep(0)

    # -- what may happen from outside while it runs

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self.run is not None
        self.run.wind_up("interrupted")

    def interrupt_again(self) -> None:
        """A second Ctrl-C."""
        assert self.task is not None
        self.task.cancel()

    def cancel(self, name: str) -> None:
        """The operator withdraws a letter."""
        with self.world.campaign.writing() as connection:
            found = history.find_letters(connection, address(name).lower(), "")
            operator.cancel(connection, [line.id for line in found], why="", now_us=0)

    def pause(self) -> None:
        """The operator stops all sending."""
        with self.world.campaign.writing() as connection:
            operator.pause(connection, why="wait for the lawyer", now_us=0)

    # -- afterwards

    def close(self) -> None:
        """Let go of the store."""
        self.world.close()

    def _outcome(self, stop: Stop | None, progress: Progress, *, cancelled: bool) -> Outcome:
        with self.world.campaign.reading() as connection:
            lines = history.letters_in(connection, list(State))
            attempts = {line.id: history.attempts_of(connection, line.id) for line in lines}
        with self.world.common.writing() as connection:
            secret = shared.shared_secret(connection)
            keys = [line.email.lower() for line in lines]
            suppressed = shared.suppressed(connection, keys, secret)
        return Outcome(
            stop=stop,
            progress=progress,
            letters={self.names[line.email]: line for line in lines},
            attempts={self.names[line.email]: attempts[line.id] for line in lines},
            suppressed=frozenset(self.names[email] for email in self.names if email.lower() in suppressed),
            holds=tuple(self.holds),
            advice=tuple(self.desk.advice) if self.desk else (),
            cancelled=cancelled,
        )


def account_for(outcome: Outcome, accepted: Sequence[str], *, may_be_lost_with: Sequence[str] = ()) -> None:
    """Assert what must hold after every run, whatever the relay did.

    No letter was accepted twice; what was accepted is sent or in doubt; what is sent was accepted; no attempt
    is open.
    """
    assert len(accepted) == len(set(accepted)), f"accepted twice: {sorted(accepted)}"
    states = outcome.states()
    for name in accepted:
        assert states[name] in {State.SENT, State.IN_DOUBT}, f"{name} was accepted and is {states[name]}"
    for name, state in states.items():
        if state is State.SENT and name not in may_be_lost_with:
            assert name in accepted, f"{name} is sent, and the relay never had it"
        tries = outcome.attempts[name]
        assert [attempt.n for attempt in tries] == list(range(1, len(tries) + 1))
        assert all(attempt.ended_at is not None for attempt in tries), f"{name} has an open attempt"
        assert outcome.letters[name].attempts == len(tries)
