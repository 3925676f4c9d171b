"""Header fields as they came: a block of bytes into fields, a field into text, parameters, addresses, ids.

Contract: bytes in, values out; nothing raises, whatever the bytes. `HeaderBound` alone is raised, by
`read_fields`, when there is more than a reader should take. All work is linear in the bytes.

RFC 5322 2.2 and 4 (obsolete syntax is read), 3.4 (addresses, groups), 3.6.4 (message ids); RFC 2047
(encoded-words; the characters of one may begin in it and end in the next, as many programs write them);
RFC 2231 3 and 4 (parameters in pieces and in charsets); RFC 6532 (raw UTF-8).

Limits: comments are dropped; a route (`<@a,@b:c@d>`) gives its last address; domain literals are kept as
written.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pipeline.mail.charset import decode

FIELD_LIMIT = 128 * 1024  # octets of one field
BLOCK_LIMIT = 512 * 1024  # octets of one header
FIELDS_LIMIT = 2_000
ADDRESSES_LIMIT = 1_000  # the rest of a longer list is not read

_FIELD_NAME = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_FOLD = re.compile(rb"\r*\n[ \t]?|\r")
_ENCODED = re.compile(rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?=")
_GAP = re.compile(rb"[ \t]*")
_SPACES = re.compile(r"[ \t\r\n\0]+")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,500})>")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"?|<([^<>]*)>?|[,;]|\\?[()]|[^"<>,;()\\]+|.', re.DOTALL)
# From the start of a word only: a word of any length is looked at once.
_ADDRESS = re.compile(r"(?<![^\s<>@,;:\"()])[^\s<>@,;:\"()]+@[^\s<>@,;:\"()]+")


class HeaderBound(Exception):
    """A header holds more than is read; ``fields`` are those read before."""

    def __init__(self, reason: str, fields: tuple[Field, ...]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name as written, its value unfolded, as bytes."""

    name: str
    raw: bytes

    @property
    def value(self) -> str:
        """The value with encoded-words decoded and spaces made single; computed each time it is asked for."""
        return decode_words(self.raw)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one header, in their order; names are compared without case."""

    items: tuple[Field, ...] = ()

    def __iter__(self) -> Iterator[Field]:
        return iter(self.items)

    def all(self, name: str) -> tuple[str, ...]:
        """Return the decoded values of every field called ``name``."""
        name = name.lower()
        return tuple(field.value for field in self.items if field.name.lower() == name)

    def get(self, name: str, default: str = "") -> str:
        """Return the decoded value of the first field called ``name``."""
        return decode_words(raw) if (raw := self.raw(name)) is not None else default

    def raw(self, name: str) -> bytes | None:
        """Return the first such field's value as it came, unfolded; None where there is none."""
        name = name.lower()
        return next((field.raw for field in self.items if field.name.lower() == name), None)

    def __contains__(self, name: str) -> bool:
        return self.raw(name) is not None

    def addresses(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Return (name, address) of every mailbox in the fields called so, at most 1,000."""
        wanted = {name.lower() for name in names}
        found: list[tuple[str, str]] = []
        for field in self.items:
            if field.name.lower() in wanted and len(found) < ADDRESSES_LIMIT:
                found.extend(addresses(field.raw))
        return tuple(found[:ADDRESSES_LIMIT])

    def message_ids(self, *names: str) -> tuple[str, ...]:
        """Return the message ids in the fields called so, in order, without angle brackets."""
        wanted = {name.lower() for name in names}
        return tuple(
            found
            for field in self.items
            if field.name.lower() in wanted
            for found in _MESSAGE_ID.findall(field.raw.decode("utf-8", "replace"))
        )


def read_fields(data: bytes, start: int = 0, end: int | None = None) -> tuple[Fields, int]:
    """Read the header that begins at ``start``; return its fields and where the body begins.

    The header ends at an empty line, or before the first line that is neither a field nor the continuation
    of one. An mbox's "From " line and Maildir-less ">From " lines in front are stepped over.

    Raises:
        HeaderBound: more than 2,000 fields, 128 KiB in one or 512 KiB in all.
    """
    end = len(data) if end is None else end
    items: list[Field] = []
    at = start
    while at < end:
        stop = _line_end(data, at, end)
        line = data[at : min(stop, at + 300)]
        if not line.rstrip(b"\r\n"):
            return Fields(tuple(items)), stop
        match = _FIELD_NAME.match(line)
        if match is None:
            if at == start and line.startswith((b"From ", b">From ")):
                at = start = stop
                continue
            if not items and line[:1] in b" \t" and not line.strip():
                return Fields(), stop
            return Fields(tuple(items)), at
        value = at + match.end()
        while stop < end and data[stop : stop + 1] in (b" ", b"\t"):
            following = _line_end(data, stop, end)
            if not data[stop : min(following, stop + 300)].strip():
                break  # a line of spaces ends the header, as senders mean it
            stop = following
            if stop - value > FIELD_LIMIT:
                break
        if stop - value > FIELD_LIMIT or stop - start > BLOCK_LIMIT or len(items) >= FIELDS_LIMIT:
            raise HeaderBound(_bound(stop - value, stop - start), tuple(items))
        items.append(
            Field(match[1].decode("ascii"), _FOLD.sub(b" ", data[value:stop].rstrip(b"\r\n")).strip())
        )
        at = stop
    return Fields(tuple(items)), at


def decode_words(raw: bytes) -> str:
    """Return a field's value as text: encoded-words, raw UTF-8 or undeclared bytes (RFC 2047, RFC 6532)."""
    if b"=?" not in raw:
        return _SPACES.sub(" ", decode(raw).text).strip()
    out: list[str] = []
    charset, pending, at = "", b"", 0
    for match in _ENCODED.finditer(raw):
        between = raw[at : match.start()]
        word_charset = match[1].decode("ascii", "replace").split("*")[0].lower()
        content = _word(match[2], match[3])
        gap = _GAP.fullmatch(between)
        if gap is None or not pending or word_charset != charset:
            if pending:
                out.append(decode(pending, charset).text)
            if gap is None or not pending:
                out.append(decode(between).text)
            pending = b""
        charset, pending, at = word_charset, pending + content if pending else content, match.end()
    if pending:
        out.append(decode(pending, charset).text)
    out.append(decode(raw[at:]).text)
    return _SPACES.sub(" ", "".join(out)).strip()


def parameters(raw: bytes | None) -> tuple[str, dict[str, str]]:
    """Split `text/plain; charset=utf-8` into the lower-case value and its parameters (names in lower case).

    RFC 2231 pieces are put together and decoded; encoded-words in a parameter, which RFC 2047 forbids and
    many programs write, are decoded too. Of two parameters of one name the first counts.
    """
    if not raw:
        return "", {}
    text = raw.decode("utf-8", "surrogateescape")
    head, mark, rest = text.partition(";")
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, quoted, bare in _PARAMETER.findall(mark + rest):
        value = _ESCAPED.sub(r"\1", quoted) if quoted else bare.strip()
        section = _SECTION.fullmatch(name.lower())
        if section is None or not name.isascii():
            continue
        number = int(section[2] or 0)
        pieces.setdefault(section[1], {}).setdefault(number, (value, bool(section[3])))
    return head.strip().lower().encode("ascii", "replace").decode(), {
        name: _joined(parts) for name, parts in pieces.items()
    }


def addresses(raw: bytes) -> list[tuple[str, str]]:
    """Return (display name, address) of each mailbox in a field; what is no address is left out."""
    out: list[tuple[str, str]] = []
    words: list[str] = []
    angle, depth = "", 0

    def close() -> None:
        text = " ".join(filter(None, words))
        found = _ADDRESS.search(angle.rpartition(":")[2]) or (None if angle else _ADDRESS.search(text))
        if found:
            name = "" if not angle else decode_words(text.encode("utf-8", "surrogateescape"))
            out.append((name, found[0]))

    for match in _PIECE.finditer(raw.decode("utf-8", "surrogateescape")):
        piece = match[0]
        if piece in "()" or piece in ("\\(", "\\)"):
            depth = max(0, depth + (1 if piece == "(" else -1 if piece == ")" else 0))
        elif depth:
            continue
        elif piece in ",;":
            close()
            words, angle = [], ""
            if len(out) >= ADDRESSES_LIMIT:
                break
        elif piece.startswith("<"):
            angle = match[2] or ""
        else:
            words.append(_ESCAPED.sub(r"\1", match[1]) if match[1] is not None else piece.strip())
    close()
    return out[:ADDRESSES_LIMIT]


def _line_end(data: bytes, at: int, end: int) -> int:
    """Return where the line after the one at ``at`` begins."""
    found = data.find(b"\n", at, end)
    return end if found < 0 else found + 1


def _bound(field: int, block: int) -> str:
    if field > FIELD_LIMIT:
        return f"a header field of more than {FIELD_LIMIT // 1024} KiB"
    if block > BLOCK_LIMIT:
        return f"a header of more than {BLOCK_LIMIT // 1024} KiB"
    return f"more than {FIELDS_LIMIT:,} header fields"


def _word(encoding: bytes, content: bytes) -> bytes:
    """Return the octets of an encoded-word; those of a broken one as they stand."""
    if encoding in b"qQ":
        return binascii.a2b_qp(content, header=True)
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4))
    except ValueError:
        return content


def _joined(pieces: dict[int, tuple[str, bool]]) -> str:
    """Put the pieces of one parameter together (RFC 2231 3) and decode them (4, 4.1)."""
    ordered = [pieces[number] for number in sorted(pieces)]
    if not any(encoded for _, encoded in ordered):
        return decode_words("".join(value for value, _ in ordered).encode("utf-8", "surrogateescape"))
    charset, data = "", b""
    for index, (value, encoded) in enumerate(ordered):
        if encoded and index == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        octets = value.encode("utf-8", "surrogateescape")
        data += unquote_to_bytes(octets) if encoded else octets
    return _SPACES.sub(" ", decode(data, charset).text).strip()
