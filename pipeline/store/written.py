"""Letters that went out, as the matching of replies asks for them.

`learn` writes down subject, recipient and domain of letters that it does not know yet; it is called before
mail is sorted, and reads each letter once. `WrittenLetters` fulfils `pipeline.replies.matching.Letters`.

Limits: where `[store] bytes = false` there is no subject and no text to compare with.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from pipeline.clock import from_us
from pipeline.delivery.letter import State
from pipeline.mail.address import AddressFault, address_key, parse_address
from pipeline.mail.fields import decode_words, read_fields
from pipeline.mail.mime import read_mail
from pipeline.replies.matching import WEIGHED, SentLetter
from pipeline.replies.subject import topic
from pipeline.replies.text import text_lines
from pipeline.store.database import Database
from pipeline.store.dialect import insert
from pipeline.store.tables import bundles, contents, letters, written

AT_ONCE = 2_000  # letters learnt in one transaction
PACKED_KEPT = 8  # bundles unpacked in memory


def learn(campaign: Database) -> int:
    """Write down what is not known yet of letters that went out; return how many there were."""
    total = 0
    while True:
        with campaign.reading() as connection:
            rows = _unknown(connection)
        if not rows:
            return total
        with campaign.writing() as connection:
            connection.execute(insert(written).on_conflict_do_nothing(), rows)
        total += len(rows)


def _unknown(connection: sa.Connection) -> list[dict[str, object]]:
    query = (
        sa.select(contents.c.letter, letters.c.recipient, letters.c.domain)
        .add_columns(contents.c.bundle, contents.c.start, contents.c.size)
        .join(letters, letters.c.id == contents.c.letter)
        .where(~sa.exists().where(written.c.letter == contents.c.letter))
        .order_by(contents.c.letter)
        .limit(AT_ONCE)
    )
    packed = PackedMessages(connection)
    found: list[dict[str, object]] = []
    for row in connection.execute(query).all():
        raw = packed.message(row.bundle, row.start, row.size)
        fields, _ = read_fields(raw)
        subject = decode_words(fields.raw("Subject") or b"")
        about = {"letter": row.letter, "recipient": row.recipient, "domain": row.domain}
        found.append(about | {"subject": subject, "topic": topic(subject)})
    return found


class WrittenLetters:
    """Look-ups over one connection that reads."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._packed = PackedMessages(connection)
        self._text = lru_cache(maxsize=64)(self._text_of)

    def by_number(self, number: int) -> SentLetter | None:
        """Return the letter with this number."""
        return self._one(letters.c.id == number)

    def by_message_id(self, message_id: str) -> SentLetter | None:
        """Return the letter with this Message-ID, without angle brackets."""
        return self._one(letters.c.message_id == f"<{message_id}>")

    def by_recipient(self, address: str) -> Sequence[SentLetter]:
        """Return the latest letters to an address, or to a domain, written "@example.org"."""
        try:
            if address.startswith("@"):
                return self._latest(written.c.domain == parse_address(f"someone{address}").domain)
            return self._latest(written.c.recipient == address_key(address))
        except AddressFault:
            return ()

    def by_topic(self, topic: str) -> Sequence[SentLetter]:
        """Return the latest letters whose subject is about this."""
        return self._latest(written.c.topic == topic)

    def text_of(self, letter: SentLetter) -> str:
        """Return the plain text of a letter; "" where it is not kept."""
        return self._text(letter.number)

    def _one(self, wanted: sa.ColumnElement[bool]) -> SentLetter | None:
        row = self._connection.execute(_LETTER.where(wanted)).first()
        return _sent(row) if row is not None else None

    def _latest(self, wanted: sa.ColumnElement[bool]) -> list[SentLetter]:
        query = _LETTER.where(wanted).order_by(written.c.letter.desc()).limit(WEIGHED)
        return [_sent(row) for row in self._connection.execute(query)]

    def _text_of(self, number: int) -> str:
        kept = sa.select(contents.c.bundle, contents.c.start, contents.c.size)
        row = self._connection.execute(kept.where(contents.c.letter == number)).first()
        raw = self._packed.message(*row) if row is not None else b""
        return "\n".join(line.text for line in text_lines(read_mail(raw)))


class PackedMessages:
    """Messages out of their bundles; the last few bundles stay unpacked."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._unpack = lru_cache(maxsize=PACKED_KEPT)(self._read)

    def message(self, bundle: int | None, start: int, size: int) -> bytes:
        """Return a message; b"" where it is not kept."""
        return self._unpack(bundle)[start : start + size] if bundle is not None else b""

    def _read(self, bundle: int) -> bytes:
        packed = self._connection.scalar(sa.select(bundles.c.packed).where(bundles.c.id == bundle))
        return zlib.decompress(packed) if packed is not None else b""


_LETTER = sa.select(
    letters.c.id,
    letters.c.message_id,
    letters.c.email,
    letters.c.state,
    letters.c.ended_at,
    letters.c.signatory,
    written.c.subject,
).outerjoin(written, written.c.letter == letters.c.id)


def _sent(row: Any) -> SentLetter:
    record = row._mapping
    sent = record["ended_at"] if record["state"] == State.SENT else None
    return SentLetter(
        record["id"],
        record["message_id"].strip("<>"),
        record["email"],
        record["subject"] or "",
        from_us(sent) if sent is not None else None,
        record["signatory"],
    )
