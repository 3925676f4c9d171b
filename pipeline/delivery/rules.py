"""Which limits a letter falls under.

Pure: rules are made from the configuration, claims from rules and a letter; `limits.py` is the arithmetic,
and what a limit stands at is the store's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pipeline.delivery.letter import Letter
from pipeline.delivery.limits import Limit, Limits, Pace, show_limit
from pipeline.letters.kept import Kept

MOST_DOMAINS = 4_096  # whose claims are kept


class Claim(NamedTuple):
    """One limit that a letter falls under: the row's name in the store, and the words for people."""

    name: str
    limit: Limit
    label: str
    run_wide: bool = False  # it holds for every letter of the run, so others need not be tried


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit without room, and when it opens."""

    claim: Claim
    opens_us: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of pace for one run."""

    relay: str  # the relay's name: rows of its limits carry it
    limits: Limits
    recipient_name: Callable[[str], str]  # recipient key -> row name that tells nothing about the address
    zone: ZoneInfo  # the campaign's own
    expires: datetime | None = None
    follow: bool = False
    sessions: int = 4
    most: int | None = None  # letters this run may hand out
    _of_domain: Kept[str, tuple[Claim, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of_domain", Kept(self._claims_of, MOST_DOMAINS))

    def claims(self, letter: Letter, name: str = "") -> tuple[Claim, ...]:
        """Return every limit ``letter`` falls under; ``name`` is `recipient_name`'s, where it is known."""
        shared, cap = self._of_domain[letter.domain], self.limits.per_recipient
        if cap is None:
            return shared
        name = name or self.recipient_name(letter.recipient_key)
        return (*shared, Claim(recipient_row(name), cap, _label("per recipient", cap)))

    def _claims_of(self, domain: str) -> tuple[Claim, ...]:
        """Return the limits that all letters to a domain fall under."""
        limits, out = self.limits, []
        if limits.relay is not None:
            out.append(Claim(f"relay {self.relay}", limits.relay, _label("relay", limits.relay), True))
        if limits.day is not None:
            out.append(Claim(f"day {self.relay}", limits.day, _label("day", limits.day), True))
        limit = limits.for_domain(domain)
        if limit is not None:
            out.append(Claim(f"domain {self.relay} {domain}", limit, _label(domain, limit)))
        return tuple(out)

    @property
    def paced(self) -> bool:
        """Whether letters leave one by one, as a pace says."""
        limits = (self.limits.relay, self.limits.per_domain, *self.limits.domains.values())
        return any(isinstance(limit, Pace) for limit in limits)


RECIPIENT = "recipient "


def recipient_row(hash_: str) -> str:
    """Return the name of a recipient's limit; ``hash_`` is `recipient_name`'s.

    Half of the hash tells recipients apart as well (128 bits), and as many again of the rows fit a page.
    """
    return RECIPIENT + hash_[:32]


@lru_cache(maxsize=64)
def _label(label: str, limit: Limit) -> str:
    return f"limit {label} {show_limit(limit)}"
