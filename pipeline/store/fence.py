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
from pipeline.store.operator import is_paused
from pipeline.store.tables import attempts, contents, letters

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
    for result in results:
        _record(connection, result, now_us=now_us)
    paused = is_paused(connection)
    granted = set()
    if not paused:
        for parcel in permits:
            if _permit(connection, parcel, run=run, now_us=now_us, keep_bytes=keep_bytes):
                granted.add((parcel.letter.id, parcel.attempt))
    return Written(frozenset(granted), paused)


def _permit(connection: sa.Connection, parcel: Parcel, *, run: int, now_us: int, keep_bytes: bool) -> bool:
    letter, n = parcel.letter.id, parcel.attempt
    done = connection.execute(
        _PERMIT,
        {
            "p_letter": letter,
            "p_before": n - 1,
            "p_n": n,
            "p_run": run,
            "p_now": now_us,
            "p_sha256": parcel.sha256,
        },
    )
    if done.rowcount != 1:
        return False
    connection.execute(_COUNT, {"p_letter": letter, "p_n": n})
    connection.execute(
        _FREEZE,
        {
            "letter": letter,
            "sha256": parcel.sha256,
            "message": zlib.compress(parcel.content, 6) if keep_bytes else None,
            "built_at": to_us(parcel.built_at),
        },
    )
    return True


def _record(connection: sa.Connection, result: Result, *, now_us: int) -> None:
    answer = result.response
    closed = connection.execute(
        _CLOSE,
        {
            "p_letter": result.letter,
            "p_n": result.attempt,
            "p_now": now_us,
            "p_phase": result.phase,
            "p_verdict": result.verdict,
            "p_code": answer.code if answer else None,
            "p_enhanced": answer.enhanced if answer else None,
            "p_text": answer.text if answer else result.note,
        },
    )
    if not closed.rowcount and result.state is not State.SENT:
        return
    waits = result.state is State.QUEUED
    connection.execute(
        _MOVE_BACK if waits else _MOVE_ON,
        {
            "p_letter": result.letter,
            "p_n": result.attempt,
            "p_state": result.state,
            "p_why": result.note or (str(answer) if answer else result.verdict),
            "p_due": to_us(result.due_at) if waits and result.due_at else (now_us if waits else None),
            "p_deferred": int(result.deferred),
            "p_ended": None if result.state in (State.QUEUED, State.IN_DOUBT) else now_us,
        },
    )


_PERMIT = sa.insert(attempts).from_select(
    ["letter", "n", "run", "began_at"],
    sa.select(letters.c.id, sa.bindparam("p_n"), sa.bindparam("p_run"), sa.bindparam("p_now")).where(
        letters.c.id == sa.bindparam("p_letter"),
        letters.c.state == State.QUEUED,
        letters.c.attempts == sa.bindparam("p_before"),
        ~sa.exists().where(_open_attempt.c.letter == letters.c.id, _open_attempt.c.ended_at.is_(None)),
        ~sa.exists().where(contents.c.letter == letters.c.id, contents.c.sha256 != sa.bindparam("p_sha256")),
    ),
)
_COUNT = (
    sa.update(letters).where(letters.c.id == sa.bindparam("p_letter")).values(attempts=sa.bindparam("p_n"))
)
_FREEZE = sqlite.insert(contents).on_conflict_do_nothing(index_elements=["letter"])
_CLOSE = (
    sa.update(attempts)
    .where(attempts.c.letter == sa.bindparam("p_letter"), attempts.c.n == sa.bindparam("p_n"))
    .where(attempts.c.ended_at.is_(None))
    .values(
        ended_at=sa.bindparam("p_now"),
        phase=sa.bindparam("p_phase"),
        verdict=sa.bindparam("p_verdict"),
        code=sa.bindparam("p_code"),
        enhanced=sa.bindparam("p_enhanced"),
        text=sa.bindparam("p_text"),
    )
)
_moved = (
    sa.update(letters)
    .where(letters.c.id == sa.bindparam("p_letter"), letters.c.attempts == sa.bindparam("p_n"))
    .values(
        state=sa.bindparam("p_state"),
        why=sa.bindparam("p_why"),
        due_at=sa.bindparam("p_due"),
        deferrals=letters.c.deferrals + sa.bindparam("p_deferred"),
        ended_at=sa.bindparam("p_ended"),
    )
)
# What the relay said is a fact, whatever a person decided meanwhile; one to be tried again may be withdrawn.
_MOVE_ON = _moved.where(letters.c.state != State.SENT)
_MOVE_BACK = _moved.where(letters.c.state == State.QUEUED)
