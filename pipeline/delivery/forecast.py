"""When would each letter leave? A forecast for people, from limits and hours alone. Pure.

It lets every letter pass the same paces, quotas and hours that a run asks the store for, on a clock of its own that
begins now. What earlier runs have used up already can be given as a start.

Limits: it knows nothing of deferrals, of the relay's speed, or of other campaigns; the real end is never earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.clock import from_us, to_us
from pipeline.delivery.hours import is_open, next_opening
from pipeline.delivery.limits import Bucket, Limit, Limits, Pace, grant_quota, grant_slots

MOST_STEPS = 10_000  # of one letter; a schedule of hours that never opens would not end


@dataclass(frozen=True, slots=True)
class Passing:
    """What a forecast needs of a letter."""

    recipient: str
    domain: str
    timezone: str


def forecast(
    letters: Iterable[Passing], limits: Limits, *, zone: ZoneInfo, now: datetime
) -> Iterator[datetime]:
    """Yield for each letter, in order, when it may leave at the earliest."""
    state = _State()
    moment = now
    for letter in letters:
        moment_of_letter = _pass(letter, limits, state, zone=zone, start=moment)
        if limits.hours is None and not limits.domains and limits.per_domain is None:
            moment = moment_of_letter  # nobody overtakes
        yield moment_of_letter


class _State:
    """Free slots and used quotas, by name."""

    def __init__(self) -> None:
        self.free_at: dict[str, int] = {}
        self.buckets: dict[str, tuple[Bucket, ...]] = {}


def _pass(letter: Passing, limits: Limits, state: _State, *, zone: ZoneInfo, start: datetime) -> datetime:
    named = [
        (name, limit)
        for name, limit in (
            ("relay", limits.relay),
            ("day", limits.day),
            (f"domain {letter.domain}", limits.domains.get(letter.domain, limits.per_domain)),
            (f"recipient {letter.recipient}", limits.per_recipient),
        )
        if limit is not None
    ]
    moment = start
    for _ in range(MOST_STEPS):
        later = max((_opens(name, limit, state, moment) for name, limit in named), default=moment)
        later = max(later, moment)
        if limits.hours is not None:
            local = limits.hours.zone_for(
                recipient=ZoneInfo(letter.timezone) if letter.timezone else None, campaign=zone
            )
            if not is_open(limits.hours, later, local):
                later = next_opening(limits.hours, later, local)
        if later <= moment:
            break
        moment = later
    for name, limit in named:
        _use(name, limit, state, moment)
    return moment


def _opens(name: str, limit: Limit, state: _State, moment: datetime) -> datetime:
    now_us = to_us(moment)
    if isinstance(limit, Pace):
        return from_us(max(now_us, state.free_at.get(name, 0)))
    grant = grant_quota(limit, state.buckets.get(name, ()), now_us=now_us, want=1)
    return moment if grant.count else from_us(grant.opens_us)


def _use(name: str, limit: Limit, state: _State, moment: datetime) -> None:
    now_us = to_us(moment)
    if isinstance(limit, Pace):
        state.free_at[name] = grant_slots(limit, state.free_at.get(name, 0), now_us=now_us, want=1).free_at_us
    else:
        state.buckets[name] = grant_quota(limit, state.buckets.get(name, ()), now_us=now_us, want=1).buckets
