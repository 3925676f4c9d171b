"""The queue: release what was confirmed, read what is due, take out what may no longer go.

There is no cursor that survives a run: what is due is computed from the rows each time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import Letter, State
from pipeline.store.operator import IN_DOUBT
from pipeline.store.tables import attempts, bundles, contents, events, letters

HOST_GONE = "the program ended between permission and answer"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue, behind which reading goes on: order is by due time, then number."""

    due_us: int = -1
    letter: int = 0


def recover(connection: sa.Connection, *, now_us: int) -> int:
    """Put letters whose permitted attempt nobody will finish in doubt; return how many attempts that were.

    Call it while the campaign's lock is held and before the first permission: then every open attempt has a
    dead owner. Whatever was decided about such a letter meanwhile (cancelled, its row removed and brought
    back), it may have been accepted, so it is in doubt.
    """
    is_open = attempts.c.ended_at.is_(None)
    left = connection.execute(sa.select(attempts.c.letter, attempts.c.n).where(is_open)).all()
    for letter, n in left:
        connection.execute(
            sa.update(attempts)
            .where(attempts.c.letter == letter, attempts.c.n == n)
            .values(ended_at=now_us, verdict=IN_DOUBT, text=HOST_GONE)
        )
        connection.execute(
            sa.update(letters)
            .where(letters.c.id == letter, letters.c.state != State.SENT)
            .values(state=State.IN_DOUBT, why=HOST_GONE, due_at=None, ended_at=None)
        )
    return len(left)


def release(
    connection: sa.Connection, *, now_us: int, most: int | None = None, only: Collection[str] | None = None
) -> int:
    """Queue planned letters, all or the first ``most``, all recipients or the keys in ``only``.

    Return how many.
    """
    chosen = sa.select(letters.c.id).where(letters.c.state == State.PLANNED)
    if only is not None:
        chosen = chosen.where(letters.c.recipient.in_(list(only)))
    chosen = chosen.order_by(letters.c.line, letters.c.id)
    if most is not None:
        chosen = chosen.limit(max(most, 0))
    done = connection.execute(
        sa.update(letters)
        .where(letters.c.id.in_(chosen.scalar_subquery()))
        .values(state=State.QUEUED, released_at=now_us, due_at=now_us)
    )
    return done.rowcount


def make_due(connection: sa.Connection, *, now_us: int) -> int:
    """Make deferred letters due now (`send --now`); return how many. Letters in doubt are not touched."""
    later = sa.update(letters).where(letters.c.state == State.QUEUED, letters.c.due_at > now_us)
    return connection.execute(later.values(due_at=now_us)).rowcount


def read_due(
    connection: sa.Connection,
    *,
    now_us: int,
    behind: Place,
    most: int,
    only: Collection[str] | None = None,
) -> list[tuple[Place, Letter]]:
    """Return up to ``most`` letters that are due, behind a place in the queue, in order."""
    query = (
        sa.select(
            letters,
            contents.c.sha256,
            contents.c.built_at,
            contents.c.start,
            contents.c.size,
            bundles.c.packed,
        )
        .outerjoin(contents, contents.c.letter == letters.c.id)
        .outerjoin(bundles, bundles.c.id == contents.c.bundle)
        .where(letters.c.state == State.QUEUED)
        .order_by(letters.c.due_at, letters.c.id)
    )
    if only is not None:
        query = query.where(letters.c.recipient.in_(list(only)))
    # Two questions and not one: for each of them the index leads straight to the place, without a search.
    found: list[tuple[Place, Letter]] = []
    for further in (
        sa.and_(letters.c.due_at == behind.due_us, letters.c.id > behind.letter),
        sa.and_(letters.c.due_at > behind.due_us, letters.c.due_at <= now_us),
    ):
        rows = connection.execute(query.where(further).limit(most - len(found)))
        found += [(Place(row.due_at, row.id), _letter(row)) for row in rows]
    return found


def _letter(row: sa.Row[tuple[object, ...]]) -> Letter:
    record = row._mapping
    return Letter(
        id=record["id"],
        message_id=record["message_id"],
        recipient_key=record["recipient"],
        email=record["email"],
        domain=record["domain"],
        language=record["language"],
        timezone=record["timezone"],
        attempts=record["attempts"],
        deferrals=record["deferrals"],
        line=record["line"],
        values=json.loads(record["row"]),
        content=_content(record) if record["packed"] is not None else None,
        sha256=record["sha256"] or "",
        built_at=from_us(record["built_at"]) if record["built_at"] is not None else None,
    )


def _content(record: sa.RowMapping) -> bytes:
    """Take a message out of its bundle."""
    start = int(record["start"])
    return zlib.decompress(record["packed"])[start : start + int(record["size"])]


def take_out(connection: sa.Connection, ids: Iterable[int], state: State, *, why: str, now_us: int) -> int:
    """Move waiting letters to a final state (suppressed, expired, cancelled); return how many it was."""
    moved = 0
    for letter in ids:
        waiting = sa.and_(letters.c.id == letter, letters.c.state.in_((State.PLANNED, State.QUEUED)))
        change = sa.update(letters).where(waiting).values(state=state, why=why, due_at=None, ended_at=now_us)
        if connection.execute(change).rowcount:
            moved += 1
            connection.execute(sa.insert(events).values(at=now_us, letter=letter, what=str(state), why=why))
    return moved


def count_waiting(connection: sa.Connection, *, only: Collection[str] | None = None) -> tuple[int, int]:
    """Return how many letters are planned and how many queued."""
    query = sa.select(letters.c.state, sa.func.count()).where(
        letters.c.state.in_((State.PLANNED, State.QUEUED))
    )
    if only is not None:
        query = query.where(letters.c.recipient.in_(list(only)))
    counts: dict[str, int] = dict(connection.execute(query.group_by(letters.c.state)).all())
    return counts.get(State.PLANNED, 0), counts.get(State.QUEUED, 0)


def count_due(connection: sa.Connection, *, now_us: int, only: Collection[str] | None = None) -> int:
    """Return how many queued letters are due."""
    query = sa.select(sa.func.count()).where(letters.c.state == State.QUEUED, letters.c.due_at <= now_us)
    if only is not None:
        query = query.where(letters.c.recipient.in_(list(only)))
    return connection.scalar(query) or 0


def recipients_in(connection: sa.Connection, state: State) -> dict[int, str]:
    """Return the recipient keys of the letters in a state."""
    query = sa.select(letters.c.id, letters.c.recipient).where(letters.c.state == state)
    found: dict[int, str] = dict(connection.execute(query).all())
    return found
