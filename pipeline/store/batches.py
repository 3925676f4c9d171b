"""Letters by the batch: what hosts that send from one store take in hand, each other ones.

A batch holds letters that are due: of one domain only where that domain has its own limit, so that one host
at a time paces it, else mixed. Its row says who has it; a batch nobody has, or a dead host, is *open*. When
all of its letters are settled or put off the row goes; a letter that is queued and whose batch is gone (a
late 4yz, a letter sent again by the operator) is loose, and goes into another batch when it is due.

Everything here may be called by several hosts at once, late, or twice. Each change is one statement in a
transaction of its own: no lock on a row outlives it, so a host that is stopped in between holds up nobody.

Nothing here is a permission: that is the fence's (`fence.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.store.database import Database
from pipeline.store.hosts import dead_runs, is_dead
from pipeline.store.tables import batches, letters, runs

MIXED = ""  # the lane of letters to domains without a limit of their own
LARGEST = 500  # letters

_QUEUED = letters.c.state == sa.literal_column("'queued'")  # as the indexes have it
_LOOSE = sa.and_(_QUEUED, letters.c.batch.is_(None))


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that may be taken, and its lane."""

    number: int
    lane: str


def form(store: Database, *, lanes: Collection[str], now_us: int, size: int = LARGEST) -> int:
    """Make one batch of each lane that has loose letters which are due; return how many batches it was.

    ``lanes`` are the domains with a limit of their own.
    """
    made = 0
    for lane in (MIXED, *sorted(lanes)):
        fits = letters.c.domain == lane if lane != MIXED else letters.c.domain.not_in(sorted(lanes))
        due = sa.select(letters.c.id).where(_LOOSE, letters.c.due_at <= now_us, fits)
        with store.reading() as connection:
            if connection.execute(due.limit(1)).first() is None:
                continue
        with store.at_once() as connection:
            number = connection.scalar(
                sa.insert(batches).values(lane=lane, made_at=now_us).returning(batches.c.id)
            )
        chosen = (
            due.order_by(letters.c.due_at, letters.c.id)
            .limit(size)
            .with_for_update(skip_locked=True)
            .cte("chosen")
        )
        filling = sa.update(letters).where(_LOOSE, letters.c.id.in_(sa.select(chosen.c.id)))
        with store.at_once() as connection:
            connection.execute(filling.values(batch=number))
        made += 1
    return made


def open_batches(connection: sa.Connection, run: int, *, now_us: int) -> list[OpenBatch]:
    """Return the batches that ``run`` may take, mixed ones first, the oldest first."""
    query = (
        sa.select(batches.c.id, batches.c.lane)
        .where(_is_open(now_us), ~_lane_is_taken(run, now_us))
        .order_by(batches.c.lane != MIXED, batches.c.id)
    )
    return [OpenBatch(number, lane) for number, lane in connection.execute(query)]


def take(connection: sa.Connection, number: int, run: int, *, now_us: int) -> str | None:
    """Take an open batch in hand, and return its lane; None when it is somebody else's, or gone, or another
    host has its lane."""
    may_be = sa.or_(_is_open(now_us), batches.c.run == run)
    taking = sa.update(batches).where(batches.c.id == number, may_be, ~_lane_is_taken(run, now_us))
    lane: str | None = connection.scalar(taking.values(run=run, taken_at=now_us).returning(batches.c.lane))
    return lane


def _is_open(now_us: int) -> sa.ColumnElement[bool]:
    return sa.or_(batches.c.run.is_(None), batches.c.run.in_(dead_runs(now_us)))


def _lane_is_taken(run: int, now_us: int) -> sa.ColumnElement[bool]:
    """Return the condition that another run has letters of a batch's lane in hand, which has a limit."""
    other = batches.alias("other")
    held = sa.select(other.c.id).join(runs, runs.c.id == other.c.run)
    return held.where(
        other.c.lane == batches.c.lane, other.c.lane != MIXED, other.c.run != run, ~is_dead(now_us)
    ).exists()


def in_hand(connection: sa.Connection, run: int, *, now_us: int) -> dict[int, int]:
    """Return the batches that a run has in hand: how many letters of each are queued and due."""
    due = sa.and_(letters.c.batch == batches.c.id, _QUEUED, letters.c.due_at <= now_us)
    query = sa.select(batches.c.id, sa.select(sa.func.count()).where(due).scalar_subquery())
    found: dict[int, int] = dict(connection.execute(query.where(batches.c.run == run)).all())
    return found


def close(connection: sa.Connection, numbers: Collection[int], run: int, *, now_us: int) -> None:
    """Do away with batches in hand of which no letter is due; what is put off is loose again."""
    due = sa.select(letters.c.id).where(letters.c.batch == batches.c.id, _QUEUED, letters.c.due_at <= now_us)
    gone = sa.delete(batches).where(batches.c.id.in_(list(numbers)), batches.c.run == run)
    connection.execute(gone.where(~due.exists()))


def let_go(connection: sa.Connection, run: int) -> None:
    """Put down whatever a run has in hand, for others to take."""
    connection.execute(sa.update(batches).where(batches.c.run == run).values(run=None))


def loosen(connection: sa.Connection) -> int:
    """Make letters loose whose batch is gone; return how many."""
    stray = sa.and_(
        _QUEUED,
        letters.c.batch.is_not(None),
        ~sa.select(batches.c.id).where(batches.c.id == letters.c.batch).exists(),
    )
    return connection.execute(sa.update(letters).where(stray).values(batch=None)).rowcount
