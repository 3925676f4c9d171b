"""What `status` knows, as one value: made from the store, shown in words or as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.delivery.host import HostLine
from pipeline.delivery.letter import State
from pipeline.report.replies import Outcome, ReplyFigures

SCHEMA = 1  # of `status --json`


@dataclass(frozen=True, slots=True)
class Note:
    """Something to look at: a stable word for machines, the words, and what to do."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """What came back: replies that answer no letter, or that a person should look at; letters that bounced.

    ``figures`` are of the letters that were sent; None where nothing came back at all.
    """

    unmatched: int = 0
    review: int = 0
    bounced: int = 0
    figures: ReplyFigures | None = None

    def document(self) -> dict[str, Any]:
        """Return what `status --json` says of it."""
        found = self.figures
        share, median = (found.share, found.median) if found else (None, None)
        return {
            "unmatched": self.unmatched,
            "review": self.review,
            "bounced": self.bounced,
            **{str(kind): found.counts[kind] if found else 0 for kind in Outcome},
            "share": {"value": share.value, "low": share.low, "high": share.high, "of": share.of}
            if share
            else None,
            "median_days": {"days": median.days, "low": median.low, "high": median.high} if median else None,
            "notes": list(found.notes) if found else [],
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a campaign stands."""

    campaign: str
    world: str
    letters: dict[State, int]
    deferred: int  # of the queued letters: due later
    replies: dict[str, int]
    next_due: datetime | None
    notes: Sequence[Note]
    running: bool = False  # a run is at work now
    back: Back = field(default_factory=Back)
    recorded: int = 0  # of the letters that were sent: by supporters themselves
    hosts: Sequence[HostLine] = ()  # that send from one store; none where there can be one only

    @property
    def total(self) -> int:
        """All letters; the eight states add up to it."""
        return sum(self.letters.values())

    def document(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        return {
            "schema": SCHEMA,
            "campaign": self.campaign,
            "world": self.world,
            "letters": {"total": self.total} | {str(state): number for state, number in self.letters.items()},
            "recorded": self.recorded,
            "replies": self.replies,
            "answers": self.back.document(),
            "next_due": self.next_due,
            "problems": [
                {"code": note.code, "message": note.message, "hint": note.hint} for note in self.notes
            ],
            "hosts": [_host_document(host) for host in self.hosts],
        }

    @property
    def next_step(self) -> str:
        """Say what to do next."""
        if self.letters[State.IN_DOUBT]:
            return "`campaign resolve` to settle the letters in doubt"
        if any(note.code == "paused" for note in self.notes):
            return "`campaign resume` when letters may go again"
        if self.running:
            return "`campaign status --watch` to look on"
        if not self.total:
            return "`campaign check`, then `campaign send`"
        if self.letters[State.PLANNED]:
            return "`campaign send --dry-run`, then `campaign send`"
        if self.letters[State.QUEUED]:
            return "`campaign send`, or let cron do it: `campaign run --print-cron`"
        if self.back.review:
            return "`campaign replies list --review` for what a person should look at"
        if self.letters[State.FAILED]:
            return "`campaign show ADDRESS` tells why a letter failed; `campaign resend ADDRESS` tries again"
        return "nothing waits; `campaign show ADDRESS` tells one letter's story"


def _host_document(host: HostLine) -> dict[str, Any]:
    return {
        "name": host.name,
        "pid": host.pid,
        "run": host.run,
        "alive": host.alive,
        "ended": host.ended,
        "started_at": host.started_at,
        "seen_at": host.seen_at,
        "batches": host.batches,
        "letters": host.letters,
        "open": host.open,
    }
