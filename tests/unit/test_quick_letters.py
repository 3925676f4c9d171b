"""The quick way to a letter gives the plain one's octets or fault; `check` raises what `write` raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.compose import Composer, Draft, NotAttachable
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Unfit
from pipeline.letters.message import Attachment, MessageFault, dot_stuff
from pipeline.letters.rendering import MOST_CASTS
from pipeline.letters.templates import TemplateFault, compile_templates
from pipeline.mail.address import Mailbox, parse_address
from pipeline.problem import Problem
from tests.clocks import FakeClock

COLUMNS = ("email", "name", "town", "office", "attachments")
FACTS = """
date = "1 May"
place = "Velmora & = <b>"
urgent = true
numbers = [1, 2, 3]
empty = ""
day = 2026-05-01
[prisoners]
en = "Irena & Marek"
he = "אירנה Talvos"
[[demands]]
en = "Release them."
he = "לשחרר"
[[salutation]]
town = ["Ada", "Sir"]
en = "Dear Sir,"
he = "Sir"
[[salutation]]
en = "Dear {name} of {office},"
he = "שלום {name},"
"""
BASE = "{{ recipient.office }}\n\n{% block text %}{{ recipient.name }}{% endblock %}\n\n{{ facts.place }}\n"
HEAD = '+++\nsubject = "{{ recipient.town }}: to {{ recipient.name }}"\n+++\n'
PREHEADER = '+++\nsubject = "Release them"\npreheader = "For {{ recipient.name }} & all"\n+++\n'
LONG = (
    "We write about the people who were detained at the march in {{ recipient.town }}, and about the trial "
)
BODIES = {
    "paragraphs": "Dear {{ recipient.name }},\n\n" + LONG * 4 + "\n\n{{ recipient.office }}\n",
    "other script": "Уважаемый {{ recipient.name }}!\n\nМы пишем о людях, задержанных в {{ recipient.town }} "
    "первого мая, и о суде, который их ждёт. Освободите их, {{ recipient.name }}, немедленно.\n",
    "right to left": "שלום {{ recipient.name }},\n\nאנו כותבים על העצורים ב{{ recipient.town }} ועל המשפט.\n",
    "lists": "1. {{ recipient.name }}\n2. two of {{ recipient.town }} " + "and more " * 12 + "\n\n"
    "   - inner {{ recipient.office }}\n\n- a\n- {{ recipient.town }}\n",
    "quotation": "> {{ recipient.name }} said: " + LONG + "\n>\n> - {{ recipient.office }} = 1\n",
    "heading": "# {{ recipient.town }}\n\n*{{ recipient.name }}* and **{{ recipient.office }}**, "
    "`{{ recipient.town }}`\n",
    "breaks": "{{ recipient.name }}  \n{{ recipient.office }}\\\n"
    "From {{ recipient.town }}.\n.{{ recipient.name }}\n\n* * *\n\nend\n",
    "figures": "{{ 1234.5|number }}. {{ facts.day|date }}, {{ facts.day|date('d MMMM') }}\n\n"
    "{{ recipient.name }} {{ 3|ordinal }} {{ facts.prisoners }}\n\n"
    "{% for demand in facts.demands %}\n{{ loop.index }}. {{ demand }} {{ recipient.town }}\n{% endfor %}\n",
    "blocks": '{% extends "base.md" %}{% block text %}To {{ recipient.town }}: ' + LONG + "{% endblock %}",
    "salutation": "{{ recipient.salutation }}\n\n" + LONG + "{{ recipient.office }}\n",
    "links": "{{ recipient.name }}: [the report](https://example.org/?a=_b) of {{ recipient.town }}\n",
    "link to a value": "[{{ recipient.name }}](https://example.org/{{ recipient.town }})\n",
    "code": "    {{ recipient.name }}\n\ntext\n",
    "touching": "{{ recipient.name }}{{ recipient.town }}rom "
    "{{ recipient.office }}om F{{ recipient.name }}\n",
    "begun": "a F{{ recipient.name }}\n\nFrom {{ recipient.name }} to\n\n. {{ recipient.town }}\n",
    "facts": "On {{ facts.date }} in {{ facts.place }}{% if facts.urgent %} {{ recipient.name }}"
    "{% endif %}\n\n"
    "{% for n in facts.numbers %}\n{{ n }}. {{ recipient.town }}\n{% endfor %}\n{{ campaign.name }}\n",
    "empty fact": "{{ facts.empty }} {{ recipient.name }}\n",
    "by key": "{{ recipient['name'] }}\n",
    "condition": "{% if recipient.office %}To {{ recipient.office }}{% else %}To you{% endif %}, "
    "{{ recipient.name|default('friend', true) }}\n",
    "filters": "{{ recipient.name|upper }} and {{ recipient.town ~ ' ' }} and {{ ' ' }} "
    "{{ recipient.office[0] }}\n",
    "set": "{% set who = recipient.name %}Dear {{ who }},\n",
    "no value": "Dear all,\n\nnothing of yours stands here.\n",
    "tab": "{{ recipient.name }}\tand\t\n{{ recipient.town }}\t\n\nlast\n",
    "wide": "漢字 " * 30 + "{{ recipient.name }}" + "🌹" * 40 + "\n",
    "spaces": "a  b `  {{ recipient.name }}  ` c {{ recipient.town }}\n\nFrom {{ recipient.town }} From "
    "{{ recipient.name }}From {{ recipient.office }}\n",
    "nested": "> 1. > " + LONG * 3 + "{{ recipient.name }}, {{ recipient.office }}  \n> " + LONG + "\n",
    "mark": "\ue0000\ue000 {{ recipient.name }} \ue0010\ue001\n",
}  # fmt: skip
LAYOUTS = {
    "built in": None,
    "own": "<html lang='{{ language }}'>{{ subject }} {{ body }}\n\n"
    "{{ subject }} rom {{ preheader }} F</html>",
    "of a row": "<p>{{ recipient.name }}</p>{{ body }}",
    "filtered": "{{ body }}{{ subject|upper }}",
    "body twice": "{{ body }}{{ subject }}{{ body }}",
}
FILE = Attachment("a.txt", b"text\n" * 40, "text/plain")


def find(names: Sequence[str], line: int) -> Sequence[Attachment]:
    """Return a file for each name but one."""
    if "missing" in names:
        raise NotAttachable([Problem("list.csv", line, 1, "missing", "there is no missing")])
    return [FILE for _ in names]


@cache
def composer(
    body: str, layout: str = "built in", head: str = HEAD, mailing: str = "", language: str = "en"
) -> Composer:
    """Return the composer of one letter."""
    sources = {
        f"templates/letter.{language}.md": head + BODIES.get(body, body),
        "templates/facts.toml": FACTS,
        "templates/base.md": BASE,
    }
    page = LAYOUTS[layout]
    templates, problems = compile_templates(
        sources if page is None else {**sources, "templates/layout.html": page},
        columns=COLUMNS,
        campaign={"name": "May & Day", "author": "Committee"},
        languages=(language,),
    )
    assert not [problem for problem in problems if problem.severity == "error"], problems
    return Composer(
        templates=templates,
        author=Mailbox("Комитет", parse_address("letters@example.org")),
        reply_to=Mailbox("", parse_address("replies@example.org")) if mailing else None,
        zone=ZoneInfo("Europe/Vienna"),
        clock=FakeClock(),
        find_attachments=find,
        list_file="list.csv",
        mailing=mailing,
    )


def outcome(make: Callable[[], object]) -> object:
    """Return what it gives, or what it raises, comparable."""
    try:
        return make()
    except TemplateFault as fault:
        return fault.problem
    except NotAttachable as fault:
        return fault.problems
    except MessageFault as fault:
        return str(fault)


ATOMS = (
    *(
        "a",
        "Ada",
        "b ",
        " ",
        ".",
        "..",
        "From ",
        "From",
        "F",
        "rom ",
        "=",
        "=_",
        "=2E",
        '"',
        "'",
        "<&>",
        "&amp;",
    ),
    *(
        "%",
        "%s",
        "{{",
        "*_`[",
        "|",
        "é",
        "Ж",
        "ша ",
        "漢",
        "🌹",
        "👩\u200d🚒",
        "e\u0308",
        "אב ",
        "ا",
        "\u202e",
    ),
    *("\xa0", "\t", "\n", "\x00", "\x85", "\u2028", "\u200b", "\ue000", "\ue0000\ue000", "\U000f0000"),
    *("\ud800", "-- "),
)
atoms = st.sampled_from(ATOMS)
tame = st.sampled_from(
    ["Ada", "Ministry of Justice", "Port Haldane", "Sir", "Ж. Шостак", "Göran", "x=1", "<b>", "From", "."]
)
values = st.one_of(
    tame,
    st.lists(tame, min_size=1, max_size=6).map(" ".join),
    st.lists(atoms, max_size=8).map("".join),
    st.integers(1, 160).map(lambda length: "x" * length),
    st.integers(1, 160).map(lambda length: "ж" * length),
    st.text("ab F.é=", max_size=14),
    st.integers(60, 90).map(lambda length: "word " * (length // 5) + "é"),
)
edges = st.sampled_from(["From", "F", "Fr", "Fro", "rom x", "a From", ".", "=", "é", "a b", "x"])
rows = st.fixed_dictionaries({"name": values, "town": values, "office": values})
addresses = st.sampled_from(
    ["ada@office.example", "ада@office.example", "a" * 60 + "@office.example", "no address"]
)
ids = st.sampled_from(
    ["<k7.abc@example.org>", "<1@example.org>", "<" + "x" * 380 + "@example.org>", "<a b@c>"]
)
MOMENTS = (
    datetime(2027, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Vienna"), fold=1),
    datetime(2027, 5, 3, 9, 0, 0, 7, tzinfo=UTC),
    datetime(2027, 10, 31, 2, 30, tzinfo=ZoneInfo("Europe/Vienna")),
    datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
)


def agree(made: Composer, draft: Draft, *, eightbit: bool, mark: str = "") -> None:
    """Assert that all ways agree about a letter."""
    for now in MOMENTS:
        quick = outcome(partial(made.write, draft, now=now, eightbit=eightbit, mark=mark))
        plain = outcome(partial(made.write_plainly, draft, now=now, eightbit=eightbit, mark=mark))
        assert quick == plain
    if not mark:
        checked = outcome(lambda: made.check(draft))
        assert checked == (None if isinstance(plain, bytes) else plain)


@pytest.mark.parametrize(
    "body", ["right to left", "lists", "quotation", "breaks", "links", "blocks", "salutation"]
)
@settings(max_examples=30, deadline=None)
@given(row=rows, eightbit=st.booleans())
def test_a_letter_from_right_to_left_is_the_plain_ways(
    body: str, row: dict[str, str], eightbit: bool
) -> None:
    """With its marks and isolates, octet for octet."""
    draft = Draft(row, "he", "ada@office.example", 2, "<1@example.org>")
    agree(composer(body, language="he"), draft, eightbit=eightbit)


@pytest.mark.parametrize("body", BODIES)
@settings(max_examples=120, deadline=None)
@given(row=rows, eightbit=st.booleans(), head=st.sampled_from([HEAD, PREHEADER]))
def test_any_row_comes_out_alike(body: str, row: dict[str, str], eightbit: bool, head: str) -> None:
    """Whatever stands in its cells, in every kind of block, in both encodings."""
    agree(
        composer(body, head=head),
        Draft(row, "en", "ada@office.example", 2, "<1@example.org>"),
        eightbit=eightbit,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(row=rows, eightbit=st.booleans(), head=st.sampled_from([HEAD, PREHEADER]))
def test_any_page_comes_out_alike(layout: str, row: dict[str, str], eightbit: bool, head: str) -> None:
    """Whether the layout has a frame or not."""
    made = composer("paragraphs", layout, head)
    agree(made, Draft(row, "en", "ada@office.example", 2, "<1@example.org>"), eightbit=eightbit)


@settings(max_examples=200, deadline=None)
@given(
    rows, addresses, ids, st.sampled_from(["", "mayday"]), st.sampled_from(["", "[TEST]"]), st.booleans(),
    st.sampled_from(["", "a.txt", "a.txt; b.txt", "missing", " ; "]),
)  # fmt: skip
def test_any_header_comes_out_alike(
    row: dict[str, str], address: str, message_id: str, mailing: str, mark: str, eightbit: bool, files: str
) -> None:
    """Addresses with and without SMTPUTF8, lists, marks of test copies, files."""
    draft = Draft({**row, "attachments": files}, "en", address, 2, message_id)
    agree(composer("paragraphs", mailing=mailing), draft, eightbit=eightbit, mark=mark)


def test_a_boundary_that_stands_in_a_value_is_not_used() -> None:
    """Even when somebody foresees it."""
    made = composer("paragraphs")
    draft = Draft({"name": "Ada", "town": "X", "office": "Y"}, "en", "a@office.example", 2, "<1@example.org>")
    letter = made.write(draft, now=MOMENTS[0], eightbit=True).decode()
    boundary = letter.partition('boundary="')[2].partition('"')[0]
    agree(
        made,
        Draft({**draft.values, "office": boundary}, "en", "a@office.example", 2, "<1@example.org>"),
        eightbit=True,
    )


@pytest.mark.parametrize("padding", range(50, 80))
@settings(max_examples=40, deadline=None)
@given(edges, edges, edges)
def test_any_column_comes_out_alike(padding: int, name: str, town: str, office: str) -> None:
    """What decides about folds and shields may be cut by the edge of a line and of a value at once."""
    made = composer(
        "x" * padding + " {{ recipient.name }} now {{ recipient.town }}rom m {{ recipient.office }}\n\n"
        + "ж" * (padding // 6) + "x" * (padding % 6) + " F{{ recipient.name }} = {{ recipient.town }}.\n"
    )  # fmt: skip
    row = {"name": name, "town": town, "office": office}
    agree(made, Draft(row, "en", "ada@office.example", 2, "<1@example.org>"), eightbit=False)


LIKE = {ord(one): st.sampled_from("abGz09") for one in "abdgmnoprtxAGHJMPS"}


@pytest.mark.parametrize("body", ["paragraphs", "breaks", "quotation", "spaces", "nested", "right to left"])
@settings(max_examples=60, deadline=None)
@given(row=rows, eightbit=st.booleans(), data=st.data())
def test_rows_of_one_shape_come_out_alike(
    body: str, row: dict[str, str], eightbit: bool, data: st.DataObject
) -> None:
    """The third has what was made of the first two, with other letters in it."""
    made = composer(body, language="he" if body == "right to left" else "en")
    for turn in range(4):
        own = {
            column: "".join(
                data.draw(LIKE[ord(one)]) if turn and ord(one) in LIKE else one for one in value[:90]
            )
            for column, value in row.items()
        }
        agree(made, Draft(own, made.templates.languages[0], "a@b.example", 2, "<1@b.org>"), eightbit=eightbit)


@pytest.mark.parametrize("begun", ["F", "Fr", "Fro"])
@pytest.mark.parametrize("before", ["**{}**", "*{}*", "`{}`", "# {}", "{}"])
def test_a_value_may_end_the_word_from(begun: str, before: str) -> None:
    """A line that begins with it is shielded, although letters of the same shape had none to shield."""
    made = composer(f"{before.format(begun)}{{{{ recipient.name }}}} more\n\nand so on.\n")
    rest = "From"[len(begun) :]
    for name in ("abcd"[: len(rest)], "efgh"[: len(rest)], "ijkl"[: len(rest)], rest):
        draft = Draft({**PLAIN_ROW, "name": name}, "en", "ada@office.example", 2, "<1@example.org>")
        agree(made, draft, eightbit=False)


@settings(max_examples=200, deadline=None)
@given(rows, st.sampled_from(["", "a.txt"]))
def test_a_letter_that_is_said_to_have_no_dots_needs_no_stuffing(row: dict[str, str], files: str) -> None:
    """What is not said of it is found out before it goes."""
    made = composer("breaks")
    letter = Letter(
        1, "<1@b.org>", "a", "a@b.example", "b.example", "en", "", 0, 0, 2, {**row, "attachments": files}
    )
    with suppress(Unfit):
        composed = made(letter, False)
        assert not composed.dotless or dot_stuff(composed.content) == composed.content
    assert made(letter._replace(values=PLAIN_ROW), False).dotless
    assert not made(letter._replace(values=PLAIN_ROW), True).dotless
    assert not made(letter._replace(content=b".\r\n"), False).dotless


PLAIN_ROW = {"name": "Göran Marsh", "town": "Port Haldane", "office": "Ministry of <Justice>"}


@pytest.mark.parametrize("eightbit", [False, True])
@pytest.mark.parametrize(
    "body",
    sorted(BODIES.keys() - {"link to a value", "code", "touching", "begun", "empty fact", "mark", "filters"}),
)
def test_usual_letters_go_the_quick_way(body: str, eightbit: bool) -> None:
    """Otherwise all of this would prove nothing; what it is good for is measured by bench/compose.py."""
    draft = Draft(PLAIN_ROW, "en", "ada@office.example", 2, "<1@example.org>")
    quick = composer(body)._write_quickly(draft, MOMENTS[0], "8bit" if eightbit else "qp", "")
    assert quick is not None


@pytest.mark.parametrize("language", ["de", ""])
def test_a_language_without_a_letter_is_the_same_fault_both_ways(language: str) -> None:
    """Nothing is kept of it."""
    agree(
        composer("paragraphs"),
        Draft(PLAIN_ROW, language, "a@office.example", 2, "<1@example.org>"),
        eightbit=False,
    )


def test_a_row_without_a_column_is_the_same_fault_both_ways() -> None:
    """And the letters after it are not the slower for it."""
    made = composer("paragraphs")
    row: Mapping[str, str] = {"name": "Ada"}
    agree(made, Draft(row, "en", "a@office.example", 2, "<1@example.org>"), eightbit=False)
    test_usual_letters_go_the_quick_way("paragraphs", False)


def test_nothing_piles_up_with_letters() -> None:
    """A template whose text differs for every letter costs time, not memory, and soon goes the plain way."""
    made = composer("{{ recipient.office|int }} {{ recipient.name }}\n")
    for number in range(100):
        row = {**PLAIN_ROW, "office": str(number)}
        agree(made, Draft(row, "en", "a@office.example", 2, "<1@example.org>"), eightbit=False)
        assert len(made.templates._casts) <= MOST_CASTS
    draft = Draft({**PLAIN_ROW, "office": "0"}, "en", "a@office.example", 2, "<1@example.org>")
    assert made._write_quickly(draft, MOMENTS[0], "qp", "") is None


def test_should_the_ways_ever_differ_letters_go_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` compares the first letters in a language; nothing is sent that the reference would not send."""
    made = composer("Dear {{ recipient.name }} of {{ recipient.town }}\n")
    draft = Draft(PLAIN_ROW, "en", "a@office.example", 2, "<1@example.org>")
    monkeypatch.setattr("pipeline.letters.cast.Cast.quoted", lambda *_: (b"another\r\n", b"letter\r\n"))
    assert made.write(draft, now=MOMENTS[0]) != made.write_plainly(draft, now=MOMENTS[0])
    made.check(draft)
    assert made.write(draft, now=MOMENTS[0]) == made.write_plainly(draft, now=MOMENTS[0])
