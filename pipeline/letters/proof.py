"""Reading again what was written, each octet once.

Lines that were proved may be put together in any order: what comes of it is whole lines again, and needs no
second reading. So what stands in many letters is read when it is made, not in every letter.

RFC 5322 2.1.1, 2.3; RFC 5321 4.5.2.
"""

from __future__ import annotations

from pipeline.mail.headers import LONGEST_LINE


def are_lines(text: bytes) -> bool:
    """Say whether a text is whole lines, none of them of more than 998 octets.

    Every CR and LF stands in a CRLF, one at the end, and there is no NUL.
    """
    pairs = text.count(b"\r\n")
    return (
        text.endswith(b"\r\n")
        and text.count(b"\n") == pairs
        and text.count(b"\r") == pairs
        and b"\0" not in text
        and _are_short(text)
    )


def begin_with_a_dot(lines: bytes) -> bool:
    """Say whether one of the lines begins with a dot, which DATA would have to double."""
    return lines.startswith(b".") or b"\n." in lines


def _are_short(lines: bytes) -> bool:
    """Say whether no line has more than 998 octets, looking at the last line end within reach of each."""
    start, reach, size = 0, LONGEST_LINE + len(b"\r\n"), len(lines)
    while size - start > LONGEST_LINE:
        start = lines.rfind(b"\n", start, start + reach) + 1
        if not start:
            return False
    return True
