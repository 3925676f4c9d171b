"""A letter's bytes: today's words before the first permission, the frozen ones after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import pytest

from pipeline.delivery.compose import Composer, Draft, NotAttachable
from pipeline.delivery.letter import Letter
from pipeline.delivery.parcel import Unfit
from pipeline.letters.message import Attachment
from pipeline.letters.templates import compile_templates
from pipeline.mail.address import Mailbox, parse_address
from pipeline.problem import Problem
from tests.clocks import FakeClock

TEMPLATE = '+++\nsubject = "To {{ recipient.name }}"\n+++\nDear {{ recipient.name }},\n'


def _composer(attachments: Sequence[str] = ()) -> Composer:
    """Return a composer that finds no files."""

    def find(names: Sequence[str], line: int) -> Sequence[Attachment]:
        raise NotAttachable([Problem("list.csv", line, 1, "missing", f"there is no {names[0]}")])

    templates, problems = compile_templates(
        {"templates/letter.en.md": TEMPLATE},
        columns=("email", "name"),
        campaign={"name": "May Day", "author": "Committee"},
        languages=("en",),
    )
    assert not problems
    return Composer(
        templates=templates,
        author=Mailbox("Committee", parse_address("letters@example.org")),
        reply_to=None,
        zone=ZoneInfo("Europe/Vienna"),
        clock=FakeClock(),
        find_attachments=find,
        list_file="list.csv",
        always_attached=tuple(attachments),
    )


def _letter(values: Mapping[str, str], content: bytes | None = None) -> Letter:
    address = "ada@office.example"
    return Letter(
        1, "<1@example.org>", address, address, "office.example", "en", "", 0, 0, 2, values, content
    )


def test_a_letter_that_was_never_permitted_has_todays_words_and_date() -> None:
    """In the campaign's own time zone."""
    content = _composer()(_letter({"name": "Ada"}), False).content.decode("ascii")
    assert "Subject: To Ada\r\n" in content
    assert "Date: Mon, 03 May 2027 11:00:00 +0200\r\n" in content
    assert "Dear Ada," in content


def test_a_letter_that_was_permitted_once_keeps_its_bytes() -> None:
    """Whatever templates and list say now."""
    assert _composer()(_letter({}, b"as it was\r\n"), False).content == b"as it was\r\n"


@pytest.mark.parametrize(
    ("values", "attachments", "why"),
    [
        ({}, (), "it cannot be written: "),
        ({"name": "Ada"}, ("facts.pdf",), "it cannot be written: there is no facts.pdf"),
    ],
)
def test_what_cannot_be_written_any_more_is_unfit_and_no_fault_of_the_program(
    values: Mapping[str, str], attachments: Sequence[str], why: str
) -> None:
    """A value or a file that has gone since the check."""
    with pytest.raises(Unfit, match=why):
        _composer(attachments)(_letter(values), False)


def test_a_mark_stands_before_the_subject() -> None:
    """Of test copies."""
    draft = Draft({"name": "Ada"}, "en", "me@example.org", 2, "<1@example.org>")
    content = _composer().write(draft, now=FakeClock().now(), mark="[TEST]")
    assert b"Subject: [TEST] To Ada\r\n" in content
