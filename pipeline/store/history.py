"""Counts and stories: what `status` and `show` tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import State
from pipeline.store import joint
from pipeline.store.tables import attempts, contents, events, letters, runs, tallies


@dataclass(frozen=True, slots=True)
class Counts:
    """Letters by state; ``deferred`` of the queued ones are due later."""

    by_state: dict[State, int]
    deferred: int

    @property
    def total(self) -> int:
        """All letters."""
        return sum(self.by_state.values())


def counts(connection: sa.Connection, *, now_us: int) -> Counts:
    """Return how many letters are in each of the eight states; they are kept, not counted."""
    kept = sa.select(tallies.c.state, sa.cast(sa.func.sum(tallies.c.number), sa.BigInteger))
    found: dict[str, int] = dict(connection.execute(kept.group_by(tallies.c.state)).all())
    deferred = connection.scalar(
        sa.select(sa.func.count()).where(letters.c.state == State.QUEUED, letters.c.due_at > now_us)
    )
    return Counts({state: found.get(state, 0) for state in State}, deferred or 0)


def next_due(connection: sa.Connection, *, share: tuple[int, int] = (0, 1)) -> int | None:
    """Return when the next queued letter is due; of a ``share`` only, as `queue.read_due` has it."""
    which, of = share
    query = sa.select(letters.c.due_at).where(letters.c.state == State.QUEUED, letters.c.id % of == which)
    due: int | None = connection.scalar(query.order_by(letters.c.due_at).limit(1))
    return due


def due_by_zone(connection: sa.Connection, *, now_us: int, most: int) -> dict[str, int]:
    """Return how many letters that are due are for recipients in which zone ("": not said); of the next
    ``most`` only."""
    due = sa.select(letters.c.timezone).where(letters.c.state == State.QUEUED, letters.c.due_at <= now_us)
    some = due.order_by(letters.c.due_at).limit(most).subquery()
    query = sa.select(some.c.timezone, sa.func.count()).group_by(some.c.timezone)
    return dict(connection.execute(query).all())


def ended_in(connection: sa.Connection, run: int, state: State) -> int:
    """Return how many letters are in a final state by their attempt in a run."""
    last = sa.and_(attempts.c.letter == letters.c.id, attempts.c.n == letters.c.attempts)
    query = sa.select(sa.func.count()).select_from(attempts.join(letters, last))
    return connection.scalar(query.where(attempts.c.run == run, letters.c.state == state)) or 0


def open_attempts(connection: sa.Connection) -> int:
    """Return how many attempts are under way - or were, when their run died."""
    query = sa.select(sa.func.count()).select_from(attempts).where(attempts.c.ended_at.is_(None))
    return connection.scalar(query) or 0


@dataclass(frozen=True, slots=True)
class LetterLine:
    """A letter in a list."""

    id: int
    round: int  # 0: a first letter
    email: str
    signatory: str  # key; "" where the campaign writes in its own name
    language: str
    line: int
    state: State
    why: str
    message_id: str
    attempts: int
    deferrals: int
    due_at: datetime | None
    planned_at: datetime
    released_at: datetime | None
    ended_at: datetime | None
    last_attempt_at: datetime | None = None


def letters_in(
    connection: sa.Connection, states: Sequence[State], *, most: int | None = None
) -> list[LetterLine]:
    """Return letters in ``states``, by number."""
    query = _with_last_attempt().where(letters.c.state.in_(list(states))).order_by(letters.c.id)
    return [_line(row) for row in connection.execute(query.limit(most))]


def find_letters(connection: sa.Connection, key: str, text: str) -> list[LetterLine]:
    """Return the letters that ``text`` names: a number, a Message-ID, an address (by its ``key``): that of a
    recipient, of a signatory, or of one who signs with others."""
    match = [
        letters.c.recipient == key,
        letters.c.signatory.in_([one for one in (key, text) if one]),
        letters.c.message_id == text,
        letters.c.message_id == f"<{text}>",
    ]
    if text.isascii() and text.isdigit() and len(text) < 19:
        match.append(letters.c.id == int(text))
    if together := joint.signed_by(connection, key):
        match.append(letters.c.id.in_(list(together)))
    query = _with_last_attempt().where(sa.or_(*match)).order_by(letters.c.id)
    return [_line(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt as it is told."""

    n: int
    began_at: datetime
    ended_at: datetime | None
    phase: str | None
    verdict: str | None
    code: int | None
    enhanced: str | None
    text: str | None
    relay: str


def attempts_of(connection: sa.Connection, letter: int) -> list[AttemptLine]:
    """Return every attempt at a letter, in order."""
    query = (
        sa.select(attempts, runs.c.relay)
        .join(runs, runs.c.id == attempts.c.run)
        .where(attempts.c.letter == letter)
        .order_by(attempts.c.n)
    )
    return [
        AttemptLine(
            row.n,
            from_us(row.began_at),
            _moment(row.ended_at),
            row.phase,
            row.verdict,
            row.code,
            row.enhanced,
            row.text,
            row.relay,
        )
        for row in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class EventLine:
    """One decision about a letter, or about the campaign."""

    at: datetime
    what: str
    why: str


def events_of(connection: sa.Connection, letter: int | None) -> list[EventLine]:
    """Return the decisions about a letter (None: about the campaign), in order."""
    query = sa.select(events).where(
        events.c.letter.is_(None) if letter is None else events.c.letter == letter
    )
    return [
        EventLine(from_us(row.at), row.what, row.why)
        for row in connection.execute(query.order_by(events.c.id))
    ]


def content_hash(connection: sa.Connection, letter: int) -> str | None:
    """Return the SHA-256 of what was permitted to go out; None before the first permission."""
    return connection.scalar(sa.select(contents.c.sha256).where(contents.c.letter == letter))


def _with_last_attempt() -> sa.Select[tuple[object, ...]]:
    last = (
        sa.select(sa.func.max(attempts.c.began_at)).where(attempts.c.letter == letters.c.id).scalar_subquery()
    )
    return sa.select(*letters.c, last.label("last_attempt_at"))


def _line(row: sa.Row[tuple[object, ...]]) -> LetterLine:
    record = row._mapping
    return LetterLine(
        id=record["id"],
        round=record["round"],
        email=record["email"],
        signatory=record["signatory"],
        language=record["language"],
        line=record["line"],
        state=State(record["state"]),
        why=record["why"],
        message_id=record["message_id"],
        attempts=record["attempts"],
        deferrals=record["deferrals"],
        due_at=_moment(record["due_at"]),
        planned_at=from_us(record["planned_at"]),
        released_at=_moment(record["released_at"]),
        ended_at=_moment(record["ended_at"]),
        last_attempt_at=_moment(record["last_attempt_at"]),
    )


def _moment(value: int | None) -> datetime | None:
    return from_us(value) if value is not None else None
