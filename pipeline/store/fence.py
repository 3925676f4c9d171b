"""Permissions and results: one transaction for all connections.

An attempt's row is the permission to hand over the final dot. It is inserted only for a letter that is
queued, whose last attempt has ended, under the number that follows, and for the bytes that were frozen; the
primary key does the rest. No row, no final dot. A result closes its attempt and moves its letter once:
writing it again changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from pipeline.clock import to_us
from pipeline.delivery.letter import Parcel, Result, State
from pipeline.store.dialect import Prepared, as_rows, rows_of
from pipeline.store.operator import is_paused
from pipeline.store.tables import attempts, bundles, contents, letters

PACKING_LEVEL = 3  # of zlib: a seventh of the time of each message packed alone, and a tenth of the size

_open_attempt = attempts.alias()


@dataclass(frozen=True, slots=True)
class Written:
    """What one commit granted: letter and attempt numbers.

    ``paused`` when the operator stopped all sending.
    """

    granted: frozenset[tuple[int, int]]
    paused: bool


def write(
    connection: sa.Connection,
    *,
    run: int,
    permits: Sequence[Parcel],
    results: Sequence[Result],
    now_us: int,
    keep_bytes: bool,
) -> Written:
    """Record results, then grant permissions, in the caller's transaction.

    Nothing is granted until it commits.
    """
    if results:
        first = {(result.letter, result.attempt): result for result in reversed(results)}
        _record(
            connection,
            [result for result in results if first[result.letter, result.attempt] is result],
            now_us=now_us,
        )
    paused = is_paused(connection)
    granted: frozenset[tuple[int, int]] = frozenset()
    if permits and not paused:
        granted = _permit(connection, permits, run=run, now_us=now_us, keep_bytes=keep_bytes)
    return Written(granted, paused)


def _permit(
    connection: sa.Connection, parcels: Sequence[Parcel], *, run: int, now_us: int, keep_bytes: bool
) -> frozenset[tuple[int, int]]:
    """Insert the attempts that may be, count them, and freeze what they send."""
    asked = as_rows((parcel.letter.id, parcel.attempt, parcel.sha256) for parcel in parcels)
    granted = frozenset(_PERMIT.run(connection, asked=asked, p_run=run, p_now=now_us))
    if granted:
        _COUNT.run(connection, counted=as_rows(granted))
        allowed = [parcel for parcel in parcels if (parcel.letter.id, parcel.attempt) in granted]
        _freeze(connection, [parcel for parcel in allowed if not parcel.letter.sha256], keep_bytes=keep_bytes)
    return granted


def _freeze(connection: sa.Connection, parcels: Sequence[Parcel], *, keep_bytes: bool) -> None:
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
        rows.append(
            (parcel.letter.id, parcel.sha256, bundle, start, len(parcel.content), to_us(parcel.built_at))
        )
        start += len(parcel.content)
    _FREEZE.run(connection, frozen=as_rows(rows))


def _record(connection: sa.Connection, results: Sequence[Result], *, now_us: int) -> None:
    """Close the attempts; move the letters whose attempt was open until now, and those that were sent."""
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
    closed = set(_CLOSE.run(connection, closed=closes, p_now=now_us))
    moves = [
        result
        for result in results
        if result.state is State.SENT or (result.letter, result.attempt) in closed
    ]
    if moves:
        rows = as_rows(_move(result, now_us=now_us) for result in moves)
        _MOVE.run(connection, moved=rows)


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
_asked = rows_of("asked", {"letter": _whole, "n": _whole, "sha256": _words})
_PERMIT = Prepared(
    sqlite.insert(attempts)
    .from_select(
        ["letter", "n", "run", "began_at"],
        sa.select(_asked.c.letter, _asked.c.n, sa.bindparam("p_run"), sa.bindparam("p_now")).where(
            sa.exists().where(
                letters.c.id == _asked.c.letter,
                letters.c.state == State.QUEUED,
                letters.c.attempts == _asked.c.n - 1,
            ),
            ~sa.exists().where(_open_attempt.c.letter == _asked.c.letter, _open_attempt.c.ended_at.is_(None)),
            ~sa.exists().where(contents.c.letter == _asked.c.letter, contents.c.sha256 != _asked.c.sha256),
        ),
    )
    .on_conflict_do_nothing()
    .returning(attempts.c.letter, attempts.c.n)
)
_counted = rows_of("counted", {"letter": _whole, "n": _whole})
_COUNT = Prepared(sa.update(letters).where(letters.c.id == _counted.c.letter).values(attempts=_counted.c.n))
_BUNDLE = Prepared(sa.insert(bundles).values(packed=sa.bindparam("packed")).returning(bundles.c.id))
_frozen = rows_of(
    "frozen",
    {
        "letter": _whole,
        "sha256": _words,
        "bundle": _whole,
        "start": _whole,
        "size": _whole,
        "built_at": _whole,
    },
)
_FREEZE = Prepared(
    sqlite.insert(contents)
    .from_select(
        list(_frozen.c.keys()), sa.select(_frozen).where(_frozen.c.letter > 0)
    )  # SQLite wants a WHERE
    .on_conflict_do_nothing()
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
    .where(attempts.c.letter == _closed.c.letter, attempts.c.n == _closed.c.n, attempts.c.ended_at.is_(None))
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
            (_moved.c.state == State.QUEUED, letters.c.state == State.QUEUED),
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
