"""Permissions and results: one transaction for all connections.

An attempt's row is the permission to hand over the final dot. It is inserted only for a letter that is
queued, whose last attempt has ended, under the number that follows, and for the bytes that were frozen; the
primary key does the rest. No row, no final dot. A result closes its attempt and moves its letter once:
writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.clock import to_us
from pipeline.delivery.letter import Parcel, Phase, Result, State
from pipeline.store.database import Database
from pipeline.store.dialect import (
    Connected,
    Insert,
    Prepared,
    PreparedRows,
    as_numbers,
    as_rows,
    as_texts,
    insert,
    numbers_of,
    rows_of,
    texts_of,
)
from pipeline.store.operator import IN_DOUBT, PAUSED, is_paused
from pipeline.store.tables import attempts, bundles, contents, letters

PACKING_LEVEL = 3  # of zlib: a seventh of the time of each message packed alone, and a tenth of the size
PIECE = 2_047  # octets: of more at once, hashlib lets the interpreter go, which takes longer to get back
LONG = 16_384  # octets that take long enough to hash to let it go

_open_attempt = attempts.alias()


@dataclass(frozen=True, slots=True)
class Written:
    """What one commit granted: letter and attempt numbers.

    ``paused`` when not all was granted because the operator stopped all sending.
    """

    granted: frozenset[tuple[int, int]]
    paused: bool


class _NotAll(Exception):
    """Not all that was asked for may be granted."""


def commit(
    database: Database,
    *,
    run: int,
    permits: Sequence[Parcel],
    results: Sequence[Result],
    now_us: int,
    keep_bytes: bool,
) -> Written:
    """Record results, then grant permissions, in one transaction.

    With a file all is granted as a rule, and nothing has to be told row by row. Where that is not so, nothing
    is written, and it is done once more in full.
    """
    permission = _Permission(run, now_us, keep_bytes)
    try:
        with database.running() as connection:
            return _write(connection, permission, permits, results, exactly=database.is_server)
    except _NotAll:
        with database.running() as connection:
            return _write(connection, permission, permits, results, exactly=True)


def write(
    connection: Connected,
    *,
    run: int,
    permits: Sequence[Parcel],
    results: Sequence[Result],
    now_us: int,
    keep_bytes: bool,
) -> Written:
    """Do the same in the caller's transaction. Nothing is granted until it commits."""
    return _write(connection, _Permission(run, now_us, keep_bytes), permits, results, exactly=True)


class _Permission(NamedTuple):
    """What the permissions and results of one commit have in common."""

    run: int
    now_us: int
    keep_bytes: bool


def _write(
    connection: Connected,
    common: _Permission,
    permits: Sequence[Parcel],
    results: Sequence[Result],
    *,
    exactly: bool,
) -> Written:
    if results:
        first = {(result.letter, result.attempt): result for result in reversed(results)}
        _record(connection, first.values(), run=common.run, now_us=common.now_us)
    if not permits:
        return Written(frozenset(), paused=False)
    granted = _granted(connection, common, permits) if exactly else _all(connection, common, permits)
    if granted:
        _COUNT.run(connection, counted=as_numbers(letter for letter, _ in granted))
        new = [parcel for parcel in permits if not parcel.letter.sha256 and _attempt(parcel) in granted]
        _freeze(connection, new, keep_bytes=common.keep_bytes)
    return Written(granted, paused=len(granted) < len(permits) and is_paused(connection))


def _attempt(parcel: Parcel) -> tuple[int, int]:
    return parcel.letter.id, parcel.attempt


def _granted(
    connection: Connected, common: _Permission, parcels: Sequence[Parcel]
) -> frozenset[tuple[int, int]]:
    """Insert the attempts that may be, and return them."""
    granted: set[tuple[int, int]] = set()
    for insert_, asked, _ in _asked_of(parcels):
        granted |= set(insert_.telling.run(connection, asked=asked, p_run=common.run, p_now=common.now_us))
    return frozenset(granted)


def _all(connection: Connected, common: _Permission, parcels: Sequence[Parcel]) -> frozenset[tuple[int, int]]:
    """Insert all of the attempts. Raises _NotAll where one may not be.

    SQLite's interface lets the interpreter go for each row that it returns: here it returns none.
    """
    all_of_them = frozenset(map(_attempt, parcels))
    if len(all_of_them) < len(parcels):
        raise _NotAll
    for insert_, asked, number in _asked_of(parcels):
        inserted = insert_.counting.change(connection, asked=asked, p_run=common.run, p_now=common.now_us)
        if inserted != number:
            raise _NotAll
    return all_of_them


def _asked_of(parcels: Sequence[Parcel]) -> Iterator[tuple[_Insert, str, int]]:
    """Yield the statements that insert attempts, what each is given, and for how many letters."""
    firsts = [parcel.letter.id for parcel in parcels if parcel.attempt == 1]
    if firsts:
        yield _FIRST, as_numbers(firsts), len(firsts)
    if len(firsts) < len(parcels):
        others = [parcel for parcel in parcels if parcel.attempt != 1]
        rows = [(parcel.letter.id, parcel.attempt, parcel.sha256) for parcel in others]
        yield _LATER, as_rows(rows), len(others)


def _freeze(connection: Connected, parcels: Sequence[Parcel], *, keep_bytes: bool) -> None:
    """Keep what goes out for the first time."""
    if not parcels:
        return
    bundle = None
    if keep_bytes:
        packed = zlib.compress(b"".join(parcel.content for parcel in parcels), PACKING_LEVEL)
        ((bundle,),) = _BUNDLE.run(connection, packed=packed)
    start = 0
    rows = []
    for parcel in parcels:
        content = parcel.content
        rows.append(
            (parcel.letter.id, parcel.sha256 or _digest(content), start, len(content), to_us(parcel.built_at))
        )
        start += len(content)
    _FREEZE.run(connection, rows, p_bundle=bundle)


def _digest(content: bytes) -> str:
    if len(content) > LONG:
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    for start in range(0, len(content), PIECE):
        digest.update(content[start : start + PIECE])
    return digest.hexdigest()


def _record(connection: Connected, results: Collection[Result], *, run: int, now_us: int) -> None:
    """Close the attempts; move the letters whose attempt was open until now, and those that were sent."""
    accepted: dict[tuple[int, Phase, str, int, str], dict[int, str]] = {}
    others: list[Result] = []
    for result in results:
        answer = result.response
        if result.state is State.SENT and answer is not None and not result.note:
            alike = (result.attempt, result.phase, result.verdict, answer.code, answer.enhanced)
            accepted.setdefault(alike, {})[result.letter] = answer.text
        else:
            others.append(result)
    for alike, texts in accepted.items():
        _accept(connection, *alike, texts=texts, now_us=now_us)
    if others:
        _record_one_by_one(connection, others, run=run, now_us=now_us)


def _accept(
    connection: Connected,
    attempt: int,
    phase: Phase,
    verdict: str,
    code: int,
    enhanced: str,
    *,
    texts: Mapping[int, str],
    now_us: int,
) -> None:
    """Record what most letters get: the same answer, but for its text."""
    rows = as_texts(texts)
    answer = {"p_phase": str(phase), "p_verdict": verdict, "p_code": code, "p_enhanced": enhanced}
    _CLOSE_ACCEPTED.run(connection, answered=rows, p_n=attempt, p_now=now_us, **answer)
    said = " ".join(part for part in (str(code), enhanced) if part)
    _MOVE_ACCEPTED.run(connection, answered=rows, p_n=attempt, p_now=now_us, p_said=said)


def _record_one_by_one(connection: Connected, results: Sequence[Result], *, run: int, now_us: int) -> None:
    closes = as_rows(
        (
            result.letter,
            result.attempt,
            result.phase,
            result.verdict,
            result.response.code if result.response else None,
            result.response.enhanced if result.response else None,
            result.response.text if result.response else result.note,
        )
        for result in results
    )
    closed = set(_CLOSE.run(connection, closed=closes, p_run=run, p_now=now_us))
    moves = [
        result
        for result in results
        if result.state is State.SENT or (result.letter, result.attempt) in closed
    ]
    if moves:
        _MOVE.run(connection, moved=as_rows(_move(result, now_us=now_us) for result in moves))


def _move(result: Result, *, now_us: int) -> tuple[object, ...]:
    waits = result.state is State.QUEUED
    return (
        result.letter,
        result.attempt,
        result.state,
        result.note or str(result.response or result.verdict),
        to_us(result.due_at) if waits and result.due_at else (now_us if waits else None),
        int(result.deferred),
        None if waits or result.state is State.IN_DOUBT else now_us,
    )


_whole, _words = sa.BigInteger(), sa.Text()


class _Insert(NamedTuple):
    """A statement that inserts attempts: one that tells which they are, and one that does not."""

    telling: Prepared
    counting: Prepared


def _insert_attempts(
    asked: sa.Subquery, letter: sa.ColumnElement[int], n: sa.ColumnElement[int], *also: sa.ColumnElement[bool]
) -> _Insert:
    """Return the statement that grants what may be granted of ``asked``."""
    queued = sa.and_(letters.c.id == letter, letters.c.state == State.QUEUED, letters.c.attempts == n - 1)
    ended = ~sa.exists().where(_open_attempt.c.letter == letter, _open_attempt.c.ended_at.is_(None))
    granted = sa.select(letter, n, sa.bindparam("p_run", type_=_whole), sa.bindparam("p_now", type_=_whole))
    granted = granted.select_from(asked).where(ended, ~PAUSED, *also)
    new = _inserted(granted.where(sa.exists().where(queued)))
    # At a server: whoever decides something about the letter at this moment comes before or after.
    beside_others = _inserted(granted.join(letters, queued).with_for_update(of=letters, key_share=True))
    keys = attempts.c.letter, attempts.c.n
    return _Insert(Prepared(new.returning(*keys), at_server=beside_others.returning(*keys)), Prepared(new))


def _inserted(granted: sa.SelectBase) -> Insert:
    return insert(attempts).from_select(["letter", "n", "run", "began_at"], granted).on_conflict_do_nothing()


_first = numbers_of("asked")
_FIRST = _insert_attempts(_first, _first.c.number, sa.literal(1))
_asked = rows_of("asked", {"letter": _whole, "n": _whole, "sha256": _words})
_LATER = _insert_attempts(
    _asked,
    _asked.c.letter,
    _asked.c.n,
    ~sa.exists().where(contents.c.letter == _asked.c.letter, contents.c.sha256 != _asked.c.sha256),
)
_counted = numbers_of("counted")
_COUNT = Prepared(
    sa.update(letters)
    .where(letters.c.id.in_(sa.select(_counted.c.number)))
    .values(attempts=letters.c.attempts + 1)
)
_BUNDLE = Prepared(sa.insert(bundles).values(packed=sa.bindparam("packed")).returning(bundles.c.id))
_KEPT: dict[str, sa.types.TypeEngine[Any]] = {
    "letter": _whole,
    "sha256": _words,
    "start": _whole,
    "size": _whole,
    "built_at": _whole,
}
_bundle = sa.bindparam("p_bundle", type_=_whole)
_FREEZE = PreparedRows(
    list(_KEPT),
    insert(contents)
    .values({name: sa.bindparam(name) for name in _KEPT} | {"bundle": _bundle})
    .on_conflict_do_nothing(),
    at_server=insert(contents)
    .from_select([*_KEPT, "bundle"], sa.select(*rows_of("rows", _KEPT).c, _bundle))
    .on_conflict_do_nothing(),
)
# Nobody has heard an answer: it is open, or its owner was taken for dead (`queue.recover`) and was not.
_unanswered = sa.or_(
    attempts.c.ended_at.is_(None), sa.and_(attempts.c.verdict == IN_DOUBT, attempts.c.phase.is_(None))
)
_closed = rows_of(
    "closed",
    {
        "letter": _whole,
        "n": _whole,
        "phase": _words,
        "verdict": _words,
        "code": _whole,
        "enhanced": _words,
        "text": _words,
    },
)
_CLOSE = Prepared(
    sa.update(attempts)
    .where(attempts.c.letter == _closed.c.letter, attempts.c.n == _closed.c.n, _unanswered)
    .where(attempts.c.run == sa.bindparam("p_run", type_=_whole))  # nobody else's, whatever we know of it
    .values(
        ended_at=sa.bindparam("p_now"),
        **{name: _closed.c[name] for name in ("phase", "verdict", "code", "enhanced", "text")},
    )
    .returning(attempts.c.letter, attempts.c.n)
)
_moved = rows_of(
    "moved",
    {
        "letter": _whole,
        "n": _whole,
        "state": _words,
        "why": _words,
        "due_at": _whole,
        "deferred": _whole,
        "ended_at": _whole,
    },
)
# What the relay said is a fact, whatever the operator decided meanwhile; a letter to try again he may have
# withdrawn.
_MOVE = Prepared(
    sa.update(letters)
    .where(letters.c.id == _moved.c.letter, letters.c.attempts == _moved.c.n)
    .where(
        sa.case(
            (
                _moved.c.state == State.QUEUED,
                sa.or_(letters.c.state == State.QUEUED, letters.c.state == State.IN_DOUBT),
            ),
            else_=letters.c.state != State.SENT,
        )
    )
    .values(
        state=_moved.c.state,
        why=_moved.c.why,
        due_at=_moved.c.due_at,
        deferrals=letters.c.deferrals + _moved.c.deferred,
        ended_at=_moved.c.ended_at,
    )
)
_answered = texts_of("answered")
_CLOSE_ACCEPTED = Prepared(
    sa.update(attempts)
    .where(attempts.c.letter == _answered.c.number, attempts.c.n == sa.bindparam("p_n"))
    .where(_unanswered)
    .values(
        ended_at=sa.bindparam("p_now"),
        text=_answered.c.text,
        **{name: sa.bindparam(f"p_{name}") for name in ("phase", "verdict", "code", "enhanced")},
    )
)
_MOVE_ACCEPTED = Prepared(
    sa.update(letters)
    .where(letters.c.id == _answered.c.number, letters.c.attempts == sa.bindparam("p_n"))
    .where(letters.c.state != State.SENT)
    .values(
        state=str(State.SENT),
        why=sa.func.trim(sa.bindparam("p_said", type_=_words) + " " + _answered.c.text),
        due_at=sa.null(),
        ended_at=sa.bindparam("p_now"),
    )
)
