"""From a mailbox into the store: raw first, sorted later.

Mails are stored in batches, each in one transaction with the mark behind it. So a crash, at any moment, loses
nothing and doubles nothing: what was not committed is fetched again, and what is fetched again is known by
its fingerprint. What `after` asks for is done to mail that is committed, and to no other.

Contract: no I/O of its own; the mailbox and the shelf are handed in. Memory: one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.replies.mailbox import Extent, Fetched, Mailbox, MailboxUnreached, MailboxUnusable, Mark

BATCH_MAILS = 200
BATCH_BYTES = 8_000_000


class Shelf(Protocol):
    """Where fetched mail is kept until it is sorted, and after."""

    def mark(self, mailbox: str) -> Mark:
        """Return the mark of a mailbox; '' for one never fetched from."""

    def keep(self, mailbox: str, batch: Sequence[Fetched], mark: Mark) -> int:
        """Keep those of ``batch`` that are not known by fingerprint, and the mark, in one transaction.

        Return how many were new.
        """

    def remember(self, mailbox: str, mark: Mark) -> None:
        """Keep a mark."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a fetch brought: ``partial`` of the mails are not whole; ``stopped`` is what ended it early."""

    new: int = 0
    known: int = 0
    partial: int = 0
    stopped: MailboxUnreached | None = None


def collect(mailbox: Mailbox, shelf: Shelf) -> Collected:
    """Store the new mail of ``mailbox`` and return what came.

    A mailbox that is lost on the way ends the fetch, which then says so; what came before is kept. Raises
    MailboxUnusable where a person has to do something, StoreUnwritable.
    """
    new = known = partial = 0
    stopped: MailboxUnreached | None = None
    try:
        for batch in _batches(mailbox.new(shelf.mark(mailbox.name))):
            kept = shelf.keep(mailbox.name, batch, mailbox.mark(batch))
            new += kept
            known += len(batch) - kept
            partial += sum(mail.extent is not Extent.WHOLE for mail in batch)
            if (settled := mailbox.settle()) is not None:
                shelf.remember(mailbox.name, settled)
    except MailboxUnreached as trouble:
        stopped = trouble
    finally:
        mailbox.close()
    return Collected(new, known, partial, stopped)


def _batches(mails: Iterator[Fetched]) -> Iterator[list[Fetched]]:
    """Yield what comes in batches; what came before the mailbox was lost is a batch too."""
    batch: list[Fetched] = []
    octets = 0
    try:
        for mail in mails:
            batch.append(mail)
            octets += len(mail.raw)
            if len(batch) >= BATCH_MAILS or octets >= BATCH_BYTES:
                yield batch
                batch, octets = [], 0
    except (MailboxUnreached, MailboxUnusable):
        if batch:
            yield batch
        raise
    if batch:
        yield batch
