"""When would each letter leave? A forecast for people, from limits and hours alone. Pure.

It lets the letters pass the same paces, quotas and hours that a run asks the store for, on a clock of its
own that begins now. As in a run, a limit of the whole relay holds everybody up; a letter whose office is
closed, or whose domain has had enough, steps aside and is overtaken.

Limits: it knows nothing of deferrals, of the relay's speed, of other campaigns, or of what earlier runs
have used up of a quota; the real end is never earlier. It goes on over closed hours and used-up quotas, as
`campaign run` does.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from pipeline.clock import SECOND_US, from_us, to_us
from pipeline.delivery.hours import Hours, is_open, next_opening
from pipeline.delivery.limits import Limit, Limits, Pace, Quota


@dataclass(frozen=True, slots=True)
class Passing:
    """What a forecast needs of a letter: recipient key, domain (A-label), zone ("": the campaign's)."""

    recipient: str
    domain: str
    timezone: str


def forecast(letters: Sequence[Passing], limits: Limits, *, zone: ZoneInfo, now: datetime) -> list[datetime]:
    """Return for each letter, in the order given, when it may leave at the earliest (UTC).

    ``zone`` is the campaign's.
    """
    return [from_us(moment_us) for moment_us in _Road(letters, limits, zone).travel(to_us(now))]


class _Gate(Protocol):
    """Something letters pass one by one."""

    def opens_us(self, now_us: int) -> int:
        """Return when the next letter may pass: ``now_us`` or later."""

    def let_through(self, now_us: int) -> None:
        """Count a letter that passes."""


class _Road:
    """Letters on their way through gates; those that wait at a gate of their own queue there."""

    def __init__(self, letters: Sequence[Passing], limits: Limits, zone: ZoneInfo) -> None:
        self._letters = letters
        self._limits = limits
        self._zone = zone
        self._everybodys = [_gate(limit) for limit in (limits.relay, limits.day) if limit is not None]
        self._gates: dict[str, _Gate] = {}
        self._queues: defaultdict[str, deque[int]] = defaultdict(deque)
        self._openings: list[tuple[int, str]] = []  # a heap: when the first of a queue looks again

    def travel(self, now_us: int) -> list[int]:
        """Return when each letter passes, in microseconds since 1970."""
        left = [0] * len(self._letters)
        next_fresh = 0
        while next_fresh < len(self._letters) or self._openings:
            now_us = max(now_us, *(gate.opens_us(now_us) for gate in self._everybodys), 0)
            queue = ""
            if self._openings and self._openings[0][0] <= now_us:
                _, queue = heapq.heappop(self._openings)
                letter = self._queues[queue].popleft()
            elif next_fresh < len(self._letters):
                letter, next_fresh = next_fresh, next_fresh + 1
            else:
                now_us = self._openings[0][0]
                continue
            if self._passes(letter, queue, now_us):
                left[letter] = now_us
            if queue and self._queues[queue]:
                self._look_again(queue, now_us)
        return left

    def _passes(self, letter: int, queue: str, now_us: int) -> bool:
        """Let a letter through its own gates, or put it into the queue of the one that opens last."""
        names = self._names(self._letters[letter])
        opens_us, last = max([(self._gates[name].opens_us(now_us), name) for name in names], default=(0, ""))
        if opens_us <= now_us:
            for gate in (*self._everybodys, *(self._gates[name] for name in names)):
                gate.let_through(now_us)
            return True
        if last == queue:
            self._queues[last].appendleft(letter)
            return False
        self._queues[last].append(letter)
        if len(self._queues[last]) == 1:
            self._look_again(last, now_us)
        return False

    def _look_again(self, queue: str, now_us: int) -> None:
        heapq.heappush(self._openings, (self._gates[queue].opens_us(now_us), queue))

    def _names(self, letter: Passing) -> list[str]:
        """Return the names of a letter's own gates, making those that are not there yet."""
        limits, names = self._limits, []
        for name, limit in (
            (f"domain {letter.domain}", limits.for_domain(letter.domain)),
            (f"recipient {letter.recipient}", limits.per_recipient),
        ):
            if limit is not None:
                names.append(name)
                if name not in self._gates:
                    self._gates[name] = _gate(limit)
        if limits.hours is not None:
            own = ZoneInfo(letter.timezone) if letter.timezone else None
            zone = limits.hours.zone_for(recipient=own, campaign=self._zone)
            names.append(f"hours {zone.key}")
            self._gates.setdefault(names[-1], _HoursGate(limits.hours, zone))
        return names


def _gate(limit: Limit) -> _Gate:
    return _PaceGate(limit) if isinstance(limit, Pace) else _QuotaGate(limit)


class _PaceGate:
    """One letter every ``gap_us``."""

    def __init__(self, pace: Pace) -> None:
        self._gap_us = pace.gap_us
        self._free_at_us = 0

    def opens_us(self, now_us: int) -> int:
        return max(now_us, self._free_at_us)

    def let_through(self, now_us: int) -> None:
        self._free_at_us = now_us + self._gap_us


class _QuotaGate:
    """So many letters until the first of them is forgotten, a bucket and a window after it passed."""

    def __init__(self, quota: Quota) -> None:
        self._bucket_us = quota.bucket_us
        self._kept_us = quota.bucket_us + quota.window_s * SECOND_US
        self._forgotten_us: deque[int] = deque(maxlen=quota.count)

    def opens_us(self, now_us: int) -> int:
        full = len(self._forgotten_us) == self._forgotten_us.maxlen
        return max(now_us, self._forgotten_us[0]) if full else now_us

    def let_through(self, now_us: int) -> None:
        self._forgotten_us.append(now_us // self._bucket_us * self._bucket_us + self._kept_us)


class _HoursGate:
    """Open in office hours."""

    def __init__(self, hours: Hours, zone: ZoneInfo) -> None:
        self._hours = hours
        self._zone = zone
        self._closed_us = (0, 0)  # the last time it was found closed, and when it opens after that

    def opens_us(self, now_us: int) -> int:
        found_us, opens_us = self._closed_us
        if found_us <= now_us < opens_us:
            return opens_us
        now = from_us(now_us)
        if is_open(self._hours, now, self._zone):
            return now_us
        self._closed_us = now_us, to_us(next_opening(self._hours, now, self._zone))
        return self._closed_us[1]

    def let_through(self, now_us: int) -> None:
        """Count nothing: hours are not used up."""
