"""Which hosts send, and which of them are gone: runs on one store that say now and then that they are alive.

A run that several hosts can see writes down when it was last seen, by the store's clock. One that has not
been seen for `GONE_S` counts as dead: others take over its batches, and the letters whose permission is open
are in doubt, for they may have been accepted. Nothing that is safe rests on this: a host that was only
stopped, and goes on, finds the fence taken where another has gone on in its place.
"""

from __future__ import annotations

import os
import socket

import sqlalchemy as sa

from pipeline.clock import SECOND_US, Clock, from_us, to_us
from pipeline.delivery.host import HostLine
from pipeline.delivery.letter import State
from pipeline.store.dialect import store_now_us
from pipeline.store.storeclock import StoreClock
from pipeline.store.tables import attempts, batches, letters, runs

BEAT_S = 2.0  # a run says so often that it is alive
LATE_S = 5.0  # longer than this it may be dead
GONE_S = 10.0  # and then it counts as dead
LONGEST_NAME = 64  # of a host
TOLD_S = 24 * 3_600  # one that ended is told of for so long


def host_name() -> str:
    """Return what people call this host: what the environment says, else the machine's own name."""
    return os.environ.get("CAMPAIGN_HOST", "")[:LONGEST_NAME] or socket.gethostname()


def is_dead(now_us: int) -> sa.ColumnElement[bool]:
    """Return the condition that a run is over, or has not been seen for too long."""
    return sa.or_(runs.c.ended_at.is_not(None), runs.c.seen_at < now_us - int(GONE_S * SECOND_US))


def dead_runs(now_us: int) -> sa.Select[tuple[int]]:
    """Return the question for the runs that are dead, of those that say when they are alive."""
    return sa.select(runs.c.id).where(runs.c.seen_at.is_not(None), is_dead(now_us))


def beat(connection: sa.Connection, run: int, clock: Clock) -> None:
    """Say that a run is alive, by the store's clock; ``clock`` is set by it."""
    if isinstance(clock, StoreClock):
        asked_at = clock.monotonic()
        clock.correct(store_now_us(connection), asked_at=asked_at)
    connection.execute(sa.update(runs).where(runs.c.id == run).values(seen_at=to_us(clock.now())))


def somebody_is_late(connection: sa.Connection, run: int, *, now_us: int) -> bool:
    """Say whether a run other than ``run`` holds letters and may be dead: that will be known soon."""
    late = sa.select(batches.c.id).join(runs, runs.c.id == batches.c.run)
    late = late.where(runs.c.id != run, runs.c.seen_at < now_us - int(LATE_S * SECOND_US), ~is_dead(now_us))
    return connection.execute(late.limit(1)).first() is not None


def others_alive(connection: sa.Connection, run: int | None, *, now_us: int) -> list[str]:
    """Return the names of the hosts that send now, but for ``run``."""
    alive = sa.select(runs.c.name).where(runs.c.seen_at.is_not(None), ~is_dead(now_us))
    if run is not None:
        alive = alive.where(runs.c.id != run)
    return list(connection.execute(alive.order_by(runs.c.id)).scalars())


def left_by_the_dead(connection: sa.Connection, *, now_us: int) -> int:
    """Return how many letters dead runs left whose permission is open."""
    theirs = sa.and_(attempts.c.ended_at.is_(None), attempts.c.run.in_(dead_runs(now_us)))
    return connection.scalar(sa.select(sa.func.count()).select_from(attempts).where(theirs)) or 0


def host_lines(connection: sa.Connection, *, now_us: int) -> list[HostLine]:
    """Return the hosts that send, or did within a day and left something: the latest run of each."""
    since = now_us - int(TOLD_S * SECOND_US)
    query = sa.select(
        runs,
        is_dead(now_us).label("dead"),
        _batches.label("batches"),
        _held.label("held"),
        _open.label("open"),
    )
    rows = connection.execute(query.where(runs.c.seen_at > since).order_by(runs.c.id.desc())).all()
    told: dict[str, HostLine] = {}
    for row in rows:
        line = HostLine(
            name=row.name,
            pid=row.pid,
            run=row.id,
            started_at=from_us(row.started_at),
            seen_at=from_us(row.seen_at),
            alive=not row.dead,
            ended=row.ended_at is not None,
            batches=row.batches,
            letters=row.held,
            open=row.open,
        )
        key = line.name if not (line.alive or line.batches or line.open) else f"{line.name} {line.run}"
        if key == line.name and any(other.name == line.name for other in told.values()):
            continue  # an earlier run of a host that is told of already
        told.setdefault(key, line)
    return sorted(told.values(), key=lambda line: (line.name, line.run))


_of_run = batches.c.run == runs.c.id
_batches = sa.select(sa.func.count()).where(_of_run).scalar_subquery()
_held = (
    sa.select(sa.func.count())
    .select_from(batches.join(letters, letters.c.batch == batches.c.id))
    .where(_of_run, letters.c.state == State.QUEUED)
    .scalar_subquery()
)
_open = (
    sa.select(sa.func.count())
    .where(attempts.c.run == runs.c.id, attempts.c.ended_at.is_(None))
    .scalar_subquery()
)
