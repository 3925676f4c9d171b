"""Rows of the list become letters; the identity decides what is new.

Reordering or editing the list or a template never makes a second letter: a row that is known already only
refreshes what its letter is made from, and only until the first permission (its line in the list always). A
row that vanished cancels its letter while it waits; letters in doubt and sent stay. A row that comes back is
planned again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from pipeline.delivery.letter import State
from pipeline.delivery.plan import CAMPAIGN_ITSELF, FIRST_ROUND, PlannedLetter
from pipeline.store.tables import letters, meta

ROW_REMOVED = "row removed"
BATCH = 500
_WAITING = (State.PLANNED, State.QUEUED)
_REFRESHED = ("email", "domain", "language", "timezone", "row")


@dataclass(frozen=True, slots=True)
class Planning:
    """What one planning changed: new letters, and those cancelled because their row is gone."""

    new: int
    cancelled: int


def plan(
    connection: sa.Connection, planned: Iterable[PlannedLetter], *, campaign: str, now_us: int
) -> Planning:
    """Bring the letters of ``campaign`` in line with the list; memory stays flat, whatever the length."""
    before = _total(connection, campaign)
    seen = _next_seen(connection)
    rows = iter(planned)
    while batch := list(islice(rows, BATCH)):
        connection.execute(
            _UPSERT,
            [
                {**asdict(letter), "campaign": campaign, "seen": seen, "planned_at": now_us}
                for letter in batch
            ],
        )
    gone = connection.execute(
        sa.update(letters)
        .where(letters.c.campaign == campaign, letters.c.round == FIRST_ROUND)
        .where(letters.c.seen != seen, letters.c.state.in_(_WAITING))
        .values(state=State.CANCELLED, why=ROW_REMOVED, due_at=None, ended_at=now_us)
    )
    return Planning(new=_total(connection, campaign) - before, cancelled=gone.rowcount)


def _total(connection: sa.Connection, campaign: str) -> int:
    return (
        connection.scalar(
            sa.select(sa.func.count()).select_from(letters).where(letters.c.campaign == campaign)
        )
        or 0
    )


def _next_seen(connection: sa.Connection) -> int:
    number = int(connection.scalar(sa.select(meta.c.value).where(meta.c.name == "seen")) or 0) + 1
    row = sqlite.insert(meta).values(name="seen", value=str(number))
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))
    return number


def _upsert() -> sqlite.Insert:
    insert = sqlite.insert(letters).values(
        round=FIRST_ROUND, signatory=CAMPAIGN_ITSELF, state=State.PLANNED, why="", attempts=0, deferrals=0
    )
    fresh = letters.c.attempts == 0  # from the first permission on the frozen bytes count, not the row
    returned = sa.and_(letters.c.state == State.CANCELLED, letters.c.why == ROW_REMOVED)
    return insert.on_conflict_do_update(
        index_elements=["campaign", "round", "signatory", "recipient"],
        set_={
            **{name: sa.case((fresh, insert.excluded[name]), else_=letters.c[name]) for name in _REFRESHED},
            "line": insert.excluded.line,
            "seen": insert.excluded.seen,
            "state": sa.case((returned, State.PLANNED), else_=letters.c.state),
            "why": sa.case((returned, ""), else_=letters.c.why),
            "ended_at": sa.case((returned, sa.null()), else_=letters.c.ended_at),
        },
    )


_UPSERT = _upsert()
