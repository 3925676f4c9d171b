"""The bytes of a letter: what is written is what a reader gets, and nothing else."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letters.message import Attachment, Head, MessageFault, build_message, dot_stuff, safe_name

GOLDEN = Path(__file__).parent.parent / "golden"
MOMENT = datetime(2027, 5, 1, 9, 5, 7, tzinfo=timezone(timedelta(hours=2)))
HEAD = Head(
    author_name="Solidarity Committee",
    author="letters@example.org",
    to_name="The Ambassador, Embassy of Verania",
    to="envoy@embassy.example",
    subject="Release the marchers",
    message_id="<k7.abcdefgh@example.org>",
    date=MOMENT,
    language="en",
)
REPORT = Attachment("report on the march.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 2, "application/pdf")
BODIES = {
    "en": "Dear Ambassador,\n\nwe write about those held since 1 May.\n\n1. Release them.\n",
    "ru": "Уважаемый господин посол!\n\nМы пишем о задержанных 1 мая.\n\n1. Освободите их.\n",
    "el": "Αξιότιμε κύριε Πρέσβη,\n\nσας γράφουμε για τους κρατούμενους.\n\n1. Αφήστε τους ελεύθερους.\n",
}
HEADS = {
    "en": HEAD,
    "ru": replace(
        HEAD,
        author_name="Комитет солидарности",
        to_name="Посол, посольство Верании",
        subject="Первомайское шествие в Вельморе: освободить заключённых, расследовать насилие полиции",
        language="ru",
        reply_to=("Комитет солидарности (ответы)", "replies@example.org"),
    ),
    "el": replace(
        HEAD,
        author_name="Επιτροπή Αλληλεγγύης",
        to_name="Πρέσβης, Πρεσβεία της Βερανίας",
        subject="Πορεία της Πρωτομαγιάς στη Βελμόρα: ελευθερώστε τους κρατούμενους",
        language="el",
        extra=(("X-Campaign", b"may-day"),),
    ),
}
FILES = {
    "en": REPORT,
    "ru": replace(REPORT, name="доклад о шествии.pdf"),
    "el": replace(REPORT, name="αναφορά.pdf"),
}


def page(text: str, language: str) -> str:
    """Return a small HTML page that holds the same words."""
    rows = "".join(f"<p>{line}</p>\n" for line in text.splitlines() if line)
    return f'<!doctype html>\n<html lang="{language}" dir="ltr">\n<body>\n{rows}</body>\n</html>\n'


def leaves(message: bytes) -> list[Message]:
    """Return the parts that are not containers."""
    parsed = message_from_bytes(message, policy=compat32)
    assert not parsed.defects
    return [part for part in parsed.walk() if not part.is_multipart()]


def decoded(part: Message) -> bytes:
    """Return a part's content with LF line ends."""
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.replace(b"\r\n", b"\n")


@pytest.fixture(params=["en", "ru", "el"])
def language(request: pytest.FixtureRequest) -> str:
    """Each language in turn."""
    return str(request.param)


@pytest.mark.parametrize("files", [False, True], ids=["alone", "with-attachment"])
def test_the_bytes_are_those_of_the_golden_letter(language: str, files: bool) -> None:
    """`UPDATE_GOLDEN=1 pytest tests/unit/test_letters_message.py` writes them anew, to be read in the
    diff."""
    text = BODIES[language]
    attachments = [FILES[language]] if files else []
    message = build_message(HEADS[language], text=text, html=page(text, language), attachments=attachments)
    path = GOLDEN / f"letter.{language}{'.attachment' if files else ''}.eml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(message)
    assert message == path.read_bytes()


def test_the_same_arguments_give_the_same_bytes() -> None:
    """A letter that is tried again is the same letter."""
    first, second = (
        build_message(HEAD, text="a\n", html="<p>a</p>\n", attachments=[REPORT]) for _ in range(2)
    )
    assert first == second


def test_the_fields_stand_in_order_and_once() -> None:
    """RFC 5322 3.6: exactly one of each."""
    head = replace(HEAD, reply_to=("", "replies@example.org"), extra=(("List-Id", b"<may-day.example.org>"),))
    message = message_from_bytes(build_message(head, text="a", html="b"), policy=compat32)
    assert message.keys() == [
        *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Language"),
        *("List-Id", "Content-Type"),
    ]


def test_text_comes_first_and_html_last() -> None:
    """RFC 2046 5.1.4: the best form last."""
    parts = leaves(build_message(HEAD, text="a", html="b"))
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]


def test_attachments_stand_outside_the_alternatives() -> None:
    """RFC 2046 5.1.3: mixed(alternative(plain, html), attachment)."""
    message = message_from_bytes(
        build_message(HEAD, text="a", html="b", attachments=[REPORT]), policy=compat32
    )
    assert [part.get_content_type() for part in message.walk()] == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf")
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("доклад о шествии.pdf", "доклад о шествии.pdf"),
        ('a"; b=c.pdf', 'a"; b=c.pdf'),
        ("../../etc/pass\u202ewd\r\nBcc: x", "passwdBcc: x"),
        ("C:\\Temp\\x.pdf", "x.pdf"),
        ("...", "attachment"),
        ("я" * 200 + ".pdf", "я" * 96 + ".pdf"),
    ],
)
def test_an_attachment_arrives_with_its_content_and_a_clean_name(name: str, expected: str) -> None:
    """RFC 2231: any script; no path, no control or bidi character."""
    message = build_message(HEAD, text="a", html="b", attachments=[replace(REPORT, name=name)])
    part = leaves(message)[-1]
    assert part.get_filename() == expected == safe_name(name)
    assert part.get_payload(decode=True) == REPORT.content
    assert part.get_content_disposition() == "attachment"


letters = st.text(
    st.sampled_from("abc .=\t\nжβ漢🌹") | st.characters(codec="utf-8", exclude_categories=["C"]), max_size=400
)
pieces = st.lists(
    letters | st.sampled_from([".", "\n.", "From ", "\nFrom me\n", "x" * 80, " \n", "=\n", "..a" * 40])
)


@given(pieces.map("".join), st.sampled_from(["qp", "8bit"]))
def test_text_is_read_back_as_it_was_rendered(text: str, encoding: str) -> None:
    """Every line, its trailing spaces, dots and any script; in both encodings."""
    message = build_message(HEAD, text=text, html=text, encoding="qp" if encoding == "qp" else "8bit")
    wanted = text if text.endswith("\n") else text + "\n"
    assert [decoded(part).decode() for part in leaves(message)] == [wanted, wanted]
    assert max(map(len, message.split(b"\r\n"))) <= 998


@given(pieces.map("".join))
def test_quoted_printable_needs_no_stuffing(text: str) -> None:
    """RFC 2045 6.7, RFC 2049 3: lines of at most 76; none begins with a dot or "From "; ASCII only."""
    message = build_message(HEAD, text=text, html=text)
    body = message.partition(b"\r\n\r\n")[2]
    lines = body.split(b"\r\n")
    assert message.isascii()
    assert all(len(line) <= 76 for line in lines)
    assert not any(line.startswith((b".", b"From ")) for line in lines)
    assert dot_stuff(message) == message


def test_8bit_text_stays_readable_in_the_bytes() -> None:
    """With 8BITMIME nothing need be encoded; a part of ASCII only says so."""
    message = build_message(HEAD, text="Привет\n", html="<p>Hello</p>\n", encoding="8bit")
    assert "Привет".encode() in message
    assert [part["Content-Transfer-Encoding"] for part in leaves(message)] == ["8bit", "7bit"]


def test_a_line_too_long_for_8bit_is_encoded() -> None:
    """RFC 5321 4.5.3.1.6: 998 octets and not one more."""
    message = build_message(HEAD, text="ы" * 499 + "\n", html="ы" * 500 + "\n", encoding="8bit")
    assert [part["Content-Transfer-Encoding"] for part in leaves(message)] == ["8bit", "quoted-printable"]


def test_a_boundary_that_stands_in_the_text_is_not_used() -> None:
    """RFC 2046 5.1.1: even when somebody foresees it."""
    first = build_message(HEAD, text="a", html="b", encoding="8bit")
    found = re.search(rb'boundary="([^"]+)"', first)
    assert found
    text = "--" + found[1].decode() + "\n"
    message = build_message(HEAD, text=text, html="b", encoding="8bit")
    assert [decoded(part).decode() for part in leaves(message)] == [text, "b\n"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Hello\r\nBcc: victim@example.org"},
        {"subject": ""},
        {"to_name": "Ann\nBcc: victim@example.org"},
        {"to": "a@b.example, c@d.example"},
        {"author": "letters@example.org\r\nX: y"},
        {"message_id": "<a@b>\r\nBcc: victim@example.org"},
        {"language": "en\r\nBcc: victim@example.org"},
        {"extra": (("Bcc", b"victim@example.org"),)},
        {"extra": (("subject", b"another"),)},
        {"extra": (("X-A", b"1"), ("x-a", b"2"))},
        {"extra": (("X-A", b"1\r\nBcc: victim@example.org"),)},
        {"extra": (("X-A\r\nBcc", b"victim@example.org"),)},
        {"date": MOMENT.replace(tzinfo=None)},
    ],
)
def test_no_value_adds_or_repeats_a_field(change: dict[str, object]) -> None:
    """Whatever a value holds, a message that says more than intended is not built."""
    with pytest.raises(ValueError):
        build_message(replace(HEAD, **change), text="a", html="b")  # type: ignore[arg-type]


def test_the_bytes_are_proved_after_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a gate before it failed, the message would still not be handed out."""
    monkeypatch.setattr(
        "pipeline.letters.message.headers.unstructured", lambda _: b"x\r\nBcc: victim@example.org"
    )
    monkeypatch.setattr(
        "pipeline.letters.message.headers.header", lambda n, v: n.encode() + b": " + v + b"\r\n"
    )
    with pytest.raises(MessageFault, match="header fields"):
        build_message(HEAD, text="a", html="b")


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[31mb", "a\x85b", "a\x7f"])
def test_control_characters_in_the_text_are_refused(text: str) -> None:
    """Neither terminals nor mail readers are to be steered."""
    with pytest.raises(MessageFault):
        build_message(HEAD, text=text, html="b")


def test_names_and_subject_are_read_back(language: str) -> None:
    """By a decoder independent of the writer."""
    head = HEADS[language]
    message = message_from_bytes(build_message(head, text="a", html="b"), policy=compat32)
    assert str(make_header(decode_header(message["Subject"].replace("\r\n", "")))) == head.subject
    assert message["Content-Language"] == language
    assert message["Date"] == "Sat, 01 May 2027 09:05:07 +0200"
    assert message["Message-ID"] == head.message_id


@pytest.mark.parametrize(
    ("message", "stuffed"),
    [
        (b"a\r\n", b"a\r\n"),
        (b"a", b"a\r\n"),
        (b".a\r\n.\r\n..b\r\nc.\r\n", b"..a\r\n..\r\n...b\r\nc.\r\n"),
        (b".\r\n", b"..\r\n"),
    ],
)
def test_leading_dots_are_doubled(message: bytes, stuffed: bytes) -> None:
    """RFC 5321 4.5.2; the final dot is the session's."""
    assert dot_stuff(message) == stuffed
