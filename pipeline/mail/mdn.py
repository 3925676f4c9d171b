"""Receipts: a reader's program says what became of the message (RFC 8098 3, disposition notifications).

Limits: a receipt says that a program showed or deleted the letter, not that anybody read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.mail.fields import addresses, read_fields
from pipeline.mail.mime import Mail

_LABELLED = frozenset({"message/disposition-notification", "message/global-disposition-notification"})


@dataclass(frozen=True, slots=True)
class Receipt:
    """``disposition`` is displayed, deleted, processed, ...; ``automatic`` that no person caused it."""

    recipient: str
    disposition: str
    automatic: bool
    original_message_id: str


def read_receipt(mail: Mail) -> Receipt | None:
    """Return the receipt this mail is, None where it is none; not one inside a forwarded message."""
    for part in mail.walk(into_messages=False):
        if part.type in _LABELLED:
            fields, _ = read_fields(part.content.lstrip(b"\r\n"))
            mode, _, kind = fields.get("Disposition").lower().partition(";")
            recipient = fields.raw("Original-Recipient") or fields.raw("Final-Recipient") or b""
            found = addresses(recipient.rpartition(b";")[2])
            return Receipt(
                found[0][1] if found else "",
                kind.strip().partition("/")[0],
                "automatic" in mode,
                next(iter(fields.message_ids("Original-Message-ID")), ""),
            )
    return None
