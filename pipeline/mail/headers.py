"""Header fields as bytes: text in any script, mailboxes, dates.

Every function returns the folded *value* of a field, with CRLF inside the folds and none at the end;
`header` puts the name before it. A value that could end its field early, or that shows one thing and means
another, is refused: control characters, line and paragraph separators, lone surrogates, bidi overrides and
isolates (`HeaderFault`).

Encoded-words are those of the legacy `email.header.Header`, byte for byte (`tests/unit/test_headers.py`), at
a fraction of its cost; the modern `EmailMessage` API corrupts subjects and folds URLs into encoded-words on
the Pythons in use.

RFC 5322 2.1.1 (998 octets), 2.2.3 (folding), 3.2.4 (quoted-string), 3.3 (date), 3.4 (mailbox); RFC 2047 2
and 5 (encoded-words of at most 75 characters, whole characters, never in an addr-spec or a quoted-string);
RFC 6532 3.2 (raw UTF-8 only where the transport carries it).

Limits: no groups, no comments, no domain literals, no quoted local parts; one mailbox to a field.
"""

from __future__ import annotations

import binascii
import email.utils
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

WIDTH = 76
LONGEST_LINE = 998  # octets, without CRLF
LONGEST_TEXT = 4_000  # characters of one value

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ATEXT_UTF8 = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"
_ADDRESS = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@cache  # to compile it takes as long as to load the rest of this
def _address_utf8() -> re.Pattern[str]:
    return re.compile(rf"{_ATEXT_UTF8}(?:\.{_ATEXT_UTF8})*@[A-Za-z0-9\u00a1-\U0010ffff-]+(?:\.[^\s@.<>]+)*")


# RFC 2047 5 (3): what an encoded-word shows of each octet, where it may stand in a phrase, too
_IN_WORD = [f"={octet:02X}" for octet in range(256)]
for _octet in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/":
    _IN_WORD[_octet] = chr(_octet)
_IN_WORD[ord(" ")] = "_"
_CHROME = len("=?utf-8?b??=")


class HeaderFault(ValueError):
    """Something cannot stand in a header field; the message says what, and never shows the value."""


def unstructured(text: str, *, name: str = "Subject") -> bytes:
    """Return the value of an unstructured field, readable exactly as ``text``.

    ``name`` is the field's, for the length of its first line. Plain ASCII stays as it is and is folded at
    spaces; all else, and ASCII that a reader would take for an encoded-word, becomes encoded-words.
    HeaderFault on control characters, an empty text or one of more than 4,000 characters.
    """
    _refuse_unsafe(text)
    if not text.strip():
        raise HeaderFault("the value is empty")
    if text.isascii() and "=?" not in text:
        if len(name) + 2 + len(text) <= WIDTH and text == text.strip():
            return text.encode("ascii")
        if text == " ".join(text.split()) and max(map(len, text.split())) <= WIDTH - 2 - len(name):
            return _fold_words(text, WIDTH - len(name) - 2)
    return _encoded(text, name)


class Phrase(NamedTuple):
    """The name in a mailbox: folded, and how long an address may be to stand on its last line."""

    value: bytes
    room: int


def mailbox(name: str, addr_spec: str, *, field: str = "From", utf8: bool = False) -> bytes:
    """Return `name <addr_spec>` (RFC 5322 3.4), or the bare address where there is no name.

    ``addr_spec`` is written as it is: ASCII, its domain as A-label; raw UTF-8 only with ``utf8`` (RFC 6532,
    needs SMTPUTF8). ``field`` is the field's name, for the length of its first line. HeaderFault on control
    characters and on anything that is not one address.
    """
    written = address(addr_spec, utf8=utf8)
    return beside(phrase(name, field=field), written)


def beside(found: Phrase, written: bytes) -> bytes:
    """Return an address beside a name, folded between them where one line does not hold both."""
    value, room = found
    if not value:
        return written
    return b"%b%b<%b>" % (value, b" " if len(written) <= room else b"\r\n ", written)


def phrase(name: str, *, field: str) -> Phrase:
    """Return a name as it stands before an address; an empty one for no name. Raises HeaderFault."""
    _refuse_unsafe(name)
    name = " ".join(name.split())
    if not name:
        return Phrase(b"", 0)
    room = WIDTH - len(field) - 2
    if name.isascii() and "=?" not in name and len(name) * 2 + 2 <= room:
        value = (name if _ATOMS.fullmatch(name) else _quoted(name)).encode("ascii")
        last = value
    else:
        value = _encoded(name, field)
        last = value.rsplit(b"\r\n", 1)[-1]
        room = room if last is value else WIDTH
    return Phrase(value, room - len(last) - 3)


def address(addr_spec: str, *, utf8: bool) -> bytes:
    """Return one address as it stands in a field; HeaderFault on anything else."""
    if len(addr_spec) <= 320 and _ADDRESS.fullmatch(addr_spec):
        return addr_spec.encode("ascii")
    _refuse_unsafe(addr_spec)
    if not (_address_utf8() if utf8 else _ADDRESS).fullmatch(addr_spec) or len(addr_spec.encode()) > 320:
        raise HeaderFault("not one address")
    return addr_spec.encode("utf-8" if utf8 else "ascii")


def date(moment: datetime) -> bytes:
    """Return an aware datetime as RFC 5322 3.3 writes it, in its own offset; English names whatever the
    locale.

    HeaderFault for a naive datetime. An offset that is not whole minutes is written in UTC.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise HeaderFault("a date without a time zone")
    if offset.total_seconds() % 60:
        moment = moment.astimezone(UTC)
    return email.utils.format_datetime(moment.replace(microsecond=0)).encode("ascii")


def header(name: str, value: bytes) -> bytes:
    """Return `name: value` with its CRLF; HeaderFault where the value is not one field's (RFC 5322 2.2)."""
    if not _NAME.fullmatch(name):
        raise HeaderFault("not the name of a header field")
    for number, line in enumerate(value.split(b"\r\n")):
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise HeaderFault(f"{name}: a bare line end or NUL")
        if number and line[:1] not in (b" ", b"\t"):
            raise HeaderFault(f"{name}: a line that would begin another field")
        if not line.strip() or len(line) + (0 if number else len(name) + 2) > LONGEST_LINE:
            raise HeaderFault(f"{name}: an empty line, or one of more than {LONGEST_LINE} octets")
    return name.encode("ascii") + b": " + value + b"\r\n"


def _refuse_unsafe(text: str) -> None:
    if text.isprintable() and len(text) <= LONGEST_TEXT:  # nothing unsafe is printable
        return
    if found := _UNSAFE.search(text):
        raise HeaderFault(f"the character U+{ord(found[0]):04X} cannot stand in a header")
    if len(text) > LONGEST_TEXT:
        raise HeaderFault(f"more than {LONGEST_TEXT:,} characters in a header")


def _encoded(text: str, field: str) -> bytes:
    """Return ``text`` as encoded-words, each of whole characters, as many as a line holds to a line."""
    room = WIDTH - len(field) - 2 - _CHROME
    data = text.encode("utf-8")
    length = (len(data) + 2) // 3 * 4  # in base64
    surely = length < len(data) + 2 * (len(data) - len(text))  # so many octets at least would be escaped
    spelt = "" if surely else "".join([_IN_WORD[octet] for octet in data])
    if surely or length < len(spelt):
        words = [f"=?utf-8?b?{_base64(piece)}?=" for piece in _cut(data, room)]
    else:
        words = [f"=?utf-8?q?{piece}?=" for piece in _cut_spelt(spelt, room)]
    return "\r\n ".join(words).encode("ascii")


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _cut(data: bytes, room: int) -> Iterator[bytes]:
    """Yield UTF-8 in pieces of whole characters; ``room`` is what the first line holds of their base64."""
    start, most = 0, room // 4 * 3
    while len(data) - start > most:
        cut = start + most
        while data[cut] & 0xC0 == 0x80:
            cut -= 1
        yield data[start:cut]
        start, most = cut, (WIDTH - 1 - _CHROME) // 4 * 3
    yield data[start:]


def _cut_spelt(spelt: str, room: int) -> Iterator[str]:
    """Yield the same for the Q encoding, from a text in which everything is spelt as it will stand."""
    start = 0
    while len(spelt) - start > room:
        cut = start + room
        escape = spelt.rfind("=", cut - 2, cut)
        cut = cut if escape < 0 else escape
        while spelt[cut] == "=" and spelt[cut + 1] in "89AB":  # within a character
            cut -= 3
        yield spelt[start:cut]
        start, room = cut, WIDTH - 1 - _CHROME
    yield spelt[start:]


def _fold_words(text: str, room: int) -> bytes:
    """Fold single-spaced ASCII words; ``room`` is what the first line holds, the next begin with a space."""
    lines: list[str] = [""]
    for word in text.split(" "):
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if len(line) <= (room if len(lines) == 1 else WIDTH - 1) or not lines[-1]:
            lines[-1] = line
        else:
            lines.append(word)
    return "\r\n ".join(lines).encode("ascii")


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
