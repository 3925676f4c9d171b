"""The trip switch: when refusals mean that something is wrong with us, stop before the list is burned.

Pure; fed with every definite answer, it says when to stop a domain or the run. An accepted letter resets the
rows it belongs to.

    3 policy refusals in a row at one recipient domain   that domain waits
    10 refusals in a row, whatever the domain            the run stops
    policy refusals >= 10 % of at least 30 answers       the run stops
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

DOMAIN_ROW = 3
RUN_ROW = 10
RUN_SHARE = 0.10
RUN_SHARE_FROM = 30


class Trip(StrEnum):
    """What the switch says."""

    NONE = "none"
    DOMAIN = "domain"  # leave this domain alone for now
    RUN = "run"  # stop


class TripSwitch:
    """Counts the answers of one run."""

    def __init__(self) -> None:
        self._domain_row: Counter[str] = Counter()
        self._row = 0
        self._policy = 0
        self._answers = 0

    def accepted(self, domain: str) -> None:
        """Take note of an accepted letter."""
        self._answers += 1
        self._row = 0
        self._domain_row.pop(domain, None)

    def refused(self, domain: str, *, policy: bool) -> Trip:
        """Take note of a refusal that counts; ``policy``: it spoke about us, not about address or letter."""
        self._answers += 1
        self._row += 1
        if policy:
            self._policy += 1
            self._domain_row[domain] += 1
        share = self._policy / self._answers
        if self._row >= RUN_ROW or (self._answers >= RUN_SHARE_FROM and share >= RUN_SHARE):
            return Trip.RUN
        return Trip.DOMAIN if self._domain_row[domain] >= DOMAIN_ROW else Trip.NONE
