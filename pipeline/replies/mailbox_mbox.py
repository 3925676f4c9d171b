"""An mbox file (RFC 4155), read as a stream: mboxo and mboxrd, with LF, CRLF or CR line ends, while it grows.

A mail begins at a line "From ", an address and a date as asctime(3) writes it or nearly so, whether or not
an empty line stands before it: writers quote such lines in bodies, but not all leave the empty line.
Content-Length is not believed. A line that begins with ``>From ``, ``>>From `` and so on loses one ``>``:
that is mboxrd; of mboxo, which quotes ``From `` only, it undoes the same, and besides unquotes what a person
had quoted so.

Status, X-Status, X-Keywords, X-UID, X-IMAP, X-IMAPbase, Content-Length and Lines belong to the mailbox, not
to the mail: mail programs write and rewrite them in place. Flags are read from them, then they are left out,
so that a mail stays the same mail.

The mark is the octet behind the last mail, where that mail began, and hashes of the beginning of the file and
of the octets before the mark. Where they do not match, the file was truncated, replaced or rewritten, and all
of it is read again. Where no mail begins at the mark, the last mail was read before it was written to its
end, and it is read again. A last mail without an empty line behind it is left alone while the file is
younger than `SETTLED_S`.

The standard library's `mailbox.mbox` splits at every line "From ", reads whole mails whatever their size, and
locks by writing beside the file; hence not that.

Limits: the file is not locked. `after` can only be "keep". Memory: one mail.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from pipeline.clock import Clock
from pipeline.problem import visible
from pipeline.replies.account import Account
from pipeline.replies.mailbox import (
    HEADER_BYTES,
    Extent,
    Fetched,
    MailboxUnreached,
    MailboxUnusable,
    Mark,
    headers_of,
    too_large,
)

PIECE = 64 * 1024  # octets of a line read at once
COMPARED = 4_096  # octets hashed at the beginning, and before the mark
SETTLED_S = 10.0
_MONTHS = {name: 1 + n for n, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
_FROM = re.compile(
    rb"From [^\r\n]{0,500}?\b(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>[0-9]{1,2})"  # asctime(3)
    rb"|(?P<day2>[0-9]{1,2})[ -](?P<month2>[A-Z][a-z]{2})[ -](?P<year2>[0-9]{4}))"  # as in a Date field
    rb" +(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?"
    rb"(?P<rest>[^\r\n]{0,100})"
)
_YEAR = re.compile(rb"(?<![-+0-9])([0-9]{4})\b")
_ZONE = re.compile(rb" ([+-])([0-9]{2})([0-9]{2})\b")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_OWN = re.compile(
    rb"^(?:(?P<status>Status|X-Status)|X-Keywords|X-UID|X-IMAP(?:base)?|Content-Length|Lines):"
    rb"(?P<value>[^\n]*)\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
_FLAGS = {"R": "seen", "A": "answered", "F": "flagged", "D": "deleted", "T": "draft"}


@dataclass(frozen=True, slots=True)
class _Place:
    """The mark: where the last mail began and ended, and what the file looked like."""

    begin: int
    end: int
    head: str
    tail: str

    @classmethod
    def of(cls, mark: Mark) -> _Place | None:
        """Read a mark; None for none, and for one that cannot be read."""
        try:
            said: dict[str, Any] = json.loads(mark)
            place = cls(said["begin"], said["end"], said["head"], said["tail"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        whole = type(place.begin) is int and type(place.end) is int and 0 <= place.begin <= place.end < 2**63
        return place if whole else None

    @classmethod
    def at(cls, number: int, begin: int, end: int) -> _Place:
        """Look at a file where a mail lies in it."""
        head = os.pread(number, min(COMPARED, end), 0)
        first = max(0, end - COMPARED)
        tail = os.pread(number, end - first, first)
        return cls(begin, end, hashlib.sha256(head).hexdigest(), hashlib.sha256(tail).hexdigest())

    def written(self) -> Mark:
        """Return the mark."""
        return json.dumps({"begin": self.begin, "end": self.end, "head": self.head, "tail": self.tail})


class _Part:
    """What lies between two From lines, as it is read; of too large a mail only the beginning is kept."""

    def __init__(self, line: bytes, begin: int, bound: int) -> None:
        self.line = line
        self.begin = begin
        self.end = begin
        self.size = 0
        self.large = False
        self._bound = bound
        self._content = bytearray()

    def add(self, piece: bytes) -> None:
        """Take what comes next."""
        self.size += len(piece)
        if self.size > self._bound and not self.large:
            self.large = True
            del self._content[HEADER_BYTES:]
        if not self.large:
            self._content += piece

    @property
    def ended(self) -> bool:
        """Return whether an empty line ends it, as RFC 4155 wants."""
        return self._content.endswith((b"\n\n", b"\n\r\n")) or bytes(self._content[:3]) in (b"\n", b"\r\n")

    def mail(self) -> tuple[bytes, frozenset[str]]:
        """Return the mail without what belongs to the mailbox, and its flags."""
        raw = bytes(self._content)
        if self.ended and not self.large:
            raw = raw[: -2 if raw.endswith(b"\r\n") else -1]
        header = headers_of(raw)
        own = [match for match in _OWN.finditer(header) if match["status"]]
        letters = "".join(match["value"].decode("ascii", "replace") for match in own)
        flags = frozenset(_FLAGS[letter] for letter in letters if letter in _FLAGS)
        body = b"" if self.large else _QUOTED.sub(rb"\1", raw[len(header) :])
        return _OWN.sub(b"", header) + body, flags


class MboxMailbox:
    """One mbox file."""

    def __init__(self, account: Account, *, clock: Clock) -> None:
        assert account.path is not None
        self._account = account
        self._path = account.path
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._mark: Mark = ""

    @property
    def name(self) -> str:
        """Return what marks are kept under."""
        return self._account.name

    def new(self, since: Mark) -> Iterator[Fetched]:
        """Yield the mails behind ``since``, in the order of the file."""
        self._places.clear()
        self._mark = since
        known = _Place.of(since)
        number = self._opened(known is not None)
        if number is None:
            return
        with open(number, "rb", buffering=0) as raw:  # noqa: PTH123 - a descriptor
            end = os.fstat(number).st_size
            stream = _lines(raw, number)
            for part in self._parts(stream, _start(number, stream, known, end), end):
                if part.end == end and not self._settled(number, part):
                    return
                mail = self._made(part)
                if self._is_recent(mail):
                    self._places[mail.source] = _Place.at(number, part.begin, part.end)
                    yield mail

    def mark(self, stored: Sequence[Fetched]) -> Mark:
        """Return the mark behind the last of ``stored``."""
        if stored:
            self._mark = self._places[stored[-1].source].written()
            self._places.clear()
        return self._mark

    def settle(self) -> Mark | None:
        """An mbox is only read."""
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def _opened(self, seen_before: bool) -> int | None:
        """Return the open file; None where it is gone since the last fetch, as an empty spool may be."""
        shown = visible(self.name)
        try:
            number = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            if seen_before:
                return None
            raise MailboxUnusable(
                f"{shown}: there is no such file", "it begins to be with its first mail"
            ) from None
        except OSError as trouble:
            raise MailboxUnreached(f"{shown} cannot be read: {trouble.strerror}") from None
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise MailboxUnusable(f"{shown} is no file", "a folder with new/ and cur/ in it is a maildir:")
        return number

    def _parts(self, stream: BinaryIO, start: int, end: int) -> Iterator[_Part]:
        """Yield what lies between From lines, from ``start`` to ``end``, as it is read."""
        part: _Part | None = None
        at, fresh, heading = stream.seek(start), True, False
        while at < end and (piece := stream.readline(min(PIECE, end - at))):
            if fresh and piece.startswith(b"From ") and (at == 0 or _FROM.match(piece)):
                if part is not None:
                    yield part
                part, heading = _Part(piece[:1_000], at, self._account.mail_bytes), True
            elif part is None:
                if piece.strip():
                    raise MailboxUnusable(
                        f'{visible(self.name)} is no mbox: it does not begin with a line "From "',
                        "an mbox is one file of mails; a folder of files is a maildir:",
                    )
            elif not heading:
                part.add(piece)
            at += len(piece)
            fresh = piece.endswith(b"\n")
            heading = heading and not fresh
            if part is not None:
                part.end = at
        if part is not None and at >= end:  # else the file became shorter under our hands
            yield part

    def _settled(self, number: int, part: _Part) -> bool:
        """Return whether the last mail of the file is there to its end, as far as that can be seen."""
        found = os.fstat(number)
        if found.st_size != part.end:
            return False
        age = self._clock.now().timestamp() - found.st_mtime
        return part.ended or not 0 <= age < SETTLED_S

    def _made(self, part: _Part) -> Fetched:
        raw, flags = part.mail()
        return Fetched(
            raw=raw,
            extent=Extent.HEADERS if part.large else Extent.WHOLE,
            size=part.size if part.large else len(raw),
            source=f"{part.begin}-{part.end}",
            received_at=_when(part.line),
            flags=flags,
            why=too_large(self._account.mail_bytes) if part.large else "",
        )

    def _is_recent(self, mail: Fetched) -> bool:
        since = self._account.since
        return since is None or mail.received_at is None or mail.received_at >= since


class _CarriageReturns(io.RawIOBase):
    """A file whose lines end with CR, read as if they ended with LF; every octet stays in its place."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        data = self._raw.read(len(buffer)) or b""
        buffer[: len(data)] = data.replace(b"\r", b"\n")
        return len(data)


def _lines(raw: io.FileIO, number: int) -> BinaryIO:
    """Return the file as a stream of lines that end with LF or CRLF."""
    first = re.search(rb"\r\n|\n|\r", os.pread(number, PIECE, 0))
    return io.BufferedReader(_CarriageReturns(raw) if first and first[0] == b"\r" else raw, PIECE)


def _start(number: int, stream: BinaryIO, known: _Place | None, end: int) -> int:
    """Return where to begin: at the mark, at the mail before it, or at the beginning."""
    if known is None or known.end > end or _Place.at(number, known.begin, known.end) != known:
        return 0
    stream.seek(known.end)
    return known.end if known.end == end or _FROM.match(stream.readline(PIECE)) else known.begin


def _when(line: bytes) -> datetime | None:
    """Return the date of a From line; UTC where it names no zone (RFC 4155)."""
    match = _FROM.match(line)
    if match is None:
        return None
    year = match["year2"] or ((found := _YEAR.search(match["rest"])) and found[1])
    month = _MONTHS.get(match["month"] or match["month2"])
    if not year or month is None:
        return None
    clock = (int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
    try:
        moment = datetime(int(year), month, int(match["day"] or match["day2"]), *clock, tzinfo=UTC)
        zone = _ZONE.search(match["rest"])
        if zone is not None:
            away = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
            moment += away if zone[1] == b"-" else -away
    except (ValueError, OverflowError):
        return None
    return moment
