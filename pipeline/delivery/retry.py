"""When a letter that was put off is tried again, and when nobody tries any more.

A schedule ("30m 1h 4h 12h 24h 24h 24h") gives the wait after each deferral, counted from the last attempt;
after the last one the letter has failed ("gave up"). From `[campaign] expires` on it is not wanted.

Contract: values in, values out; no clock, no chance. Errors are ValueErrors in plain words; what follows the
first newline is the help. Implements RFC 5321 section 4.5.4.1 (first retry after 30 minutes, giving up after
about four days) as the default.

Limits: one schedule for all codes; a server's "try again in N seconds" is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_S = 100 * 366 * UNITS["d"]
LONGEST_DELAY_S = 30 * UNITS["d"]
MOST_DELAYS = 50
DURATION_FORMS = 'write a number and a unit: "30m", "36h", "14d", "2w" (s, m, h, d, w)'
SCHEDULE_FORMS = 'write the waits one after another: "30m 1h 4h 12h 24h 24h 24h" (s, m, h, d)'
EXPIRES_FORMS = 'write a day, "2027-05-01", or a moment, "2027-05-01T18:00:00+02:00"'

_DURATION = re.compile(r"([0-9]{1,10}) ?([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits after the first, second, ... deferral, in seconds; at least one."""

    delays: tuple[int, ...]

    def delay_after(self, deferrals: int) -> int | None:
        """Return the seconds to wait after so many deferrals (1, 2, ...); None: give up."""
        if deferrals < 1:
            raise ValueError("a wait follows a deferral: there must be at least one")
        return self.delays[deferrals - 1] if deferrals <= len(self.delays) else None


def parse_schedule(text: str) -> Schedule:
    """Return the schedule that ``text`` ("30m 1h 4h") describes; ValueError with the accepted forms."""
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError(f"a schedule needs at least one wait\n{SCHEDULE_FORMS}")
    if len(words) > MOST_DELAYS:
        raise ValueError(f"a schedule has at most {MOST_DELAYS} waits\n{SCHEDULE_FORMS}")
    try:
        delays = tuple(parse_duration(word) for word in words)
    except ValueError as error:
        raise ValueError(f"{str(error).partition(chr(10))[0]}\n{SCHEDULE_FORMS}") from None
    if max(delays) > LONGEST_DELAY_S:
        raise ValueError(f"a wait is at most 30 days long\n{SCHEDULE_FORMS}")
    return Schedule(delays)


def show_schedule(schedule: Schedule) -> str:
    """Return the schedule as people write it."""
    return " ".join(show_duration(delay) for delay in schedule.delays)


def parse_duration(text: str) -> int:
    """Return the seconds of a time span ("30m", "36h", "14d"); ValueError with the accepted forms."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"this is not a span of time\n{DURATION_FORMS}")
    if match[2] not in UNITS:
        raise ValueError(f'no such unit of time: "{match[2][:20]}"\n{DURATION_FORMS}')
    seconds = int(match[1]) * UNITS[match[2]]
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(
            f"a span of time is longer than nothing and shorter than a century\n{DURATION_FORMS}"
        )
    return seconds


def show_duration(seconds: int) -> str:
    """Return seconds as people write them, in the largest unit up to hours that fits ("90m", "24h")."""
    for unit in ("h", "m"):
        if seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"


def parse_expires(value: str | date | datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment (aware, UTC) at which letters are no longer wanted.

    A bare date means the end of that day in ``zone``, the campaign's; a date and time without an offset means
    that time there. ValueError with the accepted forms.
    """
    try:
        if isinstance(value, str):
            value = _read_moment(value.strip())
        if isinstance(value, datetime):
            return (value if value.tzinfo is not None else value.replace(tzinfo=zone)).astimezone(UTC)
        return datetime.combine(value + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"this is not a day\n{EXPIRES_FORMS}") from None


def _read_moment(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)


DEFAULT_SCHEDULE = parse_schedule("30m 1h 4h 12h 24h 24h 24h")
