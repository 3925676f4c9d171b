"""When a send would end, for the confirmation."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.delivery.forecast import Passing, forecast
from pipeline.delivery.limits import Limits

MOST = 20_000  # letters looked at one by one; beyond that the end is extrapolated


def ends_at(letters: int, limits: Limits, now: datetime) -> datetime:
    """Return about when the last of ``letters`` letters to many different offices would leave; hours left aside."""
    plain = Limits(relay=limits.relay, day=limits.day, per_recipient=None)
    sample = min(letters, MOST)
    passing = (Passing(str(number), str(number), "") for number in range(sample))
    last = now
    for last in forecast(passing, plain, zone=ZoneInfo("UTC"), now=now):
        pass
    return now + (last - now) * (letters / sample) if sample else now
