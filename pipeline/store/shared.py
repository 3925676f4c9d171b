"""What campaigns share: who is not to be written to, and which store is at which place.

A suppression is found by the HMAC of the address key, so it outlives the address it was made from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.clock import Dice, from_us, to_us
from pipeline.recipients.suppression import Reason, Suppression, suppression_hash
from pipeline.store.dialect import Connected, Prepared, as_rows, insert, rows_of
from pipeline.store.tables import places, shared_meta, suppressions

ASKED_AT_ONCE = 500  # hashes in one question


def make_secret(connection: sa.Connection, dice: Dice) -> None:
    """Make the key of the suppressions' hashes, once for the life of the file."""
    row = insert(shared_meta).values(name="secret", value=dice.token(32).hex())
    connection.execute(row.on_conflict_do_nothing(index_elements=["name"]))


def shared_secret(connection: sa.Connection) -> bytes:
    """Return the key of the suppressions' hashes; `open_world` has made it."""
    query = sa.select(shared_meta.c.value).where(shared_meta.c.name == "secret")
    return bytes.fromhex(connection.execute(query).scalar_one())


def suppressed(connection: sa.Connection, keys: Collection[str], secret: bytes) -> dict[str, Suppression]:
    """Return those of the address keys that must not be written to."""
    hashes = {suppression_hash(secret, key): key for key in keys}
    found: dict[str, Suppression] = {}
    asked = list(hashes)
    for start in range(0, len(asked), ASKED_AT_ONCE):
        some = asked[start : start + ASKED_AT_ONCE]
        query = sa.select(suppressions).where(suppressions.c.hash.in_(some))
        found |= {hashes[row.hash]: _suppression(row) for row in connection.execute(query)}
    return found


def barred(connection: Connected, hashes: Collection[str]) -> dict[str, str]:
    """Return those of the hashes of address keys that must not be written to, each with the reason."""
    asked = as_rows((hash_,) for hash_ in hashes)
    return {hash_: f"{reason}: {source}" for hash_, reason, source in _BARRED.run(connection, asked=asked)}


_asked = rows_of("asked", {"hash": sa.Text()})
_BARRED = Prepared(
    sa.select(suppressions.c.hash, suppressions.c.reason, suppressions.c.source).join(
        _asked, _asked.c.hash == suppressions.c.hash
    )
)


def suppress(connection: sa.Connection, entry: Suppression) -> bool:
    """Add an entry; an address that is suppressed already keeps its first reason.

    Return whether it is new.
    """
    row = insert(suppressions).values(
        hash=entry.hash,
        address=entry.address,
        reason=entry.reason,
        source=entry.source,
        since=to_us(entry.since),
    )
    return connection.execute(row.on_conflict_do_nothing(index_elements=["hash"])).rowcount == 1


def lift(connection: sa.Connection, hash_: str) -> bool:
    """Remove an entry; return whether there was one."""
    return connection.execute(sa.delete(suppressions).where(suppressions.c.hash == hash_)).rowcount == 1


def all_suppressions(connection: sa.Connection) -> Iterator[Suppression]:
    """Yield all entries, oldest first."""
    for row in connection.execute(
        sa.select(suppressions).order_by(suppressions.c.since, suppressions.c.hash)
    ):
        yield _suppression(row)


def _suppression(row: sa.Row[tuple[object, ...]]) -> Suppression:
    record = row._mapping
    return Suppression(
        hash=record["hash"],
        address=record["address"],
        reason=Reason(record["reason"]),
        source=record["source"],
        since=from_us(record["since"]),
    )


@dataclass(frozen=True, slots=True)
class Sighting:
    """A store as it was last seen from this user's account: where, and how far it had come."""

    path: str
    epoch: int
    sent: int


def last_seen(connection: sa.Connection, store_id: str) -> Sighting | None:
    """Return where a store was last used; None for one never seen here."""
    row = connection.execute(sa.select(places).where(places.c.store_id == store_id)).first()
    return Sighting(row.path, row.epoch, row.sent) if row else None


def remember_place(connection: sa.Connection, store_id: str, sighting: Sighting, *, now_us: int) -> None:
    """Write down where a store is used, and how far it has come."""
    row = insert(places).values(
        store_id=store_id, path=sighting.path, epoch=sighting.epoch, sent=sighting.sent, seen_at=now_us
    )
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["store_id"],
            set_={name: row.excluded[name] for name in ("path", "epoch", "sent", "seen_at")},
        )
    )
