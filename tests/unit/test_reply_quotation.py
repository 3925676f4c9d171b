"""Quotations and signatures in plain text: the doubtful cases, and that no word is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.replies.layout import Line, flowed_lines, plain_lines, shown
from pipeline.replies.signature import without_signature
from pipeline.replies.text import reply_in

WORDS = st.text("abcdefgh ЖЩяльне أبجد 中文字 ,;!?'", min_size=1, max_size=60).filter(str.strip)
PROSE = st.lists(st.one_of(WORDS, st.just("")), min_size=1, max_size=12)
ANYTHING = st.text(st.sampled_from("abАя中א \n\n\t>:-_*<@.,|\u200f\u202a0129/"), max_size=400)


def letters(text: str) -> str:
    """Return a text without what may change: spaces, line ends, quotation marks."""
    return "".join(text.replace(">", "").split())


# -- no word is lost


@given(PROSE)
def test_a_reply_without_a_quotation_keeps_every_character(lines: list[str]) -> None:
    """In its order; only empty lines at the ends may go."""
    text = "\n".join(lines)
    assert letters(reply_in(text).new) == letters(text)


@given(ANYTHING)
@example("On 3 May 2026 at 10:15 a <b@example.org> wrote:\n> x\ny\n-- \nz")
@example("From: a\nTo: b\nSubject: c\n\nd")
@example("<a@b\n>:\n>x")
def test_every_character_comes_out_in_exactly_one_passage(text: str) -> None:
    """Whatever the text; quotation marks and rules apart."""
    found = reply_in(text)
    assert letters("".join(passage.text for passage in found.passages)) == letters(text)


@given(PROSE, PROSE, PROSE)
def test_words_round_a_quotation_are_kept(above: list[str], quoted: list[str], below: list[str]) -> None:
    """Above it, and below it."""
    text = "\n".join([*above, "", *(f"> {line}" for line in quoted), "", *below])
    found = reply_in(text)
    assert letters(found.new) == letters("".join(above + below))


@given(PROSE, PROSE)
def test_reading_new_words_again_changes_nothing(above: list[str], quoted: list[str]) -> None:
    """Nothing is eaten bit by bit."""
    text = "\n".join([*above, "", "On 3 May 2026 at 10:15, Ann wrote:", *(f"> {line}" for line in quoted)])
    new = reply_in(text).new
    assert reply_in(new).new == new


@given(ANYTHING)
@settings(max_examples=300)
def test_nothing_raises(text: str) -> None:
    """The text is a stranger's."""
    reply_in(text)
    reply_in(text, forward=True)


# -- doubtful cases: words are kept


@pytest.mark.parametrize(
    "text",
    [
        "You asked:\n\nwhen?\n\nSoon.",
        "The minister wrote:\n\nwe are sorry.",
        "From: Monday\nTo: Friday\n\nthe office is open.",
        "Time: 10:15\nPlace: office\nSubject: visit",
        "Call us:\n+1 555 0100",
        "Reach us at info@consulate.example:\nwe answer within a week.",
        "--\nThis line is a thought, and not a signature at all, for it goes on and on and it ends here.",
        "Best regards to all four of them.",
        "Sent from my office to the ministry on Monday, your letter is being read by three people there now.",
        "Our rule\n----------\nNo visits.",
        "a > b\n  >c is how it is written",
        "Kind regards,",
    ],
)
def test_words_that_only_look_like_it_are_kept(text: str) -> None:
    """When unsure, keep them."""
    assert reply_in(text).new == text


def test_a_block_of_fields_with_an_address_at_the_top_is_a_mail() -> None:
    """A ministry's letterhead has none (see en-letterhead)."""
    assert reply_in("From: Ann <ann@example.org>\nTo: b\nSubject: c\n\nd").new == ""


def test_a_forwarded_block_without_addresses_is_believed_under_a_forwards_subject() -> None:
    """Outlook shows names alone for people of the same house."""
    text = "From: Ann Example\nSent: Monday\nTo: Office\nSubject: c\n\nd"
    assert reply_in(text).new == text
    assert reply_in(text, forward=True).new == ""


def test_words_below_a_marked_quotation_under_a_block_are_new() -> None:
    """The marks say where it ends."""
    text = "From: Ann <a@example.org>\nSent: 3 May\nSubject: c\n\n> old\n\nnew words"
    assert reply_in(text).new == "new words"


@pytest.mark.parametrize("mark", ["> ", ">", ">> ", "> > ", " > ", "  >  "])
def test_marks_of_many_programs(mark: str) -> None:
    """With and without spaces, and deep."""
    assert reply_in(f"Yes.\n{mark}old\n{mark}older").new == "Yes."


def test_initials_mark_a_quotation_where_two_lines_have_them() -> None:
    """The Bat! writes them; one such line may be anything."""
    assert reply_in("Yes.\nAB> old\nAB>> older").new == "Yes."
    assert reply_in("ok> old").new == "ok> old"


def test_a_level_of_marks_is_taken_off_what_is_quoted() -> None:
    """Deeper ones stay to be seen."""
    assert reply_in("> one\n>> two\n>>> three").quoted == "one\n> two\n> > three"


# -- signatures


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Yes.\n-- \nAnn", "Yes."),
        ("Yes.\n--\nAnn\nConsul", "Yes."),
        ("Yes.\n-- \n" + "line\n" * 16, "Yes.\n-- \n" + "line\n" * 16),
        ("Yes.\n\nKind regards,\nAnn", "Yes."),
        ("Yes.\n\nKind regards,\nAnn\n\n-- \nConsulate\nTel. 1", "Yes."),
        ("Yes.\n\nKind regards,\nAnn\n\nSent from my iPhone", "Yes."),
        ("Yes.\n\nKind regards,\nAnn\n\nP.S. No.", "Yes.\n\nKind regards,\nAnn\n\nP.S. No."),
        ("Yes.\n\nKind regards,\nAnn\n\nIs that right?", "Yes.\n\nKind regards,\nAnn\n\nIs that right?"),
        ("Yes.\n\nKind regards,\nAnn\n\n1 Street\n\nTel. 1", "Yes."),
        ("-- \nAnn", "-- \nAnn"),
        ("Sent from my iPhone", ""),
    ],
)
def test_a_signature_at_the_end(text: str, words: str) -> None:
    """Cut off where it is certain."""
    kept, cut = without_signature([Line(line) for line in text.split("\n")])
    assert shown(kept) == shown([Line(line) for line in words.split("\n")])
    assert len(kept) + len(cut) == text.count("\n") + 1


# -- format=flowed (RFC 3676)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one \ntwo\nthree", [Line("one two"), Line("three")]),
        ("one \n> two \n> three", [Line("one "), Line("two three", 1)]),
        (" >no mark\n From here", [Line(">no mark"), Line("From here")]),
        ("words \n-- \nAnn", [Line("words "), Line("-- "), Line("Ann")]),
        (">> deep \n>>er", [Line("deep er", 2)]),
        ("", [Line("")]),
    ],
)
def test_flowed_text(text: str, lines: list[Line]) -> None:
    """4.2 soft line ends, 4.3 the signature, 4.4 stuffing, 4.5 quoting."""
    assert flowed_lines(text) == lines


def test_delsp_takes_the_space_away() -> None:
    """4.1: for scripts without spaces."""
    assert flowed_lines("中 \n文", delete_space=True) == [Line("中文")]


@given(ANYTHING)
def test_flowed_text_loses_nothing(text: str) -> None:
    """Whatever it is."""
    assert letters("".join(line.text for line in flowed_lines(text))) == letters(text)


@given(ANYTHING)
def test_plain_text_loses_nothing(text: str) -> None:
    """Whatever it is."""
    assert letters("".join(line.text for line in plain_lines(text))) == letters(text)


# -- hostile text

HOSTILE = {
    "marks": ">" * 1_000_000,
    "marked lines": "> \n" * 300_000,
    "verbs": "wrote 1:\n" * 100_000,
    "fields": "To: x\n" * 100_000,
    "blocks": "From: a\nTo: b\nx\n\n" * 30_000,
    "attributions": "On 3 May 2026 at 10:15 x wrote\n" * 50_000,
    "wrapped": ("a b c 2026 10:15 " * 20 + ":\n") * 3_000,
    "inline": "Ann wrote 1:\n> q\n" * 40_000,
    "spaces": " " * 1_000_000,
    "dashes": ("-" * 100 + "\n") * 10_000,
    "dashed words": ("-" * 40 + " " * 10 + "x" * 100 + "\n") * 6_000,
    "rules": ("_" * 30 + "\n") * 33_000,
    "closings": "Best regards\n" * 80_000,
    "addresses": ("x" * 64 + "@" + "y" * 300 + ":\n") * 2_700,
    "stars": ("*" * 8 + "x" * 40 + "\n") * 20_000,
    "open addresses": "<a@b\n>:\n" * 60_000,
    "one line": "a" * 1_000_000 + ":",
    "lines": "\n" * 1_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_no_more_time_than_it_has_characters(text: str) -> None:
    """A megabyte within seconds of the processor, wherever; a quadratic reader would take hours."""
    start = time.process_time()
    reply_in(text)
    assert time.process_time() - start < 5
