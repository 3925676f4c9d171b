"""Answers that somebody passed on: a folder of them, each with what is in it beside it.

`tests/words/forwards/NAME.eml` is a mail as a program wrote it; `NAME.toml` says who wrote the inner mail,
when and what, and what the forwarder added. An empty address: nothing is forwarded there.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail.mime import read_mail
from pipeline.replies.forwarded import MOST_INNER, Forwarded, unwrap
from pipeline.replies.text import new_text

FORWARDS = Path(__file__).parent.parent / "words" / "forwards"
CASES = sorted(FORWARDS.glob("*.eml"))
OURS = frozenset({"letters@example.org"})


def expected(case: Path) -> dict[str, Any]:
    """Return what stands beside a mail."""
    return tomllib.loads(case.with_suffix(".toml").read_text("utf-8"))


def unwrapped(name: str) -> tuple[Forwarded, ...]:
    """Return what is in one of the mails."""
    return unwrap(read_mail((FORWARDS / f"{name}.eml").read_bytes()), OURS)


@pytest.mark.parametrize(
    "case", [case for case in CASES if expected(case)["address"]], ids=lambda case: case.stem
)
def test_a_forwarded_answer_is_unwrapped(case: Path) -> None:
    """Its author, its date, its words; and the forwarder's own words apart."""
    wanted = expected(case)
    (inner,) = unwrapped(case.stem)
    assert (inner.name, inner.address) == (wanted["name"], wanted["address"])
    assert inner.date == wanted["date"]
    assert inner.subject == wanted["subject"]
    assert inner.text.new == wanted["words"]
    assert new_text(read_mail(case.read_bytes())).new == wanted["comment"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if not expected(case)["address"]], ids=lambda case: case.stem
)
def test_what_is_no_forward_is_left_alone(case: Path) -> None:
    """A quotation, our own letter, a notification."""
    assert unwrapped(case.stem) == ()


def test_the_folder_holds_many_languages() -> None:
    """And the programs that people use."""
    assert len({case.stem.partition("-")[0] for case in CASES}) >= 15


def test_who_forwarded_it_is_told() -> None:
    """All else is his word: nothing in it is verified."""
    (inner,) = unwrapped("en-gmail")
    assert inner.by == ("Ann Signatory", "ann@signatory.example")
    assert inner.mail is None


def test_an_attached_mail_comes_whole() -> None:
    """Its identification fields can be matched like those of any mail."""
    (inner,) = unwrapped("en-message-attached")
    assert inner.mail is not None
    assert inner.mail.headers.message_ids("In-Reply-To") == ("letter-1@example.org",)
    assert inner.text.quoted == "old"


def test_a_forward_of_a_forward_gives_both() -> None:
    """The outer one first."""
    fields = "From: {} <{}@office.example>\nDate: Mon, May 4, 2026\nSubject: Fwd: x\nTo: b\n\n"
    block = f"---------- Forwarded message ---------\n{fields}"
    body = block.format("First", "first") + "see\n\n" + block.format("Second", "second") + "We refuse.\n"
    mail = read_mail(f"From: ann@signatory.example\nSubject: Fwd: x\n\n{body}".encode())
    assert [(one.address, one.text.new) for one in unwrap(mail)] == [
        ("first@office.example", "see"),
        ("second@office.example", "We refuse."),
    ]


def test_a_date_without_a_zone_is_the_forwarders() -> None:
    """His program wrote it for him."""
    (inner,) = unwrapped("de-outlook")
    assert inner.date is not None
    assert inner.date.isoformat() == "2026-05-04T09:30:00+02:00"


def test_a_bomb_of_attached_mails_is_bounded() -> None:
    """Ten are more than anybody forwards."""
    inner = "--x\nContent-Type: message/rfc822\n\nFrom: a@example.org\n\nhello\n"
    mail = read_mail(
        (
            "From: b@example.org\nContent-Type: multipart/mixed; boundary=x\n\n" + inner * 100 + "--x--\n"
        ).encode()
    )
    assert len(unwrap(mail)) == MOST_INNER


@given(st.text(st.sampled_from("aé: \n>-<@.5"), max_size=300))
def test_nothing_raises(text: str) -> None:
    """The block is a stranger's."""
    head = "From: b@example.org\nSubject: Fwd: x\n\n---------- Forwarded message ---------\n"
    mail = read_mail(f"{head}From: {text}".encode())
    unwrap(mail)
    unwrap(replace(mail, unreadable="unreadable: a bound"))
