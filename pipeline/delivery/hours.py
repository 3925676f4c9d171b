"""Working hours: when a letter may leave, by somebody's wall clock.

    Mon-Fri 09:00-17:00 recipient                   in the recipient's zone (the campaign's where unknown)
    Mon-Fri 09:00-17:00 Europe/Madrid               in that zone
    Mon-Fri 09:00-12:00, 13:00-17:00 campaign       several ranges; without days: the days before
    Sun-Thu 08:00-16:00, Sat 10:00-12:00 recipient  days may wrap round the week

Contract: values in, values out; the moment is handed in. The closing minute is closed. Openings are read on a
wall clock: an hour that it skips is not open, one that it repeats is open twice. A range does not cross
midnight: "22:00-24:00" and "00:00-06:00" are two. Errors are ValueErrors in plain words; what follows the
first newline is the help.

Limits: no holidays. Two changes of a zone's offset within one UTC day are seen as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ACCEPTED_FORMS = (
    'write days, hours and whose time: "Mon-Fri 09:00-17:00 recipient"\n'
    '"Sun-Thu 08:00-16:00, Sat 10:00-12:00 campaign", "Mon-Fri 09:00-17:00 Europe/Madrid"'
)
LONGEST_TEXT = 500
_SEARCH_DAYS = 22  # an opening of one weekday can be skipped by the clocks twice at worst

_ITEM = re.compile(
    r"(?:(?P<first>[A-Za-z]{3,9})(?: ?- ?(?P<last>[A-Za-z]{3,9}))?)?"
    r"(?: ?(?P<opens>[0-9]{1,2}:[0-9]{2}) ?- ?(?P<closes>[0-9]{1,2}:[0-9]{2}))?"
)


class Whose(StrEnum):
    """Whose wall clock the hours are read on."""

    RECIPIENT = "recipient"  # the row's time zone; the campaign's where the row gives none
    CAMPAIGN = "campaign"  # [campaign] timezone
    ZONE = "zone"  # the zone named in the text


@dataclass(frozen=True, slots=True)
class Opening:
    """One range: weekdays (0 = Monday) and minutes since midnight, the last one excluded."""

    days: tuple[int, ...]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class Hours:
    """When letters may leave; at least one opening."""

    openings: tuple[Opening, ...]
    whose: Whose
    zone: ZoneInfo | None = None

    def zone_for(self, *, recipient: ZoneInfo | None, campaign: ZoneInfo) -> ZoneInfo:
        """Return the zone these hours are read in, for one recipient."""
        if self.whose is Whose.ZONE and self.zone is not None:
            return self.zone
        if self.whose is Whose.RECIPIENT and recipient is not None:
            return recipient
        return campaign


# --- words ----------------------------------------------------------------------------------------


def parse_zone(text: str) -> ZoneInfo:
    """Return the IANA time zone of that name; ValueError where there is none."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('no such time zone\nnames look like "Europe/Madrid" or "UTC"') from None


def parse_hours(text: str) -> Hours:
    """Return the hours that ``text`` describes; ValueError in plain words with the accepted forms."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"these hours are longer than {LONGEST_TEXT} characters\n{ACCEPTED_FORMS}")
    ranges, _, place = text.replace("–", "-").strip().rpartition(" ")
    if not place or ":" in place or place.title() in DAYS:
        raise ValueError(f"these hours do not say whose time they are\n{ACCEPTED_FORMS}")
    if place in (Whose.RECIPIENT, Whose.CAMPAIGN):
        return Hours(_openings(ranges), Whose(place))
    try:
        zone = parse_zone(place)
    except ValueError:
        raise ValueError(
            f"the last word must be recipient, campaign or a time zone\n{ACCEPTED_FORMS}"
        ) from None
    return Hours(_openings(ranges), Whose.ZONE, zone)


def show_hours(hours: Hours) -> str:
    """Return the hours as people write them."""
    place = hours.zone.key if hours.zone is not None else hours.whose.value
    return f"{', '.join(_show_opening(opening) for opening in hours.openings)} {place}"


def _openings(text: str) -> tuple[Opening, ...]:
    found: list[Opening] = []
    waiting: list[int] = []  # days named without hours yet: "Mon, Wed 09:00-17:00"
    before: list[int] = []
    for item in text.split(","):
        match = _ITEM.fullmatch(" ".join(item.split()))
        if match is None or not match[0]:
            raise ValueError(f"these are not days and hours\n{ACCEPTED_FORMS}")
        if match["first"]:
            waiting += _days(match["first"], match["last"])
        if not match["opens"]:
            continue
        days = waiting or before
        if not days:
            raise ValueError(f"these hours do not say on which days\n{ACCEPTED_FORMS}")
        found.append(_opening(days, match["opens"], match["closes"]))
        before, waiting = days, []
    if waiting:
        raise ValueError(f"{DAYS[waiting[-1]]} is named without hours\n{ACCEPTED_FORMS}")
    return tuple(found)


def _days(first: str, last: str | None) -> list[int]:
    start = _day(first)
    length = 1 if last is None else (_day(last) - start) % 7 + 1
    return [(start + offset) % 7 for offset in range(length)]


def _day(word: str) -> int:
    if word.title() not in DAYS:
        raise ValueError(f'no such day: "{word}"\ndays are {", ".join(DAYS)}')
    return DAYS.index(word.title())


def _opening(days: list[int], opens: str, closes: str) -> Opening:
    start, end = _minutes(opens), _minutes(closes)
    if end <= start:
        raise ValueError(
            f"hours must end after they begin: {opens}-{closes}\n"
            f'across midnight, write two ranges: "{opens}-24:00" and, on the next day, "00:00-{closes}"'
        )
    return Opening(tuple(dict.fromkeys(days)), start, end)


def _minutes(text: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour * 60 + minute > 24 * 60:
        raise ValueError(f"no such time of day: {text}\ntimes run from 00:00 to 24:00")
    return hour * 60 + minute


def _show_opening(opening: Opening) -> str:
    first, last = opening.days[0], opening.days[-1]
    run = tuple((first + offset) % 7 for offset in range(len(opening.days)))
    if opening.days != run:
        days = ", ".join(DAYS[day] for day in opening.days)
    else:
        days = DAYS[first] if len(run) == 1 else f"{DAYS[first]}-{DAYS[last]}"
    times = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (opening.opens, opening.closes))
    return f"{days} {'-'.join(times)}"


# --- the clock ------------------------------------------------------------------------------------


def is_open(hours: Hours, moment: datetime, zone: ZoneInfo) -> bool:
    """Return whether a letter may leave at ``moment`` (aware), read on a wall clock in ``zone``."""
    local = _aware(moment).astimezone(zone)
    minutes = local.hour * 60 + local.minute
    return any(local.weekday() in one.days and one.opens <= minutes < one.closes for one in hours.openings)


def next_opening(hours: Hours, moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment, not before ``moment``, at which the hours are open: aware, in UTC."""
    moment = _aware(moment)
    if is_open(hours, moment, zone):
        return moment
    today = moment.astimezone(zone).date()
    for offset in range(-1, _SEARCH_DAYS):
        day = datetime(today.year, today.month, today.day) + timedelta(days=offset)  # noqa: DTZ001 - a wall clock
        later = [
            start for start in _starts(hours, day, zone) if start > moment and is_open(hours, start, zone)
        ]
        if later:
            return min(later)
    raise ValueError(f"these hours never open: {show_hours(hours)}")


def _starts(hours: Hours, day: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield every moment of one local day at which an opening can begin: its time, both times round, and the
    moment the zone changes its offset (the clocks may jump into an opening, or back into it)."""
    for opening in hours.openings:
        local = day + timedelta(minutes=opening.opens)
        yield from (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    start = day.replace(tzinfo=zone).astimezone(UTC)
    end = (day + timedelta(days=1)).replace(tzinfo=zone, fold=1).astimezone(UTC)
    if start.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
        yield _change(start, end, zone)


def _change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Return the second between ``start`` and ``end`` from which the zone's offset is that of ``end``."""
    before = start.astimezone(zone).utcoffset()
    low, high = 0, int((end - start).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (start + timedelta(seconds=middle)).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return start + timedelta(seconds=high)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone")
    return moment.astimezone(UTC)
