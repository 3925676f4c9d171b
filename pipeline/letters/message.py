"""From a rendered letter to the bytes that go over the wire.

`build_message` writes the header fields in a fixed order, the text part, the HTML part and the attachments,
with CRLF everywhere and nothing that depends on time, chance or locale: the same arguments give the same
bytes. What it has written is parsed again, and the names and counts of the header fields must be exactly
those intended. So even if a value slipped through every other gate, a letter that says more than it should
is never handed out.

    alternative(plain, html)                        without attachments
    mixed(alternative(plain, html), attachment …)   with

RFC 5322 2.1.1, 2.3, 3.6; RFC 2045 5, 6; RFC 2046 5.1.1, 5.1.3, 5.1.4; RFC 2183 2.3; RFC 2231 4; RFC 3282
(Content-Language); RFC 5321 4.5.2 (transparency), 4.5.3.1.6 (line length).

Limits: no inline pictures (`related`), no format=flowed, no signing; an attachment's name of up to 100
characters stands on one line, which may be longer than 78 octets but not than 998.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from pipeline.letters.quoted import quoted_printable
from pipeline.mail import headers

LONGEST_LINE = headers.LONGEST_LINE
LONGEST_NAME = 100  # characters of an attachment's name

Encoding = Literal["qp", "8bit"]

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*")
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+ -]*")
MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[A-Za-z0-9.-]+>")
NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_RESERVED = frozenset(
    {
        "bcc",
        "cc",
        "content-language",
        "content-transfer-encoding",
        "content-type",
        "date",
        "dkim-signature",
        "from",
        "message-id",
        "mime-version",
        "received",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)


class MessageFault(ValueError):
    """The message could not be written, or did not turn out as intended; the text shows no value of it."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a letter: its ``name`` as the reader sees it, its bytes, its media type."""

    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in the header of a letter.

    ``author`` and ``to`` are addresses with their domains as A-labels, ``message_id`` has its angle
    brackets, ``date`` is aware, ``language`` is a BCP 47 tag. ``reply_to`` is (name, address). ``extra``
    holds further fields as (name, folded value), such as List-Unsubscribe. ``smtputf8`` allows raw UTF-8
    addresses (RFC 6532).
    """

    author_name: str
    author: str
    to_name: str
    to: str
    subject: str
    message_id: str
    date: datetime
    language: str
    reply_to: tuple[str, str] | None = None
    extra: tuple[tuple[str, bytes], ...] = ()
    smtputf8: bool = False


def build_message(
    head: Head, *, text: str, html: str, attachments: Sequence[Attachment] = (), encoding: Encoding = "qp"
) -> bytes:
    """Return the whole message: CRLF line ends, not dot-stuffed, without the final dot.

    ``encoding`` "8bit" needs a relay with 8BITMIME; a part with a line over 998 octets falls back to
    quoted-printable. MessageFault where a field or part cannot be written, or the result reads otherwise.
    """
    fields = fields_of(head)
    parts = [_text_part("plain", text, encoding), _text_part("html", html, encoding)]
    files = [attachment_part(attachment) for attachment in attachments]
    boundary = _boundary(head.message_id, b"alternative", parts)
    content_type = _multipart(b"alternative", boundary)
    body = _joined(parts, boundary)
    if files:
        inner = content_type + b"\r\n" + body
        boundary = _boundary(head.message_id, b"mixed", [inner, *files])
        content_type = _multipart(b"mixed", boundary)
        body = _joined([inner, *files], boundary)
    try:
        head_lines = [headers.header(*field) for field in fields]
    except headers.HeaderFault as fault:
        raise MessageFault(str(fault)) from fault
    message = b"".join((*head_lines, content_type, b"\r\n", body))
    _prove(message, [*(name for name, _ in fields), "Content-Type"])
    return message


def build_mixed(head: Head, *, text: str, parts: Sequence[bytes]) -> bytes:
    """Return a message of plain text and further parts, each whole with its own header and CRLF line ends.

    For notices of ours; letters are what `build_message` writes. Raises MessageFault as it does.
    """
    fields = fields_of(head)
    pieces = [_text_part("plain", text, "qp"), *parts]
    boundary = _boundary(head.message_id, b"mixed", pieces)
    try:
        head_lines = [headers.header(*field) for field in fields]
    except headers.HeaderFault as fault:
        raise MessageFault(str(fault)) from fault
    content_type = _multipart(b"mixed", boundary)
    message = b"".join((*head_lines, content_type, b"\r\n", _joined(pieces, boundary)))
    _prove(message, [*(name for name, _ in fields), "Content-Type"])
    return message


def dot_stuff(message: bytes) -> bytes:
    """Return the message as DATA sends it: a dot before each leading dot, CRLF at the end (RFC 5321 4.5.2).

    The final dot is not added: it is the session's, which hands it over only with a permission.
    """
    if message.startswith(b"."):
        message = b"." + message
    message = message.replace(b"\r\n.", b"\r\n..")
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def fields_of(head: Head) -> list[tuple[str, bytes]]:
    """Return the header fields in order, Content-Type not yet among them (RFC 5322 3.6)."""
    if not MESSAGE_ID.fullmatch(head.message_id) or len(head.message_id) > 400:
        raise MessageFault("not a Message-ID")
    if not _LANGUAGE.fullmatch(head.language):
        raise MessageFault("not a language tag")
    utf8 = head.smtputf8
    try:
        fields = [
            ("From", headers.mailbox(head.author_name, head.author, field="From", utf8=utf8)),
            ("To", headers.mailbox(head.to_name, head.to, field="To", utf8=utf8)),
        ]
        if head.reply_to:
            fields.append(("Reply-To", headers.mailbox(*head.reply_to, field="Reply-To", utf8=utf8)))
        fields += [
            ("Subject", headers.unstructured(head.subject)),
            ("Date", headers.date(head.date)),
            ("Message-ID", head.message_id.encode("ascii")),
            ("MIME-Version", b"1.0"),
            ("Content-Language", head.language.encode("ascii")),
            *head.extra,
        ]
    except headers.HeaderFault as fault:
        raise MessageFault(str(fault)) from fault
    names = Counter(name.lower() for name, _ in head.extra)
    if names.keys() & _RESERVED or any(count > 1 for count in names.values()):
        raise MessageFault("an extra field that the letter has already, or that it must not have")
    return fields


def _text_part(subtype: str, text: str, encoding: Encoding) -> bytes:
    """Return a text part with its own header (RFC 2046 4.1)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if NOT_IN_TEXT.search(text):
        raise MessageFault(f"the {subtype} part holds a control character")
    if not text.endswith("\n"):
        text += "\n"
    how = b"quoted-printable"
    if encoding == "8bit" and max(map(len, text.encode("utf-8").split(b"\n"))) <= LONGEST_LINE:
        how = b"7bit" if text.isascii() else b"8bit"
        body = text.replace("\n", "\r\n").encode("utf-8")
    else:
        body = quoted_printable(text).encode("ascii")
    return part_header(subtype.encode("ascii"), how) + body


def part_header(subtype: bytes, how: bytes) -> bytes:
    """Return the header of a text part, with the empty line; ``how`` it is encoded (RFC 2045 6)."""
    return (
        b"Content-Type: text/"
        + subtype
        + b"; charset=utf-8\r\nContent-Transfer-Encoding: "
        + how
        + b"\r\n\r\n"
    )


@lru_cache(maxsize=8)
def attachment_part(attachment: Attachment) -> bytes:
    """Return an attachment's part; cached, for most letters carry the same files."""
    if not _MEDIA_TYPE.fullmatch(attachment.media_type):
        raise MessageFault("not a media type")
    name = safe_name(attachment.name)
    plain = _PLAIN_FILE_NAME.fullmatch(name)
    parameter = f'filename="{name}"' if plain else f"filename*=utf-8''{quote(name, safe='')}"
    content = binascii.b2a_base64(attachment.content, newline=False)
    lines = [content[start : start + 76] for start in range(0, len(content), 76)]
    return (
        f"Content-Type: {attachment.media_type}\r\n"
        f"Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {parameter}\r\n\r\n"
    ).encode("ascii") + b"".join(line + b"\r\n" for line in lines)


def safe_name(name: str) -> str:
    """Return a file's name without its path and without control, bidi and other invisible characters (RFC
    2183 2.3).

    At most 100 characters, its extension kept; "attachment" where nothing is left.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(character for character in name if character.isprintable()).strip(" .")
    if len(name) > LONGEST_NAME:
        stem, dot, extension = name.rpartition(".")
        extension = dot + extension if dot and len(extension) <= 10 else ""
        name = (stem if extension else name)[: LONGEST_NAME - len(extension)] + extension
    return name or "attachment"


def boundary_for(message_id: bytes, kind: bytes, turn: int) -> bytes:
    """Return the boundary to be tried at this ``turn``, from 0, for a multipart of this ``kind``.

    `=_` in it never occurs in quoted-printable or base64.
    """
    seed = b"%b %b %d" % (message_id, kind, turn)
    return b"=_" + hashlib.sha256(seed).hexdigest()[:32].encode("ascii")


def _boundary(message_id: str, kind: bytes, parts: Sequence[bytes]) -> bytes:
    """Return a boundary that occurs in no part (RFC 2046 5.1.1)."""
    for turn in range(100):
        boundary = boundary_for(message_id.encode("ascii"), kind, turn)
        if not any(boundary in part for part in parts):
            return boundary
    raise MessageFault("no boundary was found that the letter does not contain")


def _multipart(subtype: bytes, boundary: bytes) -> bytes:
    return b"Content-Type: multipart/" + subtype + b';\r\n boundary="' + boundary + b'"\r\n'


def _joined(parts: Sequence[bytes], boundary: bytes) -> bytes:
    pieces = [b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts]
    return b"".join((*pieces, b"--" + boundary + b"--\r\n"))


def _prove(message: bytes, intended: Sequence[str]) -> None:
    """Raise MessageFault unless the bytes, read again, have just the ``intended`` fields, in order.

    The reading is RFC 5322's strictest (2.2, 2.2.3): a line begins a field or, with a space or TAB, goes on
    with one.
    """
    head, end, _ = message.partition(b"\r\n\r\n")
    found = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    if not end or found != [name.encode("ascii") for name in intended]:
        raise MessageFault("the message does not have exactly the header fields it was given")
    pairs = message.count(b"\r\n")
    if b"\0" in message or message.count(b"\n") != pairs or message.count(b"\r") != pairs:
        raise MessageFault("the message holds a bare line end or NUL")
    if max(map(len, message.split(b"\r\n"))) > LONGEST_LINE:
        raise MessageFault(f"the message has a line of more than {LONGEST_LINE} octets")
