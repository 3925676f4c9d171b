"""The thread of a follow-up: the letters before it, as its header names them and its words may tell of them.

RFC 5322 3.6.4: In-Reply-To names the letter before it, References all letters of the thread, the first one
first; a mail program files a follow-up below the first letter by these.

Contract: pure. A thread is kept as JSON with its letter. Its template has two more columns:
`recipient.earlier_subject`, and `recipient.earlier_date`, the day the letter before it was sent (2027-04-20).

Limits: at most 20 letters are named, the first and the latest.
"""

from __future__ import annotations

import json
from typing import NamedTuple

FOLLOWUP = "followup"  # how the files of their words begin
MOST_NAMED = 20
COLUMNS = ("earlier_subject", "earlier_date")


def file_of(language: str) -> str:
    """Return the name of the file with a language's follow-up."""
    return f"templates/{FOLLOWUP}.{language}.md"


class Thread(NamedTuple):
    """The letters before a follow-up of ``round`` (from 1): their Message-IDs, with angle brackets, in order;
    subject and day (ISO 8601) of the latest."""

    round: int
    message_ids: tuple[str, ...]
    subject: str
    date: str

    def text(self) -> str:
        """Return it as it is kept."""
        return json.dumps(self._asdict(), ensure_ascii=False, separators=(",", ":"))

    def columns(self) -> dict[str, str]:
        """Return what a template may tell of the letter before, as columns of its row."""
        return dict(zip(COLUMNS, (self.subject, self.date), strict=True))

    def fields(self) -> tuple[tuple[str, bytes], ...]:
        """Return the header fields that put a follow-up into its thread, folded, one Message-ID a line."""
        named = [one.encode("ascii") for one in self.message_ids]
        if len(named) > MOST_NAMED:
            named = [named[0], *named[-MOST_NAMED + 1 :]]
        return ("In-Reply-To", named[-1]), ("References", b"\r\n ".join(named))


SAMPLE = Thread(1, ("<earlier@check.invalid>",), "-", "2027-01-01")  # for a follow-up that is only checked


def read_thread(text: str) -> Thread | None:
    """Return a thread as it was kept; None for a first letter, which has none."""
    if not text:
        return None
    kept = json.loads(text)
    return Thread(kept["round"], tuple(kept["message_ids"]), kept["subject"], kept["date"])
