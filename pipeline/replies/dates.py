"""When a mail was written: from its Date field, or from what a mail program wrote above a quotation.

Contract: any text in, an aware datetime or None out. `header_date` reads RFC 5322 3.3 (with 4.3, obsolete);
`written_date` reads "Sonntag, 3. Mai 2026 10:15", "5/3/2026 10:15 AM", "2026年5月3日(日) 10:15" and the like,
with the months' names of `phrases/*.toml`.

Limits: where only numbers stand and the order is open, the day comes first, unless AM or PM follows or there
is no such month. Without a time of day it is noon. Of other calendars the Gregorian years alone are read.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime

from pipeline.replies.wording import phrases, plain

LONGEST = 200  # characters

_WITH_DOTS = re.compile(r"(\d{1,4})\s?[./年년-]\s?(\d{1,2})\s?[./月월-]\s?(\d{1,4})")
_WORDS = re.compile(r"\d+|[^\s\d,،;:()/–—-]+")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})\s?[:.h時点시]\s?(\d{2})(?!\d)(?:[:.](\d{2}))?")
_LATE = re.compile(r"\d\s?p\.?\s?m\b|下午|오후|午後|μ\.μ|\bm\.? ?u\.?\b|\sم(?:\s|$)|ب\.ظ|ch\b")
_EARLY = re.compile(r"\d\s?a\.?\s?m\b|上午|오전|午前|π\.μ|\sص(?:\s|$)|ق\.ظ|sa\b")
_TWELVE = re.compile(r"\d\s?[ap]\.?\s?m\b")  # the twelve hours of those who write the month first
_ZONE = re.compile(r"(?:gmt|utc)?\s?([+-])(\d{1,2}):?(\d{2})?(?!\d)")


def header_date(text: str) -> datetime | None:
    """Return the moment that a Date field names; one without a zone is taken as UTC (RFC 5322 4.3)."""
    try:
        found = parsedate_to_datetime(text[:LONGEST])
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return found if found.astimezone(UTC).year > 1970 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def written_date(text: str, zone: tzinfo = UTC) -> datetime | None:
    """Return the moment that a mail program wrote in some language; ``zone`` where it names none."""
    words = plain(_western(text[:LONGEST]))
    day = _day(words)
    if day is None:
        return None
    hour, minute = _time(words)
    try:
        return datetime(*day, hour, minute, tzinfo=_zone(words) or zone)
    except (ValueError, OverflowError):
        return None


def _western(text: str) -> str:
    """Return the text with digits of any script as 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.digit(mark)) if mark.isdecimal() else mark for mark in text)


def _day(words: str) -> tuple[int, int, int] | None:
    for found in _WITH_DOTS.finditer(words):
        if day := _numbered(found, american=_TWELVE.search(words) is not None):
            return day
    year = _YEAR.search(words)
    if year is None:
        return None
    pieces = [piece.strip(".'’") for piece in _WORDS.findall(words)]
    for look in (_month, _shortened):
        for at in range(len(pieces)):
            if (month := look(pieces, at)) and (number := _day_near(pieces, at)):
                return int(year[0]), month, number
    return None


def _day_near(pieces: list[str], at: int) -> int:
    """Return the number that stands nearest to the month and may be a day; 0 where none does."""
    near = [*pieces[max(0, at - 3) : at][::-1], *pieces[at + 1 : at + 4]]
    days = (int(piece) for piece in near if piece.isdecimal() and len(piece) <= 2)
    return next((day for day in days if 1 <= day <= 31), 0)


def _month(pieces: list[str], at: int) -> int:
    months = phrases().months
    if at + 1 < len(pieces) and (number := months.get(f"{pieces[at]} {pieces[at + 1]}", 0)):
        return number
    return months.get(pieces[at], 0) or months.get(pieces[at].removeprefix("ב"), 0)


def _shortened(pieces: list[str], at: int) -> int:
    """Return the month that a piece is the beginning of, where it is of one only: "toukok" for May."""
    if len(pieces[at]) < 4 or pieces[at].isdecimal():
        return 0
    found = {number for name, number in phrases().months.items() if name.startswith(pieces[at])}
    return found.pop() if len(found) == 1 else 0


def _numbered(found: re.Match[str], *, american: bool) -> tuple[int, int, int] | None:
    first, middle, last = (int(part) for part in found.groups())
    if len(found[1]) == 4:
        return (first, middle, last) if middle <= 12 and last <= 31 else None
    if len(found[1]) > 2 or len(found[3]) == 3 or len(found[3]) == 1:
        return None
    year = last if len(found[3]) == 4 else 2000 + last
    if not 1970 < year < 2200:
        return None
    slashed = "/" in found[0]
    if middle > 12 or (american and slashed and first <= 12):
        first, middle = middle, first
    return (year, middle, first) if 1 <= middle <= 12 and 1 <= first <= 31 else None


def _time(words: str) -> tuple[int, int]:
    rest = _WITH_DOTS.sub(" ", words)
    for found in _CLOCK.finditer(rest):
        hour, minute = int(found[1]), int(found[2])
        if hour > 23 or minute > 59:
            continue
        if hour < 12 and _LATE.search(words):
            hour += 12
        elif hour == 12 and _EARLY.search(words) and not _LATE.search(words):
            hour = 0
        return hour, minute
    return 12, 0


def _zone(words: str) -> tzinfo | None:
    for found in _ZONE.finditer(_WITH_DOTS.sub(" ", words)):
        hours, minutes = int(found[2]), int(found[3] or 0)
        if found[0].startswith(("gmt", "utc")) or found[3]:
            if hours > 14 or minutes > 59:
                return None
            ahead = timedelta(hours=hours, minutes=minutes)
            return timezone(ahead if found[1] == "+" else -ahead)
    return None
