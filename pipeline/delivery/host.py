"""A host that sends, among others on one store, as it is told of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HostLine:
    """One run of a host: whether it lives, and what it has in hand.

    ``letters`` are queued and in its hands, in ``batches``; ``open`` have their permission and no answer yet.
    Times are the store's.
    """

    name: str
    pid: int
    run: int
    started_at: datetime
    seen_at: datetime
    alive: bool
    ended: bool
    batches: int
    letters: int
    open: int
