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
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.clock import SECOND_US
from pipeline.delivery.limits import (
    DAY_S,
    Bucket,
    Limit,
    Pace,
    Quota,
    counts_since,
    grant_quota,
    grant_slots,
    mended_free_at,
    next_slot,
)
from pipeline.delivery.rules import Claim, Refusal
from pipeline.errors import StoreUnwritable
from pipeline.store.dialect import (
    Connected,
    Insert,
    Prepared,
    PreparedRows,
    as_counts,
    as_rows,
    counts_of,
    insert,
    is_shared,
    json_parameter,
    rows_of,
    store_now_us,
)
from pipeline.store.tables import holds, paces, shared_meta, spent

TRIES = 100  # of a host that others are faster than, each time by a few letters


def take(connection: Connected, claims: Sequence[Claim], *, now_us: int | None) -> Refusal | None:
    """Take one letter's place in every limit of ``claims``; None when all had room.

    Otherwise nothing is taken, and the refusal names the limit that opens last, and when.
    """
    return take_in_turn(connection, [claims], now_us=now_us)[0]


def take_in_turn(
    connection: Connected, wanted: Sequence[Sequence[Claim]], *, now_us: int | None
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

    def __init__(self, connection: Connected, limits: Mapping[str, Limit], *, now_us: int) -> None:
        self._now_us = now_us
        paced = {name: limit for name, limit in limits.items() if isinstance(limit, Pace)}
        self._quotas = {name: limit for name, limit in limits.items() if isinstance(limit, Quota)}
        several = {id(quota): quota for quota in self._quotas.values()}  # most letters share them
        self._spans = {number: _Span.of(quota, now_us) for number, quota in several.items()}
        self._read: list[tuple[str, int, int]] = []  # what counts against quotas: name, start, count
        self._used = dict.fromkeys(limits, 0)  # of a pace: all of it where its slot is not free
        self._added: dict[str, int] = {}
        if self._quotas:
            self._read_quotas(connection)
        self._stored = _free_at(connection, paced)
        # One that only a clock far ahead can have written is brought near.
        self._free_at = {
            name: mended_free_at(pace, self._stored[name], now_us=now_us) for name, pace in paced.items()
        }
        for name, free_at in self._free_at.items():
            if next_slot(free_at, now_us=now_us) > now_us:
                self._used[name] = paced[name].count
        self._moved = {name for name in paced if self._free_at[name] != self._stored[name]}

    def _read_quotas(self, connection: Connected) -> None:
        """Read what counts against each quota that has been used.

        Buckets of the future stay where they are, so that a clock which comes back to its hour finds them;
        those more than a window ahead, which only a clock far ahead can have written, are moved to now, or
        they would never pass.
        """
        spans, quotas, used = self._spans, self._quotas, self._used
        self._since_us = min(span.since_us for span in spans.values())
        if is_shared(connection):  # what is compared there goes back as far for all
            since = dict.fromkeys(quotas, self._since_us)
        else:
            since = {name: spans[id(quota)].since_us for name, quota in quotas.items()}
        self._read = _SPENT.run(connection, named=as_counts(since))
        for name, start, count in self._read:
            span = spans[id(quotas[name])]
            if start > span.since_us:
                used[name] += count
            if start > span.furthest_us:
                _bring_near(connection, name, span, Bucket(start, count))

    def take(self, claims: Sequence[Claim]) -> Refusal | None:
        """Take one letter's place in all of its limits, or in none."""
        used, added = self._used, self._added
        for name, limit, *_ in claims:
            if used[name] >= limit.count:
                return self._refusal(claims)
        for name, limit, *_ in claims:
            if isinstance(limit, Pace):
                used[name] = limit.count
                self._free_at[name] = grant_slots(limit, 0, now_us=self._now_us, want=1).free_at_us
                self._moved.add(name)
            else:
                used[name] += 1
                added[name] = added.get(name, 0) + 1
        return None

    def _refusal(self, claims: Sequence[Claim]) -> Refusal:
        full = [claim for claim in claims if self._used[claim.name] >= claim.limit.count]
        full.sort(key=attrgetter("name"))
        return max((Refusal(claim, self._opens_us(claim)) for claim in full), key=attrgetter("opens_us"))

    def _opens_us(self, claim: Claim) -> int:
        """Return when a limit that is full has room for one letter."""
        name, limit = claim.name, claim.limit
        if isinstance(limit, Pace):
            return next_slot(self._free_at[name], now_us=self._now_us)
        read = [Bucket(start, count) for name_read, start, count in self._read if name_read == name]
        added = Bucket(self._start_of(name), self._added.get(name, 0))
        return grant_quota(limit, (*read, added), now_us=self._now_us, want=0).opens_us

    def _start_of(self, name: str) -> int:
        """Return the beginning of the bucket of a quota that counts now."""
        return self._spans[id(self._quotas[name])].start_us

    def write(self, connection: Connected) -> bool:
        """Write down what changed, in the order of names; false where another host has changed it meanwhile,
        and nothing was written."""
        moved = as_rows((name, self._free_at[name]) for name in sorted(self._moved))
        if is_shared(connection):
            return self._swap(connection, moved) if self._moved or self._added else True
        if self._moved:
            _SET_FREE_AT.run(connection, moved=moved)
        if self._added:
            _COUNT.run(connection, self._counted())
        return True

    def _counted(self) -> list[tuple[str, int, int]]:
        """Return what was taken of quotas: name, beginning of the bucket, how many."""
        spans, quotas = self._spans, self._quotas
        return [(name, spans[id(quotas[name])].start_us, n) for name, n in sorted(self._added.items())]

    def _swap(self, connection: Connected, moved: str) -> bool:
        """Compare what was read of the limits that change with what is there, and write, in one statement."""
        added = as_rows(self._counted())
        seen: dict[str, list[tuple[int, int]]] = {name: [] for name in sorted(self._added)}
        for name, start, count in self._read:
            if name in seen:
                seen[name].append((start, count))
        paces_seen = as_rows((name, self._stored[name]) for name in sorted(self._moved))
        spent_seen = as_rows((name, sorted(buckets)) for name, buckets in seen.items())
        given = {"paces": paces_seen, "spent": spent_seen, "since": self._since_us if seen else 0}
        ((done,),) = _SWAP.run(connection, moved=moved, added=added, **given)
        return bool(done)


class _Span(NamedTuple):
    """What a quota counts: buckets that begin behind ``since_us``.

    One behind ``furthest_us`` only a clock far ahead can have written. What is taken now counts in the one
    that begins at ``start_us``.
    """

    since_us: int
    furthest_us: int
    start_us: int

    @classmethod
    def of(cls, quota: Quota, now_us: int) -> _Span:
        """Return a quota's."""
        start_us = now_us // quota.bucket_us * quota.bucket_us
        return cls(counts_since(quota, now_us=now_us), now_us + quota.window_s * SECOND_US, start_us)


def _free_at(connection: Connected, names: Collection[str]) -> dict[str, int]:
    """Return when each pace is free."""
    if not names:
        return {}
    named = as_rows((name,) for name in names)
    return dict.fromkeys(names, 0) | dict(_FREE_AT.run(connection, named=named))


def _bring_near(connection: Connected, name: str, span: _Span, astray: Bucket) -> None:
    """Move a bucket that a clock far ahead has written to now."""
    _DROP.run(connection, p_name=name, p_start=astray.start_us)
    _COUNT.run(connection, [(name, span.start_us, astray.count)])


_whole, _words = sa.BigInteger(), sa.Text()
_named = rows_of("named", {"name": _words})
_FREE_AT = Prepared(sa.select(paces.c.name, paces.c.free_at).join(_named, _named.c.name == paces.c.name))
_since = counts_of("named")
_SPENT = Prepared(
    sa.select(spent.c.name, spent.c.start, spent.c.count)
    .join(_since, _since.c.name == spent.c.name)
    .where(spent.c.start > _since.c.number),
    in_one=True,
)
_moved = rows_of("moved", {"name": _words, "free_at": _whole})
_set = insert(paces).from_select(["name", "free_at"], sa.select(_moved).where(_moved.c.free_at > 0))
_SET_FREE_AT = Prepared(
    _set.on_conflict_do_update(index_elements=["name"], set_={"free_at": _set.excluded.free_at})
)
_SPENT_ROW: dict[str, sa.types.TypeEngine[Any]] = {"name": _words, "start": _whole, "count": _whole}


def _adding(row: Insert) -> sa.Executable:
    """Return an INSERT that adds to what is counted already."""
    together = {"count": spent.c.count + row.excluded.count}
    return row.on_conflict_do_update(index_elements=["name", "start"], set_=together)


_COUNT = PreparedRows(
    list(_SPENT_ROW),
    _adding(insert(spent).values({name: sa.bindparam(name) for name in _SPENT_ROW})),
    at_server=_adding(insert(spent).from_select(list(_SPENT_ROW), sa.select(*rows_of("rows", _SPENT_ROW).c))),
)
_DROP = Prepared(
    sa.delete(spent).where(spent.c.name == sa.bindparam("p_name"), spent.c.start == sa.bindparam("p_start"))
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
