"""Fetched mail: kept as it came, in one transaction with the mark of its mailbox, before it is sorted.

`Mails` fulfils `pipeline.replies.collecting.Shelf`. Sorting reads `unsorted` and says `sorted_now` in its own
transaction, together with what it made of the mail.

Limits: a mail is packed by itself (zlib); nothing is ever deleted here, an erasure empties `raw`.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pipeline.clock import Clock, from_us, to_us
from pipeline.replies.mailbox import Extent, Fetched, Mark, fingerprint
from pipeline.store.database import Database
from pipeline.store.dialect import insert
from pipeline.store.tables import mailboxes, mails

AT_ONCE = 100  # numbers read in one go


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail of the store; ``raw`` is None once it was erased."""

    id: int
    sha256: str
    mailbox: str
    source: str
    raw: bytes | None
    extent: Extent
    size: int
    flags: frozenset[str]
    why: str
    received_at: datetime | None
    fetched_at: datetime


class Mails:
    """The mails of one campaign."""

    def __init__(self, campaign: Database, *, clock: Clock) -> None:
        self._campaign = campaign
        self._clock = clock

    def mark(self, mailbox: str) -> Mark:
        """Return the mark of a mailbox; '' for one never fetched from. Raises StoreUnwritable, as all do."""
        with self._campaign.reading() as connection:
            found = connection.scalar(sa.select(mailboxes.c.mark).where(mailboxes.c.name == mailbox))
        return str(found or "")

    def keep(self, mailbox: str, batch: Sequence[Fetched], mark: Mark) -> int:
        """Keep those of ``batch`` that are new, and the mark, together; return how many were new."""
        rows = [_row(mailbox, mail) for mail in batch]  # packed before the transaction begins
        with self._campaign.writing() as connection:
            new = sum(_insert(connection, row, now_us=to_us(self._clock.now())) for row in rows)
            _remember(connection, mailbox, mark)
        return new

    def remember(self, mailbox: str, mark: Mark) -> None:
        """Keep a mark."""
        with self._campaign.writing() as connection:
            _remember(connection, mailbox, mark)


def unsorted(connection: sa.Connection, *, after: int = 0) -> Iterator[StoredMail]:
    """Yield the mails that wait to be sorted, by number; those behind number ``after``."""
    query = sa.select(mails.c.id).where(mails.c.sorted_at.is_(None)).order_by(mails.c.id).limit(AT_ONCE)
    while numbers := connection.execute(query.where(mails.c.id > after)).scalars().all():
        for number in numbers:  # one by one: a mail may hold many megabytes
            if (found := mail(connection, number)) is not None:
                yield found
        after = numbers[-1]


def mail(connection: sa.Connection, number: int) -> StoredMail | None:
    """Return one mail; None where there is no such number."""
    row = connection.execute(sa.select(mails).where(mails.c.id == number)).first()
    return _stored(row) if row else None


def sorted_now(connection: sa.Connection, numbers: Collection[int], *, now_us: int) -> None:
    """Write down that mails are sorted."""
    change = sa.update(mails).where(mails.c.id == sa.bindparam("number")).values(sorted_at=now_us)
    if numbers:
        connection.execute(change, [{"number": number} for number in numbers])


def _row(mailbox: str, mail: Fetched) -> dict[str, object]:
    return {
        "sha256": fingerprint(mail),
        "mailbox": mailbox,
        "source": mail.source,
        "raw": zlib.compress(mail.raw),
        "extent": str(mail.extent),
        "size": mail.size,
        "flags": " ".join(sorted(mail.flags)),
        "why": mail.why,
        "received_at": to_us(mail.received_at) if mail.received_at is not None else None,
    }


def _insert(connection: sa.Connection, row: dict[str, object], *, now_us: int) -> int:
    new = insert(mails).values(**row, fetched_at=now_us)
    return connection.execute(new.on_conflict_do_nothing(index_elements=["sha256"])).rowcount


def _remember(connection: sa.Connection, mailbox: str, mark: Mark) -> None:
    row = insert(mailboxes).values(name=mailbox, mark=mark)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"mark": row.excluded.mark}))


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredMail:
    record = row._mapping
    packed, received = record["raw"], record["received_at"]
    return StoredMail(
        id=record["id"],
        sha256=record["sha256"],
        mailbox=record["mailbox"],
        source=record["source"],
        raw=zlib.decompress(packed) if packed is not None else None,
        extent=Extent(record["extent"]),
        size=record["size"],
        flags=frozenset(record["flags"].split()),
        why=record["why"],
        received_at=from_us(received) if received is not None else None,
        fetched_at=from_us(record["fetched_at"]),
    )
