"""Quoted-printable, also in pieces: what a piece becomes depends on nothing but itself and where it begins.

`quoted_printable` encodes a whole text. `Quoted` is a piece that stands in many letters between values that
differ: what it becomes is kept for each column it can begin at. Both fold by the same rule, `folded`: a line
holds 75 characters, and a soft break (`=`, CRLF) comes before the character or escape that would be one too
many. Nothing is looked at beyond the end of a piece, so a text encoded in pieces comes out as encoded whole,
if no piece ends in the beginning of "From " (`BEGUN`), and none but the last stands after a piece that ends
in white space and itself begins with a line end.

No line begins with a dot or with "From ", so nothing rests on dot-stuffing being done, or on nobody writing
the letter into an mbox (RFC 2049 3). White space at the end of a line is escaped.

RFC 2045 6.7. Escapes are made by `binascii`, which has its own idea of folding: that is taken out again.
Limits: UTF-8; line ends are LF, CR and other control characters are not expected. The 76th column is left to
the `=`, also where a line end would allow a character there: to know, one would have to look ahead.
"""

from __future__ import annotations

import binascii
import re

ROOM = 75  # characters of a line, with the "=" of a soft break the 76 of RFC 2045 6.7, rule 5
SOFT_BREAK = "=\r\n"
MARKED = (".", "From ")  # no line begins so
BEGUN = re.compile(r"F(?:r(?:om?)?)?\Z")  # the end of a piece that depends on what follows


def escaped(text: str) -> str:
    """Return ``text`` with everything escaped that must be, but for white space at its very end; not
    folded.
    """
    if text.isascii() and "=" not in text and " \n" not in text and "\t\n" not in text:
        return text
    guarded = binascii.b2a_qp(text.encode() + b"x", istext=True)
    unfolded = guarded[:-1].replace(b"=\n", b"").replace(b"=2E", b".")
    return unfolded.decode("ascii")


def folded(text: str, column: int) -> tuple[str, int]:
    """Return escaped text without line ends, folded, and the column after it.

    ``column`` is where it begins, from 0; at 0 a dot and "From " are shielded.
    """
    room = ROOM - column
    if len(text) <= room and (column or not text.startswith(MARKED)):
        return text, column + len(text)
    lines: list[str] = []
    start, shield = 0, ""
    if not column and text.startswith(MARKED):
        start, shield = 1, f"={ord(text[0]):02X}"
    while len(text) - start > room - len(shield):
        cut = start + room - len(shield)
        escape = text.rfind("=", max(start, cut - 2), cut)
        cut = cut if escape < 0 else escape
        lines.append(shield + text[start:cut])
        start, shield, room = cut, "", ROOM
        if text.startswith(MARKED, start):
            start, shield = start + 1, f"={ord(text[start]):02X}"
    last = shield + text[start:]
    return SOFT_BREAK.join((*lines, last)), len(last) if lines else column + len(last)


def encoded_line(line: str) -> str:
    """Return a whole line, encoded, without its end."""
    line = escaped(line)
    if line.endswith((" ", "\t")):
        line = f"{line[:-1]}={ord(line[-1]):02X}"
    return folded(line, 0)[0]


def quoted_printable(text: str) -> str:
    """Return LF text as quoted-printable with CRLF."""
    *lines, last = escaped(text).split("\n")
    whole = [
        line if len(line) <= ROOM and not line.startswith(MARKED) else folded(line, 0)[0] for line in lines
    ]
    if last.endswith((" ", "\t")):
        last = f"{last[:-1]}={ord(last[-1]):02X}"
    return "\r\n".join((*whole, folded(last, 0)[0]))


class Quoted:
    """A piece of text, encoded for each column it can begin at.

    It is a head, which depends on the column, and from its first line end on ``rest``, which does not;
    ``rest_end`` is the column after it, or -1 where the piece has no line end. ``heads`` holds what `head`
    has found.
    """

    __slots__ = ("_head", "heads", "rest", "rest_end")

    def __init__(self, text: str) -> None:
        self._head, *lines = escaped(text).split("\n")
        self.heads: list[tuple[str, int] | None] = [None] * (ROOM + 1)
        self.rest, self.rest_end = "", -1
        if lines:
            whole = [folded(line, 0) for line in lines]
            self.rest, self.rest_end = "\r\n".join(["", *(line for line, _ in whole)]), whole[-1][1]

    def head(self, column: int) -> tuple[str, int]:
        """Return the head beginning at ``column``, and the column after it."""
        found = self.heads[column] = folded(self._head, column)
        return found
