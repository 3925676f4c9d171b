"""Opt-outs: the words that our own letters tell people to answer with are understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli.init import TEMPLATE
from pipeline.mail.mime import read_mail
from pipeline.replies.kinds import Kind, Verdict
from pipeline.replies.sorting import sort_mail

TEMPLATES = Path(__file__).parents[2] / "templates"
LETTERS = {path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("letter.*.md"))}
LETTERS["campaign init"] = TEMPLATE


def _promised(letter: str) -> str:
    """Return the quoted words of the letter's last paragraph."""
    return str(re.findall(r"[“«\"]([^“”«»\"]+)[”»\"]", letter.strip().rpartition("\n\n")[2])[-1])


def _answer(words: str) -> Verdict:
    head = "From: Ada <ada@office.example>\nTo: letters@example.org\nSubject: Re: An open letter\n"
    typed = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    return sort_mail(read_mail((head + typed + words).encode()))


@pytest.mark.parametrize("name", LETTERS)
def test_the_words_that_a_letter_asks_for_are_an_opt_out(name: str) -> None:
    """What the sample letters and those of `campaign init` promise holds, whatever stands round the words."""
    words = _promised(LETTERS[name])
    for written in (words, f"{words.capitalize()}.", f"“{words}”\n\n> {words} stood in the letter\n"):
        assert _answer(written).kind is Kind.OPTOUT, written


@pytest.mark.parametrize("name", LETTERS)
def test_those_words_in_a_longer_answer_wait_for_a_person(name: str) -> None:
    """They are said of something else, perhaps."""
    verdict = _answer(f"We have opened a file on the case. {_promised(LETTERS[name])}, the minister told us.")
    assert (verdict.kind, verdict.review) == (Kind.HUMAN, "optout")


@pytest.mark.parametrize("name", LETTERS)
def test_those_words_in_the_quoted_letter_are_not_the_writers(name: str) -> None:
    """A person who leaves our letter below their answer asks for nothing."""
    quoted = "".join(f"> {line}\n" for line in LETTERS[name].strip().splitlines()[-6:])
    verdict = _answer(f"We have opened a file on the case.\n\nOn Mon, 3 Aug 2026, we wrote:\n{quoted}")
    assert (verdict.kind, verdict.review) == (Kind.HUMAN, "")
