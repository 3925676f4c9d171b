"""Bounces that may mean an address, and signs that it lives: counted over all campaigns of this user."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from pipeline.clock import from_us, to_us
from pipeline.recipients.suppression import Suppression, suppression_hash
from pipeline.replies.acting import Acts, Barring
from pipeline.replies.kinds import Reason
from pipeline.replies.strikes import Strike, suppressing
from pipeline.store import shared
from pipeline.store.dialect import insert
from pipeline.store.tables import strikes


def carry_out(
    connection: sa.Connection, acts: Acts, *, source: str, at: datetime, now: datetime
) -> list[Barring]:
    """Do what follows from a reply to addresses, in the caller's transaction; doing it again changes nothing.

    Args:
        connection: of the shared store.
        acts: what follows.
        source: the store and mail it came from; a strike counts once for each.
        at: when the mail came, aware.
        now: aware.

    Returns:
        The addresses that are newly suppressed.
    """
    secret = shared.shared_secret(connection)
    barred = list(acts.bar)
    if acts.alive:
        gone = sa.delete(strikes).where(strikes.c.hash == suppression_hash(secret, acts.alive))
        connection.execute(gone.where(strikes.c.at <= to_us(at)))
    if acts.strike is not None:
        key, reason, said = acts.strike
        hash_ = suppression_hash(secret, key)
        row = {"hash": hash_, "source": source, "reason": str(reason), "at": to_us(at)}
        connection.execute(insert(strikes).values(row).on_conflict_do_nothing())
        if (why := suppressing(_of(connection, hash_), now=now)) is not None:
            barred.append(Barring(key, why, said))
    return [one for one in barred if _suppress(connection, one, secret, now)]


def _of(connection: sa.Connection, hash_: str) -> list[Strike]:
    rows = connection.execute(sa.select(strikes.c.reason, strikes.c.at).where(strikes.c.hash == hash_))
    return [Strike(Reason(row.reason), from_us(row.at)) for row in rows]


def _suppress(connection: sa.Connection, one: Barring, secret: bytes, now: datetime) -> bool:
    entry = Suppression(
        hash=suppression_hash(secret, one.key),
        address=one.key,
        reason=one.reason,
        source=one.source,
        since=now,
    )
    return shared.suppress(connection, entry)
