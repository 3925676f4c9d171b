"""The header of a letter, and the lines round its parts, with what differs from letter to letter left open.

A `Letterhead` is made from the header of one letter (`message.Head`) and serves all that have author,
language and further fields in common: it keeps the fields that are the same, and writes recipient, subject,
date and Message-ID between them. What it has written is read again, as `message.build_message` reads it, in
a cheaper way: the fields are found in their order, each once and no other; every CR and LF stands in a CRLF;
no NUL; no line is longer than it may be.

Contract: `written` gives what `build_message` gives, byte for byte (`tests/unit/test_quick_letters.py`), or
None where it cannot vouch for it, be it for a fault in a field or in the reading: then the plain way is
taken, and says what is wrong.

RFC 5322 2.1.1, 2.2, 3.6; RFC 2046 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.letters.message import (
    LONGEST_LINE,
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
from pipeline.mail import headers

_OPEN = ("To", "Subject", "Date", "Message-ID", "List-Unsubscribe")  # in the order in which they stand
_TEXT = {how: part_header(b"plain", how) for how in (b"quoted-printable", b"7bit", b"8bit")}
_HTML = {how: part_header(b"html", how) for how in (b"quoted-printable", b"7bit", b"8bit")}


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
        return self._header(entry) is not None

    def written(
        self,
        entry: Entry,
        *,
        text: str,
        html: str,
        encoding: Encoding,
        attachments: Sequence[Attachment] = (),
    ) -> bytes | None:
        """Return the whole message from its encoded parts (CRLF); None where it must be written plainly.

        ``text`` and ``html`` are quoted-printable, or with ``encoding`` "8bit" as they are.
        """
        header = self._header(entry)
        if header is None:
            return None
        boundary = boundary_for(entry.message_id, b"alternative", 0)
        parts = _alternatives(boundary, text, html, encoding)
        if attachments:
            outer = boundary_for(entry.message_id, b"mixed", 0)
            try:
                parts = _mixed(outer, parts, attachments)
            except MessageFault:
                return None
            if encoding == "8bit" and sum(part.count(outer) for part in parts) != len(attachments) + 3:
                return None
        message = b"".join((*header, *parts))
        if encoding == "8bit" and message.count(boundary) != 4:  # it stands in the letter itself
            return None
        return message if self._is_proved(message) else None

    def _header(self, entry: Entry) -> list[bytes] | None:
        """Return the header's pieces; None where a value cannot stand in it."""
        if not MESSAGE_ID.fullmatch(entry.message_id) or len(entry.message_id) > 400:
            return None
        try:
            to = headers.mailbox(entry.to_name, entry.to, field="To", utf8=self.utf8)
            subject = headers.unstructured(entry.subject)
            if entry.unsubscribe:
                headers.header("List-Unsubscribe", entry.unsubscribe)
        except headers.HeaderFault:
            return None
        message_id = entry.message_id.encode("ascii")
        first, second, third, fourth, last, *more = self.pieces
        header = [first, to, second, subject, third, entry.date, fourth, message_id, last]
        return [*header, entry.unsubscribe, *more] if more else header

    def _is_proved(self, message: bytes) -> bool:
        pairs = message.count(b"\r\n")
        return (
            self.expected.match(message) is not None
            and message.count(b"\n") == pairs
            and message.count(b"\r") == pairs
            and b"\0" not in message
            and _lines_are_short(message)
        )


def _alternatives(boundary: bytes, text: str, html: str, encoding: Encoding) -> tuple[bytes, ...]:
    """Return the pieces of the two parts and their lines of boundary, from their Content-Type on."""
    if encoding == "8bit":
        first, second = b"7bit" if text.isascii() else b"8bit", b"7bit" if html.isascii() else b"8bit"
    else:
        first = second = b"quoted-printable"
    return (
        *(
            b'Content-Type: multipart/alternative;\r\n boundary="',
            boundary,
            b'"\r\n\r\n--',
            boundary,
            b"\r\n",
        ),
        *(_TEXT[first], text.encode(), b"\r\n--", boundary, b"\r\n"),
        *(_HTML[second], html.encode(), b"\r\n--", boundary, b"--\r\n"),
    )


def _mixed(boundary: bytes, inner: Sequence[bytes], files: Sequence[Attachment]) -> tuple[bytes, ...]:
    """Return the pieces of a part and files, from their Content-Type on. Raises MessageFault."""
    between = b"\r\n--%b\r\n" % boundary
    pieces = [
        b'Content-Type: multipart/mixed;\r\n boundary="%b"\r\n\r\n--%b\r\n' % (boundary, boundary),
        *inner,
    ]
    for file in files:
        pieces += between, attachment_part(file)
    return *pieces, b"\r\n--%b--\r\n" % boundary


def _expected(names: Sequence[str]) -> re.Pattern[bytes]:
    """Return what a header with just these fields looks like (RFC 5322 2.2, 2.2.3)."""
    fields = (rf"{re.escape(name)}:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*" for name in names)
    return re.compile("".join([*fields, "\r\n"]).encode("ascii"))


def _lines_are_short(message: bytes) -> bool:
    """Say whether no line has more than 998 octets, looking at the last line end within reach of each."""
    start, reach, size = 0, LONGEST_LINE + len(b"\r\n"), len(message)
    while size - start > LONGEST_LINE:
        start = message.rfind(b"\n", start, start + reach) + 1
        if not start:
            return False
    return True
