"""Paces, quotas and holds as rows: limits that survive restarts and hold for every run of this user.

The arithmetic is `delivery/limits.py`; here it is read and written in one transaction. A letter takes all its
limits or none, in a fixed order of names.

What one quota has forgotten stays until no quota can count it (`forget`): campaigns that share a relay may
count it over windows of different length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

import sqlalchemy as sa

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import (
    DAY_S,
    Bucket,
    Limit,
    Pace,
    Quota,
    grant_quota,
    grant_slots,
    mended_free_at,
    next_slot,
    quota_used,
)
from pipeline.delivery.rules import Claim, Refusal
from pipeline.store.dialect import Prepared, alone, as_rows, insert, rows_of
from pipeline.store.tables import holds, paces, shared_meta, spent


def take(connection: sa.Connection, claims: Sequence[Claim], *, now_us: int) -> Refusal | None:
    """Take one letter's place in every limit of ``claims``; None when all had room.

    Otherwise nothing is taken, and the refusal names the limit that opens last, and when.
    """
    return take_in_turn(connection, [claims], now_us=now_us)[0]


def take_in_turn(
    connection: sa.Connection, wanted: Sequence[Sequence[Claim]], *, now_us: int
) -> list[Refusal | None]:
    """Take the places of several letters, one after the other, as `take` does for each.

    The first refusal of a run-wide limit ends the list. What the limits stand at is read once and written
    once, whatever the number of letters.
    """
    limits = {claim.name: claim.limit for claims in wanted for claim in claims}
    page = _Page(connection, limits, now_us=now_us)
    answers: list[Refusal | None] = []
    for claims in wanted:
        answers.append(refusal := page.take(claims))
        if refusal is not None and refusal.claim.run_wide:
            break
    page.write(connection)
    return answers


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
    row = insert(holds).values(name=name, until=until_us, why=why)
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


def forget(connection: sa.Connection, *, now_us: int, after_s: int = 40 * DAY_S) -> None:
    """Drop what no quota can count any more; once a day, for all of it is looked through."""
    connection.execute(sa.delete(holds).where(holds.c.until < now_us))
    day = str(now_us // (DAY_S * SECOND_US))
    name = "forgotten on day"
    if connection.scalar(sa.select(shared_meta.c.value).where(shared_meta.c.name == name)) == day:
        return
    connection.execute(sa.delete(spent).where(spent.c.start < now_us - after_s * SECOND_US))
    row = insert(shared_meta).values(name=name, value=day)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))


class _Page:
    """What some limits stand at, read at ``now_us`` and changed in memory."""

    def __init__(self, connection: sa.Connection, limits: Mapping[str, Limit], *, now_us: int) -> None:
        alone(connection, "limits")
        self._now_us = now_us
        self._quotas = {name: limit for name, limit in limits.items() if isinstance(limit, Quota)}
        self._buckets = _buckets(connection, self._quotas, now_us=now_us)
        self._used = {
            name: quota_used(quota, self._buckets[name], now_us=now_us) if self._buckets[name] else 0
            for name, quota in self._quotas.items()
        }
        self._added: Counter[str] = Counter()
        paced = {name: limit for name, limit in limits.items() if isinstance(limit, Pace)}
        stored = _free_at(connection, paced)
        # One that only a clock far ahead can have written is brought near.
        self._free_at = {
            name: mended_free_at(pace, stored[name], now_us=now_us) for name, pace in paced.items()
        }
        self._moved = {name for name in paced if self._free_at[name] != stored[name]}

    def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """Take one letter's place in all of its limits, or in none."""
        last: Refusal | None = None
        for claim in sorted(claims, key=attrgetter("name")):
            opens_us = self._opens_us(claim)
            if opens_us > self._now_us and (last is None or opens_us > last.opens_us):
                last = Refusal(claim, opens_us)
        if last is None:
            for claim in claims:
                self._occupy(claim)
        return last

    def _opens_us(self, claim: Claim) -> int:
        """Return when the limit has room for one letter: now, where it has."""
        name, limit = claim.name, claim.limit
        if isinstance(limit, Pace):
            return next_slot(self._free_at[name], now_us=self._now_us)
        if self._used[name] < limit.count:
            return self._now_us
        standing = (*self._buckets[name], Bucket(_start_of(limit, self._now_us), self._added[name]))
        return grant_quota(limit, standing, now_us=self._now_us, want=0).opens_us

    def _occupy(self, claim: Claim) -> None:
        if isinstance(claim.limit, Pace):
            slots = grant_slots(claim.limit, 0, now_us=self._now_us, want=1)
            self._free_at[claim.name] = slots.free_at_us
            self._moved.add(claim.name)
        else:
            self._used[claim.name] += 1
            self._added[claim.name] += 1

    def write(self, connection: sa.Connection) -> None:
        """Write down what changed, in the order of names."""
        if self._moved:
            rows = as_rows((name, self._free_at[name]) for name in sorted(self._moved))
            _SET_FREE_AT.run(connection, moved=rows)
        if self._added:
            added = sorted(self._added.items())
            rows = as_rows((name, _start_of(self._quotas[name], self._now_us), n) for name, n in added)
            _COUNT.run(connection, added=rows)


def _start_of(quota: Quota, now_us: int) -> int:
    """Return the beginning of the bucket that counts now."""
    return now_us // quota.bucket_us * quota.bucket_us


def _free_at(connection: sa.Connection, names: Collection[str]) -> dict[str, int]:
    """Return when each pace is free."""
    if not names:
        return {}
    named = as_rows((name,) for name in names)
    return dict.fromkeys(names, 0) | dict(_FREE_AT.run(connection, named=named))


def _buckets(
    connection: sa.Connection, quotas: Mapping[str, Quota], *, now_us: int
) -> dict[str, list[Bucket]]:
    """Return what counts against each quota.

    Buckets of the future stay where they are, so that a clock which comes back to its hour finds them; those
    more than a window ahead, which only a clock far ahead can have written, are moved to now, or they would
    never pass.
    """
    found: dict[str, list[Bucket]] = {name: [] for name in quotas}
    if not quotas:
        return found
    reach_us = max(quota.window_s * SECOND_US + quota.bucket_us for quota in quotas.values())
    named = as_rows((name,) for name in quotas)
    for name, start, count in _SPENT.run(connection, named=named, p_since=now_us - reach_us):
        found[name].append(Bucket(start, count))
        if start > now_us + quotas[name].window_s * SECOND_US:
            _bring_near(connection, name, quotas[name], Bucket(start, count), now_us=now_us)
    return found


def _bring_near(connection: sa.Connection, name: str, quota: Quota, astray: Bucket, *, now_us: int) -> None:
    """Move a bucket that a clock far ahead has written to now."""
    connection.execute(sa.delete(spent).where(spent.c.name == name, spent.c.start == astray.start_us))
    _COUNT.run(connection, added=as_rows([(name, _start_of(quota, now_us), astray.count)]))


_whole, _words = sa.BigInteger(), sa.Text()
_named = rows_of("named", {"name": _words})
_FREE_AT = Prepared(sa.select(paces.c.name, paces.c.free_at).join(_named, _named.c.name == paces.c.name))
_SPENT = Prepared(
    sa.select(spent.c.name, spent.c.start, spent.c.count)
    .join(_named, _named.c.name == spent.c.name)
    .where(spent.c.start > sa.bindparam("p_since"))
)
_moved = rows_of("moved", {"name": _words, "free_at": _whole})
_set = insert(paces).from_select(["name", "free_at"], sa.select(_moved).where(_moved.c.free_at > 0))
_SET_FREE_AT = Prepared(
    _set.on_conflict_do_update(index_elements=["name"], set_={"free_at": _set.excluded.free_at})
)
_added = rows_of("added", {"name": _words, "start": _whole, "count": _whole})
_add = insert(spent).from_select(
    ["name", "start", "count"],
    sa.select(_added).where(_added.c.count > 0),  # SQLite wants a WHERE
)
_COUNT = Prepared(
    _add.on_conflict_do_update(
        index_elements=["name", "start"], set_={"count": spent.c.count + _add.excluded.count}
    )
)
