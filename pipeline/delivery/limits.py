"""How much may leave, and when: paces and quotas as values, and their arithmetic over whole microseconds.

A pace ("50/5m") is GCRA with a burst of one: letters leave evenly, ``gap_us`` apart, so that no window of
that length (its end excluded) ever holds more than N, not even after a pause, a restart or a sleep.
A quota ("500/day") is counted over a rolling window across runs: within it the letters leave as they like.

Contract: everything here is arithmetic. State (``free_at_us``, buckets) is a row in the store; the caller
reads it, asks, and writes the answer back in one transaction, so several processes share one limit. Nothing
here waits or knows the time. One limit is asked with one horizon.

Errors of `parse_limit` are ValueErrors in plain words; what follows the first newline is the help.

Limits: a quota forgets in steps of its bucket (1/1440 of the window, at least one second) and never early. A
clock that was ahead and is set back costs at most one window of waiting, and releases nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.clock import SECOND_US
from pipeline.delivery.hours import Hours

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
LARGEST_COUNT = 1_000_000
LONGEST_PACE_S = DAY_S
LONGEST_QUOTA_S = 31 * DAY_S

ACCEPTED_FORMS = (
    'a pace: "N/s", "N/10s", "N/m", "N/5m" (evenly spaced, never more than N in any such time)\n'
    'a quota: "N/h", "N/6h", "N/day" (counted over a rolling window, across runs)'
)

_LIMIT = re.compile(r"([0-9]{1,12}) ?/ ?(?:([0-9]{1,6}) ?)?([A-Za-z]{1,16})")


@dataclass(frozen=True, slots=True)
class Pace:
    """At most ``count`` letters in any ``window_s`` seconds, evenly spaced; no burst."""

    count: int
    window_s: int

    @property
    def gap_us(self) -> int:
        """Return the microseconds from one letter to the next: rounded up, so N+1 never fit into a window."""
        return -(-self.window_s * SECOND_US // self.count)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``count`` letters in any ``window_s`` seconds, counted across runs; a burst is allowed."""

    count: int
    window_s: int

    @property
    def bucket_us(self) -> int:
        """Return how finely the letters are counted: letters of one bucket are forgotten together."""
        return max(SECOND_US, self.window_s * SECOND_US // 1440)


Limit = Pace | Quota

DEFAULT_PER_RECIPIENT = Quota(20, DAY_S)  # STANDARDS section 10: caps per target are on by default


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a campaign; None: no such limit. ``domains`` (A-labels) overrides ``per_domain``."""

    relay: Limit | None = None
    day: Quota | None = None
    per_domain: Limit | None = None
    domains: Mapping[str, Limit] = field(default_factory=lambda: MappingProxyType({}))
    per_recipient: Quota | None = DEFAULT_PER_RECIPIENT
    hours: Hours | None = None
    in_sandbox: bool = False

    def for_domain(self, domain: str) -> Limit | None:
        """Return the limit that holds for a recipient's domain (A-label, lower case)."""
        return self.domains.get(domain, self.per_domain)


# --- words ----------------------------------------------------------------------------------------


def parse_limit(text: str) -> Limit:
    """Return the limit that ``text`` ("50/5m", "500/day") names; ValueError with the accepted forms."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"this is not a limit\n{ACCEPTED_FORMS}")
    count, unit = int(match[1]), match[3].casefold()
    if count == 0:
        raise ValueError("a limit of 0 would never let a letter go\nto hold all letters: campaign pause")
    if count > LARGEST_COUNT:
        raise ValueError(f"{count} is more than any limit here may be ({LARGEST_COUNT})\n{ACCEPTED_FORMS}")
    if match[2] is not None and int(match[2]) == 0:
        raise ValueError(f"a limit over 0 {unit} has no meaning\n{ACCEPTED_FORMS}")
    return _limit(count, int(match[2] or 1), unit, counted=match[2] is not None)


def _limit(count: int, times: int, unit: str, *, counted: bool) -> Limit:
    if unit in ("s", "m"):
        window = times * (MINUTE_S if unit == "m" else 1)
        if window > LONGEST_PACE_S:
            raise ValueError(f'a pace runs over one day at most\nwrite a quota: "{count}/day"')
        return Pace(count, window)
    if unit == "h":
        if times * HOUR_S > LONGEST_QUOTA_S:
            raise ValueError('a quota runs over 31 days ("744h") at most')
        return Quota(count, times * HOUR_S)
    if unit == "day":
        if counted:
            raise ValueError(f'"day" takes no number before it\nwrite "{count}/{times * 24}h"')
        return Quota(count, DAY_S)
    raise ValueError(f'no such unit of time: "{unit}"\n{ACCEPTED_FORMS}')


def show_limit(limit: Limit) -> str:
    """Return the limit as people write it: "50/5m", "500/day"."""
    if isinstance(limit, Pace):
        times, unit = (
            (limit.window_s, "s") if limit.window_s % MINUTE_S else (limit.window_s // MINUTE_S, "m")
        )
        return f"{limit.count}/{times if times > 1 else ''}{unit}"
    if limit.window_s == DAY_S:
        return f"{limit.count}/day"
    hours = limit.window_s // HOUR_S
    return f"{limit.count}/{hours if hours > 1 else ''}h"


# --- paces ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slots:
    """What a pace grants: ``count`` letters at ``first_us``, ``first_us + gap``, ...

    ``free_at_us`` is to be stored. With ``count`` 0 nothing was taken, and ``first_us`` says when
    the next slot is free.
    """

    first_us: int
    count: int
    free_at_us: int


def next_slot(free_at_us: int, *, now_us: int) -> int:
    """Return when the next letter may leave. A pause is not saved up: the past gives no burst."""
    return max(free_at_us, now_us)


def grant_slots(pace: Pace, free_at_us: int, *, now_us: int, want: int, horizon_us: int = 0) -> Slots:
    """Return up to ``want`` slots that begin no later than ``now_us + horizon_us``.

    A horizon lets a batch reserve a few seconds at once instead of one row per letter; what it reserves and
    does not use is lost, never made up for. Source: GCRA, ITU-T I.371 annex A, with a tolerance of zero.
    """
    gap = pace.gap_us
    first = next_slot(mended_free_at(pace, free_at_us, now_us=now_us, horizon_us=horizon_us), now_us=now_us)
    room = (now_us + horizon_us - first) // gap + 1
    count = max(0, min(want, room))
    return Slots(first, count, first + count * gap if count else first)


def mended_free_at(pace: Pace, free_at_us: int, *, now_us: int, horizon_us: int = 0) -> int:
    """Return ``free_at_us``, or one window from now where only a clock set back could explain it.

    Grants never reach beyond the horizon, so a later value was written by a clock that ran ahead (or under
    another pace); waiting a whole window is always safe, waiting for that clock's year is not.
    """
    furthest = now_us + max(horizon_us, 0) + max(pace.gap_us, pace.window_s * SECOND_US)
    return min(free_at_us, furthest)


# --- quotas ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """``count`` letters permitted in the bucket that begins at ``start_us``."""

    start_us: int
    count: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a quota grants: ``count`` letters now; ``buckets`` are to be stored.

    ``opens_us`` says when the next letter beyond these may be asked for (now, while there is room).
    """

    count: int
    buckets: tuple[Bucket, ...]
    opens_us: int


def live_buckets(quota: Quota, buckets: Iterable[Bucket], *, now_us: int) -> tuple[Bucket, ...]:
    """Return the buckets that still count, oldest first, one per start.

    A bucket counts until its *last* microsecond is a window old. One from the future (the clock was set back)
    counts as of now.
    """
    width = quota.bucket_us
    current = now_us // width * width
    since = counts_since(quota, now_us=now_us)
    counts: dict[int, int] = {}
    for bucket in buckets:
        start = min(bucket.start_us, current)
        if bucket.count > 0 and start > since:
            counts[start] = counts.get(start, 0) + bucket.count
    return tuple(Bucket(start, counts[start]) for start in sorted(counts))


def counts_since(quota: Quota, *, now_us: int) -> int:
    """Return the moment behind which a bucket has to begin to count now."""
    return now_us - quota.bucket_us - quota.window_s * SECOND_US


def grant_quota(quota: Quota, buckets: Iterable[Bucket], *, now_us: int, want: int) -> Grant:
    """Return how many of ``want`` letters may leave now, the buckets after it, and when there is room."""
    live = live_buckets(quota, buckets, now_us=now_us)
    used = sum(bucket.count for bucket in live)
    count = max(0, min(want, quota.count - used))
    if count:
        start = now_us // quota.bucket_us * quota.bucket_us
        live = live_buckets(quota, (*live, Bucket(start, count)), now_us=now_us)
    return Grant(count, live, _opens_at(quota, live, now_us=now_us))


def _opens_at(quota: Quota, live: tuple[Bucket, ...], *, now_us: int) -> int:
    """Return the first moment with room for one letter; under a lowered quota several buckets must go."""
    used = sum(bucket.count for bucket in live)
    for bucket in live:
        if used < quota.count:
            break
        used -= bucket.count
        now_us = _forgotten_at(quota, bucket.start_us)
    return now_us


def _forgotten_at(quota: Quota, start_us: int) -> int:
    return start_us + quota.bucket_us + quota.window_s * SECOND_US
