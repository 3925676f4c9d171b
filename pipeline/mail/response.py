"""The server's answer: read from the wire, one value from there to the report.

Implements RFC 5321 4.2 (replies, multi-line replies, decisions by the first digit) and RFC 2034/3463
(enhanced status codes). A `Response` is stored whole and never parsed again.

Where the basic code and the enhanced code contradict each other the basic code wins: `status` carries the
enhanced subject and detail under the basic code's class; `enhanced` keeps what was said.

Limits: a line may have 8,192 octets and a whole response 65,536 (RFC 5321 asks for 512 a line; real servers
send more); what is longer, or has no three digits in front, is a `ResponseFault`: the connection is not to be
trusted. Text is kept to 1,000 characters with everything unprintable escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.problem import visible

LINE_LIMIT = 8_192
RESPONSE_LIMIT = 65_536
TEXT_LIMIT = 1_000
USUAL_LINE = 200

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|$)")


class ResponseFault(Exception):
    """What came is not an SMTP reply; ``before`` holds the replies that came whole before it."""

    def __init__(self, message: str, before: Sequence[Response] = ()) -> None:
        super().__init__(message)
        self.before = tuple(before)


@dataclass(frozen=True, slots=True)
class Response:
    """One complete reply: three digits, the enhanced code as said ("" where none), the text without it."""

    code: int
    enhanced: str
    text: str

    @property
    def accepted(self) -> bool:
        """2yz: the command was carried out (RFC 5321 4.2.1)."""
        return 200 <= self.code < 300

    @property
    def go_ahead(self) -> bool:
        """3yz: the server waits for more."""
        return 300 <= self.code < 400

    @property
    def temporary(self) -> bool:
        """4yz: not now."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: no."""
        return self.code >= 500

    @property
    def status(self) -> str:
        """The enhanced code under the basic code's class: "550 4.1.1" is 5.1.1; "" where none was said."""
        return f"{self.code // 100}{self.enhanced[1:]}" if self.enhanced else ""

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


def response(code: int, text: str) -> Response:
    """Make a Response from a code and the text behind it; lines may be separated by newlines."""
    enhanced = ""
    lines = []
    for line in text.split("\n"):
        if match := _ENHANCED.match(line):
            enhanced = enhanced or f"{match[1]}.{match[2]}.{match[3]}"
            line = line[match.end() :]
        lines.append(line.strip())
    return Response(code, enhanced, visible(" ".join(filter(None, lines)), limit=TEXT_LIMIT))


class ResponseReader:
    """Cuts a stream of octets into responses."""

    __slots__ = ("_buffer", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []  # of the response that is not complete
        self._size = 0  # octets in them

    def feed(self, data: bytes) -> list[Response]:
        """Take the next octets from the wire; return the responses that are now complete, in order.

        Raises ResponseFault for anything that is not a reply. A line may end in CRLF or a bare LF.
        """
        *complete, self._buffer = (self._buffer + data).split(b"\n")
        out: list[Response] = []
        for line in complete:
            if not self._lines and (known := _whole(line)) is not None:
                out.append(known)
                continue
            self._check(line, out)
            self._lines.append(line.rstrip(b"\r"))
            self._size += len(line)
            if line[3:4] != b"-":
                out.append(_join(self._lines))
                self._lines, self._size = [], 0
        if len(self._buffer) > LINE_LIMIT:
            raise ResponseFault("a reply line without an end", out)
        return out

    def _check(self, line: bytes, before: Sequence[Response]) -> None:
        """Raise ResponseFault unless ``line`` may stand in a reply, and the reply is not too long by now."""
        if len(line) > LINE_LIMIT:
            raise ResponseFault("a reply line longer than 8,192 octets", before)
        if self._size + len(line) > RESPONSE_LIMIT:
            raise ResponseFault("a reply longer than 65,536 octets", before)
        if not _is_reply_line(line.rstrip(b"\r")):
            shown = visible(line.rstrip(b"\r").decode("utf-8", "replace"), limit=80)
            raise ResponseFault(f"not an SMTP reply: {shown}", before)


@lru_cache(maxsize=256)
def _whole(line: bytes) -> Response | None:
    """Return the response that one line of usual length is; None where it has to be looked at more closely.

    A server says a handful of lines over and over: each is read once.
    """
    line = line.rstrip(b"\r")
    return _join([line]) if len(line) <= USUAL_LINE and line[3:4] != b"-" and _is_reply_line(line) else None


def _is_reply_line(line: bytes) -> bool:
    """Three digits, the first of 2 to 5 (RFC 5321 4.2), then a space, a hyphen or nothing."""
    return len(line[:3]) == 3 and line[:3].isdigit() and line[0] in b"2345" and line[3:4] in (b"", b" ", b"-")


def _join(lines: list[bytes]) -> Response:
    """Make one response of its lines; the last line's code is the one that counts."""
    text = "\n".join(line[4:].decode("utf-8", "replace") for line in lines)
    return response(int(lines[-1][:3]), text)
