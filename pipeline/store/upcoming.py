"""Letters in the order in which a send takes them, read one after the other.

Contract: what is read is ordered by the database and handed on as it comes, so memory is flat whatever the
number of letters. Queued ones come before planned ones: by due time, then by number; planned ones as in the
list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import State
from pipeline.store.tables import letters

READ_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What a look ahead needs of a letter."""

    id: int
    round: int  # 0: a first letter
    key: str  # of the recipient
    signatory: str  # key; "" where the campaign writes in its own name
    email: str
    domain: str
    language: str
    timezone: str
    line: int
    state: State
    why: str
    due_at: datetime | None
    ended_at: datetime | None


def in_order(connection: sa.Connection, states: Sequence[State]) -> Iterator[Upcoming]:
    """Yield the letters in ``states``."""
    queued = letters.c.state == State.QUEUED
    query = (
        sa.select(
            letters.c.id,
            letters.c.round,
            letters.c.recipient,
            letters.c.signatory,
            letters.c.email,
            letters.c.domain,
            letters.c.language,
            letters.c.timezone,
            letters.c.line,
            letters.c.state,
            letters.c.why,
            letters.c.due_at,
            letters.c.ended_at,
        )
        .where(letters.c.state.in_(list(states)))
        .order_by(
            sa.case((queued, 0), else_=1),
            sa.case(
                (queued, sa.func.coalesce(letters.c.due_at, letters.c.planned_at)), else_=letters.c.planned_at
            ),
            sa.case((queued, letters.c.id), else_=letters.c.line),
            letters.c.id,
        )
    )
    for row in connection.execution_options(yield_per=READ_AT_ONCE).execute(query):
        yield Upcoming(
            id=row.id,
            round=row.round,
            key=row.recipient,
            signatory=row.signatory,
            email=row.email,
            domain=row.domain,
            language=row.language,
            timezone=row.timezone,
            line=row.line,
            state=State(row.state),
            why=row.why,
            due_at=from_us(row.due_at) if row.due_at is not None else None,
            ended_at=from_us(row.ended_at) if row.ended_at is not None else None,
        )
