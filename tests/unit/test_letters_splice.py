"""A body read once and filled, and a page made once and filled, equal the plain ways, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup

from pipeline.letters.markdown import Body, read_body, wrapped
from pipeline.letters.sandbox import PLACE, Trouble
from pipeline.letters.splice import Plans, plan_body
from pipeline.letters.templates import compile_templates

ALPHABETS = ("abc deEF.", "абвгд Ж", "αβγδ Ω", "אבג ד", "漢字 仮名", "<>&\"'*_`[]()#!\\-+1. ", "é̈ 🙂‍x")
words = st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=90))
values = st.lists(words.map(lambda text: " ".join(text.split()) or "x"), min_size=3, max_size=3)
A, B, C = (chr(PLACE + number) for number in range(3))
BODIES = (
    f"{A}\n\nWe write to {B} of {C} about a matter that concerns {A} and everyone else, at some length.\n",
    f"# {A}\n\nText with **{B}** and *{C}*, and `{A}` as code.\n\n1. {A}\n2. {B} and more than goes on a "
    f"line of a letter, so that it is wrapped\n\n   {C}\n10. ten\n",
    f"> {A} said: {B}\n>\n> - {C} and so on and so forth, until the line is full and a next begins: {A}\n"
    "> - two\n",
    f"- {A}\n- {B}\n  > {C} {C} {C} {C} {C} {C} {C} {C}\n",
    f"first{A}  \nsecond {B}\\\nthird {C}\n\n* * *\n\n    code\n\nend {A}\n",
    "no value at all, but [a link](https://example.org/x) and\na second line\n",
    f"[a link with {A}](https://example.org/)\n\n[another](https://example.org/?{B})\n",
    f"    {A} in a block of code\n\n```\n{B}\n```\n",
    f"{A}{B}{C}\n",
)


def plain(markdown: str, filling: list[str]) -> Body | str:
    """Return what the plain way gives; the code of its trouble if it has one."""
    try:
        return read_body(markdown, filling)
    except Trouble as trouble:
        return trouble.code


def planned(markdown: str, filling: list[str]) -> Body | str:
    """Return what the quick way gives."""
    try:
        return Plans().body(markdown, filling)
    except Trouble as trouble:
        return trouble.code


@pytest.mark.parametrize("markdown", BODIES)
@given(filling=values)
def test_a_planned_body_equals_the_plain_one(markdown: str, filling: list[str]) -> None:
    """Over many scripts and lengths, in every kind of block."""
    assert planned(markdown, filling) == plain(markdown, filling)


@given(st.text(f"ab  \n\n>-*1.`#[](){A}{B}{C}", max_size=120), values)
def test_any_text_that_jinja_may_print_comes_out_alike(markdown: str, filling: list[str]) -> None:
    """Also texts nobody would write: whatever Markdown makes of them, both ways agree."""
    assert planned(markdown, filling) == plain(markdown, filling)


def test_a_value_in_a_link_has_no_plan() -> None:
    """Where a link leads is decided by its value, so such a letter goes the plain way."""
    assert plan_body(f"[x](https://example.org/{A})\n") is None
    assert plan_body(f"Dear {A},\n") is not None


def test_plans_do_not_pile_up() -> None:
    """A template whose text differs for every letter costs time, not memory."""
    plans = Plans()
    for number in range(500):
        plans.body(f"letter {number} to {A}\n", ["x"])
    assert len(plans._plans) <= 64


def slowly_wrapped(text: str, width: int) -> list[str]:
    """Wrap word by word: the reference."""
    lines = []
    for part in text.split("\n"):
        line = ""
        for word in filter(None, part.split(" ")):
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


@given(st.text("ab \n", max_size=200), st.integers(1, 30))
def test_wrapping_breaks_where_word_by_word_would(text: str, width: int) -> None:
    """The quick search for the last space that fits finds the same lines."""
    assert wrapped(text, width) == slowly_wrapped(text, width)


PLAIN_JINJA = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
LAYOUTS = (
    "<title>{{ subject }}</title>{% if preheader %}<p>{{ preheader }}</p>{% endif %}{{ body }}"
    "{{ campaign.name }}",
    "{% if subject %}{{ subject|upper }}{% endif %}{{ body }}",
    "{{ recipient.name }} {{ body }}",
    "{{ subject ~ preheader }}{{ body }}",
)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(first=words, second=words)
def test_a_page_made_once_equals_one_rendered_for_the_letter(layout: str, first: str, second: str) -> None:
    """Whether the layout has a frame or not, each letter's page is what rendering it would give."""
    first, second = (" ".join(("x" + text).split()) for text in (first, second))
    sources = {
        "templates/letter.en.md": (
            '+++\nsubject = "to {{ recipient.name }}"\npreheader = "{{ recipient.town }}"\n+++\n'
            "{{ recipient.name }}\n"
        ),
        "templates/layout.html": layout,
    }
    templates, problems = compile_templates(
        sources, columns=("email", "name", "town"), campaign={"name": "C & C"}, languages=("en",)
    )
    assert not problems
    for name, town in ((first, second), (second, first)):
        cells = {"email": "a@example.org", "name": name, "town": town}
        rendered = templates.render(language="en", recipient=cells, row=("r.csv", 2))
        body = Markup(read_body(f"{A}\n", [name]).html.strip("\n"))
        names = {
            "body": body,
            "subject": f"to {name}",
            "preheader": town,
            "campaign": {"name": "C & C"},
            "recipient": cells,
        }
        plain_page = PLAIN_JINJA.from_string(layout).render(names)
        assert rendered.html == plain_page
