"""Paces, quotas and holds as rows: limits that survive restarts and hold for every run of this user.

The arithmetic is `delivery/limits.py`. A letter takes all its limits or none. With a file, what the limits
stand at is read and written in one transaction, which nobody else can be in. With a server other hosts take
at the same time, and a host that stops must not leave anything locked behind: there it is read, reckoned, and
written by one statement that compares what was read with what is there, and writes all of it or nothing
(`swapping.py`). Where another host came first, it is read again. The time is the server's own.

What one quota has forgotten stays until no quota can count it (`forget`): campaigns that share a relay may
count it over windows of different length.
"""

from __future__ import annotations

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
from pipeline.errors import StoreUnwritable
from pipeline.store.dialect import Prepared, as_rows, insert, is_shared, json_parameter, rows_of, store_now_us
from pipeline.store.tables import holds, paces, shared_meta, spent

TRIES = 100  # of a host that others are faster than, each time by a few letters


def take(connection: sa.Connection, claims: Sequence[Claim], *, now_us: int | None) -> Refusal | None:
    """Take one letter's place in every limit of ``claims``; None when all had room.

    Otherwise nothing is taken, and the refusal names the limit that opens last, and when.
    """
    return take_in_turn(connection, [claims], now_us=now_us)[0]


def take_in_turn(
    connection: sa.Connection, wanted: Sequence[Sequence[Claim]], *, now_us: int | None
) -> list[Refusal | None]:
    """Take the places of several letters, one after the other, as `take` does for each.

    The first refusal of a run-wide limit ends the list. What the limits stand at is read once and written
    once, whatever the number of letters. ``now_us`` None: the server says what time it is.

    Raises StoreUnwritable where other hosts came first time and again.
    """
    limits = {claim.name: claim.limit for claims in wanted for claim in claims}
    for _ in range(TRIES):
        page = _Page(connection, limits, now_us=now_us if now_us is not None else store_now_us(connection))
        answers: list[Refusal | None] = []
        for claims in wanted:
            answers.append(refusal := page.take(claims))
            if refusal is not None and refusal.claim.run_wide:
                break
        if page.write(connection):
            return answers
    raise StoreUnwritable(
        "other hosts took places in the limits faster than this one could", "run the same command again"
    )


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
        self._now_us = now_us
        self._quotas = {name: limit for name, limit in limits.items() if isinstance(limit, Quota)}
        self._since_us = _since(self._quotas, now_us=now_us)
        self._buckets = _buckets(connection, self._quotas, since_us=self._since_us, now_us=now_us)
        self._used = dict.fromkeys(self._quotas, 0)
        for name, buckets in self._buckets.items():
            self._used[name] = quota_used(self._quotas[name], buckets, now_us=now_us)
        self._added: dict[str, int] = {}
        paced = {name: limit for name, limit in limits.items() if isinstance(limit, Pace)}
        stored = _free_at(connection, paced)
        # One that only a clock far ahead can have written is brought near.
        self._free_at = {
            name: mended_free_at(pace, stored[name], now_us=now_us) for name, pace in paced.items()
        }
        self._moved = {name for name in paced if self._free_at[name] != stored[name]}
        self._stored = stored

    def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """Take one letter's place in all of its limits, or in none."""
        full = [claim for claim in claims if not self._has_room(claim)]
        if not full:
            for claim in claims:
                self._occupy(claim)
            return None
        full.sort(key=attrgetter("name"))
        return max((Refusal(claim, self._opens_us(claim)) for claim in full), key=attrgetter("opens_us"))

    def _has_room(self, claim: Claim) -> bool:
        if isinstance(claim.limit, Pace):
            return next_slot(self._free_at[claim.name], now_us=self._now_us) <= self._now_us
        return self._used[claim.name] < claim.limit.count

    def _opens_us(self, claim: Claim) -> int:
        """Return when a limit that is full has room for one letter."""
        name, limit = claim.name, claim.limit
        if isinstance(limit, Pace):
            return next_slot(self._free_at[name], now_us=self._now_us)
        added = Bucket(_start_of(limit, self._now_us), self._added.get(name, 0))
        standing = (*self._buckets.get(name, ()), added)
        return grant_quota(limit, standing, now_us=self._now_us, want=0).opens_us

    def _occupy(self, claim: Claim) -> None:
        if isinstance(claim.limit, Pace):
            slots = grant_slots(claim.limit, 0, now_us=self._now_us, want=1)
            self._free_at[claim.name] = slots.free_at_us
            self._moved.add(claim.name)
        else:
            self._used[claim.name] += 1
            self._added[claim.name] = self._added.get(claim.name, 0) + 1

    def write(self, connection: sa.Connection) -> bool:
        """Write down what changed, in the order of names; false where another host has changed it meanwhile,
        and nothing was written."""
        moved = as_rows((name, self._free_at[name]) for name in sorted(self._moved))
        added = as_rows(
            (name, _start_of(self._quotas[name], self._now_us), n) for name, n in sorted(self._added.items())
        )
        if is_shared(connection):
            return self._swap(connection, moved, added) if self._moved or self._added else True
        if self._moved:
            _SET_FREE_AT.run(connection, moved=moved)
        if self._added:
            _COUNT.run(connection, added=added)
        return True

    def _swap(self, connection: sa.Connection, moved: str, added: str) -> bool:
        """Compare what was read of the limits that change with what is there, and write, in one statement."""
        paces_seen = as_rows((name, self._stored[name]) for name in sorted(self._moved))
        spent_seen = as_rows(
            (name, sorted([bucket.start_us, bucket.count] for bucket in self._buckets.get(name, ())))
            for name in sorted(self._added)
        )
        given = {"paces": paces_seen, "spent": spent_seen, "since": self._since_us}
        ((done,),) = _SWAP.run(connection, moved=moved, added=added, **given)
        return bool(done)


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
    connection: sa.Connection, quotas: Mapping[str, Quota], *, since_us: int, now_us: int
) -> dict[str, list[Bucket]]:
    """Return what counts against each quota that has been used.

    Buckets of the future stay where they are, so that a clock which comes back to its hour finds them; those
    more than a window ahead, which only a clock far ahead can have written, are moved to now, or they would
    never pass.
    """
    found: dict[str, list[Bucket]] = {}
    if not quotas:
        return found
    named = as_rows((name,) for name in quotas)
    for name, start, count in _SPENT.run(connection, named=named, p_since=since_us):
        found.setdefault(name, []).append(Bucket(start, count))
        if start > now_us + quotas[name].window_s * SECOND_US:
            _bring_near(connection, name, quotas[name], Bucket(start, count), now_us=now_us)
    return found


def _since(quotas: Mapping[str, Quota], *, now_us: int) -> int:
    """Return the time before which no bucket counts against any of the quotas."""
    return now_us - max(
        (quota.window_s * SECOND_US + quota.bucket_us for quota in quotas.values()), default=0
    )


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
_SWAP = Prepared(
    sa.select(
        sa.func.swap_limits(
            *(json_parameter(name) for name in ("paces", "spent")),
            sa.bindparam("since", type_=_whole),
            *(json_parameter(name) for name in ("moved", "added")),
        )
    )
)
