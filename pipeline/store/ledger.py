"""Paces, quotas and holds as rows: limits that survive restarts and hold for every run of this user.

The arithmetic is `delivery/limits.py`; here it is read and written in one transaction. A letter takes all its
limits or none, in a fixed order of names.

What one quota has forgotten stays until no quota can count it (`forget`): campaigns that share a relay may
count it over windows of different length.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import Bucket, Pace, Quota, grant_quota, grant_slots, mended_free_at, next_slot
from pipeline.delivery.supply import Claim, Refusal
from pipeline.store.tables import holds, paces, spent


def take(connection: sa.Connection, claims: Sequence[Claim], *, now_us: int) -> Refusal | None:
    """Take one letter's place in every limit of ``claims``; None when all had room.

    Otherwise nothing is taken, and the refusal names the limit that opens last, and when.
    """
    claims = sorted(claims, key=lambda claim: claim.name)
    opens = {claim: _opens_us(connection, claim, now_us=now_us) for claim in claims}
    last = max(claims, key=opens.__getitem__, default=None)
    if last is not None and opens[last] > now_us:
        return Refusal(last, opens[last])
    for claim in claims:
        _occupy(connection, claim, now_us=now_us)
    return None


def put_back(connection: sa.Connection, claims: Sequence[Claim]) -> None:
    """Give back the quotas of a letter of which nothing was said to the relay; a pace's slot is lost."""
    for claim in claims:
        if isinstance(claim.limit, Quota):
            taken = sa.and_(spent.c.name == claim.name, spent.c.count > 0)
            newest = sa.select(sa.func.max(spent.c.start)).where(taken).scalar_subquery()
            change = sa.update(spent).where(taken, spent.c.start == newest)
            connection.execute(change.values(count=spent.c.count - 1))


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


def _opens_us(connection: sa.Connection, claim: Claim, *, now_us: int) -> int:
    """Return when the limit has room for one letter: ``now_us`` where it has."""
    if isinstance(claim.limit, Pace):
        return _next_slot(connection, claim.name, claim.limit, now_us=now_us)
    grant = grant_quota(
        claim.limit, _buckets(connection, claim.name, claim.limit, now_us=now_us), now_us=now_us, want=1
    )
    return now_us if grant.count else grant.opens_us


def _occupy(connection: sa.Connection, claim: Claim, *, now_us: int) -> None:
    """Take one letter's place in a limit that has room."""
    if isinstance(claim.limit, Pace):
        _set_free_at(connection, claim.name, grant_slots(claim.limit, 0, now_us=now_us, want=1).free_at_us)
    else:
        _count(connection, claim.name, now_us // claim.limit.bucket_us * claim.limit.bucket_us, 1)


def _next_slot(connection: sa.Connection, name: str, pace: Pace, *, now_us: int) -> int:
    """Return when a pace's next slot is; one that only a clock far ahead can have written is brought near."""
    stored = connection.scalar(sa.select(paces.c.free_at).where(paces.c.name == name)) or 0
    free_at = mended_free_at(pace, stored, now_us=now_us)
    if free_at != stored:
        _set_free_at(connection, name, free_at)
    return next_slot(free_at, now_us=now_us)


def _buckets(connection: sa.Connection, name: str, quota: Quota, *, now_us: int) -> list[Bucket]:
    """Return what counts against a quota.

    Buckets of the future stay where they are, so that a clock which comes back to its hour finds them; those
    more than a window ahead, which only a clock far ahead can have written, are moved to now, or they would
    never pass.
    """
    window_us = quota.window_s * SECOND_US
    mine = sa.and_(spent.c.name == name, spent.c.start > now_us - window_us - quota.bucket_us)
    found = [
        Bucket(start, count)
        for start, count in connection.execute(sa.select(spent.c.start, spent.c.count).where(mine))
    ]
    astray = sum(bucket.count for bucket in found if bucket.start_us > now_us + window_us)
    if astray:
        connection.execute(sa.delete(spent).where(spent.c.name == name, spent.c.start > now_us + window_us))
        _count(connection, name, now_us // quota.bucket_us * quota.bucket_us, astray)
    return found


def _set_free_at(connection: sa.Connection, name: str, free_at_us: int) -> None:
    row = sqlite.insert(paces).values(name=name, free_at=free_at_us)
    connection.execute(
        row.on_conflict_do_update(index_elements=["name"], set_={"free_at": row.excluded.free_at})
    )


def _count(connection: sa.Connection, name: str, start_us: int, letters: int) -> None:
    row = sqlite.insert(spent).values(name=name, start=start_us, count=letters)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["name", "start"], set_={"count": spent.c.count + row.excluded.count}
        )
    )
