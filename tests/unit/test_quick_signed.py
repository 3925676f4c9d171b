"""Signed letters: the quick way gives the plain one's octets, whatever a signatory's cells hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.delivery.compose import Composer, Draft
from pipeline.letters.templates import compile_templates
from pipeline.mail.address import Mailbox, parse_address
from pipeline.recipients.signatories import ReplyTo, Signing
from tests.clocks import FakeClock
from tests.unit.test_quick_letters import MOMENTS, agree, atoms, find, values

GOLDEN = Path(__file__).parent.parent / "golden"
HEAD = '+++\nsubject = "To {{ recipient.name }}, of {{ signatory.name }}"\n+++\n'
BODIES = {
    "words": "Dear {{ recipient.name }},\n\n{{ signatory.words }}\n\nYours, {{ signatory.name }}\n",
    "quotation": "> {{ signatory.words }}\n\n- {{ signatory.words }}\n- {{ recipient.name }}\n",
    "within a line": "I say: {{ signatory.words }} and {{ signatory.city }}.\n\n{{ signatory.names }}\n",
    "heading": "# {{ signatory.words }}\n\n*{{ signatory.words }}*\n\n2. {{ signatory.names }}\n",
    "link": "[{{ signatory.words }}](https://example.org/) {{ recipient.name }}\n",
    "condition": "{% if signatory.words %}{{ signatory.words }}{% else %}nothing{% endif %}\n",
    "filter": "{{ signatory.words|upper }} {{ signatory.name|default('friend', true) }}\n",
    "set": "{% set mine = signatory.words %}{{ mine }}\n\n{{ recipient.name }}\n",
}
paragraphs = st.lists(st.one_of(values, atoms), min_size=1, max_size=4)
words = st.one_of(
    values,
    paragraphs.map("\n\n".join),
    paragraphs.map("\n".join),
    st.tuples(paragraphs.map("\n".join), paragraphs.map("\n\n".join)).map("\n\n\n".join),
)
rows = st.fixed_dictionaries(
    {
        "name": values,
        "signatory.name": values,
        "signatory.city": values,
        "signatory.words": words,
        "signatory.names": words,
        "signatory.email": st.sampled_from(["ada@home.example", "ада@home.example", "no address"]),
    },
    optional={"signatory.author_name": values, "signatory.from": st.just("section@example.org")},
)
PLAIN = {
    "name": "Mia Gray",
    "signatory.name": "Ада Лунд",
    "signatory.city": "Ghent",
    "signatory.words": "First words of mine.\n\nSecond & last.\nA line.",
    "signatory.names": "Ада Лунд, Ghent\nBo Venn",
    "signatory.email": "ada@home.example",
}


@cache
def composer(body: str, reply_to: ReplyTo = ReplyTo.CAMPAIGN) -> Composer:
    """Return the composer of one signed letter."""
    templates, problems = compile_templates(
        {"templates/letter.en.md": HEAD + BODIES[body]},
        columns=("email", "name"),
        campaign={"name": "May Day", "author": "Committee"},
        languages=("en",),
        signatory=("name", "city", "words", "email", "names"),
    )
    assert not problems
    return Composer(
        templates=templates,
        author=Mailbox("Комитет", parse_address("letters@example.org")),
        reply_to=None,
        zone=ZoneInfo("Europe/Vienna"),
        clock=FakeClock(),
        find_attachments=find,
        list_file="list.csv",
        signing=Signing(reply_to=reply_to),
    )


@pytest.mark.parametrize("body", BODIES)
@settings(max_examples=120, deadline=None)
@given(
    row=rows,
    eightbit=st.booleans(),
    reply_to=st.sampled_from(ReplyTo),
    to=st.sampled_from(["mia@office.example", "мия@office.example"]),
)
def test_any_signatory_comes_out_alike(
    body: str, row: dict[str, str], eightbit: bool, reply_to: ReplyTo, to: str
) -> None:
    """Own words of any shape, names in any script, in every kind of block, in both encodings."""
    agree(composer(body, reply_to), Draft(row, "en", to, 2, "<1@example.org>"), eightbit=eightbit)


@pytest.mark.parametrize("body", sorted(BODIES.keys() - {"link"}))
def test_usual_signed_letters_go_the_quick_way(body: str) -> None:
    """Otherwise all of this would prove nothing."""
    draft = Draft(PLAIN, "en", "mia@office.example", 2, "<1@example.org>")
    assert composer(body)._write_quickly(draft, MOMENTS[0], "qp", "") is not None


def test_letters_of_one_shape_need_no_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a second signatory are put into what the first one's letter was made in."""
    made = composer("words")
    first = Draft(PLAIN, "en", "mia@office.example", 2, "<1@example.org>")
    assert made._write_quickly(first, MOMENTS[0], "qp", "") is not None
    monkeypatch.setattr("pipeline.letters.rendering.Piece.run", None)
    words = {"signatory.words": "Other words.\n\nOther end.\nAnother line.", "signatory.name": "Bo"}
    second = first._replace(values={**PLAIN, **words})
    assert b"<p>Yours, Bo</p>" in (made._write_quickly(second, MOMENTS[0], "qp", "") or b"")


def test_a_signed_letter_is_the_golden_one_octet_for_octet() -> None:
    """From, Reply-To, own words in paragraphs, the names below; as it goes over the wire."""
    draft = Draft(PLAIN, "en", "mia@office.example", 2, "<k7.abc@example.org>")
    made = composer("words", ReplyTo.SIGNATORY)
    assert made.write(draft, now=MOMENTS[1]) == (GOLDEN / "letter.en.signed.eml").read_bytes()
