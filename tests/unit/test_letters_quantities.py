"""Figures and dates in a text, as each language writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.quantities import Quantity, quantities


def readings(text: str, language: str) -> list[str]:
    """Return all that the quantities of a text may mean, one after the other."""
    return ["|".join(sorted(one.readings)) for one in quantities(text, language)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "on 1 May 2026"),
        ("en", "on May 1st, 2026"),
        ("en", "on the 1st of May, 2026"),
        ("ru", "1 мая 2026 года"),
        ("ru", "1.05.2026"[:0] + "2026-05-01"),
        ("es", "el 1 de mayo de 2026"),
        ("es", "el 1.º de mayo del 2026"),
        ("el", "την 1η Μαΐου 2026"),
        ("fr", "le 1er mai 2026"),
        ("de", "am 1. Mai 2026"),
        ("he", "ב-1 במאי 2026"),
        ("ar", "في ١ مايو ٢٠٢٦"),
        ("ja", "2026年5月1日に"),
        ("pl", "1 maja 2026 r."),
        ("uk", "1 травня 2026 року"),
    ],
)
def test_one_day_in_many_languages(language: str, text: str) -> None:
    """Is one date, and no further figures."""
    assert readings(text, language) == ["2026-05-01"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "1,234.5"),
        ("ru", "1 234,5"),
        ("ru", "1\u00a0234,5"),
        ("fr", "1\u202f234,5"),
        ("es", "1.234,5"),
        ("de", "1234,5"),
        ("ar", "١٬٢٣٤٫٥"),
        ("fa", "۱۲۳۴٫۵"),
    ],
)
def test_one_number_in_many_languages(language: str, text: str) -> None:
    """In any script's digits, with any language's separators."""
    assert readings(f"x {text} y", language) == ["1234.5"]


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("en", "it may 3 march 4", ["3", "4"]),
        ("en", "at 17:30, 15%, G7, the 20th", ["17:30", "15", "7", "20"]),
        ("en", "1/5/2026 and 13/5/2026", ["2026-01-05|2026-05-01", "2026-05-13"]),
        ("en", "1.234", ["1.234|1234"]),
        ("es", "1.234 y 1,234", ["1234", "1.234|1234"]),
        ("hi", "12,34,567", ["1234567"]),
        ("en", "in March 2027; 2027-13-45", ["2027-03", "2027", "13", "45"]),
        ("en", "1. First of 3\n2. second\n> 3) third", ["3"]),
        ("en", "{{ facts.x[3] }} {% if 4 %}5{% endif %} https://x.org/6 a7@b8.org {# 9 #}", ["5"]),
        ("en", "1" * 31, []),
        ("qq", "1 234", ["1", "234"]),
        ("en", "none", []),
    ],
)
def test_what_is_a_figure_and_what_is_not(language: str, text: str, wanted: list[str]) -> None:
    """Numbers of lists, addresses and what templates print are none of the text's."""
    assert readings(text, language) == wanted


def one(text: str, language: str) -> Quantity:
    """Return the only quantity of a text."""
    (found,) = quantities(text, language)
    return found


def test_what_may_mean_the_same() -> None:
    """A day without its year, a month that an inflected name hides."""
    assert one("1 May", "en").means(one("1 мая 2026", "ru"))
    assert one("May 2026", "en").means(one("в мае 2026", "ru"))
    assert not one("May 2026", "en").means(one("июнь 2026", "ru"))
    assert not one("2 May", "en").means(one("1 мая 2026", "ru"))


def test_a_quantity_knows_where_it_stands() -> None:
    """Line and column, and how it is written there."""
    found = quantities("Text\nwith 1\u00a0250 people", "ru", first_line=4)
    assert [(one.shown, one.line, one.column, one.kind) for one in found] == [("1 250", 5, 6, "number")]


@given(st.text(max_size=200), st.sampled_from(["en", "ru", "el", "ar", "ja", "qq", ""]))
def test_any_text_is_read(text: str, language: str) -> None:
    """Whatever it holds, and nothing is found outside of it."""
    lines = text.split("\n")
    for found in quantities(text, language):
        assert found.readings
        assert 1 <= found.line <= len(lines)
        assert 1 <= found.column <= len(lines[found.line - 1])


@given(st.integers(0, 10**12), st.sampled_from(["en", "ru", "es", "el", "fa", "hi", "de", "sv"]))
def test_what_is_written_is_read_again(number: int, language: str) -> None:
    """The filter `number` and this agree about every language."""
    from pipeline.letters.formats import number_in

    assert str(number) in one(number_in(language, number), language).readings
