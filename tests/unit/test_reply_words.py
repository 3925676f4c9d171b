"""What is new in a reply: a folder of replies, each with its words beside it.

`tests/words/replies/NAME.eml` is a mail as a program wrote it, `NAME.new` what its writer wrote. A new case
is two files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.mail.mime import read_mail
from pipeline.replies.text import Attachment, PassageKind, ReplyText, new_text, reply_in

REPLIES = Path(__file__).parent.parent / "words" / "replies"
CASES = sorted(REPLIES.glob("*.eml"))


def words_of(name: str) -> ReplyText:
    """Return the words of one of the replies."""
    return new_text(read_mail((REPLIES / f"{name}.eml").read_bytes()))


def test_the_folder_holds_what_it_promises() -> None:
    """Replies in twenty languages and more, each with its words."""
    assert len(CASES) >= 120
    assert len({case.stem.partition("-")[0] for case in CASES}) >= 20
    assert {case.with_suffix(".new") for case in CASES} == set(REPLIES.glob("*.new"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_new_words_of_a_reply(case: Path) -> None:
    """Neither the quotation nor the signature, and every word of the writer."""
    assert words_of(case.stem).new == case.with_suffix(".new").read_text("utf-8").rstrip("\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_new_words_are_new_when_read_again(case: Path) -> None:
    """What was cut off leaves nothing behind that looks like a quotation."""
    new = words_of(case.stem).new
    assert reply_in(new).new == new


def test_what_is_quoted_is_kept_without_one_level_of_marks() -> None:
    """It is compared with our letters."""
    assert words_of("en-gmail").quoted == (
        "On Sun, May 3, 2026 at 8:04 PM Solidarity Committee <letters@example.org>\nwrote:\n"
        "\nDear Consul,\nwe ask you to release the four detained teachers."
    )


def test_a_signature_is_kept_apart() -> None:
    """It may hold the way to reach somebody."""
    assert words_of("en-signature-delimiter").signature == "--\nAnn Example\nConsul\nTel. +1 555 0100"


def test_answers_between_quotations_keep_their_order() -> None:
    """The passages tell what each answers."""
    found = words_of("ru-inline")
    assert found.interleaved
    assert [(str(passage.kind), passage.text) for passage in found.passages] == [
        ("quoted", "03.05.2026 20:04, Комитет пишет:\nПросим сообщить о состоянии здоровья."),
        ("new", "Состояние удовлетворительное."),
        ("quoted", "Просим освободить."),
        ("new", "Решает суд."),
    ]


def test_an_answer_above_the_quotation_is_not_interleaved() -> None:
    """It can be read alone."""
    assert not words_of("en-gmail").interleaved


def test_attachments_are_listed_with_name_type_and_size() -> None:
    """They are kept apart from the words; a text that is an attachment is not read."""
    assert words_of("en-attachments").attachments == (
        Attachment("decision.pdf", "application/pdf", 9),
        Attachment("notes.txt", "text/plain", 9),
    )


def test_a_picture_within_the_text_is_listed_as_inline() -> None:
    """Apple's program puts it between two texts, which are both read."""
    assert words_of("en-apple-two-texts").attachments == (
        Attachment("seal.png", "image/png", 8, inline=True),
    )


def test_the_signature_of_a_signed_mail_is_an_attachment() -> None:
    """RFC 1847: the first part is the mail."""
    assert [one.name for one in words_of("en-signed").attachments] == ["smime.p7s"]


@pytest.mark.parametrize(
    ("name", "source"), [("en-gmail", "plain"), ("en-gmail-html", "html"), ("ru-outlook-web-html", "html")]
)
def test_the_source_of_the_words_is_told(name: str, source: str) -> None:
    """So that a strange rendering can be looked up."""
    assert words_of(name).source == source


def test_html_is_read_where_only_it_shows_the_quotation() -> None:
    """Some programs mark nothing in their plain text."""
    assert words_of("de-html-knows-the-quotation").source == "html"


def test_a_mail_without_text_has_no_words() -> None:
    """And no fault."""
    assert new_text(read_mail(b"")) == ReplyText("")
    assert new_text(read_mail(b"Content-Type: image/png\n\nx")).new == ""


def test_a_mail_that_cannot_be_read_has_no_words() -> None:
    """Its header alone was read."""
    raw = b"From: a@example.org\n" + b"X: y\n" * 3_000 + b"\nwords"
    assert read_mail(raw).unreadable
    assert new_text(read_mail(raw)).new == ""


def test_a_text_beyond_the_limit_is_cut_and_that_is_told() -> None:
    """Half a million characters are more than any answer has."""
    found = reply_in("word " * 200_000)
    assert found.cut
    assert len(found.new) < 500_001


def test_a_text_within_the_limit_is_not_cut() -> None:
    """The mark is not set for nothing."""
    assert not words_of("en-gmail").cut


def test_texts_beyond_the_twentieth_are_attachments() -> None:
    """A bomb of parts is not joined into one text."""
    parts = "".join(f"--x\nContent-Type: text/plain\n\npart {number}\n" for number in range(30))
    found = new_text(read_mail(f"Content-Type: multipart/mixed; boundary=x\n\n{parts}--x--\n".encode()))
    assert "part 19" in found.new
    assert "part 20" not in found.new
    assert len(found.attachments) == 10


def test_an_attached_message_is_listed_by_its_subject() -> None:
    """It is unwrapped elsewhere."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n\nSee there.\n"
        b"--x\nContent-Type: message/rfc822\n\nSubject: Decision\nFrom: a@example.org\n\ninner\n--x--\n"
    )
    found = new_text(read_mail(raw))
    assert found.new == "See there."
    assert [(one.name, one.type) for one in found.attachments] == [("Decision", "message/rfc822")]


def test_the_passages_hold_every_line_in_order() -> None:
    """New, quoted and signature are put together from them."""
    found = words_of("de-inline")
    for kind, text in (
        (PassageKind.NEW, found.new),
        (PassageKind.QUOTED, found.quoted),
        (PassageKind.SIGNATURE, found.signature),
    ):
        assert "\n\n".join(one.text for one in found.passages if one.kind is kind) == text
