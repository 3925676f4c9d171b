"""Header fields: what is written is what every reader gets back, and nothing can add a field."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import Header, decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mail import headers
from pipeline.mail.headers import HeaderFault, date, header, mailbox, unstructured
from pipeline.mail.identity import letter_token, message_id, read_token

SCRIPTS = (
    "abcXYZ 0123 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    "абвгдЁжЪ αβγδΏς ñçßüéÅ אבגד ابتث हिन्दी 漢字かな 한국어 ไทย ქართული Ելք 🌹✊🏽👩\u200d🚒 №«»—…"
)
texts = st.text(
    st.sampled_from(SCRIPTS) | st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=300
)
names = texts.map(lambda text: " ".join(text.split()))
KEY = b"k" * 32


def unfolded(value: bytes) -> str:
    """Return a field's value without its folds (RFC 5322 2.2.3)."""
    return value.decode("ascii").replace("\r\n", "")


def read(value: bytes) -> str:
    """Return what a reader independent of our writer makes of a value."""
    return str(make_header(decode_header(unfolded(value))))


def readable_name(value: bytes) -> tuple[str, str]:
    """Return name and address as a reader gets them."""
    name, address = parseaddr(unfolded(value))
    return str(make_header(decode_header(name))), address


def assert_well_folded(value: bytes, name: str) -> None:
    """Assert the lines of a field: at most 78 octets, none empty, encoded-words of at most 75."""
    lines = (name.encode() + b": " + value).split(b"\r\n")
    assert all(len(line) <= 78 for line in lines), lines
    assert all(line.strip() for line in lines), lines
    assert all(line.startswith(b" ") for line in lines[1:])
    assert all(len(word) <= 75 for word in re.findall(rb"=\?[^ ]*\?=", value))


@given(texts.filter(lambda text: text.strip() != ""))
def test_a_subject_is_read_back_as_it_was_written(text: str) -> None:
    """Any script, any punctuation, any length: the independent decoder returns the very text."""
    value = unstructured(text)
    assert read(value) == text
    assert_well_folded(value, "Subject")


@given(names, st.sampled_from(["a@b.example", "press.office@" + "very-long-label." * 9 + "example"]))
def test_a_mailbox_is_read_back_as_it_was_written(name: str, address: str) -> None:
    """Commas, quotes, parentheses, @ and emoji in a display name survive; the address is untouched."""
    value = mailbox(name, address, field="To")
    assert readable_name(value) == (name, address)
    assert header("To", value).count(b"\r\n") == value.count(b"\r\n") + 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", b"a@b.example"),
        ("Ann Example", b"Ann Example <a@b.example>"),
        ("Example, Ann", b'"Example, Ann" <a@b.example>'),
        ('Ann "Bee" (press)', b'"Ann \\"Bee\\" (press)" <a@b.example>'),
        ("a@c.example", b'"a@c.example" <a@b.example>'),
        ("Ольга", b"=?utf-8?b?0J7Qu9GM0LPQsA==?= <a@b.example>"),
    ],
)
def test_names_are_bare_quoted_or_encoded(name: str, expected: bytes) -> None:
    """The simplest form that is right is used."""
    assert mailbox(name, "a@b.example") == expected


@pytest.mark.parametrize(
    "bad", ["\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "a\x85b", "a\u2028b", "a\u202eb", "\ud800"]
)
def test_control_characters_are_refused(bad: str) -> None:
    """Nothing that ends a line, hides or turns text round gets into a field."""
    with pytest.raises(HeaderFault):
        unstructured("Hello " + bad)
    with pytest.raises(HeaderFault):
        mailbox("Hello " + bad, "a@b.example")
    with pytest.raises(HeaderFault):
        mailbox("Hello", "a" + bad + "@b.example")


def test_an_encoded_word_in_a_name_stays_the_text_it_is() -> None:
    """A name that looks like an encoded-word is encoded once more: a reader shows it, undecoded."""
    trick = "=?utf-8?q?x=0d=0aBcc:victim=40b.example?="
    assert readable_name(mailbox(trick, "a@b.example")) == (trick, "a@b.example")
    assert read(unstructured(trick)) == trick


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b.example",
        "a b@c.example",
        "a@b.example, c@d.example",
        "<a@b.example>",
        "a@b.example>",
        "ä@b.example",
        "a@ä.example",
    ],
)
def test_only_one_ascii_address_is_written(address: str) -> None:
    """Two addresses, brackets and raw UTF-8 are refused (RFC 6532: only with SMTPUTF8)."""
    with pytest.raises(HeaderFault):
        mailbox("", address)


def test_raw_utf8_addresses_are_written_when_asked_for() -> None:
    """With SMTPUTF8 the address stands as it is, the name is encoded all the same."""
    assert mailbox("", "ольга@пример.example", utf8=True) == "ольга@пример.example".encode()


def test_a_long_ascii_subject_is_folded_at_spaces_and_not_encoded() -> None:
    """Plain words stay plain for people and for tools."""
    value = unstructured("word " * 40 + "end")
    assert b"=?" not in value
    assert unfolded(value) == "word " * 40 + "end"
    assert_well_folded(value, "Subject")


def test_a_date_has_english_names_and_its_own_offset() -> None:
    """RFC 5322 3.3, in the offset given."""
    moment = datetime(2027, 5, 1, 9, 5, 7, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert date(moment) == b"Sat, 01 May 2027 09:05:07 +0530"


def test_an_odd_offset_is_written_in_utc() -> None:
    """Local mean times had seconds; a date field has none."""
    moment = datetime(1900, 1, 1, 0, 0, 30, tzinfo=timezone(timedelta(seconds=30)))
    assert date(moment) == b"Mon, 01 Jan 1900 00:00:00 +0000"


def test_a_naive_date_is_refused() -> None:
    """Nobody can say which moment it is."""
    with pytest.raises(HeaderFault):
        date(datetime(2027, 5, 1, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    "value", [b"a\r\nBcc: x@y.example", b"a\nb", b"a\rb", b"a\0", b"", b"a\r\n \r\n b", b"x" * 999]
)
def test_a_value_that_is_more_than_one_field_is_refused(value: bytes) -> None:
    """The last gate before the bytes: folds must be folds."""
    with pytest.raises(HeaderFault):
        header("X-Test", value)


@pytest.mark.parametrize("name", ["", "A B", "A:", "Ä", "A\r\n"])
def test_a_field_name_is_checked(name: str) -> None:
    """RFC 5322 2.2: printable ASCII without a colon; ours are letters, digits and hyphens."""
    with pytest.raises(HeaderFault):
        header(name, b"x")


def test_a_message_id_has_both_sides() -> None:
    """RFC 5322 3.6.4."""
    assert message_id("abc.1", "example.org") == "<abc.1@example.org>"


@pytest.mark.parametrize(
    ("local", "domain"),
    [
        ("", "a.example"),
        ("a b", "a.example"),
        ("a", ""),
        ("a", "a..b"),
        ("a>", "b"),
        ("ä", "b"),
        ("a\n", "b"),
    ],
)
def test_a_message_id_of_other_syntax_is_refused(local: str, domain: str) -> None:
    """No brackets, spaces, line ends or other scripts."""
    with pytest.raises(ValueError):
        message_id(local, domain)


@given(st.integers(1, 2**63 - 1), st.booleans())
def test_a_token_gives_its_number_back_in_any_case(number: int, upper: bool) -> None:
    """Receivers fold the case of a local part."""
    token = letter_token(number, KEY)
    assert token == token.lower()
    assert len(token) <= 29
    assert read_token(token.upper() if upper else token, KEY) == number


@given(st.integers(1, 10**9), st.integers(0, 28), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_token_is_nobodys(number: int, place: int, letter: str) -> None:
    """One other character anywhere, and the HMAC does not fit."""
    token = letter_token(number, KEY)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    assert read_token(changed, KEY) == (number if changed == token else None)


@pytest.mark.parametrize(
    "token", ["", "a", "b" * 15, "b" * 40, "ы" * 20, "a" + letter_token(5, KEY), letter_token(5, b"o" * 32)]
)
def test_what_is_no_token_of_ours_is_none(token: str) -> None:
    """Too short, too long, other scripts, a leading zero, another key."""
    assert read_token(token, KEY) is None


@pytest.mark.parametrize(("number", "key"), [(0, KEY), (-1, KEY), (2**63, KEY), (1, b"short")])
def test_a_token_needs_a_number_and_a_key(number: int, key: bytes) -> None:
    """Nothing is signed with a key that can be guessed."""
    with pytest.raises(ValueError):
        letter_token(number, key)


def old_encoded(text: str, name: str) -> bytes:
    """Return what the library makes of it."""
    return Header(text, "utf-8", maxlinelen=76, header_name=name).encode(linesep="\r\n").encode("ascii")


@given(
    st.text("aé ", min_size=1, max_size=200)
    | st.text('abc xyz_.,?="é漢🌹ж', min_size=1, max_size=200)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=200),
    st.sampled_from(["Subject", "From", "To", "Reply-To"]),
)
def test_encoded_words_are_those_of_the_library(text: str, name: str) -> None:
    """`email.header.Header` is the reference, for every cut and for the choice between B and Q."""
    assert headers._encoded(text, name) == old_encoded(text, name)
