"""Bytes to text: strictly, and with one helpful problem otherwise."""

from __future__ import annotations

import io

import pytest

from pipeline.problem import Problem
from pipeline.recipients.decoding import ENCODINGS, ListText, Undecodable

RUSSIAN = (
    "email;salutation\nposol@example.org;Уважаемый господин посол\npress@example.org;Уважаемые господа\n"
)
SPANISH = (
    "email;salutation\nembajada@example.org;Señor embajador García\nfiscal@example.org;Señora fiscal Muñoz\n"
)
GREEK = "email;salutation\npresvis@example.org;Αξιότιμε κύριε πρέσβη\nfylaki@example.org;Αξιότιμοι κύριοι\n"


def decode_list(data: bytes, *, file: str, encoding: str) -> str:
    """Return the text of a list."""
    return "".join(ListText(lambda: io.BytesIO(data), file=file, encoding=encoding).lines())


def problem_of(data: bytes, encoding: str = "utf-8") -> Problem:
    """Return the problem of bytes that cannot be decoded."""
    with pytest.raises(Undecodable) as caught:
        decode_list(data, file="recipients.csv", encoding=encoding)
    return caught.value.problem


@pytest.mark.parametrize("text", [RUSSIAN, SPANISH, GREEK])
@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_utf_8_needs_no_word(text: str, encoding: str) -> None:
    """With or without a mark, under all its names."""
    for mark in ("", "\ufeff"):
        assert decode_list((mark + text).encode(), file="r.csv", encoding=encoding) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (SPANISH, "windows-1252"),
        (GREEK, "iso-8859-7"),
        (RUSSIAN, "utf-16"),
        (RUSSIAN, "utf-16-le"),
        (SPANISH, "utf-16-be"),
    ],
)
def test_fault_1_the_likely_way_is_shown_and_works_when_written_down(text: str, encoding: str) -> None:
    """Three rows read right in the hint, and the line it gives decodes the file."""
    data = text.encode(encoding)
    problem = problem_of(data)
    assert problem.hint.endswith(f'[recipients]\nencoding = "{encoding}"')
    assert text.splitlines()[1] in problem.hint
    assert decode_list(data, file="recipients.csv", encoding=encoding) == text


def test_the_place_of_the_first_wrong_byte_is_told() -> None:
    """Line and column as an editor counts them."""
    problem = problem_of("email,name\na@example.org,é".encode() + b"\xff\n")
    assert (problem.line, problem.column) == (2, 16)


def test_one_wrong_byte_in_utf_8_is_a_problem() -> None:
    """Nothing is replaced silently."""
    assert problem_of(RUSSIAN.encode()[:-3] + b"\xd0\n").code == "encoding"


def test_utf_8_under_another_name_is_refused() -> None:
    """It would decode without complaint, into letters full of wrong characters."""
    assert "is UTF-8, though campaign.toml says" in problem_of(RUSSIAN.encode(), "windows-1251").message


def test_a_said_encoding_is_strict() -> None:
    """0x98 has no meaning in windows-1251."""
    assert problem_of(b"email\n\x98\n", "windows-1251").code == "encoding"


@pytest.mark.parametrize(
    "encoding", ["windows-1215", "rot13", "base64", "unicode_escape", "idna", "", "\x00"]
)
def test_only_encodings_of_text_are_taken(encoding: str) -> None:
    """Python's other codecs are no encodings of a list."""
    assert problem_of(b"email\n", encoding).code == "unknown-encoding"


def test_a_misspelt_encoding_gets_a_hint() -> None:
    """Did you mean."""
    assert 'did you mean "windows-1251"?' in problem_of(b"email\n", "windows1251x").hint


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_that_is_offered_exists(encoding: str) -> None:
    """The names are Python's, and plain text goes through each."""
    assert decode_list("email\n".encode(encoding), file="r.csv", encoding=encoding) == "email\n"


@pytest.mark.parametrize("magic", [b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0rest"])
def test_a_workbook_is_recognised(magic: bytes) -> None:
    """The commonest mistake of all is to give the .xlsx."""
    assert problem_of(magic).code == "not-a-csv"
