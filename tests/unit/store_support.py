"""A store for tests: a world in a folder, moved by a clock that stands still, and short words for letters.

`Bench` does what a run does, one step at a time, each in its own transaction.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from pipeline.clock import Clock, Dice, to_us
from pipeline.delivery.letter import Letter, Parcel, Phase, Result, State
from pipeline.delivery.plan import PlannedLetter, plan_letters
from pipeline.mail.response import Response, response
from pipeline.recipients.pairing import Pair
from pipeline.recipients.rows import read_recipients
from pipeline.store import fence, history, operator, planning, queue, tables
from pipeline.store.database import Database
from pipeline.store.world import World, WorldName, begin_run, bury_earlier_runs, open_world
from tests.clocks import START, FakeClock, LoadedDice
from tests.postgres import a_place

KEY = "mayday"
ACCEPTED = response(250, "2.0.0 Ok: queued as 4F2A")
GREYLISTED = response(450, "4.7.1 try again later")
UNKNOWN_USER = response(550, "5.1.1 user unknown")
CONTENT = b"Subject: Free the eleven\r\n\r\nWe write to you about the trial.\r\n"
_STATE_AFTER = {2: State.SENT, 4: State.QUEUED, 5: State.FAILED}


def a_world(
    root: Path,
    name: WorldName = WorldName.REAL,
    *,
    key: str = KEY,
    shared: Path | None = None,
    clock: Clock | None = None,
    dice: Dice | None = None,
) -> World:
    """Open the world of a campaign in ``root``; what campaigns share lies there too, if not elsewhere.

    In tests marked with `tests.postgres.BOTH` it lies at a server in turn, in a database of its own.
    """
    clock = clock or FakeClock()
    return open_world(
        root,
        name,
        key=key,
        store=a_place(shared or root, clock=clock),
        shared_folder=shared or root / "shared",
        clock=clock,
        dice=dice or LoadedDice(),
    )


def planned_from(
    text: str, *, secret: bytes, campaign: str = KEY, languages: Sequence[str] = ("en", "ru")
) -> list[PlannedLetter]:
    """Return the letters for a recipients.csv; it must hold no fault."""
    intake = read_recipients(text.encode(), file="recipients.csv", languages=languages)
    assert not intake.problems, intake.problems
    return list(
        plan_letters(
            map(Pair, intake.recipients), campaign=campaign, author_domain="committee.example", secret=secret
        )
    )


def parcel(letter: Letter, *, content: bytes = CONTENT, attempt: int = 0) -> Parcel:
    """Return the next attempt at ``letter`` (or the one that is asked for)."""
    return Parcel(
        letter=letter,
        attempt=attempt or letter.attempts + 1,
        mail=b"MAIL FROM:<letters@committee.example>",
        rcpt=b"RCPT TO:<%s>" % letter.email.encode(),
        wire=content,
        content=content,
        sha256=f"sha256 of {content!r}",
        built_at=START,
    )


def result(letter: int, answer: Response | None, *, attempt: int = 1, phase: Phase = Phase.DOT) -> Result:
    """Return what an answer (None: silence after the dot) leads to, as the desk would say it."""
    state = _STATE_AFTER[answer.code // 100] if answer else State.IN_DOUBT
    return Result(
        letter=letter,
        attempt=attempt,
        phase=phase,
        verdict=str(state),
        state=state,
        response=answer,
        due_at=START + timedelta(minutes=30) if state is State.QUEUED else None,
        deferred=state is State.QUEUED,
        note="" if answer else "the connection was lost",
    )


class Kept(NamedTuple):
    """What was frozen of a letter."""

    sha256: str
    message: bytes | None  # zlib
    built_at: int  # microseconds


class Bench:
    """One campaign's store, and the steps of a run."""

    def __init__(self, root: Path, *, names: Iterable[str] = (), keep_bytes: bool = True) -> None:
        self.clock = FakeClock()
        self.dice = LoadedDice()
        self.world = a_world(root, clock=self.clock, dice=self.dice)
        self.keep_bytes = keep_bytes
        self.run = begin_run(self.world, command="send", relay="smtps://relay", limits="", clock=self.clock)
        if listed := list(names):
            self.plan(rows(*listed))
            self.release()

    @classmethod
    def over(cls, world: World) -> Bench:
        """Take the steps of a run over a world that is open already."""
        bench = cls.__new__(cls)
        bench.clock, bench.dice, bench.world, bench.keep_bytes = FakeClock(), LoadedDice(), world, True
        bench.run = begin_run(world, command="send", relay="smtps://relay", limits="", clock=bench.clock)
        return bench

    @property
    def now_us(self) -> int:
        """The time, as the store writes it."""
        return to_us(self.clock.now())

    def plan(self, text: str) -> planning.Planning:
        """Bring the letters in line with a recipients.csv."""
        with self.world.campaign.writing() as connection:
            planned = planned_from(text, secret=self.world.secret)
            return planning.plan(connection, planned, campaign=KEY, now_us=self.now_us)

    def release(self) -> int:
        """Queue what is planned."""
        with self.world.campaign.writing() as connection:
            return queue.release(connection, now_us=self.now_us)

    def due(self, *, at: datetime | None = None) -> list[Letter]:
        """Return the letters that are due now (or at ``at``)."""
        with self.world.campaign.reading() as connection:
            now_us = to_us(at) if at else self.now_us
            read = queue.read_due(connection, now_us=now_us, behind=queue.Place(), most=1_000)
        return [letter for _, letter in read]

    def letter(self, number: int = 1) -> Letter:
        """Return a queued letter as a run would read it, whenever it is due."""
        return next(letter for letter in self.due(at=START + timedelta(days=365)) if letter.id == number)

    def write(self, permits: Sequence[Parcel] = (), results: Sequence[Result] = ()) -> fence.Written:
        """Commit permissions and results, as the journal does."""
        writing = fence.Writing(self.run, permits, results, self.now_us, self.keep_bytes)
        return fence.commit(self.world.campaign, writing)

    def permit(self, wanted: Parcel) -> bool:
        """Ask for one permission."""
        return bool(self.write([wanted]).granted)

    def record(self, *results: Result) -> None:
        """Write results down."""
        self.write(results=results)

    def recover(self) -> int:
        """Do what the next run does first after this one has died."""
        with self.world.campaign.writing() as connection:
            bury_earlier_runs(connection, self.world, now_us=self.now_us)
            return queue.recover(connection, now_us=self.now_us)

    def cancel(self, *ids: int, why: str = "") -> int:
        """Withdraw letters, as the operator does."""
        with self.world.campaign.writing() as connection:
            return operator.cancel(connection, ids, why=why, now_us=self.now_us)

    def resend(self, *ids: int, why: str = "") -> int:
        """Queue letters again, as the operator does."""
        with self.world.campaign.writing() as connection:
            return operator.resend(connection, ids, why=why, now_us=self.now_us)

    def pause(self) -> None:
        """Stop all sending."""
        with self.world.campaign.writing() as connection:
            operator.pause(connection, why="a hearing today", now_us=self.now_us)

    def resume(self) -> bool:
        """Allow it again."""
        with self.world.campaign.writing() as connection:
            return operator.resume(connection, now_us=self.now_us)

    def lines(self) -> list[history.LetterLine]:
        """Return all letters, by number."""
        with self.world.campaign.reading() as connection:
            return history.letters_in(connection, list(State))

    def line(self, number: int = 1) -> history.LetterLine:
        """Return one letter as `show` tells it."""
        return next(line for line in self.lines() if line.id == number)

    def states(self) -> dict[str, State]:
        """Return the state of every letter, by the local part of its address."""
        return {line.email.partition("@")[0]: line.state for line in self.lines()}

    def state(self, number: int = 1) -> State:
        """Return one letter's state."""
        return self.line(number).state

    def attempts(self, number: int = 1) -> list[history.AttemptLine]:
        """Return the attempts at a letter."""
        with self.world.campaign.reading() as connection:
            return history.attempts_of(connection, number)

    def content(self, number: int = 1) -> Kept | None:
        """Return what was frozen of a letter."""
        kept = tables.contents.c
        with self.world.campaign.reading() as connection:
            query = (
                sa.select(kept.sha256, kept.start, kept.size, tables.bundles.c.packed, kept.built_at)
                .outerjoin(tables.bundles, tables.bundles.c.id == kept.bundle)
                .where(kept.letter == number)
            )
            row = connection.execute(query).first()
        if row is None:
            return None
        bundle = zlib.decompress(row.packed) if row.packed is not None else None
        message = bundle[row.start : row.start + row.size] if bundle is not None else None
        return Kept(row.sha256, message, row.built_at)

    def close(self) -> None:
        """Let go of the files."""
        self.world.close()


def watch(database: Database, statement: Callable[[str], None]) -> None:
    """Call ``statement`` with each that a file is given, BEGIN and COMMIT included, before it is run."""

    def traced(connection: sqlite3.Connection, *_arguments: object) -> None:
        connection.set_trace_callback(statement)

    sa.event.listen(database._engine, "checkout", traced)
    assert database._straight is not None
    with database._straight.transaction("BEGIN") as straight:
        pass
    traced(straight)


def is_commit(statement: str) -> bool:
    """Say whether a statement ends a transaction that writes, or is one of its own."""
    return statement == "COMMIT" or statement.startswith("INSERT INTO usual_commit")


def each_commit(note: Callable[[], object]) -> Callable[[str], None]:
    """Return what calls ``note`` once for each commit that `watch` tells of.

    Of one that is a single statement it tells once for every step.
    """
    last = ""

    def told(statement: str) -> None:
        nonlocal last
        if is_commit(statement) and (statement == "COMMIT" or statement != last):
            note()
        last = statement

    return told


def rows(*names: str, domain: str = "office.example") -> str:
    """Return a recipients.csv with a row for each name."""
    return "email\n" + "".join(f"{name}@{domain}\n" for name in names)


def at_attempt(letter: Letter, attempts: int) -> Letter:
    """Return the letter as it is read after so many permissions."""
    return letter._replace(attempts=attempts)
