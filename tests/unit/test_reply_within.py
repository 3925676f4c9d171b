"""Answers typed between the lines of a quotation without marks."""

from __future__ import annotations

from pipeline.mail.mime import read_mail
from pipeline.replies.text import new_text

LETTER = (
    "Dear Consul,\n\nwe ask you three things.\n\n1. Will you release the four detained teachers of it?\n"
    "2. May their families visit them in the prison?\n3. When will the trial in the capital begin?\n\n"
    "Yours sincerely\nThe committee"
)
HEAD = "Subject: Re: x\nContent-Type: text/plain; charset=utf-8\n\n"
FIELDS = (
    "From: Committee <letters@example.org>\nSent: Sunday, May 3, 2026 8:04 PM\nTo: Consul\nSubject: x\n\n"
)
ANSWERED = (
    f"{HEAD}Please see our answers below.\n\n{FIELDS}"
    "Dear Consul,\n\nwe ask you three things.\n\n1. Will you release the four detained teachers of it?\n"
    "That is for the court to decide.\n2. May their families visit them in the prison?\nYes.\n"
    "3. When will the trial in the capital\nbegin?\nIn autumn.\n\nYours sincerely\nThe committee\n"
)


def words(raw: str, letter: str) -> str:
    """Return the new words of a reply to a letter."""
    return new_text(read_mail(raw.encode()), letter).new


def test_answers_between_the_lines_of_the_letter_are_new() -> None:
    """Long and short ones, in their order."""
    assert words(ANSWERED, LETTER) == (
        "Please see our answers below.\n\nThat is for the court to decide.\n\nYes.\n\nIn autumn."
    )


def test_without_the_letter_they_are_taken_for_quoted() -> None:
    """Nothing tells them apart then."""
    assert words(ANSWERED, "") == "Please see our answers below."


def test_a_quotation_of_another_letter_stays_quoted() -> None:
    """It repeats too little of this one."""
    other = (
        "Dear Minister,\n\nthe choir sang in the town hall.\nThree hundred people came.\nYours sincerely\nAnn"
    )
    assert words(ANSWERED, other) == "Please see our answers below."


def test_a_quotation_that_was_not_touched_stays_quoted() -> None:
    """However it was wrapped."""
    wrapped = LETTER.replace("four detained teachers", "four\ndetained teachers")
    assert words(f"{HEAD}No.\n\n{FIELDS}{wrapped}\n", LETTER) == "No."


def test_older_mails_below_the_letter_stay_quoted() -> None:
    """They are nobody's new words."""
    older = "\nFrom: Ann <a@example.org>\nSent: May 1\nTo: b\nSubject: y\n\nSomething that is older.\n"
    assert words(f"{HEAD}No.\n\n{FIELDS}{LETTER}\n{older}", LETTER) == "No."


def test_a_script_without_spaces() -> None:
    """Compared as it is written."""
    letter = "尊敬的领事先生\n请释放四位教师\n请允许家属探视\n此致敬礼声援委员会"
    answered = letter.replace("四位教师\n", "四位教师\n由法院决定\n")
    assert words(f"{HEAD}见下。\n\n{FIELDS}{answered}\n", letter) == "见下。\n\n由法院决定"
