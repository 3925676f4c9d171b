"""Figures and dates in a text, as its language writes them.

Two versions of a letter say the same where they hold the same quantities: 1,234.5 and 1 234,5 are one number,
"1 May 2026", "1 мая 2026 года" and 2026-05-01 one day. A quantity has every reading it may have: 1/5/2026 is
the first of May or the fifth of January.

Names of months and separators are CLDR's, by Babel, which is imported when there is a figure to read. Digits
of any script are read (Unicode Nd).

Contract: pure; never raises, whatever the text; what a template prints (`{{ … }}`), addresses and the numbers
of list items are no quantities of the text. Limits: numbers in words are not read ("twelve", «двенадцать»);
years of two digits; Gregorian dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from pipeline.letters.formats import Unformattable, locale_of
from pipeline.letters.source import Source

LONGEST = 30  # characters of one number
MOST = 2_000  # quantities of one text

_NOT_WORDS = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[a-z]+:[^>\s]*>|(?:https?://|www\.)[^\s)>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    re.DOTALL | re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^[ \t>]*\d{1,9}[.)](?=[ \t]|$)", re.MULTILINE)
_SPACES = "\u00a0\u202f\u2009\u2007"  # that hold figures together
_ISO = r"(?<!\d)(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?!\d)"
_NUMERIC = r"(?<!\d)(?P<a>\d{1,2})(?P<s>[./-])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4})(?!\d)"
_CJK = r"(?<!\d)(?P<y>\d{4})\s?[年년]\s?(?P<m>\d{1,2})\s?[月월](?:\s?(?P<d>\d{1,2})\s?[日일])?"
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d\d)(?![\d:])")
_OF = r"(?:(?:de|del|of|of the|da|do|di|d['’])(?:\s+|(?<=['’])))?"
_DAY = r"(?<![\d.,])(?P<d>\d{1,2})(?:\.?[ºª]|\.|(?:-?[^\W\d_]{1,3}))?,?\s*" + _OF
_YEAR = r"(?P<y>\d{4})(?!\d)"


class Quantity(NamedTuple):
    """A figure or date: all it may mean, how it is written, and where it stands (line and column from 1)."""

    readings: frozenset[str]
    shown: str
    line: int
    column: int

    def means(self, other: Quantity) -> bool:
        """Say whether both may mean the same.

        A day without its year is the same day; a month that one of them does not name as CLDR knows it (a
        Russian «в мае 2026») leaves the year.
        """
        if self.readings & other.readings:
            return True
        return any(_is_part(a, b) or _is_part(b, a) for a in self.readings for b in other.readings)

    @property
    def kind(self) -> str:
        """Whether it is a "date", a "time" or a "number"."""
        one = min(self.readings)
        return "date" if "-" in one else "time" if ":" in one else "number"

    @property
    def is_small(self) -> bool:
        """Say whether it is a number that one may as well write in words."""
        return all(reading.isdecimal() and _is_spelt(int(reading)) for reading in self.readings)


@dataclass(frozen=True, slots=True)
class _Customs:
    """How a language writes months and numbers."""

    months: re.Pattern[str] | None
    numbers: dict[str, int]
    group: str
    decimal: str
    month_first: bool
    capital: bool  # its months have a capital letter


def quantities_in(source: Source, lines: Sequence[int], language: str) -> list[Quantity]:
    """Return the quantities on some ``lines`` of a file that follow each other."""
    text = "\n".join(source.line(number) for number in lines)
    return quantities(text, language, first_line=lines[0] if lines else 1)


def quantities(text: str, language: str, *, first_line: int = 1) -> list[Quantity]:
    """Return the quantities of a text, in their order; its first line is ``first_line``."""
    text = _blanked(_blanked(text, _NOT_WORDS), _LIST_NUMBER)
    if not re.search(r"\d", text):
        return []
    found: list[tuple[int, str, frozenset[str]]] = []
    for pattern in _dates(language):
        for match in pattern.finditer(text):
            if readings := _day_of(match, language):
                found.append((match.start(), match[0], readings))
                text = f"{text[: match.start()]}{'_' * len(match[0])}{text[match.end() :]}"
    for match in _TIME.finditer(text):
        readings = frozenset({f"{int(match[1])}:{int(match[2]):02d}"})
        found.append((match.start(), match[0], readings))
        text = f"{text[: match.start()]}{'_' * len(match[0])}{text[match.end() :]}"
    for match in _numbers(language).finditer(text):
        if len(match[0]) <= LONGEST:
            found.append((match.start(), match[0], _number_of(match[0], language)))
    found.sort(key=lambda one: one[0])
    return [_placed(text, one, first_line) for one in found[:MOST]]


def _placed(text: str, found: tuple[int, str, frozenset[str]], first_line: int) -> Quantity:
    start, shown, readings = found
    line = text.count("\n", 0, start)
    column = start - text.rfind("\n", 0, start)
    return Quantity(readings, " ".join(shown.split()), first_line + line, column)


def _blanked(text: str, pattern: re.Pattern[str]) -> str:
    """Return a text in which what matches is gaps; line ends stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", "_", match[0]), text)


@lru_cache(maxsize=32)
def _dates(language: str) -> tuple[re.Pattern[str], ...]:
    """Return what dates look like, the fullest forms first."""
    customs = _customs(language)
    patterns = [_ISO, _CJK]
    if customs.months is not None:
        month = rf"(?P<month>{customs.months.pattern})\.?"
        patterns += [
            rf"{_DAY}{month}(?:,?\s+{_OF}{_YEAR})?",
            rf"{month}\s+(?P<d>\d{{1,2}})(?!\d)(?:st|nd|rd|th)?(?:,?\s+{_YEAR})?",
            rf"{month},?\s+{_OF}{_YEAR}",
        ]
    return tuple(re.compile(pattern) for pattern in [*patterns, _NUMERIC])


def _day_of(match: re.Match[str], language: str) -> frozenset[str]:
    """Return what a date may mean; nothing where it is none."""
    parts = match.groupdict()
    year = f"{int(parts['y']):04d}" if parts.get("y") else "----"
    if "a" in parts:
        first, second = int(parts["a"]), int(parts["b"])
        days = {(first, second), (second, first)} if max(first, second) <= 12 else set()
        if min(first, second) <= 12 < max(first, second):
            days = {(min(first, second), max(first, second))}
        return frozenset(f"{year}-{month:02d}-{day:02d}" for month, day in days if 1 <= day <= 31)
    month = int(parts["m"]) if parts.get("m") else _month(_customs(language), parts["month"])
    day = int(parts["d"]) if parts.get("d") else 0
    if not 1 <= month <= 12 or day > 31:
        return frozenset()
    return frozenset({f"{year}-{month:02d}-{day:02d}" if day else f"{year}-{month:02d}"})


def _month(customs: _Customs, name: str) -> int:
    plain = name.casefold().rstrip(".")
    return customs.numbers.get(plain) or customs.numbers.get(plain[1:], 0)  # Hebrew writes "in" before it


@lru_cache(maxsize=32)
def _numbers(language: str) -> re.Pattern[str]:
    customs = _customs(language)
    space = " " if customs.group.isspace() else ""
    return re.compile(
        rf"\d{{1,3}}(?:[{_SPACES}{space}'’٬.,]\d{{3}})+(?!\d)(?:[.,٫]\d+)?|\d{{1,3}}(?:,\d\d)+,\d{{3}}(?!\d)"
        rf"|\d+(?:[.,٫]\d+)?"
    )


def _number_of(text: str, language: str) -> frozenset[str]:
    """Return what a number may mean."""
    customs = _customs(language)
    text = "".join(str(int(character)) if character.isdecimal() else character for character in text)
    marks = re.findall(r"\D", text)
    whole = re.sub(r"\D", "", text)
    if not marks:
        return frozenset({str(int(whole))})
    last = marks[-1]
    front, behind = text.rsplit(last, 1)
    decimal = f"{int(re.sub(r'[^0-9]', '', front))}.{behind}"
    readings = set()
    one_kind = len(set(marks)) == 1
    if (
        last in (".", ",", "٫")
        and (len(marks) == 1 or not one_kind)
        and (len(marks) > 1 or last != customs.group or len(behind) != 3)
    ):
        readings.add(format(Decimal(decimal).normalize(), "f"))
    if one_kind and len(behind) == 3:
        readings.add(str(int(whole)))
    return frozenset(readings or {str(int(whole))})


def _is_part(short: str, long: str) -> bool:
    """Say whether ``short`` is a year and ``long`` a month of it, or ``short`` a day and ``long`` that day
    with its year.
    """
    if short.isdecimal():
        return len(short) == 4 and bool(re.fullmatch(rf"{short}-\d\d", long))
    return short.startswith("-----") and long.endswith(short[4:]) and len(long) == len(short)


def _is_spelt(number: int) -> bool:
    return number <= 20 or (number <= 100 and number % 10 == 0)


@lru_cache(maxsize=32)
def _customs(language: str) -> _Customs:
    try:
        locale = locale_of(language)
    except Unformattable:
        return _Customs(None, {}, ",", ".", month_first=False, capital=False)
    names: dict[str, int] = {}
    for context in ("format", "stand-alone"):
        for width in ("wide", "abbreviated"):
            for number, name in locale.months[context][width].items():
                if not re.search(r"\d", name) and len(name.rstrip(".")) > 1:
                    names.setdefault(name.rstrip("."), number)
    symbols = locale.number_symbols.get("latn", {})
    pattern = str(locale.date_formats["short"].pattern)
    return _Customs(
        re.compile("|".join(_spellings(names, language))) if names else None,
        {name.casefold(): number for name, number in names.items()},
        symbols.get("group", ","),
        symbols.get("decimal", "."),
        month_first=0 <= pattern.find("M") < pattern.find("d"),
        capital=any(name[0].isupper() for name in names),
    )


def _spellings(names: dict[str, int], language: str) -> Iterator[str]:
    """Yield patterns for the names of months; a capital letter is asked for where the language has one, so
    that English "may" and "march" are no months.
    """
    before = "[בלמ]?" if language.startswith("he") else ""
    for name in sorted(names, key=len, reverse=True):
        first, rest = name[0], name[1:]
        start = first if first.isupper() else f"[{first}{first.upper()}]" if first.upper() != first else first
        yield rf"(?<![^\W_]){before}{start}(?i:{re.escape(rest)})(?![^\W\d_])"
