"""A mail as it came, into a tree of parts; bounded, and never an exception.

`read_mail` takes any bytes and returns a `Mail`. Where a bound is broken the Mail says so in ``unreadable``
and holds the header fields that could be read, and no parts. Everything else that is wrong (no boundary, a
broken base64, a charset nobody knows) is read as well as it can be and named in ``Part.defects``.

RFC 5322 4 (obsolete syntax), RFC 2045 5 and 6, RFC 2046 5.1 (an outer boundary ends the inner parts; a
missing last boundary is the end) and 5.2.1 (message/rfc822), RFC 2047, RFC 2183, RFC 2231, RFC 6532.
The order in which charsets are tried stands in `pipeline.mail.charset`.

Limits (`Limits`): 40 MiB a mail, 500 parts, 50 levels, 512 KiB a header and 128 KiB a field. The time is
linear in the size: every level of nesting looks at each of its octets once, and ``work`` bounds their sum.
Partial messages (message/partial) are not put together; encrypted parts and TNEF are attachments like others.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.mail.charset import Decoded, decode
from pipeline.mail.fields import Fields, HeaderBound, decode_words, parameters, read_fields

_NO_FIELDS = Fields()
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_UNSAFE_IN_NAME = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
LONGEST_FILENAME = 200  # characters
LONGEST_SUBJECT = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read of one mail: octets, parts, levels of nesting, octets looked at in all."""

    size: int = 40 * 1024 * 1024
    parts: int = 500
    depth: int = 50
    work: int = 800 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One node of the tree.

    A multipart has ``children`` and in ``content`` what stands outside them (preamble and epilogue); a
    message/rfc822 has one child, whose ``headers`` are those of the inner message, and in ``content`` that
    message whole; every other part has ``content``, its transfer encoding undone.
    """

    headers: Fields = _NO_FIELDS
    type: str = "text/plain"  # lower case, without parameters
    parameters: Mapping[str, str] = field(default_factory=dict)  # of Content-Type; names in lower case
    disposition: str = ""  # "inline", "attachment", "": lower case
    filename: str = ""  # without a path, control or bidi characters; "" where there is none
    content: bytes = field(default=b"", repr=False)
    children: tuple[Part, ...] = ()
    defects: tuple[str, ...] = ()

    @property
    def is_multipart(self) -> bool:
        return self.type.startswith("multipart/") and bool(self.children)

    @property
    def is_message(self) -> bool:
        return self.type in _MESSAGES and bool(self.children)

    @property
    def is_attachment(self) -> bool:
        """Meant to be kept rather than shown: said so, or named and not text."""
        return self.disposition == "attachment" or (bool(self.filename) and not self.type.startswith("text/"))

    @property
    def decoded(self) -> Decoded:
        """The content as text with the charset that was used; computed each time it is asked for."""
        return decode(self.content, self.parameters.get("charset", ""))

    @property
    def text(self) -> str:
        """The content as text, line ends made LF; computed each time it is asked for."""
        return self.decoded.text.replace("\r\n", "\n").replace("\r", "\n")

    def walk(self, *, into_messages: bool = True) -> Iterator[Part]:
        """Yield this part and all below it, outer before inner, first before last.

        Without ``into_messages`` a forwarded or returned message is yielded, and what is in it is not.
        """
        yield self
        if self.is_message and not into_messages:
            return
        for child in self.children:
            yield from child.walk(into_messages=into_messages)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: its header, its tree, and in ``unreadable`` the bound it broke ("" where it was read)."""

    headers: Fields
    root: Part
    size: int  # octets
    unreadable: str = ""

    @property
    def subject(self) -> str:
        """The first Subject, at most 1,000 characters of it."""
        return decode_words((self.headers.raw("Subject") or b"")[: 4 * LONGEST_SUBJECT])[:LONGEST_SUBJECT]

    @property
    def message_id(self) -> str:
        """The Message-ID without angle brackets; "" where there is none."""
        return next(iter(self.headers.message_ids("Message-ID")), "")

    @property
    def author(self) -> tuple[str, str]:
        """Name and address of the first mailbox in From; ("", "") where there is none."""
        return next(iter(self.headers.addresses("From")), ("", ""))

    @property
    def return_path(self) -> str | None:
        """The address in Return-Path, "" for the null one (`<>`), None where the field is missing."""
        raw = self.headers.raw("Return-Path")
        if raw is None:
            return None
        return next((address for _, address in self.headers.addresses("Return-Path")), "")

    def walk(self, *, into_messages: bool = True) -> Iterator[Part]:
        """Yield all parts, as `Part.walk` does."""
        return self.root.walk(into_messages=into_messages)


class _Bound(Exception):
    """A bound was broken; the message names it."""


def read_mail(raw: bytes, limits: Limits = Limits()) -> Mail:
    """Read one mail of any quality.

    Args:
        raw: the mail as it was stored or fetched; an mbox "From " line in front does no harm.
        limits: what is read at most.
    """
    size = len(raw)
    if b"\n" not in raw[:BARE_CR_WINDOW] and b"\r" in raw[:BARE_CR_WINDOW]:
        raw = raw.replace(b"\r", b"\n")  # files of old Macs
    try:
        headers, body = read_fields(raw, _header_start(raw), min(size, limits.size))
    except HeaderBound as bound:
        return _unread(Fields(bound.fields), size, bound.reason)
    if size > limits.size:
        return _unread(headers, size, f"larger than {limits.size // (1024 * 1024)} MiB")
    try:
        root = _Reader(limits).part(raw, headers, body, size, 0, "text/plain")
    except _Bound as bound:
        return _unread(headers, size, str(bound))
    except HeaderBound as bound:
        return _unread(headers, size, bound.reason)
    return Mail(headers, root, size)


BARE_CR_WINDOW = 100_000  # octets looked at for a line feed
_EMPTY_FRONT = re.compile(rb"(?:[ \t]{0,400}\r?\n){1,5}(?=[!-9;-~]{1,80}:[ \t])")


def _header_start(raw: bytes) -> int:
    """Return where the header begins: some programs that save mails put empty lines in front."""
    found = _EMPTY_FRONT.match(raw)
    return found.end() if found else 0


def _unread(headers: Fields, size: int, reason: str) -> Mail:
    return Mail(headers, Part(headers), size, f"unreadable: {reason}")


class _Reader:
    """Reads one mail, counting parts and octets."""

    __slots__ = ("held", "limits", "parts", "work")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts = 0
        self.work = 0
        self.held = 0

    def part(self, raw: bytes, headers: Fields, start: int, end: int, depth: int, default: str) -> Part:
        """Read the part whose header is ``headers`` and whose body is ``raw[start:end]``."""
        self._count(end - start, depth)
        kind, given = parameters(headers.raw("Content-Type"))
        defects: list[str] = []
        if not _TYPE.fullmatch(kind):
            if kind:
                defects.append("a Content-Type that is none")
            kind = kind if kind == "text" else default
            kind = "text/plain" if kind == "text" else kind
        disposition, about = parameters(headers.raw("Content-Disposition"))
        name = _filename(about.get("filename") or given.get("name") or "")
        encoding = headers.get("Content-Transfer-Encoding").lower().strip(" \"'")

        def made(content: bytes = b"", children: tuple[Part, ...] = ()) -> Part:
            self.held += len(content)
            if self.held > 3 * self.limits.size:
                raise _Bound("too much nested in itself")
            return Part(
                headers, kind, MappingProxyType(given), disposition, name, content, children, tuple(defects)
            )

        if kind.startswith("multipart/"):
            boundary = given.get("boundary", "").encode("utf-8", "surrogateescape")[:200]
            spans, outside = self._split(raw, boundary, start, end) if boundary else ([], b"")
            if spans:
                inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
                return made(outside, tuple(self._child(raw, *span, depth + 1, inner) for span in spans))
            defects.append("a multipart without parts")
            kind = "text/plain"
        content = _undo(raw[start:end], encoding, defects)
        if kind in _MESSAGES:
            self.held += len(content)
            fields, body = read_fields(content)
            if fields.items:
                return made(
                    content, (self.part(content, fields, body, len(content), depth + 1, "text/plain"),)
                )
            defects.append("a message without a header")
        return made(content)

    def _child(self, raw: bytes, start: int, end: int, depth: int, default: str) -> Part:
        headers, body = read_fields(raw, start, end)
        return self.part(raw, headers, body, end, depth, default)

    def _count(self, octets: int, depth: int) -> None:
        self.parts += 1
        self.work += octets
        if depth > self.limits.depth:
            raise _Bound(f"more than {self.limits.depth} levels of parts")
        if self.parts > self.limits.parts:
            raise _Bound(f"more than {self.limits.parts} parts")
        if self.work > self.limits.work:
            raise _Bound("too much nested in itself")

    def _split(
        self, raw: bytes, boundary: bytes, start: int, end: int
    ) -> tuple[list[tuple[int, int]], bytes]:
        """Return where the parts between the boundaries begin and end, and what stands outside them.

        RFC 2046 5.1.1: the line end before a boundary belongs to the boundary; spaces may follow it.
        """
        mark = b"--" + boundary
        spans: list[tuple[int, int]] = []
        opened, preamble, at = -1, b"", start
        while (found := raw.find(mark, at, end)) >= 0:
            at = found + len(mark)
            if found > start and raw[found - 1 : found] != b"\n":
                continue
            stop = _line_end(raw, at, end)
            self.work += stop - at
            if raw[at : min(stop, at + 200)].strip() not in (b"", b"--"):
                at = stop - 1
                continue
            tail = raw[at : min(stop, at + 200)].strip()
            before = _without_line_end(raw, found, opened if opened >= 0 else start)
            if opened >= 0:
                spans.append((opened, before))
            else:
                preamble = raw[start:before]
            if tail == b"--":
                return spans, preamble + raw[stop:end]
            if self.parts + len(spans) > self.limits.parts:
                raise _Bound(f"more than {self.limits.parts} parts")
            opened = at = stop
        if opened >= 0:
            spans.append((opened, end))
        return spans, preamble


def _line_end(raw: bytes, at: int, end: int) -> int:
    found = raw.find(b"\n", at, end)
    return end if found < 0 else found + 1


def _without_line_end(raw: bytes, at: int, start: int) -> int:
    """Return where the text before ``at`` ends, its last line end left out."""
    if at > start and raw[at - 1 : at] == b"\n":
        at -= 1
        if at > start and raw[at - 1 : at] == b"\r":
            at -= 1
    return at


def _undo(content: bytes, encoding: str, defects: list[str]) -> bytes:
    """Undo a transfer encoding (RFC 2045 6); what cannot be undone stays as it came, with a defect."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding == "base64":
        data, _, rest = content.partition(b"=")
        data = data.translate(None, _NOT_BASE64)
        if len(data) % 4 == 1:
            defects.append("a broken base64")
            data = data[:-1]
        decoded = binascii.a2b_base64(data + b"=" * (-len(data) % 4))
        after = rest.lstrip(b"=\r\n\t ")
        if not decoded and content.strip():
            defects.append("a broken base64")
            return content
        return decoded + b"\n" + after if after else decoded
    if encoding in {"x-uuencode", "uuencode", "x-uue", "uue"}:
        return _uudecoded(content, defects)
    if encoding not in {"", "7bit", "8bit", "binary"}:
        defects.append("an unknown transfer encoding")
    return content


def _uudecoded(content: bytes, defects: list[str]) -> bytes:
    out: list[bytes] = []
    begun = False
    for line in content.splitlines():
        if not begun:
            begun = line.startswith(b"begin ")
        elif line.strip() == b"end":
            return b"".join(out)
        elif line:
            try:
                out.append(binascii.a2b_uu(line))
            except binascii.Error:
                break
    defects.append("a broken uuencode")
    return content


def _filename(name: str) -> str:
    """Return a file's name that names no folder and hides nothing (RFC 2183 2.3)."""
    name = _UNSAFE_IN_NAME.sub("", name).replace("\\", "/").rpartition("/")[2].strip(" .")
    return name[-LONGEST_FILENAME:]
