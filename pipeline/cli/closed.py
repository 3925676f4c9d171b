"""Letters that could go now, and wait for office hours: for `status`.

Limits: the next 20,000 due letters are looked at; what is behind them is not counted.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.cli.pacing import effective_limits
from pipeline.cli.place import Place
from pipeline.cli.telling import counted
from pipeline.clock import to_us
from pipeline.delivery.hours import is_open, next_opening
from pipeline.report.figures import Note
from pipeline.store.history import due_by_zone
from pipeline.store.world import World

LOOKED_AT = 20_000  # letters


def closed_offices(place: Place, world: World) -> Note | None:
    """Return that letters wait for office hours, how many, and when the first may go; None where none do."""
    hours = effective_limits(place.settings).hours
    if hours is None:
        return None
    now = place.clock.now()
    with world.campaign.reading() as connection:
        due = due_by_zone(connection, now_us=to_us(now), most=LOOKED_AT)
    waiting = 0
    opens: list[datetime] = []
    for name, letters in due.items():
        recipient = ZoneInfo(name) if name else None
        zone = hours.zone_for(recipient=recipient, campaign=place.settings.timezone)
        if not is_open(hours, now, zone):
            waiting += letters
            opens.append(next_opening(hours, now, zone))
    if not waiting:
        return None
    first = min(opens).astimezone(place.settings.timezone)
    many = "more than " if sum(due.values()) >= LOOKED_AT else ""
    wait = f"{many}{counted(waiting, 'letter')} wait{'s' if waiting == 1 else ''} for office hours"
    return Note("hours", f"{wait} (limits.hours), the first until {first:%Y-%m-%d %H:%M %Z}")
