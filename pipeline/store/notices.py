"""Notices of replies: letters of ours in a store of their own, under the same fence.

They lie in a database beside the campaign's (`campaign-notices.db`; at a server, a schema), with the same
tables, so that the queue, the fence and the journal are the very same code, and no count of the campaign's
letters ever has to leave them out. Its key for tokens is another one: no envelope id of a notice can be taken
for a letter's.

A notice's identity is the mails it holds and whom it is for: the mail's fingerprint, not a reply's number,
which a restored backup could give away anew. A mail is in one notice to an address, and in no second one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from pipeline.clock import Clock
from pipeline.delivery.letter import State
from pipeline.mail.address import Mailbox
from pipeline.mail.identity import message_id
from pipeline.store import migrations
from pipeline.store.address import notices_schema
from pipeline.store.database import Database
from pipeline.store.dialect import has_schema, insert
from pipeline.store.history import LetterLine, letters_in
from pipeline.store.postgres import PostgresSchema
from pipeline.store.sqlite_file import SqliteFile
from pipeline.store.tables import letters, mails, replies
from pipeline.store.world import World

CAMPAIGN = "notices"


@dataclass(frozen=True, slots=True)
class Forwardable:
    """A reply of a person: the mail it was made of, how long it is at most, and whose it is."""

    sha256: str
    size: int  # octets
    address: str
    forwarded_by: str


def open_notices(world: World, *, clock: Clock) -> World:
    """Open (or make) the notices' store beside the campaign's; close its ``campaign`` alone."""
    return replace(
        world,
        campaign=Database(_place(world), (migrations.CAMPAIGN,), clock=clock),
        store_id=f"{world.store_id}-notices",
        secret=hmac.digest(world.secret, b"notices", "sha256"),
    )


def have_notices(world: World) -> bool:
    """Say whether there is a notices' store."""
    place = _place(world)
    if isinstance(place, Path):
        return place.exists()
    with world.campaign.reading() as connection:
        return has_schema(connection, place.schema)


def is_notice(connection: sa.Connection, message: str) -> bool:
    """Say whether a Message-ID, without angle brackets, is a notice's; ``connection`` is of their store."""
    query = sa.select(letters.c.id).where(letters.c.message_id == f"<{message}>")
    return connection.execute(query).first() is not None


def forwardable(connection: sa.Connection) -> list[Forwardable]:
    """Return the replies of people, oldest first; ``connection`` is of the campaign's store."""
    query = (
        sa.select(mails.c.sha256, mails.c.size, replies.c.address, replies.c.forwarded_by)
        .join(mails, mails.c.id == replies.c.mail)
        .where(replies.c.kind == "human", replies.c.ours.is_(False), mails.c.raw.is_not(None))
        .order_by(replies.c.received_at, replies.c.id)
    )
    return [Forwardable(*row) for row in connection.execute(query)]


def passed_on(connection: sa.Connection, recipient: str) -> set[str]:
    """Return the fingerprints of the mails that are in a notice to a recipient key."""
    rows = connection.execute(sa.select(letters.c.row).where(letters.c.recipient == recipient)).scalars()
    return {sha256 for row in rows for sha256 in mails_of(json.loads(row))}


def mails_of(values: Mapping[str, str]) -> list[str]:
    """Return the fingerprints of the mails in a notice, from its row."""
    return values["mails"].split()


def queue_notice(
    connection: sa.Connection, found: Sequence[str], to: Mailbox, *, domain: str, secret: bytes, now_us: int
) -> None:
    """Queue one notice that holds the mails ``found``; one that is there already stays as it is."""
    mark = found[0] if len(found) == 1 else hashlib.sha256(" ".join(found).encode()).hexdigest()
    local = hmac.digest(secret, f"{mark} {to.address.key}".encode(), "sha256")
    row = {
        "campaign": CAMPAIGN,
        "round": 0,
        "signatory": mark,
        "recipient": to.address.key,
        "message_id": message_id(base64.b32encode(local)[:26].decode().lower(), domain),
        "email": to.address.wire,
        "domain": to.address.domain,
        "language": "en",
        "timezone": "",
        "line": 0,
        "row": json.dumps({"mails": " ".join(found)}),
        "seen": 0,
        "state": str(State.QUEUED),
        "due_at": now_us,
        "planned_at": now_us,
        "released_at": now_us,
    }
    connection.execute(insert(letters).values(row).on_conflict_do_nothing())


def troubles(connection: sa.Connection) -> list[LetterLine]:
    """Return the notices that failed or are in doubt."""
    return letters_in(connection, [State.FAILED, State.IN_DOUBT])


def replies_of(connection: sa.Connection, found: Collection[str]) -> list[tuple[int, bytes]]:
    """Return for mails of the campaign's store the number of the reply and the mail, in the order asked."""
    query = sa.select(mails.c.sha256, replies.c.id, mails.c.raw).join(mails, mails.c.id == replies.c.mail)
    rows = {
        row.sha256: (int(row.id), zlib.decompress(row.raw) if row.raw is not None else b"")
        for row in connection.execute(query.where(mails.c.sha256.in_(list(found))))
    }
    return [rows[sha256] for sha256 in found if sha256 in rows]


def _place(world: World) -> Path | PostgresSchema:
    medium = world.campaign.medium
    if isinstance(medium, SqliteFile):
        return medium.path.with_name(f"{medium.path.stem}-notices{medium.path.suffix}")
    assert isinstance(medium, PostgresSchema)
    return medium.server.schema(notices_schema(world.key))
