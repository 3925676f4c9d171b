"""The header of a letter, and the lines round its parts, with what differs from letter to letter left open.

A `Letterhead` is made from the header of one letter (`message.Head`) and serves all that have author,
language and further fields in common: it keeps the fields that are the same, and writes recipient, subject,
date and Message-ID between them. What it has written is read again, as `message.build_message` reads it: the
fields are found in their order, each once and no other; every CR and LF stands in a CRLF; no NUL; no line is
longer than it may be. The parts were read when they were made (`proof`).

Contract: `written` gives what `build_message` gives, byte for byte (`tests/unit/test_quick_letters.py`), or
None where it cannot vouch for it, be it for a fault in a field or in the reading: then the plain way is
taken, and says what is wrong.

RFC 5322 2.1.1, 2.2, 3.6; RFC 2046 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from pipeline.letters.kept import Kept
from pipeline.letters.message import (
    MESSAGE_ID,
    Attachment,
    Encoding,
    Head,
    MessageFault,
    attachment_part,
    boundary_for,
    fields_of,
    part_header,
)
from pipeline.letters.proof import are_lines
from pipeline.mail import headers

MOST_KEPT = 1_024  # names, subjects

_OPEN = ("To", "Subject", "Date", "Message-ID", "List-Unsubscribe")  # in the order in which they stand
_ENCODINGS = (b"quoted-printable", b"7bit", b"8bit")
_TEXT = {how: b"\r\n" + part_header(b"plain", how) for how in _ENCODINGS}  # behind a line of boundary
_HTML = {how: b"\r\n" + part_header(b"html", how) for how in _ENCODINGS}
_CONTENT_TYPE = b'Content-Type: multipart/%b;\r\n boundary="%b"\r\n\r\n'

_PHRASES = Kept(partial(headers.phrase, field="To"), MOST_KEPT)
_SUBJECTS = Kept(headers.unstructured, MOST_KEPT)


class Entry(NamedTuple):
    """What is open in a letter's header; ``date`` and ``unsubscribe`` are values of their fields."""

    to_name: str
    to: str
    subject: str
    date: bytes
    message_id: str
    unsubscribe: bytes = b""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """The fields that letters have in common: pieces, between which the open ones stand."""

    pieces: tuple[bytes, ...]  # From stands in the first, Reply-To in the second
    expected: re.Pattern[bytes]  # a header with just these fields
    utf8: bool

    @classmethod
    def of(cls, head: Head) -> Letterhead | None:
        """Return the letterhead of letters like ``head``; None where it cannot be written."""
        try:
            fields = fields_of(head)
            lines = [(name, headers.header(name, value)) for name, value in fields]
        except (MessageFault, headers.HeaderFault):
            return None
        pieces = [b""]
        for name, line in lines:
            if name in _OPEN:
                pieces[-1] += f"{name}: ".encode("ascii")
                pieces.append(b"\r\n")
            else:
                pieces[-1] += line
        names = [*(name for name, _ in fields), "Content-Type"]
        return cls(tuple(pieces), _expected(names), head.smtputf8)

    @property
    def signed(self) -> tuple[bytes, bytes]:
        """What differs from signatory to signatory."""
        return self.pieces[0], self.pieces[1]

    def signed_by(self, signed: tuple[bytes, bytes]) -> Letterhead:
        """Return the letterhead of letters that are alike but for who signs them."""
        return Letterhead((*signed, *self.pieces[2:]), self.expected, self.utf8)

    def fits(self, entry: Entry) -> bool:
        """Say whether the header can be written for sure, without writing it."""
        return self._fields(entry) is not None

    def written(
        self,
        entry: Entry,
        *,
        text: bytes,
        html: bytes,
        encoding: Encoding,
        attachments: Sequence[Attachment] = (),
    ) -> bytes | None:
        """Return the whole message from its encoded parts; None where it must be written plainly.

        ``text`` and ``html`` are whole lines (`proof`): quoted-printable, or with ``encoding`` "8bit" as they
        are.
        """
        header = self._fields(entry)
        if header is None:
            return None
        message_id = entry.message_id.encode("ascii")
        boundary = boundary_for(message_id, b"alternative", 0)
        if encoding == "8bit" and (boundary in text or boundary in html):
            return None
        content_type = _CONTENT_TYPE % (b"alternative", boundary)
        body: Sequence[bytes] = _alternatives(boundary, text, html, encoding)
        if attachments:
            files = _proved_parts(attachments)
            outer = boundary_for(message_id, b"mixed", 0)
            if files is None or (encoding == "8bit" and (outer in text or outer in html)):
                return None
            body = _mixed(outer, (content_type, *body), files)
            content_type = _CONTENT_TYPE % (b"mixed", outer)
        header += content_type
        return b"".join((header, *body)) if self._is_proved(header) else None

    def _fields(self, entry: Entry) -> bytes | None:
        """Return the fields but for Content-Type; None where a value cannot stand in its own."""
        to_name, address, subject, date, message_id, unsubscribe = entry
        if not MESSAGE_ID.fullmatch(message_id) or len(message_id) > 400:
            return None
        try:
            to = headers.beside(_PHRASES[to_name], headers.address(address, utf8=self.utf8))
            about = _SUBJECTS[subject]
            if unsubscribe:
                headers.header("List-Unsubscribe", unsubscribe)
        except headers.HeaderFault:
            return None
        first, second, third, fourth, *last = self.pieces
        number = message_id.encode("ascii")
        return b"".join((first, to, second, about, third, date, fourth, number, unsubscribe.join(last)))

    def _is_proved(self, header: bytes) -> bool:
        """Say whether the header, up to the empty line, reads as it was meant to."""
        return self.expected.fullmatch(header) is not None and are_lines(header)


def _alternatives(boundary: bytes, text: bytes, html: bytes, encoding: Encoding) -> tuple[bytes, ...]:
    """Return the pieces of the two parts and their lines of boundary."""
    if encoding == "8bit":
        first, second = b"7bit" if text.isascii() else b"8bit", b"7bit" if html.isascii() else b"8bit"
    else:
        first = second = b"quoted-printable"
    text_part, html_part = (b"--", boundary, _TEXT[first], text), (b"\r\n--", boundary, _HTML[second], html)
    return *text_part, *html_part, b"\r\n--", boundary, b"--\r\n"


def _mixed(boundary: bytes, inner: Sequence[bytes], files: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the pieces of a part and files, with their lines of boundary."""
    between = b"\r\n--%b\r\n" % boundary
    pieces = [b"--%b\r\n" % boundary, *inner]
    for file in files:
        pieces += between, file
    return *pieces, b"\r\n--%b--\r\n" % boundary


def _proved_parts(attachments: Sequence[Attachment]) -> list[bytes] | None:
    """Return the parts of files; None where one cannot be written, or was not written as it should be."""
    parts = [part for attachment in attachments if (part := _proved_part(attachment)) is not None]
    return parts if len(parts) == len(attachments) else None


@lru_cache(maxsize=8)
def _proved_part(attachment: Attachment) -> bytes | None:
    """Return a file's part; it was read again. Cached as `attachment_part` is."""
    try:
        part = attachment_part(attachment)
    except MessageFault:
        return None
    return part if are_lines(part) else None


def _expected(names: Sequence[str]) -> re.Pattern[bytes]:
    """Return what a header with just these fields looks like (RFC 5322 2.2, 2.2.3), if it is whole lines."""
    fields = (rf"{re.escape(name)}:.*+\n(?:[ \t].*+\n)*+" for name in names)
    return re.compile("".join([*fields, "\r\n"]).encode("ascii"))
