"""Letters that run from right to left: marks where two ways meet, and the same octets by both ways."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.direction import RIGHT_MARK, direction, isolated, marked, unmarked
from pipeline.letters.markdown import read_body
from pipeline.letters.sandbox import PLACE, Trouble
from pipeline.letters.splice import Plans
from pipeline.letters.templates import compile_templates

ARABIC = """\
{{ recipient.office }}

السيد {{ recipient.name }}، نكتب إليكم بشأن {{ facts.detained }} شخصًا احتُجزوا في {{ facts.date|date }}.

Solidarity Committee\\
letters@example.org
"""


def test_languages_and_scripts_decide() -> None:
    """A script in the tag comes first."""
    assert [direction(tag) for tag in ("ar", "he", "en", "az-Arab", "ur-Latn", "FA")] == [
        *("rtl", "rtl", "ltr", "rtl", "ltr", "rtl")
    ]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("Maris Venholt", "\u2066Maris Venholt\u2069"),
        ("+32 2 555 01 23", "\u2066+32 2 555 01 23\u2069"),
        ("2026-05-01", "\u20662026-05-01\u2069"),
        ("سفارة", "سفارة"),
        ("47", "47"),
        ("1,234.5", "1,234.5"),
        ("…", "…"),
        ("", ""),
    ],
)
def test_a_value_of_the_other_way_is_isolated(value: str, wanted: str) -> None:
    """So that it keeps its order, and its neighbours keep theirs."""
    assert isolated(value) == wanted
    assert unmarked(wanted) == value


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("السلام", "السلام"),
        ("1. السلام", "1. السلام"),
        ("letters@example.org", RIGHT_MARK + "letters@example.org"),
        ("\u2066Maris\u2069، السلام", "\u2066Maris\u2069، السلام"),
        ("", ""),
    ],
)
def test_a_line_that_would_run_the_wrong_way_is_marked(line: str, wanted: str) -> None:
    """By its first letter, as the programs that show it do."""
    assert marked(line) == wanted


def test_an_arabic_letter_runs_from_right_to_left_in_both_parts() -> None:
    """Every line begins as an Arabic one; values in Latin letters are isolated; the page says rtl."""
    sources = {
        "templates/letter.ar.md": f'+++\nsubject = "رسالة"\n+++\n{ARABIC}',
        "templates/facts.toml": "detained = 47\ndate = 2026-05-01\n",
    }
    columns = ("email", "name", "office")
    templates, problems = compile_templates(sources, columns=columns, campaign={}, languages=["ar"])
    assert problems == []
    cells = {"email": "a@b.example", "name": "Maris Venholt", "office": "Embassy of Verania"}
    out = templates.render(language="ar", recipient=cells, row=("r.csv", 2))
    lines = [line for line in out.text.split("\n") if line]
    assert lines[0] == f"{RIGHT_MARK}\u2066Embassy of Verania\u2069"
    assert all(_runs_right_to_left(line) for line in lines)
    assert "\u2066Maris Venholt\u2069" in out.html
    assert '<html lang="ar" dir="rtl">' in out.html


def test_a_link_leads_where_it_led() -> None:
    """No mark gets into an address."""
    body = read_body(f"[موقع](https://example.org/{chr(PLACE)})\n", [isolated("report")], rtl=True)
    assert 'href="https://example.org/report"' in body.html
    assert "<https://example.org/report>" in body.text


words = st.sampled_from(["שלום", "سفارة", "Maris", "47", "2026-05-01", "a@b.example", "(x)", "漢字"])
texts = st.lists(words, min_size=1, max_size=30).map(" ".join)


@given(texts, st.lists(texts, min_size=2, max_size=2))
def test_a_body_filled_equals_one_read(text: str, filling: list[str]) -> None:
    """Byte for byte, in lists and quotations too."""
    first, second = chr(PLACE), chr(PLACE + 1)
    markdown = f"{text} {first}\n\n> {first} {text}\n\n1. {second}\n2. {text}\n\n{second}\\\n{text}\n"
    values = [isolated(value) for value in filling]
    try:
        plain = read_body(markdown, values, rtl=True)
    except Trouble:
        return
    assert Plans(rtl=True).body(markdown, values) == plain


def _runs_right_to_left(line: str) -> bool:
    """Say what UAX 9 P2 and P3 say of a line: its first strong letter outside of isolates."""
    depth = 0
    for character in line:
        kind = unicodedata.bidirectional(character)
        depth += kind in ("LRI", "RLI", "FSI")
        depth -= kind == "PDI"
        if not depth and kind in ("L", "R", "AL"):
            return kind != "L"
    return False
