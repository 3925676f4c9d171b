"""Dates, numbers and ordinals in the reader's language, and a refusal where they would be wrong."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime

import pytest

from pipeline.letters.formats import (
    Unformattable,
    date_in,
    money_in,
    number_in,
    ordinal_in,
    percent_in,
    plural_in,
)

DAY = date(2026, 5, 1)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "May 1, 2026"),
        ("en-GB", "1 May 2026"),
        ("es", "1 de mayo de 2026"),
        ("el", "1 Μαΐου 2026"),
        ("ar", "1 مايو 2026"),
        ("de-AT-1996", "1. Mai 2026"),
    ],
)
def test_a_date_in_the_readers_language(language: str, words: str) -> None:
    """From a date, a moment, or a cell's text."""
    assert date_in(language, DAY) == date_in(language, datetime(2026, 5, 1, 9)) == words  # noqa: DTZ001
    assert date_in(language, " 2026-05-01 ") == words


def test_a_date_has_the_figures_of_its_language() -> None:
    """Persian has its own."""
    assert date_in("fa", date(2027, 3, 15), "d MMMM y").split()[::2] == ["۱۵", "۲۰۲۷"]


def test_a_date_by_a_pattern() -> None:
    """Where a language's usual order is not the one wanted."""
    assert date_in("en", DAY, "d MMMM y") == "1 May 2026"
    assert date_in("el", DAY, "EEEE d MMMM") == "Παρασκευή 1 Μαΐου"


@pytest.mark.parametrize("form", ["%d", "x" * 61, "{0}", "QQQQQQ", "d\n", ""])
def test_what_is_no_pattern_is_refused(form: str) -> None:
    """A pattern is short, and made of what dates are made of."""
    with pytest.raises(Unformattable):
        date_in("en", DAY, form)


@pytest.mark.parametrize("value", ["15.03.2027", "2026-13-01", 5, None, "", "1 May", True])
def test_what_is_no_date_is_refused(value: object) -> None:
    """Never guessed."""
    with pytest.raises(Unformattable):
        date_in("en", value)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "1,234.5"), ("ru", "1\u00a0234,5"), ("de", "1.234,5"), ("fa", "۱٬۲۳۴٫۵"), ("hi", "1,234.5")],
)
def test_a_number_in_the_readers_language(language: str, words: str) -> None:
    """From a number or a cell's text."""
    assert number_in(language, 1234.5) == number_in(language, "1234.5") == words


def test_decimals_can_be_asked_for() -> None:
    """And no others are made up."""
    assert (number_in("en", 3, 2), number_in("en", "2.50"), number_in("en", 0.1)) == ("3.00", "2.5", "0.1")
    assert percent_in("ru", 0.155, 1) == "15,5\u00a0%"
    assert money_in("es", "1200", "EUR") == "1.200,00\u00a0€"


@pytest.mark.parametrize("value", ["1,5", "12 apples", None, True, "nan", "9" * 30])
def test_what_is_no_number_is_refused(value: object) -> None:
    """Never guessed."""
    with pytest.raises(Unformattable):
        number_in("en", value)


@pytest.mark.parametrize(
    ("language", "gender", "words"),
    [
        ("en", "", "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th"),
        ("fr", "f", "1re 2e 3e 4e 11e 12e 13e 21e 22e 101e 111e"),
        ("sv", "", "1:a 2:a 3:e 4:e 11:e 12:e 13:e 21:a 22:a 101:a 111:e"),
        ("de", "", "1. 2. 3. 4. 11. 12. 13. 21. 22. 101. 111."),
        ("el", "f", "1η 2η 3η 4η 11η 12η 13η 21η 22η 101η 111η"),
    ],
)
def test_ordinals(language: str, gender: str, words: str) -> None:
    """Where they follow from the number."""
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)
    assert " ".join(ordinal_in(language, number, gender) for number in numbers) == words


@pytest.mark.parametrize(
    ("language", "value", "gender"),
    [("ar", 1, ""), ("ru", 1, ""), ("en", 0, ""), ("en", "1.5", ""), ("en", 1, "x")],
)
def test_an_ordinal_that_might_be_wrong_is_refused(language: str, value: object, gender: str) -> None:
    """With what to write instead."""
    with pytest.raises(Unformattable) as caught:
        ordinal_in(language, value, gender)
    assert caught.value.hint


def test_a_word_goes_with_its_number() -> None:
    """One, few, many: as many forms as the language has."""
    forms = {"one": "человек", "few": "человека", "many": "человек"}
    assert [plural_in("ru", number, forms) for number in (1, 2, 5, 21, 112)] == [
        *("человек", "человека", "человек", "человек", "человек")
    ]
    with pytest.raises(Unformattable, match="few"):
        plural_in("ru", 2, {"one": "человек", "other": "человек"})
    with pytest.raises(Unformattable, match="plural form"):
        plural_in("ru", 2, {"two": "x", "lots": "y"})


def test_a_language_that_nothing_is_known_of_is_refused() -> None:
    """Klingon has no entry."""
    with pytest.raises(Unformattable, match="nothing is known"):
        date_in("qq", DAY)


def test_babel_is_not_imported_before_it_is_needed() -> None:
    """Start-up time is a promise."""
    code = "import sys, pipeline.letters.templates; print('babel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
