"""Dates, numbers and ordinals as the reader's language writes them.

Babel knows how (CLDR): months, order, separators, plural rules. It is imported when the first is formatted,
never before. Ordinals CLDR writes by rules that Babel does not have; `ordinal` knows the languages in which
they follow from the number and, where asked for, the gender, and refuses all others, so that nobody reads
"3th" in a letter.

Contract: pure; `Unformattable` for what cannot be written. A date may be a date, a moment, or a text such as
2026-05-01; a number a number, or a text such as 1234.5 (cells of a list are texts).

Limits: the Gregorian calendar; figures are 0 to 9 except where CLDR gives the language its own (Persian,
Bengali, Burmese, ...); 18 digits before the point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babel import Locale

DATE_LENGTHS = ("full", "long", "medium", "short")
GENDERS = ("m", "f", "n")
PLURALS = ("zero", "one", "two", "few", "many", "other")
MOST_DECIMALS = 9
LONGEST_PATTERN = 60

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_ZEROS = {  # CLDR numbering systems that languages use by default, by their zero
    "arab": "٠",
    "arabext": "۰",
    "beng": "০",
    "deva": "०",
    "mymr": "၀",
    "olck": "᱐",
    "tibt": "༠",
    "cakm": "𑄶",
    "mtei": "꯰",
    "adlm": "𞥐",
}

# How figures become ordinals: one ending, or endings by gender (m, f, n). English, Swedish, Catalan and
# French, where the ending follows from the number, are written out below.
_ENDINGS: Mapping[str, str | Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "bs",
            "cs",
            "da",
            "de",
            "et",
            "fi",
            "fo",
            "hr",
            "hu",
            "is",
            "lv",
            "nb",
            "nn",
            "no",
            "pl",
            "sk",
            "sl",
        ),
        ".",
    ),
    **dict.fromkeys(("sr", "tr", "az"), "."),
    "nl": "e",
    "eo": "-a",
    "el": {"m": "ος", "f": "η", "n": "ο"},
    "es": {"m": ".º", "f": ".ª", "n": ".º"},
    "gl": {"m": ".º", "f": ".ª", "n": ".º"},
    "pt": {"m": ".º", "f": ".ª", "n": ".º"},
    "it": {"m": "º", "f": "ª", "n": "º"},
    "ru": {"m": "-й", "f": "-я", "n": "-е"},
    "zh": "第{}",
    "ja": "第{}",
    "ko": "제{}",
    "vi": "thứ {}",
    "id": "ke-{}",
    "ms": "ke-{}",
}


class Unformattable(ValueError):
    """What cannot be written in this language, or is not what it should be; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def date_in(language: str, value: Any, form: str = "long") -> str:
    """Return a date in words: 1 мая 2026 г.

    ``form`` is one of `DATE_LENGTHS`, or a CLDR pattern such as "d MMMM" (UTS 35, part 4).
    """
    from babel.dates import format_date

    day = _date(value)
    if form not in DATE_LENGTHS and not re.fullmatch(
        rf"[GyYQqMLdEec '.,/\w\u00a0\u202f·-]{{1,{LONGEST_PATTERN}}}", form
    ):
        raise Unformattable(
            f'"{form[:40]}" is no form of a date',
            f'it is one of {", ".join(DATE_LENGTHS)}, or like "d MMMM y"',
        )
    locale = _locale(language)
    try:
        return _own_figures(language, format_date(day, form, locale))
    except (ValueError, KeyError, AttributeError) as error:
        raise Unformattable(f'"{form[:40]}" is no form of a date: {error}', 'for one: "d MMMM y"') from None


def number_in(language: str, value: Any, decimals: int | None = None) -> str:
    """Return a number with the separators of the language: 1 234,5.

    ``decimals``: so many digits behind the point; None: as many as the number has.
    """
    from babel.numbers import format_decimal

    pattern = None if decimals is None else "#,##0" + _behind(decimals)
    number = _number(value)
    locale = _locale(language)
    exact = decimals is None and isinstance(number, Decimal)
    text = format_decimal(number, pattern, locale, decimal_quantization=not exact)
    return _own_figures(language, text, separators=True)


def percent_in(language: str, value: Any, decimals: int = 0) -> str:
    """Return a share as per cent: 0.155 is 15,5 % with one decimal."""
    from babel.numbers import format_percent

    locale = _locale(language)
    pattern = str(locale.percent_formats[None].pattern)
    if decimals:
        pattern = re.sub(r"0(?![0.])", "0" + _behind(decimals), pattern, count=1)
    return _own_figures(language, format_percent(_number(value), pattern, locale), separators=True)


def money_in(language: str, value: Any, currency: str) -> str:
    """Return an amount with its currency, an ISO 4217 code: 1.200,00 €."""
    from babel.numbers import format_currency, is_currency

    if not is_currency(currency):
        raise Unformattable(f'there is no currency "{currency[:20]}"', "three capital letters: EUR, USD, RUB")
    text = format_currency(_number(value), currency, locale=_locale(language))
    return _own_figures(language, text, separators=True)


def plural_in(language: str, value: Any, forms: Mapping[str, str]) -> str:
    """Return the form of a word that goes with a number: one, few, many, other, as CLDR calls them.

    ``forms`` needs every form that the language uses for this number; "other" stands in for none.
    """
    kind = _locale(language).plural_form(abs(Decimal(_number(value))))
    if unknown := sorted(set(forms) - set(PLURALS)):
        raise Unformattable(f'there is no plural form "{unknown[0]}"', f"they are {', '.join(PLURALS)}")
    if kind not in forms:
        needed = ", ".join(f'{form}="…"' for form in _forms_of(language))
        raise Unformattable(f'{value} takes the form "{kind}" here, which is missing', f"plural({needed})")
    return forms[kind]


def ordinal_in(language: str, value: Any, gender: str = "") -> str:
    """Return 1st, 1er, 1.º, 1-й; ``gender`` is m, f or n where the language asks for one."""
    number = _number(value)
    if number != int(number) or number < 1:
        raise Unformattable(f"{value} has no ordinal", "whole numbers from 1 do")
    if gender and gender not in GENDERS:
        raise Unformattable(f'"{gender[:20]}" is no gender', f"it is one of {', '.join(GENDERS)}")
    whole, base = int(number), language.partition("-")[0].lower()
    ending = _ending(base, whole, gender or "m") or _ENDINGS.get(base)
    if ending is None:
        raise Unformattable(
            f'ordinals in "{language}" do not follow from the number alone', "write the word itself"
        )
    if isinstance(ending, Mapping):
        if not gender:
            raise Unformattable(f'an ordinal in "{language}" has a gender', 'ordinal("m"), ("f") or ("n")')
        ending = ending[gender]
    figures = _own_figures(language, str(whole))
    return ending.format(figures) if "{}" in ending else figures + ending


def _ending(base: str, number: int, gender: str) -> str | None:
    """Return the ending of an ordinal that follows from the number; None in other languages."""
    last, teens = number % 10, number % 100 in (11, 12, 13)
    if base == "en":
        return {1: "st", 2: "nd", 3: "rd"}.get(0 if teens else last, "th")
    if base == "fr":
        return ("re" if gender == "f" else "er") if number == 1 else "e"
    if base == "sv":
        return ":a" if last in (1, 2) and not teens else ":e"
    if base == "ca":
        return "a" if gender == "f" else {1: "r", 2: "n", 3: "r", 4: "t"}.get(number, "è")
    return None


def _behind(decimals: Any) -> str:
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= MOST_DECIMALS:
        raise Unformattable("decimals are a whole number", f"from 0 to {MOST_DECIMALS}")
    return "." + "0" * decimals if decimals else ""


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip(), re.ASCII):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    what = "a time" if isinstance(value, time) else f'"{str(value)[:40]}"'
    raise Unformattable(f"{what} is no date", "in facts.toml without quotation marks: opened = 2027-03-15")


def _number(value: Any) -> int | Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = repr(value) if isinstance(value, float) else str(value).strip() if isinstance(value, str) else ""
    if not _NUMBER.fullmatch(text):
        raise Unformattable(f'"{str(value)[:40]}" is no number', "in figures, with a point: 1234.5")
    return Decimal(text) if "." in text else int(text)


def _own_figures(language: str, text: str, *, separators: bool = False) -> str:
    """Return a text with the figures that the language uses by default."""
    locale = _locale(language)
    system = locale.default_numbering_system
    zero = _ZEROS.get(system)
    if zero is None:
        return text
    if separators and system in ("arab", "arabext"):
        symbols = locale.number_symbols.get(system, {})
        ours = locale.number_symbols["latn"]
        table = {ours[kind]: symbols.get(kind, ours[kind]) for kind in ("decimal", "group")}
        text = "".join(table.get(character, character) for character in text)
    return text.translate({ord("0") + number: ord(zero) + number for number in range(10)})


@lru_cache(maxsize=32)
def _forms_of(language: str) -> tuple[str, ...]:
    forms = _locale(language).plural_form.tags | {"other"}
    return tuple(form for form in PLURALS if form in forms)


@lru_cache(maxsize=32)
def _locale(language: str) -> Locale:
    return locale_of(language)


def locale_of(language: str) -> Locale:
    """Return what CLDR says of a language. Raises Unformattable where it says nothing."""
    from babel import Locale, UnknownLocaleError

    parts = language.replace("_", "-").split("-")
    while parts:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError):
            parts.pop()
    raise Unformattable(f'nothing is known of dates and numbers in "{language}"', "write them out") from None
