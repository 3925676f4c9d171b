"""Paces, quotas and holds as rows: limits that survive restarts and hold for every run of this user.

The arithmetic is `delivery/limits.py`; here it is read and written in one transaction. A letter takes all its limits or
none, in a fixed order of names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import Bucket, Pace, Quota, give_back, grant_quota, grant_slots
from pipeline.delivery.supply import Claim, Refusal
from pipeline.store.tables import holds, paces, spent


def take(connection: sa.Connection, claims: Sequence[Claim], *, now_us: int) -> Refusal | None:
    """Take one letter's place in every limit of ``claims``; None when all had room.

    Otherwise nothing is taken, and the refusal names the limit that opens last, and when.
    """
    claims = sorted(claims, key=lambda claim: claim.name)
    refusal: Refusal | None = None
    changes: list[_Change] = []
    for claim in claims:
        change, opens = _try(connection, claim, now_us=now_us)
        if change is not None:
            changes.append(change)
        elif refusal is None or opens > refusal.opens_us:
            refusal = Refusal(claim, opens)
    if refusal is None:
        for change in changes:
            _write(connection, change)
    return refusal


def put_back(connection: sa.Connection, claims: Sequence[Claim], *, now_us: int) -> None:
    """Give back the quotas of a letter of which nothing was said to the relay; a pace's slot is lost."""
    for claim in claims:
        if isinstance(claim.limit, Quota):
            buckets = give_back(claim.limit, _buckets(connection, claim.name), now_us=now_us, count=1)
            _write(connection, _Change(claim.name, buckets=buckets))


def hold(connection: sa.Connection, name: str, *, until_us: int, why: str) -> None:
    """Keep a relay (or one of its domains) from being used until a time."""
    row = sqlite.insert(holds).values(name=name, until=until_us, why=why)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["name"], set_={"until": row.excluded.until, "why": row.excluded.why}
        )
    )


def held(connection: sa.Connection, names: Collection[str], *, now_us: int) -> dict[str, tuple[int, str]]:
    """Return those of ``names`` that are held: until when, and why."""
    query = sa.select(holds).where(holds.c.name.in_(list(names)), holds.c.until > now_us)
    return {row.name: (row.until, row.why) for row in connection.execute(query)}


def lift(connection: sa.Connection, name: str) -> None:
    """End a hold."""
    connection.execute(sa.delete(holds).where(holds.c.name == name))


def forget(connection: sa.Connection, *, now_us: int, after_s: int = 40 * 86_400) -> None:
    """Drop what no quota can count any more."""
    connection.execute(sa.delete(spent).where(spent.c.start < now_us - after_s * SECOND_US))
    connection.execute(sa.delete(holds).where(holds.c.until < now_us))


@dataclass(frozen=True, slots=True)
class _Change:
    name: str
    free_at_us: int | None = None
    buckets: tuple[Bucket, ...] = ()


def _try(connection: sa.Connection, claim: Claim, *, now_us: int) -> tuple[_Change | None, int]:
    """Ask one limit for one letter; return the change to write, or None and when it opens."""
    if isinstance(claim.limit, Pace):
        free_at = connection.scalar(sa.select(paces.c.free_at).where(paces.c.name == claim.name)) or 0
        slots = grant_slots(claim.limit, free_at, now_us=now_us, want=1)
        return (_Change(claim.name, slots.free_at_us), now_us) if slots.count else (None, slots.first_us)
    grant = grant_quota(claim.limit, _buckets(connection, claim.name), now_us=now_us, want=1)
    return (_Change(claim.name, buckets=grant.buckets), now_us) if grant.count else (None, grant.opens_us)


def _buckets(connection: sa.Connection, name: str) -> list[Bucket]:
    query = sa.select(spent.c.start, spent.c.count).where(spent.c.name == name)
    return [Bucket(start, count) for start, count in connection.execute(query)]


def _write(connection: sa.Connection, change: _Change) -> None:
    if change.free_at_us is not None:
        pace = sqlite.insert(paces).values(name=change.name, free_at=change.free_at_us)
        connection.execute(
            pace.on_conflict_do_update(index_elements=["name"], set_={"free_at": pace.excluded.free_at})
        )
        return
    connection.execute(sa.delete(spent).where(spent.c.name == change.name))
    if change.buckets:
        connection.execute(
            sa.insert(spent),
            [
                {"name": change.name, "start": bucket.start_us, "count": bucket.count}
                for bucket in change.buckets
            ],
        )
