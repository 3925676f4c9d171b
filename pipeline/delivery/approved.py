"""The bytes that somebody approved, instead of those that today's files would give.

Where there is an approval, this composer stands before the other one (`compose.Composer`): a letter that was
never permitted goes with the bytes of its approved draft, read and hashed at the last moment, or it does not
go. What was frozen at an earlier attempt goes as it was.

The Date is part of what was approved. Only where it is more than `STALE` old when the letter first leaves,
the Date - and nothing else - is set anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from pipeline.clock import Clock
from pipeline.delivery.letter import NOT_APPROVED, Approved, Letter, State
from pipeline.delivery.parcel import Compose, Composed, Unfit
from pipeline.letters.dating import with_date
from pipeline.letters.drafts import DraftFolder, NotTheDraft
from pipeline.letters.message import MessageFault
from pipeline.mail import headers

STALE = timedelta(days=3)


class Shelf(Protocol):
    """Where it stands what was approved."""

    def find(self, letter: int) -> Approved | None:
        """Return what was approved of a letter; None where nothing was."""


@dataclass(frozen=True, slots=True)
class ApprovedComposer:
    """Letters as they were approved; ``compose`` is for those that were permitted before."""

    compose: Compose
    shelf: Shelf
    drafts: DraftFolder
    zone: ZoneInfo
    clock: Clock

    def __call__(self, letter: Letter, eightbit: bool) -> Composed:
        """Return the letter's bytes. Raises Unfit, which leaves the letter planned where an approval would
        mend it."""
        if letter.content is not None:
            return self.compose(letter, eightbit)
        found = self.shelf.find(letter.id)
        if found is None:
            if letter.sha256:  # it was permitted before anything was approved
                return self.compose(letter, eightbit)
            raise Unfit(NOT_APPROVED, State.PLANNED)
        try:
            content = self.drafts.read(found.file, size=found.size, sha256=found.sha256)
            return self._dated(content, found.built_at, letter.built_at)
        except (NotTheDraft, MessageFault) as fault:
            raise Unfit(str(fault), State.PLANNED) from None

    def _dated(self, content: bytes, approved: datetime, frozen: datetime | None) -> Composed:
        """Return the bytes with the Date that they leave with; ``frozen`` is that of an earlier attempt."""
        now = self.clock.now()
        date = frozen or (now if is_stale(approved, now) else approved)
        if date != approved:
            content = with_date(content, headers.date(date.astimezone(self.zone)))
        return Composed(content, date)


def is_stale(date: datetime, now: datetime) -> bool:
    """Say whether an approved Date is too old to leave with."""
    return now - date > STALE
