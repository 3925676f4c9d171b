"""What is asked of a mailbox, whichever kind it is: new mail, as it lies there, and a mark to go on from.

A mailbox is only read. It yields each mail with where it lies (`Fetched`), and says for any run of mails what
has to be remembered once they are stored (`mark`). The mark is text that only the mailbox understands; the
store keeps it in the same transaction as the mails, so that it never runs ahead of them. What `after` asks
for is done last (`settle`), to mail that is stored; what could not be done stays in the mark and is done at
the next fetch.

A mailbox may yield a mail again: after a crash, or when its numbering changed (UIDVALIDITY, RFC 9051 section
2.3.1.1). Whoever stores them keeps one of each `fingerprint`.

Contract: every mailbox is bounded in memory and, where somebody else sends the bytes, in time. It raises
MailboxUnreached where a later fetch may go on, MailboxUnusable where a person has to do something.

Limits: a mail larger than the bound is kept with its headers only, and of those the first 256 KiB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pipeline.errors import CampaignError, ExitCode, Unusable

Mark = str  # '' before the first fetch
HEADER_BYTES = 256 * 1024


class MailboxUnreached(CampaignError):
    """The mailbox cannot be reached now, or was lost on the way; a later fetch goes on where this one was."""

    exit_code = ExitCode.WAITING


class MailboxUnusable(Unusable):
    """The mailbox will not have us, or is none: login, TLS, no such folder or file."""


class Extent(StrEnum):
    """How much of a mail there is."""

    WHOLE = "whole"
    HEADERS = "headers"  # the rest was too large, or could not be had
    NOTHING = "nothing"  # it is there and cannot be read


@dataclass(frozen=True, slots=True)
class Fetched:
    """One mail as it came out of a mailbox.

    ``size`` counts the octets of the whole mail, as far as the mailbox knows; ``why`` says why there is less
    than the whole ('' otherwise).
    """

    raw: bytes
    extent: Extent
    size: int
    source: (
        str  # where it lies in its mailbox: 'UIDVALIDITY/UID', a Maildir's unique name, an octet of an mbox
    )
    received_at: datetime | None  # aware; when the mailbox got it, where it says so
    flags: frozenset[str]  # of seen, answered, flagged, deleted, draft
    why: str = ""


class Mailbox(Protocol):
    """A place that mail comes to."""

    @property
    def name(self) -> str:
        """Return what marks are kept under; never a secret."""

    def new(self, since: Mark) -> Iterator[Fetched]:
        """Yield the mail that ``since`` does not cover, oldest first where the mailbox has an order.

        Raises MailboxUnreached, MailboxUnusable.
        """

    def mark(self, stored: Sequence[Fetched]) -> Mark:
        """Return the mark for when ``stored``, the mails yielded since the mark before, are stored too."""

    def settle(self) -> Mark | None:
        """Do what `after` asks for to the mails of the last mark; None where there was nothing to do.

        Call it once that mark is stored; the mark returned says that it is done. Raises like `new`.
        """

    def close(self) -> None:
        """Let go of the mailbox; may be called twice."""


def fingerprint(mail: Fetched) -> str:
    """Return the SHA-256, in hex, by which a mail is known again wherever it lies.

    Line ends are read as LF: the same mail has CRLF over IMAP and LF in a Maildir. What is known of less than
    the whole has a fingerprint of its own.
    """
    digest = hashlib.sha256(mail.raw.replace(b"\r\n", b"\n"))
    if mail.extent is not Extent.WHOLE:
        digest.update(f"\0{mail.extent} of {mail.size}".encode())
        if not mail.raw:
            digest.update(f" at {mail.source}".encode())
    return digest.hexdigest()


def headers_of(start: bytes) -> bytes:
    """Return the header lines, with the empty line behind them, from the start of a mail."""
    start = start[:HEADER_BYTES]
    ends = [at + len(gap) for gap in (b"\n\n", b"\n\r\n") if (at := start.find(gap)) >= 0]
    return start[: min(ends)] if ends else start


def too_large(bound: int) -> str:
    """Return why only the headers of a mail are kept."""
    return f"larger than {bound:_} octets: only its headers were kept".replace("_", " ")
