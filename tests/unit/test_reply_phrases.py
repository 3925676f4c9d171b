"""The phrases of each language, tried with what programs write in it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.replies.subject import is_forward, topic
from pipeline.replies.text import reply_in
from pipeline.replies.wording import HEADER_KEYS, languages, phrases, plain

LANGUAGES = languages()
LISTS = {*HEADER_KEYS, "wrote", "original", "forwarded", "forwarded_end", "device", "closing"} | {
    "reply_prefix",
    "forward_prefix",
}
ATTRIBUTIONS = [(each["language"], line) for each in LANGUAGES for line in each["sample"]["attributions"]]

each_language = pytest.mark.parametrize("each", LANGUAGES, ids=lambda each: str(each["language"]))


def test_there_are_many_languages() -> None:
    """Letters go to offices all over the world."""
    assert len(LANGUAGES) >= 40


@each_language
def test_a_file_has_every_list(each: Mapping[str, Any]) -> None:
    """An empty one is allowed where nobody knows the words yet."""
    assert set(each) >= LISTS | {"language", "name", "months", "sample"}
    assert all(isinstance(phrase, str) and plain(phrase) for name in LISTS for phrase in each[name])
    assert len(each["months"]) == 12


@pytest.mark.parametrize(("language", "line"), ATTRIBUTIONS)
def test_a_line_above_marked_text(language: str, line: str) -> None:
    """It goes with the quotation."""
    assert reply_in(f"Words.\n\n{line}\n> repeated\n").new == "Words."


@pytest.mark.parametrize(("language", "line"), ATTRIBUTIONS)
def test_a_line_above_unmarked_text(language: str, line: str) -> None:
    """All that follows is repeated."""
    assert reply_in(f"Words.\n\n{line}\n\nrepeated\n\nand more\n").new == "Words."


@pytest.mark.parametrize("width", [50, 60, 72])
@pytest.mark.parametrize(("language", "line"), ATTRIBUTIONS)
def test_a_wrapped_line_above_marked_text(language: str, line: str, width: int) -> None:
    """Programs wrap it, wherever."""
    assert reply_in(f"Words.\n\n{textwrap.fill(line, width)}\n\n> repeated\n").new == "Words."


@each_language
def test_a_block_of_fields(each: Mapping[str, Any]) -> None:
    """Outlook puts it above unmarked text."""
    assert reply_in(f"Words.\n\n{each['sample']['header'].strip()}\n\nrepeated\n").new == "Words."


@each_language
def test_a_line_of_a_telephone(each: Mapping[str, Any]) -> None:
    """It is nobody's word."""
    assert reply_in(f"Words.\n\n{each['sample']['device']}\n").new == "Words."


@each_language
def test_separators(each: Mapping[str, Any]) -> None:
    """Between dashes; what follows is repeated or forwarded."""
    for words in (*each["original"], *each["forwarded"]):
        text = f"Words.\n\n-----{words.replace('{}', 'Ann')}-----\nrepeated\n"
        assert reply_in(text).new == "Words.", words


@each_language
def test_closings(each: Mapping[str, Any]) -> None:
    """With the names below them they are the signature."""
    for words in each["closing"]:
        found = reply_in(f"Words.\n\n{words},\nAnn Example\nConsul\n")
        assert (found.new, found.signature) == ("Words.", f"{words},\nAnn Example\nConsul")


@each_language
def test_marks_before_a_subject(each: Mapping[str, Any]) -> None:
    """Whatever program answered or passed on."""
    for mark in each["reply_prefix"]:
        assert topic(f"{mark}: 12/2026") == "12/2026"
    for mark in each["forward_prefix"]:
        assert topic(f"{mark}: 12/2026") == "12/2026"
        assert is_forward(f"{mark}: 12/2026")


def test_no_closing_could_be_a_whole_answer() -> None:
    """ "Thanks" and "yes" are words."""
    risky = {"thanks", "thank you", "danke", "merci", "gracias", "спасибо", "yes", "no", "ok"}
    assert not phrases().closing & risky


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("Re: AW: Fwd: 12/2026", "12/2026"),
        ("RE[2]: 12/2026", "12/2026"),
        ("AW(3): 12/2026", "12/2026"),
        ("[committee] Re: 12/2026", "12/2026"),
        ("Ответ: На: 12/2026", "12/2026"),
        ("回复：转发：第12号", "第12号"),
        ("  Re :  Release   of teachers (fwd)", "release of teachers"),
        ("Reform: a proposal", "reform: a proposal"),
        ("Re: ", ""),
        ("", ""),
        ("Re: " * 30 + "x", "re: " * 10 + "x"),
    ],
)
def test_what_a_subject_is_about(subject: str, words: str) -> None:
    """Marks are taken off, words that begin like one are not."""
    assert topic(subject) == words


@pytest.mark.parametrize(
    ("subject", "forward"),
    [("Fwd: x", True), ("Re: WG: x", True), ("Re: x", False), ("Forward march", False)],
)
def test_a_forward_is_known_by_its_mark(subject: str, forward: bool) -> None:
    """In any place before the subject."""
    assert is_forward(subject) is forward
